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
    both = np.concatenate([pool, queue])
    order = np.lexsort((both, value[both], stratum[both]))
    from_pool = order < len(pool)
    before = np.empty(len(both), np.int64)
    before[order] = np.cumsum(from_pool)
    ranked = both[order[from_pool]]
    bounds = np.searchsorted(stratum[ranked], np.arange(int(stratum.max(initial=0)) + 2))
    who = person[ranked]
    dates = np.argsort(who, kind="stable")
    begins = np.searchsorted(who[dates], np.arange(int(person.max(initial=0)) + 2))
    line = (value[queue], person[queue], before[len(pool) :], bounds[stratum[queue]], bounds[stratum[queue] + 1])
    free = (value[ranked], who, dates, begins)
    takers, taken = np.empty(len(queue) * ratio, np.int64), np.empty(len(queue) * ratio, np.int64)
    found = _run(take_again if replace else take_once, len(both), line, free, ratio, limit, takers, taken)
    return queue[takers[:found]], ranked[taken[:found]]


def person_codes(person: ArrayLike, n: int) -> Ints:
    """Number the persons of n rows 0, 1, ...; refuse another shape and missing ids."""
    ids = np.asarray(person)
    if ids.shape != (n,):
        raise DataError(f"person has shape {ids.shape}; it must be one id a row, ({n},).")
    if ids.dtype.kind == "f" and not np.isfinite(ids).all():
        raise DataError(f"{int((~np.isfinite(ids)).sum())} of {n} person ids are missing; every row is somebody's.")
    return np.unique(ids, return_inverse=True)[1].astype(np.int64)


@cache
def _compiled(loop: Any) -> Any:
    return jit(loop)


def _run(loop: Any, rows: int, line: Any, free: Any, ratio: int, limit: float, takers: Ints, taken: Ints) -> int:
    arrays = (*line, *free)
    if worth_it(rows):
        return int(_compiled(loop)(*arrays, ratio, limit, takers, taken))
    # Lists, because Python reads them faster than arrays of numpy.
    return int(loop(*(array.tolist() for array in arrays), ratio, limit, takers, taken))


def take_once(
    mine: Any, me: Any, place: Any, low: Any, high: Any, at: Any, who: Any, dates: Any, begins: Any, ratio: int,
    limit: float, takers: NDArray[np.int64], taken: NDArray[np.int64],
) -> int:  # fmt: skip
    """Each in turn takes the nearest person not yet taken, whose other dates are then gone as well.

    `up[i]` leads to the first free position at or above i, `down[i]` to one more than the first free below i.
    """
    size = len(at)
    up, down = list(range(size + 1)), list(range(size + 1))
    waiting = list(range(len(mine)))
    found = 0
    for _ in range(ratio):
        still = 0
        for row in waiting[: len(waiting)]:
            above = place[row]
            while True:
                while up[above] != above:
                    up[above] = up[up[above]]
                    above = up[above]
                if above >= high[row] or who[above] != me[row]:
                    break
                above += 1
            below = place[row]
            while True:
                while down[below] != below:
                    down[below] = down[down[below]]
                    below = down[below]
                if below <= low[row] or who[below - 1] != me[row]:
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
            for j in range(begins[who[pick]], begins[who[pick] + 1]):
                up[dates[j]], down[dates[j] + 1] = dates[j] + 1, dates[j]
            waiting[still] = row
            still += 1
        waiting = waiting[:still]  # whoever found nobody in this round finds nobody in the next
    return found


def take_again(
    mine: Any, me: Any, place: Any, low: Any, high: Any, at: Any, who: Any, dates: Any, begins: Any, ratio: int,
    limit: float, takers: NDArray[np.int64], taken: NDArray[np.int64],
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
