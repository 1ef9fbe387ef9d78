"""Shared by all tests: tiny OMOP records, and both engines to read them from.

`tiny(person=[...], ...)` makes tables from short rows; the fixture `any_source(tables)` opens them on DuckDB and
on a real PostgreSQL in turn, through a role that may only SELECT and create temporary tables.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinops.sources import connect
from clinops.sources.source import Source
from clinops.sources.tables import TABLES

GIBLEED = Path(__file__).parent.parent / "data" / "gibleed"

ENGINES = ("duckdb", "postgres")
Tables = Mapping[str, pa.Table]

_ARROW = {
    "id": pa.int64(), "int": pa.int64(), "text": pa.string(), "date": pa.date32(), "time": pa.timestamp("us"),
    "money": pa.decimal128(18, 2), "number": pa.float64(),
}  # fmt: skip
_PG = {
    "id": "bigint", "int": "integer", "text": "varchar", "date": "date", "time": "timestamp", "money": "numeric(18,2)",
    "number": "numeric",
}  # fmt: skip
_SHORT = {
    "observation_period": {"start": "observation_period_start_date", "end": "observation_period_end_date"},
    "payer_plan_period": {"start": "payer_plan_period_start_date", "end": "payer_plan_period_end_date"},
    "visit_occurrence": {"start": "visit_start_date", "end": "visit_end_date", "concept": "visit_concept_id",
                         "code": "visit_source_value", "id": "visit_occurrence_id"},
    "condition_occurrence": {"start": "condition_start_date", "end": "condition_end_date",
                             "concept": "condition_concept_id", "code": "condition_source_value",
                             "id": "condition_occurrence_id"},
    "drug_exposure": {"start": "drug_exposure_start_date", "end": "drug_exposure_end_date",
                      "concept": "drug_concept_id", "code": "drug_source_value", "id": "drug_exposure_id"},
    "procedure_occurrence": {"start": "procedure_date", "end": "procedure_end_date",
                             "concept": "procedure_concept_id", "code": "procedure_source_value",
                             "id": "procedure_occurrence_id"},
    "device_exposure": {"start": "device_exposure_start_date", "end": "device_exposure_end_date",
                        "concept": "device_concept_id", "code": "device_source_value", "id": "device_exposure_id"},
    "measurement": {"start": "measurement_date", "concept": "measurement_concept_id", "value": "value_as_number",
                    "code": "measurement_source_value", "id": "measurement_id"},
    "observation": {"start": "observation_date", "concept": "observation_concept_id",
                    "code": "observation_source_value", "id": "observation_id"},
    "death": {"start": "death_date"},
    "cost": {"event": "cost_event_id", "domain": "cost_domain_id", "allowed": "amount_allowed", "paid": "total_paid",
             "charge": "total_charge", "currency": "currency_concept_id", "id": "cost_id"},
    "concept": {"id": "concept_id", "name": "concept_name", "domain": "domain_id", "vocabulary": "vocabulary_id",
                "code": "concept_code"},
    "concept_ancestor": {"ancestor": "ancestor_concept_id", "descendant": "descendant_concept_id"},
}  # fmt: skip
"""Short names of columns, the same for every domain, so that a test reads as what it is about."""
_DEFAULTS: dict[str, dict[str, Any]] = {
    "person": {"gender_concept_id": 8532, "year_of_birth": 1960},
    "observation_period": {"start": "2010-01-01", "end": "2024-12-31", "period_type_concept_id": 32817},
    "visit_occurrence": {"concept": 9202},
    "cost": {"currency": 44818668, "domain": "Visit"},
}
_COLUMN_OF_ID = {table: columns[0].name for table, columns in TABLES.items() if columns[0].name != "person_id"}


def tiny(**rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Table]:
    """Make OMOP tables from short rows: `tiny(person=[{"person_id": 1}], drug_exposure=[{...}])`.

    Columns take their OMOP names or the short ones: id, person (person_id), start, end, concept, code, value,
    event, domain, allowed, paid. Dates are ISO text. Row ids count from 1 where not given. Without
    `observation_period` each person is observed from 2010-01-01 to 2024-12-31; without `person` the persons are
    those of the other tables, women born in 1960.
    """
    given = {name: [dict(row) for row in table] for name, table in rows.items()}
    known = {row.get("person_id", row.get("person")) for table in given.values() for row in table} - {None}
    given.setdefault("person", [{"person_id": who} for who in sorted(known)])
    everyone = [row.get("person_id", row.get("person")) for row in given["person"]]
    given.setdefault("observation_period", [{"person_id": who} for who in everyone])
    return {
        name: _arrow(name, [_full(name, row, at) for at, row in enumerate(table, 1)]) for name, table in given.items()
    }


def _full(name: str, row: Mapping[str, Any], position: int) -> dict[str, Any]:
    short = {"person": "person_id", **_SHORT.get(name, {})}
    full = {short.get(key, key): value for key, value in {**_DEFAULTS.get(name, {}), **row}.items()}
    if name in _COLUMN_OF_ID and TABLES[name][0].kind == "id":
        full.setdefault(_COLUMN_OF_ID[name], position)
    return full


def _arrow(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {column.name: column.kind for column in TABLES[name]}
    stray = {key for row in rows for key in row} - set(kinds)
    assert not stray, f"{name} has no column {sorted(stray)}"
    columns = {key: [_value(row.get(key), kind) for row in rows] for key, kind in kinds.items()}
    return pa.table({key: pa.array(values, _ARROW[kinds[key]]) for key, values in columns.items()})


def _value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "date":
        return dt.date.fromisoformat(value) if isinstance(value, str) else value
    if kind == "time":
        return dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return Decimal(str(value)).quantize(Decimal("0.01")) if kind == "money" else value


def write_parquet(tables: Tables, folder: Path) -> Path:
    """Write one Parquet file a table and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


class PostgresServer:
    """A PostgreSQL server of this test run only: its own folder, reached by a socket, gone at the end."""

    ROLE = "reader"

    def __init__(self, binaries: Path) -> None:
        # initdb refuses root, and the server's user must be able to enter the folder.
        self.base = Path(tempfile.mkdtemp(prefix="clinops-pg-"))
        self.base.chmod(0o711)
        self.folder = self.base / "pg"
        self.folder.mkdir(mode=0o700)
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            self._as = {"user": "postgres", "group": "postgres", "extra_groups": []}
        data = self.folder / "data"
        self._run(
            binaries / "initdb", "-D", data, "-A", "trust", "-U", "owner", "-E", "UTF8", "--no-sync", "--locale=C"
        )
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off -c shared_buffers=64MB"
        )
        log = self.folder / "log"
        self._stop = (binaries / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        self._run(binaries / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start")
        self.schemas = 0
        if os.geteuid() == 0:
            self.folder.chmod(0o711)
        with self.owner() as connection:
            connection.execute(f"CREATE ROLE {self.ROLE} LOGIN")
            connection.execute("REVOKE ALL ON DATABASE postgres FROM PUBLIC")
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            connection.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE postgres TO {self.ROLE}")

    def _run(self, *command: Any) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd="/", **self._as)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    def address(self, role: str = ROLE) -> str:
        """Return the address of the server's database for a role."""
        return f"postgresql://{role}@/postgres?host={self.folder}"

    def owner(self) -> Any:
        """Return a connection that may do anything; close it."""
        import psycopg

        return psycopg.connect(self.address("owner"), autocommit=True)

    def load(self, tables: Tables) -> str:
        """Copy the tables into a schema of their own, which the reading role may read, and return its name."""
        self.schemas += 1
        schema = f"cdm_{self.schemas}"
        with self.owner() as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
            for name, table in tables.items():
                kinds = {column.name: column.kind for column in TABLES[name]}
                columns = ", ".join(f'"{column}" {_PG[kinds[column]]}' for column in table.column_names)
                connection.execute(f'CREATE TABLE {schema}."{name}" ({columns})')
                with connection.cursor() as cursor, cursor.copy(f'COPY {schema}."{name}" FROM STDIN') as copy:
                    for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
                        copy.write_row(row)
            connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {self.ROLE}")
            connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {self.ROLE}")
        return schema

    def stop(self) -> None:
        """Stop the server and delete its folder."""
        self._run(*self._stop)
        shutil.rmtree(self.base, ignore_errors=True)


def _server_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    places = [Path(on_path).resolve().parent] if on_path else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "pg_ctl").exists()), None)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Start a PostgreSQL server for this worker, or skip where none is installed."""
    binaries = _server_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here: initdb is neither on PATH nor under /usr/lib/postgresql")
    server = PostgresServer(binaries)
    yield server
    server.stop()


@pytest.fixture
def source_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Source]]:
    """Return `source_of(tables, engine="duckdb", **options)`: the tables, opened by `connect` on that engine."""
    opened: list[Source] = []

    def make(tables: Tables, engine: str = "duckdb", **options: Any) -> Source:
        if engine == "postgres":
            server = request.getfixturevalue("postgres_server")
            source = connect(server.address(), schema=server.load(tables), **options)
        else:
            source = connect(write_parquet(tables, tmp_path / f"records_{len(opened)}"), **options)
        opened.append(source)
        return source

    yield make
    for source in opened:
        source.close()


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.postgres] * (name == "postgres")) for name in ENGINES])
def engines(request: pytest.FixtureRequest) -> str:
    """Run the test once on each engine; the value is the engine's name."""
    return str(request.param)


@pytest.fixture
def any_source(source_of: Callable[..., Source], engines: str) -> Callable[..., Source]:
    """Return `any_source(tables, **options)`: the test runs on every engine in turn."""

    def make(tables: Tables, **options: Any) -> Source:
        return source_of(tables, engines, **options)

    return make


@pytest.fixture(scope="session")
def gibleed() -> Iterator[Source]:
    """The embedded GiBleed records, opened once."""
    with connect(GIBLEED) as source:
        yield source
