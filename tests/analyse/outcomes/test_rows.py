"""One outcome of a study as arrays: who had what first, in which window, and who is watched at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import clinops as co
from clinops.analyse.outcomes.rows import DEATH, EVENT, event_rows
from clinops.errors import DataError, DefinitionError
from tests.analyse.outcomes.support import DIES, VISITS, One, on, records, study
from tests.conftest import tiny
from tests.spec.support import OTHER_DRUG, came, took, visit

EXPOSED = [
    One(100, events=(10, 10, 50)),  # two on one day, then another
    One(20, dies=True),
    One(100),
    One(30, dies=True, events=(30,)),  # the event comes before death on the same day
    One(40, events=(60,)),  # after the end of observation
]
COMPARATOR = [One(100, events=(100,)), One(100, dies=True), One(60)]

FROM_DAY_0 = (co.allow("outcome-before-follow-up", "the index day is the day after the exposure"),)
Make = Callable[..., Any]


@pytest.fixture
def source(source_of: Make) -> Any:
    return source_of(records(EXPOSED, COMPARATOR), capture="enrolment")


def test_what_came_first_and_every_time(any_source: Make) -> None:
    found = event_rows(study(any_source(records(EXPOSED, COMPARATOR), capture="enrolment")), "Visits")
    assert found.exposed.tolist() == [True] * 5 + [False] * 3
    assert found.exit.tolist() == [10, 20, 100, 30, 40, 100, 100, 60]
    assert found.cause.tolist() == [EVENT, DEATH, 0, EVENT, 0, EVENT, DEATH, 0]
    assert found.end.tolist() == [100, 20, 100, 30, 40, 100, 100, 60]
    assert found.died.tolist() == [False, True, False, True, False, False, True, False]
    assert list(zip(found.event_row, found.event_day, strict=True)) == [(0, 10), (0, 10), (0, 50), (3, 30), (5, 100)]
    assert found.count.tolist() == [3, 0, 0, 1, 0, 1, 0, 0]
    assert (found.since, found.horizon, found.role, found.death) == (0, 100, "primary", "Death before it")
    assert found.causes == (EVENT, DEATH) and found.plain
    assert set(found.index_date.astype(str)) == {"2020-01-01"}
    # Only years of birth are on record.
    assert found.born.astype(str).tolist() == [f"{1950 + i}-01-01" for i in (1, 2, 3, 4, 5, 1, 2, 3)]
    assert [found.called(cause) for cause in found.causes] == ["Visits", "Death before it"]


def test_death_competes_with_nothing_where_it_is_the_outcome(source: Any) -> None:
    found = event_rows(study(source), "Death")
    assert found.causes == (EVENT,) and found.death == "" and found.role == "safety"
    assert found.cause.tolist() == [0, EVENT, 0, EVENT, 0, 0, EVENT, 0]
    assert found.exit.tolist() == found.end.tolist()


def test_an_outcome_is_watched_in_its_own_window_only(source: Any) -> None:
    early = co.count(visit, co.days(1, 25), name="Early visits", role="secondary")
    late = co.any_of(visit, co.days(31, 100), name="Late visits", role="secondary")
    both = study(source, VISITS, early, late)
    found = event_rows(both, "Early visits")
    assert (found.since, found.horizon) == (0, 25)
    assert found.end.tolist() == [25, 20, 25, 25, 25, 25, 25, 25]  # nobody is at risk of it after day 25
    assert found.cause.tolist() == [EVENT, DEATH, 0, 0, 0, 0, 0, 0]
    assert found.died.tolist() == [False, True, *[False] * 6]  # later deaths compete with nothing
    found = event_rows(both, "Late visits")
    assert (found.since, found.horizon) == (30, 100)
    assert found.exit.tolist() == [50, 20, 100, 30, 40, 100, 100, 60]
    assert found.arm(True).tolist() == [True, False, True, False, True, False, False, False]  # 2 and 4 died before it


def test_the_index_day_counts_where_the_window_begins_on_it(source_of: Make) -> None:
    people = [One(100, events=(0, 40)), One(100, events=(20,)), One(100)]
    source = source_of(records(people, COMPARATOR), capture="enrolment")
    visits = co.count(visit, co.days(0, 100), name="Visits", role="secondary")
    found = event_rows(study(source, visits, window=co.days(0, 100), allow=FROM_DAY_0), "Visits")
    assert (found.since, found.horizon) == (-1, 100)
    assert found.exit[:3].tolist() == [0, 20, 100] and found.cause[:3].tolist() == [EVENT, EVENT, 0]
    assert found.arm(True).sum() == 3


def test_the_horizon_is_that_of_follow_up_where_the_window_is_longer_or_has_no_end(source: Any) -> None:
    longer = co.count(visit, co.days(1, 400), name="Visits", role="secondary")
    assert event_rows(study(source, longer), "Visits").horizon == 100
    endless = co.count(visit, co.days(1, None), name="Visits", role="secondary")
    assert event_rows(study(source, endless, window=co.days(1, None)), "Visits").horizon == 100  # the last day seen


def test_without_a_day_of_follow_up_nobody_is_at_risk(source_of: Make) -> None:
    source = source_of(records([One(0, dies=True), One(50)], COMPARATOR), capture="enrolment")
    found = event_rows(study(source), "Visits")
    assert found.arm(True).tolist() == [False, True, False, False, False]
    today = co.count(visit, co.days(0, 0), name="Today", role="secondary")
    with pytest.raises(DataError, match="Nobody is followed past the index date for 'Today'"):
        event_rows(study(source, today, window=co.days(0, 100), allow=FROM_DAY_0), "Today")


def test_a_person_who_enters_twice_is_one_cluster(source_of: Make) -> None:
    tables = tiny(
        drug_exposure=[*took(1, on(0), on(200)), *took(2, on(0)), *took(9, on(0), concept=OTHER_DRUG)],
        visit_occurrence=came(1, on(210)),
    )
    again = (co.allow("entry-kinds-differ", "every use of either drug"),)
    found = event_rows(study(source_of(tables, capture="enrolment"), enter=co.every, allow=again), "Visits")
    assert not found.plain
    assert found.cluster.tolist() == [1, 1, 2, 9] and found.exit.tolist() == [100, 10, 100, 100]


def test_those_without_a_match_are_in_no_arm(source_of: Make) -> None:
    source = source_of(records([One(100, events=(9,))] * 30, [One(100)] * 20), capture="enrolment")
    found = event_rows(study(source, adjust=co.match(caliper=None)), "Visits")
    assert found.arm(True).sum() == found.arm(False).sum() == 20 and not found.plain
    assert found.cluster_name == "matched set" and np.ptp(found.weights[found.weights > 0]) == 0


def test_a_name_that_counts_no_events_is_refused_with_the_nearest(source: Any) -> None:
    costs = study(source, VISITS, DIES, co.days_at_home(co.days(1, 100), name="Days at home", role="secondary"))
    with pytest.raises(DefinitionError, match="Did you mean 'Visits'") as raised:
        event_rows(costs, "Visit")
    assert "Known: Death, Visits." in str(raised.value)
    with pytest.raises(DefinitionError, match="no outcome that counts events 'Days at home'"):
        event_rows(costs, "Days at home")


def test_an_outcome_that_the_records_cannot_give_is_refused_with_the_reason(source_of: Make) -> None:
    source = source_of(records([One(100)] * 3, [One(50, dies=True)] * 2), capture="enrolment")
    with pytest.raises(DataError, match=r"'Visits' is not possible in these records\. .*visit"):
        event_rows(study(source), "Visits")
