"""The notebook `uptake` through the command line: its counts again from the tables, without the library."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.analyse.uptake.facade import NUMBERS
from tests.notebooks.conftest import PROTOCOLS, Run
from tests.notebooks.test_outcomes import DAY, LAST, entries, table

pytestmark = pytest.mark.notebook

OFFER, ACTIVATION, ENGAGEMENT = 2_000_000_001, 2_000_000_002, 2_000_000_003
DEFENCE = "Letters went out in the order of a number that the insurer drew."


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run(
        "uptake", "uptake", source=world / "omop", protocol=PROTOCOLS / "remote_care_programme.json", min_cell=1,
        assignment="as if random", assignment_reason=DEFENCE, adjustment="crude", replicates=10, outcomes='["Death"]',
    )  # fmt: skip


@pytest.fixture(scope="module")
def persons(world: Path) -> pd.DataFrame:
    """Each entry of either arm with its three days, within follow-up."""
    omop = world / "omop"
    at = entries(omop)
    died = table(omop, "death", "death_date").groupby("person_id")["death_date"].min()
    last = np.minimum((at["to"] - at["index"]) // DAY, LAST)
    at["end"] = np.fmin(last, (at["person_id"].map(died) - at["index"]) // DAY)
    noted = table(omop, "observation", "observation_concept_id", "observation_date")
    for name, concept in (("offer", OFFER), ("activation", ACTIVATION), ("engagement", ENGAGEMENT)):
        first = noted[noted["observation_concept_id"] == concept].groupby("person_id")["observation_date"].min()
        day = (at["person_id"].map(first) - at["index"]) // DAY
        at[name] = day.where((day >= 0) & (day <= at["end"]))
    return at.reset_index(drop=True)


def test_the_funnel_and_its_times_are_those_of_the_tables(report: Path, persons: pd.DataFrame) -> None:
    shown = pd.read_csv(report / "tables" / "reach.csv")
    offered = persons[persons["exposed"]]
    counts = [len(offered), len(offered), offered["activation"].notna().sum(), offered["engagement"].notna().sum()]
    assert shown[shown["arm"] == "Offered"]["n"].tolist() == counts
    times = pd.read_csv(report / "tables" / "timing.csv")
    wait = (offered["activation"] - offered["offer"]).dropna()
    assert times.iloc[0][["n", "reached", "median"]].tolist() == [len(offered), len(wait), wait.median()]
    later = (offered["engagement"] - offered["activation"]).dropna()
    assert times.iloc[1][["n", "reached", "median"]].tolist() == [len(wait), len(later), later.median()]


def test_the_offer_and_the_compliers_are_those_of_the_tables(report: Path, persons: pd.DataFrame) -> None:
    results = pd.read_csv(report / "results.csv")
    assert set(results["notebook"]) == {"uptake"}
    offered = persons["exposed"]
    dead = persons["end"] < np.minimum((persons["to"] - persons["index"]) // DAY, LAST)
    died = results[(results["analysis"] == "complier") & (results["measure"] == "Death")].set_index("method")
    taken = persons["activation"].notna()
    share = taken[offered].mean() - taken[~offered].mean()
    types = results[results["analysis"] == "compliance"].set_index("measure")["estimate"]
    assert types["Compliers"] == pytest.approx(100 * share)
    assert died.loc["two-stage least squares", "estimate"] == pytest.approx(
        died.loc["reduced form", "estimate"] / share
    )
    assert died.loc["reduced form", "events_exposed"] >= dead[offered].sum()


def test_who_is_followed_under_which_strategy(report: Path, persons: pd.DataFrame) -> None:
    weights = pd.read_csv(report / "tables" / "weights.csv")
    seen = persons[persons["end"] > 0]
    late = (seen["end"] > 30) & ~(seen["activation"] <= 30)
    early = seen["activation"] < seen["end"]
    clones = weights[weights["analysis"] == "clone-censor"]
    assert clones["persons"].tolist() == [len(seen), len(seen)]
    assert clones["deviated"].tolist() == [late.sum(), early.sum()]
    arms = weights[weights["analysis"] == "per-protocol"]
    assert arms["persons"].tolist() == [seen["exposed"].sum(), (~seen["exposed"]).sum()]
    assert arms["deviated"].tolist() == [(late & seen["exposed"]).sum(), (early & ~seen["exposed"]).sum()]
    landmark = pd.read_csv(report / "tables" / "landmark.csv")
    kept = seen[seen["end"] > 30]
    assert landmark["n_exposed"].iloc[0] == (kept["activation"] <= 30).sum()
    assert landmark["n_comparator"].iloc[0] == (~(kept["activation"] <= 30)).sum()


def test_the_report_shows_every_exhibit_and_leaves_its_files(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert [number for number in NUMBERS.values() if number not in page] == []
    assert DEFENCE.rstrip(".") in page
    assert {path.stem for path in (report / "tables").glob("*.csv")} == set(NUMBERS)
    assert {path.name for path in (report / "figures").glob("*.svg")} == {"reach.svg", "timing.svg", "strategies.svg"}
    summary = json.loads((report / "summary.json").read_text())
    assert summary["title"].startswith("Uptake: ") and summary["verdicts"] == []
    results = pd.read_csv(report / "results.csv")
    chosen = results[results["analysis"] == "not causal"]
    assert len(chosen) and chosen["p_value"].isna().all()
