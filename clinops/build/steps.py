"""Steps: each turns a table of candidate entries into the table of those that it keeps."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.build import people
from clinops.build.events import occasions, require
from clinops.define.steps import Age, Between, First, Has, Lacks, Observed, Sex, Step
from clinops.errors import DefinitionError

ENTRY = ("person_id", "index_date")
"""What tells one candidate entry from another."""


@singledispatch
def keep(step: Step, entries: ir.Table, source: Any) -> ir.Table:
    """Return the entries at which the step holds.

    Parameters
    ----------
    step : one of the steps of `clinops.define.steps`.
    entries : one row a candidate entry, with the columns of `cohorts.candidates`.
    source : where the events are.

    Raises
    ------
    DefinitionError : the step is of a kind that nobody has taught this function.
    """
    raise DefinitionError(f"There is no way yet to apply a step of type {step.kind!r}.")


@keep.register
def _(step: Between, entries: ir.Table, source: Any) -> ir.Table:
    return entries.filter(entries.index_date.between(ibis.date(step.start), ibis.date(step.end)))


@keep.register
def _(step: Age, entries: ir.Table, source: Any) -> ir.Table:
    age = people.age(entries, exact=step.rule == "exact")
    return entries.filter(age >= step.low, *([age <= step.high] if step.high is not None else []))


@keep.register
def _(step: Sex, entries: ir.Table, source: Any) -> ir.Table:
    return entries.filter(entries.gender_concept_id == people.SEX_CONCEPTS[step.sex])


@keep.register
def _(step: Observed, entries: ir.Table, source: Any) -> ir.Table:
    seen_before = entries.index_date.delta(entries.observed_from, unit="day") >= step.before
    seen_after = entries.observed_to.delta(entries.index_date, unit="day") >= step.after
    return entries.filter(seen_before, seen_after)


@keep.register
def _(step: First, entries: ir.Table, source: Any) -> ir.Table:
    first = entries.group_by("person_id").agg(index_date=entries.index_date.min())
    return entries.inner_join(first, list(ENTRY)).select(*entries.columns)


@keep.register
def _(step: Has, entries: ir.Table, source: Any) -> ir.Table:
    require(step.events, source)
    found = occasions(entries, step.events, source, step.window, by=ENTRY)
    enough = found.group_by(list(ENTRY)).agg(n=found.count())
    enough = enough.filter(enough.n >= step.at_least).drop("n")
    return entries.inner_join(enough, list(ENTRY)).select(*entries.columns)


@keep.register
def _(step: Lacks, entries: ir.Table, source: Any) -> ir.Table:
    found = occasions(entries, step.events, source, step.window, by=ENTRY).select(*ENTRY).distinct()
    marked = found.mutate(found=True).rename(found_person="person_id", found_date="index_date")
    same = [entries.person_id == marked.found_person, entries.index_date == marked.found_date]
    joined = entries.left_join(marked, same)
    return joined.filter(joined.found.isnull()).select(*entries.columns)
