"""From the records' own columns to the types clinops computes with, decided once for each table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, SourceError, nearest
from clinops.sources.engine import Engine, Raw
from clinops.sources.tables import REQUIRED, TABLES, Column

if TYPE_CHECKING:
    import ibis.expr.types as ir

TYPES = {
    "id": "int64",
    "int": "int64",
    "date": "date",
    "time": "timestamp(6)",
    "money": "decimal(18, 2)",
    "number": "float64",
    "text": "string",
}
_WHOLE = r"^[+-]?[0-9]+([.]0*)?$"
_NUMBER = r"^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?$|^[0-9]{8}$"
_PATTERNS = {"id": _WHOLE, "int": _WHOLE, "date": _DATE, "time": _DATE, "money": _NUMBER, "number": _NUMBER}
_WORDS = {
    "id": "whole numbers",
    "int": "whole numbers",
    "date": "dates (YYYY-MM-DD)",
    "time": "times (YYYY-MM-DD HH:MM:SS)",
    "money": "amounts",
    "number": "numbers",
}
EXACT = 2**53
"""Above it a float no longer holds every whole number."""


@dataclass(frozen=True)
class Found:
    """A column of the model and the column of the records that holds it (None: there is none)."""

    column: Column
    raw: Any | None


def match(name: str, raw: Raw) -> list[Found]:
    """Pair the model's columns with the table's, whatever their case and version.

    Raises
    ------
    SourceError
        A column that the table cannot do without is not there.
    """
    pairs = []
    for column in TABLES[name]:
        held = next((raw.columns[other] for other in column.names if other in raw.columns), None)
        pairs.append(Found(column, None if held is None else raw.table[held]))
    missing = [f.column.name for f in pairs if f.raw is None and f.column.name in REQUIRED.get(name, ())]
    if missing:
        known = {other for column in TABLES[name] for other in column.names}
        close = nearest(missing[0], [held for held in raw.columns if held not in known])
        raise SourceError(
            f"The table {name} has no column {missing[0]!r}."
            + (f" Nearest: {', '.join(map(repr, close))}." if close else "")
            + f" It has: {', '.join(raw.columns)}. Rename the column in the export, or leave the table out."
        )
    return pairs


def canonical(name: str, raw: Raw) -> ir.Table:
    """Return the table with exactly the model's columns and types; columns that are not there are null."""
    return typed(raw, match(name, raw))


def typed(raw: Raw, pairs: Sequence[Found]) -> ir.Table:
    """Return the paired columns of a table under their names and types here; those it lacks are null."""
    return raw.table.select(**values(pairs))


def values(pairs: Sequence[Found]) -> dict[str, ir.Value]:
    """Return the paired columns by name, each with its type here."""
    import ibis

    columns: dict[str, ir.Value] = {}
    for found in pairs:
        kind = TYPES[found.column.kind]
        columns[found.column.name] = ibis.null(kind) if found.raw is None else _typed(found.raw, found.column.kind)
    return columns


def check(name: str, raw: Raw, engine: Engine) -> None:
    """Refuse values that are not what their column must hold: text that is no number or date, rounded ids.

    Raises
    ------
    DataError
        Naming the table, the column, how many values and one of them.
    """
    check_pairs(name, raw, match(name, raw), engine)


def check_pairs(name: str, raw: Raw, pairs: Sequence[Found], engine: Engine) -> None:
    """Refuse, as `check` does, values of the paired columns that are not what the columns must hold."""
    suspects = [f for f in pairs if f.raw is not None and _unread(f.raw, f.column.kind, engine) is not None]
    if not suspects:
        return
    counts = {f.column.name: _unread(f.raw, f.column.kind, engine).sum() for f in suspects}
    samples = {
        f"{f.column.name}__sample": _text(f.raw).max(where=_unread(f.raw, f.column.kind, engine)) for f in suspects
    }
    row = engine.rows(raw.table.aggregate(**counts, **samples))[0]
    for found in suspects:
        bad, sample = row[found.column.name], row[f"{found.column.name}__sample"]
        if bad:
            raise DataError(_complaint(name, found, int(bad), sample))


def _complaint(name: str, found: Found, bad: int, sample: str) -> str:
    column, kind = found.column.name, found.column.kind
    values = f"{bad:,} value{'s' * (bad != 1)} of {name}.{column}"
    if found.raw is not None and not found.raw.type().is_string():
        return (
            f"{values} cannot be whole identifiers any more: the column holds decimal numbers, such as {sample}, "
            "and above 2^53 those are rounded. Export the column as a 64-bit integer or as text."
        )
    return f"{values} are not {_WORDS[kind]}, such as {sample!r}. Correct them in the export."


def _unread(raw: Any, kind: str, engine: Engine) -> Any:
    """Return a boolean column, true where a value cannot become the type; None where every value can."""
    source = raw.type()
    if source.is_string() and kind != "text":
        text = raw.strip()
        bad = ~text.re_search(_PATTERNS[kind])
        if engine.dialect == "duckdb":
            bad = bad | _prepared(text, kind).try_cast(TYPES[kind]).isnull()
        return (text != "") & bad
    if source.is_floating() and kind in ("id", "int"):
        return raw.notnull() & ((raw.abs() >= EXACT) | (raw != raw.floor()))
    return None


def _typed(raw: Any, kind: str) -> Any:
    source, target = raw.type(), TYPES[kind]
    if kind == "text":
        return _text(raw)
    if source.is_string():
        return _prepared(raw.strip().nullif(""), kind).cast(target)
    if kind in ("date", "time") and source.is_integer():
        return _prepared(raw.cast("string"), kind).cast(target)
    return raw if source == target else raw.cast(target)


def _text(raw: Any) -> Any:
    return raw if raw.type().is_string() else raw.cast("string")


def _prepared(text: Any, kind: str) -> Any:
    """Return text in the one spelling that every database casts: 12.0 as 12, 20200131 as 2020-01-31."""
    if kind in ("id", "int"):
        return text.re_replace(r"[.]0*$", "")
    if kind == "date":
        return text.re_replace(r"^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3").substr(0, 10)
    if kind == "time":
        return text.re_replace(r"^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3")
    return text
