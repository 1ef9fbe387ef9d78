"""Exhibits that compare: the observational answer beside the randomised one, subgroups, what could be seen, tails."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from clinops.analyse import words
from clinops.analyse.trial import look
from clinops.analyse.trial.estimates import Row
from clinops.analyse.trial.observational import CRUDE, DIFFERENCE, MATCHING, REGRESSION, WEIGHTING
from clinops.define.trial import TrialPlan
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

N = look.NUMBERS
CHOSE, DREW = "Participants v others (they chose)", "By the random offer (a draw)"
SAID = {
    CRUDE: "Crude", REGRESSION: "Regression on covariates", MATCHING: "Matching on the propensity score",
    WEIGHTING: "Weighting to participants", "taking part": "Effect of taking part", "offer": "Effect of the offer",
}  # fmt: skip


def observational(plan: TrialPlan, rows: list[Row], complier: list[Row], itt: list[Row]) -> Result:
    """The two answers beside one another: a picture of the first outcome, a table of all."""
    if not rows:
        why = "No column of take-up was named, so nobody can be told apart by taking part."
        return look.not_done("observational", "Had there been no random offer", why)
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    randomised = [row | {"method": "taking part"} for row in complier] + [row | {"method": "offer"} for row in itt]
    if plan.assignment != "random":
        randomised = []
    order = {name: i for i, name in enumerate([*SAID, DIFFERENCE])}
    place = {name: i for i, name in enumerate(plan.outcomes)}
    every = sorted([*rows, *randomised], key=lambda r: (place[r["category"]], order[r["method"]]))
    frame = look.framed(plan, every, spreads)
    frame["comparison"] = frame["method"].map({**SAID, DIFFERENCE: "Crude less effect of taking part"})
    several = frame["measure"].nunique() > 1
    columns = (
        Column("comparison", "Comparison"), Column("adjustment", "Adjusted for"),
        Column("n_exposed", "Took part, or offered", "count", "n"),
        Column("n_comparator", "Did not, or not offered", "count", "n"),
        look.difference_column(plan, "Difference", "" if several else str(plan.units[0])),
        Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    said = observational_sentence(plan, rows, complier)
    notes = ["Among the offered, participants against those who did not take part; adjusted for what was known before."]
    if complier:
        notes.append("Effect of taking part: two-stage least squares by the random offer.")
    if complier and complier[0]["one_sided"]:
        notes.append(
            "Nobody without an offer took part, so it speaks of the participants, as matching and weighting do."
        )
    return Result(
        "observational", "Had there been no random offer", frame, columns, (*notes, *look.notes_of(frame)), said,
        figure=_picture(plan, frame), group_by="measure" if several else None, alt=said,
    )  # fmt: skip


def _picture(plan: TrialPlan, frame: pd.DataFrame) -> Figure:
    first = frame[(frame["category"] == plan.outcomes[0]) & (frame["method"] != DIFFERENCE)]
    data = first.rename(columns={"comparison": "label", "conf_low": "low", "conf_high": "high"})
    group = [DREW if method in ("taking part", "offer") else CHOSE for method in data["method"]]
    data = data.assign(group=group)[["group", "label", "estimate", "low", "high", *N]].reset_index(drop=True)
    unit = look.points(plan.units[0])
    options = {
        "scale": "linear", "null": 0.0,
        "xlabel": f"{plan.labels[0]}, difference{f' in {unit}' if unit else ''} (95% CI)",
        "exposed": "taking part", "comparator": "not",
    }  # fmt: skip
    # The heads over the counts would name one pair of arms for two kinds of pairs; the table has the counts.
    return look.figure("forest", data, options, silent=True)


def observational_sentence(plan: TrialPlan, rows: list[Row], complier: list[Row]) -> str:
    """What a finance director should take from it, in plain words."""
    first = {row["method"]: row for row in rows if row["category"] == plan.outcomes[0]}
    crude = first[CRUDE]
    if not math.isfinite(crude["estimate"]):
        return f"{plan.labels[0]}: {crude['note']}"
    unit = look.points(plan.units[0])
    less = "less" if crude["estimate"] < 0 else "more"
    said = (
        f"{plan.labels[0]}: participants had {look.number(abs(crude['estimate']))}{f' {unit}' if unit else ''} {less} "
        f"than people who were offered and did not take part"
    )
    adjusted = [first[m]["estimate"] for m in (REGRESSION, MATCHING, WEIGHTING) if m in first]
    adjusted = [value for value in adjusted if math.isfinite(value)]
    if adjusted:
        said += f", and after adjustment the difference is still {_listed(adjusted)}"
    fit = next((row for row in complier if row["category"] == plan.outcomes[0]), None)
    if fit is None or plan.assignment != "random" or not math.isfinite(fit["estimate"]):
        return said + "."
    effect = look.interval(fit["estimate"], fit["conf_low"], fit["conf_high"])
    gap = first.get(DIFFERENCE)
    said += f". By the random offer, taking part changed it by {effect}."
    if gap is not None:
        far = look.interval(gap["estimate"], gap["conf_low"], gap["conf_high"])
        clear = gap["conf_low"] > 0 or gap["conf_high"] < 0
        why = "the observational one reflects who chooses to take part" if clear else "which chance alone could also do"
        said += f" The two answers differ by {far}{': ' if clear else ', '}{why}."
    return said


def _listed(values: list[float]) -> str:
    places = look.places(*values)
    shown = [words.number(value, places) for value in values]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def subgroups(plan: TrialPlan, rows: list[Row], take_up: list[Row], itt: list[Row]) -> Result:
    """Effects by level, with one P a subgroup; the share who took part beside them."""
    if not rows:
        return look.not_done("subgroups", "Effects in subgroups", "No subgroup was named.")
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    shares = {(row["subgroup"], row["level"]): row for row in take_up}
    made = []
    for row in rows:
        share = shares.get((row["subgroup"], row["level"]), {})
        made.append(row | {
            "who": f"{row['subgroup']}: {row['level']}", "took": share.get("events_exposed"),
            "offered": share.get("n_exposed"), "p_take_up": share.get("p_value", math.nan),
        })  # fmt: skip
    frame = look.framed(plan, made, spreads)
    for name in ("took", "offered"):
        frame[name] = frame[name].astype("Int64")
    columns = [
        Column("who", "Subgroup"), Column("n_exposed", plan.offered, "count", "n"),
        Column("n_comparator", plan.not_offered, "count", "n"), look.difference_column(plan, look.contrast(plan)),
        Column("p_interaction", "P for interaction", "p", of=N),
    ]  # fmt: skip
    if take_up:
        columns += [
            Column("took", "Took part", "percent", "of offered (%)", denominator="offered"),
            Column("p_take_up", "P for take-up", "p", of=("took", "offered")),
        ]
    figure = _subgroup_picture(plan, frame)
    tests = {(row["measure"], row["subgroup"]): row["p_interaction"] for row in rows}
    low = sum(1 for p in tests.values() if p < 0.05)
    said = f"{low} of {len(tests)} tests for interaction are below .05; {0.05 * len(tests):.1f} would be by chance."
    several = frame["measure"].nunique() > 1
    return Result(
        "subgroups", "Effects in subgroups", frame, tuple(columns),
        ("A subgroup is described level by level and tested once, for equal effects.", *look.notes_of(frame)), said,
        figure=figure, group_by="measure" if several else None, alt=said,
    )  # fmt: skip


def _subgroup_picture(plan: TrialPlan, frame: pd.DataFrame) -> Figure:
    first = frame[frame["category"] == plan.outcomes[0]]
    data = first.rename(columns={"level": "label", "subgroup": "group", "conf_low": "low", "conf_high": "high"})
    data = data[["group", "label", "estimate", "low", "high", *N]].reset_index(drop=True)
    unit = look.points(plan.units[0])
    options = {
        "scale": "linear", "null": 0.0, "exposed": plan.offered, "comparator": plan.not_offered,
        "xlabel": f"{plan.labels[0]}, {look.contrast(plan).lower()}{f' in {unit}' if unit else ''} (95% CI)",
    }  # fmt: skip
    return look.figure("forest", data, options)


def detectable(plan: TrialPlan, rows: list[Row], itt: list[Row]) -> Result:
    """The smallest effects this trial would have found."""
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    frame = look.framed(plan, rows, spreads)
    more, unit = look.unit_columns(frame)
    columns = [
        Column("measure", "Outcome"), *more, Column("n_exposed", plan.offered, "count", "n"),
        Column("n_comparator", plan.not_offered, "count", "n"),
        Column("estimate", look.contrast(plan), "number1", look.currency_of(plan) or unit, "Detectable", of=N,
               format_by="format_difference"),
        Column("share", "Of the comparator's mean", "fraction", "", "Detectable", of=N),
        Column("in_sd", "In SD", "number2", "", "Detectable", of=N),
    ]  # fmt: skip
    if frame["taking"].notna().any():
        columns.append(
            Column("taking", "Effect of taking part", "number1", look.currency_of(plan) or unit, "Detectable", of=N,
                   format_by="format_difference")
        )  # fmt: skip
    row = rows[0]
    what = "an effect of the offer" if plan.assignment == "random" else "a difference"
    size = f"{look.number(row['estimate'])} {look.points(row['unit'])}".rstrip()
    said = (
        f"{row['measure']}: {what} of {size}"
        f" ({100 * row['share']:.0f}% of the comparator's mean) would have been found with 80% power."
    )
    notes = ("From the standard error of the analysis itself: two-sided 5%, power 80%.",)
    return Result("detectable", "What this trial could have seen", frame, tuple(columns), notes, said)


def truncation(plan: TrialPlan, rows: list[Row], itt: list[Row]) -> Result:
    """The effect with large values cut."""
    if not rows:
        return look.not_done("truncation", "Does the tail make the answer?", "No percentile to cut at was named.")
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    frame = look.framed(plan, rows, spreads)
    money = look.currency_of(plan)
    columns = (
        Column("method", "Values"),
        Column("cut", "Cut at", "number1", money, of="above", format_by="format_difference", missing="–"),
        Column("above", "Persons above", "percent", "n/all (%)", denominator="all"),
        look.difference_column(plan, look.contrast(plan)), Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    first = [row for row in rows if row["category"] == plan.outcomes[0]] or rows
    values = [row["estimate"] for row in first]
    said = (
        f"{first[0]['measure']}: {look.number(values[0])} as observed; "
        f"{_listed(values[1:])} with the largest values cut."
    )
    several = frame["measure"].nunique() > 1
    return Result(
        "truncation", "Does the tail make the answer?", frame, columns,
        ("Values above a percentile of both arms together are set to it; outcomes of two values are left out.",
         *look.notes_of(frame)),
        said, group_by="measure" if several else None,
    )  # fmt: skip
