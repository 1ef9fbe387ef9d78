"""Fees, returns, budgets and perspectives: by hand, by identities that must hold, and at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.decision import (
    break_even_fee,
    budget_impact,
    cashable_saving,
    net_saving,
    percentiles,
    plausible_saving,
    return_on_investment,
    smallest_detectable_saving,
    value_to,
)
from tests.support import assert_close, oracle

Z = NormalDist().inv_cdf(0.975)
NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 20_001) for i in range(20_001)])
"""Replicates that stand at the quantiles of a standard normal."""

money = st.floats(-1e6, 1e6, allow_nan=False)
shares = st.floats(0, 1)


# --- fee and return ------------------------------------------------------------------------------


def test_break_even_is_the_saving_a_charge() -> None:
    found = break_even_fee(300, charged=0.6, std_error=60)  # 300 / 0.6, error 60 / 0.6
    assert_close([found.estimate, found.std_error], [500, 100], 1e-12)
    assert_close([found.conf_low, found.conf_high], [500 - 100 * Z, 500 + 100 * Z], 1e-12)
    assert found.note == ""
    from_draws = break_even_fee(3, charged=2, draws=[1, 2, 3, 4, 5])  # percentiles 1.1 and 4.9 of 1..5
    assert_close(
        [from_draws.conf_low, from_draws.conf_high, from_draws.std_error], [0.55, 2.45, math.sqrt(2.5) / 2], 1e-12
    )


def test_no_fee_breaks_even_where_nothing_is_saved_or_nobody_pays() -> None:
    assert "no fee breaks even" in break_even_fee(-20, std_error=5).note
    assert "no fee breaks even" in break_even_fee(0, std_error=5).note
    nobody = break_even_fee(300, charged=0, std_error=60)
    assert math.isnan(nobody.estimate) and "nobody is charged" in nobody.note


def test_net_saving_by_hand() -> None:
    # variance 50^2 + 10^2 - 2 * 200 = 2200
    found = net_saving(300, 100, std_error=50, fee_std_error=10, covariance=200)
    assert_close([found.estimate, found.std_error], [200, math.sqrt(2200)], 1e-12)
    assert_close([found.conf_low, found.conf_high], [200 - Z * math.sqrt(2200), 200 + Z * math.sqrt(2200)], 1e-12)
    paired = net_saving(3, 1, draws=[1.0, 2, 3, 4, 5], fee_draws=[1.0, 1, 1, 1, 1])
    assert_close([paired.conf_low, paired.conf_high], [0.1, 3.9], 1e-12)


def test_return_by_hand() -> None:
    # 300 / 100 - 1; slopes 1/100 and -3/100: 0.25 + 0.09 - 0.12 = 0.22
    found = return_on_investment(300, 100, std_error=50, fee_std_error=10, covariance=200)
    assert_close([found.estimate, found.std_error], [2, math.sqrt(0.22)], 1e-12)
    paired = return_on_investment(3, 1, draws=[2.0, 4, 6, 8, 10], fee_draws=[2.0, 2, 2, 2, 2])
    assert_close([paired.conf_low, paired.conf_high], [0.1, 3.9], 1e-12)


def test_replicates_and_delta_method_agree_where_both_hold() -> None:
    """Replicates that are normal give the normal interval; the fee is fixed."""
    for function in (net_saving, return_on_investment):
        by_delta, by_draws = function(300, 100, std_error=50), function(300, 100, draws=300 + 50 * NORMAL)
        assert_close(by_draws.std_error, by_delta.std_error, 1e-3)
        assert_close([by_draws.conf_low, by_draws.conf_high], [by_delta.conf_low, by_delta.conf_high], 1e-3)


def test_a_return_needs_an_investment() -> None:
    found = return_on_investment(300, 0, std_error=50)
    assert all(math.isnan(x) for x in (found.estimate, found.std_error, found.conf_low, found.conf_high))
    assert "without a fee" in found.note
    some = return_on_investment(300, 100, draws=[1.0, 2.0], fee_draws=[0.0, 1.0])
    assert some.estimate == 2 and math.isnan(some.conf_low) and "no fee in 1 replicates" in some.note
    assert return_on_investment(0, 100, std_error=1).estimate == -1
    assert net_saving(300, 0, std_error=0).conf_low == 300


@given(st.floats(-1e4, 1e4), st.floats(1, 1e4))
@settings(deadline=None, derandomize=True)
def test_net_and_return_have_one_sign_and_break_even_is_where_both_are_nil(saving: float, fee: float) -> None:
    net = net_saving(saving, fee, std_error=1).estimate
    gained = return_on_investment(saving, fee, std_error=1).estimate
    assert np.sign(net) == np.sign(gained) or math.isclose(saving, fee, rel_tol=1e-12)
    even = break_even_fee(saving, std_error=1).estimate
    assert net_saving(saving, even, std_error=1).estimate == 0


# --- budget --------------------------------------------------------------------------------------


def test_budget_impact_by_hand() -> None:
    found = budget_impact([1000, 2000, 2000], [0.1, 0.2, 0.3], 250, 100, std_error=40)
    assert_close(found.enrolled, [100, 400, 600], 1e-12)
    assert_close(found.saving, [25_000, 100_000, 150_000], 1e-12)
    assert_close(found.fee, [10_000, 40_000, 60_000], 1e-12)
    assert_close(found.net, [15_000, 60_000, 90_000], 1e-12)
    assert_close(found.cumulative, [15_000, 75_000, 165_000], 1e-12)
    assert_close([found.total.estimate, found.total.std_error], [165_000, 44_000], 1e-12)  # 1,100 people, one effect
    assert_close(found.net_low, found.net - Z * 40 * found.enrolled, 1e-12)


def test_budget_impact_is_against_what_happens_without_the_decision() -> None:
    found = budget_impact(1000, [0.5], 100, 0, std_error=10, uptake_now=0.2)
    assert_close([found.enrolled[0], found.net[0], found.total.std_error], [300, 30_000, 3_000], 1e-12)
    fewer = budget_impact(1000, [0.2], 100, 0, std_error=10, uptake_now=0.5)  # the programme is scaled down
    assert_close([fewer.net[0], fewer.total.std_error], [-30_000, 3_000], 1e-12)
    assert fewer.net_low[0] < fewer.net[0] < fewer.net_high[0]


# --- plausibility and power ----------------------------------------------------------------------


def test_a_saving_does_not_exceed_what_there_was_to_save() -> None:
    fine = plausible_saving(120, 400, conf_low=-20, conf_high=260)
    assert fine.passed and fine.note == ""
    assert_close([fine.share, fine.share_low, fine.share_high], [0.3, -0.05, 0.65], 1e-12)
    wide = plausible_saving(120, 400, conf_low=-260, conf_high=500)
    assert wide.passed and "interval reaches beyond" in wide.note
    too_much = plausible_saving(500, 400)
    assert not too_much.passed and "exceeds" in too_much.note
    assert plausible_saving(400, 400).passed


def test_plausibility_without_spend_or_without_a_saving() -> None:
    nothing = plausible_saving(1, 0)
    assert not nothing.passed and nothing.share == math.inf and "no spend" in nothing.note
    assert plausible_saving(0, 0).passed and plausible_saving(-5, 0).passed
    assert not plausible_saving(math.nan, 100).passed


def test_the_smallest_saving_equals_r_and_shrinks_with_past_cost() -> None:
    wanted = oracle("epi/sample_size")["expected"]["mde_t_n1000_sd2000"]
    assert_close(smallest_detectable_saving(2000, 1000, 1000), wanted, 1e-6)
    assert_close(smallest_detectable_saving(2000, 1000, 1000, correlation=0.6), 0.8 * wanted, 1e-6)
    assert smallest_detectable_saving(0, 10, 10) == 0 and math.isnan(smallest_detectable_saving(1, 1, 10))


# --- whose money ---------------------------------------------------------------------------------


def test_cashable_and_released_by_hand() -> None:
    found = cashable_saving([100, 200, 50], [1, 0.2, 0], covariance=np.diag([100, 400, 25]))
    assert_close([found.cashable.estimate, found.released.estimate], [140, 210], 1e-12)
    # 100 + 0.2^2 400; 0.8^2 400 + 25
    assert_close([found.cashable.std_error, found.released.std_error], [math.sqrt(116), math.sqrt(281)], 1e-12)
    assert_close(found.by_category, [[100, 0], [40, 160], [0, 50]], 1e-12)
    bare = cashable_saving([100], 0.5)
    assert math.isnan(bare.cashable.std_error) and "no covariance" in bare.cashable.note


def test_a_payers_saving_is_a_hospitals_lost_revenue() -> None:
    """1,000 saved, 80 % of it the hospital's revenue, of which 40 % is spared cost: margin lost 1000 x 0.8 x 0.6."""
    parts = {"inside": 0.8, "variable_cost": 0.4, "covariance": [[10_000]]}
    payer = value_to("payer", [1000], 100, **parts)
    provider = value_to("provider margin", [1000], 0, **parts)
    system = value_to("at-risk system", [1000], 100, **parts)
    assert_close([payer.estimate, provider.estimate, system.estimate], [900, -480, 420], 1e-12)
    assert_close([payer.std_error, provider.std_error, system.std_error], [100, 48, 52], 1e-12)
    assert provider.conf_low < provider.estimate < provider.conf_high
    half = value_to("provider margin", [1000], 0, refilled=0.5, **parts)
    assert_close(half.estimate, -240, 1e-12)


@given(st.lists(st.tuples(money, shares, shares, shares), min_size=1, max_size=5), st.floats(0, 1e4))
@settings(deadline=None, derandomize=True)
def test_the_systems_value_is_the_payers_and_the_providers(rows: list[tuple[float, ...]], fee: float) -> None:
    saving, inside, variable, refilled = (np.array(column) for column in zip(*rows, strict=True))
    parts = {"inside": inside, "variable_cost": variable, "refilled": refilled}
    whole = value_to("at-risk system", saving, fee, **parts).estimate
    both = value_to("payer", saving, fee, **parts).estimate + value_to("provider margin", saving, 0, **parts).estimate
    assert math.isclose(whole, both, rel_tol=1e-9, abs_tol=1e-6 * (1 + np.abs(saving).sum()))
    split = cashable_saving(saving, variable)
    total = split.cashable.estimate + split.released.estimate
    assert math.isclose(total, saving.sum(), rel_tol=1e-9, abs_tol=1e-6 * (1 + np.abs(saving).sum()))


def test_percentiles_are_numpys() -> None:
    assert_close(percentiles([1, 2, 3, 4, 5]), [1.1, 4.9], 1e-12)
    assert all(math.isnan(x) for x in percentiles([1.0, math.nan]))


def test_what_is_missing_stays_missing() -> None:
    found = net_saving(300, 100, std_error=math.nan)
    assert found.estimate == 200 and math.isnan(found.std_error) and math.isnan(found.conf_low)
    assert math.isnan(return_on_investment(math.nan, 100, std_error=10).estimate)
    assert not math.isnan(net_saving(300, 100, std_error=50, fee_std_error=0, covariance=1e-9).std_error)


# --- refused -------------------------------------------------------------------------------------

REFUSED: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (DataError, "charged is -1", lambda: break_even_fee(1, charged=-1, std_error=1)),
    (DataError, "one of the two", lambda: break_even_fee(1)),
    (DataError, "one of the two", lambda: net_saving(1, 1, std_error=1, draws=[1.0, 2.0])),
    (DataError, "at least 2", lambda: net_saving(1, 1, draws=[1.0])),
    (DataError, "replicates are paired", lambda: net_saving(1, 1, draws=[1.0, 2.0], fee_draws=[1.0])),
    (DataError, "contradict", lambda: net_saving(1, 1, std_error=1, fee_std_error=1, covariance=2)),
    (DataError, "std_error is -1", lambda: break_even_fee(1, std_error=-1)),
    (DataError, "fee is -1", lambda: return_on_investment(1, -1, std_error=1)),
    (DataError, "shares lie between", lambda: budget_impact([100], [1.2], 1, 1, std_error=1)),
    (DataError, "fee is .-1.0.", lambda: budget_impact([100], [0.2], 1, -1, std_error=1)),
    (DataError, "one for each of 2 years", lambda: budget_impact([100, 100], [0.2, 0.3], [1, 2, 3], 1, std_error=1)),
    (DataError, "one number of people a year", lambda: budget_impact([], [], 1, 1, std_error=1)),
    (DataError, "touchable is -1", lambda: plausible_saving(1, -1)),
    (ParameterError, "correlation is 2", lambda: smallest_detectable_saving(1, 10, 10, correlation=2)),
    (DataError, "share is .*shares lie between", lambda: cashable_saving([1], [1.5])),
    (DataError, "one for each of 1 categories", lambda: cashable_saving([1], [0.5, 0.5])),
    (DataError, "a row a category", lambda: cashable_saving([1], [0.5], covariance=[1])),
    (ParameterError, "no perspective 'payor'. Did you mean 'payer'", lambda: value_to("payor", [1], 1)),
    (ParameterError, "needs variable_cost", lambda: value_to("provider margin", [1], 1)),
    (ParameterError, "level is 95", lambda: percentiles([1.0, 2.0], 95)),
    (ParameterError, "level is 95", lambda: net_saving(1, 1, std_error=1, level=95)),
]


@pytest.mark.parametrize(("error", "said", "make"), REFUSED, ids=[said for _, said, _ in REFUSED])
def test_what_contradicts_itself_is_refused(error: type[Exception], said: str, make: Callable[[], object]) -> None:
    with pytest.raises(error, match=said):
        make()
