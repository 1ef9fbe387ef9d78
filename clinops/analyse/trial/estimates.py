"""Rows of the long table: means, effects of the offer, effects of taking part, the joint tests of a family."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.analyse.trial.read import TrialData
from clinops.define.trial import TrialPlan
from clinops.stats.family import standardised_average_effect
from clinops.stats.glm import Floats
from clinops.stats.instrument import InstrumentFit, two_stage_least_squares
from clinops.stats.linear import LinearFit, linear, weighted_mean_sd
from clinops.stats.multiplicity import AdjustedP, westfall_young

ITT, COMPLIER, FIRST_STAGE = "intention to treat", "complier", "first stage"
MULTIPLICITY, INDEX, MEAN, SPREAD = "multiplicity", "index", "mean", "spread"
METHODS = {"adjusted": "Westfall-Young step-down", "holm": "Holm", "benjamini_hochberg": "Benjamini-Hochberg"}

Row = dict[str, Any]


def estimand(plan: TrialPlan) -> str:
    """For whom the comparison of the arms holds, in words."""
    if plan.assignment == "random":
        return "effect of the offer in everybody offered (intention to treat)"
    return "difference, not an effect: nobody drew who is in which arm"


def events(values: Floats, exposed: np.ndarray, comparator: np.ndarray) -> Row:
    """How many have the event of an outcome that is 0 or one other value; None of any other outcome.

    A share and its persons give the count away, so disclosure control must know it.
    """
    found = np.unique(values[exposed | comparator])
    if len(found) > 2 or not len(found) or found[0] != 0:
        return {"events_exposed": None, "events_comparator": None}
    return {
        "events_exposed": int((values[exposed] > 0).sum()),
        "events_comparator": int((values[comparator] > 0).sum()),
    }


def common(data: TrialData, j: int) -> Row:
    """What every row of outcome j says."""
    plan = data.plan
    used = data.used[:, j] > 0
    return events(data.outcomes[:, j], used & data.offered, used & ~data.offered) | {
        "exposed": plan.offered, "comparator": plan.not_offered, "measure": plan.labels[j],
        "role": "primary" if j == 0 else "secondary", "category": plan.outcomes[j], "unit": plan.units[j] or None,
        "period": plan.period or None, "adjustment": adjustment(plan, plan.weights[j]), "conf_level": 0.95,
    }  # fmt: skip


def adjustment(plan: TrialPlan, weight: str = "", *, covariates: bool = True) -> str:
    """Strata, covariates and weights in words."""
    parts = []
    if plan.strata and covariates:
        join = " x " if plan.strata_as == "cells" else " + "
        parts.append(f"fixed effects of {join.join(plan.strata)}")
    if plan.covariates and covariates:
        parts.append(f"{len(plan.covariates)} covariates")
    if weight:
        parts.append(f"weighted by {weight}")
    return ", ".join(parts) or "none"


def fitted(fit: LinearFit, k: int = 0) -> Row:
    """The numbers of one coefficient, with a note where there is none."""
    row: Row = {
        "estimate": fit.coef[k], "std_error": fit.std_error[k], "se_kind": fit.se_kind, "conf_low": fit.conf_low[k],
        "conf_high": fit.conf_high[k], "p_value": fit.p_value[k], "df": fit.df,
    }  # fmt: skip
    return noted(row, fit.note)


def noted(row: Row, note: str) -> Row:
    """Add a note; a row without an estimate always has one."""
    if not np.isfinite(row["estimate"]):
        note = note or "not estimable"
        row = dict.fromkeys(("std_error", "conf_low", "conf_high", "p_value"), float("nan")) | row
    return row | {"note": note or None}


def arm_values(data: TrialData, j: int) -> Row:
    """Weighted mean and SD of everybody whose outcome is known, by arm and together."""
    w, y = data.weights[:, j], data.outcomes[:, j]
    row: Row = {}
    for name, arm in (("exposed", data.offered), ("comparator", ~data.offered), ("all", np.ones(len(y), bool))):
        rows = arm & (w > 0)
        row[f"value_{name}"], row[f"sd_{name}"] = weighted_mean_sd(y[rows], w[rows])
        row[f"known_{name}"] = int(rows.sum())
    return row


def fit_offer(data: TrialData, j: int, y: Floats | None = None) -> LinearFit:
    """Regress outcome j (or other values of it) on the offer, strata and covariates."""
    rows, own, w = data.fitted(j)
    target = own if y is None else y[rows]
    design = np.column_stack([data.offer, data.covariates])[rows]
    return linear(
        design, target, weights=w, strata=data.labels_of(rows, data.strata),
        cluster=data.labels_of(rows, data.cluster), interval=data.plan.interval,
    )  # fmt: skip


def fit_take_up(data: TrialData, j: int) -> InstrumentFit | None:
    """The effect of taking part on outcome j, with the offer as instrument; None without a take-up column."""
    if data.taken is None:
        return None
    rows = (data.used[:, j] > 0) & np.isfinite(data.taken)
    return two_stage_least_squares(
        data.outcomes[rows, j], data.taken[rows], data.offer[rows], covariates=data.covariates[rows],
        weights=data.used[rows, j], strata=data.labels_of(rows, data.strata),
        cluster=data.labels_of(rows, data.cluster), interval=data.plan.interval, se=data.plan.complier_se,
    )  # fmt: skip


def counts(data: TrialData, rows: np.ndarray) -> Row:
    """Persons by arm among some rows."""
    return {"n_exposed": int((rows & data.offered).sum()), "n_comparator": int((rows & ~data.offered).sum())}


def itt_rows(data: TrialData) -> list[Row]:
    """The effect of the offer on each outcome, with the means of the arms."""
    rows = []
    for j in range(len(data.plan.outcomes)):
        row = common(data, j) | arm_values(data, j) | counts(data, data.used[:, j] > 0)
        rows.append(row | fitted(fit_offer(data, j)) | {
            "analysis": ITT if data.plan.assignment == "random" else "difference", "estimand": estimand(data.plan),
            "method": "weighted least squares" if data.plan.weights[j] else "least squares",
            "scale": "mean difference",
        })  # fmt: skip
    return rows


def mean_rows(itt: list[Row]) -> list[Row]:
    """Means and standard deviations of everybody and of the arms, as rows of their own."""
    rows = []
    for row in itt:
        shared = ("exposed", "comparator", "measure", "role", "category", "unit", "period", "adjustment")
        kept = {k: row[k] for k in (*shared, "events_exposed", "events_comparator")}
        kept |= {"n_exposed": row["known_exposed"], "n_comparator": row["known_comparator"]}
        for analysis, what in ((MEAN, "value"), (SPREAD, "sd")):
            rows.append(noted(kept | {
                "analysis": analysis, "method": "everybody with the outcome",
                "scale": "mean" if what == "value" else "standard deviation", "estimate": row[f"{what}_all"],
                "value_exposed": row[f"{what}_exposed"], "value_comparator": row[f"{what}_comparator"],
            }, ""))  # fmt: skip
    return rows


def complier_rows(data: TrialData) -> list[Row]:
    """The effect of taking part in those who took part because of the offer; the first stage in the same row."""
    if data.taken is None:
        return []
    rows, one_sided = [], bool((data.taken[~data.offered] == 0).all())
    for j in range(len(data.plan.outcomes)):
        fit = fit_take_up(data, j)
        assert fit is not None
        used = (data.used[:, j] > 0) & np.isfinite(data.taken)
        row = common(data, j) | counts(data, used)
        numbers = {
            "estimate": fit.estimate, "std_error": fit.std_error, "se_kind": fit.se_kind, "conf_low": fit.conf_low,
            "conf_high": fit.conf_high, "p_value": fit.p_value,
        }  # fmt: skip
        rows.append(noted(row | numbers, fit.note) | {
            "analysis": COMPLIER, "estimand": "effect of taking part in compliers", "scale": "mean difference",
            "method": "two-stage least squares", "first_stage": fit.first_stage,
            "first_stage_error": fit.first_stage_error, "first_stage_f": fit.first_stage_f,
            "ar_low": fit.ar_low, "ar_high": fit.ar_high, "ar_kind": fit.ar_kind, "one_sided": one_sided,
        })  # fmt: skip
    return rows


def first_stage_rows(complier: list[Row]) -> list[Row]:
    """The first stage and the Anderson-Rubin set, as rows of their own."""
    rows = []
    for row in complier:
        kept = {k: v for k, v in row.items() if k not in ("std_error", "conf_low", "conf_high", "p_value", "note")}
        first = kept | {
            "analysis": FIRST_STAGE,
            "estimand": None,
            "method": "least squares",
            "unit": "share",
            "scale": "difference of shares",
            "estimate": row["first_stage"],
            "std_error": row["first_stage_error"],
        }
        strength = kept | {
            "analysis": FIRST_STAGE, "estimand": None, "method": "effective F", "unit": None, "scale": "F",
            "se_kind": None, "estimate": row["first_stage_f"],
        }  # fmt: skip
        weak = kept | {
            "analysis": COMPLIER,
            "method": "Anderson-Rubin",
            "conf_low": row["ar_low"],
            "conf_high": row["ar_high"],
            "se_kind": None,
        }
        rows += [noted(first, ""), noted(strength, ""), noted(weak, f"set: {row['ar_kind']}")]
    return rows


def multiplicity_rows(data: TrialData) -> list[Row]:
    """P values of each family adjusted in three ways; one row an outcome of a family."""
    plan, rows = data.plan, []
    for family in dict.fromkeys(name for name in plan.families if name):
        places = [j for j, name in enumerate(plan.families) if name == family]
        found = _adjusted(data, places)
        for at, j in enumerate(places):
            rows.append(common(data, j) | counts(data, data.used[:, j] > 0) | {
                "subgroup": None, "family": family, "family_size": len(places), "estimate": found.estimate[at],
                "p_unadjusted": found.p_value[at], "adjusted": found.adjusted[at], "holm": found.holm[at],
                "benjamini_hochberg": found.benjamini_hochberg[at], "replicates": found.replicates,
                "note": found.note or None,
            })  # fmt: skip
    return rows


def _adjusted(data: TrialData, places: list[int]) -> AdjustedP:
    plan = data.plan
    return westfall_young(
        data.outcomes[:, places], data.offer, weights=data.weights[:, places], covariates=data.covariates,
        strata=data.strata, cluster=data.cluster, seed=plan.seed, replicates=plan.bootstrap,
    )  # fmt: skip


def adjusted_rows(multiplicity: list[Row], itt: list[Row]) -> list[Row]:
    """One long row a procedure: the estimate as it is, the P value adjusted."""
    by_column = {row["category"]: row for row in itt}
    rows = []
    for row in multiplicity:
        base = by_column[row["category"]]
        for name, method in METHODS.items():
            kept = {k: v for k, v in base.items() if not k.startswith("value_")}
            said = f"family: {row['family']} ({row['family_size']} outcomes)"
            rows.append(kept | {
                "analysis": MULTIPLICITY, "method": method, "p_value": row[name],
                "note": "; ".join(filter(None, (said, row["note"]))),
            })  # fmt: skip
    return rows


def index_rows(data: TrialData) -> list[Row]:
    """The standardised average effect of each index."""
    plan, rows = data.plan, []
    for name in dict.fromkeys(one for one in plan.indices if one):
        places = [j for j, one in enumerate(plan.indices) if one == name]
        found = standardised_average_effect(
            data.outcomes[:, places], data.offer, weights=data.weights[:, places], covariates=data.covariates,
            strata=data.strata, cluster=data.cluster,
        )  # fmt: skip
        any_used = np.asarray((data.used[:, places] > 0).any(axis=1))
        row = counts(data, any_used) | {
            "analysis": INDEX, "exposed": plan.offered, "comparator": plan.not_offered, "measure": name,
            "period": plan.period or None, "estimand": estimand(plan), "scale": "standardised average effect",
            "method": "stacked regression", "unit": "SD of the comparator", "conf_level": 0.95,
            "adjustment": adjustment(plan, plan.weights[places[0]]), "outcomes": len(places),
            "estimate": found.estimate, "std_error": found.std_error, "se_kind": found.se_kind,
            "conf_low": found.conf_low, "conf_high": found.conf_high, "p_value": found.p_value,
        }  # fmt: skip
        rows.append(noted(row, found.note))
    return rows


def long(rows: list[Row]) -> list[Row]:
    """Keep of each row what the long schema has; infinite ends become missing and are noted."""
    from clinops.results.schema import COLUMNS

    kept = []
    for row in rows:
        one = {name: value for name, value in row.items() if name in COLUMNS}
        for end in ("conf_low", "conf_high"):
            if isinstance(one.get(end), float) and np.isinf(one[end]):
                one[end] = None
        kept.append(one)
    return kept
