"""The notebook `bias_ladder` through the command line: its rungs again from the simulated tables, by counting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.worlds import ladder as lab
from clinops.worlds.ladder import ladder
from tests.notebooks.conftest import Run

pytestmark = pytest.mark.notebook

PERSONS, SEED = 6_000, 3
HALF = 182


@pytest.fixture(scope="module")
def report(run: Run) -> Path:
    return run("bias_ladder", "ladder", persons=PERSONS, seed=SEED)


class Counts:
    """Admissions of the simulated persons, counted from the tables with numpy alone."""

    def __init__(self) -> None:
        tables = ladder(PERSONS, SEED).tables
        visits = tables["visit_occurrence"].to_pandas()
        stays = visits[visits["visit_concept_id"] == 9201].sort_values(["person_id", "visit_start_date"])
        self.days = {
            int(person): when.to_numpy(dtype="datetime64[D]").astype(int)
            for person, when in stays.groupby("person_id")["visit_start_date"]
        }
        dates = tables["observation"].to_pandas()
        dates["day"] = dates["observation_date"].to_numpy(dtype="datetime64[D]").astype(int)
        self.at = {
            int(concept): dict(zip(part["person_id"], part["day"], strict=True))
            for concept, part in dates.groupby("observation_concept_id")
        }
        # the review is four weeks after the qualifying admission, of everybody who qualifies
        self.index = {person: day - 28 for person, day in self.at[lab.REVIEW].items()}

    def mean(self, index: dict[int, int], first: int, last: int) -> float:
        nobody = np.zeros(0, dtype=int)
        return float(np.mean([
            ((days := self.days.get(person, nobody)) >= day + first).sum() - (days > day + last).sum()
            for person, day in index.items()
        ]))  # fmt: skip

    def arms(self, concept: int, index: dict[int, int] | None = None) -> tuple[dict[int, int], dict[int, int]]:
        everybody, taken = index or self.index, self.at[concept]
        return {p: d for p, d in everybody.items() if p in taken}, {
            p: d for p, d in everybody.items() if p not in taken
        }


@pytest.fixture(scope="module")
def counted() -> dict[str, float]:
    """The relative change of each rung that needs no matching."""
    c = Counts()

    def after(arms: tuple[dict[int, int], dict[int, int]]) -> float:
        return c.mean(arms[0], 1, HALF) / c.mean(arms[1], 1, HALF)

    enrolled, _ = c.arms(lab.ENROLLED)
    engaged, idle = c.arms(lab.ENGAGED)
    anybody = {p: d for p, d in c.at[lab.REFERENCE].items() if p not in c.at[lab.ENROLLED]}
    quiet = {p: d for p, d in c.at[lab.REVIEW].items() if c.mean({p: d}, -27, 0) == 0}
    change = [c.mean(arm, 1, HALF) - c.mean(arm, 1 - HALF, 0) for arm in (engaged, idle)]
    mean = c.mean(engaged, 1, HALF)
    return {
        "before_after": c.mean(enrolled, 1, HALF) / c.mean(enrolled, 1 - HALF, 0),
        "random_day": after((enrolled, anybody)),
        "own_event": after(c.arms(lab.ENROLLED)),
        "immortal": after(c.arms(lab.LATE)),
        "landmark": after(c.arms(lab.LATE, quiet)),
        "engaged": after((engaged, idle)),
        "engaged_changes": mean / (mean - (change[0] - change[1])),
        "lottery": after(c.arms(lab.OFFERED)),
    }


def test_the_rungs_are_those_counted_from_the_tables(report: Path, counted: dict[str, float]) -> None:
    results = pd.read_csv(report / "results.csv").set_index("level")
    for name, ratio in counted.items():
        assert results.loc[name, "estimate"] == pytest.approx(ratio, rel=1e-9), name
    assert set(results.index) - set(counted) == {"matched_random_day", "engaged_matched"}
    assert set(results["notebook"]) == {"bias_ladder"}


def test_mistakes_have_their_sign_and_guards_hold_no_effect(report: Path) -> None:
    results = pd.read_csv(report / "results.csv").set_index("level")
    for name in ("before_after", "immortal", "engaged", "engaged_matched", "engaged_changes"):
        assert results.loc[name, "conf_high"] < 0.9, name
    assert results.loc["random_day", "conf_low"] > 2
    for name in ("own_event", "landmark", "lottery"):
        row = results.loc[name]
        assert row["category"] == "guarded"
        assert abs(np.log(row["estimate"])) < 2.58 * row["std_error"] / row["estimate"], name


def test_lint_speaks_for_itself_and_passes_the_guards_in_silence(report: Path) -> None:
    shown = pd.read_csv(report / "tables" / "bias_ladder.csv").set_index("comparison")
    silent = shown[shown["lint"] == "nothing"]
    assert len(silent) == 3 and (silent["kind"] == "guarded").all()
    said = " ".join(shown["lint"])
    for rule in ("entry-kinds-differ", "comparator-never-enrols", "eligibility-after-time-zero",
                 "engagement-as-exposure", "outcome-before-follow-up"):  # fmt: skip
        assert rule in said


def test_the_report_shows_every_exhibit(report: Path) -> None:
    page = (report / "report.html").read_text(encoding="utf-8")
    for text in ("Table 1", "Figure 1", "Table 2", "Table 3", "Synthetic data", "N Engl J Med 2020;382:152-162"):
        assert text in page
    assert {path.name for path in (report / "figures").glob("*.svg")} == {"bias_forest.svg"}
    assert json.loads((report / "summary.json").read_text())["title"] == "The bias ladder"
