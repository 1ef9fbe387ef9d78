"""Mixed models: against nlme, lme4 and lmerTest, full matrices, and where a variance is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from clinops.errors import DataError, DefinitionError
from clinops.stats.linear import linear
from clinops.stats.mixed import mixed_model


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_random_intercepts_are_those_of_nlme(reference: Any, method: str) -> None:
    expected, meta, frames = reference("its_did/panel_gee_lme")
    frame, r = frames["did_2x2.csv"], expected[f"lme_{method}"]
    X = np.column_stack([np.ones(len(frame)), frame["treated"], frame["post"], frame["treated"] * frame["post"]])
    fit = mixed_model(X, frame["y"], frame["id"], method=method)
    rtol = meta["tolerance_rel"]
    assert_allclose(fit.coef, r["coef"], rtol=rtol)
    assert_allclose(fit.std_error, r["se"], rtol=rtol)
    assert_allclose(fit.sigma, r["sigma"], rtol=rtol)
    assert_allclose(fit.loglik, r["loglik"], rtol=1e-9)
    if method == "reml":
        assert_allclose(fit.sd_intercept, r["sd_id"], rtol=rtol)


@pytest.mark.parametrize("slope", [False, True], ids=["intercept", "slope"])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_sleep_study_is_that_of_lme4(reference: Any, method: str, slope: bool) -> None:
    """Published with it: 24.74, 5.92, correlation 0.07, residual 25.59."""
    expected, _, frames = reference("its_did/panel_models")
    frame, r = frames["sleepstudy.csv"], expected[f"{'slope' if slope else 'intercept'}_{method}"]
    X = np.column_stack([np.ones(180), frame["Days"]])
    fit = mixed_model(X, frame["Reaction"], frame["Subject"], slope=frame["Days"] if slope else None, method=method)
    assert_allclose(fit.coef, r["coef"], rtol=1e-9)
    assert_allclose(fit.std_error, r["se"], rtol=1e-6)
    assert_allclose(fit.sigma, r["sigma"], rtol=1e-6)
    assert_allclose(fit.loglik, r["loglik"], rtol=1e-10)
    assert_allclose(fit.df, r["df"], rtol=1e-4)  # both by numerical derivatives
    assert_allclose(fit.p_value, r["p"], rtol=3e-3)  # 1e-4 of the degrees of freedom, far out in the tail
    spread = [fit.sd_intercept, fit.sd_slope] if slope else [fit.sd_intercept]
    assert_allclose(spread, np.atleast_1d(r["sd"]), rtol=1e-6)
    if slope:
        assert_allclose(fit.correlation, r["cor"], atol=1e-6)
    if slope and method == "reml":
        assert [round(one, 2) for one in (*spread, fit.correlation, fit.sigma)] == [24.74, 5.92, 0.07, 25.59]


def made(seed: int = 1) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(12), rng.integers(2, 9, 12))
    t = rng.normal(size=len(cluster))
    u = rng.multivariate_normal([0, 0], [[1, 0.3], [0.3, 0.5]], 12)[cluster]
    X = np.column_stack([np.ones(len(t)), t, rng.random(len(t))])
    return X, X @ [1.0, 0.5, -1.0] + u[:, 0] + u[:, 1] * t + rng.normal(size=len(t)), cluster, t


def test_the_likelihood_is_that_of_the_whole_normal_vector() -> None:
    X, y, cluster, t = made()
    fit = mixed_model(X, y, cluster, slope=t, method="ml")
    product = fit.correlation * fit.sd_intercept * fit.sd_slope
    G = np.array([[fit.sd_intercept**2, product], [product, fit.sd_slope**2]])
    Z = np.column_stack([np.ones(len(t)), t])
    V = (cluster[:, None] == cluster) * (Z @ G @ Z.T) + fit.sigma**2 * np.eye(len(t))
    assert_allclose(fit.loglik, multivariate_normal(X @ fit.coef, V).logpdf(y), rtol=1e-9)
    inverse = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ inverse @ X)
    assert_allclose(fit.cov, cov, rtol=1e-7)
    assert_allclose(fit.coef, cov @ X.T @ inverse @ y, rtol=1e-7)


def test_balanced_groups_are_an_analysis_of_variance() -> None:
    """One way, 8 groups of 5: variances from mean squares, the mean's error from 7 degrees of freedom."""
    rng = np.random.default_rng(3)
    y = rng.normal(size=(8, 5)) + 2 * rng.normal(size=(8, 1))
    fit = mixed_model(np.ones((40, 1)), y.ravel(), np.repeat(np.arange(8), 5))
    between, within = 5 * y.mean(1).var(ddof=1), ((y - y.mean(1, keepdims=True)) ** 2).sum() / 32
    assert_allclose(fit.sigma**2, within, rtol=1e-6)
    assert_allclose(fit.sd_intercept**2, (between - within) / 5, rtol=1e-6)
    assert_allclose(fit.std_error[0], np.sqrt(between / 40), rtol=1e-6)
    assert_allclose(fit.df[0], 7, rtol=1e-4)
    assert_allclose(fit.icc, (between - within) / 5 / ((between - within) / 5 + within), rtol=1e-6)


def test_no_variance_between_clusters_is_least_squares() -> None:
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(10), 6)
    y = rng.normal(size=60)
    y -= np.array([y[cluster == g].mean() for g in range(10)])[cluster]
    X = np.column_stack([np.ones(60), rng.normal(size=60)])
    fit, plain = mixed_model(X, y, cluster), linear(X[:, 1:], y, se="model")
    assert fit.sd_intercept < 1e-6
    assert_allclose(fit.coef[1], plain.coef[0], rtol=1e-6)
    assert_allclose([fit.std_error[1], fit.conf_low[1]], [plain.std_error[0], plain.conf_low[0]], rtol=1e-6)
    assert "estimated as 0" in fit.note


def test_order_labels_and_aliased_columns() -> None:
    X, y, cluster, t = made()
    before = mixed_model(X, y, cluster, slope=t)
    order = np.random.default_rng(0).permutation(len(y))
    wide = np.column_stack([X, X[:, 1] * 2])[order]
    after = mixed_model(wide, y[order], np.array(list("lkjihgfedcba"))[cluster][order], slope=t[order])
    assert_allclose(after.coef[:3], before.coef, rtol=1e-6)
    assert_allclose(after.std_error[:3], before.std_error, rtol=1e-6)
    assert np.isnan([after.coef[3], after.std_error[3], after.df[3]]).all()


@pytest.mark.parametrize("level", [1e4, 1e7])
@pytest.mark.parametrize("slope", [False, True])
def test_the_level_of_the_outcome_moves_the_intercept_alone(level: float, slope: bool) -> None:
    X, y, cluster, t = made()
    own = {"slope": t} if slope else {}
    near, far = mixed_model(X, y, cluster, **own), mixed_model(X, y + level, cluster, **own)
    assert_allclose(far.coef - level * np.eye(3)[0], near.coef, atol=1e-7)
    assert_allclose(far.std_error, near.std_error, rtol=1e-5)
    assert_allclose([far.sigma, far.sd_intercept], [near.sigma, near.sd_intercept], rtol=1e-5)
    assert_allclose(far.loglik, near.loglik, rtol=1e-7)


def test_without_a_spread_of_rows_there_is_no_error() -> None:
    X, y, cluster, _ = made()
    exact = mixed_model(X, X @ [1.0, 2.0, 3.0], cluster)
    assert_allclose(exact.coef, [1, 2, 3], rtol=1e-10)
    assert np.isnan(exact.std_error).all() and "Residuals do not vary" in exact.note
    ones = np.ones((len(y), 1))
    for outcome, ids in (
        (np.arange(12.0)[cluster] ** 2, cluster),
        (y, np.arange(len(y))),
    ):  # alike within; one row each
        found = mixed_model(ones, outcome, ids)
        assert np.isnan([found.std_error, found.conf_low, found.p_value]).all()
        assert "Nothing varies within clusters" in found.note


@pytest.mark.parametrize("df", ["clusters", "normal"])
def test_other_degrees_of_freedom(df: str) -> None:
    X, y, cluster, _ = made()
    fit = mixed_model(X, y, cluster, df=df)
    assert set(fit.df) == ({9.0} if df == "clusters" else {np.inf})


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "rml"}, DefinitionError, "Did you mean"),
        ({"df": "kenward"}, DefinitionError, "degrees of freedom"),
        ({"cluster": np.zeros(58)}, DataError, "cannot tell"),
        ({"cluster": np.zeros(3)}, DataError, "cluster \\(3,\\)"),
        ({"slope": np.zeros(3)}, DataError, "slope has shape"),
        ({"y": np.full(58, np.nan)}, DataError, "58 rows hold missing"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    X, y, cluster, _ = made()
    size = len(y)
    change = {k: np.resize(v, size) if isinstance(v, np.ndarray) and len(v) == 58 else v for k, v in change.items()}
    says = says.replace("58", str(size))
    with pytest.raises(error, match=says):
        mixed_model(**({"X": X, "y": y, "cluster": cluster} | change))
