"""Notebooks are thin, typed and stripped: the work is in the package, where it is tested."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.repo.files import NOTEBOOKS

BARRED = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Lambda,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Try,
    ast.TryStar,
    ast.With,
    ast.AsyncWith,
)
CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
COMMITTED = sorted(path for path in NOTEBOOKS.glob("*.ipynb"))

Cell = dict[str, Any]


def cells(path: Path) -> list[Cell]:
    found: list[Cell] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def source(cell: Cell) -> str:
    return cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])


def tags(cell: Cell) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


def thick(code: str) -> list[str]:
    """Return the names of the constructs in a cell that belong in the package."""
    return sorted(type(node).__name__ for node in ast.walk(ast.parse(code)) if isinstance(node, BARRED))


def untyped(code: str) -> list[int]:
    """Return the lines of a parameters cell that are not `name: type = value`."""
    return [
        node.lineno
        for node in ast.parse(code).body
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None)
    ]


def unstripped(path: Path) -> list[str]:
    """Return what a run left in a notebook."""
    found = []
    for position, cell in enumerate(cells(path)):
        if cell["cell_type"] != "code":
            continue
        left = [what for what in ("outputs", "execution_count") if cell.get(what)]
        left += [key for key in ("papermill", "execution", "collapsed") if key in cell.get("metadata", {})]
        found += [f"cell {position}: {what}" for what in left]
        if "execution_count" not in cell or cell["execution_count"] is not None:
            found.append(f"cell {position}: execution_count is not null")
    return found


def test_there_are_notebooks() -> None:
    assert COMMITTED, f"no notebook in {NOTEBOOKS.name}/"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
class TestEachNotebook:
    def test_is_thin(self, path: Path) -> None:
        found = {n: thick(source(cell)) for n, cell in enumerate(cells(path)) if cell["cell_type"] == "code"}
        assert {n: what for n, what in found.items() if what} == {}

    def test_has_one_typed_parameters_cell(self, path: Path) -> None:
        tagged = [cell for cell in cells(path) if "parameters" in tags(cell)]
        assert len(tagged) == 1
        assert untyped(source(tagged[0])) == []

    def test_is_stripped(self, path: Path) -> None:
        assert unstripped(path) == []
        whole = json.loads(path.read_text(encoding="utf-8"))
        assert "papermill" not in whole["metadata"]

    def test_has_a_lasting_id_for_each_cell(self, path: Path) -> None:
        whole = json.loads(path.read_text(encoding="utf-8"))
        assert (whole["nbformat"], whole["nbformat_minor"] >= 5) == (4, True)
        ids = [cell.get("id", "") for cell in whole["cells"]]
        assert [name for name in ids if not CELL_ID.fullmatch(name)] == []
        assert len(set(ids)) == len(ids)


def test_the_rules_see_what_they_should() -> None:
    assert thick("x = 1\nco.age(18, 85)\n[y for y in (1, 2)]") == []
    assert thick("for a in b:\n    try:\n        f = lambda: a\n    finally:\n        pass") == ["For", "Lambda", "Try"]
    assert untyped("site: str = 'All'  # which site\nn: int = 3") == []
    assert untyped("site: str\nn = 3\nimport os") == [1, 2, 3]
