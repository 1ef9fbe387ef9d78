"""From a list of events and everybody's follow-up to rows at risk, as the estimators of recurrent events read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.risk_sets import Bools, Floats, Ints


@dataclass(frozen=True)
class RecurrentRows:
    """Rows (entry, exit] of persons, r in all, by person and then time.

    person : (r,) labels. index : (r,) position in the persons given, to fetch covariates by: `X[rows.index]`.
    entry, exit, event, death : (r,); a row may end in both, the event first. order : (r,) the number, from 1, of the
    event that the row is at risk of. outside : events not after start or after stop, which are not used. merged :
    events left out because the person had another at that very time. set_aside : persons with start = stop, who
    have no row.
    """

    person: NDArray
    index: Ints
    entry: Floats
    exit: Floats
    event: Bools
    death: Bools
    order: Ints
    outside: int
    merged: int
    set_aside: int

    @property
    def gap(self) -> Floats:
        """Length of each row: the time since the event before, or since the start: (r,)."""
        return self.exit - self.entry


def counting_process(
    person: ArrayLike,
    stop: ArrayLike,
    event_person: ArrayLike,
    event_time: ArrayLike,
    *,
    start: ArrayLike | None = None,
    death: ArrayLike | None = None,
    ties: str = "refuse",
) -> RecurrentRows:
    """Cut each person's follow-up at their events: one row up to each, and one from the last to the end.

    Parameters
    ----------
    person : (n,) labels, each once. start, stop : (n,) follow-up is (start, stop]; start 0 if not given.
    event_person, event_time : (e,) whose event, when; on the same clock, in any order.
    death : (n,) whether follow-up ends in death (1) or not (0); it is marked on the person's last row.
    ties : two events of a person at one time, which no row can hold: "refuse" or "merge" into one and count them.

    Raises
    ------
    DataError : labels given twice or unknown, missing values, start after stop, tied events. ParameterError :
        unknown ties.

    Notes
    -----
    Andersen and Gill 1982. For total time of Prentice, Williams and Peterson use `order` as strata, for gap time also
    `gap` in place of entry and exit.
    """
    people = _people(person, start, stop, death)
    who, when, outside, merged = _events(people, event_person, event_time, ties)
    has_end = people.start < people.stop
    latest = np.full(len(people.stop), -np.inf)
    np.maximum.at(latest, who, when)
    ends = np.flatnonzero(has_end & (latest < people.stop))
    index = np.concatenate([who, ends])
    exits = np.concatenate([when, people.stop[ends]])
    event = np.concatenate([np.ones(len(who), dtype=bool), np.zeros(len(ends), dtype=bool)])
    by_person = np.lexsort((exits, index))
    index, exits, event = index[by_person], exits[by_person], event[by_person]
    first = np.concatenate([[True], index[1:] != index[:-1]])[: len(index)]
    entry = np.where(first, people.start[index], np.concatenate([[0.0], exits[:-1]])[: len(index)])
    death_row = people.dies[index] & (exits == people.stop[index])
    order = _position(first) + 1
    return RecurrentRows(
        people.label[index], index, entry, exits, event, death_row, order, outside, merged, int((~has_end).sum())
    )


def marginal_rows(
    person: ArrayLike,
    stop: ArrayLike,
    event_person: ArrayLike,
    event_time: ArrayLike,
    orders: int,
    *,
    start: ArrayLike | None = None,
    death: ArrayLike | None = None,
    ties: str = "refuse",
) -> RecurrentRows:
    """Give each person one row for each of the first `orders` events, all at risk from the start.

    The row of event j ends at the person's j-th event, or without one at the end of follow-up. Everything else is as
    in `counting_process`. Wei, Lin and Weissfeld 1989.

    Raises
    ------
    DataError : see `counting_process`. ParameterError : orders is not a positive whole number; unknown ties.
    """
    if orders != int(orders) or orders < 1:
        raise ParameterError(f"orders is {orders!r}; it is how many events to look at, 1 or more.")
    people = _people(person, start, stop, death)
    who, when, outside, merged = _events(people, event_person, event_time, ties)
    followed = np.flatnonzero(people.start < people.stop)
    rank = _position(np.concatenate([[True], who[1:] != who[:-1]])[: len(who)])
    time, event = np.repeat(people.stop[:, None], orders, axis=1), np.zeros((len(people.stop), orders), dtype=bool)
    early = rank < orders
    time[who[early], rank[early]] = when[early]
    event[who[early], rank[early]] = True
    index = np.repeat(followed, orders)
    exits, happened = time[followed].reshape(-1), event[followed].reshape(-1)
    death_row = people.dies[index] & (exits == people.stop[index])
    return RecurrentRows(
        people.label[index], index, people.start[index], exits, happened, death_row,
        np.tile(np.arange(1, orders + 1), len(followed)), outside, merged, len(people.stop) - len(followed),
    )  # fmt: skip


@dataclass(frozen=True)
class _People:
    """Checked persons: label, start, stop, dies (n,)."""

    label: NDArray
    start: Floats
    stop: Floats
    dies: Bools


def _people(person: ArrayLike, start: ArrayLike | None, stop: ArrayLike, death: ArrayLike | None) -> _People:
    label = np.asarray(person)
    n = len(label)
    if label.ndim != 1 or len(np.unique(label)) != n:
        raise DataError(f"person must hold one label for each person, each once; {n} were given.")
    end = _column("stop", stop, n)
    begin = np.zeros(n) if start is None else _column("start", start, n)
    dies = np.zeros(n) if death is None else _column("death", death, n)
    if not np.isin(dies, (0.0, 1.0)).all():
        raise DataError("death must be 0 or 1 (False or True).")
    if (begin > end).any():
        row = int(np.flatnonzero(begin > end)[0])
        raise DataError(
            f"{int((begin > end).sum())} persons start after they stop (first: {label[row]}, start {begin[row]:g}, "
            f"stop {end[row]:g})."
        )
    return _People(label, begin, end, dies == 1.0)


def _events(people: _People, person: ArrayLike, time: ArrayLike, ties: str) -> tuple[Ints, Floats, int, int]:
    """Position of the person and time of each event used, by person and time; how many are outside, how many merged."""
    if ties not in ("refuse", "merge"):
        raise ParameterError(unknown("treatment of ties", ties, ("refuse", "merge")))
    label = np.asarray(person)
    if label.ndim != 1:
        raise DataError(f"event_person has the shape {label.shape}; it must hold one label for each event.")
    when = _column("event_time", time, len(label))
    order = np.argsort(people.label, kind="stable")
    there = np.searchsorted(people.label[order], label) if len(label) else np.zeros(0, dtype=np.int64)
    who = order[np.minimum(there, len(order) - 1)] if len(order) else np.zeros(len(label), dtype=np.int64)
    strange = people.label[who] != label if len(order) else np.ones(len(label), dtype=bool)
    if strange.any():
        raise DataError(
            f"{int(strange.sum())} events are of persons without follow-up (first: {label[strange][0]}); "
            "leave them out or give those persons a start and a stop."
        )
    inside = (when > people.start[who]) & (when <= people.stop[who])
    who, when = who[inside], when[inside]
    by_person = np.lexsort((when, who))
    who, when = who[by_person], when[by_person]
    again = np.concatenate([[False], (who[1:] == who[:-1]) & (when[1:] == when[:-1])])[: len(who)]
    if again.any() and ties == "refuse":
        at = int(np.flatnonzero(again)[0])
        raise DataError(
            f"{int(again.sum())} events happen at the time of another of the same person (first: person "
            f"{people.label[who[at]]} at {when[at]:g}). ties='merge' counts them once."
        )
    return who[~again].astype(np.int64), when[~again], int((~inside).sum()), int(again.sum())


def _column(name: str, values: ArrayLike, length: int) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != (length,):
        raise DataError(f"{name} has the shape {found.shape}; it must have {length} values.")
    if not np.isfinite(found).all():
        raise DataError(f"{name} has {int((~np.isfinite(found)).sum())} missing or infinite values.")
    return found


def _position(first: Bools) -> Ints:
    """Return the place of each row within its group, from 0; `first` marks where a group begins."""
    row = np.arange(len(first))
    return row - np.maximum.accumulate(np.where(first, row, 0)) if len(first) else row
