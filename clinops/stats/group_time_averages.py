"""Averages of effects by cohort and period: over all, by time since treatment, by cohort, by calendar time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clinops.errors import DefinitionError, unknown
from clinops.stats.glm import Floats
from clinops.stats.group_time import GroupTimeEffects, influence_cov
from clinops.stats.linear import ALIKE, inference, without_spread

AVERAGES = ("simple", "dynamic", "group", "calendar")


@dataclass(frozen=True)
class EffectAverages:
    """Averages of one kind, and one over all of them.

    Attributes
    ----------
    kind : "simple", "dynamic", "group" or "calendar".
    label : (m,) periods since treatment began, cohorts, or calendar periods; empty for "simple".
    estimate, std_error, conf_low, conf_high : (m,). Negative labels of "dynamic" are checks and no effects.
    influence : (n, m), each unit's on each average.
    overall, overall_std_error, overall_conf_low, overall_conf_high : one number: of every treated cell by the size of
        its cohort (simple), plain means over labels >= 0 (dynamic) and periods (calendar), by cohort size (group).
    conf_level : of every interval, each for one average. note : "" or what a reader must know.
    """

    kind: str
    label: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    influence: Floats
    overall: float
    overall_std_error: float
    overall_conf_low: float
    overall_conf_high: float
    conf_level: float
    note: str


def average_effects(effects: GroupTimeEffects, kind: str = "simple") -> EffectAverages:
    """Average the effects of `group_time_effects`.

    Parameters
    ----------
    kind : "simple", every cohort and period after treatment began, weighted by cohort size; "dynamic", by periods
        since treatment began (event study); "group", by cohort over its periods; "calendar", by period.

    Returns
    -------
    EffectAverages. Cells that could not be estimated are left out with a note: the average is then of the others.
    Its error is NaN where every cell in it has none.

    Raises
    ------
    DefinitionError : unknown kind.

    Notes
    -----
    Weights are shares of cohorts, which are estimated: their influence is part of the error. Source: Callaway and
    Sant'Anna 2021, section 3; R `did::aggte`, which it equals to 1e-6.
    """
    if kind not in AVERAGES:
        raise DefinitionError(unknown("average of effects", kind, AVERAGES))
    known = np.isfinite(effects.estimate)
    treated = effects.time >= effects.group
    lost = int((~known & treated).sum())
    notes = [f"{lost} of {int(treated.sum())} treated cells could not be estimated and are left out."] if lost else []
    before = int((~known & ~treated).sum()) if kind == "dynamic" else 0
    if before:
        notes.append(f"{before} of {int((~treated).sum())} cells before treatment could not be estimated: left out.")
    if kind == "simple":
        labels, parts = np.zeros(0), []
        overall = _average(effects, np.flatnonzero(known & treated), by_size=True)
    else:
        by = {"dynamic": effects.time - effects.group, "group": effects.group, "calendar": effects.time}[kind]
        counted = known if kind == "dynamic" else known & treated
        labels = np.unique(by[counted])
        parts = [_average(effects, np.flatnonzero(counted & (by == one)), kind != "group") for one in labels]
        overall = _over(effects, kind, labels, parts)
    estimate = np.array([part[0] for part in parts] + [overall[0]])
    influence = np.stack([part[1] for part in parts] + [overall[1]], axis=1)
    blind = np.array([part[2] for part in parts] + [overall[2]])
    variance = np.diag(influence_cov(influence, effects.cluster))
    blind |= without_spread(variance, effects.influence)
    variance = np.where(blind, np.nan, variance)
    error, low, high, _, _ = inference(estimate, variance, np.inf, "normal", effects.conf_level)
    if (effects.lone & known & treated).any() and not blind[-1]:
        notes.append("A cohort of one cluster adds nothing to the errors, which are too small by its part.")
    if blind[-1] and np.isfinite(estimate[-1]) and not effects.lone[known & treated].all():
        notes.append(ALIKE)
    return EffectAverages(
        kind, labels, estimate[:-1], error[:-1], low[:-1], high[:-1], influence[:, :-1],
        float(estimate[-1]), float(error[-1]), float(low[-1]), float(high[-1]), effects.conf_level, " ".join(notes),
    )  # fmt: skip


_Average = tuple[float, Floats, bool]  # estimate, influence, whether nothing is known of its error


def _average(effects: GroupTimeEffects, cells: NDArray, by_size: bool) -> _Average:
    """Average some cells, by the size of their cohorts or plainly."""
    if not cells.size:
        return np.nan, np.zeros(len(effects.first)), True
    values, pulls = effects.estimate[cells], effects.influence[:, cells]
    blind = bool(np.isnan(effects.std_error[cells]).all())  # lone clusters, or values that do not vary
    if not by_size:
        return float(values.mean()), pulls.mean(axis=1), blind
    return *_by_size(effects.first, effects.group[cells], values, pulls), blind


def _by_size(first: Floats, group: Floats, values: Floats, pulls: Floats) -> tuple[float, Floats]:
    """Average values of cohorts by their shares; the influence has a part of the estimated shares."""
    member = (first[:, None] == group).astype(float)
    share = member.mean(axis=0)
    mean = float(share @ values / share.sum())
    influence: Floats = pulls @ (share / share.sum()) + (member - share) @ (values - mean) / share.sum()
    return mean, influence


def _over(effects: GroupTimeEffects, kind: str, labels: Floats, parts: list[_Average]) -> _Average:
    """Average the averages: by cohort size ("group"), or plainly over labels that lie after treatment began."""
    chosen = [part for label, part in zip(labels, parts, strict=True) if kind != "dynamic" or label >= 0]
    if not chosen:
        return np.nan, np.zeros(len(effects.first)), True
    values, pulls = np.array([part[0] for part in chosen]), np.stack([part[1] for part in chosen], axis=1)
    blind = all(part[2] for part in chosen)
    if kind != "group":
        return float(values.mean()), pulls.mean(axis=1), blind
    return *_by_size(effects.first, labels, values, pulls), blind
