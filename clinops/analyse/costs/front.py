"""The first page of a cost analysis: the verdict on the net, the money in one table, naive beside adjusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.costs import horizon, terms
from clinops.analyse.costs.rows import CostRows
from clinops.analyse.costs.stake import Stake, limits
from clinops.analyse.effects import LEVEL
from clinops.analyse.verdict import not_drawn
from clinops.results.front import FrontPage
from clinops.results.result import Check, Column, Figure, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clinops.analyse.costs.care import CostOfCare

DECISIVE = ("cost_check_plausible", "cost_check_observed")
"""Checks whose failure makes an estimate unreadable, whatever its interval."""
PER = 1000
DEATHS = "Deaths"
FEW = "An arm is so small that no number resting on it is shown."


def front_page(care: CostOfCare) -> FrontPage:
    """Fill the page from results."""
    rows, plan, at = care.rows, care.plan, care.stake
    judged = care.checks
    label, said = verdict(at, judged, _worthwhile(care))
    size, _ = terms.smallest_saving(rows)
    seen = f"a saving of {words.number(size[0], 0)} {rows.currency} per person could be seen (power 80%)"
    detectable = f"With these persons {seen}." if np.isfinite(size[0]) else terms.NOT_KNOWN
    if any(0 < int(rows.arm(arm).sum()) < care.min_cell for arm in (True, False)):
        label, said, detectable = "not interpretable", FEW, FEW
    return FrontPage(
        title=f"Cost of care: {rows.names[0]} v {rows.names[1]}" if care.study is None else
        f"Cost of care: {care.study.protocol.title}",
        verdict=label, conclusion=said,
        question=f"What does it cost, and save, to whom? {rows.basis}.",
        who_v_whom=f"{rows.names[0]} v {rows.names[1]}, {rows.adjustment}: {rows.estimand}",
        time_zero=f"The index date; cost over {rows.horizon} months from the day after it",
        period=f"Index dates {rows.index_date.min()} to {rows.index_date.max()}",
        n=" and ".join(_persons(int(rows.arm(arm).sum()), care.min_cell, rows.names[0 if arm else 1])
                       for arm in (True, False)),
        capture=f"{care.source.name}: costs inside enrolment only",
        detectable=detectable,
        main=care.main, strip=care.strip, threats=_threats(care, judged),
        failed=tuple(check for check in judged if check.passed is False),
        allowed=() if care.study is None else tuple((f.rule, f.allowed or "") for f in care.study.findings.allowed),
        money=f"{plan.perspective.capitalize()} perspective. {care.money.sentence}",
    )  # fmt: skip


def _persons(n: int, min_cell: int, name: str) -> str:
    return f"<{min_cell} {name}" if 0 < n < min_cell else f"{n:,} {name}"


def _worthwhile(care: CostOfCare) -> float | None:
    primary = None if care.study is None else care.study.protocol.primary
    return primary.worthwhile if primary is not None and primary.measure == "cost" else None


def verdict(at: Stake, checks: Iterable[Check], worthwhile: float | None = None) -> tuple[str, str]:
    """Judge what is left after the fee: its interval against nothing and against the smallest worthwhile amount.

    A failed decisive check comes first: an estimate that cannot be read is neither a saving nor a loss.
    """
    failed = [check for check in checks if check.name in DECISIVE and check.passed is False]
    if failed:
        return "not interpretable", f"The estimate cannot be read: {'; '.join(c.sentence.rstrip('.') for c in failed)}."
    net, error = at.worth()
    low, high = limits(net, error)
    if not np.isfinite([net, low, high]).all():
        return "not interpretable", "No saving could be estimated from these costs."
    size = f"{_what(at)} {words.interval(net, low, high, f'{at.rows.currency} per person')} is saved"
    if worthwhile is not None and max(abs(low), abs(high)) < worthwhile:
        return "no worthwhile difference", f"{size}; less than the {words.number(worthwhile, 0)} worth having."
    if low > 0:
        return "benefit", f"{size}; the whole interval is a saving."
    if high < 0:
        return "harm", f"{size}; the whole interval is an added cost."
    return "too uncertain", f"{size}; both a saving and an added cost are compatible with the data."


def _what(at: Stake) -> str:
    """Whose saving it is, and whether the fee is in it."""
    owner = at.plan.perspective
    if owner == "provider margin":
        return "To the provider, whose revenue a saving is,"
    fee = "net of the programme fee" if at.fee is not None else "before any programme fee, which is not known,"
    if owner == "payer":
        return fee[0].upper() + fee[1:]
    whose = "To the system" if at.plan.margin is not None else "To the payer (the system's margin is not stated)"
    return f"{whose}, {fee}"


def main_table(rows: CostRows, at: Stake) -> Result:
    """Cost of care, fee, net, deaths and cost per member-month, in both arms with the difference."""
    import pandas as pd

    from clinops.stats.weighted_effects import contrast

    money = f"{rows.currency} per person"
    total = horizon.category_values(rows)
    care = contrast(total, "difference", cluster=rows.cluster, conf_level=LEVEL)[-1]
    died = contrast(rows.values(PER * rows.died.astype(float)), "difference", cluster=rows.cluster, conf_level=LEVEL)[0]
    month = contrast(
        rows.values(rows.total, denominator=rows.months), "difference", cluster=rows.cluster, conf_level=LEVEL
    )[0]
    lines = [
        {"line": "Cost of care over the horizon", "unit": money, "format": "money"} | _of(care),
        {"line": DEATHS, "unit": f"per {PER:,} persons", "format": "number1"} | _of(died),
        {"line": "Cost per member-month", "unit": f"{rows.currency} per member-month", "format": "money"} | _of(month),
    ]
    if at.fee is not None:
        (saved, error), (fee_low, fee_high) = at.net(), limits(at.fee, at.fee_error)
        low, high = limits(-saved, error)
        lines.insert(1, {"line": "Programme fee", "unit": money, "format": "money", "value_exposed": at.fee,
                         "value_comparator": 0.0, "estimate": at.fee, "low": fee_low, "high": fee_high})  # fmt: skip
        lines.insert(2, {"line": "Net: care and fee", "unit": money, "format": "money", "value_exposed": np.nan,
                         "value_comparator": np.nan, "estimate": -saved, "low": low, "high": high})  # fmt: skip
    frame = pd.DataFrame(lines)
    frame["n_exposed"], frame["n_comparator"] = (int(rows.arm(arm).sum()) for arm in (True, False))
    # Deaths per 1,000 tell the number of deaths, which may be small where the persons are many.
    for arm, name in ((True, "events_exposed"), (False, "events_comparator")):
        frame[name] = [int(rows.died[rows.arm(arm)].sum()) if line == DEATHS else np.nan for line in frame["line"]]
    one, other = ("n_exposed", "events_exposed"), ("n_comparator", "events_comparator")
    columns = (
        Column("line", "Outcome"), Column("unit", "Unit"),
        Column("value_exposed", rows.names[0], "money", rows.currency, of=one, format_by="format", missing="–"),
        Column("value_comparator", rows.names[1], "money", rows.currency, of=other, format_by="format", missing="–"),
        Column("estimate", "Difference (95% CI)", "money", rows.currency, low="low", high="high", of=(*one, *other),
               format_by="format"),
    )  # fmt: skip
    notes = ("A negative difference is less among the exposed. Money after the first year is discounted in fee and net "
             "only.",) if rows.horizon > 12 else ("A negative difference is less among the exposed.",)  # fmt: skip
    return Result("cost_main", f"Main results, {rows.adjustment}", frame, columns, notes)


def _of(effect: Any) -> dict[str, float]:
    return {"value_exposed": effect.value_exposed, "value_comparator": effect.value_comparator,
            "estimate": effect.estimate, "low": effect.conf_low, "high": effect.conf_high}  # fmt: skip


def strip(rows: CostRows, truth: float | None) -> Result:
    """Crude beside adjusted (and the truth, where it is known)."""
    import pandas as pd

    from clinops.stats.weighted_effects import contrast

    lines = []
    for label, one in (("Crude", horizon.crude(rows)), (f"Adjusted: {rows.adjustment}", rows)):
        effect = contrast(horizon.category_values(one), "difference", cluster=rows.cluster, conf_level=LEVEL)[-1]
        lines.append({"label": label, "estimate": effect.estimate, "low": effect.conf_low, "high": effect.conf_high,
                      "n_exposed": effect.n_exposed, "n_comparator": effect.n_comparator})  # fmt: skip
    if truth is not None:
        lines.append({"label": "Truth (simulated)", "estimate": truth, "low": np.nan, "high": np.nan})
    frame = pd.DataFrame(lines if rows.adjustment != "crude" else [lines[0], *lines[2:]])
    unit = f"{rows.currency} per person"
    pairs = zip(frame["label"], frame["estimate"], strict=True)
    said = "; ".join(f"{label[0].lower()}{label[1:]} {words.number(value, 0)}" for label, value in pairs)
    sentence = f"Difference in cost of care, {unit}: {said}."
    counts = ("n_exposed", "n_comparator")
    columns = (Column("label", "Comparison"),
               Column("estimate", f"Difference, {unit} (95% CI)", "number0", low="low", high="high",
                      of=counts))  # fmt: skip
    options = {"unit": unit, "null": 0.0, "better": "lower"}
    return Result("cost_strip", "Naive beside adjusted: cost of care", frame, columns, sentence=sentence, alt=sentence,
                  figure=Figure("strip", frame, options, counts=counts,
                                of=dict.fromkeys(("estimate", "low", "high"), counts)))  # fmt: skip


def _threats(care: CostOfCare, checks: Iterable[Check]) -> tuple[str, ...]:
    found = [f"{check.title} No: {check.sentence}" for check in checks if check.passed is False]
    if drawn := not_drawn(None if care.study is None else care.study.protocol):
        found.append(drawn)
    if care.plan.prices is None and not any(c.name == "cost_check_prices" and c.passed is False for c in checks):
        found.append("Prices are as recorded: a change of prices between the arms' calendar time is in the difference.")
    found.append("Care that no claim tells of is neither counted nor paid for here.")
    return tuple(found[:3])


def effect_unit(effect: str, study: Any) -> str:
    """The unit of the effect in the singular, as "where one ... is worth" takes it."""
    if study is None or not effect:
        return "unit of effect"
    measure = next((m for m in study.protocol.outcomes if m.name == effect), None)
    if measure is None:
        return "unit of effect"
    if measure.measure == "days at home":
        return "day at home"
    if measure.measure in ("any", "time to"):
        return f"{measure.name.lower()} averted" if measure.better == "lower" else measure.name.lower()
    lower = measure.name.lower()
    return f"event averted ({lower})" if measure.better == "lower" else f"unit of {lower}"
