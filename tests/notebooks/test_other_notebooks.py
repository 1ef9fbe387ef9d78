"""The notebooks on a cohort and on data quality, and a raw papermill, through the production path."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.notebooks.conftest import GIBLEED, ROOT, Run

pytestmark = pytest.mark.notebook


def test_cohort(run: Run) -> None:
    report = run("cohort", "cohort", arm="comparator")
    attrition = pd.read_csv(report / "tables" / "attrition.csv")
    assert attrition["persons"].iloc[0] == 850 and attrition["persons"].iloc[-1] == 830  # the anchors of issue 2
    profile = pd.read_csv(report / "tables" / "profile.csv")
    assert {"Age", "Sex: female"} <= set(profile["covariate"])
    assert (report / "figures" / "flow.svg").is_file()
    codes = pd.read_csv(report / "tables" / "code_lists.csv", dtype=str)
    assert codes[codes["list"] == "diclofenac"]["persons"].tolist() == ["850"]
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "Who is in Diclofenac?" in html and "2,694" in html


def test_data_quality(run: Run) -> None:
    report = run("data_quality", "quality")
    checks = pd.read_csv(report / "tables" / "quality_checks.csv")
    orphans = checks[checks["check"] == "periods without a person"].iloc[0]
    assert (int(orphans["count"]), int(orphans["denominator"])) == (2649, 5343)  # README of the records
    said = json.loads((report / "summary.json").read_text())
    assert said["verdicts"][0]["status"] == "failed" and said["failed_checks"]
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "2,649/5,343 (49.6%)" in html


def test_the_quality_facade_in_a_notebook_cell() -> None:
    import clinops as co

    found = co.quality(co.connect(GIBLEED))
    failed = found.frame[found.frame["passed"].map(lambda one: one is False)]
    assert found.summary.observed == len(failed) == len(found.failed)
    counts = found.summary.frame[["passed", "failed", "counted"]].to_numpy().sum()
    assert counts == len(found.frame)
    assert found.write() is None  # no folder given and no runner at work
    assert "periods without a person" in str(found) and "<table" in found._repr_html_()


def test_a_raw_papermill_runs_the_same_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import papermill

    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("CLINOPS_RUN_DIR", raising=False)
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "data_quality.ipynb"), str(tmp_path / "out.ipynb"),
        parameters={"source": str(GIBLEED)}, progress_bar=False, kernel_name="python3",
    )  # fmt: skip
    assert "periods without a person" in (tmp_path / "out.ipynb").read_text(encoding="utf-8")
