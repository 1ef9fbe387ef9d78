"""Bootstrap intervals for anything that can be computed from weighted rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints

METHODS = ("percentile", "bca")
_MOST_FAILED = 0.1  # above this share of replicates without an answer the interval is not to be trusted

Estimator = Callable[[Floats], "float | Floats"]


@dataclass(frozen=True)
class Bootstrap:
    """Result for q estimates.

    Attributes
    ----------
    estimate, std_error, conf_low, conf_high : (q,). replicates : (b, q), in order of the seed's stream.
    n_failed : (q,), replicates that gave no finite answer; they are left out of the interval and counted.
    se_kind : "bootstrap (1000, percentile, clustered)". note : "" or what a reader must know.
    """

    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    replicates: Floats
    n_failed: Ints
    se_kind: str
    note: str


def bootstrap(
    estimator: Estimator,
    n: int,
    *,
    seed: int,
    replicates: int = 1000,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    method: str = "percentile",
    conf_level: float = 0.95,
) -> Bootstrap:
    """Resample units with replacement and see how an estimate varies.

    Parameters
    ----------
    estimator : takes (n,) row weights (how often each row was drawn; all 1 for the estimate itself) and
        returns a number or (q,) numbers. Refit inside it everything that was estimated, scores included.
    n : rows. seed : of numpy's default generator; the same seed gives the same interval.
    cluster : (n,) ids; whole clusters are drawn. strata : (n,) labels (arm, site) within which as many units
        are drawn as there are; a cluster must lie within one.
    method : "percentile", or "bca" (bias-corrected and accelerated; needs one more call a unit).

    Raises
    ------
    DefinitionError : unknown method, fewer than 2 replicates. DataError : shapes, a cluster in two strata.

    Notes
    -----
    Source: Efron and Tibshirani 1993, ch. 13 and 14. Quantiles as R's type 7.
    """
    if method not in METHODS:
        raise DefinitionError(unknown("bootstrap method", method, METHODS))
    if replicates < 2 or not 0 < conf_level < 1:
        raise DefinitionError("replicates must be 2 or more and conf_level between 0 and 1.")
    unit, stratum = _units(n, cluster, strata)
    estimate = _call(estimator, np.ones(n))
    rng = np.random.default_rng(seed)
    draws = np.empty((replicates, len(estimate)))
    for b in range(replicates):
        draws[b] = _call(estimator, _draw(rng, stratum)[unit].astype(float))
    finite = np.isfinite(draws)
    failed = (~finite).sum(axis=0).astype(np.int64)
    tails = np.tile([(1 - conf_level) / 2, (1 + conf_level) / 2], (len(estimate), 1))
    if method == "bca":
        tails = _bca_tails(estimator, unit, len(stratum), estimate, draws, tails)
    usable = failed <= _MOST_FAILED * replicates
    low, high, error = (np.full(len(estimate), np.nan) for _ in range(3))
    for j in np.flatnonzero(usable & np.isfinite(estimate) & np.isfinite(tails).all(axis=1)):
        kept = draws[finite[:, j], j]
        error[j] = kept.std(ddof=1) if len(kept) > 1 else np.nan
        low[j], high[j] = np.quantile(kept, tails[j])
    clustered = "" if cluster is None else ", clustered"
    kind = f"bootstrap ({replicates}, {method}{clustered})"
    return Bootstrap(estimate, error, low, high, draws, failed, kind, _note(failed, replicates, len(stratum)))


def _units(n: int, cluster: ArrayLike | None, strata: ArrayLike | None) -> tuple[Ints, Ints]:
    """Return each row's unit (n,) and each unit's stratum (units,), units sorted by stratum."""
    label = np.zeros(n, np.int64) if strata is None else _codes(strata, n, "strata")
    unit = np.arange(n) if cluster is None else _codes(cluster, n, "cluster")
    if not n:
        raise DataError("There are no rows to resample.")
    stratum = np.full(unit.max() + 1, -1, np.int64)
    stratum[unit] = label
    split = np.unique(unit[stratum[unit] != label])
    if split.size:
        raise DataError(f"{split.size} clusters lie in more than one stratum; stratify by something they share.")
    order = np.argsort(stratum, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place[unit], stratum[order]


def _codes(labels: ArrayLike, n: int, name: str) -> Ints:
    given = np.asarray(labels)
    if given.shape != (n,):
        raise DataError(f"{name} has shape {given.shape}; it must be one label a row, ({n},).")
    return np.unique(given, return_inverse=True)[1].astype(np.int64)


def _draw(rng: np.random.Generator, stratum: Ints) -> NDArray[np.int64]:
    """How often each unit is drawn: as many draws in a stratum as it has units."""
    sizes = np.bincount(stratum)
    sizes = sizes[sizes > 0]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    picked = [start + rng.integers(0, size, size) for start, size in zip(starts, sizes, strict=True)]
    return np.bincount(np.concatenate(picked), minlength=len(stratum))


def _call(estimator: Estimator, weights: Floats) -> Floats:
    return np.atleast_1d(np.asarray(estimator(weights), dtype=float))


def _bca_tails(estimator: Estimator, unit: Ints, units: int, estimate: Floats, draws: Floats, tails: Floats) -> Floats:
    """Adjust (q, 2) tail probabilities for bias and skewness (Efron 1987); NaN where undefined."""
    normal = NormalDist()
    left_out = np.array([_call(estimator, (unit != u).astype(float)) for u in range(units)])
    gap = left_out.mean(axis=0) - left_out
    adjusted = np.full_like(tails, np.nan)
    for j in range(len(estimate)):
        known = draws[np.isfinite(draws[:, j]), j]
        below = (np.mean(known < estimate[j]) + np.mean(known <= estimate[j])) / 2 if len(known) else 0.0
        squares = float((gap[:, j] ** 2).sum())
        if not 0 < below < 1 or not squares > 0:
            continue
        bias, skew = normal.inv_cdf(below), float((gap[:, j] ** 3).sum()) / (6 * squares**1.5)
        for side in (0, 1):
            z = bias + normal.inv_cdf(tails[j, side])
            adjusted[j, side] = normal.cdf(bias + z / (1 - skew * z))
    return adjusted


def _note(failed: Ints, replicates: int, units: int) -> str:
    notes = []
    if failed.any():
        notes.append(f"{int(failed.max())} of {replicates} replicates gave no answer and were left out.")
    if (failed > _MOST_FAILED * replicates).any():
        notes.append(f"More than {_MOST_FAILED:.0%} failed, so no interval is given.")
    if units < 20:
        notes.append(f"Only {units} units were resampled: the interval is too narrow.")
    return " ".join(notes)
