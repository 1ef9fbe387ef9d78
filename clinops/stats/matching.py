"""Greedy nearest-neighbour matching on one distance, in about n log n, with MatchIt's rules for ties.

The loops here serve few rows; those of `matching_persons`, of equal results, serve many and person-dates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.compiled import worth_it
from clinops.stats.glm import Floats, Ints
from clinops.stats.matching_persons import match_persons, person_codes
from clinops.stats.propensity import as_treated

ORDERS = ("largest", "smallest", "data", "random")


@dataclass(frozen=True)
class MatchedSets:
    """Who was matched with whom; n rows.

    Attributes
    ----------
    set_id : (n,), 0, 1, ... in order of the first treated row; -1 when unmatched. With replacement, sets
        that share a comparator are one (so that clustering on it is honest).
    weights : (n,), 0 when unmatched; each matched treated 1, its comparators share 1, scaled so that
        comparators' weights average 1 (as MatchIt).
    pairs : (m, 2), row of the treated and of a comparator, in order of the treated's rows, nearest first.
    distance : (m,), absolute distance of each pair, in the units given (of `match_mahalanobis`: Mahalanobis).
    caliper : the caliper in the units given (of `match_mahalanobis`: in those of its `score`), or None.
    n_treated, n_matched_treated, n_unmatched_treated, n_matched_comparators : people.
    share_unmatched : unmatched of the treated, 0..1. When it is not 0 the estimand is no longer the effect
        in the treated but in the matched treated.
    note : "" or what a reader must know.
    """

    set_id: Ints
    weights: Floats
    pairs: Ints
    distance: Floats
    caliper: float | None
    n_treated: int
    n_matched_treated: int
    n_unmatched_treated: int
    n_matched_comparators: int
    share_unmatched: float
    note: str


def match(
    distance: ArrayLike,
    treated: ArrayLike,
    *,
    ratio: int = 1,
    caliper: float | None = 0.2,
    exact: ArrayLike | None = None,
    replace: bool = False,
    order: str = "largest",
    seed: int | None = None,
    person: ArrayLike | None = None,
) -> MatchedSets:
    """Match each treated row with its nearest comparators, greedily.

    Parameters
    ----------
    distance : (n,) any number on which near means alike; the logit of the propensity score by default of
        the callers (a PropensityFit's `.logit`).
    treated : (n,) 0/1.
    ratio : comparators for each treated; given out in rounds, so everyone gets a first before a second.
    caliper : largest distance of a pair, in standard deviations of `distance` over all rows; None for none.
    exact : (n,) or (n, q) labels that must be equal within a pair.
    replace : whether a comparator may serve several treated.
    order : who chooses first without replacement: "largest" distance (default), "smallest", "data" (row
        order) or "random" (needs `seed`).
    person : (n,) ids of the persons whose rows (person-dates) these are. A person then serves once, with whichever
        row, unless `replace`; never for themselves, and never twice in one set. Rows of people who are treated
        later may serve until then.

    Raises
    ------
    DefinitionError : unknown order, ratio below 1, caliper below 0, random without a seed. DataError : shapes,
    missing distances.

    Notes
    -----
    Among all free comparators the nearest is taken, the caliper included; of comparators with an equal value
    the one closest to the treated in a stable sort by (distance, row); of one below and one above at the
    same distance, the one below. Source: Rosenbaum and Rubin 1985; Austin 2011 (0.2 SD of the logit).
    With persons, those already taken and the treated person's own rows are passed over. Checked pair for pair
    against MatchIt 4.7.1, method = "nearest", and with persons against looking at every row. Least total distance:
    `optimal_match`, `full_match`; several covariates at once: `match_mahalanobis`; equality: `exact_match`. Not
    covered: genetic and cardinality matching.
    """
    value, arm = np.asarray(distance, dtype=float), as_treated(treated)
    check_choices(value, arm, ratio, caliper, order, seed)
    limit = np.inf if caliper is None else caliper * float(value.std(ddof=1)) if len(value) > 1 else np.inf
    queue = queue_of(value, arm, order, seed)
    stratum = exact_codes(exact, len(value))
    if person is not None or worth_it(len(value)):
        who = np.arange(len(value)) if person is None else person_codes(person, len(value))
        pool = np.flatnonzero(~arm)
        pair = match_persons(value, queue, pool, stratum, who, ratio, limit, replace)
        far_apart = np.abs(value[pair[0]] - value[pair[1]])
        return assemble(arm, [pair], [far_apart], None if caliper is None else limit, replace)
    lines, pools = by_stratum(queue, stratum), by_stratum(np.flatnonzero(~arm), stratum)
    found: list[tuple[Ints, Ints]] = []
    for line, pool in zip(lines, pools, strict=True):
        if len(line) and len(pool):
            take = _with_replacement if replace else _without_replacement
            found.append(take(value, line, pool, ratio, limit))
    far = [np.abs(value[takers] - value[taken]) for takers, taken in found]
    return assemble(arm, found, far, None if caliper is None else limit, replace)


def check_choices(
    value: Floats, arm: NDArray[np.bool_], ratio: int, caliper: float | None, order: str, seed: int | None
) -> None:
    """Refuse choices that cannot be followed and distances that cannot be compared."""
    if value.shape != arm.shape:
        raise DataError(f"distance has shape {value.shape} and treated {arm.shape}; they must be equal.")
    missing = int((~np.isfinite(value)).sum())
    if missing:
        raise DataError(f"{missing} of {len(value)} distances are missing or infinite; set those rows aside.")
    if order not in ORDERS:
        raise DefinitionError(unknown("order of matching", order, ORDERS))
    if order == "random" and seed is None:
        raise DefinitionError('order="random" needs a seed, so that the same match can be made again.')
    if ratio < 1 or int(ratio) != ratio:
        raise DefinitionError(f"ratio is {ratio!r}; it must be a whole number, at least 1.")
    if caliper is not None and not caliper >= 0:
        raise DefinitionError(f"caliper is {caliper!r}; it must be 0 or more standard deviations, or None.")


def queue_of(value: Floats, arm: NDArray[np.bool_], order: str, seed: int | None) -> Ints:
    """Return the rows of the treated in the order in which they choose."""
    rows = np.flatnonzero(arm).astype(np.int64)
    if order == "largest":
        return rows[np.argsort(-value[rows], kind="stable")]
    if order == "smallest":
        return rows[np.argsort(value[rows], kind="stable")]
    return rows if order == "data" else np.random.default_rng(seed).permutation(rows)


def exact_codes(exact: ArrayLike | None, n: int) -> Ints:
    """Number the rows 0, 1, ... by their labels, (n,) or (n, q); equal ones alike, all 0 without labels."""
    if exact is None:
        return np.zeros(n, np.int64)
    labels = np.asarray(exact)
    if len(labels) != n or labels.ndim > 2:
        raise DataError(f"exact has shape {labels.shape}; it must have one row for each of the {n} people.")
    columns = labels[:, None] if labels.ndim == 1 else labels
    code = np.zeros(n, np.int64)
    for column in columns.T:
        level = _numbered(column)
        code = _numbered(code * (int(level.max(initial=0)) + 1) + level)
    return code


def _numbered(labels: NDArray) -> Ints:
    """Number the labels 0, 1, ... in their order; by a table instead of sorting where they are near whole numbers."""
    if len(labels) and labels.dtype.kind in "iu" and int(labels.max()) - int(labels.min()) < 4 * len(labels):
        at = labels.astype(np.int64) - int(labels.min())
        there = np.zeros(int(at.max()) + 1, dtype=bool)
        there[at] = True
        return (np.cumsum(there) - 1)[at]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def by_stratum(rows: Ints, stratum: Ints) -> list[Ints]:
    """Split rows by their stratum 0, 1, ..., keeping their order within each; empty where it has none."""
    if not len(stratum):
        return []
    order = rows[np.argsort(stratum[rows], kind="stable")]
    return np.split(order, np.searchsorted(stratum[order], np.arange(1, stratum.max() + 1)))


def _places(value: Floats, line: Ints, pool: Ints) -> tuple[Ints, Ints]:
    """Sort the pool by (value, row); return it and how many of it sort before each row of the line."""
    both = np.concatenate([pool, line])
    order = np.lexsort((both, value[both]))
    from_pool = order < len(pool)
    before = np.empty(len(both), np.int64)
    before[order] = np.cumsum(from_pool)
    return both[order[from_pool]], before[len(pool) :]


def _without_replacement(value: Floats, line: Ints, pool: Ints, ratio: int, limit: float) -> tuple[Ints, Ints]:
    """Take the nearest free comparator for each in turn; union-find skips those already taken.

    `up[i]` leads to the first free place at or above i, `down[i]` to the first free at or below i - 1
    (shifted by one so that 0 means none). Plain lists: indexing them is faster than numpy's.
    """
    ranked, before = _places(value, line, pool)
    size = len(ranked)
    at = value[ranked].tolist()
    up, down = list(range(size + 1)), list(range(size + 1))
    takers, taken = [], []
    waiting = list(zip(line.tolist(), value[line].tolist(), before.tolist(), strict=True))
    for _ in range(ratio):
        matched = []
        for row, mine, place in waiting:
            above, below = _find(up, place), _find(down, place)
            far_below = mine - at[below - 1] if below > 0 else np.inf
            far_above = at[above] - mine if above < size else np.inf
            pick, far = (below - 1, far_below) if far_below <= far_above else (above, far_above)
            if far > limit or far == np.inf:
                continue
            takers.append(row)
            taken.append(pick)
            up[pick], down[pick + 1] = pick + 1, pick
            matched.append((row, mine, place))
        waiting = matched  # whoever found nobody in this round finds nobody in the next
    return np.array(takers, np.int64), ranked[np.array(taken, np.int64)]


def _find(parent: list[int], place: int) -> int:
    root = place
    while parent[root] != root:
        root = parent[root]
    while parent[place] != root:
        parent[place], place = root, parent[place]
    return root


def _with_replacement(value: Floats, line: Ints, pool: Ints, ratio: int, limit: float) -> tuple[Ints, Ints]:
    """Look at `ratio` places either side of each treated, all at once."""
    ranked, before = _places(value, line, pool)
    # 1 below, 1 above, 2 below, 2 above, ...: a stable sort by distance then prefers below at ties
    reach = np.array([step for k in range(ratio) for step in (-k - 1, k)])
    place = before[:, None] + reach
    inside = (place >= 0) & (place < len(ranked))
    candidate = ranked[np.clip(place, 0, len(ranked) - 1)]
    far = np.where(inside, np.abs(value[line][:, None] - value[candidate]), np.inf)
    best = np.argsort(far, axis=1, kind="stable")[:, :ratio]
    chosen, near = np.take_along_axis(candidate, best, 1), np.take_along_axis(far, best, 1)
    good = (near <= limit) & np.isfinite(near)
    return np.broadcast_to(line[:, None], chosen.shape)[good], chosen[good]


def assemble(
    arm: NDArray[np.bool_],
    found: list[tuple[Ints, Ints]],
    apart: list[Floats],
    caliper: float | None,
    replace: bool,
    note: str = "",
) -> MatchedSets:
    """Make sets and weights of pairs (treated, comparator) and their distances, each treated's nearest first."""
    n, empty = len(arm), np.zeros(0, np.int64)
    takers = np.concatenate([empty, *(pair[0] for pair in found)])
    taken = np.concatenate([empty, *(pair[1] for pair in found)])
    far = np.concatenate([np.zeros(0), *apart])
    order = np.argsort(takers, kind="stable")  # rounds come nearest first, so the order within a treated stays
    takers, taken, far = takers[order], taken[order], far[order]
    matched = takers[np.flatnonzero(np.diff(takers, prepend=-1))]  # they stand in order
    n_treated, n_matched = int(arm.sum()), len(matched)
    weights = np.zeros(n)
    weights[matched] = 1.0
    mates = np.bincount(takers, minlength=n)
    weights += np.bincount(taken, weights=1.0 / np.maximum(mates[takers], 1), minlength=n)
    n_comparators = int(np.count_nonzero(np.bincount(taken, minlength=n)))
    if n_matched:
        weights[~arm] *= n_comparators / n_matched
    lost = n_treated - n_matched
    return MatchedSets(
        set_id=_set_ids(n, takers, taken, replace),
        weights=weights,
        pairs=np.column_stack([takers, taken]),
        distance=far,
        caliper=caliper,
        n_treated=n_treated,
        n_matched_treated=n_matched,
        n_unmatched_treated=lost,
        n_matched_comparators=n_comparators,
        share_unmatched=lost / n_treated if n_treated else np.nan,
        note=" ".join(filter(None, (note, unmatched_note(n_treated, lost, int((~arm).sum()))))),
    )


def _set_ids(n: int, takers: Ints, taken: Ints, replace: bool) -> Ints:
    label = np.full(n, -1, np.int64)
    if not len(takers):
        return label
    if not replace:
        sets = np.cumsum(np.diff(takers, prepend=takers[0]) > 0)
        label[takers], label[taken] = sets, sets
        return label
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(takers)), (takers, taken)), shape=(n, n))
    component = connected_components(graph, directed=False)[1]
    members = np.unique(np.concatenate([takers, taken]))
    _, first, code = np.unique(component[takers], return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    number = np.full(component.max() + 1, -1, np.int64)
    number[component[takers]] = rank[code]
    label[members] = number[component[members]]
    return label


def unmatched_note(n_treated: int, lost: int, n_pool: int) -> str:
    """Say how many treated found nobody, and whose effect is estimated then."""
    if not n_treated or not n_pool:
        return f"Nothing to match: {n_treated} treated and {n_pool} comparators."
    if not lost:
        return ""
    share = 100 * lost / n_treated
    return (
        f"{lost} of {n_treated} treated ({share:.1f} %) found no comparator: the estimand is the effect in"
        " the matched treated."
    )
