"""When follow-up ends and why, and which events still count on that day."""

from __future__ import annotations

import math

import pytest

import clinops as co
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.spec.support import (
    analysis,
    bled,
    bleed,
    by_person,
    came,
    death,
    other_drug,
    someone_else,
    took,
    visit,
)

INDEX = "2020-01-01"  # day 1 is 2020-01-02, day 10 is 2020-01-11


def ends(outcomes, baseline):
    days, reasons = by_person(baseline, outcomes.frame, "end_day"), by_person(baseline, outcomes.frame, "end_reason")
    return {person: (int(days[person]), reasons[person]) for person in days}


def test_follow_up_ends_at_the_first_of_window_death_and_end_of_observation(any_source):
    tables = tiny(
        person=[{"person_id": p} for p in (1, 2, 3, 999)],
        observation_period=[
            {"person": 1, "start": "2019-01-01", "end": "2020-12-31"},
            {"person": 2, "start": "2019-01-01", "end": "2020-01-05"},
            {"person": 3, "start": "2019-01-01", "end": "2020-12-31"},
            {"person": 999},
        ],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), *took(3, INDEX), someone_else()],
        death=[{"person": 3, "start": "2020-01-04"}],
    )
    baseline, outcomes = analysis(any_source(tables))
    assert ends(outcomes, baseline) == {1: (10, "window"), 2: (4, "end of observation"), 3: (3, "death")}
    assert by_person(baseline, outcomes.frame, "observed_days") == {1: 10, 2: 4, 3: 3}
    assert by_person(baseline, outcomes.frame, "death_day")[3] == 3
    assert math.isnan(by_person(baseline, outcomes.frame, "death_day")[1])
    assert by_person(baseline, outcomes.frame, "observed_from_day") == {1: -365, 2: -365, 3: -365}


def test_observation_that_ends_on_the_index_date_gives_no_person_time(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2019-01-01", "end": INDEX}, {"person": 999}],
        drug_exposure=[*took(1, INDEX), someone_else()],
        condition_occurrence=bled(1, "2020-01-02"),
    )
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.time_to(bleed, name="bleed"),))
    assert by_person(baseline, outcomes.frame, "observed_days") == {1: 0}
    assert by_person(baseline, outcomes.frame, "bleed") == {1: 0}
    assert by_person(baseline, outcomes.frame, "bleed__days") == {1: 0}
    assert ("Entries without a day of follow-up", 1) in [item[:2] for item in outcomes.set_aside]


def test_day_0_is_neither_baseline_nor_outcome(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()],
        condition_occurrence=[*bled(1, INDEX), *bled(2, "2019-12-31", "2020-01-02")],
    )
    baseline, outcomes = analysis(
        any_source(tables),
        covariates=(co.any_of(bleed, co.before(), name="past"),),
        outcomes=(co.any_of(bleed, name="bleed"), co.time_to(bleed, name="first")),
    )
    assert by_person(baseline, baseline.frame, "past") == {1: 0, 2: 1}
    assert by_person(baseline, outcomes.frame, "bleed") == {1: 0, 2: 1}
    assert by_person(baseline, outcomes.frame, "first__days") == {1: 10, 2: 1}


def test_outcomes_count_on_both_ends_of_the_window_and_on_the_last_day_observed(any_source):
    # Window days 1 to 10. Bleeds on day 10, day 11, the last observed day (4) and the day after it (5).
    tables = tiny(
        person=[{"person_id": p} for p in (1, 2, 3, 4, 999)],
        observation_period=[
            {"person": 1}, {"person": 2}, {"person": 999},
            {"person": 3, "start": "2019-01-01", "end": "2020-01-05"},
            {"person": 4, "start": "2019-01-01", "end": "2020-01-05"},
        ],
        drug_exposure=[*(r for p in (1, 2, 3, 4) for r in took(p, INDEX)), someone_else()],
        condition_occurrence=[
            *bled(1, "2020-01-11"), *bled(2, "2020-01-12"), *bled(3, "2020-01-05"), *bled(4, "2020-01-06"),
        ],
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.time_to(bleed, name="bleed"),))
    assert by_person(baseline, outcomes.frame, "bleed") == {1: 1, 2: 0, 3: 1, 4: 0}
    assert by_person(baseline, outcomes.frame, "bleed__days") == {1: 10, 2: 10, 3: 4, 4: 4}
    assert ("bleed: events in the window after the end of follow-up", 1) in [item[:2] for item in outcomes.set_aside]


def test_death_on_the_last_day_is_a_death_and_not_a_censoring(any_source):
    # 1 dies on the last day of observation, 2 on the last day of the window, 3 after both, 4 on the index date.
    tables = tiny(
        person=[{"person_id": p} for p in (1, 2, 3, 4, 999)],
        observation_period=[
            {"person": 1, "start": "2019-01-01", "end": "2020-01-05"}, {"person": 2}, {"person": 4}, {"person": 999},
            {"person": 3, "start": "2019-01-01", "end": "2020-01-05"},
        ],
        drug_exposure=[*(r for p in (1, 2, 3, 4) for r in took(p, INDEX)), someone_else()],
        death=[{"person": p, "start": day} for p, day in
               ((1, "2020-01-05"), (2, "2020-01-11"), (3, "2020-01-06"), (4, INDEX))],
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.time_to(death, name="dead"),))
    assert ends(outcomes, baseline) == {
        1: (4, "death"),
        2: (10, "death"),
        3: (4, "end of observation"),
        4: (0, "death"),
    }
    assert by_person(baseline, outcomes.frame, "dead") == {1: 1, 2: 1, 3: 0, 4: 0}
    assert by_person(baseline, outcomes.frame, "dead__days") == {1: 4, 2: 10, 3: 4, 4: 0}
    assert ("Entries with a death after the end of observation", 1) in [item[:2] for item in outcomes.set_aside]


def test_a_death_before_the_index_date_leaves_no_follow_up_and_is_counted(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX), someone_else()], death=[{"person": 1, "start": "2019-06-01"}],
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.any_of(death, name="dead"),))
    assert ends(outcomes, baseline) == {1: (0, "death")}
    assert by_person(baseline, outcomes.frame, "dead") == {1: 0}
    assert math.isnan(by_person(baseline, outcomes.frame, "death_day")[1])
    assert ("Entries with a death before the index date", 1) in [item[:2] for item in outcomes.set_aside]


def test_events_that_censor_do_so_after_the_outcome_of_the_same_day(any_source):
    # A visit ends follow-up. 1: visit and bleed on day 3; 2: bleed on day 4 after the visit; 3: visit on day 0 only.
    tables = tiny(
        drug_exposure=[*(r for p in (1, 2, 3) for r in took(p, INDEX)), someone_else()],
        condition_occurrence=[*bled(1, "2020-01-04"), *bled(2, "2020-01-05"), *bled(3, "2020-01-05")],
        visit_occurrence=[*came(1, "2020-01-04"), *came(2, "2020-01-04"), *came(3, INDEX)],
    )
    follow_up = co.follow_up(co.days(1, 10), censor=("end of observation", "death", visit))
    baseline, outcomes = analysis(
        any_source(tables), follow_up=follow_up, outcomes=(co.any_of(bleed, name="bleed"),)
    )  # fmt: skip
    assert ends(outcomes, baseline) == {1: (3, "visit"), 2: (3, "visit"), 3: (10, "window")}
    assert by_person(baseline, outcomes.frame, "bleed") == {1: 1, 2: 0, 3: 1}


def test_an_exit_ends_the_follow_up_of_its_own_arm_only(any_source):
    tables = tiny(
        drug_exposure=[
            *took(1, INDEX), *took(1, "2020-01-06", concept=1124300),
            *took(2, INDEX, concept=1124300), *took(2, "2020-01-06", concept=1124300),
        ],
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), exposed_exit=(other_drug,))
    found = dict(
        zip(
            baseline.frame["arm"],
            zip(outcomes.frame["end_day"], outcomes.frame["end_reason"], strict=True),
            strict=True,
        )
    )
    # Person 1 is first ever on the other drug too, on 2020-01-06: an entry of the other arm.
    assert baseline.frame[["person_id", "arm"]].values.tolist() == [[1, 1], [1, 0], [2, 0]]
    assert found[1] == (5, "the other drug")
    assert outcomes.frame["end_day"].tolist() == [5, 10, 10]


def test_every_entry_of_a_person_is_followed_on_its_own(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX, "2020-01-06"), someone_else()],
        condition_occurrence=bled(1, "2020-01-08", "2020-01-14"),
    )
    baseline, outcomes = analysis(
        any_source(tables), entry=co.every(co.events("drug", co.codes("the drug", 1118084))),
        outcomes=(co.count(bleed, name="bleeds"), co.time_to(bleed, name="first")),
    )  # fmt: skip
    assert baseline.frame["person_id"].tolist() == [1, 1, 999]
    assert outcomes.frame["bleeds"].tolist() == [1, 2, 0]
    assert outcomes.frame["first__days"].tolist() == [7, 2, 10]


def test_an_outcome_counts_where_its_window_and_the_follow_up_overlap(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX), someone_else()],
        condition_occurrence=bled(1, "2020-01-03", "2020-01-09", "2020-01-20"),
    )
    wanted = (
        co.count(bleed, co.days(5, 30), name="late"), co.count(bleed, co.days(1, 4), name="early"),
        co.count(bleed, co.days(20, 30), name="outside"),
    )  # fmt: skip
    baseline, outcomes = analysis(any_source(tables), outcomes=wanted)
    assert by_person(baseline, outcomes.frame, "late") == {1: 1}
    assert by_person(baseline, outcomes.frame, "late__days") == {1: 6}  # days 5 to 10
    assert by_person(baseline, outcomes.frame, "early__days") == {1: 4}
    assert [measure.name for measure, _ in outcomes.not_possible] == ["outside"]


def test_follow_up_may_go_on_beyond_observation_where_the_protocol_says_so(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2019-01-01", "end": "2020-01-05"}, {"person": 999}],
        drug_exposure=[*took(1, INDEX), someone_else()], condition_occurrence=bled(1, "2020-01-08"),
    )  # fmt: skip
    source = any_source(tables)
    baseline, outcomes = analysis(
        source, follow_up=co.follow_up(co.days(1, 10), censor=("death",)), outcomes=(co.any_of(bleed, name="bleed"),)
    )  # fmt: skip
    assert by_person(baseline, outcomes.frame, "bleed") == {1: 1}
    with pytest.raises(DataError, match="never ends"):
        analysis(source, follow_up=co.follow_up(co.days(1, None), censor=("death",)))


def test_without_a_death_table_death_is_not_possible_and_all_are_followed(any_source):
    tables = tiny(drug_exposure=[*took(1, INDEX), someone_else()])
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.time_to(death, name="dead"),))
    assert ends(outcomes, baseline) == {1: (10, "window")}
    assert "dead" not in outcomes.frame
    assert [(m.name, why) for m, why in outcomes.not_possible] == [("dead", "The records hold no death (table death).")]


def test_an_outcome_may_not_take_the_name_of_a_follow_up_column(any_source):
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), someone_else()], condition_occurrence=bled(1, INDEX)))
    with pytest.raises(DefinitionError, match="An outcome is called 'End day'"):
        analysis(source, outcomes=(co.count(bleed, name="End day"),))
