"""Contacts after an index day: the first visit after discharge, the first step after a referral."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build import codes, events, people
from clinops.build.entries import collect
from clinops.define.events import Events
from clinops.sources import omop


def visits(source: Any, wanted: tuple[Events, ...], concepts: tuple[int, ...]) -> ir.Table:
    """Visits of the given events, else of the concepts: id, person_id, day, and the provider and site that were seen.

    Raises
    ------
    DataError : the records hold no such events.
    """
    found = omop.events(source, "visit")
    for one in wanted:
        events.require(one, source)
    if wanted:
        parts = [codes.match(one, source).narrow(found) if one.codes else found for one in wanted]
        found = ibis.union(*parts, distinct=True) if len(parts) > 1 else parts[0]
    else:
        found = found.filter(found.concept_id.isin(concepts))
    table = source.table("visit_occurrence")
    more = table.select(more_id=table.visit_occurrence_id, provider=table.provider_id, site=table.care_site_id)
    dated = found.filter(found.start_date.notnull())
    joined = dated.inner_join(more, dated.record_id == more.more_id)
    return joined.select("person_id", "provider", "site", id=joined.record_id, day=joined.start_date).distinct()


def days_of(source: Any, wanted: tuple[Events, ...]) -> ir.Table:
    """Distinct days on which a person has any of these events: person_id and day."""
    for one in wanted:
        events.require(one, source)
    parts = [events.records(one, source) for one in wanted]
    days = [part.select("person_id", day=part.date) for part in parts]
    return ibis.union(*days, distinct=True) if len(days) > 1 else days[0].distinct()


@dataclass(frozen=True, eq=False)
class After:
    """The first contact after each index.

    Attributes
    ----------
    frame : one row an index, by person and day: person_id, day, days_to (NaN for none up to the last day asked
        for), days_to_death (NaN for none), followed (observed to the last day, or until death before it).
    last : the last day that was looked at.
    """

    frame: pd.DataFrame
    last: int


def first_after(source: Any, index: ir.Table, contacts: ir.Table, first: int, last: int) -> After:
    """Find the first contact on day `first` to day `last` after each index.

    Parameters
    ----------
    index : person_id and day, one row an index.
    contacts : person_id and day.
    """
    seen = contacts.select(who=contacts.person_id, on=contacts.day).distinct()
    joined = index.inner_join(seen, index.person_id == seen.who)
    apart = joined.select("person_id", "day", gap=joined.on.delta(joined.day, unit="day"))
    inside = apart.filter(apart.gap >= first, apart.gap <= last)
    reached = inside.group_by(["person_id", "day"]).agg(days_to=inside.gap.min())
    reached = reached.rename(who="person_id", at="day")
    both = index.left_join(reached, [index.person_id == reached.who, index.day == reached.at]).drop("who", "at")
    return After(pd.DataFrame(collect(source, _followed(source, both, last).order_by(["person_id", "day"]))), last)


def _followed(source: Any, table: ir.Table, last: int) -> ir.Table:
    held = source.table("observation_period")
    periods = held.select(
        who=held.person_id, starts=held.observation_period_start_date, ends=held.observation_period_end_date
    )
    joined = table.left_join(
        periods, [table.person_id == periods.who, periods.starts <= table.day, periods.ends >= table.day]
    ).drop("who", "starts")
    died = people.deaths(source).rename(who="person_id")
    both = joined.left_join(died, joined.person_id == died.who).drop("who")
    after, death = both.ends.delta(both.day, unit="day"), both.death_date.delta(both.day, unit="day")
    to_death = (death <= last) & (after >= death)
    known = (after >= last).fill_null(False) | to_death.fill_null(False)
    return both.mutate(days_to_death=death, followed=known).drop("ends", "death_date")
