"""Ledger rules: what counts as money, as a member-month and as a claim inside enrolment, stated as one value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from clinops.define.base import Definition, as_date, choice, whole
from clinops.define.measures import COST_CATEGORIES
from clinops.errors import DefinitionError, unknown

CATEGORIES = (*COST_CATEGORIES[1:], "other", "programme fee")
"""Categories of a ledger, in the order in which tables print them; together they are the total."""

AMOUNTS = ("allowed", "paid", "charge")
MONTH_RULES = ("any day", "prorated")
EMPTY_CURRENCY = ("refuse", "assume", "leave out")
OTHER_CURRENCIES = ("refuse", "leave out")
LEVELS = ("line", "header")
ENROLMENT = ("plan periods", "observation periods")


@dataclass(frozen=True)
class Named(Definition):
    """A number with a name: the rate of a currency, the ratio of a category, the price of a service."""

    kind: ClassVar[str] = "named number"
    made: ClassVar[str] = "a name and a number, such as {'EUR': 1.10}"
    name: str
    value: float


@dataclass(frozen=True)
class LedgerRules(Definition):
    """How claims and enrolment become costs and member-months.

    Attributes
    ----------
    amount : "allowed" (default), "paid", or "charge", which needs `charge_ratio`.
    months : "prorated" (default): a month counts by the share of its own days that were covered, and a claim counts
        if the person was enrolled on its day. "any day": a month counts 1 if any of its days was covered, and a
        claim counts if its month does.
    currency : code of the one currency of all totals; None takes the only one that the records state.
    empty_currency : rows without a currency, where others have one: "refuse", "assume" (that they are in
        `currency`), or "leave out".
    other_currencies : rows in another currency that has no rate: "refuse" or "leave out".
    rates : by currency, how much of `currency` one unit of it is worth.
    charge_ratio : by category what a charge of 1 cost; the name "all" is for every other category.
    level : what the amount of a row is: "line" (its own) or "header" (the claim's, repeated on every line). None
        takes rows as lines and refuses claims that repeat one amount on all their rows.
    enrolment : of OMOP records, which periods are enrolment; None: plan periods where there are any.
    pharmacy_plans : of OMOP records, the plans (plan_source_value) that cover drugs; empty: not known, so all.
    categories : the categories that claims may have.
    prices : by service code (or category), the standard price of one unit; empty: the ledger's own mean prices.
    price_capitated : whether encounters paid by capitation (amount 0) get the standard price of their service.
    run_out_days : claims with a service date in so many days before the extract are taken as incomplete.
    cut_run_out : whether these days are left out, of claims and member-months alike.
    extract : day on which the claims were extracted; None: the last paid date, else the last service date.
    """

    kind: ClassVar[str] = "ledger rules"
    made: ClassVar[str] = "co.ledger_rules(amount='allowed', months='prorated')"
    amount: str = "allowed"
    months: str = "prorated"
    currency: str | None = None
    empty_currency: str = "refuse"
    other_currencies: str = "refuse"
    rates: tuple[Named, ...] = ()
    charge_ratio: tuple[Named, ...] = ()
    level: str | None = None
    enrolment: str | None = None
    pharmacy_plans: tuple[str, ...] = ()
    categories: tuple[str, ...] = CATEGORIES
    prices: tuple[Named, ...] = ()
    price_capitated: bool = False
    run_out_days: int = 90
    cut_run_out: bool = False
    extract: dt.date | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("amount", self.amount, AMOUNTS)
        choice("rule for member-months", self.months, MONTH_RULES)
        choice("treatment of an empty currency", self.empty_currency, EMPTY_CURRENCY)
        choice("treatment of other currencies", self.other_currencies, OTHER_CURRENCIES)
        if self.level is not None:
            choice("level of the amounts", self.level, LEVELS)
        if self.enrolment is not None:
            choice("kind of enrolment", self.enrolment, ENROLMENT)
        whole("run_out_days", self.run_out_days, 0, 3650)
        self._check_numbers()
        self._check_money()

    def _check_numbers(self) -> None:
        for what, given in (("rates", self.rates), ("charge_ratio", self.charge_ratio), ("prices", self.prices)):
            for one in given:
                if not one.value > 0 and not (what == "prices" and one.value == 0):
                    raise DefinitionError(f"{what} of {one.name!r} is {one.value:g}; give a number above 0.")
            if len({one.name for one in given}) < len(given):
                raise DefinitionError(f"{what} names one thing twice: {', '.join(one.name for one in given)}.")
        for one in self.charge_ratio:
            choice("category of a cost-to-charge ratio", one.name, ("all", *self.categories))
        if len(set(self.categories)) < len(self.categories) or not self.categories:
            raise DefinitionError("categories names a category twice, or none; name each once.")
        for name in self.categories:
            if name != name.lower().strip() or not name:
                raise DefinitionError(f"The category {name!r} must be lower case and not blank, as all are compared.")
        if "total" in self.categories:
            raise DefinitionError("'total' is what the categories add up to; it cannot be one of them.")

    def _check_money(self) -> None:
        if self.amount == "charge" and not self.charge_ratio:
            raise DefinitionError(
                "Charges are not what care cost. Give the cost-to-charge ratio: charge_ratio=0.3, or by category "
                "charge_ratio={'inpatient': 0.25, 'all': 0.35}. Or take the allowed or the paid amount."
            )
        if self.amount != "charge" and self.charge_ratio:
            raise DefinitionError(f"charge_ratio is for charges, and the amount is {self.amount!r}. Leave one out.")
        asked = {
            "rates": bool(self.rates),
            "empty_currency": self.empty_currency == "assume",
            "other_currencies": self.other_currencies == "leave out",
        }
        wanting = [name for name, given in asked.items() if given]
        if wanting and not self.currency:
            raise DefinitionError(f"{wanting[0]} needs the currency of the totals: currency='USD'.")
        if any(one.name == self.currency for one in self.rates):
            raise DefinitionError(f"The rate of {self.currency} to itself is 1; leave it out of rates.")

    def ratio(self, category: str) -> float | None:
        """The cost-to-charge ratio of a category; None where the rules give none."""
        given = {one.name: one.value for one in self.charge_ratio}
        return given.get(category, given.get("all"))


def ledger_rules(
    *, rates: Mapping[str, float] | None = None, charge_ratio: float | Mapping[str, float] | None = None,
    prices: Mapping[str, float] | None = None, extract: str | dt.date | None = None, **given: Any,
) -> LedgerRules:  # fmt: skip
    """Rules of a ledger; whatever is not given is at its default, and all are printed (`ledger(...).rules`).

    Parameters
    ----------
    rates : by currency, how much of `currency` one unit of it is worth: {"EUR": 1.10}.
    charge_ratio : cost-to-charge ratio, one number or by category; only with amount="charge".
    prices : standard price of one unit by service code or category.
    extract : day of the extract, a date or ISO text.
    given : the other fields of `LedgerRules`.

    Raises
    ------
    DefinitionError : an unknown rule or value, charges without a ratio, rates without a currency.
    """
    known = LedgerRules.__dataclass_fields__
    for name in given:
        if name not in known:
            raise DefinitionError(unknown("ledger rule", name, known))
    for name in ("categories", "pharmacy_plans"):
        if isinstance(given.get(name), str):
            given[name] = (given[name],)
    ratio = {"all": charge_ratio} if isinstance(charge_ratio, int | float) else charge_ratio
    return LedgerRules(
        rates=_named(rates, "rates"), charge_ratio=_named(ratio, "charge_ratio"), prices=_named(prices, "prices"),
        extract=None if extract is None else as_date(extract, "extract"), **given,
    )  # fmt: skip


def _named(given: Any, what: str) -> tuple[Named, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise DefinitionError(f"{what} is {given!r}; give names with numbers, such as {{'EUR': 1.10}}.")
    return tuple(Named(str(name), value) for name, value in given.items())
