"""How alike two arms are, before and after adjustment: standardised differences, variance ratios, eCDFs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints
from clinops.stats.propensity import as_treated
from clinops.stats.weighting import effective_sample_size

DENOMINATORS = ("pooled", "treated", "comparator", "all", "weighted", "none")


@dataclass(frozen=True)
class Balance:
    """Balance of k covariates between two arms.

    Attributes
    ----------
    mean_treated, mean_comparator : (k,), weighted; a proportion for a binary covariate.
    sd_treated, sd_comparator : (k,), weighted.
    smd : (k,), difference of the means over `denominator`'s SD; +-inf where the SD is 0 and the means
        differ, NaN where both are 0 (a constant) or an arm has no value.
    variance_ratio : (k,), treated over comparator; NaN for binary covariates.
    missing_treated, missing_comparator : (k,), rows without a value (among rows with weight); the other
        numbers are of those who have one.
    binary : (k,), which covariates were taken as binary. denominator : as given.
    ess_treated, ess_comparator : effective sample sizes.
    """

    mean_treated: Floats
    mean_comparator: Floats
    sd_treated: Floats
    sd_comparator: Floats
    smd: Floats
    variance_ratio: Floats
    missing_treated: Ints
    missing_comparator: Ints
    binary: NDArray[np.bool_]
    denominator: str
    ess_treated: float
    ess_comparator: float

    def within(self, threshold: float = 0.1) -> NDArray[np.bool_]:
        """(k,) whether |SMD| <= threshold; an infinite or undefined SMD is never within."""
        return np.nan_to_num(np.abs(self.smd), nan=np.inf) <= threshold


@dataclass(frozen=True)
class _Moments:
    mean: Floats
    variance: Floats
    missing: Ints


def balance(
    X: ArrayLike,
    treated: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    denominator: str = "pooled",
    binary: ArrayLike | None = None,
    raw_binary: bool = False,
) -> Balance:
    """Compare k covariates between the arms, weighted or not.

    Parameters
    ----------
    X : (n, k); NaN is missing. treated : (n,) 0/1. weights : (n,) >= 0; 0 leaves the row out.
    denominator : SD by which the difference is divided, before weighting so that the scale does not move:
        "pooled" (root of the mean of the arms' variances), "treated" (for the ATT), "comparator" (for the ATC), "all"
        rows, or "none" (raw difference). "weighted" is pooled after weighting, for those who are asked for it: its
        scale moves.
    binary : (k,) which columns hold 0/1; found from the values if not given. Their variance is p(1-p),
        that of others has n-1 (weighted: sum w - sum w^2 / sum w) below.
    raw_binary : leave the difference of proportions undivided for binary columns.

    Raises
    ------
    DefinitionError : unknown denominator. DataError : shapes that differ, negative or missing weights.

    Notes
    -----
    Source: Austin 2009; conventions of R cobalt 4.5.5 and MatchIt 4.7.1, equal to 1e-8.
    """
    if denominator not in DENOMINATORS:
        raise DefinitionError(unknown("SMD denominator", denominator, DENOMINATORS))
    matrix, arm, w = _inputs(X, treated, weights)
    flags = _is_binary(matrix) if binary is None else np.broadcast_to(np.asarray(binary, bool), matrix.shape[1:])
    one, zero = _moments(matrix, arm, w, flags), _moments(matrix, ~arm, w, flags)
    if denominator == "weighted":
        sd = np.sqrt((one.variance + zero.variance) / 2)
    else:
        sd = _denominator(matrix, arm, flags, denominator)
    if raw_binary:
        sd = np.where(flags, 1.0, sd)
    ratio = _divide(one.variance, zero.variance)
    return Balance(
        mean_treated=one.mean,
        mean_comparator=zero.mean,
        sd_treated=np.sqrt(one.variance),
        sd_comparator=np.sqrt(zero.variance),
        smd=_standardise(one.mean - zero.mean, sd, np.maximum(np.abs(one.mean), np.abs(zero.mean))),
        variance_ratio=np.where(flags, np.nan, ratio),
        missing_treated=one.missing,
        missing_comparator=zero.missing,
        binary=np.array(flags),
        denominator=denominator,
        ess_treated=effective_sample_size(w[arm]),
        ess_comparator=effective_sample_size(w[~arm]),
    )


def smd_levels(
    levels: ArrayLike,
    treated: ArrayLike,
    weights: ArrayLike | None = None,
) -> float:
    """Return one standardised difference for a covariate of several levels (Yang and Dalton 2012).

    Parameters
    ----------
    levels : (n,) labels of any kind; the caller makes a missing value a level of its own or leaves it out.
    treated : (n,) 0/1. weights : (n,); the covariance stays that before weighting.

    Returns
    -------
    sqrt(d' S^- d), d the differences of the proportions, S the mean of the arms' multinomial covariances,
    S^- its generalised inverse, so no level need be left out and a level may be absent in one arm. Infinite
    where the arms differ in a direction without variance; NaN where an arm is empty.
    """
    arm = as_treated(treated)
    code, k = _codes(np.asarray(levels))
    _, _, w = _inputs(np.empty((len(code), 0)), arm, weights)
    place = 2 * code + ~arm
    counts, weighted = (np.bincount(place, each, minlength=2 * k).reshape(k, 2) for each in (None, w))
    return smd_of_counts(counts, None if weights is None else weighted)


def smd_of_counts(counts: ArrayLike, weighted: ArrayLike | None = None) -> float:
    """Return the standardised difference of two groups from their (levels, 2) counts (Yang and Dalton 2012).

    Parameters
    ----------
    counts : persons at each level in either group; those without a value left out, or a level of their own.
    weighted : (levels, 2) sums of weights, from which the proportions are then taken; the covariance stays that of
        the counts.

    Returns
    -------
    As `smd_levels`: never negative, infinite where the groups differ in a direction without variance, NaN where one
    is empty.
    """
    table = np.asarray(counts, dtype=float)
    mass = table if weighted is None else np.asarray(weighted, dtype=float)
    if table.ndim != 2 or table.shape[1] != 2 or mass.shape != table.shape:
        raise DataError(f"counts has shape {table.shape} and weighted {mass.shape}; both must be (levels, 2).")
    if not (mass.sum(axis=0) > 0).all():
        return float("nan")
    gap = mass[:, 0] / mass[:, 0].sum() - mass[:, 1] / mass[:, 1].sum()
    share = table / table.sum(axis=0)
    spread = (_multinomial(share[:, 0]) + _multinomial(share[:, 1])) / 2
    inverse = np.linalg.pinv(spread, rcond=1e-10, hermitian=True)
    if np.abs(spread @ inverse @ gap - gap).max() > 1e-8:
        return float("inf")
    return float(np.sqrt(max(gap @ inverse @ gap, 0.0)))


def smd_of_moments(mean: ArrayLike, mean_0: ArrayLike, variance: ArrayLike, variance_0: ArrayLike) -> Floats:
    """Return (k,) standardised differences of two groups from their means and variances.

    The divisor is the root of the mean of the two variances ("pooled" of `balance`); give those before weighting.
    +-inf where it is 0 and the means differ, NaN where the means are equal too or one is missing.
    """
    one, zero, v, v_0 = (np.atleast_1d(np.asarray(x, dtype=float)) for x in (mean, mean_0, variance, variance_0))
    return _standardise(one - zero, np.sqrt((v + v_0) / 2), np.maximum(np.abs(one), np.abs(zero)))


@dataclass(frozen=True)
class EcdfDifferences:
    """Distances between the arms' empirical distributions, (k,) each, 0 (same) to 1 (apart)."""

    mean: Floats
    maximum: Floats


def ecdf_differences(X: ArrayLike, treated: ArrayLike, weights: ArrayLike | None = None) -> EcdfDifferences:
    """Mean and largest absolute difference of the arms' (weighted) empirical distribution functions.

    The mean is over the distinct values of all rows; for a binary column both are the difference of the
    proportions (as MatchIt 4.7.1; the largest is the Kolmogorov-Smirnov distance). Missing values are left out.
    """
    matrix, arm, w = _inputs(X, treated, weights)
    pairs = [_ecdf_column(column, arm, w) for column in matrix.T]
    found = np.array(pairs, dtype=float).reshape(-1, 2)
    return EcdfDifferences(found[:, 0], found[:, 1])


def _inputs(X: ArrayLike, treated: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, NDArray[np.bool_], Floats]:
    # columns are walked one by one, so each is laid out contiguously
    matrix, arm = np.asarray(X, dtype=float, order="F"), as_treated(treated)
    if matrix.ndim != 2 or len(matrix) != len(arm):
        raise DataError(f"X has shape {matrix.shape}; it must be ({len(arm)}, columns) to fit `treated`.")
    w = np.ones(len(arm)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != arm.shape or not np.isfinite(w).all() or (w < 0).any():
        raise DataError(f"weights must be {len(arm)} finite numbers, none negative; got shape {w.shape}.")
    return matrix, arm, w


def _is_binary(matrix: Floats) -> NDArray[np.bool_]:
    columns = [bool(((column == 0) | (column == 1) | np.isnan(column)).all()) for column in matrix.T]
    return np.array(columns, dtype=bool)


def _moments(matrix: Floats, rows: NDArray[np.bool_], w: Floats, binary: NDArray[np.bool_]) -> _Moments:
    """Weighted mean and variance of each column over some rows, column by column to keep memory small."""
    k = matrix.shape[1]
    mean, variance, missing = np.full(k, np.nan), np.full(k, np.nan), np.zeros(k, np.int64)
    counted = rows & (w > 0)
    inside = w[counted]
    for j in range(k):
        x, weight = matrix[counted, j], inside
        known = ~np.isnan(x)
        if not known.all():
            missing[j] = int((~known).sum())
            x, weight = x[known], weight[known]
        total = float(weight.sum())
        if not total > 0:
            continue
        m = float(weight @ x) / total
        mean[j] = m
        if binary[j]:
            variance[j] = m * (1 - m)
            continue
        below = total - float(weight @ weight) / total
        deviation = x - m
        variance[j] = float(weight @ (deviation * deviation)) / below if below > 1e-12 * total else np.nan
    return _Moments(mean, variance, missing)


def _denominator(matrix: Floats, arm: NDArray[np.bool_], binary: NDArray[np.bool_], kind: str) -> Floats:
    w = np.ones(len(arm))
    if kind == "none":
        return np.ones(matrix.shape[1])
    if kind == "all":
        return np.sqrt(_moments(matrix, np.ones(len(arm), bool), w, binary).variance)
    one = _moments(matrix, ~arm if kind == "comparator" else arm, w, binary).variance
    if kind in ("treated", "comparator"):
        return np.sqrt(one)
    return np.sqrt((one + _moments(matrix, ~arm, w, binary).variance) / 2)


def _standardise(gap: Floats, sd: Floats, size: Floats) -> Floats:
    """Difference over SD; rounding noise of a constant column counts as 0."""
    flat = sd <= 1e-12 * np.maximum(size, 1e-300)
    same = np.abs(gap) <= 1e-12 * np.maximum(size, 1e-300)
    smd = np.where(flat, np.where(same, np.nan, np.where(gap > 0, np.inf, -np.inf)), gap / np.where(flat, 1.0, sd))
    return np.where(np.isnan(gap), np.nan, smd)


def _divide(top: Floats, bottom: Floats) -> Floats:
    safe = np.where(bottom > 0, bottom, 1.0)
    empty = np.where(top > 0, np.inf, np.nan)
    return np.where(bottom > 0, top / safe, np.where(np.isnan(bottom), np.nan, empty))


def _multinomial(share: Floats) -> Floats:
    return np.diag(share) - np.outer(share, share)


def _codes(labels: NDArray[np.generic]) -> tuple[Ints, int]:
    """Number the labels, equal ones alike; of text by its hash, since sorting a million strings takes seconds."""
    if labels.dtype.kind not in "OUS":
        names, code = np.unique(labels, return_inverse=True)
        return code.astype(np.int64), len(names)
    said = list(map(str, labels.tolist()))
    place = {name: at for at, name in enumerate(sorted(set(said)))}
    return np.fromiter(map(place.__getitem__, said), np.int64, len(said)), len(place)


def _ecdf_column(x: Floats, arm: NDArray[np.bool_], w: Floats) -> tuple[float, float]:
    known = ~np.isnan(x)
    x, arm, w = x[known], arm[known], w[known]
    one, zero = float(w[arm].sum()), float(w[~arm].sum())
    if not one > 0 or not zero > 0:
        return float("nan"), float("nan")
    order = np.argsort(x, kind="stable")
    signed = np.where(arm, w / one, -w / zero)[order]
    last = np.append(np.diff(x[order]) > 0, True)
    gap = np.abs(np.cumsum(signed))[last]
    mean = gap.mean() if last.sum() > 2 else gap[:-1].sum()  # the last distinct value always has gap 0
    return float(mean), float(gap[:-1].max(initial=0.0))
