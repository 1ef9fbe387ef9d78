"""The truth is exact: both years add up, the observed year is one of them, and no effect means none."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from clinops.worlds import averages, world
from clinops.worlds.truth import OUTCOMES

CATEGORIES = ("cost_inpatient", "cost_emergency", "cost_outpatient", "cost_pharmacy")
CONTROLS = (4112343, 40481087, 260139)


def column(held, name: str) -> np.ndarray:
    return held.truth[name].to_numpy()


@pytest.mark.parametrize("arm", [0, 1])
def test_categories_add_up_to_the_total(small, arm):
    parts = sum(column(small, f"{name}_{arm}") for name in CATEGORIES)
    np.testing.assert_allclose(parts, column(small, f"cost_total_{arm}"), atol=1e-6)


def test_the_programme_only_averts_acute_care_of_those_who_activate(small):
    for name in ("cost_outpatient", "cost_pharmacy", "died", "follow_up_days"):
        np.testing.assert_array_equal(column(small, f"{name}_0"), column(small, f"{name}_1"))
    for name in ("cost_inpatient", "cost_emergency", "admissions", "emergency_visits", "any_admission"):
        change = column(small, f"{name}_1") - column(small, f"{name}_0")
        assert change.max() <= 0 and change.min() < 0
        assert np.all(change[~column(small, "would_activate")] == 0)


def test_the_observed_year_in_sql_is_the_potential_year_of_the_arm(records, small):
    observed = records.sql("""
        with until as (
            select e.person_id, e.index_date, least(e.index_date + 365, o.observation_period_end_date) as last
            from eligible e join observation_period o on o.person_id = e.person_id
                and e.index_date between o.observation_period_start_date and o.observation_period_end_date
        ), stay as (
            select u.person_id, sum(greatest(0, least(u.last, case
                    when v.visit_end_date in (v.visit_start_date, d.death_date) then v.visit_end_date
                    else v.visit_end_date - 1 end) - greatest(v.visit_start_date, u.index_date + 1) + 1)) as days
            from until u join visit_occurrence v on v.person_id = u.person_id and v.visit_concept_id = 9201
            left join death d on d.person_id = u.person_id group by 1
        )
        select u.person_id, any_value(u.last - u.index_date)::double as follow_up_days,
            any_value(u.last - u.index_date - coalesce(s.days, 0))::double as days_at_home,
            coalesce(sum(amount_allowed), 0)::double as cost_total,
            coalesce(sum(amount_allowed) filter (kind = 9201), 0)::double as cost_inpatient,
            coalesce(sum(amount_allowed) filter (kind = 9203), 0)::double as cost_emergency,
            coalesce(sum(amount_allowed) filter (kind in (9202, 5083)), 0)::double as cost_outpatient,
            coalesce(sum(amount_allowed) filter (kind = -1), 0)::double as cost_pharmacy,
            count(*) filter (kind = 9201)::double as admissions,
            count(*) filter (kind = 9203)::double as emergency_visits,
            (count(*) filter (kind = 9201) > 0)::double as any_admission,
            (count(d.person_id) > 0)::double as died
        from until u left join stay s using (person_id)
        left join charged c on c.person_id = u.person_id and c.d between u.index_date + 1 and u.last
        left join death d on d.person_id = u.person_id and d.death_date between u.index_date + 1 and u.last
        group by 1 order by 1""").fetchnumpy()
    offered = column(small, "offered")
    for name in OUTCOMES:
        expected = np.where(offered, column(small, f"{name}_1"), column(small, f"{name}_0"))
        np.testing.assert_allclose(observed[name], expected, atol=1e-6, err_msg=name)


def test_no_effect_makes_both_years_equal():
    held = world(persons=2_000, effect=0, seed=11)
    for name in OUTCOMES:
        np.testing.assert_array_equal(column(held, f"{name}_0"), column(held, f"{name}_1"))


def test_the_effect_changes_neither_the_untreated_year_nor_who_is_offered():
    null, strong = world(persons=2_000, effect=0, seed=11), world(persons=2_000, effect=0.25, seed=11)
    for name in ("person_id", "index_date", "offered", "cost_total_0", "admissions_0", "died_0"):
        np.testing.assert_array_equal(column(null, name), column(strong, name))


def test_negative_controls_are_untouched():
    def control_records(held) -> list[tuple]:
        with duckdb.connect() as connection:
            held.register(connection)
            return connection.sql(f"""select person_id, condition_concept_id, condition_start_date
                from condition_occurrence where condition_concept_id in {CONTROLS} order by all""").fetchall()

    null, strong = (world(persons=2_000, effect=effect, seed=11) for effect in (0, 0.25))
    assert control_records(null) == control_records(strong)
    assert len(control_records(null)) > 100


def test_a_harmful_programme_adds_acute_care():
    held = world(persons=3_000, effect=-0.2, seed=5)
    change = column(held, "cost_total_1") - column(held, "cost_total_0")
    assert change.min() >= -1e-9 and change.max() > 0
    np.testing.assert_array_equal(column(held, "cost_outpatient_0"), column(held, "cost_outpatient_1"))


def test_averted_deaths_lengthen_life_only_with_the_offer():
    held = world(persons=6_000, effect=0, death_effect=0.8, seed=5)
    died, saved = column(held, "died_0"), column(held, "died_1")
    assert np.all(saved <= died) and saved.sum() < died.sum()
    assert np.all(column(held, "follow_up_days_1") >= column(held, "follow_up_days_0"))


def test_later_offers_leave_the_truth_and_reach_only_the_unoffered():
    plain, late = world(persons=3_000, seed=5), world(persons=3_000, seed=5, later_offers=0.5)
    for name in ("offered", "cost_total_0", "cost_total_1"):
        np.testing.assert_array_equal(column(plain, name), column(late, name))
    with duckdb.connect() as connection:
        late.register(connection)
        connection.register("truth", late.truth)
        early, after, doubled = connection.sql("""select count(*) filter (observation_date = index_date),
            count(*) filter (observation_date >= index_date + 30), count(*) - count(distinct person_id)
            from observation join truth using (person_id) where observation_concept_id = 2000000001""").fetchone()
    assert early == column(plain, "offered").sum() and after > 0 and doubled == 0


def test_averages_over_nobody_are_not_a_number():
    held = world(persons=500, seed=5)
    none = held.att(pa.array([-1]))
    assert none["n"] == 0 and np.isnan(none["cost_total"]["difference"])
    assert held.att()["n"] == column(held, "offered").sum()
    some = held.truth["person_id"].to_pylist()[:20]
    assert held.att(some)["n"] == 20
    assert averages(held.truth)["n"] == len(held.truth)


def test_the_crude_difference_misleads():
    """Sicker persons are offered more: the crude contrast hides the whole effect."""
    held = world(seed=20260101)
    offered = column(held, "offered")
    without, benefit = column(held, "cost_total_0"), column(held, "cost_total_1")
    truth = (benefit - without)[offered].mean() / without[offered].mean()
    crude = (benefit[offered].mean() - without[~offered].mean()) / without[offered].mean()
    assert truth < -0.10
    assert crude - truth > 0.10


def test_weighting_by_the_true_propensity_is_unbiased_for_the_att():
    """Hajek weights p / (1 - p) over 40 worlds: mean error within 3 Monte Carlo standard errors of zero."""
    errors, realised = [], []
    for seed in range(40):
        held = world(persons=5_000, seed=1_000 + seed)
        offered, p = column(held, "offered"), column(held, "propensity")
        without, benefit = column(held, "cost_total_0"), column(held, "cost_total_1")
        weights = (p / (1 - p))[~offered]
        att = (benefit - without)[offered].mean()
        estimate = benefit[offered].mean() - np.average(without[~offered], weights=weights)
        errors.append((estimate - att) / without[offered].mean())
        realised.append(att / without[offered].mean())
    assert abs(np.mean(errors)) < 3 * np.std(errors, ddof=1) / np.sqrt(40)
    # What `effect` promises: 15 % less cost among the offered, in expectation.
    assert abs(np.mean(realised) + 0.15) < 3 * np.std(realised, ddof=1) / np.sqrt(40)


def test_the_expected_effect_is_known_for_the_default_law_only():
    held = world(persons=200, effect=0.149, seed=1)
    expected = held.settings["population_att"]
    assert expected["cost_total"] == pytest.approx(-0.149 * 5637, rel=0.01)
    assert expected["cost_inpatient"] + expected["cost_emergency"] == pytest.approx(expected["cost_total"], rel=1e-3)
    assert world(persons=200, effect=0, seed=1).settings["population_att"]["admissions"] == 0
    for other in ({"confounding": 0.5}, {"uptake": 0.5}, {"death_effect": 0.1}, {"effect": -0.1}):
        assert world(**{"persons": 50, **other}).settings["population_att"] is None
