"""Who enters, and when: entry rules, the order of steps, windows, observation, age."""

from __future__ import annotations

import pytest

import clinops as co
from tests.conftest import tiny
from tests.spec.support import bled, bleed, came, drug, entered, find, kept, took, visit


def test_a_window_includes_both_its_ends(any_source):
    index = "2020-06-15"
    offsets = {1: "2020-06-04", 2: "2020-06-05", 3: "2020-06-10", 4: "2020-06-11"}  # days -11, -10, -5, -4
    source = any_source(
        tiny(
            drug_exposure=[row for person in offsets for row in took(person, index)],
            condition_occurrence=[row for person, date in offsets.items() for row in bled(person, date)],
        )
    )
    has = find(source, co.first_ever(drug), co.has(bleed, co.days(-10, -5)))
    lacks = find(source, co.first_ever(drug), co.lacks(bleed, co.days(-10, -5)))
    assert [person for person, _ in entered(has)] == [2, 3]
    assert [person for person, _ in entered(lacks)] == [1, 4]


def test_a_window_without_ends_is_any_day_on_record(any_source):
    source = any_source(
        tiny(
            drug_exposure=[*took(1, "2020-06-15"), *took(2, "2020-06-15"), *took(3, "2020-06-15")],
            condition_occurrence=[*bled(1, "2011-01-01"), *bled(2, "2021-01-01")],
        )
    )
    assert [person for person, _ in entered(find(source, co.first_ever(drug), co.has(bleed, co.days(None, None))))] == [
        1, 2,
    ]  # fmt: skip
    assert entered(find(source, co.first_ever(drug), co.lacks(bleed, co.days(None, None)))) == [(3, "2020-06-15")]


def test_before_ends_on_the_day_before_the_index_date(any_source):
    source = any_source(
        tiny(
            drug_exposure=[*took(1, "2020-06-15"), *took(2, "2020-06-15")],
            condition_occurrence=[*bled(1, "2020-06-15"), *bled(2, "2020-06-14")],
        )
    )
    assert entered(find(source, co.first_ever(drug), co.has(bleed, co.before()))) == [(2, "2020-06-15")]
    assert entered(find(source, co.first_ever(drug), co.has(bleed, co.days(0, 0)))) == [(1, "2020-06-15")]


def test_first_ever_and_first_eligible_are_two_entries(any_source):
    # Person 1 took it first in 2018, when there was no bleed on record; person 2 only in 2020.
    tables = tiny(
        drug_exposure=[*took(1, "2018-03-01", "2020-03-01", "2020-09-01"), *took(2, "2020-03-01")],
        condition_occurrence=[*bled(1, "2019-01-01"), *bled(2, "2019-01-01")],
    )
    source = any_source(tables)
    past_bleed = co.has(bleed, co.before())
    assert entered(find(source, co.first_ever(drug), past_bleed)) == [(2, "2020-03-01")]
    assert entered(find(source, co.first_eligible(drug), past_bleed)) == [(1, "2020-03-01"), (2, "2020-03-01")]
    assert entered(find(source, co.every(drug), past_bleed)) == [
        (1, "2020-03-01"), (1, "2020-09-01"), (2, "2020-03-01"),
    ]  # fmt: skip


def test_first_ever_counts_events_outside_observation_too(any_source):
    # The first exposure ever, in 2009, lies before observation starts: not a new user in 2020.
    source = any_source(tiny(drug_exposure=took(1, "2009-05-01", "2020-05-01")))
    assert entered(find(source, co.first_ever(drug))) == []
    assert entered(find(source, co.first_eligible(drug))) == [(1, "2020-05-01")]


def test_the_order_of_steps_changes_the_counts(any_source):
    source = any_source(tiny(drug_exposure=[*took(1, "2019-06-01", "2020-06-01"), *took(2, "2020-06-01")]))
    in_2020 = co.between("2020-01-01", "2020-12-31")
    first_then_year = find(source, drug, co.first(), in_2020)
    year_then_first = find(source, drug, in_2020, co.first())
    assert kept(first_then_year) == [(3, 2), (3, 2), (2, 2), (1, 1)]
    assert kept(year_then_first) == [(3, 2), (3, 2), (2, 2), (2, 2)]
    assert list(first_then_year.attrition["excluded_entries"]) == [0, 0, 1, 1]
    assert list(first_then_year.attrition["excluded_persons"]) == [0, 0, 0, 1]
    assert list(first_then_year.attrition["rule"]) == [
        "Any the drug", "Index date inside an observation period", "First entry of each person",
        "Index date 2020-01-01 to 2020-12-31",
    ]  # fmt: skip


def test_between_includes_both_dates(any_source):
    source = any_source(tiny(drug_exposure=took(1, "2019-12-31", "2020-01-01", "2020-12-31", "2021-01-01")))
    found = find(source, co.every(drug), co.between("2020-01-01", "2020-12-31"))
    assert entered(found) == [(1, "2020-01-01"), (1, "2020-12-31")]


def test_observation_must_hold_without_a_gap(any_source):
    # Index 2020-01-11. 1: exactly ten days before; 2: nine; 3: a one-day hole; 4: two spans that touch.
    tables = tiny(
        observation_period=[
            {"person": 1, "start": "2020-01-01", "end": "2020-01-21"},
            {"person": 2, "start": "2020-01-02", "end": "2020-01-21"},
            {"person": 3, "start": "2019-01-01", "end": "2020-01-05"},
            {"person": 3, "start": "2020-01-07", "end": "2020-12-31"},
            {"person": 4, "start": "2019-01-01", "end": "2020-01-05"},
            {"person": 4, "start": "2020-01-06", "end": "2020-01-20"},
        ],
        drug_exposure=[row for person in (1, 2, 3, 4) for row in took(person, "2020-01-11")],
    )
    source = any_source(tables)
    assert [p for p, _ in entered(find(source, co.first_ever(drug), co.observed(before=10)))] == [1, 4]
    both = find(source, co.first_ever(drug), co.observed(before=10, after=10))
    assert [p for p, _ in entered(both)] == [1]  # person 4's episode ends on day 9


def test_an_index_date_outside_observation_never_enters(any_source):
    tables = tiny(
        person=[{"person_id": 1}, {"person_id": 2}],
        observation_period=[{"person": 1, "start": "2020-01-01", "end": "2020-12-31"}],
        drug_exposure=[*took(1, "2020-01-01"), *took(1, "2020-12-31"), *took(1, "2021-01-01"), *took(2, "2020-01-01")],
    )
    found = find(any_source(tables), co.every(drug))
    assert entered(found) == [(1, "2020-01-01"), (1, "2020-12-31")]
    assert kept(found) == [(4, 2), (2, 1)]


def test_only_persons_of_the_person_table_enter(any_source):
    tables = tiny(person=[{"person_id": 1}], drug_exposure=[*took(1, "2020-01-01"), *took(2, "2020-01-01")])
    assert kept(find(any_source(tables), co.every(drug)))[0] == (1, 1)


def test_two_records_on_one_day_are_one_entry(any_source):
    found = find(any_source(tiny(drug_exposure=took(1, "2020-01-01", "2020-01-01", "2020-02-01"))), co.every(drug))
    assert entered(found) == [(1, "2020-01-01"), (1, "2020-02-01")]


def test_at_least_counts_days_and_visits_by_id(any_source):
    # 1: two bleeds on one day are one occasion; 2: two days; 3: two visits on one day are two visits.
    tables = tiny(
        drug_exposure=[row for person in (1, 2, 3) for row in took(person, "2020-06-01")],
        condition_occurrence=[*bled(1, "2020-05-01", "2020-05-01"), *bled(2, "2020-05-01", "2020-05-02")],
        visit_occurrence=[*came(1, "2020-05-01"), *came(3, "2020-05-01", "2020-05-01")],
    )
    source = any_source(tables)
    twice_bled = co.has(bleed, co.before(), at_least=2)
    twice_came = co.has(visit, co.before(), at_least=2)
    assert [p for p, _ in entered(find(source, co.first_ever(drug), twice_bled))] == [2]
    assert [p for p, _ in entered(find(source, co.first_ever(drug), twice_came))] == [3]


def test_has_and_lacks_may_follow_each_other(any_source):
    # Two semi-joins in one expression break on one engine; two steps must not.
    tables = tiny(
        drug_exposure=[row for person in (1, 2, 3) for row in took(person, "2020-06-01")],
        condition_occurrence=[*bled(1, "2020-05-01"), *bled(2, "2020-05-01", "2020-07-01")],
        visit_occurrence=[*came(1, "2020-05-01"), *came(3, "2020-05-02")],
    )
    steps = (
        co.has(bleed, co.before()),
        co.lacks(bleed, co.after()),
        co.has(visit, co.before()),
        co.lacks(visit, co.after()),
    )
    assert entered(find(any_source(tables), co.first_ever(drug), *steps)) == [(1, "2020-06-01")]


@pytest.mark.parametrize(
    ("born", "index", "low", "enters"),
    [
        ((1980, 6, 15), "2020-06-14", 40, False),  # the day before the birthday
        ((1980, 6, 15), "2020-06-15", 40, True),
        ((1980, 2, 29), "2021-02-28", 41, False),  # a birthday on 29 February falls on 1 March of other years
        ((1980, 2, 29), "2021-03-01", 41, True),
        ((1980, 2, 29), "2020-02-29", 40, True),
        ((1980, None, None), "2020-01-01", 40, True),  # only the year is known: index year minus birth year
        ((1980, 6, None), "2020-01-01", 40, True),
        ((1980, 0, 0), "2020-01-01", 40, True),  # 0 is written for unknown
        ((None, None, None), "2020-01-01", 0, False),
    ],
)
def test_age_on_the_index_date(source_of, born, index, low, enters):
    person = dict(zip(("year_of_birth", "month_of_birth", "day_of_birth"), born, strict=True))
    source = source_of(tiny(person=[{"person_id": 1, **person}], drug_exposure=took(1, index)))
    assert bool(entered(find(source, co.first_ever(drug), co.age(low)))) is enters


def test_age_limits_are_both_included_and_the_year_rule_is_its_own(any_source):
    persons = [
        {"person_id": 1, "year_of_birth": 1980, "month_of_birth": 12, "day_of_birth": 31},  # 39, by years 40
        {"person_id": 2, "year_of_birth": 1979, "month_of_birth": 12, "day_of_birth": 31},  # 40, by years 41
        {"person_id": 3, "year_of_birth": 1980, "month_of_birth": 1, "day_of_birth": 1},  # 40, by years 40
        {"person_id": 4, "year_of_birth": 1980},  # 40 by years
    ]
    source = any_source(tiny(person=persons, drug_exposure=[r for p in range(1, 5) for r in took(p, "2020-06-15")]))
    assert [p for p, _ in entered(find(source, co.first_ever(drug), co.age(40, 40)))] == [2, 3, 4]
    assert [p for p, _ in entered(find(source, co.first_ever(drug), co.age(40, 40, rule="year")))] == [1, 3, 4]


def test_sex(any_source):
    persons = [{"person_id": 1}, {"person_id": 2, "gender_concept_id": 8507}, {"person_id": 3, "gender_concept_id": 0}]
    source = any_source(tiny(person=persons, drug_exposure=[r for p in (1, 2, 3) for r in took(p, "2020-06-15")]))
    assert [p for p, _ in entered(find(source, co.first_ever(drug), co.sex_is("female")))] == [1]
    assert [p for p, _ in entered(find(source, co.first_ever(drug), co.sex_is("male")))] == [2]


def test_person_ids_above_two_to_the_53_stay_apart(any_source):
    big = 2**53
    source = any_source(tiny(drug_exposure=[*took(big, "2020-01-01"), *took(big + 1, "2020-02-01")]))
    assert entered(find(source, co.first_ever(drug))) == [(big, "2020-01-01"), (big + 1, "2020-02-01")]


def test_exact_copies_of_a_row_change_nothing(any_source):
    row = {**took(1, "2020-05-01")[0], "id": 1}
    visit_row = {**came(1, "2020-04-01")[0], "id": 1}
    source = any_source(tiny(drug_exposure=[row, row], visit_occurrence=[visit_row, visit_row]))
    assert kept(find(source, co.every(drug)))[0] == (1, 1)
    assert entered(find(source, co.every(drug), co.has(visit, co.before(), at_least=2))) == []


def test_a_cohort_that_empties_still_tells_every_step(any_source):
    source = any_source(tiny(drug_exposure=took(1, "2020-05-01")))
    found = find(source, co.first_ever(drug), co.between("2021-01-01", "2021-12-31"), co.age(18))
    assert kept(found) == [(1, 1), (1, 1), (1, 1), (0, 0), (0, 0)]
    assert list(found.attrition["excluded_persons"]) == [0, 0, 0, 1, 0]
