"""Greedy matching on several covariates by their Mahalanobis distance, within a propensity caliper if wanted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError
from clinops.stats.glm import Floats, Ints
from clinops.stats.matching import MatchedSets, assemble, by_stratum, check_choices, exact_codes, queue_of
from clinops.stats.propensity import as_covariates, as_treated

_SINGULAR = 1e-10  # of the largest variance: a direction without spread within the arms
_TIE = 1e-9  # Mahalanobis distances nearer than this are equal


@dataclass(frozen=True)
class _Space:
    """Coordinates (r, n) in which the distance is Euclidean, and each row's place in the order that settles ties."""

    at: Floats
    place: Ints
    note: str


@dataclass(frozen=True)
class _Rules:
    ratio: int
    replace: bool
    score: Floats
    limit: float


def match_mahalanobis(
    X: ArrayLike,
    treated: ArrayLike,
    *,
    ratio: int = 1,
    score: ArrayLike | None = None,
    caliper: float | None = None,
    exact: ArrayLike | None = None,
    replace: bool = False,
    order: str | None = None,
    seed: int | None = None,
) -> MatchedSets:
    """Match each treated row with the comparators nearest in k covariates, greedily.

    Parameters
    ----------
    X : (n, k) covariates; every level of a categorical one may have its column. treated : (n,) 0/1.
    ratio, exact, replace, seed : as in `match`.
    score : (n,) one more number, such as the propensity score, for the caliper and the order.
    caliper : largest distance of a pair in `score`, in its standard deviations over all rows; None for none.
    order : as in `match`; "largest" score by default, "data" (row order) without a score.

    Raises
    ------
    DefinitionError : as `match`; a caliper or an order by score without one. DataError : shapes, missing values.

    Notes
    -----
    d^2 = (x - z)' S^- (x - z), S the covariance within the arms, pooled over all rows; a direction without spread
    within the arms (a constant, a redundant column) separates no two comparators and does not count. Of comparators
    equally near (1e-9) the one furthest from the treated in a sort by (axis, row) is taken, the lower first, where
    axis is the covariate that the others explain best less what they explain: so does MatchIt's search. Each treated
    looks at every comparator, so the time grows with treated times comparators. Source: Rubin 1980; Rosenbaum and
    Rubin 1985 (caliper).
    Checked pair for pair against MatchIt 4.7.1.
    """
    arm = as_treated(treated)
    matrix = as_covariates(X, len(arm))
    if score is None and (caliper is not None or order in ("largest", "smallest")):
        raise DefinitionError("A caliper and the orders largest and smallest need `score`, the number they are about.")
    value = np.zeros(len(arm)) if score is None else np.asarray(score, dtype=float)
    first = order or ("data" if score is None else "largest")
    check_choices(value, arm, ratio, caliper, first, seed)
    limit = caliper * float(value.std(ddof=1)) if caliper is not None and len(value) > 1 else np.inf
    space, rules = _space(matrix, arm), _Rules(ratio, replace, value, limit)
    stratum = exact_codes(exact, len(arm))
    lines = by_stratum(queue_of(value, arm, first, seed), stratum)
    pools = by_stratum(np.flatnonzero(~arm), stratum)
    found = [
        _take(space, line, pool, rules) for line, pool in zip(lines, pools, strict=True) if len(line) and len(pool)
    ]
    apart = [np.sqrt(((space.at[:, a] - space.at[:, b]) ** 2).sum(axis=0)) for a, b in found]
    return assemble(arm, found, apart, None if caliper is None else limit, replace, space.note)


def standardised_space(matrix: Floats, arm: NDArray[np.bool_]) -> Floats:
    """(r, n) coordinates in which the Mahalanobis distance (covariance within the arms) is Euclidean."""
    return _space(matrix, arm).at


def _space(matrix: Floats, arm: NDArray[np.bool_]) -> _Space:
    """Turn and stretch the covariates so that their covariance within the arms is the identity."""
    n = len(matrix)
    centred = matrix - matrix.mean(axis=0) if n else matrix
    spread = np.sqrt((centred**2).mean(axis=0)) if n else np.zeros(matrix.shape[1])
    size = np.abs(matrix).max(axis=0, initial=0.0)
    standard = centred[:, spread > 1e-12 * size] / spread[spread > 1e-12 * size]
    within = standard.copy()
    for rows in (arm, ~arm):
        if rows.any():
            within[rows] -= within[rows].mean(axis=0)
    value, vector = np.linalg.eigh(within.T @ within / max(n - 2, 1))
    held = value > _SINGULAR * max(1.0, value.max(initial=0.0))
    turn = vector[:, held] / np.sqrt(value[held])
    if not held.any():
        note = "No covariate varies within the arms: all comparators are equally near, and row order decides."
        return _Space(np.zeros((1, n)), np.arange(n), note)
    inverse = turn @ turn.T
    diagonal = np.diag(inverse)
    pivot = int(np.argmax(np.round(diagonal / diagonal.max(), 9)))  # the first of equal ones
    axis = np.round(standard @ inverse[:, pivot] / np.sqrt(diagonal[pivot]), 9)
    place = np.empty(n, np.int64)
    place[np.argsort(axis, kind="stable")] = np.arange(n)
    return _Space(np.ascontiguousarray((standard @ turn).T), place, "")


@dataclass(frozen=True)
class _Pool:
    """The comparators of one stratum: coordinates (r, m), places and scores."""

    rows: Ints
    at: Floats
    place: Ints
    score: Floats


def _take(space: _Space, line: Ints, rows: Ints, rules: _Rules) -> tuple[Ints, Ints]:
    """Give out comparators: in rounds, or with replacement all of one treated's at once."""
    pool = _Pool(rows, np.ascontiguousarray(space.at[:, rows]), space.place[rows], rules.score[rows])
    free = np.ones(len(rows), dtype=bool)
    pairs: list[tuple[int, int]] = []
    if rules.replace:
        for row in line.tolist():
            own = free.copy()
            for _ in range(rules.ratio):
                _pick(space, pool, row, own, rules, pairs)
    else:
        waiting = line.tolist()
        for _ in range(rules.ratio):  # whoever finds nobody in this round finds nobody in the next
            waiting = [row for row in waiting if _pick(space, pool, row, free, rules, pairs)]
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], rows[found[:, 1]]


def _pick(
    space: _Space, pool: _Pool, row: int, free: NDArray[np.bool_], rules: _Rules, pairs: list[tuple[int, int]]
) -> bool:
    """Take the nearest free comparator within the caliper, if there is one."""
    allowed = free
    if rules.limit < np.inf:
        allowed = free & (np.abs(pool.score - rules.score[row]) <= rules.limit)
    far = np.zeros(len(pool.rows))
    for coordinate, mine in zip(pool.at, space.at[:, row], strict=True):
        gap = coordinate - mine
        far += gap * gap
    far[~allowed] = np.inf
    least = float(far.min())
    if least == np.inf:
        return False
    equal = np.flatnonzero(far <= (np.sqrt(least) + _TIE) ** 2)
    if len(equal) > 1:
        away = np.abs(pool.place[equal] - space.place[row])
        equal = equal[np.lexsort((pool.place[equal], -away))]
    pairs.append((row, int(equal[0])))
    free[equal[0]] = False
    return True
