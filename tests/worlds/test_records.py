"""The records are clean, whole and repeatable."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from clinops.worlds import simulate, tables, world, write
from clinops.worlds.cdm import SCHEMAS

KEYS = {
    "person": "person_id",
    "observation_period": "observation_period_id",
    "payer_plan_period": "payer_plan_period_id",
    "visit_occurrence": "visit_occurrence_id",
    "condition_occurrence": "condition_occurrence_id",
    "drug_exposure": "drug_exposure_id",
    "cost": "cost_id",
    "observation": "observation_id",
    "death": "person_id",
    "care_site": "care_site_id",
    "concept": "concept_id",
    "vocabulary": "vocabulary_id",
}
DATED = {
    "visit_occurrence": ("visit_start_date", "visit_end_date"),
    "condition_occurrence": ("condition_start_date", "condition_start_date"),
    "drug_exposure": ("drug_exposure_start_date", "drug_exposure_end_date"),
    "observation": ("observation_date", "observation_date"),
    "payer_plan_period": ("payer_plan_period_start_date", "payer_plan_period_end_date"),
    "death": ("death_date", "death_date"),
}


def count(records, sql: str) -> int:
    return records.sql(sql).fetchone()[0]


def test_every_table_has_the_columns_of_the_model(small):
    assert set(small.tables) == set(SCHEMAS)
    for name, table in small.tables.items():
        assert table.schema.equals(SCHEMAS[name]), name


@pytest.mark.parametrize(("table", "key"), KEYS.items())
def test_identifiers_are_unique_and_present(records, table, key):
    assert count(records, f"select count(*) - count(distinct {key}) from {table}") == 0


@pytest.mark.parametrize(("table", "dates"), DATED.items())
def test_every_event_lies_in_an_observation_period(records, table, dates):
    first, last = dates
    outside = f"""select count(*) from {table} t where {last} < {first} or not exists (
        select 1 from observation_period o where o.person_id = t.person_id
        and o.observation_period_start_date <= t.{first} and o.observation_period_end_date >= t.{last})"""
    assert count(records, outside) == 0


def test_nothing_happens_after_death_and_death_ends_observation(records):
    late = """select count(*) from death d join observation_period o using (person_id)
        where o.observation_period_end_date > d.death_date"""
    assert count(records, late) == 0


@pytest.mark.parametrize(
    ("child", "column", "parent", "key"),
    [
        ("visit_occurrence", "care_site_id", "care_site", "care_site_id"),
        ("person", "care_site_id", "care_site", "care_site_id"),
        ("condition_occurrence", "visit_occurrence_id", "visit_occurrence", "visit_occurrence_id"),
        ("cost", "payer_plan_period_id", "payer_plan_period", "payer_plan_period_id"),
        ("visit_occurrence", "visit_concept_id", "concept", "concept_id"),
        ("condition_occurrence", "condition_concept_id", "concept", "concept_id"),
        ("drug_exposure", "drug_concept_id", "concept", "concept_id"),
        ("observation", "observation_concept_id", "concept", "concept_id"),
        ("person", "race_concept_id", "concept", "concept_id"),
        ("concept", "vocabulary_id", "vocabulary", "vocabulary_id"),
        ("visit_occurrence", "visit_type_concept_id", "concept", "concept_id"),
        ("drug_exposure", "drug_type_concept_id", "concept", "concept_id"),
    ],
)
def test_references_resolve(records, child, column, parent, key):
    assert count(records, f"select count(*) from {child} where {column} not in (select {key} from {parent})") == 0


def test_diagnoses_carry_their_visits_person_and_day(records):
    wrong = """select count(*) from condition_occurrence c join visit_occurrence v using (visit_occurrence_id)
        where c.person_id <> v.person_id or c.condition_start_date <> v.visit_start_date"""
    assert count(records, wrong) == 0


def test_each_visit_and_fill_has_one_cost_in_its_own_plan_year(records, small):
    events = len(small.tables["visit_occurrence"]) + len(small.tables["drug_exposure"])
    assert count(records, "select count(*) from charged") == len(small.tables["cost"]) == events
    wrong = """select count(*) from cost c
        join visit_occurrence v on c.cost_domain_id = 'Visit' and c.cost_event_id = v.visit_occurrence_id
        join payer_plan_period p using (payer_plan_period_id)
        where p.person_id <> v.person_id or v.visit_start_date not between
        p.payer_plan_period_start_date and p.payer_plan_period_end_date"""
    assert count(records, wrong) == 0


def test_money_adds_up_to_the_cent(records):
    wrong = """select count(*) from cost where amount_allowed <> paid_by_payer + paid_by_patient
        or total_paid <> amount_allowed or total_charge < amount_allowed or amount_allowed <= 0 or paid_by_payer < 0
        or paid_by_patient <> paid_patient_copay + paid_patient_coinsurance + paid_patient_deductible"""
    assert count(records, wrong) == 0


def test_plan_years_tile_the_observation_periods(records):
    days = "sum({0}_end_date - {0}_start_date + 1)"
    observed = count(records, f"select {days.format('observation_period')} from observation_period")
    assert count(records, f"select {days.format('payer_plan_period')} from payer_plan_period") == observed


def test_hospital_stays_do_not_overlap(records):
    overlap = """select count(*) from (select visit_start_date <= lag(visit_end_date) over (
        partition by person_id order by visit_start_date) as hit from visit_occurrence
        where visit_concept_id = 9201) where hit"""
    assert count(records, overlap) == 0


def test_the_source_says_that_it_is_simulated(records):
    text = records.sql("select source_description, cdm_version from cdm_source").fetchone()
    assert "synthetic" in text[0].lower() and "simulated" in text[0].lower() and text[1] == "5.4"


def test_the_same_seed_gives_the_same_records_and_another_seed_others(small):
    again = world(persons=8_000, effect=0.15, seed=7)
    assert all(again.tables[name].equals(table) for name, table in small.tables.items())
    assert again.truth.equals(small.truth)
    assert not world(persons=300, seed=8).tables["person"].equals(world(persons=300, seed=9).tables["person"])


def test_files_are_byte_identical_and_equal_to_memory(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, persons=400, seed=3)
    made = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert made == sorted(path.relative_to(tmp_path / "b") for path in (tmp_path / "b").rglob("*.*"))
    for path in made:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes(), path
    held = world(persons=400, seed=3)
    for name, table in held.tables.items():
        assert pq.read_table(tmp_path / "a" / "omop" / f"{name}.parquet").equals(table), name
    assert pq.read_table(tmp_path / "a" / "truth.parquet").equals(held.truth)


def test_several_blocks_join_without_colliding(monkeypatch, tmp_path):
    monkeypatch.setattr(simulate, "BLOCK", 150)
    monkeypatch.setattr(tables, "BLOCK", 150)
    steps: list[tuple[int, int]] = []
    summary = write(tmp_path / "w", persons=400, seed=3, progress=lambda done, of: steps.append((done, of)))
    assert steps == [(150, 400), (300, 400), (400, 400)]
    held = world(persons=400, seed=3)
    assert held.tables["person"]["person_id"].to_pylist() == list(range(1, 401))
    for name, key in KEYS.items():
        ids = held.tables[name][key].to_pylist()
        assert len(set(ids)) == len(ids) == summary["rows"][name], name
