"""What the trial could have seen, and whether a few large values make the answer."""

from __future__ import annotations

import numpy as np

from clinops.analyse.trial.estimates import Row, common, counts, estimand, fit_offer, fitted
from clinops.analyse.trial.read import TrialData
from clinops.stats.linear import detectable_effect

DETECTABLE, TRUNCATION = "detectable effect", "truncation"


def detectable_rows(data: TrialData, itt: list[Row], complier: list[Row]) -> list[Row]:
    """The smallest true effect that this trial would have found with 80% power, of the offer and of taking part."""
    rows = []
    for j, row in enumerate(itt):
        df = row["df"] if data.plan.interval == "t" else np.inf
        size = detectable_effect(row["std_error"], df)
        taking = detectable_effect(complier[j]["std_error"], df) if complier else np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            share = float(np.divide(size, abs(row["value_comparator"])))
            in_sd = float(np.divide(size, row["sd_comparator"]))
        kept = common(data, j) | {k: row[k] for k in ("n_exposed", "n_comparator", "value_comparator", "std_error")}
        rows.append(kept | {
            "analysis": DETECTABLE, "method": "80% power, two-sided 5%", "scale": "mean difference",
            "estimand": estimand(data.plan), "estimate": size, "taking": taking, "share": share, "in_sd": in_sd,
            "se_kind": row["se_kind"], "note": None if np.isfinite(size) else "no standard error",
        })  # fmt: skip
    return rows


def truncation_rows(data: TrialData) -> list[Row]:
    """The effect with large values cut at percentiles of both arms together; outcomes of two values are left out."""
    plan = data.plan
    rows: list[Row] = []
    if not plan.truncate_at:
        return rows
    for j in range(len(plan.outcomes)):
        used, y, _ = data.fitted(j)
        if len(np.unique(y)) <= 2:
            continue
        for percentile in (None, *sorted(plan.truncate_at, reverse=True)):
            cut = np.inf if percentile is None else float(np.percentile(y, percentile))
            fit = fit_offer(data, j, np.minimum(data.outcomes[:, j], cut))
            rows.append(common(data, j) | counts(data, used) | fitted(fit) | {
                "analysis": TRUNCATION, "estimand": estimand(plan), "scale": "mean difference",
                "method": "as observed" if percentile is None else f"cut at percentile {percentile:g}",
                "cut": np.nan if percentile is None else cut, "above": int((y > cut).sum()),
                "all": len(y),
            })  # fmt: skip
    return rows
