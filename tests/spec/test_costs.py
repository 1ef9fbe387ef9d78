"""Money: by category, within observation, exact to the cent."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.build import rows
from clinops.errors import DataError
from tests.conftest import tiny
from tests.spec.support import analysis, by_person, someone_else, took

INDEX = "2020-01-01"
CATEGORIES = ("inpatient", "emergency", "outpatient", "professional", "pharmacy", "post-acute")


def priced(**more):
    """Six events of person 1 on days 1 to 6, each with a cost in a category of its own, and one on day -1."""
    visits = [
        {"person": 1, "id": number, "concept": concept, "start": f"2020-01-0{number + 1}"}
        for number, concept in enumerate((9201, 9203, 9202, 581477, 8863), 1)
    ]
    past = {"person": 1, "id": 9, "concept": 9202, "start": "2019-12-31"}
    fill = {"person": 1, "id": 1, "concept": 7, "start": "2020-01-07"}
    costs = [{"event": number, "allowed": f"{number}.01"} for number in range(1, 6)]
    costs += [{"event": 1, "domain": "Drug", "allowed": "6.01"}, {"event": 9, "allowed": "100.10"}]
    return tiny(
        drug_exposure=[*took(1, INDEX), {**fill, "id": 100}, {**someone_else(), "id": 101}],
        visit_occurrence=[*visits, past], **{"cost": [*costs[:5], {**costs[5], "event": 100}, costs[6]], **more},
    )  # fmt: skip


def test_categories_are_disjoint_and_add_up_to_the_total(any_source):
    wanted = tuple(co.cost(category, name=category) for category in ("total", *CATEGORIES))
    baseline, outcomes = analysis(any_source(priced()), outcomes=wanted)
    found = {name: by_person(baseline, outcomes.frame, co_id)[1] for name, co_id in
             ((m.name, m.id) for m in wanted)}  # fmt: skip
    assert found == {
        "total": 21.06, "inpatient": 1.01, "emergency": 2.01, "outpatient": 3.01, "professional": 4.01,
        "post-acute": 5.01, "pharmacy": 6.01,
    }  # fmt: skip
    assert by_person(baseline, outcomes.frame, "total__days") == {1: 10}
    assert outcomes.frame["total"].tolist() == [21.06, 0.0]


def test_a_cost_is_dated_by_its_event_and_stops_with_follow_up(any_source):
    baseline, outcomes = analysis(
        any_source(priced()), window=co.days(1, 3), covariates=(co.cost("total", co.before(365), name="past cost"),),
        outcomes=(co.cost("total", name="cost"),),
    )  # fmt: skip
    assert by_person(baseline, baseline.frame, "past_cost") == {1: 100.10}
    assert by_person(baseline, outcomes.frame, "cost") == {1: 6.03}


def test_reversals_are_netted(any_source):
    tables = priced(cost=[{"event": 1, "allowed": "50.00"}, {"event": 2, "allowed": "-20.00"}])
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.cost("total", name="cost"),))
    assert by_person(baseline, outcomes.frame, "cost") == {1: 30.0}


def test_many_cents_add_up_exactly(any_source):
    # 0.1 + 0.2 and friends: a sum of floats would differ in its last digits.
    tables = priced(cost=[{"event": 1, "allowed": "0.10", "id": n} for n in range(1, 1002)])
    baseline, outcomes = analysis(any_source(tables), outcomes=(co.cost("total", name="cost"),))
    assert by_person(baseline, outcomes.frame, "cost") == {1: 100.1}


def test_a_category_that_never_occurs_is_not_zero_but_not_possible(any_source):
    tables = priced(cost=[{"event": 1, "allowed": "50.00"}])
    _, outcomes = analysis(any_source(tables), outcomes=(co.cost("pharmacy"), co.cost("total", name="cost")))
    assert [measure.category for measure, _ in outcomes.not_possible] == ["pharmacy"]
    assert "cost" in outcomes.frame


def test_charges_are_no_costs(any_source):
    tables = priced(cost=[{"event": 1, "charge": "50.00"}])
    _, outcomes = analysis(any_source(tables), outcomes=(co.cost("total"),))
    assert "charges" in outcomes.not_possible[0][1]


def test_two_currencies_are_refused(any_source):
    tables = priced(cost=[{"event": 1, "allowed": "50.00"}, {"event": 2, "allowed": "50.00", "currency": 44818568}])
    with pytest.raises(DataError, match="currenc"):
        analysis(any_source(tables), outcomes=(co.cost("total"),))


def test_without_a_cost_table_cost_is_not_possible(any_source):
    tables = tiny(drug_exposure=[*took(1, INDEX), someone_else()])
    baseline, outcomes = analysis(
        any_source(tables), covariates=(co.cost("total", co.before(365)),), outcomes=(co.cost("total"),)
    )  # fmt: skip
    assert outcomes.not_possible[0][1] == baseline.missing_covariates[0][1] == "The records hold no costs (table cost)."


def months(source, **more):
    baseline, _ = analysis(source, window=co.days(1, 365), outcomes=(co.cost("total"),))
    protocol = co.protocol(
        title="t", question="q", exposed=baseline.exposed.definition, comparator=baseline.comparator.definition,
        follow_up=co.days(1, 365),
    )  # fmt: skip
    found = rows.person_months(protocol, baseline, **more)
    return {int(month): cost for row, month, cost in found.itertuples(index=False) if row == 0}


def visits_on(person, index, *dates):
    tables = tiny(
        drug_exposure=[*took(person, index), someone_else()],
        visit_occurrence=[{"person": person, "id": n, "start": date} for n, date in enumerate(dates, 1)],
        cost=[{"event": n, "allowed": f"{2**n}"} for n in range(1, len(dates) + 1)],
    )
    return tables


def test_months_run_from_anniversary_to_anniversary(any_source):
    # Index on 31 January: month 1 ends on 28 February, month 2 on 31 March, month 3 on 30 April.
    dates = ("2021-02-28", "2021-03-01", "2021-03-31", "2021-04-01", "2021-04-30", "2021-05-01", "2021-01-31")
    assert months(any_source(visits_on(1, "2021-01-31", *dates))) == {1: 2, 2: 4 + 8, 3: 16 + 32, 4: 64}


def test_months_before_the_index_date_end_on_the_day_before_it(any_source):
    # Index on 31 March: month -1 is 28 February to 30 March, month -2 is 31 January to 27 February.
    dates = ("2021-03-30", "2021-02-28", "2021-02-27", "2021-01-31", "2021-01-30", "2021-03-31")
    assert months(any_source(visits_on(1, "2021-03-31", *dates))) == {-1: 2 + 4, -2: 8 + 16, -3: 32}
    assert months(any_source(visits_on(1, "2021-03-31", *dates)), before=2) == {-1: 2 + 4, -2: 8 + 16}


def test_months_hold_only_what_was_observed(any_source):
    tables = visits_on(1, "2021-01-15", "2021-01-10", "2020-12-20", "2021-01-20", "2021-02-20")
    tables |= tiny(
        person=[{"person_id": 1}, {"person_id": 999}],
        observation_period=[{"person": 1, "start": "2021-01-01", "end": "2021-02-01"}, {"person": 999}],
    )
    assert months(any_source(tables)) == {-1: 2, 1: 8}
