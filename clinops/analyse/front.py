"""The first page: the evaluation as a structured abstract, filled from results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.capture import capture_of
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import MAIN
from clinops.analyse.exhibits.effects import effect_frame, pick
from clinops.analyse.verdict import worthwhile_in
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

ADMISSION, EMERGENCY = (9201, 262), (9203, 262)
"""Standard concepts of an inpatient stay and of an emergency visit; 262 is one that became the other."""

ORDER = ("primary", "safety", "balancing", "secondary")


def facts(protocol: Protocol, source: Any, data: Dataset) -> dict[str, str]:
    """The design in labelled sentences."""
    exposed, comparator = protocol.exposed, protocol.comparator
    first, last = source.span
    dates = data.baseline["index_date"]
    same = exposed.entry == comparator.entry
    zero = exposed.entry.label if same else f"{exposed.entry.label} v {comparator.entry.label.lower()}"
    which = {e.which for e in (exposed.entry, comparator.entry)}
    rules = ", ".join(sorted(word for word in which if word not in zero.lower()))
    counts = [
        f"{_persons(int(arm.sum()), protocol.min_cell)} {name}"
        for arm, name in ((data.exposed, exposed.name), (~data.exposed, comparator.name))
    ]
    rule = f"; {protocol.follow_up.capture}" if protocol.follow_up.capture else ""
    return {
        "question": protocol.question,
        "who_v_whom": f"{exposed.name} v {comparator.name}",
        "time_zero": f"{zero}{f' ({rules})' if rules else ''}; follow-up {protocol.follow_up.window}",
        "period": f"Index dates {dates.min():%Y-%m-%d} to {dates.max():%Y-%m-%d}; records {first} to {last}",
        "n": " and ".join(counts),
        "capture": f"{source.name}: {capture_of(source)}{rule}",
    }


def _persons(n: int, min_cell: int) -> str:
    return f"<{min_cell}" if 0 < n < min_cell else f"{n:,}"


def detectable_sentence(found: tuple[float, str] | None, measure: Measure | None, currency: str) -> str:
    """The smallest effect that could have been seen beside the smallest worth having."""
    if found is None or measure is None:
        return ""
    size, unit = found[0], found[1].replace("currency", currency)
    seen = f"{words.number(size)} {unit}" if np.isfinite(size) else "no difference at all"
    worth = "the protocol does not say which difference would be worth having"
    if measure.worthwhile is not None:
        worth = f"the smallest worth having is {words.number(worthwhile_in(measure, unit) or 0)}"
    return f"With these persons a difference of {seen} in {measure.name.lower()} could be seen (power 80%); {worth}."


def main_table(estimates: pd.DataFrame, protocol: Protocol) -> Result:
    """The primary outcome, then safety and the rest: each arm, the difference and its interval."""
    page = [m for m in protocol.outcomes if m.role == "primary" or m.measure != "cost" or m.category == "total"]
    ordered = sorted(page, key=lambda m: ORDER.index(m.role or "secondary"))
    frame = effect_frame(estimates, protocol, tuple(ordered), "main")
    frame = frame[frame["scale"] != "PMPM difference"].reset_index(drop=True)
    counts = ("events_exposed", "events_comparator")
    columns = (
        Column("measure", "Outcome"), Column("role", "Role"), Column("unit", "Unit"),
        Column("value_exposed", protocol.exposed.name, "number1", of="events_exposed", format_by="format"),
        Column("value_comparator", protocol.comparator.name, "number1", of="events_comparator", format_by="format"),
        Column("difference_estimate", "Difference (95% CI)", "number1", of=counts, format_by="format",
               low="difference_low", high="difference_high"),
    )  # fmt: skip
    return Result("main", f"Main results, {protocol.adjust.label}", frame, columns,
                  ("Values are adjusted; a risk is the cumulative risk by the end of the window.",
                   *absent(protocol)))  # fmt: skip


def absent(protocol: Protocol) -> tuple[str, ...]:
    """Say which outcomes that a reader looks for are not among those of the protocol."""
    found = {
        "deaths": lambda m: m.events is not None and m.events.domain == "death",
        "admissions": lambda m: _is_visit(m, ADMISSION),
        "emergency visits": lambda m: _is_visit(m, EMERGENCY),
        "days at home": lambda m: m.measure == "days at home",
        "a measure of safety": lambda m: m.role == "safety",
    }
    missing = [name for name, is_one in found.items() if not any(is_one(m) for m in protocol.outcomes)]
    return (f"Not among the outcomes of this protocol: {', '.join(missing)}.",) if missing else ()


def _is_visit(measure: Measure, concepts: tuple[int, ...]) -> bool:
    events = measure.events
    if events is None or events.domain != "visit" or events.codes is None:
        return False
    return bool(set(events.codes.concept_ids) & set(concepts))


def strip(estimates: pd.DataFrame, protocol: Protocol, truth: float | None) -> Result | None:
    """Naive beside adjusted (and the truth, where it is known), on one slim axis."""
    import pandas as pd

    primary = protocol.primary
    if primary is None:
        return None
    scale = MAIN[primary.measure]
    rows = []
    for label, adjustment in (("Crude", "crude"), (f"Adjusted: {protocol.adjust.label}", protocol.adjust.label)):
        row = pick(estimates, primary, scale, adjustment)
        if row is not None and (adjustment != "crude" or protocol.adjust.method != "none" or label == "Crude"):
            rows.append({"label": label, "estimate": row["estimate"], "low": row["conf_low"], "high": row["conf_high"]})
    if not rows:
        return None  # these records cannot give the primary outcome; the verdict and the limits say so
    if truth is not None:
        rows.append({"label": "Truth (simulated)", "estimate": truth, "low": np.nan, "high": np.nan})
    frame = pd.DataFrame(rows).drop_duplicates("label", ignore_index=True)
    said = pick_unit(estimates, primary, scale)
    worthwhile = worthwhile_in(primary, said)
    side = 1 if primary.better == "higher" else -1
    options = {
        "unit": said, "null": 0.0, "better": primary.better,
        "worthwhile": None if worthwhile is None else side * worthwhile,
    }  # fmt: skip
    columns = (
        Column("label", "Comparison"),
        Column("estimate", f"Difference, {said} (95% CI)", "number1", low="low", high="high"),
    )
    values = {r["label"].split(":")[0]: float(r["estimate"]) for r in rows if r["estimate"] == r["estimate"]}
    listed = "; ".join(f"{label.lower()} {words.number(value)}" for label, value in values.items())
    unit = said if said.startswith("per ") else f"in {said}"
    sentence = f"{primary.name}, difference {unit}: {listed or 'not estimable'}."
    return Result("strip", f"Naive beside adjusted: {primary.name}", frame, columns, sentence=sentence,
                  figure=Figure("strip", frame, options), alt=sentence)  # fmt: skip


def pick_unit(estimates: pd.DataFrame, measure: Measure, scale: str) -> str:
    """The unit that a measure's scale is printed in."""
    rows = estimates[(estimates["measure"] == measure.name) & (estimates["scale"] == scale)]["unit"].dropna()
    return str(rows.iloc[0]) if len(rows) else ""
