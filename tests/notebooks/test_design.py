"""The notebook of the design stage, and the lock and the register through the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import clinops as co
from clinops.runner.cli import main
from tests.notebooks.conftest import PROTOCOLS, Run

pytestmark = pytest.mark.notebook
PROTOCOL = PROTOCOLS / "remote_care_programme.json"


@pytest.fixture(scope="module")
def report(run: Run, world: Path) -> Path:
    return run("design", "design", source=world / "omop", protocol=PROTOCOL)


def test_the_design_is_that_of_the_evaluation(report: Path, programme_report: Path) -> None:
    for table in ("attrition", "baseline"):
        text = (report / "tables" / f"{table}.csv").read_text()
        assert text == (programme_report / "tables" / f"{table}.csv").read_text()
    assert not (report / "results.csv").exists() or "main" not in (report / "results.csv").read_text()


def test_it_shows_power_and_no_effect(report: Path) -> None:
    power = pd.read_csv(report / "tables" / "power.csv").set_index("outcome")
    assert power.loc["Total cost", "unit"] == "USD per person" and power.loc["Total cost", "worthwhile"] == 300
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "What this design could show" in html and "Risk ratio" not in html and "95% CI" not in html


def test_lock_at_the_command_line(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "plan.jsonl"
    assert main(["lock", str(PROTOCOL), str(file)]) == 0
    assert "plan locked" in capsys.readouterr().out
    other = co.protocol.read(PROTOCOL).vary(follow_up_days=180).write(tmp_path / "other.json")
    assert main(["lock", str(other), str(file)]) == 2
    assert "reason=" in capsys.readouterr().err
    assert main(["lock", str(other), str(file), "--reason", "half a year is what is paid for"]) == 0
    assert [entry.kind for entry in co.register(file).entries] == ["lock", "amendment"]
    assert main(["lock", str(tmp_path / "othr.json"), str(file)]) == 2
    assert "other.json" in capsys.readouterr().err


def test_the_evaluation_says_that_the_plan_was_locked_first(run: Run, world: Path, tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    co.protocol.read(PROTOCOL).lock(file)
    found = run("evaluation", "locked", source=world / "omop", protocol=PROTOCOL, register=file)
    table = pd.read_csv(found / "tables" / "check_plan.csv")
    assert table["what"].tolist() == ["Plan locked", "Outcomes read"]
    assert "Was the plan fixed before outcomes were read?" in (found / "report.html").read_text(encoding="utf-8")
