"""The check of tails: how many persons carry the standard error of the difference in cost, by hand and in limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinops.analyse.costs.checks import CARRIERS, tails
from clinops.analyse.costs.rows import CostRows
from clinops.results.result import Check
from tests.analyse.costs.support import cost_rows


def rows(exposed: list[float], comparator: list[float], **given: Any) -> CostRows:
    """Persons of two arms, watched for one month, with one category of cost."""
    costs = np.array([*exposed, *comparator], dtype=float)
    return cost_rows(np.arange(len(costs)) < len(exposed), costs, **given)


def test_by_hand() -> None:
    """Deviations over the arm's size: -3/4 three times, 9/4; -1, 1. Squares in sixteenths: 9, 9, 9, 81; 16, 16."""
    found = tails(rows([0, 0, 0, 12], [0, 4]))
    assert found.observed == pytest.approx(140**2 / (3 * 9**2 + 81**2 + 2 * 16**2), rel=1e-12)
    by_arm = found.frame["carriers"].tolist()
    assert by_arm == pytest.approx([108**2 / (3 * 9**2 + 81**2), 2.0], rel=1e-12)
    assert found.passed is False
    assert found.threshold == CARRIERS
    assert "effectively 2.7 persons with large costs" in found.sentence


def test_equal_deviations_count_everybody() -> None:
    found = tails(rows([0, 2] * 10, [1, 3] * 10))
    assert found.observed == pytest.approx(40, rel=1e-12)
    assert found.passed is True
    assert "effectively 40 persons." in found.sentence


def test_one_dear_person_is_enough_to_warn() -> None:
    calm = [float(x) for x in range(100)]
    assert tails(rows(calm, calm)).passed is True
    found = tails(rows([*calm, 1e7], calm))
    assert found.observed == pytest.approx(1.0, abs=0.05)
    assert found.passed is False


def test_what_is_drawn_together_counts_once() -> None:
    """Forty rows of which each exposed pair is one cluster whose deviations add up."""
    found = tails(rows([2, 2, 0, 0] * 5, [1, 3] * 10, cluster=np.r_[np.repeat(np.arange(10), 2), 100 + np.arange(20)]))
    # exposed clusters 2/20 each, comparators 1/20: squares 4 (ten times) and 1 (twenty times)
    assert found.observed == pytest.approx((10 * 4 + 20) ** 2 / (10 * 16 + 20), rel=1e-12)


def test_units_of_money_do_not_matter() -> None:
    one = tails(rows([0, 5, 80, 3], [2, 9, 1])).observed
    other = tails(rows([0, 5e9, 80e9, 3e9], [2e9, 9e9, 1e9])).observed
    assert other == pytest.approx(one, rel=1e-9)


def test_weights_enter() -> None:
    """A person who counts double deviates from the weighted mean, 3, and pulls with his weight."""
    found = tails(rows([0, 4], [0, 2], weights=np.array([1.0, 3.0, 1.0, 1.0])))
    # exposed: mean 3, 1 x -3 / 4 and 3 x 1 / 4; comparators: -1/2, 1/2; squares in sixteenths 9, 9, 4, 4
    assert found.observed == pytest.approx(26**2 / (2 * 81 + 2 * 16), rel=1e-12)


@pytest.mark.parametrize(
    ("exposed", "comparator"), [([], [1, 2]), ([1, 2], []), ([0, 0], [0, 0]), ([5, 5], [5, 5])]
)  # fmt: skip
def test_nothing_to_judge_is_said(exposed: list[float], comparator: list[float]) -> None:
    found: Check = tails(rows(exposed, comparator))
    assert found.passed is None
    assert found.sentence == "Not judged: an arm is empty or its costs do not vary."
