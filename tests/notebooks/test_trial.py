"""The notebook `trial` through the command line: the printed answers of a real trial are in its results file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from clinops.runner.cli import main
from tests.notebooks.conftest import ROOT

pytestmark = pytest.mark.notebook


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *given: str) -> Path:
    monkeypatch.chdir(ROOT)
    assert main(["run", "trial", *given, "--out", str(tmp_path), "--run-id", "t", "--jobs", "1"]) == 0
    return tmp_path / "t"


def only(results: pd.DataFrame, analysis: str, method: str, category: str = "spend_0816_0717") -> pd.Series:
    keep = (results["analysis"] == analysis) & (results["method"] == method) & (results["category"] == category)
    assert keep.sum() == 1
    return results[keep].iloc[0]


def test_by_default_it_is_the_spending_of_the_wellness_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(tmp_path, monkeypatch)
    results = pd.read_csv(report / "results.csv")
    printed = {  # QJE Table 3 and Table 4
        ("intention to treat", "weighted least squares"): (10.8, 48.5, 3239),
        ("complier", "two-stage least squares"): (17.7, 79.0, 3239),
        ("observational", "crude"): (-137.3, 68.6, 2208),
    }
    for (analysis, method), (estimate, error, persons) in printed.items():
        row = only(results, analysis, method)
        assert (round(row["estimate"], 1), round(row["std_error"], 1)) == (estimate, error)
        assert row["n_exposed"] + row["n_comparator"] == persons
        assert row["notebook"] == "trial"
    for method in ("regression", "matching", "weighting"):  # adjusting on 15 covariates does not cure it
        assert only(results, "observational", method)["estimate"] < -80
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "participants had 137 USD per month less" in html and "1,848 of 3,300" in html
    assert "$18 (−$137 to $173)" in html
    summary = json.loads((report / "summary.json").read_text(encoding="utf-8"))
    assert summary["verdicts"][0]["status"] == "too uncertain" and summary["failed_checks"] == []
    plan = json.loads((report / "protocol.json").read_text(encoding="utf-8"))
    assert plan["protocol"]["type"] == "trial" and plan["protocol"]["offer"] == "treat"
    assert {"flow.svg", "forest.svg", "observational.svg", "strip.svg", "subgroups.svg"} <= {
        path.name for path in (report / "figures").iterdir()
    }


def test_a_table_of_the_papers_is_a_file_of_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(
        tmp_path, monkeypatch, "-f", "data/illinois-wellness/tables/jamaim_table_4.yaml", "-p", "bootstrap", "100"
    )
    row = only(
        pd.read_csv(report / "results.csv"), "intention to treat", "weighted least squares", "hypertension_0816_0717"
    )
    assert [round(row[c], 2) for c in ("estimate", "conf_low", "conf_high", "p_value")] == [-1.57, -3.70, 0.56, 0.15]
    assert row["adjustment"] == "fixed effects of Strata_claims, 6 covariates, weighted by covg_0816_0717"


def test_another_file_needs_only_the_parameters_that_name_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = run(
        tmp_path, monkeypatch, "-p", "file", "data/illinois-wellness/marathon.csv", "-p", "outcomes",
        "[marathon_2017, marathon_2018]", "-p", "weights", "[]",
    )  # fmt: skip
    row = only(pd.read_csv(report / "results.csv"), "intention to treat", "least squares", "marathon_2018")
    assert (round(row["estimate"], 3), round(row["std_error"], 3)) == (0.006, 0.007)  # QJE Table 3


def test_wrong_parameters_are_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    bad = ["run", "trial", "-p", "outcome", "spend", "--out", str(tmp_path)]
    assert main(bad) == 2
    assert "outcomes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
