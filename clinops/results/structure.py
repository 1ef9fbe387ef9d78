"""What a reader can add up in an exhibit: its counts as cells, and the sums that hold between them.

Sums are found, not declared: whatever adds up in the numbers adds up for an attacker too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.results.cells import Cells, small
from clinops.results.figure_sums import Place, Sum

if TYPE_CHECKING:
    import pandas as pd

TOTALS = frozenset({"total", "all", "overall", "everybody", "both"})
#: Columns that are numbers of persons or events whatever their display says.
COUNT_NAME = re.compile(
    r"(^|_)(n|count|counts|events?|persons?|patients|entries|records|excluded|at_risk|n_risk|deaths|admissions)(_|$)"
)
#: Rows that follow one another; in a funnel plot they are units side by side.
SEQUENCES = re.compile("attrition|flow|funnel(?!_plot)")
MOST_COLUMNS = 10
#: Losing the last or the first row of an attrition loses the arm's size, which other exhibits print.
LAST, FIRST, TOTAL = 1e9, 1e8, 1e7
#: A total that follows from elsewhere cannot be hidden here.
EVERY = 1e12


@dataclass
class Exhibit:
    """The counts of one frame.

    Attributes
    ----------
    frame : the numbers.
    counts : the cells that hold a count, with the count.
    denominators : numerator column -> denominator column.
    label, groups : the text column that names a row, and those within whose values levels may add up.
    sequence : whether rows follow one another, each what is left of the one before.
    sums : besides those that are found: places that add up to a place, or to a total that follows from elsewhere.
    said : filled as rows are named.
    """

    frame: pd.DataFrame
    counts: dict[Place, float]
    denominators: dict[str, str] = field(default_factory=dict)
    label: str | None = None
    groups: tuple[str, ...] = ()
    sequence: bool = False
    sums: tuple[Sum, ...] = ()
    said: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @property
    def columns(self) -> list[str]:
        """The columns that hold counts, in order."""
        return list(dict.fromkeys(column for _, column in self.counts))

    def row_name(self, row: int) -> str:
        """What the row is called, lower case."""
        return "" if self.label is None else self._said(self.label)[row]

    def place_name(self, row: int) -> str:
        """What the row is called, with its groups: the same count elsewhere has the same name."""
        return " / ".join([*(self._said(g)[row] for g in self.groups if g != self.label), self.row_name(row)])

    def _said(self, column: str) -> list[str]:
        """Return a column as it names rows; asked for every count, so made once."""
        if column not in self.said:
            self.said[column] = [str(value).strip().lower() for value in self.frame[column].tolist()]
        return self.said[column]


def count_cells(frame: pd.DataFrame, named: dict[str, Any]) -> dict[Place, float]:
    """Return the cells that hold a count.

    ``named`` gives for a column True (all rows), False (none) or one flag a row; columns not named in it
    count where their name says so and their values are whole.
    """
    found: dict[Place, float] = {}
    for column in map(str, frame.columns):
        flags = named.get(column, bool(COUNT_NAME.search(column)) and _whole(frame[column]))
        flags = [flags] * len(frame) if isinstance(flags, bool) else list(flags)
        for row, (flag, value) in enumerate(zip(flags, frame[column].tolist(), strict=True)):
            number = number_of(value)
            if flag and number is not None:
                found[row, column] = number
    return found


def number_of(value: Any) -> float | None:
    """Return a value as a number, or None where it is missing or no number."""
    if isinstance(value, bool | str) or value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    try:
        number = float(value)
    except TypeError:
        return None
    return None if np.isnan(number) else number


def _whole(column: pd.Series) -> bool:
    values = [number_of(value) for value in column.tolist()]
    known = [value for value in values if value is not None]
    return bool(known) and all(value >= 0 and float(value).is_integer() for value in known)


def cells_of(exhibit: Exhibit, min_cell: int) -> tuple[Cells, dict[Place, int]]:
    """Return the exhibit's counts as cells with their sums, and which cell each place is."""
    cells, at = Cells(), {}
    names = _names(exhibit)
    known: dict[tuple[Any, ...], int] = {}
    ends = _ends(exhibit)
    for place, value in exhibit.counts.items():
        key = names[place]
        if key not in known:
            known[key] = cells.add(value, cost=value + ends.get(place[0], 0.0))
        at[place] = known[key]
    for parts, whole in (*_totals(exhibit), *_across(exhibit), *_steps(exhibit), *_levels(exhibit)):
        cells.add_sum([at[part] for part in parts], at[whole])
    for places, total in exhibit.sums:
        if all(place in at for place in places) and (isinstance(total, float) or total in at):
            known_total = cells.add(total, cost=EVERY) if isinstance(total, float) else at[total]
            cells.add_sum([at[place] for place in places], known_total)
    _shares(exhibit, cells, at, min_cell)
    _unsaid_steps(exhibit, cells, at, min_cell)
    return cells, at


def _names(exhibit: Exhibit) -> dict[Place, tuple[Any, ...]]:
    """Give every place a key; places that show the same count share it, so that they are hidden together."""
    twin: dict[str, str] = {}
    values = {c: tuple(sorted((r, v) for (r, k), v in exhibit.counts.items() if k == c)) for c in exhibit.columns}
    for column in exhibit.columns:
        same = (c for c in exhibit.columns if values[c] == values[column])
        twin[column] = next(same)
    constant = {c for c, found in values.items() if len({v for _, v in found}) == 1}
    return {
        (row, column): (twin[column], value) if column in constant else (twin[column], exhibit.place_name(row), value)
        for (row, column), value in exhibit.counts.items()
    }


def _blocks(exhibit: Exhibit) -> Iterator[list[int]]:
    """Yield the sets of rows that may add up: all rows, and the rows of each value of each group."""
    yield list(range(len(exhibit.frame)))
    for group in exhibit.groups:
        places: dict[str, list[int]] = {}
        for row, value in enumerate(exhibit.frame[group].tolist()):
            places.setdefault(str(value), []).append(row)
        yield from (rows for rows in places.values() if len(rows) > 1)


def _totals(exhibit: Exhibit) -> Iterator[tuple[list[Place], Place]]:
    """Rows that add up to a row called a total, in their block or anywhere."""
    every = [row for row in range(len(exhibit.frame)) if exhibit.row_name(row) in TOTALS]
    for block in _blocks(exhibit):
        parts = [row for row in block if row not in every]
        for column in exhibit.columns:
            places = [(row, column) for row in parts if (row, column) in exhibit.counts]
            for total in every:
                if (total, column) in exhibit.counts and places:
                    yield places, (total, column)


def _across(exhibit: Exhibit) -> Iterator[tuple[list[Place], Place]]:
    """Columns that add up to another column in every row: arms and their total."""
    columns = exhibit.columns[:MOST_COLUMNS]
    for whole in columns:
        others = [c for c in columns if c != whole]
        for size in (2, 3, 4):
            for parts in combinations(others, size):
                rows = [r for r in range(len(exhibit.frame)) if all((r, c) in exhibit.counts for c in (*parts, whole))]
                if rows and all(_adds_up(exhibit, row, parts, whole) for row in rows):
                    yield from (([(row, c) for c in parts], (row, whole)) for row in rows)


def _adds_up(exhibit: Exhibit, row: int, parts: Sequence[str], whole: str) -> bool:
    return abs(sum(exhibit.counts[row, c] for c in parts) - exhibit.counts[row, whole]) < 1e-6


def _levels(exhibit: Exhibit) -> Iterator[tuple[list[Place], Place]]:
    """Rows of one group whose counts add up to another column that is the same in all of them: a matrix's row."""
    texts = [exhibit.frame[group].astype(str).tolist() for group in exhibit.groups]
    blocks: set[tuple[int, ...]] = set()
    for size in range(1, len(texts) + 1):
        for some in combinations(texts, size):
            places: dict[tuple[str, ...], list[int]] = {}
            for row, key in enumerate(zip(*some, strict=True)):
                places.setdefault(key, []).append(row)
            blocks |= {tuple(rows) for rows in places.values() if len(rows) > 1}
    columns = exhibit.columns[:MOST_COLUMNS]
    for block in sorted(blocks):
        for part, whole in permutations(columns, 2):
            rows = [row for row in block if (row, part) in exhibit.counts and (row, whole) in exhibit.counts]
            if len(rows) < 2 or len({exhibit.counts[row, whole] for row in rows}) > 1:
                continue
            if abs(sum(exhibit.counts[row, part] for row in rows) - exhibit.counts[rows[0], whole]) < 1e-6:
                yield [(row, part) for row in rows], (rows[0], whole)


def _runs(exhibit: Exhibit) -> list[list[int]]:
    """Return the rows that follow one another: the whole frame, or each group of it."""
    if not exhibit.groups:
        return [list(range(len(exhibit.frame)))]
    places: dict[str, list[int]] = {}
    for row, value in enumerate(exhibit.frame[exhibit.groups[0]].tolist()):
        places.setdefault(str(value), []).append(row)
    return list(places.values())


def _steps(exhibit: Exhibit) -> Iterator[tuple[list[Place], Place]]:
    """A row's count is the row before's, less what another column says was taken away."""
    for rows in _runs(exhibit):
        for left in exhibit.columns:
            for gone in exhibit.columns:
                steps = [
                    (before, after)
                    for before, after in pairwise(rows)
                    if (before, left) in exhibit.counts
                    and (after, left) in exhibit.counts
                    and (after, gone) in exhibit.counts
                ]
                held = [
                    abs(exhibit.counts[b, left] - exhibit.counts[a, left] - exhibit.counts[a, gone]) < 1e-6
                    for b, a in steps
                ]
                if left != gone and held and all(held):
                    yield from (([(a, left), (a, gone)], (b, left)) for b, a in steps)


def _unsaid_steps(exhibit: Exhibit, cells: Cells, at: dict[Place, int], min_cell: int) -> None:
    """In an attrition, what a step took away follows from two rows even where no column says it."""
    if not exhibit.sequence:
        return
    said = {whole for _, whole in _steps(exhibit)}
    for rows in _runs(exhibit):
        for column in exhibit.columns:
            for before, after in pairwise(rows):
                if (before, column) in at and (after, column) in at and (before, column) not in said:
                    gone = exhibit.counts[before, column] - exhibit.counts[after, column]
                    if small(gone, min_cell):
                        unsaid = cells.add(gone, printed=False)
                        cells.add_sum([at[after, column], unsaid], at[before, column])


def _shares(exhibit: Exhibit, cells: Cells, at: dict[Place, int], min_cell: int) -> None:
    """A part and its whole give the rest away; levels of a covariate add up to their whole."""
    for part, whole in exhibit.denominators.items():
        for row in range(len(exhibit.frame)):
            if (row, part) in at and (row, whole) in at:
                rest = exhibit.counts[row, whole] - exhibit.counts[row, part]
                if small(rest, min_cell):
                    cells.add_sum([at[row, part], cells.add(rest, printed=False)], at[row, whole])
        for block in _blocks(exhibit):
            rows = [row for row in block if (row, part) in at and (row, whole) in at]
            if len(rows) > 1 and len({exhibit.counts[row, whole] for row in rows}) == 1:
                cells.add_sum([at[row, part] for row in rows], at[rows[0], whole])


def _ends(exhibit: Exhibit) -> dict[int, float]:
    """Return rows that are dear: totals, and the ends of an attrition."""
    dear = {row: TOTAL for row in range(len(exhibit.frame)) if exhibit.row_name(row) in TOTALS}
    if exhibit.sequence or any(True for _ in _steps(exhibit)):
        for rows in _runs(exhibit):
            dear |= {rows[0]: FIRST, rows[-1]: LAST}
    return dear
