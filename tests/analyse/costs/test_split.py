"""Price and use apart: the parts are by hand, and add up to the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs.horizon import category_values
from clinops.analyse.costs.split import split_rows, split_table
from clinops.results.schema import estimates
from clinops.stats.weighted_effects import contrast
from tests.analyse.costs.support import censored, cost_rows, random_costs, random_rows, seeds


def test_by_hand() -> None:
    """Two services an arm at 100; the exposed use one each and pay 150 for it, the comparator two each at 100."""
    rows = cost_rows([1, 1, 0, 0], [150.0, 150, 200, 200.01])
    standard = cost_rows([1, 1, 0, 0], [100.0, 100, 200, 200.01])
    frame = split_table(rows, standard).frame.set_index("category").round(2)
    assert frame.loc["Total", ["whole", "use", "price"]].tolist() == pytest.approx([-50, -100, 50], abs=0.02)
    assert split_table(rows, standard).sentence.endswith("the difference is −100 USD per person.")


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_use_and_price_add_up_to_the_whole_in_every_category(seed: int) -> None:
    rows = censored(random_rows(seed), seed)
    other = random_costs(np.random.default_rng(seed + 1), 60)
    standard = replace(rows, cost=np.where(rows.cost > 0, other, 0.0))
    frame = split_table(rows, standard).frame
    assert (frame["use"] + frame["price"]).tolist() == pytest.approx(frame["whole"].tolist(), rel=1e-9, abs=1e-9)
    whole = contrast(category_values(rows), "difference", cluster=rows.cluster)
    assert frame["whole_high"].tolist() == pytest.approx([effect.conf_high for effect in whole])
    made = estimates(split_rows(rows, standard))
    assert made["level"].tolist() == ["use"] * 3 + ["price"] * 3
    assert made["estimate"].tolist() == pytest.approx([*frame["use"], *frame["price"]])


def test_at_one_price_everything_is_use() -> None:
    rows = random_rows(1)
    found = split_table(rows, rows)
    assert found.frame["price"].abs().max() == 0 and "100% of the whole" in found.sentence


def test_a_share_is_said_only_where_it_is_one() -> None:
    rows = cost_rows([1, 1, 0, 0], [90.0, 90, 100, 100.5])
    assert "of the whole" not in split_table(rows, cost_rows([1, 1, 0, 0], [50.0, 50, 100, 100])).sentence
    alike = cost_rows([1, 1, 0, 0], [100.0, 90, 90, 100])
    assert split_table(alike, alike).sentence == "At standard prices the difference is 0 USD per person."


@pytest.mark.parametrize("arm", [1, 0])
def test_an_empty_arm_has_notes(arm: int) -> None:
    rows = cost_rows([arm] * 3, [1.0, 2, 3])
    assert estimates(split_rows(rows, rows))["note"].notna().all()
    assert "not estimable" in split_table(rows, rows).sentence


def test_a_category_that_only_the_standard_prices_know() -> None:
    """An encounter without an amount has a standard price: the parts still stand in the same categories."""
    rows = cost_rows([1, 1, 0, 0], [[[10.0]], [[20.0]], [[30.0]], [[40.0]]])
    standard = cost_rows([1, 1, 0, 0], [[[10.0, 5]], [[20.0, 0]], [[30.0, 0]], [[40.0, 5]]])
    frame = split_table(rows, standard).frame
    assert frame["category"].tolist() == ["Inpatient", "Emergency", "Total"]
    assert frame["whole"].tolist() == pytest.approx([-20, 0, -20])
    assert frame["use"].tolist() == pytest.approx([-20, 0, -20]) and frame["price"].tolist() == pytest.approx([0, 0, 0])
