"""What the exhibits of care must not show because it follows from one another: counts by site, by month, by kind.

The comparison of sites is a table and a figure, a chart's centre line gives the events of all its months, and both are
said elsewhere as totals. Each would be safe alone. They are looked at here as one system, and what is drawn from them
(overdispersion, runs) is then made from shown counts only, so that it gives nothing away either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clinops.results import cells as core
from clinops.results.suppress import HIDDEN, less_than
from clinops.stats.risk_sets import Bools

#: A total that other exhibits print cannot be hidden here; the baseline's follows from a centre line.
KNOWN, BASELINE = 1e12, 1e11


def by_site(index: Sequence[int], events: Sequence[int], min_cell: int) -> tuple[Bools, Bools]:
    """Return which sites' index discharges and which sites' readmissions are not shown.

    Parameters
    ----------
    index, events : (k,) of every site, those that add up to all index discharges and all readmissions.
    """
    held = core.Cells()
    volume = [held.add(n) for n in index]
    back = [held.add(e) for e in events]
    held.add_sum(volume, held.add(sum(index), cost=KNOWN))
    held.add_sum(back, held.add(sum(events), cost=KNOWN))
    for n, e in zip(volume, back, strict=True):
        rest = held.values[n] - held.values[e]
        # Those without a readmission are printed nowhere and follow from the two; a small number of them is a secret.
        if core.small(rest, min_cell):
            held.add_sum([e, held.add(rest, printed=False)], n)
    gone = core.hide(held, min_cell)
    return np.array([n in gone for n in volume], bool), np.array([e in gone for e in back], bool)


def by_month(events: Sequence[int], baseline: Sequence[bool], min_cell: int) -> tuple[Bools, bool, bool]:
    """Return which months' events are not shown, and whether all events, and those of the baseline, may be known.

    Parameters
    ----------
    events : (k,) of every month. baseline : (k,) the months whose events together the centre line gives.
    """
    held = core.Cells()
    months = [held.add(n) for n in events]
    whole = held.add(sum(events), cost=KNOWN)
    phases = []
    for wanted in (True, False):
        some = [m for m, base in zip(months, baseline, strict=True) if base is wanted]
        if some:
            phases.append(held.add(sum(held.values[m] for m in some), cost=BASELINE))
            held.add_sum(some, phases[-1])
    held.add_sum(phases, whole)
    gone = core.hide(held, min_cell)
    return np.array([m in gone for m in months], bool), whole not in gone, not gone & set(phases)


def parts(counts: Sequence[float], min_cell: int) -> list[bool]:
    """Return which parts of a total that is known are not shown."""
    held = core.Cells()
    some = [held.add(n) for n in counts]
    held.add_sum(some, held.add(sum(counts), cost=KNOWN))
    gone = core.hide(held, min_cell)
    return [cell in gone for cell in some]


def total_known(index: int, events: int, min_cell: int) -> bool:
    """Tell whether a share of all may be shown: neither those with the event nor those without are a small count."""
    return not (core.small(events, min_cell) or core.small(index - events, min_cell))


def printed(value: float, min_cell: int) -> str:
    """Return what stands in the place of a hidden count."""
    return less_than(min_cell) if core.small(value, min_cell) else HIDDEN
