"""Days of an outcome's events, on tiny records: what counts as one occasion, and until when."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.build.event_days import event_days
from clinops.errors import DataError
from tests.conftest import tiny
from tests.spec.support import analysis, bled, bleed, came, death, drug, other_drug, someone_else, took, visit

INDEX = "2020-01-01"  # day 0; day 10 is 11 January
OTHER = someone_else("2020-01-01")
VISITS = co.count(visit, co.days(1, 30), name="visits")
BLEEDS = co.count(bleed, co.days(1, 30), name="bleeds")


def days(source: Any, measure: Any = VISITS, window: Any = None, **more: Any) -> dict[int, list[int]]:
    """Days by person, for a follow-up of 30 days; the frame stands in order of its rows."""
    window = window or co.days(1, 30)
    baseline, outcomes = analysis(source, window=window, outcomes=(measure,), **more)
    protocol = co.protocol(
        title="t", question="q", follow_up=more.get("follow_up", co.follow_up(window)), outcomes=(measure,),
        exposed=co.cohort("drug", entry=more.get("entry", co.first_ever(drug))),
        comparator=co.cohort("other", entry=co.first_ever(other_drug)),
    )  # fmt: skip
    found = event_days(protocol, baseline, measure)
    assert found.dtypes.astype(str).to_dict() == {"row": "int64", "day": "int64"}
    assert found.equals(found.sort_values(["row", "day"]).reset_index(drop=True))
    persons = baseline.frame["person_id"].to_numpy()
    by_person: dict[int, list[int]] = {}
    for row, day in found.itertuples(index=False):
        by_person.setdefault(int(persons[row]), []).append(int(day))
    if measure.id in outcomes.frame:  # the outcome itself counts the same occasions
        many = np.bincount(found["row"], minlength=len(persons))
        assert outcomes.frame[measure.id].tolist() == (many if measure.measure == "count" else many > 0).tolist()
    return by_person


def test_a_visit_counts_by_its_id_and_anything_else_once_a_day(any_source: Any) -> None:
    twice = ("2020-01-11", "2020-01-11", "2020-01-21")
    source = any_source(
        tiny(
            drug_exposure=[*took(1, INDEX), *took(2, INDEX), OTHER],
            visit_occurrence=came(1, *twice), condition_occurrence=[*bled(1, *twice), *bled(2, "2020-01-02")],
        ),
        capture="enrolment",
    )  # fmt: skip
    assert days(source) == {1: [10, 10, 20]}
    assert days(source, BLEEDS) == {1: [10, 20], 2: [1]}


def test_rows_of_one_visit_are_one_occasion_on_its_first_day(source_of: Any) -> None:
    rows = [{**came(1, date)[0], "id": 7} for date in ("2020-01-11", "2020-01-06", "2020-01-21")]
    assert days(source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=rows))) == {1: [5]}


def test_both_ends_of_the_window_count_and_days_outside_do_not(any_source: Any) -> None:
    dates = ("2019-12-31", INDEX, "2020-01-02", "2020-01-31", "2020-02-01")  # days -1, 0, 1, 30, 31
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, *dates)))
    assert days(source) == {1: [1, 30]}
    early = co.count(visit, co.days(0, 1), name="early")
    assert days(source, early, co.days(0, 30)) == {1: [0, 1]}
    # A window that reaches beyond the follow-up is cut to it.
    assert days(source, co.count(visit, co.days(0, 365), name="long")) == {1: [1, 30]}


def test_follow_up_ends_with_death_and_observation_and_their_own_day_counts(any_source: Any) -> None:
    dates = ("2020-01-06", "2020-01-11", "2020-01-12")  # days 5, 10, 11
    source = any_source(
        tiny(
            observation_period=[
                {"person": 1, "start": "2015-01-01", "end": "2020-01-11"}, {"person": 2}, {"person": 999},
            ],
            drug_exposure=[*took(1, INDEX), *took(2, INDEX), OTHER],
            visit_occurrence=[*came(1, *dates), *came(2, *dates)], death=[{"person": 2, "start": "2020-01-11"}],
        )
    )  # fmt: skip
    assert days(source) == {1: [5, 10], 2: [5, 10]}


def test_an_event_that_censors_ends_the_days(source_of: Any) -> None:
    source = source_of(
        tiny(
            drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, "2020-01-06", "2020-01-16"),
            condition_occurrence=bled(1, "2020-01-11"),
        )
    )  # fmt: skip
    until_bleed = co.follow_up(co.days(1, 30), censor=("death", "end of observation", bleed))
    assert days(source, follow_up=until_bleed) == {1: [5]}


def test_a_death_is_an_event_of_its_own_once(any_source: Any) -> None:
    source = any_source(
        tiny(
            drug_exposure=[*took(1, INDEX), *took(2, INDEX), OTHER],
            death=[{"person": 1, "start": "2020-01-11"}, {"person": 1, "start": "2020-01-13"}],
        )
    )
    assert days(source, co.time_to(death, co.days(1, 30), name="dies")) == {1: [10]}


def test_a_person_with_many_entries_and_a_person_with_many_events(source_of: Any) -> None:
    # Entries on 1 and 21 January: the visit of 26 January is day 25 of the first and day 5 of the second.
    source = source_of(
        tiny(
            drug_exposure=[*took(1, INDEX, "2020-01-21"), OTHER],
            visit_occurrence=came(1, "2020-01-26", *(f"2020-02-{d:02}" for d in range(5, 15))),
        )
    )
    found = days(source, entry=co.every(drug))
    assert found == {1: [25, 5, *range(15, 25)]}


def test_nobody_with_an_event_gives_a_frame_without_rows(any_source: Any) -> None:
    source = any_source(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, "2018-01-01")))
    assert days(source) == {}


def test_what_cannot_be_looked_for_is_refused_with_a_reason(source_of: Any) -> None:
    source = source_of(tiny(drug_exposure=[*took(1, INDEX), OTHER], visit_occurrence=came(1, "2020-01-11")))
    baseline, _ = analysis(source, window=co.days(1, 30), outcomes=(VISITS,))
    protocol = co.protocol(
        title="t", question="q", follow_up=co.follow_up(co.days(1, 30)), outcomes=(VISITS,),
        exposed=co.cohort("drug", entry=co.first_ever(drug)),
        comparator=co.cohort("other", entry=co.first_ever(other_drug)),
    )  # fmt: skip
    for measure, said in (
        (co.days_at_home(name="home"), "counts no events"),
        (BLEEDS, "condition"),
        (co.count(visit, co.days(31, 60), name="later"), "lies outside the follow-up"),
    ):
        with pytest.raises(DataError, match=said):
            event_days(protocol, baseline, measure)
