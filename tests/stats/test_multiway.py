"""Two-way clustered variance: against the sum over all pairs of rows that share a cluster, and its coverage."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError
from clinops.stats.multiway import both_alike, two_way_variance
from clinops.stats.weighted_effects import contrast, weighted_values


def pairwise(influence: np.ndarray, *kinds: np.ndarray) -> float:
    """Sum of products over every pair of rows (each with itself too) that share a cluster of any kind."""
    together = np.zeros((len(influence), len(influence)), dtype=bool)
    for ids in kinds:
        together |= ids[:, None] == ids[None, :]
    return float((together * np.outer(influence, influence)).sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(0, 10**6))
def test_equals_the_sum_over_pairs_that_share_a_cluster(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    influence, first, second = rng.normal(size=n), rng.integers(0, 6, n), rng.integers(-2, 6, n)
    found, note = two_way_variance(lambda ids: pairwise(influence, ids), first, second)
    brute = pairwise(influence, first, second)
    if brute > 1e-12:
        assert np.isclose(found, brute, rtol=1e-10) and note == ""
    elif brute < -1e-12:
        assert (
            np.isclose(found, max(pairwise(influence, first), pairwise(influence, second))) and "not positive" in note
        )


def test_rows_alike_in_both() -> None:
    assert both_alike([5, 5, 7, 5], ["a", "b", "a", "a"]).tolist() == [0, 1, 2, 0]
    with pytest.raises(DataError, match="one id a row"):
        two_way_variance(lambda ids: 1.0, [1, 2], [1, 2, 3])


def test_a_contrast_has_the_three_parts_each_with_its_own_factor() -> None:
    rng = np.random.default_rng(8)
    n = 40
    treated, sets, person = np.arange(n) % 2 == 0, np.arange(n) // 2, rng.integers(0, 25, n)
    y, w = rng.normal(size=n), rng.uniform(0.5, 2, n)
    (effect,) = contrast(weighted_values(y[:, None], treated, w), cluster=(sets, person))
    influence = np.zeros(n)
    for arm, sign in ((treated, 1), (~treated, -1)):
        influence[arm] = sign * w[arm] * (y[arm] - np.average(y[arm], weights=w[arm])) / w[arm].sum()

    def part(ids: list) -> float:
        groups = len(set(ids))
        total = sum(sum(influence[i] for i in range(n) if ids[i] == one) ** 2 for one in set(ids))
        return groups / (groups - 1) * (n - 1) / (n - 2) * total

    both = list(zip(sets.tolist(), person.tolist(), strict=True))
    expected = part(sets.tolist()) + part(person.tolist()) - part(both)
    assert np.isclose(effect.std_error, np.sqrt(expected), rtol=1e-10)
    assert f"CR1 two-way clustered (20 and {len(set(person.tolist()))} clusters)" in effect.se_kind


def test_nested_clusters_are_the_outer_ones_and_a_single_cluster_has_no_error() -> None:
    rng = np.random.default_rng(3)
    treated, y, row = np.arange(60) % 2 == 0, rng.normal(size=60), np.arange(60)
    values = weighted_values(y[:, None], treated)
    (outer,), (both,) = (contrast(values, cluster=ids) for ids in (row // 4, (row // 4, row // 2)))
    # The inner clusters lie in the outer ones, so V(inner) and V(both alike) cancel.
    assert np.isclose(outer.std_error, both.std_error, rtol=1e-12)
    (lone,) = contrast(values, cluster=(np.zeros(60), row))
    assert np.isnan(lone.std_error) and "1 cluster(s) give no standard error" in lone.note
    with pytest.raises(DataError, match="one id a row"):
        contrast(values, cluster=(row, row[1:]))


def test_coverage_where_persons_stand_in_several_sets() -> None:
    """Sets share a day's shock and persons their own level: errors by set alone are too small, by both right."""
    rng = np.random.default_rng(20)
    persons, sets, worlds, size = 120, 200, 400, 1.959964
    covered = {"both": 0, "set": 0, "joined": 0}
    for _ in range(worlds):
        # A person belongs to one side here, so that a person's level does not cancel in the contrast.
        case = rng.integers(0, persons, sets)
        control = persons + rng.integers(0, persons, sets)
        level, shock = rng.normal(size=2 * persons), rng.normal(size=sets)
        person = np.concatenate([case, control])
        label = np.tile(np.arange(sets), 2)
        y = level[person] + np.tile(shock, 2) + rng.normal(size=2 * sets)
        values = weighted_values(y[:, None], np.arange(2 * sets) < sets)
        for name, cluster in (("both", (label, person)), ("set", label), ("joined", np.zeros(2 * sets))):
            (found,) = contrast(values, cluster=cluster)
            covered[name] += bool(abs(found.estimate) <= size * found.std_error)
    share = {name: count / worlds for name, count in covered.items()}
    assert abs(share["both"] - 0.95) < 3 * np.sqrt(0.95 * 0.05 / worlds)
    assert share["set"] < 0.90
    assert share["joined"] == 0  # sets that are linked into one cluster give no error at all
