"""What is set aside from the records: each kind counted, nothing dropped in silence, on every engine."""

from __future__ import annotations

import pytest

from clinops.errors import DataError
from tests.conftest import tiny


def counts(source) -> dict[str, int]:
    return {item.what: item.count for item in source.set_aside}


def ids(source, table: str, column: str) -> list[int]:
    return sorted(row[column] for row in source.engine.rows(source.table(table).select(column)))


def test_each_kind_of_broken_row_is_counted(any_source):
    day = {"start": "2020-01-01", "end": "2020-12-31"}
    source = any_source(
        tiny(
            person=[{"person_id": 1}, {"person_id": 2}, {"person_id": 3, "year_of_birth": 1990}, {"person_id": 4}],
            observation_period=[
                {"person": 1, **day, "observation_period_id": 1},
                {"person": 1, "start": "2021-01-01", "end": "2021-02-01"},
                {"person": 2, "start": "2020-05-01", "end": "2020-04-01"},
                {"person": 3, "start": "2020-01-01", "end": None},
                {"person": 3, **day},
                {"person": 9, **day},
                {"person": 1, **day, "observation_period_id": 1},
            ],
            visit_occurrence=[
                {"id": 1, "person": 1, "start": "2020-03-01", "end": "2020-02-01"},
                {"id": 2, "person": 1, "start": "2020-03-01", "end": "2020-03-02"},
                {"id": 2, "person": 1, "start": "2020-03-01", "end": "2020-03-02"},
                {"id": 3, "person": 1, "start": "2019-12-31"},
                {"id": 4, "person": 9, "start": "2020-03-01"},
            ],
            death=[
                {"person": 3, "start": "1989-12-31"},
                {"person": 1, "start": "2021-01-15"},
                {"person": 9, "start": "2021-01-15"},
                {"person": 2, "start": None},
            ],
        )
    )
    assert counts(source) == {
        "observation_period: exact copies of a row": 1,
        "observation_period: periods without a person": 1,
        "observation_period: periods without a start or an end": 1,
        "observation_period: observation_period_end_date before observation_period_start_date": 1,
        "observation_period: periods merged into another": 1,
        "person: persons without an observation period": 2,
        "visit_occurrence: exact copies of a row": 1,
        "visit_occurrence: rows without a person": 1,
        "visit_occurrence: rows outside the person's observation": 1,
        "visit_occurrence: visit_end_date before visit_start_date": 1,
        "death: rows without a person": 1,
        "death: rows without a date": 1,
        "death: deaths before birth": 1,
    }
    assert ids(source, "visit_occurrence", "visit_occurrence_id") == [1, 2, 3]
    assert ids(source, "death", "person_id") == [1]
    assert ids(source, "observation_period", "person_id") == [1, 3]


def test_clean_records_set_nothing_aside(any_source):
    source = any_source(tiny(visit_occurrence=[{"person": 1, "start": "2020-01-01"}]))
    assert source.set_aside == ()


def test_a_person_on_two_rows_that_differ_is_refused(any_source):
    tables = tiny(person=[{"person_id": 7}, {"person_id": 7, "year_of_birth": 1961}, {"person_id": 8}],
                  observation_period=[{"person": 7}])  # fmt: skip
    with pytest.raises(DataError, match="person holds person_id 7 on 2 rows that differ"):
        any_source(tables)


@pytest.mark.parametrize(
    ("birth", "death", "early"),
    [
        ({"year_of_birth": 1960}, "1960-01-01", 0),
        ({"year_of_birth": 1960}, "1959-12-31", 1),
        ({"year_of_birth": 1960, "month_of_birth": 5}, "1960-04-30", 1),
        ({"year_of_birth": 1960, "month_of_birth": 5, "day_of_birth": 31}, "1960-05-30", 1),
        ({"year_of_birth": 1960, "month_of_birth": 5, "day_of_birth": 31}, "1960-05-31", 0),
        ({"year_of_birth": 1960, "day_of_birth": 20}, "1960-01-02", 0),
        ({"year_of_birth": None}, "1900-01-01", 0),
        ({"year_of_birth": 1960, "month_of_birth": 2, "day_of_birth": 31}, "1960-02-29", 0),
    ],
)
def test_only_a_death_before_the_earliest_possible_birth_is_set_aside(any_source, birth, death, early):
    source = any_source(tiny(person=[{"person_id": 1, **birth}], death=[{"person": 1, "start": death}]))
    assert counts(source).get("death: deaths before birth", 0) == early


def test_payer_plan_periods_keep_their_plans(any_source):
    source = any_source(
        tiny(
            person=[{"person_id": 1}],
            payer_plan_period=[
                {"person": 1, "start": "2020-01-01", "end": "2020-12-31", "plan_source_value": "HMO"},
                {"person": 1, "start": "2021-01-01", "end": "2021-12-31", "plan_source_value": "PPO"},
                {"person": 1, "start": "2022-12-31", "end": "2022-01-01"},
            ],
        )
    )
    assert source.capture == "enrolment"
    assert len(source.engine.rows(source.table("payer_plan_period"))) == 2
    assert counts(source) == {"payer_plan_period: payer_plan_period_end_date before payer_plan_period_start_date": 1}


def test_gibleed_is_what_its_readme_says(gibleed):
    assert (gibleed.model, gibleed.persons, gibleed.synthetic) == ("OMOP CDM 5.3", 2694, True)
    found = counts(gibleed)
    assert found["observation_period: periods without a person"] == 2649
    assert found["condition_occurrence: rows outside the person's observation"] == 85


@pytest.mark.parametrize(
    ("domain", "concept", "persons"),
    [("drug", 1118084, 1844), ("drug", 1124300, 850), ("condition", 192671, 479)],
    ids=["celecoxib", "diclofenac", "gastrointestinal haemorrhage"],
)
def test_gibleed_persons_with_a_concept(gibleed, domain, concept, persons):
    from clinops.sources import omop

    events = omop.events(gibleed, domain)
    rows = gibleed.engine.rows(events.filter(events.concept_id == concept).aggregate(n=events.person_id.nunique()))
    assert rows == [{"n": persons}]
