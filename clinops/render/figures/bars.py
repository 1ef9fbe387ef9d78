"""Amounts as bars, one a row: what a difference is made of (waterfall), and budget impact by year."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError, unknown
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import amounts, foot
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import (
    NOT_SHOWN,
    Floats,
    currency_of,
    digits_for,
    finite,
    fit,
    inside,
    labels,
    linear_ticks,
    printed,
    scaled,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

SAVED = {"facecolor": "#bfe3d8", "edgecolor": style.OKABE_ITO["green"], "hatch": "//////", "linewidth": 0.9}
SPENT = {"facecolor": style.OKABE_ITO["vermillion"], "edgecolor": style.OKABE_ITO["vermillion"], "linewidth": 0.9}
FEE = {"facecolor": "white", "edgecolor": style.INK, "hatch": "......", "linewidth": 0.9}
SUM = {"facecolor": style.RULE, "edgecolor": style.INK, "linewidth": 0.9}
KINDS = ("part", "subtotal", "fee", "total")
TALL = 0.17
#: An interval longer than so many times the longest bar is cut at the edge of the plot.
REACH = 1.5
LOST = "Where an amount is not known, the bars after it have no place and are not drawn, up to the next total."
UNCERTAIN = "direction uncertain"
FORWARD, BACK = "\u2192", "\u2190"


@dataclass(frozen=True)
class _Bar:
    """One row: its label, its bar from start to end (NaN: none), its interval, its look, what is said beside it."""

    label: str
    start: float
    end: float
    said: str
    look: Mapping[str, Any]
    low: float = math.nan
    high: float = math.nan
    word: str = ""
    strong: bool = False
    group: str = ""


@dataclass(frozen=True)
class _Chart:
    """Rows of bars with what stands around them; amounts are in the unit of the title."""

    bars: list[_Bar]
    title: str
    head: str
    unit: str
    sides: tuple[str, str]
    key: list[tuple[dict[str, Any], str]]
    chained: bool = False
    notes: list[str] = field(default_factory=list)


def waterfall(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a difference as a chain of parts, each from where the one before ended, to the total, the fee, the net."""
    kinds = words(frame, "kind")
    for kind in kinds:
        if kind not in KINDS:
            raise DataError(unknown("kind of a row of a waterfall", kind, KINDS))
    value, low, high = (finite(frame, c) for c in ("value", "low", "high"))
    if not np.isfinite(value).any():
        sheet.nothing(_none("amount", frame, "value"))
        return
    factor, unit = scaled(np.concatenate([value, low, high]), str(options.get("currency") or ""))
    value, low, high = value / factor, low / factor, high / factor
    saving, costing = str(options.get("saving", "saving")), str(options.get("costing", "added cost"))
    starts, off = _running(kinds, value, 0.005 / factor)  # amounts may come rounded to cents
    write = _writer(np.concatenate([value, low, high]), unit)
    gone = printed(frame, "value")
    names = labels(frame, "label")
    bars = []
    for i, kind in enumerate(kinds):
        said = _said(value[i], low[i], high[i], write, hidden=bool(gone[i]))
        whole = kind in ("subtotal", "total")
        look = FEE if kind == "fee" else SUM if whole else SAVED if value[i] < 0 else SPENT
        a, b = (low[i], high[i]) if whole else (math.nan, math.nan)
        word = _direction(value[i], low[i], high[i], saving, costing)
        bars.append(_Bar(names[i], starts[i], starts[i] + value[i], said, look, a, b, word, strong=whole))
    looks = ((SAVED, saving, lambda i: kinds[i] == "part" and value[i] < 0),
             (SPENT, costing, lambda i: kinds[i] == "part" and value[i] > 0),
             (FEE, "fee", lambda i: kinds[i] == "fee"), (SUM, "total", lambda i: bars[i].strong))  # fmt: skip
    key = [
        (dict(look), name)
        for look, name, here in looks
        if any(here(i) and math.isfinite(bars[i].end) for i in range(len(kinds)))
    ]
    title = str(options.get("xlabel", "Difference")) + (f", {unit}" if unit else "")
    head = f"Amount ({options['interval']})" if options.get("interval") else _interval_head(low, high)
    lost = any(math.isnan(v) and kind in ("part", "fee") for v, kind in zip(value, kinds, strict=True))
    notes = _uneven(names, off, write) + ([LOST] if lost else [])
    sides = (f"{BACK} {saving}", f"{costing} {FORWARD}")
    _draw(sheet, _Chart(bars, title, head, unit, sides, key, chained=True, notes=notes), options)


def _direction(value: float, low: float, high: float, saving: str, costing: str) -> str:
    """Return which way an amount goes, in words; an interval on both sides of zero leaves that open."""
    if math.isnan(value) or value == 0:
        return ""
    return UNCERTAIN if low < 0 < high else saving if value < 0 else costing


def _running(kinds: Sequence[str], value: Floats, slack: float) -> tuple[list[float], list[tuple[int, float]]]:
    """Return where each bar starts, and each sum that is not that of the rows before it, with what it should be.

    A sum starts at zero and the chain goes on from it. After a part that is not known the place of the next is
    not known either, up to the next sum. ``slack`` is what rounding may do to a row.
    """
    starts, off, at, size = [], [], 0.0, 0.0
    for i, kind in enumerate(kinds):
        size += abs(value[i]) if math.isfinite(value[i]) else 0.0
        if kind in ("subtotal", "total"):
            starts.append(0.0)
            if i and abs(at - value[i]) > 1e-6 * size + slack * i:
                off.append((i, at))
            at = float(value[i])
        else:
            starts.append(at)
            at += float(value[i])
    return starts, off


def _uneven(names: Sequence[str], off: Sequence[tuple[int, float]], write: Callable[[float], str]) -> list[str]:
    return [f"{names[i]}: the rows before it add up to {write(at)}." for i, at in off]


def budget(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw, for each year, the gross saving, the fee against it, and what is left."""
    names = ("gross", "fee", "net")
    columns = {name: finite(frame, name) for name in (*names, "net_low", "net_high")}
    if not any(np.isfinite(columns[name]).any() for name in names):
        sheet.nothing(_none("amount", frame, *names))
        return
    factor, unit = scaled(np.concatenate(list(columns.values())), str(options.get("currency") or ""))
    columns = {name: amount / factor for name, amount in columns.items()}
    write = _writer(np.concatenate(list(columns.values())), unit)
    said = ("Gross saving", "Programme fee", "Net saving")
    gone = {name: printed(frame, name) for name in names}
    bars = []
    for i, year in enumerate(labels(frame, "year")):
        for name, label, look in zip(names, said, (SAVED, FEE, SUM), strict=True):
            amount = -columns[name][i] if name == "fee" else columns[name][i]
            low, high = (columns[end][i] if name == "net" else math.nan for end in ("net_low", "net_high"))
            text = _said(amount, low, high, write, hidden=bool(gone[name][i]))
            bars.append(_Bar(label, 0.0, amount, text, SPENT if name == "gross" and amount < 0 else look, low, high,
                             strong=name == "net", group=_year(year)))  # fmt: skip
    net = columns["gross"] - columns["fee"]
    off = np.flatnonzero(np.abs(net - columns["net"]) > 1e-6 * np.abs(columns["gross"]) + 0.01 / factor)
    notes = [f"{_year(words(frame, 'year')[i])}: gross saving less fee is {write(net[i])}." for i in off]
    title = str(options.get("xlabel", "Saved")) + (f", {unit}" if unit else "")
    sides = (f"{BACK} spent", f"saved {FORWARD}")
    head = f"Amount ({options['interval']})" if options.get("interval") else _interval_head(
        columns["net_low"], columns["net_high"]
    )  # fmt: skip
    _draw(sheet, _Chart(bars, title, head, unit, sides, [], notes=notes), options)


def _year(text: str) -> str:
    """Return "Year 1" for a bare 1 and "2025" for a calendar year; words stay as they are."""
    whole = text.removesuffix(".0")
    return f"Year {whole}" if whole.isdigit() and int(whole) < 1000 else whole or "Year without a name"


def _none(what: str, frame: pd.DataFrame, *columns: str) -> str:
    hidden = any(text for column in columns for text in printed(frame, column))
    return f"every {what} rests on too few persons to show." if hidden else f"no {what} is known."


def _interval_head(low: Floats, high: Floats) -> str:
    return "Amount (95% CI)" if (np.isfinite(low) & np.isfinite(high)).any() else "Amount"


def _writer(values: Floats, unit: str) -> Callable[[float], str]:
    """Return how amounts print: whole from 100 on; small ones with cents, or three figures where they are scaled."""
    digits, currency = digits_for(values), currency_of(unit)
    if digits and "lions" not in unit:
        digits = 2
    return lambda value: say.money(value, currency, digits)


def _said(value: float, low: float, high: float, write: Callable[[float], str], *, hidden: bool) -> str:
    if math.isnan(value):
        return NOT_SHOWN if hidden else say.NOT_ESTIMABLE
    if math.isnan(low) or math.isnan(high) or low == high:
        return write(value)
    return say.interval(write(value), write(low), write(high))


# -- Rows of bars ------------------------------------------------------------------------------------


def _draw(sheet: Sheet, chart: _Chart, options: Mapping[str, Any]) -> None:
    said_room = min(
        max(width_of(t, SMALL, "bold") for t in (chart.head, *(bar.said for bar in chart.bars))) * SLACK + 0.1,
        sheet.body * (0.37 if sheet.narrow else 0.32),
    )
    longest = max(width_of(bar.label, weight=_weight(bar)) for bar in chart.bars) * SLACK + 0.12
    stacked = sheet.narrow and longest > sheet.body * 0.32
    label_room = sheet.body if stacked else min(longest, sheet.body * 0.36)
    left = sheet.left + (0.1 if stacked else label_room + 0.04)
    width = sheet.right - said_room - 0.06 - left
    if chart.key:
        sheet.key(chart.key, sheet.left, sheet.body)
    head = wrap(chart.head, said_room, SMALL, "bold")
    sheet.text(sheet.right, sheet.take(height_of(head, SMALL) + 0.05), head, SMALL, weight="bold", ha="right")
    low, high = _ends(chart.bars)
    top = sheet.y
    middles = [_row(sheet, chart, i, label_room, said_room, stacked=stacked) for i in range(len(chart.bars))]
    axes = sheet.axes(left, top, width, sheet.y - top)
    axes.set_ylim(sheet.y - top, 0)
    axes.set_xlim(low, high)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _plot(axes, chart, [m - top for m in middles], (low, high))
    sets = [linear_ticks(low, high, n) for n in (7, 5, 4, 3, 2)]
    write = amounts(sets[0], chart.unit)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * width

    ticks = fit([inside(some, place, write, sheet.left, sheet.right) for some in sets], place, write)
    axes.set_xticks(ticks, [write(t) for t in ticks])
    _under(sheet, chart, left, width, left + (0 - low) / (high - low) * width)
    foot(sheet, options, bands=False, also=chart.notes)


def _ends(bars: Sequence[_Bar]) -> tuple[float, float]:
    """Return the ends of the axis: every bar whole, zero in sight, an interval cut where it reaches absurdly far."""
    ends = np.array([v for bar in bars for v in (bar.start, bar.end) if math.isfinite(v)] + [0.0])
    span = float(ends.max() - ends.min()) or 1.0
    reach = np.array([v for bar in bars for v in (bar.low, bar.high) if math.isfinite(v)] + [0.0])
    low = max(float(min(ends.min(), reach.min())), float(ends.min()) - REACH * span)
    high = min(float(max(ends.max(), reach.max())), float(ends.max()) + REACH * span)
    pad = 0.05 * ((high - low) or 1.0)
    return low - pad, high + pad


def _row(sheet: Sheet, chart: _Chart, i: int, label_room: float, said_room: float, *, stacked: bool) -> float:
    """Write the label and the amount of a row; return the height of its middle. Stacked, the label stands above."""
    bar = chart.bars[i]
    weight = _weight(bar)
    if bar.group and (not i or chart.bars[i - 1].group != bar.group):
        sheet.take(0.06 if i else 0.0)
        sheet.paragraph(bar.group, weight="bold", gap=0.0)
    label = even(bar.label or "Row without a name", label_room - 0.08, weight=weight)
    said = _broken(bar.said, said_room, weight)
    tall = height_of(said, SMALL) + height_of(bar.word, TINY)
    height = max(tall + 0.07, TALL + 0.1, 0.0 if stacked else height_of(label) + 0.07)
    if stacked:
        back = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        sheet.text(sheet.left, sheet.take(height_of(label) + 0.01), label, weight=weight, bbox=back)
    middle = sheet.take(height) + height / 2
    if not stacked:
        sheet.text(sheet.left, middle, label, va="center", weight=weight)
    sheet.text(sheet.right, middle - tall / 2, said, SMALL, ha="right", weight=weight)
    sheet.text(sheet.right, middle - tall / 2 + height_of(said, SMALL), bar.word, TINY, ha="right", color=style.MUTED)
    return middle


def _weight(bar: _Bar) -> str:
    return "bold" if bar.strong else "normal"


def _broken(text: str, room: float, weight: str) -> str:
    """Put the interval below the amount where both do not fit on a line."""
    if width_of(text, SMALL, weight) * SLACK > room and " (" in text:
        amount, interval = text.split(" (", 1)
        return f"{wrap(amount, room, SMALL, weight)}\n{wrap('(' + interval, room, SMALL, weight)}"
    return wrap(text, room, SMALL, weight)


def _plot(axes: Axes, chart: _Chart, middles: Sequence[float], ends: tuple[float, float]) -> None:
    axes.axvline(0, color=style.MUTED, linewidth=0.8)
    bars = chart.bars
    for i, (bar, y) in enumerate(zip(bars, middles, strict=True)):
        if math.isfinite(bar.end) and math.isfinite(bar.start):
            axes.barh([y], [bar.end - bar.start], height=TALL, left=[bar.start], **bar.look)
            if chart.chained and i + 1 < len(bars) and math.isfinite(bars[i + 1].end):
                axes.plot([bar.end] * 2, [y + TALL / 2, middles[i + 1] - TALL / 2], color=style.INK, linewidth=0.7)
        if math.isfinite(bar.low) and math.isfinite(bar.high):
            inside = (max(bar.low, ends[0]), min(bar.high, ends[1]))
            axes.plot(inside, [y, y], color=style.INK, linewidth=1.1, solid_capstyle="butt")
            for end, value, marker in ((ends[0], bar.low, "<"), (ends[1], bar.high, ">")):
                cut = (value < end) if marker == "<" else (value > end)
                axes.plot([end if cut else value], [y], marker if cut else "|", color=style.INK, markersize=4,
                          clip_on=False)  # fmt: skip


def _under(sheet: Sheet, chart: _Chart, left: float, width: float, zero: float) -> None:
    """Write the sides of zero and the title below the tick labels."""
    sheet.take(0.05 + height_of("0", SMALL) + 0.02)
    rooms = (zero - left, left + width - zero)
    if all(width_of(t, TINY) * SLACK + 0.06 <= room for t, room in zip(chart.sides, rooms, strict=True)):
        y = sheet.take(height_of("0", TINY) + 0.02) + 0.1
        sheet.text(zero - 0.05, y, chart.sides[0], TINY, ha="right", va="baseline", color=style.MUTED)
        sheet.text(zero + 0.05, y, chart.sides[1], TINY, va="baseline", color=style.MUTED)
    lines = wrap(chart.title, sheet.body)
    half = width_of(lines) * SLACK / 2
    centre = min(max(left + width / 2, sheet.left + half), sheet.right - half)
    sheet.text(centre, sheet.take(height_of(lines) + 0.03), lines, ha="center")
