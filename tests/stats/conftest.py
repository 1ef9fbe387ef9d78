"""Shared by the tests of the estimators: a reference with its tolerance and its input data at once."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests import support


@pytest.fixture
def reference() -> Any:
    """Return a function `reference(path) -> (expected, meta, frames)` for the path of a reference file."""

    def read(path: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, pd.DataFrame]]:
        parsed, area = support.oracle(path), path.rsplit("/", 1)[0]
        names = parsed["meta"].get("input") or []
        names = [names] if isinstance(names, str) else names
        frames = {name: support.oracle_csv(f"{area}/{name}") for name in names}
        return parsed["expected"], parsed["meta"], frames

    return read
