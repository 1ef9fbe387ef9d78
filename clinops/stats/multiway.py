"""Variance where rows depend on each other in two ways that cross: a matched set, and a person in several sets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints

FALLBACK = "The two-way variance was not positive; the larger of the two one-way variances stands in its place."


def two_way_variance(
    variance: Callable[[NDArray], ArrayLike], first: ArrayLike, second: ArrayLike
) -> tuple[Floats, str]:
    """Return the variance that respects two kinds of clusters at once, and a note ("" if nothing).

    Answers: what is the error when a row may depend on every row of its matched set and on every row of its person?
    Joining whatever is linked into one cluster would soon leave a single cluster; this does not.

    Parameters
    ----------
    variance : gives the one-way clustered variance (a number or an array, its small-sample factor included) for (n,)
        ids of clusters.
    first, second : (n,) ids of the two kinds of clusters.

    Raises
    ------
    DataError : ids of different shapes.

    Notes
    -----
    V = V(first) + V(second) - V(first and second alike). It may come out at or below zero in small samples; the larger
    one-way variance is then given, with a note. NaN where one of the three is. Source: Cameron, Gelbach and Miller
    2011; each part has its own factor, as `vcovCL` of R's sandwich. Checked against the double sum over all pairs of
    rows that share a cluster.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.shape != other.shape or one.ndim != 1:
        raise DataError(f"The two kinds of clusters have shapes {one.shape} and {other.shape}; give one id a row each.")
    parts = [np.asarray(variance(ids), dtype=float) for ids in (one, other, both_alike(one, other))]
    total = parts[0] + parts[1] - parts[2]
    short = total <= 0
    larger = np.maximum(parts[0], parts[1])
    return np.where(short, larger, total), FALLBACK if bool((short & (larger > 0)).any()) else ""


def both_alike(first: ArrayLike, second: ArrayLike) -> Ints:
    """Number the rows so that those alike in both ids, and only those, share a number."""
    one, other = (np.unique(np.asarray(ids), return_inverse=True)[1].astype(np.int64) for ids in (first, second))
    return np.unique(one * (int(other.max(initial=0)) + 1) + other, return_inverse=True)[1].astype(np.int64)
