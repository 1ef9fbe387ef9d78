"""What changes during follow-up: recent care at chosen days, and amounts by segment of follow-up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinops.build import costs, events, measures
from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.build.outcomes import overlap
from clinops.define.events import Events
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DataError, DefinitionError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Recent:
    """Care in the days before each of K days; arrays (entries, K), in the order of the entries.

    `visits` counts visits of every kind, `cost` sums allowed amounts; None where the records hold none.
    """

    visits: Floats | None
    cost: Floats | None


def recent(protocol: Protocol, baseline: Baseline, at: Sequence[int], look_back: int) -> Recent:
    """Count visits and sum costs of the days d - look_back to d - 1 before each day d, up to the end of follow-up.

    Parameters
    ----------
    at : days from the index date, 0 or later; at day 0 everything is before the index date.

    Raises
    ------
    DefinitionError : a day before 0, or a look-back of no days. DataError : costs in several currencies.
    """
    if look_back < 1 or any(day < 0 for day in at):
        raise DefinitionError(f"Recent care looks {look_back} days back from {list(at)}; give days of 0 or later.")
    entries = baseline.entries
    followed = follow(protocol, entries).table
    windows = {str(day): Window(day - look_back, day - 1) for day in at}
    every = Events("visit")
    visits = cost = None
    if not events.impossible(every, entries.source):
        counted = measures.counted(entries, {name: (every, window) for name, window in windows.items()}, followed)
        visits = np.column_stack([counted[str(day)].count for day in at])
    if not costs.impossible(entries.source):
        asked = {name: costs.Asked("total", "allowed", window) for name, window in windows.items()}
        spent = costs.spent(entries, asked, followed)
        cost = np.column_stack([spent[str(day)] for day in at])
    return Recent(visits, cost)


def by_segment(protocol: Protocol, baseline: Baseline, measure: Measure, cuts: Sequence[int]) -> Floats:
    """Count an outcome's events, or sum its money, in each segment of follow-up.

    Parameters
    ----------
    measure : an outcome that counts events or sums costs. cuts : rising days; segment k is cuts[k] + 1 to cuts[k + 1].

    Returns
    -------
    (entries, segments): what falls into the segment, the outcome's own window and the follow-up; else 0.

    Raises
    ------
    DataError : the source cannot give the outcome, or it is of another kind.
    """
    entries = baseline.entries
    followed = follow(protocol, entries)
    own = overlap(measure.window, followed.window)
    pieces = {}
    for k, (low, high) in enumerate(itertools.pairwise(cuts)):
        inside = None if own is None else overlap(Window(int(low) + 1, int(high)), own)
        if inside is not None:
            pieces[str(k)] = inside
    if measure.measure == "count" and measure.events is not None:
        events.require(measure.events, entries.source)
        asked = {name: (measure.events, window) for name, window in pieces.items()}
        found = {name: one.count for name, one in measures.counted(entries, asked, followed.table).items()}
    elif measure.measure == "cost":
        category = measure.category or "total"
        if reason := costs.impossible(entries.source, category, measure.amount):
            raise DataError(reason)
        wanted = {name: costs.Asked(category, measure.amount, window) for name, window in pieces.items()}
        found = costs.spent(entries, wanted, followed.table)
    else:
        raise DataError(f"{measure.name!r} is no count and no cost, so it has no amount in a segment.")
    nothing = np.zeros(entries.count)
    return np.column_stack([found.get(str(k), nothing) for k in range(len(cuts) - 1)])
