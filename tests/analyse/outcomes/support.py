"""Short words for one outcome: persons by hand as rows of arrays, and as records with a study on them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import clinops as co
from clinops.analyse.outcomes import estimates as made
from clinops.analyse.outcomes.rates import AGES, rate_rows, split
from clinops.analyse.outcomes.rows import DEATH, EVENT, EventRows
from clinops.results.schema import estimates
from tests.conftest import tiny
from tests.spec.support import DRUG, OTHER_DRUG, came, death, drug, other_drug, took, visit

INDEX = dt.date(2020, 1, 1)


class One(NamedTuple):
    """A person: the last day of follow-up, whether it is death, and the days of events."""

    end: int
    dies: bool = False
    events: tuple[int, ...] = ()


def rows(exposed: Sequence[One], comparator: Sequence[One], horizon: float = 100, **changes: Any) -> EventRows:
    """Arms of persons who are each followed from day 1 on, without weights."""
    people = [*exposed, *comparator]
    end = np.array([one.end for one in people], dtype=float)
    row = np.repeat(np.arange(len(people)), [len(one.events) for one in people])
    first = np.array([min(one.events, default=np.inf) for one in people])
    died, had = np.array([one.dies for one in people], dtype=bool), np.isfinite(first)
    parts: dict[str, Any] = {
        "exposed": np.arange(len(people)) < len(exposed), "exit": np.where(had, first, end), "end": end, "died": died,
        "cause": np.where(had, EVENT, np.where(died, DEATH, 0)), "event_row": row,
        "event_day": np.array([day for one in people for day in one.events], dtype=float),
        "weights": np.ones(len(people)), "cluster": np.arange(len(people)), "cluster_name": "person",
        "names": ("Programme", "Usual care"), "event": "Visits", "death": "Death before it", "since": 0.0,
        "horizon": float(horizon), "estimand": "difference between the arms as they are", "adjustment": "crude",
        "index_date": np.full(len(people), np.datetime64(INDEX)),
        "born": np.full(len(people), np.datetime64("1950-01-01")),
    }  # fmt: skip
    return EventRows(**(parts | changes))


def every_row(of: EventRows, *landmarks: float) -> pd.DataFrame:
    """Every estimate, which must pass the results schema as it stands."""
    marks = landmarks or (of.horizon,)
    found = made.risk_rows(of, marks) + made.time_rows(of) + made.hazard_rows(of) + made.test_rows(of)
    return estimates(found + made.repeat_rows(of) + rate_rows(split(of, AGES, False, "both arms")))


def only(frame: pd.DataFrame, method: str, scale: str, measure: str = "Visits", period: str | None = None) -> Any:
    """The one row of a method, scale and cause, a method by the beginning of its name."""
    keep = frame["method"].str.startswith(method) & (frame["scale"] == scale) & (frame["measure"] == measure)
    if period is not None:
        keep &= frame["period"] == period
    assert keep.sum() == 1, frame.loc[keep, ["method", "scale", "measure", "period"]]
    return frame[keep].iloc[0]


def some(n: int, seed: int, horizon: int = 100, rate: float = 0.8) -> list[One]:
    """Persons drawn by chance: some die, some are lost, some have many events."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        end = int(min(draw.integers(5, 160), horizon))
        days = draw.integers(1, end + 1, draw.poisson(rate))
        found.append(One(end, bool(end < horizon and draw.random() < 0.4), tuple(int(d) for d in np.sort(days))))
    return found


# --- as records ---------------------------------------------------------------------------------

WINDOW = co.days(1, 100)
VISITS = co.count(visit, WINDOW, name="Visits", role="primary", better="lower", worthwhile=1)
DIES = co.time_to(death, WINDOW, name="Death", role="safety", better="lower")


def on(day: int) -> str:
    """The date of a day from the index."""
    return (INDEX + dt.timedelta(days=day)).isoformat()


def records(exposed: Sequence[One], comparator: Sequence[One]) -> dict[str, Any]:
    """OMOP tables of the persons: exposed 1, 2, ..., comparators 1001, 1002, ..., the older the later."""
    people = {1 + i: one for i, one in enumerate(exposed)} | {1001 + i: one for i, one in enumerate(comparator)}
    return tiny(
        person=[{"person_id": who, "year_of_birth": 1950 + who % 1000} for who in people],
        observation_period=[
            {"person": who, "start": "2015-01-01", "end": "2024-12-31" if one.dies else on(one.end)}
            for who, one in people.items()
        ],
        drug_exposure=[
            row for who in people for row in took(who, on(0), concept=DRUG if who < 1001 else OTHER_DRUG)
        ],
        visit_occurrence=[row for who, one in people.items() for row in came(who, *(on(d) for d in one.events))],
        death=[{"person": who, "start": on(one.end)} for who, one in people.items() if one.dies],
    )  # fmt: skip


def study(source: Any, *outcomes: Any, window: Any = WINDOW, **parts: Any) -> Any:
    """Those who took the drug v those who took the other one, compared as they are."""
    enter = parts.pop("enter", co.first_ever)
    given = {"adjust": co.crude(), "covariates": (co.age_at_index(),), "min_cell": 1} | parts
    return co.protocol(
        title="A programme", question="Does it help?", follow_up=co.follow_up(window),
        exposed=co.cohort("Programme", entry=enter(drug)), comparator=co.cohort("Usual care", entry=enter(other_drug)),
        outcomes=outcomes or (VISITS, DIES), **given,
    ).on(source)  # fmt: skip
