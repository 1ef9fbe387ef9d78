"""Dates of birth of the entries: the age that they give on the index date is the age that eligibility knows."""

from __future__ import annotations

from typing import Any

import clinops as co
from clinops.build.births import births
from tests.conftest import tiny
from tests.spec.support import analysis, came, someone_else, took

INDEX = "2021-02-28"
PARTS = {
    1: (1980, 6, 15), 2: (1952, 2, 29), 3: (1960, None, None), 4: (1970, 0, 0), 5: (1975, 7, None), 6: (None, 3, 4),
}  # fmt: skip


def test_dates_of_birth_stand_in_the_order_of_the_entries(any_source: Any) -> None:
    names = ("person_id", "year_of_birth", "month_of_birth", "day_of_birth")
    person = [dict(zip(names, (who, *parts), strict=True)) for who, parts in PARTS.items()]
    other = someone_else(INDEX)
    source = any_source(
        tiny(
            person=[*person, {"person_id": other["person"], "year_of_birth": 1999}],
            drug_exposure=[*(row for who in PARTS for row in took(who, INDEX)), other], visit_occurrence=came(1, INDEX),
        ),
        capture="enrolment",
    )  # fmt: skip
    baseline, _ = analysis(source, window=co.days(1, 30), covariates=(co.age_at_index(),))
    found = births(baseline)
    assert baseline.frame["person_id"].tolist() == [*PARTS, other["person"]]
    assert found.astype(str).tolist() == [
        "1980-06-15", "1952-02-29", "1960-01-01", "1970-01-01", "1975-01-01", "NaT", "1999-01-01",
    ]  # fmt: skip
    # On 28 February of a common year who is born on the 29th is still 68.
    assert baseline.frame[co.age_at_index().id].fillna(-1).tolist() == [40, 68, 61, 51, 46, -1, 22]
