"""PostgreSQL as the engine: SELECT on the records, temporary views and tables for everything else."""

from __future__ import annotations

import io
import re
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, SourceError
from clinops.sources.engine import Engine, Raw, choose_schemas, quoted

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY n.nspname, c.relname, a.attnum
"""
_PASSWORD = re.compile(r"(://[^:/@\s]*):[^@\s]*@|(password=)\S+", re.IGNORECASE)


class PostgresEngine(Engine):
    """One session on a PostgreSQL server; the role needs SELECT on the records and TEMPORARY on the database."""

    dialect = "postgres"

    def __init__(self, address: str, schemas: Sequence[str] = ()) -> None:
        psycopg = _psycopg()
        super().__init__()
        try:
            self._connection = psycopg.connect(address, autocommit=True, application_name="clinops")
        except psycopg.Error as error:
            raise SourceError(_unreachable(address, error)) from None
        self._closer = weakref.finalize(self, self._connection.close)
        self.database = str(self._connection.info.dbname)
        try:
            self.execute("SET datestyle = 'ISO, YMD'")
            self.execute("SET timezone = 'UTC'")
            self.execute("SET extra_float_digits = 1")
            self._find_tables(schemas)
        except BaseException:
            self.close()
            raise

    def execute(self, sql: str) -> None:
        with self._cursor() as cursor:
            _run(cursor, sql)

    def fetch(self, sql: str, schema: ibis.Schema) -> pa.Table:
        """Read the rows as one CSV stream, which is fast and keeps null apart from empty text."""
        stream = io.BytesIO()
        with self._cursor() as cursor:
            _copy_out(cursor, f"COPY ({self._typed(sql, schema)}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)", stream)
        return _table(stream, schema)

    def load(self, name: str, table: pa.Table, schema: ibis.Schema) -> None:
        columns = ", ".join(f"{quoted(column)} {self.type_name(dtype)}" for column, dtype in schema.items())
        self.execute(f"CREATE TEMPORARY TABLE {name} ({columns})")
        with self._cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for batch in table.to_batches(max_chunksize=50_000):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)
        self.execute(f"ANALYZE {name}")

    def close(self) -> None:
        self._closer()

    def row_hash(self, name: str, columns: Sequence[str]) -> str:
        return f"hashtextextended(ROW({', '.join(quoted(column) for column in columns)})::text, 0)"

    def _cursor(self) -> Any:
        if self._connection.closed:
            raise SourceError("The source was closed, or the server ended the session; connect to it again.")
        return self._connection.cursor()

    def _find_tables(self, schemas: Sequence[str]) -> None:
        import ibis

        with self._cursor() as cursor:
            rows = cursor.execute(_COLUMNS).fetchall()
        found: dict[str, dict[str, dict[str, Any]]] = {}
        for schema, table, column, kind in rows:
            found.setdefault(schema, {}).setdefault(table, {})[column] = kind
        for schema in choose_schemas({s: list(tables) for s, tables in found.items()}, schemas):
            for table, columns in found[schema].items():
                typed = {column: self.types().from_string(kind) for column, kind in columns.items()}
                self._raw.setdefault(table.lower(), Raw(ibis.table(typed, name=table, database=schema)))


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise SourceError(
            "Reading PostgreSQL needs the package psycopg, which is not installed. "
            'Install the extra: python -m pip install "psycopg[binary]>=3.2,<4".'
        ) from None
    return psycopg


def _unreachable(address: str, error: Exception) -> str:
    said = " ".join(redacted(str(error)).split())
    return (
        f"{redacted(address)} cannot be reached: {said}. Is the server up, and are host, port, database and role right?"
    )


def redacted(text: str) -> str:
    """Return text without the password of an address in it."""
    return _PASSWORD.sub(lambda m: f"{m.group(1)}:***@" if m.group(1) is not None else f"{m.group(2)}***", text)


def _run(cursor: Any, sql: str) -> None:
    import psycopg

    try:
        cursor.execute(sql)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SourceError(
            f"The role may not do what an analysis needs: {str(error).strip()}. It needs SELECT on the records and "
            "TEMPORARY on the database (GRANT TEMPORARY ON DATABASE ... TO ...)."
        ) from None
    except psycopg.errors.DataError as error:
        raise DataError(str(error).split("\n")[0]) from error


def _copy_out(cursor: Any, sql: str, stream: io.BytesIO) -> None:
    import psycopg

    try:
        with cursor.copy(sql) as copy:
            for block in copy:
                stream.write(block)
    except psycopg.errors.DataError as error:
        raise DataError(str(error).split("\n")[0]) from error
    stream.seek(0)


def _table(stream: io.BytesIO, schema: ibis.Schema) -> pa.Table:
    import pyarrow as pa
    from pyarrow import csv

    wanted = schema.to_pyarrow()
    if not stream.getbuffer().nbytes:
        return wanted.empty_table()
    read = csv.read_csv(
        stream,
        read_options=csv.ReadOptions(column_names=wanted.names),
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types={field.name: field.type for field in wanted},
            null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
            true_values=["t"], false_values=["f"],
        ),
    )  # fmt: skip
    return pa.Table.from_arrays(read.columns, schema=wanted)
