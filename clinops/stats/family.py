"""One effect for a family of outcomes: the standardised average effect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.glm import Floats
from clinops.stats.linear import inference, linear, small_sample


@dataclass(frozen=True)
class FamilyEffect:
    """The average over q outcomes of effect / comparator SD, in standard deviations.

    effects, spreads : (q,). n_rows : rows of the stacked regression. n_units : persons (or clusters).
    """

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    conf_level: float
    p_value: float
    effects: Floats
    spreads: Floats
    n_rows: int
    n_units: int
    se_kind: str
    note: str


def standardised_average_effect(
    Y: ArrayLike,
    exposure: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    signs: ArrayLike | None = None,
    conf_level: float = 0.95,
) -> FamilyEffect:
    """Average the effects on several outcomes, each in standard deviations of the comparator arm.

    Answers: did the family of outcomes as a whole move? One test instead of q.

    Parameters
    ----------
    Y : (n, q) outcomes, NaN where not known. exposure : (n,) 0/1.
    weights : (n,) or (n, q) >= 0. covariates : (n, k). strata : (n,), effects of each outcome's own.
    cluster : (n,) ids of independent units; the row (person) where None.
    signs : (q,) 1 or -1, to turn outcomes so that more means the same; 1 where None.

    Notes
    -----
    The stacked regression of all outcomes with everything interacted with the outcome: its coefficients are those of
    the separate regressions, and their joint covariance, clustered by person, follows from the influences summed over
    a person's rows, times G/(G - 1) (N - 1)/(N - K). Normal interval; the SDs (unweighted) are taken as known.
    Source: O'Brien 1984; Kling, Liebman and Katz 2007; Clark 2014 as applied by Reif et al. 2020, whose five printed
    values it reproduces.
    """
    outcome, arm = np.asarray(Y, dtype=float), np.asarray(exposure, dtype=float)
    if outcome.ndim != 2 or arm.shape != (len(outcome),):
        raise DataError(f"Y has shape {outcome.shape} and exposure {arm.shape}; Y must be (rows, outcomes).")
    n, q = outcome.shape
    w = np.ones((n, q)) if weights is None else np.asarray(weights, dtype=float)
    w = np.broadcast_to(w[:, None] if w.ndim == 1 else w, (n, q))
    X = np.zeros((n, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    turn = np.ones(q) if signs is None else np.asarray(signs, dtype=float)
    effects, spreads, carried = np.full(q, np.nan), np.full(q, np.nan), np.zeros(n)
    counted, rows, parameters = np.zeros(n, bool), 0, 0
    known = np.isfinite(arm) & np.isfinite(X).all(axis=1)
    for j in range(q):
        use = np.where(known & np.isfinite(outcome[:, j]), w[:, j], 0.0)
        if not (use > 0).any():
            continue
        fit = linear(np.column_stack([arm, X]), outcome[:, j], weights=use, strata=strata)
        control = outcome[(use > 0) & (arm == 0), j]
        effects[j] = fit.coef[0]
        spreads[j] = control.std(ddof=1) if len(control) > 1 else np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            carried += turn[j] * fit.influence[:, 0] / spreads[j] / q
        counted |= use > 0
        rows, parameters = rows + fit.n, parameters + fit.n_parameters
    with np.errstate(divide="ignore", invalid="ignore"):
        estimate = float(np.mean(turn * effects / spreads)) if q else np.nan
    return _assembled(estimate, carried, counted, cluster, rows, parameters, effects, spreads, conf_level)


def _assembled(
    estimate: float, carried: Floats, counted: np.ndarray, cluster: ArrayLike | None, rows: int, parameters: int,
    effects: Floats, spreads: Floats, conf_level: float,
) -> FamilyEffect:  # fmt: skip
    unit = np.arange(len(carried)) if cluster is None else np.asarray(cluster)
    sums = np.bincount(np.unique(unit, return_inverse=True)[1], weights=carried)
    flags = counted.astype(float)
    factor, groups, _, _ = small_sample(rows, parameters, unit, flags)
    error, low, high, p, _ = inference(
        np.array([estimate]), np.array([factor * float(sums @ sums)]), np.inf, "normal", conf_level
    )
    note = ""
    if not np.isfinite(estimate):
        note = "An outcome has no variation in the comparator arm, or no effect: no average of the family."
    return FamilyEffect(
        estimate, float(error[0]), float(low[0]), float(high[0]), conf_level, float(p[0]), effects, spreads,
        rows, groups, f"CR1 clustered ({groups:,} {'persons' if cluster is None else 'clusters'})", note,
    )  # fmt: skip
