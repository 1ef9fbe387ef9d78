"""Reference values and cases for the tests: where they are, how to read them, how to compare with them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TESTS = Path(__file__).parent
ORACLES = TESTS / "oracles"
CASES = TESTS / "cases"


def oracle(path: str) -> dict[str, Any]:
    """Return a reference file as parsed JSON: `oracle("survival/km_lung")` has the keys meta and expected."""
    parsed: dict[str, Any] = json.loads((ORACLES / f"{path}.json").read_text(encoding="utf-8"))
    return parsed


def oracle_csv(path: str) -> pd.DataFrame:
    """Return the input data beside a reference file; codes with leading zeros are the caller's concern."""
    name = path if path.endswith(".csv") else f"{path}.csv"
    return pd.read_csv(ORACLES / name, float_precision="round_trip")


def case_file(case: str, name: str) -> Path:
    """Return the path of a case's file: `case_file("C013", "followup.csv")`; the id may be given in full."""
    found = sorted(folder for folder in CASES.glob(f"{case}*") if folder.is_dir())
    if len(found) != 1:
        raise FileNotFoundError(f"{len(found)} folders of {CASES} match {case!r}; exactly one is needed.")
    return found[0] / name


def assert_close(actual: Any, expected: Any, rtol: float = 1e-8, label: str = "value", *, atol: float = 1e-12) -> None:
    """Compare nested values with a reference; the message names the place that differs.

    Dicts must hold every expected key (more are allowed), lists the same number of items. `null` in the
    reference stands for R's NA and for an infinite value, so it matches None, NaN and both infinities.
    Numbers agree when |actual - expected| <= max(rtol * the larger, atol).
    """
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in actual, f"{label}: no key {key!r} among {sorted(map(str, actual))}"
            assert_close(actual[key], value, rtol, f"{label}.{key}", atol=atol)
    elif isinstance(expected, list | tuple | np.ndarray):
        _assert_items_close(actual, expected, rtol, label, atol)
    elif isinstance(expected, str | bool | np.bool_):
        assert actual == expected, f"{label}: {actual!r}, the reference has {expected!r}"
    else:
        _assert_number_close(actual, expected, rtol, label, atol)


def _assert_items_close(actual: Any, expected: Any, rtol: float, label: str, atol: float) -> None:
    given, wanted = list(np.atleast_1d(actual)), list(expected)
    assert len(given) == len(wanted), f"{label}: {len(given)} items, the reference has {len(wanted)}"
    for position, (left, right) in enumerate(zip(given, wanted, strict=True)):
        assert_close(left, right, rtol, f"{label}[{position}]", atol=atol)


def _assert_number_close(actual: Any, expected: Any, rtol: float, label: str, atol: float) -> None:
    left = math.nan if actual is None else float(actual)
    right = math.nan if expected is None else float(expected)
    if math.isnan(right):
        assert not math.isfinite(left), f"{label}: {left!r}, the reference has no finite value"
        return
    assert math.isclose(left, right, rel_tol=rtol, abs_tol=atol), (
        f"{label}: {left!r}, the reference has {right!r} (difference {left - right:.3g}, rtol {rtol:g})"
    )
