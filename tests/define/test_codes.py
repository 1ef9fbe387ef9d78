"""Code lists: what is refused, CSV in and out, wildcards, exclusions, descendants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import clinops as co
from clinops.define.codes import Codes
from clinops.errors import DefinitionError
from tests.define.strategies import code_lists


def written(path: Path, text: str, name: str = "type_2_diabetes.csv") -> Path:
    file = path / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: co.codes("", 1), "needs a name"),
        (lambda: co.codes(" \n", 1), "needs a name"),
        (lambda: co.codes("x"), "'x' is empty; give concept ids or source codes"),
        (lambda: co.codes(5, 1), "Name of the codes is 5; give text"),
        (lambda: co.codes("x", "E11*"), r"a source code goes into source='E11\*'"),
        (lambda: co.codes("x", 1.5), "Item 1 of concept ids of the codes is 1.5; give a whole number"),
        (lambda: co.codes("x", 1, True), "Item 2 .* is True; give a whole number"),
        (lambda: co.codes("x", -1), "must be 0 or more"),
        (lambda: co.codes("x", [1, 2]), r"is \[1, 2\]; give a whole number"),
        (lambda: co.codes("x", 1, descendants="no"), "Descendants of the codes is 'no'; give True or False"),
        (lambda: co.codes("x", 1, exclude={2}), r"exclude of 'x' is \{2\}; give one or several in order"),
        (lambda: co.codes("x", 1, exclude=1), "excludes every concept that it names"),
        (lambda: co.codes("x", source=250.0), "Item 1 of source codes of the codes is 250.0; give text"),
        (lambda: co.codes("x", source="*"), "no source code"),
        (lambda: co.codes("x", source=" . "), "no source code"),
        (lambda: co.codes("x", source="E\x001"), "no source code"),
        (lambda: co.codes("x", source="E*1"), "may only be the last character"),
    ],
)
def test_what_is_no_code_list_is_refused(make: Any, said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_one_or_several_codes_and_the_whole_numbers_of_a_frame() -> None:
    one = co.codes("x", source="E11*", vocabulary="ICD10CM")
    assert (
        one
        == co.codes("x", source=["E11*"], vocabulary="ICD10CM")
        == co.codes("x", source=(" E11* ", "E11*"), vocabulary="ICD10CM")
    )
    assert co.codes("x", *np.array([3, 1, 3])) == co.codes("x", 3, 1)
    assert all(type(concept) is int for concept in co.codes("x", *np.array([3, 1])).concept_ids)
    assert co.codes("x", 1, exclude=2) == co.codes("x", 1, exclude=[2])
    assert str(one) == "x"


@pytest.mark.parametrize(
    "codes",
    [
        co.codes("type 2 diabetes", 201826, 4193704, exclude=(201254,), origin="Quan et al., 2005; checked"),
        co.codes("exactly this", 201826, descendants=False),
        co.codes("by source codes", source=("E11*", "250.00", "042", "E11.9"), vocabulary="ICD10CM"),
        co.codes("source codes, nothing below", source="E11*", descendants=False),
        co.codes("concepts of a vocabulary", 201826, vocabulary="SNOMED"),
        co.codes("of both kinds", 201826, source=("E11*",), exclude=(5,), descendants=False),
        co.codes('a "name", with: marks # in it', source='say "ah", please'),
    ],
    ids=str,
)
def test_csv_out_and_in_gives_the_same_list(codes: Codes, tmp_path: Path) -> None:
    file = codes.write(tmp_path / "another name.csv")
    assert co.codes.read(file) == codes
    assert codes.to_csv(tmp_path / "again.csv").read_bytes() == file.read_bytes()
    assert co.codes.read(codes.write(tmp_path / "list.json")) == codes


@settings(deadline=None, max_examples=60)
@given(code_lists())
def test_any_list_survives_csv_and_json(tmp_path_factory: pytest.TempPathFactory, codes: Codes) -> None:
    folder = tmp_path_factory.mktemp("codes")
    assert co.codes.read(codes.write(folder / "list.csv")) == codes
    assert co.codes.read(codes.write(folder / "list.json")) == codes


def test_a_list_written_by_hand(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "\ufeff# Name: Diabetes, any\n# origin: the registry's steering group: 2024\n\n"
        ' Source_Code ,vocabulary,description\nE11*,ICD10CM,"type 2, any"\n'
        "# kept for old records\n250.00,ICD10CM,\n042,,HIV\n",
    )
    assert co.codes.read(file) == co.codes(
        "Diabetes, any", source=("E11*", "250.00", "042"), vocabulary="ICD10CM",
        origin="the registry's steering group: 2024",
    )  # fmt: skip


def test_a_list_without_a_name_has_its_file_s(tmp_path: Path) -> None:
    file = written(tmp_path, "concept_id,exclude,vocabulary\n201826,no,SNOMED\n4193704,,ICD10CM\n201254,YES,\n")
    assert co.codes.read(file) == co.codes("type 2 diabetes", 201826, 4193704, exclude=201254)
    assert co.codes.read(str(file)).descendants


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no codes"),
        ("# name: x\n", "holds no codes"),
        ("concept_id\n", "holds no codes"),
        ("concept,descendants\n1,yes\n", "no column of a code list .* 'concept'. Did you mean 'concept_id'"),
        ("concept_id;exclude\n1;no\n", "Columns are separated by commas"),
        ("concept_id,source_code\n1,E11\n", "code 1: give either a concept_id or a source_code"),
        ("concept_id,source_code\n1,\n,\n", "code 2: give either"),
        ("concept_id\n201826.0\n", "concept_id is '201826.0'; give a whole number"),
        ("concept_id\n²\n", "concept_id is '²'; give a whole number"),
        ("concept_id,descendants\n1,maybe\n", "'maybe' is neither yes nor no"),
        ("concept_id,descendants\n1,yes\n2,no\n", "must agree on descendants"),
        ("source_code,vocabulary\nE11,ICD10CM\n250.00,ICD9CM\n", "must agree on descendants and vocabulary"),
        ("source_code,exclude\nE11*,no\nE11.9,yes\n", "code 2: the source code 'E11.9' is marked to be excluded"),
        ("source_code,description\nE11,type 2, any\n", "code 1: more cells than columns"),
    ],
)
def test_a_wrong_file_is_refused_with_the_row(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DefinitionError, match=said) as refused:
        co.codes.read(written(tmp_path, text))
    assert "type_2_diabetes.csv" in str(refused.value)


def test_a_missing_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    written(tmp_path, "concept_id\n1\n")
    with pytest.raises(DefinitionError, match="Did you mean 'type_2_diabetes"):
        co.codes.read(tmp_path / "type2_diabetes.csv")
    with pytest.raises(DefinitionError, match="no code list file"):
        co.codes.read(tmp_path / "no such folder" / "x.csv")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "latin.csv"
    file.write_bytes("source_code,description\nI25,cardiopathie isch\u00e9mique\n".encode("latin-1"))
    with pytest.raises(DefinitionError, match="not UTF-8"):
        co.codes.read(file)
