"""Generalised estimating equations: regressions of clustered rows, with errors that few clusters need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums, glm, independent_columns
from clinops.stats.glm_families import Family, family_named
from clinops.stats.linear import inference
from clinops.stats.working_correlation import (
    STRUCTURES,
    Layout,
    apply_inverse,
    estimate_correlation,
    is_possible,
    lay_out,
)

GEE_FAMILIES = ("gaussian", "binomial", "poisson")
GEE_ERRORS = ("robust", "mancl-derouen", "kauermann-carroll", "fay-graubard", "model")
_STEPS = 200
_SMALL = 1e-11
_NOTHING = 1e-13  # of the largest outcome: residuals below it are rounding
_BOUND = 0.75  # the most that Fay and Graubard let a cluster's own leverage count


@dataclass(frozen=True)
class GeeFit:
    """A fitted marginal model; k columns, G clusters.

    Attributes
    ----------
    family, correlation : as asked. coef, std_error, conf_low, conf_high, p_value : (k,); NaN for aliased columns.
    cov : (k, k), of the kind in `se_kind`. alpha : parameters of the working correlation: none, one, or within and
        between periods. scale : mean squared Pearson residual.
    fitted : (n,) means. n, n_clusters : rows with weight, clusters. df : clusters - coefficients, or infinite.
    conf_level : of the intervals. iterations, converged : of the fit. note : "" or what a reader must know.
    """

    family: str
    correlation: str
    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    cov: Floats
    alpha: Floats
    scale: float
    fitted: Floats
    n: int
    n_clusters: int
    df: float
    conf_level: float
    iterations: int
    converged: bool
    se_kind: str
    note: str


@dataclass(frozen=True)
class _Data:
    """Rows in order of cluster and time, without those of weight 0 and without aliased columns."""

    X: Floats
    y: Floats
    weight: Floats
    shift: Floats
    layout: Layout
    family: Family


def gee(
    X: ArrayLike,
    y: ArrayLike,
    cluster: ArrayLike,
    family: str = "gaussian",
    *,
    correlation: str = "exchangeable",
    time: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    se: str = "kauermann-carroll",
    interval: str = "t",
    conf_level: float = 0.95,
) -> GeeFit:
    """Regress an outcome on columns where rows of a cluster (person, clinic) resemble each other.

    Answers: how does the mean outcome of the population change with the columns?

    Parameters
    ----------
    X : (n, k) with a column of ones. y : (n,), as `glm` allows. cluster : (n,) ids.
    family : "gaussian" (identity), "binomial" (logit), "poisson" (log).
    correlation : of a cluster's rows: "independence", "exchangeable", "nested exchangeable" (within a period and
        between periods) or "ar1" (falls with time). A wrong one costs precision, not validity.
    time : (n,) of "ar1" (one row a time) and "nested exchangeable"; "ar1" without takes the order of the rows.
    weights : (n,) >= 0: variance scale x v(mean) / weight, such as the persons behind a proportion. offset : (n,).
    se : "robust" (Liang and Zeger; too small below some 40 clusters), "mancl-derouen", "kauermann-carroll",
        "fay-graubard" or "model" (right only if the correlation is).
    interval : "t" with clusters - coefficients, or "normal".

    Returns
    -------
    GeeFit. Without convergence, a possible correlation or a finite maximum: coefficients as far as they came, NaN
    errors and a note.

    Raises
    ------
    DefinitionError : unknown option. DataError : as `glm`; missing times; "ar1" with two rows at a time.

    Notes
    -----
    sum D' V^-1 (y - mu) = 0, V = scale A^(1/2) R A^(1/2) / weights; R by moments over all pairs, scale without a
    degrees-of-freedom factor. Corrections in k by k matrices: scores of a cluster times (I - H)^-1 (Mancl and
    DeRouen 2001), (I - H)^(-1/2) (Kauermann and Carroll 2001; with independence and normal outcomes CR2), or the
    diagonal (1 - min(0.75, h))^(-1/2) (Fay and Graubard 2001). Source: Liang and Zeger 1986. Equal to R `geepack`
    1.3.9 to its own convergence.
    """
    for kind, given, allowed in (
        ("family of a marginal model", family, GEE_FAMILIES), ("working correlation", correlation, STRUCTURES),
        ("kind of error", se, GEE_ERRORS),
    ):  # fmt: skip
        if given not in allowed:
            raise DefinitionError(unknown(kind, given, allowed))
    start = glm(X, y, family, weights=weights, offset=offset, se="model")
    data, keep, order = _in_order(X, y, cluster, family, correlation, time, weights, offset)
    if start.converged:
        found, alpha, steps, why = _solve(data, start.coef[keep])
    else:  # no finite maximum: its coefficients mean nothing, whatever the correlation
        found, alpha, steps, why = start.coef[keep], np.full(_count(correlation), np.nan), 0, start.note
    mean, residual, scale = _at(data, found)
    parts = _scores(data, found, alpha, residual) if is_possible(data.layout, alpha) else None
    narrow = np.full((len(keep),) * 2, np.nan) if parts is None or why else _cov(*parts, scale, se)
    k = np.asarray(X).shape[1]
    coef, cov = np.full(k, np.nan), np.full((k, k), np.nan)
    coef[keep], cov[np.ix_(keep, keep)] = found, narrow
    groups = data.layout.n_clusters
    error, low, high, p, df = inference(coef, np.diag(cov), float(groups - len(keep)), interval, conf_level)
    fitted = np.full(len(np.asarray(y)), np.nan)
    fitted[order] = mean
    return GeeFit(
        family, correlation, coef, error, low, high, p, cov, alpha, scale, fitted, len(data.y), groups, df, conf_level,
        steps, not why, f"{se} ({groups:,} clusters, {correlation})", _notes(start.note, why, groups, se, df),
    )  # fmt: skip


def _count(correlation: str) -> int:
    return {"independence": 0, "nested exchangeable": 2}.get(correlation, 1)


def _in_order(
    X: ArrayLike,
    y: ArrayLike,
    cluster: ArrayLike,
    family: str,
    correlation: str,
    time: ArrayLike | None,
    weights: ArrayLike | None,
    offset: ArrayLike | None,
) -> tuple[_Data, Ints, Ints]:
    """Sort rows by cluster and time; return them, the columns that are no combination of others, and the order."""
    design, outcome, ids = np.asarray(X, dtype=float), np.asarray(y, dtype=float), np.asarray(cluster)
    n = len(outcome)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    shift = np.zeros(n) if offset is None else np.asarray(offset, dtype=float)
    if ids.shape != (n,):
        raise DataError(f"cluster has shape {ids.shape}; it must be ({n},) as y is.")
    if time is None and correlation == "nested exchangeable":
        raise DefinitionError("A nested correlation needs the time (period) of each row.")
    when = np.zeros(n) if time is None else np.asarray(time, dtype=float)
    if when.shape != (n,) or not np.isfinite(when).all():
        raise DataError(f"time has shape {when.shape} or missing values; give a finite number for each row.")
    counted = np.flatnonzero(weight > 0)
    code = np.unique(ids[counted], return_inverse=True)[1].astype(np.int64)
    if time is None and correlation == "ar1":
        when[counted] = np.arange(len(counted))
    order = counted[np.lexsort((when[counted], code))]
    code = np.sort(code)
    if time is None and correlation == "ar1":
        begin = np.flatnonzero(np.diff(code, prepend=-1))
        when[order] = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
    keep = independent_columns(design[counted])[0]
    layout = lay_out(correlation, code, when[order])
    rows = design[order][:, keep]
    return _Data(rows, outcome[order], weight[order], shift[order], layout, family_named(family)), keep, order


def _at(data: _Data, beta: Floats) -> tuple[Floats, Floats, float]:
    """Return means, standardised residuals and their mean square."""
    mean = data.family.mean(data.X @ beta + data.shift)
    residual = (data.y - mean) * np.sqrt(data.weight / np.maximum(data.family.variance(mean), 1e-300))
    return mean, residual, float((residual**2).mean())


def _scores(data: _Data, beta: Floats, alpha: Floats, residual: Floats) -> tuple[Floats, Floats]:
    """Return each cluster's score (G, k) and information (G, k, k), both at scale 1."""
    eta = data.X @ beta + data.shift
    mean = data.family.mean(eta)
    root = np.sqrt(data.weight / np.maximum(data.family.variance(mean), 1e-300))
    D = data.X * (data.family.slope(eta, mean) * root)[:, None]
    inverse = apply_inverse(data.layout, alpha, np.column_stack([D, residual]))
    k, groups = D.shape[1], data.layout.n_clusters
    score = cluster_sums(D * inverse[:, [-1]], data.layout.cluster, groups)
    pairs = (D[:, :, None] * inverse[:, None, :-1]).reshape(len(D), k * k)
    return score, cluster_sums(pairs, data.layout.cluster, groups).reshape(groups, k, k)


def _solve(data: _Data, beta: Floats) -> tuple[Floats, Floats, int, str]:
    """Return coefficients, correlation, iterations used and why there is no answer ("" if there is)."""
    alpha = np.zeros(0)
    for step in range(1, _STEPS + 1):
        mean, residual, scale = _at(data, beta)
        if np.abs(data.y - mean).max() <= _NOTHING * np.abs(data.y).max():
            alpha = np.full(_count(data.layout.structure), np.nan)
            return beta, alpha, step, "Residuals do not vary: no error."
        alpha = estimate_correlation(data.layout, residual, scale)
        if not is_possible(data.layout, alpha):
            said = ", ".join(f"{one:.3g}" for one in alpha)
            return beta, alpha, step, f"The working correlation ({said}) is not possible; use 'independence'."
        score, information = _scores(data, beta, alpha, residual)
        whole = information.sum(axis=0)
        if not np.isfinite(whole).all() or np.linalg.matrix_rank(whole, hermitian=True) < len(whole):
            return beta, alpha, step, "Fitted means reached the edge of what is possible: no finite maximum."
        change = np.linalg.solve(whole, score.sum(axis=0))
        beta = beta + change
        if np.abs(change).max() <= _SMALL * (1 + np.abs(beta).max()):
            return beta, alpha, step, ""
    return beta, alpha, _STEPS, f"No convergence in {_STEPS} steps; use another working correlation."


def _cov(score: Floats, information: Floats, scale: float, se: str) -> Floats:
    """Return the covariance: of the model, or a sandwich with scores corrected for each cluster's own pull."""
    values, vectors = np.linalg.eigh(information.sum(axis=0))
    root = (vectors / np.sqrt(values)) @ vectors.T
    bread = root @ root
    if se == "model":
        return np.asarray(bread * scale)
    if se == "fay-graubard":
        leverage = np.einsum("gij,ji->gi", information, bread)
        scores = score / np.sqrt(1 - np.minimum(leverage, _BOUND)) @ root
    else:
        power = {"robust": 0.0, "kauermann-carroll": -0.5, "mancl-derouen": -1.0}[se]
        own, axes = np.linalg.eigh(root @ information @ root)
        with np.errstate(divide="ignore", invalid="ignore"):
            # What a cluster alone determines has no residual to be mended (Pustejovsky and Tipton 2018).
            stretch = np.where(1 - own > 1e-10, (1 - own) ** power, 0.0) if power else np.ones_like(own)
        scores = np.einsum("gij,gj,glj,gl->gi", axes, stretch, axes, score @ root)
    return np.asarray(root @ (scores.T @ scores) @ root)


def _notes(start: str, why: str, groups: int, se: str, df: float) -> str:
    few = f"Only {groups} clusters: robust errors are too small." if se == "robust" and groups < 40 else ""
    none = (
        "" if df > 0 else f"{groups} clusters for as many coefficients or more leave no degrees of freedom: no error."
    )
    return " ".join(dict.fromkeys(note for note in (start, why, few, none) if note))
