"""Days in hospital: inpatient stays of every entry, merged, so that a transfer is not counted twice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clinops.build.entries import Entries
from clinops.sources import omop

Days = NDArray[np.int64]


def days_in_hospital(entries: Entries, first: Days, last: Days, died: NDArray[np.float64] | None = None) -> Days:
    """Count each entry's days in hospital from day `first` to day `last`, both included.

    The day of admission is a day in hospital, the day of discharge one at home, unless the person died on it
    or was admitted on it. Days that several stays share count once.

    Parameters
    ----------
    first, last : shape (entries,), days from the index date; nothing is counted where last < first.
    died : shape (entries,), day of death; NaN for none.

    Returns
    -------
    array of shape (entries,), whole days
    """
    row, start, end = _stays(entries)
    if died is not None:
        end = np.where(end == died[row], end + 1, end)
    stop = np.maximum(end - 1, start)
    start, stop = np.maximum(start, first[row]), np.minimum(stop, last[row])
    kept = start <= stop
    row, start, stop = row[kept], start[kept], stop[kept]
    return _merged_length(row, start, stop, entries.count)


def _stays(entries: Entries) -> tuple[Days, Days, Days]:
    """Row, first day and day of discharge of every inpatient stay of every entry, by row and first day."""
    source = entries.source
    visits = omop.events(source, "visit")
    stays = visits.filter(visits.concept_id.isin(omop.INPATIENT))
    dated = stays.filter(stays.start_date.notnull()).select("person_id", "start_date", "end_date")
    joined = entries.keys.inner_join(dated, "person_id")
    found = entries.collect(
        joined.select(
            "row",
            start=joined.start_date.delta(joined.index_date, unit="day"),
            end=joined.end_date.delta(joined.index_date, unit="day"),
        )
    )
    row, start, end = (found[name].astype(np.int64) for name in ("row", "start", "end"))
    order = np.lexsort((end, start, row))
    return row[order], start[order], end[order]


def _merged_length(row: Days, start: Days, stop: Days, count: int) -> Days:
    """Days covered by at least one of the spans of each row, which are sorted by row and start."""
    if not len(row):
        return np.zeros(count, dtype=np.int64)
    # Shift every row by more than any span reaches: then one running maximum serves all rows.
    low, high = int(start.min()), int(stop.max())
    shift = row * (high - low + 2)
    reach = np.maximum.accumulate(stop + shift)
    before = np.concatenate([[low - 2], reach[:-1]])
    fresh = np.maximum(start + shift, before + 1)
    days = np.maximum(stop + shift - fresh + 1, 0)
    return np.bincount(row, weights=days, minlength=count).astype(np.int64)
