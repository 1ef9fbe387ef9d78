"""Index dates for people who have not enrolled: entries that give a comparator the day from which it is followed.

Each is an entry of `cohort`, after which the same steps as of the exposed apply on that day. Nobody is a candidate on a
day on which they have met the exposure, or met it before; whoever meets it later is a candidate until then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from clinops.define.base import Definition, choice, whole
from clinops.define.events import Events
from clinops.define.fields import shown
from clinops.define.steps import Lacks, Step
from clinops.define.windows import Window
from clinops.errors import DefinitionError

if TYPE_CHECKING:
    from clinops.define.cohorts import Entry

PERIODS = ("month", "quarter", "year")
LATER = ("undeclared", "kept")
SEED = 20260101
LIMIT = 20_000_000
"""Candidate person-dates that are made without being asked twice: about 1 GB in the engine."""


class Candidates(Definition):
    """A rule that gives an index date to people who have not met the exposure (`events`) by that day.

    ``later`` says what happens to those who meet it afterwards: end their follow-up with ``exit=`` of the cohort, or
    declare with ``later="kept"`` that they stay as they were assigned.
    """

    made: ClassVar[str] = "an entry, such as co.risk_set(co.events(...))"
    events: Events
    later: str

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("plan for later exposure", self.later, LATER)

    @property
    def which(self) -> str:
        """The rule in a word or two."""
        return self.kind

    @property
    def label(self) -> str:
        """The entry as the attrition table prints it."""
        raise AssertionError(f"{type(self).__name__} lacks a label")

    @property
    def named(self) -> tuple[Events, ...]:
        """Every set of events that the rule names."""
        return (self.events,)

    @property
    def repeats(self) -> bool:
        """Whether a person may enter more than once."""
        return True

    def ordered(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The cohort's steps with those that belong to the rule made explicit where they stand."""
        return steps


@dataclass(frozen=True)
class RiskSet(Candidates):
    """Everyone at risk on each day on which somebody enters the exposed cohort.

    Attributes
    ----------
    per_case : draw so many for each exposed entry (incidence density sampling); None takes all.
    at : only those with one of these events on that day (a visit, at which they too could have enrolled).
    seed : of the draw. limit : the most candidate person-dates that are made; more is refused with their number.
    """

    kind: ClassVar[str] = "risk set"
    events: Events
    per_case: int | None = None
    at: Events | None = None
    seed: int = SEED
    limit: int = LIMIT
    later: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per_case is not None:
            whole("per_case", self.per_case, 1)
        whole("the seed", self.seed, 0)
        whole("the limit of candidates", self.limit, 1)

    @property
    def label(self) -> str:
        drawn = "" if self.per_case is None else f", {self.per_case} drawn for each entry (seed {self.seed})"
        there = "Observed" if self.at is None else f"At {self.at.label}"
        return f"{there}, without {self.events.label} so far, on a day on which somebody enters at it{drawn}"

    @property
    def named(self) -> tuple[Events, ...]:
        return (self.events,) if self.at is None else (self.events, self.at)


@dataclass(frozen=True)
class Rolling(Candidates):
    """One day in each calendar period in which somebody enters the exposed cohort.

    Attributes
    ----------
    every : "month", "quarter" or "year".
    at : the day is the first of the period; or the person's first of these events in it.
    """

    kind: ClassVar[str] = "rolling entry"
    events: Events
    every: str = "month"
    at: Events | None = None
    limit: int = LIMIT
    later: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("calendar period", self.every, PERIODS)
        whole("the limit of candidates", self.limit, 1)

    @property
    def label(self) -> str:
        day = "first day" if self.at is None else f"first {self.at.label}"
        return f"{day.capitalize()} of each {self.every}, observed and without {self.events.label} so far"

    @property
    def named(self) -> tuple[Events, ...]:
        return (self.events,) if self.at is None else (self.events, self.at)


@dataclass(frozen=True)
class Sequential(Candidates):
    """A trial in each calendar period, or at every event of a kind; a person can be in many.

    Attributes
    ----------
    every : the calendar period, whose first day starts the trial; not used where `visit` is given.
    visit : events each of which starts a trial for the person.
    """

    kind: ClassVar[str] = "sequential trials"
    events: Events
    every: str = "month"
    visit: Events | None = None
    limit: int = LIMIT
    later: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("calendar period", self.every, PERIODS)
        whole("the limit of candidates", self.limit, 1)

    @property
    def label(self) -> str:
        if self.visit is not None:
            return f"Every {self.visit.label} while the trials run"
        return f"First day of the trial of each {self.every}, observed and without {self.events.label} so far"

    @property
    def named(self) -> tuple[Events, ...]:
        return (self.events,) if self.visit is None else (self.events, self.visit)

    def ordered(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return steps if self.visit is None else (not_yet(self.events), *steps)


@dataclass(frozen=True)
class RandomVisit(Candidates):
    """One event of each person (a visit, say), drawn at random among those at which every step holds."""

    kind: ClassVar[str] = "random visit"
    events: Events
    visit: Events
    seed: int = SEED
    later: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("the seed", self.seed, 0)

    @property
    def label(self) -> str:
        return f"Any {self.visit.label}"

    @property
    def named(self) -> tuple[Events, ...]:
        return (self.events, self.visit)

    @property
    def repeats(self) -> bool:
        return False

    def ordered(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return (not_yet(self.events), *steps, OneAtRandom(self.seed))


@dataclass(frozen=True)
class EnrolmentTimes(Candidates):
    """A waiting time drawn from those of the exposed, counted from the person's own first qualifying event."""

    kind: ClassVar[str] = "enrolment times"
    events: Events
    qualifying: Events
    seed: int = SEED
    later: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        whole("the seed", self.seed, 0)
        if self.events == self.qualifying:
            raise DefinitionError("The qualifying event and the exposure are the same, so no time lies between them.")

    @property
    def label(self) -> str:
        return f"Alive at a time after {self.qualifying.label} drawn from those of the exposed (seed {self.seed})"

    @property
    def named(self) -> tuple[Events, ...]:
        return (self.events, self.qualifying)

    @property
    def repeats(self) -> bool:
        return False

    def ordered(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        return (not_yet(self.events), *steps)


@dataclass(frozen=True)
class OneAtRandom(Step):
    """One of each person's entries among those that the steps so far have kept, drawn by a seed."""

    kind: ClassVar[str] = "one at random"
    seed: int = SEED

    @property
    def label(self) -> str:
        return f"One entry of each person, drawn at random (seed {self.seed})"


def not_yet(exposure: Events) -> Lacks:
    """The rule that the exposure has not been met up to and including the index date."""
    return Lacks(exposure, Window(None, 0))


def risk_set(
    exposure: Events, *, per_case: int | None = None, at: Events | None = None, seed: int = SEED, limit: int = LIMIT,
    later: str = "undeclared",
) -> RiskSet:  # fmt: skip
    """Enter on each day on which somebody enters the exposed cohort, if observed and not yet exposed by then."""
    return RiskSet(exposure, per_case, at, seed, limit, later)


def rolling(
    exposure: Events, every: str = "month", *, at: Events | None = None, limit: int = LIMIT, later: str = "undeclared"
) -> Rolling:
    """Enter on one day of each calendar period: its first day, or the first of the events `at` in it."""
    return Rolling(exposure, every, at, limit, later)


def random_visit(visit: Events, exposure: Events, *, seed: int = SEED, later: str = "undeclared") -> RandomVisit:
    """Enter at a random eligible visit; lint warns, since such a day is not at the exposed's point of need."""
    return RandomVisit(exposure, visit, seed, later)


def enrolment_times(
    qualifying: Events, exposure: Events, *, seed: int = SEED, later: str = "undeclared"
) -> EnrolmentTimes:
    """Enter at a time after the own qualifying event, drawn from the times that the exposed took to enrol."""
    return EnrolmentTimes(exposure, qualifying, seed, later)


def sequential(
    exposure: Events, every: str | Events | Entry = "month", *, limit: int = LIMIT, later: str = "undeclared"
) -> Sequential:
    """Enter a trial in every calendar period, or at every event of `co.every(...)`, while not yet exposed."""
    if isinstance(every, str):
        return Sequential(exposure, every, None, limit, later)
    if isinstance(every, Events):
        return Sequential(exposure, "month", every, limit, later)
    which = getattr(every, "which", "")
    if which != "every":
        raise DefinitionError(f"every is {shown(every)}; give a period, such as 'month', or co.every(...).")
    return Sequential(exposure, "month", every.events, limit, later)
