"""Stacked difference in differences: each cohort beside units untreated over the whole window, in one regression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DefinitionError, unknown
from clinops.stats.event_study import EventStudy, in_periods, made_study
from clinops.stats.glm import Floats, Ints
from clinops.stats.linear import cross_product, linear
from clinops.stats.panel import Panel, balanced_panel, with_a_before

STACK_WEIGHTS = ("shares", "none")


@dataclass(frozen=True)
class _Stack:
    """Rows of the stacked panel: unit by code, its stack (cohort), event time, whether treated, and weight."""

    unit: Ints
    stack: Ints
    event: Floats
    treated: Floats
    y: Floats
    weight: Floats
    cohorts: int
    n_treated: int


def stacked_effects(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    leads: int,
    lags: int,
    weights: str = "shares",
    cluster: ArrayLike | None = None,
    unbalanced: str = "refuse",
    conf_level: float = 0.95,
) -> EventStudy:
    """Estimate effects by event time from one regression over cohorts, each with its own clean comparison units.

    Answers: what `event_study` does, with the same cohorts behind every event time, so that its shape is not made by
    who is seen late.

    Parameters
    ----------
    y, unit, time, first_treated, unbalanced : as in `group_time_effects`.
    leads, lags : periods before (at least 1, the last being the reference) and after the first treated period. A
        cohort for which the panel does not hold them all is left out, said.
    weights : "shares": comparison units are weighted so that each cohort counts by its share of treated units, which
        makes the result an effect on the treated; "none": cohorts count by n_t n_c / (n_t + n_c), least squares' own.
    cluster : (rows,) ids that units lie within; None is the unit, which may be in several stacks.

    Returns
    -------
    EventStudy; NaN with a note where no cohort has both its window and a comparison unit that stays untreated in it.

    Raises
    ------
    DefinitionError : unknown weights, leads below 1, lags below 0. DataError : as `group_time_effects`.

    Notes
    -----
    y = unit by stack + period by stack + effect of event time among the treated; errors clustered, times G/(G - 1),
    t with G - 1. With one window for all this is the mean over cohorts of differences in differences. Source:
    Cengiz, Dube, Lindner and Zipperer 2019; weights: Wing, Freedman and Hollingsworth 2024.
    """
    if weights not in STACK_WEIGHTS:
        raise DefinitionError(unknown("kind of weights of a stacked regression", weights, STACK_WEIGHTS))
    if leads < 1 or lags < 0:
        raise DefinitionError(f"leads is {leads!r} and lags {lags!r}; give at least 1 and 0.")
    panel = balanced_panel(y, unit, time, first_treated, cluster=cluster, unbalanced=unbalanced)
    panel, notes = with_a_before(panel)
    panel = in_periods(panel)
    stack, said = _stack(panel, leads, lags, weights)
    times = np.array([e for e in range(-leads, lags + 1) if e != -1], dtype=float)
    if stack is None:
        nothing = np.full(len(times), np.nan)
        said.append("Not estimable: no cohort has its window and somebody untreated throughout it.")
        return made_study(
            "stacked", times, nothing, np.full((len(times),) * 2, np.nan), np.zeros(len(times)), -1.0, panel, np.nan,
            conf_level, " ".join([*notes, *said]),
        )  # fmt: skip
    coef, cov, df = _fit(panel, stack, times)
    if not df > 0:
        said.append("One cluster on a side tells nothing of the error, so none is given.")
    return made_study(
        "stacked", times, coef, cov, np.full(len(times), stack.n_treated), -1.0, panel, df, conf_level,
        " ".join([*notes, *said]),
    )  # fmt: skip


def _stack(panel: Panel, leads: int, lags: int, weights: str) -> tuple[_Stack | None, list[str]]:
    """Lay the cohorts with a whole window and somebody to compare with below one another."""
    places, short, alone = [], [], []
    for g in np.unique(panel.first[np.isfinite(panel.first)]):
        if g < leads or g + lags > panel.period[-1]:
            short.append(int((panel.first == g).sum()))
        elif not (panel.first > g + lags).any():
            alone.append(int((panel.first == g).sum()))
        else:
            places.append(int(g))
    notes = [
        f"{len(lost)} cohort(s) of {sum(lost)} units {why} and are left out."
        for lost, why in (
            (short, f"are not seen over {leads} periods before and {lags} after the start"),
            (alone, "have nobody who stays untreated over their window"),
        )
        if lost
    ]
    if not places:
        return None, notes
    window = np.arange(-leads, lags + 1)
    mine = [np.flatnonzero(panel.first == g) for g in places]
    others = [np.flatnonzero(panel.first > g + lags) for g in places]
    n_t, n_c = (np.array([len(one) for one in side]) for side in (mine, others))
    beside = (n_t / n_t.sum()) / (n_c / n_c.sum()) if weights == "shares" else np.ones(len(places))
    unit = np.concatenate([np.concatenate(pair) for pair in zip(mine, others, strict=True)])
    stack = np.repeat(np.arange(len(places)), n_t + n_c)
    treated = np.concatenate([np.repeat([1.0, 0.0], pair) for pair in zip(n_t, n_c, strict=True)])
    rows, length = len(unit), len(window)
    at = np.array(places)[stack][:, None] + window
    return _Stack(
        np.repeat(unit, length), np.repeat(stack, length), np.tile(window, rows).astype(float),
        np.repeat(treated, length), panel.outcome[unit[:, None], at].ravel(),
        np.repeat(np.where(treated == 1, 1.0, beside[stack]), length), len(places), int(n_t.sum()),
    ), notes  # fmt: skip


def _fit(panel: Panel, stack: _Stack, times: Floats) -> tuple[Floats, Floats, float]:
    """Return coefficients, clustered covariance (NaN where a side is one cluster) and degrees of freedom."""
    event = stack.event[:, None] == times
    own = event[:, None, :] & (stack.stack[:, None, None] == np.arange(stack.cohorts)[:, None])
    periods = own.reshape(len(event), -1).astype(float)
    effects = event * stack.treated[:, None]
    fit = linear(
        np.column_stack([periods, effects]), stack.y, weights=stack.weight,
        strata=stack.unit * stack.cohorts + stack.stack,
    )  # fmt: skip
    cluster = panel.cluster[stack.unit]
    sides = [len(np.unique(cluster[stack.treated == arm])) for arm in (0, 1)]
    groups = len(np.unique(cluster))
    shown = slice(periods.shape[1], None)
    cov = cross_product(fit.influence[:, shown], cluster, stack.weight) * groups / max(groups - 1, 1)
    if min(sides) < 2:
        return fit.coef[shown], np.full_like(cov, np.nan), np.nan
    return fit.coef[shown], cov, float(groups - 1)
