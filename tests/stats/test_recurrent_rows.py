"""From lists of events to rows at risk: R's bladder data rebuilt from its events, and hand-made persons."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.recurrent_rows import counting_process, marginal_rows
from tests.support import oracle_csv


def test_rows_of_the_bladder_data_come_back_from_its_events() -> None:
    data = oracle_csv("recurrent/bladder2").sort_values(["id", "start"])
    last, events = data.groupby("id")["stop"].max(), data[data["event"] == 1].sample(frac=1, random_state=1)
    rows = counting_process(last.index, last, events["id"], events["stop"])
    for ours, theirs in (("person", "id"), ("entry", "start"), ("exit", "stop"), ("event", "event"), ("order", "enum")):
        assert getattr(rows, ours).tolist() == data[theirs].tolist(), ours
    assert (rows.gap == data["stop"] - data["start"]).all()
    assert (rows.outside, rows.merged, rows.set_aside) == (0, 0, 0)


def test_marginal_rows_of_the_bladder_data_come_back_from_its_events() -> None:
    wide = oracle_csv("recurrent/bladder_wlw").sort_values(["id", "enum"])
    last, events = wide.groupby("id")["stop"].max(), wide[wide["event"] == 1]
    rows = marginal_rows(last.index, last, events["id"], events["stop"], 4)
    for ours, theirs in (("person", "id"), ("exit", "stop"), ("event", "event"), ("order", "enum")):
        assert getattr(rows, ours).tolist() == wide[theirs].tolist(), ours
    assert not rows.entry.any()


def test_one_row_up_to_each_event_and_one_to_the_end() -> None:
    rows = counting_process(
        ["b", "a", "c", "d"], [10, 8, 9, 3], ["a", "b", "a", "b", "b"], [8, 4, 2, 1, 12],
        start=[1, 0, 0, 3], death=[1, 1, 0, 1],
    )  # fmt: skip
    assert rows.person.tolist() == ["b", "b", "a", "a", "c"] and rows.index.tolist() == [0, 0, 1, 1, 2]
    assert rows.entry.tolist() == [1, 4, 0, 2, 0] and rows.exit.tolist() == [4, 10, 2, 8, 9]
    assert rows.event.tolist() == [True, False, True, True, False]
    assert rows.death.tolist() == [False, True, False, True, False], "an event at death stands before it, on one row"
    assert rows.order.tolist() == [1, 2, 1, 2, 1]
    assert rows.outside == 2, "at the start and after the end"
    assert rows.set_aside == 1, "start = stop"


def test_marginal_rows_by_hand() -> None:
    rows = marginal_rows(["a", "b"], [9, 5], ["a", "a", "a"], [7, 2, 8], 2, start=[0, 1], death=[0, 1])
    assert rows.person.tolist() == ["a", "a", "b", "b"] and rows.order.tolist() == [1, 2, 1, 2]
    assert rows.exit.tolist() == [2, 7, 5, 5] and rows.entry.tolist() == [0, 0, 1, 1]
    assert rows.event.tolist() == [True, True, False, False] and rows.death.tolist() == [False, False, True, True]


def test_two_events_at_one_time_are_refused_or_merged() -> None:
    with pytest.raises(DataError, match=r"1 events happen at the time of another .*person a at 3"):
        counting_process(["a"], [9], ["a", "a"], [3, 3])
    rows = counting_process(["a"], [9], ["a", "a"], [3, 3], ties="merge")
    assert rows.exit.tolist() == [3, 9] and rows.merged == 1


def test_nobody_and_no_events() -> None:
    none: list[Any] = []
    for rows in (counting_process(none, none, none, none), marginal_rows(none, none, none, none, 2)):
        assert len(rows.exit) == 0 and rows.set_aside == 0
    rows = counting_process([1], [5], none, none)
    assert rows.exit.tolist() == [5] and not rows.event.any() and rows.order.tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"person": ["a", "a"], "stop": [1, 2]}, "each once"),
        ({"person": ["a", "b"], "stop": [1]}, "stop has the shape"),
        ({"person": ["a"], "stop": [np.nan]}, "missing"),
        ({"person": ["a"], "stop": [2], "start": [3]}, "start after they stop"),
        ({"person": ["a"], "stop": [2], "death": [2]}, "death must be 0 or 1"),
        ({"person": ["a"], "stop": [5], "event_person": ["z"], "event_time": [1]}, "without follow-up .first: z"),
        ({"person": [], "stop": [], "event_person": ["z"], "event_time": [1]}, "without follow-up .first: z"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        counting_process(**{"event_person": [], "event_time": [], **arguments})


def test_bad_options_are_refused() -> None:
    with pytest.raises(ParameterError, match="treatment of ties"):
        counting_process(["a"], [1], [], [], ties="jitter")
    with pytest.raises(ParameterError, match="orders"):
        marginal_rows(["a"], [1], [], [], 0)
