"""ICD codes: one spelling for all ways to write a code, and a reason where a code is impossible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.define.icd import normalise, normalise_all
from clinops.errors import DataError


@pytest.mark.parametrize(
    ("written", "version", "code"),
    [
        ("E11.9", 10, "E119"),
        ("e119", 10, "E119"),
        (" E11.9 ", 10, "E119"),
        ("E 11 .9\u00a0", 10, "E119"),
        ("E11.", 10, "E11"),
        ("S72.001A", 10, "S72001A"),
        ("C7A.010", 10, "C7A010"),
        ("U07.1", 10, "U071"),
        ("250.00", 9, "25000"),
        ("016.72", 9, "01672"),
        ("042", 9, "042"),
        ("v45.1", 9, "V451"),
        ("E849.0", 9, "E8490"),
        ("E000.0", 9, "E0000"),
        ("496", None, "496"),
        ("b20", None, "B20"),
    ],
)
def test_every_spelling_becomes_one(written: str, version: int | None, code: str) -> None:
    found = normalise(written, version)
    assert (found.code, found.valid, found.reason) == (code, True, "")


@pytest.mark.parametrize(
    ("written", "version", "reason"),
    [
        ("42", 9, "leading zero"),
        ("42.1", 9, "leading zero"),
        ("38.48", 9, "procedure code"),
        ("E11.9", 9, "not of the form"),
        ("E119", 9, "may be an ICD-10 code"),
        ("K70.3", 9, "may be an ICD-10 code"),
        ("V99", 9, "V01 to V91"),
        ("000", 9, "starts at 001"),
        ("250.000", 9, "not of the form"),
        ("25.000", 9, "leading zero"),
        ("042", 10, "may be an ICD-9-CM code"),
        ("080", 10, "start with a letter"),
        ("E1.19", 10, "not of the form"),
        ("E11.9.1", 10, "not of the form"),
        ("E11.91234", 10, "not of the form"),
        ("E11,9", 10, "','"),
        ("E11.-", 10, "'-'"),
        ("4.2E+02", 9, "'+'"),
        ("E1", None, "not ICD-9-CM"),
        ("", 10, "missing"),
        ("  ", 9, "missing"),
        (None, 10, "missing"),
        (float("nan"), 10, "missing"),
        (250.0, 9, "not text"),
        (42, 9, "not text"),
    ],
)
def test_the_impossible_is_flagged_with_a_reason_and_not_repaired(
    written: object, version: int | None, reason: str
) -> None:
    found = normalise(written, version)
    assert not found.valid
    assert reason in found.reason
    if isinstance(written, str):
        assert found.code == "".join(written.split()).upper()


def test_an_unknown_version_is_an_error_for_one_and_a_flag_in_the_records() -> None:
    with pytest.raises(DataError, match="ICD version 11"):
        normalise("E11.9", 11)
    with pytest.raises(DataError, match="ICD version 11"):
        normalise_all(["E11.9"], 11)
    found = normalise_all(["E11.9", "e119", "042", "042"], np.array([10, 11, np.nan, 9]))
    assert found.valid.tolist() == [True, False, False, True]
    assert found.reason.tolist()[1:3] == ["the ICD version is neither 9 nor 10"] * 2
    assert found.code.tolist() == ["E119", "E119", "042", "042"]


def test_codes_read_as_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="Read the column as text"):
        normalise_all([250.0, 42.0], 9)
    with pytest.raises(DataError, match="one dimension"):
        normalise_all([["E11.9"]], 10)


def test_versions_are_numbers_and_one_a_code() -> None:
    with pytest.raises(DataError, match="give one a code"):
        normalise_all(["E11.9", "I10"], [10])
    with pytest.raises(DataError, match="numbers 9 or 10"):
        normalise_all(["E11.9", "I10"], ["10", "10"])


def test_no_codes_is_no_error() -> None:
    found = normalise_all([], 10)
    assert found.code.shape == found.valid.shape == found.reason.shape == (0,)


_TEXT = st.text(alphabet="0123456789EVKevk. -", max_size=7)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(_TEXT | st.none(), st.sampled_from([9, 10]))))
def test_many_at_once_equal_one_at_a_time(rows: list[tuple[str | None, int]]) -> None:
    codes = np.array([code for code, _ in rows], dtype=object)
    many = normalise_all(codes, np.array([version for _, version in rows], dtype=int))
    one = [normalise(code, version) for code, version in rows]
    assert many.code.tolist() == [each.code for each in one]
    assert many.valid.tolist() == [each.valid for each in one]
    assert many.reason.tolist() == [each.reason for each in one]


@settings(deadline=None, max_examples=200)
@given(_TEXT, st.sampled_from([9, 10, None]))
def test_normalising_twice_changes_nothing(text: str, version: int | None) -> None:
    first = normalise(text, version)
    again = normalise(first.code, version)
    assert again.code == first.code
    assert again.valid == first.valid
