"""The ledger's exhibits: what adds up, what stands apart, what is hidden."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pytest

import clinops as co
from clinops.errors import DataError, DefinitionError, SourceError
from tests.build import ledgers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return ledgers.write(tmp_path_factory.mktemp("ledger"), 3, persons=150, count=900)


def book(folder, min_cell=1, **rules):
    given = {"amount": "paid", "level": "line", "currency": "USD"} | rules
    return co.ledger(folder, rules=co.ledger_rules(**given), min_cell=min_cell)


def cents(values):
    return [round(value * 100) for value in values]


def test_every_table_adds_up_to_the_same_total(folder):
    ledger = book(folder)
    sums = ledger.sums()
    total = int(sums[sums["inside"]]["cost"].iloc[0] * 100)
    for keys in (("month",), ("year",), ("category",), ("plan",), ("year", "category"), ("plan", "month")):
        frame = ledger.by(*keys).frame
        assert cents(frame["cost"])[-1] == sum(cents(frame["cost"])[:-1]) == total
        assert frame["claims"].iloc[-1] == frame["claims"].iloc[:-1].sum()
        assert frame[keys[0]].iloc[-1] == "total"
    shown = ledger.pmpm.frame
    assert cents(shown["cost_prorated"])[-1] == sum(cents(shown["cost_prorated"])[:-1]) == total
    lost = ledger.outside.frame
    assert cents(lost["cost"])[-1] == int(sums[~sums["inside"]]["cost"].iloc[0] * 100)


def test_pmpm_is_cost_over_member_months_of_the_same_rule(folder):
    shown = book(folder).pmpm.frame.set_index("category")
    for at in ("prorated", "any_day"):
        row = shown.loc["total"]
        assert row[f"pmpm_{at}"] == pytest.approx(row[f"cost_{at}"] / row[f"months_{at}"], rel=1e-12)
    assert shown.loc["total", "months_any_day"] > shown.loc["total", "months_prorated"]


def test_member_months_by_month_and_year_add_up(folder):
    ledger = book(folder)
    for key in ("month", "year"):
        frame = ledger.by(key).frame
        assert frame["member_months"].iloc[:-1].sum() == pytest.approx(frame["member_months"].iloc[-1], rel=1e-12)
    assert frame["member_months"].iloc[-1] == pytest.approx(ledger.member_months()["member_months"].sum(), rel=1e-12)


def test_small_counts_are_hidden_and_not_said(folder):
    shown = book(folder, min_cell=11)
    text = str(shown.by("month", "category")) + str(shown.outside)
    assert "<11" in text and "hidden" in text
    assert book(folder, min_cell=11).rules.frame["rows"].notna().any()


def test_few_claims_outside_hide_the_number_of_all(tmp_path):
    claims = "person_id,date,paid\n" + "".join(f"{n},2020-01-05,1\n" for n in range(60)) + "0,2021-01-05,123.45\n"
    spans = "person_id,start_date,end_date\n" + "".join(f"{n},2020-01-01,2020-12-31\n" for n in range(60))
    (tmp_path / "claims.csv").write_text(claims)
    (tmp_path / "enrolment.csv").write_text(spans)
    shown = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid"))
    text = "\n".join(str(one) for one in shown.exhibits)
    assert "60" in text and not re.search(r"\b61\b|123\.45|183\.45", text)


def test_prices_and_use_apart(tmp_path):
    # The same two visits a year; their price doubles.
    (tmp_path / "claims.csv").write_text(
        "person_id,date,paid,code,units\n1,2020-02-01,10,V,1\n1,2020-03-01,10,V,1\n1,2021-02-01,20,V,1\n"
        "1,2021-03-01,20,V,1\n"
    )
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n1,2020-01-01,2021-12-31\n")
    rules = co.ledger_rules(amount="paid")
    shown = co.ledger(tmp_path, rules=rules, min_cell=1).standardised.frame.set_index("year")
    assert shown["standard"].tolist() == [30.0, 30.0, 60.0]
    assert shown["price_index"].round(4).tolist() == [0.6667, 1.3333, 1.0]
    own = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid", prices={"V": 10}), min_cell=1).standardised.frame
    assert own["standard"].tolist() == [20.0, 20.0, 40.0] and own["price_index"].tolist() == [1.0, 2.0, 1.5]


def test_a_reversal_takes_its_volume_back(tmp_path):
    (tmp_path / "claims.csv").write_text(
        "person_id,date,paid,code\n1,2020-02-01,10,V\n1,2020-02-01,10,V\n1,2020-02-01,-10,V\n"
    )
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n1,2020-01-01,2020-12-31\n")
    rules = co.ledger_rules(amount="paid", prices={"V": 3})
    assert co.ledger(tmp_path, rules=rules, min_cell=1).standardised.frame["standard"].tolist() == [3.0, 3.0]


def test_completion_by_month_of_service_and_lag(tmp_path):
    # January: 50 at once, 50 a month later; February: 30 at once; the extract ends with February.
    (tmp_path / "claims.csv").write_text(
        "person_id,date,paid,paid_date\n1,2020-01-05,50,2020-01-20\n1,2020-01-06,50,2020-02-20\n"
        "1,2020-02-05,30,2020-02-29\n"
    )
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n1,2020-01-01,2020-12-31\n")
    rules = co.ledger_rules(amount="paid", extract="2020-02-29")
    shown = co.ledger(tmp_path, rules=rules, min_cell=1).completion.frame
    assert shown["paid"].tolist() == [100.0, 30.0] and shown["completion"].tolist() == [1.0, 0.5]
    assert shown["ultimate"].tolist() == [100.0, 60.0]
    early = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid", extract="2020-02-28"), min_cell=1).completion.frame
    assert early["month"].tolist() == ["2020-01"] and early["paid"].tolist() == [50.0]


def test_completion_needs_a_paid_date(tmp_path):
    (tmp_path / "claims.csv").write_text("person_id,date,paid\n1,2020-01-05,50\n")
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n1,2020-01-01,2020-12-31\n")
    with pytest.raises(DataError, match="no paid date"):
        _ = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid")).completion


def test_nobody_enrolled_on_a_claims_day_gives_no_pmpm(tmp_path):
    (tmp_path / "claims.csv").write_text("person_id,date,paid\n1,2020-01-05,50\n")
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n2,2019-01-01,2019-01-31\n")
    ledger = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid"), min_cell=1)
    assert ledger.pmpm.frame["pmpm_prorated"].tolist() == [0.0]
    assert ledger.outside.frame["cost"].tolist() == [50.0, 50.0]
    (tmp_path / "enrolment.csv").write_text("person_id,start_date,end_date\n2,2019-02-01,2019-01-31\n")
    empty = co.ledger(tmp_path, rules=co.ledger_rules(amount="paid"), min_cell=1)
    assert np.isnan(empty.pmpm.frame["pmpm_prorated"]).all() and empty.member_months().empty


@pytest.mark.parametrize(
    ("error", "said", "make"),
    [
        (DefinitionError, "Give either a source", lambda f: co.ledger()),
        (DefinitionError, "Give either a source", lambda f: co.ledger(f, claims=f / "claims.csv")),
        (DefinitionError, "rules is a dict", lambda f: co.ledger(f, rules={})),
        (DefinitionError, "no key to sum costs by 'mnth'. Did you mean 'month'", lambda f: book(f).by("mnth")),
        (DefinitionError, "Name what to sum by", lambda f: book(f).by()),
        (DefinitionError, "Name what to sum by", lambda f: book(f).sums("month", "month")),
        (DefinitionError, "no rule for member-months 'every day'", lambda f: book(f).member_months("every day")),
        (SourceError, "holds neither OMOP tables nor a table of claims", lambda f: co.ledger(f.parent)),
    ],
)
def test_what_is_refused(folder, error, said, make):
    with pytest.raises(error, match=said):
        make(folder)


def test_the_ledger_shows_itself(folder):
    ledger = book(folder)
    assert repr(ledger) == "<Ledger 'claims.csv and enrolment.csv': paid amounts in USD>"
    text, html = str(ledger), ledger._repr_html_()
    for title in ("Rules of the ledger", "Cost per member per month", "Claims outside enrolment", "Run-out"):
        assert title in text and title in html
    assert isinstance(ledger.sums()["cost"].iloc[0], Decimal)
    ledger.close()
