"""Every estimate of a study, as rows of the one long schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.effects import MAIN, Row, effects
from clinops.define.adjustment import Adjustment
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol, Subgroup
from clinops.define.windows import Window
from clinops.errors import DataError

CRUDE = Adjustment("none")
Months = Callable[[Dataset, Measure], Floats]


def main_rows(data: Dataset, protocol: Protocol, adjusted: Adjusted, months: Months) -> list[Row]:
    """Each outcome and negative control, crude and adjusted, on every scale."""
    crude = adjust(data, protocol.covariates, CRUDE, cluster=protocol.cluster)
    both = (crude, adjusted) if adjusted.adjustment.method != "none" else (crude,)
    rows: list[Row] = []
    for analysis, measures in (("main", protocol.outcomes), ("negative control", protocol.negative_controls)):
        for measure in measures:
            if data.has(measure):
                seen = _within(measure, protocol.follow_up.window)
                for one in both:
                    rows += effects(data, seen, one, months=_months(data, seen, months), analysis=analysis)
    return rows


def _within(measure: Measure, follow_up: Window) -> Measure:
    """The measure over the days that are really watched: outcomes count within the follow-up only."""
    from clinops.build.outcomes import overlap

    return replace(measure, window=overlap(measure.window, follow_up) or measure.window)


def _primary(data: Dataset, protocol: Protocol) -> Measure | None:
    """The primary outcome over the days that are watched; None where there is none or it could not be made."""
    primary = protocol.primary
    return None if primary is None or not data.has(primary) else _within(primary, protocol.follow_up.window)


def ladder_rows(data: Dataset, protocol: Protocol, adjusted: Adjusted, months: Months) -> list[Row]:
    """The primary outcome from the most naive comparison to the main one: each rung takes one bias away."""
    primary = _primary(data, protocol)
    if primary is None:
        return []
    rungs = [_before_after(data, protocol, primary)]
    for adjustment in [a for a in (CRUDE, *_alternatives(protocol)) if a.label != adjusted.label]:
        rungs.append(_one(data, protocol, primary, adjustment, months, analysis="ladder"))
    main = effects(data, primary, adjusted, months=_months(data, primary, months), analysis="ladder")
    rungs.append([row | {"level": "main"} for row in main])
    return [row for rung in rungs for row in rung if row["scale"] == MAIN[primary.measure]]


def subgroup_rows(data: Dataset, protocol: Protocol, months: Months) -> list[Row]:
    """The primary outcome within each subgroup, weights estimated anew within it."""
    primary = _primary(data, protocol)
    if primary is None:
        return []
    rows: list[Row] = []
    for subgroup in protocol.subgroups:
        for level, keep in levels(data, subgroup):
            part = data.where(keep)
            said = {"analysis": "subgroup", "subgroup": subgroup.measure.name, "level": level}
            rows += _one(part, protocol, primary, protocol.adjust, months, **said)
    return rows


def interactions(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """P of no difference between the levels of a subgroup, by (subgroup, scale); Cochran's Q over disjoint levels.

    Ratios are compared on the log scale, on which their standard error is stated.
    """
    from scipy.stats import chi2

    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        estimate, error = row.get("estimate"), row.get("std_error")
        pairs = groups.setdefault((row["subgroup"], row["scale"]), [])
        if estimate is None or not error or not np.isfinite([estimate, error]).all():
            continue
        pairs.append((float(np.log(estimate)) if row["scale"].endswith("ratio") else float(estimate), float(error)))
    return {key: _heterogeneity(pairs, chi2) for key, pairs in groups.items()}


def _heterogeneity(pairs: list[tuple[float, float]], chi2: Any) -> float:
    if len(pairs) < 2:
        return float("nan")
    estimate, error = np.array(pairs).T
    weight = error**-2.0
    mean = float(weight @ estimate / weight.sum())
    return float(chi2.sf(weight @ (estimate - mean) ** 2, len(pairs) - 1))


def sensitivity_rows(
    data: Dataset, protocol: Protocol, months: Months, reread: Callable[[Window], Dataset], ladder: Iterable[Row] = ()
) -> list[Row]:
    """The primary outcome under other windows and other adjustments.

    `ladder` holds rows of the same data (see `ladder_rows`): an adjustment that is among them is not made twice.
    """
    primary = _primary(data, protocol)
    if primary is None:
        return []
    rows: list[Row] = []
    made = {row["adjustment"]: row for row in ladder}
    for adjustment in protocol.sensitivity.adjustments or _alternatives(protocol):
        said = {"analysis": "sensitivity", "level": "adjustment"}
        if adjustment.label in made:
            rows.append(made[adjustment.label] | said)
        else:
            rows += _one(data, protocol, primary, adjustment, months, **said)
    for window in protocol.sensitivity.windows or _half(protocol):
        rows += _other_window(protocol, primary, window, months, reread)
    keep = MAIN[primary.measure]
    return [row for row in rows if row["scale"] == keep]


def _other_window(
    protocol: Protocol, primary: Measure, window: Window, months: Months, reread: Callable[[Window], Dataset]
) -> list[Row]:
    """The primary outcome over another follow-up window, cut to it where the outcome has a window of its own."""
    from clinops.build.outcomes import overlap

    own = primary.window if primary.window != protocol.follow_up.window else None
    within = overlap(own, window)
    moved, said = replace(primary, window=within or window), {"analysis": "sensitivity", "level": "window"}
    again = reread(window)
    if within is None or not again.has(moved):
        return [said | _not_made(again, moved, protocol.adjust, f"The outcome has no day in {window}.")]
    return _one(again, protocol, moved, protocol.adjust, months, **said)


def levels(data: Dataset, subgroup: Subgroup) -> list[tuple[str, np.ndarray]]:
    """The levels of a subgroup with the rows that belong to each; missing values belong to none."""
    values = data.baseline[subgroup.measure.id]
    if subgroup.measure.categorical:
        return [(str(v), (values == v).to_numpy()) for v in sorted(values.dropna().unique())]
    number = values.to_numpy(dtype=float)
    edges = [-np.inf, *subgroup.breaks, np.inf]
    return [(_span(low, high), (number >= low) & (number < high)) for low, high in pairwise(edges)]


def _span(low: float, high: float) -> str:
    if np.isneginf(low):
        return f"below {high:g}"
    return f"{low:g} or above" if np.isposinf(high) else f"{low:g} to below {high:g}"


def _one(
    data: Dataset, protocol: Protocol, measure: Measure, adjustment: Adjustment, months: Months, **said: Any
) -> list[Row]:
    """Effects under another adjustment or on other rows; what cannot be estimated is a row that says why."""
    try:
        adjusted = adjust(data, protocol.covariates, adjustment, cluster=protocol.cluster, seed=protocol.seed)
    except DataError as problem:
        return [said | _not_made(data, measure, adjustment, str(problem))]
    return effects(data, measure, adjusted, months=_months(data, measure, months), **said)


def _not_made(data: Dataset, measure: Measure, adjustment: Adjustment, why: str) -> Row:
    """The row of an estimate that could not be made."""
    return {
        "measure": measure.name, "role": measure.role, "category": measure.category, "period": str(measure.window),
        "method": adjustment.method, "adjustment": adjustment.label, "scale": MAIN[measure.measure],
        "n_exposed": int(data.exposed.sum()), "n_comparator": int((~data.exposed).sum()), "estimate": None,
        "note": why,
    }  # fmt: skip


def _months(data: Dataset, measure: Measure, months: Months) -> Floats | None:
    return months(data, measure) if measure.measure == "cost" else None


def _alternatives(protocol: Protocol) -> tuple[Adjustment, ...]:
    """Other defensible ways to make the arms comparable, the main one left out."""
    if protocol.assignment == "random":
        return ()
    grid = (
        Adjustment("match", "att", caliper=0.05), Adjustment("match", "att", caliper=0.2),
        Adjustment("weight", "overlap"), Adjustment("weight", "att"), Adjustment("weight", "att", penalty="l2"),
        Adjustment("weight", "att", truncate=0.99), Adjustment("weight", "att", using="entropy"),
        Adjustment("standardise", "att"), Adjustment("doubly robust", "att"),
    )  # fmt: skip
    curve = protocol.primary is not None and protocol.primary.measure == "time to"
    return tuple(a for a in grid if a.label != protocol.adjust.label and (a.needs_weights or not curve))


def _half(protocol: Protocol) -> tuple[Window, ...]:
    window = protocol.follow_up.window
    if window.start is None or window.end is None or window.end - window.start < 2:
        return ()
    return (Window(window.start, window.start + (window.end - window.start) // 2),)


def _before_after(data: Dataset, protocol: Protocol, primary: Measure) -> list[Row]:
    """The exposed after the index date against themselves before it: what a single-arm report would claim."""
    before = _same_before(protocol, primary)
    if before is None or before.id not in data.baseline.columns or primary.window is None:
        return []
    arm = data.exposed
    change = data.column(primary)[arm] - data.baseline[before.id].to_numpy(dtype=float)[arm]
    change = change[np.isfinite(change)]
    scale = MAIN[primary.measure]
    row: Row = {
        "analysis": "ladder", "measure": primary.name, "role": primary.role, "category": primary.category,
        "period": f"{before.window} v {primary.window}", "method": "before-after", "level": "naive",
        "adjustment": "exposed only, after v before", "scale": scale, "n_exposed": len(change), "n_comparator": 0,
        "estimand": "no comparison group: not an effect", "conf_level": 0.95,
    }  # fmt: skip
    if len(change) < 2:
        return [row | {"estimate": None, "note": "not estimable: fewer than two persons"}]
    mean, error = float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change)))
    z = 1.959963984540054
    return [row | {"estimate": mean, "std_error": error, "se_kind": "paired", "conf_low": mean - z * error,
                   "conf_high": mean + z * error, "note": "regression to the mean is in it"}]  # fmt: skip


def _same_before(protocol: Protocol, primary: Measure) -> Measure | None:
    """The covariate that measures the primary outcome over as many days before the index date."""
    if primary.measure != "cost" or primary.window is None:
        return None
    for measure in protocol.covariates:
        same = (measure.measure, measure.category, measure.amount) == (
            primary.measure,
            primary.category,
            primary.amount,
        )
        if same and measure.window is not None and measure.window.length == primary.window.length:
            return measure
    return None
