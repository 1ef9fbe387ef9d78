"""The exhibits of a trial: each a `Result` made from rows of estimates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clinops.analyse import words
from clinops.analyse.trial import look
from clinops.analyse.trial.estimates import Row, adjustment
from clinops.analyse.trial.read import TrialData
from clinops.define.trial import TrialPlan
from clinops.results.result import Check, Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

N = look.NUMBERS
FEW = 0.001
"""P below which arms are said to differ: a sound draw falls below it once in a thousand times."""
STRONG = 10.0


def flow(data: TrialData, rows: list[Row], take_up: list[Row]) -> Result:
    """Who is in each arm and for whom the first outcome is known."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    frame["excluded_persons"] = frame["excluded_persons"].astype("Int64")
    figure = Figure("flow", frame, counts=("persons", "excluded_persons"))
    columns = (
        Column("rule", "Step"), Column("persons", "Persons", "count", "n"),
        Column("excluded_persons", "Left out", "count", "n"),
    )  # fmt: skip
    said = (
        f"{int(data.offered.sum()):,} {data.plan.offered} and {int((~data.offered).sum()):,} {data.plan.not_offered}."
    )
    if take_up:
        whole = take_up[0]
        said += f" Of the offered, {_share(whole['events_exposed'], whole['n_exposed'])} took part."
    notes = (*data.notes, "Each outcome has its own persons; the counts here are of the first.")
    return Result("flow", "Flow of persons", frame, columns, notes, said, figure=figure, group_by="arm", alt=said)


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f}%)" if whole else f"{part:,} of {whole:,}"


def known(plan: TrialPlan, rows: list[Row]) -> Check:
    """Whether outcomes are known for as many of either arm."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    columns = (
        Column("measure", "Outcome"),
        Column("events_exposed", plan.offered, "percent", "known/all (%)", denominator="n_exposed"),
        Column("events_comparator", plan.not_offered, "percent", "known/all (%)", denominator="n_comparator"),
        Column("estimate", "Difference", "fraction", of=("events_exposed", "events_comparator"), low="conf_low",
               high="conf_high", note="With a 95% confidence interval."),
        Column("p_value", "P", "p", of=("events_exposed", "events_comparator")),
    )  # fmt: skip
    p = float(frame["p_value"].min())
    if math.isnan(p) and (frame["value_exposed"] == frame["value_comparator"]).all():
        p = 1.0  # everybody is known in both arms: nothing varies, so nothing differs
    said = f"{len(frame)} outcomes; the smallest P of a difference is {_p(p)}."
    return Check(
        "known", "For whom is the outcome known?", frame, columns, sentence=said,
        observed=None if math.isnan(p) else p, threshold=FEW, passed=None if math.isnan(p) else p >= FEW,
        why="A random offer makes arms alike; outcomes that are known for more of one arm can undo that.",
    )  # fmt: skip


def baseline(plan: TrialPlan, rows: list[Row], joint: list[Row]) -> Result:
    """What was measured before the offer, by arm, with the joint test of each group."""
    if not rows:
        return look.not_done("baseline", "Characteristics before the offer", "No baseline variable was named.")
    import pandas as pd

    made = [row | {"format": "fraction" if row["binary"] else _by_size(row)} for row in rows]
    frame = look.counted(pd.DataFrame(made))
    columns = (
        Column("measure", "Characteristic"),
        Column("n_exposed", "Known", "count", "n", plan.offered),
        Column("value_exposed", "Mean (SD) or %", "mean", "", plan.offered,
               of=("n_exposed", "events_exposed"), format_by="format", spread="sd_exposed"),
        Column("n_comparator", "Known", "count", "n", plan.not_offered),
        Column("value_comparator", "Mean (SD) or %", "mean", "", plan.not_offered,
               of=("n_comparator", "events_comparator"), format_by="format", spread="sd_comparator"),
        Column("smd", "SMD", "smd", "SD", of=N), Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    tests = tuple(
        f"{row['measure']}: joint test of all, P {_p(row['p_value'])} "
        f"({row['n_exposed'] + row['n_comparator']:,} persons with every value)."
        for row in joint
    )
    worst = float(frame["smd"].abs().max())
    said = f"The largest standardised difference between the arms is {words.number(worst, 2)}. {' '.join(tests)}"
    return Result(
        "baseline", "Characteristics before the offer", frame, columns, tests, said.strip(),
        group_by="level" if frame["level"].nunique() > 1 else None,
    )  # fmt: skip


def _by_size(row: Row) -> str:
    return "mean" if not row["sd_comparator"] < 5 else "number2"


def baseline_check(joint: list[Row]) -> Check:
    """Whether the baseline variables together tell who was offered."""
    import pandas as pd

    if not joint:
        joint = [{"measure": "no baseline variable was named", "df": 0, "estimate": math.nan, "p_value": math.nan}]
    frame = pd.DataFrame(joint)[["measure", "df", "estimate", "p_value"]]
    columns = (
        Column("measure", "Variables"), Column("df", "Tested", "number0", of=()),
        Column("estimate", "F", "number2", of=()), Column("p_value", "P", "p", of=()),
    )  # fmt: skip
    known_p = frame["p_value"].dropna()
    least = float(known_p.min()) if len(known_p) else math.nan
    return Check(
        "check_baseline", "Are the arms alike before the offer?", frame, columns,
        sentence=f"Smallest P of a joint test: {_p(least)}.",
        observed=None if math.isnan(least) else least, threshold=FEW,
        passed=None if math.isnan(least) else least >= FEW,
        why="Characteristics that together tell who was offered speak against a random offer, or against the file.",
    )  # fmt: skip


def effects(plan: TrialPlan, rows: list[Row], multiplicity: list[Row]) -> Result:
    """The effect of the offer on each outcome."""
    adjusted = {row["category"]: row["adjusted"] for row in multiplicity}
    frame = look.framed(plan, [row | {"p_adjusted": adjusted.get(row["category"], math.nan)} for row in rows])
    more, unit = look.unit_columns(frame)
    persons = [plan.offered, plan.not_offered]
    columns = [Column("measure", "Outcome"), *more]
    for arm, name in zip(("exposed", "comparator"), persons, strict=True):
        columns += [
            Column(f"n_{arm}", "Persons", "count", "n", name),
            look.value_column(plan, arm, "Mean (SD)", name),
        ]
    columns += [look.difference_column(plan, look.contrast(plan), unit), Column("p_value", "P", "p", of=N)]
    if adjusted:
        columns.append(Column("p_adjusted", "Adjusted P", "p", of=N, missing="–"))
    title = (
        "Intention to treat: effect of the offer" if plan.assignment == "random" else "Difference between the groups"
    )
    return Result(
        "effects", title, frame, tuple(columns), (*_method_notes(plan, frame), *look.notes_of(frame)),
        _effect_sentence(plan, rows[0]),
    )  # fmt: skip


def _method_notes(plan: TrialPlan, frame: pd.DataFrame) -> tuple[str, ...]:
    kinds = ", ".join(dict.fromkeys(str(kind) for kind in frame["se_kind"].dropna()))
    t = "t intervals with residual degrees of freedom" if plan.interval == "t" else "normal intervals"
    if plan.clusters and plan.interval == "t":
        t = "t intervals with clusters less one degrees of freedom"
    parts = [f"Adjusted for: {adjustment(plan)}. Standard errors: {kinds}; {t}."]
    weights = sorted({weight for weight in plan.weights if weight})
    if weights:
        parts.append(f"Means and effects weighted by {', '.join(weights)}.")
    if (frame["known_exposed"] != frame["n_exposed"]).any() or (
        frame["known_comparator"] != frame["n_comparator"]
    ).any():
        parts.append(
            "Means are of everybody whose outcome is known; effects of those who have every covariate as well."
        )
    return tuple(parts)


def _effect_sentence(plan: TrialPlan, row: Row) -> str:
    said = look.interval(row["estimate"], row["conf_low"], row["conf_high"], str(row["unit"] or ""))
    kind = "effect of the offer" if plan.assignment == "random" else "difference"
    return f"{row['measure']}: {kind} {said}, P {_p(row['p_value'])}."


def forest(plan: TrialPlan, rows: list[Row], itt: list[Row]) -> Result:
    """The effects on all outcomes in units of the comparator's spread, so that one axis fits all."""
    import pandas as pd

    spread = {row["category"]: row["sd_comparator"] for row in itt}
    data = look.counted(pd.DataFrame([
        {
            "label": row["measure"], **{n: row[n] for n in N},
            **{k: row[v] / spread[row["category"]] if spread[row["category"]] else math.nan
               for k, v in (("estimate", "estimate"), ("low", "conf_low"), ("high", "conf_high"))},
        }
        for row in rows
    ]))  # fmt: skip
    figure = look.figure(
        "forest", data, {"scale": "linear", "null": 0.0, "exposed": plan.offered, "comparator": plan.not_offered,
                         "xlabel": f"{look.contrast(plan)}, standard deviations of the comparator (95% CI)"},
    )  # fmt: skip
    columns = (
        Column("label", "Outcome"), Column("n_exposed", plan.offered, "count", "n"),
        Column("n_comparator", plan.not_offered, "count", "n"),
        Column("estimate", "Effect (95% CI)", "number2", "SD", of=N, low="low", high="high"),
    )  # fmt: skip
    some = int(((data["low"] > 0) | (data["high"] < 0)).sum())
    said = f"{some} of {len(data)} intervals exclude no difference; about {0.05 * len(data):.1f} would by chance alone."
    return Result(
        "forest", f"{look.contrast(plan)} on all outcomes", data, columns, sentence=said, figure=figure, alt=said
    )


def complier(plan: TrialPlan, rows: list[Row], itt: list[Row]) -> Result:
    """The effect of taking part."""
    if not rows:
        return look.not_done("complier", "Effect of taking part", "No column of take-up was named.")
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    frame = look.framed(plan, rows, spreads)
    more, unit = look.unit_columns(frame)
    money = look.currency_of(plan)
    ends: dict[str, Any] = {"of": N, "format_by": "format_difference", "spanner": "Anderson–Rubin 95% set"}
    columns = (
        Column("measure", "Outcome"), *more, Column("n_exposed", plan.offered, "count", "n"),
        Column("n_comparator", plan.not_offered, "count", "n"),
        look.difference_column(plan, "Effect of taking part", unit), Column("p_value", "P", "p", of=N),
        Column("first_stage", "Take-up", "fraction", "offered less not", "First stage", of=N),
        Column("first_stage_f", "Effective F", "number0", "", "First stage", of=()),
        Column("ar_low", "from", "number1", money, **ends), Column("ar_high", "to", "number1", money, **ends),
        Column("ar_kind", "Shape", "text", spanner="Anderson–Rubin 95% set", of=()),
    )  # fmt: skip
    row = rows[0]
    said = look.interval(row["estimate"], row["conf_low"], row["conf_high"], str(row["unit"] or ""))
    notes = (
        "Two-stage least squares, the random offer as the instrument; the effect in those who take part because of it. "
        f"Standard errors: {rows[0]['se_kind']}.",
        "Assumes that the offer acts only through taking part, and that nobody does the opposite of what was offered.",
        *look.notes_of(frame),
    )
    return Result(
        "complier", "Effect of taking part, by the random offer", frame, columns, notes,
        f"{row['measure']}: effect of taking part {said}; the offer raises taking part by "
        f"{100 * row['first_stage']:.1f} points (F {row['first_stage_f']:,.0f}).",
    )  # fmt: skip


def first_stage_check(rows: list[Row]) -> Check:
    """Whether the offer moves the take-up enough."""
    import pandas as pd

    strengths = [(row["measure"], row["first_stage_f"]) for row in rows if math.isfinite(row["first_stage_f"])]
    frame = pd.DataFrame(strengths or [("no take-up named", math.nan)], columns=["measure", "f"])
    least = float(frame["f"].min())
    columns = (Column("measure", "Outcome"), Column("f", "Effective F", "number0", of=()))
    return Check(
        "check_first_stage", "Does the offer move the take-up?", frame, columns,
        sentence=f"Smallest first-stage F: {words.number(least, 0)}; below {STRONG:g} the instrument is weak.",
        observed=None if math.isnan(least) else least, threshold=STRONG,
        passed=None if math.isnan(least) else least >= STRONG,
        why="A weak instrument makes two-stage least squares wrong in centre and in width.",
    )  # fmt: skip


def multiplicity(plan: TrialPlan, rows: list[Row], itt: list[Row]) -> Result:
    """P values that account for the number of outcomes."""
    if not rows:
        return look.not_done("multiplicity", "P values and the number of outcomes", "No family of outcomes was named.")
    spreads = {row["category"]: row["sd_comparator"] for row in itt}
    frame = look.framed(plan, rows, spreads)
    more, _ = look.unit_columns(frame)
    columns = (
        Column("measure", "Outcome"), *more,
        Column("estimate", "Effect", "number1", look.currency_of(plan), of=N, format_by="format_difference"),
        Column("p_unadjusted", "Unadjusted", "p", "", "P", of=N),
        Column("adjusted", "Westfall–Young", "p", "", "P", of=N), Column("holm", "Holm", "p", "", "P", of=N),
        Column("benjamini_hochberg", "Benjamini–Hochberg", "p", "", "P", of=N),
    )  # fmt: skip
    before, after = (int((frame[c] < 0.05).sum()) for c in ("p_unadjusted", "adjusted"))
    said = f"{before} of {len(frame)} P values are below .05 one by one; {after} after Westfall–Young's adjustment."
    notes = (
        f"Westfall–Young: step-down of the smallest P, {plan.bootstrap:,} bootstrap replicates (seed {plan.seed}). "
        "It and Holm control the chance of any false finding in a family, Benjamini–Hochberg the share of false ones.",
        *look.notes_of(frame),
    )
    return Result(
        "multiplicity", "P values and the number of outcomes", frame, columns, notes, said,
        group_by="family" if frame["family"].nunique() > 1 else None,
    )  # fmt: skip


def indices(plan: TrialPlan, rows: list[Row]) -> Result:
    """One effect for each family of outcomes."""
    if not rows:
        return look.not_done("indices", "Standardised average effects", "No index of outcomes was named.")
    import pandas as pd

    frame = look.counted(pd.DataFrame(rows))
    columns = (
        Column("measure", "Index"), Column("outcomes", "Outcomes", "number0", of=()),
        Column("estimate", "Average effect (95% CI)", "number2", "SD", of=N, low="conf_low", high="conf_high"),
        Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    row = rows[0]
    said = f"{row['measure']}: {words.number(row['estimate'], 2)} SD (95% CI {words.number(row['conf_low'], 2)} to "
    notes = ("The mean over outcomes of effect / SD of the comparator, from one stacked regression.",)
    return Result(
        "indices", "Standardised average effects", frame, columns, (*notes, *look.notes_of(frame)),
        f"{said}{words.number(row['conf_high'], 2)}).",
    )  # fmt: skip


def _p(p: float) -> str:
    if math.isnan(p):
        return "not estimable"
    if p < 0.001:
        return "<.001"
    return f"{p:.3f}".lstrip("0") if p < 0.01 else f"{p:.2f}".lstrip("0")
