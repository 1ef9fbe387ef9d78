"""The OMOP CDM tables and columns that clinops reads, with the type each has from here on.

A column that is not listed is not read. Types: ``id`` and ``int`` are int64, ``date`` a calendar date, ``time``
a timestamp without zone, ``money`` DECIMAL(18, 2), ``number`` float64, ``text`` text. ``=`` gives the other
name that a column has in another version of the model (5.3 on the right).
"""

from __future__ import annotations

from dataclasses import dataclass

_COLUMNS = {
    "person": """
        person_id:id gender_concept_id:id year_of_birth:int month_of_birth:int day_of_birth:int
        race_concept_id:id ethnicity_concept_id:id location_id:id provider_id:id care_site_id:id
        person_source_value:text gender_source_value:text race_source_value:text ethnicity_source_value:text""",
    "observation_period": """
        observation_period_id:id person_id:id observation_period_start_date:date observation_period_end_date:date
        period_type_concept_id:id""",
    "payer_plan_period": """
        payer_plan_period_id:id person_id:id payer_plan_period_start_date:date payer_plan_period_end_date:date
        payer_concept_id:id payer_source_value:text plan_concept_id:id plan_source_value:text
        sponsor_concept_id:id sponsor_source_value:text family_source_value:text""",
    "visit_occurrence": """
        visit_occurrence_id:id person_id:id visit_concept_id:id visit_start_date:date visit_start_datetime:time
        visit_end_date:date visit_end_datetime:time visit_type_concept_id:id provider_id:id care_site_id:id
        visit_source_value:text visit_source_concept_id:id
        admitted_from_concept_id=admitting_source_concept_id:id
        admitted_from_source_value=admitting_source_value:text
        discharged_to_concept_id=discharge_to_concept_id:id
        discharged_to_source_value=discharge_to_source_value:text preceding_visit_occurrence_id:id""",
    "visit_detail": """
        visit_detail_id:id person_id:id visit_detail_concept_id:id visit_detail_start_date:date
        visit_detail_start_datetime:time visit_detail_end_date:date visit_detail_end_datetime:time
        visit_detail_type_concept_id:id provider_id:id care_site_id:id visit_detail_source_value:text
        visit_detail_source_concept_id:id admitted_from_concept_id=admitting_source_concept_id:id
        discharged_to_concept_id=discharge_to_concept_id:id
        parent_visit_detail_id=visit_detail_parent_id:id visit_occurrence_id:id""",
    "condition_occurrence": """
        condition_occurrence_id:id person_id:id condition_concept_id:id condition_start_date:date
        condition_end_date:date condition_type_concept_id:id condition_status_concept_id:id provider_id:id
        visit_occurrence_id:id visit_detail_id:id condition_source_value:text condition_source_concept_id:id""",
    "drug_exposure": """
        drug_exposure_id:id person_id:id drug_concept_id:id drug_exposure_start_date:date
        drug_exposure_end_date:date drug_type_concept_id:id refills:int quantity:number days_supply:int
        provider_id:id visit_occurrence_id:id visit_detail_id:id drug_source_value:text drug_source_concept_id:id""",
    "procedure_occurrence": """
        procedure_occurrence_id:id person_id:id procedure_concept_id:id procedure_date:date
        procedure_end_date:date procedure_type_concept_id:id modifier_concept_id:id quantity:number
        provider_id:id visit_occurrence_id:id visit_detail_id:id procedure_source_value:text
        procedure_source_concept_id:id""",
    "device_exposure": """
        device_exposure_id:id person_id:id device_concept_id:id device_exposure_start_date:date
        device_exposure_end_date:date device_type_concept_id:id quantity:number provider_id:id
        visit_occurrence_id:id visit_detail_id:id device_source_value:text device_source_concept_id:id""",
    "measurement": """
        measurement_id:id person_id:id measurement_concept_id:id measurement_date:date
        measurement_type_concept_id:id operator_concept_id:id value_as_number:number value_as_concept_id:id
        unit_concept_id:id provider_id:id visit_occurrence_id:id visit_detail_id:id
        measurement_source_value:text measurement_source_concept_id:id unit_source_value:text
        value_source_value:text""",
    "observation": """
        observation_id:id person_id:id observation_concept_id:id observation_date:date
        observation_type_concept_id:id value_as_number:number value_as_string:text value_as_concept_id:id
        qualifier_concept_id:id unit_concept_id:id provider_id:id visit_occurrence_id:id visit_detail_id:id
        observation_source_value:text observation_source_concept_id:id""",
    "death": """
        person_id:id death_date:date death_type_concept_id:id cause_concept_id:id cause_source_value:text
        cause_source_concept_id:id""",
    "cost": """
        cost_id:id cost_event_id:id cost_domain_id:text
        cost_type_concept_id:id currency_concept_id:id total_charge:money total_cost:money total_paid:money
        paid_by_payer:money paid_by_patient:money paid_patient_copay:money paid_patient_coinsurance:money
        paid_patient_deductible:money paid_by_primary:money paid_ingredient_cost:money paid_dispensing_fee:money
        payer_plan_period_id:id amount_allowed:money revenue_code_source_value:text drg_source_value:text
        person_id:id visit_occurrence_id:id cost_event_field_concept_id:id cost_concept_id:id cost_source_value:text
        cost:money effective_date=incurred_date:date paid_date:date""",
    "care_site": """
        care_site_id:id care_site_name:text place_of_service_concept_id:id location_id:id
        care_site_source_value:text""",
    "provider": """
        provider_id:id provider_name:text specialty_concept_id:id care_site_id:id specialty_source_value:text""",
    "location": """
        location_id:id city:text state:text zip:text county:text location_source_value:text""",
    "concept": """
        concept_id:id concept_name:text domain_id:text vocabulary_id:text concept_class_id:text
        standard_concept:text concept_code:text invalid_reason:text""",
    "concept_ancestor": """
        ancestor_concept_id:id descendant_concept_id:id min_levels_of_separation:int
        max_levels_of_separation:int""",
    "concept_relationship": """
        concept_id_1:id concept_id_2:id relationship_id:text invalid_reason:text""",
    "vocabulary": """
        vocabulary_id:text vocabulary_name:text vocabulary_version:text""",
    "cdm_source": """
        cdm_source_name:text cdm_source_abbreviation:text cdm_holder:text source_description:text
        cdm_etl_reference:text source_release_date:date cdm_release_date:date cdm_version:text
        vocabulary_version:text""",
}

REQUIRED = {
    "person": ("person_id", "gender_concept_id", "year_of_birth"),
    "observation_period": ("person_id", "observation_period_start_date", "observation_period_end_date"),
    "payer_plan_period": ("person_id", "payer_plan_period_start_date", "payer_plan_period_end_date"),
    "visit_occurrence": ("visit_occurrence_id", "person_id", "visit_concept_id", "visit_start_date"),
    "condition_occurrence": ("person_id", "condition_concept_id", "condition_start_date"),
    "drug_exposure": ("person_id", "drug_concept_id", "drug_exposure_start_date"),
    "procedure_occurrence": ("person_id", "procedure_concept_id", "procedure_date"),
    "device_exposure": ("person_id", "device_concept_id", "device_exposure_start_date"),
    "measurement": ("person_id", "measurement_concept_id", "measurement_date"),
    "observation": ("person_id", "observation_concept_id", "observation_date"),
    "death": ("person_id", "death_date"),
    "cost": ("cost_event_id",),
    "concept": ("concept_id",),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
}
"""Columns without which a table that is there cannot be used; every other missing column is read as null."""

NEEDED = ("person", "observation_period")
"""Tables without which nothing can be analysed."""

VOCABULARY = ("concept", "concept_ancestor", "concept_relationship", "vocabulary")
"""Tables about concepts and not about persons."""


@dataclass(frozen=True)
class Column:
    """A column as clinops reads it: its name, its type, and the name it has in an older model."""

    name: str
    kind: str
    other: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the records may hold the column, the current one first."""
        return (self.name, self.other) if self.other else (self.name,)


def _parse(item: str) -> Column:
    names, kind = item.split(":")
    name, _, other = names.partition("=")
    return Column(name, kind, other or None)


TABLES: dict[str, tuple[Column, ...]] = {
    table: tuple(_parse(item) for item in text.split()) for table, text in _COLUMNS.items()
}
