"""Bands that hold several estimates at once, and the test that goes with them (sup-t)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError
from clinops.stats.glm import Floats

DRAWS = 20_000


@dataclass(frozen=True)
class SimultaneousBand:
    """Limits of m estimates that hold all of them with the stated probability.

    Attributes
    ----------
    low, high : (m,), NaN where an estimate has no error. critical : how many standard errors wide each side is.
    statistic : the largest |estimate| / error, and p_value of all being zero by it. n : estimates with an error.
    conf_level, draws : of the band. note : "" or what a reader must know.
    """

    low: Floats
    high: Floats
    critical: float
    statistic: float
    p_value: float
    n: int
    conf_level: float
    draws: int
    note: str


def simultaneous_band(
    estimate: ArrayLike,
    cov: ArrayLike,
    *,
    df: float = np.inf,
    conf_level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 1,
) -> SimultaneousBand:
    """Widen intervals so that they hold all of several estimates at once, and test that all are zero.

    Answers: could this whole curve (an event study) lie where the band says, and is it nil everywhere?

    Parameters
    ----------
    estimate : (m,). cov : (m, m) covariance; an estimate whose variance is not above zero (a base period) or not known
        has no band and no part. df : of the t distribution, such as clusters - 1; infinite is the normal.
    draws, seed : of the simulation.

    Raises
    ------
    DataError : shapes. ParameterError : level, draws, df.

    Notes
    -----
    The critical value is the quantile of the largest |z| of draws from the normal distribution with the estimates'
    correlation, all divided by one root of chi-squared / df where df is finite (the multivariate t). With few clusters
    the normal value is too small. Source: Montiel Olea and Plagborg-Moller 2019; for
    event studies Callaway and Sant'Anna 2021, whose multiplier bootstrap has the same limit.
    """
    values, spread = np.asarray(estimate, dtype=float), np.asarray(cov, dtype=float)
    if values.ndim != 1 or spread.shape != (len(values), len(values)):
        raise DataError(f"estimate has shape {values.shape} and cov {spread.shape}; give (m,) and (m, m).")
    if not 0 < conf_level < 1 or draws < 1000:
        raise ParameterError(
            f"conf_level is {conf_level!r} and draws {draws!r}; give one between 0 and 1, and 1,000 up."
        )
    if not df > 0:
        raise ParameterError(f"df is {df!r}; give degrees of freedom above 0, or infinity for the normal.")
    variance = np.diag(spread)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values) & np.isfinite(variance) & (variance > 0)
    known &= np.isfinite(spread[:, known]).all(axis=1)  # an unknown estimate takes its own row and column along only
    nothing = np.full(len(values), np.nan)
    if not known.any():
        return SimultaneousBand(
            nothing, nothing, np.nan, np.nan, np.nan, 0, conf_level, draws, "No estimate has an error: no band."
        )
    error = np.sqrt(variance[known])
    correlation = spread[np.ix_(known, known)] / np.outer(error, error)
    roots, axes = np.linalg.eigh(correlation)
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((draws, len(error))) @ (axes * np.sqrt(np.maximum(roots, 0.0))).T
    largest = np.abs(z).max(axis=1)
    if np.isfinite(df):
        largest = largest / np.sqrt(rng.chisquare(df, draws) / df)
    critical = float(np.quantile(largest, conf_level))
    statistic = float((np.abs(values[known]) / error).max())
    low, high = nothing.copy(), nothing.copy()
    low[known], high[known] = values[known] - critical * error, values[known] + critical * error
    p = float((1 + (largest >= statistic).sum()) / (draws + 1))
    return SimultaneousBand(low, high, critical, statistic, p, len(error), conf_level, draws, "")
