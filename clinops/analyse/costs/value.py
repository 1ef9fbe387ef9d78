"""Cost set against effect: the ratio where it means something, net benefit, the plane and the acceptability curve."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs.models import person_counts
from clinops.analyse.costs.stake import Stake
from clinops.analyse.dataset import Floats
from clinops.analyse.effects import LEVEL, Row
from clinops.results.result import Column, Figure, Result, absent
from clinops.stats.normal import z_value

NO_THRESHOLD = "No amount that a unit of effect may be worth was named (thresholds= of the cost plan)."
UNKNOWN = "The saving or the effect could not be estimated."
NOTHING = "No effect was named to set money against (effect= of the cost plan)."


def _lacks(at: Stake) -> str:
    """Why there is nothing to set against each other; "" where there is."""
    if at.effect is None:
        return NOTHING
    return "" if np.isfinite(at.draws).all() else UNKNOWN


def _differences(at: Stake) -> tuple[float, float, Floats, Floats]:
    """Net cost and effect, exposed minus comparator, with their replicates."""
    cost = at.known_fee - at.gross
    draws = at.draws
    drawn = draws[:, -2] - draws[:, : len(at.saving)].sum(axis=1)
    return cost, float(at.effect or 0.0), drawn, draws[:, -1]


def value_table(at: Stake, effect: str, unit: str) -> Result:
    """Net cost, effect, their ratio, and the net benefit at each threshold."""
    import pandas as pd

    if lack := _lacks(at):
        return nothing("cost_value", "Cost against effect", lack)
    from clinops.stats.cost_effectiveness import icer, quadrant_shares

    cost, gain, drawn, gained = _differences(at)
    found = icer(cost, gain)
    what = "Net cost (care and fee)" if at.fee is not None else "Cost of care (the fee is not known)"
    lines = [
        _line(what, cost, at.error(at.pick(saving=-1.0, fee=1.0)), drawn, "money", at.rows.currency),
        _line(f"Effect: {effect}", gain, at.error(at.pick(effect=1.0)), gained, "number2", unit),
        _ratio_line(at, found.ratio, found.verdict, unit),
        *_benefit_lines(at, unit),
    ]
    frame = pd.DataFrame(lines)
    counts = _counted(frame, at)
    columns = (
        Column("line", "Per person"), Column("unit", "Unit"),
        Column("estimate", "Difference (95% CI)", "money", at.rows.currency, low="low", high="high", of=counts,
               format_by="format", missing="no ratio"),
        Column("probability", "Chance of being above 0", "fraction", "of replicates", of=counts, missing="–"),
        Column("remark", "In words"),
    )  # fmt: skip
    share = quadrant_shares(drawn, gained)[found.quadrant]
    said = (
        f"By the estimates {at.rows.names[0]} {found.verdict} (net cost {words.number(cost, 0)} {at.rows.currency}, "
        f"effect {words.number(gain, 2)} per person), as in {share:.0%} of replicates."
    )
    notes = (
        f"{at.rows.basis}. Intervals: normal, with the joint covariance of cost and effect; chances: of "
        f"{at.plan.replicates} one-step bootstrap replicates of the same persons, drawn within the arms. A gain is "
        f"good whatever the outcome's own direction. {_discounting(at)}",
        "A ratio stands only where more effect costs more, or less costs less; a negative ratio says nothing.",
        *((f"The effect is over {over}, the cost over {at.rows.horizon} months: their ratio sets different times "
           "against each other.",) if (over := at.rows.effect_over) else ()),
    )  # fmt: skip
    return Result("cost_value", f"Cost against effect: {effect}", frame, columns, notes, said)


def _discounting(at: Stake) -> str:
    late = at.rows.horizon > 12
    return (
        f"After the first year {at.plan.discount_rate:.0%} a year is discounted."
        if late
        else "Not discounted: one year."
    )


def _line(name: str, estimate: float, error: float, draws: Floats, form: str, unit: str) -> dict[str, Any]:
    """A difference with its normal interval, which holds better below n = 2,000 than the replicates' percentiles."""
    low, high = estimate - z_value(LEVEL) * error, estimate + z_value(LEVEL) * error
    return {"line": name, "estimate": estimate, "low": low, "high": high, "format": form, "unit": unit,
            "probability": float(np.mean(draws > 0)), "remark": ""}  # fmt: skip


def _ratio_line(at: Stake, ratio: float, verdict: str, unit: str) -> dict[str, Any]:
    from clinops.stats.cost_effectiveness import fieller_interval

    cost, gain, _, _ = _differences(at)
    weights = at.pick(saving=-1.0, fee=1.0)
    errors = at.error(weights), at.error(at.pick(effect=1.0))
    both = float(weights @ at.covariance @ at.pick(effect=1.0))
    limits = fieller_interval(cost, gain, *errors, both)
    stands = ratio == ratio and limits.kind == "interval"
    ends = ", ".join(word for word in dict.fromkeys((limits.low_is, limits.high_is)) if word)
    remark = f"{verdict}; {limits.note or (f'limits: {ends}' if ends else limits.method)}"
    return {"line": "Cost per unit gained (ICER)", "estimate": ratio, "low": limits.low if stands else np.nan,
            "high": limits.high if stands else np.nan, "format": "money", "unit": f"{at.rows.currency} per {unit}",
            "probability": np.nan, "remark": remark}  # fmt: skip


def _benefit_lines(at: Stake, unit: str) -> list[dict[str, Any]]:
    from clinops.stats.cost_effectiveness import acceptability as curve
    from clinops.stats.cost_effectiveness import net_benefit

    if not at.plan.thresholds:
        return []
    cost, gain, drawn, gained = _differences(at)
    weights, effect = at.pick(saving=-1.0, fee=1.0), at.pick(effect=1.0)
    found = net_benefit(
        cost, gain, at.plan.thresholds, cost_error=at.error(weights), effect_error=at.error(effect),
        covariance=float(weights @ at.covariance @ effect),
    )  # fmt: skip
    chance = curve(drawn, gained, at.plan.thresholds)
    return [
        {"line": f"Net benefit at {at.plan.thresholds[i]:,.0f} {at.rows.currency}", "estimate": found.estimate[i],
         "low": found.conf_low[i], "high": found.conf_high[i], "format": "money", "unit": at.rows.currency,
         "probability": chance[i], "remark": f"where one {unit} is worth that much"}
        for i in range(len(found.threshold))
    ]  # fmt: skip


def plane(at: Stake, effect: str, unit: str) -> Result:
    """The cost-effectiveness plane."""
    import pandas as pd

    if lack := _lacks(at):
        return nothing("cost_plane", "Cost-effectiveness plane", lack)
    from clinops.stats.cost_effectiveness import VERDICTS, quadrant_shares

    cost, gain, drawn, gained = _differences(at)
    shares = quadrant_shares(drawn, gained)
    frame = pd.DataFrame({
        "effect": [*gained, gain], "cost": [*drawn, cost], "kind": [*["draw"] * len(drawn), "estimate"],
    })  # fmt: skip
    table = pd.DataFrame([{"quadrant": VERDICTS[name].capitalize(), "share": share} for name, share in shares.items()
                          if name != "origin" or share > 0])  # fmt: skip
    counts = _counted(table, at)
    _counted(frame, at)
    parts = [f"{share:.0%} {VERDICTS[name]}" for name, share in shares.items() if share > 0]
    said = f"Of {len(drawn)} bootstrap replicates {', '.join(parts)}."
    options = {"thresholds": list(at.plan.thresholds[-1:]), "effect_unit": unit,
               "currency": at.rows.currency, "basis": at.rows.basis}  # fmt: skip
    columns = (Column("quadrant", "The programme"), Column("share", "Share of replicates", "fraction", of=counts))
    return Result("cost_plane", f"Cost-effectiveness plane: {effect}", table, columns, sentence=said, alt=said,
                  figure=_figure("ce_plane", frame, options, ("effect", "cost"), counts))  # fmt: skip


def acceptability(at: Stake, effect: str, unit: str) -> Result:
    """How likely the programme is worth its cost, by what a unit of effect is worth."""
    import pandas as pd

    if lack := _lacks(at) or ("" if at.plan.thresholds else NO_THRESHOLD):
        return nothing("cost_acceptability", "Acceptability curve", lack)
    from clinops.stats.cost_effectiveness import acceptability as curve

    _, _, drawn, gained = _differences(at)
    grid = np.linspace(0.0, max(at.plan.thresholds), 101)
    frame = pd.DataFrame({"threshold": grid, "probability": curve(drawn, gained, grid)})
    asked = np.array(at.plan.thresholds)
    table = pd.DataFrame({"threshold": asked, "probability": curve(drawn, gained, asked)})
    counts = _counted(table, at)
    _counted(frame, at)
    columns = (
        Column("threshold", f"Worth of one {unit}", "money", at.rows.currency, of=()),
        Column("probability", "Chance of being worth its cost", "fraction", "of replicates", of=counts),
    )
    first, last = table.iloc[0], table.iloc[-1]
    said = (
        f"The chance that the programme is worth its cost is {first['probability']:.0%} where one {unit} is worth "
        f"{first['threshold']:,.0f} {at.rows.currency} and {last['probability']:.0%} where it is worth "
        f"{last['threshold']:,.0f}."
    )
    options = {"currency": at.rows.currency, "effect_unit": unit, "basis": at.rows.basis,
               "thresholds": list(at.plan.thresholds)}  # fmt: skip
    return Result("cost_acceptability", f"Acceptability curve: {effect}", table, columns, sentence=said, alt=said,
                  figure=_figure("acceptability", frame, options, ("probability",), counts))  # fmt: skip


def _counted(frame: Any, at: Stake) -> tuple[str, str]:
    """Put beside replicates how many persons they are made from, since they tell what few persons cost."""
    frame["n_exposed"], frame["n_comparator"] = (int(at.rows.arm(arm).sum()) for arm in (True, False))
    return "n_exposed", "n_comparator"


def _figure(kind: str, frame: Any, options: dict[str, Any], values: tuple[str, ...], counts: tuple[str, str]) -> Figure:
    return Figure(kind, frame, options, counts=counts, of=dict.fromkeys(values, counts))


def value_rows(at: Stake, effect: str, unit: str) -> list[Row]:
    """Net cost, effect and net benefit as rows of the results schema."""
    if at.effect is None:
        return []
    base = person_counts(at.rows) | {"analysis": "cost-effectiveness", "method": "joint influence of cost and effect"}
    if _lacks(at):
        missing = {"measure": f"Cost against {effect}", "scale": "difference", "unit": at.rows.currency}
        return [base | missing | {"estimate": np.nan, "note": UNKNOWN}]
    frame = value_table(at, effect, unit).frame
    return [
        base | {
            "measure": line["line"], "scale": "difference", "unit": line["unit"], "estimate": line["estimate"],
            "conf_low": line["low"], "conf_high": line["high"],
            "note": line["remark"] or None,
        }
        for line in frame.to_dict("records")
    ]  # fmt: skip


def nothing(name: str, title: str, reason: str = NOTHING) -> Result:
    """An exhibit that cannot be had: said in its place, not left out."""
    return absent(name, title, reason)
