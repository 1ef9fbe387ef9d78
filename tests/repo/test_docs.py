"""The documents say what is there: links lead somewhere, and the registers leave nothing out."""

from __future__ import annotations

import ast
import datetime as dt
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from clinops.analyse import journey, profile, quality
from clinops.analyse.care import report as care
from clinops.analyse.checks import FOLLOW_UP_GAP
from clinops.analyse.costs import care as costs
from clinops.analyse.effects import SCALES
from clinops.analyse.ladder import facade as ladder
from clinops.analyse.outcomes import facade as outcomes
from clinops.analyse.panels import interrupted, rollout
from clinops.analyse.robustness import facade as robustness
from clinops.analyse.trial import facade as trial
from clinops.analyse.uptake import facade as uptake
from clinops.analyse.verdict import DECISIVE
from clinops.define import panel_lint
from clinops.define.lint import ERRORS, WARNINGS
from clinops.define.protocol import Protocol
from clinops.render.table import layout
from clinops.results import bundle
from clinops.results.front import VERDICTS
from clinops.results.result import FORMATS, Column, Figure, Result
from clinops.results.schema import COLUMNS
from clinops.study import NUMBERS, ORDER, Study
from tests.repo.files import ROOT, modules, texts

LINK = re.compile(r"\]\(([^)\s]+)\)")
DOCUMENTS = sorted(name for name in texts() if name == "README.md" or re.fullmatch(r"docs/.*\.md", name))


def document(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def after(text: str, words: str) -> str:
    """Return what follows a heading or the start of a paragraph."""
    assert text.count(words) == 1, f"{words!r} stands {text.count(words)} times"
    return text.partition(words)[2]


def table_rows(text: str) -> dict[str, list[str]]:
    """Return the cells of every table row by its first cell, without the backquotes; the first of its name counts."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]
    return {row[0].strip("`"): row for row in reversed(cells)}


# --- links -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_that_exist(name: str) -> None:
    assert broken_links((ROOT / name).read_text(encoding="utf-8"), ROOT / name) == []


def broken_links(text: str, at: Path) -> list[str]:
    """Return the relative links of a document that lead nowhere; code is not prose."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = [link for link in LINK.findall(prose) if not re.match(r"[a-z]+:|#", link)]
    return [link for link in found if not (at.parent / link.partition("#")[0]).exists()]


def test_a_broken_link_is_found() -> None:
    text = "[here](docs/running.md#kernel) [gone](docs/nowhere.md) [web](https://example.org) `[code](x.md)`"
    assert broken_links(text, ROOT / "README.md") == ["docs/nowhere.md"]


# --- results -----------------------------------------------------------------------------------------------


def test_every_column_of_the_long_table_is_described_in_its_order() -> None:
    rows = table_rows(document("results.md"))
    assert [name for name in reversed(rows) if name in COLUMNS] == list(COLUMNS)
    said = {"string": "text", "Int64": "whole number", "float64": "number"}
    assert {name: rows[name][1].split(",")[0] for name in COLUMNS} == {
        name: said[kind] for name, kind in COLUMNS.items()
    }


EXAMPLES: dict[str, tuple[Any, dict[str, float], str]] = {
    "text": ("Offered", {}, ""),
    "count": (1234, {}, ""),
    "percent": (45, {"denominator": 230}, ""),
    "n_percent": (45, {"denominator": 230}, ""),
    "fraction": (0.196, {}, ""),
    "number0": (1234.0, {}, ""),
    "number1": (-1234.5, {}, ""),
    "number2": (0.126, {}, ""),
    "number3": (0.0126, {}, ""),
    "money": (-310.2, {"low": -602.4, "high": -18.0}, "USD"),
    "ratio": (0.82, {"low": 0.70, "high": 0.957}, ""),
    "p": (0.0312, {}, ""),
    "smd": (0.0834, {}, ""),
    "date": (dt.date(2022, 3, 1), {}, ""),
    "interval": (1.352, {"conf_low": 1.10, "conf_high": 1.65}, ""),
    "mean": (12.13, {"spread": 3.42}, ""),
    "median": (12.0, {"low": 7.0, "high": 20.0}, ""),
    "days": (341.6, {}, ""),
    "verdict": (True, {}, ""),
}


def test_every_format_has_an_example() -> None:
    assert sorted(EXAMPLES) == sorted(FORMATS)


@pytest.mark.parametrize("how", FORMATS)
def test_the_example_of_a_format_is_what_the_code_prints(how: str) -> None:
    value, more, unit = EXAMPLES[how]
    row = table_rows(after(document("results.md"), "### Formats of a column"))[how]
    for number in more.values():
        assert re.search(rf"{number:g}", row[1]), f"{row[1]} does not give {number:g}"
    said = {name: name for name in more if not name.startswith("conf_")}
    column = Column("value", "Value", how, unit, **said)  # type: ignore[arg-type]
    frame = pd.DataFrame({"row": ["a"], "value": [value], **{name: [number] for name, number in more.items()}})
    printed = layout(Result("example", "Example", frame, (Column("row", "Row"), column)))
    assert printed.groups[0].rows[0].cells[0].text == row[2]


def test_every_scale_is_given_for_its_kind_of_measure() -> None:
    rows = table_rows(after(document("results.md"), "**Scales.**"))
    for kind, scales in SCALES.items():
        assert [scale.name for scale in scales if scale.name not in rows[kind][1]] == []
        assert [scale.unit for scale in scales if scale.unit not in rows[kind][2]] == []


def test_every_file_of_a_bundle_is_listed(tmp_path: Path) -> None:
    frame = pd.DataFrame({"label": ["a"], "estimate": [1.0], "low": [0.5], "high": [2.0]})
    result = Result("one", "One", frame, figure=Figure("forest", frame))
    bundle.write(tmp_path, results=[result], estimates=None, protocol=None, source_identity={}, summary={})
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    listed = document("results.md").replace("`figures/<name>.svg`, `.png`", "`figures/one.svg` `figures/one.png`")
    assert [name for name in sorted(written) if f"`{name}`" not in listed.replace("<name>", "one")] == []


# --- the report --------------------------------------------------------------------------------------------


def test_every_exhibit_is_in_the_report_page_with_its_number() -> None:
    rows = table_rows(document("report.md"))
    for name, number in NUMBERS.items():
        assert number in rows, f"{number} ({name}) is missing"
        assert rows[number][1].strip("`").startswith(name), f"{number} is {name}, the page has {rows[number][1]}"
    assert len([row for row in rows if re.match(r"(Table|Figure) \d", row)]) == len(NUMBERS)


def test_what_shows_an_exhibit_is_a_part_of_a_study() -> None:
    shown = re.findall(r"`study\.(\w+)", document("report.md"))
    assert [name for name in shown if not hasattr(Study, name)] == []
    assert [name for name in ORDER if f"`study.{name}" not in document("report.md")] == []


def test_thresholds_are_those_of_the_code() -> None:
    rows = table_rows(document("report.md"))
    assert rows["check_follow_up"][2] == f"at most {FOLLOW_UP_GAP}"
    assert f"({Protocol.balance_threshold})" in rows["check_balance"][2]
    assert f"({Protocol.min_cell} by default)" in document("results.md")


@pytest.mark.parametrize("numbers", [profile.NUMBERS, quality.NUMBERS], ids=["cohort", "data_quality"])
def test_the_exhibits_of_the_other_reports_are_named(numbers: dict[str, str]) -> None:
    text = document("report.md")
    assert [name for name, number in numbers.items() if f"`{name}` ({number.lower()}" not in text] == []


def numbered(text: str) -> dict[str, set[str]]:
    """Return what stands in backquotes in the row of each number; "Tables 2, 3" are two."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        first, _, rest = line.removeprefix("| ").partition(" | ")
        for kind, some in re.findall(r"(Table|Figure)s? ((?:\d+[a-z]?(?:, )?)+)", first):
            for number in re.findall(r"\d+[a-z]?", some):
                assert f"{kind} {number}" not in found, f"{kind} {number} stands twice"
                found[f"{kind} {number}"] = set(re.findall(r"`(\w+)`", rest))
    return found


@pytest.mark.parametrize(
    ("page", "numbers"),
    [
        ("outcomes.md", outcomes.NUMBERS),
        ("costs.md", costs.NUMBERS),
        ("journey.md", journey.NUMBERS),
        ("care_measures.md", care.NUMBERS),
        ("trial.md", trial.NUMBERS),
        ("laboratory.md", ladder.NUMBERS),
        ("uptake.md", uptake.NUMBERS),
        ("robustness.md", robustness.NUMBERS),
    ],
    ids=["outcomes", "costs", "journey", "care", "trial", "laboratory", "uptake", "robustness"],
)
def test_every_exhibit_of_a_notebook_is_in_its_page_with_its_number(page: str, numbers: dict[str, str]) -> None:
    rows = numbered(re.split(r"\n## (?:The exhibits|Exhibits)\n", document(page))[1].partition("\n## ")[0])
    assert {name: number for name, number in numbers.items() if name not in rows.get(number, ())} == {}
    assert sorted(set(rows) - set(numbers.values())) == []


@pytest.mark.parametrize(
    ("page", "name", "shows"),
    [
        ("outcomes.md", "one", outcomes.Outcome),
        ("costs.md", "costs", costs.CostOfCare),
        ("journey.md", "journey", journey.Journey),
        ("care_measures.md", "care", care.Care),
        ("laboratory.md", "ladder", ladder.BiasLadder),
        ("uptake.md", "uptake", uptake.Uptake),
        ("robustness.md", "tried", robustness.Robustness),
    ],
)
def test_what_a_page_says_shows_an_exhibit_is_there(page: str, name: str, shows: type) -> None:
    said = re.findall(rf"`{name}\.(\w+)", document(page))
    assert said and [one for one in said if not hasattr(shows, one)] == []


@pytest.mark.parametrize(
    ("begins", "numbers", "name", "shows"),
    [
        ("Of a roll-out (`rolled`):", rollout.NUMBERS, "rolled", rollout.Rollout),
        ("Of an interrupted series (`found`):", interrupted.NUMBERS, "found", interrupted.InterruptedSeries),
    ],
    ids=["rollout", "interrupted"],
)
def test_the_page_of_panels_names_every_exhibit(begins: str, numbers: dict[str, str], name: str, shows: type) -> None:
    part = after(document("rollout.md"), begins).split("\n\n")[1]
    rows = numbered(part)
    assert {one: number for one, number in numbers.items() if one not in rows.get(number, ())} == {}
    assert sorted(set(rows) - set(numbers.values())) == []
    said = re.findall(rf"`{name}\.(\w+)", part)
    assert [one for one in said if not hasattr(shows, one)] == []


def test_the_rules_of_panels_are_in_their_page_with_their_severity() -> None:
    rows = table_rows(document("rollout.md"))
    found = {rule: rows[rule][2] for rule in (*panel_lint.ERRORS, *panel_lint.WARNINGS)}
    assert found == dict.fromkeys(panel_lint.ERRORS, "error") | dict.fromkeys(panel_lint.WARNINGS, "warning")


def test_numbers_of_a_row_are_read_one_by_one() -> None:
    assert numbered("| Tables 2, 3 | `one`, `two` |\n| Table 4a, Figure 2 | x | `b` |") == {
        "Table 2": {"one", "two"}, "Table 3": {"one", "two"}, "Table 4a": {"b"}, "Figure 2": {"b"},
    }  # fmt: skip


def test_verdicts_checks_and_lint_rules_are_named() -> None:
    text = document("report.md")
    assert [word for word in VERDICTS.values() if word.lower() not in text] == []
    assert [name for name in DECISIVE if f"| `{name}` |" not in text] == []
    assert [rule for rule in (*ERRORS, *WARNINGS) if f"`{rule}`" not in text] == []


# --- methods -----------------------------------------------------------------------------------------------


def public_names() -> list[str]:
    """Return every public function and class of the statistics, and the modules themselves."""
    found = []
    for path, tree in modules().items():
        if path.startswith("clinops/stats/") and not path.endswith("__init__.py"):
            found.append(Path(path).stem)
            found += [
                node.name
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            ]
    return found


def test_every_estimator_is_in_the_register() -> None:
    text = document("methods.md")
    assert [name for name in public_names() if f"`{name}`" not in text] == []


def test_code_and_references_that_the_method_pages_name_exist() -> None:
    pages = [name for name in DOCUMENTS if name.startswith("docs/methods") or name == "docs/report.md"]
    places = (ROOT, ROOT / "clinops", ROOT / "tests" / "oracles")
    missing = []
    for name in pages:
        for said in re.findall(r"`([\w/]+/[\w.]+\.(?:py|json|csv|R|md|ipynb))`", texts()[name]):
            # What a command writes (out/truth.json) is in no folder of the repository.
            ours = any((place / said.split("/")[0]).is_dir() for place in places)
            if ours and not any((place / said).exists() for place in places):
                missing.append(f"{name}: {said}")
    assert missing == []
