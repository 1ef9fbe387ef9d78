"""Member-months: each calendar month counts by the share of its own days that were covered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]
Floats = NDArray[np.float64]


def member_months(index_date: Dates, first_day: Floats, last_day: Floats) -> Floats:
    """Return the prorated calendar months from one day to another, both included.

    Parameters
    ----------
    index_date : (n,) dates.
    first_day, last_day : (n,) days from the index date; a span that ends before it starts has 0 months.

    Returns
    -------
    (n,) months: 15 April to 30 April is 16/30, all of April 1, so a whole year is exactly 12.
    """
    start = index_date.astype("datetime64[D]") + np.nan_to_num(first_day).astype(int)
    stop = index_date.astype("datetime64[D]") + np.nan_to_num(last_day).astype(int) + 1
    return np.where(stop > start, _position(stop) - _position(start), 0.0)


def months_covered(
    index_date: Dates, first_day: Floats, last_day: Floats, before: int, after: int
) -> tuple[NDArray[np.int64], Floats]:
    """Return the share of each anniversary month from index that was observed.

    Parameters
    ----------
    index_date : (n,) dates.
    first_day, last_day : (n,) observed days from the index date, both included.
    before, after : how many months on either side.

    Returns
    -------
    The months (k,), -before .. -1, 1 .. after, and the shares (n, k). Month 1 is day 1 to the first monthly
    anniversary, month -1 the month that ends on day -1; the index date is in none.
    """
    at = np.array([*range(-before, 0), *range(1, after + 1)], dtype=np.int64)
    index = index_date.astype("datetime64[D]")
    days = _anniversaries(index, np.arange(-before, after + 1))
    columns = []
    for month in at:
        later = int(month > 0)
        start = days[before + month - later] + later
        end = days[before + month + 1 - later] - (1 - later)
        seen = np.minimum(end, last_day) - np.maximum(start, first_day) + 1
        columns.append(np.maximum(seen, 0) / (end - start + 1))
    return at, np.column_stack(columns) if columns else np.empty((len(index), 0))


def months_started(first: Dates, last: Dates) -> Floats:
    """Return how many months from anniversary to anniversary of the first date had started by the last.

    Parameters
    ----------
    first, last : (n,) dates; the first date itself belongs to month 1, which ends on the first anniversary.

    Returns
    -------
    (n,) months: 15 January to 15 January is 1, to 15 February 1, to 16 February 2; 0 where last is before first.
    """
    start, stop = first.astype("datetime64[D]"), last.astype("datetime64[D]")
    between = (stop.astype("datetime64[M]") - start.astype("datetime64[M]")).astype(int)
    beyond = (stop - start).astype(int) > _anniversaries(start, between[None, :])[0]
    return np.where(stop < start, 0.0, np.maximum(between + beyond, 1)).astype(float)


def anniversary_days(index_date: Dates, months: int) -> Floats:
    """Return the days from each index date (n,) to its anniversary so many months later."""
    return _anniversaries(index_date.astype("datetime64[D]"), np.array([months]))[0]


def _anniversaries(index: Dates, months: NDArray[np.int64]) -> Floats:
    """Days from the index dates (n,) to their anniversaries after `months`, (k,) or (k, n): shape (k, n).

    An anniversary that the calendar lacks falls on its month's last day.
    """
    month = index.astype("datetime64[M]")
    number, of_month = month.astype(np.int64), (index - month.astype("datetime64[D]")).astype(np.int64)
    if not len(index):
        return np.empty((len(months), 0))
    # The first days of all months in question once, as a table: converting every date anew takes most of the time.
    low, high = int(number.min() + months.min()), int(number.max() + months.max())
    firsts = np.arange(low, high + 2).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    lengths = np.diff(firsts)
    found = np.empty((len(months), len(index)))
    for row, shift in enumerate(months):
        at = number + shift - low
        found[row] = firsts[at] + np.minimum(of_month, lengths[at] - 1) - index.astype(np.int64)
    return found


def _position(date: Dates) -> Floats:
    """Months since 1970-01 as a number whose fraction is the share of the month that has passed."""
    month = date.astype("datetime64[M]")
    first = month.astype("datetime64[D]")
    length = ((month + 1).astype("datetime64[D]") - first).astype(float)
    return month.astype(float) + (date - first).astype(float) / length
