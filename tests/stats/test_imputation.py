"""Imputed outcomes: the two steps and the conservative variance of the article, written out; and a known truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError
from clinops.stats.group_time import group_time_effects, pre_trend_test
from clinops.stats.group_time_averages import average_effects
from clinops.stats.imputation import imputation_effects
from clinops.stats.two_way import two_way_fixed_effects
from tests.stats.panel_data import Arrays, made, rows, taken


def written_out(data: Arrays, units: int) -> tuple[Any, Any, Any]:
    """Each row's effect in two steps, and the (rows, rows) weights with which outcomes of all rows enter it."""
    y, periods = data["y"], np.unique(data["time"])
    under = data["time"] >= data["first_treated"]
    Z = np.hstack([data["unit"][:, None] == np.arange(units), data["time"][:, None] == periods[1:]]).astype(float)
    imputed = Z @ np.linalg.pinv(Z[~under])
    weights = np.eye(len(y))
    weights[:, ~under] -= imputed
    return weights @ y, weights, under


def test_effects_are_observed_less_imputed_and_errors_those_of_the_article() -> None:
    """Theorem 3 and equation 8 of Borusyak, Jaravel and Spiess: sum over units of (sum of v e)^2, effects averaged."""
    data = made(1, {3.0: 6, 4.0: 5, 6.0: 4, np.inf: 7}, grows=0.5)
    effect, weights, under = written_out(data, 22)
    fit = imputation_effects(**rows(data))
    left = np.where(under, 0.0, effect)  # of untreated rows the residual of the first step
    cells = [
        under & (data["first_treated"] == g) & (data["time"] == t) for g, t in zip(fit.group, fit.time, strict=True)
    ]
    for mine in cells:
        left[mine] = effect[mine] - effect[mine].mean()
    for at, mine in enumerate(cells):
        v = weights[mine].mean(axis=0)
        by_unit = np.bincount(data["unit"], weights=v * left)
        assert_allclose(fit.estimate[at], effect[mine].mean(), rtol=1e-9)
        assert_allclose(fit.std_error[at], np.sqrt((by_unit**2).sum()), rtol=1e-9)
    assert_allclose(average_effects(fit).overall, effect[under].mean(), rtol=1e-9)
    assert fit.note == ""


def test_a_saturated_regression_of_statsmodels_says_the_same() -> None:
    import statsmodels.api as sm

    data = made(2, {3.0: 6, 5.0: 5, np.inf: 7})
    fit = imputation_effects(**rows(data))
    parts = [data["unit"][:, None] == np.arange(18), data["time"][:, None] == np.arange(2, 7)]
    parts += [
        ((data["first_treated"] == g) & (data["time"] == t))[:, None] for g, t in zip(fit.group, fit.time, strict=True)
    ]
    X = np.hstack(parts).astype(float)
    cov = {"groups": data["unit"], "use_correction": False}
    reference = sm.OLS(data["y"], X).fit(cov_type="cluster", cov_kwds=cov)
    assert_allclose(fit.estimate, reference.params[23:], rtol=1e-9)
    assert_allclose(fit.std_error, reference.bse[23:], rtol=1e-8)


def test_one_period_before_treatment_is_the_other_estimator() -> None:
    """With a single cohort in the second period there is only one base, so both estimators are four means."""
    data = made(3, {2.0: 8, np.inf: 9})
    imputed, compared = imputation_effects(**rows(data)), group_time_effects(**rows(data))
    assert_allclose(imputed.estimate, compared.estimate, rtol=1e-9)
    assert_allclose(imputed.std_error, compared.std_error, rtol=1e-9)


def test_order_labels_and_common_shifts_change_nothing() -> None:
    data, rng = made(5), np.random.default_rng(5)
    shifts = rng.normal(size=7)[data["time"].astype(int)] + 50 + rng.normal(size=62)[data["unit"]]
    changed = data | {"y": data["y"] + shifts, "unit": rng.permutation(62)[data["unit"]].astype(str)}
    before, after = imputation_effects(**rows(data)), imputation_effects(**rows(taken(changed, rng.permutation(372))))
    assert_allclose(after.estimate, before.estimate, rtol=1e-8)
    assert_allclose(after.std_error, before.std_error, rtol=1e-8)


def test_periods_without_an_untreated_unit_are_not_estimable() -> None:
    data = made(8, {3.0: 9, 4.0: 8, 6.0: 7})
    fit = imputation_effects(**rows(data))
    assert np.isnan(fit.estimate).tolist() == (fit.time == 6).tolist()
    assert "Not estimable (nobody is untreated any more): 3 in 6, 4 in 6, 6 in 6." in fit.note
    before = taken(data, data["time"] < 6)
    assert_allclose(fit.estimate[fit.time < 6], imputation_effects(**rows(before)).estimate, rtol=1e-9)
    assert np.isnan(imputation_effects(**rows(made(8, {3.0: 9}))).estimate).all()


def test_there_is_no_test_of_trends_and_bad_panels_are_refused() -> None:
    test = pre_trend_test(imputation_effects(**rows(made(1))))
    assert np.isnan(test.p_value)
    assert "no comparison before treatment" in test.note
    with pytest.raises(DataError, match="None of the 9 units becomes treated"):
        imputation_effects(**rows(made(1, {np.inf: 9})))


def test_a_cohort_of_one_has_no_error_and_a_constant_outcome_no_effect() -> None:
    data = made(1, {3.0: 1, 4.0: 7, np.inf: 8})
    fit = imputation_effects(**rows(data))
    assert np.isnan(fit.std_error).tolist() == (fit.group == 3).tolist()
    assert_allclose(imputation_effects(**rows(data | {"y": np.ones(96)})).estimate, 0, atol=1e-12)


def test_effects_that_grow_are_found_but_not_by_two_way_fixed_effects() -> None:
    """60 worlds with known effects: means within 4 Monte Carlo errors of the truth, stated errors right on average.

    A mean of 60 lies within 4 of its errors but once in 16,000 times. The ratio of the stated to the true error has
    the Monte Carlo error of a standard deviation, 1 / sqrt(2 x 59) = 0.092; 4 of them are allowed.
    """
    sizes = {3.0: 20, 5.0: 20, 7.0: 20, np.inf: 20}
    found: dict[str, list[tuple[float, float]]] = {"compared": [], "imputed": [], "two-way": []}
    for seed in range(60):
        data = made(seed, sizes, periods=8, grows=0.5)
        data["y"] = data["y"] - 0.2 * data["x"][:, 0] * data["time"]  # parallel trends without the covariate
        truth = data["effect"][data["time"] >= data["first_treated"]].mean()
        for name, estimator in (("compared", group_time_effects), ("imputed", imputation_effects)):
            average = average_effects(estimator(**rows(data)))
            found[name].append((average.overall - truth, average.overall_std_error))
        fit = two_way_fixed_effects(**rows(data))
        found["two-way"].append((fit.coef[0] - truth, fit.std_error[0]))
    for name, both in found.items():
        error, stated = np.array(both).T
        z = error.mean() / (error.std(ddof=1) / 60**0.5)
        assert abs(z) < 4 if name != "two-way" else z < -20, f"{name}: {z}"
        if name != "two-way":
            assert abs(stated.mean() / error.std(ddof=1) - 1) < 4 * 0.092, name
    assert np.std([e for e, _ in found["imputed"]]) < np.std([e for e, _ in found["compared"]])
