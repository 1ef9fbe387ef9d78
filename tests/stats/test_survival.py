"""Kaplan-Meier, Nelson-Aalen, restricted means and log-rank tests against R, and by their own laws."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.logrank import logrank
from clinops.stats.survival import (
    HazardCurve,
    SurvivalCurve,
    kaplan_meier,
    nelson_aalen,
    rmst_difference,
    rmst_ratio,
)
from tests.support import assert_close, case_file, oracle, oracle_csv

# file, exit column, event, entry, group
CURVES = {
    "km_lung": ("time", "event", None, None),
    "km_lung_sex": ("time", "event", None, "sex"),
    "km_ovarian_rx": ("futime", "fustat", None, "rx"),
    "km_veteran_trt": ("time", "status", None, "trt"),
    "km_lung_weighted": ("time", "event", None, "sex"),
    "km_lung_intweight": ("time", "event", None, None),
    "km_mgus2_lefttrunc": ("exit_age", "death", "entry_age", "sex"),
    "km_heart_tv": ("stop", "event", "start", "transplant"),
}
CONF_TYPES = {"log-log": "km", "log": "ci_log", "plain": "ci_plain", "arcsin": "ci_arcsin"}


def _groups(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the reference and, per group in the reference's order, the arguments of an estimator."""
    exit_, event, entry, group = CURVES[name]
    expected = oracle(f"survival/{name}")["expected"]
    data = oracle_csv(f"survival/{name}")
    weight = expected["weight_column"]
    parts = [data] if group is None else [part for _, part in data.groupby(group)]
    return expected, [
        {
            "exit": part[exit_].to_numpy(),
            "event": part[event].to_numpy(),
            "entry": None if entry is None else part[entry].to_numpy(),
            "weights": None if weight is None else part[weight].to_numpy(),
        }
        for part in parts
    ]


def _column(items: list[Any], name: str) -> np.ndarray:
    return np.concatenate([getattr(item, name) for item in items])


@pytest.mark.parametrize("name", CURVES)
def test_curve_equals_r(name: str) -> None:
    expected, groups = _groups(name)
    curves = [kaplan_meier(**group, conf_type="log-log", robust=False) for group in groups]
    ours = {
        "time": "time", "n_risk": "n_risk", "n_event": "n_event", "n_censor": "n_censor", "surv": "survival",
        "std_err_surv": "std_error", "lower": "conf_low", "upper": "conf_high",
    }  # fmt: skip
    for theirs, field in ours.items():
        assert_close(_column(curves, field), expected["km"][theirs], 1e-8, f"{name}.{theirs}")


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("conf_type", ["log", "plain", "arcsin"])
def test_interval_kinds_equal_r(name: str, conf_type: str) -> None:
    expected, groups = _groups(name)
    curves = [kaplan_meier(**group, conf_type=conf_type, robust=False) for group in groups]
    limits = {"lower": _column(curves, "conf_low"), "upper": _column(curves, "conf_high")}
    assert_close(limits, expected[CONF_TYPES[conf_type]], 1e-8, f"{name}.{conf_type}")


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("conf_type", list(CONF_TYPES))
def test_median_and_restricted_mean_equal_r(name: str, conf_type: str) -> None:
    expected, groups = _groups(name)
    summary = expected["summary_" + conf_type.replace("-log", "log")]
    for position, group in enumerate(groups):
        curve = kaplan_meier(**group, conf_type=conf_type, robust=False)
        median, mean = curve.quantile(0.5), curve.rmst(summary["rmst_tau"])
        ours = {
            "median": median.estimate, "median_lower": median.conf_low, "median_upper": median.conf_high,
            "rmst": mean.estimate, "rmst_se": mean.std_error,
        }  # fmt: skip
        for key, value in ours.items():
            assert_close([value], [np.atleast_1d(summary[key])[position]], 1e-8, f"{name}.{position}.{key}")


# R's quantile() interpolates in a limit that it takes to be monotone. With late entry the log-log lower limit rises
# again, and R answers 69.3 for every lower limit of the mgus2 women, above the estimate of the median. R's own
# summary table has 30.08 there (tested above): the first crossing, which is what we give, and a wider interval.
NOT_MONOTONE = {("km_mgus2_lefttrunc", 0, "lower"), ("km_heart_tv", 1, "lower")}


@pytest.mark.parametrize("name", CURVES)
def test_quantiles_equal_r(name: str) -> None:
    expected, groups = _groups(name)
    wanted = expected["quantiles_loglog"]
    for position, group in enumerate(groups):
        curve = kaplan_meier(**group, conf_type="log-log", robust=False)
        for column, probability in enumerate(wanted["probs"]):
            found = curve.quantile(probability)
            ours = {"estimate": found.estimate, "lower": found.conf_low, "upper": found.conf_high}
            for key, value in ours.items():
                theirs = wanted[key]
                cell = list(theirs.values())[column] if isinstance(theirs, dict) else theirs[position][column]
                if (name, position, key) in NOT_MONOTONE:
                    crossed = curve.time[curve.conf_low <= 1 - probability][0]
                    assert value == crossed <= cell and (np.diff(curve.conf_low) > 0).any()
                    continue
                assert_close([value], [cell], 1e-8, f"{name}.{position}.{probability}.{key}")


@pytest.mark.parametrize("name", CURVES)
def test_values_at_given_times_equal_r(name: str) -> None:
    expected, groups = _groups(name)
    wanted = expected["at"]
    times = list(dict.fromkeys(wanted["time"])) if isinstance(wanted["time"], list) else [wanted["time"]]
    points = [kaplan_meier(**group, conf_type="log-log", robust=False).at(times) for group in groups]
    ours = {"surv": "survival", "std_err_surv": "std_error", "lower": "conf_low", "upper": "conf_high"}
    for theirs, field in ours.items():
        assert_close(_column(points, field), np.atleast_1d(wanted[theirs]), 1e-8, f"{name}.at.{theirs}")
    if CURVES[name][2] is None:  # R reports the risk set of the next exit, which late entries may have joined since
        assert_close(_column(points, "n_risk"), np.atleast_1d(wanted["n_risk"]), 1e-8, f"{name}.at.n_risk")


@pytest.mark.parametrize("name", CURVES)
def test_cumulative_hazards_equal_r(name: str) -> None:
    expected, groups = _groups(name)
    plain = [nelson_aalen(**group, robust=False) for group in groups]
    assert_close(_column(plain, "cumulative_hazard"), expected["km"]["cumhaz"], 1e-8, f"{name}.cumhaz")
    assert_close(_column(plain, "std_error"), expected["km"]["std_chaz"], 1e-8, f"{name}.std_chaz")
    assert_close(_column(plain, "survival"), expected["breslow_exp_minus_na"]["surv"], 1e-8, f"{name}.breslow")
    turns = [nelson_aalen(**group, ties="fleming-harrington", robust=False) for group in groups]
    wanted = expected["fleming_harrington_ties"]
    ours = {"cumhaz": "cumulative_hazard", "std_chaz": "std_error", "surv": "survival"}
    for theirs, field in ours.items():
        assert_close(_column(turns, field), wanted[theirs], 1e-8, f"{name}.fh.{theirs}")


@pytest.mark.parametrize("scale", CONF_TYPES)
@pytest.mark.parametrize("name", ["km_lung_sex", "km_heart_tv"])
def test_limits_of_the_cumulative_hazard_are_those_of_r_for_its_survival(name: str, scale: str) -> None:
    expected = oracle("survival/hazard_limits")["expected"][name][scale]
    curves = [nelson_aalen(**group, conf_type=scale, robust=False) for group in _groups(name)[1]]
    # The higher survival is the lower hazard. Where nobody has had the event R has no limits; ours are 0.
    known = _column(curves, "cumulative_hazard") > 0
    for theirs, field in {"upper": "conf_low", "lower": "conf_high"}.items():
        wanted = np.array([np.nan if cell is None else cell for cell in expected[theirs]], dtype=float)
        np.testing.assert_allclose(np.exp(-_column(curves, field))[known], wanted[known], rtol=1e-8, atol=1e-12)


def test_limits_of_a_small_hazard_keep_their_digits() -> None:
    """One event among a million: H = 1e-6, its error 1e-6; worked out with the definitions of the four scales."""
    time, event = np.repeat([1.0, 2.0], [1, 999_999]), np.repeat([1, 0], [1, 999_999])
    z = 1.959963984540054e-6
    for scale, low, high in (
        ("log", 0.0, 1e-6 + z), ("plain", 0.0, 1e-6 - np.log1p(-z)),
        ("log-log", 1e-6 / np.exp(1.959963984540054), 1e-6 * np.exp(1.959963984540054)),
    ):  # fmt: skip
        found = nelson_aalen(time, event, conf_type=scale)
        assert [found.conf_low[0], found.conf_high[0]] == pytest.approx([low, high], rel=1e-12, abs=0)


def test_robust_variance_of_weighted_curves_equals_r() -> None:
    expected, groups = _groups("km_lung_weighted")
    curves = [kaplan_meier(**group, conf_type="log-log") for group in groups]
    hazards = [nelson_aalen(**group) for group in groups]
    assert {curve.se_kind for curve in curves} == {"robust"}, "weights that are no counts call for it"
    wanted = expected["km_robust"]
    ours = {"surv": "survival", "std_err_surv": "std_error", "lower": "conf_low", "upper": "conf_high"}
    for theirs, field in ours.items():
        assert_close(_column(curves, field), wanted[theirs], 1e-8, f"robust.{theirs}")
    assert_close(_column(hazards, "cumulative_hazard"), wanted["cumhaz"], 1e-8, "robust.cumhaz")
    assert_close(_column(hazards, "std_error"), wanted["std_chaz"], 1e-8, "robust.std_chaz")


LOGRANK = {
    "lung_sex": ("km_lung", "time", "event", "sex", None, 0.0),
    "lung_sex_peto": ("km_lung", "time", "event", "sex", None, 1.0),
    "lung_sex_strat_ecog": ("km_lung", "time", "event", "sex", "ph.ecog", 0.0),
    "ovarian_rx": ("km_ovarian_rx", "futime", "fustat", "rx", None, 0.0),
    "veteran_celltype": ("km_veteran_trt", "time", "status", "celltype", None, 0.0),
    "veteran_trt_strat_celltype": ("km_veteran_trt", "time", "status", "trt", "celltype", 0.0),
    "veteran_trt_peto": ("km_veteran_trt", "time", "status", "trt", None, 1.0),
}


@pytest.mark.parametrize("name", LOGRANK)
def test_logrank_equals_r(name: str) -> None:
    file, exit_, event, group, strata, rho = LOGRANK[name]
    data = oracle_csv(f"survival/{file}")
    data = data if strata is None else data.dropna(subset=[strata])
    if group == "celltype":  # R's factor keeps the order of the trial's report
        data[group] = pd.Categorical(data[group], ["squamous", "smallcell", "adeno", "large"]).codes
    test = logrank(
        data[exit_].to_numpy(),
        data[event].to_numpy(),
        data[group].to_numpy(),
        strata=None if strata is None else data[strata].to_numpy(),
        rho=rho,
    )
    ours = {
        "n": test.n, "observed": test.observed, "expected": test.expected, "chisq": test.statistic,
        "df": test.df, "p": test.p_value, "var": test.variance,
    }  # fmt: skip
    assert_close(ours, oracle("survival/logrank")["expected"][name], 1e-8, name)


def test_case_c013_late_entry_with_ties() -> None:
    data = pd.read_csv(case_file("C013", "followup.csv"))
    curve = kaplan_meier(data["exit"], data["event"], entry=data["entry"])
    assert curve.time.tolist() == [2, 3, 4, 5, 6]
    assert_close(curve.survival, [3 / 4, 9 / 16, 27 / 64, 9 / 32, 0], 1e-12, "C013")
    assert curve.n_risk.tolist() == [4, 4, 4, 3, 1]


# --- decided answers ---------------------------------------------------------------------------------------


def test_nobody_dies() -> None:
    curve = kaplan_meier([3, 5, 5], [0, 0, 0])
    assert curve.note == "no events"
    assert curve.survival.tolist() == [1, 1] and curve.std_error.tolist() == [0, 0]
    assert curve.conf_low.tolist() == [1, 1] and curve.conf_high.tolist() == [1, 1]
    assert np.isnan(curve.quantile(0.5).estimate) and "not reached" in curve.quantile(0.5).note
    assert curve.rmst(4).estimate == 4 and curve.rmst(4).std_error == 0


def test_everybody_dies_at_once() -> None:
    curve = kaplan_meier([2, 2, 2], [1, 1, 1])
    assert curve.survival.tolist() == [0]
    assert np.isnan(curve.std_error[0]) and np.isnan(curve.conf_high[0])
    assert curve.quantile(0.5).estimate == 2
    assert curve.rmst(10).estimate == 2, "the curve is 0 from 2 on, so the mean up to 10 is known"


def test_an_empty_arm_is_an_empty_curve() -> None:
    curve = kaplan_meier([], [])
    assert curve.n == 0 and len(curve.time) == 0 and curve.note == "no rows with follow-up"
    assert np.isnan(curve.quantile(0.5).estimate) and np.isnan(curve.rmst(10).estimate)
    assert curve.at([0.0, 5.0]).n_risk.tolist() == [0, 0]
    assert len(nelson_aalen([], []).time) == 0
    assert kaplan_meier([], [], robust=True).n == 0


def test_rows_of_no_length_are_set_aside_and_counted() -> None:
    curve = kaplan_meier([0, 4, 5], [1, 1, 0], entry=[0, 4, 1])
    assert (curve.set_aside, curve.n, curve.events) == (2, 1, 0)


def test_deaths_precede_censoring_at_equal_times() -> None:
    assert kaplan_meier([5, 5], [1, 0]).survival.tolist() == [0.5]


def test_times_equal_but_for_rounding_are_one_time() -> None:
    curve = kaplan_meier([0.1 + 0.2, 0.3, 0.5], [1, 1, 0])
    assert len(curve.time) == 2 and curve.n_event[0] == 2


def test_restricted_mean_beyond_follow_up_is_not_identified() -> None:
    curve = kaplan_meier([3, 6, 9], [1, 1, 0])
    mean = curve.rmst(12)
    assert np.isnan(mean.estimate) and "follow-up ends at 9" in mean.note
    assert curve.rmst(12, extend=True).estimate == pytest.approx(curve.rmst(9).estimate + 3 * curve.survival[-1])


def test_restricted_mean_difference_adds_variances() -> None:
    data = oracle_csv("survival/km_lung_sex")
    men, women = (kaplan_meier(part["time"], part["event"]) for _, part in data.groupby("sex"))
    summary = oracle("survival/km_lung_sex")["expected"]["summary_log"]
    found = rmst_difference(women, men, 365)
    assert found.estimate == pytest.approx(summary["rmst"][1] - summary["rmst"][0], rel=1e-8)
    assert found.std_error == pytest.approx(np.hypot(*summary["rmst_se"]), rel=1e-8)
    assert found.conf_low < found.estimate < found.conf_high and 0 < found.p_value < 0.01


def test_ratio_of_restricted_means_by_the_delta_method_on_r_s_means() -> None:
    expected, groups = _groups("km_lung_sex")
    summary = expected["summary_loglog"]
    men, women = (kaplan_meier(**group) for group in groups)
    found = rmst_ratio(women, men, 365)
    ratio = summary["rmst"][1] / summary["rmst"][0]
    error = np.hypot(*(np.array(summary["rmst_se"]) / np.array(summary["rmst"])))
    reach = 1.959963984540054 * error
    ours = [found.estimate, found.std_error, found.conf_low, found.conf_high]
    assert_close(ours, [ratio, error, ratio * np.exp(-reach), ratio * np.exp(reach)], 1e-8)
    assert found.p_value == pytest.approx(2 * (1 - 0.5 * (1 + math.erf(np.log(ratio) / error / 2**0.5))), rel=1e-6)


def test_ratio_of_restricted_means_that_is_none() -> None:
    some, late = kaplan_meier([1, 2, 3], [1, 0, 0]), kaplan_meier([5, 6, 7], [1, 1, 0])
    beyond = rmst_ratio(some, late, 6)
    assert np.isnan(beyond.estimate) and "follow-up ends at 3" in beyond.note
    nobody = rmst_ratio(kaplan_meier([5], [1], entry=[4.5]), kaplan_meier([], []), 6)
    assert np.isnan(nobody.estimate) and nobody.note
    same = rmst_ratio(kaplan_meier([4, 5], [0, 0]), kaplan_meier([4, 6], [0, 0]), 3)
    assert (same.estimate, same.std_error) == (1.0, 0.0) and np.isnan(same.p_value)


def test_logrank_without_a_comparison() -> None:
    for test, why in (
        (logrank([1, 2], [1, 1], ["a", "a"]), "one group only"),
        (logrank([1, 2], [0, 0], ["a", "b"]), "no events"),
        (logrank([], [], []), "no rows"),
        (logrank([1, 2], [1, 1], [0, 1], strata=[0, 1]), "no event at a time when two groups"),
    ):
        assert np.isnan(test.statistic) and np.isnan(test.p_value) and test.df == 0
        assert why in test.note


def test_logrank_with_no_events_in_one_arm_is_an_ordinary_test() -> None:
    test = logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1])
    # by hand: expected in arm 0 is 3/6 + 2/5 + 1/4, variance 1/4 + 6/25 + 3/16
    assert test.expected[0] == pytest.approx(1.15) and test.variance[0, 0] == pytest.approx(0.6775)
    assert test.statistic == pytest.approx((3 - 1.15) ** 2 / 0.6775)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"exit": [1, np.nan], "event": [1, 0]}, "exit has 1 missing"),
        ({"exit": [1, 2], "event": [1, 2]}, "event must be 0 or 1"),
        ({"exit": [1, 2], "event": [1]}, "event has the shape"),
        ({"exit": [1, 2], "event": [1, 0], "entry": [0, 3]}, "enter after they leave"),
        ({"exit": [1, -2], "event": [1, 0]}, "enter after they leave"),
        ({"exit": [1, 2], "event": [1, 0], "weights": [1, -1]}, "negative"),
        ({"exit": [1, 2], "event": [1, 0], "cluster": [1]}, "cluster has the shape"),
    ],
)
def test_bad_rows_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        kaplan_meier(**arguments)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'log-log'"):
        kaplan_meier([1], [1], conf_type="loglog")
    with pytest.raises(ParameterError, match="level"):
        kaplan_meier([1], [1], level=95)
    with pytest.raises(ParameterError, match="probability"):
        kaplan_meier([1], [1]).quantile(50)
    with pytest.raises(ParameterError, match="tau"):
        kaplan_meier([1], [1]).rmst(-1)
    with pytest.raises(ParameterError, match="tie rule"):
        nelson_aalen([1], [1], ties="efron")


# --- laws ---------------------------------------------------------------------------------------------------


@st.composite
def _follow_up(draw: st.DrawFn) -> dict[str, Any]:
    n = draw(st.integers(2, 25))
    entry = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    length = draw(st.lists(st.integers(1, 10), min_size=n, max_size=n))
    event = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return {"entry": np.array(entry, float), "exit": np.add(entry, length).astype(float), "event": np.array(event)}


def _read(curve: SurvivalCurve, grid: np.ndarray) -> dict[str, Any]:
    points = curve.at(grid)
    return {"survival": points.survival, "std_error": points.std_error, "n_risk": points.n_risk}


GRID = np.arange(0, 20, 0.5)


def _each(rows: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(values) for name, values in rows.items()}


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(rows: dict[str, Any], random: Any) -> None:
    order = list(range(len(rows["exit"])))
    random.shuffle(order)
    for robust in (False, True):
        straight = kaplan_meier(**rows, robust=robust)
        shuffled = kaplan_meier(**_each(rows, lambda values: values[order]), robust=robust)
        assert_close(_read(shuffled, GRID), _read(straight, GRID), 1e-9, "shuffled", atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.floats(0.05, 0.95))
def test_splitting_a_row_changes_nothing(rows: dict[str, Any], share: float) -> None:
    n = len(rows["exit"])
    cut = rows["entry"] + np.round(share * (rows["exit"] - rows["entry"]), 1)
    inside = (cut > rows["entry"]) & (cut < rows["exit"])
    person = np.arange(n)
    split: dict[str, Any] = {
        "entry": np.concatenate([rows["entry"], cut[inside]]),
        "exit": np.concatenate([np.where(inside, cut, rows["exit"]), rows["exit"][inside]]),
        "event": np.concatenate([rows["event"] & ~inside, rows["event"][inside]]),
    }
    whole, parts = kaplan_meier(**rows), kaplan_meier(**split)
    assert_close(_read(parts, GRID), _read(whole, GRID), 1e-9, "split")
    whole = kaplan_meier(**rows, cluster=person)
    parts = kaplan_meier(**split, cluster=np.concatenate([person, person[inside]]))
    assert_close(_read(parts, GRID), _read(whole, GRID), 1e-9, "split, robust", atol=1e-7)
    if np.isfinite(whole.rmst(15, extend=True).std_error):
        assert_close([parts.rmst(15, extend=True).std_error], [whole.rmst(15, extend=True).std_error], 1e-7, "rmst")


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.integers(0, 3))
def test_whole_number_weights_are_counts(rows: dict[str, Any], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(1, 4, len(rows["exit"]))
    weighted = kaplan_meier(**rows, weights=weights)
    repeated = kaplan_meier(**_each(rows, lambda values: np.repeat(values, weights)))
    assert weighted.se_kind == "Greenwood"
    assert_close(_read(weighted, GRID), _read(repeated, GRID), 1e-9, "weighted")


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.sampled_from([1 / 365.25, 0.5, 1440.0]))
def test_units_of_time_do_not_matter(rows: dict[str, Any], scale: float) -> None:
    there = kaplan_meier(rows["exit"] * scale, rows["event"], entry=rows["entry"] * scale)
    here = kaplan_meier(**rows)
    assert_close(there.survival, here.survival, 1e-10, "scaled")
    assert_close([there.rmst(9 * scale, extend=True).estimate / scale], [here.rmst(9, extend=True).estimate], 1e-9)


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.integers(0, 5))
def test_robust_variance_equals_brute_force(rows: dict[str, Any], seed: int) -> None:
    """The influence of a row is the derivative of log S in its weight, here by finite differences."""
    n = len(rows["exit"])
    weights = np.random.default_rng(seed).uniform(0.5, 2, n)
    curve = kaplan_meier(**rows, weights=weights, robust=True)
    alive = curve.survival > 0
    step, total = 1e-5, np.zeros(int(alive.sum()))
    for row in range(n):
        up, down = weights.copy(), weights.copy()
        up[row] += step
        down[row] -= step
        high = kaplan_meier(**rows, weights=up).survival[alive]
        low = kaplan_meier(**rows, weights=down).survival[alive]
        total += (weights[row] * (np.log(high) - np.log(low)) / (2 * step)) ** 2
    assert_close(curve.std_error_log[alive], np.sqrt(total), 1e-5, "influence", atol=1e-6)


def test_hazard_limits_bracket_the_estimate() -> None:
    curve: HazardCurve = nelson_aalen([1, 2, 3, 4], [0, 1, 1, 0])
    assert curve.conf_low[0] == curve.conf_high[0] == 0
    assert (curve.conf_low[1:] < curve.cumulative_hazard[1:]).all()
    assert (curve.cumulative_hazard[1:] < curve.conf_high[1:]).all()


def test_no_weight_at_all_is_said() -> None:
    curve = kaplan_meier([1, 2, 3], [1, 1, 0], weights=[0, 0, 0])
    assert curve.note == "every weight is zero"


def test_words_are_no_numbers_and_labels_are_of_one_type() -> None:
    with pytest.raises(DataError, match="event holds values that are no numbers"):
        kaplan_meier([1, 2], ["dead", "alive"])
    with pytest.raises(DataError, match="cluster has labels of unlike types"):
        kaplan_meier([1, 2], [1, 0], cluster=np.array(["a", 1.0], dtype=object))
