"""Chain ladder against the published development factors and reserves of Mack 1993."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.analyse.costs.run_out import chain_ladder

# Cumulative claims of Taylor and Ashe 1983, as in Mack T, ASTIN Bulletin 1993;23:213-25, table 1.
TAYLOR_ASHE = [
    [357848, 1124788, 1735330, 2218270, 2745596, 3319994, 3466336, 3606286, 3833515, 3901463],
    [352118, 1236139, 2170033, 3353322, 3799067, 4120063, 4647867, 4914039, 5339085],
    [290507, 1292306, 2218525, 3235179, 3985995, 4132918, 4628910, 4909315],
    [310608, 1418858, 2195047, 3757447, 4029929, 4381982, 4588268],
    [443160, 1136350, 2128333, 2897821, 3402672, 3873311],
    [396132, 1333217, 2180715, 2985752, 3691712],
    [440832, 1288463, 2419861, 3483130],
    [359480, 1421128, 2864498],
    [376686, 1363294],
    [344014],
]


def triangle(rows):
    return np.array([[*row, *[np.nan] * (len(rows) - len(row))] for row in rows], dtype=float)


def test_factors_and_reserves_are_the_published_ones():
    fit = chain_ladder(triangle(TAYLOR_ASHE))
    assert np.round(fit.factors, 3).tolist() == [3.491, 1.747, 1.457, 1.174, 1.104, 1.086, 1.054, 1.077, 1.018]
    reserves = np.round((fit.ultimate - fit.paid) / 1000).astype(int).tolist()
    assert reserves == [0, 95, 470, 710, 985, 1419, 2178, 3920, 4279, 4626]
    assert round(float((fit.ultimate - fit.paid).sum()) / 1000) == 18681


def test_completion_is_the_share_paid():
    fit = chain_ladder(triangle([[50, 100], [30]]))
    assert fit.completion.tolist() == [1.0, 0.5] and fit.ultimate.tolist() == [100.0, 60.0]


def test_a_factor_that_nothing_tells_is_not_a_number():
    fit = chain_ladder(triangle([[0, 10], [5]]))
    assert np.isnan(fit.factors[0]) and np.isnan(fit.ultimate[1]) and fit.ultimate[0] == 10
    assert chain_ladder(np.array([[7.0]])).completion.tolist() == [1.0]


def test_reversals_may_shrink_a_month():
    fit = chain_ladder(triangle([[100, 80], [50]]))
    assert fit.ultimate[1] == pytest.approx(40.0) and fit.completion[1] == pytest.approx(1.25)
