"""What is made once for the same rows, and for which rows it is not."""

from __future__ import annotations

import numpy as np

import clinops as co
from clinops.analyse.adjust import adjust
from tests.analyse.support import COST, dataset

AGE = (co.age_at_index(),)


def rows(cost: float):
    values = {AGE[0].id: [50.0, 61.0, 55.0, 48.0, 66.0, 52.0]}
    return dataset([1, 0, 1, 0, 0, 1], values, {COST: (np.full(6, cost), 365)})


def test_an_adjustment_is_made_once_for_the_same_rows_whatever_the_outcomes() -> None:
    data = rows(1.0)
    first = adjust(data, AGE, co.weight("att"))
    assert adjust(data, AGE, co.weight("att")) is first
    assert adjust(data.with_outcomes(rows(9.0).outcomes), AGE, co.weight("att")) is first


def test_adjustments_share_the_score_but_not_the_weights() -> None:
    data = rows(1.0)
    att, ate = adjust(data, AGE, co.weight("att")), adjust(data, AGE, co.weight("ate"))
    assert att.propensity is ate.propensity
    assert not np.allclose(att.weights, ate.weights)
    assert adjust(data, AGE, co.weight("att", penalty="l2")).propensity is not att.propensity


def test_other_rows_are_adjusted_anew() -> None:
    data = rows(1.0)
    whole = adjust(data, AGE, co.weight("att"))
    part = adjust(data.where(np.array([True, True, True, True, True, False])), AGE, co.weight("att"))
    assert len(part.weights) == 5
    assert part.propensity is not whole.propensity
