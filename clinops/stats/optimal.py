"""Optimal matching: the pairs whose distances add up to the least there is, not the nearest one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints
from clinops.stats.mahalanobis import standardised_space
from clinops.stats.matching import MatchedSets, assemble, by_stratum, check_choices, exact_codes
from clinops.stats.propensity import as_covariates, as_treated


def optimal_match(
    distance: ArrayLike,
    treated: ArrayLike,
    *,
    ratio: int = 1,
    caliper: float | None = 0.2,
    exact: ArrayLike | None = None,
) -> MatchedSets:
    """Match 1:k on one number so that the sum of the distances within pairs is the least possible.

    Parameters
    ----------
    distance, treated, ratio, caliper, exact : as in `match`; every comparator serves once.

    Returns
    -------
    MatchedSets; of all ways to match as many treated as can be matched (and of those, to make as many pairs as can
    be made) one with the least sum of distances. Of comparators that serve equally well the lower in (distance, row).

    Raises
    ------
    As `match`.

    Notes
    -----
    On a line no two pairs of an optimal match need cross, so that the treated and the comparators, both sorted, are
    gone through once: f(i, j), the best for the first i and j of them, is the least of f(i - 1, j) with i unmatched,
    f(i, j - 1), and f(i - 1, j - 1) + |x_i - y_j|. Within a caliper too: uncrossing two pairs makes neither the sum
    nor the longer of their distances larger. Time and memory (two bits a pair) grow with k times the pairs within the
    caliper, or within as many comparators either side as there are mates to give out. Source: Rosenbaum 1989; Hansen
    and Klopfer 2006.
    """
    value, arm = np.asarray(distance, dtype=float), as_treated(treated)
    check_choices(value, arm, ratio, caliper, "data", None)
    limit = np.inf if caliper is None else caliper * float(value.std(ddof=1)) if len(value) > 1 else np.inf
    stratum, by_value = exact_codes(exact, len(value)), np.lexsort((np.arange(len(value)), value))
    lines, pools = by_stratum(by_value[arm[by_value]], stratum), by_stratum(by_value[~arm[by_value]], stratum)
    found = []
    for line, pool in zip(lines, pools, strict=True):
        if len(line) and len(pool):
            takers, taken = _on_a_line(value[line], value[pool], ratio, limit)
            found.append((line[takers], pool[taken]))
    return _assembled(arm, found, [np.abs(value[a] - value[b]) for a, b in found], None if caliper is None else limit)


def optimal_match_costs(
    costs: ArrayLike, treated: ArrayLike, *, ratio: int = 1, exact: ArrayLike | None = None
) -> MatchedSets:
    """Match 1:k so that the sum of any costs is the least possible.

    Parameters
    ----------
    costs : (treated, comparators) cost >= 0 of each pair, both in the order of the rows; infinite where a pair may not
        be (see `mahalanobis_costs`). treated, ratio, exact : as in `match`.

    Raises
    ------
    DataError : a shape that does not fit, negative or missing costs. DefinitionError : ratio.

    Notes
    -----
    As many treated as can be matched, then as many pairs, then the least sum, by the assignment problem (Crouse 2016 as
    in SciPy), in which whoever goes without pays more than all pairs together could cost.
    """
    arm = as_treated(treated)
    check_choices(np.zeros(len(arm)), arm, ratio, None, "data", None)
    line, pool, matrix = checked_costs(costs, arm, exact)
    takers, taken = _assigned(matrix, ratio) if matrix.size else (np.zeros(0, np.int64), np.zeros(0, np.int64))
    return _assembled(arm, [(line[takers], pool[taken])], [matrix[takers, taken]], None)


def mahalanobis_costs(
    X: ArrayLike, treated: ArrayLike, *, score: ArrayLike | None = None, caliper: float | None = None
) -> Floats:
    """(treated, comparators) Mahalanobis distances as in `match_mahalanobis`; infinite beyond a caliper of the score.

    caliper : in standard deviations of `score` over all rows.
    """
    arm = as_treated(treated)
    at = standardised_space(as_covariates(X, len(arm)), arm).T
    line, pool = at[arm], at[~arm]
    squares = (line**2).sum(axis=1)[:, None] + (pool**2).sum(axis=1) - 2 * line @ pool.T
    far = np.sqrt(np.maximum(squares, 0.0))
    if score is None or caliper is None:
        return far
    value = np.asarray(score, dtype=float)
    check_choices(value, arm, 1, caliper, "data", None)
    limit = caliper * float(value.std(ddof=1)) if len(value) > 1 else np.inf
    return np.where(np.abs(value[arm][:, None] - value[~arm]) <= limit, far, np.inf)


def checked_costs(costs: ArrayLike, arm: NDArray[np.bool_], exact: ArrayLike | None) -> tuple[Ints, Ints, Floats]:
    """Return the rows of both arms and their costs, infinite between strata."""
    line, pool = np.flatnonzero(arm).astype(np.int64), np.flatnonzero(~arm).astype(np.int64)
    matrix = np.array(costs, dtype=float)
    if matrix.shape != (len(line), len(pool)):
        raise DataError(f"costs has shape {matrix.shape}; there are {len(line)} treated and {len(pool)} comparators.")
    if np.isnan(matrix).any() or (matrix < 0).any():
        raise DataError("costs must not be negative or missing; give infinity for a pair that may not be.")
    stratum = exact_codes(exact, len(arm))
    matrix[stratum[line][:, None] != stratum[pool]] = np.inf
    return line, pool, matrix


def _assembled(
    arm: NDArray[np.bool_], found: list[tuple[Ints, Ints]], apart: list[Floats], limit: float | None
) -> MatchedSets:
    """As `assemble`, each treated's nearest first."""
    order = [np.lexsort((pair[1], far, pair[0])) for pair, far in zip(found, apart, strict=True)]
    pairs = [(pair[0][o], pair[1][o]) for pair, o in zip(found, order, strict=True)]
    return assemble(arm, pairs, [far[o] for far, o in zip(apart, order, strict=True)], limit, False)


@dataclass(frozen=True)
class _Row:
    """The cells of one treated, `first` to `last`: whether matched there, and whether no better than the one before."""

    first: int
    last: int
    matched: NDArray[np.uint8]
    inherited: NDArray[np.uint8]


def _on_a_line(x: Floats, y: Floats, ratio: int, limit: float) -> tuple[Ints, Ints]:
    """Pair sorted treated with sorted comparators; return places in both.

    A state's worth is a complex number, which numpy orders by its real part first: what went unmatched (a treated
    without anybody outweighs all further mates that are lacking), then the sum of distances. Cell j is the best of
    the first j comparators. Nobody needs one beyond the caliper, nor beyond as many as there are mates to give out.
    """
    copies = len(x) * ratio
    place = np.searchsorted(y, x)
    low = np.maximum(np.maximum(np.searchsorted(y, x - limit) - 1, place - copies), 0)
    high = np.minimum(np.minimum(np.searchsorted(y, x + limit, "right") + 1, place + copies), len(y))
    best, known, rows = np.zeros(len(y) + 1, complex), 0, []
    for mine, first, last in zip(x, low.tolist(), high.tolist(), strict=True):
        best[known + 1 : last + 1] = best[known]  # nothing was within reach there yet
        known = last
        far = np.abs(y[first:last] - mine)
        cost = np.where(far <= limit, far * 1j, np.inf)
        for copy in range(ratio):
            fresh = best[first : last + 1] + float(1 if copy else copies + 1)
            pairing = best[first:last] + cost
            took, same = (np.zeros(len(fresh), bool) for _ in range(2))
            np.less(pairing, fresh[1:], out=took[1:])
            fresh[1:][took[1:]] = pairing[took[1:]]
            now = np.minimum.accumulate(fresh)
            np.equal(now[1:], now[:-1], out=same[1:])
            best[first : last + 1] = now
            rows.append(_Row(first, last, np.packbits(took), np.packbits(same)))
    return _traced(rows, len(y), ratio)


def _traced(rows: list[_Row], cells: int, ratio: int) -> tuple[Ints, Ints]:
    """Walk back from the last cell along the choices that were made."""
    takers, taken, cell = [], [], cells
    for at in range(len(rows) - 1, -1, -1):
        row = rows[at]
        inside = min(cell, row.last) - row.first
        own = np.flatnonzero(np.unpackbits(row.inherited, count=inside + 1) == 0)[-1]  # the first is nobody's heir
        cell = int(own) + row.first
        if row.matched[own >> 3] >> (7 - (own & 7)) & 1:
            cell -= 1
            takers.append(at // ratio)
            taken.append(cell)
    return np.array(takers[::-1], np.int64), np.array(taken[::-1], np.int64)


def _assigned(costs: Floats, ratio: int) -> tuple[Ints, Ints]:
    """Solve the assignment problem of every treated `ratio` times, with a way out for each."""
    from scipy.optimize import linear_sum_assignment

    allowed = np.isfinite(costs)
    copies, n_pool = costs.shape[0] * ratio, costs.shape[1]
    largest = float(costs[allowed].max(initial=0.0)) or 1.0
    fee = (copies + 1) * largest  # more than all pairs together
    fees = np.tile([fee * (copies + 1) if ratio > 1 else fee] + [fee] * (ratio - 1), costs.shape[0])
    whole = np.repeat(np.where(allowed, costs, np.inf), ratio, axis=0)
    if not allowed.all() or copies > n_pool:
        whole = np.concatenate([whole, np.repeat(fees[:, None], copies, axis=1)], axis=1)
    rows, columns = linear_sum_assignment(whole)
    real = columns < n_pool
    return (rows[real] // ratio).astype(np.int64), columns[real].astype(np.int64)
