"""Steps: the ordered rules that turn candidate entries into a cohort."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, as_date, choice, whole
from clinops.define.events import Events
from clinops.define.windows import Window
from clinops.errors import DefinitionError

SEXES = ("female", "male")


class Step(Definition):
    """One rule of eligibility: keeps or drops candidate entries, and is one row of the attrition."""

    made: ClassVar[str] = "a step, such as co.has(...), co.lacks(...), co.age(...) or co.between(...)"

    @property
    def label(self) -> str:
        """The rule as the attrition table prints it."""
        raise AssertionError(f"{type(self).__name__} lacks a label")

    @property
    def reaches(self) -> int | None:
        """The last day from index that the rule looks at; None is without bound."""
        return 0

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Between(Step):
    """The index date lies between two dates, both included."""

    kind: ClassVar[str] = "between"
    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start > self.end:
            raise DefinitionError(f"between {self.start} and {self.end} is empty; write the earlier date first.")

    @property
    def label(self) -> str:
        return f"Index date {self.start} to {self.end}"


@dataclass(frozen=True)
class Age(Step):
    """Whole years of age at the index date, both limits included.

    From the birth date where month and day are known (``rule="exact"``); ``rule="year"`` is the
    index year minus the birth year, as many published counts have it.
    """

    kind: ClassVar[str] = "age"
    low: int = 0
    high: int | None = None
    rule: str = "exact"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("the lowest age", self.low, 0, 130)
        if self.high is not None:
            whole("the highest age", self.high, self.low, 130)
        choice("rule of age", self.rule, ("exact", "year"))

    @property
    def label(self) -> str:
        span = f"{self.low} or older" if self.high is None else f"{self.low} to {self.high}"
        return f"Age {span}" + (" (index year minus birth year)" if self.rule == "year" else "")


@dataclass(frozen=True)
class Sex(Step):
    """Recorded sex."""

    kind: ClassVar[str] = "sex is"
    sex: str

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("sex", self.sex, SEXES)

    @property
    def label(self) -> str:
        return f"Sex {self.sex}"


@dataclass(frozen=True)
class Observed(Step):
    """Observed without a gap from `before` days before the index date to `after` days after it."""

    kind: ClassVar[str] = "observed"
    before: int = 0
    after: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("days observed before", self.before, 0)
        whole("days observed after", self.after, 0)

    @property
    def reaches(self) -> int | None:
        return self.after

    @property
    def label(self) -> str:
        later = f" and {self.after} days after" if self.after else ""
        return f"Observed for {self.before} days before index{later}" if self.before else f"Observed on index{later}"


@dataclass(frozen=True)
class Has(Step):
    """At least `at_least` events within the window."""

    kind: ClassVar[str] = "has"
    events: Events
    window: Window
    at_least: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("at_least", self.at_least, 1)

    @property
    def reaches(self) -> int | None:
        return self.window.end

    @property
    def label(self) -> str:
        times = f" at least {self.at_least} times" if self.at_least > 1 else ""
        return f"Has {self.events.label}{times}, {self.window}"


@dataclass(frozen=True)
class Lacks(Step):
    """No event within the window."""

    kind: ClassVar[str] = "lacks"
    events: Events
    window: Window

    @property
    def reaches(self) -> int | None:
        return self.window.end

    @property
    def label(self) -> str:
        return f"No {self.events.label}, {self.window}"


@dataclass(frozen=True)
class First(Step):
    """Each person's first entry among those that the steps so far have kept."""

    kind: ClassVar[str] = "first"

    @property
    def label(self) -> str:
        return "First entry of each person"


def between(start: str | dt.date, end: str | dt.date) -> Between:
    """Keep entries whose index date lies between two dates, both included."""
    return Between(as_date(start, "the start of between"), as_date(end, "the end of between"))


def age(low: int = 0, high: int | None = None, rule: str = "exact") -> Age:
    """Keep entries at which the person is `low` to `high` whole years old."""
    return Age(low, high, rule)


def sex_is(sex: str) -> Sex:
    """Keep entries of persons recorded as "female" or "male"."""
    return Sex(sex)


def observed(before: int = 0, after: int = 0) -> Observed:
    """Keep entries observed without a gap for so many days before (and after) the index date."""
    return Observed(before, after)


def has(events: Events, window: Window, at_least: int = 1) -> Has:
    """Keep entries with at least so many events within the window."""
    return Has(events, window, at_least)


def lacks(events: Events, window: Window) -> Lacks:
    """Keep entries with no event within the window."""
    return Lacks(events, window)


def first() -> First:
    """Keep each person's first entry among those left so far; where it stands changes the counts."""
    return First()
