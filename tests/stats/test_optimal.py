"""Optimal matching: against every way there is, against the assignment problem, and the edges."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance
from clinops.stats.mahalanobis import match_mahalanobis
from clinops.stats.matching import MatchedSets, match
from clinops.stats.optimal import mahalanobis_costs, optimal_match, optimal_match_costs
from tests.stats.causal_data import lalonde
from tests.support import assert_close

DATA = lalonde()


def costs_of(value: np.ndarray, treated: np.ndarray, limit: float) -> np.ndarray:
    far = np.abs(value[treated][:, None] - value[~treated])
    return np.where(far <= limit, far, np.inf)


def worth(sets: MatchedSets) -> tuple[int, int, float]:
    return -sets.n_matched_treated, -len(sets.pairs), float(sets.distance.sum())


def best_of_all(costs: np.ndarray, ratio: int) -> tuple[int, int, float]:
    """Look at every way to give out comparators, places without one included."""
    copies, pool = costs.shape[0] * ratio, costs.shape[1]
    found = (0, 0, 0.0)
    for way in permutations(range(pool + copies), copies):
        pairs = [(at // ratio, mate) for at, mate in enumerate(way) if mate < pool]
        if all(np.isfinite(costs[pair]) for pair in pairs):
            found = min(found, (-len({i for i, _ in pairs}), -len(pairs), sum(costs[pair] for pair in pairs)))
    return found


@pytest.mark.parametrize(("few", "many", "ratio"), [(3, 3, 1), (2, 4, 1), (4, 2, 1), (2, 4, 2), (2, 2, 2)])
@pytest.mark.parametrize("caliper", [None, 0.6])
def test_nothing_is_better(few: int, many: int, ratio: int, caliper: float | None) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        value, treated = rng.normal(size=few + many), rng.permutation(few + many) < few
        limit = np.inf if caliper is None else caliper * value.std(ddof=1)
        expected = best_of_all(costs_of(value, treated, limit), ratio)
        assert_close(worth(optimal_match(value, treated, ratio=ratio, caliper=caliper)), expected, 1e-10)
        assert_close(worth(optimal_match_costs(costs_of(value, treated, limit), treated, ratio=ratio)), expected, 1e-10)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000), n=st.integers(2, 80), ratio=st.integers(1, 3), digits=st.sampled_from([1, 9]),
    caliper=st.sampled_from([None, 0.05, 0.5]),
)  # fmt: skip
def test_the_line_is_the_assignment_problem(seed: int, n: int, ratio: int, digits: int, caliper: float | None) -> None:
    rng = np.random.default_rng(seed)
    value, treated = rng.normal(size=n).round(digits), rng.random(n) < rng.uniform(0.1, 0.9)
    sets = optimal_match(value, treated, ratio=ratio, caliper=caliper)
    limit = np.inf if caliper is None else caliper * value.std(ddof=1)
    assert_close(worth(sets), worth(optimal_match_costs(costs_of(value, treated, limit), treated, ratio=ratio)), 1e-9)
    takers, taken = sets.pairs.T
    assert len(np.unique(taken)) == len(taken) and treated[takers].all() and not treated[taken].any()
    assert (sets.distance <= limit).all() and (np.bincount(takers, minlength=1) <= ratio).all()
    greedy = match(value, treated, ratio=ratio, caliper=caliper)
    assert worth(sets)[0] <= worth(greedy)[0]
    if len(greedy.pairs) == len(sets.pairs) and ratio == 1:
        assert sets.distance.sum() <= greedy.distance.sum() + 1e-9


def test_a_greedy_choice_that_is_regretted() -> None:
    """The treated at 2 takes 1 and leaves -9 to the one at 0.9; 1 + 1.1 is less than 1 + 9.9 (by hand)."""
    value, treated = np.array([2.0, 0.9, 1.0, -9.0, 3.2]), [1, 1, 0, 0, 0]
    assert optimal_match(value, treated, caliper=None).pairs.tolist() == [[0, 4], [1, 2]]
    assert_close(optimal_match(value, treated, caliper=None).distance, [1.2, 0.1])
    assert match(value, treated, caliper=None).pairs.tolist() == [[0, 2], [1, 4]]


def test_strata_are_kept() -> None:
    sets = optimal_match(DATA.score, DATA.treated, caliper=None, exact=DATA.race)
    assert (DATA.race[sets.pairs[:, 0]] == DATA.race[sets.pairs[:, 1]]).all()
    costs = costs_of(DATA.score, DATA.treated == 1, np.inf)
    assert_close(worth(sets), worth(optimal_match_costs(costs, DATA.treated, exact=DATA.race)), 1e-9)
    greedy = match(DATA.score, DATA.treated, caliper=None, exact=DATA.race)
    assert sets.n_matched_treated == greedy.n_matched_treated and sets.distance.sum() < greedy.distance.sum()


def test_several_covariates() -> None:
    few = np.concatenate([np.arange(60), np.arange(185, 345)])  # matched in the data's order greedily
    X, treated, score = DATA.X[few], DATA.treated[few] == 1, DATA.score[few]
    costs = mahalanobis_costs(X, treated)
    greedy = match_mahalanobis(X, treated)
    at = {row: place for place, row in enumerate(np.flatnonzero(~treated).tolist())}
    assert_close(costs[greedy.pairs[:, 0], [at[row] for row in greedy.pairs[:, 1]]], greedy.distance, 1e-6, atol=1e-6)
    sets = optimal_match_costs(costs, treated)
    assert len(sets.pairs) == len(greedy.pairs) and sets.distance.sum() < greedy.distance.sum()
    within = mahalanobis_costs(X, treated, score=score, caliper=0.2)
    near = np.abs(score[treated][:, None] - score[~treated]) <= 0.2 * score.std(ddof=1)
    assert (np.isfinite(within) == near).all() and (within[near] == costs[near]).all()


def test_weights_and_sets_are_those_of_a_match() -> None:
    sets = optimal_match(DATA.logit, DATA.treated, ratio=2, caliper=0.2)
    treated = DATA.treated == 1
    kept = sets.set_id >= 0
    assert (sets.weights[treated & kept] == 1).all() and (sets.weights[~kept] == 0).all()
    assert_close(sets.weights[~treated & kept].mean(), 1.0)
    assert np.abs(balance(DATA.logit[:, None], DATA.treated, sets.weights).smd).max() < 0.1
    assert "matched treated" in sets.note and sets.n_unmatched_treated == 185 - sets.n_matched_treated


@pytest.mark.parametrize("treated", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_arm(treated: list[int]) -> None:
    costs = np.zeros((sum(treated), 3 - sum(treated)))
    for sets in (optimal_match([1.0, 2.0, 3.0], treated), optimal_match_costs(costs, treated)):
        assert len(sets.pairs) == 0 and (sets.weights == 0).all() and "Nothing to match" in sets.note


def test_nobody_within_reach_and_equal_values() -> None:
    nobody = optimal_match([0.0, 5.0, 10.0], [1, 0, 0], caliper=0.01)
    assert nobody.n_matched_treated == 0 and "1 of 1 treated" in nobody.note
    assert optimal_match_costs([[np.inf, np.inf]], [1, 0, 0]).n_matched_treated == 0
    assert optimal_match([1.0, 1.0, 1.0, 1.0], [1, 0, 0, 1]).pairs.tolist() == [[0, 1], [3, 2]]


def test_errors() -> None:
    wrong: list[tuple[dict[str, Any], str]] = [({"ratio": 0}, "ratio"), ({"caliper": -1}, "caliper")]
    for options, message in wrong:
        with pytest.raises(DefinitionError, match=message):
            optimal_match([1.0, 2.0], [1, 0], **options)
    with pytest.raises(DataError, match="missing"):
        optimal_match([1.0, np.nan], [1, 0])
    with pytest.raises(DataError, match="1 treated and 2 comparators"):
        optimal_match_costs(np.zeros((2, 2)), [1, 0, 0])
    for costs in ([[-1.0]], [[np.nan]]):
        with pytest.raises(DataError, match="negative or missing"):
            optimal_match_costs(costs, [1, 0])


@pytest.mark.slow
def test_two_thousand_of_twenty_thousand_in_seconds() -> None:
    import time

    rng = np.random.default_rng(1)
    treated = np.arange(22_000) < 2_000
    value = rng.normal(size=22_000) + treated
    start = time.perf_counter()
    sets = optimal_match(value, treated, caliper=None)
    assert time.perf_counter() - start < 20
    assert_close(
        sets.distance.sum(), optimal_match_costs(costs_of(value, treated, np.inf), treated).distance.sum(), 1e-9
    )
