"""The log-rank family: do groups differ in their hazard?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.stats.normal import chi2_tail
from clinops.stats.risk_sets import Floats, Ints, RiskSets, Spells, ratio, risk_sets, spells


@dataclass(frozen=True)
class LogRank:
    """A test that k groups share one hazard.

    groups : the k labels, sorted. n : rows of each. observed, expected : weighted by the family, summed over
    strata. variance : (k, k) of observed - expected. statistic is chi-squared on df degrees of freedom.
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
    note: str


def logrank(
    exit: ArrayLike,
    event: ArrayLike,
    group: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    rho: float = 0.0,
    gamma: float = 0.0,
) -> LogRank:
    """Do the groups differ in their hazard? Log-rank test of two or more groups, stratified if asked.

    Parameters
    ----------
    exit, event, entry : as for `kaplan_meier`.
    group : (n,) labels. strata : (n,) labels; groups are compared within strata only.
    rho, gamma : each time counts S(t-)^rho (1 - S(t-))^gamma, S pooled within the stratum: rho 0 log-rank, rho 1
        Peto and Peto's Wilcoxon (early differences), gamma 1 late differences.

    Raises
    ------
    DataError : see `risk_sets.spells`; missing groups.

    Notes
    -----
    Mantel 1966, Harrington and Fleming 1982; checked against R survival 3.5.3 `survdiff`. For weighted people use
    the robust score or Wald test of `cox`: the variance here is that of unweighted counts, so weights are not taken.
    """
    labels = np.asarray(group)
    rows = spells(exit, event, entry=entry, strata=strata, cluster=labels)
    names, codes = np.unique(labels, return_inverse=True)
    member = codes.reshape(-1)[rows.kept][:, None] == np.arange(len(names))
    sets = risk_sets(rows)
    at_risk, events = sets.at_risk(member.astype(float)), sets.events(member.astype(float))
    n, d = at_risk.sum(axis=1), events.sum(axis=1)
    weight = _family_weight(sets, n, d, rho, gamma)
    share = at_risk / n[:, None]
    spread = weight**2 * ratio(d * (n - d), n - 1, n > 1)
    variance = np.diag(spread @ share) - (share * spread[:, None]).T @ share
    observed, expected = weight @ events, weight @ (share * d[:, None])
    statistic, df = _quadratic(observed - expected, variance)
    return LogRank(
        tuple(names.tolist()), member.sum(axis=0), observed, expected, variance, statistic, df,
        chi2_tail(statistic, df), rho, gamma, rows.set_aside, "" if df else _no_comparison(rows, names),
    )  # fmt: skip


def _family_weight(sets: RiskSets, n: Floats, d: Floats, rho: float, gamma: float) -> Floats:
    """Return S(t-)^rho (1 - S(t-))^gamma at each moment, S the pooled Kaplan-Meier curve of its stratum."""
    if rho == 0 and gamma == 0:
        return np.ones(sets.m)
    before = np.ones(sets.m)
    for stratum in np.unique(sets.stratum):
        here = np.flatnonzero(sets.stratum == stratum)
        before[here[1:]] = np.cumprod(1 - d[here] / n[here])[:-1]
    return before**rho * (1 - before) ** gamma


def _quadratic(difference: Floats, variance: Floats) -> tuple[float, int]:
    """Return x' V^- x and the rank of V over the groups that have any variance; NaN and 0 if there is none."""
    if not variance.size:
        return float("nan"), 0
    values, vectors = np.linalg.eigh(variance)
    kept = values > 1e-9 * max(float(values[-1]), 1e-300)
    df = int(kept.sum())
    along = vectors[:, kept].T @ difference
    return (float(np.sum(along**2 / values[kept])), df) if df else (float("nan"), 0)


def _no_comparison(rows: Spells, names: Floats) -> str:
    if len(names) < 2:
        return f"one group only ({names[0]})" if len(names) else "no rows"
    return "no events" if not rows.event.any() else "no event at a time when two groups were at risk"
