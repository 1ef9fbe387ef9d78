"""The Cox model against R, at its infinities, and by its own laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.cox import CoxFit, cox
from clinops.stats.logrank import logrank
from clinops.stats.risk_sets import risk_sets, spells
from clinops.stats.survival import kaplan_meier, nelson_aalen
from tests.support import assert_close, oracle, oracle_csv

LUNG = ["age", "sex", "ph_ecog"]
HEART = ["age", "year", "surgery", "transplant"]
VETERAN = ["trt", "celltypesmallcell", "celltypeadeno", "celltypelarge", "karno", "diagtime", "age", "prior"]


def _lung(columns: list[str] | None = None, **options: Any) -> CoxFit:
    data = oracle_csv("survival/cox_lung")
    options = {
        key: data[value].to_numpy() if isinstance(value, str) and value in data else value
        for key, value in options.items()
    }
    return cox(data[columns or LUNG], data["time"], data["event"], **options)


def _heart(columns: list[str], **options: Any) -> CoxFit:
    data = oracle_csv("survival/cox_heart")
    data["age:transplant"] = data["age"] * data["transplant"]
    data["surgery:transplant"] = data["surgery"] * data["transplant"]
    options = {
        key: data[value].to_numpy() if isinstance(value, str) and value in data else value
        for key, value in options.items()
    }
    return cox(data[columns], data["stop"], data["event"], entry=data["start"], **options)


def _veteran(columns: list[str], **options: Any) -> CoxFit:
    data = oracle_csv("survival/cox_veteran")
    for level in ("smallcell", "adeno", "large"):
        data[f"celltype{level}"] = (data["celltype"] == level).astype(float)
    options = {
        key: data[value].to_numpy() if isinstance(value, str) and value in data else value
        for key, value in options.items()
    }
    return cox(data[columns], data["time"], data["status"], **options)


FITS = {
    ("cox_lung", "efron"): lambda: _lung(),
    ("cox_lung", "breslow"): lambda: _lung(ties="breslow"),
    ("cox_lung", "efron_robust"): lambda: _lung(robust=True),
    ("cox_lung", "efron_cluster_inst"): lambda: _lung(cluster="inst"),
    ("cox_lung", "efron_strata_sex"): lambda: _lung(["age", "ph_ecog"], strata="sex"),
    ("cox_lung", "efron_weighted_naive"): lambda: _lung(weights="w"),
    ("cox_lung", "efron_weighted_robust"): lambda: _lung(weights="w", robust=True),
    ("cox_lung", "breslow_weighted_robust"): lambda: _lung(weights="w", robust=True, ties="breslow"),
    ("cox_heart_tv", "efron"): lambda: _heart(["age", "surgery", "transplant", "age:transplant", "surgery:transplant"]),
    ("cox_heart_tv", "breslow_main"): lambda: _heart(HEART, ties="breslow"),
    ("cox_heart_tv", "efron_main"): lambda: _heart(HEART),
    ("cox_heart_tv", "efron_main_cluster"): lambda: _heart(HEART, cluster="id"),
    ("cox_veteran", "efron"): lambda: _veteran(VETERAN),
    ("cox_veteran", "breslow"): lambda: _veteran(VETERAN, ties="breslow"),
    ("cox_veteran", "strata_celltype"): lambda: _veteran(["trt", "karno"], strata="celltype"),
}


@pytest.mark.parametrize(("file", "name"), FITS)
def test_fit_equals_r(file: str, name: str) -> None:
    expected = oracle(f"survival/{file}")["expected"][name]
    fit = FITS[file, name]()
    low, high = fit.interval()
    ours = {
        "n": fit.n, "nevent": fit.n_event, "method": fit.ties, "coef": fit.coef, "hr": np.exp(fit.coef),
        "se": fit.se, "lower95": np.exp(low), "upper95": np.exp(high), "z": fit.coef / fit.se, "p": fit.p_values,
        "loglik_null": fit.loglik_null, "loglik": fit.loglik, "lr_test": fit.lr_test, "score_test": fit.score_test,
        "aic": fit.aic, "vcov": fit.cov if fit.se_kind == "model" else fit.cov_robust, "concordance": fit.concordance(),
    }  # fmt: skip
    # R stops when the log likelihood settles to 1e-9 of itself, so its own coefficients are good to about 1e-7.
    assert_close(ours, {key: expected[key] for key in ours}, 1e-7, f"{file}.{name}", atol=1e-9)
    assert fit.wald_test == pytest.approx(expected["wald_test"], abs=0.00501), "R rounds it to two decimals"
    if "naive_se" in expected:
        assert_close(fit.se_model, expected["naive_se"], 1e-7, "naive_se")
    assert fit.converged and not fit.note


@pytest.mark.parametrize(("file", "name"), FITS)
def test_proportional_hazards_test_equals_r(file: str, name: str) -> None:
    expected = oracle(f"survival/{file}")["expected"][name].get("zph_km")
    assert expected is not None
    fit = FITS[file, name]()
    factor = [[0], [1, 2, 3], [4], [5], [6], [7]] if len(fit.coef) == 8 else None
    test = fit.proportional_hazards(terms=factor)
    ours = {"chisq": test.statistic, "df": test.df, "p": test.p_value}
    assert_close(ours, {key: expected[key] for key in ours}, 1e-6, f"{file}.{name}.zph")


def test_baseline_predictions_and_residuals_equal_r() -> None:
    expected, fit = oracle("survival/cox_lung")["expected"], _lung()
    base = fit.baseline()
    ours = {"time": base.time, "cumhaz": base.cumulative_hazard}
    assert_close(ours, expected["baseline_cumhaz_at_zero"], 1e-7, "baseline")
    wanted = expected["predicted_survival"]
    found = fit.predict(np.array([[60, 1, 0], [70, 2, 2]]), wanted["times"])
    ours = {"surv": found.survival, "lower": found.conf_low, "upper": found.conf_high, "std_err": found.std_error}
    assert_close(ours, {key: wanted[key] for key in ours}, 1e-7, "predicted")
    assert_close(fit.martingale()[:5], expected["martingale_residuals_first5"], 1e-7, "martingale")
    assert_close(fit.dfbeta()[:3], expected["dfbeta_first3"], 1e-7, "dfbeta")


# --- decided answers ---------------------------------------------------------------------------------------


def test_no_events_in_one_arm() -> None:
    time, event, arm = [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]
    for ties in ("efron", "breslow"):
        fit = cox(arm, time, event, ties=ties)
        assert fit.coef[0] == -np.inf and np.isnan(fit.se[0]) and np.isnan(fit.interval()[1][0])
        assert "minus infinity" in fit.note and fit.converged
        assert np.isnan(fit.wald_test) and np.isnan(fit.p_values[0])
        test = logrank(time, event, arm)
        assert fit.score_test == pytest.approx(test.statistic, rel=1e-12), "without ties they are the same test"
        assert fit.score_p == pytest.approx(test.p_value)
        # the supremum of the likelihood: each of the three is then the only risk set of its own arm
        assert fit.loglik == pytest.approx(-np.log(3) - np.log(2), abs=1e-9)


def test_no_events_on_one_side_leaves_the_other_columns_estimated() -> None:
    rng = np.random.default_rng(7)
    age, arm = rng.normal(60, 10, 400), np.repeat([0, 1], 200)
    time = np.ceil(rng.exponential(300 * np.exp(-0.03 * (age - 60))))
    event = (time < 365) & (arm == 0)
    fit = cox(np.column_stack([arm, age]), np.minimum(time, 365), event, cluster=np.arange(400))
    alone = cox(age[arm == 0], np.minimum(time, 365)[arm == 0], event[arm == 0], robust=True)
    assert fit.coef[0] == -np.inf and np.isnan(fit.se[0])
    # with the arm's hazard zero, only the other arm is compared: the limit is that arm's own model
    assert fit.coef[1] == pytest.approx(alone.coef[0], rel=1e-6)
    assert fit.se_model[1] == pytest.approx(alone.se_model[0], rel=1e-6)
    assert fit.se_robust[1] == pytest.approx(alone.se_robust[0], rel=1e-5)
    statistic, df, p = fit.score_test_of([0])
    assert df == 1 and statistic > 20 and p < 1e-5
    assert np.isnan(fit.predict([[0, 60]], [100]).survival).all()
    assert np.isnan(fit.proportional_hazards().p_value).all()
    assert np.isnan(fit.baseline().cumulative_hazard).all()


def test_complete_separation_in_a_continuous_covariate() -> None:
    fit = cox([5.0, 4, 3, 2, 1], [1, 2, 3, 4, 5], [1, 1, 1, 1, 0])
    assert fit.coef[0] == np.inf and fit.loglik == pytest.approx(0, abs=1e-6) and np.isfinite(fit.score_test)


def test_separation_by_a_combination_of_columns() -> None:
    x = np.array([[1.0, 0], [0.5, 0.4], [1, 1.2], [0, 0.5], [0.2, 1]])
    fit = cox(x, [1, 2, 3, 4, 5], [1, 1, 1, 1, 0])
    assert fit.coef[0] == np.inf and fit.coef[1] == -np.inf and "column 0" in fit.note and "column 1" in fit.note


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(4, 25), st.integers(1, 3), st.sampled_from(["efron", "breslow"]))
def test_infinite_exactly_when_a_linear_programme_says_so(seed: int, n: int, p: int, ties: str) -> None:
    """The likelihood is monotone if some direction never ranks an event below anyone at risk with it."""
    from scipy.optimize import linprog

    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.normal(size=n) if rng.random() < 0.5 else rng.integers(0, 2, n) for _ in range(p)])
    entry = rng.integers(0, 4, n)
    leave, event = entry + rng.integers(1, 9, n), rng.random(n) < rng.choice([0.3, 0.7])
    gaps = [
        x[i] - x[j]
        for i in np.flatnonzero(event)
        for j in np.flatnonzero((entry < leave[i]) & (leave >= leave[i]))
        if (x[i] != x[j]).any()
    ]
    fit = cox(x, leave, event, entry=entry, ties=ties)
    if not gaps:
        assert np.isnan(fit.coef).all()
        return
    best = linprog(-np.sum(gaps, axis=0), A_ub=-np.array(gaps), b_ub=np.zeros(len(gaps)), bounds=[(-1, 1)] * p)
    assert np.isinf(fit.coef).any() == (-best.fun > 1e-7)
    assert np.isinf(fit.coef).any() or fit.converged


def test_a_steep_but_finite_effect_is_not_called_infinite() -> None:
    x = np.r_[np.zeros(2000), np.ones(2000)]
    event = np.r_[np.ones(2000), 1, np.zeros(1999)]
    time = np.r_[np.arange(1, 2001), 500, np.full(1999, 3000)]
    fit = cox(x, time, event)
    assert np.isfinite(fit.coef[0]) and fit.coef[0] < -6 and fit.converged and not fit.note


def test_all_censored() -> None:
    fit = cox([0, 1, 1, 0], [1, 2, 3, 4], [0, 0, 0, 0])
    assert np.isnan(fit.coef[0]) and np.isnan(fit.score_test) and fit.df == 0
    assert "no events" in fit.note and fit.loglik == 0


def test_an_empty_arm_and_repeated_columns_are_not_identified() -> None:
    lung = oracle_csv("survival/cox_lung")
    x = np.column_stack([np.ones(len(lung)), lung["age"], 2 * lung["age"] + 1, lung["sex"]])
    fit = cox(x, lung["time"], lung["event"])
    alone = cox(lung[["age", "sex"]], lung["time"], lung["event"])
    assert np.isnan(fit.coef[[0, 2]]).all() and np.isnan(fit.se[[0, 2]]).all()
    assert "column 0: not identified" in fit.note and "column 2: not identified" in fit.note
    assert_close(fit.coef[[1, 3]], alone.coef, 1e-10, "the others")
    assert fit.df == 2 and fit.lr_test == pytest.approx(alone.lr_test)


def test_nobody_at_all() -> None:
    fit = cox(np.zeros((0, 2)), [], [])
    assert fit.n == 0 and np.isnan(fit.coef).all() and "no events" in fit.note


def test_rows_of_no_length_are_set_aside_in_their_place() -> None:
    lung = oracle_csv("survival/cox_lung")
    fit = cox(np.r_[99, lung["age"]], np.r_[0, lung["time"]], np.r_[1, lung["event"]])
    assert fit.set_aside == 1 and fit.n == len(lung) and np.isnan(fit.martingale()[0])
    assert fit.martingale()[1:].sum() == pytest.approx(0, abs=1e-8)
    assert fit.coef[0] == pytest.approx(cox(lung["age"], lung["time"], lung["event"]).coef[0], rel=1e-12)


def test_far_start_arrives_at_the_same_place() -> None:
    far = _lung(start=np.array([0.5, -8.0, 6.0]))
    assert_close(far.coef, _lung().coef, 1e-9, "far start")
    assert far.loglik_null == _lung().loglik_null, "the null model is at zero wherever the search began"


def test_bad_input_is_refused() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'efron'"):
        cox([0, 1], [1, 2], [1, 1], ties="Efron's")
    with pytest.raises(DataError, match="X has 1 rows with missing"):
        cox([0, np.nan], [1, 2], [1, 1])
    with pytest.raises(DataError, match="must have 2 rows"):
        cox([0, 1, 1], [1, 2], [1, 1])
    with pytest.raises(DataError, match="start has the shape"):
        cox([0, 1], [1, 2], [1, 1], start=[0, 0])
    with pytest.raises(DataError, match="newdata has 1 columns"):
        _lung().predict([[60]], [100])
    with pytest.raises(ParameterError, match="transform"):
        _lung().proportional_hazards(transform="rank2")
    with pytest.raises(ParameterError, match="level"):
        _lung().interval(95)


# --- laws ---------------------------------------------------------------------------------------------------


@st.composite
def _rows(draw: st.DrawFn) -> dict[str, Any]:
    n, seed = draw(st.integers(12, 40)), draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    entry = rng.integers(0, 4, n).astype(float)
    return {
        "X": np.column_stack([rng.normal(size=n), rng.integers(0, 2, n)]),
        "exit": entry + rng.integers(1, 9, n),
        "event": rng.random(n) < 0.7,
        "entry": entry,
        "strata": rng.integers(0, 2, n),
    }


def _numbers(fit: CoxFit) -> dict[str, Any]:
    return {
        "coef": fit.coef, "se": fit.se_model, "loglik": fit.loglik, "null": fit.loglik_null, "score": fit.score_test,
    }  # fmt: skip


def _each(rows: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(values) for name, values in rows.items()}


@settings(deadline=None, max_examples=25)
@given(_rows(), st.sampled_from(["efron", "breslow"]), st.integers(0, 99))
def test_order_of_rows_does_not_matter(rows: dict[str, Any], ties: str, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(rows["exit"]))
    shuffled = cox(**_each(rows, lambda value: value[order]), ties=ties, robust=True)
    straight = cox(**rows, ties=ties, robust=True)
    assert_close(_numbers(shuffled), _numbers(straight), 1e-6, "shuffled", atol=1e-8)
    assert_close(shuffled.se_robust, straight.se_robust, 1e-6, "shuffled", atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(_rows(), st.sampled_from(["efron", "breslow"]), st.floats(0.05, 0.95))
def test_splitting_a_row_changes_nothing(rows: dict[str, Any], ties: str, share: float) -> None:
    cut = rows["entry"] + np.round(share * (rows["exit"] - rows["entry"]), 1)
    inside = (cut > rows["entry"]) & (cut < rows["exit"])
    person = np.arange(len(cut))
    split: dict[str, Any] = {
        "X": np.concatenate([rows["X"], rows["X"][inside]]),
        "entry": np.concatenate([rows["entry"], cut[inside]]),
        "exit": np.concatenate([np.where(inside, cut, rows["exit"]), rows["exit"][inside]]),
        "event": np.concatenate([rows["event"] & ~inside, rows["event"][inside]]),
        "strata": np.concatenate([rows["strata"], rows["strata"][inside]]),
    }
    whole = cox(**rows, ties=ties, cluster=person)
    parts = cox(**split, ties=ties, cluster=np.concatenate([person, person[inside]]))
    assert_close(_numbers(parts), _numbers(whole), 1e-6, "split", atol=1e-8)
    assert_close(parts.se_robust, whole.se_robust, 1e-6, "split", atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(_rows(), st.integers(0, 99))
def test_whole_number_weights_are_counts_under_breslow(rows: dict[str, Any], seed: int) -> None:
    """Under Efron they are not, by definition: repeated rows are tied with themselves."""
    weights = np.random.default_rng(seed).integers(1, 4, len(rows["exit"]))
    weighted = cox(**rows, ties="breslow", weights=weights)
    repeated = cox(**_each(rows, lambda value: np.repeat(value, weights, axis=0)), ties="breslow")
    assert_close(_numbers(weighted), _numbers(repeated), 1e-6, "weighted", atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(_rows(), st.sampled_from([1 / 365.25, 86400.0]), st.sampled_from([1e-3, 1e4]))
def test_units_do_not_matter(rows: dict[str, Any], time: float, unit: float) -> None:
    here = cox(**rows)
    there = cox(
        rows["X"] * unit + 7, rows["exit"] * time, rows["event"], entry=rows["entry"] * time, strata=rows["strata"]
    )
    ours = {**_numbers(there), "coef": there.coef * unit, "se": there.se_model * unit}
    assert_close(ours, _numbers(here), 1e-6, "units", atol=1e-8)


@settings(deadline=None, max_examples=20)
@given(_rows(), st.sampled_from(["efron", "breslow"]))
def test_gradient_and_information_are_derivatives(rows: dict[str, Any], ties: str) -> None:
    likelihood = cox(**rows, ties=ties).state.of
    beta, step = np.full(likelihood.x.shape[1], 0.3), 1e-5

    def there(shift: np.ndarray) -> Any:
        return likelihood.at(beta + shift)

    axes = np.eye(len(beta)) * step
    slope = [(there(axis).loglik - there(-axis).loglik) / (2 * step) for axis in axes]
    bend = [-(there(axis).gradient() - there(-axis).gradient()) / (2 * step) for axis in axes]
    assert_close(there(0 * beta).gradient(), slope, 1e-5, "gradient", atol=1e-6)
    assert_close(there(0 * beta).information(), bend, 1e-5, "information", atol=1e-6)
    residuals = there(0 * beta).score_residuals()
    assert_close(residuals.sum(axis=0), there(0 * beta).gradient(), 1e-8, "score residuals", atol=1e-8)


def test_without_covariates_the_hazards_are_the_curves() -> None:
    """A covariate without effect: the baseline is Nelson-Aalen's, or Fleming and Harrington's, to its tie rule."""
    time, event = np.array([1, 1, 2, 2, 2, 3, 4.0]), np.array([1, 1, 1, 1, 0, 1, 0])
    x = np.array([1, -1, 1, -1, 0, 0, 0.0])
    for ties, curve in (("breslow", "nelson-aalen"), ("efron", "fleming-harrington")):
        fit = cox(x, time, event, ties=ties)
        hazard = nelson_aalen(time, event, ties=curve).cumulative_hazard
        likelihood = fit.state.of
        at_zero = likelihood.at(np.zeros(1))
        assert at_zero is not None
        total = np.cumsum(likelihood.by_moment(at_zero.hazard))
        assert_close(total, hazard[kaplan_meier(time, event).n_event > 0], 1e-12, ties)


def test_stratified_fit_is_the_sum_of_its_strata() -> None:
    data = oracle_csv("survival/cox_lung")
    both = _lung(["age"], strata="sex")
    parts = [cox(part["age"], part["time"], part["event"]).loglik_null for _, part in data.groupby("sex")]
    assert both.loglik_null == pytest.approx(sum(parts), rel=1e-12)
    base = both.baseline()
    assert set(base.stratum) == {0, 1} and (np.diff(base.cumulative_hazard[base.stratum == 1]) >= 0).all()
    found = [both.predict([[60.0]], [200], stratum=code).survival[0, 0] for code in (0, 1)]
    step = [base.cumulative_hazard[(base.stratum == code) & (base.time <= 200)][-1] for code in (0, 1)]
    assert_close(found, np.exp(-np.array(step) * np.exp(60 * both.coef[0])), 1e-10, "predicted")


def test_score_test_of_a_column_is_near_its_wald_test() -> None:
    fit = _lung()
    statistic, df, p = fit.score_test_of([1])
    assert df == 1 and statistic == pytest.approx(float((fit.coef[1] / fit.se_model[1]) ** 2), rel=0.05)
    assert fit.score_test_of([0, 1, 2])[0] == pytest.approx(fit.score_test, rel=1e-9)
    assert p < 0.01


def test_frame_and_array_give_the_same() -> None:
    data: pd.DataFrame = oracle_csv("survival/cox_lung")
    assert (
        cox(data["age"], data["time"], data["event"]).coef[0]
        == cox(data[["age"]].to_numpy(), data["time"].tolist(), data["event"].astype(bool)).coef[0]
    )


@pytest.mark.parametrize("strata", [False, True])
def test_risk_set_sums_equal_brute_force(strata: bool) -> None:
    rng = np.random.default_rng(3)
    for n in (1, 2, 7, 60):
        entry = rng.integers(0, 20, n)
        rows = spells(
            entry + rng.integers(1, 20, n),
            rng.random(n) < 0.6,
            entry=entry,
            strata=rng.integers(0, 3, n) if strata else None,
        )
        sets = risk_sets(rows)
        member = (rows.entry < sets.time[:, None]) & (sets.time[:, None] <= rows.exit)
        member &= rows.stratum == sets.stratum[:, None]
        values, increments = rng.normal(size=(n, 2)), rng.normal(size=(sets.m, 2))
        assert_close(sets.at_risk(values).tolist(), (member @ values).tolist(), 1e-12, "at risk")
        assert_close(sets.at_risk(values[:, 0]), member @ values[:, 0], 1e-12, "at risk")
        assert_close(sets.along(increments).tolist(), (member.T @ increments).tolist(), 1e-12, "along")
        highest = [values[who, 0].max(initial=-np.inf) for who in member]
        assert (sets.maximum(values[:, 0]) == np.array(highest)).all()


def test_risk_set_sums_keep_their_digits_over_many_orders_of_magnitude() -> None:
    rows = spells([1, 2, 3], [1, 1, 1], entry=[0, 1, 2])
    assert risk_sets(rows).at_risk(np.array([1e20, 1.0, 1e-20])).tolist() == [1e20, 1.0, 1e-20]


@pytest.mark.parametrize("ties", ["efron", "breslow", "exact"])
def test_events_at_one_time_leave_nothing_to_test_of_proportional_hazards(ties: str) -> None:
    fit = cox([0.0, 0, 0, 1, 1, 1], [5, 5, 9, 5, 5, 5], [1, 0, 0, 1, 1, 0], ties=ties)
    test = fit.proportional_hazards()
    assert np.isnan(test.statistic).all() and np.isnan(test.p_value).all() and test.df.tolist() == [1, 1]


def test_a_start_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError, match="one finite value for each of 1 columns"):
        cox([0, 1, 0], [1, 2, 3], [1, 1, 0], start=[np.nan])
