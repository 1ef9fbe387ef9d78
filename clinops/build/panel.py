"""Sites by calendar period: when each starts, and persons, person-days and what happened in each period."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build import costs, events, people
from clinops.build.cohorts import observed_on
from clinops.build.entries import collect
from clinops.build.steps import keep
from clinops.define.measures import Measure
from clinops.define.panel import PanelPlan, PeriodPlan
from clinops.errors import DataError, unknown
from clinops.sources import costs as amounts

NOWHERE = -1
"""Stands for the site of persons for whom none is on record."""
COLUMNS = {"care site": "care_site_id", "provider": "provider_id"}
OBSERVED = "Observed on the first day of a period"


@dataclass(frozen=True, eq=False)
class UnitPeriods:
    """What every site had in every period.

    Attributes
    ----------
    frame : one row a site and period, sorted, all periods of each: unit, period (0, 1, ...), persons (with a day alive
        and observed), days (person-days), total (events, persons with one, or money), stayed (persons who were also
        members in the first period), female, age (mean on the first day; NaN where not known).
    attrition : rule, rows (person-periods) and persons, after each rule of the population.
    nowhere : persons who count but have no site on record; they are in no row but that of site `NOWHERE`.
    """

    frame: pd.DataFrame
    attrition: pd.DataFrame
    nowhere: int


def sites(plan: PeriodPlan, source: Any) -> pd.DataFrame:
    """Every site that a person is registered with: unit, name, persons. Reads no outcome.

    Raises
    ------
    DataError : the records give no person such a site.
    """
    who = _registered(plan, source)
    here = who.filter(who.unit != NOWHERE)
    counted = here.group_by("unit").agg(persons=here.count())
    frame = pd.DataFrame(collect(source, counted.order_by("unit"))).astype("int64")
    if frame.empty:
        raise DataError(
            f"No person has a {plan.unit} on record (person.{COLUMNS[plan.unit]}), so there are no sites to compare. "
            "Fill it in the export, or take another unit."
        )
    return frame.assign(name=_names(plan, source, frame["unit"].tolist()))


def starts(plan: PanelPlan, source: Any, units: pd.DataFrame) -> dict[int, dt.date | None]:
    """The day on which each site starts; None for one that never does. Reads no outcome.

    Raises
    ------
    DataError : the records hold none of the programme's events, or no site that the plan names.
    """
    found: dict[int, dt.date | None] = dict.fromkeys((int(unit) for unit in units["unit"]), None)
    if plan.start_events is None:
        for one in plan.start_dates:
            if one.site not in found:
                raise DataError(unknown(f"{plan.unit} with a person registered", one.site, map(str, found)))
            found[one.site] = one.date
        return found
    events.require(plan.start_events, source)
    dated = events.records(plan.start_events, source).select("person_id", "date").distinct()
    placed = dated.inner_join(_registered(plan, source), "person_id")
    order = ibis.row_number().over(ibis.window(group_by="unit", order_by=["date", "person_id"]))
    ranked = placed.filter(placed.unit != NOWHERE).mutate(place=order)
    first = ranked.filter(ranked.place == plan.starting_records - 1).select("unit", "date")
    rows = source.engine.rows(first)
    return found | {int(row["unit"]): row["date"] for row in rows}


def unit_periods(
    plan: PeriodPlan, source: Any, outcome: Measure | None = None, units: Sequence[int] = ()
) -> UnitPeriods:  # fmt: skip
    """Count persons, person-days and an outcome in every site and period, exactly.

    Person-time is the days of a period on which a member is alive and observed, the day of death included; events and
    money count where they fall on such a day. A visit counts once, on its first day; of anything else a person has one
    occasion a day.

    Parameters
    ----------
    outcome : another outcome than the plan's. units : only these sites; all where none are given.

    Raises
    ------
    DataError : the records cannot show the outcome, or nobody is a member.
    """
    measure = plan.outcome if outcome is None else outcome
    _refuse_impossible(measure, source)
    calendar = _calendar(plan, source)
    members, attrition = _members(plan, source, calendar, units)
    spans = source.engine.materialise(_spans(members, source), "panel_spans")
    total = _total(measure, spans, source)
    frame = _filled(plan, source, _counted(spans, source), total)
    lost = source.engine.rows(spans.filter(spans.unit == NOWHERE).agg(n=spans.person_id.nunique(
        where=spans.unit == NOWHERE)))[0]["n"]  # fmt: skip
    if not frame["persons"].sum():
        raise DataError("Nobody is alive and observed in any period under the rules of the population; loosen them.")
    return UnitPeriods(frame, attrition, int(lost))


def _refuse_impossible(measure: Measure, source: Any) -> None:
    if measure.measure == "cost":
        reason = costs.impossible(source, measure.category or "total", measure.amount)
        if reason:
            raise DataError(f"{reason} So {measure.name!r} cannot be had.")
    else:
        assert measure.events is not None
        events.require(measure.events, source)


def _registered(plan: PeriodPlan, source: Any) -> ir.Table:
    """Every person with the site he is registered with."""
    table = source.table("person")
    return table.select("person_id", unit=table[COLUMNS[plan.unit]].fill_null(NOWHERE).cast("int64"))


def _names(plan: PeriodPlan, source: Any, units: list[int]) -> list[str]:
    named: dict[int, str] = {}
    if plan.unit == "care site":
        table = source.table("care_site")
        known = table.filter(table.care_site_name.notnull())
        rows = source.engine.rows(known.group_by("care_site_id").agg(name=known.care_site_name.max()))
        named = {int(row["care_site_id"]): str(row["name"]) for row in rows}
    texts = [named.get(unit, f"{plan.unit.capitalize()} {unit}") for unit in units]
    twice = {text for text in texts if texts.count(text) > 1}
    return [f"{text} ({unit})" if text in twice else text for text, unit in zip(texts, units, strict=True)]


def _calendar(plan: PeriodPlan, source: Any) -> ir.Table:
    import pyarrow as pa

    begins, ends = zip(*plan.periods, strict=True)
    table = pa.table({
        "period": pa.array(range(len(begins)), pa.int64()), "begins": pa.array(begins, pa.date32()),
        "ends": pa.array(ends, pa.date32()),
    })  # fmt: skip
    return source.engine.upload(table, "panel_calendar")  # type: ignore[no-any-return]


def _members(
    plan: PeriodPlan, source: Any, calendar: ir.Table, units: Sequence[int]
) -> tuple[ir.Table, pd.DataFrame]:  # fmt: skip
    """Members of every period, with what each rule of the population left."""
    who = people.persons(source).select("person_id", "gender_concept_id", *people.BIRTH)
    if units:
        placed = _registered(plan, source)
        who = who.inner_join(placed.filter(placed.unit.isin(list(units))).select("person_id"), "person_id")
    closed = plan.membership == "first period"
    days = calendar.filter(calendar.period == 0) if closed else calendar
    crossed = who.cross_join(days.select("period", index_date="begins"))
    stage = source.engine.materialise(observed_on(crossed, source), "panel_observed")
    rows = [(OBSERVED if not closed else "Observed on the first day of the first period", stage)]
    for step in plan.population:
        stage = source.engine.materialise(keep(step, stage, source), "panel_members")
        rows.append((step.label, stage))
    counted = [
        source.engine.rows(table.agg(rows=table.count(), persons=table.person_id.nunique()))[0] for _, table in rows
    ]
    attrition = pd.DataFrame([{"rule": rule, **one} for (rule, _), one in zip(rows, counted, strict=True)])
    kept = stage.select("person_id", "period").distinct()
    if closed:
        kept = kept.select("person_id").cross_join(calendar.select("period"))
    joined = kept.inner_join(calendar, "period").inner_join(_registered(plan, source), "person_id")
    return joined.select("person_id", "unit", "period", "begins", "ends"), attrition


def _spans(members: ir.Table, source: Any) -> ir.Table:
    """Spans of days of a member's period on which he is alive and observed."""
    held = source.table("observation_period").select(
        "person_id", since="observation_period_start_date", until="observation_period_end_date"
    )
    seen = members.inner_join(held, "person_id")
    died = people.deaths(source).rename(who="person_id")
    joined = seen.left_join(died, seen.person_id == died.who)
    begin = ibis.greatest(joined.begins, joined.since)
    finish = ibis.least(ibis.least(joined.ends, joined.until), ibis.coalesce(joined.death_date, joined.ends))
    cut = joined.select("person_id", "unit", "period", index_date=joined.begins, begin=begin, finish=finish)
    return cut.filter(cut.begin <= cut.finish)


def _counted(spans: ir.Table, source: Any) -> ir.Table:
    """Persons and person-days of every site and period, and who they are."""
    lengths = spans.mutate(days=(spans.finish.delta(spans.begin, unit="day") + 1).cast("int64"))
    each = lengths.group_by(["person_id", "unit", "period", "index_date"]).agg(days=lengths.days.sum())
    at_first = spans.filter(spans.period == 0).select(first_person="person_id").distinct()
    who = people.persons(source).select(who="person_id", sex="gender_concept_id", **{n: n for n in people.BIRTH})
    joined = each.left_join(at_first, each.person_id == at_first.first_person)
    joined = joined.inner_join(who, joined.person_id == who.who)
    known = joined.mutate(age=people.age(joined).cast("float64"))
    return known.group_by(["unit", "period"]).agg(
        persons=known.count(), days=known.days.sum().cast("int64"), stayed=known.first_person.count(),
        female=known.count(where=known.sex == people.SEX_CONCEPTS["female"]), age=known.age.mean(),
    )  # fmt: skip


def _total(measure: Measure, spans: ir.Table, source: Any) -> ir.Table:
    """The outcome of every site and period: unit, period, total."""
    if measure.measure == "cost":
        rows = amounts.costs(source).select(who="person_id", date="date", category="category", amount=measure.amount)
        if measure.category not in (None, "total"):
            rows = rows.filter(rows.category == measure.category)
    else:
        assert measure.events is not None
        dated = events.records(measure.events, source)
        if measure.events.domain == "visit":
            rows = dated.group_by(["person_id", "record_id"]).agg(date=dated.date.min())
            rows = rows.select(who="person_id", date="date")
        else:
            rows = dated.select(who="person_id", date="date").distinct()
    on = [spans.person_id == rows.who, rows.date >= spans.begin, rows.date <= spans.finish]
    here = spans.inner_join(rows, on)
    value = {
        "cost": lambda: here.amount.sum(), "any": lambda: here.person_id.nunique(), "count": lambda: here.count(),
    }[measure.measure]()  # fmt: skip
    return here.group_by(["unit", "period"]).agg(total=value.cast("float64"))


def _filled(plan: PeriodPlan, source: Any, counted: ir.Table, total: ir.Table) -> pd.DataFrame:
    """Both beside each other, a row for every period of every site that has a person in one."""
    one, other = (pd.DataFrame(collect(source, table.order_by(["unit", "period"]))) for table in (counted, total))
    keys = ["unit", "period"]
    units = sorted({int(unit) for unit in one["unit"]})
    grid = pd.MultiIndex.from_product([units, range(len(plan.periods))], names=keys).to_frame(index=False)
    joined = grid.merge(one.astype(dict.fromkeys(keys, "int64")), on=keys, how="left")
    joined = joined.merge(other.astype(dict.fromkeys(keys, "int64")), on=keys, how="left")
    whole = ["persons", "days", "stayed", "female"]
    return joined.assign(
        **{name: joined[name].fillna(0).astype("int64") for name in whole},
        total=joined["total"].astype("float64").fillna(0.0), age=joined["age"].astype("float64"),
    )[[*keys, "persons", "days", "total", "stayed", "female", "age"]]  # fmt: skip
