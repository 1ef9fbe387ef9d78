"""The landmark analysis: those still followed at a day, by whether they had activated by then, from then on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.effects import LEVEL
from clinops.analyse.uptake.people import Course, People, course
from clinops.define.measures import Measure

Row = dict[str, Any]
_SIDES = ("exposed", "comparator")
ESTIMAND = "difference between those who had and had not activated, of those still followed at the landmark"
ANSWERS = (
    "It answers: of people still followed and free of the event on day {day}, how do those who had activated fare "
    "afterwards, compared with those who had not and were otherwise alike on what was measured?",
    "It does not answer what activating does from the offer on: what happened up to day {day} is left out, and so are "
    "those who died, left or had the event by then. Who activates later stays among those who had not, which pulls "
    "towards no effect. Those who activate differ in more than was measured.",
)


def landmark_rows(people: People, measure: Measure) -> tuple[list[Row], list[Row]]:
    """One outcome after the landmark: crude and weighted estimates, and who was set aside before it."""
    from clinops.stats.landmark import landmark

    plan, one = people.plan, course(people, measure)
    within = np.ones(len(people), dtype=bool) if plan.population == "everyone" else people.offered
    rows = np.flatnonzero(within & (one.exit > 0))
    found = landmark(one.exit[rows], one.cause[rows], people.activation[rows], day=plan.landmark)
    at = rows[found.row]
    named = (f"Activated by day {plan.landmark}", f"Not activated by day {plan.landmark}")
    base: Row = {
        "analysis": "landmark", "exposed": named[0], "comparator": named[1], "measure": measure.name,
        "role": measure.role, "category": measure.category, "estimand": ESTIMAND, "conf_level": LEVEL,
        "period": f"days {plan.landmark + 1} to {one.horizon}", "n_exposed": int(found.begun.sum()),
        "n_comparator": int((~found.begun).sum()),
    }  # fmt: skip
    aside = [
        {"measure": measure.name, "status": named[0 if begun else 1], "still": int((found.begun == begun).sum()),
         "event": found.before[begun].get(1, 0) if one.events is not None else 0,
         "death": found.before[begun].get(2, 0), "left": found.before[begun].get(0, 0)}
        for begun in (True, False)
    ]  # fmt: skip
    if one.horizon <= plan.landmark or min(base["n_exposed"], base["n_comparator"]) < 2:
        why = "fewer than two people on a side are still followed at the landmark"
        return [base | {"method": "as they are", "adjustment": "crude", "estimate": None, "note": why}], aside
    weights = _weights(people, at, found.begun)
    few = _hide_few(base, aside, people.study.protocol.min_cell)
    made = []
    for label, weight, note in (("crude", np.ones(len(at)), ""), ("ATT weighting at the landmark", *weights)):
        row = base | {"method": "landmark", "adjustment": label}
        number = _risk if one.events is not None else _mean
        made.append(row | number(people, one, at, found, weight, "; ".join(filter(None, (note, few)))))
    return made, aside


def _hide_few(base: Row, aside: list[Row], min_cell: int) -> str:
    """Take out a side's number where few had gone by the landmark, and say so.

    How many had activated by then stands in the funnel: beside it the number would give away the few.
    """
    gone = {arm: lost["event"] + lost["death"] + lost["left"] for arm, lost in zip(_SIDES, aside, strict=True)}
    hidden = [arm for arm, n in gone.items() if 0 < n < min_cell]
    for arm in hidden:
        base[f"n_{arm}"] = None
    return f"persons are not shown where fewer than {min_cell} had gone by the landmark" if hidden else ""


def _weights(people: People, at: NDArray[np.int64], begun: NDArray[np.bool_]) -> tuple[np.ndarray, str]:
    """Weights for those who had activated, from covariates of day 0 and the care just before the landmark."""
    from clinops.stats.propensity import propensity
    from clinops.stats.weighting import balancing_weights

    X = np.column_stack([people.X, people.recent((people.plan.landmark,))[:, 0]])[at]
    X = X[:, X.std(axis=0) > 1e-12]
    if not X.shape[1]:
        return np.ones(len(at)), "no covariate varies, so nothing is adjusted for"
    fit = propensity(X, begun)
    return balancing_weights(fit, estimand="att").weights, fit.note


def _risk(people: People, one: Course, at: Any, found: Any, weight: np.ndarray, note: str) -> Row:
    from clinops.stats.competing_risks import aalen_johansen, compare_incidence

    last = one.horizon - people.plan.landmark
    curves = []
    for begun in (True, False):
        side = found.begun == begun
        curves.append(aalen_johansen(
            found.exit[side], found.cause[side], weights=weight[side], cluster=people.cluster[at][side], causes=(1, 2),
            variance="robust", level=LEVEL,
        ))  # fmt: skip
    gap = compare_incidence(curves[0], curves[1], 1, float(last))
    values = [float(curve.at([float(last)]).incidence[0, 0]) for curve in curves]
    inside = found.exit <= last
    events = [int((inside & (found.cause == 1) & (found.begun == begun)).sum()) for begun in (True, False)]
    said = "; ".join(part for part in (gap.note, note) if part)
    return {
        "scale": "risk difference", "unit": "per 1,000 persons", "value_exposed": 1000 * values[0],
        "value_comparator": 1000 * values[1], "estimate": 1000 * gap.estimate, "std_error": 1000 * gap.std_error,
        "conf_low": 1000 * gap.conf_low, "conf_high": 1000 * gap.conf_high, "p_value": gap.p_value,
        "se_kind": f"{gap.se_kind}, weights taken as known", "events_exposed": events[0],
        "events_comparator": events[1], "note": said or ("not estimable" if np.isnan(gap.estimate) else None),
    }  # fmt: skip


def _mean(people: People, one: Course, at: Any, found: Any, weight: np.ndarray, note: str) -> Row:
    from clinops.stats.weighted_effects import weighted_effect

    spent = one.amounts(people, (people.plan.landmark, one.horizon))[at, 0]
    effect = weighted_effect(spent, found.begun, weight, cluster=people.cluster[at], conf_level=LEVEL)
    unit = "currency per person" if one.measure.measure == "cost" else "events per person"
    said = "; ".join(part for part in (effect.note, note) if part)
    return {
        "scale": "mean difference", "unit": people.unit(unit), "value_exposed": effect.value_exposed,
        "value_comparator": effect.value_comparator, "estimate": effect.estimate, "std_error": effect.std_error,
        "conf_low": effect.conf_low, "conf_high": effect.conf_high, "p_value": effect.p_value,
        "se_kind": effect.se_kind, "note": said or ("not estimable" if np.isnan(effect.estimate) else None),
    }  # fmt: skip
