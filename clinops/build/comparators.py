"""Candidate person-dates for people who have not met the exposure: what the entries of `define.comparators` mean.

Days are whole numbers since 1970 in here, so that ranges and draws are the same arithmetic in every database.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clinops.build import events, people
from clinops.build.draws import SIZE, draw
from clinops.build.memo import once
from clinops.build.steps import keep
from clinops.define.comparators import (
    Candidates,
    EnrolmentTimes,
    OneAtRandom,
    RandomVisit,
    RiskSet,
    Rolling,
    Sequential,
)
from clinops.define.events import Events
from clinops.errors import DataError, DefinitionError

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cases:
    """The entries of the exposed cohort: table (person_id, index_date), and how many fell on each day.

    days : (m,) days since 1970 on which somebody entered, rising. counts : (m,) entries on each.
    """

    table: ir.Table
    days: Ints
    counts: Ints


def person_dates(rule: Candidates, source: Any, exposed: ir.Table | None = None) -> ir.Table:
    """One row a person and day at which the rule lets somebody enter: person_id, index_date.

    Parameters
    ----------
    rule : an entry of `clinops.define.comparators`.
    source : where the events are.
    exposed : the entries of the exposed cohort, whose days and waiting times are meant; without them every
        exposure on record while observed counts as one.

    Raises
    ------
    DataError : the records lack the exposure (or another event that the rule names), nobody enters the exposed
        cohort, or there would be more candidates than the rule's limit.
    """
    for named in rule.named:
        events.require(named, source)
    return found(rule, source, _cases(rule, source, exposed))


@singledispatch
def found(rule: Candidates, source: Any, cases: Cases) -> ir.Table:
    """Return the person-dates of one kind of rule."""
    raise DefinitionError(f"There is no way yet to find the candidates of a {rule.kind!r}.")


@found.register
def _(rule: RiskSet, source: Any, cases: Cases) -> ir.Table:
    risk = at_risk(rule.events, source)
    if rule.at is not None:
        return _at_events(rule, rule.at, source, risk, cases)
    sizes = _sizes(risk, source, cases.days)
    if rule.per_case is None:
        _refuse_many(rule, sizes)
        return _on_days(risk, _days(source, cases.days))
    wanted = np.minimum(cases.counts * rule.per_case, sizes)
    _refuse_many(rule, wanted)
    # Only draws below a threshold are ranked: the smallest are among them, unless fewer fell below than expected.
    for margin in (6.0, np.inf):
        table = _days(source, cases.days, wanted=wanted, below=_thresholds(wanted, sizes, margin))
        marked = _on_days(risk, table, "wanted", "below", drawn=draw(risk.person_id, table.day, rule.seed))
        drawn = source.engine.materialise(_smallest(marked.filter(marked.drawn < marked.below)), "drawn")
        if source.engine.rows(drawn.agg(n=drawn.count()))[0]["n"] == int(wanted.sum()):
            break
    return drawn


def _at_events(rule: RiskSet, at: Events, source: Any, risk: ir.Table, cases: Cases) -> ir.Table:
    """Those at risk with such an event on the day, all of them or the smallest draws."""
    wanted = cases.counts * (rule.per_case or 0)
    dated = _days_of(at, source).rename(who="person_id", seen="day").drop("index_date")
    there = _on_days(risk, _days(source, cases.days, wanted=wanted), "day", "wanted")
    held = source.engine.materialise(
        there.inner_join(dated, [there.person_id == dated.who, there.day == dated.seen]).drop("who", "seen"), "there"
    )
    if rule.per_case is not None:
        held = _smallest(held.mutate(drawn=draw(held.person_id, held.day, rule.seed)))
    return held.select("person_id", "index_date")


@found.register
def _(rule: Rolling, source: Any, cases: Cases) -> ir.Table:
    periods = np.unique(_period_starts(cases.days, rule.every))
    risk = at_risk(rule.events, source)
    if rule.at is None:
        _refuse_many(rule, _sizes(risk, source, periods))
        return _on_days(risk, _days(source, periods))
    dated = _days_of(rule.at, source)
    seen = dated.inner_join(risk, [dated.person_id == risk.person_id, dated.day >= risk.low, dated.day <= risk.high])
    numbered = seen.select("person_id", "index_date", period=_period_number(seen.index_date, rule.every))
    first = numbered.group_by(["person_id", "period"]).agg(index_date=numbered.index_date.min())
    table = source.engine.upload(pa.table({"period": _numbers(periods, rule.every)}), "periods")
    return first.inner_join(table, "period").select("person_id", "index_date")


@found.register
def _(rule: Sequential, source: Any, cases: Cases) -> ir.Table:
    if rule.visit is not None:
        dated = _days_of(rule.visit, source)
        return dated.filter(dated.day.between(int(cases.days[0]), int(cases.days[-1]))).drop("day")
    months = _period_starts(np.arange(cases.days[0], cases.days[-1] + 1), rule.every)
    starts = np.unique(months)
    risk = at_risk(rule.events, source)
    _refuse_many(rule, _sizes(risk, source, starts))
    return _on_days(risk, _days(source, starts))


@found.register
def _(rule: RandomVisit, source: Any, cases: Cases) -> ir.Table:
    return _days_of(rule.visit, source).drop("day")


@found.register
def _(rule: EnrolmentTimes, source: Any, cases: Cases) -> ir.Table:
    start = _first_days(rule.qualifying, source, "start")
    entered = cases.table.inner_join(start, "person_id")
    waits = entered.select(wait=_day(entered.index_date) - entered.start)
    times = source.engine.collect(waits.filter(waits.wait >= 0)).column("wait").to_numpy()
    if not len(times):
        raise DataError(
            f"None of those who met {rule.events.label!r} had {rule.qualifying.label!r} on that day or before, so no "
            "time from the one to the other can be drawn. Name the event that makes people eligible."
        )
    table = source.engine.upload(
        pa.table({"place": np.arange(len(times)), "wait": np.sort(times.astype(np.int64))}), "waiting_times"
    )
    placed = start.mutate(place=draw(start.person_id, ibis.literal(0, "int64"), rule.seed) % len(times))
    timed = placed.inner_join(table, "place")
    dated = timed.select("person_id", index_date=_date(timed.start + timed.wait))
    if not source.has("death"):
        return dated
    died = people.deaths(source).rename(who="person_id")
    joined = dated.left_join(died, dated.person_id == died.who)
    alive = joined.death_date.isnull() | (joined.death_date >= joined.index_date)
    return joined.filter(alive).select("person_id", "index_date")


@keep.register
def _(step: OneAtRandom, entries: ir.Table, source: Any) -> ir.Table:
    marked = entries.mutate(drawn=draw(entries.person_id, _day(entries.index_date), step.seed))
    order = [marked.drawn, marked.index_date]
    ranked = marked.mutate(rank=ibis.row_number().over(group_by="person_id", order_by=order))
    return ranked.filter(ranked["rank"] == 0).select(*entries.columns)


# --- who is at risk, and when -------------------------------------------------------------------


def at_risk(exposure: Events, source: Any) -> ir.Table:
    """One row an observation episode with the days on which a person could be a comparator: person_id, low, high.

    From the first observed day to the last, death, or the day before the first exposure on record (which may
    lie before the episode), whichever comes first; episodes without such a day are left out.
    """

    def make() -> ir.Table:
        periods = source.table("observation_period").inner_join(people.persons(source).select("person_id"), "person_id")
        low, high = periods.observation_period_start_date, periods.observation_period_end_date
        joined = periods.select("person_id", low=_day(low), high=_day(high))
        joined = _with_last(joined, _first_days(exposure, source, "met"), "met", -1)
        if source.has("death"):
            died = people.deaths(source)
            joined = _with_last(joined, died.select("person_id", died=_day(died.death_date)), "died", 0)
        return source.engine.materialise(joined.filter(joined.low <= joined.high), "at_risk")

    made: ir.Table = once(source, ("at risk", exposure), make)
    return made


def _with_last(spans: ir.Table, ends: ir.Table, name: str, shift: int) -> ir.Table:
    """Spans whose last day is no later than a person's day of that name, moved by `shift`."""
    named = ends.rename(who="person_id")
    joined = spans.left_join(named, spans.person_id == named.who)
    end = joined[name] + shift
    high = (end.notnull() & (end < joined.high)).ifelse(end, joined.high)
    return joined.select("person_id", "low", high=high)


def _cases(rule: Candidates, source: Any, exposed: ir.Table | None) -> Cases:
    if exposed is None:
        dated = _days_of(rule.events, source)
        periods = source.table("observation_period").rename(who="person_id")
        inside = dated.index_date.between(periods.observation_period_start_date, periods.observation_period_end_date)
        held = dated.inner_join(periods, [dated.person_id == periods.who, inside])
        exposed = held.select("person_id", "index_date").distinct()
    daily = exposed.group_by(day=_day(exposed.index_date)).agg(n=exposed.count()).order_by("day")
    counted = source.engine.collect(daily)
    if not counted.num_rows:
        raise DataError(
            f"Nobody enters the exposed cohort at {rule.events.label!r}, so there is no day from which others could be "
            "followed. See the attrition of the exposed cohort."
        )
    days, counts = (counted.column(name).to_numpy().astype(np.int64) for name in ("day", "n"))
    return Cases(exposed, days, counts)


def _sizes(risk: ir.Table, source: Any, days: Ints) -> Ints:
    """How many are at risk on each of the days, from counts of who begins and who ends: no expansion."""

    def by(name: str) -> tuple[Ints, Ints]:
        counted = source.engine.collect(risk.group_by(day=risk[name]).agg(n=risk.count()).order_by("day"))
        return tuple(counted.column(column).to_numpy().astype(np.int64) for column in ("day", "n"))  # type: ignore[return-value]

    (begins, began), (ends, ended) = by("low"), by("high")
    total_began, total_ended = (np.concatenate([[0], np.cumsum(n)]) for n in (began, ended))
    sizes: Ints = (
        total_began[np.searchsorted(begins, days, side="right")] - total_ended[np.searchsorted(ends, days, side="left")]
    )
    return sizes


def _refuse_many(rule: Any, sizes: Ints) -> None:
    total = int(sizes.sum())
    if total <= rule.limit:
        return
    fewer = {
        RiskSet: "Draw some for each exposed entry (co.risk_set(..., per_case=5))",
        Rolling: "Use a longer period or the first visit of it (at=)",
    }.get(type(rule), "Use a longer period")
    raise DataError(
        f"The {rule.kind} of {rule.events.label!r} has {total:,} candidate person-dates on {len(sizes):,} days, more "
        f"than its limit of {rule.limit:,}. {fewer}, or raise limit= if the database and its disk can hold them."
    )


def _thresholds(wanted: Ints, sizes: Ints, margin: float) -> Ints:
    """Below which draw a person is looked at, so that on each day almost surely as many as wanted are."""
    if not np.isfinite(margin):
        return np.full(len(wanted), SIZE, np.int64)
    enough = wanted + margin * np.sqrt(wanted) + 5 * margin
    share = np.minimum(enough / np.maximum(sizes, 1), 1.0)
    return np.ceil(share * SIZE).astype(np.int64)


def _smallest(marked: ir.Table) -> ir.Table:
    """Of each day the rows with the smallest draws (`drawn`), as many as are `wanted`."""
    ranked = marked.mutate(
        rank=ibis.row_number().over(group_by="index_date", order_by=[marked.drawn, marked.person_id])
    )
    return ranked.filter(ranked["rank"] < ranked.wanted).select("person_id", "index_date")


def _on_days(risk: ir.Table, days: ir.Table, *more: str, **made: ir.Value) -> ir.Table:
    """Each span at risk on each of the days that it holds: person_id, index_date and what else is asked for."""
    joined = risk.inner_join(days, [days.day >= risk.low, days.day <= risk.high])
    return joined.select("person_id", "index_date", *more, **made)


def _days(source: Any, days: Ints, **more: Ints) -> ir.Table:
    """A small table of days: day, index_date and whatever else is given for each."""
    dates = days.astype("datetime64[D]")
    return source.engine.upload(pa.table({"day": days, "index_date": pa.array(dates, pa.date32()), **more}), "days")


def _days_of(named: Events, source: Any) -> ir.Table:
    """One row a person and day with such an event: person_id, index_date, day."""
    dated = events.records(named, source)
    return dated.select("person_id", index_date=dated.date, day=_day(dated.date)).distinct()


def _first_days(named: Events, source: Any, name: str) -> ir.Table:
    """One row a person with the day, in a column of that name, of the first such event on record."""
    dated = events.records(named, source)
    return dated.group_by("person_id").agg(**{name: _day(dated.date.min())})


# --- days and calendar periods as numbers ---------------------------------------------------------


def _day(date: ir.DateValue) -> ir.IntegerValue:
    return date.delta(ibis.date(1970, 1, 1), unit="day").cast("int64")


def _date(day: ir.IntegerValue) -> ir.DateValue:
    return (ibis.date(1970, 1, 1) + day.cast("int32").as_interval("D")).cast("date")


def _period_starts(days: Ints, every: str) -> Ints:
    """The first day of the calendar period that holds each day."""
    numbers = _numbers(days, every)
    months = {"month": numbers, "quarter": numbers * 3, "year": numbers * 12}[every] - 1970 * 12
    starts: Ints = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return starts


def _numbers(days: Ints, every: str) -> Ints:
    """The number of the calendar period that holds each day, months counted from year 0."""
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) + 1970 * 12
    numbers: Ints = months // {"month": 1, "quarter": 3, "year": 12}[every]
    return numbers


def _period_number(date: ir.DateValue, every: str) -> ir.IntegerValue:
    """`_numbers` in the database."""
    year = date.year().cast("int64")
    if every == "month":
        return year * 12 + date.month().cast("int64") - 1
    return year * 4 + date.quarter().cast("int64") - 1 if every == "quarter" else year
