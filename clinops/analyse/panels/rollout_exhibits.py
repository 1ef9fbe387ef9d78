"""The exhibits of a roll-out: who starts when, cohorts, means over time, event study, effects, what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.panels.lines import (
    CALENDAR,
    COHORT,
    GROUP_TIME,
    MAIN,
    MOST_PERIODS,
    OTHER,
    STACKED,
    lines,
    main_line,
    since_few,
    sizes,
)
from clinops.analyse.panels.rolled import LEVEL, Rolled, size_name, value_of
from clinops.define.panel import PERSON, PeriodPlan
from clinops.results.result import Column, Figure, Result
from clinops.results.suppress import HIDDEN
from clinops.stats.simultaneous import SimultaneousBand, simultaneous_band

if TYPE_CHECKING:
    import pandas as pd

    from clinops.stats.event_study import EventStudy

BEFORE, AFTER = "before", "after"
REACH = 24
"""Periods on each side of the start that the event study shows at most."""
ORDER_SAID = {"chosen": "chosen, not drawn", "random": "drawn by lot: a stepped-wedge trial"}
ALIKE = "Each site counts alike, whatever its size: the effect is that on the average site, not on the average person."


def roll_out(rolled: Rolled) -> Result:
    """Which site starts when."""
    plan = rolled.plan
    frame = rolled.sites.sort_values(["first", "unit"]).reset_index(drop=True)
    never = int(np.isinf(frame["first"]).sum())
    shown = frame.assign(date=["" if d is None else d.isoformat() for d in frame["start"]])
    shown = shown.rename(columns={"name": "site"})[["site", "date", "cohort", "first"]]
    drawn = shown.assign(start=shown["first"].where(np.isfinite(shown["first"]), np.nan))
    drawn.loc[~np.isfinite(drawn["start"]), "date"] = ""
    dates = [d for d, first in zip(frame["start"], frame["first"], strict=True) if np.isfinite(first)]
    said = f"{len(dates)} of {len(frame)} {plan.unit}s start, {_from_to(dates)}; {never} do not."
    rule = (
        f"A {plan.unit} starts on the day of its record number {plan.starting_records} of "
        f"'{plan.start_events.label}', among persons registered there."
        if plan.start_events is not None
        else "The dates were given."
    )
    columns = (Column("site", plan.unit.capitalize()), Column("date", "Starts on", missing="–"),
               Column("cohort", "First period under the programme"))  # fmt: skip
    return Result(
        "roll_out", f"Which {plan.unit} starts when", shown[["site", "date", "cohort"]], columns,
        (rule, "The period that holds the start counts as the first one under the programme."), said,
        figure=Figure("roll_out", drawn[["site", "start", "date"]], {"periods": plan.names}),
        alt=f"A row for each {plan.unit}, light before its start and dark from then on. {said}",
    )  # fmt: skip


def _from_to(dates: list[Any]) -> str:
    if not dates:
        return "none in the periods"
    return f"on {min(dates)}" if min(dates) == max(dates) else f"from {min(dates)} to {max(dates)}"


def cohorts(rolled: Rolled) -> Result:
    """Persons, events and rates of each cohort, before its start and from then on."""
    import pandas as pd

    plan = rolled.plan
    counted = plan.outcome.measure != "cost"
    rows = [_cohort_row(rolled, name, rolled.cells[rolled.cells["cohort"] == name]) for name in rolled.cohorts]
    rows.append(_cohort_row(rolled, "Total", rolled.cells) | {"sites": float(len(rolled.sites))})
    frame = pd.DataFrame(rows)
    per = plan.rate
    rate = "money" if not counted else "fraction" if plan.per == PERSON else "number2"
    what = f"Person-{plan.every}s with one" if plan.per == PERSON else "Events"
    columns = [Column("cohort", "First period under the programme"), Column("sites", "Sites", "number0"),
               Column("persons", "Persons", "count", "mean a period")]  # fmt: skip
    for side, name in ((BEFORE, "Before the start"), (AFTER, "From the start on")):
        columns += [Column(f"events_{side}", what, "count", "n", name, missing="–")] * counted
        of = (f"events_{side}", "persons") if counted else ("persons",)
        columns.append(Column(f"rate_{side}", "Rate", rate, rolled.currency, name, of=of, missing="–"))
    notes = [f"Rates: {per}, all sites of a row together.",
             "Sites that never start: all periods stand under 'before'."]  # fmt: skip
    notes += _who(rolled)
    frame = frame.drop(columns=[] if counted else ["events_before", "events_after"])
    said = f"{len(rolled.cohorts)} groups of sites by the period in which they start; {per}."
    return Result("rollout_cohorts", "Sites by start, before it and after", frame, tuple(columns), tuple(notes), said)


def _cohort_row(rolled: Rolled, name: str, cells: pd.DataFrame) -> dict[str, Any]:
    under = (cells["period"] >= cells["first"]).to_numpy()
    row: dict[str, Any] = {
        "cohort": name, "sites": float(cells["unit"].nunique()),
        "persons": round(float(cells.groupby("period")["persons"].sum().mean())),
    }  # fmt: skip
    for side, part in ((BEFORE, cells[~under]), (AFTER, cells[under])):
        total = float(part["total"].sum())
        row[f"events_{side}"] = round(total) if len(part) and rolled.plan.outcome.measure != "cost" else np.nan
        row[f"rate_{side}"] = float(value_of(rolled.plan, total, part["days"].sum(), part["persons"].sum()))
    return row


def _who(rolled: Rolled) -> list[str]:
    """Who is set aside, in words."""
    notes = []
    if rolled.set_aside:
        few = ", ".join(rolled.set_aside[:5]) + (" and more" if len(rolled.set_aside) > 5 else "")
        notes.append(f"Set aside in every estimate, with nobody observed in some period: {few}.")
    if rolled.nowhere:
        notes.append(f"Persons without a {rolled.plan.unit} on record are in no row.")
    return notes


def trend(rolled: Rolled) -> Result:
    """The mean of each cohort over time, as it is."""
    plan = rolled.plan
    by = rolled.cells.groupby(["cohort", "first", "period"], as_index=False)[["persons", "days", "total"]].sum()
    by = by.sort_values(["first", "period"]).reset_index(drop=True)
    frame = by.assign(
        arm=by["cohort"], period=[plan.names[int(i)] for i in by["period"]],
        phase=np.where(by["period"] >= by["first"], AFTER, BEFORE), persons=by["persons"], n=by["persons"],
        value=value_of(plan, by["total"], by["days"], by["persons"]),
    )  # fmt: skip
    counted = plan.outcome.measure != "cost"
    frame["events"] = frame["total"].round().astype("int64")
    size = size_name(plan)
    names = ["arm", "period", "phase", size, *(["events"] if counted else []), "value"]
    frame = frame[names]
    behind = (size, "events") if counted else (size,)
    columns = (
        Column("arm", "First period under the programme"), Column("period", "Period"), Column("phase", "Phase"),
        Column(size, "Persons", "count", "n"), *([Column("events", "Events", "count", "n")] if counted else []),
        Column("value", "Value", _format(rolled), rolled.currency or plan.rate, of=behind, missing="–"),
    )  # fmt: skip
    said = f"{plan.rate} of each group of sites that start in one period, as they are: nothing is adjusted."
    return Result(
        "rollout_trend", "The outcome over time, by start", frame, columns,
        ("All persons of a group's sites together.",), said, group_by="arm",
        figure=Figure("panel_trend", frame, _drawn(rolled) | {"ylabel": plan.rate}, behind, {"value": behind}),
        alt=f"A line for each group of sites, hollow marks before its start and filled from then on. {said}",
    )  # fmt: skip


def _drawn(rolled: Rolled) -> dict[str, Any]:
    found: dict[str, Any] = {"currency": rolled.currency} if rolled.currency else {}
    return found | ({"percent": True} if rolled.plan.per == PERSON else {})


def _format(rolled: Rolled) -> str:
    return "money" if rolled.currency else "fraction" if rolled.plan.per == PERSON else "number2"


def band(found: EventStudy, which: np.ndarray, rolled: Rolled) -> SimultaneousBand:
    """The band that holds some differences at once."""
    return simultaneous_band(
        found.estimate[which],
        found.cov[np.ix_(which, which)],
        df=max(found.n_clusters - 1, 1),
        conf_level=LEVEL,
        seed=rolled.plan.seed,
    )


def event_study(rolled: Rolled, min_cell: int) -> Result:
    """Effects by time since the start, with what the same comparison finds before it."""
    import pandas as pd

    plan, found = rolled.plan, rolled.study
    few = np.array([since_few(rolled, int(e)) for e in found.event_time], dtype=bool)
    which = np.flatnonzero((np.abs(found.event_time) <= REACH) & ~few & np.isfinite(found.estimate))
    limits = band(found, which, rolled)
    base = pd.DataFrame([{"since": int(found.reference), "estimate": 0.0}])
    frame = pd.DataFrame({
        "since": found.event_time[which].astype("int64"), "estimate": found.estimate[which],
        "low": found.conf_low[which], "high": found.conf_high[which], "band_low": limits.low, "band_high": limits.high,
        "sites": found.n_treated[which].astype(float),
    })  # fmt: skip
    frame = pd.concat([frame, base]).sort_values("since").reset_index(drop=True)
    unit = rolled.currency or plan.rate
    columns = (
        Column("since", f"{plan.every.capitalize()}s since the start", "number0"),
        Column("estimate", "Difference (95% CI)", _format(rolled), unit, low="low", high="high", of=()),
        Column("band_low", "From", _format(rolled), spanner="Band that holds all at once", of=(), missing="–"),
        Column("band_high", "To", _format(rolled), spanner="Band that holds all at once", of=(), missing="–"),
        Column("sites", "Sites", "number0", missing="–"),
    )  # fmt: skip
    notes = [
        "Against the last period before the start (0 there by construction). Far from the start few sites are left, "
        "and other ones.",
        f"The band is {limits.critical:.2f} standard errors wide on each side (t, {found.n_clusters - 1} degrees of "
        "freedom)." if limits.n else "No band.",
        *([f"{int(few.sum())} times since the start rest on counts below {min_cell} and are not shown."]
          if few.any() else []),
        ALIKE, *filter(None, [found.note]),
    ]  # fmt: skip
    after = frame[frame["since"] >= 0]
    out = after[(after["band_low"] > 0) | (after["band_high"] < 0)]
    said = f"{len(out)} of {len(after)} {plan.every}s from the start on lie outside the band around no effect."
    options = _drawn(rolled) | {
        "ylabel": f"Difference: {plan.rate}", "xlabel": f"{plan.every.capitalize()}s since the start"
    }  # fmt: skip
    return Result(
        "event_study", "Effect by time since the start", frame, columns, tuple(notes), said,
        figure=Figure("event_study", frame, options),
        alt=f"Points with intervals by {plan.every}s since the start; before it they should lie around zero. {said}",
    )  # fmt: skip


def effects(rolled: Rolled, min_cell: int) -> Result:
    """Every estimate of the effect."""
    import pandas as pd

    plan = rolled.plan
    every = lines(rolled)
    if sum(line.part == CALENDAR for line in every) > MOST_PERIODS:
        every = tuple(line for line in every if line.part != CALENDAR)
    permuted = rolled.permuted
    of_average = [line.method == GROUP_TIME and line.part in (MAIN, OTHER) for line in every]
    frame = pd.DataFrame({
        "part": [line.part for line in every], "label": [line.label for line in every],
        "estimate": [line.estimate for line in every], "low": [line.low for line in every],
        "high": [line.high for line in every], "p": [line.p_value for line in every],
        "p_permuted": np.where(of_average, permuted.p_value, np.nan),
    })  # fmt: skip
    named = {f"Sites that start in {name}": name for name in rolled.cohorts}
    hidden = []
    for i, line in enumerate(every):
        cells = rolled.treated
        if line.part == COHORT and line.label in named:
            cells = cells[cells["cohort"] == named[line.label]]
        elif line.part == CALENDAR:
            cells = cells[cells["period"] == plan.names.index(line.period)]
        if rest_on_few(rolled, cells):
            hidden += [(i, column, HIDDEN) for column in ("estimate", "low", "high", "p", "p_permuted")]
    for row, column, _ in hidden:
        frame.loc[row, column] = np.nan
    columns = (
        Column("label", "Effect"),
        Column("estimate", "Difference (95% CI)", _format(rolled), rolled.currency or plan.rate, low="low", high="high",
               of=()),
        Column("p", "by theory", "p", spanner="P", of=()),
        Column("p_permuted", "by permutation", "p", spanner="P", of=(), missing="–"),
    )  # fmt: skip
    return Result(
        "rollout_effects", "Effect of the programme", frame, columns, tuple(_effect_notes(rolled, every)),
        sentence(rolled, min_cell), group_by="part", hidden=tuple(hidden), label_column="label",
    )  # fmt: skip


def rest_on_few(rolled: Rolled, cells: pd.DataFrame) -> bool:
    """Whether some cells hold so few persons or events that nothing made of them is shown."""
    size = sizes(rolled, cells)
    return any(0 < size.get(name, 0) < rolled.plan.min_cell for name in ("n_exposed", "events_exposed"))


def _effect_notes(rolled: Rolled, every: tuple[Any, ...]) -> list[str]:
    permuted = rolled.permuted
    how = "all" if permuted.exact else "drawn at random"
    notes = [
        f"Main, and by start and calendar period: compared with sites {rolled.plan.comparison}, "
        f"{rolled.effects.n_clusters} {rolled.plan.unit}s; errors by {rolled.plan.unit}, normal.",
        ALIKE,
        f"P by permutation: the same starts given to other sites, {permuted.permutations:,} times ({how}). It needs no "
        f"theory, and takes as given that which site started when is as good as random. {permuted.note}".strip(),
    ]
    notes += [f"{line.label.split(';')[0]}: {line.note}" for line in every if line.note and line.part != CALENDAR]
    missed = rolled.effects.note
    return [*notes, *([missed] if missed else []), *_who(rolled)]


def counterfactual(rolled: Rolled) -> tuple[float, float]:
    """The mean of the cells that the main estimate is of, as seen, and as it would have been without."""
    at = np.isfinite(rolled.effects.estimate) & (rolled.effects.time >= rolled.effects.group)
    keys = {(g, t) for g, t in zip(rolled.effects.group[at], rolled.effects.time[at], strict=True)}
    cells = rolled.treated[~rolled.treated["unit"].isin(rolled.cells.loc[rolled.cells["value"].isna(), "unit"])]
    here = [(g, t) in keys for g, t in zip(cells["first"], cells["period"], strict=True)]
    seen = float(cells.loc[here, "value"].mean()) if any(here) else np.nan
    return seen, seen - main_line(rolled).estimate


def sentence(rolled: Rolled, min_cell: int) -> str:
    """The main estimate in words, beside what would have been."""
    plan, main = rolled.plan, main_line(rolled)
    if not np.isfinite(main.estimate):
        return "The effect could not be estimated."
    if rest_on_few(rolled, rolled.treated):
        return f"The effect rests on fewer than {min_cell} persons or events under the programme and is not shown."
    seen, without = counterfactual(rolled)
    times = 100.0 if plan.per == PERSON else 1.0
    unit = rolled.currency or ("percentage points" if plan.per == PERSON else "")
    places = 2 if max(abs(seen), abs(without)) * times < 100 else 0
    effect, low, high = (words.number(v * times, places) for v in (main.estimate, main.low, main.high))
    said = f"{plan.rate}: {effect}{f' {unit}' if unit else ''} (95% CI {low} to {high}) under the programme"
    # The stacked regression is of the first periods alone: those of all the others do not stand beside it.
    if not without > 0 or main.method == STACKED:
        return f"{said}."
    one, other = (words.number(v * times, places) for v in (seen, without))
    share = abs(seen / without - 1)
    way = "less" if seen < without else "more"
    chance = f" P by permutation {p_text(rolled.permuted.p_value)}." if main.method == GROUP_TIME else ""
    return f"{said}: {one} instead of {other}, {share:.0%} {way}.{chance}"


def p_text(value: float) -> str:
    """Return a P value for a sentence."""
    if not np.isfinite(value):
        return "not known"
    return "below 0.001" if value < 0.001 else f"{value:.3f}"


def population(plan: PeriodPlan, attrition: pd.DataFrame) -> Result:
    """Who counts: what each rule of the population left."""
    rows = "Persons" if plan.membership == "first period" else f"Person-{plan.every}s"
    columns = (Column("rule", "Rule"), Column("rows", rows, "count", "n"), Column("persons", "Persons", "count", "n"))
    same = attrition["rows"].tolist() == attrition["persons"].tolist()
    frame = attrition.drop(columns="rows") if same else attrition
    shown = tuple(c for c in columns if c.name != "rows" or not same)
    return Result(
        "panel_population_attrition", "Who counts", frame, shown,
        ("Person-time: the days of a period on which a member is alive and observed; events and money count where they "
         "fall on such a day.",), f"{plan.membership.capitalize()}: {_membership(plan)}.",
    )  # fmt: skip


def _membership(plan: PeriodPlan) -> str:
    if plan.membership == "first period":
        return "whoever fits on the first day of the first period is a member throughout (a closed population)"
    return "whoever fits on the first day of a period is a member in it (an open population)"


def shared_methods(plan: PeriodPlan) -> list[tuple[str, str]]:
    """What a panel and a series say of themselves alike."""
    return [
        ("Question", plan.question), ("Outcome", plan.rate),
        ("Periods", f"{len(plan.periods)} {plan.every}s, {plan.first} to {plan.last}"),
        ("Members", _membership(plan)),
        ("Rules of the population", "; ".join(step.label for step in plan.population) or "none"),
        ("Site of a person", f"{plan.unit} registered with, one for each person throughout"),
        ("Capture", plan.capture or "not stated"),
    ]  # fmt: skip


def methods(rolled: Rolled, version: str) -> Result:
    """What was done, rule by rule, in words."""
    plan = rolled.plan
    rows = [
        *shared_methods(plan),
        ("Comparison", f"sites {plan.comparison}"),
        ("Order of the starts", ORDER_SAID[plan.order]),
        ("Primary method", plan.primary),
        ("Group-time effects", "Callaway and Sant'Anna 2021: each group of sites in each period against the last "
         "period before its start and the comparison sites; averaged by number of sites. No site under the programme "
         "is a comparison. No covariates."),
        ("Errors", f"by {plan.unit}: influence functions, normal; the band by simulation of the largest statistic "
         "(Montiel Olea and Plagborg-Moller 2019)"),
        ("Assumes", "without the programme all groups would have gone the same way from period to period, on the scale "
         "of the outcome; nobody changes before the start because of it; sites do not spill over on others; who is "
         "registered where does not change because of the programme"),
        ("Not seen here", "a start chosen because a site did badly or well; another change at the same sites and "
         "times"),
        ("Software", f"clinops {version}"),
    ]  # fmt: skip
    return methods_table("rollout_methods", rows, rolled.findings)


def methods_table(name: str, rows: list[tuple[str, str]], findings: Any) -> Result:
    """Rules in words, with what lint warned of and what was allowed."""
    import pandas as pd

    more = [(f"Warning: {f.rule}", f"{f.what} {f.why} {f.remedy}") for f in findings.warnings]
    more += [(f"Allowed: {f.rule}", f"{f.what} {f.allowed}") for f in findings.allowed]
    frame = pd.DataFrame([*rows, *more], columns=["what", "how"])
    return Result(name, "What was done", frame, (Column("what", ""), Column("how", "How")),
                  sentence=f"{len(findings.warnings)} warning(s) of the design.")  # fmt: skip
