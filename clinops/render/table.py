"""A result as a table: one model of printed rows, from which the HTML and the plain text are made.

The HTML is our own and not great_tables': that writes no caption, marks group heads with the scope of
columns, has no row for units, and repeats 8 kB of CSS with each table (docs/results.md, measured).
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from clinops.define.base import slug
from clinops.render import text as say
from clinops.results.result import COUNT_FORMATS, VERDICTS, Column, Result

if TYPE_CHECKING:
    import jinja2

LEFT = ("text", "verdict", "date")


@dataclass(frozen=True)
class Cell:
    """One printed cell: its text, what it is ("shown", "hidden", "missing") and its footnote marks."""

    text: str
    state: str = "shown"
    mark: str = ""


@dataclass(frozen=True)
class Row:
    """One printed row: the head and the cells beside it."""

    head: Cell
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Group:
    """Rows under one heading; the heading is empty where the table has no groups."""

    label: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Everything a table prints, as text, before any markup.

    ``spanners`` are (label, number of columns) over the columns after the head, empty where there are
    none; ``footnotes`` are (mark, text).
    """

    id: str
    head: Column
    columns: tuple[Column, ...]
    spanners: tuple[tuple[str, int], ...]
    groups: tuple[Group, ...]
    footnotes: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each column, the head's first; money's currency is in its cells instead."""
        columns = (self.head, *self.columns)
        return tuple("" if column.format == "money" else column.unit for column in columns)


def layout(result: Result) -> Table:
    """Turn a result into printed rows: the one place where its numbers become text."""
    shown = [column for column in result.shown if column.name != result.group_by] or list(result.shown)
    head = next((c for c in shown if c.name == result.label_column), shown[0])
    columns = tuple(c for c in shown if c is not head)
    marks = _Marks()
    for column in shown:
        marks.column(column)
    hidden = {(row, name): text for row, name, text in result.hidden}
    records = result.frame.to_dict("records")
    rows = []
    for i, record in enumerate(records):
        gone = {name: text for (row, name), text in hidden.items() if row == i}
        cells = [_cell(column, record, gone, marks) for column in (head, *columns)]
        rows.append((_group(result, record), Row(cells[0], tuple(cells[1:]))))
    return Table(
        id=slug(result.name), head=head, columns=columns, spanners=_spanners(columns), groups=_grouped(rows),
        footnotes=marks.footnotes, notes=result.notes,
    )  # fmt: skip


class _Marks:
    """Footnotes in the order in which they are met; equal ones share a letter."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._columns: dict[str, str] = {}

    def note(self, text: str) -> str:
        letter = len(self._of)
        name = chr(97 + letter % 26) * (letter // 26 + 1)
        return self._of.setdefault(text, name)

    def column(self, column: Column) -> None:
        if column.note:
            self._columns[column.name] = self.note(column.note)

    @property
    def footnotes(self) -> tuple[tuple[str, str], ...]:
        return tuple((mark, text) for text, mark in self._of.items())


def _group(result: Result, record: Mapping[Any, Any]) -> str:
    return _plain(record[result.group_by]) if result.group_by else ""


def _grouped(rows: list[tuple[str, Row]]) -> tuple[Group, ...]:
    """Gather rows under their headings, in the order in which the headings first come."""
    groups: dict[str, list[Row]] = {}
    for label, row in rows:
        groups.setdefault(label, []).append(row)
    return tuple(Group(label, tuple(found)) for label, found in groups.items())


def _spanners(columns: tuple[Column, ...]) -> tuple[tuple[str, int], ...]:
    if not any(column.spanner for column in columns):
        return ()
    spans: list[tuple[str, int]] = []
    for column in columns:
        if spans and spans[-1][0] == column.spanner:
            spans[-1] = (column.spanner, spans[-1][1] + 1)
        else:
            spans.append((column.spanner, 1))
    return tuple(spans)


def _cell(column: Column, record: Mapping[Any, Any], hidden: Mapping[str, str], marks: _Marks) -> Cell:
    for name in column.fields:
        if name in hidden:
            return Cell(hidden[name], "hidden")
    value = record[column.name]
    how = str(record[column.format_by]) if column.format_by else column.format
    if _absent(value):
        return _missing_cell(column, how, record, marks)
    if column.digits_by and not _absent(record[column.digits_by]):
        column = dataclasses.replace(column, digits=int(record[column.digits_by]))
    return Cell(_print(column, how, record))


def _missing_cell(column: Column, how: str, record: Mapping[Any, Any], marks: _Marks) -> Cell:
    if column.missing is not None:
        return Cell(column.missing, "missing")
    if how in ("text", *COUNT_FORMATS, "date", "verdict", "None", "nan", ""):
        return Cell("" if how == "text" else say.DASH, "missing")
    own, row = (record.get(name) for name in (f"{column.name.removesuffix('estimate')}note", "note"))
    why = own if isinstance(own, str) and own else row
    return Cell(_limits(column, how, record), "missing", marks.note(why) if isinstance(why, str) and why else "")


def _limits(column: Column, how: str, record: Mapping[Any, Any]) -> str:
    """What stands for an estimate that is missing: that it is, and its limits where it has them (a ratio of 0)."""
    ends = [math.nan if end is None else _number(record[end]) for end in (column.low, column.high)]
    if any(map(math.isnan, ends)) or how == "p":
        return say.NOT_ESTIMABLE
    one = _single(column, how)
    return f"{say.NOT_ESTIMABLE} ({one(ends[0])} to {one(ends[1])})"


def _absent(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _print(column: Column, how: str, record: Mapping[Any, Any]) -> str:
    """Return the text of a cell that has a value."""
    value = record[column.name]
    if how == "verdict":
        return VERDICTS[bool(value)]
    if how == "date":
        return say.date(value)
    if how == "text" or isinstance(value, str):
        return _plain(value)
    if how in ("percent", "n_percent"):
        whole = math.nan if column.denominator is None else _number(record[column.denominator])
        if math.isnan(whole):
            return say.number(float(value), column.digits or 0)
        return say.count_of(float(value), whole, digits=column.digits, alone=how == "n_percent")
    if how == "p":
        return say.p_value(float(value))
    one = _single(column, how)
    if how == "mean" and column.digits is None and abs(float(value)) >= LARGE:
        one = _single(column, "number0")
    shown = one(float(value))
    if column.low is not None and column.high is not None:
        low, high = (_number(record[end]) for end in (column.low, column.high))
        if column.spread is None or not math.isnan(low + high):
            return say.interval(shown, one(low), one(high))
    if column.spread is not None and how in ("mean", "money"):
        spread = _number(record[column.spread])
        return shown if math.isnan(spread) else f"{shown} ({one(spread)})"
    return shown


LARGE = 1000
"""Means from here on print without decimals."""


def _single(column: Column, how: str) -> Any:
    """Return the function that prints one number of a column."""
    if how == "money":
        return lambda value: say.money(value, column.unit, column.digits or 0)
    if how == "fraction":
        return lambda value: say.percent(value, 1 if column.digits is None else column.digits)
    if how == "smd":
        return lambda value: "infinite" if math.isinf(value) else say.number(value, column.digits or 2)
    if how in ("ratio", "interval") and column.digits is None:
        return say.ratio
    default = {"number1": 1, "number2": 2, "number3": 3, "ratio": 2, "mean": 1, "median": 1}
    digits = default.get(how, 0) if column.digits is None else column.digits
    return lambda value: say.number(value, digits)


def _number(value: Any) -> float:
    return math.nan if _absent(value) else float(value)


def _plain(value: Any) -> str:
    if _absent(value):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return say.number(value, 0 if value.is_integer() else 2)
    return str(value)


def numeric(column: Column) -> bool:
    """Tell whether a column stands right, as numbers do."""
    return column.format not in LEFT


# -- HTML --------------------------------------------------------------------------------------------


@cache
def templates() -> jinja2.Environment:
    """Return the templates; everything put into them is escaped."""
    import jinja2

    loader = jinja2.PackageLoader("clinops.render")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals["numeric"] = numeric
    return environment


def to_html(result: Result, label_id: str | None = None) -> str:
    """Return a result's table as HTML: header cells with scope, groups as row groups, footnotes, units.

    Parameters
    ----------
    result : the result.
    label_id : id of the element that names the table (its caption); the title is put in where None.
    """
    table = layout(result)
    marks = {column.name: mark for column in (table.head, *table.columns) for mark in _marks_of(table, column)}
    template = templates().get_template("table.html.j2")
    return template.render(table=table, marks=marks, label_id=label_id, title=result.caption)


def _marks_of(table: Table, column: Column) -> list[str]:
    return [mark for mark, text in table.footnotes if column.note and text == column.note]


# -- Plain text --------------------------------------------------------------------------------------


def to_text(result: Result) -> str:
    """Return a result's table as plain text, in columns, with spanners in the headers."""
    table = layout(result)
    header = [table.head.label] + [
        f"{column.spanner}: {column.label}" if column.spanner else column.label for column in table.columns
    ]
    header = [f"{label} [{unit}]" if unit else label for label, unit in zip(header, table.units, strict=True)]
    lines: list[list[str] | str] = []
    for group in table.groups:
        if group.label:
            lines.append(group.label)
        for row in group.rows:
            indent = "  " if group.label else ""
            cells = (f"{cell.text} {cell.mark}".rstrip() for cell in row.cells)
            lines.append([indent + row.head.text, *cells])
    body = _columns(header, lines, [numeric(column) for column in (table.head, *table.columns)])
    notes = [f"{mark}) {text}" for mark, text in table.footnotes] + list(table.notes)
    return "\n".join([*body, *(textwrap.fill(note, 110) for note in notes)])


def _columns(header: list[str], lines: list[list[str] | str], right: list[bool]) -> list[str]:
    """Line up cells under wrapped headers."""
    rows = [line for line in lines if isinstance(line, list)]
    widths = [max([len(row[j]) for row in rows] + [min(len(header[j]), 16)]) for j in range(len(header))]
    heads = [textwrap.wrap(label, max(width, 8)) or [""] for label, width in zip(header, widths, strict=True)]
    widths = [max([width, *map(len, head)]) for width, head in zip(widths, heads, strict=True)]
    tall = max(map(len, heads))

    def line(cells: list[str]) -> str:
        parts = zip(cells, widths, right, strict=True)
        return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in parts).rstrip()

    top = [line([head[k] if k < len(head) else "" for head in heads]) for k in range(tall)]
    rule = "-" * min(sum(widths) + 2 * (len(widths) - 1), 160)
    return [*top, rule, *(line(row) if isinstance(row, list) else row for row in lines)]
