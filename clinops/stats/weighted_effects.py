"""Effects of a binary exposure from weighted arms, with the variance of an estimated score carried along.

One idea serves every estimator here: each arm's value comes with an influence function (one number a
row), a contrast is a smooth function of the two values, and its variance is the sum of squares of the
combined influence over independent units (rows or clusters). Estimating the propensity score, or an outcome
model, only adds a term to the influence function: this is stacked M-estimation (Stefanski and Boos 2002).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, GlmFit, cluster_sums, glm, mean_and_slope
from clinops.stats.multiway import two_way_variance
from clinops.stats.propensity import PropensityFit, as_treated
from clinops.stats.weighting import ESTIMANDS, BalancingWeights, balancing_weights

SCALES = ("difference", "ratio", "odds ratio")
_ROUNDING = 1e-9  # of the largest outcome: as near as a fit comes to an outcome that does not vary
_ARMS = ("exposed", "comparator")
Clusters = ArrayLike | tuple[ArrayLike, ArrayLike]


@dataclass(frozen=True)
class ArmValues:
    """Values of q outcomes in both arms, with each row's influence on them.

    Attributes
    ----------
    value : (2, q), exposed then comparator; NaN where an arm is empty.
    influence : (2, n, q); value - truth is about the sum over rows.
    counted : (n,) rows that carry weight. treated : (n,). varies : (2, q) whether the outcome varies in an arm.
    estimand : "att", ... se_kind : what the influence accounts for. note : "" or what a reader must know.
    covariance : (2, 2, q) of the two values where it does not come from the influence (model-based), else None.
    """

    value: Floats
    influence: Floats
    counted: NDArray[np.bool_]
    treated: NDArray[np.bool_]
    varies: NDArray[np.bool_]
    estimand: str
    se_kind: str
    note: str
    covariance: Floats | None = None


@dataclass(frozen=True)
class Effect:
    """One effect of exposed against comparator.

    `std_error` is on the scale of `estimate` for a difference, on the log scale for a ratio and an odds
    ratio; the interval and `estimate` are always on the natural scale. p_value is two-sided, against no
    difference (1 for ratios), normal approximation. n_* are rows with weight.
    """

    value_exposed: float
    value_comparator: float
    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    conf_level: float
    p_value: float
    scale: str
    estimand: str
    se_kind: str
    n_exposed: int
    n_comparator: int
    note: str


def weighted_effect(
    y: ArrayLike,
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    propensity: PropensityFit | None = None,
    estimand: str = "att",
    cluster: ArrayLike | None = None,
    denominator: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """Estimate the effect of an exposure on one outcome from weighted arms.

    Parameters
    ----------
    y : (n,) outcome, none missing: an amount, 0/1, or a count (with `denominator`).
    treated : (n,) 0/1.
    weights : from `balancing_weights` or `match`, or (n,) numbers >= 0; None weights everyone 1 (crude).
    propensity : the fit the weights came from: its uncertainty then enters the standard error. Without it
        the weights are taken as known (conservative for ATE weights, either way for the ATT).
    estimand : label, and how the weights were made if they are plain numbers and `propensity` is given.
    cluster : (n,) ids of independent units (person, matched set, clinic).
    denominator : (n,) person-time >= 0; values are then rates, sum w y / sum w t.
    scale : "difference" (of means, risks or rates), "ratio" or "odds ratio".

    Returns
    -------
    Effect; NaN and a note where an answer does not exist (empty arm, no variation, ratio with a 0).

    Raises
    ------
    DefinitionError : unknown scale or estimand. DataError : shapes, missing outcomes, negative weights.

    Notes
    -----
    value_a = sum w y / sum w t over arm a. Variance: sum over units of the squared influence, times G/(G-1)
    (n-1)/(n-2) when clustered (CR1), times 1 otherwise. Source: Lunceford and Davidian 2004; Stefanski and
    Boos 2002. Checked against R (What If, ch. 12; MatchIt's clustered standard errors) to 1e-7 or better.
    """
    column = np.asarray(y, dtype=float)
    if column.ndim != 1:
        raise DataError(f"y has shape {column.shape}; give one outcome, or use weighted_effects for several.")
    return weighted_effects(
        column[:, None],
        treated,
        weights,
        propensity=propensity,
        estimand=estimand,
        cluster=cluster,
        denominator=denominator,
        scale=scale,
        conf_level=conf_level,
    )[0]


def weighted_effects(
    Y: ArrayLike,
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    propensity: PropensityFit | None = None,
    estimand: str = "att",
    cluster: ArrayLike | None = None,
    denominator: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> tuple[Effect, ...]:
    """As `weighted_effect`, for the q columns of Y at once; `denominator` may be (n,) or (n, q)."""
    arms = weighted_values(Y, treated, weights, propensity=propensity, estimand=estimand, denominator=denominator)
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)


def weighted_values(
    Y: ArrayLike,
    treated: ArrayLike,
    weights: BalancingWeights | ArrayLike | None = None,
    *,
    propensity: PropensityFit | None = None,
    estimand: str = "att",
    denominator: ArrayLike | None = None,
) -> ArmValues:
    """Weighted mean or rate of each outcome in each arm, with influence functions (see `weighted_effect`)."""
    arm = as_treated(treated)
    outcome = _outcomes(Y, len(arm))
    time = _person_time(denominator, outcome)
    balanced, note = as_balancing_weights(weights, arm, propensity, estimand)
    adjusts = propensity is not None and propensity.bread is not None
    values, influences, varying = [], [], []
    for rows in (arm, ~arm):
        w = np.where(rows, balanced.weights, 0.0)
        value = _ratio(w @ outcome, w @ time)
        residual = np.where((w > 0)[:, None], outcome - value * time, 0.0)
        total = np.where(w @ time > 0, w @ time, np.nan)
        influence = w[:, None] * residual / total
        if propensity is not None and adjusts:
            slope = np.where(rows, balanced.slope, 0.0)
            influence = influence + propensity.influence(propensity.design.T @ (slope[:, None] * residual) / total)
        values.append(value)
        influences.append(influence)
        varying.append(np.abs(residual).max(axis=0) > 1e-12 * np.maximum(np.abs(outcome).max(axis=0), 1e-300))
    return ArmValues(
        value=np.array(values),
        influence=np.array(influences),
        counted=balanced.weights > 0,
        treated=arm,
        varies=np.array(varying),
        estimand=balanced.estimand,
        se_kind="M-estimation" if adjusts else "robust HC0" + ("" if weights is None else ", weights taken as known"),
        note=note,
    )


def augmented_effect(
    y: ArrayLike,
    propensity: PropensityFit,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    family: str = "gaussian",
    estimand: str = "att",
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
    nuisance: str = "estimated",
) -> Effect:
    """Estimate a doubly robust (augmented inverse-probability weighted) effect on one outcome.

    It is right if either the propensity score or the outcome model is.

    Parameters
    ----------
    y : (n,) outcome. propensity : unpenalised fit; brings `treated` and case weights.
    design_exposed, design_comparator : (n, k) columns of the outcome model (intercept included) for every
        row as if exposed and as if not; the model is fitted on whichever a row really was.
    family : of the outcome model, as in `glm`. estimand : "att" or "ate".
    nuisance : "estimated" carries the uncertainty of both models (M-estimation); "known" takes them as
        known (the efficient influence function, right when both models are).

    Notes
    -----
    ATE: mean of m_a + 1(A=a)(y - m_a)/p_a. ATT: treated mean minus [sum t m_0 + sum (1-t) p/(1-p) (y - m_0)]
    over the number treated. Source: Robins, Rotnitzky and Zhao 1994; Hahn 1998. Checked on What If's data.
    """
    arms = augmented_values(
        y, propensity, design_exposed, design_comparator, family=family, estimand=estimand, nuisance=nuisance
    )
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def augmented_values(
    y: ArrayLike,
    propensity: PropensityFit,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    family: str = "gaussian",
    estimand: str = "att",
    nuisance: str = "estimated",
) -> ArmValues:
    """Doubly robust mean in each arm with influence functions, for `contrast` on any scale (see `augmented_effect`)."""
    key = estimand.lower()
    if key not in ("ate", "att"):
        raise DefinitionError(unknown("estimand of an augmented estimator", estimand, ("ate", "att")))
    if nuisance not in ("estimated", "known"):
        raise DefinitionError(unknown("treatment of nuisance models", nuisance, ("estimated", "known")))
    arm, case = propensity.treated, propensity.weights
    outcome = _outcomes(np.asarray(y, dtype=float)[:, None], len(arm))[:, 0]
    ones, zeros = np.asarray(design_exposed, dtype=float), np.asarray(design_comparator, dtype=float)
    fit = glm(np.where(arm[:, None], ones, zeros), outcome, family, weights=case, se="model")
    parts = (_augmented_ate if key == "ate" else _augmented_att)(
        outcome, propensity, _predict(fit.coef, ones, family), _predict(fit.coef, zeros, family)
    )
    value = settled(np.array([part.value for part in parts]), outcome, arm, case > 0)
    return ArmValues(
        value=value[:, None],
        influence=np.array([_whole_influence(part, fit, propensity, nuisance)[:, None] for part in parts]),
        counted=case > 0,
        treated=arm,
        varies=np.array([[bool(np.ptp(outcome[rows & (case > 0)]) > 0)] for rows in (arm, ~arm)]),
        estimand=key,
        se_kind="M-estimation" if nuisance == "estimated" else "influence function, models taken as known",
        note=" ".join(filter(None, (propensity.note, fit.note))),
    )


def settled(value: Floats, y: Floats, treated: NDArray[np.bool_], counted: NDArray[np.bool_]) -> Floats:
    """(2,) values freed of a model's rounding where an arm has one outcome only: no events are 0, not -1e-17."""
    found, size = value.copy(), float(np.abs(y[counted]).max(initial=0.0))
    for a, rows in enumerate((treated & counted, ~treated & counted)):
        seen = y[rows]
        if len(seen) and not np.ptp(seen) and abs(value[a] - seen[0]) <= _ROUNDING * size:
            found[a] = seen[0]
    return found


def contrast(
    arms: ArmValues, scale: str = "difference", *, cluster: Clusters | None = None, conf_level: float = 0.95
) -> tuple[Effect, ...]:
    """Compare the arms' values on a scale; one Effect an outcome. See `weighted_effect`.

    Clusters of two kinds that cross, as a tuple of two (n,) ids, are respected both: see `two_way_variance`.
    """
    if scale not in SCALES:
        raise DefinitionError(unknown("scale", scale, SCALES))
    if not 0 < conf_level < 1:
        raise DefinitionError(f"conf_level is {conf_level!r}; it must lie between 0 and 1, such as 0.95.")
    with np.errstate(divide="ignore", invalid="ignore"):
        point, gradient = _point(arms.value, scale)
        combined = gradient[0] * arms.influence[0] + gradient[1] * arms.influence[1]
    if arms.covariance is None:
        variance, kind, lack = _variance(combined, arms, cluster)
    elif cluster is None:
        variance, kind, lack = np.einsum("aq,abq,bq->q", gradient, arms.covariance, gradient), arms.se_kind, ""
    else:
        raise DefinitionError(f"Clusters need the influence of each row; these errors are {arms.se_kind!r}.")
    size = NormalDist().inv_cdf(0.5 + conf_level / 2)
    return tuple(
        _effect(arms, j, scale, float(point[j]), float(variance[j]), size, conf_level, kind, lack)
        for j in range(arms.value.shape[1])
    )


@dataclass(frozen=True)
class _Augmented:
    """One arm's augmented value, its own influence and its derivatives by the two nuisance models."""

    value: float
    own: Floats
    by_outcome_model: Floats
    by_score: Floats


def _whole_influence(part: _Augmented, outcome: GlmFit, score: PropensityFit, nuisance: str) -> Floats:
    """(n,) influence on one arm's value, the two models' uncertainty added unless they are taken as known."""
    if nuisance == "known":
        return part.own
    by_outcome = np.nan_to_num(outcome.bread) @ np.nan_to_num(part.by_outcome_model)
    return part.own + outcome.scores @ by_outcome + score.influence(part.by_score)


def _augmented_ate(
    y: Floats, score: PropensityFit, one: tuple[Floats, Floats], zero: tuple[Floats, Floats]
) -> list[_Augmented]:
    p, case = score.score, score.weights
    found = []
    for rows, chance, sign, (mean, slope) in ((score.treated, p, -1, one), (~score.treated, 1 - p, 1, zero)):
        inverse = np.where(rows, 1 / chance, 0.0)
        value_each = mean + inverse * (y - mean)
        total = float(case.sum())
        value = float(case @ value_each) / total
        by_model = (case * (1 - inverse)) @ slope / total
        tilt = case * inverse * (1 - chance) * (y - mean) * sign
        found.append(_Augmented(value, case * (value_each - value) / total, by_model, tilt @ score.design / total))
    return found


def _augmented_att(
    y: Floats, score: PropensityFit, one: tuple[Floats, Floats], zero: tuple[Floats, Floats]
) -> list[_Augmented]:
    p, case, t = score.score, score.weights, score.treated.astype(float)
    total, (mean, slope) = float(case @ t), zero
    value = float(case @ (t * y)) / total
    flat = np.zeros(slope.shape[1])
    exposed = _Augmented(value, case * t * (y - value) / total, flat, np.zeros(score.design.shape[1]))
    odds = np.where(score.treated, 0.0, p / (1 - p))
    carried = float(case @ (t * mean + odds * (y - mean))) / total
    own = case * (t * (mean - carried) + odds * (y - mean)) / total
    by_model = (case * (t - odds)) @ slope / total
    by_score = (case * odds * (y - mean)) @ score.design / total
    return [exposed, _Augmented(carried, own, by_model, by_score)]


def _predict(coef: Floats, design: Floats, family: str) -> tuple[Floats, Floats]:
    """Predicted mean (n,) and its derivative by the coefficients (n, k); aliased columns count as 0."""
    mean, slope = mean_and_slope(design @ np.nan_to_num(coef), family)
    return mean, design * slope[:, None]


def _outcomes(Y: ArrayLike, n: int) -> Floats:
    outcome = np.asarray(Y, dtype=float)
    if outcome.ndim != 2 or len(outcome) != n:
        raise DataError(f"outcomes have shape {outcome.shape}; they must be ({n}, outcomes) to fit `treated`.")
    missing = int((~np.isfinite(outcome)).any(axis=1).sum())
    if missing:
        raise DataError(
            f"{missing} of {n} rows have a missing or infinite outcome; set them aside (and say so), impute, or"
            " use a method for censored outcomes."
        )
    return outcome


def _person_time(denominator: ArrayLike | None, outcome: Floats) -> Floats:
    if denominator is None:
        return np.ones_like(outcome)
    time = np.asarray(denominator, dtype=float)
    time = time[:, None] if time.ndim == 1 else time
    if time.shape[0] != len(outcome) or time.shape[1] not in (1, outcome.shape[1]):
        raise DataError(f"denominator has shape {time.shape}; it must be one value a row (or a row and outcome).")
    if not np.isfinite(time).all() or (time < 0).any():
        raise DataError("person-time must be finite and not negative.")
    return np.broadcast_to(time, outcome.shape)


def as_balancing_weights(
    weights: BalancingWeights | ArrayLike | None,
    arm: NDArray[np.bool_],
    propensity: PropensityFit | None,
    estimand: str,
) -> tuple[BalancingWeights, str]:
    """Bring every form of weights to BalancingWeights; with a propensity fit the slope must be known."""
    if estimand.lower() not in (*ESTIMANDS, "matched treated"):
        raise DefinitionError(unknown("estimand", estimand, (*ESTIMANDS, "matched treated")))
    note = ""
    if propensity is not None:
        if not np.array_equal(propensity.treated, arm):
            raise DataError("The propensity score was fitted on other rows or another treatment than these.")
        if propensity.bread is None:
            how = f"The score was penalised or learned ({propensity.penalty})"
            note = f"{how}, so its estimation is not in the standard error."
        note = " ".join(filter(None, (propensity.note, note)))
    if isinstance(weights, BalancingWeights):
        if weights.weights.shape != arm.shape:
            raise DataError(f"there are {len(weights.weights)} weights for {len(arm)} rows.")
        return weights, " ".join(filter(None, (note, weights.note)))
    plain = np.ones(len(arm)) if weights is None else np.asarray(weights, dtype=float)
    if plain.shape != arm.shape or not np.isfinite(plain).all() or (plain < 0).any():
        raise DataError(f"weights must be {len(arm)} finite numbers, none negative; got shape {plain.shape}.")
    nothing = BalancingWeights(plain, np.zeros_like(plain), estimand.lower(), False, None, 0, np.nan, np.nan, "")
    if propensity is None or propensity.bread is None:
        return nothing, note
    made = balancing_weights(propensity, estimand=estimand)
    factor = np.ones(len(arm))
    for rows in (arm, ~arm):
        factor[rows] = plain[rows].sum() / made.weights[rows].sum() if rows.any() else 1.0
    if not np.allclose(made.weights * factor, plain, rtol=1e-6, atol=1e-12):
        raise DataError(
            f"These weights are not the {estimand.upper()} weights of this propensity score, so its uncertainty"
            " cannot be carried over; pass the result of balancing_weights, or leave `propensity` out."
        )
    return replace(nothing, slope=made.slope * factor), note


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), np.nan)


def _point(value: Floats, scale: str) -> tuple[Floats, Floats]:
    """Point on the working scale (log for ratios) and its gradient by the two values, (q,) and (2, q)."""
    one, zero = value
    if scale == "difference":
        return one - zero, np.array([np.ones_like(one), -np.ones_like(zero)])
    if scale == "ratio":
        sound = (one > 0) & (zero > 0)
        point, gradient = np.log(one / zero), np.array([1 / one, -1 / zero])
    else:
        sound = (one > 0) & (zero > 0) & (one < 1) & (zero < 1)
        point = np.log(one / (1 - one)) - np.log(zero / (1 - zero))
        gradient = np.array([1 / (one * (1 - one)), -1 / (zero * (1 - zero))])
    return np.where(sound, point, np.nan), np.where(sound, gradient, np.nan)


def _variance(combined: Floats, arms: ArmValues, cluster: Clusters | None) -> tuple[Floats, str, str]:
    """Variance of each contrast, the name of its kind, and what it lacks ("" if nothing)."""
    if cluster is None:
        return (combined**2).sum(axis=0), arms.se_kind, ""
    kinds = [np.asarray(ids) for ids in (cluster if _crossed(cluster) else (cluster,))]
    for ids in kinds:
        if ids.shape != arms.treated.shape:
            raise DataError(f"cluster has shape {ids.shape}; it must be one id a row, ({len(arms.treated)},).")
    n, groups = int(arms.counted.sum()), [len(np.unique(ids[arms.counted])) for ids in kinds]
    what = f"CR1 {'two-way ' * (len(kinds) > 1)}clustered ({' and '.join(map(str, groups))} clusters)"
    kind = f"{arms.se_kind.replace('robust HC0', '').strip(', ')}, {what}".strip(", ")
    fewest = min(groups)
    if fewest < 2 or n < 3:
        return np.full(combined.shape[1], np.nan), kind, f"{fewest} cluster(s) give no standard error."
    few = f"Only {fewest} clusters: the interval is too narrow." if fewest < 20 else ""
    if len(kinds) == 1:
        return _clustered(combined, arms.counted, kinds[0]), kind, few
    variance, note = two_way_variance(lambda ids: _clustered(combined, arms.counted, ids), *kinds)
    return variance, kind, " ".join(filter(None, (few, note)))


def _crossed(cluster: Clusters) -> TypeGuard[tuple[ArrayLike, ArrayLike]]:
    """Whether these are two kinds of clusters, not a tuple of ids."""
    return isinstance(cluster, tuple) and len(cluster) == 2 and all(np.ndim(ids) == 1 for ids in cluster)


def _clustered(combined: Floats, counted: NDArray[np.bool_], ids: NDArray) -> Floats:
    """One-way variance (CR1) of each contrast."""
    # rows without weight still influence through the score, so they stay in the sums but not in the factor
    names, code = np.unique(ids, return_inverse=True)
    sums = cluster_sums(combined, code, len(names))
    n, groups = int(counted.sum()), int(np.count_nonzero(np.bincount(code[counted], minlength=1)))
    variance: Floats = groups / (groups - 1) * (n - 1) / (n - 2) * (sums**2).sum(axis=0)
    return variance


def _effect(
    arms: ArmValues,
    j: int,
    scale: str,
    point: float,
    variance: float,
    size: float,
    conf_level: float,
    kind: str,
    lack: str,
) -> Effect:
    counts = [int((arms.counted & rows).sum()) for rows in (arms.treated, ~arms.treated)]
    notes = [arms.note, lack, *_arm_notes(arms, j, scale, counts)]
    sound = min(counts) > 1 and bool(arms.varies[:, j].any()) and np.isfinite(point)
    error = float(np.sqrt(variance)) if sound and variance > 0 else float("nan")
    low, high = point - size * error, point + size * error
    p = 2 * NormalDist().cdf(-abs(point / error)) if np.isfinite(error) else float("nan")
    back = float if scale == "difference" else np.exp
    with np.errstate(over="ignore"):  # hardly an event: the upper limit is beyond every number
        low, high = float(back(low)), float(back(high))
    return Effect(
        value_exposed=float(arms.value[0, j]),
        value_comparator=float(arms.value[1, j]),
        estimate=float(back(point)),
        std_error=error,
        conf_low=low,
        conf_high=high,
        conf_level=conf_level,
        p_value=p,
        scale=scale,
        estimand=arms.estimand,
        se_kind=kind,
        n_exposed=counts[0],
        n_comparator=counts[1],
        note=" ".join(filter(None, notes)),
    )


def _arm_notes(arms: ArmValues, j: int, scale: str, counts: list[int]) -> list[str]:
    notes = []
    for name, count, value, varies in zip(_ARMS, counts, arms.value[:, j], arms.varies[:, j], strict=True):
        if count == 0 or not np.isfinite(value):
            notes.append(f"The {name} arm is empty (nobody with weight, or no person-time).")
        elif count == 1:
            notes.append(f"The {name} arm holds one person: no standard error.")
        elif value == 0 and not varies:
            notes.append(f"No events in the {name} arm; its 0 is taken as certain, so intervals are too narrow.")
        elif not varies:
            notes.append(f"The outcome does not vary in the {name} arm.")
    if scale != "difference" and min(counts) > 0 and np.isfinite(arms.value[:, j]).all():
        if (arms.value[:, j] <= 0).any():
            notes.append("A ratio needs a value above 0 in both arms; see the difference.")
        elif scale == "odds ratio" and (arms.value[:, j] >= 1).any():
            notes.append("An odds ratio needs a risk below 1 in both arms; see the difference.")
    return notes
