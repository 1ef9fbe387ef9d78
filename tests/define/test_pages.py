"""The page on definitions: its examples run as they stand, and it names every public constructor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import clinops as co
from clinops.define.events import DOMAINS

PAGE = (Path(__file__).parents[2] / "docs" / "definitions.md").read_text(encoding="utf-8")
NOT_DEFINITIONS = {
    "__version__", "bias_ladder", "care", "care_measures", "connect", "cost_of_care", "design_stage",
    "hazard_ratios", "interrupted", "journey", "ledger", "outcome", "pre_post", "profile", "quality",
    "readmissions", "register", "robustness", "rollout", "survival", "table_one", "trial", "uptake",
}  # fmt: skip


def test_the_examples_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "definitions.md", "exec"), names)
    assert names["protocol"].lint().errors == ()
    assert names["older"].lint().errors == ()
    assert names["t2d"] == co.codes("type 2 diabetes", 201826)
    assert names["year"].length == 365 and names["later"].length == 30


def test_the_example_of_a_file_is_read_as_the_page_says(tmp_path: Path) -> None:
    (text,) = re.findall(r"```\n(# name:.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "list.csv"
    file.write_text(text, encoding="utf-8")
    assert co.codes.read(file) == co.codes(
        "type 2 diabetes", 201826, exclude=201254, origin="the registry's steering group, 2024"
    )


def test_the_page_names_every_constructor_and_no_other() -> None:
    named = set(re.findall(r"\bco\.([a-z_]+)", PAGE))
    assert named == set(co.__all__) - NOT_DEFINITIONS
    assert f"Domains: {', '.join(DOMAINS)}." in PAGE
