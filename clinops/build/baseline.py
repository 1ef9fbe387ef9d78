"""Baseline: one row an entry, one column a covariate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from clinops.build import codes, costs, events, measures, people, scores, stays
from clinops.build.cohorts import Cohort
from clinops.build.entries import Entries, enter
from clinops.define.events import Events
from clinops.define.measures import EVENT_KINDS, PERSON_KINDS, SCORE_KINDS, Measure
from clinops.define.protocol import Protocol
from clinops.define.steps import Lacks
from clinops.define.windows import Window
from clinops.errors import DefinitionError
from clinops.stats.comorbidity import Comorbidity

Note = tuple[str, int, str]

IDENTITY = ("person_id", "arm", "index_date", "care_site_id")
CLINICIAN = "clinician_id"


@dataclass(frozen=True, eq=False)
class Baseline:
    """What is known of every entry at its index date.

    Attributes
    ----------
    frame : one row an entry, exposed first, then by person_id and index_date. Columns: person_id (int64), arm
        (int8, 1 exposed), index_date (datetime64[s]), care_site_id (Int64; of the visit on the index date, else
        of the person), clinician_id (Int64, likewise; only where the protocol clusters on it), then one a covariate or
        subgroup, named by its id: float64, or level names with None.
        The covariate "index date" is the column index_date itself.
    missing_covariates : (measure, reason) of those that the source cannot give; they have no column.
    age_rule : "exact", "year" or "mixed: n", n entries having only a year of birth.
    set_aside : (what, how many, why).
    scores : by measure id, the comorbidity groups, map and weights behind a score.
    entries : the same rows as a table in the engine.
    """

    frame: pd.DataFrame
    missing_covariates: tuple[tuple[Measure, str], ...]
    age_rule: str
    set_aside: tuple[Note, ...]
    scores: dict[str, Comorbidity] = field(repr=False)
    entries: Entries = field(repr=False)
    exposed: Cohort = field(repr=False)
    comparator: Cohort = field(repr=False)


def baseline(protocol: Protocol, exposed: Cohort, comparator: Cohort) -> Baseline:
    """Measure every covariate (and subgroup) of both arms.

    Look-back windows use every record on file, inside observation or not: a diagnosis made before enrolment
    is still known. Day 0 counts only where a window includes it.

    Raises
    ------
    DataError : an arm is empty (the message shows at which step), or the costs cannot be added.
    """
    entries = enter(exposed, comparator)
    wanted = _wanted(protocol)
    missing = [(measure, reason) for measure in wanted if (reason := impossible(measure, entries.source))]
    possible = [measure for measure in wanted if measure not in dict(missing)]
    traits = _traits(entries)
    columns, scored = _columns(entries, possible, traits)
    for measure in possible:
        if measure.id in columns and measure.categorical and not pd.notna(columns[measure.id]).any():
            missing.append((measure, f"No entry has a recorded {measure.measure}."))
            del columns[measure.id]
    frame = pd.concat([_identity(traits), pd.DataFrame(columns)], axis=1)
    order = [m.id for m in wanted if m.id in columns]
    _refuse_taken(order)
    unknown_age = int(np.isnan(traits["age"]).sum())
    notes = [("Entries without a year of birth", unknown_age, "Their age is missing.")] if unknown_age else []
    notes += _without_effect(protocol, entries.source)
    where = list(IDENTITY)
    if protocol.cluster == "clinician":
        frame[CLINICIAN] = _clinicians(entries, traits)
        where.append(CLINICIAN)
    return Baseline(
        frame=frame[[*where, *order]],
        missing_covariates=tuple(missing),
        age_rule=_age_rule(traits),
        set_aside=tuple(notes),
        scores=scored,
        entries=entries,
        exposed=exposed,
        comparator=comparator,
    )


def _without_effect(protocol: Protocol, source: Any) -> list[Note]:
    """Rules that exclude, end follow-up or date the programme, whose code list matches nothing: they do nothing."""
    arms, programme = (protocol.exposed, protocol.comparator), protocol.programme
    named: list[Any] = [step.events for arm in arms for step in arm.steps if isinstance(step, Lacks)]
    named += [*protocol.follow_up.censor, *(end for arm in arms for end in arm.exit)]
    named += [programme.offer, programme.activation, programme.engagement] if programme else []
    found = [event for event in dict.fromkeys(named) if isinstance(event, Events)]
    return [
        (f"Records matched by {event.label!r}, which a rule of the protocol names", 0, reason)
        for event in found
        if (reason := events.impossible(event, source))
    ]


def _refuse_taken(ids: list[str]) -> None:
    """A covariate may not take the name of a column that says whose row it is."""
    for name in ids:
        if name in (*IDENTITY, CLINICIAN):
            raise DefinitionError(f"A covariate is called {name!r}, as a column of its own is; give it another name=.")


def _wanted(protocol: Protocol) -> list[Measure]:
    wanted: dict[str, Measure] = {}
    for measure in (*protocol.covariates, *(group.measure for group in protocol.subgroups)):
        wanted.setdefault(measure.id, measure)
    return list(wanted.values())


def impossible(measure: Measure, source: Any) -> str:
    """Say why a measure cannot be had from the source; "" where it can."""
    if measure.measure == "cost":
        return costs.impossible(source, measure.category or "total", measure.amount)
    if measure.measure in SCORE_KINDS:
        return scores.impossible(source)
    if measure.measure == "days at home":
        return "" if source.has("visit_occurrence") else "The records hold no visits (table visit_occurrence)."
    if measure.measure == "value" and not measures.valued(measure):
        return "Only measurements and observations have values."
    return events.impossible(measure.events, source) if measure.events is not None else ""


def _window(measure: Measure) -> Window:
    if measure.window is None:
        raise DefinitionError(
            f"The covariate {measure.name!r} has no window; say how far back it looks, such as co.before(365)."
        )
    return measure.window


def _columns(
    entries: Entries, possible: list[Measure], traits: pd.DataFrame
) -> tuple[dict[str, Any], dict[str, Comorbidity]]:
    counts = {m.id: (m.events, _window(m)) for m in possible if m.measure in EVENT_KINDS and m.events is not None}
    asked = {m.id: costs.Asked(m.category or "total", m.amount, _window(m)) for m in possible if m.measure == "cost"}
    counted, spent = measures.counted(entries, counts, None), costs.spent(entries, asked, None)
    columns: dict[str, Any] = dict(spent)
    scored: dict[str, Comorbidity] = {}
    for measure in possible:
        if measure.measure == "index date":
            continue
        if measure.measure in PERSON_KINDS:
            columns[measure.id] = _of_person(measure, entries, traits)
        elif measure.measure in SCORE_KINDS:
            _window(measure)
            scored[measure.id] = scores.score(entries, measure)
            columns[measure.id] = scored[measure.id].score.astype(np.float64)
        elif measure.measure == "value":
            columns[measure.id] = measures.last_values(entries, measure, _window(measure), None)
        elif measure.measure == "days at home":
            columns[measure.id] = _days_at_home(entries, _window(measure), traits)
        elif measure.measure in EVENT_KINDS:
            found = counted[measure.id]
            ways = {"any": (found.count > 0).astype(np.float64), "count": found.count, "time to": found.first}
            columns[measure.id] = ways[measure.measure]
    return columns, scored


def traits(entries: Entries, wanted: tuple[Measure, ...]) -> pd.DataFrame:
    """What the person table says of every entry at its index date, whether or not it is a covariate.

    Parameters
    ----------
    wanted : measures of a person: age, sex, race, ethnicity.

    Returns
    -------
    frame with a column a measure, named by its id, in the order of the entries: numbers, or level names with None.
    """
    found = _traits(entries)
    return pd.DataFrame({measure.id: _of_person(measure, entries, found) for measure in wanted})


def _days_at_home(entries: Entries, window: Window, traits: pd.DataFrame) -> np.ndarray:
    """Days of the window inside the observation episode of the index date, less days in hospital."""
    first = traits["observed_from_day"].to_numpy(dtype=np.int64)
    last = traits["observed_to_day"].to_numpy(dtype=np.int64)
    first = first if window.start is None else np.maximum(first, window.start)
    last = last if window.end is None else np.minimum(last, window.end)
    seen = np.maximum(last - first + 1, 0)
    return (seen - stays.days_in_hospital(entries, first, last)).astype(np.float64)


def _traits(entries: Entries) -> pd.DataFrame:
    """One row an entry: who, when, where, and what the person table says."""
    table = entries.table
    expr = table.select(
        "row", "person_id", "arm", "index_date", "home_site", *people.TRAITS,
        age=people.age(table),
        dated=people.birthday_known(table),
        observed_from_day=table.observed_from.delta(table.index_date, unit="day"),
        observed_to_day=table.observed_to.delta(table.index_date, unit="day"),
    ).order_by("row")  # fmt: skip
    found = entries.source.engine.collect(expr)
    frame = found.to_pandas(integer_object_nulls=True, date_as_object=False)
    frame["index_date"] = frame["index_date"].astype("datetime64[s]")
    frame["age"] = frame["age"].astype("float64")
    for name in (*people.TRAITS, "home_site"):
        frame[name] = frame[name].astype("Int64")
    frame["care_site_id"] = _on_index_day(entries, "care_site_id").combine_first(frame["home_site"]).astype("Int64")
    return frame


def _on_index_day(entries: Entries, column: str) -> pd.Series:
    """Care site or clinician of the visit that begins on the index date (the lowest id of several), by row."""
    source = entries.source
    visits = source.table("visit_occurrence")
    known = visits.filter(visits[column].notnull()).select("person_id", "visit_start_date", place=visits[column])
    keys = entries.keys
    joined = keys.inner_join(known, [keys.person_id == known.person_id, keys.index_date == known.visit_start_date])
    place = joined.group_by("row").agg(place=joined.place.min())
    found = source.engine.collect(place).to_pandas(integer_object_nulls=True)
    return pd.Series(found["place"].to_numpy(), index=found["row"].to_numpy(), dtype="Int64")


def _clinicians(entries: Entries, traits: pd.DataFrame) -> pd.Series:
    """Clinician of the visit on the index date, else the one whom the person is registered with."""
    person, keys = entries.source.table("person"), entries.keys
    own = person.filter(person.provider_id.notnull()).select("person_id", own=person.provider_id)
    joined = keys.inner_join(own, "person_id").select("row", "own")
    found = entries.source.engine.collect(joined).to_pandas(integer_object_nulls=True)
    registered = pd.Series(found["own"].to_numpy(), index=found["row"].to_numpy(), dtype="Int64")
    rows = pd.RangeIndex(len(traits))
    return _on_index_day(entries, "provider_id").combine_first(registered).reindex(rows).astype("Int64")


def _identity(traits: pd.DataFrame) -> pd.DataFrame:
    return traits[[*IDENTITY]].astype({"person_id": "int64", "arm": "int8"})


def _age_rule(traits: pd.DataFrame) -> str:
    by_year = int((~traits["dated"].astype(bool)).sum())
    return "exact" if by_year == 0 else "year" if by_year == len(traits) else f"mixed: {by_year}"


def _of_person(measure: Measure, entries: Entries, traits: pd.DataFrame) -> Any:
    if measure.measure == "age":
        return traits["age"].to_numpy()
    if measure.measure == "index period":
        return _periods(traits["index_date"], str(measure.category))
    concept = traits[{"sex": "gender_concept_id"}.get(measure.measure, f"{measure.measure}_concept_id")]
    names = _level_names(measure, [int(c) for c in concept.dropna().unique()], entries.source)
    return np.array([None if pd.isna(c) else names.get(int(c)) for c in concept], dtype=object)


def _periods(dates: pd.Series, every: str) -> Any:
    """The name of the calendar period that holds each date; names sort as time does."""
    form = {"month": "%Y-%m", "year": "%Y"}.get(every)
    named = dates.dt.strftime(form) if form else dates.dt.year.astype(str) + "-Q" + dates.dt.quarter.astype(str)
    return named.to_numpy(dtype=object)


def _level_names(measure: Measure, concepts: list[int], source: Any) -> dict[int, str | None]:
    """What a report calls each concept; concept 0 and the like are missing."""
    given = people.LEVELS[measure.measure]
    known = codes.concept_names(source, [c for c in concepts if c not in given])
    return {c: given[c] if c in given else known[c][0] if c in known else f"concept {c}" for c in concepts if c != 0}
