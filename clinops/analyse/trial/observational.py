"""What an observational analysis of the same people would have said, beside the randomised answer.

Everybody who was offered is split by whether they took part, as an evaluation of a voluntary programme without
controls would do it; then the effect of taking part from the random offer stands beside it.
"""

from __future__ import annotations

import numpy as np

from clinops.analyse.trial.estimates import Row, common, events, fit_take_up, fitted, noted
from clinops.analyse.trial.read import TrialData, design_of
from clinops.stats.glm import Floats
from clinops.stats.linear import inference, linear, weighted_mean_sd

OBSERVATIONAL = "observational"
CRUDE, REGRESSION, MATCHING, WEIGHTING = "crude", "regression", "matching", "weighting"
ADJUSTED = (REGRESSION, MATCHING, WEIGHTING)
DIFFERENCE = "crude minus randomised"
TAKERS, OTHERS = "Took part", "Offered, did not take part"


def observational_rows(data: TrialData) -> list[Row]:
    """Participants against non-participants among the offered, under each way of comparing; none without take-up."""
    if data.taken is None:
        return []
    rows: list[Row] = []
    for j in range(len(data.plan.outcomes)):
        rows += _outcome(data, j)
    return rows


def _outcome(data: TrialData, j: int) -> list[Row]:
    plan, taken = data.plan, data.taken
    assert taken is not None
    rows = data.offered & (data.weights[:, j] > 0) & np.isfinite(taken)
    t, y, w = taken[rows], data.outcomes[rows, j], data.weights[rows, j]
    weighted = f"weighted by {plan.weights[j]}" if plan.weights[j] else ""
    base = common(data, j) | {
        "analysis": OBSERVATIONAL, "exposed": TAKERS, "comparator": OTHERS, "scale": "mean difference",
        "estimand": "difference between participants and non-participants; they chose", "n_exposed": int(t.sum()),
        "n_comparator": int((1 - t).sum()),
    } | events(y, t == 1, t == 0)  # fmt: skip
    for name, arm in (("exposed", t == 1), ("comparator", t == 0)):
        base[f"value_{name}"], base[f"sd_{name}"] = weighted_mean_sd(y[arm], w[arm])
    base["value_all"] = weighted_mean_sd(y, w)[0]
    if min(base["n_exposed"], base["n_comparator"]) < 1:
        why = "Everybody or nobody of the offered took part."
        return [base | noted({"estimate": np.nan}, why) | {"method": CRUDE, "adjustment": weighted or "none"}]
    cluster = data.labels_of(rows, data.cluster)
    crude = linear(t[:, None], y, weights=w, cluster=cluster, interval=plan.interval)
    found = [base | fitted(crude) | {"method": CRUDE, "adjustment": weighted or "none"}]
    if plan.compare_on:
        said = ", ".join(filter(None, (f"{len(plan.compare_on)} covariates", weighted)))
        for method, row in _adjusted_for(data, rows, t, y, w).items():
            found.append(base | row | {"method": method, "adjustment": said})
    return [*found, *_against_randomised(data, j, rows, crude.influence[:, 0], float(crude.coef[0]), base)]


def _adjusted_for(data: TrialData, rows: np.ndarray, t: Floats, y: Floats, w: Floats) -> dict[str, Row]:
    """Regression on covariates, matching on the score and weighting to the participants, of those with covariates."""
    X, _ = design_of(data.frame[rows].reset_index(drop=True), data.plan.compare_on, "set aside")
    known = np.asarray(np.isfinite(X).all(axis=1))
    t, y, w, X = t[known], y[known], w[known], X[known]
    sizes: Row = {"n_exposed": int(t.sum()), "n_comparator": int((1 - t).sum())}
    if not min(sizes.values()):
        return {name: noted({"estimate": np.nan}, "No arm left with every covariate.") | sizes for name in ADJUSTED}
    whole = data.labels_of(rows, data.cluster)
    cluster, interval = None if whole is None else whole[known], data.plan.interval
    regression = linear(np.column_stack([t, X]), y, weights=w, cluster=cluster, interval=interval)
    found = {REGRESSION: sizes | fitted(regression)}
    for method, row in _by_score(t, y, w, X, cluster, interval).items():
        found[method] = sizes | row
    lost = int((~known).sum())
    if lost:
        note = f"{lost:,} persons without every covariate are left out of the adjusted comparisons."
        found = {name: row | {"note": " ".join(filter(None, (row["note"], note)))} for name, row in found.items()}
    return found


def _by_score(t: Floats, y: Floats, w: Floats, X: Floats, cluster: np.ndarray | None, interval: str) -> dict[str, Row]:
    from clinops.stats.matching import match
    from clinops.stats.propensity import propensity
    from clinops.stats.weighted_effects import weighted_effect
    from clinops.stats.weighting import balancing_weights

    plain = propensity(X, t)
    # participants may outnumber the others: a comparator then serves several
    sets = match(plain.logit, t, caliper=0.2, replace=True)
    kept = sets.weights > 0
    if kept.any():
        pairs = linear(
            t[kept, None], y[kept], weights=(w * sets.weights)[kept], cluster=sets.set_id[kept], interval=interval
        )
        matching = fitted(pairs) | {"note": " ".join(filter(None, (pairs.note, sets.note))) or None}
        matching |= {"n_exposed": int((t[kept] == 1).sum()), "n_comparator": int((t[kept] == 0).sum())}
    else:
        matching = noted({"estimate": np.nan}, sets.note)
    score = propensity(X, t, weights=w)
    effect = weighted_effect(
        y, t, balancing_weights(score, estimand="att"), propensity=score, estimand="att", cluster=cluster
    )
    weighting = noted(
        {
            "estimate": effect.estimate, "std_error": effect.std_error, "se_kind": effect.se_kind,
            "conf_low": effect.conf_low, "conf_high": effect.conf_high, "p_value": effect.p_value,
        },
        " ".join(filter(None, (effect.note, score.note))),
    )  # fmt: skip
    return {MATCHING: matching, WEIGHTING: weighting}


def _against_randomised(
    data: TrialData, j: int, rows: np.ndarray, crude: Floats, estimate: float, base: Row
) -> list[Row]:
    """How far the crude difference lies from the effect of taking part, both from the same persons, so jointly."""
    fit = fit_take_up(data, j)
    if fit is None or data.plan.assignment != "random" or not np.isfinite(fit.estimate):
        return []
    carried = np.zeros(len(data.offer))
    carried[np.flatnonzero(rows)] += crude
    used = (data.used[:, j] > 0) & np.isfinite(data.taken if data.taken is not None else 0.0)
    carried[np.flatnonzero(used)] -= fit.influence
    if data.cluster is not None:
        carried = np.bincount(data.cluster, weights=carried).astype(float)
    gap = np.array([estimate - fit.estimate])
    error, low, high, p, _ = inference(
        gap, np.array([fit.factor * carried @ carried]), fit.df, data.plan.interval, 0.95
    )
    kept = {k: v for k, v in base.items() if k not in ("value_exposed", "value_comparator")}
    return [kept | {
        "method": DIFFERENCE, "estimate": float(gap[0]), "std_error": float(error[0]), "conf_low": float(low[0]),
        "conf_high": float(high[0]), "p_value": float(p[0]), "se_kind": fit.se_kind, "note": None,
        "estimand": "error of the observational answer",
    }]  # fmt: skip
