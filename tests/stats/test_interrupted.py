"""Segmented regression and its counterfactual: R on a made-up pair of series, by hand, and what must not matter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError, ParameterError
from clinops.stats.counterfactuals import Counterfactual, counterfactual
from clinops.stats.glm import glm
from clinops.stats.interrupted import (
    SegmentedFit,
    harmonics,
    season_indicators,
    segmented_design,
    segmented_diagnostics,
    segmented_regression,
)
from clinops.stats.serial import newey_west, newey_west_bandwidth
from tests.support import assert_close

SLOPES = ["intercept", "time", "level 41", "slope 41"]
NW = "newey-west"
WAVES = ["sin 1", "cos 1", "sin 2", "cos 2"]
NUMERICAL = 1e-7  # R's side takes numerical derivatives there


@pytest.fixture
def pair(reference: Any) -> tuple[dict[str, Any], Any, Any]:
    """Return the reference, the treated series, and both."""
    expected, _, frames = reference("its_did/interrupted")
    both = frames["interrupted.csv"]
    return expected, both[both.treated == 1], both


def assert_terms(fit: SegmentedFit, terms: list[str], expected: dict[str, Any], rtol: float = 1e-8) -> None:
    at = [fit.term(name) for name in terms]
    assert_close(fit.coef[at], expected["coef"], rtol, "coef")
    assert_close(fit.std_error[at], expected["se"], rtol, "se")


def assert_counterfactual(found: Counterfactual, expected: dict[str, Any]) -> None:
    for name, at in (("first", 0), ("last", -1)):
        for part in ("counterfactual", "effect", "ratio"):
            numbers = [getattr(found, f"{part}{end}")[at] for end in ("", "_low", "_high")]
            wanted = [expected[name][part][key] for key in ("value", "low", "high")]
            assert_close(numbers, wanted, NUMERICAL, f"{name} {part}")
        assert_close(found.std_error[at], expected[name]["effect"]["se"], NUMERICAL, name)
    for part in ("counterfactual", "effect", "ratio"):
        numbers = [getattr(found.total, f"{part}{end}") for end in ("", "_low", "_high")]
        assert_close(numbers, [expected["total"][part][key] for key in ("value", "low", "high")], NUMERICAL, part)
    assert_close(found.total.std_error, expected["total"]["effect"]["se"], NUMERICAL)


# --- against R -----------------------------------------------------------------------------------------------


def test_a_linear_series(pair):
    want, a, _ = pair
    want = want["linear"]
    design = segmented_design(a.time, 41)
    fit = segmented_regression(design, a.value, se="model")
    assert_terms(fit, SLOPES, want)
    for kind in ("HC0", "HC1", "HC3"):
        assert_close(segmented_regression(design, a.value, se=kind).std_error, want["hc"][kind])
    nw = want["newey_west"]
    for lag in (0, 3, 9):
        assert_close(segmented_regression(design, a.value, se=NW, lag=lag).std_error, nw[f"lag{lag}"])
    rule = segmented_regression(design, a.value, se=NW, small_sample=True)
    assert rule.lag == 3 and rule.se_kind == "Newey-West, lag 3, n/(n - k)"
    assert_close(rule.std_error, nw["lag3_small"])
    assert segmented_regression(design, a.value, se=NW, lag="automatic").lag == math.floor(want["bandwidth"])


def test_prewhitened_newey_west(pair):
    want, a, _ = pair
    want = want["linear"]["prewhitened"]
    design = segmented_design(a.time, 41)
    for lag in (0, 3):
        found = segmented_regression(design, a.value, se=NW, lag=lag, prewhiten=True)
        assert_close(found.std_error, want[f"lag{lag}"])
    automatic = segmented_regression(design, a.value, se=NW, lag="automatic", prewhiten=True)
    assert automatic.lag == math.floor(want["bandwidth"]) and "prewhitened" in automatic.se_kind
    twice = glm(np.column_stack([design.matrix, design.matrix[:, 1]]), a.value, "gaussian")
    assert_close(np.sqrt(np.diag(newey_west(twice, 3, prewhiten=True)[0])), [*want["lag3"], None])
    scores = glm(design.matrix, a.value, "gaussian").scores
    assert_close(newey_west_bandwidth(scores, [0, 1, 1, 1], prewhiten=True), want["bandwidth"])
    with pytest.raises(DataError, match="prewhitening needs every period"):
        segmented_regression(segmented_design(a.time, 41, transition=2), a.value, se=NW, prewhiten=True)
    with pytest.raises(DataError, match="too few to prewhiten"):
        segmented_regression(segmented_design([1, 2, 3, 4, 5], 3), [1, 3, 2, 5, 5], se=NW, prewhiten=True)


def test_the_interval_and_the_counterfactual_of_a_linear_series(pair):
    want, a, _ = pair
    fit = segmented_regression(segmented_design(a.time, 41), a.value, se=NW, lag=3)
    assert_close(fit.conf_low, want["linear"]["low"])
    found = counterfactual(fit)
    assert_counterfactual(found, want["linear"]["counterfactual"])
    assert found.total.periods == 32 and found.time[0] == 41


def test_diagnostics_of_a_linear_series(pair):
    want, a, _ = pair
    found = segmented_diagnostics(segmented_regression(segmented_design(a.time, 41), a.value), 12)
    for name in ("autocorrelation", "durbin_watson", "ljung_box", "ljung_box_p", "breusch_godfrey"):
        assert_close(getattr(found, name), want["linear"][name], label=name)


def test_counts_with_harmonics(pair):
    want, a, _ = pair
    want = want["counts"]
    design = segmented_design(a.time, 41, season=harmonics(a.month))
    fit = segmented_regression(design, a.events, "quasipoisson", offset=np.log(a.exposure), se="model")
    assert_terms(fit, SLOPES + WAVES, want)
    assert_close(fit.dispersion, want["dispersion"])
    assert_counterfactual(counterfactual(fit), want["counterfactual"])
    for kind, key in (("newey-west", "newey_west3"), ("HC1", "HC1")):
        robust = segmented_regression(design, a.events, "quasipoisson", offset=np.log(a.exposure), se=kind)
        assert_close(robust.std_error, want[key])


def test_counts_with_an_indicator_of_each_month(pair):
    want, a, _ = pair
    design = segmented_design(a.time, 41, change="level", season=season_indicators(a.month))
    fit = segmented_regression(design, a.events, "quasipoisson", offset=np.log(a.exposure), se="model")
    assert_terms(fit, [*SLOPES[:3], *(f"season {month}" for month in range(2, 13))], want["months"])


def test_two_interruptions(pair):
    want, a, _ = pair
    fit = segmented_regression(segmented_design(a.time, [49, 25]), a.value, se="model")
    assert_terms(fit, ["intercept", "time", "level 25", "slope 25", "level 49", "slope 49"], want["two"])


def test_a_transition_is_left_out_and_its_gap_is_a_distance(pair):
    want, a, _ = pair
    design = segmented_design(a.time, 41, transition=3)
    assert_terms(segmented_regression(design, a.value, se="model"), SLOPES, want["transition"])
    assert_close(segmented_regression(design, a.value, se=NW, lag=3).std_error, want["transition"]["newey_west3"])
    assert design.left_out == 3 and not set(design.time) & {41, 42, 43}
    assert "3 row(s) of the transition are left out. 3 period(s)" in design.note


def test_a_control_series(pair):
    want, _, both = pair
    want = want["control"]
    design = segmented_design(both.time, 41, treated=both.treated == 1)
    fit = segmented_regression(design, both.events, "quasipoisson", offset=np.log(both.exposure), se=NW)
    at = [fit.term(name) for name in [*SLOPES, "treated", *(f"treated:{name}" for name in SLOPES[1:])]]
    assert_close(fit.coef[at], want["coef"])
    assert_close(fit.std_error[at], want["newey_west3"])
    assert_counterfactual(counterfactual(fit), want["counterfactual"])
    plain = segmented_regression(design, both.events, "quasipoisson", offset=np.log(both.exposure), se="model")
    assert_close(plain.std_error[at], want["se"])


def test_ar1_errors_feed_the_same_counterfactual(pair):
    want, a, _ = pair
    fit = segmented_regression(segmented_design(a.time, 41), a.value, se="ar1 reml")
    assert_terms(fit, SLOPES, want["ar1"]["reml"], 1e-6)
    found = counterfactual(fit, (41, 41))
    assert_close(found.effect[0], fit.coef[2] + fit.coef[3])
    variance = fit.cov[2, 2] + fit.cov[3, 3] + 2 * fit.cov[2, 3]
    assert_close(found.std_error[0], math.sqrt(variance))
    assert segmented_diagnostics(fit, 12).ljung_box_df == 11


def test_errors_that_are_likely_too_small_are_noted(pair):
    want, a, _ = pair
    design = segmented_design(a.time, 41)
    assert round(want["linear"]["autocorrelation"][0], 2) == 0.45  # above 2 / sqrt(72) = 0.24
    assert "residuals correlate (0.45)" in segmented_regression(design, a.value, se="HC1").note
    assert "from 72 periods" in segmented_regression(design, a.value, se=NW).note
    assert segmented_regression(design, a.value, se="ar1 reml").note == ""


# --- by hand ---------------------------------------------------------------------------------------------------


def test_four_points_by_hand():
    # Slope from within the segments: sum of (t - mean)(y) = 0.5 x 2 + 0.5 x 4 = 3 over sum (t - mean)^2 = 1. Level:
    # 4 - 2 less 2 slopes = -4. Residuals 0.5, -0.5, -0.5, 0.5: RSS 1 on 1 degree of freedom, so the slope's error is 1.
    design = segmented_design([1, 2, 3, 4], 3, change="level")
    fit = segmented_regression(design, [1, 3, 2, 6], se="model")
    assert_close([fit.coef[1], fit.coef[2], fit.std_error[1]], [3, -4, 1])
    # Newey-West: (t - mean) e = -.25, -.25, .25, .25; squares .25, neighbours .0625 with weight 2 x 1/2.
    assert_close(segmented_regression(design, [1, 3, 2, 6], se=NW, lag=1).std_error[1] ** 2, 0.3125)
    found = segmented_diagnostics(fit, 1)
    assert_close([found.durbin_watson, found.autocorrelation[0], found.ljung_box], [2, -0.25, 0.5])
    assert "Only 2 period(s) in a segment" in fit.note and "Penfold and Zhang 2013" in fit.note


def test_counts_that_double_and_are_halved_by_hand():
    # 1, 2 | 2, 4, 8: doubling each time; without the interruption 4, 8, 16, so halved, 14 fewer in all.
    design = segmented_design([0, 1, 2, 3, 4], 2, change="level")
    fit = segmented_regression(design, [1, 2, 2, 4, 8], "poisson", se="model", interval="normal")
    assert_close(fit.ratio("level 2")[0], 0.5)
    assert_close(np.exp(fit.coef[1]), 2)
    found = counterfactual(fit)
    assert_close(found.counterfactual, [4, 8, 16])
    assert_close([found.total.effect, found.total.ratio], [-14, 0.5])
    # The level alone parts the two curves, so the ratio has the interval of exp(level) at each time and in all.
    assert_close([found.ratio_low[1], found.total.ratio_low, found.total.ratio_high],
                 [fit.ratio("level 2")[1], *fit.ratio("level 2")[1:]])  # fmt: skip
    assert fit.df == math.inf
    late = counterfactual(fit, (3, 4))
    assert (late.total.periods, late.total.observed) == (2, 12)


def test_where_the_slope_starts_moves_the_level_alone():
    t, y = np.arange(1, 21), np.random.default_rng(4).normal(size=20)
    last, first = (segmented_regression(segmented_design(t, 11, origin=o), y) for o in ("last before", "first after"))
    assert_close(first.coef[2], last.coef[2] + last.coef[3])
    assert_close(first.fitted, last.fitted)
    assert_close(counterfactual(first).effect_high, counterfactual(last).effect_high)


def test_a_control_takes_away_its_own_change(pair):
    _, _, both = pair
    design = segmented_design(both.time, 41, treated=both.treated == 1)
    joint = segmented_regression(design, both.value, se="model")
    alone = [segmented_regression(segmented_design(s.time, 41), s.value) for _, s in both.groupby("treated")]
    assert_close(joint.coef[joint.term("treated:level 41")], alone[1].coef[2] - alone[0].coef[2])
    own, bare = counterfactual(alone[1]), counterfactual(joint)
    assert_close(bare.effect, own.effect - counterfactual(alone[0]).effect)
    found = segmented_diagnostics(joint, 3)
    rows = [fit.residual for fit in alone]
    pairs = sum(e[1:] @ e[:-1] for e in rows) / sum(e @ e for e in rows)
    assert_close(found.autocorrelation[0], pairs)
    assert found.note.startswith("Two series")


# --- what must not matter ----------------------------------------------------------------------------------------


def assert_same(left: SegmentedFit, right: SegmentedFit, slopes: float = 1.0, scale: float = 1.0) -> None:
    factor = np.where([name.split()[0] in ("time", "slope") for name in left.design.terms], slopes, 1.0) * scale
    free = np.arange(len(factor)) > 0  # the intercept is at time 0, wherever that is
    assert_close(right.coef[free], (left.coef * factor)[free], 1e-7)
    assert_close(right.std_error[free], (left.std_error * factor)[free], 1e-7)
    assert_close(counterfactual(right).total.effect_low, counterfactual(left).total.effect_low * scale, 1e-7)


@pytest.mark.parametrize("se", ["model", "HC3", "newey-west", "ar1 ml", "ar1 reml"])
def test_units_of_time_order_of_rows_and_scale(pair, se):
    _, a, _ = pair
    t, y = a.time.to_numpy(float), a.value.to_numpy()
    keep = ~np.isin(t, [5, 33, 60])  # gaps as well
    t, y = t[keep], y[keep]
    fit = segmented_regression(segmented_design(t, 41), y, se=se)
    days = segmented_regression(segmented_design(1000 + 30.4 * t, 1000 + 30.4 * 41), y, se=se)
    assert_same(fit, days, slopes=1 / 30.4)
    mixed = np.random.default_rng(1).permutation(len(t))
    shuffled = segmented_regression(segmented_design(t[mixed], 41), y[mixed], se=se)
    assert_same(fit, shuffled)
    assert np.array_equal(y[mixed][shuffled.design.rows], y)
    assert_same(fit, segmented_regression(segmented_design(t, 41), 300 * y, se=se), scale=300)


def test_the_unit_of_exposure_moves_the_intercept_alone(pair):
    _, a, _ = pair
    design = segmented_design(a.time, 41, season=harmonics(a.month))
    one, other = (
        segmented_regression(design, a.events, "quasipoisson", offset=np.log(a.exposure / unit)) for unit in (1, 1e5)
    )
    assert_same(one, other)
    assert_close(other.coef[0], one.coef[0] + math.log(1e5))


# --- edges -------------------------------------------------------------------------------------------------------

T = np.arange(1, 25)


def test_counts_that_vary_more_than_poisson_are_noted():
    even, uneven = 50 + T % 2, np.where(T % 4 < 2, 20, 80)
    notes = [segmented_regression(segmented_design(T, 13), y, "poisson", se="model").note for y in (even, uneven)]
    assert "as much as Poisson's" not in notes[0] and "as much as Poisson's" in notes[1]


def test_a_series_on_its_line_has_no_errors():
    y = 2 + 0.5 * T + 3 * (T >= 13)
    for se in ("model", "newey-west", "ar1 reml"):
        fit = segmented_regression(segmented_design(T, 13), y, se=se)
        assert_close(fit.coef, [2, 0.5, 3, 0], atol=1e-9)
        assert np.isnan(fit.std_error).all() and "exactly" in fit.note
        assert np.isnan(counterfactual(fit).effect_low).all()
        assert_close(counterfactual(fit).effect, [3] * 12)


def test_a_series_that_never_varies():
    fit = segmented_regression(segmented_design(T, 13), [5.0] * 24)
    assert_close(fit.coef, [5, 0, 0, 0], atol=1e-9)
    assert np.isnan(fit.p_value).all() and "exactly" in fit.note


def test_no_events_at_all_or_none_after():
    for counts in (np.zeros(24), np.where(T < 13, 4.0 + T % 3, 0.0)):
        fit = segmented_regression(segmented_design(T, 13), counts, "quasipoisson")
        assert "no finite maximum-likelihood estimate" in fit.note
        assert np.isnan([fit.coef[2], fit.std_error[2]]).all()
        found = counterfactual(fit)
        assert np.isnan(found.effect).all() and "no counterfactual" in found.note


def test_one_period_after_gives_a_level_and_no_slope():
    fit = segmented_regression(segmented_design(T, 24), np.sqrt(T) + T % 2, se="model")
    assert np.isfinite(fit.std_error[2]) and np.isnan(fit.coef[3])
    assert "linear combinations" in fit.note and "Only 1 period(s)" in fit.note


def test_a_negative_mean_has_an_effect_and_no_ratio():
    found = counterfactual(segmented_regression(segmented_design(T, 13), np.sin(T * T) - 5.0))
    assert np.isfinite(found.effect_low).all() and np.isnan(found.ratio).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: segmented_design(T, 25), "outside the series, which goes from 1 to 24"),
        (lambda: segmented_design(T, 1), "outside the series"),
        (lambda: segmented_design(T, []), "outside the series"),
        (lambda: segmented_design(T + 2e7, 2e7 + 13), "count from nearer the series"),
        (lambda: segmented_design(T, 13, step=0), "length of a period is above 0"),
        (lambda: segmented_design(T, 12.5), "not all times of the series"),
        (lambda: segmented_design(T, 13, season=harmonics(np.arange(30))), "The season has 30 rows"),
        (lambda: segmented_design(T, 20, transition=5), "shorten the transition"),
        (lambda: segmented_design([1, 2, 3.5, 4, 5], 3, step=1), "1 times are not whole steps of 1"),
        (lambda: segmented_design([1, 2, 2, 3], 2), "two rows of one time"),
        (lambda: segmented_design([1, math.nan, 3], 2), "known value"),
        (lambda: segmented_design([2, 2], 2), "two rows of one time|single time"),
        (lambda: segmented_design(T, 13, treated=T < 0), "Every row belongs to the control"),
        (lambda: segmented_design(T, 13, season=harmonics(T[:5])), "The season has 5 rows"),
        (lambda: season_indicators([1, 1, 1]), "at least two different labels"),
        (lambda: harmonics([1, math.nan]), "position"),
        (lambda: segmented_regression(segmented_design(T, 13), T[:-1]), "must be \\(24,\\)"),
        (lambda: segmented_regression(segmented_design(T, 13), np.where(T == 3, np.nan, T)), "leave those rows out"),
        (lambda: segmented_regression(segmented_design(T, 13), T - 9.0, "poisson"), "zero or more"),
        (lambda: segmented_regression(segmented_design([1, 2, 3], 2), [1, 2, 3]), "3 periods cannot determine 4"),
        (lambda: counterfactual(segmented_regression(segmented_design(T, 13), np.sin(T)), (30, 40)), "No period from"),
    ],
)
def test_wrong_data_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: segmented_design(T, 13, change="slopes"), "no change 'slopes'"),
        (lambda: segmented_design(T, 13, origin="first"), "no origin"),
        (lambda: segmented_design(T, 13, transition=-1), "whole number of periods"),
        (lambda: harmonics(T, pairs=6), "fewer than half"),
        (lambda: segmented_regression(segmented_design(T, 13), T, "gamma"), "no family"),
        (lambda: segmented_regression(segmented_design(T, 13), T, se="HAC"), "no kind of standard error"),
        (lambda: segmented_regression(segmented_design(T, 13), T, se=NW, lag="auto"), "Did you mean 'automatic'"),
        (lambda: segmented_regression(segmented_design(T, 13), T, "poisson", se="ar1 ml"), "one linear series"),
        (lambda: segmented_regression(segmented_design(T, 13), T).term("level 12"), "no term"),
        (lambda: segmented_regression(segmented_design(T, 13), T).ratio("level 13"), "no ratios"),
        (lambda: counterfactual(segmented_regression(segmented_design(T, 13), T), (9, 3)), "must not end before"),
    ],
)
def test_wrong_questions_are_refused(make, message):
    with pytest.raises(DefinitionError, match=message):
        make()


def test_a_lag_is_a_whole_number():
    for lag in (-1, 2.5):
        with pytest.raises(ParameterError, match="whole number of periods, 0 or more"):
            segmented_regression(segmented_design(T, 13), np.sin(T), se=NW, lag=lag)
