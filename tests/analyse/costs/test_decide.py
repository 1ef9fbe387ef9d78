"""From effect to decision: identities that must hold of any costs, and answers where something is not known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import decide
from clinops.results.schema import estimates
from tests.analyse.costs.support import at_stake, charged, cost_rows, random_rows, seeds

Z = 1.959963984540054


def lines(at, table=decide.money_table):
    frame = table(at).frame
    return frame.set_index(frame["line"].str.replace(" (the perspective of this report)", ""))


def with_fee(seed: int, each: float = 12.0, **given):
    rows = random_rows(seed, **given)
    units = rows.exposed * np.random.default_rng(seed).integers(0, 3, len(rows))
    units[np.flatnonzero(rows.exposed)[0]] = 1.0
    return replace(rows, **charged(rows, each, units))


# --- gross, fee, net ----------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_net_is_gross_less_the_fee_with_their_covariance(seed: int) -> None:
    at = at_stake(with_fee(seed))
    found = lines(at)
    gross, fee, net = (found.loc[name] for name in ("Gross saving on care", "Programme fee", "Net saving"))
    assert net["estimate"] == pytest.approx(gross["estimate"] - fee["estimate"])
    variance = gross["std_error"] ** 2 + fee["std_error"] ** 2 - 2 * at.gross_fee_covariance
    assert net["std_error"] == pytest.approx(np.sqrt(variance))
    assert (net["estimate"], net["std_error"]) == pytest.approx(at.net())
    for line in (gross, fee, net):
        assert line["conf_high"] - line["estimate"] == pytest.approx(Z * line["std_error"])


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_at_the_break_even_fee_nothing_is_left_and_the_return_is_nothing(seed: int) -> None:
    rows = with_fee(seed)
    at = at_stake(rows)
    even = float(lines(at).loc["Break-even fee", "estimate"])
    if even <= 0:  # no fee breaks even; tested below
        return
    again = lines(at_stake(replace(rows, **charged(rows, even, rows.fee_units))))
    assert again.loc["Net saving", "estimate"] == pytest.approx(0, abs=1e-8)
    assert again.loc["Return on investment", "estimate"] == pytest.approx(0, abs=1e-10)
    assert again.loc["Break-even fee", "estimate"] == pytest.approx(even)


def test_by_hand() -> None:
    """Means 100 and 160, two of four activated at 30: gross 60, fee 15, net 45, break-even 120, return 3."""
    rows = cost_rows([1, 1, 1, 1, 0, 0], [40.0, 160, 100, 100, 150, 170])
    rows = replace(rows, **charged(rows, 30.0, [1, 1, 0, 0, 0, 0]), fee_unit="activated person")
    found = lines(at_stake(rows))["estimate"]
    assert found.tolist() == pytest.approx([60, 15, 45, 120, 3])
    assert lines(at_stake(rows)).loc["Break-even fee", "unit"] == "USD per activated person"


def test_a_programme_that_saves_nothing_has_no_break_even_fee() -> None:
    rows = cost_rows([1, 1, 0, 0], [100.0, 120, 50, 70])
    found = lines(at_stake(replace(rows, **charged(rows, 10.0))))
    assert (
        found.loc["Break-even fee", "estimate"] == -50 and "no fee breaks even" in found.loc["Break-even fee", "note"]
    )
    assert found.loc["Return on investment", "estimate"] == pytest.approx(-6)


def test_a_fee_of_nothing_still_has_a_break_even_fee() -> None:
    rows = cost_rows([1, 1, 0, 0], [100.0, 120, 150, 170])
    found = lines(at_stake(replace(rows, **charged(rows, 0.0, [1, 0, 0, 0]))))
    assert found.loc["Programme fee", "estimate"] == 0 and found.loc["Net saving", "estimate"] == 50
    assert found.loc["Break-even fee", "estimate"] == 100  # half of them are charged
    assert np.isnan(found.loc["Return on investment", "estimate"])
    assert "without a fee" in found.loc["Return on investment", "note"]


def test_where_nobody_is_charged_there_is_no_break_even_fee() -> None:
    rows = random_rows(1)
    found = lines(at_stake(replace(rows, **charged(rows, 10.0, np.zeros(60)))))
    assert (
        np.isnan(found.loc["Break-even fee", "estimate"]) and "nobody is charged" in found.loc["Break-even fee", "note"]
    )


def test_each_person_s_own_fee_breaks_even_in_the_mean() -> None:
    rows = cost_rows([1, 1, 0, 0], [100.0, 120, 150, 170], fee=np.array([5.0, 15, 0, 0]))
    found = lines(at_stake(rows))
    assert found.loc["Net saving", "estimate"] == 40 and found.loc["Break-even fee", "estimate"] == 50
    assert found.loc["Break-even fee", "unit"] == "USD per exposed person"


def test_without_a_fee_nothing_is_said_of_the_net() -> None:
    at = at_stake(random_rows(1), margin=0.3)
    money = decide.money_table(at)
    assert money.frame["line"].tolist() == ["Gross saving on care", "Programme fee"]
    assert money.frame["note"].iloc[1] == decide.NO_FEE and money.sentence.startswith("Gross saving on care")
    assert decide.waterfall(at).frame["label"].tolist()[-1] == "Cost of care"
    assert decide.NO_FEE in decide.budget(at).notes
    assert decide.NO_FEE in " ".join(decide.perspectives(at).notes)
    made = estimates(decide.decision_rows(at))
    assert made.set_index("measure").loc["Programme fee", "note"] == decide.NO_FEE


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_decision_rows_pass_the_schema(seed: int) -> None:
    made = estimates(decide.decision_rows(at_stake(with_fee(seed))))
    assert made["measure"].tolist() == [
        "Gross saving on care", "Programme fee", "Net saving", "Break-even fee", "Return on investment",
    ]  # fmt: skip
    assert set(made["scale"]) == {"saving", "fee", "ratio"} and made["unit"].notna().all()


# --- where it comes from ------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_the_parts_of_the_waterfall_add_up(seed: int) -> None:
    at = at_stake(with_fee(seed, categories=3))
    frame = decide.waterfall(at).frame
    parts = frame[frame["kind"] == "part"]["value"].sum()
    care, fee, net = (frame[frame["kind"] == kind].iloc[0] for kind in ("subtotal", "fee", "total"))
    assert parts == pytest.approx(care["value"]) and care["value"] == pytest.approx(-at.gross)
    assert care["value"] + fee["value"] == pytest.approx(net["value"])
    assert net["high"] - net["value"] == pytest.approx(Z * at.net()[1])
    assert frame["kind"].tolist() == ["part"] * 3 + ["subtotal", "fee", "total"]


def test_the_largest_fall_is_named() -> None:
    rows = cost_rows([1, 1, 0, 0], [[[10, 50]], [[30, 70]], [[20, 150]], [[40, 170]]])
    assert "the largest fall is in emergency, −100" in decide.waterfall(at_stake(rows)).sentence


def test_where_every_category_rises_none_is_said_to_fall() -> None:
    rows = cost_rows([1, 1, 0, 0], [[[10, 50]], [[30, 70]], [[0, 20]], [[20, 40]]])
    assert decide.waterfall(at_stake(rows)).sentence.endswith("USD per person; no category of care falls.")


# --- whose money --------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_a_system_s_worth_is_the_payer_s_and_the_provider_s(seed: int) -> None:
    at = at_stake(with_fee(seed), margin=0.35, inside=0.6, refilled=0.25, perspective="at-risk system")
    found = lines(at, decide.perspectives)
    payer, system, provider = (found.loc[name] for name in ("Payer", "At-risk system", "Provider margin"))
    assert system["estimate"] == pytest.approx(payer["estimate"] + provider["estimate"])
    assert payer["estimate"] == pytest.approx(at.net()[0])
    assert provider["estimate"] == pytest.approx(-at.gross * 0.6 * 0.35 * 0.75)
    # the payer's interval is the net's, the provider's that of his share of the gross
    assert payer["std_error"] == pytest.approx(at.net()[1])
    assert provider["std_error"] == pytest.approx(at.gross_error * 0.6 * 0.35 * 0.75)


@pytest.mark.parametrize("perspective", ["at-risk system", "provider margin"])
def test_the_money_ends_with_what_is_left_to_the_perspective(perspective: str) -> None:
    at = at_stake(with_fee(3), margin=0.3, inside=0.5, perspective=perspective)
    last = decide.money_table(at).frame.iloc[-1]
    mine = lines(at, decide.perspectives).loc[perspective.capitalize()]
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert last[name] == pytest.approx(mine[name])
    assert last["line"] == decide.OWNERS[perspective]
    assert decide.money_table(at).sentence.startswith(f"{last['line']}:")
    made = estimates(decide.decision_rows(at))
    assert made["measure"].iloc[-1] == last["line"]
    assert len(decide.money_table(at_stake(with_fee(3), perspective="at-risk system")).frame) == 5


def test_without_a_margin_only_the_payer_has_an_answer() -> None:
    found = lines(at_stake(with_fee(1)), decide.perspectives)
    assert found.loc["Payer", "estimate"] == found.loc["Payer", "estimate"]
    for name in ("At-risk system", "Provider margin"):
        assert np.isnan(found.loc[name, "estimate"]) and found.loc[name, "note"] == decide.NO_MARGIN


def test_the_perspective_of_the_report_is_marked() -> None:
    frame = decide.perspectives(at_stake(with_fee(1), margin=0.3, perspective="provider margin")).frame
    assert frame["line"].str.contains("of this report").tolist() == [False, False, True, False, False]


def test_cash_and_capacity_make_up_the_gross() -> None:
    rows = cost_rows([1, 1, 0, 0], [[[0, 10]], [[0, 30]], [[100, 60]], [[300, 20]]])
    at = at_stake(rows, cashable={"inpatient": 0.25})
    found = lines(at, decide.perspectives)
    assert found.loc["Cash", "estimate"] == pytest.approx(0.25 * 200 + 20)
    assert found.loc["Capacity set free", "estimate"] == pytest.approx(0.75 * 200)
    assert "Cash shares: inpatient 25%, emergency 100%" in decide.perspectives(at).notes[0]


def test_a_payer_s_saving_is_cash_unless_he_says_otherwise() -> None:
    at = at_stake(random_rows(1))
    found = lines(at, decide.perspectives)
    assert found.loc["Cash", "estimate"] == pytest.approx(at.gross)
    assert found.loc["Capacity set free", "estimate"] == pytest.approx(0)


def test_nothing_is_assumed_of_a_system_s_cash() -> None:
    at = at_stake(random_rows(1), perspective="at-risk system", margin=0.3)
    found = decide.perspectives(at)
    assert np.isnan(lines(at, decide.perspectives).loc["Cash", "estimate"])
    assert found.sentence.startswith(decide.NO_CASH) and "none stated, so nothing is said of cash" in found.notes[0]
    some = at_stake(random_rows(1), perspective="at-risk system", margin=0.3, cashable={"inpatient": 0.5})
    cash = lines(some, decide.perspectives).loc["Cash", "estimate"]
    assert cash == pytest.approx(0.5 * some.saving[0])  # a category that is not named is none


# --- budget -------------------------------------------------------------------------------------


def test_the_budget_is_persons_times_the_net_undiscounted() -> None:
    at = at_stake(with_fee(3), persons_a_year=(100, 0, 250), discount_rate=0.5)
    frame = decide.budget(at).frame
    net, error = at.net()
    assert frame["persons"].tolist() == [100, 0, 250]
    assert frame["net"].tolist() == pytest.approx([100 * net, 0, 250 * net])
    assert frame["gross"].sum() == pytest.approx(350 * at.gross) and frame["fee"].sum() == pytest.approx(350 * at.fee)
    assert frame["cumulative"].iloc[-1] == pytest.approx(frame["net"].sum())
    assert (frame["gross"] - frame["fee"]).tolist() == pytest.approx(frame["net"].tolist())
    assert frame["net_high"].iloc[0] - frame["net"].iloc[0] == pytest.approx(100 * Z * error)
    assert "Over 3 years and 350 persons" in decide.budget(at).sentence


# --- what cannot be known -----------------------------------------------------------------------


@pytest.mark.parametrize("arm", [1, 0])
@pytest.mark.parametrize("fee", [None, 0.0, 10.0])
def test_an_empty_arm_has_rows_with_notes(arm: int, fee: float | None) -> None:
    rows = cost_rows([arm] * 4, [1.0, 2, 3, 4])
    at = at_stake(replace(rows, **charged(rows, fee)), margin=0.3)
    made = estimates(decide.decision_rows(at))
    assert np.isnan(made["estimate"].iloc[0]) and made["note"].iloc[0] == "not estimable"
    for table in (decide.money_table, decide.waterfall, decide.perspectives, decide.budget):
        assert "not estimable" in table(at).sentence, table.__name__


def test_no_costs_at_all() -> None:
    rows = cost_rows([1, 1, 0, 0], np.zeros((4, 2, 2)))
    at = at_stake(replace(rows, **charged(rows, 10.0)))
    found = lines(at)
    assert found["estimate"].tolist()[:3] == [0, 10, -10] and found.loc["Return on investment", "estimate"] == -1
    assert found.loc["Net saving", "std_error"] == pytest.approx(0, abs=1e-12)
