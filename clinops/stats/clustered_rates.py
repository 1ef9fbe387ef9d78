"""Rates over cells (calendar years, ages) standardised and pooled where persons, not events, are independent.

`standardisation` has the same estimates with Poisson errors, for events that come once a person. Here a person's events
may come back, in several cells, and may carry a weight; the error is that of sums over persons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.normal import two_sided, z_value
from clinops.stats.rates import NAN, Estimate
from clinops.stats.risk_sets import Bools, Floats, Ints, ratio

METHOD = "clustered"
ROUNDING = 1e-13
ROOM = 8


@dataclass(frozen=True)
class ClusteredRates:
    """Directly standardised rates of a group and its comparator, what they differ by, and a common rate ratio."""

    exposed: Estimate
    comparator: Estimate
    difference: Estimate
    ratio: Estimate
    mantel_haenszel: Estimate


@dataclass(frozen=True)
class _Pieces:
    """What each row adds to the sums of its group and cell; `events` and `time` are (2, cells), comparator first."""

    d: Floats
    t: Floats
    group: Ints
    cell: Ints
    cluster: Ints
    events: Floats
    time: Floats


@dataclass(frozen=True)
class _Value:
    """A quantity with its derivatives in the sums of events and of time, (2, cells) each."""

    value: float
    by_events: Floats
    by_time: Floats


def clustered_rates(
    events: ArrayLike,
    person_time: ArrayLike,
    cell: ArrayLike,
    exposed: ArrayLike,
    cluster: ArrayLike,
    standard: ArrayLike,
    *,
    level: float = 0.95,
) -> ClusteredRates:
    """What would the rates be with the cells of one standard, and by what factor do they differ in every cell?

    Parameters
    ----------
    events, person_time : (q,) what each row (a person's stay in a cell) adds, times its weight if there are weights.
    cell : (q,) its cell, 0 to k - 1. exposed : (q,) True for the group, False for its comparator.
    cluster : (q,) whose row it is: rows of one cluster are not independent, also where they are of both groups.
    standard : (k,) sizes of the cells in the standard, in any unit. Leave a cell that lacks a group at 0.

    Returns
    -------
    Estimates: rates and their ratios log-normal, the difference normal. The Mantel-Haenszel rate ratio is over the
    cells with both groups, whatever the standard. No events, one cluster, a cell of the standard that lacks a group:
    NaN where nothing can be said, and a note.

    Raises
    ------
    DataError : shapes, negative or missing numbers, events without person-time, a standard that adds up to 0.

    Notes
    -----
    Rates sum w_c D_c / T_c (Fleiss, Levin and Paik 2003); common ratio (sum D1 T0 / T) / (sum D0 T1 / T) (Greenland and
    Robins 1985). Errors: k / (k - 1) times the sum over k clusters of squared influences, by the derivatives in the
    sums (Taylor series; Cochran 1977; Binder 1983); weights and standard taken as known. With one cell the rate is
    that of `ratio_of_sums`, the ratio that of a Poisson regression with errors clustered by person.
    """
    z_value(level)
    rows, share = _checked(events, person_time, cell, exposed, cluster, standard)
    lack = np.flatnonzero(((rows.time == 0) & (share > 0)).any(axis=0))
    note = f"no one of a group in cells {lack.tolist()} of the standard: leave them out of it" if len(lack) else ""
    rates = [_standardised(rows, share, group) for group in (1, 0)]
    shared: Bools = ((rows.time[0] > 0) & (rows.time[1] > 0))[rows.cell]
    pooled = _log(rows, _mantel_haenszel(rows), shared, level)
    if note:
        none = Estimate(NAN, NAN, NAN, level, METHOD, note=note)
        return ClusteredRates(none, none, none, none, pooled)
    used = share[rows.cell] > 0
    both = _Value(
        rates[0].value - rates[1].value, rates[0].by_events - rates[1].by_events, rates[0].by_time - rates[1].by_time
    )
    return ClusteredRates(
        _log(rows, rates[0], used & (rows.group == 1), level, "rate"),
        _log(rows, rates[1], used & (rows.group == 0), level, "rate"),
        _plain(rows, both, used, level), _log(rows, _over(rates[0], rates[1]), used, level), pooled,
    )  # fmt: skip


def _standardised(rows: _Pieces, share: Floats, group: int) -> _Value:
    events, time = rows.events[group], rows.time[group]
    rate = ratio(events, time, time > 0)
    by_events, by_time = np.zeros_like(rows.events), np.zeros_like(rows.events)
    by_events[group] = ratio(share, time, time > 0)
    by_time[group] = -by_events[group] * rate
    return _Value(float(share @ rate), by_events, by_time)


def _mantel_haenszel(rows: _Pieces) -> _Value:
    (zero, one), (t_0, t_1) = rows.events, rows.time
    total = t_0 + t_1
    here = total > 0
    to_0, to_1 = ratio(t_0, total, here), ratio(t_1, total, here)
    top = _Value(
        float(one @ to_0), np.array([np.zeros_like(to_0), to_0]), np.array([ratio(one * to_1, total, here),
                                                                            -ratio(one * to_0, total, here)]),
    )  # fmt: skip
    bottom = _Value(
        float(zero @ to_1), np.array([to_1, np.zeros_like(to_1)]), np.array([-ratio(zero * to_1, total, here),
                                                                             ratio(zero * to_0, total, here)]),
    )  # fmt: skip
    return _over(top, bottom)


def _over(top: _Value, bottom: _Value) -> _Value:
    """The quotient of two quantities; 0 over 0 is NaN, anything else over 0 infinite."""
    if not bottom.value:
        nothing = np.zeros_like(top.by_events)
        return _Value(math.inf if top.value else NAN, nothing, nothing)
    value = top.value / bottom.value
    return _Value(
        value, (top.by_events - value * bottom.by_events) / bottom.value,
        (top.by_time - value * bottom.by_time) / bottom.value,
    )  # fmt: skip


def _error(rows: _Pieces, of: _Value, used: Bools) -> float:
    """The robust error of a quantity, from the clusters that some rows are of; NaN for fewer than two."""
    clusters = int((np.bincount(rows.cluster[used]) > 0).sum())
    if clusters < 2:
        return NAN
    by_events = of.by_events[rows.group, rows.cell] * rows.d
    by_time = of.by_time[rows.group, rows.cell] * rows.t
    influence = np.bincount(rows.cluster[used], (by_events + by_time)[used])
    most = np.bincount(rows.cluster[used], (np.abs(by_events) + np.abs(by_time))[used])
    spread = float(influence @ influence)
    if spread <= (ROUNDING * float(most.sum())) ** 2:  # persons who are all alike: what is left is rounding
        return 0.0
    return math.sqrt(clusters / (clusters - 1) * spread)


def _plain(rows: _Pieces, of: _Value, used: Bools, level: float) -> Estimate:
    error, z = _error(rows, of, used), z_value(level)
    if not error > 0:
        return Estimate(of.value, NAN, NAN, level, METHOD, NAN, "difference", note=_reason(rows, used, of.value))
    return Estimate(
        of.value, of.value - z * error, of.value + z * error, level, METHOD, error, "difference",
        two_sided(of.value / error),
    )  # fmt: skip


def _log(rows: _Pieces, of: _Value, used: Bools, level: float, scale: str = "log") -> Estimate:
    """A positive quantity with a log-normal interval; the error is of the logarithm, of a rate that of the rate."""
    possible = 0 < of.value < math.inf
    error = _error(rows, of, used) / of.value if possible else NAN
    if not error > 0:
        return Estimate(of.value, NAN, NAN, level, METHOD, NAN, scale, note=_reason(rows, used, of.value))
    factor = math.exp(z_value(level) * error)
    said = error * of.value if scale == "rate" else error
    p = NAN if scale == "rate" else two_sided(math.log(of.value) / error)
    return Estimate(of.value, of.value / factor, of.value * factor, level, METHOD, said, scale, p)


def _reason(rows: _Pieces, used: Bools, value: float) -> str:
    if not used.any():
        return "no cell has both groups"
    if not rows.d[used].any():
        return "no events"
    if value == 0 or not math.isfinite(value):
        return "no events in a group: no ratio"
    return "no spread between persons: no interval"


def _checked(
    events: ArrayLike, person_time: ArrayLike, cell: ArrayLike, exposed: ArrayLike, cluster: ArrayLike,
    standard: ArrayLike,
) -> tuple[_Pieces, Floats]:  # fmt: skip
    d, t, weight = (np.asarray(v, dtype=np.float64) for v in (events, person_time, standard))
    at, group, whose = np.asarray(cell), np.asarray(exposed), np.asarray(cluster)
    shapes = {v.shape for v in (d, t, at, group, whose)}
    if len(shapes) > 1 or d.ndim != 1:
        raise DataError(f"The rows have the shapes {sorted(map(str, shapes))}; give one of each for every row.")
    if weight.ndim != 1 or not np.isfinite(weight).all() or (weight < 0).any() or not weight.sum() > 0:
        raise DataError("standard must hold the sizes of the cells, 0 or more, not all of them 0.")
    if not (np.isfinite(d).all() and np.isfinite(t).all()) or (d < 0).any() or (t < 0).any():
        raise DataError("events and person_time must hold finite numbers, zero or more.")
    if ((t == 0) & (d > 0)).any():
        raise DataError("A row has events in no person-time; count the time in which they could occur.")
    if len(at) and (at.dtype.kind not in "iu" or at.min() < 0 or at.max() >= len(weight)):
        raise DataError(f"cell must hold whole numbers from 0 to {len(weight) - 1}, as many as standard has sizes.")
    if not np.isin(group, (0, 1)).all():
        raise DataError("exposed must hold True and False (1 and 0) only.")
    arm, cells = group.astype(np.int64), at.astype(np.int64)
    place, size = arm * len(weight) + cells, 2 * len(weight)
    sums = [np.bincount(place, v, size).astype(np.float64).reshape(2, -1) for v in (d, t)]
    return _Pieces(d, t, arm, cells, _codes(whose), sums[0], sums[1]), weight / weight.sum()


def _codes(labels: np.ndarray) -> Ints:
    """Whole numbers for labels; such as are already numbers of about as many rows are taken as they are."""
    if labels.dtype.kind in "iu" and len(labels) and labels.min() >= 0 and labels.max() < ROOM * len(labels):
        return labels.astype(np.int64)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
