"""The one map from domains of events to OMOP tables and columns, visit kinds and cost categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinops.errors import SourceError, unknown

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.source import Source


@dataclass(frozen=True)
class Domain:
    """Where the events of a domain are kept; None where the model has no such column."""

    table: str
    start: str
    end: str | None = None
    concept: str | None = None
    source_value: str | None = None
    source_concept: str | None = None
    id: str | None = None
    kind: str | None = None
    visit: str | None = "visit_occurrence_id"


DOMAINS: dict[str, Domain] = {
    "condition": Domain(
        "condition_occurrence", "condition_start_date", "condition_end_date", "condition_concept_id",
        "condition_source_value", "condition_source_concept_id", "condition_occurrence_id", "condition_type_concept_id",
    ),
    "drug": Domain(
        "drug_exposure", "drug_exposure_start_date", "drug_exposure_end_date", "drug_concept_id",
        "drug_source_value", "drug_source_concept_id", "drug_exposure_id", "drug_type_concept_id",
    ),
    "procedure": Domain(
        "procedure_occurrence", "procedure_date", "procedure_end_date", "procedure_concept_id",
        "procedure_source_value", "procedure_source_concept_id", "procedure_occurrence_id",
        "procedure_type_concept_id",
    ),
    "visit": Domain(
        "visit_occurrence", "visit_start_date", "visit_end_date", "visit_concept_id", "visit_source_value",
        "visit_source_concept_id", "visit_occurrence_id", "visit_type_concept_id",
    ),
    "measurement": Domain(
        "measurement", "measurement_date", None, "measurement_concept_id", "measurement_source_value",
        "measurement_source_concept_id", "measurement_id", "measurement_type_concept_id",
    ),
    "observation": Domain(
        "observation", "observation_date", None, "observation_concept_id", "observation_source_value",
        "observation_source_concept_id", "observation_id", "observation_type_concept_id",
    ),
    "device": Domain(
        "device_exposure", "device_exposure_start_date", "device_exposure_end_date", "device_concept_id",
        "device_source_value", "device_source_concept_id", "device_exposure_id", "device_type_concept_id",
    ),
    "death": Domain(
        "death", "death_date", None, "cause_concept_id", "cause_source_value", "cause_source_concept_id",
        None, "death_type_concept_id", visit=None,
    ),
    "enrolment": Domain(
        "observation_period", "observation_period_start_date", "observation_period_end_date",
        id="observation_period_id", kind="period_type_concept_id", visit=None,
    ),
}  # fmt: skip
"""Keyed by `clinops.define.events.DOMAINS`."""

COLUMNS = (
    "person_id", "concept_id", "source_value", "source_concept_id", "start_date", "end_date", "record_id",
    "type_concept_id", "visit_occurrence_id",
)  # fmt: skip
"""What `events` returns for every domain."""

INPATIENT = (9201, 262, 8717, 32037)
"""Inpatient visit, emergency room and inpatient visit, inpatient hospital, intensive care."""
EMERGENCY = (9203, 262, 8870)
"""Emergency room visit, emergency room and inpatient visit, emergency room - hospital."""
OFFICE = (581477, 8940)
"""Office visit, office."""
OUTPATIENT = (9202, 5083, 8756, 8883, 38004207, 32036, *OFFICE)
"""Outpatient visit, telehealth, outpatient hospital, ambulatory surgery, ambulatory clinic, laboratory, office."""
PHARMACY = (581458,)
"""Pharmacy visit."""
POST_ACUTE = (42898160, 8863, 8676, 8546, 38004519, 8920, 581476)
"""Non-hospital institution, skilled nursing, nursing, hospice, home health agency, rehabilitation facility, home."""
VISIT_GROUPS = {"inpatient": INPATIENT, "emergency": EMERGENCY, "outpatient": OUTPATIENT, "post-acute": POST_ACUTE}


def domain(name: str) -> Domain:
    """Return where the events of a domain are kept."""
    if name not in DOMAINS:
        raise SourceError(unknown("domain of events", name, DOMAINS))
    return DOMAINS[name]


def events(source: Source, name: str) -> ir.Table:
    """Return the events of a domain with the same columns whatever the domain: `COLUMNS`.

    `end_date` is the record's own where it has one on or after the start, else the start.
    """
    import ibis

    where = domain(name)
    table = source.table(where.table)

    def column(held: str | None, kind: str) -> ir.Value:
        return table[held] if held is not None and held in table.columns else ibis.null(kind)

    start = table[where.start]
    end = ibis.greatest(ibis.coalesce(table[where.end], start), start) if where.end else start
    return table.select(
        person_id=table.person_id,
        concept_id=column(where.concept, "int64"),
        source_value=column(where.source_value, "string"),
        source_concept_id=column(where.source_concept, "int64"),
        start_date=start,
        end_date=end,
        record_id=column(where.id, "int64"),
        type_concept_id=column(where.kind, "int64"),
        visit_occurrence_id=column(where.visit, "int64"),
    )
