"""One small world for the whole folder, its tables as DuckDB views."""

from __future__ import annotations

import duckdb
import pytest

from clinops.worlds import World, world

ELIGIBLE = """
    with visit as (
        select distinct v.person_id, v.visit_start_date as d from visit_occurrence v
        where v.visit_concept_id = 9202 and v.visit_start_date between date '2020-01-01' and date '2022-12-31'
    ), aged as (
        select visit.*, p.gender_concept_id, year(d) - p.year_of_birth - case
            when p.month_of_birth is null then 0
            when month(d) * 100 + day(d) < p.month_of_birth * 100 + p.day_of_birth then 1 else 0 end as age
        from visit join person p using (person_id)
    ), qualified as (
        select a.* from aged a
        where a.age between 18 and 85
        and exists (select 1 from observation_period o where o.person_id = a.person_id
            and o.observation_period_start_date <= a.d - 365 and o.observation_period_end_date >= a.d)
        and exists (select 1 from condition_occurrence c join concept_ancestor k
            on k.descendant_concept_id = c.condition_concept_id and k.ancestor_concept_id = 201826
            where c.person_id = a.person_id and c.condition_start_date between a.d - 1095 and a.d - 1)
    )
    select person_id, min(d) as index_date, arg_min(age, d) as age, any_value(gender_concept_id) as gender
    from qualified group by person_id order by person_id
"""
"""The eligibility as a protocol states it, written without the simulator."""

CHARGED = """
    select v.person_id, v.visit_start_date as d, v.visit_concept_id as kind, c.amount_allowed
    from cost c join visit_occurrence v on c.cost_domain_id = 'Visit' and c.cost_event_id = v.visit_occurrence_id
    union all
    select x.person_id, x.drug_exposure_start_date, -1, c.amount_allowed
    from cost c join drug_exposure x on c.cost_domain_id = 'Drug' and c.cost_event_id = x.drug_exposure_id
"""


@pytest.fixture(scope="session")
def small() -> World:
    return world(persons=8_000, effect=0.15, seed=7)


@pytest.fixture(scope="session")
def records(small: World):
    with duckdb.connect() as connection:
        small.register(connection)
        connection.register("truth", small.truth)
        connection.execute(f"create table eligible as {ELIGIBLE}")
        connection.execute(f"create table charged as {CHARGED}")
        yield connection
