"""Accelerated failure time models against R, closed forms, and by their own laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.aft import DISTRIBUTIONS, AftFit, aft
from clinops.stats.cox import cox
from tests.support import assert_close, oracle, oracle_csv

COLUMNS = ["age", "sex", "ph_ecog"]
EXPECTED = oracle("survival/aft_lung")["expected"]


def _lung(distribution: str, **options: Any) -> AftFit:
    data = oracle_csv("survival/cox_lung")
    return aft(data[COLUMNS], data["time"], data["event"], distribution=distribution, **options)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_fit_equals_r(distribution: str) -> None:
    found, wanted = _lung(distribution), EXPECTED[distribution]
    errors = [*found.std_error] if distribution == "exponential" else [*found.std_error, found.log_scale_std_error]
    ours = {
        "term": ["(Intercept)", *COLUMNS], "coef": found.coef, "scale": found.scale, "loglik": found.log_likelihood,
        "se": errors,
    }  # fmt: skip
    assert_close(ours, wanted, 1e-6)
    z = 1.959963984540054
    coef, error = np.array(wanted["coef"][1:]), np.array(wanted["se"][1:4])
    assert_close(found.time_ratio, np.exp(coef), 1e-6)
    assert_close([*found.conf_low, *found.conf_high], np.exp([*(coef - z * error), *(coef + z * error)]), 1e-6)
    assert found.converged and found.note == ""


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_scores_vanish_and_errors_are_those_of_the_numerical_likelihood(distribution: str) -> None:
    found = _lung(distribution)
    free = 4 if distribution == "exponential" else 5
    assert np.abs(found.scores.sum(axis=0)[:free]).max() < 1e-5
    data = oracle_csv("survival/cox_lung")
    x = np.column_stack([np.ones(len(data)), data[COLUMNS]])
    best = np.append(found.coef, math.log(found.scale))
    step = 1e-4 / np.append(np.abs(x).max(axis=0), 1)[:free]

    def value(moved: np.ndarray) -> float:
        whole = best.copy()
        whole[:free] += moved
        return _likelihood(distribution, x, data["time"].to_numpy(), data["event"].to_numpy(), whole)

    assert value(np.zeros(free)) == pytest.approx(found.log_likelihood, rel=1e-12)
    information = np.zeros((free, free))
    for i in range(free):
        for j in range(free):
            a, b = np.eye(free)[i] * step[i] * 20, np.eye(free)[j] * step[j] * 20
            second = (value(a + b) - value(a - b) - value(b - a) + value(-a - b)) / (4 * a[i] * b[j])
            information[i, j] = -second
    assert_close(np.sqrt(np.diag(np.linalg.inv(information))), np.sqrt(np.diag(found.cov)[:free]), 1e-4)


def _likelihood(distribution: str, x: np.ndarray, time: np.ndarray, event: np.ndarray, at: np.ndarray) -> float:
    from scipy import stats

    scale = math.exp(at[-1])
    law = {"lognormal": stats.norm, "loglogistic": stats.logistic}.get(distribution, stats.gumbel_l)
    z = (np.log(time) - x @ at[:-1]) / scale
    return float(np.where(event == 1, law.logpdf(z) - math.log(scale) - np.log(time), law.logsf(z)).sum())


def test_exponential_without_covariates_is_events_over_time() -> None:
    found = aft(np.zeros((4, 0)), [2, 3, 5, 7], [1, 0, 1, 1], distribution="exponential", weights=[1, 2, 1, 1])
    assert found.coef[0] == pytest.approx(math.log((2 + 6 + 5 + 7) / 3)) and found.scale == 1
    assert found.std_error[0] == pytest.approx(1 / math.sqrt(3)) and math.isnan(found.log_scale_std_error)


def test_lognormal_without_censoring_is_least_squares() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=50)
    log_time = 1 + 0.5 * x + 0.3 * rng.normal(size=50)
    found = aft(x, np.exp(log_time), np.ones(50), distribution="lognormal")
    slope, intercept = np.polyfit(x, log_time, 1)
    residual = log_time - intercept - slope * x
    assert_close(found.coef, [intercept, slope], 1e-8)
    assert found.scale == pytest.approx(residual.std(), rel=1e-8)
    assert found.log_scale_std_error == pytest.approx(math.sqrt(1 / 100), rel=1e-8)


def test_weibull_is_near_the_cox_model() -> None:
    data, found = oracle_csv("survival/cox_lung"), _lung("weibull")
    hazard = cox(data[COLUMNS], data["time"], data["event"])
    assert np.abs(-found.coef[1:] / found.scale - hazard.coef).max() < 0.2 * hazard.se_model.max()


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_predictions_agree_with_each_other_and_with_the_equation(distribution: str) -> None:
    found, people = _lung(distribution), [[60.0, 1, 0], [70, 2, 2]]
    median = found.quantile(people, 0.5)
    survival = found.survival(people, median.estimate)
    assert_close(np.diag(survival.estimate), [0.5, 0.5], 1e-10)
    assert (median.conf_low < median.estimate).all() and (median.estimate < median.conf_high).all()
    assert (survival.conf_low < survival.estimate).all() and (survival.estimate < survival.conf_high).all()
    # the limit of the median is the time at which the limit of survival is 0.5, to first order: errors agree
    z = 1.959963984540054
    log_error = np.log(median.conf_high / median.estimate) / z
    row = np.array([1, *people[0]])
    shift = (math.log(median.estimate[0]) - row @ found.coef) / found.scale
    gradient = np.append(row, found.scale * shift)
    free = 4 if distribution == "exponential" else 5
    by_hand = math.sqrt(gradient[:free] @ found.cov[:free, :free] @ gradient[:free])
    assert log_error[0] == pytest.approx(by_hand, rel=1e-10)


def test_robust_errors_are_the_sandwich() -> None:
    data = oracle_csv("survival/cox_lung")
    plain, robust = _lung("weibull"), _lung("weibull", robust=True)
    by_hand = plain.cov @ plain.scores.T @ plain.scores @ plain.cov
    assert_close(robust.std_error, np.sqrt(np.diag(by_hand))[:4], 1e-10)
    assert robust.se_kind == "robust" and plain.se_kind.startswith("model")
    own = _lung("weibull", cluster=np.arange(len(data)))
    assert_close(own.std_error, robust.std_error, 1e-10)
    assert own.se_kind == "robust, clustered"
    # each row twice in one cluster says no more than once
    twice = aft(
        np.tile(data[COLUMNS], (2, 1)), np.tile(data["time"], 2), np.tile(data["event"], 2),
        cluster=np.tile(np.arange(len(data)), 2),
    )  # fmt: skip
    assert_close(twice.std_error, robust.std_error, 1e-8)


# --- decided answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_events_in_an_arm_is_an_infinite_time_ratio(distribution: str) -> None:
    time, event, arm = [1, 2, 3, 4, 5, 6, 7, 8], [1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]
    found = aft(arm, time, event, distribution=distribution)
    assert found.time_ratio[0] == math.inf and math.isnan(found.std_error[1]) and "plus infinity" in found.note
    # the other arm keeps the estimate it has alone: an arm that never fails adds nothing
    alone = aft(np.zeros((4, 0)), time[:4], event[:4], distribution=distribution)
    assert_close(
        [found.coef[0], found.scale, found.std_error[0]], [alone.coef[0], alone.scale, alone.std_error[0]], 1e-4
    )


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_no_events_nobody_and_one_person(distribution: str) -> None:
    none = aft([0, 1], [2, 3], [0, 0], distribution=distribution)
    assert np.isnan(none.coef).all() and "no events" in none.note
    nobody = aft(np.zeros((0, 1)), [], [], distribution=distribution)
    assert nobody.n == 0 and "no rows" in nobody.note
    one = aft(np.zeros((1, 0)), [2], [1], distribution=distribution)
    if distribution == "exponential":
        assert one.coef[0] == pytest.approx(math.log(2)) and one.std_error[0] == pytest.approx(1)
    else:
        assert math.isnan(one.coef[0]) and math.isnan(one.scale) and "no maximum" in one.note


def test_times_without_spread_have_no_maximum() -> None:
    found = aft(np.zeros((3, 0)), [2, 2, 2], [1, 1, 1])
    assert math.isnan(found.scale) and "no maximum" in found.note


def test_a_repeated_column_is_left_out() -> None:
    data = oracle_csv("survival/cox_lung")
    x = np.column_stack([data["age"], data["age"] * 2, np.ones(len(data))])
    found, alone = aft(x, data["time"], data["event"]), aft(data["age"], data["time"], data["event"])
    assert_close([*found.coef[:2], *found.std_error[:2]], [*alone.coef, *alone.std_error], 1e-10)
    assert np.isnan(found.coef[2:]).all() and "coefficient 2" in found.note and "coefficient 3" in found.note


def test_rows_of_no_length_are_set_aside() -> None:
    assert aft(np.zeros((3, 0)), [0, 2, 5], [1, 1, 1]).set_aside == 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(ParameterError, match="distribution"):
        aft([1], [1], [1], distribution="gamma")
    with pytest.raises(ParameterError, match="level"):
        aft([1], [1], [1], level=95)
    with pytest.raises(DataError, match="X has the shape"):
        aft([1, 2], [1], [1])
    with pytest.raises(DataError, match="missing or infinite"):
        aft([np.nan], [1], [1])
    found = _lung("weibull")
    with pytest.raises(DataError, match="newdata"):
        found.quantile([[1.0]], 0.5)
    with pytest.raises(DataError, match="positive"):
        found.survival([[1.0, 1, 1]], [0])
    with pytest.raises(ParameterError, match="probability"):
        found.quantile([[1.0, 1, 1]], 50)


# --- laws ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.integers(0, 10_000), st.sampled_from(DISTRIBUTIONS), st.floats(0.01, 400))
def test_order_weights_and_units(seed: int, distribution: str, unit: float) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    x, time = rng.normal(size=(n, 2)), rng.exponential(10, n) + 0.1
    event, weight = (rng.random(n) < 0.7).astype(int), rng.integers(1, 4, n)
    event[:6] = 1
    found = aft(x, time, event, distribution=distribution, weights=weight)
    order = rng.permutation(n)
    same = aft(x[order], time[order], event[order], distribution=distribution, weights=weight[order])
    again = np.repeat(np.arange(n), weight)
    copies = aft(x[again], time[again], event[again], distribution=distribution)
    for other in (same, copies):
        assert_close([*other.coef, *other.std_error, other.scale], [*found.coef, *found.std_error, found.scale], 1e-6)
    scaled = aft(x * [1, unit], time * unit, event, distribution=distribution, weights=weight)
    assert scaled.coef[0] - math.log(unit) == pytest.approx(found.coef[0], abs=1e-6)
    assert_close([scaled.coef[1], scaled.coef[2] * unit, scaled.scale], [*found.coef[1:], found.scale], 1e-6, atol=1e-8)
