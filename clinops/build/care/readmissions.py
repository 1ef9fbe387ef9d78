"""Readmissions: every episode with its flags, whether it is an index, and what came after it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build import codes, events, people
from clinops.build.care.episodes import (
    AGAINST_ADVICE,
    ANOTHER_HOSPITAL,
    DIED,
    STATUS_CODES,
    Episodes,
    diagnoses,
    episodes,
)
from clinops.build.entries import collect
from clinops.define.care import FLAGS, LISTED, ReadmissionRules
from clinops.define.events import Events
from clinops.errors import DataError
from clinops.sources import omop

if TYPE_CHECKING:
    from clinops.build.cohorts import Cohort
    from clinops.define.windows import Window

TO = {"died": DIED, "against_advice": AGAINST_ADVICE, "transferred_out": ANOTHER_HOSPITAL}


@dataclass(frozen=True, eq=False)
class Readmitted:
    """What the rules found.

    Attributes
    ----------
    frame : one row an episode of the period: person_id, episode (id of its first stay), last_stay, admitted,
        discharged, stays, a column for each flag (NaN where the records cannot say), index, days_to_next (NaN for
        none), next_episode, readmitted, planned (of the readmission) and unplanned; the last three are False off
        index. days_to_death and died_within (an index discharge, and death by day `days`).
    table : the same in the engine, without the flags that the records cannot tell.
    starts : every episode of the records, whenever it ends: person_id and start, in the engine.
    persons : one row a person observed (or with a discharge) in the period: days (alive and observed), admissions
        (episodes that start on an observed day of it), index, readmitted, unplanned, died_within.
    counts : of stays and merges; see `Episodes`.
    unknown : flag -> why the records cannot say.
    notes : what else could not be done.
    """

    rules: ReadmissionRules
    table: ir.Table
    starts: ir.Table
    frame: pd.DataFrame
    persons: pd.DataFrame
    counts: dict[str, int]
    unknown: dict[str, str]
    notes: tuple[str, ...]


def readmitted(source: Any, rules: ReadmissionRules, within: ir.Table | None = None) -> Readmitted:
    """Find index discharges and readmissions by the rules.

    A discharge is an index unless one of the flags in `not_index` holds; flags never remove a row, and the next
    episode counts as a readmission whether or not it is an index itself. Deaths after discharge stay in.

    Parameters
    ----------
    within : the persons and their days that count (`after_index`); None: everybody in the rules' period.

    Raises
    ------
    DataError : the records hold no hospital stays, or a code list cannot be applied.
    """
    if not source.has("visit_occurrence"):
        raise DataError("The records hold no visits (table visit_occurrence), so there are no hospital stays.")
    unknown = _unknown(source, rules)
    if stuck := [name for name in rules.not_index if name in unknown]:
        left = tuple(name for name in rules.not_index if name not in unknown)
        raise DataError(
            f"{stuck[0]!r} cannot be a reason to be no index: {unknown[stuck[0]]} Leave it out: not_index={left!r}."
        )
    made = episodes(source, rules)
    judged = source.engine.materialise(_judged(source, rules, made, unknown, within), "readmissions")
    frame = pd.DataFrame(collect(source, judged.order_by(["admitted", "episode"])))
    for name in unknown:
        frame[name] = float("nan")
    persons = _persons(source, rules, made, judged, within)
    return Readmitted(
        rules, judged, made.table.select("person_id", "start"), frame[list(COLUMNS)], persons, made.counts, unknown,
        (*made.notes, *_unapplied(source, rules)),
    )  # fmt: skip


COLUMNS = (
    "person_id", "episode", "last_stay", "admitted", "discharged", "stays", *FLAGS, "index", "days_to_next",
    "next_episode", "readmitted", "planned", "unplanned", "days_to_death", "died_within",
)  # fmt: skip


def _unknown(source: Any, rules: ReadmissionRules) -> dict[str, str]:
    """Flags that these records, or these rules, cannot tell, and why."""
    found = {name: "no code list was given." for name in LISTED if not getattr(rules, name)}
    table = source.table("visit_occurrence")
    row = source.engine.rows(
        table.agg(n=table.count(where=table.discharged_to_concept_id.notnull() & (table.discharged_to_concept_id != 0)
                                | table.discharged_to_source_value.notnull()))
    )[0]  # fmt: skip
    if not row["n"]:
        why = "no visit says where the patient was discharged to."
        found |= {"against_advice": why, "transferred_out": why}
    for name in (*LISTED, "always_planned", "potentially_planned", "acute"):
        for one in getattr(rules, name):
            if reason := events.impossible(one, source):
                if name not in LISTED:
                    raise DataError(f"{name} cannot be applied: {reason}")
                found[name] = reason
    return found


def _unapplied(source: Any, rules: ReadmissionRules) -> tuple[str, ...]:
    """Warn where lists are held against principal diagnoses and the records mark none."""
    listed = [one for name in (*LISTED, "always_planned", "acute") for one in getattr(rules, name)]
    asks = rules.diagnosis == "principal" and any(one.domain == "condition" for one in listed)
    if not asks:
        return ()
    held = diagnoses(source, principal=True)
    if source.engine.rows(held.agg(n=held.count()))[0]["n"]:
        return ()
    return ('No diagnosis is marked as principal, so no list of diagnoses applies; diagnosis="any" takes all.',)


def _judged(
    source: Any, rules: ReadmissionRules, made: Episodes, unknown: dict[str, str], within: ir.Table | None
) -> ir.Table:
    """Every episode of the period with flags, index and outcome."""
    flagged = _flagged(source, rules, _observed(source, made.table), unknown)
    ahead = ibis.window(group_by="person_id", order_by="number")
    seen = flagged.mutate(
        next_start=flagged.start.lead(1).over(ahead),
        next_episode=flagged.first_id.lead(1).over(ahead),
        next_planned=flagged.is_planned.lead(1).over(ahead),
        readmission=(flagged.start.delta(flagged.end.lag(1).over(ahead), unit="day") <= rules.days).fill_null(False),
    )
    barred: ir.BooleanValue = ibis.literal(False)
    for name in rules.not_index:
        barred = barred | seen[name]
    dated = seen.mutate(index=~barred, days_to_next=seen.next_start.delta(seen.end, unit="day"))
    dated = dated.mutate(readmitted=dated["index"] & (dated.days_to_next <= rules.days).fill_null(False))
    planned = dated.readmitted & dated.next_planned.fill_null(False)
    died = dated["index"] & (dated.days_to_death <= rules.days).fill_null(False)
    whole = dated.mutate(planned=planned, unplanned=dated.readmitted & ~planned, died_within=died)
    first, last = period(source, rules)
    inside = whole.filter(whole.end >= first, whole.end <= last)
    if within is not None:
        who = within.rename(who="person_id")
        inside = inside.inner_join(
            who, [inside.person_id == who.who, inside.end >= who.begins, inside.end <= who.ends]
        )  # fmt: skip
    shown = inside.rename(episode="first_id", last_stay="last_id", admitted="start", discharged="end")
    return shown.select(*[name for name in COLUMNS if name not in unknown])


def period(source: Any, rules: ReadmissionRules) -> tuple[Any, Any]:
    """First and last day that count: the rules' own, else those of the records."""
    return rules.first or source.span[0], rules.last or source.span[1]


def _observed(source: Any, table: ir.Table) -> ir.Table:
    """Add the observation episode that holds the day of discharge, and the day of death, in days from discharge."""
    held = source.table("observation_period")
    periods = held.select(
        who=held.person_id,
        observed_from=held.observation_period_start_date,
        observed_to=held.observation_period_end_date,
    )
    joined = table.left_join(
        periods, [table.person_id == periods.who, periods.observed_from <= table.end, periods.observed_to >= table.end]
    ).drop("who")
    died = people.deaths(source).rename(who="person_id")
    both = joined.left_join(died, joined.person_id == died.who).drop("who")
    return both.mutate(
        days_after=both.observed_to.delta(both.end, unit="day"),
        days_before=both.start.delta(both.observed_from, unit="day"),
        days_to_death=both.death_date.delta(both.end, unit="day"),
    )


def _flagged(source: Any, rules: ReadmissionRules, table: ir.Table, unknown: dict[str, str]) -> ir.Table:
    """Add the flags that need no other episode, and whether the episode would be a planned readmission."""

    def to(name: str) -> ir.BooleanValue:
        known = table.last_to_concept.isin(TO[name]).fill_null(False)
        return known | table.last_to_written.isin(STATUS_CODES[name]).fill_null(False)

    alive_to = (table.days_to_death <= rules.days) & (table.days_after >= table.days_to_death)
    followed = (table.days_after >= rules.days).fill_null(False) | alive_to.fill_null(False)
    flags = {
        "died": to("died") | (table.days_to_death <= 0).fill_null(False),
        "no_discharge": ~table.last_end_known,
        "follow_up": ~followed,
        "look_back": ~(table.days_before >= rules.look_back).fill_null(False),
        "against_advice": to("against_advice"),
        "transferred_out": to("transferred_out"),
    }
    flagged = table.mutate(**flags)
    for name in LISTED:
        if name not in unknown:
            flagged = _mark(source, rules, flagged, getattr(rules, name), "last_id", name)
    for name in ("always_planned", "potentially_planned", "acute"):
        flagged = _mark(source, rules, flagged, getattr(rules, name), "first_id", name)
    planned = flagged.always_planned | (flagged.potentially_planned & ~flagged.acute)
    return flagged.mutate(is_planned=planned)


def _mark(source: Any, rules: ReadmissionRules, table: ir.Table, wanted: tuple[Events, ...], by: str, name: str) -> Any:
    """Add a column that says whether the stay has a record of these events."""
    if not wanted:
        return table.mutate(**{name: ibis.literal(False)})
    parts = [_stays_with(source, one, rules) for one in wanted]
    both = ibis.union(*parts, distinct=True) if len(parts) > 1 else parts[0].distinct()
    hits = both.select(hit=both.stay)
    joined = table.left_join(hits, table[by] == hits.hit)
    return joined.mutate(**{name: joined.hit.notnull()}).drop("hit")


def _stays_with(source: Any, wanted: Events, rules: ReadmissionRules) -> ir.Table:
    if wanted.domain == "condition":
        held = diagnoses(source, principal=rules.diagnosis == "principal")
    else:
        found = omop.events(source, wanted.domain)
        held = found.filter(found.visit_occurrence_id.notnull()).rename(stay="visit_occurrence_id")
    return codes.match(wanted, source).narrow(held).select("stay")


def _persons(
    source: Any, rules: ReadmissionRules, made: Episodes, judged: ir.Table, within: ir.Table | None
) -> pd.DataFrame:
    """One row a person observed or with a discharge in the period; a day counts once, and none after death."""
    spans = source.engine.materialise(watched(source, *period(source, rules), within), "watched")
    spans = spans.mutate(days=spans.finish.delta(spans.begin, unit="day") + 1)
    whole = spans.group_by("person_id").agg(days=spans.days.sum()).rename(seen="person_id")
    stays = made.table.select("person_id", "start")
    seen = stays.inner_join(
        spans, [stays.person_id == spans.person_id, stays.start >= spans.begin, stays.start <= spans.finish]
    )
    admitted = seen.group_by("person_id").agg(admissions=seen.count()).rename(who="person_id")
    outcome = judged.group_by("person_id").agg(
        index=judged.count(where=judged["index"]), readmitted=judged.count(where=judged.readmitted),
        unplanned=judged.count(where=judged.unplanned), died_within=judged.count(where=judged.died_within),
    ).rename(whom="person_id")  # fmt: skip
    ids = ibis.union(spans.select("person_id"), judged.select("person_id"), distinct=True)
    with_days = ids.left_join(whole, ids.person_id == whole.seen).drop("seen")
    with_stays = with_days.left_join(admitted, with_days.person_id == admitted.who).drop("who")
    both = with_stays.left_join(outcome, with_stays.person_id == outcome.whom).drop("whom")
    names = ("days", "admissions", "index", "readmitted", "unplanned", "died_within")
    filled = both.mutate(**{name: both[name].fill_null(0) for name in names})
    return pd.DataFrame(collect(source, filled.order_by("person_id")))[["person_id", *names]]


def watched(source: Any, first: Any, last: Any, within: ir.Table | None = None) -> ir.Table:
    """Spans of days on which a person is alive and observed within a period: person_id, begin and finish."""
    held = source.table("observation_period")
    died = people.deaths(source).rename(who="person_id")
    joined = held.left_join(died, held.person_id == died.who)
    begin = ibis.greatest(joined.observation_period_start_date, ibis.literal(first))
    finish = ibis.least(
        ibis.least(joined.observation_period_end_date, ibis.literal(last)),
        ibis.coalesce(joined.death_date, ibis.literal(last)),
    )
    spans = joined.select("person_id", begin=begin, finish=finish)
    if within is not None:
        both = spans.inner_join(within.rename(who="person_id"), spans.person_id == within.rename(who="person_id").who)
        spans = both.select(
            "person_id", begin=ibis.greatest(both.begin, both.begins), finish=ibis.least(both.finish, both.ends)
        )
    return spans.filter(spans.begin <= spans.finish)


def after_index(cohort: Cohort, window: Window) -> ir.Table:
    """The days of a cohort's persons that a window from the index date covers: person_id, begins and ends (dates).

    Raises
    ------
    DataError : a person enters more than once, so that stays would count twice.
    """
    source, table = cohort.source, cohort.table
    if cohort.entries > cohort.persons:
        raise DataError(
            f"The cohort {cohort.name!r} has persons with several entries, whose stays would count twice. Take one "
            "entry a person: co.first_eligible, or co.first() among the steps."
        )
    begins = ibis.literal(dt.date(1, 1, 1)) if window.start is None else _moved(table.index_date, window.start)
    ends = ibis.literal(dt.date(9999, 12, 31)) if window.end is None else _moved(table.index_date, window.end)
    return source.engine.materialise(table.select("person_id", begins=begins, ends=ends), "within")


def _moved(day: Any, by: int) -> Any:
    """A date some days later (or earlier); SQL makes a timestamp of it, which it is not."""
    return (day + ibis.interval(days=by)).cast("date")
