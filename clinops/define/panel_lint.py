"""The rules that panels and single series are held to before an outcome is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

from clinops.define.findings import Finding, Findings
from clinops.define.lint import overlap
from clinops.define.panel import EVERY, PanelPlan, PeriodPlan, SeriesPlan
from clinops.errors import DefinitionError, unknown

MANY, FEW = 40, 6
"""Fewer sites than the first: normal theory errs. Fewer than the second: hardly any inference holds."""
POINTS = 8
"""Periods on a side below which a series says little (Penfold and Zhang 2013)."""

Starts = Mapping[int, "dt.date | None"]
Found = Iterator[Finding]

ERRORS = (
    "outcome-counts-programme", "population-after-period-start", "ehr-without-capture", "everyone-treated-at-first",
    "nobody-starts", "everyone-starts-at-once", "no-never-treated", "no-trend-before", "two-way-with-staggered-starts",
    "random-order-one-start",
)  # fmt: skip
WARNINGS = (
    "few-sites", "hardly-any-sites", "short-trend-before", "no-control-series", "few-points", "season-under-two-years",
    "start-inside-period", "random-order-from-records",
)  # fmt: skip


def lint_panel(plan: PanelPlan, source: Any = None, starts: Starts | None = None) -> Findings:
    """Check a panel; `starts` has the date of every site, None for one that never starts.

    Raises
    ------
    DefinitionError : the plan allows a rule that does not exist, or that is no error.
    """
    found = [*_shared(plan, source), *_starts(plan, starts)]
    return _settled(plan, found)


def lint_series(plan: SeriesPlan, source: Any = None) -> Findings:
    """Check a single series.

    Raises
    ------
    DefinitionError : the plan allows a rule that does not exist, or that is no error.
    """
    return _settled(plan, [*_shared(plan, source), *_series(plan)])


def _settled(plan: PeriodPlan, found: list[Finding]) -> Findings:
    for allowance in plan.allow:
        if allowance.rule in WARNINGS:
            raise DefinitionError(f"{allowance.rule!r} is a warning: it stops nothing, so take its allowance out.")
        if allowance.rule not in ERRORS:
            raise DefinitionError(unknown("lint error to allow", allowance.rule, ERRORS))
    order = sorted(found, key=lambda one: one.severity != "error")
    return Findings(tuple(order)).with_allowances(plan.allow)


def _error(rule: str, what: str, why: str, remedy: str) -> Finding:
    return Finding(rule, "error", what, why, remedy)


def _warning(rule: str, what: str, why: str, remedy: str) -> Finding:
    return Finding(rule, "warning", what, why, remedy)


# --- both -----------------------------------------------------------------------------------------------------


def _shared(plan: PeriodPlan, source: Any) -> Found:
    own = [*plan.programme]
    if isinstance(plan, PanelPlan) and plan.start_events is not None:
        own.append(plan.start_events)
    outcomes = [plan.outcome]
    if isinstance(plan, SeriesPlan) and plan.control_outcome is not None:
        outcomes.append(plan.control_outcome)
    for measure in outcomes:
        hit = next((one for one in own if measure.events is not None and overlap(one, measure.events)), None)
        if hit is not None:
            yield _error(
                "outcome-counts-programme", f"The outcome '{measure.name}' counts '{hit.label}', the programme's own.",
                "It rises by construction once a site starts: an effect is found where there is none.",
                "Take the programme's codes out of the outcome's list (exclude=).",
            )  # fmt: skip
    for step in plan.population:
        if step.reaches is None or step.reaches > 0:
            yield _error(
                "population-after-period-start", f"The rule '{step.label}' looks past the first day of the period.",
                "Who is counted then depends on what happens in the period, which the programme may change: the "
                "population differs by treatment, in either direction.",
                "End the window on day 0 or before. People who leave count for the days they are observed.",
            )  # fmt: skip
    if getattr(source, "capture", None) == "ehr" and not plan.capture:
        yield _error(
            "ehr-without-capture", "The source sees only care given inside it, and the plan has no capture rule.",
            "Care elsewhere is invisible. A programme that adds contacts makes more of it visible, and looks harmful.",
            "Say by which rule people count as observed: capture='...'; the report prints it.",
        )  # fmt: skip


# --- a panel ----------------------------------------------------------------------------------------------------


def _starts(plan: PanelPlan, starts: Starts | None) -> Found:
    """What the dates of the starts say; those of the plan alone where the sites are not known yet."""
    known = {one.site: one.date for one in plan.start_dates} if starts is None else starts
    places = [None if day is None else plan.period_of(day) for day in known.values()]
    begun = [at for at in places if at is not None and at < len(plan.periods)]
    later = sorted(at for at in begun if at > 0)
    if plan.primary == "two-way" and len(set(later)) > 1:
        yield _error(
            "two-way-with-staggered-starts",
            f"Two-way fixed effects are the primary method, and sites start in {len(set(later))} different periods.",
            "They use sites already under the programme as comparisons. Effects that grow come out too small, even of "
            "the wrong sign.",
            "Use primary='group-time'; two-way is shown beside it, with its share of negative weights.",
        )  # fmt: skip
    if plan.order == "random":
        yield from _drawn(plan, places, later)
    if starts is None:
        return
    yield from _estimable(plan, places, begun, later)
    if later:
        yield from _enough(plan, places, later)


def _drawn(plan: PanelPlan, places: list[int | None], later: list[int]) -> Found:
    """What speaks against an order of starts that was drawn by lot; of the sites known so far."""
    if later and len(set(later)) == 1:
        others = len(places) - len(later)
        yield _error(
            "random-order-one-start",
            f"The order of starts is said to be drawn, and the sites that start all do so in {plan.names[later[0]]}: "
            f"{len(later)} of {len(places)}.",
            "One start has no order. "
            + ("Who starts may have been drawn, which is a parallel trial and no stepped wedge." if others else
               "Where every site starts in the same period, the programme cannot be told from calendar time."),
            "Check the dates (starts=); a roll-out without steps takes order='chosen'.",
        )  # fmt: skip
    if plan.start_events is not None:
        yield _warning(
            "random-order-from-records", "The order of starts is said to be drawn, and starts are read off records.",
            "A site that began earlier or later than its lot is then not where the lot put it, perhaps because of how "
            "it did: the trial is no longer analysed as drawn.",
            "Give the dates that were drawn: starts={site id: date, ...}.",
        )  # fmt: skip


def _estimable(plan: PanelPlan, places: list[int | None], begun: list[int], later: list[int]) -> Found:
    if places and not later and len(begun) == len(places):
        yield _error(
            "everyone-treated-at-first", "Every site is under the programme from the first period on.",
            "There is nothing to compare with: no site is seen before, and none goes without.",
            "Begin earlier (first=), or add sites that start later or never.",
        )  # fmt: skip
    elif not later:
        yield _error(
            "nobody-starts", f"No site starts after {plan.names[0]} and by {plan.names[-1]}.",
            "There is no effect to estimate.",
            "Check the dates (starts=), the number of starting_records, and the periods.",
        )  # fmt: skip
    alone = len(set(later)) == 1 and len(begun) == len(places)
    if alone and plan.order != "random":  # of a drawn order random-order-one-start says so
        yield _error(
            "everyone-starts-at-once", f"Every site that is seen before its start does so in {plan.names[later[0]]}.",
            "From then on nobody is left to compare with: the programme cannot be told from calendar time.",
            "Add sites that start later or never; or ask a single series: co.series(starts=...), whose trend before "
            "is the comparison.",
        )  # fmt: skip
    elif plan.comparison == "never treated" and later and len(begun) == len(places):
        yield _error(
            "no-never-treated", "The comparison is with sites that never start, and every site starts.",
            "There is no such site.", "Use comparison='not yet treated'.",
        )  # fmt: skip


def _enough(plan: PanelPlan, places: list[int | None], later: list[int]) -> Found:
    if later[-1] < 2:
        yield _error(
            "no-trend-before", "Every site that starts has a single period before.",
            "Whether sites went the same way before cannot be seen, and it is what the estimate rests on.",
            "Begin earlier (first=), by a year or more where there are seasons.",
        )  # fmt: skip
    elif later[0] < 2:
        yield _warning(
            "short-trend-before", f"{later.count(1)} of {len(later)} starting sites have a single period before.",
            "Whether they went the same way as others before cannot be seen.", "Begin earlier (first=).",
        )  # fmt: skip
    sites = sum(at is None or at > 0 for at in places)
    arms = min(len(later), sites - len(later)) if sites > len(later) else len(later)
    if arms < FEW:
        yield _warning(
            "hardly-any-sites", f"{len(later)} of {sites} sites start, and {sites - len(later)} never do.",
            f"With fewer than {FEW} sites on a side errors and P values by theory are far too small.",
            "Read the permutation test, which needs no theory, and take it as a description.",
        )  # fmt: skip
    elif sites < MANY:
        yield _warning(
            "few-sites", f"There are {sites} sites.",
            f"The site is the unit, and below some {MANY} of them errors by theory tend to be too small.",
            "Read the permutation test, and the wild cluster bootstrap of the regressions, beside the intervals.",
        )  # fmt: skip


# --- one series -------------------------------------------------------------------------------------------------


def _series(plan: SeriesPlan) -> Found:
    at = plan.period_of(plan.starts)
    before, after = at, len(plan.periods) - at - plan.phase_in
    if not plan.controlled:
        yield _warning(
            "no-control-series", "There is no control series.",
            "Whatever else changed at that time counts as the programme's effect; and where it was started because of "
            "a bad spell, use falls back by itself (regression to the mean), which looks like success. A start chosen "
            "after looking at the series cannot be seen here.",
            "Add sites without the programme, or an outcome it cannot change: control=.",
        )  # fmt: skip
    if min(before, after) < POINTS:
        yield _warning(
            "few-points", f"There are {before} periods before the start and {after} after it.",
            f"Under {POINTS} on a side a trend can hardly be told from chance, and errors are too small.",
            "Use shorter periods or a longer span.",
        )  # fmt: skip
    if plan.season != "none" and before * EVERY[plan.every] < 24:
        yield _warning(
            "season-under-two-years", f"There are {before * EVERY[plan.every]} months before the start.",
            "A season cannot be told from a trend in less than two years.", "Begin earlier (first=).",
        )  # fmt: skip
    if plan.starts not in [begin for begin, _ in plan.periods] and plan.phase_in == 0:
        yield _warning(
            "start-inside-period", f"The programme starts on {plan.starts}, inside {plan.names[at]}.",
            "That period is partly before and counts as after, which draws the change of level towards none.",
            "Leave it out: phase_in=1.",
        )  # fmt: skip
