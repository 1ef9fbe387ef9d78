"""Mean cumulative functions against R, by hand where death ends the events, and by their own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.recurrent import MeanCurve, mean_contrast, mean_cumulative
from clinops.stats.survival import kaplan_meier, nelson_aalen
from tests.stats.recurrent_data import Rows, follow_up
from tests.support import assert_close, oracle, oracle_csv

BLADDER, CGD = oracle("recurrent/bladder")["expected"], oracle("recurrent/cgd")["expected"]
TERMINAL = oracle("recurrent/recurrent_terminal")["expected"]


def _bladder(rx: int, **options: Any) -> MeanCurve:
    data = oracle_csv("recurrent/bladder2")
    data = data[data["rx"] == rx]
    return mean_cumulative(data["stop"], data["event"], data["id"], entry=data["start"], **options)


def _cgd(treat: int) -> MeanCurve:
    data = oracle_csv("recurrent/cgd")
    data = data[data["treat"] == treat]
    return mean_cumulative(data["tstop"], data["status"], data["id"], entry=data["tstart"])


def _terminal(arm: int) -> pd.DataFrame:
    data = oracle_csv("recurrent/recurrent_terminal")
    return data[data["arm"] == arm]


def _with_death(data: pd.DataFrame, **options: Any) -> MeanCurve:
    return mean_cumulative(
        data["stop"], data["status"] == 1, data["id"], entry=data["start"], death=data["status"] == 2, **options
    )


@pytest.mark.parametrize(
    ("curve", "wanted"),
    [
        (lambda: _bladder(1), BLADDER["mcf_rx1"]),
        (lambda: _bladder(2), BLADDER["mcf_rx2"]),
        (lambda: _cgd(0), CGD["mcf_treat0"]),
        (lambda: _cgd(1), CGD["mcf_treat1"]),
    ],
)
def test_mean_and_robust_error_equal_r(curve: Any, wanted: dict[str, Any]) -> None:
    found = curve()
    points = found.at(wanted["time"])
    assert_close({"mcf": points.mean, "se_robust": points.std_error}, _some(wanted, "mcf", "se_robust"), 1e-7)
    jumps = found.n_event > 0
    whole = {
        "event_times": found.time[jumps], "n_risk": found.n_risk[jumps], "n_event": found.n_event[jumps],
        "mcf_curve": found.mean[jumps],
    }  # fmt: skip
    assert_close(whole, _some(wanted, *whole), 1e-7)
    poisson = np.concatenate([[0], found.std_error_poisson])[np.searchsorted(found.time, wanted["time"], "right")]
    assert_close(poisson, wanted["se_poisson"], 1e-7)


def _some(wanted: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: wanted[key] for key in keys}


def test_robust_error_equals_r_survfit() -> None:
    wanted = BLADDER["survfit_check"]
    points = [_bladder(rx).at([6, 12, 24, 36, 48]) for rx in (1, 2)]
    assert_close(np.concatenate([p.mean for p in points]), wanted["cumhaz"], 1e-7)
    assert_close(np.concatenate([p.std_error for p in points]), wanted["std_chaz"], 1e-7)


@pytest.mark.parametrize("arm", [0, 1])
def test_mean_with_death_equals_the_reference_by_hand(arm: int) -> None:
    wanted = TERMINAL["ghosh_lin_by_hand"][f"arm{arm}"]
    points = _with_death(_terminal(arm)).at(wanted["time"])
    assert_close({"time": points.time, "mean_events": points.mean, "survival": points.survival}, wanted, 1e-7)


@pytest.mark.parametrize("arm", [0, 1])
def test_mean_that_ignores_death_equals_r(arm: int) -> None:
    data, wanted = _terminal(arm), TERMINAL["naive_mcf_ignoring_death"][f"arm{arm}"]
    found = mean_cumulative(data["stop"], data["status"] == 1, data["id"], entry=data["start"])
    points = found.at(wanted["time"])
    assert_close({"mcf": points.mean, "se_robust": points.std_error}, _some(wanted, "mcf", "se_robust"), 1e-7)
    assert (points.mean > _with_death(data).at(wanted["time"]).mean).all(), "the dead have no more events"


@pytest.mark.parametrize("arm", [0, 1])
def test_error_with_death_is_the_infinitesimal_jackknife(arm: int) -> None:
    """mets gives an error for distinct times only (here days are tied, and its errors are 1 to 10 % lower).

    So each person's influence is taken as the derivative of the estimate, by hand, with respect to their weight.
    """
    data, times = _terminal(arm), TERMINAL["mets_recurrentMarginal"][f"arm{arm}"]["time"]
    found = _with_death(data)
    people, step = data["id"].unique(), 1e-4
    slopes = []
    for person in people:
        mine = data["id"].to_numpy() == person
        up, down = (_by_hand(data, np.where(mine, 1 + side * step, 1.0), times) for side in (1, -1))
        slopes.append((up - down) / (2 * step))
    assert_close(found.at(times).std_error, np.sqrt((np.array(slopes) ** 2).sum(axis=0)), 1e-6)
    for time, error in zip(times, found.at(times).std_error, strict=True):
        assert np.sqrt((_by_person(found, time) ** 2).sum()) == pytest.approx(error, rel=1e-10)
    # The means of mets take exp(-H) for S: near, not equal.
    assert_close(found.at(times).mean, TERMINAL["mets_recurrentMarginal"][f"arm{arm}"]["mean_events"], 0.01)


def _by_person(curve: MeanCurve, time: float) -> np.ndarray:
    return pd.Series(curve.influence(time)).groupby(curve.labels).sum().to_numpy()


def _by_hand(data: pd.DataFrame, weight: np.ndarray, times: list[float]) -> np.ndarray:
    """Ghosh and Lin's mean, time by time."""
    start, stop, status = (data[name].to_numpy() for name in ("start", "stop", "status"))
    survival, mean, found = 1.0, 0.0, np.zeros(len(times))
    for time in np.unique(stop):
        at_risk = weight[(start < time) & (time <= stop)].sum()
        mean += survival * weight[(stop == time) & (status == 1)].sum() / at_risk
        survival *= 1 - weight[(stop == time) & (status == 2)].sum() / at_risk
        found[np.array(times) >= time] = mean
    return found


def test_means_and_errors_are_right_in_repeated_samples() -> None:
    """Events at rate 2 (times a person's gamma frailty of mean 1), death at rate 0.5: m(1) = 2 (1 - e^-0.5) / 0.5."""
    rng, truth = np.random.default_rng(5), 4 * (1 - np.exp(-0.5))
    found = []
    for _ in range(300):
        n = 80
        dies = rng.exponential(2, n)
        stop = np.minimum(dies, rng.uniform(0.5, 2, n))
        count = rng.poisson(2 * rng.gamma(2, 0.5, n) * stop)
        who = np.repeat(np.arange(n), count)
        when = rng.uniform(0, stop[who])
        order = np.lexsort((when, who))
        who, when = who[order], when[order]
        person = np.concatenate([who, np.arange(n)])
        exit = np.concatenate([when, stop])
        before = np.concatenate([[False], who[1:] == who[:-1]])[: len(who)]
        begin = np.where(before, np.concatenate([[0], when[:-1]])[: len(who)], 0.0)
        latest = np.zeros(n)
        np.maximum.at(latest, who, when)
        event = np.arange(len(exit)) < len(who)
        death = np.concatenate([np.zeros(len(who)), dies == stop])
        points = mean_cumulative(exit, event, person, entry=np.concatenate([begin, latest]), death=death).at(1.0)
        found.append((points.mean[0], points.std_error[0]))
    estimate, error = np.array(found).T
    spread = estimate.std(ddof=1)
    assert abs(estimate.mean() - truth) < 3 * spread / np.sqrt(len(found))
    assert abs(np.sqrt((error**2).mean()) / spread - 1) < 3 / np.sqrt(2 * len(found))


def test_difference_and_ratio_from_the_reference() -> None:
    one, other = BLADDER["mcf_rx2"], BLADDER["mcf_rx1"]
    at = one["time"].index(36)
    m, m0, s, s0 = one["mcf"][at], other["mcf"][at], one["se_robust"][at], other["se_robust"][at]
    found = mean_contrast(_bladder(2), _bladder(1), 36)
    error = np.hypot(s, s0)
    ours = [found.mean, found.mean_0, found.estimate, found.std_error, found.conf_low, found.conf_high]
    z = 1.959963984540054
    assert_close(ours, [m, m0, m - m0, error, m - m0 - z * error, m - m0 + z * error], 1e-7)
    found = mean_contrast(_bladder(2), _bladder(1), 36, scale="ratio")
    error = np.hypot(s / m, s0 / m0)
    ours = [found.estimate, found.std_error, found.conf_low, found.conf_high]
    assert_close(ours, [m / m0, error, m / m0 * np.exp(-z * error), m / m0 * np.exp(z * error)], 1e-7)
    assert 0.1 < found.p_value < 0.5


def test_difference_of_pairs_counts_their_likeness() -> None:
    """The two arms of a pair move together: the derivative of the difference by the pair's weight, squared."""
    rng = np.random.default_rng(2)
    pair = np.arange(20)
    stop, event = rng.integers(2, 12, (2, 20)).astype(float), rng.integers(0, 2, (2, 20))
    event[1] = event[0]
    stop[1] = stop[0] + rng.integers(0, 2, 20)
    ones = np.ones(20)

    def curves(weight: np.ndarray) -> list[MeanCurve]:
        return [mean_cumulative(stop[a], event[a], pair, weights=weight) for a in (0, 1)]

    def difference(weight: np.ndarray) -> float:
        one, other = curves(weight)
        return float(one.at(6).mean[0] - other.at(6).mean[0])

    step = 1e-5
    slopes = [
        (difference(ones + step * (pair == p)) - difference(ones - step * (pair == p))) / (2 * step) for p in pair
    ]
    paired, apart = mean_contrast(*curves(ones), 6, shared=True), mean_contrast(*curves(ones), 6)
    assert paired.std_error == pytest.approx(np.sqrt(np.sum(np.square(slopes))), rel=1e-6)
    assert paired.std_error < apart.std_error


# --- decided answers ---------------------------------------------------------------------------------------


def test_no_events_is_zero_with_a_note() -> None:
    curve = mean_cumulative([3, 5], [0, 0], ["a", "b"])
    assert curve.mean.tolist() == [0, 0] == curve.std_error.tolist() and curve.note == "no events"
    found = mean_contrast(_terminal_free(), curve, 3)
    assert found.estimate == found.mean > 0 and "taken as certain" in found.note and found.std_error > 0
    ratio = mean_contrast(_terminal_free(), curve, 3, scale="ratio")
    assert ratio.estimate == np.inf and np.isnan(ratio.conf_low) and "no interval" in ratio.note
    both = mean_contrast(curve, curve, 3, scale="ratio")
    assert np.isnan(both.estimate) and both.note
    none = mean_contrast(curve, curve, 3)
    assert none.estimate == 0 and np.isnan(none.p_value)


def _terminal_free() -> MeanCurve:
    return mean_cumulative([1, 4, 2, 5, 6], [1, 0, 1, 1, 0], [1, 1, 2, 2, 3], entry=[0, 1, 0, 2, 0])


def test_one_person_has_a_mean_but_no_error() -> None:
    curve = mean_cumulative([2, 4, 6], [1, 1, 0], [7, 7, 7], entry=[0, 2, 4])
    assert curve.mean.tolist() == [1, 2, 2] and np.isnan(curve.std_error).all() and np.isnan(curve.conf_low).all()
    assert "no standard error" in curve.note
    assert np.isnan(mean_contrast(curve, _terminal_free(), 4).std_error)


def test_nobody_is_an_empty_curve() -> None:
    curve = mean_cumulative([], [], [])
    assert curve.persons == 0 and len(curve.time) == 0 and "no rows with follow-up" in curve.note
    assert curve.at([1.0]).mean.tolist() == [0]
    found = mean_contrast(_terminal_free(), curve, 3)
    assert np.isnan(found.estimate) and "no rows" in found.note


def test_beyond_follow_up_the_mean_is_not_known_unless_all_have_died() -> None:
    found = mean_contrast(_terminal_free(), _terminal_free(), 7)
    assert np.isnan(found.estimate) and "ends at 6" in found.note
    dead = mean_cumulative([1, 3, 2], [1, 0, 0], [1, 1, 2], entry=[0, 1, 0], death=[0, 1, 1])
    assert dead.survival[-1] == 0
    found = mean_contrast(dead, dead, 9)
    assert found.mean == 0.5 and found.estimate == 0 and found.note == ""


def test_an_event_and_death_on_one_row_count_in_that_order() -> None:
    curve = mean_cumulative([4, 4], [1, 0], ["a", "b"], death=[1, 0])
    assert curve.mean.tolist() == [0.5] and curve.survival.tolist() == [0.5]


def test_when_the_last_die_the_error_stays_finite() -> None:
    curve = mean_cumulative([1, 3, 2, 3], [1, 1, 0, 0], [1, 1, 2, 3], entry=[0, 1, 0, 0], death=[0, 1, 1, 1])
    assert curve.survival[-1] == 0 and np.isfinite(curve.std_error).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"exit": [5, 6], "event": [1, 0], "person": [1, 1], "entry": [0, 4]}, "must not overlap"),
        ({"exit": [5, 6], "event": [1, 0], "person": [1, 1], "entry": [0, 5], "death": [1, 0]}, "follow the person's"),
        ({"exit": [5, 6], "event": [1, 0], "person": [1]}, "person has the shape"),
        ({"exit": [5, 6], "event": [1, 0], "person": [1, 2], "death": [0, 2]}, "death must be 0 or 1"),
        ({"exit": [5, 6], "event": [1, 2], "person": [1, 2]}, "event must be 0 or 1"),
    ],
)
def test_bad_rows_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        mean_cumulative(**arguments)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ParameterError, match="kind of interval"):
        mean_cumulative([1], [1], [1], conf_type="log-log")
    with pytest.raises(ParameterError, match="level"):
        mean_cumulative([1], [1], [1], level=95)
    curve, other = _terminal_free(), mean_cumulative([2, 3], [1, 0], [1, 2], death=[0, 1])
    with pytest.raises(ParameterError, match="scale"):
        mean_contrast(curve, curve, 3, scale="odds")
    with pytest.raises(ParameterError, match="account of death"):
        mean_contrast(curve, other, 2)
    with pytest.raises(ParameterError, match="time is nan"):
        mean_contrast(curve, curve, float("nan"))


def test_plain_limits() -> None:
    curve = _bladder(1, conf_type="plain", level=0.9)
    assert_close(curve.conf_high - curve.mean, 1.6448536269514722 * curve.std_error, 1e-12)


# --- laws ---------------------------------------------------------------------------------------------------

GRID = np.arange(0, 20, 0.5)
LAW = settings(deadline=None, max_examples=60, derandomize=True)


def _curve(rows: Rows, deadly: bool, **options: Any) -> MeanCurve:
    options = {"weights": rows.weight, **options}
    death = rows.death if deadly else None
    return mean_cumulative(rows.exit, rows.event, rows.person, entry=rows.entry, death=death, **options)


def _same(one: MeanCurve, other: MeanCurve, scale: float = 1.0) -> None:
    left, right = one.at(GRID), other.at(GRID * scale)
    for name in ("mean", "std_error", "survival", "n_risk"):
        np.testing.assert_allclose(getattr(left, name), getattr(right, name), atol=1e-7, err_msg=name)


@LAW
@given(follow_up(), st.booleans(), st.integers(0, 100), st.sampled_from([3.0, 5.5, 8.0]))
def test_order_and_cuts_of_rows_change_nothing(rows: Rows, deadly: bool, seed: int, cut: float) -> None:
    curve = _curve(rows, deadly)
    _same(curve, _curve(rows.take(np.random.default_rng(seed).permutation(len(rows.exit))), deadly))
    _same(curve, _curve(rows.split(cut), deadly))


@LAW
@given(follow_up(), st.booleans())
def test_whole_weights_are_copies_in_the_cluster_of_their_person(rows: Rows, deadly: bool) -> None:
    copies, whose = rows.repeated()
    _same(_curve(rows, deadly), _curve(copies, deadly, cluster=whose))


@LAW
@given(follow_up(), st.booleans(), st.sampled_from([0.5, 7.0, 365.25]))
def test_units_of_time_and_size_of_weights_change_nothing(rows: Rows, deadly: bool, unit: float) -> None:
    scaled = mean_cumulative(
        rows.exit * unit, rows.event, rows.person, entry=rows.entry * unit, death=rows.death if deadly else None,
        weights=rows.weight,
    )  # fmt: skip
    _same(_curve(rows, deadly), scaled, unit)
    one, other = _curve(rows, deadly).at(GRID), _curve(rows, deadly, weights=rows.weight * 3).at(GRID)
    np.testing.assert_allclose(one.std_error, other.std_error, atol=1e-7)


@LAW
@given(follow_up())
def test_without_death_it_is_the_clustered_hazard_and_with_it_survival_is_kaplan_meier(rows: Rows) -> None:
    curve = _curve(rows, False)
    hazard = nelson_aalen(rows.exit, rows.event, entry=rows.entry, weights=rows.weight, cluster=rows.person)
    np.testing.assert_allclose(curve.mean, hazard.cumulative_hazard, atol=1e-10)
    np.testing.assert_allclose(curve.std_error, hazard.std_error, atol=1e-7)
    alive = kaplan_meier(rows.exit, rows.death, entry=rows.entry, weights=rows.weight)
    np.testing.assert_allclose(_curve(rows, True).survival, alive.survival, atol=1e-10)


@LAW
@given(follow_up(), st.sampled_from([4.0, 9.5, 30.0]))
def test_influences_add_up_to_nothing_and_give_the_error(rows: Rows, time: float) -> None:
    curve = _curve(rows, True)
    each = _by_person(curve, time)
    assert each.sum() == pytest.approx(0, abs=1e-9)
    assert np.sqrt((each**2).sum()) == pytest.approx(curve.at(time).std_error[0], abs=1e-7)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(follow_up(most=7), st.booleans(), st.sampled_from([4.0, 9.5]))
def test_influences_are_derivatives_by_weight_with_late_entry_and_weights(
    rows: Rows, deadly: bool, time: float
) -> None:
    each = _by_person(_curve(rows, deadly), time)
    step = 1e-5
    for position, person in enumerate(np.unique(rows.person)):
        mine = rows.person == person
        up, down = (
            _curve(rows, deadly, weights=rows.weight * np.where(mine, 1 + side * step, 1.0)).at(time).mean[0]
            for side in (1, -1)
        )
        assert each[position] == pytest.approx((up - down) / (2 * step), abs=1e-7)
