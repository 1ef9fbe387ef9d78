"""Cohorts: from entry events through ordered steps to entries, with the attrition of every step."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ibis.expr.types as ir
import pandas as pd

from clinops.build import codes, comparators, events, people
from clinops.build.memo import once
from clinops.build.steps import ENTRY, keep
from clinops.define.cohorts import CohortDefinition, Entry
from clinops.define.comparators import Candidates
from clinops.define.events import Events
from clinops.define.steps import Has, Lacks, Step

OBSERVED = "Index date inside an observation period"
"""Added to every cohort after its entry: whoever is not observed on the index date cannot be followed."""

COLUMNS = (*ENTRY, "observed_from", "observed_to")


@dataclass(frozen=True, eq=False)
class Cohort:
    """A cohort found in a source.

    Attributes
    ----------
    definition, source : what was looked for, and where.
    table : ibis table, one row an entry: person_id, index_date, observed_from and observed_to (first and
        last day of the observation episode that holds the index date).
    attrition : one row a rule in order (step 0 is the entry): step, rule, entries, persons,
        excluded_entries, excluded_persons. A person is excluded at the step that drops the last entry.
    """

    definition: CohortDefinition
    source: Any
    table: ir.Table
    attrition: pd.DataFrame

    @property
    def name(self) -> str:
        """The definition's name."""
        return self.definition.name

    @property
    def entries(self) -> int:
        """How many entries are left."""
        return int(self.attrition["entries"].iloc[-1])

    @property
    def persons(self) -> int:
        """How many persons are left."""
        return int(self.attrition["persons"].iloc[-1])

    @cached_property
    def codes(self) -> pd.DataFrame:
        """What each code list of the definition matched; see `codes.matches`."""
        return codes.matches(events_of(self.definition), self.source)

    def __str__(self) -> str:
        return f"{self.name}: {self.entries} entries of {self.persons} persons"


@dataclass(frozen=True, eq=False)
class _Stage:
    """A materialised step: its entries and how many there are."""

    table: ir.Table
    entries: int
    persons: int


def build(definition: CohortDefinition, source: Any, exposed: Cohort | None = None) -> Cohort:
    """Find the cohort's entries, one materialised table a step.

    A person may have one entry a day. The entry's own rule decides
    where `First` stands: before every other step for "first ever" (over all events on record), after every
    other one for "first eligible". Between the entry and the steps stands the rule that the index date lies
    inside an observation period.

    Parameters
    ----------
    definition : what to look for.
    source : where; nothing in it is changed.
    exposed : the exposed cohort, for a comparator whose index dates come from it (see
        `clinops.define.comparators`); without it every exposure on record while observed stands for an entry.

    Returns
    -------
    Cohort, also where nobody is left: the attrition then says at which step.

    Raises
    ------
    DataError : the code list of the entry or of a required event matches nothing in the source, or a table that
        a step needs is missing. An excluding list that matches nothing excludes nobody: `Cohort.codes` says so.
    """
    start = (definition.entry, exposed if isinstance(definition.entry, Candidates) else None)
    rules = [_start_label(definition)]
    stages = [_entry(start, source)]
    for position, (label, _) in enumerate(rules_of(definition)):
        stages.append(_stage(definition, start, source, position))
        rules.append(label)
    return Cohort(definition, source, stages[-1].table.select(*COLUMNS), _attrition(rules, stages))


def rules_of(definition: CohortDefinition) -> list[tuple[str, Step | None]]:
    """The rules after the entry, in order, with their labels; None is the rule about observation."""
    steps: list[Step | None] = list(definition.ordered_steps)
    steps.insert(1 if definition.entry.which == "first ever" else 0, None)
    return [(OBSERVED if step is None else step.label, step) for step in steps]


def events_of(definition: CohortDefinition) -> list[Events]:
    """Every set of events that the definition names, once each, in order."""
    named = list(definition.entry.named)
    named += [step.events for step in definition.steps if isinstance(step, Has | Lacks)]
    named += [end for end in definition.exit if isinstance(end, Events)]
    return list(dict.fromkeys(named))


def _start_label(definition: CohortDefinition) -> str:
    if isinstance(definition.entry, Candidates):
        return definition.entry.label
    events = definition.entry.events
    return events.label.capitalize() if events.codes is None else f"Any {events.label}"


_Start = tuple[Entry | Candidates, Cohort | None]
"""An entry, and the exposed cohort that a comparator's index dates come from."""


def _start_key(start: _Start) -> tuple[Hashable, ...]:
    """What tells candidates apart: the events alone where their rule is a step, so that arms can share them."""
    entry, exposed = start
    if isinstance(entry, Entry):
        return (entry.events,)
    return (entry, None if exposed is None else exposed.definition)


def _entry(start: _Start, source: Any) -> _Stage:
    entry, exposed = start

    def make() -> ir.Table:
        if isinstance(entry, Entry):
            return _candidates(entry.events, source)
        return _of_persons(comparators.person_dates(entry, source, None if exposed is None else exposed.table), source)

    return _kept(source, _start_key(start), make, "entry")


def _stage(definition: CohortDefinition, start: _Start, source: Any, position: int) -> _Stage:
    """The stage after the rule at this position, made from the one before it."""
    steps = [step for _, step in rules_of(definition)[: position + 1]]
    before = _stage(definition, start, source, position - 1) if position else _entry(start, source)
    step = steps[-1]

    def make() -> ir.Table:
        return observed_on(before.table, source) if step is None else keep(step, before.table, source)

    hint = "observed" if step is None else step.kind
    return _kept(source, (*_start_key(start), *steps), make, hint)


def _kept(source: Any, key: Any, make: Any, hint: str) -> _Stage:
    """Materialise a stage once: the arms of a protocol share their entry and most of their steps."""

    def run() -> _Stage:
        table = source.engine.materialise(make(), hint)
        found = source.engine.rows(table.agg(entries=table.count(), persons=table.person_id.nunique()))[0]
        return _Stage(table, int(found["entries"]), int(found["persons"]))

    return once(source, ("stage", key), run)


def _candidates(entry: Events, source: Any) -> ir.Table:
    """One row a person and day with an entry event, with what the steps need to know of the person."""
    events.require(entry, source)
    dated = events.records(entry, source)
    return _of_persons(dated.select("person_id", index_date=dated.date).distinct(), source)


def _of_persons(days: ir.Table, source: Any) -> ir.Table:
    """Days with what the steps need to know of their persons; of nobody else."""
    return days.inner_join(people.persons(source).select("person_id", "gender_concept_id", *people.BIRTH), "person_id")


def observed_on(entries: ir.Table, source: Any) -> ir.Table:
    """Keep the entries inside an observation episode, and note the episode's first and last day."""
    periods = source.table("observation_period")
    episodes = periods.select(
        "person_id",
        observed_from=periods.observation_period_start_date,
        observed_to=periods.observation_period_end_date,
    )
    joined = entries.inner_join(episodes, "person_id")
    inside = joined.index_date.between(joined.observed_from, joined.observed_to)
    return joined.filter(inside).select(*entries.columns, "observed_from", "observed_to")


def _attrition(rules: list[str], stages: list[_Stage]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "step": range(len(rules)),
            "rule": rules,
            "entries": [stage.entries for stage in stages],
            "persons": [stage.persons for stage in stages],
        }
    )
    for name in ("entries", "persons"):
        frame[f"excluded_{name}"] = (-frame[name].diff()).fillna(0).astype("int64")
    return frame
