"""The notebook on measures of care through the production path, held against plain pandas on the Parquet tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.analyse.care.report import NUMBERS
from tests.notebooks.conftest import Run

pytestmark = pytest.mark.notebook

DAYS = 90


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run("care", "care", source=world / "omop", days=DAYS, continuity_by="site", baseline_to="2020-12-31")


def read(world: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(world / "omop" / f"{name}.parquet")


@pytest.fixture(scope="module")
def spans(world: Path) -> pd.DataFrame:
    """Spans of days alive and observed, one row each."""
    held = read(world, "observation_period")
    died = read(world, "death").set_index("person_id")["death_date"]
    begin = pd.to_datetime(held["observation_period_start_date"])
    end = pd.to_datetime(held["observation_period_end_date"])
    death = pd.to_datetime(held["person_id"].map(died))
    return pd.DataFrame({"person_id": held["person_id"], "begin": begin, "end": end.where(~(death < end), death)})


@pytest.fixture(scope="module")
def stays(world: Path) -> pd.DataFrame:
    seen = read(world, "visit_occurrence")
    chosen = seen[seen["visit_concept_id"] == 9201].sort_values(["person_id", "visit_start_date"])
    dated = chosen.assign(
        start=pd.to_datetime(chosen["visit_start_date"]), stop=pd.to_datetime(chosen["visit_end_date"])
    )
    return dated[["person_id", "start", "stop", "care_site_id"]].reset_index(drop=True)


def inside(days: pd.DataFrame, spans: pd.DataFrame) -> pd.DataFrame:
    both = days.merge(spans, on="person_id")
    return both[(both["start"] >= both["begin"]) & (both["start"] <= both["end"])]


def held_against(shown: pd.Series, truth: pd.Series) -> int:
    """Every number is right or hidden; return how many are shown."""
    found = pd.to_numeric(shown, errors="coerce")
    for printed, number, right in zip(shown, found, truth, strict=True):
        if np.isnan(number):
            assert printed == ("<11" if 0 < right < 11 else "hidden")
        else:
            assert number == right and not 0 < right < 11
    return int(found.notna().sum())


def test_months_are_those_of_the_tables(
    report: Path, world: Path, spans: pd.DataFrame, stays: pd.DataFrame
) -> None:  # fmt: skip
    shown = pd.read_csv(report / "tables" / "care_admissions_by_month.csv")
    months = pd.PeriodIndex(shown["period"], freq="M")
    assert months.equals(pd.period_range("2019-01", "2024-12", freq="M"))
    admitted = inside(stays, spans)["start"].dt.to_period("M").value_counts().reindex(months, fill_value=0)
    assert held_against(shown["admissions"], admitted) > 60
    years = [
        (spans["end"].clip(upper=month.end_time.normalize()) - spans["begin"].clip(lower=month.start_time)).dt.days
        .add(1).clip(lower=0).sum() / 365.25
        for month in months
    ]  # fmt: skip
    assert shown["years"].to_numpy() == pytest.approx(np.array(years), rel=1e-12)
    early = months <= pd.Period("2020-12")
    centre = 1000 * admitted[early].sum() / np.array(years)[early].sum()
    assert shown["centre"].to_numpy() == pytest.approx(np.full(72, centre), rel=1e-12)
    visits = read(world, "visit_occurrence")
    urgent = visits[visits["visit_concept_id"] == 9203]
    once = urgent.assign(start=pd.to_datetime(urgent["visit_start_date"]))[["person_id", "start"]].drop_duplicates()
    emergency = inside(once, spans)["start"].dt.to_period("M").value_counts().reindex(months, fill_value=0)
    table = pd.read_csv(report / "tables" / "care_emergency_by_month.csv")
    assert held_against(table["emergency"].astype(str), emergency) == 72
    use = pd.read_csv(report / "tables" / "care_use.csv").set_index("measure")
    assert use.loc["Emergency visits", "events"].astype(float).tolist() == [emergency.sum()] * 2


def test_sites_are_those_of_the_tables(report: Path, world: Path, spans: pd.DataFrame, stays: pd.DataFrame) -> None:
    """Stays of the simulated records do not overlap and a person has one hospital, so none is merged."""
    after = stays.groupby("person_id")["start"].shift(-1)
    gap = (after - stays["stop"]).dt.days
    assert (gap.dropna() > 0).all() and (stays.groupby("person_id")["care_site_id"].nunique() == 1).all()
    merged = stays.assign(gap=gap, start=stays["stop"]).merge(spans, on="person_id")
    seen = merged[(merged["start"] >= merged["begin"]) & (merged["start"] <= merged["end"])]
    # The end of a span is the day of death or the last day observed.
    died = pd.to_datetime(seen["person_id"].map(read(world, "death").set_index("person_id")["death_date"]))
    left = (seen["end"] - seen["start"]).dt.days
    index = seen[((left >= DAYS) | (died <= seen["end"])) & ~(died <= seen["stop"])]
    names = read(world, "care_site").set_index("care_site_id")["care_site_name"]
    by = index.assign(back=index["gap"] <= DAYS).groupby(index["care_site_id"].map(names))["back"].agg(["size", "sum"])
    shown = pd.read_csv(report / "tables" / "readmission_sites.csv").set_index("label")
    assert shown["index"].astype(int).to_dict() == {**by["size"].to_dict(), "Total": by["size"].sum()}
    assert shown["events"].astype(int).to_dict() == {**by["sum"].to_dict(), "Total": by["sum"].sum()}
    assert shown.loc[by.index, "expected"].astype(float).sum() == pytest.approx(by["sum"].sum())
    ratio = shown.loc[by.index, "events"].astype(float) / shown.loc[by.index, "expected"].astype(float)
    assert shown.loc[by.index, "ratio"].astype(float).to_numpy() == pytest.approx(ratio.to_numpy())


def test_what_the_report_leaves(report: Path) -> None:
    assert {path.stem for path in (report / "tables").glob("*.csv")} == set(NUMBERS)
    figures = {name for name, number in NUMBERS.items() if number.startswith("Figure")}
    assert {path.stem for path in (report / "figures").glob("*.svg")} == figures
    html = (report / "report.html").read_text(encoding="utf-8")
    places = [html.find(f"{number}</span>") for number in ("Table 1", "Figure 1", "Table 2", "Figure 3", "Table 9")]
    assert -1 not in places and places == sorted(places)
    told = [alt for alt in re.findall(r'alt="([^"]*)"', html) if alt.startswith(("Control chart of", "Funnel plot of"))]
    assert len(told) == len(figures)
    said = json.loads((report / "summary.json").read_text())
    assert said["title"].startswith("Measures of care") and said["verdicts"] == []
    assert "person_id" not in "".join(path.read_text(encoding="utf-8") for path in (report / "tables").glob("*.csv"))
