"""Offer, activation and engagement stay three dates, and the funnel counts them in turn."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.build import rows
from clinops.build.cohorts import build
from clinops.errors import DataError
from tests.conftest import tiny
from tests.spec.support import came, visit

offer, activation, engagement = (
    co.events("observation", co.codes(name, concept, descendants=False))
    for name, concept in (("offer", 900001), ("activation", 900002), ("engagement", 900003))
)


def noted(person, concept, date):
    return {"person": person, "concept": concept, "start": date}


@pytest.fixture
def programme(any_source):
    """Four are seen on 2020-01-01; 1 goes all the way, 2 activates, 3 is offered, 4 is not offered that day."""
    tables = tiny(
        visit_occurrence=[r for p in (1, 2, 3, 4) for r in came(p, "2020-01-01")],
        observation=[
            *(noted(p, 900001, "2020-01-01") for p in (1, 2, 3)), noted(4, 900001, "2020-03-01"),
            noted(1, 900002, "2020-01-05"), noted(2, 900002, "2020-01-09"), noted(1, 900002, "2020-02-01"),
            noted(1, 900003, "2020-01-20"), noted(2, 900003, "2022-01-20"),
        ],
    )  # fmt: skip
    protocol = co.protocol(
        title="t", question="q", follow_up=co.days(1, 365),
        exposed=co.cohort("offered", entry=co.first_eligible(visit), steps=(co.has(offer, co.days(0, 0)),)),
        comparator=co.cohort("not offered", entry=co.first_eligible(visit), steps=(co.lacks(offer, co.days(None, 0)),)),
        programme=co.programme(offer, activation, engagement),
    )  # fmt: skip
    source = any_source(tables)
    return protocol, rows.baseline(protocol, build(protocol.exposed, source), build(protocol.comparator, source))


def test_dates_count_from_day_0_to_the_end_of_follow_up(programme):
    dates = rows.programme_dates(*programme)
    assert dates.fillna(-9).astype(int).values.tolist() == [
        [0, 0, 4, 19],
        [1, 0, 8, -9],  # engages only after follow-up
        [2, 0, -9, -9],
        [3, 60, -9, -9],  # 31 days of January and 29 of February
    ]


def test_the_funnel_narrows(programme):
    funnel = rows.funnel(*programme)
    exposed = funnel[funnel["arm"] == 1].set_index("stage")["n"].to_dict()
    assert exposed == {"eligible": 3, "offered": 3, "activated": 2, "engaged": 1}
    other = funnel[funnel["arm"] == 0].set_index("stage")["n"].to_dict()
    assert other == {"eligible": 1, "offered": 1, "activated": 0, "engaged": 0}


def test_a_protocol_without_a_programme_has_no_such_dates(programme):
    protocol, baseline = programme
    with pytest.raises(DataError, match="describes no programme"):
        rows.programme_dates(protocol.with_(programme=None), baseline)
