"""Which counts of a covariate are not shown, so that small ones stay unknown.

Everything that a reader can add up is known here beforehand: levels and missing values make up a group, groups make up
everybody. So it is declared, whatever the number of groups, and each covariate is judged for itself: covariates share
nothing but the sizes of the groups, which are printed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.table_one.summarise import Summary
from clinops.results import cells as core


@dataclass(frozen=True)
class Hidden:
    """What of one covariate is hidden.

    Attributes
    ----------
    counts : (levels + 1, g), as `Summary.counts`; of a number only its last row, the missing, means anything.
    values : (g,) columns in which so few have a value that no statistic is shown.
    difference : whether the SMD and P are hidden, since they rest on a count that is small.
    round_off : whether the rest is rounded as it prints, since more digits would tell how many are missing.
    """

    counts: NDArray[np.bool_]
    values: NDArray[np.bool_]
    difference: bool
    round_off: bool


def hidden(found: Summary, sizes: list[int], *, together: bool, min_cell: int) -> Hidden:
    """Choose what to hide of a covariate.

    Parameters
    ----------
    sizes : persons in each column of the table. together : whether the last column is everybody.
    """
    small = _small(found.counts, min_cell)
    few = _small(found.known, min_cell)
    group_small = _small(np.array(sizes, dtype=float), min_cell)
    values = few | group_small
    if found.rare is not None:
        values |= found.rare < min_cell
    if together and values.any():
        values[-1] = True  # everybody less the others is the group that may not be shown
    counts = np.zeros(found.counts.shape, dtype=bool)
    if small.any() or few.any() or _rest(found, min_cell):
        counts = _chosen(found, sizes, together, min_cell)
    counts[:, group_small] = True
    secret = bool(small[:-1].any() or _rest(found, min_cell)) if found.levels else False
    return Hidden(counts, values, secret or bool(values.any()), bool(counts[-1].any()))


def _small(counts: NDArray[np.float64], min_cell: int) -> NDArray[np.bool_]:
    return np.asarray((counts > 0) & (counts < min_cell))


def _rest(found: Summary, min_cell: int) -> bool:
    """Whether those who are not at a level are few somewhere."""
    return bool(found.levels) and bool(_small(found.known - found.counts[:-1], min_cell).any())


def _chosen(found: Summary, sizes: list[int], together: bool, min_cell: int) -> NDArray[np.bool_]:
    counts, cells = found.counts, core.Cells()
    rows, columns = counts.shape
    shown = [_is_shown(found, row) for row in range(rows)]
    at = [[cells.add(counts[i, j], printed=shown[i]) for j in range(columns)] for i in range(rows)]
    for j in range(columns):
        # The size of a group is a number below 0 here: the header prints it, so it can never be chosen to be hidden.
        less = cells.add(-float(sizes[j]))

        def whole(*parts: int, less: int = less) -> None:
            cells.sums.append([(part, 1) for part in (*parts, less)])

        missing, known = at[-1][j], found.known[j]
        whole(*(at[i][j] for i in range(rows)))
        if core.small(known, min_cell):
            whole(cells.add(known, printed=False), missing)
        for i in range(rows - 1):
            if found.levels and core.small(known - counts[i, j], min_cell):
                whole(cells.add(known - counts[i, j], printed=False), at[i][j], missing)
    if together:
        for row in at:
            cells.add_sum(row[:-1], row[-1])
    gone = core.hide(cells, min_cell)
    return np.array([[cell in gone for cell in row] for row in at])


def _is_shown(found: Summary, row: int) -> bool:
    """Whether a row of the counts has a line in the table: of a number only those without a value have."""
    if row == len(found.counts) - 1:
        return True
    return bool(found.levels) and found.one_row in (None, row)
