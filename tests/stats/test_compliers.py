"""Compliers: shares by hand, levels against potential outcomes that are known."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError
from clinops.stats.compliers import compliance_types, complier_effect
from clinops.stats.rates import proportion


def test_shares_by_hand():
    offer = np.r_[np.ones(10), np.zeros(20)]
    taken = np.r_[np.ones(6), np.zeros(4), np.ones(2), np.zeros(18)]
    found = compliance_types(offer, taken)
    assert found.compliers[0] == pytest.approx(0.5)
    # HC1: both arms' variances p (1 - p) / n, times n / (n - 2).
    error = np.sqrt(30 / 28 * (0.24 / 10 + 0.09 / 20))
    assert found.compliers[2] - found.compliers[0] == pytest.approx(2.0484071 * error, rel=1e-6)  # t, 28 df
    assert found.always == (0.1, proportion(2, 20).conf_low, proportion(2, 20).conf_high)
    assert found.never[0] == pytest.approx(0.4)
    assert (found.n_offered, found.taken_offered, found.n_not, found.taken_not) == (10, 6, 20, 2)
    assert not found.defiers and found.note == ""


def test_the_opposite_of_the_offer_is_said():
    found = compliance_types([1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 1, 0])
    assert found.defiers and "opposite" in found.note


@pytest.mark.parametrize("taken", [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
def test_take_up_that_varies_in_neither_arm_is_said(taken: list[int]):
    found = compliance_types([1, 1, 0, 0], taken)
    assert found.compliers[1] == found.compliers[2] and "no width" in found.note


def test_compliers_levels_are_those_of_their_potential_outcomes():
    rng = np.random.default_rng(2)
    n = 60_000
    kind = rng.choice(["complier", "always", "never"], n, p=[0.5, 0.2, 0.3])
    offer = rng.random(n) < 0.5
    taken = (kind == "always") | ((kind == "complier") & offer)
    x = rng.normal(size=n)
    zero = 10 + 2 * x + 3 * (kind == "never") + rng.normal(size=n)
    one = zero - 4 + 2 * (kind == "always")
    y = np.where(taken, one, zero)
    of = kind == "complier"
    for options in ({}, {"covariates": x[:, None]}):
        found = complier_effect(y, taken, offer, **options)
        assert found.treated - found.untreated == pytest.approx(found.fit.estimate, abs=1e-9)
        assert abs(found.fit.estimate - -4) < 3 * found.fit.std_error
        assert found.treated == pytest.approx(one[of].mean(), abs=0.15)
        assert found.untreated == pytest.approx(zero[of].mean(), abs=0.15)


def test_an_offer_that_moves_nobody():
    found = complier_effect([1.0, 2, 3, 4], [1, 1, 1, 1], [0, 1, 0, 1])
    assert np.isnan([found.fit.estimate, found.treated, found.untreated]).all() and found.fit.note


def test_what_cannot_be_is_refused():
    with pytest.raises(DataError, match="0 or 1"):
        compliance_types([0, 2], [0, 1])
    with pytest.raises(DataError, match="one of the arms"):
        compliance_types([1, 1], [0, 1])
