"""Summaries and tests by group: against R, against what they must be by hand, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from clinops.errors import DataError
from clinops.stats.balance import balance, smd_levels, smd_of_counts, smd_of_moments
from clinops.stats.group_summary import group_counts, group_moments, groups
from clinops.stats.group_tests import GroupTest, kruskal_wallis, table_test, welch_test
from clinops.stats.weighting import effective_sample_size
from tests.support import assert_close, oracle, oracle_csv

R = oracle("epi/group_tests")["expected"]
DATA = oracle_csv("epi/group_tests")
BY = {by: np.unique(DATA[by], return_inverse=True) for by in ("arm", "site")}


def moments(name: str, by: str) -> object:
    code = BY[by][1]
    return group_moments(groups(code, code.max() + 1).split(DATA[name].to_numpy(float)))


def counts(name: str, by: str) -> np.ndarray:
    names = sorted(DATA[name].dropna().unique())
    code = DATA[name].map({each: at for at, each in enumerate(names)}).fillna(-1).astype(int)
    group = BY[by][1]
    return group_counts(code, groups(group, group.max() + 1), len(names))


def same(found: GroupTest, expected: dict[str, object]) -> None:
    given = {"statistic": found.statistic, "df": list(found.df), "p": found.p_value}
    assert_close({key: given[key] for key in expected}, expected, 1e-10)


@pytest.mark.parametrize("by", ["arm", "site"])
@pytest.mark.parametrize("name", ["age", "stay", "ldl"])
def test_moments_equal_r(name: str, by: str) -> None:
    found = moments(name, by)
    expected = [R["moments"][name][by][group] for group in BY[by][0]]
    for part in ("n", "mean", "variance"):
        assert_close(getattr(found, part), [each[part] for each in expected], 1e-12)
    whole = found.together()
    assert_close(whole.mean[0], DATA[name].mean(), 1e-12)
    assert_close(whole.variance[0], DATA[name].var(), 1e-12)
    assert whole.missing[0] == DATA[name].isna().sum()


@pytest.mark.parametrize("by", ["arm", "site"])
def test_tests_equal_r(by: str) -> None:
    code, k = BY[by][1], len(BY[by][0])
    for name, expected in R["welch"].items():
        found = moments(name, by)
        same(welch_test(found.n, found.mean, found.variance), expected[by])
    for name, expected in R["kruskal"].items():
        same(kruskal_wallis(groups(code, k).split(DATA[name].to_numpy(float))), expected[by])
    for name, expected in R["chi_squared"].items():
        if by in expected:
            same(table_test(counts(name, by)[:-1]), expected[by])


def test_fisher_equals_r_and_a_sparse_larger_table_is_said_to_be() -> None:
    same(table_test(counts("transplant", "arm")[:-1]), R["fisher"]["transplant"])
    assert table_test(counts("transplant", "arm")[:-1]).method == "Fisher's exact"
    assert "approximate" in table_test(counts("transplant", "site")[:-1]).note


def test_kruskal_is_mann_whitney_for_two_groups() -> None:
    parts = [part for _, part in DATA.groupby("arm")["stay"]]
    assert_close(kruskal_wallis(parts).p_value, R["mann_whitney_stay_p"], 1e-10)


def test_weighted_moments_equal_r() -> None:
    code, names = BY["arm"][1], BY["arm"][0]
    split, weight = groups(code, 2), DATA["weight"].to_numpy()
    found = group_moments(split.split(DATA["age"].to_numpy()), split.split(weight))
    for at, group in enumerate(names):
        expected = R["weighted_age"][group]
        assert_close([found.mean[at], found.variance[at]], [expected["mean"], expected["variance"]], 1e-12)
        assert_close(effective_sample_size(weight[code == at]), expected["ess"], 1e-12)
    known = DATA["age"].notna()
    assert_close(found.together().mean[0], np.average(DATA["age"][known], weights=weight[known]), 1e-12)


def test_other_groupings_equal_scipy() -> None:
    rng = np.random.default_rng(5)
    code = rng.integers(0, 4, 3000)
    x = np.round(rng.gamma(1.0, 3.0, 3000))
    parts = [x[code == at] for at in range(4)]
    ours, theirs = kruskal_wallis(parts), stats.kruskal(*parts)
    assert_close([ours.statistic, ours.p_value], [theirs.statistic, theirs.pvalue], 1e-10)
    two = group_moments(parts[:2])
    ours, theirs = welch_test(two.n, two.mean, two.variance), stats.ttest_ind(*parts[:2], equal_var=False)
    assert_close([ours.statistic, ours.df[0], ours.p_value], [theirs.statistic, theirs.df, theirs.pvalue], 1e-10)
    table = group_counts(x.astype(int), groups(code, 4), int(x.max()) + 1)[:-1]
    table = table[table.sum(axis=1) > 0]
    expected = stats.chi2_contingency(table, correction=False)
    assert_close(table_test(table).p_value, expected.pvalue, 1e-10)


def test_the_smd_of_moments_and_of_counts_is_that_of_the_rows() -> None:
    arm = DATA["arm"].to_numpy() == "offered"
    found = moments("age", "arm")
    rows = balance(DATA[["age"]], arm)
    assert_close(smd_of_moments(*found.mean, *found.variance), rows.smd, 1e-12)
    # two levels: the difference of proportions over the root of the mean of p (1 - p), by hand
    assert_close(smd_of_counts([[30, 20], [70, 80]]), 0.1 / np.sqrt((0.3 * 0.7 + 0.2 * 0.8) / 2), 1e-12)
    assert_close(smd_levels([1, 1, 2, 2, 2], [1, 0, 1, 0, 0]), smd_levels(list("aabbb"), [1, 0, 1, 0, 0]), 1e-12)
    assert np.isnan(smd_of_counts([[3, 0], [4, 0]])) and smd_of_counts([[3, 0], [0, 4]]) == np.inf
    with pytest.raises(DataError, match=r"\(levels, 2\)"):
        smd_of_counts([[1, 2, 3]])


def test_blocks_make_the_whole() -> None:
    rng = np.random.default_rng(8)
    x, w = 1e6 + rng.normal(size=70_000), rng.uniform(0, 2, 70_000)
    x[:33_000] = np.nan  # the first block holds nothing
    known = x[33_000:]
    plain, heavy = group_moments([x]), group_moments([x], [w])
    assert_close([plain.mean[0], plain.variance[0]], [known.mean(), known.var(ddof=1)], 1e-11)
    mean = np.average(known, weights=w[33_000:])
    assert_close(heavy.deviance[0], w[33_000:] @ (known - mean) ** 2, 1e-10)
    assert group_moments([np.full(70_000, 0.1)]).deviance.tolist() == [0.0]


def test_a_large_mean_loses_no_digits_and_a_constant_has_no_spread() -> None:
    x = np.array([1, 2, 3, 4.0])
    assert_close(group_moments([1e9 + x]).variance, [5 / 3], 1e-12)
    flat = group_moments([np.full(7, 0.1), np.full(5, 0.3)])
    assert flat.variance.tolist() == [0, 0] and flat.mean.tolist() == [0.1, 0.3]


def test_empty_missing_single_and_infinite() -> None:
    found = group_moments([[], [np.nan, np.nan], [7.0], [1.0, np.nan, 3.0]])
    assert found.n.tolist() == [0, 0, 1, 2] and found.missing.tolist() == [0, 2, 0, 1]
    assert_close(found.mean, [np.nan, np.nan, 7, 2])
    assert_close(found.variance, [np.nan, np.nan, np.nan, 2])
    assert_close([found.together().mean[0], found.together().variance[0]], [11 / 3, np.var([7, 1, 3], ddof=1)])
    with pytest.raises(DataError, match="values are infinite"):
        group_moments([[1.0, np.inf, np.nan]])


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (welch_test([5, 1], [1, 2], [1, np.nan]), "fewer than two"),
        (welch_test([5, 0], [1, np.nan], [1, np.nan]), "fewer than two"),
        (welch_test([5, 5], [1, 2], [0, 0]), "No group varies"),
        (welch_test([5, 5, 5], [1, 2, 3], [1, 0, 1]), "does not vary"),
        (kruskal_wallis([[1, 2], [np.nan]]), "no value"),
        (kruskal_wallis([[3, 3], [3]]), "All values are equal"),
        (table_test([[4, 0], [3, 0]]), "no value"),
        (table_test([[4, 6], [0, 0]]), "only one level"),
    ],
)
def test_what_cannot_be_tested_is_nan_with_a_note(test: GroupTest, why: str) -> None:
    assert np.isnan(test.p_value) and why in test.note


def test_one_group_that_does_not_vary_still_has_a_t() -> None:
    found = welch_test([4, 9], [1, 2], [2, 0])
    # the whole error is the first group's: t = -1 / sqrt(2 / 4) with its 3 degrees of freedom
    assert_close([found.statistic, found.df[0]], [-np.sqrt(2), 3], 1e-12)
    assert_close(found.p_value, 2 * stats.t.sf(np.sqrt(2), 3), 1e-12)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="k > 1"):
        welch_test([5], [1], [1])
    with pytest.raises(DataError, match="two groups or more"):
        kruskal_wallis([[1, 2]])
    with pytest.raises(DataError, match="infinite"):
        kruskal_wallis([[1, 2], [np.inf]])
    with pytest.raises(DataError, match="whole numbers"):
        table_test([[0.5, 1], [2, 3]])
    with pytest.raises(DataError, match="from 0 to 1"):
        groups([0, 2], 2)
    with pytest.raises(DataError, match="from -1 to 1"):
        group_counts([0, 2], groups([0, 1], 2), 2)


def test_counts_have_the_missing_last_and_may_be_weighted() -> None:
    split = groups([0, 1, 1, 0], 2)
    assert group_counts([0, 1, -1, 1], split, 2).tolist() == [[1, 0], [1, 1], [0, 1]]
    assert group_counts([0, 1, -1, 1], split, 2, [0.5, 2, 3, 4]).tolist() == [[0.5, 0], [4, 2], [0, 3]]
