"""One interrupted series as arrays, with its control, and the models fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.panels.rolled import LEVEL, Floats, value_of
from clinops.define.panel import SeriesPlan
from clinops.errors import DataError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from clinops.define.findings import Findings
    from clinops.stats.counterfactuals import Counterfactual
    from clinops.stats.interrupted import Season, SegmentedDesign, SegmentedFit
    from clinops.stats.serial import SerialDiagnostics

PAIRS = {"month": 2, "quarter": 1}
POSITIONS = {"month": 12, "quarter": 4}


@dataclass(frozen=True, eq=False)
class Series:
    """One outcome of one group of persons by period; (p,) each.

    Attributes
    ----------
    name : of the group. total : events, persons with one, or money. days, persons : behind it. value : the rate.
    age, female : mean age and share of women of those counted (NaN where not known).
    """

    name: str
    total: Floats
    days: Floats
    persons: Floats
    value: Floats
    age: Floats
    female: Floats


@dataclass(frozen=True, eq=False)
class Interrupted:
    """The series, its control (None without one), and what the design's rules found."""

    plan: SeriesPlan
    findings: Findings
    ours: Series
    control: Series | None
    attrition: pd.DataFrame
    currency: str
    cache: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def at(self) -> int:
        """The place of the first period after."""
        return self.plan.period_of(self.plan.starts)

    @property
    def time(self) -> Floats:
        """(p,) places of the periods."""
        return np.arange(len(self.plan.periods), dtype=float)

    @cached_property
    def few(self) -> bool:
        """Whether a part of a series (before, phase-in, after) has so few persons or events that nothing made of the
        parts may be said: a line through few events gives their number away."""
        edges = (0, self.at, self.at + self.plan.phase_in, len(self.plan.periods))
        for one in (self.ours, self.control or self.ours):
            for low, high in pairwise(edges):
                counts = [*one.persons[low:high], *([one.total[low:high].sum()] if self.counted else [])]
                if any(0 < count < self.plan.min_cell for count in counts):
                    return True
        return False

    @property
    def counted(self) -> bool:
        """Whether the outcome is a number of events or persons."""
        return self.plan.outcome.measure != "cost"

    def season(self, periods: int | None = None) -> Season | None:
        """The columns of the season of the first periods."""
        from clinops.stats.interrupted import harmonics, season_indicators

        if self.plan.season == "none":
            return None
        months = np.array([begin.month for begin, _ in self.plan.periods][:periods])
        place = months if self.plan.every == "month" else (months - 1) // 3 + 1
        if self.plan.season == "indicators":
            return season_indicators(place)
        return harmonics(place, length=POSITIONS[self.plan.every], pairs=PAIRS[self.plan.every])

    def _two_seasons(self) -> Season | None:
        """A season for each of two series under one another, so that their difference may have one too."""
        from clinops.stats.interrupted import Season

        one = self.season()
        if one is None:
            return None
        names = tuple(f"{name} of the {which}" for which in ("series", "control") for name in one.names)
        return Season(np.kron(np.eye(2), one.columns).astype(np.float64), names)

    def design(self, at: int | None = None, periods: int | None = None, phase_in: int | None = None) -> SegmentedDesign:
        """The columns for one series: the change at `at`, the first `periods` alone, so many left out."""
        from clinops.stats.interrupted import segmented_design

        return segmented_design(
            self.time[:periods], self.at if at is None else at, change=self.plan.change, season=self.season(periods),
            transition=self.plan.phase_in if phase_in is None else phase_in, origin="first after",
        )  # fmt: skip

    def linear(self, values: Floats, design: SegmentedDesign, se: str = "ar1 reml") -> SegmentedFit:
        """A segmented regression of one linear series."""
        from clinops.stats.interrupted import segmented_regression

        return segmented_regression(design, values, se=se, small_sample=se == "newey-west", conf_level=LEVEL)

    @property
    def target(self) -> Floats:
        """(p,) what the main model is of: the rate, or with a control the difference of the two rates."""
        return self.ours.value if self.control is None else self.ours.value - self.control.value

    @cached_property
    def main(self) -> SegmentedFit:
        """The main model: linear, with AR(1) errors by REML."""
        return self.linear(self.target, self.design())

    @cached_property
    def effect(self) -> Counterfactual:
        """With and without the interruption, by the main model."""
        from clinops.stats.counterfactuals import counterfactual

        return counterfactual(self.main)

    @cached_property
    def drawn(self) -> SegmentedFit:
        """The model that the figure shows: the main one, or with a control both series at once."""
        return self.main if self.control is None else self._both("gaussian", self.ours.value, self.control.value)

    @cached_property
    def counts(self) -> SegmentedFit | None:
        """Quasi-Poisson with the exposure as offset; None for money."""
        from clinops.stats.interrupted import segmented_regression

        if not self.counted:
            return None
        if self.control is None:
            return segmented_regression(
                self.design(), self.ours.total, "quasipoisson", offset=np.log(self.exposure(self.ours)),
                se="newey-west", small_sample=True, conf_level=LEVEL,
            )  # fmt: skip
        offset = np.log(np.concatenate([self.exposure(self.ours), self.exposure(self.control)]))
        return self._both("quasipoisson", self.ours.total, self.control.total, offset)

    def exposure(self, series: Series) -> Floats:
        """(p,) what a count is per: person-time in the plan's unit, or persons."""
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = series.persons if self.plan.per == "person" else series.days
            scale = value_of(self.plan, np.ones_like(whole), whole, whole)
        return 1 / scale

    def _both(self, family: str, ours: Floats, other: Floats, offset: Floats | None = None) -> SegmentedFit:
        from clinops.stats.interrupted import segmented_design, segmented_regression

        p = len(self.time)
        design = segmented_design(
            np.tile(self.time, 2), self.at, change=self.plan.change, transition=self.plan.phase_in,
            season=self._two_seasons(), treated=np.repeat([True, False], p), origin="first after",
        )  # fmt: skip
        return segmented_regression(
            design, np.concatenate([ours, other]), family, offset=offset, se="newey-west", small_sample=True,
            conf_level=LEVEL,
        )  # fmt: skip

    @cached_property
    def left(self) -> SerialDiagnostics | None:
        """Whether the main model's residuals still hang together in time; None where they are too few to say."""
        from clinops.stats.interrupted import segmented_diagnostics

        lags = min(POSITIONS[self.plan.every], len(self.main.residual) // 4)
        return segmented_diagnostics(self.main, lags) if lags > 1 else None


def interrupt(plan: SeriesPlan, source: Any) -> Interrupted:
    """Check the design, and only then read the outcome.

    Raises
    ------
    DesignError : the design has an error that nobody allowed. DataError : a period with nobody, no such site, or
    records that cannot show the outcome.
    """
    from clinops.analyse.money import currency
    from clinops.build.panel import sites, unit_periods

    findings = plan.lint(source)
    findings.raise_if_stopped()
    if plan.units:
        known = [int(unit) for unit in sites(plan, source)["unit"]]
        for unit in (*plan.units, *plan.control_units):
            if unit not in known:
                raise DataError(unknown(f"{plan.unit} with a person registered", unit, map(str, known)))
    units = (*plan.units, *plan.control_units)
    found = unit_periods(plan, source, units=units)
    ours = _series(plan, found.frame, plan.units, "Sites of the programme" if plan.units else "Everybody")
    control = None
    if plan.control_units:
        control = _series(plan, found.frame, plan.control_units, "Other sites")
    elif plan.control_outcome is not None:
        other = unit_periods(plan, source, plan.control_outcome, units)
        control = _series(plan, other.frame, plan.units, plan.control_outcome.name)
        ours = _series(plan, found.frame, plan.units, plan.outcome.name)
    money = currency(source) if plan.outcome.measure == "cost" else ""
    return Interrupted(plan, findings, ours, control, found.attrition, money)


def _series(plan: SeriesPlan, frame: pd.DataFrame, units: tuple[int, ...], name: str) -> Series:
    mine = frame[frame["unit"].isin(units)] if units else frame
    mine = mine.assign(years=mine["age"] * mine["persons"], aged=mine["persons"].where(mine["age"].notna(), 0))
    by = mine.groupby("period")[["total", "days", "persons", "female", "years", "aged"]].sum()
    by = by.reindex(range(len(plan.periods)), fill_value=0).astype(float)
    empty = [plan.names[i] for i in np.flatnonzero(by["days"].to_numpy() == 0)]
    if empty:
        few = ", ".join(empty[:5]) + (" and more" if len(empty) > 5 else "")
        raise DataError(f"{name}: nobody is observed in {few}. Take a shorter span, longer periods or other sites.")
    total, days, persons, female, years, aged = (by[column].to_numpy() for column in by)
    with np.errstate(divide="ignore", invalid="ignore"):
        age = np.where(aged > 0, years / aged, np.nan)
    return Series(name, total, days, persons, value_of(plan, total, days, persons), age, female / persons)
