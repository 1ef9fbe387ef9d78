"""Balancing weights against WeightIt, their slopes against differences, and the edges."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance
from clinops.stats.propensity import propensity
from clinops.stats.weighting import ESTIMANDS, balancing_weights, effective_sample_size
from tests.stats.causal_data import LALONDE_TERMS, lalonde
from tests.support import assert_close, oracle

WEIGHTS = oracle("causal/weights_lalonde")
TOLERANCE = WEIGHTS["meta"]["tolerance_rel"]
DATA = lalonde()
estimands = pytest.mark.parametrize("estimand", sorted(ESTIMANDS))


@estimands
def test_weights_and_effective_sample_sizes_equal_weightit(estimand: str) -> None:
    expected = WEIGHTS["expected"][estimand.upper()]
    made = balancing_weights(DATA.score, DATA.treated, estimand=estimand)
    assert_close(made.weights, expected["weights"]["weight"], TOLERANCE)
    if "weightit_weights" in expected:  # WeightIt's own fit stops 1e-8 short
        assert_close(made.weights, expected["weightit_weights"], TOLERANCE)
    assert_close(made.ess_treated, expected["ess"]["treated"], TOLERANCE)
    assert_close(made.ess_comparator, expected["ess"]["control"], TOLERANCE)


@estimands
@pytest.mark.parametrize("denominator", ["pooled", "treated"])
def test_balance_after_weighting_equals_r(estimand: str, denominator: str) -> None:
    expected = WEIGHTS["expected"][estimand.upper()]["smd_pooled" if denominator == "pooled" else "smd_treated_sd"]
    assert expected["term"] == list(LALONDE_TERMS)
    weights = balancing_weights(DATA.score, DATA.treated, estimand=estimand).weights
    # the reference divides dummies by their n-1 SD as it does any column
    ours = balance(DATA.X, DATA.treated, weights, denominator=denominator, binary=np.zeros(9, bool))
    assert_close(ours.smd, expected["smd"], TOLERANCE)


def test_stabilised_and_truncated_equal_r() -> None:
    stable = balancing_weights(DATA.score, DATA.treated, estimand="ate", stabilise=True)
    expected = WEIGHTS["expected"]["ATE_stabilized"]
    assert_close([stable.weights.max(), stable.weights.mean()], [expected["max"], expected["mean"]], TOLERANCE)
    cut = balancing_weights(DATA.score, DATA.treated, estimand="ate", truncate=(0.01, 0.99))
    assert_close(cut.bounds, WEIGHTS["expected"]["ATE_truncated_1_99"]["bounds"], TOLERANCE)
    whole = balancing_weights(DATA.score, DATA.treated, estimand="ate").weights
    outside = (whole < cut.bounds[0]) | (whole > cut.bounds[1])
    assert cut.n_truncated == outside.sum() > 0
    assert (cut.slope[outside] == 0).all()


@estimands
def test_slope_is_the_derivative_by_the_logit(estimand: str) -> None:
    def weights(logit: np.ndarray) -> np.ndarray:
        return balancing_weights(1 / (1 + np.exp(-logit)), DATA.treated, estimand=estimand).weights

    step = 1e-5
    numeric = (weights(DATA.logit + step) - weights(DATA.logit - step)) / (2 * step)
    assert_close(balancing_weights(DATA.score, DATA.treated, estimand=estimand).slope, numeric, 1e-7, atol=1e-8)


def test_a_fit_brings_its_treatment_and_case_weights() -> None:
    case = np.random.default_rng(0).integers(0, 3, len(DATA.treated)).astype(float)
    fit = propensity(np.delete(DATA.X, 4, axis=1), DATA.treated, weights=case)
    made = balancing_weights(fit, estimand="att")
    assert_close(made.weights[DATA.treated == 1], case[DATA.treated == 1])
    assert (made.weights[case == 0] == 0).all()
    plain = balancing_weights(fit.score, DATA.treated, estimand="att", prior=case)
    assert_close(made.weights, plain.weights)
    with pytest.raises(DefinitionError, match="brings its own"):
        balancing_weights(fit, DATA.treated)


def test_overlap_weights_balance_exactly() -> None:
    X = np.delete(DATA.X, 4, axis=1)
    after = balance(X, DATA.treated, balancing_weights(propensity(X, DATA.treated), estimand="ato").weights)
    assert np.abs(after.smd).max() < 1e-8


def test_scores_of_zero_and_one() -> None:
    made = balancing_weights([0.0, 1.0, 0.5, 0.5], [1, 0, 1, 0], estimand="ate")
    assert made.weights.tolist() == [0, 0, 2, 2] and "2 people" in made.note
    assert np.isfinite(made.slope).all()
    assert balancing_weights([1.0, 0.0], [1, 0], estimand="att").weights.tolist() == [1, 0]


def test_effective_sample_size() -> None:
    assert effective_sample_size([1, 1, 1]) == 3
    assert_close(effective_sample_size([2, 1]), 9 / 5)
    assert effective_sample_size([]) == effective_sample_size([0, 0]) == 0


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'att'"):
        balancing_weights([0.5], [1], estimand="attt")
    with pytest.raises(DefinitionError, match="quantiles"):
        balancing_weights([0.5, 0.4], [1, 0], truncate=(0.99, 0.01))
    with pytest.raises(DefinitionError, match="treated"):
        balancing_weights([0.5])
    with pytest.raises(DataError, match="not logits"):
        balancing_weights([1.5], [1])
    with pytest.raises(DataError, match="shape"):
        balancing_weights([0.5, 0.5], [1])
