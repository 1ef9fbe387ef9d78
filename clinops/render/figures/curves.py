"""What figures of curves share: arms and their looks, the place of the plot, names at the ends, counts below."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, clip, height_of, width_of, wrap
from clinops.render.figures.values import Floats, apart, counts, currency_of, fit, numbers, plain, words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HEIGHT = 2.5
INTERVAL = "95% confidence intervals"
#: A band that reaches higher than so many times the highest curve runs out of the picture.
BAND = 2.5


@dataclass(frozen=True)
class Arm:
    """One arm: its name, its look, and its rows."""

    name: str
    look: dict[str, Any]
    rows: pd.DataFrame


@dataclass(frozen=True)
class Plot:
    """Where the plot stands on the sheet."""

    left: float
    width: float
    label_room: float


#: Counts below a plot: for each arm the text at each place of the axis.
Rows = list[tuple[Arm, dict[float, str]]]


def arms_of(frame: pd.DataFrame, *, marked: bool) -> list[Arm]:
    """Return the arms in the order of their first rows; ``marked`` gives each a marker besides its line style."""
    names = words(frame, "arm")
    arms = []
    for i, name in enumerate(dict.fromkeys(names)):
        n = i % len(style.SERIES)
        look: dict[str, Any] = {"color": style.SERIES[n], "linestyle": style.LINES[n]}
        if marked:
            look |= {"marker": style.MARKERS[n], "markersize": 3.6}
        arms.append(Arm(name or "Arm without a name", look, frame[[other == name for other in names]]))
    return arms


def ceiling(lines: Sequence[Floats], bands: Sequence[Floats], most: float) -> float:
    """Return the top of the axis: above every curve and above the bands, unless those reach absurdly high."""
    highest = max((float(v[np.isfinite(v)].max(initial=0.0)) for v in lines), default=0.0)
    widest = max((float(v[np.isfinite(v)].max(initial=0.0)) for v in bands), default=0.0)
    if highest <= 0:
        return min(most, max(widest, 0.01) * 1.05)
    return min(most, 1.06 * max(highest, min(widest, BAND * highest)))


def cost_range(value: Floats, low: Floats, high: Floats) -> tuple[float, float]:
    """Return the ends of the axis of cost: 0 always in sight, bands whole unless they reach absurdly far."""
    top = ceiling([value], [high], math.inf)
    finite = value[np.isfinite(value)]
    lowest, band = float(finite.min(initial=0.0)), float(low[np.isfinite(low)].min(initial=0.0))
    bottom = min(lowest, max(band, -0.25 * top)) if lowest >= 0 else max(min(lowest, band), BAND * lowest)
    return bottom * 1.06, max(top, 0.0) if top > 0 else 1.0


def cells_of(arm: Arm, at: str, column: str) -> dict[float, str]:
    """Return the count to print at each place of the axis."""
    return dict(zip(numbers(arm.rows, at).tolist(), counts(arm.rows, column), strict=True))


def why(what: str, hidden: str) -> str:
    """Say why no value is drawn."""
    return f"every {what} rests on too few persons to show ({hidden})." if hidden else f"no {what} is known."


def share_out(
    sheet: Sheet, names: list[str], rows: Rows, y_labels: list[str], ends: Sequence[str] | None = None
) -> Plot:  # fmt: skip
    """Share the width out between the labels on the left, the plot and the names of the curves on the right.

    Where ``ends`` is given, it stands under the names unbroken, and no word of a name is broken if it can be helped.
    """
    ticks = max(width_of(t, SMALL) for t in y_labels) * SLACK + 0.08
    first = max((width_of(next(iter(c.values()), ""), SMALL) / 2 for _, c in rows), default=0.0)
    named = 0.0
    if rows and not sheet.narrow:
        named = min(max(width_of(arm.name, SMALL) for arm, _ in rows) * SLACK, 1.35) + first + 0.1
    left = sheet.left + max(ticks, named, first + 0.02)
    label_room = min(max(width_of(n, SMALL) for n in names) * SLACK + 0.4, sheet.body * (0.3 if sheet.narrow else 0.24))
    if ends is not None:
        word = max(width_of(word, SMALL) for name in names for word in name.split() or [""]) * SLACK + 0.42
        kept = max((width_of(end, SMALL) for end in ends), default=0.0) * SLACK + 0.4
        label_room = max(label_room, kept, min(word, sheet.body * 0.4))
    return Plot(left, sheet.right - label_room - left, label_room)


def axis_head(sheet: Sheet, title: str) -> None:
    """Write the title of the vertical axis above it, where long ones can be read."""
    sheet.paragraph(title, weight="bold", gap=0.08)


def name_ends(
    sheet: Sheet, arms: list[Arm], lines: list[Floats], share: Callable[[float], float], place: Plot,
    *, height: float = HEIGHT, values: Sequence[str] = (),
) -> None:  # fmt: skip
    """Name each curve at the right of the plot, level with its end where there is room, with a sample of its line.

    ``share`` is how far below the top of the plot a value lies, 0 to 1; ``values``, one an arm, stand under the names.
    """
    x = place.left + place.width + 0.08
    most = max(1, int(height / len(arms) / height_of("0", SMALL)) - (2 if any(values) else 1))
    texts = [clip(wrap(arm.name, place.label_room - 0.38, SMALL), most) for arm in arms]
    texts = ["\n".join(filter(None, pair)) for pair in itertools.zip_longest(texts, values)]
    ends = [float(v[np.isfinite(v)][-1]) if np.isfinite(v).any() else 0.0 for v in lines]
    wanted = [min(max(share(end), 0.0), 1.0) * height for end in ends]
    for i, middle in spread(wanted, [height_of(t, SMALL) + 0.04 for t in texts], height):
        y = sheet.y - height + middle
        sheet.line((x, x + 0.24), (y, y), **{**arms[i].look, "linewidth": 1.5, "marker": None})
        if "marker" in arms[i].look:
            sheet.line((x + 0.12, x + 0.12), (y, y), **{**arms[i].look, "linestyle": "none"})
        sheet.text(x + 0.3, y, texts[i], SMALL, va="center")


def spread(wanted: list[float], heights: list[float], room: float) -> list[tuple[int, float]]:
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


def ticks_under(
    place: Plot, wanted: Sequence[Sequence[float]], ends: tuple[float, float], rows: Rows,
    label: Callable[[float], str] = plain,
) -> list[float]:  # fmt: skip
    """Return the first set of ticks at which neither tick labels nor the counts under them collide.

    Parameters
    ----------
    wanted : candidates, best first.
    ends : of the axis.
    rows : the counts below, of every block.
    label : from a tick to its text.
    """
    low, high = ends

    def inches(v: float) -> float:
        return (v - low) / (high - low) * place.width

    def roomy(ticks: Sequence[float]) -> bool:
        return all(apart([(inches(t), cells.get(t, "")) for t in ticks]) for _, cells in rows)

    good = [ticks for ticks in wanted if roomy(ticks)]
    return fit(good or [wanted[-1]], inches, label)


def x_title(sheet: Sheet, place: Plot, title: str) -> None:
    """Write the title of the horizontal axis below its tick labels, centred where there is room."""
    sheet.take(0.05 + height_of("0", SMALL) + 0.03)
    lines = wrap(title, sheet.body)
    half = width_of(lines) * SLACK / 2
    centre = min(max(place.left + place.width / 2, sheet.left + half), sheet.right - half)
    sheet.text(centre, sheet.take(height_of(lines) + 0.05), lines, ha="center")


def people(sheet: Sheet, axes: Axes, place: Plot, head: str, rows: Rows, ticks: list[float]) -> None:
    """Write a row of counts for each arm, each count under its tick."""
    if not rows:
        return
    sheet.text(sheet.left, sheet.take(height_of(head, SMALL) + 0.03), head, SMALL, weight="bold")
    for arm, cells in rows:
        if sheet.narrow:
            sheet.paragraph(arm.name, TINY, color=style.MUTED, gap=0.0)
            y, tall = sheet.y, max(height_of(t, SMALL) for t in cells.values()) + 0.04
        else:
            first = next((cells[t] for t in ticks if t in cells), "")
            room = place.left - sheet.left - width_of(first, SMALL) / 2 - 0.06
            name = wrap(arm.name, room, SMALL)
            y, tall = sheet.y, max(height_of(t, SMALL) for t in (name, *cells.values())) + 0.04
            sheet.text(sheet.left, y, name, SMALL)
        for tick in ticks:
            if tick in cells:
                sheet.at_tick(axes, tick, y, cells[tick])
        sheet.take(tall)


def foot(sheet: Sheet, options: Mapping[str, Any], *, bands: bool, also: Sequence[str] = ()) -> None:
    """Write below everything what the bands are, how the arms were made comparable, and whose money it is.

    ``also`` are further sentences, with their full stops.
    """
    adjustment, basis = (" ".join(str(options.get(name) or "").split()) for name in ("adjustment", "basis"))
    parts = [f"Bands: {options.get('interval', INTERVAL)}."] if bands else []
    parts += [*also]
    parts += [f"Adjustment: {adjustment}."] if adjustment else []
    parts += [f"{basis.rstrip('.')}."] if basis else []
    if parts:
        sheet.take(0.03)
        sheet.paragraph(" ".join(parts), TINY, color=style.MUTED)


def has_bands(frame: pd.DataFrame) -> bool:
    return bool((np.isfinite(numbers(frame, "low")) & np.isfinite(numbers(frame, "high"))).any())


def amounts(ticks: Sequence[float], unit: str) -> Callable[[float], str]:
    """Return how ticks of money print: "$1,200", with cents only where a tick has some; bare without a currency."""
    currency = currency_of(unit)
    if not currency:
        return plain
    digits = 0 if all(t == round(t) for t in ticks) else 2
    return lambda value: say.money(value, currency, digits)


def beside(sheet: Sheet, head: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Write a small table below a plot: a heading, the heads of its columns, a row of cells for each name.

    Columns that do not fit go below; names that leave no room for columns stand above their rows.
    """
    room = max(width_of(t, SMALL, "bold") for t in (*columns, *(c for _, cells in rows for c in cells))) * SLACK + 0.18
    longest = max(width_of(name, SMALL) for name, _ in rows) * SLACK
    beside_names = max(longest, width_of(head, SMALL, "bold") * SLACK)
    stacked = beside_names + room * min(len(columns), 3) > sheet.body
    first = sheet.left + (0.0 if stacked else beside_names)
    most = max(1, int((sheet.right - first + 0.01) / room))
    for start in range(0, len(columns), most):
        part = slice(start, start + most)
        _table(sheet, head, columns[part], [(name, cells[part]) for name, cells in rows], first, room, stacked=stacked)


def _table(
    sheet: Sheet, head: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], first: float,
    room: float, *, stacked: bool,
) -> None:  # fmt: skip
    line = height_of("0", SMALL)
    if stacked:
        sheet.paragraph(head, weight="bold", gap=0.02)
    elif head:
        sheet.text(sheet.left, sheet.y, head, SMALL, weight="bold")
    y = sheet.take(line + 0.03)
    for j, column in enumerate(columns):
        sheet.text(first + (j + 1) * room, y, column, SMALL, weight="bold", ha="right")
    for name, cells in rows:
        if stacked and name:
            sheet.paragraph(name, TINY, color=style.MUTED, gap=0.0)
        elif name:
            sheet.text(sheet.left, sheet.y, name, SMALL)
        y = sheet.take(line + 0.04)
        for j, cell in enumerate(cells):
            sheet.text(first + (j + 1) * room, y, cell, SMALL, ha="right")
