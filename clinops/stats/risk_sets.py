"""Who is at risk when: sums over risk sets by sorted cumulative sums, for every time-to-event estimator.

A row is a spell (entry, exit] with an event indicator at its end; a person may have many rows. At risk at t means
entry < t <= exit, so deaths precede censorings at equal times and someone who enters at t is not at risk at t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TIE_TOLERANCE = float(np.sqrt(np.finfo(float).eps))


@dataclass(frozen=True)
class Spells:
    """Checked rows of follow-up, n of them kept, in the order given.

    entry, exit : (n,) on one clock, entry < exit. event : (n,) True where the spell ends in the event.
    weight : (n,) non-negative. stratum : (n,) codes 0..k-1. cluster : (n,) codes, or None. kept : (rows given,)
    False for the rows set aside because entry = exit.
    """

    entry: Floats
    exit: Floats
    event: Bools
    weight: Floats
    stratum: Ints
    cluster: Ints | None
    kept: Bools

    @property
    def n(self) -> int:
        return len(self.exit)

    @property
    def set_aside(self) -> int:
        """Rows given whose follow-up has no length (entry = exit)."""
        return int(len(self.kept) - self.kept.sum())


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
    happened = _numbers("event", event, len(stop))
    start = np.zeros(len(stop)) if entry is None else _numbers("entry", entry, len(stop))
    weight = np.ones(len(stop)) if weights is None else _numbers("weights", weights, len(stop))
    if not np.isin(happened, (0.0, 1.0)).all():
        wrong = happened[~np.isin(happened, (0.0, 1.0))][0]
        raise DataError(f"event must be 0 or 1 (False or True); {wrong:g} was given. Recode it first.")
    if (weight < 0).any():
        raise DataError(f"{int((weight < 0).sum())} weights are negative; a weight is zero or more.")
    start, stop = _tie_times(start, stop)
    if (start > stop).any():
        row = int(np.flatnonzero(start > stop)[0])
        raise DataError(
            f"{int((start > stop).sum())} rows enter after they leave (first: row {row}, entry {start[row]:g}, "
            f"exit {stop[row]:g}). exit is the stop time on the same clock as entry, not the length."
        )
    kept = start < stop
    codes = np.zeros(len(stop), dtype=np.int64) if strata is None else _codes("strata", strata, len(stop))
    groups = None if cluster is None else _codes("cluster", cluster, len(stop))[kept]
    return Spells(start[kept], stop[kept], happened[kept] == 1.0, weight[kept], codes[kept], groups, kept)


def _numbers(name: str, values: ArrayLike, length: int | None) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or (length is not None and len(found) != length):
        wanted = "one dimension" if length is None else f"one dimension of {length} values, as exit has"
        raise DataError(f"{name} has the shape {found.shape}; it must have {wanted}.")
    if not np.isfinite(found).all():
        raise DataError(
            f"{name} has {int((~np.isfinite(found)).sum())} missing or infinite values; "
            "drop or complete those rows, and count them, before the analysis."
        )
    return found


def _codes(name: str, values: ArrayLike, length: int) -> Ints:
    found = np.asarray(values)
    if found.shape != (length,):
        raise DataError(f"{name} has the shape {found.shape}; it must have {length} values, as exit has.")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise DataError(f"{name} has {int(np.isnan(found).sum())} missing values; give each row a value.")
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _tie_times(start: Floats, stop: Floats) -> tuple[Floats, Floats]:
    """Make times equal that differ by rounding only; whole numbers (days) are left as they are."""
    both = np.concatenate([start, stop])
    if not len(both) or (both == np.round(both)).all():
        return start, stop
    distinct = np.unique(both)
    gaps = np.diff(distinct)
    tied = gaps <= TIE_TOLERANCE * np.abs(distinct).mean()
    firsts = distinct[np.concatenate([[True], ~tied])]
    merged = firsts[np.searchsorted(firsts, both, side="right") - 1]
    return merged[: len(start)], merged[len(start) :]


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
        shape = (self.m + 1, *values.shape[1:])
        change = np.zeros(shape)
        _add_at(change, self.last, values)
        if (self.first > 0).any():
            _add_at(change, self.first, -values)
        # From the last moment backwards: the small late risk sets are sums, not differences of large numbers.
        total = np.cumsum(change[::-1], axis=0)[::-1]
        return total[1:]

    def events(self, values: Floats) -> Floats:
        """Sum `values` (n,) or (n, p) over those whose event falls at each moment."""
        out = np.zeros((self.m, *values.shape[1:]))
        rows = self.moment_of >= 0
        _add_at(out, self.moment_of[rows], values[rows])
        return out

    def along(self, increments: Floats) -> Floats:
        """Sum `increments` (m,) or (m, p) over the moments at which each row is at risk: (n,) or (n, p)."""
        running = np.concatenate([np.zeros((1, *increments.shape[1:])), np.cumsum(increments, axis=0)])
        return running[self.last] - running[self.first]


def _add_at(target: Floats, index: Ints, values: Floats) -> None:
    """Add `values` into `target` by index, repeated indices included (np.add.at, but fast)."""
    if values.ndim == 1:
        target += np.bincount(index, weights=values, minlength=len(target))
        return
    for column in range(values.shape[1]):
        target[:, column] += np.bincount(index, weights=values[:, column], minlength=len(target))


def risk_sets(rows: Spells, *, every_exit: bool = False) -> RiskSets:
    """Index the risk sets of checked rows at their event times (or, with `every_exit`, at every time a row ends)."""
    chosen = np.ones(rows.n, dtype=bool) if every_exit else rows.event
    clock, rank = np.unique(np.concatenate([rows.entry, rows.exit]), return_inverse=True)
    enter, leave = rank.reshape(-1)[: rows.n], rank.reshape(-1)[rows.n :]
    size = np.int64(max(len(clock), 1))
    key = rows.stratum * size + leave
    moments = np.unique(key[chosen])
    moment_of = np.where(rows.event, np.searchsorted(moments, key), -1)
    first = np.searchsorted(moments, rows.stratum * size + enter, side="right")
    last = np.searchsorted(moments, key, side="right")
    return RiskSets(moments // size, clock[moments % size], moment_of, first, last)
