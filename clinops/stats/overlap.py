"""Could people of each arm have been in the other: preference scores, equipoise, common support, extreme weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import Floats
from clinops.stats.propensity import as_treated, case_weights
from clinops.stats.weighting import effective_sample_size

_EQUIPOISE = (0.3, 0.7)
_HALF = 0.5  # of each arm, the rule of Walker and others


@dataclass(frozen=True)
class Equipoise:
    """How many people could have been in either arm, by their preference score.

    share, share_treated, share_comparator : 0..1 of all and of each arm (NaN where it is empty) whose preference lies
    within `bounds`, ends included. in_equipoise : whether it is at least half of each arm. preference : (n,).
    """

    share: float
    share_treated: float
    share_comparator: float
    in_equipoise: bool
    bounds: tuple[float, float]
    preference: Floats


@dataclass(frozen=True)
class Positivity:
    """Where the arms' scores overlap and how much weight rests on few people.

    Attributes
    ----------
    support : (lowest, highest) score that both arms reach; NaN where an arm is empty.
    outside_treated, outside_comparator : shares 0..1 of people with scores beyond it.
    extreme, extreme_treated, extreme_comparator : shares with a score below `edge` or above 1 - edge.
    c_statistic : chance that a treated has a higher score than a comparator, ties half; 0.5 is no difference.
    largest_weight_* : largest weight over the arm's mean. heaviest_share_* : share of an arm's weight on its heaviest
        hundredth of people (one at least). ess_* : effective sample sizes, and their share of people with weight.
    note : "" or what a reader must know.
    """

    support: tuple[float, float]
    outside_treated: float
    outside_comparator: float
    extreme: float
    extreme_treated: float
    extreme_comparator: float
    edge: float
    c_statistic: float
    largest_weight_treated: float
    largest_weight_comparator: float
    heaviest_share_treated: float
    heaviest_share_comparator: float
    ess_treated: float
    ess_comparator: float
    ess_share_treated: float
    ess_share_comparator: float
    note: str


def preference_score(score: ArrayLike, share: float) -> Floats:
    """(n,) propensity scores freed from how common treatment is, so that 0.5 is no preference for either arm.

    share : of people treated, between 0 and 1.

    Notes
    -----
    log(F/(1-F)) = log(p/(1-p)) - log(share/(1-share)). Source: Walker and others 2013.
    """
    p = np.asarray(score, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Scores must be probabilities between 0 and 1 (not logits), none missing.")
    if not 0 < share < 1:
        raise DataError(f"share is {share!r}; there must be people in both arms for a preference between them.")
    treated, other = p * (1 - share), (1 - p) * share
    return np.asarray(treated / (treated + other))


def equipoise(score: ArrayLike, treated: ArrayLike, *, bounds: tuple[float, float] = _EQUIPOISE) -> Equipoise:
    """Count people whose preference score says that they could have been in either arm.

    Parameters
    ----------
    score : (n,) propensity scores. treated : (n,) 0/1. bounds : of the preference score, 0.3 and 0.7 by Walker.

    Raises
    ------
    DataError : shapes, scores outside 0..1, an empty arm. DefinitionError : bounds out of order.

    Notes
    -----
    Source: Walker and others 2013: two treatments are in equipoise where at least half of either's users lie within.
    """
    p, arm = _scores(score, treated)
    low, high = bounds
    if not 0 <= low < high <= 1:
        raise DefinitionError(f"bounds is {bounds}; it must be two preference scores such as (0.3, 0.7).")
    preference = preference_score(p, float(arm.mean()) if len(arm) else 0.0)
    inside = (preference >= low) & (preference <= high)
    one, zero = _share(inside[arm]), _share(inside[~arm])
    return Equipoise(_share(inside), one, zero, min(one, zero) >= _HALF, (low, high), preference)


def positivity(
    score: ArrayLike, treated: ArrayLike, weights: ArrayLike | None = None, *, edge: float = 0.01
) -> Positivity:
    """Summarise where the arms do not overlap and on how few people the answer rests.

    Parameters
    ----------
    score : (n,) propensity scores. treated : (n,) 0/1. weights : (n,) >= 0 of the analysis; all 1 by default.
    edge : scores nearer than this to 0 or 1 are extreme.

    Raises
    ------
    DataError : shapes, scores outside 0..1, negative weights. DefinitionError : an edge that is not in 0..0.5.

    Notes
    -----
    Common support by the least and largest scores of the arms (Dehejia and Wahba 1999); Petersen and others 2012 on
    positivity. The range can be wide where a single person stretches it; the weights say more.
    """
    p, arm = _scores(score, treated)
    w = case_weights(weights, len(arm))
    if not 0 < edge < 0.5:
        raise DefinitionError(f"edge is {edge!r}; it must lie between 0 and 0.5, such as 0.01.")
    both = bool(arm.any() and (~arm).any())
    low, high = (max(p[arm].min(), p[~arm].min()), min(p[arm].max(), p[~arm].max())) if both else (np.nan, np.nan)
    outside = (p < low) | (p > high)
    beyond = (p < edge) | (p > 1 - edge)
    one, zero = _heaviness(w[arm]), _heaviness(w[~arm])
    notes = []
    if not both:
        notes.append(f"There is no overlap to speak of: {int(arm.sum())} treated and {int((~arm).sum())} comparators.")
    elif low > high:
        notes.append("The arms' scores do not overlap at all.")
    return Positivity(
        support=(float(low), float(high)),
        outside_treated=_share(outside[arm]) if both else np.nan,
        outside_comparator=_share(outside[~arm]) if both else np.nan,
        extreme=_share(beyond),
        extreme_treated=_share(beyond[arm]),
        extreme_comparator=_share(beyond[~arm]),
        edge=edge,
        c_statistic=_c_statistic(p, arm) if both else np.nan,
        largest_weight_treated=one[0],
        largest_weight_comparator=zero[0],
        heaviest_share_treated=one[1],
        heaviest_share_comparator=zero[1],
        ess_treated=one[2],
        ess_comparator=zero[2],
        ess_share_treated=one[3],
        ess_share_comparator=zero[3],
        note=" ".join(notes),
    )


def _scores(score: ArrayLike, treated: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    p, arm = np.asarray(score, dtype=float), as_treated(treated)
    if p.shape != arm.shape:
        raise DataError(f"score has shape {p.shape} and treated {arm.shape}; they must be equal.")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Scores must be probabilities between 0 and 1 (not logits), none missing.")
    return p, arm


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _heaviness(w: Floats) -> tuple[float, float, float, float]:
    """Largest weight over the mean, share on the heaviest hundredth, effective size and its share of people."""
    held = np.sort(w[w > 0])[::-1]
    if not len(held):
        return np.nan, np.nan, 0.0, np.nan
    top = max(1, int(np.ceil(len(held) / 100)))
    ess = effective_sample_size(held)
    return float(held[0] / held.mean()), float(held[:top].sum() / held.sum()), ess, ess / len(held)


def _c_statistic(p: Floats, arm: NDArray[np.bool_]) -> float:
    """Mann-Whitney's statistic from mean ranks."""
    _, code, count = np.unique(p, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    one, zero = int(arm.sum()), int((~arm).sum())
    return float((rank[code][arm].sum() - one * (one + 1) / 2) / (one * zero))
