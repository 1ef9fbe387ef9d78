"""Money over time and over persons: cumulative cost from index, cost by calendar month, concentration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Plot,
    Rows,
    amounts,
    arms_of,
    axis_head,
    beside,
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
from clinops.render.figures.sheet import SLACK, TINY, Sheet, height_of, width_of
from clinops.render.figures.values import (
    NOT_SHOWN,
    Floats,
    counts,
    currency_of,
    finite,
    fit,
    linear_ticks,
    percent_tick,
    plain,
    printed,
    scaled,
    shares,
    unseen,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def cumulative_cost(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the mean cost per person from the index date to each month, with who is still observed and who died."""
    arms = arms_of(frame, marked=False)
    if not np.isfinite(finite(frame, "cost")).any():
        sheet.nothing(why("cost", unseen(frame, "n_observed", "deaths", "cost")))
        return
    factor, unit = scaled(finite(frame, "cost"), str(options.get("currency") or ""))
    months = finite(frame, "month")
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
    x, cost, low, high = (finite(arm.rows, c) for c in ("month", "cost", "low", "high"))
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
    months, dead, share = (finite(arm.rows, c) for c in ("month", "deaths", "death_risk"))
    if "death_risk" not in arm.rows.columns:
        start = finite(arm.rows, "n_observed")[months == 0]
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


# -- By calendar month -------------------------------------------------------------------------------

#: Months closer than so many inches have a line without markers.
DENSE = 0.065


def cost_calendar(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cost per member-month of each arm by calendar month; months whose claims are incomplete are hollow."""
    frame = frame.assign(_x=[_month_number(value) for value in frame["month"]], _whole=_complete(frame))
    pmpm = finite(frame, "pmpm")
    if not np.isfinite(pmpm).any():
        sheet.nothing(why("cost", unseen(frame, "persons", "member_months", "pmpm")))
        return
    factor, unit = scaled(pmpm, str(options.get("currency") or ""))
    frame = frame.assign(**{c: finite(frame, c) / factor for c in ("pmpm", "low", "high")})
    arms = _named(frame)
    _once(arms)
    bottom, top = cost_range(*(finite(frame, c) for c in ("pmpm", "low", "high")))
    ticks_y = linear_ticks(bottom, top, 6)
    amount = amounts(ticks_y, unit)
    column = next((c for c in ("persons", "member_months") if c in frame.columns), "")
    rows = [(arm, cells_of(arm, "_x", column)) for arm in arms] if column else []
    place = share_out(sheet, [arm.name for arm in arms], rows, [amount(t) for t in ticks_y], ())
    axis_head(sheet, f"Cost per member-month{f', {unit}' if unit else ''}")
    low, high = frame["_x"].min() - 0.5, frame["_x"].max() + 0.5
    since = _run_out(frame)
    if since is not None:
        _mark_run_out(sheet, place, (since - 0.5 - low) / (high - low))
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    for arm in arms:
        _monthly(axes, arm, marked=place.width / (high - low) > DENSE)
    if since is not None:
        axes.axvline(since - 0.5, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, [amount(t) for t in ticks_y])
    if any(arm.name for arm in arms):
        name_ends(sheet, arms, [finite(arm.rows, "pmpm") for arm in arms], lambda v: (top - v) / (top - bottom), place)
    ticks = ticks_under(place, _calendar(frame["_x"].tolist()), (low, high), rows, _month_name)
    axes.set_xticks(ticks, [_month_name(t) for t in ticks])
    x_title(sheet, place, str(options.get("xlabel", "Calendar month")))
    people(sheet, axes, place, "Persons" if column == "persons" else "Member-months", rows, ticks)
    foot(sheet, options, bands=has_bands(frame), also=_incomplete(frame, options))


def _named(frame: pd.DataFrame) -> list[Arm]:
    """Return the arms; a frame without arms is one line without a name."""
    arms = arms_of(frame, marked=True)
    return arms if "arm" in frame.columns else [replace(arm, name="") for arm in arms]


def _month_number(value: Any) -> int:
    """Return a month as a number that grows by one a month, from "2022-03", "2022-03-01" or a date."""
    found = re.match(r"(\d{4})-(\d{2})(?!\d)", str(value))
    if found is None or not 1 <= int(found[2]) <= 12:
        raise DataError(f'A calendar month is a date or a text such as "2022-03", not {value!r}.')
    return 12 * int(found[1]) + int(found[2]) - 1


def _once(arms: list[Arm]) -> None:
    """Refuse a month that an arm has twice: one of its costs would be lost."""
    for arm in arms:
        twice = arm.rows["_x"][arm.rows["_x"].duplicated()]
        if len(twice):
            raise DataError(
                f"{arm.name or 'The frame'} has the month {_month_name(twice.iloc[0])} in more than one row; "
                "a figure by calendar month takes one row an arm and month."
            )


def _month_name(number: float) -> str:
    return f"{int(number) // 12:04d}-{int(number) % 12 + 1:02d}"


def _complete(frame: pd.DataFrame) -> list[bool]:
    """Return whether the claims of each row's month are complete; where nothing is said, they are."""
    if "complete" not in frame.columns:
        return [True] * len(frame)
    return [not (value in (False, 0) or str(value).lower() in ("false", "no")) for value in frame["complete"]]


def _run_out(frame: pd.DataFrame) -> int | None:
    """Return the first month from which on no month is complete; None where the last month is."""
    whole = frame.loc[frame["_whole"], "_x"]
    last = int(whole.max()) if len(whole) else int(frame["_x"].min()) - 1
    later = frame.loc[frame["_x"] > last, "_x"]
    return int(later.min()) if len(later) else None


def _mark_run_out(sheet: Sheet, place: Plot, share: float) -> None:
    """Say above the plot what the dashed line is, clear of the names beside the plot."""
    label = "claims incomplete from here"
    half = width_of(label, TINY) * SLACK / 2
    at = max(min(place.left + share * place.width, place.left + place.width - half), sheet.left + half)
    sheet.text(at, sheet.take(height_of(label, TINY) + 0.02), label, TINY, ha="center", color=style.MUTED)


def _monthly(axes: Axes, arm: Arm, *, marked: bool) -> None:
    """Draw an arm: broken at months that are not there, dotted and hollow where claims are incomplete."""
    x = finite(arm.rows, "_x").astype(int)
    every = np.arange(x.min(), x.max() + 1)
    y, low, high, whole = (np.full(len(every), math.nan) for _ in range(4))
    for values, column in ((y, "pmpm"), (low, "low"), (high, "high"), (whole, "_whole")):
        values[x - x.min()] = finite(arm.rows, column)
    axes.fill_between(every, low, high, facecolor=arm.look["color"], alpha=0.16, linewidth=0)
    part = whole == 0
    near = part | np.append(part[1:], False) | np.insert(part[:-1], 0, False)
    if part.any():
        axes.plot(every, np.where(near, y, math.nan), color=arm.look["color"], linewidth=0.9, linestyle=(0, (1, 1.5)))
        hollow = {**arm.look, "linestyle": "none", "markerfacecolor": "white"}
        axes.plot(every, np.where(part, y, math.nan), **hollow, zorder=3)
    axes.plot(every, np.where(part, math.nan, y), **(arm.look if marked else {**arm.look, "marker": None}))


def _calendar(months: list[int]) -> list[list[float]]:
    """Return sets of months to label, densest first: all, quarters, half-years, Januaries."""
    every = range(min(months), max(months) + 1)
    sets = [[float(m) for m in every if m % step == 0] for step in (1, 3, 6, 12, 24, 36, 48, 60, 120)]
    return [s for s in sets if s] + [[float(every[0])]]


def _incomplete(frame: pd.DataFrame, options: Mapping[str, Any]) -> list[str]:
    run_out = " ".join(str(options.get("run_out") or "").split()).rstrip(".")
    if frame["_whole"].all():
        return [f"{run_out}."] if run_out else []
    return [f"Hollow, dotted: months whose claims are incomplete{f' ({run_out})' if run_out else ''}."]


# -- Concentration -----------------------------------------------------------------------------------

TOP = (0.01, 0.05, 0.1)
SQUARE = 2.9


def concentration(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the share of cost of the most costly share of persons, and what the top few per cent cost."""
    share = finite(frame, "share_cost")
    if not np.isfinite(share).any():
        sheet.nothing(why("share of cost", unseen(frame, "share_cost", "share_persons", "persons")))
        return
    arms = [replace(arm, look={**arm.look, "marker": None}) for arm in _named(frame)]
    curves = [_lorenz(arm) for arm in arms]
    most = max(1.0, float(np.nanmax(share)))
    bottom, top = min(0.0, 1.03 * float(np.nanmin(share))), most * 1.03
    ticks_y = linear_ticks(bottom, top, 6)
    place = share_out(sheet, [arm.name for arm in arms], [], [percent_tick(t) for t in ticks_y], ())
    axis_head(sheet, str(options.get("ylabel", "Share of all cost")))
    axes = sheet.axes(place.left, sheet.take(SQUARE), place.width, SQUARE)
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
    tops = [float(p) for p in options.get("top", TOP)]
    for p in tops:
        axes.axvline(p, color=style.RULE, linewidth=0.7, zorder=1)
    cells = []
    for n, (arm, (x, y)) in enumerate(zip(arms, curves, strict=True)):
        axes.plot(x, y, **arm.look)
        found = np.interp(tops, x, y, right=math.nan) if len(x) else np.full(len(tops), math.nan)
        axes.plot(tops, found, linestyle="none", marker=style.MARKERS[n % len(style.MARKERS)], markersize=4,
                  color=arm.look["color"], zorder=4)  # fmt: skip
        missing = NOT_SHOWN if any(printed(arm.rows, "share_cost")) else say.DASH
        cells.append((arm.name, [say.percent(v) if math.isfinite(v) else missing for v in found]))
    axes.set_xlim(0, 1)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, [percent_tick(t) for t in ticks_y])
    if any(arm.name for arm in arms):
        ends = [y for _, y in curves]
        name_ends(sheet, arms, ends, lambda v: (top - v) / (top - bottom), place, height=SQUARE)
    sets = [[i / n for i in range(n + 1)] for n in (10, 5, 4, 2, 1)]
    xs = fit(sets, lambda v: v * place.width, percent_tick)
    axes.set_xticks(xs, [percent_tick(t) for t in xs])
    x_title(sheet, place, str(options.get("xlabel", "Share of persons, the most costly first")))
    if tops:
        beside(sheet, "Share of cost of the top", [percent_tick(p) for p in tops], cells)
    foot(sheet, options, bands=False, also=["Dashed grey line: if everybody cost the same."])


def _lorenz(arm: Arm) -> tuple[Floats, Floats]:
    """Return a curve from nobody and no cost on; an unknown share breaks it."""
    x, y = shares(arm.rows, "share_persons"), finite(arm.rows, "share_cost")
    x, y = x[np.isfinite(x)], y[np.isfinite(x)]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) and x[0] > 0:
        x, y = np.insert(x, 0, 0.0), np.insert(y, 0, 0.0)
    return x, y
