"""The crossing: claims in their places, in prices of one year, over a horizon that somebody watched."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.analyse.costs.rows import assemble, study_rows
from clinops.errors import DataError, DefinitionError
from tests.analyse.costs.support import NAN, cost_rows, random_rows, seeds
from tests.analyse.support import COST, HOME, arms, crude, dataset, protocol

OFFER = co.events("observation", co.codes("programme offer", 900001))


class Claims:
    """What `assemble` asks of a ledger: sums by row, month, year and category."""

    amount, currency = "allowed", "USD"
    books: Any = (-1000.0, 2000.0)  # everybody is enrolled from here to there

    def __init__(self, *lines: tuple[int, int, int, str, float]) -> None:
        names = ["row", "month", "year", "category", "cost"]
        self.frame = pd.DataFrame(lines, columns=names).astype({"cost": float})
        self.people = pd.DataFrame()

    def costs_by_month(self, people: pd.DataFrame, months: int, before: int = 0) -> pd.DataFrame:
        self.people = people
        return self.frame[self.frame["month"].between(-before, months)]


@pytest.fixture(autouse=True)
def enrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The days of enrolment are what the claims say of everybody."""
    monkeypatch.setattr(
        "clinops.analyse.costs.rows.observed",
        lambda books, people: tuple(np.broadcast_to(np.asarray(end, dtype=float), len(people)) for end in books),
    )


def persons(index: str = "2021-03-15", **columns: Any) -> pd.DataFrame:
    """Two persons, watched for a year on either side."""
    base = {
        "row": [0, 1], "person_id": [1, 2], "index_date": np.array([index] * 2, dtype="datetime64[s]"),
        "first_day": -365, "last_day": 365, "death_day": NAN, "reach": 365,
    }  # fmt: skip
    return pd.DataFrame(base | columns)


def made(claims: Claims, plan: Any = None, people: pd.DataFrame | None = None) -> Any:
    return assemble(
        claims, persons() if people is None else people, plan or co.cost_plan(), exposed=np.array([True, False]),
        weights=np.ones(2), cluster=np.arange(2), cluster_name="person", design=np.empty((2, 0)), names=("A", "B"),
        currency="USD", basis="", estimand="", adjustment="crude",
    )  # fmt: skip


# --- places -------------------------------------------------------------------------------------


def test_every_claim_is_in_its_month_and_category() -> None:
    rows = made(Claims((0, 1, 2021, "pharmacy", 5), (0, 12, 2022, "inpatient", 7), (1, 3, 2021, "pharmacy", 11),
                       (0, -1, 2021, "inpatient", 13), (1, -12, 2020, "pharmacy", 17)))  # fmt: skip
    assert rows.categories == ("inpatient", "pharmacy")  # in the order in which tables print them
    assert rows.cost.shape == (2, 12, 2) and rows.horizon == 12
    wanted = np.zeros((2, 12, 2))
    wanted[0, 0, 1], wanted[0, 11, 0], wanted[1, 2, 1] = 5, 7, 11
    assert np.array_equal(rows.cost, wanted)
    assert rows.total.tolist() == [12, 11]
    assert rows.before[0].tolist() == [0.0] * 11 + [13] and rows.before[1].tolist() == [17] + [0.0] * 11
    assert rows.years == (2020, 2021, 2022)
    assert rows.months.tolist() == [12, 12] and rows.complete.all()


def test_several_sums_of_one_place_add_up() -> None:
    rows = made(Claims((0, 1, 2021, "pharmacy", 5), (0, 1, 2022, "pharmacy", -2)))
    assert rows.total.tolist() == [3, 0]


def test_own_categories_stand_at_the_end() -> None:
    rows = made(Claims((0, 1, 2021, "wellness", 1), (0, 1, 2021, "other", 1), (1, 1, 2021, "emergency", 1)))
    assert rows.categories == ("emergency", "other", "wellness")


def test_without_a_claim_there_is_no_cost_to_analyse() -> None:
    with pytest.raises(DataError, match="No claim of these persons lies within their observed months"):
        made(Claims())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 12), st.integers(2021, 2022),
              st.sampled_from(["inpatient", "pharmacy", "other"]), st.integers(-9999, 99999)), min_size=1))  # fmt: skip
def test_whatever_the_claims_the_total_is_their_sum(lines: list[tuple[int, int, int, str, int]]) -> None:
    rows = made(Claims(*lines))
    assert rows.total.tolist() == [sum(line[4] for line in lines if line[0] == who) for who in (0, 1)]
    assert rows.by_category.sum(axis=1).tolist() == rows.by_month.sum(axis=1).tolist() == rows.total.tolist()


# --- prices -------------------------------------------------------------------------------------

INDEX = {2020: 50.0, 2021: 100.0, 2022: 125.0}


def test_money_of_each_year_is_multiplied_by_its_own_factor() -> None:
    """Prices of 2022: money of 2021 times 1.25, of 2020 times 2.5, of 2022 as it is, before the index date too."""
    claims = Claims((0, 1, 2021, "pharmacy", 8), (0, 11, 2022, "pharmacy", 8), (0, -12, 2020, "pharmacy", 8))
    rows = made(claims, co.cost_plan(price_year=2022, price_index=INDEX))
    assert rows.cost[0, :, 0].tolist() == [10.0] + [0.0] * 9 + [8.0, 0.0]
    assert rows.before[0, 0] == 20


def test_a_month_that_spans_two_years_has_both_factors() -> None:
    claims = Claims((0, 10, 2021, "pharmacy", 8), (0, 10, 2022, "pharmacy", 8))
    rows = made(claims, co.cost_plan(price_year=2022, price_index=INDEX))
    assert rows.cost[0, 9, 0] == 8 * 1.25 + 8


def test_a_category_takes_its_own_index_and_others_the_total_s() -> None:
    from dataclasses import replace

    plan = replace(co.cost_plan(), prices=co.prices(2022, index=INDEX, components={"pharmacy": {2021: 1, 2022: 3}}))
    claims = Claims((0, 1, 2021, "pharmacy", 8), (0, 1, 2021, "inpatient", 8), (0, 1, 2021, "wellness", 8),
                    (1, 1, 2021, "other", 8))  # fmt: skip
    rows = made(claims, plan)
    found = dict(zip(rows.categories, rows.by_category.max(axis=0), strict=True))
    assert found == {"pharmacy": 24, "inpatient": 10, "wellness": 10, "other": 10}


def test_a_year_without_an_index_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"has no 2019.*Nothing is extrapolated"):
        made(Claims((0, 1, 2019, "pharmacy", 8)), co.cost_plan(price_year=2022, price_index=INDEX))


# --- follow-up ----------------------------------------------------------------------------------


def test_who_is_complete_and_who_died() -> None:
    """Died on day 0, on day 100, after the end of observation; left on day 100."""
    people = pd.DataFrame({
        "row": range(4), "person_id": range(4), "index_date": np.array(["2021-03-15"] * 4, dtype="datetime64[s]"),
        "first_day": 0, "last_day": [0, 100, 200, 100], "death_day": [0, 100, 300, NAN], "reach": 365,
    })  # fmt: skip
    rows = assemble(
        Claims((1, 1, 2021, "pharmacy", 1)), people, co.cost_plan(), exposed=np.array([1, 1, 0, 0], bool),
        weights=np.ones(4), cluster=np.arange(4), cluster_name="person", design=np.empty((4, 0)), names=("A", "B"),
        currency="USD", basis="", estimand="", adjustment="crude",
    )  # fmt: skip
    assert rows.died.tolist() == [True, True, False, False]
    assert rows.complete.tolist() == [True, True, False, False]
    # day 100 from 15 March is 23 June: three months (to 15 June) and 8 of the 30 days to 15 July
    assert rows.months.tolist() == pytest.approx([0, 3 + 8 / 30, 6 + 16 / 30, 3 + 8 / 30])
    assert rows.time.tolist() == pytest.approx([1e-6, 3 + 8 / 30, 6 + 16 / 30, 3 + 8 / 30])


def test_times_and_months_of_who_stays_are_the_horizon() -> None:
    rows = cost_rows([1, 0], np.ones((2, 12)), months=[12, 11.9], died=[0, 0])
    assert rows.time.tolist() == pytest.approx([12, 11.9]) and rows.complete.tolist() == [True, False]


def study(end: int | None = 365, index: str = "2021-03-15", **more: Any) -> Any:
    """A study as `study_rows` reads it: four persons, two of them offered."""
    follow_up = {"observed_from_day": -400, "death_day": NAN, "end_day": 365} | more.pop("follow_up", {})
    data = dataset(
        arms(2, 2), {"age": [50.0, 61, 55, 48]}, {HOME: (more.pop("home", [360.0, 365, 300, 365]), 365)}, index=index,
        **follow_up,
    )  # fmt: skip
    design = protocol(
        follow_up=co.follow_up(co.days(1, end)), covariates=(), outcomes=(COST, HOME), **more.pop("parts", {})
    )
    return SimpleNamespace(data=data, adjusted=crude(data), protocol=design, activation=more.pop("activation", None))


CLAIM = Claims((0, 1, 2021, "pharmacy", 1))


def test_a_leap_year_is_the_same_horizon_as_a_window_of_365_days() -> None:
    """From 1 June 2019 twelve months are 366 days; who is watched for the 365 of the protocol is complete."""
    rows = study_rows(study(index="2019-06-01"), Claims((0, 1, 2019, "pharmacy", 1)), co.cost_plan())
    assert rows.complete.all() and rows.time.tolist() == [12.0] * 4
    assert rows.months.tolist() == pytest.approx([11 + 30 / 31] * 4)  # the day that nobody was asked to watch


@pytest.mark.parametrize(
    ("end", "months", "said"),
    [
        (365, 24, "to day 365, the cost plan looks 24 months ahead: ask for 12 months, or follow up to day 730"),
        (180, 12, "to day 180, the cost plan looks 12 months ahead: ask for 5 months, or follow up to day 365"),
        (30, 6, "to day 30, the cost plan looks 6 months ahead: follow up to day 183"),
    ],
)
def test_a_horizon_beyond_the_follow_up_is_refused(end: int, months: int, said: str) -> None:
    """Months that nobody watched would count as months that cost nothing; nothing is read to find that out."""
    unread = SimpleNamespace(protocol=study(end).protocol)
    with pytest.raises(DefinitionError, match=said):
        study_rows(unread, CLAIM, co.cost_plan(horizon_months=months))


@pytest.mark.parametrize(("end", "months"), [(365, 12), (183, 6), (730, 24), (None, 36), (365, 1)])
def test_a_horizon_within_the_follow_up_is_taken(end: int | None, months: int) -> None:
    found = study_rows(study(end, follow_up={"end_day": end or 1100}), CLAIM, co.cost_plan(horizon_months=months))
    assert found.horizon == months and found.complete.all()


def test_follow_up_ends_with_death_even_where_the_protocol_does_not_say_so() -> None:
    rows = study_rows(study(follow_up={"death_day": [100.0, NAN, NAN, NAN]}), CLAIM, co.cost_plan())
    assert CLAIM.people["last_day"].tolist() == [100, 365, 365, 365]
    assert rows.months[0] == pytest.approx(3 + 8 / 30) and rows.died.tolist() == [True, False, False, False]


def test_follow_up_ends_with_the_ledger_s_enrolment() -> None:
    """A month in which no claim would count, since nobody was enrolled, must not count as cheap."""
    claims = Claims((0, 1, 2021, "pharmacy", 1))
    claims.books = (-30, [100, 365, 2000, 365])
    rows = study_rows(study(), claims, co.cost_plan())
    assert rows.last_day.tolist() == [100, 365, 365, 365] and rows.complete.tolist() == [False, True, True, True]
    assert rows.months[0] == pytest.approx(3 + 8 / 30)
    assert claims.people["first_day"].tolist() == [-30] * 4
    # the month before the index date, 15 February to 14 March, was seen whole; what came before it for two days
    assert rows.covered_before[0, -2:].tolist() == pytest.approx([2 / 31, 1])


def test_who_is_not_enrolled_by_the_ledger_is_refused() -> None:
    claims = Claims((0, 1, 2021, "pharmacy", 1))
    claims.books = (-30, [NAN, 365, NAN, 365])
    with pytest.raises(DataError, match=r"2 of 4 persons are not enrolled .*enrolment='observation periods'"):
        study_rows(study(), claims, co.cost_plan())


# --- fee and effect -----------------------------------------------------------------------------


def with_fee(fee: float | None, fee_per: str = "person", **more: Any) -> Any:
    return study(parts={"programme": co.programme(OFFER, fee=fee, fee_per=fee_per)}, **more)


def test_the_fee_is_the_protocol_s_and_falls_due_for_who_activated() -> None:
    activation = np.array([3.0, NAN, NAN, NAN])
    rows = study_rows(with_fee(120, activation=activation), CLAIM, co.cost_plan())
    assert rows.fee.tolist() == [120, 0, 0, 0] and rows.fee_units.tolist() == [1, 0, 0, 0]
    assert (rows.fee_each, rows.fee_unit) == (120, "activated person")


def test_the_plan_s_fee_goes_before_the_protocol_s() -> None:
    rows = study_rows(with_fee(120), CLAIM, co.cost_plan(fee=10, fee_per="person-month"))
    assert rows.fee.tolist() == [120, 120, 0, 0] and rows.fee_units.tolist() == [12, 12, 0, 0]
    assert (rows.fee_each, rows.fee_unit) == (10, "started month")


def test_a_fee_that_nobody_states_or_nobody_can_count_is_not_known() -> None:
    assert study_rows(study(), CLAIM, co.cost_plan()).fee is None
    assert study_rows(with_fee(None), CLAIM, co.cost_plan()).fee is None
    nobody = study_rows(with_fee(120, activation=np.full(4, NAN)), CLAIM, co.cost_plan())
    assert nobody.fee is None and nobody.fee_each == 120


def test_the_effect_is_turned_so_that_more_is_better() -> None:
    rows = study_rows(study(), CLAIM, co.cost_plan(effect="Days at home"))
    assert rows.effect.tolist() == [360, 365, 300, 365]
    cost = study(home=[1.0, 2, 3, 4])
    assert study_rows(cost, CLAIM, co.cost_plan()).effect is None


@pytest.mark.parametrize(
    ("end", "months", "over"), [(365, 12, ""), (365, 6, "days 1 to 365"), (730, 24, "days 1 to 365")]
)
def test_an_effect_over_other_days_than_the_cost_is_told(end: int, months: int, over: str) -> None:
    plan = co.cost_plan(horizon_months=months, effect="Days at home")
    assert study_rows(study(end, follow_up={"end_day": end}), CLAIM, plan).effect_over == over


def test_an_effect_that_is_unknown_or_missing_is_refused_by_name() -> None:
    with pytest.raises(DefinitionError, match=r"no outcome to set money against 'Days at hom'.*'Days at home'"):
        study_rows(study(), CLAIM, co.cost_plan(effect="Days at hom"))
    gone = study()
    gone.data = gone.data.with_outcomes(gone.data.outcomes.drop(columns=HOME.id))
    with pytest.raises(DataError, match="'Days at home', could not be measured in these records"):
        study_rows(gone, CLAIM, co.cost_plan(effect="Days at home"))
    with pytest.raises(DataError, match="'Days at home', is missing for 1 of 4 persons"):
        study_rows(study(home=[360.0, NAN, 300, 365]), CLAIM, co.cost_plan(effect="Days at home"))


def test_what_is_said_of_the_money() -> None:
    rows = study_rows(study(), CLAIM, co.cost_plan(perspective="at-risk system", price_year=2021, price_index=INDEX))
    assert rows.basis == "At-risk system perspective, allowed amounts, USD, prices of 2021"
    assert study_rows(study(), CLAIM, co.cost_plan()).basis.endswith("prices as recorded")


# --- arithmetic ---------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_scaling_every_month_scales_the_means(seed: int) -> None:
    rows = random_rows(seed)
    doubled = rows.scaled(np.full(3, 2.0))
    assert doubled.values(doubled.total).value == pytest.approx(2 * rows.values(rows.total).value)
    first = rows.scaled(np.array([1.0, 0, 0]))
    assert first.total == pytest.approx(rows.by_month[:, 0])
