"""Equipoise and positivity: passed, failed and not judged, on arms whose scores can be counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.adjust import adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.exhibits.positivity import equipoise_check, positivity_check
from clinops.analyse.verdict import DECISIVE
from clinops.define.protocol import Adjustment
from clinops.results.result import Check
from tests.analyse.lalonde import LALONDE, lalonde
from tests.analyse.support import dataset, protocol
from tests.support import assert_close

FLAG = (co.any_of(co.events("condition"), co.before(365), name="flag"),)


def groups(*sizes: tuple[int, int]) -> Dataset:
    """For each value of the flag, 0 first: so many exposed, so many comparators."""
    arm = [a for one, zero in sizes for a in [1] * one + [0] * zero]
    flag = [float(level) for level, size in enumerate(sizes) for _ in range(sum(size))]
    return dataset(arm, {"flag": flag})


def checks(data: Dataset, how: Adjustment) -> tuple[Check, Check]:
    made = adjust(data, FLAG, how)
    design = protocol(adjust=how, estimand=how.estimand, covariates=FLAG)
    return equipoise_check(data, design, made), positivity_check(data, design, made)


def test_equipoise_counts_preference_scores_by_hand() -> None:
    """Scores are the cells' shares, 0.4 and 0.8; with 36 of 70 exposed only the first is an equipoise."""
    found, _ = checks(groups((20, 30), (16, 4), (0, 0)), co.weight("att"))
    share = 36 / 70
    low, high = (p * (1 - share) / (p * (1 - share) + (1 - p) * share) for p in (0.4, 0.8))
    assert 0.3 < low < 0.7 < high
    assert found.frame["inside"].tolist() == [20, 30]
    assert_close(found.frame["share"], [20 / 36, 30 / 34], 1e-12)
    assert found.passed is True and found.observed == pytest.approx(20 / 36)


def test_arms_that_were_plain_beforehand_are_not_in_equipoise() -> None:
    found, _ = checks(groups((10, 90), (90, 10)), co.weight("overlap"))
    assert found.passed is False and found.observed == 0


def test_as_they_are_nothing_is_judged() -> None:
    for found in checks(groups((20, 30), (16, 4)), co.crude()):
        assert found.passed is None


def test_weight_where_the_other_arm_has_nobody() -> None:
    # On lalonde the score is a number: the share of an arm beyond the other's range is counted by brute force.
    data = lalonde()
    for how in (co.weight("att"), co.weight("ate"), co.match()):
        made = adjust(data, LALONDE, how)
        found = positivity_check(data, protocol(adjust=how, estimand=how.estimand), made).frame
        w, p, arm = made.weights, made.score, data.exposed
        assert p is not None
        for place, mine in enumerate((arm, ~arm)):
            own, other = mine & (w > 0), ~mine & (w > 0)
            beyond = [i for i in np.flatnonzero(own) if not p[other].min() <= p[i] <= p[other].max()]
            assert found["outside"][place] == len(beyond)
            assert_close(found["share_outside"][place], w[beyond].sum() / w[own].sum(), 1e-12)
            assert_close(found["share_largest"][place], w[own].max() / w[own].sum(), 1e-12)
            assert_close(found["effective"][place], w[own].sum() ** 2 / (w[own] ** 2).sum(), 1e-12)


def test_a_person_who_carries_the_arm_fails() -> None:
    # One comparator stands for 40 exposed: the odds give her 40 of the 40 + 10 weights.
    _, found = checks(groups((10, 100), (40, 1)), co.weight("att"))
    assert found.passed is False
    assert found.frame["share_largest"].tolist() == [pytest.approx(1 / 50), pytest.approx(40 / 50)]
    _, sound = checks(groups((10, 100), (40, 60)), co.weight("att"))
    assert sound.passed is True and sound.observed == 0


def test_few_persons_are_not_blamed_for_being_few() -> None:
    _, found = checks(groups((6, 6), (6, 6)), co.weight("att"))
    assert found.passed is True  # one of 12 is 8 %, which is no more than his share


def test_what_was_truncated_is_counted_and_neither_check_decides() -> None:
    data, how = groups((10, 100), (40, 4), (50, 50)), co.weight("att", truncate=0.98)
    made = adjust(data, FLAG, how)
    found = positivity_check(data, protocol(adjust=how), made)
    assert made.balancing is not None
    assert f"n = {made.balancing.n_truncated} weights were truncated." in found.notes[0]
    assert pd.api.types.is_integer_dtype(found.frame["outside"])
    assert "check_positivity" not in DECISIVE and "check_equipoise" not in DECISIVE
