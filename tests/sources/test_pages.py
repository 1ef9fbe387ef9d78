"""The pages on sources, engines and building say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clinops.sources import describe, inspect, omop
from clinops.sources.engine import Engine
from tests.conftest import tiny

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def cells(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("name", ["sources.md", "engines.md", "building.md"])
def test_files_that_a_page_names_are_there(name):
    named = re.findall(r"`((?:tests|clinops)/[\w/.]+?)/?`", page(name))
    assert named
    assert [path for path in named if not (DOCS.parent / path).exists()] == []


def test_what_follows_from_a_missing_table():
    rows = dict(row for row in cells(page("sources.md")) if len(row) == 2)
    assert {table: rows[f"`{table}`"] for table in inspect.CONSEQUENCES} == inspect.CONSEQUENCES


def test_captures_and_the_types_that_tell_them():
    rows = {row[0].strip("`"): row for row in cells(page("sources.md")) if len(row) == 3}
    assert set(describe.CAPTURES) == set(inspect.CAPTURES) <= set(rows)
    for concept, capture in inspect.PERIOD_TYPES.items():
        assert str(concept) in rows[capture][2]


def test_every_kind_of_thing_that_is_set_aside(source_of):
    day = {"start": "2020-01-01", "end": "2020-12-31"}
    tables = tiny(
        person=[{"person_id": 1}],
        observation_period=[{"person": 1, **day}],
        payer_plan_period=[{"person": 1, **day}],
        death=[{"person": 1, "start": "2020-12-31"}],
        cost=[{"event": 1, "allowed": 1}],
        **{where.table: [{"person": 1, "start": "2020-02-01"}] for name, where in omop.DOMAINS.items()
           if name not in ("death", "enrolment")},
    )  # fmt: skip
    kinds = {cell for row in cells(page("sources.md")) if len(row) == 3 for cell in [row[0]]}
    text = " ".join(kinds)
    found = {item.what.partition(": ")[2] for item in source_of(tables).loader.set_aside(everything=True)}
    plain = {re.sub(r"\w+_date before \w+_date", "end before start", kind) for kind in found}
    plain = {re.sub("^periods without a person$", "rows (or periods) without a person", kind) for kind in plain}
    plain = {re.sub("^rows without a person$", "rows (or periods) without a person", kind) for kind in plain}
    assert {kind for kind in plain if kind not in text} == set()


def test_the_methods_of_an_engine():
    rows = " ".join(row[0] for row in cells(page("engines.md")) if len(row) == 2)
    assert [name for name in Engine.__abstractmethods__ if f"`{name}(" not in rows] == []
