"""Quantiles of a cost by arm and their difference, weighted, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm_families import Floats
from clinops.stats.propensity import PropensityFit, as_treated
from clinops.stats.weighted_effects import ArmValues, Effect, as_balancing_weights, contrast
from clinops.stats.weighting import BalancingWeights, effective_sample_size

KINDS = ("inverted_cdf", "linear")


def weighted_quantile(
    y: ArrayLike, probability: ArrayLike, weights: ArrayLike | None = None, *, kind: str = "inverted_cdf"
) -> Floats:
    """Return the quantiles of (n,) values at (q,) probabilities.

    Parameters
    ----------
    kind : "inverted_cdf" (R's type 1: the smallest value at which the weighted share reaches the probability; the
        scale of the weights does not matter) or "linear" (R's type 7, numpy's default; without weights only).

    Raises
    ------
    DefinitionError : unknown kind, a probability outside 0..1, "linear" with weights. DataError : shapes, missing
    values, negative weights.

    Notes
    -----
    Nobody with weight: NaN. Equal to numpy's `quantile` of the same method. Hyndman and Fan 1996.
    """
    if kind not in KINDS:
        raise DefinitionError(unknown("kind of quantile", kind, KINDS))
    at = np.atleast_1d(np.asarray(probability, dtype=float))
    if not ((at >= 0) & (at <= 1)).all():
        raise DefinitionError(f"probability is {probability!r}; quantiles lie between 0 and 1, such as 0.5.")
    value = np.asarray(y, dtype=float)
    weight = np.ones_like(value) if weights is None else np.asarray(weights, dtype=float)
    if value.ndim != 1 or weight.shape != value.shape:
        raise DataError(f"y has shape {value.shape} and weights {weight.shape}; both must be (n,).")
    if not np.isfinite(value).all() or not np.isfinite(weight).all() or (weight < 0).any():
        raise DataError("values must be finite, and weights finite and not negative.")
    if kind == "linear" and (weight != weight.max(initial=0.0)).any():
        raise DefinitionError("'linear' quantiles are for equal weights; use kind='inverted_cdf' with weights.")
    if not (weight > 0).any():
        return np.full(len(at), np.nan)
    if kind == "linear":
        return np.asarray(np.quantile(value, at), dtype=float)
    order = np.argsort(value[weight > 0], kind="stable")
    ranked, share = value[weight > 0][order], np.cumsum(weight[weight > 0][order])
    # a probability that equals a share but for rounding is taken as reached
    place = np.searchsorted(share / share[-1], at - 1e-12 * np.maximum(at, 1.0), side="left")
    return np.asarray(ranked[np.minimum(place, len(ranked) - 1)])


def quantile_effect(
    y: ArrayLike,
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    probability: float = 0.5,
    kind: str = "inverted_cdf",
    propensity: PropensityFit | None = None,
    estimand: str = "att",
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """By how much does exposure move the median (or another quantile) of an outcome?

    It is the difference of the arms' quantiles, not the quantile of people's differences.

    Parameters
    ----------
    y : (n,) outcome. treated, weights, propensity, estimand, cluster, scale ("difference" or "ratio") : as in
        `weighted_effect`. probability : 0.5 for the median. kind : see `weighted_quantile`.

    Returns
    -------
    Effect; no standard error, and a note, where the quantile sits on a value that many share (half the people with
    no cost, say): its distribution is then not normal. Use `bootstrap` there, or the two-part model.

    Notes
    -----
    Influence w (p - 1(y <= Q)) / (f(Q) sum w); 1 / f, the sparsity, by the difference quotient of quantiles at
    p -+ h, h of Hall and Sheather 1988 at the effective sample size (as R's quantreg). Source: Firpo 2007.
    """
    arms = quantile_values(
        y, treated, weights, probabilities=(probability,), kind=kind, propensity=propensity, estimand=estimand
    )
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def quantile_values(
    y: ArrayLike,
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    probabilities: Sequence[float] = (0.25, 0.5, 0.75, 0.9),
    kind: str = "inverted_cdf",
    propensity: PropensityFit | None = None,
    estimand: str = "att",
) -> ArmValues:
    """Quantiles in each arm with influence functions, one column a probability (see `quantile_effect`)."""
    at = np.asarray(probabilities, dtype=float)
    if at.ndim != 1 or not ((at > 0) & (at < 1)).all():
        raise DefinitionError(f"probabilities are {probabilities!r}; each must lie between 0 and 1, such as 0.5.")
    arm, outcome = as_treated(treated), np.asarray(y, dtype=float)
    if outcome.shape != arm.shape:
        raise DataError(f"y has shape {outcome.shape}; it must be ({len(arm)},) to fit `treated`.")
    balanced, note = as_balancing_weights(weights, arm, propensity, estimand)
    adjusts = propensity is not None and propensity.bread is not None
    value, influence = np.full((2, len(at)), np.nan), np.zeros((2, len(arm), len(at)))
    notes, varies = [note], np.zeros((2, len(at)), dtype=bool)
    for side, (name, rows) in enumerate((("exposed", arm), ("comparator", ~arm))):
        weight = np.where(rows, balanced.weights, 0.0)
        value[side] = weighted_quantile(outcome[rows], at, balanced.weights[rows], kind=kind)
        sparsity = _sparsity(outcome[weight > 0], weight[weight > 0], at, value[side])
        stuck = [f"{each:g}" for each, steep in zip(at, sparsity, strict=True) if steep == 0]
        if stuck and np.ptp(outcome[weight > 0]) > 0:
            notes.append(f"Many share the value at quantile {', '.join(stuck)} of the {name} arm: no standard error.")
        scaled = np.where(sparsity > 0, sparsity, np.nan) / max(float(weight.sum()), 1e-300)
        gap = np.where((weight > 0)[:, None], at - (outcome[:, None] <= value[side]), 0.0)
        influence[side] = weight[:, None] * gap * scaled
        if propensity is not None and adjusts:
            slope = np.where(rows, balanced.slope, 0.0)
            influence[side] += propensity.influence(propensity.design.T @ (slope[:, None] * gap) * scaled)
        varies[side] = np.ptp(outcome[weight > 0]) > 0 if (weight > 0).any() else False
    words = "M-estimation" if adjusts else "robust (influence function)"
    return ArmValues(
        value=value,
        influence=influence,
        counted=balanced.weights > 0,
        treated=arm,
        varies=varies,
        estimand=balanced.estimand,
        se_kind=words + ("" if adjusts or weights is None else ", weights taken as known"),
        note=" ".join(filter(None, notes)),
    )


def _sparsity(y: Floats, weight: Floats, at: Floats, value: Floats) -> Floats:
    """1 / density at each quantile: slope of the quantile function over Hall and Sheather's bandwidth; 0 where more
    people than the bandwidth holds share the quantile's value."""
    size = effective_sample_size(weight)
    if size <= 1:
        return np.full(len(at), np.nan)
    width = np.minimum(_bandwidth(at, size), 0.99 * np.minimum(at, 1 - at))
    high, low = weighted_quantile(y, at + width, weight), weighted_quantile(y, at - width, weight)
    tied = (weight @ (y[:, None] == value)) / weight.sum()
    several = (y[:, None] == value).sum(axis=0) > 1
    return np.where(several & (tied >= width), 0.0, (high - low) / (2 * width))


def _bandwidth(at: Floats, size: float) -> NDArray[np.float64]:
    """Hall and Sheather 1988, for a 95 % interval, as quantreg's `bandwidth.rq`."""
    normal = NormalDist()
    z = np.array([normal.inv_cdf(float(p)) for p in at])
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    curve = 1.5 * density**2 / (2 * z**2 + 1)
    return np.asarray(size ** (-1 / 3) * normal.inv_cdf(0.975) ** (2 / 3) * curve ** (1 / 3))
