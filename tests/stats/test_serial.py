"""Newey-West, AR(1) errors and serial tests: R, by hand, by loops, and the coverage of a simulated truth."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError, ParameterError
from clinops.stats.autoregressive import ar1_regression
from clinops.stats.glm import glm
from clinops.stats.interrupted import segmented_design, segmented_regression
from clinops.stats.serial import default_lag, newey_west, newey_west_bandwidth, serial_diagnostics
from tests.support import TESTS, assert_close

NUMERICAL = 1e-6  # R's optimum and Hessian are found by numerical differences


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("method", ["ML", "REML"])
def test_ar1_regression_against_r(reference, method, gaps):
    expected, _, frames = reference("its_did/interrupted")
    a = frames["interrupted.csv"].query("treated == 1")
    a = a[~a.time.isin([10, 11, 30, 55])] if gaps else a
    want = expected["ar1"][f"{method.lower()}{'_gaps' * gaps}"]
    design = segmented_design(a.time, 41)
    found = ar1_regression(design.matrix, a.value, period=a.time, method=method)
    assert_close(found.coef, want["coef"], NUMERICAL)
    assert_close(found.std_error, want["se"], NUMERICAL)
    assert_close(found.rho, want["rho"], NUMERICAL)
    assert_close(found.log_likelihood, want["loglik"], 1e-8)
    if method == "ML":
        assert_close(found.rho_error, want["rho_se"], NUMERICAL)
        assert_close(found.innovation_variance, want["sigma2"], NUMERICAL)
    else:
        assert_close(found.variance, want["variance"], NUMERICAL)


def test_the_bandwidth_against_its_definition(reference):
    expected, _, frames = reference("its_did/interrupted")
    a = frames["interrupted.csv"].query("treated == 1")
    fit = glm(segmented_design(a.time, 41).matrix, a.value, "gaussian")
    assert_close(newey_west_bandwidth(fit.scores, [0, 1, 1, 1]), expected["linear"]["bandwidth"])
    assert math.isnan(newey_west_bandwidth(np.zeros((9, 1)), [1]))


def test_the_rule_of_thumb():
    # 4 x (n/100)^(2/9): 4 at 100; 59 gives 3.557, 36 gives 3.188, 1000 gives 6.672 (by hand with logarithms).
    assert [default_lag(n) for n in (36, 59, 99, 100, 1000)] == [3, 3, 3, 4, 6]


def test_two_rows_of_a_period_are_summed_first():
    rng = np.random.default_rng(7)
    X, y, period = (
        np.column_stack([np.ones(12), rng.normal(size=12)]),
        rng.normal(size=12),
        np.repeat([0, 1, 2, 4, 5, 9], 2),
    )
    fit = glm(X, y, "gaussian")
    meat = np.zeros((2, 2))
    for s, at in zip(fit.scores, period, strict=True):
        for u, there in zip(fit.scores, period, strict=True):
            if abs(at - there) <= 2:
                meat += (1 - abs(at - there) / 3) * np.outer(s, u)
    assert_close(newey_west(fit, 2, period=period)[0], fit.bread @ meat @ fit.bread)
    assert (np.linalg.eigvalsh(newey_west(fit, 40, period=period)[0]) >= -1e-15).all()


def test_gaps_are_gaps_by_hand():
    # e = 1, -1 at times 0, 1 and 2 at time 3. Sum of squares 6. Lag 1: one pair, -1; lag 2: one pair (1, 3), -2; lag 3:
    # one pair, 2. Ljung-Box: 3 x 5 x (1 + 4 + 4) / 36 / 1 = 3.75 over 3 lags, of which two are asked for: 25/12.
    found = serial_diagnostics([2.0, 1.0, -1.0], 2, period=[3, 0, 1])
    assert_close(found.autocorrelation, [-1 / 6, -1 / 3])
    assert_close(found.ljung_box, 25 / 12)
    assert math.isnan(found.durbin_watson) and "1 period(s) of the span are missing" in found.note


def test_residuals_of_zero_say_nothing():
    found = serial_diagnostics(np.zeros(9), 3)
    assert np.isnan([found.durbin_watson, found.ljung_box_p]).all() and "all zero" in found.note


def test_a_correlation_at_the_edge_has_no_errors():
    walk = np.where(np.arange(40) % 2, -1.0, 1.0)  # turns its sign each time: rho -1
    found = ar1_regression(np.column_stack([np.ones(40), np.arange(40) ** 2.0]), walk)
    assert found.rho < -0.99 and np.isnan(found.std_error).all() and "edge" in found.note


def test_a_column_that_others_give_is_left_out():
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(30), np.arange(30), 2 * np.arange(30)])
    y = rng.normal(size=30)
    found, plain = ar1_regression(X, y), ar1_regression(X[:, :2], y)
    assert math.isnan(found.coef[2]) and "linear combinations" in found.note
    assert_close(found.cov[:2, :2], plain.cov)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ar1_regression(np.ones((5, 1)), np.ones(4)), DataError, "shape"),
        (lambda: ar1_regression(np.ones((3, 1)), [1, np.nan, 2]), DataError, "leave those periods out"),
        (lambda: ar1_regression(np.ones((3, 1)), [1, 3, 2], period=[1, 1, 2]), DataError, "same period"),
        (lambda: ar1_regression(np.ones((3, 1)), [1, 3, 2], period=[1, 1.5, 2]), DataError, "whole numbers"),
        (lambda: ar1_regression(np.ones((1, 1)), [1]), DataError, "cannot determine"),
        (lambda: ar1_regression(np.ones((3, 1)), [1, 3, 2], method="MLE"), DefinitionError, "Did you mean"),
        (lambda: serial_diagnostics([1, 2, 3], 3), ParameterError, "from 1 to 2"),
        (lambda: serial_diagnostics([1, np.nan, 3], 1), DataError, "known number"),
        (lambda: serial_diagnostics([1, 2, 3], 1, period=[1, 1, 2]), DataError, "same period"),
        (lambda: default_lag(0), ParameterError, "1 or more"),
    ],
)
def test_wrong_input_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


KINDS: dict[str, dict[str, Any]] = {
    "model": {"se": "model"},
    "HC3": {"se": "HC3"},
    "Newey-West, rule": {"se": "newey-west"},
    "the same, n/(n - k)": {"se": "newey-west", "small_sample": True},
    "AR(1), ML": {"se": "ar1 ml"},
    "AR(1), REML": {"se": "ar1 reml"},
}


def coverage(n: int, rho: float, runs: int, kinds: list[str], seed: int) -> dict[str, float]:
    """Return how often the interval of a level change of 2 holds it, for each kind of error."""
    rng, t, covered = np.random.default_rng(seed), np.arange(n), dict.fromkeys(kinds, 0)
    design = segmented_design(t, n // 2)
    for _ in range(runs):
        new = rng.normal(size=n)
        error = new / math.sqrt(1 - rho**2)
        for i in range(1, n):
            error[i] = rho * error[i - 1] + new[i]
        y = 10 + 0.05 * t + 2 * (t >= n // 2) + error
        for kind in kinds:
            fit = segmented_regression(design, y, **KINDS[kind])
            covered[kind] += int(fit.conf_low[2] <= 2 <= fit.conf_high[2])
    return {kind: count / runs for kind, count in covered.items()}


def test_coverage_of_a_true_level_change():
    # Three binomial standard errors of 300 runs at 95 %: 0.038. Errors that know nothing of the correlation fall short.
    bound = 3 * math.sqrt(0.95 * 0.05 / 300)
    found = coverage(100, 0.4, 300, ["model", "AR(1), REML"], 20261126)
    assert abs(found["AR(1), REML"] - 0.95) <= bound
    assert found["model"] < 0.95 - bound


@pytest.mark.slow
def test_the_table_of_coverage():
    page = (TESTS.parent / "docs" / "methods" / "interrupted.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.partition("| periods | rho |")[2].splitlines()[2:10]]
    assert len(rows) == 8
    for periods, rho, *said in rows:
        found = coverage(int(periods), float(rho), 1000, list(KINDS), 1)
        # another machine's rounding may turn a run or two
        assert_close([100 * share for share in found.values()], [float(one) for one in said], 0, atol=0.3)
