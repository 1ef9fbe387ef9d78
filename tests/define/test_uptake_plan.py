"""Uptake plans: what is asked for by default, what is refused, and old protocols that know nothing of them."""

from __future__ import annotations

import json

import pytest

import clinops as co
from clinops.errors import DefinitionError
from tests.define.support import sound


def test_the_assignment_decides_what_is_asked_for():
    plan = co.uptake_plan()
    for assignment in ("random", "as if random"):
        assert plan.asked(assignment)[:2] == ("intention to treat", "complier")
    assert plan.asked("observational") == ("treated", "landmark", "per-protocol", "clone-censor")
    assert co.uptake_plan("landmark").asked("random") == ("landmark",)


def test_a_protocol_without_a_plan_reads_and_hashes_as_before():
    values = sound().to_dict()
    assert "uptake" not in values and "assignment_reason" not in values
    planned = sound(uptake=co.uptake_plan(grace=14))
    assert planned.to_dict()["uptake"] == {"type": "uptake plan", "grace": 14}
    assert type(planned).from_json(json.dumps(planned.to_dict())) == planned


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"effects": "complyer"}, "Did you mean 'complier'"),
        ({"time_varying": "visit"}, "Did you mean 'visits'"),
        ({"population": "offerd"}, "Did you mean 'offered'"),
        ({"grace": 0}, "between 1 and 3650"),
        ({"landmark": -1}, "between 1 and 3650"),
        ({"last": 31}, "between 1 and 30"),
        ({"truncate": 1.0}, "quantile between 0.5 and 1"),
    ],
)
def test_what_cannot_be_is_refused(given: dict, words: str):
    with pytest.raises(DefinitionError, match=words):
        co.uptake_plan(**given)


def test_an_unknown_assignment_is_refused_with_the_nearest():
    with pytest.raises(DefinitionError, match="Did you mean 'as if random'"):
        sound(assignment="as-if random")
