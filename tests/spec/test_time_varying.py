"""Recent care at chosen days and amounts by segment, on every engine."""

from __future__ import annotations

import numpy as np
import pytest

import clinops as co
from clinops.build import rows
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny
from tests.spec.support import analysis, bled, bleed, came, someone_else, took, visit

DAYS = ("2020-01-01", "2020-01-31", "2020-02-01", "2020-02-10", "2020-04-01")
"""Days -31, -1, 0, 9 and 60 from 1 February 2020."""


@pytest.fixture
def care(any_source):
    """One is seen on `DAYS` and pays 10, 20, 40, 80 and 160; another, who dies on day 30, on days 1 and 40."""
    visits = [*came(1, *DAYS), *came(2, "2020-02-02", "2020-03-12")]
    tables = tiny(
        drug_exposure=[*took(1, "2020-02-01"), *took(2, "2020-02-01"), someone_else("2020-02-01")],
        visit_occurrence=visits,
        cost=[{"event": i + 1, "allowed": 10 * 2**i} for i in range(len(visits))],
        condition_occurrence=bled(1, "2020-02-11", "2020-02-12", "2020-04-02"),
        death=[{"person": 2, "start": "2020-03-02"}],
    )  # fmt: skip
    outcomes = (co.count(visit), co.cost("total"), co.count(bleed, co.days(11, 100), name="Late bleeds"))
    baseline, _ = analysis(any_source(tables), window=co.days(1, 90), outcomes=outcomes)
    protocol = co.protocol(
        title="t", question="q", exposed=baseline.exposed.definition, comparator=baseline.comparator.definition,
        follow_up=co.days(1, 90), outcomes=outcomes,
    )  # fmt: skip
    return protocol, baseline


def test_recent_care_is_of_the_days_before_and_ends_with_follow_up(care):
    protocol, baseline = care
    found = rows.recent(protocol, baseline, (0, 10, 61, 41), 31)
    assert baseline.frame["person_id"].tolist() == [1, 2, 999]
    # Day 0 sees days -31 to -1; day 10 sees -21 to 9; day 61 sees 30 to 60; day 41 sees 10 to 40.
    assert found.visits.tolist() == [[2, 3, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert found.cost.tolist() == [[30, 140, 160, 0], [0, 320, 0, 0], [0, 0, 0, 0]]


def test_amounts_by_segment_add_up_to_the_outcome(care):
    protocol, baseline = care
    visits, cost, late = protocol.outcomes
    cuts = (0, 9, 10, 60, 90)
    assert rows.by_segment(protocol, baseline, visits, cuts).tolist() == [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert rows.by_segment(protocol, baseline, cost, cuts).tolist() == [[80, 0, 160, 0], [320, 0, 0, 0], [0, 0, 0, 0]]
    # Days 10 and 11, the first outside the outcome's own window; and day 61.
    assert rows.by_segment(protocol, baseline, late, cuts).tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
    outcomes = rows.outcomes(protocol, baseline).frame
    for measure in protocol.outcomes:
        whole = rows.by_segment(protocol, baseline, measure, (0, 30, 90)).sum(axis=1)
        assert whole.tolist() == outcomes[measure.id].tolist()


def test_records_without_visits_or_costs_have_none(any_source):
    baseline, _ = analysis(
        any_source(tiny(drug_exposure=[*took(1, "2020-02-01"), someone_else("2020-02-01")])), window=co.days(1, 90)
    )
    protocol = co.protocol(
        title="t", question="q", exposed=baseline.exposed.definition, comparator=baseline.comparator.definition,
        follow_up=co.days(1, 90),
    )  # fmt: skip
    found = rows.recent(protocol, baseline, (0,), 30)
    assert found.visits is None and found.cost is None
    with pytest.raises(DataError, match="hold no costs"):
        rows.by_segment(protocol, baseline, co.cost("total", co.days(1, 90)), (0, 90))


def test_what_cannot_be_is_refused(care):
    protocol, baseline = care
    for at, back in (((-1,), 30), ((0,), 0)):
        with pytest.raises(DefinitionError, match="0 or later"):
            rows.recent(protocol, baseline, at, back)
    with pytest.raises(DataError, match="no count and no cost"):
        rows.by_segment(protocol, baseline, co.time_to(bleed, co.days(1, 90)), (0, 90))
    outside = co.count(visit, co.days(1, 5), name="Early")
    assert np.array_equal(rows.by_segment(protocol, baseline, outside, (5, 90)), np.zeros((3, 1)))
