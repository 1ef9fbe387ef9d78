"""Dates of birth of the entries, as far as the records know them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clinops.build import people
from clinops.build.baseline import Baseline
from clinops.stats.lexis import birth_dates


def births(baseline: Baseline) -> NDArray[np.datetime64]:
    """Return (n,) dates of birth in the order of the entries, by the rule of the age at the index date.

    1 January where only the year is on record, NaT where not even that.
    """
    entries = baseline.entries
    found = entries.collect(entries.table.select("row", *people.BIRTH).order_by("row"))
    year, month, day = (found[name].astype(np.float64) for name in people.BIRTH)
    return birth_dates(year, month, day)
