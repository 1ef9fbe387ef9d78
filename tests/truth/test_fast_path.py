"""The fast path of the truth tests is the road through the records: every person, every column, to the last digit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clinops.worlds.measured import follow_up, observed, potential
from tests.truth.designs import dataset, drawn, in_order
from tests.truth.support import study_of

KEPT = ("row", "death_day", "observed_from_day")
"""Columns of the road that the fast path has no use for."""


MANY = {
    "seed": 3, "detection": 6.0, "dropout": 0.3, "hidden": 0.5, "cost_effect": 0.2, "use_effect": 0.1, "lag": 200.0,
    "shock": 0.3, "need_sd": 1.0,
}  # fmt: skip


MORE = [{"seed": 1}, {"seed": 2, "effect": -0.2, "death_effect": 0.5}, {"seed": 4, "lottery": 0.5}]


@pytest.mark.parametrize("knobs", [MANY, *(pytest.param(knobs, marks=pytest.mark.slow) for knobs in MORE)])
def test_the_fast_path_is_the_road(knobs, tmp_path):
    _, study = study_of(tmp_path, persons=1_500, **knobs)
    it = drawn(persons=1_500, **knobs)
    order = in_order(it.ran.offered)
    with study.source:
        road = study.data
    fast = dataset(it, it.ran.offered, observed(it) | follow_up(it))
    pd.testing.assert_frame_equal(fast.baseline, road.baseline, check_exact=True)
    wanted = [name for name in road.outcomes if name not in KEPT]
    assert set(wanted) == set(fast.outcomes)
    for name in wanted:
        np.testing.assert_array_equal(fast.outcomes[name], road.outcomes[name], err_msg=name)
    if "dropout" in knobs:
        return  # the truth is of those who had stayed
    for name, values in potential(it, it.ran.offered).items():
        np.testing.assert_array_equal(values[order], road.outcomes[name], err_msg=name)
