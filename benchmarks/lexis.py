"""Person-time by calendar year and age: pieces at the cuts, against a row a person-day and against pandas splitting."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.timing import heading, versus
from clinops.stats.lexis import lexis, new_years

AGES = (18, 45, 65, 75, 85)
CUTS = new_years("2018-01-01", "2024-12-31")
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def people(n: int) -> Arrays:
    """Return entry, exit and birth: up to two years of follow-up."""
    rng = np.random.default_rng(6)
    entry = np.datetime64("2018-06-01") + rng.integers(0, 1500, n)
    return entry, entry + rng.integers(0, 731, n), np.datetime64("1930-01-01") + rng.integers(0, 32_000, n)


def ours(of: Arrays) -> np.ndarray:
    """Days of every cell, the column of unknown ages left off."""
    entry, exit, born = of
    return lexis(entry, exit, born=born, calendar=CUTS, ages=AGES).cells().days[:, :-1]


def by_day(of: Arrays) -> np.ndarray:
    """The same from a row for every person and day, in blocks of persons, as the memory would not hold all."""
    total = np.zeros((len(CUTS) + 1, len(AGES) + 1), dtype=np.int64)
    for start in range(0, len(of[0]), 50_000):
        entry, exit, born = (part[start : start + 50_000] for part in of)
        length = (exit - entry).astype(int)
        row = np.repeat(np.arange(len(entry)), length)
        day = entry[row] + 1 + np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
        month = day.astype("datetime64[M]")
        first = born.astype("datetime64[M]")
        early = (day - month) < (born - first)[row]
        age = (month.astype(int) - first.astype(int)[row] - early) // 12
        period = day.astype("datetime64[Y]").astype(int) - 2018 + 1970
        cell = period * (len(AGES) + 1) + np.searchsorted(AGES, age, "right")
        total += np.bincount(cell, minlength=total.size).reshape(total.shape)
    return total


def split(of: Arrays) -> np.ndarray:
    """The same in pandas: each row split at each new year, then at each birthday that opens a band."""
    frame = pd.DataFrame({"start": pd.to_datetime(of[0]), "stop": pd.to_datetime(of[1]),
                          "born": pd.to_datetime(of[2]), "period": 0, "band": 0})  # fmt: skip
    frame = frame[frame["stop"] > frame["start"]]
    for cut in pd.to_datetime(CUTS):
        frame = _cut(frame, pd.Series(cut, index=frame.index), "period")
    for age in AGES:
        frame = _cut(frame, frame["born"] + pd.DateOffset(years=age), "band")
    frame["days"] = (frame["stop"] - frame["start"]).dt.days
    found = frame.pivot_table("days", "period", "band", "sum", fill_value=0)
    return found.reindex(index=range(len(CUTS) + 1), columns=range(len(AGES) + 1), fill_value=0).to_numpy()


def _cut(frame: pd.DataFrame, day: pd.Series, name: str) -> pd.DataFrame:
    last = day - pd.Timedelta(days=1)  # the last day before the cut
    late, across = frame["start"] >= last, (frame["start"] < last) & (frame["stop"] > last)
    before = frame.assign(stop=frame["stop"].where(~across, last), **{name: frame[name] + late})
    after = frame[across].assign(start=last[across], **{name: frame.loc[across, name] + 1})
    return pd.concat([before, after], ignore_index=True)


def time_both(n: int) -> None:
    """Check that all give the same days, then time them."""
    of = people(n)
    mine, other = ours(of), split(of)
    assert (mine == by_day(of)).all()
    # DateOffset puts a birthday on 29 February on the 28th of common years: a day or two of a cell.
    assert mine.sum() == other.sum() and np.abs(mine - other).max() <= n / 1000
    what, large = "Person-days by calendar year and age", n >= 1_000_000
    walk, cuts = "numpy, a row a person-day", "pandas, rows split at each cut"
    versus(what, n, lambda: ours(of), lambda: by_day(of), walk, rounds=1 if large else 3)
    versus(what, n, lambda: ours(of), lambda: split(of), cuts, rounds=3 if large else 5)


def main() -> None:
    """Run every size."""
    heading("numpy", "pandas")
    for n in (100_000, 1_000_000):
        time_both(n)


if __name__ == "__main__":
    main()
