"""Effects of a treatment that starts at different times: one for each cohort and period (Callaway and Sant'Anna)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums
from clinops.stats.group_time_cells import METHODS, change_effect
from clinops.stats.linear import JointTest, inference, wald, without_spread
from clinops.stats.panel import Panel, balanced_panel, with_a_before

COMPARISONS = ("never", "not yet")
BASES = ("varying", "universal")


@dataclass(frozen=True)
class GroupTimeEffects:
    """Effects on the treated by cohort and period: m cells of n units.

    Attributes
    ----------
    group : (m,) the cohort's first treated period. time : (m,). base : (m,) the period it is compared with.
    estimate, std_error, conf_low, conf_high : (m,); NaN where not estimable, the error also where nothing varies. Cells
        before treatment (time < group) are checks of parallel trends and no effects.
    n_treated, n_comparison : (m,) units in the cohort and beside it.
    influence : (n, m), each unit's on each estimate; mean 0, 0 where the unit has no part.
    lone : (m,) True where one of the sides is a single cluster, so that the error is not known.
    unit, first : (n,) labels and first treated period (infinite for never). cluster : (n,) codes.
    method, comparison, base_period, conf_level : as asked; the method of `imputation_effects` is "imputation", its base
        periods are all before treatment and `base` is NaN. n_clusters : of the errors.
    note : "" or what a reader must know.
    """

    group: Floats
    time: Floats
    base: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    n_treated: Ints
    n_comparison: Ints
    influence: Floats
    lone: NDArray
    unit: NDArray
    first: Floats
    cluster: Ints
    method: str
    comparison: str
    base_period: str
    conf_level: float
    n_clusters: int
    note: str


@dataclass(frozen=True)
class Cell:
    """One cohort in one period, before it stands beside the others; `why` there is no estimate, or ""."""

    group: float
    time: float
    base: float
    estimate: float
    influence: Floats
    n_treated: int
    n_comparison: int
    lone: bool
    why: str


def group_time_effects(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    method: str = "dr",
    comparison: str = "never",
    base: str = "varying",
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> GroupTimeEffects:
    """Estimate the effect on each cohort in each period, from a panel in which treatment starts at different times.

    Answers: by how much did the outcome of those who started in period g differ in period t from what it would
    have been without? Units already treated are never the comparison.

    Parameters
    ----------
    y, unit, time, first_treated : (rows,) in long form; see `panel_rows`. Treatment, once begun, lasts.
    covariates : (rows, k) constant in a unit; parallel trends need then hold only given them.
    cluster : (rows,) ids that units lie within; None is the unit.
    method : "dr" (doubly robust), "ipw" (weighting) or "reg" (outcome regression); all the same without covariates.
    comparison : "never" treated units, or those "not yet" treated (the never treated are among them).
    base : of the periods before treatment: "varying" (the period before) or "universal" (the last before treatment).
    unbalanced : "refuse" or "drop" units without an outcome in every period.

    Raises
    ------
    DefinitionError : unknown option. DataError : as `balanced_panel`; a single period; nobody treated after the
    first period; "never" where everybody is treated.

    Notes
    -----
    ATT(g, t) compares the change from the last period before g to t with that of the comparison units, by
    `change_effect`; the variance is the sum of squared influences (over clusters) / n^2, intervals are normal and
    for one cell each. No anticipation. Source: Callaway and Sant'Anna 2021; Sant'Anna and Zhao 2020. Equal to R
    `did` 2.1.2 to 1e-6.
    """
    for kind, given, allowed in (
        ("method", method, METHODS), ("comparison", comparison, COMPARISONS), ("base period", base, BASES),
    ):  # fmt: skip
        if given not in allowed:
            raise DefinitionError(unknown(kind, given, allowed))
    panel = balanced_panel(y, unit, time, first_treated, covariates=covariates, cluster=cluster, unbalanced=unbalanced)
    panel, notes = with_a_before(panel)
    if comparison == "never" and not np.isinf(panel.first).any():
        raise DataError("Every unit is treated in the end, so none is never treated; use comparison='not yet'.")
    cells = [
        _cell(panel, g, j, before, method, comparison)
        for g in np.unique(panel.first[np.isfinite(panel.first)])
        for j, before in _comparisons(panel.period, float(g), base)
    ]
    return assemble(panel, cells, method, comparison, base, conf_level, notes)


def pre_trend_test(effects: GroupTimeEffects) -> JointTest:
    """Test whether all effects before treatment are zero, by a Wald chi-squared test.

    Answers: do the cohorts' trends before treatment contradict the assumption of parallel trends? That they do not
    contradict it does not prove it. W is `statistic * df_numerator`. Where nobody is never treated the last cohort
    is left out, and said. Source: Callaway and Sant'Anna 2021; R `did`.
    """
    before = (effects.time < effects.group) & (effects.time != effects.base)
    known = before & np.isfinite(effects.std_error)
    lost = int(before.sum() - known.sum())
    notes = [f"{lost} comparison(s) before treatment could not be estimated."] if lost else []
    if not before.any():
        notes.append("There is no comparison before treatment.")
    if effects.base_period == "varying" and np.isfinite(effects.first).all():
        # In each period all cohorts are compared with one another: what the others say determines the last one.
        known &= effects.group != effects.group.max()
        notes.append("Nobody is never treated: the last cohort follows from the others and is left out.")
    cov = influence_cov(effects.influence[:, known], effects.cluster)
    return wald(effects.estimate[known], cov, np.inf if known.any() else np.nan, " ".join(notes))


def influence_cov(influence: Floats, cluster: Ints) -> Floats:
    """Return the (m, m) covariance of m estimates from (n, m) influences, summed within clusters 0, 1, ..."""
    sums = cluster_sums(influence, cluster, int(cluster.max(initial=-1)) + 1)
    return np.asarray(sums.T @ sums) / len(influence) ** 2


def _comparisons(period: Floats, g: float, base: str) -> list[tuple[int, int]]:
    """Return the pairs (period, base period), by index, of one cohort."""
    last = int(np.flatnonzero(period < g)[-1])
    if base == "universal":
        return [(j, last) for j in range(len(period))]
    return [(j, last if period[j] >= g else j - 1) for j in range(1, len(period))]


def _cell(panel: Panel, g: float, j: int, before: int, method: str, comparison: str) -> Cell:
    mine = panel.first == g
    after = max(panel.period[j], panel.period[before])
    others = np.isinf(panel.first) if comparison == "never" else (panel.first > after) & ~mine
    sizes = int(mine.sum()), int(others.sum())
    where = float(g), float(panel.period[j]), float(panel.period[before])
    influence = np.zeros(len(mine))
    if j == before:
        return Cell(*where, 0.0, influence, *sizes, True, "")
    if not others.any():
        return Cell(*where, np.nan, influence, *sizes, True, "no comparison unit is left")
    part = mine | others
    change = panel.outcome[part, j] - panel.outcome[part, before]
    effect, pull, why = change_effect(change, mine[part], panel.covariates[part], method)
    influence[part] = pull * (len(mine) / part.sum())
    lone = min(len(np.unique(panel.cluster[side])) for side in (mine, others)) < 2
    return Cell(*where, effect, influence, *sizes, lone, why)


def assemble(
    panel: Panel, cells: list[Cell], method: str, comparison: str, base: str, level: float, notes: list[str]
) -> GroupTimeEffects:
    """Put cells beside one another, with errors from their influences and what a reader must know."""
    group, time, start, estimate = (
        np.array([getattr(cell, name) for cell in cells]) for name in ("group", "time", "base", "estimate")
    )
    influence = np.stack([cell.influence for cell in cells], axis=1)
    lone = np.array([cell.lone for cell in cells])
    sums = cluster_sums(influence, panel.cluster, int(panel.cluster.max()) + 1)
    variance = (sums**2).sum(axis=0) / len(influence) ** 2
    flat = without_spread(variance, panel.outcome) & ~lone & np.isfinite(estimate)
    variance = np.where(lone | flat | np.isnan(estimate), np.nan, variance)
    error, low, high, _, _ = inference(estimate, variance, np.inf, "normal", level)
    return GroupTimeEffects(
        group, time, start, estimate, error, low, high,
        np.array([cell.n_treated for cell in cells]), np.array([cell.n_comparison for cell in cells]),
        influence, lone, panel.unit, panel.first, panel.cluster, method, comparison, base, level,
        int(panel.cluster.max()) + 1, " ".join([*notes, *_notes(cells), *_flat(group[flat])]),
    )  # fmt: skip


def _flat(groups: Floats) -> list[str]:
    """Say which cohorts have cells in which all units of a side changed alike."""
    said = ", ".join(f"{g:g}" for g in np.unique(groups))
    return [f"Cohort(s) {said}: no error in {len(groups)} cell(s), as values do not vary there."] * bool(len(groups))


def _notes(cells: list[Cell]) -> list[str]:
    """Say which cells have no estimate and why, and which have no error."""
    notes = []
    for why in sorted({cell.why for cell in cells if cell.why}):
        places = [f"{cell.group:g} in {cell.time:g}" for cell in cells if cell.why == why]
        notes.append(f"Not estimable ({why}): {', '.join(places)}.")
    alone = sorted({cell.group for cell in cells if cell.lone and not cell.why and cell.time != cell.base})
    if alone:
        said = ", ".join(f"{g:g}" for g in alone)
        notes.append(f"Cohort(s) {said}: one cluster on a side tells nothing of the error, so none is given.")
    return notes
