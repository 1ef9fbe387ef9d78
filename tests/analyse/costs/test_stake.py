"""What is at stake: savings, fee and effect of the same persons, and how they vary together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs.horizon import category_values, discounted
from clinops.stats.weighted_effects import contrast
from tests.analyse.costs.support import NAN, at_stake, censored, charged, cost_rows, random_rows, scored, seeds


def with_fee_and_effect(seed: int, **given: object):
    rng = np.random.default_rng(seed)
    rows = random_rows(seed, **given)
    paid = charged(rows, 20.0, rows.exposed * rng.integers(0, 3, len(rows)))
    return replace(rows, effect=np.round(rng.normal(300, 30, len(rows)) + rows.total / 50), **paid)


def test_savings_fee_and_effect_by_hand() -> None:
    rows = cost_rows(
        [1, 1, 0, 0], [[[10, 5]], [[30, 5]], [[70, 0]], [[50, 20]]], fee=np.array([6.0, 0, 0, 0]), fee_each=6.0,
        effect=np.array([4.0, 2, 1, 1]),
    )  # fmt: skip
    at = at_stake(rows, touchable=("inpatient",))
    assert at.saving.tolist() == [60 - 20, 10 - 5] and at.gross == 45
    assert at.touchable == 60 and at.fee == 3 and at.effect == 2
    assert at.net()[0] == 42
    # influence on the saving in the first category: less by (10 - 20)/2 for the first person, and so on
    assert at.influence[:, 0].tolist() == pytest.approx([5, -5, 5, -5])
    assert at.influence[:, 2].tolist() == pytest.approx([1.5, -1.5, 0, 0])
    assert at.influence[:, 3].tolist() == pytest.approx([0.5, -0.5, 0, 0])
    # CR1 with 4 persons: 4/3 x 3/2 = 2 times the sums of squares and of products
    assert at.covariance[0, 0] == pytest.approx(2 * 100) and at.covariance[0, 2] == pytest.approx(2 * 15)
    assert at.fee_error == pytest.approx(np.sqrt(2 * 4.5))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_errors_are_those_of_the_contrasts(seed: int) -> None:
    """The saving in each category and in total, the fee and the effect, each as its own contrast would have it."""
    rng = np.random.default_rng(seed)
    rows = with_fee_and_effect(seed, cluster=rng.integers(0, 20, 60), weights=np.where(rng.random(60) < 0.2, 0.0, 1.0))
    at = at_stake(censored(rows, seed))
    effects = contrast(category_values(at.rows), "difference", cluster=at.rows.cluster)
    errors = [*np.sqrt(np.diag(at.covariance)[:2]), at.gross_error]
    assert errors == pytest.approx([effect.std_error for effect in effects], rel=1e-9)
    assert [*at.saving, at.gross] == pytest.approx([-effect.estimate for effect in effects], rel=1e-9)
    gain = contrast(at.rows.values(at.rows.effect), "difference", cluster=at.rows.cluster)[0]
    assert (at.effect, np.sqrt(at.covariance[-1, -1])) == pytest.approx((gain.estimate, gain.std_error), rel=1e-9)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_the_net_error_is_that_of_the_net_cost_of_each_person(seed: int) -> None:
    """Without censoring the net saving is a difference in means of cost plus fee."""
    rows = with_fee_and_effect(seed)
    net = contrast(rows.values(rows.total + rows.fee), "difference", cluster=rows.cluster)[0]
    assert at_stake(rows).net() == pytest.approx((-net.estimate, net.std_error), rel=1e-9)


def test_an_estimated_score_is_in_the_covariance() -> None:
    rows = scored(with_fee_and_effect(4), 4)
    at = at_stake(rows)
    total = contrast(rows.values(rows.total), "difference", cluster=rows.cluster)[0]
    assert at.gross_error == pytest.approx(total.std_error, rel=1e-7)
    fixed = at_stake(replace(rows, balancing=None, propensity=None))
    assert fixed.gross == pytest.approx(at.gross) and abs(fixed.gross_error / at.gross_error - 1) > 1e-4


def test_replicates_have_the_estimates_and_their_covariance() -> None:
    """4,000 replicates: the mean within 4 Monte Carlo errors, each variance within 10 % (4 root(2/4000) = 9 %)."""
    rows = with_fee_and_effect(9, n=400)
    at = at_stake(rows, replicates=4000)
    point = np.array([*at.saving, at.fee, at.effect])
    error = np.sqrt(np.diag(at.covariance))
    assert (np.abs(at.draws.mean(axis=0) - point) < 4 * error / np.sqrt(4000)).all()
    cov = np.cov(at.draws, rowvar=False)
    assert np.diag(cov) == pytest.approx(np.diag(at.covariance), rel=0.10)
    assert np.abs(cov - at.covariance) == pytest.approx(0 * cov, abs=4 * np.sqrt(2 / 4000) * error.max() ** 2)


def test_replicates_are_the_same_for_the_same_seed_and_follow_another() -> None:
    rows = with_fee_and_effect(2)
    assert np.array_equal(at_stake(rows, seed=1).draws, at_stake(rows, seed=1).draws)
    assert not np.array_equal(at_stake(rows, seed=1).draws, at_stake(rows, seed=2).draws)


def test_clusters_in_both_arms_are_drawn_whole() -> None:
    """Two clinics with both arms: every replicate is a mix of the two clinics' own answers."""
    rows = cost_rows([1, 0, 1, 0], [0.0, 100, 40, 100], cluster=np.array([1, 1, 2, 2]))
    draws = at_stake(rows).draws[:, 0]
    # the gross saving is 80; influence by clinic +10 and -10, drawn 2-0, 1-1 or 0-2 times
    assert sorted(np.unique(draws.round(9)).tolist()) == pytest.approx([60, 80, 100])


def test_only_money_after_the_first_year_is_discounted() -> None:
    rows = cost_rows([1, 1, 0, 0], np.full((4, 24), 10.0) * np.array([[1], [1], [2], [2]]))
    at = at_stake(rows, discount_rate=0.05)
    assert at.gross == pytest.approx(120 + 120 / 1.05)
    assert at.gross == pytest.approx(float(discounted(rows, 0.05).total[0]))
    assert at.touchable == pytest.approx(2 * (120 + 120 / 1.05))


def test_without_fee_and_effect_there_are_none() -> None:
    at = at_stake(random_rows(1))
    assert at.fee is None and at.effect is None and at.known_fee == 0
    assert np.abs(at.influence[:, 2:]).max() == 0 and np.ptp(at.draws[:, 2:]) == 0
    assert at.net() == (at.gross, at.gross_error)


@pytest.mark.parametrize("arm", [1, 0])
def test_an_empty_arm_has_nothing_at_stake(arm: int) -> None:
    rows = cost_rows([arm] * 3, [1.0, 2, 3], effect=np.ones(3))
    rows = replace(rows, **charged(rows, 5.0))
    at = at_stake(rows)
    assert np.isnan([at.gross, at.effect]).all()
    assert np.isnan(at.gross_error) or np.isnan(at.gross)


def test_one_person_in_each_arm_has_no_error() -> None:
    at = at_stake(cost_rows([1, 0], [10.0, 30]))
    assert at.gross == 20 and np.isnan(at.gross_error)


def test_a_constant_fee_has_no_error() -> None:
    rows = random_rows(1)
    at = at_stake(replace(rows, **charged(rows, 7.0)))
    assert at.fee == 7 and at.fee_error == pytest.approx(0, abs=1e-12)
    assert at.net()[1] == pytest.approx(at.gross_error)
    assert not np.isnan(at.fee_error) and at.fee != NAN
