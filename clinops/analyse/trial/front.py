"""The first page of a trial: verdict, design and the two answers, filled from results."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clinops.analyse import words
from clinops.analyse.trial import look
from clinops.analyse.trial.comparisons import CRUDE, SAID
from clinops.analyse.trial.estimates import Row, adjustment
from clinops.analyse.trial.read import TrialData
from clinops.define.trial import TrialPlan
from clinops.results.front import FrontPage
from clinops.results.result import Check, Column, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

N = look.NUMBERS


def verdict(plan: TrialPlan, row: Row, checks: Sequence[Check]) -> tuple[str, str]:
    """The label and the sentence: the first outcome's interval against no effect and the smallest worthwhile one."""
    said = f"{plan.labels[0]}: " + look.interval(row["estimate"], row["conf_low"], row["conf_high"], str(plan.units[0]))
    if few(plan, row):
        return "too uncertain", f"{plan.labels[0]}: fewer than {plan.min_cell} persons of an arm have it; not shown."
    failed = [check.title for check in checks if check.passed is False]
    if failed:
        return "not interpretable", f"{said}; but {len(failed)} check(s) failed: {' '.join(failed)}"
    if plan.assignment != "random":
        return (
            "not interpretable",
            f"{said}; nobody drew who is in which group, so this is a difference, not an effect.",
        )
    low, high = float(row["conf_low"]), float(row["conf_high"])
    if not math.isfinite(low + high):
        return "not interpretable", f"The effect on {plan.labels[0]} cannot be estimated: {row['note']}."
    if plan.worthwhile is not None and max(abs(low), abs(high)) < plan.worthwhile:
        size = look.number(plan.worthwhile)
        return (
            "no worthwhile difference",
            f"{said}; the whole interval is smaller than the smallest worth having, {size}.",
        )
    if low <= 0 <= high:
        return "too uncertain", f"{said}; both a benefit and a harm are compatible with the data."
    if not plan.better[0]:
        return "too uncertain", f"{said}; the interval excludes no effect, but nobody said which direction is better."
    good = high < 0 if plan.better[0] == "lower" else low > 0
    side = "better" if good else "worse"
    return "benefit" if good else "harm", f"{said}; the whole interval is on the {side} side."


def few(plan: TrialPlan, row: Row) -> bool:
    """Whether an arm has so few with, or without, the event that no number may rest on them."""
    for arm in ("exposed", "comparator"):
        events, persons = row[f"events_{arm}"], row[f"n_{arm}"]
        if 0 < persons < plan.min_cell:
            return True
        if events is not None and (0 < events < plan.min_cell or 0 < persons - events < plan.min_cell):
            return True
    return False


def main_table(plan: TrialPlan, rows: list[Row]) -> Result:
    """Each outcome by arm with its difference: the table of the first page."""
    frame = look.framed(plan, rows)
    more, unit = look.unit_columns(frame)
    columns = (
        Column("measure", "Outcome"), *more,
        look.value_column(plan, "exposed", plan.offered, "", spread=False),
        look.value_column(plan, "comparator", plan.not_offered, "", spread=False),
        look.difference_column(plan, look.contrast(plan), unit),
        Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    title = "Main results, everybody as offered" if plan.assignment == "random" else "Main results"
    return Result("main", title, frame, columns, (f"Adjusted for: {adjustment(plan)}.",))


def strip(plan: TrialPlan, observational: list[Row], complier: list[Row]) -> Result | None:
    """Participants v non-participants beside the effect of taking part, for the first outcome."""
    import pandas as pd

    mine = [row for row in observational if row["category"] == plan.outcomes[0] and row["method"] in SAID]
    fit = next((row for row in complier if row["category"] == plan.outcomes[0]), None)
    if not mine or fit is None or plan.assignment != "random":
        return None
    crude = "Crude: participants v non-participants"
    labels = [(crude if row["method"] == CRUDE else f"Naive, after {row['method']}", row) for row in mine]
    labels.append(("Randomised: effect of taking part", fit))
    frame = look.counted(pd.DataFrame([
        {"label": label, "estimate": row["estimate"], "low": row["conf_low"], "high": row["conf_high"],
         **{n: row[n] for n in N}}
        for label, row in labels
    ]))  # fmt: skip
    unit = look.points(plan.units[0])
    options: dict[str, Any] = {"unit": unit, "null": 0.0, "better": plan.better[0] or None}
    said = "; ".join(f"{label[0].lower()}{label[1:]} {look.number(row['estimate'])}" for label, row in labels)
    columns = (
        Column("label", "Comparison"),
        Column("estimate", "Difference (95% CI)", "number1", unit, of=N, low="low", high="high"),
    )  # fmt: skip
    return Result(
        "strip", f"Chosen beside drawn: {plan.labels[0]}", frame, columns, sentence=f"{plan.labels[0]}: {said}.",
        figure=look.figure("strip", frame, options),
        alt=said,
    )  # fmt: skip


def facts(data: TrialData, take_up: list[Row]) -> dict[str, str]:
    """The design in labelled sentences."""
    plan = data.plan
    drawn = "by a draw" if plan.assignment == "random" else "not drawn"
    within = f", within {' x '.join(plan.strata)}" if plan.strata else ""
    sizes = f"{int(data.offered.sum()):,} {plan.offered}, {int((~data.offered).sum()):,} {plan.not_offered}"
    if take_up and take_up[0]["n_exposed"]:
        whole = take_up[0]
        share = 100 * whole["events_exposed"] / whole["n_exposed"]
        sizes += f"; {whole['events_exposed']:,} of {whole['n_exposed']:,} offered took part ({share:.1f}%)"
    return {
        "question": plan.title,
        "who_v_whom": f"{plan.offered} v {plan.not_offered}, {drawn}{within}",
        "period": plan.period,
        "n": sizes,
        "capture": f"{data.name}: {len(data.frame):,} persons, one row each, {len(plan.outcomes)} outcome(s)",
    }


def detectable_sentence(plan: TrialPlan, row: Row) -> str:
    """The smallest effect of the offer that could have been seen, beside the smallest worth having."""
    if few(plan, row):
        return ""
    worth = "nobody said what would be worth having"
    if plan.worthwhile is not None:
        worth = f"the smallest worth having is {look.number(plan.worthwhile)}"
    seen = f"{look.number(row['estimate'])} {look.points(plan.units[0])}".rstrip()
    what = "An effect of the offer" if plan.assignment == "random" else "A difference"
    return f"{what} of {seen} could have been seen (power 80%); {worth}."


def threats(plan: TrialPlan, checks: Sequence[Check], multiplicity: list[Row]) -> tuple[str, ...]:
    """What speaks against the answer, gravest first."""
    found = [f"{check.title} No: {check.sentence} {check.why}" for check in checks if check.passed is False]
    if plan.assignment != "random":
        found.append("Nobody drew who is in which group; what was not measured is not adjusted for.")
    known = next(check for check in checks if check.name == "known")
    if known.passed and isinstance(known.observed, float) and known.observed < 0.05:
        found.append(f"Some outcomes are known for more of one arm (smallest P {words.number(known.observed, 3)}).")
    many = len(multiplicity)
    if many > 1:
        found.append(f"{many} outcomes were tested; read the adjusted P values before any single one.")
    found.append("An offer to these people in this place; another population may respond otherwise.")
    return tuple(found[:3])


def page(
    data: TrialData, itt: list[Row], detectable: Row, take_up: list[Row], multiplicity: list[Row],
    checks: Sequence[Check], main: Result, strip_: Result | None,
) -> FrontPage:  # fmt: skip
    """The page itself."""
    plan = data.plan
    label, conclusion = verdict(plan, itt[0], checks)
    said = facts(data, take_up)
    return FrontPage(
        title=plan.title, verdict=label, conclusion=conclusion, detectable=detectable_sentence(plan, detectable),
        main=main, strip=strip_, threats=threats(plan, checks, multiplicity),
        failed=tuple(check for check in checks if check.passed is False), question=said["question"],
        who_v_whom=said["who_v_whom"], period=said["period"], n=said["n"], capture=said["capture"],
    )  # fmt: skip
