"""Small frames of every kind of figure, and a reader of the texts that an SVG holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from clinops.render import figures
from clinops.results.result import Figure
from tests.render import outcome_figures, panel_figures, robustness_figures

BANNER = "Synthetic data: no clinical meaning"
NAN = math.nan
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Said:
    """A line of text in an SVG and where it is anchored, in points."""

    text: str
    x: float
    y: float


def said(figure: Figure, **options: Any) -> list[Said]:
    """Return the lines of text of a figure as its SVG has them, in the order in which they were drawn."""
    root = ElementTree.fromstring(figures.svg(figures.draw(figure, **options), editable=True))
    found = []
    for element in root.iter(f"{SVG}text"):
        text = "".join(element.itertext())
        found.append(Said(text, *_anchor(element)))
    return found


def _anchor(element: ElementTree.Element) -> tuple[float, float]:
    if "x" in element.attrib:
        return float(element.attrib["x"]), float(element.attrib["y"])
    moved = re.search(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", element.attrib["transform"])
    assert moved is not None
    return float(moved.group(1)), float(moved.group(2))


def texts(figure: Figure, **options: Any) -> list[str]:
    """Return the lines of text of a figure."""
    return [line.text for line in said(figure, **options)]


def whole(figure: Figure, **options: Any) -> str:
    """Return all texts of a figure in one line, so that wrapping does not matter."""
    return " ".join(" ".join(texts(figure, **options)).split())


def rows(columns: str, *cells: Sequence[Any]) -> pd.DataFrame:
    """Return a frame from the names of its columns and its rows."""
    return pd.DataFrame(list(cells), columns=columns.split())


def flow() -> Figure:
    frame = rows(
        "arm rule entries persons excluded_entries excluded_persons",
        ("Offered", "Any primary care visit", 214_399, 18_696, 0, 0),
        ("Offered", "age 18 to 85", 104_570, 16_680, 109_829, 2_016),
        ("Offered", "Has type 2 diabetes, days -1095 to -1", 2_616, 2_616, 101_954, 14_064),
        ("Not offered", "Any primary care visit", 214_399, 18_696, 0, 0),
        ("Not offered", "First entry of each person", 18_696, 18_696, 195_703, 0),
    )
    return Figure("flow", frame, counts=("entries", "persons", "excluded_entries", "excluded_persons"))


def design() -> Figure:
    frame = rows(
        "label start end role",
        ("Observed for 365 days before index", -365.0, 0.0, "eligibility"),
        ("No gastrointestinal haemorrhage, any time before index", NAN, -1.0, "eligibility"),
        ("Has programme offer, day 0", 0.0, 0.0, "exposure"),
        ("Covariates (2)", -1095.0, -1.0, "covariates"),
        ("Follow-up", 1.0, 365.0, "follow-up"),
    )
    return Figure("design_diagram", frame, {"index_label": "Day 0: any primary care visit"})


def love() -> Figure:
    frame = rows(
        "covariate smd_before smd_after",
        ("Primary care visits", 0.341, 0.016), ("Charlson index", -0.3, 0.005), ("Sex: female", 0.067, -0.004),
    )  # fmt: skip
    return Figure("love", frame, {"threshold": 0.1})


def overlap() -> Figure:
    frame = pd.DataFrame({
        "low": [0.0, 0.25, 0.5, 0.75], "high": [0.25, 0.5, 0.75, 1.0],
        "share_exposed": [0.1, 0.3, 0.4, 0.2], "share_comparator": [0.4, 0.3, 0.2, 0.1],
        "weighted_exposed": [0.1, 0.3, 0.4, 0.2], "weighted_comparator": [0.12, 0.29, 0.39, 0.2],
        "n_exposed": [100.0, 300, 400, 200], "n_comparator": [800.0, 600, 400, 200],
    })  # fmt: skip
    return Figure(
        "overlap", frame, {"exposed": "Offered", "comparator": "Not offered"}, counts=("n_exposed", "n_comparator")
    )


def forest(**options: Any) -> Figure:
    frame = rows(
        "label estimate low high events_exposed n_exposed events_comparator n_comparator",
        ("Total cost", 0.80, 0.68, 0.94, NAN, 2_616, NAN, 5_330),
        ("death", 1.26, 0.76, 2.09, 37, 2_616, 44, 5_330),
        ("Emergency visits", 0.71, 0.63, 0.79, 607, 2_616, 1_427, 5_330),
        ("Anaphylaxis", NAN, NAN, NAN, 0, 2_616, 0, 5_330),
    )
    how = {"scale": "log", "null": 1.0, "xlabel": "Adjusted ratio (95% CI)", "exposed": "Offered",
           "comparator": "Not offered", **options}  # fmt: skip
    return Figure("forest", frame, how, counts=("events_exposed", "events_comparator"))


def ladder() -> Figure:
    frame = rows(
        "label estimate low high n_exposed n_comparator group",
        ("crude", 57.0, -393.0, 508.0, 2_616, 5_330, "Naive"),
        ("overlap weighting", -859.0, -1_380.0, -337.0, 2_616, 5_330, "Adjusted"),
        ("ATT weighting", -1_166.0, -2_085.0, -248.0, 2_616, 5_330, "Adjusted"),
    )
    return Figure("forest", frame, {"scale": "linear", "null": 0.0, "xlabel": "Difference, USD per person (95% CI)"})


def strip() -> Figure:
    frame = rows(
        "label estimate low high",
        ("Crude", 57.0, -393.0, 508.0),
        ("Adjusted: ATT weighting", -1_166.0, -2_085.0, -248.0),
        ("Truth (simulated)", -786.0, NAN, NAN),
    )
    return Figure("strip", frame, {"unit": "USD per person", "null": 0.0, "worthwhile": -300.0, "better": "lower"})


TIMES = (0.0, 90.0, 180.0, 270.0, 365.0)
AT_RISK = {"Celecoxib": (1_800, 1_438, 1_431, 1_422, 1_412), "Diclofenac": (830, 703, 700, 692, 687)}


def survival() -> Figure:
    cells: list[tuple[Any, ...]] = []
    for (arm, n), steps in zip(AT_RISK.items(), ((0.0, 0.11, 0.18, 0.199), (0.0, 0.08, 0.13, 0.149)), strict=True):
        for day, risk in zip((0.0, 31.0, 62.0, 88.0), steps, strict=True):
            cells.append((arm, "curve", day, risk, max(risk - 0.02, 0.0), risk + 0.02, n[0]))
        risk = steps[-1]
        cells += [(arm, "at risk", t, risk if t else 0.0, NAN, NAN, at) for t, at in zip(TIMES, n, strict=True)]
    frame = rows("arm kind time risk low high n_risk", *cells)
    options = {"xlabel": "Days from index", "ylabel": "Cumulative risk: gastrointestinal haemorrhage",
               "horizon": 365, "adjustment": "ATT weighting"}  # fmt: skip
    return Figure(
        "survival", frame, options, counts=("n_risk",), of=dict.fromkeys(("risk", "low", "high"), ("n_risk",))
    )


MONTHS = (-3.0, -2.0, -1.0, 1.0, 2.0, 3.0)
MEMBERS = {
    "Offered": (2_616, 2_615, 2_614, 2_607, 2_590, 2_567),
    "Not offered": (5_330, 5_329, 5_328, 5_292, 5_260, 5_223),
}


def cost_trend() -> Figure:
    cells = []
    for (arm, n), fall in zip(MEMBERS.items(), (200.0, 0.0), strict=True):
        for i, (month, persons) in enumerate(zip(MONTHS, n, strict=True)):
            cost = 600.0 + 10 * i - (fall if month > 0 else 0.0)
            cells.append((arm, month, cost, cost - 80, cost + 80, persons, persons - 1.5))
    frame = rows("arm month pmpm low high persons member_months", *cells)
    return Figure(
        "cost_trend", frame, {"currency": "USD", "adjustment": "ATT weighting"}, counts=("persons",),
        of=dict.fromkeys(("pmpm", "low", "high", "member_months"), ("persons",)),
    )  # fmt: skip


def funnel() -> Figure:
    frame = rows("step persons", ("eligible", 20_000), ("Offered", 8_100), ("Activated the app", 3_920), ("Done", 64))
    return Figure("funnel_steps", frame, counts=("persons",))


def cumulative() -> Figure:
    cells: list[tuple[Any, ...]] = []
    for (arm, n), slope in zip((("Offered", 2_616), ("Not offered", 5_330)), (580.0, 640.0), strict=True):
        for month in range(13):
            cost = slope * month
            cells.append((arm, float(month), cost, cost - 40 * month, cost + 40 * month, n - 9 * month, 12 * month))
    frame = rows("arm month cost low high n_observed deaths", *cells)
    options = {"currency": "USD", "horizon": 12, "adjustment": "ATT weighting", "basis": "Payer; 2024 USD"}
    return Figure(
        "cumulative_cost", frame, options, counts=("n_observed", "deaths"),
        of=dict.fromkeys(("cost", "low", "high"), ("n_observed",)),
    )  # fmt: skip


def waterfall() -> Figure:
    frame = rows(
        "label value low high kind",
        ("Inpatient", -412.0, -720.0, -104.0, "part"),
        ("Pharmacy", 126.0, 71.0, 181.0, "part"),
        ("Emergency", -60.0, -131.0, 21.0, "part"),
        ("Before the fee", -346.0, -690.0, -2.0, "subtotal"),
        ("Programme fee", 180.0, NAN, NAN, "fee"),
        ("Net", -166.0, -510.0, 178.0, "total"),
    )
    options = {"currency": "USD per person", "xlabel": "Difference in cost", "basis": "Payer; 2024 USD"}
    return Figure("waterfall", frame, options)


def plane() -> Figure:
    made = np.random.default_rng(7).normal([0.012, -340.0], [0.01, 420.0], (1_500, 2))
    draws = pd.DataFrame(made, columns=["effect", "cost"]).assign(kind="draw")
    point = rows("effect cost kind", (0.012, -340.0, "estimate"))
    options = {"currency": "USD per person", "effect_unit": "QALY", "thresholds": (50_000, 100_000)}
    return Figure("ce_plane", pd.concat([point, draws], ignore_index=True), options)


def calendar() -> Figure:
    cells: list[tuple[Any, ...]] = []
    for (arm, n), base in zip((("Offered", 2_616), ("Not offered", 5_330)), (600.0, 640.0), strict=True):
        for i in range(14):
            cost, whole = base + 10 * (i % 4), i < 11
            cost = cost if whole else cost * (1 - 0.2 * (i - 10))
            month = f"{2022 + i // 12}-{i % 12 + 1:02d}"
            cells.append((arm, month, cost, cost - 60, cost + 60, n - 8 * i, float(n - 8 * i), whole))
    frame = rows("arm month pmpm low high persons member_months complete", *cells)
    options = {"currency": "USD", "run_out": "paid up to 2023-03-31", "basis": "Payer; 2024 USD"}
    return Figure(
        "cost_calendar", frame, options, counts=("persons",),
        of=dict.fromkeys(("pmpm", "low", "high", "member_months"), ("persons",)),
    )  # fmt: skip


def concentration() -> Figure:
    shares = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
    costs = {"Offered": (0.2, 0.45, 0.6, 0.8, 0.95, 1.0, 1.0), "Not offered": (0.3, 0.56, 0.7, 0.88, 0.97, 1.0, 1.0)}
    cells = [(arm, x, y) for arm, ys in costs.items() for x, y in zip(shares, ys, strict=True)]
    return Figure("concentration", rows("arm share_persons share_cost", *cells), {"top": (0.01, 0.05, 0.1)})


def acceptability() -> Figure:
    cells = [
        (arm, 10_000.0 * k, share + (0.9 - share) * k / 15)
        for arm, share in (("Offered", 0.6), ("Offered with telephone support", 0.3))
        for k in range(16)
    ]
    options = {"currency": "USD", "effect_unit": "QALY", "thresholds": (50_000, 100_000)}
    return Figure("acceptability", rows("arm threshold probability", *cells), options)


def budget() -> Figure:
    frame = rows(
        "year gross fee net net_low net_high",
        (1, 1.2e6, 2.0e6, -0.8e6, -1.5e6, 0.1e6), (2, 3.1e6, 2.4e6, 0.7e6, -0.4e6, 1.6e6),
        (3, 4.4e6, 2.5e6, 1.9e6, 0.6e6, 3.1e6),
    )  # fmt: skip
    return Figure("budget", frame, {"currency": "USD", "basis": "Payer; undiscounted"})


EVERY = {
    "flow": flow, "design_diagram": design, "love": love, "overlap": overlap, "forest": forest, "survival": survival,
    "cost_trend": cost_trend, "strip": strip, "funnel_steps": funnel, "cumulative_cost": cumulative,
    "waterfall": waterfall, "ce_plane": plane, "budget": budget, "cost_calendar": calendar,
    "concentration": concentration, "acceptability": acceptability, **outcome_figures.OUTCOMES,
    **panel_figures.PANELS,
    **robustness_figures.ROBUSTNESS,
}  # fmt: skip


def changed(figure: Figure, cells: Mapping[tuple[int, str], Any], **options: Any) -> Figure:
    """Return a figure with some cells of its frame and some of its options changed."""
    data = figure.data.copy()
    for (row, column), value in cells.items():
        if isinstance(value, float) and data[column].dtype != object:
            data[column] = data[column].astype(float)
        elif isinstance(value, str):
            data[column] = data[column].astype(object)
        data.loc[row, column] = value
    return Figure(figure.kind, data, {**figure.options, **options}, figure.counts, figure.of, figure.hidden)


INTERVALS = (
    "forest", "strip", "survival", "cost_trend", "cumulative_cost", "waterfall", "cost_calendar",
    "cumulative_incidence", "mean_count", "specification_curve",
)  # fmt: skip
PLACES = ("time", "month", "year", "threshold", "share_persons", "low", "high", "gap")


def emptied(figure: Figure) -> Figure:
    """Return a figure whose numbers are all missing; what places a mark on an axis of time or score stays."""
    data = figure.data.copy()
    for column in data.columns:
        if data[column].dtype.kind in "fi" and column not in PLACES:
            data[column] = np.nan
        if figure.kind in INTERVALS and column in ("low", "high"):
            data[column] = np.nan
    return Figure(figure.kind, data, figure.options, figure.counts, figure.of)
