"""Could everybody have been in either arm: preference scores (equipoise), common support, who carries the weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.glm import Floats
from clinops.stats.propensity import as_treated
from clinops.stats.weighting import effective_sample_size

EQUIPOISE = (0.3, 0.7)


@dataclass(frozen=True)
class Support:
    """How an arm's weight stands to the other arm's scores; two entries each, treated then comparators.

    Attributes
    ----------
    rows : rows with weight. effective : Kish's effective sample size.
    outside : rows with weight whose score is beyond the range of the other arm's rows with weight.
    share_outside : of the arm's weight, 0..1. largest : weight of one row as a multiple of the arm's mean.
    share_largest : of the arm's weight that one row has. NaN where an arm has no weight.
    """

    rows: tuple[int, int]
    effective: tuple[float, float]
    outside: tuple[int, int]
    share_outside: tuple[float, float]
    largest: tuple[float, float]
    share_largest: tuple[float, float]


def preference_score(score: ArrayLike, treated: ArrayLike) -> Floats:
    """Return the propensity score as it would be were both arms equally common.

    Parameters
    ----------
    score : (n,) propensity scores. treated : (n,) 0/1.

    Raises
    ------
    DataError : shapes, scores outside 0..1, an empty arm.

    Notes
    -----
    logit F = logit(score) - logit(share treated); 0 and 1 stay. Source: Walker and others 2013, who speak of empirical
    equipoise where at least half of each arm have F between 0.3 and 0.7. Checked by its closed form.
    """
    p, arm = _checked(score, treated)
    share = float(arm.mean())
    odds = share / (1 - share)
    return np.asarray(p / (p + (1 - p) * odds))


def common_support(score: ArrayLike, treated: ArrayLike, weights: ArrayLike | None = None) -> Support:
    """Say how much of each arm's weight has no like in the other arm, and how much one row carries.

    Parameters
    ----------
    score : (n,) propensity scores. treated : (n,) 0/1. weights : (n,) >= 0; 0 leaves a row out.

    Raises
    ------
    DataError : shapes, scores outside 0..1, an empty arm.

    Notes
    -----
    Common support is between the least and the greatest score of the other arm (Dehejia and Wahba 1999). Counted by
    weight, so that weights that die away where an arm has no like are not blamed for it. Checked by brute force.
    """
    p, arm = _checked(score, treated)
    w = np.ones(len(p)) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != p.shape or not np.isfinite(w).all() or (w < 0).any():
        raise DataError(f"weights must be {len(p)} finite numbers, none negative; got shape {w.shape}.")
    found = [_arm(p, w, (rows & (w > 0)), (~rows & (w > 0))) for rows in (arm, ~arm)]
    return Support(*(tuple(one[i] for one in found) for i in range(6)))  # type: ignore[arg-type]


def _arm(p: Floats, w: Floats, mine: np.ndarray, other: np.ndarray) -> tuple[int, float, int, float, float, float]:
    if not mine.any():
        return 0, 0.0, 0, np.nan, np.nan, np.nan
    own, total = w[mine], float(w[mine].sum())
    beyond = (p[mine] < p[other].min()) | (p[mine] > p[other].max()) if other.any() else np.ones(len(own), bool)
    top = float(own.max())
    return (
        len(own), effective_sample_size(own), int(beyond.sum()), float(own[beyond].sum()) / total,
        top * len(own) / total, top / total,
    )  # fmt: skip


def _checked(score: ArrayLike, treated: ArrayLike) -> tuple[Floats, np.ndarray]:
    p, arm = np.asarray(score, dtype=float), as_treated(treated)
    if p.shape != arm.shape:
        raise DataError(f"score has shape {p.shape} and treated {arm.shape}; they must be equal.")
    if not ((p >= 0) & (p <= 1)).all():
        raise DataError("Scores must be probabilities between 0 and 1 (not logits), none missing.")
    if arm.all() or not arm.any():
        raise DataError("Everybody is in one arm, so nobody could have been in either; there is nothing to compare.")
    return p, arm
