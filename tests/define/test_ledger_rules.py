"""Ledger rules: what they refuse, how they say it, and the same through JSON."""

from __future__ import annotations

import pytest

import clinops as co
from clinops.define.ledger import LedgerRules
from clinops.errors import DefinitionError

REFUSED = [
    ("no amount 'alowed'. Did you mean 'allowed'", {"amount": "alowed"}),
    ("no rule for member-months 'any'", {"months": "any"}),
    ("no ledger rule 'mounth'. Did you mean 'months'", {"mounth": "any day"}),
    ("Charges are not what care cost", {"amount": "charge"}),
    ("charge_ratio is for charges, and the amount is 'allowed'", {"charge_ratio": 0.3}),
    ("charge_ratio of 'all' is 0; give a number above 0", {"amount": "charge", "charge_ratio": 0}),
    ("no category of a cost-to-charge ratio 'inpatients'. Did you mean 'inpatient'",
     {"amount": "charge", "charge_ratio": {"inpatients": 0.3}}),
    ("rates needs the currency of the totals", {"rates": {"EUR": 1.1}}),
    ("empty_currency needs the currency of the totals", {"empty_currency": "assume"}),
    ("other_currencies needs the currency of the totals", {"other_currencies": "leave out"}),
    ("The rate of USD to itself is 1", {"currency": "USD", "rates": {"USD": 1.0}}),
    ("rates is 1.1; give names with numbers", {"currency": "USD", "rates": 1.1}),
    ("no level of the amounts 'claim'", {"level": "claim"}),
    ("no kind of enrolment 'plans'", {"enrolment": "plans"}),
    ("run_out_days is -1; it must lie between 0 and 3650", {"run_out_days": -1}),
    ("categories names a category twice, or none", {"categories": ("a", "a")}),
    ("'total' is what the categories add up to", {"categories": ("a", "total")}),
    ("'Inpatient' must be lower case", {"categories": ("Inpatient",)}),
    ("extract is '31.12.2024'; write a date as YYYY-MM-DD", {"extract": "31.12.2024"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "given"), REFUSED, ids=[said for said, _ in REFUSED])
def test_what_is_refused_and_how(said, given):
    with pytest.raises(DefinitionError) as error:
        co.ledger_rules(**given)
    assert said in str(error.value)


def test_the_same_through_json():
    rules = co.ledger_rules(
        amount="charge", charge_ratio={"inpatient": 0.25, "all": 0.4}, currency="USD", rates={"EUR": 1.1},
        extract="2024-12-31", prices={"99213": 80}, months="any day", cut_run_out=True, pharmacy_plans="Rx",
    )  # fmt: skip
    again = LedgerRules.from_json(rules.to_json())
    assert again == rules and again.hash == rules.hash and hash(again) == hash(rules)
    assert (rules.ratio("inpatient"), rules.ratio("other")) == (0.25, 0.4)
    assert rules.pharmacy_plans == ("Rx",)


def test_defaults_are_allowed_amounts_and_prorated_months():
    rules = co.ledger_rules()
    assert (rules.amount, rules.months, rules.empty_currency, rules.other_currencies) == (
        "allowed", "prorated", "refuse", "refuse",
    )  # fmt: skip
    assert rules == LedgerRules() and rules.ratio("inpatient") is None
