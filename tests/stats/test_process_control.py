"""Control charts: limits by hand on two textbook examples, signals by hand."""

from __future__ import annotations

import math
from itertools import groupby, product

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.process_control import chance_of_run, chart_signals, u_chart

NONE = [math.nan] * 30


def test_a_textbook_chart_of_equal_samples():
    # An example of Montgomery's, quoted from memory: 74 errors in 20 weeks of 50 shipments. By hand: centre 74/1000,
    # upper limit 0.074 + 3 sqrt(0.074 / 50) = 0.1894, the lower one below 0.
    errors = [2, 3, 8, 1, 1, 4, 1, 4, 5, 1, 8, 2, 4, 3, 4, 1, 8, 3, 7, 4]
    found = u_chart(errors, [50] * 20)
    assert sum(errors) == 74
    assert found.centre == pytest.approx(0.0740, abs=5e-5)
    assert found.high[0] == pytest.approx(0.1894, abs=5e-5)
    assert np.isnan(found.low).all() and not found.note


def test_a_textbook_chart_of_unequal_samples():
    # Another, also from memory: 153 defects in 107.5 units of cloth. By hand: centre 153/107.5 = 1.42326, limits of a
    # roll of 10 units 1.42326 -+ 3 sqrt(0.142326) = 0.29148 and 2.55503.
    defects = [14, 12, 20, 11, 7, 10, 21, 16, 19, 23]
    units = [10.0, 8.0, 13.0, 10.0, 9.5, 10.0, 12.0, 10.5, 12.0, 12.5]
    found = u_chart(defects, units)
    assert found.centre == pytest.approx(1.42326, abs=5e-6)
    assert (found.low[0], found.high[0]) == pytest.approx((0.29148, 2.55503), abs=2e-5)
    assert found.value[0] == 1.4
    assert "rests on 10 periods" in found.note


def test_the_baseline_gives_the_centre_and_the_limits_of_what_comes_after():
    found = u_chart([8, 8, 16], [2.0, 2.0, 1.0], [True, True, False])
    assert found.centre == 4 and found.periods == 2
    # 4 +- 3 sqrt(4 / 2) and 4 +- 3 sqrt(4 / 1)
    assert found.high.tolist() == pytest.approx([4 + 3 * math.sqrt(2)] * 2 + [10])
    assert found.value[2] > found.high[2]


def test_periods_without_exposure_have_no_value():
    found = u_chart([3, 0], [1.0, 0.0])
    assert np.isnan(found.value[1]) and np.isnan(found.high[1]) and found.centre == 3
    empty = u_chart([0], [0.0])
    assert math.isnan(empty.centre) and "no centre line" in empty.note
    assert u_chart([0, 0], [1.0, 2.0]).high.tolist() == [0, 0]  # no events: nothing can be below or above


def signals(value, centre=5.0, **more):
    found = chart_signals(value, centre, NONE[: len(value)], NONE[: len(value)], **more)
    return found.run.tolist()


def test_eight_on_one_side_are_a_signal_and_seven_are_none():
    assert signals([6] * 7 + [4]) == [False] * 8
    assert signals([4] + [6] * 8 + [4]) == [False] + [True] * 8 + [False]
    assert signals([4, 6, 6, 6], run=3) == [False, True, True, True]


def test_a_point_on_the_line_neither_makes_nor_breaks_a_run():
    assert signals([6, 5, 6, 6], run=3) == [True, False, True, True]
    assert signals([5] * 9) == [False] * 9


def test_a_point_that_is_not_known_ends_a_run():
    assert signals([6] * 4 + [math.nan] + [6] * 4) == [False] * 9
    assert signals([6] * 8 + [math.nan]) == [True] * 8 + [False]


def test_a_point_outside_a_limit_is_a_signal_and_one_on_it_is_none():
    found = chart_signals([10.0, 10.1, 0.9, 1.0, 0.0], 5.0, [1, 1, 1, 1, math.nan], [10.0] * 5)
    assert found.beyond.tolist() == [False, True, True, False, False]


def test_the_chance_of_a_row_is_that_of_all_charts_counted():
    for periods, run in ((3, 4), (5, 2), (8, 8), (9, 3), (12, 5)):
        every = list(product((0, 1), repeat=periods))
        have = sum(any(len(list(row)) >= run for _, row in groupby(one)) for one in every)
        assert chance_of_run(periods, run) == pytest.approx(have / len(every), abs=1e-12)
    assert chance_of_run(0) == 0


def test_wrong_input_is_refused():
    with pytest.raises(DataError, match="one number a period"):
        u_chart([1, 2], [1.0])
    with pytest.raises(DataError, match="not negative"):
        u_chart([-1], [1.0])
    with pytest.raises(DataError, match="events in no exposure"):
        u_chart([1], [0.0])
    with pytest.raises(DataError, match="baseline has shape"):
        u_chart([1, 2], [1.0, 1.0], [True])
    with pytest.raises(ParameterError, match="sigmas is 0"):
        u_chart([1], [1.0], sigmas=0)
    with pytest.raises(ParameterError, match="run is 1"):
        signals([1], run=1)
    with pytest.raises(ParameterError, match="run is 1 and periods 12"):
        chance_of_run(12, 1)
