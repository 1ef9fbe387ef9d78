"""Intervals under bounds on the difference in trends: of fixed length, and from tests of moment inequalities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clinops.errors import DataError
from clinops.stats.glm import Floats

_FIRST = 0.1  # share of the error spent on the least-favourable first stage, as Andrews, Roth and Pakes advise
_GRID = 1001  # values of the effect looked at before the outermost ones are refined


def shortest_interval(
    beta: Floats, cov: Floats, leads: int, share: Floats, bound: float, level: float
) -> tuple[float, float]:
    """Return the shortest interval of fixed length when the slope of the trend changes by at most bound a period.

    Parameters
    ----------
    beta : (leads + lags,) the earliest lead first, without the reference. share : (lags,) weights of the effects.

    Notes
    -----
    Estimator: share' effects + v' leads with v such that a straight line is taken away. With second differences k_j
    the bias is sum k_j c_j, at most bound x sum |c_j|; the half length s cv(bias / s), cv the quantile of |N(t, 1)|,
    is convex in v and is minimised (Armstrong and Kolesar 2018). bound = 0: the line fitted by generalised least
    squares.
    """
    from scipy.optimize import LinearConstraint, minimize

    back = np.arange(leads, 0, -1.0)
    ahead = np.arange(1.0, len(share) + 1)
    pre, post = cov[:leads, :leads], share @ cov[leads:, leads:] @ share
    cross = cov[:leads, leads:] @ share
    target = float(share @ ahead)
    v = _straight(pre, cross, back, target)
    fixed = float(np.abs(np.maximum(ahead[:, None] - np.arange(len(share)), 0).T @ share).sum())
    bends = np.maximum(back - np.arange(1, leads)[:, None], 0)  # (leads - 1, leads): c_j of the leads is bends @ v

    def half_and_slopes(w: Floats, u: Floats) -> tuple[float, Floats, Floats]:
        spread = float(np.sqrt(w @ pre @ w + 2 * w @ cross + post))
        bias = bound * (u.sum() + fixed)
        quantile, rise = folded_quantile(bias / spread, level)
        toward_w = (quantile - bias / spread * rise) * (pre @ w + cross) / spread
        return spread * quantile, toward_w, np.full(len(u), bound * rise)

    bend = np.abs(bends @ v)
    if bound > 0 and leads > 1:
        size = half_and_slopes(v, bend)[0]

        def objective(x: Floats) -> tuple[float, Floats]:
            value, *slopes = half_and_slopes(x[:leads], x[leads:])
            return value / size, np.concatenate(slopes) / size

        eye = np.eye(leads - 1)
        lines = [LinearConstraint(np.append(back, np.zeros(leads - 1))[None, :], target, target)]
        lines += [LinearConstraint(np.hstack([side * bends, eye]), 0.0, np.inf) for side in (-1, 1)]
        found = minimize(
            objective, np.concatenate([v, bend]), jac=True, constraints=lines, method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )  # fmt: skip
        v = found.x[:leads]
        v = v + back * (target - back @ v) / (back @ back)
        bend = np.abs(bends @ v)
    centre = float(share @ beta[leads:] + v @ beta[:leads])
    half = half_and_slopes(v, bend)[0]
    return centre - half, centre + half


def _straight(pre: Floats, cross: Floats, back: Floats, target: float) -> Floats:
    """Return the weights of least variance among those that take a straight line away."""
    base, along = (np.linalg.solve(pre, one) for one in (cross, back))
    found: Floats = -base + along * (target + back @ base) / (back @ along)
    return found


def folded_quantile(shift: float, level: float) -> tuple[float, float]:
    """Return the quantile of |N(shift, 1)| and its derivative in the shift."""
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    z = float(ndtri(level))
    if shift > 8:  # the other tail is below 1e-15
        return shift + z, 1.0
    top = float(brentq(lambda c: ndtr(c - shift) - ndtr(-c - shift) - level, 0.0, shift + z + 3, xtol=1e-14))
    near, far = np.exp(-((top - shift) ** 2) / 2), np.exp(-((top + shift) ** 2) / 2)
    return top, float((near - far) / (near + far))


def relative_interval(
    beta: Floats, cov: Floats, leads: int, share: Floats, bound: float, level: float
) -> tuple[float, float]:
    """Return the interval when changes after the start are at most bound times the largest change before.

    Notes
    -----
    Were change s of the leads, d_s, with sign +-, the largest, then |share' effects - theta| <= W d_s with
    W = bound x sum over periods of |weights of what follows|: the trends after the start are profiled out exactly,
    and two inequalities are left. They are tested at theta by their larger standardised violation, given which of the
    two it is (truncated normal; Andrews, Roth and Pakes 2023), after a first stage against the least favourable
    critical value. A theta stays if it stays for any s and sign. bound = 0 gives the plain normal interval.
    """
    ahead = np.abs(np.cumsum(share[::-1])).sum() * bound
    changes = np.diff(np.vstack([np.eye(leads), np.zeros(leads)]), axis=0)  # (leads, leads), the reference last
    effect = np.concatenate([np.zeros(leads), share])
    lows, highs = [], []
    for sign in (-1.0, 1.0):
        for change in changes:
            moved = sign * ahead * np.concatenate([change, np.zeros(len(share))])
            for low, high in _kept(beta, cov, effect, moved, level):
                lows.append(low)
                highs.append(high)
    return min(lows), max(highs)


def _kept(beta: Floats, cov: Floats, effect: Floats, moved: Floats, level: float) -> list[tuple[float, float]]:
    """Return the outermost values kept for one change as the largest, or nothing where it cannot be."""
    first, second = effect - moved, -effect - moved
    scale = np.sqrt([first @ cov @ first, second @ cov @ second])
    if not (scale > 0).all():
        raise DataError("The covariance of the event study is not positive definite, so there are no bounds.")
    rho = float(first @ cov @ second / scale[0] / scale[1])
    alpha = 1 - level
    spent = alpha * _FIRST
    worst = least_favourable(rho, 1 - spent)
    left = (alpha - spent) / (1 - spent)
    base = np.array([first @ beta, second @ beta])

    def stays(theta: Floats) -> NDArray:
        z = np.stack([(base[0] - theta) / scale[0], (base[1] + theta) / scale[1]])
        top, other = z.max(axis=0), z.min(axis=0)
        floor = (other - rho * top) / (1 - rho)
        critical = np.maximum(truncated_quantile(1 - left, floor, worst), 0.0)
        return np.asarray((top <= worst) & (top <= critical))

    # Beyond these the first stage rejects.
    ends = base[0] - worst * scale[0], worst * scale[1] - base[1]
    if ends[0] > ends[1]:
        return []
    grid = np.linspace(*ends, _GRID)
    inside = np.flatnonzero(stays(grid))
    if not inside.size:
        return []
    step = grid[1] - grid[0]
    return [(_edge(stays, grid[inside[0]], -step), _edge(stays, grid[inside[-1]], step))]


def _edge(stays: Callable[[Floats], NDArray], inside: float, step: float) -> float:
    """Return where the kept values end, by ever finer looks at the step in which they do."""
    for _ in range(4):
        look = np.linspace(inside, inside + step, 101)
        inside = float(look[max(int(np.argmin(stays(look))) - 1, 0)])
        step /= 100
    return inside


def least_favourable(rho: float, level: float) -> float:
    """Return the quantile of the larger of two standard normals with correlation rho."""
    from scipy.optimize import brentq
    from scipy.special import ndtri
    from scipy.stats import multivariate_normal

    if rho < -1 + 1e-12:
        return float(ndtri((1 + level) / 2))
    pair = multivariate_normal(np.zeros(2), [[1.0, rho], [rho, 1.0]], allow_singular=True)
    low, high = float(ndtri(level)), float(ndtri((1 + level) / 2))
    return float(brentq(lambda c: pair.cdf([c, c]) - level, low - 1e-6, high + 1e-6, xtol=1e-12))


def truncated_quantile(p: float, low: Floats, high: float) -> Floats:
    """Return the p quantile of a standard normal between low and high (its upper tails, which keep their digits)."""
    from scipy.special import ndtr, ndtri

    above = ndtr(-high)
    found: Floats = -ndtri(above + (1 - p) * (ndtr(-np.minimum(low, high)) - above))
    return found
