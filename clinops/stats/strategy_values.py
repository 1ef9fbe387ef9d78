"""What would follow under each strategy: risks by day and mean amounts, with a bootstrap by person that refits all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csr_matrix

from clinops.errors import DataError
from clinops.stats.bootstrap import Bootstrap, resampling, summarise
from clinops.stats.strategies import BEGIN, NAMES, REFRAIN, Floats, Ints, Strategies

_CELLS = 12_000_000  # weights held at once
GONE = "nobody is left under “{name}” after day {day:g}, so it cannot be said what follows to day {horizon:g}"


@dataclass(frozen=True)
class StrategyRisks:
    """Risk of the event by day under each strategy; D days.

    Attributes
    ----------
    day : (D,) 0, 1, ... to the horizon. risk, low, high : (2, D), BEGIN and REFRAIN; NaN where nobody is left.
    at_risk : (2, D) persons, unweighted. events : (2,) persons with the event under each strategy.
    difference, ratio : at the horizon, risk under BEGIN less that under REFRAIN, or over it: estimate, standard
        error (of a difference; of the log of a ratio), low, high.
    se_kind, note : as in `Bootstrap`; note "" or what a reader must know.
    """

    day: Floats
    risk: Floats
    low: Floats
    high: Floats
    at_risk: Ints
    events: tuple[int, int]
    difference: tuple[float, float, float, float]
    ratio: tuple[float, float, float, float]
    se_kind: str
    note: str


@dataclass(frozen=True)
class StrategyMeans:
    """Mean amount per person to the horizon under each strategy.

    Attributes
    ----------
    mean, low, high : (2,). persons : (2,) who stand under each, and followers : (2,) who never deviate.
    difference, ratio, se_kind, note : as in `StrategyRisks`.
    """

    mean: Floats
    low: Floats
    high: Floats
    persons: tuple[int, int]
    followers: tuple[int, int]
    difference: tuple[float, float, float, float]
    ratio: tuple[float, float, float, float]
    se_kind: str
    note: str


def strategy_risks(
    of: Strategies, *, seed: int, replicates: int = 200, cluster: ArrayLike | None = None, conf_level: float = 0.95
) -> StrategyRisks:
    """What share would have the event by each day if everybody began in time, and if nobody began?

    Parameters
    ----------
    of : from `strategies`. seed, replicates, cluster : of the bootstrap over persons (`cluster`: their ids, where a
        person has several rows); the weights are estimated anew in each sample.

    Raises
    ------
    DefinitionError, DataError : as `bootstrap`.

    Notes
    -----
    Aalen-Johansen with the weights in force on each day: S(t) = prod (1 - (E1 + E2) / Y), F(t) = sum S(t-) E1 / Y;
    with no other end than the event it is 1 - Kaplan-Meier. Percentile intervals, pointwise.
    """
    days = np.arange(int(of.horizon) + 1, dtype=float)
    bins = tuple(_events(of, s) for s in (BEGIN, REFRAIN))

    def values(drawn: Floats) -> Floats:
        return np.concatenate([_incidence(of, s, drawn, bins[s]) for s in (BEGIN, REFRAIN)], axis=1)

    found, difference, ratio = _bootstrapped(values, of, seed, replicates, cluster, conf_level, len(days) - 1)
    risk, low, high = (a.reshape(2, -1) for a in (found.estimate, found.conf_low, found.conf_high))
    events = tuple(
        int((of.assigned[s] & (of.cause == 1) & ~of.deviates[s] & (of.ends[s] > 0)).sum()) for s in (BEGIN, REFRAIN)
    )
    at_risk = np.stack([of.at_risk(s, np.maximum(days, 1)) for s in (BEGIN, REFRAIN)])
    return StrategyRisks(
        days, risk, low, high, at_risk, (events[0], events[1]), difference, ratio, found.se_kind,
        _note(of, found, np.isnan(risk[:, -1])),
    )  # fmt: skip


def strategy_means(
    of: Strategies, amounts: ArrayLike, *, seed: int, replicates: int = 200, cluster: ArrayLike | None = None,
    conf_level: float = 0.95,
) -> StrategyMeans:  # fmt: skip
    """What would a person spend (or use) on average if everybody began in time, and if nobody began?

    Parameters
    ----------
    amounts : (n, K) what each person spent in each segment of `of.cuts`; 0 after the end of follow-up.
    seed, replicates, cluster : as in `strategy_risks`.

    Raises
    ------
    DataError : another shape, missing amounts; as `bootstrap`.

    Notes
    -----
    Sum over segments of the weighted mean among those who have not deviated by its end. Who died or left stays in
    the mean with nothing more, at the weight of that day: an amount "as observed", like the plain mean. Source: the
    partitioned estimator of Bang and Tsiatis 2000, with deviation in the place of censoring.
    """
    spent = np.asarray(amounts, dtype=float)
    if spent.shape != (len(of), len(of.cuts) - 1) or not np.isfinite(spent).all():
        raise DataError(f"amounts has shape {spent.shape}; it must be ({len(of)}, {len(of.cuts) - 1}), none missing.")

    def values(drawn: Floats) -> Floats:
        return np.concatenate([_mean(of, s, drawn, spent) for s in (BEGIN, REFRAIN)], axis=1)

    found, difference, ratio = _bootstrapped(values, of, seed, replicates, cluster, conf_level, 0)
    persons = tuple(int(of.assigned[s].sum()) for s in (BEGIN, REFRAIN))
    followers = tuple(int((of.assigned[s] & ~of.deviates[s]).sum()) for s in (BEGIN, REFRAIN))
    return StrategyMeans(
        found.estimate, found.conf_low, found.conf_high, (persons[0], persons[1]), (followers[0], followers[1]),
        difference, ratio, found.se_kind, _note(of, found, np.isnan(found.estimate)),
    )  # fmt: skip


def _events(of: Strategies, strategy: int) -> tuple[csr_matrix, csr_matrix, csr_matrix]:
    """Who ends on which day under a strategy, in any way, in the event, and in another end: (days, n) of 0 and 1."""
    days, person = int(of.horizon) + 1, np.arange(len(of))
    ends, own = of.ends[strategy].astype(np.int64), ~of.deviates[strategy]

    def laid(keep: np.ndarray) -> csr_matrix:
        at = person[keep & of.assigned[strategy]]
        return csr_matrix((np.ones(len(at)), (ends[at], at)), shape=(days, len(of)))

    return laid(ends > 0), laid(own & (of.cause == 1)), laid(own & (of.cause == 2))


def _incidence(of: Strategies, strategy: int, drawn: Floats, bins: tuple[csr_matrix, csr_matrix, csr_matrix]) -> Floats:
    """(b, D) risk of the event by each day."""
    weights = of.weights(strategy, drawn * of.assigned[strategy])
    days = int(of.horizon) + 1
    risk, free = np.zeros((len(drawn), days)), np.ones(len(drawn))
    for block in of.blocks(strategy):
        low, high = of.cuts[block.start], of.cuts[block.stop]
        (weight, _), *_ = islice(weights, block.stop - block.start)
        there = np.flatnonzero(of.assigned[strategy] & (of.ends[strategy] > low))
        w = _counting(drawn, weight, there).T
        leaving, event, other = (m[int(low) + 1 :, there] @ w for m in bins)
        left = np.cumsum(leaving[::-1], axis=0)[::-1]
        for d, at in enumerate(range(int(low) + 1, int(high) + 1)):
            here = left[d] > 0
            with np.errstate(divide="ignore", invalid="ignore"):
                share, gone = event[d] / left[d], (event[d] + other[d]) / left[d]
            # Nobody left while some are still free of everything: not known from here on, which the sum carries on.
            risk[:, at] = risk[:, at - 1] + np.where(here, free * share, np.where(free > 0, np.nan, 0.0))
            free = np.where(here, np.where(gone > 1 - 1e-12, 0.0, free * (1 - gone)), free)
    return risk


def _counting(drawn: Floats, weight: Floats, there: Ints) -> Floats:
    """(b, persons there) what each counts; nothing where it was not drawn, whatever its weight would be."""
    counted = drawn[:, there]
    return np.where(counted > 0, counted * np.where(counted > 0, weight[:, there], 0.0), 0.0)


def _mean(of: Strategies, strategy: int, drawn: Floats, spent: Floats) -> Floats:
    """(b, 1) mean amount to the horizon."""
    weights = of.weights(strategy, drawn * of.assigned[strategy])
    now, _ = next(weights)
    total = np.zeros(len(drawn))
    # Not to have begun is a deviation at the end of its segment, which is therefore whole; to begin is one within, so
    # that whoever begins in the first segment of a run is in none of it.
    within = strategy == REFRAIN
    for block in of.blocks(strategy, first=within):
        states = [state for state, _ in islice(weights, block.stop - block.start)]
        day, weight = (of.cuts[block.start + 1], states[0]) if within else (of.cuts[block.start], now)
        there = np.flatnonzero(of.assigned[strategy] & ~(of.deviates[strategy] & (of.ends[strategy] <= day)))
        w = _counting(drawn, weight, there)
        with np.errstate(divide="ignore", invalid="ignore"):
            total += (w @ spent[there][:, block].sum(axis=1)) / w.sum(axis=1)
        now = states[-1]
    return total[:, None]


def _bootstrapped(
    values: Callable[[Floats], Floats], of: Strategies, seed: int, replicates: int, cluster: ArrayLike | None,
    conf_level: float, last: int,
) -> tuple[Bootstrap, tuple[float, float, float, float], tuple[float, float, float, float]]:  # fmt: skip
    """Bootstrap values (2 x columns), and the difference and ratio of both strategies in the column `last`."""
    units = resampling(len(of), cluster=cluster)
    size = max(1, _CELLS // (len(of) * len(of.cuts)))

    def whole(drawn: Floats) -> Floats:
        made = values(drawn * of.base)
        half = made.shape[1] // 2
        one, zero = made[:, last], made[:, half + last]
        with np.errstate(divide="ignore", invalid="ignore"):
            log_ratio = np.log(one / zero)
        return np.column_stack([made, one - zero, np.where(np.isfinite(log_ratio), log_ratio, np.nan)])

    estimate = whole(np.ones((1, len(of))))[0]
    draws = np.concatenate([
        whole(block) for block in units.blocks(seed, replicates, size=size, rows=np.arange(len(of)))
    ])  # fmt: skip
    found = summarise(estimate, draws, units, conf_level=conf_level, label="weights refitted")
    numbers = [found.estimate, found.std_error, found.conf_low, found.conf_high]
    difference, ratio = (tuple(float(a[at]) for a in numbers) for at in (-2, -1))
    ratio = tuple(float(np.exp(v)) if i != 1 else v for i, v in enumerate(ratio))
    kept = Bootstrap(
        found.estimate[:-2], found.std_error[:-2], found.conf_low[:-2], found.conf_high[:-2],
        found.replicates[:, :-2], found.n_failed[:-2], found.se_kind, found.note,
    )  # fmt: skip
    return kept, difference, ratio  # type: ignore[return-value]


def _note(of: Strategies, found: Bootstrap, missing: np.ndarray) -> str:
    """Why a strategy has no answer, and what the bootstrap says."""
    notes = []
    for s in (BEGIN, REFRAIN):
        if missing[s]:
            last = float(of.ends[s][of.assigned[s]].max(initial=0.0))
            notes.append(GONE.format(name=NAMES[s], day=last, horizon=of.horizon))
    notes += [model.note for model in of.models if model.note and model.fit is not None]
    if found.note and not missing.any():
        notes.append(found.note)
    return "; ".join(dict.fromkeys(notes))
