"""Curves over time with the people behind them: cumulative risk, and cost by month from the index date."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    amounts,
    arms_of,
    axis_head,
    ceiling,
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
from clinops.render.figures.sheet import TINY, Sheet, height_of, width_of
from clinops.render.figures.values import Floats, linear_ticks, numbers, percent_tick, plain, unseen, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def survival(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cumulative risk of each arm as steps with bands, and the numbers at risk under the ticks."""
    kinds = np.array(words(frame, "kind"))
    arms = arms_of(frame[kinds == "curve"], marked=False)
    table = arms_of(frame[kinds == "at risk"], marked=False)
    if not np.isfinite(numbers(frame[kinds == "curve"], "risk")).any():
        sheet.nothing(why("risk", unseen(frame, "n_risk")))
        return
    times = numbers(frame, "time")
    horizon = float(options.get("horizon") or np.nanmax(times)) or 1.0
    curves = [_steps(arm, _last_known(table, arm.name), horizon) for arm in arms]
    top = ceiling([c[1] for c in curves], [c[3] for c in curves], 1.0)
    ticks_y = linear_ticks(0, top, 6)
    landmarks = sorted({float(t) for t in numbers(frame[kinds == "at risk"], "time") if 0 <= t <= horizon})
    rows = [(arm, cells_of(arm, "time", "n_risk")) for arm in table]
    place = share_out(sheet, [arm.name for arm in arms], rows, [percent_tick(t) for t in ticks_y])
    axis_head(sheet, str(options.get("ylabel", "Cumulative risk")))
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    for arm, (x, risk, low, high) in zip(arms, curves, strict=True):
        axes.fill_between(x, low, high, step="post", facecolor=arm.look["color"], alpha=0.16, linewidth=0)
        axes.plot(x, risk, drawstyle="steps-post", **arm.look)
    axes.set_xlim(0, horizon)
    axes.set_ylim(0, top)
    axes.set_yticks(ticks_y, [percent_tick(t) for t in ticks_y])
    name_ends(sheet, arms, [c[1] for c in curves], lambda v: 1 - v / top, place)
    wanted = [landmarks, landmarks[::2], [landmarks[0], landmarks[-1]]] if landmarks else []
    ticks = ticks_under(place, wanted or [linear_ticks(0, horizon, 6)], (0.0, horizon), rows)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    x_title(sheet, place, str(options.get("xlabel", "Days from index")))
    people(sheet, axes, place, "Number at risk", rows, ticks)
    foot(sheet, options, bands=has_bands(frame))


def _last_known(table: list[Arm], name: str) -> float:
    """Return the last landmark at which the arm still has persons and a risk that may be shown."""
    for arm in table:
        if arm.name == name:
            known = np.isfinite(numbers(arm.rows, "risk")) & (numbers(arm.rows, "n_risk") > 0)
            return float(numbers(arm.rows, "time")[known].max(initial=0.0))
    return 0.0


def _steps(arm: Arm, last: float, horizon: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return time, risk, low, high of a curve: up to the first hidden value, else to the last landmark known."""
    x, risk, low, high = (numbers(arm.rows, c) for c in ("time", "risk", "low", "high"))
    keep = np.logical_and.accumulate(np.isfinite(risk) & (x <= horizon))
    x, risk, low, high = (v[keep] for v in (x, risk, low, high))
    if len(x) and last > x[-1]:
        x = np.append(x, min(last, horizon))
        risk, low, high = (np.append(v, v[-1]) for v in (risk, low, high))
    return x, risk, low, high


def cost_trend(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cost per member-month of each arm by month, with a line at the index date and who is behind it."""
    frame = frame.assign(_x=[m + 0.5 if m < 0 else m - 0.5 for m in numbers(frame, "month")])
    arms = arms_of(frame, marked=True)
    pmpm = [numbers(arm.rows, "pmpm") for arm in arms]
    if not any(np.isfinite(v).any() for v in pmpm):
        sheet.nothing(why("cost", unseen(frame, "persons")))
        return
    unit = str(options.get("currency") or "")
    bottom, top = cost_range(*(numbers(frame, c) for c in ("pmpm", "low", "high")))
    ticks_y = linear_ticks(bottom, top, 6)
    amount = amounts(ticks_y, unit)
    column = "persons" if "persons" in frame.columns else "member_months"
    rows = [(arm, cells_of(arm, "_x", column)) for arm in arms] if column in frame.columns else []
    place = share_out(sheet, [arm.name for arm in arms], rows, [amount(t) for t in ticks_y])
    axis_head(sheet, f"Cost per member-month{f', {unit}' if unit else ''}")
    label = "index date"
    low, high = min(0.0, *frame["_x"]) - 0.5, max(0.0, *frame["_x"]) + 0.5
    zero = place.left + (0 - low) / (high - low) * place.width
    sheet.text(
        min(zero, sheet.right - width_of(label, TINY) / 2 - 0.05),
        sheet.take(height_of(label, TINY) + 0.02),
        label,
        TINY,
        ha="center",
        color=style.MUTED,
    )
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    for arm in arms:
        _halves(axes, arm)
    axes.axvline(0, color=style.INK, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, [amount(t) for t in ticks_y])
    name_ends(sheet, arms, pmpm, lambda v: (top - v) / (top - bottom), place)
    months = dict(zip(frame["_x"].tolist(), numbers(frame, "month").tolist(), strict=True))
    ticks = ticks_under(place, _month_sets(months), (low, high), rows)
    axes.set_xticks(ticks, [plain(months[t]) for t in ticks])
    x_title(sheet, place, "Month from the index date")
    people(sheet, axes, place, "Persons" if column == "persons" else "Member-months", rows, ticks)
    foot(sheet, options, bands=has_bands(frame))


def _halves(axes: Axes, arm: Arm) -> None:
    """Draw an arm before and after the index date; the line is broken there, since day 0 belongs to neither."""
    x, y, low, high = (numbers(arm.rows, c) for c in ("_x", "pmpm", "low", "high"))
    order = np.argsort(x, kind="stable")
    x, y, low, high = (v[order] for v in (x, y, low, high))
    for side in (x < 0, x > 0):
        axes.fill_between(x[side], low[side], high[side], facecolor=arm.look["color"], alpha=0.16, linewidth=0)
        axes.plot(x[side], y[side], **arm.look)


def _month_sets(months: Mapping[float, float]) -> list[list[float]]:
    """Return sets of months to label, densest first; the months beside the index date are kept where they fit."""
    every = sorted(months)
    sets = [every]
    for step in (2, 3, 4, 6, 12):
        some = [x for x in every if months[x] % step == 0]
        sets += [sorted({*some, *(x for x in every if abs(months[x]) == 1)}), some]
    return [s for s in sets if s] + [[every[0]]]
