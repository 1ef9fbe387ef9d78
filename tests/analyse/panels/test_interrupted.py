"""An interrupted series from records to a report: against a planted change, least squares by hand, and little data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.panels import interrupted, series_checks
from clinops.analyse.panels.series_exhibits import MAIN, RATIOS
from clinops.errors import DataError, DefinitionError
from clinops.sources import connect
from tests.analyse.panels.made import Clinics, clinics, emergency, other, series
from tests.conftest import write_parquet

OURS, THEIRS = tuple(range(1, 11)), tuple(range(11, 23))


@pytest.fixture(scope="module")
def world() -> Clinics:
    """Ten clinics that start in July 2021, where 40 % of visits are averted at once; twelve that never do."""
    return clinics(seed=12, sizes={6.0: 10, np.inf: 12}, persons=12, averts=0.4)


@pytest.fixture(scope="module")
def source(world: Clinics, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with connect(write_parquet(world.tables, tmp_path_factory.mktemp("series") / "omop"), synthetic=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def found(source: Any) -> interrupted.InterruptedSeries:
    return co.interrupted(series(units=OURS, control=THEIRS), source)


def line(frame: pd.DataFrame, head: str, start: str) -> pd.Series:
    rows = frame[frame["head"].str.startswith(head) & frame["label"].str.startswith(start)]
    assert len(rows) == 1
    return rows.iloc[0]


def months(world: Clinics) -> pd.DataFrame:
    """Visits and person-days of both groups of clinics by month, from the tables."""
    visits = world.tables["visit_occurrence"].to_pandas()
    visits = visits[visits["visit_concept_id"] == 9203]
    clinic = world.tables["person"].to_pandas().set_index("person_id")["care_site_id"]
    month = pd.to_datetime(visits["visit_start_date"]).dt.to_period("M")
    ours = visits["person_id"].map(clinic) <= 10
    counts = pd.crosstab(month, ours).rename(columns={True: "ours", False: "theirs"})
    days = counts.index.to_series().dt.days_in_month
    return counts.assign(days_ours=days * 120, days_theirs=days * 144)


def test_the_planted_change_is_found_and_the_sound_world_passes(
    world: Clinics, found: interrupted.InterruptedSeries
) -> None:
    main = line(found.effects.frame, MAIN, "Mean over the 18 months")
    assert world.truth < -250
    assert main["low"] < world.truth < main["high"] < 0
    ratio = line(found.effects.frame, RATIOS, "Mean over the 18 months")
    kept = (world.happened.sum(axis=1) / world.without.sum(axis=1))[world.first == 6]
    after = world.happened[world.first == 6][:, 6:].sum() / world.without[world.first == 6][:, 6:].sum()
    assert (kept < 0.9).all() and ratio["low"] < after < ratio["high"]
    assert all(check.passed is not False for check in found.checks)
    assert not found.findings.warnings or {f.rule for f in found.findings.warnings} == {"season-under-two-years"}


def test_points_and_least_squares_are_those_of_the_tables(world: Clinics, found: interrupted.InterruptedSeries) -> None:
    table = months(world)
    shown = found.series.frame
    seen = shown[shown["kind"] == "observed"]
    ours = seen[seen["arm"] == "Sites of the programme"]
    assert ours["events"].tolist() == table["ours"].tolist() and (ours["persons"] == 120).all()
    rate = table["ours"] / table["days_ours"] * 30437.5
    assert ours["value"].to_numpy() == pytest.approx(rate.to_numpy())
    # The model with independent errors, of the difference of the rates, written out.
    gap = (rate - table["theirs"] / table["days_theirs"] * 30437.5).to_numpy()
    t = np.arange(36.0)
    angle = 2 * np.pi * (np.arange(36) % 12 + 1) / 12
    after = (t >= 18).astype(float)
    X = np.column_stack([np.ones(36), t, after, after * (t - 18), np.sin(angle), np.cos(angle), np.sin(2 * angle),
                         np.cos(2 * angle)])  # fmt: skip
    b = np.linalg.lstsq(X, gap, rcond=None)[0]
    frame = found.effects.frame
    plain = line(frame, "Linear, independent", "Change of level")
    assert plain["estimate"] == pytest.approx(b[2], rel=1e-8)
    mean = line(frame, "Linear, independent", "Mean over")
    assert mean["estimate"] == pytest.approx(b[2] + b[3] * 8.5, rel=1e-8)
    # Of both series at once the change of the difference is the same number.
    both = found.found.drawn
    assert both.coef[both.term("treated:level 18")] == pytest.approx(b[2], rel=1e-8)
    periods = found.periods.frame
    assert periods["events"].tolist() == [
        table[name].iloc[part].sum() for name in ("ours", "theirs") for part in (slice(0, 18), slice(18, None))
    ]


def test_without_a_control_lint_warns_and_nothing_is_taken_off(source: Any) -> None:
    alone = co.interrupted(series(units=OURS, season="none", change="level", phase_in=2), source)
    assert {f.rule for f in alone.findings.warnings} == {"no-control-series"}
    assert alone.found.control is None and set(alone.series.frame["arm"]) == {"Sites of the programme"}
    frame = alone.effects.frame
    level, mean = line(frame, MAIN, "Change of level"), line(frame, MAIN, "Mean over the 16 months")
    assert level["estimate"] == pytest.approx(mean["estimate"]) and not frame["label"].str.contains("slope").any()
    assert {c.name: c.passed for c in alone.checks}["check_control"] is None
    assert "Warning: no-control-series" in alone.methods.frame["what"].tolist()
    drawn = alone.series.figure
    assert drawn is not None and drawn.options["phase_in"] == 2 and drawn.options["start"] == 18
    fitted = alone.series.frame[alone.series.frame["kind"] == "fitted"]
    assert not fitted["period"].isin(["2021-07", "2021-08"]).any()


def test_a_control_outcome_everybody_shares_and_quarters(source: Any) -> None:
    one = co.interrupted(
        series(control=co.count(other, name="Office visits"), every="quarter", season="indicators"), source
    )
    assert one.found.control is not None and one.found.control.name == "Office visits"
    assert one.found.ours.name == "Emergency visits" and one.found.ours.persons.tolist() == [264.0] * 12
    share = co.interrupted(series(outcome=co.any_of(emergency, name="A visit"), units=OURS), source)
    assert share.plan.per == "person" and "percentage points" in share.effects.sentence
    assert {f.rule for f in one.findings.warnings} == {"few-points", "season-under-two-years"}


def test_a_change_elsewhere_at_the_same_time_fails_the_control(source: Any) -> None:
    """The series that did not change, with the one that did as its control."""
    turned = co.interrupted(series(units=THEIRS, control=OURS), source)
    assert series_checks.control_check(turned.found).passed is False
    assert "Did the control stay as it was?" in turned.bundle().failed


def test_little_data_is_decided(source: Any, source_of: Any) -> None:
    short = co.interrupted(
        series(first="2021-04-01", last="2021-09-30", units=OURS, season="none", change="level"), source
    )
    assert "few-points" in {f.rule for f in short.findings.warnings}
    assert {c.name: c.passed for c in short.checks}["check_other_date"] is None
    with pytest.raises(DataError, match="cannot determine"):
        _ = co.interrupted(series(first="2021-04-01", last="2021-09-30", units=OURS), source).effects
    with pytest.raises(DataError, match="no care site with a person registered 99"):
        co.interrupted(series(units=(1, 99)), source)
    tables = clinics(seed=1, sizes={6.0: 2}, persons=2, rate=0.2).tables
    rare = co.interrupted(series(season="none"), source_of(tables))
    shown = rare.series.frame
    assert not shown["events"].between(1, 10).any() and "<11" in str(rare.series)
    few = clinics(seed=1, sizes={6.0: 2}, persons=8, rate=0.01).tables
    hidden = co.interrupted(series(season="none"), source_of(few))
    after = hidden.found.ours.total[hidden.found.at :].sum()
    assert 0 < after < 11  # a line through so few, or the mean rate, would give their number away
    assert "fewer than 11 persons or events" in hidden.effects.sentence + hidden.series.sentence
    assert set(hidden.series.frame["kind"]) == {"observed"} and hidden.series.figure is not None
    assert hidden.effects.frame[["estimate", "low", "high", "p"]].isna().all(axis=None)
    assert hidden.estimates["estimate"].isna().all() and hidden.estimates["note"].str.contains("fewer than 11").all()
    for name in ("check_other_date", "check_control", "check_phase_in"):
        check = next(c for c in hidden.checks if c.name == name)
        assert check.passed is None and check.frame["value"].isna().all()
    shown = co.interrupted(series(season="none", min_cell=1), source_of(few))
    assert "fitted" in set(shown.series.frame["kind"]) and shown.estimates["estimate"].notna().any()
    late = tables["observation_period"].set_column(
        2, "observation_period_start_date", tables["visit_occurrence"]["visit_start_date"][:4].cast("date32")
    )
    with pytest.raises(DataError, match="nobody is observed in"):
        co.interrupted(series(first="2019-01-01"), source_of(tables | {"observation_period": late}))


def test_the_plan_is_held_to_what_can_be() -> None:
    for given, said in (
        ({"starts": "2020-01-15"}, "at least one period must lie before"),
        ({"starts": "2023-01-01"}, "at least one period must lie before"),
        ({"units": (1, 2), "control": (2, 3)}, "2 are in the series and in its control"),
        ({"control": (2,)}, "Everybody is in the series"),
        ({"control": co.cost()}, "kind of control outcome"),
        ({"control": co.count(other, co.after(3))}, "has a window"),
        ({"phase_in": 18}, "phase_in"),
        ({"season": "sine"}, "season"),
        ({"unit": "ward"}, "no unit 'ward'"),
    ):
        with pytest.raises(DefinitionError, match=said):
            series(**given)


def test_what_is_written(found: interrupted.InterruptedSeries, tmp_path: Path) -> None:
    folder = found.write(tmp_path / "out")
    assert folder is not None
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == set(interrupted.NUMBERS)
    assert [path.stem for path in (folder / "figures").glob("*.svg")] == ["interrupted_series"]
    assert json.loads((folder / "protocol.json").read_text())["protocol"]["type"] == "series"
    rows = pd.read_csv(folder / "results.csv")
    primary = rows[rows["role"] == "primary"]
    assert primary["scale"].unique().tolist() == ["mean difference"] and len(primary) == 3
    assert rows["comparator"].unique().tolist() == ["Other sites"]
    assert (rows["n_exposed"] == 120).all() and rows["note"].str.contains("nan").sum() == 0
    assert set(found.effects.frame["head"]) >= {MAIN, RATIOS, "Linear, Newey-West errors"}
