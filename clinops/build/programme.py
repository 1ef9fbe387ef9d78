"""The programme's own dates: offer, activation and engagement, kept apart, and the funnel that they make."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clinops.build import events, measures
from clinops.build.baseline import Baseline
from clinops.build.follow_up import follow
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DataError

STAGES = ("offer", "activation", "engagement")


def programme_dates(protocol: Protocol, baseline: Baseline) -> pd.DataFrame:
    """Find the day of each entry's offer, activation and engagement, from day 0 to the end of follow-up.

    Returns
    -------
    frame with row, offer_day, activation_day and engagement_day; NaN where there is none, or where the
    programme names no such events or the records hold none.

    Raises
    ------
    DataError : the protocol describes no programme.
    """
    if protocol.programme is None:
        raise DataError("The protocol describes no programme; give programme=co.programme(offer=...).")
    entries = baseline.entries
    named = {stage: getattr(protocol.programme, stage) for stage in STAGES}
    found = {stage: event for stage, event in named.items() if event is not None}
    found = {stage: event for stage, event in found.items() if not events.impossible(event, entries.source)}
    wanted = {stage: (event, Window(0, None)) for stage, event in found.items()}
    counted = measures.counted(entries, wanted, follow(protocol, entries).table)
    nobody = np.full(entries.count, np.nan)
    days = {f"{stage}_day": counted[stage].first if stage in counted else nobody for stage in STAGES}
    return pd.DataFrame({"row": np.arange(entries.count)} | days)


def funnel(protocol: Protocol, baseline: Baseline) -> pd.DataFrame:
    """Count how far each arm's entries went: eligible, offered, activated, engaged.

    A stage counts entries that also passed the stages before it; `any` counts those with the stage's date,
    whether or not the dates before it are there.

    Returns
    -------
    frame with arm (1 exposed), stage, n (passed this and every earlier stage) and any.
    """
    dates = programme_dates(protocol, baseline)
    arm = baseline.frame["arm"].to_numpy()
    rows = []
    for each in (1, 0):
        passed = arm == each
        rows.append((each, "eligible", int(passed.sum()), int(passed.sum())))
        for stage, name in zip(STAGES, ("offered", "activated", "engaged"), strict=True):
            if protocol.programme is None or getattr(protocol.programme, stage) is None:
                continue
            dated = dates[f"{stage}_day"].notna().to_numpy()
            passed = passed & dated
            rows.append((each, name, int(passed.sum()), int((dated & (arm == each)).sum())))
    return pd.DataFrame(rows, columns=["arm", "stage", "n", "any"])
