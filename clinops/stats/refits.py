"""One logistic model fitted again and again with other case weights, as a bootstrap asks: many at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints, glm

_STEPS, _SMALL = 60, 1e-5
_AT_A_TIME = 1_000_000  # fitted values held at once


@dataclass(frozen=True)
class Refittable:
    """A logistic model of one outcome, with what fits it again under other weights; n rows, k columns.

    Attributes
    ----------
    design : (n, m) the columns that were estimated. columns : (m,) their index among those given.
    y : (n,) 0/1. coef : (m,) at the weights given. fitted : (n,) probabilities. note : "" or what a reader must know.
    """

    design: Floats
    columns: Ints
    y: Floats
    coef: Floats
    fitted: Floats
    note: str
    inverse: Floats

    def again(self, weights: Floats) -> Floats:
        """Fit once for each row of weights (b, n) and return the probabilities (b, n).

        Newton steps with the information of the first fit, which needs no matrix for each sample; a sample that has
        not come to rest after that gets its own information. A sample without both outcomes has the constant 0 or 1.
        """
        many = max(1, _AT_A_TIME // max(len(self.y), 1))
        parts = [self._some(weights[at : at + many]) for at in range(0, len(weights), many)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.y)))

    def _some(self, weights: Floats) -> Floats:
        total, ones = weights.sum(axis=1), weights @ self.y
        found = np.where((ones > 0)[:, None], 1.0, 0.0) * np.ones((1, len(self.y)))
        both = np.flatnonzero((ones > 0) & (ones < total))
        if not len(both):
            return found
        w, scale = weights[both], np.sqrt(np.abs(np.diag(self.inverse)))
        beta = np.tile(self.coef, (len(both), 1))
        moving = np.arange(len(both))
        for _ in range(_STEPS):
            left = beta[moving] @ self.design.T
            expit(left, out=left)
            np.subtract(self.y, left, out=left)
            left *= w if len(moving) == len(w) else w[moving]
            step = (left @ self.design) @ self.inverse
            beta[moving] += step
            moving = moving[(np.abs(step) > _SMALL * scale).any(axis=1)]
            if not len(moving):
                break
        for b in moving:
            beta[b] = _newton(self.design, self.y, w[b], self.coef)
        found[both] = expit(beta @ self.design.T)
        return found


def refittable(X: ArrayLike, y: ArrayLike, *, weights: ArrayLike | None = None) -> Refittable:
    """Fit a logistic model that will be fitted again with other weights.

    Parameters
    ----------
    X : (n, k) with a column of ones if an intercept is wanted. y : (n,) 0/1, both there. weights : (n,) >= 0.

    Raises
    ------
    DataError : as `glm`; an outcome with one value only.

    Notes
    -----
    The first fit is `glm(X, y, "binomial")`. With the fixed information J the steps beta += J^-1 score converge
    linearly, at the rate by which a sample's information differs from J; they end where a step is below 1e-5
    standard errors. Checked against `glm` with the same weights.
    """
    design, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if len(outcome) and not 0 < outcome.mean() < 1:
        raise DataError(f"y is {outcome[0]:g} in every row; a logistic model needs both 0 and 1.")
    fit = glm(design, outcome, "binomial", weights=weights, se="model")
    kept = np.setdiff1d(np.arange(design.shape[1]), fit.aliased).astype(np.int64)
    narrow = np.ascontiguousarray(design[:, kept])
    return Refittable(
        narrow, kept, outcome, fit.coef[kept], fit.fitted, fit.note, fit.bread[np.ix_(kept, kept)]
    )  # fmt: skip


def _newton(X: Floats, y: Floats, w: Floats, start: Floats) -> Floats:
    """Newton's own steps, halved while the likelihood falls; as far as they go where no finite optimum exists."""
    beta = start.copy()

    def log_likelihood(b: Floats) -> float:
        eta = X @ b
        return float(w @ (y * eta - np.logaddexp(0.0, eta)))

    best = log_likelihood(beta)
    for _ in range(_STEPS):
        p = expit(X @ beta)
        information = (X * (w * p * (1 - p))[:, None]).T @ X
        step = np.linalg.lstsq(information, X.T @ (w * (y - p)), rcond=1e-10)[0]
        size = 1.0
        while size > 1e-8 and (now := log_likelihood(beta + size * step)) < best - 1e-12 * abs(best):
            size /= 2
        if size <= 1e-8:
            break
        gained, best, beta = now - best, now, beta + size * step
        if gained <= 1e-12 * max(1.0, abs(best)):
            break
    return beta
