"""Misclassified outcomes: a published example, records made from known truth, and the draws against their law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.misclassification import Range, bias_analysis, corrected_risks

EVENTS, SIZES = (4558, 3428), (4558 + 46305, 3428 + 46085)
"""Deaths from infarction by sex, the outcome example of Lash, Fox and Fink 2009, ch. 6."""
RISKS = tuple(e / n for e, n in zip(EVENTS, SIZES, strict=True))
BINOMIAL = np.diag([p * (1 - p) / n for p, n in zip(RISKS, SIZES, strict=True)])
SAME = {"sensitivity": (0.53, 0.53), "specificity": (0.99, 0.99)}


def test_the_published_example() -> None:
    found = corrected_risks(*RISKS, **SAME)
    assert RISKS[0] / RISKS[1] == pytest.approx(1.2944, abs=1e-4)  # printed one digit off in the last place
    assert found.ratio == pytest.approx(1.3440, abs=5e-5)
    one, zero = (r * n for r, n in zip((found.risk_exposed, found.risk_comparator), SIZES, strict=True))
    assert one / (SIZES[0] - one) / (zero / (SIZES[1] - zero)) == pytest.approx(1.4062, abs=5e-5)


def test_a_record_made_from_the_truth_leads_back_to_it() -> None:
    truth = (0.12, 0.2)
    for se, sp in (((0.8, 0.8), (0.95, 0.95)), ((0.9, 0.6), (1.0, 0.97)), ((1, 1), (1, 1))):
        seen = [se[a] * truth[a] + (1 - sp[a]) * (1 - truth[a]) for a in (0, 1)]
        found = corrected_risks(*seen, sensitivity=se, specificity=sp)
        assert (found.risk_exposed, found.risk_comparator) == pytest.approx(truth, rel=1e-12)
        assert found.ratio == pytest.approx(0.6) and found.difference == pytest.approx(-0.08)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    n, se, sp = 3000, (0.85, 0.7), (0.97, 0.99)
    truth = (0.10, 0.15)
    seen = [se[a] * truth[a] + (1 - sp[a]) * (1 - truth[a]) for a in (0, 1)]
    covered = []
    for x, y in rng.binomial(n, seen, (2000, 2)) / n:
        found = corrected_risks(
            x, y, sensitivity=se, specificity=sp, covariance=np.diag([x * (1 - x), y * (1 - y)]) / n
        )
        covered.append((found.difference_low <= -0.05 <= found.difference_high,
                        found.ratio_low <= truth[0] / truth[1] <= found.ratio_high))  # fmt: skip
    assert np.mean(covered, axis=0) == pytest.approx(0.95, abs=0.015)


def test_what_cannot_be_is_said_and_not_dropped() -> None:
    found = corrected_risks(0.01, 0.05, sensitivity=(0.9, 0.9), specificity=(0.97, 0.97))
    assert not found.possible and found.risk_exposed < 0 and math.isnan(found.ratio) and "outside 0 to 1" in found.note
    nothing = corrected_risks(0.0, 0.05, sensitivity=(1, 1), specificity=(1, 1), covariance=np.diag([0, 1e-4]))
    assert nothing.possible and nothing.ratio == 0 and math.isnan(nothing.ratio_low) and nothing.note
    with pytest.raises(ParameterError, match="1 or less"):
        corrected_risks(0.1, 0.1, sensitivity=(0.5, 0.9), specificity=(0.5, 0.9))
    with pytest.raises(ParameterError, match="shares from 0 to 1"):
        corrected_risks(0.1, 0.1, sensitivity=(90, 90), specificity=(0.9, 0.9))
    with pytest.raises(DataError, match="shares from 0 to 1"):
        corrected_risks(10, 0.1, **SAME)
    with pytest.raises(ParameterError, match="must rise"):
        Range(0.9, 0.8)


@pytest.mark.parametrize("given", [Range(0.6, 0.9), Range(0.5, 0.95, 0.6, 0.8), Range(0.2, 0.8, 0.3, 0.3)])
def test_a_range_has_the_quantiles_of_its_trapezoid(given: Range) -> None:
    c, d = given.modes
    height = 2 / (given.high + d - given.low - c)

    def density(x: np.ndarray) -> np.ndarray:
        rise = np.where(x < c, (x - given.low) / max(c - given.low, 1e-300), 1.0)
        return height * np.where(x > d, (given.high - x) / max(given.high - d, 1e-300), rise)

    for u in (0.05, 0.3, 0.6, 0.97):
        x = np.linspace(given.low, float(given.quantile(u)), 200_001)
        assert np.trapezoid(density(x), x) == pytest.approx(u, abs=1e-6)


@pytest.mark.parametrize("sp", [0.99, 0.97, 0.9])
def test_a_risk_of_mistakes_alone_is_a_true_risk_of_none(sp: float) -> None:
    """1 - sp recorded by mistake among nobody: 0, whatever the last digit of 1 - sp."""
    for risk in (1 - sp, round(1 - sp, 2)):
        found = corrected_risks(risk, 0.2, sensitivity=(0.8, 0.8), specificity=(sp, sp))
        assert found.possible and found.risk_exposed == 0
        same = {"sensitivity": Range(0.8, 0.8), "specificity": Range(sp, sp)}
        assert bias_analysis(risk, 0.2, covariance=np.zeros((2, 2)), seed=1, draws=10, **same).share_impossible == 0


def test_without_doubt_of_the_record_the_draws_are_its_correction() -> None:
    constant = {"sensitivity": Range(0.53, 0.53), "specificity": Range(0.99, 0.99)}
    found = bias_analysis(*RISKS, **constant, covariance=BINOMIAL, seed=1, draws=40_000)
    exact = corrected_risks(*RISKS, **SAME, covariance=BINOMIAL)
    assert found.ratio == pytest.approx(np.full(3, exact.ratio), rel=1e-12) and found.share_impossible == 0
    assert found.ratio_total[0] == pytest.approx(exact.ratio, rel=2e-3)
    assert found.ratio_total[1:] == pytest.approx([exact.ratio_low, exact.ratio_high], rel=3e-3)
    assert found.difference_total[1:] == pytest.approx([exact.difference_low, exact.difference_high], rel=1e-2)


def test_one_range_serves_both_arms_and_two_do_not_agree() -> None:
    one = bias_analysis(*RISKS, sensitivity=Range(0.4, 0.9), specificity=Range(1, 1), covariance=BINOMIAL, seed=2)
    assert one.ratio == pytest.approx(np.full(3, RISKS[0] / RISKS[1]), rel=1e-12)  # perfect specificity: no change
    pair = {"sensitivity": (Range(0.4, 0.9), Range(0.4, 0.9)), "specificity": Range(1, 1), "covariance": BINOMIAL}
    loose, tight = (bias_analysis(*RISKS, **pair, seed=2, correlation=r) for r in (0.0, 0.95))
    assert np.ptp(loose.ratio) > np.ptp(tight.ratio) > 0.01
    again = bias_analysis(*RISKS, **pair, seed=2, correlation=0.95)
    assert again.ratio_total.tolist() == tight.ratio_total.tolist()


def test_impossible_draws_are_counted() -> None:
    """Specificity uniform on 0.92 to 1, risk of 4 %: below 0.96 nothing is left, half of the draws."""
    found = bias_analysis(0.04, 0.04, sensitivity=Range(0.8, 0.8), specificity=Range(0.92, 1.0),
                          covariance=np.zeros((2, 2)), seed=4, draws=50_000)  # fmt: skip
    assert found.share_impossible == pytest.approx(0.5, abs=0.01) and "of the draws cannot be" in found.note
    none = bias_analysis(0.01, 0.5, sensitivity=Range(0.8, 0.8), specificity=Range(0.9, 0.95),
                         covariance=np.zeros((2, 2)), seed=4, draws=100)  # fmt: skip
    assert none.share_impossible == 1 and np.isnan(none.ratio).all()
    with pytest.raises(ParameterError, match="add up to more than 1"):
        bias_analysis(0.1, 0.1, sensitivity=Range(0.1, 0.2), specificity=Range(0.5, 0.6), covariance=np.eye(2), seed=1)
    with pytest.raises(DataError, match="negative eigenvalue"):
        bias_analysis(0.1, 0.1, sensitivity=Range(0.8, 0.9), specificity=Range(0.9, 1), covariance=[[1, 2], [2, 1]],
                      seed=1)  # fmt: skip
    with pytest.raises(ParameterError, match="correlation"):
        bias_analysis(0.1, 0.1, sensitivity=Range(0.8, 0.9), specificity=Range(0.9, 1), covariance=np.eye(2), seed=1,
                      correlation=2)  # fmt: skip
