"""The OMOP CDM 5.4 tables that a world fills: every column of the model, in its order, with its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

MONEY = pa.decimal128(18, 2)
_TYPES = {
    "id": pa.int64(),
    "concept": pa.int32(),
    "int": pa.int32(),
    "text": pa.string(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "money": MONEY,
    "number": pa.float64(),
}

_COLUMNS = {
    "person": """
        person_id:id gender_concept_id:concept year_of_birth:int month_of_birth:int day_of_birth:int
        birth_datetime:time race_concept_id:concept ethnicity_concept_id:concept location_id:id provider_id:id
        care_site_id:id person_source_value:text gender_source_value:text gender_source_concept_id:concept
        race_source_value:text race_source_concept_id:concept ethnicity_source_value:text
        ethnicity_source_concept_id:concept""",
    "observation_period": """
        observation_period_id:id person_id:id observation_period_start_date:date
        observation_period_end_date:date period_type_concept_id:concept""",
    "payer_plan_period": """
        payer_plan_period_id:id person_id:id payer_plan_period_start_date:date payer_plan_period_end_date:date
        payer_concept_id:concept payer_source_value:text payer_source_concept_id:concept
        plan_concept_id:concept plan_source_value:text plan_source_concept_id:concept
        sponsor_concept_id:concept sponsor_source_value:text sponsor_source_concept_id:concept
        family_source_value:text stop_reason_concept_id:concept stop_reason_source_value:text
        stop_reason_source_concept_id:concept""",
    "visit_occurrence": """
        visit_occurrence_id:id person_id:id visit_concept_id:concept visit_start_date:date
        visit_start_datetime:time visit_end_date:date visit_end_datetime:time visit_type_concept_id:concept
        provider_id:id care_site_id:id visit_source_value:text visit_source_concept_id:concept
        admitted_from_concept_id:concept admitted_from_source_value:text discharged_to_concept_id:concept
        discharged_to_source_value:text preceding_visit_occurrence_id:id""",
    "condition_occurrence": """
        condition_occurrence_id:id person_id:id condition_concept_id:concept condition_start_date:date
        condition_start_datetime:time condition_end_date:date condition_end_datetime:time
        condition_type_concept_id:concept condition_status_concept_id:concept stop_reason:text provider_id:id
        visit_occurrence_id:id visit_detail_id:id condition_source_value:text
        condition_source_concept_id:concept condition_status_source_value:text""",
    "drug_exposure": """
        drug_exposure_id:id person_id:id drug_concept_id:concept drug_exposure_start_date:date
        drug_exposure_start_datetime:time drug_exposure_end_date:date drug_exposure_end_datetime:time
        verbatim_end_date:date drug_type_concept_id:concept stop_reason:text refills:int quantity:number
        days_supply:int sig:text route_concept_id:concept lot_number:text provider_id:id
        visit_occurrence_id:id visit_detail_id:id drug_source_value:text drug_source_concept_id:concept
        route_source_value:text dose_unit_source_value:text""",
    "observation": """
        observation_id:id person_id:id observation_concept_id:concept observation_date:date
        observation_datetime:time observation_type_concept_id:concept value_as_number:number
        value_as_string:text value_as_concept_id:concept qualifier_concept_id:concept unit_concept_id:concept
        provider_id:id visit_occurrence_id:id visit_detail_id:id observation_source_value:text
        observation_source_concept_id:concept unit_source_value:text qualifier_source_value:text
        value_source_value:text observation_event_id:id obs_event_field_concept_id:concept""",
    "death": """
        person_id:id death_date:date death_datetime:time death_type_concept_id:concept cause_concept_id:concept
        cause_source_value:text cause_source_concept_id:concept""",
    "cost": """
        cost_id:id cost_event_id:id cost_domain_id:text cost_type_concept_id:concept
        currency_concept_id:concept total_charge:money total_cost:money total_paid:money paid_by_payer:money
        paid_by_patient:money paid_patient_copay:money paid_patient_coinsurance:money
        paid_patient_deductible:money paid_by_primary:money paid_ingredient_cost:money
        paid_dispensing_fee:money payer_plan_period_id:id amount_allowed:money revenue_code_concept_id:concept
        revenue_code_source_value:text drg_concept_id:concept drg_source_value:text""",
    "care_site": """
        care_site_id:id care_site_name:text place_of_service_concept_id:concept location_id:id
        care_site_source_value:text place_of_service_source_value:text""",
    "concept": """
        concept_id:concept concept_name:text domain_id:text vocabulary_id:text concept_class_id:text
        standard_concept:text concept_code:text valid_start_date:date valid_end_date:date invalid_reason:text""",
    "concept_ancestor": """
        ancestor_concept_id:concept descendant_concept_id:concept min_levels_of_separation:int
        max_levels_of_separation:int""",
    "vocabulary": """
        vocabulary_id:text vocabulary_name:text vocabulary_reference:text vocabulary_version:text
        vocabulary_concept_id:concept""",
    "cdm_source": """
        cdm_source_name:text cdm_source_abbreviation:text cdm_holder:text source_description:text
        source_documentation_reference:text cdm_etl_reference:text source_release_date:date
        cdm_release_date:date cdm_version:text cdm_version_concept_id:concept vocabulary_version:text""",
}

SCHEMAS = {
    table: pa.schema([(name, _TYPES[kind]) for name, kind in (item.split(":") for item in text.split())])
    for table, text in _COLUMNS.items()
}


def shaped(table: str, columns: Mapping[str, Any]) -> pa.Table:
    """Return an OMOP table from the columns that have values; all other columns of the model are null.

    A plain value is repeated on every row; money is given in whole cents, dates in days since 1970-01-01.
    """
    rows = next(len(values) for values in columns.values() if not np.isscalar(values))
    schema = SCHEMAS[table]
    stray = set(columns) - set(schema.names)
    if stray:
        raise KeyError(f"{table} has no column {sorted(stray)}")
    arrays = [_array(columns.get(column.name), column.type, rows) for column in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType, rows: int) -> pa.Array:
    if values is None:
        return pa.nulls(rows, kind)
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if np.isscalar(values):
        return pa.repeat(pa.scalar(values, kind), rows)
    if kind == MONEY:
        return money(values)
    if isinstance(values, np.ndarray) and kind == pa.date32():
        return pa.array(values.astype(np.int32)).cast(kind)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return pa.array(values).cast(kind)
    return pa.array(values, kind)


def money(cents: np.ndarray) -> pa.Array:
    """Return whole cents as decimal(18, 2), exactly and without a Python loop.

    An Arrow decimal is its unscaled value as a 128-bit little-endian integer: the cents, sign-extended.
    """
    words = np.empty((len(cents), 2), dtype="<i8")
    words[:, 0] = cents
    words[:, 1] = np.where(np.asarray(cents) < 0, -1, 0)
    return pa.Array.from_buffers(MONEY, len(cents), [None, pa.py_buffer(words.tobytes())])
