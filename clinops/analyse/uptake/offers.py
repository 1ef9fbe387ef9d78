"""Effects by the offer: intention to treat, in the treated, and in compliers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, effects, scales
from clinops.analyse.uptake.people import People, watched
from clinops.define.measures import Measure

if TYPE_CHECKING:
    from clinops.stats.compliers import ComplianceTypes
    from clinops.stats.instrument import InstrumentFit

Row = dict[str, Any]
COMPLIERS = "average effect of activating in compliers (who activate if offered and not otherwise)"
UNITS = {
    "any": ("per 1,000 persons", 1000.0), "time to": ("per 1,000 persons", 1000.0),
    "count": ("per 1,000 persons", 1000.0),
    "cost": ("currency per person", 1.0), "days at home": ("days per person", 1.0), "value": ("measurement", 1.0),
}  # fmt: skip
"""Of each kind of outcome as a mean over persons: its unit, and what it is multiplied by."""


def offer_rows(people: People, analysis: str) -> list[Row]:
    """Each outcome by the offer on its main and its relative scale, under the protocol's adjustment."""
    study = people.study
    made: list[Row] = []
    for measure in people.outcomes:
        seen = watched(measure, study)
        rows = effects(study.data, seen, study.adjusted, analysis=analysis)
        wanted = scales(measure, study.adjusted.adjustment)
        made += [row | {"unit": _unit(people, row)} for row in rows if row["scale"] in wanted]
    return made


def _unit(people: People, row: Row) -> str:
    return "ratio" if str(row["scale"]).endswith("ratio") else people.unit(str(row["unit"] or ""))


def complier_rows(people: People) -> list[Row]:
    """Each outcome: what the offer and what activating changes per person, with the Anderson-Rubin set."""
    covariates = people.X if people.plan.adjust_compliers and people.X.shape[1] else None
    return [row for measure in people.outcomes for row in _complier(people, measure, covariates)]


def _complier(people: People, measure: Measure, covariates: Floats | None) -> list[Row]:
    from clinops.stats.compliers import complier_effect
    from clinops.stats.linear import linear

    study = people.study
    unit, per = UNITS[measure.measure]
    y = per * study.data.column(measure)
    known = np.isfinite(y)
    X = None if covariates is None else covariates[known]
    offer, taken = people.offered[known].astype(float), people.activated[known].astype(float)
    cluster, adjusted = _cluster(people, known), study.adjusted
    weights = adjusted.weights[known] if X is None and adjusted.adjustment.method != "none" else None
    found = complier_effect(
        y[known], taken, offer, covariates=X, weights=weights, cluster=cluster, conf_level=LEVEL
    )  # fmt: skip
    design = offer[:, None] if X is None else np.column_stack([offer, X])
    itt = linear(design, y[known], weights=weights, cluster=cluster, conf_level=LEVEL)
    base = {
        "analysis": "complier", "measure": measure.name, "role": measure.role, "category": measure.category,
        "period": str(watched(measure, study).window), "unit": people.unit(unit),
        "conf_level": LEVEL, "n_exposed": int(offer.sum()), "n_comparator": int((1 - offer).sum()),
        "adjustment": adjusted.label if X is None else f"{X.shape[1]} columns of covariates in both stages",
    }  # fmt: skip
    if measure.measure in ("any", "count", "time to"):
        events = y[known] / per
        base |= {"events_exposed": int(events[offer == 1].sum()), "events_comparator": int(events[offer == 0].sum())}
    fit = found.fit
    late = {
        "estimand": COMPLIERS, "scale": "mean difference", "method": "two-stage least squares",
        "estimate": fit.estimate, "std_error": fit.std_error, "conf_low": fit.conf_low, "conf_high": fit.conf_high,
        "p_value": fit.p_value, "se_kind": fit.se_kind, "value_exposed": found.treated,
        "value_comparator": found.untreated, "note": fit.note or _none(fit.estimate), "fit": fit,
    }  # fmt: skip
    first = {
        "estimand": "average effect of the offer", "scale": "mean difference", "method": "reduced form",
        "estimate": float(itt.coef[0]), "std_error": float(itt.std_error[0]), "conf_low": float(itt.conf_low[0]),
        "conf_high": float(itt.conf_high[0]), "p_value": float(itt.p_value[0]), "se_kind": itt.se_kind,
        "note": itt.note or _none(float(itt.coef[0])),
    }  # fmt: skip
    return [base | first, base | late]


def _none(estimate: float) -> str | None:
    return "not estimable" if np.isnan(estimate) else None


def _cluster(people: People, known: np.ndarray) -> np.ndarray | None:
    """Ids of the unit of assignment where it is not simply the row."""
    ids = people.study.adjusted.cluster if people.study.protocol.cluster != "person" else people.person
    return ids[known] if len(np.unique(ids[known])) < int(known.sum()) else None


def set_rows(rows: list[Row]) -> list[Row]:
    """Anderson-Rubin sets as rows of their own: right however weak the offer is."""
    made = []
    for row in rows:
        fit: InstrumentFit | None = row.get("fit")
        if fit is None:
            continue
        shape = shape_of(fit)
        bounded = shape == "interval"
        made.append({
            **{k: v for k, v in row.items() if k not in ("fit", "std_error", "p_value", "value_exposed",
                                                         "value_comparator")},
            "method": "Anderson-Rubin set", "se_kind": "HC1 or CR1, weak-instrument robust",
            "conf_low": fit.ar_low if bounded else None, "conf_high": fit.ar_high if bounded else None,
            "note": None if bounded and np.isfinite(fit.estimate) else f"set: {shape}",
        })  # fmt: skip
    return made


def shape_of(fit: InstrumentFit) -> str:
    """The Anderson-Rubin set in a word."""
    words = {"outside": "outside the two", "whole line": "any effect", "none": "no set"}
    return words.get(fit.ar_kind, "interval")


def types(people: People) -> ComplianceTypes:
    """Compliers, always-takers and never-takers."""
    from clinops.stats.compliers import compliance_types

    return compliance_types(
        people.offered.astype(float), people.activated.astype(float),
        cluster=_cluster(people, np.ones(len(people), dtype=bool)), conf_level=LEVEL,
    )  # fmt: skip


def type_rows(found: ComplianceTypes, names: tuple[str, str]) -> list[Row]:
    """Shares as rows of the long schema."""
    counts = {"n_exposed": found.n_offered, "n_comparator": found.n_not, "events_exposed": found.taken_offered,
              "events_comparator": found.taken_not}  # fmt: skip
    return [
        {"analysis": "compliance", "measure": name, "scale": "share", "unit": "percent", "conf_level": LEVEL,
         "estimate": 100 * share[0], "conf_low": 100 * share[1], "conf_high": 100 * share[2],
         "note": found.note or None, **counts}
        for name, share in (("Compliers", found.compliers), ("Always-takers", found.always),
                            ("Never-takers", found.never))
    ]  # fmt: skip


def dropped(people: People) -> list[tuple[str, int, int]]:
    """Of the exposed, who is not spoken for: no match, or outside the scores of the comparator. (what, n, of)."""
    adjusted, exposed = people.study.adjusted, people.offered
    n = int(exposed.sum())
    found = [("Without a match or a weight", int((exposed & ~(adjusted.weights > 0)).sum()), n)]
    if adjusted.propensity is not None:
        score = adjusted.propensity.score
        low, high = float(score[~exposed].min()), float(score[~exposed].max())
        outside = exposed & ((score < low) | (score > high))
        found.append(("Propensity score outside the comparator's range", int(outside.sum()), n))
    return found
