"""Curves of groups as exhibits: risk with differences at landmarks, times, ratios and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.curves.estimates import Estimates
from clinops.analyse.exhibits.curves import thinned
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

Days = tuple[float, ...]
AT_RISK = ("n_risk", "n_reference")


def risk(made: Estimates, landmarks: Days, event: str, unit: str) -> Result:
    """Cumulative risk of each group with the numbers at risk, and at landmarks what it differs by."""
    import pandas as pd

    groups = made.groups
    parts = [_curve(made, at) for at in range(len(groups.names))]
    parts += [_at_risk(made, at, np.array([0.0, *landmarks])) for at in range(len(groups.names))]
    table = _risks(made, landmarks)
    pair = len(groups.names) == 2
    if pair:
        parts.append(_gaps(table, groups.names))
    columns = [
        Column("group", "Group"), Column("n_risk", "At risk", "count", "persons"),
        Column("risk", "Risk (95% CI)", "number1", "%", low="low", high="high", of="n_risk"),
    ]  # fmt: skip
    if len(groups.names) > 1:
        columns += [
            Column("difference", f"Difference from {groups.names[0]} (95% CI)", "number1", "percentage points",
                   low="difference_low", high="difference_high", of=AT_RISK, missing="–"),
            Column("ratio", "Risk ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=AT_RISK,
                   missing="–"),
        ]  # fmt: skip
    said = _said(table, landmarks[-1], event, unit, pair)
    options = {
        "xlabel": unit[:1].upper() + unit[1:], "ylabel": f"Cumulative risk: {event}", "horizon": made.horizon,
        "adjustment": groups.adjustment,
    }  # fmt: skip
    kind = "cumulative_incidence" if pair else "survival"
    figure = Figure(kind, pd.concat(parts, ignore_index=True), options, counts=("n_risk",),
                    of=dict.fromkeys(("risk", "low", "high"), ("n_risk",)))  # fmt: skip
    return Result(
        "risk", f"{event}: cumulative risk by group", table, tuple(columns),
        (f"One minus Kaplan-Meier, {groups.adjustment}; log-log intervals. Numbers at risk are rows, not weights.",
         *_told(table, "day", unit)), said, figure=figure, alt=said, group_by="when",
    )  # fmt: skip


def _still(made: Estimates, group: int, times: Any) -> Any:
    """Rows at risk just before each time: entered, and not yet ended; at the very start, all who enter then."""
    rows = made.curves[group].rows
    ended = np.searchsorted(np.sort(rows.exit), times, side="left")
    entered = np.searchsorted(np.sort(rows.entry), times, side="left")
    begins = np.where(times == rows.entry.min(), (rows.entry == rows.entry.min()).sum(), 0)
    return np.maximum(entered - ended, 0) + begins


def _curve(made: Estimates, group: int) -> pd.DataFrame:
    import pandas as pd

    curve = made.curves[group]
    steps = thinned(np.flatnonzero((curve.n_event > 0) & (curve.time <= made.horizon)))
    time = np.concatenate([[0.0], curve.time[steps]])

    def read(values: Any) -> Any:
        return 1 - np.concatenate([[1.0], values[steps]])

    return pd.DataFrame({
        "arm": made.groups.names[group], "cause": "", "kind": "curve", "time": time, "risk": read(curve.survival),
        "low": read(curve.conf_high), "high": read(curve.conf_low), "n_risk": _still(made, group, time),
    })  # fmt: skip


def _at_risk(made: Estimates, group: int, days: Any) -> pd.DataFrame:
    import pandas as pd

    at = made.curves[group].at(days)
    return pd.DataFrame({
        "arm": made.groups.names[group], "cause": "", "kind": "at risk", "time": days, "risk": 1 - at.survival,
        "low": 1 - at.conf_high, "high": 1 - at.conf_low, "n_risk": _still(made, group, days),
    })  # fmt: skip


def _risks(made: Estimates, landmarks: Days) -> pd.DataFrame:
    """One line a landmark and group."""
    import pandas as pd

    names, lines = made.groups.names, []
    for day in landmarks:
        here = np.array([day])
        reference = int(_still(made, 0, here)[0])
        for group, name in enumerate(names):
            at, why = made.curves[group].at(here), made.unknown(group, day)
            line: dict[str, Any] = {
                "when": f"By {day:g}", "day": day, "group": name, "n_risk": int(_still(made, group, here)[0]),
                "n_reference": reference, "note": why,
            }  # fmt: skip
            values = (1 - at.survival[0], 1 - at.conf_high[0], 1 - at.conf_low[0])
            line |= dict(zip(("risk", "low", "high"), (np.nan if why else 100 * v for v in values), strict=True))
            lines.append(line | (_against(made, group, day) if group else {}))
    columns = ("difference", "difference_low", "difference_high", "ratio", "ratio_low", "ratio_high")
    frame = pd.DataFrame(lines)
    return frame.reindex(columns=[*frame.columns, *(name for name in columns if name not in frame.columns)])


def _against(made: Estimates, group: int, day: float) -> dict[str, Any]:
    why = made.unknown(group, day) or made.unknown(0, day)
    if why:
        return {"note": why}
    gap, ratio = (made.risk(group, day, scale) for scale in ("difference", "ratio"))
    return {
        "difference": 100 * gap.estimate, "difference_low": 100 * gap.conf_low, "difference_high": 100 * gap.conf_high,
        "ratio": ratio.estimate, "ratio_low": ratio.conf_low, "ratio_high": ratio.conf_high,
        "note": gap.note or ratio.note,
    }  # fmt: skip


def _gaps(table: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """Differences for the drawing; the number behind one is the smaller of both groups at risk."""
    import pandas as pd

    other = table[table["group"] == names[1]]
    return pd.DataFrame({
        "arm": f"{names[1]} v {names[0]}", "cause": "", "kind": "difference", "time": other["day"],
        "risk": other["difference"] / 100, "low": other["difference_low"] / 100,
        "high": other["difference_high"] / 100, "n_risk": other[list(AT_RISK)].min(axis=1),
    })  # fmt: skip


def _said(table: pd.DataFrame, day: float, event: str, unit: str, pair: bool) -> str:
    last = table[table["day"] == day]
    if pair:
        names, row = last["group"].tolist(), last.iloc[1]
        gap = words.interval(
            float(row["difference"]), float(row["difference_low"]), float(row["difference_high"]), "percentage points"
        )
        return f"{event} by {day:g} {unit}, {names[1]} minus {names[0]}: {gap}."
    pairs = zip(last["group"], last["risk"].astype(float), strict=True)
    risks = "; ".join(f"{group} {words.number(value, 1)}%" for group, value in pairs)
    return f"{event} by {day:g} {unit}: {risks}."


def _told(table: pd.DataFrame, head: str, unit: str) -> list[str]:
    """Why numbers are missing or uncertain, each reason once with the groups and times that it is about."""
    told: dict[str, list[str]] = {}
    for group, at, note in zip(table["group"], table[head], table["note"], strict=True):
        if note:
            told.setdefault(note, []).append(f"{group} by {at:g} {unit}" if head == "day" else f"{group}: {at}")
    return [f"{', '.join(where)}: {note}." for note, where in told.items()]


def times(made: Estimates, event: str, unit: str) -> Result:
    """Persons, events, follow-up, median and mean time free of the event, by group."""
    import pandas as pd

    lines = []
    for group, name in enumerate(made.groups.names):
        curve, rows = made.curves[group], made.groups.of(group)
        median, mean, why = curve.quantile(0.5), curve.rmst(made.horizon), made.unknown(group, 0.0)
        enter = 0.0 if rows["entry"] is None else rows["entry"]
        lines.append({
            "group": name, "n": curve.n, "events": curve.events, "time": float((rows["exit"] - enter).sum()),
            "median": median.estimate, "low": median.conf_low, "high": median.conf_high,
            "mean": np.nan if why else mean.estimate, "mean_low": np.nan if why else mean.conf_low,
            "mean_high": np.nan if why else mean.conf_high, "note": why or mean.note, "about": "mean",
        })  # fmt: skip
    frame = pd.DataFrame(lines)
    behind = ("n", "events")
    columns = (
        Column("group", "Group"), Column("n", "Rows followed", "count", "n"),
        Column("events", "Had the event", "percent", "n/all (%)", denominator="n"),
        Column("time", "Follow-up", "number0", f"person-{unit}", of="n"),
        Column("median", "Median time to it (95% CI)", "number0", unit, low="low", high="high", of=behind,
               missing="not reached"),
        Column("mean", f"Mean time free of it, to {made.horizon:g} (95% CI)", "number1", unit, low="mean_low",
               high="mean_high", of=behind),
    )  # fmt: skip
    said = "; ".join(f"{line['group']}: {line['events']:,} of {line['n']:,} had it" for line in lines) + "."
    aside = sum(curve.set_aside for curve in made.curves)
    notes = [f"{aside:,} rows without any follow-up (entry = exit) are set aside."] if aside else []
    return Result("times", f"{event}: follow-up and times by group", frame, columns,
                  (*notes, *_told(frame, "about", unit)), f"{event}. {said}")  # fmt: skip


def effects(made: Estimates, event: str, unit: str) -> Result:
    """Differences and ratios against the reference, and tests."""
    import pandas as pd

    names = made.groups.names
    lines: list[dict[str, Any]] = []
    for group in range(1, len(names)):
        contrast = f"{names[group]} v {names[0]}"
        lines += [{"contrast": contrast} | row for row in (*made.mean_rows(group), made.hazard_row(group))]
    lines += [{"contrast": "All groups"} | row for row in made.test_rows()]
    frame = pd.DataFrame(lines).reindex(
        columns=["contrast", "quantity", "unit", "estimate", "low", "high", "p_value", "note", "format"]
    )
    counts = [made.curves[group].events for group in range(len(names))]
    frame["events"], frame["n"] = min(counts), min(curve.n for curve in made.curves)
    frame["format"] = frame["format"].fillna("number2")
    frame.loc[frame["quantity"].str.startswith("Difference"), "unit"] = unit
    frame["unit"] = frame["unit"].fillna("")
    columns = (
        Column("quantity", "Quantity"), Column("unit", "Unit"),
        Column("estimate", "Estimate (95% CI), or statistic", "number2", low="low", high="high", format_by="format",
               of=("n", "events")),
        Column("p_value", "P", "p", of=("n", "events")),
    )  # fmt: skip
    hazard = frame[frame["quantity"] == "Hazard ratio"]
    said = "; ".join(f"{line['contrast']}: {_hazard(line)}" for line in hazard.to_dict("records"))
    notes = [f"{line['contrast']}, {line['quantity'][:1].lower() + line['quantity'][1:]}: {line['note']}."
             for line in lines if line.get("note")]  # fmt: skip
    return Result("effects", f"{event}: groups compared", frame, columns,
                  (*dict.fromkeys(notes), _how(made)), f"{event}. {said}.", group_by="contrast")  # fmt: skip


def _hazard(line: Mapping[Any, Any]) -> str:
    if not np.isfinite(line["estimate"]):
        return "no finite hazard ratio"
    low, high = (words.number(float(line[end]), 2) for end in ("low", "high"))
    return f"hazard ratio {line['estimate']:.2f} (95% CI {low} to {high})"


def _how(made: Estimates) -> str:
    groups = made.groups
    strata = ", stratified" if groups.strata is not None else ""
    return (
        f"Cox model with Efron ties{strata}, {groups.adjustment}; errors: {made.model.se_kind}. Nothing else is "
        "adjusted for: groups that were not randomised may differ in more than this."
    )
