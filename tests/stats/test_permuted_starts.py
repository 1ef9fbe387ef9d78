"""Starts given to other units: against every assignment by the estimator itself, and its level where nothing works."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError, ParameterError
from clinops.stats.group_time import group_time_effects
from clinops.stats.group_time_averages import average_effects
from clinops.stats.permuted_starts import permuted_starts
from tests.stats.panel_data import made, rows

SMALL = {3.0: 2, 4.0: 1, np.inf: 3}


@pytest.mark.parametrize("comparison", ["never", "not yet"])
def test_the_estimate_is_that_of_group_time_effects(comparison: str) -> None:
    data = made(seed=3, grows=0.5)
    found = permuted_starts(**rows(data), comparison=comparison, permutations=99)
    usual = average_effects(group_time_effects(**rows(data), comparison=comparison))
    assert found.estimate == pytest.approx(usual.overall, rel=1e-12) and not found.exact
    assert found.least == 1 / 100 and found.permutations == 99


@pytest.mark.parametrize("comparison", ["never", "not yet"])
def test_all_assignments_by_brute_force(comparison: str) -> None:
    data = made(seed=5, sizes=SMALL, periods=5)
    found = permuted_starts(**rows(data), comparison=comparison)
    first = np.repeat(list(SMALL), list(SMALL.values()))
    ways = sorted(set(permutations(first)))
    effects = []
    for way in ways:
        given = rows(data) | {"first_treated": np.repeat(way, 5)}
        effects.append(average_effects(group_time_effects(**given, comparison=comparison)).overall)
    observed = average_effects(group_time_effects(**rows(data), comparison=comparison)).overall
    share = np.mean(np.abs(effects) >= abs(observed) * (1 - 1e-9))
    assert found.exact and found.permutations == len(ways) == 60
    assert found.p_value == pytest.approx(share) and found.least == 1 / 60


def test_its_level_holds_where_nothing_works_and_a_large_effect_is_found() -> None:
    """Two sites of eight: 28 assignments, so that P is uniform on 1/28, 2/28, ...; 400 panels without an effect."""
    rng = np.random.default_rng(11)
    first = np.repeat([3.0, 3.0, *[np.inf] * 6], 4)
    unit, time = np.repeat(np.arange(8), 4), np.tile(np.arange(1.0, 5), 8)
    level = rng.standard_t(3, size=(400, 8, 1))
    y = level + rng.standard_t(3, size=(400, 8, 4))
    found = np.array([permuted_starts(one.ravel(), unit, time, first).p_value for one in y])
    assert found.min() >= 1 / 28
    for cut in (2, 7, 14):
        expected = cut / 28
        assert abs((found <= expected + 1e-9).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 400)
    shifted = y[0] + 50 * (time.reshape(8, 4) >= first.reshape(8, 4))
    assert permuted_starts(shifted.ravel(), unit, time, first).p_value == pytest.approx(1 / 28)


def test_few_units_and_everybody_treated_are_said() -> None:
    first = np.repeat([2.0, 3.0, 3.0], 3)
    unit, time = np.repeat(np.arange(3), 3), np.tile([1.0, 2, 3], 3)
    y = np.array([0.0, 5, 6, 1, 1, 7, 2, 3, 2])
    found = permuted_starts(y, unit, time, first, comparison="never")
    assert "not yet treated" in found.note and "cannot give a P below 0.33" in found.note
    # Only unit 0 in period 2 has a comparison: (5 - 0) - mean(0, 1) = 4.5; of three assignments it is the largest.
    assert found.estimate == pytest.approx(4.5) and found.p_value == pytest.approx(1 / 3) and found.exact
    same = permuted_starts(y, unit, time, np.repeat([2.0, 2, 2], 3))
    assert np.isnan(same.p_value) and "No effect to compare" in same.note


def test_what_cannot_be_is_refused() -> None:
    data = rows(made())
    with pytest.raises(DefinitionError, match="nevr"):
        permuted_starts(**data, comparison="nevr")
    with pytest.raises(ParameterError, match="99 or more"):
        permuted_starts(**data, permutations=10)
    with pytest.raises(DataError, match="becomes treated"):
        permuted_starts(**(data | {"first_treated": np.full(len(data["y"]), np.inf)}))
