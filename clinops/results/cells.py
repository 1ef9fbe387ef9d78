"""Which cells of a table of counts to hide, so that no small count is shown or can be worked out.

The table is a list of cells and the sums that a reader knows they obey (levels add up to a total, a row
of an attrition table is the row before less what was excluded). Small counts are hidden first; then the
reader's own attack, a linear programme for the bounds on each hidden cell, says what still leaks, and
the smallest other cell of a leaking sum is hidden until nothing does (complementary suppression).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SLACK = 1e-6


@dataclass
class Cells:
    """Counts that stand in one exhibit, and the sums between them.

    Attributes
    ----------
    values : the true counts.
    printed : whether each is in the exhibit; False is a count that only follows from others.
    costs : how much a reader loses with the cell; the cheapest is hidden first.
    sums : each a list of (cell, sign) whose signed counts add up to zero.
    """

    values: list[float] = field(default_factory=list)
    printed: list[bool] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    sums: list[list[tuple[int, int]]] = field(default_factory=list)

    def add(self, value: float, *, printed: bool = True, cost: float | None = None) -> int:
        """Add a count and return its number."""
        self.values.append(float(value))
        self.printed.append(printed)
        self.costs.append(float(value) if cost is None else cost)
        return len(self.values) - 1

    def add_sum(self, parts: Iterable[int], whole: int) -> None:
        """Say that the parts add up to the whole; refused quietly where they do not."""
        terms = [(part, 1) for part in parts] + [(whole, -1)]
        if abs(math.fsum(self.values[cell] * sign for cell, sign in terms)) <= SLACK:
            self.sums.append(terms)


def small(value: float, min_cell: int) -> bool:
    """Tell whether a count is one of those that may not be shown: 1 to ``min_cell - 1`` (0 may)."""
    return 0 < value < min_cell


def hide(cells: Cells, min_cell: int, forced: Iterable[int] = ()) -> set[int]:
    """Choose the cells to hide.

    Parameters
    ----------
    cells : the counts and their sums.
    min_cell : the smallest count shown; 11 hides 1 to 10.
    forced : cells to hide besides, because the same count is hidden in another exhibit.

    Returns
    -------
    Numbers of all hidden cells: small counts, counts that are not printed, and the cells hidden so that
    those cannot be worked out. Every one of them can then take at least two whole values, and none that
    is not announced as small is certain to be small. Zeros are never chosen.

    Notes
    -----
    Source: case C037 (the attack); Willenborg and de Waal, Elements of Statistical Disclosure Control
    (2001), chapter 4, on secondary suppression.
    """
    primary = {i for i, value in enumerate(cells.values) if small(value, min_cell)}
    kept = primary | set(forced) | {i for i, printed in enumerate(cells.printed) if not printed}
    hidden = set(kept)
    for component in _components(cells, primary | set(forced)):
        hidden |= _close(cells, component, hidden, min_cell)
    return _prune(cells, hidden, kept, min_cell)


def _close(cells: Cells, component: set[int], hidden: set[int], min_cell: int) -> set[int]:
    """Hide more cells of a connected set of sums until the attack finds nothing."""
    hidden = hidden & component
    while True:
        leaking = leaks(cells, hidden, min_cell)
        if not leaking:
            return hidden
        choice = _cheapest(cells, leaking, hidden, component)
        if choice is None:  # nothing is left to hide: what leaks is known from zeros alone
            return hidden
        hidden.add(choice)


def _cheapest(cells: Cells, leaking: list[int], hidden: set[int], component: set[int]) -> int | None:
    """Return the cheapest visible cell of a sum in which a leaking cell stands alone, else farther off."""
    touched = [[c for c, _ in terms] for terms in cells.sums if any(c in leaking for c, _ in terms)]
    alone = [part for part in touched if sum(c in hidden for c in part) == 1]
    for pool in (alone, touched, [list(component)]):
        free = {c for part in pool for c in part if c not in hidden and cells.values[c] > 0}
        if free:
            return min(free, key=lambda cell: (cells.costs[cell], cell))
    return None


def _prune(cells: Cells, hidden: set[int], kept: set[int], min_cell: int) -> set[int]:
    """Show again what need not be hidden, dearest first."""
    if not leaks(cells, hidden, min_cell):
        for cell in sorted(hidden - kept, key=lambda c: (-cells.costs[c], c)):
            fewer = hidden - {cell}
            if not leaks(cells, fewer, min_cell):
                hidden = fewer
    return hidden


def _components(cells: Cells, seeds: set[int]) -> list[set[int]]:
    """Return the sets of cells that sums connect and that hold a hidden cell."""
    home = list(range(len(cells.values)))

    def find(cell: int) -> int:
        while home[cell] != cell:
            home[cell] = home[home[cell]]
            cell = home[cell]
        return cell

    for terms in cells.sums:
        for cell, _ in terms[1:]:
            home[find(cell)] = find(terms[0][0])
    groups: dict[int, set[int]] = {}
    for cell in range(len(cells.values)):
        groups.setdefault(find(cell), set()).add(cell)
    return [group for group in groups.values() if group & seeds]


def leaks(cells: Cells, hidden: set[int], min_cell: int) -> list[int]:
    """Return the hidden cells that a reader can work out, or can be certain are small unannounced."""
    found: list[int] = []
    for group in _components(cells, hidden):
        found += _leaking(cells, sorted(group & hidden), min_cell)
    # What is printed nowhere and is large is nobody's secret: it only carries sums.
    return [c for c in found if cells.printed[c] or small(cells.values[c], min_cell)]


def _leaking(cells: Cells, inside: Sequence[int], min_cell: int) -> list[int]:
    """Return the cells of one component for which all that is shown leaves no second whole count.

    Every solution of a linear programme is a table that a reader must hold possible, so it speaks for all cells at
    once: the programmes of a cell are solved only while no two tables so far tell it apart.
    """
    extreme = _programme(cells, inside, min_cell)
    low = np.array([cells.values[cell] for cell in inside])
    high = low.copy()
    found = []
    for j, cell in enumerate(inside):
        for sign in (1, -1):
            if not _told(cells, cell, low[j], high[j], min_cell):
                break
            table, bound = extreme(j, sign)
            if table is not None:
                low, high = np.minimum(low, table), np.maximum(high, table)
            low[j], high[j] = (min(low[j], bound), high[j]) if sign > 0 else (low[j], max(high[j], bound))
        if _told(cells, cell, low[j], high[j], min_cell):
            found.append(cell)
    return found


def _told(cells: Cells, cell: int, low: float, high: float, min_cell: int) -> bool:
    """Tell whether a cell between two bounds can be worked out, or is certain to be small though not said to be."""
    whole = math.floor(high + SLACK) - math.ceil(low - SLACK) if math.isfinite(high) else math.inf
    # A count that stands nowhere may be known to be small (two levels: the other is "<11"), not to be 7.
    unsaid = cells.printed[cell] and not small(cells.values[cell], min_cell)
    return whole < 1 or (unsaid and low >= 1 - SLACK and high <= min_cell - 1 + SLACK)


def _programme(cells: Cells, hidden: Sequence[int], min_cell: int) -> Callable[[int, int], tuple[Floats | None, float]]:
    """Return what finds the least (sign 1) or the greatest (-1) count of a hidden cell, with the table that has it."""
    position = {cell: j for j, cell in enumerate(hidden)}
    rows, right = [], []
    for terms in cells.sums:
        if any(cell in position for cell, _ in terms):
            row, known = np.zeros(len(hidden)), 0.0
            for cell, sign in terms:
                if cell in position:
                    row[position[cell]] += sign
                else:
                    known += sign * cells.values[cell]
            rows.append(row)
            right.append(-known)
    limits: list[tuple[float, float | None]] = [
        (1.0, min_cell - 1.0) if cells.printed[c] and small(cells.values[c], min_cell) else (0.0, None) for c in hidden
    ]
    system: dict[str, Any] = {"A_eq": np.array(rows), "b_eq": right}

    def extreme(column: int, sign: int) -> tuple[Floats | None, float]:
        if not rows:
            low, high = limits[column]
            return None, low if sign > 0 else (math.inf if high is None else high)
        from scipy.optimize import linprog

        weight = np.zeros(len(hidden))
        weight[column] = sign
        solved = linprog(weight, bounds=limits, **system)
        if solved.status != 0:
            return None, math.inf if sign < 0 else 0.0
        return solved.x, float(sign * solved.fun)

    return extreme
