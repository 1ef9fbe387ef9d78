"""Observations in the order of time: errors that bear their correlation, and the tests that look for it.

Places in time are whole numbers, so that a missing period is a gap and not a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError
from clinops.stats.glm import Floats, GlmFit, Ints, cluster_sums


@dataclass(frozen=True)
class SerialDiagnostics:
    """Whether residuals hang together in time.

    Attributes
    ----------
    autocorrelation : (lags,) at lags 1, 2, ...; durbin_watson : about 2 without correlation of neighbours.
    ljung_box, ljung_box_df, ljung_box_p : joint test of all lags; the same for `breusch_godfrey`.
    lags : how many. note : "" or what a reader must know.
    """

    autocorrelation: Floats
    durbin_watson: float
    ljung_box: float
    ljung_box_df: int
    ljung_box_p: float
    breusch_godfrey: float
    breusch_godfrey_p: float
    lags: int
    note: str


def default_lag(n: int) -> int:
    """Return the rule of thumb for Newey-West errors, the whole part of 4 (n/100)^(2/9) (Newey and West 1994).

    It needs no data, so it does not move with the units of the columns, as `newey_west_bandwidth` does.
    """
    if n < 1:
        raise ParameterError(f"n is {n!r}; give the number of periods, 1 or more.")
    return floor(4 * (n / 100) ** (2 / 9))


def newey_west_bandwidth(
    scores: ArrayLike, weights: ArrayLike, *, period: ArrayLike | None = None, prewhiten: bool = False
) -> float:
    """How many lags do the data ask for? The automatic choice of Newey and West (1994), Bartlett kernel.

    Parameters
    ----------
    scores : (n, k) of each row and column. weights : (k,), 1 for each column and 0 for the intercept, as usual.
    period : (n,) whole places in time; None for rows that follow one another. prewhiten : as in `newey_west`.

    Notes
    -----
    h = scores @ weights, s_j its autocovariances up to m = whole part of 4 (n/100)^(2/9), or of 3 (n/100)^(2/9) after
    prewhitening; bandwidth 1.1447 (n (s1/s0)^2)^(1/3), s0 = sum of all, s1 = 2 sum j s_j. The lag is its whole part. As
    R's `bwNeweyWest`. It depends on the units of the columns. NaN where s0 is 0.
    """
    table = on_grid(np.asarray(scores, dtype=float), period)
    n = len(np.unique(places_of(period, len(np.asarray(scores)))))
    if prewhiten:
        table = _prewhitened(table, n)[0]
    h = table @ np.asarray(weights, dtype=float)
    far = floor((3 if prewhiten else 4) * (n / 100) ** (2 / 9))
    sigma = np.array([h[: len(h) - j] @ h[j:] for j in range(min(far, len(h) - 1) + 1)])
    whole = float(sigma[0] + 2 * sigma[1:].sum())
    slope = float(2 * np.arange(1, len(sigma)) @ sigma[1:])
    return 1.1447 * float(np.cbrt(n * (slope / whole) ** 2)) if whole else float("nan")


def newey_west(
    fit: GlmFit, lag: int, *, period: ArrayLike | None = None, small_sample: bool = False, prewhiten: bool = False
) -> tuple[Floats, str]:
    """What is the covariance of coefficients when rows near in time are correlated?

    Parameters
    ----------
    fit : by `glm`, without weights. lag : 0 or more; the longest distance at which rows are correlated.
    period : (n,) whole places in time; None for rows that follow one another. Rows of one period (two series) are
        summed first, so a shock that both share is borne (Driscoll and Kraay 1998).
    small_sample : multiply by n / (n - k). prewhiten : take out a vector autoregression of order 1 first.

    Returns
    -------
    (k, k) covariance and the name of its kind.

    Raises
    ------
    ParameterError : a lag that is negative or not whole. DataError : prewhitening with gaps, or with too few periods.

    Notes
    -----
    bread (S_0 + sum over l of (1 - l/(L + 1)) (S_l + S_l')) bread, S_l = sum of s_t s_(t-l)' over the pairs l periods
    apart; a missing period adds nothing, which keeps the matrix from being negative. Prewhitened: s_t = A s_(t-1) + u_t
    by least squares, the sum in brackets D S(u) D' with D = (I - A)^-1. Source: Newey and West 1987; Andrews and
    Monahan 1992; R's `NeweyWest`.
    """
    if lag < 0 or lag != int(lag):
        raise ParameterError(f"lag is {lag!r}; it must be a whole number, 0 or more.")
    known = np.isfinite(np.diag(fit.bread))
    gridded, recolour = on_grid(fit.scores, period), np.eye(len(known))
    if prewhiten:
        periods = len(np.unique(places_of(period, len(fit.scores))))
        gridded, inside = _prewhitened(gridded[:, known], periods)
        recolour = np.zeros((len(known), len(inside)))
        recolour[known] = inside
    meat = gridded.T @ gridded
    for apart in range(1, min(int(lag), len(gridded) - 1) + 1):
        cross = gridded[apart:].T @ gridded[:-apart]
        meat = meat + (1 - apart / (lag + 1)) * (cross + cross.T)
    meat = recolour @ meat @ recolour.T
    inner = np.where(np.isfinite(fit.bread), fit.bread, 0.0)
    n, k = len(fit.scores), int(known.sum())
    factor = (n / (n - k) if n > k else np.nan) if small_sample else 1.0
    cov = np.where(known[:, None] & known[None, :], factor * (inner @ meat @ inner), np.nan)
    return cov, f"Newey-West, lag {int(lag)}" + ", prewhitened" * prewhiten + ", n/(n - k)" * small_sample


def _prewhitened(table: Floats, periods: int) -> tuple[Floats, Floats]:
    """Residuals of a first-order vector autoregression without intercept, and D that undoes it."""
    if periods < len(table):
        raise DataError(f"{len(table) - periods} period(s) are missing; prewhitening needs every period.")
    if len(table) < table.shape[1] + 2:
        raise DataError(f"{len(table)} periods are too few to prewhiten {table.shape[1]} columns.")
    norm = np.sqrt((table**2).sum(axis=0))
    scaled = table / np.where(norm > 0, norm, 1.0)
    ahead = np.asarray(np.linalg.lstsq(scaled[:-1], table[1:], rcond=None)[0], dtype=float)
    slope = (ahead / np.where(norm > 0, norm, 1.0)[:, None]).T
    undo = np.asarray(np.linalg.inv(np.eye(len(norm)) - slope), dtype=float)
    return table[1:] - table[:-1] @ slope.T, undo


def serial_diagnostics(
    residual: ArrayLike, lags: int, *, design: ArrayLike | None = None, period: ArrayLike | None = None, fitted: int = 0
) -> SerialDiagnostics:
    """Are residuals that are near in time alike?

    Parameters
    ----------
    residual : (n,), one of each period. lags : how far to look. design : (n, k) of the model, for Breusch and Godfrey.
    period : (n,) whole places in time, all different; None for rows that follow one another.
    fitted : coefficients of the correlation itself (1 for AR(1) errors), taken from the degrees of freedom.

    Raises
    ------
    ParameterError : lags below 1, not below n, or not above `fitted`. DataError : shapes, missing values.

    Notes
    -----
    r_l = sum e_t e_(t-l) / sum e^2, without taking the mean away as R's `acf` would not for residuals of a model with
    an intercept. Durbin-Watson: sum (e_t - e_(t-1))^2 / sum e^2; NaN with gaps. Ljung-Box: n (n + 2) sum r_l^2 / m_l,
    m_l the pairs l apart (n - l without gaps). Breusch-Godfrey: n R^2 of residuals on the design and their own lags,
    0 where there is none. Source: Durbin and Watson 1950; Ljung and Box 1978; Breusch 1978; Godfrey 1978.
    """
    e = np.asarray(residual, dtype=float)
    if e.ndim != 1 or not np.isfinite(e).all():
        raise DataError(f"residual has shape {e.shape}; it must be one known number for each period.")
    if not 1 <= lags < len(e) or lags <= fitted:
        raise ParameterError(f"lags is {lags!r}; it must be from {fitted + 1} to {len(e) - 1}.")
    place = places_of(period, len(e))
    if len(np.unique(place)) < len(e):
        raise DataError("Two residuals have the same period; give each series places of its own, far from the other.")
    series, there = on_grid(e, place)[:, 0], on_grid(np.ones(len(e)), place)[:, 0]
    square = float(e @ e)
    if not square > 0:
        none = np.full(lags, np.nan)
        return SerialDiagnostics(none, *(np.nan, np.nan, lags - fitted, np.nan, np.nan, np.nan), lags, _FLAT)
    from scipy.stats import chi2

    far = range(1, min(lags, len(series) - 1) + 1)
    r = np.array([series[apart:] @ series[:-apart] / square for apart in far])
    pairs = np.array([there[apart:] @ there[:-apart] for apart in far])
    statistic = len(e) * (len(e) + 2) * float((r[pairs > 0] ** 2 / pairs[pairs > 0]).sum())
    df = int((pairs > 0).sum()) - fitted
    gaps = len(series) - len(e)
    watson = float((np.diff(series) ** 2).sum()) / square if not gaps else np.nan
    godfrey = _breusch_godfrey(e, series, place, lags, design)
    note = f"{gaps} period(s) of the span are missing: pairs by time, no Durbin-Watson statistic." if gaps else ""
    return SerialDiagnostics(
        r, watson, statistic, df, float(chi2.sf(statistic, df)), godfrey, float(chi2.sf(godfrey, lags)), lags, note
    )


_FLAT = "The residuals are all zero: nothing to tell a correlation by."


def _breusch_godfrey(e: Floats, series: Floats, place: Ints, lags: int, design: ArrayLike | None) -> float:
    """n R^2 of the residuals on the columns of the model and on their own lags."""
    if design is None:
        return float("nan")
    at = place - place.min()
    before = np.concatenate([np.zeros(lags), series])
    own = np.column_stack([before[at + lags - apart] for apart in range(1, lags + 1)])
    columns = np.column_stack([np.asarray(design, dtype=float), own])
    norm = np.sqrt((columns**2).sum(axis=0))
    scaled = columns / np.where(norm > 0, norm, 1.0)
    if len(e) <= columns.shape[1]:
        return float("nan")
    explained = scaled @ np.linalg.lstsq(scaled, e, rcond=None)[0]
    return len(e) * float(explained @ explained) / float(e @ e)


# --- places in time ----------------------------------------------------------------------------------------------


def places_of(period: ArrayLike | None, n: int) -> Ints:
    """Return whole places in time, 0, 1, ... where none are given; refuse others."""
    if period is None:
        return np.arange(n, dtype=np.int64)
    place = np.asarray(period)
    if place.shape != (n,) or not np.array_equal(place, np.asarray(np.round(place))):
        raise DataError(f"period has shape {place.shape}; it must be {n} whole numbers, one for each row.")
    return place.astype(np.int64)


def on_grid(values: Floats, period: ArrayLike | None) -> Floats:
    """Sum rows into their periods, giving (span, k); a period without rows is 0."""
    table = values[:, None] if values.ndim == 1 else values
    place = places_of(period, len(table))
    first = int(place.min())
    return cluster_sums(table, place - first, int(place.max()) - first + 1)
