"""Two-way fixed effects of panels: one coefficient, or one for each period since treatment (event study).

Here for comparison with what others publish. Where treatment starts at different times they use units already
treated as comparisons; `group_time_effects` does not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats
from clinops.stats.linear import ALIKE, LinearFit, cross_product, inference, linear, without_spread
from clinops.stats.panel import Panel, balanced_panel

FACTORS = ("nested", "all", "clusters", "none")
MIXED = (
    "Treatment starts at {} different times: two-way fixed effects mix in comparisons with units already treated, and "
    "are no average of effects that differ by cohort or grow with time. Read group_time_effects."
)


@dataclass(frozen=True)
class TwoWayFit:
    """Coefficients of a regression on unit and period effects; k of them (one, or one for each event time).

    Attributes
    ----------
    event_time : (k,) periods since treatment began; empty for the single coefficient.
    coef, std_error, conf_low, conf_high, p_value : (k,), t with clusters - 1 degrees of freedom.
    cov : (k, k). n, n_units, n_clusters : rows, units, clusters. df, conf_level : of the intervals.
    negative_weight : of the single coefficient, by how much weights on the effects of treated unit-periods are below
        zero (they add up to 1); 0 means none is. NaN in an event study.
    staggered : whether treatment starts at several times, so that the note holds.
    se_kind : with the factor of the small sample. note : "" or what a reader must know.
    """

    event_time: Floats
    coef: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    p_value: Floats
    cov: Floats
    n: int
    n_units: int
    n_clusters: int
    df: float
    conf_level: float
    negative_weight: float
    staggered: bool
    se_kind: str
    note: str


def two_way_fixed_effects(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    cluster: ArrayLike | None = None,
    factor: str = "nested",
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> TwoWayFit:
    """Regress the outcome on being under treatment, with an effect of each unit and of each period.

    Parameters
    ----------
    y, unit, time, first_treated, cluster, unbalanced : as in `group_time_effects`.
    factor : of the small sample, G clusters, N rows, K parameters: "nested" G/(G-1) (N-1)/(N-K) without the unit
        effects in K (Stata's `reghdfe`), "all" with them (`areg`), "clusters" G/(G-1), "none".

    Raises
    ------
    DefinitionError : unknown factor. DataError : as `balanced_panel`.

    Notes
    -----
    A weighted sum of the effects of treated unit-periods, with weights that may be negative where treatment starts at
    several times: the result then carries a note. Source: Goodman-Bacon 2021; de Chaisemartin and D'Haultfoeuille
    2020; errors: Liang and Zeger 1986. Equal to R's `lm` with `sandwich` to 1e-6.
    """
    panel = balanced_panel(y, unit, time, first_treated, cluster=cluster, unbalanced=unbalanced)
    under = (panel.period >= panel.first[:, None]).astype(float)
    fit = _fit(panel, under.reshape(-1, 1), factor, conf_level)
    if not np.isfinite(fit.coef[0]):
        why = "Not estimable: treatment does not vary between units within periods."
        return replace(fit, note=f"{fit.note} {why}".strip())
    full = int((under == 1).all(axis=0).sum())
    if full:
        said = f"Nobody is untreated in {full} of {under.shape[1]} periods, which compare treated units with treated."
        fit = replace(fit, note=f"{fit.note} {said}".strip())
    if len(np.unique(panel.cluster[np.isfinite(panel.first)])) == 1:
        said = "A single cluster is treated: the error is far too small; see two_way_wild_bootstrap or permuted_starts."
        fit = replace(fit, note=f"{fit.note} {said}".strip())
    left = _regression(panel, np.zeros((under.size, 0)), under.ravel()).residual[under.ravel() == 1]
    return replace(fit, negative_weight=float(-left[left < 0].sum() / left.sum()))


def two_way_event_study(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    reference: float = -1,
    cluster: ArrayLike | None = None,
    factor: str = "nested",
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> TwoWayFit:
    """Regress the outcome on indicators of the periods since treatment began, with unit and period effects.

    Parameters
    ----------
    reference : the event time without an indicator, with which the others are compared. Others as above.

    Raises
    ------
    DataError : as above; no never-treated unit, when a trend in event time cannot be told from calendar time.
    DefinitionError : a reference that does not occur.

    Notes
    -----
    Source: Sun and Abraham 2021, who show what it mixes where effects differ by cohort (a note says so). Equal to R's
    `lm` with `sandwich` to 1e-6.
    """
    panel = balanced_panel(y, unit, time, first_treated, cluster=cluster, unbalanced=unbalanced)
    if not np.isinf(panel.first).any():
        raise DataError(
            "No unit is never treated, so a trend in event time cannot be told from calendar time; "
            "use group_time_effects(comparison='not yet')."
        )
    event = (panel.period - panel.first[:, None]).ravel()
    times = np.unique(event[np.isfinite(event)])
    if reference not in times:
        known = ", ".join(f"{one:g}" for one in times) or "none, as nobody is treated"
        raise DefinitionError(f"reference is {reference!r}; it must be an event time of the panel: {known}.")
    times = times[times != reference]
    fit = _fit(panel, (event[:, None] == times).astype(float), factor, conf_level)
    return replace(fit, event_time=times)


def _regression(panel: Panel, columns: Floats, y: Floats) -> LinearFit:
    """Regress on period effects and columns, unit effects absorbed.

    Period effects stand first: what they determine is not estimable, rather than they.
    """
    units, periods = panel.outcome.shape
    indicators = np.tile(np.eye(periods)[:, 1:], (units, 1))
    return linear(np.column_stack([indicators, columns]), y, strata=np.repeat(np.arange(units), periods))


def _fit(panel: Panel, columns: Floats, factor: str, level: float) -> TwoWayFit:
    if factor not in FACTORS:
        raise DefinitionError(unknown("small-sample factor", factor, FACTORS))
    units, periods = panel.outcome.shape
    fit = _regression(panel, columns, panel.outcome.ravel())
    coef, clusters = fit.coef[periods - 1 :], int(panel.cluster.max()) + 1
    rows = np.repeat(panel.cluster, periods)
    cov = cross_product(fit.influence[:, periods - 1 :], rows, np.ones(fit.n))
    cov = np.where(np.isfinite(coef), cov * _scale(fit, len(fit.coef), clusters, factor), np.nan)
    flat = without_spread(np.diag(cov), panel.outcome)
    cov = np.where(flat[:, None] | flat, np.nan, cov)
    error, low, high, p, df = inference(coef, np.diag(cov), float(clusters - 1), "t", level)
    starts = np.unique(panel.first[panel.first <= panel.period[-1]])
    notes = [panel.note, MIXED.format(len(starts)) if len(starts) > 1 else ""]
    notes.append("One cluster tells nothing of the error." if clusters == 1 else "")
    notes.append(ALIKE if flat.any() else "")
    return TwoWayFit(
        np.zeros(0), coef, error, low, high, p, cov, fit.n, units, clusters, df, level, float("nan"), len(starts) > 1,
        f"clustered, factor {factor} ({clusters:,} clusters)", " ".join(note for note in notes if note),
    )  # fmt: skip


def _scale(fit: LinearFit, columns: int, clusters: int, factor: str) -> float:
    """Return the factor of the small sample."""
    if factor == "none":
        return 1.0
    parameters = {"nested": columns + 1, "all": fit.n_parameters, "clusters": 1}[factor]
    if clusters < 2 or fit.n <= parameters:
        return float("nan")
    return clusters / (clusters - 1) * (fit.n - 1) / (fit.n - parameters)
