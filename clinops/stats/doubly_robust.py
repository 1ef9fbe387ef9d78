"""Doubly robust effects with any learner: augmented weighting and targeted maximum likelihood, with cross-fitting.

Both put an outcome model and a score together so that an error in one of them is mended by the other. Their influence
functions are those of the efficient estimator, in which the estimation of either model plays no part as long as both
are near enough to the truth; predictions for rows that a model did not see (cross-fitting) make that so for learners
that adapt to their data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.cross_fitting import Nuisances, fold_ids, nuisances
from clinops.stats.glm import Floats, expit, glm
from clinops.stats.learners import Learner, glm_learner, logistic_learner
from clinops.stats.propensity import as_covariates, as_treated, case_weights
from clinops.stats.weighted_effects import ArmValues, Effect, contrast, settled

ROBUST_ESTIMANDS = ("ate", "att")
_CERTAIN = 1e-8  # from 0 or 1
COMBINATIONS = ("median", "mean")
_EDGE = 1e-6  # of the outcome's range: means are kept this far from its ends, where a logit does not exist


@dataclass(frozen=True)
class DoublyRobust:
    """A doubly robust effect and what it was made of; n rows, s splits.

    Attributes
    ----------
    effect : the answer; over several splits their combination. splits : (s,) the effect of each split.
    score, mean : (n,) and (2, n), scores and means (exposed, comparator) of the first split, as used.
    n_bounded : scores of the first split pulled in to the bounds.
    fluctuation : (2,) targeting steps of the first split on the logit; NaN for `doubly_robust`.
    arms : both arms' values of the first split with their influence, for `contrast` on another scale.
    """

    effect: Effect
    splits: tuple[Effect, ...]
    score: Floats
    mean: Floats
    n_bounded: int
    fluctuation: Floats
    arms: ArmValues


@dataclass(frozen=True)
class _Rows:
    y: Floats
    treated: NDArray[np.bool_]
    X: Floats
    designs: tuple[Floats, Floats] | None
    weights: Floats


@dataclass(frozen=True)
class _Choices:
    family: str
    estimand: str
    outcome: Learner
    score: Learner
    folds: int
    repeats: int
    seed: int | None
    combine: str
    bounds: tuple[float, float] | None
    cluster: ArrayLike | None
    scale: str
    conf_level: float


def doubly_robust(
    y: ArrayLike,
    treated: ArrayLike,
    X: ArrayLike,
    *,
    designs: tuple[ArrayLike, ArrayLike] | None = None,
    family: str = "gaussian",
    estimand: str = "att",
    outcome_learner: Learner | None = None,
    score_learner: Learner | None = None,
    folds: int = 1,
    repeats: int = 1,
    combine: str = "median",
    seed: int | None = None,
    bounds: tuple[float, float] | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> DoublyRobust:
    """Estimate an effect that is right when either the score or the outcome model is (augmented weighting, AIPW).

    Parameters
    ----------
    y : (n,) outcome, none missing. treated : (n,) 0/1. X : (n, k) covariates of the score, none missing.
    designs : two (n, m) designs of the outcome model, of everybody as if exposed and as if not (see `arm_designs`);
        one model is then fitted on whichever a row really was. None: a model of its own in each arm, on X.
    family : of the outcome's generalised linear model, as in `glm`. outcome_learner, score_learner : instead of it
        and of plain logistic regression (see `learners`; a family other than "binomial" then only says what y may be).
    estimand : "att" or "ate".
    folds : 1 uses every row for both; more predict each fold from models of the others. Clusters stay together.
    repeats : how often people are dealt out anew; combine : "median" or "mean" of these answers.
    seed : of the splits, needed when folds > 1.
    bounds : scores are pulled in to these, and counted; for the ATT only to the upper one, since a low score weighs
        little there. None: b and 1 - b, b = 5 / (sqrt(n) log n), at most 0.05 (Gruber and others 2022).
    weights : (n,) case weights >= 0. cluster : (n,) ids of independent units. scale, conf_level : as `weighted_effect`.

    Raises
    ------
    DefinitionError : unknown names, a missing seed, bounds out of order. DataError : shapes, missing values, an arm
    that is empty where a model has to be fitted.

    Notes
    -----
    ATE: mean of m_a + 1(A=a)(y - m_a)/p_a. ATT: treated mean less [sum t m_0 + sum (1-t) p/(1-p) (y - m_0)] over the
    number treated. Error: the sum of squared influences over independent units, both models taken as known; over
    splits the median (mean) of a split's variance plus its squared distance from the answer. Parametric models
    without cross-fitting: `augmented_effect` carries their estimation as well. Source: Robins, Rotnitzky and Zhao
    1994; Hahn 1998; Chernozhukov and others 2018. Equal to What If's data in R to 1e-7.
    """
    chosen = _choices(
        family, estimand, outcome_learner, score_learner, folds, repeats, seed, combine, bounds, cluster, scale,
        conf_level,
    )  # fmt: skip
    return _estimate(_augmented, _checked(y, treated, X, designs, weights, family), chosen)


def tmle(
    y: ArrayLike,
    treated: ArrayLike,
    X: ArrayLike,
    *,
    designs: tuple[ArrayLike, ArrayLike] | None = None,
    family: str = "gaussian",
    estimand: str = "att",
    outcome_learner: Learner | None = None,
    score_learner: Learner | None = None,
    folds: int = 1,
    repeats: int = 1,
    combine: str = "median",
    seed: int | None = None,
    bounds: tuple[float, float] | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> DoublyRobust:
    """Estimate a doubly robust effect by targeting the outcome model (targeted maximum likelihood).

    As `doubly_robust` in what it takes and raises, and in when it is right; it averages predictions that stay within
    the outcome's range, so a risk is never below 0 or above 1.

    Notes
    -----
    The outcome is scaled to 0..1 (0/1 as it is) and the logit of its predicted mean shifted by e_a h_a, where h is
    1/p and 1/(1-p) for the ATE and p/(1-p) among comparators for the ATT, with e_a by maximum quasi-likelihood. ATE:
    mean of the shifted predictions. ATT: treated mean less their mean shifted prediction without treatment.
    Source: van der Laan and Rubin 2006; Gruber and van der Laan 2010 (bounded continuous outcomes); Zheng and van der
    Laan 2011 (cross-fitting). Equal to What If's data in R to 1e-7.
    """
    chosen = _choices(
        family, estimand, outcome_learner, score_learner, folds, repeats, seed, combine, bounds, cluster, scale,
        conf_level,
    )  # fmt: skip
    return _estimate(_targeted, _checked(y, treated, X, designs, weights, family), chosen)


def combine_splits(effects: tuple[Effect, ...], combine: str = "median") -> Effect:
    """Put the effects of several random splits together (Chernozhukov and others 2018, section 3.4).

    Estimates are combined on the working scale (the log of a ratio); the variance is the median or mean of each split's
    variance plus the square of its distance from the combined estimate. The arms' values are combined alike, so that
    their difference need not be the estimate to the last digit.
    """
    if combine not in COMBINATIONS:
        raise DefinitionError(unknown("combination of splits", combine, COMBINATIONS))
    first = effects[0]
    if len(effects) == 1:
        return first
    middle = np.median if combine == "median" else np.mean
    forth, back = (float, float) if first.scale == "difference" else (np.log, np.exp)
    points = np.array([forth(effect.estimate) for effect in effects])
    point = float(middle(points))
    error = float(np.sqrt(middle([e.std_error**2 + (p - point) ** 2 for e, p in zip(effects, points, strict=True)])))
    size = NormalDist().inv_cdf(0.5 + first.conf_level / 2)
    return replace(
        first,
        value_exposed=float(middle([effect.value_exposed for effect in effects])),
        value_comparator=float(middle([effect.value_comparator for effect in effects])),
        estimate=float(back(point)),
        std_error=error,
        conf_low=float(back(point - size * error)),
        conf_high=float(back(point + size * error)),
        p_value=2 * NormalDist().cdf(-abs(point / error)) if error > 0 else float("nan"),
        se_kind=f"{first.se_kind}, {combine} of {len(effects)} splits",
        note=" ".join(dict.fromkeys(effect.note for effect in effects if effect.note)),
    )


def _choices(
    family: str,
    estimand: str,
    outcome: Learner | None,
    score: Learner | None,
    folds: int,
    repeats: int,
    seed: int | None,
    combine: str,
    bounds: tuple[float, float] | None,
    cluster: ArrayLike | None,
    scale: str,
    conf_level: float,
) -> _Choices:
    """Refuse choices that cannot be followed and fill in the learners."""
    key = estimand.lower()
    if key not in ROBUST_ESTIMANDS:
        raise DefinitionError(unknown("estimand of a doubly robust estimator", estimand, ROBUST_ESTIMANDS))
    if combine not in COMBINATIONS:
        raise DefinitionError(unknown("combination of splits", combine, COMBINATIONS))
    if repeats < 1 or int(repeats) != repeats or (repeats > 1 and folds == 1):
        raise DefinitionError(f"repeats is {repeats!r} with {folds} fold(s); it is 1, or whole and with folds above 1.")
    if bounds is not None and not 0 < bounds[0] < bounds[1] < 1:
        raise DefinitionError(f"bounds is {bounds}; it must be two probabilities within 0..1 such as (0.01, 0.99).")
    return _Choices(
        family, key, outcome or glm_learner(family), score or logistic_learner(), folds, repeats, seed, combine, bounds,
        cluster, scale, conf_level,
    )  # fmt: skip


def _bounds(chosen: _Choices, n: int) -> tuple[float, float]:
    """Return the scores between which all are held."""
    edge = min(0.05, 5 / (np.sqrt(n) * np.log(n))) if n > 1 else 0.05
    low, high = chosen.bounds or (edge, 1 - edge)
    return (low if chosen.estimand == "ate" else 0.0), high


_Method = Callable[[_Rows, Nuisances, _Choices], tuple[ArmValues, Floats, Floats]]


def _estimate(method: _Method, rows: _Rows, chosen: _Choices) -> DoublyRobust:
    """Learn, estimate and compare, once for each split."""
    made, effects = [], []
    bounds = _bounds(chosen, int((rows.weights > 0).sum()))
    for split in range(chosen.repeats):
        seed = None if chosen.seed is None else chosen.seed + split
        fold = fold_ids(rows.treated, chosen.folds, seed, cluster=chosen.cluster)
        known = nuisances(
            rows.y, rows.treated, rows.X, rows.designs, rows.weights, fold, chosen.outcome, chosen.score, bounds
        )
        arms, mean, step = method(rows, known, chosen)
        how = "models taken as known" if chosen.folds == 1 else f"cross-fitted in {chosen.folds} folds"
        note = f"{known.n_bounded} scores were pulled in to {bounds[0]:.3g} and {bounds[1]:.3g}."
        notes = note if known.n_bounded else "", _certain(rows, known, arms, chosen.family)
        arms = replace(arms, se_kind=f"influence function, {how}", note=" ".join(filter(None, notes)))
        effects.append(contrast(arms, chosen.scale, cluster=chosen.cluster, conf_level=chosen.conf_level)[0])
        made.append((known, mean, step, arms))
    known, mean, step, arms = made[0]
    answer = combine_splits(tuple(effects), chosen.combine)
    return DoublyRobust(answer, tuple(effects), known.score, mean, known.n_bounded, step, arms)


def _certain(rows: _Rows, known: Nuisances, arms: ArmValues, family: str) -> str:
    """Say where a model of an outcome that varies is certain of it, as a model that separates is."""
    if family != "binomial":
        return ""
    rounded = np.minimum(known.mean, 1 - known.mean) < _CERTAIN
    judged = arms.varies | (rows.designs is not None)  # an arm of one outcome is certain of it by itself
    count = int((rounded & judged & (rows.weights > 0)).any(axis=0).sum())
    said = f"The outcome model predicts 0 or 1 as if certain for {count} people: it may separate events from none."
    return said if count else ""


def _checked(
    y: ArrayLike,
    treated: ArrayLike,
    X: ArrayLike,
    designs: tuple[ArrayLike, ArrayLike] | None,
    weights: ArrayLike | None,
    family: str,
) -> _Rows:
    arm, outcome = as_treated(treated), np.asarray(y, dtype=float)
    matrix, n = as_covariates(X, len(arm)), len(arm)
    if outcome.shape != (n,) or not np.isfinite(outcome).all():
        raise DataError(f"y has shape {outcome.shape}; it must be ({n},) to fit `treated`, none missing or infinite.")
    if family == "binomial" and not np.isin(outcome, (0, 1)).all():
        raise DataError("The family binomial needs an outcome of 0 and 1; use gaussian for a score or a share.")
    case = case_weights(weights, n)
    if designs is None:
        return _Rows(outcome, arm, matrix, None, case)
    pair = as_covariates(designs[0], n), as_covariates(designs[1], n)
    if pair[0].shape != pair[1].shape:
        raise DataError(f"the designs have shapes {pair[0].shape} and {pair[1].shape}; they must be equal.")
    return _Rows(outcome, arm, matrix, pair, case)


def _augmented(rows: _Rows, known: Nuisances, chosen: _Choices) -> tuple[ArmValues, Floats, Floats]:
    tilt = _tilts(rows, known, chosen.estimand)
    each = known.mean + tilt * (rows.y - known.mean)
    if chosen.estimand == "att":  # the treated's own mean needs no model
        whom = rows.treated.astype(float)
        each = np.array([whom * rows.y, whom * known.mean[1] + tilt[1] * (rows.y - known.mean[1])])
    return _arm_values(rows, each, chosen.estimand), known.mean, np.full(2, np.nan)


def _targeted(rows: _Rows, known: Nuisances, chosen: _Choices) -> tuple[ArmValues, Floats, Floats]:
    counted = rows.weights > 0
    low, high = (0.0, 1.0) if chosen.family == "binomial" else (rows.y[counted].min(), rows.y[counted].max())
    width = high - low if high > low else 1.0
    scaled = np.where(counted, (rows.y - low) / width, 0.0)  # rows without weight may lie outside the range
    tilt, mean, steps = _tilts(rows, known, chosen.estimand), known.mean.copy(), np.full(2, np.nan)
    # the comparator's tilt as it is for everybody, whichever arm they were in
    if chosen.estimand == "att":
        clever = np.array([np.zeros(len(rows.y)), known.score / (1 - known.score)])
    else:
        clever = np.array([1 / known.score, 1 / (1 - known.score)])
    for a in (0, 1) if chosen.estimand == "ate" else (1,):
        shift, steps[a] = _fluctuated(scaled, (known.mean[a] - low) / width, clever[a], rows.weights * (tilt[a] > 0))
        mean[a] = low + width * shift
    each = mean + tilt * (rows.y - mean)
    if chosen.estimand == "att":
        whom = rows.treated.astype(float)
        each = np.array([whom * rows.y, whom * mean[1] + tilt[1] * (rows.y - mean[1])])
    return _arm_values(rows, each, chosen.estimand), mean, steps


def _fluctuated(y: Floats, mean: Floats, clever: Floats, weights: Floats) -> tuple[Floats, float]:
    """Shift the logit of a mean along `clever` until its residuals, tilted by it, sum to 0; and by how much."""
    seen = y[weights > 0]
    if len(seen) and (seen == seen[0]).all() and seen[0] in (0.0, 1.0):
        return np.full_like(mean, seen[0]), float("nan")  # the sum is 0 at the edge only
    held = np.clip(mean, _EDGE, 1 - _EDGE)
    eta = np.log(held / (1 - held))
    step = float(glm(clever[:, None], y, "binomial", weights=weights, offset=eta, se="model").coef[0])
    return expit(eta + step * clever), step


def _tilts(rows: _Rows, known: Nuisances, estimand: str) -> Floats:
    """(2, n) what an arm's residuals are multiplied by; 0 outside the arm."""
    p, t = known.score, rows.treated
    if estimand == "ate":
        return np.array([np.where(t, 1 / p, 0.0), np.where(t, 0.0, 1 / (1 - p))])
    return np.array([t.astype(float), np.where(t, 0.0, p / (1 - p))])


def _arm_values(rows: _Rows, each: Floats, estimand: str) -> ArmValues:
    """Average each arm's terms over everybody (ATE) or over the number treated (ATT)."""
    whom = np.ones(len(rows.y)) if estimand == "ate" else rows.treated.astype(float)
    total = float(rows.weights @ whom)
    value = each @ rows.weights / total
    influence = rows.weights * (each - value[:, None] * whom) / total
    counted = rows.weights > 0
    varies = [[bool(np.ptp(rows.y[arm & counted]) > 0)] for arm in (rows.treated, ~rows.treated)]
    settled_value = settled(value, rows.y, rows.treated, counted)
    return ArmValues(
        settled_value[:, None], influence[:, :, None], counted, rows.treated, np.array(varies), estimand, "", ""
    )  # fmt: skip
