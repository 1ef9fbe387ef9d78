"""Money over time and over persons: cumulative cost from index, cost by calendar month, concentration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import text as say
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Rows,
    amounts,
    arms_of,
    axis_head,
    cells_of,
    cost_range,
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
    Floats,
    counts,
    currency_of,
    linear_ticks,
    numbers,
    plain,
    printed,
    scaled,
    unseen,
)

if TYPE_CHECKING:
    import pandas as pd


def cumulative_cost(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the mean cost per person from the index date to each month, with who is still observed and who died."""
    arms = arms_of(frame, marked=False)
    if not np.isfinite(numbers(frame, "cost")).any():
        sheet.nothing(why("cost", unseen(frame, "n_observed", "deaths", "cost")))
        return
    factor, unit = scaled(numbers(frame, "cost"), str(options.get("currency") or ""))
    months = numbers(frame, "month")
    horizon = float(options.get("horizon") or np.nanmax(months)) or 1.0
    curves = [_cumulative(arm, horizon, factor) for arm in arms]
    bottom, top = cost_range(*(np.concatenate([c[k] for c in curves]) for k in (1, 2, 3)))
    ticks_y = linear_ticks(bottom, top, 6)
    amount = amounts(ticks_y, unit)
    blocks = _blocks(sheet, frame, arms)
    rows = [row for _, block in blocks for row in block]
    ends = [_end(curve, horizon, unit) for curve in curves]
    place = share_out(sheet, [arm.name for arm in arms], rows, [amount(t) for t in ticks_y], ends)
    axis_head(sheet, f"Cumulative mean cost per person{f', {unit}' if unit else ''}")
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    for arm, (x, cost, low, high) in zip(arms, curves, strict=True):
        axes.fill_between(x, low, high, facecolor=arm.look["color"], alpha=0.16, linewidth=0)
        axes.plot(x, cost, **arm.look)
    axes.set_xlim(0, horizon)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, [amount(t) for t in ticks_y])
    if bottom < 0:
        axes.axhline(0, color=axes.spines["bottom"].get_edgecolor(), linewidth=0.7)
    name_ends(sheet, arms, [c[1] for c in curves], lambda v: (top - v) / (top - bottom), place, values=ends)
    ticks = ticks_under(place, _months({0.0, *months}, horizon), (0.0, horizon), rows)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    x_title(sheet, place, str(options.get("xlabel", "Months from the index date")))
    for head, block in blocks:
        people(sheet, axes, place, head, block, ticks)
    foot(sheet, options, bands=has_bands(frame))


def _cumulative(arm: Arm, horizon: float, factor: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return month, cost, low, high: from nothing at the index date up to the first value that is not known."""
    x, cost, low, high = (numbers(arm.rows, c) for c in ("month", "cost", "low", "high"))
    order = np.argsort(x, kind="stable")
    x, cost, low, high = (v[order] for v in (x, cost, low, high))
    keep = np.logical_and.accumulate(np.isfinite(cost) & (x <= horizon))
    x, cost, low, high = x[keep], *(v[keep] / factor for v in (cost, low, high))
    if len(x) and x[0] > 0:
        x, cost, low, high = (np.insert(v, 0, 0.0) for v in (x, cost, low, high))
    return x, cost, low, high


def _end(curve: tuple[Floats, Floats, Floats, Floats], horizon: float, unit: str) -> str:
    """Return the cost at the end of a curve, with the month where that is not the horizon."""
    x, cost = curve[0], curve[1]
    if not len(x):
        return "not shown"
    shown = say.money(float(cost[-1]), currency_of(unit), 0 if abs(cost[-1]) >= 100 else 2)
    return shown if x[-1] == horizon else f"{shown} by month {plain(float(x[-1]))}"


def _blocks(sheet: Sheet, frame: pd.DataFrame, arms: list[Arm]) -> list[tuple[str, Rows]]:
    """Return the blocks of counts under the axis, of what the frame has: those still observed, and the dead."""
    blocks: list[tuple[str, Rows]] = []
    if "n_observed" in frame.columns:
        blocks.append(("Still observed", [(arm, cells_of(arm, "month", "n_observed")) for arm in arms]))
    if "deaths" in frame.columns:
        cells = [(arm, _deaths(arm, "\n" if sheet.narrow else " ")) for arm in arms]
        blocks.append(("Deaths so far, n (%)", cells))
    return blocks


def _deaths(arm: Arm, between: str) -> dict[float, str]:
    """Return the deaths up to each month with their share: as given, else of those observed at the index date."""
    months, dead, share = (numbers(arm.rows, c) for c in ("month", "deaths", "death_risk"))
    if "death_risk" not in arm.rows.columns:
        start = numbers(arm.rows, "n_observed")[months == 0]
        share = dead / start[0] if len(start) and start[0] > 0 else np.full(len(dead), math.nan)
    cells = {}
    for month, n, of, gone, text in zip(
        months.tolist(), dead, share, printed(arm.rows, "deaths"), counts(arm.rows, "deaths"), strict=True
    ):
        known = not gone and math.isfinite(n) and math.isfinite(of)
        cells[month] = f"{text}{between}({say.percent(of)})" if known else text
    return cells


def _months(known: set[float], horizon: float) -> list[list[float]]:
    """Return sets of months to label, densest first; the horizon is kept where it fits."""
    every = sorted(m for m in known if 0 <= m <= horizon)
    sets = [every]
    for step in (2, 3, 4, 6, 12, 24):
        some = [m for m in every if m % step == 0]
        if len(some) > 1:
            sets += [sorted({*some, every[-1]}), some]
    return [*sets, [every[0], every[-1]], [every[-1]]]
