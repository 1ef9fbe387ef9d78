"""Events added up over time by arm: cumulative incidence of each cause, and the mean count of a recurrent event."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError, unknown
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Plot,
    Rows,
    arms_of,
    axis_head,
    beside,
    ceiling,
    cells_of,
    foot,
    has_bands,
    name_ends,
    people,
    share_out,
    ticks_under,
    why,
    x_title,
)  # fmt: skip
from clinops.render.figures.sheet import Sheet
from clinops.render.figures.values import (
    NOT_SHOWN,
    Floats,
    alike,
    finite,
    labels,
    linear_ticks,
    numbers,
    percent_tick,
    plain,
    printed,
    unseen,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KINDS = ("curve", "at risk", "difference")
#: Each of several panels is lower than one alone.
PANEL = 1.75
#: Layers of a stack, from the bottom; told apart by hatches as well.
LAYERS: tuple[dict[str, Any], ...] = (
    {"facecolor": style.OKABE_ITO["blue"]},
    {"facecolor": "#f6c89f", "hatch": "//////"},
    {"facecolor": "#bfe3d8", "hatch": "......"},
    {"facecolor": "#f0d9e6", "hatch": "\\\\\\\\\\\\"},
    {"facecolor": style.RULE},
    {"facecolor": "white", "hatch": "xxxxxx"},
)


@dataclass(frozen=True)
class _Measure:
    """What is added up: its column, what it is called, its ticks, the most it can be, and how a difference prints."""

    column: str
    what: str
    title: str
    tick: Callable[[float], str]
    most: float
    difference: str
    unit: str
    times: float


RISK = _Measure(
    "risk", "risk", "Cumulative incidence", percent_tick, 1.0, "Risk difference", "percentage points", 100.0
)
COUNT = _Measure(
    "mean", "mean count", "Mean cumulative count per person", plain, math.inf, "Difference in mean count",
    "events per person", 1.0,
)  # fmt: skip


@dataclass(frozen=True)
class _Curve:
    """The steps of one arm and cause up to where they are known."""

    arm: Arm
    x: Floats
    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class _Panel:
    """One plot: its head, its curves, and the top of its axis."""

    head: str
    curves: list[_Curve]
    top: float


def cumulative_incidence(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cumulative incidence of each cause, a panel each, or all causes stacked, a panel an arm."""
    _events(sheet, frame, options, RISK)


def mean_count(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the mean number of events a person has had by each time, in each arm."""
    _events(sheet, frame, options, COUNT)


def _events(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any], measure: _Measure) -> None:
    kinds = np.array(words(frame, "kind"))
    for kind in dict.fromkeys(kinds):
        if kind not in KINDS:
            raise DataError(unknown("kind of a row of curves", str(kind), KINDS))
    curve = frame[kinds == "curve"]
    if not np.isfinite(numbers(curve, measure.column)).any():
        sheet.nothing(why(measure.what, unseen(frame, "n_risk", measure.column)))
        return
    table = frame[kinds == "at risk"]
    horizon = float(options.get("horizon") or np.nanmax(numbers(frame[kinds != "difference"], "time"))) or 1.0
    stacked = bool(options.get("stacked"))
    panels = _panels(curve, table, horizon, options, measure)
    rows = [(arm, cells_of(arm, "time", "n_risk")) for arm in arms_of(_once(table), marked=False)]
    _plots(sheet, panels, rows, horizon, options, measure)
    _differences(sheet, frame[kinds == "difference"], options, measure)
    tops = {panel.top for panel in panels}
    also = ["The scales of the panels differ."] if len(tops) > 1 else []
    foot(sheet, options, bands=has_bands(curve) and not stacked, also=also)


def _once(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row an arm and time: the number at risk is the same for every cause."""
    keys = list(zip(words(table, "arm"), numbers(table, "time").tolist(), strict=True))
    return table[[key not in keys[:i] for i, key in enumerate(keys)]]


# -- What is drawn -----------------------------------------------------------------------------------


def _panels(
    curve: pd.DataFrame, table: pd.DataFrame, horizon: float, options: Mapping[str, Any], measure: _Measure
) -> list[_Panel]:
    title = str(options.get("ylabel", measure.title))
    arms, causes = arms_of(curve, marked=False), list(dict.fromkeys(labels(curve, "cause")))
    known = {
        (arm.name, cause): _Curve(arm, *_steps(_of(arm.rows, cause), _of(table, cause, arm.name), horizon, measure))
        for arm in arms
        for cause in causes
    }
    if options.get("stacked"):
        stacks = {arm.name: _stack([known[arm.name, cause] for cause in causes]) for arm in arms}
        top = ceiling([c.value for stack in stacks.values() for c in stack], [], measure.most)
        return [_Panel(f"{title}: {name}", stack, top) for name, stack in stacks.items()]
    panels = []
    for cause in causes:
        curves = [known[arm.name, cause] for arm in arms if len(_of(arm.rows, cause))]
        top = ceiling([c.value for c in curves], [c.high for c in curves], measure.most)
        panels.append(_Panel(f"{title}: {cause}" if cause else title, curves, top))
    return panels


def _of(rows: pd.DataFrame, cause: str, arm: str = "") -> pd.DataFrame:
    """Return the rows of a cause, and of an arm where it is named; a row without a cause is of every cause."""
    named, arms = labels(rows, "cause"), words(rows, "arm")
    return rows[[c in ("", cause) and (not arm or a == arm) for c, a in zip(named, arms, strict=True)]]


def _steps(
    rows: pd.DataFrame, table: pd.DataFrame, horizon: float, measure: _Measure
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return time, value, low, high: up to the first hidden value, else to the last landmark with somebody at risk."""
    x, value, low, high = (numbers(rows, c) for c in ("time", measure.column, "low", "high"))
    keep = np.logical_and.accumulate(np.isfinite(value) & (x <= horizon))
    whole = bool((keep | (x > horizon)).all())
    x, value, low, high = (v[keep] for v in (x, value, low, high))
    shown = np.array([not text for text in printed(table, measure.column)], dtype=bool)
    last = float(numbers(table, "time")[shown & (numbers(table, "n_risk") > 0)].max(initial=0.0))
    if len(x) and whole and last > x[-1]:
        x = np.append(x, min(last, horizon))
        value, low, high = (np.append(v, v[-1]) for v in (value, low, high))
    return x, value, low, high


def _stack(curves: Sequence[_Curve]) -> list[_Curve]:
    """Return each curve on top of those before it (``low`` is the one below), as far as all of them are known."""
    last = min(float(c.x[-1]) if len(c.x) else -1.0 for c in curves)
    x = np.unique(np.concatenate([c.x for c in curves]))
    x = x[x <= last]
    below, stack = np.zeros(len(x)), []
    for c in curves:
        at = np.searchsorted(c.x, x, side="right") - 1
        value = below + np.where(at >= 0, c.value[np.maximum(at, 0)] if len(c.x) else 0.0, 0.0)
        stack.append(replace(c, x=x, value=value, low=below, high=value))
        below = value
    return stack


# -- Drawing it --------------------------------------------------------------------------------------


def _plots(
    sheet: Sheet, panels: list[_Panel], rows: Rows, horizon: float, options: Mapping[str, Any], measure: _Measure
) -> None:
    stacked = bool(options.get("stacked"))
    ticks_y = [linear_ticks(0, panel.top, 6 if len(panels) == 1 else 5) for panel in panels]
    names = [curve.arm.name for panel in panels for curve in panel.curves]
    texts_y = [alike([measure.tick(t) for t in ticks]) for ticks in ticks_y]
    place = share_out(sheet, names, rows, [text for texts in texts_y for text in texts])
    if stacked:
        place = replace(place, width=sheet.right - place.left - 0.12)
        causes = list(dict.fromkeys(name for curve in panels[0].curves for name in labels(curve.arm.rows, "cause")))
        sheet.key([(_layer(i), cause or "Event") for i, cause in enumerate(causes)], sheet.left, sheet.body)
    landmarks = sorted({time for _, cells in rows for time in cells if 0 <= time <= horizon})
    wanted = [landmarks, landmarks[::2], [landmarks[0], landmarks[-1]]] if landmarks else []
    ticks = ticks_under(place, wanted or [linear_ticks(0, horizon, n) for n in (6, 4, 3)], (0.0, horizon), rows)
    height = HEIGHT if len(panels) == 1 else PANEL
    for i, (panel, ys) in enumerate(zip(panels, ticks_y, strict=True)):
        if i:
            sheet.take(0.14)
        axis_head(sheet, panel.head)
        axes = sheet.axes(place.left, sheet.take(height), place.width, height)
        for n, curve in enumerate(panel.curves):
            _draw(axes, curve, _layer(n) if stacked else None)
        axes.set_xlim(0, horizon)
        axes.set_ylim(0, panel.top)
        axes.set_yticks(ys, texts_y[i])
        axes.set_xticks(ticks, [plain(t) if i == len(panels) - 1 else "" for t in ticks])
        if not stacked:
            _names(sheet, panel, place, height)
    x_title(sheet, place, str(options.get("xlabel", "Days from index")))
    people(sheet, axes, place, "Number at risk", rows, ticks)


def _layer(n: int) -> dict[str, Any]:
    return {"edgecolor": style.INK, "linewidth": 0.6, **LAYERS[n % len(LAYERS)]}


def _draw(axes: Axes, curve: _Curve, layer: Mapping[str, Any] | None) -> None:
    if layer is not None:
        axes.fill_between(curve.x, curve.low, curve.high, step="post", **layer)
        return
    axes.fill_between(
        curve.x, curve.low, curve.high, step="post", facecolor=curve.arm.look["color"], alpha=0.16, linewidth=0
    )
    axes.plot(curve.x, curve.value, drawstyle="steps-post", **curve.arm.look)


def _names(sheet: Sheet, panel: _Panel, place: Plot, height: float) -> None:
    arms, lines = [c.arm for c in panel.curves], [c.value for c in panel.curves]
    name_ends(sheet, arms, lines, lambda v: 1 - v / panel.top, place, height=height)


def _differences(sheet: Sheet, rows: pd.DataFrame, options: Mapping[str, Any], measure: _Measure) -> None:
    """Write below the plots what the arms differ by at each landmark: a row a cause and contrast."""
    if not len(rows):
        return
    causes, contrasts, times = labels(rows, "cause"), words(rows, "arm"), numbers(rows, "time").tolist()
    value, low, high = (measure.times * finite(rows, c) for c in (measure.column, "low", "high"))
    hidden = printed(rows, measure.column)
    digits = 1 if measure.times > 1 else 2 if np.nanmax(np.abs(value), initial=0.0) >= 0.1 else 3
    cells: dict[tuple[str, str], dict[float, str]] = {}
    for i, time in enumerate(times):
        text = NOT_SHOWN if hidden[i] else say.interval(*(say.number(v, digits) for v in (value[i], low[i], high[i])))
        cells.setdefault((causes[i], contrasts[i]), {})[time] = text
    marks, many = sorted(set(times)), len(set(contrasts)) > 1
    above = "" if many or not any(causes) else contrasts[0]
    head = [measure.difference, above, f"{measure.unit} ({_level(options)})"]
    named = [
        (", ".join(filter(None, (cause, "" if above else contrast))), [found.get(t, say.DASH) for t in marks])
        for (cause, contrast), found in cells.items()
    ]
    sheet.take(0.04)
    sheet.paragraph(", ".join(filter(None, head)), weight="bold", gap=0.03)
    beside(sheet, "", [f"{_landmark(options)} {plain(t)}" for t in marks], named)


def _level(options: Mapping[str, Any]) -> str:
    """Return the level of the intervals as tables say it: "95% CI"."""
    return str(options.get("interval", "95% CI")).replace("confidence intervals", "CI")


def _landmark(options: Mapping[str, Any]) -> str:
    """Return what a time is called by the title of its axis: "Day" of "Days from index"."""
    first = str(options.get("xlabel", "Days from index")).split(" ", 1)[0].lower()
    return {"days": "Day", "weeks": "Week", "months": "Month", "years": "Year"}.get(first, "At")
