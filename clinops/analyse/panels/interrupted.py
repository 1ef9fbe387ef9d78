"""One series before and after a programme: its change, from records to a report."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops._version import __version__
from clinops.analyse.panels import series_checks, series_exhibits
from clinops.analyse.panels.by_period import ByPeriod
from clinops.analyse.panels.rolled import LEVEL
from clinops.analyse.panels.rollout_exhibits import population
from clinops.analyse.panels.series import Interrupted, interrupt
from clinops.define.panel import SeriesPlan, plan_of
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.define.findings import Findings

NUMBERS = {
    "interrupted_series": "Figure 1", "interrupted_effects": "Table 1", "interrupted_periods": "Table 2",
    "interrupted_checks": "Table 3", "check_panel_design": "Table 3a", "check_left_in_time": "Table 3b",
    "check_other_date": "Table 3c", "check_control": "Table 3d", "check_phase_in": "Table 3e",
    "check_who_is_there": "Table 3f", "interrupted_methods": "Table 4", "panel_population_attrition": "Table 5",
}  # fmt: skip
ORDER = ("series", "effects", "periods", "check_list", "methods", "population")


class InterruptedSeries(ByPeriod):
    """An interrupted series; nothing of the outcome is read before the design has passed its rules.

    Parameters
    ----------
    plan : from `series`. source : from `connect`.
    """

    order, numbers, checks_name = ORDER, NUMBERS, "interrupted_checks"
    plan: SeriesPlan

    def __init__(self, plan: SeriesPlan, source: Any) -> None:
        super().__init__(plan, source)
        self.found: Interrupted = interrupt(plan, source)

    @property
    def findings(self) -> Findings:
        """What lint found in the design."""
        return self.found.findings

    @property
    def series(self) -> Result:
        """The series, and what it would have been."""
        return self._show("interrupted_series", lambda: series_exhibits.figure(self.found))

    @property
    def effects(self) -> Result:
        """The change at the start, by several models."""
        return self._show("interrupted_effects", lambda: series_exhibits.effects(self.found))

    @property
    def periods(self) -> Result:
        """Persons, events and rates before and after."""
        return self._show("interrupted_periods", lambda: series_exhibits.around(self.found))

    @cached_property
    def _checks(self) -> tuple[Check, ...]:
        return series_checks.checks(self.found)

    @property
    def methods(self) -> Result:
        """What was done, in words."""
        return self._show("interrupted_methods", lambda: series_exhibits.methods(self.found, __version__))

    @property
    def population(self) -> Result:
        """Who counts."""
        return self._show("panel_population_attrition", lambda: population(self.plan, self.found.attrition))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        return estimates([self._row(row) for row in series_exhibits.effect_rows(self.found)])

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        plan, after = self.plan, self.found.at + self.plan.phase_in
        control = self.found.control
        found = {
            "analysis": "interrupted", "notebook": os.environ.get("CLINOPS_NOTEBOOK", ""),
            "exposed": self.found.ours.name, "comparator": control.name if control is not None else "The trend before",
            "measure": plan.outcome.name, "role": "primary" if row["part"] == series_exhibits.MAIN else "secondary",
            "category": row["label"], "period": f"{plan.names[after]} to {plan.names[-1]}", "method": row["method"],
            "unit": plan.rate, "scale": "rate ratio" if row["scale"] == "ratio" else "mean difference",
            "estimate": row["estimate"], "std_error": row["std_error"], "se_kind": row["error"], "conf_low": row["low"],
            "conf_high": row["high"], "conf_level": LEVEL, "p_value": row["p"],
            "note": row["note"] or ("" if row["estimate"] == row["estimate"] else "Not estimable."),
            "n_exposed": round(float(self.found.ours.persons[after:].mean())),
            "person_days_exposed": float(self.found.ours.days[after:].sum()),
        }  # fmt: skip
        if self.found.few:
            found |= dict.fromkeys(("estimate", "std_error", "conf_low", "conf_high", "p_value"))
            found["note"] = series_exhibits.FEW_SAID.format(plan.min_cell)
        if self.found.counted:
            found["events_exposed"] = round(float(self.found.ours.total[after:].sum()))
        return {name: value for name, value in found.items() if value != ""}


def interrupted(plan: SeriesPlan | str | Path, source: Any, **changes: Any) -> InterruptedSeries:
    """Estimate how a series changed when a programme started, against its trend before and a control.

    Parameters
    ----------
    plan : from `series`, or the JSON file that its `write` made.
    source : from `connect`.
    changes : fields of the plan that are other than in it, such as phase_in=3; None leaves one as it is.

    Raises
    ------
    DefinitionError : no such plan or field. DesignError : the design has an error that nobody allowed; nothing of the
    outcome was read. DataError : the records cannot show it, or a period has nobody.
    """
    return InterruptedSeries(plan_of(plan, SeriesPlan, changes), source)
