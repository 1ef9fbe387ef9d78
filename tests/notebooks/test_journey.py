"""The notebook on the care journey through the production path, held against plain pandas on the Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.journey import matrix
from clinops.study import Study
from tests.notebooks.conftest import PROTOCOLS, Run

pytestmark = pytest.mark.notebook

PROTOCOL = PROTOCOLS / "remote_care_programme.json"
DAYS = 120


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run("journey", "journey", source=world / "omop", protocol=PROTOCOL, last_day=DAYS, steps=2)


@pytest.fixture(scope="module")
def study(world: Path) -> Iterator[Study]:
    with co.connect(world / "omop") as source:
        yield co.protocol.read(PROTOCOL).on(source)


@pytest.fixture(scope="module")
def paths(study: Study, world: Path) -> pd.DataFrame:
    """One row a step, from the raw tables: arm, person, day, what it is, what came before."""
    who = study.baseline.frame[["person_id", "arm", "index_date"]].reset_index(drop=True)
    who["end"] = study.outcomes.frame["end_day"].to_numpy()
    death = pd.read_parquet(world / "omop" / "death.parquet", columns=["person_id", "death_date"])
    who = who.merge(death, on="person_id", how="left")
    died = (pd.to_datetime(who["death_date"]) - who["index_date"]).dt.days
    visits = pd.read_parquet(world / "omop" / "visit_occurrence.parquet")
    kinds = {9201: 0, 9203: 1, 9202: 3, 5083: 4}
    assert set(visits["visit_concept_id"]) <= set(kinds)
    seen = visits.merge(who, on="person_id")
    seen["day"] = (pd.to_datetime(seen["visit_start_date"]) - seen["index_date"]).dt.days
    seen["grade"] = seen["visit_concept_id"].map(kinds)
    seen = seen[(seen["day"] >= 1) & (seen["day"] <= DAYS) & (seen["day"] <= seen["end"])]
    seen = seen.groupby(["arm", "person_id", "day"], as_index=False)["grade"].min()
    seen["state"] = seen["grade"].map({0: "Admission", 1: "Emergency", 3: "Office", 4: "Telehealth"})
    last = who[who["end"] >= 1].assign(day=who["end"].clip(upper=DAYS), grade=9)
    last["state"] = np.where(
        died[last.index] <= last["day"], "Death",
        np.where(last["end"] < DAYS, "Follow-up ended", "No further contact"),
    )  # fmt: skip
    both = pd.concat([seen, last])[["arm", "person_id", "day", "grade", "state"]]
    both = both.sort_values(["arm", "person_id", "day", "grade"], ignore_index=True)
    before = both.groupby(["arm", "person_id"])
    return both.assign(
        before=before["state"].shift().fillna("Index"), since=both["day"] - before["day"].shift().fillna(0),
        order=before.cumcount() + 1,
    )  # fmt: skip


def number(table: pd.Series) -> pd.Series:
    return pd.to_numeric(table, errors="coerce")


def test_every_transition_is_one_of_the_tables(study: Study, paths: pd.DataFrame) -> None:
    found = matrix(co.journey(study, last_day=DAYS).steps)
    counted = paths.groupby(["arm", "before", "state"]).size()
    place = zip(found["arm"].map({"Offered": 1, "Not offered": 0}), found["from"], found["to"], strict=True)
    assert dict(zip(place, found["n"], strict=True)) == counted.to_dict()


def test_the_report_shows_those_transitions_or_hides_them(report: Path, paths: pd.DataFrame) -> None:
    shown = pd.read_csv(report / "tables" / "transitions.csv")
    arm = {"Offered": 1, "Not offered": 0}
    counted = paths.groupby(["arm", "before", "state"]).size()
    assert len(shown) == len(counted)  # every transition that there is has a row
    for line, n in zip(shown.to_dict("records"), number(shown["n"]), strict=True):
        truth = counted[arm[line["arm"]], line["from"], line["to"]]
        if np.isnan(n):
            assert line["n"] == ("<11" if truth < 11 else "hidden")
        else:
            assert n == truth >= 11
    office = shown[(shown["from"] == "Index") & (shown["to"] == "Office")]
    assert number(office["n"]).notna().all()  # the most frequent ones are seen


def test_days_between_and_first_contacts_are_those_of_the_tables(report: Path, paths: pd.DataFrame) -> None:
    shown = pd.read_csv(report / "tables" / "between.csv").set_index("from")
    ends = ["Death", "Follow-up ended", "No further contact"]
    for arm, name in ((1, "exposed"), (0, "comparator")):
        after = paths[(paths["arm"] == arm) & (paths["before"] == "Office")]
        seen = after[~after["state"].isin(ends)]
        line = shown.loc["Office"]
        assert float(line[f"n_{name}"]) == len(after)
        assert float(line[f"seen_{name}"]) == len(seen)
        quartiles = [float(line[f"{part}_{name}"]) for part in ("low", "days", "high")]
        assert quartiles == seen["since"].quantile([0.25, 0.5, 0.75]).tolist()
    flow = pd.read_csv(report / "tables" / "journey_flow.csv")
    office = flow[(flow["arm"] == "Offered") & (flow["step"] == "Step 1") & (flow["state"] == "Office")].iloc[0]
    offered = paths[paths["arm"] == 1]
    first = offered[offered["order"] == 1]
    assert int(office["n"]) == (first["state"] == "Office").sum()
    assert int(office["n_arm"]) == len(first)


def test_cost_until_the_next_contact_adds_up_to_all_cost(report: Path, study: Study, world: Path) -> None:
    """Steps times their mean cost is what the records say was spent from day 1 to the end of the journeys."""
    who = study.baseline.frame[["person_id", "arm", "index_date"]].reset_index(drop=True)
    who["end"] = np.minimum(study.outcomes.frame["end_day"].to_numpy(), DAYS)
    parts = []
    for domain, table in (("Visit", "visit_occurrence"), ("Drug", "drug_exposure")):
        start = "visit_start_date" if domain == "Visit" else "drug_exposure_start_date"
        held = pd.read_parquet(world / "omop" / f"{table}.parquet", columns=[f"{table}_id", "person_id", start])
        held.columns = pd.Index(["cost_event_id", "person_id", "date"])
        parts.append(held.assign(cost_domain_id=domain))
    cost = pd.read_parquet(world / "omop" / "cost.parquet")
    assert set(cost["cost_domain_id"]) == {"Visit", "Drug"}
    dated = cost.merge(pd.concat(parts), on=["cost_event_id", "cost_domain_id"]).merge(who, on="person_id")
    dated["day"] = (pd.to_datetime(dated["date"]) - dated["index_date"]).dt.days
    dated = dated[(dated["day"] >= 1) & (dated["day"] <= dated["end"])]
    shown = pd.read_csv(report / "tables" / "between.csv")
    for arm, name in ((1, "exposed"), (0, "comparator")):
        spent = dated.loc[dated["arm"] == arm, "amount_allowed"].astype(float).sum()
        n, mean = number(shown[f"n_{name}"]), number(shown[f"cost_{name}"])
        assert not n.isna().any()
        assert (n * mean).sum() == pytest.approx(spent, rel=1e-9)


def test_what_the_report_leaves(report: Path) -> None:
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "The first contacts, step by step, to day 120" in html
    for name in ("journey_flow", "transitions"):
        assert (report / "figures" / f"{name}.svg").is_file()
    flow = pd.read_csv(report / "tables" / "journey_flow.csv")
    assert f"/{int(flow['n_arm'].iloc[0]):,} (" in html  # every share has its denominator
    svg = (report / "figures" / "journey_flow.svg").read_text(encoding="utf-8")
    assert svg.startswith("<?xml")
    long = pd.read_csv(report / "results.csv")
    assert set(long["analysis"]) == {"transition"} and set(long["notebook"]) == {"journey"}
    counts = long[["events_exposed", "events_comparator", "n_exposed", "n_comparator"]].to_numpy(dtype=float)
    assert not ((counts > 0) & (counts < 11)).any()
    tables = "".join(path.read_text(encoding="utf-8") for path in (report / "tables").glob("*.csv"))
    assert "hidden" in tables and "<11" in tables
