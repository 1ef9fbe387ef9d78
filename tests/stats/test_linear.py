"""Weighted least squares with absorbed strata: against statsmodels with indicator columns, R's ANCOVA, and itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.linear import LinearFit, detectable_effect, joint_test, linear, wald, weighted_mean_sd
from clinops.stats.power import detectable_difference_means


def made(seed: int, n: int = 300, groups: int = 7) -> dict[str, Any]:
    """Rows with strata that matter, weights (some 0), clusters and a heavy tail."""
    rng = np.random.default_rng(seed)
    strata = rng.integers(0, groups, n)
    x = rng.integers(0, 2, n).astype(float)
    z = rng.normal(size=(n, 2)) + strata[:, None]
    y = 3 * strata + x + z @ [0.5, -1.0] + rng.gamma(0.3, 4, n)
    w = np.where(rng.random(n) < 0.1, 0.0, rng.random(n) + 0.1)
    return {"X": np.column_stack([x, z]), "y": y, "w": w, "strata": strata, "cluster": rng.integers(0, 40, n)}


def with_indicators(d: dict[str, Any], kind: str) -> Any:
    """The same regression in statsmodels, each stratum a column, rows without weight left out."""
    import statsmodels.api as sm

    keep = d["w"] > 0
    dummies = (d["strata"][:, None] == np.unique(d["strata"][keep])).astype(float)
    design = np.column_stack([d["X"], dummies])[keep]
    model = sm.WLS(d["y"][keep], design, weights=d["w"][keep])
    if kind == "cluster":
        return model.fit(cov_type="cluster", cov_kwds={"groups": d["cluster"][keep]}, use_t=True)
    return model.fit(cov_type=kind, use_t=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["HC1", "HC0", "cluster"])
def test_absorbed_strata_are_indicator_columns(seed: int, kind: str) -> None:
    d = made(seed)
    fit = linear(
        d["X"], d["y"], weights=d["w"], strata=d["strata"], cluster=d["cluster"] if kind == "cluster" else None,
        se="HC1" if kind == "cluster" else kind,
    )  # fmt: skip
    reference = with_indicators(d, kind)
    assert_allclose(fit.coef, reference.params[:3], rtol=1e-9)
    assert_allclose(fit.std_error, reference.bse[:3], rtol=1e-9)
    assert_allclose(fit.p_value, reference.pvalues[:3], rtol=1e-8, atol=1e-300)
    interval = reference.conf_int()[:3]
    assert_allclose(np.column_stack([fit.conf_low, fit.conf_high]), interval, rtol=1e-8)
    assert fit.n_parameters == 3 + len(np.unique(d["strata"][d["w"] > 0]))


def test_analysis_of_covariance_is_that_of_r(reference: Any) -> None:
    expected, meta, frames = reference("epi/experiment")
    data = frames["experiment_cuped.csv"]
    columns = data[["arm", "pre"]].to_numpy(dtype=float)
    fit = linear(columns, data["post"].to_numpy(dtype=float), se="model")
    assert fit.coef[0] == pytest.approx(expected["cuped"]["ancova_effect"], rel=meta["tolerance_rel"])
    assert fit.std_error[0] == pytest.approx(expected["cuped"]["ancova_se"], rel=meta["tolerance_rel"])


def test_two_arms_without_covariates_are_the_difference_of_means() -> None:
    rng = np.random.default_rng(5)
    y, x = rng.normal(size=80), np.repeat([1.0, 0.0], [30, 50])
    fit = linear(x[:, None], y)
    one, zero = y[:30], y[30:]
    assert fit.coef[0] == pytest.approx(one.mean() - zero.mean(), rel=1e-12)
    variance = one.var() / 30 + zero.var() / 50  # HC0 of two means
    assert fit.std_error[0] == pytest.approx(np.sqrt(variance * 80 / 78), rel=1e-12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_whole_weights_are_repeated_rows_but_for_the_error(seed: int) -> None:
    d = made(seed, n=60, groups=3)
    times = np.random.default_rng(seed).integers(0, 4, 60)
    if len(np.unique(d["X"][times > 0, 0])) < 2:
        return
    weighted = linear(d["X"], d["y"], weights=times, strata=d["strata"])
    twice = linear(np.repeat(d["X"], times, axis=0), np.repeat(d["y"], times), strata=np.repeat(d["strata"], times))
    assert_allclose(weighted.coef, twice.coef, rtol=1e-7, atol=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.01, 100), st.floats(-50, 50))
def test_scale_shift_and_order_carry_over(seed: int, scale: float, shift: float) -> None:
    d = made(seed, n=60, groups=3)
    plain = linear(d["X"], d["y"], weights=d["w"], strata=d["strata"])
    order = np.random.default_rng(seed).permutation(60)
    moved = linear(
        d["X"][order], (scale * d["y"] + shift)[order], weights=7 * d["w"][order], strata=d["strata"][order] + 5
    )
    assert_allclose(moved.coef, scale * plain.coef, rtol=1e-6, atol=1e-8 * scale)
    assert_allclose(moved.std_error, scale * plain.std_error, rtol=1e-6)


def test_duplicated_rows_clustered_by_person_change_nothing_but_the_factor() -> None:
    d = made(1)
    person = np.arange(len(d["y"]))
    once = linear(d["X"], d["y"], weights=d["w"], strata=d["strata"], cluster=person)
    twice = linear(
        *(np.repeat(d[k], 2, axis=0) for k in ("X", "y")), weights=np.repeat(d["w"], 2),
        strata=np.repeat(d["strata"], 2), cluster=np.repeat(person, 2),
    )  # fmt: skip
    assert_allclose(twice.coef, once.coef, rtol=1e-9)
    assert_allclose(twice.cov / twice.factor, once.cov / once.factor, rtol=1e-8)


def test_the_joint_test_is_that_of_statsmodels() -> None:
    d = made(2)
    fit = linear(d["X"], d["y"], weights=d["w"], strata=d["strata"])
    reference = with_indicators(d, "HC1")
    wanted = np.eye(3, len(reference.params))[1:]
    found = joint_test(fit, [1, 2])
    assert found.statistic == pytest.approx(float(np.squeeze(reference.f_test(wanted).fvalue)), rel=1e-8)
    assert found.p_value == pytest.approx(float(reference.f_test(wanted).pvalue), rel=1e-6)
    assert found.df_numerator == 2
    single = joint_test(fit, 0)
    assert single.p_value == pytest.approx(fit.p_value[0], rel=1e-9)


# --- edges: each has a decided answer -------------------------------------------------------------------------


def one_note(fit: LinearFit, words: str) -> None:
    assert np.isnan(fit.coef[0]) and np.isnan(fit.std_error[0]) and words in fit.note


def test_a_column_that_strata_determine_has_no_estimate() -> None:
    d = made(3)
    one_note(linear(d["strata"][:, None].astype(float), d["y"], strata=d["strata"]), "do not vary within strata")
    one_note(linear(np.ones((5, 1)), np.arange(5.0)), "do not vary")


def test_one_row_and_as_many_rows_as_parameters() -> None:
    one_note(linear([[1.0]], [2.0]), "leave nothing")
    fit = linear([[0.0], [1.0]], [1.0, 3.0])
    assert fit.coef[0] == pytest.approx(2.0) and np.isnan(fit.std_error[0]) and "leave nothing" in fit.note


def test_an_outcome_without_any_spread() -> None:
    fit = linear(np.array([[0.0], [1.0], [0.0], [1.0]]), np.zeros(4))
    assert fit.coef[0] == 0 and fit.std_error[0] == 0 and np.isnan(fit.p_value[0])


def test_one_cluster_tells_nothing_of_the_error_and_few_are_said() -> None:
    d = made(4, n=40)
    assert np.isnan(linear(d["X"], d["y"], cluster=np.zeros(40)).std_error).all()
    assert "Only 8 clusters" in linear(d["X"], d["y"], cluster=np.arange(40) % 8).note


def test_a_covariance_without_an_inverse_has_no_joint_test() -> None:
    found = wald(np.ones(2), np.ones((2, 2)), 10.0)
    assert np.isnan(found.p_value) and "no inverse" in found.note


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": -np.ones(4)}, "negative"),
        ({"weights": np.zeros(4)}, "positive weight"),
        ({"weights": np.ones(3)}, "must be"),
        ({"y": np.array([1.0, np.nan, 2, 3])}, "missing"),
        ({"strata": np.zeros(3)}, "strata"),
        ({"cluster": np.zeros(3)}, "cluster"),
        ({"y": np.ones(3)}, "shape"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], words: str) -> None:
    given_ = {"X": np.array([[0.0], [1], [0], [1]]), "y": np.arange(4.0)} | change
    with pytest.raises(DataError, match=words):
        linear(**given_)


def test_wrong_names_are_refused() -> None:
    for bad in ({"se": "HC9"}, {"interval": "normel"}, {"conf_level": 2}):
        with pytest.raises(DefinitionError):
            linear(np.array([[0.0], [1], [0], [1]]), np.arange(4.0), **bad)  # type: ignore[arg-type]


# --- means and what could be seen -----------------------------------------------------------------------------


def test_the_weighted_spread_with_equal_weights_is_the_sample_sd() -> None:
    y = np.array([1.0, 4, 9, 16, 25])
    assert weighted_mean_sd(y) == pytest.approx((y.mean(), y.std(ddof=1)))
    assert weighted_mean_sd(y, np.full(5, 0.2)) == pytest.approx((y.mean(), y.std(ddof=1)))
    # by hand: mean (1 + 3 x 5) / 4 = 4, variance (9 + 3 x 1) / 4 = 3, times 2/1
    assert weighted_mean_sd([1.0, 5.0, 9.0], [1.0, 3.0, 0.0]) == pytest.approx((4.0, np.sqrt(6.0)))
    mean, sd = weighted_mean_sd([3.0])
    assert mean == 3.0 and np.isnan(sd) and np.isnan(weighted_mean_sd([])).all()


def test_the_detectable_effect_of_two_plain_arms_is_that_of_the_t_test() -> None:
    error = 5.0 * np.sqrt(1 / 40 + 1 / 60)
    assert detectable_effect(error, 98) == pytest.approx(detectable_difference_means(5.0, 40, 60), rel=1e-9)
    assert detectable_effect(1.0) == pytest.approx(1.959963985 + 0.841621234, rel=1e-8)
    assert np.isnan(detectable_effect(float("nan"))) and np.isnan(detectable_effect(1.0, 0))
    with pytest.raises(DefinitionError):
        detectable_effect(1.0, power=1.2)
