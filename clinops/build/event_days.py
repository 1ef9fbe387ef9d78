"""On which days an outcome's events fell, where a count is not enough: events that come back, and which came first."""

from __future__ import annotations

import pandas as pd

from clinops.build import events
from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.build.outcomes import overlap
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.errors import DataError


def event_days(protocol: Protocol, baseline: Baseline, measure: Measure) -> pd.DataFrame:
    """Find every occasion of an outcome's events within its window and follow-up.

    Occasions count as in the outcome itself: a visit once by its id, on its first day; of anything else one a day.

    Returns
    -------
    frame with row and day (from the index date), sorted; entries without an occasion have no row.

    Raises
    ------
    DataError : the outcome is not about events, the source cannot show them, or its window lies outside follow-up.
    """
    entries = baseline.entries
    if measure.events is None:
        raise DataError(f"{measure.name!r} counts no events; name an outcome that does.")
    events.require(measure.events, entries.source)
    followed = follow(protocol, entries)
    window = overlap(measure.window, followed.window)
    if window is None:
        raise DataError(f"The window of {measure.name!r} ({measure.window}) lies outside the follow-up.")
    keys = followed.table.select("row", "person_id", "index_date", "end_day")
    found = events.occasions(keys, measure.events, entries.source, window, by=("row", "end_day"))
    seen = found.filter(found.day <= found.end_day).select("row", "day").order_by(["row", "day"])
    return pd.DataFrame(entries.collect(seen)).astype({"row": "int64", "day": "int64"})
