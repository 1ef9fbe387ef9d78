"""Follow-up cut where an exposure begins, so that no day before it is counted as exposed (immortal time)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.risk_sets import Bools, Floats, Ints, spells


@dataclass(frozen=True)
class ExposedSpells:
    """Rows of follow-up, each wholly before or wholly after the start: m rows, in the order of those given.

    row : (m,) which of the rows given each is cut from, the person for clusters and covariates. entry, exit : (m,).
    event : (m,) whether it ends in the event. exposed : (m,). set_aside : rows given with entry = exit.
    """

    row: Ints
    entry: Floats
    exit: Floats
    event: Bools
    exposed: Bools
    set_aside: int

    def time(self, exposed: bool) -> float:
        """Person-time on one side, in the units of time."""
        rows = self.exposed == exposed
        return float((self.exit[rows] - self.entry[rows]).sum())

    def events(self, exposed: bool) -> int:
        """Number of events on one side."""
        return int(self.event[self.exposed == exposed].sum())


def exposed_spells(
    exit: ArrayLike, event: ArrayLike, start: ArrayLike, *, entry: ArrayLike | None = None
) -> ExposedSpells:
    """Which follow-up, and which events, come before an exposure begins, and which after?

    To count everybody who is ever exposed as exposed from the beginning gives the exposed days in which they could not
    have had the event (immortal time); to leave those days out takes them from the unexposed, where they belong.

    Parameters
    ----------
    exit, event, entry : (n,) as for `survival.kaplan_meier`, one row a person.
    start : (n,) when the exposure begins, on the same clock; NaN: never. At or before entry: exposed throughout.

    Returns
    -------
    Rows (entry, start] and (start, exit]. An event at the start itself is one of the unexposed: what began at that
    moment cannot have caused it. For `cox` with `entry`, or for rates (`rates.rate_ratio`).

    Raises
    ------
    DataError : see `risk_sets.spells`; `start` of another length or infinite.

    Notes
    -----
    Suissa 2008 (American Journal of Epidemiology 167:492). Checked by hand and, with the Cox model, against R
    survival's `coxph` on (start, stop] rows: case C019.
    """
    rows = spells(exit, event, entry=entry)
    begins = np.asarray(start, dtype=np.float64)
    if begins.shape != rows.kept.shape or np.isinf(begins).any():
        raise DataError(
            f"start has the shape {begins.shape}; it must have {len(rows.kept)} times, as exit has, NaN where the "
            "exposure never begins."
        )
    begins = begins[rows.kept]
    whole = np.flatnonzero(rows.kept)
    never = np.isnan(begins)
    cut = np.where(never, rows.exit, np.clip(begins, rows.entry, rows.exit))
    before, after = cut > rows.entry, cut < rows.exit
    place = np.concatenate([np.flatnonzero(before), np.flatnonzero(after)])
    exposed = np.repeat([False, True], [before.sum(), after.sum()])
    order = np.lexsort((exposed, place))
    place, exposed = place[order], exposed[order]
    first = np.where(exposed, cut[place], rows.entry[place])
    last = np.where(exposed, rows.exit[place], cut[place])
    happened = rows.event[place] & (last == rows.exit[place])
    return ExposedSpells(whole[place], first, last, happened, exposed, rows.set_aside)
