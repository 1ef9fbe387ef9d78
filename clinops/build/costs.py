"""Money of every entry: what its costs sum to within a window, by category, exact to the cent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from clinops.build import events
from clinops.build.entries import Entries
from clinops.build.measures import hull
from clinops.build.memo import once
from clinops.define.windows import Window
from clinops.sources import costs

NO_COSTS = "The records hold no costs (table cost)."


def impossible(source: Any, category: str = "total", amount: str = "allowed") -> str:
    """Say why a cost cannot be had from the source; "" where it can.

    A category in which the records hold no cost at all cannot be had: zero could not be told from missing.

    Raises
    ------
    DataError : amounts in several currencies: no sum of them means anything.
    """
    if not source.has("cost"):
        return NO_COSTS
    known = once(source, ("known amounts",), lambda: _known(source))
    here = [counts for name, counts in known.items() if category in ("total", name)]
    if not here:
        return f"No cost on record falls into the category {category!r}; zero cannot be told from missing."
    if not any(counts[amount] for counts in here):
        return (
            f"No cost row tells the {amount} amount: what is there are charges or the provider's own cost, "
            "and those are not what is spent."
        )
    return ""


def _known(source: Any) -> dict[str, dict[str, int]]:
    """By category, how many cost rows tell each amount."""
    rows = costs.costs(source)
    counted = rows.group_by("category").agg(allowed=rows.allowed.count(), paid=rows.paid.count())
    return {row["category"]: row for row in source.engine.rows(counted)}


@dataclass(frozen=True)
class Asked:
    """A cost that is asked for: which category and amount, in which window."""

    category: str
    amount: str
    window: Window


def spent(entries: Entries, asked: dict[str, Asked], followed: ir.Table | None) -> dict[str, NDArray[np.float64]]:
    """Sum the money of every entry for several measures in one query.

    Parameters
    ----------
    asked : by measure id.
    followed : has row, person_id, index_date and end_day; what falls after end_day does not count.

    Returns
    -------
    arrays of shape (entries,): sums that are exact to the cent in the engine; 0 where nothing was spent.
    """
    if not asked:
        return {}
    dated = by_day(entries, hull(a.window for a in asked.values()), followed)
    sums = {}
    for number, one in enumerate(asked.values()):
        inside = events.within(dated.day, one.window)
        if one.category != "total":
            inside.append(dated.category == one.category)
        where = ibis.and_(*inside) if inside else None
        sums[f"sum_{number}"] = dated[one.amount].sum(where=where).cast("float64")
    columns = entries.collect(dated.group_by("row").agg(**sums))
    return {name: entries.spread(columns, f"sum_{number}", 0.0) for number, name in enumerate(asked)}


def by_day(entries: Entries, window: Window, followed: ir.Table | None) -> ir.Table:
    """Cost rows of every entry within a window: row, day, date, index_date, category, allowed, paid."""
    keys = entries.keys if followed is None else followed
    rows = costs.costs(entries.source).select("person_id", "date", "category", "allowed", "paid")
    joined = keys.inner_join(rows, "person_id")
    dated = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    inside = dated.filter(*events.within(dated.day, window))
    return inside if followed is None else inside.filter(inside.day <= inside.end_day)
