"""Limits of a funnel plot: how far units of one volume lie from a common share by chance alone, and by more."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import z_value
from clinops.stats.risk_sets import Floats

NAN = float("nan")


@dataclass(frozen=True)
class FunnelLimits:
    """Limits at each volume. low, high : (k,) shares, NaN for a volume of 0. level : the share they hold by chance."""

    low: Floats
    high: Floats
    level: float
    method: str


@dataclass(frozen=True)
class Overdispersion:
    """How much more units vary than chance explains.

    Attributes
    ----------
    factor : of the variance (phi): 1 for chance alone; NaN where it cannot be told, and `note` says why.
    threshold : above it the factor is more than chance: 1 + 2 sqrt(2 / units).
    units : how many it rests on. winsorised : how many were drawn in on either side.
    """

    factor: float
    threshold: float
    units: int
    winsorised: int
    note: str = ""

    @property
    def matters(self) -> bool:
        """Whether limits should be widened; False where it cannot be told."""
        return self.factor > self.threshold


def binomial_limits(n: ArrayLike, target: float, level: float = 0.95) -> FunnelLimits:
    """Between which shares do units of n persons lie by chance, if each has the target as its own?

    A share is below `low` exactly where so few events or fewer have a probability under (1 - level) / 2, and above
    `high` exactly where so many or more have.

    Parameters
    ----------
    n : (k,) whole numbers. target : between 0 and 1. level : such as 0.95 and 0.998.

    Raises
    ------
    DataError : n not whole or negative. ParameterError : target or level out of range.

    Notes
    -----
    Spiegelhalter 2005, appendix: (r - a) / n with r the binomial quantile at p and a = (F(r) - p) / (F(r) - F(r - 1)),
    cut at 0. The paper takes the same formula at 1 - p for the upper limit, which holds F(r), not the tail with r in
    it, against p, and so may lie one event too low; here the upper limit is the lower one of those without the event.
    """
    volume = _volume(n)
    _check(target, level)
    tail = (1 - level) / 2
    return FunnelLimits(_lower(volume, target, tail), 1 - _lower(volume, 1 - target, tail), level, "exact binomial")


def _lower(n: Floats, target: float, tail: float) -> Floats:
    low = np.full(n.shape, NAN)
    some = n > 0
    size = n[some].astype(int)
    rank = _quantile(size, target, tail)
    here, before = _at_most(rank, size, target), _at_most(rank - 1, size, target)
    low[some] = np.maximum((rank - (here - tail) / (here - before)) / size, 0.0)
    return low


def _at_most(rank: Floats, n: NDArray[np.int_], target: float) -> Floats:
    from scipy.special import bdtr

    return np.where(rank < 0, 0.0, bdtr(np.maximum(rank, 0.0), n, target))


def _quantile(n: NDArray[np.int_], target: float, tail: float) -> Floats:
    """The fewest events that so many or fewer have a probability of at least `tail`."""
    # scipy.stats has it too, but takes over a second to import.
    from scipy.special import bdtrik

    if target in (0, 1):
        return (n * target).astype(float)
    rank = np.maximum(np.ceil(bdtrik(tail, n, target)), 0.0)
    # The inverse is a real number, and may be off by one where it is nearly whole.
    rank = np.where(_at_most(rank - 1, n, target) >= tail, rank - 1, rank)
    return np.asarray(np.where(_at_most(rank, n, target) < tail, rank + 1, rank), dtype=float)


def widened_limits(n: ArrayLike, target: float, factor: float, level: float = 0.95) -> FunnelLimits:
    """Limits where units vary more than by chance: normal ones, the variance times `factor`, cut at 0 and 1.

    Parameters
    ----------
    n, target, level : as for `binomial_limits`. factor : of `overdispersion`; above 0.

    Raises
    ------
    DataError, ParameterError : as there; a factor that is not above 0.

    Notes
    -----
    Spiegelhalter 2005: target +- z sqrt(phi target (1 - target) / n).
    """
    volume = _volume(n)
    _check(target, level)
    if not factor > 0:
        raise ParameterError(f"factor is {factor!r}; it must be above 0.")
    size = np.where(volume > 0, volume, np.nan)
    reach = z_value(level) * np.sqrt(factor * target * (1 - target) / size)
    return FunnelLimits(
        np.maximum(target - reach, 0.0), np.minimum(target + reach, 1.0), level, "normal, overdispersion"
    )


def overdispersion(
    events: ArrayLike, n: ArrayLike, target: float, *, winsorise: float = 0.1, at_least: int = 10
) -> Overdispersion:
    """How much more do units vary about the target than chance explains? Multiplicative, winsorised.

    Parameters
    ----------
    events, n : (k,) of each unit. target : share of all together.
    winsorise : the share of units on either side whose z-scores are set to the next one, so that those that are far
        out do not widen the limits which are to show them.
    at_least : with fewer units the factor is NaN. With the default of ten, one is drawn in on either side; among fewer,
        none is, and a unit far out would hide itself.

    Raises
    ------
    DataError : shapes, more events than persons, negative numbers. ParameterError : target or winsorise out of range.

    Notes
    -----
    Spiegelhalter 2005: mean of squared z-scores, z = (events / n - target) / sqrt(target (1 - target) / n), the k units
    in order, the floor(k winsorise) outermost on either side set to the next. By chance alone k times the plain mean is
    near chi-squared with k degrees of freedom, so its standard deviation is sqrt(2 / k); more than two of them above 1
    `matters`. Winsorising lowers the mean a little by chance too, so that it errs towards no overdispersion.
    """
    size, count = _volume(n), np.asarray(events, dtype=float)
    if count.shape != size.shape or (count < 0).any() or (count > size).any():
        raise DataError("events and n must have one number a unit, with events from 0 to n.")
    if not 0 <= winsorise < 0.5:
        raise ParameterError(f"winsorise is {winsorise!r}; give a share from 0 up to, not including, 0.5.")
    _check(target, 0.95)
    known = size > 0
    size, count, units = size[known], count[known], int(known.sum())
    threshold = 1 + 2 * math.sqrt(2 / units) if units else NAN
    if units < max(at_least, 1):
        return Overdispersion(NAN, threshold, units, 0, f"{units} units are too few to tell overdispersion")
    if target in (0, 1):
        return Overdispersion(NAN, threshold, units, 0, "no variation: nobody or everybody had the event")
    z = np.sort((count / size - target) / np.sqrt(target * (1 - target) / size))
    drawn = int(winsorise * units + 1e-9)
    z = np.clip(z, z[drawn], z[units - 1 - drawn])
    return Overdispersion(float(np.mean(z**2)), threshold, units, drawn)


def _volume(n: ArrayLike) -> Floats:
    size = np.atleast_1d(np.asarray(n, dtype=float))
    if size.ndim != 1 or not np.isfinite(size).all() or (size < 0).any() or (size != np.floor(size)).any():
        raise DataError("n must be whole numbers of persons, none negative, one a unit.")
    return size


def _check(target: float, level: float) -> None:
    if not 0 <= target <= 1:
        raise ParameterError(f"target is {target!r}; it is a share between 0 and 1.")
    z_value(level)
