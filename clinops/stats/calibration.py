"""What do outcomes that cannot be affected say of the others? Empirical calibration by negative controls."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.normal import two_sided, z_value

Floats = NDArray[np.float64]
LEAST_CONTROLS = 20
"""Fewer estimates than this do not tell a spread of systematic error from chance."""


@dataclass(frozen=True)
class SystematicError:
    """The distribution of systematic error that negative controls show, on the log scale.

    Attributes
    ----------
    mean, sd : of the normal distribution; sd 0 where chance alone explains how the estimates differ.
    n : estimates that it rests on. n_left_out : without a finite estimate and standard error.
    log_likelihood : at the maximum.
    expected_absolute : mean absolute systematic error, of a normal distribution folded at 0.
    """

    mean: float
    sd: float
    n: int
    n_left_out: int
    log_likelihood: float
    expected_absolute: float


@dataclass(frozen=True)
class Calibrated:
    """An estimate with systematic error allowed for; on the log scale but for P.

    `estimate`, `std_error`, `conf_low`, `conf_high`, `p_value` are calibrated; `p_uncalibrated` allows for chance only.
    """

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    p_uncalibrated: float


def systematic_error(log_estimates: ArrayLike, std_errors: ArrayLike) -> SystematicError:
    """Fit the distribution of systematic error to negative controls by maximum likelihood.

    Parameters
    ----------
    log_estimates, std_errors : (k,) log ratios of outcomes whose true ratio is 1, with standard errors. Those that are
        not finite (no events in an arm), or have an error of 0 where others have not, are left out and counted.

    Raises
    ------
    DataError : shapes, a negative standard error, or fewer than `LEAST_CONTROLS` usable estimates.

    Notes
    -----
    estimate_i ~ N(mean, sd^2 + se_i^2); the mean is profiled out, the spread searched on (0, the range of the
    estimates). Source: Schuemie et al. 2014 (Stat Med 33:209). Checked against optim in R on the likelihood found by
    numerical integration, and against EmpiricalCalibration's published tests.
    """
    y, s = _usable(log_estimates, std_errors)
    left_out = len(np.atleast_1d(np.asarray(log_estimates))) - len(y)
    if len(y) < LEAST_CONTROLS:
        raise DataError(
            f"Empirical calibration needs at least {LEAST_CONTROLS} negative controls with an estimate; there are "
            f"{len(y)}{f' ({left_out} more without one)' if left_out else ''}. With fewer, show each beside the "
            "outcomes and calibrate nothing."
        )
    return _fit(y, s, left_out)


def calibrate(log_estimate: float, std_error: float, error: SystematicError, *, level: float = 0.95) -> Calibrated:
    """Calibrate one estimate: its P value and interval with systematic error allowed for.

    Parameters
    ----------
    log_estimate, std_error : log ratio and its standard error.
    error : from `systematic_error`.

    Raises
    ------
    ParameterError : level.

    Notes
    -----
    (estimate - mean) +- z sqrt(se^2 + sd^2). P: Schuemie et al. 2014. Interval: Schuemie et al. 2018 (PNAS 115:2571)
    with the error the same at every true effect, which negative controls alone cannot check. NaN stays NaN.
    """
    spread = math.hypot(std_error, error.sd)
    centre, reach = log_estimate - error.mean, z_value(level) * spread
    return Calibrated(
        centre, spread, centre - reach, centre + reach,
        _p(centre, spread), _p(log_estimate, std_error),
    )  # fmt: skip


def leave_one_out(log_estimates: ArrayLike, std_errors: ArrayLike) -> Floats:
    """Calibrate each negative control by the others: their P values should be uniform if the calibration holds.

    Returns
    -------
    (k,) P values; NaN for a control without a finite estimate.

    Raises
    ------
    DataError : as `systematic_error`.
    """
    y, s = _usable(log_estimates, std_errors)
    systematic_error(y, s)
    found = np.full(len(np.atleast_1d(np.asarray(log_estimates))), math.nan)
    keep = np.arange(len(y))
    values = [calibrate(float(y[i]), float(s[i]), _fit(y[keep != i], s[keep != i], 0)).p_value for i in keep]
    found[_finite(log_estimates, std_errors)] = values
    return found


def _finite(log_estimates: ArrayLike, std_errors: ArrayLike) -> NDArray[np.bool_]:
    y, s = (np.atleast_1d(np.asarray(a, dtype=float)) for a in (log_estimates, std_errors))
    if y.shape != s.shape or y.ndim != 1:
        raise DataError(f"log_estimates has shape {y.shape} and std_errors {s.shape}; they must be equal.")
    if (s < 0).any():
        raise DataError("a standard error is negative.")
    usable = np.isfinite(y) & np.isfinite(s)
    # beside others, an estimate without an error would have all the weight where the spread is small
    return usable & (s > 0) if (s[usable] > 0).any() else usable


def _usable(log_estimates: ArrayLike, std_errors: ArrayLike) -> tuple[Floats, Floats]:
    keep = _finite(log_estimates, std_errors)
    y, s = (np.atleast_1d(np.asarray(a, dtype=float)) for a in (log_estimates, std_errors))
    return y[keep], s[keep]


def _fit(y: Floats, s: Floats, left_out: int) -> SystematicError:
    """The maximum over the spread: the best of a grid, refined between its neighbours."""
    from scipy.optimize import minimize_scalar

    widest = float(np.ptp(y)) + float(s.max(initial=0.0))
    if widest == 0:
        return SystematicError(float(y[0]), 0.0, len(y), left_out, math.inf, abs(float(y[0])))
    lowest = 0.0 if (s > 0).all() else 1e-9 * widest
    grid = np.concatenate([[lowest], widest * np.geomspace(1e-4, 1.0, 60)])
    values = np.array([_negative(t, y, s) for t in grid])
    at = int(values.argmin())
    ends = grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)]
    found = minimize_scalar(_negative, bounds=ends, args=(y, s), method="bounded", options={"xatol": 1e-12 * widest})
    sd = float(found.x) if found.fun < values[at] else float(grid[at])
    mean = _centre(sd, y, s)
    return SystematicError(mean, sd, len(y), left_out, -_negative(sd, y, s), _folded(mean, sd))


def _centre(sd: float, y: Floats, s: Floats) -> float:
    weight = 1 / (sd**2 + s**2)
    return float(weight @ y / weight.sum())


def _negative(sd: float, y: Floats, s: Floats) -> float:
    variance = sd**2 + s**2
    return float(0.5 * (np.log(2 * math.pi * variance) + (y - _centre(sd, y, s)) ** 2 / variance).sum())


def _folded(mean: float, sd: float) -> float:
    if sd == 0:
        return abs(mean)
    return sd * math.sqrt(2 / math.pi) * math.exp(-0.5 * (mean / sd) ** 2) + mean * math.erf(mean / sd / math.sqrt(2))


def _p(value: float, error: float) -> float:
    return two_sided(value / error) if error > 0 and math.isfinite(value) else math.nan
