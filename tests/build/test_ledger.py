"""Each rule of the ledger on a handful of rows."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

import clinops as co
from clinops.build.ledger import flat
from clinops.errors import DataError, DefinitionError
from tests.conftest import tiny

YEAR = "person_id,start_date,end_date\n1,2020-01-01,2020-12-31\n"


@pytest.fixture
def book(tmp_path):
    """Return `book(claims, enrolment, rules...)`: a ledger of two small CSV texts."""

    def make(claims, enrolment=YEAR, *, columns=None, **rules):
        (tmp_path / "claims.csv").write_text(claims)
        place = None
        if enrolment is not None:
            place = tmp_path / "enrolment.csv"
            place.write_text(enrolment)
        given = {"amount": "paid"} | rules
        return co.ledger(claims=tmp_path / "claims.csv", enrolment=place, rules=co.ledger_rules(**given),
                         columns=columns, min_cell=1)  # fmt: skip

    return make


def total(ledger, inside=True):
    sums = ledger.sums()
    found = sums[sums["inside"] == inside]["cost"].tolist()
    return found[0] if found else Decimal(0)


def said(ledger, rule):
    frame = ledger.rules.frame
    return " ".join(frame[frame["rule"] == rule]["words"])


# -- Amounts -----------------------------------------------------------------------------------------


def test_allowed_by_default_and_a_hint_where_there_is_none(book):
    both = "person_id,date,allowed,paid\n1,2020-01-01,10,8\n"
    assert total(book(both, amount="allowed")) == 10 and total(book(both)) == 8
    with pytest.raises(DataError, match=r"no allowed amount\. They tell paid: ledger_rules\(amount='paid'\)"):
        book("person_id,date,paid\n1,2020-01-01,8\n", amount="allowed")
    with pytest.raises(DataError, match="They tell charges only, which need a ratio"):
        book("person_id,date,charge\n1,2020-01-01,8\n", amount="allowed")
    with pytest.raises(DataError, match="No claim tells its paid amount"):
        book("person_id,date,paid\n1,2020-01-01,\n")


def test_charges_count_by_their_ratio_rounded_to_the_cent(book):
    claims = "person_id,date,charge,category\n1,2020-01-01,100.01,inpatient\n1,2020-01-02,10.00,pharmacy\n"
    ledger = book(claims, amount="charge", charge_ratio={"inpatient": 0.5, "all": 0.333})
    assert dict(ledger.sums("category")[["category", "cost"]].itertuples(index=False)) == {
        "inpatient": Decimal("50.01"), "pharmacy": Decimal("3.33"),
    }  # fmt: skip
    assert "inpatient 0.5, all 0.333" in said(ledger, "amount")
    with pytest.raises(DataError, match="Charges of pharmacy have no cost-to-charge ratio"):
        book(claims, amount="charge", charge_ratio={"inpatient": 0.5})


def test_reversals_and_negative_totals_are_netted_not_clipped(book):
    ledger = book("person_id,date,paid\n1,2020-01-01,10\n1,2020-01-01,-10\n1,2020-02-01,-5\n")
    assert total(ledger) == -5
    assert dict(ledger.sums("month")[["month", "cost"]].itertuples(index=False)) == {"2020-01": 0, "2020-02": -5}
    row = ledger.rules.frame.set_index("rule").loc["reversals"]
    assert (row["rows"], row["amount"]) == (2, -15.0)


def test_capitated_encounters_are_flagged_and_priced_on_request(book):
    claims = "person_id,date,paid,code,units\n1,2020-01-01,30,A,2\n1,2020-01-02,0,A,3\n1,2020-01-02,0,B,1\n"
    assert total(book(claims)) == 30
    assert book(claims).rules.frame.set_index("rule").loc["capitation"]["rows"] == 2
    # A costs 15 a unit; nothing tells what B costs.
    assert total(book(claims, price_capitated=True)) == 30 + 45
    assert total(book(claims, price_capitated=True, prices={"B": 7})) == 30 + 45 + 7
    marked = "person_id,date,paid,capitated\n1,2020-01-01,2,yes\n1,2020-01-02,0,no\n"
    assert book(marked).rules.frame.set_index("rule").loc["capitation"]["rows"] == 1


# -- Lines and headers -------------------------------------------------------------------------------

LINES = "claim_id,line_id,person_id,date,paid,category\nC1,1,1,2020-01-01,90,inpatient\nC1,2,1,2020-01-03,90,other\n"


def test_a_repeated_amount_is_refused_until_somebody_says_what_it_is(book):
    with pytest.raises(DataError, match=r"1 claims \(2 rows\) have the same paid amount on each of their rows"):
        book(LINES)
    assert total(book(LINES, level="line")) == 180
    header = book(LINES, level="header")
    assert total(header) == 90 and header.sums("category")["category"].tolist() == ["inpatient"]


def test_repeated_amounts_are_found_part_by_part(book, monkeypatch):
    monkeypatch.setattr(flat, "PART", 7)
    rows = [f"C{n},1,2020-01-01,{n + 1}\n" * 2 for n in range(40)] + [f"D{n},1,2020-01-01,5\n" for n in range(40)]
    with pytest.raises(DataError, match=r"40 claims \(80 rows\) have the same paid amount"):
        book("claim_id,person_id,date,paid\n" + "".join(rows))


def test_lines_that_differ_are_lines(book):
    assert total(book(LINES.replace("2020-01-03,90", "2020-01-03,10"))) == 100


def test_a_header_column_says_what_it_is(book):
    claims = LINES.replace("paid", "header_paid")
    assert total(book(claims)) == 90
    with pytest.raises(DataError, match="of the claim only"):
        book(claims, level="line")


def test_both_columns_are_refused_until_one_is_named(book):
    claims = "claim_id,person_id,date,paid,header_paid\nC1,1,2020-01-01,60,90\nC1,1,2020-01-01,30,90\n"
    with pytest.raises(DefinitionError, match="hold the paid amount twice"):
        book(claims)
    assert total(book(claims, level="line")) == total(book(claims, level="header")) == 90


def test_a_reversed_header_is_netted_and_versions_are_told_apart(book):
    claims = "claim_id,person_id,date,header_paid\n" + "C1,1,2020-01-01,90\n" * 3 + "C1,1,2020-01-01,-90\n" * 3
    assert total(book(claims)) == 0
    more = claims + "C1,1,2020-01-01,80\n"
    with pytest.raises(DataError, match="1 claims tell several different totals"):
        book(more)
    rows = more.splitlines()
    versions = "\n".join([rows[0] + ",version", *(row + ",1" for row in rows[1:7]), rows[7] + ",2"]) + "\n"
    assert total(book(versions)) == 80


def test_headers_need_one_owner_and_an_id(book):
    with pytest.raises(DataError, match="1 claims belong to several persons"):
        book("claim_id,person_id,date,header_paid\nC1,1,2020-01-01,9\nC1,2,2020-01-01,9\n")
    with pytest.raises(DataError, match="Some rows have no claim_id"):
        book("claim_id,person_id,date,header_paid\n,1,2020-01-01,9\n")
    with pytest.raises(DataError, match="need the claim's id"):
        book("person_id,date,header_paid\n1,2020-01-01,9\n")


def visit_twice(**visit):
    return tiny(
        visit_occurrence=[{"person": 1, "id": 10, "concept": 9201, "start": "2020-01-05"}],
        procedure_occurrence=[
            {"person": 1, "id": n, "concept": 8, "start": "2020-01-05", "visit_occurrence_id": 10} for n in (1, 2)
        ],
        cost=[{"event": 10, "allowed": "30.00"} | visit, {"event": 1, "domain": "Procedure", "allowed": "10.00"},
              {"event": 2, "domain": "Procedure", "allowed": "20.00"}],
    )  # fmt: skip


def test_a_visit_and_its_parts_are_refused_where_they_are_one_amount(any_source):
    source = any_source(visit_twice())
    with pytest.raises(DataError, match="1 visits have a cost of their own that equals the costs of the events"):
        co.ledger(source)
    assert total(co.ledger(source, rules=co.ledger_rules(level="header"))) == 30
    assert total(co.ledger(source, rules=co.ledger_rules(level="line"))) == 30
    assert total(co.ledger(any_source(visit_twice(allowed="31.00")))) == 61


# -- Enrolment ---------------------------------------------------------------------------------------


def months(ledger, rule=None):
    return float(ledger.member_months(rule)["member_months"].sum())


def test_overlapping_plans_count_once(book):
    spans = "person_id,plan,start_date,end_date\n1,A,2020-01-01,2020-02-10\n1,B,2020-02-01,2020-02-29\n"
    ledger = book("person_id,date,paid\n1,2020-02-05,1\n", spans)
    assert months(ledger) == months(ledger, "any day") == 2.0
    assert total(ledger) == 1


def test_person_time_ends_at_death(book):
    spans = "person_id,start_date,end_date,death_date\n1,2020-01-01,2020-12-31,2020-02-29\n1,2020-06-01,2020-06-30,2020-02-29\n"  # noqa: E501
    ledger = book("person_id,date,paid\n1,2020-02-05,1\n1,2020-06-05,2\n", spans)
    assert months(ledger) == 2.0 and total(ledger) == 1 and total(ledger, inside=False) == 2
    assert "ends at death" in said(ledger, "enrolment")


def test_person_time_of_omop_ends_at_death(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2020-01-01", "end": "2020-12-31"}],
        death=[{"person": 1, "start": "2020-02-29"}],
        visit_occurrence=[{"person": 1, "id": 1, "start": "2020-02-29"}, {"person": 1, "id": 2, "start": "2020-03-01"}],
        cost=[{"event": 1, "allowed": 1}, {"event": 2, "allowed": 2}],
    )
    ledger = co.ledger(any_source(tables))
    assert months(ledger) == 2.0 and total(ledger) == 1 and total(ledger, inside=False) == 2
    assert "observation periods of the records and ends at death" in said(ledger, "enrolment")


def test_open_enrolment_ends_with_the_month_of_the_last_claim(book):
    spans = "person_id,start_date,end_date\n1,2020-01-01,\n2,2020-01-01,9999-12-31\n3,,2020-01-31\n4,2020-05-01,2020-01-01\n"  # noqa: E501
    ledger = book("person_id,date,paid\n1,2020-02-05,1\n", spans)
    assert months(ledger) == 4.0
    words = said(ledger, "enrolment")
    assert "end with the month of the last claim, 2020-02-29" in words and "are left out" in words


def test_claims_without_a_day_or_a_person_are_outside(book):
    ledger = book("person_id,date,paid\n1,,5\n,2020-01-01,6\n1,2020-01-01,7\n")
    assert total(ledger) == 7 and total(ledger, inside=False) == 11
    assert ledger.outside.frame["month"].tolist() == ["2020-01", "no date", "total"]


def test_without_enrolment_there_are_totals_only(book):
    ledger = book("person_id,date,paid\n1,2020-01-01,7\n", None)
    assert total(ledger) == 7 and ledger.by("category").frame["cost"].tolist() == [7.0, 7.0]
    for ask in (lambda: ledger.pmpm, lambda: ledger.member_months()):
        with pytest.raises(DataError, match="There is no enrolment, so there are no member-months"):
            ask()


def test_pharmacy_is_over_months_with_the_benefit(book):
    spans = "person_id,start_date,end_date,pharmacy_benefit\n1,2020-01-01,2020-02-29,yes\n1,2020-03-01,2020-04-30,no\n"
    claims = "person_id,date,paid,category\n1,2020-01-05,30,pharmacy\n1,2020-03-05,4,pharmacy\n1,2020-03-05,8,other\n"
    shown = book(claims, spans).pmpm.frame.set_index("category")
    assert shown.loc["pharmacy", ["cost_prorated", "months_prorated", "pmpm_prorated"]].tolist() == [30.0, 2.0, 15.0]
    assert shown.loc["pharmacy outside the benefit", "cost_prorated"] == 4.0
    assert shown.loc["other", "pmpm_prorated"] == 2.0 and shown.loc["total", "pmpm_prorated"] == 42 / 4
    assert shown["cost_prorated"].iloc[:-1].sum() == shown.loc["total", "cost_prorated"]


def test_pharmacy_plans_of_omop(any_source):
    tables = tiny(
        payer_plan_period=[
            {"person": 1, "start": "2020-01-01", "end": "2020-01-31", "plan_source_value": "Rx"},
            {"person": 1, "start": "2020-02-01", "end": "2020-02-29", "plan_source_value": "Basic"},
        ],
        drug_exposure=[{"person": 1, "id": 1, "concept": 7, "start": "2020-01-05"}],
        cost=[{"event": 1, "domain": "Drug", "allowed": 9}],
    )
    source = any_source(tables)
    known = co.ledger(source, rules=co.ledger_rules(pharmacy_plans="Rx"), min_cell=1).pmpm.frame
    assert known.set_index("category").loc["pharmacy", "pmpm_prorated"] == 9.0
    unknown = co.ledger(source, min_cell=1)
    assert unknown.pmpm.frame.set_index("category").loc["pharmacy", "pmpm_prorated"] == 4.5
    assert "pharmacy is over all member-months" in said(unknown, "pharmacy")


# -- Categories, run-out, currency of OMOP -----------------------------------------------------------


def test_categories_add_up_and_spelling_does_not_matter(book):
    claims = "person_id,date,paid,category\n1,2020-01-01,1,Post_Acute\n1,2020-01-01,2,PROGRAM FEE\n1,2020-01-01,4,\n"
    ledger = book(claims)
    assert dict(ledger.sums("category")[["category", "cost"]].itertuples(index=False)) == {
        "post-acute": 1, "programme fee": 2, "other": 4,
    }  # fmt: skip
    with pytest.raises(DataError, match=r"no category of costs 'inpatientt'\. Did you mean 'inpatient'"):
        book(claims.replace("Post_Acute", "inpatientt"))
    assert total(book("person_id,date,paid,category\n1,2020-01-01,1,dental\n", categories=("dental", "other"))) == 1


def test_run_out_is_flagged_and_cut_on_request(book):
    claims = "person_id,date,paid,paid_date\n1,2020-01-15,1,2020-02-01\n1,2020-06-15,2,2020-06-30\n"
    flagged = book(claims, run_out_days=60)
    assert dict(flagged.by("month").frame[["month", "run_out"]].itertuples(index=False))["2020-05"] == "incomplete"
    assert dict(flagged.by("month").frame[["month", "run_out"]].itertuples(index=False))["2020-04"] == "complete"
    assert "Services after 2020-05-01 (60 days before the extract of 2020-06-30)" in said(flagged, "run-out")
    cut = book(claims, run_out_days=60, cut_run_out=True)
    # The last whole month before: by either rule the same months count above and below the line.
    assert total(cut) == 1 and months(cut) == months(cut, "any day") == 4.0
    assert "Services after 2020-04-30" in said(cut, "run-out")
    assert cut.rules.frame.set_index("rule").loc["run-out", "rows"] == 1


def test_omop_rows_without_a_currency_are_refused_beside_others(any_source):
    tables = tiny(
        visit_occurrence=[{"person": 1, "id": 1, "start": "2020-02-01"}, {"person": 1, "id": 2, "start": "2020-03-01"}],
        cost=[{"event": 1, "allowed": 1}, {"event": 2, "allowed": 2, "currency": None}],
    )
    source = any_source(tables)
    with pytest.raises(DataError, match=r"cost.currency_concept_id names 1 distinct currency \(USD 1 row\)"):
        co.ledger(source)
    assert total(co.ledger(source, rules=co.ledger_rules(currency="USD", empty_currency="assume"))) == 3
    assert total(co.ledger(source, rules=co.ledger_rules(currency="USD", empty_currency="leave out"))) == 1


def test_omop_rates_convert_row_by_row(any_source):
    tables = tiny(
        visit_occurrence=[{"person": 1, "id": n, "start": "2020-02-01"} for n in (1, 2)],
        cost=[{"event": 1, "allowed": "1.01"}, {"event": 2, "allowed": "2.05", "currency": 44818568}],
    )
    ledger = co.ledger(any_source(tables), rules=co.ledger_rules(currency="USD", rates={"EUR": 1.1}))
    assert total(ledger) == Decimal("1.01") + Decimal("2.26")  # 2.255, half a cent up


def test_omop_without_costs_has_no_ledger(any_source):
    with pytest.raises(DataError, match="hold no costs"):
        co.ledger(any_source(tiny(person=[{"person_id": 1}])))


def test_periods_can_be_chosen(any_source):
    tables = tiny(
        observation_period=[{"person": 1, "start": "2020-01-01", "end": "2020-03-31"}],
        payer_plan_period=[{"person": 1, "start": "2020-01-01", "end": "2020-01-31"}],
        visit_occurrence=[{"person": 1, "id": 1, "start": "2020-02-01"}],
        cost=[{"event": 1, "allowed": 1}],
    )
    source = any_source(tables)
    assert months(co.ledger(source)) == 1.0
    assert months(co.ledger(source, rules=co.ledger_rules(enrolment="observation periods"))) == 3.0
    with pytest.raises(DataError, match="hold no plan periods"):
        co.ledger(any_source(tiny(visit_occurrence=[{"person": 1, "id": 1, "start": "2020-02-01"}],
                  cost=[{"event": 1, "allowed": 1}])), rules=co.ledger_rules(enrolment="plan periods"))  # fmt: skip


def test_costs_by_month_of_flat_claims_with_text_ids(book):
    claims = (
        "person_id,date,paid,category\nA,2020-01-31,1,\nA,2020-02-01,2,pharmacy\nA,2020-03-02,4,\nA,2019-12-31,8,\n"
    )
    spans = "person_id,start_date,end_date\nA,2019-12-01,2020-12-31\n"
    people = pd.DataFrame({"row": [7], "person_id": ["A"], "index_date": pd.to_datetime(["2020-01-31"]),
                           "last_day": [300]})  # fmt: skip
    found = book(claims, spans).costs_by_month(people, 3, before=2)
    assert [tuple(row) for row in found.itertuples(index=False)] == [
        (7, -1, 2019, "other", 8.0), (7, 1, 2020, "pharmacy", 2.0), (7, 2, 2020, "other", 4.0),
    ]  # fmt: skip
    short = book(claims, spans).costs_by_month(people.assign(last_day=1), 3)
    assert short["cost"].tolist() == [2.0]
    with pytest.raises(DataError, match="no column of the people 'last_day'"):
        book(claims, spans).costs_by_month(people.drop(columns="last_day"), 3)


def test_an_ehr_is_not_enrolment_and_the_rules_say_so(source_of):
    tables = tiny(visit_occurrence=[{"person": 1, "id": 1, "start": "2020-02-01"}], cost=[{"event": 1, "allowed": 1}])
    assert "capture 'ehr': their periods are not a plan's enrolment" in said(co.ledger(source_of(tables)), "enrolment")
    known = co.ledger(source_of(tables, capture="enrolment"))
    assert "capture" not in said(known, "enrolment")


@pytest.mark.postgres
def test_every_exhibit_is_the_same_on_every_engine(source_of):
    days = ("2020-01-15", "2020-02-15", "2020-02-20", "2020-03-05", "2020-06-01")
    rows = [
        {"event": n, "cost": cost, "cost_concept_id": 31979, "paid_date": paid}
        for n, (cost, paid) in enumerate(
            (("10.00", "2020-01-20"), ("0.00", "2020-02-25"), ("30.05", "2020-03-31"), ("-3.00", "2020-03-31"),
             ("7.00", "2020-06-30")), 1)
    ]  # fmt: skip
    tables = tiny(
        payer_plan_period=[
            {"person": 1, "start": "2020-01-10", "end": "2020-03-10", "plan_source_value": "A"},
            {"person": 1, "start": "2020-03-01", "end": "2020-04-30", "plan_source_value": "B"},
        ],
        visit_occurrence=[{"person": 1, "id": n, "start": day} for n, day in enumerate(days, 1)],
        cost=rows,
    )
    shown = []
    for engine in ("duckdb", "postgres"):
        rules = co.ledger_rules(cut_run_out=True, run_out_days=15, price_capitated=True, pharmacy_plans="A")
        ledger = co.ledger(source_of(tables, engine), rules=rules, min_cell=1)
        shown.append("\n".join(map(str, (*ledger.exhibits, ledger.by("plan"), ledger.by("year", "category")))))
    assert shown[0] == shown[1] and "several plans" in shown[0]
