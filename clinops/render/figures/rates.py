"""Rates of two arms in strata (calendar years, bands of age) as points with intervals, and the events behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render.figures.curves import (
    INTERVAL,
    Arm,
    Plot,
    axis_head,
    ceiling,
    foot,
    people,
    ticks_under,
    why,
    x_title,
)
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, clip, height_of, width_of, wrap
from clinops.render.figures.values import Floats, alike, counts, finite, labels, linear_ticks, plain, unseen

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

PANEL = 1.75
#: How far from its tick each arm stands, in strata.
APART = 0.11
LOOKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("exposed", {"color": style.EXPOSED, "marker": "o", "markerfacecolor": style.EXPOSED}),
    ("comparator", {"color": style.COMPARATOR, "marker": "s", "markerfacecolor": "white"}),
)  # fmt: skip
MARK: dict[str, Any] = {"linestyle": "none", "markersize": 5.0, "markeredgewidth": 1.3}


@dataclass(frozen=True)
class _Points:
    """One arm of one panel."""

    look: Mapping[str, Any]
    x: Floats
    rate: Floats
    low: Floats
    high: Floats


def rates(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw the rate of each arm in every stratum, a panel for each way of splitting, on one scale."""
    both = [f"rate_{arm}" for arm, _ in LOOKS]
    if not any(np.isfinite(finite(frame, column)).any() for column in both):
        sheet.nothing(why("rate", unseen(frame, *both, *(f"events_{arm}" for arm, _ in LOOKS))))
        return
    every = [finite(frame, column) for column in both]
    top = ceiling(every, [finite(frame, f"high_{arm}") for arm, _ in LOOKS], np.inf)
    ticks_y = linear_ticks(0, top, 5)
    texts_y = alike([plain(t) for t in ticks_y])
    names = [str(options.get(arm) or arm.capitalize()) for arm, _ in LOOKS]
    sheet.key([({**MARK, **look}, name) for (_, look), name in zip(LOOKS, names, strict=True)], sheet.left, sheet.body)
    splits = labels(frame, "split")
    parts = {
        split: frame[[other == split for other in splits]].reset_index(drop=True) for split in dict.fromkeys(splits)
    }
    below = [_rows(part, names) for part in parts.values()]
    place = _place(sheet, [row for rows in below for row in rows], texts_y)
    cut = False
    for i, ((split, part), rows) in enumerate(zip(parts.items(), below, strict=True)):
        sheet.take(0.16 if i else 0.0)
        axis_head(sheet, str(options.get("ylabel", "Rate")))
        axes = sheet.axes(place.left, sheet.take(PANEL), place.width, PANEL)
        cut |= _draw(axes, part, top)
        axes.set_yticks(ticks_y, texts_y)
        _strata(sheet, axes, place, labels(part, "level"), rows)
        x_title(sheet, place, split)
        people(sheet, axes, place, "Events", rows, list(axes.get_xticks()))
    also = [f"Lines: {options.get('interval', INTERVAL)}."]
    also += ["One that leaves the picture is in the table."] if cut else []
    foot(sheet, options, bands=False, also=also)


def _rows(part: pd.DataFrame, names: Sequence[str]) -> list[tuple[Arm, dict[float, str]]]:
    """The events of each arm under each stratum."""
    found = []
    for (arm, look), name in zip(LOOKS, names, strict=True):
        if f"events_{arm}" in part.columns:
            cells = dict(enumerate(counts(part, f"events_{arm}")))
            found.append((Arm(name, dict(look), part), {float(i): text for i, text in cells.items()}))
    return found


def _place(sheet: Sheet, rows: Sequence[tuple[Arm, Any]], y_labels: Sequence[str]) -> Plot:
    """Share the width out between ticks or names of the rows of events, and the plot."""
    left = max(width_of(text, SMALL) for text in y_labels) * SLACK + 0.1
    if rows and not sheet.narrow:
        first = max(width_of(next(iter(cells.values())), SMALL) / 2 for _, cells in rows)
        left = max(left, min(max(width_of(arm.name, SMALL) for arm, _ in rows) * SLACK, 1.35) + first + 0.1)
    return Plot(sheet.left + left, sheet.body - left - 0.08, 0.0)


def _draw(axes: Axes, part: pd.DataFrame, top: float) -> bool:
    """Draw both arms beside each tick; return whether an interval leaves the picture."""
    cut = False
    for i, (arm, look) in enumerate(LOOKS):
        x = (np.arange(len(part)) + (2 * i - 1) * APART).astype(np.float64)
        points = _Points(look, x, *(finite(part, f"{what}_{arm}") for what in ("rate", "low", "high")))
        known = np.isfinite(points.rate) & np.isfinite(points.low) & np.isfinite(points.high)
        axes.vlines(points.x[known], points.low[known], points.high[known], color=look["color"], linewidth=1.2)
        axes.plot(points.x, points.rate, **MARK, **look)
        cut |= bool((points.high[known] > top).any())
    axes.set_xlim(-0.5, len(part) - 0.5)
    axes.set_ylim(0, top)
    return cut


def _strata(
    sheet: Sheet, axes: Axes, place: Plot, names: Sequence[str], rows: list[tuple[Arm, dict[float, str]]]
) -> None:
    """Write the strata under the axis, each on as many lines as it takes; every second one where they are too many."""
    room = place.width / len(names) - 0.06
    texts = [clip(wrap(name, max(room, 0.36), SMALL), 4) for name in names]
    every = [float(i) for i in range(len(names))]
    ends = (-0.5, len(names) - 0.5)
    ticks = ticks_under(place, [every[::step] for step in (1, 2, 3, 4, 6, 8, 12)], ends, rows, lambda t: texts[int(t)])
    axes.set_xticks(ticks, [texts[int(t)] for t in ticks], linespacing=1.25)
    sheet.take(max(height_of(texts[int(t)], SMALL) for t in ticks) - height_of("0", SMALL))
