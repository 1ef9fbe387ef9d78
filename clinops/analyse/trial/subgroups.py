"""For whom: take-up and effects by subgroup, each difference between subgroups tested once."""

from __future__ import annotations

import numpy as np

from clinops.analyse.trial.estimates import Row, common, estimand, events, noted
from clinops.analyse.trial.read import TrialData, levels_of
from clinops.stats.linear import LinearFit, joint_test, linear, wald, weighted_mean_sd

SUBGROUP, TAKE_UP = "subgroup", "take-up by subgroup"


def subgroup_rows(data: TrialData) -> list[Row]:
    """The effect of the offer at each level of each subgroup, with one P a subgroup for equal effects."""
    rows: list[Row] = []
    for name, label in zip(data.plan.subgroups, data.plan.subgroup_labels, strict=True):
        levels = levels_of(data.frame, name)
        for j in range(len(data.plan.outcomes)):
            rows += _effects(data, j, label, levels)
    return rows


def _effects(data: TrialData, j: int, name: str, levels: list[tuple[str, np.ndarray]]) -> list[Row]:
    """One regression: offer x level, the levels themselves, strata and covariates as in the main analysis."""
    rows, _, _ = data.fitted(j)
    member = np.column_stack([inside for _, inside in levels])
    rows = rows & member.any(axis=1)
    base = common(data, j) | {
        "analysis": SUBGROUP, "subgroup": name, "method": "least squares, offer x level", "scale": "mean difference",
        "estimand": estimand(data.plan),
    }  # fmt: skip
    found: list[Row] = []
    if not rows.any():
        return found
    inside = member[rows].astype(float)
    design = np.column_stack([inside * data.offer[rows, None], inside[:, 1:], data.covariates[rows]])
    w = data.used[rows, j]
    fit = linear(
        design, data.outcomes[rows, j], weights=w, strata=data.labels_of(rows, data.strata),
        cluster=data.labels_of(rows, data.cluster), interval=data.plan.interval,
    )  # fmt: skip
    interaction = _interaction(fit, len(levels))
    for k, (level, _) in enumerate(levels):
        here = rows & member[:, k]
        row = base | {"level": level, "p_interaction": interaction}
        row |= events(data.outcomes[:, j], here & data.offered, here & ~data.offered)
        for arm, who in (("exposed", data.offered), ("comparator", ~data.offered)):
            used = here & who
            row[f"n_{arm}"] = int(used.sum())
            row[f"value_{arm}"] = weighted_mean_sd(data.outcomes[used, j], data.used[used, j])[0]
        numbers = {
            "estimate": fit.coef[k], "std_error": fit.std_error[k], "se_kind": fit.se_kind, "conf_low": fit.conf_low[k],
            "conf_high": fit.conf_high[k], "p_value": fit.p_value[k],
        }  # fmt: skip
        found.append(noted(row | numbers, "" if np.isfinite(fit.coef[k]) else fit.note or "An arm is empty here."))
    return found


def _interaction(fit: LinearFit, levels: int) -> float:
    """P that the effect is the same at all levels that have one."""
    known = [k for k in range(levels) if np.isfinite(fit.std_error[k])]
    if len(known) < 2:
        return float("nan")
    turn = np.zeros((len(known) - 1, len(fit.coef)))
    for at, k in enumerate(known[1:]):
        turn[at, k], turn[at, known[0]] = 1.0, -1.0
    coef, cov = np.nan_to_num(fit.coef), np.nan_to_num(fit.cov)
    return wald(turn @ coef, turn @ cov @ turn.T, fit.df).p_value


def interaction_rows(subgroups: list[Row]) -> list[Row]:
    """One long row a subgroup and outcome: the P of equal effects."""
    rows, seen = [], set()
    for row in subgroups:
        key = (row["category"], row["subgroup"])
        if key not in seen:
            seen.add(key)
            kept = ("exposed", "comparator", "measure", "role", "category", "subgroup", "period", "adjustment")
            rows.append({k: row[k] for k in kept} | {
                "analysis": "joint test", "method": "offer x level: equal effects (Wald F)", "scale": "P",
                "estimate": row["p_interaction"], "p_value": row["p_interaction"],
                "note": None if np.isfinite(row["p_interaction"]) else "fewer than two levels with an effect",
            })  # fmt: skip
    return rows


def take_up_rows(data: TrialData) -> list[Row]:
    """Who took part among the offered, by level of each subgroup; the difference of shares from the first level."""
    if data.taken is None:
        return []
    rows = []
    offered = data.offered & np.isfinite(data.taken)
    groups = [("Everybody", "", "", offered)]
    for name, label in zip(data.plan.subgroups, data.plan.subgroup_labels, strict=True):
        groups += [(name, label, level, offered & inside) for level, inside in levels_of(data.frame, name)]
    for name, label, level, who in groups:
        n, took = int(who.sum()), int(data.taken[who].sum())
        rows.append({
            "analysis": TAKE_UP, "exposed": data.plan.offered, "measure": "Took part",
            "subgroup": label or None, "level": level or None, "n_exposed": n, "events_exposed": took,
            "scale": "share", "method": "count", "estimate": took / n if n else np.nan,
            "note": None if n else "nobody here", "p_value": np.nan if not level else _equal(data, offered, name),
        })  # fmt: skip
    return rows


def _equal(data: TrialData, offered: np.ndarray, name: str) -> float:
    """P that the share who took part is the same at all levels of a subgroup."""
    assert data.taken is not None
    member = np.column_stack([inside for _, inside in levels_of(data.frame, name)])
    rows = offered & member.any(axis=1)
    if member.shape[1] < 2 or not rows.any() or np.ptp(data.taken[rows]) == 0:
        return float("nan")
    fit = linear(member[rows][:, 1:].astype(float), data.taken[rows], cluster=data.labels_of(rows, data.cluster))
    return joint_test(fit).p_value
