"""Quantiles by arm: numpy's, weighted ones, the error against a known density, and mass at a value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.quantiles import quantile_effect, quantile_values, weighted_quantile
from clinops.stats.weighted_effects import contrast
from tests.support import assert_close

PROBABILITIES = [0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from(["inverted_cdf", "linear"]))
def test_equals_numpy(seed: int, n: int, kind: str) -> None:
    y = np.random.default_rng(seed).integers(0, 12, n).astype(float)
    assert_close(weighted_quantile(y, PROBABILITIES, kind=kind), np.quantile(y, PROBABILITIES, method=kind), 1e-12)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_whole_weights_are_repeated_values_and_scale_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, times = rng.gamma(1.0, 100.0, 30), rng.integers(0, 5, 30)
    times[0] = 1
    expected = np.quantile(np.repeat(y, times), PROBABILITIES, method="inverted_cdf")
    assert_close(weighted_quantile(y, PROBABILITIES, times), expected, 1e-12)
    assert_close(weighted_quantile(y, PROBABILITIES, times / 7), expected, 1e-12)


def test_difference_of_medians() -> None:
    rng = np.random.default_rng(3)
    y, arm = rng.gamma(1.0, 100.0, 401), np.arange(401) % 2
    found = quantile_effect(y, arm, kind="linear")
    assert_close(found.estimate, np.median(y[arm == 1]) - np.median(y[arm == 0]), 1e-12)
    ratio = quantile_effect(y, arm, kind="linear", scale="ratio")
    assert_close(ratio.estimate, np.median(y[arm == 1]) / np.median(y[arm == 0]), 1e-12)
    several = contrast(quantile_values(y, arm, probabilities=(0.5, 0.9), kind="linear"))
    assert_close(several[0].estimate, found.estimate, 1e-12)


@pytest.mark.parametrize("p", [0.25, 0.5, 0.9])
def test_errors_and_coverage_for_exponential_costs(p: float) -> None:
    """The density at the quantile is 1 - p, so the error of each arm is sqrt(p / (1 - p) / n)."""
    rng = np.random.default_rng(5)
    arm, errors, covered = np.repeat([1, 0], 500), [], []
    for _ in range(300):
        found = quantile_effect(rng.exponential(size=1000), arm, probability=p)
        errors.append(found.std_error)
        covered.append(found.conf_low <= 0 <= found.conf_high)
    assert np.mean(errors) == pytest.approx(np.sqrt(2 * p / (1 - p) / 500), rel=0.08)
    # 95 % of 300 less three binomial standard errors
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 300)


def test_weights_and_clusters_widen() -> None:
    rng = np.random.default_rng(6)
    y, arm = np.repeat(rng.exponential(size=500), 4), np.repeat(np.arange(500) % 2, 4)
    plain = quantile_effect(y, arm).std_error
    clustered = quantile_effect(y, arm, cluster=np.repeat(np.arange(500), 4))
    assert clustered.std_error == pytest.approx(2 * plain, rel=0.05) and "CR1" in clustered.se_kind
    weighted = quantile_effect(y, arm, np.where(np.arange(2000) % 4 == 0, 1.0, 0.0))
    assert weighted.n_exposed == 250 and weighted.std_error > 1.5 * plain


def test_a_quantile_that_many_share_has_no_error() -> None:
    rng = np.random.default_rng(7)
    y = np.where(rng.random(600) < 0.6, 0.0, rng.exponential(size=600))
    found = quantile_effect(y, np.arange(600) % 2)
    assert found.estimate == 0 and np.isnan(found.std_error) and "Many share" in found.note
    assert np.isfinite(quantile_effect(y, np.arange(600) % 2, probability=0.9).std_error)


def test_empty_arm_one_person_and_no_variation() -> None:
    y = np.arange(10.0)
    empty = quantile_effect(y, np.ones(10))
    assert np.isnan([empty.estimate, empty.std_error]).all() and "empty" in empty.note
    one = quantile_effect(y, [1, *[0] * 9])
    assert one.value_exposed == 0 and np.isnan(one.std_error) and "one person" in one.note
    flat = quantile_effect(np.ones(10), np.arange(10) % 2)
    assert flat.estimate == 0 and np.isnan(flat.std_error)
    assert np.isnan(weighted_quantile([1.0, 2.0], 0.5, [0, 0]))[0]


def test_wrong_input_is_named() -> None:
    y, arm = np.arange(10.0), np.arange(10) % 2
    with pytest.raises(DefinitionError, match="Did you mean 'linear'"):
        weighted_quantile(y, 0.5, kind="liner")
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        weighted_quantile(y, 50)
    with pytest.raises(DefinitionError, match="equal weights"):
        weighted_quantile(y, 0.5, y + 1, kind="linear")
    with pytest.raises(DefinitionError, match="between 0 and 1"):
        quantile_effect(y, arm, probability=1.0)
    with pytest.raises(DataError, match="finite"):
        quantile_effect(np.where(y == 3, np.nan, y), arm)
    with pytest.raises(DataError, match="shape"):
        quantile_effect(y[:5], arm)
