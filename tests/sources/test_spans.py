"""Continuous episodes, against case C001 and against sets of days."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.sources.duck import DuckEngine
from clinops.sources.spans import episodes, split_reversed
from tests.conftest import tiny
from tests.support import case_file

JAN, JUN = dt.date(2022, 1, 1), dt.date(2022, 6, 30)


@pytest.fixture
def engine():
    made = DuckEngine()
    yield made
    made.close()


def case(name: str) -> pa.Table:
    return pa.csv.read_csv(case_file("C001", name))


def merged(engine, table: pa.Table, gap: int) -> dict[str, list[tuple[dt.date, dt.date]]]:
    expr = episodes(engine.upload(table), gap).order_by(["person_id", "start_date"])
    found: dict[str, list[tuple[dt.date, dt.date]]] = {}
    for row in engine.rows(expr):
        found.setdefault(row["person_id"], []).append((row["start_date"], row["end_date"]))
    return found


def span(start: str, end: str) -> tuple[dt.date, dt.date]:
    return dt.date.fromisoformat(start), dt.date.fromisoformat(end)


ALIKE = {
    "P1": [span("2022-01-01", "2022-06-30")],
    "P3": [span("2022-01-01", "2023-01-31")],
    "P4": [span("2022-05-01", "2022-05-01")],
}
EXPECTED = {
    0: {**ALIKE, "P2": [span("2022-01-01", "2022-03-31"), span("2022-04-02", "2022-06-30")]},
    1: {**ALIKE, "P2": [span("2022-01-01", "2022-06-30")]},
}
DAYS = {0: {"P1": [181], "P2": [90, 90], "P3": [396], "P4": [1]}, 1: {"P1": [181], "P2": [181], "P3": [396], "P4": [1]}}
ENROLLED = {0: ["P1", "P3"], 1: ["P1", "P2", "P3"]}


@pytest.mark.parametrize("gap", [0, 1])
def test_case_c001(engine, gap):
    found = merged(engine, case("enrolment.csv"), gap)
    assert found == EXPECTED[gap]
    assert {who: [(e - s).days + 1 for s, e in spans] for who, spans in found.items()} == DAYS[gap]
    assert sorted(w for w, spans in found.items() if any(s <= JAN and e >= JUN for s, e in spans)) == ENROLLED[gap]


def test_case_c001_reversed_row_is_set_aside_and_counted(engine):
    name = "enrolment_with_reversed_row.csv"
    kept, aside = split_reversed(engine.upload(case(name)), engine, name)
    assert aside.count == 1
    assert name in aside.what and "end_date" in aside.what and "start_date" in aside.what
    assert "P5" in aside.why
    found = engine.rows(episodes(kept))
    assert [(r["person_id"], (r["end_date"] - r["start_date"]).days + 1) for r in found] == [("P1", 181)]


def test_episodes_are_the_same_on_every_engine(any_source):
    """P1's three spans touch or nest, P2's lie one day apart."""
    source = any_source(
        tiny(
            person=[{"person_id": 1}, {"person_id": 2}],
            observation_period=[
                {"person": 1, "start": "2022-01-01", "end": "2022-03-31"},
                {"person": 1, "start": "2022-04-01", "end": "2022-06-30"},
                {"person": 1, "start": "2022-02-10", "end": "2022-02-20"},
                {"person": 2, "start": "2022-01-01", "end": "2022-03-31"},
                {"person": 2, "start": "2022-04-02", "end": "2022-06-30"},
            ],
        )
    )
    periods = source.table("observation_period").order_by(["person_id", "observation_period_start_date"])
    got = [(r["person_id"], r["observation_period_start_date"], r["observation_period_end_date"])
           for r in source.engine.rows(periods)]  # fmt: skip
    assert got == [
        (1, *span("2022-01-01", "2022-06-30")),
        (2, *span("2022-01-01", "2022-03-31")),
        (2, *span("2022-04-02", "2022-06-30")),
    ]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40), st.integers(0, 12)), min_size=1, max_size=15),
    st.integers(0, 3),
)
def test_episodes_cover_the_same_days_and_never_touch(rows, gap):
    """Brute force: the days of a person, grown into runs wherever at most `gap` days are missing."""
    zero = dt.date(2020, 1, 1).toordinal()
    table = pa.table({
        "person_id": [str(p) for p, _, _ in rows],
        "start_date": [dt.date.fromordinal(zero + s) for _, s, _ in rows],
        "end_date": [dt.date.fromordinal(zero + s + n) for _, s, n in rows],
    })  # fmt: skip
    expected: dict[str, list[tuple[dt.date, dt.date]]] = {}
    for person in sorted({p for p, _, _ in rows}):
        days = sorted({zero + s + k for p, s, n in rows if p == person for k in range(n + 1)})
        runs = [[days[0], days[0]]]
        for day in days[1:]:
            if day - runs[-1][1] - 1 <= gap:
                runs[-1][1] = day
            else:
                runs.append([day, day])
        expected[str(person)] = [(dt.date.fromordinal(a), dt.date.fromordinal(b)) for a, b in runs]
    engine = DuckEngine()
    try:
        assert merged(engine, table, gap) == expected
    finally:
        engine.close()
