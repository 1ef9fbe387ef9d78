"""Regressions of cost and counts with effects on the mean; log-OLS brought back to money."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.cost_models import glm_effect, glm_values, log_ols
from clinops.stats.glm import glm
from clinops.stats.propensity import propensity
from clinops.stats.standardise import arm_designs
from clinops.stats.weighted_effects import weighted_effect
from clinops.stats.weighting import balancing_weights
from tests.stats.test_glm import rand_data
from tests.stats.test_two_part import simulated
from tests.support import assert_close, oracle, oracle_csv

RAND = oracle("costs/rand_hie_two_part")["expected"]
NMES = oracle("costs/nmes1988_counts")
TOLERANCE = NMES["meta"]["tolerance_rel"]


def nmes_data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Visits, insurance and the other columns in the order of R's terms (but for insurance, which is last there)."""
    frame = oracle_csv("costs/nmes1988")
    other = np.column_stack(
        [
            frame["hospital"],
            frame["health"] == "poor",
            frame["health"] == "excellent",
            frame["chronic"],
            frame["gender"] == "male",
            frame["school"],
        ]
    ).astype(float)
    return frame["visits"].to_numpy(float), (frame["insurance"] == "yes").to_numpy(float), other


@pytest.mark.parametrize(("se", "key"), [("model", "se_delta"), ("HC0", "se_delta_hc0"), ("robust", "se_delta_hc0")])
def test_average_marginal_effect_equals_r(se: str, key: str) -> None:
    visits, insured, other = nmes_data()
    expected = NMES["expected"]["ame_insurance_poisson"]
    designs = arm_designs(insured, other)
    found = glm_effect(visits, insured, *designs, family="poisson", se=se, covariates="fixed")
    assert_close(
        [found.value_exposed, found.value_comparator, found.estimate],
        [expected["mean1"], expected["mean0"], expected["ame"]],
        TOLERANCE,
    )
    assert_close(found.std_error, expected[key], TOLERANCE)
    sampled = glm_effect(visits, insured, *designs, family="poisson", se=se)
    assert sampled.std_error != found.std_error and sampled.se_kind.endswith("covariates sampled")


def test_the_weights_name_the_estimand() -> None:
    cost, arm, x = simulated()
    weights = balancing_weights(propensity(x[:, None], arm), estimand="ato")
    designs = arm_designs(arm, x)
    assert glm_effect(cost, arm, *designs, family="poisson", weights=weights).estimand == "ato"
    assert glm_effect(cost, arm, *designs, family="poisson", average_over="exposed").estimand == "att"
    assert glm_effect(cost, arm, *designs, family="poisson", estimand="atm").estimand == "atm"


def test_quasi_poisson_errors_equal_r() -> None:
    X, cost = rand_data()
    fit = glm(X, cost, "quasipoisson", se="model")
    expected = RAND["quasipoisson_all"]
    assert_close(fit.coef, expected["coef"], TOLERANCE)
    assert_close(fit.std_error, expected["se"], TOLERANCE)
    assert_close(fit.dispersion, expected["dispersion"], TOLERANCE)


def test_probit_equals_r() -> None:
    X, cost = rand_data()
    fit = glm(X, (cost > 0).astype(float), "probit", se="model")
    assert_close(fit.coef, RAND["probit"]["coef"], TOLERANCE)
    assert_close(fit.std_error, RAND["probit"]["se"], TOLERANCE)


@pytest.mark.parametrize("power", [1.2, 1.5, 1.9])
def test_tweedie_equals_statsmodels_and_its_own_score_equations(power: float) -> None:
    import statsmodels.api as sm

    cost, arm, x = simulated()
    X = np.column_stack([np.ones_like(x), arm, x])
    theirs = sm.GLM(cost, X, sm.families.Tweedie(sm.families.links.Log(), var_power=power))
    model = theirs.fit(tol=1e-14, maxiter=500, tol_criterion="params")
    ours = glm(X, cost, "tweedie", power=power, se="model")
    assert_close(ours.coef, model.params, 1e-8)
    residual = (cost - ours.fitted) / ours.fitted ** (power - 1)
    assert np.abs(X.T @ residual).max() < 1e-7 * np.abs(residual).sum()
    bread = np.linalg.inv((X * (ours.fitted ** (2 - power))[:, None]).T @ X)
    assert_close(ours.std_error, np.sqrt(np.diag(bread) * ours.dispersion), 1e-9)
    assert_close(ours.dispersion, model.scale, 1e-8)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "quasipoisson", "tweedie"])
@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_without_covariates_it_is_the_difference_of_means(family: str, scale: str) -> None:
    cost, arm, _ = simulated(200)
    weights, cluster = np.random.default_rng(2).uniform(0.5, 2, 200), np.arange(200) // 3
    ours = glm_effect(cost, arm, *arm_designs(arm), family=family, weights=weights, cluster=cluster, scale=scale)
    plain = weighted_effect(cost, arm, weights, cluster=cluster, scale=scale)
    assert_close(
        [ours.estimate, ours.std_error, ours.conf_low], [plain.estimate, plain.std_error, plain.conf_low], 1e-7
    )


def test_gaussian_effect_is_the_coefficient() -> None:
    cost, arm, x = simulated()
    ones, zeros = arm_designs(arm, x)
    fit = glm(np.where(arm[:, None] == 1, ones, zeros), cost, "gaussian", se="HC0")
    found = glm_effect(cost, arm, ones, zeros, family="gaussian")
    assert_close([found.estimate, found.std_error], [fit.coef[1], fit.std_error[1]], 1e-9)


def test_errors_are_the_derivatives_by_weight_through_score_and_model() -> None:
    cost, arm, x = simulated(80)
    designs = arm_designs(arm, np.abs(x), interact=True)

    def fitted(case: np.ndarray, over: str) -> tuple[np.ndarray, np.ndarray]:
        score = propensity(x[:, None], arm, weights=case)
        weights = balancing_weights(score, estimand="att")
        arms = glm_values(
            cost, arm, *designs, family="poisson", weights=weights, propensity=score, estimand="att", average_over=over
        )
        return arms.value[:, 0], arms.influence[:, :, 0]

    for over in ("everybody", "exposed"):
        influence = fitted(np.ones(80), over)[1]
        for row in (1, 8, 40):
            steps = [np.ones(80) + step * (np.arange(80) == row) for step in (1e-5, -1e-5)]
            numeric = (fitted(steps[0], over)[0] - fitted(steps[1], over)[0]) / 2e-5
            # centring the interaction is part of the design, the same in both fits
            assert_close(numeric, influence[:, row], 1e-5, atol=1e-5)


def test_log_ols_equals_r() -> None:
    X, cost = rand_data()
    some = cost > 0
    designs = arm_designs(X[some, 1], X[some, 2:])
    expected = RAND["log_ols"]
    smear = log_ols(cost[some], X[some, 1], *designs, retransformation="smearing")
    assert_close(smear.fit.coef, expected["coef"], TOLERANCE)
    assert_close(smear.factor, [expected["duan_smearing"]] * 2, TOLERANCE)
    assert_close(np.exp(smear.fit.fitted).mean() * smear.factor[0], expected["predicted_mean_duan"], TOLERANCE)
    normal = log_ols(cost[some], X[some, 1], *designs, retransformation="normal")
    assert_close(np.exp(normal.fit.fitted).mean() * normal.factor[0], expected["predicted_mean_normal"], TOLERANCE)
    assert_close(smear.effect("ratio").estimate, np.exp(expected["coef"][1]), TOLERANCE)


def test_smearing_by_arm_without_covariates_is_the_arms_mean() -> None:
    cost, arm, _ = simulated()
    some = cost > 0
    found = log_ols(cost[some], arm[some], *arm_designs(arm[some])).effect()
    plain = weighted_effect(cost[some], arm[some])
    assert_close([found.estimate, found.std_error], [plain.estimate, plain.std_error], 1e-9)


@pytest.mark.parametrize("how", ["smearing", "smearing by arm", "normal"])
def test_log_ols_errors_are_the_derivatives_by_weight(how: str) -> None:
    cost, arm, x = simulated(150)
    some = cost > 0
    cost, arm, x = cost[some], arm[some], x[some]
    designs, n = arm_designs(arm, x), len(cost)
    arms = log_ols(cost, arm, *designs, retransformation=how).arms
    for row in (0, 5, 20):
        steps = [np.ones(n) + step * (np.arange(n) == row) for step in (1e-5, -1e-5)]
        values = [log_ols(cost, arm, *designs, retransformation=how, weights=w).arms.value[:, 0] for w in steps]
        assert_close((values[0] - values[1]) / 2e-5, arms.influence[:, row, 0], 1e-5, atol=1e-5)


def test_empty_arm_and_constant_cost() -> None:
    cost, arm, x = simulated(60)
    alone = glm_effect(cost, np.ones(60), *arm_designs(np.ones(60), x), family="quasipoisson")
    # the model would predict the missing arm, by an arm column that it had to leave out
    assert np.isnan([alone.estimate, alone.std_error, alone.value_comparator]).all() and "empty" in alone.note
    assert_close(alone.value_exposed, cost.mean(), 1e-9)
    none = glm_effect(cost, np.zeros(60), *arm_designs(np.zeros(60)), family="poisson", average_over="exposed")
    assert np.isnan([none.estimate, none.value_comparator]).all() and "Nobody with a weight" in none.note
    flat = glm_effect(np.full(60, 7.0), arm, *arm_designs(arm), family="gamma")
    assert_close(flat.estimate, 0.0, 0, atol=1e-9)
    assert np.isnan(flat.std_error) and "does not vary" in flat.note


def test_an_arm_without_any_cost_is_zero_and_has_no_ratio() -> None:
    cost, arm, x = simulated(200)
    cost = np.where(arm == 1, 0.0, cost)
    for family in ("quasipoisson", "tweedie"):
        for designs in (arm_designs(arm), arm_designs(arm, x)):
            found = glm_effect(cost, arm, *designs, family=family)
            ratio = glm_effect(cost, arm, *designs, family=family, scale="ratio")
            assert found.value_exposed == 0 and "taken as certain" in found.note and "no finite" in found.note
            assert np.isnan([ratio.estimate, ratio.std_error]).all() and "A ratio needs" in ratio.note
    plain = weighted_effect(cost, arm)
    again = glm_effect(cost, arm, *arm_designs(arm), family="quasipoisson")
    assert_close([again.estimate, again.std_error], [plain.estimate, plain.std_error], 1e-6)


@pytest.mark.parametrize("se", ["robust", "HC0", "model"])
def test_as_many_rows_as_coefficients_have_no_error(se: str) -> None:
    cost, arm, x = np.array([1.0, 5, 3, 9]), np.array([0, 1, 0, 1]), np.array([[0.1, 1], [0.4, 2], [0.9, 4], [0.2, 7]])
    found = glm_effect(cost, arm, *arm_designs(arm, x), family="gaussian", se=se)
    assert np.isnan(found.std_error) and "No more rows than coefficients" in found.note


def test_wrong_input_is_named() -> None:
    cost, arm, x = simulated(60)
    designs = arm_designs(arm, x)
    with pytest.raises(DataError, match="more than zero"):
        glm_effect(cost, arm, *designs, family="gamma")
    with pytest.raises(DefinitionError, match="between 1 and 2"):
        glm_effect(cost, arm, *designs, family="tweedie", power=2.5)
    with pytest.raises(DefinitionError, match="theta"):
        glm_effect(cost, arm, *designs, family="negative binomial")
    with pytest.raises(DefinitionError, match="Did you mean 'everybody'"):
        glm_effect(cost, arm, *designs, family="poisson", average_over="everyone body")
    with pytest.raises(DataError, match="no logarithm"):
        log_ols(cost, arm, *designs)
    with pytest.raises(DefinitionError, match="retransformation"):
        log_ols(cost + 1, arm, *designs, retransformation="duan")
    with pytest.raises(DefinitionError, match="se='robust'"):
        score = propensity(x[:, None], arm)
        glm_effect(cost, arm, *designs, family="poisson", se="HC0", weights=balancing_weights(score), propensity=score)
    with pytest.raises(DataError, match="covariates have shape"):
        arm_designs(arm, x[:10])
