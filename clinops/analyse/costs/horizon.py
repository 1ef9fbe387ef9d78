"""The primary cost exhibit: what a person cost from index to a fixed horizon, with the deaths beside it.

Cost per member-month flatters death, since the dead leave the denominator. Over a fixed horizon they stay in: their
cost is known, and it is complete. Persons who leave the records early are another matter: what they cost is not
known, and their months are carried by those who were like them and stayed (Bang and Tsiatis 2000).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.models import ANALYSIS as MODELS
from clinops.analyse.costs.models import effect_row
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.define.prices import discount_factor
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.weighted_effects import ArmValues

ANALYSIS = "cost over the horizon"
METHOD = "Bang-Tsiatis, partitioned by month"


def discounted(rows: CostRows, rate: float) -> CostRows:
    """The same rows with what comes after the first year discounted."""
    factors = np.array([discount_factor(month / 12, rate) for month in range(1, rows.horizon + 1)])
    return rows if (factors == 1).all() else rows.scaled(factors)


def cumulative_values(rows: CostRows) -> ArmValues:
    """Mean cumulative cost per person at the end of each month, both arms; K columns."""
    value, influence, note = _censored(rows, rows.by_month)
    return _arm_values(rows, np.cumsum(value, axis=1), np.cumsum(influence, axis=2), note)


def category_values(rows: CostRows) -> ArmValues:
    """Mean cost per person over the horizon by category, then in total; C + 1 columns that add up."""
    made = [_censored(rows, rows.cost[:, :, j]) for j in range(len(rows.categories))]
    value = np.stack([one.sum(axis=1) for one, _, _ in made], axis=1)
    influence = np.stack([each.sum(axis=2) for _, each, _ in made], axis=2)
    return _arm_values(
        rows, np.column_stack([value, value.sum(axis=1)]),
        np.concatenate([influence, influence.sum(axis=2, keepdims=True)], axis=2), made[0][2],
    )  # fmt: skip


def _censored(rows: CostRows, cost: Floats) -> tuple[Floats, Floats, str]:
    """Mean cost of each month (2, K) in both arms, each person's influence on it (2, n, K), and what it lacks."""
    from clinops.stats.censored_costs import censored_cost

    months = rows.horizon
    value, influence = np.full((2, months), np.nan), np.zeros((2, len(rows), months))
    notes = []
    for i, arm in enumerate((True, False)):
        inside = np.flatnonzero(rows.arm(arm) & (rows.time > 0))
        if not len(inside):
            continue
        found = censored_cost(
            rows.time[inside], rows.died[inside], cost[inside], np.arange(months + 1.0), weights=rows.weights[inside]
        )
        value[i] = found.by_interval
        influence[i, inside] = found.influence_by_interval
        notes += [f"{rows.names[i]}: {found.note}"] if found.note else []
    return value, influence, " ".join(notes)


def _arm_values(rows: CostRows, value: Floats, influence: Floats, note: str) -> ArmValues:
    """Arms' values of q outcomes with the uncertainty of an estimated score added, ready to be contrasted."""
    from clinops.stats.weighted_effects import ArmValues

    kind = "robust HC0" if np.ptp(rows.weights) == 0 else "robust HC0, weights taken as known"
    if rows.propensity is not None and rows.balancing is not None:
        # An estimate's derivative by a weight is that row's influence over its weight, whatever the estimator.
        weight = rows.weights
        per_weight = np.where(weight > 0, rows.balancing.slope / np.where(weight > 0, weight, 1.0), 0.0)
        influence = np.stack([
            one + rows.propensity.influence(rows.propensity.design.T @ (per_weight[:, None] * one)) for one in influence
        ])  # fmt: skip
        kind = "M-estimation"
    counted = rows.weights > 0
    return ArmValues(
        value=value, influence=influence, counted=counted, treated=rows.exposed,
        varies=np.abs(influence).max(axis=1, initial=0.0) > 0, estimand=rows.estimand, se_kind=kind, note=note,
    )  # fmt: skip


CENSORED = {
    "partitioned": "Bang-Tsiatis, partitioned", "simple": "Bang-Tsiatis, complete cases", "lin": "Lin 1997, intervals",
}  # fmt: skip


def censored_rows(rows: CostRows) -> list[Row]:
    """The effect on the mean by each estimator for persons who left early, beside the models of observed cost."""
    from clinops.stats.weighted_effects import contrast

    made = []
    for method, name in CENSORED.items():
        arms = _total_values(rows, method)
        for scale, unit in (("difference", f"{rows.currency} per person"), ("ratio", "ratio")):
            effect = contrast(arms, scale, cluster=rows.cluster, conf_level=LEVEL)[0]
            made.append(effect_row(
                rows, effect, scale=f"mean {scale}", unit=unit, analysis=MODELS, measure="Total cost",
                category="total", method=name, level="for persons who leave early",
            ))  # fmt: skip
    return made


def _total_values(rows: CostRows, method: str) -> ArmValues:
    """Mean total cost of both arms by one estimator for censored costs."""
    from clinops.stats.censored_costs import censored_cost

    value, influence, notes = np.full((2, 1), np.nan), np.zeros((2, len(rows), 1)), []
    cuts = np.arange(rows.horizon + 1.0)
    for i, arm in enumerate((True, False)):
        inside = np.flatnonzero(rows.arm(arm) & (rows.time > 0))
        if len(inside):
            found = censored_cost(
                rows.time[inside], rows.died[inside], rows.by_month[inside], cuts, method=method,
                weights=rows.weights[inside],
            )  # fmt: skip
            value[i], influence[i, inside, 0] = found.value, found.influence
            notes += [f"{rows.names[i]}: {found.note}"] if found.note else []
    return _arm_values(rows, value, influence, " ".join(notes))


def horizon_rows(rows: CostRows) -> list[Row]:
    """The effect on cost per person over the horizon, in total and by category, as difference and ratio."""
    from clinops.stats.weighted_effects import contrast

    arms = category_values(rows)
    made = []
    for scale, unit in (("difference", f"{rows.currency} per person"), ("ratio", "ratio")):
        effects = contrast(arms, scale, cluster=rows.cluster, conf_level=LEVEL)
        for category, effect in zip((*rows.categories, "total"), effects, strict=True):
            made.append(effect_row(
                rows, effect, scale=f"mean {scale}", unit=unit, analysis=ANALYSIS, category=category,
                measure=f"{category.capitalize()} cost", method=METHOD,
                role="primary" if category == "total" and scale == "difference" else "secondary",
            ))  # fmt: skip
    return made


def death_rows(rows: CostRows) -> list[Row]:
    """How many died within the horizon, beside what they cost: the share of each arm, and the difference."""
    from clinops.stats.weighted_effects import contrast

    effect = contrast(rows.values(rows.died.astype(float)), "difference", cluster=rows.cluster, conf_level=LEVEL)[0]
    counts = {f"events_{name}": int(rows.died[rows.arm(arm)].sum())
              for arm, name in ((True, "exposed"), (False, "comparator"))}  # fmt: skip
    return [
        effect_row(rows, effect, scale="risk difference", unit="share of persons", analysis="deaths", measure="Death",
                   method="as observed", **counts)
    ]  # fmt: skip


def month_rows(rows: CostRows) -> list[Row]:
    """The difference in cumulative cost at the end of each month."""
    from clinops.stats.weighted_effects import contrast

    effects = contrast(cumulative_values(rows), "difference", cluster=rows.cluster, conf_level=LEVEL)
    return [
        effect_row(rows, effect, scale="mean difference", unit=f"{rows.currency} per person", category="total",
                   analysis="cumulative cost", measure="Total cost", method=METHOD, period=f"months 1 to {month}")
        for month, effect in enumerate(effects, 1)
    ]  # fmt: skip


def cumulative(rows: CostRows) -> Result:
    """Mean cumulative cost by month in both arms, with deaths and those still observed."""
    import pandas as pd

    from clinops.stats.glm import clustered_meat
    from clinops.stats.normal import z_value
    from clinops.stats.weighted_effects import contrast

    arms = cumulative_values(rows)
    gap = contrast(arms, "difference", cluster=rows.cluster, conf_level=LEVEL)
    parts = []
    for i, arm in enumerate((True, False)):
        inside = rows.arm(arm)
        error = np.sqrt(np.diag(clustered_meat(arms.influence[i], rows.cluster)[0]))
        month = np.arange(rows.horizon + 1)
        dead = [rows.died & (rows.time <= m + 1e-9) for m in month]
        seen = np.array([int((inside & ~dead[m] & (rows.time >= m - 1e-9)).sum()) for m in month])
        died = np.array([int((inside & dead[m]).sum()) for m in month])
        cost = np.concatenate([[0.0], arms.value[i]])
        spread = np.concatenate([[0.0], z_value(LEVEL) * error])
        parts.append(pd.DataFrame({
            "arm": rows.names[i], "month": month, "cost": cost, "low": cost - spread, "high": cost + spread,
            "n_observed": seen, "deaths": died, "n": int(inside.sum()),
        }))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    counts = ("n_exposed", "n_comparator")
    frame["n_exposed"], frame["n_comparator"] = (int(rows.arm(arm).sum()) for arm in (True, False))
    for name in ("estimate", "conf_low", "conf_high"):
        values = [0.0, *(getattr(effect, name) for effect in gap)]
        frame[f"gap_{name}"] = [*values, *[np.nan] * len(values)]  # beside the exposed, whose rows come first
    columns = (
        Column("month", "Month from index", "number0"),
        Column("cost", "Cumulative cost per person (95% CI)", "money", rows.currency, low="low", high="high",
               of="n_observed"),
        Column("n_observed", "Alive and observed", "count", "n"),
        Column("deaths", "Died", "percent", "n/all (%)", denominator="n"),
        Column("gap_estimate", f"{rows.names[0]} minus {rows.names[1]} (95% CI)", "money", rows.currency,
               low="gap_conf_low", high="gap_conf_high", of=counts, missing="–"),
    )  # fmt: skip
    last = gap[-1]
    size = words.interval(last.estimate, last.conf_low, last.conf_high, f"{rows.currency} per person")
    said = f"By month {rows.horizon}, {rows.names[0]} minus {rows.names[1]}: {size}; {_deaths(frame, rows)}."
    drawn = frame.drop(columns=[*counts, *(name for name in map(str, frame) if name.startswith("gap_"))])
    figure = Figure("cumulative_cost", drawn, {"currency": rows.currency, "adjustment": rows.adjustment},
                    counts=("n_observed", "deaths"),
                    of=dict.fromkeys(("cost", "low", "high"), ("n_observed",)))  # fmt: skip
    return Result(
        "cumulative_cost", f"Cumulative cost per person to month {rows.horizon}, with deaths", frame, columns,
        (f"{METHOD}, {rows.adjustment}. The dead stay in the mean: they cost nothing more. Months of persons who left "
         "the records are carried by those who stayed; leaving is taken to say nothing about cost, within an arm and "
         "its weights.",),
        said, figure=figure, alt=said, group_by="arm",
    )  # fmt: skip


def _deaths(frame: pd.DataFrame, rows: CostRows) -> str:
    last = frame[frame["month"] == rows.horizon]
    parts = [f"{row['deaths']} of {row['n']:,} died among {row['arm']}" for _, row in last.iterrows()]
    return "; ".join(parts)


def category_table(made: list[Row], rows: CostRows) -> Result:
    """The effect on cost by category, adding up to the total."""
    import pandas as pd

    mine = [row for row in made if row["analysis"] == ANALYSIS]
    frame = _paired(pd.DataFrame(mine))
    money, counts = rows.currency, ("n_exposed", "n_comparator")
    columns = (
        Column("measure", "Category"), Column("n_exposed", "Persons", "count", "n", rows.names[0]),
        Column("value_exposed", "Mean per person", "money", money, rows.names[0], of="n_exposed"),
        Column("n_comparator", "Persons", "count", "n", rows.names[1]),
        Column("value_comparator", "Mean per person", "money", money, rows.names[1], of="n_comparator"),
        Column("difference", "Difference per person (95% CI)", "money", money, low="difference_low",
               high="difference_high", of=counts),
        Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=counts),
    )  # fmt: skip
    total = frame.iloc[-1]
    said = (
        f"In total {words.interval(total['difference'], total['difference_low'], total['difference_high'], money)} per "
        "person. The categories add up to it."
    )
    return Result(
        "cost_effects", f"Effect on cost per person over {rows.horizon} months, by category", frame, columns,
        (f"{METHOD}; {rows.adjustment}; {rows.estimand}. Standard errors: {_kinds(mine)}.",), said,
    )  # fmt: skip


def _kinds(made: list[Row]) -> str:
    return ", ".join(sorted({str(row["se_kind"]) for row in made if row.get("se_kind")}))


def _paired(frame: pd.DataFrame) -> pd.DataFrame:
    """One line a category: the difference with the ratio beside it."""
    keep = ["measure", "category", "n_exposed", "n_comparator", "value_exposed", "value_comparator"]
    ends = {"estimate": "", "conf_low": "_low", "conf_high": "_high"}
    gap, part = (frame[frame["scale"] == f"mean {scale}"].reset_index(drop=True) for scale in ("difference", "ratio"))
    one = gap.rename(columns={name: f"difference{end}" for name, end in ends.items()})
    other = part.rename(columns={name: f"ratio{end}" for name, end in ends.items()})
    pairs = [f"{scale}{end}" for scale in ("difference", "ratio") for end in ends.values()]
    whole: pd.DataFrame = one[keep].join(one[pairs[:3]]).join(other[pairs[3:]])
    return whole


def crude(rows: CostRows) -> CostRows:
    """The same rows with everybody weighted 1: what the arms cost, whatever made them differ."""
    return replace(rows, weights=np.ones(len(rows)), balancing=None, propensity=None, adjustment="crude",
                   estimand="difference between the arms as they are")  # fmt: skip
