"""The terms of a cost analysis: what they refuse, how they say it, and the same through JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import clinops as co
from clinops.define.base import Definition
from clinops.define.cost_plan import CategoryShare, CostPlan
from clinops.errors import DefinitionError

REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("the horizon in months is 0; it must lie between 1 and 120", {"horizon_months": 0}),
    ("the horizon in months is 121", {"horizon_months": 121}),
    ("Horizon months of the cost plan is 12.0; give a whole number", {"horizon_months": 12.0}),
    ("the number of bootstrap replicates is 99; it must lie between 100 and 100000", {"replicates": 99}),
    ("the seed is -1; it must be 0 or more", {"seed": -1}),
    ("no perspective 'payor'. Did you mean 'payer'", {"perspective": "payor"}),
    ("no fee unit 'person-months'. Did you mean 'person-month'", {"fee_per": "person-months"}),
    ("The fee is -1; give an amount of 0 or more", {"fee": -1}),
    ("Fee of the cost plan is 'dear'", {"fee": "dear"}),
    ("Fee of the cost plan is inf", {"fee": float("inf")}),
    ("The discount rate is 3 a year; give 0 to 1, such as 0.03", {"discount_rate": 3}),
    ("The discount rate is -0.03 a year", {"discount_rate": -0.03}),
    ("margin is 1.2; give a share, from 0 to 1", {"margin": 1.2}),
    ("inside is -1; give a share", {"inside": -1}),
    ("refilled is 2; give a share", {"refilled": 2}),
    ("A provider's margin needs margin=", {"perspective": "provider margin"}),
    ("The category 'Inpatient' must be lower case", {"touchable": ("Inpatient",)}),
    ("'total' is what the categories add up to", {"touchable": ("total",)}),
    ("'total' is what the categories add up to", {"cashable": {"total": 0.3}}),
    ("The share of inpatient is 40; give a number from 0 to 1", {"cashable": {"inpatient": 40}}),
    ("The share of inpatient is -0.1", {"cashable": ("inpatient=-0.1",)}),
    ("cashable is 'inpatient'; write a category and its share, such as 'inpatient=0.3'", {"cashable": "inpatient"}),
    ("cashable is 'inpatient=much'", {"cashable": ("inpatient=much",)}),
    ("cashable is 'inpatient=nan'", {"cashable": ("inpatient=nan",)}),
    ("cashable names inpatient more than once", {"cashable": ("inpatient=0.1", "inpatient=0.2")}),
    ("The thresholds are (-1.0,); give amounts of 0 or more in rising order", {"thresholds": (-1,)}),
    ("The thresholds are (10.0, 5.0)", {"thresholds": (10, 5)}),
    ("The thresholds are (5.0, 5.0)", {"thresholds": (5, 5)}),
    ("persons_a_year needs one number of persons", {"persons_a_year": ()}),
    ("persons_a_year needs one number of persons, 0 or more", {"persons_a_year": (10, -1)}),
    ("Item 1 of persons a year of the cost plan is 10.5", {"persons_a_year": (10.5,)}),
    ("touchable is {", {"touchable": {"inpatient"}}),
    ("no purpose of a price index 'pool'. Did you mean 'pooling'", {"price_year": 2022, "price_purpose": "pool"}),
    ("has no 2050", {"price_year": 2050}),
    ("no price index 'gdpp'. Did you mean 'gdp'", {"price_year": 2022, "price_index": "gdpp"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "given"), REFUSED, ids=[said for said, _ in REFUSED])
def test_what_is_refused_and_how(said: str, given: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError) as error:
        co.cost_plan(**given)
    assert said.lower() in str(error.value).lower()


FULL = co.cost_plan(
    horizon_months=24, price_year=2021, price_index={2020: 1.0, 2021: 1.1}, discount_rate=0.05,
    perspective="at-risk system", fee=20, fee_per="person-month", touchable="inpatient",
    cashable={"inpatient": 0.25, "pharmacy": 1}, margin=0.3, inside=0.5, refilled=0.1, effect="Days at home",
    thresholds=(0, 25), persons_a_year=(10, 20), replicates=500, seed=7,
)  # fmt: skip


def test_the_same_through_json(tmp_path: Path) -> None:
    for plan in (FULL, co.cost_plan()):
        again = CostPlan.from_json(plan.to_json())
        assert again == plan and again.hash == plan.hash and hash(again) == hash(plan)
        assert Definition.from_dict(plan.to_dict()) == plan
        assert CostPlan.from_json(plan.write(tmp_path / "plan.json").read_text()) == plan


def test_any_term_changes_the_hash() -> None:
    from dataclasses import replace

    changed = [
        replace(FULL, horizon_months=12), replace(FULL, prices=None), replace(FULL, discount_rate=0.0),
        replace(FULL, perspective="payer"), replace(FULL, fee=None), replace(FULL, fee_per="person"),
        replace(FULL, touchable=()), replace(FULL, cashable=()), replace(FULL, margin=0.4), replace(FULL, inside=1.0),
        replace(FULL, refilled=0.0), replace(FULL, effect=""), replace(FULL, thresholds=()),
        replace(FULL, persons_a_year=(1,)), replace(FULL, replicates=100), replace(FULL, seed=1),
    ]  # fmt: skip
    assert len({plan.hash for plan in (FULL, *changed)}) == len(changed) + 1


def test_a_lone_value_stands_for_itself_and_numbers_are_one_kind() -> None:
    plan = co.cost_plan(touchable="pharmacy", thresholds=25, persons_a_year=100, cashable="inpatient=0.5", fee=-0.0)
    assert plan.touchable == ("pharmacy",) and plan.thresholds == (25.0,) and plan.persons_a_year == (100,)
    assert plan.cashable == (CategoryShare("inpatient", 0.5),)
    assert co.cost_plan(fee=10) == co.cost_plan(fee=10.0) and str(plan.fee) == "0.0"


def test_a_share_may_be_written_as_text_or_as_a_number() -> None:
    assert co.cost_plan(cashable=("inpatient = 0.3", "pharmacy=1")) == co.cost_plan(
        cashable={"inpatient": 0.3, "pharmacy": 1}
    )


def test_cash_is_a_payer_s_unless_he_says_otherwise_and_nobody_else_s() -> None:
    payer = co.cost_plan(cashable={"inpatient": 0.4})
    assert (payer.cash_share("inpatient"), payer.cash_share("pharmacy")) == (0.4, 1.0)
    assert payer.cash_known and co.cost_plan().cash_known
    system = co.cost_plan(perspective="at-risk system", cashable={"inpatient": 0.4})
    assert (system.cash_share("inpatient"), system.cash_share("pharmacy")) == (0.4, 0.0)
    assert system.cash_known and not co.cost_plan(perspective="at-risk system").cash_known


def test_categories_are_held_to_the_ledger_s() -> None:
    plan = co.cost_plan(touchable="wellness", cashable={"other": 0.5})
    plan.check_categories(("wellness", "other"))
    with pytest.raises(DefinitionError, match=r"no cost category that the programme can touch 'wellness'.*inpatient"):
        plan.check_categories(("inpatient", "other"))
    with pytest.raises(DefinitionError, match=r"no cost category of a cash share 'other'"):
        plan.check_categories(("wellness", "others"))


def test_without_a_price_year_prices_stay_as_recorded() -> None:
    assert co.cost_plan().prices is None and co.cost_plan(price_index="gdp").prices is None
    assert co.cost_plan(price_year=2022).prices == co.prices(2022)
    assert co.cost_plan(price_year=2022, price_purpose="purchasing power").prices == co.prices(2022, "purchasing power")


def test_defaults() -> None:
    plan = co.cost_plan()
    assert plan == CostPlan() and plan.perspective == "payer" and plan.discount_rate == 0.03
    assert plan.horizon_months == 12 and plan.fee is None and plan.effect == ""
