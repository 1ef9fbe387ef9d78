"""Who is at risk, has which event and is censored at every time at which a row ends: the counts behind every curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.stats.risk_sets import Bools, Floats, Ints, Spells, alike


@dataclass(frozen=True)
class LifeTable:
    """Counts at each of the m distinct times at which a row ends, K kinds of event.

    time : (m,). n_risk, n_censor : (m,) and n_event : (m, K), weighted. all_gone : (m,) where everybody at risk has an
    event; decided on the numbers of rows, since sums of weights may differ in the last digit.
    """

    time: Floats
    n_risk: Floats
    n_event: Floats
    n_censor: Floats
    all_gone: Bools


def life_table(rows: Spells, label: Ints, kinds: int) -> LifeTable:
    """Count checked rows without strata; `label` (n,) is 0 without an event, else the kind 1..`kinds`."""
    if not rows.plain:
        return _weighted(rows, label, kinds)
    clock = rows.places.time
    place = rows.places.exit * (kinds + 1)
    place += label
    table = np.bincount(place, minlength=len(clock) * (kinds + 1)).reshape(len(clock), kinds + 1)
    ended = table.sum(axis=1)
    if not ended.all():
        used = ended > 0
        clock, table, ended = clock[used], table[used], ended[used]
    n_risk = np.cumsum(ended[::-1])[::-1] - _yet_to_enter(rows.entry, clock)
    counts = table.astype(np.float64)
    gone = (ended - table[:, 0] == n_risk) & (table[:, 0] < ended)
    return LifeTable(clock, n_risk.astype(np.float64), counts[:, 1:], counts[:, 0], gone)


def _yet_to_enter(entry: Floats, times: Floats) -> Ints:
    """Number of rows that enter at each time or later; they are not at risk there."""
    if alike(entry):  # at one time, before any row ends
        return np.zeros(len(times), dtype=np.int64)
    return len(entry) - np.searchsorted(np.sort(entry), times, side="left")


def _weighted(rows: Spells, label: Ints, kinds: int) -> LifeTable:
    sets = rows.exits
    last = sets.last - 1
    table = np.stack(
        [np.bincount(last, weights=rows.weight * (label == kind), minlength=sets.m) for kind in range(kinds + 1)],
        axis=1,
    ).astype(np.float64)
    used = (rows.weight > 0).astype(np.float64)
    events = np.bincount(last, weights=used * (label > 0), minlength=sets.m)
    gone = (events == sets.at_risk(used)) & (events > 0)
    return LifeTable(sets.time, sets.at_risk(rows.weight), table[:, 1:], table[:, 0], gone)
