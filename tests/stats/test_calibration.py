"""Empirical calibration: R's maximum of the integrated likelihood, the package's published tests, simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clinops.errors import DataError
from clinops.stats.calibration import LEAST_CONTROLS, SystematicError, calibrate, leave_one_out, systematic_error
from tests.support import assert_close, oracle

R = oracle("epi/robustness")["expected"]["calibration"]


def test_the_distribution_is_the_maximum_that_r_finds() -> None:
    found = systematic_error(R["log_estimates"], R["std_errors"])
    assert_close(found.mean, R["mean"], 1e-5)
    assert_close(found.sd, R["sd"], 1e-5)
    assert_close(found.log_likelihood, R["log_likelihood"], 1e-9)
    assert_close(found.expected_absolute, R["expected_absolute"], 1e-5)
    assert (found.n, found.n_left_out) == (30, 0)
    assert found.log_likelihood >= R["log_likelihood"] - 1e-10  # nothing R finds is higher


def test_p_and_interval_are_those_of_r() -> None:
    one = R["one"]
    found = calibrate(one["log_estimate"], one["std_error"], systematic_error(R["log_estimates"], R["std_errors"]))
    assert_close(found.p_value, one["p"], 1e-5)
    assert_close([found.conf_low, found.conf_high], [one["low"], one["high"]], 1e-5)
    assert_close(leave_one_out(R["log_estimates"], R["std_errors"])[0], R["first_left_out"], 1e-5)


def test_the_published_example_of_the_package() -> None:
    """Sertraline and bleeding, EmpiricalCalibration's page on P values: its null 0.7920, 0.2835 gives P 0.839405."""
    null = SystematicError(0.7920, 0.2835, 45, 0, math.nan, math.nan)
    assert calibrate(0.7326235, 0.07371708, null).p_value == pytest.approx(0.839405, abs=2e-4)


def test_the_published_tests_of_the_package() -> None:
    """Its tests of P: without systematic error P is the usual one; two estimates without error give 1.5 and 0.5."""
    none = SystematicError(0.0, 0.0, 20, 0, math.nan, 0.0)
    found = [calibrate(y, s, none).p_value for y, s in ((0.1, 0.05), (0.3, 0.1))]
    assert found == pytest.approx([0.045500266, 0.002699796], rel=1e-6)
    assert math.isnan(calibrate(0.2, math.nan, none).p_value)
    spread = systematic_error([1, 2] * 10, [0] * 20)
    assert (spread.mean, spread.sd) == pytest.approx((1.5, 0.5), rel=1e-6)


def test_fewer_than_twenty_are_refused_with_their_number() -> None:
    with pytest.raises(DataError, match=r"at least 20 .* there are 19 \(2 more without one\)"):
        systematic_error([0.1] * 19 + [math.nan, math.inf], [0.2] * 21)
    kept = systematic_error([0.1, -0.1] * 10 + [math.inf], [0.2] * 21)
    assert (kept.n, kept.n_left_out) == (20, 1) and LEAST_CONTROLS == 20


def test_estimates_that_chance_explains_have_no_systematic_spread() -> None:
    found = systematic_error(np.linspace(-0.1, 0.1, 25), np.full(25, 0.3))
    assert found.sd == pytest.approx(0, abs=1e-3) and found.mean == pytest.approx(0, abs=1e-9)
    alike = systematic_error([0.2] * 20, [0.0] * 20)
    assert (alike.mean, alike.sd, alike.expected_absolute) == (pytest.approx(0.2), 0.0, pytest.approx(0.2))


def test_an_estimate_without_an_error_does_not_outweigh_the_others() -> None:
    """Its likelihood has no bound as the spread goes to 0 at its own value."""
    rng = np.random.default_rng(0)
    y, s = rng.normal(0.3, 0.36, 24), np.full(24, 0.3)
    s[0] = 0.0
    found, others = systematic_error(y, s), systematic_error(y[1:], s[1:])
    assert (found.mean, found.sd) == (others.mean, others.sd) and (found.n, found.n_left_out) == (23, 1)
    assert np.isnan(leave_one_out(y, s)[0]) and np.isfinite(leave_one_out(y, s)[1:]).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="negative"):
        systematic_error([0.1] * 20, [-0.1] * 20)
    with pytest.raises(DataError, match="must be equal"):
        systematic_error([0.1] * 20, [0.1] * 19)


def test_calibrated_tests_hold_their_level_where_plain_ones_do_not() -> None:
    """200 sets of 40 controls with systematic error N(0.1, 0.2), and one more outcome of true ratio 1."""
    rng = np.random.default_rng(12)
    plain, calibrated, covered = [], [], []
    for _ in range(200):
        s = rng.uniform(0.05, 0.3, 41)
        y = rng.normal(0.1, 0.2, 41) + rng.normal(0, s)
        found = calibrate(float(y[0]), float(s[0]), systematic_error(y[1:], s[1:]))
        plain.append(found.p_uncalibrated < 0.05)
        calibrated.append(found.p_value < 0.05)
        covered.append(found.conf_low <= 0 <= found.conf_high)
    assert np.mean(plain) > 0.25
    # binomial error of 5 % in 200 is 1.5 %
    assert 0.005 <= np.mean(calibrated) <= 0.10 and 0.90 <= np.mean(covered) <= 0.995
