"""Time to the first event: risk at the end of the window, hazard ratio, and the curves behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset
from clinops.define.measures import Measure

if TYPE_CHECKING:
    from clinops.stats.survival import SurvivalCurve

Z = 1.959963984540054
ARMS = (("exposed", True), ("comparator", False))


def curves(data: Dataset, measure: Measure, adjusted: Adjusted) -> dict[str, SurvivalCurve]:
    """Kaplan-Meier curves by arm, weighted where the adjustment weights; keys "exposed", "comparator".

    A row without a day of follow-up is set aside by the estimator and counted in `set_aside`.
    """
    from clinops.stats.survival import kaplan_meier

    crude = adjusted.adjustment.method == "none"
    found = {}
    for name, arm in ARMS:
        rows = (data.exposed == arm) & (adjusted.weights > 0)
        weights = None if crude else adjusted.weights[rows]
        found[name] = kaplan_meier(
            data.days(measure)[rows], data.column(measure)[rows], weights=weights,
            robust=None if crude else True, cluster=None if crude else adjusted.cluster[rows], conf_type="log-log",
        )  # fmt: skip
    return found


def survival_effects(data: Dataset, measure: Measure, adjusted: Adjusted) -> list[dict[str, Any]]:
    """Rows for the risk difference and ratio at the end of the window and for the hazard ratio."""
    fitted = curves(data, measure, adjusted)
    horizon = measure.window.end if measure.window and measure.window.end else float(np.nanmax(data.days(measure)))
    return [*_risks(fitted, float(horizon), adjusted), _hazard_ratio(data, measure, adjusted)]


def _risks(fitted: dict[str, SurvivalCurve], horizon: float, adjusted: Adjusted) -> list[dict[str, Any]]:
    """Difference and ratio of 1 - KM at the horizon; the arms are independent given the weights."""
    risk, error = {}, {}
    for name, _ in ARMS:
        at = fitted[name].at(np.array([horizon]))
        risk[name], error[name] = 1 - float(at.survival[0]), float(at.std_error[0])
    kind = (
        "Greenwood"
        if adjusted.adjustment.method == "none"
        else f"robust, weights taken as known, clustered by {adjusted.cluster_name}"
    )
    base = {
        "se_kind": kind, "value_exposed": 1000 * risk["exposed"], "value_comparator": 1000 * risk["comparator"],
        "unit": "per 1,000 persons",
    }  # fmt: skip
    difference = 1000 * (risk["exposed"] - risk["comparator"])
    se = 1000 * float(np.hypot(error["exposed"], error["comparator"]))
    rows = [base | {"scale": "risk difference"} | _interval(difference, se)]
    if min(risk.values()) > 0:
        log_se = float(np.hypot(error["exposed"] / risk["exposed"], error["comparator"] / risk["comparator"]))
        ratio = _interval(float(np.log(risk["exposed"] / risk["comparator"])), log_se)
        rows.append(base | {"scale": "risk ratio"} | _exponentiated(ratio))
    else:
        rows.append(base | {"scale": "risk ratio", "estimate": None, "note": "not estimable: an arm has no event"})
    return rows


def _interval(estimate: float, se: float) -> dict[str, Any]:
    from scipy.stats import norm

    if not (np.isfinite(estimate) and np.isfinite(se)):
        return {"estimate": None, "note": "not estimable: nobody is followed to the end of the window"}
    p = float(2 * norm.sf(abs(estimate) / se)) if se > 0 else None
    return {
        "estimate": estimate, "std_error": se, "conf_low": estimate - Z * se, "conf_high": estimate + Z * se,
        "p_value": p, "note": None,
    }  # fmt: skip


def _exponentiated(row: dict[str, Any]) -> dict[str, Any]:
    """From the log scale; the standard error stays on it, as the results schema has it for ratios."""
    if row["estimate"] is None:
        return row
    return row | {key: float(np.exp(row[key])) for key in ("estimate", "conf_low", "conf_high")}


def _hazard_ratio(data: Dataset, measure: Measure, adjusted: Adjusted) -> dict[str, Any]:
    from clinops.stats.cox import cox

    crude = adjusted.adjustment.method == "none"
    days = data.days(measure)
    rows = (adjusted.weights > 0) & (days > 0)
    fit = cox(
        data.exposed[rows, None].astype(float), days[rows], data.column(measure)[rows],
        weights=None if crude else adjusted.weights[rows], ties="efron",
        cluster=adjusted.cluster[rows] if _clusters_matter(adjusted, rows) else None, robust=not crude,
    )  # fmt: skip
    kind = fit.se_kind
    if kind != "model":
        kind = f"robust, weights taken as known, clustered by {adjusted.cluster_name}"
    base = {"scale": "hazard ratio", "unit": "ratio", "se_kind": kind}
    se = float(fit.se[0])
    coefficient = float(fit.coef[0])
    if not (np.isfinite(coefficient) and np.isfinite(se)):
        return base | {"estimate": None, "note": fit.note or "not estimable"}
    row = _exponentiated(_interval(coefficient, se))
    return base | row | {"note": fit.note or None}


def _clusters_matter(adjusted: Adjusted, rows: NDArray[np.bool_]) -> bool:
    inside = adjusted.cluster[rows]
    return adjusted.adjustment.method != "none" or len(np.unique(inside)) < len(inside)
