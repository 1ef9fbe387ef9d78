"""Persons: sex, birth, age, race and death, by one rule wherever they are asked for."""

from __future__ import annotations

from typing import Any

import ibis.expr.types as ir

SEX_CONCEPTS = {"female": 8532, "male": 8507}

BIRTH = ("year_of_birth", "month_of_birth", "day_of_birth")
TRAITS = ("gender_concept_id", "race_concept_id", "ethnicity_concept_id")


def persons(source: Any) -> ir.Table:
    """One row a person: person_id, birth parts (null where unknown), sex, race and ethnicity concepts, care site."""
    table = source.table("person")
    return table.select("person_id", *BIRTH, *TRAITS, home_site=table.care_site_id)


def birthday_known(table: ir.Table) -> ir.BooleanValue:
    """Say whether month and day of birth are on record; some sources write 0 for unknown."""
    month, day = table.month_of_birth, table.day_of_birth
    return (month.between(1, 12) & day.between(1, 31)).fill_null(False)


def age(table: ir.Table, exact: bool = True) -> ir.IntegerValue:
    """Whole years of age at `index_date`; null where the year of birth is unknown.

    With `exact`, one year less until the birthday where month and day are known (a person born on 29
    February has the birthday on 1 March of other years). Otherwise index year minus birth year.
    """
    years = table.index_date.year().cast("int64") - table.year_of_birth
    if not exact:
        return years
    at = table.index_date.month().cast("int64") * 100 + table.index_date.day().cast("int64")
    born = table.month_of_birth * 100 + table.day_of_birth
    return years - (birthday_known(table) & (at < born)).fill_null(False).ifelse(1, 0)


def deaths(source: Any) -> ir.Table:
    """One row a person who died: person_id and death_date, the first where several are on record."""
    table = source.table("death")
    dated = table.filter(table.death_date.notnull())
    return dated.group_by("person_id").agg(death_date=dated.death_date.min())


LEVELS: dict[str, dict[int, str | None]] = {
    "sex": {8532: "female", 8507: "male", 8551: None, 8570: None, 8521: "other"},
    "race": {
        8527: "White",
        8516: "Black or African American",
        8515: "Asian",
        8657: "American Indian or Alaska Native",
        8557: "Native Hawaiian or Other Pacific Islander",
        8522: "Other race",
        8552: None,
    },
    "ethnicity": {38003563: "Hispanic or Latino", 38003564: "Not Hispanic or Latino"},
}
"""Standard concepts by the names that reports print; None is recorded as unknown and so missing."""
