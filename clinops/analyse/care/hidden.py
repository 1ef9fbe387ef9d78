"""What the exhibits of care must not show because it follows from one another: counts by site, by month, by kind.

The comparison of sites is a table and a figure, a chart's centre line gives the events of all its months, and both are
said elsewhere as totals. Each would be safe alone. They are looked at here as one system, and what is drawn from them
(overdispersion, runs) is then made from shown counts only, so that it gives nothing away either.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clinops.results import cells as core
from clinops.results.suppress import HIDDEN, less_than
from clinops.stats.risk_sets import Bools

#: A total that other exhibits print cannot be hidden here.
KNOWN = 1e12


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
    """Return which months' events are not shown, and whether all events, and those of the baseline, may be told.

    A centre line tells the events of its months together, and the table of use tells all.

    Parameters
    ----------
    events : (k,) of every month. baseline : (k,) the months whose events together the centre line gives.
    """
    counts, early = np.asarray(events, dtype=int), np.asarray(baseline, dtype=bool)
    phases = [phase for phase in (early, ~early) if phase.any()]
    found = [_phase(counts[phase], min_cell) for phase in phases]
    if len(phases) > 1 and all(told for _, told in found):
        gone = np.zeros(len(counts), dtype=bool)
        for phase, (some, _) in zip(phases, found, strict=True):
            gone[phase] = some
        return gone, True, True
    gone, told = _phase(counts, min_cell)
    return gone, told, told and len(phases) < 2


def _phase(counts: NDArray[np.int_], min_cell: int) -> tuple[Bools, bool]:
    """Which months of one known sum are hidden, and whether the sum may be told.

    The k small months are each from 1 to m = min_cell - 1, and their sum S follows. All have the same bounds, so they
    can be worked out exactly if there is one, or S is k or k m. Then the least of the others, which has no bound, is
    hidden with them. (`cells.hide` finds the same by a linear programme for each of what may be a thousand months.)
    """
    gone = (counts > 0) & (counts < min_cell)
    k, whole = int(gone.sum()), int(counts[gone].sum())
    told = not core.small(float(counts.sum()), min_cell)
    if k == 0 or (k > 1 and k < whole < k * (min_cell - 1)):
        return gone, told
    large = np.flatnonzero(counts >= min_cell)
    if len(large):
        gone[large[np.argmin(counts[large])]] = True
        return gone, told
    # Nothing but zeros beside them: all are hidden, without saying which are small, or each would be known.
    return np.ones(len(counts), dtype=bool), False


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
