"""Preference scores, equipoise and positivity: by hand, against SciPy, laws, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from clinops.errors import DataError, DefinitionError
from clinops.stats.overlap import equipoise, positivity, preference_score
from clinops.stats.weighting import balancing_weights
from tests.stats.causal_data import lalonde
from tests.support import assert_close

DATA = lalonde()


def test_preference_is_the_published_equation() -> None:
    p, share = np.array([0.05, 0.2, 0.6]), 0.2
    ours = preference_score(p, share)
    assert_close(np.log(ours / (1 - ours)), np.log(p / (1 - p)) - np.log(share / (1 - share)), 1e-12)
    assert_close(ours[1], 0.5)  # whose score is the share has no preference
    assert preference_score([0.0, 1.0], 0.3).tolist() == [0, 1]


def test_preference_does_not_depend_on_how_many_comparators_were_sampled() -> None:
    """Twice the comparators halve everybody's odds of treatment and the odds of the share alike."""
    p = DATA.score
    share = DATA.treated.mean()
    fewer = p / (1 - p) / 2
    half = share / (1 - share) / 2
    assert_close(preference_score(fewer / (1 + fewer), half / (1 + half)), preference_score(p, share), 1e-10)


def test_equipoise_by_hand() -> None:
    treated = [1, 1, 1, 1, 0, 0, 0, 0]  # the share is 1/2, so preference is the score
    made = equipoise([0.3, 0.5, 0.7, 0.9, 0.1, 0.29, 0.31, 0.6], treated)
    assert (made.share_treated, made.share_comparator, made.share) == (0.75, 0.5, 0.625)
    assert made.in_equipoise and made.bounds == (0.3, 0.7)
    assert not equipoise([0.3, 0.5, 0.7, 0.9, 0.1, 0.29, 0.2, 0.6], treated).in_equipoise


def test_positivity_by_hand() -> None:
    score, treated = [0.2, 0.5, 0.8, 0.995, 0.001, 0.3, 0.6], [1, 1, 1, 1, 0, 0, 0]
    made = positivity(score, treated, [1, 1, 1, 5, 1, 1, 0])
    assert made.support == (0.2, 0.6)
    assert (made.outside_treated, made.outside_comparator) == (0.5, 1 / 3)
    assert_close([made.extreme, made.extreme_treated, made.extreme_comparator], [2 / 7, 1 / 4, 1 / 3])
    assert_close(made.c_statistic, (1 + 2 + 3 + 3) / 12)
    assert_close([made.largest_weight_treated, made.heaviest_share_treated], [5 / 2, 5 / 8])
    assert_close([made.ess_treated, made.ess_share_treated], [64 / 28, 16 / 28])
    assert (made.ess_comparator, made.ess_share_comparator, made.note) == (2, 1, "")


def test_c_statistic_is_mann_whitneys() -> None:
    arm = DATA.treated == 1
    rounded = DATA.score.round(2)  # with ties
    theirs = mannwhitneyu(rounded[arm], rounded[~arm]).statistic / (arm.sum() * (~arm).sum())
    assert_close(positivity(rounded, arm).c_statistic, theirs, 1e-12)


def test_effective_sizes_are_those_of_the_weights() -> None:
    made = balancing_weights(DATA.score, DATA.treated, estimand="ate")
    found = positivity(DATA.score, DATA.treated, made.weights)
    assert_close([found.ess_treated, found.ess_comparator], [made.ess_treated, made.ess_comparator], 1e-12)
    assert found.largest_weight_treated > 10 and found.heaviest_share_treated > 0.1


def test_no_overlap_and_an_empty_arm_are_said() -> None:
    apart = positivity([0.8, 0.9, 0.1, 0.2], [1, 1, 0, 0])
    assert "do not overlap" in apart.note and apart.outside_treated == apart.outside_comparator == 1
    empty = positivity([0.8, 0.9], [1, 1])
    assert np.isnan([*empty.support, empty.outside_treated, empty.c_statistic, empty.ess_share_comparator]).all()
    assert "2 treated and 0 comparators" in empty.note
    with pytest.raises(DataError, match="both arms"):
        equipoise([0.8, 0.9], [1, 1])


def test_errors() -> None:
    for score in ([0.5, 1.5], [0.5, np.nan]):
        for call in (equipoise, positivity):
            with pytest.raises(DataError, match="probabilities"):
                call(score, [1, 0])
    with pytest.raises(DataError, match="probabilities"):
        preference_score([2.0], 0.5)
    with pytest.raises(DataError, match="shape"):
        positivity([0.5], [1, 0])
    with pytest.raises(DataError, match="weights"):
        positivity([0.5, 0.5], [1, 0], [1, -1])
    with pytest.raises(DefinitionError, match="edge"):
        positivity([0.5, 0.5], [1, 0], edge=0.7)
    with pytest.raises(DefinitionError, match="bounds"):
        equipoise([0.5, 0.5], [1, 0], bounds=(0.7, 0.3))
