"""Every number of What If's data in R has an answer of ours, to the reference's tolerance; a key without one fails."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.stats.cost_models import glm_effect
from clinops.stats.cox import cox
from clinops.stats.doubly_robust import doubly_robust, tmle
from clinops.stats.glm import glm
from clinops.stats.propensity import propensity
from clinops.stats.standardise import arm_designs
from clinops.stats.survival import kaplan_meier
from clinops.stats.weighted_effects import Effect, weighted_effect, weighted_values
from clinops.stats.weighting import balancing_weights
from tests.stats.causal_data import nhefs
from tests.support import assert_close, oracle, oracle_csv

NHEFS, BOOK = nhefs(), oracle("causal/nhefs")
Y, ARM, N = NHEFS.weight_change, NHEFS.treated, len(NHEFS.treated)
DESIGNS = NHEFS.outcome_design(1.0), NHEFS.outcome_design(0.0)
FIT = propensity(NHEFS.X, ARM)
WEIGHTS = {stable: balancing_weights(FIT, estimand="ate", stabilise=stable) for stable in (False, True)}


def weighted(stable: bool) -> dict[str, Any]:
    effect = weighted_effect(Y, ARM, WEIGHTS[stable])
    w = WEIGHTS[stable].weights
    return {
        "intercept": effect.value_comparator, "effect": effect.estimate, "se_robust": effect.std_error,
        "lower": effect.conf_low, "upper": effect.conf_high, "weight_mean": w.mean(), "weight_min": w.min(),
        "weight_max": w.max(),
    }  # fmt: skip


def crude() -> dict[str, Any]:
    """R's confint of a linear model has Student's t and one variance for both arms."""
    from scipy.stats import t

    fit = glm(np.column_stack([np.ones(N), ARM]), Y, "gaussian", se="model")
    half = t.isf(0.025, N - 2) * fit.std_error[1]
    return {"effect": fit.coef[1], "lower": fit.coef[1] - half, "upper": fit.coef[1] + half}


def m_estimation() -> dict[str, Any]:
    """The reference puts 1 for the means' own derivative, whose expectation it is; ours is the sum of weights / n."""
    made = WEIGHTS[False]
    arms = weighted_values(Y[:, None], ARM, made, propensity=FIT)
    share = [made.weights[arm == ARM].sum() / N for arm in (1, 0)]
    theirs = share[0] * arms.influence[0, :, 0] - share[1] * arms.influence[1, :, 0]
    one, zero = arms.value[:, 0]
    return {"effect": one - zero, "mu1": one, "mu0": zero, "se_mestimation": np.sqrt((theirs**2).sum())}


def standardised(se: str) -> Effect:
    return glm_effect(Y, ARM, *DESIGNS, family="gaussian", covariates="fixed", se=se)


def augmented() -> dict[str, Any]:
    effect = doubly_robust(Y, ARM, NHEFS.X, designs=DESIGNS, estimand="ate").effect
    wider = np.sqrt(N / (N - 1))  # R's sd() divides by n - 1
    half = wider * (effect.conf_high - effect.estimate)
    return {
        "mean1": effect.value_exposed, "mean0": effect.value_comparator, "effect": effect.estimate,
        "se": effect.std_error * wider, "lower": effect.estimate - half, "upper": effect.estimate + half,
    }  # fmt: skip


def deaths() -> dict[str, Any]:
    frame, died = oracle_csv("causal/nhefs_complete"), NHEFS.death
    months = np.where(died == 0, 120.0, (frame["yrdth"] - 83) * 12 + frame["modth"])
    months = np.where(np.isnan(months), 120.0, months)
    designs, stable = arm_designs(ARM, NHEFS.X), WEIGHTS[True].weights
    risk = {s: glm_effect(died, ARM, *designs, family="binomial", scale=s) for s in ("difference", "ratio")}
    model = glm(np.where(ARM[:, None] == 1, *designs), died, "binomial")
    weighted_risk = weighted_effect(died, ARM, WEIGHTS[False])
    hazard = cox(ARM[:, None].astype(float), months, died, weights=stable, robust=True)
    half = 1.959963984540054 * hazard.se[0]
    curves = {arm: kaplan_meier(months[arm == ARM], died[arm == ARM], weights=stable[arm == ARM]) for arm in (0, 1)}
    return {
        "death_standardised": {
            "risk1": risk["ratio"].value_exposed, "risk0": risk["ratio"].value_comparator,
            "rd": risk["difference"].estimate, "rr": risk["ratio"].estimate, "conditional_or": np.exp(model.coef[1]),
        },
        "death_ipw": {"risk1": weighted_risk.value_exposed, "risk0": weighted_risk.value_comparator},
        "death_hr_ipw": {
            "hr": np.exp(hazard.coef[0]), "se_robust": hazard.se[0],
            "lower": np.exp(hazard.coef[0] - half), "upper": np.exp(hazard.coef[0] + half),
        },
        "death_hr_crude": np.exp(cox(ARM[:, None].astype(float), months, died).coef[0]),
        "death_ipw_km": {
            "strata": ["qsmk=0", "qsmk=0", "qsmk=1", "qsmk=1"], "time": [60, 120, 60, 120],
            "surv": np.concatenate([curves[arm].at([60.0, 120.0]).survival for arm in (0, 1)]),
        },
    }  # fmt: skip


def test_every_number_of_what_if_is_ours() -> None:
    intercept = ["(Intercept)"]
    plain, att = WEIGHTS[False].weights, doubly_robust(Y, ARM, NHEFS.X, designs=DESIGNS, estimand="att").effect
    targeted, g = tmle(Y, ARM, NHEFS.X, designs=DESIGNS, estimand="ate").effect, standardised("model")
    ours = {
        "crude": crude(),
        "ps": {
            "term": intercept + BOOK["expected"]["ps"]["term"][1:], "coef": FIT.coef, "min": FIT.score.min(),
            "max": FIT.score.max(), "mean_treated": FIT.score[ARM == 1].mean(),
            "mean_untreated": FIT.score[ARM == 0].mean(),
        },
        "ipw_weights": {"mean": plain.mean(), "min": plain.min(), "max": plain.max(), "sd": plain.std(ddof=1)},
        "ipw_unstabilized": weighted(False),
        "ipw_stabilized": weighted(True),
        "ipw_hajek_mestimation": m_estimation(),
        "g_formula": {
            "mean1": g.value_exposed, "mean0": g.value_comparator, "effect": g.estimate,
            "se_delta_fixed_X": g.std_error, "se_delta_hc0_fixed_X": standardised("HC0").std_error,
        },
        "aipw": augmented(),
        "aipw_att": att.estimate,
        "tmle": {"effect": targeted.estimate, "se": targeted.std_error},
        "n": N,
        **deaths(),
    }  # fmt: skip
    assert set(ours) == set(BOOK["expected"])
    assert_close(ours, BOOK["expected"], BOOK["meta"]["tolerance_rel"])
