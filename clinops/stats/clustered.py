"""A ratio of two sums over persons, such as readmissions per discharge or admissions per year, by person.

A person with several discharges or admissions is one observation: events of the same person resemble each other,
and an interval that takes them as independent is too narrow.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.normal import z_value
from clinops.stats.rates import NAN, Estimate, poisson_rate, proportion

KINDS = ("share", "rate", "mean")


def ratio_of_sums(events: ArrayLike, of: ArrayLike, *, kind: str = "rate", level: float = 0.95) -> Estimate:
    """What is the sum of `events` over the sum of `of`, where each person is one observation?

    Parameters
    ----------
    events : shape (persons,), what each person adds to the numerator.
    of : shape (persons,), what each person adds to the denominator: discharges, person-time, days.
    kind : "share", where events are a part of `of` (interval: Wilson's score at the effective sample size
        p (1 - p) / se^2); "rate" (log-normal, se / rate); "mean" (plain, for sums of any sign).
    level : of the interval, between 0 and 1.

    Returns
    -------
    Estimate with the linearised standard error sqrt(k / (k - 1) sum (events - ratio of)^2) / sum of, k persons with
    a denominator. Where every person has nothing (or a share is 1) that error is 0 and the interval is that of k
    independent persons: Wilson's, or the exact Poisson one. Nobody with a denominator, or one person: NaN, noted.

    Raises
    ------
    DataError : arrays of two lengths, negative or missing numbers, a numerator without its denominator, or more
        events than `of` in a share. ParameterError : unknown kind, bad level.

    Notes
    -----
    Cochran 1977, chapter 6 (ratio estimator, error by Taylor series); Dean and Pagano 2015, Franco et al. 2019
    (score interval at the effective size). Checked against statsmodels: for a share the error is that of an
    intercept clustered by person (CR1), for a rate that of a Poisson intercept with an offset.
    """
    if kind not in KINDS:
        raise ParameterError(unknown("kind of ratio", kind, KINDS))
    z = z_value(level)
    top, bottom = _checked(events, of, kind)
    counted = bottom > 0
    top, bottom, persons = top[counted], bottom[counted], int(counted.sum())
    if not persons:
        return Estimate(NAN, NAN, NAN, level, kind, note="nobody in the denominator")
    whole = float(bottom.sum())
    value = float(top.sum()) / whole
    if kind != "mean" and (not top.any() or (kind == "share" and np.array_equal(top, bottom))):
        return _without_spread(value, persons, whole, kind, level)
    if persons == 1:
        return Estimate(value, NAN, NAN, level, kind, note="one person: no spread between persons")
    residual = top - value * bottom
    error = math.sqrt(persons / (persons - 1) * float(residual @ residual)) / whole
    low, high = _limits(value, error, kind, z, level)
    return Estimate(value, low, high, level, kind, error, "ratio")


def _limits(value: float, error: float, kind: str, z: float, level: float) -> tuple[float, float]:
    if kind == "mean":
        return value - z * error, value + z * error
    if error == 0:
        return value, value
    if kind == "rate":
        factor = math.exp(z * error / value)
        return value / factor, value * factor
    size = value * (1 - value) / error**2
    wilson = proportion(value * size, size, level=level)
    return wilson.conf_low, wilson.conf_high


def _without_spread(value: float, persons: int, whole: float, kind: str, level: float) -> Estimate:
    """No events, or everybody has all of them: the limits that so many independent persons would have."""
    same = proportion(value * persons, persons, level=level) if kind == "share" else poisson_rate(0, whole, level=level)
    note = "no events" if value == 0 else "every one has the event"
    return Estimate(value, same.conf_low, same.conf_high, level, kind, 0.0, "ratio", note=note)


def _checked(events: ArrayLike, of: ArrayLike, kind: str) -> tuple[np.ndarray, np.ndarray]:
    top, bottom = np.asarray(events, dtype=np.float64), np.asarray(of, dtype=np.float64)
    if top.ndim != 1 or top.shape != bottom.shape:
        raise DataError(f"events have shape {top.shape}, their denominators {bottom.shape}; give one of each a person.")
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise DataError("A person's events or denominator is missing or infinite; leave such persons out, and say so.")
    if (bottom < 0).any() or (kind != "mean" and (top < 0).any()):
        raise DataError("A person's events or denominator is negative; both must be zero or more.")
    if ((bottom == 0) & (top != 0)).any():
        raise DataError("A person has events without a denominator; count what they could occur in.")
    if kind == "share" and (top > bottom).any():
        raise DataError("A person has more events than they are a share of; did you mean kind='rate'?")
    return top, bottom
