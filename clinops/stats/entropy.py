"""Weights that make covariate means equal exactly: entropy balancing and the covariate balancing score (ATT).

Both tilt each arm's rows by exp(x' b) until their means meet a target. The tilt is the optimum of a convex dual with
as many unknowns as covariates, found by Newton steps; when no weights can meet the target, the dual falls without
end and the steps meet a direction that proves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, expit
from clinops.stats.propensity import as_covariates, as_treated
from clinops.stats.weighting import effective_sample_size

ENTROPY_ESTIMANDS = ("att", "atc", "ate")
_ROUNDS, _HALVINGS = 200, 50
_MET, _DONE = 1e-8, 1e-13  # a mean this near its target is met; further steps gain nothing
_APART = 1e-9  # a hull this near the target touches it
_LONGEST = 20.0  # of one Newton step, where the dual is nearly flat
_NEGLIGIBLE = 1e-8  # of the average weight


@dataclass(frozen=True)
class EntropyWeights:
    """Weights under which the covariate means of both arms are equal; n rows, k covariates.

    Attributes
    ----------
    weights : (n,), case weights included; in each arm that was weighted they average as the case weights do.
        An arm that is the target keeps its case weights. NaN in an arm that cannot meet the target.
    tilt : (2, k), treated then comparators: log weight per unit of each covariate; 0 in an arm that is the target,
        NaN in one that cannot meet it. One of many equal answers when columns are collinear.
    target : (k,) the means to be met. gap : largest distance from it that is left, in SDs over all rows.
    met : whether every mean is within 1e-8 SDs of its target.
    estimand : "att", "atc" or "ate". ess_treated, ess_comparator : effective sample sizes.
    note : "" or what a reader must know.
    """

    weights: Floats
    tilt: Floats
    target: Floats
    gap: float
    met: bool
    estimand: str
    ess_treated: float
    ess_comparator: float
    note: str


@dataclass(frozen=True)
class BalancingScore:
    """A propensity score that balances covariate means in the treated; n rows, k covariates.

    Attributes
    ----------
    coef : (k + 1,), the intercept first; one of many equal answers when columns are collinear.
    score, logit : (n,) probability of treatment and its log odds. weights : (n,) of the ATT: case weight of a treated,
        times the odds of a comparator.
    met : whether the means are balanced; when they cannot be, coef, score, logit and comparators' weights are NaN.
    ess_treated, ess_comparator : effective sample sizes. note : "" or what a reader must know.
    """

    coef: Floats
    score: Floats
    logit: Floats
    weights: Floats
    met: bool
    ess_treated: float
    ess_comparator: float
    note: str


@dataclass(frozen=True)
class _Tilted:
    share: Floats
    tilt: Floats
    gap: float
    met: bool


def entropy_balance(
    X: ArrayLike, treated: ArrayLike, *, estimand: str = "att", prior: ArrayLike | None = None
) -> EntropyWeights:
    """Find the weights nearest to the case weights under which the means of k covariates meet their target.

    Parameters
    ----------
    X : (n, k) covariates (add squares and products to balance more than means). treated : (n,) 0/1.
    estimand : whose means are the target: "att" the treated, "atc" the comparators, "ate" everybody.
    prior : (n,) case weights >= 0.

    Raises
    ------
    DefinitionError : unknown estimand. DataError : shapes, missing covariates, an empty arm.

    Notes
    -----
    Minimises sum w log(w / prior) subject to sum w x / sum w = target. The answer exists when the target lies in the
    convex hull of the arm's rows; if it does not, `met` is False, the weights are NaN and `note` names covariates
    beyond the arm's range. On the edge of the hull some weights tend to 0, which is said. Source: Hainmueller 2012;
    Zhao and Percival 2017. Equal to WeightIt 1.1.0 within 1e-6 (where it stops), to ebal 0.1.8 within 1e-10.
    """
    key = estimand.lower()
    if key not in ENTROPY_ESTIMANDS:
        raise DefinitionError(unknown("estimand of entropy balancing", estimand, ENTROPY_ESTIMANDS))
    matrix, arm, case = _checked(X, treated, prior)
    whose = {"att": arm, "atc": ~arm, "ate": np.ones(len(arm), bool)}[key]
    target = np.average(matrix[whose], axis=0, weights=case[whose])
    scale = _spread(matrix, case)
    weights, tilt, gaps, met, notes = case.copy(), np.zeros((2, matrix.shape[1])), [0.0], True, []
    for place, (name, rows) in enumerate((("treated", arm), ("comparators", ~arm))):
        if key != "ate" and rows[whose].all():
            continue
        found = _tilted(matrix[rows], target, scale, case[rows])
        weights[rows], tilt[place] = found.share * case[rows].sum(), found.tilt
        notes.append(_note(name, found, matrix[rows], target, case[rows], scale))
        gaps.append(found.gap)
        met = met and found.met
    one, zero = (np.nan if np.isnan(w).any() else effective_sample_size(w) for w in (weights[arm], weights[~arm]))
    return EntropyWeights(weights, tilt, target, max(gaps), met, key, one, zero, " ".join(filter(None, notes)))


def balancing_score(X: ArrayLike, treated: ArrayLike, *, prior: ArrayLike | None = None) -> BalancingScore:
    """Fit the logistic score whose weights make the comparators' covariate means those of the treated (ATT).

    Parameters
    ----------
    X : (n, k) covariates without an intercept, which is added here. treated : (n,) 0/1.
    prior : (n,) case weights >= 0.

    Raises
    ------
    DataError : shapes, missing covariates, an empty arm.

    Notes
    -----
    The just-identified covariate balancing propensity score: sum over treated of (1, x) = sum over comparators of
    p/(1-p) (1, x). With a logit link those are the equations of entropy balancing and a total (Zhao and Percival
    2017), so comparators' odds are its weights scaled to the number of treated, and both give one effect.
    Source: Imai and Ratkovic 2014. Equal to WeightIt 1.1.0, method = "cbps", within 1e-6.
    """
    matrix, arm, case = _checked(X, treated, prior)
    made = entropy_balance(matrix, arm, prior=case)
    slope = made.tilt[1]
    linear = matrix @ slope
    top = float(linear[~arm].max())  # so that nothing overflows
    total = float(case[~arm] @ np.exp(linear[~arm] - top))
    intercept = float(np.log(case[arm].sum()) - np.log(total)) - top if made.met else np.nan
    weights = made.weights.copy()
    weights[~arm] *= case[arm].sum() / case[~arm].sum()
    logit = intercept + linear
    return BalancingScore(
        coef=np.concatenate([[intercept], slope]),
        score=expit(logit),
        logit=logit,
        weights=weights,
        met=made.met,
        ess_treated=made.ess_treated,
        ess_comparator=made.ess_comparator,
        note=made.note,
    )


def _checked(X: ArrayLike, treated: ArrayLike, prior: ArrayLike | None) -> tuple[Floats, NDArray[np.bool_], Floats]:
    arm = as_treated(treated)
    matrix = as_covariates(X, len(arm))
    case = np.ones(len(arm)) if prior is None else np.asarray(prior, dtype=float)
    if case.shape != arm.shape or not np.isfinite(case).all() or (case < 0).any():
        raise DataError(f"prior must be {len(arm)} finite numbers, none negative; got shape {case.shape}.")
    one, zero = int((arm & (case > 0)).sum()), int((~arm & (case > 0)).sum())
    if not one or not zero:
        raise DataError(f"Balancing needs people in both arms; there are {one} treated and {zero} comparators.")
    return matrix, arm, case


def _spread(matrix: Floats, case: Floats) -> Floats:
    """SD of each column over all rows with weight; infinite for a constant, which is at its target but for rounding."""
    centre = np.average(matrix, axis=0, weights=case)
    sd = np.sqrt(np.average((matrix - centre) ** 2, axis=0, weights=case))
    return np.where(sd > 1e-12 * np.maximum(np.abs(centre), 1e-300), sd, np.inf)


def _tilted(matrix: Floats, target: Floats, scale: Floats, case: Floats) -> _Tilted:
    """Weights of one arm, summing to 1, and the tilt that makes them."""
    distance = (matrix - target) / scale
    kept = case > 0
    left, size, right = np.linalg.svd(distance[kept], full_matrices=False)
    held = size > 1e-10 * size.max(initial=0.0)
    root = np.sqrt(kept.sum())
    multiplier, met = _dual(left[:, held] * root, case[kept] / case[kept].sum())
    slope = (right[held].T / size[held]) @ multiplier * root
    share = np.zeros(len(matrix))
    share[kept] = _shares(left[:, held] @ multiplier * root, case[kept])
    gap = float(np.abs(share @ distance).max(initial=0.0))
    if not met or gap > _MET:
        return _Tilted(np.full(len(matrix), np.nan), np.full(len(scale), np.nan), gap, False)
    return _Tilted(share, slope / scale, gap, True)


def _dual(rows: Floats, share: Floats) -> tuple[Floats, bool]:
    """Minimise log sum share exp(rows b); False when a direction shows that 0 is outside the rows' hull."""
    b = np.zeros(rows.shape[1])
    now = 0.0  # log of the sum of the shares
    for _ in range(_ROUNDS):
        push = rows @ b
        if push.max() < -_APART * np.linalg.norm(b) and len(b):
            return b, False  # all rows lie on one side of a plane through the target, and off it
        weight = _shares(push, share)
        gradient = weight @ rows
        if np.abs(gradient).max(initial=0.0) < _DONE:
            break
        step = _newton(rows, weight, gradient)
        b, now, moved = _search(rows, share, b, now, step, float(gradient @ step))
        if not moved:
            break
    return b, True


def _newton(rows: Floats, weight: Floats, gradient: Floats) -> Floats:
    """Return the Newton step, with curvature lifted off 0 and a length that stays sane."""
    centred = rows - gradient
    value, vector = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    step = -vector @ ((vector.T @ gradient) / np.maximum(value, 1e-14))
    return np.asarray(step * min(1.0, _LONGEST / max(float(np.linalg.norm(step)), 1e-300)))


def _search(
    rows: Floats, share: Floats, b: Floats, now: float, step: Floats, slope: float
) -> tuple[Floats, float, bool]:
    """Halve the step until the dual falls as it should, up to the rounding of the dual itself."""
    length = 1.0
    for _ in range(_HALVINGS):
        push = rows @ (b + length * step)
        top = float(push.max())
        then = top + float(np.log(share @ np.exp(push - top)))
        if then <= now + 1e-4 * length * slope + 4e-16 * (1 + abs(now)):
            return b + length * step, then, True
        length /= 2
    return b, now, False


def _shares(push: Floats, share: Floats) -> Floats:
    weight = share * np.exp(push - push.max())
    return np.asarray(weight / weight.sum())


def _note(name: str, found: _Tilted, matrix: Floats, target: Floats, case: Floats, scale: Floats) -> str:
    counted = matrix[case > 0]
    if found.met:
        tiny = int((found.share[case > 0] < _NEGLIGIBLE / len(counted)).sum())
        if not tiny:
            return ""
        return (
            f"{tiny} of {len(counted)} {name} have next to no weight: the target lies at the edge of what they cover."
        )
    slack = 1e-12 * np.maximum(np.abs(target), scale)
    beyond = np.flatnonzero((target < counted.min(axis=0) - slack) | (target > counted.max(axis=0) + slack)).tolist()
    why = f"covariate(s) {beyond} lie beyond their range" if beyond else "each covariate is in range, not all at once"
    return (
        f"No weights of the {len(counted)} {name} meet the target means: {why}. Narrow the"
        " eligibility, balance fewer covariates or use overlap weights."
    )
