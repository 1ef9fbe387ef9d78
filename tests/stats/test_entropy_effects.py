"""Effects under exact balance: against a stacked sandwich differentiated by number, coverage, laws, edges."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.entropy import balancing_score, entropy_balance
from clinops.stats.entropy_effects import balanced_effect, balanced_values
from clinops.stats.weighted_effects import weighted_effect
from tests.stats.causal_data import lalonde
from tests.stats.test_weighted_effects import TRUTH, sandwich_error, simulated
from tests.support import assert_close, oracle

DATA = lalonde()


@pytest.mark.parametrize("estimand", ["att", "atc", "ate"])
@pytest.mark.parametrize("case_weighted", [False, True])
def test_errors_equal_the_stacked_sandwich(estimand: str, case_weighted: bool) -> None:
    """Target means, tilts and both arms' means at once."""
    X, treated, y = simulated(300, 4)
    case = np.random.default_rng(3).uniform(0.5, 2, 300) if case_weighted else np.ones(300)
    made = entropy_balance(X, treated, estimand=estimand, prior=case)
    whose = {"att": treated, "atc": ~treated, "ate": np.ones(300, bool)}[estimand]

    def psi(theta: np.ndarray) -> np.ndarray:
        target, parts = theta[:2], [(case * whose)[:, None] * (X - theta[:2])]
        for place, rows in enumerate((treated, ~treated)):
            tilt, mean = theta[2 + 2 * place : 4 + 2 * place], theta[6 + place]
            w = case * rows * np.exp((X - target) @ tilt)
            still = rows[whose].all() and estimand != "ate"
            parts.append(w[:, None] * (X - target) if not still else (tilt + 0 * X) / 300)
            parts.append((w * (y - mean))[:, None])
        first, one, mean_1, zero, mean_0 = parts
        return np.column_stack([first, one, zero, mean_1, mean_0])

    effect = balanced_effect(y, treated, X, made, prior=case)
    theta = np.concatenate([made.target, *made.tilt, [effect.value_exposed, effect.value_comparator]])
    gradient = np.array([0, 0, 0, 0, 0, 0, 1, -1])
    assert_close(effect.std_error, sandwich_error(psi, theta, gradient), 1e-6)
    assert effect.se_kind == "M-estimation" and effect.estimand == estimand


def test_intervals_cover_the_truth_and_known_weights_are_too_wide() -> None:
    covered, errors, known, found = 0, [], [], []
    for seed in range(300):
        X, treated, y = simulated(400, 3000 + seed)
        made = entropy_balance(X, treated)
        effect = balanced_effect(y, treated, X, made)
        covered += effect.conf_low <= TRUTH <= effect.conf_high
        errors.append(effect.std_error)
        known.append(weighted_effect(y, treated, made.weights).std_error)
        found.append(effect.estimate)
    assert 275 <= covered <= 295  # 95 % of 300 is 285, Monte Carlo SD 3.8
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)
    assert np.mean(known) > 1.15 * np.std(found)


def test_lalonde_estimates_are_the_references() -> None:
    expected = oracle("causal/weights_lalonde")["expected"]
    for estimand in ("att", "ate"):
        made = entropy_balance(DATA.X, DATA.treated, estimand=estimand)
        effect = balanced_effect(DATA.outcome, DATA.treated, DATA.X, made)
        assert_close(effect.estimate, expected[f"ebal_{estimand.upper()}"]["effect"]["hajek"], 1e-6)
    score = balancing_score(DATA.X, DATA.treated)
    by_score = balanced_effect(DATA.outcome, DATA.treated, DATA.X, score)
    by_entropy = balanced_effect(DATA.outcome, DATA.treated, DATA.X, entropy_balance(DATA.X, DATA.treated))
    assert_close([by_score.estimate, by_score.std_error], [by_entropy.estimate, by_entropy.std_error], 1e-8)


def test_a_linear_outcome_leaves_no_chance_but_the_targets() -> None:
    """With y linear in x and no noise the weighted arm's mean is known but for whose means it takes."""
    X, treated, _ = simulated(200, 5)
    y = 3 + X @ np.array([1.0, -2.0])
    effect = balanced_effect(y, treated, X, entropy_balance(X, treated))
    assert_close(effect.estimate, 0.0, atol=1e-8)
    assert np.isnan(effect.std_error) or effect.std_error < 1e-8


def test_laws() -> None:
    X, treated, y = simulated(150, 6)
    one = balanced_effect(y, treated, X, entropy_balance(X, treated))
    turned = np.column_stack([X @ np.array([[2.0, 1.0], [0.0, 3.0]]), X[:, 0], np.ones(150)])  # and a redundant column
    other = balanced_effect(y, treated, turned, entropy_balance(turned, treated))
    assert_close([other.estimate, other.std_error], [one.estimate, one.std_error], 1e-7)
    twice = np.tile(np.arange(150), 2)
    double = balanced_effect(
        y[twice], treated[twice], X[twice], entropy_balance(X[twice], treated[twice]), cluster=twice
    )
    assert_close(double.std_error, one.std_error * np.sqrt(150 / 149 * 299 / 298), 1e-7)
    nothing = np.zeros((150, 0))
    crude = balanced_effect(y, treated, nothing, entropy_balance(nothing, treated))
    assert_close(crude.std_error, weighted_effect(y, treated).std_error, 1e-10)
    many = balanced_values(np.column_stack([y, y**2]), treated, X, entropy_balance(X, treated))
    assert many.value.shape == (2, 2) and many.influence.shape == (2, 150, 2)


def test_no_weights_and_no_variation() -> None:
    X, treated, y = np.array([[5.0], [6.0], [0.0], [1.0]]), [1, 1, 0, 0], np.array([1.0, 2.0, 3.0, 4.0])
    lost = balanced_effect(y, treated, X, entropy_balance(X, treated))
    assert np.isnan([lost.estimate, lost.std_error]).all() and "covariate(s) [0]" in lost.note
    X, treated, _ = simulated(50, 1)
    flat = balanced_effect(np.ones(50), treated, X, entropy_balance(X, treated))
    assert_close(flat.estimate, 0.0, atol=1e-12)
    assert np.isnan(flat.std_error) and "does not vary" in flat.note


def test_errors() -> None:
    X, treated, y = simulated(50, 1)
    made = entropy_balance(X, treated)
    with pytest.raises(DataError, match="leave a difference"):
        balanced_effect(y, treated, X**2, made)
    with pytest.raises(DataError, match="one outcome"):
        balanced_effect(y[:, None], treated, X, made)
    with pytest.raises(DataError, match="missing"):
        balanced_effect(np.where(treated, np.nan, y), treated, X, made)
    with pytest.raises(DataError, match="weights for"):
        balanced_effect(y[:20], treated[:20], X[:20], made)
    with pytest.raises(DefinitionError, match="scale"):
        balanced_effect(y, treated, X, made, scale="rato")
