"""Totals by any grouping equal an independent SQL sum to the cent; member-months equal a count of days."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import clinops as co
from tests.build import ledgers
from tests.conftest import tiny

GROUPINGS = (
    (), ("month",), ("year",), ("category",), ("plan",), ("month", "category"), ("plan", "category"),
    ("year", "plan", "category"), ("month", "plan", "category"),
)  # fmt: skip
RULES = ("any day", "prorated")


@pytest.mark.parametrize("months", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_sums_by_any_grouping_equal_sql_to_the_cent(tmp_path, seed, months):
    folder = ledgers.write(tmp_path, seed)
    book = co.ledger(folder, rules=co.ledger_rules(amount="paid", months=months, level="line"))
    for keys in GROUPINGS:
        frame = book.sums(*keys)
        ours = {tuple(row[:-2]): (row[-2], row[-1]) for row in frame.itertuples(index=False)}
        assert ours == ledgers.sql_sums(folder, months, keys), keys


@pytest.mark.parametrize("months", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_member_months_equal_a_count_of_days(tmp_path, seed, months):
    folder = ledgers.write(tmp_path, seed)
    book = co.ledger(folder, rules=co.ledger_rules(amount="paid", months=months, level="line"))
    spans = pd.read_csv(folder / "enrolment.csv", dtype={"person_id": str})
    assert ledgers.exact_months(book.member_months()) == ledgers.count_months(spans, months)


@pytest.mark.parametrize("months", RULES)
def test_member_months_by_plan_add_up_to_all(tmp_path, months):
    folder = ledgers.write(tmp_path, 7)
    book = co.ledger(folder, rules=co.ledger_rules(amount="paid", months=months, level="line"), min_cell=1)
    shown = book.by("plan").frame
    spans = pd.read_csv(folder / "enrolment.csv", dtype={"person_id": str})
    total = float(sum(ledgers.count_months(spans, months).values()))
    assert shown["plan"].tolist() == ["plan 1", "plan 2", "plan 3", "several plans", "total"]
    assert shown["member_months"].iloc[:-1].sum() == pytest.approx(total, rel=1e-12)
    assert shown["member_months"].iloc[-1] == pytest.approx(total, rel=1e-12)


day = st.integers(0, 800).map(lambda n: dt.date(2019, 12, 1) + dt.timedelta(days=n))
span = st.tuples(st.integers(1, 4), day, st.integers(0, 120), st.sampled_from("AB"), st.none() | day)


@settings(deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(span, min_size=1, max_size=12))
def test_member_months_of_any_spans_equal_a_count_of_days(tmp_path, spans):
    frame = pd.DataFrame(
        [(p, start, start + dt.timedelta(days=n), plan) for p, start, n, plan, _ in spans],
        columns=["person_id", "start_date", "end_date", "plan"],
    )
    # A person dies once, whatever their spans say.
    died = {p: death for p, *_, death in spans if death is not None}
    frame["death_date"] = frame["person_id"].map(died)
    frame.to_csv(tmp_path / "e.csv", index=False)
    (tmp_path / "c.csv").write_text("person_id,service_date,paid\n1,2020-02-29,1.00\n")
    for months in RULES:
        rules = co.ledger_rules(amount="paid", months=months)
        book = co.ledger(claims=tmp_path / "c.csv", enrolment=tmp_path / "e.csv", rules=rules)
        expected = ledgers.count_months(frame, months)
        assert ledgers.exact_months(book.member_months()) == expected


# -- The OMOP shape, on every engine -----------------------------------------------------------------


def omop(seed: int, persons: int = 60) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """The simulated ledger as OMOP records, with the spans and the claims (id, person, date, cents, category)."""
    rng = np.random.default_rng(seed)
    spans = ledgers.enrolment(rng, persons)
    spans["person_id"] = spans["person_id"].str[1:].astype(int) + 1
    died = spans.dropna(subset=["death_date"]).groupby("person_id")["death_date"].first()
    days = ledgers.FIRST + rng.integers(-30, 1100, 400)
    who = rng.integers(1, persons + 1, 400)
    kinds = rng.choice([9201, 9203, 9202, 581477, 8863], 400)
    cents = rng.integers(-20_000, 400_000, 400)
    names = {9201: "inpatient", 9203: "emergency", 9202: "outpatient", 581477: "professional", 8863: "post-acute"}
    claims = pd.DataFrame(
        {"person": who, "date": days, "cents": cents, "category": [names[int(kind)] for kind in kinds]}
    )
    tables = tiny(
        person=[{"person_id": one} for one in range(1, persons + 1)],
        payer_plan_period=[
            {"person": int(r.person_id), "start": str(r.start_date)[:10], "end": str(r.end_date)[:10],
             "plan_source_value": r.plan} for r in spans.itertuples()
        ],
        death=[{"person": int(p), "start": str(d)[:10]} for p, d in died.items()],
        visit_occurrence=[
            {"person": int(p), "id": n, "concept": int(k), "start": str(d)[:10]}
            for n, (p, k, d) in enumerate(zip(who, kinds, days, strict=True), 1)
        ],
        cost=[{"event": n, "allowed": f"{Decimal(int(c)).scaleb(-2)}"} for n, c in enumerate(cents, 1)],
    )  # fmt: skip
    return tables, spans, claims


@pytest.mark.parametrize("months", RULES)
def test_omop_ledgers_equal_a_count_in_python(any_source, months):
    tables, spans, claims = omop(11)
    book = co.ledger(any_source(tables), rules=co.ledger_rules(months=months))
    assert ledgers.exact_months(book.member_months()) == ledgers.count_months(spans, months)
    alive = spans.assign(
        end_date=[e if pd.isna(d) else min(e, d) for e, d in zip(spans.end_date, spans.death_date, strict=True)]
    )
    expected: dict[tuple, list[int]] = {}
    for row in claims.itertuples():
        own = alive[alive["person_id"] == row.person]
        own = own[own["end_date"] >= own["start_date"]]
        if months == "any day":
            month = pd.Timestamp(row.date).to_period("M")
            low, high = own["start_date"].dt.to_period("M"), own["end_date"].dt.to_period("M")
            held = ((low <= month) & (month <= high)).any()
        else:
            held = ((own["start_date"] <= row.date) & (row.date <= own["end_date"])).any()
        at = expected.setdefault((bool(held), str(row.date)[:7], row.category), [0, 0])
        at[0] += 1
        at[1] += row.cents
    frame = book.sums("month", "category")
    ours = {tuple(row[:3]): [row[3], int(row[4] * 100)] for row in frame.itertuples(index=False)}
    assert ours == expected


def test_costs_by_month_equal_a_loop_over_claims(any_source):
    tables, spans, claims = omop(5)
    book = co.ledger(any_source(tables))
    rng = np.random.default_rng(1)
    people = pd.DataFrame({
        "row": np.arange(80), "person_id": rng.integers(1, 61, 80),
        "index_date": pd.to_datetime(ledgers.FIRST + rng.integers(0, 700, 80)), "last_day": rng.integers(0, 400, 80),
    })  # fmt: skip
    frame = book.costs_by_month(people, 12, before=6)
    expected: dict[tuple, int] = {}
    for one in people.itertuples():
        own = spans[spans["person_id"] == one.person_id]
        for claim in claims[claims["person"] == one.person_id].itertuples():
            date = pd.Timestamp(claim.date)
            day = (date - one.index_date).days
            alive = own["death_date"].isna() | (own["death_date"] >= date)
            held = ((own["start_date"] <= date) & (date <= own["end_date"]) & alive).any()
            if day == 0 or day > one.last_day or not held:
                continue
            month = _month(one.index_date, date)
            if -6 <= month <= 12:
                key = (one.row, month, date.year, claim.category)
                expected[key] = expected.get(key, 0) + claim.cents
    ours = {tuple(row[:4]): round(row[4] * 100) for row in frame.itertuples(index=False)}
    assert ours == expected and len(expected) > 50


def _month(index: pd.Timestamp, date: pd.Timestamp) -> int:
    """The anniversary month of a date, found by walking from anniversary to anniversary."""
    if date > index:
        month = 1
        while date > index + pd.DateOffset(months=month):
            month += 1
        return month
    month = 1
    while date < index - pd.DateOffset(months=month):
        month += 1
    return -month
