"""A roll-out as arrays: every site in every period, and the estimates made of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.define.panel import EVERY, PER, PERSON, PanelPlan, PeriodPlan
from clinops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from clinops.analyse.panels.wedge import Wedge
    from clinops.define.findings import Findings
    from clinops.stats.did import DifferenceInDifferences
    from clinops.stats.event_study import AverageEffect, EventStudy
    from clinops.stats.group_time import GroupTimeEffects
    from clinops.stats.group_time_averages import EffectAverages
    from clinops.stats.permuted_starts import PermutedStarts
    from clinops.stats.two_way import TwoWayFit
    from clinops.stats.wild import WildBootstrap

Floats = NDArray[np.float64]
COMPARED = {"not yet treated": "not yet", "never treated": "never"}
NEVER, ALWAYS = "Never", "From the first period"
LEVEL = 0.95


def value_of(plan: PeriodPlan, total: Any, days: Any, persons: Any) -> Floats:
    """The outcome in the plan's unit: a rate by exact person-time, or a share of persons; NaN where nobody is seen."""
    top = np.asarray(total, dtype=float)
    bottom = np.asarray(persons if plan.per == PERSON else days, dtype=float)
    scale = 1.0 if plan.per == PERSON else PER[plan.per]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top * scale / bottom, np.nan)


def size_name(plan: PeriodPlan) -> str:
    """The column of persons beside one of events: "n" where the events are persons among them, else "persons"."""
    return "n" if plan.per == PERSON else "persons"


@dataclass(frozen=True, eq=False)
class Rolled:
    """Sites by period with their starts, n sites of p periods.

    Attributes
    ----------
    sites : one row a site: unit, name, persons (registered), start (date or None), first (place of the first period
        under the programme, infinite for never), cohort (its name).
    cells : one row a site and period, as `UnitPeriods.frame`, with value, first and cohort.
    attrition, nowhere : as in `UnitPeriods`. set_aside : names of sites with nobody in some period.
    """

    plan: PanelPlan
    findings: Findings
    sites: pd.DataFrame
    cells: pd.DataFrame
    attrition: pd.DataFrame
    nowhere: int
    set_aside: tuple[str, ...]
    currency: str
    cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def cohorts(self) -> list[str]:
        """Names of the cohorts, the earliest first, those that never start last."""
        order = self.sites.sort_values("first")["cohort"].tolist()
        return list(dict.fromkeys(order))

    def rows(self, value: str = "value") -> dict[str, Any]:
        """What every estimator of a panel takes; sites with a period without a value are left out."""
        frame = self.cells
        known = frame.groupby("unit")[value].transform(lambda column: column.notna().all())
        kept = frame[known.to_numpy(dtype=bool)]
        if kept.empty:
            raise DataError("No site has somebody observed in every period; take longer periods or a shorter span.")
        return {
            "y": kept[value].to_numpy(dtype=float), "unit": kept["unit"].to_numpy(),
            "time": kept["period"].to_numpy(dtype=float), "first_treated": kept["first"].to_numpy(dtype=float),
        }  # fmt: skip

    @property
    def comparison(self) -> str:
        """The comparison as `group_time_effects` calls it."""
        return COMPARED[self.plan.comparison]

    def effects_of(self, value: str, earlier: int = 0) -> GroupTimeEffects:
        """Effects by cohort and period on any column of the cells, by Callaway and Sant'Anna."""
        from clinops.stats.group_time import group_time_effects

        rows = self.rows(value)
        rows["first_treated"] = rows["first_treated"] - earlier
        return group_time_effects(**rows, comparison=self.comparison, conf_level=LEVEL)

    @cached_property
    def effects(self) -> GroupTimeEffects:
        """Effects by cohort and period; each period before a start is held against the one before."""
        return self.effects_of("value")

    def averages(self, kind: str) -> EffectAverages:
        """Averages of the effects, once each."""
        from clinops.stats.group_time_averages import average_effects

        return self._once(kind, lambda: average_effects(self.effects, kind))

    @cached_property
    def study(self) -> EventStudy:
        """Effects by time since the start, against the last period before it."""
        from clinops.stats.event_study import event_study

        return event_study(**self.rows(), method="group-time", comparison=self.comparison, conf_level=LEVEL)

    @cached_property
    def year(self) -> int:
        """How many periods a year has."""
        return 12 // EVERY[self.plan.every]

    @cached_property
    def near(self) -> EventStudy:
        """The same, up to a year on each side of the start."""
        from clinops.stats.event_study import event_study

        return event_study(
            **self.rows(), method="group-time", comparison=self.comparison, leads=self.year, lags=self.year - 1,
            conf_level=LEVEL,
        )  # fmt: skip

    @cached_property
    def stacked(self) -> tuple[EventStudy, AverageEffect]:
        """The stacked regression over the longest window up to a year that all starts have, and its mean effect."""
        from clinops.stats.event_study import average_effect
        from clinops.stats.stacked import stacked_effects

        rows = self.rows()
        first = rows["first_treated"]
        begun = first[np.isfinite(first) & (first > 0)]
        leads = int(min(self.year, begun.min()))
        lags = int(min(self.year - 1, rows["time"].max() - begun.max()))
        study = stacked_effects(**rows, leads=leads, lags=lags, conf_level=LEVEL)
        return study, average_effect(study)

    @cached_property
    def wild(self) -> WildBootstrap:
        """The wild cluster bootstrap of the two-way coefficient."""
        from clinops.stats.wild import two_way_wild_bootstrap

        return two_way_wild_bootstrap(**self.rows(), seed=self.plan.seed, replicates=1999, conf_level=LEVEL)

    @cached_property
    def imputed(self) -> EffectAverages:
        """The average effect by imputation."""
        from clinops.stats.group_time_averages import average_effects
        from clinops.stats.imputation import imputation_effects

        return average_effects(imputation_effects(**self.rows(), conf_level=LEVEL), "simple")

    @cached_property
    def two_way(self) -> TwoWayFit:
        """The one coefficient of two-way fixed effects."""
        from clinops.stats.two_way import two_way_fixed_effects

        return two_way_fixed_effects(**self.rows(), conf_level=LEVEL)

    @cached_property
    def two_by_two(self) -> DifferenceInDifferences | None:
        """Means before and after in both arms, where all starts fall in one period; else None."""
        from clinops.stats.did import difference_in_differences

        rows = self.rows()
        starts = np.unique(rows["first_treated"][np.isfinite(rows["first_treated"]) & (rows["first_treated"] > 0)])
        if len(starts) != 1 or not np.isinf(rows["first_treated"]).any():
            return None
        seen = rows["first_treated"] > 0
        post = (rows["time"] >= starts[0]).astype(float)[seen]
        treated = np.isfinite(rows["first_treated"]).astype(float)[seen]
        return difference_in_differences(rows["y"][seen], treated, post, rows["unit"][seen], conf_level=LEVEL)

    @cached_property
    def permuted(self) -> PermutedStarts:
        """The average effect among those of other assignments of the same starts."""
        from clinops.stats.permuted_starts import permuted_starts

        return permuted_starts(**self.rows(), comparison=self.comparison, seed=self.plan.seed)

    @cached_property
    def wedge(self) -> Wedge:
        """The roll-out as a stepped-wedge trial; of an order that was drawn."""
        from clinops.analyse.panels.wedge import fit

        return fit(self)

    @cached_property
    def treated(self) -> pd.DataFrame:
        """Cells under the programme of sites that are seen before it."""
        frame = self.cells
        return frame[(frame["period"] >= frame["first"]) & (frame["first"] > 0)]

    def _once(self, name: str, make: Callable[[], Any]) -> Any:
        if name not in self.cache:
            self.cache[name] = make()
        return self.cache[name]


def roll(plan: PanelPlan, source: Any) -> Rolled:
    """Look up when sites start, check the design with what that says, and only then read the outcome.

    Raises
    ------
    DesignError : the design has an error that nobody allowed. DataError : the records cannot show it.
    """
    from clinops.analyse.money import currency
    from clinops.build.panel import NOWHERE, sites, starts, unit_periods

    plan.lint(source).raise_if_stopped()
    units = sites(plan, source)
    begun = starts(plan, source, units)
    findings = plan.lint(source, begun)
    findings.raise_if_stopped()
    found = unit_periods(plan, source)
    cells = found.frame[found.frame["unit"] != NOWHERE].reset_index(drop=True)
    seen = units[units["unit"].isin(cells["unit"])].reset_index(drop=True)
    first = np.array([_first(plan, begun[int(unit)]) for unit in seen["unit"]])
    dates: list[Any] = [begun[int(unit)] for unit in seen["unit"]]
    seen = seen.assign(start=dates, first=first, cohort=[_cohort(plan, one) for one in first])
    by_unit = seen.set_index("unit")
    cells = cells.assign(
        value=value_of(plan, cells["total"], cells["days"], cells["persons"]),
        first=cells["unit"].map(by_unit["first"]),
        cohort=cells["unit"].map(by_unit["cohort"]),
    )  # fmt: skip
    holes = cells.loc[cells["value"].isna(), "unit"].unique()
    aside = tuple(by_unit.loc[holes, "name"])
    money = currency(source) if plan.outcome.measure == "cost" else ""
    return Rolled(plan, findings, seen, cells, found.attrition, found.nowhere, aside, money)


def _first(plan: PanelPlan, start: dt.date | None) -> float:
    """The place of the period that holds the start; a start after the last period is never."""
    at = np.inf if start is None else float(plan.period_of(start))
    return at if at < len(plan.periods) else np.inf


def _cohort(plan: PanelPlan, first: float) -> str:
    if np.isinf(first):
        return NEVER
    return ALWAYS if first <= 0 else plan.names[int(first)]
