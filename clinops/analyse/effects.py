"""Effects: one measure under one adjustment, on an absolute and a relative scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import DAYS_A_YEAR, Dataset, Floats
from clinops.define.adjustment import Adjustment
from clinops.define.measures import Measure
from clinops.errors import DataError

if TYPE_CHECKING:
    from clinops.stats.weighted_effects import ArmValues

Row = dict[str, Any]
LEVEL = 0.95


@dataclass(frozen=True)
class Scale:
    """How one effect is expressed.

    Attributes
    ----------
    name : as the results schema writes it ("risk difference").
    contrast : "difference" or "ratio".
    unit : of the arms' values and of a difference.
    per : values are multiplied by it (1,000 persons, 1,000 person-years).
    denominator : None for a mean per person; "years" or "months" of observation for a rate.
    """

    name: str
    contrast: str
    unit: str
    per: float = 1.0
    denominator: str | None = None


def _pair(what: str, unit: str, per: float = 1.0, denominator: str | None = None) -> tuple[Scale, Scale]:
    return (
        Scale(f"{what} difference", "difference", unit, per, denominator),
        Scale(f"{what} ratio", "ratio", unit, per, denominator),
    )


PERSON_YEARS = "per 1,000 person-years"
MEMBER_MONTH = "currency per member-month"
SCALES: dict[str, tuple[Scale, ...]] = {
    "any": _pair("risk", "per 1,000 persons", 1000),
    "count": _pair("rate", PERSON_YEARS, 1000, "years"),
    "time to": _pair("rate", PERSON_YEARS, 1000, "years"),
    "cost": (*_pair("mean", "currency per person"), *_pair("PMPM", MEMBER_MONTH, 1, "months")),
    # Beside the mean, which those who leave early pull down: days at home of the time observed.
    "days at home": (*_pair("mean", "days per person"), *_pair("rate", "days per person-year", 1, "years")),
    "value": _pair("mean", "measurement"),
}
MAIN = {
    "any": "risk difference", "count": "rate difference", "time to": "risk difference", "cost": "mean difference",
    "days at home": "mean difference", "value": "mean difference",
}  # fmt: skip
"""The absolute scale that stands for a measure where there is room for one."""

RELATIVE = {
    "any": "risk ratio", "count": "rate ratio", "time to": "hazard ratio", "cost": "mean ratio",
    "days at home": "mean ratio", "value": "mean ratio",
}  # fmt: skip


def scales(measure: Measure, adjust: Adjustment) -> tuple[str, str]:
    """The absolute and the relative scale that stand for a measure under an adjustment.

    A model of the outcome has no curve, so the rate stands for a time to an event.
    """
    if measure.measure == "time to" and not adjust.needs_weights:
        return "rate difference", "rate ratio"
    return MAIN[measure.measure], RELATIVE[measure.measure]


def effects(
    data: Dataset, measure: Measure, adjusted: Adjusted, *, months: Floats | None = None, **said: Any
) -> list[Row]:
    """Estimate one outcome's effect under one adjustment on every scale that suits it.

    Parameters
    ----------
    data : both arms with outcomes.
    measure : the outcome.
    adjusted : weights and clusters.
    months : (n,) member-months of each row, for a cost per member-month.
    said : columns of the results schema that the caller fills (analysis, subgroup, level, ...).

    Returns
    -------
    Rows of the results schema. What cannot be estimated is a row with a null estimate and a note.

    Notes
    -----
    "time to" adds the risk at the end of the window (1 - Kaplan-Meier) and the hazard ratio (Cox,
    Efron ties); the other scales are means and ratios with M-estimation variance, weighted, or from a
    model of the outcome (`outcome_models`), which has no curve of a "time to".
    """
    base = _described(data, measure, adjusted) | said
    rows = _mean_effects(data, measure, adjusted, months)
    if measure.measure == "time to" and not adjusted.adjustment.needs_weights:
        from clinops.analyse.outcome_models import NO_CURVE

        curve: Row = {"unit": "per 1,000 persons", "estimate": None, "note": NO_CURVE}
        rows = [*({"scale": f"risk {kind}"} | curve for kind in ("difference", "ratio")), *rows]
    elif measure.measure == "time to":
        from clinops.analyse.survival import survival_effects

        rows = [*survival_effects(data, measure, adjusted), *rows]
    return [base | row for row in rows]


def _described(data: Dataset, measure: Measure, adjusted: Adjusted) -> Row:
    """The part of a row that does not depend on the scale: unweighted counts of the entries that have a value."""
    y, days, exposed = data.column(measure), data.days(measure), data.exposed
    inside = (adjusted.weights > 0) & np.isfinite(y)
    counted = measure.measure in ("any", "count", "time to")
    row: Row = {
        "measure": measure.name, "role": measure.role, "category": measure.category,
        "period": str(measure.window), "estimand": adjusted.estimand, "method": adjusted.adjustment.method,
        "adjustment": adjusted.label, "conf_level": LEVEL,
    }  # fmt: skip
    for arm, name in ((exposed & inside, "exposed"), (~exposed & inside, "comparator")):
        row[f"n_{name}"] = int(arm.sum())
        row[f"person_days_{name}"] = float(np.nansum(days[arm]))
        if counted:
            row[f"events_{name}"] = int(np.nansum(y[arm]))
    return row


def _mean_effects(data: Dataset, measure: Measure, adjusted: Adjusted, months: Floats | None) -> list[Row]:
    """One row a scale; a difference and a ratio of the same values share them."""
    from clinops.stats.weighted_effects import contrast

    made: dict[tuple[float, str | None], ArmValues] = {}
    left = int((~np.isfinite(data.column(measure)) & (adjusted.weights > 0)).sum())
    rows: list[Row] = []
    for scale in SCALES[measure.measure]:
        key = (scale.per, scale.denominator)
        if key not in made:
            try:
                made[key] = _arm_values(data, measure, adjusted, scale, months)
            except DataError as problem:  # rows on which a model of the outcome cannot be fitted
                rows.append({"scale": scale.name, "unit": scale.unit, "estimate": None, "note": str(problem)})
                continue
        effect = contrast(made[key], scale.contrast, cluster=adjusted.clusters, conf_level=LEVEL)[0]
        left_out = "rows without a value were left out" if left else ""  # n says how many are in
        note = "; ".join(part for part in (effect.note, left_out) if part)
        rows.append({
            "scale": scale.name, "unit": scale.unit, "value_exposed": effect.value_exposed,
            "value_comparator": effect.value_comparator, "estimate": effect.estimate,
            "std_error": effect.std_error, "se_kind": _se_kind(effect.se_kind, adjusted),
            "conf_low": effect.conf_low, "conf_high": effect.conf_high, "p_value": effect.p_value,
            "note": note or ("not estimable" if np.isnan(effect.estimate) else None),
        })  # fmt: skip
    return rows


def _arm_values(
    data: Dataset, measure: Measure, adjusted: Adjusted, scale: Scale, months: Floats | None
) -> ArmValues:  # fmt: skip
    from clinops.stats.weighted_effects import weighted_values

    denominator = _denominator(data, measure, scale, months)
    if not adjusted.adjustment.needs_weights:
        from clinops.analyse.outcome_models import modelled_values

        return modelled_values(data.column(measure), data.exposed, adjusted, measure.measure, denominator, scale.per)
    y = data.column(measure) * scale.per
    keep = np.isfinite(y)
    known = adjusted.known_weights or not keep.all()
    return weighted_values(
        np.where(keep, y, 0.0)[:, None], data.exposed,
        adjusted.balancing if not known else np.where(keep, adjusted.weights, 0.0),
        propensity=None if known else adjusted.propensity, denominator=denominator,
    )  # fmt: skip


def _se_kind(kind: str, adjusted: Adjusted) -> str:
    """The kind of variance in words: what its clusters are, and nothing of weights where there are none."""
    if adjusted.adjustment.method == "none":
        kind = kind.replace("weights taken as known, ", "")
    return kind.replace("clusters)", f"clusters: {adjusted.cluster_name})")


def _denominator(data: Dataset, measure: Measure, scale: Scale, months: Floats | None) -> Floats | None:
    if scale.denominator is None:
        return None
    if scale.denominator == "months":
        return months if months is not None else data.days(measure) / (DAYS_A_YEAR / 12)
    return data.days(measure) / DAYS_A_YEAR
