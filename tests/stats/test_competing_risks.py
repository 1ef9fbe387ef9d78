"""Cumulative incidence, time lost, their contrasts and Gray's test against R, by hand, and by their own laws."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.causes import cause_codes
from clinops.stats.competing_risks import (
    CumulativeIncidence,
    aalen_johansen,
    aalen_johansen_by,
    compare_incidence,
    compare_time_lost,
)
from clinops.stats.gray import gray_test
from clinops.stats.logrank import logrank
from clinops.stats.survival import kaplan_meier
from tests.support import assert_close, case_file, oracle, oracle_csv

TIMES = [60, 120, 180, 240, 360]
DATA = {"mgus2_cr": ("etime", "event", "sex"), "bmt_cr": ("ftime", "fstatus", "group")}


def _data(name: str) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    """Return the reference values, times, causes and groups."""
    frame = oracle_csv(f"competing_risks/{name}")
    time, cause, group = (frame[column].to_numpy() for column in DATA[name])
    return oracle(f"competing_risks/{name}")["expected"], time, cause, group


# --- R ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variance", ["robust", "greenwood"])
def test_curves_errors_and_limits_equal_survfit(variance: str) -> None:
    """survfit's variance is the infinitesimal jackknife; without late entry Greenwood's is the same number."""
    expected, time, cause, _ = _data("mgus2_cr")
    wanted = expected["aalen_johansen"]
    points = aalen_johansen(time, cause, variance=variance, conf_type="log").at(TIMES)
    found = {
        "n_risk": points.n_risk,
        "pstate": np.column_stack([points.survival, points.incidence]),
        "std_err": np.column_stack([points.survival_std_error, points.std_error]),
    }
    assert_close(found, {key: wanted[key] for key in found}, 1e-7, "mgus2")
    for key, limits in (("lower_log", points.conf_low), ("upper_log", points.conf_high)):
        assert_close(limits, [row[1:] for row in wanted[key]], 1e-7, key)


def test_whole_curve_equals_survfit() -> None:
    expected, time, cause, _ = _data("mgus2_cr")
    wanted = expected["curve_every10"]
    curve = aalen_johansen(time, cause)
    assert_close(curve.time[::10], wanted["time"], 1e-12, "time")
    for column, name in enumerate(("pstate_pcm", "pstate_death")):
        assert_close(curve.incidence[::10, column], wanted[name], 1e-7, name)


@pytest.mark.parametrize("variance", ["robust", "greenwood"])
def test_curves_by_group_equal_survfit(variance: str) -> None:
    expected, time, cause, group = _data("mgus2_cr")
    wanted = expected["by_sex"]
    curves = aalen_johansen_by(group, time, cause, variance=variance)
    assert list(curves) == ["F", "M"]
    points = [curve.at(TIMES) for curve in curves.values()]
    states = np.concatenate([np.column_stack([p.survival, p.incidence]) for p in points])
    errors = np.concatenate([np.column_stack([p.survival_std_error, p.std_error]) for p in points])
    assert_close(states, wanted["pstate"], 1e-7, "pstate")
    assert_close(errors, wanted["std_err"], 1e-7, "std_err")


@pytest.mark.parametrize("name", DATA)
def test_curves_and_aalen_variance_equal_cuminc(name: str) -> None:
    expected, time, cause, group = _data(name)
    wanted = expected["cmprsk_cuminc" if name == "mgus2_cr" else "cuminc"]
    curves = aalen_johansen_by(group, time, cause, variance="aalen")
    for position, label in enumerate(wanted["group_event"]):
        which, code = label.split()
        curve = {str(key): value for key, value in curves.items()}[which]
        points, column = curve.at(wanted["times"]), curve.column(int(code))
        assert_close(points.incidence[:, column], wanted["est"][position], 1e-7, f"{label}.est")
        assert_close(points.std_error[:, column] ** 2, wanted["var"][position], 1e-7, f"{label}.var")


@pytest.mark.parametrize("name", DATA)
def test_gray_test_equals_cuminc(name: str) -> None:
    expected, time, cause, group = _data(name)
    wanted = expected["gray_test"]
    tests = [gray_test(time, cause, group, code) for code in wanted["event"]]
    found = {
        "stat": [test.statistic for test in tests], "p": [test.p_value for test in tests],
        "df": [test.df for test in tests],
    }  # fmt: skip
    assert_close(found, {key: wanted[key] for key in found}, 1e-7, name)


def test_time_lost_equals_survfit_and_the_wrong_curve_is_theirs() -> None:
    expected, time, cause, _ = _data("mgus2_cr")
    curve = aalen_johansen(time, cause)
    lost = [curve.time_lost(code, 360).estimate for code in (1, 2)]
    assert_close([360 - sum(lost), *lost], expected["rmtl_360"]["rmean"], 1e-7, "rmtl")
    wrong = curve.one_minus_kaplan_meier(1)[np.searchsorted(curve.time, TIMES, side="right") - 1]
    assert_close(wrong, expected["one_minus_km_pcm"], 1e-7, "1 - KM")
    assert (wrong > curve.at(TIMES).incidence[:, 0]).all()


# --- the case -----------------------------------------------------------------------------------------------


def test_case_c017_tied_events_of_different_kinds() -> None:
    data = pd.read_csv(case_file("C017", "followup.csv"))
    wanted = {
        1: (Fraction(1, 10), Fraction(1, 10), Fraction(4, 5)),
        3: (Fraction(23, 70), Fraction(3, 14), Fraction(16, 35)),
        5: (Fraction(23, 70), Fraction(11, 30), Fraction(32, 105)),
        6: (Fraction(101, 210), Fraction(11, 30), Fraction(16, 105)),
    }
    assert all(sum(row) == 1 for row in wanted.values())
    runs = [data, data, data.sample(frac=1, random_state=1)]
    found = [aalen_johansen(run["time"], run["event_type"]) for run in runs]
    for curve in found:
        points = curve.at(list(wanted))
        states = np.column_stack([points.incidence, points.survival])
        assert_close(states, [[float(value) for value in row] for row in wanted.values()], 1e-12, "C017")
    for curve in found[1:]:
        for name in ("incidence", "std_error", "conf_low", "survival"):
            np.testing.assert_array_equal(getattr(curve, name), getattr(found[0], name))
    assert found[0].one_minus_kaplan_meier(1)[-1] == pytest.approx(0.678571, abs=1e-6)


# --- by hand ------------------------------------------------------------------------------------------------


def test_variances_of_four_people_by_hand() -> None:
    """Cause 1 at 1, cause 2 at 2, censored at 3, cause 1 at 4: F_1 is 1/4 at 1 and 1/4 + 1/2 at 4."""
    curve = aalen_johansen([1, 2, 3, 4], [1, 2, 0, 1])
    assert curve.incidence[:, 0].tolist() == [0.25, 0.25, 0.25, 0.75]
    assert curve.survival.tolist() == [0.75, 0.5, 0.5, 0]
    # at 1: a share of 4. At 4, with S = 3/4, 1/2: derivatives in the hazards at 1 are 1 - (3/4 - 1/4) / (3/4) = 1/3
    # for cause 1, at 2 they are 3/4 (-(1/2) / (1/2)) = -3/4 for cause 2; multinomial variances p (1 - p) / n.
    assert curve.std_error[0, 0] ** 2 == pytest.approx(0.25 * 0.75 / 4)
    assert curve.std_error[3, 0] ** 2 == pytest.approx((1 / 3) ** 2 * (3 / 64) + (3 / 4) ** 2 * (2 / 27))
    # one at a time, the counting process has 1 / n^2 instead; the last one left counts in full, (1/2)^2
    aalen = aalen_johansen([1, 2, 3, 4], [1, 2, 0, 1], variance="aalen")
    assert aalen.std_error[3, 0] ** 2 == pytest.approx((1 / 3) ** 2 / 16 + (3 / 4) ** 2 / 9 + 0.25)


def test_log_log_and_plain_limits_by_hand() -> None:
    z = 1.959963984540054
    base = {"exit": [1, 2, 3, 4], "cause": [1, 2, 0, 0]}
    error = np.sqrt(0.25 * 0.75 / 4)
    plain = aalen_johansen(**base, conf_type="plain")
    assert plain.conf_low[0, 0] == 0 and plain.conf_high[0, 0] == pytest.approx(0.25 + z * error)
    loglog = aalen_johansen(**base)
    reach = z * error / (0.25 * np.log(4))
    assert loglog.conf_low[0, 0] == pytest.approx(np.exp(-np.log(4) * np.exp(reach)))
    assert loglog.conf_high[0, 0] == pytest.approx(np.exp(-np.log(4) * np.exp(-reach)))


def test_time_lost_without_censoring_is_a_mean() -> None:
    time, cause = np.array([2.0, 3.0, 5.0, 7.0, 8.0]), np.array([1, 2, 1, 2, 1])
    lost = np.where((cause == 1) & (time < 6), 6 - time, 0.0)
    found = aalen_johansen(time, cause).time_lost(1, 6)
    assert found.estimate == pytest.approx(lost.mean())
    assert found.std_error == pytest.approx(lost.std() / np.sqrt(5)), "each person is one observation"
    assert aalen_johansen(time, cause, variance="robust").time_lost(1, 6).std_error == pytest.approx(found.std_error)


def test_contrasts_by_hand() -> None:
    first = aalen_johansen([1, 2, 3, 4], [1, 2, 1, 0])
    second = aalen_johansen([1, 2, 3, 4, 5], [2, 1, 0, 0, 0])
    one, other = first.at([3]), second.at([3])
    a, b, va, vb = one.incidence[0, 0], other.incidence[0, 1 - 1], one.std_error[0, 0], other.std_error[0, 0]
    found = compare_incidence(first, second, 1, 3)
    assert (found.estimate, found.std_error) == pytest.approx((a - b, np.hypot(va, vb)))
    assert found.conf_low == pytest.approx(found.estimate - 1.959963984540054 * found.std_error)
    ratio = compare_incidence(first, second, 1, 3, scale="ratio")
    assert (ratio.estimate, ratio.std_error) == pytest.approx((a / b, np.hypot(va / a, vb / b)))
    assert ratio.conf_low * ratio.conf_high == pytest.approx(ratio.estimate**2)
    lost = [curve.time_lost(1, 4) for curve in (first, second)]
    gap = compare_time_lost(first, second, 1, 4)
    assert gap.estimate == pytest.approx(lost[0].estimate - lost[1].estimate)
    assert gap.std_error == pytest.approx(np.hypot(lost[0].std_error, lost[1].std_error))
    times = compare_time_lost(first, second, 1, 4, scale="ratio")
    assert times.estimate == pytest.approx(lost[0].estimate / lost[1].estimate)
    assert 0 < times.p_value < 1 and times.conf_low < times.estimate < times.conf_high


def test_labels_in_both_groups_are_one_cluster() -> None:
    """Matched sets: the error of a difference is that of the whole, by derivatives; of a group with itself it is 0."""
    rng = np.random.default_rng(3)
    time, cause = rng.integers(1, 9, 40).astype(float), rng.integers(0, 3, 40)
    group, pair, weights = np.arange(40) % 2, np.arange(40) // 2, rng.uniform(0.5, 2, 40)
    curves = aalen_johansen_by(group, time, cause, weights=weights, cluster=pair)
    parts = {
        compare_incidence: [curve.influence(1, 5) for curve in curves.values()],
        compare_time_lost: [curve.influence(1, 5, of="time lost") for curve in curves.values()],
    }
    for compare, (first, second) in parts.items():
        found = compare(curves[0], curves[1], 1, 5)
        assert found.std_error == pytest.approx(np.sqrt(((first - second) ** 2).sum())), "one of each in a pair"
        same = compare(curves[0], curves[0], 1, 5, scale="ratio")
        assert (same.estimate, same.std_error) == pytest.approx((1, 0), abs=1e-7)
    apart = aalen_johansen_by(group, time, cause, weights=weights, cluster=np.where(group == 0, pair, 100 + pair))
    found = compare_incidence(apart[0], apart[1], 1, 5)
    errors = [curve.at([5]).std_error[0, 0] for curve in apart.values()]
    assert found.std_error == pytest.approx(np.hypot(*errors))


# --- decided answers ----------------------------------------------------------------------------------------


def test_no_events_and_all_censored() -> None:
    curve = aalen_johansen([3, 5, 5], [0, 0, 0], causes=(1, 2))
    assert curve.note == "no events" and curve.events.tolist() == [0, 0]
    for values in (curve.incidence, curve.std_error, curve.conf_low, curve.conf_high):
        assert values.tolist() == [[0, 0], [0, 0]]
    assert curve.survival.tolist() == [1, 1] and curve.n_censor.tolist() == [1, 2]
    lost = curve.time_lost(2, 4)
    assert (lost.estimate, lost.std_error) == (0, 0) and "no event of cause 2" in lost.note
    assert aalen_johansen([3], [0]).causes == () and aalen_johansen([3], [0]).incidence.shape == (1, 0)


def test_an_empty_arm_is_an_empty_curve() -> None:
    for variance in ("greenwood", "aalen", "robust"):
        curve = aalen_johansen([], [], causes=(1, 2), variance=variance)
        assert curve.n == 0 and curve.incidence.shape == (0, 2) and curve.note == "no rows with follow-up"
        points = curve.at([0, 5])
        assert points.incidence.tolist() == [[0, 0], [0, 0]] and points.n_risk.tolist() == [0, 0]
        assert np.isnan(curve.time_lost(1, 5).estimate) and "follow-up ends at 0" in curve.time_lost(1, 5).note
    other = aalen_johansen([1, 2, 9], [1, 2, 0])
    found = compare_incidence(curve, other, 1, 5)
    assert np.isnan(found.estimate) and np.isnan(found.p_value) and "follow-up ends" in found.note
    assert np.isnan(aalen_johansen([], [], causes=(1,), cluster=[]).time_lost(1, 2).std_error)


def test_everybody_has_one_cause() -> None:
    curve = aalen_johansen([2, 2, 2], [1, 1, 1])
    assert curve.incidence.tolist() == [[1]] and curve.survival.tolist() == [0]
    assert np.isnan(curve.std_error[0, 0]) and np.isnan(curve.conf_high[0, 0]), "as Kaplan-Meier where S is 0"
    assert curve.time_lost(1, 10).estimate == 8, "nobody is left, so it is known up to any tau"
    both = aalen_johansen([2, 2, 2, 3], [1, 1, 2, 2])
    assert both.std_error[0, 0] ** 2 == pytest.approx(0.5 * 0.5 / 4), "two causes: an ordinary share"


def test_a_cause_that_one_group_lacks_is_a_curve_of_zeros() -> None:
    curves = aalen_johansen_by(["a", "a", "b", "b"], [1, 2, 1, 2], [1, 2, 1, 0], weights=[1, 1, 1, 1])
    assert curves["b"].causes == (1, 2) and curves["b"].at([2]).incidence.tolist() == [[0.5, 0]]
    ratio = compare_incidence(curves["a"], curves["b"], 2, 2, scale="ratio")
    assert np.isnan(ratio.estimate) and "no ratio" in ratio.note
    gap = compare_incidence(curves["a"], curves["b"], 2, 2)
    assert gap.estimate == 0.5 and "taken as certain" in gap.note


def test_time_beyond_follow_up_is_not_identified() -> None:
    curve = aalen_johansen([3, 6, 9], [1, 2, 0])
    lost = curve.time_lost(1, 12)
    assert np.isnan(lost.estimate) and "follow-up ends at 9" in lost.note
    longer = curve.time_lost(1, 12, extend=True)
    assert longer.estimate == pytest.approx(curve.time_lost(1, 9).estimate + 3 * curve.incidence[-1, 0])
    assert np.isnan(compare_incidence(curve, curve, 1, 12).estimate)


def test_rows_of_no_length_are_set_aside_and_counted() -> None:
    curve = aalen_johansen([0, 4, 5], [1, 2, 0], entry=[0, 4, 1], causes=(1, 2))
    assert (curve.set_aside, curve.n, curve.events.tolist()) == (2, 1, [0, 0])
    assert gray_test([0, 4, 5, 6], [1, 2, 1, 1], [0, 1, 0, 1], 1).set_aside == 1


def test_events_precede_censoring_at_equal_times() -> None:
    assert aalen_johansen([5, 5, 5, 5], [1, 2, 0, 0]).incidence.tolist() == [[0.25, 0.25]]


def test_gray_without_a_comparison() -> None:
    for test, why in (
        (gray_test([1, 2], [1, 1], ["a", "a"], 1), "one group only"),
        (gray_test([1, 2], [2, 0], ["a", "b"], 1), "no events of cause 1"),
        (gray_test([], [], [], 1), "no rows"),
        (gray_test([1, 2], [1, 1], [0, 1], 1, strata=[0, 1]), "no event at a time when two groups"),
    ):
        assert np.isnan(test.statistic) and np.isnan(test.p_value) and test.df == 0 and why in test.note


def test_gray_with_no_events_in_one_arm_is_an_ordinary_test() -> None:
    test = gray_test([1, 2, 3, 4, 5, 6], [1, 1, 2, 0, 2, 0], [0, 0, 0, 1, 1, 1], 1)
    # by hand: expected in arm 0 is 3/6 and, one having left, 2/5
    assert test.score[0] == pytest.approx(2 - 3 / 6 - 2 / 5) and test.df == 1 and test.n_event.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"exit": [1, np.nan], "cause": [1, 0]}, "exit has 1 missing"),
        ({"exit": [1, 2], "cause": [1, np.nan]}, "cause has 1 values that are no whole number"),
        ({"exit": [1, 2], "cause": [1, -1]}, "no whole number of 0 or more"),
        ({"exit": [1, 2], "cause": [1, 1.5]}, "no whole number"),
        ({"exit": [1, 2], "cause": ["death", "none"]}, "one column of whole numbers"),
        ({"exit": [1, 2], "cause": [1]}, "event has the shape"),
        ({"exit": [1, 2], "cause": [1, 3], "causes": (1, 2)}, "3 occurs 1 times"),
        ({"exit": [1, 2], "cause": [1, 0], "causes": (0, 1)}, "without 0"),
        ({"exit": [1, 2], "cause": [1, 0], "entry": [0, 3]}, "enter after they leave"),
        ({"exit": [1, 2], "cause": [1, 0], "weights": [1, -1]}, "negative"),
    ],
)
def test_bad_rows_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        aalen_johansen(**arguments)


def test_bad_options_are_refused() -> None:
    curve = aalen_johansen([1, 2], [1, 2])
    for call, says in (
        (lambda: aalen_johansen([1], [1], conf_type="loglog"), "Did you mean 'log-log'"),
        (lambda: aalen_johansen([1], [1], level=95), "level"),
        (lambda: aalen_johansen([1], [1], variance="grenwood"), "Did you mean 'greenwood'"),
        (lambda: aalen_johansen([1], [1], variance="aalen", cluster=[0]), "cluster asks for"),
        (lambda: curve.time_lost(3, 1), "cause"),
        (lambda: curve.time_lost(1, -1), "tau"),
        (lambda: compare_incidence(curve, curve, 1, 1, scale="odds"), "scale"),
        (lambda: curve.influence(1, 1, of="time"), "quantity"),
        (lambda: gray_test([1], [1], [1], 1, rho=np.nan), "rho"),
    ):
        with pytest.raises(ParameterError, match=says):
            call()
    with pytest.raises(DataError, match="cluster has 1 missing"):
        aalen_johansen_by([1.0, np.nan], [1, 2], [1, 2])
    assert cause_codes(np.array([True, False])).tolist() == [1, 0]


# --- laws ---------------------------------------------------------------------------------------------------

GRID = np.arange(0, 20, 0.5)
KINDS = ("greenwood", "aalen", "robust")


@st.composite
def _follow_up(draw: st.DrawFn, *, late: bool = True) -> dict[str, Any]:
    n = draw(st.integers(2, 25))
    entry = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)) if late else [0] * n
    length = draw(st.lists(st.integers(1, 10), min_size=n, max_size=n))
    cause = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    return {"entry": np.array(entry, float), "exit": np.add(entry, length).astype(float), "cause": np.array(cause)}


def _curve(rows: dict[str, Any], **options: Any) -> CumulativeIncidence:
    return aalen_johansen(**rows, causes=(1, 2), **options)


def _read(curve: CumulativeIncidence) -> dict[str, Any]:
    points = curve.at(GRID)
    lost = [curve.time_lost(cause, 15, extend=True) for cause in (1, 2)]
    return {
        "incidence": points.incidence, "survival": points.survival, "n_risk": points.n_risk,
        "lost": [one.estimate for one in lost], "lost_error": [one.std_error for one in lost],
        "std_error": points.std_error, "survival_std_error": points.survival_std_error,
    }  # fmt: skip


def _each(rows: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(values) for name, values in rows.items()}


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.randoms(use_true_random=False), st.sampled_from(KINDS))
def test_order_of_rows_does_not_matter(rows: dict[str, Any], random: Any, variance: str) -> None:
    order = list(range(len(rows["exit"])))
    random.shuffle(order)
    straight, shuffled = (_read(_curve(some, variance=variance)) for some in (rows, _each(rows, lambda v: v[order])))
    assert_close(shuffled, straight, 1e-9, "shuffled", atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.floats(0.05, 0.95), st.sampled_from(KINDS))
def test_splitting_a_row_changes_nothing(rows: dict[str, Any], share: float, variance: str) -> None:
    n = len(rows["exit"])
    cut = rows["entry"] + np.round(share * (rows["exit"] - rows["entry"]), 1)
    inside = (cut > rows["entry"]) & (cut < rows["exit"])
    split: dict[str, Any] = {
        "entry": np.concatenate([rows["entry"], cut[inside]]),
        "exit": np.concatenate([np.where(inside, cut, rows["exit"]), rows["exit"][inside]]),
        "cause": np.concatenate([np.where(inside, 0, rows["cause"]), rows["cause"][inside]]),
    }
    person = np.arange(n)
    robust = variance == "robust"
    whole = _curve(rows, variance=variance, cluster=person if robust else None)
    parts = _curve(split, variance=variance, cluster=np.concatenate([person, person[inside]]) if robust else None)
    assert_close(_read(parts), _read(whole), 1e-9, "split", atol=1e-7)


@settings(deadline=None, max_examples=40)
@given(_follow_up(), st.integers(0, 3), st.sampled_from(KINDS))
def test_whole_number_weights_are_counts(rows: dict[str, Any], seed: int, variance: str) -> None:
    weights = np.random.default_rng(seed).integers(1, 4, len(rows["exit"]))
    repeated_rows = _each(rows, lambda values: np.repeat(values, weights))
    person = np.repeat(np.arange(len(weights)), weights)
    weighted = _curve(rows, weights=weights, variance=variance)
    # The robust variance takes a weight as one person's, so the copies are one cluster.
    repeated = _curve(repeated_rows, variance=variance, cluster=person if variance == "robust" else None)
    assert_close(_read(weighted), _read(repeated), 1e-9, "weighted", atol=1e-7)
    assert _curve(rows, weights=weights).se_kind == "Greenwood"


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.sampled_from([1 / 365.25, 0.5, 1440.0]), st.sampled_from(KINDS))
def test_units_of_time_do_not_matter(rows: dict[str, Any], scale: float, variance: str) -> None:
    scaled = {**rows, "entry": rows["entry"] * scale, "exit": rows["exit"] * scale}
    there, here = _curve(scaled, variance=variance), _curve(rows, variance=variance)
    for name in ("incidence", "std_error", "survival"):
        assert_close(getattr(there, name), getattr(here, name), 1e-9, name, atol=1e-7)
    lost = [one.time_lost(1, 9 * by, extend=True) for one, by in ((there, scale), (here, 1))]
    found = [lost[0].estimate / scale, lost[0].std_error / scale]
    assert_close(found, [lost[1].estimate, lost[1].std_error], 1e-9, "lost", atol=1e-7)


@settings(deadline=None, max_examples=60)
@given(_follow_up(), st.integers(0, 5))
def test_states_add_up_to_one_and_time_to_tau(rows: dict[str, Any], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(rows["exit"]))
    curve = _curve(rows, weights=weights)
    assert_close(curve.incidence.sum(axis=1) + curve.survival, np.ones(len(curve.time)), 1e-12, "sum")
    free = kaplan_meier(rows["exit"], rows["cause"] > 0, entry=rows["entry"], weights=weights)
    assert_close(curve.survival, free.survival, 1e-12, "survival")
    assert_close(curve.survival_std_error, free.std_error, 1e-8, "survival error", atol=1e-9)
    lost = sum(curve.time_lost(cause, 12, extend=True).estimate for cause in (1, 2))
    assert lost + free.rmst(12, extend=True).estimate == pytest.approx(12, rel=1e-12)
    assert (curve.one_minus_kaplan_meier(1) >= curve.incidence[:, 0] - 1e-12).all()


@settings(deadline=None, max_examples=60)
@given(_follow_up(), st.integers(0, 5), st.booleans())
def test_one_cause_is_one_minus_kaplan_meier(rows: dict[str, Any], seed: int, weighted: bool) -> None:
    event = rows["cause"] > 0
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(event)) if weighted else None
    curve = aalen_johansen(rows["exit"], event, entry=rows["entry"], weights=weights, causes=(1,))
    km = kaplan_meier(rows["exit"], event, entry=rows["entry"], weights=weights)
    assert curve.se_kind == km.se_kind
    assert_close(curve.incidence[:, 0], 1 - km.survival, 1e-12, "incidence")
    assert_close(curve.std_error[:, 0], km.std_error, 1e-8, "error", atol=1e-7)
    assert_close(curve.one_minus_kaplan_meier(1), 1 - km.survival, 1e-12, "1 - KM")
    lost, lived = curve.time_lost(1, 11, extend=True), km.rmst(11, extend=True)
    assert_close([11 - lost.estimate, lost.std_error], [lived.estimate, lived.std_error], 1e-9, "mean", atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(_follow_up(late=False))
def test_without_late_entry_greenwood_is_robust(rows: dict[str, Any]) -> None:
    model, robust = (_read(_curve(rows, variance=kind)) for kind in ("greenwood", "robust"))
    assert_close(robust, model, 1e-9, "kinds", atol=1e-7)


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.integers(0, 5), st.booleans())
def test_influences_sum_to_the_robust_variance(rows: dict[str, Any], seed: int, clustered: bool) -> None:
    n = len(rows["exit"])
    weights = np.random.default_rng(seed).uniform(0.5, 2, n)
    cluster = np.arange(n) // 3 if clustered else np.arange(n)
    curve = _curve(rows, weights=weights, cluster=cluster)
    for at, time in enumerate(curve.time):
        for column, cause in enumerate((1, 2)):
            total = np.bincount(cluster, weights=curve.influence(cause, time))
            if np.isfinite(curve.std_error[at, column]):
                assert_close([curve.std_error[at, column]], [np.sqrt((total**2).sum())], 1e-8, "incidence", atol=1e-7)
    total = np.bincount(cluster, weights=curve.influence(2, 11, of="time lost"))
    error = curve.time_lost(2, 11, extend=True).std_error
    assert_close([error], [np.sqrt((total**2).sum())], 1e-9, "time lost")


@settings(deadline=None, max_examples=25)
@given(_follow_up(), st.integers(0, 5), st.booleans())
def test_robust_variance_equals_brute_force(rows: dict[str, Any], seed: int, clustered: bool) -> None:
    """The influence of a row is the derivative in its weight, here by finite differences."""
    n = len(rows["exit"])
    weights = np.random.default_rng(seed).uniform(0.5, 2, n)
    cluster = np.arange(n) // 2 if clustered else np.arange(n)

    def values(w: np.ndarray) -> np.ndarray:
        curve = _curve(rows, weights=w)
        lost = [curve.time_lost(cause, 13, extend=True).estimate for cause in (1, 2)]
        return np.concatenate([curve.incidence.ravel(), lost])

    step, influence = 1e-5, np.zeros((n, len(values(weights))))
    for row in range(n):
        change = np.zeros(n)
        change[row] = step
        influence[row] = weights[row] * (values(weights + change) - values(weights - change)) / (2 * step)
    total = np.zeros((cluster[-1] + 1, influence.shape[1]))
    np.add.at(total, cluster, influence)
    expected = np.sqrt((total**2).sum(axis=0))
    curve = _curve(rows, weights=weights, cluster=cluster)
    found = np.concatenate(
        [curve.std_error.ravel(), [curve.time_lost(cause, 13, extend=True).std_error for cause in (1, 2)]]
    )
    known = ~np.isnan(found)
    assert_close(found[known], expected[known], 1e-5, "influence", atol=2e-6)


@settings(deadline=None, max_examples=30)
@given(_follow_up(late=False), st.integers(0, 9), st.sampled_from([0.0, 1.0]), st.sampled_from([1 / 365.25, 30.0]))
def test_gray_does_not_depend_on_order_units_or_labels(rows: dict[str, Any], seed: int, rho: float, by: float) -> None:
    rng = np.random.default_rng(seed)
    n = len(rows["exit"])
    group, order = rng.integers(0, 3, n), rng.permutation(n)
    test = gray_test(rows["exit"], rows["cause"], group, 1, rho=rho)
    again = gray_test(rows["exit"][order] * by, rows["cause"][order], 7 - group[order], 1, rho=rho)
    assert_close(again.score[::-1], test.score, 1e-9, "score", atol=1e-9)
    assert again.df == test.df
    assert_close([again.statistic], [test.statistic], 1e-6, "statistic", atol=1e-9)
    assert abs(test.score.sum()) < 1e-9 and np.abs(test.variance.sum(axis=0)).max() < 1e-9


@settings(deadline=None, max_examples=30)
@given(_follow_up(late=False), st.integers(0, 9))
def test_gray_adds_over_strata_and_is_the_logrank_score_with_one_cause(rows: dict[str, Any], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = len(rows["exit"])
    group, stratum = np.concatenate([[0, 1, 0, 1], rng.integers(0, 2, n)])[:n], rng.integers(0, 2, n)
    exit_, cause = rows["exit"], rows["cause"]
    whole = gray_test(exit_, cause, group, 1, strata=stratum)
    parts = [gray_test(exit_[here], cause[here], group[here], 1) for here in (stratum == 0, stratum == 1)]
    if all(len(part.groups) == 2 for part in parts):
        assert_close(whole.score, parts[0].score + parts[1].score, 1e-9, "score")
        assert_close(whole.variance, parts[0].variance + parts[1].variance, 1e-9, "variance")
    event = (cause > 0).astype(int)
    simple = logrank(exit_, event, group)
    assert_close(gray_test(exit_, event, group, 1).score, simple.observed - simple.expected, 1e-9, "logrank")
