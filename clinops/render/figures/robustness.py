"""How far an answer moves: the specification curve, and the tipping points of a confounder that nobody measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render.figures.curves import INTERVAL, Plot, amounts, axis_head, foot, ticks_under, why, x_title
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    alike,
    currency_of,
    finite,
    labels,
    linear_ticks,
    log_ticks,
    percent_tick,
    plain,
    unseen,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PANEL = 2.0
#: The room of one row of choices.
ROW = 0.165
MARK: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 2.6, "color": style.EXPOSED}
MAIN: dict[str, Any] = {
    "marker": "D", "linestyle": "none", "markersize": 5.4, "markerfacecolor": style.COMPARATOR,
    "markeredgecolor": "white", "markeredgewidth": 0.6,
}  # fmt: skip
TICK: dict[str, Any] = {
    "marker": "|",
    "linestyle": "none",
    "markersize": 6.5,
    "markeredgewidth": 1.1,
    "color": style.INK,
}
CURVES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("estimate", "The estimate is no effect", {"color": style.EXPOSED, "linestyle": "-", "linewidth": 1.6}),
    ("limit", "The interval holds no effect", {"color": style.COMPARATOR, "linestyle": "--", "linewidth": 1.6}),
)
#: A tipping curve is cut where the association is so many times that at a gap of one half.
STEEP = 10.0


def specification_curve(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw every estimate from the least to the largest, and under it which choices each was made with."""
    estimate, low, high = (finite(frame, column) for column in ("estimate", "low", "high"))
    if not np.isfinite(estimate).any():
        sheet.nothing(why("estimate", unseen(frame, "estimate")))
        return
    order = np.argsort(np.where(np.isfinite(estimate), estimate, np.inf), kind="stable")
    frame = frame.iloc[order[: int(np.isfinite(estimate).sum())]].reset_index(drop=True)
    estimate, low, high = (finite(frame, column) for column in ("estimate", "low", "high"))
    main = np.array([bool(v) for v in frame["main"]]) if "main" in frame.columns else np.zeros(len(frame), dtype=bool)
    groups = [(name, labels(frame, name)) for name in options.get("groups", ()) if name in frame.columns]
    sheet.key([(MARK, f"One of {len(frame)} specifications"), *([(MAIN, "The main analysis")] if main.any() else [])],
              sheet.left, sheet.body)  # fmt: skip
    ticks, write = _amount_ticks(estimate, low, high, str(options.get("ylabel", "Difference")))
    room = _label_room(sheet, groups)
    left = max(room, max(width_of(write(t), SMALL) for t in ticks) * SLACK + 0.1)
    place = Plot(sheet.left + left, sheet.body - left - 0.08, 0.0)
    axis_head(sheet, str(options.get("ylabel", "Difference")))
    axes = sheet.axes(place.left, sheet.take(PANEL), place.width, PANEL)
    _points(axes, estimate, low, high, main, float(options.get("null", 0.0)))
    axes.set_yticks(ticks, alike([write(t) for t in ticks]))
    for name, levels in groups:
        _choices(sheet, place, name, levels, main)
    also = [f"Lines: {options.get('interval', INTERVAL)}.", "A mark in a row: made with that choice."]
    foot(sheet, options, bands=False, also=also)


def _amount_ticks(estimate: Floats, low: Floats, high: Floats, title: str) -> tuple[list[float], Any]:
    known = np.concatenate([v[np.isfinite(v)] for v in (estimate, low, high)])
    ticks = linear_ticks(float(min(known.min(), 0)), float(max(known.max(), 0)), 7)
    unit = title.partition(", ")[2]
    return ticks, amounts(ticks, unit) if currency_of(unit) else plain


def _points(axes: Axes, estimate: Floats, low: Floats, high: Floats, main: np.ndarray, null: float) -> None:
    at = np.arange(1, len(estimate) + 1)
    known = np.isfinite(low) & np.isfinite(high)
    clear = known & ((low > null) | (high < null))
    for rows, colour in ((known & ~clear, style.RULE), (clear, style.OKABE_ITO["sky"])):
        axes.vlines(at[rows], low[rows], high[rows], color=colour, linewidth=1.1, zorder=1)
    axes.axhline(null, color=style.INK, linewidth=0.8, zorder=2)
    axes.plot(at, estimate, zorder=3, **MARK)
    axes.plot(at[main], estimate[main], zorder=4, **MAIN)
    axes.set_xlim(0, len(estimate) + 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.margins(y=0.04)


def _label_room(sheet: Sheet, groups: Sequence[tuple[str, list[str]]]) -> float:
    longest = max((width_of(level, SMALL) for _, levels in groups for level in levels), default=0.0) * SLACK + 0.22
    return min(longest, 0.42 * sheet.body)


def _choices(sheet: Sheet, place: Plot, name: str, levels: list[str], main: np.ndarray) -> None:
    """Write the levels of one choice, a row each, with a mark under every specification that was made with it."""
    sheet.take(0.05)
    sheet.text(sheet.left, sheet.take(height_of(name, SMALL) + 0.02), name, SMALL, weight="bold")
    order = list(dict.fromkeys(levels))
    room = place.left - sheet.left - 0.1
    texts = [wrap(level, room, SMALL) for level in order]
    heights = [max(ROW, height_of(text, SMALL) + 0.03) for text in texts]
    top, middles, y = sheet.y, [], 0.0
    for i, (text, tall) in enumerate(zip(texts, heights, strict=True)):
        if i % 2 == 0:
            sheet.box(sheet.left, top + y, sheet.body, tall, facecolor=style.FAINT, edgecolor="none", zorder=-1)
        sheet.text(sheet.left + 0.1, top + y + tall / 2, text, SMALL, va="center")
        middles.append(y + tall / 2)
        y += tall
    sheet.take(y)
    axes = sheet.axes(place.left, top, place.width, y)
    axes.patch.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    at = np.arange(1, len(levels) + 1)
    for level, middle in zip(order, middles, strict=True):
        here = np.array([one == level for one in levels])
        axes.plot(at[here], np.full(int(here.sum()), middle), **TICK)
        axes.plot(at[here & main], np.full(int((here & main).sum()), middle), **{**TICK, "color": style.COMPARATOR,
                                                                                "markeredgewidth": 2.2})  # fmt: skip
    axes.set_xlim(0, len(levels) + 1)
    axes.set_ylim(y, 0)
    axes.set_xticks([])
    axes.set_yticks([])


def tipping(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw, for each gap between the arms, the association with the outcome at which the effect is explained."""
    gap = finite(frame, "gap")
    found = {name: finite(frame, name) for name, _, _ in CURVES}
    null, unit = float(options.get("null", 0.0)), str(options.get("unit") or "")
    log = null == 1.0
    drawn = {name: v for name, v in found.items() if (np.isfinite(v) & (v != null)).any()}
    if not drawn:
        sheet.nothing("no association of a confounder explains the effect, or none is needed.")
        return
    sheet.key([(look, said) for name, said, look in CURVES if name in drawn], sheet.left, sheet.body)
    low, high = _reach(drawn, null, log)
    ticks = log_ticks(low, high)[0] if log else linear_ticks(low, high, 7)
    write = plain if log or not currency_of(unit) else amounts(ticks, unit)
    left = max(width_of(write(t), SMALL) for t in ticks) * SLACK + 0.12
    place = Plot(sheet.left + left, sheet.body - left - 0.12, 0.0)
    axis_head(sheet, "Association of the confounder with the outcome" + ("" if log else f", {unit}" if unit else ""))
    axes = sheet.axes(place.left, sheet.take(PANEL * 1.15), place.width, PANEL * 1.15)
    axes.set_yscale("log" if log else "linear")
    axes.minorticks_off()
    for name, _, look in CURVES:
        if name in drawn:
            axes.plot(
                gap,
                np.clip(found[name], low / 10 if log else low * 3 - high * 2, high * 10 if log else high * 3),
                **look,
            )
    axes.axhline(null, color=style.INK, linewidth=0.8)
    axes.set_xlim(0, float(np.nanmax(gap)))
    axes.set_ylim(low, high)
    axes.set_yticks(ticks, alike([write(t) for t in ticks]))
    _gap_ticks(sheet, axes, place, gap)
    x_title(sheet, place, str(options.get("xlabel", "Difference in prevalence")))
    also = ["Further from no effect than a line: the confounder would explain it."]
    foot(sheet, options, bands=False, also=also)


def _gap_ticks(sheet: Sheet, axes: Axes, place: Plot, gap: Floats) -> None:
    most = float(np.nanmax(gap))
    sets = [linear_ticks(0, most, n) for n in (9, 6, 4, 3)]
    ticks = ticks_under(place, sets, (0.0, most), [], percent_tick)
    axes.set_xticks(ticks, [percent_tick(t) for t in ticks])


def _reach(drawn: Mapping[str, Floats], null: float, log: bool) -> tuple[float, float]:
    """From no effect to as far as is worth drawing: a confounder in a few percent explains nothing that can be."""
    known = [v[np.isfinite(v)] for v in drawn.values()]
    if log:
        ends = [float(np.quantile(np.abs(np.log(v)), 0.9)) for v in known]
        far = (
            math.exp(min(max(*ends, math.log(2)) * 1.15, math.log(30)))
            if len(ends) > 1
            else math.exp(min(max(ends[0], math.log(2)) * 1.15, math.log(30)))
        )
        above = any((v > 1).any() for v in known)
        below = any((v < 1).any() for v in known)
        return (1 / far if below else 0.95), (far if above else 1.05)
    far = max(float(np.abs(v[-1])) for v in known) * STEEP
    up = any((v > null).any() for v in known)
    down = any((v < null).any() for v in known)
    return (-far if down else 0.0), (far if up else 0.0)
