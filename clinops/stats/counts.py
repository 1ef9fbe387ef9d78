"""Counts with more spread than Poisson: negative binomial, and the hurdle model (any visit, then how many)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.cost_models import amounts, predictions
from clinops.stats.glm import GlmFit, glm, independent_columns, robust_cov
from clinops.stats.glm_families import Floats
from clinops.stats.propensity import PropensityFit
from clinops.stats.standardise import (
    Prediction,
    Term,
    coefficient_covariance,
    coefficient_influence,
    design_pair,
    population,
    standardised,
)
from clinops.stats.weighted_effects import Effect, contrast
from clinops.stats.weighting import BalancingWeights

_ROUNDS = 100
_LARGE = 1e7  # a shape beyond this is a Poisson
_NO_MEAN = -20.0  # a log mean below this everywhere is on its way to minus infinity


@dataclass(frozen=True)
class NegativeBinomialFit:
    """A negative binomial regression: variance mu + mu^2 / theta.

    fit : GlmFit at the estimated theta (coefficients, errors of the kind asked for). theta, theta_std_error : shape;
    infinite and NaN where the counts are not overdispersed. log_likelihood. note : "" or what a reader must know.
    """

    fit: GlmFit
    theta: float
    theta_std_error: float
    log_likelihood: float
    note: str


@dataclass(frozen=True)
class HurdleFit:
    """A hurdle model: logit of any event, negative binomial cut off at zero for how many there are if any.

    zero : GlmFit of any event. count_coef, count_std_error : (k,) of the cut-off negative binomial's linear predictor.
    theta : its shape. log_theta_std_error. count_cov : (k + 1, k + 1), log(theta) last. count_scores : (n, k + 1),
    0 for rows without an event. log_likelihood : of both. se_kind, note : words.
    """

    zero: GlmFit
    count_coef: Floats
    count_std_error: Floats
    theta: float
    log_theta_std_error: float
    count_cov: Floats
    count_bread: Floats
    count_scores: Floats
    log_likelihood: float
    converged: bool
    se_kind: str
    note: str


def negative_binomial(
    X: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str = "HC1",
) -> NegativeBinomialFit:
    """How does the mean count change with the columns of X, when counts vary more than Poisson?

    Parameters
    ----------
    X, y, weights, offset, cluster, se : as in `glm` ("model" is the expected information at the estimated theta).

    Raises
    ------
    DataError : as `glm`; counts that are negative or not whole.

    Notes
    -----
    Maximum likelihood: coefficients given theta by `glm`, theta given the means by Newton's method on its logarithm,
    in turn until both stand still. Counts that are not overdispersed: theta infinite, the Poisson fit, and a note.
    Errors of the coefficients hold theta fixed (the two are independent in expectation), that of theta is from the
    observed information given the means, both as R's `glm.nb`. Source: Venables and Ripley 2002. Checked against R
    (NMES 1988) at 1e-6.
    """
    count = _whole(y)
    case = np.ones(len(count)) if weights is None else np.asarray(weights, dtype=float)
    fit = glm(X, count, "poisson", weights=weights, offset=offset, se="model")
    excess = _excess(count, fit.fitted, case)
    if not excess > 0:
        plain = glm(X, count, "poisson", weights=weights, offset=offset, cluster=cluster, se=se)
        note = "The counts are not overdispersed: the Poisson model."
        likelihood = float(case @ _poisson_likelihood(count, plain.fitted))
        return NegativeBinomialFit(plain, float("inf"), float("nan"), likelihood, f"{plain.note} {note}".strip())
    theta, settled = 1 / excess, False
    for _ in range(_ROUNDS):
        fresh = _shape(count, fit.fitted, case, theta)
        start = np.nan_to_num(fit.coef)
        fit = glm(X, count, "negative binomial", weights=weights, offset=offset, se="model", theta=fresh, start=start)
        settled = abs(fresh - theta) <= 1e-10 * theta
        theta = fresh
        if settled or theta > _LARGE:
            break
    cov, kind = robust_cov(fit, se, cluster, weights=weights)
    sound = np.isfinite(fit.std_error)
    error = np.where(sound, np.sqrt(np.where(sound, np.diag(cov), 0.0)), np.nan)
    information = -_shape_derivatives(count, fit.fitted, case, theta)[1]
    why = "The shape grows without bound: all but Poisson." if theta > _LARGE else "The shape did not settle."
    note = fit.note if settled else f"{fit.note} {why}".strip()
    return NegativeBinomialFit(
        replace(fit, cov=cov, std_error=error, se_kind=kind, note=note),
        theta,
        float(1 / np.sqrt(information)) if information > 0 and settled else float("nan"),
        float(case @ _likelihood(count, fit.fitted, theta)),
        note,
    )


def negative_binomial_effect(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    weights: BalancingWeights | ArrayLike | None = None,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    se: str = "robust",
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """By how much does exposure change the mean count, by a negative binomial model? (See `cost_models.glm_effect`.)

    theta is taken as known in the errors, as R's delta method does.
    """
    people = population(
        treated, weights, propensity=propensity, average_over=average_over, estimand=estimand, covariates=covariates,
        se=se,
    )  # fmt: skip
    ones, zeros, seen = design_pair(design_exposed, design_comparator, people.treated)
    count = amounts(y, people, "a negative binomial model")
    found = negative_binomial(seen, count, weights=people.weights, se="model")
    arms = standardised(
        predictions(found.fit.coef, ones, zeros, "poisson"),
        coefficient_influence(found.fit, people),
        people,
        covariance=None if se == "robust" else coefficient_covariance(found.fit, se),
        outcome=count,
        note=found.note,
    )
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def hurdle(
    X: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str = "HC1",
) -> HurdleFit:
    """What decides whether there is any event, and what how many there are?

    Parameters
    ----------
    X : (n, k) of both parts. y : (n,) counts. weights : (n,). cluster : ids. se : "model", "HC0" or "HC1".

    Raises
    ------
    DataError : counts that are negative or not whole; fewer rows with an event than columns.

    Notes
    -----
    The second part is fitted by Newton steps on (coefficients, log theta) to the maximum of the likelihood, whose
    observed information gives the errors; R's `hurdle` stops at about 1e-5 of it. Source: Mullahy 1986; Zeileis,
    Kleiber and Jackman 2008. Checked against R (NMES 1988).
    """
    if se not in ("model", "HC0", "HC1"):
        raise DefinitionError(unknown("kind of standard error", se, ("model", "HC0", "HC1")))
    count = _whole(y)
    design = np.asarray(X, dtype=float)
    case = np.ones(len(count)) if weights is None else np.asarray(weights, dtype=float)
    zero = glm(design, (count > 0).astype(float), "binomial", weights=case, cluster=cluster, se=se)
    rows = (count > 0) & (case > 0)
    keep, aliased = independent_columns(design[rows])
    if rows.sum() <= len(keep) or not len(keep):
        raise DataError(f"{int(rows.sum())} rows with an event cannot determine {len(keep) + 1} numbers of a count.")
    narrow = design[rows][:, keep]
    found, settled = _maximise(narrow, count[rows], case[rows])
    value, scores, curvature = _truncated(found, narrow, count[rows], case[rows])
    k = design.shape[1]
    wide = np.append(keep, k)
    coef, bread, every = np.full(k + 1, np.nan), np.full((k + 1, k + 1), np.nan), np.zeros((len(count), k + 1))
    coef[wide], bread[np.ix_(wide, wide)] = found, np.linalg.pinv(-curvature)
    every[np.ix_(np.flatnonzero(rows), wide)] = scores
    empty = np.full(k + 1, np.nan)
    as_fit = replace(
        zero, coef=coef, bread=bread, scores=every, std_error=empty, dispersion=1.0, eta=np.zeros(len(count))
    )
    cov, kind = robust_cov(as_fit, se, cluster, weights=rows)
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.diag(cov)) if settled else empty
    notes = [zero.note, "" if settled else "The second part has no finite maximum: its numbers mean nothing."]
    if aliased.size:
        notes.append(f"Column(s) {aliased.tolist()} do not vary among rows with an event and were left out there.")
    any_event = (count > 0).astype(float)
    chance = np.where(any_event == 1, zero.fitted, 1 - zero.fitted)
    likelihood = float(case @ np.log(np.maximum(chance, 1e-300))) + value
    return HurdleFit(
        zero, coef[:k], error[:k], float(np.exp(coef[k])), float(error[k]), cov, bread, every, likelihood, settled,
        kind.replace("expected", "observed"), " ".join(filter(None, notes)),
    )  # fmt: skip


def hurdle_effect(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    weights: BalancingWeights | ArrayLike | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """By how much does exposure change the mean count over everybody, by a hurdle model? (See `hurdle`.)

    value_a = mean of P(any) mu / P(count > 0 | mu, theta); errors by the influence of each row on both parts and theta.
    """
    people = population(treated, weights, average_over=average_over, estimand=estimand, covariates=covariates)
    ones, zeros, seen = design_pair(design_exposed, design_comparator, people.treated)
    count = amounts(y, people, "a hurdle model")
    found = hurdle(seen, count, weights=people.weights, se="HC0")
    share = predictions(found.zero.coef, ones, zeros, "binomial")
    positive = _positive_means(found, ones, zeros)
    second = found.count_scores @ np.nan_to_num(found.count_bread)
    if not found.converged:
        second = np.full_like(second, np.nan)
    influence = np.concatenate([coefficient_influence(found.zero, people), second], axis=1)
    arms = standardised(share.times(positive), influence, people, outcome=count, note=found.note)
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def _positive_means(found: HurdleFit, ones: Floats, zeros: Floats) -> Prediction:
    """Mean of a cut-off negative binomial under both arms, with derivatives by coefficients and log theta."""
    beta, theta = np.nan_to_num(found.count_coef), found.theta
    means, by_eta, by_shape = [], [], []
    for design in (ones, zeros):
        mu = np.exp(design @ beta)
        ratio = theta / (theta + mu)
        log_none = -theta * np.log1p(mu / theta)
        none, chance = np.exp(log_none), -np.expm1(log_none)
        by_mu = -none * ratio  # d none / d mu
        by_theta = none * (np.log(ratio) + 1 - ratio)
        means.append(mu / chance)
        by_eta.append((1 / chance + mu / chance**2 * by_mu) * mu)
        by_shape.append(mu / chance**2 * by_theta * theta)
    constant = np.ones((len(ones), 1))
    terms = Term(ones, zeros, np.array(by_eta)), Term(constant, constant, np.array(by_shape))
    return Prediction(np.array(means), terms)


def _whole(y: ArrayLike) -> Floats:
    count = np.asarray(y, dtype=float)
    bad = int((~(np.isfinite(count) & (count >= 0) & (count == np.round(count)))).sum())
    if bad:
        raise DataError(f"{bad} of {count.size} counts are missing, negative or not whole; costs want another model.")
    return count


def _excess(y: Floats, mu: Floats, weight: Floats) -> float:
    """1 / theta by moments, and where it starts."""
    return float(weight @ ((y - mu) ** 2 - y)) / max(float(weight @ mu**2), 1e-300)


def _shape(y: Floats, mu: Floats, weight: Floats, theta: float) -> float:
    """Maximum-likelihood theta given the means: Newton on log theta, halved until the likelihood does not fall."""
    log_theta = np.log(theta)
    value = float(weight @ _likelihood(y, mu, theta))
    for _ in range(_ROUNDS):
        at = float(np.exp(log_theta))
        first, second = _shape_derivatives(y, mu, weight, at)
        gradient, curve = at * first, at**2 * second + at * first
        step = float(np.clip(-gradient / curve if curve < 0 else np.sign(gradient), -2.0, 2.0))
        for _ in range(40):
            fresh = float(weight @ _likelihood(y, mu, float(np.exp(log_theta + step))))
            if fresh >= value - 1e-12 * abs(value):
                break
            step /= 2
        log_theta, value = log_theta + step, fresh
        if abs(step) < 1e-11 or log_theta > np.log(_LARGE):
            break
    return float(np.exp(log_theta))


def _shape_derivatives(y: Floats, mu: Floats, weight: Floats, theta: float) -> tuple[float, float]:
    from scipy.special import digamma, polygamma

    total = theta + mu
    first = digamma(theta + y) - digamma(theta) + np.log(theta / total) + 1 - (y + theta) / total
    second = polygamma(1, theta + y) - polygamma(1, theta) + 1 / theta - 2 / total + (y + theta) / total**2
    return float(weight @ first), float(weight @ second)


def _likelihood(y: Floats, mu: Floats, theta: float) -> Floats:
    from scipy.special import gammaln

    total = theta + mu
    ways = gammaln(theta + y) - gammaln(theta) - gammaln(y + 1)
    found: Floats = ways + theta * np.log(theta / total) + np.where(y > 0, y * np.log(mu / total), 0.0)
    return found


def _poisson_likelihood(y: Floats, mu: Floats) -> Floats:
    from scipy.special import gammaln

    return np.asarray(np.where(y > 0, y * np.log(np.maximum(mu, 1e-300)), 0.0) - mu - gammaln(y + 1))


def _truncated(parameters: Floats, X: Floats, y: Floats, weight: Floats) -> tuple[float, Floats, Floats]:
    """Log-likelihood of a negative binomial cut off at zero, its scores (n, k + 1) and second derivatives."""
    from scipy.special import digamma, polygamma

    theta, mu = float(np.exp(parameters[-1])), np.exp(np.clip(X @ parameters[:-1], -700, 700))
    total = theta + mu
    ratio, log_none = theta / total, -theta * np.log1p(mu / theta)
    chance = -np.expm1(log_none)
    odds = np.exp(log_none) / chance  # none / (1 - none)
    value = float(weight @ (_likelihood(y, mu, theta) - np.log(chance)))
    # derivatives of log none by the linear predictor and by log theta, then of -log(1 - none) by the chain rule
    by_eta, by_log = -mu * ratio, theta * (np.log(ratio) + 1 - ratio)
    eta_eta, eta_log = -mu * ratio**2, -mu * ratio * (1 - ratio)
    log_log = by_log + theta * (1 - ratio) ** 2
    steep = odds * (1 + odds)
    s_eta = y - (y + theta) * (1 - ratio) + odds * by_eta
    s_log = theta * (digamma(theta + y) - digamma(theta) + np.log(ratio) + 1 - (y + theta) / total) + odds * by_log
    h_ee = -(y + theta) * ratio * (1 - ratio) + steep * by_eta**2 + odds * eta_eta
    h_el = theta * (y - mu) * mu / total**2 + steep * by_eta * by_log + odds * eta_log
    own = digamma(theta + y) - digamma(theta) + np.log(ratio) + 1 - (y + theta) / total
    curve = polygamma(1, theta + y) - polygamma(1, theta) + 1 / theta - 2 / total + (y + theta) / total**2
    h_ll = theta * own + theta**2 * curve + steep * by_log**2 + odds * log_log
    scores = np.column_stack([X * s_eta[:, None], s_log]) * weight[:, None]
    corner = (weight * h_el) @ X
    square = np.block([[(X * (weight * h_ee)[:, None]).T @ X, corner[:, None]], [corner[None], weight @ h_ll]])
    return value, scores, square


def _maximise(X: Floats, y: Floats, weight: Floats) -> tuple[Floats, bool]:
    """Newton with halving from the Poisson fit; bounded steps, and a lifted curvature where it is not negative."""
    start = glm(X, y, "poisson", weights=weight, se="model")
    excess = _excess(y, start.fitted, weight)
    here = np.append(np.nan_to_num(start.coef), -np.log(max(excess, 1e-2)))
    evaluate: Callable[[Floats], tuple[float, Floats, Floats]] = lambda at: _truncated(at, X, y, weight)  # noqa: E731
    value, scores, curvature = evaluate(here)
    for _ in range(_ROUNDS):
        step = _uphill(curvature, scores.sum(axis=0))
        size = 1.0
        for _ in range(40):
            fresh, new_scores, new_curvature = evaluate(here + size * step)
            if np.isfinite(fresh) and fresh >= value - 1e-12 * abs(value):
                break
            size /= 2
        here, value, scores, curvature = here + size * step, fresh, new_scores, new_curvature
        if np.abs(size * step).max() < 1e-9 * (1 + np.abs(here).max()):
            return here, bool(np.linalg.eigvalsh(curvature).max() < 0)
        if abs(here[-1]) > np.log(_LARGE) or (X @ here[:-1]).max() < _NO_MEAN:
            break
    return here, False


def _uphill(curvature: NDArray[np.float64], gradient: Floats) -> Floats:
    values, vectors = np.linalg.eigh(curvature)
    lifted = np.minimum(values, -1e-8 * np.abs(values).max())
    step = -vectors @ ((vectors.T @ gradient) / lifted)
    longest = float(np.abs(step).max())
    return np.asarray(step * min(1.0, 5.0 / longest) if longest > 0 else step)
