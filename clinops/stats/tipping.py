"""How strong would something unseen have to be? Tipping points for a binary confounder and for missing outcomes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import two_sided, z_value

Floats = NDArray[np.float64]
SCALES = ("difference", "ratio")


@dataclass(frozen=True)
class TippingPoints:
    """What a binary confounder would have to be to explain an effect; k rows, one a pair of prevalences.

    Attributes
    ----------
    prevalence_exposed, prevalence_comparator : (k,) of the confounder, given the measured covariates.
    estimate : (k,) the association of the confounder with the outcome at which the corrected estimate is no effect:
        a difference of means or risks on a difference, a ratio on a ratio. NaN where no association can do it.
    limit : (k,) the same for the limit nearer no effect; no effect (0 or 1) where the interval holds it already, NaN
        where no association can do it or there is no interval.
    scale : "difference" or "ratio". null : 0 or 1.
    """

    prevalence_exposed: Floats
    prevalence_comparator: Floats
    estimate: Floats
    limit: Floats
    scale: str
    null: float


@dataclass(frozen=True)
class DeltaAdjusted:
    """An effect with missing outcomes assumed to differ from the observed ones by `delta`; k rows.

    `delta_exposed`, `delta_comparator`, `estimate`, `std_error`, `conf_low`, `conf_high`, `p_value` : (k,).
    """

    delta_exposed: Floats
    delta_comparator: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats


def confounder_ratio(prevalence_exposed: ArrayLike, prevalence_comparator: ArrayLike, association: ArrayLike) -> Floats:
    """By which factor does a binary confounder multiply a risk, rate or mean ratio?

    Parameters
    ----------
    prevalence_exposed, prevalence_comparator : of the confounder in each arm, given the measured covariates, 0 to 1.
    association : ratio of the outcome between those with and without it, the same in both arms, 0 or more.

    Raises
    ------
    DataError : a prevalence outside 0 to 1, a negative association.

    Notes
    -----
    (1 + p1 (g - 1)) / (1 + p0 (g - 1)). Divide an observed ratio by it. Source: Lin, Psaty and Kronmal 1998
    (Biometrics 54:948); exact for risk, rate and mean ratios without interaction, an approximation for odds and
    hazard ratios of rare outcomes. Checked against episensr's published example.
    """
    p1, p0, g = _prevalences(prevalence_exposed, prevalence_comparator, association)
    if (g < 0).any():
        raise DataError("an association on the ratio scale is negative; was a logarithm given? Exponentiate it.")
    with np.errstate(divide="ignore", invalid="ignore"):
        factor: Floats = (1 + p1 * (g - 1)) / (1 + p0 * (g - 1))
    return factor


def confounder_difference(
    prevalence_exposed: ArrayLike, prevalence_comparator: ArrayLike, association: ArrayLike
) -> Floats:
    """By how much does a binary confounder shift a difference of means, risks or rates?

    Parameters
    ----------
    prevalence_exposed, prevalence_comparator : as in `confounder_ratio`.
    association : difference of the outcome between those with and without it, the same in both arms.

    Raises
    ------
    DataError : a prevalence outside 0 to 1.

    Notes
    -----
    g (p1 - p0). Subtract it from an observed difference. Source: VanderWeele and Arah 2011 (Epidemiology 22:42).
    """
    p1, p0, g = _prevalences(prevalence_exposed, prevalence_comparator, association)
    return np.asarray(g * (p1 - p0), dtype=float)


def tipping_points(
    estimate: float,
    low: float = math.nan,
    high: float = math.nan,
    *,
    prevalence_exposed: ArrayLike,
    prevalence_comparator: ArrayLike,
    scale: str = "difference",
) -> TippingPoints:
    """At which association with the outcome does a binary confounder of given prevalences explain an effect?

    Parameters
    ----------
    estimate, low, high : the effect with its interval, on the natural scale (a ratio, not its logarithm).
    prevalence_exposed, prevalence_comparator : (k,) pairs of prevalences of the confounder, 0 to 1.
    scale : "difference" or "ratio".

    Raises
    ------
    DataError : a negative ratio, limits that do not enclose the estimate, a prevalence outside 0 to 1.
    ParameterError : an unknown scale.

    Notes
    -----
    Difference d: g = d / (p1 - p0). Ratio R: g = 1 + (R - 1) / (p1 - R p0). No association explains an effect where
    the prevalences are equal, or where the ratio exceeds what they allow (R >= p1/p0 for R > 1). A difference of
    risks may need an association that no risk can have; the caller knows the outcome's range.
    """
    if scale not in SCALES:
        raise ParameterError(f"scale is {scale!r}; give 'difference' or 'ratio'.")
    if low > estimate or high < estimate:
        raise DataError(f"the limits {low!r} and {high!r} do not enclose the estimate {estimate!r}.")
    if scale == "ratio" and (estimate < 0 or low < 0):
        raise DataError("a ratio is zero or more. Was a log ratio given? Exponentiate it.")
    p1, p0, _ = _prevalences(prevalence_exposed, prevalence_comparator, 1.0)
    null = 0.0 if scale == "difference" else 1.0
    solve = _difference_association if scale == "difference" else _ratio_association
    nearer = low if estimate > null else high
    held = bool((nearer <= null) == (estimate > null)) and not math.isnan(nearer)
    limit = np.full(p1.shape, null) if held else solve(nearer, p1, p0)
    return TippingPoints(p1, p0, solve(estimate, p1, p0), limit, scale, null)


def delta_adjusted(
    estimate: float,
    std_error: float,
    *,
    missing_exposed: float,
    missing_comparator: float,
    n_exposed: float,
    n_comparator: float,
    delta_exposed: ArrayLike,
    delta_comparator: ArrayLike = 0.0,
    level: float = 0.95,
) -> DeltaAdjusted:
    """What is a difference of means if missing outcomes differ from the observed ones of the same arm by delta?

    Parameters
    ----------
    estimate, std_error : difference of means among those whose outcome is known.
    missing_exposed, missing_comparator : share of each arm whose outcome is missing, 0 to below 1.
    n_exposed, n_comparator : persons in each arm, missing ones included (effective numbers where weighted).
    delta_exposed, delta_comparator : (k,) mean of the missing minus mean of the observed outcomes in the arm.

    Raises
    ------
    DataError : a share outside 0 to 1, nobody in an arm. ParameterError : level.

    Notes
    -----
    Pattern mixture: d + f1 delta1 - f0 delta0, the deltas taken as known; variance se^2 + sum f (1 - f) delta^2 / n.
    The share of the missing and the mean of the observed are uncorrelated, so the terms add. Source: Rubin 1977;
    National Research Council 2010, ch. 5; Carpenter and Kenward 2013, ch. 10.
    """
    for share, size in ((missing_exposed, n_exposed), (missing_comparator, n_comparator)):
        if not 0 <= share < 1 or not size > 0:
            raise DataError(f"{share!r} of {size!r} persons missing: the share lies from 0 to below 1, n above 0.")
    d1, d0 = np.broadcast_arrays(
        np.atleast_1d(np.asarray(delta_exposed, dtype=float)), np.atleast_1d(np.asarray(delta_comparator, dtype=float))
    )
    shifted = estimate + missing_exposed * d1 - missing_comparator * d0
    extra = missing_exposed * (1 - missing_exposed) * d1**2 / n_exposed
    extra = extra + missing_comparator * (1 - missing_comparator) * d0**2 / n_comparator
    error = np.sqrt(std_error**2 + extra)
    reach = z_value(level) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.array([two_sided(z) if np.isfinite(z) else math.nan for z in shifted / error])
    return DeltaAdjusted(d1, d0, shifted, error, shifted - reach, shifted + reach, p)


def tipping_delta(
    estimate: float,
    std_error: float = math.nan,
    *,
    missing_exposed: float,
    n_exposed: float = math.nan,
    level: float = 0.95,
) -> tuple[float, float]:
    """By how much would missing outcomes of the exposed have to differ for the effect, or its significance, to go?

    Parameters
    ----------
    estimate, std_error : as in `delta_adjusted`; the comparator's missing outcomes are like its observed ones.
    missing_exposed, n_exposed : share missing among the exposed, and their number.

    Returns
    -------
    (delta at which the estimate is 0, delta at which the limit nearer 0 is 0). The second is 0 where the interval
    holds 0 already, and NaN where no delta does it: the uncertainty about who is missing grows with delta.

    Raises
    ------
    DataError : a share outside 0 to 1. ParameterError : level.

    Notes
    -----
    -d / f1; and the root of (d + f1 delta)^2 = z^2 (se^2 + f1 (1 - f1) delta^2 / n1) nearest 0.
    """
    if not 0 <= missing_exposed < 1:
        raise DataError(f"{missing_exposed!r} of the exposed missing: the share lies from 0 to below 1.")
    if missing_exposed == 0:
        return math.nan, math.nan
    whole, z = -estimate / missing_exposed, z_value(level)
    if math.isnan(std_error) or math.isnan(estimate):
        return whole, math.nan
    if abs(estimate) <= z * std_error:
        return whole, 0.0
    spread = missing_exposed * (1 - missing_exposed) / n_exposed if n_exposed > 0 else 0.0
    a, b = missing_exposed**2 - z**2 * spread, 2 * estimate * missing_exposed
    roots = np.roots([a, b, estimate**2 - z**2 * std_error**2])
    towards = [float(r.real) for r in roots if abs(r.imag) < 1e-9 * max(abs(r.real), 1) and r.real * whole > 0]
    return whole, min(towards, key=abs) if towards else math.nan


def _prevalences(exposed: ArrayLike, comparator: ArrayLike, association: ArrayLike) -> tuple[Floats, Floats, Floats]:
    arrays = [np.atleast_1d(np.asarray(a, dtype=float)) for a in (exposed, comparator, association)]
    for p in arrays[:2]:
        if ((p < 0) | (p > 1)).any():
            raise DataError("a prevalence lies outside 0 to 1; give a share, not a percentage.")
    p1, p0, g = np.broadcast_arrays(*arrays)
    return p1, p0, g


def _difference_association(effect: float, p1: Floats, p0: Floats) -> Floats:
    gap = p1 - p0
    return np.where(gap == 0, math.nan, effect / np.where(gap == 0, 1.0, gap))


def _ratio_association(ratio: float, p1: Floats, p0: Floats) -> Floats:
    """The ratio with the outcome that makes the bias factor equal `ratio`; below 0 or beyond infinity there is none."""
    below = p1 - ratio * p0
    found = np.where(below == 0, math.nan, 1 + (ratio - 1) / np.where(below == 0, 1.0, below))
    return np.where((found < 0) | (p1 == p0), math.nan, found)
