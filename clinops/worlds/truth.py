"""Both potential years of each eligible person, exactly, and what they average to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from clinops.errors import ParameterError, unknown
from clinops.worlds.people import People
from clinops.worlds.programme import Eligible, Programme, charged, happens
from clinops.worlds.settings import HORIZON, NEVER, Knobs
from clinops.worlds.use import Fills, Visits, key
from clinops.worlds.vocabulary import EMERGENCY, INPATIENT

MONEY = ("cost_total", "cost_inpatient", "cost_emergency", "cost_outpatient", "cost_pharmacy")
OUTCOMES = (*MONEY, "admissions", "emergency_visits", "any_admission", "died", "follow_up_days", "days_at_home")
"""Potential outcomes over days 1 to 365; each is a pair of columns, `..._0` without the offer, `..._1` with."""


def truth(knobs: Knobs, who: People, seen: Visits, taken: Fills, of: Eligible, ran: Programme) -> dict[str, np.ndarray]:
    """Return the truth as columns, one row an eligible person (`person` is the position in the block)."""
    columns = {
        "person": of.person,
        "index_date": of.index,
        "offered": ran.offered,
        "propensity": ran.propensity,
        "would_activate": ran.if_offered < NEVER,
        "activated": ran.activation < NEVER,
        "engaged": ran.engagement < NEVER,
    }
    never = np.full(len(of), NEVER)
    for world, began, death in ((0, never, ran.death_without), (1, ran.if_offered, ran.death_if_offered)):
        there = happens(knobs, who, seen, of, began, of.index + HORIZON)
        used = charged(knobs, seen.where(there), of, began, of.index + HORIZON, len(who))
        year = potential_year(used, taken, of, death)
        columns |= {f"{name}_{world}": values for name, values in year.items()}
    return columns


def potential_year(seen: Visits, taken: Fills, of: Eligible, death: np.ndarray) -> dict[str, np.ndarray]:
    """Accumulate one world's year: days 1 to 365, while enrolled in the index's own span and alive.

    A visit or fill counts on the day it starts; a death on the index day itself is not in the window. Money is
    in whole cents.
    """
    last = np.minimum(np.minimum(of.index + HORIZON, of.span_end), death)
    first = of.index + 1
    visit_keys, inpatient = key(seen.person, seen.start), seen.kind == INPATIENT
    emergency = seen.kind == EMERGENCY
    outpatient = ~inpatient & ~emergency

    def total(rows: np.ndarray, keys: np.ndarray, amounts: np.ndarray) -> np.ndarray:
        running = np.concatenate([[0], np.cumsum(amounts[rows])])
        kept = keys[rows]
        begin = np.searchsorted(kept, key(of.person, first))
        # `last` is the index day itself for someone whose enrolment or life ended on it: an empty window.
        return running[np.maximum(np.searchsorted(kept, key(of.person, last), side="right"), begin)] - running[begin]

    one = np.ones(len(seen), dtype=np.int64)
    everything = np.ones(len(taken.person), dtype=bool)
    year = {
        "cost_inpatient": total(inpatient, visit_keys, seen.cents),
        "cost_emergency": total(emergency, visit_keys, seen.cents),
        "cost_outpatient": total(outpatient, visit_keys, seen.cents),
        "cost_pharmacy": total(everything, key(taken.person, taken.start), taken.cents),
        "admissions": total(inpatient, visit_keys, one),
        "emergency_visits": total(emergency, visit_keys, one),
    }
    parts = [year[f"cost_{name}"] for name in ("inpatient", "emergency", "outpatient", "pharmacy")]
    year["cost_total"] = np.sum(parts, axis=0)
    year["any_admission"] = (year["admissions"] > 0).astype(np.int64)
    until = np.minimum(of.index + HORIZON, of.span_end)
    year["died"] = ((death >= first) & (death <= until)).astype(np.int64)
    year["follow_up_days"] = last - of.index
    year["days_at_home"] = year["follow_up_days"] - _days_in_hospital(seen.where(inpatient), of, first, last, death)
    return {name: year[name] for name in OUTCOMES}


def _days_in_hospital(
    stays: Visits, of: Eligible, first: np.ndarray, last: np.ndarray, death: np.ndarray
) -> np.ndarray:
    """Count the days from `first` to `last` in hospital, as `build` counts them; stays never overlap.

    The day of admission counts; the day of discharge does not, unless the person was admitted or died on it.
    """
    row_of = np.full(max(int(stays.person.max(initial=-1)), int(of.person.max(initial=-1))) + 1, -1)
    row_of[of.person] = np.arange(len(of))
    row = row_of[stays.person]
    row, start, end = row[row >= 0], stays.start[row >= 0], stays.end[row >= 0]
    stop = np.where(death[row] <= end, death[row], np.maximum(end - 1, start))
    days = np.minimum(stop, last[row]) - np.maximum(start, first[row]) + 1
    return np.bincount(row, weights=np.maximum(days, 0), minlength=len(of)).astype(np.int64)


def in_units(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns with money in dollars instead of cents."""
    return {name: values / 100 if name.rsplit("_", 1)[0] in MONEY else values for name, values in columns.items()}


def averages(columns: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Average each potential outcome over some of the truth's rows, and the difference the offer makes.

    Returns `{"n": ..., outcome: {"without": ..., "with": ..., "difference": ...}}`; NaN over no rows.
    """
    out: dict[str, Any] = {"n": int(np.count_nonzero(rows) if rows.dtype == bool else len(rows))}
    for name in OUTCOMES:
        without, offered = (_mean(columns[f"{name}_{world}"][rows]) for world in (0, 1))
        out[name] = {"without": without, "with": offered, "difference": offered - without}
    return out


def estimands(truth: pa.Table, outcome: str = "cost_total") -> dict[str, float]:
    """Return the true mean difference of an outcome for each population that a design may speak of.

    "att": those offered at the index. "ate": all eligible persons, which is also the intention-to-treat effect of an
    offer by lot. "overlap": weighted by e (1 - e) of the true propensity e. "complier": those who would activate if
    offered, whose effect an instrument estimates. NaN over nobody.

    Raises
    ------
    ParameterError : not an outcome of the truth.
    """
    if outcome not in OUTCOMES:
        raise ParameterError(unknown("outcome of the truth", outcome, OUTCOMES))
    gap = truth[f"{outcome}_1"].to_numpy().astype(float) - truth[f"{outcome}_0"].to_numpy()
    score, everyone = truth["propensity"].to_numpy(), np.ones(len(gap))
    populations = {
        "att": truth["offered"].to_numpy(zero_copy_only=False), "ate": everyone, "overlap": score * (1 - score),
        "complier": truth["would_activate"].to_numpy(zero_copy_only=False),
    }  # fmt: skip
    return {
        name: float(np.average(gap, weights=weights)) if weights.sum() > 0 else float("nan")
        for name, weights in populations.items()
    }


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
