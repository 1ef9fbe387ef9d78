"""Effects from a model of the outcome: standardisation (g-computation), and with a score, doubly robust."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Floats

if TYPE_CHECKING:
    from clinops.stats.propensity import PropensityFit
    from clinops.stats.weighted_effects import ArmValues

FAMILIES = {"any": "binomial", "count": "quasipoisson", "time to": "quasipoisson", "cost": "quasipoisson"}
"""Family of the outcome model by kind of measure; what is not here has a linear one, and so have negative amounts."""
OVER = {"att": "exposed", "ate": "everybody", "atc": "comparators"}
NO_CURVE = (
    "A model of the outcome has no curve for people who leave early: see the rate, or use co.weight(...) or "
    "co.match(...) for the risk by the end of the window."
)


def modelled_values(
    y: Floats, exposed: NDArray[np.bool_], adjusted: Adjusted, kind: str, denominator: Floats | None, per: float = 1.0
) -> ArmValues:
    """Mean outcome of the same persons under exposure and under none, from a model in each arm of its own.

    Parameters
    ----------
    y : (n,) outcome; rows without one are left out of the models and of the average.
    kind : of measure, which names the family of the model.
    denominator : (n,) person-time for a rate: its mean under each arm is modelled like the outcome's (linearly), and
        the rate is the ratio of the two means.
    per : values are multiplied by it.

    Returns
    -------
    ArmValues with an influence for each of the n rows, the estimation of every model in it.
    """
    keep = np.isfinite(y)
    family = FAMILIES.get(kind, "gaussian")
    if family == "quasipoisson" and (y[keep] < 0).any():
        family = "gaussian"
    whole = _means(y, exposed, adjusted, keep, family)
    if denominator is not None:
        time = _means(denominator, exposed, adjusted, keep, "gaussian")
        whole = _ratio(whole, time)
    return _scaled(whole, per)


def _means(
    y: Floats, exposed: NDArray[np.bool_], adjusted: Adjusted, keep: NDArray[np.bool_], family: str
) -> ArmValues:
    """Average both predictions over the persons of the estimand, rows outside `keep` without influence."""
    from clinops.stats.cost_models import glm_values
    from clinops.stats.standardise import arm_designs
    from clinops.stats.weighted_effects import augmented_values

    how, design = adjusted.adjustment, adjusted.design
    assert design is not None, "a model of the outcome has covariates"
    arm, matrix = exposed[keep], design.matrix[keep]
    if not (arm.any() and (~arm).any()):
        return _nothing(exposed, keep, how.estimand)
    if how.method == "doubly robust" and (how.estimator == "tmle" or how.folds > 1):
        return _spread(_learned(y[keep], arm, adjusted, keep, family), keep)
    designs = arm_designs(arm, matrix, interact=True)
    if how.method == "standardise":
        made = replace(
            glm_values(y[keep], arm, *designs, family=family, average_over=OVER[how.estimand]),
            se_kind="M-estimation",
        )
    else:
        made = augmented_values(y[keep], _score(adjusted, keep), *designs, family=family, estimand=how.estimand,
                                nuisance="known" if how.penalty else "estimated")  # fmt: skip
    return _spread(made, keep)


def _learned(y: Floats, arm: NDArray[np.bool_], adjusted: Adjusted, keep: NDArray[np.bool_], family: str) -> ArmValues:
    """Doubly robust values from models that may not know the rows they predict, a cluster's rows in one fold."""
    from clinops.stats.doubly_robust import doubly_robust, tmle
    from clinops.stats.learners import boosting_learner, logistic_learner

    how, design, cluster = adjusted.adjustment, adjusted.design, adjusted.cluster[keep]
    assert design is not None
    boosted = how.using == "boosted"
    outcome = boosting_learner("poisson" if family == "quasipoisson" else family) if boosted else None
    score = boosting_learner("binomial") if boosted else logistic_learner(how.penalty, how.strength)
    estimate = tmle if how.estimator == "tmle" else doubly_robust
    found = estimate(
        y, arm, design.matrix[keep], family=family, estimand=how.estimand, outcome_learner=outcome,
        score_learner=score, folds=how.folds, seed=adjusted.seed,
        cluster=None if len(np.unique(cluster)) == len(cluster) else cluster,
    )  # fmt: skip
    # As a size, so that a small one is hidden like any other.
    return replace(found.arms, note=f"n = {found.n_bounded} scores were pulled in." if found.n_bounded else "")


def _score(adjusted: Adjusted, keep: NDArray[np.bool_]) -> PropensityFit:
    """The propensity score of the rows that have an outcome: that of the design, or fitted anew without the others."""
    from clinops.stats.propensity import propensity

    how, fit, design = adjusted.adjustment, adjusted.propensity, adjusted.design
    assert fit is not None and design is not None
    if keep.all():
        return fit
    return propensity(design.matrix[keep], fit.treated[keep], penalty=how.penalty, strength=how.strength)


def _nothing(exposed: NDArray[np.bool_], keep: NDArray[np.bool_], estimand: str) -> ArmValues:
    """No value in either arm, since one has no outcome to model; the contrast says which."""
    from clinops.stats.weighted_effects import ArmValues

    empty = np.full((2, 1), np.nan)
    return ArmValues(
        value=empty, influence=np.full((2, len(keep), 1), np.nan), counted=keep, treated=exposed,
        varies=np.zeros((2, 1), dtype=bool), estimand=estimand, se_kind="not estimable", note="",
    )  # fmt: skip


def _spread(made: ArmValues, keep: NDArray[np.bool_]) -> ArmValues:
    """Put influences back in the places of all n rows."""
    if made.influence.shape[1] == len(keep):
        return made
    influence = np.zeros((2, len(keep), made.value.shape[1]))
    influence[:, keep] = made.influence
    counted, treated = np.zeros(len(keep), bool), np.zeros(len(keep), bool)
    counted[keep], treated[keep] = made.counted, made.treated
    return replace(made, influence=influence, counted=counted, treated=treated)


def _ratio(top: ArmValues, bottom: ArmValues) -> ArmValues:
    """One mean over another in each arm, by the delta method."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(bottom.value > 0, top.value / bottom.value, np.nan)
        influence = (top.influence - value[:, None] * bottom.influence) / bottom.value[:, None]
    return replace(top, value=value, influence=influence)


def _scaled(made: ArmValues, per: float) -> ArmValues:
    return replace(made, value=made.value * per, influence=made.influence * per)
