"""Who is left after each rule: the flow diagram of the arms, and the funnel of one pathway."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.sheet import SLACK, SMALL, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import counts, labels, numbers, words

if TYPE_CHECKING:
    import pandas as pd

WIDEST, NARROWEST, GUTTER = 4.4, 2.9, 0.25
SIDE, BETWEEN, PAD, GAP = 1.06, 0.1, 0.06, 0.17


@dataclass(frozen=True)
class _Step:
    """One box of the flow with the box of those excluded on the way to it; texts are wrapped."""

    rule: str
    persons: str
    entries: str
    excluded: str

    @property
    def height(self) -> float:
        return height_of(self.rule) + height_of(self.persons) + height_of(self.entries, SMALL) + 2 * PAD


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
        chains = [_chain(frame[[name == arm for name in names]], width) for arm in block]
        _block(sheet, block, chains, width, first)


def _chain(frame: pd.DataFrame, width: float) -> list[_Step]:
    rules = labels(frame, "rule")
    persons, entries, out, out_entries = (
        counts(frame, c) for c in ("persons", "entries", "excluded_persons", "excluded_entries")
    )
    room = width - SIDE - BETWEEN - 2 * PAD
    steps = []
    for i, rule in enumerate(rules):
        left = wrap(_said(persons[i], "person", "persons"), room, weight="bold")
        more = wrap(_entries(entries[i], persons[i]), room, SMALL)
        gone = " ".join(part for part in (f"Excluded: {out[i]}", _bracketed(out_entries[i], out[i])) if part)
        steps.append(_Step(even(rule, room), left, more, wrap(gone, SIDE - 2 * PAD, SMALL) if i else ""))
    return steps


def _entries(entries: str, persons: str) -> str:
    """Return the entries of a box; nothing where they are not known or everybody has one."""
    if entries in (persons, say.DASH):
        return ""
    return _said(entries, "entry", "entries")


def _said(count: str, one: str, many: str) -> str:
    """Return "1 person", "1,844 persons", "<11 persons"; a count in words stands after the noun: "Persons: hidden"."""
    if count.isalpha() or count == say.DASH:
        return f"{many.capitalize()}: {count}"
    return f"{count} {one if count == '1' else many}"


def _bracketed(entries: str, persons: str) -> str:
    said = _entries(entries, persons)
    return f"({said})" if said else ""


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
    main = width - SIDE - BETWEEN
    outline = {"edgecolor": final, "facecolor": style.FAINT, "linewidth": 1.3} if final else {}
    sheet.box(x, top, main, step.height, **outline)
    sheet.text(x + PAD, top + PAD, step.rule)
    below = top + PAD + height_of(step.rule)
    sheet.text(x + PAD, below, step.persons, weight="bold")
    sheet.text(x + PAD, below + height_of(step.persons), step.entries, SMALL, color=style.MUTED)
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
    """Draw a bar for each step, with its count and its share of the step before and of the first; a block an arm."""
    names, steps = words(frame, "arm"), labels(frame, "step")
    arms = [frame[[name == arm for name in names]] for arm in dict.fromkeys(names)]
    rows = [row for arm in arms for row in _shares(arm)]
    heads = [wrap(head, 0.75, SMALL, "bold") for head in ("Persons", "Of the step before", "Of the first")]
    widths = [
        max(width_of(text, SMALL, "bold") for text in (heads[j], *(row[j] for row in rows))) * SLACK + 0.12
        for j in range(3)
    ]
    longest = max(width_of(step) for step in steps) * SLACK + 0.1
    room = min(longest, sheet.body * (0.42 if sheet.narrow else 0.38), sheet.body - sum(widths) - 0.5)
    plan = _Funnel(
        sheet.left + room, sheet.right - sum(widths), [sheet.right - sum(widths[j + 1 :]) for j in range(3)], room - 0.1
    )
    sheet.take(max(height_of(head, SMALL) for head in heads) + 0.06)
    for head, x in zip(heads, plan.ends, strict=True):
        sheet.text(x, sheet.y - 0.06, head, SMALL, weight="bold", ha="right", va="bottom")
    sheet.line((sheet.left, sheet.right), (sheet.y - 0.02,) * 2)
    for i, (name, arm) in enumerate(zip(dict.fromkeys(names), arms, strict=True)):
        if name:
            sheet.take(0.05 if i else 0.02)
            sheet.paragraph(name, weight="bold", gap=0.01)
        _bars(sheet, plan, arm, _colour(i))


@dataclass(frozen=True)
class _Funnel:
    """Where the bars start and may end, the right edges of the columns beside them, and the room of a label."""

    start: float
    end: float
    ends: list[float]
    label_room: float


def _bars(sheet: Sheet, plan: _Funnel, arm: pd.DataFrame, colour: str) -> None:
    persons = numbers(arm, "persons")
    most = max(float(persons[np.isfinite(persons)].max(initial=0.0)), 1.0)
    for step, count, cells in zip(labels(arm, "step"), persons, _shares(arm), strict=True):
        lines = even(step or "Step without a name", plan.label_room)
        height = max(height_of(lines) + 0.06, 0.27)
        middle = sheet.take(height) + height / 2
        sheet.text(sheet.left, middle, lines, va="center")
        if math.isfinite(count):
            sheet.box(plan.start, middle - 0.085, (plan.end - plan.start) * max(count, 0) / most, 0.17,
                      facecolor=colour, edgecolor=colour)  # fmt: skip
        sheet.line((plan.start,) * 2, (middle - height / 2, middle + height / 2), color=style.MUTED)
        for j, x in enumerate(plan.ends):
            sheet.text(x, middle, cells[j], SMALL, ha="right", va="center", weight="bold" if j == 0 else "normal")


def _shares(arm: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the count and both percentages of each step; a percentage of or from a count not shown is a dash."""
    persons, texts = numbers(arm, "persons"), counts(arm, "persons")

    def share(i: int, of: int) -> str:
        whole = persons[of] if of >= 0 else math.nan
        if not (math.isfinite(persons[i]) and math.isfinite(whole)) or whole <= 0:
            return say.DASH
        return say.percent(persons[i] / whole, say.percent_digits(whole))

    return [(text, share(i, i - 1), share(i, 0)) for i, text in enumerate(texts)]
