"""Declarations are read as a syntax tree, values by their declared type."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import ParameterError
from clinops.runner.execute import _injection
from clinops.runner.kinds import Kind, Text, kind_of_annotation, read
from clinops.runner.parameters import declared, values_for
from clinops.runner.yamlfile import read_mapping

HERE = Path().resolve()
CELL = '''"""What a run may set."""
from typing import Literal
from datetime import date
from pathlib import Path

index_year: int = 2022  # calendar year; of the index; >= 2000, <= 2030
cap: int | None = None
site: str = "All"  # a "site" # not code
estimand: Literal["att", "ate"] = "att"  # whose effect
start: date = "2020-01-01"  # first day; >= 2015-01-01
codes: list[str] = ["A1", "B2"]
doses: tuple[float, ...] = (0.5, 1)  # > 0
share: float = 1  # of persons; > 0, <= 1
strict: bool = False
label = "a=b"
'''


def cli(**given: str) -> dict[str, Text]:
    return {name: Text(value, cli=True) for name, value in given.items()}


def values(cell: str, given: dict) -> dict:
    return values_for(declared(cell), given, "x", HERE, HERE)


def test_a_cell_is_read_into_typed_parameters() -> None:
    found = declared(CELL)
    assert {name: str(p.kind) for name, p in found.items()} == {
        "index_year": "int",
        "cap": "int | None",
        "site": "str",
        "estimand": "Literal['att', 'ate']",
        "start": "date",
        "codes": "list[str]",
        "doses": "tuple[float, ...]",
        "share": "float",
        "strict": "bool",
        "label": "str",
    }
    year = found["index_year"]
    assert (year.description, year.limits) == ("calendar year; of the index", ">= 2000, <= 2030")
    assert found["site"].description == 'a "site" # not code'
    assert found["start"].limits == ">= 2015-01-01"
    assert found["doses"].description == ""
    assert not found["label"].annotated


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({"index_year": "2021"}, {"index_year": 2021}),
        ({"index_year": "02021"}, {"index_year": 2021}),
        ({"site": "007"}, {"site": "007"}),
        ({"site": "NO"}, {"site": "NO"}),
        ({"site": "1e3"}, {"site": "1e3"}),
        ({"site": "none"}, {"site": "none"}),
        ({"site": ""}, {"site": ""}),
        ({"cap": "none"}, {"cap": None}),
        ({"cap": "12"}, {"cap": 12}),
        ({"estimand": "ate"}, {"estimand": "ate"}),
        ({"start": "2020-02-29"}, {"start": "2020-02-29"}),
        ({"codes": "02139, E11"}, {"codes": ["02139", "E11"]}),
        ({"codes": '["a, b", NO, 007]'}, {"codes": ["a, b", "NO", "007"]}),
        ({"codes": ""}, {"codes": []}),
        ({"doses": "1,2.5"}, {"doses": (1.0, 2.5)}),
        ({"share": "1e-3"}, {"share": 0.001}),
        ({"strict": "yes"}, {"strict": True}),
        ({"strict": "False"}, {"strict": False}),
        ({"label": "x=y=z"}, {"label": "x=y=z"}),
    ],
)
def test_the_declared_type_decides(written: dict, expected: dict) -> None:
    got = values(CELL, cli(**written))
    assert got == expected
    assert [type(value) for value in got.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"index_yaer": "2021"}, "Did you mean 'index_year'"),
        ({"index_year": "2021.5"}, "whole number"),
        ({"index_year": "1e3"}, "whole number"),
        ({"index_year": "1_000"}, "whole number"),
        ({"index_year": ""}, "whole number"),
        ({"index_year": "none"}, "whole number"),
        ({"index_year": "1999"}, "must be >= 2000, <= 2030, got 1999"),
        ({"share": "nan"}, "finite"),
        ({"share": "1e999"}, "finite"),
        ({"share": "inf"}, "finite"),
        ({"share": "0"}, "must be > 0, <= 1"),
        ({"strict": "maybe"}, "true or false"),
        ({"estimand": "atx"}, "one of att, ate"),
        ({"start": "2021-02-30"}, "YYYY-MM-DD"),
        ({"start": "01/02/2021"}, "YYYY-MM-DD"),
        ({"start": "2014-12-31"}, "must be >= 2015-01-01"),
        ({"doses": "1,0"}, "must be > 0"),
        ({"doses": "1,x"}, "a number"),
        ({"codes": "[a, b"}, "not valid YAML"),
    ],
)
def test_what_cannot_be_meant_is_refused(written: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message.replace("(", r"\(")):
        values(CELL, cli(**written))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = None", "has no declared type"),
        ("x: dict = {}", "is declared dict"),
        ("x: int = 'a'", "is not of its type int"),
        ("x: int = True", "is not of its type int"),
        ("x: str = 5", "is not of its type str"),
        ("x: int = 5  # n; >= ten", "a limit of parameter 'x'"),
        ("x: int = 5  # n; >= 1 <= 9", "write `>= 0, <= 365`"),
        ("x: int = 5  # n; >= 6", "must be >= 6, got 5"),
        ("x: str = 'a'  # n; >= 6", "only numbers and dates"),
        ("x: int = f()", "is not a plain value"),
        ("x: int", "only `name: type = value"),
        ("print(1)", "only `name: type = value"),
        ("x: int = 1\nx: int = 2", "declares 'x' twice"),
        ("x, y = 1, 2", "only `name: type = value"),
        ("%matplotlib inline", "not valid Python"),
        ("x: date = '2020-13-01'", "is not of its type date"),
        ("x: Literal['a'] = 'b'", "is not of its type"),
        ("db_password: str = 'x'", "looks like a secret"),
        ("api_token: str = ''", "looks like a secret"),
        ("db: str = 'postgresql://me:hush@host/db'", "contains a password"),
    ],
)
def test_a_malformed_declaration_says_so(cell: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message) as caught:
        declared(cell)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Optional[int]", Kind("int", True)),
        ("None | int", Kind("int", True)),
        ("'int | None'", Kind("int", True)),
        ("datetime.date", Kind("date")),
        ("pathlib.Path", Kind("Path")),
        ("typing.Literal[1, 2]", Kind("choice", choices=(1, 2))),
        ("Literal['a', 'b'] | None", Kind("choice", True, choices=("a", "b"))),
        ("list[Path]", Kind("list", item=Kind("Path"))),
        ("tuple[int]", Kind("tuple", item=Kind("int"))),
        ("list[list[int]]", None),
        ("tuple[int, str]", None),
        ("int | str", None),
        ("Literal[True]", None),
        ("object", None),
    ],
)
def test_annotations(text: str, expected: Kind | None) -> None:
    assert kind_of_annotation(ast.parse(text, mode="eval").body) == expected


# --- YAML ----------------------------------------------------------------------------------------


def from_yaml(tmp_path: Path, text: str) -> dict:
    path = tmp_path / "p.yaml"
    path.write_text(text, encoding="utf-8")
    return values(CELL, read_mapping(path))


def test_yaml_values_are_read_by_declared_type(tmp_path: Path) -> None:
    text = "site: 02139\nindex_year: 02021\ncap: null\nshare: 1\nstrict: on\nstart: 2020-03-01\n"
    text += 'codes: [02139, "NO", 1e3]\n'
    assert from_yaml(tmp_path, text) == {
        "index_year": 2021,
        "cap": None,
        "site": "02139",
        "start": "2020-03-01",
        "codes": ["02139", "NO", "1e3"],
        "share": 1.0,
        "strict": True,
    }
    assert from_yaml(tmp_path, 'site: "NO"') == {"site": "NO"}
    assert from_yaml(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("site: NO", 'quote it if you mean the word: "NO"'),
        ("codes: [a, off]", "quote it"),
        ("site: null", "got an empty value"),
        ("index_year: [1]", "got a list"),
        ("index_year: {a: 1}", "got a mapping"),
        ("index_year: 2021\nindex_year: 2022", "names 'index_year' twice"),
        ("- a", "lines of `name: value`"),
        ("a: [", "not valid YAML"),
        ("codes: &a [*a]", "nested too deeply"),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        from_yaml(tmp_path, text)


# --- paths ---------------------------------------------------------------------------------------

PATHS = "source: Path = 'data/demo'\nextra: list[Path] = []"


def test_a_path_given_is_seen_from_the_current_folder_and_recorded_from_the_project(tmp_path: Path) -> None:
    (tmp_path / "data" / "mine").mkdir(parents=True)
    given_there = values_for(declared(PATHS), cli(source="mine"), "x", tmp_path / "data", tmp_path)
    assert given_there == {"source": "data/mine"}
    outside = values_for(declared(PATHS), cli(source=".."), "x", tmp_path / "data", tmp_path / "data" / "mine")
    assert Path(outside["source"]).is_absolute()


def test_a_missing_path_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "data" / "gibleed").mkdir(parents=True)
    with pytest.raises(ParameterError, match="Did you mean 'data/gibleed'"):
        values_for(declared(PATHS), cli(source="data/gibled"), "x", tmp_path, tmp_path)
    with pytest.raises(ParameterError, match=r"Parameter 'source' \(by default\)"):
        values_for(declared(PATHS), {}, "x", tmp_path, tmp_path)


def test_an_address_is_a_source_too_but_not_with_a_password() -> None:
    address = "postgresql://reader@host:5432/omop"
    assert values(PATHS, cli(source=address)) == {"source": address}
    with pytest.raises(ParameterError, match="PGPASSWORD") as caught:
        values(PATHS, cli(source="postgresql://reader:hush@host/omop"))
    assert "hush" not in str(caught.value)


# --- no value becomes code -----------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_any_text_survives_as_a_literal(text: str) -> None:
    value = read(Kind("str"), Text(text, cli=True), HERE)
    source = _injection({"x": value})["source"]
    tree = ast.parse(source)
    assert len(tree.body) == 1
    assert ast.literal_eval(tree.body[0].value) == text


@settings(deadline=None, max_examples=100)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_round_trip(number: float) -> None:
    kind = Kind("int" if isinstance(number, int) else "float")
    assert read(kind, Text(repr(number), cli=True), HERE) == number
