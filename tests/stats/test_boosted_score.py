"""Boosted propensity scores: curves are found, nobody is scored by a model that saw them, edges are said."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance
from clinops.stats.boosted_score import boosted_propensity
from clinops.stats.propensity import PropensityFit, propensity
from clinops.stats.weighted_effects import weighted_effect
from clinops.stats.weighting import balancing_weights
from tests.support import assert_close


def simulated(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, exposure and its true probability, which depends on a square and a product."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    chance = 1 / (1 + np.exp(1 - x[:, 0] ** 2 - 0.8 * x[:, 0] * x[:, 1]))
    return x, rng.random(n) < chance, chance


def boosted(x: np.ndarray, treated: np.ndarray, **options: object) -> PropensityFit:
    return boosted_propensity(x, treated, **{"seed": 1, "iterations": 40, "learning_rate": 0.1, **options})  # type: ignore[arg-type]


def test_finds_curves_and_products_and_balances_them() -> None:
    x, treated, chance = simulated(4_000)
    trees, lines = boosted(x, treated), propensity(x, treated)
    assert np.abs(trees.score - chance).mean() < np.abs(lines.score - chance).mean() / 3
    curves = np.column_stack([x, x[:, 0] ** 2, x[:, 0] * x[:, 1]])
    left = [
        np.abs(balance(curves, treated, balancing_weights(fit, estimand="ato").weights).smd).max()
        for fit in (trees, lines)
    ]
    assert left[0] < 0.15 and left[1] > 0.5


def test_nobody_is_scored_by_a_model_that_saw_them() -> None:
    x, _, _ = simulated(1_000)
    pure_noise = np.random.default_rng(3).random(1_000) < 0.5
    own, others = boosted(x, pure_noise, folds=1, iterations=100), boosted(x, pure_noise, iterations=100)
    gap = [fit.score[pure_noise].mean() - fit.score[~pure_noise].mean() for fit in (own, others)]
    assert gap[0] > 0.15 and abs(gap[1]) < 0.03
    assert "learned from" in own.note and own.penalty == "gradient boosting, on the rows it learned from"
    assert others.penalty == "gradient boosting, out of 5 folds"


def test_scores_of_a_fold_are_scikit_learns_fitted_on_the_others() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    from clinops.stats.cross_fitting import fold_ids

    x, treated, _ = simulated(500)
    ours, fold = boosted(x, treated, folds=2), fold_ids(treated, 2, 1)
    with threadpool_limits(1):
        theirs = HistGradientBoostingClassifier(
            max_iter=40, learning_rate=0.1, max_leaf_nodes=8, early_stopping=False, random_state=0
        ).fit(x[fold == 1], treated[fold == 1])
        expected = theirs.predict_proba(x[fold == 0])[:, 1]
    assert_close(ours.score[fold == 0], expected, 1e-9)
    assert_close(1 / (1 + np.exp(-ours.logit)), ours.score, 1e-9)


def test_the_same_seed_the_same_scores_and_repeats_are_averaged() -> None:
    x, treated, _ = simulated(400)
    one, again, other = (boosted(x, treated, folds=2, seed=seed) for seed in (5, 5, 6))
    assert (one.score == again.score).all() and (one.score != other.score).any()
    assert_close(boosted(x, treated, folds=2, seed=5, repeats=2).score, (one.score + other.score) / 2, 1e-12)


def test_rows_without_weight_teach_nothing_but_are_scored() -> None:
    x, treated, _ = simulated(400)
    case = (np.arange(400) < 300).astype(float)
    flipped = np.where(case > 0, treated, ~treated)
    one, other = boosted(x, treated, folds=1, weights=case), boosted(x, flipped, folds=1, weights=case)
    assert_close(one.score, other.score, 1e-12)
    assert np.isfinite(one.logit).all()


def test_its_estimation_is_said_to_be_missing_from_errors() -> None:
    x, treated, _ = simulated(400)
    fit = boosted(x, treated)
    effect = weighted_effect(x[:, 2], treated, balancing_weights(fit), propensity=fit)
    assert "gradient boosting" in effect.note and "not in the standard error" in effect.note
    with pytest.raises(DefinitionError, match="gradient boosting"):
        fit.influence(np.zeros(0))


def test_errors() -> None:
    x, treated, _ = simulated(60)
    with pytest.raises(DataError, match="0 treated"):
        boosted(x, np.zeros(60))
    with pytest.raises(DataError, match="outside fold"):
        boosted(x, np.arange(60) == 7, folds=2)
    with pytest.raises(DataError, match="missing"):
        boosted(np.where(x > 0, np.nan, x), treated)
    with pytest.raises(DataError, match="weights"):
        boosted(x, treated, weights=np.ones(3))
    with pytest.raises(DefinitionError, match="repeats"):
        boosted(x, treated, repeats=0)
    with pytest.raises(DefinitionError, match="learning_rate"):
        boosted(x, treated, learning_rate=0)
