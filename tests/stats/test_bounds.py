"""Bounds: every completion written out, the constant of Imbens and Manski in R, coverage in simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.bounds import interval_of_bounds, missing_outcome_bounds, unmatched_bounds
from clinops.stats.weighted_effects import weighted_effect
from tests.support import assert_close, oracle


@pytest.mark.parametrize("case", oracle("epi/robustness")["expected"]["bounds"])
def test_the_interval_is_that_of_r(case: dict[str, float]) -> None:
    found = interval_of_bounds(case["low"], case["low_error"], case["high"], case["high_error"])
    assert_close(found, [case["conf_low"], case["conf_high"]])


def test_the_interval_at_its_ends() -> None:
    assert interval_of_bounds(1, 0.5, 1, 0.5) == pytest.approx((1 - 1.959964 * 0.5, 1 + 1.959964 * 0.5), rel=1e-6)
    assert interval_of_bounds(0, 0.01, 9, 0.01) == pytest.approx((-0.01644854, 9.01644854), rel=1e-6)
    assert interval_of_bounds(0, 0, 1, 0) == (0, 1)
    assert all(map(math.isnan, interval_of_bounds(0, math.nan, 1, 1)))
    with pytest.raises(DataError, match="they rise"):
        interval_of_bounds(1, 0.1, 0, 0.1)


def test_clusters_reach_the_error_of_both_ends() -> None:
    rng = np.random.default_rng(4)
    site = np.repeat(np.arange(12), 20)
    arm, w = site % 2, rng.uniform(0.2, 3, 240) * (rng.random(240) < 0.9)
    y = rng.normal(size=240) + rng.normal(0, 2, 12)[site]
    alike = missing_outcome_bounds(y, y, arm, w, cluster=site)
    known = weighted_effect(y, arm.astype(bool), w, cluster=site)
    assert alike.low == alike.high == pytest.approx(known.estimate)
    assert alike.low_error == alike.high_error == pytest.approx(known.std_error)
    assert alike.low_error > 1.5 * missing_outcome_bounds(y, y, arm, w).low_error
    assert (alike.conf_low, alike.conf_high) == pytest.approx((known.conf_low, known.conf_high))
    one = missing_outcome_bounds(y, y, arm, w, cluster=np.zeros(240))
    assert math.isnan(one.low_error) and math.isnan(one.conf_low) and one.low == alike.low
    with pytest.raises(DataError, match="one id a row"):
        missing_outcome_bounds(y, y, arm, w, cluster=site[1:])


def test_the_bounds_hold_every_completion_and_are_reached() -> None:
    y = np.array([1.0, 0, 1, math.nan, 0, 1, math.nan, math.nan])
    arm, w = np.array([1, 1, 1, 1, 0, 0, 0, 0]), np.array([1, 2, 1, 1, 1, 1, 3, 0.5])
    gone = np.isnan(y)
    found = missing_outcome_bounds(np.where(gone, 0, y), np.where(gone, 1, y), arm, w)
    effects = []
    for values in itertools.product((0, 0.5, 1), repeat=3):
        full = y.copy()
        full[gone] = values
        effects.append(
            np.average(full[arm == 1], weights=w[arm == 1]) - np.average(full[arm == 0], weights=w[arm == 0])
        )
    assert (found.low, found.high) == pytest.approx((min(effects), max(effects)))
    assert found.share_missing == pytest.approx(w[gone].sum() / w.sum()) and "sign" in found.note
    known = missing_outcome_bounds(np.where(gone, 0, y), np.where(gone, 0, y), arm, w)
    assert known.low == known.high and known.share_missing == 0
    assert known.conf_high - known.high == pytest.approx(1.959964 * known.high_error, rel=1e-6)


def test_one_person_in_an_arm_has_bounds_and_no_interval() -> None:
    found = missing_outcome_bounds([0, 0, 1], [1, 0, 1], [1, 0, 0])
    assert (found.low, found.high) == (-0.5, 0.5)
    assert np.isnan([found.low_error, found.high_error, found.conf_low, found.conf_high]).all()


def test_the_interval_covers_a_true_effect_at_an_end() -> None:
    """All the missing exposed would have had the event: the truth is the upper end, the hardest place."""
    rng = np.random.default_rng(11)
    n, covered = 400, []
    for _ in range(1500):
        y, arm = rng.random(2 * n) < 0.4, np.arange(2 * n) < n
        gone = arm & (rng.random(2 * n) < 0.2)
        y = y | gone
        found = missing_outcome_bounds(np.where(gone, 0.0, y), np.where(gone, 1.0, y), arm)
        covered.append(found.conf_low <= 0.2 * 0.6 + 0.4 - 0.4 <= found.conf_high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.017)


def test_the_unmatched_are_bounded_by_what_they_could_have_had() -> None:
    found = unmatched_bounds(-2.0, 0.5, [6.0, 8.0, 10.0, 4.0], 10, least=0.0, most=20.0)
    assert (found.low, found.high) == pytest.approx((0.6 * -2 + 0.4 * (7 - 20), 0.6 * -2 + 0.4 * 7))
    error = math.sqrt((0.6 * 0.5) ** 2 + 0.16 * np.var([6, 8, 10, 4], ddof=1) / 4)
    assert found.low_error == pytest.approx(error) and found.share_missing == 0.4
    none = unmatched_bounds(-2.0, 0.5, [], 10, least=0.0, most=20.0)
    assert none.low == none.high == -2 and none.low_error == 0.5 and none.note == ""


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="least not above"):
        missing_outcome_bounds([1, 0], [0, 0], [1, 0])
    with pytest.raises(DataError, match="each arm"):
        missing_outcome_bounds([0, 0], [1, 1], [1, 1])
    with pytest.raises(DataError, match="must be equal"):
        missing_outcome_bounds([0, 0], [1, 1], [1])
    with pytest.raises(DataError, match="fewer than all"):
        unmatched_bounds(0, 1, [1.0, 2.0], 2, least=0, most=1)
    with pytest.raises(DataError, match="above most"):
        unmatched_bounds(0, 1, [1.0], 2, least=2, most=1)
    with pytest.raises(ParameterError, match=r"needs 0.5 or more"):
        missing_outcome_bounds([0, 0, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0], level=0.4)
    with pytest.raises(ParameterError, match="between 0 and 1"):
        missing_outcome_bounds([0, 0], [1, 1], [1, 0], level=95)
