"""Cumulative incidences time by time, and their variances: Greenwood's, Aalen's, and robust over rows or clusters.

An event of cause j at time u changes the incidence of cause c at t by S(u-) ([j = c] + y), where
y = -(F_c(t) - F_c(u)) / S(u) is what the people it removes would still have contributed. All variances follow from
that one derivative; as a function of F_c(t) each is a quadratic, so cumulative sums give it at every t at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.stats.life_table import life_table
from clinops.stats.risk_sets import Bools, Floats, Ints, RiskSets, Spells, ratio

KINDS = ("greenwood", "aalen", "robust")


@dataclass(frozen=True)
class Increments:
    """What happens at each of m moments, K causes.

    n_risk, n_event, before, after : (m,) weighted numbers at risk and with any event, S(t-) and S(t).
    by_cause, incidence : (m, K) weighted events of each cause, F(t).
    """

    n_risk: Floats
    n_event: Floats
    before: Floats
    after: Floats
    by_cause: Floats
    incidence: Floats

    @property
    def share(self) -> Floats:
        """S(t-) / n: what one event at t adds to the incidence of its cause."""
        return ratio(self.before, self.n_risk, self.n_risk > 0)

    @property
    def inverse(self) -> Floats:
        """1 / S(t), 0 where nobody is left, since nothing follows there."""
        return ratio(np.ones(len(self.after)), self.after, self.after > 0)


def increments(rows: Spells, mine: Ints, causes: int) -> tuple[Floats, Increments, Floats]:
    """Return the moments, what happens at each, and the weighted rows that end there without an event: (m,)."""
    table = life_table(rows, mine + 1, causes)
    n_event = table.n_event.sum(axis=1)
    factor = 1 - ratio(n_event, table.n_risk, table.n_risk > 0)
    factor[table.all_gone] = 0.0
    survival = np.cumprod(factor, dtype=np.float64)
    before = np.concatenate([[1.0], survival])[:-1] if len(survival) else np.zeros(0)
    share = ratio(before, table.n_risk, table.n_risk > 0)
    incidence = np.cumsum(share[:, None] * table.n_event, axis=0)
    at = Increments(table.n_risk, n_event, before, survival, table.n_event, incidence)
    return table.time, at, table.n_censor


def _spread(at: Increments, cause: int, kind: str) -> tuple[Floats, Floats, Floats]:
    """Return A, B, C of the variance A y^2 + 2 B g y + C g^2 of a moment's contribution, g that of the cause itself."""
    n, own = at.n_risk, at.by_cause[:, cause]
    square = at.share**2
    if kind == "aalen":
        mine, others = (square * d * _hypergeometric(d, n) for d in (own, at.n_event - own))
        return mine + others, mine, mine
    survives = 1 - ratio(at.n_event, n, n > 0)
    return square * at.n_event * survives, square * own * survives, square * own * (1 - ratio(own, n, n > 0))


def _hypergeometric(d: Floats, n: Floats) -> Floats:
    """(n - d) / (n - 1) where several share a time: they are drawn without replacement."""
    return np.where(d > 1, 1 - ratio(d - 1, n - 1, n > 1), 1.0)


def incidence_variance(at: Increments, cause: int, kind: str) -> Floats:
    """Variance of F_c at every moment: (m,); `kind` is greenwood or aalen."""
    whole, cross, own = _spread(at, cause, kind)
    end, inverse = at.incidence[:, cause], at.inverse
    start = end * inverse
    level = np.cumsum(whole * start**2 + 2 * cross * start + own)
    slope = np.cumsum((whole * start + cross) * inverse)
    return np.asarray(level - 2 * end * slope + end**2 * np.cumsum(whole * inverse**2))


def lost_variance(at: Increments, cause: int, kind: str, left: Floats, still: Floats) -> float:
    """Variance of the area under F_c to tau. left : (m,) tau - t, 0 beyond tau. still : (m,) see `still_to_lose`."""
    whole, cross, own = _spread(at, cause, kind)
    return float(np.sum(whole * still**2 + 2 * cross * left * still + own * left**2))


def still_to_lose(at: Increments, cause: int, left: Floats, area: Floats) -> Floats:
    """Return -(area under F_c from t to tau, less F_c(t) (tau - t)) / S(t): what those removed at t would still add."""
    return -(area - at.incidence[:, cause] * left) * at.inverse


def influences(
    rows: Spells, sets: RiskSets, mine: Ints, at: Increments, cause: int, left: Floats, still: Floats
) -> Floats:
    """Each row's influence, weight included: (n,). `mine` (n,) is the column of its cause, -1 without an event.

    left, still : (m,) as for `lost_variance`; for F_c at one time, 1 up to it and 0 later, and `still_to_lose` of it.
    """
    hazard = ratio(at.n_event, at.n_risk, at.n_risk > 0)
    own_hazard = ratio(at.by_cause[:, cause], at.n_risk, at.n_risk > 0)
    gone = sets.along(at.share * (own_hazard * left + hazard * still))
    last = sets.last - 1
    event = at.share[last] * (np.where(mine == cause, left[last], 0.0) + np.where(mine >= 0, still[last], 0.0))
    return np.asarray(rows.weight * (event - gone))


def by_cluster(influence: Floats, cluster: Ints | None) -> Floats:
    """Sum over clusters; each row by itself without."""
    if cluster is None or not len(influence):
        return influence
    return np.bincount(cluster, weights=influence).astype(np.float64)


def robust_variances(rows: Spells, sets: RiskSets, mine: Ints, at: Increments) -> tuple[Floats, Floats]:
    """Infinitesimal jackknife at every moment: variance of each F_c (m, K) and of log S (m,).

    A row's influence on F_c(t) is P(t) - F_c(t) Q(t) and on log S(t) it is -Q(t). While the row is at risk P and Q
    are a constant less its weight times a function of t that all rows share; afterwards they stay as they are.
    """
    units = _Units(rows, sets)
    hazard = ratio(at.n_event, at.n_risk, at.n_risk > 0)
    ends = at.share[sets.last - 1] * rows.weight
    inverse = at.inverse
    shared_q, q = units.influence(at.share * inverse * hazard, np.where(mine >= 0, ends * inverse[sets.last - 1], 0.0))
    weight = units.path(rows.weight, np.zeros(rows.n))
    q_q, q_w, w_w = units.products(q, q), units.products(q, weight), units.products(weight, weight)
    log_variance = q_q - 2 * shared_q * q_w + shared_q**2 * w_w
    out = np.zeros_like(at.incidence)
    for cause in range(at.incidence.shape[1]):
        end = at.incidence[:, cause]
        start = end * inverse
        own = ratio(at.by_cause[:, cause], at.n_risk, at.n_risk > 0)
        event = np.where(mine >= 0, ends * start[sets.last - 1], 0.0) + np.where(mine == cause, ends, 0.0)
        shared_p, p = units.influence(at.share * (own + start * hazard), event)
        both = shared_p - end * shared_q
        out[:, cause] = units.products(p, p) + end**2 * q_q + both**2 * w_w
        out[:, cause] += 2 * (end * both * q_w - end * units.products(p, q) - both * units.products(p, weight))
    return np.maximum(out, 0), np.maximum(log_variance, 0)


class _Units:
    """The independent units, rows or clusters, whose values over time are multiplied and summed at every moment.

    A path is a value of each unit that changes only where one of its rows begins or ends. Without clusters it is
    kept as two values a row, while at risk and afterwards; with clusters as their running sums in order of time.
    """

    def __init__(self, rows: Spells, sets: RiskSets) -> None:
        self.rows, self.sets = rows, sets
        self.begin, self.end = sets.first, sets.last - 1
        self.order: Ints | None = None
        if rows.cluster is not None:
            who, when = np.concatenate([rows.cluster, rows.cluster]), np.concatenate([self.begin, self.end])
            self.order = np.lexsort((when, who))
            who, self.when = who[self.order], when[self.order]
            self.same = np.concatenate([[False], who[1:] == who[:-1]])[: len(who)]

    def influence(self, step: Floats, at_event: Floats) -> tuple[Floats, tuple[Floats, ...]]:
        """Running sum of `step` (m,), and the path of each row's constant: with `at_event` (n,) from its end on."""
        running = np.concatenate([[0.0], np.cumsum(step)])
        begin = self.rows.weight * running[self.sets.first]
        return running[1:], self.path(begin, begin + at_event - self.rows.weight * running[self.sets.last])

    def path(self, during: Floats, after: Floats) -> tuple[Floats, ...]:
        """Path of a value that each row has while at risk, and from its end on."""
        if self.order is None:
            return during, after
        return (_running(self.same, np.concatenate([during, after - during])[self.order]),)

    def products(self, one: tuple[Floats, ...], other: tuple[Floats, ...]) -> Floats:
        """Sum over units of the product of two paths, at every moment: (m,)."""
        product = [a * b for a, b in zip(one, other, strict=True)]
        size = self.sets.m
        if self.order is None:
            during, after = product
            return np.cumsum(_sum_at(self.begin, during, size) + _sum_at(self.end, after - during, size))
        value = product[0]
        change = value - np.where(self.same, np.concatenate([[0.0], value])[:-1], 0.0)
        return np.cumsum(_sum_at(self.when, change, size))


def _running(same: Bools, values: Floats) -> Floats:
    """Cumulative sums that start again wherever `same` is False."""
    total = np.cumsum(values)
    start = np.maximum.accumulate(np.where(same, 0, np.arange(len(values))))
    return np.asarray(total - (total - values)[start])


def _sum_at(index: Ints, values: Floats, size: int) -> Floats:
    """Sum values by index; nothing to do where all are zero, as before the end when everybody starts together."""
    if not values.any():
        return np.zeros(size)
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)
