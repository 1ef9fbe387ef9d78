"""Bootstrap intervals for anything that can be computed from weighted rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums

METHODS = ("percentile", "bca")
_CELLS = 300_000  # counts held at a time: what a processor's cache still holds
_LEAST = 12  # samples at a time however many units: a matrix read for fewer is read too often
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
    check_bootstrap(method, replicates, conf_level)
    units = resampling(n, cluster=cluster, strata=strata)
    estimate = _call(estimator, np.ones(n))
    draws = np.empty((replicates, len(estimate)))
    for b, drawn in enumerate(units.draws(seed, replicates)):
        draws[b] = _call(estimator, drawn[units.unit].astype(float))
    gap = _left_out(estimator, units) if method == "bca" else None
    return summarise(estimate, draws, units, method=method, conf_level=conf_level, gap=gap)


def bootstrap_totals(
    statistic: Callable[[Floats], Floats],
    columns: ArrayLike,
    *,
    seed: int,
    replicates: int = 1000,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    method: str = "percentile",
    conf_level: float = 0.95,
) -> Bootstrap:
    """Resample everything that is a function of sums over rows at once (means, ratios, their differences).

    Parameters
    ----------
    statistic : takes (b, m) totals of the columns in b samples and returns (b,) or (b, q) estimates.
    columns : (n, m) what is summed, weights multiplied in. Others as in `bootstrap`; the same seed draws the same
        samples and gives the same replicates.

    Raises
    ------
    As `bootstrap`; DataError : columns that are not finite.

    Notes
    -----
    Totals of all samples are a matrix product of how often units were drawn and their sums.
    """
    check_bootstrap(method, replicates, conf_level)
    given = np.asarray(columns, dtype=float)
    given = given[:, None] if given.ndim == 1 else given
    if given.ndim != 2 or not np.isfinite(given).all():
        raise DataError(f"columns have shape {given.shape}; they must be (rows, columns), all finite.")
    units = resampling(len(given), cluster=cluster, strata=strata)
    sums = cluster_sums(given, units.unit, units.count)
    total = sums.sum(axis=0)

    def at(totals: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            found = np.asarray(statistic(totals), dtype=float)
        return found[:, None] if found.ndim == 1 else found

    blocks = [at(drawn @ sums) for drawn in units.blocks(seed, replicates)]
    gap = None
    if method == "bca":
        left_out = at(total - sums)
        gap = left_out.mean(axis=0) - left_out
    return summarise(at(total[None])[0], np.concatenate(blocks), units, method=method, conf_level=conf_level, gap=gap)


def bootstrap_means(
    Y: ArrayLike,
    treated: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int,
    denominator: ArrayLike | None = None,
    scale: str = "difference",
    replicates: int = 1000,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    method: str = "percentile",
    conf_level: float = 0.95,
) -> Bootstrap:
    """Bootstrap the difference or ratio of the arms' weighted means (or rates) of q outcomes, drawn together.

    Parameters
    ----------
    Y : (n,) or (n, q), none missing. treated : (n,) 0/1. weights : (n,), taken as known. denominator : (n,)
        person-time. scale : "difference" or "ratio". Others as in `bootstrap`.

    Notes
    -----
    The q columns of `replicates` belong together: cost and outcome of one sample, for a cost-effectiveness plane.
    """
    if scale not in ("difference", "ratio"):
        raise DefinitionError(unknown("scale", scale, ("difference", "ratio")))
    outcome = np.asarray(Y, dtype=float)
    outcome = outcome[:, None] if outcome.ndim == 1 else outcome
    n, q = outcome.shape
    given = [np.ones(n) if each is None else np.asarray(each, dtype=float) for each in (treated, weights, denominator)]
    if any(each.shape != (n,) for each in given) or not np.isin(given[0], (0, 1)).all():
        raise DataError(f"treated (0/1), weights and denominator must each be ({n},) as the rows of Y are.")
    arm, weight, time = given
    parts = [side[:, None] * np.column_stack([outcome, time]) for side in (weight * arm, weight * (1 - arm))]

    def compared(totals: Floats) -> Floats:
        one = totals[:, :q] / totals[:, [q]]
        zero = totals[:, q + 1 : -1] / totals[:, [-1]]
        return one - zero if scale == "difference" else one / zero

    return bootstrap_totals(
        compared, np.concatenate(parts, axis=1), seed=seed, replicates=replicates, cluster=cluster, strata=strata,
        method=method, conf_level=conf_level,
    )  # fmt: skip


@dataclass(frozen=True)
class Resampling:
    """What is drawn: unit (n,) of each row, stratum (units,), units sorted by stratum; made by `resampling`."""

    unit: Ints
    stratum: Ints
    clustered: bool

    @property
    def count(self) -> int:
        """How many units there are."""
        return len(self.stratum)

    def draws(self, seed: int, replicates: int) -> Iterator[NDArray[np.int64]]:
        """Yield (units,) how often each unit was drawn, sample by sample."""
        rng = np.random.default_rng(seed)
        runs = _runs(self.stratum)
        for _ in range(replicates):
            yield _drawn(rng, runs, self.count)

    def blocks(
        self, seed: int, replicates: int, *, size: int | None = None, rows: Ints | None = None
    ) -> Iterator[Floats]:
        """Yield the same draws as (b, units) matrices, or (b, rows): how often each of `rows` was drawn.

        size : b; by default about as much as a processor's cache holds.
        """
        width = self.count if rows is None else len(rows)
        most = max(_LEAST, _CELLS // max(width, 1)) if size is None else size
        place = None if rows is None else self.unit[rows]
        stream = self.draws(seed, replicates)
        for done in range(0, replicates, most):
            block = np.empty((min(most, replicates - done), width))
            for row, drawn in zip(block, stream, strict=False):
                row[:] = drawn if place is None else drawn[place]
            yield block


def resampling(n: int, *, cluster: ArrayLike | None = None, strata: ArrayLike | None = None) -> Resampling:
    """Check clusters and strata (see `bootstrap`) and number the units that are drawn."""
    unit, stratum = _units(n, cluster, strata)
    return Resampling(unit, stratum, cluster is not None)


def summarise(
    estimate: Floats,
    draws: Floats,
    units: Resampling,
    *,
    method: str = "percentile",
    conf_level: float = 0.95,
    gap: Floats | None = None,
    label: str = "",
) -> Bootstrap:
    """Turn (b, q) replicates into errors and intervals; gap (units, q) is each unit's pull, needed for "bca"."""
    check_bootstrap(method, len(draws), conf_level)
    replicates = len(draws)
    finite = np.isfinite(draws)
    failed = (~finite).sum(axis=0).astype(np.int64)
    tails = np.tile([(1 - conf_level) / 2, (1 + conf_level) / 2], (len(estimate), 1))
    if method == "bca" and gap is not None:
        tails = _bca_tails(gap, estimate, draws, tails)
    usable = failed <= _MOST_FAILED * replicates
    low, high, error = (np.full(len(estimate), np.nan) for _ in range(3))
    for j in np.flatnonzero(usable & np.isfinite(estimate) & np.isfinite(tails).all(axis=1)):
        kept = draws[finite[:, j], j]
        error[j] = kept.std(ddof=1) if len(kept) > 1 else np.nan
        low[j], high[j] = np.quantile(kept, tails[j])
    words = filter(None, (str(replicates), method, "clustered" if units.clustered else "", label))
    kind = f"bootstrap ({', '.join(words)})"
    return Bootstrap(estimate, error, low, high, draws, failed, kind, _note(failed, replicates, units.count))


def check_bootstrap(method: str, replicates: int, conf_level: float) -> None:
    """Refuse an unknown method, fewer than two replicates and an impossible level before any work starts."""
    if method not in METHODS:
        raise DefinitionError(unknown("bootstrap method", method, METHODS))
    if replicates < 2 or not 0 < conf_level < 1:
        raise DefinitionError("replicates must be 2 or more and conf_level between 0 and 1.")


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


def _runs(stratum: Ints) -> list[tuple[int, int]]:
    """Where each stratum's units begin and how many they are."""
    sizes = np.bincount(stratum)
    sizes = sizes[sizes > 0]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [(int(start), int(size)) for start, size in zip(starts, sizes, strict=True)]


def _drawn(rng: np.random.Generator, runs: list[tuple[int, int]], units: int) -> NDArray[np.int64]:
    picked = [start + rng.integers(0, size, size) for start, size in runs]
    return np.bincount(picked[0] if len(picked) == 1 else np.concatenate(picked), minlength=units)


def _draw(rng: np.random.Generator, stratum: Ints) -> NDArray[np.int64]:
    """How often each unit is drawn: as many draws in a stratum as it has units."""
    return _drawn(rng, _runs(stratum), len(stratum))


def _call(estimator: Estimator, weights: Floats) -> Floats:
    return np.atleast_1d(np.asarray(estimator(weights), dtype=float))


def _left_out(estimator: Estimator, units: Resampling) -> Floats:
    """(units, q) mean of the estimates with a unit left out, less each of them."""
    found = np.array([_call(estimator, (units.unit != u).astype(float)) for u in range(units.count)])
    return found.mean(axis=0) - found


def _bca_tails(gap: Floats, estimate: Floats, draws: Floats, tails: Floats) -> Floats:
    """Adjust (q, 2) tail probabilities for bias and skewness (Efron 1987); NaN where undefined."""
    normal = NormalDist()
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
