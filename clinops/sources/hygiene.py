"""What is set aside from each table before anything is computed, and what is only counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.errors import DataError
from clinops.sources import costs, omop, spans
from clinops.sources.source import SetAside

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.loader import Loader

EVENT_TABLES = {where.table: where for name, where in omop.DOMAINS.items() if name not in ("death", "enrolment")}
_PERIODS = {
    "observation_period": ("observation_period_start_date", "observation_period_end_date"),
    "payer_plan_period": ("payer_plan_period_start_date", "payer_plan_period_end_date"),
}

Cleaned = tuple["ir.Table", list[SetAside]]


def clean(name: str, table: ir.Table, loader: Loader) -> Cleaned:
    """Return the table without its impossible rows, and what was left out."""
    if name == "person":
        return _persons(table, loader)
    if name in _PERIODS:
        return _periods(name, table, loader)
    if name == "death":
        return _deaths(table, loader)
    if name in EVENT_TABLES:
        return _of_persons(name, table, loader)
    return table, []


def observe(name: str, loader: Loader) -> list[SetAside]:
    """Count what is odd in a table and yet kept, because a definition may or may not want it."""
    if name == "observation_period":
        return [_without_period(loader)]
    if name == "cost":
        return costs.observe(loader)
    where = EVENT_TABLES.get(name)
    if where is None:
        return []
    table = loader.table(name)
    dated = loader.count(table.filter(table[where.start].notnull()))
    found = [
        SetAside(f"{name}: rows without a date", loader.count(table) - dated, "They cannot be placed in time."),
        SetAside(
            f"{name}: rows outside the person's observation",
            dated - loader.count(_observed(table, where.start, loader)),
            "Kept: a look back may use them. Nobody enters on such a day, nor does follow-up reach it where it ends "
            "with observation.",
        ),
    ]
    if name == "visit_occurrence":
        found.append(_shared_ids(table, loader))
    if where.end:
        found.append(
            SetAside(
                f"{name}: {where.end} before {where.start}",
                loader.count(table.filter(table[where.end] < table[where.start])),
                "Kept as events of one day, their start.",
            )
        )
    return found


def _persons(table: ir.Table, loader: Loader) -> Cleaned:
    kept = table.filter(table.person_id.notnull())
    lost = loader.count(table) - loader.count(kept)
    _sole(kept, "person", "person_id", loader)
    return kept, [SetAside("person: rows without a person_id", lost, "Nothing can be linked to them.")]


def _sole(table: ir.Table, name: str, column: str, loader: Loader) -> None:
    counts = table.group_by(column).agg(n=table.count())
    twice = loader.engine.rows(counts.filter(counts.n > 1).order_by(column).limit(1))
    if twice:
        raise DataError(
            f"{name} holds {column} {twice[0][column]} on {twice[0]['n']} rows that differ; keep one row for each."
        )


def _of_persons(name: str, table: ir.Table, loader: Loader, noun: str = "rows") -> Cleaned:
    """Keep the rows of persons in `person`; the join is only made where some row needs it."""
    persons = loader.table("person").select("person_id")
    joined = table.inner_join(persons, "person_id").select(*table.columns)
    orphans = loader.count(table) - loader.count(joined)
    found = [SetAside(f"{name}: {noun} without a person", orphans, "Their person_id is not in the person table.")]
    return (joined if orphans else table), found


def _periods(name: str, table: ir.Table, loader: Loader) -> Cleaned:
    """Set aside periods of nobody, without a date, or reversed; merge observation into episodes."""
    start, end = _PERIODS[name]
    known, found = _of_persons(name, table, loader, "periods")
    dated = known.filter(known[start].notnull() & known[end].notnull())
    undated = loader.count(known) - loader.count(dated)
    found.append(SetAside(f"{name}: periods without a start or an end", undated, "Their length is not known."))
    ahead, reversed_ = spans.split_reversed(dated, loader.engine, name, start, end)
    loader.examples[reversed_.what] = reversed_.why
    # The report prints the reason, and no report names a person.
    found.append(reversed_._replace(why="No span ends before it starts."))
    if name != "observation_period":
        return ahead, found
    merged = loader.engine.materialise(_episodes(ahead), name)
    joined = loader.count(ahead) - loader.count(merged)
    why = "Periods that overlap or touch are one continuous episode."
    return merged, [*found, SetAside(f"{name}: periods merged into another", joined, why)]


def _episodes(periods: ir.Table) -> ir.Table:
    """Return observation periods as episodes with all the columns of the table."""
    import ibis

    start, end = _PERIODS["observation_period"]
    merged = spans.episodes(periods, start=start, end=end)
    kinds = periods.group_by("person_id").agg(kind=periods.period_type_concept_id.min())
    numbered = merged.inner_join(kinds, "person_id")
    order = ibis.window(order_by=[numbered.person_id, numbered[start]])
    return numbered.select(
        observation_period_id=(ibis.row_number().over(order) + 1).cast("int64"),
        person_id=numbered.person_id,
        observation_period_start_date=numbered[start],
        observation_period_end_date=numbered[end],
        period_type_concept_id=numbered.kind,
    )


def _deaths(table: ir.Table, loader: Loader) -> Cleaned:
    known, found = _of_persons("death", table, loader)
    dated = known.filter(known.death_date.notnull())
    undated = loader.count(known) - loader.count(dated)
    found.append(SetAside("death: rows without a date", undated, "A death that cannot be placed in time."))
    born = births(loader.table("person"))
    placed = dated.inner_join(born, "person_id")
    possible = placed.filter(placed.born.isnull() | (day_key(placed.death_date) >= placed.born)).select(*table.columns)
    early = loader.count(dated) - loader.count(possible)
    found.append(SetAside("death: deaths before birth", early, "One of the two dates is wrong; the death is left out."))
    return (possible if early else dated), found


def births(persons: ir.Table) -> ir.Table:
    """Return person_id and `born`: the earliest day on which the person can have been born, as `day_key`."""
    import ibis

    month = ibis.coalesce(persons.month_of_birth, 1)
    day = ibis.ifelse(persons.month_of_birth.isnull(), 1, ibis.coalesce(persons.day_of_birth, 1))
    longest = ibis.cases((month == 2, 29), (month.isin((4, 6, 9, 11)), 30), else_=31)
    day = ibis.least(day, longest)
    return persons.select(person_id=persons.person_id, born=persons.year_of_birth * 10000 + month * 100 + day)


def day_key(date: Any) -> Any:
    """Return a date as the number YYYYMMDD, which compares without asking whether a birth is a calendar date."""
    return date.year().cast("int64") * 10000 + date.month() * 100 + date.day()


def _observed(table: ir.Table, start: str, loader: Loader) -> ir.Table:
    """Keep the events that fall inside an episode; episodes of a person are disjoint, so no event doubles."""
    periods = loader.table("observation_period").select(
        "person_id", first="observation_period_start_date", last="observation_period_end_date"
    )
    events = table.select(person_id=table.person_id, at=table[start])
    joined: Any = events.inner_join(periods, "person_id")
    return joined.filter((joined.at >= joined["first"]) & (joined.at <= joined["last"]))


def _shared_ids(visits: ir.Table, loader: Loader) -> SetAside:
    """Count the rows by which visits outnumber their ids: rows of one person and id count as one visit."""
    known = visits.filter(visits.visit_occurrence_id.notnull())
    ids = known.select("person_id", "visit_occurrence_id").distinct()
    more = loader.count(known) - loader.count(ids)
    why = "Rows of one person with one id count as one visit, on its first day."
    return SetAside("visit_occurrence: rows that repeat a visit_occurrence_id", more, why)


def _without_period(loader: Loader) -> SetAside:
    persons = loader.table("person")
    covered = loader.table("observation_period").select("person_id").distinct()
    lost = loader.count(persons) - loader.count(persons.inner_join(covered, "person_id"))
    return SetAside("person: persons without an observation period", lost, "They can enter no cohort.")
