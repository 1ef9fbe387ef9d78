"""The notebook cell that others rely on, as it is typed in the design (with the records left out)."""

from __future__ import annotations

from pathlib import Path

import pytest

import clinops as co
from clinops.define.protocol import Protocol

LIST = "# name: type 2 diabetes\nconcept_id,descendants\n201826,yes\n"


@pytest.fixture
def protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Protocol:
    (tmp_path / "data" / "codelists").mkdir(parents=True)
    (tmp_path / "data" / "codelists" / "type_2_diabetes.csv").write_text(LIST, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    t2d = co.codes.read(
        "data/codelists/type_2_diabetes.csv"
    )  # or co.codes("type 2 diabetes", 201826, descendants=True)
    offer = co.events("observation", co.codes("programme offer", 900001))
    visit = co.events("visit", co.codes("primary care visit", 9202))
    eligible = (
        co.between("2020-01-01", "2022-12-31"),
        co.age(18, 85),
        co.observed(before=365),
        co.has(co.events("condition", t2d), co.days(-1095, -1)),
    )
    protocol = co.protocol(
        title="Diabetes programme",
        question="...",
        exposed=co.cohort(
            "Offered",
            entry=co.first_eligible(visit),
            steps=(*eligible, co.has(offer, co.days(0, 0)), co.lacks(offer, co.before())),
        ),
        comparator=co.cohort(
            "Not offered", entry=co.first_eligible(visit), steps=(*eligible, co.lacks(offer, co.days(None, 0)))
        ),
        follow_up=co.follow_up(co.days(1, 365), censor=("end of observation", "death")),
        covariates=(
            co.age_at_index(),
            co.sex(),
            co.index_date(),
            co.count(visit, co.before(365)),
            co.cost("total", co.before(365)),
        ),
        outcomes=(
            co.cost("total", role="primary"),
            co.count(co.events("visit", co.codes("emergency visit", 9203))),
            co.time_to(co.events("death")),
        ),
        negative_controls=(co.time_to(co.events("condition", co.codes("viral sinusitis", 40481087))),),
        adjust=co.weight("att"),
        estimand="att",
        perspective="payer",
    )
    return protocol  # fmt: skip


def test_the_cell_makes_a_protocol_that_lint_lets_run(protocol: Protocol) -> None:
    found = protocol.lint()
    assert found.errors == ()
    assert [f.rule for f in found.warnings] == ["no-smallest-worthwhile-effect"]


def test_the_code_list_of_the_file_is_the_one_typed(protocol: Protocol) -> None:
    typed = co.codes("type 2 diabetes", 201826, descendants=True)
    assert co.codes.read("data/codelists/type_2_diabetes.csv") == typed
    assert any(getattr(step, "events", None) == co.events("condition", typed) for step in protocol.exposed.steps)


def test_its_names_are_public_and_it_survives_json(protocol: Protocol) -> None:
    used = {
        "connect", "codes", "events", "between", "age", "observed", "has", "days", "protocol", "cohort",
        "first_eligible", "lacks", "before", "follow_up", "age_at_index", "sex", "index_date", "count", "cost",
        "time_to", "weight",
    }  # fmt: skip
    assert used <= set(co.__all__)
    assert Protocol.from_json(protocol.to_json()) == protocol
    assert callable(protocol.on)
