"""A roll-out from records to a report: against a known truth, against pandas, and where little can be said."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import clinops as co
from clinops.analyse.panels import rollout, rollout_checks
from clinops.analyse.panels.lines import MAIN, OTHER
from clinops.errors import DataError, DefinitionError, DesignError
from clinops.sources import connect
from tests.analyse.panels.made import QUARTERS, Clinics, clinics, emergency, offer, panel
from tests.conftest import write_parquet

WORLD_SEED = 4


@pytest.fixture(scope="module")
def world() -> Clinics:
    return clinics(seed=WORLD_SEED)


@pytest.fixture(scope="module")
def source(world: Clinics, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with connect(write_parquet(world.tables, tmp_path_factory.mktemp("clinics") / "omop"), synthetic=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def rolled(source: Any) -> rollout.Rollout:
    return co.rollout(panel(), source)


def line(rolled: rollout.Rollout, part: str, start: str = "") -> pd.Series:
    frame = rolled.effects.frame
    rows = frame[(frame["part"] == part) & frame["label"].str.startswith(start)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_interval_holds_the_planted_effect_and_two_way_is_biased_and_labelled(
    world: Clinics, rolled: rollout.Rollout
) -> None:
    main = line(rolled, MAIN)
    assert world.truth < -150
    assert main["low"] < world.truth < main["high"] and main["p_permuted"] == 1 / 2000
    imputed = line(rolled, OTHER, "Imputation")
    assert imputed["low"] < world.truth < imputed["high"]
    mixed = line(rolled, OTHER, "Two-way")
    assert mixed["low"] > world.truth
    assert "weights below zero:" in mixed["label"]
    assert any("effects that grow come out too small" in note for note in rolled.effects.notes)
    stacked = line(rolled, OTHER, "Stacked regression, first 4 quarters")
    first_year = early_truth(world)
    assert stacked["low"] < first_year < stacked["high"]


def early_truth(world: Clinics) -> float:
    since = np.arange(12) - world.first[:, None]
    under = (since >= 0) & (since <= 3)
    return float(((world.happened - world.without) / world.days)[under].mean() * 30437.5)


def test_cells_are_the_visits_that_happened(world: Clinics, rolled: rollout.Rollout) -> None:
    cells = rolled.rolled.cells
    shape = world.happened.shape
    assert (cells["total"].to_numpy().reshape(shape) == world.happened).all()
    assert (cells["days"].to_numpy().reshape(shape) == world.days).all()
    assert (cells["first"].to_numpy().reshape(shape)[:, 0] == world.first).all()
    table = rolled.cohorts.frame.set_index("cohort")
    begun = world.first == 4
    assert table.loc["2021 Q1", "events_after"] == world.happened[begun, 4:].sum()
    assert table.loc["2021 Q1", "events_before"] == world.happened[begun, :4].sum()
    rate = world.happened[begun, 4:].sum() / world.days[begun, 4:].sum() * 30437.5
    assert table.loc["2021 Q1", "rate_after"] == pytest.approx(rate)
    assert table.loc["Total", ["sites", "persons"]].tolist() == [42, 840]
    assert table.loc["Never", "events_after"] is pd.NA or np.isnan(table.loc["Never", "events_after"])


def test_the_effect_is_the_mean_of_differences_of_differences(world: Clinics, rolled: rollout.Rollout) -> None:
    """By hand from the truth's table: every cohort and quarter against its last quarter before, not-yet-treated."""
    y = world.happened / world.days * 30437.5
    total, weight = 0.0, 0
    for g in (4, 6, 8):
        mine = world.first == g
        for t in range(g, 12):
            others = world.first > t
            gap = (y[mine, t] - y[mine, g - 1]).mean() - (y[others, t] - y[others, g - 1]).mean()
            total, weight = total + gap * mine.sum(), weight + mine.sum()
    assert line(rolled, MAIN)["estimate"] == pytest.approx(total / weight, rel=1e-10)
    rows = rolled.estimates
    first = rows[(rows["category"] == "Event study") & (rows["period"] == "+0")].iloc[0]
    gaps = [
        (y[world.first == g, g] - y[world.first == g, g - 1]).mean()
        - (y[world.first > g, g] - y[world.first > g, g - 1]).mean()
        for g in (4, 6, 8)
    ]
    assert first["estimate"] == pytest.approx(np.mean(gaps), rel=1e-10)
    seen = y[(np.arange(12) >= world.first[:, None])].mean()
    assert f": {seen:,.0f} instead of {seen - total / weight:,.0f}, " in rolled.effects.sentence


def test_a_sound_world_passes_and_other_trends_are_found(source: Any, rolled: rollout.Rollout) -> None:
    verdicts = {check.name: check.passed for check in rolled.checks}
    assert verdicts == {
        "check_panel_design": True,
        "check_trends_before": True,
        "check_other_trends": None,
        "check_early_effect": True,
        "check_inference": True,
        "check_composition": None,
    }  # fmt: skip  (the same persons throughout: of who is there nothing varies)
    # Had the same clinics been said to start two quarters later, the effect would stand before the start.
    late = {i + 1: f"{2020 + int(g + 2) // 4}-{int(g + 2) % 4 * 3 + 1:02d}-01"
            for i, g in enumerate(clinics(seed=WORLD_SEED).first) if np.isfinite(g)}  # fmt: skip
    shifted = co.rollout(panel(starts=late), source)
    assert rollout_checks.trends_before(shifted.rolled).passed is False


def test_people_who_leave_once_a_site_starts_are_found(world: Clinics, source_of: Any) -> None:
    """The old leave every clinic on the day on which it starts."""
    person, seen = world.tables["person"], world.tables["observation_period"]
    born = person["year_of_birth"].to_numpy()
    first = world.first[person["care_site_id"].to_numpy() - 1]
    last = seen["observation_period_end_date"].to_numpy().astype("datetime64[D]")
    gone = (born < 1950) & np.isfinite(first)
    last[gone] = QUARTERS[first[gone].astype(int)].astype("datetime64[D]") - 1
    place = seen.schema.get_field_index("observation_period_end_date")
    cut = seen.set_column(place, "observation_period_end_date", pa.array(last))
    rolled = co.rollout(panel(), source_of(world.tables | {"observation_period": cut}))
    check = rollout_checks.composition(rolled.rolled)
    assert check.passed is False and check.frame["value"].iloc[0] < -2 and "mean age" in check.sentence


def test_one_start_is_a_two_by_two(source_of: Any) -> None:
    found = clinics(seed=2, sizes={6.0: 12, np.inf: 14}, persons=10)
    rolled = co.rollout(panel(), source_of(found.tables))
    y = found.happened / found.days * 30437.5
    mine = found.first == 6
    means = [[y[side][:, part].mean() for part in (slice(0, 6), slice(6, 12))] for side in (mine, ~mine)]
    by_hand = (means[0][1] - means[0][0]) - (means[1][1] - means[1][0])
    assert line(rolled, OTHER, "Means before and after")["estimate"] == pytest.approx(by_hand)
    mixed = line(rolled, OTHER, "Two-way")
    assert mixed["estimate"] == pytest.approx(by_hand) and mixed["label"].endswith("zero: 0%") is False
    as_primary = co.rollout(panel(), source_of(found.tables), primary="two-way")
    assert line(as_primary, MAIN)["estimate"] == pytest.approx(by_hand)


def test_shares_and_money_and_other_choices(source_of: Any) -> None:
    found = clinics(seed=3, sizes={4.0: 6, 7.0: 6}, persons=8)
    source = source_of(found.tables)
    share = co.rollout(panel(outcome=co.any_of(emergency, name="An emergency visit")), source)
    assert share.plan.per == "person" and "percentage points" in share.effects.sentence
    assert share.rolled.cells["value"].between(0, 1).all()
    # Everybody starts: from quarter 7 on nobody is left to compare with.
    assert "Not estimable (no comparison unit is left)" in " ".join(share.effects.notes)
    closed = co.rollout(panel(), source, membership="first period", primary="imputation", every=None)
    assert closed.plan.membership == "first period" and line(closed, MAIN)["low"] < line(closed, MAIN)["high"]
    other = line(closed, OTHER, "Group-time")
    assert np.isfinite(other["p_permuted"]) and np.isnan(line(closed, MAIN)["p_permuted"])
    assert "permutation" not in closed.effects.sentence
    stacked = co.rollout(panel(primary="stacked"), source)
    assert line(stacked, MAIN)["label"].startswith("Stacked")


def test_money_is_that_of_the_visits(source_of: Any) -> None:
    """Every emergency visit costs 250, so the effect on money is 0.25 times that on visits per 1,000."""
    found = clinics(seed=8, sizes={6.0: 6, np.inf: 6}, persons=6)
    visits = found.tables["visit_occurrence"].to_pandas()
    paid = visits[visits["visit_concept_id"] == 9203]
    n = len(paid)
    cost = pa.table({
        "cost_id": np.arange(1, n + 1), "cost_event_id": paid["visit_occurrence_id"].to_numpy(),
        "cost_domain_id": ["Visit"] * n, "cost_type_concept_id": np.full(n, 32810),
        "currency_concept_id": np.full(n, 44818668), "amount_allowed": pa.array([Decimal("250.00")] * n),
    })  # fmt: skip
    source = source_of(found.tables | {"cost": cost})
    money, visits_too = co.rollout(panel(outcome=co.cost("emergency")), source), co.rollout(panel(), source)
    assert money.plan.per == "person-month" and money.rolled.currency == "USD"
    one, other = line(money, MAIN), line(visits_too, MAIN)
    assert (one[["estimate", "low", "high"]] * 4).tolist() == pytest.approx(other[["estimate", "low", "high"]].tolist())
    assert one["p_permuted"] == other["p_permuted"] and "USD" in money.effects.sentence
    assert "events_after" not in money.cohorts.frame and "$" in str(money.effects)
    series = co.interrupted(
        co.series(title="t", question="q", starts="2021-07-01", outcome=co.cost("emergency"), first="2020-01-01",
                  last="2022-12-31", units=range(1, 7), control=range(7, 13)), source
    )  # fmt: skip
    assert (
        series.found.counts is None
        and "$" in str(series.effects)
        and not series.effects.frame["head"].str.contains("ratios").any()
    )


def test_few_sites_small_counts_and_empty_cohorts_are_decided(source_of: Any) -> None:
    found = clinics(seed=6, sizes={6.0: 1, np.inf: 3}, persons=3, rate=0.03)
    rolled = co.rollout(panel(), source_of(found.tables))
    assert {f.rule for f in rolled.findings.warnings} == {"hardly-any-sites"}
    main = line(rolled, MAIN)
    assert pd.isna(main["estimate"]) and "hidden" in str(rolled.effects)  # three persons under the programme
    table = rolled.cohorts
    assert {text for _, _, text in table.hidden} <= {"<11", "hidden"} and table.hidden
    assert not rolled.trend.frame["persons"].between(1, 10).any() and len(rolled.event_study.frame) == 1
    shown = co.rollout(panel(min_cell=1), source_of(found.tables))
    assert np.isfinite(line(shown, MAIN)["estimate"]) and np.isnan(line(shown, MAIN)["low"])
    assert rollout_checks.inference_check(shown.rolled).passed is None
    assert shown.rolled.permuted.least == 1 / 4


def test_a_stacked_effect_is_not_set_beside_periods_that_it_is_not_of(source: Any) -> None:
    """It is of the first periods of every start; what was seen in all periods is no counterpart of it."""
    said = co.rollout(panel(primary="stacked"), source).effects.sentence
    assert "(95% CI" in said and said.endswith("under the programme.")


def test_a_hidden_effect_is_not_said_in_words_either(source_of: Any) -> None:
    """A rate of few events, said beside person-time that is printed, is their number."""
    tables = clinics(seed=6, sizes={6.0: 2, 8.0: 2, np.inf: 4}, persons=8, rate=0.01).tables
    rolled = co.rollout(panel(), source_of(tables))
    under = rolled.rolled.treated["total"].sum()
    assert 0 < under < 11 and pd.isna(line(rolled, MAIN)["estimate"])
    assert "fewer than 11 persons or events" in rolled.effects.sentence
    assert "instead of" in co.rollout(panel(min_cell=1), source_of(tables)).effects.sentence


def test_sites_that_all_change_alike_have_no_error_by_theory(source_of: Any) -> None:
    """Everybody has a visit in every quarter, at both sites of a side: the effect is 0, and P is not."""
    tables = clinics(seed=6, sizes={6.0: 2, np.inf: 2}, persons=20).tables
    person = np.repeat(tables["person"]["person_id"].to_numpy(), len(QUARTERS))
    day = pa.array(np.tile(QUARTERS, len(tables["person"])).astype("datetime64[D]"))
    visits = pa.table({
        "visit_occurrence_id": np.arange(1, len(person) + 1), "person_id": person,
        "visit_concept_id": np.full(len(person), 9203), "visit_start_date": day, "visit_end_date": day,
    })  # fmt: skip
    rolled = co.rollout(panel(), source_of(tables | {"visit_occurrence": visits}))
    frame = rolled.effects.frame
    assert frame["estimate"].abs().max() < 1e-9 and frame[["low", "high", "p"]].isna().all(axis=None)
    assert "do not vary" in " ".join(rolled.effects.notes) and "do not vary" in " ".join(rolled.event_study.notes)
    assert rolled.event_study.frame[["low", "high", "band_low"]].isna().all(axis=None)
    assert rolled.estimates["std_error"].isna().all() and (rolled.estimates["note"].str.len() > 0).any()
    assert {check.passed for check in rolled.checks if check.name != "check_panel_design"} == {None}


def test_checks_say_nothing_of_what_rests_on_small_counts(source_of: Any) -> None:
    """Differences that the event study and the effects leave out are no more in the checks than there."""
    tables = clinics(seed=6, sizes={6.0: 2, 8.0: 2, np.inf: 4}, persons=8, rate=0.01).tables
    names = ("check_trends_before", "check_other_trends", "check_early_effect", "check_inference")
    hidden = {check.name: check for check in co.rollout(panel(), source_of(tables)).checks}
    shown = {check.name: check for check in co.rollout(panel(min_cell=1), source_of(tables)).checks}
    for name in names:
        assert not hidden[name].frame.select_dtypes("number").notna().to_numpy().any(), name
        assert "fewer than 11 persons or events" in hidden[name].sentence and hidden[name].passed is None
        assert hidden[name].observed is None and "mean effect" not in " ".join(hidden[name].notes)
        assert shown[name].frame.select_dtypes("number").notna().to_numpy().any(), name


def test_results_leave_out_what_the_tables_leave_out(source_of: Any, tmp_path: Path) -> None:
    """Every row has its counts, and the event study of the results is that of the report."""
    tables = clinics(seed=6, sizes={6.0: 6, np.inf: 6}, persons=8, rate=0.15).tables
    rolled = co.rollout(panel(min_cell=18), source_of(tables))
    seen = rolled.event_study.frame["since"]
    check = rollout_checks.trends_before(rolled.rolled)
    assert check.frame["since"].tolist() == seen[(seen < -1) & (seen >= -4)].tolist()
    assert "rest on counts below 18" in " ".join(check.notes) and "mean effect" not in " ".join(check.notes)
    assert check.observed is not None and seen.tolist() == [-5, -3, -2, -1, 0, 1]
    rows = rolled.estimates
    studied = rows[rows["category"] == "Event study"]
    assert sorted(studied["period"].astype(int)) == seen[seen != -1].tolist()
    cells = rolled.rolled.cells
    for row in studied.itertuples():
        here = cells[cells["period"] - cells["first"] == int(row.period)]
        assert (row.n_exposed, row.events_exposed) == (here["persons"].sum(), here["total"].sum())
    assert rows["n_exposed"].notna().all() and rows["events_exposed"].notna().all()
    none = co.rollout(panel(), source_of(clinics(seed=6, sizes={6.0: 2, np.inf: 4}, persons=8, rate=0.01).tables))
    folder = none.write(tmp_path / "out")
    assert folder is not None and pd.isna(line(none, MAIN)["estimate"])
    written = pd.read_csv(folder / "results.csv")
    assert len(written) and (written.loc[written["estimate"].notna(), "events_exposed"] == 0).all()


def test_fewer_sites_than_leads_leave_the_power_of_the_look_unknown(source_of: Any) -> None:
    found = clinics(seed=6, sizes={6.0: 2, np.inf: 2}, persons=20)
    rolled = co.rollout(panel(), source_of(found.tables))
    assert "leads from 4 clusters has no inverse" in str(rollout_checks.trends_before(rolled.rolled).notes)


def test_the_design_stops_before_the_outcome_is_read(source_of: Any) -> None:
    tables = clinics(seed=7, sizes={4.0: 3, 6.0: 3, np.inf: 3}, persons=2).tables
    source = source_of(tables)
    with pytest.raises(DesignError, match="two-way-with-staggered-starts"):
        co.rollout(panel(primary="two-way"), source)
    with pytest.raises(DesignError, match="nobody-starts"):
        co.rollout(panel(starting_records=50), source)
    with pytest.raises(DesignError, match="everyone-treated-at-first"):
        co.rollout(panel(starts=dict.fromkeys(range(1, 10), "2019-01-01")), source)
    with pytest.raises(DesignError, match="no-never-treated"):
        starts = {i: "2021-01-01" if i < 5 else "2021-07-01" for i in range(1, 10)}
        co.rollout(panel(starts=starts, comparison="never treated"), source)
    with pytest.raises(DesignError, match="outcome-counts-programme"):
        co.rollout(panel(outcome=co.count(offer)), source)
    with pytest.raises(DataError, match="no care site with a person registered 99"):
        co.rollout(panel(starts={99: "2021-01-01"}), source)
    with pytest.raises(DefinitionError, match="Did you mean 'membership'"):
        co.rollout(panel(), source, member="first period")


def test_what_is_written_and_read_again(source: Any, rolled: rollout.Rollout, tmp_path: Path) -> None:
    file = panel().write(tmp_path / "plan.json")
    again = co.rollout(file, source, seed=None)
    assert again.plan == rolled.plan
    with pytest.raises(DefinitionError, match="plan file"):
        co.rollout(tmp_path / "plam.json", source)
    with pytest.raises(DefinitionError, match="not a 'series'"):
        co.interrupted(file, source)
    with pytest.raises(DefinitionError, match="give a panel"):
        co.rollout(3, source)  # type: ignore[arg-type]
    folder = rolled.write(tmp_path / "out")
    assert folder is not None
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == set(rollout.NUMBERS)
    assert {path.stem for path in (folder / "figures").glob("*.svg")} == {
        name for name, number in rollout.NUMBERS.items() if number.startswith("Figure")
    }
    said = json.loads((folder / "summary.json").read_text())
    assert said["title"] == "Clinics" and said["failed_checks"] == []
    assert json.loads((folder / "protocol.json").read_text())["hash"] == rolled.plan.hash
    assert [exhibit.number for exhibit in rolled.exhibits] == [
        "Figure 1", "Table 1", "Figure 2", "Figure 3", "Table 2", "Table 3", "Table 3a", "Table 3b", "Table 3c",
        "Table 3d", "Table 3e", "Table 3f", "Table 4", "Table 5", "Table 6",
    ]  # fmt: skip
    assert str(rolled).count("Table 2.") == 1


@pytest.mark.slow
def test_over_worlds_the_interval_covers_and_two_way_does_not(tmp_path: Path) -> None:
    """60 worlds: bias under four Monte Carlo errors, coverage not below 93 % by more than chance."""
    errors, held, mixed = [], 0, []
    for seed in range(60):
        found = clinics(seed=1000 + seed)
        with connect(write_parquet(found.tables, tmp_path / str(seed))) as source:
            rolled = co.rollout(panel(), source)
            main, other = line(rolled, MAIN), line(rolled, OTHER, "Two-way")
            errors.append(main["estimate"] - found.truth)
            held += main["low"] < found.truth < main["high"]
            mixed.append(other["estimate"] - found.truth)
    spread = np.std(errors, ddof=1) / np.sqrt(60)
    assert abs(np.mean(errors)) < 4 * spread
    assert held >= 60 * 0.93 - 3 * np.sqrt(60 * 0.93 * 0.07)
    assert np.mean(mixed) > 20 * np.std(mixed, ddof=1) / np.sqrt(60)
