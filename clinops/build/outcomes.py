"""Outcomes: what happened to every entry between the start and the end of its follow-up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from clinops.build import costs, measures, stays
from clinops.build.baseline import Baseline, Note, impossible
from clinops.build.entries import Entries
from clinops.build.follow_up import Followed, follow
from clinops.define.measures import EVENT_KINDS, PERSON_KINDS, SCORE_KINDS, Measure
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of every entry, in the order of the baseline.

    Attributes
    ----------
    frame : row; observed_days (person-days of follow-up within the follow-up window); end_day and end_reason
        ("window", "death", "end of observation" or the label of events); death_day (NaN without a death in
        observation); observed_from_day (first day of the observation episode, 0 or earlier); then for each
        measure m two columns: m.id (any: 0/1; count: events; time to: 0/1, whether it happened; cost: money;
        days at home: days; value: the last one) and m.id + "__days" (person-days: for "time to" up to the
        event, else those observed in the measure's window).
    not_possible : (measure, reason) of those that the source cannot give; they have no column.
    set_aside : (what, how many, why).
    followed : the follow-up behind the frame.
    """

    frame: pd.DataFrame
    not_possible: tuple[tuple[Measure, str], ...]
    set_aside: tuple[Note, ...]
    followed: Followed = field(repr=False)


def outcomes(protocol: Protocol, baseline: Baseline) -> Outcomes:
    """Measure every outcome and negative control of the protocol.

    An outcome counts in the overlap of its own window and the follow-up's, up to and including the day on
    which follow-up ends: events and deaths come before censoring on the same day.

    Raises
    ------
    DataError : costs cannot be added, or follow-up never ends.
    """
    entries = baseline.entries
    followed = follow(protocol, entries)
    wanted = (*protocol.outcomes, *protocol.negative_controls)
    lost = [(measure, reason) for measure in wanted if (reason := _impossible(measure, entries.source))]
    possible = [measure for measure in wanted if measure not in dict(lost)]
    windows = {measure.id: overlap(measure.window, followed.window) for measure in possible}
    for measure in [m for m in possible if windows[m.id] is None]:
        lost.append((measure, f"Its window ({measure.window}) lies outside the follow-up ({followed.window})."))
        possible.remove(measure)
    about = _follow_up_columns(followed)
    _refuse_taken(possible, about)
    columns, notes = _columns(entries, followed, possible, {m.id: w for m in possible if (w := windows[m.id])})
    return Outcomes(
        pd.DataFrame(about | columns),
        tuple(lost),
        (*followed.set_aside, *_trimmed(possible, windows), *notes),
        followed,
    )


def overlap(window: Window | None, follow_up: Window) -> Window | None:
    """The days that lie in both windows; None where there are none."""
    if window is None:
        return follow_up
    starts = [w.start for w in (window, follow_up) if w.start is not None]
    ends = [w.end for w in (window, follow_up) if w.end is not None]
    start, end = max(starts, default=None), min(ends, default=None)
    return None if start is not None and end is not None and start > end else Window(start, end)


def _impossible(measure: Measure, source: Any) -> str:
    if measure.measure in (*PERSON_KINDS, *SCORE_KINDS):
        return f"A measure of kind {measure.measure!r} describes the baseline and is no outcome."
    return impossible(measure, source)


def _trimmed(possible: list[Measure], windows: dict[str, Window | None]) -> list[Note]:
    cut = [m for m in possible if m.window is not None and windows[m.id] != m.window]
    return [(f"Outcome {m.name!r} cut to {windows[m.id]}", 1, "Outcomes count within the follow-up only.") for m in cut]


def _refuse_taken(measures: list[Measure], columns: dict[str, Any]) -> None:
    """An outcome may not take the name of a column that says how long the person was followed."""
    for measure in measures:
        if measure.id in columns:
            raise DefinitionError(
                f"An outcome is called {measure.name!r}, as a column of the follow-up is; give it another name=."
            )


def _follow_up_columns(followed: Followed) -> dict[str, Any]:
    return {
        "row": np.arange(len(followed.end_day)),
        "observed_days": followed.days_in(followed.window),
        "end_day": followed.end_day,
        "end_reason": followed.end_reason,
        "death_day": followed.death_day,
        "observed_from_day": followed.observed_from_day,
    }


def _columns(
    entries: Entries, followed: Followed, possible: list[Measure], windows: dict[str, Window]
) -> tuple[dict[str, NDArray[Any]], list[Note]]:
    counts = {m.id: (m.events, windows[m.id]) for m in possible if m.measure in EVENT_KINDS and m.events}
    asked = {m.id: costs.Asked(m.category or "total", m.amount, windows[m.id]) for m in possible if m.measure == "cost"}
    counted = measures.counted(entries, counts, followed.table)
    spent = costs.spent(entries, asked, followed.table)
    columns: dict[str, NDArray[Any]] = {}
    notes: list[Note] = []
    for measure in possible:
        window = windows[measure.id]
        value, days = spent.get(measure.id), followed.days_in(window)
        if measure.measure in EVENT_KINDS:
            value, days = _of_events(measure, counted[measure.id], days, window)
            notes += _beyond(measure, counted[measure.id])
        elif measure.measure == "days at home":
            value = _days_at_home(entries, followed, window)
        elif measure.measure == "value":
            value = measures.last_values(entries, measure, window, followed.table)
        assert value is not None
        columns |= {measure.id: value, f"{measure.id}__days": days.astype(np.int64)}
    return columns, notes


def _of_events(
    measure: Measure, found: measures.Counted, days: NDArray[np.int64], window: Window
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    if measure.measure == "count":
        return found.count, days
    happened = found.count > 0
    if measure.measure == "any":
        return happened.astype(np.float64), days
    to_event = found.first - (window.start or 0) + 1
    return happened.astype(np.float64), np.where(happened, to_event, days)


def _beyond(measure: Measure, found: measures.Counted) -> list[Note]:
    late = int(found.beyond.sum())
    what = f"{measure.name}: events in the window after the end of follow-up"
    return [(what, late, "The person was no longer followed, so they do not count.")] if late else []


def _days_at_home(entries: Entries, followed: Followed, window: Window) -> NDArray[np.float64]:
    """Observed days of the window, less days in hospital."""
    seen = followed.days_in(window)
    last = np.minimum(followed.end_day, window.end) if window.end is not None else followed.end_day
    first = np.full(entries.count, window.start, dtype=np.int64)
    inside = stays.days_in_hospital(entries, first, last, followed.death_day)
    return (seen - inside).astype(np.float64)
