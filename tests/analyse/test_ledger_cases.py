"""The ledger against the two published cases: partial months and mixed currencies."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

import clinops as co
from clinops.errors import DataError
from tests.support import case_file

PARTIAL = case_file("C007", "claims.csv").parent
MIXED = case_file("C012", "cost.csv")


def partial(months):
    return co.ledger(PARTIAL, rules=co.ledger_rules(amount="paid", months=months, currency="USD"), min_cell=1)


def exact(book):
    frame = book.member_months()
    pairs = zip(frame["days"], frame["length"], strict=True)
    return sum((Fraction(int(days), int(length)) for days, length in pairs), Fraction(0))


@pytest.mark.parametrize(
    ("months", "member_months", "inside", "outside", "pmpm"),
    [
        ("any day", Fraction(7), "1200.00", {"2025-03": "90.00"}, 171.43),
        ("prorated", Fraction(4595, 868), "1150.00", {"2025-01": "50.00", "2025-03": "90.00"}, 217.24),
    ],
)
def test_c007_partial_months(months, member_months, inside, outside, pmpm):
    book = partial(months)
    assert exact(book) == member_months
    sums = book.sums()
    assert sums.set_index("inside")["cost"][True] == Decimal(inside)
    by_month = book.sums("month")
    lost = by_month[~by_month["inside"]]
    assert dict(zip(lost["month"], lost["cost"], strict=True)) == {m: Decimal(v) for m, v in outside.items()}
    listed = book.outside.frame
    assert dict(zip(listed["month"], listed["cost"], strict=True)) == (
        {m: float(v) for m, v in outside.items()} | {"total": float(sum(map(Decimal, outside.values())))}
    )
    total = book.by("month").frame.iloc[-1]
    assert round(total["pmpm"], 2) == pmpm
    shown = book.pmpm.frame.set_index("category").loc["total"]
    at = months.replace(" ", "_")
    assert round(shown[f"pmpm_{at}"], 2) == pmpm and shown[f"months_{at}"] == pytest.approx(float(member_months))


def test_c007_both_rules_stand_side_by_side():
    shown = partial("any day").pmpm.frame.set_index("category").loc["total"]
    assert (round(shown["pmpm_any_day"], 2), round(shown["pmpm_prorated"], 2)) == (171.43, 217.24)
    assert (shown["cost_any_day"], shown["cost_prorated"]) == (1200.0, 1150.0)


def mixed(**given):
    return co.ledger(claims=MIXED, rules=co.ledger_rules(amount="paid", **given), min_cell=1)


def test_c012_without_instruction_it_is_refused_with_the_counts():
    with pytest.raises(DataError) as error:
        mixed()
    said = str(error.value)
    assert "column currency names 2 distinct currencies (USD 2 rows, EUR 1 row) and is empty in 2 rows" in said
    assert "empty_currency='assume'" in said and "rates=" in said


@pytest.mark.parametrize(
    ("given", "total", "rules"),
    [
        ({"empty_currency": "assume", "other_currencies": "leave out"}, "450.00",
         {("Rows in EUR are left out of everything.", 1), ("Rows without a currency are assumed to be USD.", 2)}),
        ({"rates": {"EUR": 1.10}, "empty_currency": "leave out"}, "900.00",
         {("1 EUR = 1.1 USD: converted row by row, rounded to the cent.", 1),
          ("Rows without a currency are left out of everything.", 2)}),
        ({"rates": {"EUR": 1.10}, "empty_currency": "assume"}, "1000.00",
         {("1 EUR = 1.1 USD: converted row by row, rounded to the cent.", 1),
          ("Rows without a currency are assumed to be USD.", 2)}),
    ],
)  # fmt: skip
def test_c012_each_instruction_gives_its_total_and_says_what_it_did(given, total, rules):
    book = mixed(currency="USD", **given)
    assert book.sums()["cost"].tolist() == [Decimal(total)]
    shown = book.rules.frame
    said = set(zip(shown["words"], shown["rows"].astype("Int64"), strict=True))
    assert rules | {("Amounts are in USD.", 2)} <= said
    assert book.currency == "USD"
