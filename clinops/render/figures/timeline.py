"""The study design on an axis of days: what is read when, with the index date in the middle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clinops.render import style
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import apart, labels, numbers, plain, words

if TYPE_CHECKING:
    import pandas as pd

ROLES = {
    "eligibility": style.OKABE_ITO["sky"],
    "exposure": style.OKABE_ITO["vermillion"],
    "covariates": style.OKABE_ITO["green"],
    "follow-up": style.OKABE_ITO["blue"],
}
ROUND_DAYS = (7, 14, 30, 60, 90, 180, 365, 730, 1095, 1460, 1825, 3650, 7300)
BAR, LEAST = 0.14, 0.07


class _DayAxis:
    """From days to inches: distances grow with the root of the days, so that near and far both show."""

    def __init__(self, ends: list[float], left: float, right: float, open_left: bool, open_right: bool) -> None:
        low, high = min([0.0, *ends]), max([0.0, *ends])
        if low == high:
            low, high = (-30.0 if open_left or not open_right else -1.0), (30.0 if open_right or not open_left else 1.0)
        a, b = _root(low), _root(high)
        beyond = 0.1 * (b - a)
        self.low, self.high = a - beyond * (1.0 if open_left else 0.35), b + beyond * (1.0 if open_right else 0.35)
        self.left, self.right = left, right

    def place(self, day: float) -> float:
        """Return where a day is, inches from the left of the sheet."""
        share = (_root(day) - self.low) / (self.high - self.low)
        return self.left + share * (self.right - self.left)


def _root(day: float) -> float:
    return math.copysign(math.sqrt(abs(day)), day)


def design_diagram(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw each window as a bar, grouped by its role, with its days in words and a line at day 0."""
    names, roles = labels(frame, "label"), words(frame, "role")
    starts, ends = numbers(frame, "start"), numbers(frame, "end")
    spans = [_span(a, b) for a, b in zip(starts, ends, strict=True)]
    beside = not sheet.narrow
    span_room = max(width_of(s, SMALL) for s in spans) * SLACK + 0.12 if beside else 0.0
    label_room = min(max(width_of(t) for t in names) * SLACK + 0.15, sheet.body * (0.36 if beside else 0.45))
    finite = [float(v) for v in (*starts, *ends) if math.isfinite(v)]
    axis = _DayAxis(finite, sheet.left + label_room, sheet.right - span_room,
                    not all(map(math.isfinite, starts)), not all(map(math.isfinite, ends)))  # fmt: skip
    zero = axis.place(0)
    _index_label(sheet, str(options.get("index_label", "Day 0")), zero)
    top = sheet.y
    for role in dict.fromkeys(roles):
        _heading(sheet, role, zero)
        for i in (i for i, other in enumerate(roles) if other == role):
            lines = even(names[i], label_room - 0.1)
            below = "" if beside else wrap(spans[i], label_room - 0.1, SMALL)
            height = height_of(lines) + height_of(below, SMALL) + 0.09
            at = sheet.take(max(height, BAR + 0.09))
            middle = at + (sheet.y - at) / 2
            text = sheet.text(sheet.left, middle - height_of(below, SMALL) / 2, lines, va="center")
            text.set_zorder(3)
            if below:
                sheet.text(sheet.left, middle + height_of(lines) / 2, below, SMALL, va="center", color=style.MUTED)
            else:
                sheet.text(sheet.right, middle, spans[i], SMALL, ha="right", va="center", color=style.MUTED)
            _bar(sheet, axis, middle, starts[i], ends[i], ROLES.get(role, style.MUTED))
    sheet.line((zero, zero), (top - 0.03, sheet.y + 0.04), color=style.INK, linewidth=1.0, linestyle=(0, (4, 2)))
    _day_ticks(sheet, axis, finite)


def _span(start: float, end: float) -> str:
    """Return the days of a window in words; an end that is not a number is open."""
    first, last = (plain(v) if math.isfinite(v) else "" for v in (start, end))
    if not first and not last:
        return "any day"
    if not first:
        return f"up to day {last}"
    if not last:
        return f"from day {first} on"
    return f"day {first}" if first == last else f"days {first} to {last}"


def _index_label(sheet: Sheet, label: str, zero: float) -> None:
    room = 2 * min(zero - sheet.left, sheet.right - zero)
    if room < 1.6:  # day 0 is near an edge: write away from it
        side, room = (
            ("left", sheet.right - zero) if zero - sheet.left < sheet.right - zero else ("right", zero - sheet.left)
        )
    else:
        side = "center"
    lines = wrap(label, min(room, 3.2), SMALL, "bold")
    sheet.text(zero, sheet.take(height_of(lines, SMALL) + 0.06), lines, SMALL, ha=side, weight="bold")


def _heading(sheet: Sheet, role: str, zero: float) -> None:
    title = wrap(role[:1].upper() + role[1:], max(zero - sheet.left - 0.1, 1.0), SMALL, "bold")
    sheet.take(0.03)
    sheet.line((sheet.left, sheet.right), (sheet.y, sheet.y))
    sheet.take(0.03)
    sheet.text(sheet.left, sheet.take(height_of(title, SMALL) + 0.01), title, SMALL, weight="bold", color=style.MUTED)


def _bar(sheet: Sheet, axis: _DayAxis, middle: float, start: float, end: float, colour: str) -> None:
    left = axis.place(start) if math.isfinite(start) else axis.left + 0.1
    right = axis.place(end) if math.isfinite(end) else axis.right - 0.1
    if right - left < LEAST:
        left, right = (left + right - LEAST) / 2, (left + right + LEAST) / 2
    sheet.box(left, middle - BAR / 2, right - left, BAR, facecolor=colour, edgecolor=colour)
    head = {"color": colour, "linewidth": 1.5, "mutation_scale": 9}
    if not math.isfinite(start):
        sheet.arrow((left, middle), (axis.left, middle), **head)
    if not math.isfinite(end):
        sheet.arrow((right, middle), (axis.right, middle), **head)


def _day_ticks(sheet: Sheet, axis: _DayAxis, ends: list[float]) -> None:
    y = sheet.take(0.04) + 0.04
    sheet.line((axis.left, axis.right), (y, y), color=style.MUTED)
    furthest = max(map(abs, ends), default=0.0)
    wanted = [0.0, *sorted(set(ends), key=lambda v: (-abs(v), v)), *(s * d for d in ROUND_DAYS for s in (-1.0, 1.0))]
    chosen: list[float] = []
    for day in wanted:
        inside = axis.left <= axis.place(day) <= axis.right and abs(day) <= max(furthest, 30)
        if day not in chosen and inside and apart([(axis.place(v), plain(v)) for v in (*chosen, day)]):
            chosen.append(day)
    for day in sorted(chosen):
        sheet.line((axis.place(day),) * 2, (y, y + 0.035), color=style.MUTED)
        sheet.text(axis.place(day), y + 0.05, plain(day), SMALL, ha="center")
    sheet.take(0.05 + height_of("0", SMALL) + 0.03)
    title = wrap("Days from the index date (square-root scale)", sheet.body, SMALL)
    centre = min(
        max((axis.left + axis.right) / 2, sheet.left + width_of(title, SMALL) / 2 * SLACK),
        sheet.right - width_of(title, SMALL) / 2 * SLACK,
    )
    sheet.text(centre, sheet.take(height_of(title, SMALL)), title, SMALL, ha="center")
