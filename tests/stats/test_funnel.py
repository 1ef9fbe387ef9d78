"""Funnel limits: by exact fractions of binomial probabilities; overdispersion by hand and by scipy's winsorising."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.mstats import winsorize

from clinops.errors import DataError, ParameterError
from clinops.stats.funnel import binomial_limits, overdispersion, widened_limits


def at_most(r, n, p):
    """The probability of r events or fewer, as an exact fraction."""
    return sum(Fraction(math.comb(n, k)) * p**k * (1 - p) ** (n - k) for k in range(r + 1))


def test_limits_of_ten_persons_by_hand():
    # Of 1024 equally likely outcomes at 1/2: 11 have one event or none, 56 two or fewer. So at 2.5 % the quantile is 2,
    # and a = (56/1024 - 0.025) / (45/1024) = 0.6755..; above, the mirror image.
    found = binomial_limits([10], 0.5)
    low = (2 - (56 / 1024 - 0.025) / (45 / 1024)) / 10
    assert (found.low[0], found.high[0]) == pytest.approx((low, 1 - low), rel=1e-12)
    # 99.8 %: none has a probability of 1/1024 < 0.001, one or none 11/1024: the quantile is 1.
    outer = binomial_limits([10], 0.5, 0.998)
    assert outer.low[0] == pytest.approx((1 - (11 / 1024 - 0.001) / (10 / 1024)) / 10, rel=1e-12)


def test_lower_limits_are_those_of_r():
    # R 4.2.2, base: r <- qbinom(p, n, .156); (r - (pbinom(r, n, .156) - p) / dbinom(r, n, .156)) / n, cut at 0.
    n = [37, 210, 1700]
    assert binomial_limits(n, 0.156).low.tolist() == pytest.approx(
        [0.033492848409, 0.106033351976, 0.138646112456], abs=1e-11
    )
    assert binomial_limits(n, 0.156, 0.998).low.tolist() == pytest.approx(
        [0.0, 0.081313131229, 0.129092473194], abs=1e-11
    )


@given(st.integers(1, 40), st.integers(1, 19), st.sampled_from([0.95, 0.998]))
@settings(max_examples=60, deadline=None)
def test_a_share_is_beyond_a_limit_where_its_tail_is_improbable(n, twentieths, level):
    p, tail = Fraction(twentieths, 20), Fraction(str(round((1 - level) / 2, 6)))
    found = binomial_limits([n], twentieths / 20, level)
    for events in range(n + 1):
        few, many = at_most(events, n, p), 1 - (at_most(events - 1, n, p) if events else 0)
        assert (events / n < found.low[0] - 1e-12) == (few < tail)
        assert (events / n > found.high[0] + 1e-12) == (many < tail)


def test_limits_of_large_units_are_those_of_the_normal_distribution():
    n, target = 1_000_000, 0.2
    reach = 1.959963984540054 * math.sqrt(target * (1 - target) / n)
    found = binomial_limits([n], target)
    assert (found.low[0], found.high[0]) == pytest.approx((target - reach, target + reach), abs=2 / n)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_nobody_or_everybody_is_within_the_limits(target):
    found = binomial_limits([1, 20, 500], target)
    assert (found.low <= target).all() and (found.high >= target).all()
    assert np.isnan(binomial_limits([0], 0.3).low[0]) and np.isnan(widened_limits([0], 0.3, 2.0).high[0])


def test_widened_limits_by_hand():
    # 0.2 +- 1.96 sqrt(4 * 0.16 / 100): sqrt(0.0064) = 0.08.
    found = widened_limits([100, 4], 0.2, 4.0)
    assert found.low.tolist() == pytest.approx([0.2 - 1.959963984540054 * 0.08, 0.0])
    assert found.high.tolist() == pytest.approx([0.2 + 1.959963984540054 * 0.08, 0.2 + 1.959963984540054 * 0.4])


def test_overdispersion_by_hand():
    # At 1/2 and 100 persons the error is 0.05, so that these have z-scores of -6 -2 -1 -1 0 0 1 1 2 8. Winsorised by
    # a tenth the outer two become -2 and 2: (4+4+1+1+0+0+1+1+4+4) / 10.
    events = [20, 40, 45, 45, 50, 50, 55, 55, 60, 90]
    found = overdispersion(events, [100] * 10, 0.5)
    assert (found.factor, found.units, found.winsorised) == (pytest.approx(2.0), 10, 1)
    assert found.threshold == pytest.approx(1 + 2 * math.sqrt(0.2)) and found.matters
    plain = overdispersion(events, [100] * 10, 0.5, winsorise=0)
    assert plain.factor == pytest.approx((36 + 4 + 1 + 1 + 1 + 1 + 4 + 64) / 10)


def test_winsorising_is_that_of_scipy():
    rng = np.random.default_rng(3)
    n = rng.integers(50, 400, 37)
    events = rng.binomial(n, rng.beta(4, 16, 37))
    z = (events / n - 0.2) / np.sqrt(0.16 / n)
    expected = float((np.asarray(winsorize(z, (0.1, 0.1))) ** 2).mean())
    assert overdispersion(events, n, 0.2).factor == pytest.approx(expected, rel=1e-12)


def test_chance_alone_rarely_matters():
    rng = np.random.default_rng(4)
    n = rng.integers(100, 1000, 30)
    # More than two standard deviations above 1: a few in a hundred of a chi-squared, fewer once winsorised.
    found = [overdispersion(rng.binomial(n, 0.15), n, 0.15).matters for _ in range(200)]
    assert sum(found) <= 10


def test_where_it_cannot_be_told():
    few = overdispersion([1, 2, 3], [10, 10, 10], 0.2)
    assert math.isnan(few.factor) and not few.matters and "3 units are too few" in few.note
    none = overdispersion([0] * 12, [10] * 12, 0.0)
    assert math.isnan(none.factor) and "no variation" in none.note
    assert overdispersion([1] * 11 + [0], [5] * 11 + [0], 0.2).units == 11  # a unit of nobody is none


def test_wrong_input_is_refused():
    for n in ([-1], [1.5], [math.nan]):
        with pytest.raises(DataError, match="whole numbers of persons"):
            binomial_limits(n, 0.2)
    with pytest.raises(ParameterError, match="target is 20"):
        binomial_limits([10], 20)
    with pytest.raises(ParameterError, match="level is 95"):
        binomial_limits([10], 0.2, 95)
    with pytest.raises(DataError, match="events from 0 to n"):
        overdispersion([11], [10], 0.2)
    with pytest.raises(ParameterError, match=r"winsorise is 0\.5"):
        overdispersion([1], [10], 0.2, winsorise=0.5)
    with pytest.raises(ParameterError, match="factor is 0"):
        widened_limits([10], 0.2, 0)
