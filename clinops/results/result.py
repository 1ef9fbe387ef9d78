"""Result, Check, Column and Figure: what every exhibit of a report is made of.

A result is a tidy frame of numbers with instructions for showing it. Nothing in it is formatted: the
same object renders as a table, a figure and a sentence, and lands unrounded in the results files.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.errors import DefinitionError, unknown

if TYPE_CHECKING:
    import pandas as pd

#: How a column prints; `docs/results.md` shows each with an example.
FORMATS = (
    "text", "count", "percent", "n_percent", "fraction", "number0", "number1", "number2", "number3", "money",
    "ratio", "p", "smd", "date", "interval", "mean", "median", "days", "verdict",
)  # fmt: skip

#: Formats of numbers of persons, records or events: the ones that disclosure control may hide.
COUNT_FORMATS = ("count", "percent", "n_percent")


@dataclass(frozen=True)
class Column:
    """How one column of a table is shown.

    Attributes
    ----------
    name : the column of the frame.
    label : as the header prints it.
    format : one of `FORMATS`. With ``low`` and ``high``, "(low to high)" follows in the same format.
    unit : of the header's unit row; for "money" the currency (USD, EUR, GBP or another code).
    spanner : a header that this column shares with its neighbours of the same spanner.
    of : the count column(s) from which this one could be solved; it is hidden wherever one of them is.
        An empty tuple says that it rests on no count; None leaves it to the format (disclosure.py).
    denominator : of "percent" and "n_percent", the column that the count is a part of: 45/230 (19.6%), 45 (19.6%).
    spread : of "mean", the column with the standard deviation: 12.1 (3.4).
    low, high : columns with the ends of an interval or of a range ("interval" takes conf_low, conf_high).
    digits : decimals, where the format's own do not suit.
    format_by : a column that names the format for each row, where one table mixes counts and means.
    digits_by : a column with the decimals for each row, where their scales differ; missing leaves them to the format.
    note : explains the column in a footnote.
    missing : printed for a missing value; where None, "not estimable" for estimates and a dash for the rest.
    """

    name: str
    label: str
    format: str = "text"
    unit: str = ""
    spanner: str = ""
    of: str | tuple[str, ...] | None = None
    denominator: str | None = None
    spread: str | None = None
    low: str | None = None
    high: str | None = None
    digits: int | None = None
    format_by: str | None = None
    digits_by: str | None = None
    note: str = ""
    missing: str | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise DefinitionError(unknown("column format", self.format, FORMATS))
        if (self.low is None) != (self.high is None):
            raise DefinitionError(f"The column {self.name!r} has one end of an interval; give low and high.")
        if self.format == "interval" and self.low is None:
            object.__setattr__(self, "low", "conf_low")
            object.__setattr__(self, "high", "conf_high")

    @property
    def parents(self) -> tuple[str, ...]:
        """The count columns whose hiding hides this one."""
        if self.of is None:
            return ()
        return (self.of,) if isinstance(self.of, str) else tuple(self.of)

    @property
    def fields(self) -> tuple[str, ...]:
        """Every column of the frame that a cell of this column is made of."""
        parts = (self.name, self.denominator, self.spread, self.low, self.high)
        return tuple(part for part in parts if part)


@dataclass(frozen=True, eq=False)
class Figure:
    """Instructions for a drawing.

    Attributes
    ----------
    kind : the name of a drawing function in `clinops.render.figures`.
    data : a tidy frame, one row a mark.
    options : what that function takes besides.
    counts : columns of the data that are numbers of persons or events (disclosure control looks at them).
    of : column -> the count column(s) from which it could be solved.
    hidden : what disclosure control took away, as (row, column, what is printed instead).
    """

    kind: str
    data: pd.DataFrame
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: tuple[str, ...] = ()
    of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hidden: tuple[tuple[int, str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """A tidy, typed frame with a title, notes, and instructions for showing it.

    Attributes
    ----------
    name : a slug; the name of its files.
    title : the caption, without a number.
    frame : one row a line of the table; numbers are numbers, missing is null.
    columns : what is shown, in order; every column as it is where empty.
    notes : footnotes.
    sentence : what the exhibit says, in one plain sentence.
    number : "Table 3", "Figure 1"; None where it is not an exhibit.
    figure : instructions for a drawing, shown in place of the table (which folds away below it).
    group_by : a column whose values head groups of rows.
    alt : what a reader who cannot see the figure is told; the sentence where empty.
    banner : printed on the figure and above the table ("Synthetic data: no clinical meaning").
    hidden : cells that disclosure control took away, as (row, column, what is printed instead).
    label_column : the column that heads each row; the first shown where None.
    protected : the smallest count shown, once disclosure control has been over it; 0 before.
    """

    name: str
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    sentence: str = ""
    number: str | None = None
    figure: Figure | None = None
    group_by: str | None = None
    alt: str = ""
    banner: str = ""
    hidden: tuple[tuple[int, str, str], ...] = ()
    label_column: str | None = None
    protected: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", tuple(self.columns))
        object.__setattr__(self, "notes", tuple(self.notes))
        asked = [part for column in self.columns for part in (*column.fields, *column.parents)]
        asked += [by for column in self.columns for by in (column.format_by, column.digits_by) if by]
        asked += [part for part in (self.group_by, self.label_column) if part]
        for part in asked:
            if part not in self.frame.columns:
                raise DefinitionError(
                    unknown(f"column in the frame of {self.name!r}", part, map(str, self.frame.columns))
                )

    @property
    def shown(self) -> tuple[Column, ...]:
        """The columns to show; where none were given, every column by its type."""
        if self.columns:
            return self.columns
        kinds = self.frame.dtypes.items()
        return tuple(Column(str(name), str(name), _format_of(str(dtype))) for name, dtype in kinds)

    @property
    def caption(self) -> str:
        """The number and the title, as printed above the exhibit."""
        return f"{self.number}. {self.title}" if self.number else self.title

    @property
    def is_absent(self) -> bool:
        """Whether it holds a reason and no numbers, so that its table would only say the sentence again."""
        return not self.columns and tuple(self.frame.columns) in (("not possible",), ("not shown",))

    def with_(self, **changes: Any) -> Result:
        """Return a copy with some fields changed; unknown names are refused."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise DefinitionError(unknown("part of a result", name, known))
        return dataclasses.replace(self, **changes)

    def to_csv(self, path: str | Path | None = None, *, spreadsheet_safe: bool = False) -> str | Path:
        """Write the frame as CSV (unrounded numbers, hidden cells as they print), or return the text."""
        from clinops.results.csvfile import text_of

        text = text_of(self.frame, self.hidden, spreadsheet_safe=spreadsheet_safe)
        if path is None:
            return text
        Path(path).write_bytes(text.encode("utf-8"))
        return Path(path)

    # What shows results stands after results on the road, so it is looked up by name: importing it here
    # would point backwards.
    def _repr_html_(self) -> str:
        return str(importlib.import_module("clinops.render.exhibit").to_html(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}

    def __str__(self) -> str:
        return str(importlib.import_module("clinops.render.exhibit").to_text(self))

    def __repr__(self) -> str:
        rows, columns = self.frame.shape
        return f"<{type(self).__name__} {self.name}: {self.caption} ({rows} x {columns})>"


@dataclass(frozen=True, eq=False, repr=False)
class Check(Result):
    """A result with a verdict.

    Attributes
    ----------
    observed : what was found: a number, or words.
    threshold : what it was held against.
    passed : True, False, or None where it could not be judged.
    why : why the check matters, and what a failure would mean.
    """

    observed: float | int | str | None = None
    threshold: float | int | str | None = None
    passed: bool | None = None
    why: str = ""

    @property
    def verdict(self) -> str:
        """The verdict in a word, with a shape, so that it needs no colour: "✓ Passed"."""
        return VERDICTS[self.passed]


def absent(name: str, title: str, reason: str, *, why: str = "not possible") -> Result:
    """An exhibit that cannot be had, or was not asked for: said in its place, not left out; it prints as a sentence."""
    import pandas as pd

    sentence = f"{why.capitalize()}: {reason}"
    return Result(name, title, pd.DataFrame({why: [reason]}), sentence=sentence)


VERDICTS = {True: "✓ Passed", False: "✗ Failed", None: "○ Not judged"}


def _format_of(dtype: str) -> str:
    """Return the format for a column that nobody gave instructions for, by its type."""
    if "datetime" in dtype:
        return "date"
    if dtype.lower().startswith(("int", "uint")):
        return "count"
    return "number2" if dtype.lower().startswith("float") else "text"
