"""Ways to learn a mean from covariates, as plain functions that fit and then predict.

A learner takes (n, k) covariates, (n,) outcomes and (n,) case weights, and returns a function from (m, k) covariates to
(m,) predicted means. Anything of that form can take the place of those here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from clinops.errors import DefinitionError, unknown
from clinops.stats.glm import Floats, expit, glm, mean_and_slope
from clinops.stats.propensity import propensity

Predictor = Callable[[Floats], Floats]
Learner = Callable[[Floats, Floats, Floats], Predictor]

_ROWS_FOR_THREADS = 50_000  # below, threads wait for each other longer than they work (twelvefold on a busy machine)

BOOSTED_FAMILIES = ("binomial", "gaussian", "poisson", "gamma")


def glm_learner(family: str = "gaussian") -> Learner:
    """Learn by a generalised linear model (see `glm`), to which an intercept is added.

    Columns that earlier ones span do not count, so a design with its own intercept may be given.

    Raises
    ------
    DefinitionError : an unknown family, when it fits. DataError : as `glm`.
    """

    def fit(X: Floats, y: Floats, weights: Floats) -> Predictor:
        coef = np.nan_to_num(glm(_with_intercept(X), y, family, weights=weights, se="model").coef)
        return lambda new: mean_and_slope(_with_intercept(new) @ coef, family)[0]

    return fit


def logistic_learner(penalty: str | None = None, strength: float = 1.0) -> Learner:
    """Learn a probability by logistic regression, plain or penalised (see `propensity`)."""

    def fit(X: Floats, y: Floats, weights: Floats) -> Predictor:
        coef = np.nan_to_num(propensity(X, y, penalty=penalty, strength=strength, weights=weights).coef)
        return lambda new: expit(_with_intercept(new) @ coef)

    return fit


def boosting_learner(
    family: str = "binomial",
    *,
    iterations: int = 100,
    learning_rate: float = 0.05,
    leaves: int = 8,
    least_in_leaf: int = 20,
    seed: int = 0,
) -> Learner:
    """Learn by gradient boosting of small trees on binned covariates (scikit-learn's histogram boosting).

    Parameters
    ----------
    family : "binomial" (0/1, a probability), "gaussian", "poisson" (>= 0) or "gamma" (> 0), the last two on the log.
    iterations, learning_rate : how many trees, and how much of each is taken.
    leaves, least_in_leaf : size of a tree, and rows in a leaf at the least.
    seed : of what is drawn within the fit; nothing is with so many rows that bins are made of all (200,000).

    Raises
    ------
    DefinitionError : an unknown family, a setting below 1; scikit-learn is not installed (extra `boosting`).

    Notes
    -----
    Source: Friedman 2001; for scores McCaffrey, Ridgeway and Morral 2004. It learns curves and products by itself
    and overfits its own rows, so its predictions belong on other rows: see `folds` of `doubly_robust` and of
    `boosted_propensity`. Missing covariates are allowed by the trees; the callers here refuse them.
    """
    if family not in BOOSTED_FAMILIES:
        raise DefinitionError(unknown("family of a boosting learner", family, BOOSTED_FAMILIES))
    settings = {"iterations": iterations, "leaves": leaves - 1, "least_in_leaf": least_in_leaf}
    low = [name for name, given in settings.items() if given < 1]
    if low or not 0 < learning_rate <= 1:
        what = f"{low[0]} is too low" if low else f"learning_rate is {learning_rate!r}, not above 0 and at most 1"
        raise DefinitionError(f"{what}: boosting needs a tree at least, of two leaves, and a share of it.")
    ensemble = histogram_boosting()
    options: dict[str, Any] = {
        "max_iter": iterations, "learning_rate": learning_rate, "max_leaf_nodes": leaves,
        "min_samples_leaf": least_in_leaf, "early_stopping": False, "random_state": seed,
    }  # fmt: skip

    def fit(X: Floats, y: Floats, weights: Floats) -> Predictor:
        kept = weights > 0
        rows, seen, mass = X[kept], y[kept], weights[kept]
        if family != "binomial":
            loss = "squared_error" if family == "gaussian" else family
            model = ensemble.HistGradientBoostingRegressor(loss=loss, **options)
            with _threads(len(rows)):
                model.fit(rows, seen, sample_weight=mass)
            return lambda new: _predicted(model.predict, new)
        if len(np.unique(seen)) == 1:  # one class has no classifier, but its probability is plain
            certain = float(seen[0])
            return lambda new: np.full(len(new), certain)
        classifier = ensemble.HistGradientBoostingClassifier(**options)
        with _threads(len(rows)):
            classifier.fit(rows, seen, sample_weight=mass)
        return lambda new: _predicted(classifier.predict_proba, new)[:, 1]

    return fit


def _with_intercept(X: Floats) -> Floats:
    return np.column_stack([np.ones(len(X)), X])


def _threads(rows: int) -> AbstractContextManager[Any]:
    """Hold few rows to one thread; threadpoolctl comes with scikit-learn."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1) if rows < _ROWS_FOR_THREADS else nullcontext()


def _predicted(predict: Callable[[Floats], Any], new: Floats) -> Floats:
    with _threads(len(new)):
        return np.asarray(predict(new), dtype=float)


def histogram_boosting() -> Any:
    """Return scikit-learn's ensembles, or say how to have them."""
    try:
        from sklearn import ensemble
    except ImportError as missing:
        raise DefinitionError(
            "Gradient boosting needs scikit-learn, which is not installed: install `clinops-kit[boosting]`, or use"
            " a plain or penalised model."
        ) from missing
    return ensemble
