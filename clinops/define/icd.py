"""ICD-9-CM and ICD-10(-CM) diagnosis codes: one spelling, and a reason where a code is impossible.

A code that cannot be one is flagged, never repaired: "42" may be 042 with a lost zero (HIV) or a
procedure code, and only the owner of the records can tell. No list of existing codes is held, so a
well-formed code that no edition contains passes; what is checked is the form and the ranges.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, unknown

VERSIONS = (9, 10)
EITHER, UNKNOWN = 0, -1
VOCABULARY_VERSIONS = {"ICD9CM": 9, "ICD10": 10, "ICD10CM": 10}
"""OMOP vocabularies that hold diagnosis codes of these two versions."""

_ICD9_NUMBER = re.compile(r"[0-9]{3}\.?[0-9]{0,2}")
_ICD9_V = re.compile(r"V[0-9]{2}\.?[0-9]{0,2}")
_ICD9_E = re.compile(r"E[0-9]{3}\.?[0-9]?")
_ICD10 = re.compile(r"[A-Z][0-9][0-9AB]\.?[0-9A-Z]{0,4}")


@dataclass(frozen=True)
class NormalisedCode:
    """One code without dots and blanks, in upper case; `valid` says whether it can be a diagnosis code."""

    code: str
    valid: bool
    reason: str


@dataclass(frozen=True)
class NormalisedCodes:
    """Many codes, each field of shape (n,); `code` is "" where missing, `reason` is "" where valid."""

    code: NDArray[np.object_]
    valid: NDArray[np.bool_]
    reason: NDArray[np.object_]


def normalise(code: object, version: int | None = None) -> NormalisedCode:
    """Return a diagnosis code without dots and blanks, in upper case, its leading zeros kept.

    Parameters
    ----------
    code : the code as written, as text; None and NaN count as missing.
    version : 9 for ICD-9-CM, 10 for ICD-10 and ICD-10-CM; None accepts a code possible in either.

    Returns
    -------
    NormalisedCode with `reason` empty when valid. An impossible code keeps its cleaned spelling.

    Raises
    ------
    DataError : the version is neither 9, 10 nor None.

    Notes
    -----
    Sources: ICD-9-CM official guidelines (three digits, V and two digits, or E and three digits before the
    point); ICD-10-CM tabular list (letter, digit, digit or A or B, then at most four characters).
    """
    if version is not None and version not in VERSIONS:
        raise DataError(unknown("ICD version", version, map(str, VERSIONS), "Give 9, 10 or None."))
    if not isinstance(code, str):
        return NormalisedCode("", False, "missing" if is_missing(code) else _not_text(code))
    text = "".join(code.split()).upper()
    if not text:
        return NormalisedCode("", False, "missing")
    reason = _reason(text, version)
    return NormalisedCode(text if reason else text.replace(".", ""), not reason, reason)


def normalise_all(codes: ArrayLike, version: int | ArrayLike | None) -> NormalisedCodes:
    """Normalise many codes at once; each distinct code is looked at once.

    Parameters
    ----------
    codes : shape (n,), text.
    version : 9, 10 or None for all, or an array of shape (n,) with 9 or 10 for each code. In an array any
        other value (missing, 11) flags the row instead of stopping: it is a fact about the records.

    Raises
    ------
    DataError : the codes were read as numbers, the shapes differ, or a single version is unknown.
    """
    values = as_codes(codes)
    found = distinct(values, as_versions(version, len(values)))
    each = [normalise_one(code, of) for code, of in found.pairs]
    return NormalisedCodes(
        code=np.fromiter((one.code for one in each), object, len(each))[found.position],
        valid=np.fromiter((one.valid for one in each), bool, len(each))[found.position],
        reason=np.fromiter((one.reason for one in each), object, len(each))[found.position],
    )


def is_missing(code: object) -> bool:
    """Say whether a value stands for no code: None, NaN, a frame library's NA, or blank text."""
    if isinstance(code, str):
        return not code.strip()
    return code is None or (isinstance(code, float) and code != code) or str(code) in ("<NA>", "NaT")


def as_codes(codes: ArrayLike) -> NDArray[np.object_]:
    """Return codes as an object array of shape (n,); refuse codes that were read as numbers."""
    values = np.asarray(codes)
    if values.ndim != 1:
        raise DataError(f"Codes should have one dimension; these have shape {values.shape}.")
    if values.size and values.dtype.kind not in "OUT":
        raise DataError(
            f"Codes should be text; these were read as {values.dtype}, which loses leading zeros (042) and "
            "endings (250.00). Read the column as text."
        )
    return values.astype(object)


def as_versions(version: int | ArrayLike | None, n: int) -> NDArray[np.int8]:
    """Return the version of each of n codes: 9, 10, EITHER (None given) or UNKNOWN (any other value)."""
    if version is None or isinstance(version, int | np.integer):
        normalise("", None if version is None else int(version))
        return np.full(n, EITHER if version is None else version, dtype=np.int8)
    given = np.asarray(version)
    if given.shape != (n,):
        raise DataError(f"There are {n} codes but ICD versions of shape {given.shape}; give one a code.")
    if n and given.dtype.kind not in "iufO":
        raise DataError(f"ICD versions should be the numbers 9 or 10; these are {given.dtype}.")
    known = np.full(n, UNKNOWN, dtype=np.int8)
    for each in VERSIONS:
        known[given == each] = each
    return known


@dataclass(frozen=True)
class Distinct:
    """The distinct (code, version) `pairs`, each row's `position` among them, and the `rows` of each."""

    pairs: list[tuple[object, int]]
    position: NDArray[np.intp]
    rows: NDArray[np.intp]


def distinct(codes: NDArray[np.object_], versions: NDArray[np.int8]) -> Distinct:
    """Find the distinct pairs of code and version, by hashing: sorting millions of strings takes seconds."""
    place: dict[object, int] = {}
    n = len(codes)
    number = np.fromiter((place.setdefault(code, len(place)) for code in codes.tolist()), np.intp, n)
    span = max(VERSIONS) - UNKNOWN + 1
    key = number * span + (versions.astype(np.intp) - UNKNOWN)
    count = np.bincount(key, minlength=1)
    used = np.flatnonzero(count)
    position = (np.cumsum(count > 0) - 1)[key]
    names = list(place)
    pairs = [(names[pair // span], pair % span + UNKNOWN) for pair in used.tolist()]
    return Distinct(pairs, position, count[used])


def normalise_one(code: object, version: int) -> NormalisedCode:
    """Normalise one of the pairs of `distinct`, whose version may be EITHER or UNKNOWN."""
    if version != UNKNOWN:
        return normalise(code, None if version == EITHER else version)
    return NormalisedCode(normalise(code).code, False, "the ICD version is neither 9 nor 10")


def _not_text(code: object) -> str:
    return f"a {type(code).__name__}, not text: leading zeros and endings may be lost"


def _reason(text: str, version: int | None) -> str:
    if version == 9:
        return _icd9_reason(text)
    if version == 10:
        return _icd10_reason(text)
    nine, ten = _icd9_reason(text), _icd10_reason(text)
    return f"not ICD-9-CM ({nine}) and not ICD-10 ({ten})" if nine and ten else ""


def _icd9_reason(text: str) -> str:
    if _ICD9_NUMBER.fullmatch(text):
        return "" if text[:3] != "000" else "ICD-9-CM starts at 001"
    if _ICD9_V.fullmatch(text):
        return "" if "01" <= text[1:3] <= "91" else "ICD-9-CM has V01 to V91 only"
    if _ICD9_E.fullmatch(text):
        in_range = text[1:4] <= "030" or text[1:4] >= "800"
        return "" if in_range else "ICD-9-CM has E000 to E030 and E800 to E999 only; it may be an ICD-10 code"
    return _icd9_form(text)


def _icd9_form(text: str) -> str:
    if strange := _strange(text):
        return strange
    if text[0] not in "0123456789VE":
        return "ICD-9-CM codes start with a digit, V or E; it may be an ICD-10 code"
    before = text.split(".")[0]
    if text[0].isdigit() and before.isdigit() and len(before) < 3:
        return "ICD-9-CM has three digits before the point: a lost leading zero, or a procedure code"
    return "not of the form of an ICD-9-CM diagnosis code (123.45, V12.34 or E123.4)"


def _icd10_reason(text: str) -> str:
    if _ICD10.fullmatch(text):
        return ""
    if strange := _strange(text):
        return strange
    if text[0].isdigit():
        return "ICD-10 codes start with a letter; it may be an ICD-9-CM code"
    return "not of the form of an ICD-10 code (A12.3 or A12.345B)"


def _strange(text: str) -> str:
    odd = sorted(set(re.sub(r"[0-9A-Z.]", "", text)))
    return f"holds {' '.join(map(repr, odd))}, which no code has" if odd else ""
