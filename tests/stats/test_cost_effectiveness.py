"""Ratios, net benefit and the plane: a published example, by hand, and by what must hold of any."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clinops.errors import DataError
from clinops.stats.cost_effectiveness import (
    QUADRANTS,
    VERDICTS,
    acceptability,
    fieller_interval,
    icer,
    net_benefit,
    net_benefit_from_draws,
    percentile_interval,
    quadrant_shares,
)
from tests.support import assert_close

Z = NormalDist().inv_cdf(0.975)
some = st.floats(-1e4, 1e4, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-3)
COST, EFFECT = [100.0, -50, 0, 200], [0.1, 0.2, 0, -0.1]
"""One replicate in each of NE, SE, the origin and NW."""


# --- the ratio -----------------------------------------------------------------------------------


def test_a_published_ratio_within_the_rounding_of_its_parts() -> None:
    """Briggs, Claxton and Sculpher 2006, exercise 2.5 (HIV, after Chancellor 1997): GBP 6,276 a life-year.

    Costs 44,663 and 50,602; life-years 7.991 and 8.937, so the difference is known to 0.001 of 0.946.
    """
    found = icer(50_602 - 44_663, 8.937 - 7.991)
    assert abs(found.ratio / 6_276 - 1) <= 0.001 / 0.946
    assert (found.quadrant, found.verdict, found.note) == ("NE", "costs more and does more", "")


@pytest.mark.parametrize(
    ("cost", "effect", "quadrant", "ratio"),
    [
        (100, 0.5, "NE", 200), (-100, -0.5, "SW", 200), (-100, 0.5, "SE", None), (100, -0.5, "NW", None),
        (-100, 0, "SE", None), (0, 0.5, "SE", None), (100, 0, "NW", None), (0, -0.5, "NW", None),
        (0, 0, "origin", None),
    ],
)  # fmt: skip
def test_every_quadrant_and_axis_is_decided(cost: float, effect: float, quadrant: str, ratio: float | None) -> None:
    found = icer(cost, effect)
    assert (found.quadrant, found.verdict) == (quadrant, VERDICTS[quadrant])
    assert found.ratio == ratio if ratio else math.isnan(found.ratio)


@given(some, some)
@settings(deadline=None, derandomize=True)
def test_a_ratio_is_never_negative_and_turning_the_arms_round_turns_the_verdict(cost: float, effect: float) -> None:
    one, other = icer(cost, effect), icer(-cost, -effect)
    assert math.isnan(one.ratio) or one.ratio > 0
    assert math.isnan(one.ratio) == math.isnan(other.ratio)
    assert other.quadrant == {"NE": "SW", "SW": "NE", "SE": "NW", "NW": "SE", "origin": "origin"}[one.quadrant]
    if one.ratio > 0:
        assert_close(other.ratio, one.ratio, 1e-12)


def test_a_missing_difference_is_said() -> None:
    found = icer(math.nan, 1)
    assert math.isnan(found.ratio) and found.verdict == "unknown" and "missing" in found.note


# --- its limits ----------------------------------------------------------------------------------


def test_fieller_solves_its_equation() -> None:
    cost, effect, cost_error, effect_error, cov = 1000, 0.5, 200, 0.1, 5
    found = fieller_interval(cost, effect, cost_error, effect_error, cov)
    assert found.kind == "interval" and found.low < 2000 < found.high
    for r in (found.low, found.high):
        spread = cost_error**2 - 2 * r * cov + r**2 * effect_error**2
        assert_close((cost - r * effect) ** 2, Z**2 * spread, 1e-9)


def test_fieller_with_a_known_effect_is_the_costs_interval() -> None:
    found = fieller_interval(1000, 0.5, 200, 0.0, 0.0)
    assert_close([found.low, found.high], [(1000 - 200 * Z) / 0.5, (1000 + 200 * Z) / 0.5], 1e-12)


def test_a_limit_that_is_no_ratio_is_a_word() -> None:
    found = fieller_interval(100, 0.5, 200, 0.0, 0.0)  # cost from -292 to 492
    assert math.isnan(found.low) and found.low_is == "dominates" and found.high_is == "" and found.high > 0
    worse = fieller_interval(-100, -0.5, 200, 0.0, 0.0)
    assert math.isnan(worse.low) and worse.low_is == "is dominated" and "given up" in worse.note
    both = fieller_interval(-1000, 0.5, 200, 0.0, 0.0)
    assert (both.low_is, both.high_is) == ("dominates", "dominates") and math.isnan(both.high)


def test_the_ratio_has_no_limits_where_the_effect_may_be_nil() -> None:
    found = fieller_interval(1000, 0.1, 200, 0.1, 0.0)
    assert found.kind == "undefined" and math.isnan(found.low) and "net benefit" in found.note
    assert percentile_interval(COST, EFFECT).kind == "undefined"
    assert fieller_interval(0, 0, 0, 0, 0).kind == "undefined"
    assert "missing" in fieller_interval(1, 1, math.nan, 0.1, math.nan).note
    assert fieller_interval(1000, 0.5, 200, 0.0, 1e-9).kind == "interval"  # a covariance that is rounding


def test_percentiles_of_the_ratio_by_hand() -> None:
    found = percentile_interval([1.0, 2, 3, 4, 5], [1.0] * 5)
    assert_close([found.low, found.high], [1.1, 4.9], 1e-12)
    mixed = percentile_interval([-1.0, 2, 3, 4, 5], [1.0] * 5)  # 2.5th percentile -1 + 0.1 * 3
    assert math.isnan(mixed.low) and mixed.low_is == "dominates"
    assert percentile_interval([-1.0, -2], [-1.0, -1]).high == pytest.approx(1.975)


@given(st.floats(-5e3, 5e3), st.floats(0.2, 1), st.floats(1, 500), st.floats(0.001, 0.09), st.floats(-0.9, 0.9))
@settings(deadline=None, derandomize=True)
def test_fieller_is_where_the_net_benefit_touches_nil(
    cost: float, effect: float, cost_error: float, effect_error: float, correlation: float
) -> None:
    """At a threshold equal to a limit of the ratio, the interval of the net benefit ends at 0."""
    cov = correlation * cost_error * effect_error
    limits = fieller_interval(cost, effect, cost_error, effect_error, cov)
    assume(limits.low > 0)
    found = net_benefit(
        cost, effect, [limits.low, limits.high], cost_error=cost_error, effect_error=effect_error, covariance=cov
    )
    size = abs(cost) + cost_error + limits.high * (effect + effect_error)
    assert abs(found.conf_high[0]) < 1e-7 * size and abs(found.conf_low[1]) < 1e-7 * size


# --- net benefit ---------------------------------------------------------------------------------


def test_net_benefit_by_hand() -> None:
    # 5000 x 0.5 - 1000; variance 25e6 x 0.01 + 40000 - 2 x 5000 x 5 = 240000
    found = net_benefit(1000, 0.5, [0, 5000], cost_error=200, effect_error=0.1, covariance=5)
    assert_close(found.estimate, [-1000, 1500], 1e-12)
    assert_close(found.std_error, [200, math.sqrt(240_000)], 1e-12)
    assert_close(found.conf_low[1], 1500 - Z * math.sqrt(240_000), 1e-12)
    assert_close(found.probability, [NormalDist().cdf(-5), NormalDist().cdf(1500 / math.sqrt(240_000))], 1e-9)


def test_without_error_the_answer_is_certain() -> None:
    found = net_benefit(100, 0.1, [500, 1000, 2000], cost_error=0, effect_error=0)
    assert found.probability.tolist() == [0, 0.5, 1] and found.conf_low.tolist() == [-50, 0, 100]


def test_acceptability_by_hand() -> None:
    # at 0: -100, 50, 0, -200; at 1000: 0, 250, 0, -300; at 2000: 100, 450, 0, -400
    assert_close(acceptability(COST, EFFECT, [0, 1000, 2000]), [0.375, 0.5, 0.625], 1e-12)
    found = net_benefit_from_draws(62.5, 0.05, COST, EFFECT, [1000])
    assert_close(found.estimate, [-12.5], 1e-12)
    assert_close(found.std_error, [np.std([0, 250, 0, -300], ddof=1)], 1e-12)
    assert_close([found.conf_low[0], found.conf_high[0]], np.quantile([0, 250, 0, -300], [0.025, 0.975]), 1e-12)
    assert_close(found.probability, [0.5], 1e-12)


def test_quadrants_by_hand() -> None:
    assert quadrant_shares(COST, EFFECT) == {"NE": 0.25, "SE": 0.25, "SW": 0, "NW": 0.25, "origin": 0.25}
    assert quadrant_shares([0.0, 0.0], [0.0, 0.0])["origin"] == 1


def test_replicates_and_the_normal_agree_where_both_hold() -> None:
    rng = np.random.default_rng(20240501)
    cov = np.array([[200.0**2, 5], [5, 0.1**2]])
    draws = rng.multivariate_normal([1000, 0.5], cov, size=200_000)
    worth = [0, 1000, 2000, 5000, 20_000]
    found = net_benefit_from_draws(1000, 0.5, draws[:, 0], draws[:, 1], worth)
    wanted = net_benefit(1000, 0.5, worth, cost_error=200, effect_error=0.1, covariance=5)
    assert np.abs(found.probability - wanted.probability).max() < 4 * math.sqrt(0.25 / 200_000)
    assert_close(found.std_error, wanted.std_error, 0.01)


@given(st.lists(st.tuples(some, some), min_size=2, max_size=20), st.floats(0, 1e5))
@settings(deadline=None, derandomize=True)
def test_the_two_arms_curves_and_the_quadrants_add_up(pairs: list[tuple[float, float]], worth: float) -> None:
    cost, effect = np.array(pairs).T
    both = acceptability(cost, effect, worth) + acceptability(-cost, -effect, worth)
    assert_close(both, [1.0], 1e-12)
    found = quadrant_shares(cost, effect)
    assert tuple(found) == QUADRANTS
    assert_close(sum(found.values()), 1, 1e-12)
    assert found["NE"] == np.mean([icer(c, e).quadrant == "NE" for c, e in pairs])


# --- refused -------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("standard error is 0 or more", lambda: fieller_interval(1, 1, -1, 1, 0)),
    ("was a correlation given", lambda: net_benefit(1, 1, 1, cost_error=1, effect_error=0.1, covariance=0.5)),
    ("thresholds are .-1.0.", lambda: acceptability(COST, EFFECT, -1)),
    ("give pairs, at least 2", lambda: quadrant_shares([1.0], [1.0])),
    ("give pairs, at least 2", lambda: acceptability(COST, EFFECT[:3], 1)),
    ("A replicate is missing", lambda: percentile_interval([1.0, math.nan], [1.0, 1.0])),
]


@pytest.mark.parametrize(("said", "make"), REFUSED)
def test_what_contradicts_itself_is_refused(said: str, make: Callable[[], object]) -> None:
    with pytest.raises(DataError, match=said):
        make()
