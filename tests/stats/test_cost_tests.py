"""Checks of a cost model against R, against what they must find, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.cost_tests import grouped_fit, modified_park, pregibon_link, welch_effect
from clinops.stats.glm import glm
from tests.stats.test_glm import rand_data
from tests.support import assert_close, oracle

RAND = oracle("costs/rand_hie_two_part")
TOLERANCE = RAND["meta"]["tolerance_rel"]


def test_park_and_link_tests_equal_r() -> None:
    X, cost = rand_data()
    some = cost > 0
    park, link = modified_park(X[some], cost[some]), pregibon_link(X[some], cost[some])
    assert_close(park.slope, RAND["expected"]["park_test"]["slope"], TOLERANCE)
    assert_close(park.std_error, RAND["expected"]["park_test"]["se"], TOLERANCE)
    assert_close(link.coef, RAND["expected"]["pregibon_link"]["coef_hat2"], TOLERANCE)
    assert_close(link.std_error, RAND["expected"]["pregibon_link"]["se"], TOLERANCE)


def test_welch_equals_r() -> None:
    X, cost = rand_data()
    found, expected = welch_effect(cost, X[:, 1]), RAND["expected"]["welch"]
    assert_close(
        [found.value_comparator, found.value_exposed], [expected["mean_pay"], expected["mean_free"]], TOLERANCE
    )
    assert_close(found.estimate / found.std_error, -expected["t"], TOLERANCE)
    assert_close(found.p_value, expected["p"], TOLERANCE)
    assert_close([-found.conf_high, -found.conf_low], expected["ci_pay_minus_free"], TOLERANCE)
    assert f"{expected['df']:.1f}" in found.se_kind


@pytest.mark.parametrize(("power", "name"), [(1, "poisson"), (2, "gamma")])
def test_park_finds_the_family_that_made_the_data(power: int, name: str) -> None:
    rng = np.random.default_rng(power)
    X = np.column_stack([np.ones(20_000), rng.uniform(-1, 1, 20_000)])
    mean = np.exp(4 + X[:, 1])
    cost = rng.gamma(2.0, mean / 2) if power == 2 else rng.gamma(mean / 5, 5.0)
    found = modified_park(X, np.maximum(cost, 1e-6), se="HC1")
    assert found.suggested == name
    assert abs(found.slope - power) < 3 * found.std_error
    assert found.p_value["gaussian"] < 1e-6


def test_link_test_sees_a_missing_square_and_grouped_fit_where() -> None:
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, 8000)
    X = np.column_stack([np.ones_like(x), x])
    cost = rng.gamma(2.0, np.exp(4 + 0.5 * x + 0.8 * x**2) / 2)
    assert pregibon_link(X, cost, se="HC1").p_value < 1e-4
    wrong, right = (grouped_fit(cost, glm(design, cost, "gamma").fitted) for design in (X, np.column_stack([X, x**2])))
    assert wrong.p_value < 1e-6 and right.p_value > 0.001
    assert wrong.difference[0] > 0 and wrong.difference[-1] > 0 and wrong.difference[4:6].max() < 0
    assert wrong.n_group.sum() == 8000 and wrong.df[0] == 10
    assert_close(wrong.observed - wrong.predicted, wrong.difference, 1e-9)


def test_grouped_fit_by_hand() -> None:
    y, guess = np.array([1.0, 3, 2, 6, 5, 9]), np.array([2.0, 2, 2, 5, 5, 5])
    found = grouped_fit(y, guess, groups=2)
    assert_close(found.difference, [0.0, 5 / 3], 1e-12)
    # HC1 of group means: sum of squared deviations over 9, times 6 / (6 - 2)
    deviations = [np.array([-1.0, 1, 0]), np.array([1, 0, 4]) - 5 / 3]
    variance = [np.sum(each**2) / 9 * 6 / 4 for each in deviations]
    assert_close(found.std_error, np.sqrt(variance), 1e-12)
    assert_close(found.statistic, (0 + (5 / 3) ** 2 / variance[1]) / 2, 1e-12)


def test_nothing_that_varies() -> None:
    flat = np.ones((30, 1))
    cost = np.random.default_rng(0).gamma(1.0, 10.0, 30)
    assert np.isnan(modified_park(flat, cost).slope) and "do not vary" in modified_park(flat, cost).note
    assert np.isnan(pregibon_link(flat, cost).p_value) and "nothing to test" in pregibon_link(flat, cost).note
    assert np.isnan(grouped_fit(np.ones(30), np.ones(30)).p_value)
    same = welch_effect(np.ones(6), [0, 0, 0, 1, 1, 1])
    assert same.estimate == 0 and np.isnan(same.std_error) and "neither arm" in same.note
    alone = welch_effect([1.0, 2, 3], [1, 0, 0])
    assert alone.estimate == -1.5 and np.isnan(alone.p_value) and "fewer than two" in alone.note


def test_a_residual_of_zero_is_left_out() -> None:
    group = np.repeat([0.0, 1, 2], [1, 20, 20])
    X = np.column_stack([np.ones(41), group == 0, group == 1]).astype(float)
    found = modified_park(X, np.random.default_rng(0).gamma(1.0, 10.0 * (1 + group)))
    assert found.n == 40 and "1 rows without a residual" in found.note


def test_wrong_input_is_named() -> None:
    with pytest.raises(DefinitionError, match="log link"):
        modified_park(np.ones((3, 1)), np.ones(3), family="gaussian")
    with pytest.raises(DefinitionError, match="groups"):
        grouped_fit(np.ones(3), np.ones(3), groups=1)
    with pytest.raises(DataError, match="shapes"):
        grouped_fit(np.ones(3), np.ones(4))
    with pytest.raises(DataError, match="shape"):
        welch_effect(np.ones(3), [1, 0])
