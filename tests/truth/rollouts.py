"""The effect of a roll-out by clinic in simulated worlds, beside its truth: group-time effects on clinic-quarters."""

from __future__ import annotations

from typing import Any

import numpy as np

from clinops.stats.group_time import group_time_effects
from clinops.stats.group_time_averages import average_effects
from clinops.worlds.rollout import MONTHS, starts
from clinops.worlds.settings import NEVER, Knobs
from tests.truth.designs import PERSONS, drawn

WAVES, HOLDOUT, EFFECT = 3, 6, 0.2
"""Three waves of six clinics (2021-01, 2021-10, 2022-07: starts of quarters) and six that never begin."""
FIRST, LAST = 6, 48
"""Months of the panel: 2020-07 to 2023-12, when clinics have persons under observation."""
DAYS_A_MONTH = 365.25 / 12


def one_world(seed: int, persons: int = PERSONS) -> dict[str, dict[str, tuple[float, ...]]]:
    """Cost per member-month of the eligible, by clinic and quarter, without an effect and with one."""
    knobs = {"waves": WAVES, "holdout_clinics": HOLDOUT, "effect": EFFECT}
    it = drawn(persons=persons, seed=seed, **knobs)
    without, with_it = (
        _quarters(it.clinics[f"cost_total_{world}"]) / 100 / _quarters(it.clinics[f"person_days_{world}"])
        * DAYS_A_MONTH for world in (0, 1)
    )  # fmt: skip
    first = _first_quarter(Knobs.of(persons=persons, seed=seed, **knobs))
    after = np.arange(without.shape[1]) >= first[:, None]
    truth = float((with_it - without)[after].mean())
    return {"roll-out, clinics not yet begun": {
        "none": _answer(without, first, 0.0), "planted": _answer(with_it, first, truth),
    }}  # fmt: skip


def _quarters(months: np.ndarray) -> np.ndarray:
    return months[:, FIRST:LAST].reshape(len(months), -1, 3).sum(axis=2)


def _first_quarter(knobs: Knobs) -> np.ndarray:
    """The quarter of the panel in which each clinic begins; infinite for one that never does."""
    begins = starts(knobs)
    month = np.searchsorted(MONTHS.astype("datetime64[D]").astype(np.int64), begins)
    assert ((month - FIRST)[begins < NEVER] % 3 == 0).all()
    return np.where(begins < NEVER, (month - FIRST) // 3, np.inf)


def _answer(y: np.ndarray, first: np.ndarray, truth: float) -> tuple[float, ...]:
    """Every treated cell counts by its clinics, as in the truth."""
    quarters = y.shape[1]
    unit, time = np.divmod(np.arange(y.size), quarters)
    found: Any = average_effects(
        group_time_effects(y.ravel(), unit, time, first[unit], comparison="not yet", base="universal"), "simple"
    )
    return (
        found.overall, found.overall_std_error, found.overall_conf_low, found.overall_conf_high, truth,
    )  # fmt: skip
