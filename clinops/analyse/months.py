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


def _position(date: Dates) -> Floats:
    """Months since 1970-01 as a number whose fraction is the share of the month that has passed."""
    month = date.astype("datetime64[M]")
    first = month.astype("datetime64[D]")
    length = ((month + 1).astype("datetime64[D]") - first).astype(float)
    return month.astype(float) + (date - first).astype(float) / length
