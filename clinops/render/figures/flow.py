"""Who is left after each rule: the flow diagram of the arms, and the funnel of one pathway."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, height_of, width_of, wrap
from clinops.render.figures.values import Floats, count, numbers, suppressed, words

if TYPE_CHECKING:
    import pandas as pd

WIDEST, NARROWEST, GUTTER = 4.4, 2.9, 0.25
SIDE, PAD, GAP = 1.0, 0.06, 0.17


@dataclass(frozen=True)
class _Step:
    """One box of the flow with the box of those excluded on the way to it; texts are wrapped."""

    rule: str
    left: str
    excluded: str

    @property
    def height(self) -> float:
        return height_of(self.rule) + height_of(self.left) + 2 * PAD


def flow(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a chain of boxes for each arm, with the excluded beside it; steps of the arms stand level."""
    names = words(frame, "arm")
    arms = list(dict.fromkeys(names))
    across = max(1, min(len(arms), int((sheet.body + GUTTER) // (NARROWEST + GUTTER))))
    width = min((sheet.body - GUTTER * (across - 1)) / across, WIDEST)
    for first in range(0, len(arms), across):
        if first:
            sheet.take(0.2)
        block = arms[first : first + across]
        chains = [_chain(frame[[name == arm for name in names]], width, suppressed(options)) for arm in block]
        _block(sheet, block, chains, width, first)


def _chain(frame: pd.DataFrame, width: float, hidden: str) -> list[_Step]:
    rules = words(frame, "rule")
    columns = [numbers(frame, c) for c in ("persons", "entries", "excluded_persons", "excluded_entries")]
    room = width - SIDE - 0.15 - 2 * PAD
    steps = []
    for i, rule in enumerate(rules):
        persons, entries, out, out_entries = (c[i] for c in columns)
        left = wrap(_people(persons, entries, hidden), room, weight="bold")
        gone = "" if i == 0 else wrap(_excluded(out, out_entries, hidden), SIDE - 2 * PAD, SMALL)
        steps.append(_Step(wrap(rule, room), left, gone))
    return steps


def _people(persons: float, entries: float, hidden: str) -> str:
    noun = "person" if persons == 1 else "persons"
    more = (
        "" if entries == persons or (math.isnan(entries) and math.isnan(persons)) else f" ({_entries(entries, hidden)})"
    )
    return f"{count(persons, hidden)} {noun}{more}"


def _entries(entries: float, hidden: str) -> str:
    return f"{count(entries, hidden)} {'entry' if entries == 1 else 'entries'}"


def _excluded(persons: float, entries: float, hidden: str) -> str:
    more = "" if entries == persons or math.isnan(entries) else f" ({_entries(entries, hidden)})"
    return f"Excluded: {count(persons, hidden)}{more}"


def _block(sheet: Sheet, arms: list[str], chains: list[list[_Step]], width: float, first: int) -> None:
    lefts = [sheet.left + i * (width + GUTTER) for i in range(len(arms))]
    heads = [wrap(arm or "Arm without a name", width, 9, "bold") for arm in arms]
    top = sheet.take(max(height_of(head, 9) for head in heads) + 0.08)
    for i, (x, head) in enumerate(zip(lefts, heads, strict=True)):
        sheet.text(x, top, head, 9, weight="bold")
        sheet.line((x, x + width), (sheet.y - 0.04,) * 2, color=_colour(first + i), linewidth=1.5)
    sheet.take(0.05)
    previous: list[float | None] = [None] * len(arms)
    for position in range(max(map(len, chains))):
        here = [chain[position] if position < len(chain) else None for chain in chains]
        gap = max((GAP if not s.excluded else max(GAP, _side_height(s) - 0.14) for s in here if s), default=GAP)
        top = sheet.y + (gap if position else 0)
        for i, step in enumerate(here):
            if step is not None:
                last = position == len(chains[i]) - 1
                _draw_step(sheet, step, lefts[i], top, width, previous[i], _colour(first + i) if last else None)
                previous[i] = top + step.height
        sheet.y = top + max(step.height for step in here if step is not None)


def _side_height(step: _Step) -> float:
    return height_of(step.excluded, SMALL) + 2 * PAD - 0.02


def _draw_step(
    sheet: Sheet, step: _Step, x: float, top: float, width: float, previous: float | None, final: str | None
) -> None:
    main = width - SIDE - 0.15
    outline = {"edgecolor": final, "facecolor": style.FAINT, "linewidth": 1.3} if final else {}
    sheet.box(x, top, main, step.height, **outline)
    sheet.text(x + PAD, top + PAD, step.rule)
    sheet.text(x + PAD, top + PAD + height_of(step.rule), step.left, weight="bold")
    if previous is None:
        return
    spine, middle = x + 0.3, (previous + top) / 2
    sheet.arrow((spine, previous), (spine, top))
    sheet.arrow((spine, middle), (x + width - SIDE, middle))
    tall = _side_height(step)
    sheet.box(x + width - SIDE, middle - tall / 2, SIDE, tall, edgecolor=style.RULE)
    sheet.text(x + width - SIDE + PAD, middle - tall / 2 + PAD - 0.01, step.excluded, SMALL)


def _colour(arm: int) -> str:
    return style.SERIES[arm % len(style.SERIES)]


def funnel_steps(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw a bar for each step, with its count and its share of the step before and of the first."""
    labels, persons, hidden = words(frame, "step"), numbers(frame, "persons"), suppressed(options)
    cells = [_shares(persons, i, hidden) for i in range(len(labels))]
    heads = [wrap(head, 0.75, SMALL, "bold") for head in ("Persons", "Of the step before", "Of the first")]
    widths = [
        max(width_of(text, SMALL, "bold") for text in (heads[j], *(row[j] for row in cells))) * SLACK + 0.12
        for j in range(3)
    ]
    longest = max(width_of(label) for label in labels) * SLACK + 0.1
    label_room = min(longest, sheet.body * (0.42 if sheet.narrow else 0.38), sheet.body - sum(widths) - 0.5)
    bars = (sheet.left + label_room, sheet.right - sum(widths))
    ends = [bars[1] + sum(widths[: j + 1]) for j in range(3)]
    top = sheet.take(max(height_of(head, SMALL) for head in heads) + 0.06)
    for head, x in zip(heads, ends, strict=True):
        sheet.text(x, sheet.y - 0.06, head, SMALL, weight="bold", ha="right", va="bottom")
    sheet.line((sheet.left, sheet.right), (sheet.y - 0.02,) * 2)
    del top
    finite = persons[[math.isfinite(p) for p in persons]]
    most = max(float(finite.max(initial=0.0)), 1.0)
    for i, label in enumerate(labels):
        lines = wrap(label or "Step without a name", label_room - 0.1)
        height = max(height_of(lines) + 0.06, 0.27)
        middle = sheet.take(height) + height / 2
        sheet.text(sheet.left, middle, lines, va="center")
        if math.isfinite(persons[i]):
            sheet.box(bars[0], middle - 0.085, (bars[1] - bars[0]) * max(persons[i], 0) / most, 0.17,
                      facecolor=style.EXPOSED, edgecolor=style.EXPOSED)  # fmt: skip
        sheet.line((bars[0], bars[0]), (middle - height / 2, middle + height / 2), color=style.MUTED)
        for j, x in enumerate(ends):
            sheet.text(x, middle, cells[i][j], SMALL, ha="right", va="center", weight="bold" if j == 0 else "normal")


def _shares(persons: Floats, i: int, hidden: str) -> tuple[str, str, str]:
    """Return the count and both percentages of a step; a percentage of or from a hidden count is a dash."""

    def share(whole: float) -> str:
        if not (math.isfinite(persons[i]) and math.isfinite(whole)) or whole <= 0:
            return say.DASH
        return say.percent(persons[i] / whole, say.percent_digits(whole))

    return count(persons[i], hidden), share(persons[i - 1]) if i else say.DASH, share(persons[0])
