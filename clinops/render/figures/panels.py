"""Sites over calendar time: who starts when, means of cohorts, effects by time since the start, and one series."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Plot,
    amounts,
    arms_of,
    axis_head,
    cells_of,
    foot,
    name_ends,
    people,
    share_out,
    ticks_under,
    why,
    x_title,
)  # fmt: skip
from clinops.render.figures.sheet import SLACK, TINY, Sheet, clip, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    alike,
    counts,
    currency_of,
    finite,
    linear_ticks,
    percent_tick,
    plain,
    unseen,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

ROW, THIN, NAMED = 0.17, 0.07, 60
"""Height of a site's row, with its name and without, and up to how many sites have one."""
DASHED = (0, (4, 2))
STEPS = (1, 2, 3, 4, 6, 12, 24)


def roll_out(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a row for each site, light before its start and dark from then on, the earliest on top."""
    names = [str(name) for name in options.get("periods", ())]
    start = finite(frame, "start")
    last = float(max(len(names), int(np.nanmax(start, initial=0.0)) + 1, 1))
    start = np.where(start < 0, 0.0, np.where(start < last, start, math.nan))
    order = np.argsort(np.where(np.isfinite(start), start, math.inf), kind="stable")
    said = words(frame, "date")
    texts = [said[i] or "Never" for i in order]
    named = len(order) <= NAMED
    most = sheet.body * 0.3
    sites = [clip(wrap(words(frame, "site")[i] or "Site without a name", most, TINY), 1) for i in order]
    left = sheet.left + (max(width_of(site, TINY) for site in sites) * SLACK + 0.08 if named else 0.0)
    room = max(width_of(text, TINY) for text in texts) * SLACK + 0.1 if named else 0.0
    place = Plot(left, sheet.right - room - left, room)
    sheet.key(
        [({"facecolor": style.RULE, "edgecolor": style.RULE}, "Before"),
         ({"facecolor": style.EXPOSED, "edgecolor": style.EXPOSED}, "From the start on")], sheet.left, sheet.body,
    )  # fmt: skip
    tall = ROW if named else THIN
    axes = sheet.axes(place.left, sheet.take(tall * len(order)), place.width, tall * len(order))
    for row, i in enumerate(order):
        begun = start[i] if np.isfinite(start[i]) else last
        axes.barh(row, begun, left=0, height=0.62, color=style.RULE, linewidth=0)
        axes.barh(row, last - begun, left=begun, height=0.62, color=style.EXPOSED, linewidth=0)
        if named:
            y = sheet.y - tall * (len(order) - row) + (tall - height_of("0", TINY)) / 2
            sheet.text(place.left - 0.06, y, sites[row], TINY, ha="right")
            sheet.text(place.left + place.width + 0.06, y, texts[row], TINY, color=style.MUTED)
    axes.set_xlim(0, last)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _calendar(axes, place, names or [str(i + 1) for i in range(int(last))], (0.0, last), middle=0.5)
    x_title(sheet, place, str(options.get("xlabel", "Calendar period")))
    foot(sheet, options, bands=False)


def panel_trend(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the mean of each cohort by period, hollow before its start and filled from then on."""
    if not np.isfinite(finite(frame, "value")).any():
        sheet.nothing(why("value", unseen(frame, "value", "events", "n", "persons")))
        return
    names = list(dict.fromkeys(words(frame, "period")))
    frame = frame.assign(_x=[float(names.index(p)) for p in words(frame, "period")])
    arms = arms_of(frame, marked=True)
    lines = [finite(arm.rows, "value") for arm in arms]
    bottom, top, ticks_y, texts = _scale(lines, options)
    place = share_out(sheet, [arm.name for arm in arms], [], texts)
    axis_head(sheet, str(options.get("ylabel", "Mean")))
    ends = (-0.5, len(names) - 0.5)
    axes = sheet.axes(place.left, sheet.take(HEIGHT + 0.4), place.width, HEIGHT + 0.4)
    for arm, line in zip(arms, lines, strict=True):
        x = finite(arm.rows, "_x")
        axes.plot(x, line, **{**arm.look, "marker": None, "linewidth": 1.2})
        under = np.array([phase == str(options.get("after", "after")) for phase in words(arm.rows, "phase")])
        hollow = {"linestyle": "none", "color": arm.look["color"], "marker": arm.look["marker"], "markersize": 3.6}
        axes.plot(x[~under], line[~under], **hollow, markerfacecolor="white", markeredgewidth=0.9)
        axes.plot(x[under], line[under], **hollow)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, texts)
    axes.set_xlim(*ends)
    name_ends(sheet, arms, lines, lambda v: (top - v) / (top - bottom), place, height=HEIGHT + 0.4)
    _calendar(axes, place, names, ends)
    x_title(sheet, place, str(options.get("xlabel", "Calendar period")))
    gone = unseen(frame, "value", "events", "n", "persons")
    also = ["Hollow: before the start; filled: from it on."]
    also += [f"Means that rest on too few are not drawn ({gone})."] if gone else []
    foot(sheet, options, bands=False, also=also)


def event_study(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the effect at each time since the start with its interval, and thinner the band that holds all at once."""
    since, value = finite(frame, "since"), finite(frame, "estimate")
    known = np.isfinite(since) & np.isfinite(value)
    if not known.any():
        sheet.nothing(why("estimate", unseen(frame, "estimate")))
        return
    ends = [finite(frame, name) for name in ("low", "high", "band_low", "band_high")]
    bottom, top, ticks_y, texts = _scale([value, *ends, np.zeros(1)], options, zero=False)
    pieces = frame.assign(_x=since)
    row = [(Arm("Sites", {}, pieces), cells_of(Arm("", {}, pieces), "_x", "sites"))] if "sites" in frame.columns else []
    place = share_out(sheet, [""], row, texts)
    place = Plot(place.left, sheet.right - place.left - 0.08, 0.0)
    sheet.key(
        [({"marker": "o", "color": style.EXPOSED, "linestyle": "none", "markersize": 4.5}, "From the start on"),
         ({"marker": "s", "color": style.COMPARATOR, "linestyle": "none", "markersize": 4.5,
           "markerfacecolor": "white"}, "Before it: a check, and no effect")], sheet.left, sheet.body,
    )  # fmt: skip
    axis_head(sheet, str(options.get("ylabel", "Effect")))
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.axvline(-0.5, color=style.MUTED, linewidth=0.8, linestyle=DASHED)
    for side, color, marker, face in (
        (known & (since < 0), style.COMPARATOR, "s", "white"),
        (known & (since >= 0), style.EXPOSED, "o", style.EXPOSED),
    ):
        low, high, under, over = (end[side] for end in ends)
        axes.vlines(since[side], under, over, color=color, linewidth=0.7)
        axes.vlines(since[side], low, high, color=color, linewidth=2.0)
        axes.plot(since[side], value[side], linestyle="none", marker=marker, markersize=4.5, color=color,
                  markerfacecolor=face, markeredgewidth=1.1)  # fmt: skip
    edges = (float(np.nanmin(since)) - 0.6, float(np.nanmax(since)) + 0.6)
    axes.set_xlim(*edges)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, texts)
    every = sorted(set(since[np.isfinite(since)].tolist()))
    wanted = [[t for t in every if t % step == 0] for step in STEPS]
    ticks = ticks_under(place, [some for some in wanted if some] + [every[:1]], edges, row)
    axes.set_xticks(ticks, [plain(t) for t in ticks])
    x_title(sheet, place, str(options.get("xlabel", "Periods since the start")))
    people(sheet, axes, place, "Behind each estimate", row, ticks)
    bands = any(np.isfinite(end).any() for end in ends[2:])
    also = [f"Thick: {options.get('interval', '95% confidence intervals')}."]
    also += [f"Thin: {options.get('band', '95% band that holds all of them at once')}."] if bands else []
    foot(sheet, options, bands=False, also=also)


def interrupted(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a series as points, what was fitted to it, and dashed what it would have been; a control below in colour."""
    if not np.isfinite(finite(frame, "value")).any():
        sheet.nothing(why("value", unseen(frame, "value", "events", "n", "persons")))
        return
    names = list(dict.fromkeys(words(frame, "period")))
    frame = frame.assign(_x=[float(names.index(p)) for p in words(frame, "period")])
    kinds = np.array(words(frame, "kind"))
    arms = arms_of(frame, marked=False)
    values = [finite(frame, name) for name in ("value", "low", "high")]
    bottom, top, ticks_y, texts = _scale(values, options)
    size = next((name for name in ("persons", "n") if name in frame.columns), "")
    rows = [(arm, _observed(arm, size)) for arm in arms] if size else []
    place = share_out(sheet, [arm.name for arm in arms], rows, texts)
    place = Plot(place.left, sheet.right - place.left - 0.08, 0.0)
    sheet.key(_samples(arms, kinds), sheet.left, sheet.body)
    axis_head(sheet, str(options.get("ylabel", "Rate")))
    axes = sheet.axes(place.left, sheet.take(HEIGHT + 0.3), place.width, HEIGHT + 0.3)
    for i, arm in enumerate(arms):
        _one_series(axes, arm, marker=style.MARKERS[i % len(style.MARKERS)])
    start = options.get("start")
    if start is not None:
        phase = float(options.get("phase_in") or 0)
        axes.axvline(float(start) - 0.5, color=style.INK, linewidth=0.8, linestyle=DASHED)
        if phase:
            axes.axvspan(float(start) - 0.5, float(start) + phase - 0.5, color=style.FAINT, zorder=0)
    ends = (-0.5, len(names) - 0.5)
    axes.set_xlim(*ends)
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks_y, texts)
    ticks = _calendar(axes, place, names, ends, rows=rows)
    x_title(sheet, place, str(options.get("xlabel", "Calendar period")))
    people(sheet, axes, place, str(options.get("persons", "Persons")), rows, ticks)
    also = [f"Dashed line: {options['start_label']}."] if options.get("start_label") else []
    also += ["Grey: phase-in, left out."] if options.get("phase_in") else []
    foot(sheet, options, bands=bool(np.isfinite(values[1]).any()), also=also)


def _observed(arm: Arm, size: str) -> dict[float, str]:
    """The persons behind each observed point of a series."""
    kinds = np.array(words(arm.rows, "kind"))
    seen = Arm(arm.name, arm.look, arm.rows[kinds == "observed"])
    return dict(zip(finite(seen.rows, "_x").tolist(), counts(seen.rows, size), strict=True))


def _samples(arms: Sequence[Arm], kinds: Any) -> list[tuple[dict[str, Any], str]]:
    found: list[tuple[dict[str, Any], str]] = []
    for i, arm in enumerate(arms):
        marker = {"linestyle": "none", "marker": style.MARKERS[i % len(style.MARKERS)], "markersize": 3.4}
        found.append(({**marker, "color": arm.look["color"], "alpha": 0.75}, f"{arm.name}, observed"))
    look = arms[0].look["color"]
    if "fitted" in kinds:
        found.append(({"color": look, "linewidth": 1.4}, "Fitted"))
    if "counterfactual" in kinds:
        found.append(({"color": style.INK, "linewidth": 1.3, "linestyle": DASHED}, "Without the programme"))
    return found


def _one_series(axes: Axes, arm: Arm, marker: str) -> None:
    kinds = np.array(words(arm.rows, "kind"))
    color = arm.look["color"]
    for kind in ("counterfactual", "fitted", "observed"):
        rows = arm.rows[kinds == kind]
        x, value, low, high = (finite(rows, name) for name in ("_x", "value", "low", "high"))
        if kind == "observed":
            axes.plot(x, value, linestyle="none", marker=marker, markersize=3.4, color=color, alpha=0.75)
        elif kind == "fitted":
            for part in _runs(x):
                axes.plot(x[part], value[part], color=color, linewidth=1.4)
        elif len(x):
            axes.fill_between(x, low, high, facecolor=style.MUTED, alpha=0.16, linewidth=0)
            axes.plot(x, value, color=style.INK, linewidth=1.3, linestyle=DASHED)


def _runs(x: Floats) -> list[Any]:
    """Pieces without a gap, so that no line is drawn over periods that are left out."""
    return [part for part in np.split(np.arange(len(x)), np.flatnonzero(np.diff(x) > 1.5) + 1) if len(part)]


def _calendar(
    axes: Axes, place: Plot, names: Sequence[str], ends: tuple[float, float], *, middle: float = 0.0, rows: Any = ()
) -> list[float]:  # fmt: skip
    """Write periods under the axis, as many as there is room for; years from their first period on where few fit."""
    every = [i + middle for i in range(len(names))]
    january = [i + middle for i, name in enumerate(names) if name.endswith(("-01", "Q1"))]
    wanted = [every[::step] for step in STEPS[:3]] + ([january, january[::2]] if len(january) > 1 else [])
    wanted += [every[::step] for step in STEPS[3:]]
    ticks = ticks_under(place, [some for some in wanted if some], ends, list(rows), lambda t: names[int(t - middle)])
    axes.set_xticks(ticks, [names[int(t - middle)] for t in ticks])
    return ticks


def _scale(
    values: Sequence[Floats], options: Mapping[str, Any], *, zero: bool = True
) -> tuple[float, float, list[float], list[str]]:
    """Ends of the vertical axis, its ticks and their texts; 0 in sight where values are not far from it."""
    every = np.concatenate([np.atleast_1d(v) for v in values])
    every = every[np.isfinite(every)]
    low, high = float(every.min()), float(every.max())
    pad = 0.07 * ((high - low) or abs(high) or 1.0)
    bottom = 0.0 if zero and low >= 0 and low - pad < 0.45 * high else low - pad
    top = high + pad
    ticks = linear_ticks(bottom, top, 6)
    unit = str(options.get("currency") or "")
    if currency_of(unit):
        return bottom, top, ticks, [amounts(ticks, unit)(t) for t in ticks]
    how = percent_tick if options.get("percent") else plain
    return bottom, top, ticks, alike([how(t) for t in ticks])
