"""Balancing weights from propensity scores, and how many people they leave in effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats
from clinops.stats.propensity import PropensityFit, as_treated

ESTIMANDS = {
    "ate": "the whole population",
    "att": "the treated",
    "atc": "the comparators",
    "ato": "the overlap population (people who could have been in either arm)",
    "atm": "the evenly matchable population",
}


@dataclass(frozen=True)
class BalancingWeights:
    """Weights that make the arms alike; n rows.

    Attributes
    ----------
    weights : (n,), case weights included. slope : (n,), derivative of each weight with respect to the row's
    log odds of treatment, for M-estimation (0 where a weight was truncated).
    estimand : a key of ESTIMANDS. stabilised : whether each arm was multiplied by its share of the people.
    bounds : the weights at which truncation took place, or None. n_truncated : weights that were moved.
    ess_treated, ess_comparator : effective sample sizes (Kish). note : "" or what a reader must know.
    """

    weights: Floats
    slope: Floats
    estimand: str
    stabilised: bool
    bounds: tuple[float, float] | None
    n_truncated: int
    ess_treated: float
    ess_comparator: float
    note: str


def balancing_weights(
    score: PropensityFit | ArrayLike,
    treated: ArrayLike | None = None,
    *,
    estimand: str = "att",
    stabilise: bool = False,
    truncate: tuple[float, float] | None = None,
    prior: ArrayLike | None = None,
) -> BalancingWeights:
    """Weight people so that the arms resemble the estimand's population.

    Parameters
    ----------
    score : a PropensityFit (then `treated` and its case weights are taken from it), or (n,) probabilities.
    treated : (n,) 0/1; needed with plain probabilities.
    estimand : "ate", "att", "atc", "ato" (overlap) or "atm" (matching weights), in any case.
    stabilise : multiply each arm by its share of the people (ATE); does not change a weighted mean.
    truncate : two quantiles in 0..1, such as (0.01, 0.99), of all weights, beyond which weights are pulled in.
    prior : (n,) case weights to multiply by; a PropensityFit brings its own.

    Raises
    ------
    DefinitionError : unknown estimand, quantiles out of order. DataError : shapes, scores outside 0..1.

    Notes
    -----
    With score p: ATE 1/p and 1/(1-p); ATT 1 and p/(1-p); ATC (1-p)/p and 1; overlap 1-p and p; matching
    min(p,1-p)/p and min(p,1-p)/(1-p). Source: Li, Morgan and Zaslavsky 2018; Li and Greene 2013;
    stabilisation Robins 1998, truncation Cole and Hernan 2008. Checked at 1e-6 against WeightIt 1.1.0.
    """
    key = estimand.lower()
    if key not in ESTIMANDS:
        raise DefinitionError(unknown("estimand", estimand, ESTIMANDS))
    p, arm, case = _inputs(score, treated, prior)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        raw, slope = _weights_and_slope(p, arm, key)
    notes = []
    infinite = ~np.isfinite(raw)
    if infinite.any():
        notes.append(f"{int(infinite.sum())} people with a score of 0 or 1 have an infinite weight and get 0.")
        raw, slope = np.where(infinite, 0.0, raw), np.where(infinite, 0.0, slope)
    if stabilise:
        share = float(np.average(arm, weights=case))
        factor = np.where(arm, share, 1 - share)
        raw, slope = raw * factor, slope * factor
    bounds, moved = None, 0
    if truncate is not None:
        bounds = _bounds(raw, truncate)
        clipped = np.clip(raw, *bounds)
        moved = int((clipped != raw).sum())
        raw, slope = clipped, np.where(clipped != raw, 0.0, slope)
    weights = raw * case
    ess = effective_sample_size(weights[arm]), effective_sample_size(weights[~arm])
    return BalancingWeights(weights, slope * case, key, stabilise, bounds, moved, *ess, " ".join(notes))


def effective_sample_size(weights: ArrayLike) -> float:
    """Kish's effective sample size, (sum w)^2 / sum w^2; 0 when no weight is positive."""
    w = np.asarray(weights, dtype=float)
    squares = float(w @ w)
    return float(w.sum()) ** 2 / squares if squares > 0 else 0.0


def _inputs(
    score: PropensityFit | ArrayLike, treated: ArrayLike | None, prior: ArrayLike | None
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    if isinstance(score, PropensityFit):
        if prior is not None or treated is not None:
            raise DefinitionError("A fitted score brings its own `treated` and case weights; give neither again.")
        return score.score, score.treated, score.weights
    if treated is None:
        raise DefinitionError("Give `treated` with plain scores (or pass the PropensityFit).")
    p, arm = np.asarray(score, dtype=float), as_treated(treated)
    if p.shape != arm.shape:
        raise DataError(f"score has shape {p.shape} and treated {arm.shape}; they must be equal.")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Scores must be probabilities between 0 and 1 (not logits), none missing.")
    return p, arm, np.ones(len(p)) if prior is None else np.asarray(prior, dtype=float)


def _weights_and_slope(p: Floats, arm: NDArray[np.bool_], estimand: str) -> tuple[Floats, Floats]:
    """Weights and their derivative with respect to the logit; dp/dlogit = p(1-p) is already inside."""
    odds, against = p / (1 - p), (1 - p) / p
    zero, one = np.zeros_like(p), np.ones_like(p)
    treated, comparator = {
        "ate": ((1 / p, -against), (1 / (1 - p), odds)),
        "att": ((one, zero), (odds, odds)),
        "atc": ((against, -against), (one, zero)),
        "ato": ((1 - p, -p * (1 - p)), (p, p * (1 - p))),
        "atm": (
            (np.where(p <= 0.5, 1.0, against), np.where(p <= 0.5, 0.0, -against)),
            (np.where(p < 0.5, odds, 1.0), np.where(p < 0.5, odds, 0.0)),
        ),
    }[estimand]
    return np.where(arm, treated[0], comparator[0]), np.where(arm, treated[1], comparator[1])


def _bounds(weights: Floats, truncate: tuple[float, float]) -> tuple[float, float]:
    low, high = truncate
    if not 0 <= low < high <= 1:
        raise DefinitionError(f"truncate is {truncate}; it must be two quantiles such as (0.01, 0.99).")
    lower, upper = np.quantile(weights, [low, high])
    return float(lower), float(upper)
