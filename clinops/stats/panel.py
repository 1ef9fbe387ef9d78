"""Units seen in the same periods, some treated from a date on: the checks that every panel estimator needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints, cluster_sums

UNBALANCED = ("refuse", "drop")


@dataclass(frozen=True)
class PanelRows:
    """Long rows after their checks; one row for each unit and period, in the order given.

    Attributes
    ----------
    y : (rows,), NaN where missing. code : (rows,) unit as 0, 1, ... of `unit`. unit : (units,) labels, sorted.
    time : (rows,). period : (periods,) sorted. first : (units,) first treated time, infinite for never.
    """

    y: Floats
    code: Ints
    unit: NDArray
    time: Floats
    period: Floats
    first: Floats


@dataclass(frozen=True)
class Panel:
    """A balanced panel, units sorted by label and periods by time.

    Attributes
    ----------
    outcome : (units, periods). unit : (units,) labels. period : (periods,). first : (units,) first treated time,
    infinite for never. covariates : (units, k) without an intercept. cluster : (units,) codes 0, 1, ...
    note : "" or which units were set aside.
    """

    outcome: Floats
    unit: NDArray
    period: Floats
    first: Floats
    covariates: Floats
    cluster: Ints
    note: str


def panel_rows(y: ArrayLike, unit: ArrayLike, time: ArrayLike, first_treated: ArrayLike) -> PanelRows:
    """Check long rows of a panel: shapes, missing times, repeated rows, one first treated time for each unit.

    Parameters
    ----------
    y : (rows,) outcome, NaN where missing. unit : (rows,) labels. time : (rows,) period as a number.
    first_treated : (rows,) first period under treatment, the same in all rows of a unit; `np.inf` for never.

    Raises
    ------
    DataError : what is wrong, in how many rows or units, and what to do.
    """
    outcome, when, first = (np.asarray(a, dtype=float) for a in (y, time, first_treated))
    labels = np.asarray(unit)
    for name, given in (("unit", labels), ("time", when), ("first_treated", first)):
        if given.shape != outcome.shape or outcome.ndim != 1:
            raise DataError(f"{name} has shape {given.shape} and y {outcome.shape}; both must be (rows,).")
    if not len(outcome):
        raise DataError("The panel has no rows; give one for each unit and period.")
    if np.isinf(outcome).any():
        raise DataError(
            f"{int(np.isinf(outcome).sum())} outcomes are infinite; set them to NaN (missing) or mend them."
        )
    if not np.isfinite(when).all():
        raise DataError(f"{int((~np.isfinite(when)).sum())} rows have no finite time; give the period as a number.")
    if np.isnan(first).any() or np.isneginf(first).any():
        bad = int((np.isnan(first) | np.isneginf(first)).sum())
        raise DataError(f"{bad} rows have no first_treated; give the first treated period, or np.inf for never.")
    names, code = np.unique(labels, return_inverse=True)
    period, at = np.unique(when, return_inverse=True)
    repeated = len(outcome) - len(np.unique(code * len(period) + at))
    if repeated:
        raise DataError(f"{repeated} rows repeat a unit and period; one row each is allowed, so add or average them.")
    return PanelRows(outcome, code.astype(np.int64), names, when, period, of_unit(first, code, "first_treated"))


def of_unit(values: NDArray, code: NDArray, name: str) -> NDArray:
    """Return each unit's one value of something that may not change over time; refuse it if it does."""
    _, where = np.unique(code, return_index=True)
    one = values[where]
    changed = (values != one[code]).reshape(len(values), -1).any(axis=1)
    if changed.any():
        raise DataError(
            f"{name} changes over time in {len(np.unique(code[changed]))} of {len(where)} units; "
            "it must be one value for each unit, known before treatment."
        )
    return np.asarray(one)


def balanced_panel(
    y: ArrayLike,
    unit: ArrayLike,
    time: ArrayLike,
    first_treated: ArrayLike,
    *,
    covariates: ArrayLike | None = None,
    cluster: ArrayLike | None = None,
    unbalanced: str = "refuse",
) -> Panel:
    """Turn long rows into units by periods; every unit must have an outcome in every period.

    Parameters
    ----------
    y, unit, time, first_treated : as in `panel_rows`.
    covariates : (rows, k), constant in a unit. cluster : (rows,) ids that units lie within; None is the unit.
    unbalanced : "refuse", or "drop" to keep only the units with an outcome in each period, with their number.

    Raises
    ------
    DataError : as `panel_rows`; units without all periods; covariates missing or changing; clusters that cut a unit.
    """
    if unbalanced not in UNBALANCED:
        raise DefinitionError(unknown("way with an unbalanced panel", unbalanced, UNBALANCED))
    rows = panel_rows(y, unit, time, first_treated)
    fixed = np.zeros((len(rows.y), 0)) if covariates is None else np.asarray(covariates, dtype=float)
    if fixed.ndim != 2 or len(fixed) != len(rows.y):
        raise DataError(f"covariates have shape {fixed.shape}; they must be ({len(rows.y)}, columns).")
    if not np.isfinite(fixed).all():
        raise DataError("covariates hold missing or infinite values; impute them, or set those units aside.")
    groups = rows.code if cluster is None else np.asarray(cluster)
    if groups.shape != rows.y.shape:
        raise DataError(f"cluster has shape {groups.shape}; it must be {rows.y.shape} as y is.")
    keep, note = _complete(rows, unbalanced)
    used = np.flatnonzero(keep[rows.code])
    order = used[np.lexsort((rows.time[used], rows.code[used]))]
    shape = (int(keep.sum()), len(rows.period))
    own = of_unit(groups, rows.code, "cluster")[keep]
    return Panel(
        rows.y[order].reshape(shape), rows.unit[keep], rows.period, rows.first[keep],
        of_unit(fixed, rows.code, "covariates")[keep],
        np.unique(own, return_inverse=True)[1].astype(np.int64), note,
    )  # fmt: skip


def with_a_before(panel: Panel) -> tuple[Panel, list[str]]:
    """Set units aside that have no period before treatment, with notes; a start after the last period is never.

    Raises
    ------
    DataError : a single period; nobody treated after the first period and by the last.
    """
    if len(panel.period) < 2:
        raise DataError("The panel has one period; a change needs at least two.")
    notes = [panel.note] if panel.note else []
    always = panel.first <= panel.period[0]
    late = np.isfinite(panel.first) & (panel.first > panel.period[-1])
    if always.any():
        notes.append(f"{int(always.sum())} units are treated from the first period on and were set aside.")
    if late.any():
        notes.append(f"{int(late.sum())} units start after the last period and count as never treated.")
    first = np.where(late, np.inf, panel.first)[~always]
    if not np.isfinite(first).any():
        raise DataError(
            f"None of the {len(panel.first)} units becomes treated after the first period and by the last one "
            f"({panel.period[0]:g} to {panel.period[-1]:g}), so there is no effect to estimate; check first_treated."
        )
    cluster = np.unique(panel.cluster[~always], return_inverse=True)[1].astype(np.int64)
    return Panel(
        panel.outcome[~always], panel.unit[~always], panel.period, first, panel.covariates[~always], cluster, ""
    ), notes


def _complete(rows: PanelRows, unbalanced: str) -> tuple[NDArray, str]:
    """Say which units have an outcome in every period, and what to write about the others."""
    seen = cluster_sums(np.isfinite(rows.y)[:, None].astype(float), rows.code, len(rows.unit))[:, 0]
    keep = seen == len(rows.period)
    lost, total = int((~keep).sum()), len(keep)
    if not lost:
        return keep, ""
    said = f"{lost} of {total} units lack an outcome in some of the {len(rows.period)} periods"
    if unbalanced == "refuse" or lost == total:
        then = (
            f"keep the {total - lost} complete units with unbalanced='drop'" if lost < total else "take fewer periods"
        )
        raise DataError(f"{said}. This estimator needs them all; {then}, or fill in what is missing.")
    return keep, f"{said} and were set aside."
