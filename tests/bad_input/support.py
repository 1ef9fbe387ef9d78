"""A small study that works, so that each test can spoil one thing: forty persons took the drug, forty the other."""

from __future__ import annotations

import datetime as dt
from typing import Any

import clinops as co
from tests.conftest import tiny
from tests.spec.support import bled, bleed, came, death, drug, other_drug, took, visit

DRUG, OTHER = 1118084, 1124300
INDEX = dt.date(2020, 1, 1)
PEOPLE = range(1, 81)
COLD = co.events("condition", co.codes("cold", 260139))

Rows = list[dict[str, Any]]


def day(offset: int) -> str:
    """The date a number of days from the index date."""
    return (INDEX + dt.timedelta(days=offset)).isoformat()


def rows(**changed: Rows) -> dict[str, Rows]:
    """Short rows of every table, some replaced: odd persons took the drug, even ones the other one."""
    made = {
        "person": [
            {"person_id": p, "year_of_birth": 1950 + p % 30, "gender_concept_id": (8532, 8507)[p % 3 == 0]}
            for p in PEOPLE
        ],
        "drug_exposure": [took(p, day(0), concept=DRUG if p % 2 else OTHER)[0] for p in PEOPLE],
        "condition_occurrence": [
            *(row for p in PEOPLE if p % 3 == 0 for row in bled(p, day(10 + p))),
            *({"person": p, "concept": 260139, "start": day(20 + p)} for p in PEOPLE if p % 5 == 0),
        ],
        "visit_occurrence": [row for p in PEOPLE for row in came(p, *(day(-10 * n) for n in range(1, 1 + p % 4)))],
        "death": [{"person": p, "start": day(200 + p)} for p in (11, 22, 33, 44)],
    }
    return made | changed


def records(**changed: Rows) -> Any:
    """The tables, made of `rows`."""
    return tiny(**rows(**changed))


def design(**changed: Any) -> Any:
    """A protocol that the linter lets through on records with capture "enrolment"."""
    parts: dict[str, Any] = {
        "exposed": co.cohort("Drug", entry=co.first_ever(drug), steps=(co.observed(before=365),)),
        "comparator": co.cohort("Other drug", entry=co.first_ever(other_drug), steps=(co.observed(before=365),)),
        "covariates": (co.age_at_index(), co.sex(), co.count(visit, co.before(365), name="Visits")),
        "outcomes": (co.time_to(bleed, name="Bleed", role="primary"), co.time_to(death, name="Death")),
        "negative_controls": (co.any_of(COLD, name="Cold"),),
        "follow_up": co.follow_up(co.days(1, 365)),
    }
    return co.protocol(title="T", question="Q?", **(parts | changed))


def noted(study: Any) -> dict[str, int]:
    """What the study set aside, with the counts."""
    return {what: count for what, count, _ in study.set_aside}


def printed(study: Any) -> dict[str, str]:
    """What the report's table of limits says of each thing: its count, as shown, and why."""
    frame = study.limits.frame
    return {row["what"]: f"{row['count']} {row['why']}" for _, row in frame.iterrows()}
