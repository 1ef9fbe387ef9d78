"""A test without theory for few sites: would other sites starting on those dates have shown as large an effect?"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError, ParameterError, unknown
from clinops.stats.glm import Floats
from clinops.stats.group_time import COMPARISONS
from clinops.stats.panel import Panel, balanced_panel, with_a_before

MOST = 5000
"""Assignments up to which all are looked at, rather than some of them at random."""


@dataclass(frozen=True)
class PermutedStarts:
    """The observed average effect among those of other assignments of the same starts.

    Attributes
    ----------
    estimate : observed, as `average_effects(..., "simple").overall`. p_value : two-sided.
    least : the smallest P that so many units could give. permutations : assignments looked at.
    exact : whether they are all there are. note : "" or what a reader must know.
    """

    estimate: float
    p_value: float
    least: float
    permutations: int
    exact: bool
    note: str


def permuted_starts(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    comparison: str = "not yet",
    unbalanced: str = "refuse",
    permutations: int = 1999,
    seed: int = 1,
) -> PermutedStarts:
    """Test that treatment does nothing to anybody, by giving the starting periods to other units.

    Answers: had the same starts fallen to other units, how often would the average effect of `group_time_effects`
    have been as far from zero? Valid for any number of units where which unit starts when is as good as random;
    otherwise a description.

    Parameters
    ----------
    y, unit, time, first_treated, comparison, unbalanced : as in `group_time_effects`.
    permutations, seed : drawn at random where there are more than 5,000 assignments; all are looked at otherwise.

    Raises
    ------
    DataError : as `group_time_effects`. DefinitionError : comparison. ParameterError : fewer than 99 permutations.

    Notes
    -----
    The average over all treated cells by cohort size, not studentised. P = (1 + those at least as large) / (1 + drawn),
    or the share of all. Source: Fisher 1935; for panels MacKinnon and Webb 2020; Roth and Sant'Anna 2023.
    """
    if comparison not in COMPARISONS:
        raise DefinitionError(unknown("comparison", comparison, COMPARISONS))
    if permutations < 99:
        raise ParameterError(f"permutations is {permutations!r}; give 99 or more, such as 1999.")
    panel, notes = with_a_before(balanced_panel(y, unit, time, first_treated, unbalanced=unbalanced))
    if comparison == "never" and not np.isinf(panel.first).any():
        comparison = "not yet"
        notes.append("No unit is never treated: compared with those not yet treated.")
    _, sizes = np.unique(panel.first, return_counts=True)
    ways = factorial(len(panel.first)) // prod(factorial(int(n)) for n in sizes)
    exact = ways <= MOST
    if exact:
        firsts = np.array(list(_assignments(np.sort(panel.first))))
    else:
        rng = np.random.default_rng(seed)
        firsts = np.array([rng.permutation(panel.first) for _ in range(permutations)])
    observed = float(_averages(panel, panel.first[None, :], comparison)[0])
    found = _averages(panel, firsts, comparison)
    reach = abs(observed) * (1 - 1e-9)  # sums in another order are not a smaller effect
    extreme = int((np.abs(found) >= reach).sum())
    if not np.isfinite(observed):
        return PermutedStarts(observed, np.nan, np.nan, len(firsts), exact, " ".join([*notes, "No effect to compare."]))
    p = extreme / len(firsts) if exact else (1 + extreme) / (1 + len(firsts))
    least = 1 / ways if exact else 1 / (1 + len(firsts))
    if least > 0.05:
        notes.append(f"So few units cannot give a P below {least:.2g}.")
    return PermutedStarts(observed, p, least, len(firsts), exact, " ".join(notes))


def _assignments(starts: NDArray) -> list[list[float]]:
    """Every way to give the sorted starts to the units, each once."""
    if not len(starts):
        return [[]]
    found = []
    for one in np.unique(starts):
        at = int(np.flatnonzero(starts == one)[0])
        found += [[float(one), *rest] for rest in _assignments(np.delete(starts, at))]
    return found


def _averages(panel: Panel, firsts: Floats, comparison: str) -> Floats:
    """Return the average effect under each assignment (p, n), all of them at once."""
    period, total, weight = panel.period, np.zeros(len(firsts)), 0.0
    for g in np.unique(panel.first[np.isfinite(panel.first)]):
        mine = firsts == g
        size = int(mine[0].sum())
        base = panel.outcome[:, int(np.flatnonzero(period < g)[-1])]
        for j in np.flatnonzero(period >= g):
            others = np.isinf(firsts) if comparison == "never" else firsts > period[j]
            free = int(others[0].sum())
            if free:
                change = panel.outcome[:, j] - base
                total += size * (mine @ change / size - others @ change / free)
                weight += size
    return total / weight if weight else np.full(len(firsts), np.nan)
