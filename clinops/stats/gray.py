"""Gray's test: do groups differ in the cumulative incidence of a cause?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import ParameterError
from clinops.stats.causes import cause_codes
from clinops.stats.normal import chi2_tail
from clinops.stats.risk_sets import Floats, Ints, Spells, ratio, spells


@dataclass(frozen=True)
class GrayTest:
    """A test that G groups share one cumulative incidence of a cause.

    groups : the labels, sorted. n, n_event : (G,) rows, and events of the cause, of each. score : (G,) events less
    those expected were the curves equal, summed over times and strata. variance : (G, G) of the scores. statistic
    is chi-squared on `df` degrees of freedom; NaN with 0 and a note where nothing can be compared.
    """

    cause: int
    groups: tuple[object, ...]
    n: Ints
    n_event: Ints
    score: Floats
    variance: Floats
    statistic: float
    df: int
    p_value: float
    rho: float
    set_aside: int
    note: str


def gray_test(
    exit: ArrayLike,
    cause: ArrayLike,
    group: ArrayLike,
    of: int,
    *,
    strata: ArrayLike | None = None,
    rho: float = 0.0,
) -> GrayTest:
    """Do the groups differ in the share that has an event of this cause, the other causes competing with it?

    Parameters
    ----------
    exit, cause : (n,) as for `aalen_johansen`, one row a person. group : (n,) labels. of : the cause tested.
    strata : (n,) labels; groups are compared within strata only.
    rho : each time counts (1 - F(t-))^rho, F the incidence pooled over the groups of its stratum.

    Raises
    ------
    DataError : see `risk_sets.spells` and `aalen_johansen`; missing groups. ParameterError : rho is not finite.

    Notes
    -----
    Gray 1988 (Annals of Statistics 16:1141); checked against cmprsk 2.2.11 `cuminc`. Neither weights nor late entry
    are taken: the variance is that of unweighted counts followed from the start.
    """
    if not np.isfinite(rho):
        raise ParameterError(f"rho is {rho!r}; it must be a number, 0 for equal weights at all times.")
    labels, codes = np.asarray(group), cause_codes(cause)
    rows = spells(exit, codes > 0, strata=strata, cluster=labels)
    names, member = np.unique(labels, return_inverse=True)
    member = member.reshape(-1)[rows.kept]
    codes = codes[rows.kept]
    kind = np.where(codes == of, 1, np.where(codes > 0, 2, 0))
    size = len(names)
    score, variance = np.zeros(size), np.zeros((size, size))
    for stratum in np.unique(rows.stratum):
        here = rows.stratum == stratum
        own = _stratum(rows.exit[here], kind[here], member[here], size, rho)
        score, variance = score + own[0], variance + own[1]
    statistic, df = _quadratic(score, variance)
    n_event = np.bincount(member[kind == 1], minlength=size)
    return GrayTest(
        of, tuple(names.tolist()), np.bincount(member, minlength=size), n_event, score, variance, statistic, df,
        chi2_tail(statistic, df), rho, rows.set_aside, "" if df else _no_comparison(rows, names, n_event, of),
    )  # fmt: skip


def _stratum(exit: Floats, kind: Ints, member: Ints, groups: int, rho: float) -> tuple[Floats, Floats]:
    """Scores (G,) and their variance (G, G) in one stratum; all arrays below are (times, G) or (times,)."""
    clock, at = np.unique(exit, return_inverse=True)
    cell = at.reshape(-1) * groups + member

    def count(rows: np.ndarray) -> Floats:
        return np.bincount(cell[rows], minlength=len(clock) * groups).reshape(-1, groups).astype(np.float64)

    own, other = count(kind == 1), count(kind == 2)
    risk = np.cumsum((own + other + count(kind == 0))[::-1], axis=0)[::-1]
    present = risk > 0
    # Kaplan-Meier of each group, free of any cause.
    after = np.asarray(np.cumprod(1 - ratio(own + other, risk, present), axis=0), dtype=np.float64)
    before = _lagged(after, 1.0)
    incidence = _lagged(np.cumsum(before * ratio(own, risk, present), axis=0), 0.0)
    at_risk = ratio(risk, before, present)  # those with another event added back, were there no incidence
    whole = at_risk.sum(axis=1)
    events = own.sum(axis=1)
    expected = at_risk * (1 - incidence)
    pooled: Floats = np.cumsum(events / whole)
    weight = (1 - _lagged(pooled, 0.0)) ** rho
    score = (weight[:, None] * (own - events[:, None] * expected / expected.sum(axis=1)[:, None])).sum(axis=0)
    hazard = ratio(events, whole * (1 - _lagged(pooled, 0.0)), events > 0)
    left = 1 - pooled
    variance = np.zeros((groups, groups))
    for k in range(groups):
        # How each group's score moves with the events of group k, now (reach) and through later expectations (rest).
        reach = -weight[:, None] * at_risk * (at_risk[:, k] / whole)[:, None]
        reach[:, k] += weight * at_risk[:, k]
        path = np.cumsum(reach * hazard[:, None], axis=0)
        rest = path[-1] - path
        alive = after[:, k] > 0
        lost = ratio(left, after[:, k], alive)
        mass = before[:, k] * ratio(events, whole * risk[:, k], present[:, k])
        mass *= _without_replacement(events, whole * before[:, k])
        move = reach + (1 - lost)[:, None] * rest
        variance += (move * mass[:, None]).T @ move
        mass = ratio(before[:, k] ** 2 * other[:, k], risk[:, k] ** 2, present[:, k] & alive)
        mass *= _without_replacement(other[:, k], risk[:, k])
        move = lost[:, None] * rest
        variance += (move * mass[:, None]).T @ move
    return score, variance


def _lagged(values: Floats, first: float) -> Floats:
    """Values just before each time, `first` before the first."""
    return np.concatenate([np.full((1, *values.shape[1:]), first), values[:-1]])


def _without_replacement(d: Floats, n: Floats) -> Floats:
    return np.where(d > 1, 1 - ratio(d - 1, n - 1, n != 1), 1.0)


def _quadratic(score: Floats, variance: Floats) -> tuple[float, int]:
    """Return s' V^- s and the rank of V over the groups that have any variance; NaN and 0 if there is none."""
    if not variance.size:
        return float("nan"), 0
    values, vectors = np.linalg.eigh(variance)
    kept = values > 1e-9 * max(float(values[-1]), 1e-300)
    df = int(kept.sum())
    along = vectors[:, kept].T @ score
    return (float(np.sum(along**2 / values[kept])), df) if df else (float("nan"), 0)


def _no_comparison(rows: Spells, names: np.ndarray, n_event: Ints, of: int) -> str:
    if len(names) < 2:
        return f"one group only ({names[0]})" if len(names) else "no rows"
    return f"no events of cause {of}" if not n_event.sum() else "no event at a time when two groups were at risk"
