"""Recycled predictions: the mean over people as if all were exposed, and as if none were, from any mean model.

A model brings, for every row, its prediction under each arm with the derivative by its coefficients, and each
row's influence on those coefficients. Averaging over people adds their own sampling (unless their covariates are
taken as fixed), and an estimated propensity score adds its own. The answer is an `ArmValues`, so `contrast` turns
it into a difference or a ratio with the same clusters and the same words as any other effect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import GlmFit
from clinops.stats.glm_families import Floats
from clinops.stats.propensity import PropensityFit, as_treated
from clinops.stats.weighted_effects import ArmValues, as_balancing_weights
from clinops.stats.weighting import BalancingWeights

AVERAGE_OVER = {"everybody": "ate", "exposed": "att", "comparators": "atc"}
COVARIATES = ("sampled", "fixed")
SE_KINDS = ("robust", "HC0", "model")
_NONE = 1e-6  # of the other arm's mean: a prediction on its way to nothing


@dataclass(frozen=True)
class Population:
    """Who is averaged over and how the standard error counts; made by `population`.

    treated : (n,) bool. balanced : weights and their slope. propensity : its fit, or None when weights are known.
    share : (n,) 1 for rows averaged over, else 0. estimand, se_kind, note : words of the result.
    covariates : "sampled" or "fixed". se : "robust", "HC0" or "model".
    """

    treated: NDArray[np.bool_]
    balanced: BalancingWeights
    propensity: PropensityFit | None
    share: Floats
    estimand: str
    covariates: str
    se: str
    note: str

    @property
    def weights(self) -> Floats:
        """(n,) weights of the fit."""
        return self.balanced.weights


@dataclass(frozen=True)
class Term:
    """Derivative of both arms' predictions by one block of k coefficients: each design (n, k) times its factor (n,).

    factor : (2, n), exposed then comparator.
    """

    exposed: Floats
    comparator: Floats
    factor: Floats

    def total(self, weight: Floats) -> Floats:
        """(2, k) weighted sums over rows."""
        designs = (self.exposed, self.comparator)
        return np.stack([(weight * factor) @ design for design, factor in zip(designs, self.factor, strict=True)])


@dataclass(frozen=True)
class Prediction:
    """Predictions under exposure and under none: mean (2, n), and its derivatives by every coefficient in turn."""

    mean: Floats
    terms: tuple[Term, ...]

    def times(self, other: Prediction) -> Prediction:
        """Return the product of two parts, the coefficients of this one first."""
        mine = tuple(replace(term, factor=term.factor * other.mean) for term in self.terms)
        theirs = tuple(replace(term, factor=term.factor * self.mean) for term in other.terms)
        return Prediction(self.mean * other.mean, mine + theirs)


def arm_designs(
    treated: ArrayLike, covariates: ArrayLike | None = None, *, interact: bool = False
) -> tuple[Floats, Floats]:
    """Return the (n, k) designs of everybody exposed and of nobody: intercept, arm, covariates.

    `interact` adds arm times each centred covariate, a model of its own in each arm but for the family.
    """
    n = len(as_treated(treated))
    other = np.zeros((n, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    other = other[:, None] if other.ndim == 1 else other
    if other.ndim != 2 or len(other) != n:
        raise DataError(f"covariates have shape {other.shape}; they must be ({n}, columns) to fit `treated`.")
    ones, zeros = np.ones(n), np.zeros(n)
    centred = other - other.mean(axis=0) if interact and n else np.zeros((n, 0))
    return np.column_stack([ones, ones, other, centred]), np.column_stack([ones, zeros, other, 0 * centred])


def population(
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    se: str = "robust",
) -> Population:
    """Check and gather what every standardised estimate needs (see `cost_models.glm_effect`)."""
    for kind, given, allowed in (
        ("group to average over", average_over, tuple(AVERAGE_OVER)),
        ("treatment of covariates", covariates, COVARIATES),
        ("kind of standard error", se, SE_KINDS),
    ):
        if given not in allowed:
            raise DefinitionError(unknown(kind, given, allowed))
    if se != "robust" and propensity is not None:
        raise DefinitionError("The score's uncertainty needs the influence of each row: use se='robust'.")
    arm = as_treated(treated)
    label = estimand or AVERAGE_OVER[average_over]
    if estimand is None and average_over == "everybody" and isinstance(weights, BalancingWeights):
        label = weights.estimand
    balanced, note = as_balancing_weights(weights, arm, propensity, label)
    known = propensity is None or propensity.bread is None
    share = {"everybody": np.ones(len(arm)), "exposed": arm.astype(float), "comparators": (~arm).astype(float)}
    return Population(
        arm, balanced, None if known else propensity, share[average_over], label, covariates, se, note,
    )  # fmt: skip


def design_pair(
    design_exposed: ArrayLike, design_comparator: ArrayLike, treated: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Check two designs against the rows; return both and the observed one."""
    ones, zeros = np.asarray(design_exposed, dtype=float), np.asarray(design_comparator, dtype=float)
    if ones.ndim != 2 or ones.shape != zeros.shape or len(ones) != len(treated):
        raise DataError(
            f"the designs have shapes {ones.shape} and {zeros.shape}; both must be ({len(treated)}, columns)."
            " arm_designs makes them."
        )
    return ones, zeros, np.where(treated[:, None], ones, zeros)


def finite_columns(fit: GlmFit) -> NDArray[np.bool_]:
    """(k,) columns with a finite maximum-likelihood estimate; the others move no prediction and count as certain."""
    return np.isfinite(np.diag(fit.bread)) & np.isfinite(fit.std_error)


def coefficient_influence(fit: GlmFit, people: Population, rows: NDArray[np.bool_] | None = None) -> Floats:
    """(n, k) influence of each row on the coefficients, the score's estimation included.

    `rows` says which of the n rows the model was fitted on, when not on all. NaN with as many columns as rows.
    """
    if fit.df_residual < 1:
        return np.full((len(people.treated), len(fit.coef)), np.nan)
    sound = finite_columns(fit)
    bread = np.where(sound[:, None] & sound[None, :], fit.bread, 0.0)
    scores = fit.scores
    if rows is not None:
        scores = np.zeros((len(rows), scores.shape[1]))
        scores[rows] = fit.scores
    total = scores @ bread
    if people.propensity is not None:
        weights, slope = people.weights, people.balanced.slope
        per_weight = scores * np.where(weights > 0, slope / np.where(weights > 0, weights, 1.0), 0.0)[:, None]
        total = total + people.propensity.influence(people.propensity.design.T @ per_weight) @ bread
    return np.asarray(total)


def coefficient_covariance(fit: GlmFit, se: str) -> Floats:
    """(k, k) covariance of the coefficients, "model" (expected information) or "HC0"; 0 where not estimated."""
    if fit.df_residual < 1:
        return np.full(fit.bread.shape, np.nan)
    sound = finite_columns(fit)
    bread = np.where(sound[:, None] & sound[None, :], fit.bread, 0.0)
    middle = fit.scores.T @ fit.scores
    return bread * fit.dispersion if se == "model" else np.asarray(bread @ middle @ bread)


def standardised(
    predicted: Prediction,
    influence: Floats,
    people: Population,
    *,
    covariance: Floats | None = None,
    outcome: Floats,
    note: str = "",
) -> ArmValues:
    """Average predictions over people and carry every source of uncertainty along.

    Parameters
    ----------
    predicted : under both arms. influence : (n, k) of each row on all coefficients (see `coefficient_influence`).
    covariance : (k, k) of the coefficients, needed unless people.se is "robust". outcome : (n,), to see variation.
    """
    weight = people.weights * people.share
    total = float(weight.sum())
    counted = people.weights > 0
    sides = [rows & counted for rows in (people.treated, ~people.treated)]
    # an arm without people has no prediction of its own, whatever the model says of it
    known = np.array([bool(rows.any()) and total > 0 for rows in sides])
    if not total > 0:
        note = f"{note} Nobody with a weight is left to average over.".strip()
        total = float("nan")
    value = np.where(known, predicted.mean @ weight / total, np.nan)
    # a log link tends to the 0 of an arm without any amount but never arrives
    silent = np.array([not outcome[rows].any() for rows in sides])
    value = np.where(silent & known & (np.abs(value) < _NONE * np.abs(value).max()), 0.0, value)
    slopes = np.concatenate([term.total(weight) for term in predicted.terms], axis=1) / total
    own = weight * (predicted.mean - value[:, None]) / total
    if people.propensity is not None:
        tilt = people.balanced.slope * people.share
        derivative = people.propensity.design.T @ (tilt * (predicted.mean - value[:, None])).T / total
        own = own + people.propensity.influence(derivative).T
    if people.covariates == "fixed":
        own = np.zeros_like(own)
    whole = own + slopes @ influence.T
    spread = None
    if people.se != "robust" and covariance is not None:
        spread = (slopes @ covariance @ slopes.T + own @ own.T)[:, :, None]
    varies = [bool(rows.any() and np.ptp(outcome[rows]) > 0) for rows in sides]
    return ArmValues(
        value=value[:, None],
        influence=whole[:, :, None],
        counted=counted,
        treated=people.treated,
        varies=np.array(varies)[:, None],
        estimand=people.estimand,
        se_kind=_kind(people),
        note=" ".join(filter(None, (people.note, note))),
        covariance=spread,
    )


def _kind(people: Population) -> str:
    varied = bool(np.ptp(people.weights) > 0) if len(people.weights) else False
    if people.se == "model":
        kind = "model (expected information), delta method" + (", weights taken as counts" if varied else "")
    elif people.propensity is not None:
        kind = "M-estimation"
    else:
        kind = "robust HC0"
        kind += ", delta method by model" if people.se == "HC0" else ""
        kind += ", weights taken as known" if varied else ""
    return f"{kind}, covariates {people.covariates}"
