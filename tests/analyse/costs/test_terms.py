"""What is said before any result: the terms, and the smallest saving that could have been seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import terms
from clinops.stats.power import detectable_difference_means
from tests.analyse.costs.support import cost_rows, plan, random_rows, seeds


def said(rows, made=None) -> dict[str, str]:
    frame = terms.terms(rows, made or plan(rows), "allowed").frame
    return dict(zip(frame["what"], frame["how"], strict=True))


def test_every_term_is_stated() -> None:
    found = said(random_rows(1))
    assert found["Horizon"].startswith("3 months from the index date")
    assert found["Currency and prices"] == "USD; prices as recorded, years not brought to one"
    assert found["Discounting"] == "None within the first year"
    assert found["Categories"] == "inpatient, emergency"
    assert found["What the programme can touch"] == "inpatient, emergency"
    assert found["Comparison"] == "Programme v Usual care, crude; as they are"
    assert {"Perspective", "Amount", "Death", "Leaving the records", "Programme fee"} <= set(found)


def test_the_price_year_and_discounting_are_said() -> None:
    rows = cost_rows([1, 0], np.ones((2, 24)))
    found = said(rows, plan(rows, price_year=2021, price_index={2021: 1.0}, discount_rate=0.04))
    assert "Prices of 2021" in found["Currency and prices"]
    assert found["Discounting"] == "4.0% a year after the first; a budget impact is not discounted"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Not known"),
        ({"fee": np.ones(60)}, "Each person's own, as the file has it"),
        ({"fee": np.ones(60), "fee_each": 12.5, "fee_unit": "started month"}, "12.50 USD for each started month"),
        ({"fee": None, "fee_each": 12.5}, "Not known"),
        ({"fee": np.zeros(60), "fee_each": 0.0}, "0.00 USD for each exposed person"),
    ],
)
def test_the_fee_is_said(fields: dict, words: str) -> None:
    assert said(random_rows(1, **fields))["Programme fee"] == words


# --- the smallest saving ------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seeds)
def test_it_is_the_power_function_of_the_comparator_s_spread_and_the_sizes(seed: int) -> None:
    rows = random_rows(seed)
    sd = rows.total[~rows.exposed].std(ddof=1)
    found, spread = terms.smallest_saving(rows)
    assert spread == pytest.approx(sd)
    assert found == pytest.approx([detectable_difference_means(sd, 30, 30, power=power) for power in (0.8, 0.9)])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seeds)
def test_what_the_exposed_cost_does_not_matter(seed: int) -> None:
    rows = random_rows(seed)
    rng = np.random.default_rng(seed)
    other = replace(rows, cost=np.where(rows.exposed[:, None, None], rng.lognormal(8, 2, rows.cost.shape), rows.cost))
    assert terms.smallest_saving(other) == terms.smallest_saving(rows)
    one, two = terms.detectable(rows), terms.detectable(other)
    assert one.sentence == two.sentence and one.frame.equals(two.frame)


def test_weights_count_by_their_effective_size() -> None:
    """Half of the exposed at weight 3, half at 1: (15 x 4)^2 / (15 x 10) = 24 persons."""
    rows = random_rows(1)
    weights = np.ones(60)
    weights[np.flatnonzero(rows.exposed)[:15]] = 3.0
    found, sd = terms.smallest_saving(replace(rows, weights=weights))
    assert found[0] == pytest.approx(detectable_difference_means(sd, 24, 30))


def test_textbook_size() -> None:
    """SD 1, 63 an arm, power 80 %: the normal approximation sees 0.499 (Lehr's 16 / d^2 says 64 for 0.5)."""
    cost = np.concatenate([np.zeros(63), np.tile([0.0, 2.0], 32)[:63]])
    rows = cost_rows(np.repeat([1, 0], 63), cost)
    found, sd = terms.smallest_saving(rows)
    assert found[0] == pytest.approx((1.959964 + 0.841621) * sd * np.sqrt(2 / 63), rel=0.02)


def test_the_exhibit_says_the_share_of_the_spend() -> None:
    rows = cost_rows(np.repeat([1, 0], 20), np.concatenate([np.zeros(20), np.tile([80.0, 120.0], 10)]))
    made = terms.detectable(rows)
    share = made.frame["saving"].iloc[0] / 100
    assert made.frame["share"].iloc[0] == pytest.approx(share) and f"{share:.0%} of what" in made.sentence


@pytest.mark.parametrize(
    "rows",
    [
        cost_rows([1, 1, 1], [1.0, 2, 3]), cost_rows([0, 0, 0], [1.0, 2, 3]), cost_rows([1, 1, 0], [1.0, 2, 3]),
        cost_rows([1, 1, 0, 0], np.zeros(4)),
    ],
    ids=["no comparator", "no exposed", "one comparator", "no costs"],
)  # fmt: skip
def test_where_it_cannot_be_known_that_is_said(rows) -> None:
    found, _ = terms.smallest_saving(rows)
    assert np.isnan(found).all()
    assert terms.detectable(rows).sentence == terms.NOT_KNOWN
