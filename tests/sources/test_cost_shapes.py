"""OMOP costs in both shapes: one column an amount (5.3, 5.4) and one row an amount (after 5.4)."""

from __future__ import annotations

from decimal import Decimal

import pytest

import clinops as co
from clinops.errors import SourceError
from clinops.sources import costs
from tests.conftest import tiny, write_parquet

EVENTS = {
    "visit_occurrence": [
        {"person": 1, "id": 10, "concept": 9201, "start": "2020-01-05"},
        {"person": 1, "id": 11, "concept": 9203, "start": "2020-02-05"},
    ],
    "drug_exposure": [{"person": 1, "id": 10, "concept": 7, "start": "2020-03-05", "visit_occurrence_id": 11}],
    "procedure_occurrence": [{"person": 1, "id": 5, "concept": 8, "start": "2020-02-06", "visit_occurrence_id": 11}],
}
WIDE = [
    {"event": 10, "allowed": "100.10", "paid": "90.00", "charge": "300.00"},
    {"event": 11, "paid": "7.25"},
    {"event": 10, "domain": "Drug", "allowed": "6.00"},
    {"event": 5, "domain": "Procedure", "allowed": "5.00", "paid_by_payer": "4.00", "paid": "4.50"},
]
KINDS = {"allowed": 31979, "paid": 31980, "charge": 31973}


def long(rows, **more):
    """The wide rows as one row an amount; what pays for what is told by the concept or by the source value."""
    found = []
    for row in rows:
        for name in ("allowed", "paid", "charge", "paid_by_payer"):
            if name in row:
                said = {"cost_concept_id": KINDS[name]} if name in KINDS else {"cost_source_value": "paid_by_payer",
                                                                               "cost_concept_id": 31980}  # fmt: skip
                found.append({"event": row["event"], "domain": row.get("domain", "Visit"), "cost": row[name],
                              **said, **more})  # fmt: skip
    return found


def amounts(source):
    table = costs.linked(source).order_by(["date", "category"])
    names = ("person_id", "date", "category", "allowed", "paid", "charge")
    return [tuple(row[name] for name in names) for row in source.engine.rows(table)]


def test_both_shapes_say_the_same(any_source):
    wide = amounts(any_source(tiny(**EVENTS, cost=WIDE)))
    assert [row[2:] for row in wide] == [
        ("inpatient", Decimal("100.10"), Decimal("90.00"), Decimal("300.00")),
        ("emergency", Decimal("7.25"), Decimal("7.25"), None),
        ("emergency", Decimal("5.00"), Decimal("4.00"), None),
        ("pharmacy", Decimal("6.00"), None, None),
    ]
    assert amounts(any_source(tiny(**EVENTS, cost=long(WIDE)))) == wide


def test_a_long_row_may_have_its_own_person_day_and_visit(any_source):
    rows = [
        {"person": 1, "event": 999, "domain": "Procedure", "visit_occurrence_id": 11, "cost": "3.00",
         "cost_concept_id": 31979, "effective_date": "2020-05-01", "paid_date": "2020-07-01"},
    ]  # fmt: skip
    (row,) = amounts(any_source(tiny(**EVENTS, cost=rows)))
    assert (row[0], str(row[1]), row[2], row[3]) == (1, "2020-05-01", "emergency", Decimal("3.00"))


def test_the_concept_of_a_column_stands_for_a_domain(any_source):
    rows = [{"event": 10, "domain": None, "cost_event_field_concept_id": 1147094, "cost": "3.00",
             "cost_concept_id": 31979}]  # fmt: skip
    (row,) = amounts(any_source(tiny(**EVENTS, cost=rows)))
    assert (str(row[1]), row[2]) == ("2020-03-05", "pharmacy")


def test_reversals_of_the_long_shape_are_netted(any_source):
    rows = long([{"event": 10, "allowed": "100.00"}, {"event": 10, "allowed": "-40.00"}])
    book = co.ledger(any_source(tiny(**EVENTS, cost=rows)))
    assert book.sums()["cost"].tolist() == [Decimal("60.00")]


def test_amounts_that_nobody_can_tell_apart_add_nothing(any_source):
    rows = [{"event": 10, "cost": "5.00", "cost_concept_id": 0}, {"event": 11, "cost": "6.00",
             "cost_concept_id": 31979}]  # fmt: skip
    assert [row[3] for row in amounts(any_source(tiny(**EVENTS, cost=rows)))] == [None, Decimal("6.00")]


def test_the_wide_shape_needs_a_domain(tmp_path):
    tables = tiny(**EVENTS, cost=[{"event": 10, "allowed": "5.00"}])
    tables["cost"] = tables["cost"].drop_columns(["cost_domain_id"])
    with (
        co.connect(write_parquet(tables, tmp_path / "records")) as source,
        pytest.raises(SourceError, match="no column 'cost_domain_id'"),
    ):
        costs.linked(source)


def test_a_visit_id_on_several_rows_doubles_no_cost_of_an_event_within(any_source):
    events = {**EVENTS, "visit_occurrence": [*EVENTS["visit_occurrence"],
              {"person": 1, "id": 11, "concept": 9203, "start": "2020-02-07"}]}  # fmt: skip
    source = any_source(tiny(**events, cost=[WIDE[3]]))
    assert [row[3] for row in amounts(source)] == [Decimal("5.00")]
