"""The steps of a care journey: every visit of an entry after its index date, by kind, and what care cost by day."""

from __future__ import annotations

import ibis
import pandas as pd

from clinops.build import costs, events
from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DataError
from clinops.sources import omop

KINDS = ("Admission", "Emergency", "Post-acute", "Office", "Telehealth", "Other contact")
"""Kinds of contact, gravest first: of several that start on one day the gravest is the step."""
TELEHEALTH = (5083,)


def visit_days(protocol: Protocol, baseline: Baseline, days: int) -> pd.DataFrame:
    """Find the visits of every entry from day 1 to a last day, within follow-up, the gravest of each day.

    Returns
    -------
    frame with row, day (on which the visit starts, from the index date) and kind, sorted.

    Raises
    ------
    DataError : the records hold no visits.
    """
    entries = baseline.entries
    if not entries.source.has("visit_occurrence"):
        raise DataError("The records hold no visits (table visit_occurrence), so there is no journey.")
    keys = follow(protocol, entries).table.select("row", "person_id", "index_date", "end_day")
    visits = omop.events(entries.source, "visit")
    held = visits.filter(visits.start_date.notnull()).select("person_id", "concept_id", date="start_date")
    joined = keys.inner_join(held, "person_id")
    dated = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    inside = dated.filter(*events.within(dated.day, Window(1, days)), dated.day <= dated.end_day)
    gravest = inside.mutate(grade=_grade(inside.concept_id)).group_by(["row", "day"])
    found = gravest.agg(grade=ibis._.grade.min()).order_by(["row", "day"])
    frame = pd.DataFrame(entries.collect(found)).astype({"row": "int64", "day": "int64", "grade": "int64"})
    return frame.assign(kind=[KINDS[grade] for grade in frame["grade"]]).drop(columns="grade")


def _grade(concept: ibis.expr.types.IntegerValue) -> ibis.expr.types.IntegerValue:
    """The place of a visit among `KINDS`."""
    return ibis.cases(
        (concept.isin(omop.INPATIENT), 0), (concept.isin(omop.EMERGENCY), 1), (concept.isin(omop.POST_ACUTE), 2),
        (concept.isin(TELEHEALTH), 4), (concept.isin((9202, *omop.OFFICE)), 3), else_=5,
    )  # fmt: skip


def cost_days(protocol: Protocol, baseline: Baseline, days: int) -> pd.DataFrame | None:
    """Sum what every entry cost on each day from day 1 on, within follow-up; None where the records tell no costs.

    Returns
    -------
    frame with row, day and cost (allowed), sorted; days without a cost have no row.
    """
    entries = baseline.entries
    if costs.impossible(entries.source):
        return None
    dated = costs.by_day(entries, Window(1, days), follow(protocol, entries).table)
    summed = dated.group_by(["row", "day"]).agg(cost=dated.allowed.sum().cast("float64")).order_by(["row", "day"])
    return pd.DataFrame(entries.collect(summed)).astype({"row": "int64", "day": "int64", "cost": "float64"})
