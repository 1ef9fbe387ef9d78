"""Person-months: money of every entry by anniversary month from its index date."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build import costs
from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.define.base import choice
from clinops.define.measures import AMOUNTS, COST_CATEGORIES
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DataError

COLUMNS = ("row", "month", "cost")


def person_months(
    protocol: Protocol, baseline: Baseline, category: str = "total", before: int = 12, after: int = 12,
    amount: str = "allowed",
) -> pd.DataFrame:  # fmt: skip
    """Sum what every entry cost in each month from its index date.

    A month runs from anniversary to anniversary: month 1 is day 1 to the first monthly anniversary of the
    index date (31 January to 28 February), month -1 the month that ends on day -1. Day 0 is in none. Only days
    that are observed count: from `observed_from_day` to `end_day` of the outcomes, which give the coverage.

    Returns
    -------
    frame with row, month (-before .. -1, 1 .. after) and cost, sorted; months without money have no row.

    Raises
    ------
    DataError : the source has no costs, or none of the category.
    """
    choice("cost category", category, COST_CATEGORIES)
    choice("amount", amount, AMOUNTS)
    entries = baseline.entries
    if reason := costs.impossible(entries.source, category, amount):
        raise DataError(reason)
    followed = follow(protocol, entries)
    reach = Window(-31 * before - 1, 31 * after + 1)
    dated = costs.by_day(entries, reach, followed.table)
    seen = dated.filter(dated.day != 0, dated.day >= dated.observed_from_day)
    if category != "total":
        seen = seen.filter(seen.category == category)
    placed = seen.mutate(month=month_from(seen.date, seen.index_date))
    summed = placed.group_by(["row", "month"]).agg(cost=placed[amount].sum())
    kept = summed.filter(summed.month.between(-before, after), summed.cost != ibis.literal(0).cast(summed.cost.type()))
    chosen = kept.select("row", "month", cost=kept.cost.cast("float64")).order_by(["row", "month"])
    frame = entries.source.engine.collect(chosen).to_pandas()
    return frame.astype({"row": "int64", "month": "int64", "cost": "float64"})[list(COLUMNS)]


def month_from(date: ir.DateValue, index: ir.DateValue) -> ir.IntegerValue:
    """The number of the anniversary month that holds a date: 1, 2, ... after the index date, -1, -2, ... before.

    An anniversary that the calendar lacks (31 April) falls on the last day of its month. Meaningless on day 0.
    """
    months = (date.year() - index.year()).cast("int64") * 12 + (date.month() - index.month()).cast("int64")
    day, anniversary = date.day().cast("int64"), index.day().cast("int64")
    later = months + (day > anniversary).ifelse(1, 0)
    last_of_month = (date + ibis.interval(days=1)).cast("date").day() == 1
    earlier = months - ((day >= anniversary) | last_of_month).ifelse(0, 1)
    return (date > index).ifelse(later, earlier)
