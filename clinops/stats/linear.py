"""Weighted least squares with absorbed strata: the regression of randomised trials, with robust intervals.

Strata (and the intercept, the single stratum of a trial without any) are taken out by weighted means instead of
by a column each, and still count as estimated, so that the answer is that of a regression on their indicators.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums, independent_columns

INTERVALS = ("t", "normal")
_SE_KINDS = ("HC1", "HC0", "model")
_ROUNDING = 1e-12  # of the largest value: errors below it are rounding
ALIKE = "Values that do not vary beside the effect tell nothing of the error, so none is given."


@dataclass(frozen=True)
class LinearFit:
    """A fitted regression; n rows, k columns.

    Attributes
    ----------
    coef, std_error, conf_low, conf_high, p_value : (k,); NaN for a column that earlier ones or the strata determine.
    cov : (k, k). influence : (n, k), what each row adds to the error of each coefficient, before `factor`.
    residual : (n,), 0 where a row does not count.
    factor : of the small sample, by which the sum of squared influences was multiplied.
    n : rows with weight. n_parameters : estimated columns and strata. n_clusters : 0 without clusters.
    df : of the t distribution: n - n_parameters, or clusters - 1; infinite for normal intervals.
    se_kind : "robust HC1", "CR1 clustered (40 clusters)", ... note : "" or what a reader must know.
    """

    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    cov: Floats
    influence: Floats
    residual: Floats
    factor: float
    n: int
    n_parameters: int
    n_clusters: int
    df: float
    conf_level: float
    se_kind: str
    note: str


@dataclass(frozen=True)
class JointTest:
    """Whether several coefficients are all zero: the statistic, its degrees of freedom and P (NaN with a note)."""

    statistic: float
    df_numerator: int
    df_denominator: float
    p_value: float
    note: str


def linear(
    X: ArrayLike,
    y: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    se: str = "HC1",
    interval: str = "t",
    conf_level: float = 0.95,
) -> LinearFit:
    """Regress an outcome on columns, within strata.

    Answers: by how much does the mean outcome differ with each column, between people of the same stratum?

    Parameters
    ----------
    X : (n, k) columns without an intercept. y : (n,) outcome.
    weights : (n,) >= 0; rows of weight 0 do not count. They act as precision (probability) weights.
    strata : (n,) labels whose fixed effects are absorbed; None is one stratum, the intercept.
    cluster : (n,) ids; given, the standard errors are CR1 clustered whatever `se` says.
    se : "HC1", "HC0" or "model". interval : "t" (df n - K; with clusters their number - 1) or "normal".

    Raises
    ------
    DefinitionError : an unknown kind of error or interval, a level outside 0..1. DataError : shapes, missing values,
    negative weights, no row with weight.

    Notes
    -----
    y = s(stratum) + X b + e by weighted least squares. HC1: n/(n - K) sum of squared influences, K = columns and
    strata; CR1: G/(G - 1) (n - 1)/(n - K). Source: Frisch and Waugh 1933; MacKinnon and White 1985; as Stata's
    `areg, absorb() vce(robust)`. Checked against statsmodels with indicator columns, and on 814 published numbers
    (docs/methods/trial.md).
    """
    if se not in _SE_KINDS:
        raise DefinitionError(unknown("kind of standard error", se, _SE_KINDS))
    design, outcome = np.asarray(X, dtype=float), np.asarray(y, dtype=float)
    if design.ndim != 2 or outcome.shape != (len(design),):
        raise DataError(f"X has shape {design.shape} and y {outcome.shape}; X must be (rows, columns) and y (rows,).")
    w = checked_weights(weights, len(outcome), design, outcome)
    code, groups = stratum_codes(strata, w)
    within = demean(np.column_stack([design, outcome]), w, code)
    columns, target = within[:, :-1], within[:, -1]
    keep = estimable(design, columns, w)
    narrow = columns[:, keep]
    bread = np.linalg.inv((narrow * w[:, None]).T @ narrow) if keep.size else np.zeros((0, 0))
    beta = bread @ (narrow.T @ (w * target))
    residual = np.where(w > 0, target - narrow @ beta, 0.0)
    n, parameters, k = int((w > 0).sum()), groups + keep.size, design.shape[1]
    coef, influence, cov = np.full(k, np.nan), np.zeros((len(w), k)), np.full((k, k), np.nan)
    coef[keep], influence[:, keep] = beta, (narrow * (w * residual)[:, None]) @ bread
    factor, clusters, df, kind = small_sample(n, parameters, cluster, w, se)
    if se == "model" and cluster is None:
        narrow_cov = bread * (float(w @ residual**2) * factor)
    else:
        narrow_cov = factor * cross_product(influence[:, keep], cluster, w)
    cov[np.ix_(keep, keep)] = narrow_cov
    error, low, high, p, df = inference(coef, np.diag(cov), df, interval, conf_level)
    return LinearFit(
        coef, error, low, high, p, cov, influence, residual, factor, n, parameters, clusters, df, conf_level, kind,
        _notes(keep, k, n, parameters, clusters),
    )  # fmt: skip


def joint_test(fit: LinearFit, columns: ArrayLike | None = None) -> JointTest:
    """Test whether several coefficients are all zero, by a Wald F test with the fit's covariance.

    columns : indices of the coefficients; None for all. Aliased ones are left out and said.
    """
    asked = np.arange(len(fit.coef)) if columns is None else np.atleast_1d(np.asarray(columns, dtype=int))
    known = asked[np.isfinite(fit.coef[asked])]
    note = "" if len(known) == len(asked) else f"{len(asked) - len(known)} column(s) could not be estimated."
    return wald(fit.coef[known], fit.cov[np.ix_(known, known)], fit.df, note)


def wald(coef: Floats, cov: Floats, df: float, note: str = "") -> JointTest:
    """Test whether estimates with this covariance are all zero: F = b' V^-1 b / q against F(q, df)."""
    q = len(coef)
    if not q or not np.isfinite(cov).all() or not df > 0 or np.linalg.matrix_rank(cov) < q:
        return JointTest(np.nan, q, df, np.nan, f"{note} The covariance has no inverse: no joint test.".strip())
    from scipy.stats import chi2, f

    statistic = float(coef @ np.linalg.solve(cov, coef)) / q
    p = f.sf(statistic, q, df) if np.isfinite(df) else chi2.sf(statistic * q, q)
    return JointTest(statistic, q, df, float(p), note)


def weighted_mean_sd(y: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, float]:
    """Return the weighted mean and standard deviation, weights scaled to add up to the rows (Stata's `aweight`).

    SD: sqrt(n/(n-1) sum w (y - mean)^2 / sum w); NaN for fewer than two rows with weight, mean NaN without any.
    """
    value = np.asarray(y, dtype=float)
    w = np.ones(len(value)) if weights is None else np.asarray(weights, dtype=float)
    value, w = value[w > 0], w[w > 0]
    n, total = len(value), float(w.sum())
    if not n:
        return np.nan, np.nan
    mean = float(w @ value) / total
    return mean, float(np.sqrt(w @ (value - mean) ** 2 / total * n / (n - 1))) if n > 1 else np.nan


def detectable_effect(std_error: float, df: float = np.inf, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest true effect that a two-sided t test with this standard error finds with this power.

    Answers: what could this trial have seen, given the spread, the weights and the covariates it had?

    Notes
    -----
    Solves the noncentral t (upper tail), so (t + t_power) x standard error for large samples (Bloom 1995). NaN for a
    missing error or no degrees of freedom. Equal to `detectable_difference_means` for two plain arms.
    """
    if not 0 < alpha < 1 or not alpha / 2 < power < 1:
        raise DefinitionError(f"power is {power!r} and alpha {alpha!r}; both lie between 0 and 1, power above alpha/2.")
    if not std_error >= 0 or not df > 0:
        return float("nan")
    normal = NormalDist()
    if df > 1e5:
        return float(std_error * (normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)))
    from scipy.optimize import brentq
    from scipy.stats import nct, t

    critical = float(t.isf(alpha / 2, df))
    return float(std_error * brentq(lambda shift: nct.sf(critical, df, shift) - power, 1e-9, 500.0, xtol=1e-12))


# --- parts that instruments, families and the bootstrap share ------------------------------------------------


def checked_weights(weights: ArrayLike | None, n: int, *arrays: Floats) -> Floats:
    """Return (n,) weights; refuse negative or missing ones, and missing values in rows that count."""
    w = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    if w.shape != (n,):
        raise DataError(f"weights have shape {w.shape}; they must be ({n},) as y is.")
    if not np.isfinite(w).all() or (w < 0).any():
        raise DataError("weights must be finite and not negative.")
    if not (w > 0).any():
        raise DataError("No row has a positive weight; there is nothing to estimate.")
    for array in arrays:
        bad = int((~np.isfinite(array[w > 0].reshape(int((w > 0).sum()), -1))).any(axis=1).sum())
        if bad:
            raise DataError(f"{bad} rows with weight hold missing or infinite values; set them aside.")
    return w


def stratum_codes(strata: ArrayLike | None, weights: Floats) -> tuple[Ints, int]:
    """Return each row's stratum as 0, 1, ... and how many strata have a row with weight."""
    if strata is None:
        return np.zeros(len(weights), np.int64), 1
    labels = np.asarray(strata)
    if labels.shape != weights.shape:
        raise DataError(f"strata have shape {labels.shape}; they must be {weights.shape} as y is.")
    code = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    return code, len(np.unique(code[weights > 0]))


def demean(columns: Floats, weights: Floats, code: Ints) -> Floats:
    """Take each stratum's weighted mean from (n, k) columns; rows without weight become 0."""
    counted = weights > 0
    known = np.where(counted[:, None], columns, 0.0)
    groups = int(code.max(initial=0)) + 1
    total = np.bincount(code, weights=weights, minlength=groups)
    sums = cluster_sums(known * weights[:, None], code, groups)
    means = sums / np.where(total > 0, total, 1.0)[:, None]
    gone: Floats = np.where(counted[:, None], known - means[code], 0.0)
    return gone


def estimable(design: Floats, within: Floats, w: Floats) -> Ints:
    """Return the columns (by index) that vary within strata and are no combination of earlier ones."""
    root = np.sqrt(w)[:, None]
    raw = np.sqrt((np.where(w[:, None] > 0, design * root, 0.0) ** 2).sum(axis=0))
    varies = np.sqrt(((within * root) ** 2).sum(axis=0)) > 1e-9 * np.maximum(raw, 1e-300)
    places = np.flatnonzero(varies)
    if not places.size:
        return places.astype(np.int64)
    keep = independent_columns((within * root)[w > 0][:, places])[0]
    return places[keep].astype(np.int64)


def small_sample(
    n: int, parameters: int, cluster: ArrayLike | None, weights: Floats, se: str = "HC1"
) -> tuple[float, int, float, str]:
    """Return the factor of the variance, the number of clusters, the degrees of freedom and the kind's name."""
    if cluster is not None:
        ids = np.asarray(cluster)
        if ids.shape != weights.shape:
            raise DataError(f"cluster has shape {ids.shape}; it must be {weights.shape} as y is.")
        groups = len(np.unique(ids[weights > 0]))
        factor = groups / (groups - 1) * (n - 1) / (n - parameters) if groups > 1 and n > parameters else np.nan
        return factor, groups, float(groups - 1), f"CR1 clustered ({groups:,} clusters)"
    left = n - parameters
    if se == "HC0":
        return 1.0, 0, float(left), "robust HC0"
    if se == "model":
        return 1.0 / left if left > 0 else np.nan, 0, float(left), "model"
    return n / left if left > 0 else np.nan, 0, float(left), "robust HC1"


def cross_product(influence: Floats, cluster: ArrayLike | None, weights: Floats) -> Floats:
    """Sum of squared influences over rows, or over clusters."""
    if cluster is None:
        return np.asarray(influence.T @ influence)
    counted = weights > 0
    ids, code = np.unique(np.asarray(cluster)[counted], return_inverse=True)
    sums = cluster_sums(influence[counted], code, len(ids))
    return np.asarray(sums.T @ sums)


def inference(
    estimate: Floats, variance: Floats, df: float, interval: str, conf_level: float
) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Return standard error, interval, two-sided P and the degrees of freedom used; NaN where undefined."""
    if interval not in INTERVALS:
        raise DefinitionError(unknown("kind of interval", interval, INTERVALS))
    if not 0 < conf_level < 1:
        raise DefinitionError(f"conf_level is {conf_level!r}; it must lie between 0 and 1, such as 0.95.")
    from scipy.stats import t

    used = np.inf if interval == "normal" else df
    error: Floats = np.sqrt(np.where(variance >= 0, variance, np.nan))
    if not used > 0:
        error = np.full_like(error, np.nan)
    size = float(t.isf((1 - conf_level) / 2, used)) if used > 0 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        p: Floats = 2 * t.sf(np.abs(estimate / error), used) if used > 0 else np.full_like(error, np.nan)
    return error, estimate - size * error, estimate + size * error, p, used


def without_spread(variance: Floats, values: ArrayLike) -> NDArray[np.bool_]:
    """Return where a variance made of these values is rounding and no more: they say nothing of the error."""
    largest = float(np.abs(np.asarray(values, dtype=float)).max(initial=0.0))
    with np.errstate(invalid="ignore"):
        return np.asarray(variance <= (_ROUNDING * largest) ** 2)


def _notes(keep: Ints, k: int, n: int, parameters: int, clusters: int) -> str:
    notes = []
    lost = np.setdiff1d(np.arange(k), keep)
    if lost.size:
        notes.append(f"Column(s) {lost.tolist()} do not vary within strata, or follow from earlier ones.")
    if n <= parameters:
        notes.append(f"{n} rows for {parameters} parameters leave nothing to tell the error by.")
    if clusters == 1:
        notes.append("One cluster tells nothing of the error.")
    elif 0 < clusters < 20:
        notes.append(f"Only {clusters} clusters: the interval is likely too narrow.")
    return " ".join(notes)
