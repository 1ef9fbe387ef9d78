"""Measures of care on hand-made patients: emergency visits, follow-up, access, continuity, appointments."""

from __future__ import annotations

import math

import pytest

import clinops as co
from clinops.build.care import use
from clinops.define.care import CareRules, care_rules
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.spec.test_readmissions import observed, stay

PERIOD = {"first": "2020-01-01", "last": "2020-12-31"}


def seen(person, day, concept=9202, end=None, **more):
    return {"person": person, "concept": concept, "start": day, "end": end or day, **more}


def by_person(frame, column):
    return dict(zip(frame["person_id"], frame[column], strict=True))


def test_emergency_visits_count_once_a_day_and_say_who_was_admitted(any_source):
    tables = tiny(
        observation_period=[observed(p, "2020-01-01", "2020-06-30") for p in range(1, 5)],
        visit_occurrence=[
            seen(1, "2020-01-05", 9203), seen(1, "2020-01-05", 9203), seen(1, "2020-01-06", 9203),  # two days
            seen(2, "2020-01-05", 9203), stay(2, "2020-01-06", "2020-01-08"),  # admitted the day after
            seen(2, "2020-02-05", 9203), stay(2, "2020-02-07", "2020-02-08"),  # two days after: released
            stay(3, "2020-01-05", "2020-01-08"), seen(3, "2020-01-06", 9203),  # during a stay: no new admission
            seen(3, "2020-07-01", 9203),  # no longer observed
            {**stay(4, "2020-03-01", "2020-03-04"), "concept": 262},  # emergency room and inpatient visit
        ],
    )  # fmt: skip
    source, rules = any_source(tables), care_rules(**PERIOD)
    found = use.emergency(source, rules, use.admissions(source, rules))
    assert by_person(found, "released") == {1: 2, 2: 1, 3: 1, 4: 0}
    assert by_person(found, "admitted") == {1: 0, 2: 1, 3: 0, 4: 1}


def test_observation_stays_are_those_of_the_list(any_source):
    wanted = co.events("visit", co.codes("observation stay", 581385))
    tables = tiny(visit_occurrence=[
        seen(1, "2020-01-05", 581385, "2020-01-06"), seen(1, "2020-01-05", 581385), seen(1, "2020-03-05", 581385),
        seen(2, "2020-01-05"), seen(2, "2021-01-05", 581385),
    ])  # fmt: skip
    found = use.observation(any_source(tables), care_rules(observation=wanted, **PERIOD))
    assert by_person(found, "visits") == {1: 2}


def follow_up_tables():
    return tiny(
        observation_period=[observed(p, "2019-01-01", "2020-12-31" if p != 5 else "2020-01-25") for p in range(1, 8)],
        visit_occurrence=[
            *(stay(p, "2020-01-05", "2020-01-10", id=p) for p in range(1, 8)),
            seen(1, "2020-01-10", id=20), seen(1, "2020-01-17", id=21),  # day 0 is none; day 7
            seen(2, "2020-02-09", 581477, id=22),  # day 30
            seen(3, "2020-02-10", id=23), seen(3, "2020-01-12", 9203, id=24),  # day 31; an emergency visit is none
            stay(4, "2020-01-15", "2020-01-16", id=25), seen(4, "2020-01-20", 5083, id=26),  # readmitted on day 5 first
            seen(5, "2020-01-12", id=27),  # seen on day 2, but observed to day 15 only
        ],
        death=[{"person": 6, "start": "2020-01-14"}, {"person": 7, "start": "2020-01-10"}],
    )  # fmt: skip


def test_follow_up_after_discharge(any_source):
    source, rules = any_source(follow_up_tables()), care_rules(**PERIOD)
    after = use.follow_up(source, rules, use.admissions(source, rules))
    frame = after.frame[after.frame["day"] == "2020-01-10"].set_index("person_id")
    # 5 is not followed for 30 days, 7 died in hospital: neither is an index. 6 died on day 4 and stays in.
    assert after.last == 30 and frame["followed"].all()
    days = {who: None if math.isnan(day) else int(day) for who, day in frame["days_to"].items()}
    assert days == {1: 7, 2: 30, 3: None, 4: 10, 6: None}
    assert frame["days_to_next"].dropna().to_dict() == {4: 5}
    assert frame["days_to_death"].dropna().to_dict() == {6: 4}
    assert len(after.frame) == 6  # and the discharge of 16 January of person 4
    on_the_day = use.follow_up(source, care_rules(from_day=0, **PERIOD), use.admissions(source, rules))
    assert on_the_day.frame.set_index(["person_id", "day"])["days_to"].loc[(1, "2020-01-10")] == 0


def test_access_is_from_a_step_to_the_next(any_source):
    referral, therapy = (co.events("observation", co.codes(n, c)) for n, c in (("referral", 50), ("therapy", 51)))

    def step(person, day, concept):
        return {"person": person, "concept": concept, "start": day}

    tables = tiny(
        observation_period=[observed(1, "2020-01-01", "2020-12-31"), observed(2, "2020-01-01", "2020-12-31"),
                            observed(3, "2020-01-01", "2020-02-05")],
        observation=[
            step(1, "2020-02-01", 50), step(1, "2020-02-01", 50), step(1, "2020-02-01", 51),  # the same day: day 0
            step(1, "2020-05-01", 50), step(1, "2020-05-20", 51), step(1, "2020-05-25", 51),  # day 19
            step(2, "2020-02-01", 50), step(2, "2020-01-20", 51),  # an earlier one is no next step
            step(3, "2020-02-01", 50), step(2, "2019-12-01", 50),  # not followed; before the period
        ],
    )  # fmt: skip
    after = use.access(any_source(tables), care_rules(steps_from=referral, steps_to=therapy, days=14, **PERIOD))
    held = [(int(r.person_id), r.days_to, bool(r.followed)) for r in after.frame.itertuples()]
    assert [(who, None if math.isnan(days) else days, known) for who, days, known in held] == [
        (1, 0, True), (1, None, True), (2, None, True), (3, None, False)
    ]  # fmt: skip


def test_continuity(any_source):
    def saw(person, *whom):
        return [
            seen(person, f"2020-{month:02d}-01", provider_id=doctor, care_site_id=1, id=100 * person + 3 * month % 7)
            for month, doctor in enumerate(whom, 1)
        ]

    tables = tiny(visit_occurrence=[
        *saw(1, 7, 7, 7, 7),  # one doctor
        *saw(2, 7, 8, 9, 6),  # another each time
        *saw(3, 7, 7, 8, 8, 9),  # 2, 2, 1
        *saw(4, 7, 7),  # two visits only
        *saw(5, 7, None, 7, 8), seen(5, "2020-01-01", provider_id=7, care_site_id=1, id=599),  # a copy of that day
    ])  # fmt: skip
    source = any_source(tables)
    found, unnamed = use.continuity(source, care_rules(**PERIOD))
    assert unnamed == 1
    assert by_person(found, "visits") == {1: 4, 2: 4, 3: 5, 5: 3}
    assert by_person(found, "providers") == {1: 1, 2: 4, 3: 3, 5: 2}
    assert by_person(found, "upc") == pytest.approx({1: 1, 2: 1 / 4, 3: 2 / 5, 5: 2 / 3})
    # (sum of squares - n) / (n (n - 1)): (16 - 4) / 12, 0, (9 - 5) / 20, (5 - 3) / 6
    assert by_person(found, "coc") == pytest.approx({1: 1, 2: 0, 3: 1 / 5, 5: 1 / 3})
    assert by_person(found, "secon") == pytest.approx({1: 1, 2: 0, 3: 1 / 2, 5: 1 / 2})
    sites, _ = use.continuity(source, care_rules(by="site", at_least=2, **PERIOD))
    assert set(sites["coc"]) == {1} and len(sites) == 5


def test_appointments(any_source):
    kept, missed = (co.events("observation", co.codes(n, c)) for n, c in (("kept", 60), ("missed", 61)))
    rows = [(1, "2020-01-01", 60), (1, "2020-02-01", 61), (1, "2020-02-01", 61), (2, "2020-01-01", 60),
            (2, "2021-01-01", 61)]  # fmt: skip
    tables = tiny(observation=[{"person": p, "start": d, "concept": c} for p, d, c in rows])
    found = use.appointments(any_source(tables), care_rules(kept=kept, missed=missed, **PERIOD))
    assert by_person(found, "booked") == {1: 2, 2: 1}
    assert by_person(found, "missed") == {1: 1, 2: 0}


def test_lists_that_match_nothing_are_refused(source_of):
    source = source_of(tiny(visit_occurrence=[seen(1, "2020-01-01")]))
    wanted = co.events("visit", co.codes("observation stay", 581385))
    with pytest.raises(DataError, match="matches no visit"):
        use.observation(source, care_rules(observation=wanted))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"day": 7}, "no care rule 'day'. Did you mean 'days'"),
        ({"days": (30, 7)}, "give rising whole numbers"), ({"days": 0}, "give rising whole numbers from day 1"),
        ({"days": ()}, "give rising"), ({"by": "doctor"}, "no continuity 'doctor'"), ({"at_least": 1}, "at_least is 1"),
        ({"from_day": -1}, "from_day is -1"), ({"kept": co.events("observation")}, "kept and missed belong together"),
        ({"steps_to": co.events("observation")}, "steps_from and steps_to belong"),
        ({"visits": co.events("drug")}, "no domain of visits 'drug'"),
        ({"first": "2021-01-01", "last": "2020-01-01"}, "is empty"),
    ],
)  # fmt: skip
def test_impossible_rules_are_refused(given, said):
    with pytest.raises(DefinitionError, match=said):
        care_rules(**given)


def test_rules_are_values():
    rules = care_rules(days=14, observation=co.events("visit", co.codes("observation stay", 1)), first="2020-01-01")
    assert CareRules.from_json(rules.to_json()) == rules
    assert care_rules().to_dict() == {"type": "care rules"}
