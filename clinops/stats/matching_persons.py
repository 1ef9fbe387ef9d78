"""Greedy matching of person-dates: a person stands in the pool on several dates, serves once, and never for themselves.

The loops below run as they stand for few rows and compiled for many; both read and write by index only. Positions are
those of the pool sorted by (stratum, value, row); a treated row looks from `place`, the first position that does not
sort before it, between `low` and `high`, the bounds of its stratum.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.compiled import jit, worth_it
from clinops.stats.glm import Floats, Ints

ENOUGH_IN_EACH = 100
"""Rows in a stratum, on average, from which sorting each by itself is cheaper than sorting all at once."""


def match_persons(
    value: Floats, queue: Ints, pool: Ints, stratum: Ints, person: Ints, ratio: int, limit: float, replace: bool
) -> tuple[Ints, Ints]:
    """Return rows (takers, taken), everyone's first comparator before anyone's second.

    Parameters
    ----------
    value, stratum, person : (n,) of all rows; persons and strata numbered from 0.
    queue : rows of the treated in the order in which they choose. pool : rows of the comparators.
    limit : the largest distance of a pair.
    """
    order = _sorted(value, stratum)
    from_pool = np.zeros(len(value), dtype=bool)
    from_pool[pool] = True
    sorted_pool = from_pool[order]
    before = np.empty(len(value), np.int64)
    before[order] = np.cumsum(sorted_pool)
    ranked = order[sorted_pool]
    sizes = np.bincount(stratum[pool], minlength=int(stratum.max(initial=0)) + 1)
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    line = (value[queue], person[queue], before[queue], bounds[stratum[queue]], bounds[stratum[queue] + 1])
    free = (value[ranked], person[ranked])
    takers, taken = np.empty(len(queue) * ratio, np.int64), np.empty(len(queue) * ratio, np.int64)
    persons = int(person.max(initial=-1)) + 1
    found = _run(take_again if replace else take_once, len(value), line, free, persons, ratio, limit, takers, taken)
    return queue[takers[:found]], ranked[taken[:found]]


def _sorted(value: Floats, stratum: Ints) -> Ints:
    """Rows by (stratum, value, row); where strata are large each is sorted by itself, in the processor's cache."""
    strata = int(stratum.max(initial=0)) + 1
    if strata == 1:
        return _by_value(value)
    # Few strata are small numbers, which sort in one pass.
    label = stratum.astype(np.uint16) if strata <= 2**16 else stratum
    if len(value) < ENOUGH_IN_EACH * strata:
        order = _by_value(value)
        return order[np.argsort(label[order], kind="stable")]
    order = np.argsort(label, kind="stable")
    ends = np.cumsum(np.bincount(stratum, minlength=strata))
    first = 0
    for end in ends.tolist():
        part = order[first:end]
        order[first:end] = part[_by_value(value[part])]
        first = end
    return order


def _by_value(value: Floats) -> Ints:
    """Rows by (value, row); only ties need the slower sort that keeps the order of rows."""
    order = np.argsort(value)
    at = value[order]
    return np.argsort(value, kind="stable") if (at[1:] == at[:-1]).any() else order


def person_codes(person: ArrayLike, n: int) -> Ints:
    """Number the persons of n rows from 0, numbers left out where ids are near enough; refuse missing ids."""
    ids = np.asarray(person)
    if ids.shape != (n,):
        raise DataError(f"person has shape {ids.shape}; it must be one id a row, ({n},).")
    lost = ~np.isfinite(ids) if ids.dtype.kind == "f" else np.zeros(n, bool)
    if ids.dtype.kind == "O":
        lost = np.array([one is None or (isinstance(one, float) and np.isnan(one)) for one in ids], bool)
    if lost.any():
        raise DataError(f"{int(lost.sum())} of {n} person ids are missing; every row is somebody's.")
    if n and ids.dtype.kind in "iu" and int(ids.max()) - int(ids.min()) < 4 * n:
        return (ids - ids.min()).astype(np.int64)
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


@cache
def _compiled(loop: Any) -> Any:
    return jit(loop)


def _run(
    loop: Any, rows: int, line: Any, free: Any, persons: int, ratio: int, limit: float, takers: Ints, taken: Ints
) -> int:
    arrays = (*line, *free)
    if worth_it(rows):
        return int(_compiled(loop)(*arrays, persons, ratio, limit, takers, taken))
    # Lists, because Python reads them faster than arrays of numpy.
    return int(loop(*(array.tolist() for array in arrays), persons, ratio, limit, takers, taken))


def take_once(
    mine: Any, me: Any, place: Any, low: Any, high: Any, at: Any, who: Any, persons: int, ratio: int, limit: float,
    takers: NDArray[np.int64], taken: NDArray[np.int64],
) -> int:  # fmt: skip
    """Each in turn takes the nearest person not yet taken, whose other dates are then gone as well.

    `up[i]` leads to the first position at or above i that may be free, `down[i]` to one more than the first below i.
    Positions of people already taken are left out when they are met, so that nobody's dates have to be looked up.
    """
    size = len(at)
    up, down = np.arange(size + 1), np.arange(size + 1)
    used = np.zeros(persons, np.bool_)
    waiting = np.arange(len(mine))
    found = 0
    for _ in range(ratio):
        still = 0
        for row in waiting.copy():
            above = place[row]
            while True:
                while up[above] != above:
                    up[above] = up[up[above]]
                    above = up[above]
                if above >= high[row]:
                    break
                if used[who[above]]:
                    up[above] = above + 1
                elif who[above] != me[row]:
                    break
                above += 1
            below = place[row]
            while True:
                while down[below] != below:
                    down[below] = down[down[below]]
                    below = down[below]
                if below <= low[row]:
                    break
                if used[who[below - 1]]:
                    down[below] = below - 1
                elif who[below - 1] != me[row]:
                    break
                below -= 1
            far_below = mine[row] - at[below - 1] if below > low[row] else np.inf
            far_above = at[above] - mine[row] if above < high[row] else np.inf
            far = min(far_below, far_above)
            if far > limit or far == np.inf:
                continue
            pick = below - 1 if far_below <= far_above else above
            takers[found], taken[found] = row, pick
            found += 1
            used[who[pick]] = True
            waiting[still] = row
            still += 1
        waiting = waiting[:still]  # whoever found nobody in this round finds nobody in the next
    return found


def take_again(
    mine: Any, me: Any, place: Any, low: Any, high: Any, at: Any, who: Any, persons: int, ratio: int, limit: float,
    takers: NDArray[np.int64], taken: NDArray[np.int64],
) -> int:  # fmt: skip
    """Each takes the nearest other persons, whoever else has taken them; nobody twice within a set."""
    found = 0
    for row in range(len(mine)):
        above, below, got = place[row], place[row] - 1, 0
        while got < ratio:
            far_below = mine[row] - at[below] if below >= low[row] else np.inf
            far_above = at[above] - mine[row] if above < high[row] else np.inf
            far = min(far_below, far_above)
            if far > limit or far == np.inf:
                break
            # Of equal distances the one fewer places away, as without persons.
            if far_below < far_above or (far_below == far_above and place[row] - below <= above - place[row] + 1):
                pick, below = below, below - 1
            else:
                pick, above = above, above + 1
            fits = who[pick] != me[row]
            for j in range(found - got, found):
                fits = fits and who[taken[j]] != who[pick]
            if fits:
                takers[found], taken[found] = row, pick
                found, got = found + 1, got + 1
    return found
