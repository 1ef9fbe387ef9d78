"""One outcome as exhibits: who had what, risks with death competing, hazards, and how often it came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import DAYS_A_YEAR
from clinops.analyse.exhibits.curves import thinned
from clinops.analyse.outcomes import estimates as made
from clinops.analyse.outcomes.rows import DEATH, EVENT, EventRows
from clinops.results.result import Column, Figure, Result, absent

if TYPE_CHECKING:
    import pandas as pd

DEAD = (
    "The dead cannot have the event any more; counting them as censored (last column) would say what might have been "
    "had nobody died, and is too high in both arms."
)
MOST_STEPS = 300
"""Curves with more steps than the page has room for are thinned to this many."""
COUNTS = ("n_exposed", "n_comparator", "events_exposed", "events_comparator")


def happened(rows: EventRows) -> Result:
    """Persons, person-time, first events, deaths before them, and all events, by arm."""
    import pandas as pd

    lines = []
    for i, arm in enumerate((True, False)):
        at = rows.arm(arm)
        years, whole = (float((day[at] - rows.since).sum()) / DAYS_A_YEAR for day in (rows.exit, rows.end))
        first, every = int((rows.cause[at] == EVENT).sum()), int(rows.count[at].sum())
        lines.append({
            "arm": rows.names[i], "n": int(at.sum()), "first": first, "death": int((rows.cause[at] == DEATH).sum()),
            "years": years, "all": every,
            "rate": 1000 * every / whole if whole > 0 else np.nan,
            "median": float(np.median(rows.end[at])) if at.any() else np.nan,
        })  # fmt: skip
    frame = pd.DataFrame(lines)
    columns = (
        Column("arm", "Arm"), Column("n", "Persons", "count", "n"),
        Column("first", "Had it", "percent", "persons/all (%)", denominator="n"),
        *((Column("death", "Died before it", "percent", "persons/all (%)", denominator="n"),) if rows.death else ()),
        Column("years", "To the first event, death or end", "number1", "person-years", of="n"),
        Column("all", "All events", "count", "n"),
        Column("rate", "Rate", "number1", "per 1,000 person-years", of="all"),
        Column("median", "Median follow-up", "days", "days", of="n"),
    )  # fmt: skip
    one, zero = frame.iloc[0], frame.iloc[1]
    said = (
        f"{rows.event}: {one['first']:,} of {one['n']:,} {rows.names[0]} and {zero['first']:,} of {zero['n']:,} "
        f"{rows.names[1]} had at least one."
    )
    return Result("happened", f"{rows.event}: what happened", frame, columns,
                  (_who(rows),), said)  # fmt: skip


def _who(rows: EventRows) -> str:
    set_aside = not (rows.arm(True) | rows.arm(False)).all()
    left_out = "; those without a day of follow-up or without a weight (no match) are left out" if set_aside else ""
    return f"As it happened, without weights{left_out}."


def incidence(rows: EventRows, landmarks: tuple[float, ...]) -> Result:
    """Cumulative incidence of every cause, with numbers at risk and differences at the landmarks."""
    import pandas as pd

    curves = made.incidence(rows)
    parts: list[pd.DataFrame] = []
    for i, (curve, arm) in enumerate(zip(curves, (True, False), strict=True)):
        exits = np.sort(rows.exit[rows.arm(arm)])
        parts += [_steps(rows, curve, cause, i, exits) for cause in rows.causes]
        parts.append(_at_risk(rows.names[i], exits, np.array([0.0, *landmarks])))
    table = _risks(rows, landmarks)
    parts.append(_gaps(table, rows))
    frame = pd.concat(parts, ignore_index=True)
    last = table[(table["cause"] == rows.event) & (table["day"] == landmarks[-1])].iloc[0]
    gap = words.interval(float(last["difference"]), float(last["low"]), float(last["high"]), "per 1,000 persons")
    said = f"{rows.event} by day {landmarks[-1]:g}, {rows.names[0]} minus {rows.names[1]}: {gap}."
    columns = (
        Column("cause", "Event"), Column("day", "By day", "number0", of=()),
        Column("value_exposed", rows.names[0], "number1", "per 1,000 persons", of=("n_exposed", "events_exposed")),
        Column("value_comparator", rows.names[1], "number1", "per 1,000 persons",
               of=("n_comparator", "events_comparator")),
        Column("difference", "Difference (95% CI)", "number1", "per 1,000 persons", low="low", high="high", of=COUNTS),
        Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=COUNTS),
        *((Column("wrong", "Difference had deaths been censored", "number1", "per 1,000 persons", of=COUNTS,
                 missing="–"),) if rows.death else ()),
    )  # fmt: skip
    options = {"xlabel": "Days from index", "horizon": rows.horizon, "adjustment": rows.adjustment}
    figure = Figure("cumulative_incidence", frame, options, counts=("n_risk",),
                    of=dict.fromkeys(("risk", "low", "high"), ("n_risk",)))  # fmt: skip
    title = f"{rows.event}: risk{', with death as a competing event' if rows.death else ''}"
    return Result(
        "cumulative_incidence", title, table, columns,
        (f"Aalen-Johansen, {rows.adjustment}. {DEAD if rows.death else ''}".strip(), *_notes(table)),
        said, figure=figure, alt=said,
    )  # fmt: skip


def _steps(rows: EventRows, curve: Any, cause: int, arm: int, exits: Any) -> pd.DataFrame:
    import pandas as pd

    column = curve.column(cause)
    steps = thinned(np.flatnonzero(curve.n_event[:, column] > 0), MOST_STEPS)
    time = np.concatenate([[0.0], curve.time[steps]])

    def read(values: Any) -> Any:
        return np.concatenate([[0.0], values[steps, column]])

    return pd.DataFrame({
        "arm": rows.names[arm], "cause": rows.called(cause), "kind": "curve", "time": time,
        "risk": read(curve.incidence), "low": read(curve.conf_low), "high": read(curve.conf_high),
        "n_risk": _still(exits, time),
    })  # fmt: skip


def _at_risk(arm: str, exits: Any, days: Any) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({
        "arm": arm, "cause": "", "kind": "at risk", "time": days, "risk": np.nan, "low": np.nan, "high": np.nan,
        "n_risk": _still(exits, days),
    })  # fmt: skip


def _still(exits: Any, days: Any) -> Any:
    return len(exits) - np.searchsorted(exits, days, side="left")


def _risks(rows: EventRows, landmarks: tuple[float, ...]) -> pd.DataFrame:
    """One line a cause and landmark: risks, difference, ratio, and the wrong difference beside them."""
    import pandas as pd

    frame = pd.DataFrame(made.risk_rows(rows, landmarks))
    right = frame[frame["method"] == "Aalen-Johansen"]
    lines = []
    for (cause, period), part in right.groupby(["measure", "period"], sort=False):
        by = part.set_index("scale")
        gap, ratio = by.loc["risk difference"], by.loc["risk ratio"]
        wrong = frame[(frame["measure"] == cause) & (frame["period"] == period) & frame["method"].str.contains("wrong")]
        lines.append({
            "cause": cause, "day": float(str(period).rpartition(" ")[2]),
            **{name: gap[name] for name in ("value_exposed", "value_comparator", *COUNTS)},
            "difference": gap["estimate"], "low": gap["conf_low"], "high": gap["conf_high"],
            "ratio": ratio["estimate"], "ratio_low": ratio["conf_low"], "ratio_high": ratio["conf_high"],
            "wrong": float(wrong["estimate"].iloc[0]) if len(wrong) else np.nan, "note": gap["note"] or ratio["note"],
        })  # fmt: skip
    return pd.DataFrame(lines)


def _gaps(table: pd.DataFrame, rows: EventRows) -> pd.DataFrame:
    """Differences for the drawing; the number behind one is the smallest of those at risk and of events in an arm."""
    import pandas as pd

    exits = [np.sort(rows.exit[rows.arm(arm)]) for arm in (True, False)]
    days = table["day"].to_numpy(dtype=float)
    behind = [_still(one, days) for one in exits]
    behind += [np.where(table[name] > 0, table[name].astype(float), np.inf) for name in COUNTS[2:]]
    smaller = np.min(np.array(behind, dtype=float), axis=0).astype(np.int64)
    return pd.DataFrame({
        "arm": f"{rows.names[0]} v {rows.names[1]}", "cause": table["cause"], "kind": "difference", "time": days,
        "risk": table["difference"] / 1000, "low": table["low"] / 1000, "high": table["high"] / 1000, "n_risk": smaller,
    })  # fmt: skip


def effects(rows: EventRows) -> Result:
    """Time lost, hazard ratios and tests: each the answer to a question of its own."""
    import pandas as pd

    listed = [row for row in made.time_rows(rows) if row["scale"] == "mean difference"]
    listed += made.hazard_rows(rows) + made.test_rows(rows)
    shown = ["measure", "method", "adjustment", "unit", "estimate", "conf_low", "conf_high", "p_value", "note", *COUNTS]
    frame = pd.DataFrame(listed)
    frame["format"] = ["ratio" if scale == "hazard ratio" else "number2" for scale in frame["scale"]]
    frame = frame.reindex(columns=[*shown, "format"])
    columns = (
        Column("method", "Quantity"), Column("adjustment", "Adjustment"), Column("unit", "Unit"),
        Column("estimate", "Exposed v comparator (95% CI)", "number2", low="conf_low", high="conf_high",
               format_by="format", of=COUNTS),
        Column("p_value", "P", "p", of=COUNTS),
    )  # fmt: skip
    first = frame[frame["method"].str.startswith("cause-specific")].iloc[0]
    said = f"{rows.event}: {_ratio('cause-specific hazard ratio', first, 'no hazard ratio can be estimated')}."
    return Result(
        "outcome_effects", f"{rows.event}: time lost, hazards and tests", frame, columns,
        ("A cause-specific hazard ratio compares rates among those still free of every event; the subdistribution "
         "hazard ratio follows the cumulative incidence, deaths included. A ratio of hazards is not a ratio of risks.",
         f"Tests are without weights{'' if rows.plain else ', but for the weighted log-rank test'}; numbers of persons "
         "and first events are in the table above.", *_notes(frame)),
        said, group_by="measure",
    )  # fmt: skip


def repeats(rows: EventRows, landmarks: tuple[float, ...]) -> Result:
    """How often it came back: mean number of events a person, death ending them."""
    import pandas as pd

    if not rows.death:
        return _once("mean_count", rows)
    curves = made.mean_counts(rows)
    parts = []
    for i, (curve, arm) in enumerate(zip(curves, (True, False), strict=True)):
        ends = np.sort(rows.end[rows.arm(arm)])
        steps = thinned(np.flatnonzero(curve.n_event > 0), MOST_STEPS)
        time = np.concatenate([[0.0], curve.time[steps]])
        parts.append(pd.DataFrame({
            "arm": rows.names[i], "cause": rows.event, "kind": "curve", "time": time,
            "mean": np.concatenate([[0.0], curve.mean[steps]]), "low": np.concatenate([[0.0], curve.conf_low[steps]]),
            "high": np.concatenate([[0.0], curve.conf_high[steps]]), "n_risk": _still(ends, time),
        }))  # fmt: skip
        parts.append(_at_risk(rows.names[i], ends, np.array([0.0, *landmarks])).rename(columns={"risk": "mean"}))
    frame = pd.concat(parts, ignore_index=True)
    gap = made.repeat_rows(rows)[0]
    mean = [words.number(gap[f"value_{arm}"], 3) for arm in ("exposed", "comparator")]
    said = (
        f"{rows.event} per person by day {rows.horizon:g}: {mean[0]} among {rows.names[0]} and {mean[1]} among "
        f"{rows.names[1]}."
    )
    options = {"xlabel": "Days from index", "horizon": rows.horizon, "adjustment": rows.adjustment}
    figure = Figure("mean_count", frame, options, counts=("n_risk",),
                    of=dict.fromkeys(("mean", "low", "high"), ("n_risk",)))  # fmt: skip
    table = frame[frame["kind"] == "at risk"][["arm", "time", "n_risk"]].reset_index(drop=True)
    columns = (Column("time", "Day", "number0", of=()), Column("n_risk", "At risk", "count", "persons"))
    return Result("mean_count", f"{rows.event}: how often it came back", table, columns,
                  (f"Mean cumulative number (Ghosh and Lin: the dead have no more), {rows.adjustment}; two on one day "
                   "are one.",), said, figure=figure, alt=said, group_by="arm")  # fmt: skip


def repeat_effects(rows: EventRows) -> Result:
    """Mean numbers and rates compared, by the usual models of counts."""
    import pandas as pd

    if not rows.death:
        return _once("repeat_effects", rows)
    listed = pd.DataFrame(made.repeat_rows(rows))
    shown = ["method", "scale", "unit", "value_exposed", "value_comparator", "estimate", "conf_low", "conf_high",
             "p_value", "se_kind", "note", *COUNTS]  # fmt: skip
    frame = listed.reindex(columns=shown)
    columns = (
        Column("method", "Quantity"), Column("unit", "Unit"),
        Column("value_exposed", rows.names[0], "number3", "events per person", of="events_exposed", missing="–"),
        Column("value_comparator", rows.names[1], "number3", "events per person", of="events_comparator", missing="–"),
        Column("estimate", "Difference or ratio (95% CI)", "number3", low="conf_low", high="conf_high", of=COUNTS),
        Column("p_value", "P", "p", of=COUNTS),
        Column("events_exposed", "Events", "count", rows.names[0]),
        Column("events_comparator", "Events", "count", rows.names[1]),
    )  # fmt: skip
    said = f"{rows.event}: {_ratio('ratio of mean numbers', listed.iloc[1], 'no ratio can be estimated')}."
    return Result(
        "repeat_effects", f"{rows.event}: every time, compared", frame, columns,
        (f"{rows.adjustment}. Rate ratios are per person-time under observation, so an arm that dies sooner is not "
         "flattered by them.", *_notes(frame)), said,
    )  # fmt: skip


def _notes(frame: pd.DataFrame) -> list[str]:
    """Why numbers are missing or uncertain, each reason once with the rows that it is about."""
    told: dict[str, list[str]] = {}
    heads = frame["method"] if "method" in frame else frame["cause"] + " by day " + frame["day"].map("{:g}".format)
    for head, note in zip(heads, frame["note"], strict=True):
        if isinstance(note, str) and note:
            told.setdefault(note, []).append(head)
    return [f"{', '.join(dict.fromkeys(heads))}: {note}." for note, heads in told.items()]


def _ratio(what: str, row: pd.Series, otherwise: str) -> str:
    ends = [float(row[end]) for end in ("conf_low", "conf_high")]
    low, high = (words.number(end, 2) for end in ends)
    if not np.isfinite(row["estimate"]):
        if np.isnan(ends).any():
            return otherwise
        limit = f"upper 95% limit is {high}" if np.isfinite(ends[1]) else f"lower 95% limit is {low}"
        return f"{otherwise}; its {limit}"
    return f"{what} {row['estimate']:.2f} (95% CI {low} to {high})"


def _once(name: str, rows: EventRows) -> Result:
    return absent(name, f"{rows.event}: how often it came back", f"{rows.event} comes once.")
