"""Permutation test of a stepped wedge: the orders of roll-out that could as well have been drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import Floats, cluster_sums
from clinops.stats.stepped_wedge import WedgeRows, wedge_rows
from clinops.stats.wild import outward_limit

_TIE = 1e-9
_CELLS = 4_000_000


@dataclass(frozen=True)
class RollOutTest:
    """An effect with its permutation test and the interval of the effects that the test keeps.

    Attributes
    ----------
    estimate : from fixed effects of clusters and periods. p_value : two-sided, of `null`.
    conf_low, conf_high : infinite where no effect on that side is rejected.
    n_orders : orders compared. exact : whether these are all allowed ones. n_clusters : clusters.
    conf_level : of the interval. note : "" or what a reader must know.
    """

    estimate: float
    p_value: float
    conf_low: float
    conf_high: float
    null: float
    n_orders: int
    exact: bool
    n_clusters: int
    conf_level: float
    note: str


def roll_out_test(
    y: ArrayLike,
    cluster: ArrayLike,
    period: ArrayLike,
    first_treated: ArrayLike,
    *,
    seed: int,
    null: float = 0.0,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    allowed: ArrayLike | None = None,
    draws: int = 9999,
    conf_level: float = 0.95,
) -> RollOutTest:
    """Test the effect of a programme whose order of roll-out was drawn by lot.

    Answers: among the orders that could as well have been drawn, how many show as large an effect?

    Parameters
    ----------
    y, cluster, period, first_treated, weights : as in `stepped_wedge`, normal outcomes or means.
    strata : (n,) the same in all rows of a cluster; orders are exchanged within them only.
    allowed : (orders, clusters) first period of each cluster (sorted by id) in every order that could have been
        drawn (constrained randomisation), the observed one among them; None is every exchange of starts.
    draws : where there are no more allowed orders, each is taken once; otherwise so many are drawn by the seed.

    Raises
    ------
    DefinitionError : fewer than 19 draws; both strata and allowed. DataError : as `stepped_wedge`; an allowed list
    without the observed order; strata that change in a cluster.

    Notes
    -----
    Statistic: the coefficient of `stepped_wedge(model="fixed")`. Under an effect r, the outcomes less r x programme do
    not depend on the order, so P(r) is exact whatever the outcomes' distribution, and the interval holds every r it
    keeps, followed outward from the estimate. Assumes that the order was random and the effect the same for all.
    Source: Fisher 1935; Wang and De Gruttola 2017; Hughes and others 2020.
    """
    if draws < 19:
        raise DefinitionError(f"draws is {draws!r}; give at least 19, such as 9999.")
    if strata is not None and allowed is not None:
        raise DefinitionError("Give strata or allowed, not both: an allowed list says all.")
    rows = wedge_rows(y, cluster, period, first_treated, weights=weights)
    blocks, exact, total = _orders(rows, cluster, period, strata, allowed, draws, seed, weights)
    outcome, weight, WM = _cells(rows)
    toward_y = WM @ outcome
    seen = _programme(rows, rows.first[None, :])[0]
    strength = float(seen @ WM @ seen)
    if strength <= 1e-9 * float(weight @ seen):
        why = "Not estimable: the programme does not differ between clusters within periods."
        return RollOutTest(np.nan, np.nan, np.nan, np.nan, null, 0, False, rows.n_clusters, conf_level, why)
    estimate = float(seen @ toward_y) / strength
    effects, overlaps = [], []
    for starts in blocks:
        D = _programme(rows, starts)
        pulled = D @ WM
        below = np.einsum("ij,ij->i", pulled, D)
        with np.errstate(divide="ignore", invalid="ignore"):
            possible = below > 1e-9 * strength
            effects.append(np.where(possible, D @ toward_y / below, 0.0))
            overlaps.append(np.where(possible, pulled @ seen / below, 0.0))
    a, b = np.concatenate(effects), np.concatenate(overlaps)

    def p_value(r: float) -> float:
        beyond = int((np.abs(a - r * b) >= abs(estimate - r) * (1 - _TIE)).sum())
        return beyond / len(a) if exact else (1 + beyond) / (1 + len(a))

    step = float(np.std(a - estimate * b)) or 1.0
    low, high = (outward_limit(p_value, estimate, side * step, 1 - conf_level) for side in (-1, 1))
    note = ""
    if np.isinf(low) or np.isinf(high):
        note = f"{total:,} orders are too few to reject an effect at {100 * (1 - conf_level):g} %: infinite limits."
    return RollOutTest(estimate, p_value(null), low, high, null, len(a), exact, rows.n_clusters, conf_level, note)


def _cells(rows: WedgeRows) -> tuple[Floats, Floats, Floats]:
    """Return means and weights of cluster-periods, and weights times the map that takes both effects away."""
    code = rows.cluster * rows.n_periods + rows.period
    cells = rows.n_clusters * rows.n_periods
    sums = cluster_sums(np.column_stack([rows.weight, rows.weight * rows.y]), code, cells)
    weight = sums[:, 0]
    mean = np.divide(sums[:, 1], weight, out=np.zeros(cells), where=weight > 0)
    fixed = np.column_stack([
        np.repeat(np.eye(rows.n_clusters), rows.n_periods, axis=0),
        np.tile(np.eye(rows.n_periods), (rows.n_clusters, 1)),
    ])  # fmt: skip
    weighted = fixed * weight[:, None]
    return mean, weight, np.diag(weight) - weighted @ np.linalg.pinv(weighted.T @ fixed) @ weighted.T


def _programme(rows: WedgeRows, starts: Floats) -> Floats:
    """Return (orders, clusters x periods): whether the programme runs."""
    on = np.arange(rows.n_periods) >= starts[:, :, None]
    return on.reshape(len(starts), -1).astype(float)


def _orders(
    rows: WedgeRows,
    cluster: ArrayLike,
    period: ArrayLike,
    strata: ArrayLike | None,
    allowed: ArrayLike | None,
    draws: int,
    seed: int,
    weights: ArrayLike | None,
) -> tuple[Iterator[NDArray], bool, int]:
    """Return blocks of starts (orders, clusters), whether they are all there are, and how many there are."""
    ids = np.asarray(cluster)
    kept = np.ones(len(ids), bool) if weights is None else np.asarray(weights, dtype=float) > 0
    if allowed is not None:
        return _listed(rows, np.asarray(allowed, dtype=float), np.unique(np.asarray(period, dtype=float)[kept]))
    group = np.zeros(rows.n_clusters, dtype=int)
    if strata is not None:
        if np.shape(strata) != ids.shape:
            raise DataError(f"strata have shape {np.shape(strata)}; they must be {ids.shape} as y is.")
        labels = np.unique(np.asarray(strata)[kept], return_inverse=True)[1]
        group[rows.cluster] = labels
        if (group[rows.cluster] != labels).any():
            raise DataError("strata change within a cluster; orders are exchanged between clusters of one stratum.")
    members = [np.flatnonzero(group == one) for one in np.unique(group)]
    total = 1
    for one in members:
        counts = np.unique(rows.first[one], return_counts=True)[1]
        total *= factorial(len(one)) // int(np.prod([factorial(int(c)) for c in counts], dtype=object))
    if total <= draws:
        ways = [_arrangements(rows.first[one]) for one in members]
        return _joined(rows, members, ways), True, total
    rng = np.random.default_rng(seed)
    block = max(1, _CELLS // (rows.n_clusters * rows.n_periods))

    def drawn() -> Iterator[NDArray]:
        for start in range(0, draws, block):
            starts = np.tile(rows.first, (min(block, draws - start), 1))
            for one in members:
                starts[:, one] = rng.permuted(starts[:, one], axis=1)
            yield starts

    return drawn(), False, total


def _listed(rows: WedgeRows, given: Floats, times: Floats) -> tuple[Iterator[NDArray], bool, int]:
    if given.ndim != 2 or given.shape[1] != rows.n_clusters:
        raise DataError(f"allowed has shape {given.shape}; it must be (orders, {rows.n_clusters}), clusters by id.")
    late = np.isinf(given) | (given > times[-1])
    starts = np.where(late, np.inf, np.searchsorted(times, np.where(late, times[0], given)).astype(float))
    if not (starts == rows.first).all(axis=1).any():
        raise DataError("The observed order is not among the allowed ones; add it, or check the order of clusters.")
    return iter([starts]), True, len(starts)


def _arrangements(values: Floats) -> Floats:
    """Return every different order of values, equal ones counted once."""
    kinds, counts = np.unique(values, return_counts=True)
    found: list[list[float]] = []

    def place(so_far: list[float], left: list[int]) -> None:
        if len(so_far) == len(values):
            found.append(so_far)
            return
        for k, count in enumerate(left):
            if count:
                place([*so_far, float(kinds[k])], [*left[:k], count - 1, *left[k + 1 :]])

    place([], [int(c) for c in counts])
    return np.array(found)


def _joined(rows: WedgeRows, members: list[NDArray], ways: list[Floats]) -> Iterator[NDArray]:
    """Put the strata's orders together in every combination."""
    starts = np.empty((int(np.prod([len(one) for one in ways])), rows.n_clusters))
    for row, chosen in enumerate(product(*ways)):
        for one, values in zip(members, chosen, strict=True):
            starts[row, one] = values
    yield starts
