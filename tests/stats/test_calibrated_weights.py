"""Balancing weights with their influence: the sandwich of all equations by differences, and what cannot be had."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DefinitionError
from clinops.stats.calibrated_weights import calibrate
from clinops.stats.weighted_effects import weighted_effect
from tests.stats.causal_data import lalonde
from tests.support import assert_close, oracle

DATA = lalonde()
WEIGHTS = oracle("causal/weights_lalonde")["expected"]
RNG = np.random.default_rng(11)
N = 200
X = RNG.normal(size=(N, 2)) * [1, 40] + [0, 300]
ARM = RNG.random(N) < 1 / (1 + np.exp(0.5 - 0.8 * X[:, 0]))
Y = X[:, 0] + X[:, 1] / 40 + RNG.normal(size=N) + 0.3 * ARM


@pytest.mark.parametrize(("kind", "estimand", "key"), [
    ("entropy", "att", "ebal_ATT"), ("entropy", "ate", "ebal_ATE"), ("cbps", "att", "cbps_ATT"),
])  # fmt: skip
def test_effects_equal_weightit(kind: str, estimand: str, key: str) -> None:
    made = calibrate(DATA.X, DATA.treated, kind=kind, estimand=estimand)
    effect = weighted_effect(DATA.outcome, DATA.treated, made.weights, propensity=made.fit)
    assert_close(effect.estimate, WEIGHTS[key]["effect"]["hajek"], 1e-6)
    assert effect.se_kind == "M-estimation"


def equations(theta: np.ndarray, estimand: str, case: np.ndarray) -> np.ndarray:
    """Every estimating equation of the weights (log-linear in 1, x) and of both means, row by row."""
    z = np.column_stack([np.ones(N), (X - X.mean(axis=0)) / X.std(axis=0)])
    one, zero = ARM.astype(float), 1.0 - ARM
    w = [one, zero]
    parts, used = [], 0
    for arm, target in {"att": [(1, one)], "atc": [(0, zero)], "ate": [(0, np.ones(N)), (1, np.ones(N))]}[estimand]:
        w[arm] = w[arm] * np.exp(z @ theta[used : used + 3])
        parts.append((case * (target - w[arm]))[:, None] * z)
        used += 3
    means = [case * w[arm] * (Y - theta[used + arm]) for arm in (0, 1)]
    return np.column_stack([*parts, *means])


@pytest.mark.parametrize("estimand", ["att", "atc", "ate"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_is_the_sandwich_of_all_estimating_equations(estimand: str, weighted: bool) -> None:
    case = RNG.integers(1, 4, N).astype(float) if weighted else np.ones(N)
    made = calibrate(X, ARM, estimand=estimand, prior=case)
    effect = weighted_effect(Y, ARM, made.weights, propensity=made.fit)
    at = np.zeros(8 if estimand == "ate" else 5)
    at[-2:] = effect.value_exposed, effect.value_comparator
    for _ in range(60):  # solve them from scratch, by Newton steps with derivatives by differences
        slope = _slope(at, estimand, case)
        step = np.linalg.solve(slope, equations(at, estimand, case).sum(axis=0))
        at = at - step * min(1.0, 1 / np.abs(step[:-2]).max(initial=1e-9))
    assert np.abs(equations(at, estimand, case).sum(axis=0)).max() < 1e-6
    assert_close(at[-2:], [effect.value_exposed, effect.value_comparator], 1e-8)
    own = np.linalg.solve(_slope(at, estimand, case), equations(at, estimand, case).T)
    assert_close(effect.std_error, np.sqrt(((own[-2] - own[-1]) ** 2).sum()), 1e-6)


def _slope(at: np.ndarray, estimand: str, case: np.ndarray) -> np.ndarray:
    steps = 1e-6 * np.eye(len(at))
    columns = [equations(at + s, estimand, case) - equations(at - s, estimand, case) for s in steps]
    return np.column_stack([column.sum(axis=0) for column in columns]) / 2e-6


def test_equations_sum_to_zero_and_a_redundant_column_changes_nothing() -> None:
    made = calibrate(X, ARM)
    again = calibrate(np.column_stack([X, X.sum(axis=1), np.ones(N)]), ARM)
    assert made.fit is not None and again.fit is not None
    assert np.abs(made.fit.contributions.sum(axis=0)).max() < 1e-8
    one, two = (weighted_effect(Y, ARM, m.weights, propensity=m.fit) for m in (made, again))
    assert_close(two.estimate, one.estimate, 1e-9)
    assert_close(two.std_error, one.std_error, 1e-7)


def test_a_linear_outcome_leaves_the_error_of_its_noise_only() -> None:
    """What is linear in the covariates is balanced exactly, so adding it to the outcome moves nothing."""
    made = calibrate(X, ARM, estimand="ate")
    plain = weighted_effect(Y, ARM, made.weights, propensity=made.fit)
    moved = weighted_effect(Y + 50 * X[:, 0], ARM, made.weights, propensity=made.fit)
    assert_close(moved.estimate, plain.estimate, 1e-9)
    assert_close(moved.std_error, plain.std_error, 1e-7)


def test_the_weights_of_an_arm_add_up_to_the_target() -> None:
    att, atc, ate = (calibrate(X, ARM, estimand=e).weights for e in ("att", "atc", "ate"))
    assert att is not None and atc is not None and ate is not None
    assert_close(att.weights[~ARM].sum(), ARM.sum(), 1e-10)
    assert_close(atc.weights[ARM].sum(), (~ARM).sum(), 1e-10)
    assert_close([ate.weights[ARM].sum(), ate.weights[~ARM].sum()], [ARM.sum(), (~ARM).sum()], 1e-10)


def test_no_weights_and_the_column_that_is_beyond_reach() -> None:
    made = calibrate(np.column_stack([X[:, 0], X[:, 1] + 1000 * ARM]), ARM)
    assert made.weights is None and made.fit is None
    assert made.beyond == (1,)
    assert "No weights" in made.note


@pytest.mark.parametrize(("given", "said"), [
    ({"kind": "cbsp"}, "Did you mean 'cbps'"), ({"kind": "cbps", "estimand": "ate"}, "use kind='entropy'"),
    ({"estimand": "overlap"}, "no estimand of entropy balancing 'overlap'"),
])  # fmt: skip
def test_what_cannot_be_asked_for(given: dict[str, str], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        calibrate(X, ARM, **given)


def test_the_error_is_that_of_the_closed_form() -> None:
    """ATT: comparators bring w (y - m - b'(x - t)), the exposed y - m1 - b'(x - t), b the slope under the weights."""
    made = calibrate(DATA.X, DATA.treated)
    effect = weighted_effect(DATA.outcome, DATA.treated, made.weights, propensity=made.fit)
    w, t, y = made.weights.weights, DATA.treated.astype(bool), DATA.outcome
    x = DATA.X - DATA.X[t].mean(axis=0)
    mean = float(np.average(y[~t], weights=w[~t]))
    z = np.column_stack([np.ones((~t).sum()), x[~t]])
    b = np.linalg.lstsq(z * np.sqrt(w[~t])[:, None], (y[~t]) * np.sqrt(w[~t]), rcond=None)[0][1:]
    exposed = (y[t] - y[t].mean() - x[t] @ b) / t.sum()
    others = w[~t] * (y[~t] - mean - x[~t] @ b) / w[~t].sum()
    assert_close(effect.std_error, np.sqrt((exposed**2).sum() + (others**2).sum()), 1e-6)
