"""What a protocol would measure in a world, straight from its arrays: the road through the records, without it.

Thousands of worlds can then be analysed in minutes. It counts by code of its own; tests/truth/test_fast_path.py holds
it against the road through the records, every person and every column, to the last digit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from clinops.stats.comorbidity import comorbidity
from clinops.worlds.draw import Drawn
from clinops.worlds.programme import count_between, sum_between
from clinops.worlds.settings import DIAGNOSIS_BACK, HORIZON, LOOK_BACK, NEVER
from clinops.worlds.truth import potential_year
from clinops.worlds.use import key
from clinops.worlds.vocabulary import (
    CONDITIONS,
    EMERGENCY,
    HEART_FAILURE,
    HYPERTENSION,
    INPATIENT,
    NEGATIVE_CONTROLS,
    PRIMARY,
)

Columns = dict[str, Any]
RACES = np.array(["White", "Black or African American", "Asian", None], dtype=object)


def baseline(it: Drawn, offered: np.ndarray | None = None) -> Columns:
    """Return the covariates of the embedded protocol, one row an eligible person, by person.

    Parameters
    ----------
    it : a world's block (its first: person ids count from 1).
    offered : (n eligible,) another assignment than the world's own, such as a lottery over the same persons.

    Returns
    -------
    Columns by the names that `build` gives them: who and when, then the covariates.
    """
    of, who = it.of, it.who
    person, index = of.person, of.index
    columns: Columns = {
        "person_id": person + 1,
        "arm": (it.ran.offered if offered is None else offered).astype(np.int8),
        "index_date": index.astype("datetime64[D]").astype("datetime64[s]"),
        "care_site_id": who.clinic[person] + 1,
        "age": of.covariates["age_years"],
        "sex": np.where(who.female[person], "female", "male").astype(object),
        "race": RACES[who.race[person]],
        "ethnicity": np.where(who.hispanic[person], "Hispanic or Latino", "Not Hispanic or Latino").astype(object),
    }
    year = (person, index - LOOK_BACK, index - 1)
    keys = key(it.kept.person, it.kept.start)
    kinds = {"primary_care_visits": PRIMARY, "emergency_visits_before": EMERGENCY, "admissions_before": INPATIENT}
    for name, kind in kinds.items():
        columns[name] = count_between(keys[it.kept.kind == kind], *year).astype(float)
    visits, fills = it.arrived
    cents = sum_between(keys, it.kept.cents * visits, *year)
    cents += sum_between(key(it.taken.person, it.taken.start), it.taken.cents * fills, *year)
    columns["total_cost_before"] = cents / 100
    for name, which in (("hypertension", HYPERTENSION), ("heart_failure", HEART_FAILURE)):
        noted = _days_of(it, np.array([which]))
        columns[name] = (count_between(noted, person, index - DIAGNOSIS_BACK, index - 1) > 0).astype(float)
    return columns | _scores(it)


def _days_of(it: Drawn, which: np.ndarray) -> np.ndarray:
    """Sorted keys of the days on which one of the conditions was recorded."""
    rows = it.noted.visit[np.isin(it.noted.condition, which)]
    return np.sort(key(it.kept.person[rows], it.kept.start[rows]))


def _scores(it: Drawn) -> Columns:
    """Charlson and Elixhauser from the codes that were recorded in the year before the index."""
    row_of = np.full(len(it.who), -1)
    row_of[it.of.person] = np.arange(len(it.of))
    row = row_of[it.kept.person[it.noted.visit]]
    day = it.kept.start[it.noted.visit] - it.of.index[row]
    inside = (row >= 0) & (day >= -LOOK_BACK) & (day <= -1)
    cell = np.unique(row[inside] * len(CONDITIONS) + it.noted.condition[inside])
    codes = np.array([condition.icd10 for condition in CONDITIONS], dtype=object)
    who, code = cell // len(CONDITIONS), codes[cell % len(CONDITIONS)]
    weights = {"charlson": "charlson", "elixhauser": "van_walraven"}
    scores = {
        index: comorbidity(who, code, 10, n_persons=len(it.of), index=index, weights=points).score.astype(float)
        for index, points in weights.items()
    }
    return {"charlson_index": scores["charlson"], "elixhauser_score": scores["elixhauser"]}


def follow_up(it: Drawn) -> Columns:
    """Return when follow-up ended and why, and the negative controls, over days 1 to 365 of what really happened."""
    of = it.of
    death = it.death[of.person]
    ends = np.stack([np.maximum(death - of.index, 0), np.full(len(of), HORIZON), of.span_end - of.index])
    end = ends.min(axis=0)
    reason = np.array(["death", "window", "end of observation"], dtype=object)[ends.argmin(axis=0)]
    columns: Columns = {"observed_days": end, "end_day": end, "end_reason": reason}
    died = (death > of.index) & (death - of.index <= end)
    columns |= {"death": died.astype(float), "death__days": end}
    for control in NEGATIVE_CONTROLS:
        keys = _days_of(it, np.array([CONDITIONS.index(control)]))
        at = np.searchsorted(keys, key(of.person, of.index + 1))
        first = np.append(keys, NEVER * 4)[at] - key(of.person, of.index)
        happened = (first >= 1) & (first <= end)
        name = control.name.lower().replace(" ", "_")
        columns |= {name: happened.astype(float), f"{name}__days": np.where(happened, first, end)}
    return columns


def observed(it: Drawn) -> Columns:
    """Return the outcomes of what really happened over days 1 to 365, money in dollars."""
    visits, fills = it.arrived
    kept, taken = replace(it.kept, cents=it.kept.cents * visits), replace(it.taken, cents=it.taken.cents * fills)
    year = potential_year(kept, taken, it.of, it.death[it.of.person])
    return named({name: values / 100 if name.startswith("cost_") else values for name, values in year.items()})


def potential(it: Drawn, offered: np.ndarray) -> Columns:
    """Return the outcomes as they would be had these persons been offered, from both potential years.

    With nobody offered it is the world without an effect; the offers may be other than the world's own.
    """
    pairs = {name[:-2] for name in it.truth if name.endswith("_0")}
    year = {name: np.where(offered, it.truth[f"{name}_1"], it.truth[f"{name}_0"]) for name in sorted(pairs)}
    return named({name: values / 100 if name.startswith("cost_") else values for name, values in year.items()})


def named(year: Columns) -> Columns:
    """Return a year's outcomes by the names that the embedded protocol gives them, with the days observed."""
    kinds = ("total", "inpatient", "emergency", "outpatient", "pharmacy")
    costs = {f"{kind}_cost": year[f"cost_{kind}"] for kind in kinds}
    counts = {name: year[name].astype(float) for name in ("admissions", "emergency_visits", "days_at_home")}
    days = {f"{name}__days": year["follow_up_days"] for name in (*costs, *counts)}
    return costs | counts | days


def difference(it: Drawn, outcome: str = "cost_total") -> np.ndarray:
    """Return what the offer does to each eligible person's outcome, money in dollars."""
    gap = it.truth[f"{outcome}_1"] - it.truth[f"{outcome}_0"]
    return gap / 100 if outcome.startswith("cost_") else gap
