"""From effect to decision: the cost-effectiveness plane and the acceptability curve."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Ellipse

from clinops.errors import DataError, unknown
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import (
    HEIGHT,
    Arm,
    Plot,
    amounts,
    arms_of,
    axis_head,
    beside,
    foot,
    name_ends,
    share_out,
    x_title,
)  # fmt: skip
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    currency_of,
    finite,
    fit,
    inside,
    linear_ticks,
    numbers,
    percent_tick,
    plain,
    printed,
    scaled,
    shares,
    words,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: At most so many draws are drawn; the shares are of all of them.
MOST = 1_000
LEVEL = 0.95
#: A draw further from the middle than so many times the range of 98% of them is left out of the picture.
FAR = 1.0
#: Each side of zero has at least this share of the plot, so that every quadrant is one.
LEAST = 0.24
DRAW: dict[str, Any] = {
    "marker": "o",
    "markersize": 2.2,
    "linestyle": "none",
    "markerfacecolor": style.OKABE_ITO["sky"],
    "markeredgecolor": style.OKABE_ITO["sky"],
    "markeredgewidth": 0.3,
    "alpha": 0.55,
}
ESTIMATE: dict[str, Any] = {
    "marker": "D",
    "markersize": 6.0,
    "linestyle": "none",
    "markerfacecolor": style.INK,
    "markeredgecolor": "white",
    "markeredgewidth": 0.9,
}
ELLIPSE: dict[str, Any] = {"color": style.OKABE_ITO["blue"], "linestyle": "-", "linewidth": 1.2}
WORTH = [style.OKABE_ITO[name] for name in ("vermillion", "purple", "green", "orange")]
DASHES = ((0, (5, 2)), (0, (1, 1.3)), (0, (6, 1.5, 1, 1.5)), (0, (9, 2)))
KINDS = ("draw", "estimate")


#: An ellipse: its width, height, angle in degrees, and centre.
_Oval = tuple[float, float, float, Floats]


@dataclass(frozen=True)
class _Range:
    """The ends of both axes."""

    left: float
    right: float
    bottom: float
    top: float


def ce_plane(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the draws of the difference in effect and in cost, the estimate, and what an effect may cost."""
    kinds = np.array(words(frame, "kind"))
    for kind in dict.fromkeys(kinds):
        if kind not in KINDS:
            raise DataError(unknown("kind of a row of a cost-effectiveness plane", str(kind), KINDS))
    effect, cost = numbers(frame, "effect"), numbers(frame, "cost")
    known = np.isfinite(effect) & np.isfinite(cost)
    if not known.any():
        hidden = any((*printed(frame, "effect"), *printed(frame, "cost")))
        sheet.nothing("every draw rests on too few persons to show." if hidden else "no draw and no estimate is known.")
        return
    draws = np.column_stack([effect, cost])[known & (kinds == "draw")]
    point = np.column_stack([effect, cost])[known & (kinds == "estimate")]
    thresholds = [float(t) for t in options.get("thresholds", ())]
    factor, unit = scaled(cost[known], str(options.get("currency") or ""))
    kept = _near(draws)
    drawn = kept[_some(len(kept))]
    axis_head(sheet, f"Difference in cost{f', {unit}' if unit else ''}")
    shown = np.vstack([kept, point, [[0.0, 0.0]]]) / [1.0, factor]
    whole = _ellipse(draws / [1.0, factor]) if options.get("ellipse", True) else None
    ellipse = whole if whole and _fits(whole, shown) else None
    sheet.key(_key(options, drawn, point, draws, ellipse, thresholds), sheet.left, sheet.body)
    place, height, ends = _frame(sheet, shown, unit)
    axes = sheet.axes(place.left, sheet.take(height), place.width, height)
    slopes = [threshold / factor for threshold in thresholds]
    _marks(axes, ends, drawn / [1.0, factor], point / [1.0, factor], ellipse, slopes)
    _quadrants(sheet, axes, place, height, ends, draws)
    _axis_ticks(axes, place, ends, unit)
    of = str(options.get("effect_unit") or "")
    x_title(sheet, place, str(options.get("xlabel") or f"Difference in effect{f', {of}' if of else ''}"))
    foot(sheet, options, bands=False, also=_notes(kinds, draws, drawn, kept, whole, ellipse))


def _some(n: int) -> Floats | slice:
    """Return which draws are drawn: evenly spread over all, the same each time."""
    return slice(None) if n <= MOST else np.linspace(0, n - 1, MOST).round().astype(int)


def _near(draws: Floats) -> Floats:
    """Return the draws that are not absurdly far from the others."""
    if not len(draws):
        return draws
    low, high = np.quantile(draws, [0.01, 0.99], axis=0)
    span = (high - low) * FAR
    return draws[((draws >= low - span) & (draws <= high + span)).all(axis=1)]


def _around(values: Floats, least: float = LEAST) -> tuple[float, float]:
    """Return a range around values and zero with a margin, in which zero stands clear of both ends."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    low, high = low - 0.04 * span, high + 0.04 * span
    part = least / (1 - least)
    return min(low, -part * high), max(high, -part * low)


def _ellipse(draws: Floats) -> _Oval | None:
    """Return width, height, angle and centre of the ellipse that holds 95% of a normal distribution like the draws."""
    if len(draws) < 3:
        return None
    covariance = np.cov(draws, rowvar=False)
    scale = np.sqrt(np.diag(covariance))
    if not (scale > 0).all() or abs(covariance[0, 1]) >= (1 - 1e-9) * scale.prod():
        return None
    values, vectors = np.linalg.eigh(covariance)
    # Two degrees of freedom: the quantile of chi-squared is -2 ln(1 - level).
    sizes = 2 * np.sqrt(-2 * math.log(1 - LEVEL) * values)
    angle = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1]))
    return float(sizes[1]), float(sizes[0]), angle, draws.mean(axis=0)


def _fits(ellipse: _Oval, shown: Floats) -> bool:
    """Tell whether an ellipse is of the size of what is shown: a few far draws can blow it up beyond all sense."""
    across, angle = ellipse[:2], math.radians(ellipse[2])
    turn = np.array([[math.cos(angle), math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    reach = np.sqrt((turn**2) @ (np.array(across) ** 2))  # the box around it
    return bool((reach <= 2 * (shown.max(axis=0) - shown.min(axis=0))).all())


def _key(
    options: Mapping[str, Any], drawn: Floats, point: Floats, draws: Floats, ellipse: object,
    thresholds: Sequence[float],
) -> list[tuple[dict[str, Any], str]]:  # fmt: skip
    entries: list[tuple[dict[str, Any], str]] = []
    if len(point):
        entries.append((ESTIMATE, "Estimate"))
    if len(drawn):
        entries.append((DRAW, str(options.get("draws", "Bootstrap draw"))))
    if ellipse is not None:
        entries.append((ELLIPSE, "95% ellipse"))
    for i, threshold in enumerate(thresholds):
        label = _per(threshold, options)
        if len(draws):
            worth = (threshold * draws[:, 0] - draws[:, 1] > 0).mean()
            label += f": {say.percent(float(worth))} of draws cost-effective"
        entries.append((_line(i), label))
    return entries


def _per(threshold: float, options: Mapping[str, Any]) -> str:
    """Return a threshold in words: "$50,000 per QALY"."""
    currency, of = currency_of(str(options.get("currency") or "")), str(options.get("effect_unit") or "unit of effect")
    return f"{say.money(threshold, currency, 0 if threshold == round(threshold) else 2)} per {of}"


def _line(i: int) -> dict[str, Any]:
    return {"color": WORTH[i % len(WORTH)], "linestyle": DASHES[i % len(DASHES)], "linewidth": 1.4}


def _frame(sheet: Sheet, shown: Floats, unit: str) -> tuple[Plot, float, _Range]:
    """Return the place and height of the plot, and its range with room above and below for the quadrants' names."""
    bottom, top = _around(shown[:, 1])
    ticks = linear_ticks(bottom, top, 7)
    write = amounts(ticks, unit)
    room = max(width_of(write(t), SMALL) for t in ticks) * SLACK + 0.08
    place = Plot(sheet.left + room, sheet.body - room - 0.1, 0.0)
    longest = max(width_of(word, TINY) for name, _, _ in QUADRANTS for word in name.split()) * SLACK + 0.16
    left, right = _around(shown[:, 0], max(LEAST, min(longest / place.width, 0.45)))
    height = min(max(0.72 * place.width, 2.6), 3.8)
    band = _names_height(place, _Range(left, right, bottom, top))
    extra = (top - bottom) * band / (height - 2 * band)
    return place, height, _Range(left, right, bottom - extra, top + extra)


QUADRANTS = (
    ("Less effective, more costly", False, True), ("More effective, more costly", True, True),
    ("Less effective, less costly", False, False), ("More effective, less costly", True, False),
)  # fmt: skip


def _rooms(place: Plot, ends: _Range) -> tuple[float, float]:
    """Return the inches to the left and to the right of no effect."""
    share = -ends.left / (ends.right - ends.left)
    return share * place.width - 0.1, (1 - share) * place.width - 0.1


def _names_height(place: Plot, ends: _Range) -> float:
    rooms = _rooms(place, ends)
    return max(height_of(wrap(name, rooms[more], TINY), TINY) for name, more, _ in QUADRANTS) + height_of("0") + 0.1


def _quadrants(sheet: Sheet, axes: Axes, place: Plot, height: float, ends: _Range, draws: Floats) -> None:
    """Name each quadrant in its corner, with its share of all draws; a draw on a line is not more of anything."""
    rooms, top = _rooms(place, ends), sheet.y - height
    for name, more, dear in QUADRANTS:
        lines = wrap(name, rooms[more], TINY)
        x, side = (place.left + place.width - 0.04, "right") if more else (place.left + 0.06, "left")
        share = ""
        if len(draws):
            share = say.percent(float((((draws[:, 0] > 0) == more) & ((draws[:, 1] > 0) == dear)).mean()))
        tall = height_of(lines, TINY) + height_of(share)
        y = top + 0.03 if dear else sheet.y - tall - 0.04
        wide = max(width_of(share, weight="bold"), width_of(lines, TINY)) * SLACK + 0.04
        sheet.box(x - wide if more else x - 0.02, y, wide + 0.02, tall, facecolor="white", edgecolor="none", alpha=0.85)
        sheet.text(x, y, share, weight="bold", ha=side)
        sheet.text(x, y + height_of(share), lines, TINY, ha=side, color=style.MUTED)


def _marks(
    axes: Axes, ends: _Range, drawn: Floats, point: Floats,
    ellipse: _Oval | None, thresholds: Sequence[float],
) -> None:  # fmt: skip
    axes.set_xlim(ends.left, ends.right)
    axes.set_ylim(ends.bottom, ends.top)
    axes.axhline(0, color=style.MUTED, linewidth=0.8)
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    if len(drawn):
        axes.plot(drawn[:, 0], drawn[:, 1], **DRAW)
    for i, threshold in enumerate(thresholds):
        axes.axline((0, 0), slope=threshold, **_line(i))
    if ellipse is not None:
        width, height, angle, centre = ellipse
        axes.add_patch(
            Ellipse((centre[0], centre[1]), width, height, angle=angle, fill=False, edgecolor=ELLIPSE["color"],
                    linewidth=ELLIPSE["linewidth"], zorder=3)
        )  # fmt: skip
    if len(point):
        axes.plot(point[:, 0], point[:, 1], **ESTIMATE, zorder=5)


def _axis_ticks(axes: Axes, place: Plot, ends: _Range, unit: str) -> None:

    def place_of(value: float) -> float:
        return (value - ends.left) / (ends.right - ends.left) * place.width

    across = [linear_ticks(ends.left, ends.right, n) for n in (9, 7, 5, 4, 3)]
    across = [inside(ticks, place_of, plain, -place.left, place.width + 0.1) for ticks in across]
    xs = fit(across, place_of, plain)
    axes.set_xticks(xs, [plain(t) for t in xs])
    ys = linear_ticks(ends.bottom, ends.top, 7)
    write = amounts(ys, unit)
    axes.set_yticks(ys, [write(t) for t in ys])


def _notes(
    kinds: Any, draws: Floats, drawn: Floats, kept: Floats, whole: _Oval | None, ellipse: _Oval | None
) -> list[str]:  # fmt: skip
    """Say what is in the picture and what is not."""
    given = int((kinds == "draw").sum())
    notes = []
    if given > len(draws):
        notes.append(f"{say.number(given - len(draws))} of {say.number(given)} draws could not be estimated.")
    if len(draws) > len(drawn):
        notes.append(
            f"{say.number(len(drawn))} of {say.number(len(draws))} draws are drawn; shares"
            f"{' and ellipse' if ellipse else ''} are of all."
        )
    if len(draws) > len(kept):
        notes.append(f"Far outside the picture: {say.number(len(draws) - len(kept))}.")
    if whole and not ellipse:
        notes.append("The 95% ellipse reaches far beyond the picture and is left out.")
    return notes


# -- Acceptability -----------------------------------------------------------------------------------


def acceptability(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the probability of being cost-effective against what a unit of effect may cost."""
    probability, threshold = shares(frame, "probability"), finite(frame, "threshold")
    if not (np.isfinite(probability) & np.isfinite(threshold)).any():
        hidden = any(printed(frame, "probability"))
        sheet.nothing("every probability rests on too few persons to show." if hidden else "no probability is known.")
        return
    factor, unit = scaled(threshold, str(options.get("currency") or ""))
    frame = frame.assign(threshold=threshold / factor)
    arms = arms_of(frame, marked=False)
    if "arm" not in frame.columns:
        arms = [replace(arm, name="") for arm in arms]
    of = str(options.get("effect_unit") or "unit of effect")
    low, high = min(0.0, float(np.nanmin(threshold))) / factor, float(np.nanmax(threshold)) / factor
    high = high if high > low else low + 1.0
    levels = [0.0, 0.25, 0.5, 0.75, 1.0]
    place = share_out(sheet, [arm.name for arm in arms], [], [percent_tick(t) for t in levels], ())
    axis_head(sheet, str(options.get("ylabel", "Probability cost-effective")))
    axes = sheet.axes(place.left, sheet.take(HEIGHT), place.width, HEIGHT)
    axes.axhline(0.5, color=style.RULE, linewidth=0.8, linestyle=(0, (2, 2)))
    marks = [float(t) / factor for t in options.get("thresholds", ())]
    curves = [_sorted(arm) for arm in arms]
    for mark in marks:  # the axis and the row of numbers below say which; a colour each would say more than it means
        axes.axvline(mark, color=style.RULE, linewidth=0.8, zorder=1)
    for arm, (x, y) in zip(arms, curves, strict=True):
        axes.plot(x, y, **arm.look, marker="o" if len(x) == 1 else None)
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.02)
    axes.set_yticks(levels, [percent_tick(t) for t in levels])
    if any(arm.name for arm in arms):
        name_ends(sheet, arms, [y for _, y in curves], lambda v: 1 - v / 1.02, place)
    sets = [linear_ticks(low, high, n) for n in (9, 7, 5, 4, 3, 2)]
    write = amounts(sets[0], unit)
    ticks = fit(sets, lambda v: (v - low) / (high - low) * place.width, write)
    axes.set_xticks(ticks, [write(t) for t in ticks])
    x_title(sheet, place, str(options.get("xlabel") or f"Willingness to pay per {of}{f', {unit}' if unit else ''}"))
    if marks:
        cells = [(arm.name, [_at(mark, x, y) for mark in marks]) for arm, (x, y) in zip(arms, curves, strict=True)]
        beside(sheet, "Probability at", [write(mark) for mark in marks], cells)
    foot(sheet, options, bands=False)


def _sorted(arm: Arm) -> tuple[Floats, Floats]:
    x, y = numbers(arm.rows, "threshold"), numbers(arm.rows, "probability")
    order = np.argsort(x, kind="stable")
    return x[order], y[order]


def _at(mark: float, x: Floats, y: Floats) -> str:
    """Return the probability at a threshold, between two that are known; a dash outside them."""
    found = float(np.interp(mark, x, y, left=math.nan, right=math.nan))
    return say.percent(found) if math.isfinite(found) else say.DASH
