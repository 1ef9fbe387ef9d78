"""How an effect would read if trends were not parallel, by a bound on how far they may differ (Rambachan and Roth)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.event_study import EventStudy
from clinops.stats.glm import Floats, Ints
from clinops.stats.honest_tests import relative_interval, shortest_interval
from clinops.stats.lead_power import refuse_singular
from clinops.stats.normal import z_value

_FEW = 20
RESTRICTIONS = ("relative magnitudes", "smoothness")


@dataclass(frozen=True)
class HonestBounds:
    """What is left of an effect under bounds on the difference in trends; m bounds.

    Attributes
    ----------
    restriction : one of RESTRICTIONS. bound : (m,), Mbar (a multiple) or M (in units of the outcome).
    set_low, set_high : (m,) effects that the estimates allow under the bound, without sampling error; NaN under
        "smoothness" where the leads themselves bend more than the bound.
    conf_low, conf_high : (m,) of the effect, with sampling error.
    estimate, plain_low, plain_high : of the effect were trends parallel.
    breakdown : the bound up to which the interval excludes 0; 0 where the plain one does not.
    leads, lags : how many differences before, and effects, are used. weights : (lags,) of the effects, adding up to 1.
    conf_level : of the intervals. note : "" or what a reader must know.
    """

    restriction: str
    bound: Floats
    set_low: Floats
    set_high: Floats
    conf_low: Floats
    conf_high: Floats
    estimate: float
    plain_low: float
    plain_high: float
    breakdown: float
    leads: int
    lags: int
    weights: Floats
    conf_level: float
    note: str


def honest_bounds(
    study: EventStudy,
    *,
    restriction: str = "relative magnitudes",
    bounds: ArrayLike = (0.0, 0.5, 1.0, 1.5, 2.0),
    weights: ArrayLike | None = None,
    conf_level: float | None = None,
) -> HonestBounds:
    """Bound the effect where the groups' trends may differ after the start by no more than stated.

    Answers: how much worse than before the start would trends have to differ for the effect to be in doubt?

    Parameters
    ----------
    study : with leads against one reference period ("group-time", "two-way", "stacked").
    restriction : "relative magnitudes": from one period to the next the difference in trends changes by at most
        `bound` times the largest such change before the start; "smoothness": its slope changes by at most `bound`
        from one period to the next, so 0 is a straight line.
    bounds : (m,) >= 0, in the order wanted.
    weights : (effects,) of the effects at event times 0, 1, ...; None is their plain mean. conf_level : None is the
        study's.

    Raises
    ------
    DataError : no lead next to the reference, or no effect at event time 0, with an error; a study without a
        reference period; "smoothness" with more leads than the clusters can tell apart.
    DefinitionError : unknown restriction, a negative bound, weights that do not fit.

    Notes
    -----
    Estimates are normal with the study's covariance. Smoothness: the shortest interval of fixed length around an
    affine estimator, its worst bias counted. Relative magnitudes: for each change before the start as the largest
    one, of either sign, the two inequalities it leaves for the effect are tested conditionally with a
    least-favourable first stage; the interval is the union. Source: Rambachan and Roth 2023; Andrews, Roth and Pakes
    2023; Armstrong and Kolesar 2018; R `HonestDiD` 0.2.8.
    """
    if restriction not in RESTRICTIONS:
        raise DefinitionError(unknown("restriction of trends", restriction, RESTRICTIONS))
    size = np.atleast_1d(np.asarray(bounds, dtype=float))
    if size.ndim != 1 or not np.isfinite(size).all() or (size < 0).any():
        raise DefinitionError(f"bounds are {bounds!r}; give finite numbers >= 0.")
    level = study.conf_level if conf_level is None else conf_level
    z = z_value(level)
    before, after, note = _used(study)
    share = _shares(weights, len(after), len(study.after))
    at = np.concatenate([before, after])
    beta, cov, leads = study.estimate[at], study.cov[np.ix_(at, at)], len(before)
    smooth = restriction == "smoothness"
    if smooth:
        refuse_singular(cov[:leads, :leads], study)
    find = shortest_interval if smooth else relative_interval

    def interval(bound: float) -> tuple[float, float]:
        return find(beta, cov, leads, share, bound, level)

    allowed = _smooth_set if smooth else _relative_set
    sets = np.array([allowed(beta, leads, share, one) for one in size]).reshape(-1, 2)
    limits = np.array([interval(float(one)) for one in size]).reshape(-1, 2)
    if np.isnan(sets).any():
        note = f"{note} The leads themselves bend more than the smallest bound(s).".strip()
    if study.n_clusters < _FEW:
        note = f"{note} Only {study.n_clusters} clusters: intervals from the normal distribution are too short.".strip()
    effect = float(share @ beta[leads:])
    error = float(np.sqrt(share @ cov[leads:, leads:] @ share))
    plain = effect - z * error, effect + z * error
    return HonestBounds(
        restriction, size, sets[:, 0], sets[:, 1], limits[:, 0], limits[:, 1], effect, *plain,
        _breakdown(interval, abs(effect) if smooth else 1.0), leads, len(after), share, level, note,
    )  # fmt: skip


def _used(study: EventStudy) -> tuple[Ints, Ints, str]:
    """Return the places of leads and effects without a gap up to the reference, the earliest lead first."""
    if np.isnan(study.reference):
        raise DataError(f"The leads of {study.method!r} have no reference period; use another method for bounds.")
    known = np.isfinite(study.std_error)

    def run(step: int) -> list[int]:
        found, event = [], study.reference + step
        while (place := np.flatnonzero((study.event_time == event) & known)).size:
            found.append(int(place[0]))
            event += step
        return found

    before, after = run(-1)[::-1], run(1)
    if not before or not after:
        raise DataError("Bounds need a lead next to the reference period and an effect at event time 0, with errors.")
    lost = len(study.event_time) - len(before) - len(after)
    note = f"{lost} event time(s) beyond a gap, or without an error, are not used." if lost else ""
    return np.array(before), np.array(after), note


def _shares(weights: ArrayLike | None, used: int, every: int) -> Floats:
    share = np.ones(used) if weights is None else np.asarray(weights, dtype=float)
    if share.shape == (every,) and not share[used:].any():
        share = share[:used]
    if share.shape != (used,) or not np.isfinite(share).all() or not abs(share.sum()) > 0:
        raise DefinitionError(f"weights have shape {share.shape}; give {used} numbers that do not add up to 0.")
    return np.asarray(share / share.sum())


def _relative_set(beta: Floats, leads: int, share: Floats, bound: float) -> tuple[float, float]:
    """Every change after the start is at most bound times the largest before, so its weight is that of what follows."""
    largest = np.abs(np.diff(np.append(beta[:leads], 0.0))).max()
    width = bound * largest * np.abs(np.cumsum(share[::-1])).sum()
    effect = share @ beta[leads:]
    return effect - width, effect + width


def _smooth_set(beta: Floats, leads: int, share: Floats, bound: float) -> tuple[float, float]:
    """The line through the last lead and the reference, and a bend of at most bound at the reference and after."""
    path = np.append(beta[:leads], 0.0)
    if leads > 1 and (np.abs(np.diff(path, 2)) > bound + 1e-12).any():
        return np.nan, np.nan
    ahead = np.arange(1, len(share) + 1)
    effect = share @ (beta[leads:] + beta[leads - 1] * ahead)
    width = bound * np.abs(np.maximum(ahead[:, None] - np.arange(len(share)), 0).T @ share).sum()
    return effect - width, effect + width


def _breakdown(interval: Callable[[float], tuple[float, float]], start: float) -> float:
    """Return the bound at which the interval first reaches 0."""
    from scipy.optimize import brentq

    low, high = interval(0.0)
    if not (low > 0 or high < 0):
        return 0.0
    above = low > 0

    def nearer(bound: float) -> float:
        found = interval(bound)
        return found[0] if above else -found[1]

    last, bound = 0.0, start
    for _ in range(60):
        if nearer(bound) <= 0:
            return float(brentq(nearer, last, bound, xtol=1e-9 * start, rtol=1e-9))
        last, bound = bound, 2 * bound
    return float("inf")
