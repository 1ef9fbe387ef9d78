"""CSV that is the same every time and that a spreadsheet cannot run: one writer for every table."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
import numbers
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

#: First characters that spreadsheets take for the start of a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def text_of(frame: pd.DataFrame, hidden: Iterable[tuple[int, str, str]] = (), *, spreadsheet_safe: bool = False) -> str:
    r"""Return a frame as CSV text: columns and rows as they stand, unrounded numbers, "\n" line ends.

    Hidden cells print as disclosure control says ("<11"); missing values are empty. With
    ``spreadsheet_safe``, text that a spreadsheet would run as a formula gets an apostrophe in front,
    which `original` takes off again; without it, what is read back is letter by letter what was given.
    """
    said = {(row, column): text for row, column, text in hidden}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [str(name) for name in frame.columns]
    guard = _guard if spreadsheet_safe else str
    writer.writerow([guard(name) for name in names])
    columns = [frame.iloc[:, j].tolist() for j in range(len(names))]
    for i in range(len(frame)):
        values = [(name, column[i]) for name, column in zip(names, columns, strict=True)]
        writer.writerow([said.get((i, name), guard(v) if isinstance(v, str) else cell(v)) for name, v in values])
    return out.getvalue()


def cell(value: Any) -> str:
    """Return one value as CSV text: shortest exact floats, ISO dates, empty for missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        return "" if math.isnan(number) else repr(number)
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def _guard(text: str) -> str:
    return "'" + text if text.startswith(FORMULA_STARTS) else text


def original(text: str) -> str:
    """Return the text that `text_of` was given, from what stands in the file."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text
