"""Marginal structural models: effects of treatment over time when what decides it is itself changed by it.

Rows are persons in periods. A covariate that moves treatment, and is moved by earlier treatment, can neither be
adjusted for (it lies on the way, or opens one) nor left out (it confounds). Weighting every row by the inverse of the
chance of the treatment history it had, and of still being observed, makes treatment independent of that covariate; a
regression on treatment alone then estimates what each history would bring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, GlmFit, Ints, cluster_sums, glm
from clinops.stats.propensity import as_covariates, as_treated
from clinops.stats.weighting import effective_sample_size

NUISANCES = ("estimated", "known")


@dataclass(frozen=True)
class Nuisance:
    """One logistic model behind the weights: its fit on `rows`, and (n, m) derivatives of every log weight by it."""

    name: str
    fit: GlmFit
    rows: NDArray[np.bool_]
    slope: Floats


@dataclass(frozen=True)
class LongWeights:
    """Inverse-probability weights of n rows, each a person in a period.

    Attributes
    ----------
    weights : (n,), 0 in the period in which a person was lost. treatment, censoring : (n,) their two factors, before
        truncation.
    person : (n,) 0, 1, ... periods : (t,) distinct periods; mean, largest, ess : (t,) of the weights of rows above 0.
    bounds : weights at which truncation took place, or None. n_truncated : rows that were moved.
    stabilised : whether numerators were given. models : what was fitted. note : "" or what a reader must know.
    """

    weights: Floats
    treatment: Floats
    censoring: Floats
    person: Ints
    periods: NDArray[np.generic]
    mean: Floats
    largest: Floats
    ess: Floats
    bounds: tuple[float, float] | None
    n_truncated: int
    stabilised: bool
    models: tuple[Nuisance, ...]
    note: str


@dataclass(frozen=True)
class StructuralFit:
    """A marginal structural model; k columns, n rows.

    Attributes
    ----------
    coef, std_error, conf_low, conf_high, p_value : (k,), normal approximation; NaN for aliased columns. cov : (k, k).
    influence : (n, k), each row's influence on the coefficients; a person's is their sum.
    n, n_persons : rows and persons with weight. se_kind, note : words.
    """

    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    cov: Floats
    influence: Floats
    n: int
    n_persons: int
    conf_level: float
    se_kind: str
    note: str

    def combination(self, multiples: ArrayLike) -> tuple[float, float, float, float]:
        """Return estimate, standard error and limits of sum multiples x coef, such as always against never treated."""
        by = np.asarray(multiples, dtype=float)
        if by.shape != self.coef.shape:
            raise DataError(f"multiples has shape {by.shape}; there are {len(self.coef)} coefficients.")
        used = by != 0
        point = float(by[used] @ self.coef[used])
        error = float(np.sqrt(by[used] @ self.cov[np.ix_(used, used)] @ by[used]))
        half = NormalDist().inv_cdf(0.5 + self.conf_level / 2) * error
        return point, error, point - half, point + half


def longitudinal_weights(
    person: ArrayLike,
    period: ArrayLike,
    treated: ArrayLike,
    history: ArrayLike,
    *,
    numerator: ArrayLike | None = None,
    can_change: ArrayLike | None = None,
    censored: ArrayLike | None = None,
    censoring_history: ArrayLike | None = None,
    censoring_numerator: ArrayLike | None = None,
    truncate: tuple[float, float] | None = None,
) -> LongWeights:
    """Weight persons in periods by the inverse chance of their treatment and of not having been lost so far.

    Parameters
    ----------
    person, period : (n,) ids and times that can be sorted, one row for each; treated : (n,) 0/1 in the period.
    history : (n, k) all that decides treatment in the period: time, earlier treatment, baseline and the covariates
        that change; an intercept is added.
    numerator : (n, q) part of it that the structural model holds too: time, earlier treatment, baseline, but no
        covariate that changes. An (n, 0) array takes the plain share. None: weights are not stabilised.
    can_change : (n,) rows in which treatment could still be one or the other (all by default); others have chance 1,
        as after a start that is never undone.
    censored : (n,) 0/1, lost at the end of the period, before its outcome was seen; that row gets weight 0.
    censoring_history, censoring_numerator : (n, k), (n, q) as for treatment; by default the same.
    truncate : two quantiles such as (0.01, 0.99) of the weights above 0, beyond which they are pulled in.

    Raises
    ------
    DefinitionError : quantiles out of order. DataError : shapes, missing values, two rows of a person in a period,
    rows after a person was lost.

    Notes
    -----
    w_t = product over s <= t of P(A_s | numerator) / P(A_s | history), times the same for not being lost, by pooled
    logistic regressions. The mean of stabilised weights should be about 1 in every period. Assumes no unmeasured
    confounding of treatment or loss in any period given the history, overlap, right models. Source: Robins, Hernan and
    Brumback 2000; Hernan, Brumback and Robins 2000; Cole and Hernan 2008.
    """
    arm = as_treated(treated)
    n = len(arm)
    code, when, order = _long(person, period, n)
    could = np.ones(n, bool) if can_change is None else as_treated(can_change)
    lost = np.zeros(n, bool) if censored is None else as_treated(censored)
    if could.shape != (n,) or lost.shape != (n,):
        raise DataError(f"can_change and censored must be ({n},) as treated is.")
    _nothing_after(lost, code, order)
    past = as_covariates(history, n)
    top = None if numerator is None else as_covariates(numerator, n)
    treatment, models = _factor("treatment", arm, past, top, could, code, order)
    censoring = np.ones(n)
    if lost.any():
        past = past if censoring_history is None else as_covariates(censoring_history, n)
        top = top if censoring_numerator is None else as_covariates(censoring_numerator, n)
        censoring, more = _factor("censoring", lost, past, top, np.ones(n, bool), code, order)
        models += more
    return _summarised(treatment, censoring, ~lost, code, when, models, numerator is not None, truncate)


def marginal_structural_model(
    y: ArrayLike,
    X: ArrayLike,
    weights: LongWeights,
    *,
    family: str = "gaussian",
    rows: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    nuisance: str = "estimated",
    conf_level: float = 0.95,
) -> StructuralFit:
    """Regress an outcome on treatment history in the weighted rows, with errors clustered by person.

    Parameters
    ----------
    y : (n,) outcome of the period (0/1 with "binomial" is a pooled logistic model of a hazard) or of the end.
    X : (n, k) treatment history (now, ever, how long), time and baseline of the numerators; with its own intercept.
    weights : from `longitudinal_weights`. family, offset : as in `glm`.
    rows : (n,) rows whose outcome is modelled, such as the last of each person; all by default. y may be missing in
        others, and where the weight is 0.
    nuisance : "estimated" carries the uncertainty of the models behind the weights (stacked M-estimation); "known"
        takes the weights as known, which for these weights gives errors that are too large on average.

    Raises
    ------
    DefinitionError : unknown names. DataError : shapes, missing outcomes in rows with weight; as `glm`.

    Notes
    -----
    Variance: sum over persons of (b (s + sum over models of D v))^2, with s a row's score, b the inverse information, D
    the derivative of the summed scores by a model's coefficients and v the row's influence on these; times G/(G-1)
    (n-1)/(n-k). Truncation bounds are taken as known. Source: Robins, Hernan and Brumback 2000; Lunceford and Davidian
    2004.
    """
    if nuisance not in NUISANCES:
        raise DefinitionError(unknown("treatment of nuisance models", nuisance, NUISANCES))
    if not 0 < conf_level < 1:
        raise DefinitionError(f"conf_level is {conf_level!r}; it must lie between 0 and 1, such as 0.95.")
    n = len(weights.weights)
    chosen = np.ones(n, bool) if rows is None else as_treated(rows)
    outcome, design = np.asarray(y, dtype=float), as_covariates(X, n)
    if outcome.shape != (n,) or chosen.shape != (n,):
        raise DataError(f"y and rows must be ({n},) as the weights are.")
    w = np.where(chosen, weights.weights, 0.0)
    missing = int((~np.isfinite(outcome[w > 0])).sum())
    if missing:
        raise DataError(f"{missing} rows with weight have no outcome; mark them as censored or leave them out.")
    kept = w > 0
    fit = glm(design[kept], outcome[kept], family, weights=w[kept], offset=_some(offset, kept), se="model")
    scores = np.zeros((n, design.shape[1]))
    scores[kept] = fit.scores
    pull = scores
    if nuisance == "estimated":
        for model in weights.models:
            own = np.zeros_like(model.slope)
            own[model.rows] = model.fit.scores @ np.nan_to_num(model.fit.bread)
            pull = pull + own @ (model.slope.T @ scores)
    return _fitted(fit, pull, kept, weights, nuisance, conf_level)


def _long(person: ArrayLike, period: ArrayLike, n: int) -> tuple[Ints, NDArray[np.generic], Ints]:
    """Return persons as numbers, periods, and the order of rows by person and period."""
    ids, when = np.asarray(person), np.asarray(period)
    if ids.shape != (n,) or when.shape != (n,):
        raise DataError(f"person and period must be ({n},) as treated is; they are {ids.shape} and {when.shape}.")
    code = np.unique(ids, return_inverse=True)[1].astype(np.int64)
    rank = np.unique(when, return_inverse=True)[1]
    order = np.lexsort((rank, code)).astype(np.int64)
    twice = int(((np.diff(code[order]) == 0) & (np.diff(rank[order]) == 0)).sum())
    if twice:
        raise DataError(f"{twice} rows repeat a person and a period; there must be one row for each.")
    return code, when, order


def _nothing_after(lost: NDArray[np.bool_], code: Ints, order: Ints) -> None:
    again = int((lost[order][:-1] & (np.diff(code[order]) == 0)).sum())
    if again:
        raise DataError(f"{again} persons have rows after the period in which they were lost; leave those rows out.")


def _factor(
    name: str,
    event: NDArray[np.bool_],
    past: Floats,
    top: Floats | None,
    could: NDArray[np.bool_],
    code: Ints,
    order: Ints,
) -> tuple[Floats, tuple[Nuisance, ...]]:
    """One factor of the weights and the models behind it, below and above the line."""
    total, models = np.zeros(len(event)), []
    for X, sign, part in ((past, -1.0, "denominator"), (top, 1.0, "numerator")):
        if X is None:
            continue
        design = np.column_stack([np.ones(len(event)), X])
        label = f"{name}, {part}"
        if not could.any():
            raise DataError(f"There is no row in which {name} can change.")
        fit = glm(design[could], event[could].astype(float), "binomial", se="model")
        chance = np.zeros(len(event))
        chance[could] = fit.fitted
        seen = np.where(event, chance, 1 - chance)
        with np.errstate(divide="ignore"):
            log = np.where(could, sign * np.log(seen), 0.0)
        total += _running(log[:, None], code, order)[:, 0]
        residual = np.where(could, event - chance, 0.0)
        estimated = np.isfinite(np.diag(fit.bread))
        slope = sign * _running(np.where(estimated, design, 0.0) * residual[:, None], code, order)
        models.append(Nuisance(label, fit, could, slope))
    return np.exp(total), tuple(models)


def _running(values: Floats, code: Ints, order: Ints) -> Floats:
    """(n, m) sums over a person's rows up to each."""
    inside = values[order]
    running = np.cumsum(inside, axis=0)
    begins = np.flatnonzero(np.append(True, np.diff(code[order]) > 0)) if len(order) else np.zeros(0, np.int64)
    before = np.repeat(running[begins] - inside[begins], np.diff(np.append(begins, len(order))), axis=0)
    found = np.empty_like(values)
    found[order] = running - before
    return found


def _summarised(
    treatment: Floats,
    censoring: Floats,
    still: NDArray[np.bool_],
    code: Ints,
    when: NDArray[np.generic],
    models: tuple[Nuisance, ...],
    stabilised: bool,
    truncate: tuple[float, float] | None,
) -> LongWeights:
    """Multiply both factors, truncate, and look at the weights of each period."""
    weights, bounds, moved = _truncated(np.where(still, treatment * censoring, 0.0), truncate)
    if moved.any():
        models = tuple(replace(each, slope=np.where(moved[:, None], 0.0, each.slope)) for each in models)
    periods, at = np.unique(when, return_inverse=True)
    by_period = [weights[(at == t) & (weights > 0)] for t in range(len(periods))]
    return LongWeights(
        weights=weights,
        treatment=treatment,
        censoring=censoring,
        person=code,
        periods=periods,
        mean=np.array([w.mean() if len(w) else np.nan for w in by_period]),
        largest=np.array([w.max() if len(w) else np.nan for w in by_period]),
        ess=np.array([effective_sample_size(w) for w in by_period]),
        bounds=bounds,
        n_truncated=int(moved.sum()),
        stabilised=stabilised,
        models=models,
        note=" ".join(f"{each.name}: {each.fit.note}" for each in models if each.fit.note),
    )


def _truncated(
    weights: Floats, truncate: tuple[float, float] | None
) -> tuple[Floats, tuple[float, float] | None, NDArray[np.bool_]]:
    if truncate is None:
        return weights, None, np.zeros(len(weights), bool)
    low, high = truncate
    if not 0 <= low < high <= 1:
        raise DefinitionError(f"truncate is {truncate}; it must be two quantiles such as (0.01, 0.99).")
    held = weights > 0
    lower, upper = (float(q) for q in np.quantile(weights[held], [low, high]))
    clipped = np.where(held, np.clip(weights, lower, upper), weights)
    return clipped, (lower, upper), clipped != weights


def _some(offset: ArrayLike | None, kept: NDArray[np.bool_]) -> Floats | None:
    return None if offset is None else np.asarray(offset, dtype=float)[kept]


def _fitted(
    fit: GlmFit, pull: Floats, kept: NDArray[np.bool_], weights: LongWeights, nuisance: str, level: float
) -> StructuralFit:
    """Sum pulls by person and turn them into errors, limits and P values."""
    sound = np.isfinite(np.diag(fit.bread))
    influence = pull @ np.nan_to_num(fit.bread)
    people = int(weights.person.max(initial=-1)) + 1
    sums = cluster_sums(influence, weights.person, people)
    groups = len(np.unique(weights.person[kept]))
    n, k = int(kept.sum()), int(sound.sum())
    factor = groups / (groups - 1) * (n - 1) / (n - k) if groups > 1 and n > k else np.nan
    lost = ~sound | (~np.isfinite(fit.std_error) & sound)
    cov = np.where(lost[:, None] | lost, np.nan, factor * sums.T @ sums)
    error = np.sqrt(np.diag(cov))
    half = NormalDist().inv_cdf(0.5 + level / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(fit.coef / error)
    p = np.array([2 * NormalDist().cdf(-size) if np.isfinite(size) else np.nan for size in z])
    kind = "M-estimation" if nuisance == "estimated" else "robust, weights taken as known"
    few = f"Only {groups} persons: the interval is too narrow." if groups < 20 else ""
    return StructuralFit(
        coef=fit.coef,
        std_error=error,
        conf_low=fit.coef - half,
        conf_high=fit.coef + half,
        p_value=p,
        cov=cov,
        influence=influence,
        n=n,
        n_persons=groups,
        conf_level=level,
        se_kind=f"{kind}, CR1 clustered ({groups} persons)",
        note=" ".join(filter(None, (weights.note, fit.note, few))),
    )
