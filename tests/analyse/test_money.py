"""Gross, fee and net by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import clinops as co
from clinops.analyse.adjust import Adjusted
from clinops.analyse.money import currency, fee_per_exposed, money_table, total_cost
from clinops.define.protocol import Protocol
from clinops.results.result import Result
from tests.analyse.support import COST, COUNT, arms, crude, dataset, estimate_row, frame, protocol

OFFER = co.events("observation", co.codes("programme offer", 900001))
NAN = np.nan


def charged(fee: float | None, fee_per: str = "person", **more: Any) -> Protocol:
    return protocol(programme=co.programme(OFFER, fee=fee, fee_per=fee_per), **more)


def weighted(*weights: float) -> Adjusted:
    made = np.array(weights)
    return Adjusted(co.weight("ate"), made, np.arange(len(made)), "person")


# --- the fee ------------------------------------------------------------------------------------


def test_without_a_fee_there_is_none() -> None:
    data = dataset(arms(2, 2), outcomes={})
    assert fee_per_exposed(data, protocol(), crude(data), None) is None
    assert fee_per_exposed(data, charged(None), crude(data), None) is None
    assert fee_per_exposed(data, charged(0), crude(data), None) == 0


def test_a_fee_per_person_is_paid_for_each_who_activated() -> None:
    data = dataset(arms(4, 2), outcomes={})
    activated = np.array([3.0, NAN, 0, NAN, 5, NAN])  # a comparator's activation is not charged to the exposed
    assert fee_per_exposed(data, charged(120), crude(data), activated) == pytest.approx(120 * 2 / 4)


def test_a_fee_is_paid_for_every_exposed_where_activation_is_not_named() -> None:
    data = dataset(arms(4, 2), outcomes={})
    assert fee_per_exposed(data, charged(120), crude(data), None) == 120


def test_a_fee_is_averaged_with_the_weights_of_the_exposed() -> None:
    data = dataset(arms(3, 2), outcomes={})
    activated = np.array([1.0, NAN, 1, NAN, NAN])
    found = fee_per_exposed(data, charged(100), weighted(1, 3, 0, 2, 2), activated)
    assert found == pytest.approx(100 * 1 / (1 + 3))


def test_a_fee_per_month_counts_started_months_from_activation_to_the_end_of_follow_up() -> None:
    # index 15 March 2021; activated on day 0, day 17 (1 April), day 30 (14 April), never
    data = dataset(arms(4, 1), outcomes={}, end_day=[365, 17 + 30, 30, 365, 365])
    activated = np.array([0.0, 17, 30, NAN, NAN])
    # a whole year; 1 April to 1 May; the day of activation alone; nothing
    months = [12, 1, 1, 0]
    found = fee_per_exposed(data, charged(30, "person-month"), crude(data), activated)
    assert found == pytest.approx(30 * sum(months) / 4)


def test_the_day_after_an_anniversary_starts_another_month() -> None:
    data = dataset(arms(1, 1), outcomes={}, end_day=[31 + 1, 0])  # 15 March to 16 April
    assert fee_per_exposed(data, charged(30, "person-month"), crude(data), None) == 60


def test_months_are_charged_from_the_index_where_activation_is_not_named() -> None:
    data = dataset(arms(2, 1), outcomes={}, end_day=[365, 0, 365])
    assert fee_per_exposed(data, charged(30, "person-month"), crude(data), None) == pytest.approx(30 * (12 + 1) / 2)


def test_nobody_who_activated_pays_nothing() -> None:
    data = dataset(arms(2, 1), outcomes={})
    for fee_per in ("person", "person-month"):
        assert fee_per_exposed(data, charged(30, fee_per), crude(data), np.full(3, NAN)) == 0


# --- gross, fee and net -------------------------------------------------------------------------


def money(fee: float | None, estimate: float | None = -300.0, how: Protocol | None = None) -> Result | str:
    low, high = (None, None) if estimate is None else (estimate - 200, estimate + 200)
    rows = [
        estimate_row(COST, "mean difference", estimate, low, high),
        estimate_row(COST, "mean difference", -9e9, -9e9, -9e9, adjustment="crude"),
        estimate_row(COST, "PMPM difference", -1.0, -2, 0),
    ]
    return money_table(frame(rows), how or protocol(), fee, "USD")


def test_net_is_gross_and_fee() -> None:
    found = money(120)
    assert isinstance(found, Result)
    assert found.frame["estimate"].tolist() == [-300, 120, -180]
    assert found.frame["low"].tolist()[::2] == [-500, -380]
    assert found.frame["high"].tolist()[::2] == [-100, 20]
    assert math.isnan(found.frame["low"][1])
    assert found.sentence.endswith("Net: −180 USD per person.")
    assert found.title == "Money: payer perspective, USD, prices as recorded"


def test_without_a_fee_no_net_is_shown() -> None:
    found = money(None, how=protocol(perspective="at-risk system", price_year=2021))
    assert isinstance(found, Result)
    assert found.frame["line"].tolist() == ["Gross: difference in cost of care"]
    assert "Gross: −300 USD per person. The protocol states no programme fee" in found.sentence
    assert "at-risk system; prices of 2021; allowed amounts" in found.sentence


def test_a_fee_of_nothing_is_a_fee() -> None:
    found = money(0.0)
    assert isinstance(found, Result)
    assert found.frame["estimate"].tolist() == [-300, 0, -300]


@pytest.mark.parametrize("how", [protocol(outcomes=(COUNT,)), protocol(outcomes=(co.cost("inpatient"),))])
def test_without_a_total_cost_there_is_no_money(how: Protocol) -> None:
    assert str(money(120, how=how)).startswith("Money: no total cost could be measured")
    assert total_cost(how) is None


def test_a_cost_that_could_not_be_estimated_is_no_money() -> None:
    assert str(money(120, estimate=None)).startswith("Money: no total cost")
    assert str(money_table(frame([]), protocol(), 120, "USD")).startswith("Money: no total cost")


# --- currency -----------------------------------------------------------------------------------


@dataclass
class Records:
    """What `currency` asks of a source: whether it has costs, and the distinct currencies in them."""

    concepts: tuple[int | None, ...] | None

    def has(self, table: str) -> bool:
        return table == "cost" and self.concepts is not None

    def table(self, name: str) -> Records:
        return self

    def select(self, column: str) -> Records:
        assert column == "currency_concept_id"
        return self

    def distinct(self) -> Records:
        return self

    @property
    def engine(self) -> Records:
        return self

    def collect(self, _: Records) -> pa.Table:
        return pa.table({"currency_concept_id": pa.array(self.concepts, pa.int64())})


@pytest.mark.parametrize(
    ("concepts", "expected"),
    [
        ((44818668,), "USD"), ((44818568,), "EUR"), ((44818571, None), "GBP"), ((44818668, 44818568), "currency units"),
        ((123,), "currency units"), ((0,), "currency units"), ((), "currency units"), (None, "currency units"),
    ],
)  # fmt: skip
def test_a_currency_is_named_where_the_records_name_one(concepts: tuple[int | None, ...] | None, expected: str) -> None:
    assert currency(Records(concepts)) == expected


def test_an_activation_that_no_record_holds_leaves_the_fee_unknown() -> None:
    """A fee of nothing would make the net effect look as good as the gross one."""
    found = money(None, how=charged(120))
    assert isinstance(found, Result)
    assert len(found.frame) == 1 and "what the fee comes to is not known" in found.sentence
