"""Covered days: enrolment merged across plans, so that a person's day or month counts once."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.sources import spans


def by_rule(enrolment: ir.Table, months: str) -> ir.Table:
    """Spans as the rule for member-months sees them.

    With "any day" a month of which one day is covered is covered whole: spans grow to whole months, and from
    there on both rules are one: a claim counts if its day lies in a span, a month by its share in spans.
    """
    if months == "prorated":
        return enrolment
    return enrolment.mutate(start_date=first_of_month(enrolment.start_date), end_date=last_of_month(enrolment.end_date))


def first_of_month(date: ir.DateValue) -> ir.DateValue:
    """The first day of the month of a date."""
    return (date - (date.day() - 1).cast("int32").as_interval("D")).cast("date")


def last_of_month(date: ir.DateValue) -> ir.DateValue:
    """The last day of the month of a date."""
    beyond = (first_of_month(date) + ibis.interval(months=1)).cast("date")
    return (beyond - ibis.interval(days=1)).cast("date")


def covered(engine: Any, enrolment: ir.Table, months: str) -> ir.Table:
    """Disjoint covered spans of every person: person_id, start_date, end_date; a temporary table."""
    merged = spans.episodes(by_rule(enrolment, months))
    return engine.materialise(merged.select("person_id", "start_date", "end_date"), "covered")
