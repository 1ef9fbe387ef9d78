"""Full matching: everybody in a set with the other arm, one treated and several comparators or the other way round.

A full match of least total distance is an edge cover of least weight: pairs that leave nobody without a partner. With
m(v) the distance of v to its nearest, the cover costs the sum of all m(v) plus, over the pairs of a matching, d(u, v) -
m(u) - m(v); so a matching that makes this least (an assignment problem), and for everybody else their nearest, is
exact. On a line only neighbouring runs of people of one arm can gain, which leaves few pairs to look at.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints
from clinops.stats.matching import MatchedSets, by_stratum, check_choices, exact_codes, unmatched_note
from clinops.stats.optimal import checked_costs
from clinops.stats.propensity import as_treated

FULL_ESTIMANDS = ("att", "ate", "atc")
_MOST_PAIRS = 2_000_000  # that a linear programme is asked to hold


def full_match(
    distance: ArrayLike,
    treated: ArrayLike,
    *,
    estimand: str = "att",
    caliper: float | None = None,
    exact: ArrayLike | None = None,
    most_comparators: int | None = None,
    most_treated: int | None = None,
) -> MatchedSets:
    """Put everybody into a set with the other arm so that the distances within pairs add up to the least possible.

    Parameters
    ----------
    distance, treated, exact : as in `match`. estimand : "att", "ate" or "atc", for the weights.
    caliper : largest distance of a pair in SDs of `distance` over all rows; None (default) for none. Who has nobody
        within it is left out and counted, treated and comparators alike.
    most_comparators, most_treated : at most so many comparators for a treated, treated for a comparator.

    Returns
    -------
    MatchedSets; `pairs` are all treated and comparators that were put together, `set_id` their sets, and `weights` in a
    set of t treated and c comparators: ATT 1 and t/c, ATE (t+c)/t and (t+c)/c, ATC c/t and 1, each arm that is
    weighted scaled to average 1 (as MatchIt).

    Raises
    ------
    DefinitionError : unknown estimand, limits below 1. DataError : shapes, missing distances, limits that cannot be
    kept, limits with more pairs than can be held.

    Notes
    -----
    Without limits an assignment problem on neighbouring runs; with them a linear programme over all pairs within
    reach (1 <= pairs of a person <= limit), whose corners are whole numbers since its matrix is totally unimodular.
    Cluster on `set_id`. Source: Rosenbaum 1991; Hansen 2004; Stuart and Green 2008.
    """
    value, arm = np.asarray(distance, dtype=float), as_treated(treated)
    key = _checked(estimand, most_comparators, most_treated)
    check_choices(value, arm, 1, caliper, "data", None)
    limit = caliper * float(value.std(ddof=1)) if caliper is not None and len(value) > 1 else np.inf
    stratum, by_value = exact_codes(exact, len(value)), np.lexsort((np.arange(len(value)), value))
    found = []
    for line, pool in zip(
        by_stratum(by_value[arm[by_value]], stratum), by_stratum(by_value[~arm[by_value]], stratum), strict=True
    ):
        if not len(line) or not len(pool):
            continue
        if most_comparators is None and most_treated is None:
            one, other = _cover_on_a_line(value[line], value[pool], limit)
        else:
            one, other = _within_reach(value[line], value[pool], limit)
            far = np.abs(value[line[one]] - value[pool[other]])
            chosen = _limited_cover(one, other, far, most_comparators, most_treated)
            one, other = one[chosen], other[chosen]
        found.append((line[one], pool[other]))
    return _sets(arm, found, [np.abs(value[a] - value[b]) for a, b in found], key, None if caliper is None else limit)


def full_match_costs(
    costs: ArrayLike,
    treated: ArrayLike,
    *,
    estimand: str = "att",
    exact: ArrayLike | None = None,
    most_comparators: int | None = None,
    most_treated: int | None = None,
) -> MatchedSets:
    """As `full_match`, for any costs of pairs: (treated, comparators), infinite where a pair may not be."""
    arm = as_treated(treated)
    key = _checked(estimand, most_comparators, most_treated)
    line, pool, matrix = checked_costs(costs, arm, exact)
    one, other = (at.astype(np.int64) for at in np.nonzero(np.isfinite(matrix)))
    cost = matrix[one, other]
    if most_comparators is None and most_treated is None:
        chosen = _cover(one, other, cost)
    else:
        chosen = _limited_cover(one, other, cost, most_comparators, most_treated)
    return _sets(arm, [(line[one[chosen]], pool[other[chosen]])], [cost[chosen]], key, None)


def _checked(estimand: str, most_comparators: int | None, most_treated: int | None) -> str:
    key = estimand.lower()
    if key not in FULL_ESTIMANDS:
        raise DefinitionError(unknown("estimand of a full match", estimand, FULL_ESTIMANDS))
    for name, most in (("most_comparators", most_comparators), ("most_treated", most_treated)):
        if most is not None and (most < 1 or int(most) != most):
            raise DefinitionError(f"{name} is {most!r}; it must be a whole number, at least 1, or None.")
    return key


def _cover_on_a_line(x: Floats, y: Floats, limit: float) -> tuple[Ints, Ints]:
    """Cover sorted x and y; return the places of both ends of each chosen pair."""
    each_x, each_y = np.arange(len(x)), np.arange(len(y))
    one, other = [each_x, _nearest(x, y)], [_nearest(y, x), each_y]
    for inner_x, inner_y in _neighbouring_runs(x, y):
        size = min(len(inner_x), len(inner_y))
        inner_x, inner_y = inner_x[:size], inner_y[:size]
        if abs(x[inner_x[-1]] - y[inner_y[-1]]) <= limit:
            # the gain of a pair is a sum of one part for each end, so who of the innermost is with whom is alike
            one.append(inner_x)
            other.append(inner_y)
        else:
            one.append(np.repeat(inner_x, size))
            other.append(np.tile(inner_y, size))
    start, end = np.concatenate(one), np.concatenate(other)
    pair = np.unique(start * len(y) + end)
    start, end = pair // len(y), pair % len(y)
    far = np.abs(x[start] - y[end])
    near = far <= limit
    start, end, far = start[near], end[near], far[near]
    chosen = _cover(start, end, far)
    return start[chosen], end[chosen]


def _nearest(pool: Floats, wanted: Floats) -> Ints:
    """Place in the sorted pool of the one nearest to each wanted, the lower of two."""
    above = np.clip(np.searchsorted(pool, wanted), 0, len(pool) - 1)
    below = np.maximum(above - 1, 0)
    lower = np.abs(wanted - pool[below]) <= np.abs(pool[above] - wanted)
    return np.where(lower, below, above).astype(np.int64)


def _neighbouring_runs(x: Floats, y: Floats) -> list[tuple[Ints, Ints]]:
    """Return for each two runs of people of one arm that meet on the line the places in x and y, innermost first."""
    value = np.concatenate([x, y])
    side = np.repeat([0, 1], [len(x), len(y)])
    place = np.concatenate([np.arange(len(x)), np.arange(len(y))])
    order = np.lexsort((side, value))
    side, place = side[order], place[order]
    runs = np.split(place, np.flatnonzero(np.diff(side)) + 1)
    first = int(side[0])
    met = []
    for at, (left, right) in enumerate(pairwise(runs)):
        inner = left[::-1], right
        met.append(inner if (first + at) % 2 == 0 else inner[::-1])
    return [(one, other) for one, other in met]


def _cover(one: Ints, other: Ints, cost: Floats) -> Ints:
    """Choose pairs (by index) of least total cost that touch everybody who is in a pair at all."""
    if not len(cost):
        return np.zeros(0, np.int64)
    own, theirs = _cheapest(one, cost), _cheapest(other, cost)
    gain = cost - cost[own[one]] - cost[theirs[other]]
    useful = np.flatnonzero(gain < 0)
    matched = useful[_matching(one[useful], other[useful], gain[useful])]
    lone_one, lone_other = np.setdiff1d(one, one[matched]), np.setdiff1d(other, other[matched])
    return _without_spare(one, other, cost, np.unique(np.concatenate([matched, own[lone_one], theirs[lone_other]])))


def _cheapest(end: Ints, cost: Floats) -> Ints:
    """Index of each person's cheapest pair, by person; -1 for who has none."""
    order = np.lexsort((np.arange(len(end)), cost, end))
    people, first = np.unique(end[order], return_index=True)
    found = np.full(int(end.max()) + 1, -1, np.int64)
    found[people] = order[first]
    return found


def _matching(one: Ints, other: Ints, gain: Floats) -> Ints:
    """Choose pairs that share nobody and whose gains (below 0) add up to the least; each may also stay alone."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    if not len(gain):
        return np.zeros(0, np.int64)
    left, start = np.unique(one, return_inverse=True)
    right, end = np.unique(other, return_inverse=True)
    lift = 1.0 - float(gain.min())  # no weight may be 0; everybody on the left has one pair, so a constant is harmless
    alone = np.arange(len(left))
    weight = np.concatenate([gain + lift, np.full(len(left), lift)])
    graph = coo_array(
        (weight, (np.concatenate([start, alone]), np.concatenate([end, len(right) + alone]))),
        shape=(len(left), len(right) + len(left)),
    )
    rows, columns = min_weight_full_bipartite_matching(graph.tocsr())
    number = {(s, e): at for at, (s, e) in enumerate(zip(start.tolist(), end.tolist(), strict=True))}
    real = columns < len(right)
    pairs = zip(rows[real].tolist(), columns[real].tolist(), strict=True)
    return np.array([number[pair] for pair in pairs], np.int64)


def _without_spare(one: Ints, other: Ints, cost: Floats, chosen: Ints) -> Ints:
    """Leave out pairs whose both ends have another (they cost 0, or there would be a cheaper cover)."""
    times_one, times_other = np.bincount(one[chosen]), np.bincount(other[chosen])
    kept = []
    for at in chosen[np.argsort(-cost[chosen], kind="stable")].tolist():
        if times_one[one[at]] > 1 and times_other[other[at]] > 1:
            times_one[one[at]] -= 1
            times_other[other[at]] -= 1
        else:
            kept.append(at)
    return np.sort(np.array(kept, np.int64))


def _within_reach(x: Floats, y: Floats, limit: float) -> tuple[Ints, Ints]:
    """All pairs of sorted x and y within the limit."""
    low, high = np.searchsorted(y, x - limit, "left"), np.searchsorted(y, x + limit, "right")
    _refuse_too_many(int((high - low).sum()))
    one = np.repeat(np.arange(len(x)), high - low)
    other = np.concatenate([np.arange(a, b) for a, b in zip(low, high, strict=True)])
    near = np.abs(x[one] - y[other]) <= limit
    return one[near].astype(np.int64), other[near].astype(np.int64)


def _refuse_too_many(pairs: int) -> None:
    if pairs > _MOST_PAIRS:
        raise DataError(
            f"There are {pairs:,} pairs within reach, more than the {_MOST_PAIRS:,} that a full match with limits can"
            " hold; set a caliper, match within exact strata, or leave most_comparators and most_treated out."
        )


def _limited_cover(
    one: Ints, other: Ints, cost: Floats, most_comparators: int | None, most_treated: int | None
) -> Ints:
    """As `_cover`, with at most so many pairs a person."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_array, vstack

    _refuse_too_many(len(cost))
    if not len(cost):
        return np.zeros(0, np.int64)
    blocks, bounds, each = [], [], np.arange(len(cost))
    for end, most in ((one, most_comparators), (other, most_treated)):
        people, code = np.unique(end, return_inverse=True)
        touches = coo_array((np.ones(len(cost)), (code, each)), shape=(len(people), len(cost)))
        blocks.append(-touches)
        bounds.append(-np.ones(len(people)))
        if most is not None:
            blocks.append(touches)
            bounds.append(np.full(len(people), float(most)))
    # simplex, since the answer has to be a corner
    answer = linprog(cost, vstack(blocks).tocsr(), np.concatenate(bounds), bounds=(0, 1), method="highs-ds")
    if answer.status == 2:
        raise DataError(
            f"Nobody can be left out with at most {most_comparators or 'any number of'} comparators a treated and"
            f" {most_treated or 'any number of'} treated a comparator; raise a limit or narrow the population."
        )
    if not answer.success or np.abs(answer.x - np.round(answer.x)).max() > 1e-6:
        raise DataError(f"The linear programme of the full match found no answer: {answer.message}")
    return _without_spare(one, other, cost, np.flatnonzero(answer.x > 0.5).astype(np.int64))


def _sets(
    arm: NDArray[np.bool_], found: list[tuple[Ints, Ints]], apart: list[Floats], estimand: str, limit: float | None
) -> MatchedSets:
    n, empty = len(arm), np.zeros(0, np.int64)
    takers = np.concatenate([empty, *(pair[0] for pair in found)])
    taken = np.concatenate([empty, *(pair[1] for pair in found)])
    far = np.concatenate([np.zeros(0), *apart])
    order = np.lexsort((taken, far, takers))
    takers, taken, far = takers[order], taken[order], far[order]
    label = _numbered(n, takers, taken)
    n_treated, n_pool = int(arm.sum()), int((~arm).sum())
    kept = label >= 0
    lost, spare = n_treated - int((kept & arm).sum()), n_pool - int((kept & ~arm).sum())
    notes = [unmatched_note(n_treated, lost, n_pool)]
    if spare and n_treated and estimand != "att":
        notes.append(f"{spare} of {n_pool} comparators found no treated: the effect is that in those matched.")
    return MatchedSets(
        set_id=label,
        weights=set_weights(label, arm, estimand),
        pairs=np.column_stack([takers, taken]),
        distance=far,
        caliper=limit,
        n_treated=n_treated,
        n_matched_treated=n_treated - lost,
        n_unmatched_treated=lost,
        n_matched_comparators=n_pool - spare,
        share_unmatched=lost / n_treated if n_treated else np.nan,
        note=" ".join(filter(None, notes)),
    )


def _numbered(n: int, takers: Ints, taken: Ints) -> Ints:
    """(n,) sets 0, 1, ... in order of their first treated row; a set is a star, so its centre names it."""
    label = np.full(n, -1, np.int64)
    if not len(takers):
        return label
    centre = np.where(np.bincount(taken, minlength=n)[taken] > 1, taken, takers)
    label[takers], label[taken] = centre, centre
    members = np.flatnonzero(label >= 0)
    first = np.full(n, n, np.int64)
    np.minimum.at(first, centre, takers)
    label[members] = np.unique(first[label[members]], return_inverse=True)[1]
    return label


def set_weights(set_id: Ints, treated: NDArray[np.bool_], estimand: str = "att") -> Floats:
    """(n,) weights of people in matched sets (see `full_match`); 0 where set_id is -1."""
    kept, size = set_id >= 0, int(set_id.max(initial=-1)) + 1
    one = np.bincount(set_id[kept & treated], minlength=size).astype(float)
    zero = np.bincount(set_id[kept & ~treated], minlength=size).astype(float)
    shares = {
        "att": (np.ones(size), one / np.maximum(zero, 1)),
        "ate": ((one + zero) / np.maximum(one, 1), (one + zero) / np.maximum(zero, 1)),
        "atc": (zero / np.maximum(one, 1), np.ones(size)),
    }[estimand]
    weights = np.zeros(len(set_id))
    for rows, share in ((kept & treated, shares[0]), (kept & ~treated, shares[1])):
        if rows.any():
            weights[rows] = share[set_id[rows]] / share[set_id[rows]].mean()
    return weights
