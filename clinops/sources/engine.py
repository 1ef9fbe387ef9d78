"""The engine seam: compile an expression with ibis, let the database's own driver run it.

ibis builds and compiles; it never holds a connection. Why: docs/engines.md.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clinops.errors import SourceError, unknown

if TYPE_CHECKING:
    import ibis
    import ibis.expr.types as ir
    import pyarrow as pa

PREFIX = "clinops_"
"""Begins the name of every temporary table and view, so that none hides a table of the records."""


class Engine(ABC):
    """One open database: the raw tables it found, and temporary objects of this session only."""

    dialect: str

    def __init__(self) -> None:
        self._raw: dict[str, Raw] = {}
        self._made = 0
        self.others: tuple[str, ...] = ()
        """Names of what was seen beside the tables and not read; a message can name the nearest."""

    # what a database has to provide

    @abstractmethod
    def execute(self, sql: str) -> None:
        """Run a statement for its effect on temporary objects."""

    @abstractmethod
    def fetch(self, sql: str, schema: ibis.Schema) -> pa.Table:
        """Run a query and return its rows with the types of the schema."""

    @abstractmethod
    def load(self, name: str, table: pa.Table, schema: ibis.Schema) -> None:
        """Create a temporary table of that name and fill it."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; temporary objects go with it. Closing twice is fine."""

    @abstractmethod
    def row_hash(self, name: str, columns: Sequence[str]) -> str:
        """Return SQL for an integer that depends on the values of a row of the table, nulls included."""

    # what follows from it

    @property
    def raw(self) -> Mapping[str, Raw]:
        """The tables of the records, by lower-case name."""
        return self._raw

    def forget(self, table: str) -> None:
        """Leave a table of the records out of account."""
        del self._raw[table]

    def schema(self, table: str) -> ibis.Schema:
        """Return the columns and types of a table of the records, as the records have them."""
        if table not in self._raw:
            raise SourceError(unknown("table", table, self._raw))
        return self._raw[table].table.schema()

    def sql(self, expr: ir.Expr) -> str:
        """Compile an expression into this database's SQL."""
        import ibis

        return str(ibis.to_sql(expr, dialect=self.dialect, pretty=False))

    def collect(self, expr: ir.Table) -> pa.Table:
        """Run an expression and return its rows; sort in the expression where order matters."""
        return self.fetch(self.sql(expr), expr.schema())

    def rows(self, expr: ir.Table) -> list[dict[str, Any]]:
        """Run an expression and return its rows as dictionaries; for small results."""
        return self.collect(expr).to_pylist()

    def materialise(self, expr: ir.Table, hint: str = "table") -> ir.Table:
        """Run an expression once into a temporary table and return that table, with the same types."""
        import ibis

        name = self._name(hint)
        self.execute(f"CREATE TEMPORARY TABLE {name} AS {self._typed(self.sql(expr), expr.schema())}")
        self.execute(f"ANALYZE {name}")
        return ibis.table(expr.schema(), name=name)

    def view(self, expr: ir.Table, hint: str) -> ir.Table:
        """Name an expression as a temporary view and return it, with the same types."""
        import ibis

        name = self._name(hint)
        self.execute(f"CREATE TEMPORARY VIEW {name} AS {self._typed(self.sql(expr), expr.schema())}")
        return ibis.table(expr.schema(), name=name)

    def upload(self, table: pa.Table, hint: str = "upload") -> ir.Table:
        """Copy a small local table into a temporary table and return it."""
        import ibis

        schema = ibis.Schema.from_pyarrow(table.schema)
        name = self._name(hint)
        self.load(name, table, schema)
        return ibis.table(schema, name=name)

    def type_name(self, dtype: Any) -> str:
        """Return the database's name of an ibis type."""
        return str(self.types().to_string(dtype))

    def types(self) -> Any:
        """Return ibis' translation between its types and the database's."""
        # sqlglot keeps the generator of a dialect as it is when first used, and printing a type uses it: what ibis
        # adds to the dialects must be there before, or dates would print as functions that PostgreSQL does not have.
        import ibis.backends.sql.dialects  # noqa: F401
        from ibis.backends.sql.datatypes import DuckDBType, PostgresType

        return {"duckdb": DuckDBType, "postgres": PostgresType}[self.dialect]

    def _name(self, hint: str) -> str:
        self._made += 1
        return f"{PREFIX}{re.sub('[^a-z0-9]+', '_', hint.lower())[:40]}_{self._made}"

    def _typed(self, sql: str, schema: ibis.Schema) -> str:
        """Wrap a query so that its columns have the types ibis believes: date + interval is a timestamp in SQL."""
        columns = ", ".join(
            f"CAST({quoted(name)} AS {self.type_name(dtype)}) AS {quoted(name)}" for name, dtype in schema.items()
        )
        return f"SELECT {columns} FROM ({sql}) AS q"  # noqa: S608 - built from compiled SQL and quoted names


class Raw:
    """A table as the records hold it: an ibis table, and which column has which lower-case name."""

    def __init__(self, table: ir.Table, text: bool = False) -> None:
        self.table = table
        self.text = text
        """Whether every column is text because the file has no types (CSV)."""
        self.columns: dict[str, str] = {}
        for name in table.columns:
            self.columns.setdefault(name.strip().lower(), name)


def quoted(name: str) -> str:
    """Quote an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def choose_schemas(held: dict[str, list[str]], wanted: Sequence[str]) -> list[str]:
    """Return the schemas to read, in order: those asked for, else the only one that has a person table.

    Raises
    ------
    SourceError
        A schema that is not there, or several that hold persons and none was named.
    """
    for schema in wanted:
        if schema not in held:
            raise SourceError(unknown("schema", schema, held))
    if wanted:
        return list(wanted)
    with_persons = [schema for schema, tables in held.items() if "person" in map(str.lower, tables)]
    if len(with_persons) > 1:
        raise SourceError(
            f"{len(with_persons)} schemas hold a table person: {', '.join(with_persons)}. "
            "Name one: connect(..., schema=...)."
        )
    return with_persons or list(held)
