"""Competing risks: cumulative incidence of each cause, time lost to it, and what both differ by between groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import ParameterError, unknown
from clinops.stats.causes import cause_codes, cause_columns
from clinops.stats.competing_variance import (
    KINDS,
    Increments,
    by_cluster,
    incidence_variance,
    increments,
    influences,
    lost_variance,
    robust_variances,
    still_to_lose,
)
from clinops.stats.normal import two_sided, z_value
from clinops.stats.risk_sets import Floats, Ints, Spells, ratio, spells

CONF_TYPES = ("log-log", "log", "plain")
Labels = NDArray[Any]
SCALES = ("difference", "ratio")
_QUANTITIES = ("incidence", "time lost")
_SE_KINDS = {"greenwood": "Greenwood", "aalen": "Aalen", "robust": "robust"}


@dataclass(frozen=True)
class CauseEstimate:
    """One number about one cause: time lost up to `time`, or a difference or ratio of two groups.

    scale : "value", "difference" or "ratio". std_error is of the estimate, for a ratio of its logarithm. p_value is
    two-sided against no difference (1 for a ratio), NaN for a value. NaN with a note where it is not identified.
    """

    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    cause: int
    time: float
    scale: str
    level: float
    se_kind: str
    p_value: float = float("nan")
    note: str = ""


@dataclass(frozen=True)
class IncidencePoints:
    """Curves read at t given times; past the last follow-up the last value with n_risk 0.

    time, n_risk, survival, survival_std_error : (t,). incidence, std_error, conf_low, conf_high : (t, K).
    """

    time: Floats
    n_risk: Floats
    incidence: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    survival: Floats
    survival_std_error: Floats


@dataclass(frozen=True)
class CumulativeIncidence:
    """Cumulative incidence of K causes: one row for each of the k distinct times at which a row ends, event or not.

    causes : the K codes, in the order of the columns. time, n_risk, n_censor : (k,) weighted counts. n_event : (k, K).
    incidence, std_error, conf_low, conf_high : (k, K). survival : (k,) free of every cause; incidence and survival
    add up to 1. Where a cause has had no event: 0, error 0, limits 0. Where everybody has had that one cause:
    1, error and limits NaN; survival_std_error is NaN where survival is 0.
    n, events : rows used and events of each cause (K,), unweighted. set_aside : rows with entry = exit.
    se_kind : "Greenwood", "Aalen" or "robust".
    """

    causes: tuple[int, ...]
    time: Floats
    n_risk: Floats
    n_event: Floats
    n_censor: Floats
    incidence: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    survival: Floats
    survival_std_error: Floats
    conf_type: str
    level: float
    se_kind: str
    n: int
    events: Ints
    set_aside: int
    note: str
    steps: _Steps = field(repr=False, compare=False)

    def at(self, times: ArrayLike) -> IncidencePoints:
        """Read the curves at `times`; n_risk counts the rows with entry < t <= exit (at the start, all who enter)."""
        when = np.atleast_1d(np.asarray(times, dtype=np.float64))
        step = np.searchsorted(self.time, when, side="right")

        def read(values: Floats, before: float) -> Floats:
            return np.concatenate([np.full((1, *values.shape[1:]), before), values])[step]

        return IncidencePoints(
            when, _count_at(self.steps.rows, when), read(self.incidence, 0.0), read(self.std_error, 0.0),
            read(self.conf_low, 0.0), read(self.conf_high, 0.0), read(self.survival, 1.0),
            read(self.survival_std_error, 0.0),
        )  # fmt: skip

    def column(self, cause: int) -> int:
        """Position of a cause among the columns.

        Raises
        ------
        ParameterError : the cause is not one of `causes`.
        """
        if cause not in self.causes:
            raise ParameterError(unknown("cause", str(cause), tuple(str(known) for known in self.causes)))
        return self.causes.index(cause)

    def time_lost(self, cause: int, tau: float, *, extend: bool = False) -> CauseEstimate:
        """How much time up to tau is lost to this cause, on average? The area under its cumulative incidence.

        Over all causes it adds up to tau less the restricted mean survival. When follow-up ends before tau with
        people still free of every cause it is not identified and NaN; `extend` carries the last value on.

        Raises
        ------
        ParameterError : unknown cause, or tau is not a positive number.

        Notes
        -----
        Andersen 2013 (Statistics in Medicine 32:5278).
        """
        column = self.column(cause)
        if not (np.isfinite(tau) and tau > 0):
            raise ParameterError(f"tau is {tau!r}; it must be a positive time in the units of the follow-up.")
        note = "" if extend else self._beyond(tau)
        if note:
            return _nothing(cause, tau, "value", self.level, self.se_kind, note)
        left, still, value = self._reach(column, tau, "time lost")
        of = self.steps
        if self.se_kind == "robust":
            variance = float(np.sum(by_cluster(self._influence(column, tau, "time lost"), of.rows.cluster) ** 2))
        else:
            variance = lost_variance(of.increments, column, self.se_kind.lower(), left, still)
        error = float(np.sqrt(max(variance, 0.0)))
        reach = z_value(self.level) * error
        note = "" if value else f"no event of cause {cause} before {tau:g}"
        return CauseEstimate(
            value, error, value - reach, value + reach, cause, tau, "value", self.level, self.se_kind, note=note
        )

    def one_minus_kaplan_meier(self, cause: int) -> Floats:
        """Return the WRONG curve that censors the other causes, for contrast only: (k,).

        It is 1 - Kaplan-Meier with other causes as censoring: it answers what would happen if the other causes did
        not exist and were independent, is never below the cumulative incidence, and adds up to more than 1.
        """
        own = self.n_event[:, self.column(cause)]
        return np.asarray(1 - np.cumprod(1 - ratio(own, self.n_risk, self.n_risk > 0)))

    def influence(self, cause: int, time: float, *, of: str = "incidence") -> Floats:
        """Each row's influence on the incidence at `time`, or on the time lost up to it, its weight included: (rows,).

        The robust variance is the sum of squares of its sums over clusters. NaN for rows set aside.

        Raises
        ------
        ParameterError : unknown cause, or `of` is neither "incidence" nor "time lost".
        """
        if of not in _QUANTITIES:
            raise ParameterError(unknown("quantity", of, _QUANTITIES))
        out = np.full(len(self.steps.rows.kept), np.nan)
        out[self.steps.rows.kept] = self._influence(self.column(cause), time, of)
        return out

    def _influence(self, column: int, time: float, of: str) -> Floats:
        steps, (left, still, _) = self.steps, self._reach(column, time, of)
        return influences(steps.rows, steps.rows.exits, steps.mine, steps.increments, column, left, still)

    def _reach(self, column: int, time: float, of: str) -> tuple[Floats, Floats, float]:
        """What an event of the cause at each time adds, what those it removes would still have added; the value."""
        inside, curve = self.time <= time, self.incidence[:, column]
        if of == "incidence":
            left, value = inside.astype(np.float64), float(curve[inside][-1]) if inside.any() else 0.0
            area = left * value
        else:
            clock = np.minimum(self.time, time)
            left = time - clock
            area = np.cumsum((curve * np.diff(np.append(clock, time)))[::-1])[::-1]
            value = float(area[0]) if len(area) else 0.0
        return left, still_to_lose(self.steps.increments, column, left, area), value

    def _beyond(self, time: float) -> str:
        """Why nothing is known at `time`, if nothing is."""
        ends = float(self.time[-1]) if len(self.time) else 0.0
        if time <= ends or (len(self.time) and self.survival[-1] == 0):
            return ""
        return f"follow-up ends at {ends:g}, before {time:g}, with people still free of every cause"


@dataclass(frozen=True)
class _Steps:
    """What the curves were made of, for variances of what is derived from them."""

    rows: Spells
    mine: Ints
    increments: Increments
    labels: Labels | None


def aalen_johansen(
    exit: ArrayLike,
    cause: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    causes: tuple[int, ...] | None = None,
    variance: str | None = None,
    conf_type: str = "log-log",
    level: float = 0.95,
) -> CumulativeIncidence:
    """What share has had each kind of event, at each time, when the first of them ends the follow-up?

    Parameters
    ----------
    exit : (n,) when a row of follow-up ends. cause : (n,) how: 0 without an event, else the code (1, 2 ...).
    entry : (n,) when a row begins to be at risk, on the same clock; 0 for everybody if not given.
    weights : (n,) frequency, sampling or inverse-probability weights; zero or more. Taken as known.
    cluster : (n,) labels (a person with several rows, a matched set); implies a robust variance.
    causes : codes to report, also where they do not occur (as in the smaller of two groups); by default those that do.
    variance : "greenwood" (multinomial; with one cause it is Greenwood's), "aalen" (counting process, ties drawn
        without replacement) or "robust" (infinitesimal jackknife over rows or clusters). By default robust with
        `cluster` or weights that are not whole numbers, else greenwood. Without late entry, and with every weight 1,
        robust and greenwood are equal.
    conf_type : "log-log" (of the incidence), "log" or "plain"; limits stay within 0 and 1. level : of the interval.

    Raises
    ------
    DataError : see `risk_sets.spells`; a cause that is no whole number of 0 or more, or is not among `causes`.
    ParameterError : unknown variance or conf_type; a model variance with `cluster`; a level not between 0 and 1.

    Notes
    -----
    Aalen and Johansen 1978; Andersen, Borgan, Gill and Keiding 1993, IV.4; checked against R survival 3.5.3
    `survfit` (robust) and cmprsk 2.2.11 `cuminc` (aalen). Ties need no jitter: each cause takes S(t-) d/n.
    """
    if conf_type not in CONF_TYPES:
        raise ParameterError(unknown("kind of interval", conf_type, CONF_TYPES))
    z_value(level)
    codes = cause_codes(cause)
    rows = spells(exit, codes > 0, entry=entry, weights=weights, cluster=cluster)
    codes, labels = codes[rows.kept], None if cluster is None else np.asarray(cluster)[rows.kept]
    kind = _kind(rows, variance)
    named, mine = cause_columns(codes, causes)
    time, at, left_over = increments(rows, mine, len(named))
    events = np.bincount(mine + 1, minlength=len(named) + 1)[1:]
    error, survival_error = _errors(rows, mine, at, kind)
    low, high = _limits(at.incidence, error, conf_type, level)
    return CumulativeIncidence(
        named, time, at.n_risk, at.by_cause, left_over, at.incidence, error, low, high, at.after, survival_error,
        conf_type, level, _SE_KINDS[kind], rows.n, events, rows.set_aside, _note(rows),
        _Steps(rows, mine, at, labels),
    )  # fmt: skip


def aalen_johansen_by(
    group: ArrayLike, exit: ArrayLike, cause: ArrayLike, **options: Any
) -> dict[object, CumulativeIncidence]:
    """Return `aalen_johansen` of each group, by label in sorted order, every group with the causes of all.

    `options` are those of `aalen_johansen`; arrays among them have one value a row.

    Raises
    ------
    DataError : as there, or `group` has another length or missing labels.
    """
    labels = np.asarray(group)
    spells(exit, np.zeros(len(np.asarray(exit))), cluster=labels)
    codes = cause_codes(cause)
    options.setdefault("causes", tuple(int(code) for code in np.unique(codes[codes > 0])))
    found: dict[object, CumulativeIncidence] = {}
    for label in np.unique(labels).tolist():
        here = labels == label
        mine = {
            name: np.asarray(value)[here] if name in ("entry", "weights", "cluster") and value is not None else value
            for name, value in options.items()
        }
        found[label] = aalen_johansen(np.asarray(exit)[here], codes[here], **mine)
    return found


def compare_incidence(
    first: CumulativeIncidence, second: CumulativeIncidence, cause: int, time: float, *, scale: str = "difference"
) -> CauseEstimate:
    """By how much does the share with this cause by `time` differ between two groups?

    The groups are of different people, or both curves were made with `cluster`: a label that stands in both groups
    (a matched set, a person in both) is then one cluster. scale : "difference" (first less second) or "ratio"
    (limits on the log scale). NaN with a note where a group is not followed to `time`, or where a ratio has a 0.

    Raises
    ------
    ParameterError : unknown cause or scale.
    """
    sides = []
    for curve in (first, second):
        column, points, note = curve.column(cause), curve.at([time]), curve._beyond(time)
        value, error = float(points.incidence[0, column]), float(points.std_error[0, column])
        sides.append((float("nan"), float("nan"), note) if note else (value, error, ""))
    shared = _covariance(first, second, cause, time, "incidence")
    return _contrast(sides, shared, (cause, time, scale), (first.level, _both(first.se_kind, second.se_kind)))


def compare_time_lost(
    first: CumulativeIncidence,
    second: CumulativeIncidence,
    cause: int,
    tau: float,
    *,
    scale: str = "difference",
    extend: bool = False,
) -> CauseEstimate:
    """By how much does the time lost to this cause up to tau differ between two groups?

    Groups, clusters and scale are those of `compare_incidence`.

    Raises
    ------
    ParameterError : unknown cause or scale, or tau is not a positive number.
    """
    lost = [curve.time_lost(cause, tau, extend=extend) for curve in (first, second)]
    sides = [(one.estimate, one.std_error, one.note if np.isnan(one.estimate) else "") for one in lost]
    shared = _covariance(first, second, cause, tau, "time lost")
    return _contrast(sides, shared, (cause, tau, scale), (first.level, _both(first.se_kind, second.se_kind)))


def _covariance(first: CumulativeIncidence, second: CumulativeIncidence, cause: int, time: float, of: str) -> float:
    """Covariance of two groups' values through clusters that stand in both; 0 unless both were made with clusters."""
    one, other = first.steps.labels, second.steps.labels
    if one is None or other is None:
        return 0.0
    names, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    each = np.split(codes.reshape(-1), [len(one)])
    sums = [
        np.bincount(code, weights=curve._influence(curve.column(cause), time, of), minlength=len(names))
        for code, curve in zip(each, (first, second), strict=True)
    ]
    return float(np.sum(sums[0] * sums[1]))


def _kind(rows: Spells, variance: str | None) -> str:
    if variance is None:
        robust = rows.cluster is not None or bool((rows.weight != np.round(rows.weight)).any())
        return "robust" if robust else "greenwood"
    if variance not in KINDS:
        raise ParameterError(unknown("variance", variance, KINDS))
    if rows.cluster is not None and variance != "robust":
        raise ParameterError(f"cluster asks for variance='robust'; {variance!r} was given. Leave one of them out.")
    return variance


def _errors(rows: Spells, mine: Ints, at: Increments, kind: str) -> tuple[Floats, Floats]:
    """Standard errors of the incidences (m, K) and of survival (m,), NaN where nothing is left to vary."""
    if kind == "robust":
        squares, log_variance = robust_variances(rows, rows.exits, mine, at)
    else:
        columns = [incidence_variance(at, column, kind) for column in range(at.incidence.shape[1])]
        squares = np.stack(columns, axis=1) if columns else np.zeros_like(at.incidence)
        log_variance = np.cumsum(ratio(at.n_event, at.n_risk * (at.n_risk - at.n_event), at.after > 0))
    error = np.where(at.incidence == 0, 0.0, np.sqrt(np.maximum(squares, 0)))
    others = at.incidence.sum(axis=1)[:, None] - at.incidence
    certain = (at.after == 0)[:, None] & (others == 0) & (at.incidence > 0)
    return np.where(certain, np.nan, error), np.where(at.after > 0, at.after * np.sqrt(log_variance), np.nan)


def _limits(value: Floats, error: Floats, conf_type: str, level: float) -> tuple[Floats, Floats]:
    """Limits of an incidence within 0 and 1; 0 and 0 where it is 0, NaN where it is 1."""
    z = z_value(level)
    inside = np.where((value > 0) & (value < 1), value, 0.5)
    if conf_type == "plain":
        bounds = [inside + side * z * error for side in (-1.0, 1.0)]
    elif conf_type == "log":
        bounds = [inside * np.exp(side * z * error / inside) for side in (-1.0, 1.0)]
    else:
        spread = z * error / (inside * np.abs(np.log(inside)))
        bounds = [inside ** np.exp(-side * spread) for side in (-1.0, 1.0)]
    low, high = (np.where(value == 0, 0.0, np.clip(bound, 0.0, 1.0)) for bound in bounds)
    return np.where(np.isnan(error), np.nan, low), np.where(np.isnan(error), np.nan, high)


def _contrast(
    sides: list[tuple[float, float, str]], shared: float, what: tuple[int, float, str], how: tuple[float, str]
) -> CauseEstimate:
    """Difference or ratio of two values, each with its error and note, and their covariance."""
    (one, one_error, one_note), (other, other_error, other_note) = sides
    cause, time, scale = what
    if scale not in SCALES:
        raise ParameterError(unknown("scale", scale, SCALES))
    note = "; ".join(dict.fromkeys(text for text in (one_note, other_note) if text))
    if note:
        return _nothing(cause, time, scale, *how, note)
    if scale == "ratio" and (one <= 0 or other <= 0):
        return _nothing(cause, time, scale, *how, "no event of this cause in one group: no ratio")
    z = z_value(how[0])
    if scale == "difference":
        estimate, variance = one - other, one_error**2 + other_error**2 - 2 * shared
    else:
        estimate = one / other
        variance = (one_error / one) ** 2 + (other_error / other) ** 2 - 2 * shared / (one * other)
    error = float(np.sqrt(max(variance, 0.0)))
    if scale == "difference":
        low, high, statistic = estimate - z * error, estimate + z * error, estimate
    else:
        low, high, statistic = estimate * np.exp(-z * error), estimate * np.exp(z * error), float(np.log(estimate))
    p = two_sided(statistic / error) if error > 0 else float("nan")
    if np.isnan(error):
        note = "everybody in one group had this event: no standard error"
    elif one_error == 0 or other_error == 0:
        note = "no event of this cause in one group: its 0 is taken as certain"
    return CauseEstimate(estimate, error, float(low), float(high), cause, time, scale, *how, p, note)


def _nothing(cause: int, time: float, scale: str, level: float, se_kind: str, note: str) -> CauseEstimate:
    nan = float("nan")
    return CauseEstimate(nan, nan, nan, nan, cause, time, scale, level, se_kind, note=note)


def _both(first: str, second: str) -> str:
    return first if first == second else f"{first}, {second}"


def _count_at(rows: Spells, when: Floats) -> Floats:
    """Weighted number of rows with entry < t <= exit at any times; at the very start, all who enter then."""

    def later(times: Floats) -> Floats:
        order = np.argsort(times, kind="stable")
        total = np.concatenate([np.cumsum(rows.weight[order][::-1])[::-1], [0.0]])
        return np.asarray(total[np.searchsorted(times[order], when, side="left")])

    start = rows.entry.min(initial=np.inf)
    begins = np.where(when == start, float(rows.weight[rows.entry == start].sum()), 0.0)
    return later(rows.exit) - later(rows.entry) + begins


def _note(rows: Spells) -> str:
    if rows.n == 0:
        return "no rows with follow-up"
    return "" if rows.event.any() else "no events"
