"""Profile-likelihood limits of the Cox model: R by brute force, closed forms, and its own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from clinops.errors import ParameterError
from clinops.stats.cox import CoxFit, cox
from clinops.stats.profile import profile_interval
from tests.support import assert_close, oracle, oracle_csv

FALL = 1.9207294103470623  # half the 95 % point of chi-squared on one degree of freedom
DATA = oracle_csv("survival/profile")


def _fit(wanted: dict[str, Any]) -> CoxFit:
    return cox(
        DATA[["arm", "age"]], DATA["exit"], DATA[wanted["event"]], ties=wanted["ties"],
        entry=DATA["entry"] if wanted["late"] else None, strata=DATA["stratum"] if wanted["strata"] else None,
        weights=DATA["count"] if wanted["counts"] else None,
    )  # fmt: skip


@pytest.mark.parametrize("wanted", oracle("survival/profile")["expected"], ids=lambda w: w["name"])
def test_limits_equal_the_brute_force_of_r(wanted: dict[str, Any]) -> None:
    found = _fit(wanted).profile_interval(["arm", "age"].index(wanted["column"]), wanted["level"])
    assert_close(
        {"low": found.conf_low, "high": found.conf_high, "loglik": found.loglik},
        {key: wanted[key] for key in ("low", "high", "loglik")}, 1e-8, wanted["name"],
    )  # fmt: skip
    if wanted["low"] is None:
        assert found.conf_low == found.estimate == -np.inf and "only the upper limit is finite" in found.note
    elif wanted["high"] is None:
        assert found.conf_high == found.estimate == np.inf and "only the lower limit is finite" in found.note
    else:
        assert found.note == "" and found.conf_low < found.estimate < found.conf_high


# --- closed forms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("without", "with_"), [(3, 5), (1, 40), (200, 7)])
def test_one_event_has_a_limit_in_closed_form(without: int, with_: int) -> None:
    """One event among n of arm 0, m of arm 1 at risk: log L = -log(n + m r), supremum -log n at r = 0.

    It has fallen by q where n + m r = n exp(q), so r = (n / m) (exp(q) - 1).
    """
    arm = np.repeat([0, 1], [without, with_])
    event = np.zeros(len(arm))
    event[0] = 1
    found = cox(arm, np.full(len(arm), 7.0), event).profile_interval(0)
    assert found.conf_low == -np.inf
    assert np.exp(found.conf_high) == pytest.approx(without / with_ * np.expm1(FALL), rel=1e-8)
    assert found.loglik == pytest.approx(-np.log(without), abs=1e-9)
    turned = cox(1 - arm, np.full(len(arm), 7.0), event).profile_interval(0)
    assert turned.conf_high == np.inf and turned.conf_low == pytest.approx(-found.conf_high, rel=1e-8)


def test_no_events_in_one_arm_is_the_root_of_an_explicit_product() -> None:
    """Arm 0 dies on days 1, 2 and 3, three of arm 1 outlive them: L = 1 / ((3 + 3r) (2 + 3r) (1 + 3r)), at most 1/6."""
    fit = cox([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0])
    r = brentq(lambda r: (3 + 3 * r) * (2 + 3 * r) * (1 + 3 * r) - 6 * np.exp(FALL), 0, 10, xtol=1e-14)
    found = fit.profile_interval(0)
    assert np.exp(found.conf_high) == pytest.approx(r, rel=1e-8) and found.conf_low == -np.inf
    assert found.fall == pytest.approx(FALL, rel=1e-12)
    # 90 %, in strata of one such table each: the product twice
    twice = cox([0, 0, 0, 1, 1, 1] * 2, [1, 2, 3, 4, 5, 6] * 2, [1, 1, 1, 0, 0, 0] * 2, strata=np.repeat([0, 1], 6))
    fall = 2.705543454095404 / 2 / 2
    r = brentq(lambda r: (3 + 3 * r) * (2 + 3 * r) * (1 + 3 * r) - 6 * np.exp(fall), 0, 10, xtol=1e-14)
    assert np.exp(twice.profile_interval(0, 0.9).conf_high) == pytest.approx(r, rel=1e-8)


def test_a_supremum_too_far_to_be_climbed_to_is_known_all_the_same() -> None:
    """The event has the highest value, by a hair: L = 1 / (1 + exp(-b / 10,000) + exp(-1001 b)) tends to 1."""
    fit = cox([1.0, 1 - 1e-4, -1000.0], [1, 2, 3], [1, 0, 0])
    found = fit.profile_interval(0)
    limit = brentq(lambda b: np.log(1 + np.exp(-b / 1e4) + np.exp(-1001 * b)) - FALL, -0.1, 0.1, xtol=1e-15)
    assert found.loglik == 0 and found.conf_high == fit.coef[0] == np.inf
    assert found.conf_low == pytest.approx(limit, rel=1e-7)


def test_ties_follow_the_rule_of_the_fit() -> None:
    """Two of arm 0 die on day 1 beside one and three of arm 1: Breslow (3 + 3r)^2, Efron (3 + 3r) (2 + 3r)."""
    rows = ([0, 0, 0, 1, 1, 1], [1, 1, 4, 4, 5, 6], [1, 1, 0, 0, 0, 0])
    breslow = cox(*rows, ties="breslow").profile_interval(0)
    assert np.exp(breslow.conf_high) == pytest.approx(np.exp(FALL / 2) - 1, rel=1e-8)
    efron = cox(*rows).profile_interval(0)
    r = brentq(lambda r: (3 + 3 * r) * (2 + 3 * r) - 6 * np.exp(FALL), 0, 10, xtol=1e-14)
    assert np.exp(efron.conf_high) == pytest.approx(r, rel=1e-8)


def test_late_entry_leaves_those_not_yet_there_out() -> None:
    """Arm 1 enters on day 1: the death of day 1 tells nothing, that of day 2 is -log(1 + 2r)."""
    found = cox([0, 0, 1, 1], [1, 2, 3, 3], [1, 1, 0, 0], entry=[0, 0, 1, 1]).profile_interval(0)
    assert np.exp(found.conf_high) == pytest.approx(np.expm1(FALL) / 2, rel=1e-8)


# --- beside and among endless columns -----------------------------------------------------------------------


def test_two_empty_arms_of_three_have_their_own_limits() -> None:
    rng = np.random.default_rng(3)
    arm, time = np.repeat([0, 1, 2], 20), rng.permutation(60) + 1.0
    event = (arm == 0) & (rng.random(60) < 0.7)
    fit = cox(np.column_stack([arm == 1, arm == 2]).astype(float), time, event)
    assert (fit.coef == -np.inf).all()
    for column, other in ((0, 2), (1, 1)):
        # the best of the other is 0 hazard: its arm leaves every risk set
        alone = cox((arm != 0)[arm != other].astype(float), time[arm != other], event[arm != other])
        assert fit.profile_interval(column).conf_high == pytest.approx(alone.profile_interval(0).conf_high, rel=1e-7)


def test_an_arm_without_events_beside_two_others_with_some() -> None:
    rng = np.random.default_rng(4)
    arm, time = np.repeat([0, 1, 2], 20), rng.permutation(60) + 1.0
    event = (arm != 1) & (rng.random(60) < 0.6)
    fit = cox(np.column_stack([arm == 1, arm == 2]).astype(float), time, event)
    found, alone = fit.profile_interval(1), cox((arm == 2)[arm != 1], time[arm != 1], event[arm != 1])
    assert_close([found.conf_low, found.conf_high],
                 [alone.profile_interval(0).conf_low, alone.profile_interval(0).conf_high], 1e-7, "arm 2")  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_the_supremum_of_an_endless_column_is_that_of_the_model_stratified_by_it(
    seed: int, whole: bool, late: bool
) -> None:
    """At the end of such a climb only those at risk with the event's own value are left: strata of the values."""
    rng = np.random.default_rng(seed)
    n = 25
    x = np.column_stack([rng.integers(0, 3, n) if whole else rng.normal(size=n), rng.normal(size=n)])
    entry = rng.integers(0, 4, n) if late else np.zeros(n)
    leave, event = entry + rng.integers(1, 9, n), rng.random(n) < 0.4
    event &= [all(x[i, 0] >= x[(entry < leave[i]) & (leave >= leave[i]), 0]) for i in range(n)]  # the highest only
    fit = cox(x, leave, event, entry=entry)
    assume(fit.coef[0] == np.inf and np.isfinite(fit.coef[1]))
    limit = cox(x[:, 1], leave, event, entry=entry, strata=x[:, 0])
    assume(not np.isinf(limit.coef).any())
    assert fit.profile_interval(0).loglik == pytest.approx(limit.loglik, abs=1e-9)
    assert fit.loglik == pytest.approx(limit.loglik, abs=1e-6), "the search itself ends near it"
    if np.isfinite(limit.coef[0]):
        ours, theirs = fit.profile_interval(1), limit.profile_interval(0)
        assert_close([ours.conf_low, ours.conf_high], [theirs.conf_low, theirs.conf_high], 1e-7, "the other column")


def test_complete_separation_by_a_combination_of_columns() -> None:
    x = np.array([[1.0, 0], [0.5, 0.4], [1, 1.2], [0, 0.5], [0.2, 1]])
    time, event = np.arange(1, 6), np.array([1, 1, 1, 1, 0])
    fit = cox(x, time, event)
    found = [fit.profile_interval(column) for column in (0, 1)]
    assert found[0].conf_high == np.inf and found[1].conf_low == -np.inf

    def profile(value: float, column: int) -> float:
        """The likelihood written out, the other coefficient searched for without derivatives."""

        def minus(other: np.ndarray) -> float:
            beta = np.array([value, other[0]] if column == 0 else [other[0], value])
            return -sum(x[i] @ beta - np.log(np.exp(x[i:] @ beta).sum()) for i in range(4))

        return -float(minimize(minus, [0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).fun)

    assert profile(found[0].conf_low, 0) == pytest.approx(-FALL, abs=1e-6), "its supremum is 0"
    assert profile(found[1].conf_high, 1) == pytest.approx(-FALL, abs=1e-6)


def test_a_column_beside_one_that_explains_every_event_has_no_limits() -> None:
    """Column 0 ranks every event highest, so that L tends to 1 whatever the coefficient of column 1: flat."""
    x = np.column_stack([[5.0, 4, 3, 2, 1], [0.3, -1, 0.7, 0.2, -0.4]])
    found = cox(x, [1, 2, 3, 4, 5], [1, 1, 1, 1, 0]).profile_interval(1)
    assert np.isnan(found.conf_low) and np.isnan(found.conf_high) and "flat" in found.note


# --- laws ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(["efron", "breslow"]), st.sampled_from([1e-3, 1.0, 1e4]))
def test_limits_move_with_the_units_and_not_with_the_order_or_the_origin(seed: int, ties: str, unit: float) -> None:
    rng = np.random.default_rng(seed)
    n = 30
    x = np.column_stack([rng.integers(0, 2, n), rng.normal(size=n)])
    leave, event = rng.integers(1, 9, n), rng.random(n) < rng.choice([0.1, 0.6])
    fit = cox(x, leave, event, ties=ties)
    order = rng.permutation(n)
    again = cox((x * unit + 5)[order], leave[order], event[order], ties=ties)
    for column in (0, 1):
        here, there = fit.profile_interval(column), again.profile_interval(column)
        mirrored = cox(-x, leave, event, ties=ties).profile_interval(column)
        assert_close([there.conf_low * unit, there.conf_high * unit], [here.conf_low, here.conf_high], 1e-6, "units",
                     atol=1e-7)  # fmt: skip
        assert_close([-mirrored.conf_high, -mirrored.conf_low], [here.conf_low, here.conf_high], 1e-6, "mirror",
                     atol=1e-7)  # fmt: skip
        if np.isnan(here.conf_low):
            assert here.note and np.isnan(here.conf_high)
        else:
            assert here.conf_low < here.conf_high
            wider = fit.profile_interval(column, 0.99)
            assert wider.conf_low <= here.conf_low and wider.conf_high >= here.conf_high


def test_many_events_bring_the_limits_to_those_of_wald() -> None:
    rng = np.random.default_rng(1)
    arm = rng.integers(0, 2, 20_000)
    fit = cox(arm, rng.exponential(np.exp(-0.2 * arm)), np.ones(20_000))
    found, (low, high) = fit.profile_interval(0), fit.interval()
    assert_close([found.conf_low, found.conf_high], [low[0], high[0]], 1e-3, "they differ in order 1 / n")


# --- decided answers ----------------------------------------------------------------------------------------


def test_pseudo_likelihoods_are_refused() -> None:
    rows = ([0, 0, 1, 1, 0, 1], [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 1, 1])
    with pytest.raises(ParameterError, match=r"weights that are no counts.*robust log-rank test"):
        cox(*rows, weights=[1, 1.5, 1, 1, 1, 1]).profile_interval(0)
    with pytest.raises(ParameterError, match=r"robust variance.*pseudo-likelihood"):
        cox(*rows, robust=True).profile_interval(0)
    with pytest.raises(ParameterError, match="robust, clustered variance"):
        cox(*rows, cluster=[1, 1, 2, 2, 3, 3]).profile_interval(0)
    with pytest.raises(ParameterError, match="column is 1; the model has 1 columns"):
        cox(*rows).profile_interval(1)
    with pytest.raises(ParameterError, match="level"):
        cox(*rows).profile_interval(0, 95)


def test_what_the_data_say_nothing_of_has_no_limits() -> None:
    for fit, why in (
        (cox([0, 1, 1, 0], [1, 2, 3, 4], [0, 0, 0, 0]), "no events"),
        (cox([1, 1, 1, 1], [1, 2, 3, 4], [1, 1, 0, 0]), "flat"),
    ):
        found = profile_interval(fit, 0)
        assert np.isnan(found.conf_low) and np.isnan(found.conf_high) and why in found.note
    lung = oracle_csv("survival/cox_lung")
    twice = cox(np.column_stack([lung["age"], 2 * lung["age"]]), lung["time"], lung["event"])
    alone = cox(lung["age"], lung["time"], lung["event"]).profile_interval(0)
    assert np.isnan(twice.profile_interval(1).conf_low), "it repeats the first"
    assert twice.profile_interval(0).conf_low == pytest.approx(alone.conf_low, rel=1e-8)
