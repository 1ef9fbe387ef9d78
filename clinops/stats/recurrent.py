"""Events that come again: the mean number of them by each time, with late entry, weights, and death if it ends them.

The mean is taken over everybody, not over those who have an event, and its variance sums over persons, so that
nothing is assumed of how one event makes the next more likely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.normal import two_sided, z_value
from clinops.stats.risk_sets import Bools, Floats, Ints, RiskSets, Spells, ratio, risk_sets, spells

NAN = float("nan")


@dataclass(frozen=True)
class MeanPoints:
    """A mean cumulative function read at given times, one value a time; past all follow-up the last value."""

    time: Floats
    n_risk: Floats
    mean: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    survival: Floats


@dataclass(frozen=True)
class MeanCurve:
    """The mean number of events a person has had: one value for each distinct time at which a row ends.

    time, n_risk, n_event, n_death : (k,) weighted counts; at risk means entry < time <= exit.
    mean : (k,) number of events a person by that time. std_error : (k,) robust over persons (or clusters).
    std_error_poisson : (k,) if every event were independent of the others and death did not occur; for contrast.
    conf_low, conf_high : (k,). survival : (k,) of the terminal event, 1 throughout without one.
    terminal : whether death ends the events (Ghosh and Lin) or was not given. persons, clusters, events, deaths :
    unweighted. set_aside : rows with entry = exit.
    """

    time: Floats
    n_risk: Floats
    n_event: Floats
    n_death: Floats
    mean: Floats
    std_error: Floats
    std_error_poisson: Floats
    conf_low: Floats
    conf_high: Floats
    survival: Floats
    terminal: bool
    conf_type: str
    level: float
    persons: int
    clusters: int
    events: int
    deaths: int
    set_aside: int
    note: str
    rows: Spells = field(repr=False, compare=False)
    dies: Bools = field(repr=False, compare=False)
    labels: NDArray = field(repr=False, compare=False)

    def at(self, times: ArrayLike) -> MeanPoints:
        """Read the curve at `times`; n_risk counts the rows with entry < t <= exit."""
        when = np.atleast_1d(np.asarray(times, dtype=np.float64))
        step = np.searchsorted(self.time, when, side="right")

        def read(values: Floats, before: float) -> Floats:
            return np.concatenate([[before], values])[step]

        return MeanPoints(
            when, _count_at(self.rows, when), read(self.mean, 0.0), read(self.std_error, 0.0),
            read(self.conf_low, 0.0), read(self.conf_high, 0.0), read(self.survival, 1.0),
        )  # fmt: skip

    def influence(self, time: float) -> Floats:
        """Each row's weighted influence on the mean at `time`; its variance is the sum of squares of clusters: (n,)."""
        sets = risk_sets(self.rows, every_exit=True)
        parts = _parts(self.rows, self.dies, sets)
        used = int(np.searchsorted(self.time, time, side="right"))
        target = float(self.mean[used - 1]) if used else 0.0
        here, at = np.arange(sets.m) < used, sets.last - 1
        drift = np.where(here, parts.drift_events - target * parts.drift_death, 0.0)
        jump = np.where(here[at], parts.jump_events - target * parts.jump_death, 0.0)
        return np.asarray(self.rows.weight * (jump - sets.along(drift)))


@dataclass(frozen=True)
class MeanContrast:
    """Two mean numbers of events at one time, compared.

    mean, mean_0 : of the first and the second curve. std_error is of the difference, or of the logarithm of the
    ratio. Where the data do not determine a value it is NaN and `note` says why.
    """

    time: float
    mean: float
    mean_0: float
    estimate: float
    std_error: float
    conf_low: float
    conf_high: float
    p_value: float
    scale: str
    level: float
    note: str


def mean_cumulative(
    exit: ArrayLike,
    event: ArrayLike,
    person: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    death: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    conf_type: str = "log",
    level: float = 0.95,
) -> MeanCurve:
    """How many events has a person had, on average, by each time?

    Parameters
    ----------
    exit, event : (n,) when a row of follow-up ends, and whether it ends in the event (1) or not (0).
    person : (n,) labels; a person's rows follow one another and do not overlap (`recurrent_rows.counting_process`
        makes them).
    entry : (n,) when a row begins to be at risk, on the same clock; 0 for everybody if not given.
    death : (n,) whether the row ends in death (1) or another event after which none can follow; a row may end in
        both, the event first. Given, the mean is over everybody, the dead included, who have no more events
        (Ghosh and Lin). Not given, deaths are censoring and the mean is that of a population in which nobody dies.
    weights : (n,) sampling or inverse-probability weights; zero or more. They are taken as known.
    cluster : (n,) labels of larger independent units, such as matched sets; by default persons.
    conf_type : "log" or "plain". level : of the pointwise interval.

    Raises
    ------
    DataError : see `risk_sets.spells`; rows of a person that overlap, or go on after death; a person in two clusters.
    ParameterError : unknown conf_type, a level not between 0 and 1.

    Notes
    -----
    m(t) = sum over u <= t of S(u-) d_u / n_u, S the Kaplan-Meier curve of death (1 without one); variance by the
    influence of each person. Nelson 1988; Lawless and Nadeau 1995; Ghosh and Lin 2000. Checked against R survival
    3.5.3 (`survfit` with id) and, with death, by hand and against mets 1.3.2 (which takes exp(-H) for S).
    Fewer than two clusters: no standard error.
    """
    if conf_type not in ("log", "plain"):
        raise ParameterError(unknown("kind of interval", conf_type, ("log", "plain")))
    z = z_value(level)
    rows, dies, who = recurrent_spells(exit, event, person, entry=entry, death=death, weights=weights, cluster=cluster)
    sets = risk_sets(rows, every_exit=True)
    parts = _parts(rows, dies, sets)
    clusters = _how_many(_cluster(rows))
    error = np.sqrt(_variance(rows, sets, parts)) if clusters > 1 else np.full(sets.m, np.nan)
    poisson = np.sqrt(np.cumsum(parts.before**2 * ratio(parts.n_event, parts.n_risk**2, parts.n_risk > 0)))
    if conf_type == "log":
        factor = np.exp(z * ratio(error, parts.mean, parts.mean > 0))
        low, high = parts.mean / factor, parts.mean * factor
    else:
        low, high = parts.mean - z * error, parts.mean + z * error
    labels = np.asarray(person if cluster is None else cluster)[rows.kept]
    return MeanCurve(
        sets.time, parts.n_risk, parts.n_event, parts.n_death, parts.mean, error, poisson, low, high, parts.survival,
        death is not None, conf_type, level, _how_many(who), clusters, int(rows.event.sum()), int(dies.sum()),
        rows.set_aside, _note(rows, clusters), rows, dies, labels,
    )  # fmt: skip


def mean_contrast(
    first: MeanCurve,
    second: MeanCurve,
    time: float,
    *,
    scale: str = "difference",
    shared: bool = False,
    level: float = 0.95,
) -> MeanContrast:
    """By how much does the mean number of events by `time` differ between two groups?

    Parameters
    ----------
    first, second : curves of the group and its comparator, both with death or both without.
    time : on the curves' clock, not after the follow-up of either ends.
    scale : "difference" (plain interval) or "ratio" (interval on the log scale).
    shared : the same label in both curves is one cluster (matched sets, persons with time in both). By default the
        groups are different people, whatever their labels.

    Raises
    ------
    ParameterError : unknown scale, a bad level or time, one curve with death and one without.

    Notes
    -----
    Normal approximation. After all follow-up of a group has ended its mean is not identified: NaN and a note, unless
    everybody in it has died. A group without events has no spread; its 0 is taken as certain, and a note says so.
    """
    if scale not in ("difference", "ratio"):
        raise ParameterError(unknown("scale", scale, ("difference", "ratio")))
    if not math.isfinite(time):
        raise ParameterError(f"time is {time!r}; it must be a number on the clock of the follow-up.")
    if first.terminal != second.terminal:
        raise ParameterError("One curve takes account of death and the other does not; make both in the same way.")
    z = z_value(level)
    value, value_0 = (float(curve.at(time).mean[0]) for curve in (first, second))

    def answer(estimate: float, error: float, low: float, high: float, p: float, note: str) -> MeanContrast:
        return MeanContrast(time, value, value_0, estimate, error, low, high, p, scale, level, note)

    lost = "; ".join(dict.fromkeys(note for curve in (first, second) if (note := _unknown_at(curve, time))))
    if lost:
        return answer(NAN, NAN, NAN, NAN, NAN, lost)
    some = value > 0 and value_0 > 0
    if scale == "ratio":
        if not some:
            none = "a group without events by then: the ratio has no interval of this kind"
            return answer(_over(value, value_0), NAN, NAN, NAN, NAN, none)
        error = _contrast_error(first, second, time, 1 / value, 1 / value_0, shared)
        log = math.log(value / value_0)
        p = two_sided(log / error) if error > 0 else NAN
        return answer(value / value_0, error, math.exp(log - z * error), math.exp(log + z * error), p, "")
    error = _contrast_error(first, second, time, 1.0, 1.0, shared)
    gap = value - value_0
    p = two_sided(gap / error) if error > 0 else NAN
    note = "" if some else "a group without events by then: its 0 is taken as certain"
    return answer(gap, error, gap - z * error, gap + z * error, p, note)


def recurrent_spells(
    exit: ArrayLike,
    event: ArrayLike,
    person: ArrayLike,
    *,
    entry: ArrayLike | None = None,
    death: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    strata: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
) -> tuple[Spells, Bools, Ints]:
    """Check rows of persons: return them (clusters persons unless given), who of them dies (n,), persons' codes (n,).

    Raises
    ------
    DataError : see `risk_sets.spells`; rows of a person that overlap, or go on after death; a person in two clusters.
    """
    size = np.shape(np.asarray(exit, dtype=np.float64))
    if np.shape(person) != size:
        raise DataError(f"person has the shape {np.shape(person)}; it must have one label a row, as exit {size}.")
    rows = spells(exit, event, entry=entry, weights=weights, strata=strata, cluster=person)
    who = _cluster(rows)
    if cluster is not None:
        rows = replace(rows, cluster=spells(exit, event, entry=entry, cluster=cluster).cluster)
        _nested(_cluster(rows), who)
    dies = np.zeros(rows.n, dtype=bool) if death is None else _deaths(death, size)[rows.kept]
    order = _by_person(who, rows.entry)
    follows = who[order][1:] == who[order][:-1]
    bad = follows & (rows.entry[order][1:] < rows.exit[order][:-1])
    if bad.any():
        at = np.flatnonzero(rows.kept)[order[int(np.flatnonzero(bad)[0]) + 1]]
        raise DataError(
            f"{int(bad.sum())} rows begin before the person's row before them has ended (first: row {at}, person "
            f"{np.asarray(person)[at]}). A person is at risk once at a time: (entry, exit] must not overlap."
        )
    after = follows & dies[order][:-1]
    if after.any():
        at = np.flatnonzero(rows.kept)[order[int(np.flatnonzero(after)[0])]]
        raise DataError(
            f"{int(after.sum())} rows follow the person's death (first: row {at}, person {np.asarray(person)[at]}); "
            "end follow-up at death."
        )
    return rows, dies, who


def _nested(cluster: Ints, who: Ints) -> None:
    """Persons must lie within clusters: a person in two would make them depend on each other."""
    own = np.zeros(who.max(initial=-1) + 1, dtype=np.int64)
    own[who] = cluster
    if (own[who] != cluster).any():
        many = len(np.unique(who[own[who] != cluster]))
        raise DataError(f"{many} persons have rows in more than one cluster; a cluster must hold whole persons.")


def _by_person(who: Ints, entry: Floats) -> Ints:
    """Order of rows by person and then entry."""
    later, same = who[1:] > who[:-1], who[1:] == who[:-1]
    if (later | (same & (entry[1:] >= entry[:-1]))).all():
        return np.arange(len(who))
    return np.lexsort((entry, who))


def _cluster(rows: Spells) -> Ints:
    assert rows.cluster is not None, "persons are clusters, unless larger ones are given"
    return rows.cluster


def _how_many(codes: Ints) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def _deaths(death: ArrayLike, size: tuple[int, ...]) -> Bools:
    found = np.asarray(death, dtype=np.float64)
    if found.shape != size or not np.isin(found, (0.0, 1.0)).all():
        raise DataError(f"death must be 0 or 1 (False or True), one a row: {size[0]} values.")
    return np.asarray(found == 1.0)


@dataclass(frozen=True)
class _Parts:
    """The curves at each moment (m,), and what a row's influence is made of.

    Influence on m(t), per unit of weight: sum of `jump_events` - m(t) `jump_death` at the row's end, less the drifts
    at the moments it was at risk. before : S(t-).
    """

    n_risk: Floats
    n_event: Floats
    n_death: Floats
    mean: Floats
    survival: Floats
    before: Floats
    jump_events: Floats
    jump_death: Floats
    drift_events: Floats
    drift_death: Floats


def _parts(rows: Spells, dies: Bools, sets: RiskSets) -> _Parts:
    at = sets.last - 1
    used = (rows.weight > 0).astype(float)
    n_risk, n_event = sets.at_risk(rows.weight), sets.events(rows.weight)
    n_death = _sum_at(at, rows.weight * dies, sets.m)
    # Equality is decided on the counts of rows: sums of weights may differ in the last digit.
    last = (_sum_at(at, used * dies, sets.m) == sets.at_risk(used)) & (n_death > 0)
    somebody = n_risk > 0
    rate, hazard = ratio(n_event, n_risk, somebody), ratio(n_death, n_risk, somebody)
    survival = np.cumprod(np.where(last, 0.0, 1 - hazard)).astype(np.float64)
    before = np.concatenate([[1.0], survival[:-1]])[: sets.m]
    mean = np.cumsum(before * rate)
    each = ratio(before, n_risk, somebody)
    # Where the last ones die S falls to 0 and the mean stays, so their influence through S is 0.
    each_death = ratio(np.ones(sets.m), n_risk - n_death, somebody & ~last)
    return _Parts(
        n_risk, n_event, n_death, mean, survival, before,
        rows.event * each[at] + dies * (mean * each_death)[at], dies * each_death[at],
        each * rate + mean * hazard * each_death, hazard * each_death,
    )  # fmt: skip


def _variance(rows: Spells, sets: RiskSets, parts: _Parts) -> Floats:
    """Sum over clusters of their squared influence at every moment, in O(n log n).

    A cluster's influence is a - b D, with D the running drift: a and b (its weight at risk) change only where one of
    its rows begins or ends, so their products are accumulated over those changes.
    """
    total = np.concatenate([[0.0], np.cumsum(parts.drift_events)])
    death = np.concatenate([[0.0], np.cumsum(parts.drift_death)])
    mean, weight = parts.mean, rows.weight
    # Each row's begin and end side by side: rows that come by person and time are then in order already.
    who, when = np.repeat(_cluster(rows), 2), np.stack([sets.first, sets.last - 1], axis=1).reshape(-1)
    order = np.argsort(who * np.int64(sets.m + 1) + when, kind="stable")
    who, when = who[order], when[order]

    def state(begin: Floats, end: Floats) -> Floats:
        return _running_within(who, np.stack([begin, end], axis=1).reshape(-1)[order])

    def sums(product: Floats) -> Floats:
        return _total_at(who, when, product, sets.m)

    a = state(weight * total[sets.first], weight * (parts.jump_events - total[sets.last]))
    b = state(weight, -weight)
    gap = total[1:]
    squares, cross = sums(a * a), sums(a * b)
    if death[-1]:
        d = state(weight * death[sets.first], weight * (parts.jump_death - death[sets.last]))
        squares = squares - 2 * mean * sums(a * d) + mean**2 * sums(d * d)
        cross = cross - mean * sums(d * b)
        gap = gap - mean * death[1:]
    return np.maximum(squares - 2 * gap * cross + gap**2 * sums(b * b), 0.0)


def _running_within(group: Ints, values: Floats) -> Floats:
    """Cumulative sums that start again at each group; `group` is sorted."""
    if not len(group):
        return values
    total = np.cumsum(values)
    starts = np.concatenate([[True], group[1:] != group[:-1]])
    base = np.where(starts, total - values, 0.0)
    return np.asarray(total - base[np.maximum.accumulate(np.where(starts, np.arange(len(group)), 0))])


def _total_at(group: Ints, when: Ints, state: Floats, size: int) -> Floats:
    """Sum over groups of their current state at each moment, given each group's states in order of time."""
    same = np.concatenate([[False], group[1:] == group[:-1]])[: len(group)]
    change = state - np.where(same, np.concatenate([[0.0], state[:-1]])[: len(group)], 0.0)
    return np.cumsum(_sum_at(when, change, size))


def _sum_at(index: Ints, values: Floats, size: int) -> Floats:
    """Sum values by index; numpy's bincount turns to integers when there are none."""
    return np.bincount(index, weights=values, minlength=size).astype(np.float64)


def _count_at(rows: Spells, when: Floats) -> Floats:
    """Weighted number of rows with entry < t <= exit, at any times."""

    def from_(times: Floats) -> Floats:
        order = np.argsort(times, kind="stable")
        total = np.concatenate([np.cumsum(rows.weight[order][::-1])[::-1], [0.0]])
        return np.asarray(total[np.searchsorted(times[order], when, side="left")])

    return from_(rows.exit) - from_(rows.entry)


def _contrast_error(
    first: MeanCurve, second: MeanCurve, time: float, by_first: float, by_second: float, shared: bool
) -> float:
    """Standard error of by_first x the first mean less by_second x the second; NaN for a lone cluster."""
    parts = (by_first * first.influence(time), -by_second * second.influence(time))
    labels = (first.labels, second.labels)
    if shared:
        if len(np.unique(np.concatenate(labels))) < 2:
            return NAN
        return math.sqrt(_sum_of_squares(np.concatenate(parts), np.concatenate(labels)))
    if min(first.clusters, second.clusters) < 2:
        return NAN
    return math.sqrt(sum(_sum_of_squares(part, label) for part, label in zip(parts, labels, strict=True)))


def _sum_of_squares(values: Floats, labels: NDArray) -> float:
    codes = np.unique(labels, return_inverse=True)[1].reshape(-1)
    return float(np.sum(_sum_at(codes, values, 0) ** 2))


def _unknown_at(curve: MeanCurve, time: float) -> str:
    ends = float(curve.time[-1]) if len(curve.time) else 0.0
    if not len(curve.time):
        return curve.note
    if time > ends and curve.survival[-1] > 0:
        return f"follow-up of a group ends at {ends:g}, before {time:g}"
    return ""


def _over(top: float, bottom: float) -> float:
    if bottom:
        return top / bottom
    return math.inf if top else NAN


def _note(rows: Spells, clusters: int) -> str:
    if rows.n == 0:
        return "no rows with follow-up"
    said = [] if rows.event.any() else ["no events"]
    if clusters < 2:
        said.append("one person or cluster: no standard error")
    return "; ".join(said)
