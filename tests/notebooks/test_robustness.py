"""The notebook `robustness` through the command line: its numbers hang together, and some again from the tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.analyse.robustness.facade import NUMBERS
from tests.notebooks.conftest import PROTOCOLS, Run
from tests.notebooks.test_outcomes import entries, table

pytestmark = pytest.mark.notebook


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run(
        "robustness", "crude", source=world / "omop", protocol=PROTOCOLS / "remote_care_programme.json",
        adjustment="crude", min_cell=1, imputations=2, draws=500, last_contact="[60]",
    )  # fmt: skip


def test_crude_contacts_are_those_of_the_tables(report: Path, world: Path) -> None:
    at = entries(world / "omop").reset_index(drop=True)
    visits = table(world / "omop", "visit_occurrence", "visit_start_date")
    pairs = at.assign(row=at.index).merge(visits, on="person_id")
    pairs["day"] = (pairs["visit_start_date"] - pairs["index"]).dt.days
    since = (at["index"] - at["from"]).dt.days.clip(upper=365)
    inside = pairs["day"].between(-365, -1) & (pairs["visit_start_date"] >= pairs["from"])
    days = pairs[inside].drop_duplicates(["row", "day"])
    shown = pd.read_csv(report / "tables" / "capture.csv")
    for exposed, name in ((True, "exposed"), (False, "comparator")):
        arm = at["exposed"] == exposed
        rate = (days["exposed"] == exposed).sum() / (since[arm].sum() / (365.25 / 12))
        assert shown[f"rate_{name}"].iloc[0] == pytest.approx(rate)
        assert shown[f"n_{name}"].iloc[0] == arm.sum()


def test_the_numbers_of_the_report_hang_together(report: Path) -> None:
    results = pd.read_csv(report / "results.csv")
    assert set(results["notebook"]) == {"robustness"}
    main = results[(results["analysis"] == "main") & (results["scale"] == "mean difference")].iloc[0]
    tipping = pd.read_csv(report / "tables" / "tipping_point.csv")
    assert tipping["estimate"].tolist() == pytest.approx((main["estimate"] / tipping["gap"]).tolist())
    curve = pd.read_csv(report / "tables" / "specification_curve.csv")
    asked = results[results["analysis"] == "specification curve"]
    # Crude is no defensible way to compare arms that were not drawn: the curve holds the usual five, and not it.
    assert len(curve) == len(asked) == 60 and "crude" not in set(curve["Adjustment"]) and not curve["main"].any()
    assert np.allclose(sorted(asked["estimate"]), curve["estimate"])
    ends = pd.read_csv(report / "tables" / "end_of_observation.csv")
    assert ends["level"].tolist() == ["as recorded", "last contact and 60 days"]
    before = pd.read_csv(report / "tables" / "change_before_after.csv")
    assert (before["left"] - (before["observed"] - before["expected"])).abs().max() < 1e-6
    e_values = pd.read_csv(report / "tables" / "e_values.csv")
    assert len(e_values) == 1


def test_the_report_shows_every_exhibit_and_leaves_its_files(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    assert [number for number in NUMBERS.values() if number not in page] == []
    assert {path.stem for path in (report / "tables").glob("*.csv")} == set(NUMBERS)
    kept = json.loads((report / "summary.json").read_text())
    assert kept["title"] == "Robustness: Remote care for type 2 diabetes"
    assert "Not judged" in page and "placebo_shift" in json.dumps(json.loads((report / "manifest.json").read_text()))
