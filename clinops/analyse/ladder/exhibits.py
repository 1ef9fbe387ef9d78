"""Exhibits of the bias ladder: the rungs, what lint said before anything ran, the published pairs, one check."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from clinops.analyse.ladder.anchors import ANCHORS
from clinops.analyse.ladder.climb import Climbed
from clinops.analyse.ladder.rungs import GUARDED
from clinops.results.result import Check, Column, Figure, Result

CHANGE = "Change in admissions, % (95% CI)"


def _frame(climbed: tuple[Climbed, ...]) -> Any:
    import pandas as pd

    return pd.DataFrame([
        {
            "bias": one.rung.bias, "comparison": one.rung.label, "kind": one.rung.kind,
            "n_exposed": one.row["n_exposed"], "n_comparator": one.row["n_comparator"] or None,
            "change": one.change, "low": one.low, "high": one.high, "lint": _rules(one), "checks": _verdicts(one),
            "remedy": one.rung.remedy or "this is the guard",
        }
        for one in climbed
    ]).astype({"n_comparator": "Int64"})  # fmt: skip


def _signed(percent: float, digits: int = 1) -> str:
    """A change with its sign; a minus is a minus and no hyphen."""
    return f"{percent:+.{digits}f}%".replace("-", "\u2212")


def _rules(one: Climbed) -> str:
    """What lint found, errors first; "nothing" for a sound design."""
    kinds: dict[str, dict[str, None]] = {}
    for found in one.rung.findings:
        kinds.setdefault(found.severity, {})[found.rule] = None
    return "; ".join(f"{kind}: {', '.join(rules)}" for kind, rules in kinds.items()) or "nothing"


def _verdicts(one: Climbed) -> str:
    kinds = {"failed": one.failed, "passed": one.passed}
    said = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    return "; ".join(said) or "none: nobody to compare with"


def ladder(climbed: tuple[Climbed, ...], persons: int) -> Result:
    """Every rung: who was compared, what came out, what lint and the checks said, and what removes the bias."""
    frame = _frame(climbed)
    biased = [one.change for one in climbed if one.rung.kind != GUARDED]
    guards = [one.change for one in climbed if one.rung.kind == GUARDED]
    columns = (
        Column("comparison", "Comparison"), Column("n_exposed", "Exposed", "count", "n"),
        Column("n_comparator", "Comparators", "count", "n", missing="none"),
        Column("change", CHANGE, "number1", low="low", high="high", of=("n_exposed", "n_comparator")),
        Column("lint", "What lint says before anything runs"), Column("checks", "What the checks say"),
        Column("remedy", "What removes it"),
    )  # fmt: skip
    return Result(
        "bias_ladder", "Popular comparisons where nothing has an effect", frame, columns,
        (f"Simulated records of {persons:,} persons; the true change is 0% in every row.",
         "Change: ratio of mean admissions in days 1 to 182, less 1. Intervals of 95% (robust, clustered by person or "
         "matched set); of the difference of changes, with the mean without the programme taken as known.",
         "Lint was run on each design as it is written in the definitions; errors had to be allowed by name to go on."),
        f"With no effect at all the popular comparisons find from {_signed(min(biased), 0)} to "
        f"{_signed(max(biased), 0)}, the guarded ones from {_signed(min(guards))} to {_signed(max(guards))}.",
        group_by="bias", label_column="comparison",
    )  # fmt: skip


def forest(climbed: tuple[Climbed, ...]) -> Result:
    """Every rung but the one off the scale, against no effect."""
    frame = _frame(climbed)
    drawn = frame[frame["change"].abs() <= 100].rename(columns={"comparison": "label", "change": "estimate"})
    left = frame[frame["change"].abs() > 100]
    drawn = drawn.assign(group=drawn["bias"], label=np.where(drawn["kind"] == GUARDED, "Guard: ", "") + drawn["label"])
    kept = drawn[["label", "group", "estimate", "low", "high", "n_exposed", "n_comparator"]].reset_index(drop=True)
    said = "; ".join(
        f"{label} {_signed(row.estimate)} ({_signed(row.low)} to {_signed(row.high)})"
        for label, row in zip(kept["label"], kept.itertuples(), strict=True)
    )
    notes = tuple(f"Not drawn: {row.comparison}, {_signed(row.change, 0)}." for row in left.itertuples())
    columns = (
        Column("label", "Comparison"),
        Column("estimate", CHANGE, "number1", low="low", high="high", of=("n_exposed", "n_comparator")),
    )  # fmt: skip
    figure = Figure(
        "forest", kept, {"xlabel": CHANGE, "null": 0.0, "scale": "linear"}, counts=("n_exposed", "n_comparator"),
        of=dict.fromkeys(("estimate", "low", "high"), ("n_exposed", "n_comparator")),
    )  # fmt: skip
    return Result(
        "bias_forest", "The bias ladder against no effect", kept, columns, notes,
        "Each guard lies on the line of no effect, each mistake beside it.", figure=figure,
        alt=f"Forest of relative changes, true value 0: {said}.", group_by=None,
    )  # fmt: skip


def lint_says(climbed: tuple[Climbed, ...]) -> Result:
    """Every rule that lint named, in its own words, and in which designs."""
    import pandas as pd

    rules: dict[str, dict[str, Any]] = {}
    for one in climbed:
        for found in dict.fromkeys((f.rule, f.severity, f.why, f.remedy) for f in one.rung.findings):
            rule, severity, why, remedy = found
            row = rules.setdefault(
                rule, {"rule": rule, "severity": severity, "why": why, "remedy": remedy, "designs": []}
            )
            row["designs"].append(one.rung.label)
    rows = sorted(rules.values(), key=lambda row: (row["severity"], row["rule"]))
    frame = pd.DataFrame([row | {"designs": "; ".join(row["designs"])} for row in rows])
    columns = (
        Column("rule", "Rule"), Column("severity", "Severity"), Column("designs", "Named in"),
        Column("why", "Why it biases"), Column("remedy", "Remedy"),
    )  # fmt: skip
    silent = sum(not len(one.rung.findings) for one in climbed)
    return Result(
        "bias_lint", "What lint says of the designs", frame, columns,
        sentence=f"Lint names {len(rows)} rules in {len(climbed) - silent} designs and passes {silent} in silence.",
    )  # fmt: skip


def anchors() -> Result:
    """The same in the literature: published pairs of a popular and a guarded comparison."""
    import pandas as pd

    rows = []
    for one in ANCHORS:
        row = asdict(one)
        for side in ("popular", "guarded"):
            row[side], row[f"{side}_low"], row[f"{side}_high"] = getattr(one, side)
        rows.append(row)
    frame = pd.DataFrame(rows)
    columns = (
        Column("programme", "Programme"), Column("popular_by", "Comparison", spanner="Popular"),
        Column("popular", "Found (95% CI)", "number2", low="popular_low", high="popular_high", spanner="Popular",
               of=()),
        Column("guarded_by", "Comparison", spanner="Guarded"),
        Column("guarded", "Found (95% CI)", "number2", low="guarded_low", high="guarded_high", spanner="Guarded",
               missing="not printed", of=()),
        Column("unit", "Unit"), Column("source", "Source"),
    )  # fmt: skip
    return Result(
        "bias_anchors", "Published pairs: the same kind of programme by two designs", frame, columns,
        ("Numbers as published; the intervals of Illinois from the printed standard errors (plus and minus 1.96).",
         "Two of the pairs are different studies of like programmes, not one study analysed twice."),
        "In the literature too a popular comparison and a guarded one disagree, and not always in the same direction.",
    )  # fmt: skip


def check(climbed: tuple[Climbed, ...]) -> Check:
    """Whether the guarded comparisons find nothing, as they should: none of them beyond chance at 1 % together."""
    import pandas as pd

    guards = [one for one in climbed if one.rung.kind == GUARDED]
    threshold = 0.01 / len(guards)
    rows = [{"comparison": g.rung.label, "change": g.change, "low": g.low, "high": g.high,
             "n_exposed": g.row["n_exposed"], "p_value": g.row["p_value"]} for g in guards]  # fmt: skip
    smallest = min(float(g.row["p_value"]) for g in guards)
    return Check(
        "check_guards", "Do the guarded comparisons find nothing?", pd.DataFrame(rows),
        (Column("comparison", "Comparison"), Column("n_exposed", "Exposed", "count", "n"),
         Column("change", CHANGE, "number1", low="low", high="high", of=("n_exposed",)),
         Column("p_value", "P", "p", of=("n_exposed",))),
        sentence=f"The smallest P of the {len(guards)} guarded comparisons is {smallest:.3f}; the threshold is "
        f"{threshold:.4f} (0.01 divided by their number).",
        observed=smallest, threshold=threshold, passed=smallest >= threshold,
        why="In a world without an effect a design that finds one is wrong, whatever its precision.",
    )  # fmt: skip
