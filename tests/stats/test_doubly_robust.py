"""Augmented weighting and targeted maximum likelihood: against R, a truth with either model wrong, laws, edges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.cross_fitting import fold_ids, nuisances, out_of_fold
from clinops.stats.doubly_robust import DoublyRobust, combine_splits, doubly_robust, tmle
from clinops.stats.learners import boosting_learner, glm_learner, logistic_learner
from clinops.stats.propensity import propensity
from clinops.stats.standardise import arm_designs
from clinops.stats.weighted_effects import augmented_effect, weighted_effect
from tests.stats.causal_data import nhefs
from tests.support import assert_close

Estimator = Callable[..., DoublyRobust]
estimators = pytest.mark.parametrize("estimator", [doubly_robust, tmle])
estimands = pytest.mark.parametrize("estimand", ["ate", "att"])


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def simulated(n: int, seed: int, bend: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Covariates, exposure, outcome and each person's own effect; the right models have x0 and x1 squared."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    treated = rng.random(n) < expit(-0.8 + 0.6 * x[:, 0] + bend * x[:, 1] ** 2)
    own = 2 + x[:, 0]
    y = 1 + x[:, 0] + 2 * x[:, 1] ** 2 + treated * own + rng.normal(size=n)
    return x, treated, y, own


def right(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x[:, 0], x[:, 1] ** 2])


# the truth


@estimators
@estimands
def test_right_when_either_model_is(estimator: Estimator, estimand: str) -> None:
    x, treated, y, own = simulated(40_000, 11)
    truth = own.mean() if estimand == "ate" else own[treated].mean()
    for score_x, outcome_x, sound in (
        (right(x), right(x), True),
        (x, right(x), True),
        (right(x), x, True),
        (x, x, False),
    ):
        designs = arm_designs(treated, outcome_x, interact=True)
        found = estimator(y, treated, score_x, designs=designs, estimand=estimand, bounds=(0.001, 0.999)).effect
        away = abs(found.estimate - truth) / found.std_error
        assert away < 3.5 if sound else away > 10, (score_x.shape, away)


@estimators
def test_boosting_across_folds_finds_curves_by_itself(estimator: Estimator) -> None:
    x, treated, y, own = simulated(3_000, 3)
    options: dict[str, Any] = {"estimand": "ate", "folds": 2, "seed": 1}
    trees: dict[str, Any] = {"iterations": 40, "learning_rate": 0.1}
    curves, scores = boosting_learner("gaussian", **trees), boosting_learner(**trees)
    learned = estimator(y, treated, x, outcome_learner=curves, score_learner=scores, **options).effect
    lines = estimator(y, treated, x, **options).effect
    assert abs(learned.estimate - own.mean()) < 3 * learned.std_error
    assert abs(lines.estimate - own.mean()) > 8 * lines.std_error
    assert learned.se_kind == "influence function, cross-fitted in 2 folds"


@pytest.mark.slow
@estimators
@estimands
def test_cross_fitted_intervals_cover(estimator: Estimator, estimand: str) -> None:
    covered, errors, misses = 0, [], []
    for seed in range(400):
        x, treated, y, _ = simulated(1_000, 5_000 + seed, BEND)
        truth = 2.0 if estimand == "ate" else 2.0 + SHIFT
        found = estimator(y, treated, right(x), estimand=estimand, folds=2, seed=seed).effect
        covered += found.conf_low <= truth <= found.conf_high
        errors.append(found.std_error)
        misses.append(found.estimate - truth)
    assert 367 <= covered <= 393  # 95 % of 400 is 380, Monte Carlo SD 4.4
    assert np.mean(errors) == pytest.approx(np.std(misses), rel=0.12)


BEND = 0.15  # with 0.5 the odds exp(x^2 / 2) have no variance, and no interval covers


def _shift() -> float:
    """Mean of x0 among the treated of `simulated`, by quadrature."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(80)
    a, b = np.meshgrid(nodes, nodes, indexing="ij")
    chance = expit(-0.8 + 0.6 * a + BEND * b**2) * np.outer(mass, mass)
    return float((chance * a).sum() / chance.sum())


SHIFT = _shift()


# against what exists


@estimands
def test_plain_models_without_folds_are_the_augmented_effect(estimand: str) -> None:
    x, treated, y, _ = simulated(400, 1)
    case = np.random.default_rng(2).uniform(0.5, 2, 400)
    designs, fit = arm_designs(treated, x), propensity(x, treated, weights=case)
    theirs = augmented_effect(y, fit, *designs, estimand=estimand, nuisance="known")
    ours = doubly_robust(
        y, treated, x, designs=designs, estimand=estimand, weights=case, bounds=(1e-6, 1 - 1e-6)
    ).effect
    assert_close([ours.estimate, ours.std_error], [theirs.estimate, theirs.std_error], 1e-9)


@estimators
@estimands
def test_without_covariates_it_is_the_crude_difference(estimator: Estimator, estimand: str) -> None:
    _, treated, y, _ = simulated(300, 4)
    empty = np.zeros((300, 0))
    for outcome, family in ((y, "gaussian"), ((y > 3).astype(float), "binomial"), (np.abs(y).round(), "poisson")):
        crude = weighted_effect(outcome, treated)
        found = estimator(outcome, treated, empty, family=family, estimand=estimand).effect
        assert_close([found.estimate, found.std_error], [crude.estimate, crude.std_error], 1e-8)


@estimators
def test_clusters_are_one_unit(estimator: Estimator) -> None:
    x, treated, y, _ = simulated(200, 2)
    twice = np.tile(np.arange(200), 2)
    double = estimator(y[twice], treated[twice], x[twice], cluster=twice).effect
    once = estimator(y, treated, x).effect
    factor = np.sqrt(200 / 199 * 399 / 398)
    assert_close([double.estimate, double.std_error], [once.estimate, once.std_error * factor], 1e-7)
    assert "CR1 clustered (200 clusters)" in double.se_kind


def test_targeting_solves_its_equation_and_stays_in_range() -> None:
    data = nhefs()
    for outcome, family in ((data.weight_change, "gaussian"), (data.death, "binomial")):
        made = tmle(outcome, data.treated, data.X, family=family, estimand="ate")
        t, p = data.treated == 1, made.score
        for arm, tilt in ((0, t / p), (1, ~t / (1 - p))):
            assert abs((tilt * (outcome - made.mean[arm])).mean()) < 1e-8 * np.ptp(outcome)
        assert made.mean.min() >= outcome.min() and made.mean.max() <= outcome.max()
        assert np.isfinite(made.fluctuation).all()


# splitting


def test_folds_are_even_have_both_arms_and_keep_clusters() -> None:
    treated = np.arange(103) < 20
    fold = fold_ids(treated, 5, 1)
    assert max(np.bincount(fold)) - min(np.bincount(fold)) <= 1
    assert set(np.bincount(fold[treated])) == {4}
    assert (fold_ids(treated, 5, 1) == fold).all() and (fold_ids(treated, 5, 2) != fold).any()
    clinic = np.arange(103) // 7
    by_clinic = fold_ids(treated, 5, 1, cluster=clinic)
    assert all(len(set(by_clinic[clinic == one])) == 1 for one in range(15))
    assert np.bincount(by_clinic[::7]).tolist() == [3, 3, 3, 3, 3]


def test_a_prediction_never_saw_its_own_outcome() -> None:
    x, treated, y, _ = simulated(200, 6)
    fold, ones = fold_ids(treated, 4, 3), np.ones(200)
    before = out_of_fold(glm_learner(), x, y, ones, fold)
    moved = y + 100 * (np.arange(200) == 17)
    after = out_of_fold(glm_learner(), x, moved, ones, fold)
    same = fold == fold[17]
    assert_close(after[same], before[same], 1e-12)
    assert np.abs(after[~same] - before[~same]).min() > 0


def test_a_prediction_is_that_of_a_fit_on_the_other_folds() -> None:
    x, treated, y, _ = simulated(120, 6)
    fold, ones = fold_ids(treated, 3, 3), np.ones(120)
    made = nuisances(y, treated, x, None, ones, fold, glm_learner(), logistic_learner(), (0.01, 0.99))
    for one in range(3):
        train, test = fold != one, fold == one
        fit = propensity(x[train], treated[train])
        assert_close(made.score[test], expit(fit.coef[0] + x[test] @ fit.coef[1:]), 1e-8)
        rows = train & treated
        line = np.linalg.lstsq(np.column_stack([np.ones(rows.sum()), x[rows]]), y[rows], rcond=None)[0]
        assert_close(made.mean[0, test], line[0] + x[test] @ line[1:], 1e-8)


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_splits_are_combined_as_published(scale: str) -> None:
    x, treated, y, _ = simulated(300, 7)
    y = np.abs(y)
    made = doubly_robust(y, treated, x, folds=2, repeats=5, seed=10, scale=scale)
    single = [doubly_robust(y, treated, x, folds=2, seed=10 + s, scale=scale).effect for s in range(5)]
    assert [effect.estimate for effect in made.splits] == [effect.estimate for effect in single]
    points = np.array([effect.estimate for effect in single])
    points = np.log(points) if scale == "ratio" else points
    spread = np.array([effect.std_error for effect in single]) ** 2
    for how, middle in (("median", np.median), ("mean", np.mean)):
        ours = combine_splits(made.splits, how)
        centre = middle(points)
        assert_close(ours.estimate, np.exp(centre) if scale == "ratio" else centre, 1e-12)
        assert_close(ours.std_error, np.sqrt(middle(spread + (points - centre) ** 2)), 1e-12)
    assert made.effect.se_kind.endswith("median of 5 splits")


# edges


@estimators
def test_no_events_in_an_arm_and_no_variation(estimator: Estimator) -> None:
    x, treated, _, _ = simulated(200, 8)
    died = (~treated & (x[:, 0] > 0)).astype(float)
    learner = boosting_learner(iterations=5)
    found = estimator(died, treated, x, family="binomial", outcome_learner=learner).effect
    assert found.value_exposed == 0 and "No events in the exposed arm" in found.note
    flat = estimator(np.full(200, 3.0), treated, x).effect
    assert_close(flat.estimate, 0.0, atol=1e-9)
    assert np.isnan(flat.std_error) and "does not vary" in flat.note


@estimators
@estimands
@pytest.mark.parametrize("joint", [False, True])
def test_no_events_are_exactly_none_under_plain_models(estimator: Estimator, estimand: str, joint: bool) -> None:
    x, treated, _, _ = simulated(200, 8)
    died = (treated & (np.random.default_rng(1).random(200) < 0.5)).astype(float)
    designs = arm_designs(treated, x) if joint else None
    found = estimator(died, treated, x, designs=designs, family="binomial", estimand=estimand).effect
    assert found.value_comparator == 0 and "No events in the comparator arm" in found.note


def test_no_events_are_exactly_none_in_the_augmented_effect() -> None:
    x, treated, _, _ = simulated(200, 8)
    died = (treated & (np.random.default_rng(1).random(200) < 0.5)).astype(float)
    found = augmented_effect(died, propensity(x, treated), *arm_designs(treated, x), family="binomial")
    assert found.value_comparator == 0 and "No events in the comparator arm" in found.note


def test_an_outcome_model_that_separates_is_said() -> None:
    x, treated, _, _ = simulated(200, 8)
    died = (treated & (x[:, 0] > 0)).astype(float)
    found = doubly_robust(died, treated, x, designs=arm_designs(treated, x), family="binomial")
    assert "may separate events from none" in found.effect.note
    unsure = (treated & (np.random.default_rng(1).random(200) < 0.5)).astype(float)
    assert "separate" not in doubly_robust(unsure, treated, x, family="binomial").effect.note


@estimators
@estimands
def test_rows_without_weight_play_no_part(estimator: Estimator, estimand: str) -> None:
    x, treated, y, _ = simulated(200, 8)
    far = np.concatenate([y, 100 * y])
    w = np.repeat([1.0, 0.0], 200)
    limits = {"estimand": estimand, "bounds": (0.2, 0.5)}
    twice = estimator(far, np.tile(treated, 2), np.tile(x, (2, 1)), weights=w, **limits)
    once = estimator(y, treated, x, **limits)
    assert_close([twice.effect.estimate, twice.effect.std_error], [once.effect.estimate, once.effect.std_error], 1e-9)
    assert twice.n_bounded == once.n_bounded and twice.n_bounded > 0


def test_a_score_of_nothing_divides_nothing() -> None:
    """A covariate that separates the arms gives comparators a score of 0, which the ATT allows."""
    x, _, y, _ = simulated(200, 8)
    found = tmle(y, x[:, 0] > 0, x)
    assert found.score.min() == 0 and np.isfinite(found.effect.estimate)


def test_scores_at_the_edge_are_pulled_in_and_counted() -> None:
    x, treated, y, _ = simulated(300, 9)
    made = doubly_robust(y, treated, x, estimand="ate", bounds=(0.2, 0.5))
    assert made.n_bounded > 0 and f"{made.n_bounded} scores were pulled in to 0.2 and 0.5" in made.effect.note
    assert (made.score.min(), made.score.max()) == (0.2, 0.5)
    att = doubly_robust(y, treated, x, bounds=(0.2, 0.5))
    assert att.score.min() < 0.2 and att.score.max() == 0.5 and att.n_bounded < made.n_bounded
    whole = doubly_robust(
        y, treated, 4 * x, estimand="ate", score_learner=lambda X, y, w: lambda new: expit(2 * new[:, 0])
    )
    edge = min(0.05, 5 / (np.sqrt(300) * np.log(300)))
    assert_close([whole.score.min(), whole.score.max()], [edge, 1 - edge])


def test_a_rare_treatment_keeps_its_low_scores() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20_000, 1))
    treated = rng.random(20_000) < expit(-5.5 + x[:, 0])
    y = x[:, 0] + rng.normal(size=20_000)
    for estimator in (doubly_robust, tmle):
        # a wrong outcome model, so that the score alone must hold
        found = estimator(y, treated, x, outcome_learner=lambda X, y, w: lambda new: np.zeros(len(new)))
        assert found.n_bounded == 0 and np.median(found.score) < 0.005
        assert abs(found.effect.estimate) < 3.5 * found.effect.std_error


def test_errors() -> None:
    x, treated, y, _ = simulated(60, 1)
    for options, message in (
        ({"estimand": "ato"}, "doubly robust estimator"),
        ({"combine": "mode"}, "combination of splits"),
        ({"folds": 2}, "needs a seed"),
        ({"folds": 0}, "at least 1"),
        ({"repeats": 3}, "folds above 1"),
        ({"bounds": (0.9, 0.1)}, "bounds"),
        ({"family": "gausian"}, "gaussian"),
    ):
        with pytest.raises(DefinitionError, match=message):
            doubly_robust(y, treated, x, **options)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no exposed to learn"):
        doubly_robust(y, np.zeros(60), x)
    with pytest.raises(DataError, match="no exposed outside fold"):
        doubly_robust(y, np.arange(60) == 3, x, folds=2, seed=1)
    with pytest.raises(DataError, match="cannot be dealt out"):
        doubly_robust(y, treated, x, folds=5, seed=1, cluster=np.arange(60) // 20)
    with pytest.raises(DataError, match="missing"):
        doubly_robust(np.where(treated, np.nan, y), treated, x)
    with pytest.raises(DataError, match="0 and 1"):
        tmle(y, treated, x, family="binomial")
    with pytest.raises(DataError, match="designs"):
        tmle(y, treated, x, designs=(x, x[:, :1]))
    with pytest.raises(DataError, match="weights"):
        tmle(y, treated, x, weights=-np.ones(60))
    with pytest.raises(DataError, match="learner predicted"):
        tmle(y, treated, x, outcome_learner=lambda X, y, w: lambda new: np.full(len(new), np.nan))
    with pytest.raises(DefinitionError, match="binomial"):
        boosting_learner("binomal")
    with pytest.raises(DefinitionError, match="too low"):
        boosting_learner(iterations=0)


def test_without_scikit_learn_boosting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DefinitionError, match=r"clinops-kit\[boosting\]"):
        boosting_learner()
