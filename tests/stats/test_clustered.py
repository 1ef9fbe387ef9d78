"""Ratios of sums over persons: the error against a clustered regression, and the cases without spread."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.clustered import ratio_of_sums
from clinops.stats.rates import poisson_rate, proportion

persons = st.lists(st.integers(0, 6).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of))), max_size=30)


def test_the_error_of_a_share_is_that_of_a_clustered_regression():
    rng = np.random.default_rng(5)
    of = rng.integers(1, 6, 80)
    events = rng.binomial(of, rng.beta(1, 3, 80))
    y = np.concatenate([[1] * e + [0] * (n - e) for e, n in zip(events, of, strict=True)])
    who = np.repeat(np.arange(80), of)
    fit = sm.OLS(y, np.ones(len(y))).fit(cov_type="cluster", cov_kwds={"groups": who, "use_correction": True})
    found = ratio_of_sums(events, of, kind="share")
    assert found.estimate == pytest.approx(fit.params[0], rel=1e-12)
    # statsmodels' CR1 has the factor (n - 1) / (n - p) besides, which is 1 for an intercept alone.
    assert found.std_error == pytest.approx(fit.bse[0], rel=1e-10)


def test_the_error_of_a_rate_is_that_of_a_clustered_poisson_regression():
    rng = np.random.default_rng(6)
    time = rng.uniform(0.2, 3, 60)
    events = rng.poisson(rng.gamma(1, 1, 60) * time)
    fit = sm.GLM(events, np.ones(60), family=sm.families.Poisson(), offset=np.log(time)).fit(
        cov_type="cluster", cov_kwds={"groups": np.arange(60), "use_correction": True}
    )
    found = ratio_of_sums(events, time)
    assert found.estimate == pytest.approx(math.exp(fit.params[0]), rel=1e-8)
    assert found.std_error / found.estimate == pytest.approx(fit.bse[0], rel=1e-6)
    low, high = np.exp(fit.conf_int()[0])
    assert (found.conf_low, found.conf_high) == pytest.approx((low, high), rel=1e-6)


def test_one_event_a_person_is_a_plain_proportion_but_for_the_small_sample_factor():
    found = ratio_of_sums([1] * 30 + [0] * 70, [1] * 100, kind="share")
    assert found.std_error == pytest.approx(math.sqrt(0.3 * 0.7 / 99))
    near = proportion(0.3 * 99, 99)
    assert (found.conf_low, found.conf_high) == pytest.approx((near.conf_low, near.conf_high), rel=1e-12)


def test_a_mean_has_a_plain_interval():
    found = ratio_of_sums([2.0, 4.0, 6.0], [1, 1, 1], kind="mean")
    assert found.estimate == 4 and found.std_error == pytest.approx(2 / math.sqrt(3))
    assert found.conf_high - found.estimate == pytest.approx(1.959964 * 2 / math.sqrt(3), rel=1e-6)


def test_cases_without_spread_are_decided():
    none = ratio_of_sums([0, 0, 0], [2, 3, 1], kind="share")
    assert (none.estimate, none.std_error, none.note) == (0, 0, "no events")
    assert none.conf_high == proportion(0, 3).conf_high  # three persons, not six discharges
    every = ratio_of_sums([2, 3], [2, 3], kind="share")
    assert (every.estimate, every.conf_high, every.conf_low) == (1, 1, proportion(2, 2).conf_low)
    still = ratio_of_sums([0, 0], [1.5, 2.5])
    assert still.conf_high == poisson_rate(0, 4.0).conf_high
    alone = ratio_of_sums([1], [4], kind="share")
    assert alone.estimate == 0.25 and math.isnan(alone.conf_low) and "one person" in alone.note
    nobody = ratio_of_sums([], [])
    assert math.isnan(nobody.estimate) and nobody.note == "nobody in the denominator"
    assert ratio_of_sums([0, 1], [0, 2]).note == "one person: no spread between persons"
    equal = ratio_of_sums([1, 2], [2, 4])  # the same rate in everybody
    assert (equal.estimate, equal.std_error, equal.conf_low) == (0.5, 0, 0.5)


@pytest.mark.parametrize(
    ("events", "of", "kind", "error"),
    [
        ([1, 2], [1], "rate", DataError), ([[1]], [[1]], "rate", DataError), ([math.nan], [1], "rate", DataError),
        ([-1], [1], "rate", DataError), ([1], [-1], "rate", DataError), ([1], [0], "rate", DataError),
        ([2], [1], "share", DataError), ([1], [1], "shares", ParameterError),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(events, of, kind, error):
    with pytest.raises(error):
        ratio_of_sums(events, of, kind=kind)


@given(people=persons, seed=st.integers(0, 100))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_the_order_of_persons_and_those_without_a_denominator_do_not_matter(people, seed):
    events, of = np.array([p[0] for p in people]), np.array([p[1] for p in people])
    order = np.random.default_rng(seed).permutation(len(people))
    for kind in ("share", "rate"):
        one = ratio_of_sums(events, of, kind=kind)
        again = ratio_of_sums(np.append(events[order], 0), np.append(of[order], 0), kind=kind)
        for name in ("estimate", "std_error", "conf_low", "conf_high"):
            assert getattr(again, name) == pytest.approx(getattr(one, name), rel=1e-9, abs=1e-12, nan_ok=True)


@given(people=persons)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_a_share_and_its_limits_lie_within_0_and_1_and_a_rate_scales_with_its_unit(people):
    events, of = np.array([p[0] for p in people]), np.array([p[1] for p in people])
    share, rate = ratio_of_sums(events, of, kind="share"), ratio_of_sums(events, of)
    if share.conf_low == share.conf_low:
        assert 0 <= share.conf_low <= share.estimate + 1e-12 and share.estimate - 1e-12 <= share.conf_high <= 1
    in_days = ratio_of_sums(events, of * 365.25)
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert getattr(in_days, name) * 365.25 == pytest.approx(getattr(rate, name), rel=1e-9, abs=1e-12, nan_ok=True)
