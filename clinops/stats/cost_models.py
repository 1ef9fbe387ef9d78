"""One-part models of a cost with effects on the mean: generalised linear models and, for comparison, log-OLS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import GlmFit, glm, mean_and_slope
from clinops.stats.glm_families import Floats
from clinops.stats.propensity import PropensityFit
from clinops.stats.standardise import (
    Population,
    Prediction,
    Term,
    coefficient_covariance,
    coefficient_influence,
    design_pair,
    population,
    standardised,
)
from clinops.stats.weighted_effects import ArmValues, Effect, contrast
from clinops.stats.weighting import BalancingWeights

_NO_ROWS = "No more rows than coefficients: no standard error."
RETRANSFORMATIONS = ("smearing by arm", "smearing", "normal")


def glm_effect(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    family: str = "gamma",
    power: float = 1.5,
    theta: float | None = None,
    weights: BalancingWeights | ArrayLike | None = None,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    se: str = "robust",
    cluster: ArrayLike | None = None,
    scale: str = "difference",
    conf_level: float = 0.95,
) -> Effect:
    """By how much does exposure change the mean, from a regression with a log (or other) link?

    Everybody's mean is predicted as if exposed and as if not (recycled predictions, g-formula), and compared.

    Parameters
    ----------
    y : (n,) cost or count. treated : (n,) 0/1.
    design_exposed, design_comparator : (n, k) columns for every row as if exposed and as if not, intercept
        included (see `arm_designs`); the model is fitted on whichever a row really was.
    family, power, theta : as in `glm` ("gamma", "quasipoisson", "tweedie", "gaussian", ...).
    weights : as in `weighted_effect`; the fit and the averages carry them. propensity : the fit the weights came
        from: its uncertainty then enters the standard error.
    average_over : "everybody" (with weight), "exposed" or "comparators".
    estimand : label; by default "ate", "att" or "atc" by average_over. Give "att" with ATT weights over everybody.
    covariates : "sampled" adds the sampling of the people averaged over; "fixed" conditions on them, as R's delta
        method for average marginal effects does.
    se : "robust" (influence of each row, clusters allowed), "HC0" (sandwich of the model, then delta) or
        "model" (expected information, then delta). All three end up named in `se_kind`.
    cluster : (n,) ids of independent units (with "robust"). scale : "difference" or "ratio".

    Returns
    -------
    Effect; NaN and a note where an answer does not exist.

    Raises
    ------
    DefinitionError : unknown names; clusters without se="robust". DataError : shapes, impossible outcomes (a gamma
    model of costs with zeros: use `two_part`, "tweedie" or "quasipoisson").

    Notes
    -----
    value_a = sum w m(x_a b) / sum w. Variance by the delta method; robust as the sum of squared influences. Source:
    Basu and Rathouz 2005; Terza 2016 (sampled covariates). Checked against R's average marginal effects on NMES 1988.
    """
    arms = glm_values(
        y, treated, design_exposed, design_comparator, family=family, power=power, theta=theta, weights=weights,
        propensity=propensity, average_over=average_over, estimand=estimand, covariates=covariates, se=se,
    )  # fmt: skip
    return contrast(arms, scale, cluster=cluster, conf_level=conf_level)[0]


def glm_values(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    family: str = "gamma",
    power: float = 1.5,
    theta: float | None = None,
    weights: BalancingWeights | ArrayLike | None = None,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    se: str = "robust",
) -> ArmValues:
    """Mean in each arm with influence functions, from one fit, for `contrast` on any scale (see `glm_effect`)."""
    people = population(
        treated, weights, propensity=propensity, average_over=average_over, estimand=estimand, covariates=covariates,
        se=se,
    )  # fmt: skip
    ones, zeros, seen = design_pair(design_exposed, design_comparator, people.treated)
    outcome = amounts(y, people, "glm_effect", signed=family == "gaussian")
    fit = glm(seen, outcome, family, weights=people.weights, se="model", power=power, theta=theta)
    predicted = predictions(fit.coef, ones, zeros, family)
    return standardised(
        predicted,
        coefficient_influence(fit, people),
        people,
        covariance=None if se == "robust" else coefficient_covariance(fit, se),
        outcome=outcome,
        note=" ".join(filter(None, (fit.note, "" if fit.df_residual else _NO_ROWS))),
    )


def predictions(coef: Floats, ones: Floats, zeros: Floats, family: str) -> Prediction:
    """Predicted means and derivatives under both arms; columns without an estimate count as 0."""
    beta = np.nan_to_num(coef)
    pairs = [mean_and_slope(design @ beta, family) for design in (ones, zeros)]
    factor = np.array([slope for _, slope in pairs])
    return Prediction(np.array([mean for mean, _ in pairs]), (Term(ones, zeros, factor),))


def amounts(y: ArrayLike, people: Population, function: str, *, signed: bool = False) -> Floats:
    """Check (n,) amounts: none missing, none negative (unless signed)."""
    outcome = np.asarray(y, dtype=float)
    n = len(people.treated)
    if outcome.shape != (n,):
        raise DataError(f"y has shape {outcome.shape}; it must be ({n},) to fit `treated`.")
    missing = int((~np.isfinite(outcome)).sum())
    if missing:
        raise DataError(
            f"{missing} of {n} rows have a missing or infinite cost; set them aside (and say so) or impute."
        )
    negative = int((outcome < 0).sum())
    if negative and not signed:
        raise DataError(
            f"{negative} of {n} costs are negative, which {function} cannot model; net reversals against their claims"
            " first, or compare plain means (weighted_effect), which allow them."
        )
    return outcome


@dataclass(frozen=True)
class LogOls:
    """Least squares on the log of a cost, brought back to money.

    fit : of log(y). factor : (2,) by which exp(linear predictor) is multiplied, exposed and comparator.
    arms : mean cost in each arm. retransformation : "smearing by arm", "smearing" or "normal".
    """

    fit: GlmFit
    factor: Floats
    arms: ArmValues
    retransformation: str

    def effect(
        self, scale: str = "difference", *, cluster: ArrayLike | None = None, conf_level: float = 0.95
    ) -> Effect:
        """Effect on the mean cost: "difference" or "ratio"."""
        return contrast(self.arms, scale, cluster=cluster, conf_level=conf_level)[0]


def log_ols(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    retransformation: str = "smearing by arm",
    weights: BalancingWeights | ArrayLike | None = None,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
) -> LogOls:
    """What would a regression of log cost say about the mean? For comparison: it leans on its error's shape.

    Parameters
    ----------
    y : (n,) cost, > 0. Others as in `glm_effect`.
    retransformation : "smearing" multiplies by the mean of exp(residual) (right when the error's spread is the same
        for everybody), "smearing by arm" by each arm's own, "normal" by exp(variance / 2).

    Raises
    ------
    DefinitionError : unknown names. DataError : shapes, a cost that is not above 0 (use `two_part`).

    Notes
    -----
    Errors by the influence of each row on coefficients and factor. Source: Duan 1983; Manning 1998. Checked against
    R on the RAND Health Insurance Experiment.
    """
    if retransformation not in RETRANSFORMATIONS:
        raise DefinitionError(unknown("retransformation", retransformation, RETRANSFORMATIONS))
    people = population(
        treated, weights, propensity=propensity, average_over=average_over, estimand=estimand, covariates=covariates
    )
    ones, zeros, seen = design_pair(design_exposed, design_comparator, people.treated)
    cost = amounts(y, people, "a regression of log cost")
    none = int((cost == 0).sum())
    if none:
        raise DataError(f"{none} of {len(cost)} costs are 0, which has no logarithm; use two_part (never log(y + 1)).")
    fit = glm(seen, np.log(cost), "gaussian", weights=people.weights, se="model")
    influence = coefficient_influence(fit, people)
    factor, own = _factors(fit, np.log(cost), seen, people, influence, retransformation)
    raw = np.exp(np.array([design @ np.nan_to_num(fit.coef) for design in (ones, zeros)]))
    mean = raw * factor[:, None]
    own_factor = [np.tile(row, (len(cost), 1)) for row in np.eye(2)]
    predicted = Prediction(mean, (Term(ones, zeros, mean), Term(own_factor[0], own_factor[1], raw)))
    arms = standardised(predicted, np.column_stack([influence, own]), people, outcome=cost, note=fit.note)
    return LogOls(fit, factor, arms, retransformation)


def _factors(
    fit: GlmFit, log_cost: Floats, seen: Floats, people: Population, influence: Floats, retransformation: str
) -> tuple[Floats, Floats]:
    """Retransformation factors of both arms, (2,), and each row's influence on them, (n, 2)."""
    residual = log_cost - fit.fitted
    factor, own = np.zeros(2), np.zeros((len(residual), 2))
    for side, rows in enumerate((people.treated, ~people.treated)):
        member = rows if retransformation == "smearing by arm" else np.ones(len(rows), dtype=bool)
        weight = people.weights * member
        total = float(weight.sum())
        if retransformation == "normal":
            small = fit.n / fit.df_residual if fit.df_residual > 0 else np.nan
            each = residual**2
        else:
            small, each = 1.0, np.exp(residual)
        mean = float(weight @ each) / total if total > 0 else np.nan
        gap = each - mean
        direct = weight * gap / total if total > 0 else np.full(len(residual), np.nan)
        if people.propensity is not None and total > 0:
            tilt = people.propensity.design.T @ (people.balanced.slope * member * gap) / total
            direct = direct + people.propensity.influence(tilt)
        if retransformation == "normal":  # its derivative by the coefficients is 0 at least squares
            factor[side] = np.exp(small * mean / 2)
            own[:, side] = factor[side] * small / 2 * direct
        else:
            factor[side] = mean
            own[:, side] = direct - influence @ ((weight * each) @ seen) / total
    return factor, own
