"""Propensity scores by gradient boosting: curves and products found by the trees, scores of people not learned from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError
from clinops.stats.cross_fitting import fold_ids, out_of_fold
from clinops.stats.glm import Floats
from clinops.stats.learners import boosting_learner
from clinops.stats.propensity import (
    PropensityFit,
    as_covariates,
    as_treated,
    both_arms,
    case_weights,
    extremes_note,
)

_NEAREST = 1e-12  # to 0 or 1: a logit stays finite


def boosted_propensity(
    X: ArrayLike,
    treated: ArrayLike,
    *,
    seed: int,
    folds: int = 5,
    repeats: int = 1,
    cluster: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    iterations: int = 100,
    learning_rate: float = 0.05,
    leaves: int = 8,
    least_in_leaf: int = 20,
) -> PropensityFit:
    """Estimate each row's probability of treatment by boosted trees, from models that never saw the row.

    Parameters
    ----------
    X : (n, k) covariates, none missing; units and monotone changes do not matter to trees. treated : (n,) 0/1.
    seed : of dealing people out to folds. folds : 1 scores people by a model that learned from them, which makes the
        arms look further apart than they are (said in `note`).
    repeats : deals whose scores are averaged. cluster : (n,) ids that stay together in a fold. weights : (n,) >= 0.
    iterations, learning_rate, leaves, least_in_leaf : as in `boosting_learner`.

    Returns
    -------
    PropensityFit without coefficients (`coef`, `columns` empty) and without `bread`: the score is taken as known in
    standard errors, and `penalty` says how it was made.

    Raises
    ------
    DefinitionError : scikit-learn is missing (extra `boosting`), settings that cannot be followed. DataError : an
    empty arm, in a fold's complement too, missing covariates.

    Notes
    -----
    Source: Friedman 2001; McCaffrey, Ridgeway and Morral 2004; out of fold, Chernozhukov and others 2018. Look at the
    balance it leaves: boosting predicts treatment and does not aim at balance.
    """
    arm = as_treated(treated)
    matrix, n = as_covariates(X, len(arm)), len(arm)
    case = case_weights(weights, n)
    both_arms(arm, case)
    if repeats < 1 or int(repeats) != repeats:
        raise DefinitionError(f"repeats is {repeats!r}; it must be a whole number, at least 1.")
    learner = boosting_learner(
        "binomial", iterations=iterations, learning_rate=learning_rate, leaves=leaves, least_in_leaf=least_in_leaf
    )
    total = np.zeros(n)
    for deal in range(repeats):
        fold = fold_ids(arm, folds, seed + deal, cluster=cluster)
        for left_out in range(folds if folds > 1 else 0):
            both_arms(arm, np.where(fold == left_out, 0.0, case), f" outside fold {left_out}")
        total += out_of_fold(learner, matrix, arm.astype(float), case, fold)
    return _as_fit(np.clip(total / repeats, _NEAREST, 1 - _NEAREST), arm, case, folds)


def _as_fit(score: Floats, arm: NDArray[np.bool_], case: Floats, folds: int) -> PropensityFit:
    how = f"out of {folds} folds" if folds > 1 else "on the rows it learned from"
    seen = "Scores are of rows that the trees learned from: the arms look further apart than they are."
    return PropensityFit(
        coef=np.zeros(0),
        score=score,
        logit=np.log(score / (1 - score)),
        treated=arm,
        weights=case,
        design=np.zeros((len(arm), 0)),
        columns=np.zeros(0, np.int64),
        bread=None,
        penalty=f"gradient boosting, {how}",
        separated=False,
        note=" ".join(filter(None, ("" if folds > 1 else seen, extremes_note(score)))),
    )
