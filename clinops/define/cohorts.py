"""Cohorts: an entry, ordered steps, and what ends a person's time in the cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, choice
from clinops.define.comparators import Candidates
from clinops.define.events import Events
from clinops.define.fields import several
from clinops.define.steps import First, Step
from clinops.errors import DefinitionError, unknown

ENTRY_RULES = ("first ever", "first eligible", "every", "undeclared")
ENDS = ("end of observation", "death")


@dataclass(frozen=True)
class Entry(Definition):
    """The events that can start a person's follow-up, and which of them counts.

    ``first ever`` takes the first event on record, then applies the steps; ``first eligible``
    applies the steps to every event, then takes the first; ``every`` keeps all eligible ones (the
    person may appear more than once). ``undeclared`` is what bare events become, and a lint error.
    """

    kind: ClassVar[str] = "entry"
    made: ClassVar[str] = "an entry, such as co.first_eligible(co.events(...))"
    events: Events
    which: str = "undeclared"

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("entry rule", self.which, ENTRY_RULES)

    @property
    def label(self) -> str:
        """The entry as the attrition table prints it."""
        name = self.events.label
        return {"first ever": f"First ever {name}", "every": f"Every {name}"}.get(self.which, f"Any {name}")

    @property
    def named(self) -> tuple[Events, ...]:
        """Every set of events that the entry names."""
        return (self.events,)

    @property
    def repeats(self) -> bool:
        """Whether the rule itself lets a person enter more than once."""
        return self.which not in ("first ever", "first eligible")

    def ordered(self, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """The cohort's steps with the rule itself made explicit as a `First` where it stands."""
        if self.which == "first ever":
            return (First(), *steps)
        return (*steps, First()) if self.which == "first eligible" else steps


@dataclass(frozen=True)
class CohortDefinition(Definition):
    """Who enters, on which day, and what ends their time in it.

    ``exit`` holds "death", "end of observation" or events: the first one from day 1 on ends the
    follow-up of this arm, over and above what the protocol's follow-up says.
    """

    kind: ClassVar[str] = "cohort"
    made: ClassVar[str] = "a cohort, made with co.cohort(name, entry=..., steps=(...))"
    name: str
    entry: Entry | Candidates
    steps: tuple[Step, ...] = ()
    exit: tuple[str | Events, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.strip():
            raise DefinitionError("A cohort needs a name: it heads a column of every table.")
        check_ends(self.exit)

    @property
    def ordered_steps(self) -> tuple[Step, ...]:
        """The steps with those of the entry's own rule made explicit where they stand."""
        return self.entry.ordered(self.steps)

    @property
    def repeats(self) -> bool:
        """Whether a person may enter more than once."""
        return self.entry.repeats and not any(isinstance(step, First) for step in self.steps)

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.entry.label.lower()}"]
        return "\n".join(lines + [f"  {i}. {step.label}" for i, step in enumerate(self.ordered_steps, 1)])


def check_ends(ends: tuple[str | Events, ...]) -> None:
    """Refuse anything that cannot end follow-up."""
    for end in ends:
        if not isinstance(end, Events) and end not in ENDS:
            raise DefinitionError(unknown("end of follow-up", end, ENDS, "Or give events: co.events(...)."))


def first_ever(events: Events) -> Entry:
    """Enter at the first event on record; the steps then keep or drop that one entry."""
    return Entry(events, "first ever")


def first_eligible(events: Events) -> Entry:
    """Enter at the first event at which every step holds."""
    return Entry(events, "first eligible")


def every(events: Events) -> Entry:
    """Enter at every event at which every step holds; a person may appear more than once."""
    return Entry(events, "every")


def cohort(
    name: str,
    entry: Entry | Candidates | Events,
    steps: tuple[Step, ...] | list[Step] | Step = (),
    exit: tuple[str | Events, ...] | str | Events = (),
) -> CohortDefinition:
    """Define a cohort: who enters, by which ordered steps, and what ends their time in it."""
    rules = several(steps, "steps of the cohort")
    start = Entry(entry, _rule_of(rules)) if isinstance(entry, Events) else entry
    return CohortDefinition(name, start, rules, several(exit, "exit of the cohort"))


def _rule_of(steps: tuple[Step, ...]) -> str:
    """Bare events with a `first()` among the steps say all that needs saying; without one they do not."""
    return "every" if any(isinstance(step, First) for step in steps) else "undeclared"
