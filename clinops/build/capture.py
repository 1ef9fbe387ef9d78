"""How often a source sees each entry: days with a contact, before the index date and in follow-up."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.define.protocol import Protocol
from clinops.errors import DataError
from clinops.sources import omop


def contacts(protocol: Protocol, baseline: Baseline, before: int = 365) -> pd.DataFrame:
    """Count the days on which each entry has a visit of any kind, and the days on which it could have had one.

    Parameters
    ----------
    before : so many days up to day -1 are looked at, inside the observation episode of the index date.

    Returns
    -------
    frame with row, before and after (days with a visit that starts then), days_before and days_after (days observed:
    after, day 1 to the end of follow-up). The index date is in neither: an entry event makes it a contact.

    Raises
    ------
    DataError : the records hold no visits.
    """
    entries = baseline.entries
    if not entries.source.has("visit_occurrence"):
        raise DataError("The records hold no visits (table visit_occurrence), so contacts cannot be counted.")
    followed = follow(protocol, entries)
    visits = omop.events(entries.source, "visit")
    held = visits.filter(visits.start_date.notnull()).select("person_id", date="start_date")
    keys = followed.table.select("row", "person_id", "index_date", "observed_from_day", "end_day")
    joined = keys.inner_join(held, "person_id")
    dated = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    past = (dated.day >= -before) & (dated.day <= -1) & (dated.day >= dated.observed_from_day)
    later = (dated.day >= 1) & (dated.day <= dated.end_day)
    days = dated.filter(past | later).select("row", "day").distinct()
    counted = days.group_by("row").agg(before=days.count(where=days.day < 0), after=days.count(where=days.day > 0))
    found = entries.collect(counted)
    return pd.DataFrame({
        "row": np.arange(entries.count),
        "before": entries.spread(found, "before", 0.0), "after": entries.spread(found, "after", 0.0),
        "days_before": np.minimum(-followed.observed_from_day, before).astype(float),
        "days_after": np.maximum(followed.end_day, 0).astype(float),
    })  # fmt: skip
