"""Linear mixed models: clusters with an intercept, and if wanted a slope, of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums, independent_columns
from clinops.stats.linear import inference

MIXED_METHODS = ("reml", "ml")
MIXED_DF = ("satterthwaite", "clusters", "normal")
_NOTHING = 1e-13  # of the largest outcome: residuals below it are rounding
_FAR = 1e4  # spread between clusters over that within: a step beyond it leaves the level no digits
_ALIKE = 1e-9  # of the largest residual: what varies less within clusters does not vary


@dataclass(frozen=True)
class MixedFit:
    """A fitted mixed model; k columns.

    Attributes
    ----------
    coef, std_error, conf_low, conf_high, p_value, df : (k,); NaN for aliased columns. cov : (k, k).
    sd_intercept, sd_slope : of the clusters' own intercepts and slopes (NaN without). correlation : of the two.
    sigma : residual standard deviation. loglik : restricted for "reml". icc : share of variance between clusters at
        slope 0. method : as asked. n, n_clusters : rows, clusters. df_kind, conf_level : of the intervals.
    note : "" or what a reader must know.
    """

    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    df: Floats
    cov: Floats
    sd_intercept: float
    sd_slope: float
    correlation: float
    sigma: float
    loglik: float
    icc: float
    method: str
    n: int
    n_clusters: int
    df_kind: str
    conf_level: float
    note: str


@dataclass(frozen=True)
class _Sums:
    """All that the likelihood needs: sums of products, whole and by cluster; Z are the columns with random effects."""

    XX: Floats
    Xy: Floats
    yy: float
    ZZ: Floats
    ZX: Floats
    Zy: Floats
    n: int
    restricted: bool


def mixed_model(
    X: ArrayLike,
    y: ArrayLike,
    cluster: ArrayLike,
    *,
    slope: ArrayLike | None = None,
    method: str = "reml",
    df: str = "satterthwaite",
    conf_level: float = 0.95,
) -> MixedFit:
    """Regress a normal outcome on columns where each cluster has a level, and if wanted a slope, of its own.

    Answers: how does the outcome change with the columns within and between clusters that differ at random?

    Parameters
    ----------
    X : (n, k) with a column of ones. y : (n,). cluster : (n,) ids.
    slope : (n,) a variable whose coefficient varies by cluster, correlated with the intercept.
    method : "reml" or "ml" (to compare models of different columns; too small variances).
    df : "satterthwaite", "clusters" (clusters - columns) or "normal".

    Returns
    -------
    MixedFit. A variance estimated as 0 is said; degrees of freedom are then rows (or clusters, with a slope) less
    columns. Residuals that do not vary, or not within clusters (one row each): NaN errors and a note.

    Raises
    ------
    DefinitionError : unknown option. DataError : shapes, missing values, fewer rows than parameters, one cluster.

    Notes
    -----
    y = X b + Z u + e, u normal by cluster, e independent. The profiled (restricted) deviance in the relative Cholesky
    factor of the random effects is minimised (Bates and others 2015); errors take the variances as known;
    Satterthwaite 1946 as in Kuznetsova and others 2017. Equal to R `nlme`, `lme4` and `lmerTest`.
    """
    for kind, given, allowed in (
        ("method of a mixed model", method, MIXED_METHODS), ("kind of degrees of freedom", df, MIXED_DF),
    ):  # fmt: skip
        if given not in allowed:
            raise DefinitionError(unknown(kind, given, allowed))
    design, outcome, code, Z = _checked(X, y, cluster, slope)
    keep = independent_columns(design)[0]
    k, groups = len(keep), int(code.max()) + 1
    if len(outcome) <= k + 1 or groups < 2:
        raise DataError(f"{len(outcome)} rows in {groups} cluster(s) cannot tell {k} coefficients and the variances.")
    # Products of what least squares leaves lose no digits to a level that is large beside the spread.
    start = np.linalg.lstsq(design[:, keep], outcome, rcond=None)[0]
    rest = outcome - design[:, keep] @ start
    rest[np.abs(rest) <= _NOTHING * np.abs(outcome).max()] = 0.0
    sums = _sum_up(design[:, keep], rest, Z, code, groups, method == "reml")
    note = _without_error(design[:, keep], rest, Z, code, sums)
    theta = np.zeros(Z.shape[1] * (Z.shape[1] + 1) // 2) if note else _optimum(sums, Z.shape[1])
    deviance, beta, left, inverse = _profiled(sums, theta)
    sigma2 = left / (sums.n - k if sums.restricted else sums.n)
    factor = _factor(theta, Z.shape[1])
    G = factor @ factor.T * sigma2
    dfs, said = np.full(k, np.inf if df == "normal" else float(groups - k)), note
    if note:
        G, sigma2, deviance = np.full_like(G, np.nan), 0.0 if not rest.any() else np.nan, np.nan
    elif (np.abs(np.diag(factor)) < 1e-6).any():
        said = "A variance between clusters is estimated as 0."
        if df == "satterthwaite" and Z.shape[1] == 1:
            dfs[:] = len(outcome) - k
    elif df == "satterthwaite":
        dfs = _satterthwaite(sums, theta, sigma2)
    cov = inverse * sigma2
    wide, full = np.full(design.shape[1], np.nan), np.full((design.shape[1],) * 2, np.nan)
    coef, used = wide.copy(), wide.copy()
    coef[keep], used[keep], full[np.ix_(keep, keep)] = start + beta, dfs, np.nan if note else cov
    each = [inference(coef[[j]], full[[j], [j]], used[j], "t", conf_level)[:4] for j in range(len(coef))]
    error, low, high, p = (np.array([one[i][0] for one in each]) for i in range(4))
    spread = np.sqrt(np.diag(G))
    two = len(spread) > 1
    return MixedFit(
        coef, error, low, high, p, used, full, float(spread[0]), float(spread[1]) if two else np.nan,
        float(G[0, 1] / spread.prod()) if two and spread.all() else np.nan, float(np.sqrt(sigma2)), -deviance / 2,
        float(G[0, 0] / (G[0, 0] + sigma2)) if sigma2 > 0 else np.nan, method, len(outcome), groups, df, conf_level,
        said,
    )  # fmt: skip


def _checked(
    X: ArrayLike, y: ArrayLike, cluster: ArrayLike, slope: ArrayLike | None
) -> tuple[Floats, Floats, Ints, Floats]:
    design, outcome, ids = np.asarray(X, dtype=float), np.asarray(y, dtype=float), np.asarray(cluster)
    if design.ndim != 2 or outcome.shape != (len(design),) or ids.shape != outcome.shape:
        raise DataError(
            f"X has shape {design.shape}, y {outcome.shape} and cluster {ids.shape}; give rows by columns, rows, rows."
        )
    columns = [np.ones(len(outcome))]
    if slope is not None:
        columns.append(np.asarray(slope, dtype=float))
        if columns[1].shape != outcome.shape:
            raise DataError(f"slope has shape {columns[1].shape}; it must be {outcome.shape} as y is.")
    Z = np.column_stack(columns)
    bad = int((~np.isfinite(np.column_stack([design, outcome, Z]))).any(axis=1).sum())
    if bad:
        raise DataError(f"{bad} rows hold missing or infinite values; set them aside.")
    return design, outcome, np.unique(ids, return_inverse=True)[1].astype(np.int64), Z


def _sum_up(X: Floats, y: Floats, Z: Floats, code: Ints, groups: int, restricted: bool) -> _Sums:
    q, k = Z.shape[1], X.shape[1]

    def by_cluster(columns: Floats) -> Floats:
        pairs = (Z[:, :, None] * columns[:, None, :]).reshape(len(Z), -1)
        return cluster_sums(pairs, code, groups).reshape(groups, q, columns.shape[1])

    return _Sums(
        X.T @ X, X.T @ y, float(y @ y), by_cluster(Z), by_cluster(X).reshape(groups, q, k),
        by_cluster(y[:, None]), len(y), restricted,
    )  # fmt: skip


def _without_error(X: Floats, rest: Floats, Z: Floats, code: Ints, sums: _Sums) -> str:
    """Say why the data tell no residual variance, with which there is no error ("" if they do)."""
    if not rest.any():
        return "Residuals do not vary: no error."
    inverse = np.linalg.pinv(sums.ZZ, hermitian=True)
    own = np.concatenate([sums.ZX, sums.Zy], axis=2)
    within = np.column_stack([X, rest]) - np.einsum("nq,nqr,nrj->nj", Z, inverse[code], own[code])
    left = within[:, -1] - within[:, :-1] @ np.linalg.lstsq(within[:, :-1], within[:, -1], rcond=1e-10)[0]
    if np.abs(left).max() > _ALIKE * np.abs(rest).max():
        return ""
    return "Nothing varies within clusters: their variance cannot be told from that of rows, so there is no error."


def _factor(theta: Floats, q: int) -> Floats:
    """Return the lower triangle that the parameters fill by columns."""
    factor = np.zeros((q, q))
    factor[np.triu_indices(q)[::-1]] = theta
    return factor


def _reduced(sums: _Sums, theta: Floats) -> tuple[float, Floats, Floats, float]:
    """Return the log determinant of the rows' covariance over sigma^2, and X'V^-1 X, X'V^-1 y, y'V^-1 y."""
    q = sums.ZZ.shape[1]
    factor = _factor(theta, q)
    inner = np.eye(q) + factor.T @ sums.ZZ @ factor
    root = np.linalg.cholesky(inner)
    parts = np.linalg.solve(root, factor.T @ np.concatenate([sums.ZX, sums.Zy], axis=2))
    zx, zy = parts[:, :, :-1], parts[:, :, -1]
    log_det = 2 * float(np.log(np.diagonal(root, axis1=1, axis2=2)).sum())
    return (
        log_det, sums.XX - np.einsum("gqi,gqj->ij", zx, zx), sums.Xy - np.einsum("gqi,gq->i", zx, zy),
        sums.yy - float((zy**2).sum()),
    )  # fmt: skip


def _profiled(sums: _Sums, theta: Floats) -> tuple[float, Floats, float, Floats]:
    """Return the deviance with coefficients and sigma at their best, these coefficients, their sum of squares."""
    log_det, XVX, XVy, yVy = _reduced(sums, theta)
    inverse: Floats = np.asarray(np.linalg.inv(XVX), dtype=float)
    beta = inverse @ XVy
    left = max(yVy - float(beta @ XVy), 0.0)
    n = sums.n - len(beta) if sums.restricted else sums.n
    deviance = log_det + n * (1 + np.log(2 * np.pi * max(left, 1e-300) / n))
    if sums.restricted:
        deviance += float(np.linalg.slogdet(XVX)[1])
    return float(deviance), beta, left, inverse


def _optimum(sums: _Sums, q: int) -> Floats:
    """Minimise the profiled deviance; scales of slopes are those of their column."""
    from scipy.optimize import minimize

    size = np.sqrt(np.diagonal(sums.ZZ, axis1=1, axis2=2).sum(axis=0) / sums.n)
    size = np.where(size > 0, size, 1.0)
    rows, columns = np.triu_indices(q)[::-1]
    unit = 1 / size[rows]
    diagonal = rows == columns

    def scaled(t: Floats) -> float:
        return _profiled(sums, t * unit)[0]

    free = [(0.0 if one else -_FAR, _FAR) for one in diagonal]
    exact = {"ftol": 1e-15, "gtol": 1e-8}
    found = [
        minimize(scaled, np.where(diagonal, first, 0.0), method="L-BFGS-B", jac="3-point", bounds=free, options=exact)
        for first in (0.1, 1.0)
    ]
    return np.asarray(min(found, key=lambda one: one.fun).x * unit)


def _satterthwaite(sums: _Sums, theta: Floats, sigma2: float) -> Floats:
    """Return 2 f^2 / (g' A g) for each coefficient: f its variance, g its slopes, A the variance of the parameters."""
    at = np.append(theta, np.sqrt(sigma2))

    def deviance(p: Floats) -> float:
        log_det, XVX, XVy, yVy = _reduced(sums, p[:-1])
        n = sums.n - len(XVX) if sums.restricted else sums.n
        left = yVy - float(XVy @ np.linalg.solve(XVX, XVy))
        extra = float(np.linalg.slogdet(XVX)[1]) if sums.restricted else 0.0
        return log_det + extra + n * float(np.log(2 * np.pi * p[-1] ** 2)) + left / p[-1] ** 2

    def variances(p: Floats) -> Floats:
        return np.diag(np.linalg.inv(_reduced(sums, p[:-1])[1])) * p[-1] ** 2

    # A step of each row of the factor in its own length: small parameters beside large ones lose no digits.
    q = sums.ZZ.shape[1]
    length = np.append(np.linalg.norm(_factor(theta, q), axis=1)[np.triu_indices(q)[::-1][0]], at[-1])
    step = np.diag(4e-4 * np.maximum(length, 1e-4))
    count = len(at)
    hessian = np.empty((count, count))
    for i in range(count):
        for j in range(i + 1):
            a, b = step[i], step[j]
            cross = deviance(at + a + b) - deviance(at + a - b) - deviance(at - a + b) + deviance(at - a - b)
            hessian[i, j] = hessian[j, i] = cross / (4 * a.sum() * b.sum())
    slopes = np.stack([(variances(at + one) - variances(at - one)) / (2 * one.sum()) for one in step])
    if np.linalg.eigvalsh(hessian)[0] <= 0:
        return np.full(slopes.shape[1], np.nan)
    spread = np.einsum("ic,ij,jc->c", slopes, 2 * np.linalg.inv(hessian), slopes)
    return np.asarray(np.where(spread > 0, 2 * variances(at) ** 2 / spread, np.nan))
