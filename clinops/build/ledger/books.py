"""The books: what a ledger's rules make of claims and enrolment."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.build.ledger import money, prices, spans
from clinops.build.ledger.raw import Note, Raw
from clinops.define.ledger import LedgerRules
from clinops.errors import DataError, unknown


@dataclass(frozen=True, eq=False)
class Books:
    """Claims and enrolment with the rules applied.

    Attributes
    ----------
    raw : what they were made of.
    rules : the rules.
    claims : person_id, date, paid_date, category, plan, amount (DECIMAL(18, 2) in `unit`), code, units, capitated.
    unit : currency code of every amount.
    notes : what every rule did.
    extract : day of the extract; None where no claim is dated.
    uncut : the claims before the run-out was cut, where it is.
    """

    raw: Raw
    rules: LedgerRules
    claims: ir.Table
    unit: str
    notes: tuple[Note, ...]
    extract: dt.date | None
    uncut: ir.Table
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def engine(self) -> Any:
        """Where the records are."""
        return self.raw.engine

    @property
    def last_day(self) -> dt.date | None:
        """The last day that counts, where the run-out is cut; None where all do.

        It ends a month, so that by either rule for member-months the same months count above and below the line.
        """
        if not self.rules.cut_run_out or self.complete_to is None:
            return None
        following = self.complete_to + dt.timedelta(days=1)
        return following.replace(day=1) - dt.timedelta(days=1)

    @property
    def complete_to(self) -> dt.date | None:
        """The last day of service whose claims are taken as complete; None where no claim is dated."""
        return None if self.extract is None else self.extract - dt.timedelta(days=self.rules.run_out_days)

    @property
    def enrolment(self) -> ir.Table:
        """Spans of enrolment, up to the last day that counts.

        Raises
        ------
        DataError : there is none.
        """
        table = self.raw.enrolment
        if table is None:
            raise DataError(
                "There is no enrolment, so there are no member-months and nothing can be said per member. Give the "
                "file: co.ledger(claims=..., enrolment=...)."
            )
        if self.last_day is None:
            return table
        cut = table.mutate(end_date=ibis.least(table.end_date, ibis.date(self.last_day)))
        return cut.filter(cut.end_date >= cut.start_date)

    def covered(self, months: str, pharmacy: bool = False, plans: bool = False) -> ir.Table:
        """Disjoint covered spans by a rule for member-months.

        With `pharmacy` only days with that benefit count; with `plans` the spans are cut where the plan changes,
        and have a column plan: "several plans" where more than one covers a day.
        """
        key = ("covered", months, pharmacy, plans)
        if key not in self.cache:
            table = self.enrolment
            chosen = table.filter(table.pharmacy.fill_null(True)) if pharmacy else table
            make = spans.by_plan if plans else spans.covered
            self.cache[key] = make(self.engine, chosen, months)
        return self.cache[key]


def at_standard_prices(books: Books) -> Books:
    """The same books with every claim at the standard price of its service: what differs then is use."""
    claims = prices.priced(books.engine, books.claims, books.rules, everything=True)
    return replace(books, claims=books.engine.materialise(claims, "standard"))


def keep(raw: Raw, rules: LedgerRules) -> Books:
    """Apply the rules to claims and enrolment.

    Raises
    ------
    DataError : mixed or missing currencies that no rule settles, an unknown category, no amount at all.
    """
    facts = money.facts(raw, rules)
    if not any(fact.rows - fact.bare for fact in facts):
        raise DataError(f"No claim tells its {rules.amount} amount. Take another: 'allowed', 'paid' or 'charge'.")
    _check_categories(facts, rules)
    unit, currency = money.settle(facts, rules, raw)
    claims, notes = money.apply(raw, rules, facts, unit)
    paid, served = ([day for day in days if day] for days in zip(*((f.paid_last, f.last) for f in facts), strict=True))
    extract = rules.extract or max(paid or served, default=None)
    if rules.price_capitated:
        claims = prices.priced(raw.engine, claims, rules)
    books = Books(raw, rules, claims, unit, (*raw.notes, *currency, *notes), extract, claims)
    if books.last_day is None:
        return books
    kept = claims.filter(claims.date.isnull() | (claims.date <= ibis.date(books.last_day)))
    return replace(books, claims=kept)


def _check_categories(facts: list[money.Fact], rules: LedgerRules) -> None:
    for fact in facts:
        if fact.category is not None and fact.category not in rules.categories:
            raise DataError(
                unknown("category of costs", fact.category, rules.categories, f"{fact.rows:,} claims have it. Map it "
                        "(category_map=...), or name your own: ledger_rules(categories=...).")
            )  # fmt: skip


def inside(claims: ir.Table, covered: ir.Table) -> ir.Table:
    """Claims on a covered day, each once: covered spans of a person are disjoint."""
    named = covered.select(covered_person="person_id", covered_from="start_date", covered_to="end_date")
    on = [claims.person_id == named.covered_person, claims.date >= named.covered_from, claims.date <= named.covered_to]
    return claims.inner_join(named, on).drop(*named.columns)


def cents(amount: Decimal | None) -> int:
    """An amount in whole cents; nothing is 0."""
    return int(amount.scaleb(2)) if amount is not None else 0
