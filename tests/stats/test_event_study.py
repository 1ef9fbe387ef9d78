"""Event studies: against R, each estimator, closed forms of the stacked one, and nobody left to compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.event_study import EVENT_METHODS, EventStudy, average_effect, event_study, lead_test
from clinops.stats.group_time import group_time_effects
from clinops.stats.group_time_averages import average_effects
from clinops.stats.imputation import imputation_effects
from clinops.stats.lead_power import box_mean, lead_power
from clinops.stats.stacked import stacked_effects
from tests.stats.panel_data import counties, made, rows

Arrays = dict[str, Any]
WINDOW = {"stacked": {"leads": 2, "lags": 1}, "imputation": {"leads": 2}}


def study_of(data: Arrays, method: str, **options: Any) -> EventStudy:
    return event_study(**rows(data), method=method, **(WINDOW.get(method, {}) | options))


# --- against references ------------------------------------------------------------------------------------


def test_effects_are_those_of_did_and_leads_the_averages_of_its_cells(reference: Any) -> None:
    expected, meta, frames = reference("its_did/did_mpdta")
    data = counties(frames["mpdta.csv"])
    study = study_of(data, "group-time", comparison="never")
    dynamic, cells = expected["nevertreated_noX_dr"]["dynamic"], expected["nevertreated_noX_universal_base"]
    late = np.array(dynamic["egt"]) >= 0
    for mine, theirs in ((study.estimate, "att"), (study.std_error, "se")):
        assert_allclose(mine[study.after], np.array(dynamic[theirs])[late], rtol=meta["tolerance_rel"])
    group, since = np.array(cells["group"]), np.array(cells["time"]) - np.array(cells["group"])
    sizes = {g: (data["first_treated"] == g).sum() for g in np.unique(group)}
    by_hand = [
        np.average(np.array(cells["att"])[since == e], weights=[sizes[g] for g in group[since == e]])
        for e in (-4, -3, -2)
    ]
    assert study.event_time.tolist() == [-4, -3, -2, 0, 1, 2, 3]
    assert_allclose(study.estimate[study.before], by_hand, rtol=1e-6)
    mean = average_effect(study)
    assert_allclose([mean.estimate, mean.std_error], [dynamic["overall_att"], dynamic["overall_se"]], rtol=1e-6)


def test_two_way_is_that_of_r_and_labelled(reference: Any) -> None:
    expected, meta, frames = reference("its_did/did_mpdta")
    study = study_of(counties(frames["mpdta.csv"]), "two-way")
    r = expected["twfe_event_study"]
    order = np.argsort(r["event_time"])
    assert study.event_time.tolist() == np.array(r["event_time"])[order].tolist()
    assert_allclose(study.estimate, np.array(r["coef"])[order], rtol=meta["tolerance_rel"])
    assert "mix in comparisons with units already treated" in study.note


def test_imputation_is_that_of_its_estimator_and_leads_a_regression_of_untreated_rows() -> None:
    import statsmodels.api as sm

    data = made(grows=0.5)
    study = study_of(data, "imputation")
    own = average_effects(imputation_effects(**rows(data)), "dynamic")
    assert_allclose(study.estimate[study.after], own.estimate, rtol=1e-12)
    assert_allclose(study.std_error[study.after], own.std_error, rtol=1e-12)
    since = data["time"] - data["first_treated"]
    free = since < 0
    columns = [data["unit"][:, None] == np.unique(data["unit"]), data["time"][:, None] == np.arange(2, 7)]
    X = np.column_stack([*columns, since[:, None] == [-2, -1]]).astype(float)[free]
    fit = sm.OLS(data["y"][free], X).fit()
    clustered = fit.get_robustcov_results("cluster", groups=data["unit"][free], use_correction=False)
    assert_allclose(study.estimate[study.before], fit.params[-2:], rtol=1e-8)
    assert_allclose(study.std_error[study.before], clustered.bse[-2:], rtol=1e-8)


@pytest.mark.parametrize("weights", ["shares", "none"])
def test_stacked_is_the_mean_of_its_cohorts_differences(weights: str) -> None:
    data = made(grows=0.5)
    y = data["y"].reshape(-1, 6)
    first = data["first_treated"].reshape(-1, 6)[:, 0]
    study = stacked_effects(**rows(data), leads=2, lags=2, weights=weights)
    share, gaps = [], []
    for g in (3, 4):
        mine, clean = first == g, first > g + 2
        change = y - y[:, [g - 2]]
        gaps.append([(change[mine].mean(0) - change[clean].mean(0))[g - 1 + e] for e in (-2, 0, 1, 2)])
        n_t, n_c = mine.sum(), clean.sum()
        share.append(n_t if weights == "shares" else n_t * n_c / (n_t + n_c))
    assert_allclose(study.estimate, np.average(gaps, axis=0, weights=share), rtol=1e-9)
    assert study.n_treated.tolist() == [27] * 4
    assert "1 cohort(s) of 10 units are not seen over 2 periods before and 2 after" in study.note


def test_stacked_errors_are_those_of_the_regression_written_out() -> None:
    import statsmodels.api as sm

    data = made(sizes={3.0: 8, 4.0: 6, np.inf: 9})
    y, first = data["y"].reshape(-1, 6), data["first_treated"].reshape(-1, 6)[:, 0]
    lines = [
        (u, g, e, float(first[u] == g), y[u, g - 1 + e])
        for g in (3, 4) for u in range(len(y)) for e in (-2, -1, 0, 1) if first[u] == g or first[u] > g + 1
    ]  # fmt: skip
    unit, stack, event, mine, outcome = (np.array(column) for column in zip(*lines, strict=True))
    label, period = unit * 10 + stack, stack * 10 + event
    fixed = [(label[:, None] == np.unique(label)), period[:, None] == np.unique(period[event != -1])]
    effects = (event[:, None] == [-2, 0, 1]) * mine[:, None]
    n_t, n_c = np.array([8, 6]), np.array([9, 9])
    weight = np.where(mine == 1, 1.0, ((n_t / n_t.sum()) / (n_c / n_c.sum()))[(stack == 4).astype(int)])
    fit = sm.WLS(outcome, np.column_stack([effects, *fixed]).astype(float), weights=weight).fit()
    robust = fit.get_robustcov_results("cluster", groups=unit, use_correction=False)
    study = stacked_effects(**rows(data), leads=2, lags=1)
    assert_allclose(study.estimate, fit.params[:3], rtol=1e-8)
    groups = len(np.unique(unit))
    assert_allclose(study.std_error, robust.bse[:3] * np.sqrt(groups / (groups - 1)), rtol=1e-8)
    assert (study.df, study.n_clusters) == (groups - 1, groups)


def test_one_cohort_is_the_same_by_all_that_use_the_last_period_before() -> None:
    data = made(sizes={4.0: 14, np.inf: 20}, grows=0.5)
    one, two = study_of(data, "group-time"), study_of(data, "two-way")
    stacked = study_of(data, "stacked", leads=3, lags=2)
    assert_allclose(one.estimate, two.estimate, rtol=1e-9)
    assert_allclose(one.estimate, stacked.estimate, rtol=1e-9)
    assert two.note == ""


# --- a known truth -----------------------------------------------------------------------------------------


def test_effects_that_grow_are_found_by_all_but_two_way() -> None:
    """30 panels; effects 1, 2, 3 at event times 0, 1, 2; two-way is the one that may be off."""
    truth = {0: 1.0, 1: 2.0, 2: 3.0}
    for method in ("group-time", "imputation", "stacked"):
        found = []
        for seed in range(30):
            study = study_of(made(seed, grows=1.0), method, **({"lags": 2} if method == "stacked" else {}))
            found.append([study.estimate[study.event_time == e][0] for e in truth])
        error = np.std(found, axis=0, ddof=1) / np.sqrt(30)
        assert (np.abs(np.mean(found, axis=0) - list(truth.values())) < 4 * error).all(), method


# --- nobody left -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EVENT_METHODS)
def test_everybody_treated_in_the_end_leaves_only_those_not_yet_treated(method: str) -> None:
    data = made(sizes={3.0: 15, 4.0: 12, 6.0: 10})
    study = study_of(data, method)
    known = np.isfinite(study.estimate)
    if method == "stacked":
        assert known.all()
        return
    assert study.event_time[~known & (study.event_time > -3)].tolist() == [3]
    assert "as nobody is left to compare with: event time(s)" in study.note
    assert np.isnan(study.std_error[~known]).all()
    assert (study.n_treated[~known] == 0).all()
    # What the last cohort does once it is treated is nobody's comparison.
    changed = data | {"y": data["y"] + 100.0 * (data["time"] == 6)}
    again = study_of(changed, method)
    assert_allclose(again.estimate[known], study.estimate[known], rtol=1e-9)
    average = average_effect(study)
    assert "1 of 4 event times could not be estimated" in average.note
    assert_allclose(average.estimate, study.estimate[study.after][:3].mean())


@pytest.mark.parametrize("method", EVENT_METHODS)
def test_all_treated_at_once_is_not_estimable(method: str) -> None:
    study = study_of(made(sizes={3.0: 15}), method)
    assert np.isnan(study.estimate).all()
    assert np.isnan(study.cov).all()
    assert "Not estimable" in study.note
    assert np.isnan(average_effect(study).estimate)
    assert np.isnan(lead_test(study).p_value)


def test_two_way_effects_say_from_when_nobody_is_untreated() -> None:
    from clinops.stats.two_way import two_way_fixed_effects

    fit = two_way_fixed_effects(**rows(made(sizes={3.0: 15, 4.0: 12, 6.0: 10})))
    assert "Nobody is untreated in 1 of 6 periods" in fit.note


@pytest.mark.parametrize("method", EVENT_METHODS)
def test_a_treated_side_of_one_cluster_has_no_error(method: str) -> None:
    study = study_of(made(sizes={4.0: 1, np.inf: 9}), method)
    assert np.isfinite(study.estimate).all()
    assert np.isnan(study.std_error).all()
    assert "One cluster on a side" in study.note or "one cluster on a side" in study.note
    assert np.isnan(study_of(made(sizes={4.0: 9, np.inf: 1}), method).std_error).all()


@pytest.mark.parametrize("method", EVENT_METHODS)
def test_one_cluster_in_all_has_no_error(method: str) -> None:
    data = made(sizes={4.0: 5, np.inf: 5})
    assert np.isnan(study_of(data, method, cluster=np.zeros(len(data["y"]))).std_error).all()


def test_two_way_effects_of_a_single_treated_cluster_say_that_the_error_is_too_small() -> None:
    from clinops.stats.two_way import two_way_fixed_effects

    assert "far too small" in two_way_fixed_effects(**rows(made(sizes={4.0: 1, np.inf: 9}))).note
    assert "far too small" not in two_way_fixed_effects(**rows(made(sizes={4.0: 2, np.inf: 9}))).note


# --- what must change nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EVENT_METHODS)
def test_order_labels_and_gaps_between_periods_change_nothing(method: str) -> None:
    data = made()
    before = study_of(data, method)
    order = np.random.default_rng(0).permutation(len(data["y"]))
    when = np.array([np.nan, 2001, 2002, 2004, 2009, 2010, 2020])
    moved = {name: values[order] for name, values in data.items()}
    first = np.where(np.isinf(moved["first_treated"]), np.inf, when[np.minimum(moved["first_treated"], 6).astype(int)])
    moved |= {"time": when[moved["time"].astype(int)], "first_treated": first, "y": moved["y"] + 5}
    after = study_of(moved, method)
    assert after.event_time.tolist() == before.event_time.tolist()
    assert_allclose(after.estimate, before.estimate, rtol=1e-8)
    assert_allclose(after.cov, before.cov, rtol=1e-6, atol=1e-12)


def test_a_window_shows_fewer_and_changes_none() -> None:
    whole, part = study_of(made(), "group-time"), study_of(made(), "group-time", leads=2, lags=1)
    assert part.event_time.tolist() == [-2, 0, 1]
    assert_allclose(part.estimate, whole.estimate[np.isin(whole.event_time, part.event_time)], rtol=0)


def test_covariates_are_those_of_group_time_effects() -> None:
    data = made()
    study = study_of(data, "group-time", covariates=data["x"], comparison="never")
    own = average_effects(group_time_effects(**rows(data), covariates=data["x"], base="universal"), "dynamic")
    kept = own.label != -1
    assert_allclose(study.std_error, own.std_error[kept], rtol=1e-12)


def test_the_test_of_leads_is_a_wald_test() -> None:
    study = study_of(made(), "two-way")
    b, V = study.estimate[study.before], study.cov[np.ix_(study.before, study.before)]
    test = lead_test(study)
    assert_allclose(test.statistic, b @ np.linalg.inv(V) @ b / len(b), rtol=1e-9)
    assert test.df_denominator == study.df
    one_lead = lead_test(study_of(made(sizes={2.0: 9, np.inf: 9}), "two-way"))
    assert "no difference before treatment" in one_lead.note


def test_weights_of_an_average() -> None:
    study = study_of(made(), "two-way")
    mean = average_effect(study, [1, 3, 0, 0])
    a = np.array([0.25, 0.75])
    at = study.after[:2]
    assert_allclose(mean.estimate, a @ study.estimate[at])
    assert_allclose(mean.std_error**2, a @ study.cov[np.ix_(at, at)] @ a)


# --- power of a look at the leads --------------------------------------------------------------------------


def published() -> EventStudy:
    """Six estimates with correlations 0.5^|i - j|."""
    error = np.array([0.050, 0.045, 0.040, 0.100, 0.110, 0.120])
    estimate = np.array([0.012, -0.008, 0.021, 0.180, 0.240, 0.310])
    place = np.arange(6)
    cov = 0.5 ** np.abs(place[:, None] - place) * np.outer(error, error)
    half = 1.959963984540054 * error
    return EventStudy(
        "two-way", np.array([-4.0, -3, -2, 0, 1, 2]), estimate, error, estimate - half, estimate + half, cov,
        np.full(6, 9), -1.0, 99, 99, np.inf, 0.95, "",
    )  # fmt: skip


def test_power_of_the_leads_is_that_of_roths_package() -> None:
    """R 4.5.2, pretrends 0.1.0 (numbers in print; its integrals vary by 5e-4, its likelihood ratio is exact)."""
    study = published()
    for slope, power, bayes, ratio in (
        (0.02, 0.331636386010325, 0.767764750944334, 0.369180669397493),
        (0.05, 0.901493717618343, 0.113163052944783, 0.00448269494048729),
    ):
        found = lead_power(study, slope=slope)
        assert_allclose(found.power, power, atol=1e-3)
        assert_allclose((1 - found.power) / (1 - found.false_alarm), bayes, atol=1e-3)
        assert_allclose(found.likelihood_ratio, ratio, rtol=1e-10)
    for power, slope in ((0.5, 0.027901593818477), (0.8, 0.0424249541097126)):
        assert_allclose(lead_power(study, power=power).slope, slope, rtol=2e-3)


def test_bias_after_passing_is_that_of_draws() -> None:
    study = published()
    found = lead_power(study, power=0.5)
    rng = np.random.default_rng(1)
    draws = rng.multivariate_normal(found.bias, study.cov, 400_000)
    half = study.conf_high - study.estimate
    passed = draws[(np.abs(draws) <= half)[:, :3].all(axis=1)]
    assert_allclose(1 - len(passed) / len(draws), 0.5, atol=0.004)
    assert_allclose(found.bias_if_passed, passed.mean(axis=0), atol=5 * passed.std() / np.sqrt(len(passed)))


def test_the_chance_of_a_box_is_a_product_where_variables_are_independent() -> None:
    from scipy.stats import norm

    chance, mean = box_mean(np.array([0.3, -0.2]), np.diag([1.0, 4.0]), np.array([1.5, 2.0]))
    by_hand = (norm.cdf(1.2) - norm.cdf(-1.8)) * (norm.cdf(1.1) - norm.cdf(-0.9))
    assert_allclose(chance, by_hand, rtol=1e-6)
    truncated = 0.3 - (norm.pdf(1.2) - norm.pdf(-1.8)) / (norm.cdf(1.2) - norm.cdf(-1.8))
    assert_allclose(mean[0], truncated, rtol=1e-4)


def test_more_leads_than_clusters_can_tell_apart_are_refused() -> None:
    study = study_of(made(sizes={6.0: 2, np.inf: 3}), "two-way")
    with pytest.raises(DataError, match="leads from 5 clusters has no inverse"):
        lead_power(study)


# --- wrong input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "stack"}, DefinitionError, "Did you mean 'stacked'"),
        ({"method": "stacked"}, DefinitionError, "needs leads and lags"),
        ({"method": "stacked", "leads": 0, "lags": 1}, DefinitionError, "at least 1 and 0"),
        ({"method": "two-way", "comparison": "never"}, DefinitionError, "takes no covariates and no comparison"),
        ({"method": "group-time", "leads": 0, "lags": -1}, DataError, "widen them"),
        ({"time": np.zeros(3)}, DataError, "time has shape"),
    ],
)
def test_wrong_input_is_refused(change: Arrays, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        event_study(**(rows(made()) | change))


def test_wrong_weights_and_powers_are_refused() -> None:
    study = study_of(made(), "group-time")
    with pytest.raises(DefinitionError, match="4 numbers >= 0"):
        average_effect(study, [1.0, 2.0])
    with pytest.raises(DefinitionError, match="kind of weights"):
        stacked_effects(**rows(made()), leads=2, lags=1, weights="share of treated")
    with pytest.raises(DefinitionError, match="false alarms"):
        lead_power(study, power=0.01)
    with pytest.raises(DataError, match="no leads against a reference"):
        lead_power(study_of(made(), "imputation"))


@pytest.mark.parametrize("method", EVENT_METHODS)
@pytest.mark.parametrize("effect", [0.0, 0.7])
def test_values_that_do_not_vary_give_no_error_and_a_note(method: str, effect: float) -> None:
    first = np.repeat([2.0, 2.0, np.inf, np.inf], 5)
    time, unit = np.tile(np.arange(5.0), 4), np.repeat(np.arange(4), 5)
    y = 3.0 + effect * (time >= first)
    found = event_study(y, unit, time, first, method=method, leads=1 if method == "imputation" else 2, lags=2)
    assert_allclose(found.estimate, [0, effect, effect, effect], atol=1e-12)
    assert np.isnan(found.std_error).all() and np.isnan(found.conf_low).all() and "do not vary" in found.note
    mean = average_effect(found)
    assert mean.estimate == pytest.approx(effect, abs=1e-12) and np.isnan([mean.std_error, mean.p_value]).all()
