"""Strategies "begin within a grace period" and "do not begin": who follows which for how long, with what weight.

A person's follow-up under a strategy ends where it deviates (artificial censoring). Who remains is weighted by the
inverse of the probability of not having deviated, from a pooled logistic model over person-intervals. Everybody may
stand under both strategies (cloning) or each under one (per protocol).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError
from clinops.stats.landmark import checked_course
from clinops.stats.refits import Refittable, refittable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

BEGIN, REFRAIN = 0, 1
NAMES = ("begin", "do not begin")
FEW = "fewer deviate, or do not, than there are covariates, so the weights see the segment only"


@dataclass(frozen=True)
class Deviation:
    """The model of deviating from one strategy: r person-intervals of n persons.

    Attributes
    ----------
    person, segment : (r,) whose and which. deviates : (r,) whether the person deviates in it.
    at_risk, deviating : (K,) by segment, persons (unweighted) who could deviate in it and who did.
    fit : the pooled model; None where no segment has both those who deviate and those who do not.
    rows : (f,) which person-intervals the model was fitted on: those of segments with both.
    note : "" or what a reader must know.
    """

    person: Ints
    segment: Ints
    deviates: Bools
    at_risk: Ints
    deviating: Ints
    fit: Refittable | None
    rows: Ints
    note: str


@dataclass(frozen=True)
class Strategies:
    """Both strategies on n persons, follow-up cut into K segments; made by `strategies`.

    Attributes
    ----------
    exit, cause : (n,) end of each person's own follow-up, up to the horizon. begins : (n,) infinite for never.
    grace : last day to begin. cuts : (K + 1,) segment k is the days cuts[k] + 1 to cuts[k + 1].
    assigned : (2, n) who stands under BEGIN and under REFRAIN. base : (n,) weights that are there already.
    ends : (2, n) last day under each strategy. deviates : (2, n) whether that is a deviation.
    models : of deviating from each. bounds : (2, K, 2) of the stabilised weights in force in each segment.
    """

    exit: Floats
    cause: Ints
    begins: Floats
    grace: float
    cuts: Floats
    assigned: Bools
    base: Floats
    ends: Floats
    deviates: Bools
    models: tuple[Deviation, Deviation]
    bounds: Floats

    def __len__(self) -> int:
        return len(self.exit)

    @property
    def horizon(self) -> float:
        """The last day."""
        return float(self.cuts[-1])

    def blocks(self, strategy: int, first: bool = False) -> list[slice]:
        """Runs of segments between which people deviate and weights change.

        Whoever deviates in a segment does so in the last of a run; with `first`, in the first of one.
        """
        model, last = self.models[strategy], len(self.cuts) - 1
        moved = np.unique(np.concatenate([model.segment[model.deviates], model.segment[model.rows]]))
        starts = sorted({0, *(moved + (0 if first else 1)).tolist()} - {last})
        return [slice(low, high) for low, high in zip(starts, [*starts[1:], last], strict=True)]

    def weights(self, strategy: int, drawn: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yield (b, n) weights and their stabilised part: on the days of each segment in turn, and after the last.

        drawn : (b, n) how much each person counts; the model is fitted anew for each row.
        """
        model = self.models[strategy]
        where = model.segment[model.rows]
        fitted = np.zeros((len(drawn), 0)) if model.fit is None else model.fit.again(drawn[:, model.person[model.rows]])
        full, mean = np.zeros(drawn.shape), np.zeros(drawn.shape)
        pair = None
        for k in range(len(self.cuts)):
            if pair is None or (where == k - 1).any():
                low, high = self.bounds[strategy, k]
                ratio = np.clip(np.exp(full - mean), low, high)
                pair = (ratio * np.exp(mean), ratio)
            yield pair
            at = np.flatnonzero(where == k)
            if len(at):
                person, y = model.person[model.rows[at]], model.deviates[model.rows[at]]
                w = drawn[:, person]
                counts = (w > 0) & ~y  # a sample that did not draw somebody has no weight to give him
                with np.errstate(divide="ignore", invalid="ignore"):
                    share = np.nan_to_num((w @ y) / w.sum(axis=1))
                    full[:, person] += np.where(counts, -np.log1p(-fitted[:, at]), 0.0)
                    mean[:, person] += np.where(counts, -np.log1p(-share)[:, None], 0.0)

    @cached_property
    def own(self) -> tuple[Floats, Floats]:
        """(2, n, K + 1) weights and their stabilised part in the persons as they are."""
        made = [list(self.weights(s, (self.base * self.assigned[s])[None])) for s in (BEGIN, REFRAIN)]
        both = np.array([[[one[0], two[0]] for one, two in each] for each in made])
        return both[:, :, 0].transpose(0, 2, 1), both[:, :, 1].transpose(0, 2, 1)

    def at_risk(self, strategy: int, day: ArrayLike) -> Ints:
        """How many persons stand under a strategy on each day, unweighted."""
        ends = np.sort(self.ends[strategy][self.assigned[strategy] & (self.base > 0)])
        return (len(ends) - np.searchsorted(ends, np.asarray(day, dtype=float), side="left")).astype(np.int64)


def strategies(
    exit: ArrayLike,
    cause: ArrayLike,
    begins: ArrayLike,
    *,
    grace: int,
    horizon: int,
    X: ArrayLike | None = None,
    moving: ArrayLike | None = None,
    cuts: Sequence[int] | None = None,
    until: float = np.inf,
    last: int | None = None,
    assigned: ArrayLike | None = None,
    base: ArrayLike | None = None,
    truncate: float | None = 0.99,
) -> Strategies:
    """What would follow if everybody began within a grace period, and if nobody began? Who tells us, and how much?

    Parameters
    ----------
    exit : (n,) last day followed, whole days from the index date, on which the event, another end or none came.
    cause : (n,) 0 none, 1 the event, 2 another end that rules it out (death). begins : (n,) day, NaN never.
    grace : last day of the grace period. horizon : last day that is looked at.
    X : (n, p) covariates of day 0. moving : (n, K, q) covariates known when each segment begins.
    cuts : 0, ..., horizon, with the grace day among them; by default `segment_cuts`.
    until : day up to which beginning deviates from "do not begin".
    last : days at the end of the grace period in which those who have not begun are taken to begin as others do who
        had not; by default the whole of it, as Maringe and others do.
    assigned : (2, n) who stands under each strategy; everybody under both where not given (clones).
    base : (n,) weights that each person has already (an adjustment at day 0), taken as known.
    truncate : stabilised weights beyond this quantile, or below one minus it, are set to it; None leaves them.

    Returns
    -------
    Strategies. Days without follow-up (exit 0) count nowhere. Where nobody can deviate all weights are 1; where fewer
    person-intervals of one kind than columns are there, the model has its intercepts only, and a note.

    Raises
    ------
    DataError : as `checked_course`; days that are no whole numbers; shapes; missing covariates.
    ParameterError : cuts, grace, last, horizon or truncation that cannot be.

    Notes
    -----
    Events come before deviations of the same day: an event on the grace day counts under both strategies. Not to
    have begun is a deviation at the end of the grace day, for those still followed after it; to begin is one on its
    day. Weights: 1 / product of (1 - p) over the segments that are over, p from one logistic model with an intercept
    a segment. Source: Hernan 2018 (BMJ 360:k182), Cain and others 2010, Maringe and others 2020 (International
    Journal of Epidemiology 49:1719), Gaber and others 2024. Checked against R (glm and survfit with weights), by
    hand, and in worlds with a known truth.
    """
    ends, why, start = checked_course(exit, cause, begins)
    if (ends % 1 != 0).any() or (start[np.isfinite(start)] % 1 != 0).any():
        raise DataError("exit and begins must be whole days from the index date.")
    grid = _grid(start, ends, grace, horizon, cuts, last)
    n = len(ends)
    beyond = ends > horizon
    ends, why = np.minimum(ends, horizon), np.where(beyond, 0, why)
    stand = np.ones((2, n), dtype=bool) if assigned is None else np.asarray(assigned, dtype=bool)
    weight = np.ones(n) if base is None else np.asarray(base, dtype=float)
    if stand.shape != (2, n) or weight.shape != (n,) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise DataError(f"assigned must be (2, {n}) and base ({n},), zero or more.")
    if truncate is not None and not 0.5 < truncate < 1:
        raise ParameterError(f"truncate is {truncate:g}; give a quantile between 0.5 and 1, or None.")
    still, moved = _covariates(X, moving, n, len(grid) - 1)
    stand = stand & (ends > 0) & (weight > 0)
    deviation = np.stack([np.where(start <= grace, np.inf, grace), np.where(start <= until, start, np.inf)])
    deviates = deviation < ends
    rest = grace - (grace if last is None else last)
    models = (
        _model(_at_grace(ends, start, grace, rest, grid, stand[BEGIN]), still, moved, weight, grid, rest),
        _model(_at_start(ends, deviation[REFRAIN], grid, stand[REFRAIN]), still, moved, weight, grid, None),
    )
    free = np.tile([0.0, np.inf], (2, len(grid), 1))
    made = Strategies(
        ends, why, start, float(grace), grid, stand, weight, np.minimum(ends, deviation), deviates, models, free
    )  # fmt: skip
    return made if truncate is None else _bounded(made, truncate)


def segment_cuts(begins: ArrayLike, grace: int, horizon: int, most: int = 6, step: int = 30) -> tuple[int, ...]:
    """Where to cut follow-up: at quantiles of the days on which people begin, at the grace day, and every `step` days.

    begins : (n,) NaN or infinite for never. most : segments that the days of beginning are cut into.
    """
    days = np.asarray(begins, dtype=float)
    days = days[np.isfinite(days) & (days > 0) & (days < horizon)]
    found = {0, grace, horizon, *range(step, horizon, step)}
    if len(distinct := np.unique(days)) <= most:
        found |= {int(day) for day in distinct}
    else:
        found |= {int(day) for day in np.quantile(days, np.arange(1, most + 1) / most, method="higher")}
    return tuple(sorted(found))


def _grid(
    start: Floats, ends: Floats, grace: int, horizon: int, cuts: Sequence[int] | None, last: int | None
) -> Floats:  # fmt: skip
    if not (float(grace).is_integer() and float(horizon).is_integer() and 0 < grace < horizon):
        raise ParameterError(
            f"grace is {grace} and the horizon {horizon}; give whole days, 0 < grace < horizon."
        )  # fmt: skip
    if last is not None and not 0 < last <= grace:
        raise ParameterError(f"last is {last}; give 1 to {grace} days, the grace period.")
    given = segment_cuts(np.where(start < ends, start, np.nan), grace, horizon) if cuts is None else tuple(cuts)
    wanted = {0, grace, horizon} | (set() if last is None else {grace - last})
    if cuts is None:
        given = tuple(sorted({*given, *wanted}))
    if list(given) != sorted(set(given)) or given[0] != 0 or given[-1] != horizon or not wanted <= set(given):
        raise ParameterError(
            f"cuts must rise from 0 to {horizon} and hold {', '.join(str(day) for day in sorted(wanted))}."
        )
    return np.asarray(given, dtype=float)


def _covariates(X: ArrayLike | None, moving: ArrayLike | None, n: int, segments: int) -> tuple[Floats, Floats]:
    still = np.zeros((n, 0)) if X is None else np.asarray(X, dtype=float)
    moved = np.zeros((n, segments, 0)) if moving is None else np.asarray(moving, dtype=float)
    if still.ndim != 2 or len(still) != n or moved.ndim != 3 or moved.shape[:2] != (n, segments):
        raise DataError(f"X must be ({n}, p) and moving ({n}, {segments}, q); they are {still.shape}, {moved.shape}.")
    if not (np.isfinite(still).all() and np.isfinite(moved).all()):
        raise DataError("X or moving holds missing or infinite values; impute them or set such persons aside.")
    return still, moved


def _at_grace(
    ends: Floats, start: Floats, grace: float, rest: float, grid: Floats, stand: Bools
) -> tuple[Ints, Ints, Bools]:
    """Person-intervals of "begin": those followed beyond the grace day who had not begun when its last part began."""
    who = np.flatnonzero(stand & (ends > grace) & ((start > rest) | (rest == 0)))
    segment = np.full(len(who), np.searchsorted(grid, grace) - 1)
    return who.astype(np.int64), segment.astype(np.int64), start[who] > grace


def _at_start(ends: Floats, deviation: Floats, grid: Floats, stand: Bools) -> tuple[Ints, Ints, Bools]:
    """Person-intervals of "do not begin": each segment in which a person is followed and has not begun before."""
    people, segments, deviates = [], [], []
    for k, (low, high) in enumerate(pairwise(grid)):
        who = np.flatnonzero(stand & (ends > low) & ((deviation > low) | (k == 0)))
        people.append(who)
        segments.append(np.full(len(who), k))
        deviates.append((deviation[who] <= high) & (deviation[who] < ends[who]))
    return (
        np.concatenate(people).astype(np.int64),
        np.concatenate(segments).astype(np.int64),
        np.concatenate(deviates),
    )  # fmt: skip


def _model(
    rows: tuple[Ints, Ints, Bools], still: Floats, moved: Floats, weight: Floats, grid: Floats, rest: float | None
) -> Deviation:
    """Fit the pooled model on the segments in which some deviate and some do not; elsewhere there is no choice."""
    person, segment, deviates = rows
    size = len(grid) - 1
    at_risk = np.bincount(segment, minlength=size).astype(np.int64)
    deviating = np.bincount(segment[deviates], minlength=size).astype(np.int64)
    both = (deviating > 0) & (deviating < at_risk)
    fitted = np.flatnonzero(both[segment])
    if not len(fitted):
        why = "nobody deviates" if not deviating.sum() else "whoever can deviate in a segment does"
        return Deviation(person, segment, deviates, at_risk, deviating, None, fitted.astype(np.int64), why)
    who, where = person[fitted], segment[fitted]
    known = where if rest is None else np.full(len(where), np.searchsorted(grid, rest))
    intercepts = (where[:, None] == np.flatnonzero(both)[None]).astype(float)
    design, note = np.column_stack([intercepts, still[who], moved[who, known]]), ""
    if min(deviates[fitted].sum(), (~deviates[fitted]).sum()) < design.shape[1]:
        # Fewer of one kind than columns: a model would tell them apart perfectly and say nothing.
        design, note = intercepts, FEW if design.shape[1] > intercepts.shape[1] else ""
    fit = refittable(design, deviates[fitted], weights=weight[who])
    said = "; ".join(part for part in (note, fit.note) if part)
    return Deviation(person, segment, deviates, at_risk, deviating, fit, fitted.astype(np.int64), said)


def _bounded(made: Strategies, truncate: float) -> Strategies:
    """The same with the bounds of the stabilised weights, from those under each strategy after each segment."""
    bounds = made.bounds.copy()
    _, ratios = made.own
    for s in (BEGIN, REFRAIN):
        model = made.models[s]
        moved = set(model.segment[model.rows].tolist())
        for k, day in enumerate(made.cuts):
            if k - 1 not in moved:  # the weights are those of the segment before
                bounds[s, k] = bounds[s, k - 1] if k else bounds[s, k]
                continue
            there = made.assigned[s] & (made.ends[s] > day)
            if day == made.horizon:
                there = made.assigned[s] & (made.ends[s] == day) & ~made.deviates[s]
            if there.any():
                bounds[s, k] = np.quantile(ratios[s, there, k], [1 - truncate, truncate])
    return replace(made, bounds=bounds)
