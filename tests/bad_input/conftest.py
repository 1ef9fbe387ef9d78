"""A study on spoilt records, opened on DuckDB or on every engine in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.bad_input.support import design


@pytest.fixture
def study_of(source_of: Callable[..., Any]) -> Callable[..., Any]:
    """Return `study_of(tables, **changes_of_the_protocol)`, on DuckDB."""
    return lambda tables, **changes: design(**changes).on(source_of(tables, capture="enrolment"))


@pytest.fixture
def any_study(any_source: Callable[..., Any]) -> Callable[..., Any]:
    """Return `any_study(tables, **changes_of_the_protocol)`; the test runs on every engine."""
    return lambda tables, **changes: design(**changes).on(any_source(tables, capture="enrolment"))
