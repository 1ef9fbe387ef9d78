"""Kaplan-Meier, Nelson-Aalen and restricted mean survival, with late entry, weights and robust variance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import ParameterError, unknown
from clinops.stats.life_table import LifeTable, life_table
from clinops.stats.normal import two_sided, z_value
from clinops.stats.risk_sets import Floats, Ints, RiskSets, Spells, alike, ratio, spells

# R calls a curve equal to a probability when they differ by less than this, so that 0.5 found as 0.49999999999 counts.
PROBABILITY_TOLERANCE = float(np.sqrt(np.finfo(float).eps))
CURVE_ENDS = "not reached: the curve is still above it when follow-up ends"


@dataclass(frozen=True)
class Quantile:
    """The first time at which survival is at or below 1 - probability; NaN where the curve does not get there."""

    probability: float
    estimate: float
    conf_low: float
    conf_high: float
    note: str = ""


@dataclass(frozen=True)
class MeanSurvival:
    """A restricted mean survival time (or a difference of two) up to tau, in the units of time."""

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    tau: float
    level: float
    se_kind: str
    p_value: float = float("nan")
    note: str = ""


@dataclass(frozen=True)
class CurvePoints:
    """A curve read at given times, one value a time; past the last follow-up the last value with n_risk 0."""

    time: Floats
    n_risk: Floats
    survival: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats


@dataclass(frozen=True)
class SurvivalCurve:
    """A Kaplan-Meier curve: one value for each distinct time at which a row ends, in an event or not.

    time, n_risk, n_event, n_censor : (k,) weighted counts; at risk means entry < time <= exit.
    survival : (k,) S(t). std_error : (k,) of S(t). std_error_log : (k,) of log S(t). conf_low, conf_high : (k,).
    Where S(t) is 0 its variance is not defined: std_error and limits are NaN there.
    n, events : rows and events used, unweighted. set_aside : rows with entry = exit, which are not used.
    se_kind : "Greenwood" or "robust" (infinitesimal jackknife over rows or clusters).
    """

    time: Floats
    n_risk: Floats
    n_event: Floats
    n_censor: Floats
    survival: Floats
    std_error: Floats
    std_error_log: Floats
    conf_low: Floats
    conf_high: Floats
    conf_type: str
    level: float
    se_kind: str
    n: int
    events: int
    set_aside: int
    note: str
    rows: Spells = field(repr=False, compare=False)

    def at(self, times: ArrayLike) -> CurvePoints:
        """Read the curve at `times`; n_risk counts the rows with entry < t <= exit.

        At the very start of the clock nobody is at risk yet by that rule; those who enter then are shown.
        """
        when = np.atleast_1d(np.asarray(times, dtype=np.float64))
        step = np.searchsorted(self.time, when, side="right")

        def read(values: Floats, before: float) -> Floats:
            return np.concatenate([[before], values])[step]

        return CurvePoints(
            when,
            _count_at(self.rows, when),
            read(self.survival, 1.0),
            read(self.std_error, 0.0),
            read(self.conf_low, 1.0),
            read(self.conf_high, 1.0),
        )

    def quantile(self, probability: float) -> Quantile:
        """When has this share had the event? `quantile(0.5)` is the median survival time.

        The limits are the times at which the curve's own limits cross 1 - probability (Brookmeyer and Crowley
        1982). If the curve runs level at exactly 1 - probability the middle of that stretch is taken, as R does.

        Raises
        ------
        ParameterError : the probability is not between 0 and 1.
        """
        if not 0 < probability < 1:
            raise ParameterError(f"probability is {probability!r}; it must lie between 0 and 1, 0.5 for the median.")
        target = 1 - probability
        estimate = _first_below(self.time, self.survival, target)
        return Quantile(
            probability,
            estimate,
            _first_below(self.time, self.conf_low, target),
            _first_below(self.time, self.conf_high, target),
            CURVE_ENDS if np.isnan(estimate) else "",
        )

    def rmst(self, tau: float, *, extend: bool = False) -> MeanSurvival:
        """Return the mean time lived free of the event from 0 to tau: the area under the curve.

        Variance: Greenwood's, or the influence of rows or clusters if the curve is robust. When follow-up ends
        before tau with people still free of the event the mean is not identified and NaN; `extend` carries the
        last value on to tau, as R's `survfit` does.

        Raises
        ------
        ParameterError : tau is not a positive number.
        """
        if not (np.isfinite(tau) and tau > 0):
            raise ParameterError(f"tau is {tau!r}; it must be a positive time in the units of the follow-up.")
        nan = float("nan")
        ends = float(self.time[-1]) if len(self.time) else 0.0
        if not extend and ends < tau and not (len(self.time) and self.survival[-1] == 0):
            note = f"follow-up ends at {ends:g}, before tau = {tau:g}, with people still free of the event"
            return MeanSurvival(nan, nan, nan, nan, tau, self.level, self.se_kind, note=note)
        used = int(np.searchsorted(self.time, tau, side="right"))
        area, before = _areas(self.time[:used], self.survival[:used], tau)
        variance = _rmst_variance(self, area, used)
        return _normal_mean(before + (area[0] if used else 0.0), variance, tau, self.level, self.se_kind)


def kaplan_meier(
    exit: ArrayLike,
    event: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    robust: bool | None = None,
    cluster: ArrayLike | None = None,
    conf_type: str = "log",
    level: float = 0.95,
) -> SurvivalCurve:
    """What share is still free of the event, at each time?

    Parameters
    ----------
    exit, event : (n,) when a row of follow-up ends, and whether it ends in the event (1) or not (0).
    entry : (n,) when a row begins to be at risk, on the same clock; 0 for everybody if not given.
    weights : (n,) frequency, sampling or inverse-probability weights; zero or more.
    robust : variance by the infinitesimal jackknife over rows, or over `cluster` (a person with several rows).
        By default only with `cluster` or weights that are not whole numbers; whole numbers are taken as counts.
    conf_type : "log", "log-log", "plain" or "arcsin"; limits stay within 0 and 1.
    level : of the pointwise interval.

    Raises
    ------
    DataError : see `risk_sets.spells`. ParameterError : unknown conf_type, or a level not between 0 and 1.

    Notes
    -----
    Kaplan and Meier 1958; Greenwood 1926; checked against R survival 3.5.3 `survfit`.
    """
    _check_options(conf_type, level)
    rows = spells(exit, event, entry=entry, weights=weights, cluster=cluster)
    table, events = _life_table(rows)
    left = table.n_risk - events
    factor = np.divide(left, table.n_risk, out=np.ones(len(left)), where=table.n_risk > 0)
    factor[table.all_gone] = 0.0
    survival = np.cumprod(factor, dtype=np.float64)
    hazard_variance = ratio(events, table.n_risk * left, ~table.all_gone)
    is_robust = _is_robust(rows, robust)
    if is_robust:
        at_event = ratio(np.ones(len(left)), left, ~table.all_gone)
        log_variance = _influence_variance(rows, rows.exits, at_event, hazard_variance)
    else:
        log_variance = np.cumsum(hazard_variance)
    se_log = np.sqrt(np.maximum(log_variance, 0))
    se_log[survival <= 0] = np.nan
    low, high = _limits(survival, se_log, conf_type, level)
    return SurvivalCurve(
        table.time, table.n_risk, events, table.n_censor, survival, survival * se_log, se_log, low, high,
        conf_type, level, "robust" if is_robust else "Greenwood", rows.n, int(rows.event.sum()), rows.set_aside,
        _note(rows), rows,
    )  # fmt: skip


@dataclass(frozen=True)
class HazardCurve:
    """A cumulative hazard: one value for each distinct time at which a row ends.

    time, n_risk, n_event : (k,). cumulative_hazard, std_error, conf_low, conf_high : (k,), the limits by `conf_type`.
    survival : (k,) exp(-cumulative_hazard).
    """

    time: Floats
    n_risk: Floats
    n_event: Floats
    cumulative_hazard: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    survival: Floats
    ties: str
    conf_type: str
    level: float
    se_kind: str
    n: int
    events: int
    set_aside: int
    note: str


def nelson_aalen(
    exit: ArrayLike,
    event: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    ties: str = "nelson-aalen",
    robust: bool | None = None,
    cluster: ArrayLike | None = None,
    conf_type: str = "log-log",
    level: float = 0.95,
) -> HazardCurve:
    """How much hazard has accumulated by each time?

    Parameters are those of `kaplan_meier`, and
    ties : "nelson-aalen" adds d/n at a time with d events; "fleming-harrington" lets tied events happen one after
        another, 1/n + 1/(n-1) + ..., the companion of Efron's Cox model. The latter has no robust variance here.
    conf_type : scale of survival exp(-H) on which the limits are symmetric: "log-log" (the logarithm of H), "log" (H
        itself, not below 0), "plain" or "arcsin". An upper limit of H is infinite where that of survival is 0.

    Raises
    ------
    DataError : see `risk_sets.spells`. ParameterError : unknown ties, a bad level, robust Fleming-Harrington.

    Notes
    -----
    Nelson 1972, Aalen 1978, Fleming and Harrington 1984; checked against R survival 3.5.3 (`ctype` 1 and 2, limits with
    `stype` 2).
    """
    if ties not in ("nelson-aalen", "fleming-harrington"):
        raise ParameterError(unknown("tie rule", ties, ("nelson-aalen", "fleming-harrington")))
    _check_options(conf_type, level)
    rows = spells(exit, event, entry=entry, weights=weights, cluster=cluster)
    table, events = _life_table(rows)
    ordinary = ties == "nelson-aalen"
    if robust and not ordinary:
        raise ParameterError("A robust variance is given for ties='nelson-aalen' only; choose that, or robust=False.")
    is_robust = ordinary and _is_robust(rows, robust)
    used = table.n_risk > 0
    if ordinary:
        hazard = ratio(events, table.n_risk, used)
        variance = ratio(events, table.n_risk**2, used)
    else:
        hazard, variance = _one_after_another(rows, table)
    total = np.cumsum(hazard)
    if is_robust:
        at_event = ratio(np.ones(len(events)), table.n_risk, used)
        squared = _influence_variance(rows, rows.exits, at_event, variance)
    else:
        squared = np.cumsum(variance)
    error = np.sqrt(np.maximum(squared, 0))
    low, high = _hazard_limits(total, error, conf_type, level)
    return HazardCurve(
        table.time, table.n_risk, events, total, error, low, high, np.exp(-total), ties, conf_type,
        level, "robust" if is_robust else "model", rows.n, int(rows.event.sum()), rows.set_aside, _note(rows),
    )  # fmt: skip


def rmst_difference(first: SurvivalCurve, second: SurvivalCurve, tau: float, *, extend: bool = False) -> MeanSurvival:
    """How much longer, on average and up to tau, does the first group live free of the event than the second?

    The curves are taken as independent (different people); the two-sided P value is from the normal distribution.
    NaN with a note if either mean is not identified up to tau. Royston and Parmar 2013.
    """
    one, other, kind, note = _two_means(first, second, tau, extend)
    variance = one.std_error**2 + other.std_error**2
    return _normal_mean(one.estimate - other.estimate, variance, tau, first.level, kind, note)


def rmst_ratio(first: SurvivalCurve, second: SurvivalCurve, tau: float, *, extend: bool = False) -> MeanSurvival:
    """By what factor does the mean time free of the event, up to tau, differ between the first group and the second?

    As `rmst_difference`, on the logarithmic scale: std_error is of the logarithm, the P value against a ratio of 1.
    NaN with a note where a mean is 0 (everybody has the event at once).
    """
    one, other, kind, note = _two_means(first, second, tau, extend)
    if not note and min(one.estimate, other.estimate) <= 0:
        note = "no time free of the event in one group: no ratio"
    if note:
        return _normal_mean(float("nan"), float("nan"), tau, first.level, kind, note)
    variance = (one.std_error / one.estimate) ** 2 + (other.std_error / other.estimate) ** 2
    logarithm = _normal_mean(float(np.log(one.estimate / other.estimate)), variance, tau, first.level, kind)
    estimate, low, high = np.exp([logarithm.estimate, logarithm.conf_low, logarithm.conf_high]).tolist()
    return replace(logarithm, estimate=estimate, conf_low=low, conf_high=high)


def _two_means(
    first: SurvivalCurve, second: SurvivalCurve, tau: float, extend: bool
) -> tuple[MeanSurvival, MeanSurvival, str, str]:
    """Both means, the kind of their errors, and why one is not identified."""
    one, other = first.rmst(tau, extend=extend), second.rmst(tau, extend=extend)
    kind = first.se_kind if first.se_kind == second.se_kind else f"{first.se_kind}, {second.se_kind}"
    return one, other, kind, "; ".join(dict.fromkeys(text for text in (one.note, other.note) if text))


def _life_table(rows: Spells) -> tuple[LifeTable, Floats]:
    """Counts, and the weighted events of each time: (m,)."""
    table = life_table(rows, rows.event.astype(np.int64), 1)
    return table, table.n_event[:, 0].copy()


def _one_after_another(rows: Spells, table: LifeTable) -> tuple[Floats, Floats]:
    """Fleming-Harrington increments: tied events take place in turn, each of the tied rows' mean weight."""
    sets = rows.exits
    tied = sets.events((rows.weight > 0).astype(np.float64)).astype(np.int64)
    moment = np.repeat(np.arange(len(tied)), tied)
    turn = np.arange(len(moment)) - np.repeat(np.cumsum(tied) - tied, tied)
    mean = ratio(table.n_event[:, 0], tied.astype(np.float64), tied > 0)[moment]
    left = table.n_risk[moment] - turn * mean
    size = len(tied)
    return _sum_at(moment, mean / left, size), _sum_at(moment, mean / left**2, size)


def _influence_variance(rows: Spells, sets: RiskSets, at_event: Floats, hazard: Floats) -> Floats:
    """Sum over clusters of (sum over rows of weight x influence)^2, at every moment, in O(n log n).

    A row's influence at moment k is H(k) - H(entry) while at risk, and H(exit) - H(entry) - at_event(exit) x event
    afterwards, H the running sum of `hazard`. So a cluster's is a + b H(k), where a and b change only where one of
    its rows begins or ends; a^2, ab and b^2 are accumulated over those changes.
    """
    running = np.concatenate([[0.0], np.cumsum(hazard)])
    last = sets.last - 1
    cluster = np.arange(rows.n) if rows.cluster is None else rows.cluster
    who = np.concatenate([cluster, cluster])
    when = np.concatenate([sets.first, last])
    change_b = np.concatenate([rows.weight, -rows.weight])
    leave = rows.weight * (running[sets.last] - np.where(rows.event, at_event[last], 0.0))
    change_a = np.concatenate([-rows.weight * running[sets.first], leave])
    order = np.lexsort((when, who))
    who, when = who[order], when[order]
    a, b = (_running_within(who, change[order]) for change in (change_a, change_b))
    squares = [_total_at(who, when, product, sets.m) for product in (a * a, 2 * a * b, b * b)]
    here = running[1:]
    return squares[0] + squares[1] * here + squares[2] * here**2


def _running_within(group: Ints, values: Floats) -> Floats:
    """Cumulative sums that start again at each group; `group` is sorted."""
    total = np.cumsum(values)
    starts = np.concatenate([[True], group[1:] != group[:-1]]) if len(group) else np.zeros(0, dtype=bool)
    base = np.where(starts, total - values, 0.0)
    return total - base[np.maximum.accumulate(np.where(starts, np.arange(len(group)), 0))] if len(group) else total


def _total_at(group: Ints, when: Ints, state: Floats, size: int) -> Floats:
    """Sum over groups of their current state at each moment, given each group's states in order of time."""
    if not len(group):
        return np.zeros(size)
    same = np.concatenate([[False], group[1:] == group[:-1]])
    change = state - np.where(same, np.concatenate([[0.0], state[:-1]]), 0.0)
    return np.cumsum(_sum_at(when, change, size))


def _sum_at(index: Ints, values: Floats, size: int) -> Floats:
    """Sum values by index; numpy's bincount turns to integers when there are none."""
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)


def _limits(survival: Floats, se_log: Floats, conf_type: str, level: float) -> tuple[Floats, Floats]:
    z = z_value(level)
    inside = np.where((survival > 0) & (survival < 1), survival, 0.5)
    scale: dict[str, Callable[[float], Floats]] = {
        "log": lambda side: inside * np.exp(side * z * se_log),
        "log-log": lambda side: inside ** np.exp(-side * z * se_log / np.abs(np.log(inside))),
        "plain": lambda side: inside * (1 + side * z * se_log),
        "arcsin": lambda side: (
            np.sin(
                np.clip(
                    np.arcsin(np.sqrt(inside)) + side * z * se_log / 2 * np.sqrt(inside / (1 - inside)), 0, np.pi / 2
                )
            )
            ** 2
        ),
    }
    bounds = (np.clip(scale[conf_type](side), 0.0, 1.0) for side in (-1.0, 1.0))
    low, high = (np.where(survival == 1, 1.0, np.where(survival == 0, np.nan, bound)) for bound in bounds)
    return low, high


def _hazard_limits(hazard: Floats, error: Floats, conf_type: str, level: float) -> tuple[Floats, Floats]:
    """Limits of a cumulative hazard: those of exp(-hazard) turned round, without losing the digits of small ones."""
    reach = z_value(level) * error
    if conf_type == "log-log":
        spread = np.exp(ratio(reach, hazard, hazard > 0))
        return hazard / spread, hazard * spread
    if conf_type == "log":
        return np.maximum(hazard - reach, 0.0), hazard + reach
    with np.errstate(divide="ignore"):
        if conf_type == "plain":
            return np.maximum(hazard - np.log1p(reach), 0.0), hazard - np.log1p(-np.minimum(reach, 1.0))
        low, high = _limits(np.exp(-hazard), error, conf_type, level)
        return -np.log(high) + 0.0, -np.log(low) + 0.0


def _first_below(time: Floats, curve: Floats, target: float) -> float:
    """The first time a curve is at or below `target`; the middle of a level stretch that equals it exactly."""
    known = ~np.isnan(curve)
    time, curve = time[known], curve[known]
    below = np.flatnonzero(curve < target + PROBABILITY_TOLERANCE)
    if not len(below):
        return float("nan")
    at = below[0]
    later = np.flatnonzero(curve < curve[at])
    if abs(curve[at] - target) < PROBABILITY_TOLERANCE and len(later):
        return float((time[at] + time[later[0]]) / 2)
    return float(time[at])


def _areas(time: Floats, survival: Floats, tau: float) -> tuple[Floats, float]:
    """Area under the curve from each time to tau, and the area before the first of them."""
    if not len(time):
        return np.zeros(0), tau
    pieces = survival * np.diff(np.append(time, tau))
    return np.cumsum(pieces[::-1])[::-1], float(time[0])


def _rmst_variance(curve: SurvivalCurve, area: Floats, used: int) -> float:
    n, d = curve.n_risk[:used], curve.n_event[:used]
    open_ = curve.survival[:used] > 0
    hazard = ratio(d, n * (n - d), open_)
    if curve.se_kind == "Greenwood":
        return float(np.sum(area**2 * hazard))
    rows = curve.rows
    sets = rows.exits
    pad = np.zeros(sets.m - used)
    at_event = np.concatenate([area * ratio(np.ones(used), n - d, open_), pad])
    influence = sets.along(np.concatenate([area * hazard, pad])) - np.where(rows.event, at_event[sets.last - 1], 0.0)
    cluster = np.arange(rows.n) if rows.cluster is None else rows.cluster
    return float(np.sum(_sum_at(cluster, rows.weight * influence, 0) ** 2))


def _normal_mean(
    estimate: float, variance: float, tau: float, level: float, se_kind: str, note: str = ""
) -> MeanSurvival:
    error, z = float(np.sqrt(variance)), z_value(level)
    p = two_sided(estimate / error) if error > 0 else float("nan")
    return MeanSurvival(estimate, error, estimate - z * error, estimate + z * error, tau, level, se_kind, p, note)


def _count_at(rows: Spells, when: Floats) -> Floats:
    """Weighted number of rows with entry < t <= exit, exactly, at any times."""

    def from_(times: Floats) -> Floats:
        order = np.argsort(times, kind="stable")
        total = np.concatenate([np.cumsum(rows.weight[order][::-1])[::-1], [0.0]])
        return np.asarray(total[np.searchsorted(times[order], when, side="left")])

    start = rows.entry == rows.entry.min(initial=np.inf)
    begins = np.where(when == rows.entry.min(initial=np.inf), float(rows.weight[start].sum()), 0.0)
    return from_(rows.exit) - from_(rows.entry) + begins


def _is_robust(rows: Spells, robust: bool | None) -> bool:
    if robust is None:
        counts = alike(rows.weight) or bool((rows.weight == np.round(rows.weight)).all())
        return rows.cluster is not None or not counts
    if rows.cluster is not None and not robust:
        raise ParameterError("cluster asks for a robust variance; leave robust out, or leave cluster out.")
    return robust


def _note(rows: Spells) -> str:
    if rows.n == 0:
        return "no rows with follow-up"
    if not rows.plain and not rows.weight.any():
        return "every weight is zero"
    return "" if rows.event.any() else "no events"


def _check_options(conf_type: str, level: float) -> None:
    if conf_type not in ("log", "log-log", "plain", "arcsin"):
        raise ParameterError(unknown("kind of interval", conf_type, ("log", "log-log", "plain", "arcsin")))
    z_value(level)
