"""Weights that balance covariate means exactly, with what M-estimation needs to account for their estimation.

Entropy balancing and the covariate balancing score solve equations of their own instead of those of logistic
regression: the weighted sum of (1, x) over an arm equals that over the target. Written as a fit with an influence,
they carry their uncertainty into every estimator that takes a propensity score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError, unknown
from clinops.stats.entropy import BalancingScore, balancing_score, entropy_balance
from clinops.stats.glm import Floats
from clinops.stats.propensity import PropensityFit
from clinops.stats.weighting import BalancingWeights

KINDS = ("entropy", "cbps")
_FLAT = 1e-10  # of the largest curvature: a direction in which no weight moves


@dataclass(frozen=True)
class CalibrationFit(PropensityFit):
    """The coefficients of balancing weights; n rows, m of them.

    Attributes
    ----------
    equations : (n, m) each row's term of the balancing equations; they sum to zero.
    design : (n, m) derivative of a row's log weight by the coefficients. bread : (m, m) inverse of their derivative.
    score, logit : (n,) of the covariate balancing score; of entropy balancing NaN, which has none.
    The other attributes as in `PropensityFit`.
    """

    equations: Floats

    @property
    def contributions(self) -> Floats:
        """(n, m) each row's term of the balancing equations."""
        return self.equations

    def influence(self, gradient: Floats) -> Floats:
        """Carry the uncertainty of the coefficients over to a quantity that depends on them (see `PropensityFit`)."""
        assert self.bread is not None
        return np.asarray(self.equations @ (self.bread @ gradient))


@dataclass(frozen=True)
class Calibrated:
    """Balancing weights and their fit; both None where no weights meet the target, and `note` says why.

    beyond : columns of the covariates whose target lies outside the range of an arm that had to meet it.
    """

    weights: BalancingWeights | None
    fit: CalibrationFit | None
    beyond: tuple[int, ...]
    note: str


def calibrate(
    X: ArrayLike, treated: ArrayLike, *, kind: str = "entropy", estimand: str = "att", prior: ArrayLike | None = None
) -> Calibrated:
    """Weight people so that covariate means are equal in both arms, and know how sure those weights are.

    Parameters
    ----------
    X : (n, k) covariates without an intercept. treated : (n,) 0/1. prior : (n,) case weights >= 0.
    kind : "entropy" (see `entropy_balance`) or "cbps" (see `balancing_score`; only the ATT).
    estimand : whose means are met: "att", "atc", "ate".

    Returns
    -------
    Calibrated: the weights with their slopes (the weight itself, where an arm was weighted), and the fit whose
    influence enters the standard error of `weighted_effect`. ATT and ATC weights sum to the target's weight, ATE
    weights to each arm's.

    Raises
    ------
    DefinitionError : unknown kind or estimand. DataError : shapes, missing covariates, an empty arm.

    Notes
    -----
    With z = (1, x), a weighted arm A and its target G: sum over A of w z = s sum over G of c z, w = c exp(z' b), s the
    ratio of the totals. Row terms are s c z in G minus w z in A, their derivative by b is the sum over A of w z z'.
    That the target is a mean of a sample is in them. Source: Zhao and Percival 2017; Stefanski and Boos 2002. Checked
    against the sandwich of all equations by differences, 1e-6.
    """
    if kind not in KINDS:
        raise DefinitionError(unknown("kind of balancing weights", kind, KINDS))
    if kind == "cbps" and estimand.lower() != "att":
        raise DefinitionError("The covariate balancing score is made for the ATT; use kind='entropy'.")
    made = entropy_balance(X, treated, estimand=estimand, prior=prior)
    matrix, arm = np.asarray(X, dtype=float), np.asarray(treated).astype(bool)
    case = np.ones(len(arm)) if prior is None else np.asarray(prior, dtype=float)
    key = made.estimand
    weighed = {"att": (~arm,), "atc": (arm,), "ate": (arm, ~arm)}[key]
    if not made.met:
        beyond = {column for rows in weighed for column in _beyond(matrix[rows & (case > 0)], made.target)}
        return Calibrated(None, None, tuple(sorted(beyond)), made.note)
    target = {"att": arm, "atc": ~arm, "ate": np.ones(len(arm), bool)}[key]
    weights, slope = made.weights.copy(), np.zeros(len(arm))
    if key != "ate":
        weights[weighed[0]] *= case[target].sum() / case[weighed[0]].sum()
    for rows in weighed:
        slope[rows] = weights[rows]
    score = balancing_score(X, treated, prior=prior) if kind == "cbps" else None
    fit = _fit(matrix, arm, case, weights, target, weighed, score, f"{kind}, {key}")
    balanced = BalancingWeights(
        weights, slope, key, False, None, 0, made.ess_treated, made.ess_comparator, made.note
    )  # fmt: skip
    return Calibrated(balanced, fit, (), made.note)


def _beyond(rows: Floats, target: Floats) -> list[int]:
    slack = 1e-12 * np.maximum(np.abs(target), 1.0)
    outside = (target < rows.min(axis=0) - slack) | (target > rows.max(axis=0) + slack)
    return [int(column) for column in np.flatnonzero(outside)]


def _fit(
    matrix: Floats, arm: NDArray[np.bool_], case: Floats, weights: Floats, target: NDArray[np.bool_],
    weighed: tuple[NDArray[np.bool_], ...], score: BalancingScore | None, penalty: str,
) -> CalibrationFit:  # fmt: skip
    """Stack the equations of every weighted arm, in columns of one scale so that their inverse is a sound one."""
    centre = matrix.mean(axis=0)
    spread = np.sqrt(((matrix - centre) ** 2).mean(axis=0))
    flat = spread <= 1e-12 * np.maximum(np.abs(centre), 1e-300)
    z = np.column_stack([np.ones(len(arm)), np.where(flat, 0.0, (matrix - centre) / np.where(flat, 1.0, spread))])
    designs, equations, inverses = [], [], []
    for rows in weighed:
        mine = np.where(rows, weights, 0.0)
        total = float(mine.sum()) / float(case[target].sum())
        designs.append(np.where(rows[:, None], z, 0.0))
        equations.append((total * case * target - mine)[:, None] * z)
        inverses.append(np.linalg.pinv((z * mine[:, None]).T @ z, rcond=_FLAT, hermitian=True))
    m = z.shape[1]
    bread = np.zeros((m * len(inverses),) * 2)
    for i, inverse in enumerate(inverses):
        bread[i * m : (i + 1) * m, i * m : (i + 1) * m] = inverse
    nothing = np.full(len(arm), np.nan)
    return CalibrationFit(
        coef=np.full(len(bread), np.nan) if score is None else score.coef,
        score=nothing if score is None else score.score,
        logit=nothing if score is None else score.logit,
        treated=arm, weights=case, design=np.hstack(designs), columns=np.arange(len(bread), dtype=np.int64),
        bread=bread, penalty=penalty, separated=False, note="", equations=np.hstack(equations),
    )  # fmt: skip
