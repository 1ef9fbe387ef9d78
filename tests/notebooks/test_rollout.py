"""The notebooks `rollout` and `interrupted` through the command line, their numbers again from the tables by pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.analyse.panels import interrupted, rollout
from clinops.worlds import write
from tests.notebooks.conftest import ROOT, Run

pytestmark = pytest.mark.notebook

EMERGENCY, DIABETES, OFFER = 9203, 201826, 2000000001
MONTH = 30.4375
PLANS = ROOT / "data" / "plans"


@pytest.fixture(scope="module")
def clinics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clinics that begin one after another; in these waves the plan of the series names one that begins."""
    folder = tmp_path_factory.mktemp("rollout") / "world"
    write(folder, persons=5000, seed=20260102, effect=0.2, waves=4, holdout_clinics=6, ramp=180)
    return folder


@pytest.fixture(scope="module")
def report(run: Run, clinics: Path) -> Path:
    return run(
        "rollout", "clinics", source=clinics / "omop", plan=PLANS / "remote_care_rollout.json", min_cell=1,
        order="random",
    )  # fmt: skip


@pytest.fixture(scope="module")
def series(run: Run, clinics: Path) -> Path:
    return run("interrupted", "series", source=clinics / "omop", plan=PLANS / "remote_care_series.json", min_cell=1)


def read(clinics: Path, name: str, *dates: str) -> pd.DataFrame:
    table = pd.read_parquet(clinics / "omop" / f"{name}.parquet")
    return table.assign(**{date: pd.to_datetime(table[date]) for date in dates})


def counted(clinics: Path, begins: pd.DatetimeIndex, ends: pd.DatetimeIndex) -> pd.DataFrame:
    """Persons, days and emergency visits of every clinic and period, one period after the other."""
    person = read(clinics, "person").set_index("person_id")
    seen = read(clinics, "observation_period", "observation_period_start_date", "observation_period_end_date")
    died = read(clinics, "death", "death_date").set_index("person_id")["death_date"]
    tree = read(clinics, "concept_ancestor")
    below = {DIABETES, *tree.loc[tree["ancestor_concept_id"] == DIABETES, "descendant_concept_id"]}
    sick = read(clinics, "condition_occurrence", "condition_start_date")
    sick = sick[sick["condition_concept_id"].isin(below)]
    visits = read(clinics, "visit_occurrence", "visit_start_date")
    visits = visits[visits["visit_concept_id"] == EMERGENCY]
    since, until = "observation_period_start_date", "observation_period_end_date"
    rows = []
    for place, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        here = seen[(seen[since] <= begin - pd.Timedelta(days=365)) & (seen[until] >= begin)]
        born = person.loc[here["person_id"]]
        had = begin.month * 100 + begin.day >= born["month_of_birth"] * 100 + born["day_of_birth"]
        age = begin.year - born["year_of_birth"] - (~had & born["month_of_birth"].notna())
        members = set(here["person_id"][age.between(18, 85).to_numpy()])
        gap = (begin - sick["condition_start_date"]).dt.days
        members &= set(sick["person_id"][gap.between(1, 1095)])
        spans = seen[seen["person_id"].isin(members)].copy()
        spans["begin"] = spans[since].clip(lower=begin)
        last = spans["person_id"].map(died).fillna(end)
        spans["end"] = np.minimum(spans[until].clip(upper=end), last)
        spans = spans[spans["begin"] <= spans["end"]]
        spans["days"] = (spans["end"] - spans["begin"]).dt.days + 1
        pairs = visits.merge(spans[["person_id", "begin", "end"]], on="person_id")
        hits = pairs[(pairs["visit_start_date"] >= pairs["begin"]) & (pairs["visit_start_date"] <= pairs["end"])]
        clinic = person["care_site_id"]
        by = pd.DataFrame({
            "persons": spans.drop_duplicates("person_id")["person_id"].map(clinic).value_counts(),
            "days": spans.groupby(spans["person_id"].map(clinic))["days"].sum(),
            "events": hits["person_id"].map(clinic).value_counts(),
        })  # fmt: skip
        rows.append(by.reindex(range(1, 25)).fillna(0).assign(period=place).rename_axis("clinic").reset_index())
    return pd.concat(rows, ignore_index=True)


def starts(clinics: Path) -> pd.Series:
    """The day of the first offer at each clinic."""
    offers = read(clinics, "observation", "observation_date")
    offers = offers[offers["observation_concept_id"] == OFFER]
    clinic = read(clinics, "person").set_index("person_id")["care_site_id"]
    return offers.groupby(offers["person_id"].map(clinic))["observation_date"].min()


def test_the_roll_out_is_that_of_the_tables(report: Path, clinics: Path) -> None:
    begins = pd.date_range("2020-01-01", "2023-10-01", freq="QS")
    table = counted(clinics, begins, begins + pd.offsets.QuarterEnd())
    begun = starts(clinics)
    truth = pd.read_parquet(clinics / "truth_clinics.parquet").groupby("care_site_id")["start_date"].first()
    assert pd.to_datetime(truth.dropna()).to_dict() == begun.to_dict()
    shown = pd.read_csv(report / "tables" / "roll_out.csv").set_index("site")
    assert {f"Clinic {i}": day.strftime("%Y-%m-%d") for i, day in begun.items()} == shown["date"].dropna().to_dict()
    first = begun.map(lambda day: (day.year - 2020) * 4 + (day.month - 1) // 3).reindex(range(1, 25), fill_value=np.inf)
    table["first"] = table["clinic"].map(first)
    drawn = pd.read_csv(report / "tables" / "rollout_trend.csv")
    by = table.groupby(["first", "period"])[["persons", "days", "events"]].sum().reset_index()
    assert drawn["persons"].tolist() == by["persons"].tolist() and drawn["events"].tolist() == by["events"].tolist()
    assert drawn["value"].to_numpy() == pytest.approx((by["events"] / by["days"] * 1000 * MONTH).to_numpy())
    y = table.assign(y=table["events"] / table["days"] * 1000 * MONTH).pivot(
        index="clinic", columns="period", values="y"
    )
    total = weight = 0.0
    for g in sorted(set(first[np.isfinite(first)])):
        mine = (first == g).to_numpy()
        for t in range(int(g), 16):
            others = (first > t).to_numpy()
            change = y[t] - y[int(g) - 1]
            total += mine.sum() * (change[mine].mean() - change[others].mean())
            weight += mine.sum()
    results = pd.read_csv(report / "results.csv")
    main = results[results["role"] == "primary"].iloc[0]
    assert main["estimate"] == pytest.approx(total / weight) and set(results["notebook"]) == {"rollout"}
    assert main["conf_low"] < main["estimate"] < main["conf_high"]
    wedge_is_that_of_the_cells(report, y.to_numpy(), first.to_numpy())


def wedge_is_that_of_the_cells(report: Path, y: np.ndarray, first: np.ndarray) -> None:
    """Take sites and periods out of the cells and of the programme by their means, and regress what is left."""

    def left(values: np.ndarray) -> np.ndarray:
        return values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()

    since = np.arange(16) - first[:, None]
    on = left((since >= 0).astype(float))
    shown = pd.read_csv(report / "tables" / "rollout_wedge.csv")
    parts = {name: rows["estimate"].to_numpy() for name, rows in shown.groupby("part")}
    assert parts["One effect for all times"] == pytest.approx([(on * left(y)).sum() / (on**2).sum()] * 2)
    times = np.unique(since[since >= 0])
    columns = np.column_stack([left((since == time).astype(float)).ravel() for time in times])
    effects = np.linalg.lstsq(columns, left(y).ravel(), rcond=None)[0]
    assert parts["Effect by time since the start"] == pytest.approx([*effects, effects.mean()])
    assert parts["What the design sees"][:4].tolist() == [24, 6, 16, len(np.unique(first[np.isfinite(first)]))]
    assert len(shown.loc[shown["part"] == "One effect for all times", "p"].dropna()) == 2


def test_the_series_is_that_of_the_tables(series: Path, clinics: Path) -> None:
    begins = pd.date_range("2020-01-01", "2024-06-01", freq="MS")
    table = counted(clinics, begins, begins + pd.offsets.MonthEnd())
    shown = pd.read_csv(series / "tables" / "interrupted_series.csv")
    seen = shown[shown["kind"] == "observed"]
    for name, which in (("Sites of the programme", (12, 17, 18, 21)), ("Other sites", (3, 5, 7, 10, 14, 20))):
        by = table[table["clinic"].isin(which)].groupby("period")[["persons", "days", "events"]].sum()
        mine = seen[seen["arm"] == name]
        assert mine["persons"].tolist() == by["persons"].tolist() and mine["events"].tolist() == by["events"].tolist()
        assert mine["value"].to_numpy() == pytest.approx((by["events"] / by["days"] * 1000 * MONTH).to_numpy())
    assert pd.read_csv(series / "results.csv")["n_exposed"].nunique() == 1


@pytest.mark.parametrize("which", ["report", "series"])
def test_what_the_reports_leave(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    numbers = {"report": rollout.NUMBERS, "series": interrupted.NUMBERS}[which]
    assert {path.stem for path in (folder / "tables").glob("*.csv")} == set(numbers)
    html = (folder / "report.html").read_text(encoding="utf-8")
    places = [html.find(f"{number}</span>") for number in numbers.values()]
    assert -1 not in places
    said = json.loads((folder / "summary.json").read_text())
    assert said["title"] and said["verdicts"] == []
    kept = json.loads((folder / "protocol.json").read_text())["protocol"]
    assert kept["min_cell"] == 1 and kept["type"] == {"report": "panel", "series": "series"}[which]
    assert "person_id" not in "".join(path.read_text(encoding="utf-8") for path in (folder / "tables").glob("*.csv"))
