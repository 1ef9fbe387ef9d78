"""Tables made ready for analysis: typed, exact copies left out, impossible rows set aside and counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from clinops.errors import DataError, SourceError
from clinops.sources import canonical, hygiene
from clinops.sources.engine import Engine, quoted
from clinops.sources.source import SetAside
from clinops.sources.tables import TABLES

if TYPE_CHECKING:
    import ibis.expr.types as ir


class Profile(NamedTuple):
    """A table's content in three numbers: rows, distinct rows, and the sum of the hashes of its rows."""

    rows: int
    distinct: int
    total: str


class Loader:
    """Prepares each table of one source once, when it is first asked for, and remembers what it found."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._ready: dict[str, ir.Table] = {}
        self._profiles: dict[str, Profile] = {}
        self._found: dict[str, list[SetAside]] = {}
        self._observed: set[str] = set()
        self._built: dict[str, ir.Table] = {}
        self.examples: dict[str, str] = {}
        """By what was set aside, a text that names a person to look up; never rendered or written."""

    def table(self, name: str) -> ir.Table:
        """Return the cleaned table, preparing it on first use; without records, an empty one."""
        if name not in self._ready:
            self._ready[name] = self._prepare(name)
        return self._ready[name]

    def set_aside(self, everything: bool = False) -> tuple[SetAside, ...]:
        """Prepare every table that is there and return what was found, table by table.

        With `everything`, what was looked for and not found is there too, with a count of 0.
        """
        for name in TABLES:
            if name not in self.engine.raw:
                continue
            self.table(name)
            if name not in self._observed:
                self._observed.add(name)
                self._found[name] += hygiene.observe(name, self)
        return tuple(item for name in TABLES for item in self._found.get(name, ()) if item.count or everything)

    def fingerprint(self) -> str:
        """Return SHA-256 over every table's name and content."""
        for name in TABLES:
            if name in self.engine.raw:
                self.table(name)
        content = {name: list(profile) for name, profile in sorted(self._profiles.items()) if profile.rows}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _prepare(self, name: str) -> ir.Table:
        raw = self.engine.raw.get(name)
        self._found[name] = []
        if raw is None:
            return self._empty(name)
        canonical.check(name, raw, self.engine)
        typed = canonical.canonical(name, raw)
        table = self.engine.materialise(typed, name) if raw.text else self.engine.view(typed, name)
        profile = self._profiles[name] = self._whole(name, table)
        copies = profile.rows - profile.distinct
        if copies:
            table = self.engine.materialise(table.distinct(), name)
        why = "A row that is there twice would count twice."
        self._found[name].append(SetAside(f"{name}: exact copies of a row", copies, why))
        cleaned, found = hygiene.clean(name, table, self)
        self._found[name] += found
        return cleaned

    def _whole(self, name: str, table: ir.Table) -> Profile:
        """Read the table once to its end, so that what is wrong with it is said here and with its name."""
        try:
            return self._profile(table)
        except DataError as error:
            raise DataError(
                f"The table {name} cannot be read: {str(error).rstrip('.')}. If the file is damaged, copy or export "
                "it again; if a column holds something else than OMOP says, correct it in the export."
            ) from error

    def _profile(self, table: ir.Table) -> Profile:
        import ibis

        name = table.get_name()
        inner = f"SELECT {self.engine.row_hash(name, table.columns)} AS h FROM {quoted(name)}"  # noqa: S608
        sql = (
            "SELECT COUNT(*) AS n, COUNT(DISTINCT h) AS d, CAST(COALESCE(SUM(h), 0) AS VARCHAR) AS s "  # noqa: S608
            f"FROM ({inner}) AS q"
        )
        schema = ibis.schema({"n": "int64", "d": "int64", "s": "string"})
        row: dict[str, Any] = self.engine.fetch(sql, schema).to_pylist()[0]
        return Profile(row["n"], row["d"], row["s"])

    def _empty(self, name: str) -> ir.Table:
        import ibis

        schema = ibis.schema({column.name: canonical.TYPES[column.kind] for column in TABLES[name]})
        return self.engine.upload(schema.to_pyarrow().empty_table(), name)

    def once(self, key: str, build: Callable[[], ir.Table]) -> ir.Table:
        """Return a table made from several others, building it on first use."""
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]

    def raw_count(self, name: str) -> int:
        """Return the number of rows a table of the records has, before anything is set aside."""
        try:
            return self.count(self.engine.raw[name].table)
        except DataError as error:
            raise SourceError(f"The table {name} cannot be read to its end: {error} Is the file complete?") from None

    def count(self, expr: ir.Table) -> int:
        """Return the number of rows of an expression."""
        return int(self.engine.rows(expr.aggregate(n=expr.count()))[0]["n"])
