"""Who is at risk when: sums over risk sets by sorted cumulative sums, for every time-to-event estimator.

A row is a spell (entry, exit] with an event indicator at its end; a person may have many rows. At risk at t means
entry < t <= exit, so deaths precede censorings at equal times and someone who enters at t is not at risk at t.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIE_TOLERANCE = float(np.sqrt(np.finfo(float).eps))
_ROOM = 4
"""A table of days or of (stratum, day) may have this many entries a row of the data; beyond, rows are sorted."""


@dataclass(frozen=True)
class Ranks:
    """A clock, times in order that include all of some rows; each exit's place on it, and each entry's.

    time : (k,). exit, entry : (n,); entry is None where all enter at one time, before any row ends.
    """

    time: Floats
    exit: Ints
    entry: Ints | None


@dataclass(frozen=True)
class Spells:
    """Checked rows of follow-up, n of them kept, in the order given.

    entry, exit : (n,) on one clock, entry < exit. event : (n,) True where the spell ends in the event.
    weight : (n,) non-negative. stratum : (n,) codes 0..k-1. cluster : (n,) codes, or None. kept : (rows given,)
    False for the rows set aside because entry = exit. ranks : places of the times in order, where they were sorted for
    the check; see `places`.
    """

    entry: Floats
    exit: Floats
    event: Bools
    weight: Floats
    stratum: Ints
    cluster: Ints | None
    kept: Bools
    ranks: Ranks | None = field(default=None, repr=False, compare=False)

    @property
    def n(self) -> int:
        return len(self.exit)

    @property
    def set_aside(self) -> int:
        """Rows given whose follow-up has no length (entry = exit)."""
        return len(self.kept) - self.n

    @property
    def plain(self) -> bool:
        """Whether every row counts as one."""
        return bool(self.weight[0] == 1) if self.n and alike(self.weight) else bool((self.weight == 1).all())

    @cached_property
    def places(self) -> Ranks:
        """Places of the times in order: sorted once, for every index that is made of these rows."""
        if self.ranks is not None:
            return self.ranks
        together = alike(self.entry)
        time, place = _ranked(self.exit if together else np.concatenate([self.exit, self.entry]))
        return Ranks(time, place[: self.n], None if together else place[self.n :])

    @cached_property
    def exits(self) -> RiskSets:
        """Risk sets at every time at which a row ends, in an event or not."""
        return risk_sets(self, every_exit=True)


def spells(
    exit: ArrayLike,
    event: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
) -> Spells:
    """Check rows of follow-up and set aside those of no length.

    Times that differ only by rounding (relative 1.5e-8) are made equal, as R's survival does, so that 365/365.25
    computed in two ways is one time. Without `entry` everybody enters at 0.

    Raises
    ------
    DataError : lengths differ, a value is missing, an event is neither 0 nor 1, entry is after exit, or a weight
        is negative.
    """
    stop = _numbers("exit", exit, None)
    n = len(stop)
    happened = _happened(event, n)
    start = every(0.0, n) if entry is None else _numbers("entry", entry, n)
    weight = every(1.0, n) if weights is None else _numbers("weights", weights, n)
    if weights is not None and (weight < 0).any():
        raise DataError(f"{int((weight < 0).sum())} weights are negative; a weight is zero or more.")
    start, stop, ranks = _tie_times(start, stop)
    if (start > stop).any():
        row = int(np.flatnonzero(start > stop)[0])
        raise DataError(
            f"{int((start > stop).sum())} rows enter after they leave (first: row {row}, entry {start[row]:g}, "
            f"exit {stop[row]:g}). exit is the stop time on the same clock as entry, not the length."
        )
    codes = every(0, n) if strata is None else _codes("strata", strata, n)
    groups = None if cluster is None else _codes("cluster", cluster, n)
    kept = start < stop
    if kept.all():
        return Spells(start, stop, happened, weight, codes, groups, every(True, n), ranks)
    groups = None if groups is None else groups[kept]
    return Spells(start[kept], stop[kept], happened[kept], weight[kept], codes[kept], groups, kept)


def every(value: Any, n: int) -> Any:
    """The same value n times in the memory of one; read-only."""
    return np.broadcast_to(np.asarray(value), (n,))


def alike(values: NDArray[Any]) -> bool:
    """Whether all values are known to be the same without a look at each."""
    return len(values) == 0 or values.strides == (0,)


def _numbers(name: str, values: ArrayLike, length: int | None) -> Floats:
    """Return a copy of our own, so that a fit does not change with the caller's array."""
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds values that are no numbers ({error}); recode it first.") from error
    if found.ndim != 1 or (length is not None and len(found) != length):
        wanted = "one dimension" if length is None else f"one dimension of {length} values, as exit has"
        raise DataError(f"{name} has the shape {found.shape}; it must have {wanted}.")
    if not np.isfinite(found).all():
        raise DataError(
            f"{name} has {int((~np.isfinite(found)).sum())} missing or infinite values; "
            "drop or complete those rows, and count them, before the analysis."
        )
    return found


def _happened(event: ArrayLike, length: int) -> Bools:
    found = np.asarray(event)
    if found.dtype == np.bool_ and found.shape == (length,):
        return found.copy()
    if found.dtype.kind not in "iu" or found.shape != (length,):
        found = _numbers("event", event, length)
    happened = found == 1
    if not (happened | (found == 0)).all():
        wrong = found[~np.isin(found, (0, 1))][0]
        raise DataError(f"event must be 0 or 1 (False or True); {wrong:g} was given. Recode it first.")
    return np.asarray(happened)


def _codes(name: str, values: ArrayLike, length: int) -> Ints:
    found = np.asarray(values)
    if found.shape != (length,):
        raise DataError(f"{name} has the shape {found.shape}; it must have {length} values, as exit has.")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise DataError(f"{name} has {int(np.isnan(found).sum())} missing values; give each row a value.")
    try:
        return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)
    except TypeError as error:
        raise DataError(f"{name} has labels of unlike types, or missing ones ({error}); make them one type.") from error


def _tie_times(start: Floats, stop: Floats) -> tuple[Floats, Floats, Ranks | None]:
    """Make times equal that differ by rounding only; whole numbers (days) are left as they are, and not sorted."""
    if _whole(start) and _whole(stop):
        return start, stop, None
    together = alike(start)
    both = np.concatenate([start[:1] if together else start, stop])
    order = np.argsort(both)
    rising = both[order]
    gaps = np.diff(rising)
    limit = TIE_TOLERANCE * np.abs(rising[np.append(True, gaps > 0)]).mean()
    apart = np.append(True, gaps > limit)
    clock = np.asarray(rising[apart], dtype=np.float64)
    place = np.empty(len(both), dtype=np.int64)
    place[order] = np.cumsum(apart) - 1
    entries = len(both) - len(stop)
    ranks = Ranks(clock, place[entries:], None if together else place[:entries])
    if not (~apart[1:] & (gaps > 0)).any():
        return start, stop, ranks
    return every(clock[place[0]], len(stop)) if together else clock[place[:entries]], clock[ranks.exit], ranks


_BLOCK = 1 << 15
"""Numbers looked at together where a temporary array as long as the data would cost more than the look itself."""


def blocks(n: int, width: int = 1) -> Iterator[slice]:
    """Slices that cover n rows of so many numbers, each small enough to stay in the processor's cache."""
    size = max(_BLOCK // max(width, 1), 1)
    return (slice(begin, begin + size) for begin in range(0, n, size))


def _whole(times: Floats) -> bool:
    if alike(times):
        times = times[:1]
    return all(bool((times[some] == np.floor(times[some])).all()) for some in blocks(len(times)))


@dataclass(frozen=True)
class RiskSets:
    """Positions that turn any per-row value into its sum over each risk set, in O(rows log rows).

    A moment is a distinct (stratum, time) at which a row ends (in an event, or in anything: see `risk_sets`).
    stratum, time : (m,) the moments, by stratum and then time. moment_of : (n,) the moment at which a row's event
    falls, -1 for rows without one. first, last : (n,) a row is at risk at the moments first <= k < last.
    """

    stratum: Ints
    time: Floats
    moment_of: Ints
    first: Ints
    last: Ints

    @property
    def m(self) -> int:
        return len(self.time)

    def at_risk(self, values: Floats) -> Floats:
        """Sum `values` (n,) or (n, p) over those at risk at each moment: (m,) or (m, p)."""
        if self._from_the_start:
            ending = _sum_by(self.last, values, self.m + 1)
            return np.cumsum(ending[::-1], axis=0)[::-1][1:]
        total = np.zeros((self._padded, *values.shape[1:]))
        for height, rows in self._levels:
            left, right = _halves(_sum_by(self.first[rows], values[rows], self._padded), height)
            into = _halves(total, height)
            into[0][:] += np.cumsum(left, axis=1)
            if height:
                right = _halves(_sum_by(self.last[rows] - 1, values[rows], self._padded), height)[1]
                into[1][:] += np.cumsum(right[:, ::-1], axis=1)[:, ::-1]
        return total[: self.m]

    def events(self, values: Floats) -> Floats:
        """Sum `values` (n,) or (n, p) over those whose event falls at each moment."""
        rows = self.moment_of >= 0
        return _sum_by(self.moment_of[rows], values[rows], self.m)

    def maximum(self, values: Floats) -> Floats:
        """Return the largest of `values` (n,) among those at risk at each moment, -inf if there is nobody: (m,).

        Each row's run of moments is covered by two runs whose length is a power of two; longer runs are then
        handed down to shorter ones.
        """
        span = self.last - self.first
        rows = np.flatnonzero(span > 0)
        level = np.zeros(len(span), dtype=np.int64)
        level[rows] = np.floor(np.log2(span[rows])).astype(np.int64)
        best = np.full(self.m, -np.inf)
        for height in range(int(level[rows].max(initial=0)), -1, -1):
            here = rows[level[rows] == height]
            np.maximum.at(best, self.first[here], values[here])
            np.maximum.at(best, self.last[here] - (1 << height), values[here])
            if height:
                half = 1 << (height - 1)
                best[half:] = np.maximum(best[half:], best[: self.m - half].copy())
        return best

    def along(self, increments: Floats) -> Floats:
        """Sum `increments` (m,) or (m, p) over the moments at which each row is at risk: (n,) or (n, p)."""
        if self._from_the_start:
            return np.concatenate([np.zeros((1, *increments.shape[1:])), np.cumsum(increments, axis=0)])[self.last]
        out = np.zeros((len(self.first), *increments.shape[1:]))
        each = np.zeros((self._padded, *increments.shape[1:]))
        each[: self.m] = increments
        for height, rows in self._levels:
            left, right = _halves(each, height)
            running = each.copy()
            into = _halves(running, height)
            into[0][:] = np.cumsum(left[:, ::-1], axis=1)[:, ::-1]
            out[rows] = running[self.first[rows]]
            if height:
                into[1][:] = np.cumsum(right, axis=1)
                out[rows] += running[self.last[rows] - 1]
        return out

    @cached_property
    def _from_the_start(self) -> bool:
        return not self.first.any()

    @cached_property
    def _padded(self) -> int:
        return 1 << max(self.m - 1, 0).bit_length()

    @cached_property
    def _levels(self) -> tuple[tuple[int, Ints], ...]:
        """Rows by the height of the smallest aligned block of 2^height moments that holds all of theirs.

        Such a row begins in the block's left half and ends in its right half, so its sum is that of a suffix of the
        one and a prefix of the other: cumulative sums of one sign. Differences of two running totals, the obvious
        way, lose every digit when the terms differ by many orders of magnitude, as under a monotone likelihood.
        """
        rows = np.flatnonzero(self.first < self.last)
        apart = self.first[rows] ^ (self.last[rows] - 1)
        height = np.frexp(apart.astype(np.float64))[1]
        return tuple((int(h), rows[height == h]) for h in np.unique(height))


def _halves(values: Floats, height: int) -> tuple[Floats, Floats]:
    """Views of the left and right halves of each block of 2^height moments: (blocks, half, ...); at 0 no right."""
    size = 1 << height
    blocks = values.reshape(len(values) // size, size, *values.shape[1:])
    half = size // 2 if height else 1
    return blocks[:, :half], blocks[:, half:]


def ratio(top: Floats, bottom: Floats, where: Bools) -> Floats:
    """Return top / bottom where allowed, 0 elsewhere."""
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=where & (bottom != 0))


def _sum_by(index: Ints, values: Floats, size: int) -> Floats:
    """Sum `values` (k,) or (k, p) by index 0..size-1 (np.add.at, but fast)."""
    if values.ndim == 1:
        return np.bincount(index, weights=values, minlength=size).astype(np.float64)
    out = np.zeros((size, values.shape[1]))
    for column in range(values.shape[1]):
        out[:, column] = np.bincount(index, weights=values[:, column], minlength=size)
    return out


def risk_sets(rows: Spells, *, every_exit: bool = False) -> RiskSets:
    """Index the risk sets of checked rows at their event times (or, with `every_exit`, at every time a row ends)."""
    one_stratum = alike(rows.stratum)
    at = rows.places
    size = np.int64(max(len(at.time), 1))

    def key(places: Ints) -> Ints:
        return places if one_stratum else rows.stratum * size + places

    ends = key(at.exit)
    strata = 1 if one_stratum else int(rows.stratum.max(initial=0)) + 1
    moments, upto = _counted(ends if every_exit else ends[rows.event], strata * int(size), rows.n)
    last = upto(ends)
    moment_of = np.where(rows.event, last - 1, -1)
    if at.entry is not None:
        first = upto(key(at.entry))
    elif one_stratum:  # everybody is at risk from the first moment on
        first = every(0, rows.n)
    else:  # from the first moment of the stratum on
        first = np.searchsorted(moments // size, rows.stratum, side="left")
    return RiskSets(moments // size, at.time[moments % size], moment_of, first, last)


def _ranked(times: Floats) -> tuple[Floats, Ints]:
    """Return a clock, times in order that include all of these, and each time's position on it.

    Whole days over some years: a table of days is many times faster than sorting the rows.
    """
    low, high = (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)
    if high - low <= _ROOM * len(times) and _whole(times):
        return np.arange(int(high - low) + 1, dtype=np.float64) + low, (times - low).astype(np.int64)
    order = np.argsort(times)
    rising = times[order]
    fresh = np.append(True, rising[1:] != rising[:-1])
    place = np.empty(len(times), dtype=np.int64)
    place[order] = np.cumsum(fresh) - 1
    return np.asarray(rising[fresh], dtype=np.float64), place


def _counted(keys: Ints, size: int, n: int) -> tuple[Ints, Callable[[Ints], Ints]]:
    """Return the distinct keys (0..size-1) in order, and a function that counts how many of them are <= a key.

    By a table of all possible keys where that is not much longer than the `n` rows, else by searching.
    """
    if size > _ROOM * n:
        distinct = np.unique(keys)
        return distinct, lambda key: np.searchsorted(distinct, key, side="right")
    seen = np.zeros(size, dtype=bool)
    seen[keys] = True
    count = np.cumsum(seen)
    return np.flatnonzero(seen), lambda key: count[key]
