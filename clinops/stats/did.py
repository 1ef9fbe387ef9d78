"""Difference in differences of two arms over two periods, and cluster errors for few clusters (CR2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, cluster_sums
from clinops.stats.linear import ALIKE, cross_product, inference, linear, without_spread

CLUSTER_ERRORS = ("CR0", "CR1", "CR2")
_WHOLE = 1e-10  # what a cluster's own leverage leaves of a direction that it alone determines


@dataclass(frozen=True)
class DifferenceInDifferences:
    """The change in one arm less the change in the other.

    Attributes
    ----------
    estimate, std_error, conf_low, conf_high, p_value : NaN with a note where not estimable.
    mean, rows : (2, 2), by arm (comparison, treated) and period (before, after).
    n, n_clusters : rows and clusters. df : of the t distribution. conf_level : of the interval.
    se_kind : "CR2 clustered (80 clusters)", ... note : "" or what a reader must know.
    """

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    mean: Floats
    rows: NDArray
    n: int
    n_clusters: int
    df: float
    conf_level: float
    se_kind: str
    note: str


def difference_in_differences(
    y: ArrayLike,
    treated: ArrayLike,
    post: ArrayLike,
    cluster: ArrayLike,
    *,
    se: str = "CR2",
    conf_level: float = 0.95,
) -> DifferenceInDifferences:
    """Compare the change of the treated arm's mean outcome with that of the other arm.

    Answers: by how much more did the outcome change among the treated than it would have, had it changed as among
    the others (parallel trends)?

    Parameters
    ----------
    y : (n,) outcome, one row for each observation, before and after. treated, post : (n,) 0 or 1.
    cluster : (n,) ids of what is independent: the person seen before and after, or the hospital that was treated.
    se : "CR2" (bias-reduced, t with Satterthwaite's degrees of freedom, for few clusters), "CR1" or "CR0" (both
        with clusters - 1).

    Raises
    ------
    DefinitionError : unknown error or level. DataError : shapes, missing values, other values than 0 and 1.

    Notes
    -----
    The interaction of y = a + b treated + c post + d treated post + e, which is the difference of differences of the
    four means. Source: Card and Krueger 1994; Liang and Zeger 1986 (CR0); Bell and McCaffrey 2002 (CR2). Equal to R's
    `lm` with `sandwich` and `clubSandwich` to 1e-9.
    """
    if se not in CLUSTER_ERRORS:
        raise DefinitionError(unknown("kind of cluster error", se, CLUSTER_ERRORS))
    outcome, ids = np.asarray(y, dtype=float), np.asarray(cluster)
    arm, after = (_indicator(a, name, outcome) for a, name in ((treated, "treated"), (post, "post")))
    if ids.shape != outcome.shape:
        raise DataError(f"cluster has shape {ids.shape}; it must be {outcome.shape} as y is.")
    X = np.column_stack([arm, after, arm * after])
    fit = linear(X, outcome, cluster=ids, conf_level=conf_level)
    place = (2 * arm + after).astype(np.int64)
    rows = np.bincount(place, minlength=4)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, weights=outcome, minlength=4) / rows
    code = np.unique(ids, return_inverse=True)[1]
    variance, df = np.diag(fit.cov)[2], float(fit.n_clusters - 1)
    if se == "CR0":
        variance = np.diag(cross_product(fit.influence, ids, np.ones(len(outcome))))[2]
    note = _whats_missing(rows, code, place)
    if se == "CR2" and not note:
        cov, degrees = bias_reduced(np.column_stack([np.ones(len(arm)), X]), fit.residual, code)
        variance, df = cov[3, 3], float(degrees[3])
    effect = mean[3] - mean[2] - (mean[1] - mean[0])
    if not note and without_spread(np.array([variance]), outcome)[0]:
        note = ALIKE
    variance = np.nan if note else variance
    error, low, high, p, used = inference(np.array([effect]), np.array([variance]), df, "t", conf_level)
    return DifferenceInDifferences(
        float(effect), float(error[0]), float(low[0]), float(high[0]), float(p[0]), mean.reshape(2, 2),
        rows.reshape(2, 2), len(outcome), fit.n_clusters, used, conf_level,
        f"{se} clustered ({fit.n_clusters:,} clusters)", note,
    )  # fmt: skip


def bias_reduced(X: Floats, residual: Floats, code: NDArray) -> tuple[Floats, Floats]:
    """Return the CR2 covariance of least squares and each coefficient's Satterthwaite degrees of freedom.

    Parameters
    ----------
    X : (n, k) of full rank, with its intercept. residual : (n,). code : (n,) clusters 0, 1, ...

    Notes
    -----
    Residuals of cluster g are multiplied by (I - H_gg)^(-1/2), the exact remedy for independent errors of equal
    variance; the degrees of freedom are those under which that is so, 2 E(v)^2 / var(v). Everything is done in k by k
    matrices: with Z = X M^(1/2), M = (X'X)^-1, Z_g'(I - H_gg)^(-1/2) = F_g Z_g', F_g = (I - Z_g'Z_g)^(-1/2). Source:
    Bell and McCaffrey 2002; Pustejovsky and Tipton 2018 (the generalised inverse where a cluster alone determines
    something).
    """
    groups, k = int(code.max()) + 1, X.shape[1]
    values, vectors = np.linalg.eigh(X.T @ X)
    root = (vectors / np.sqrt(values)) @ vectors.T
    Z = X @ root
    pairs = (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), k * k)
    gram = cluster_sums(pairs, code, groups).reshape(groups, k, k)
    own, axes = np.linalg.eigh(gram)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.where(1 - own > _WHOLE, (1 - own) ** -0.5, 0.0)
    F = (axes * stretch[:, None, :]) @ axes.transpose(0, 2, 1)
    scores = np.einsum("gij,gj->gi", F, cluster_sums(Z * residual[:, None], code, groups))
    cov = root @ (scores.T @ scores) @ root
    turned = F @ root  # matrix products, as sums over three indices at once would take k times as long
    b = gram @ turned
    aside = (turned * b).sum(axis=1)  # a_g'a_g for each coefficient c
    inner = (b**2).sum(axis=1)
    trace = (aside - inner).sum(axis=0)
    square = (aside**2 - 2 * aside * inner).sum(axis=0)
    square += (np.einsum("gic,gjc->ijc", b, b) ** 2).sum(axis=(0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return cov, np.where(square > 0, trace**2 / square, np.nan)


def _indicator(values: ArrayLike, name: str, y: Floats) -> Floats:
    given = np.asarray(values, dtype=float)
    if given.shape != y.shape or y.ndim != 1:
        raise DataError(f"{name} has shape {given.shape} and y {y.shape}; both must be (rows,).")
    bad = int((~np.isin(given, (0, 1))).sum())
    if bad:
        raise DataError(f"{bad} of {len(given)} values of {name} are neither 0 nor 1; give an indicator.")
    return given


def _whats_missing(rows: NDArray, code: NDArray, place: NDArray) -> str:
    """Say why there is no estimate, or no error; "" if there are both."""
    names = ("the comparison arm before", "the comparison arm after", "the treated before", "the treated after")
    empty = [name for name, count in zip(names, rows, strict=True) if not count]
    if empty:
        return f"Not estimable: no rows of {', '.join(empty)}."
    seen = np.unique(np.column_stack([place, code]), axis=0)[:, 0]
    alone = [name for name, count in zip(names, np.bincount(seen, minlength=4), strict=True) if count == 1]
    if alone:
        return f"One cluster alone is {', '.join(alone)}, and tells nothing of the error, so none is given."
    return ""
