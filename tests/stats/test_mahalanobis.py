"""Mahalanobis matching: pair for pair against MatchIt 4.7.1, against brute force, and the edges."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.mahalanobis import match_mahalanobis
from clinops.stats.matching import MatchedSets
from tests.stats.matchit import DATA, MATCHIT, check_balance, check_effect, check_regression, their_weights
from tests.support import assert_close

variants = pytest.mark.parametrize("variant", ["mahalanobis", "mahvars_caliper"])


@cache
def matched(variant: str) -> MatchedSets:
    if variant == "mahalanobis":
        return match_mahalanobis(DATA.X, DATA.treated)
    return match_mahalanobis(DATA.X[:, [0, 1, 7, 8]], DATA.treated, score=DATA.score, caliper=0.2)


@variants
def test_pairs_weights_and_caliper_equal_matchit(variant: str) -> None:
    sets, expected = matched(variant), MATCHIT[variant]
    theirs = [
        [DATA.row[name], DATA.row[mates[0]]]
        for name, mates in zip(*expected["match_matrix"].values(), strict=True)
        if mates[0] is not None
    ]
    assert sets.pairs.tolist() == theirs
    assert_close(sets.weights, their_weights(variant), 1e-8)
    assert sets.n_matched_treated == expected["n_matched"]["treated"]
    if expected["caliper"]:
        assert_close(sets.caliper, expected["caliper"][""], 1e-8)


@variants
def test_balance_and_effects_equal_r(variant: str) -> None:
    check_balance(variant, matched(variant).weights)
    check_effect(variant, matched(variant).weights, matched(variant).set_id)
    check_regression(variant, matched(variant).weights)


def brute_force(X: np.ndarray, treated: np.ndarray, ratio: int, replace: bool) -> list[list[int]]:
    """Every pair's distance by the formula, the nearest taken in turn."""
    within = sum((treated == a).sum() * np.cov(X[treated == a].T, bias=True) for a in (True, False))
    inverse = np.linalg.inv(within / (len(X) - 2))
    free, pairs = (~treated).copy(), []
    rounds = [(row, turn) for turn in range(ratio) for row in np.flatnonzero(treated)]
    for row, _ in sorted(rounds) if replace else rounds:
        gap = X - X[row]
        far = np.where(free, np.einsum("ij,jk,ik->i", gap, inverse, gap), np.inf)
        if replace:
            far[[mate for taker, mate in pairs if taker == row]] = np.inf
        if np.isfinite(far).any():
            pairs.append([int(row), int(far.argmin())])
            free[far.argmin()] = replace
    return sorted(pairs)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 40), ratio=st.integers(1, 3), replace=st.booleans())
def test_equals_brute_force_and_moves_with_nothing(seed: int, n: int, ratio: int, replace: bool) -> None:
    rng = np.random.default_rng(seed)
    X, treated = rng.normal(size=(n, 3)), np.arange(n) % 3 == 0
    sets = match_mahalanobis(X, treated, ratio=ratio, replace=replace)
    assert sorted(sets.pairs.tolist()) == brute_force(X, treated, ratio, replace)
    turned = X @ rng.normal(size=(3, 3)) * 100 + 1e3  # another unit, another basis
    assert match_mahalanobis(turned, treated, ratio=ratio, replace=replace).pairs.tolist() == sets.pairs.tolist()
    redundant = np.column_stack([X, X.sum(axis=1), np.ones(n)])
    assert match_mahalanobis(redundant, treated, ratio=ratio, replace=replace).pairs.tolist() == sets.pairs.tolist()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), n=st.integers(6, 40))
def test_the_order_of_rows_does_not_matter_when_the_score_gives_the_turns(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    X, score, treated, turn = rng.normal(size=(n, 2)), rng.normal(size=n), rng.random(n) < 0.4, rng.permutation(n)
    sets = match_mahalanobis(X, treated, score=score, caliper=1.0)
    turned = match_mahalanobis(X[turn], treated[turn], score=score[turn], caliper=1.0)
    assert sorted(turn[turned.pairs].tolist()) == sorted(sets.pairs.tolist())
    takers, taken = sets.pairs.T
    assert (np.abs(score[takers] - score[taken]) <= (sets.caliper or 0)).all()


def test_exact_labels_are_kept() -> None:
    sets = match_mahalanobis(DATA.X[:, :2], DATA.treated, exact=DATA.race, ratio=2)
    takers, taken = sets.pairs.T
    assert (DATA.race[takers] == DATA.race[taken]).all()
    rows = [(DATA.race == race) & (DATA.treated == 1) for race in np.unique(DATA.race)]
    pools = [(DATA.race == race) & (DATA.treated == 0) for race in np.unique(DATA.race)]
    assert len(takers) == sum(min(2 * a.sum(), b.sum()) for a, b in zip(rows, pools, strict=True))


def test_distance_is_that_of_the_formula() -> None:
    # within the arms x has variance (2 (1/2)^2 + 2 1^2) / (4 - 2) = 1.25
    sets = match_mahalanobis([[0.0], [1.0], [3.0], [5.0]], [1, 1, 0, 0])
    assert sets.pairs.tolist() == [[0, 2], [1, 3]]
    assert_close(sets.distance, [3 / np.sqrt(1.25), 4 / np.sqrt(1.25)])


def test_of_equal_comparators_the_last_above_and_the_first_below() -> None:
    above = match_mahalanobis([[0.0], [2.0], [2.0], [9.0]], [1, 0, 0, 0])
    below = match_mahalanobis([[4.0], [2.0], [2.0], [9.0]], [1, 0, 0, 0])
    assert above.pairs.tolist() == [[0, 2]] and below.pairs.tolist() == [[0, 1]]


@pytest.mark.parametrize("treated", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_arm_matches_nobody_and_says_so(treated: list[int]) -> None:
    sets = match_mahalanobis([[1.0], [2.0], [4.0]], treated)
    assert len(sets.pairs) == 0 and "Nothing to match" in sets.note


def test_nothing_varies_within_the_arms() -> None:
    for X in (np.ones((4, 2)), np.array([[1.0], [1], [0], [0]]), np.empty((4, 0))):
        sets = match_mahalanobis(X, [1, 1, 0, 0])
        assert sets.n_matched_treated == 2 and (sets.distance == 0).all() and "No covariate varies" in sets.note


def test_two_rows_and_none() -> None:
    assert match_mahalanobis([[1.0], [5.0]], [1, 0]).pairs.tolist() == [[0, 1]]
    assert len(match_mahalanobis(np.zeros((0, 2)), []).pairs) == 0


def test_nobody_within_the_caliper() -> None:
    sets = match_mahalanobis([[1.0], [5.0], [3.0]], [1, 0, 0], score=[0.0, 1.0, 2.0], caliper=0.1)
    assert len(sets.pairs) == 0 and sets.share_unmatched == 1


def test_errors() -> None:
    X = [[1.0], [2.0]]
    with pytest.raises(DefinitionError, match="need `score`"):
        match_mahalanobis(X, [1, 0], caliper=0.2)
    with pytest.raises(DefinitionError, match="need `score`"):
        match_mahalanobis(X, [1, 0], order="largest")
    with pytest.raises(DefinitionError, match="Did you mean 'random'"):
        match_mahalanobis(X, [1, 0], order="randum")
    with pytest.raises(DataError, match="missing"):
        match_mahalanobis([[1.0], [np.nan]], [1, 0])
    with pytest.raises(DataError, match="shape"):
        match_mahalanobis([1.0, 2.0], [1, 0])
    with pytest.raises(DataError, match="shape"):
        match_mahalanobis(X, [1, 0], score=[1.0])
