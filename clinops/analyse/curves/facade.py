"""`co.survival`: time to an event by group, on a frame of one's own or from fitted lifelines models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.analysis import Readable
from clinops.analyse.curves import exhibits
from clinops.analyse.curves.estimates import Estimates
from clinops.analyse.curves.groups import Groups, of_fitted, of_frame
from clinops.analyse.exhibits.curves import landmarks as round_days
from clinops.analyse.exhibits.gallery import RUN_FOLDER, Gallery
from clinops.errors import DefinitionError
from clinops.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {"times": "Table 1", "risk": "Figure 1", "effects": "Table 2"}


class Survival(Readable):
    """Curves of groups, with what they differ by.

    Exhibits leave with small counts hidden; `estimates` holds the numbers as they are.

    Parameters
    ----------
    groups : the rows. event, unit : what happens, and in what time is counted. horizon : end of the picture and of
        means. landmarks : times at which risks are compared. min_cell : smallest count that exhibits show.
    """

    def __init__(
        self, groups: Groups, event: str, unit: str, horizon: float | None, landmarks: Sequence[float], min_cell: int
    ) -> None:
        self.groups, self.event, self.unit = groups, event, unit
        self.estimates = Estimates(groups, _horizon(groups, horizon))
        self.landmarks = _landmarks(landmarks, self.estimates.horizon)
        self._gallery = Gallery(NUMBERS, synthetic=False, min_cell=min_cell, everything=lambda: self.exhibits)

    @property
    def times(self) -> Result:
        """Persons, events, follow-up, median and restricted mean by group."""
        return self._show("times", lambda: exhibits.times(self.estimates, self.event, self.unit))

    @property
    def risk(self) -> Result:
        """Cumulative risk with numbers at risk, and differences at the landmarks."""
        return self._show("risk", lambda: exhibits.risk(self.estimates, self.landmarks, self.event, self.unit))

    @property
    def effects(self) -> Result:
        """Restricted means and hazards compared, and tests; one group has none.

        Raises
        ------
        DefinitionError : there is one group only.
        """
        if len(self.groups.names) < 2:
            raise DefinitionError("There is one group, so nothing to compare; name the column of groups with by=.")
        return self._show("effects", lambda: exhibits.effects(self.estimates, self.event, self.unit))

    def write(self, folder: str | Path | None = None) -> Path | None:
        """Write tables and figures into a folder, or where the runner says; see `Study.write`."""
        from clinops.analyse.bundle import documents_asked
        from clinops.results import bundle

        target = folder or os.environ.get(RUN_FOLDER)
        if not target:
            return None
        title = f"{self.event}: time to the event by group"
        summary = {
            "title": title, "data": "rows given", "date_range": "not stated", "synthetic": False, "cleared": False,
            "verdicts": [], "failed_checks": [],
        }  # fmt: skip
        return bundle.write(
            target, results=self.exhibits, estimates=None, protocol=None,
            source_identity={"name": "rows given", "model": "one row a spell"}, summary=summary,
            min_cell=self._gallery.min_cell, documents=documents_asked(),
        )  # fmt: skip

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of reading."""
        return (self.times, self.risk, *((self.effects,) if len(self.groups.names) > 1 else ()))


def survival(
    data: pd.DataFrame | Any, *, time: str | None = None, event: str | None = None, by: str | None = None,
    entry: str | None = None, weights: str | None = None, cluster: str | None = None, strata: str | None = None,
    reference: str | None = None, horizon: float | None = None, landmarks: Sequence[float] = (),
    called: str | None = None, unit: str = "days", min_cell: int = 11,
) -> Survival:  # fmt: skip
    """How soon, and in how many, does an event happen, and what do groups differ by?

    Parameters
    ----------
    data : a frame with a row a spell of follow-up; or fitted lifelines curves (one, several, or group -> model), whose
        rows are taken and whose numbers are worked out here, as R does.
    time, event : columns of a frame: when a row ends, and whether in the event (1) or not (0).
    by : column of groups; none: everybody together. reference : the group that others are held against; the first.
    entry : column of when a row begins to be at risk, on the same clock.
    weights : column of frequency or inverse-probability weights, taken as known. cluster : column of persons or matched
        sets with several rows. strata : column within which hazards are compared.
    horizon : to which means run; where none is given, the last time to which every group is followed.
    landmarks : times at which risks are compared; round ones where none are given.
    called : what the event is called; the column's name where not given. unit : of time, in words.
    min_cell : smallest count that exhibits show.

    Raises
    ------
    DefinitionError : an unknown column or group, landmarks or a horizon outside the follow-up, or models that hold no
        curve. DataError : missing values, or rows that no curve can be made of.
    """
    columns = {"time": time, "event": event, "by": by, "entry": entry, "weights": weights, "cluster": cluster,
               "strata": strata}  # fmt: skip
    if hasattr(data, "columns"):
        if time is None or event is None:
            raise DefinitionError(
                'Name the columns of the frame: co.survival(frame, time="days", event="died", by="arm").'
            )
        groups = of_frame(data, columns, reference)
        called = called or str(event).replace("_", " ").capitalize()
    else:
        given = [role for role, name in columns.items() if name is not None]
        if given:
            raise DefinitionError(
                f"{', '.join(given)} name columns of a frame, and data is {type(data).__name__}; fitted models bring "
                "their rows along. Give a frame, or leave them out."
            )
        groups = of_fitted(data, reference)
        called = called or "Event"
    return Survival(groups, called, unit, horizon, landmarks, min_cell)


def _horizon(groups: Groups, given: float | None) -> float:
    """Return the last time to which every group is followed, or the one given."""
    ends = [float(groups.exit[groups.code == at].max()) for at in range(len(groups.names))]
    last = min(ends)
    if not last > 0:
        raise DefinitionError(
            f"Follow-up of {groups.names[ends.index(last)]!r} ends at {last:g}; times are counted from 0, so shift the "
            "clock until every group is followed beyond it."
        )
    if given is None:
        return last
    if not 0 < given <= max(ends):
        raise DefinitionError(
            f"horizon is {given:g}; follow-up ends at {max(ends):g}. Give a time after 0, up to {last:g} for means in "
            "every group."
        )
    return float(given)


def _landmarks(given: Sequence[float], horizon: float) -> tuple[float, ...]:
    if not len(given):
        return tuple(float(day) for day in round_days(horizon) if day > 0)
    days = tuple(float(day) for day in given)
    if list(days) != sorted(set(days)) or not days[0] > 0 or days[-1] > horizon or not np.isfinite(days).all():
        listed = ", ".join(f"{day:g}" for day in days)
        raise DefinitionError(f"The landmarks are {listed}; give rising times after 0, up to {horizon:g}.")
    return days
