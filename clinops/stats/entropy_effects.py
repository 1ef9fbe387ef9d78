"""Effects under weights that balance exactly, with the estimation of these weights in the standard error."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.entropy import BalancingScore, EntropyWeights
from clinops.stats.glm import Floats
from clinops.stats.propensity import as_covariates, as_treated
from clinops.stats.weighted_effects import ArmValues, Effect, contrast


def balanced_effect(
    y: ArrayLike,
    treated: ArrayLike,
    X: ArrayLike,
    balanced: EntropyWeights | BalancingScore,
    *,
    prior: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """Estimate an effect from weights of `entropy_balance` or `balancing_score`, which were estimated too.

    Parameters
    ----------
    y : (n,) outcome, none missing. treated, X, prior : as the weights were made of. balanced : what was made.
    cluster, scale, conf_level : as in `weighted_effect`.

    Returns
    -------
    Effect; NaN and a note where the weights do not exist.

    Raises
    ------
    DataError : shapes, missing values, covariates whose means these weights do not balance. DefinitionError : scale.

    Notes
    -----
    In an arm that was weighted the estimating equations of the weights give each row w (y - m - b'(x - t)) / sum w, b
    the slope of y on x in the arm under these weights, and each row of the target c b'(x - t) / sum c, t its means and
    c case weights (Zhao and Percival 2017). So what the covariates explain of the outcome does not count as chance
    within the arm: weights taken as known give errors that are too large where they explain much.
    """
    outcome = np.asarray(y, dtype=float)
    if outcome.ndim != 1:
        raise DataError(f"y has shape {outcome.shape}; give one outcome, or use balanced_values for several.")
    arms = balanced_values(outcome[:, None], treated, X, balanced, prior=prior)
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def balanced_values(
    Y: ArrayLike,
    treated: ArrayLike,
    X: ArrayLike,
    balanced: EntropyWeights | BalancingScore,
    *,
    prior: ArrayLike | None = None,
) -> ArmValues:
    """Weighted mean of each of q outcomes in each arm with influence functions (see `balanced_effect`)."""
    arm = as_treated(treated)
    matrix, n = as_covariates(X, len(arm)), len(arm)
    outcome = np.asarray(Y, dtype=float)
    if outcome.ndim != 2 or len(outcome) != n or not np.isfinite(outcome).all():
        raise DataError(f"outcomes have shape {outcome.shape}; they must be ({n}, outcomes), none missing or infinite.")
    w, case = balanced.weights, np.ones(n) if prior is None else np.asarray(prior, dtype=float)
    if w.shape != (n,) or case.shape != (n,):
        raise DataError(f"there are {len(w)} weights for {n} rows.")
    estimand = balanced.estimand if isinstance(balanced, EntropyWeights) else "att"
    whose = {"att": arm, "atc": ~arm, "ate": np.ones(n, bool)}[estimand]
    values, influences, varying = [], [], []
    for rows in (arm, ~arm):
        weighted = not (whose.any() and (rows == whose).all())
        mass = np.where(rows, w if weighted else case, 0.0)
        found = _reweighted(outcome, matrix, mass, np.where(whose, case, 0.0)) if weighted else _plain(outcome, mass)
        values.append(found[0])
        influences.append(found[1])
        varying.append(
            np.ptp(outcome[rows & (mass > 0)], axis=0) > 0 if (rows & (mass > 0)).any() else np.zeros(0, bool)
        )
    return ArmValues(
        value=np.array(values),
        influence=np.array(influences),
        counted=np.nan_to_num(w) > 0,
        treated=arm,
        varies=np.array(varying),
        estimand=estimand,
        se_kind="M-estimation",
        note=balanced.note,
    )


def _plain(outcome: Floats, mass: Floats) -> tuple[Floats, Floats]:
    value = mass @ outcome / mass.sum()
    return value, mass[:, None] * (outcome - value) / mass.sum()


def _reweighted(outcome: Floats, X: Floats, mass: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Mean of an arm and each row's influence on it, through the outcome and through the weights."""
    q = outcome.shape[1]
    if not np.isfinite(mass).all():
        return np.full(q, np.nan), np.full((len(mass), q), np.nan)
    value, own = _plain(outcome, mass)
    centre = target @ X / target.sum()
    spread = np.sqrt(target @ (X - centre) ** 2 / target.sum() + mass @ (X - centre) ** 2 / mass.sum())
    away = (X - centre) / np.where(spread > 0, spread, 1.0)
    gap = float(np.abs(mass @ away / mass.sum()).max(initial=0.0))
    if gap > 1e-6:
        raise DataError(
            f"These weights leave a difference of {gap:.2g} SDs in the means of X; give the covariates, case weights"
            " and arms that they were made of."
        )
    slope = _slope(away, outcome - value, mass)
    explained = away @ slope
    return value, own - mass[:, None] * explained / mass.sum() + target[:, None] * explained / target.sum()


def _slope(X: Floats, residual: Floats, mass: Floats) -> Floats:
    """(k, q) least-squares slopes under weights, of the shortest length where columns are collinear."""
    root = np.sqrt(mass)[:, None]
    return np.asarray(np.linalg.lstsq(X * root, residual * root, rcond=1e-10)[0])
