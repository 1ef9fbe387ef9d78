"""One-step bootstrap: joint replicates of several estimates from their influence functions, without refitting."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.glm import Floats, cluster_sums

CHUNK = 20_000_000
"""Cells of the matrix of resampling counts that are held at a time."""


def one_step_draws(
    estimate: ArrayLike,
    influence: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int,
) -> Floats:
    """How do several estimates of the same people vary together?

    Parameters
    ----------
    estimate : (q,) estimates. influence : (n, q), each row's influence: estimate - truth is about its sum.
    cluster : (n,) ids; whole clusters are drawn. strata : (n,) within which as many units are drawn as there are.
    replicates : b. seed : of numpy's default generator.

    Returns
    -------
    (b, q) replicates: estimate + sum over units of (times drawn - 1) x influence of the unit.

    Raises
    ------
    DataError : shapes that differ, a cluster in two strata, nobody to resample.

    Notes
    -----
    The first-order bootstrap of Efron (1982) and of Kline and Santos (2012): its covariance is that of the influence
    functions, times (1 - 1/units of a stratum), so what weights, clusters and an estimated score do to the standard
    error they do to the replicates. Skewness of the data reaches the replicates, bias and curvature do not.
    """
    point, each = np.atleast_1d(np.asarray(estimate, dtype=float)), np.asarray(influence, dtype=float)
    if each.ndim != 2 or each.shape[1] != len(point):
        raise DataError(f"influence has shape {each.shape}; it must be (rows, {len(point)}), a column an estimate.")
    sums, sizes = _units(each, cluster, strata)
    rng = np.random.default_rng(seed)
    draws = np.tile(point, (replicates, 1))
    start = 0
    for size in sizes:
        part = sums[start : start + size]
        step = max(1, CHUNK // size)
        for first in range(0, replicates, step):
            counts = rng.multinomial(size, np.full(size, 1 / size), size=min(step, replicates - first))
            draws[first : first + step] += (counts - 1.0) @ part
        start += size
    return draws


def _units(influence: Floats, cluster: ArrayLike | None, strata: ArrayLike | None) -> tuple[Floats, list[int]]:
    """Influence summed by unit (units, q), sorted by stratum, and how many units each stratum has."""
    n = len(influence)
    if not n:
        raise DataError("There are no rows to resample.")
    labels = {"cluster": cluster, "strata": strata}
    for name, given in labels.items():
        if given is not None and np.asarray(given).shape != (n,):
            raise DataError(f"{name} has shape {np.asarray(given).shape}; it must be one label a row, ({n},).")
    unit = np.arange(n) if cluster is None else np.unique(np.asarray(cluster), return_inverse=True)[1]
    stratum = np.zeros(n, int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    of_unit = np.zeros(unit.max() + 1, int)
    of_unit[unit] = stratum
    if (of_unit[unit] != stratum).any():
        raise DataError("A cluster lies in more than one stratum; stratify by something that its rows share.")
    order = np.argsort(of_unit, kind="stable")
    sums = cluster_sums(influence, unit, len(of_unit))[order]
    return sums, np.bincount(of_unit)[np.bincount(of_unit) > 0].tolist()
