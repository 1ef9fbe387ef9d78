"""Dates on which nothing began: the same persons some time earlier, and at an earlier event of the same kind."""

from __future__ import annotations

import dataclasses

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build import events
from clinops.build.cohorts import COLUMNS, Cohort


def moved(cohort: Cohort, days: int, before: int) -> Cohort:
    """Move every index date of a cohort back by so many days, where the person was already observed.

    Parameters
    ----------
    days : by which dates move back.
    before : days of observation needed before the new date, in the same episode.

    Returns
    -------
    Cohort with one more step in its attrition: who was observed long enough. No other rule of the cohort is applied
    again: they chose these persons at the true date, and the placebo asks what they were like before it.
    """
    table = cohort.table
    date = (table.index_date - ibis.interval(days=days)).cast("date")
    earlier = table.mutate(index_date=date)
    return _kept(cohort, earlier, before, f"Observed {before} days before a date {days} days earlier")


def at_earlier_entry(cohort: Cohort, days: int, before: int) -> Cohort:
    """Move every index date to the last earlier event of the cohort's entry, at least so many days before.

    Parameters
    ----------
    days : at least so long before the true index date. before : as in `moved`.

    Returns
    -------
    Cohort: entries without such an event are gone; the rules of the cohort but for its entry are not applied again.
    """
    dated = events.records(cohort.definition.entry.events, cohort.source)
    held = dated.select(who="person_id", earlier="date").distinct()
    table = cohort.table
    joined = table.inner_join(held, table.person_id == held.who)
    apart = joined.index_date.delta(joined.earlier, unit="day")
    past = joined.filter(apart >= days)
    last = past.group_by(list(COLUMNS)).agg(earlier=past.earlier.max())
    found = last.mutate(index_date=last.earlier).drop("earlier")
    return _kept(cohort, found, before, f"An earlier entry event, {days} days before or more, observed {before} days")


def _kept(cohort: Cohort, entries: ir.Table, before: int, rule: str) -> Cohort:
    seen = entries.index_date.delta(entries.observed_from, unit="day") >= before
    source = cohort.source
    # Two entries of one person may share an earlier event; it is one entry then.
    table = source.engine.materialise(entries.filter(seen).select(*cohort.table.columns).distinct(), "placebo")
    counts = source.engine.rows(table.agg(entries=table.count(), persons=table.person_id.nunique()))[0]
    left, last = {name: int(counts[name]) for name in ("entries", "persons")}, cohort.attrition.iloc[-1]
    row = {"step": int(last["step"]) + 1, "rule": rule, **left}
    row |= {f"excluded_{name}": int(last[name]) - left[name] for name in left}
    steps = pd.concat([cohort.attrition, pd.DataFrame([row])], ignore_index=True)
    return dataclasses.replace(cohort, table=table, attrition=steps)
