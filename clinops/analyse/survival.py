"""Time to the first event: risk at the end of the window, hazard ratio, and the curves behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset, Floats
from clinops.define.measures import Measure

if TYPE_CHECKING:
    from lifelines import KaplanMeierFitter

    from clinops.stats.cox import CoxFit
    from clinops.stats.survival import SurvivalCurve

Z = 1.959963984540054
ARMS = (("exposed", True), ("comparator", False))
Row = dict[str, Any]


def curves(data: Dataset, measure: Measure, adjusted: Adjusted) -> dict[str, SurvivalCurve]:
    """Kaplan-Meier curves by arm, weighted where the adjustment weights; keys "exposed", "comparator".

    A row without a day of follow-up is set aside by the estimator and counted in `set_aside`.
    """
    from clinops.stats.survival import kaplan_meier

    plain = _independent(adjusted)
    found = {}
    for name, arm in ARMS:
        rows = _rows(data, adjusted, arm)
        found[name] = kaplan_meier(
            data.days(measure)[rows], data.column(measure)[rows], weights=_weights(adjusted, rows),
            robust=None if plain else True, cluster=None if plain else adjusted.cluster[rows], conf_type="log-log",
        )  # fmt: skip
    return found


def fitters(data: Dataset, measure: Measure, names: dict[str, str]) -> dict[str, KaplanMeierFitter]:
    """The unadjusted curves as fitted lifelines models, by arm: for who would go on with a tool they know.

    Parameters
    ----------
    names : "exposed" and "comparator" -> what the arm is called.
    """
    from lifelines import KaplanMeierFitter

    found = {}
    for name, arm in ARMS:
        rows = (data.exposed == arm) & (data.days(measure) > 0)
        model = KaplanMeierFitter(label=names[name])
        found[name] = model.fit(data.days(measure)[rows], data.column(measure)[rows])
    return found


def survival_effects(data: Dataset, measure: Measure, adjusted: Adjusted) -> list[Row]:
    """Rows for the risk difference and ratio at the end of the window and for the hazard ratio.

    Without an end to the window, the risks are those at the last day to which both arms are followed.
    """
    fitted = curves(data, measure, adjusted)
    risks = _risks(data, fitted, follow_up_end(measure, fitted), adjusted)
    return [*risks, _hazard_ratio(data, measure, adjusted)]


def follow_up_end(measure: Measure, fitted: dict[str, SurvivalCurve]) -> float:
    """The day of follow-up, counted from the start of the window, at which the risks are read."""
    window = measure.window
    if window is not None and window.end is not None:
        return float(window.end - (1 if window.start is None else window.start) + 1)
    return min(_last(curve) for curve in fitted.values())


def _last(curve: SurvivalCurve) -> float:
    return float(curve.time[-1]) if len(curve.time) else 0.0


def _risks(data: Dataset, fitted: dict[str, SurvivalCurve], horizon: float, adjusted: Adjusted) -> list[Row]:
    """Difference and ratio of 1 - KM at the horizon."""
    risk = {name: _risk(curve, horizon) for name, curve in fitted.items()}
    base: Row = {
        "se_kind": _kind(adjusted), "unit": "per 1,000 persons", "value_exposed": 1000 * risk["exposed"],
        "value_comparator": 1000 * risk["comparator"],
    }  # fmt: skip
    short = [name for name, value in risk.items() if np.isnan(value)]
    if short:
        note = f"Not estimable: nobody in the {' nor in the '.join(short)} arm is followed to the end of the window."
        return [base | {"scale": f"risk {kind}", "estimate": None, "note": note} for kind in ("difference", "ratio")]
    slopes = {"exposed": 1000.0, "comparator": -1000.0}
    error = _error(data, fitted, horizon, adjusted, slopes)
    certain = _certain(risk)
    difference = _interval(1000 * (risk["exposed"] - risk["comparator"]), error, certain)
    rows = [base | {"scale": "risk difference"} | difference]
    if min(risk.values()) > 0:
        slopes = {"exposed": 1 / risk["exposed"], "comparator": -1 / risk["comparator"]}
        error = _error(data, fitted, horizon, adjusted, slopes)
        ratio = _interval(float(np.log(risk["exposed"] / risk["comparator"])), error, certain)
        return [*rows, base | {"scale": "risk ratio"} | _exponentiated(ratio)]
    missing = "A ratio needs a risk above 0 in both arms; see the difference."
    return [*rows, base | {"scale": "risk ratio", "estimate": None, "note": missing}]


def _risk(curve: SurvivalCurve, horizon: float) -> float:
    """1 - KM at the horizon; NaN where follow-up ends before it with people still free of the event."""
    if horizon <= 0 or not len(curve.time) or (_last(curve) < horizon and curve.survival[-1] > 0):
        return float("nan")
    return 1 - float(curve.at(np.array([horizon])).survival[0])


def _certain(risk: dict[str, float]) -> str | None:
    """What a reader must know of arms in which nobody or everybody has the event."""
    said = [f"No events in the {name} arm; its 0 is taken as certain, so intervals are too narrow."
            for name, value in risk.items() if value == 0]  # fmt: skip
    said += [f"Everybody in the {name} arm has the event: no standard error."
             for name, value in risk.items() if value == 1]  # fmt: skip
    return " ".join(said) or None


def _error(
    data: Dataset, fitted: dict[str, SurvivalCurve], horizon: float, adjusted: Adjusted, slopes: dict[str, float]
) -> float:
    """Standard error of a sum of slope x risk over the arms.

    Greenwood's where every row is independent of the others; else the influences of all rows (infinitesimal
    jackknife), summed within clusters, since a person or a matched set may stand in both arms.
    """
    if _independent(adjusted):
        errors = [slopes[name] * float(curve.at(np.array([horizon])).std_error[0]) for name, curve in fitted.items()]
        return float(np.linalg.norm(errors))
    influence = np.zeros(len(data))
    for name, arm in ARMS:
        rows = np.flatnonzero(_rows(data, adjusted, arm))[fitted[name].rows.kept]
        influence[rows] -= slopes[name] * _influence(fitted[name], horizon)
    used = adjusted.weights > 0

    def squares(ids: NDArray[np.int64]) -> float:
        code = np.unique(ids, return_inverse=True)[1]
        return float((np.bincount(code, weights=influence[used]) ** 2).sum()) if code.max(initial=0) else np.nan

    return float(np.sqrt(_by_clusters(squares, adjusted, used)))


def _by_clusters(variance: Callable[[NDArray[np.int64]], float], adjusted: Adjusted, rows: NDArray[np.bool_]) -> float:
    """The variance by the clusters of these rows, or by both kinds where sets and persons cross."""
    from clinops.stats.multiway import two_way_variance

    if adjusted.crossed is None:
        return variance(adjusted.cluster[rows])
    return float(two_way_variance(variance, adjusted.crossed[rows], adjusted.cluster[rows])[0])


def _influence(curve: SurvivalCurve, horizon: float) -> Floats:
    """(rows,) influence of each row on S(horizon); NaN where S is 0, whose variance is not defined."""
    upto = int(np.searchsorted(curve.time, horizon, side="right"))
    survival = float(curve.survival[upto - 1]) if upto else 1.0
    if survival == 0:
        return np.full(curve.rows.n, np.nan)
    left = curve.n_risk - curve.n_event
    step = np.divide(curve.n_event, curve.n_risk * left, out=np.zeros(len(left)), where=left > 0)
    running = np.concatenate([[0.0], np.cumsum(step)])
    at = np.searchsorted(curve.time, curve.rows.exit, side="left")
    happened = curve.rows.event & (at < upto)
    own = np.divide(1.0, left[at], out=np.zeros(len(at)), where=happened & (left[at] > 0))
    influence: Floats = survival * curve.rows.weight * (running[np.minimum(at + 1, upto)] - own)
    return influence


def _interval(estimate: float, se: float, note: str | None = None) -> Row:
    """An estimate with its Wald interval; without a standard error above 0 it has none, and says so."""
    from scipy.stats import norm

    if not (np.isfinite(se) and se > 0):
        return {"estimate": estimate, "std_error": None, "note": note or "Too few independent rows: no standard error."}
    return {
        "estimate": estimate, "std_error": se, "conf_low": estimate - Z * se, "conf_high": estimate + Z * se,
        "p_value": float(2 * norm.sf(abs(estimate) / se)), "note": note,
    }  # fmt: skip


def _exponentiated(row: Row) -> Row:
    """From the log scale; the standard error stays on it, as the results schema has it for ratios."""
    ends = ("estimate", "conf_low", "conf_high")
    return row | {key: float(np.exp(row[key])) for key in ends if row.get(key) is not None}


def _hazard_ratio(data: Dataset, measure: Measure, adjusted: Adjusted) -> Row:
    from clinops.stats.cox import cox

    plain, rows = _independent(adjusted), (adjusted.weights > 0) & (data.days(measure) > 0)
    event, exposed = data.column(measure)[rows], data.exposed[rows]
    base: Row = {"scale": "hazard ratio", "unit": "ratio", "se_kind": "model" if plain else _kind(adjusted)}
    without = [name for name, arm in ARMS if not (event[exposed == arm] > 0).any()]
    why = f"Not estimable: no event in the {' nor in the '.join(without)} arm"
    if len(without) == len(ARMS):
        return base | {"estimate": None, "note": f"{why}."}

    def fitted(cluster: NDArray[np.int64] | None) -> CoxFit:
        return cox(
            exposed[:, None].astype(float), data.days(measure)[rows], event, weights=_weights(adjusted, rows),
            ties="efron", cluster=cluster,
        )  # fmt: skip

    fit = fitted(None if plain else adjusted.cluster[rows])
    coefficient = float(fit.coef[0])
    if not np.isfinite(coefficient):
        if not without:
            why = "Not estimable: events fall only where the other arm has nobody at risk, so nothing bounds it"
        return base | {"estimate": None} | _endless(fit, why)
    clusters, se = len(np.unique(adjusted.cluster[rows])), float(fit.se[0])
    if adjusted.crossed is not None:
        se = float(np.sqrt(_by_clusters(lambda ids: float(fitted(ids).se[0]) ** 2, adjusted, rows)))
    se = se if plain or clusters > 1 else float("nan")
    return base | _exponentiated(_interval(coefficient, se, fit.note or None))


def _endless(fit: CoxFit, why: str) -> Row:
    """A limit and a test for a ratio that is 0 or infinite; neither where no two arms were compared."""
    from clinops.analyse.endless import endless_ratio

    if np.isnan(fit.coef[0]):
        return {"note": f"{why}."}
    found = endless_ratio(fit)
    return found | {"note": f"{why}; {found['note']}."}


def _rows(data: Dataset, adjusted: Adjusted, arm: bool) -> NDArray[np.bool_]:
    return (data.exposed == arm) & (adjusted.weights > 0)


def _weights(adjusted: Adjusted, rows: NDArray[np.bool_]) -> Floats | None:
    return None if adjusted.adjustment.method == "none" else adjusted.weights[rows]


def _independent(adjusted: Adjusted) -> bool:
    """Whether the comparison is crude and every row a cluster of its own, so that textbook variances hold."""
    return adjusted.adjustment.method == "none" and len(np.unique(adjusted.cluster)) == len(adjusted.cluster)


def _kind(adjusted: Adjusted) -> str:
    if _independent(adjusted):
        return "Greenwood"
    known = "" if adjusted.adjustment.method == "none" else "weights taken as known, "
    return f"robust, {known}clustered by {adjusted.cluster_name}"
