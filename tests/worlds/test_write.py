"""A world appears whole or not at all, and impossible wishes are refused with a reason."""

from __future__ import annotations

import json

import duckdb
import pyarrow as pa
import pytest

from clinops.errors import ParameterError
from clinops.worlds import simulate, world, write
from clinops.worlds.cdm import money
from clinops.worlds.settings import TREATABLE_SHARE


def test_the_truth_lies_beside_the_records(tmp_path):
    summary = write(tmp_path / "deep" / "w", persons=300, seed=3)
    assert sorted(path.name for path in (tmp_path / "deep" / "w").iterdir()) == ["omop", "truth.json", "truth.parquet"]
    assert not list((tmp_path / "deep" / "w" / "omop").glob("truth*"))
    told = json.loads((tmp_path / "deep" / "w" / "truth.json").read_text())
    assert told["att"]["n"] == summary["att"]["n"] > 0
    assert told["knobs"]["seed"] == 3
    assert told["eligibility"]["between"] == ["2020-01-01", "2022-12-31"]


def test_duckdb_reads_money_as_decimal(tmp_path):
    write(tmp_path / "w", persons=100, seed=3)
    kind = duckdb.sql(f"select typeof(amount_allowed) from '{tmp_path}/w/omop/cost.parquet' limit 1").fetchone()
    assert kind == ("DECIMAL(18,2)",)


def test_money_is_exact_and_signed():
    import numpy as np

    assert [str(value) for value in money(np.array([0, 1, -1, 10**14 + 7])).to_pylist()] == [
        "0.00",
        "0.01",
        "-0.01",
        "1000000000000.07",
    ]


def test_an_occupied_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ParameterError, match="not empty"):
        write(tmp_path, persons=100)
    with pytest.raises(ParameterError, match="not a simulated world"):
        write(tmp_path, persons=100, replace=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled_and_a_world_replaced(tmp_path):
    out = tmp_path / "w"
    out.mkdir()
    write(out, persons=100, seed=1)
    write(out, persons=120, seed=2, replace=True)
    assert json.loads((out / "truth.json").read_text())["knobs"]["persons"] == 120
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_a_failure_halfway_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(simulate, "_truth_table", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        write(tmp_path / "w", persons=100)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ParameterError, match="Cannot write to"):
        write(tmp_path / "file" / "w", persons=100)
    with pytest.raises(ParameterError, match="is a file"):
        write(tmp_path / "file", persons=100)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"persons": 0}, "persons is 0"),
        ({"persons": 2.5}, "whole number"),
        ({"persons": True}, "whole number"),
        ({"seed": -1}, "seed is -1"),
        ({"effect": TREATABLE_SHARE + 0.01}, "effect is"),
        ({"effect": "big"}, "must be a number"),
        ({"effect": float("nan")}, "must be a number"),
        ({"uptake": 1.5}, "uptake is 1.5"),
        ({"messy": "yes"}, "messy is 'yes'"),
        ({"efect": 0.1}, "Did you mean 'effect'"),
        ({"effect": 0.1, "uptake": 0.0}, "effect is 0.1"),
    ],
)
def test_impossible_wishes_are_refused(given, said):
    with pytest.raises(ParameterError, match=said):
        world(**{"persons": 50, **given})


@pytest.mark.parametrize("persons", [1, 2, 5])
def test_a_tiny_world_is_still_a_world(persons, tmp_path):
    summary = write(tmp_path / "w", persons=persons, seed=1)
    assert summary["rows"]["person"] == persons
    assert json.loads((tmp_path / "w" / "truth.json").read_text())["knobs"]["persons"] == persons


def test_nobody_activates_without_uptake():
    held = world(persons=2_000, effect=0, uptake=0, seed=2)
    assert not held.truth["activated"].to_numpy().any()
    assert held.truth["offered"].to_numpy().any()


def test_messy_adds_a_few_broken_rows_and_spares_the_eligible():
    clean, messy = world(persons=1_500, seed=4), world(persons=1_500, seed=4, messy=True)
    assert messy.truth.equals(clean.truth)
    with duckdb.connect() as connection:
        messy.register(connection)
        connection.register("truth", messy.truth)

        def few(sql: str) -> int:
            return connection.sql(f"select count(*) from {sql}").fetchone()[0]

        assert few("observation_period where person_id not in (select person_id from person)") == 7
        assert few("person where person_id not in (select person_id from observation_period)") == 7
        assert few("condition_occurrence where person_id not in (select person_id from person)") == 7
        assert few("visit_occurrence where visit_end_date < visit_start_date") == 7
        assert few("condition_occurrence where condition_start_date < date '2010-01-01'") == 7
        assert few("death join person using (person_id) where year(death_date) < year_of_birth") == 7
        assert few("(select visit_occurrence_id from visit_occurrence group by 1 having count(*) > 1)") == 7
        assert few("visit_occurrence join truth using (person_id) where visit_end_date < visit_start_date") == 0


def test_the_world_gives_its_tables_to_duckdb():
    held = world(persons=200, seed=1)
    assert all(isinstance(table, pa.Table) for table in held.tables.values())
    with duckdb.connect() as connection:
        held.register(connection)
        assert connection.sql("select count(*) from person").fetchone() == (200,)
