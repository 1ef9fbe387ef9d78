"""What the records are: model, span, vocabulary, capture, synthetic or real, and what is missing."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from clinops.define.base import choice
from clinops.errors import DataError, DefinitionError, SourceError, nearest
from clinops.sources.canonical import match
from clinops.sources.engine import Engine
from clinops.sources.loader import Loader
from clinops.sources.source import Source
from clinops.sources.tables import NEEDED, TABLES

CAPTURES = ("enrolment", "ehr", "registry")
_SYNTHETIC = re.compile(r"synthea|synthetic|simulat|eunomia|artificial", re.IGNORECASE)

PERIOD_TYPES = {
    32813: "enrolment",  # claim enrolment record
    44814722: "enrolment",  # period while enrolled in insurance
    32879: "registry",
    44814723: "registry",  # period while enrolled in a study
    32817: "ehr",
    32827: "ehr",  # EHR encounter record
    32882: "ehr",  # standard algorithm from EHR
    44814724: "ehr",  # period covering healthcare encounters
    44814725: "ehr",  # period inferred by algorithm
}
"""What the type of most observation periods says of the capture; other types say nothing."""

CONSEQUENCES = {
    "death": "deaths cannot be an outcome, and follow-up cannot end at death",
    "cost": "no table or figure of cost, and nothing on money",
    "payer_plan_period": "enrolment is taken from the observation periods",
    "visit_occurrence": "no use of care by type of visit, no days at home",
    "condition_occurrence": "no conditions, no comorbidity scores",
    "drug_exposure": "no drugs, neither as exposure nor as covariate",
    "procedure_occurrence": "no procedures",
    "measurement": "no measurements",
    "observation": "no observations, and no offer, activation or engagement dates kept there",
    "device_exposure": "no devices",
    "care_site": "no breakdown or clustering by site",
    "concept": "code lists are printed without names",
    "concept_ancestor": "code lists cannot take in the descendants of a concept",
    "cdm_source": "the records do not say where they come from; they count as real",
}


def source_from(engine: Engine, name: str, backend: str, *, capture: str | None, synthetic: bool | None) -> Source:
    """Look at the open records and return the `Source`."""
    if capture is not None:
        try:
            choice("capture", capture, CAPTURES)
        except DefinitionError as error:
            raise SourceError(str(error)) from None
    notes = _without_header(engine)
    _refuse_other_models(engine, name)
    for table in (table for table in TABLES if table in engine.raw):
        match(table, engine.raw[table])
    loader = Loader(engine)
    about = _about(loader)
    rows = {table: loader.raw_count(table) for table in TABLES if table in engine.raw}
    persons = _persons(loader, rows)
    captured, why_captured = (capture, "as given to connect") if capture else _capture(loader, rows)
    made, why_made = (synthetic, "as given to connect") if synthetic is not None else _synthetic(about)
    return Source(
        engine=engine, loader=loader, name=_name(about) or name, backend=backend, model=_model(about, engine),
        persons=persons, span=_span(loader), vocabulary=_vocabulary(about, loader), capture=captured,
        capture_reason=why_captured, synthetic=made, synthetic_reason=why_made,
        snapshot=about.get("source_release_date") or about.get("cdm_release_date"), rows=rows,
        missing=tuple((t, why) for t, why in CONSEQUENCES.items() if not rows.get(t)), notes=tuple(notes),
    )  # fmt: skip


def _without_header(engine: Engine) -> list[str]:
    """Put aside tables whose columns have no names, as some exports hold an empty table: the header as a row."""
    nameless = [name for name, raw in engine.raw.items() if all(re.fullmatch(r"column\d+", c) for c in raw.columns)]
    for name in nameless:
        engine.forget(name)
    return [
        f"{name} is not read: its columns are called column0, column1 and so on, so its header is a row of data or "
        "is missing. Export it again if it should hold records."
        for name in sorted(nameless)
        if name in TABLES
    ]


def _refuse_other_models(engine: Engine, name: str) -> None:
    missing = [table for table in NEEDED if table not in engine.raw]
    if not missing:
        return
    held = sorted({*engine.raw, *engine.others})
    close = nearest(missing[0], held)
    raise SourceError(
        f"{name} is not an OMOP CDM that can be analysed: it has no table {' and no table '.join(missing)}. "
        f"Found: {listing(held)}."
        + (f" Nearest to {missing[0]}: {', '.join(close)}." if close else "")
        + " If the tables are in a schema of their own, name it: connect(..., schema=...)."
    )


def listing(names: Sequence[str], most: int = 12) -> str:
    """Return names as a text that stays short however many there are."""
    shown = ", ".join(names[:most]) or "nothing"
    return shown + (f", and {len(names) - most} more" if len(names) > most else "")


def _about(loader: Loader) -> dict[str, Any]:
    table = loader.table("cdm_source")
    rows = loader.engine.rows(table.order_by(table.cdm_source_name).limit(1))
    return rows[0] if rows else {}


def _name(about: dict[str, Any]) -> str:
    return (about.get("cdm_source_name") or about.get("cdm_source_abbreviation") or "").strip()


def _persons(loader: Loader, rows: dict[str, int]) -> int:
    for table in ("person", "observation_period"):
        if not rows.get(table):
            raise DataError(f"The table {table} is empty, so nobody can be analysed. Was the export complete?")
    return loader.count(loader.table("person"))


def _span(loader: Loader) -> tuple[dt.date, dt.date]:
    periods = loader.table("observation_period")
    row = loader.engine.rows(
        periods.aggregate(
            first=periods.observation_period_start_date.min(), last=periods.observation_period_end_date.max()
        )
    )[0]
    if row["first"] is None:
        raise DataError(
            "No observation period belongs to a person of the person table, or all end before they start, "
            "so nobody can be analysed. Do person_id in person and observation_period mean the same?"
        )
    return row["first"], row["last"]


def _vocabulary(about: dict[str, Any], loader: Loader) -> str:
    table = loader.table("vocabulary")
    rows = loader.engine.rows(table.filter(table.vocabulary_id == "None").order_by("vocabulary_version").limit(1))
    held = rows[0]["vocabulary_version"] if rows else None
    return about.get("vocabulary_version") or held or "unknown"


def _model(about: dict[str, Any], engine: Engine) -> str:
    """Return the version the records state, else the one whose column names they use."""
    stated = re.search(r"([56])\.(\d)", about.get("cdm_version") or "")
    if stated:
        return f"OMOP CDM {stated.group(0)}"
    visits = engine.raw.get("visit_occurrence")
    newer = visits is not None and {"admitted_from_concept_id", "discharged_to_concept_id"} & set(visits.columns)
    return "OMOP CDM 5.4" if newer else "OMOP CDM 5.3"


def _capture(loader: Loader, rows: dict[str, int]) -> tuple[str, str]:
    if rows.get("payer_plan_period"):
        return "enrolment", "the records hold payer plan periods"
    periods = loader.table("observation_period")
    counted = periods.group_by("period_type_concept_id").agg(n=periods.count())
    kinds = loader.engine.rows(counted.order_by(counted.n.desc(), counted.period_type_concept_id).limit(1))
    kind = kinds[0]["period_type_concept_id"] if kinds else None
    if kind in PERIOD_TYPES:
        return PERIOD_TYPES[kind], f"most observation periods are of type {kind}"
    return "ehr", (
        f"observation periods are of type {kind}, which does not tell; contacts are the cautious reading. "
        "If the periods are enrolment, say capture='enrolment'"
    )


def _synthetic(about: dict[str, Any]) -> tuple[bool, str]:
    said = " ".join(str(value) for key, value in sorted(about.items()) if value and key != "vocabulary_version")
    found = _SYNTHETIC.search(said)
    if found:
        return True, f"cdm_source says {found.group(0)!r}"
    return False, "cdm_source does not say synthetic" if about else "nothing says where the records come from"
