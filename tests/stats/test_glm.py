"""GLM and its sandwich: against R on the RAND experiment, against statsmodels, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import expit, glm, independent_columns
from tests.support import assert_close, oracle, oracle_csv

RAND = oracle("costs/rand_hie_two_part")
TOLERANCE = RAND["meta"]["tolerance_rel"]


def rand_data() -> tuple[np.ndarray, np.ndarray]:
    frame = oracle_csv("costs/rand_hie_year1")
    X = np.column_stack(
        [np.ones(len(frame)), frame["coins"] == 0, *(frame[c] for c in ("xage", "female", "disea", "linc"))]
    )
    return X.astype(float), frame["meddol"].to_numpy(float)


def simulated(n: int = 400, seed: int = 3) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return X, X @ np.array([0.2, 0.5, -0.3]), rng


@pytest.mark.parametrize(
    ("key", "family", "se", "part"),
    [
        ("gamma_log", "gamma", "model", "positive"),
        ("gamma_log_hc0", "gamma", "HC0", "positive"),
        ("gamma_log_hc1", "gamma", "HC1", "positive"),
        ("logit", "binomial", "model", "any"),
        ("log_ols", "gaussian", "model", "log"),
        ("quasipoisson_all_hc0", "poisson", "HC0", "all"),
    ],
)
def test_equals_r_on_the_rand_experiment(key: str, family: str, se: str, part: str) -> None:
    X, cost = rand_data()
    spent = cost > 0
    rows = spent if part in ("positive", "log") else np.ones(len(cost), bool)
    y = {"any": spent.astype(float), "log": np.log(np.where(spent, cost, 1.0))}.get(part, cost)
    fit = glm(X[rows], y[rows], family, se=se)
    assert_close(fit.coef, RAND["expected"][key]["coef"], TOLERANCE, f"{key}.coef")
    assert_close(fit.std_error, RAND["expected"][key]["se"], TOLERANCE, f"{key}.se")


def test_dispersion_and_deviance_equal_r() -> None:
    X, cost = rand_data()
    fit = glm(X[cost > 0], cost[cost > 0], "gamma")
    assert_close(fit.dispersion, RAND["expected"]["gamma_log"]["dispersion_pearson"], TOLERANCE)
    assert_close(fit.deviance, RAND["expected"]["gamma_log"]["deviance"], TOLERANCE)


@pytest.mark.parametrize("family", ["gaussian", "binomial", "poisson"])
def test_equals_statsmodels_with_offset_and_clusters(family: str) -> None:
    # canonical links only: statsmodels uses observed information for gamma-log
    import statsmodels.api as sm

    X, eta, rng = simulated()
    offset, cluster = rng.uniform(-0.5, 0.5, len(X)), rng.integers(0, 40, len(X))
    y = {
        "gaussian": eta + rng.normal(size=len(X)),
        "binomial": (rng.random(len(X)) < 1 / (1 + np.exp(-eta))).astype(float),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
    }[family]
    theirs = sm.GLM(y, X, getattr(sm.families, family.capitalize())(), offset=offset)
    model = theirs.fit(tol=1e-14, maxiter=200, tol_criterion="params")
    ours = glm(X, y, family, offset=offset, se="model")
    assert_close(ours.coef, model.params, 1e-9)
    assert_close(ours.std_error, model.bse, 1e-9)
    clustered = theirs.fit(
        tol=1e-14, maxiter=200, tol_criterion="params", cov_type="cluster", cov_kwds={"groups": cluster}
    )
    assert_close(glm(X, y, family, offset=offset, cluster=cluster).std_error, clustered.bse, 1e-9)


def test_hc3_equals_statsmodels_ols() -> None:
    import statsmodels.api as sm

    X, eta, rng = simulated()
    y = eta + rng.normal(size=len(X)) * np.exp(X[:, 1] / 2)
    assert_close(glm(X, y, "gaussian", se="HC3").std_error, sm.OLS(y, X).fit(cov_type="HC3").bse, 1e-9)


def test_integer_weights_equal_repeated_rows() -> None:
    X, eta, rng = simulated(60)
    y, times = rng.poisson(np.exp(eta)).astype(float), rng.integers(0, 4, len(X))
    weighted, repeated = (
        glm(X, y, "poisson", weights=times),
        glm(np.repeat(X, times, 0), np.repeat(y, times), "poisson"),
    )
    assert_close(weighted.coef, repeated.coef, 1e-9)
    assert_close(weighted.bread, repeated.bread, 1e-9)


def test_scores_sum_to_zero_and_leverage_to_the_columns() -> None:
    X, _, rng = simulated()
    fit = glm(X, (rng.random(len(X)) < 0.4).astype(float), "binomial")
    assert np.abs(fit.scores.sum(axis=0)).max() < 1e-8
    assert_close(fit.leverage.sum(), 3.0, 1e-9)


def test_one_row_a_cluster_is_hc1_but_for_the_factor() -> None:
    X, eta, rng = simulated(50)
    y = eta + rng.normal(size=50)
    clustered, hc1 = glm(X, y, "gaussian", cluster=np.arange(50)), glm(X, y, "gaussian", se="HC1")
    assert clustered.se_kind == "CR1 clustered"
    assert_close(clustered.std_error, hc1.std_error, 1e-12)  # G/(G-1) (n-1)/(n-k) is n/(n-k) when G = n


def test_aliased_columns_are_left_out_and_named() -> None:
    X, eta, _ = simulated()
    wide = np.column_stack([X, X[:, 1] + X[:, 2], np.zeros(len(X))])
    fit, narrow = glm(wide, eta, "gaussian"), glm(X, eta, "gaussian")
    assert fit.aliased.tolist() == [3, 4]
    assert np.isnan(fit.coef[3:]).all() and np.isnan(fit.std_error[3:]).all()
    assert_close(fit.coef[:3], narrow.coef, 1e-9)
    assert "[3, 4]" in fit.note


def test_columns_on_very_different_scales_are_not_aliased() -> None:
    age = np.arange(18.0, 90.0)
    keep, aliased = independent_columns(np.column_stack([np.ones_like(age), age, age**2, 1e-9 * age**3]))
    assert len(keep) == 4 and not len(aliased)


def test_complete_separation_is_named_and_has_no_standard_error() -> None:
    group = np.repeat([0.0, 1.0], 20)
    fit = glm(np.column_stack([np.ones(40), group]), group, "binomial")
    assert not fit.converged and "separate" in fit.note and np.isnan(fit.std_error).all()


def test_quasi_separation_keeps_the_standard_errors_of_other_columns() -> None:
    group = np.repeat([0.0, 1.0], [30, 10])
    y = np.concatenate([np.tile([0.0, 1.0, 1.0], 10), np.ones(10)])
    fit = glm(np.column_stack([np.ones(40), group]), y, "binomial", se="model")
    assert "Column(s) [1]" in fit.note and np.isnan(fit.std_error[1])
    assert_close(fit.coef[0], np.log(2), 1e-6)
    assert_close(fit.std_error[0], np.sqrt(1 / 10 + 1 / 20), 1e-6)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
@pytest.mark.parametrize(("mean", "spread"), [(201106.0, 0.0), (1e5, 1.0), (1e6, 1.0), (1e5, 0.1)])
def test_a_mean_far_above_its_spread_is_no_separation_of_a_straight_line(
    mean: float, spread: float, size: float
) -> None:
    """Closed form: slope and error of the column less its mean; a spread of 0 is a month written 201001 to 201212."""
    rng = np.random.default_rng(7)
    month = 201001.0 + 100 * rng.integers(0, 3, 500) + rng.integers(0, 12, 500)
    x = month if spread == 0 else mean + spread * rng.normal(size=500)
    y = size * (0.5 * (x - mean) + rng.normal(size=500))
    fit = glm(np.column_stack([np.ones(500), x]), y, "gaussian", se="model")
    centred = x - x.mean()
    slope = centred @ y / (centred @ centred)
    residual = y - y.mean() - slope * centred
    assert fit.converged and fit.note == ""
    assert fit.coef[1] == pytest.approx(slope, rel=1e-7)
    assert fit.std_error[1] == pytest.approx(np.sqrt(residual @ residual / 498 / (centred @ centred)), rel=1e-7)
    exact = glm(np.column_stack([np.ones(500), x]), size * 0.5 * (x - mean), "gaussian", se="model")
    assert exact.converged and exact.note == "" and exact.coef[1] == pytest.approx(0.5 * size, rel=1e-7)


@pytest.mark.parametrize("family", ["binomial", "probit", "poisson", "gamma"])
@pytest.mark.parametrize("mean", [1e5, 1e6])
def test_a_mean_far_above_its_spread_moves_the_intercept_alone(family: str, mean: float) -> None:
    rng = np.random.default_rng(8)
    z = rng.normal(size=600)
    y = {
        "poisson": rng.poisson(np.exp(0.5 * z)).astype(float), "gamma": rng.gamma(2, np.exp(0.5 * z)),
    }.get(family, (rng.uniform(size=600) < expit(z)).astype(float))  # fmt: skip
    far, near = (glm(np.column_stack([np.ones(600), z + shift]), y, family, se="model") for shift in (mean, 0.0))
    assert far.converged and far.note == "" and near.converged
    assert [far.coef[1], far.std_error[1]] == pytest.approx([near.coef[1], near.std_error[1]], rel=1e-6)


def test_separation_is_seen_beside_a_mean_far_above_its_spread() -> None:
    rng = np.random.default_rng(9)
    x, group = 1e5 + rng.normal(size=500), np.arange(500) % 50 == 0
    y = (rng.uniform(size=500) < 0.4) & ~group
    fit = glm(np.column_stack([np.ones(500), x, group]), y.astype(float), "binomial")
    assert not fit.converged and "separate" in fit.note and np.isnan(fit.std_error[2])


def test_poisson_group_without_events_has_no_finite_estimate() -> None:
    group = np.repeat([0.0, 1.0], 10)
    fit = glm(np.column_stack([np.ones(20), group]), np.where(group == 0, 2.0, 0.0), "poisson")
    assert "no finite" in fit.note and np.isnan(fit.std_error[1])


def test_outcome_without_variation() -> None:
    X, _, _ = simulated(20)
    fit = glm(X, np.full(20, 3.0), "gaussian")
    assert_close(fit.coef, [3.0, 0.0, 0.0], 1e-9, atol=1e-12)
    assert glm(X, np.ones(20), "binomial").converged is False


@pytest.mark.parametrize(
    ("family", "y", "message"),
    [
        ("binomial", [0.0, 2.0, 1.0], "0 to 1"),
        ("poisson", [0.0, -1.0, 1.0], "zero or more"),
        ("gamma", [0.0, 1.0, 1.0], "more than zero"),
        ("gaussian", [0.0, np.nan, 1.0], "finite"),
    ],
)
def test_impossible_outcomes_are_refused(family: str, y: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        glm(np.ones((3, 1)), y, family)


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'poisson'"):
        glm(np.ones((3, 1)), np.ones(3), "poison")
    with pytest.raises(DefinitionError, match="HC1"):
        glm(np.ones((3, 1)), np.ones(3), "gaussian", se="HC2")
    with pytest.raises(DataError, match=r"column\(s\) \[1\]"):
        glm([[1.0, np.nan], [1.0, 2.0]], [1.0, 2.0], "gaussian")
    with pytest.raises(DataError, match="shape"):
        glm(np.ones((3, 1)), np.ones(4), "gaussian")
    with pytest.raises(DataError, match="weights"):
        glm(np.ones((3, 1)), np.ones(3), "gaussian", weights=[1, -1, 1])
    with pytest.raises(DataError, match="cannot determine"):
        glm(np.eye(3)[:2], [1.0, 2.0], "gaussian", weights=[0.0, 0.0])


# --- probit, quasi-Poisson, Tweedie, negative binomial --------------------------------------------------------


def test_probit_equals_statsmodels_with_weights_and_far_tails() -> None:
    import statsmodels.api as sm

    X, eta, rng = simulated()
    y = (rng.random(len(X)) < 0.5 + eta / 4).astype(float)
    X[:3, 1] = [40.0, -40.0, 60.0]  # predictors so far out that a probability is 0 or 1 to the last digit
    y[:3] = [1.0, 0.0, 1.0]
    theirs = sm.GLM(y[3:], X[3:], sm.families.Binomial(sm.families.links.Probit())).fit(
        tol=1e-14, maxiter=200, tol_criterion="params"
    )
    weights = np.r_[np.zeros(3), np.ones(len(X) - 3)]
    ours = glm(X, y, "probit", weights=weights, se="model")
    assert_close(ours.coef, theirs.params, 1e-7)
    assert_close(ours.std_error, np.sqrt(np.diag(ours.bread)), 1e-12)
    assert np.isfinite(ours.fitted).all() and np.isfinite(glm(X, y, "probit").coef).all()


def test_probit_separation_is_named() -> None:
    group = np.repeat([0.0, 1.0], 20)
    fit = glm(np.column_stack([np.ones(40), group]), group, "probit")
    assert not fit.converged and "separate" in fit.note and np.isnan(fit.std_error).all()


def test_quasi_poisson_is_poisson_with_its_dispersion() -> None:
    X, eta, rng = simulated()
    y = rng.negative_binomial(1.0, 1 / (1 + np.exp(eta))).astype(float)
    plain, quasi = glm(X, y, "poisson", se="model"), glm(X, y, "quasipoisson", se="model")
    assert plain.dispersion == 1 and quasi.dispersion > 1.3
    assert_close(quasi.std_error, plain.std_error * np.sqrt(quasi.dispersion), 1e-10)
    assert_close(glm(X, y, "quasipoisson").std_error, glm(X, y, "poisson").std_error, 1e-10)


@pytest.mark.parametrize("family", ["tweedie", "quasipoisson"])
def test_costs_that_are_all_zero_have_no_finite_estimate(family: str) -> None:
    fit = glm(np.ones((20, 1)), np.zeros(20), family)
    assert "no finite" in fit.note and np.isnan(fit.std_error).all()
    group = np.repeat([0.0, 1.0], 10)
    arm = glm(np.column_stack([np.ones(20), group]), np.where(group == 0, 5.0 + np.arange(20), 0.0), family, se="model")
    assert "Column(s) [1]" in arm.note and np.isnan(arm.std_error[1])
    assert_close(arm.coef[0], np.log(9.5), 1e-8)


def test_tweedie_lies_between_poisson_and_gamma() -> None:
    X, eta, rng = simulated()
    y = rng.gamma(2.0, np.exp(eta) / 2)
    ends = [glm(X, y, name).coef for name in ("poisson", "gamma")]
    near = [glm(X, y, "tweedie", power=power).coef for power in (1 + 1e-7, 2 - 1e-7)]
    assert_close(near[0], ends[0], 1e-5)
    assert_close(near[1], ends[1], 1e-5)


def test_negative_binomial_of_a_great_shape_is_poisson() -> None:
    X, eta, rng = simulated()
    y = rng.poisson(np.exp(eta)).astype(float)
    found, plain = glm(X, y, "negative binomial", theta=1e9, se="model"), glm(X, y, "poisson", se="model")
    assert_close(found.coef, plain.coef, 1e-6)
    assert_close(found.std_error, plain.std_error, 1e-6)


def test_impossible_powers_and_shapes_are_refused() -> None:
    with pytest.raises(DefinitionError, match="between 1 and 2"):
        glm(np.ones((3, 1)), np.ones(3), "tweedie", power=1.0)
    with pytest.raises(DefinitionError, match="above 0"):
        glm(np.ones((3, 1)), np.ones(3), "negative binomial", theta=0.0)
    with pytest.raises(DefinitionError, match="Did you mean 'quasipoisson'"):
        glm(np.ones((3, 1)), np.ones(3), "quasi poisson")
    with pytest.raises(DataError, match="zero or more"):
        glm(np.ones((3, 1)), [-1.0, 2, 3], "tweedie")
