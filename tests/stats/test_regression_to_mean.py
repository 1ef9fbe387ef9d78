"""Regression to the mean: the integral in R, simulated normal and skewed data, and a real trial's control arm."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.regression_to_mean import before_after, linear_change, matched_change, truncated_change
from tests.support import assert_close, oracle

CLAIMS = Path(__file__).parents[2] / "data" / "illinois-wellness" / "claims.csv"


@pytest.mark.parametrize("case", oracle("epi/robustness")["expected"]["regression_to_mean"])
def test_the_formula_is_the_integral_over_everybody_beyond_the_cutoff(case: dict[str, float]) -> None:
    found = truncated_change(case["m"], case["s"], case["r"], case["c"], mean_after=case["m2"], sd_after=case["s2"])
    assert_close([found.before, found.after], [case["before"], case["after"]])
    assert found.change == pytest.approx(case["after"] - case["before"])
    below = truncated_change(-case["m"], case["s"], case["r"], -case["c"], above=False, mean_after=-case["m2"],
                             sd_after=case["s2"])  # fmt: skip
    assert_close([below.before, below.after], [-case["before"], -case["after"]])


def test_the_textbook_form_and_its_ends() -> None:
    """-sd (1 - rho) C(z); nothing with rho 1, the whole way back to the mean with rho 0."""
    z = (140 - 120) / 15
    mills = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) / (0.5 * math.erfc(z / math.sqrt(2)))
    assert truncated_change(120, 15, 0.7, 140).change == pytest.approx(-15 * 0.3 * mills)
    assert truncated_change(120, 15, 1.0, 140).change == pytest.approx(0, abs=1e-12)
    assert truncated_change(120, 15, 0.0, 140).after == pytest.approx(120)
    assert math.isfinite(truncated_change(0, 1, 0.5, 40).change)  # far in the tail


def test_on_normal_data_all_three_agree_with_what_happens() -> None:
    rng = np.random.default_rng(8)
    before = rng.normal(100, 20, 400_000)
    after = 100 + 0.6 * (before - 100) + rng.normal(0, 16, len(before))
    picked = before > 125
    truth = (after - before)[picked].mean()
    formula = truncated_change(100, 20, 0.6, 125)
    line = linear_change(before[picked], before, after)
    direct = matched_change(before[picked], before, after)
    assert [formula.change, line.change, direct.change] == pytest.approx([truth] * 3, rel=0.01)
    assert direct.covered == 1 and direct.note == ""


def test_on_skewed_data_the_formula_understates_and_matching_does_not() -> None:
    """A lasting rate (gamma) and Poisson visits around it: the change at `before` is (mean - before) / (1 + scale)."""
    rng = np.random.default_rng(9)
    rate = rng.gamma(0.4, 2.5, 300_000)
    before, after = rng.poisson(rate), rng.poisson(rate)
    picked = before >= 5
    truth = (after - before)[picked].mean()
    formula = truncated_change(before.mean(), before.std(), np.corrcoef(before, after)[0, 1], 4.5).change
    assert truth == pytest.approx((1.0 - before[picked].mean()) / 3.5, abs=0.05)
    assert 0.65 < formula / truth < 0.75  # three tenths too small
    untreated, treated = np.arange(len(before)) % 2 == 0, picked & (np.arange(len(before)) % 2 == 1)
    found = matched_change(before[treated], before[untreated], after[untreated])
    assert found.change == pytest.approx(truth, abs=3 * found.std_error) and found.std_error < 0.02 * abs(truth)


def test_the_errors_are_the_spread_over_samples() -> None:
    rng = np.random.default_rng(10)
    picked = rng.normal(2, 0.5, 400)
    matched, line, said = [], [], []
    for _ in range(400):
        before = rng.normal(0, 1.5, 800)
        after = 0.5 * before + rng.normal(0, 1 + 0.3 * np.abs(before))
        a, b = matched_change(picked, before, after, strata=4), linear_change(picked, before, after)
        matched.append(a.change)
        line.append(b.change)
        said.append((a.std_error, b.std_error))
    assert np.mean(said, axis=0) == pytest.approx([np.std(matched), np.std(line)], rel=0.1)


def test_strata_are_weighted_by_the_selected_and_gaps_are_said() -> None:
    """By hand: values 1 and 5 among the selected, three to one; untreated move by -1 at 1 and -4 at 5."""
    selected = [1, 1, 1, 5]
    before, after = [1, 1, 5, 5, 9], [0, 0, 0, 2, 0]
    found = matched_change(selected, before, after, strata=2)
    assert found.change == pytest.approx(0.75 * -1 + 0.25 * -4) and found.before == 2
    part = matched_change(selected, before[:3], after[:3], strata=2)  # one untreated person at 5 is not enough
    assert part.covered == 0.75 and part.change == -1 and "25%" in part.note and part.before == 1


def test_who_is_not_covered_counts_neither_before_nor_after() -> None:
    """All selected, the highest too, fall by regression alone: what is left is nothing though the top has no peers."""
    rng = np.random.default_rng(3)
    left, everybody = [], []
    for _ in range(40):
        z = rng.normal(size=(2, 4000))
        before, after = np.exp(1.2 * z[0]), np.exp(1.2 * (0.5 * z[0] + 0.75**0.5 * z[1]))
        chosen = rng.random(4000) < np.where(z[0] > 1, np.clip(0.3 + 0.3 * z[0], 0, 1), 0)
        expected = matched_change(before[chosen], before[~chosen], after[~chosen])
        found = before_after(before[chosen], after[chosen], expected)
        assert expected.covered < 1 and found.n == expected.within.sum() and found.before == expected.before
        left.append(found.left)
        everybody.append((after - before)[chosen].mean() - expected.change)
    error = np.std(left) / 40**0.5
    assert abs(np.mean(left)) < 3.5 * error and np.mean(everybody) < -8 * error
    with pytest.raises(DataError, match="other persons"):
        before_after(before[chosen][::-1], after[chosen][::-1], expected)


def test_a_single_covered_person_has_no_error() -> None:
    expected = matched_change([1.0, 5.0], [1.0, 1.0], [0.0, 1.0], strata=2)
    found = before_after([1.0, 5.0], [2.0, 0.0], expected)
    assert (found.n, found.observed, found.left) == (1, 1.0, 1.5)
    assert np.isnan([found.left_error, found.left_low, found.p_value]).all()


def test_what_is_left_adds_the_errors() -> None:
    before, after = np.array([10.0, 12.0, 14.0, 20.0]), np.array([6.0, 9.0, 11.0, 10.0])
    expected = linear_change(before, [0, 10, 20, 15], [1, 9, 15, 14])
    found = before_after(before, after, expected)
    change = after - before
    assert found.observed == change.mean() and found.left == pytest.approx(change.mean() - expected.change)
    both = math.hypot(change.std(ddof=1) / 2, expected.std_error)
    assert found.left_low == pytest.approx(found.left - 1.959963984540054 * both)
    known = before_after(before, after, truncated_change(10, 4, 0.5, 11))
    assert known.left_error == known.observed_error and math.isnan(known.expected_error)
    still = before_after([1, 1], [1, 1], truncated_change(1, 1, 0.5, 0))
    assert math.isnan(still.p_value) and still.observed == 0


# --- clusters -------------------------------------------------------------------------------------------------


def clustered(seed: int, groups: int, size: int, first: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Before, after and cluster; each cluster moves by a common amount of SD 1 beside a person's of SD 1."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(first, first + groups), size)
    before = rng.normal(size=len(ids))
    return before, before + np.repeat(rng.normal(size=groups), size) + rng.normal(size=len(ids)), ids


def test_clusters_of_one_size_have_the_error_of_their_means() -> None:
    """Closed form: CR1 of a mean is the spread of the clusters' means over the root of their number."""
    x, y, ids = clustered(1, 12, 5)
    known = truncated_change(0, 1, 0.5, 0.0)
    found = before_after(x, y, known, cluster=ids)
    means = (y - x).reshape(12, 5).mean(axis=1)
    assert found.observed_error == pytest.approx(means.std(ddof=1) / math.sqrt(12), rel=1e-12)
    assert found.left_error == found.observed_error
    everybody = matched_change(x, x, y, strata=1, cluster=ids)
    assert everybody.std_error == pytest.approx(found.observed_error, rel=1e-12)


def test_the_clustered_error_of_the_line_is_that_of_the_regression() -> None:
    """The intercept of a regression on the distance from the selected, CR1 by matrices."""
    x, y, ids = clustered(2, 15, 4)
    design = np.column_stack([np.ones(60), x - 1.5])
    bread = np.linalg.inv(design.T @ design)
    scores = design * (y - design @ (bread @ design.T @ y))[:, None]
    sums = scores.reshape(15, 4, 2).sum(axis=1)
    cov = 15 / 14 * 59 / 58 * bread @ sums.T @ sums @ bread
    found = linear_change([1.0, 2.0], x, y, cluster=ids)
    assert found.std_error == pytest.approx(math.sqrt(cov[0, 0]), rel=1e-9)


def test_persons_who_are_all_a_cluster_of_their_own_have_the_plain_errors() -> None:
    x, y, _ = clustered(3, 30, 1)
    mine, theirs = slice(0, 10), slice(10, 30)
    for make in (linear_change, matched_change):
        more = {"strata": 2} if make is matched_change else {}
        plain = make(x[mine], x[theirs], y[theirs], **more)
        alone = make(x[mine], x[theirs], y[theirs], cluster=np.arange(10, 30), **more)
        both = before_after(x[mine], y[mine], plain), before_after(x[mine], y[mine], alone, cluster=np.arange(10))
        assert both[0].left_error == pytest.approx(both[1].left_error, rel=1e-12)
        assert plain.std_error == pytest.approx(alone.std_error, rel=1e-12)


def test_the_same_persons_on_both_sides_have_the_error_of_their_differences() -> None:
    """Closed form: the paired error, and n/(n-1) (2n-1)/2n for n clusters of two rows."""
    x, y, ids = clustered(4, 20, 1)
    rng = np.random.default_rng(5)
    now, later = x, y + rng.normal(size=20)
    found = before_after(now, later, matched_change(now, x, y, strata=1, cluster=ids), cluster=ids)
    paired = ((later - now) - (y - x)).std(ddof=1) / math.sqrt(20)
    assert found.left_error == pytest.approx(paired * math.sqrt(20 / 19 * 39 / 40), rel=1e-12)


def test_with_clusters_nothing_is_found_as_often_as_is_said_and_without_them_far_more_often() -> None:
    plain, respected = [], []
    for seed in range(400):
        mine, theirs = clustered(2 * seed, 20, 8), clustered(2 * seed + 1, 20, 8, first=100)
        args = (mine[0], theirs[0], theirs[1])
        plain.append(before_after(*mine[:2], matched_change(*args, strata=2)).p_value)
        expected = matched_change(*args, strata=2, cluster=theirs[2])
        respected.append(before_after(*mine[:2], expected, cluster=mine[2]).p_value)
    assert np.mean(np.array(plain) < 0.05) > 0.25
    assert np.mean(np.array(respected) < 0.05) < 0.05 + 3.5 * math.sqrt(0.05 * 0.95 / 400)


def test_too_few_clusters_have_no_error_or_no_expectation() -> None:
    x, y, ids = clustered(6, 4, 5)
    expected = matched_change(x, x, y, strata=1, cluster=ids)
    single = before_after(x, y, expected, cluster=np.zeros(20))
    assert np.isnan([single.observed_error, single.left_error, single.left_low, single.p_value]).all()
    assert math.isfinite(single.left)
    with pytest.raises(DataError, match="two untreated persons of two clusters"):
        matched_change(x, x, y, cluster=np.zeros(20))
    with pytest.raises(DataError, match="3 clusters"):
        linear_change(x, x, y, cluster=ids % 2)
    with pytest.raises(DataError, match="one side alone"):
        before_after(x, y, expected)
    with pytest.raises(DataError, match=r"must be \(20,\)"):
        matched_change(x, x, y, cluster=ids[1:])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="above 0"):
        truncated_change(0, 0, 0.5, 1)
    with pytest.raises(DataError, match="-1 to 1"):
        truncated_change(0, 1, 1.5, 1)
    with pytest.raises(DataError, match="3 untreated"):
        linear_change([1], [1, 1, 1], [1, 2, 3])
    with pytest.raises(DataError, match="missing"):
        matched_change([1, math.nan], [1, 2], [1, 2])
    with pytest.raises(DataError, match="No stratum"):
        matched_change([5, 6], [1, 2], [1, 2])
    with pytest.raises(DataError, match="two persons"):
        before_after([1], [2], truncated_change(0, 1, 0.5, 1))
    with pytest.raises(ParameterError, match="at least 1"):
        matched_change([1], [1, 1], [2, 2], strata=0)


# --- a programme that nobody in the control arm had ----------------------------------------------------------


def test_the_dearest_tenth_of_the_illinois_control_arm_fell_by_a_fifth() -> None:
    """102 employees without any programme: their spending fell 18.6 %, which a single-arm report would have claimed."""
    with CLAIMS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = [
        (float(r["spend_0715_0716"]), float(r["spend_0816_0717"]))
        for r in rows
        if r["treat"] == "0" and r["spend_0715_0716"] and r["spend_0816_0717"]
    ]
    before, after = np.array(pairs).T
    picked = before >= np.quantile(before, 0.9)
    found = matched_change(before[picked], before, after, strata=1)
    assert picked.sum() == 102 and found.covered == 1
    assert 100 * found.change / found.before == pytest.approx(-18.6, abs=0.05)
    left = before_after(before[picked], after[picked], found)
    assert left.left == pytest.approx(0, abs=1e-9)  # no programme: all of it was expected
