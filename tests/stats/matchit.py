"""What every matching is held to: MatchIt's weights, balance and effects on lalonde."""

from __future__ import annotations

import numpy as np

from clinops.stats.balance import balance, ecdf_differences
from clinops.stats.glm import glm
from clinops.stats.weighted_effects import weighted_effect
from tests.stats.causal_data import lalonde, r_default_score
from tests.support import assert_close, oracle

MATCHIT = oracle("causal/matching_lalonde")["expected"]
DATA = lalonde()


def their_weights(variant: str) -> np.ndarray:
    weights = np.zeros(len(DATA.treated))
    for name, weight in zip(MATCHIT[variant]["weights"]["rid"], MATCHIT[variant]["weights"]["weight"], strict=True):
        weights[DATA.row[name]] = weight
    return weights


def their_groups(variant: str) -> np.ndarray:
    """MatchIt's number of each row's group, counted from 0; -1 in none."""
    groups = np.full(len(DATA.treated), -1)
    for name, group in zip(*MATCHIT[variant]["subclass"].values(), strict=True):
        groups[DATA.row[name]] = -1 if group is None else int(group) - 1
    return groups


def check_balance(variant: str, weights: np.ndarray) -> None:
    """Compare both stages; some variants have the distance before the covariates, some no stage after."""
    X = DATA.X
    if "distance" in MATCHIT[variant]["balance"]["before"]["term"]:
        # as MatchIt had it: R's default fit stops 1e-9 short of the optimum
        score = r_default_score(DATA)
        distance = np.log(score / (1 - score)) if variant.endswith("logit") else score
        X = np.column_stack([distance, X])
    for stage, weight in (("before", None), ("after", weights)):
        expected = MATCHIT[variant]["balance"][stage]
        if expected is None:
            continue
        ours = balance(X, DATA.treated, weight, denominator="treated")
        ecdf = ecdf_differences(X, DATA.treated, weight)
        for name, values in (
            ("mean_treated", ours.mean_treated),
            ("mean_control", ours.mean_comparator),
            ("smd", ours.smd),
            ("var_ratio", ours.variance_ratio),
            ("ecdf_mean", ecdf.mean),
            ("ecdf_max", ecdf.maximum),
        ):
            assert_close(values, expected[name], 1e-8, f"{stage}.{name}", atol=1e-12)


def check_effect(variant: str, weights: np.ndarray, sets: np.ndarray) -> None:
    expected = MATCHIT[variant]["effect_unadjusted"]
    effect = weighted_effect(DATA.outcome, DATA.treated, weights, cluster=sets)
    assert_close(effect.estimate, expected["coef"], 1e-8)
    if "se_cluster_subclass" in expected:  # MatchIt forms no sets with replacement
        assert_close(effect.std_error, expected["se_cluster_subclass"], 1e-8)


def check_regression(variant: str, weights: np.ndarray) -> None:
    """Compare the plain and the adjusted effect by weighted least squares, and the plain one's HC3 error."""
    treated, kept = DATA.treated.astype(float), weights > 0  # R's lm is given the matched rows only
    crude = np.column_stack([np.ones(len(treated)), treated])
    adjusted = np.column_stack([crude, np.delete(DATA.X, 2, axis=1)])
    expected = MATCHIT[variant]
    plain = glm(crude[kept], DATA.outcome[kept], "gaussian", weights=weights[kept], se="HC3")
    assert_close(plain.coef[1], expected["effect_unadjusted"]["coef"], 1e-8)
    assert_close(plain.std_error[1], expected["effect_unadjusted"]["se_hc3"], 1e-8)
    fit = glm(adjusted, DATA.outcome, "gaussian", weights=weights)  # a weight of 0 leaves a row out
    assert_close(fit.coef[1], expected["effect_adjusted"], 1e-8)
