"""One outcome of a study as arrays: who had which event first, on which day, and every time it came back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import Floats
from clinops.define.measures import EVENT_KINDS
from clinops.errors import DataError, DefinitionError, unknown

if TYPE_CHECKING:
    from clinops.define.measures import Measure

EVENT, DEATH = 1, 2
"""Codes of the causes; 0 is neither, at the end of follow-up."""


@dataclass(frozen=True)
class EventRows:
    """Persons of both arms, n rows; days count from the index date.

    Attributes
    ----------
    exposed : (n,). exit : (n,) day of the first event, of death, or of the end of follow-up, whichever came first.
    cause : (n,) `EVENT`, `DEATH` or 0. end : (n,) end of follow-up or of the outcome's own window. died : (n,) whether
        it is a death.
    event_row, event_day : (m,) every event: the row it belongs to, and its day.
    weights, cluster, cluster_name : as in `Adjusted`.
    names : of the arms. event, death : what the causes are called; `death` is "" where the event is death itself.
    since : the day after which the outcome is watched: the day before its window, 0 where that begins on day 1.
    horizon : the day at which it ends by plan. estimand, adjustment : in words.
    index_date, born : (n,) dates; born is NaT where it is unknown. role : of the outcome.
    """

    exposed: NDArray[np.bool_]
    exit: Floats
    cause: NDArray[np.int64]
    end: Floats
    died: NDArray[np.bool_]
    event_row: NDArray[np.int64]
    event_day: Floats
    weights: Floats
    cluster: NDArray[Any]
    cluster_name: str
    names: tuple[str, str]
    event: str
    death: str
    since: float
    horizon: float
    estimand: str
    adjustment: str
    index_date: NDArray[np.datetime64]
    born: NDArray[np.datetime64]
    role: str = "secondary"

    def __len__(self) -> int:
        return len(self.exposed)

    def arm(self, exposed: bool) -> NDArray[np.bool_]:
        """(n,) rows of one arm that carry weight and were followed for a day of the window."""
        return (self.exposed == exposed) & (self.weights > 0) & (self.exit > self.since)

    @property
    def causes(self) -> tuple[int, ...]:
        """The causes that there can be."""
        return (EVENT, DEATH) if self.death else (EVENT,)

    def called(self, cause: int) -> str:
        """The name of a cause."""
        return self.event if cause == EVENT else self.death

    @cached_property
    def plain(self) -> bool:
        """Whether rows count alike and on their own, so that no sandwich is needed."""
        return bool(np.ptp(self.weights[self.weights > 0]) == 0) and len(np.unique(self.cluster)) == len(self)

    @cached_property
    def count(self) -> Floats:
        """(n,) events of each row."""
        return np.bincount(self.event_row, minlength=len(self)).astype(float)


def event_rows(study: Any, outcome: str) -> EventRows:
    """Read one outcome of a study.

    Raises
    ------
    DefinitionError : no outcome of that name that counts events, an adjustment without weights. DataError : the
        records cannot give it, or nobody is followed past the index date.
    """
    from clinops.build.births import births
    from clinops.build.event_days import event_days
    from clinops.build.outcomes import overlap

    study.protocol.adjust.refuse_models("An outcome in depth")
    known = {m.name: m for m in study.protocol.outcomes if m.measure in EVENT_KINDS and study.data.has(m)}
    if lost := {m.name: reason for m, reason in study.outcomes.not_possible if m.measure in EVENT_KINDS}.get(outcome):
        raise DataError(f"The outcome {outcome!r} is not possible in these records. {lost}")
    if outcome not in known:
        raise DefinitionError(unknown("outcome that counts events", outcome, known))
    measure: Measure = known[outcome]
    data, adjusted = study.data, study.adjusted
    found = event_days(study.protocol, study.baseline, measure)
    row, day = found["row"].to_numpy(dtype=np.int64), found["day"].to_numpy(dtype=float)
    window = overlap(measure.window, study.protocol.follow_up.window)
    assert window is not None, "an outcome with a column has days in the follow-up"
    end = np.minimum(data.end_day, np.inf if window.end is None else window.end)
    horizon = float(end.max(initial=0.0)) if window.end is None else float(window.end)
    if horizon <= 0:
        raise DataError(f"Nobody is followed past the index date for {outcome!r}; give its window a later last day.")
    assert data.outcomes is not None
    death_day = data.outcomes["death_day"].to_numpy(dtype=float)
    died = np.isfinite(death_day) & (death_day <= end)
    first = np.full(len(data), np.inf)
    np.minimum.at(first, row, day)
    had = np.isfinite(first)
    itself = measure.events is not None and measure.events.domain == "death"
    cause = np.where(had, EVENT, np.where(died & (not itself), DEATH, 0)).astype(np.int64)
    return EventRows(
        exposed=data.exposed, exit=np.where(had, first, end), cause=cause, end=end, died=died, event_row=row,
        event_day=day, weights=adjusted.weights, cluster=adjusted.cluster, cluster_name=adjusted.cluster_name,
        names=(study.protocol.exposed.name, study.protocol.comparator.name), event=measure.name,
        death="" if itself else "Death before it", since=float((window.start or 0) - 1), horizon=horizon,
        estimand=adjusted.estimand, adjustment=adjusted.label, born=births(study.baseline),
        index_date=data.baseline["index_date"].to_numpy().astype("datetime64[D]"), role=measure.role or "secondary",
    )  # fmt: skip
