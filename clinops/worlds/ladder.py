"""The laboratory of the bias ladder: high users whose need swings, and programmes that change nothing at all.

Everybody is enrolled and alive throughout, so that nothing but the design of a comparison can make a difference. Need
is a stable part times a monthly state (AR(1)); admissions follow it. A person qualifies at the first admission, from
the second year on, that is at least the second within 182 days. Several programmes then recruit, each in its own way
and each without any effect; the records hold their dates as observations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from clinops.errors import ParameterError
from clinops.worlds.cdm import shaped
from clinops.worlds.settings import day

MONTHS = 36
FIRST = day("2019-01-01")
WIDTH = 30.4375
LAST = FIRST + round(MONTHS * WIDTH) - 1
FROM, TO = day("2020-01-01"), day("2021-05-31")
"""The records, and between which days a person can qualify: half a year and more is left to follow everybody."""
TRAILING, LEAST = 182, 2
"""A person qualifies at an admission that is at least the LEAST-th in so many days, the day itself included."""

SHAPE, MEAN = 0.6, 0.10
STATE_SD, STATE_CORRELATION = 1.0, 0.70
MOST = 1.2
"""Admissions a month: a gamma of this shape and mean, times the exponential of the state, at most so many."""
ACCIDENT_SHARE = 0.25
"""Visits for an accident, as a share of the rate of admissions: they follow need, and no programme reaches them."""

ENROLLED, LATE, ENGAGED, OFFERED, REVIEW, REFERENCE = 2_000_000_011, 2_000_000_012, 2_000_000_013, 2_000_000_014, \
    2_000_000_015, 2_000_000_016  # fmt: skip
NAMES = {
    ENROLLED: "enrolment at the qualifying admission", LATE: "enrolment a month later", ENGAGED: "engagement",
    OFFERED: "offer by lot", REVIEW: "review after 30 days", REFERENCE: "random reference day",
}  # fmt: skip
ENROL_SHARE, OFFER_SHARE, WAIT = 0.30, 0.50, 28
ENGAGE_LEVEL, ENGAGE_SLOPE = 0.8, 0.85
"""log-odds of engagement: minus the level, minus the slope times the log of today's need (centred)."""

ADMISSION, ACCIDENT = 9201, 9203


@dataclass(frozen=True)
class Ladder:
    """The records as OMOP tables, and how many persons qualify."""

    tables: dict[str, pa.Table]
    qualified: int


def ladder(persons: int = 200_000, seed: int = 42) -> Ladder:
    """Make the records of the bias ladder; the true effect of every programme in them is zero.

    Parameters
    ----------
    persons : 1,000 or more. seed : 0 or more; each purpose has a stream of its own.

    Raises
    ------
    ParameterError : an impossible size or seed.
    """
    for name, value, least in (("persons", persons, 1_000), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ParameterError(f"{name} is {value!r}; it must be a whole number, {least:,} or more.")
    streams = np.random.SeedSequence([int(seed), 7]).spawn(6)
    need, admissions, accidents, recruit, chance, born = (np.random.default_rng(stream) for stream in streams)
    rate = _rates(need, persons)
    person, date = _days(admissions, rate)
    also, when = _days(accidents, rate * ACCIDENT_SHARE)
    who, index = qualifying(person, date)
    today = rate[who, np.minimum((index - FIRST) / WIDTH, MONTHS - 1).astype(np.int64)]
    dates = _programmes(recruit, who, index, today, (person, date))
    dates[REFERENCE] = (np.arange(persons), chance.integers(FROM, TO + 1, persons))
    return Ladder(_tables(born, persons, (person, date), (also, when), dates), len(who))


def _rates(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, months) expected admissions a month."""
    stable = rng.gamma(SHAPE, MEAN / SHAPE, n).astype(np.float32)
    fresh = np.float32(STATE_SD * np.sqrt(1 - STATE_CORRELATION**2))
    state = np.float32(STATE_SD) * rng.standard_normal(n, dtype=np.float32)
    rate = np.empty((n, MONTHS), dtype=np.float32)
    for month in range(MONTHS):
        rate[:, month] = np.minimum(stable * np.exp(state - STATE_SD**2 / 2), MOST)
        state = np.float32(STATE_CORRELATION) * state + fresh * rng.standard_normal(n, dtype=np.float32)
    return rate


def _days(rng: np.random.Generator, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Person and day of each event, by person and day; at most one a person a day."""
    counts = rng.poisson(rate)
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    person, month = np.divmod(cell, MONTHS)
    date = np.minimum(FIRST + np.floor((month + rng.random(len(cell))) * WIDTH).astype(np.int64), LAST)
    key = np.unique(person * 2**20 + date)
    return key // 2**20, key % 2**20


def qualifying(person: np.ndarray, date: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Person and day of each person's first qualifying admission, from admissions sorted by person and day."""
    earlier = np.searchsorted(person * 2**20 + date, person * 2**20 + date - TRAILING)
    often = np.arange(len(person)) - earlier + 1 >= LEAST
    rows = np.flatnonzero(often & (date >= FROM) & (date <= TO))
    who, first = np.unique(person[rows], return_index=True)
    return who, date[rows[first]]


def _programmes(
    rng: np.random.Generator, who: np.ndarray, index: np.ndarray, today: np.ndarray,
    admitted: tuple[np.ndarray, np.ndarray],
) -> dict[int, tuple[np.ndarray, np.ndarray]]:  # fmt: skip
    """Persons and days of every programme's date."""
    keys = admitted[0] * 2**20 + admitted[1]
    upto, after = (np.searchsorted(keys, who * 2**20 + index + end, side="right") for end in (WAIT, 0))
    quiet = upto == after
    lean = np.log(today + 1e-6)
    engages = rng.random(len(who)) < 1 / (1 + np.exp(ENGAGE_LEVEL + ENGAGE_SLOPE * (lean - lean.mean())))
    asked = rng.random((3, len(who)))
    enrolled, late, offered = asked[0] < ENROL_SHARE, quiet & (asked[1] < ENROL_SHARE), asked[2] < OFFER_SHARE
    everyone = np.ones(len(who), dtype=bool)
    plan = {ENROLLED: (enrolled, 0), LATE: (late, WAIT), ENGAGED: (engages, 0), OFFERED: (offered, 0),
            REVIEW: (everyone, WAIT)}  # fmt: skip
    return {concept: (who[rows], index[rows] + wait) for concept, (rows, wait) in plan.items()}


def _tables(
    rng: np.random.Generator, n: int, admitted: tuple[np.ndarray, np.ndarray], hurt: tuple[np.ndarray, np.ndarray],
    dates: dict[int, tuple[np.ndarray, np.ndarray]],
) -> dict[str, pa.Table]:  # fmt: skip
    visits = [(admitted, ADMISSION), (hurt, ACCIDENT)]
    visited = np.concatenate([part[0] for part, _ in visits])
    on = np.concatenate([part[1] for part, _ in visits])
    kind = np.concatenate([np.full(len(part[0]), concept) for part, concept in visits])
    seen = [(person, when, np.full(len(person), concept)) for concept, (person, when) in dates.items()]
    people, when, concept = (np.concatenate(part) for part in zip(*seen, strict=True))
    everyone = np.arange(1, n + 1)
    return {
        "person": shaped("person", {
            "person_id": everyone, "gender_concept_id": np.where(rng.random(n) < 0.5, 8532, 8507),
            "year_of_birth": 1940 + rng.integers(0, 40, n), "race_concept_id": 0, "ethnicity_concept_id": 0,
        }),
        "observation_period": shaped("observation_period", {
            "observation_period_id": everyone, "person_id": everyone,
            "observation_period_start_date": np.full(n, FIRST), "observation_period_end_date": np.full(n, LAST),
            "period_type_concept_id": 32813,
        }),
        "visit_occurrence": shaped("visit_occurrence", {
            "visit_occurrence_id": np.arange(1, len(on) + 1), "person_id": visited + 1, "visit_concept_id": kind,
            "visit_start_date": on, "visit_end_date": on, "visit_type_concept_id": 32810,
        }),
        "observation": shaped("observation", {
            "observation_id": np.arange(1, len(when) + 1), "person_id": people + 1, "observation_concept_id": concept,
            "observation_date": when, "observation_type_concept_id": 32817,
        }),
        "cdm_source": shaped("cdm_source", {
            "cdm_source_name": ["clinops bias ladder"], "cdm_source_abbreviation": "clinops ladder",
            "cdm_holder": "clinops", "cdm_version": "5.4",
            "source_description": f"Simulated, synthetic records of {n} persons: nobody is real, nothing works.",
            "source_release_date": LAST, "cdm_release_date": LAST,
        }),
    }  # fmt: skip
