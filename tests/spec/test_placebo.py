"""When observation ends after the last contact, how often each entry is seen, and dates on which nothing began."""

from __future__ import annotations

import datetime as dt

import pytest

import clinops as co
from clinops.build import rows
from clinops.build.capture import contacts
from clinops.build.placebo import at_earlier_entry, moved
from clinops.define.protocol import FollowUp
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.spec.support import analysis, bled, bleed, by_person, came, drug, entered, find, kept, someone_else, took

INDEX = "2020-01-01"  # day 1 is 2020-01-02, day 10 is 2020-01-11


def on(day: int) -> str:
    return (dt.date(2020, 1, 1) + dt.timedelta(days=day)).isoformat()


def until(days: int) -> FollowUp:
    return co.follow_up(co.days(1, 100), last_contact=days)


# --- observation that ends after the last contact ------------------------------------------------------


def test_observation_ends_so_many_days_after_the_last_visit(any_source):
    tables = tiny(
        observation_period=[
            {"person": 1}, {"person": 2}, {"person": 3}, {"person": 4, "start": "2019-01-01", "end": on(25)},
            {"person": 999},
        ],
        drug_exposure=[*(r for p in (1, 2, 3, 4) for r in took(p, INDEX)), someone_else()],
        visit_occurrence=[
            *came(1, on(5), on(20)), *came(2, on(-3)), *came(3, on(20), on(400)), *came(4, on(20), on(90)),
        ],
        condition_occurrence=[*bled(1, on(30), on(31)), *bled(2, on(10), on(11))],
    )  # fmt: skip
    baseline, found = analysis(any_source(tables), follow_up=until(10), outcomes=(co.count(bleed, name="bleeds"),))
    ends = by_person(baseline, found.frame, "end_day")
    reasons = by_person(baseline, found.frame, "end_reason")
    # 1: last visit on day 20. 2: none after the index date, which counts as one. 3: comes again on day 400.
    # 4: day 90 lies beyond the recorded end, which comes first.
    assert {p: (int(ends[p]), reasons[p]) for p in ends} == {
        1: (30, "end of observation"), 2: (10, "end of observation"), 3: (100, "window"),
        4: (25, "end of observation"),
    }  # fmt: skip
    assert by_person(baseline, found.frame, "bleeds") == {1: 1, 2: 1, 3: 0, 4: 0}


def test_a_death_after_that_end_is_not_an_outcome(any_source):
    tables = tiny(
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()],
        visit_occurrence=[*came(1, on(5)), *came(2, on(5))],
        death=[{"person": 1, "start": on(15)}, {"person": 2, "start": on(16)}],
    )
    dies = co.time_to(co.events("death"), name="dies")
    baseline, found = analysis(any_source(tables), follow_up=until(10), outcomes=(dies,))
    assert by_person(baseline, found.frame, "end_reason") == {1: "death", 2: "end of observation"}
    assert by_person(baseline, found.frame, "dies") == {1: 1, 2: 0}


def test_the_rule_keeps_old_files_and_is_kept_in_new_ones():
    plain = co.follow_up(co.days(1, 365))
    assert "last_contact" not in plain.to_dict() and FollowUp.from_json(plain.to_json()) == plain
    ended = co.follow_up(co.days(1, 365), last_contact=180)
    assert FollowUp.from_json(ended.to_json()) == ended and ended.hash != plain.hash
    with pytest.raises(DefinitionError, match="must lie between 0 and 3650"):
        co.follow_up(co.days(1, 365), last_contact=-1)


# --- contacts ------------------------------------------------------------------------------------------


def test_contacts_are_days_with_a_visit_within_observation(any_source):
    tables = tiny(
        observation_period=[
            {"person": 1, "start": on(-30), "end": on(40)}, {"person": 2, "start": "2010-01-01"}, {"person": 999},
        ],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), someone_else()],
        visit_occurrence=[
            *came(1, on(-31), on(-30), on(-5), on(-5), on(0), on(1), on(40), on(41)),
            *came(1, on(-5), concept=9203), *came(2, on(-400), on(-365), on(100), on(101)),
        ],
    )  # fmt: skip
    protocol = co.protocol(
        title="t", question="q", follow_up=co.days(1, 100), exposed=co.cohort("drug", entry=co.first_ever(drug)),
        comparator=co.cohort("other", entry=co.first_ever(co.events("drug", co.codes("the other drug", 1124300)))),
    )  # fmt: skip
    source = any_source(tables)
    baseline = rows.baseline(protocol, *(find(source, arm.entry) for arm in (protocol.exposed, protocol.comparator)))
    found = contacts(protocol, baseline)
    seen = {name: by_person(baseline, found, name) for name in ("before", "after", "days_before", "days_after")}
    assert seen == {"before": {1: 2, 2: 1}, "after": {1: 2, 2: 1}, "days_before": {1: 30, 2: 365},
                    "days_after": {1: 40, 2: 100}}  # fmt: skip


def test_without_visits_contacts_are_refused(source_of):
    tables = tiny(drug_exposure=[*took(1, INDEX), someone_else()])
    protocol = co.protocol(
        title="t", question="q", follow_up=co.days(1, 100), exposed=co.cohort("drug", entry=co.first_ever(drug)),
        comparator=co.cohort("other", entry=co.first_ever(co.events("drug", co.codes("the other drug", 1124300)))),
    )  # fmt: skip
    source = source_of(tables)
    baseline = rows.baseline(protocol, *(find(source, arm.entry) for arm in (protocol.exposed, protocol.comparator)))
    with pytest.raises(DataError, match="contacts cannot be counted"):
        contacts(protocol, baseline)


# --- dates on which nothing began ----------------------------------------------------------------------


def test_a_cohort_moves_back_where_it_was_observed(any_source):
    tables = tiny(
        observation_period=[
            {"person": 1, "start": on(-130)}, {"person": 2, "start": on(-129)}, {"person": 3, "start": "2010-01-01"},
        ],
        drug_exposure=[*took(1, INDEX), *took(2, INDEX), *took(3, INDEX)],
    )  # fmt: skip
    cohort = find(any_source(tables), co.first_ever(drug))
    back = moved(cohort, 100, 30)
    assert entered(back) == [(1, on(-100)), (3, on(-100))]
    assert kept(back)[-2:] == [(3, 3), (2, 2)] and back.attrition["excluded_persons"].iloc[-1] == 1
    assert entered(cohort) == [(p, INDEX) for p in (1, 2, 3)]  # the cohort itself stays where it is


def test_an_earlier_entry_event_is_the_last_that_lies_far_enough_back(any_source):
    tables = tiny(
        observation_period=[{"person": p, "start": "2018-01-01"} for p in (1, 2, 3)],
        drug_exposure=[
            *took(1, on(-400), on(-120), on(-99), INDEX), *took(2, on(-50), INDEX), *took(3, on(-725), INDEX),
        ],
    )  # fmt: skip
    last = co.cohort("drug", entry=co.first_eligible(drug), steps=(co.between(INDEX, "2020-12-31"),))
    source = any_source(tables)
    cohort = find(source, last.entry, *last.steps)
    # 1: day -120, for -99 is too near. 2 has none so early. 3 has one, 5 days into observation.
    assert entered(at_earlier_entry(cohort, 100, 30)) == [(1, on(-120))]
    assert entered(at_earlier_entry(cohort, 100, 5)) == [(1, on(-120)), (3, on(-725))]
