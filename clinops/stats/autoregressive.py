"""Linear regression whose errors follow one another: AR(1), by maximum likelihood or restricted likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, independent_columns
from clinops.stats.serial import places_of

METHODS = ("ML", "REML")
_GRID = np.concatenate([[-0.999, -0.99], np.linspace(-0.95, 0.95, 39), [0.99, 0.999]])


@dataclass(frozen=True)
class Ar1Fit:
    """A regression with AR(1) errors; n rows, k columns.

    Attributes
    ----------
    coef, std_error : (k,); NaN for a column that earlier ones determine. cov : (k, k).
    rho, rho_error : correlation of neighbouring periods; the error only by ML.
    variance : of an error. innovation_variance : of what is new in each period, variance (1 - rho^2).
    log_likelihood : by `method`. residual : (n,) y - X coef, in the order given.
    innovation : (n,) standardised by rho and the distance to the row before, about white. n, df_residual. note.
    """

    coef: Floats
    std_error: Floats
    cov: Floats
    rho: float
    rho_error: float
    variance: float
    innovation_variance: float
    log_likelihood: float
    residual: Floats
    innovation: Floats
    n: int
    df_residual: int
    method: str
    note: str


def ar1_regression(X: ArrayLike, y: ArrayLike, *, period: ArrayLike | None = None, method: str = "REML") -> Ar1Fit:
    """How does the mean of a series change with columns, when its errors carry over from period to period?

    Parameters
    ----------
    X : (n, k) with a column of ones. y : (n,). period : (n,) whole places in time, all different, in any order; None
        for rows that follow one another. method : "REML" or "ML".

    Raises
    ------
    DefinitionError : the method. DataError : shapes, missing values, two rows of one period, n not above k.

    Notes
    -----
    corr(e_s, e_t) = rho^|s - t|, so a missing period is a longer step. The likelihood of rho, all else profiled out, is
    searched on a grid and its derivative brought to zero. Covariance: ML, the inverse of the observed information of
    (coef, rho); REML, variance (X' R^-1 X)^-1 with RSS / (n - k). REML's log-likelihood is without log |X' X| / 2.
    Source: Beach and MacKinnon 1978; Harville 1974; R's `arima` (ML) and nlme's `gls` (REML).
    """
    if method not in METHODS:
        raise DefinitionError(unknown("method", method, METHODS))
    design, outcome, place = _checked(X, y, period)
    order = np.argsort(place, kind="stable")
    keep, aliased = independent_columns(design)
    narrow = design[:, keep]
    n, k = narrow.shape
    if n <= k:
        raise DataError(f"{n} periods cannot determine {k} columns and their errors; use fewer columns.")
    norm = np.sqrt((narrow**2).sum(axis=0))
    units = 2 * float(np.log(norm).sum())
    profile = _Profile((narrow / norm)[order], outcome[order], np.diff(place[order]), method == "REML", units)
    exact = profile.at(0.0).rss <= 1e-24 * max(float(outcome @ outcome), 1e-300)
    rho, inside = (np.nan, False) if exact else _best(profile)
    at = profile.at(0.0 if exact else rho)
    freedom = n - k if method == "REML" else n
    variance = at.rss / freedom
    narrow_cov, rho_error = np.full((k, k), np.nan), np.nan
    if inside:
        narrow_cov, rho_error = profile.covariance(rho, variance)
    coef, cov = np.full(design.shape[1], np.nan), np.full((design.shape[1],) * 2, np.nan)
    coef[keep] = at.beta / norm
    cov[np.ix_(keep, keep)] = narrow_cov / np.outer(norm, norm)
    innovation = np.empty(n)
    innovation[order] = at.white
    return Ar1Fit(
        coef, np.sqrt(np.diag(cov)), cov, rho, rho_error, variance, variance * (1 - rho**2),
        np.nan if exact else profile.log_likelihood(rho), outcome - narrow @ coef[keep], innovation, n, n - k, method,
        _notes(aliased.tolist(), exact, inside),
    )  # fmt: skip


@dataclass(frozen=True)
class _At:
    """The regression at one rho: coefficients, residuals as given and whitened, and their sum of squares."""

    beta: Floats
    raw: Floats
    white: Floats
    rss: float
    gram: Floats


@dataclass(frozen=True)
class _Profile:
    """The likelihood of rho for rows in the order of time; gap : (n - 1,) periods to the row before.

    X has columns of length one; units : what REML's log |X' R^-1 X| lost by that.
    """

    X: Floats
    y: Floats
    gap: Floats
    restricted: bool
    units: float

    def at(self, rho: float) -> _At:
        a = rho**self.gap
        scale = 1 / np.sqrt(1 - a**2)
        table = np.column_stack([self.X, self.y])
        white = np.vstack([table[:1], (table[1:] - a[:, None] * table[:-1]) * scale[:, None]])
        columns, target = white[:, :-1], white[:, -1]
        beta = np.asarray(np.linalg.lstsq(columns, target, rcond=None)[0], dtype=float)
        left = target - columns @ beta
        return _At(beta, self.y - self.X @ beta, left, float(left @ left), columns.T @ columns)

    def log_likelihood(self, rho: float) -> float:
        found = self.at(rho)
        n = len(self.y) - self.X.shape[1] * self.restricted
        value = n * (np.log(2 * np.pi * found.rss / n) + 1) + float(np.log1p(-(rho ** (2 * self.gap))).sum())
        if self.restricted:
            value += float(np.linalg.slogdet(found.gram)[1]) + self.units
        return float(-value / 2)

    def slope(self, rho: float) -> float:
        """Derivative of the profile log-likelihood; the coefficients are at their best, so they add nothing."""
        found = self.at(rho)
        a, w, by_a, by_rho = self._chain(rho)
        u, before = found.raw[1:] - a * found.raw[:-1], found.raw[:-1]
        rss = float(by_rho @ (by_a * u**2 - 2 * w * u * before))
        n = len(self.y) - self.X.shape[1] * self.restricted
        value = -n / 2 * rss / found.rss + float(by_rho @ (a * w))
        if self.restricted:
            z, s = self.X[1:] - a[:, None] * self.X[:-1], self.X[:-1]
            cross = (z * (by_rho * w)[:, None]).T @ s
            change = (z * (by_rho * by_a)[:, None]).T @ z - cross - cross.T
            value -= 0.5 * float(np.trace(np.linalg.solve(found.gram, change)))
        return value

    def _chain(self, rho: float) -> tuple[Floats, Floats, Floats, Floats]:
        """a = rho^gap, w = 1 / (1 - a^2), dw / da and da / d rho."""
        a = rho**self.gap
        w = 1 / (1 - a**2)
        return a, w, 2 * a * w**2, self.gap * rho ** (self.gap - 1)

    def covariance(self, rho: float, variance: float) -> tuple[Floats, float]:
        """Covariance of the coefficients and the error of rho (NaN by REML)."""
        found = self.at(rho)
        if self.restricted:
            return np.asarray(variance * np.linalg.inv(found.gram), dtype=float), np.nan
        inverse = np.asarray(np.linalg.inv(self._information(rho, found)), dtype=float)
        return inverse[1:, 1:], float(np.sqrt(inverse[0, 0]))

    def _information(self, rho: float, found: _At) -> Floats:
        """Observed information of (rho, coefficients), the variance profiled out."""
        n = len(self.y)
        a, w, by_a, by_rho = self._chain(rho)
        again = self.gap * (self.gap - 1) * rho ** np.maximum(self.gap - 2, 0.0)
        twice = 2 * w**2 + 8 * a**2 * w**3
        before, u = found.raw[:-1], found.raw[1:] - a * found.raw[:-1]
        z, s = self.X[1:] - a[:, None] * self.X[:-1], self.X[:-1]
        q_a = by_a * u**2 - 2 * w * u * before
        q_aa = twice * u**2 - 4 * by_a * u * before + 2 * w * before**2
        q_r, q_rr = float(by_rho @ q_a), float(by_rho**2 @ q_aa + again @ q_a)
        q_br = -2 * ((by_rho * (by_a * u - w * before)) @ z - (by_rho * w * u) @ s)
        det_rr = float(by_rho**2 @ (-2 * w - 4 * a**2 * w**2) + again @ (-2 * a * w))
        corner = n / 2 * (q_rr / found.rss - (q_r / found.rss) ** 2) + det_rr / 2
        side = n / 2 * q_br / found.rss
        return np.block([[np.array([[corner]]), side[None]], [side[:, None], n * found.gram / found.rss]])


def _best(profile: _Profile) -> tuple[float, bool]:
    """Return the rho of the highest likelihood, and whether it lies inside -1 to 1."""
    from scipy.optimize import brentq, minimize_scalar

    heights = [profile.log_likelihood(float(rho)) for rho in _GRID]
    top = int(np.argmax(heights))
    if top in (0, len(_GRID) - 1):
        return float(_GRID[top]), False
    low, high = float(_GRID[top - 1]), float(_GRID[top + 1])
    if profile.slope(low) > 0 > profile.slope(high):
        return float(brentq(profile.slope, low, high, xtol=1e-14, rtol=1e-14)), True
    found = minimize_scalar(lambda rho: -profile.log_likelihood(rho), bounds=(low, high), method="bounded")
    return float(found.x), True


def _checked(X: ArrayLike, y: ArrayLike, period: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    design, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if design.ndim != 2 or outcome.shape != (len(design),):
        raise DataError(f"X has shape {design.shape} and y {outcome.shape}; X must be (rows, columns) and y (rows,).")
    if not np.isfinite(design).all() or not np.isfinite(outcome).all():
        raise DataError("X or y hold missing or infinite values; leave those periods out: the gap is borne in mind.")
    place = places_of(period, len(outcome))
    if len(np.unique(place)) < len(place):
        raise DataError("Two rows have the same period; AR(1) errors are of one series.")
    return design, outcome, place.astype(float)


def _notes(aliased: list[int], exact: bool, inside: bool) -> str:
    notes = []
    if aliased:
        notes.append(f"Column(s) {aliased} are linear combinations of earlier ones and were left out.")
    if exact:
        notes.append("The columns fit the series exactly: there are no errors to correlate.")
    elif not inside:
        notes.append("The likelihood of rho rises to the edge, -1 or 1: no errors can be given.")
    return " ".join(notes)
