"""Index dates of people who have not enrolled: each rule on tiny records, by hand."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.build.cohorts import Cohort, build
from clinops.build.draws import SIZE, draw
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.spec.support import bled, bleed, came, drug, entered, find, kept, took, visit


def waiting(source: Any, entry: Any, *steps: Any, exposed: Cohort | None = None) -> Cohort:
    """Build a comparator whose index dates come from the exposed cohort."""
    return build(co.cohort("waiting", entry=entry, steps=steps), source, exposed)


def people() -> dict[str, Any]:
    """1 and 2 take the drug in March and May; 3 never; 4 leaves on 1 April; 5 dies on 10 March; 6 took it in 2009."""
    observed = [{"person": who} for who in (1, 2, 3, 5, 6)] + [{"person": 4, "end": "2020-04-01"}]
    return tiny(
        person=[{"person_id": who} for who in range(1, 7)],
        observation_period=observed,
        drug_exposure=[*took(1, "2020-03-10"), *took(2, "2020-05-05"), *took(6, "2009-06-01")],
        condition_occurrence=bled(3, "2020-04-01"),
        visit_occurrence=[
            *came(1, "2020-03-04", "2020-03-12"), *came(2, "2020-04-03"), *came(3, "2020-03-05", "2020-03-20"),
            *came(3, "2020-01-15"), *came(4, "2020-05-02"),
        ],
        death=[{"person": 5, "start": "2020-03-10"}],
    )  # fmt: skip


# --- same-day risk set --------------------------------------------------------------------------


def test_a_risk_set_holds_who_is_observed_and_not_yet_exposed(any_source):
    found = waiting(any_source(people()), co.risk_set(drug))
    # 10 March: 2 (takes it later), 3, 4, 5 (dies that day); 5 May: 3. Never 1, who takes it, nor 6, who took it.
    assert entered(found) == [
        (2, "2020-03-10"), (3, "2020-03-10"), (3, "2020-05-05"), (4, "2020-03-10"), (5, "2020-03-10"),
    ]  # fmt: skip
    assert list(found.attrition["rule"]) == [
        "Observed, without the drug so far, on a day on which somebody enters at it",
        "Index date inside an observation period",
    ]
    assert kept(found) == [(5, 4), (5, 4)]


def test_the_days_are_those_on_which_somebody_enters_the_exposed_cohort(any_source):
    source = any_source(people())
    exposed = find(source, co.first_eligible(drug), co.between("2020-05-01", "2020-05-31"))
    assert entered(waiting(source, co.risk_set(drug), exposed=exposed)) == [(3, "2020-05-05")]


def test_the_steps_hold_at_each_candidate_date(any_source):
    found = waiting(any_source(people()), co.risk_set(drug), co.has(bleed, co.before()))
    assert entered(found) == [(3, "2020-05-05")]  # bled on 1 April
    assert kept(found) == [(5, 4), (5, 4), (1, 1)]
    found = waiting(any_source(people()), co.risk_set(drug), co.lacks(bleed, co.before(30)))
    assert (3, "2020-05-05") in entered(found)  # 34 days later: washed out


def test_gaps_in_observation_and_the_day_before_the_exposure(any_source):
    tables = tiny(
        person=[{"person_id": who} for who in (1, 2, 3)],
        observation_period=[
            {"person": 1}, {"person": 3},
            {"person": 2, "start": "2020-01-01", "end": "2020-01-31"},
            {"person": 2, "start": "2020-03-01", "end": "2020-03-31"},
        ],
        drug_exposure=[*took(1, "2020-01-31", "2020-02-10"), *took(3, "2020-03-01")],
    )  # fmt: skip
    # Days: 31 January, 10 February (a refill: no step keeps the first), 1 March. 3 waits until 29 February.
    assert entered(waiting(any_source(tables), co.risk_set(drug))) == [
        (2, "2020-01-31"), (2, "2020-03-01"), (3, "2020-01-31"), (3, "2020-02-10"),
    ]  # fmt: skip


def crowd(persons: int = 60) -> dict[str, Any]:
    """Two persons take the drug on 1 March and one on 1 May; everybody else waits; ids far apart."""
    ids = [7 + 1_000_003 * at**3 for at in range(persons)]
    return tiny(
        person=[{"person_id": who} for who in ids],
        drug_exposure=[*took(ids[0], "2020-03-01"), *took(ids[1], "2020-03-01"), *took(ids[2], "2020-05-01")],
    )


def smallest(ids: list[int], day: date, count: int, seed: int) -> list[tuple[int, str]]:
    """The persons with the smallest draws, in Python's own whole numbers."""
    number = (day - date(1970, 1, 1)).days
    return [(who, day.isoformat()) for who in sorted(ids, key=lambda who: (draw(who, number, seed), who))[:count]]


@pytest.mark.parametrize("seed", [1, 20260101])
def test_a_draw_of_each_risk_set_is_the_same_on_every_engine(any_source, seed):
    tables = crowd()
    ids = tables["person"]["person_id"].to_pylist()
    found = waiting(any_source(tables), co.risk_set(drug, per_case=4, seed=seed))
    march = smallest([who for who in ids if who not in ids[:2]], date(2020, 3, 1), 8, seed)
    may = smallest(ids[3:], date(2020, 5, 1), 4, seed)
    assert entered(found) == sorted(march + may)
    assert found.entries == 4 * 3  # four for each of the three who enter
    assert found.attrition["rule"][0].endswith(f", 4 drawn for each entry (seed {seed})")


def test_a_risk_set_of_those_who_came_on_the_day(any_source):
    tables = tiny(
        drug_exposure=[*took(1, "2020-03-10"), *took(2, "2020-05-05")],
        visit_occurrence=[row for who in (1, 2, 3, 4, 5) for row in came(who, "2020-03-10", "2020-03-11")]
        + came(6, "2020-05-05"),
    )  # fmt: skip
    source = any_source(tables)
    march = [(who, "2020-03-10") for who in (2, 3, 4, 5)]
    found = waiting(source, co.risk_set(drug, at=visit))
    assert entered(found) == [*march, (6, "2020-05-05")]
    assert found.attrition["rule"][0] == "At visit, without the drug so far, on a day on which somebody enters at it"
    drawn = waiting(source, co.risk_set(drug, at=visit, per_case=2, seed=9))
    assert entered(drawn) == sorted([*smallest([2, 3, 4, 5], date(2020, 3, 10), 2, 9), (6, "2020-05-05")])


def test_a_small_risk_set_is_taken_whole(any_source):
    tables = crowd(5)
    assert waiting(any_source(tables), co.risk_set(drug, per_case=50)).entries == 3 + 2


def test_too_many_candidates_are_refused_with_their_number(any_source):
    source = any_source(crowd())
    # 58 wait on 1 March (one of them the third who takes it), 57 on 1 May.
    with pytest.raises(DataError, match=r"115 candidate person-dates on 2 days, more than its limit of 100.*per_case"):
        waiting(source, co.risk_set(drug, limit=100))
    assert waiting(source, co.risk_set(drug, limit=115)).entries == 115
    assert waiting(source, co.risk_set(drug, limit=12, per_case=4)).entries == 12
    with pytest.raises(DataError, match="12 candidate person-dates"):
        waiting(source, co.risk_set(drug, limit=11, per_case=4))
    with pytest.raises(DataError, match=r"115 candidate.*longer period"):
        waiting(source, co.rolling(drug, limit=100))  # on 1 March all but the two, on 1 May all but the three


def test_nobody_enters_the_exposed_cohort(any_source):
    source = any_source(people())
    nobody = find(source, co.first_eligible(drug), co.between("2015-01-01", "2015-12-31"))
    with pytest.raises(DataError, match="Nobody enters the exposed cohort at 'the drug'"):
        waiting(source, co.risk_set(drug), exposed=nobody)
    with pytest.raises(DataError, match="So 'unknown' cannot be looked for"):
        waiting(source, co.risk_set(co.events("drug", co.codes("unknown", 5))))


# --- rolling entry and sequential trials ----------------------------------------------------------


def test_rolling_entry_is_on_the_first_day_of_each_period_with_an_entry(any_source):
    source = any_source(people())
    # March and May have entries. 1 is a comparator on 1 March, nine days before taking the drug.
    assert entered(waiting(source, co.rolling(drug))) == [
        (1, "2020-03-01"), (2, "2020-03-01"), (2, "2020-05-01"), (3, "2020-03-01"), (3, "2020-05-01"),
        (4, "2020-03-01"), (5, "2020-03-01"),
    ]  # fmt: skip
    quarters = entered(waiting(source, co.rolling(drug, every="quarter")))
    assert [when for who, when in quarters if who == 4] == ["2020-01-01", "2020-04-01"]  # her last day
    assert [when for who, when in quarters if who == 1] == ["2020-01-01"]
    assert Counter(when for _, when in entered(waiting(source, co.rolling(drug, every="year")))) == {"2020-01-01": 5}


def test_who_takes_it_on_the_first_day_is_no_comparator_of_that_month(any_source):
    source = any_source(tiny(person=[{"person_id": 1}, {"person_id": 2}], drug_exposure=took(1, "2020-03-01")))
    assert entered(waiting(source, co.rolling(drug))) == [(2, "2020-03-01")]


def test_rolling_entry_at_the_first_visit_of_the_period(any_source):
    source = any_source(people())
    # 1 came on 4 March, before the drug; 3 on the 5th (and 20th); 2 in April, when nobody enters; 4 after leaving.
    assert entered(waiting(source, co.rolling(drug, at=visit))) == [(1, "2020-03-04"), (3, "2020-03-05")]
    assert entered(waiting(source, co.rolling(drug, every="year", at=visit))) == [
        (1, "2020-03-04"), (2, "2020-04-03"), (3, "2020-01-15"),
    ]  # fmt: skip
    assert entered(waiting(source, co.rolling(drug, every="quarter", at=visit))) == [
        (1, "2020-03-04"), (2, "2020-04-03"), (3, "2020-01-15"),
    ]  # fmt: skip


def test_sequential_trials_run_in_every_period_from_the_first_entry_to_the_last(any_source):
    found = entered(waiting(any_source(people()), co.sequential(drug)))
    assert [when for who, when in found if who == 3] == ["2020-03-01", "2020-04-01", "2020-05-01"]
    assert [when for who, when in found if who == 4] == ["2020-03-01", "2020-04-01"]
    assert [when for who, when in found if who == 1] == ["2020-03-01"]
    assert Counter(who for who, _ in found) == {1: 1, 2: 3, 3: 3, 4: 2, 5: 1}


def test_a_trial_at_every_visit(any_source):
    found = waiting(any_source(people()), co.sequential(drug, every=co.every(visit)))
    # From 10 March to 5 May: 1 on the 12th (already takes the drug), 2, 3 on the 20th, 4 (left).
    assert entered(found) == [(2, "2020-04-03"), (3, "2020-03-20")]
    assert kept(found) == [(4, 4), (3, 3), (2, 2)]
    assert list(found.attrition["rule"]) == [
        "Every visit while the trials run", "Index date inside an observation period",
        "No the drug, any time up to day 0",
    ]  # fmt: skip
    with pytest.raises(DefinitionError, match=r"give a period, such as 'month', or co\.every"):
        co.sequential(drug, every=co.first_ever(visit))


# --- a random visit, and the distribution of enrolment times -----------------------------------------


def test_one_eligible_visit_of_each_person_is_drawn(any_source):
    days = [f"2020-0{month}-1{day}" for month in (1, 2, 3, 4) for day in (0, 5)]
    tables = tiny(
        visit_occurrence=[*came(1, *days), *came(2, "2020-02-02"), *came(3, "2020-02-02"), *came(4, "2019-01-01")],
        drug_exposure=took(3, "2020-02-02"),
    )
    source = any_source(tables)
    in_2020 = co.between("2020-01-01", "2020-12-31")
    chosen = {}
    for seed in range(5):
        found = waiting(source, co.random_visit(visit, drug, seed=seed), in_2020)
        ((who, when), other) = entered(found)
        assert other == (2, "2020-02-02")  # the only one; 3 takes the drug on hers, and 4's lies outside the year
        ids = [(date.fromisoformat(day) - date(1970, 1, 1)).days for day in days]
        assert (who, when) == (1, days[int(np.argmin([draw(1, at, seed) for at in ids]))])
        chosen[seed] = when
    assert len(set(chosen.values())) > 1
    assert found.attrition["rule"].iloc[-1] == "One entry of each person, drawn at random (seed 4)"
    assert kept(found) == [(11, 4), (11, 4), (10, 3), (9, 2), (2, 2)]


def test_the_time_to_enrolment_is_assigned_to_those_who_wait(any_source):
    tables = tiny(
        person=[{"person_id": who} for who in range(1, 9)],
        observation_period=[{"person": 5, "end": "2020-06-10"}] + [{"person": w} for w in (1, 2, 3, 4, 6, 7, 8)],
        condition_occurrence=[
            *bled(1, "2020-03-01"), *bled(2, "2020-03-26"), *bled(3, "2020-06-01", "2020-07-01"),
            *(row for who in (4, 5, 6, 7) for row in bled(who, "2020-06-01")),
        ],
        drug_exposure=[*took(1, "2020-03-11"), *took(2, "2020-04-05"), *took(7, "2020-07-01"), *took(8, "2020-05-01")],
        death=[{"person": 4, "start": "2020-06-10"}, {"person": 6, "start": "2020-06-11"}],
    )  # fmt: skip
    source = any_source(tables)
    exposed = find(source, co.first_eligible(drug), co.between("2020-01-01", "2020-05-31"))
    found = waiting(source, co.enrolment_times(bleed, drug), exposed=exposed)
    # 1 and 2 took 10 days, 8 never bled: everybody's time is 10 days from the first bleed. 1 and 2 have the drug by
    # then, 4 is dead, 5 has left the day before; 6 dies on the day itself and 7 takes the drug three weeks later.
    assert entered(found) == [(3, "2020-06-11"), (6, "2020-06-11"), (7, "2020-06-11")]
    assert kept(found) == [(6, 6), (5, 5), (3, 3)]


def test_the_times_assigned_have_the_distribution_of_those_drawn_from(any_source):
    waits = [1, 5, 5, 30]
    cases = [row for who, wait in enumerate(waits, 1) for row in took(who, f"2020-03-{1 + wait:02d}")]
    tables = tiny(
        condition_occurrence=[row for who in range(1, 1005) for row in bled(who, "2020-03-01")], drug_exposure=cases
    )
    found = waiting(any_source(tables), co.enrolment_times(bleed, drug, seed=4))
    counts = Counter(when for who, when in entered(found) if who > 4)
    assert set(counts) == {"2020-03-02", "2020-03-06", "2020-03-31"} and sum(counts.values()) == 1000
    for day, share in (("2020-03-02", 0.25), ("2020-03-06", 0.5), ("2020-03-31", 0.25)):
        assert abs(counts[day] / 1000 - share) < 4 * np.sqrt(share * (1 - share) / 1000)


def test_no_time_can_be_drawn_without_a_qualifying_event_before(any_source):
    tables = tiny(drug_exposure=took(1, "2020-03-01"), condition_occurrence=bled(1, "2020-04-01"))
    with pytest.raises(DataError, match="no time from the one to the other"):
        waiting(any_source(tables), co.enrolment_times(bleed, drug))
    with pytest.raises(DefinitionError, match="are the same"):
        co.enrolment_times(drug, drug)


# --- draws ------------------------------------------------------------------------------------------


def test_draws_are_even_and_unrelated():
    ids = np.arange(200_000, dtype=np.int64)
    for day, seed in ((0, 0), (18_262, 1), (18_263, 1), (18_262, 20260101)):
        cells = np.bincount((draw(ids, np.int64(day), seed) * 64) // SIZE, minlength=64)
        assert ((cells - len(ids) / 64) ** 2 / (len(ids) / 64)).sum() < 63 + 5 * np.sqrt(2 * 63)
    one, other = (draw(ids, np.int64(day), 1) for day in (18_262, 18_263))
    for left, right in ((one, other), (one, draw(ids, np.int64(18_262), 2)), (one[1:], one[:-1]), (one[7:], one[:-7])):
        assert abs(np.corrcoef(left, right)[0, 1]) < 4 / np.sqrt(len(left))
    days = np.arange(200_000, dtype=np.int64)
    by_day = draw(np.int64(17), days, 1)
    assert abs(np.corrcoef(by_day[1:], by_day[:-1])[0, 1]) < 4 / np.sqrt(len(days))
    # One person's eight days under many seeds: each is the smallest about as often.
    eight = 18_262 + np.array([9, 14, 40, 45, 69, 74, 100, 105])
    first = np.bincount([int(np.argmin(draw(np.int64(1), eight, seed))) for seed in range(2_000)], minlength=8)
    assert ((first - 250) ** 2 / 250).sum() < 7 + 5 * np.sqrt(14)


def test_draws_of_any_id_stay_in_range_and_are_python_s():
    ids = [0, 1, -1, 2**63 - 1, -(2**63) + 1, 2**31 - 1, 123_456_789_012_345]
    ours = draw(np.array(ids, np.int64), np.int64(18_000), 5)
    wide = [draw(who, 18_000, 5) for who in ids]  # whole numbers without a limit
    assert ((ours >= 0) & (ours < SIZE)).all()
    assert [int(value) for value, who in zip(ours, ids, strict=True) if who >= 0] == [
        value for value, who in zip(wide, ids, strict=True) if who >= 0
    ]
