"""The house rules that a machine can check: nothing of one machine, small modules, clean layers, light import."""

from __future__ import annotations

import ast
import json
import pkgutil
import re
import subprocess
import sys

import pytest

import clinops
from tests.repo.files import PACKAGE, imported, modules, texts

LONGEST_MODULE = 600
LONGEST_FUNCTION = 60
SLOWEST_IMPORT = 0.5
HEAVY = {"pandas", "ibis", "lifelines", "matplotlib", "great_tables", "scipy", "sklearn", "duckdb"}

# Written in pieces, so that this file does not hold what it looks for.
_FOLDERS = "|".join(("work", "root", "home", "tmp", "Users", "mnt", "opt", "private", "var/folders"))
MACHINE_PATH = re.compile(rf"(?<![\w.:/@-])/(?:{_FOLDERS})/[\w.-]+")
INDEX_HOST = re.compile("|".join((r"py" + r"pi\.org", r"python" + r"hosted\.org", r"conda\.ana" + r"conda")))
INDEX_OPTION = re.compile(r"--(?:extra-)?index-" + r"url[ =]\S|--find-" + r"links[ =]\S")
WRONG_NAME = re.compile(r"\binst" + r"all\s+(?:-\S+\s+)*[\"']?clinops(?!-kit)(?=[\s\[\"'`.,;)<=>~!]|$)", re.MULTILINE)


def places(pattern: re.Pattern[str]) -> list[str]:
    """Return file:line of every line of the repository that holds the pattern."""
    found = []
    for name, text in texts().items():
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{name}:{line}: {match.group()}")
    return found


@pytest.mark.parametrize("pattern", [MACHINE_PATH, INDEX_HOST, INDEX_OPTION, WRONG_NAME], ids=str)
def test_no_text_names_a_machine_an_index_or_the_other_distribution(pattern: re.Pattern[str]) -> None:
    assert places(pattern) == []


@pytest.mark.parametrize(
    ("pattern", "bad", "good"),
    [
        (MACHINE_PATH, ["see /{}/main".format("work"), '"/{}/me/x.csv"'.format("home")], ["docs/home/x", "/usr/lib"]),
        (INDEX_HOST, ["https://py{}.org/simple".format("pi")], ["python.org", "a public index"]),
        (INDEX_OPTION, ["pip --index-{} x".format("url")], ["--no-emit-index-url"]),
        (WRONG_NAME, ["pip {} clinops".format("install"), "{} 'clinops[lab]'".format("install")], []),
        (WRONG_NAME, ["`{} -U clinops`".format("install")], ["{} clinops-kit".format("install"), "install clinops/x"]),
    ],
)
def test_the_patterns_find_what_they_should(pattern: re.Pattern[str], bad: list[str], good: list[str]) -> None:
    assert all(pattern.search(text) for text in bad)
    assert not any(pattern.search(text) for text in good)


def test_modules_are_short() -> None:
    lines = {name: texts_of_module(name).count("\n") for name in modules()}
    assert {name: count for name, count in lines.items() if count > LONGEST_MODULE} == {}


def texts_of_module(name: str) -> str:
    return (PACKAGE.parent / name).read_text(encoding="utf-8")


def test_functions_are_short() -> None:
    long = {}
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = lines_of_code(node)
                if length > LONGEST_FUNCTION:
                    long[f"{name}:{node.lineno} {node.name}"] = length
    assert long == {}


def lines_of_code(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring, which may be as long as it needs to be."""
    assert node.end_lineno is not None
    total = node.end_lineno - node.lineno + 1
    first = node.body[0]
    documented = ast.get_docstring(node, clean=False) is not None
    return total - (first.end_lineno - first.lineno + 1 if documented and first.end_lineno else 0)


def test_statistics_know_no_frames_and_no_database() -> None:
    barred = {"pandas", "ibis", "duckdb", "polars", "pyarrow", "sqlglot"}
    found = {
        name: sorted(imported(tree) & barred)
        for name, tree in modules().items()
        if name.startswith("clinops/stats/") and imported(tree) & barred
    }
    assert found == {}


def test_the_import_is_light_and_fast() -> None:
    code = (
        "import json, sys, time; start = time.perf_counter(); import clinops; "
        "took = time.perf_counter() - start; "
        "print(json.dumps([took, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
        for _ in range(3)
    ]
    assert HEAVY & set(runs[0][1]) == set()
    assert min(took for took, _ in runs) < SLOWEST_IMPORT


def test_public_names_exist_and_hide_no_module() -> None:
    assert sorted(clinops.__all__) == sorted(set(clinops.__all__))
    assert [name for name in clinops.__all__ if not hasattr(clinops, name)] == []
    inside = {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}
    assert inside & set(clinops.__all__) == set()


def test_nothing_is_swallowed() -> None:
    silent = [
        f"{name}:{node.lineno}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and catches_all(node.type) and forgets(node)
    ]
    assert silent == []


def forgets(handler: ast.ExceptHandler) -> bool:
    """Say whether a handler neither raises nor does anything with what it caught."""
    inside = [node for statement in handler.body for node in ast.walk(statement)]
    raises = any(isinstance(node, ast.Raise) for node in inside)
    uses = any(isinstance(node, ast.Name) and node.id == handler.name for node in inside)
    return not raises and not uses


def catches_all(kind: ast.expr | None) -> bool:
    if kind is None:
        return True
    names = {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}
    return bool(names & {"Exception", "BaseException"})
