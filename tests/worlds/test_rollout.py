"""A roll-out by clinic: who is offered and when, and the truth by clinic and month, told again in SQL."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from clinops.errors import ParameterError
from clinops.worlds import World, world, write
from tests.worlds.conftest import CHARGED, ELIGIBLE

KNOBS = {"persons": 6_000, "seed": 3, "waves": 5, "holdout_clinics": 4, "effect": 0.25}


@pytest.fixture(scope="module")
def rolled() -> World:
    return world(**KNOBS)


@pytest.fixture(scope="module")
def records(rolled: World):
    with duckdb.connect() as connection:
        rolled.register(connection)
        connection.register("truth", rolled.truth)
        connection.register("clinics", rolled.clinics)
        connection.execute(f"create table eligible as {ELIGIBLE}")
        connection.execute(f"create table charged as {CHARGED}")
        yield connection


def test_five_waves_of_four_clinics_and_four_that_never_begin(records):
    found = records.sql("""select start_date, count(distinct care_site_id) from clinics
        group by 1 order by 1 nulls last""").fetchall()
    assert [n for _, n in found] == [4] * 6
    assert [str(date) for date, _ in found] == [
        "2021-01-01", "2021-05-01", "2021-10-01", "2022-02-01", "2022-07-01", "None",
    ]  # fmt: skip


def test_everyone_eligible_is_offered_at_the_later_of_index_and_start_and_nobody_else(records):
    wrong = records.sql("""
        with wanted as (
            select e.person_id, greatest(e.index_date, c.start_date) as offer from eligible e
            join person p using (person_id)
            join (select distinct care_site_id, start_date from clinics) c on c.care_site_id = p.care_site_id
            join observation_period o on o.person_id = e.person_id
                and e.index_date between o.observation_period_start_date and o.observation_period_end_date
            where c.start_date is not null and greatest(e.index_date, c.start_date) <= o.observation_period_end_date
        ), made as (
            select person_id, observation_date as offer from observation where observation_concept_id = 2000000001
        )
        select count(*) filter (wanted.offer is distinct from made.offer), count(*)
        from wanted full join made using (person_id)""").fetchone()
    assert wrong[0] == 0 and wrong[1] > 800


def test_what_the_records_hold_by_clinic_and_month_is_the_truth_with_the_programme(records):
    gaps = records.sql("""
        with spell as (
            select e.person_id, p.care_site_id, e.index_date + 1 as first, o.observation_period_end_date as last
            from eligible e join person p using (person_id) join observation_period o on o.person_id = e.person_id
            and e.index_date between o.observation_period_start_date and o.observation_period_end_date
        ), days as (
            select care_site_id, month,
                sum(greatest(0, least(last, last_day(month)) - greatest(first, month) + 1)) as days
            from spell cross join (select distinct month from clinics) group by 1, 2
        ), used as (
            select s.care_site_id, date_trunc('month', c.d)::date as month, sum(amount_allowed)::double as dollars,
                count(*) filter (kind = 9201) as admissions, count(*) filter (kind = 9203) as emergency
            from spell s join charged c on c.person_id = s.person_id and c.d between s.first and s.last group by 1, 2
        )
        select max(abs(t.person_days_1 - days.days)),
            max(abs(t.cost_total_1 - coalesce(dollars, 0))), max(abs(t.admissions_1 - coalesce(admissions, 0))),
            max(abs(t.emergency_visits_1 - coalesce(emergency, 0))), sum(dollars)
        from clinics t left join days using (care_site_id, month) left join used using (care_site_id, month)
        """).fetchone()
    assert gaps[:4] == pytest.approx((0, 0, 0, 0), abs=1e-6)
    assert gaps[4] > 1e6


def test_nothing_happens_before_a_clinic_begins_and_care_is_averted_after(records):
    before, after = records.sql("""select
        sum(abs(cost_total_1 - cost_total_0)) filter (start_date is null or month < start_date),
        sum(cost_total_1 - cost_total_0) filter (month >= start_date) from clinics""").fetchone()
    assert before == 0 and after < -100_000


def test_the_need_of_clinics_and_the_ramp():
    plain = world(**KNOBS)
    slow, spread = (world(**KNOBS, **more) for more in ({"ramp": 730}, {"clinic_spread": 0.5}))

    def averted(held: World) -> float:
        return float(np.sum(held.clinics["cost_total_0"].to_numpy() - held.clinics["cost_total_1"].to_numpy()))

    np.testing.assert_array_equal(plain.clinics["cost_total_0"], slow.clinics["cost_total_0"])
    assert 0.2 < averted(slow) / averted(plain) < 0.8
    by_clinic = [
        np.bincount(h.clinics["care_site_id"], h.clinics["emergency_visits_0"])[1:]
        / np.bincount(h.clinics["care_site_id"], h.clinics["person_days_0"])[1:]
        for h in (plain, spread)
    ]
    assert by_clinic[1].std() > 1.5 * by_clinic[0].std()


def test_no_effect_leaves_both_worlds_equal_and_the_folder_holds_the_truth(tmp_path):
    told = write(tmp_path / "w", **KNOBS | {"effect": 0.0, "persons": 1_500})
    assert told["knobs"]["waves"] == 5
    with duckdb.connect() as connection:
        rows, gap = connection.sql(f"""select count(*), max(abs(cost_total_1 - cost_total_0))
            from '{tmp_path}/w/truth_clinics.parquet'""").fetchone()
    assert (rows, gap) == (24 * 60, 0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"waves": 20, "holdout_clinics": 5}, "together at most 24"),
        ({"holdout_clinics": 5}, "needs waves"),
        ({"waves": 2, "later_offers": 0.1}, "no meaning with waves"),
        ({"waves": 2.5}, "whole number"),
        ({"clinic_spread": 2.0}, "from 0 to 1"),
    ],
)
def test_impossible_rollouts_are_refused(given, said):
    with pytest.raises(ParameterError, match=said):
        world(persons=10, **given)
