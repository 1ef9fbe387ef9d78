"""A programme that starts at different sites at different times: its effect, from records to a report."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops._version import __version__
from clinops.analyse.panels import lines, rollout_checks, rollout_exhibits, wedge
from clinops.analyse.panels.by_period import ByPeriod
from clinops.analyse.panels.rolled import Rolled, roll
from clinops.define.panel import PanelPlan, plan_of
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.define.findings import Findings

NUMBERS = {
    "roll_out": "Figure 1", "rollout_cohorts": "Table 1", "rollout_trend": "Figure 2", "event_study": "Figure 3",
    "rollout_effects": "Table 2", "rollout_checks": "Table 3", "check_panel_design": "Table 3a",
    "check_trends_before": "Table 3b", "check_other_trends": "Table 3c", "check_early_effect": "Table 3d",
    "check_inference": "Table 3e", "check_composition": "Table 3f",
    "rollout_methods": "Table 4", "panel_population_attrition": "Table 5",
    "rollout_wedge": "Table 6",
}  # fmt: skip
ORDER = ("roll_out", "cohorts", "trend", "event_study", "effects", "check_list", "methods", "population", "wedge")


class Rollout(ByPeriod):
    """A staggered roll-out; nothing of the outcome is read before the design has passed its rules.

    Parameters
    ----------
    plan : from `panel`. source : from `connect`.
    """

    order, numbers, checks_name = ORDER, NUMBERS, "rollout_checks"
    plan: PanelPlan

    def __init__(self, plan: PanelPlan, source: Any) -> None:
        super().__init__(plan, source)
        self.rolled: Rolled = roll(plan, source)

    @property
    def findings(self) -> Findings:
        """What lint found in the design, with the starts as they are."""
        return self.rolled.findings

    @property
    def roll_out(self) -> Result:
        """Which site starts when."""
        return self._show("roll_out", lambda: rollout_exhibits.roll_out(self.rolled))

    @property
    def cohorts(self) -> Result:
        """Sites by start: persons, events and rates before and after."""
        return self._show("rollout_cohorts", lambda: rollout_exhibits.cohorts(self.rolled))

    @property
    def trend(self) -> Result:
        """The outcome over time by start, as it is."""
        return self._show("rollout_trend", lambda: rollout_exhibits.trend(self.rolled))

    @property
    def event_study(self) -> Result:
        """The effect by time since the start, with its bands and what was before."""
        return self._show("event_study", lambda: rollout_exhibits.event_study(self.rolled, self.plan.min_cell))

    @property
    def effects(self) -> Result:
        """The effect over all, by start, by calendar period and by other methods."""
        return self._show("rollout_effects", lambda: rollout_exhibits.effects(self.rolled, self.plan.min_cell))

    @cached_property
    def _checks(self) -> tuple[Check, ...]:
        return rollout_checks.checks(self.rolled)

    @property
    def methods(self) -> Result:
        """What was done, in words."""
        return self._show("rollout_methods", lambda: rollout_exhibits.methods(self.rolled, __version__))

    @property
    def population(self) -> Result:
        """Who counts."""
        return self._show(
            "panel_population_attrition",
            lambda: rollout_exhibits.population(self.plan, self.rolled.attrition),
        )

    @property
    def wedge(self) -> Result:
        """The roll-out as a stepped-wedge trial, where its order was drawn by lot."""
        return self._show("rollout_wedge", lambda: wedge.wedge(self.rolled, self.plan.min_cell))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        notebook = os.environ.get("CLINOPS_NOTEBOOK", "")
        named = {"notebook": notebook} if notebook else {}
        return estimates([named | row for row in lines.estimate_rows(self.rolled)])


def rollout(plan: PanelPlan | str | Path, source: Any, **changes: Any) -> Rollout:
    """Estimate the effect of a programme that starts at different sites at different times.

    Parameters
    ----------
    plan : from `panel`, or the JSON file that its `write` made.
    source : from `connect`.
    changes : fields of the plan that are other than in it, such as every="month"; None leaves one as it is.

    Raises
    ------
    DefinitionError : no such plan or field. DesignError : the design has an error that nobody allowed; nothing of the
    outcome was read. DataError : the records cannot show it.
    """
    return Rollout(plan_of(plan, PanelPlan, changes), source)
