"""Cost against effect: a ratio only where it means something, the replicates told as they are, what lacks said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import value
from clinops.analyse.costs.stake import Stake
from clinops.results.schema import estimates
from tests.analyse.costs.support import at_stake, charged, cost_rows, random_rows, seeds

UNIT = "day at home"
RATIO = "Cost per unit gained (ICER)"


def arms_of(cost: tuple[float, float], effect: tuple[float, float], **terms: Any) -> Stake:
    """Twenty persons an arm around a mean cost and effect, exposed first, each varying by its own pattern."""
    wave, other = np.tile([-1.0, 1], 10), np.repeat([-1.0, 1], 10)
    rows = cost_rows(np.repeat([1, 0], 20), np.concatenate([cost[0] + wave, cost[1] + wave]),
                     effect=np.concatenate([effect[0] + other / 10, effect[1] + other / 10]))  # fmt: skip
    return at_stake(rows, **({"thresholds": (0, 10, 100)} | terms))


def table(at: Stake) -> Any:
    return value.value_table(at, "Days at home", UNIT)


def lines(at: Stake) -> Any:
    return table(at).frame.set_index("line")


@pytest.mark.parametrize(
    ("cost", "effect", "ratio", "verdict"),
    [
        ((150, 100), (12, 10), 25, "costs more and does more"),
        ((100, 150), (12, 10), None, "dominates"),
        ((100, 150), (10, 12), 25, "costs less and does less"),
        ((150, 100), (10, 12), None, "is dominated"),
    ],
)
def test_a_ratio_stands_only_where_it_means_something(
    cost: tuple[float, float], effect: tuple[float, float], ratio: float | None, verdict: str
) -> None:
    at = arms_of(cost, effect)
    line = lines(at).loc[RATIO]
    if ratio is None:
        assert np.isnan([line["estimate"], line["low"], line["high"]]).all()
    else:
        assert line["estimate"] == pytest.approx(ratio) and 0 < line["low"] < ratio < line["high"]
    assert verdict in line["remark"] and verdict in table(at).sentence
    shares = value.plane(at, "Days at home", UNIT).frame.set_index("quadrant")["share"]
    assert shares[verdict.capitalize()] == 1 and shares.sum() == 1


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_no_negative_ratio_and_no_crossed_limits_are_printed(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(seed)
    rows = replace(rows, effect=rng.normal(0, 1, 60) + rng.normal(0, 0.3) * rows.exposed)
    line = lines(at_stake(replace(rows, **charged(rows, 30.0)), thresholds=(5.0,))).loc[RATIO]
    shown = [line[name] for name in ("estimate", "low", "high") if line[name] == line[name]]
    assert all(one >= 0 for one in shown)
    made = estimates(value.value_rows(at_stake(rows, thresholds=(5.0,)), "x", "unit"))
    assert not (made["estimate"] < 0).any() or RATIO not in set(made[made["estimate"] < 0]["measure"])


def test_the_fee_is_in_the_net_cost() -> None:
    at = arms_of((150, 100), (12, 10))
    paid = at_stake(replace(at.rows, **charged(at.rows, 30.0)), thresholds=(0, 50))
    found = lines(paid)
    assert found.loc["Net cost (care and fee)", "estimate"] == pytest.approx(80)
    assert found.loc[RATIO, "estimate"] == pytest.approx(40)
    assert found.loc["Net benefit at 0 USD", "estimate"] == pytest.approx(-80)
    assert found.loc["Net benefit at 50 USD", "estimate"] == pytest.approx(50 * 2 - 80)
    assert "Cost of care (the fee is not known)" in lines(at).index


def test_net_benefit_and_acceptability_tell_the_same_chance() -> None:
    rows = random_rows(8, effect=np.random.default_rng(8).normal(size=60))
    at = at_stake(rows, thresholds=(0, 20, 400))
    chance = lines(at)["probability"].iloc[-3:].tolist()
    curve = value.acceptability(at, "x", UNIT)
    assert curve.frame["probability"].tolist() == pytest.approx(chance)
    drawn = curve.figure.data.set_index("threshold")["probability"]
    assert drawn.iloc[[0, -1]].tolist() == pytest.approx([chance[0], chance[-1]])
    # at nothing a unit only the saving counts: the share of replicates that save
    saves = (at.draws[:, : len(at.saving)].sum(axis=1) > 0).mean()
    assert chance[0] == pytest.approx(saves)


def test_replicates_of_the_plane_are_those_of_the_stake() -> None:
    at = arms_of((150, 100), (12, 10))
    data = value.plane(at, "x", UNIT).figure.data
    drawn = data[data["kind"] == "draw"]
    assert len(drawn) == 200 and drawn["effect"].to_numpy() == pytest.approx(at.draws[:, -1])
    assert drawn["cost"].to_numpy() == pytest.approx(-at.draws[:, 0])
    point = data[data["kind"] == "estimate"]
    assert point[["effect", "cost"]].to_numpy().tolist() == [[pytest.approx(2), pytest.approx(50)]]


def test_an_effect_that_may_be_nil_has_no_limits() -> None:
    rows = random_rows(1, effect=np.random.default_rng(1).normal(size=60))
    line = lines(at_stake(rows, thresholds=(1.0,))).loc[RATIO]
    assert np.isnan([line["low"], line["high"]]).all() and "see the net benefit" in line["remark"]


def test_without_thresholds_there_is_no_net_benefit() -> None:
    at = arms_of((150, 100), (12, 10), thresholds=())
    assert len(table(at).frame) == 3
    assert value.acceptability(at, "x", UNIT).sentence == f"Not possible: {value.NO_THRESHOLD}"
    assert value.plane(at, "x", UNIT).figure is not None
    assert len(estimates(value.value_rows(at, "x", UNIT))) == 3


def test_without_an_effect_the_exhibits_say_so() -> None:
    at = at_stake(random_rows(1), thresholds=(1.0,))
    for make in (value.value_table, value.plane, value.acceptability):
        made = make(at, "", "unit of effect")
        assert made.sentence == f"Not possible: {value.NOTHING}" and made.figure is None
    assert value.value_rows(at, "", "unit of effect") == []


def test_an_empty_arm_has_no_plane_and_a_row_with_a_note() -> None:
    at = at_stake(cost_rows([1] * 4, [1.0, 2, 3, 4], effect=np.ones(4)), thresholds=(1.0,))
    for make in (value.value_table, value.plane, value.acceptability):
        assert make(at, "x", UNIT).sentence == f"Not possible: {value.UNKNOWN}"
    made = estimates(value.value_rows(at, "x", UNIT))
    assert len(made) == 1 and made["note"].tolist() == [value.UNKNOWN]


def test_an_effect_that_is_the_same_for_everybody() -> None:
    at = arms_of((150, 100), (10, 10))
    flat = at_stake(replace(at.rows, effect=np.full(40, 10.0)), thresholds=(0, 10))
    line = lines(flat).loc[RATIO]
    assert np.isnan(line["estimate"]) and "is dominated" in line["remark"]  # dearer and no better
    assert lines(flat).loc["Net benefit at 10 USD", "estimate"] == pytest.approx(-50)


def test_rows_pass_the_schema() -> None:
    made = estimates(value.value_rows(arms_of((150, 100), (12, 10)), "Days at home", UNIT))
    assert set(made["analysis"]) == {"cost-effectiveness"}
    assert made.set_index("measure").loc[RATIO, "unit"] == "USD per day at home"


def test_an_effect_over_other_days_is_said() -> None:
    at = arms_of((150, 100), (12, 10))
    assert not [note for note in table(at).notes if "different times" in note]
    other = at_stake(replace(at.rows, effect_over="days 1 to 365"), thresholds=(1,))
    assert "The effect is over days 1 to 365, the cost over 1 months" in table(other).notes[-1]
