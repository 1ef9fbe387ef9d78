"""Member-months and anniversary months, by hand and against a walk over every single day."""

from __future__ import annotations

import calendar
import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.analyse.months import member_months, months_covered, months_started

DATES = st.dates(dt.date(1968, 1, 1), dt.date(2032, 12, 31))


def _days(*dates: str | dt.date) -> np.ndarray:
    return np.array(dates, dtype="datetime64[D]")


def _months(index: str, first: float, last: float) -> float:
    return float(member_months(_days(index), np.array([first]), np.array([last]))[0])


@pytest.mark.parametrize(
    ("index", "first", "last", "expected"),
    [
        ("2021-04-14", 1, 16, 16 / 30),  # 15 to 30 April
        ("2021-03-31", 1, 30, 1),  # all of April
        ("2021-01-30", 1, 29, 1 / 31 + 1),  # 31 January and all of February
        ("2021-06-15", 1, 365, 12),  # a whole year
        ("2019-06-15", 1, 366, 12),  # a whole year with a leap day
        ("2020-02-28", 1, 1, 1 / 29),  # the leap day itself
        ("2021-02-27", 1, 1, 1 / 28),
        ("2021-12-30", 1, 2, 1 / 31 + 1 / 31),  # over the turn of the year
        ("2021-12-31", 0, 0, 1 / 31),  # one day is a span that starts where it ends
        ("1969-12-15", 1, 31, 16 / 31 + 15 / 31),  # before the epoch
        ("2021-04-14", 5, 4, 0),  # ends the day before it starts
        ("2021-04-14", 5, -30, 0),
    ],
)
def test_member_months_by_hand(index: str, first: int, last: int, expected: float) -> None:
    assert _months(index, first, last) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=80)
@given(index=DATES, first=st.integers(-400, 400), length=st.integers(0, 800))
def test_member_months_are_days_over_the_days_of_their_month(index: dt.date, first: int, length: int) -> None:
    walked = 0.0
    for day in range(first, first + length):
        date = index + dt.timedelta(days=day)
        walked += 1 / calendar.monthrange(date.year, date.month)[1]
    assert _months(str(index), first, first + length - 1) == pytest.approx(walked, abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(index=DATES, cut=st.integers(2, 700))
def test_member_months_add_up(index: dt.date, cut: int) -> None:
    whole = _months(str(index), 1, 730)
    assert _months(str(index), 1, cut) + _months(str(index), cut + 1, 730) == pytest.approx(whole, abs=1e-9)


def test_member_months_of_many_rows_are_each_their_own() -> None:
    index = _days("2021-04-14", "2021-03-31", "2021-04-14")
    found = member_months(index, np.array([1.0, 1.0, np.nan]), np.array([16.0, 30.0, np.nan]))
    assert found[:2] == pytest.approx([16 / 30, 1])


def _anniversary(index: dt.date, months: int) -> dt.date:
    year, month = divmod(index.year * 12 + index.month - 1 + months, 12)
    return dt.date(year, month + 1, min(index.day, calendar.monthrange(year, month + 1)[1]))


def _month_of(day: int, index: dt.date) -> int:
    """The anniversary month of a day, found by trying them all; 0 for the index date."""
    date = index + dt.timedelta(days=day)
    if day > 0:
        return next(k for k in range(1, 60) if date <= _anniversary(index, k))
    return 0 if day == 0 else -next(k for k in range(1, 60) if date >= _anniversary(index, -k))


@settings(deadline=None, max_examples=60)
@given(index=DATES, first=st.integers(-130, 60), length=st.integers(0, 200))
def test_months_covered_are_the_shares_of_the_days_walked(index: dt.date, first: int, length: int) -> None:
    last = first + length - 1
    at, shares = months_covered(_days(index), np.array([float(first)]), np.array([float(last)]), 3, 3)
    assert at.tolist() == [-3, -2, -1, 1, 2, 3]
    held = [_month_of(day, index) for day in range(-130, 130)]
    seen = [_month_of(day, index) for day in range(first, last + 1)]
    expected = [seen.count(month) / held.count(month) for month in at.tolist()]
    assert shares[0] == pytest.approx(expected, abs=1e-12)


def test_an_anniversary_that_the_calendar_lacks_falls_on_the_last_day() -> None:
    # From 31 January: month 1 ends on 28 February (28 days), month 2 on 31 March (31 days).
    _, shares = months_covered(_days("2021-01-31"), np.array([1.0]), np.array([28.0]), 0, 2)
    assert shares.tolist() == [[1.0, 0.0]]
    _, shares = months_covered(_days("2021-01-31"), np.array([1.0]), np.array([29.0]), 0, 2)
    assert shares[0] == pytest.approx([1, 1 / 31])


def test_no_months_asked_for_are_none() -> None:
    at, shares = months_covered(_days("2021-01-31", "2021-02-01"), np.zeros(2), np.ones(2), 0, 0)
    assert at.shape == (0,)
    assert shares.shape == (2, 0)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        ("2021-01-15", "2021-01-15", 1),
        ("2021-01-15", "2021-02-15", 1),
        ("2021-01-15", "2021-02-16", 2),
        ("2021-06-15", "2022-06-15", 12),
        ("2021-01-31", "2021-02-28", 1),
        ("2021-01-31", "2021-03-01", 2),
        ("2021-01-31", "2021-03-31", 2),
        ("2021-01-15", "2021-01-14", 0),
        ("2021-01-15", "2020-06-01", 0),
    ],
)
def test_months_started_by_hand(first: str, last: str, expected: int) -> None:
    assert months_started(_days(first), _days(last)).tolist() == [expected]


@settings(deadline=None, max_examples=60)
@given(index=DATES, day=st.integers(1, 900))
def test_months_started_is_the_anniversary_month_of_the_last_day(index: dt.date, day: int) -> None:
    last = index + dt.timedelta(days=day)
    assert months_started(_days(index), _days(last)).tolist() == [_month_of(day, index)]
