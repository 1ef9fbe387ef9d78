"""What every engine must give for the same tiny records."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import ibis
import pytest

from clinops.errors import DataError
from clinops.sources import costs, omop
from tests.conftest import tiny


def rows(source, expr):
    return source.engine.collect(expr).to_pylist()


def test_events_have_the_same_shape_and_types_on_every_engine(any_source):
    big = 2**53 + 1
    source = any_source(
        tiny(
            person=[{"person_id": big}],
            condition_occurrence=[
                {"person": big, "concept": 201826, "code": "250.00", "start": "2020-02-29", "end": "2020-02-01"},
                {"person": big, "concept": 0, "code": "042", "start": "2021-01-01"},
            ],
        )
    )
    events = omop.events(source, "condition").order_by("start_date")
    assert tuple(events.columns) == omop.COLUMNS
    first, second = rows(source, events)
    assert first["person_id"] == big
    assert first["source_value"] == "250.00" and second["source_value"] == "042"
    assert first["end_date"] == dt.date(2020, 2, 29)
    assert second["end_date"] == dt.date(2021, 1, 1)


def test_materialised_tables_keep_dates_as_dates_and_money_as_decimal(any_source):
    source = any_source(tiny(visit_occurrence=[{"person": 1, "start": "2020-01-31", "id": 7}],
                             cost=[{"event": 7, "allowed": "0.10"}, {"event": 7, "allowed": "0.20"}]))  # fmt: skip
    visits = source.table("visit_occurrence")
    later = visits.select(day=visits.visit_start_date + ibis.interval(days=1), n=visits.visit_occurrence_id)
    kept = source.engine.materialise(later, "later")
    assert rows(source, kept) == [{"day": dt.date(2020, 2, 1), "n": 7}]
    assert rows(source, kept.select(d=kept.day.delta(ibis.date("2020-01-31"), unit="day"))) == [{"d": 1}]
    costs = source.table("cost")
    assert rows(source, costs.aggregate(s=costs.amount_allowed.sum())) == [{"s": Decimal("0.30")}]


def test_null_and_empty_text_and_odd_characters_survive(any_source):
    codes = [None, "", 'a "quoted", text\nwith\tbreaks', "é∆", "NA", "null"]
    source = any_source(tiny(observation=[{"person": 1, "start": "2020-01-01", "code": code} for code in codes]))
    got = rows(source, source.table("observation").order_by("observation_id").select("observation_source_value"))
    assert [row["observation_source_value"] for row in got] == codes


def test_uploaded_tables_can_be_joined(any_source):
    source = any_source(tiny(person=[{"person_id": 1}, {"person_id": 2}]))
    import pyarrow as pa

    local = source.engine.upload(
        pa.table({"person_id": pa.array([2, 3]), "day": pa.array([dt.date(2020, 1, 1), None])}), "local"
    )
    joined = source.table("person").inner_join(local, "person_id").select("person_id", "day")
    assert rows(source, joined) == [{"person_id": 2, "day": dt.date(2020, 1, 1)}]


def test_a_table_that_is_not_there_is_empty_and_typed(any_source):
    source = any_source(tiny(person=[{"person_id": 1}]))
    assert not source.has("cost")
    table = source.table("cost")
    assert rows(source, table) == []
    assert table.schema()["amount_allowed"].is_decimal()


def test_the_role_changes_nothing(postgres_server, source_of):
    import psycopg

    source_of(tiny(person=[{"person_id": 1}]), "postgres")
    with psycopg.connect(postgres_server.address(), autocommit=True) as connection:
        for statement in ("CREATE TABLE public.x (a int)", f"DELETE FROM cdm_{postgres_server.schemas}.person"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_costs_are_dated_and_sorted_by_the_event_they_paid_for(any_source):
    source = any_source(
        tiny(
            visit_occurrence=[
                {"person": 1, "id": 10, "start": "2020-01-01", "concept": 9201},
                {"person": 1, "id": 11, "start": "2020-02-01", "concept": 9203},
                {"person": 2, "id": 12, "start": "2020-03-01", "concept": 262},
                {"person": 2, "id": 13, "start": "2020-04-01", "concept": 581477},
                {"person": 2, "id": 14, "start": "2020-05-01", "concept": 5083},
            ],
            drug_exposure=[{"person": 2, "id": 10, "start": "2020-06-01", "concept": 1, "visit_occurrence_id": 13}],
            procedure_occurrence=[
                {"person": 1, "id": 10, "start": "2020-07-01", "concept": 2, "visit_occurrence_id": 11},
                {"person": 1, "id": 11, "start": "2020-08-01", "concept": 2},
            ],
            cost=[
                {"event": 10, "allowed": "100.10", "paid": "90"},
                {"event": 11, "paid": "7.25"},
                {"event": 12, "allowed": 3, "paid_by_payer": 2, "paid": 3},
                {"event": 13, "allowed": 4},
                {"event": 14, "allowed": 5},
                {"event": 10, "allowed": 6, "domain": "Drug"},
                {"event": 10, "allowed": 7, "domain": "PROCEDURE"},
                {"event": 11, "allowed": 8, "domain": "Procedure"},
                {"event": 99, "allowed": 9},
                {"event": 14, "currency": None},
            ],
        )
    )
    got = rows(source, costs.costs(source).order_by("cost_id"))
    assert tuple(got[0]) == costs.COLUMNS
    assert [(r["cost_id"], r["date"].month, r["category"], r["allowed"], r["paid"]) for r in got] == [
        (1, 1, "inpatient", Decimal("100.10"), Decimal("90.00")),
        (2, 2, "emergency", Decimal("7.25"), Decimal("7.25")),
        (3, 3, "inpatient", Decimal("3.00"), Decimal("2.00")),
        (4, 4, "professional", Decimal("4.00"), None),
        (5, 5, "outpatient", Decimal("5.00"), None),
        (6, 6, "pharmacy", Decimal("6.00"), None),
        (7, 7, "emergency", Decimal("7.00"), None),
        (8, 8, "other", Decimal("8.00"), None),
        (10, 5, "outpatient", None, None),
    ]
    assert {item.what: item.count for item in source.set_aside} == {
        "cost: rows without a currency": 1,
        "cost: rows whose event is not there": 1,
        "cost: rows without an amount": 1,
        "cost: rows with the total paid as allowed": 1,
        "cost: rows without a visit of a known kind": 1,
    }
    assert costs.currency(source) == 44818668


def test_two_currencies_are_never_added(any_source):
    source = any_source(
        tiny(
            visit_occurrence=[{"person": 1, "id": 1, "start": "2020-01-01"}],
            cost=[
                {"event": 1, "allowed": 100, "currency": 44818668},
                {"event": 1, "allowed": 250, "currency": 44818668},
                {"event": 1, "allowed": 500, "currency": 44818568},
                {"event": 1, "allowed": 40, "currency": None},
                {"event": 1, "allowed": 60, "currency": None},
            ],
        )
    )
    with pytest.raises(
        DataError, match=r"2 currencies \(concept 44818568 1 rows, concept 44818668 2 rows; 2 rows with none"
    ):
        costs.costs(source)


def test_costs_of_an_event_id_on_two_rows_are_refused(any_source):
    source = any_source(
        tiny(
            visit_occurrence=[
                {"person": 1, "id": 1, "start": "2020-01-01"},
                {"person": 1, "id": 1, "start": "2020-01-02"},
            ],
            cost=[{"event": 1, "allowed": 100}],
        )
    )
    with pytest.raises(DataError, match="1 costs would be counted more than once"):
        costs.costs(source)
