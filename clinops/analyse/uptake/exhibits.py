"""The three dates and the effects of the offer as exhibits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.exhibits.curves import landmarks, thinned
from clinops.analyse.uptake import described, look
from clinops.analyse.uptake.look import N, Row
from clinops.analyse.uptake.offers import shape_of
from clinops.analyse.uptake.people import People
from clinops.results.result import Check, Column, Figure, Result

if TYPE_CHECKING:
    from clinops.stats.compliers import ComplianceTypes

STRONG = 10.0
MOST_OUT_OF_ORDER = 0.01
MOST_STEPS = 300


def reach(people: People) -> Result:
    """How far each arm went, from eligible to engaged."""
    from clinops.analyse.exhibits.design import funnel

    study = people.study
    return funnel(study.protocol, study.baseline).with_(name="reach")


def timing(people: People) -> Result:
    """Days from offer to activation and to engagement, with the share that has got there by each day."""
    import pandas as pd

    frame = pd.DataFrame(described.timing_rows(people))
    columns = (
        Column("step", "From one date to the next"),
        Column("reached", "Got there", "percent", "n/had the first date (%)", denominator="n"),
        Column("median", "Median", "days", "days", of="reached", low="q1", high="q3",
               note="With quartiles, among those who got there."),
        Column("longest", "95th percentile", "days", "days", of="reached"),
    )  # fmt: skip
    curves = described.reached(people)
    last = float(max(curve.time.max(initial=0.0) for curve in curves.values()))
    horizon = min(last, float(max(90, 2 * people.plan.grace)))
    end = people.study.data.end_day[people.offered]
    marks = np.array([0.0, *landmarks(int(horizon))]) if horizon >= 1 else np.array([0.0])
    marks = np.unique(marks[marks <= horizon])
    parts = [_reached(people, stage, curve, end, horizon) for stage, curve in curves.items()]
    parts.append(pd.DataFrame({
        "arm": people.names[0], "cause": "", "kind": "at risk", "time": marks, "risk": np.nan, "low": np.nan,
        "high": np.nan, "n_risk": [int((end >= day).sum()) for day in marks],
    }))  # fmt: skip
    first = frame.iloc[0]
    middle = "" if math.isnan(first["median"]) else f"; half of those within {first['median']:.0f} days"
    said = f"{first['reached']:,} of {first['n']:,} {people.names[0]} activated within follow-up{middle}."
    figure = Figure(
        "cumulative_incidence", pd.concat(parts, ignore_index=True),
        {"xlabel": "Days from the index date", "horizon": horizon, "ylabel": "Share of the offered",
         "adjustment": "as they are"},
        counts=("n_risk",), of=dict.fromkeys(("risk", "low", "high"), ("n_risk",)),
    )  # fmt: skip
    return Result(
        "timing", "How long it took: offer, activation, engagement", frame, columns,
        ("Three dates, kept apart. The curves count everybody offered; death ends them, the end of follow-up censors "
         "(numbers at risk: still followed).",),
        said, figure=figure, alt=said,
    )  # fmt: skip


def _reached(people: People, stage: str, curve: Any, end: np.ndarray, horizon: float) -> Any:
    import pandas as pd

    steps = np.flatnonzero((curve.n_event[:, 0] > 0) & (curve.time <= horizon + 0.5))
    steps = steps[thinned(np.arange(len(steps)), MOST_STEPS)] if len(steps) else steps
    day = curve.time[steps] - 0.5
    columns = {
        name: np.concatenate([[0.0], values[steps, 0]])
        for name, values in (("risk", curve.incidence), ("low", curve.conf_low), ("high", curve.conf_high))
    }
    times = np.concatenate([[0.0], day])
    return pd.DataFrame({
        "arm": people.names[0], "cause": {"Activation": "Activated", "Engagement": "Engaged"}[stage], "kind": "curve",
        "time": times, **columns, "n_risk": [int((end >= at).sum()) for at in times],
    })  # fmt: skip


def equity(people: People, bands: tuple[int, ...]) -> Result:
    """Who was offered it, who activated, who engaged: by sex, age and race, each share with its denominator."""
    import pandas as pd

    frame = pd.DataFrame(described.equity_rows(people, bands))
    columns = (
        Column("level", "Group"), Column("eligible", "Eligible", "count", "n"),
        Column("offered", "Offered", "percent", "n/eligible (%)", denominator="eligible"),
        Column("activated", "Activated", "percent", "n/offered (%)", denominator="offered"),
        *((Column("engaged", "Engaged", "percent", "n/activated (%)", denominator="activated"),)
          if people.engages else ()),
    )  # fmt: skip
    return Result(
        "equity", "Who the programme reached", frame, columns,
        ("Eligible: entries of both arms. Differences between groups are described, not explained; nothing is "
         "adjusted.",),
        "The funnel by sex, age and race, each step as a share of the step before.", group_by="by",
    )  # fmt: skip


def order_check(people: People) -> Check:
    """Whether the dates come in the order in which they can."""
    import pandas as pd

    found = described.out_of_order(people)
    frame = pd.DataFrame(found, columns=["arm", "what", "n", "of"]).astype({"n": "int64", "of": "int64"})
    columns = (Column("what", "What"), Column("n", "Entries", "percent", "n/with the dates (%)", denominator="of"))
    passed = all(n <= MOST_OUT_OF_ORDER * of for _, _, n, of in found)
    said = "fewer than" if passed else "more than"
    return Check(
        "check_order", "Do the dates come in order?", frame, columns,
        sentence=f"In {'each' if passed else 'some'} row {said} one in a hundred have a later date before an earlier "
        "one, or activate without an offer.",
        observed="in order" if passed else "out of order", threshold="one in a hundred",
        passed=passed, group_by="arm",
        why="An activation before its offer, or without one, means that the offer date is not the day on which people "
        "could first take the programme up; time before it is then counted on the wrong side.",
    )  # fmt: skip


def by_offer(people: People, rows: Sequence[Row], name: str, title: str, notes: tuple[str, ...]) -> Result:
    """Every outcome by the offer, absolute and relative."""
    frame = look.paired(rows)
    columns = (
        Column("measure", "Outcome"), *look.columns_of(frame, people.names, "Difference", p=False),
        look.ratio_column(frame), Column("p_value", "P", "p", of=N),
    )  # fmt: skip
    first = rows[0]
    adjusted = people.study.adjusted
    more = (f"{adjusted.label}; {adjusted.estimand}.", "Persons and events as they are; values as adjusted.")
    return Result(
        name, title, frame, columns, (*notes, *more, *adjusted.notes, *look.notes_of(rows)),
        f"{first['measure']}, by the offer: {look.said(first)}.",
    )  # fmt: skip


ITT_NOTES = ("Everybody counts in the arm of the offer, whatever they did with it: the effect of making the offer.",)
TREATED_NOTES = (
    "The offer was not random. Everybody counts in the arm of the offer; the effect is in the offered who have a "
    "counterpart. Who has none is in the next table.",
)


def dropped(people: People, found: Sequence[tuple[str, int, int]]) -> Result:
    """Of the offered, whom the effect does not speak of."""
    import pandas as pd

    frame = pd.DataFrame(found, columns=["what", "n", "of"]).astype({"n": "int64", "of": "int64"})
    frame["share"] = 100 * frame["n"] / frame["of"]
    columns = (
        Column("what", f"Of {people.names[0]}"), Column("n", "Entries", "count", "n"), Column("of", "Of", "count", "n"),
        Column("share", "Share", "number1", "%", of="n"),
    )  # fmt: skip
    n, of = found[0][1], found[0][2]
    share = 100 * n / of if of else 0.0
    return Result(
        "dropped", "Whom the effect in the treated leaves out", frame, columns,
        ("Those outside the comparator's range keep their weight; there the effect rests on the model.",)
        if len(found) > 1 else (),
        f"{share:.1f}% of {people.names[0]} have no counterpart and are not spoken for.",
    )  # fmt: skip


def assumptions(people: People, found: ComplianceTypes) -> Result:
    """What the complier effect needs, in words, beside what the records show of it."""
    import pandas as pd

    protocol = people.study.protocol
    if protocol.assignment == "as if random":
        drawn = f"Defended as if random: {(protocol.assignment_reason or '').strip()}"
    else:
        drawn = "The offer was drawn at random, by the protocol."
    defying = (
        "Fewer activated with the offer than without it, which contradicts it." if found.defiers else
        f"{'Some' if found.taken_not else 'None'} of those not offered activated (table 7); nothing contradicts it, "
        "and nothing can prove it."
    )  # fmt: skip
    rows = [
        ("Independence", "Who was offered has nothing to do with how people would have fared.", drawn),
        ("Exclusion", "The offer changes the outcome only through activating: the letter or the call does nothing by "
         "itself, and whoever would activate anyway is not served differently.", "Cannot be tested here."),
        ("Monotonicity", "Nobody activates because of not being offered it and would not if offered (no defiers).",
         defying),
        ("Relevance", "The offer changes who activates.",
         "See the share of compliers and the first stage."),
        ("No interference", "One person's offer does not change another's outcome.", "Cannot be tested here."),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["name", "says", "here"])
    columns = (Column("name", "Assumption"), Column("says", "What it says"), Column("here", "Here"))
    return Result("assumptions", "What the effect in compliers assumes", frame, columns,
                  sentence="The effect in compliers holds only if all five do.")  # fmt: skip


def compliance(people: People, found: ComplianceTypes) -> Result:
    """Compliers, always-takers, never-takers; and how many activated in each arm."""
    import pandas as pd

    lines = [
        ("Compliers", "activate if offered and not otherwise", *found.compliers),
        ("Always-takers", "activate in either case", *found.always),
        ("Never-takers", "activate in neither case", *found.never),
    ]
    frame = pd.DataFrame(lines, columns=["kind", "who", "share", "low", "high"])
    frame = frame.assign(share=100 * frame["share"], low=100 * frame["low"], high=100 * frame["high"])
    frame["taken_offered"], frame["n_offered"] = found.taken_offered, found.n_offered
    frame["taken_not"], frame["n_not"] = found.taken_not, found.n_not
    rests = ("taken_offered", "taken_not")
    columns = (
        Column("kind", "Kind"), Column("who", "Who they are"),
        Column("share", "Share (95% CI)", "number1", "%", low="low", high="high", of=rests),
        Column("taken_offered", "Activated", "percent", "n/all (%)", people.names[0], denominator="n_offered"),
        Column("taken_not", "Activated", "percent", "n/all (%)", people.names[1], denominator="n_not"),
    )  # fmt: skip
    note = (f"{found.note[0].upper()}{found.note[1:]}.",) if found.note else ()
    return Result(
        "compliance", "Who activates because of the offer", frame, columns,
        ("Nobody can be named a complier: the shares follow from the two arms under monotonicity.", *note),
        f"{100 * found.compliers[0]:.1f}% are compliers, {100 * found.always[0]:.1f}% would activate anyway and "
        f"{100 * found.never[0]:.1f}% in neither case.",
    )  # fmt: skip


def complier(people: People, rows: Sequence[Row]) -> Result:
    """What the offer changes per person offered, and what activating changes in compliers."""
    import pandas as pd

    first = [row for row in rows if row["method"] == "reduced form"]
    late = [row for row in rows if row["method"] != "reduced form"]
    frame = look.framed(late)
    for name, column in (("itt", "estimate"), ("itt_low", "conf_low"), ("itt_high", "conf_high")):
        frame[name] = [row[column] for row in first]
    fits = [row["fit"] for row in late]
    shapes = [shape_of(fit) for fit in fits]
    frame["shape"] = shapes
    for name, of in (("ar_low", "ar_low"), ("ar_high", "ar_high")):
        ends = [getattr(fit, of) for fit in fits]
        frame[name] = pd.to_numeric(pd.Series([v if math.isfinite(v) else math.nan for v in ends], dtype=float))
    rests = (*N, "events_exposed", "events_comparator") if frame["events_exposed"].notna().any() else N
    shown: dict[str, Any] = {"of": rests, "format_by": "format"}
    columns = (
        Column("measure", "Outcome"), Column("unit", "Unit"),
        Column("itt", "Per person offered (95% CI)", "number1", low="itt_low", high="itt_high", **shown),
        Column("estimate", "In compliers (95% CI)", "number1", low="conf_low", high="conf_high", **shown),
        Column("ar_low", "from", "number1", spanner="Anderson–Rubin 95% set", missing="–", **shown),
        Column("ar_high", "to", "number1", spanner="Anderson–Rubin 95% set", missing="–", **shown),
        Column("shape", "Shape", spanner="Anderson–Rubin 95% set", of=()),
        Column("value_exposed", "Activated", "number1", spanner="Compliers' mean", missing="–", **shown),
        Column("value_comparator", "Not", "number1", spanner="Compliers' mean", missing="–", **shown),
    )  # fmt: skip
    one = late[0]
    notes = (
        "Two-stage least squares, the offer as the instrument and activation within follow-up as what is taken up. It "
        "speaks of compliers only, not of everybody who activated or could.",
        f"Adjusted: {one['adjustment']}. Standard errors: {one['se_kind']}. The Anderson–Rubin set is right however "
        "weak the offer is.",
        "Risks are shares with the event within follow-up as observed, per 1,000 persons; counts are per 1,000 persons "
        "too, so the first column can differ from the rates above.",
    )
    return Result(
        "complier", "Second: the effect of activating, in compliers", frame, columns, (*notes, *look.notes_of(late)),
        f"{one['measure']}, in those who activate because of the offer: {look.said(one)}.",
    )  # fmt: skip


def first_stage_check(rows: Sequence[Row], types: ComplianceTypes) -> Check:
    """Whether the offer moves activation enough to be an instrument."""
    import pandas as pd

    late = [row for row in rows if row["method"] != "reduced form"]
    frame = pd.DataFrame({
        "measure": [row["measure"] for row in late],
        "first": [100 * row["fit"].first_stage for row in late],
        "f": [row["fit"].first_stage_f for row in late],
        "n_exposed": [row["n_exposed"] for row in late], "n_comparator": [row["n_comparator"] for row in late],
        "taken_offered": types.taken_offered, "taken_not": types.taken_not,
    })  # fmt: skip
    taken = ("taken_offered", "taken_not")
    known = frame["f"][np.isfinite(frame["f"])]
    least = float(known.min()) if len(known) else math.nan
    columns = (
        Column("measure", "Outcome"), Column("n_exposed", "Offered", "count", "n"),
        Column("n_comparator", "Not", "count", "n"),
        Column("first", "Activation, offered less not", "number1", "points", of=taken),
        Column("f", "Effective F", "number0", of=N),
    )  # fmt: skip
    return Check(
        "check_first_stage", "Does the offer move activation?", frame, columns,
        sentence=f"The smallest first-stage F is {words.number(least, 0)}; below {STRONG:g} an offer is weak.",
        observed=None if math.isnan(least) else least, threshold=STRONG,
        passed=None if math.isnan(least) else least >= STRONG,
        why="With a weak instrument two-stage least squares is wrong in centre and in width; read the Anderson–Rubin "
        "set.",
    )  # fmt: skip


def not_causal(people: People, rows: Sequence[Row]) -> Result:
    """People who chose differently, side by side: a description that proves nothing about the programme."""
    if not rows:
        why = "The programme names no engagement, and nobody asked for activated against not."
        return look.nothing("not_causal", "Not causal: people who chose differently", why)
    frame = look.framed(rows)
    columns = (
        Column("measure", "Outcome"),
        *look.columns_of(frame, (rows[0]["exposed"], rows[0]["comparator"]), "How far apart", p=False),
    )
    return Result(
        "not_causal", "Not causal: people who chose differently", frame, columns,
        ("Who engages is healthier, abler and lived long enough to do it. The numbers say how such people differ, not "
         "what the programme did; they are in no conclusion of this report.",),
        "Not causal: the engaged and the others differ in more than the programme.", group_by="subgroup",
    )  # fmt: skip
