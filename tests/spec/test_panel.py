"""Sites by period on hand-made patients and both engines: who counts, for how many days, and what falls on them."""

from __future__ import annotations

import datetime as dt
import math

import pytest

import clinops as co
from clinops.build.panel import NOWHERE, sites, starts, unit_periods
from clinops.errors import DataError
from tests.conftest import tiny

OFFER, EMERGENCY, BLEED = 2000000001, 9203, 192671
emergency = co.events("visit", co.codes("emergency visit", EMERGENCY))
offer = co.events("observation", co.codes("programme offer", OFFER))
bleed = co.events("condition", co.codes("bleed", BLEED))


def plan(**given):
    parts = {
        "title": "t", "question": "q", "starts": offer, "outcome": co.count(emergency), "first": "2020-01-01",
        "last": "2020-03-31",
    }  # fmt: skip
    return co.panel(**(parts | given))


def visited(person, *dates, concept=EMERGENCY, **more):
    return [{"person": person, "concept": concept, "start": day, "end": day, **more} for day in dates]


def tables():
    return tiny(
        person=[
            {"person_id": 1, "care_site_id": 10, "year_of_birth": 1950, "month_of_birth": 2, "day_of_birth": 15},
            {"person_id": 2, "care_site_id": 10, "gender_concept_id": 8507, "year_of_birth": 1960},
            {"person_id": 3, "care_site_id": 20, "year_of_birth": 2010},
            {"person_id": 4, "care_site_id": None},
            {"person_id": 5, "care_site_id": 20, "year_of_birth": None},
        ],
        observation_period=[
            {"person_id": 1, "start": "2019-01-01", "end": "2020-02-10"},
            {"person_id": 1, "start": "2020-02-20", "end": "2020-12-31"},  # a gap of nine days
            {"person_id": 2, "start": "2020-01-15", "end": "2020-12-31"},  # joins after the first day
            {"person_id": 3, "start": "2019-01-01", "end": "2020-12-31"},
            {"person_id": 4, "start": "2019-01-01", "end": "2020-12-31"},
            {"person_id": 5, "start": "2019-01-01", "end": "2020-12-31"},
        ],
        death=[{"person": 3, "start": "2020-02-05"}],
        visit_occurrence=[
            *visited(1, "2020-01-01", "2020-02-15", "2020-02-20", "2020-03-31"),  # the second in the gap
            *visited(2, "2020-01-20", "2020-02-01"),  # the first before the first day of a period as a member
            *visited(3, "2020-02-05", "2020-02-06"),  # the second after death
            *visited(4, "2020-01-03"), *visited(5, "2020-04-01"),  # after the last period
            {"person": 5, "concept": EMERGENCY, "start": "2020-03-31", "end": "2020-04-02"},
        ],
        condition_occurrence=[
            *visited(1, "2020-01-05", "2020-01-05", "2020-01-06", concept=BLEED),
            *visited(5, "2020-02-01", concept=BLEED),
        ],
        cost=[
            {"event": 1, "allowed": 100.10, "paid": 90}, {"event": 2, "allowed": 999}, {"event": 3, "allowed": 0.20},
            {"event": 5, "allowed": 50}, {"event": 7, "allowed": 7.5},
        ],
        observation=[
            {"person": person, "concept": OFFER, "start": day}
            for person, day in ((2, "2020-02-03"), (1, "2020-02-17"), (2, "2020-03-01"), (4, "2020-01-01"))
        ],
        care_site=[{"care_site_id": 10, "care_site_name": "North"}, {"care_site_id": 20, "care_site_name": "South"}],
    )  # fmt: skip


def cells(found, column):
    return {
        unit: rows[column].tolist() for unit, rows in found.frame.groupby("unit")
    }  # fmt: skip


def test_an_open_population_is_who_fits_on_the_first_day_of_each_period(any_source):
    found = unit_periods(plan(), any_source(tables()))
    # Person 2 joins on 15 January and is a member from February; person 3 dies on 5 February.
    assert cells(found, "persons") == {NOWHERE: [1, 1, 1], 10: [1, 2, 2], 20: [2, 2, 1]}
    # February 2020 has 29 days, of which person 1 is observed on 10 + 10.
    assert cells(found, "days") == {NOWHERE: [31, 29, 31], 10: [31, 20 + 29, 62], 20: [62, 5 + 29, 31]}
    assert cells(found, "total") == {NOWHERE: [1, 0, 0], 10: [1, 2, 1], 20: [0, 1, 1]}
    assert cells(found, "stayed") == {NOWHERE: [1, 1, 1], 10: [1, 1, 1], 20: [2, 2, 1]}
    assert cells(found, "female") == {NOWHERE: [1, 1, 1], 10: [1, 1, 1], 20: [2, 2, 1]}
    age = cells(found, "age")
    assert age[10] == [69, (69 + 60) / 2, (70 + 60) / 2]  # person 1 turns 70 on 15 February
    assert age[20][:2] == [10, 10] and math.isnan(age[20][2])  # only person 5, of no known age
    assert found.nowhere == 1
    # 4, 5 and 5 persons: person 3 is still enrolled in March, without a day alive.
    assert found.attrition.to_dict("list") == {
        "rule": ["Observed on the first day of a period"], "rows": [14], "persons": [5],
    }  # fmt: skip


def test_a_closed_population_is_who_fits_on_the_first_day_of_all(any_source):
    found = unit_periods(plan(membership="first period", population=co.age(18)), any_source(tables()))
    # Persons 1 and 4; persons 3 and 5 are a child and of no known age, person 2 joins later.
    assert cells(found, "persons") == {NOWHERE: [1, 1, 1], 10: [1, 1, 1]}
    assert cells(found, "days") == {NOWHERE: [31, 29, 31], 10: [31, 20, 31]}
    assert cells(found, "total") == {NOWHERE: [1, 0, 0], 10: [1, 1, 1]}
    assert found.attrition["persons"].tolist() == [4, 2]


def test_quarters_steps_persons_and_money(any_source):
    source = any_source(tables())
    quarter = unit_periods(plan(every="quarter", first="2019-10-01"), source)
    assert cells(quarter, "persons") == {NOWHERE: [1, 1], 10: [1, 1], 20: [2, 2]}
    assert cells(quarter, "days") == {NOWHERE: [92, 91], 10: [92, 82], 20: [184, 91 + 36]}
    bled = unit_periods(plan(outcome=co.count(bleed)), source)
    assert cells(bled, "total") == {NOWHERE: [0, 0, 0], 10: [2, 0, 0], 20: [0, 1, 0]}  # two records of one day are one
    any_bleed = unit_periods(plan(outcome=co.any_of(bleed)), source)
    assert cells(any_bleed, "total") == {NOWHERE: [0, 0, 0], 10: [1, 0, 0], 20: [0, 1, 0]}
    spent = unit_periods(plan(outcome=co.cost()), source)
    # Visits 1 (100.10), 3 (0.20), 7 (7.50); 2 lies in the gap and 5 before person 2 is a member.
    assert cells(spent, "total") == {NOWHERE: [0, 0, 0], 10: [100.10, 0.20, 0], 20: [0, 7.5, 0]}
    sick = unit_periods(plan(population=co.has(bleed, co.before(60))), source)
    assert cells(sick, "persons") == {10: [0, 1, 1], 20: [0, 0, 1]}  # 1 March is 56 and 29 days after


def test_only_the_sites_that_are_asked_for(any_source):
    found = unit_periods(plan(), any_source(tables()), units=(20,))
    assert cells(found, "days") == {20: [62, 5 + 29, 31]} and found.nowhere == 0
    assert found.attrition["persons"].tolist() == [2]


def test_a_site_starts_on_the_day_of_its_so_manieth_record(any_source):
    source = any_source(tables())
    units = sites(plan(), source)
    assert units.to_dict("list") == {"unit": [10, 20], "persons": [2, 2], "name": ["North", "South"]}
    assert starts(plan(), source, units) == {10: dt.date(2020, 2, 3), 20: None}
    assert starts(plan(starting_records=2), source, units)[10] == dt.date(2020, 2, 17)
    assert starts(plan(starting_records=4), source, units)[10] is None
    assert starts(plan(starts={20: "2020-03-01"}), source, units) == {10: None, 20: dt.date(2020, 3, 1)}
    with pytest.raises(DataError, match="no care site with a person registered 21"):
        starts(plan(starts={21: "2020-03-01"}), source, units)


def test_what_the_records_cannot_show_is_refused(source_of):
    source = source_of(tiny(visit_occurrence=visited(1, "2020-01-01")))
    with pytest.raises(DataError, match="No person has a care site on record"):
        sites(plan(), source)
    with pytest.raises(DataError, match="no costs"):
        unit_periods(plan(outcome=co.cost()), source)
    with pytest.raises(DataError, match="no condition"):
        unit_periods(plan(outcome=co.count(bleed)), source)
    with pytest.raises(DataError, match="Nobody is alive and observed"):
        unit_periods(plan(population=co.age(100)), source)
    with pytest.raises(DataError, match="no observation"):
        starts(plan(), source, sites(plan(unit="provider"), source_of(tiny(
            person=[{"person_id": 1, "provider_id": 3}], visit_occurrence=visited(1, "2020-01-01")
        ))))  # fmt: skip
