"""Working correlations of clustered rows: estimated from residuals, and their inverse applied without a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints, cluster_sums

_EDGE = 1e-9  # a matrix nearer than this to having no inverse has none: rounding decides
STRUCTURES = ("independence", "exchangeable", "nested exchangeable", "ar1")


@dataclass(frozen=True)
class Layout:
    """Rows sorted by cluster (and time): where clusters and cluster-periods begin.

    Attributes
    ----------
    structure : one of STRUCTURES. cluster : (n,) codes 0, 1, ... time : (n,), 0 without.
    cell : (n,) codes of cluster and time together, of which `owner` gives the cluster.
    gap : (n,) time since the row before of the same cluster; 0 for the first. n_clusters : G.
    """

    structure: str
    cluster: Ints
    time: Floats
    cell: Ints
    owner: Ints
    gap: Floats
    n_clusters: int

    @property
    def first(self) -> Ints:
        """Places of each cluster's first row."""
        return np.flatnonzero(np.diff(self.cluster, prepend=-1)).astype(np.int64)


def lay_out(structure: str, cluster: Ints, time: Floats) -> Layout:
    """Return the layout of rows that are already in order; times of "ar1" must differ within a cluster.

    Raises
    ------
    DataError : two rows of one cluster and time under "ar1".
    """
    new = np.diff(cluster, prepend=-1) != 0
    gap = np.where(new, 0.0, np.diff(time, prepend=np.nan))
    if structure == "ar1" and (gap[~new] == 0).any():
        raise DataError(f"{int((gap[~new] == 0).sum())} rows repeat a cluster and time; 'ar1' wants one row each.")
    cell = (np.cumsum(new | (gap != 0)) - 1).astype(np.int64)
    owner = cluster[np.flatnonzero(np.diff(cell, prepend=-1))]
    return Layout(structure, cluster, time, cell, owner, gap, int(cluster.max(initial=-1)) + 1)


def estimate_correlation(layout: Layout, residual: Floats, scale: float) -> Floats:
    """Return the parameters from standardised residuals, by moments over all pairs of a cluster.

    One for "exchangeable"; within and between periods for "nested exchangeable"; for "ar1" the a that minimises
    sum over lags of pairs x (mean product - a^lag)^2. NaN where there is no pair to tell it.
    """
    if layout.structure == "independence":
        return np.zeros(0)
    if layout.structure == "ar1":
        return np.array([_ar1(layout, residual / np.sqrt(scale))])
    by_cluster, in_clusters = _pairs(residual, layout.cluster, layout.n_clusters)
    if layout.structure == "exchangeable":
        return np.array([_mean(by_cluster, in_clusters) / scale])
    by_cell, in_cells = _pairs(residual, layout.cell, len(layout.owner))
    return np.array([_mean(by_cell, in_cells), _mean(by_cluster - by_cell, in_clusters - in_cells)]) / scale


def _pairs(values: Floats, code: Ints, groups: int) -> tuple[float, float]:
    """Return the sum of products over pairs within groups, and the number of pairs."""
    sums = np.bincount(code, weights=values, minlength=groups)
    size = np.bincount(code, minlength=groups)
    return float((sums**2).sum() - (values**2).sum()) / 2, float((size * (size - 1)).sum()) / 2


def _mean(total: float, number: float) -> float:
    return total / number if number else np.nan


def _ar1(layout: Layout, z: Floats) -> float:
    """Solve sum over pairs of lag a^(lag - 1) (product - a^lag) = 0, the least squares over all pairs."""
    from scipy.optimize import brentq

    products: dict[float, list[float]] = {}
    place = np.arange(len(z)) - np.repeat(layout.first, np.diff(np.append(layout.first, len(z))))
    for step in range(1, int(place.max(initial=0)) + 1):
        late = np.flatnonzero(place >= step)
        lag = layout.time[late] - layout.time[late - step]
        for one in np.unique(lag):
            at = late[lag == one]
            total, number = products.get(float(one), [0.0, 0.0])
            products[float(one)] = [total + float(z[at] @ z[at - step]), number + len(at)]
    if not products:
        return np.nan
    lags = np.array(list(products))
    total, number = np.array(list(products.values())).T
    # Negative values only make sense for whole lags, of which a power is real.
    low = -0.999 if (lags == np.round(lags)).all() else 0.0
    grid = np.linspace(low, 0.999, 400)
    loss = (number * grid[:, None] ** (2 * lags) - 2 * total * grid[:, None] ** lags).sum(axis=1)
    best = int(np.argmin(loss))

    def slope(a: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            return float((lags * a ** (lags - 1) * (number * a**lags - total)).sum())

    left, right = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    if slope(left) * slope(right) > 0:
        return float(grid[best])
    return float(brentq(slope, left, right, xtol=1e-14, rtol=1e-13))


def is_possible(layout: Layout, parameters: Floats) -> bool:
    """Whether these parameters make a correlation matrix that has an inverse, in every cluster."""
    if not np.isfinite(parameters).all():
        return False
    if layout.structure == "independence":
        return True
    if layout.structure == "ar1":
        return bool(abs(parameters[0]) < 1)
    within, between = parameters[0], parameters[-1]
    if layout.structure == "exchangeable":
        size = np.bincount(layout.cluster)
        return bool(within < 1 and (1 + (size - 1) * within > _EDGE).all())
    size = np.bincount(layout.cell)
    own = 1 - within + size * (within - between)
    if not (within < 1 and (own > _EDGE).all()):
        return False
    return bool((1 + between * np.bincount(layout.owner, size / own) > _EDGE).all())


def apply_inverse(layout: Layout, parameters: Floats, values: Floats) -> Floats:
    """Return the inverse working correlation times (n, q) values, cluster by cluster."""
    if layout.structure == "independence":
        return values
    if layout.structure == "ar1":
        return _apply_ar1(layout, float(parameters[0]), values)
    within, between = float(parameters[0]), float(parameters[-1])
    if layout.structure == "exchangeable":
        groups, code, extra, owner = layout.n_clusters, layout.cluster, 0.0, np.arange(layout.n_clusters)
    else:
        groups, code, extra, owner = len(layout.owner), layout.cell, within - between, layout.owner
    size = np.bincount(code, minlength=groups).astype(float)
    own = 1 - within + size * extra
    sums = cluster_sums(values, code, groups)
    # Blocks of cells first, then the part that the whole cluster shares.
    cleared = (values - (extra * sums / own[:, None])[code]) / (1 - within)
    ones = size / own
    shared = cluster_sums(sums / own[:, None], owner, layout.n_clusters)
    factor = between / (1 + between * np.bincount(owner, weights=ones, minlength=layout.n_clusters))
    out: Floats = cleared - (factor[:, None] * shared)[owner][code] / own[code][:, None]
    return out


def _apply_ar1(layout: Layout, a: float, values: Floats) -> Floats:
    """Turn rows into independent innovations, and back with the transposed map."""
    inside = layout.gap > 0
    power = np.where(inside, np.sign(a) ** layout.gap * np.abs(a) ** layout.gap, 0.0)
    scale = 1 / (1 - power**2)
    before = np.vstack([np.zeros((1, values.shape[1])), values[:-1]])
    innovation = (values - power[:, None] * before) * scale[:, None]
    after = np.vstack([innovation[1:] * power[1:, None], np.zeros((1, values.shape[1]))])
    out: Floats = innovation - after
    return out
