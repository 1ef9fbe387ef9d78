"""The effect on cost by every estimator a reader may ask for, side by side, and which of them the data support."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    from clinops.stats.weighted_effects import ArmValues, Effect

QUANTILES = (0.5, 0.9, 0.95)
FAMILIES = {
    "Weighted OLS": ("gaussian", "identity link"), "GLM, Poisson quasi-likelihood": ("quasipoisson", "log link"),
    "GLM, Tweedie": ("tweedie", "log link, power 1.5"), "GLM, gamma": ("gamma", "log link"),
}  # fmt: skip
ANALYSIS = "cost model"


def effect_row(rows: CostRows, effect: Effect, *, scale: str, unit: str, **said: Any) -> Row:
    """One row of the results schema from an effect."""
    note = effect.note or ("not estimable" if np.isnan(effect.estimate) else None)
    return person_counts(rows) | {
        "scale": scale, "unit": unit, "value_exposed": effect.value_exposed,
        "value_comparator": effect.value_comparator, "estimate": effect.estimate, "std_error": effect.std_error,
        "se_kind": effect.se_kind.replace("clusters)", f"clusters: {rows.cluster_name})"), "conf_low": effect.conf_low,
        "conf_high": effect.conf_high, "conf_level": effect.conf_level, "p_value": effect.p_value, "note": note,
    } | said  # fmt: skip


def person_counts(rows: CostRows) -> Row:
    """What every row of a cost analysis says: who is in it, over what time, for whom the effect holds.

    Deaths have rows of their own: a cost does not rest on them, and would be hidden wherever they are few.
    """
    row: Row = {
        "exposed": rows.names[0], "comparator": rows.names[1], "period": f"months 1 to {rows.horizon}",
        "estimand": rows.estimand, "adjustment": rows.adjustment, "role": "secondary", "conf_level": LEVEL,
    }  # fmt: skip
    for arm, name in ((True, "exposed"), (False, "comparator")):
        inside = rows.arm(arm)
        row |= {f"n_{name}": int(inside.sum()),
                f"person_days_{name}": float(rows.months[inside].sum() * 365.25 / 12)}  # fmt: skip
    return row


def model_rows(rows: CostRows) -> list[Row]:
    """Difference and ratio of mean cost per person by each model, all on the same rows and weights.

    Costs are those observed, so where many leave early the estimators for censored costs come first; a gamma model of
    the mean needs costs above zero and refuses others, which stands as its answer.
    """
    from clinops.stats.weighted_effects import contrast

    found = []
    for name, said, family, values in _models(rows):
        base = {"analysis": ANALYSIS, "measure": "Total cost", "category": "total", "method": name}
        base |= {"level": said} if said else {}
        if reason := _cannot(family, rows):
            found.append(_absent(rows, base, reason))
            continue
        arms = values()
        for scale, unit in (("difference", f"{rows.currency} per person"), ("ratio", "ratio")):
            effect = contrast(arms, scale, cluster=rows.cluster, conf_level=LEVEL)[0]
            found.append(effect_row(rows, effect, scale=f"mean {scale}", unit=unit, **base))
    return found


def _models(rows: CostRows) -> list[tuple[str, str, str, Callable[[], ArmValues]]]:
    """Name, remark, family and estimator of every model of the mean."""
    made = [("Difference in means", "", "", lambda: rows.values(rows.total))]
    made += [(name, said, family, _standardised(rows, family)) for name, (family, said) in FAMILIES.items()]
    made += [
        (f"Two-part: {link}, gamma", "mean over everybody", "two-part", _two_part(rows, link))
        for link in ("logit", "probit")
    ]
    return [*made, ("Log-linear with smearing", "for comparison only", "log", _smearing(rows))]


def _cannot(family: str, rows: CostRows) -> str:
    """Why a model cannot have these costs; "" where it can. A reason is an answer, and stands in the table."""
    cost = rows.total[rows.weights > 0]
    if family and not (rows.arm(True).any() and rows.arm(False).any()):
        return "Nobody is in one of the arms."
    if family in ("", "gaussian"):
        return ""
    if (cost < 0).any():
        return "Some persons have a negative cost after reversals, which this model cannot have; means can."
    if family in ("gamma", "log") and (cost == 0).any():
        return "Some persons cost nothing, which this model cannot have; a two-part model can."
    return ""


def _absent(rows: CostRows, base: Row, reason: str) -> Row:
    return person_counts(rows) | base | {
        "scale": "mean difference", "unit": f"{rows.currency} per person", "estimate": np.nan, "note": reason,
    }  # fmt: skip


def designs(rows: CostRows) -> tuple[Any, Any]:
    """Columns of every regression for each row as if exposed, and as if not."""
    from clinops.stats.standardise import arm_designs

    return arm_designs(rows.exposed, rows.design)


def _cost(rows: CostRows) -> Floats:
    """(n,) cost; a person without weight gets one that every model can have, since his does not count."""
    return np.where(rows.weights > 0, rows.total, np.maximum(rows.total, 1.0))


def _weights(rows: CostRows) -> dict[str, Any]:
    return {
        "weights": rows.weights if rows.balancing is None else rows.balancing, "propensity": rows.propensity,
        "estimand": rows.target,
    }  # fmt: skip


def _standardised(rows: CostRows, family: str) -> Callable[[], ArmValues]:
    def make() -> ArmValues:
        from clinops.stats.cost_models import glm_values

        return glm_values(_cost(rows), rows.exposed, *designs(rows), family=family, **_weights(rows))

    return make


def _two_part(rows: CostRows, link: str) -> Callable[[], ArmValues]:
    def make() -> ArmValues:
        from clinops.stats.two_part import two_part

        return two_part(_cost(rows), rows.exposed, *designs(rows), link=link, **_weights(rows)).everybody

    return make


def _smearing(rows: CostRows) -> Callable[[], ArmValues]:
    def make() -> ArmValues:
        from clinops.stats.cost_models import log_ols

        return log_ols(_cost(rows), rows.exposed, *designs(rows), **_weights(rows)).arms

    return make


def bootstrap_rows(rows: CostRows, replicates: int, seed: int) -> list[Row]:
    """The difference in means with bootstrap intervals, for who does not trust a normal one; weights as known."""
    from clinops.stats.bootstrap import bootstrap_means

    if not (rows.arm(True).any() and rows.arm(False).any()):
        return []
    plain = rows.values(rows.total)
    whole = within_arms(rows)
    made = []
    known = "weights taken as known"
    for method, name, remark in (
        ("percentile", "percentile bootstrap", known),
        ("bca", "BCa bootstrap", f"{known}; the least reliable with a heavy tail"),
    ):
        found = bootstrap_means(
            rows.total, rows.exposed, rows.weights, seed=seed, replicates=replicates, cluster=rows.cluster,
            strata=rows.exposed if whole else None, method=method, conf_level=LEVEL,
        )  # fmt: skip
        made.append(person_counts(rows) | {
            "analysis": ANALYSIS, "measure": "Total cost", "category": "total",
            "method": f"Difference in means, {name}", "level": remark,
            "scale": "mean difference", "unit": f"{rows.currency} per person",
            "value_exposed": float(plain.value[0, 0]), "value_comparator": float(plain.value[1, 0]),
            "estimate": float(found.estimate[0]), "std_error": float(found.std_error[0]), "se_kind": found.se_kind,
            "conf_low": float(found.conf_low[0]), "conf_high": float(found.conf_high[0]), "note": found.note or None,
        })  # fmt: skip
    return made


def within_arms(rows: CostRows) -> bool:
    """Whether every cluster lies in one arm, as persons do and clinics may, so that arms can be drawn apart."""
    _, code = np.unique(rows.cluster, return_inverse=True)
    share = np.bincount(code, weights=rows.exposed.astype(float)) / np.bincount(code)
    return bool(np.isin(share, (0.0, 1.0)).all())


def quantile_rows(rows: CostRows) -> list[Row]:
    """How far the programme moves the median and the upper tail: what it does to a usual person, and to a dear one."""
    from clinops.stats.quantiles import quantile_values
    from clinops.stats.weighted_effects import contrast

    given = _weights(rows)
    arms = quantile_values(rows.total, rows.exposed, given.pop("weights"), probabilities=QUANTILES, **given)
    effects = contrast(arms, "difference", cluster=rows.cluster, conf_level=LEVEL)
    return [
        effect_row(rows, effect, scale="quantile difference", unit=f"{rows.currency} per person", analysis=ANALYSIS,
                   measure="Total cost", category="total", method=f"Quantile {probability:g}",
                   level="not a difference in means")
        for probability, effect in zip(QUANTILES, effects, strict=True)
    ]  # fmt: skip


def models_table(made: list[Row], rows: CostRows) -> Result:
    """Every model's answer on one axis, the plain difference in means first."""
    import pandas as pd

    frame = pd.DataFrame([row for row in made if row["analysis"] == ANALYSIS and "difference" in row["scale"]])
    ratios = {row["method"]: row for row in made if row["analysis"] == ANALYSIS and row["scale"] == "mean ratio"}
    for name, end in (("estimate", "ratio"), ("conf_low", "ratio_low"), ("conf_high", "ratio_high")):
        frame[end] = [ratios.get(method, {}).get(name, np.nan) for method in frame["method"]]
    said_of = zip(frame["method"], frame["level"], strict=True)
    frame["label"] = [f"{method} ({what})" if isinstance(what, str) else method for method, what in said_of]
    shown = [
        "label", "method", "n_exposed", "n_comparator", "value_exposed", "value_comparator", "estimate", "conf_low",
        "conf_high", "ratio", "ratio_low", "ratio_high", "p_value", "se_kind", "note",
    ]  # fmt: skip
    frame = frame.reindex(columns=shown)
    counts = ("n_exposed", "n_comparator")
    columns = (
        Column("label", "Model"),
        Column("value_exposed", rows.names[0], "money", rows.currency, "Mean or quantile per person", of="n_exposed"),
        Column("value_comparator", rows.names[1], "money", rows.currency, "Mean or quantile per person",
               of="n_comparator"),
        Column("estimate", "Difference (95% CI)", "money", rows.currency, low="conf_low", high="conf_high", of=counts),
        Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=counts, missing="–"),
    )  # fmt: skip
    means = frame[frame["ratio"].notna() & ~frame["method"].str.startswith("Log-linear")]["estimate"].dropna()
    ends = " and ".join(words.number(end, 0) for end in (means.min(), means.max()))
    said = f"Models of the mean put the difference between {ends} {rows.currency} per person."
    drawn = frame.rename(columns={"conf_low": "low", "conf_high": "high"})[
        ["label", "estimate", "low", "high", *counts]
    ]
    options = {"xlabel": f"Difference in {rows.currency} per person (95% CI)", "exposed": rows.names[0],
               "comparator": rows.names[1]}  # fmt: skip
    figure = Figure("forest", drawn, options, counts=counts, of=dict.fromkeys(("estimate", "low", "high"), counts))
    return Result(
        "cost_models", "The same persons under other models of cost", frame, columns,
        (f"Costs as observed up to the end of follow-up; {rows.adjustment}; covariates enter every regression. Means "
         "are over everybody: each person is predicted under both arms. Standard errors: "
         f"{', '.join(sorted(set(frame['se_kind'].dropna())))}.",),
        said, figure=figure, alt=said,
    )  # fmt: skip
