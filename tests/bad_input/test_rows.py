"""Rows that cannot be: each is left out or kept by a stated rule, and its count reaches the report with the reason."""

from __future__ import annotations

import pyarrow as pa
import pytest

import clinops as co
from clinops.errors import DataError
from tests.bad_input.support import DRUG, OTHER, day, noted, printed, records, rows
from tests.conftest import tiny
from tests.spec.support import bled, came, took

EXTRA = range(101, 113)  # twelve, since a report hides counts below eleven


def report(study, what):
    """The count that the study holds and the line that its report prints."""
    return noted(study)[what], printed(study)[what]


def test_persons_without_an_observation_period(any_study):
    changed = rows()
    changed["observation_period"] = [{"person": row["person_id"]} for row in changed["person"]]
    changed["person"] += [{"person_id": p} for p in EXTRA]
    changed["drug_exposure"] += [took(p, day(0))[0] for p in EXTRA]
    study = any_study(tiny(**changed))
    count, line = report(study, "person: persons without an observation period")
    assert (count, line) == (12, "12 They can enter no cohort.")
    steps = study.exposed.attrition
    assert list(steps["persons"]) == [52, 52, 40, 40]
    assert steps["rule"].iloc[2] == "Index date inside an observation period"


def test_periods_without_a_person(any_study):
    changed = rows()
    everyone = [row["person_id"] for row in changed["person"]]
    changed["observation_period"] = [{"person": p} for p in (*everyone, *EXTRA)]
    changed["drug_exposure"] += [took(p, day(0))[0] for p in EXTRA]
    study = any_study(tiny(**changed))
    count, line = report(study, "observation_period: periods without a person")
    assert (count, line) == (12, "12 Their person_id is not in the person table.")
    assert report(study, "drug_exposure: rows without a person")[0] == 12
    assert study.exposed.attrition["persons"].iloc[0] == 40
    assert study.source.persons == 80


def test_periods_that_end_before_they_start(any_study):
    changed = rows()
    changed["observation_period"] = [{"person": row["person_id"]} for row in changed["person"]]
    changed["observation_period"] += [{"person": p, "start": "2009-05-01", "end": "2008-04-30"} for p in range(1, 13)]
    study = any_study(tiny(**changed))
    what = "observation_period: observation_period_end_date before observation_period_start_date"
    assert report(study, what) == (12, "12 No span ends before it starts.")
    assert study.source.loader.examples[what].endswith("such as of person 1.")  # to look up; in no report
    assert study.exposed.persons == 40


def test_a_period_that_is_reversed_makes_nobody_observed(any_study):
    changed = rows()
    changed["observation_period"] = [
        {"person": p["person_id"], **({"start": "2024-12-31", "end": "2010-01-01"} if p["person_id"] <= 12 else {})}
        for p in changed["person"]
    ]
    study = any_study(tiny(**changed))
    assert (study.exposed.persons, study.comparator.persons) == (34, 34)
    assert report(study, "person: persons without an observation period")[0] == 12


def test_events_that_end_before_they_start_are_one_day(any_study):
    changed = rows()
    changed["visit_occurrence"] = [
        {"person": p, "concept": 9201, "start": day(20), "end": day(10) if p <= 12 else day(25)} for p in range(1, 81)
    ]
    changed["death"] = [{"person": 1, "start": "2024-01-01"}]
    at_home = co.days_at_home(role="primary")
    study = any_study(tiny(**changed), outcomes=(at_home,))
    what = "visit_occurrence: visit_end_date before visit_start_date"
    assert report(study, what) == (12, "12 Kept as events of one day, their start.")
    days = study.outcomes.frame[study.protocol.outcomes[0].id]
    short = study.baseline.frame["person_id"] <= 12
    assert set(days[short]) == {364.0}  # one day in hospital
    assert set(days[~short]) == {360.0}  # five: the day of discharge is one at home


def test_deaths_before_birth(any_study):
    deaths = [{"person": p, "start": "1949-12-31"} for p in range(1, 13)]
    deaths += [{"person": p, "start": day(100)} for p in range(13, 27)]
    study = any_study(records(death=deaths))
    count, line = report(study, "death: deaths before birth")
    assert (count, line) == (12, "12 One of the two dates is wrong; the death is left out.")
    dead = study.outcomes.frame["death"] == 1
    assert set(study.baseline.frame.loc[dead, "person_id"]) == set(range(13, 27))


def test_deaths_before_the_index_date_leave_no_follow_up(any_study):
    deaths = [{"person": p, "start": "2015-06-01"} for p in range(1, 13)] + [{"person": 80, "start": day(100)}]
    study = any_study(records(death=deaths))
    count, line = report(study, "Entries with a death before the index date")
    assert (count, line) == (12, "12 No follow-up: 0 person-days.")
    early = study.baseline.frame["person_id"] <= 12
    assert (study.outcomes.frame.loc[early, "observed_days"] == 0).all()
    assert study.outcomes.frame["death"].sum() == 1


def test_events_outside_observation(any_study):
    changed = rows()
    changed["observation_period"] = [{"person": p["person_id"], "end": day(30)} for p in changed["person"]]
    changed["condition_occurrence"] = [
        *(row for p in range(1, 13) for row in bled(p, day(31))),  # one day late
        *(row for p in range(13, 27) for row in bled(p, day(30))),  # the last day
        {"person": 80, "concept": 260139, "start": day(3)},
    ]
    changed["death"] = [{"person": 70, "start": day(20)}]
    study = any_study(tiny(**changed))
    count, line = report(study, "condition_occurrence: rows outside the person's observation")
    assert count == 12 and line.startswith("12 Kept: a look back may use them.")
    assert study.outcomes.frame["bleed"].sum() == 14
    beyond = report(study, "Bleed: events in the window after the end of follow-up")
    assert beyond == (12, "12 The person was no longer followed, so they do not count.")


def test_exact_copies_of_rows(any_study):
    once = rows()
    twice = rows()
    twice["condition_occurrence"] = [row | {"id": at} for at, row in enumerate(twice["condition_occurrence"])]
    twice["condition_occurrence"] += twice["condition_occurrence"][:12]
    twice["person"] += twice["person"][:12]
    study, clean = any_study(tiny(**twice)), any_study(tiny(**once))
    for table in ("condition_occurrence", "person"):
        count, line = report(study, f"{table}: exact copies of a row")
        assert (count, line) == (12, "12 A row that is there twice would count twice.")
    assert study.outcomes.frame.equals(clean.outcomes.frame)
    assert study.baseline.frame.equals(clean.baseline.frame)


def test_persons_on_rows_that_differ(any_source):
    changed = rows()
    changed["person"].append({"person_id": 7, "year_of_birth": 1999})
    with pytest.raises(DataError, match=r"person holds person_id 7 on 2 rows that differ; keep one row for each"):
        any_source(tiny(**changed))


def test_visits_that_share_an_id(any_study):
    visits = [
        {**row, "id": p} for p in range(1, 81) for row in came(p, *((day(-9), day(-5)) if p <= 12 else (day(-9),)))
    ]
    study = any_study(records(visit_occurrence=visits))
    count, line = report(study, "visit_occurrence: rows that repeat a visit_occurrence_id")
    assert (count, line) == (12, "12 Rows of one person with one id count as one visit, on its first day.")
    assert (study.baseline.frame["visits"] == 1).all()


def test_rows_without_a_date(any_study):
    bleeds = [*({"person": p, "concept": 192671, "start": None} for p in range(1, 13)), *bled(50, day(3))]
    study = any_study(records(condition_occurrence=[*bleeds, {"person": 1, "concept": 260139, "start": day(1)}]))
    what = "condition_occurrence: rows without a date"
    assert report(study, what) == (12, "12 They cannot be placed in time.")
    assert "condition_occurrence: rows outside the person's observation" not in noted(study)
    assert study.outcomes.frame["bleed"].sum() == 1


def test_persons_without_a_year_of_birth(any_study):
    changed = rows()
    changed["person"] = [p | ({"year_of_birth": None} if p["person_id"] <= 12 else {}) for p in changed["person"]]
    study = any_study(tiny(**changed))
    assert report(study, "Entries without a year of birth") == (12, "12 Their age is missing.")
    assert study.baseline.frame["age"].isna().sum() == 12


BIG = 2**53


def test_ids_above_2_to_the_53_stay_apart(any_study):
    """Neighbours that a float cannot tell apart, in different arms, with different outcomes."""

    def moved(of):
        return [{name: value + BIG if "person" in name else value for name, value in row.items()} for row in of]

    big = {name: moved(table) for name, table in rows().items()}
    big["visit_occurrence"] = [row | {"id": BIG + at} for at, row in enumerate(big["visit_occurrence"])]
    study, plain = any_study(tiny(**big)), any_study(records())
    assert list(study.baseline.frame["person_id"] - BIG) == list(plain.baseline.frame["person_id"])
    assert study.baseline.frame["person_id"].dtype == "int64"
    assert study.outcomes.frame.equals(plain.outcomes.frame)
    assert study.baseline.frame.drop(columns="person_id").equals(plain.baseline.frame.drop(columns="person_id"))
    assert study.set_aside == ()


def test_ids_that_a_float_has_rounded_are_refused(study_of):
    tables = records()
    drugs = tables["drug_exposure"]
    at = drugs.column_names.index("person_id")
    rounded = pa.array([float(BIG + who) for who in drugs["person_id"].to_pylist()])
    study = study_of(tables | {"drug_exposure": drugs.set_column(at, "person_id", rounded)})
    with pytest.raises(DataError) as raised:
        study.attrition  # noqa: B018
    message = str(raised.value)
    assert "80 values of drug_exposure.person_id cannot be whole identifiers any more" in message
    assert "Export the column as a 64-bit integer or as text." in message


def test_ids_beyond_64_bits_are_refused_with_the_table(study_of):
    tables = records()
    drugs = tables["drug_exposure"]
    at = drugs.column_names.index("drug_exposure_id")
    wide = pa.array([2**63 + n for n in range(len(drugs))], pa.uint64())
    study = study_of(tables | {"drug_exposure": drugs.set_column(at, "drug_exposure_id", wide)})
    with pytest.raises(DataError, match=r"The table drug_exposure cannot be read: .*out of range.*drug_exposure_id"):
        study.attrition  # noqa: B018


def test_ids_that_are_no_numbers_are_refused(study_of):
    tables = records()
    persons = tables["person"]
    text = pa.array([f"P{who}" for who in persons["person_id"].to_pylist()])
    at = persons.column_names.index("person_id")
    with pytest.raises(DataError, match=r"80 values of person\.person_id are not whole numbers, such as 'P9'"):
        study_of(tables | {"person": persons.set_column(at, "person_id", text)})


@pytest.mark.parametrize("concept", [DRUG, OTHER])
def test_small_counts_of_what_was_set_aside_are_hidden_in_the_report(study_of, concept):
    changed = rows()
    changed["drug_exposure"].append({"person": 500, "concept": concept, "start": day(0)})
    changed["person"] = [{"person_id": p} for p in range(1, 81)]
    study = study_of(tiny(**changed))
    what = "drug_exposure: rows without a person"
    assert noted(study)[what] == 1
    assert "1 " not in printed(study)[what][:3]
    assert "<11" in str(study.limits) and "<11" in str(study.records)
    assert study.source.identity["set_aside"][0]["count"] == "<11"
