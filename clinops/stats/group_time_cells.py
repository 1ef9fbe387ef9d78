"""One comparison of two groups over two periods, with covariates: regression, weighting, or both (doubly robust).

The effect on the treated of a change in outcome, and each unit's influence on it, which is what errors of averages
over many such comparisons are made of.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clinops.stats.glm import Floats, glm, independent_columns

METHODS = ("dr", "ipw", "reg")
_NO_OVERLAP = 0.999  # as R's `did`: a fitted chance of treatment this close to one leaves nobody to compare with


def change_effect(change: Floats, treated: NDArray, covariates: Floats, method: str) -> tuple[float, Floats, str]:
    """Return the effect on the treated, each unit's influence on it, and why there is none ("" if there is).

    Parameters
    ----------
    change : (n,) difference of a unit's outcome between two periods. treated : (n,) booleans.
    covariates : (n, k) without an intercept. method : "dr", "ipw" (normalised weights) or "reg".

    Notes
    -----
    m(x): regression of the change among the untreated; p(x): logistic. With w = p / (1 - p) for the untreated,
    dr: mean_treated(change - m) - mean_w(change - m); ipw: the same with m = 0; reg: mean_treated(change - m).
    The influence has mean 0 and variance n var(effect), and carries the estimation of m and p.
    Source: Sant'Anna and Zhao 2020; Heckman, Ichimura and Todd 1997; Abadie 2005; R `DRDID` (`drdid_panel`,
    `std_ipw_did_panel`, `reg_did_panel`).
    """
    D = treated.astype(float)
    X = np.column_stack([np.ones(len(change)), covariates])
    weight, toward_p, why = _odds(D, X) if method != "reg" else (1 - D, np.zeros_like(X), "")
    predicted, toward_m, why_not = _regression(change, D, X) if method != "ipw" else (0 * D, np.zeros_like(X), "")
    if why or why_not:
        return np.nan, np.zeros(len(change)), why or why_not
    left = change - predicted
    top, pull = _mean(left, D)
    pull -= toward_m @ ((D[:, None] * X).mean(axis=0) / D.mean())
    if method == "reg":  # its residuals have mean 0 among the untreated
        return top, pull, ""
    low, other = _mean(left, weight)
    other += toward_p @ ((weight * (left - low))[:, None] * X).mean(axis=0) / weight.mean()
    other -= toward_m @ (weight[:, None] * X).mean(axis=0) / weight.mean()
    return top - low, pull - other, ""


def _mean(values: Floats, weight: Floats) -> tuple[float, Floats]:
    """Return a weighted mean and the influence of each unit on it, its weight as given."""
    mean = float(weight @ values / weight.sum())
    return mean, weight * (values - mean) / weight.mean()


def _odds(D: Floats, X: Floats) -> tuple[Floats, Floats, str]:
    """Return the untreated's odds of treatment, each unit's influence on the coefficients, and what is wrong."""
    fit = glm(X, D, "binomial")
    nothing = np.zeros_like(X)
    if fit.aliased.size:
        return D, nothing, "covariates are linear combinations of one another"
    if not fit.converged or fit.fitted.max() >= _NO_OVERLAP:
        return D, nothing, "covariates tell the treated from the others (no overlap)"
    odds = (1 - D) * fit.fitted / (1 - fit.fitted)
    return odds, ((D - fit.fitted)[:, None] * X) @ fit.bread * len(D), ""


def _regression(change: Floats, D: Floats, X: Floats) -> tuple[Floats, Floats, str]:
    """Return everybody's predicted change without treatment, the influence on the coefficients, what is wrong."""
    free = D == 0
    rows = X[free]
    if independent_columns(rows)[1].size or len(rows) < X.shape[1]:
        return change, np.zeros_like(X), "covariates do not vary enough among the comparison units"
    # Columns of length 1, so that a covariate in thousands does not spoil the inverse.
    scale = np.sqrt((rows**2).sum(axis=0))
    unit = X / scale
    inverse = np.linalg.inv(unit[free].T @ unit[free])
    coef = inverse @ (unit[free].T @ change[free])
    predicted = unit @ coef
    influence = (((1 - D) * (change - predicted))[:, None] * unit) @ inverse * len(D) / scale
    return predicted, influence, ""
