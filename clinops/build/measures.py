"""Measures of events: any, count, first day and last value, one query for each set of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from clinops.build import codes, events
from clinops.build.entries import Entries
from clinops.define.events import Events
from clinops.define.measures import Measure
from clinops.define.windows import Window
from clinops.sources import omop

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """Occasions of one measure on every entry; arrays of shape (entries,).

    `count` within the window (and follow-up, where given), `first` their first day (NaN without one), and
    `beyond` those within the window but after the end of follow-up.
    """

    count: Floats
    first: Floats
    beyond: Floats


def counted(
    entries: Entries, wanted: dict[str, tuple[Events, Window]], followed: ir.Table | None
) -> dict[str, Counted]:
    """Count occasions for several measures at once.

    Parameters
    ----------
    wanted : by measure id, its events and window.
    followed : has row, person_id, index_date and end_day; occasions after end_day do not count. None for a
        baseline, which has no end of follow-up.
    """
    table = entries.keys.mutate(end_day=ibis.literal(2**30, type="int64")) if followed is None else followed
    keys = table.select("row", "person_id", "index_date", "end_day")
    done: dict[str, Counted] = {}
    for each in dict.fromkeys(event for event, _ in wanted.values()):
        windows = {name: window for name, (event, window) in wanted.items() if event == each}
        done |= _one_pass(entries, keys, each, windows)
    return {name: done[name] for name in wanted}


def _one_pass(entries: Entries, keys: ir.Table, each: Events, windows: dict[str, Window]) -> dict[str, Counted]:
    found = events.occasions(keys, each, entries.source, hull(windows.values()), by=("row", "end_day"))
    sums: dict[str, ir.Scalar] = {}
    for number, window in enumerate(windows.values()):
        inside = _all(events.within(found.day, window))
        seen = inside & (found.day <= found.end_day)
        sums |= {
            f"count_{number}": found.count(where=seen),
            f"first_{number}": found.day.min(where=seen),
            f"beyond_{number}": found.count(where=inside & (found.day > found.end_day)),
        }
    columns = entries.collect(found.group_by("row").agg(**sums))
    return {
        name: Counted(
            entries.spread(columns, f"count_{number}", 0.0),
            entries.spread(columns, f"first_{number}", np.nan),
            entries.spread(columns, f"beyond_{number}", 0.0),
        )
        for number, name in enumerate(windows)
    }


def hull(windows: Any) -> Window:
    """The smallest window that holds all of them."""
    each = list(windows)
    starts, ends = [w.start for w in each], [w.end for w in each]
    return Window(
        None if None in starts else min(starts, default=None), None if None in ends else max(ends, default=None)
    )


def _all(conditions: list[ir.BooleanValue]) -> ir.BooleanValue:
    whole: ir.BooleanValue = ibis.literal(True)
    for condition in conditions:
        whole = whole & condition
    return whole


def last_values(entries: Entries, measure: Measure, window: Window, followed: ir.Table | None) -> Floats:
    """The last numeric value of each entry within the window; NaN without one.

    Of several on the last day the one with the highest record id is taken.

    Returns
    -------
    array of shape (entries,)
    """
    source, wanted = entries.source, measure.events
    assert wanted is not None
    valued = _with_values(wanted, source)
    keys = entries.keys if followed is None else followed.select("row", "person_id", "index_date", "end_day")
    joined = keys.inner_join(valued, "person_id")
    dated = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    inside = dated.filter(*events.within(dated.day, window))
    if followed is not None:
        inside = inside.filter(inside.day <= inside.end_day)
    latest = [inside.day.desc(), inside.record_id.desc(), inside.value.desc()]
    ranked = inside.mutate(rank=ibis.row_number().over(ibis.window(group_by="row", order_by=latest)))
    return entries.spread(entries.collect(ranked.filter(ranked["rank"] == 0).select("row", "value")), "value", np.nan)


def valued(measure: Measure) -> bool:
    """Whether the domain of the measure's events has numeric values."""
    return measure.events is not None and measure.events.domain in ("measurement", "observation")


def _with_values(wanted: Events, source: Any) -> ir.Table:
    where = omop.domain(wanted.domain)
    table = source.table(where.table)
    held = table.select(
        "person_id",
        date=table[where.start],
        record_id=table[where.id],
        concept_id=table[where.concept],
        source_value=table[where.source_value],
        source_concept_id=table[where.source_concept],
        value=table.value_as_number,
    )
    if wanted.codes is not None:
        held = codes.match(wanted, source).narrow(held)
    return held.filter(held.date.notnull(), held.value.notnull()).select("person_id", "date", "record_id", "value")
