"""Generalised linear models with a sandwich of our own, equal to R's `sandwich` (expected information)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm_families import Family, Floats, Ints, expit, family_named

__all__ = [
    "Floats",
    "GlmFit",
    "Ints",
    "cluster_sums",
    "clustered_meat",
    "expit",
    "glm",
    "gram",
    "independent_columns",
    "information_inverse",
    "mean_and_slope",
    "robust_cov",
    "solve_glm",
]

_MAX_ITERATIONS = 100
_STEP_SMALL = 1e-10  # largest change of the linear predictor's unit-scaled coefficients at convergence
# A coefficient that still moves by this much when the deviance stands still, and moves somebody's linear predictor as
# far, has no finite MLE. Coefficients that move against each other alone are rounding (a mean far above its spread).
_STEP_DRIFT = 1e-3
_ALIASED = 1e-7  # R's `qr` tolerance: a column this close to the span of earlier ones carries no information
_INDEPENDENT = 0.05  # a column of length 1 that keeps this much beside those before it is far from aliased
_BLOCK = 1 << 18  # numbers of a matrix handled at a time, so that what is made of them stays in a processor's cache
_SE_KINDS = ("model", "HC0", "HC1", "HC3")


@dataclass(frozen=True)
class GlmFit:
    """A fitted generalised linear model; k columns, n rows.

    Attributes
    ----------
    coef, std_error : (k,); NaN for a column aliased by earlier ones; the SE is NaN where no finite MLE exists.
    cov : (k, k), of the kind named by `se_kind`.
    bread : (k, k), inverse of the expected information at dispersion 1; NaN at aliased columns.
    scores : (n, k), each row's contribution to the score equations at dispersion 1; 0 at aliased columns.
    leverage : (n,), diagonal of the weighted hat matrix.
    eta, fitted : (n,), linear predictor (offset included) and mean.
    dispersion : Pearson; 1 for binomial, probit, poisson and negative binomial.
    deviance : weighted. df_residual : rows with weight minus estimated coefficients.
    se_kind : "model (expected information)", "robust HC1", "CR1 clustered", ...
    note : what a reader must know ("" if nothing).
    """

    family: str
    coef: Floats
    std_error: Floats
    cov: Floats
    bread: Floats
    scores: Floats
    leverage: Floats
    eta: Floats
    fitted: Floats
    dispersion: float
    deviance: float
    n: int
    df_residual: int
    iterations: int
    converged: bool
    se_kind: str
    note: str

    @property
    def aliased(self) -> Ints:
        """Columns (by index) that are linear combinations of earlier ones."""
        return np.flatnonzero(np.isnan(np.diag(self.bread))).astype(np.int64)


def glm(
    X: ArrayLike,
    y: ArrayLike,
    family: str,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    start: ArrayLike | None = None,
    se: str = "HC1",
    power: float = 1.5,
    theta: float | None = None,
) -> GlmFit:
    """Fit a generalised linear model by iteratively reweighted least squares.

    Answers: how does the mean of an outcome change with the columns of X, with what uncertainty?

    Parameters
    ----------
    X : (n, k) design matrix; include a column of ones if an intercept is wanted.
    y : (n,) outcome: any number (gaussian, identity link), 0..1 (binomial, logit; probit), > 0 (gamma, log),
        >= 0 (the others, log).
    family : "gaussian", "binomial", "probit", "poisson", "quasipoisson" (Poisson with the Pearson dispersion in
        the model's standard errors), "gamma", "tweedie" (variance mu^power) or "negative binomial" (theta given).
    weights : (n,) case weights, >= 0. offset : (n,) added to the linear predictor (log person-time).
    cluster : (n,) ids; given, the standard errors are CR1 clustered whatever `se` says.
    start : (k,) starting coefficients. se : "model", "HC0", "HC1" or "HC3".
    power : of a Tweedie variance, between 1 and 2. theta : of a negative binomial variance, mu + mu^2 / theta.

    Returns
    -------
    GlmFit. Aliased columns get NaN (as R's NA) and a note; separation gets a note naming the columns
    and NaN standard errors for them.

    Raises
    ------
    DefinitionError : an unknown family or standard error. DataError : shapes that differ, missing or
    impossible values, fewer rows than columns that can be estimated.

    Notes
    -----
    Source: McCullagh and Nelder 1989; sandwich: Zeileis 2006, R `sandwich` (expected information, so a
    gamma model with a log link differs from packages that use the observed information); HC1 = HC0 n/(n-k);
    CR1 = G/(G-1) (n-1)/(n-k). Checked at 1e-6 against R on the RAND Health Insurance Experiment.
    """
    chosen = family_named(family, power=power, theta=theta)
    if se not in _SE_KINDS:
        raise DefinitionError(unknown("kind of standard error", se, _SE_KINDS))
    design, outcome, prior, shift = _checked(X, y, chosen, weights, offset)
    found = solve_glm(design, outcome, chosen, prior, shift, start)
    keep, drifting = found.kept, found.drifting
    fit = _assemble(design, outcome, prior, shift, chosen, keep, found.coef)
    note = _notes(found.aliased, drifting, family)
    fit = replace(fit, iterations=found.iterations, converged=not drifting.size, note=note)
    cov, kind = robust_cov(fit, se, cluster, weights=prior)
    lost = np.isin(np.arange(design.shape[1]), drifting)
    cov = np.where(lost[:, None] | lost[None, :], np.nan, cov)
    return replace(fit, cov=cov, std_error=_root_diagonal(cov), se_kind=kind)


@dataclass(frozen=True)
class Solution:
    """Maximum-likelihood coefficients (m,) of the columns that were kept (m,), and what the search met.

    aliased : columns that earlier ones span. drifting : kept columns without a finite estimate. iterations : used.
    """

    coef: Floats
    kept: Ints
    aliased: Ints
    drifting: Ints
    iterations: int


def solve_glm(
    design: Floats, y: Floats, family: Family, weights: Floats, offset: Floats, start: ArrayLike | None = None
) -> Solution:
    """Find the coefficients alone, of inputs already checked; no matrix as large as the design is made but a copy
    where columns or rows have to be left out.

    Raises
    ------
    DataError : fewer rows with weight than columns that can be estimated.
    """
    counted = weights > 0
    keep, aliased = independent_columns(design if counted.all() else design[counted])
    n, k = int(np.count_nonzero(counted)), len(keep)
    if k == 0 or n < k:
        raise DataError(f"{n} rows with a positive weight cannot determine {k} coefficients; give more rows.")
    first = None if start is None else np.asarray(start, dtype=float)[keep]
    narrow = design if k == design.shape[1] else design[:, keep]
    beta, iterations, drifting = _irls(narrow, y, weights, offset, family, first)
    return Solution(beta, keep, aliased, keep[drifting], iterations)


def gram(X: Floats, weights: Floats, scale: Floats | None = None) -> Floats:
    """(k, k) cross-product X' diag(weights) X of the columns, divided by `scale` (k,), a block of rows at a time."""
    total = np.zeros((X.shape[1], X.shape[1]))
    size = max(_BLOCK // max(X.shape[1], 1), 1)
    for begin in range(0, len(X), size):
        block = X[begin : begin + size] if scale is None else X[begin : begin + size] / scale
        total += (block * weights[begin : begin + size, None]).T @ block
    return total


def information_inverse(X: Floats, information: Floats) -> Floats:
    """(k, k) inverse of X' diag(information) X, through the QR decomposition where columns are nearly dependent."""
    whole = gram(X, information)
    scale = np.sqrt(np.diag(whole))
    scale = np.where(scale > 0, scale, 1.0)
    try:
        lower = np.linalg.cholesky(whole / np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return _bread(X * np.sqrt(information)[:, None])[0]
    if not np.diag(lower).min(initial=1.0) > _INDEPENDENT:
        return _bread(X * np.sqrt(information)[:, None])[0]
    inverse = np.asarray(np.linalg.pinv(lower.T, rcond=1e-15), dtype=float)
    return np.asarray((inverse @ inverse.T) / np.outer(scale, scale))


def mean_and_slope(eta: Floats, family: str) -> tuple[Floats, Floats]:
    """Return the mean at a linear predictor and its derivative, for a family named as in `glm`."""
    chosen = family_named(family, theta=1.0)  # neither the power nor theta enters the mean
    mean = chosen.mean(eta)
    return mean, chosen.slope(eta, mean)


def robust_cov(
    fit: GlmFit, se: str = "HC1", cluster: ArrayLike | None = None, *, weights: ArrayLike | None = None
) -> tuple[Floats, str]:
    """Return (k, k) covariance of the coefficients and the name of its kind.

    `weights` only tells which rows count (weight > 0); the scores already carry them.
    """
    counted = np.ones(len(fit.eta), bool) if weights is None else np.asarray(weights, dtype=float) > 0
    n, k = int(counted.sum()), int(np.isfinite(np.diag(fit.bread)).sum())
    if cluster is not None:
        meat, groups = clustered_meat(fit.scores[counted], np.asarray(cluster)[counted])
        factor = groups / (groups - 1) * (n - 1) / (n - k) if groups > 1 and n > k else np.nan
        return factor * _sandwich(fit.bread, meat), "CR1 clustered"
    if se == "model":
        return fit.bread * fit.dispersion, "model (expected information)"
    scores = fit.scores
    if se == "HC3":
        gap = 1 - fit.leverage
        scores = scores / np.where(gap > 1e-12, gap, np.nan)[:, None]
        scores = np.where(fit.scores == 0, 0.0, scores)
    factor = (n / (n - k) if n > k else np.nan) if se == "HC1" else 1.0
    return factor * _sandwich(fit.bread, scores.T @ scores), f"robust {se}"


def clustered_meat(contributions: Floats, cluster: NDArray) -> tuple[Floats, int]:
    """Sum (n, k) contributions within clusters; return their (k, k) cross-product and how many clusters."""
    ids, code = np.unique(cluster, return_inverse=True)
    sums = cluster_sums(contributions, code, len(ids))
    return sums.T @ sums, len(ids)


def cluster_sums(contributions: Floats, code: NDArray, groups: int) -> Floats:
    """Sum the rows of (n, k) `contributions` by `code` in 0..groups-1, giving (groups, k)."""
    columns = [np.bincount(code, weights=column, minlength=groups) for column in contributions.T]
    return np.stack(columns, axis=1) if columns else np.zeros((groups, 0))


def independent_columns(design: Floats) -> tuple[Ints, Ints]:
    """Split columns into those that stand on their own and those aliased by earlier ones (R's rule, 1e-7)."""
    keep = np.arange(design.shape[1])
    if _far_from_dependent(design):
        return keep.astype(np.int64), np.zeros(0, np.int64)
    while keep.size:
        block = design[:, keep]
        norm = np.sqrt((block**2).sum(axis=0))
        diagonal = np.zeros(keep.size)
        upper = _triangle(block / np.where(norm > 0, norm, 1.0))
        rows = min(upper.shape)
        diagonal[:rows] = np.abs(np.diag(upper))
        bad = np.flatnonzero((diagonal < _ALIASED) | (norm == 0))
        if not bad.size:
            break
        # one at a time: a diagonal after an aliased column is measured against a spurious direction
        keep = np.delete(keep, bad[0])
    aliased = np.setdiff1d(np.arange(design.shape[1]), keep)
    return keep.astype(np.int64), aliased.astype(np.int64)


def _far_from_dependent(design: Floats) -> bool:
    """Whether the columns' cross-product alone shows that each keeps much beside those before it."""
    norm = np.sqrt(np.einsum("ij,ij->j", design, design))
    if not design.size or not (norm > 0).all() or len(design) < design.shape[1]:
        return False
    try:
        lower = np.linalg.cholesky(gram(design, np.ones(len(design)), norm))
    except np.linalg.LinAlgError:
        return False
    return bool(np.diag(lower).min() > _INDEPENDENT)


def _triangle(columns: Floats) -> Floats:
    """R of the QR decomposition of columns of length one, up to the signs of its rows.

    Columns that are far from dependent give it through their cross-product, at a tenth of the price and
    to at least ten digits; others through Householder's reflections, which lose none.
    """
    try:
        lower = np.linalg.cholesky(columns.T @ columns)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.qr(columns, mode="r"))
    if np.diag(lower).min(initial=1.0) > _INDEPENDENT:
        return np.asarray(lower.T)
    return np.asarray(np.linalg.qr(columns, mode="r"))


def _checked(
    X: ArrayLike, y: ArrayLike, family: Family, weights: ArrayLike | None, offset: ArrayLike | None
) -> tuple[Floats, Floats, Floats, Floats]:
    design, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if design.ndim != 2 or outcome.shape != (design.shape[0],):
        raise DataError(f"X has shape {design.shape} and y {outcome.shape}; X must be (rows, columns) and y (rows,).")
    n = len(outcome)
    prior = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    shift = np.zeros(n) if offset is None else np.asarray(offset, dtype=float)
    for name, given in (("weights", prior), ("offset", shift)):
        if given.shape != (n,):
            raise DataError(f"{name} has shape {given.shape}; it must be ({n},) as y is.")
    missing = np.flatnonzero(~np.isfinite(design).all(axis=0))
    if missing.size or not np.isfinite(shift).all():
        what = f"column(s) {missing.tolist()} of X" if missing.size else "the offset"
        raise DataError(f"{what} hold missing or infinite values; impute, add an indicator or set rows aside.")
    if not np.isfinite(prior).all() or (prior < 0).any():
        raise DataError("weights must be finite and not negative.")
    bad = int((~family.allowed(outcome)).sum())
    if bad:
        raise DataError(f"{bad} of {n} outcomes are outside what {family.name} allows: {family.allowed_text}.")
    return design, outcome, prior, shift


def _irls(
    X: Floats, y: Floats, prior: Floats, shift: Floats, family: Family, start: Floats | None
) -> tuple[Floats, int, Ints]:
    """Return coefficients, iterations used and the columns that drift to infinity (empty when converged)."""
    scale = np.sqrt(np.einsum("ij,ij->j", X, X) / len(X))
    beta = _initial(X, scale, y, prior, shift, family) if start is None else start * scale
    eta = X @ (beta / scale) + shift
    deviance = _deviance(eta, y, prior, family)
    counted, moved, step = prior > 0, np.inf, np.zeros_like(beta)
    for iteration in range(1, _MAX_ITERATIONS + 1):
        previous = step
        step = _newton_step(X, scale, y, prior, family, eta)
        if step is None:  # the information vanished: the fitted means reached the edge of what is possible
            return beta / scale, iteration, _drifting(previous)
        move, before = X @ (step / scale), moved
        moved = float(np.abs(move[counted]).max())
        beta, eta, fresh = _halve_until_better(beta, eta, step, move, y, prior, family, deviance)
        small = np.abs(step).max() <= _STEP_SMALL * (1 + np.abs(beta).max())
        still = abs(deviance - fresh) <= 1e-12 * (abs(fresh) + 0.1)
        deviance = fresh
        if small:
            return beta / scale, iteration, np.zeros(0, np.int64)
        if still and np.abs(step).max() > _STEP_DRIFT:
            # a straight line always has a finite maximum; its linear predictor has y's unit and knows no small step
            if moved > _STEP_DRIFT and family.name != "gaussian":
                return beta / scale, iteration, _drifting(step)
            if moved > before / 2:  # rounding is all that is left
                return beta / scale, iteration, np.zeros(0, np.int64)
    return beta / scale, _MAX_ITERATIONS, np.zeros(0, np.int64) if family.name == "gaussian" else _drifting(step)


def _drifting(step: Floats) -> Ints:
    moved = np.flatnonzero(np.abs(step) > _STEP_DRIFT)
    return (moved if moved.size else np.arange(len(step))).astype(np.int64)


def _initial(X: Floats, scale: Floats, y: Floats, prior: Floats, shift: Floats, family: Family) -> Floats:
    # Normal equations: this is a start and not an answer, and X itself would be decomposed at many times the price.
    target = family.link(family.initial_mean(y)) - shift
    pull = X.T @ (prior * target) / scale
    return np.asarray(np.linalg.lstsq(gram(X, prior, scale), pull, rcond=None)[0], dtype=float)


def _newton_step(X: Floats, scale: Floats, y: Floats, prior: Floats, family: Family, eta: Floats) -> Floats | None:
    mu = family.mean(eta)
    slope, variance = family.slope(eta, mu), family.variance(mu)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.where(variance > 0, prior * slope**2 / variance, 0.0)
        working = np.where(variance > 0, prior * slope / variance * (y - mu), 0.0)
    try:
        factor = np.linalg.cholesky(gram(X, information, scale))
    except np.linalg.LinAlgError:
        return None
    step: Floats = np.linalg.solve(factor.T, np.linalg.solve(factor, X.T @ working / scale))
    return step


def _halve_until_better(
    beta: Floats,
    eta: Floats,
    step: Floats,
    shift: Floats,
    y: Floats,
    prior: Floats,
    family: Family,
    now: float,
) -> tuple[Floats, Floats, float]:
    """Take the step (`shift` of the linear predictor), or the largest half, quarter, ... that raises no deviance."""
    share = 1.0
    for _ in range(30):
        there = eta + share * shift
        fresh = _deviance(there, y, prior, family)
        if fresh <= now + 1e-10 * (abs(now) + 0.1):
            return beta + share * step, there, fresh
        share /= 2
    return beta, eta, now


def _deviance(eta: Floats, y: Floats, prior: Floats, family: Family) -> float:
    return float(prior @ family.unit_deviance(y, family.mean(eta)))


def _assemble(X: Floats, y: Floats, prior: Floats, shift: Floats, family: Family, keep: Ints, beta: Floats) -> GlmFit:
    n, k = X.shape
    narrow = X[:, keep]
    eta = narrow @ beta + shift
    mu = family.mean(eta)
    slope, variance = family.slope(eta, mu), family.variance(mu)
    safe = np.where(variance > 0, variance, 1.0)
    root = np.sqrt(np.where(variance > 0, prior * slope**2 / safe, 0.0))
    residual = np.where(variance > 0, prior * slope * (y - mu) / safe, 0.0)
    bread, leverage = _bread(narrow * root[:, None])
    counted, df = int((prior > 0).sum()), int((prior > 0).sum()) - len(keep)
    pearson = float((prior * (y - mu) ** 2 / safe).sum())
    dispersion = 1.0 if family.fixed_dispersion else (pearson / df if df > 0 else np.nan)
    coef, wide, scores = np.full(k, np.nan), np.full((k, k), np.nan), np.zeros((n, k))
    coef[keep], wide[np.ix_(keep, keep)], scores[:, keep] = beta, bread, narrow * residual[:, None]
    empty = np.full(k, np.nan)
    deviance = float(prior @ family.unit_deviance(y, mu))
    return GlmFit(
        family.name, coef, empty, wide, wide, scores, leverage, eta, mu, dispersion, deviance, counted, df,
        0, True, "", "",
    )  # fmt: skip


def _bread(weighted: Floats) -> tuple[Floats, Floats]:
    """Inverse of the cross-product of an (n, k) matrix and the diagonal of its hat matrix."""
    scale = np.sqrt((weighted**2).sum(axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    upper = _triangle(weighted / scale)
    inverse: Floats = np.asarray(np.linalg.pinv(upper, rcond=1e-15), dtype=float)
    leverage: Floats = ((weighted / scale @ inverse) ** 2).sum(axis=1)
    bread: Floats = (inverse @ inverse.T) / np.outer(scale, scale)
    return bread, leverage


def _sandwich(bread: Floats, meat: Floats) -> Floats:
    outer = np.isnan(np.diag(bread))
    clean = np.where(np.isnan(bread), 0.0, bread)
    cov = clean @ meat @ clean
    return np.where(outer[:, None] | outer[None, :], np.nan, cov)


def _root_diagonal(cov: Floats) -> Floats:
    diagonal = np.diag(cov)
    root: Floats = np.sqrt(np.where(diagonal >= 0, diagonal, np.nan))
    return root


def _notes(aliased: Ints, drifting: Ints, family: str) -> str:
    notes = []
    if aliased.size:
        notes.append(f"Column(s) {aliased.tolist()} are linear combinations of earlier ones and were left out.")
    if drifting.size:
        why = (
            "separate the outcome" if family in ("binomial", "probit") else "have no finite maximum-likelihood estimate"
        )
        notes.append(
            f"Column(s) {drifting.tolist()} {why}: their coefficients and standard errors mean nothing;"
            " use fewer columns or a penalty."
        )
    return " ".join(notes)
