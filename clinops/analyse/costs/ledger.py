"""The ledger as exhibits: rules, member-months, PMPM, what is outside enrolment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.build.ledger import months as by_month
from clinops.build.ledger.books import Books, keep
from clinops.build.ledger.raw import from_source
from clinops.define.ledger import LedgerRules

if TYPE_CHECKING:
    import pandas as pd


class Ledger:
    """Costs and member-months by stated rules."""

    def __init__(self, books: Books) -> None:
        self.books = books

    def costs_by_month(self, people: pd.DataFrame, months: int, before: int = 0) -> pd.DataFrame:
        """Cost of each person by month from index, year of service and category; see `build.ledger.months`."""
        return by_month.costs_by_month(self.books, people, months, before)


def ledger(source: Any = None, *, rules: LedgerRules | None = None) -> Ledger:
    """Open a ledger."""
    from clinops.sources import connect

    opened = connect(source) if isinstance(source, str | Path) else source
    chosen = rules or LedgerRules()
    return Ledger(keep(from_source(opened, chosen), chosen))
