"""DuckDB as the engine: folders of Parquet or CSV, and DuckDB files, all opened read-only."""

# ruff: noqa: S608 - the SQL here is built from quoted names and compiled expressions only
from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, SourceError
from clinops.sources.engine import Engine, Raw, choose_schemas, literal, quoted
from clinops.sources.files import TableFile

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

RECORDS = "records"
"""Name of the attached database or of the schema of views over files."""
_OF_THE_RECORDS = ("InvalidInputException", "IOException", "ConversionException", "OutOfRangeException")
"""What DuckDB raises over what the records hold; anything else is a mistake of ours and stays as it is."""


class DuckEngine(Engine):
    """An in-memory DuckDB that reads the records where they are and keeps temporary tables to itself."""

    dialect = "duckdb"

    def __init__(self) -> None:
        import duckdb

        super().__init__()
        # Python variables must not become tables by name, and no extension is fetched from a network.
        config: dict[str, Any] = {"autoinstall_known_extensions": "false", "python_enable_replacements": "false"}
        # A runner with several notebooks at work gives each its share of the cores; results do not depend on it.
        if share := os.environ.get("CLINOPS_JOBS"):
            config["threads"] = share
        self._connection = duckdb.connect(config=config)
        self._closer = weakref.finalize(self, self._connection.close)

    def execute(self, sql: str) -> None:
        self._run(sql)

    def fetch(self, sql: str, schema: ibis.Schema) -> pa.Table:
        return self._guarded(lambda: self._connection.sql(sql).to_arrow_table()).cast(schema.to_pyarrow())

    def load(self, name: str, table: pa.Table, schema: ibis.Schema) -> None:
        self._connection.register("clinops_incoming", table)
        try:
            self.execute(f"CREATE TEMPORARY TABLE {name} AS {self._typed('FROM clinops_incoming', schema)}")
        finally:
            self._connection.unregister("clinops_incoming")

    def close(self) -> None:
        self._closer()

    def row_hash(self, name: str, columns: Sequence[str]) -> str:
        return f"hash({', '.join(quoted(column) for column in columns)})"

    def attach_file(self, path: Path, schemas: Sequence[str]) -> None:
        """Attach a DuckDB file read-only and take note of the tables in the schemas, the first one winning."""
        self._run(f"ATTACH {literal(str(path))} AS {RECORDS} (READ_ONLY)")
        found = self._run(
            "SELECT schema_name, table_name FROM (SELECT schema_name, table_name, database_name FROM duckdb_tables() "
            "UNION ALL SELECT schema_name, view_name, database_name FROM duckdb_views() WHERE NOT internal) "
            f"WHERE database_name = '{RECORDS}' ORDER BY ALL"
        ).fetchall()
        held: dict[str, list[str]] = {}
        for schema, table in found:
            held.setdefault(schema, []).append(table)
        for schema in choose_schemas(held, schemas):
            for table in held[schema]:
                self._raw.setdefault(table.lower(), Raw(self._described(table, RECORDS, schema)))
        self._lock([])

    def read_files(self, files: Mapping[str, TableFile]) -> None:
        """Make a view over the file or files of each table."""
        self._run(f"CREATE SCHEMA {RECORDS}")
        for name, file in files.items():
            try:
                self._run(f"CREATE VIEW {RECORDS}.{quoted(name)} AS SELECT * FROM {_reader(file)}")
            except DataError as error:
                raise SourceError(
                    f"{file.label} cannot be read: {error}. Is it complete? Copy or export it again."
                ) from None
            self._raw[name] = Raw(self._described(name, "memory", RECORDS), text=file.format == "csv")
        self._lock([str(path) for file in files.values() for path in file.paths])

    def _described(self, table: str, catalog: str, schema: str) -> Any:
        import ibis

        where = f"{quoted(catalog)}.{quoted(schema)}.{quoted(table)}"
        columns = {row[0]: self.types().from_string(row[1]) for row in self._run(f"DESCRIBE {where}").fetchall()}
        return ibis.table(columns, name=table, catalog=catalog, database=schema)

    def _lock(self, paths: Sequence[str]) -> None:
        """Close every door but the records' own files, for the rest of the session."""
        if paths:
            self._run(f"SET allowed_paths = [{', '.join(literal(path) for path in paths)}]")
        self._run("SET enable_external_access = false")
        self._run("SET lock_configuration = true")

    def _run(self, sql: str) -> Any:
        return self._guarded(lambda: self._connection.execute(sql))

    def _guarded(self, run: Callable[[], Any]) -> Any:
        import duckdb

        try:
            return run()
        except duckdb.ConnectionException:
            raise SourceError("The source was closed; connect to it again.") from None
        except tuple(getattr(duckdb, name) for name in _OF_THE_RECORDS) as error:
            raise DataError(str(error).split("\n")[0]) from error
        except duckdb.PermissionException as error:
            # Only the files named at the start may be opened, so one that is gone looks like one that is forbidden.
            said = str(error).split("\n")[0]
            raise DataError(f"{said}. Was a file of the records moved or deleted? Then connect again.") from error
        except duckdb.Error as error:
            if type(error) is not duckdb.Error:
                raise  # a mistake of ours, not of the records
            raise DataError(str(error).split("\n")[0]) from error  # damaged pages of a Parquet file have no kind


def _reader(file: TableFile) -> str:
    paths = "[" + ", ".join(literal(str(path)) for path in file.paths) + "]"
    if file.format == "parquet":
        return f"read_parquet({paths}, union_by_name = true, hive_partitioning = false)"
    quote = '"' if file.quoted else ""
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in file.columns)
    return (
        f"read_csv({paths}, header = true, auto_detect = false, nullstr = '', delim = {literal(file.delimiter)}, "
        f"quote = {literal(quote)}, escape = {literal(quote)}, columns = {{{columns}}})"
    )
