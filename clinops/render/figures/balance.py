"""Comparability of the arms: standardised differences (love plot) and overlap of the propensity scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import Floats, fit, labels, linear_ticks, numbers, percent_tick, plain, unseen

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Standardised differences beyond this are drawn at the edge, with their value beside them.
FURTHEST = 2.0
BEFORE: dict[str, Any] = {
    "marker": "s", "markerfacecolor": "white", "markeredgecolor": style.COMPARATOR, "markeredgewidth": 1.1,
    "linestyle": "none", "markersize": 4.2,
}  # fmt: skip
AFTER: dict[str, Any] = {
    "marker": "o", "markerfacecolor": style.EXPOSED, "markeredgecolor": style.EXPOSED, "linestyle": "none",
    "markersize": 4.4,
}  # fmt: skip


def love(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the absolute standardised difference of each covariate before and after adjustment."""
    names, threshold = labels(frame, "covariate"), float(options.get("threshold", 0.1))
    before, after = np.abs(numbers(frame, "smd_before")), np.abs(numbers(frame, "smd_after"))
    limit = _limit(np.concatenate([before, after]), threshold)
    notes = [_beyond(b, a, limit) for b, a in zip(before, after, strict=True)]
    room = min(max(width_of(name) for name in names) * SLACK + 0.12, sheet.body * 0.45)
    edge = max(width_of(note, SMALL) for note in notes) * SLACK
    edge = min(edge, sheet.body * 0.22) + 0.06 if edge else 0.08
    lines = [even(name or "Covariate without a name", room - 0.12) for name in names]
    said = [wrap(note, edge - 0.06, SMALL) for note in notes]
    heights = [max(height_of(a) + 0.04, height_of(b, SMALL) + 0.04, 0.17) for a, b in zip(lines, said, strict=True)]

    dashes: dict[str, Any] = {"color": style.INK, "linestyle": (0, (4, 2)), "linewidth": 0.9}
    entries = [(BEFORE, "Before adjustment"), (AFTER, "After adjustment"), (dashes, f"Threshold {plain(threshold)}")]
    sheet.key(entries, sheet.left, sheet.body)
    top = sheet.take(sum(heights))
    axes = sheet.axes(sheet.left + room, top, sheet.body - room - edge, sum(heights))
    middles = np.cumsum(heights) - np.array(heights) / 2
    for i, middle in enumerate(middles):
        sheet.text(sheet.left + room - 0.08, top + middle, lines[i], ha="right", va="center")
        sheet.text(sheet.right - edge + 0.06, top + middle, said[i], SMALL, va="center", color=style.MUTED)
        _pair(axes, middle, before[i], after[i], limit)
    axes.axvline(threshold, **dashes, zorder=1)
    axes.set_ylim(sum(heights), 0)
    axes.set_yticks([])
    axes.set_xlim(0, limit)
    width = sheet.body - room - edge
    ticks = fit([linear_ticks(0, limit, n) for n in (7, 5, 3)], lambda v: v / limit * width, plain)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    _title_below(sheet, "Absolute standardised mean difference", sheet.left + room, width)


def _limit(values: Floats, threshold: float) -> float:
    """Return the end of the axis: every usual difference fits; infinite and absurd ones stand at the edge."""
    finite = values[np.isfinite(values)]
    largest = float(finite[finite <= FURTHEST].max(initial=0.0))
    return max(1.08 * largest, 2 * threshold, 0.05)


def _beyond(before: float, after: float, limit: float) -> str:
    """Return what is said of values that do not fit on the axis; nothing where both do."""
    said = [(when, _in_words(v)) for when, v in (("before", before), ("after", after)) if not v <= limit]
    if len(said) == 2 and said[0][1] == said[1][1]:
        return f"{said[0][1]} before and after"
    return "; ".join(f"{value} {when}" for when, value in said)


def _in_words(value: float) -> str:
    return "undefined" if math.isnan(value) else "infinite" if math.isinf(value) else say.number(value, 1)


def _pair(axes: Axes, y: float, before: float, after: float, limit: float) -> None:
    """Draw both marks of a covariate and the line between them; what does not fit stands at the edge."""
    axes.axhline(y, color=style.FAINT, linewidth=0.7, zorder=0)
    ends = [min(v, limit) if not math.isnan(v) else math.nan for v in (before, after)]
    axes.plot(ends, [y, y], color=style.RULE, linewidth=1.2, zorder=1)
    for value, mark in ((before, BEFORE), (after, AFTER)):
        at_edge = {"marker": "x" if math.isnan(value) else ">", "clip_on": False} if not value <= limit else {}
        x = limit if at_edge else value
        axes.plot([x], [y], zorder=3, **{**mark, "clip_on": False, **at_edge})


def _scaled(first: float, last: float, width: float, value: float) -> float:
    """Return where a value stands on an axis of some inches."""
    return (value - first) / (last - first) * width


def _title_below(sheet: Sheet, title: str, left: float, width: float) -> None:
    """Leave room for tick labels and write the axis title under them, inside the sheet."""
    sheet.take(0.05 + height_of("0", SMALL) + 0.03)
    lines = wrap(title, sheet.body)
    half = width_of(lines) * SLACK / 2
    centre = min(max(left + width / 2, sheet.left + half), sheet.right - half)
    sheet.text(centre, sheet.take(height_of(lines)), lines, ha="center")


def overlap(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the scores of both arms back to back, before and after adjustment."""
    low, high = numbers(frame, "low"), numbers(frame, "high")
    panels = (("Before adjustment", "share"), ("After adjustment", "weighted"))
    shares = {p: (numbers(frame, f"{p}_exposed"), numbers(frame, f"{p}_comparator")) for _, p in panels}
    every = np.concatenate([part for pair in shares.values() for part in pair])
    top_share = float(every[np.isfinite(every)].max(initial=0.0)) or 0.05
    first, last = _occupied(low, high, shares)
    names = [str(options.get(arm) or arm.capitalize()) for arm in ("exposed", "comparator")]
    above: dict[str, Any] = {"facecolor": style.EXPOSED, "edgecolor": style.EXPOSED}
    under: dict[str, Any] = {"facecolor": "white", "edgecolor": style.COMPARATOR, "hatch": "//////"}
    sheet.key([(above, f"{names[0]} (above the line)"), (under, f"{names[1]} (below)")], sheet.left, sheet.body)

    ticks = linear_ticks(0, top_share * 1.05, 4)
    ticks = sorted({-t for t in ticks} | set(ticks))
    margin = max(width_of(percent_tick(abs(t)), SMALL) for t in ticks) * SLACK + 0.1
    stacked = sheet.narrow
    gap = 0.2
    width = sheet.body - margin if stacked else (sheet.body - margin - gap) / 2
    height = 1.5 if stacked else 2.3
    y_title = "Share of the arm"
    for i, (title, part) in enumerate(panels):
        if stacked or i == 0:
            sheet.take(0.06)
            sheet.text(sheet.left, sheet.take(height_of(y_title, SMALL) + 0.02), y_title, SMALL, color=style.MUTED)
            start = sheet.y
            sheet.take(height_of(title) + 0.05 + height)
        left = sheet.left + margin + (0 if stacked else i * (width + gap))
        sheet.text(left + width / 2, start, title, weight="bold", ha="center")
        axes = sheet.axes(left, start + height_of(title) + 0.05, width, height)
        for sign, values, look in zip((1, -1), shares[part], (above, under), strict=True):
            axes.bar(low, sign * np.nan_to_num(values), high - low, align="edge", linewidth=0.5, **look)
        axes.axhline(0, color=style.INK, linewidth=0.8)
        axes.set_xlim(first, last)
        axes.set_ylim(-1.05 * top_share, 1.05 * top_share)
        axes.set_yticks(ticks, [percent_tick(abs(t)) for t in ticks] if stacked or i == 0 else [""] * len(ticks))
        across = fit([linear_ticks(first, last, n) for n in (6, 4, 3)], partial(_scaled, first, last, width), plain)
        axes.set_xticks(across, [plain(t) for t in across])
        if stacked or i == 1:
            _title_below(sheet, "Propensity score", sheet.left + margin, sheet.body - margin)
    if np.isnan(every).any():
        why = unseen(frame, "n_exposed", "n_comparator")
        said = f"with too few persons in an arm to show ({why})" if why else "whose share is not known"
        sheet.take(0.05)
        sheet.paragraph(f"Bins {said} are not drawn for that arm.", color=style.MUTED)


def _occupied(low: Floats, high: Floats, shares: Mapping[str, tuple[Floats, Floats]]) -> tuple[float, float]:
    """Return the range of scores that anybody has; hidden bins count as somebody."""
    used = np.zeros(len(low), dtype=bool)
    for pair in shares.values():
        for values in pair:
            used |= ~(values == 0)
    if not used.any():
        used[:] = True
    return float(low[used].min()), float(high[used].max())
