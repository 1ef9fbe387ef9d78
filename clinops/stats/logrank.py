"""The log-rank family: do groups differ in their hazard?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import ParameterError
from clinops.stats.normal import chi2_tail
from clinops.stats.risk_sets import Floats, Ints, RiskSets, Spells, ratio, risk_sets, spells


@dataclass(frozen=True)
class LogRank:
    """A test that k groups share one hazard.

    groups : the k labels, sorted. n : rows of each that carry weight. observed, expected : weighted by the weights of
    the rows and by the family, summed over strata. variance : (k, k) of observed - expected. statistic is chi-squared
    on df degrees of freedom. se_kind : what the variance is, "hypergeometric", "robust" (over rows) or
    "robust, clustered".
    """

    groups: tuple[object, ...]
    n: Ints
    observed: Floats
    expected: Floats
    variance: Floats
    statistic: float
    df: int
    p_value: float
    rho: float
    gamma: float
    set_aside: int
    se_kind: str
    note: str


def logrank(
    exit: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    robust: bool | None = None,
    cluster: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    rho: float = 0.0,
    gamma: float = 0.0,
) -> LogRank:
    """Do the groups differ in their hazard? Log-rank test of two or more groups, stratified or weighted if asked.

    Parameters
    ----------
    exit, event, entry : as for `kaplan_meier`.
    group : (n,) labels. strata : (n,) labels; groups are compared within strata only.
    weights : (n,) frequency, sampling or inverse-probability weights; zero or more.
    robust : variance from the score residuals of the rows, or of `cluster` (a person with several rows, a matched
        set). By default only with `cluster` or weights that are not whole numbers; whole numbers are taken as counts,
        so that the answer is that of the repeated rows. Ask for it where whole numbers are no counts.
    rho, gamma : each time counts S(t-)^rho (1 - S(t-))^gamma, S pooled within the stratum and weighted: rho 0
        log-rank, rho 1 Peto and Peto's Wilcoxon (early differences), gamma 1 late differences.

    Raises
    ------
    DataError : see `risk_sets.spells`; missing groups. ParameterError : robust=False with a cluster or with weights
        that are no counts.

    Notes
    -----
    Mantel 1966, Harrington and Fleming 1982; with weights Xie and Liu 2005, and Lin and Wei 1989 for the variance,
    which takes the weights as known. Checked against R survival 3.5.3 `survdiff` and the robust score test of `coxph`.
    """
    labels = np.asarray(group)
    rows = spells(exit, event, entry=entry, weights=weights, strata=strata, cluster=labels)
    names, codes = np.unique(labels, return_inverse=True)
    arm = codes.reshape(-1)[rows.kept]
    # `spells` has checked the labels as it checks a cluster; the clusters of the variance are these.
    units = None if cluster is None else spells(exit, event, entry=entry, cluster=cluster).cluster
    rows = replace(rows, event=rows.event & (rows.weight > 0), cluster=units)
    is_robust = _is_robust(rows, robust)
    test = _compare(rows, arm, len(names), rho, gamma)
    variance = test.sandwich() if is_robust else test.hypergeometric()
    statistic, df = _quadratic(test.observed - test.expected, variance, test.rounding() if is_robust else 0.0)
    kind = "hypergeometric" if not is_robust else "robust" if rows.cluster is None else "robust, clustered"
    note = "" if df else _no_comparison(rows, names)
    if is_robust and df and _units(rows) <= df:
        statistic, df, note = float("nan"), 0, _too_few(_units(rows), df)
    return LogRank(
        tuple(names.tolist()), np.bincount(arm[rows.weight > 0], minlength=len(names)), test.observed, test.expected,
        variance, statistic, df, chi2_tail(statistic, df), rho, gamma, rows.set_aside, kind, note,
    )  # fmt: skip


@dataclass(frozen=True)
class _Comparison:
    """The groups at each event time. n, d, family : (m,). share : (m, k) of the weight at risk; own : (m, k) events."""

    rows: Spells
    arm: Ints
    sets: RiskSets
    n: Floats
    d: Floats
    family: Floats
    share: Floats
    own: Floats

    @property
    def observed(self) -> Floats:
        return np.asarray(self.family @ self.own)

    @property
    def expected(self) -> Floats:
        return np.asarray(self.family @ (self.share * self.d[:, None]))

    def hypergeometric(self) -> Floats:
        """Variance of counts, tied events drawn without replacement (Mantel 1966)."""
        spread = self.family**2 * ratio(self.d * (self.n - self.d), self.n - 1, self.n > 1)
        return np.asarray(np.diag(spread @ self.share) - (self.share * spread[:, None]).T @ self.share)

    def sandwich(self) -> Floats:
        """Sum over clusters of the squared sum of their weighted score residuals (Lin and Wei 1989)."""
        own = self.residuals
        cluster = self.rows.cluster
        if cluster is not None and len(cluster):
            own = np.stack([np.bincount(cluster, weights=own[:, g]) for g in range(own.shape[1])], axis=1)
        return np.asarray(own.T @ own)

    def rounding(self) -> float:
        """A variance below this is zero but for rounding, as where the residuals of each cluster cancel."""
        return 1e-20 * float((self.residuals**2).sum(axis=0).max(initial=0.0))

    @cached_property
    def residuals(self) -> Floats:
        """Each row's part of observed - expected, weight included: (n, k).

        Of a row of group h it is the sum, over the times at which it is at risk, of
        family x (1{g = h} - share_g) x (its event - d / n).
        """
        rate, out = self.family * ratio(self.d, self.n, self.n > 0), np.zeros((self.rows.n, self.share.shape[1]))
        for h in range(out.shape[1]):
            mine = np.flatnonzero(self.arm == h)
            moment = self.sets.moment_of[mine]
            sets = replace(self.sets, moment_of=moment, first=self.sets.first[mine], last=self.sets.last[mine])
            away = (np.arange(out.shape[1]) == h) - self.share
            out[mine] = -sets.along(rate[:, None] * away)
            out[mine[moment >= 0]] += (self.family[:, None] * away)[moment[moment >= 0]]
        return out * self.rows.weight[:, None]


def _compare(rows: Spells, arm: Ints, k: int, rho: float, gamma: float) -> _Comparison:
    member = arm[:, None] == np.arange(k)
    sets = risk_sets(rows)
    at_risk, own = (of(member * rows.weight[:, None]) for of in (sets.at_risk, sets.events))
    # Who stands alone is decided on the counts of rows: sums of weights may differ in the last digit.
    there = sets.at_risk((member & (rows.weight > 0)[:, None]).astype(float))
    at_risk = np.where(there > 0, at_risk, 0.0)
    n, d = at_risk.sum(axis=1), own.sum(axis=1)
    return _Comparison(rows, arm, sets, n, d, _family_weight(sets, n, d, rho, gamma), at_risk / n[:, None], own)


def _is_robust(rows: Spells, robust: bool | None) -> bool:
    counts = bool((rows.weight == np.round(rows.weight)).all())
    if robust is None:
        return rows.cluster is not None or not counts
    if not robust and rows.cluster is not None:
        raise ParameterError("cluster asks for a robust variance; leave robust out, or leave cluster out.")
    if not robust and not counts:
        raise ParameterError(
            "robust=False counts persons, and these weights are no whole numbers; leave robust out, or give counts."
        )
    return robust


def _units(rows: Spells) -> int:
    """Rows or clusters that carry weight."""
    live = rows.weight > 0
    return int(live.sum()) if rows.cluster is None else len(np.unique(rows.cluster[live]))


def _too_few(units: int, df: int) -> str:
    return f"{units} rows or clusters for {df} degrees of freedom: the statistic would be {units} whatever the data"


def _family_weight(sets: RiskSets, n: Floats, d: Floats, rho: float, gamma: float) -> Floats:
    """Return S(t-)^rho (1 - S(t-))^gamma at each moment, S the pooled Kaplan-Meier curve of its stratum."""
    if rho == 0 and gamma == 0:
        return np.ones(sets.m)
    before = np.ones(sets.m)
    for stratum in np.unique(sets.stratum):
        here = np.flatnonzero(sets.stratum == stratum)
        before[here[1:]] = np.cumprod(np.maximum(1 - d[here] / n[here], 0.0))[:-1]
    return before**rho * (1 - before) ** gamma


def _quadratic(difference: Floats, variance: Floats, rounding: float) -> tuple[float, int]:
    """Return x' V^- x and the rank of V over the groups that have any variance; NaN and 0 if there is none.

    Each group is put on the scale of its own standard error first: the weights of one may be many times another's.
    """
    own = np.diag(variance)
    live = own > max(rounding, 1e-300)
    if not live.any():
        return float("nan"), 0
    scale = 1 / np.sqrt(own[live])
    values, vectors = np.linalg.eigh(variance[np.ix_(live, live)] * np.outer(scale, scale))
    kept = values > 1e-9 * float(values[-1])
    along = vectors[:, kept].T @ (difference[live] * scale)
    return float(np.sum(along**2 / values[kept])), int(kept.sum())


def _no_comparison(rows: Spells, names: Floats) -> str:
    if len(names) < 2:
        return f"one group only ({names[0]})" if len(names) else "no rows"
    return "no events" if not rows.event.any() else "no event at a time when two groups were at risk"
