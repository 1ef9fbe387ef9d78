"""Opening records in every form they come in, and refusing what is not records."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from decimal import Decimal

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from clinops.errors import DataError, SourceError
from clinops.sources import connect, omop
from clinops.sources.postgres import redacted
from tests.conftest import tiny, write_parquet

BIG = 2**53 + 1
RECORDS = tiny(
    person=[{"person_id": 1, "care_site_id": 5}, {"person_id": BIG}],
    condition_occurrence=[
        {"person": BIG, "concept": 201826, "code": "250.00", "start": "2020-02-29"},
        {"person": 1, "concept": 0, "code": "042", "start": "2021-01-01"},
        {"person": 1, "concept": 0, "code": "1E5", "start": "2021-01-02"},
    ],
    visit_occurrence=[{"person": 1, "id": 1, "start": "2020-01-01", "visit_start_datetime": "2020-01-01 10:30:00"}],
    cost=[{"event": 1, "allowed": "12.30"}],
)


def write_csv(folder, suffix=".csv", delimiter=",", upper=False, tables=RECORDS):
    folder.mkdir(exist_ok=True)
    for name, table in tables.items():
        if upper:
            name, table = name.upper(), table.rename_columns([c.upper() for c in table.column_names])
        options = pa.csv.WriteOptions(delimiter=delimiter)
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table, sink, options)
        text = sink.getvalue().to_pybytes()
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(text) if suffix.endswith(".gz") else text)
    return folder


def write_duckdb(path, schema="main", tables=RECORDS):
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for name, table in tables.items():
            connection.register("incoming", table)
            connection.execute(f"CREATE TABLE {schema}.{name} AS FROM incoming")
            connection.unregister("incoming")
    return path


def content(source):
    conditions = omop.events(source, "condition").order_by("record_id")
    costs = source.table("cost")
    return (
        [(r["person_id"], r["source_value"], r["start_date"]) for r in source.engine.rows(conditions)],
        source.engine.rows(source.table("visit_occurrence").select("visit_start_datetime")),
        source.engine.rows(costs.select("amount_allowed")),
        sorted(r["person_id"] for r in source.engine.rows(source.table("person"))),
    )


EXPECTED = (
    [(BIG, "250.00", dt.date(2020, 2, 29)), (1, "042", dt.date(2021, 1, 1)), (1, "1E5", dt.date(2021, 1, 2))],
    [{"visit_start_datetime": dt.datetime(2020, 1, 1, 10, 30)}],
    [{"amount_allowed": Decimal("12.30")}],
    [1, BIG],
)


@pytest.mark.parametrize(
    ("suffix", "delimiter", "upper"),
    [(".csv", ",", False), (".csv.gz", ",", True), (".CSV", ",", True), (".tsv", "\t", False), (".csv", ";", False)],
)
def test_csv_keeps_codes_and_ids_exact(tmp_path, suffix, delimiter, upper):
    with connect(write_csv(tmp_path / "cdm", suffix, delimiter, upper)) as source:
        assert content(source) == EXPECTED
        assert source.rows["condition_occurrence"] == 3


def test_upper_case_parquet(tmp_path):
    for name, table in RECORDS.items():
        pq.write_table(
            table.rename_columns([c.upper() for c in table.column_names]), tmp_path / f"{name.upper()}.parquet"
        )
    with connect(tmp_path) as source:
        assert content(source) == EXPECTED


def test_a_folder_of_parquet_parts(tmp_path):
    write_parquet({k: t for k, t in RECORDS.items() if k != "person"}, tmp_path)
    (tmp_path / "person").mkdir()
    for at in range(2):
        pq.write_table(RECORDS["person"].slice(at, 1), tmp_path / "person" / f"part-{at}.parquet")
    with connect(tmp_path) as source:
        assert content(source) == EXPECTED


@pytest.mark.parametrize("schema", ["main", "cdm"])
def test_a_duckdb_file_is_read_and_left_as_it_was(tmp_path, schema):
    path = write_duckdb(tmp_path / "records.duckdb", schema)
    before = path.read_bytes()
    with connect(path) as source, connect(str(path)) as again:
        assert content(source) == EXPECTED == content(again)
        assert "DuckDB" in source.backend
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["records.duckdb"]


def test_two_schemas_with_persons_must_be_told_apart(tmp_path):
    path = write_duckdb(tmp_path / "records.duckdb", "cdm")
    write_duckdb(path, "old")
    with pytest.raises(SourceError, match="2 schemas hold a table person: cdm, old"):
        connect(path)
    with pytest.raises(SourceError, match="Did you mean 'old'"):
        connect(path, schema="odl")
    with connect(path, schema="old") as source:
        assert content(source) == EXPECTED


def test_a_vocabulary_in_a_schema_of_its_own(any_source, postgres_server, source_of):
    words = postgres_server.load({"concept": tiny(concept=[{"id": 1, "name": "one"}])["concept"]})
    records = postgres_server.load(RECORDS)
    with connect(postgres_server.address(), schema=(records, words)) as source:
        assert source.rows["concept"] == 1
        assert content(source) == EXPECTED


def test_the_same_records_have_the_same_fingerprint_in_any_order_and_format(tmp_path):
    write_parquet(RECORDS, tmp_path / "a")
    write_parquet({k: t.take(list(range(len(t)))[::-1]) for k, t in RECORDS.items()}, tmp_path / "b")
    write_csv(tmp_path / "c")
    changed = {
        **RECORDS,
        "death": tiny(person=[{"person_id": 1}], death=[{"person": 1, "start": "2020-01-01"}])["death"],
    }
    write_parquet(changed, tmp_path / "d")
    found = {}
    for name in "abcd":
        for _ in range(2):
            with connect(tmp_path / name) as source:
                found.setdefault(name, set()).add(source.fingerprint)
    assert found["a"] == found["b"] == found["c"] and len(found["a"]) == 1
    assert found["d"] != found["a"]


def test_the_fingerprint_is_the_same_on_every_opening(any_source):
    assert any_source(RECORDS).fingerprint == any_source(RECORDS).fingerprint


def test_identity_holds_no_path_and_is_json(tmp_path):
    import json

    with connect(write_parquet(RECORDS, tmp_path / "site_a")) as source:
        text = json.dumps(source.identity)
    assert str(tmp_path) not in text and "site_a" in text


# versions of the model, capture, synthetic or real


def renamed(table, **names):
    return table.rename_columns([names.get(c, c) for c in table.column_names])


def test_columns_of_cdm_53_are_read_under_their_54_names(any_source, source_of, tmp_path):
    visits = tiny(visit_occurrence=[{"person": 1, "start": "2020-01-01", "discharged_to_concept_id": 8536,
                                     "admitted_from_concept_id": 9203}])  # fmt: skip
    old = renamed(visits["visit_occurrence"], discharged_to_concept_id="discharge_to_concept_id",
                  admitted_from_concept_id="admitting_source_concept_id")  # fmt: skip
    for table, model in ((visits["visit_occurrence"], "OMOP CDM 5.4"), (old, "OMOP CDM 5.3")):
        source = source_of({**visits, "visit_occurrence": table})
        row = source.engine.rows(source.table("visit_occurrence"))[0]
        assert (row["discharged_to_concept_id"], row["admitted_from_concept_id"]) == (8536, 9203)
        assert source.model == model


@pytest.mark.parametrize(
    ("kind", "capture"),
    [(44814722, "enrolment"), (32813, "enrolment"), (32817, "ehr"), (44814724, "ehr"), (32879, "registry")],
)
def test_capture_is_read_from_the_type_of_the_periods(source_of, kind, capture):
    tables = tiny(person=[{"person_id": 1}], observation_period=[{"person": 1, "period_type_concept_id": kind}])
    source = source_of(tables)
    assert source.capture == capture
    assert str(kind) in source.capture_reason


def test_an_explicit_capture_wins_and_an_unknown_type_says_so(source_of):
    tables = tiny(person=[{"person_id": 1}], observation_period=[{"person": 1, "period_type_concept_id": 0}])
    assert source_of(tables).capture == "ehr"
    assert "does not tell" in source_of(tables).capture_reason
    given = source_of(tables, capture="registry")
    assert (given.capture, given.capture_reason) == ("registry", "as given to connect")
    with pytest.raises(SourceError, match="Did you mean 'enrolment'"):
        source_of(tables, capture="enrollment")


@pytest.mark.parametrize(
    ("text", "synthetic"),
    [
        ("Synthea", True),
        ("records simulated for teaching", True),
        ("Eunomia", True),
        ("St Elsewhere EHR", False),
        (None, False),
    ],
)
def test_synthetic_is_read_from_cdm_source_and_unknown_counts_as_real(source_of, text, synthetic):
    about = {"cdm_source": [{"source_description": text, "cdm_version": "v5.4.0", "cdm_source_name": "A"}]}
    tables = tiny(person=[{"person_id": 1}], **(about if text else {}))
    assert source_of(tables).synthetic is synthetic
    assert source_of(tables, synthetic=not synthetic).synthetic is not synthetic


def test_rendering_says_what_is_there_and_escapes_it(source_of):
    tables = tiny(person=[{"person_id": 1}], observation_period=[{"person": 1}, {"person": 2}],
                  cdm_source=[{"cdm_source_name": "<script>alert(1)</script>", "cdm_version": "5.4"}])  # fmt: skip
    source = source_of(tables)
    text, html = str(source), source._repr_html_()
    for part in (
        "OMOP CDM 5.4",
        "2010-01-01 to 2024-12-31",
        "cost: no table or figure of cost",
        "periods without a person: <11",
    ):
        assert part in text
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "periods without a person</th><td>&lt;11</td>" in html and "real, as far as the records say" in html


# bad input


def test_nothing_there(tmp_path):
    (tmp_path / "omop_2023").mkdir()
    with pytest.raises(SourceError, match=r"There is nothing at .*omop_2022.*Did you mean 'omop_2023'"):
        connect(tmp_path / "omop_2022")


def test_a_folder_that_is_not_omop(tmp_path):
    (tmp_path / "patients.csv").write_text("Id,BIRTHDATE\n1,1960-01-01\n")
    with pytest.raises(SourceError, match=r"holds no OMOP tables: patients\.csv"):
        connect(tmp_path)


def test_a_folder_with_a_misspelled_table_names_the_nearest(tmp_path):
    write_parquet({("persons" if k == "person" else k): t for k, t in RECORDS.items()}, tmp_path)
    with pytest.raises(SourceError, match=r"it has no table person\. .*Nearest to person: persons"):
        connect(tmp_path)


def test_a_file_or_an_address_that_is_no_source(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"is a single file\. Give the folder"):
        connect(tmp_path / "notes.txt")
    with pytest.raises(SourceError, match="mysql:// is not an address clinops can open"):
        connect("mysql://host/db")
    (tmp_path / "broken.duckdb").write_bytes(b"not a database at all" * 100)
    with pytest.raises(SourceError, match=r"broken\.duckdb cannot be opened as a DuckDB file"):
        connect(tmp_path / "broken.duckdb")


def test_a_missing_required_column_names_the_nearest(tmp_path):
    person = renamed(RECORDS["person"], year_of_birth="yearofbirth")
    with pytest.raises(SourceError, match=r"table person has no column 'year_of_birth'\. Nearest: 'yearofbirth'"):
        connect(write_parquet({**RECORDS, "person": person}, tmp_path))


def test_missing_optional_columns_are_null(source_of):
    person = RECORDS["person"].select(["person_id", "gender_concept_id", "year_of_birth"])
    source = source_of({**RECORDS, "person": person})
    rows = source.engine.rows(source.table("person"))
    assert [row["care_site_id"] for row in rows] == [None, None]


@pytest.mark.parametrize("table", ["person", "observation_period"])
def test_an_empty_table_that_everything_needs(source_of, table):
    with pytest.raises(DataError, match=f"The table {table} is empty"):
        source_of({**RECORDS, table: RECORDS[table].slice(0, 0)})


def test_periods_of_nobody(source_of):
    with pytest.raises(DataError, match="No observation period belongs to a person"):
        source_of(tiny(person=[{"person_id": 1}], observation_period=[{"person": 2}]))


def test_a_truncated_parquet_file(tmp_path):
    write_parquet(RECORDS, tmp_path)
    path = tmp_path / "person.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match=r"person\.parquet cannot be read"):
        connect(tmp_path)


def test_a_corrupt_gz_file(tmp_path):
    many = pa.table({"person_id": range(20_000), "gender_concept_id": [0] * 20_000, "year_of_birth": [1960] * 20_000})
    write_csv(tmp_path, ".csv.gz", tables={**RECORDS, "person": many})
    path = tmp_path / "person.csv.gz"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(SourceError, match=r"person\.csv\.gz cannot be read .*is it complete"):
        connect(tmp_path)
    path.write_bytes(b"this is no gzip")
    with pytest.raises(SourceError, match=r"person\.csv\.gz cannot be read"):
        connect(tmp_path)


def test_an_empty_file(tmp_path):
    write_csv(tmp_path)
    (tmp_path / "death.csv").write_text("")
    with pytest.raises(SourceError, match=r"death\.csv is empty: it has not even a header"):
        connect(tmp_path)


def test_one_table_in_two_files(tmp_path):
    write_csv(tmp_path)
    write_parquet({"person": RECORDS["person"]}, tmp_path)
    with pytest.raises(SourceError, match=r"'person' twice, as person\.csv and as person\.parquet"):
        connect(tmp_path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("condition_start_date", "31/12/2020", "1 value of condition_occurrence.condition_start_date are not dates"),
        ("condition_start_date", "2020-02-30", "such as '2020-02-30'"),
        ("condition_concept_id", "12.5", "are not whole numbers .*such as '12.5'|not whole numbers, such as '12.5'"),
        ("person_id", "1e5", "not whole numbers, such as '1e5'"),
    ],
)
def test_text_that_is_no_number_or_date_is_refused(tmp_path, column, value, message):
    write_csv(tmp_path)
    rows = RECORDS["condition_occurrence"].to_pylist()
    text = [{name: "" if v is None else str(v) for name, v in row.items()} for row in rows]
    text[1][column] = value
    pa.csv.write_csv(pa.Table.from_pylist(text), tmp_path / "condition_occurrence.csv")
    with connect(tmp_path) as source, pytest.raises(DataError, match=message):
        source.table("condition_occurrence")


def test_csv_spellings_that_are_read_exactly(tmp_path):
    write_csv(tmp_path)
    (tmp_path / "observation.csv").write_text(
        "observation_id,person_id,observation_concept_id,observation_date,value_as_number,observation_source_value\n"
        f'1,{BIG}.0,7.0,20200131,1.5e2,"a, ""b"""\n2, 1 ,,2020-01-31 00:00:00,,\n',
        encoding="utf-8-sig",
    )
    with connect(tmp_path) as source:
        rows = source.engine.rows(omop.events(source, "observation").order_by("record_id"))
        values = source.engine.rows(source.table("observation").order_by("observation_id").select("value_as_number"))
    assert [(r["person_id"], r["concept_id"], r["start_date"], r["source_value"]) for r in rows] == [
        (BIG, 7, dt.date(2020, 1, 31), 'a, "b"'),
        (1, None, dt.date(2020, 1, 31), None),
    ]
    assert values == [{"value_as_number": 150.0}, {"value_as_number": None}]


def test_identifiers_rounded_by_floats_are_refused(source_of):
    visits = RECORDS["visit_occurrence"]
    at = visits.column_names.index("visit_occurrence_id")
    for value, fine in ((7.0, True), (float(2**53), False), (7.5, False)):
        source = source_of(
            {**RECORDS, "visit_occurrence": visits.set_column(at, "visit_occurrence_id", pa.array([value]))}
        )
        if fine:
            assert source.engine.rows(source.table("visit_occurrence"))[0]["visit_occurrence_id"] == 7
        else:
            with pytest.raises(DataError, match="visit_occurrence_id cannot be whole identifiers any more"):
                source.table("visit_occurrence")


def test_tables_that_hold_their_header_as_a_row_are_not_read(tmp_path):
    headless = pa.table({"column0": ["person_id"], "column1": ["death_date"]})
    path = write_duckdb(tmp_path / "mixed.duckdb", tables={**RECORDS, "death": headless})
    with connect(path) as source:
        assert not source.has("death")
        assert "death is not read: its columns are called column0" in str(source)
        assert "death: deaths cannot be an outcome" in str(source)
    worse = write_duckdb(tmp_path / "worse.duckdb", tables={**RECORDS, "person": headless})
    with pytest.raises(SourceError, match="it has no table person"):
        connect(worse)


def test_an_unknown_table_is_named_with_the_nearest(source_of):
    with pytest.raises(SourceError, match="Did you mean 'drug_exposure'"):
        source_of(RECORDS).table("drug_exposures")


def test_a_closed_source_says_so(any_source):
    source = any_source(RECORDS)
    source.close()
    source.close()
    with pytest.raises(SourceError, match="The source was closed"):
        source.table("condition_occurrence")


def test_no_other_file_can_be_reached_through_the_session(tmp_path):
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with connect(write_parquet(RECORDS, tmp_path / "cdm")) as source:
        with pytest.raises((DataError, duckdb.Error), match="disabled by configuration"):
            source.engine.execute(f"CREATE TEMPORARY TABLE t AS FROM read_csv('{tmp_path}/secret.csv')")
        assert content(source) == EXPECTED


# PostgreSQL


def test_a_server_that_is_not_there_is_reported_without_the_password(tmp_path):
    pytest.importorskip("psycopg")
    address = f"postgresql://me:s3cret@/db?host={tmp_path}&password=s3cret"
    with pytest.raises(SourceError, match=r"postgresql://me:\*\*\*@/db.* cannot be reached") as failed:
        connect(address)
    assert "s3cret" not in str(failed.value)
    assert failed.value.__cause__ is None


def test_passwords_are_left_out_of_any_text():
    assert (
        redacted("at postgresql://u:p@h:5432/d?x=1 and password=abc")
        == "at postgresql://u:***@h:5432/d?x=1 and password=***"
    )
    assert redacted("postgresql://u@h/d") == "postgresql://u@h/d"


def test_a_missing_driver_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SourceError, match="needs the package psycopg"):
        connect("postgresql://u@h/d")


def test_a_role_that_may_not_make_temporary_tables(postgres_server):
    import psycopg

    schema = postgres_server.load(RECORDS)
    with postgres_server.owner() as owner:
        owner.execute("CREATE ROLE bare LOGIN")
        owner.execute("GRANT CONNECT ON DATABASE postgres TO bare")
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO bare")
        owner.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO bare")
    assert psycopg  # the server is there, so the driver is
    with pytest.raises(SourceError, match="GRANT TEMPORARY ON DATABASE"):
        connect(postgres_server.address("bare"), schema=schema)


def test_importing_sources_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, clinops.sources; print(sorted({'pandas','ibis','duckdb','psycopg','pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=True)
    assert done.stdout.strip() == "[]"


def test_a_csv_cut_in_the_middle_of_a_row(tmp_path):
    write_csv(tmp_path)
    path = tmp_path / "person.csv"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(SourceError, match="The table person cannot be read to its end"):
        connect(tmp_path)
