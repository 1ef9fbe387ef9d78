"""Two-part models: R on the RAND experiment, case C011 worked by hand, and costs without a second part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.propensity import propensity
from clinops.stats.standardise import arm_designs
from clinops.stats.two_part import two_part
from clinops.stats.weighted_effects import weighted_effect
from clinops.stats.weighting import balancing_weights
from tests.stats.test_glm import rand_data
from tests.support import assert_close, case_file, oracle

RAND = oracle("costs/rand_hie_two_part")
TOLERANCE = RAND["meta"]["tolerance_rel"]


def simulated(n: int = 600, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = (rng.random(n) < 1 / (1 + np.exp(-0.6 * x))).astype(float)
    some = rng.random(n) < 1 / (1 + np.exp(-(0.4 + 0.5 * arm + 0.4 * x)))
    cost = np.where(some, rng.gamma(0.8, np.exp(5 + 0.2 * arm + 0.3 * x) / 0.8), 0.0)
    return cost, arm, x


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize(("se", "key"), [("model", "se_difference_delta"), ("HC0", "se_difference_delta_hc0")])
def test_equals_r_on_the_rand_experiment(link: str, se: str, key: str) -> None:
    X, cost = rand_data()
    expected = RAND["expected"][f"two_part_{link}_gamma"]
    fit = two_part(cost, X[:, 1], *arm_designs(X[:, 1], X[:, 2:]), link=link, se=se, covariates="fixed")
    found = fit.effect()
    assert_close(found.value_exposed, expected["mean_free"], TOLERANCE)
    assert_close(found.value_comparator, expected["mean_pay"], TOLERANCE)
    assert_close(found.estimate, expected["difference"], TOLERANCE)
    assert_close(found.std_error, expected[key], TOLERANCE)
    assert_close(fit.effect("ratio").estimate, expected["ratio"], TOLERANCE)
    assert "covariates fixed" in found.se_kind and fit.n_positive == (
        int(((cost > 0) & (X[:, 1] == 1)).sum()),
        int(((cost > 0) & (X[:, 1] == 0)).sum()),
    )


def test_parts_equal_r() -> None:
    X, cost = rand_data()
    fit = two_part(cost, X[:, 1], *arm_designs(X[:, 1], X[:, 2:]))
    assert fit.first is not None and fit.second is not None
    assert_close(fit.first.coef, RAND["expected"]["logit"]["coef"], TOLERANCE)
    assert_close(fit.second.coef, RAND["expected"]["gamma_log"]["coef"], TOLERANCE)
    assert fit.second.n == RAND["expected"]["n_positive"]


def test_case_c011_reports_the_mean_over_everybody() -> None:
    rows = pd.read_csv(case_file("C011", "costs.csv"))
    cost, arm = rows["cost"].to_numpy(float), rows["arm"].to_numpy(float)
    fit = two_part(cost, arm, *arm_designs(arm))
    effect = fit.effect()
    assert_close([effect.value_exposed, effect.value_comparator, effect.estimate], [180, 200, -20], 0, atol=1e-8)
    assert_close(fit.effect("ratio").estimate, 0.9, 1e-10)
    assert_close(fit.any_cost_effect("odds ratio").estimate, (0.3 / 0.7) / (0.5 / 0.5), 1e-10)
    part = fit.spenders_contrast()
    assert_close([part.value_exposed, part.value_comparator, part.estimate], [600, 400, 1.5], 1e-10)
    assert part.estimand.startswith("not an effect") and "not the effect on cost" in part.note
    assert (part.n_exposed, part.n_comparator) == (3, 5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.booleans())
def test_without_covariates_it_is_the_difference_of_means_with_its_error(seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    arm = np.repeat([0, 1], [25, 30])
    cost = np.where(rng.random(55) < 0.6, rng.gamma(1.0, 100.0, 55), 0.0)
    cost[[0, 1, 2, 30, 31, 32]] = [0.0, 1.0, 2.0, 0.0, 3.0, 4.0]
    weights = rng.uniform(0.2, 3, 55) if weighted else None
    cluster = rng.integers(0, 25, 55)
    found = two_part(cost, arm, *arm_designs(arm), weights=weights)
    for scale in ("difference", "ratio"):
        for groups in (None, cluster):
            plain = weighted_effect(cost, arm, weights, cluster=groups, scale=scale)
            ours = found.effect(scale, cluster=groups)
            assert_close([ours.estimate, ours.std_error], [plain.estimate, plain.std_error], 1e-7)


# Both parts by their canonical link below: with gamma and a log link the expected information, R's choice and
# ours, is not the derivative of the scores in a sample (the observed one is).


def test_errors_are_the_derivatives_by_weight() -> None:
    cost, arm, x = simulated(80)
    designs = arm_designs(arm, x, interact=True)
    arms = two_part(cost, arm, *designs, second="poisson").everybody
    for row in (0, 7, 33):
        values = []
        for step in (1e-5, -1e-5):
            weights = np.ones(80)
            weights[row] += step
            values.append(two_part(cost, arm, *designs, second="poisson", weights=weights).everybody.value[:, 0])
        assert_close((values[0] - values[1]) / 2e-5, arms.influence[:, row, 0], 1e-5, atol=1e-5)


def test_the_scores_estimation_is_the_derivative_through_the_score() -> None:
    cost, arm, x = simulated(80)
    designs = arm_designs(arm, np.abs(x))

    def fitted(case: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        score = propensity(x[:, None], arm, weights=case)
        weights = balancing_weights(score, estimand="ate")
        arms = two_part(cost, arm, *designs, second="poisson", weights=weights, propensity=score).everybody
        return arms.value[:, 0], arms.influence[:, :, 0]

    influence = fitted(np.ones(80))[1]
    for row in (0, 7, 33):
        steps = [np.ones(80) + step * (np.arange(80) == row) for step in (1e-5, -1e-5)]
        numeric = (fitted(steps[0])[0] - fitted(steps[1])[0]) / 2e-5
        assert_close(numeric, influence[:, row], 1e-5, atol=1e-5)


def test_whole_weights_are_repeated_rows() -> None:
    cost, arm, x = simulated(120)
    times = np.random.default_rng(1).integers(0, 3, 120)
    again = np.repeat(np.arange(120), times)
    weighted = two_part(cost, arm, *arm_designs(arm, x), weights=times.astype(float)).effect(cluster=np.arange(120))
    repeated = two_part(cost[again], arm[again], *arm_designs(arm[again], x[again])).effect(cluster=again)
    assert_close(weighted.estimate, repeated.estimate, 1e-8)
    # the clustered error counts rows with weight in one factor only, (n - 1) / (n - 2)
    few, many = int((times > 0).sum()), len(again)
    factor = np.sqrt((few - 1) / (few - 2) * (many - 2) / (many - 1))
    assert_close(weighted.std_error, repeated.std_error * factor, 1e-8)


def test_averaging_over_the_exposed_is_the_att() -> None:
    cost, arm, x = simulated()
    ones, zeros = arm_designs(arm, x)
    fit = two_part(cost, arm, ones, zeros, average_over="exposed")
    assert fit.first is not None and fit.second is not None
    share = [1 / (1 + np.exp(-(d @ fit.first.coef))) for d in (ones, zeros)]
    mean = [np.exp(d @ fit.second.coef) for d in (ones, zeros)]
    expected = ((share[0] * mean[0]) - (share[1] * mean[1]))[arm == 1].mean()
    assert_close(fit.effect().estimate, expected, 1e-10)
    assert fit.effect().estimand == "att"


def test_poisson_second_part_keeps_totals() -> None:
    cost, arm, x = simulated()
    fit = two_part(cost, arm, *arm_designs(arm, x), second="poisson", se="model")
    assert fit.second is not None and fit.second.family == "quasipoisson" and fit.second.dispersion > 1
    assert_close(fit.second.fitted.sum(), cost.sum(), 1e-9)
    assert fit.method == "two-part (logit, poisson)"


def test_everybody_with_a_cost_leaves_the_second_part() -> None:
    cost, arm, _ = simulated()
    cost = cost + 1
    fit = two_part(cost, arm, *arm_designs(arm))
    plain = weighted_effect(cost, arm)
    assert fit.first is None and "second part alone" in fit.effect().note
    assert_close([fit.effect().estimate, fit.effect().std_error], [plain.estimate, plain.std_error], 1e-8)
    assert fit.any_cost_effect().estimate == 0 and np.isnan(fit.any_cost_effect().std_error)


def test_everybody_with_a_cost_in_one_arm() -> None:
    cost, arm, _ = simulated()
    cost = np.where(arm == 1, cost + 1, cost)
    fit, plain = two_part(cost, arm, *arm_designs(arm)), weighted_effect(cost, arm)
    found = fit.effect()
    assert_close([found.estimate, found.std_error], [plain.estimate, plain.std_error], 1e-6)
    assert "separate" in found.note


@pytest.mark.parametrize("se", ["robust", "model"])
def test_nobody_with_a_cost_in_an_arm(se: str) -> None:
    cost, arm, x = simulated()
    for silent in (arm == 1, np.ones(len(arm), bool)):
        fit = two_part(np.where(silent, 0.0, cost), arm, *arm_designs(arm, x), se=se)
        found = fit.effect()
        assert np.isnan([found.estimate, found.std_error, found.p_value]).all()
        assert "Nobody in the exposed arm has a cost" in found.note and fit.second is None
        assert np.isnan(fit.spenders_contrast().estimate)


@pytest.mark.parametrize("se", ["robust", "model"])
def test_one_person_with_a_cost_in_an_arm_has_no_error(se: str) -> None:
    cost, arm, _ = simulated()
    cost[arm == 1] = 0.0
    cost[np.flatnonzero(arm == 1)[0]] = 50.0
    found = two_part(cost, arm, *arm_designs(arm), se=se).effect()
    assert_close(found.value_exposed, 50 / (arm == 1).sum(), 1e-8)
    assert np.isnan(found.std_error) and "One person in the exposed arm" in found.note


@pytest.mark.parametrize("se", ["robust", "HC0"])
def test_as_many_coefficients_as_people_with_a_cost_have_no_error(se: str) -> None:
    cost, arm, x = simulated(60)
    cost[np.flatnonzero(cost > 0)[4:]] = 0.0
    assert len(set(arm[cost > 0])) == 2
    found = two_part(cost, arm, *arm_designs(arm, np.column_stack([x, x**2])), se=se).effect()
    assert np.isnan(found.std_error) and "No more people with a cost than coefficients" in found.note


def test_wrong_input_is_named() -> None:
    cost, arm, x = simulated(50)
    designs = arm_designs(arm, x)
    with pytest.raises(DefinitionError, match="Did you mean 'probit'"):
        two_part(cost, arm, *designs, link="probits")
    with pytest.raises(DefinitionError, match="second part"):
        two_part(cost, arm, *designs, second="normal")
    with pytest.raises(DefinitionError, match="kind of standard error"):
        two_part(cost, arm, *designs, se="HC1")
    with pytest.raises(DefinitionError, match="treatment of covariates"):
        two_part(cost, arm, *designs, covariates="random")
    with pytest.raises(DefinitionError, match="Clusters need the influence"):
        two_part(cost, arm, *designs, se="model").effect(cluster=np.arange(50))
    with pytest.raises(DataError, match="negative"):
        two_part(cost - 1, arm, *designs)
    with pytest.raises(DataError, match="missing"):
        two_part(np.where(np.arange(50) == 3, np.nan, cost), arm, *designs)
    with pytest.raises(DataError, match="designs have shapes"):
        two_part(cost, arm, designs[0], designs[1][:, :2])
