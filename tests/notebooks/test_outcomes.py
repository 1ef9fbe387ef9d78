"""The notebook `outcomes` through the command line: its crude numbers again from the tables, without the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.notebooks.conftest import PROTOCOLS, Run

pytestmark = pytest.mark.notebook

PRIMARY_CARE, INPATIENT, DIABETES, OFFER = 9202, 9201, 201826, 2000000001
DAY = np.timedelta64(1, "D")
LAST = 365


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run(
        "outcomes", "crude", source=world / "omop", protocol=PROTOCOLS / "remote_care_programme.json",
        outcome="Admissions", landmarks="[90, 365]", adjustment="crude", min_cell=1, age_bands="[50, 65, 75]",
    )  # fmt: skip


@pytest.fixture(scope="module")
def persons(world: Path) -> pd.DataFrame:
    """Each entry of either arm: days of the first admission, of death and of the end, and how many admissions."""
    return first_events(entries(world / "omop"), world / "omop")


def table(omop: Path, name: str, *columns: str) -> pd.DataFrame:
    read = pd.read_parquet(omop / f"{name}.parquet", columns=["person_id", *columns])
    return read.assign(**{column: pd.to_datetime(read[column]) for column in columns if column.endswith("_date")})


def below(omop: Path, concept: int) -> set[int]:
    """A concept and its descendants."""
    tree = pd.read_parquet(omop / "concept_ancestor.parquet")
    return {concept, *tree.loc[tree["ancestor_concept_id"] == concept, "descendant_concept_id"]}


def entries(omop: Path) -> pd.DataFrame:
    """The first primary care visit at which everything holds that the protocol asks of an arm."""
    visits = table(omop, "visit_occurrence", "visit_concept_id", "visit_start_date")
    at = visits.loc[
        visits["visit_concept_id"].isin(below(omop, PRIMARY_CARE)), ["person_id", "visit_start_date"]
    ].drop_duplicates()
    at = at.rename(columns={"visit_start_date": "index"})
    at = at[at["index"].between("2020-01-01", "2022-12-31")]
    who = table(omop, "person", "year_of_birth", "month_of_birth", "day_of_birth")
    at = at.merge(who, on="person_id")
    had = (at["index"].dt.month * 100 + at["index"].dt.day) >= (at["month_of_birth"] * 100 + at["day_of_birth"])
    age = at["index"].dt.year - at["year_of_birth"] - (~had)
    at = at.loc[age.between(18, 85), ["person_id", "index"]]
    seen = table(omop, "observation_period", "observation_period_start_date", "observation_period_end_date")
    at = at.merge(seen.set_axis(["person_id", "from", "to"], axis=1), on="person_id")
    at = at[(at["index"] - at["from"] >= 365 * DAY) & (at["index"] <= at["to"])]
    sick = table(omop, "condition_occurrence", "condition_concept_id", "condition_start_date")
    sick = sick.loc[sick["condition_concept_id"].isin(below(omop, DIABETES)), ["person_id", "condition_start_date"]]
    pairs = at.merge(sick, on="person_id")
    before = (pairs["index"] - pairs["condition_start_date"]) // pd.Timedelta(days=1)
    with_it = pairs.loc[before.between(1, 1095), ["person_id", "index"]].drop_duplicates()
    at = at.merge(with_it, on=["person_id", "index"])
    offer = table(omop, "observation", "observation_concept_id", "observation_date")
    offer = offer[offer["observation_concept_id"] == OFFER].groupby("person_id")["observation_date"].min()
    at["offer"] = at["person_id"].map(offer)
    at["exposed"] = at["offer"] == at["index"]
    at = at[at["exposed"] | at["offer"].isna() | (at["offer"] > at["index"])]
    return at.sort_values("index").groupby(["person_id", "exposed"], as_index=False).first()


def first_events(at: pd.DataFrame, omop: Path) -> pd.DataFrame:
    died = table(omop, "death", "death_date").groupby("person_id")["death_date"].min()
    death = (at["person_id"].map(died) - at["index"]) // pd.Timedelta(days=1)
    end = np.minimum((at["to"] - at["index"]) // pd.Timedelta(days=1), LAST)
    at = at.assign(dead=death.notna() & (death <= end) & (death >= 0), end=np.fmin(end, death))
    at = at.reset_index(drop=True)
    pairs = stays_of(at, omop)
    each = pairs.groupby("row")["day"]
    at["first"], at["count"] = each.min(), each.size()
    at["count"] = at["count"].fillna(0)
    at["exit"] = at["first"].fillna(at["end"])
    at["cause"] = np.where(at["first"].notna(), 1, np.where(at["dead"], 2, 0))
    return at[at["end"] > 0].reset_index(drop=True)


def stays_of(at: pd.DataFrame, omop: Path) -> pd.DataFrame:
    """Every admission on a day of follow-up, with the row of the entry and the day."""
    stays = table(omop, "visit_occurrence", "visit_concept_id", "visit_start_date")
    stays = stays[stays["visit_concept_id"].isin(below(omop, INPATIENT))]
    pairs = at.assign(row=at.index).merge(stays, on="person_id")
    pairs["day"] = (pairs["visit_start_date"] - pairs["index"]) // pd.Timedelta(days=1)
    return pairs[pairs["day"].between(1, LAST) & (pairs["day"] <= pairs["end"])]


def risk(arm: pd.DataFrame, cause: int, day: float) -> float:
    """Aalen and Johansen's share, one day after the other."""
    free, total = 1.0, 0.0
    for now in range(1, int(day) + 1):
        at_risk, here = (arm["exit"] >= now).sum(), arm[arm["exit"] == now]
        if at_risk:
            total += free * (here["cause"] == cause).sum() / at_risk
            free *= 1 - (here["cause"] > 0).sum() / at_risk
    return total


def only(results: pd.DataFrame, method: str, scale: str, measure: str, period: str) -> Any:
    keep = results["method"].str.startswith(method) & (results["scale"] == scale)
    keep &= (results["measure"] == measure) & (results["period"] == period)
    assert keep.sum() == 1
    return results[keep].iloc[0]


def test_counts_are_those_of_the_tables(report: Path, persons: pd.DataFrame) -> None:
    shown = pd.read_csv(report / "tables" / "happened.csv")
    for i, exposed in enumerate((True, False)):
        arm = persons[persons["exposed"] == exposed]
        row = shown.iloc[i]
        assert len(arm) > 300
        assert (row["n"], row["first"], row["death"], row["all"]) == (
            len(arm), (arm["cause"] == 1).sum(), (arm["cause"] == 2).sum(), arm["count"].sum(),
        )  # fmt: skip
        assert row["rate"] == pytest.approx(1000 * arm["count"].sum() / (arm["end"].sum() / 365.25))
        assert row["median"] == arm["end"].median()


def test_crude_risks_are_those_of_the_tables(report: Path, persons: pd.DataFrame) -> None:
    results = pd.read_csv(report / "results.csv")
    assert set(results["notebook"]) == {"outcomes"}
    one, zero = (persons[persons["exposed"] == arm] for arm in (True, False))
    for cause, name in ((1, "Admissions"), (2, "Death before it")):
        for day in (90, 365):
            row = only(results, "Aalen", "risk difference", name, f"to day {day}")
            p, q = (1000 * risk(arm, cause, day) for arm in (one, zero))
            assert row["value_exposed"] == pytest.approx(p) and row["value_comparator"] == pytest.approx(q)
            assert row["estimate"] == pytest.approx(p - q)
            by_then = (one["cause"] == cause) & (one["exit"] <= day)
            assert row["events_exposed"] == by_then.sum()
            assert row["person_days_exposed"] == np.minimum(one["exit"], day).sum()
    row = only(results, "rate ratio, quasi", "rate ratio", "Admissions", "to day 365")
    rates = [arm["count"].sum() / arm["end"].sum() for arm in (one, zero)]
    assert row["estimate"] == pytest.approx(rates[0] / rates[1], rel=1e-8)


def days_of(persons: pd.DataFrame, omop: Path) -> pd.DataFrame:
    """A row for every person and day of follow-up, with its calendar year and age: what the report does without."""
    who = table(omop, "person", "year_of_birth", "month_of_birth", "day_of_birth").set_index("person_id")
    born = who.loc[persons["person_id"]].reset_index(drop=True)
    row = np.repeat(np.arange(len(persons)), persons["end"].astype(int))
    number = np.concatenate([np.arange(1, int(end) + 1) for end in persons["end"]])
    at = persons["index"].to_numpy()[row] + number * DAY
    date = pd.DatetimeIndex(at)
    month, day = (born[f"{part}_of_birth"].to_numpy()[row] for part in ("month", "day"))
    age = date.year - born["year_of_birth"].to_numpy()[row] - (date.month * 100 + date.day < month * 100 + day)
    return pd.DataFrame({
        "row": row, "exposed": persons["exposed"].to_numpy()[row], "year": date.year, "number": number,
        "band": pd.cut(age, [0, 50, 65, 75, 200], right=False, labels=["below 50", "50 to 64", "65 to 74", "75 and over"]),
    })  # fmt: skip


def test_rates_by_year_and_age_are_those_of_a_row_a_day(report: Path, persons: pd.DataFrame, world: Path) -> None:
    days = days_of(persons, world / "omop")
    found = stays_of(persons, world / "omop").rename(columns={"day": "number"})
    stays = found.groupby(["row", "number"]).size().rename("events").reset_index()
    days["events"] = days.merge(stays, how="left", on=["row", "number"])["events"].fillna(0).to_numpy()
    shown = pd.read_csv(report / "tables" / "rates.csv").set_index(["split", "level"])
    assert len(shown) > 7
    for by, name in (("year", "Calendar year"), ("band", "Age")):
        for arm, exposed in (("exposed", True), ("comparator", False)):
            part = days[days["exposed"] == exposed].groupby(by, observed=True)
            found = shown.loc[name]
            assert found[f"persons_{arm}"].tolist() == part["row"].nunique().tolist()
            assert found[f"events_{arm}"].tolist() == part["events"].sum().tolist()
            assert found[f"years_{arm}"].tolist() == pytest.approx((part.size() / 365.25).tolist())
            assert found[f"rate_{arm}"].tolist() == pytest.approx((1000 * 365.25 * part["events"].mean()).tolist())
    cells = days.groupby(["exposed", "year", "band"], observed=True)["events"].agg(["sum", "size"])
    one, zero = cells.loc[True], cells.loc[False]
    both = one.index.intersection(zero.index)
    one, zero, size = one.loc[both], zero.loc[both], one.loc[both, "size"] + zero.loc[both, "size"]
    rates = [1000 * 365.25 * (size * arm["sum"] / arm["size"]).sum() / size.sum() for arm in (one, zero)]
    whole = pd.read_csv(report / "tables" / "standardised_rates.csv")
    assert whole.loc[1, ["rate_exposed", "rate_comparator"]].tolist() == pytest.approx(rates)
    assert whole.loc[1, "gap"] == pytest.approx(rates[0] - rates[1])
    assert whole.loc[1, "ratio"] == pytest.approx(rates[0] / rates[1])
    pooled = (one["sum"] * zero["size"] / size).sum() / (zero["sum"] * one["size"] / size).sum()
    assert whole.loc[2, "ratio"] == pytest.approx(pooled)
    row = only(pd.read_csv(report / "results.csv"), "Mantel", "rate ratio", "Admissions", "to day 365")
    assert row["estimate"] == pytest.approx(pooled)


def test_hazard_ratios_and_tests_are_those_of_lifelines_on_the_tables(report: Path, persons: pd.DataFrame) -> None:
    from lifelines import CoxPHFitter
    from lifelines.statistics import logrank_test

    results = pd.read_csv(report / "results.csv")
    data = pd.DataFrame({"x": persons["exposed"] * 1.0, "t": persons["exit"], "e": persons["cause"] == 1})
    fit = CoxPHFitter().fit(data, "t", "e")
    row = only(results, "cause-specific", "hazard ratio", "Admissions", "to day 365")
    assert row["estimate"] == pytest.approx(float(np.exp(fit.params_["x"])), rel=1e-4)
    one, zero = data[data["x"] == 1], data[data["x"] == 0]
    found = logrank_test(one["t"], zero["t"], one["e"], zero["e"])
    row = only(results, "Log-rank", "chi-squared", "Admissions", "to day 365")
    assert row["estimate"] == pytest.approx(found.test_statistic)


def test_the_report_shows_every_exhibit_and_leaves_its_files(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    for number in ("Table 1", "Figure 1", "Table 2", "Figure 2", "Table 3", "Figure 3", "Table 4"):
        assert f"{number}" in page
    assert {path.stem for path in (report / "tables").glob("*.csv")} == {
        "happened", "cumulative_incidence", "outcome_effects", "mean_count", "repeat_effects",
        "rates", "standardised_rates",
    }  # fmt: skip
    assert {path.name for path in (report / "figures").glob("*.svg")} == {
        "cumulative_incidence.svg", "mean_count.svg", "rates.svg",
    }  # fmt: skip
    assert json.loads((report / "summary.json").read_text())["title"].startswith("Admissions: ")
    kept = json.loads((report / "manifest.json").read_text())
    assert "landmarks" in json.dumps(kept)
