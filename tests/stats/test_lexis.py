"""Person-time by calendar and age: persons worked by hand, R's survSplit and pyears, and a walk over every day."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.lexis import Lexis, birth_dates, lexis, new_years

UNKNOWN = np.datetime64("NaT")


# --- by hand -----------------------------------------------------------------------------------------------


def test_a_new_year_and_a_birthday_each_open_a_cell_on_their_own_day() -> None:
    # Born 1 March 1955, 65 on 1 March 2020. Watched from 11 December 2019 (the day after entry) to 5 March 2020.
    # 2019: 11 to 31 December, 21 days at 64. 2020: January 31 + February 29 = 60 days at 64, then 1 to 5 March, 5 days
    # at 65.
    # Events: 31 December (2019, 64), 1 January (2020, 64), 1 March and, twice, the last day 5 March (2020, 65); the
    # day of entry and the day after the last are no days of follow-up.
    found = lexis(
        ["2019-12-10"], ["2020-03-05"], born=["1955-03-01"], calendar=["2020-01-01"], ages=[65],
        event_row=[0] * 7,
        event_day=["2019-12-31", "2020-01-01", "2020-03-01", "2020-03-05", "2020-03-05", "2019-12-10", "2020-03-06"],
    )  # fmt: skip
    cells = found.cells()
    assert cells.days.tolist() == [[21, 0, 0], [60, 5, 0]]
    assert cells.events.tolist() == [[1, 0, 0], [1, 3, 0]]
    assert found.outside == 2 and found.without_time == 0
    assert found.first.astype(str).tolist() == ["2019-12-11", "2020-01-01", "2020-03-01"]


@pytest.mark.parametrize(
    ("entry", "exit", "age", "below", "above"),
    [
        # Born 29 February 1952. 2017 has no such day: 27 and 28 February at 64, 1 to 3 March at 65.
        ("2017-02-26", "2017-03-03", 65, 2, 3),
        # 2020 has: 28 February at 67, 29 February and 1 March at 68.
        ("2020-02-27", "2020-03-01", 68, 1, 2),
        # The birthday is the first day: all at 65. The birthday is the last day: one day at 65.
        ("2017-02-28", "2017-03-02", 65, 0, 2),
        ("2017-02-25", "2017-03-01", 65, 3, 1),
    ],
)
def test_who_is_born_on_29_february(entry: str, exit: str, age: int, below: int, above: int) -> None:
    found = lexis([entry], [exit], born=["1952-02-29"], ages=[age])
    assert found.cells().days.tolist() == [[below, above, 0]]


def test_a_birthday_on_1_january_opens_one_cell_not_two() -> None:
    # Only the year 1955 is known: 65 from 1 January 2020 on. 31 December is one day at 64, then two at 65.
    born = birth_dates([1955], [np.nan], [np.nan])
    found = lexis(["2019-12-30"], ["2020-01-02"], born=born, calendar=["2020-01-01"], ages=[65])
    assert found.days.tolist() == [1, 2]
    assert found.cells().days.tolist() == [[1, 0, 0], [0, 2, 0]]


def test_days_count_from_each_rows_own_origin() -> None:
    # Day 1 is 31 December 2019 of the first and 1 January 2020 of the second; three days each.
    found = lexis(
        [0, 0], [3, 3.0], origin=["2019-12-30", "2019-12-31"], calendar=["2020-01-01"], event_row=[1], event_day=[1]
    )
    assert found.row.tolist() == [0, 0, 1] and found.days.tolist() == [1, 2, 3]
    assert found.cells().events.ravel().tolist() == [0, 0, 1, 0]
    # One date for all: day 6 is 2 January, day 7 the 3rd, so one day on either side of the cut on the 3rd.
    same = lexis([5], [7], origin=[dt.date(2019, 12, 27)], calendar=[dt.date(2020, 1, 3)])
    assert same.days.tolist() == [1, 1] and same.first.astype(str).tolist() == ["2020-01-02", "2020-01-03"]


def test_no_time_no_births_nobody() -> None:
    found = lexis([4, 4], [4, 6], born=[UNKNOWN, UNKNOWN], ages=[18], event_row=[0], event_day=[4])
    assert found.without_time == 1 and found.outside == 1 and found.row.tolist() == [1]
    assert found.cells().days.tolist() == [[0, 0, 2]]  # the last column is of unknown age
    nobody = lexis([], [])
    assert len(nobody.row) == 0 and nobody.cells().days.tolist() == [[0, 0]]
    assert lexis([0], [9]).cells().days.tolist() == [[9, 0]]  # no cut: one cell


def test_parts_of_a_date_of_birth() -> None:
    found = birth_dates([1950, 1950, 1950, 1952, np.nan, 1950, 1951], [5, 0, 5, 2, 5, 13, 2], [17, 0, 0, 29, 17, 1, 30])
    assert found.astype(str).tolist() == [
        "1950-05-17", "1950-01-01", "1950-01-01", "1952-02-29", "NaT", "1950-01-01", "1951-03-01",
    ]  # fmt: skip


def test_new_years_after_a_day_up_to_another() -> None:
    assert new_years("2018-06-01", "2020-01-01").astype(str).tolist() == ["2019-01-01", "2020-01-01"]
    assert new_years("2019-01-01", "2019-12-31").size == 0
    assert new_years(dt.date(1969, 1, 2), pd.Timestamp("1970-02-01")).astype(str).tolist() == ["1970-01-01"]


# --- R -----------------------------------------------------------------------------------------------------


def test_cells_are_those_of_survsplit_and_pyears(reference: Any) -> None:
    expected, _, frames = reference("epi/lexis")
    person, event = frames["lexis_persons.csv"], frames["lexis_events.csv"]
    given: dict[str, Any] = {
        "calendar": expected["calendar"], "event_row": event["id"].to_numpy() - 1, "event_day": event["day"],
    }  # fmt: skip
    found = lexis(person["entry"], person["exit"], born=person["born"], ages=expected["ages"], **given)
    cells = found.cells()
    assert cells.days.tolist() == [[*row, 0] for row in expected["days"]]
    assert cells.events.tolist() == [[*row, 0] for row in expected["events"]]
    assert found.outside == 0
    weighted = found.cells(expected["weight"])
    np.testing.assert_allclose(weighted.days[:, :-1], expected["weighted_days"], rtol=1e-12)
    np.testing.assert_allclose(weighted.events[:, :-1], expected["weighted_events"], rtol=1e-12)
    plain = lexis(person["entry"], person["exit"], **given)
    assert plain.cells().days[:, 0].tolist() == expected["pyears_calendar"]


# --- day by day, and laws ----------------------------------------------------------------------------------

DATES = st.dates(dt.date(2015, 12, 20), dt.date(2021, 1, 10))
BORN = st.one_of(
    st.none(), st.sampled_from([dt.date(1952, 2, 29), dt.date(1996, 2, 29), dt.date(2004, 1, 1)]),
    st.dates(dt.date(1935, 1, 1), dt.date(2015, 12, 1)),
)  # fmt: skip


@st.composite
def followed(draw: st.DrawFn) -> dict[str, Any]:
    rows = draw(st.lists(st.tuples(DATES, st.integers(0, 900), BORN), max_size=6))
    events = draw(st.lists(st.tuples(st.integers(0, max(len(rows) - 1, 0)), DATES), max_size=8)) if rows else []
    cuts = draw(st.lists(DATES, max_size=4, unique=True).map(sorted))
    return {
        "entry": np.array([r[0] for r in rows], dtype="datetime64[D]"),
        "exit": np.array([r[0] + dt.timedelta(r[1]) for r in rows], dtype="datetime64[D]"),
        "born": np.array([r[2] for r in rows], dtype="datetime64[D]"),
        "calendar": np.array([*cuts, *([] if cuts else ["2018-01-01"])], dtype="datetime64[D]"),
        "ages": draw(st.lists(st.integers(1, 90), max_size=5, unique=True).map(sorted)),
        "event_row": np.array([e[0] for e in events], dtype=int),
        "event_day": np.array([e[1] for e in events], dtype="datetime64[D]"),
    }  # fmt: skip


def walked(of: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Days and events of every cell, one day after the other, by what a calendar says."""
    shape = len(of["calendar"]) + 1, len(of["ages"]) + 2
    days, events = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    for row, (entry, exit, born) in enumerate(zip(of["entry"], of["exit"], of["born"], strict=True)):
        of_row = of["event_day"][of["event_row"] == row].tolist()
        for number in range(1, (exit - entry).astype(int) + 1):
            day, birth = (entry + number).item(), born.item()
            period = sum(day >= cut.item() for cut in of["calendar"])
            if not of["ages"]:
                band = 0
            elif birth is None:
                band = len(of["ages"]) + 1
            else:
                age = day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
                band = sum(age >= cut for cut in of["ages"])
            days[period, band] += 1
            events[period, band] += of_row.count(day)
    return days, events


@settings(max_examples=60, deadline=None)
@given(followed())
def test_cells_are_those_of_a_walk_over_every_day(of: dict[str, Any]) -> None:
    found, (days, events) = lexis(**of), walked(of)
    cells = found.cells()
    assert cells.days.tolist() == days.tolist() and cells.events.tolist() == events.tolist()
    assert cells.days.sum() == (of["exit"] - of["entry"]).astype(int).sum()  # exactly the whole person-time
    assert cells.events.sum() + found.outside == len(of["event_row"])
    assert (found.days > 0).all() and len(found.row) <= len(of["entry"]) * (len(of["calendar"]) + len(of["ages"]) + 1)


@settings(max_examples=40, deadline=None)
@given(followed(), st.integers(0, 900), st.randoms(use_true_random=False))
def test_splitting_rows_and_their_order_change_nothing(of: dict[str, Any], cut: int, chance: Any) -> None:
    whole = lexis(**of).cells()
    middle = np.minimum(of["entry"] + cut, of["exit"])
    row, day = of["event_row"], of["event_day"]
    late = day > middle[row] if len(row) else np.array([], dtype=bool)
    parts = {
        "entry": np.append(of["entry"], middle), "exit": np.append(middle, of["exit"]),
        "born": np.append(of["born"], of["born"]), "event_row": row + late * len(middle),
    }  # fmt: skip
    in_two = lexis(**of | parts).cells()
    assert in_two.days.tolist() == whole.days.tolist() and in_two.events.tolist() == whole.events.tolist()
    order = np.array(chance.sample(range(len(middle)), len(middle)), dtype=int)
    new_place = np.argsort(order)
    moved = {name: of[name][order] for name in ("entry", "exit", "born")} | {
        "event_row": new_place[row] if len(row) else row
    }
    other = lexis(**of | moved).cells()
    assert other.days.tolist() == whole.days.tolist() and other.events.tolist() == whole.events.tolist()


def test_weights_multiply_and_zero_leaves_out() -> None:
    found = lexis([0, 0], [10, 400], calendar=["1970-07-01"], event_row=[1, 1], event_day=[3, 300])
    cells = found.cells([0, 2.5])
    assert cells.days[:, 0].tolist() == [2.5 * 180, 2.5 * 220]  # day 181 is 1 July 1970
    assert cells.events[:, 0].tolist() == [2.5, 2.5]


def test_memory_follows_the_cells_and_not_the_days() -> None:
    many: Lexis = lexis(np.zeros(1000, int), np.full(1000, 20_000), calendar=["2000-01-01"])
    assert len(many.row) == 2000


# --- wrong input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"exit": [3]}, DataError, "entry has 2 rows and exit 1"),
        ({"exit": [3, -1]}, DataError, "Row 1 ends before it begins"),
        ({"entry": [0, np.nan]}, DataError, "entry must hold whole days"),
        ({"entry": [0.5, 0]}, DataError, "entry must hold whole days"),
        ({"entry": [["2020-01-01"]]}, DataError, "entry has the shape"),
        ({"entry": ["2020-01-01", "NaT"]}, DataError, "entry has a missing date at 1"),
        ({"entry": ["soon", "later"]}, DataError, "give dates, or whole days"),
        ({"origin": ["2020-01-01"] * 3}, DataError, "origin has 3 dates"),
        ({"ages": [18]}, ParameterError, "need the dates of birth"),
        ({"ages": [45, 18], "born": ["1960-01-01"] * 2}, ParameterError, "rising whole years from 1 to 150"),
        ({"ages": [0, 18], "born": ["1960-01-01"] * 2}, ParameterError, "rising whole years"),
        ({"ages": [6570], "born": ["1960-01-01"] * 2}, ParameterError, "rising whole years"),
        ({"ages": [17.5], "born": ["1960-01-01"] * 2}, ParameterError, "rising whole years"),
        ({"ages": [18], "born": ["1960-01-01"]}, DataError, "one date for each of 2 rows"),
        ({"ages": [18], "born": ["1960-01-01", "1970-01-03"]}, DataError, "Row 1 is watched before its birth"),
        ({"calendar": ["2020-01-01", "2019-01-01"]}, ParameterError, "must rise"),
        ({"event_day": [1]}, DataError, "without event_row"),
        ({"event_row": [2], "event_day": [1]}, DataError, "from 0 to 1"),
        ({"event_row": [0, 1], "event_day": [1]}, DataError, "2 events and event_day 1"),
    ],
)
def test_wrong_input_is_refused(given: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        lexis(**({"entry": [0, 0], "exit": [20, 30]} | given))


def test_wrong_weights_and_parts_are_refused() -> None:
    found = lexis([0, 0], [1, 2])
    for weights in ([1], [1, -1], [1, np.nan]):
        with pytest.raises(DataError, match="2 finite numbers"):
            found.cells(weights)
    with pytest.raises(DataError, match="is before the first"):
        new_years("2020-01-01", "2019-01-01")
    with pytest.raises(DataError, match="give one of each"):
        birth_dates([1950], [1, 2], [1])
