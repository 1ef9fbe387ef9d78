"""A roll-out: each clinic begins on a day of its own, and what that does by clinic and calendar month."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from clinops.worlds.people import People
from clinops.worlds.settings import CLINICS, LAST_DAY, NEVER, Knobs, day
from clinops.worlds.vocabulary import EMERGENCY, INPATIENT

if TYPE_CHECKING:
    from clinops.worlds.programme import Eligible
    from clinops.worlds.use import Fills, Visits

FIRST_START, LAST_START = day("2021-01-01"), day("2022-07-01")
MONTHS = np.arange("2020-01", "2025-01", dtype="datetime64[M]")
"""The calendar months for which the truth of a roll-out is kept."""
_STARTS = MONTHS.astype("datetime64[D]").astype(np.int64)
SUMS = ("cost_total", "cost_inpatient", "cost_emergency", "admissions", "emergency_visits")


def starts(knobs: Knobs) -> np.ndarray:
    """Return the day on which each clinic begins, a first of a month; NEVER for one that does not.

    Waves are evenly spread and hold equally many clinics, as far as that goes; which clinic is in which wave is a
    lottery.
    """
    months = np.linspace(FIRST_START, LAST_START, knobs.waves).astype("datetime64[D]").astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64)
    order = knobs.rng(0, "clinic starts").permutation(CLINICS)
    begins = np.full(CLINICS, NEVER)
    joining = order[: CLINICS - knobs.holdout_clinics]
    begins[joining] = days[np.arange(len(joining)) * knobs.waves // len(joining)]
    return begins


def offers(knobs: Knobs, who: People, of: Eligible, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each eligible person's probability of an offer at the index (0 or 1), and the day of the offer.

    Whoever is eligible before the clinic begins is offered on that day, if still enrolled (`last`) and alive.
    """
    begins = starts(knobs)[who.clinic[of.person]]
    offer = np.maximum(of.index, begins)
    return (begins <= of.index).astype(float), np.where(offer <= last, offer, NEVER)


def by_clinic(
    who: People, of: Eligible, without: Visits, with_it: Visits, taken: Fills, deaths: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sum what eligible persons used in each clinic and month, in the world without (`_0`) and with (`_1`) it.

    Parameters
    ----------
    without, with_it : visits that happen if no clinic ever begins, and as the roll-out went.
    deaths : (n eligible,) day of death in the two worlds.

    Returns
    -------
    (CLINICS, months) arrays: person_days_0 and _1, and a pair for each of SUMS, money in cents. A person counts from
    the day after the index to the end of the enrolment span or life.
    """
    out: dict[str, np.ndarray] = {}
    for world, visits in enumerate((without, with_it)):
        last = np.minimum(np.minimum(of.span_end, deaths[world]), LAST_DAY)
        out[f"person_days_{world}"] = _person_days(who.clinic[of.person], of.index + 1, last)
        first_of, last_of = (np.full(len(who), edge) for edge in (NEVER, -1))
        first_of[of.person], last_of[of.person] = of.index + 1, last

        def cells(person: np.ndarray, date: np.ndarray, amount: np.ndarray, first=first_of, end=last_of) -> np.ndarray:
            inside = (date >= first[person]) & (date <= end[person])
            cell = who.clinic[person[inside]] * len(MONTHS) + _month_of(date[inside])
            return np.bincount(cell, amount[inside], CLINICS * len(MONTHS)).reshape(CLINICS, -1).astype(np.int64)

        kinds = {"inpatient": visits.kind == INPATIENT, "emergency": visits.kind == EMERGENCY}
        one = np.ones(len(visits))
        drugs = cells(taken.person, taken.start, taken.cents)
        out[f"cost_total_{world}"] = cells(visits.person, visits.start, visits.cents) + drugs
        for name, rows in kinds.items():
            what = "admissions" if name == "inpatient" else "emergency_visits"
            out[f"cost_{name}_{world}"] = cells(visits.person, visits.start, visits.cents * rows)
            out[f"{what}_{world}"] = cells(visits.person, visits.start, one * rows)
    return out


def _month_of(date: np.ndarray) -> np.ndarray:
    return np.searchsorted(_STARTS, date, side="right") - 1


def _person_days(clinic: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Days from first to last, both included, by clinic and month; persons x months at most."""
    ends = np.append(_STARTS[1:] - 1, LAST_DAY)
    days = np.minimum(last[:, None], ends) - np.maximum(first[:, None], _STARTS) + 1
    out = np.zeros((CLINICS, len(MONTHS)), dtype=np.int64)
    np.add.at(out, clinic, np.maximum(days, 0))
    return out


def table(knobs: Knobs, sums: dict[str, np.ndarray]) -> pa.Table:
    """Return the truth of a roll-out, one row a clinic and calendar month; dollars.

    Columns: care_site_id, month (its first day), start_date (null for a clinic that never begins), persons-days and
    the sums of both worlds.
    """
    begins = np.repeat(starts(knobs), len(MONTHS))
    columns: dict[str, object] = {
        "care_site_id": np.repeat(np.arange(1, CLINICS + 1), len(MONTHS)),
        "month": pa.array(np.tile(_STARTS, CLINICS).astype(np.int32)).cast(pa.date32()),
        "start_date": pa.array(begins.astype(np.int32), mask=begins == NEVER).cast(pa.date32()),
    }
    for name, values in sums.items():
        columns[name] = values.ravel() / 100 if name.startswith("cost_") else values.ravel()
    return pa.table(columns)
