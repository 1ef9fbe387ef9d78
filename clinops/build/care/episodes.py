"""Hospital stays as episodes of care: copies left out, overlaps, transfers and same-day returns merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.build import codes, events
from clinops.define.care import ReadmissionRules
from clinops.sources import omop

DIED = (4216643,)
"""Where a stay was discharged to, as standard concepts: the patient died."""
AGAINST_ADVICE = (4021968,)
"""The patient left against medical advice."""
ANOTHER_HOSPITAL = (8717,)
"""Inpatient hospital."""
STATUS_CODES = {"died": ("20", "40", "41", "42"), "against_advice": ("7", "07"), "transferred_out": ("2", "02")}
"""Patient discharge status of a US claim (UB-04, form locator 17), where the records keep it as written."""

PRINCIPAL_STATUS = (32901, 32902, 32903)
"""Primary admission diagnosis, primary diagnosis, primary discharge diagnosis."""
PRINCIPAL_TYPE = (44786627, 38000183, 38000199)
"""Primary condition, inpatient detail primary, inpatient header primary: how older records say it."""

NEXT_TO = ("facility", "condition", "id", "end_known", "to_concept", "to_written")
"""What the first and the last stay of an episode are remembered by."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Hospital stays as episodes.

    Attributes
    ----------
    table : materialised, one row an episode: person_id, number (from 1, by start), start and end (dates), stays,
        and for its first and last stay `first_*` and `last_*` of `NEXT_TO`.
    counts : stays on record, copies left out, stays merged because they overlap, by transfer, on the same day.
    notes : what could not be done, in words.
    """

    table: ir.Table
    counts: dict[str, int]
    notes: tuple[str, ...]


def episodes(source: Any, rules: ReadmissionRules) -> Episodes:
    """Merge hospital stays into episodes.

    Stays that overlap are one (nobody is in two hospitals); then each is compared with the stay before it:
    another facility within `transfer_days` of discharge is a transfer, and a return to the same facility on the
    day of discharge follows `same_day`. Where a facility or a principal diagnosis is not on record, two stays
    are not known to be the same or different, and stay apart.

    Raises
    ------
    DataError : the records hold no visits, or the code list of the stays matches none.
    """
    held = source.engine.materialise(_stays(source, rules), "stays")
    spells = source.engine.materialise(_joined(_spells(held), rules), "spells")
    upto = ibis.window(group_by="person_id", order_by="number", rows=(None, 0))
    joined = spells.transfer | spells.same_day
    whole = spells.mutate(episode=joined.ifelse(0, 1).sum().over(upto)).drop("number", "transfer", "same_day")
    table = source.engine.materialise(_collapse(whole, "episode"), "episodes")
    return Episodes(table, _counts(source, held, spells), _notes(source, held, rules))


def _counts(source: Any, held: ir.Table, spells: ir.Table) -> dict[str, int]:
    rows = source.engine.rows
    of_stays = rows(held.agg(stays=held["copies"].sum(), single=held.count()))[0]
    of_spells = rows(
        spells.agg(
            spells=spells.count(),
            transfers=spells.count(where=spells.transfer),
            same_day=spells.count(where=spells.same_day),
        )
    )[0]
    on_record, single = int(of_stays["stays"] or 0), int(of_stays["single"])
    return {
        "stays": on_record, "copies": on_record - single, "overlaps": single - int(of_spells["spells"]),
        "transfers": int(of_spells["transfers"]), "same_day": int(of_spells["same_day"]),
    }  # fmt: skip


def _notes(source: Any, held: ir.Table, rules: ReadmissionRules) -> tuple[str, ...]:
    known = source.engine.rows(
        held.agg(facilities=held.count(where=held.first_facility.notnull()),
                 conditions=held.count(where=held.first_condition.notnull()), all=held.count())
    )[0]  # fmt: skip
    notes = []
    if known["all"] and not known["facilities"] and (rules.transfer_days is not None or rules.same_day != "new stay"):
        notes.append(
            "No stay names its facility (care_site_id), so neither transfers nor same-day returns to the same "
            "facility could be merged."
        )
    elif known["all"] and not known["conditions"] and rules.same_day == "same condition":
        notes.append(
            "No stay has a diagnosis marked as principal, so no same-day return was known to be for the same "
            "condition; each is a stay of its own."
        )
    return tuple(notes)


def _stays(source: Any, rules: ReadmissionRules) -> ir.Table:
    """One row a stay, exact copies (person, facility and both days alike) as one with their number."""
    for one in rules.stays:
        events.require(one, source)
    visits = omop.events(source, "visit")
    if rules.stays:
        parts = [codes.match(one, source).narrow(visits) if one.codes else visits for one in rules.stays]
        visits = ibis.union(*parts, distinct=True) if len(parts) > 1 else parts[0]
    else:
        visits = visits.filter(visits.concept_id.isin(omop.INPATIENT))
    table = source.table("visit_occurrence")
    more = table.select(
        more_id=table.visit_occurrence_id,
        facility=table.care_site_id,
        to_concept=table.discharged_to_concept_id,
        to_written=table.discharged_to_source_value.strip().upper(),
        discharged=table.visit_end_date,
    )
    dated = visits.filter(visits.start_date.notnull())
    joined = dated.inner_join(more, dated.record_id == more.more_id)
    known = joined.discharged.notnull() & (joined.discharged >= joined.start_date)
    stays = joined.select(
        "person_id", "facility", "to_concept", "to_written", id=joined.record_id, start=joined.start_date,
        end=joined.end_date, end_known=known.fill_null(False),
    ).distinct()  # fmt: skip
    alike = ibis.window(group_by=["person_id", "facility", "start", "end"])
    ranked = stays.mutate(
        copies=stays.count().over(alike),
        copy=ibis.row_number().over(ibis.window(group_by=["person_id", "facility", "start", "end"], order_by=stays.id)),
    )
    single = ranked.filter(ranked["copy"] == 0).drop("copy")
    principal = principal_conditions(source)
    coded = single.left_join(principal, single.id == principal.stay).drop("stay")
    return _both_ends(coded)


def _both_ends(stays: ir.Table) -> ir.Table:
    """A single stay is the first and the last of itself."""
    ends = {f"{side}_{name}": stays[name] for side in ("first", "last") for name in NEXT_TO}
    return stays.select("person_id", "start", "end", "copies", stays=ibis.literal(1, type="int64"), **ends)


def diagnoses(source: Any, principal: bool) -> ir.Table:
    """Condition records with a visit, as `codes.match` narrows them; of principal diagnoses only where asked."""
    table = source.table("condition_occurrence")
    if principal:
        main = table.condition_status_concept_id.isin(PRINCIPAL_STATUS)
        older = table.condition_type_concept_id.isin(PRINCIPAL_TYPE)
        table = table.filter(main.fill_null(False) | older.fill_null(False))
    kept = table.filter(table.visit_occurrence_id.notnull())
    return kept.select(
        stay=kept.visit_occurrence_id, record_id=kept.condition_occurrence_id, concept_id=kept.condition_concept_id,
        source_value=kept.condition_source_value, source_concept_id=kept.condition_source_concept_id,
    )  # fmt: skip


def principal_conditions(source: Any) -> ir.Table:
    """One row a stay with a principal diagnosis: stay and condition, the code as text (the lowest, if several)."""
    found = diagnoses(source, principal=True)
    concept = found.concept_id.nullif(0).cast("string")
    coded = found.select("stay", condition=ibis.coalesce(concept, found.source_value.strip().upper().nullif("")))
    return coded.group_by("stay").agg(condition=coded.condition.min())


def _spells(stays: ir.Table) -> ir.Table:
    """Stays that overlap as one: a stay begins a new spell if it starts on or after the latest discharge so far."""
    order = ["start", "end", "first_id"]
    before = ibis.window(group_by="person_id", order_by=order, rows=(None, -1))
    reach = stays.drop("copies").mutate(reach=stays.end.max().over(before))
    fresh = reach.mutate(fresh=(reach.reach.isnull() | (reach.start >= reach.reach)).ifelse(1, 0))
    upto = ibis.window(group_by="person_id", order_by=order, rows=(None, 0))
    return _collapse(fresh.mutate(spell=fresh.fresh.sum().over(upto)).drop("reach", "fresh"), "spell")


def _joined(spells: ir.Table, rules: ReadmissionRules) -> ir.Table:
    """Say of each spell whether it belongs to the one before it, by transfer or as a return on the same day."""
    back = ibis.window(group_by="person_id", order_by="number")
    last = {name: spells[f"last_{name}"].lag(1).over(back) for name in ("facility", "condition")}
    seen = spells.mutate(before_end=spells.end.lag(1).over(back), **{f"before_{k}": v for k, v in last.items()})
    gap = seen.start.delta(seen.before_end, unit="day")
    away, same = seen.first_facility != seen.before_facility, seen.first_facility == seen.before_facility
    never = ibis.literal(False)
    transfer = never if rules.transfer_days is None else (away & (gap <= rules.transfer_days))
    alike = {
        "new stay": never, "one stay": same & (gap == 0),
        "same condition": same & (gap == 0) & (seen.first_condition == seen.before_condition),
    }[rules.same_day]  # fmt: skip
    kept = seen.mutate(transfer=transfer.fill_null(False), same_day=alike.fill_null(False))
    return kept.drop("before_end", "before_facility", "before_condition")


def _collapse(rows: ir.Table, group: str) -> ir.Table:
    """One row a person and group: its first and last day, and its first and last stay."""
    within = [rows.person_id, rows[group]]
    ranked = rows.mutate(
        opens=ibis.row_number().over(ibis.window(group_by=within, order_by=[rows.start, rows.end, rows.first_id])),
        closes=ibis.row_number().over(
            ibis.window(group_by=within, order_by=[rows.end.desc(), rows.start.desc(), rows.last_id.desc()])
        ),
    )
    opens, closes = ranked.opens == 0, ranked.closes == 0
    ends: dict[str, ir.Value] = {}
    for name in NEXT_TO:
        ends[f"first_{name}"] = _only(ranked[f"first_{name}"], opens)
        ends[f"last_{name}"] = _only(ranked[f"last_{name}"], closes)
    found = ranked.group_by(["person_id", group]).agg(
        start=ranked.start.min(), end=ranked.end.max(), stays=ranked.stays.sum(), **ends
    )
    return found.rename(number=group)


def _only(column: Any, where: ir.BooleanValue) -> ir.Value:
    """The value of the one row for which the condition holds; of truth values as well, which have no maximum."""
    if column.type().is_boolean():
        return (column & where).any()
    return column.max(where=where)
