"""Panels: an outcome of sites by calendar period, where a programme starts at some of them, and one series."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from clinops.define.base import Definition, as_date, choice, whole
from clinops.define.events import Events
from clinops.define.fields import several, shown
from clinops.define.findings import Findings
from clinops.define.measures import Measure
from clinops.define.protocol import Allowance
from clinops.define.steps import Between, First, Step
from clinops.errors import DefinitionError, unknown

UNITS = ("care site", "provider")
MEMBERSHIPS = ("each period", "first period")
EVERY = {"month": 1, "quarter": 3}
"""Calendar periods and their length in months."""
PER = {
    "person-month": 30.4375, "person-year": 365.25, "1,000 person-months": 30437.5, "1,000 person-years": 365250.0,
}  # fmt: skip
"""Rates and the person-days that they are per."""
PERSON = "person"
"""What a share of persons is per: the only one for an outcome of kind "any"."""
OUTCOMES = ("count", "any", "cost")
ORDERS = ("chosen", "random")
COMPARISONS = ("not yet treated", "never treated")
PRIMARIES = ("group-time", "imputation", "stacked", "two-way")
SEASONS = ("harmonics", "indicators", "none")
CHANGES = ("level and slope", "level")


@dataclass(frozen=True)
class SiteStart(Definition):
    """The day on which a site starts."""

    kind: ClassVar[str] = "site start"
    made: ClassVar[str] = "{site id: date}"
    site: int
    date: dt.date


@dataclass(frozen=True, kw_only=True)
class PeriodPlan(Definition):
    """What panels and single series share: whose outcome, in which calendar periods.

    Attributes
    ----------
    title, question : as the report prints them.
    outcome : `count`, `any_of` or `cost`, without a window: each period is one.
    first, last : the first day of the first period and the last day of the last one.
    every : "month" or "quarter".
    per : what the outcome is per, one of `PER`; an outcome of kind "any" is per "person" observed in the period.
    population : steps that hold on the first day of a period; the person is also observed on that day.
    membership : who is a member: whoever fits on the first day of "each period" (an open population, that people join
        and leave), or on the first day of the "first period" (a closed one). Either way only days alive and observed
        are person-time, and only what falls on them counts.
    unit : the site that a person is registered with, "care site" or "provider"; the records give one for each person.
    programme : the programme's own records, which the outcome may not count.
    capture : by which rule people count as observed, where the records see only care inside one system.
    min_cell, allow : as in a protocol.
    """

    title: str
    question: str
    outcome: Measure
    first: dt.date
    last: dt.date
    every: str = "month"
    per: str = "1,000 person-months"
    population: tuple[Step, ...] = ()
    membership: str = "each period"
    unit: str = "care site"
    programme: tuple[Events, ...] = ()
    capture: str = ""
    min_cell: int = 11
    allow: tuple[Allowance, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("length of a period", self.every, tuple(EVERY))
        choice("membership", self.membership, MEMBERSHIPS)
        choice("unit", self.unit, UNITS)
        whole("min_cell", self.min_cell, 1)
        self._check_outcome()
        for step in self.population:
            if isinstance(step, First | Between):
                raise DefinitionError(
                    f"The population has the step {step.label!r}, but the periods say when; take the step out."
                )
        wrong = [day for day in (self.first, self.last + dt.timedelta(days=1)) if not self._starts(day)]
        if wrong or self.last < self.first:
            raise DefinitionError(
                f"{self.first} to {self.last} are no whole {self.every}s; give the first day of a {self.every} and, "
                f"later, the last day of one, such as {self._example()}."
            )
        if len(self.periods) < 2:
            raise DefinitionError(f"{self.first} to {self.last} is one {self.every}; a change needs at least two.")

    def _check_outcome(self) -> None:
        choice("kind of outcome of a panel", self.outcome.measure, OUTCOMES)
        choice("per", self.per, (PERSON,) if self.outcome.measure == "any" else tuple(PER))
        if self.outcome.window is not None:
            raise DefinitionError(
                f"The outcome {self.outcome.name!r} has a window ({self.outcome.window}); leave it out: each period is "
                "one."
            )

    def _starts(self, day: dt.date) -> bool:
        return day.day == 1 and (day.month - 1) % EVERY[self.every] == 0

    def _example(self) -> str:
        month = (self.first.month - 1) // EVERY[self.every] * EVERY[self.every] + 1
        return f"{dt.date(self.first.year, month, 1)} to {dt.date(self.first.year + 1, month, 1) - dt.timedelta(1)}"

    @property
    def periods(self) -> tuple[tuple[dt.date, dt.date], ...]:
        """First and last day of every period, in order."""
        found, step = [], EVERY[self.every]
        begin = self.first
        while begin <= self.last:
            months = begin.month - 1 + step
            following = dt.date(begin.year + months // 12, months % 12 + 1, 1)
            found.append((begin, following - dt.timedelta(days=1)))
            begin = following
        return tuple(found)

    @property
    def names(self) -> tuple[str, ...]:
        """Every period as it prints: "2021-03" or "2021 Q1"."""
        begins = [begin for begin, _ in self.periods]
        if self.every == "month":
            return tuple(f"{begin:%Y-%m}" for begin in begins)
        return tuple(f"{begin.year} Q{(begin.month + 2) // 3}" for begin in begins)

    def period_of(self, day: dt.date) -> int:
        """The place of the period that holds a day: 0 for the first, below 0 before it."""
        months = (day.year - self.first.year) * 12 + day.month - self.first.month
        return months // EVERY[self.every]

    @property
    def rate(self) -> str:
        """The outcome and what it is per, as an axis prints it."""
        what = "Share of persons with " + self.outcome.name[:1].lower() + self.outcome.name[1:]
        return what if self.per == PERSON else f"{self.outcome.name} per {self.per}"

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a plan from a JSON file that `write` made."""
        file = Path(path)
        if not file.is_file():
            near = [p.name for p in file.parent.glob("*.json")] if file.parent.is_dir() else []
            raise DefinitionError(unknown("plan file", file.name, near, f"Looked in {file.parent}."))
        return cls.from_json(file.read_text(encoding="utf-8"))

    def __str__(self) -> str:
        return f"{self.title}: {self.rate}, {self.names[0]} to {self.names[-1]}"


@dataclass(frozen=True, kw_only=True)
class PanelPlan(PeriodPlan):
    """A staggered roll-out: sites by period, each from its start on under a programme; `panel` makes one.

    Attributes
    ----------
    start_events, starting_records : a site starts on the day of its so-manieth such record of a person registered
        there. start_dates : or its date is given; a site without one never starts.
    comparison : sites "not yet treated" (those that never start are among them) or "never treated" ones only.
    primary : the method of the main estimate: "group-time" (Callaway and Sant'Anna), "imputation" (Borusyak, Jaravel
        and Spiess), "stacked", or "two-way" fixed effects, which is refused where starts differ.
    seed : of the simulated critical value of the bands, and of drawn permutations.
    order : how it was settled which site starts when: "chosen", or "random", drawn by lot (a stepped-wedge trial).
    """

    kind: ClassVar[str] = "panel"
    made: ClassVar[str] = "a panel, made with co.panel(...)"
    start_events: Events | None = None
    starting_records: int = 1
    start_dates: tuple[SiteStart, ...] = ()
    comparison: str = "not yet treated"
    primary: str = "group-time"
    seed: int = 1
    order: str = "chosen"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("comparison", self.comparison, COMPARISONS)
        choice("primary method", self.primary, PRIMARIES)
        choice("order of starts", self.order, ORDERS)
        whole("starting_records", self.starting_records, 1)
        whole("seed", self.seed, 0)
        if (self.start_events is None) == (not self.start_dates):
            raise DefinitionError("Say when sites start, in one way: starts=events, or starts={site id: date, ...}.")
        sites = [one.site for one in self.start_dates]
        if twice := sorted({site for site in sites if sites.count(site) > 1}):
            raise DefinitionError(f"starts names the site(s) {', '.join(map(str, twice))} more than once.")

    def lint(self, source: Any = None, starts: Mapping[int, dt.date | None] | None = None) -> Findings:
        """Check the design, touching no record; with the starts of all sites, also what only they can tell."""
        from clinops.define.panel_lint import lint_panel

        return lint_panel(self, source, starts)


@dataclass(frozen=True, kw_only=True)
class SeriesPlan(PeriodPlan):
    """An interrupted series: one outcome by period, before and after a date; `series` makes one.

    Attributes
    ----------
    starts : the date; the period that holds it is the first one after.
    units, control_units : sites of the series and of its control; no units: everybody.
    control_outcome : or an outcome of the same persons that the programme cannot change, as the control.
    phase_in : periods from the start on that are left out.
    change : "level and slope" or "level".
    season : "harmonics" (a smooth season; two pairs for months, one for quarters), "indicators" or "none".
    meanwhile : what else happened at that time, in words; the report prints it.
    """

    kind: ClassVar[str] = "series"
    made: ClassVar[str] = "a series, made with co.series(...)"
    starts: dt.date
    units: tuple[int, ...] = ()
    control_units: tuple[int, ...] = ()
    control_outcome: Measure | None = None
    phase_in: int = 0
    change: str = "level and slope"
    season: str = "harmonics"
    meanwhile: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("season", self.season, SEASONS)
        choice("change", self.change, CHANGES)
        at = self.period_of(self.starts)
        if not 0 < at < len(self.periods):
            raise DefinitionError(
                f"The series goes from {self.first} to {self.last} and the programme starts on {self.starts}; at least "
                "one period must lie before the start and one from it on."
            )
        whole("phase_in", self.phase_in, 0, len(self.periods) - at - 1)
        if self.control_units and self.control_outcome is not None:
            raise DefinitionError("A series has one control: control=(site, ...), or an outcome.")
        if self.control_units and not self.units:
            raise DefinitionError("Everybody is in the series; name its sites (units=), so that others are a control.")
        if both := sorted(set(self.units) & set(self.control_units)):
            raise DefinitionError(f"Site(s) {', '.join(map(str, both))} are in the series and in its control.")
        self._check_control()

    def _check_control(self) -> None:
        other = self.control_outcome
        if other is None:
            return
        choice("kind of control outcome", other.measure, (self.outcome.measure,))
        if other.window is not None:
            raise DefinitionError(f"The control outcome {other.name!r} has a window; leave it out: each period is one.")

    @property
    def controlled(self) -> bool:
        """Whether there is a control series."""
        return bool(self.control_units) or self.control_outcome is not None

    def lint(self, source: Any = None) -> Findings:
        """Check the design, touching no record."""
        from clinops.define.panel_lint import lint_series

        return lint_series(self, source)


def panel(
    *,
    title: str,
    question: str,
    starts: Events | Mapping[int, str | dt.date],
    outcome: Measure,
    first: str | dt.date,
    last: str | dt.date,
    **more: Any,
) -> PanelPlan:
    """Define a staggered roll-out: sites by calendar period, some of which start a programme, at dates of their own.

    Parameters
    ----------
    starts : records of the programme (a site starts on the day of its first one, or of the `starting_records`-th), or
        the dates, {site id: date}; a site that is not named never starts.
    first, last : the first day of the first period and the last day of the last.
    others : as the attributes of `PanelPlan` and `PeriodPlan`; without `per`, counts are per 1,000 person-months and
        costs per person-month.

    Raises
    ------
    DefinitionError : an unknown field or an impossible value; the message says what to give.
    """
    given = _settled(PanelPlan, outcome, more, ("start_events", "start_dates"))
    if isinstance(starts, Events):
        given["start_events"] = starts
    elif isinstance(starts, Mapping):
        given["start_dates"] = tuple(
            SiteStart(site, as_date(day, f"the start of site {site}")) for site, day in sorted(starts.items())
        )
    else:
        raise DefinitionError(f"starts is {shown(starts)}; give events, or a date for each site: {{1: ...}}.")
    return PanelPlan(
        title=title, question=question, outcome=outcome, first=as_date(first, "first"), last=as_date(last, "last"),
        **given,
    )  # fmt: skip


def series(
    *,
    title: str,
    question: str,
    starts: str | dt.date,
    outcome: Measure,
    first: str | dt.date,
    last: str | dt.date,
    control: Measure | Sequence[int] = (),
    **more: Any,
) -> SeriesPlan:
    """Define an interrupted series: one outcome by calendar period, before and after a date.

    Parameters
    ----------
    starts : the date. first, last : the first day of the first period and the last day of the last.
    control : sites that never start, or an outcome of the same persons that the programme cannot change.
    others : as the attributes of `SeriesPlan` and `PeriodPlan`.

    Raises
    ------
    DefinitionError : an unknown field or an impossible value; the message says what to give.
    """
    given = _settled(SeriesPlan, outcome, more, ("control_units", "control_outcome"))
    if isinstance(control, Measure):
        given["control_outcome"] = control
    else:
        given["control_units"] = several(control, "control")
    return SeriesPlan(
        title=title, question=question, outcome=outcome, first=as_date(first, "first"), last=as_date(last, "last"),
        starts=as_date(starts, "starts"), **given,
    )  # fmt: skip


_USUAL = {"any": PERSON, "cost": "person-month"}


def _settled(cls: type[PeriodPlan], outcome: Any, more: dict[str, Any], apart: tuple[str, ...]) -> dict[str, Any]:
    """Hold the names of the fields given to those that there are; say what is not given and what it is per."""
    known = [name for name in cls.__dataclass_fields__ if name not in apart]
    for name in more:
        if name not in known:
            raise DefinitionError(unknown(f"part of a {cls.kind}", name, known))
    lists = ("population", "programme", "allow", "units")
    usual = {"per": _USUAL[outcome.measure]} if getattr(outcome, "measure", "") in _USUAL else {}
    return usual | {name: several(value, name) if name in lists else value for name, value in more.items()}


def plan_of(given: Any, cls: type[PeriodPlan], changes: Mapping[str, Any] | None = None) -> Any:
    """Return a plan, read from its file where a path is given, with some fields changed; None leaves one as it is.

    Raises
    ------
    DefinitionError : something else, a plan of another kind, no such file, an unknown or impossible field.
    """
    if isinstance(given, str | Path):
        given = cls.read(given)
    for name in changes or {}:
        if name not in cls.__dataclass_fields__:
            raise DefinitionError(unknown(f"part of a {cls.kind}", name, cls.__dataclass_fields__))
    if isinstance(given, cls):
        return dataclasses.replace(given, **{k: v for k, v in (changes or {}).items() if v is not None})
    raise DefinitionError(f"The plan is {shown(given)}; give {cls.made}, or the JSON file that its write made.")
