"""Preference scores and common support, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError
from clinops.stats.positivity import common_support, preference_score
from tests.support import assert_close

ARM = np.array([1, 1, 0, 0, 0, 0])
SCORE = np.array([0.9, 0.4, 0.5, 0.3, 0.2, 0.05])


def test_the_preference_score_takes_the_share_treated_out_of_the_logit() -> None:
    found = preference_score(SCORE, ARM)
    logit = np.log(SCORE / (1 - SCORE)) - np.log((1 / 3) / (2 / 3))
    assert_close(found, 1 / (1 + np.exp(-logit)), 1e-12)
    assert_close(preference_score([0.0, 1.0, 1 / 3], [0, 1, 0]), [0, 1, 0.5], 1e-12)  # a third is as good as a coin


def test_equal_arms_prefer_as_they_are_likely() -> None:
    assert_close(preference_score([0.2, 0.9], [0, 1]), [0.2, 0.9], 1e-12)


def test_support_by_hand() -> None:
    weights = np.array([1.0, 3, 2, 1, 1, 0])
    found = common_support(SCORE, ARM, weights)
    assert found.rows == (2, 3)
    assert found.outside == (1, 2)  # 0.9 is above 0.5; 0.3 and 0.2 are below 0.4; the row of weight 0 is not there
    assert_close(found.share_outside, (1 / 4, 2 / 4), 1e-12)
    assert_close(found.effective, (16 / 10, 16 / 6), 1e-12)
    assert_close(found.largest, (3 / 2, 2 / (4 / 3)), 1e-12)
    assert_close(found.share_largest, (3 / 4, 2 / 4), 1e-12)


def test_an_arm_without_weight() -> None:
    found = common_support(SCORE, ARM, np.array([0.0, 0, 1, 1, 1, 1]))
    assert found.rows == (0, 4) and found.outside == (0, 4)
    assert np.isnan(found.share_outside[0]) and found.share_outside[1] == 1


@pytest.mark.parametrize(("score", "arm", "said"), [
    ([0.5], [1, 0], "shape"), ([1.2, 0.1], [1, 0], "between 0 and 1"), ([0.5, 0.5], [1, 1], "Everybody is in one arm"),
])  # fmt: skip
def test_what_is_refused(score: list[float], arm: list[int], said: str) -> None:
    for function in (preference_score, common_support):
        with pytest.raises(DataError, match=said):
            function(score, arm)


def test_weights_must_be_weights() -> None:
    with pytest.raises(DataError, match="none negative"):
        common_support(SCORE, ARM, -np.ones(6))
