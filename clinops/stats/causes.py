"""Codes of what ended a row of follow-up: 0 for no event, 1, 2 ... for the causes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.risk_sets import Ints


def cause_codes(cause: ArrayLike) -> Ints:
    """Check causes: (n,) whole numbers, 0 for no event.

    Raises
    ------
    DataError : missing, negative or fractional codes, or no single column.
    """
    found = np.asarray(cause)
    if found.ndim != 1 or found.dtype.kind not in "biuf":
        raise DataError(
            f"cause has the shape {found.shape} and type {found.dtype}; it must be one column of whole numbers, "
            "0 for no event and 1, 2 ... for the causes."
        )
    if found.dtype.kind in "bu" or (found.dtype.kind == "i" and found.min(initial=0) >= 0):
        return found.astype(np.int64)
    values = found.astype(np.float64)
    wrong = ~np.isfinite(values) | (values < 0) | (values != np.floor(values))
    if wrong.any():
        raise DataError(
            f"cause has {int(wrong.sum())} values that are no whole number of 0 or more (first: row "
            f"{int(np.flatnonzero(wrong)[0])}, {values[wrong][0]:g}); 0 is no event, 1, 2 ... are the causes."
        )
    return values.astype(np.int64)


def cause_columns(codes: Ints, causes: tuple[int, ...] | None) -> tuple[tuple[int, ...], Ints]:
    """Codes to report and each row's column, -1 without an event."""
    largest = int(codes.max(initial=0))
    seen = np.flatnonzero(np.bincount(codes, minlength=1)) if largest <= 10_000 else np.unique(codes)
    seen = seen[seen > 0]
    named = tuple(int(code) for code in seen) if causes is None else tuple(causes)
    absent = sorted(set(seen.tolist()) - set(named))
    if absent or 0 in named or len(set(named)) < len(named):
        raise DataError(
            f"causes is {named}; it must name every cause that occurs, once and without 0 (the code of no event)"
            + (
                f": {absent[0]} occurs {int((codes == absent[0]).sum())} times. Recode it, or add it."
                if absent
                else "."
            )
        )
    if named == tuple(range(1, len(named) + 1)):
        return named, codes - 1
    mine = np.full(len(codes), -1, dtype=np.int64)
    for column, code in enumerate(named):
        mine[codes == code] = column
    return named, mine
