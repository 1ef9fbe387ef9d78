"""Definitions: what constructors refuse and how they say it; frozen, hashable, printable, the same through JSON."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.define import base
from clinops.define.adjustment import ESTIMANDS, Adjustment
from clinops.define.base import Definition
from clinops.define.care import care_rules, readmission_rules
from clinops.define.protocol import Protocol
from clinops.define.trial import trial_plan
from clinops.errors import DefinitionError
from tests.define.strategies import protocols
from tests.define.support import (
    arms,
    celecoxib,
    cough,
    death,
    diabetes,
    emergency,
    offer,
    offered,
    shared,
    sound,
    visit,
)

ROOT = Path(__file__).parents[2]
YEAR = co.days(1, 365)
Make = Callable[[], Any]

REFUSED: list[tuple[str, Make]] = [
    # windows
    ("Start of the window is '1'; give a whole number or None", lambda: co.days("1", 365)),
    ("End of the window is 365.0; give a whole number or None", lambda: co.days(1, 365.0)),
    ("Start of the window is True", lambda: co.days(True, 3)),
    ("from day 5 to day 1 is empty; write the earlier day first", lambda: co.days(5, 1)),
    ("number of days before is 0; it must be 1 or more", lambda: co.before(0)),
    ("number of days before is -365", lambda: co.before(-365)),
    ("number of days after is '30'; give a whole number", lambda: co.after("30")),
    # events
    ("no domain 'conditon'. Did you mean 'condition'", lambda: co.events("conditon")),
    ("no domain 'visits'. Did you mean 'visit'", lambda: co.events("visits")),
    ("Domain of the events is 5; give text", lambda: co.events(5)),
    ("Codes of the events is 201826; give a code list, made with co.codes", lambda: co.events("condition", 201826)),
    ("Events of domain 'death' take no codes", lambda: co.events("death", co.codes("x", 1))),
    # steps
    ("start of between is '2020-13-01'; write a date as YYYY-MM-DD", lambda: co.between("2020-13-01", "2021-01-01")),
    ("end of between is 2021; write a date", lambda: co.between("2020-01-01", 2021)),
    ("between 2021-01-01 and 2020-01-01 is empty", lambda: co.between("2021-01-01", "2020-01-01")),
    ("highest age is 10; it must lie between 18 and 130", lambda: co.age(18, 10)),
    ("Low of the age is '18'; give a whole number", lambda: co.age("18")),
    ("no rule of age 'exakt'. Did you mean 'exact'", lambda: co.age(18, rule="exakt")),
    ("no sex 'femal'. Did you mean 'female'", lambda: co.sex_is("femal")),
    ("days observed before is -1; it must be 0 or more", lambda: co.observed(before=-1)),
    ("Events of the has is 'visit'; give events, such as co.events", lambda: co.has("visit", YEAR)),
    ("Window of the lacks is 365; give a window, such as co.days", lambda: co.lacks(visit, 365)),
    ("at_least is 0; it must be 1 or more", lambda: co.has(visit, YEAR, at_least=0)),
    # cohorts
    ("A cohort needs a name", lambda: co.cohort(" ", entry=co.every(visit))),
    ("Entry of the cohort is 'visit'; give an entry, such as co.first_eligible", lambda: co.cohort("A", entry="visit")),
    ("Events of the entry is 9202; give events", lambda: co.first_ever(9202)),
    ("Item 2 of steps of the cohort is 18; give a step, such as co.has", lambda: co.cohort(
        "A", entry=co.every(visit), steps=(co.age(18), 18))),
    ("steps of the cohort is {", lambda: co.cohort("A", entry=co.every(visit), steps={co.age(18)})),
    ("no end of follow-up 'deaths'. Did you mean 'death'", lambda: co.cohort("A", co.every(visit), exit="deaths")),
    ("Events of the risk set is 'visit'; give events", lambda: co.risk_set("visit")),
    ("per_case is 0; it must be 1 or more", lambda: co.risk_set(offer, per_case=0)),
    ("no plan for later exposure 'keep'. Did you mean 'kept'", lambda: co.risk_set(offer, later="keep")),
    ("no calendar period 'week'", lambda: co.rolling(offer, every="week")),
    ("no calendar period 'months'. Did you mean 'month'", lambda: co.sequential(offer, every="months")),
    ("no calendar period 'day'", lambda: co.index_period("day")),
    ("the seed is -1", lambda: co.enrolment_times(visit, offer, seed=-1)),
    # measures
    ("Events of the measure is 'visit'; give events", lambda: co.count("visit", YEAR)),
    ("Window of the measure is 365; give a window", lambda: co.any_of(visit, 365)),
    ("no role 'primry'. Did you mean 'primary'", lambda: co.time_to(death, role="primry")),
    ("no better direction 'less'", lambda: co.time_to(death, better="less")),
    ("no cost category 'totl'. Did you mean 'total'", lambda: co.cost("totl")),
    ("no cost category 5", lambda: co.cost(5)),
    ("no amount 'charges'", lambda: co.cost("total", amount="charges")),
    ("is 0; give the size of a difference, above 0", lambda: co.cost(worthwhile=0)),
    ("Worthwhile of the measure is nan; give a finite number", lambda: co.cost(worthwhile=float("nan"))),
    ("is 2; it is a difference in risk between 0 and 1", lambda: co.time_to(death, worthwhile=2)),
    ("no weights of the charlson score 'quan2011'. Did you mean 'quan'", lambda: co.charlson(
        co.before(365), weights="quan2011")),
    ("A measure needs a name", lambda: co.count(visit, name="  ")),
    # follow-up, adjustment, subgroups, programme
    ("Follow-up needs a first day", lambda: co.follow_up(co.days(None, 365))),
    ("Window of the follow-up is 365; give a window", lambda: co.follow_up(365)),
    ("no end of follow-up 'dead'. Did you mean 'death'", lambda: co.follow_up(YEAR, censor=("dead",))),
    ("capture is blank", lambda: co.follow_up(YEAR, capture=" ")),
    ("no estimand 'atet'. Did you mean 'att'", lambda: co.weight("atet")),
    ("no penalty 'ridge'", lambda: co.weight(penalty="ridge")),
    ("strength of the penalty is 0; give a number above 0", lambda: co.weight(penalty="l2", strength=0)),
    ("truncate is 1.0; give a quantile between 0.5 and 1", lambda: co.weight(truncate=1)),
    ("caliper is -0.2; give a positive number", lambda: co.match(caliper=-0.2)),
    ("ratio of matching is 0; it must lie between 1 and 20", lambda: co.match(0)),
    ("Item 1 of exact of the adjustment is", lambda: co.match(exact=(co.sex(),))),
    ("no adjustment 'weight atte'. Did you mean 'weight att'", lambda: co.adjustment("weight atte")),
    (r"no way to make weights \(using\) 'entrophy'. Did you mean 'entropy'", lambda: co.weight(using="entrophy")),
    (r"no way of matching \(how\) 'mahalonobis'. Did you mean 'mahalanobis'", lambda: co.match(how="mahalonobis")),
    ("no order of matching 'larger'. Did you mean 'largest'", lambda: co.match(order="larger")),
    ("no scale of a caliper 'logits'. Did you mean 'logit'", lambda: co.match(caliper_on="logits")),
    ("no doubly robust estimator 'tmel'. Did you mean 'tmle'", lambda: co.doubly_robust(estimator="tmel")),
    ("Entropy balancing has no estimand 'overlap'; it has att, ate", lambda: co.weight("overlap", using="entropy")),
    ("The covariate balancing score has no estimand 'ate'", lambda: co.weight("ate", using="cbps")),
    ("Standardisation has no estimand 'overlap'; it has att, ate, atc", lambda: co.standardise("overlap")),
    ("A doubly robust estimator has no estimand 'atc'", lambda: co.doubly_robust("atc")),
    ("no estimand 'atet'", lambda: co.standardise("atet")),
    ("A penalty does not go with using='entropy'", lambda: co.weight(using="entropy", penalty="l2")),
    ("A penalty does not go with using='boosted'", lambda: co.match(using="boosted", strength=2)),
    ("truncate=0.99 does not go with using='cbps': these weights make the means equal", lambda: co.weight(
        using="cbps", truncate=0.99)),
    ("Only weights for the ATE from a score are stabilised", lambda: co.weight("att", stabilised=True)),
    ("Only weights for the ATE", lambda: co.weight("ate", using="entropy", stabilised=True)),
    ("ratio=2 does not go with exact matching: it is the number of comparators", lambda: co.match(
        2, how="exact", on="Sex")),
    ("ratio=2 does not go with full matching", lambda: co.match(2, how="full")),
    ("order='data' does not go with optimal matching", lambda: co.match(how="optimal", order="data")),
    ("Full matching has no estimand 'overlap'; it has att, ate, atc", lambda: co.match(how="full", estimand="overlap")),
    ("estimates the ATT; use weight", lambda: co.match(estimand="ate")),
    ("Exact matching needs the covariates that must be equal", lambda: co.match(how="exact")),
    ("does not go with exact matching: it names what must be equal besides", lambda: co.match(
        how="exact", on="Sex", exact="Race")),
    ("A caliper does not go with subclasses: there are no pairs", lambda: co.match(how="subclass", caliper=0.2)),
    ("does not go with nearest matching: it names the covariates of Mahalanobis", lambda: co.match(on=("Age",))),
    ("does not go with Mahalanobis matching: they are the cut points", lambda: co.match(
        how="mahalanobis", cuts={"Age": (40,)})),
    ("strata=7 does not go with nearest matching", lambda: co.match(strata=7)),
    ("strata is 1; it must lie between 2 and 100", lambda: co.match(how="subclass", strata=1)),
    ("replacement=True does not go with coarsened matching", lambda: co.match(how="coarsened", replacement=True)),
    ("With replacement nobody takes a comparator away", lambda: co.match(replacement=True, order="data")),
    ("order='random' does not go with subclasses", lambda: co.match(how="subclass", order="random")),
    ("using='entropy' makes weights, not a score", lambda: co.match(using="entropy")),
    ("using='cbps' makes weights, not a score", lambda: co.doubly_robust(using="cbps")),
    ("caliper is 'wide'; give a positive number", lambda: co.match(caliper="wide")),
    ("The cut points of 'Age' are .* rise", lambda: co.match(how="coarsened", cuts={"Age": (65, 40)})),
    ("cuts is .*; give cut points by covariate", lambda: co.match(how="coarsened", cuts=(40, 65))),
    ("Boosted trees know the rows they learned from too well", lambda: co.doubly_robust(using="boosted", folds=1)),
    ("number of folds is 0; it must lie between 1 and 50", lambda: co.doubly_robust(folds=0)),
    ("how='exact' is a way of matching; use co.match", lambda: Adjustment("weight", how="exact", on=("Sex",))),
    ("folds=5 does not go with weighting: it is the number of parts", lambda: Adjustment("weight", folds=5)),
    ("The cut points of 'Age' are given twice", lambda: Adjustment(
        "match", how="coarsened", caliper=None, cuts=2 * co.match(how="coarsened", cuts={"Age": 40}).cuts)),
    ("Subgroups by 'Age' need breaks", lambda: co.subgroup(co.age_at_index())),
    ("must rise", lambda: co.subgroup(co.age_at_index(), (65, 40))),
    ("Measure of the subgroup is 'sex'; give a measure", lambda: co.subgroup("sex")),
    ("Item 1 of windows of the sensitivity is 180; give a window", lambda: co.sensitivity(windows=180)),
    ("The fee is -1.0; give an amount of 0 or more", lambda: co.programme(offer, fee=-1)),
    ("no fee unit 'person-months'. Did you mean 'person-month'", lambda: co.programme(offer, fee_per="person-months")),
    ("Offer of the programme is None; give events", lambda: co.programme(None)),
    # protocols
    ("no part of a protocol 'covariate'. Did you mean 'covariates'", lambda: sound(covariate=())),
    ("has no title", lambda: sound(title=" ")),
    ("Exposed of the protocol is 'Offered'; give a cohort, made with co.cohort", lambda: sound(exposed="Offered")),
    ("Item 1 of covariates of the protocol is 'age'; give a measure", lambda: sound(covariates=("age",))),
    ("outcomes is Ellipsis; give one or several", lambda: sound(outcomes=...)),
    ("no estimand 'atx'", lambda: sound(estimand="atx")),
    ("Adjust of the protocol is 'att'; give co.weight", lambda: sound(adjust="att")),
    ("The estimand is 'att' but the adjustment targets 'ate'", lambda: sound(adjust=co.weight("ate"))),
    ("Both arms are named 'Offered'", lambda: sound(comparator=sound().exposed)),
    ("Two measures are called 'Sex'", lambda: sound(covariates=(co.sex(), co.sex()))),
    ("More than one outcome has the role 'primary'", lambda: sound(
        outcomes=(co.cost(role="primary"), co.time_to(death, role="primary")))),
    ("no role among the covariates .* 'primary'", lambda: sound(
        covariates=(co.count(visit, co.before(9), role="primary"),))),
    ("no role among the outcomes .* 'covariate'", lambda: sound(outcomes=(co.cost(role="covariate"),))),
    ("no role among the negative_controls .* 'safety'", lambda: sound(
        negative_controls=(co.time_to(cough, role="safety"),))),
    ("no covariate to match exactly on 'Sexe'. Did you mean 'Sex'", lambda: sound(adjust=co.match(exact=("Sexe",)))),
    ("no covariate to match on 'Agee'. Did you mean 'Age'", lambda: sound(
        adjust=co.match(how="mahalanobis", on=("Agee",)))),
    ("no covariate to match on 'Sexe'", lambda: sound(sensitivity=co.sensitivity(
        adjustments=co.match(how="exact", on="Sexe")))),
    ("'Sex' has levels and not numbers", lambda: sound(adjust=co.match(how="coarsened", cuts={"Sex": (1,)}))),
    ("is a time to an event, of which standardisation, ATT has no curve", lambda: sound(
        outcomes=(co.time_to(death, role="primary"),), adjust=co.standardise("att"))),
    ("no cluster 'clinic'. Did you mean 'clinician'", lambda: sound(cluster="clinic")),
    ("no perspective 'payor'. Did you mean 'payer'", lambda: sound(perspective="payor")),
    ("the seed is -1; it must be 0 or more", lambda: sound(seed=-1)),
    ("smallest cell count shown is 0", lambda: sound(min_cell=0)),
    ("Price year of the protocol is '2024'; give a whole number or None", lambda: sound(price_year="2024")),
    ("no part of a protocol 'outcome'. Did you mean 'outcomes'", lambda: sound().with_(outcome=())),
    ("Rule of the allowance is None; give text", lambda: co.allow(None, "a long enough reason")),
]  # fmt: skip


@pytest.mark.parametrize(("said", "make"), REFUSED, ids=[said for said, _ in REFUSED])
def test_a_wrong_value_is_refused_and_the_message_says_what_to_give(said: str, make: Make) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_a_comma_that_was_forgotten_does_no_harm() -> None:
    assert sound(covariates=co.sex()) == sound(covariates=(co.sex(),))
    assert co.cohort("A", entry=co.every(visit), steps=co.age(18), exit="death") == co.cohort(
        "A", entry=co.every(visit), steps=[co.age(18)], exit=["death"]
    )
    assert co.follow_up(YEAR, censor="death") == co.follow_up(YEAR, censor=("death",))
    assert co.match(exact="Sex") == co.match(exact=("Sex",))
    assert co.subgroup(co.age_at_index(), 65) == co.subgroup(co.age_at_index(), (65,))


def test_numbers_are_one_kind_each() -> None:
    """Equal definitions write the same JSON, whichever way a number was given."""
    for one, other in (
        (co.cost(worthwhile=300), co.cost(worthwhile=300.0)),
        (co.cost(worthwhile=np.float32(0.5)), co.cost(worthwhile=0.5)),
        (co.days(np.int64(1), np.int64(9)), co.days(1, 9)),
        (co.programme(offer, fee=-0.0), co.programme(offer, fee=0)),
    ):
        assert one == other and one.hash == other.hash and one.to_json() == other.to_json()


# --- frozen, hashable, printable ----------------------------------------------------------------


def every_definition(value: Any) -> list[Definition]:
    """The definition and all that it is made of."""
    if isinstance(value, tuple):
        return [found for item in value for found in every_definition(item)]
    if not isinstance(value, Definition):
        return []
    inside = [getattr(value, field.name) for field in dataclasses.fields(value)]
    return [value, *every_definition(tuple(inside))]


FULL = sound(
    programme=co.programme(offer, fee=350, fee_per="person-month"), subgroups=co.subgroup(co.sex()),
    sensitivity=co.sensitivity(co.days(1, 180), (co.match(2), co.match(how="coarsened", cuts={"Age": (40, 65)}))),
    price_year=2024,
    allow=co.allow("undeclared-entry", "Only to have an allowance here."), uptake=co.uptake_plan(),
    exposed=co.cohort(
        "Offered", entry=co.first_eligible(visit), steps=(*shared, co.sex_is("female"), co.first(), *offered)
    ),
)  # fmt: skip
COSTS = co.cost_plan(price_year=2022, cashable={"inpatient": 0.3}, margin=0.3, thresholds=(0, 25))
PRICES = co.prices(2022, index={2021: 1.0, 2022: 1.5}, components={"pharmacy": "cpi"})
TRIAL = trial_plan(("spending",), offer="offered")
LEDGER = co.ledger_rules(currency="USD", rates={"EUR": 1.1}, extract="2024-12-31", months="any day")
ROLLOUT = co.panel(
    title="t", question="q", starts={1: "2021-01-01"}, outcome=co.count(emergency), first="2020-01-01",
    last="2021-12-31",
)  # fmt: skip
SERIES = co.series(
    title="t", question="q", starts="2021-01-01", outcome=co.count(emergency), first="2020-01-01", last="2021-12-31",
)  # fmt: skip
WAITING = (
    co.risk_set(offer, per_case=4, seed=3), co.rolling(offer, "quarter", at=visit), co.sequential(offer, later="kept"),
    co.sequential(offer, every=co.every(visit)), co.random_visit(visit, offer), co.enrolment_times(visit, offer),
    *co.cohort("A", entry=co.random_visit(visit, offer)).ordered_steps,
)  # fmt: skip
CARE = care_rules(episodes=readmission_rules(not_index="hospital-wide", first="2022-01-01"), observation=emergency)


def test_every_type_is_frozen_hashable_equal_and_printable() -> None:
    seen = [
        *every_definition(FULL),
        *every_definition(PRICES),
        *every_definition(LEDGER),
        TRIAL,
        *every_definition(COSTS),
        *every_definition(CARE),
        *every_definition(WAITING),
        *every_definition(ROLLOUT),
        *every_definition(SERIES),
    ]
    assert {value.kind for value in seen} == set(base._KINDS)
    for value in seen:
        name = dataclasses.fields(value)[0].name if dataclasses.fields(value) else "kind"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)
        again = Definition.from_dict(value.to_dict())
        assert again == value and hash(again) == hash(value) and again.hash == value.hash
        assert {value: 1}[again] == 1
        assert repr(value).startswith(type(value).__name__ + "(") and repr(again) == repr(value)
        assert str(value) and "object at 0x" not in str(value) + repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (co.days(None, None), "any time"),
        (co.before(), "any time before index"),
        (co.before(365), "days -365 to -1"),
        (co.days(0, 0), "day 0"),
        (co.days(None, 0), "any time up to day 0"),
        (co.after(), "day 1 onwards"),
        (visit, "primary care visit"),
        (co.events("condition"), "any condition"),
        (death, "death"),
        (co.between("2020-01-01", "2022-12-31"), "Index date 2020-01-01 to 2022-12-31"),
        (co.age(18), "Age 18 or older"),
        (co.age(18, 85, rule="year"), "Age 18 to 85 (index year minus birth year)"),
        (co.observed(365), "Observed for 365 days before index"),
        (co.observed(0, 30), "Observed on index and 30 days after"),
        (co.has(visit, co.before(30), at_least=2), "Has primary care visit at least 2 times, days -30 to -1"),
        (co.lacks(offer, co.before()), "No programme offer, any time before index"),
        (co.count(visit, co.before(365)), "Number of primary care visit, days -365 to -1"),
        (co.cost(), "Total cost"),
        (co.count(visit, name="Visits"), "Visits"),
        (sound(), "Diabetes programme: Offered v Not offered, days 1 to 365"),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
def test_how_definitions_print(value: Definition, text: str) -> None:
    assert str(value) == text


def test_a_cohort_prints_its_steps_with_the_first_entry_where_it_counts() -> None:
    one = str(co.cohort("A", entry=co.first_ever(visit), steps=(co.age(18),))).splitlines()
    assert one == ["A: first ever primary care visit", "  1. First entry of each person", "  2. Age 18 or older"]
    two = str(co.cohort("A", entry=co.first_eligible(visit), steps=(co.age(18),))).splitlines()
    assert two[1:] == ["  1. Age 18 or older", "  2. First entry of each person"]


# --- JSON ---------------------------------------------------------------------------------------


def turned(value: Any) -> Any:
    """The same JSON with the keys of every object in the opposite order."""
    if isinstance(value, dict):
        return {name: turned(value[name]) for name in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None, max_examples=60)
@given(protocols())
def test_any_protocol_survives_json(protocol: Protocol) -> None:
    values = protocol.to_dict()
    for again in (
        Protocol.from_dict(values),
        Protocol.from_json(protocol.to_json()),
        Protocol.from_json(protocol.to_json(indent=None)),
        Protocol.from_dict(turned(values)),
    ):
        assert again == protocol and hash(again) == hash(protocol)
        assert again.hash == protocol.hash and again.to_json() == protocol.to_json()
    json.dumps(values, allow_nan=False)


@settings(deadline=None, max_examples=40)
@given(protocols(), st.data())
def test_any_change_changes_the_hash(protocol: Protocol, data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from([
        protocol.with_(title=protocol.title + "!"), protocol.with_(seed=protocol.seed + 1),
        protocol.with_(exposed=dataclasses.replace(protocol.exposed, name="Another arm")),
        protocol.with_(min_cell=protocol.min_cell + 1),
    ]))  # fmt: skip
    assert changed != protocol and changed.hash != protocol.hash


def test_lint_of_any_protocol_is_a_list_of_findings() -> None:
    @settings(deadline=None, max_examples=60)
    @given(protocols())
    def check(protocol: Protocol) -> None:
        found = protocol.lint()
        assert len(found) == len(found.errors) + len(found.warnings) + len(found.allowed)
        assert protocol.lint() == found
        str(found), found._repr_html_()

    check()


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "import sys, clinops as co; "
        "print([co.protocol.read(name).hash for name in sys.argv[1:]], hash('a') % 1000)"
    )  # fmt: skip
    files = sorted(str(file) for file in (ROOT / "data" / "protocols").glob("*.json"))
    told = [
        subprocess.run(
            [sys.executable, "-c", code, *files], check=True, capture_output=True, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.rpartition(" ")
        for seed in ("0", "1")
    ]  # fmt: skip
    assert told[0][0] == told[1][0] == str([co.protocol.read(name).hash for name in files])
    assert told[0][2] != told[1][2], "the two processes hash text differently"


def test_a_file_out_and_in(tmp_path: Path) -> None:
    file = FULL.write(tmp_path / "protocol.json")
    assert co.protocol.read(file) == FULL
    assert Definition.from_json(co.days(1, 2).to_json()) == co.days(1, 2)
    with pytest.raises(DefinitionError, match=r"no protocol file 'protocl.json'. Did you mean 'protocol.json'"):
        co.protocol.read(tmp_path / "protocl.json")


def test_what_is_at_its_default_is_left_out() -> None:
    assert co.codes("x", 1).to_dict() == {"type": "codes", "name": "x", "concept_ids": [1]}
    assert co.before().to_dict() == {"type": "window", "end": -1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "This is not JSON"),
        ("[]", "This is a 'tuple', not a 'protocol'"),
        ("{}", "names its type"),
        ('{"type": "window"}', "This is a 'window', not a 'protocol'"),
        ('{"type": "protocl"}', "no definition of type 'protocl'. Did you mean 'protocol'"),
        ('{"type": ["protocol"]}', "no definition of type"),
        ('{"type": "protocol", "titel": "x"}', "no field of a protocol 'titel'. Did you mean 'title'"),
        ('{"type": "protocol", "title": "x"}', "A protocol needs question, exposed, comparator, follow_up"),
    ],
)
def test_json_that_is_no_protocol_is_refused(text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Protocol.from_json(text)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"type": "window", "start": "1"}, "Start of the window is '1'; give a whole number"),
        ({"type": "events", "domain": "drug", "codes": "x"}, "Codes of the events is 'x'; give a code list"),
        ({"type": "between", "start": "2020-02-30", "end": "2021-01-01"}, "start is '2020-02-30'; write a date"),
        ({"type": "between", "start": 2020, "end": "2021-01-01"}, "Start of the between is 2020; give a date"),
        ({"type": "entry", "events": {"type": "window"}}, "give events"),
        ({"type": "cohort", "name": "A", "entry": {"type": "age"}}, "give an entry"),
        ({"type": "codes", "name": "x", "concept_ids": 5}, "Concept ids of the codes is 5; give a tuple, each a whole"),
    ],
)
def test_json_with_a_wrong_value_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        Definition.from_dict(values)


# --- windows and variations ---------------------------------------------------------------------


def test_windows_include_both_ends_and_the_past_ends_on_day_minus_one() -> None:
    assert (co.before(365).start, co.before(365).end, co.before(365).length) == (-365, -1, 365)
    assert (co.before().start, co.before().end, co.before().length) == (None, -1, None)
    assert (co.after(30).start, co.after(30).end, co.after(30).length) == (1, 30, 30)
    assert (co.after().start, co.after().end) == (1, None)
    assert co.days(0, 0).length == 1 and co.days(-3, 3).length == 7
    assert co.before(1) == co.days(-1, -1)


def test_a_measure_takes_the_role_and_window_of_its_place_unless_it_has_its_own() -> None:
    own = co.count(emergency, co.days(1, 30), role="safety", name="Early emergencies")
    plan = sound(follow_up=co.days(1, 90), outcomes=(co.cost(role="primary"), co.count(emergency), own))
    assert [(m.role, str(m.window)) for m in plan.outcomes] == [
        ("primary", "days 1 to 90"), ("secondary", "days 1 to 90"), ("safety", "days 1 to 30"),
    ]  # fmt: skip
    assert {m.role for m in plan.covariates} == {"covariate"}
    assert {(m.role, m.window) for m in plan.negative_controls} == {("negative control", co.days(1, 90))}
    assert sound().with_(outcomes=(co.time_to(death),)).outcomes[0].window == YEAR


def test_another_follow_up_moves_what_runs_over_it_and_nothing_else() -> None:
    own = co.count(emergency, co.days(1, 30), name="Early emergencies")
    plan = sound(outcomes=(co.cost(role="primary"), own)).over(co.days(1, 90))
    assert [m.window for m in plan.outcomes] == [co.days(1, 90), co.days(1, 30)]
    assert plan.follow_up.window == co.days(1, 90)
    assert {m.window for m in plan.negative_controls} == {co.days(1, 90)}
    assert plan.covariates == sound().covariates
    assert plan.follow_up.censor == sound().follow_up.censor


def test_vary_without_a_change_is_the_same_protocol() -> None:
    assert sound().vary() == sound()
    assert sound().vary(follow_up_days=365) == sound()


def test_vary_adds_its_rules_to_both_arms_alike() -> None:
    plan = sound().vary(
        follow_up_days=90, age_from=40, age_rule="year", index_from="2021-01-01", min_cell=5, seed=7,
        adjust=co.weight("overlap"),
    )  # fmt: skip
    added = (co.between("2021-01-01", "9999-12-31"), co.age(40, rule="year"))
    for now, was in ((plan.exposed, sound().exposed), (plan.comparator, sound().comparator)):
        assert now.steps == (*was.steps, *added)
    assert (plan.min_cell, plan.seed, plan.estimand) == (5, 7, "overlap")
    assert plan.follow_up.window == co.days(1, 90) and plan.primary is not None
    assert plan.primary.window == co.days(1, 90)
    assert not plan.lint().errors
    assert sound().vary(adjust=co.crude()).estimand == "att"
    assert sound().vary(age_to=60).exposed.steps[-1] == co.age(0, 60)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"follow_up_days": 0}, "from day 1 to day 0 is empty"),
        ({"age_from": 60, "age_to": 40}, "highest age is 40"),
        ({"index_from": "2021-02-30"}, "write a date"),
        ({"index_from": "2022-01-01", "index_to": "2021-01-01"}, "is empty"),
        ({"min_cell": 0}, "smallest cell count"),
        ({"age_from": 40, "age_rule": "yearly"}, "Did you mean 'year'"),
    ],
)
def test_vary_refuses_what_the_parts_refuse(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        sound().vary(**changes)


def test_adjustments_by_name() -> None:
    assert co.adjustment("as in the protocol") is None
    assert co.adjustment("weight att") == co.weight() == co.weight("att")
    assert co.adjustment("weight ate") == co.weight("ate")
    assert co.adjustment("weight overlap") == co.weight("overlap")
    assert co.adjustment("match", caliper=0.1) == co.match(caliper=0.1)
    assert co.adjustment("crude") == co.crude()
    assert co.adjustment("entropy balancing") == co.weight(using="entropy")
    assert co.adjustment("match mahalanobis", caliper=0.3) == co.match(how="mahalanobis", caliper=0.3)
    assert co.adjustment("tmle ate") == co.doubly_robust("ate", estimator="tmle")


def test_old_files_read_and_old_protocols_keep_their_hash() -> None:
    """A protocol of before these options is written and hashed as it was."""
    text = '{"type": "adjustment", "method": "match", "ratio": 2, "caliper": null, "exact": ["Sex"]}'
    old = Adjustment.from_json(text)
    assert old == co.match(2, caliper=None, exact="Sex")
    assert json.loads(old.to_json()) == json.loads(text)
    assert co.weight("ate", truncate=0.99).to_dict() == {"type": "adjustment", "estimand": "ate", "truncate": 0.99}
    assert co.weight().to_dict() == {"type": "adjustment"}
    again = co.match(how="coarsened", on="Sex", cuts={"Age": (40, 65)})
    assert Adjustment.from_json(again.to_json()) == again


def test_another_adjustment_has_another_label() -> None:
    some = [
        co.weight(e, **more) for e in ESTIMANDS for more in ({}, {"truncate": 0.99}, {"penalty": "l2"})
    ] + [
        co.weight(using="entropy"), co.weight(using="cbps"), co.weight(using="boosted"),
        co.weight("ate", stabilised=True), co.weight(truncate=0.995), co.weight(penalty="l2", strength=3),
        co.match(), co.match(2), co.match(caliper=None), co.match(how="optimal"), co.match(how="full"),
        co.match(how="full", estimand="ate"), co.match(how="full", caliper=0.2),
        co.match(caliper_on="score"), co.match(order="data"), co.match(replacement=True), co.match(exact="Sex"),
        co.match(penalty="l1"), co.match(using="boosted"), co.match(how="mahalanobis"),
        co.match(how="mahalanobis", on="Age"), co.match(how="mahalanobis", caliper=0.2),
        co.match(how="mahalanobis", order="largest"), co.match(how="exact", on="Sex"), co.match(how="coarsened"),
        co.match(how="coarsened", cuts={"Age": 40}), co.match(how="coarsened", cuts={"Age": 50}),
        co.match(how="subclass"), co.match(how="subclass", strata=10), co.standardise(), co.standardise("ate"),
        co.doubly_robust(), co.doubly_robust(estimator="tmle"), co.doubly_robust(folds=5),
        co.doubly_robust(using="boosted"), co.crude(),
    ]  # fmt: skip
    assert len({a.label for a in some}) == len({a.hash for a in some}) == len(some)


@pytest.mark.parametrize(
    ("adjustment", "label"),
    [
        (co.weight(), "ATT weighting"),
        (co.weight("ate", penalty="l1", truncate=0.99), "ATE weighting, L1 score, truncated at 99%"),
        (co.match(3, caliper=None), "1:3 nearest matching, no caliper"),
        (co.match(), "1:1 nearest matching, caliper 0.05 SD"),
        (co.crude(), "crude"),
    ],
)
def test_adjustments_say_what_they_are(adjustment: Any, label: str) -> None:
    assert adjustment.label == label


def test_dates_are_given_as_text_or_as_dates() -> None:
    assert co.between(dt.date(2020, 1, 1), dt.datetime(2020, 12, 31, 12)) == co.between("2020-01-01", "2020-12-31")


def test_an_entry_with_bare_events_declares_nothing_unless_first_is_among_the_steps() -> None:
    assert co.cohort("A", entry=visit).entry.which == "undeclared"
    assert co.cohort("A", entry=visit, steps=(co.age(18), co.first())).entry.which == "every"
    assert arms(shared, shared).exposed.entry.which == "first eligible"
    assert co.first_ever(celecoxib).label == "First ever celecoxib"
    assert co.has(diabetes, co.days(-9, -1)).reaches == -1
