"""What if what is missing were the worst it can be? Bounds on an effect that assume nothing of the missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import z_value

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EffectBounds:
    """The least and the largest effect that the data allow.

    Attributes
    ----------
    low, high : of the estimate; equal where nothing is missing.
    low_error, high_error : standard errors of the ends; NaN where not given.
    conf_low, conf_high : hold the true effect with the level's chance wherever it lies between the ends.
    share_missing : of the weight (of the exposed, for `unmatched_bounds`). note : "" or what a reader must know.
    """

    low: float
    high: float
    low_error: float
    high_error: float
    conf_low: float
    conf_high: float
    share_missing: float
    note: str


def missing_outcome_bounds(
    least: ArrayLike,
    most: ArrayLike,
    exposed: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    cluster: ArrayLike | None = None,
    level: float = 0.95,
) -> EffectBounds:
    """Bound a difference of means when each person's outcome is only known to lie between two values.

    Parameters
    ----------
    least, most : (n,) the smallest and largest that each outcome can be; equal where it is known.
    exposed : (n,) 0/1. weights : (n,) >= 0, taken as known; None weights everyone 1.
    cluster : (n,) ids; rows that share one are not independent (CR1). None takes all as independent.

    Raises
    ------
    DataError : shapes, values that are missing or infinite, least above most, negative weights, an empty arm.
    ParameterError : level.

    Notes
    -----
    The smallest effect gives the exposed their least and the others their most. Interval: Imbens and Manski 2004; none
    where an arm is one person or all is one cluster. Every value between the ends is possible; where an outcome has no
    ceiling of its own the ends rest on the one assumed.
    Source: Manski 1990; Horowitz and Manski 2000. Checked against every completion written out, and clustered, where
    nothing is missing, against `weighted_effect`.
    """
    low, high, arm = np.asarray(least, dtype=float), np.asarray(most, dtype=float), np.asarray(exposed).astype(bool)
    w = np.ones(len(low)) if weights is None else np.asarray(weights, dtype=float)
    if not low.shape == high.shape == arm.shape == w.shape or low.ndim != 1:
        raise DataError(f"shapes {low.shape}, {high.shape}, {arm.shape} and {w.shape} must be equal.")
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low <= high).all()):
        raise DataError("each outcome needs a finite least and most, the least not above the most.")
    if (w < 0).any() or not (w[arm].sum() > 0 and w[~arm].sum() > 0):
        raise DataError("weights are 0 or more, and each arm needs somebody who counts.")
    ends = []
    for one, zero in ((low, high), (high, low)):
        (a, va), (b, vb) = _mean(one[arm], w[arm]), _mean(zero[~arm], w[~arm])
        ends.append((a - b, math.sqrt(va + vb) if cluster is None else _clustered(np.where(arm, one - a, zero - b), arm,
                                                                               w, np.asarray(cluster))))  # fmt: skip
    unknown = float(w[high > low].sum() / w.sum())
    return _bounds(*ends[0], *ends[1], unknown, level)


def unmatched_bounds(
    effect: float,
    std_error: float,
    unmatched_outcomes: ArrayLike,
    n_exposed: int,
    *,
    least: float,
    most: float,
    level: float = 0.95,
) -> EffectBounds:
    """Bound the effect in all the exposed where some found no match.

    Parameters
    ----------
    effect, std_error : in the matched exposed.
    unmatched_outcomes : (u,) of the exposed without a match. n_exposed : all the exposed.
    least, most : the smallest and largest mean that the unmatched could have had without the exposure.

    Raises
    ------
    DataError : more unmatched than exposed, missing outcomes, least above most. ParameterError : level.

    Notes
    -----
    (1 - s) effect + s (mean of the unmatched - m), m from least to most, s their share: what they would have had is in
    nobody's data. Source: Manski 1990, of the untreated outcome alone.
    """
    alone = np.asarray(unmatched_outcomes, dtype=float)
    if alone.ndim != 1 or not np.isfinite(alone).all() or not 0 <= len(alone) < n_exposed:
        raise DataError(f"{alone.shape} unmatched of {n_exposed!r} exposed: fewer than all of them, none missing.")
    if not least <= most:
        raise DataError(f"least {least!r} is above most {most!r}.")
    share = len(alone) / n_exposed
    mean = float(alone.mean()) if len(alone) else 0.0
    spread = float(alone.var(ddof=1)) / len(alone) if len(alone) > 1 else 0.0
    error = math.sqrt(((1 - share) * std_error) ** 2 + share**2 * spread)
    low, high = ((1 - share) * effect + share * (mean - end) for end in (most, least))
    return _bounds(low, error, high, error, share, level)


def interval_of_bounds(
    low: float, low_error: float, high: float, high_error: float, *, level: float = 0.95
) -> tuple[float, float]:
    """Interval that holds the true value with the level's chance, given the ends between which it lies.

    Raises
    ------
    DataError : ends that cross, a negative error. ParameterError : level.

    Notes
    -----
    low - c low_error, high + c high_error, c the root of Phi(c + (high - low) / larger error) - Phi(-c) = level: 1.96
    where the ends meet, 1.64 where they are far apart (at 95 %). Source: Imbens and Manski 2004 (Econometrica 72:1845).
    """
    from scipy.optimize import brentq
    from scipy.special import ndtr

    widest = z_value(level)
    if level < 0.5:
        raise ParameterError(f"level is {level!r}; an interval around bounds needs 0.5 or more, such as 0.95.")
    if low > high or low_error < 0 or high_error < 0:
        raise DataError(
            f"ends {low!r} to {high!r} with errors {low_error!r} and {high_error!r}: they rise, errors >= 0."
        )
    if math.isnan(low_error + high_error + low + high):
        return math.nan, math.nan
    largest = max(low_error, high_error)
    gap = math.inf if largest == 0 else (high - low) / largest
    c = float(brentq(lambda t: ndtr(t + gap) - ndtr(-t) - level, 0.0, widest + 1e-9, xtol=1e-13))
    return low - c * low_error, high + c * high_error


def _mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """Weighted mean and its variance, weights known; NaN of one person, who tells nothing of a spread."""
    mean = float(weights @ values / weights.sum())
    if np.count_nonzero(weights) < 2:
        return mean, math.nan
    return mean, float((weights**2 @ (values - mean) ** 2) / weights.sum() ** 2)


def _clustered(residual: Floats, arm: NDArray[np.bool_], w: Floats, cluster: NDArray) -> float:
    """Standard error (CR1) of a difference of weighted means, weights known."""
    if cluster.shape != w.shape:
        raise DataError(f"cluster has shape {cluster.shape}, the outcomes {w.shape}; give one id a row.")
    counted = w > 0
    pull = np.where(arm, 1 / w[arm].sum(), -1 / w[~arm].sum()) * w * residual
    code = np.unique(cluster[counted], return_inverse=True)[1]
    n, groups = int(counted.sum()), int(code.max()) + 1
    if groups < 2 or n < 3:
        return math.nan
    sums = np.bincount(code, weights=pull[counted])
    return math.sqrt(groups / (groups - 1) * (n - 1) / (n - 2) * float(sums @ sums))


def _bounds(low: float, low_error: float, high: float, high_error: float, share: float, level: float) -> EffectBounds:
    if not 0 < level < 1:
        raise ParameterError(f"level is {level!r}; it must lie between 0 and 1, such as 0.95.")
    ends = interval_of_bounds(low, low_error, high, high_error, level=level)
    note = "the data alone do not tell the sign of the effect" if low < 0 < high else ""
    return EffectBounds(low, high, low_error, high_error, *ends, share, note)
