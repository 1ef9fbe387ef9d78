"""Curves over time with the people behind them: cumulative risk, and cost by month from the index date."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, clip, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    apart,
    counts,
    currency_of,
    fit,
    linear_ticks,
    numbers,
    percent_tick,
    plain,
    unseen,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEIGHT = 2.5
INTERVAL = "95% confidence intervals"
#: A band that reaches higher than so many times the highest curve runs out of the picture.
BAND = 2.5


@dataclass(frozen=True)
class _Arm:
    """One arm: its name, its look, and its rows."""

    name: str
    look: dict[str, Any]
    rows: pd.DataFrame


@dataclass(frozen=True)
class _Frame:
    """Where the plot stands on the sheet."""

    left: float
    width: float
    label_room: float


def _arms(frame: pd.DataFrame, *, marked: bool) -> list[_Arm]:
    names = words(frame, "arm")
    arms = []
    for i, name in enumerate(dict.fromkeys(names)):
        n = i % len(style.SERIES)
        look: dict[str, Any] = {"color": style.SERIES[n], "linestyle": style.LINES[n]}
        if marked:
            look |= {"marker": style.MARKERS[n], "markersize": 3.6}
        arms.append(_Arm(name or "Arm without a name", look, frame[[other == name for other in names]]))
    return arms


def survival(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cumulative risk of each arm as steps with bands, and the numbers at risk under the ticks."""
    kinds = np.array(words(frame, "kind"))
    arms = _arms(frame[kinds == "curve"], marked=False)
    table = _arms(frame[kinds == "at risk"], marked=False)
    if not np.isfinite(numbers(frame[kinds == "curve"], "risk")).any():
        sheet.nothing(_why("risk", unseen(frame, "n_risk")))
        return
    times = numbers(frame, "time")
    horizon = float(options.get("horizon") or np.nanmax(times)) or 1.0
    curves = [_steps(arm, _last_known(table, arm.name), horizon) for arm in arms]
    top = _ceiling([c[1] for c in curves], [c[3] for c in curves], 1.0)
    ticks_y = linear_ticks(0, top, 6)
    landmarks = sorted({float(t) for t in numbers(frame[kinds == "at risk"], "time") if 0 <= t <= horizon})
    rows = [(arm, _cells(arm, "time", "n_risk")) for arm in table]
    place = _place(sheet, [arm.name for arm in arms], rows, [percent_tick(t) for t in ticks_y])
    _above(sheet, str(options.get("ylabel", "Cumulative risk")))
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    for arm, (x, risk, low, high) in zip(arms, curves, strict=True):
        axes.fill_between(x, low, high, step="post", facecolor=arm.look["color"], alpha=0.16, linewidth=0)
        axes.plot(x, risk, drawstyle="steps-post", **arm.look)
    axes.set_xlim(0, horizon)
    axes.set_ylim(0, top)
    axes.set_yticks(ticks_y, [percent_tick(t) for t in ticks_y])
    _direct_labels(sheet, arms, [c[1] for c in curves], lambda v: 1 - v / top, place)
    wanted = [landmarks, landmarks[::2], [landmarks[0], landmarks[-1]]] if landmarks else []
    ticks = _under_axis(sheet, axes, place, wanted or [linear_ticks(0, horizon, 6)], horizon, 0.0, rows)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    _people(sheet, axes, place, str(options.get("xlabel", "Days from index")), "Number at risk", rows, ticks)
    _foot(sheet, options, bands=_has_bands(frame))


def _last_known(table: list[_Arm], name: str) -> float:
    """Return the last landmark at which the arm still has persons and a risk that may be shown."""
    for arm in table:
        if arm.name == name:
            known = np.isfinite(numbers(arm.rows, "risk")) & (numbers(arm.rows, "n_risk") > 0)
            return float(numbers(arm.rows, "time")[known].max(initial=0.0))
    return 0.0


def _steps(arm: _Arm, last: float, horizon: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Return time, risk, low, high of a curve: up to the first hidden value, else to the last landmark known."""
    x, risk, low, high = (numbers(arm.rows, c) for c in ("time", "risk", "low", "high"))
    keep = np.logical_and.accumulate(np.isfinite(risk) & (x <= horizon))
    x, risk, low, high = (v[keep] for v in (x, risk, low, high))
    if len(x) and last > x[-1]:
        x = np.append(x, min(last, horizon))
        risk, low, high = (np.append(v, v[-1]) for v in (risk, low, high))
    return x, risk, low, high


def _ceiling(lines: Sequence[Floats], bands: Sequence[Floats], most: float) -> float:
    """Return the top of the axis: above every curve and above the bands, unless those reach absurdly high."""
    highest = max((float(v[np.isfinite(v)].max(initial=0.0)) for v in lines), default=0.0)
    widest = max((float(v[np.isfinite(v)].max(initial=0.0)) for v in bands), default=0.0)
    if highest <= 0:
        return min(most, max(widest, 0.01) * 1.05)
    return min(most, 1.06 * max(highest, min(widest, BAND * highest)))


def _cells(arm: _Arm, at: str, column: str) -> dict[float, str]:
    """Return the count to print at each place of the axis."""
    return dict(zip(numbers(arm.rows, at).tolist(), counts(arm.rows, column), strict=True))


def _why(what: str, hidden: str) -> str:
    """Say why no value is drawn."""
    return f"every {what} rests on too few persons to show ({hidden})." if hidden else f"no {what} is known."


def _place(sheet: Sheet, names: list[str], rows: list[tuple[_Arm, dict[float, str]]], y_labels: list[str]) -> _Frame:
    """Share the width out between the labels on the left, the plot and the names of the curves on the right."""
    ticks = max(width_of(t, SMALL) for t in y_labels) * SLACK + 0.08
    first = max((width_of(next(iter(c.values()), ""), SMALL) / 2 for _, c in rows), default=0.0)
    named = 0.0
    if rows and not sheet.narrow:
        named = min(max(width_of(arm.name, SMALL) for arm, _ in rows) * SLACK, 1.35) + first + 0.1
    left = sheet.left + max(ticks, named, first + 0.02)
    label_room = min(max(width_of(n, SMALL) for n in names) * SLACK + 0.4, sheet.body * (0.3 if sheet.narrow else 0.24))
    return _Frame(left, sheet.right - label_room - left, label_room)


def _above(sheet: Sheet, title: str) -> None:
    """Write the title of the vertical axis above it, where long ones can be read."""
    sheet.paragraph(title, weight="bold", gap=0.08)


def _direct_labels(
    sheet: Sheet, arms: list[_Arm], lines: list[Floats], place: Callable[[float], float], frame: _Frame
) -> None:
    """Name each curve at the right of the plot, level with its end where there is room, with a sample of its line."""
    x = frame.left + frame.width + 0.08
    most = max(1, int(HEIGHT / len(arms) / height_of("0", SMALL)) - 1)
    texts = [clip(wrap(arm.name, frame.label_room - 0.38, SMALL), most) for arm in arms]
    ends = [float(v[np.isfinite(v)][-1]) if np.isfinite(v).any() else 0.0 for v in lines]
    wanted = [min(max(place(end), 0.0), 1.0) * HEIGHT for end in ends]
    for i, middle in _spread(wanted, [height_of(t, SMALL) + 0.04 for t in texts], HEIGHT):
        y = sheet.y - HEIGHT + middle
        sheet.line((x, x + 0.24), (y, y), **{**arms[i].look, "linewidth": 1.5, "marker": None})
        if "marker" in arms[i].look:
            sheet.line((x + 0.12, x + 0.12), (y, y), **{**arms[i].look, "linestyle": "none"})
        sheet.text(x + 0.3, y, texts[i], SMALL, va="center")


def _spread(wanted: list[float], heights: list[float], room: float) -> list[tuple[int, float]]:
    """Return (which, middle) with blocks moved down, then up, until none covers another."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    middles: dict[int, float] = {}
    edge = -0.1
    for i in order:
        middles[i] = max(wanted[i], edge + heights[i] / 2)
        edge = middles[i] + heights[i] / 2
    edge = max(room + 0.1, sum(heights) - 0.1)
    for i in reversed(order):
        middles[i] = min(middles[i], edge - heights[i] / 2)
        edge = middles[i] - heights[i] / 2
    return [(i, middles[i]) for i in order]


def _under_axis(
    sheet: Sheet, axes: Axes, place: _Frame, wanted: Sequence[Sequence[float]], high: float, low: float,
    rows: list[tuple[_Arm, dict[float, str]]],
) -> list[float]:  # fmt: skip
    """Return the first set of ticks at which neither tick labels nor the counts under them collide."""

    def inches(v: float) -> float:
        return (v - low) / (high - low) * place.width

    def roomy(ticks: Sequence[float]) -> bool:
        return all(apart([(inches(t), cells.get(t, "")) for t in ticks]) for _, cells in rows)

    good = [ticks for ticks in wanted if roomy(ticks)]
    return fit(good or [wanted[-1]], inches, plain)


def _people(
    sheet: Sheet, axes: Axes, place: _Frame, xlabel: str, head: str, rows: list[tuple[_Arm, dict[float, str]]],
    ticks: list[float],
) -> None:  # fmt: skip
    """Write the axis title and, below it, a row of counts for each arm, each count under its tick."""
    sheet.take(0.05 + height_of("0", SMALL) + 0.03)
    lines = wrap(xlabel, sheet.body)
    half = width_of(lines) * SLACK / 2
    centre = min(max(place.left + place.width / 2, sheet.left + half), sheet.right - half)
    sheet.text(centre, sheet.take(height_of(lines) + 0.05), lines, ha="center")
    if not rows:
        return
    sheet.text(sheet.left, sheet.take(height_of(head, SMALL) + 0.03), head, SMALL, weight="bold")
    for arm, cells in rows:
        if sheet.narrow:
            sheet.paragraph(arm.name, TINY, color=style.MUTED, gap=0.0)
            y, tall = sheet.y, height_of("0", SMALL) + 0.04
        else:
            room = place.left - sheet.left - max(width_of(t, SMALL) for t in cells.values()) / 2 - 0.06
            name = wrap(arm.name, room, SMALL)
            y, tall = sheet.y, height_of(name, SMALL) + 0.04
            sheet.text(sheet.left, y, name, SMALL)
        for tick in ticks:
            if tick in cells:
                sheet.at_tick(axes, tick, y, cells[tick])
        sheet.take(tall)


def _foot(sheet: Sheet, options: Mapping[str, Any], *, bands: bool) -> None:
    """Write below everything what the bands are and how the arms were made comparable."""
    adjustment = " ".join(str(options.get("adjustment") or "").split())
    parts = [f"Bands: {options.get('interval', INTERVAL)}."] if bands else []
    parts += [f"Adjustment: {adjustment}."] if adjustment else []
    if parts:
        sheet.take(0.03)
        sheet.paragraph(" ".join(parts), TINY, color=style.MUTED)


def _has_bands(frame: pd.DataFrame) -> bool:
    return bool((np.isfinite(numbers(frame, "low")) & np.isfinite(numbers(frame, "high"))).any())


def cost_trend(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the cost per member-month of each arm by month, with a line at the index date and who is behind it."""
    frame = frame.assign(_x=[m + 0.5 if m < 0 else m - 0.5 for m in numbers(frame, "month")])
    arms = _arms(frame, marked=True)
    pmpm = [numbers(arm.rows, "pmpm") for arm in arms]
    if not any(np.isfinite(v).any() for v in pmpm):
        sheet.nothing(_why("cost", unseen(frame, "persons")))
        return
    unit = str(options.get("currency") or "")
    currency = currency_of(unit)
    bottom, top = _cost_range(frame)
    ticks_y = linear_ticks(bottom, top, 6)

    def amount(value: float) -> str:
        if not currency:
            return plain(value)
        return say.money(value, currency, 0 if all(t == round(t) for t in ticks_y) else 2)

    column = "persons" if "persons" in frame.columns else "member_months"
    rows = [(arm, _cells(arm, "_x", column)) for arm in arms] if column in frame.columns else []
    place = _place(sheet, [arm.name for arm in arms], rows, [amount(t) for t in ticks_y])
    _above(sheet, f"Cost per member-month{f', {unit}' if unit else ''}")
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
    _direct_labels(sheet, arms, pmpm, lambda v: (top - v) / (top - bottom), place)
    months = dict(zip(frame["_x"].tolist(), numbers(frame, "month").tolist(), strict=True))
    ticks = _under_axis(sheet, axes, place, _month_sets(months), high, low, rows)
    axes.set_xticks(ticks, [plain(months[t]) for t in ticks])
    _people(
        sheet,
        axes,
        place,
        "Month from the index date",
        "Persons" if column == "persons" else "Member-months",
        rows,
        ticks,
    )
    _foot(sheet, options, bands=_has_bands(frame))


def _cost_range(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis of cost: 0 always in sight, bands whole unless they reach absurdly far."""
    pmpm, low, high = (numbers(frame, c) for c in ("pmpm", "low", "high"))
    top = _ceiling([pmpm], [high], math.inf)
    finite = pmpm[np.isfinite(pmpm)]
    lowest, band = float(finite.min(initial=0.0)), float(low[np.isfinite(low)].min(initial=0.0))
    bottom = min(lowest, max(band, -0.25 * top)) if lowest >= 0 else max(min(lowest, band), BAND * lowest)
    return bottom * 1.06, max(top, 0.0) if top > 0 else 1.0


def _halves(axes: Axes, arm: _Arm) -> None:
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
