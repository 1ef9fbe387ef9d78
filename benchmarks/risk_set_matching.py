"""Matching on the day: 10,000 exposed with a million candidate person-dates, persons used once, and its peak memory.

The candidates are person-dates of risk sets: the day is matched exactly, a score within a caliper. The answer is first
checked at a small size against looking at every row, then each size is timed (wall, and the processor's own seconds in
the place of a peer's) and the power by which the processor's seconds grow is printed.
"""

from __future__ import annotations

import resource
import time
from statistics import median

import numpy as np

from benchmarks.timing import exponent, heading
from clinops.stats.matching import MatchedSets, match

RATIOS = (1, 4)
CALIPER = 0.2


def candidates(cases: int, dates: int, seed: int = 3) -> dict[str, np.ndarray]:
    """Rows of a risk-set design: three years of days, every person in several risk sets, cases among them before."""
    rng = np.random.default_rng(seed)
    persons = max(dates // 10, cases + 1)
    n = cases + dates
    treated = np.arange(n) < cases
    person = np.concatenate([np.arange(cases), rng.integers(0, persons, dates)])
    day = rng.integers(0, 1096, n)
    level = rng.normal(size=persons)
    score = level[person] + 0.5 * rng.normal(size=n) + 0.6 * treated
    return {"distance": score, "treated": treated, "exact": day, "person": person}


def by_every_row(rows: dict[str, np.ndarray], ratio: int) -> list[tuple[int, int]]:
    """The nearest row on the day of a person who is free, for each in turn, the largest first, in rounds."""
    value, treated, day, person = rows["distance"], rows["treated"], rows["exact"], rows["person"]
    limit = CALIPER * value.std(ddof=1)
    line = np.flatnonzero(treated)[np.argsort(-value[treated], kind="stable")]
    free = ~treated
    pairs, waiting = [], list(line)
    for _ in range(ratio):
        still = []
        for row in waiting:
            far = np.where(free & (day == day[row]) & (person != person[row]), np.abs(value - value[row]), np.inf)
            nearest = int(np.argmin(far))
            if far[nearest] > limit:
                continue
            pairs.append((int(row), nearest))
            free &= person != person[nearest]
            still.append(row)
        waiting = still
    return sorted(pairs)


def matched(rows: dict[str, np.ndarray], ratio: int) -> MatchedSets:
    """Ours."""
    return match(**rows, ratio=ratio, caliper=CALIPER)


def main() -> None:
    """Check, then time every size."""
    small = candidates(200, 8_000)
    for ratio in RATIOS:
        assert sorted(map(tuple, matched(small, ratio).pairs.tolist())) == by_every_row(small, ratio)
    heading("numpy", "numba")
    for ratio in RATIOS:
        took: dict[int, float] = {}
        for cases, dates in ((3_000, 300_000), (10_000, 1_000_000), (30_000, 3_000_000)):
            rows, wall, cpu = candidates(cases, dates), [], []
            for _ in range(6):
                start, own = time.perf_counter(), time.process_time()
                found = matched(rows, ratio)
                wall.append(time.perf_counter() - start)
                cpu.append(time.process_time() - own)
            took[cases + dates] = median(cpu[1:])
            what = f"1:{ratio} of {cases:,} exposed by day, caliper, persons once ({len(found.pairs):,} pairs)"
            print(
                f"| {what} | {cases + dates:,} | {median(wall[1:]):.4f} | {median(cpu[1:]):.4f} | | CPU |", flush=True
            )
            if cases == 10_000:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        exponent(f"1:{ratio} by day", took)
        if ratio == RATIOS[0]:
            print(f"Peak memory of the process after the second size: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
