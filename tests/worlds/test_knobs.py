"""The laboratory's knobs: off they change nothing, on they do what they say and nothing else."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow.compute as pc
import pytest

from clinops.errors import ParameterError
from clinops.worlds import World, use, world
from clinops.worlds.draw import Drawn, draw
from clinops.worlds.settings import NEVER, Knobs
from clinops.worlds.truth import OUTCOMES

PERSONS = 3_000
ROWS = {
    "visit_occurrence": 40_226, "condition_occurrence": 53_957, "drug_exposure": 38_593, "cost": 78_819,
    "observation": 735, "death": 213,
}  # fmt: skip
ALLOWED = 56414292.12


def drawn(**knobs: object) -> Drawn:
    return draw(Knobs.of(persons=PERSONS, **{"seed": 5, "effect": 0.2, **knobs}), 0, PERSONS)


@pytest.fixture(scope="module")
def plain() -> Drawn:
    return drawn()


def same_truth(one: Drawn, other: Drawn, names: tuple[str, ...]) -> None:
    for name in names:
        np.testing.assert_array_equal(one.truth[name], other.truth[name], err_msg=name)


UNTREATED = ("person", "index_date", *(f"{name}_0" for name in OUTCOMES))


def test_the_default_world_is_what_it_was():
    """Counted before the laboratory had any knobs."""
    held = world(persons=3_000, seed=5)
    assert {name: len(held.tables[name]) for name in ROWS} == ROWS
    assert float(pc.sum(held.tables["cost"]["amount_allowed"]).as_py()) == pytest.approx(ALLOWED, rel=1e-9)
    assert sorted(held.settings["knobs"]) == [
        "confounding", "death_effect", "effect", "engagement", "later_offers", "messy", "persons", "seed", "thinning",
        "uptake",
    ]  # fmt: skip


def test_need_swings_as_asked():
    """A stationary AR(1): the SD is the same throughout, the correlation over k quarters is that of one to the k."""
    n, spread, likeness = 40_000, 1.2, 0.4
    state = use.states(Knobs.of(need_sd=spread, need_correlation=likeness), 0, n)
    assert np.abs(state.std(axis=0) / spread - 1).max() < 4 / np.sqrt(2 * n)
    for apart in (1, 2, 4):
        found = np.corrcoef(state[:, 3], state[:, 3 + apart])[0, 1]
        assert abs(found - likeness**apart) < 4 / np.sqrt(n)
    wild = drawn(need_sd=1.2)
    assert wild.of.need.std() > drawn().of.need.std() + 0.3


@pytest.mark.parametrize(("shock", "low", "high"), [(-0.3, 0.67, 0.73), (0.5, 1.45, 1.55), (1.0, 1.93, 2.07)])
def test_a_shock_changes_use_from_its_day_on_and_nothing_before(plain, shock, low, high):
    it = drawn(shock=shock, effect=0.0)
    day = int(np.datetime64("2021-07-01", "D").astype(int))
    free = drawn(effect=0.0)
    before, after = ([(one.kept.start < day).sum(), (one.kept.start >= day).sum()] for one in (free, it))
    np.testing.assert_array_equal(free.kept.start[free.kept.start < day], it.kept.start[it.kept.start < day])
    assert low < after[1] / before[1] < high
    place = (it.kept.person * 2**20 + it.kept.start) * 8 + it.kept.kind
    assert len(np.unique(place)) == len(place)


def test_a_qualifying_admission_is_the_second_in_half_a_year():
    held = world(persons=6_000, seed=4, qualifying=True, need_sd=1.3)
    with duckdb.connect() as connection:
        held.register(connection)
        found = connection.sql("""
            with stay as (
                select v.person_id, v.visit_start_date as d from visit_occurrence v
                join observation_period o on o.person_id = v.person_id
                    and v.visit_start_date between o.observation_period_start_date + 365
                    and o.observation_period_end_date
                join person p on p.person_id = v.person_id
                where visit_concept_id = 9201 and v.visit_start_date between '2020-01-01' and '2022-12-31'
                    and year(d) - year_of_birth - coalesce(
                        (month(d) * 100 + day(d) < month_of_birth * 100 + day_of_birth)::int, 0) between 18 and 85
            )
            select s.person_id, min(d) as index_date from stay s where (
                select count(*) from visit_occurrence v where v.visit_concept_id = 9201 and v.person_id = s.person_id
                and v.visit_start_date between s.d - 182 and s.d) >= 2 group by 1 order by 1""").fetchall()
    assert found == list(zip(held.truth["person_id"].to_pylist(), held.truth["index_date"].to_pylist(), strict=True))
    assert len(found) > 150
    assert held.settings["eligibility"]["admissions"] == {"at_least": 2, "days": [-182, 0]}


def test_hidden_need_decides_offers_and_healthy_engagers_activate(plain):
    hidden, healthy = drawn(hidden=1.0), drawn(healthy_engagers=1.0)
    same_truth(plain, hidden, UNTREATED)
    same_truth(plain, healthy, (*UNTREATED, "offered"))

    def gap(it: Drawn, rows: np.ndarray) -> float:
        need = it.of.need
        return float((need[rows].mean() - need[~rows].mean()) / need.std())

    assert gap(hidden, hidden.ran.offered) > gap(plain, plain.ran.offered) + 0.4
    assert gap(healthy, healthy.ran.if_offered < NEVER) < gap(plain, plain.ran.if_offered < NEVER) - 0.3


def test_contacts_of_the_programme_are_seen_free_and_after_activation(plain):
    it = drawn(detection=12.0)
    same_truth(plain, it, tuple(plain.truth))
    free = it.kept.cents == 0
    assert (it.kept.kind[free] == 1).all() and free.sum() > 500
    begins = np.full(PERSONS, NEVER)
    begins[it.of.person] = it.ran.activation
    assert (it.kept.start[free] > begins[it.kept.person[free]]).all()
    assert (it.kept.start[free] <= begins[it.kept.person[free]] + 365).all()
    assert len(it.noted.visit) > len(plain.noted.visit)
    held = world(persons=1_000, seed=5, detection=12.0)
    assert len(held.tables["cost"]) > 0 and pc.min(held.tables["cost"]["amount_allowed"]).as_py() == 0


def test_those_who_drop_out_leave_the_records_and_not_the_truth(plain):
    it, both, needy = drawn(dropout=1.0), drawn(dropout=1.0, dropout_arm="both"), drawn(dropout=1.0, dropout_need=1.0)
    for one in (it, both, needy):
        same_truth(plain, one, tuple(plain.truth))
    days = [one.of.span_end - one.of.index for one in (plain, it, both)]
    offered = it.ran.offered
    np.testing.assert_array_equal(days[0][~offered], days[1][~offered])
    assert (days[1][offered] < days[0][offered]).mean() > 0.5
    assert (days[2][~offered] < days[0][~offered]).mean() > 0.5
    left = needy.of.span_end < plain.of.span_end
    need = needy.of.need
    assert need[offered & left].mean() > need[offered & ~left].mean() + 0.3
    last = np.full(PERSONS, -1)
    last[it.of.person] = it.of.span_end
    rows = np.isin(it.kept.person, it.of.person[it.of.span_end < plain.of.span_end])
    assert (it.kept.start[rows] <= last[it.kept.person[rows]]).all() and rows.any()
    held = world(persons=1_000, seed=5, dropout=1.0)
    with duckdb.connect() as connection:
        held.register(connection)
        outside = connection.sql("""select count(*) from visit_occurrence v where not exists (
            select 1 from observation_period o where o.person_id = v.person_id and v.visit_start_date between
            observation_period_start_date and observation_period_end_date)""").fetchone()
    assert outside == (0,)


def test_late_costs_are_missing_at_the_end_as_an_exponential_has_it():
    lag = 60.0
    plain, late = world(persons=PERSONS, seed=5), world(persons=PERSONS, seed=5, lag=lag)
    for name in ("visit_occurrence", "drug_exposure"):
        assert plain.tables[name].equals(late.tables[name])
    assert plain.truth.equals(late.truth)
    with duckdb.connect() as connection:
        connection.register("visit_occurrence", late.tables["visit_occurrence"])
        connection.register("cost", late.tables["cost"])
        days, on_file = zip(*connection.sql("""select date '2024-12-31' - visit_start_date, c.cost_id is not null
            from visit_occurrence v left join cost c on cost_domain_id = 'Visit' and cost_event_id = visit_occurrence_id
            """).fetchall(), strict=True)  # fmt: skip
    away, there = np.array(days), np.array(on_file)
    for low, high in ((0, 30), (30, 90), (90, 180)):
        rows = (away >= low) & (away < high)
        expected = (1 - np.exp(-away[rows] / lag)).mean()
        assert abs(there[rows].mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / rows.sum())
    assert there[away > 1_000].all()


def test_use_and_cost_have_effects_of_their_own():
    cheaper, fewer = drawn(effect=0.0, cost_effect=0.25), drawn(effect=0.0, use_effect=0.4)
    for name in ("admissions", "emergency_visits", "died", "days_at_home", "cost_pharmacy"):
        np.testing.assert_array_equal(cheaper.truth[f"{name}_0"], cheaper.truth[f"{name}_1"])
        np.testing.assert_array_equal(fewer.truth[f"{name}_0"], fewer.truth[f"{name}_1"])
    np.testing.assert_array_equal(fewer.truth["cost_inpatient_0"], fewer.truth["cost_inpatient_1"])
    free = drawn(effect=0.0)
    begins = np.full(PERSONS, NEVER)
    begins[free.of.person], until = free.ran.activation, free.of.index + 365
    last = np.zeros(PERSONS)
    last[free.of.person] = until

    def acted_on(it: Drawn) -> np.ndarray:
        return (it.kept.start > begins[it.kept.person]) & (it.kept.start <= last[it.kept.person])

    rows = acted_on(free)
    np.testing.assert_array_equal(cheaper.kept.start, free.kept.start)
    np.testing.assert_array_equal(cheaper.kept.cents[rows], np.rint(0.75 * free.kept.cents[rows]))
    np.testing.assert_array_equal(cheaper.kept.cents[~rows], free.kept.cents[~rows])
    kinds = [np.bincount(it.kept.kind[acted_on(it)], minlength=4) for it in (free, fewer)]
    np.testing.assert_array_equal(kinds[0][2:], kinds[1][2:])
    n, left = kinds[0][:2].sum(), kinds[1][:2].sum()
    assert abs(left / n - 0.6) < 4 * np.sqrt(0.24 / n)
    np.testing.assert_array_equal(acted_on(fewer).size - acted_on(fewer).sum(), rows.size - rows.sum())


def test_every_estimand_has_its_truth():
    held: World = world(persons=PERSONS, seed=5)
    gap = held.truth["cost_total_1"].to_numpy() - held.truth["cost_total_0"].to_numpy()
    score = held.truth["propensity"].to_numpy()
    found = held.truths()
    assert found["att"] == pytest.approx(held.att()["cost_total"]["difference"])
    assert found["ate"] == pytest.approx(gap.mean())
    assert found["overlap"] == pytest.approx((gap * score * (1 - score)).sum() / (score * (1 - score)).sum())
    assert found["complier"] == pytest.approx(gap.sum() / held.truth["would_activate"].to_numpy().sum())
    with pytest.raises(ParameterError, match="Did you mean 'cost_total'"):
        held.truths("cost_totl")


def test_a_lottery_asks_for_nothing():
    it = drawn(lottery=0.5)
    assert set(it.ran.propensity) == {0.5}
    assert 0.45 < it.ran.offered.mean() < 0.55


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"shock": -1.5}, "shock is -1.5"),
        ({"shock_date": "July 2021"}, "write a day as"),
        ({"shock_date": "1999-01-01"}, "2019-01-01 to 2024-12-31"),
        ({"dropout_arm": "offred"}, "Did you mean 'offered'"),
        ({"qualifying": 1}, "must be True or False"),
        ({"hidden": 1.0, "lottery": 0.5}, "hidden has no meaning"),
        ({"lottery": 0.5, "waves": 3}, "lottery or waves"),
        ({"lag": float("nan")}, "lag is nan"),
        ({"need_correlation": 1.0}, "need_correlation is 1.0"),
    ],
)
def test_impossible_knobs_are_refused(given, said):
    with pytest.raises(ParameterError, match=said):
        world(**{"persons": 50, **given})
