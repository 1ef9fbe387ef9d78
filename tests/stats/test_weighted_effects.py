"""Weighted effects: against R, against a stacked sandwich differentiated by number, simulated truth, edges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.propensity import propensity
from clinops.stats.weighted_effects import (
    augmented_effect,
    contrast,
    weighted_effect,
    weighted_effects,
    weighted_values,
)
from clinops.stats.weighting import ESTIMANDS, balancing_weights
from tests.stats.causal_data import lalonde, nhefs
from tests.support import assert_close, oracle

LALONDE, WEIGHTS = lalonde(), oracle("causal/weights_lalonde")["expected"]
NHEFS, BOOK = nhefs(), oracle("causal/nhefs")["expected"]
estimands = pytest.mark.parametrize("estimand", sorted(ESTIMANDS))


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def simulated(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Effect in the treated 1 + mean of x among them; confounded by x."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    treated = rng.random(n) < expit(-0.7 + X @ np.array([0.6, -0.4]))
    y = 2 + X @ np.array([1.0, 0.5]) + treated * (1 + X[:, 0]) + rng.normal(size=n)
    return X, treated, y


# against R


@estimands
def test_known_weights_equal_r(estimand: str) -> None:
    made = balancing_weights(LALONDE.score, LALONDE.treated, estimand=estimand)
    effect, expected = weighted_effect(LALONDE.outcome, LALONDE.treated, made), WEIGHTS[estimand.upper()]["effect"]
    assert_close(effect.estimate, expected["hajek"], 1e-6)
    assert_close(effect.std_error, expected["se_hc0"], 1e-6)
    n = len(LALONDE.treated)  # survey's linearisation has n/(n-1)
    assert_close(effect.std_error * np.sqrt(n / (n - 1)), expected["se_survey"], 1e-6)
    assert effect.se_kind == "robust HC0, weights taken as known"


@pytest.mark.parametrize(
    ("key", "options"), [("ATE_stabilized", {"stabilise": True}), ("ATE_truncated_1_99", {"truncate": (0.01, 0.99)})]
)
def test_stabilised_and_truncated_equal_r(key: str, options: dict) -> None:
    made = balancing_weights(LALONDE.score, LALONDE.treated, estimand="ate", **options)
    effect = weighted_effect(LALONDE.outcome, LALONDE.treated, made)
    assert_close(effect.estimate, WEIGHTS[key]["effect"]["hajek"], 1e-6)
    assert_close(effect.std_error, WEIGHTS[key]["effect"]["se_hc0"], 1e-6)


def test_what_if_chapter_12() -> None:
    fit = propensity(NHEFS.X, NHEFS.treated)
    for stabilise, key in ((False, "ipw_unstabilized"), (True, "ipw_stabilized")):
        made = balancing_weights(fit, estimand="ate", stabilise=stabilise)
        effect = weighted_effect(NHEFS.weight_change, NHEFS.treated, made)
        assert_close(effect.estimate, BOOK[key]["effect"], 1e-7)
        assert_close(effect.std_error, BOOK[key]["se_robust"], 1e-7)
        assert_close([effect.conf_low, effect.conf_high], [BOOK[key]["lower"], BOOK[key]["upper"]], 1e-7)


def test_m_estimation_equals_what_if() -> None:
    expected, n = BOOK["ipw_hajek_mestimation"], len(NHEFS.treated)
    fit = propensity(NHEFS.X, NHEFS.treated)
    made = balancing_weights(fit, estimand="ate")
    arms = weighted_values(NHEFS.weight_change[:, None], NHEFS.treated, made, propensity=fit)
    assert_close(arms.value[:, 0], [expected["mu1"], expected["mu0"]], 1e-7)
    # the reference puts 1 for the means' own derivative, whose expectation it is; ours is the sum of weights / n
    share = [made.weights[NHEFS.treated == arm].sum() / n for arm in (1, 0)]
    theirs = share[0] * arms.influence[0, :, 0] - share[1] * arms.influence[1, :, 0]
    assert_close(np.sqrt((theirs**2).sum()), expected["se_mestimation"], 1e-7)
    ours = contrast(arms)[0]
    assert ours.se_kind == "M-estimation"
    assert_close(ours.std_error, expected["se_mestimation"], 0.005)


def test_death_risks_equal_what_if() -> None:
    fit = propensity(NHEFS.X, NHEFS.treated)
    made = balancing_weights(fit, estimand="ate")
    effect = weighted_effect(NHEFS.death, NHEFS.treated, made, propensity=fit, scale="ratio")
    risks = BOOK["death_ipw"]
    assert_close([effect.value_exposed, effect.value_comparator], [risks["risk1"], risks["risk0"]], 1e-7)
    assert_close(effect.estimate, risks["risk1"] / risks["risk0"], 1e-7)


def test_doubly_robust_equals_the_reference() -> None:
    fit, n = propensity(NHEFS.X, NHEFS.treated), len(NHEFS.treated)
    designs = NHEFS.outcome_design(1.0), NHEFS.outcome_design(0.0)
    known = augmented_effect(NHEFS.weight_change, fit, *designs, estimand="ate", nuisance="known")
    assert_close(known.estimate, BOOK["aipw"]["effect"], 1e-7)
    assert_close([known.value_exposed, known.value_comparator], [BOOK["aipw"]["mean1"], BOOK["aipw"]["mean0"]], 1e-7)
    assert_close(known.std_error * np.sqrt(n / (n - 1)), BOOK["aipw"]["se"], 1e-7)  # R's sd() divides by n-1
    att = augmented_effect(NHEFS.weight_change, fit, *designs, estimand="att")
    assert_close(att.estimate, BOOK["aipw_att"], 1e-7)


# against a stacked sandwich whose bread is differentiated by number


def sandwich_error(psi: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, gradient: np.ndarray) -> float:
    """Standard error of gradient' theta from (n, p) estimating functions that sum to 0 at theta."""
    assert np.abs(psi(theta).sum(axis=0)).max() < 1e-5
    columns = []
    for j, value in enumerate(theta):
        step = np.zeros_like(theta)
        step[j] = 1e-5 * max(1.0, abs(value))
        columns.append((psi(theta + step) - psi(theta - step)).sum(axis=0) / (2 * step[j]))
    bread = np.linalg.inv(np.column_stack(columns))
    meat = psi(theta).T @ psi(theta)
    return float(np.sqrt(gradient @ bread @ meat @ bread.T @ gradient))


@estimands
@pytest.mark.parametrize("case_weighted", [False, True])
def test_m_estimation_equals_the_stacked_sandwich(estimand: str, case_weighted: bool) -> None:
    X, treated, y = simulated(300, 4)
    rng = np.random.default_rng(9)
    case = rng.uniform(0.5, 2, 300) if case_weighted else np.ones(300)
    time = rng.uniform(10, 100, 300)
    fit = propensity(X, treated, weights=case)
    Z = np.column_stack([np.ones(300), X])

    def psi(theta: np.ndarray) -> np.ndarray:
        p = expit(Z @ theta[:3])
        w = balancing_weights(p, treated, estimand=estimand, prior=case).weights
        score = Z * (case * (treated - p))[:, None]
        means = [w * arm * (y - theta[3 + i] * time) for i, arm in enumerate((treated, ~treated))]
        return np.column_stack([score, *means])

    made = balancing_weights(fit, estimand=estimand)
    effect = weighted_effect(y, treated, made, propensity=fit, denominator=time)
    theta = np.concatenate([fit.coef, [effect.value_exposed, effect.value_comparator]])
    assert_close(effect.std_error, sandwich_error(psi, theta, np.array([0, 0, 0, 1, -1])), 1e-6)
    ratio = weighted_effect(y, treated, made, propensity=fit, denominator=time, scale="ratio")
    gradient = np.array([0, 0, 0, 1 / effect.value_exposed, -1 / effect.value_comparator])
    assert_close(ratio.std_error, sandwich_error(psi, theta, gradient), 1e-6)


@pytest.mark.parametrize("estimand", ["ate", "att"])
def test_doubly_robust_equals_the_stacked_sandwich(estimand: str) -> None:
    X, treated, _ = simulated(300, 5)
    t, n = treated.astype(float), 300
    counts = np.random.default_rng(2).poisson(np.exp(0.3 * X[:, 0] + 0.2 * t)).astype(float)
    fit = propensity(X, treated)
    Z = np.column_stack([np.ones(n), X])

    def design(arm: float | np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(n), X, np.broadcast_to(arm, n)])

    def psi(theta: np.ndarray) -> np.ndarray:
        p, b = expit(Z @ theta[:3]), theta[3:7]
        m1, m0, seen = (np.exp(design(arm) @ b) for arm in (1.0, 0.0, t))
        scores = [Z * (t - p)[:, None], design(t) * (counts - seen)[:, None]]
        if estimand == "ate":
            means = [m1 + t / p * (counts - m1) - theta[7], m0 + (1 - t) / (1 - p) * (counts - m0) - theta[8]]
        else:
            odds = (1 - t) * p / (1 - p)
            means = [t * (counts - theta[7]), t * (m0 - theta[8]) + odds * (counts - m0)]
        return np.column_stack([*scores, *means])

    from clinops.stats.glm import glm

    effect = augmented_effect(counts, fit, design(1.0), design(0.0), family="poisson", estimand=estimand)
    outcome = glm(design(t), counts, "poisson")
    theta = np.concatenate([fit.coef, outcome.coef, [effect.value_exposed, effect.value_comparator]])
    gradient = np.zeros(9)
    gradient[7:] = 1, -1
    assert_close(effect.std_error, sandwich_error(psi, theta, gradient), 1e-6)


# laws


def test_stabilising_changes_nothing() -> None:
    X, treated, y = simulated(300, 1)
    fit = propensity(X, treated)
    plain, stable = (
        weighted_effect(y, treated, balancing_weights(fit, estimand="ate", stabilise=s), propensity=fit)
        for s in (False, True)
    )
    assert_close([plain.estimate, plain.std_error], [stable.estimate, stable.std_error], 1e-10)


def test_plain_weights_with_their_fit_equal_the_object() -> None:
    X, treated, y = simulated(300, 1)
    fit = propensity(X, treated)
    made = balancing_weights(fit, estimand="att")
    effect = weighted_effect(y, treated, made, propensity=fit)
    scaled = np.where(treated, 3.0, 0.5) * made.weights  # each arm up to a constant
    assert_close(weighted_effect(y, treated, scaled, propensity=fit).std_error, effect.std_error, 1e-9)
    with pytest.raises(DataError, match="not the ATE weights"):
        weighted_effect(y, treated, scaled, propensity=fit, estimand="ate")


def test_everybody_twice_clustered_is_everybody_once() -> None:
    X, treated, y = simulated(200, 2)
    twice = np.tile(np.arange(200), 2)
    fit = propensity(X[twice], treated[twice])
    made = balancing_weights(fit, estimand="att")
    double = weighted_effect(y[twice], treated[twice], made, propensity=fit, cluster=twice)
    once_fit = propensity(X, treated)
    once = weighted_effect(y, treated, balancing_weights(once_fit, estimand="att"), propensity=once_fit)
    assert double.se_kind == "M-estimation, CR1 clustered (200 clusters)"
    factor = np.sqrt(200 / 199 * 399 / 398)
    assert_close([double.estimate, double.std_error], [once.estimate, once.std_error * factor], 1e-8)


def test_many_outcomes_at_once_are_each_alone() -> None:
    X, treated, y = simulated(200, 3)
    Y = np.column_stack([y, y**2, y > 2])
    time = np.random.default_rng(0).uniform(1, 2, size=(200, 3))
    fit = propensity(X, treated)
    made = balancing_weights(fit, estimand="ato")
    together = weighted_effects(Y, treated, made, propensity=fit, denominator=time)
    for j, effect in enumerate(together):
        alone = weighted_effect(Y[:, j], treated, made, propensity=fit, denominator=time[:, j])
        assert_close([effect.estimate, effect.std_error], [alone.estimate, alone.std_error], 1e-10)


def test_crude_difference_and_ratios_are_the_textbook_ones() -> None:
    treated = np.repeat([1, 0], [40, 50])
    events = np.concatenate([np.repeat([1.0, 0.0], [12, 28]), np.repeat([1.0, 0.0], [10, 40])])
    a, b, c, d = 12, 28, 10, 40
    difference, ratio, odds = (weighted_effect(events, treated, scale=s) for s in ("difference", "ratio", "odds ratio"))
    assert_close(difference.estimate, 0.3 - 0.2)
    assert_close(difference.std_error, np.sqrt(0.3 * 0.7 / 40 + 0.2 * 0.8 / 50), 1e-10)
    assert_close(ratio.estimate, 1.5)
    assert_close(ratio.std_error, np.sqrt(1 / a - 1 / 40 + 1 / c - 1 / 50), 1e-10)
    assert_close(odds.estimate, a * d / (b * c))
    assert_close(odds.std_error, np.sqrt(1 / a + 1 / b + 1 / c + 1 / d), 1e-10)
    assert_close(ratio.conf_low, np.exp(np.log(1.5) - 1.959963984540054 * ratio.std_error), 1e-10)
    assert difference.se_kind == "robust HC0"


def test_rates_divide_by_person_time() -> None:
    effect = weighted_effect([2.0, 1.0, 1.0, 0.0], [1, 1, 0, 0], denominator=[10.0, 20.0, 5.0, 15.0], scale="ratio")
    assert_close([effect.value_exposed, effect.value_comparator, effect.estimate], [0.1, 0.05, 2.0])


def test_m_estimation_covers_the_truth() -> None:
    covered, errors, estimates = 0, [], []
    for seed in range(300):
        X, treated, y = simulated(500, 1000 + seed)
        fit = propensity(X, treated)
        effect = weighted_effect(y, treated, balancing_weights(fit, estimand="att"), propensity=fit)
        covered += effect.conf_low <= TRUTH <= effect.conf_high
        errors.append(effect.std_error)
        estimates.append(effect.estimate)
    assert 275 <= covered <= 295  # 95 % of 300 is 285, Monte Carlo SD 3.8
    assert abs(np.mean(estimates) - TRUTH) < 3.5 * np.std(estimates) / np.sqrt(300)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.12)


def _truth() -> float:
    """Effect in the treated of `simulated`, by quadrature over its two normal covariates."""
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    a, b = np.meshgrid(nodes, nodes, indexing="ij")
    chance = expit(-0.7 + 0.6 * a - 0.4 * b) * np.outer(mass, mass)
    return float(1 + (chance * a).sum() / chance.sum())


TRUTH = _truth()


# edges


def test_no_events_in_one_arm() -> None:
    y, treated = np.array([0, 0, 0, 1, 0, 1.0]), [1, 1, 1, 0, 0, 0]
    ratio, difference = weighted_effect(y, treated, scale="ratio"), weighted_effect(y, treated)
    assert np.isnan([ratio.estimate, ratio.std_error, ratio.conf_low, ratio.p_value]).all()
    assert "see the difference" in ratio.note and (ratio.value_exposed, ratio.value_comparator) == (0, 2 / 3)
    assert_close(difference.estimate, -2 / 3)
    assert difference.std_error > 0 and "No events in the exposed arm" in difference.note


def test_no_variation_at_all() -> None:
    effect = weighted_effect(np.full(6, 3.0), [1, 1, 1, 0, 0, 0])
    assert effect.estimate == 0 and np.isnan([effect.std_error, effect.conf_low, effect.p_value]).all()
    assert "does not vary" in effect.note
    assert np.isnan(weighted_effect(np.zeros(6), [1, 1, 1, 0, 0, 0]).std_error)


@pytest.mark.parametrize("scale", ["difference", "ratio", "odds ratio"])
def test_an_empty_arm(scale: str) -> None:
    for treated in ([1, 1, 1], [0, 0, 0]):
        effect = weighted_effect([1.0, 0.0, 1.0], treated, scale=scale)
        assert np.isnan(effect.estimate) and "arm is empty" in effect.note
    no_weight = weighted_effect([1.0, 0.0, 1.0, 0.0], [1, 1, 0, 0], [1, 1, 0, 0], scale=scale)
    assert np.isnan(no_weight.estimate) and no_weight.n_comparator == 0


def test_one_person_in_an_arm() -> None:
    effect = weighted_effect([1.0, 2.0, 4.0], [1, 0, 0])
    assert effect.estimate == -2 and np.isnan(effect.std_error) and "one person" in effect.note


def test_no_person_time() -> None:
    effect = weighted_effect([0.0, 0.0, 1.0, 1.0], [1, 1, 0, 0], denominator=[0.0, 0.0, 5.0, 5.0])
    assert np.isnan(effect.estimate) and effect.value_comparator == 0.2 and "no person-time" in effect.note


def test_odds_of_certainty() -> None:
    effect = weighted_effect([1.0, 1.0, 0.0, 1.0], [1, 1, 0, 0], scale="odds ratio")
    assert np.isnan(effect.estimate) and "below 1" in effect.note


def test_a_negative_mean_has_no_ratio() -> None:
    effect = weighted_effect([-5.0, -1.0, 2.0, 3.0], [1, 1, 0, 0], scale="ratio")
    assert np.isnan(effect.estimate) and "above 0" in effect.note


def test_few_clusters_are_said_and_one_gives_no_error() -> None:
    _, treated, y = simulated(60, 1)
    assert "Only 6 clusters" in weighted_effect(y, treated, cluster=np.arange(60) // 10).note
    single = weighted_effect(y, treated, cluster=np.zeros(60))
    assert np.isnan(single.std_error) and "1 cluster(s)" in single.note


def test_a_penalised_score_is_taken_as_known_and_said() -> None:
    X, treated, y = simulated(200, 1)
    fit = propensity(X, treated, penalty="l2")
    made = balancing_weights(fit)
    effect = weighted_effect(y, treated, made, propensity=fit)
    assert effect.se_kind == "robust HC0, weights taken as known" and "penalised" in effect.note
    assert_close(effect.std_error, weighted_effect(y, treated, made).std_error)


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'ratio'"):
        weighted_effect([1.0, 2.0], [1, 0], scale="ratios")
    with pytest.raises(DefinitionError, match="estimand"):
        weighted_effect([1.0, 2.0], [1, 0], estimand="itt")
    with pytest.raises(DefinitionError, match="conf_level"):
        weighted_effect([1.0, 2.0], [1, 0], conf_level=95)
    with pytest.raises(DataError, match="1 of 2 rows have a missing"):
        weighted_effect([1.0, np.nan], [1, 0])
    with pytest.raises(DataError, match="weights"):
        weighted_effect([1.0, 2.0], [1, 0], [1.0, -1.0])
    with pytest.raises(DataError, match="person-time"):
        weighted_effect([1.0, 2.0], [1, 0], denominator=[1.0, -1.0])
    with pytest.raises(DataError, match="cluster"):
        weighted_effect([1.0, 2.0], [1, 0], cluster=[1])
    with pytest.raises(DataError, match="one outcome"):
        weighted_effect([[1.0, 2.0]], [1])
    X, treated, y = simulated(50, 1)
    with pytest.raises(DataError, match="other rows"):
        weighted_effect(y, ~treated, propensity=propensity(X, treated))
    with pytest.raises(DefinitionError, match="augmented"):
        augmented_effect(y, propensity(X, treated), X, X, estimand="ato")
