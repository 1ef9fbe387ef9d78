"""Estimates with intervals: the forest of outcomes, subgroups or specifications, and the slim strip."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, clip, even, height_of, width_of, wrap
from clinops.render.figures.values import (
    NOT_SHOWN,
    Floats,
    counts,
    currency_of,
    digits_for,
    fit,
    labels,
    linear_ticks,
    log_ticks,
    numbers,
    plain,
    printed,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: An interval is cut where it reaches further from no effect than so many times the usual reach.
REACH, FURTHEST = 3.0, 10.0
#: A ratio is drawn up to ten thousand times the ratio of no effect, and down to as small a part of it.
MOST_LOG = math.log(10_000)
#: Room beside the plot for the arrow of a cut interval.
BESIDE = 0.08
FORWARD, BACK = "\u2192", "\u2190"
FULL = {"marker": "s", "markerfacecolor": style.EXPOSED, "markeredgecolor": style.EXPOSED, "markersize": 4.6}
HOLLOW = {"marker": "o", "markerfacecolor": "white", "markeredgecolor": style.EXPOSED, "markersize": 5.0}
TRUTH = {"marker": "D", "markerfacecolor": style.INK, "markeredgecolor": style.INK, "markersize": 5.4}
INTERVAL = "95% CI"
NAIVE = ("naive", "crude", "unadjusted")


@dataclass(frozen=True)
class _Axis:
    """The axis of effects: its scale, where there is no effect, and the range that is shown."""

    log: bool
    null: float
    low: float
    high: float

    def share(self, value: float) -> float:
        """Return where a value lies between the ends of the axis, 0 to 1."""
        a, b, v = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (v - a) / (b - a)

    def ticks(self, width: float) -> list[float]:
        sets = (
            log_ticks(self.low, self.high)
            if self.log
            else [linear_ticks(self.low, self.high, n) for n in (7, 5, 4, 3, 2)]
        )
        return fit(sets, lambda v: self.share(v) * width, plain)


@dataclass(frozen=True)
class _Plan:
    """What stands in each row beside the plot; every list has one entry a row."""

    labels: list[str]
    groups: list[str]
    estimates: Floats
    low: Floats
    high: Floats
    axis: _Axis
    results: list[str]
    result_head: str
    marks: list[dict[str, Any]]
    counts: list[tuple[str, list[str]]] = field(default_factory=list)


def forest(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw each estimate with its interval, counts to the left and numbers to the right."""
    log = options.get("scale", "linear") == "log"
    null = float(options.get("null", 1.0 if log else 0.0))
    xlabel = str(options.get("xlabel", "Ratio" if log else "Difference"))
    estimates, low, high = (numbers(frame, c) for c in ("estimate", "low", "high"))
    write = say.ratio if log else _difference(estimates, low, high)
    missing = [NOT_SHOWN if gone else say.NOT_ESTIMABLE for gone in printed(frame, "estimate")]
    level = re.search(r"\(\d+(?:\.\d+)?% CI\)", xlabel)
    plan = _Plan(
        labels(frame, "label"), labels(frame, "group"), estimates, low, high, _axis(estimates, low, high, log, null),
        _results(estimates, low, high, write, missing), f"Estimate {level.group()}" if level else "Estimate",
        [FULL] * len(frame), _counts(frame, options),
    )  # fmt: skip
    sides = ("", "")
    if options.get("exposed"):
        sides = (f"{BACK} lower with {options['exposed']}", f"higher with {options['exposed']} {FORWARD}")
    _draw(sheet, plan, xlabel, sides)


def strip(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the naive estimate, the adjusted one and, where it is known, the truth on one axis."""
    unit, null = str(options.get("unit") or ""), float(options.get("null", 0.0))
    estimates, low, high = (numbers(frame, c) for c in ("estimate", "low", "high"))
    names = labels(frame, "label")
    worthwhile = options.get("worthwhile")
    worth = math.nan if worthwhile is None else float(worthwhile)
    currency = currency_of(unit)
    digits = digits_for(np.concatenate([estimates, low, high]))

    def write(value: float) -> str:
        return say.money(value, currency, digits) if currency else say.number(value, digits)

    missing = [NOT_SHOWN if gone else say.NOT_ESTIMABLE for gone in printed(frame, "estimate")]
    plan = _Plan(
        names, [""] * len(names), estimates, low, high,
        _axis(np.append(estimates, worth), np.append(low, worth), np.append(high, worth), False, null),
        _results(estimates, low, high, write, missing), f"Estimate ({options.get('interval', INTERVAL)})",
        [_mark(name) for name in names],
    )  # fmt: skip
    better = options.get("better")
    left, right = ("better", "worse") if better == "lower" else ("worse", "better")
    sides = (f"{BACK} {left}", f"{right} {FORWARD}") if better in ("lower", "higher") else ("", "")
    title = str(options.get("xlabel") or (f"Difference, {unit}" if unit else "Difference"))
    lines = [(null, "no effect")]
    if math.isfinite(worth):
        lines.append((worth, f"smallest worth having: {write(worth)}"))
    _draw(sheet, plan, title, sides, lines)


def _mark(label: str) -> dict[str, Any]:
    first = label.lower()
    if first.startswith(("truth", "true")):
        return TRUTH
    return HOLLOW if first.startswith(NAIVE) else FULL


def _counts(frame: pd.DataFrame, options: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return a column of counts for each arm that has them: its header and its cells, "45/830"."""
    columns = []
    for arm in ("exposed", "comparator"):
        names = [name for name in (f"events_{arm}", f"n_{arm}") if name in frame.columns]
        if names:
            of = "events/persons" if len(names) == 2 else "persons" if names[0].startswith("n_") else "events"
            cells = ["/".join(parts) for parts in zip(*(counts(frame, name) for name in names), strict=True)]
            columns.append((f"{options.get(arm) or arm.capitalize()}, {of}", cells))
    return columns


def _difference(estimates: Floats, low: Floats, high: Floats) -> Callable[[float], str]:
    digits = digits_for(np.concatenate([estimates, low, high]))
    return lambda value: say.number(value, digits)


def _results(
    estimates: Floats, low: Floats, high: Floats, write: Callable[[float], str], missing: list[str]
) -> list[str]:
    rows = zip(estimates, low, high, missing, strict=True)
    return [_gone(gone, a, b, write) if math.isnan(e) else say.interval(write(e), write(a), write(b))
            for e, a, b, gone in rows]  # fmt: skip


def _gone(text: str, low: float, high: float, write: Callable[[float], str]) -> str:
    """What stands for an estimate that is missing, with its limits where it has them (a ratio of 0 or infinity)."""
    return text if math.isnan(low) or math.isnan(high) else f"{text} ({write(low)} to {write(high)})"


def _axis(estimates: Floats, low: Floats, high: Floats, log: bool, null: float) -> _Axis:
    """Choose the range: every usual interval whole, a far one cut, no effect always in sight."""
    with np.errstate(divide="ignore", invalid="ignore"):
        points, a, b = (np.log(v) if log else v.astype(float) for v in (estimates, low, high))
    zero = math.log(null) if log else null
    ends = np.abs(np.vstack([points, a, b]) - zero)
    reach = np.where(np.isfinite(ends), ends, 0.0).max(axis=0, initial=0.0)
    reach = reach[(np.isfinite(points) | (np.isnan(points) & ~np.isnan(a) & ~np.isnan(b))) & (reach > 0)]
    usual = float(np.median(reach)) if len(reach) else (math.log(2) if log else 1.0)
    near = points[np.isfinite(points) & (np.abs(points - zero) <= FURTHEST * usual)]
    lowest = min(zero - REACH * usual, float(near.min(initial=zero)) - 0.2 * usual)
    highest = max(zero + REACH * usual, float(near.max(initial=zero)) + 0.2 * usual)
    if log:  # nobody reads a ratio beyond these, and their powers overflow
        lowest, highest = max(lowest, zero - MOST_LOG), min(highest, zero + MOST_LOG)
    inside = [v for v in (*points, *a, *b, zero) if not math.isnan(v)]
    left, right = max(min(inside), lowest), min(max(inside), highest)
    if left == right:
        left, right = left - usual, right + usual
    pad = 0.06 * (right - left)
    left, right = left - pad, right + pad
    return _Axis(log, null, math.exp(left) if log else left, math.exp(right) if log else right)


def _draw(
    sheet: Sheet, plan: _Plan, title: str, sides: tuple[str, str], lines: list[tuple[float, str]] | None = None
) -> None:
    beside = plan.counts if not sheet.narrow else []
    result_room = max(width_of(t) for t in (*plan.results, even(plan.result_head, 1.2, SMALL, "bold"))) * SLACK + 0.1
    result_room = min(result_room, sheet.body * 0.36)
    heads = [_head(head) for head, _ in beside]
    rooms = [
        max(max(width_of(c, SMALL) for c in cells), width_of(head, SMALL, "bold")) * SLACK + 0.12
        for head, (_, cells) in zip(heads, beside, strict=True)
    ]
    spare = sheet.body - result_room - sum(rooms) - BESIDE - (0.85 if sheet.narrow else 1.75)
    label_room = _label_room([*plan.labels, *plan.groups], spare, sheet.body)
    left = sheet.left + label_room + sum(rooms) + BESIDE
    width = sheet.right - result_room - left
    below = _below(plan, sheet, label_room)
    _heads(sheet, heads, rooms, sheet.left + label_room, plan, result_room)
    if lines:
        _line_labels(sheet, plan.axis, lines, left, width)
    top = sheet.y
    _, middles = _rows(sheet, plan, label_room, result_room, rooms, beside, below)
    axes = sheet.axes(left, top, width, sheet.y - top)
    _plot(axes, plan, middles, sheet.y - top, lines)
    ticks = plan.axis.ticks(width)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    _foot(sheet, title, sides, left, width, left + plan.axis.share(plan.axis.null) * width)


def _label_room(labels: list[str], spare: float, body: float) -> float:
    """Return the room of the labels: all they need if it can be spared, else at least their longest word."""
    whole = max(width_of(label) for label in labels) * SLACK + 0.12
    word = max(width_of(word) for label in labels for word in label.split() or [""]) * SLACK + 0.21
    return min(whole, max(spare, 0.8, min(word, 0.36 * body)))


def _head(head: str) -> str:
    """Wrap the header of a column of counts: at most three lines of the arm's name, then what is counted."""
    arm, of = head.rsplit(", ", 1)
    name = clip(even(arm + ",", 0.95, SMALL, "bold"), 3)
    return f"{name}\n{of}"


def _result(text: str, room: float) -> str:
    """Wrap an estimate with its interval: the interval goes below where both do not fit on a line."""
    if width_of(text) * SLACK > room and " (" in text:
        estimate, interval = text.split(" (", 1)
        return f"{wrap(estimate, room)}\n{wrap('(' + interval, room)}"
    return wrap(text, room)


def _below(plan: _Plan, sheet: Sheet, room: float) -> list[str]:
    """In a narrow figure the counts stand under the label instead of in columns."""
    if not (sheet.narrow and plan.counts):
        return [""] * len(plan.labels)
    cells = zip(*(c for _, c in plan.counts), strict=True)
    return [wrap(" v ".join(row), room - 0.1, TINY) for row in cells]


def _heads(sheet: Sheet, heads: list[str], rooms: list[float], start: float, plan: _Plan, result_room: float) -> None:
    result = even(plan.result_head, result_room - 0.1, SMALL, "bold")
    counted = _counted(plan, sheet.body - result_room - 0.1) if sheet.narrow else ""
    sheet.take(max(height_of(counted, TINY), *(height_of(t, SMALL) for t in (*heads, result))))
    x = start
    for head, room in zip(heads, rooms, strict=True):
        x += room
        sheet.text(x - 0.06, sheet.y, head, SMALL, weight="bold", ha="right", va="bottom")
    sheet.text(sheet.right - result_room + 0.1, sheet.y, result, SMALL, weight="bold", va="bottom")
    sheet.text(sheet.left, sheet.y, counted, TINY, va="bottom", color=style.MUTED)
    sheet.take(0.03)
    sheet.line((sheet.left, sheet.right), (sheet.y, sheet.y))
    sheet.take(0.03)


def _counted(plan: _Plan, room: float) -> str:
    """Say what the counts under the labels of a narrow figure are: "Offered v Not offered, events/persons"."""
    if not plan.counts:
        return ""
    arms, of = zip(*(head.rsplit(", ", 1) for head, _ in plan.counts), strict=True)
    return wrap(f"{' v '.join(arms)}, {of[0]}", room, TINY)


def _line_labels(sheet: Sheet, axis: _Axis, lines: list[tuple[float, str]], left: float, width: float) -> None:
    """Name the vertical lines above the plot, one under the other so that they never meet."""
    for value, label in lines:
        text = wrap(label, sheet.body, TINY)
        half = width_of(text, TINY) * SLACK / 2
        x = min(max(left + axis.share(value) * width, sheet.left + half), sheet.right - half)
        sheet.text(x, sheet.take(height_of(text, TINY)), text, TINY, ha="center", color=style.MUTED)


def _rows(
    sheet: Sheet, plan: _Plan, label_room: float, result_room: float, rooms: list[float],
    beside: list[tuple[str, list[str]]], below: list[str],
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Write the texts of every row; return heights, and middles measured from the first row's top."""
    heights: list[float] = []
    middles: list[float] = []
    start, group = sheet.y, ""
    for i, label in enumerate(plan.labels):
        if plan.groups[i] != group:
            group = plan.groups[i]
            head = wrap(group, label_room + sum(rooms) - 0.1, weight="bold")
            sheet.take(0.04)
            sheet.text(sheet.left, sheet.take(height_of(head) + 0.02), head, weight="bold")
        indent = 0.1 if group else 0.0
        lines = even(label or "Without a name", label_room - 0.1 - indent)
        result = _result(plan.results[i], result_room - 0.1)
        tall = max(height_of(lines) + height_of(below[i], TINY), height_of(result)) + 0.08
        at = sheet.take(max(tall, 0.23))
        middle = (at + sheet.y) / 2
        if i % 2 == 0:
            sheet.box(sheet.left, at, sheet.body, sheet.y - at, facecolor=style.FAINT, edgecolor="none", zorder=-1)
        sheet.text(sheet.left + indent, middle - height_of(below[i], TINY) / 2, lines, va="center")
        sheet.text(sheet.left + indent, middle + height_of(lines) / 2, below[i], TINY, va="center", color=style.MUTED)
        x = sheet.left + label_room
        for (_, cells), room in zip(beside, rooms, strict=True):
            x += room
            sheet.text(x - 0.06, middle, cells[i], SMALL, ha="right", va="center")
        sheet.text(sheet.right - result_room + 0.1, middle, result, va="center")
        heights.append(sheet.y - at)
        middles.append(middle - start)
    return heights, middles


def _plot(axes: Axes, plan: _Plan, middles: list[float], height: float, lines: list[tuple[float, str]] | None) -> None:
    axis = plan.axis
    axes.patch.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.set_xscale("log" if axis.log else "linear")
    axes.minorticks_off()
    axes.set_xlim(axis.low, axis.high)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    axes.axvline(axis.null, color=style.INK, linewidth=0.8, zorder=1)
    for value, _ in (lines or [])[1:]:
        axes.axvline(value, color=style.OKABE_ITO["green"], linewidth=1.1, linestyle=(0, (4, 2)), zorder=1)
    for i, y in enumerate(middles):
        _interval(axes, axis, y, plan.estimates[i], plan.low[i], plan.high[i], plan.marks[i])


def _interval(
    axes: Axes, axis: _Axis, y: float, estimate: float, low: float, high: float, mark: dict[str, Any]
) -> None:
    """Draw one estimate; what reaches beyond the axis ends there in an arrow. Limits alone are a line without mark."""
    if math.isnan(estimate) and (math.isnan(low) or math.isnan(high)):
        return
    line = {"color": mark["markeredgecolor"], "linewidth": 1.3, "zorder": 2, "solid_capstyle": "butt"}
    head = {"linestyle": "none", "markersize": 4.5, "markerfacecolor": line["color"], "markeredgecolor": line["color"],
            "clip_on": False, "zorder": 3}  # fmt: skip
    if not (math.isnan(low) or math.isnan(high)):
        a, b = (min(max(v, axis.low), axis.high) for v in (low, high))
        axes.plot([a, b], [y, y], **line)
        for cut, x, marker in ((low < axis.low, a, "<"), (high > axis.high, b, ">")):
            if cut:
                axes.plot([x], [y], marker=marker, **head)
    if math.isnan(estimate):
        return
    if axis.low <= estimate <= axis.high:
        axes.plot([estimate], [y], linestyle="none", zorder=4, **mark)
    else:
        x, marker = (axis.low, "<") if estimate < axis.low else (axis.high, ">")
        axes.plot([x], [y], marker=marker, **head)


def _foot(sheet: Sheet, title: str, sides: tuple[str, str], left: float, width: float, zero: float) -> None:
    """Write the tick labels' room, which side of no effect means what, and the title of the axis."""
    sheet.take(0.05 + height_of("0", SMALL) + 0.02)
    if any(sides):
        rooms = (zero - sheet.left - 0.05, sheet.right - zero - 0.05)
        texts = [clip(wrap(side, max(room, 0.5), TINY), 3) for side, room in zip(sides, rooms, strict=True)]
        y = sheet.take(max(height_of(t, TINY) for t in texts) + 0.03)
        sheet.text(zero - 0.05, y, texts[0], TINY, ha="right", color=style.MUTED)
        sheet.text(zero + 0.05, y, texts[1], TINY, color=style.MUTED)
    lines = wrap(title, sheet.body)
    half = width_of(lines) * SLACK / 2
    centre = min(max(left + width / 2, sheet.left + half), sheet.right - half)
    sheet.text(centre, sheet.take(height_of(lines)), lines, ha="center")
