"""Events as dated records, and as occasions counted from an index date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.build import codes, people
from clinops.define.events import Events
from clinops.define.windows import Window
from clinops.errors import DataError
from clinops.sources import omop


def impossible(events: Events, source: Any) -> str:
    """Say why the source cannot show these events at all; "" where it can."""
    return _absent(events, source) or codes.unmatched(events, source)


def require(events: Events, source: Any) -> None:
    """Refuse events that the source cannot show.

    Raises
    ------
    DataError : the domain's table is not there or empty, or the code list matches nothing.
    """
    if reason := impossible(events, source):
        raise DataError(f"{reason} So {events.label!r} cannot be looked for.{_held(events, source)}")


def _held(events: Events, source: Any) -> str:
    """Say what the records hold where a whole table is missing."""
    if not _absent(events, source):
        return ""
    domains = [name for name, where in omop.DOMAINS.items() if source.has(where.table)]
    return f" They hold {', '.join(domains)}. Was the table left out of the export, or is it in another schema?"


def _absent(events: Events, source: Any) -> str:
    table = omop.domain(events.domain).table
    return "" if source.has(table) else f"The records hold no {events.domain} (table {table})."


def records(events: Events, source: Any) -> ir.Table:
    """One row a record: person_id, date, end_date (the date where none is given) and record_id.

    A person dies once, on the first date on record. Enrolment is the observation episodes, merged. A code list
    that matches nothing gives no rows; `require` refuses it.

    Raises
    ------
    DataError : the domain's table is not there or empty.
    """
    if _absent(events, source):
        require(events, source)
    if events.domain == "death":
        died = people.deaths(source)
        day = died.death_date
        return died.select("person_id", date=day, end_date=day, record_id=ibis.null("int64"))
    found = omop.events(source, events.domain)
    if events.codes is not None:
        found = codes.match(events, source).narrow(found)
    dated = found.filter(found.start_date.notnull())
    return dated.select("person_id", "end_date", "record_id", date=dated.start_date)


def occasions(entries: ir.Table, events: Events, source: Any, window: Window, by: Sequence[str]) -> ir.Table:
    """Distinct occasions of each entry within a window: the columns `by` and day (from the index date).

    A visit counts once by its id, on its first day; of anything else a person has one occasion a day.

    Parameters
    ----------
    entries : has person_id, index_date and the columns `by`.
    """
    dated = records(events, source)
    joined = entries.inner_join(dated, "person_id")
    held = joined.select(*by, "record_id", day=joined.date.delta(joined.index_date, unit="day"))
    if events.domain == "visit":
        held = held.group_by([*by, "record_id"]).agg(day=held.day.min())
    inside = held.filter(*within(held.day, window))
    occasion = inside.select(*by, "day")
    return occasion if events.domain == "visit" else occasion.distinct()


def within(day: ir.IntegerValue, window: Window) -> list[ir.BooleanValue]:
    """The conditions, one or two, under which a day lies in a window, both ends included."""
    ends = [day >= window.start] if window.start is not None else []
    ends += [day <= window.end] if window.end is not None else []
    return ends or [day.notnull()]
