"""Records of clinics that start a programme at different times, with what it averts known visit by visit."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

import clinops as co

EMERGENCY, OFFER, OTHER = 9203, 2000000001, 9202
FIRST = dt.date(2020, 1, 1)
DAYS = 1096  # 2020 to 2022
emergency = co.events("visit", co.codes("emergency visit", EMERGENCY))
other = co.events("visit", co.codes("office visit", OTHER))
offer = co.events("observation", co.codes("programme offer", OFFER))
QUARTERS = np.array([np.datetime64(f"{y}-{m:02d}-01") for y in (2020, 2021, 2022) for m in (1, 4, 7, 10)])


@dataclass(frozen=True)
class Clinics:
    """The records, and the visits of every clinic and quarter without the programme and with it, and person-days."""

    tables: dict[str, pa.Table]
    first: np.ndarray
    without: np.ndarray
    happened: np.ndarray
    days: np.ndarray

    @property
    def truth(self) -> float:
        """The mean effect on treated clinics and quarters, per 1,000 person-months."""
        under = np.arange(12) >= self.first[:, None]
        return float(((self.happened - self.without) / self.days)[under].mean() * 30437.5)


def clinics(
    seed: int = 1, sizes: dict[float, int] | None = None, persons: int = 20, averts: float = 0.08, rate: float = 1.0
) -> Clinics:
    """Make records: cohorts by the quarter of the start (infinite: never) and their numbers of clinics.

    averts : share of visits averted in the first quarter, growing by as much in each further one, up to a half.
    rate : emergency visits a person-month; clinics differ in level, all have one season.
    """
    rng = np.random.default_rng(seed)
    sizes = sizes or {4.0: 10, 6.0: 10, 8.0: 10, np.inf: 12}
    first = np.repeat(list(sizes), list(sizes.values())).astype(float)
    clinic = np.repeat(np.arange(len(first)), persons)
    level = rng.uniform(0.8, 1.2, len(first))[clinic] * rng.gamma(4, 0.25, len(clinic))
    counts = rng.poisson(level * rate * DAYS / 30.4375)
    who = np.repeat(np.arange(len(clinic)), counts)
    day = rng.integers(0, DAYS, len(who))
    quarter = np.searchsorted(QUARTERS, np.datetime64(FIRST) + day, side="right") - 1
    season = 1 - 0.2 * (quarter % 4 == 2)
    kept = rng.random(len(who)) < season
    who, day, quarter = who[kept], day[kept], quarter[kept]
    since = quarter - first[clinic[who]]
    chance = np.where(since >= 0, np.minimum(averts * (since + 1), 0.5), 0.0)
    happens = rng.random(len(who)) >= chance
    cells = clinic[who] * 12 + quarter
    shape = (len(first), 12)
    without = np.bincount(cells, minlength=np.prod(shape)).reshape(shape)
    with_it = np.bincount(cells[happens], minlength=np.prod(shape)).reshape(shape)
    lengths = np.diff(np.append(QUARTERS, np.datetime64("2023-01-01"))).astype(int)
    tables = _tables(clinic, who[happens], day[happens], first, rng)
    return Clinics(tables, first, without, with_it, np.tile(lengths * persons, (len(first), 1)))


def _tables(
    clinic: np.ndarray, who: np.ndarray, day: np.ndarray, first: np.ndarray, rng: np.random.Generator
) -> dict[str, pa.Table]:
    n = len(clinic)
    number = np.arange(1, n + 1)
    begun = np.flatnonzero(np.isfinite(first))
    offered = np.searchsorted(clinic, begun)  # the first person of every clinic that starts
    office = rng.integers(0, n, n * 12)
    visits = np.concatenate([who, office])
    days = np.concatenate([day, rng.integers(0, DAYS, len(office))])
    concept = np.repeat([EMERGENCY, OTHER], [len(who), len(office)])
    return {
        "person": pa.table({
            "person_id": number, "gender_concept_id": np.where(number % 2, 8532, 8507),
            "year_of_birth": 1940 + number % 40, "care_site_id": clinic + 1,
        }),
        "observation_period": pa.table({
            "observation_period_id": number, "person_id": number, "observation_period_start_date": _date(np.zeros(n)),
            "observation_period_end_date": _date(np.full(n, DAYS - 1)), "period_type_concept_id": np.full(n, 32813),
        }),
        "visit_occurrence": pa.table({
            "visit_occurrence_id": np.arange(1, len(visits) + 1), "person_id": visits + 1, "visit_concept_id": concept,
            "visit_start_date": _date(days), "visit_end_date": _date(days),
        }),
        "observation": pa.table({
            "observation_id": np.arange(1, len(begun) + 1), "person_id": offered + 1,
            "observation_concept_id": np.full(len(begun), OFFER),
            "observation_date": pa.array(QUARTERS[first[begun].astype(int)].astype("datetime64[D]")),
        }),
        "care_site": pa.table({
            "care_site_id": np.arange(1, len(first) + 1),
            "care_site_name": [f"Clinic {i}" for i in range(1, len(first) + 1)],
        }),
    }  # fmt: skip


def _date(days: np.ndarray) -> pa.Array:
    return pa.array(np.datetime64(FIRST) + days.astype(int))


def panel(**given: Any) -> Any:
    """The plan for these records."""
    parts = {
        "title": "Clinics", "question": "Does it help?", "starts": offer, "every": "quarter",
        "outcome": co.count(emergency, name="Emergency visits"), "first": "2020-01-01", "last": "2022-12-31",
    }  # fmt: skip
    return co.panel(**(parts | given))


def series(**given: Any) -> Any:
    """One series of these records."""
    parts = {
        "title": "Clinics", "question": "Does it help?", "starts": "2021-07-01", "every": "month",
        "outcome": co.count(emergency, name="Emergency visits"), "first": "2020-01-01", "last": "2022-12-31",
    }  # fmt: skip
    return co.series(**(parts | given))
