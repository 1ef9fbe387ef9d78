"""The books: what a ledger's rules make of claims and enrolment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir

from clinops.build.ledger import spans
from clinops.build.ledger.raw import Raw
from clinops.define.ledger import LedgerRules


@dataclass(frozen=True, eq=False)
class Books:
    """Claims and enrolment with the rules applied.

    Attributes
    ----------
    raw : what they were made of.
    rules : the rules.
    claims : person_id, date, paid_date, category, plan, amount (DECIMAL(18, 2) in `unit`), code, units, capitated.
    unit : currency code of every amount.
    """

    raw: Raw
    rules: LedgerRules
    claims: ir.Table
    unit: str
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def engine(self) -> Any:
        """Where the records are."""
        return self.raw.engine

    def covered(self, months: str, pharmacy: bool = False) -> ir.Table:
        """Disjoint covered spans by a rule for member-months; with `pharmacy` only those with that benefit."""
        key = ("covered", months, pharmacy)
        if key not in self.cache:
            table = self.raw.enrolment
            assert table is not None
            chosen = table.filter(table.pharmacy.fill_null(True)) if pharmacy else table
            self.cache[key] = spans.covered(self.engine, chosen, months)
        return self.cache[key]


def keep(raw: Raw, rules: LedgerRules) -> Books:
    """Apply the rules."""
    claims = raw.claims
    chosen = claims.select(
        "person_id", "date", "paid_date", "category", "plan", "code", "units", "capitated",
        amount=claims[rules.amount],
    )  # fmt: skip
    return Books(raw, rules, chosen, rules.currency or "USD")


def inside(claims: ir.Table, covered: ir.Table) -> ir.Table:
    """Claims on a covered day, each once: covered spans of a person are disjoint."""
    named = covered.select(covered_person="person_id", covered_from="start_date", covered_to="end_date")
    on = [claims.person_id == named.covered_person, claims.date >= named.covered_from, claims.date <= named.covered_to]
    return claims.inner_join(named, on).drop(*named.columns)
