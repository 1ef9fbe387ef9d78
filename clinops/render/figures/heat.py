"""Counts as shades: the transition map between states, and events by calendar day or month."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.errors import DataError
from clinops.render import style
from clinops.render import text as say
from clinops.render.figures.curves import foot
from clinops.render.figures.sheet import SLACK, SMALL, TINY, Sheet, even, height_of, width_of, wrap
from clinops.render.figures.values import (
    Floats,
    counts,
    finite,
    labels,
    percent_tick,
    plain,
    printed,
    sentence_case,
    shares,
    unseen,
    unseen_or,
    words,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd

#: From none to the most: light to dark in one hue, so that it also reads in grey.
SHADES = ((0.0, "#e6f0f7"), (0.6, style.OKABE_ITO["blue"]), (1.0, "#00324f"))
#: Beyond this depth a text is white.
DARK = 0.45
HIDDEN_LOOK = {"facecolor": "white", "edgecolor": style.RULE, "hatch": "//////", "linewidth": 0.5}


@dataclass(frozen=True)
class _Cell:
    """One field of a map: how deep its shade is (NaN: none), its lines, or the one where these do not fit."""

    depth: float
    lines: tuple[str, ...] = ()
    hidden: bool = False
    short: str = ""


def shade(depth: float) -> str:
    """Return the colour of a depth, 0 to 1."""
    at = min(max(depth, 0.0), 1.0)
    (low, a), (high, b) = next(pair for pair in itertools.pairwise(SHADES) if at <= pair[1][0])
    part = (at - low) / (high - low)
    mixed = (round(int(a[i : i + 2], 16) * (1 - part) + int(b[i : i + 2], 16) * part) for i in (1, 3, 5))
    return "#" + "".join(f"{v:02x}" for v in mixed)


def _field(sheet: Sheet, x: float, y: float, width: float, height: float, cell: _Cell) -> None:
    """Draw a field; its lines are centred, those after the first small."""
    if cell.hidden:
        sheet.box(x, y, width, height, **HIDDEN_LOOK)
    elif not math.isfinite(cell.depth):
        sheet.box(x, y, width, height, edgecolor=style.RULE, linewidth=0.5)
    else:
        sheet.box(x, y, width, height, facecolor=shade(cell.depth), edgecolor="white", linewidth=0.7)
    tall = sum(height_of(line, SMALL if i == 0 else TINY) for i, line in enumerate(cell.lines))
    top = y + (height - tall) / 2
    ink = "white" if cell.depth > DARK and not cell.hidden else style.INK
    back = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}} if cell.hidden else {}
    for i, line in enumerate(cell.lines):
        size = SMALL if i == 0 else TINY
        sheet.text(x + width / 2, top, line, size, ha="center", color=ink, **back)
        top += height_of(line, size)


def _scale(sheet: Sheet, title: str, ends: tuple[str, str], hidden: str) -> None:
    """Write what the shades mean: a title, samples from least to most between their numbers, what is hatched."""
    steps, side = 6, 0.15
    needed = width_of(title, SMALL) * SLACK + sum(width_of(e, SMALL) for e in ends) * SLACK + steps * side + 0.3
    if needed > sheet.body:
        sheet.paragraph(title, SMALL, gap=0.02)
        title = ""
    x = sheet.left
    if title:
        sheet.text(x, sheet.y, title, SMALL)
        x += width_of(title, SMALL) * SLACK + 0.12
    sheet.text(x, sheet.y, ends[0], SMALL)
    x += width_of(ends[0], SMALL) * SLACK + 0.06
    for i in range(steps):
        sheet.box(x + i * side, sheet.y + 0.015, side, 0.1, facecolor=shade(i / (steps - 1)), edgecolor="none")
    x += steps * side + 0.06
    sheet.text(x, sheet.y, ends[1], SMALL)
    x += width_of(ends[1], SMALL) * SLACK + 0.2
    line = height_of("0", SMALL)
    if hidden:
        said = f"Too few to show ({hidden})"
        if x + 0.3 + width_of(said, SMALL) * SLACK > sheet.right:
            x = sheet.left
            sheet.take(line + 0.03)
        sheet.box(x, sheet.y + 0.015, 0.2, 0.1, **HIDDEN_LOOK)
        sheet.text(x + 0.26, sheet.y, said, SMALL)
    sheet.take(line + 0.08)


# -- Transitions -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Map:
    """The transitions of one arm: the states left with how many leave each, and a cell for each pair of states."""

    arm: str
    rows: list[str]
    leaving: list[str]
    cells: dict[tuple[str, str], _Cell]


@dataclass(frozen=True)
class _Grid:
    """The room of the states' names, the sides of a field, what each column is headed, how states are numbered."""

    names: float
    width: float
    height: float
    heads: list[str]
    number: dict[str, int]


def transition_map(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw for each state left where its persons go next: a shade for the share, the count and share in the field."""
    n, share = finite(frame, "n"), _row_shares(frame)
    hidden = unseen(frame, "n", "share")
    if not np.isfinite(n).any() and not np.isfinite(share).any():
        sheet.nothing(f"every count is too small to show ({hidden})." if hidden else "no count is known.")
        return
    most = _round_up(float(np.nanmax(share, initial=0.01)))
    missing = str(options.get("missing") or "")
    maps = _maps(frame, share, most, missing)
    into = list(dict.fromkeys(name for name in labels(frame, "to")))
    states = [*dict.fromkeys((*labels(frame, "from"), *into))]
    unit = str(options.get("unit") or "transitions")
    _scale(sheet, f"Share of the {unit} from a state", ("0%", percent_tick(most)), unseen_or(frame, "n", missing))
    across = 2 if not sheet.narrow and len(maps) > 1 else 1
    while True:
        room = (sheet.body - 0.3 * (across - 1)) / across
        grid, written = _grid(maps, states, into, room, last=across == 1)
        if written or across == 1:
            break
        across = 1
    for first in range(0, len(maps), across):
        sheet.take(0.12 if first else 0.0)
        top, ends = sheet.y, []
        for i, one in enumerate(maps[first : first + across]):
            sheet.y = top
            _transitions(sheet, one, into, grid, sheet.left + i * (room + 0.3), written)
            ends.append(sheet.y)
        sheet.y = max(ends)
    notes = [
        f"Rows: from; columns: to. In the fields: {('', 'share of the row', 'count and share of the row')[written]}."
    ]
    if not written:
        notes = ["Rows: from; columns: to. Counts stand in the table of this figure."]
    sheet.take(0.04)
    foot(sheet, options, bands=False, also=notes)


def _row_shares(frame: pd.DataFrame) -> Floats:
    """Return the share of each transition: as given, else of those who leave the state as far as all are known."""
    if "share" in frame.columns:
        return shares(frame, "share")
    n, of = finite(frame, "n"), finite(frame, "n_from")
    keys = list(zip(words(frame, "arm"), words(frame, "from"), strict=True))
    if "n_from" not in frame.columns:
        of = np.array([sum(n[i] for i, other in enumerate(keys) if other == key) for key in keys])
    return np.where(of > 0, n / np.where(of > 0, of, 1.0), math.nan)


def _round_up(most: float) -> float:
    return next((step for step in (0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.8, 1.0) if most <= step + 1e-9), 1.0)


def _maps(frame: pd.DataFrame, share: Floats, most: float, missing: str) -> list[_Map]:
    arms, left, into = words(frame, "arm"), labels(frame, "from"), labels(frame, "to")
    n, leaving = ([missing or c if c == say.DASH else c for c in counts(frame, column)] for column in ("n", "n_from"))
    gone = [bool(a or b) for a, b in zip(printed(frame, "n"), printed(frame, "share"), strict=True)]
    gone = [a or (bool(missing) and not math.isfinite(b)) for a, b in zip(gone, finite(frame, "n"), strict=True)]
    of = finite(frame, "n_from")
    found = []
    for arm in dict.fromkeys(arms):
        at = [i for i, other in enumerate(arms) if other == arm]
        cells = {}
        for i in at:
            known = math.isfinite(share[i]) and not gone[i]
            said = say.percent(share[i], say.percent_digits(of[i]) if of[i] < 100 else 1) if known else ""
            lines = (n[i], said) if said else (n[i],)
            cells[left[i], into[i]] = _Cell(
                share[i] / most if known else math.nan, lines, gone[i], say.percent(share[i], 0) if known else n[i]
            )
        rows = list(dict.fromkeys(left[i] for i in at))
        totals = {left[i]: leaving[i] for i in at} if "n_from" in frame.columns else {}
        found.append(_Map(arm, rows, [totals.get(row, "") for row in rows], cells))
    return found


def _grid(
    maps: Sequence[_Map], states: Sequence[str], into: Sequence[str], room: float, *, last: bool
) -> tuple[_Grid, int]:
    """Return the grid in a room, and how much fits into its fields: 2 count and share, 1 the share, 0 nothing."""
    number = {state: i + 1 for i, state in enumerate(states)}
    longest = max(width_of(f"{number[row]} {row}") for one in maps for row in one.rows) * SLACK + 0.12
    names = min(longest, room * 0.36)
    width = min((room - names) / len(into), 1.0)
    both = max(width_of(line, SMALL) for one in maps for cell in one.cells.values() for line in cell.lines or ("",))
    some = max(width_of(cell.short, SMALL) for one in maps for cell in one.cells.values())
    fits = 2 if both * SLACK + 0.05 <= width else 1 if last and some * SLACK + 0.03 <= width else 0
    word = max(width_of(w, SMALL, "bold") for state in into for w in state.split() or [""]) * SLACK + 0.06
    named = word <= width and all(wrap(s, width - 0.04, SMALL, "bold").count("\n") < 3 for s in into)
    heads = [even(s, width - 0.04, SMALL, "bold") if named else str(number[s]) for s in into]
    return _Grid(names, width, 0.34 if fits == 2 else 0.24, heads, {} if named else number), fits


def _transitions(sheet: Sheet, one: _Map, into: Sequence[str], grid: _Grid, left: float, kept: int) -> None:
    if one.arm:
        name = wrap(one.arm, grid.names + grid.width * len(into), weight="bold")
        sheet.text(left, sheet.take(height_of(name) + 0.04), name, weight="bold")
    tall = max(height_of(head, SMALL) for head in grid.heads)
    y = sheet.take(tall + 0.04)
    for j, head in enumerate(grid.heads):
        x = left + grid.names + (j + 0.5) * grid.width
        sheet.text(x, y + tall - 0.035, head, SMALL, weight="bold", ha="center", va="baseline")
    for row, leaving in zip(one.rows, one.leaving, strict=True):
        name = f"{grid.number[row]} {row}" if grid.number else row
        lines = even(name or "State without a name", grid.names - 0.1)
        below = f"n = {leaving}" if leaving else ""
        height = max(grid.height, height_of(lines) + height_of(below, TINY) + 0.05)
        y = sheet.take(height)
        first = y + (height - height_of(lines) - height_of(below, TINY)) / 2
        sheet.text(left, first, lines)
        sheet.text(left, first + height_of(lines), below, TINY, color=style.MUTED)
        for j, state in enumerate(into):
            cell = one.cells.get((row, state))
            if cell is not None:
                shown = ((), (cell.short,), cell.lines)[kept]
                x = left + grid.names + j * grid.width
                _field(sheet, x, y, grid.width, height, _Cell(cell.depth, shown, cell.hidden))


# -- Calendar ----------------------------------------------------------------------------------------

#: From the top of a line of small text to its baseline.
BASE = 0.1
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?(?!\d)")


def calendar_heat(sheet: Sheet, frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    """Draw events by day (weekday by week, a block a year) or by month (month by year), darker where there are more."""
    n = finite(frame, "n")
    hidden = unseen(frame, "n")
    if not np.isfinite(n).any():
        sheet.nothing(f"every count is too small to show ({hidden})." if hidden else "no count is known.")
        return
    dates = [_date(value) for value in frame["date"]]
    by_day = {len(date) == 3 for date in dates}
    if len(by_day) > 1:
        raise DataError('A calendar holds days ("2022-03-01") or months ("2022-03"), not both in one figure.')
    least, most = _range(n)
    unit = sentence_case(str(options.get("unit") or "events"))
    _scale(sheet, f"{unit} a {'day' if by_day == {True} else 'month'}", (plain(least), plain(most)), hidden)
    gone = [bool(text) for text in printed(frame, "n")]
    said = counts(frame, "n")
    arms = words(frame, "arm")
    for k, arm in enumerate(dict.fromkeys(arms)):
        at = [i for i, other in enumerate(arms) if other == arm]
        cells = {dates[i]: _Cell((n[i] - least) / (most - least), (said[i],), gone[i]) for i in at}
        if len(cells) < len(at):
            raise DataError(f"{arm or 'The frame'} has a date in more than one row; a calendar takes one row a date.")
        sheet.take(0.1 if k else 0.0)
        if arm:
            sheet.paragraph(arm, weight="bold", gap=0.04)
        (_by_day if by_day == {True} else _by_month)(sheet, cells)
    blank = any(not math.isfinite(v) and not g for v, g in zip(n, gone, strict=True))
    foot(sheet, options, bands=False, also=["Blank: not known."] if blank else [])


def _range(n: Floats) -> tuple[float, float]:
    """Return the counts of the lightest and of the darkest shade: from 0, unless every count is far from it."""
    low, high = float(np.nanmin(n)), float(np.nanmax(n))
    return (low if 4 * low > high > low else 0.0), max(high, 1.0)


def _date(value: Any) -> tuple[int, ...]:
    """Return year and month, and the day where there is one."""
    found = DATE.match(str(value))
    parts = tuple(int(part) for part in found.groups() if part) if found else ()
    try:
        dt.date(*(*parts, 1)[:3])
    except (TypeError, ValueError):
        raise DataError(f'A date is a day ("2022-03-01") or a month ("2022-03"), not {value!r}.') from None
    return parts


def _by_day(sheet: Sheet, cells: Mapping[tuple[int, ...], _Cell]) -> None:
    """Draw a block a year, or a half-year on a narrow sheet: a column a week from Monday, a row a weekday."""
    months = 6 if sheet.narrow else 12
    names = max(width_of("2000", SMALL, "bold"), *(width_of(day, TINY) for day in DAYS)) * SLACK + 0.1
    side = (sheet.body - names) / (28 if sheet.narrow else 54)
    years = sorted({date[0] for date in cells})
    for year in range(years[0], years[-1] + 1):
        for first in range(1, 13, months):
            inside = {d: c for d, c in cells.items() if d[0] == year and first <= d[1] < first + months}
            if inside:
                _block(sheet, inside, dt.date(year, first, 1), names, side)


def _block(sheet: Sheet, cells: Mapping[tuple[int, ...], _Cell], first: dt.date, names: float, side: float) -> None:
    monday = first - dt.timedelta(days=first.weekday())
    edge = sheet.left + names
    head = sheet.take(height_of("0", SMALL) + 0.03) + BASE
    sheet.text(sheet.left, head, str(first.year), SMALL, weight="bold", va="baseline")
    height = max(side, 0.115)
    for month in sorted({date[1] for date in cells}):
        x = sheet.left + names + side * ((dt.date(first.year, month, 1) - monday).days // 7 + (month > first.month))
        if x >= edge - 1e-9:
            sheet.text(x, head, MONTHS[month - 1], SMALL, va="baseline")
            edge = x + width_of(MONTHS[month - 1], SMALL) * SLACK + 0.06
    for i in range(0, 7, 2):
        sheet.text(sheet.left, sheet.y + (i + 0.5) * height, DAYS[i], TINY, va="center", color=style.MUTED)
    for date, cell in cells.items():
        days = (dt.date(*date) - monday).days  # type: ignore[arg-type]
        x = sheet.left + names + side * (days // 7)
        _field(sheet, x, sheet.y + height * (days % 7), side, height, _Cell(cell.depth, (), cell.hidden))
    sheet.take(7 * height + 0.1)


def _by_month(sheet: Sheet, cells: Mapping[tuple[int, ...], _Cell]) -> None:
    """Draw a row a year and a column a month; on a narrow sheet months go down and years across, as far as they fit."""
    years = list(range(min(d[0] for d in cells), max(d[0] for d in cells) + 1))
    down = sheet.narrow and len(years) <= 8
    rows, columns = (MONTHS, [str(y) for y in years]) if down else ([str(y) for y in years], MONTHS)
    names = max(width_of(row, SMALL) for row in rows) * SLACK + 0.1
    width = min((sheet.body - names) / len(columns), 0.8)
    fits = max(width_of(c.lines[0], SMALL) for c in cells.values()) * SLACK + 0.03 <= width
    for j, column in enumerate(columns):
        sheet.text(sheet.left + names + (j + 0.5) * width, sheet.y + BASE, column, SMALL, ha="center", va="baseline",
                   weight="bold")  # fmt: skip
    sheet.take(height_of("0", SMALL) + 0.03)
    for i, row in enumerate(rows):
        y = sheet.take(0.22)
        sheet.text(sheet.left, y + 0.15, row, SMALL, va="baseline", weight="bold")
        for j in range(len(columns)):
            cell = cells.get((years[j], i + 1) if down else (years[i], j + 1))
            if cell is not None:
                shown = _Cell(cell.depth, cell.lines if fits else (), cell.hidden)
                _field(sheet, sheet.left + names + j * width, y, width, 0.22, shown)
    sheet.take(0.06)
