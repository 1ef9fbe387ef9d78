"""Propensity scores: against R, scikit-learn, and where the arms do not overlap."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.propensity import propensity
from tests.stats.causal_data import lalonde, nhefs
from tests.support import assert_close, oracle


def simulated(n: int = 500, k: int = 4, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, k)) * np.array([1, 10, 0.1, 1])[:k] + 3
    logit = (X - 3) @ np.array([0.5, 0.05, 3, 0])[:k] - 0.5
    return X, rng.random(n) < 1 / (1 + np.exp(-logit))


def test_equals_r_on_lalonde_and_nhefs() -> None:
    data, expected = lalonde(), oracle("causal/matching_lalonde")["expected"]["ps"]
    without_black = np.delete(data.X, 2, axis=1)  # R drops the first level of race
    fit = propensity(without_black, data.treated)
    assert_close(fit.score, expected["ps"], 1e-8)
    order = ["age", "educ", "racehispan", "racewhite", "married", "nodegree", "re74", "re75"]
    assert expected["term"][1:] == order
    assert_close(fit.coef, expected["coef"], 1e-8)
    smokers, book = nhefs(), oracle("causal/nhefs")["expected"]["ps"]
    fit = propensity(smokers.X, smokers.treated)
    assert_close(fit.coef, book["coef"], 1e-7)
    assert_close([fit.score.min(), fit.score.max()], [book["min"], book["max"]], 1e-7)


def test_a_redundant_level_is_left_out_and_changes_no_score() -> None:
    data = lalonde()
    full, reduced = propensity(data.X, data.treated), propensity(np.delete(data.X, 4, axis=1), data.treated)
    assert np.isnan(full.coef[5]) and "Covariate(s) [4]" in full.note
    assert_close(full.score, reduced.score, 1e-9)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize("strength", [1.0, 25.0])
def test_penalised_equals_scikit_learn(penalty: str, strength: float) -> None:
    from sklearn.linear_model import LogisticRegression

    X, treated = simulated()
    ours = propensity(X, treated, penalty=penalty, strength=strength)
    standard = (X - X.mean(axis=0)) / X.std(axis=0)
    settings = {"l1": {"l1_ratio": 1.0, "solver": "saga"}, "l2": {"l1_ratio": 0.0, "solver": "lbfgs"}}[penalty]
    theirs = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=50_000, **settings).fit(standard, treated)
    assert_close(ours.logit, theirs.decision_function(standard), 1e-5, atol=1e-6)
    assert ours.penalty == f"{penalty} (strength {strength:g})"
    design = np.column_stack([np.ones(len(X)), X])
    assert_close(design @ ours.coef, ours.logit, 1e-9)


def test_a_strong_lasso_leaves_the_share_treated() -> None:
    X, treated = simulated()
    fit = propensity(X, treated, penalty="l1", strength=1e6)
    assert (fit.coef[1:] == 0).all()
    assert_close(fit.score, np.full(len(X), treated.mean()), 1e-9)


def test_penalties_shift_and_scale_with_the_columns() -> None:
    X, treated = simulated()
    for penalty in ("l1", "l2"):
        one = propensity(X, treated, penalty=penalty)
        other = propensity(X * 1000 - 7, treated, penalty=penalty)
        assert_close(one.score, other.score, 1e-7)


def test_score_equations_hold_and_influence_is_that_of_the_coefficients() -> None:
    X, treated = simulated()
    fit = propensity(X, treated)
    assert np.abs(fit.contributions.sum(axis=0)).max() < 1e-6
    one_coefficient = fit.influence(np.array([0.0, 1.0, 0.0, 0.0, 0.0]))
    assert_close(one_coefficient, fit.contributions @ fit.bread[1], 1e-12)


def test_case_weights_equal_repeated_rows() -> None:
    X, treated = simulated(120)
    times = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = propensity(X, treated, weights=times)
    repeated = propensity(np.repeat(X, times, 0), np.repeat(treated, times))
    assert_close(weighted.coef, repeated.coef, 1e-8)
    for penalty in ("l1", "l2"):
        weighted = propensity(X, treated, weights=times, penalty=penalty)
        repeated = propensity(np.repeat(X, times, 0), np.repeat(treated, times), penalty=penalty)
        assert_close(weighted.coef, repeated.coef, 1e-7)


def test_perfect_separation_is_said_and_a_penalty_copes() -> None:
    X, treated = simulated()
    giveaway = np.column_stack([X, treated.astype(float)])
    fit = propensity(giveaway, treated)
    assert fit.separated and "Perfect separation" in fit.note and "[4]" in fit.note
    for penalty in ("l1", "l2"):
        assert np.isfinite(propensity(giveaway, treated, penalty=penalty).coef).all()


def test_near_perfect_separation_is_said() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-4, 1, 200), rng.normal(4, 1, 200), [0.5, -0.5]])
    fit = propensity(x[:, None], np.repeat([0, 1, 0, 1], [200, 200, 1, 1]))
    assert not fit.separated and "Near-perfect separation" in fit.note


def test_constant_covariates_are_left_out() -> None:
    X, treated = simulated()
    constant = np.column_stack([X, np.full(len(X), 2.0)])
    for penalty in (None, "l1", "l2"):
        fit = propensity(constant, treated, penalty=penalty)
        assert np.isnan(fit.coef[5]) and "[4]" in fit.note
        assert_close(fit.score, propensity(X, treated, penalty=penalty).score, 1e-8)


def test_errors() -> None:
    X, treated = simulated(20)
    with pytest.raises(DataError, match="0 treated"):
        propensity(X, np.zeros(20))
    with pytest.raises(DataError, match="other than 0 and 1"):
        propensity(X, np.arange(20))
    with pytest.raises(DataError, match="shape"):
        propensity(X[:5], treated)
    with pytest.raises(DefinitionError, match="There is no penalty 'lasso'"):
        propensity(X, treated, penalty="lasso")
    with pytest.raises(DefinitionError, match="strength"):
        propensity(X, treated, penalty="l2", strength=0)
    with pytest.raises(DefinitionError, match="penalty"):
        propensity(X, treated, penalty="l2").influence(np.zeros(5))
    X[0, 1] = np.nan
    for penalty in (None, "l1"):
        with pytest.raises(DataError, match="missing"):
            propensity(X, treated, penalty=penalty)
