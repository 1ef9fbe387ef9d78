"""Each check can pass, can fail, and can be unjudged; what was observed is worked out by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from clinops.analyse.costs import checks
from tests.analyse.costs.support import at_stake, cost_rows, random_rows

# --- plausible ----------------------------------------------------------------------------------


def spent(exposed: float, comparator: float, elsewhere: float = 0.0, **terms: object):
    """Two persons an arm with inpatient costs around a mean; the comparator also spends elsewhere."""
    cost = np.zeros((4, 1, 3))
    cost[:, 0, 0] = exposed - 5, exposed + 5, comparator - 5, comparator + 5
    cost[2:, 0, 2] = elsewhere
    return at_stake(cost_rows([1, 1, 0, 0], cost), touchable=("inpatient",), **terms)


def test_a_saving_within_what_was_spent_is_plausible() -> None:
    found = checks.plausibility(spent(60, 100))
    assert found.passed is True and found.observed == pytest.approx(0.4) and "40.0% of" in found.sentence


def test_a_saving_of_money_that_was_never_spent_is_not() -> None:
    found = checks.plausibility(spent(60, 100, elsewhere=80))
    assert found.passed is False and found.observed == pytest.approx(120 / 100)
    assert "exceeds the spend" in found.notes[0] and "1.20 times" in found.sentence


def test_an_added_cost_is_plausible() -> None:
    assert checks.plausibility(spent(150, 100)).passed is True


@pytest.mark.parametrize("comparator", [0.0, -40.0])
def test_without_touchable_spend_any_saving_fails(comparator: float) -> None:
    """Reversals can leave less than nothing in a category; that is no money to save either."""
    assert checks.plausibility(spent(-100, comparator)).passed is False
    assert checks.plausibility(spent(50, comparator)).passed is True
    assert "spent nothing" in checks.plausibility(spent(50, comparator)).sentence


@pytest.mark.parametrize("arm", [1, 0])
def test_without_an_arm_it_is_not_judged(arm: int) -> None:
    found = checks.plausibility(at_stake(cost_rows([arm] * 3, [1.0, 2, 3])))
    assert found.passed is None and found.sentence == "Not judged: no saving was estimated."


# --- tails --------------------------------------------------------------------------------------


def test_persons_who_vary_alike_all_carry_the_error() -> None:
    """Costs 0 and 2 in turn: every squared influence is the same, so all 40 carry it."""
    rows = cost_rows(np.repeat([1, 0], 20), np.tile([0.0, 2.0], 20))
    found = checks.tails(rows)
    assert found.passed is True and found.observed == pytest.approx(40)
    assert found.frame["carriers"].tolist() == pytest.approx([20, 20])
    assert found.frame["skewness"].tolist() == pytest.approx([0, 0])


def test_one_dear_person_carries_it_alone() -> None:
    """One of 50 costs 1: squares 0.98^2 for him and 0.02^2 for 49; Kish: (sum s)^2 / sum s^2 = 1.04."""
    cost = np.zeros(100)
    cost[0] = 1.0
    found = checks.tails(cost_rows(np.repeat([1, 0], 50), cost))
    squares = np.array([0.98**2, *[0.02**2] * 49])
    assert found.observed == pytest.approx(squares.sum() ** 2 / (squares**2).sum())
    assert found.passed is False and "too narrow" in found.sentence


def test_how_many_carry_it_is_not_told_of_few_persons() -> None:
    """Five exposed among many: neither the number, nor the sentence, nor what was observed leaves."""
    from clinops.results.disclosure import protect

    cost = np.concatenate([[900.0, 10, 20, 30, 40], np.tile([50.0, 60.0], 50)])
    found = protect(checks.tails(cost_rows(np.repeat([1, 0], [5, 100]), cost)), 11)
    assert found.frame["both"].isna().all() and found.observed == "hidden" and found.passed is False
    assert "effectively" not in found.sentence and np.isnan(found.frame["carriers"].iloc[0])


def test_clusters_carry_it_whole() -> None:
    """Each pair of neighbours is one cluster: 20 units in place of 40 where both vary together."""
    cost = np.tile(np.repeat([0.0, 2.0], 2), 10)
    rows = cost_rows(np.repeat([1, 0], 20), cost, cluster=np.repeat(np.arange(20), 2))
    assert checks.tails(rows).observed == pytest.approx(20)


@pytest.mark.parametrize(
    "rows",
    [cost_rows([1, 1, 1], [1.0, 2, 9]), cost_rows([0, 0, 0], [1.0, 2, 9]), cost_rows([1, 1, 0, 0], np.zeros(4))],
    ids=["no comparator", "no exposed", "no costs"],
)
def test_without_costs_or_an_arm_tails_are_not_judged(rows) -> None:
    found = checks.tails(rows)
    assert found.passed is None and found.sentence.startswith("Not judged")


# --- observed -----------------------------------------------------------------------------------


def watched(lost_exposed: int, lost_comparator: int):
    months = np.full(200, 3.0)
    months[:lost_exposed] = 1.0
    months[100 : 100 + lost_comparator] = 1.0
    return cost_rows(np.repeat([1, 0], 100), np.zeros((200, 3)), months=months)


@pytest.mark.parametrize(
    ("exposed", "comparator", "passed"), [(4, 0, True), (9, 4, True), (6, 0, False), (0, 20, False)]
)
def test_unequal_loss_fails(exposed: int, comparator: int, passed: bool) -> None:
    found = checks.observation(watched(exposed, comparator))
    assert found.passed is passed and found.observed == pytest.approx(abs(exposed - comparator) / 100)
    assert found.frame["complete"].tolist() == [100 - exposed, 100 - comparator]


def test_who_died_is_known() -> None:
    rows = watched(10, 0)
    found = checks.observation(replace(rows, died=rows.months < 3, complete=np.ones(200, bool)))
    assert found.passed is True and found.frame["deaths"].tolist() == [10, 0]


def test_without_an_arm_loss_is_not_judged() -> None:
    found = checks.observation(cost_rows([1, 1], np.zeros((2, 3))))
    assert found.passed is None and found.sentence == "Not judged: an arm is empty."


# --- run-out and prices -------------------------------------------------------------------------


def test_days_in_the_run_out_are_counted_by_arm() -> None:
    """Index 15 March 2021, followed 90 days to 13 June; complete to 11 June: 2 of 90 days lie later."""
    rows = cost_rows([1, 0], np.zeros((2, 3)), months=[3, 3])
    found = checks.run_out(rows, dt.date(2021, 6, 11))
    assert found.frame["late"].tolist() == [1, 1]
    assert found.observed == pytest.approx(2 / 90) and found.passed is False
    assert checks.run_out(rows, dt.date(2021, 6, 13)).passed is True
    before = checks.run_out(rows, dt.date(2020, 1, 1))
    assert before.observed == 1 and before.passed is False


def test_the_arm_with_more_of_them_decides() -> None:
    rows = cost_rows([1, 0], np.zeros((2, 3)), months=[1, 3])
    assert checks.run_out(rows, dt.date(2021, 6, 1)).frame["share"].tolist() == pytest.approx([0, 12 / 90])


@pytest.mark.parametrize(
    ("rows", "day"),
    [
        (cost_rows([1, 0], np.zeros((2, 3))), None), (cost_rows([1, 1], np.zeros((2, 3))), dt.date(2021, 1, 1)),
        (cost_rows([1, 0], np.zeros((2, 3)), months=[0, 3]), dt.date(2021, 1, 1)),
    ],
    ids=["no date", "an empty arm", "nobody followed"],
)  # fmt: skip
def test_run_out_that_cannot_be_judged(rows, day: dt.date | None) -> None:
    found = checks.run_out(rows, day)
    assert found.passed is None and found.sentence.startswith("Not judged")


@pytest.mark.parametrize(
    ("years", "stated", "passed"),
    [((2020, 2021), False, False), ((2020, 2021), True, True), ((2021,), False, True), ((), False, True)],
)
def test_money_of_several_years_asks_for_a_price_year(years: tuple[int, ...], stated: bool, passed: bool) -> None:
    assert checks.prices(random_rows(1), years, stated).passed is passed


def test_every_check_says_why_it_matters() -> None:
    at = spent(60, 100)
    made = (
        checks.plausibility(at), checks.tails(at.rows), checks.observation(at.rows),
        checks.run_out(at.rows, dt.date(2030, 1, 1)), checks.prices(at.rows, (2021,), False),
    )  # fmt: skip
    assert all(check.why and check.sentence and check.title.endswith("?") for check in made)
