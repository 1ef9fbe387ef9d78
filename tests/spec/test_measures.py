"""Covariates and outcomes: what is counted, and how."""

from __future__ import annotations

import math

import numpy as np
import pytest

import clinops as co
from clinops.errors import DataError
from tests.conftest import tiny
from tests.spec.support import analysis, bled, bleed, by_person, came, someone_else, took, visit

INDEX = "2020-01-01"
glucose = co.events("measurement", co.codes("glucose", 3004501))


def stay(person, start, end, concept=9201):
    return {"person": person, "concept": concept, "start": start, "end": end}


def measured(source, *covariates, **more):
    baseline, _ = analysis(source, covariates=covariates, **more)
    return baseline


def test_counts_are_of_days_for_conditions_and_of_ids_for_visits(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX), someone_else()],
        condition_occurrence=bled(1, "2019-12-01", "2019-12-01", "2019-12-02", "2018-12-31", "2019-01-01"),
        visit_occurrence=came(1, "2019-12-01", "2019-12-01", "2019-12-02", "2018-12-31"),
    )
    found = measured(
        any_source(tables),
        co.count(bleed, co.before(365), name="bleeds"), co.count(visit, co.before(365), name="visits"),
        co.count(visit, co.before(), name="visits ever"), co.any_of(bleed, co.before(30), name="recent"),
        co.any_of(bleed, co.before(29), name="more recent"),
    )  # fmt: skip
    # Day -365 is 2019-01-01 and counts; day -366 does not. Day -30 is 2019-12-02.
    assert by_person(found, found.frame, "bleeds") == {1: 3}
    assert by_person(found, found.frame, "visits") == {1: 3}
    assert by_person(found, found.frame, "visits_ever") == {1: 4}
    assert by_person(found, found.frame, "recent") == {1: 1}
    assert by_person(found, found.frame, "more_recent") == {1: 0}


def test_looking_back_uses_records_from_before_observation(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2019-12-15", "end": "2020-12-31"}, {"person": 999}],
        drug_exposure=[*took(1, INDEX), someone_else()], condition_occurrence=bled(1, "2019-12-01"),
    )  # fmt: skip
    found = measured(any_source(tables), co.count(bleed, co.before(365), name="bleeds"))
    assert by_person(found, found.frame, "bleeds") == {1: 1}


def test_the_last_value_in_the_window_counts(any_source):
    def value(person, date, number, **more):
        return {"person": person, "concept": 3004501, "start": date, "value": number, **more}

    tables = tiny(
        drug_exposure=[*(r for p in (1, 2, 3) for r in took(p, INDEX)), someone_else()],
        measurement=[
            value(1, "2019-06-01", 5.0), value(1, "2019-12-01", 7.5), value(1, INDEX, 9.0),
            value(2, "2019-12-01", 6.0, id=20), value(2, "2019-12-01", 8.0, id=21), value(2, "2019-12-02", None, id=22),
        ],
    )  # fmt: skip
    found = measured(any_source(tables), co.value(glucose, co.before(), name="glucose"))
    values = by_person(found, found.frame, "glucose")
    assert (values[1], values[2]) == (7.5, 8.0)
    assert math.isnan(values[3])


def test_clinicians_are_of_the_visit_on_the_index_date_else_of_the_person(any_source):
    tables = tiny(
        person=[
            {"person_id": 1, "year_of_birth": 1980, "provider_id": 2**53 + 1},
            {"person_id": 2, "year_of_birth": 1980, "provider_id": 5},
            {"person_id": 999, "year_of_birth": 1970},
        ],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()],
        visit_occurrence=[
            {**came(2, INDEX)[0], "provider_id": 8, "visit_occurrence_id": 70},
            {**came(2, INDEX)[0], "provider_id": 7, "visit_occurrence_id": 71},
            {**came(1, "2019-01-01")[0], "provider_id": 9},
        ],
    )  # fmt: skip
    source = any_source(tables)
    frame = measured(source, co.age_at_index(), cluster="clinician").frame.set_index("person_id")
    assert frame["clinician_id"][1] == 2**53 + 1 and frame["clinician_id"][2] == 7
    assert frame["clinician_id"].isna().to_dict() == {1: False, 2: False, 999: True}
    assert "clinician_id" not in measured(source, co.age_at_index()).frame


def test_person_covariates(any_source):
    tables = tiny(
        person=[
            {"person_id": 1, "year_of_birth": 1980, "month_of_birth": 6, "day_of_birth": 15, "race_concept_id": 8527,
             "gender_concept_id": 8507, "care_site_id": 2**53 + 1},
            {"person_id": 2, "year_of_birth": 1980, "race_concept_id": 0, "gender_concept_id": 0},
            {"person_id": 999, "year_of_birth": 1970, "month_of_birth": 1, "day_of_birth": 1},
        ],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()],
        visit_occurrence=[{**came(2, INDEX)[0], "care_site_id": 7}, {**came(1, "2019-01-01")[0], "care_site_id": 8}],
    )  # fmt: skip
    found = measured(
        any_source(tables), co.age_at_index(), co.sex(), co.race(), co.ethnicity(), co.index_date()
    )  # fmt: skip
    frame = found.frame.set_index("person_id")
    assert frame["age"].to_dict() == {1: 39, 2: 40, 999: 45}
    assert frame["sex"].to_dict() == {1: "male", 2: None, 999: "female"}
    assert frame["race"].to_dict() == {1: "White", 2: None, 999: None}
    assert found.age_rule == "mixed: 1"
    assert [(m.name, why) for m, why in found.missing_covariates] == [
        ("Ethnicity", "No entry has a recorded ethnicity.")
    ]  # fmt: skip
    assert frame["care_site_id"][1] == 2**53 + 1  # the person's own site; person 2 came to site 7 on the index date
    assert frame["care_site_id"][2] == 7
    assert frame["care_site_id"].isna().to_dict() == {1: False, 2: False, 999: True}
    assert found.frame["index_date"].dtype == "datetime64[s]"
    assert str(frame["index_date"][1].date()) == INDEX


def test_rows_stand_in_one_order_exposed_first(any_source):
    tables = tiny(
        drug_exposure=[*took(2, INDEX), *took(1, "2021-01-01"), someone_else(person=5), someone_else(person=3)]
    )
    found = measured(any_source(tables))
    assert found.frame[["arm", "person_id"]].values.tolist() == [[1, 1], [1, 2], [0, 3], [0, 5]]
    assert found.frame["person_id"].dtype == np.int64
    assert found.frame["arm"].dtype == np.int8


def test_days_at_home_merge_stays_and_count_admission_days_as_hospital(any_source):
    # Window days 1 to 10 = 2020-01-02 to 2020-01-11.
    stays = [
        stay(1, "2020-01-03", "2020-01-06"),  # 3, 4, 5 in hospital; 6 January at home
        stay(2, "2020-01-03", "2020-01-06"), stay(2, "2020-01-05", "2020-01-08"),  # overlap: 3 to 7
        stay(3, "2020-01-03", "2020-01-06"), stay(3, "2020-01-06", "2020-01-08"),  # transfer: 3 to 7
        stay(4, "2019-12-30", "2020-01-04"),  # before the window only 2 and 3 January count
        stay(5, "2020-01-10", "2020-01-20"),  # 10 and 11
        stay(6, "2020-01-05", "2020-01-05"),  # in and out on one day: that day
        stay(7, "2020-01-05", "2020-01-06", concept=9202),  # no inpatient stay
        stay(8, "2020-01-03", "2020-01-05"),  # dies on the day of discharge, day 4: 3, 4 and 5 in hospital
        stay(9, "2020-01-03", "2020-01-09"), stay(9, "2020-01-04", "2020-01-05"),  # nested
    ]  # fmt: skip
    tables = tiny(
        drug_exposure=[*(r for p in range(1, 10) for r in took(p, INDEX)), someone_else()],
        visit_occurrence=stays, death=[{"person": 8, "start": "2020-01-05"}],
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.days_at_home(name="home"),))
    home = by_person(baseline, outcomes.frame, "home")
    assert home == {1: 7, 2: 5, 3: 5, 4: 8, 5: 8, 6: 9, 7: 10, 8: 1, 9: 4}
    assert by_person(baseline, outcomes.frame, "home__days")[8] == 4


def test_days_at_home_before_the_index_date_count_observed_days_only(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2019-12-22", "end": "2020-12-31"}, {"person": 999}],
        drug_exposure=[*took(1, INDEX), someone_else()], visit_occurrence=[stay(1, "2019-12-20", "2019-12-24")],
    )  # fmt: skip
    found = measured(any_source(tables), co.days_at_home(co.before(30), name="home"))
    assert by_person(found, found.frame, "home") == {1: 8}  # ten days observed, 22 and 23 December in hospital


def test_subgroups_get_columns_of_their_own(any_source):
    tables = tiny(drug_exposure=[*took(1, INDEX), someone_else()])
    found = measured(any_source(tables), co.sex(), subgroups=(co.subgroup(co.age_at_index(), (65,)),))
    assert list(found.frame.columns) == ["person_id", "arm", "index_date", "care_site_id", "sex", "age"]


def test_scores_need_icd_codes_and_name_what_they_used(any_source):
    def coded(person, code, date="2019-06-01"):
        return {"person": person, "concept": 0, "code": code, "start": date}

    tables = tiny(
        drug_exposure=[*(r for p in (1, 2, 3) for r in took(p, INDEX)), someone_else()],
        condition_occurrence=[
            coded(1, "I50.9"), coded(1, "I50.9", "2019-07-01"), coded(1, "e11.9"),  # heart failure 1, diabetes 1
            coded(2, "E11.2"), coded(2, "E119"),  # complicated diabetes 2 replaces the uncomplicated
            coded(3, "C78.0", INDEX), coded(3, "x-ray?"),  # on day 0; not a code
        ],
    )  # fmt: skip
    found = measured(any_source(tables), co.charlson(co.before(365)))
    assert by_person(found, found.frame, "charlson_index_days_365_to_1") == {1: 2, 2: 2, 3: 0}
    score = found.scores["charlson_index_days_365_to_1"]
    assert (score.map, score.weights) == ("quan", "charlson")


def test_the_vocabulary_tells_the_icd_version_where_the_code_cannot(any_source):
    # V45.1 is renal dialysis in ICD-9-CM and a transport accident in ICD-10.
    concepts = [
        {"id": 1, "name": "a", "vocabulary": "ICD9CM", "code": "V45.1"},
        {"id": 2, "name": "b", "vocabulary": "ICD10CM", "code": "V45.1"},
    ]
    row = {"concept": 0, "code": "V45.1", "start": "2019-06-01"}
    tables = tiny(
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()], concept=concepts,
        condition_occurrence=[
            {"person": 1, **row, "condition_source_concept_id": 1},
            {"person": 2, **row, "condition_source_concept_id": 2},
        ],
    )  # fmt: skip
    found = measured(any_source(tables), co.charlson(co.before(365)))
    assert by_person(found, found.frame, "charlson_index_days_365_to_1") == {1: 2, 2: 0}


def test_a_score_is_not_computable_without_icd_codes(any_source):
    tables = tiny(drug_exposure=[*took(1, INDEX), someone_else()], condition_occurrence=bled(1, "2019-06-01"))
    found = measured(any_source(tables), co.elixhauser(co.before(365)))
    assert found.missing_covariates[0][1].startswith("No condition record carries an ICD code")
    assert list(found.frame.columns) == ["person_id", "arm", "index_date", "care_site_id"]


def test_an_arm_with_nobody_is_refused_with_the_step_that_emptied_it(any_source):
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), someone_else()]))
    with pytest.raises(DataError) as raised:
        measured(source, steps=(co.between("2020-01-01", "2020-12-31"), co.age(18)))
    message = str(raised.value)
    assert "Nobody is in the arm 'other': it emptied at step 3, 'Index date 2020-01-01 to 2020-12-31'" in message
    assert "0. Any the other drug: <11 persons" in message
