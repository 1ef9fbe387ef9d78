"""Use of care by day and index discharges by site, on hand-made patients and both engines."""

from __future__ import annotations

import pandas as pd
import pytest

from clinops.build.care import use
from clinops.build.care.by_day import by_day
from clinops.build.care.readmissions import readmitted
from clinops.build.care.sites import index_by_site
from clinops.define.care import care_rules, readmission_rules
from clinops.errors import DefinitionError
from tests.conftest import tiny
from tests.spec.test_care import seen
from tests.spec.test_readmissions import observed, stay

PERIOD = {"first": "2020-01-01", "last": "2020-03-31"}


def days_tables():
    return tiny(
        observation_period=[
            observed(1, "2019-06-01", "2020-12-31"), observed(2, "2020-01-15", "2020-02-10"),
            observed(3, "2020-03-30", "2020-03-30"), observed(4, "2021-01-01", "2021-12-31"),
        ],
        visit_occurrence=[
            stay(1, "2020-02-01", "2020-02-03", id=1),
            stay(1, "2020-03-31", "2020-04-09", id=2),  # leaves after the period
            stay(1, "2019-12-30", "2020-01-02", id=3),  # came before the period
            stay(2, "2020-02-08", "2020-02-09", id=4),  # after death
            seen(1, "2020-01-20", 9203, id=5), seen(1, "2020-01-20", 9203, id=6), seen(1, "2020-01-21", 9203, id=7),
            seen(2, "2020-01-20", 9203, id=8), seen(2, "2020-03-01", 9203, id=9),  # no longer observed
        ],
        death=[{"person": 2, "start": "2020-02-05"}],
    )  # fmt: skip


def test_days_hold_who_is_alive_and_observed_and_what_starts(any_source):
    source, rules = any_source(days_tables()), care_rules(**PERIOD)
    admitted = use.admissions(source, rules)
    found = by_day(source, rules, admitted)
    assert (found.index[0], found.index[-1]) == (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-03-31"))
    by_month = found.groupby(found.index.month).sum()
    # January: 31 days of person 1 and 17 of person 2; February: 29 and 5, to the day of death; March: 31 and one day.
    assert by_month["persons"].tolist() == [48, 34, 32]
    assert by_month["admissions"].tolist() == [0, 1, 1]
    assert by_month["emergency"].tolist() == [3, 0, 0]
    assert found.loc["2020-01-20", "emergency"] == 2 and found.loc["2020-02-06", "persons"] == 1
    # And they add up to what the rates count.
    assert found["persons"].sum() == admitted.persons["days"].sum()
    assert found["admissions"].sum() == admitted.persons["admissions"].sum()
    urgent = use.emergency(source, rules, admitted)
    assert found["emergency"].sum() == urgent["released"].sum() + urgent["admitted"].sum()
    early = care_rules(first="2018-01-01", last="2018-12-31")
    assert by_day(source, early, use.admissions(source, early)).empty  # nobody is observed


def site_tables():
    return tiny(
        person=[
            {"person_id": 1, "care_site_id": 9, "year_of_birth": 1950, "month_of_birth": 6, "day_of_birth": 1},
            {"person_id": 2, "care_site_id": None, "gender_concept_id": 8507},
            {"person_id": 3, "care_site_id": 8, "gender_concept_id": 0, "year_of_birth": None},
        ],
        visit_occurrence=[
            stay(1, "2020-01-01", "2020-01-03", 1, id=1), stay(1, "2020-01-04", "2020-01-06", 2, id=2),  # transferred
            stay(1, "2020-06-20", "2020-06-22", None, id=3),
            stay(2, "2020-01-01", "2020-01-03", 7, id=4), stay(2, "2020-01-20", "2020-01-22", 7, id=5),
            stay(3, "2020-01-01", "2020-01-03", 1, id=6),
        ],
        care_site=[{"care_site_id": 1, "care_site_name": "North"}, {"care_site_id": 2, "care_site_name": "South"},
                   {"care_site_id": 9, "care_site_name": "Clinic"}],
    )  # fmt: skip


def test_a_discharge_is_of_the_site_that_discharged_or_of_the_persons_clinic(any_source):
    source = any_source(site_tables())
    result = readmitted(source, readmission_rules(30))
    found = index_by_site(source, result)
    assert found["person_id"].tolist() == [1, 1, 2, 2, 3]
    assert found["site"].tolist() == [2, pd.NA, 7, 7, 1]
    assert found["name"].tolist() == ["South", None, None, None, "North"]  # 7 has no name on record
    assert found["readmitted"].tolist() == [False, False, True, False, False]
    found = index_by_site(source, result, "clinic")
    assert found["site"].tolist() == [9, 9, pd.NA, pd.NA, 8]
    assert found["name"].tolist() == ["Clinic", "Clinic", None, None, None]
    assert found["age"].tolist() == [69, 70, 60, 60, pd.NA]  # the birthday is between the two
    assert found["sex"].tolist() == ["female", "female", "male", "male", None]
    with pytest.raises(DefinitionError, match="hospital"):
        index_by_site(source, result, "hospitals")
