"""Watching a process: the control chart over time with its limits, and the funnel plot of units by volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError, ParameterError, unknown
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Plot,
    Rows,
    arms_of,
    axis_head,
    cells_of,
    foot,
    people,
    spread,
    ticks_under,
    x_title,
)  # fmt: skip
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, clip, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    alike,
    currency_of,
    digits_for,
    finite,
    fit,
    inside,
    labels,
    linear_ticks,
    percent_tick,
    plain,
    printed,
    unseen,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Charts and how far their limits lie from the centre, where nothing else is said.
CHARTS = {
    "p": "limits at three standard errors", "u": "limits at three standard errors",
    "c": "limits at three standard errors", "XmR": "limits at 2.66 mean moving ranges",
}  # fmt: skip
POINT: dict[str, Any] = {"color": style.EXPOSED, "marker": "o", "markersize": 3.2, "linewidth": 0.9}
BROKEN: dict[str, Any] = {"color": style.OKABE_ITO["vermillion"], "linestyle": "none", "markersize": 5.5}
CENTRE: dict[str, Any] = {"color": style.INK, "linewidth": 0.9}
LIMIT: dict[str, Any] = {"color": style.MUTED, "linewidth": 0.9, "linestyle": (0, (4, 2))}
SHAPES = ("D", "s", "^", "v", "P", "X")
LOWER, RANGE_HEIGHT = 1.7, 1.05
OVER = "Moving range above its limit"


@dataclass(frozen=True)
class _Series:
    """One plot of a control chart: its head, points, lines and marks, and how its values are written."""

    head: str
    x: Floats
    value: Floats
    centre: Floats
    low: Floats
    high: Floats
    rules: list[str]
    names: tuple[str, str, str]
    height: float


def control_chart(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw each period's value with its centre line and limits; points that break a rule are marked with which."""
    chart = str(options.get("chart", "u"))
    if chart not in CHARTS:
        raise ParameterError(unknown("control chart", chart, CHARTS))
    hidden = unseen(frame, "value", "events", "n")
    if not np.isfinite(finite(frame, "value")).any():
        sheet.nothing(f"every value rests on too few persons to show ({hidden})." if hidden else "no value is known.")
        return
    periods = list(dict.fromkeys(words(frame, "period")))
    frame = frame.assign(_x=[float(periods.index(p)) for p in words(frame, "period")])
    arms = arms_of(frame, marked=False)
    arms = arms if "arm" in frame.columns else [replace(arm, name="") for arm in arms]
    height = HEIGHT if len(arms) == 1 else LOWER
    plots = [(arm, series) for arm in arms for series in _series(arm, options, height)]
    rules = [rule for rule in dict.fromkeys(rule for _, series in plots for rule in series.rules) if rule]
    shape = {rule: SHAPES[i % len(SHAPES)] for i, rule in enumerate(rules)}
    if rules:
        sheet.key([({**BROKEN, "marker": shape[rule]}, rule) for rule in rules], sheet.left, sheet.body)
    write = [_writer(series, options) for _, series in plots]
    blocks = _blocks(frame, arms, options)
    rows = [row for _, block in blocks for row in block]
    place = _place(sheet, [s for _, s in plots], write, rows)
    low, high = -0.5, len(periods) - 0.5
    steps = [k for k in (1, 2, 3, 4, 6, 8, 12, 24, 48) if k < max(len(periods), 2)]
    wanted = [[float(i) for i in range(0, len(periods), k)] for k in steps]
    ticks = ticks_under(place, wanted, (low, high), rows, lambda t: periods[int(t)])
    for i, ((arm, series), how) in enumerate(zip(plots, write, strict=True)):
        sheet.take(0.14 if i else 0.0)
        axis_head(sheet, series.head)
        if series.height == height:
            _phases(sheet, arm, place, (low, high))
        axes = sheet.axes(place.left, sheet.take(series.height), place.width, series.height)
        _plot(sheet, axes, series, place, how, shape, [int(np.argmax(series.x == s)) for s in _starts(arm)[1:]])
        for start in _starts(arm)[1:]:
            axes.axvline(start - 0.5, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.set_xlim(low, high)
        axes.set_xticks(ticks, [periods[int(t)] if i == len(plots) - 1 else "" for t in ticks])
    x_title(sheet, place, str(options.get("xlabel", "Period")))
    for head, block in blocks:
        people(sheet, axes, place, head, block, ticks)
    foot(sheet, options, bands=False, also=_said(frame, chart, hidden, options))


def _series(arm: Arm, options: Mapping[str, Any], height: float) -> list[_Series]:
    """Return the plots of an arm: its values, and the moving ranges below them where there are any."""
    rows, head = arm.rows, str(options.get("ylabel", "Value"))
    x, value, centre, low, high = (finite(rows, c) for c in ("_x", "value", "centre", "low", "high"))
    named = f"{head}: {arm.name}" if arm.name else head
    mean = str(options.get("centre", "Mean"))
    names = (mean, "Lower limit", "Upper limit")
    found = [_Series(named, x, value, centre, low, high, labels(rows, "rule"), names, height)]
    if "moving_range" in rows.columns:
        ranges, middle, top = (finite(rows, c) for c in ("moving_range", "range_centre", "range_high"))
        none = np.full(len(x), math.nan)
        title = f"Moving range: {arm.name}" if arm.name else "Moving range"
        over = [OVER if above else "" for above in ranges > top]
        found.append(_Series(title, x, ranges, middle, none, top, over, ("Mean", "", "Upper limit"), RANGE_HEIGHT))
    return found


def _writer(series: _Series, options: Mapping[str, Any]) -> Callable[[float], str]:
    """Return how the ends of the lines are written."""
    currency = currency_of(str(options.get("currency") or ""))
    every = np.concatenate([series.value, series.centre, series.low, series.high])
    digits = digits_for(every)
    if options.get("chart") == "p":
        return lambda v: say.percent(v, 1 if np.nanmax(every, initial=0.0) >= 0.02 else 2)
    return lambda v: say.money(v, currency, min(digits, 2)) if currency else say.number(v, digits)


def _range(*values: Floats) -> tuple[float, float]:
    """Return the ends of an axis with a margin; from 0 where the values are not far from it."""
    every = np.concatenate(values)
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    pad = 0.08 * ((high - low) or abs(high) or 1.0)
    return (0.0 if low >= 0 and low - pad < 0.3 * high else low - pad), high + pad


def _usual(limit: Floats, centre: Floats) -> Floats:
    """Return the limits up to twice as far from the centre as usual; those of periods with next to nothing run out."""
    away = np.abs(limit - centre)
    known = away[np.isfinite(away)]
    return np.where(away <= 2 * np.median(known), limit, math.nan) if len(known) else limit


def _place(sheet: Sheet, plots: Sequence[_Series], write: Sequence[Callable[[float], str]], rows: Rows) -> Plot:
    """Share the width out between ticks or names of the rows, the plot, and the names of the lines."""
    ticks = 0.0
    said = [""]
    for series, how in zip(plots, write, strict=True):
        low, high = _range(
            series.value, series.centre, _usual(series.low, series.centre), _usual(series.high, series.centre)
        )
        ticks = max(ticks, *(width_of(how(t), SMALL) for t in linear_ticks(low, high, 6)))
        said += [line for text in _texts(series, how) for line in text.split("\n")]
    first = max((width_of(next(iter(c.values()), ""), SMALL) / 2 for _, c in rows), default=0.0)
    named = 0.0
    if rows and not sheet.narrow:
        named = min(max(width_of(arm.name, SMALL) for arm, _ in rows) * SLACK, 1.35) + first + 0.1
    left = sheet.left + max(ticks * SLACK + 0.1, named, first + 0.02)
    room = max(width_of(text, SMALL) for text in said) * SLACK + 0.14
    return Plot(left, sheet.right - room - left, room)


def _last(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else math.nan


def _texts(series: _Series, write: Callable[[float], str]) -> list[str]:
    """Return what stands at the ends of centre, lower and upper limit; nothing where a line is not there."""
    ends = [_last(v) for v in (series.centre, series.low, series.high)]
    return [f"{name}\n{write(v)}" if math.isfinite(v) else "" for name, v in zip(series.names, ends, strict=True)]


def _plot(
    sheet: Sheet, axes: Axes, series: _Series, place: Plot, write: Callable[[float], str], shape: Mapping[str, str],
    breaks: Sequence[int],
) -> None:  # fmt: skip
    """Draw points, lines and marks; centre and limits start anew at each of ``breaks``."""
    low, high = _range(
        series.value, series.centre, _usual(series.low, series.centre), _usual(series.high, series.centre)
    )
    for values, look in ((series.centre, CENTRE), (series.low, LIMIT), (series.high, LIMIT)):
        if np.isfinite(values).any():
            for part in np.split(np.arange(len(series.x)), breaks):
                edges = np.append(series.x[part] - 0.5, series.x[part][-1] + 0.5)
                axes.plot(edges, np.append(values[part], values[part][-1]), drawstyle="steps-post", **look, zorder=1)
    axes.plot(series.x, series.value, **POINT, zorder=2)
    for rule, marker in shape.items():
        at = [i for i, other in enumerate(series.rules) if other == rule]
        axes.plot(series.x[at], series.value[at], **BROKEN, marker=marker, zorder=3)
    axes.set_ylim(low, high)
    ticks = linear_ticks(low, high, 6 if series.height == HEIGHT else 5 if series.height == LOWER else 4)
    axes.set_yticks(ticks, alike([_plain_or(write, t) for t in ticks]))
    texts = _texts(series, write)
    ends = [_last(v) for v in (series.centre, series.low, series.high)]
    drawn = [(text, end) for text, end in zip(texts, ends, strict=True) if text]
    wanted = [(high - end) / (high - low) * series.height for _, end in drawn]
    for i, middle in spread(wanted, [height_of(text, SMALL) + 0.03 for text, _ in drawn], series.height):
        x = place.left + place.width + 0.08
        sheet.text(x, sheet.y - series.height + middle, drawn[i][0], SMALL, va="center")


def _plain_or(write: Callable[[float], str], tick: float) -> str:
    """Return a tick with the sign of its unit, and no more decimals than ticks need."""
    text = write(tick)
    if text.endswith("%"):
        return percent_tick(tick)
    return text if not text[-1:].isdigit() or not text.lstrip(say.MINUS)[:1].isdigit() else plain(tick)


def _starts(arm: Arm) -> list[float]:
    """Return where each phase starts."""
    phases, x = words(arm.rows, "phase"), finite(arm.rows, "_x").tolist()
    return [x[i] for i in range(len(x)) if not i or phases[i] != phases[i - 1]]


def _phases(sheet: Sheet, arm: Arm, place: Plot, ends: tuple[float, float]) -> None:
    """Name each phase above its part of the plot, as far as there is room."""
    phases, x = labels(arm.rows, "phase"), finite(arm.rows, "_x").tolist()
    if not any(phases):
        return
    starts = _starts(arm)
    per = place.width / (ends[1] - ends[0])
    texts = []
    for start, end in zip(starts, [*starts[1:], ends[1] + 0.5], strict=True):
        room = (end - start) * per - 0.06
        name = clip(wrap(phases[x.index(start)], room, TINY), 2) if room > 0.3 else ""
        texts.append((place.left + (start - 0.5 - ends[0]) * per + 0.03, name))
    tall = max(height_of(name, TINY) for _, name in texts)
    y = sheet.take(tall + 0.03)
    for left, name in texts:
        sheet.text(left, y + tall - height_of(name, TINY), name, TINY, color=style.MUTED)


def _blocks(frame: pd.DataFrame, arms: list[Arm], options: Mapping[str, Any]) -> list[tuple[str, Rows]]:
    """Return the counts under the axis, of what the frame has."""
    heads = (("events", str(options.get("events", "Events"))), ("n", str(options.get("persons", "Persons"))))
    return [(head, [(arm, cells_of(arm, "_x", c)) for arm in arms]) for c, head in heads if c in frame.columns]


def _said(frame: pd.DataFrame, chart: str, hidden: str, options: Mapping[str, Any]) -> list[str]:
    limits = " ".join(str(options.get("limits") or CHARTS[chart]).split()).rstrip(".")
    notes = [f"{chart} chart; {limits}."]
    gone = any(printed(frame, "value"))
    missing = not np.isfinite(finite(frame, "value")).all()
    if gone:
        notes.append(f"Periods with too few to show ({hidden}) have no point.")
    elif missing:
        notes.append("A period whose value is not known has no point.")
    return notes


# -- Funnel plot -------------------------------------------------------------------------------------

INSIDE: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white",
                          "markeredgecolor": style.EXPOSED, "linestyle": "none"}  # fmt: skip
BEYOND_95: dict[str, Any] = {"marker": "^", "markersize": 5, "color": style.OKABE_ITO["orange"],
                             "markeredgecolor": style.INK, "markeredgewidth": 0.5, "linestyle": "none"}  # fmt: skip
BEYOND_998: dict[str, Any] = {"marker": "D", "markersize": 4.6, "color": style.OKABE_ITO["vermillion"],
                              "markeredgecolor": style.INK, "markeredgewidth": 0.5, "linestyle": "none"}  # fmt: skip
LINE_95: dict[str, Any] = {"color": style.MUTED, "linewidth": 0.9, "linestyle": (0, (4, 2))}
LINE_998: dict[str, Any] = {"color": style.MUTED, "linewidth": 1.1, "linestyle": "-"}
TARGET: dict[str, Any] = {"color": style.EXPOSED, "linewidth": 1.1, "linestyle": (0, (6, 1.5, 1, 1.5))}
LIMITS = ("low_95", "high_95", "low_998", "high_998")
#: So many units beyond the outer limits are named in the picture.
NAMED = 6
TALL = 2.9


def funnel_plot(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw units by their volume with the limits within which chance alone would leave them, and name those beyond."""
    kinds = words(frame, "kind") if "kind" in frame.columns else ["unit"] * len(frame)
    for kind in dict.fromkeys(kinds):
        if kind not in ("unit", "limit"):
            raise DataError(unknown("kind of a row of a funnel plot", kind, ("unit", "limit")))
    unit = np.array([kind == "unit" for kind in kinds])
    n, value = finite(frame, "n"), finite(frame, "value")
    known = unit & np.isfinite(n) & np.isfinite(value)
    hidden = unseen(frame, "value", "events", "n")
    if not known.any():
        sheet.nothing(f"every unit has too few events to show ({hidden})." if hidden else "no unit's value is known.")
        return
    limits = {c: finite(frame, c) for c in LIMITS}
    far = known & ((value > limits["high_998"]) | (value < limits["low_998"]))
    near = known & ~far & ((value > limits["high_95"]) | (value < limits["low_95"]))
    _funnel_key(sheet, known, near, far, options)
    order = sorted(map(int, np.flatnonzero(far)), key=lambda i: (-_distance(i, value, limits), i))[:NAMED]
    target = float(options.get("target", math.nan))
    drawn_limits = [v[np.isfinite(v)] for v in limits.values()]
    # However near units are to each other, the limits of the larger half of them are in the picture.
    large = known & (n >= np.median(n[known]))
    near_ones = np.concatenate([v[large & np.isfinite(v)] for v in limits.values()])
    low, high = _funnel_range(np.concatenate([value[known], near_ones]), drawn_limits, target)
    right = float(np.nanmax(n)) * 1.04 or 1.0
    percent = str(options.get("scale", "percent"))
    if percent not in ("percent", "number"):
        raise ParameterError(unknown("scale of a funnel plot", percent, ("percent", "number")))
    tick = percent_tick if percent == "percent" else plain
    ticks_y = linear_ticks(low, high, 6)
    left = sheet.left + max(width_of(text, SMALL) for text in alike([tick(t) for t in ticks_y])) * SLACK + 0.1
    names = [labels(frame, "label")[i] or "Unit without a name" for i in order]
    room = min(max((width_of(name, SMALL) for name in names), default=0.0) * SLACK + 0.34,
               sheet.body * 0.34) if names else 0.1  # fmt: skip
    place = Plot(left, sheet.right - room - left, room)
    axis_head(sheet, str(options.get("ylabel", "Value")))
    axes = sheet.axes(place.left, sheet.take(TALL), place.width, TALL)
    _lines(axes, n, limits, target, right)
    for at, look in ((known & ~near & ~far, INSIDE), (near, BEYOND_95), (far, BEYOND_998)):
        if at.any():
            axes.plot(n[at], value[at], **look, zorder=3, clip_on=False)
    axes.set_xlim(0, right)
    axes.set_ylim(low, high)
    axes.set_yticks(ticks_y, alike([tick(t) for t in ticks_y]))
    _leaders(sheet, place, [(n[i] / right, (high - value[i]) / (high - low)) for i in order], names)

    def across(v: float) -> float:
        return place.left + v / right * place.width

    sets = [inside(linear_ticks(0, right, k), across, plain, sheet.left, sheet.right) for k in (7, 5, 4, 3)]
    xs = fit(sets, across, plain)
    axes.set_xticks(xs, [plain(t) for t in xs])
    x_title(sheet, place, str(options.get("xlabel", "Persons")))
    foot(sheet, options, bands=False, also=_funnel_notes(frame, unit, known, int(far.sum()) - len(order), hidden))


def _distance(i: int, value: Floats, limits: Mapping[str, Floats]) -> float:
    """Return how far a unit lies beyond its outer limits, in widths of them."""
    low, high = limits["low_998"][i], limits["high_998"][i]
    beyond = float(np.nanmax([value[i] - high, low - value[i]]))
    return beyond / (high - low) if high > low else math.inf


def _funnel_range(value: Floats, limits: Sequence[Floats], target: float) -> tuple[float, float]:
    """Return the ends of the axis: every unit whole; limits of the smallest units may run out of the picture."""
    low, high = _range(value, np.array([target]))
    span = high - low
    reach = np.concatenate([*limits, value])
    bottom, top = max(float(reach.min()), low - 0.6 * span), min(float(reach.max()), high + 0.6 * span)
    bottom, top = min(low, bottom), max(high, top)
    return (0.0 if value.min() >= 0 and bottom < 0.3 * top else bottom), top


def _lines(axes: Axes, n: Floats, limits: Mapping[str, Floats], target: float, right: float) -> None:
    order = np.argsort(n, kind="stable")
    for column, values in limits.items():
        at = order[np.isfinite(n[order]) & np.isfinite(values[order])]
        axes.plot(n[at], values[at], **(LINE_95 if column.endswith("_95") else LINE_998), zorder=1)
    if math.isfinite(target):
        axes.plot([0, right], [target] * 2, **TARGET, zorder=1)


def _funnel_key(sheet: Sheet, known: Any, near: Any, far: Any, options: Mapping[str, Any]) -> None:
    number = [int(v.sum()) for v in (known & ~near & ~far, near, far)]
    entries: list[tuple[dict[str, Any], str]] = [
        (INSIDE, f"Within 95% limits ({number[0]})"), (BEYOND_95, f"Beyond 95% ({number[1]})"),
        (BEYOND_998, f"Beyond 99.8% ({number[2]})"), (LINE_95, "95% limits"), (LINE_998, "99.8% limits"),
    ]  # fmt: skip
    if math.isfinite(float(options.get("target", math.nan))):
        entries.append((TARGET, str(options.get("target_label", "All units"))))
    sheet.key(entries, sheet.left, sheet.body)


def _leaders(sheet: Sheet, place: Plot, points: Sequence[tuple[float, float]], names: Sequence[str]) -> None:
    """Write the names at the right, each with a thin line to its point."""
    edge = place.left + place.width
    most = max(2, int(TALL / max(len(names), 1) / (height_of("0", SMALL) + 0.02)))
    texts = [clip(wrap(name, place.label_room - 0.24, SMALL), most) for name in names]
    heights = [height_of(text, SMALL) + 0.03 for text in texts]
    for i, middle in spread([share * TALL for _, share in points], heights, TALL):
        x, y = place.left + points[i][0] * place.width, sheet.y - TALL + points[i][1] * TALL
        at = sheet.y - TALL + middle
        sheet.line((min(x + 0.05, edge), edge + 0.16), (y, at), color=style.MUTED, linewidth=0.5)
        sheet.text(edge + 0.2, at, texts[i], SMALL, va="center")


def _funnel_notes(frame: pd.DataFrame, unit: Any, known: Any, more: int, hidden: str) -> list[str]:
    notes = []
    if more > 0:
        notes.append(f"{more} more beyond the 99.8% limits are named in the table.")
    gone = int(sum(bool(v) and u for v, u in zip(printed(frame, "value"), unit, strict=True)))
    lost = int((unit & ~known).sum()) - gone
    if gone:
        notes.append(f"Units with too few events to show ({hidden}): {gone}.")
    if lost > 0:
        notes.append(f"Units whose value is not known: {lost}.")
    return notes
