"""Suppression of one long table of counts with totals: `suppress_counts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from clinops.errors import DataError, unknown
from clinops.results import cells as core

if TYPE_CHECKING:
    import pandas as pd

#: Printed in place of a count that is large itself, but from which a small one could be worked out.
HIDDEN = "hidden"


def less_than(min_cell: int) -> str:
    """Return what is printed in place of a small count: "<11"."""
    return f"<{min_cell}"


def suppress_counts(
    frame: pd.DataFrame,
    value: str,
    dimensions: Sequence[str],
    total: str | None = "Total",
    min_cell: int = 11,
) -> pd.DataFrame:
    """Hide the small counts of a table, and what else it takes so that they cannot be worked out.

    Parameters
    ----------
    frame : one row a cell; totals are rows whose dimension says ``total``.
    value : the column of counts.
    dimensions : the columns that say which cell a row is.
    total : the word for a total; None where the table has none.
    min_cell : the smallest count shown; 11 prints 1 to 10 as "<11". Zeros are shown.

    Returns
    -------
    A copy, with null in ``value`` where hidden, and a column ``<value>_printed`` with the text to print:
    the count, "<11", or "hidden" for a larger count that would give a small one away.

    Raises
    ------
    DataError
        A column that is not there, a cell that stands twice, or a count that is missing or negative.
    """
    import pandas as pd

    names = list(dimensions)
    _check(frame, value, names)
    counts = frame[value].astype(float).tolist()
    keys = [tuple(row) for row in frame[names].itertuples(index=False, name=None)]
    table = core.Cells()
    for key, count in zip(keys, counts, strict=True):
        # A total says more than a cell: it goes only where no cell is left to hide.
        table.add(count, cost=count + (1e9 if total is not None and total in key else 0.0))
    if total is not None:
        _add_totals(table, keys, total)
    hidden = core.hide(table, min_cell)
    printed = [
        f"{count:.0f}" if i not in hidden else less_than(min_cell) if core.small(count, min_cell) else HIDDEN
        for i, count in enumerate(counts)
    ]
    out = frame.copy()
    gone = pd.Series([i in hidden for i in range(len(frame))], index=frame.index)
    out[value] = frame[value].astype("Int64").mask(gone)
    out[f"{value}_printed"] = printed
    return out


def _check(frame: pd.DataFrame, value: str, dimensions: list[str]) -> None:
    for name in (value, *dimensions):
        if name not in frame.columns:
            raise DataError(unknown("column to suppress by", name, map(str, frame.columns)))
    if frame[value].isna().any() or (frame[value] < 0).any():
        raise DataError(f"{value} has missing or negative counts; give every cell its count, 0 included.")
    twice = frame.duplicated(dimensions)
    if twice.any():
        cell = frame.loc[twice, dimensions].iloc[0].to_dict()
        raise DataError(f"The cell {cell} stands twice; add its counts up, or name the dimension it lacks.")


def _add_totals(table: core.Cells, keys: list[tuple[object, ...]], total: str) -> None:
    """Every total is the sum of the cells that differ from it in that one dimension."""
    at = {key: i for i, key in enumerate(keys)}
    for key, whole in at.items():
        for position, level in enumerate(key):
            if level == total:
                rest = key[:position], key[position + 1 :]
                parts = [
                    i
                    for other, i in at.items()
                    if other[position] != total and (other[:position], other[position + 1 :]) == rest
                ]
                table.add_sum(parts, whole)
