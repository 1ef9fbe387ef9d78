"""Stepped wedges: clusters that all start a programme, in turn; calendar time is in every model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.did import bias_reduced
from clinops.stats.gee import GEE_FAMILIES, gee
from clinops.stats.glm import Floats, Ints, independent_columns
from clinops.stats.linear import inference
from clinops.stats.mixed import mixed_model

WEDGE_MODELS = ("fixed", "random", "exchangeable", "nested exchangeable")
WEDGE_EFFECTS = ("immediate", "by time since")
_NOTHING = 1e-13  # of the largest outcome: residuals below it are rounding
_GROWS = 0.05  # below it a constant effect is flagged


@dataclass(frozen=True)
class SteppedWedge:
    """The effect of a programme rolled out by cluster: one number, or one for each period since roll-out; k of them.

    Attributes
    ----------
    effect : "immediate" or "by time since". model, family : as asked.
    exposure_time : (k,) periods since roll-out; empty for "immediate".
    estimate, std_error, conf_low, conf_high, p_value, df : (k,), on the scale of the link (difference, log odds
        ratio, log rate ratio). cov : (k, k).
    average, average_std_error, average_conf_low, average_conf_high, average_p_value : of the plain mean over exposure
        times; for "immediate" the effect itself.
    trend, trend_conf_low, trend_conf_high, trend_p : change of the effect with each further period under the
        programme, its interval and the P of none.
    n, n_clusters, n_periods : rows, clusters, periods. conf_level : of the intervals.
    se_kind : of the errors. note : "" or what a reader must know.
    """

    effect: str
    model: str
    family: str
    exposure_time: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    df: Floats
    cov: Floats
    average: float
    average_std_error: float
    average_conf_low: float
    average_conf_high: float
    average_p_value: float
    trend: float
    trend_conf_low: float
    trend_conf_high: float
    trend_p: float
    n: int
    n_clusters: int
    n_periods: int
    conf_level: float
    se_kind: str
    note: str


@dataclass(frozen=True)
class WedgeRows:
    """Rows of a stepped wedge after their checks.

    Attributes
    ----------
    y, weight, shift : (n,). covariates : (n, c). cluster, period : (n,) codes 0, 1, ... n_clusters, n_periods : sizes.
    since : (n,) periods since roll-out as counted in the data's own periods; below 0 before, -infinite for never.
    first : (n_clusters,) period by code at which each cluster starts, infinite for never.
    """

    y: Floats
    weight: Floats
    shift: Floats
    covariates: Floats
    cluster: Ints
    period: Ints
    since: Floats
    first: Floats
    n_clusters: int
    n_periods: int

    @property
    def on(self) -> Floats:
        """Whether the programme runs, as 0 and 1."""
        return np.asarray(self.since >= 0, dtype=float)


def stepped_wedge(
    y: ArrayLike,
    cluster: ArrayLike,
    period: ArrayLike,
    first_treated: ArrayLike,
    *,
    model: str = "fixed",
    effect: str = "immediate",
    family: str = "gaussian",
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
    conf_level: float = 0.95,
) -> SteppedWedge:
    """Estimate the effect of a programme that clusters start one after another.

    Answers: how much did the outcome differ under the programme from that of the same calendar time without it?

    Parameters
    ----------
    y : (n,) outcome of persons, or of a cluster and period (a mean, share or count, with weights or offset).
    cluster : (n,) ids. period : (n,) calendar period as a number; every period has its own level in every model.
    first_treated : (n,) first period under the programme, the same in all rows of a cluster; `np.inf` for never.
    model : "fixed" (each cluster its own level; the choice for few clusters), "random" (Hussey and Hughes's random
        intercept; normal outcomes), "exchangeable" or "nested exchangeable" (marginal models by `gee`).
    effect : "immediate" (one effect from the first period on) or "by time since" (one for each period since).
    family : "gaussian", "binomial", "poisson". weights, offset : (n,) as in `gee`. covariates : (n, c).

    Returns
    -------
    SteppedWedge; NaN with a note for what cannot be told from calendar time. An immediate effect carries a note where
    the effect changes with time since roll-out (P of `trend` below 0.05): it is then no average of the effects, and
    may even have the other sign.

    Raises
    ------
    DefinitionError : unknown option, a random model of other than normal outcomes or with weights. DataError : shapes,
    missing values, a first period that changes in a cluster, fewer than 3 clusters.

    Notes
    -----
    Errors: "fixed" CR2 with Satterthwaite's degrees of freedom (other families Kauermann and Carroll, t with
    clusters - 2); "random" of the model, Satterthwaite; marginal models Kauermann and Carroll, t with clusters - 2.
    Source: Hussey and Hughes 2007; Kenny and others 2022; Li and Redden 2015; Pustejovsky and Tipton 2018.
    """
    for kind, given, allowed in (
        ("model of a stepped wedge", model, WEDGE_MODELS), ("effect of a stepped wedge", effect, WEDGE_EFFECTS),
        ("family", family, GEE_FAMILIES),
    ):  # fmt: skip
        if given not in allowed:
            raise DefinitionError(unknown(kind, given, allowed))
    if model == "random" and (family != "gaussian" or weights is not None or offset is not None):
        raise DefinitionError(
            "A random intercept is for normal outcomes without weights; use 'fixed' or 'exchangeable'."
        )
    rows = wedge_rows(y, cluster, period, first_treated, weights=weights, offset=offset, covariates=covariates)
    since = np.where(rows.since >= 0, rows.since, 0.0)
    times = np.unique(rows.since[rows.since >= 0]) if effect == "by time since" else np.zeros(0)
    columns = (rows.since[:, None] == times).astype(float) if times.size else rows.on[:, None]
    coef, cov, df, kind, note = _fit(rows, columns, model, family)
    growing = _fit(rows, np.column_stack([rows.on, rows.on * since]), model, family)
    trend = float(growing[0][1])
    _, trend_low, trend_high, trend_p = _limits(trend, float(growing[1][1, 1]), float(growing[2][1]), conf_level)
    average = _averaged(rows, columns, coef, cov, df, model, family)
    notes = [note]
    if effect == "immediate" and trend_p < _GROWS:
        notes.append(
            f"The effect changes with time since roll-out (by {trend:.3g} a period, P = {trend_p:.2g}): one "
            "effect for all times is no average of them. Read effect='by time since'."
        )
    columns_of = [_limits(coef[j], cov[j, j], df[j], conf_level) for j in range(len(coef))]
    error, low, high, p = (np.array([one[i] for one in columns_of]) for i in range(4))
    return SteppedWedge(
        effect, model, family, times, coef, error, low, high, p, df, cov, average[0],
        *_limits(*average, conf_level), trend, trend_low, trend_high, trend_p, len(rows.y), rows.n_clusters,
        rows.n_periods, conf_level, kind, " ".join(note for note in notes if note),
    )  # fmt: skip


def wedge_rows(
    y: ArrayLike,
    cluster: ArrayLike,
    period: ArrayLike,
    first_treated: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    covariates: ArrayLike | None = None,
) -> WedgeRows:
    """Check rows of a stepped wedge; parameters and errors as in `stepped_wedge`."""
    outcome, when, first = (np.asarray(a, dtype=float) for a in (y, period, first_treated))
    ids, n = np.asarray(cluster), len(outcome)
    weight = np.ones(n) if weights is None else np.asarray(weights, dtype=float)
    shift = np.zeros(n) if offset is None else np.asarray(offset, dtype=float)
    beside = np.zeros((n, 0)) if covariates is None else np.asarray(covariates, dtype=float)
    given = {"cluster": ids, "period": when, "first_treated": first, "weights": weight, "offset": shift}
    for name, values in given.items():
        if values.shape != (n,):
            raise DataError(f"{name} has shape {values.shape}; it must be ({n},) as y is.")
    if beside.ndim != 2 or len(beside) != n:
        raise DataError(f"covariates have shape {beside.shape}; they must be ({n}, columns).")
    together = np.column_stack([outcome, when, weight, shift, beside])
    bad = int((~np.isfinite(together)).any(axis=1).sum()) + int((np.isnan(first) | np.isneginf(first)).sum())
    if bad:
        raise DataError(
            f"{bad} rows hold missing or infinite values; set them aside (np.inf is a start that never is)."
        )
    if (weight < 0).any():
        raise DataError("weights must not be negative.")
    kept = weight > 0
    names, code = np.unique(ids[kept], return_inverse=True)
    times, at = np.unique(when[kept], return_inverse=True)
    own = [first[kept][code == g] for g in range(len(names))]
    changed = sum(len(np.unique(one)) > 1 for one in own)
    if changed:
        raise DataError(f"first_treated changes within {changed} of {len(names)} clusters; it must be one value each.")
    if len(names) < 3:
        raise DataError(
            f"{len(names)} clusters cannot tell a programme from calendar time and clusters; give 3 or more."
        )
    start = np.array([one[0] for one in own])
    begins = np.where(np.isinf(start) | (start > times[-1]), np.inf, np.searchsorted(times, start))
    return WedgeRows(
        outcome[kept], weight[kept], shift[kept], beside[kept], code.astype(np.int64), at.astype(np.int64),
        np.asarray(at - begins[code], dtype=float), begins, len(names), len(times),
    )  # fmt: skip


_Found = tuple[Floats, Floats, Floats, str, str]  # coefficients, covariance, degrees of freedom, kind of error, note


def _fit(rows: WedgeRows, columns: Floats, model: str, family: str) -> _Found:
    """Fit periods, clusters (where fixed), covariates and the given columns; return what concerns the latter."""
    base = [np.ones((len(rows.y), 1)), rows.period[:, None] == np.arange(1, rows.n_periods)]
    if model == "fixed":
        base.append(rows.cluster[:, None] == np.arange(1, rows.n_clusters))
    X = np.column_stack([*base, rows.covariates, columns]).astype(float)
    k, few = columns.shape[1], float(rows.n_clusters - 2)
    last = slice(X.shape[1] - k, None)
    if model == "fixed" and family == "gaussian" and not rows.shift.any():
        coef, cov, df, note = _least_squares(X, rows, k)
        return coef, cov, df, "CR2, Satterthwaite", note
    if model == "random":
        fit = mixed_model(X, rows.y, rows.cluster)
        note = _lost(fit.coef[last], fit.note)
        return fit.coef[last], fit.cov[last, last], fit.df[last], "model, Satterthwaite", note
    marginal = gee(
        X, rows.y, rows.cluster, family, correlation="independence" if model == "fixed" else model,
        time=rows.period, weights=rows.weight, offset=rows.shift,
    )  # fmt: skip
    note = _lost(marginal.coef[last], "" if marginal.converged else marginal.note)
    return marginal.coef[last], marginal.cov[last, last], np.full(k, few), "Kauermann-Carroll, t(G - 2)", note


def _least_squares(X: Floats, rows: WedgeRows, k: int) -> tuple[Floats, Floats, Floats, str]:
    root = np.sqrt(rows.weight)
    keep = independent_columns(X * root[:, None])[0]
    narrow, target = X[:, keep] * root[:, None], rows.y * root
    beta = np.linalg.lstsq(narrow, target, rcond=None)[0]
    left, note = target - narrow @ beta, ""
    cov, df = bias_reduced(narrow, left, rows.cluster)
    if np.abs(left).max() <= _NOTHING * np.abs(target).max():
        cov, note = np.full_like(cov, np.nan), "Residuals do not vary: no error."
    width = X.shape[1]
    coef, used, wide = np.full(width, np.nan), np.full(width, np.nan), np.full((width, width), np.nan)
    coef[keep], used[keep], wide[np.ix_(keep, keep)] = beta, df, cov
    last = slice(width - k, None)
    return coef[last], wide[last, last], used[last], _lost(coef[last], note)


def _lost(coef: Floats, note: str) -> str:
    gone = int(np.isnan(coef).sum())
    said = f"{gone} of {len(coef)} effects cannot be told from calendar time and clusters." if gone else ""
    return f"{note} {said}".strip()


def _averaged(
    rows: WedgeRows, columns: Floats, coef: Floats, cov: Floats, df: Floats, model: str, family: str
) -> tuple[float, float, float]:
    """Return the mean effect, its variance and degrees of freedom, as a coefficient of its own."""
    if len(coef) == 1 or np.isnan(coef).any():
        known = len(coef) == 1
        return (float(coef[0]), float(cov[0, 0]), float(df[0])) if known else (np.nan, np.nan, np.nan)
    k = len(coef)
    turned = np.column_stack([k * columns[:, 0], columns[:, 1:] - columns[:, [0]]])
    # The mean comes last, so that it is what is left out should rounding make the columns depend on one another.
    mean, spread, degrees, _, _ = _fit(rows, turned[:, ::-1], model, family)
    return float(mean[-1]), float(spread[-1, -1]), float(degrees[-1])


def _limits(estimate: float, variance: float, df: float, level: float) -> tuple[float, float, float, float]:
    """Return standard error, interval and P."""
    found: tuple[NDArray, ...] = inference(np.array([estimate]), np.array([variance]), float(df), "t", level)[:4]
    error, low, high, p = (float(one[0]) for one in found)
    return error, low, high, p
