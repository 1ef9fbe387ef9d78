"""Small frames of the figures of robustness."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd

from clinops.results.result import Figure

GROUPS = ("Adjustment", "Window")
ADJUSTMENTS, WINDOWS = (
    ("ATT weighting", "Overlap weighting", "1:1 nearest matching"),
    ("days 1 to 183", "days 1 to 365"),
)


def curve(**options: Any) -> Figure:
    """Six specifications, out of order; the second is the main one."""
    estimates = (-66.7, -792.0, -310.5, -55.0, 12.0, -120.0)
    cells = [
        (estimate, estimate - 150, estimate + 150, i == 1, 2_600, 5_204, *choice)
        for i, (estimate, choice) in enumerate(zip(estimates, itertools.product(ADJUSTMENTS, WINDOWS), strict=True))
    ]
    frame = pd.DataFrame(cells, columns=["estimate", "low", "high", "main", "n_exposed", "n_comparator", *GROUPS])
    how = {"ylabel": "Difference, USD per member-month", "groups": list(GROUPS), "null": 0.0, "exposed": "Offered"}
    counts = ("n_exposed", "n_comparator")
    return Figure("specification_curve", frame, how | options, counts,
                  dict.fromkeys(("estimate", "low", "high"), counts))  # fmt: skip


def tipping(**options: Any) -> Figure:
    """A difference of 792 dollars, its limit at 192."""
    gap = np.linspace(0.01, 0.8, 80)
    frame = pd.DataFrame({"gap": gap, "estimate": -792 / gap, "limit": -192 / gap})
    how = {"xlabel": "Difference in prevalence (Offered minus Not offered)", "unit": "USD per person", "null": 0.0,
           "exposed": "Offered"}  # fmt: skip
    return Figure("tipping", frame, how | options)


ROBUSTNESS = {"specification_curve": curve, "tipping": tipping}
