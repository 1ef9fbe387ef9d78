"""Use of care by person: emergency visits, observation stays, follow-up, continuity, missed appointments.

`within` is the persons and their days that count (`readmissions.after_index`); None: everybody in the period.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pandas as pd

from clinops.build.care.contacts import After, days_of, first_after, visits
from clinops.build.care.readmissions import Readmitted, period, readmitted, watched
from clinops.build.entries import collect
from clinops.define.care import CareRules
from clinops.sources import omop

AMBULATORY = (9202, 5083, 38004207, *omop.OFFICE)
"""Outpatient visit, telehealth, ambulatory clinic, office: what a follow-up or a continuous relation can be with."""


def admissions(source: Any, rules: CareRules, within: ir.Table | None = None) -> Readmitted:
    """Episodes of hospital care in the period, by the rules' own, followed for the last of their days."""
    own = replace(rules.episodes, days=max(rules.days), first=rules.first, last=rules.last)
    return readmitted(source, own, within)


def observed(source: Any, rules: CareRules, within: ir.Table | None = None) -> ir.Table:
    """Spans of days alive and observed within the period: person_id, begin, finish."""
    first, last = period(source, replace(rules.episodes, first=rules.first, last=rules.last))
    return watched(source, first, last, within)


def emergency(source: Any, rules: CareRules, found: Readmitted, within: ir.Table | None = None) -> pd.DataFrame:
    """One row a person observed with an emergency visit: released and admitted.

    Several visits that start on one day are one; admitted are those after which a hospital stay starts that day or
    the next.
    """
    seen = inside(source, rules, visits(source, rules.emergency, omop.EMERGENCY).select("person_id", "day"), within)
    stays = found.table.select(who=found.table.person_id, start=found.table.admitted).distinct()
    joined = seen.left_join(
        stays, [seen.person_id == stays.who, stays.start >= seen.day, stays.start.delta(seen.day, unit="day") <= 1]
    )
    days = joined.group_by(["person_id", "day"]).agg(stays=joined.who.count())
    by = days.group_by("person_id").agg(
        released=days.count(where=days.stays == 0), admitted=days.count(where=days.stays > 0)
    )
    return pd.DataFrame(collect(source, by.order_by("person_id")))


def observation(source: Any, rules: CareRules, within: ir.Table | None = None) -> pd.DataFrame:
    """One row a person observed with an observation stay: visits; stays that start on one day are one."""
    seen = inside(source, rules, visits(source, rules.observation, ()).select("person_id", "day"), within)
    return pd.DataFrame(collect(source, seen.group_by("person_id").agg(visits=seen.count()).order_by("person_id")))


def inside(source: Any, rules: CareRules, days: ir.Table, within: ir.Table | None) -> ir.Table:
    """Distinct days of the persons on which they were observed within the period."""
    spans = observed(source, rules, within).rename(who="person_id")
    once = days.distinct()
    joined = once.inner_join(
        spans, [once.person_id == spans.who, once.day >= spans.begin, once.day <= spans.finish]
    )  # fmt: skip
    return joined.select("person_id", "day").distinct()


def follow_up(source: Any, rules: CareRules, found: Readmitted) -> After:
    """First ambulatory visit after each index discharge, with `days_to_next` (admission) beside it."""
    table = found.table.filter(found.table["index"])
    index = table.group_by(["person_id", "discharged"]).agg(days_to_next=table.days_to_next.min())
    contacts = visits(source, rules.visits, AMBULATORY)
    return first_after(source, index.rename(day="discharged"), contacts, rules.from_day, max(rules.days))


def access(source: Any, rules: CareRules, within: ir.Table | None = None) -> After:
    """First next step after each day with a first one (a referral, an offer), on day 0 to the last of the days."""
    index = inside(source, rules, days_of(source, rules.steps_from), within)
    return first_after(source, index, days_of(source, rules.steps_to), 0, max(rules.days))


def continuity(source: Any, rules: CareRules, within: ir.Table | None = None) -> tuple[pd.DataFrame, int]:
    """Continuity of ambulatory care of each person with at least `at_least` visits, and visits that name no provider.

    Several visits to one provider (or site) on a day are one.

    Returns
    -------
    One row a person: person_id, visits, providers, upc, coc, secon (each 0 to 1); and a number of visits.
    """
    held = visits(source, rules.visits, AMBULATORY)
    spans = observed(source, rules, within).rename(who="person_id")
    seen = held.inner_join(spans, [held.person_id == spans.who, held.day >= spans.begin, held.day <= spans.finish])
    named = seen.select("person_id", "day", "id", whom=seen[rules.by]).distinct()
    lost = named.filter(named.whom.isnull())
    unnamed = int(source.engine.rows(lost.agg(n=lost.count()))[0]["n"])
    kept = named.filter(named.whom.notnull())
    # One visit a provider and day; the lowest id orders several providers on one day.
    once = kept.group_by(["person_id", "day", "whom"]).agg(id=kept.id.min())
    order = ibis.window(group_by="person_id", order_by=["day", "id"])
    again = once.mutate(same=(once.whom == once.whom.lag(1).over(order)).fill_null(False).ifelse(1, 0))
    by_whom = again.group_by(["person_id", "whom"]).agg(n=again.count(), same=again.same.sum())
    squares = by_whom.mutate(square=by_whom.n * by_whom.n)
    by = squares.group_by("person_id").agg(
        visits=squares.n.sum(), providers=squares.count(), most=squares.n.max(), squares=squares.square.sum(),
        same=squares.same.sum(),
    )  # fmt: skip
    frame = pd.DataFrame(collect(source, by.filter(by.visits >= rules.at_least).order_by("person_id")))
    return _indices(frame), unnamed


def _indices(frame: pd.DataFrame) -> pd.DataFrame:
    n = frame["visits"].to_numpy(dtype=np.float64)
    more = frame.assign(
        upc=frame["most"] / n, coc=(frame["squares"] - n) / (n * (n - 1)), secon=frame["same"] / (n - 1)
    )
    return more[["person_id", "visits", "providers", "upc", "coc", "secon"]]


def appointments(source: Any, rules: CareRules, within: ir.Table | None = None) -> pd.DataFrame:
    """One row a person with appointments in the period: booked (days with one kept or missed) and missed."""
    kept = inside(source, rules, days_of(source, rules.kept), within).mutate(missed=ibis.literal(0, type="int64"))
    lost = inside(source, rules, days_of(source, rules.missed), within).mutate(missed=ibis.literal(1, type="int64"))
    both = ibis.union(kept, lost)
    by = both.group_by("person_id").agg(booked=both.count(), missed=both.missed.sum())
    return pd.DataFrame(collect(source, by.order_by("person_id")))
