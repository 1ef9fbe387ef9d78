"""A block of a world as OMOP tables: the records that the world's actual course left behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from clinops.worlds import vocabulary as words
from clinops.worlds.cdm import shaped
from clinops.worlds.people import HOSPITALS, People
from clinops.worlds.programme import Eligible, Programme
from clinops.worlds.settings import ACTIVATION, BLOCK, CLINICS, ENGAGEMENT, LAST_DAY, NEVER, OFFER, Knobs, day
from clinops.worlds.use import Diagnoses, Fills, Visits

SLOT = 100_000_000
"""Identifiers of block b run from b * SLOT + 1, so that blocks need not know of each other."""
CLAIM, ENROLMENT, DEATH_CERTIFICATE, EHR, PHARMACY, DOLLAR = 32810, 32813, 32815, 32817, 32869, 44818668
CHARGE_RATIO = (1.8, 1.5, 3.2, 2.8, 1.3)
COPAY_CENTS, COINSURANCE = (2500, 1500, 15000, 30000, 1000), (0.10, 0.10, 0.15, 0.10, 0.10)
"""Charges over allowed, and the patient's share, by kind of visit; the last of each is for drugs."""
PLANS = ("HMO", "PPO", "Medicare Advantage")


def person_ids(block: int, person: np.ndarray) -> np.ndarray:
    """Return the `person_id` of positions in a block: 1, 2, 3, ... through the world."""
    return block * BLOCK + person + 1


def ids(block: int, n: int) -> np.ndarray:
    """Return `n` identifiers of a block for one table."""
    return block * SLOT + np.arange(1, n + 1)


def person(block: int, who: People) -> pa.Table:
    """Return `person`."""
    year, month, date = who.birth_parts()
    hidden = ~who.dated
    races = np.array([8527, 8516, 8515, 0])
    return shaped(
        "person",
        {
            "person_id": (number := person_ids(block, np.arange(len(who)))),
            "gender_concept_id": np.where(who.female, 8532, 8507),
            "year_of_birth": year,
            "month_of_birth": pa.array(month, mask=hidden),
            "day_of_birth": pa.array(date, mask=hidden),
            "birth_datetime": pa.array(who.birth.astype("datetime64[D]").astype("datetime64[us]"), mask=hidden),
            "race_concept_id": races[who.race],
            "ethnicity_concept_id": np.where(who.hispanic, 38003563, 38003564),
            "care_site_id": who.clinic + 1,
            "person_source_value": pa.array(number).cast(pa.string()),
            "gender_source_value": pick(("M", "F"), who.female.astype(int)),
        },
    )


def spans(who: People, death: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return person, start and end of every enrolment span, ended by death."""
    people, which = np.nonzero(who.spans[:, :, 0] < NEVER)
    start, end = who.spans[people, which, 0], np.minimum(who.spans[people, which, 1], death[people])
    return people, start, end


def observation_period(block: int, who: People, death: np.ndarray) -> pa.Table:
    """Return `observation_period`: enrolment, one row a span."""
    people, start, end = spans(who, death)
    return shaped(
        "observation_period",
        {
            "observation_period_id": ids(block, len(people)),
            "person_id": person_ids(block, people),
            "observation_period_start_date": start,
            "observation_period_end_date": end,
            "period_type_concept_id": ENROLMENT,
        },
    )


def plan_years(who: People, death: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split every span at the turn of the year, as plans renew: person, start, end, in order."""
    people, start, end = spans(who, death)
    turn = np.array([day(f"{year}-01-01") for year in range(2019, 2026)])
    first, last = np.searchsorted(turn, start, "right") - 1, np.searchsorted(turn, end, "right") - 1
    row = np.repeat(np.arange(len(people)), last - first + 1)
    within = np.arange(len(row)) - np.repeat(np.cumsum(last - first + 1) - (last - first + 1), last - first + 1)
    year = first[row] + within
    return people[row], np.maximum(start[row], turn[year]), np.minimum(end[row], turn[year + 1] - 1)


def payer_plan_period(block: int, who: People, years: tuple[np.ndarray, np.ndarray, np.ndarray]) -> pa.Table:
    """Return `payer_plan_period`, one row a plan year."""
    people, start, end = years
    older = (start - who.birth[people]) > 65 * 365.25
    return shaped(
        "payer_plan_period",
        {
            "payer_plan_period_id": ids(block, len(people)),
            "person_id": person_ids(block, people),
            "payer_plan_period_start_date": start,
            "payer_plan_period_end_date": end,
            "payer_concept_id": 0,
            "payer_source_value": "simulated payer",
            "plan_concept_id": 0,
            "plan_source_value": pick(PLANS, np.where(older, 2, people % 2)),
        },
    )


def visit_occurrence(block: int, who: People, seen: Visits, death: np.ndarray) -> pa.Table:
    """Return `visit_occurrence`; a stay ends at the latest with the person's enrolment or life."""
    clinic = np.where(seen.kind <= words.TELEHEALTH, who.clinic[seen.person], CLINICS + seen.person % HOSPITALS)
    return shaped(
        "visit_occurrence",
        {
            "visit_occurrence_id": ids(block, len(seen)),
            "person_id": person_ids(block, seen.person),
            "visit_concept_id": np.array(words.VISIT_CONCEPTS)[seen.kind],
            "visit_start_date": seen.start,
            "visit_end_date": np.minimum(seen.end, death[seen.person]),
            "visit_type_concept_id": CLAIM,
            "care_site_id": clinic + 1,
            "visit_source_value": pick(words.VISIT_SOURCE, seen.kind),
            "visit_source_concept_id": 0,
        },
    )


def condition_occurrence(block: int, seen: Visits, noted: Diagnoses) -> pa.Table:
    """Return `condition_occurrence`; diagnoses refer to the visits as they are written."""
    return shaped(
        "condition_occurrence",
        {
            "condition_occurrence_id": ids(block, len(noted.visit)),
            "person_id": person_ids(block, seen.person[noted.visit]),
            "condition_concept_id": np.array([c.concept for c in words.CONDITIONS])[noted.condition],
            "condition_start_date": seen.start[noted.visit],
            "condition_type_concept_id": CLAIM,
            "visit_occurrence_id": ids(block, len(seen))[noted.visit],
            "condition_source_value": pick([c.icd10 for c in words.CONDITIONS], noted.condition),
            "condition_source_concept_id": 0,
        },
    )


def drug_exposure(block: int, who: People, taken: Fills, death: np.ndarray) -> pa.Table:
    """Return `drug_exposure`; the supply is cut at the end of enrolment or life."""
    supply = np.array([d.days for d in words.DRUGS])[taken.drug]
    span = who.span_on(taken.person, taken.start)
    last = np.minimum(who.spans[taken.person, span, 1], death[taken.person])
    return shaped(
        "drug_exposure",
        {
            "drug_exposure_id": ids(block, len(taken.person)),
            "person_id": person_ids(block, taken.person),
            "drug_concept_id": np.array([d.concept for d in words.DRUGS])[taken.drug],
            "drug_exposure_start_date": taken.start,
            "drug_exposure_end_date": np.minimum(taken.start + supply - 1, last),
            "drug_type_concept_id": PHARMACY,
            "quantity": supply.astype(float),
            "days_supply": supply,
            "drug_source_value": pick([d.name for d in words.DRUGS], taken.drug),
            "drug_source_concept_id": 0,
        },
    )


def cost(
    knobs: Knobs, block: int, seen: Visits, taken: Fills, years: tuple[np.ndarray, np.ndarray, np.ndarray],
    arrived: tuple[np.ndarray, np.ndarray],
) -> pa.Table:  # fmt: skip
    """Return `cost`: one row a visit and one a fill; allowed = paid by the payer + paid by the patient.

    Rows whose cost has not `arrived` (one mask for visits, one for fills) are not there.
    """
    kind = np.concatenate([seen.kind, np.full(len(taken.person), len(words.VISIT_CONCEPTS))])
    people, date = np.concatenate([seen.person, taken.person]), np.concatenate([seen.start, taken.start])
    allowed = np.concatenate([seen.cents, taken.cents])
    event = np.concatenate([ids(block, len(seen)), ids(block, len(taken.person))])
    noise = np.exp(knobs.rng(block, "charges").normal(0, 0.15, len(kind)))
    charge = np.maximum(np.rint(allowed * np.array(CHARGE_RATIO)[kind] * noise).astype(np.int64), allowed)
    copay = np.minimum(np.array(COPAY_CENTS)[kind], allowed)
    coinsurance = np.rint((allowed - copay) * np.array(COINSURANCE)[kind]).astype(np.int64)
    by_patient = copay + coinsurance
    whole = shaped(
        "cost",
        {
            "cost_id": ids(block, len(kind)),
            "cost_event_id": event,
            "cost_domain_id": pick(("Visit", "Drug"), (kind == len(words.VISIT_CONCEPTS)).astype(int)),
            "cost_type_concept_id": CLAIM,
            "currency_concept_id": DOLLAR,
            "total_charge": charge,
            "total_paid": allowed,
            "paid_by_payer": allowed - by_patient,
            "paid_by_patient": by_patient,
            "paid_patient_copay": copay,
            "paid_patient_coinsurance": coinsurance,
            "paid_patient_deductible": np.zeros(len(kind), dtype=np.int64),
            "payer_plan_period_id": ids(block, len(years[0]))[_plan_of(years, people, date)],
            "amount_allowed": allowed,
        },
    )
    there = np.concatenate(arrived)
    return whole if there.all() else whole.filter(pa.array(there))


def _plan_of(years: tuple[np.ndarray, np.ndarray, np.ndarray], people: np.ndarray, date: np.ndarray) -> np.ndarray:
    """Return the row of the plan year that holds each event; every event lies in one."""
    return np.searchsorted(years[0] * 2**20 + years[1], people * 2**20 + date, side="right") - 1


def observation(block: int, of: Eligible, ran: Programme) -> pa.Table:
    """Return `observation`: the programme's dates, under concept ids of the site's own."""
    parts = [
        (of.person, when, np.full(len(of), concept), np.full(len(of), order))
        for order, (concept, when) in enumerate(
            ((OFFER, ran.offer), (ACTIVATION, ran.activation), (ENGAGEMENT, ran.engagement))
        )
    ]
    people, when, concept, order = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    rows = np.flatnonzero(when < NEVER)
    rows = rows[np.lexsort((order[rows], people[rows]))]
    return shaped(
        "observation",
        {
            "observation_id": ids(block, len(rows)),
            "person_id": person_ids(block, people[rows]),
            "observation_concept_id": concept[rows],
            "observation_date": when[rows],
            "observation_type_concept_id": EHR,
            "observation_source_value": pick(("programme offer", "activation", "engagement"), order[rows]),
            "observation_source_concept_id": 0,
        },
    )


def deaths(block: int, death: np.ndarray) -> pa.Table:
    """Return `death`."""
    people = np.flatnonzero(death <= LAST_DAY)
    return shaped(
        "death",
        {
            "person_id": person_ids(block, people),
            "death_date": death[people],
            "death_type_concept_id": DEATH_CERTIFICATE,
        },
    )


def pick(labels: Sequence[str], which: np.ndarray) -> pa.Array:
    """Return one label a row, by its position."""
    return pa.array(list(labels)).take(pa.array(which))


def fixed(knobs: Knobs, version: str) -> dict[str, pa.Table]:
    """Return the tables that do not depend on persons: sites, vocabulary, the description of the source."""
    rows = words.concepts()
    names = [f"Clinic {number}" for number in range(1, CLINICS + 1)]
    names += [f"Hospital {number}" for number in range(1, HOSPITALS + 1)]
    number = np.arange(1, len(names) + 1)
    columns = ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id")
    concept: dict[str, object] = {name: [row[at] for row in rows] for at, name in enumerate(columns)}
    concept |= {"standard_concept": [row[5] for row in rows], "concept_code": [row[6] for row in rows]}
    concept |= {"valid_start_date": day("1970-01-01"), "valid_end_date": day("2099-12-31")}
    pairs = words.ancestors()
    return {
        "care_site": shaped(
            "care_site",
            {"care_site_id": number, "care_site_name": names, "care_site_source_value": names},
        ),
        "concept": shaped("concept", concept),
        "concept_ancestor": shaped(
            "concept_ancestor",
            {
                "ancestor_concept_id": [row[0] for row in pairs],
                "descendant_concept_id": [row[1] for row in pairs],
                "min_levels_of_separation": [row[2] for row in pairs],
                "max_levels_of_separation": [row[2] for row in pairs],
            },
        ),
        "vocabulary": shaped(
            "vocabulary",
            {
                "vocabulary_id": [row[0] for row in words.VOCABULARIES],
                "vocabulary_name": [row[1] for row in words.VOCABULARIES],
                "vocabulary_reference": [row[2] for row in words.VOCABULARIES],
                "vocabulary_version": "excerpt for simulated records",
                "vocabulary_concept_id": 0,
            },
        ),
        "cdm_source": shaped(
            "cdm_source",
            {
                "cdm_source_name": ["clinops simulated digital care programme"],
                "cdm_source_abbreviation": "clinops world",
                "cdm_holder": "clinops",
                "source_description": (
                    "Simulated, synthetic records: no real persons, no clinical meaning. Made by clinops "
                    f"{version}, seed {knobs.seed}, {knobs.persons} persons, planted effect {knobs.effect:g}."
                ),
                "source_release_date": LAST_DAY,
                "cdm_release_date": LAST_DAY,
                "cdm_version": "5.4",
                "cdm_version_concept_id": 756265,
                "vocabulary_version": "excerpt for simulated records",
            },
        ),
    }
