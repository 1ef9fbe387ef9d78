"""Power of a stepped wedge, from its design, by the variance of the effect (Hussey and Hughes)."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DefinitionError
from clinops.stats.glm import Floats
from clinops.stats.linear import detectable_effect


@dataclass(frozen=True)
class WedgePower:
    """What a stepped wedge can see.

    Attributes
    ----------
    power : of the two-sided test of the effect. std_error : of the estimate. detectable : effect found with power 0.8.
    design_effect : variance over that of as many independent persons, half of them treated.
    n : persons in all. df : of the t distribution, or infinite.
    """

    power: float
    std_error: float
    detectable: float
    design_effect: float
    n: float
    df: float


def wedge_design(clusters_per_step: ArrayLike, *, before: int = 1, after: int = 0, periods_per_step: int = 1) -> Floats:
    """Return (clusters, periods) of 0 and 1 for a roll-out in steps.

    clusters_per_step : clusters that start at each step, such as (2, 2, 2). before : periods until the first starts.
    periods_per_step : between two steps, and after the last. after : further periods at the end.
    """
    groups = np.asarray(clusters_per_step, dtype=int)
    if groups.ndim != 1 or not groups.size or (groups < 1).any() or before < 0 or after < 0 or periods_per_step < 1:
        raise DefinitionError("Give at least one cluster a step, before and after >= 0, and periods_per_step >= 1.")
    periods = before + periods_per_step * len(groups) + after
    start = np.repeat(before + periods_per_step * np.arange(len(groups)), groups)
    return np.asarray(np.arange(periods) >= start[:, None], dtype=float)


def wedge_power(
    design: ArrayLike,
    effect: float,
    *,
    per_cell: float,
    sd: float,
    icc: float,
    autocorrelation: float = 1.0,
    alpha: float = 0.05,
    small_sample: bool = True,
) -> WedgePower:
    """Say how likely a stepped wedge (or any design by cluster and period) is to find an effect.

    Parameters
    ----------
    design : (clusters, periods) 0 and 1, as of `wedge_design`; NaN where a cluster is not seen.
    effect : difference in means. per_cell : persons of a cluster in a period, others each time.
    sd : of the outcome within and between clusters together. icc : correlation of two persons of a cluster in the
        same period; times `autocorrelation` in different ones (1 is Hussey and Hughes's model).
    small_sample : t with clusters - 2, or the normal distribution.

    Raises
    ------
    DefinitionError : a design, correlation, size or level that is not possible.

    Notes
    -----
    Generalised least squares of cell means on periods and the programme, variances known. For autocorrelation 1 it is
    the closed form of Hussey and Hughes 2007; else Hooper and others 2016.
    """
    D = np.asarray(design, dtype=float)
    if D.ndim != 2 or not np.isin(D[~np.isnan(D)], (0, 1)).all() or len(D) < 3:
        raise DefinitionError("design must be (clusters, periods) of 0, 1 or NaN, with 3 clusters or more.")
    if not (0 <= icc < 1 and 0 <= autocorrelation <= 1 and per_cell > 0 and sd > 0 and 0 < alpha < 1):
        raise DefinitionError("icc lies in 0..1, autocorrelation in 0..1, alpha in 0..1; per_cell and sd above 0.")
    clusters, periods = D.shape
    between, own = sd**2 * icc * autocorrelation, sd**2 * icc * (1 - autocorrelation) + sd**2 * (1 - icc) / per_cell
    information = np.zeros((periods + 1, periods + 1))
    for line in D:
        seen = np.flatnonzero(~np.isnan(line))
        X = np.column_stack([np.eye(periods)[seen], line[seen]])
        V = own * np.eye(len(seen)) + between
        information += X.T @ np.linalg.solve(V, X)
    used = np.append(np.diag(information)[:-1] > 0, True)
    narrow = information[np.ix_(used, used)]
    if np.linalg.matrix_rank(narrow, hermitian=True) < len(narrow):
        raise DefinitionError("The programme cannot be told from calendar time in this design; let steps differ.")
    error = float(np.sqrt(np.linalg.inv(narrow)[-1, -1]))
    df = float(clusters - 2) if small_sample else float("inf")
    n = per_cell * float((~np.isnan(D)).sum())
    return WedgePower(
        _power(effect / error, df, alpha),
        error,
        detectable_effect(error, df, alpha=alpha),
        error**2 / (4 * sd**2 / n),
        n,
        df,
    )


def _power(shift: float, df: float, alpha: float) -> float:
    from scipy.stats import nct, t

    if np.isinf(df):
        normal = NormalDist()
        z = normal.inv_cdf(1 - alpha / 2)
        return normal.cdf(shift - z) + normal.cdf(-shift - z)
    critical = float(t.isf(alpha / 2, df))
    return float(nct.sf(critical, df, shift) + nct.cdf(-critical, df, shift))
