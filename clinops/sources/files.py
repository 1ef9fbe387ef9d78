"""Which file of a folder holds which table."""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

from clinops.errors import SourceError

_ENDINGS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv"}
_CHUNK = 2**20
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class TableFile:
    """The file or files of one table; a CSV also has its delimiter, its columns and whether it quotes."""

    label: str
    paths: tuple[Path, ...]
    format: str
    delimiter: str = ","
    columns: tuple[str, ...] = ()
    quoted: bool = True


def find(folder: Path) -> dict[str, TableFile]:
    """Return the table files of a folder by lower-case table name.

    A table is `<name>.parquet`, `<name>.csv`, `<name>.csv.gz` (or .tsv), or a folder `<name>` of Parquet parts.

    Raises
    ------
    SourceError
        Two files for one table, or a file that cannot be read.
    """
    found: dict[str, TableFile] = {}
    for path in sorted(folder.iterdir(), key=lambda item: item.name):
        table = _table_of(path)
        if table is None:
            continue
        name, file = table
        if name in found:
            raise SourceError(
                f"{folder.name} holds the table {name!r} twice, as {found[name].label} and as {file.label}; "
                "keep one of them."
            )
        found[name] = file
    return found


def single(path: Path) -> TableFile:
    """Return one file, or a folder of Parquet parts, as a table.

    Raises
    ------
    SourceError
        There is nothing, or it is neither Parquet nor CSV.
    """
    found = _table_of(path) if path.exists() else None
    if found is None:
        why = "is neither Parquet nor CSV" if path.exists() else "is not there"
        raise SourceError(f"{path.name} {why}. Give a file that ends in {', '.join(_ENDINGS)}.")
    return found[1]


def _table_of(path: Path) -> tuple[str, TableFile] | None:
    lower = path.name.lower()
    if path.is_dir():
        parts = tuple(sorted(item for item in path.rglob("*") if item.name.lower().endswith((".parquet", ".pq"))))
        return (lower, TableFile(path.name, parts, "parquet")) if parts else None
    ending = next((end for end in sorted(_ENDINGS, key=len, reverse=True) if lower.endswith(end)), None)
    if ending is None:
        return None
    name = lower.removesuffix(ending)
    if _ENDINGS[ending] == "parquet":
        return name, TableFile(path.name, (path,), "parquet")
    return name, TableFile(path.name, (path,), "csv", *_header(path))


def _header(path: Path) -> tuple[str, tuple[str, ...], bool]:
    """Return a CSV's delimiter (the commonest candidate in its header), its columns, and whether it quotes."""
    try:
        line = _first_line(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SourceError(f"{path.name} cannot be read ({error}); is it complete? Copy or export it again.") from None
    delimiter = max(_DELIMITERS, key=line.count)
    columns = tuple(name.strip() for name in next(csv.reader([line], delimiter=delimiter), []))
    if not any(columns):
        raise SourceError(f"{path.name} is empty: it has not even a header. Export the table again or delete it.")
    # Tab-separated vocabularies are delivered without quoting, and some of their names hold a lone quote.
    return delimiter, columns, delimiter != "\t" or '"' in line


def _first_line(path: Path) -> str:
    """Return the header; a compressed file is read to its end, since DuckDB takes a truncated one for whole."""
    if not path.name.lower().endswith(".gz"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            return file.readline()
    with gzip.open(path, "rb") as packed:
        line = packed.readline().decode("utf-8-sig")
        while packed.read(_CHUNK):
            pass
    return line
