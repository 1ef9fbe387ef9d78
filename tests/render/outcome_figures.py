"""Small frames of the figures of outcomes and of the care journey."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pandas as pd

from clinops.results.result import Figure

NAN = math.nan
LANDMARKS = (0.0, 90.0, 180.0, 270.0, 365.0)
AT_RISK = {"Offered": (2_616, 2_410, 2_204, 1_987, 1_702), "Not offered": (5_330, 4_870, 4_412, 3_955, 3_318)}
RISKS = {
    ("Offered", "readmission"): (0.05, 0.09, 0.12, 0.143), ("Offered", "death"): (0.01, 0.021, 0.03, 0.037),
    ("Not offered", "readmission"): (0.07, 0.12, 0.156, 0.188), ("Not offered", "death"): (0.012, 0.023, 0.033, 0.042),
}  # fmt: skip
CONTRAST = "Offered v Not offered"
DRAWN = dict.fromkeys(("risk", "mean", "low", "high"), ("n_risk",))


def frame_of(columns: str, *cells: tuple[Any, ...]) -> pd.DataFrame:
    """Return a frame from the names of its columns and its rows."""
    return pd.DataFrame(list(cells), columns=columns.split())


def incidence(**options: Any) -> Figure:
    cells: list[tuple[Any, ...]] = []
    for (arm, cause), ends in RISKS.items():
        days = [0.0, *(t - 25 * k for t in LANDMARKS[1:] for k in (2, 1, 0))]
        thirds = [before + (after - before) * k / 3 for before, after in pairwise((0.0, *ends)) for k in (1, 2, 3)]
        known = [0.0, *thirds]
        for day, risk in zip(days, known, strict=True):
            at = AT_RISK[arm][0] - 2 * day
            cells.append((arm, cause, "curve", day, risk, 0.85 * risk, 1.15 * risk, at))
    for arm, n in AT_RISK.items():
        cells += [(arm, "", "at risk", t, NAN, NAN, NAN, at) for t, at in zip(LANDMARKS, n, strict=True)]
    for cause in ("readmission", "death"):
        for i, day in ((1, 180.0), (3, 365.0)):
            gap = RISKS["Offered", cause][i] - RISKS["Not offered", cause][i]
            at = min(n[LANDMARKS.index(day)] for n in AT_RISK.values())
            cells.append((CONTRAST, cause, "difference", day, gap, gap - 0.012, gap + 0.012, at))
    frame = frame_of("arm cause kind time risk low high n_risk", *cells)
    how = {"xlabel": "Days from index", "horizon": 365, "adjustment": "ATT weighting", **options}
    return Figure("cumulative_incidence", frame, how, ("n_risk",), {c: DRAWN[c] for c in ("risk", "low", "high")})


def counts_of_events(**options: Any) -> Figure:
    cells: list[tuple[Any, ...]] = []
    for arm, yearly in (("Offered", 0.61), ("Not offered", 0.83)):
        for day in range(0, 366, 5):
            mean = yearly * (day / 365) ** 0.9
            cells.append((arm, "curve", float(day), mean, 0.93 * mean, 1.07 * mean, AT_RISK[arm][0] - 2 * day))
        cells += [(arm, "at risk", t, NAN, NAN, NAN, n) for t, n in zip(LANDMARKS, AT_RISK[arm], strict=True)]
    cells.append((CONTRAST, "difference", 365.0, -0.22, -0.29, -0.15, 1_702))
    frame = frame_of("arm kind time mean low high n_risk", *cells)
    how = {"ylabel": "Emergency visits per person", "xlabel": "Days from index", "horizon": 365, **options}
    return Figure("mean_count", frame, how, ("n_risk",), {c: DRAWN[c] for c in ("mean", "low", "high")})


OUTCOMES = {"cumulative_incidence": incidence, "mean_count": counts_of_events}
