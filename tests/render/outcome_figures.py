"""Small frames of the figures of outcomes and of the care journey."""

from __future__ import annotations

import datetime as dt
import math
from itertools import pairwise
from typing import Any

import numpy as np
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


STRATA = {
    "Calendar year": (("2021", 118, 260), ("2022", 142, 301), ("2023", 95, 240)),
    "Age": (("18 to 44", 60, 150), ("45 to 64", 110, 280), ("65 and over", 185, 371)),
}


def rates(**options: Any) -> Figure:
    cells = []
    for split, strata in STRATA.items():
        for level, one, zero in strata:
            both = [(n, 1.4 * n, 1.4 * n / 1.18, 1.4 * n * 1.18) for n in (one, zero / 2)]
            cells.append((split, level, *both[0][1:], *both[1][1:], one, zero))
    of = "rate_exposed low_exposed high_exposed rate_comparator low_comparator high_comparator"
    frame = frame_of(f"split level {of} events_exposed events_comparator", *cells)
    how = {"ylabel": "Admissions per 1,000 person-years", "exposed": "Offered", "comparator": "Not offered",
           "adjustment": "ATT weighting", **options}  # fmt: skip
    counts = ("events_exposed", "events_comparator")
    return Figure("rates", frame, how, counts, {name: (f"events_{name.split('_')[1]}",) for name in of.split()})


STATES = ("Hospital", "Rehabilitation", "Home with care", "Home")
MOVES = {
    "Offered": ((120, 410, 690, 1_396), (64, 0, 210, 380), (88, 12, 0, 730), (310, 11, 96, 0)),
    "Not offered": ((410, 820, 1_090, 3_010), (180, 0, 400, 720), (260, 25, 0, 1_310), (990, 18, 140, 0)),
}


def transitions(**options: Any) -> Figure:
    cells = [
        (arm, left, into, n, n / sum(row), sum(row))
        for arm, matrix in MOVES.items()
        for left, row in zip(STATES, matrix, strict=True)
        for into, n in zip(STATES, row, strict=True)
    ]
    frame = frame_of("arm from to n share n_from", *cells)
    return Figure("transition_map", frame, {"unit": "transitions", **options}, ("n", "n_from"), {"share": ("n",)})


def by_day(**options: Any) -> Figure:
    days = [dt.date(2022, 1, 1) + dt.timedelta(days=i) for i in range(640)]
    cells = [(day.isoformat(), 20 + 9 * (day.weekday() < 5) + (day.day * day.month) % 17) for day in days]
    return Figure("calendar_heat", frame_of("date n", *cells), {"unit": "emergency visits", **options}, ("n",))


def by_month(**options: Any) -> Figure:
    cells = [
        (arm, f"{year}-{month:02d}", base + 30 * (year - 2021) + 11 * ((month * 7) % 12))
        for arm, base in (("Offered", 140), ("Not offered", 290))
        for year in (2021, 2022, 2023)
        for month in range(1, 13)
    ]
    return Figure("calendar_heat", frame_of("arm date n", *cells), {"unit": "emergency visits", **options}, ("n",))


def chart(**options: Any) -> Figure:
    rng = np.random.default_rng(3)
    cells = []
    for i in range(24):
        n, late = 900 + 13 * ((i * 7) % 11), i >= 12
        centre = 0.176 if not late else 0.141
        events = round(n * (centre + rng.normal(0, 0.009)) + (55 if i == 7 else 0))
        half = 3 * math.sqrt(centre * (1 - centre) / n)
        rule = "beyond the limits" if abs(events / n - centre) > half else "eight on one side" if i == 20 else ""
        period = f"{2022 + i // 12}-{i % 12 + 1:02d}"
        phase = "after the programme" if late else "before"
        cells.append((period, events / n, centre, centre - half, centre + half, events, n, rule, phase))
    frame = frame_of("period value centre low high events n rule phase", *cells)
    how = {"chart": "p", "ylabel": "Readmitted within 30 days", "xlabel": "Month of discharge", **options}
    return Figure("control_chart", frame, how, ("events", "n"), {"value": ("events",)})


def xmr(**options: Any) -> Figure:
    rng = np.random.default_rng(5)
    value = rng.normal(612.0, 22.0, 18)
    value[11] += 95
    ranges = np.abs(np.diff(value, prepend=NAN))
    mean, spread = value.mean(), np.nanmean(ranges)
    cells = [
        (arm, f"Week {i + 1}", v + shift, mean + shift, mean + shift - 2.66 * spread, mean + shift + 2.66 * spread,
         "Beyond the limits" if v > mean + 2.66 * spread else "", r, spread, 3.267 * spread)
        for arm, shift in (("Offered", 0.0), ("Not offered", 35.0))
        for i, (v, r) in enumerate(zip(value, ranges, strict=True))
    ]  # fmt: skip
    columns = "arm period value centre low high rule moving_range range_centre range_high"
    how = {"chart": "XmR", "ylabel": "Cost per member-month", "xlabel": "Week", "currency": "USD", **options}
    return Figure("control_chart", frame_of(columns, *cells), how)


def funnel_of_units(**options: Any) -> Figure:
    rng, target = np.random.default_rng(11), 0.156
    cells: list[tuple[Any, ...]] = []

    def limits(n: float) -> tuple[float, ...]:
        error = math.sqrt(target * (1 - target) / n)
        return tuple(max(target + z * error, 0.0) for z in (-1.96, 1.96, -3.09, 3.09))

    for i in range(40):
        n = int(80 * 1.09**i)
        extra = {0: 0.2, 24: -0.065, 31: 0.052, 30: 0.03}.get(i, 0.0)
        value = target + extra + rng.normal(0, 0.8) * math.sqrt(target * (1 - target) / n)
        cells.append((f"Site {i + 1:02d}", "unit", n, round(value * n), value, *limits(n)))
    cells += [("", "limit", n, NAN, NAN, *limits(n)) for n in range(60, 2_400, 40)]
    frame = frame_of("label kind n events value low_95 high_95 low_998 high_998", *cells)
    how = {"target": target, "target_label": "All sites (15.6%)", "ylabel": "Readmitted within 30 days",
           "xlabel": "Discharges", **options}  # fmt: skip
    return Figure("funnel_plot", frame, how, ("n", "events"), {"value": ("events",)})


PLACES = ("Hospital", "Rehabilitation", "Home with care", "Home", "Hospice", "Other hospital", "Dead")
START = {"Offered": (26_160, 0, 0, 0, 0, 0, 0), "Not offered": (53_300, 0, 0, 0, 0, 0, 0)}
#: Shares of those in each state who are in each state at the next step.
NEXT = (
    (0.05, 0.15, 0.26, 0.49, 0.01, 0.015, 0.025), (0.10, 0.20, 0.30, 0.37, 0.01, 0.0, 0.02),
    (0.11, 0.02, 0.30, 0.54, 0.01, 0.0, 0.02), (0.12, 0.01, 0.03, 0.83, 0.0, 0.0, 0.01),
    (0.0, 0.0, 0.0, 0.0, 0.4, 0.0, 0.6), (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
)  # fmt: skip
STEPS = ("Index stay", "Day 30", "Day 90", "Day 180")


def journeys(steps: int = 4, **options: Any) -> Figure:
    cells: list[tuple[Any, ...]] = []
    for arm, start in START.items():
        here, whole = list(start), sum(start)
        for k, step in enumerate(STEPS[:steps]):
            cells += [(arm, step, state, "", n, whole) for state, n in zip(PLACES, here, strict=True) if n]
            after = [0] * len(PLACES)
            for i, n in enumerate(here):
                flows = [math.floor(n * share) for share in NEXT[i]]
                flows[max(range(len(flows)), key=NEXT[i].__getitem__)] += n - sum(flows)
                after = [a + b for a, b in zip(after, flows, strict=True)]
                if k < steps - 1:
                    cells += [(arm, step, PLACES[i], PLACES[j], m, whole) for j, m in enumerate(flows) if m]
            here = after
    frame = frame_of("arm step state to n n_arm", *cells)
    return Figure("alluvial", frame, {"adjustment": "ATT weighting", "least": 0.02, **options}, ("n", "n_arm"))


def alluvial3() -> Figure:
    return journeys(3)


def lanes(**options: Any) -> Figure:
    rng = np.random.default_rng(2)
    cells: list[tuple[Any, ...]] = []
    for person in range(18):
        arm, stay, gone = "Offered" if person < 9 else "Not offered", 3 + rng.integers(1, 20), rng.integers(150, 366)
        cells += [(arm, f"MRN{person:05d}", "span", 0.0, float(stay), "hospital"),
                  (arm, f"MRN{person:05d}", "span", float(stay), float(stay + 40), "home with care"),
                  (arm, f"MRN{person:05d}", "span", float(stay + 40), float(gone), "home")]  # fmt: skip
        for day in sorted(rng.integers(60, 150, rng.integers(0, 3))):
            cells.append((arm, f"MRN{person:05d}", "event", float(day), NAN, "emergency visit"))
        ends = ("event", "death") if person % 5 == 0 else ("ongoing", "")
        cells.append((arm, f"MRN{person:05d}", ends[0], float(gone), NAN, ends[1]))
    frame = frame_of("arm lane kind start end what", *cells)
    return Figure("swimmer", frame, {"synthetic": True, "xlabel": "Days from index", **options})


OUTCOMES = {
    "cumulative_incidence": incidence, "mean_count": counts_of_events, "rates": rates, "transition_map": transitions,
    "calendar_heat": by_month, "control_chart": chart, "funnel_plot": funnel_of_units,
    "alluvial": journeys, "swimmer": lanes,
}  # fmt: skip
