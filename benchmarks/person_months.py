"""Covered share of each month from index: from the spans' ends, against a row for every person and day or month."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.timing import heading, versus
from clinops.analyse.months import member_months, months_covered

MONTHS = 12


def spans(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return index dates and the observed days around them."""
    rng = np.random.default_rng(4)
    index = np.datetime64("2020-01-01") + rng.integers(0, 1096, n)
    return index, -rng.integers(0, 500, n).astype(float), rng.integers(0, 500, n).astype(float)


def exploded(index: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The calendar member-months of each person from one row a person-month, as pandas code usually has it."""
    frame = pd.DataFrame({"start": pd.to_datetime(index) + pd.to_timedelta(first, unit="D"),
                          "end": pd.to_datetime(index) + pd.to_timedelta(last, unit="D")})  # fmt: skip
    begin, stop = (frame[c].dt.year * 12 + frame[c].dt.month - 1 for c in ("start", "end"))
    count = (stop - begin + 1).clip(lower=0).to_numpy()
    row = np.repeat(np.arange(len(frame)), count)
    month = np.repeat(begin.to_numpy(), count) + np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    each = pd.DataFrame({"row": row})
    each["first"] = (month - 1970 * 12).astype("datetime64[M]").astype("datetime64[ns]")
    each["last"] = (month - 1970 * 12 + 1).astype("datetime64[M]").astype("datetime64[ns]") - np.timedelta64(1, "D")
    low = np.maximum(each["first"].to_numpy(), frame["start"].to_numpy()[row])
    high = np.minimum(each["last"].to_numpy(), frame["end"].to_numpy()[row])
    days = (high - low) / np.timedelta64(1, "D") + 1
    each["share"] = days / each["first"].dt.days_in_month.to_numpy()
    return each.groupby("row")["share"].sum().reindex(np.arange(len(frame)), fill_value=0.0).to_numpy()


def by_day(index: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The share of each anniversary month from one row a person-day."""
    columns = []
    for month in (*range(-MONTHS, 0), *range(1, MONTHS + 1)):
        start, end = (_moved(index, month - (month > 0) + later) for later in (0, 1))
        low = (start - index) / np.timedelta64(1, "D") + (month > 0)
        high = (end - index) / np.timedelta64(1, "D") - (month < 0)
        length = (high - low + 1).astype(int)
        row = np.repeat(np.arange(len(index)), length)
        day = np.repeat(low, length) + np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
        seen = (day >= first[row]) & (day <= last[row])
        columns.append(np.bincount(row, seen, len(index)) / length)
    return np.column_stack(columns)


def _moved(index: np.ndarray, months: int) -> np.ndarray:
    return (pd.to_datetime(index) + pd.DateOffset(months=months)).to_numpy()


def time_calendar(n: int) -> None:
    """Check that both give the same member-months, then time both."""
    of = spans(n)
    np.testing.assert_allclose(member_months(*of), exploded(*of), atol=1e-9)
    what, peer = "Calendar member-months a person", "pandas, a row a person-month"
    versus(what, n, lambda: member_months(*of), lambda: exploded(*of), peer)


def time_coverage(n: int) -> None:
    """Check that both give the same shares, then time both."""
    of = spans(n)

    def ours() -> np.ndarray:
        return months_covered(*of, MONTHS, MONTHS)[1]

    np.testing.assert_allclose(ours(), by_day(*of), atol=1e-9)
    versus("Coverage of 24 months from index", n, ours, lambda: by_day(*of), "numpy, a row a person-day", rounds=3)


def main() -> None:
    """Run every size."""
    heading("numpy", "pandas")
    for n in (10_000, 100_000, 300_000):
        time_calendar(n)
    for n in (10_000, 100_000):
        time_coverage(n)


if __name__ == "__main__":
    main()
