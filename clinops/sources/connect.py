"""`connect`: open records where they are, and say what they are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clinops.errors import SourceError, nearest
from clinops.sources.tables import TABLES

if TYPE_CHECKING:
    from clinops.sources.engine import Engine
    from clinops.sources.source import Source

_DATABASES = (".duckdb", ".db", ".ddb")


def connect(
    where: str | Path, *, capture: str | None = None, synthetic: bool | None = None,
    schema: str | Sequence[str] | None = None,
) -> Source:  # fmt: skip
    """Open OMOP records and look at what is there; nothing in them is changed.

    Parameters
    ----------
    where : a folder of Parquet or CSV(.gz) files, one a table; a DuckDB file; or a PostgreSQL address
        (`postgresql://user@host/database`), where the role needs no more than SELECT and TEMPORARY.
    capture : what the data captures: "enrolment" (a plan pays for all care while a person is enrolled), "ehr"
        (what one provider sees) or "registry". Found out from the records where not given.
    synthetic : whether the records are simulated. Found out where not given; unknown counts as real.
    schema : in a database, the schema of the tables, or several, the first that holds a table winning.

    Returns
    -------
    Source

    Raises
    ------
    SourceError
        There is nothing at that place, it is not OMOP, or a table or column is missing that every analysis needs.
    DataError
        The tables are there but hold no persons, or values that are not what their column says.
    """
    from clinops.sources.inspect import source_from

    engine, name, backend = _open(where, (schema,) if isinstance(schema, str) else tuple(schema or ()))
    try:
        return source_from(engine, name, backend, capture=capture, synthetic=synthetic)
    except BaseException:
        engine.close()
        raise


def _open(where: str | Path, schemas: Sequence[str]) -> tuple[Engine, str, str]:
    text = str(where)
    if re.match(r"^postgres(ql)?://", text):
        from clinops.sources.postgres import PostgresEngine

        postgres = PostgresEngine(text, schemas)
        return postgres, postgres.database, "PostgreSQL"
    if "://" in text:
        raise SourceError(
            f"{text.split('://')[0]}:// is not an address clinops can open. Give a folder, a .duckdb file, "
            "or postgresql://user@host/database."
        )
    path = Path(text).expanduser()
    if not path.exists():
        raise SourceError(_nothing_there(path))
    return _open_folder(path) if path.is_dir() else _open_file(path, schemas)


def _nothing_there(path: Path) -> str:
    beside = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    return (
        f"There is nothing at {path}."
        + (f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else "")
        + " Give a folder of Parquet or CSV files, a .duckdb file, or postgresql://user@host/database."
    )


def _open_folder(path: Path) -> tuple[Engine, str, str]:
    from clinops.sources.duck import DuckEngine
    from clinops.sources.files import find
    from clinops.sources.inspect import listing

    seen = find(path)
    files = {name: file for name, file in seen.items() if name in TABLES}
    if not files:
        raise SourceError(
            f"{path.name or path} holds no OMOP tables: {listing(sorted(item.name for item in path.iterdir()))}. "
            "Expected files such as person.parquet or person.csv.gz."
        )
    engine = DuckEngine()
    try:
        engine.read_files(files)
        engine.others = tuple(name for name in seen if name not in TABLES)
    except BaseException:
        engine.close()
        raise
    formats = sorted({"Parquet" if file.format == "parquet" else "CSV" for file in files.values()})
    return engine, path.resolve().name, f"{' and '.join(formats)} files, DuckDB"


def _open_file(path: Path, schemas: Sequence[str]) -> tuple[Engine, str, str]:
    from clinops.errors import DataError
    from clinops.sources.duck import DuckEngine

    if path.suffix.lower() not in _DATABASES:
        raise SourceError(
            f"{path.name} is a single file. Give the folder that holds the tables, or a DuckDB file "
            f"({', '.join(_DATABASES)})."
        )
    engine = DuckEngine()
    try:
        engine.attach_file(path.resolve(), schemas)
    except DataError as error:
        engine.close()
        newer = (
            " A newer DuckDB wrote it: with that one, EXPORT DATABASE 'folder' (FORMAT parquet), and open the folder."
            if "version number" in str(error)
            else ""
        )
        raise SourceError(f"{path.name} cannot be opened as a DuckDB file: {error}{newer}") from None
    except BaseException:
        engine.close()
        raise
    return engine, path.stem, "DuckDB file"
