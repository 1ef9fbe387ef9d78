"""Entropy balancing and the balancing score against WeightIt, ebal and a linear programme, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance
from clinops.stats.entropy import balancing_score, entropy_balance
from clinops.stats.weighted_effects import weighted_effect
from tests.stats.causal_data import lalonde
from tests.support import assert_close, oracle

WEIGHTS = oracle("causal/weights_lalonde")
EXPECTED, TOLERANCE = WEIGHTS["expected"], WEIGHTS["meta"]["tolerance_rel"]
DATA = lalonde()
ARM = DATA.treated == 1


def check_effect(weights: np.ndarray, expected: dict[str, float]) -> None:
    effect = weighted_effect(DATA.outcome, DATA.treated, weights)
    assert_close(effect.estimate, expected["hajek"], TOLERANCE)
    assert_close(effect.std_error, expected["se_hc0"], TOLERANCE)
    n = len(ARM)
    assert_close(effect.std_error * np.sqrt(n / (n - 1)), expected["se_survey"], TOLERANCE)


@pytest.mark.parametrize("estimand", ["att", "ate"])
def test_weights_sizes_and_effects_equal_weightit(estimand: str) -> None:
    made, expected = entropy_balance(DATA.X, DATA.treated, estimand=estimand), EXPECTED[f"ebal_{estimand.upper()}"]
    assert made.met and made.note == ""
    assert_close(made.weights, expected["weights"]["weight"], TOLERANCE)
    assert_close(made.ess_treated, expected["ess"]["treated"], TOLERANCE)
    assert_close(made.ess_comparator, expected["ess"]["control"], TOLERANCE)
    check_effect(made.weights, expected["effect"])
    # WeightIt leaves up to 6e-8 SDs of difference, ours none
    smd = balance(DATA.X, DATA.treated, made.weights, denominator="treated").smd
    assert np.abs(np.array(expected["smd_treated_sd"]["smd"]) - smd).max() < TOLERANCE and np.abs(smd).max() < 1e-12


def test_weights_equal_those_of_the_package_of_the_method() -> None:
    expected = EXPECTED["ebal_ATT_ebal_pkg"]
    made = entropy_balance(DATA.X, DATA.treated)
    assert_close(made.weights[~ARM] / made.weights[~ARM].sum() * ARM.sum(), expected["control_weight"], 1e-10)
    assert_close(weighted_effect(DATA.outcome, DATA.treated, made.weights).estimate, expected["effect"], 1e-10)


def test_balancing_score_equals_weightit_and_solves_its_equations() -> None:
    made, expected = balancing_score(DATA.X, DATA.treated), EXPECTED["cbps_ATT"]
    assert_close(made.weights, expected["weight"], TOLERANCE)
    check_effect(made.weights, expected["effect"])
    assert_close(made.weights[~ARM], (made.score / (1 - made.score))[~ARM], 1e-10)
    design = np.column_stack([np.ones(len(ARM)), DATA.X])
    assert_close(made.logit, design @ made.coef, 1e-10)
    odds = np.exp(made.logit[~ARM])
    assert_close(odds @ design[~ARM], design[ARM].sum(axis=0), 1e-10)


def test_comparators_as_the_target_are_the_arms_swapped() -> None:
    swapped = entropy_balance(DATA.X, 1 - DATA.treated)
    made = entropy_balance(DATA.X, DATA.treated, estimand="ATC")
    assert_close(made.weights, swapped.weights, 1e-12)
    assert (made.weights[~ARM] == 1).all() and made.ess_treated == swapped.ess_comparator


def data(seed: int, n: int, k: int, whole: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 4, (n, k)).astype(float) if whole else rng.normal(size=(n, k))
    treated = rng.random(n) < 0.3
    treated[:2] = True, False
    return X, treated, rng.integers(1, 4, n).astype(float)


sizes = {"seed": st.integers(0, 10_000), "n": st.integers(2, 40), "k": st.integers(0, 4), "whole": st.booleans()}


@settings(deadline=None, max_examples=100)
@given(**sizes)
def test_the_target_is_met_when_a_linear_programme_can_meet_it(seed: int, n: int, k: int, whole: bool) -> None:
    X, treated, case = data(seed, n, k, whole)
    made = entropy_balance(X, treated, prior=case)
    pool, target = X[~treated], np.average(X[treated], axis=0, weights=case[treated])
    program = linprog(
        np.zeros(len(pool)), A_eq=np.vstack([pool.T, np.ones(len(pool))]), b_eq=np.append(target, 1), method="highs"
    )
    assert made.met == (program.status == 0)
    if not made.met:
        assert np.isnan(made.weights[~treated]).all() and "No weights of the" in made.note
        return
    assert_close(np.average(pool, axis=0, weights=made.weights[~treated]), target, 1e-7, atol=1e-7)
    assert_close(made.weights[~treated].sum(), case[~treated].sum())
    assert (made.weights[treated] == case[treated]).all()


@settings(deadline=None, max_examples=60)
@given(**sizes)
def test_weights_move_with_nothing(seed: int, n: int, k: int, whole: bool) -> None:
    X, treated, case = data(seed, n, k, whole)
    made = entropy_balance(X, treated, estimand="ate", prior=case)
    rng = np.random.default_rng(seed + 1)
    turn, basis = rng.permutation(n), np.linalg.qr(rng.normal(size=(k, k)))[0] * 50
    others = [
        (entropy_balance(X[turn], treated[turn], estimand="ate", prior=case[turn]), made.weights[turn]),
        (entropy_balance(X @ basis + 7, treated, estimand="ate", prior=case), made.weights),
        (entropy_balance(np.column_stack([X, X.sum(axis=1)]), treated, estimand="ate", prior=case), made.weights),
    ]
    for other, weights in others:
        assert other.met == made.met
        if made.met:
            assert_close(other.weights, weights, 1e-7, atol=1e-7)


def test_counts_as_case_weights_are_repeated_rows() -> None:
    case = np.random.default_rng(1).integers(0, 3, len(ARM))
    weighted = entropy_balance(DATA.X, DATA.treated, estimand="ate", prior=case)
    repeated = entropy_balance(np.repeat(DATA.X, case, axis=0), np.repeat(DATA.treated, case), estimand="ate")
    assert_close(np.repeat(weighted.weights / np.maximum(case, 1), case), repeated.weights, 1e-10)
    assert (weighted.weights[case == 0] == 0).all()


def test_a_target_out_of_range_names_its_covariate() -> None:
    made = entropy_balance([[5.0, 1.0], [0.0, 0.0], [1.0, 2.0]], [1, 0, 0])
    assert not made.met and "covariate(s) [0] lie beyond their range" in made.note and np.isnan(made.ess_comparator)
    score = balancing_score([[5.0, 1.0], [0.0, 0.0], [1.0, 2.0]], [1, 0, 0])
    assert not score.met and np.isnan(score.coef).all() and np.isnan(score.logit).all() and score.weights[0] == 1


def test_a_target_that_is_in_range_but_not_jointly() -> None:
    made = entropy_balance([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [1, 0, 0])
    assert not made.met and "not all at once" in made.note


def test_a_target_on_the_edge_empties_the_rest() -> None:
    made = entropy_balance([[1.0], [0.0], [1.0], [1.0]], [1, 0, 0, 0])
    assert made.met and "1 of 3 comparators have next to no weight" in made.note
    assert_close(made.weights, [1, 0, 1.5, 1.5], 1e-8, atol=1e-8)


def test_two_rows_a_constant_and_no_covariate() -> None:
    assert entropy_balance([[3.0], [3.0]], [1, 0]).weights.tolist() == [1, 1]
    assert not entropy_balance([[3.0], [4.0]], [1, 0]).met
    treated = [1, 0, 0]
    assert_close(entropy_balance(np.full((3, 1), 0.1 + 1e6), treated).weights, [1, 1, 1])
    assert_close(entropy_balance(np.empty((3, 0)), treated).weights, [1, 1, 1])
    assert_close(balancing_score(np.empty((3, 0)), treated).score, [1 / 3] * 3)


def test_two_levels_by_hand() -> None:
    # three of four treated have 1, one of three comparators does: 3/4 of the weight goes to it
    made = entropy_balance([[1], [1], [1], [0], [1], [0], [0]], [1, 1, 1, 1, 0, 0, 0])
    assert_close(made.weights[4:], [9 / 4, 3 / 8, 3 / 8], 1e-10)
    assert_close(made.tilt[1], [np.log(6)], 1e-10)


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'att'"):
        entropy_balance([[1.0]], [1], estimand="attt")
    with pytest.raises(DataError, match="1 treated and 0 comparators"):
        entropy_balance([[1.0]], [1])
    with pytest.raises(DataError, match="0 comparators"):
        balancing_score([[1.0], [2.0]], [1, 0], prior=[1, 0])
    with pytest.raises(DataError, match="missing"):
        entropy_balance([[1.0], [np.nan]], [1, 0])
    with pytest.raises(DataError, match="shape"):
        entropy_balance([1.0, 2.0], [1, 0])
    with pytest.raises(DataError, match="none negative"):
        entropy_balance([[1.0], [2.0]], [1, 0], prior=[1, -1])
