"""Loops that numpy cannot run in one pass, compiled by numba where there are rows enough to be worth it.

Each has a twin in numpy of equal results, which is used for small data, without numba, and where a loop says that its
running totals would lose digits. Modules of compiled loops import this one and are imported only when used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

ENOUGH_ROWS = 5_000
"""Below this, importing numba (0.3 s, once) costs more than is gained."""
SWITCH = "CLINOPS_COMPILED"
"""Environment variable: 0 leaves numba out."""


@cache
def _available() -> bool:
    if os.environ.get(SWITCH, "1") == "0":
        return False
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


def worth_it(rows: int) -> bool:
    """Whether a compiled loop is there and pays for so many rows."""
    return rows >= ENOUGH_ROWS and _available()


def jit(loop: Callable[..., Any], inline: Literal["never", "always"] = "never") -> Any:
    """Compile a loop when it is first called; kept on disk where a folder can be written."""
    import numba

    try:
        return numba.njit(cache=True, nogil=True, inline=inline)(loop)
    except RuntimeError:  # numba found no folder that it may write: compile for this process only
        return numba.njit(nogil=True, inline=inline)(loop)


def inlined(part: Callable[..., Any]) -> Any:
    """Compile a part of a loop into those that use it: a call would count references to its arrays at every row."""
    return jit(part, inline="always")
