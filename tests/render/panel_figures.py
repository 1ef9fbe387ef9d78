"""Small frames of the figures of panels and series."""

from __future__ import annotations

import math
from typing import Any

from clinops.results.result import Figure
from tests.render.outcome_figures import frame_of

NAN = math.nan
QUARTERS = tuple(f"{year} Q{quarter}" for year in (2020, 2021, 2022) for quarter in (1, 2, 3, 4))
MONTHS = tuple(f"{year}-{month:02d}" for year in (2020, 2021, 2022) for month in range(1, 13))
START = 20


def starts(**options: Any) -> Figure:
    cells = [(f"Clinic {i}", float(at), f"{QUARTERS[at]}") for i, at in enumerate((4, 4, 6, 9), 1)]
    cells += [("Clinic 5", NAN, ""), ("Clinic 6", NAN, "")]
    return Figure("roll_out", frame_of("site start date", *cells), {"periods": QUARTERS, **options})


def means(**options: Any) -> Figure:
    cells = []
    for arm, at, level in (("2021 Q1", 4, 26.0), ("2021 Q3", 6, 24.0), ("Never", 99, 25.0)):
        for i, period in enumerate(QUARTERS):
            value = level + (i % 4) - (2.0 if i >= at else 0.0)
            cells.append((arm, period, "after" if i >= at else "before", value, 900, 20 + i))
    frame = frame_of("arm period phase value n events", *cells)
    how = {"ylabel": "Emergency visits per 1,000 person-months", **options}
    return Figure("panel_trend", frame, how, ("n", "events"), {"value": ("n", "events")})


def effects(**options: Any) -> Figure:
    cells = []
    for since in range(-5, 7):
        value = 0.3 * (-1) ** since if since < -1 else -0.6 * (since + 1)
        error = NAN if since == -1 else 0.8 + 0.05 * abs(since)
        cells.append((since, value, value - 2 * error, value + 2 * error, value - 3 * error, value + 3 * error, 18))
    frame = frame_of("since estimate low high band_low band_high sites", *cells)
    return Figure("event_study", frame, {"ylabel": "Effect on emergency visits", "xlabel": "Quarters since the start",
                                         **options})  # fmt: skip


def one_series(**options: Any) -> Figure:
    cells: list[tuple[Any, ...]] = []
    for arm, level, fall in (("Clinics of the programme", 30.0, 5.0), ("Other clinics", 25.0, 0.0)):
        for i, month in enumerate(MONTHS):
            phase = "before" if i < START else "after"
            season = 2 * math.sin(i / 12 * 2 * math.pi)
            after = fall * (i >= START)
            cells.append((arm, "observed", month, phase, level + season - after + (-1) ** i, NAN, NAN, 4_000, 120 + i))
            if fall:
                cells.append((arm, "fitted", month, phase, level + season - after, NAN, NAN, NAN, NAN))
                if i >= START:
                    without = level + season
                    row = (arm, "counterfactual", month, phase, without, without - 2, without + 2, NAN, NAN)
                    cells.append(row)
    frame = frame_of("arm kind period phase value low high n events", *cells)
    how = {"ylabel": "Emergency visits per 1,000 person-months", "start": START, "phase_in": 2,
           "start_label": "start of the programme, 2021-09", **options}  # fmt: skip
    of = {"value": ("n", "events"), "low": (), "high": ()}
    return Figure("interrupted", frame, how, ("n", "events"), of)


PANELS = {"roll_out": starts, "panel_trend": means, "event_study": effects, "interrupted": one_series}
