"""Data quality: what is wrong or thin in the records, counted, with what it does to an analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.sources import hygiene, omop
from clinops.sources.tables import REQUIRED

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd

    from clinops.sources.source import Source

COLUMNS = ("check", "table", "count", "denominator", "share", "limit", "passed", "why")

OLDEST = 110
"""Age in years above which a birth year is taken for wrong."""
NONE, FEW, SOME = 0.0, 0.01, 0.05
"""Shares up to which a check passes: what must not be, what a large export always has, what narrows an analysis."""

NOT_JUDGED = (
    "periods merged into another",
    "persons without an observation period",
    "outside the person's observation",
    "rows with the total paid as allowed",
    "rows without a visit of a known kind",
)
"""Set-aside counts that say how the records are kept and not that they are wrong."""

CHECKED_BELOW = ("rows without a date", "rows that repeat a visit_occurrence_id")
"""Set-aside counts of tables of events that have a check of their own."""


def checked(source: Source) -> pd.DataFrame:
    """Check the records an analysis would read.

    Returns
    -------
    One row a check: `check`, `table`, `count` of rows (or persons) concerned, out of `denominator`, `share`, the
    `limit` up to which it passes, `passed` (None: counted and not judged, or nothing to count in) and `why` it
    matters. The order is fixed: what the loader set aside, persons, each table of events, costs.
    """
    import pandas as pd

    rows = [*_set_aside(source), *_persons(source)]
    for table, where in hygiene.EVENT_TABLES.items():
        if source.has(table):
            rows += _events(source, table, where)
    if source.has("cost"):
        rows += _costs(source)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"count": "int64", "denominator": "int64", "share": "float64", "passed": "object"})


def _row(
    check: str, table: str, count: Any, denominator: Any, limit: float | None, why: str
) -> tuple[str, str, int, int, float, float | None, bool | None, str]:
    counted, base = int(count or 0), int(denominator or 0)
    share = counted / base if base else float("nan")
    passed = None if limit is None or not base else share <= limit
    return check, table, counted, base, share, limit, passed, why


def _set_aside(source: Source) -> list[tuple[Any, ...]]:
    rows = []
    for item in source.loader.set_aside(everything=True):
        table, _, what = item.what.partition(": ")
        if table in hygiene.EVENT_TABLES and what in CHECKED_BELOW:
            continue
        base = source.persons if what.startswith("persons") else source.rows.get(table, 0)
        judged = not any(what.endswith(words) for words in NOT_JUDGED)
        rows.append(_row(what, table, item.count, base, NONE if judged else None, item.why))
    return rows


def _persons(source: Source) -> list[tuple[Any, ...]]:
    persons = source.table("person")
    periods = source.table("observation_period")
    first = periods.group_by("person_id").agg(
        starts=periods.observation_period_start_date.min(), ends=periods.observation_period_end_date.max()
    )
    seen = persons.inner_join(first, "person_id")
    old = seen.ends.year() - seen.year_of_birth > OLDEST
    unborn = seen.starts.year() < seen.year_of_birth
    got = source.engine.rows(seen.aggregate(n=seen.count(), old=_where(old), unborn=_where(unborn)))[0]
    known = source.engine.rows(
        persons.aggregate(
            n=persons.count(), birth=_missing(persons.year_of_birth), sex=_unmapped(persons.gender_concept_id)
        )
    )[0]
    return [
        _row("year of birth missing", "person",
            known["birth"], known["n"], NONE, "Without an age nobody is eligible by age."),
        _row("sex missing or unmapped", "person",
            known["sex"], known["n"], FEW, "Sex is adjusted for and shown in Table 1."),
        _row(f"older than {OLDEST} at the end of observation", "person", got["old"], got["n"], FEW,
             "The birth year, or the end of observation, is wrong; ages are off."),
        _row("observed before the year of birth", "person", got["unborn"], got["n"], NONE,
             "The birth year, or the start of observation, is wrong; ages are negative."),
    ]  # fmt: skip


def _where(condition: Any) -> Any:
    import ibis

    return ibis.ifelse(condition, 1, 0).sum()


def _missing(column: Any) -> Any:
    return _where(column.isnull())


def _unmapped(column: Any) -> Any:
    return _where(column.isnull() | (column == 0))


def _events(source: Source, table: str, where: omop.Domain) -> list[tuple[Any, ...]]:
    events = source.table(table)
    needed = [name for name in REQUIRED[table] if name != where.concept]
    counts = {f"missing {name}": _missing(events[name]) for name in needed}
    counts |= {"n": events.count(), "unmapped": _unmapped(events[where.concept]), "ids": events[where.id].nunique()}
    counts["numbered"] = events[where.id].count()
    if source.snapshot is not None:
        counts["late"] = _where(events[where.start] > source.snapshot)
    got = source.engine.rows(events.aggregate(**counts))[0]
    n = got["n"]
    rows = [
        _row(
            f"{name} missing", table, got[f"missing {name}"], n, NONE, "The row cannot be placed and is never counted."
        )
        for name in needed
    ]
    rows.append(_row("concept missing or 0 (unmapped)", table, got["unmapped"], n, SOME,
                     "Code lists of standard concepts do not find these rows."))  # fmt: skip
    rows.append(_row(f"{where.id} on more than one row", table, got["numbered"] - got["ids"], n, NONE,
                     "What refers to the id, such as a cost, would count more than once."))  # fmt: skip
    if source.snapshot is not None:
        rows.append(_row(f"after the snapshot ({source.snapshot.isoformat()})", table, got["late"], n, FEW,
                         "Nothing can be recorded after the records were frozen; the date is wrong."))  # fmt: skip
    return rows + _life(source, table, events, where)


def _life(source: Source, table: str, events: ir.Table, where: omop.Domain) -> list[tuple[Any, ...]]:
    """Count events before birth and after death."""
    born = hygiene.births(source.table("person"))
    deaths = source.table("death").group_by("person_id").agg(died=source.table("death").death_date.min())
    lives = born.left_join(deaths, "person_id").select("person_id", "born", "died")
    joined = events.select(person_id=events.person_id, at=events[where.start]).inner_join(lives, "person_id")
    got = source.engine.rows(
        joined.aggregate(
            n=joined.count(),
            early=_where(hygiene.day_key(joined["at"]) < joined.born),
            late=_where(joined["at"] > joined.died),
        )
    )[0]
    rows = [_row("before birth", table, got["early"], got["n"], NONE, "One of the two dates is wrong.")]
    if source.has("death"):
        rows.append(_row("after death", table, got["late"], got["n"], FEW,
                         "Late bookings, or a wrong date of death; follow-up ends at death."))  # fmt: skip
    return rows


def _costs(source: Source) -> list[tuple[Any, ...]]:
    cost = source.table("cost")
    amounts = [cost[name] for name in ("amount_allowed", "total_paid", "paid_by_payer", "paid_by_patient")]
    negative = amounts[0] < 0
    for amount in amounts[1:]:
        negative = negative | (amount < 0)
    currencies = cost.currency_concept_id.nullif(0)
    got = source.engine.rows(
        cost.aggregate(
            n=cost.count(),
            negative=_where(negative),
            allowed=_missing(cost.amount_allowed),
            currencies=currencies.nunique(),
            charge=_where(cost.amount_allowed > cost.total_charge),
        )
    )[0]
    mixed = got["n"] if got["currencies"] > 1 else 0
    return [
        _row("rows in more than one currency", "cost", mixed,
             got["n"], NONE, "Amounts in different currencies are not added; cost is refused."),
        _row("allowed amount missing", "cost",
             got["allowed"], got["n"], SOME, "The total paid stands in; it may leave out the patient's part."),
        _row("negative amounts", "cost",
             got["negative"], got["n"], FEW, "Reversals: right in a total, wrong as single costs."),
        _row("allowed amount above the charge", "cost",
             got["charge"], got["n"], FEW, "Charges and allowed amounts may be swapped."),
    ]  # fmt: skip
