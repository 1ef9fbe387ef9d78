"""Greedy matching: pair for pair against MatchIt 4.7.1, against brute force, and its own promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.matching import MatchedSets, match
from tests.stats.matchit import DATA, MATCHIT, check_balance, check_effect, check_regression, their_weights
from tests.support import assert_close

VARIANTS: dict[str, dict[str, Any]] = {
    "nearest_1to1_largest": {"caliper": None},
    "nearest_1to1_data_order": {"caliper": None, "order": "data"},
    "nearest_caliper02": {"caliper": 0.2},
    "nearest_caliper02_logit": {"caliper": 0.2},
    "nearest_exact_race": {"caliper": None, "exact": DATA.race},
    "nearest_caliper_exact": {"caliper": 0.25, "exact": np.column_stack([DATA.race, DATA.married])},
    "nearest_ratio2": {"caliper": None, "ratio": 2},
    "nearest_replace": {"caliper": None, "replace": True},
    "nearest_replace_ratio3_caliper": {"caliper": 0.2, "replace": True, "ratio": 3},
}
variants = pytest.mark.parametrize("variant", VARIANTS)


def matched(variant: str) -> MatchedSets:
    distance = DATA.logit if variant.endswith("logit") else DATA.score
    return match(distance, DATA.treated, **VARIANTS[variant])


@variants
def test_pairs_equal_matchit(variant: str) -> None:
    ours: dict[int, list[int]] = {int(row): [] for row in np.flatnonzero(DATA.treated)}
    for treated, comparator in matched(variant).pairs:
        ours[int(treated)].append(int(comparator))
    matrix = MATCHIT[variant]["match_matrix"]
    for name, mates in zip(matrix["treated"], matrix["control"], strict=True):
        theirs = [DATA.row[mate] for mate in mates if mate is not None]
        mine = ours[DATA.row[name]]
        if variant == "nearest_replace_ratio3_caliper":
            # who is in the set is decided; MatchIt's listing of mates at the same distance is its sort's accident
            assert sorted(mine) == sorted(theirs), name
        else:
            assert mine == theirs, name


@variants
def test_weights_counts_and_caliper_equal_matchit(variant: str) -> None:
    sets, expected = matched(variant), MATCHIT[variant]
    assert_close(sets.weights, their_weights(variant), 1e-8)
    assert sets.n_matched_treated == expected["n_matched"]["treated"]
    assert sets.n_matched_comparators == expected["n_matched"]["control"]
    if expected["caliper"]:
        assert_close(sets.caliper, expected["caliper"][""], 1e-8)


@variants
def test_balance_equals_matchit(variant: str) -> None:
    check_balance(variant, matched(variant).weights)


@variants
def test_effect_and_its_clustered_error_equal_r(variant: str) -> None:
    sets = matched(variant)
    check_effect(variant, sets.weights, sets.set_id)


@variants
def test_weighted_regression_on_the_matched_equals_r(variant: str) -> None:
    check_regression(variant, matched(variant).weights)


def brute_force(value: np.ndarray, treated: np.ndarray, ratio: int, limit: float) -> dict[int, list[float]]:
    """Distances of each treated's mates, looking at every free comparator; ties do not matter to them."""
    line = np.flatnonzero(treated)
    line = line[np.argsort(-value[line], kind="stable")]
    pool = {int(row): float(value[row]) for row in np.flatnonzero(~treated)}
    found: dict[int, list[float]] = {int(row): [] for row in line}
    for _ in range(ratio):
        for row in line:
            if not pool:
                continue
            best = min(pool, key=lambda mate: abs(pool[mate] - value[row]))
            far = abs(pool[best] - value[row])
            if far <= limit:
                found[int(row)].append(far)
                del pool[best]
    return found


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000), n=st.integers(2, 60), ratio=st.integers(1, 3),
    caliper=st.sampled_from([None, 0.1, 0.5]),
)  # fmt: skip
def test_equals_brute_force_where_no_two_distances_tie(seed: int, n: int, ratio: int, caliper: float | None) -> None:
    rng = np.random.default_rng(seed)
    value, treated = rng.normal(size=n), rng.random(n) < 0.4
    sets = match(value, treated, ratio=ratio, caliper=caliper)
    limit = np.inf if caliper is None else caliper * value.std(ddof=1)
    expected = brute_force(value, treated, ratio, limit)
    ours: dict[int, list[float]] = {row: [] for row in expected}
    for (row, _), far in zip(sets.pairs, sets.distance, strict=True):
        ours[int(row)].append(float(far))
    assert ours == expected


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.integers(0, 6), min_size=1, max_size=40), seed=st.integers(0, 1000),
    ratio=st.integers(1, 3), replace=st.booleans(), strata=st.integers(1, 3),
    order=st.sampled_from(["largest", "smallest", "data", "random"]),
)  # fmt: skip
def test_promises_hold_with_many_ties(
    values: list[int], seed: int, ratio: int, replace: bool, strata: int, order: str
) -> None:
    rng = np.random.default_rng(seed)
    value, n = np.array(values, dtype=float), len(values)
    treated, stratum = rng.random(n) < 0.5, rng.integers(0, strata, n)
    sets = match(value, treated, ratio=ratio, caliper=1.0, exact=stratum, replace=replace, order=order, seed=seed)
    takers, taken = sets.pairs.T
    assert treated[takers].all() and not treated[taken].any()
    assert (stratum[takers] == stratum[taken]).all()
    assert (np.abs(value[takers] - value[taken]) <= (sets.caliper or 0)).all()
    assert (np.bincount(takers, minlength=1) <= ratio).all()
    assert len({tuple(pair) for pair in sets.pairs.tolist()}) == len(sets.pairs)
    if not replace:
        assert (np.bincount(taken, minlength=1) <= 1).all()
    assert ((sets.set_id >= 0) == (sets.weights > 0)).all()
    assert (sets.set_id[takers] == sets.set_id[taken]).all()
    assert sets.n_matched_treated + sets.n_unmatched_treated == sets.n_treated
    if len(sets.pairs):
        assert_close(sets.weights[treated & (sets.weights > 0)], np.ones(sets.n_matched_treated))
        assert_close(sets.weights[~treated].sum(), sets.n_matched_comparators)


def test_the_caliper_is_included_and_its_unit_is_the_distance_sd() -> None:
    value = np.array([0.0, 1.0, 5.0, 9.0])
    sd = value.std(ddof=1)
    assert match(value, [1, 0, 0, 0], caliper=1 / sd * (1 + 1e-12)).n_matched_treated == 1
    assert match(value, [1, 0, 0, 0], caliper=0.99 / sd).n_matched_treated == 0


def test_one_below_and_one_above_at_the_same_distance() -> None:
    assert match([2.0, 1.0, 3.0], [1, 0, 0], caliper=None).pairs.tolist() == [[0, 1]]
    assert match([2.0, 3.0, 1.0], [1, 0, 0], caliper=None).pairs.tolist() == [[0, 2]]


def test_everybody_gets_a_first_mate_before_anyone_a_second() -> None:
    sets = match([2.0, 1.0, 1.9, 1.8, 0.0], [1, 1, 0, 0, 0], caliper=None, ratio=2)
    assert sets.pairs.tolist() == [[0, 2], [0, 4], [1, 3]]


def test_unmatched_are_counted_and_the_estimand_named() -> None:
    sets = match([0.0, 10.0, 0.1], [1, 1, 0], caliper=None)
    assert (sets.n_unmatched_treated, sets.share_unmatched) == (1, 0.5)
    assert "matched treated" in sets.note
    assert sets.set_id.tolist().count(-1) == 1


def test_sets_that_share_a_comparator_are_one_cluster() -> None:
    sets = match([0.0, 0.2, 5.0, 0.1, 5.1], [1, 1, 1, 0, 0], caliper=None, replace=True)
    assert sets.set_id.tolist() == [0, 0, 1, 0, 1]
    assert_close(sets.weights, [1, 1, 1, 4 / 3, 2 / 3])


def test_random_order_is_seeded() -> None:
    rng = np.random.default_rng(0)
    value, treated = rng.normal(size=80), rng.random(80) < 0.5
    one, same, other = (match(value, treated, order="random", seed=s) for s in (1, 1, 2))
    assert one.pairs.tolist() == same.pairs.tolist() != other.pairs.tolist()


@pytest.mark.parametrize("treated", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_arm_matches_nobody_and_says_so(treated: list[int]) -> None:
    sets = match([1.0, 2.0, 3.0], treated)
    assert len(sets.pairs) == 0 and (sets.weights == 0).all() and "Nothing to match" in sets.note


def test_a_distance_without_spread() -> None:
    sets = match(np.ones(6), [1, 1, 0, 0, 0, 0])
    assert sets.n_matched_treated == 2 and sets.caliper == 0


def test_large_data_take_moments() -> None:
    import time

    rng = np.random.default_rng(1)
    treated = np.arange(110_000) < 10_000
    value = rng.normal(size=110_000) + 0.5 * treated
    start = time.perf_counter()
    assert match(value, treated, ratio=2).n_matched_treated > 9_900
    assert time.perf_counter() - start < 20


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'largest'"):
        match([1.0, 2.0], [0, 1], order="larges")
    with pytest.raises(DefinitionError, match="seed"):
        match([1.0, 2.0], [0, 1], order="random")
    with pytest.raises(DefinitionError, match="ratio"):
        match([1.0, 2.0], [0, 1], ratio=0)
    with pytest.raises(DefinitionError, match="caliper"):
        match([1.0, 2.0], [0, 1], caliper=-1)
    with pytest.raises(DataError, match="1 of 2 distances"):
        match([1.0, np.nan], [0, 1])
    with pytest.raises(DataError, match="shape"):
        match([1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(DataError, match="exact"):
        match([1.0, 2.0], [0, 1], exact=[1])
