"""Covered days: enrolment merged across plans, so that a person's day or month counts once."""

from __future__ import annotations

import calendar
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


def by_plan(engine: Any, enrolment: ir.Table, months: str) -> ir.Table:
    """Disjoint covered spans with the plan that covers them; "several plans" where more than one does."""
    named = by_rule(enrolment, months)
    named = named.mutate(plan=named.plan.fill_null(NO_PLAN))
    # One plan's own spans are merged first, so that a plan that overlaps itself is not several.
    merged = engine.materialise(_episodes_by_plan(named), "by_plan")
    changes = ibis.union(
        merged.select("person_id", at="start_date"),
        merged.select("person_id", at=(merged.end_date + ibis.interval(days=1)).cast("date")),
        distinct=True,
    )
    following = changes["at"].lead().over(ibis.window(group_by="person_id", order_by="at"))
    pieces = changes.mutate(following=following)
    pieces = pieces.filter(pieces.following.notnull())
    cut = pieces.select("person_id", start_date="at", end_date=(pieces.following - ibis.interval(days=1)).cast("date"))
    other = merged.select(who="person_id", plan="plan", since="start_date", until="end_date")
    on = [cut.person_id == other.who, cut.start_date >= other.since, cut.end_date <= other.until]
    held = cut.inner_join(other, on)
    summed = held.group_by(["person_id", "start_date", "end_date"]).agg(n=held.count(), plan=held.plan.min())
    chosen = summed.select(
        "person_id", "start_date", "end_date", plan=ibis.ifelse(summed.n > 1, SEVERAL, summed.plan)
    )  # fmt: skip
    return engine.materialise(chosen, "by_plan")


def _episodes_by_plan(named: ir.Table) -> ir.Table:
    """Spans merged within person and plan."""
    keyed = named.mutate(key=named.person_id.cast("string") + ibis.literal("\x1f") + named.plan)
    merged = spans.episodes(keyed, person="key")
    owners = keyed.select("key", "person_id", "plan").distinct()
    return merged.inner_join(owners, "key").select("person_id", "plan", "start_date", "end_date")


NO_PLAN, SEVERAL = "no plan named", "several plans"


def member_days(engine: Any, covered: ir.Table, by: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Covered days of every calendar month, from the ends of spans alone.

    In each month a span covers all days but those before its start and after its end, so only spans that start or
    end in a month need their days counted; of the others their number is enough, a running sum.

    Returns
    -------
    rows with `by`, month (months since year 0), length (its days), days (covered, summed over persons), and spans,
    how many covered a day of it: with whole months, one for each person.
    """
    first, last = covered.start_date, covered.end_date
    keys = list(by)
    starts = covered.group_by([*keys, month_number(first).name("month")]).agg(
        n=covered.count(), lost=(first.day().cast("int64") - 1).sum()
    )
    ends = covered.group_by([*keys, month_number(last).name("month")]).agg(
        n=covered.count(), lost=(last_of_month(last).day() - last.day()).cast("int64").sum()
    )
    columns = [*keys, "month", "n", "lost"]
    began, ended = (engine.rows(table.select(*columns)) for table in (starts, ends))
    levels = sorted({tuple(row[key] for key in keys) for row in began})
    return [found for level in levels for found in _running(level, keys, began, ended)]


def _running(level: tuple[Any, ...], keys: list[str], began: Any, ended: Any) -> list[dict[str, Any]]:
    mine = [
        {int(row["month"]): (int(row["n"]), int(row["lost"])) for row in rows
         if tuple(row[key] for key in keys) == level}
        for rows in (began, ended)
    ]  # fmt: skip
    found, running = [], 0
    for month in range(min(mine[0]), max(mine[1]) + 1):
        (start, before), (stop, after) = (side.get(month, (0, 0)) for side in mine)
        running += start
        length = days_in(month)
        days = running * length - before - after
        named = dict(zip(keys, level, strict=True))
        found.append(named | {"month": month, "length": length, "days": days, "spans": running})
        running -= stop
    return found


def month_number(date: ir.DateValue) -> ir.IntegerValue:
    """The number of a date's month since year 0, counted from 0."""
    return date.year().cast("int64") * 12 + date.month().cast("int64") - 1


def days_in(month: int) -> int:
    """The number of days of a month, by its number."""
    return calendar.monthrange(*month_of(month))[1]


def month_of(month: int) -> tuple[int, int]:
    """Year and month (1 to 12) of a month's number."""
    return month // 12, month % 12 + 1
