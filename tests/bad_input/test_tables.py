"""Tables and columns that are missing or empty, files that are damaged, and sources that are no OMOP records."""

from __future__ import annotations

import base64
import zlib

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clinops.errors import ClinopsError, DataError, SourceError
from clinops.sources import connect
from tests.bad_input.support import design, printed, records
from tests.conftest import write_parquet

RECORDS = records()


def without(table):
    return {name: rows for name, rows in RECORDS.items() if name != table}


def emptied(table):
    return RECORDS | {table: RECORDS[table].slice(0, 0)}


def test_the_records_that_the_tests_spoil_are_fine(study_of):
    study = study_of(RECORDS)
    assert (study.exposed.persons, study.comparator.persons) == (40, 40)
    assert study.set_aside == ()
    assert {"bleed", "death", "cold"} <= set(study.outcomes.frame.columns)


# A table that is missing or empty: an error where the cohort needs it, else a line in the report.


@pytest.mark.parametrize("spoilt", [without, emptied])
def test_a_table_that_the_arms_are_made_of(any_study, spoilt):
    study = any_study(spoilt("drug_exposure"))
    with pytest.raises(DataError) as raised:
        study.attrition  # noqa: B018
    message = str(raised.value)
    assert "The records hold no drug (table drug_exposure). So 'the drug' cannot be looked for." in message
    assert "They hold condition, visit, death, enrolment." in message
    assert "Was the table left out of the export, or is it in another schema?" in message


@pytest.mark.parametrize("spoilt", [without, emptied])
def test_a_table_that_a_covariate_needs(study_of, spoilt):
    study = study_of(spoilt("visit_occurrence"))
    assert "visits" not in study.baseline.frame
    assert "The records hold no visit (table visit_occurrence)." in printed(study)["Visits"]
    assert "no use of care by type of visit" in printed(study)["visit_occurrence"]
    assert len(study.estimates) > 0


@pytest.mark.parametrize("spoilt", [without, emptied])
def test_a_table_that_the_primary_outcome_needs(study_of, spoilt, tmp_path):
    study = study_of(spoilt("condition_occurrence"))
    for name in ("Bleed", "Cold"):
        assert "The records hold no condition (table condition_occurrence)." in printed(study)[name]
    assert study.verdict.label == "not interpretable"
    assert study.front_page.strip is None
    assert "Bleed" not in set(study.estimates["measure"])
    study.write(tmp_path / "out")  # every exhibit can still be made


@pytest.mark.parametrize("spoilt", [without, emptied])
def test_no_deaths(study_of, spoilt):
    study = study_of(spoilt("death"))
    assert "deaths cannot be an outcome, and follow-up cannot end at death" in printed(study)["death"]
    assert "The records hold no death (table death)." in printed(study)["Death"]
    assert set(study.outcomes.frame["end_reason"]) == {"window"}


@pytest.mark.parametrize("table", ["person", "observation_period"])
def test_a_table_without_which_nothing_can_be_done(any_source, table):
    with pytest.raises(SourceError, match=f"it has no table {table}.*Found: .*name it: connect"):
        any_source(without(table))
    with pytest.raises(DataError, match=f"The table {table} is empty, so nobody can be analysed. Was the export compl"):
        any_source(emptied(table))


# A column that is missing.


NEEDED = [
    ("person", "year_of_birth"),
    ("observation_period", "observation_period_end_date"),
    ("condition_occurrence", "condition_start_date"),
    ("drug_exposure", "drug_concept_id"),
]


@pytest.mark.parametrize(("table", "column"), NEEDED)
def test_a_column_that_an_analysis_needs_is_missed_at_once(any_source, table, column):
    with pytest.raises(SourceError) as raised:
        any_source(RECORDS | {table: RECORDS[table].drop_columns([column])})
    message = str(raised.value)
    assert f"The table {table} has no column {column!r}. It has: " in message
    assert "Rename the column in the export, or leave the table out." in message


@pytest.mark.parametrize(("table", "column"), NEEDED)
def test_a_misspelled_column_is_named_as_the_nearest(source_of, table, column):
    named = [f"{name}s" if name == column else name for name in RECORDS[table].column_names]
    with pytest.raises(SourceError, match=f"no column '{column}'. Nearest: '{column}s'"):
        source_of(RECORDS | {table: RECORDS[table].rename_columns(named)})


def test_a_column_that_an_analysis_can_do_without_is_empty(any_study):
    slim = RECORDS["condition_occurrence"].select(["person_id", "condition_concept_id", "condition_start_date"])
    study = any_study(RECORDS | {"condition_occurrence": slim})
    assert study.outcomes.frame["bleed"].sum() == 26
    assert study.set_aside == ()


# Files that are damaged.


def damage(path, how):
    data = path.read_bytes()
    spoilt = {
        "no bytes": b"",
        "the first half": data[: len(data) // 2],
        "all but the last bytes": data[:-20],
        "another kind of file": b"person_id,year_of_birth\n1,1960\n",
        "pages of zeros": data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :],
    }
    path.write_bytes(spoilt[how])


@pytest.mark.parametrize("table", ["person", "drug_exposure"])
@pytest.mark.parametrize("how", ["no bytes", "the first half", "all but the last bytes", "another kind of file"])
def test_a_truncated_parquet_file(tmp_path, table, how):
    write_parquet(RECORDS, tmp_path)
    damage(tmp_path / f"{table}.parquet", how)
    with pytest.raises(SourceError, match=rf"{table}\.parquet cannot be read: .*Is it complete\? Copy or export it"):
        connect(tmp_path)


@pytest.mark.parametrize("table", ["person", "drug_exposure"])
def test_a_parquet_file_whose_end_is_whole_but_whose_pages_are_not(tmp_path, table):
    write_parquet(RECORDS, tmp_path)
    damage(tmp_path / f"{table}.parquet", "pages of zeros")
    with (
        pytest.raises(ClinopsError, match=rf"{table}.* cannot be read: .*([Cc]opy or export it again)"),
        connect(tmp_path, capture="enrolment") as source,
    ):
        design().on(source).attrition  # noqa: B018


def test_a_file_that_is_gone_when_it_is_read(tmp_path):
    with connect(write_parquet(RECORDS, tmp_path), capture="enrolment") as source:
        (tmp_path / "drug_exposure.parquet").unlink()
        with pytest.raises(DataError, match="Was a file of the records moved or deleted"):
            design().on(source).attrition  # noqa: B018


# Sources that are something else.


def test_a_folder_of_another_model(tmp_path):
    write_parquet({"patients": pa.table({"Id": ["a"]}), "encounters": pa.table({"Id": ["b"]})}, tmp_path)
    with pytest.raises(SourceError) as raised:
        connect(tmp_path)
    assert "holds no OMOP tables: encounters.parquet, patients.parquet." in str(raised.value)
    assert "Expected files such as person.parquet or person.csv.gz." in str(raised.value)


def test_a_folder_of_which_only_the_vocabulary_is_omop(tmp_path):
    pq.write_table(pa.table({"concept_id": [1]}), tmp_path / "concept.parquet")
    pq.write_table(pa.table({"person_id": [1]}), tmp_path / "persons.parquet")
    with pytest.raises(SourceError, match=r"no table person and no table observation_period\. Found: concept, persons"):
        connect(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(SourceError, match="holds no OMOP tables: nothing"):
        connect(tmp_path)


def test_a_database_of_something_else(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 1 AS id")
    with pytest.raises(SourceError, match=r"shop is not an OMOP CDM that can be analysed: .*Found: orders"):
        connect(tmp_path / "shop.duckdb")


HEADERS_OF_DUCKDB_2 = (
    "eNrt16EOglAUxvELGGwkC/MVZFzHxjUZxKRuFBNE2XgCRvINLM5k8HkMFhNOH8AnMGtgjs0JoxDY/r/y7ZyznXDaUZYWmPl2769ni6chGknHtmPL6rna"
    "eEpKN5449XvOx8PosRvk1/vl9FpGiQAAAAAAAK24eVk2DP2p9n+sl/1eEf0i5pwOAAAAAICu/f+rb/3+Ifj/AQAAAADovA+zTyim"
)
"""The first 12,288 bytes of a database that DuckDB 2.0.1 wrote."""


@pytest.mark.skipif(not duckdb.__version__.startswith("1."), reason="this DuckDB can read the file")
def test_a_duckdb_file_of_a_newer_version(tmp_path):
    path = tmp_path / "newer.duckdb"
    path.write_bytes(zlib.decompress(base64.b64decode(HEADERS_OF_DUCKDB_2)))
    with pytest.raises(SourceError, match=r"version number 69.*EXPORT DATABASE 'folder' \(FORMAT parquet\), and open"):
        connect(path)


def test_a_server_with_no_records_for_this_role(postgres_server):
    schema = postgres_server.load({"visit_occurrence": RECORDS["visit_occurrence"]})
    with pytest.raises(SourceError, match=r"no table person and no table observation_period\. Found: visit_occurrence"):
        connect(postgres_server.address(), schema=schema)
