"""What was spent, before any claim about why: by hand, and small groups not spoken of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import describe
from clinops.results.schema import estimates
from tests.analyse.costs.support import censored, cost_rows, random_rows, scored, seeds

HUNDRED = np.arange(1.0, 101)


def two(cost: np.ndarray, **given: object):
    """The same costs in both arms, those of the comparator doubled."""
    return cost_rows(np.repeat([1, 0], len(cost)), np.concatenate([cost, 2 * cost]), **given)


# --- spread -------------------------------------------------------------------------------------


def test_spread_by_hand() -> None:
    """1 to 100: mean and median 50.5, SD 29.0115, the dearest 5 have 490 of 5,050."""
    line = describe.distribution(two(HUNDRED)).frame.iloc[0]
    assert line["mean"] == line["median"] == 50.5 and line["sd"] == pytest.approx(29.0114919759)
    assert line["none"] == 0 and line["n"] == line["complete"] == 100 and line["deaths"] == 0
    assert np.isnan([line["p95"], line["p99"], line["top"]]).all()  # fewer than 11 persons are above
    big = describe.distribution(two(np.tile(HUNDRED, 4))).frame.iloc[0]
    assert big["p95"] == pytest.approx(95.05, abs=1) and np.isnan(big["p99"])
    assert big["top"] == pytest.approx(4 * 490 / (4 * 5050))


def test_what_is_said_is_as_observed_and_not_weighted() -> None:
    rows = scored(two(HUNDRED))
    said = describe.distribution(rows).sentence
    assert said.startswith("Before adjustment the mean cost is 50 USD a person in Programme and 101 in Usual care")
    assert describe.distribution(rows).frame["mean"].tolist() == [50.5, 101]


@pytest.mark.parametrize("arm", [1, 0])
def test_an_empty_arm_is_said_in_words(arm: int) -> None:
    rows = cost_rows([arm] * 30, np.arange(30.0))
    for make in (describe.distribution, describe.member_months, describe.trend, describe.concentration):
        assert "nan" not in make(rows).sentence, make.__name__
    assert estimates(describe.pmpm_rows(rows))["note"].notna().all()


def test_no_costs_at_all() -> None:
    rows = cost_rows(np.repeat([1, 0], 30), np.zeros(60))
    assert describe.distribution(rows).frame["none"].tolist() == [30, 30]
    assert "Too few persons" in describe.concentration(rows).sentence
    assert describe.member_months(rows).frame["pmpm_exposed"].tolist() == [0, 0]


# --- member-months ------------------------------------------------------------------------------


def test_cost_per_member_month_by_hand() -> None:
    """120 over 2 + 1 months, 90 over 2 + 2; the dead leave the months."""
    rows = cost_rows(
        [1, 1, 0, 0], [[[30, 20], [40, 0]], [[30, 0], [0, 0]], [[10, 20], [30, 0]], [[0, 0], [30, 0]]],
        months=[2, 1, 2, 2], died=[0, 1, 0, 0],
    )  # fmt: skip
    frame = describe.member_months(rows).frame.set_index("category")
    assert frame["months_exposed"].tolist() == [3, 3, 3] and frame["deaths_exposed"].tolist() == [1, 1, 1]
    assert frame.loc["Total", "pmpm_exposed"] == pytest.approx(40)
    assert frame.loc["Total", "pmpm_comparator"] == pytest.approx(22.5)
    assert frame.loc["Inpatient", "pmpm_exposed"] == pytest.approx(100 / 3)
    assert "40.00 USD per member-month among Programme, 22.50 among Usual care" in describe.member_months(rows).sentence


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_categories_add_up_and_rows_are_the_table_s(seed: int) -> None:
    rows = censored(random_rows(seed, categories=3), seed)
    frame = describe.member_months(rows).frame.set_index("category")
    for name in ("pmpm_exposed", "pmpm_comparator"):
        assert frame[name].iloc[:-1].sum() == pytest.approx(frame[name].iloc[-1])
    made = estimates(describe.pmpm_rows(rows))
    gap = made[made["scale"] == "PMPM difference"]["estimate"]
    assert gap.tolist() == pytest.approx((frame["pmpm_exposed"] - frame["pmpm_comparator"]).tolist())
    ratio = made[made["scale"] == "PMPM ratio"]["estimate"]
    assert ratio.tolist() == pytest.approx((frame["pmpm_exposed"] / frame["pmpm_comparator"]).tolist())


def test_the_trend_is_cost_over_covered_months_on_both_sides() -> None:
    before = np.zeros((24, 12))
    before[:12, -1] = 60
    covered = np.ones((24, 12))
    covered[:6, -1] = 0.5
    rows = cost_rows(np.repeat([1, 0], 12), np.full((24, 2), 10.0), before=before, covered_before=covered)
    frame = describe.trend(rows).frame.set_index(["arm", "month"])
    assert frame.loc[("Programme", -1), "pmpm"] == pytest.approx(60 * 12 / 9)
    assert frame.loc[("Programme", 1), "pmpm"] == 10 and frame.loc[("Usual care", -1), "pmpm"] == 0
    assert frame.loc["Programme"].index.tolist() == [*range(-12, 0), 1, 2]


# --- concentration ------------------------------------------------------------------------------


def test_the_dearest_by_hand() -> None:
    """1 to 300: the dearest 5 % (15 persons) have 4,395 of 45,150, the dearest 10 % (30) 8,565."""
    frame = describe.concentration(two(np.arange(1.0, 301))).frame
    assert np.isnan(frame["top_1"]).all()  # three persons
    assert frame["top_5"].tolist() == pytest.approx([4395 / 45150] * 2)
    assert frame["top_10"].tolist() == pytest.approx([8565 / 45150] * 2)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_the_curve_rises_bends_and_tells_of_nobody_alone(seed: int) -> None:
    data = describe.concentration(random_rows(seed, n=300)).figure.data
    for _, curve in data.groupby("arm"):
        share, persons = curve["share_cost"].to_numpy(), curve["persons"].to_numpy()
        assert share[0] == 0 and share[-1] == pytest.approx(1) and curve["share_persons"].iloc[-1] == 1
        assert (np.diff(share) >= -1e-12).all()
        slope = np.diff(share) / np.diff(curve["share_persons"])
        assert (np.diff(slope) <= 1e-9).all()  # the dearest come first
        assert persons[1] >= 11 and (persons[-1] - persons[-2] >= 11)


@pytest.mark.parametrize("n", [5, 21])
def test_of_few_persons_there_is_no_curve(n: int) -> None:
    made = describe.concentration(two(np.arange(1.0, n + 1)))
    assert made.figure.data.empty and made.frame[["top_1", "top_5", "top_10"]].isna().all(axis=None)


def test_weightless_persons_are_in_no_arm() -> None:
    rows = replace(two(HUNDRED), weights=np.tile([1.0, 0.0], 100))
    assert describe.distribution(rows).frame["n"].tolist() == [50, 50]
    assert describe.distribution(rows).frame["mean"].iloc[0] == pytest.approx(np.arange(1, 100, 2).mean())
