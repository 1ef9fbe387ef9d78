"""Exact and coarsened exact matching and subclassification: group for group against MatchIt 4.7.1, and the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.subclasses import Subclasses, coarsened_exact_match, exact_match, subclassify
from tests.stats.matchit import (
    DATA,
    MATCHIT,
    check_balance,
    check_effect,
    check_regression,
    their_groups,
    their_weights,
)
from tests.support import assert_close

COVARIATES = DATA.X[:, [0, 1, 5, 6, 7, 8]]
MADE = {
    "cem_default": coarsened_exact_match(COVARIATES, DATA.treated, exact=DATA.race),
    "subclass5_att": subclassify(DATA.score, DATA.treated),
}
variants = pytest.mark.parametrize("variant", MADE)


@variants
def test_groups_weights_and_counts_equal_matchit(variant: str) -> None:
    made, expected = MADE[variant], MATCHIT[variant]
    assert made.subclass.tolist() == their_groups(variant).tolist()
    assert_close(made.weights, their_weights(variant), 1e-8)
    assert made.n_matched_treated == expected["n_matched"]["treated"]
    assert made.n_matched_comparators == expected["n_matched"]["control"]


@variants
def test_balance_and_effects_equal_r(variant: str) -> None:
    check_balance(variant, MADE[variant].weights)
    check_effect(variant, MADE[variant].weights, MADE[variant].subclass)
    check_regression(variant, MADE[variant].weights)


def test_exact_groups_and_weights_equal_matchit() -> None:
    labels = np.column_stack([DATA.race, DATA.married, DATA.X[:, 6]])
    made = exact_match(labels, DATA.treated)
    assert made.subclass.max() + 1 == len(made.treated_in) == MATCHIT["exact_match"]["n_subclass"]
    assert_close(made.weights, their_weights("exact_match"), 1e-8)


def test_dummies_in_bins_are_the_levels_themselves() -> None:
    made = coarsened_exact_match(DATA.X, DATA.treated)
    assert made.subclass.tolist() == MADE["cem_default"].subclass.tolist()


def promises(made: Subclasses, treated: np.ndarray) -> None:
    kept = made.subclass >= 0
    assert (kept == (made.weights > 0)).all()
    assert (made.weights[treated & kept] == 1).all()
    assert_close(made.weights[~treated].sum(), made.n_matched_comparators)
    assert np.bincount(made.subclass[treated & kept], minlength=1).tolist() in (made.treated_in.tolist(), [0])
    assert (made.treated_in > 0).all() and (made.comparators_in > 0).all()
    assert made.n_matched_treated + made.n_unmatched_treated == made.n_treated == treated.sum()
    assert made.n_matched_comparators + made.n_unmatched_comparators == (~treated).sum()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), number=st.integers(1, 6))
def test_promises_hold_and_the_order_of_rows_does_not_matter(seed: int, n: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    X, treated, turn = rng.integers(0, 4, (n, 2)).astype(float), rng.random(n) < 0.5, rng.permutation(n)
    for method in (
        exact_match,
        lambda x, t: coarsened_exact_match(x, t, bins=number),
        lambda x, t: subclassify(x[:, 0], t, number),
    ):
        made, turned = method(X, treated), method(X[turn], treated[turn])
        promises(made, treated)
        assert_close(turned.weights, made.weights[turn])
        same = made.subclass[:, None] == made.subclass
        assert ((turned.subclass[:, None] == turned.subclass) == same[np.ix_(turn, turn)]).all()


def test_exact_matching_is_what_a_table_says() -> None:
    made = exact_match(["a", "b", "a", "a", "b", "c"], [1, 0, 0, 0, 1, 1])
    assert made.subclass.tolist() == [0, 1, 0, 0, 1, -1]
    assert_close(made.weights, [1, 1.5, 0.75, 0.75, 1, 0])  # 1/2 + 1/2 + 1, scaled by 3 comparators over 2 treated
    assert made.share_unmatched == 1 / 3 and "matched treated" in made.note


def test_bins_are_ours_to_choose() -> None:
    X, treated = np.array([[0.0], [1.0], [2.0], [10.0]]), [1, 0, 1, 0]
    assert coarsened_exact_match(X, treated, bins=1).subclass.tolist() == [0, 0, 0, 0]
    assert coarsened_exact_match(X, treated, bins=2).cuts[0].tolist() == [5.0]
    at_two = coarsened_exact_match(X, treated, bins=[[2.0]])
    assert at_two.subclass.tolist() == [0, 0, 1, 1]  # a value on a cut belongs above it
    assert coarsened_exact_match(X, treated).cuts[0].tolist() == [10 / 3, 20 / 3]  # Sturges: log2 4 + 1 = 3 bins


def test_columns_with_their_own_bins() -> None:
    X = np.column_stack([np.arange(4.0), np.arange(4.0)])
    made = coarsened_exact_match(X, [1, 0, 1, 0], bins=[1, [1.5]])
    assert [cut.tolist() for cut in made.cuts] == [[], [1.5]]
    assert made.subclass.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("treated", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_arm_groups_nobody_and_says_so(treated: list[int]) -> None:
    X = np.ones((3, 1))
    for made in (exact_match(X, treated), coarsened_exact_match(X, treated), subclassify(X[:, 0], treated)):
        assert (made.subclass == -1).all() and (made.weights == 0).all() and "Nothing to match" in made.note
        assert len(made.treated_in) == 0


def test_no_partner_for_anybody() -> None:
    made = exact_match([1, 2], [1, 0])
    assert made.subclass.tolist() == [-1, -1] and made.share_unmatched == 1 and "1 of 1 treated" in made.note


def test_a_constant_covariate_one_level_and_two_rows() -> None:
    treated = [1, 0]
    for made in (
        exact_match(["x", "x"], treated),
        coarsened_exact_match(np.full((2, 1), 7.0), treated),
        subclassify([0.3, 0.3], treated),
    ):
        assert made.subclass.tolist() == [0, 0] and made.weights.tolist() == [1, 1] and made.note == ""


def test_a_subclass_without_an_arm_is_set_aside_and_counted() -> None:
    made = subclassify([0.1, 0.2, 0.8, 0.9, 0.15, 0.05], [1, 1, 1, 1, 0, 0], 2)
    assert made.subclass.tolist() == [0, 0, -1, -1, 0, 0]
    assert (made.n_unmatched_treated, made.n_unmatched_comparators) == (2, 0) and "2 of 4 treated" in made.note


def test_no_rows() -> None:
    assert exact_match([], []).n_treated == 0
    assert coarsened_exact_match(np.zeros((0, 2)), []).n_treated == 0
    assert subclassify([], []).n_treated == 0


def test_errors() -> None:
    with pytest.raises(DataError, match="1 labels are missing"):
        exact_match([1.0, np.nan], [1, 0])
    with pytest.raises(DataError, match="one row for each"):
        exact_match([1, 2, 3], [1, 0])
    with pytest.raises(DefinitionError, match="Did you mean 'sturges'"):
        coarsened_exact_match([[1.0], [2.0]], [1, 0], bins="sturgis")
    with pytest.raises(DefinitionError, match="1 rules for 2 columns"):
        coarsened_exact_match([[1.0, 2.0]], [1], bins=[3])
    with pytest.raises(DefinitionError, match="at least 1"):
        coarsened_exact_match([[1.0]], [1], bins=0)
    with pytest.raises(DefinitionError, match="must rise"):
        coarsened_exact_match([[1.0]], [1], bins=[[2.0, 1.0]])
    with pytest.raises(DataError, match=r"column\(s\) \[0\]"):
        coarsened_exact_match([[np.nan], [2.0]], [1, 0])
    with pytest.raises(DataError, match="shape"):
        coarsened_exact_match([1.0, 2.0], [1, 0])
    with pytest.raises(DataError, match="1 of 2 distances"):
        subclassify([np.nan, 1], [1, 0])
    with pytest.raises(DataError, match="shape"):
        subclassify([1.0], [1, 0])
    with pytest.raises(DefinitionError, match="number is 0"):
        subclassify([1.0], [1], 0)
