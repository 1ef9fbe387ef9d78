"""Data quality: each check with a bad case that fails it and clean records that pass."""

from __future__ import annotations

import math

import pytest

from clinops.analyse.quality_checks import COLUMNS, checked
from tests.conftest import tiny

CLEAN = {
    "person": [{"person_id": 1, "year_of_birth": 1960}, {"person_id": 2, "year_of_birth": 1970}],
    "visit_occurrence": [{"person": 1, "id": 1, "start": "2020-01-01", "end": "2020-01-02"}],
    "condition_occurrence": [{"person": 1, "concept": 201826, "start": "2020-01-01"}],
    "death": [{"person": 1, "start": "2021-01-01"}],
    "cost": [{"event": 1, "allowed": 10, "paid": 9, "charge": 12}],
    "cdm_source": [{"cdm_source_name": "A", "cdm_version": "5.4", "source_release_date": "2024-12-31"}],
}


def test_clean_records_fail_nothing(any_source):
    frame = checked(any_source(tiny(**CLEAN)))
    assert tuple(frame.columns) == COLUMNS
    assert frame[frame.passed == False].empty  # noqa: E712 - None is neither
    assert (frame["count"] == 0).all()
    assert not frame.duplicated(["check", "table"]).any()
    assert (frame.why != "").all()


@pytest.mark.parametrize(
    ("changed", "check", "table", "count", "denominator"),
    [
        ({"person": [{"person_id": 1, "year_of_birth": None}, {"person_id": 2}]},
         "year of birth missing", "person", 1, 2),
        ({"person": [{"person_id": 1, "gender_concept_id": 0}, {"person_id": 2}]},
         "sex missing or unmapped", "person", 1, 2),
        ({"person": [{"person_id": 1, "year_of_birth": 1900}, {"person_id": 2}]},
         "older than 110 at the end of observation", "person", 1, 2),
        ({"person": [{"person_id": 1, "year_of_birth": 2015}, {"person_id": 2}]},
         "observed before the year of birth", "person", 1, 2),
        ({"condition_occurrence": [{"person": 1, "concept": c, "start": "2020-01-01"} for c in (0, None, 201826, 4)]},
         "concept missing or 0 (unmapped)", "condition_occurrence", 2, 4),
        ({"condition_occurrence": [{"person": 1, "concept": 4, "start": s} for s in ("2020-01-01", None)]},
         "condition_start_date missing", "condition_occurrence", 1, 2),
        ({"condition_occurrence": [{"person": 1, "id": 5, "concept": c, "start": "2020-01-01"} for c in (4, 5)]},
         "condition_occurrence_id on more than one row", "condition_occurrence", 1, 2),
        ({"condition_occurrence": [{"person": 2, "concept": 4, "start": s} for s in ("2024-12-31", "2025-01-01")]},
         "after the snapshot (2024-12-31)", "condition_occurrence", 1, 2),
        ({"condition_occurrence": [{"person": 1, "concept": 4, "start": s} for s in ("1959-12-31", "1960-01-01")]},
         "before birth", "condition_occurrence", 1, 2),
        ({"condition_occurrence": [{"person": 1, "concept": 4, "start": s} for s in ("2021-01-01", "2021-01-02")]},
         "after death", "condition_occurrence", 1, 2),
        ({"visit_occurrence": [{"person": 1, "id": 1, "start": "2020-01-02", "end": "2020-01-01"}]},
         "visit_end_date before visit_start_date", "visit_occurrence", 1, 1),
        ({"cost": [{"event": 1, "allowed": a} for a in (-1, 1)]}, "negative amounts", "cost", 1, 2),
        ({"cost": [{"event": 1, "allowed": a, "paid": 3} for a in (None, 1)]}, "allowed amount missing", "cost", 1, 2),
        ({"cost": [{"event": 1, "allowed": a, "charge": 2} for a in (3, 2)]},
         "allowed amount above the charge", "cost", 1, 2),
        ({"cost": [{"event": 1, "allowed": 1, "currency": c} for c in (44818668, None)]},
         "rows without a currency", "cost", 1, 2),
        ({"cost": [{"event": e, "allowed": 1} for e in (1, 2)]}, "rows whose event is not there", "cost", 1, 2),
        ({"cost": [{"event": 1, "allowed": 1, "currency": c} for c in (44818668, 44818568)]},
         "rows in more than one currency", "cost", 2, 2),
    ],
)  # fmt: skip
def test_each_fault_fails_its_check_and_no_other(any_source, changed, check, table, count, denominator):
    frame = checked(any_source(tiny(**{**CLEAN, **changed})))
    failed = frame[frame.passed == False]  # noqa: E712
    row = failed.set_index(["check", "table"]).loc[(check, table)]
    assert (row["count"], row["denominator"], row["share"]) == (count, denominator, count / denominator)
    assert set(failed["check"]) == {check}


def test_what_cannot_be_judged_is_not(source_of):
    """No death, no snapshot, no cost: the checks on them are not there; merged periods are counted, not judged."""
    frame = checked(
        source_of(
            tiny(
                person=[{"person_id": 1}],
                observation_period=[
                    {"person": 1, "start": "2020-01-01", "end": "2020-06-30"},
                    {"person": 1, "start": "2020-07-01", "end": "2020-12-31"},
                ],
                visit_occurrence=[{"person": 1, "start": "2020-01-01"}],
            )
        )
    )
    assert not frame.check.str.contains("after death|snapshot|amount").any()
    merged = frame.set_index("check").loc["periods merged into another"]
    assert merged["count"] == 1 and merged["passed"] is None
    assert not any(math.isnan(share) for share in frame.share)


def test_gibleed(gibleed):
    frame = checked(gibleed).set_index(["check", "table"])
    orphans = frame.loc[("periods without a person", "observation_period")]
    assert (orphans["count"], orphans["denominator"], orphans["passed"]) == (2649, 5343, False)
