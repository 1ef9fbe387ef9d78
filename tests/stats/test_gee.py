"""Marginal models of clustered rows: against geepack and clubSandwich, and their definitions in full matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm

from clinops.errors import DataError, DefinitionError
from clinops.stats.gee import GEE_ERRORS, gee
from clinops.stats.glm import glm
from clinops.stats.working_correlation import STRUCTURES, apply_inverse, estimate_correlation, lay_out

Arrays = dict[str, Any]
FITS = {
    "binomial_exchangeable": ("binomial", "event", "exchangeable"),
    "binomial_ar1": ("binomial", "event", "ar1"),
    "poisson_exchangeable": ("poisson", "count", "exchangeable"),
    "poisson_ar1": ("poisson", "count", "ar1"),
    "gaussian_exchangeable": ("gaussian", "value", "exchangeable"),
    "gaussian_independence": ("gaussian", "value", "independence"),
}


def arguments(frame: pd.DataFrame, family: str, outcome: str, correlation: str) -> Arrays:
    return {
        "X": np.column_stack([np.ones(len(frame)), frame["arm"], frame["x"]]), "y": frame[outcome].to_numpy(),
        "cluster": frame["id"].to_numpy(), "family": family, "correlation": correlation,
        "time": frame["time"].to_numpy(), "offset": np.log(frame["exposure"]) if family == "poisson" else None,
    }  # fmt: skip


# --- R -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("structure", ["independence", "exchangeable", "ar1"])
def test_normal_outcomes_are_those_of_geepack(reference: Any, structure: str) -> None:
    """All to 1e-10 but AR(1), where `geeglm` stops early: 1e-5 of the vector, and 1e-9 where it is told to go on."""
    expected, meta, frames = reference("its_did/panel_gee_lme")
    frame, r = frames["did_2x2.csv"], expected[f"gee_{structure}"]
    X = np.column_stack([np.ones(len(frame)), frame["treated"], frame["post"], frame["treated"] * frame["post"]])
    fit = gee(X, frame["y"], frame["id"], correlation=structure, se="robust", interval="normal")
    assert meta["tolerance_rel"] == 1e-5
    rtol = 1e-10 if structure != "ar1" else 1e-5
    assert np.linalg.norm(fit.coef - r["coef"]) <= rtol * np.linalg.norm(r["coef"])
    assert_allclose(fit.std_error, r["se_robust"], rtol=rtol)
    assert_allclose([fit.scale, *fit.alpha], [r["scale"], *np.atleast_1d(r["alpha"])], rtol=rtol)
    if structure == "ar1":
        end = reference("its_did/panel_models")[0]["did_2x2_ar1_converged"]
        assert_allclose(fit.coef, end["coef"], rtol=1e-9)
        assert_allclose(fit.std_error, end["se_robust"], rtol=1e-9)
        assert_allclose([fit.scale, *fit.alpha], [end["scale"], end["alpha"]], rtol=1e-9)


@pytest.mark.parametrize("name", FITS)
def test_unequal_clusters_with_gaps_are_those_of_geepack(reference: Any, name: str) -> None:
    expected, _, frames = reference("its_did/panel_models")
    data, r = arguments(frames["panel_models.csv"], *FITS[name]), expected[name]
    fit = gee(**data, se="robust")
    assert_allclose(fit.coef, r["coef"], rtol=1e-9)
    assert_allclose(fit.std_error, r["se_robust"], rtol=1e-9)
    assert_allclose(fit.alpha, np.atleast_1d(r["alpha"]), rtol=1e-9)
    assert_allclose(fit.scale, r["scale"], rtol=1e-9)
    assert_allclose(gee(**data, se="model").std_error, r["se_model"], rtol=1e-9)
    assert (fit.n_clusters, fit.df, fit.converged) == (30, 27.0, True)


@pytest.mark.parametrize("se", ["kauermann-carroll", "mancl-derouen"])
def test_under_independence_the_corrections_are_cr2_and_cr3(reference: Any, se: str) -> None:
    expected, _, frames = reference("its_did/panel_models")
    fit = gee(**arguments(frames["panel_models.csv"], *FITS["gaussian_independence"]), se=se)
    assert_allclose(fit.std_error, expected["corrected_independence"][se.replace("-", "_")], rtol=1e-9)


def test_mancl_derouen_is_that_of_statsmodels(reference: Any) -> None:
    import statsmodels.api as sm

    _, _, frames = reference("its_did/panel_models")
    data = arguments(frames["panel_models.csv"], *FITS["binomial_exchangeable"])
    fit = gee(**data, se="mancl-derouen")
    model = sm.GEE(
        data["y"], data["X"], groups=data["cluster"], family=sm.families.Binomial(),
        cov_struct=sm.cov_struct.Exchangeable(),
    )  # fmt: skip
    # Its correlation is estimated with a degrees-of-freedom factor, so ours is handed over.
    model.cov_struct.dep_params = fit.alpha[0]
    other = model.fit(
        start_params=fit.coef, params_niter=1, first_dep_update=999, cov_type="bias_reduced", maxiter=1, ctol=1.0
    )
    assert_allclose(fit.std_error, other.bse, rtol=1e-4)


# --- definitions -------------------------------------------------------------------------------------------


def nested(cluster: Any, time: Any, alpha: Any) -> Any:
    same, period = cluster[:, None] == cluster, time[:, None] == time
    return np.where(np.eye(len(cluster)) == 1, 1.0, same * np.where(period, alpha[0], alpha[-1]))


def full_correlation(structure: str, cluster: Any, time: Any, alpha: Any) -> Any:
    if structure == "independence":
        return np.eye(len(cluster))
    if structure == "ar1":
        return (cluster[:, None] == cluster) * np.float64(alpha[0]) ** np.abs(time[:, None] - time)
    return nested(cluster, time, alpha)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_inverse_is_that_of_the_matrix(structure: str) -> None:
    rng = np.random.default_rng(1)
    cluster = np.sort(rng.integers(0, 5, 40))
    time = np.concatenate([np.sort(rng.choice(60, (cluster == g).sum(), replace=False)) for g in range(5)]) / 4
    if structure == "nested exchangeable":
        time = np.floor(time / 5)
    layout = lay_out(structure, cluster.astype(np.int64), time.astype(float))
    alpha = np.array({"independence": [], "exchangeable": [0.3], "ar1": [0.6]}.get(structure, [0.4, 0.25]))
    values = rng.normal(size=(40, 3))
    by_hand = np.linalg.solve(full_correlation(structure, cluster, time, alpha), values)
    assert_allclose(apply_inverse(layout, alpha, values), by_hand, rtol=1e-8, atol=1e-10)


def test_correlations_within_and_between_periods_are_means_over_pairs() -> None:
    rng = np.random.default_rng(2)
    cluster, time = np.repeat(np.arange(4), 9), np.tile(np.repeat(np.arange(3), 3), 4)
    z = rng.normal(size=36)
    pairs = [(i, j) for i in range(36) for j in range(i) if cluster[i] == cluster[j]]
    within = [z[i] * z[j] for i, j in pairs if time[i] == time[j]]
    between = [z[i] * z[j] for i, j in pairs if time[i] != time[j]]
    layout = lay_out("nested exchangeable", cluster, time.astype(float))
    assert_allclose(estimate_correlation(layout, z, 2.0), np.array([np.mean(within), np.mean(between)]) / 2)


def in_full(data: Arrays, fit: Any, se: str) -> Any:
    """The sandwich as its articles define it, cluster by cluster, from the fit's coefficients and correlation."""
    X, y, cluster, time = (np.asarray(data[name], dtype=float) for name in ("X", "y", "cluster", "time"))
    weight = np.asarray(data.get("weights", np.ones(len(y))), dtype=float)
    mean = fit.fitted
    slope = {"binomial": mean * (1 - mean), "poisson": mean, "gaussian": np.ones_like(mean)}[fit.family]
    spread = np.sqrt(slope / weight) if fit.family != "gaussian" else np.sqrt(1 / weight)
    pieces = []
    for one in np.unique(cluster):
        at = cluster == one
        V = np.outer(spread[at], spread[at]) * full_correlation(fit.correlation, cluster[at], time[at], fit.alpha)
        pieces.append((X[at] * slope[at][:, None], np.linalg.inv(V), (y - mean)[at]))
    bread = np.linalg.inv(sum(D.T @ W @ D for D, W, _ in pieces))
    meat = np.zeros_like(bread)
    for D, W, r in pieces:
        H = D @ bread @ D.T @ W
        eye = np.eye(len(r))
        if se == "mancl-derouen":
            u = D.T @ W @ np.linalg.inv(eye - H) @ r
        elif se == "kauermann-carroll":
            u = D.T @ W @ np.real(sqrtm(np.linalg.inv(eye - H))) @ r
        elif se == "fay-graubard":
            u = (1 - np.minimum(0.75, np.diag(D.T @ W @ D @ bread))) ** -0.5 * (D.T @ W @ r)
        else:
            u = D.T @ W @ r
        meat += np.outer(u, u)
    return bread * fit.scale if se == "model" else bread @ meat @ bread


@pytest.mark.parametrize("se", GEE_ERRORS)
@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_error_is_its_definition(reference: Any, structure: str, se: str) -> None:
    _, _, frames = reference("its_did/panel_models")
    frame = frames["panel_models.csv"].sort_values(["id", "time"])
    data = arguments(frame, "poisson", "count", structure)
    if structure == "nested exchangeable":
        data["time"] = data["time"] // 3
    data["weights"] = np.random.default_rng(4).integers(1, 4, len(frame))
    fit = gee(**data, se=se)
    assert fit.converged
    assert_allclose(fit.cov, in_full(data, fit, se), rtol=1e-7)


def test_independence_is_a_glm() -> None:
    rng = np.random.default_rng(3)
    X = np.column_stack([np.ones(200), rng.normal(size=200)])
    y, weights = rng.binomial(1, 0.4, 200), rng.random(200) + 0.1
    cluster = np.repeat(np.arange(50), 4)
    fit = gee(X, y, cluster, "binomial", correlation="independence", weights=weights, se="robust", interval="normal")
    other = glm(X, y, "binomial", weights=weights, cluster=cluster)
    assert_allclose(fit.coef, other.coef, rtol=1e-9)
    assert_allclose(fit.std_error, other.std_error * np.sqrt(49 / 50 * 198 / 199), rtol=1e-9)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_order_and_labels_change_nothing(reference: Any, structure: str) -> None:
    _, _, frames = reference("its_did/panel_models")
    frame = frames["panel_models.csv"]
    before = gee(**arguments(frame, "poisson", "count", structure))
    mixed = frame.sample(frac=1, random_state=1)
    after = gee(
        **(arguments(mixed, "poisson", "count", structure) | {"cluster": ("c" + mixed["id"].astype(str)).array})
    )
    assert_allclose(after.coef, before.coef, rtol=1e-9)
    assert_allclose(after.std_error, before.std_error, rtol=1e-7)
    assert_allclose(after.fitted, before.fitted[mixed.index], rtol=1e-9)


# --- edges -------------------------------------------------------------------------------------------------


def small() -> Arrays:
    rng = np.random.default_rng(6)
    X = np.column_stack([np.ones(24), np.tile([0, 1], 12)])
    return {"X": X, "y": rng.normal(size=24), "cluster": np.repeat(np.arange(6), 4)}


def test_aliased_columns_are_nan_and_said() -> None:
    data = small()
    fit = gee(np.column_stack([data["X"], data["X"][:, 1]]), data["y"], data["cluster"])
    assert np.isnan(fit.coef[2]) and np.isnan(fit.std_error[2])
    assert_allclose(fit.coef[:2], gee(**data).coef, rtol=1e-12)
    assert "left out" in fit.note


def test_few_clusters_with_robust_errors_are_said() -> None:
    assert "Only 6 clusters" in gee(**small(), se="robust").note
    assert gee(**small()).note == ""


def test_more_coefficients_than_clusters_have_no_degrees_of_freedom() -> None:
    data = small()
    X = np.column_stack([data["X"], np.random.default_rng(1).normal(size=(24, 4))])
    fit = gee(X, data["y"], data["cluster"])
    assert np.isnan(fit.std_error).all()
    assert "no degrees of freedom" in fit.note
    assert np.isfinite(gee(X, data["y"], data["cluster"], interval="normal").std_error).all()


def test_impossible_correlations_and_constant_outcomes_have_no_error() -> None:
    data = small()
    # Pairs of opposites, and one cluster of six: a correlation of about -0.4 is possible in two rows, not in six.
    y = np.concatenate([np.tile([5.0, -5.0], 5), 0.1 * data["y"][:6]])
    opposed = gee(np.ones((16, 1)), y, np.append(np.repeat(np.arange(5), 2), np.full(6, 9)))
    assert not opposed.converged
    assert np.isnan(opposed.std_error).all()
    assert "is not possible" in opposed.note
    flat = gee(**(data | {"y": np.full(24, 2.0)}))
    assert np.isnan(flat.std_error).all()
    assert "Residuals do not vary" in flat.note


def test_one_cluster_has_no_possible_correlation() -> None:
    """Residuals that add up to nothing in one cluster correlate by -1 / (n - 1), of which no matrix has an inverse."""
    y = np.random.default_rng(3).normal(size=40)
    for n in range(3, 41):
        fit = gee(np.ones((n, 1)), y[:n], np.zeros(n))
        assert_allclose(fit.alpha, -1 / (n - 1))
        assert "is not possible" in fit.note and np.isnan(fit.std_error).all()


def test_separation_is_said() -> None:
    data = small()
    fit = gee(data["X"], data["X"][:, 1], data["cluster"], "binomial", correlation="independence")
    assert not fit.converged
    assert np.isnan(fit.std_error).all()


def test_one_row_a_cluster_has_no_pairs() -> None:
    data = small() | {"cluster": np.arange(24)}
    fit = gee(**data)
    assert "(nan) is not possible" in fit.note
    assert gee(**data, correlation="independence").converged


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"family": "gamma"}, DefinitionError, "family of a marginal model"),
        ({"correlation": "exchangable"}, DefinitionError, "Did you mean 'exchangeable'"),
        ({"se": "HC3"}, DefinitionError, "kind of error"),
        ({"correlation": "nested exchangeable"}, DefinitionError, "needs the time"),
        ({"correlation": "ar1", "time": np.zeros(24)}, DataError, "18 rows repeat a cluster and time"),
        ({"time": np.full(24, np.nan)}, DataError, "missing values"),
        ({"cluster": np.zeros(3)}, DataError, "cluster has shape"),
        ({"y": np.full(24, np.nan)}, DataError, "outside what gaussian allows"),
    ],
)
def test_wrong_input_is_refused(change: Arrays, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        gee(**(small() | change))
