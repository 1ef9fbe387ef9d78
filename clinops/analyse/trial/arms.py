"""Who is in the arms: how many, known for how many, and alike before the offer?"""

from __future__ import annotations

import numpy as np

from clinops.analyse.trial.estimates import Row, adjustment, events, fitted, noted
from clinops.analyse.trial.read import TrialData
from clinops.stats.balance import smd_of_moments
from clinops.stats.glm import Floats
from clinops.stats.linear import JointTest, joint_test, linear, weighted_mean_sd

BASELINE, JOINT, KNOWN = "baseline", "joint test", "outcome known"


def flow_rows(data: TrialData) -> list[Row]:
    """Persons by arm: assigned, with the first outcome, with all covariates."""
    plan = data.plan
    rows: list[Row] = []
    for arm, who in ((plan.offered, data.offered), (plan.not_offered, ~data.offered)):
        steps = [
            ("Assigned" if plan.assignment == "random" else "In the group", who),
            (f"{plan.labels[0]} known", who & (data.weights[:, 0] > 0)),
        ]
        if plan.covariates:
            steps.append(("Covariates known", who & (data.used[:, 0] > 0)))
        before: int | None = None
        for rule, left in steps:
            persons = int(left.sum())
            gone: int | None = None if before is None else before - persons
            rows.append({"arm": arm, "rule": rule, "persons": persons, "excluded_persons": gone})
            before = persons
    return rows


def known_rows(data: TrialData) -> list[Row]:
    """For each outcome, how many of an arm are known, and whether the arms differ in it."""
    plan, rows = data.plan, []
    for j, name in enumerate(plan.outcomes):
        known = (data.weights[:, j] > 0).astype(float)
        row: Row = {
            "analysis": KNOWN, "exposed": plan.offered, "comparator": plan.not_offered, "measure": plan.labels[j],
            "category": name, "period": plan.period or None, "n_exposed": int(data.offered.sum()),
            "n_comparator": int((~data.offered).sum()), "events_exposed": int(known[data.offered].sum()),
            "events_comparator": int(known[~data.offered].sum()), "scale": "difference of shares",
            "method": "least squares", "unit": "share", "conf_level": 0.95,
            "adjustment": adjustment(plan, covariates=False),
            "value_exposed": float(known[data.offered].mean()), "value_comparator": float(known[~data.offered].mean()),
        }  # fmt: skip
        fit = linear(data.offer[:, None], known, cluster=data.cluster, interval=plan.interval)
        rows.append(row | fitted(fit))
    return rows


def _values(data: TrialData) -> tuple[Floats, Floats]:
    """(n, b) baseline variables and their weights."""
    values = np.column_stack([data.column(name) for name in data.plan.baseline])
    return values, data.weights_of(data.plan.baseline_weights, values)


def baseline_rows(data: TrialData) -> list[Row]:
    """Each baseline variable by arm, the difference, its P and the standardised difference."""
    plan = data.plan
    rows: list[Row] = []
    if not plan.baseline:
        return rows
    values, weights = _values(data)
    for b, name in enumerate(plan.baseline):
        y, w = values[:, b], weights[:, b]
        used = w > 0
        row: Row = {
            "analysis": BASELINE, "exposed": plan.offered, "comparator": plan.not_offered,
            "measure": plan.baseline_labels[b], "category": name, "level": plan.baseline_groups[b],
            "scale": "mean difference", "method": "least squares", "conf_level": 0.95,
            "adjustment": adjustment(plan, plan.baseline_weights[b], covariates=False),
            "n_exposed": int((used & data.offered).sum()), "n_comparator": int((used & ~data.offered).sum()),
        }  # fmt: skip
        for arm, who in (("exposed", used & data.offered), ("comparator", used & ~data.offered), ("all", used)):
            row[f"value_{arm}"], row[f"sd_{arm}"] = weighted_mean_sd(y[who], w[who])
        row |= events(y, used & data.offered, used & ~data.offered)
        row["binary"] = bool(np.isin(y[used], (0, 1)).all())
        if not row["n_exposed"] or not row["n_comparator"]:
            rows.append(noted(row | {"estimate": np.nan, "smd": np.nan}, "An arm has no value."))
            continue
        cluster = data.labels_of(used, data.cluster)
        fit = linear(data.offer[used, None], y[used], weights=w[used], cluster=cluster, interval=plan.interval)
        spread = row["sd_exposed"] ** 2, row["sd_comparator"] ** 2
        row["smd"] = float(smd_of_moments(row["value_exposed"], row["value_comparator"], *spread)[0])
        rows.append(row | fitted(fit))
    return rows


def joint_rows(data: TrialData) -> list[Row]:
    """For each group of baseline variables, whether they together tell who was offered."""
    plan = data.plan
    rows: list[Row] = []
    if not plan.baseline:
        return rows
    values, weights = _values(data)
    for group in dict.fromkeys(plan.baseline_groups):
        places = [b for b, one in enumerate(plan.baseline_groups) if one == group]
        used = np.asarray((weights[:, places] > 0).all(axis=1))
        found = JointTest(np.nan, 0, np.nan, np.nan, "An arm has no complete row.")
        if 0 < (used & data.offered).sum() < used.sum():
            cluster = data.labels_of(used, data.cluster)
            found = joint_test(linear(values[used][:, places], data.offer[used], cluster=cluster))
        rows.append(noted({
            "analysis": JOINT, "exposed": plan.offered, "comparator": plan.not_offered, "measure": group,
            "method": f"Wald F of {len(places)} baseline variables (robust)", "scale": "F",
            "estimate": found.statistic, "p_value": found.p_value, "se_kind": "robust HC1",
            "n_exposed": int((used & data.offered).sum()), "n_comparator": int((used & ~data.offered).sum()),
            "df": found.df_numerator,
        }, found.note))  # fmt: skip
    return rows
