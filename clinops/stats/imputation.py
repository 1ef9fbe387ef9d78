"""Effects by cohort and period from outcomes imputed without treatment (Borusyak, Jaravel and Spiess)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.stats.glm import Floats, cluster_sums
from clinops.stats.group_time import Cell, GroupTimeEffects, assemble
from clinops.stats.linear import linear
from clinops.stats.panel import Panel, balanced_panel, with_a_before


def imputation_effects(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> GroupTimeEffects:
    """Estimate effects as observed less imputed outcomes, imputed from unit and period effects of untreated rows.

    Answers: what `group_time_effects` does, with all periods before treatment as the base instead of the last one:
    more precise where parallel trends hold in every period, more biased where they do not.

    Parameters
    ----------
    y, unit, time, first_treated, cluster, unbalanced : as in `group_time_effects`.

    Returns
    -------
    GroupTimeEffects of periods under treatment; `average_effects` averages them. A period in which nobody is
    untreated any more is not estimable.

    Raises
    ------
    DataError : as `group_time_effects`.

    Notes
    -----
    Computed as the regression on unit and period effects and an indicator of each treated cohort and period, which
    gives the same numbers (Wooldridge 2021), and whose clustered error without a small-sample factor is the
    conservative one of Borusyak, Jaravel and Spiess 2024 with effects averaged by cohort and period. Averages count
    the shares of cohorts as estimated, which theirs do not.
    """
    panel = balanced_panel(y, unit, time, first_treated, cluster=cluster, unbalanced=unbalanced)
    panel, notes = with_a_before(panel)
    places = [
        (float(g), j)
        for g in np.unique(panel.first[np.isfinite(panel.first)])
        for j, t in enumerate(panel.period)
        if g <= t
    ]
    free = [int((panel.first > t).sum()) for t in panel.period]
    known = [place for place in places if free[place[1]]]
    found = dict(zip(known, _saturated(panel, known, np.flatnonzero(free)), strict=True))
    cells = [_cell(panel, place, free[place[1]], found.get(place)) for place in places]
    return assemble(panel, cells, "imputation", "not yet", "all before", conf_level, notes)


def _cell(panel: Panel, place: tuple[float, int], free: int, found: tuple[float, Floats] | None) -> Cell:
    mine, t = panel.first == place[0], float(panel.period[place[1]])
    value, pull = found or (np.nan, np.zeros(len(mine)))
    lone = min(len(np.unique(panel.cluster[side])) for side in (mine, panel.first > t)) < 2
    why = "" if found else "nobody is untreated any more"
    return Cell(place[0], t, np.nan, value, pull, int(mine.sum()), free, lone, why)


def _saturated(panel: Panel, cells: list[tuple[float, int]], usable: NDArray) -> list[tuple[float, Floats]]:
    """Return the coefficient of each treated cohort and period, with each unit's influence on it.

    usable : periods, by index, with an untreated unit; the others tell nothing.
    """
    units, periods = len(panel.unit), len(usable)
    who, when = np.repeat(np.arange(units), periods), np.tile(usable, units)
    columns = [(when == j).astype(float) for j in usable[1:]]
    columns += [((panel.first[who] == g) & (when == j)).astype(float) for g, j in cells]
    design = np.stack(columns, axis=1) if columns else np.zeros((len(who), 0))
    fit = linear(design, panel.outcome[:, usable].ravel(), strata=who)
    influence = cluster_sums(fit.influence, who, units) * units
    return [(float(fit.coef[k]), influence[:, k]) for k in range(periods - 1, len(columns))]
