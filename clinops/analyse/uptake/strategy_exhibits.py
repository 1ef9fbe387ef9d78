"""Landmark, per protocol, and clone-censor-weight as exhibits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clinops.analyse.exhibits.curves import landmarks, thinned
from clinops.analyse.uptake import look
from clinops.analyse.uptake.adherence import Compared
from clinops.analyse.uptake.landmarks import ANSWERS
from clinops.analyse.uptake.look import Row
from clinops.analyse.uptake.people import People
from clinops.results.result import Check, Column, Figure, Result

MOST_STEPS = 300
LEAST_EFFECTIVE = 50.0
GRACE = (
    "Deviating: not to have activated by the end of day {grace}, for those still followed after it; to activate, under "
    "the other strategy. Events come before deviations of the same day.{last}"
)
LAST = " Those who have not activated by then are taken to activate within the grace period as others like them do."
LAST_DAYS = (
    " Those who have not activated {last} days before its end are taken to activate in those days as others like them "
    "do."
)
ASSUMES = (
    "Assumes that nothing else leads both to activating and to the outcome than what the weights see, at any time; "
    "that everybody could have followed either strategy; and that the models are right. Intervals: {kind}."
)


def landmark(people: People, rows: Sequence[Row], aside: Sequence[Row]) -> Result:
    """Those still followed at the landmark, by whether they had activated by then."""
    frame = look.framed(rows)
    day = people.plan.landmark
    columns = (
        Column("measure", "Outcome"), Column("period", "Over"), Column("adjustment", "Adjustment"),
        *look.columns_of(frame, (rows[0]["exposed"], rows[0]["comparator"]), "Difference"),
    )  # fmt: skip
    said = next((row for row in rows if row.get("adjustment") != "crude"), rows[0])
    return Result(
        "landmark", f"Landmark: from day {day} on", frame, columns,
        (*(text.format(day=day) for text in ANSWERS),
         "Weights (those who had activated as they are, the others made like them) see covariates of day 0 and recent "
         "care before the landmark, and are taken as known.", *look.notes_of(rows)),
        f"{said['measure']} after day {day}, activated by then less not: {look.said(said)}.",
    )  # fmt: skip


def set_aside(people: People, rows: Sequence[Row]) -> Result:
    """Who did not get as far as the landmark, by outcome and by what they had done."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    frame["all"] = frame[["still", "event", "death", "left"]].sum(axis=1)
    columns = (
        Column("status", "By then"), Column("all", "Everybody", "count", "n"),
        Column("still", "Still followed", "percent", "n/all (%)", denominator="all"),
        Column("event", "Had the event", "percent", "n/all (%)", denominator="all"),
        Column("death", "Died before it", "percent", "n/all (%)", denominator="all"),
        Column("left", "Follow-up ended", "percent", "n/all (%)", denominator="all"),
    )  # fmt: skip
    return Result(
        "landmark_status", f"Who is still followed on day {people.plan.landmark}", frame, columns,
        ("Only those still followed are in the landmark analysis. Died: for a time to death the deaths are events.",),
        f"Whoever ended before day {people.plan.landmark} or on it is in no landmark estimate.", group_by="measure",
    )  # fmt: skip


def effects(people: People, rows: Sequence[Row], found: Sequence[Compared], name: str, title: str) -> Result:
    """What would follow under both strategies, by outcome."""
    frame = look.paired(rows)
    plan = people.plan
    columns = (
        Column("measure", "Outcome"), *look.columns_of(frame, found[0].names, "Difference"), look.ratio_column(frame),
    )  # fmt: skip
    last = LAST if plan.last in (None, plan.grace) else LAST_DAYS.format(last=plan.last)
    seen = dict.fromkeys(str(row["adjustment"]) for row in rows)
    notes = (
        GRACE.format(grace=plan.grace, last=last),
        ASSUMES.format(kind=found[0].found.se_kind),
        f"Weights: {'; '.join(seen)}; pooled logistic models, stabilised"
        + (f", truncated beyond the {100 * plan.truncate:g}th percentile." if plan.truncate else ", not truncated."),
        "Amounts are as observed: who dies or leaves spends nothing more. Persons stand under a strategy from day 0; "
        "events are those before they deviate.",
    )
    return Result(
        name, title, frame, columns, (*notes, *look.notes_of(rows)),
        f"{rows[0]['measure']}, “{found[0].names[0]}” less “{found[0].names[1]}”: {look.said(rows[0])}.",
    )  # fmt: skip


def curves(found: Sequence[Compared], adjustment: str, min_cell: int) -> Result:
    """Risk by day under both strategies, for the first outcome that is a risk."""
    import pandas as pd

    title = "Risk by day under both strategies"
    one = next((each for each in found if each.is_risk), None)
    if one is None:
        return look.nothing("strategies", title, "No outcome that was looked at is a time to an event.")
    risks: Any = one.found
    horizon = float(one.course.horizon)
    marks = landmarks(one.course.horizon)
    parts = []
    for s, arm in enumerate(one.names):
        known = np.isfinite(risks.risk[s])
        steps = np.flatnonzero(known & (np.diff(risks.risk[s], prepend=-1.0) > 0))
        steps = steps[thinned(np.arange(len(steps)), MOST_STEPS)]
        days = np.unique(np.concatenate([[0], steps])).astype(int)
        parts.append(pd.DataFrame({
            "arm": arm, "cause": one.course.measure.name, "kind": "curve", "time": risks.day[days],
            "risk": risks.risk[s, days], "low": risks.low[s, days], "high": risks.high[s, days],
            "n_risk": risks.at_risk[s, days],
        }))  # fmt: skip
        parts.append(pd.DataFrame({
            "arm": arm, "cause": "", "kind": "at risk", "time": marks, "risk": np.nan, "low": np.nan, "high": np.nan,
            "n_risk": one.of.at_risk(s, np.maximum(marks, 1)),
        }))  # fmt: skip
    estimate, _, low, high = risks.difference
    smaller = min(int(one.of.at_risk(s, [horizon])[0]) for s in (0, 1))
    behind = min([smaller, *(n for n in risks.events if n)])
    parts.append(pd.DataFrame({
        "arm": f"{one.names[0]} v {one.names[1]}", "cause": one.course.measure.name, "kind": "difference",
        "time": [horizon], "risk": estimate, "low": low, "high": high, "n_risk": behind,
    }))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    table = frame[frame["kind"] == "at risk"][["arm", "time", "n_risk"]].reset_index(drop=True)
    values = [f"{v:.1f}" if math.isfinite(v) else "not estimable" for v in one.values[0]]
    said = (
        f"{one.course.measure.name} by day {one.course.horizon}: {values[0]} per 1,000 under “{one.names[0]}” and "
        f"{values[1]} under “{one.names[1]}”."
    )
    if any(0 < n < min_cell for n in risks.events):
        said = f"{one.course.measure.name}: a strategy has fewer than {min_cell} events, so its risk is not said."
    figure = Figure(
        "cumulative_incidence", frame,
        {"xlabel": "Days from the index date", "horizon": horizon, "adjustment": adjustment}, counts=("n_risk",),
        of=dict.fromkeys(("risk", "low", "high"), ("n_risk",)),
    )  # fmt: skip
    return Result(
        "strategies", f"{one.course.measure.name}: {title[0].lower()}{title[1:]}", table,
        (Column("time", "Day", "number0", of=()), Column("n_risk", "Following it", "count", "persons")),
        ("Every person stands under both strategies until deviating from one (clones). Numbers at risk are persons, "
         "not weights.",), said, figure=figure, alt=said, group_by="arm",
    )  # fmt: skip


def weights(rows: Sequence[Row]) -> Result:
    """What the censoring weights are like."""
    import pandas as pd

    frame = pd.DataFrame(rows)
    columns = (
        Column("strategy", "Strategy"), Column("persons", "Stand under it", "count", "n"),
        Column("deviated", "Deviated", "percent", "n/all (%)", denominator="persons"),
        Column("kept", "Kept to it", "percent", "n/all (%)", denominator="persons"),
        Column("mean", "Mean", "number2", "", "Stabilised weight", of="kept"),
        Column("min", "Smallest", "number2", "", "Stabilised weight", of="kept"),
        Column("max", "Largest", "number2", "", "Stabilised weight", of="kept"),
        Column("effective", "Count as", "number0", "persons", of="kept"),
    )  # fmt: skip
    notes = [f"{row['strategy']}: {row['note'].rstrip('.')}." for row in rows if row["note"]]
    worst = min((row for row in rows if row["kept"]), key=lambda row: row["effective"] / row["kept"], default=None)
    said = "Nobody kept to a strategy." if worst is None else (
        f"The {worst['kept']:,} who kept to “{worst['strategy']}” count as {worst['effective']:,.0f}."
    )  # fmt: skip
    return Result(
        "weights", "The weights of those who kept to a strategy", frame, columns,
        ("Stabilised weights average about 1 where the models are right. Count as: the effective size (Kish) of those "
         "who kept to it, with their whole weights.", *dict.fromkeys(notes)), said, group_by="analysis",
    )  # fmt: skip


def weights_check(rows: Sequence[Row]) -> Check:
    """Whether few persons carry the answer, and whether weights average one."""
    import pandas as pd

    found = [row for row in rows if row["persons"]]
    frame = pd.DataFrame([
        {"analysis": row["analysis"], "strategy": row["strategy"], "kept": row["kept"], "mean": row["mean"],
         "effective": row["effective"]} for row in found
    ])  # fmt: skip
    least = min((float(row["effective"]) for row in found), default=0.0)
    off = max((abs(float(row["mean"]) - 1) for row in found if math.isfinite(row["mean"])), default=0.0)
    columns = (
        Column("analysis", "Analysis"), Column("strategy", "Strategy"), Column("kept", "Kept to it", "count", "n"),
        Column("mean", "Mean stabilised weight", "number2", of="kept"),
        Column("effective", "Count as", "number0", "persons", of="kept"),
    )  # fmt: skip
    return Check(
        "check_weights", "Do the weights leave enough people, and average one?", frame, columns,
        sentence=f"The smallest strategy counts as {least:,.0f} persons; a mean weight is at most {off:.2f} from 1.",
        observed=round(least), threshold=LEAST_EFFECTIVE, passed=least >= LEAST_EFFECTIVE and off <= 0.2,
        why="Where few people carry the weight, or weights do not average one, people of some kind have no counterpart "
        "who followed the strategy, or the model of deviating is wrong.",
    )  # fmt: skip
