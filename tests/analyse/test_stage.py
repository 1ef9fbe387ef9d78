"""The design stage: it shows what a study shows of the design, and nothing after the index date can change it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clinops as co
from clinops.analyse.stage import ORDER, DesignStage
from clinops.errors import DataError, DefinitionError, DesignError
from clinops.stats.power import detectable_difference_means
from clinops.worlds import World, world
from tests.analyse.test_comparators import IN_THE_MONTH, MONTH, risk_set, waiting
from tests.truth.support import the_protocol

LATER = {"visit_occurrence": "visit_start_date", "drug_exposure": "drug_exposure_start_date", "death": "death_date"}


def opened(made: World, folder: Path) -> DesignStage:
    folder.mkdir()
    for name, table in made.tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    return co.design_stage(the_protocol(), co.connect(folder))


def without_outcomes(made: World) -> World:
    """The same world in which everybody's acute care, drugs and deaths after the index date never happened."""
    index = made.truth.select(["person_id", "index_date"]).to_pandas().set_index("person_id")["index_date"]
    tables = dict(made.tables)
    for name, date in LATER.items():
        frame = tables[name].select(["person_id", date]).to_pandas()
        late = (pd.to_datetime(frame[date]) > pd.to_datetime(frame["person_id"].map(index))).to_numpy()
        if name == "visit_occurrence":
            late &= np.isin(tables[name]["visit_concept_id"].to_numpy(), (9201, 9203))
        tables[name] = tables[name].filter(pa.array(~late))
    return World(tables, made.truth, made.settings)


@pytest.fixture(scope="module")
def made() -> World:
    return world(persons=3_000, seed=11)


@pytest.fixture(scope="module")
def stage(made: World, tmp_path_factory: pytest.TempPathFactory) -> DesignStage:
    return opened(made, tmp_path_factory.mktemp("stage") / "records")


def test_no_record_after_the_index_date_changes_anything(made: World, stage: DesignStage, tmp_path: Path) -> None:
    emptied = without_outcomes(made)
    assert len(emptied.tables["visit_occurrence"]) < len(made.tables["visit_occurrence"])
    assert len(emptied.tables["death"]) < len(made.tables["death"])
    blind = opened(emptied, tmp_path / "records")
    for name in ORDER:
        pd.testing.assert_frame_equal(getattr(stage, name).frame, getattr(blind, name).frame)
    assert [c.observed for c in stage.checks] == [c.observed for c in blind.checks]


def test_it_equals_the_design_of_a_study(stage: DesignStage) -> None:
    study = the_protocol().on(stage.source)
    for name in ("attrition", "balance", "love", "overlap"):
        pd.testing.assert_frame_equal(getattr(stage, name).frame, getattr(study, name).frame)


def test_people_who_wait_are_those_of_the_study(stage: DesignStage) -> None:
    """Their days are those on which the exposed cohort is entered, after its steps, in both stages."""
    plan = waiting(risk_set, IN_THE_MONTH, covariates=MONTH).vary(age_from=75)  # some offers are no entry
    mine, study = DesignStage(plan, stage.source), plan.on(stage.source)
    pd.testing.assert_frame_equal(mine.attrition.frame, study.attrition.frame)
    pd.testing.assert_frame_equal(mine.baseline.frame, study.baseline.frame)


def test_its_data_hold_no_outcome(stage: DesignStage) -> None:
    with pytest.raises(DataError, match="outcomes have not been read"):
        stage.design.column(the_protocol().outcomes[0])


def test_power_is_reckoned_from_the_time_before(stage: DesignStage) -> None:
    cost = stage.power.frame.set_index("outcome").loc["Total cost"]
    spent = next(m for m in the_protocol().covariates if m.measure == "cost" and m.window == co.before(365))
    values = stage.design.baseline[spent.id].to_numpy(dtype=float)
    assert cost["spread"] == pytest.approx(values.std(ddof=1), rel=1e-12)
    n = {arm: stage.adjusted.weights[mask] for arm, mask in (("e", stage.design.exposed), ("c", ~stage.design.exposed))}
    kish = {arm: w.sum() ** 2 / (w**2).sum() for arm, w in n.items()}
    assert cost["detectable"] == pytest.approx(detectable_difference_means(values.std(ddof=1), kish["e"], kish["c"]))
    deaths = stage.power.frame[stage.power.frame["outcome"] == "Death"]
    assert deaths["spread"].tolist() == [10, 50, 100] and set(deaths["basis"]) == {"assumed"}
    assert np.isfinite(stage.power.frame["detectable"].to_numpy(dtype=float)).all()
    assert "Total cost: a difference of" in stage.power.sentence


def test_a_risk_that_too_few_had_is_not_taken_from_the_past(stage: DesignStage) -> None:
    any_visit = co.any_of(co.events("visit", co.codes("emergency visit", 9203)), co.days(1, 365), name="Any")
    plan = the_protocol().with_(outcomes=(any_visit,))
    had = DesignStage(plan, stage.source).power.frame
    assert set(had["basis"]) == {"days -365 to -1"} and 0 < had["spread"].iloc[0] < 1000
    hidden = DesignStage(plan.with_(min_cell=len(stage.design)), stage.source).power.frame
    assert set(hidden["basis"]) == {"assumed"}


def test_lock_and_study_meet_in_the_register(stage: DesignStage, tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    stage.lock(file)
    study = the_protocol().on(stage.source, register=file)
    _ = study.attrition, study.balance
    assert [e.kind for e in co.register(file).entries] == ["lock"]
    check = next(c for c in study.checks if c.name == "check_plan")
    assert [e.kind for e in co.register(file).entries] == ["lock", "outcomes"]
    assert check.passed is True and "Locked on" in check.sentence
    again = the_protocol().on(stage.source, register=file)
    assert next(c for c in again.checks if c.name == "check_plan").sentence == check.sentence


def test_a_bad_design_stops_it(stage: DesignStage) -> None:
    late = co.count(co.events("visit"), co.days(1, 30), name="Later visits")
    with pytest.raises(DesignError):
        co.design_stage(the_protocol().with_(covariates=(late,)), stage.source)


def test_every_analysis_of_a_protocol_notes_that_it_reads_outcomes(stage: DesignStage, tmp_path: Path) -> None:
    plan, source = the_protocol(), stage.source
    made = {
        "uptake": lambda file: co.uptake(plan, source, replicates=2, register=file),
        "robustness": lambda file: co.robustness(plan, source, register=file).study.outcomes,
        "pre_post": lambda file: co.pre_post(plan, source, "comparators", register=file),
        "costs": lambda file: co.cost_of_care(source, protocol=plan, register=file),
        "outcome": lambda file: co.outcome(plan.on(source, register=file), "Admissions"),
    }
    for name, read in made.items():
        file = tmp_path / f"{name}.jsonl"
        plan.lock(file)
        read(file)
        assert [(e.kind, e.protocol) for e in co.register(file).entries] == [
            ("lock", plan.hash), ("outcomes", plan.hash),
        ], name  # fmt: skip


def test_a_register_without_a_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="A register is of a protocol"):
        co.cost_of_care(tmp_path, people=tmp_path / "people.csv", register=tmp_path / "plan.jsonl")


@pytest.mark.parametrize("where", ["adjust", "sensitivity"])
def test_a_missing_package_is_said_before_anything_runs(
    stage: DesignStage, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    boosted = co.weight("att", using="boosted")
    plan = the_protocol().with_(**{where: boosted if where == "adjust" else co.sensitivity(adjustments=(boosted,))})
    for bound in (plan.on, lambda source: co.design_stage(plan, source)):
        with pytest.raises(DefinitionError, match=r"needs scikit-learn.*clinops-kit\[boosting\]"):
            bound(stage.source)
