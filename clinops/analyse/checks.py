"""Checks that can fail: each observes something, holds it against a threshold and says why it matters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import scales
from clinops.analyse.exhibits.effects import pick
from clinops.define.findings import Findings
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Check, Column, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.sensitivity import EValue

FOLLOW_UP_GAP = 0.05
"""Arms whose observed share of the window differs by more than this are watched unequally."""


def design_check(findings: Findings, name: str = "check_design") -> Check:
    """Whether the design passed lint without an allowance."""
    frame = findings.frame
    allowed = findings.allowed
    said = (
        f"{len(allowed)} design error(s) were allowed by name: {', '.join(f.rule for f in allowed)}."
        if allowed
        else f"No design error; {len(findings.warnings)} warning(s)."
    )
    columns = (
        Column("severity", "Severity"), Column("rule", "Rule"), Column("what", "What was found"),
        Column("why", "Why it biases"), Column("remedy", "Remedy"), Column("allowed", "Allowed, because"),
    )  # fmt: skip
    return Check(
        name, "Does the design avoid the known mistakes?", frame, columns, sentence=said,
        observed=len(allowed) + len(findings.errors), threshold=0, passed=not allowed and not findings.errors,
        why="A design error biases the estimate whatever the size of the data.",
    )  # fmt: skip


def follow_up_check(data: Dataset, outcomes: pd.DataFrame, protocol: Protocol) -> Check:
    """Whether both arms were watched for the same share of the window."""
    import pandas as pd

    window = protocol.follow_up.window
    days = outcomes["observed_days"].to_numpy(dtype=float)
    length = float(window.length or days.max(initial=0.0))
    rows = []
    for name, arm in ((protocol.exposed.name, data.exposed), (protocol.comparator.name, ~data.exposed)):
        ends = outcomes.loc[arm, "end_reason"].value_counts()
        share = float(days[arm].mean()) / length if arm.any() and length > 0 else float("nan")
        row: dict[str, Any] = {"arm": name, "n": int(arm.sum()), "share": share}
        row |= {f"end_{reason}": int(ends.get(reason, 0)) for reason in sorted(outcomes["end_reason"].unique())}
        rows.append(row)
    frame = pd.DataFrame(rows)
    gap = float(abs(frame["share"].iloc[0] - frame["share"].iloc[1]))
    known = bool(np.isfinite(gap))
    shares = [f"{100 * share:.1f}%" for share in frame["share"]]
    reasons = [c for c in frame.columns if c.startswith("end_")]
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("share", "Share of the window observed", "fraction"),
        *(Column(c, f"Ended by {c.removeprefix('end_')}", "percent", "n (%)", denominator="n") for c in reasons),
    )  # fmt: skip
    return Check(
        "check_follow_up", "Were both arms watched alike?", frame, columns,
        sentence=f"The arms were observed for {shares[0]} and {shares[1]} of the window."
        if known else "Not judged: an arm is empty, or nobody was observed in the window.",
        observed=gap, threshold=FOLLOW_UP_GAP, passed=gap <= FOLLOW_UP_GAP if known else None,
        why="Where one arm is lost sooner, its costs and events are missed more often.",
    )  # fmt: skip


def negative_control_check(estimates: pd.DataFrame, protocol: Protocol) -> Check:
    """Whether outcomes that the exposure cannot change show no effect, allowing for their number."""
    import pandas as pd

    rows = [_control(estimates, protocol, m) for m in protocol.negative_controls]
    found = [r for r in rows if r is not None]
    frame = pd.DataFrame(found, columns=["measure", *_CONTROL])
    tested = frame["p_value"].dropna()
    threshold = 0.05 / max(len(tested), 1)
    smallest = float(tested.min()) if len(tested) else None
    passed = None if smallest is None else smallest >= threshold
    columns = (
        Column("measure", "Negative control"),
        Column("events_exposed", protocol.exposed.name, "count", "events"),
        Column("events_comparator", protocol.comparator.name, "count", "events"),
        Column("crude", "Crude", "ratio", "ratio (95% CI)", low="crude_low", high="crude_high", of=_EVENTS),
        Column("adjusted", "Adjusted", "ratio", "ratio (95% CI)", low="adjusted_low", high="adjusted_high", of=_EVENTS),
    )
    said = (
        f"{len(tested)} negative controls; the smallest P is {smallest:.3f} against a threshold of {threshold:.3f} "
        "(0.05 divided by their number)."
        if smallest is not None
        else f"None of {len(protocol.negative_controls)} negative controls could be judged."
        if protocol.negative_controls
        else "The protocol names no negative control."
    )
    notes = ["P: of the ratio; of the difference where no ratio can be had (no events in an arm)."] * bool(len(tested))
    notes += ["A single negative control says little."] * (len(tested) == 1)
    return Check(
        "check_negative_controls", "Do outcomes that cannot be affected show no effect?", frame, columns, tuple(notes),
        said, observed=smallest, threshold=threshold, passed=passed,
        why="An effect on an outcome that the exposure cannot change is confounding or unequal observation, and the "
        "other estimates share it.",
    )  # fmt: skip


_EVENTS = ("events_exposed", "events_comparator")
_CONTROL = (
    "events_exposed", "events_comparator", "crude", "crude_low", "crude_high", "adjusted", "adjusted_low",
    "adjusted_high", "p_value",
)  # fmt: skip


def _control(estimates: pd.DataFrame, protocol: Protocol, measure: Measure) -> dict[str, Any] | None:
    main, scale = scales(measure, protocol.adjust)
    adjusted = pick(estimates, measure, scale, protocol.adjust.label, "negative control")
    crude = pick(estimates, measure, scale, "crude", "negative control")
    if adjusted is None:
        return None
    p_value = _number(adjusted["p_value"])
    if np.isnan(p_value):
        absolute = pick(estimates, measure, main, protocol.adjust.label, "negative control")
        p_value = p_value if absolute is None else _number(absolute["p_value"])
    row = {"measure": measure.name, "p_value": p_value}
    row |= {name: adjusted[name] for name in _EVENTS}
    for name, found in (("crude", crude), ("adjusted", adjusted)):
        for end, column in (("", "estimate"), ("_low", "conf_low"), ("_high", "conf_high")):
            row[f"{name}{end}"] = np.nan if found is None else _number(found[column])
    return row


def _number(value: Any) -> float:
    return float("nan") if value is None or value != value else float(value)


def e_values(data: Dataset, estimates: pd.DataFrame, protocol: Protocol) -> Check:
    """How strong an unmeasured confounder would have to be; a description, never a verdict.

    `observed` is that of the primary outcome (of the first, where none is primary); None where it has none.
    """
    import pandas as pd

    rows = [_e_value(data, estimates, protocol, m) for m in protocol.outcomes if data.has(m)]
    frame = pd.DataFrame(rows, columns=["measure", "scale", "estimate", "low", "high", "e_value", "e_limit"])
    columns = (
        Column("measure", "Outcome"), Column("scale", "Scale"),
        Column("estimate", "Adjusted (95% CI)", "ratio", low="low", high="high"),
        Column("e_value", "E-value", "ratio"), Column("e_limit", "E-value of the limit nearer no effect", "ratio"),
    )  # fmt: skip
    name = protocol.primary.name if protocol.primary else None
    first = frame[frame["measure"] == name] if name else frame.head(1)
    found = first[np.isfinite(first["e_value"].to_numpy(dtype=float))]
    return Check(
        "e_values", "How strong would unmeasured confounding have to be?", frame, columns,
        ("An E-value has no threshold: whether such a confounder is likely is a judgement about the setting.",
         "Costs and days: approximated from the difference in standard deviations (VanderWeele and Ding 2017)."),
        _e_sentence(found), observed=None if found.empty else float(found["e_value"].iloc[0]), threshold=None,
        passed=None, why="Adjustment reaches only what was measured.",
    )  # fmt: skip


def _e_sentence(found: pd.DataFrame) -> str:
    if found.empty:
        return "No E-value: the effect on the primary outcome could not be estimated."
    row = found.iloc[0]
    said = (
        f"{row['measure']}: a confounder would need risk ratios of {row['e_value']:.2f} with both exposure and outcome"
    )
    if np.isnan(row["e_limit"]):
        return f"{said} to explain the estimate; it has no interval."
    return f"{said} to explain the estimate, {row['e_limit']:.2f} to move the interval to no effect."


def _e_value(data: Dataset, estimates: pd.DataFrame, protocol: Protocol, measure: Measure) -> dict[str, Any]:
    """One outcome's row; its numbers are NaN where the effect, or the outcome's spread, does not exist."""
    from clinops.stats import sensitivity

    _, scale = scales(measure, protocol.adjust)
    row = pick(estimates, measure, scale, protocol.adjust.label)
    estimate, low, high = _ends(row)
    if scale == "mean ratio":
        row = pick(estimates, measure, "mean difference", protocol.adjust.label)
        found = _e_of_means(row, data.column(measure))
    elif row is None or np.isnan(estimate):
        found, low, high = None, np.nan, np.nan  # limits without an estimate say nothing of an E-value
    elif scale == "hazard ratio":
        events = float(row["events_exposed"] + row["events_comparator"])
        rare = events / max(float(row["n_exposed"] + row["n_comparator"]), 1) < 0.15
        found = sensitivity.evalue_hr(estimate, low, high, rare=rare)
    else:
        found = sensitivity.evalue_rr(estimate, low, high)
    return {
        "measure": measure.name, "scale": scale, "estimate": estimate, "low": low, "high": high,
        "e_value": np.nan if found is None else found.point, "e_limit": np.nan if found is None else found.limit,
    }  # fmt: skip


def _e_of_means(row: pd.Series | None, values: np.ndarray) -> EValue | None:
    """E-value of a difference of means in standard deviations of the outcome; None where either is missing."""
    from clinops.stats.sensitivity import evalue_md

    known = values[np.isfinite(values)]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    if row is None or not spread > 0 or np.isnan(_number(row["estimate"])):
        return None
    return evalue_md(_number(row["estimate"]) / spread, se=_number(row["std_error"]) / spread)


def _ends(row: pd.Series | None) -> tuple[float, float, float]:
    if row is None:
        return np.nan, np.nan, np.nan
    return _number(row["estimate"]), _number(row["conf_low"]), _number(row["conf_high"])


def summary(checks: Iterable[Check]) -> Result:
    """All checks in one table: the question, what was observed, the threshold, the verdict."""
    import pandas as pd

    listed = tuple(checks)
    rows = [{"check": c.title, "observed": c.sentence, "verdict": c.verdict, "why": c.why} for c in listed]
    frame = pd.DataFrame(rows, columns=["check", "observed", "verdict", "why"])
    columns = (
        Column("check", "Check"), Column("verdict", "Verdict"), Column("observed", "Observed"),
        Column("why", "Why it matters"),
    )  # fmt: skip
    failed = sum(c.passed is False for c in listed)
    return Result("checks", "Checks", frame, columns, sentence=f"{failed} of {len(frame)} checks failed.")
