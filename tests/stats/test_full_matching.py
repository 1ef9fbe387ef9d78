"""Full matching: against every cover, the assignment problem against a linear programme, weights, limits, edges."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance
from clinops.stats.full_matching import full_match, full_match_costs, set_weights
from clinops.stats.matching import MatchedSets
from clinops.stats.weighted_effects import weighted_effect
from tests.stats.causal_data import lalonde
from tests.support import assert_close

DATA = lalonde()


def best_of_all(costs: np.ndarray, most_comparators: int, most_treated: int) -> float:
    """Least total over every set of pairs that leaves nobody out; infinite where there is none."""
    least = np.inf
    for way in product((False, True), repeat=costs.size):
        chosen = np.array(way).reshape(costs.shape)
        mates, others = chosen.sum(axis=1), chosen.sum(axis=0)
        if mates.min() and others.min() and mates.max() <= most_comparators and others.max() <= most_treated:
            least = min(least, float(costs[chosen].sum()))
    return least


@pytest.mark.parametrize(("few", "many"), [(2, 4), (4, 2), (3, 3)])
@pytest.mark.parametrize(("most_comparators", "most_treated"), [(None, None), (2, None), (None, 2), (2, 2)])
def test_nothing_is_better(few: int, many: int, most_comparators: int | None, most_treated: int | None) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        value, treated = rng.normal(size=few + many), rng.permutation(few + many) < few
        costs = np.abs(value[treated][:, None] - value[~treated])
        limits = {"most_comparators": most_comparators, "most_treated": most_treated}
        expected = best_of_all(costs, most_comparators or many, most_treated or few)
        for sets in (full_match(value, treated, **limits), full_match_costs(costs, treated, **limits)):
            assert_close(sets.distance.sum(), expected, 1e-10)
            promises(sets, treated)


def promises(sets: MatchedSets, treated: np.ndarray) -> None:
    """Everybody kept is in a set with both arms that is a star, and the pairs are those of the sets."""
    kept = sets.set_id >= 0
    size = int(sets.set_id.max(initial=-1)) + 1
    one, zero = (np.bincount(sets.set_id[kept & rows], minlength=size) for rows in (treated, ~treated))
    assert (np.minimum(one, zero) == 1).all()
    assert len(sets.pairs) == (one + zero - 1).sum()
    assert (sets.set_id[sets.pairs[:, 0]] == sets.set_id[sets.pairs[:, 1]]).all()
    assert (kept == (sets.weights > 0)).all()


@settings(deadline=None, max_examples=80)
@given(
    seed=st.integers(0, 10_000), n=st.integers(2, 60), digits=st.sampled_from([1, 9]), apart=st.floats(0, 4),
    caliper=st.sampled_from([None, 0.1, 0.5]),
)  # fmt: skip
def test_three_ways_cost_the_same(seed: int, n: int, digits: int, apart: float, caliper: float | None) -> None:
    rng = np.random.default_rng(seed)
    treated = rng.random(n) < rng.uniform(0.1, 0.9)
    value = (rng.normal(size=n) + apart * treated).round(digits)
    limit = np.inf if caliper is None else caliper * value.std(ddof=1)
    costs = np.abs(value[treated][:, None] - value[~treated])
    costs = np.where(costs <= limit, costs, np.inf)
    line, pairs = full_match(value, treated, caliper=caliper), full_match_costs(costs, treated)
    programme = full_match_costs(costs, treated, most_comparators=n)
    for sets in (line, pairs, programme):
        promises(sets, treated)
        assert_close(sets.distance.sum(), line.distance.sum(), 1e-9)
        assert sets.n_matched_treated == np.isfinite(costs).any(axis=1).sum()
        assert sets.n_matched_comparators == np.isfinite(costs).any(axis=0).sum()


def test_sets_and_weights_by_hand() -> None:
    """The treated at 0 has 0.1 and -0.2; those at 5 and 6 share 5.4."""
    value, treated = np.array([0.0, 5.0, 6.0, 0.1, -0.2, 5.4]), np.array([1, 1, 1, 0, 0, 0])
    sets = full_match(value, treated)
    assert sets.set_id.tolist() == [0, 1, 1, 0, 0, 1]
    assert_close(sorted(sets.distance), [0.1, 0.2, 0.4, 0.6])
    assert_close(sets.weights, [1, 1, 1, 0.5, 0.5, 2])
    assert_close(full_match(value, treated, estimand="atc").weights, [2, 0.5, 0.5, 1, 1, 1])
    # 3/1, 3/2, 3/2 over their mean 2 in the treated; 3/2, 3/2, 3/1 in the comparators
    assert_close(full_match(value, treated, estimand="ATE").weights, [1.5, 0.75, 0.75, 0.75, 0.75, 1.5])


def test_lalonde_is_balanced_and_limits_cost() -> None:
    free = full_match(DATA.score, DATA.treated)
    assert free.n_unmatched_treated == 0 and free.n_matched_comparators == 429 and free.note == ""
    assert np.abs(balance(DATA.score[:, None], DATA.treated, free.weights).smd).max() < 0.02
    held = full_match(DATA.score, DATA.treated, most_treated=3, most_comparators=60)
    one, zero = (np.bincount(held.set_id[DATA.treated == arm]) for arm in (1, 0))
    assert one.max() <= 3 and zero.max() <= 60 and held.distance.sum() > free.distance.sum()
    effect = weighted_effect(DATA.outcome, DATA.treated, free.weights, cluster=free.set_id)
    assert np.isfinite(effect.std_error) and effect.n_exposed == 185


def test_strata_and_calipers_leave_out_who_has_nobody() -> None:
    sets = full_match(DATA.score, DATA.treated, exact=DATA.race)
    assert (DATA.race[sets.pairs[:, 0]] == DATA.race[sets.pairs[:, 1]]).all() and sets.n_unmatched_treated == 0
    near = full_match(DATA.score, DATA.treated, caliper=0.01, estimand="ate")
    assert near.distance.max() <= 0.01 * DATA.score.std(ddof=1)
    assert 0 < near.n_matched_treated < 185
    assert "treated (" in near.note and "comparators found no treated" in near.note


def test_truth_of_the_average_effect() -> None:
    """With a confounder that is matched on, all three effects are near their truths (3 standard errors)."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=4_000)
    treated = rng.random(4_000) < 1 / (1 + np.exp(1 - x))
    y = 2 * x + treated * (1 + x) + rng.normal(size=4_000)
    for estimand, truth in (("att", 1 + x[treated].mean()), ("ate", 1 + x.mean()), ("atc", 1 + x[~treated].mean())):
        sets = full_match(x, treated, estimand=estimand)
        effect = weighted_effect(y, treated, sets.weights, cluster=sets.set_id)
        assert abs(effect.estimate - truth) < 3 * effect.std_error < 0.5


@pytest.mark.parametrize("treated", [[0, 0, 0], [1, 1, 1]])
def test_an_empty_arm(treated: list[int]) -> None:
    costs = np.zeros((sum(treated), 3 - sum(treated)))
    for sets in (full_match([1.0, 2.0, 3.0], treated), full_match_costs(costs, treated, most_treated=2)):
        assert len(sets.pairs) == 0 and (sets.weights == 0).all() and "Nothing to match" in sets.note


def test_two_people_and_equal_values() -> None:
    pair = full_match([1.0, 9.0], [1, 0])
    assert pair.set_id.tolist() == [0, 0] and pair.weights.tolist() == [1, 1]
    same = full_match(np.ones(7), [1, 0, 0, 0, 1, 0, 0])
    promises(same, np.array([1, 0, 0, 0, 1, 0, 0], bool))
    assert same.distance.sum() == 0
    assert set_weights(np.array([-1, -1]), np.array([True, False])).tolist() == [0, 0]


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="full match"):
        full_match([1.0, 2.0], [1, 0], estimand="ato")
    with pytest.raises(DefinitionError, match="most_treated"):
        full_match([1.0, 2.0], [1, 0], most_treated=0)
    with pytest.raises(DataError, match="Nobody can be left out"):
        full_match([1.0, 2.0, 3.0], [1, 0, 0], most_comparators=1)
    with pytest.raises(DataError, match="set a caliper"):
        full_match(np.zeros(4_000), np.arange(4_000) < 1_000, most_treated=2)
    with pytest.raises(DataError, match="missing"):
        full_match([1.0, np.nan], [1, 0])
