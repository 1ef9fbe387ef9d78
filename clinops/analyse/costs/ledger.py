"""The ledger: costs and member-months by stated rules, as exhibits and as frames."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.costs import ledger_tables as tables
from clinops.analyse.exhibits.gallery import Gallery
from clinops.build.ledger import cube
from clinops.build.ledger import months as by_month
from clinops.build.ledger.books import Books, at_standard_prices, keep
from clinops.build.ledger.flat import from_flat
from clinops.build.ledger.raw import from_source
from clinops.define.base import choice
from clinops.define.ledger import MONTH_RULES, LedgerRules
from clinops.errors import DefinitionError, SourceError, nearest

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd

    from clinops.results.result import Result

KEYS = ("month", "year", "category", "plan")
"""What costs can be summed by."""


class Ledger:
    """Costs and member-months by stated rules.

    Exhibits (`rules`, `pmpm`, `by(...)`, `outside`, `completion`, `standardised`) leave with small counts hidden;
    frames (`sums`, `member_months`, `costs_by_month`) hold the numbers as they are, and stay with the analyst.

    Parameters
    ----------
    books : claims and enrolment with the rules applied (`clinops.build.ledger.books`).
    min_cell : smallest count that exhibits show.
    """

    def __init__(self, books: Books, min_cell: int = 11) -> None:
        self.books = books
        self._gallery = Gallery(
            {}, synthetic=books.raw.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )  # fmt: skip

    @property
    def currency(self) -> str:
        """Code of the currency of every amount."""
        return self.books.unit

    @property
    def amount(self) -> str:
        """What counts: "allowed", "paid" or "charge"."""
        return self.books.rules.amount

    @property
    def complete_to(self) -> dt.date | None:
        """The last day of service whose claims are taken as complete; None where no claim is dated."""
        return self.books.complete_to

    @property
    def rules(self) -> Result:
        """Every rule in words, with the rows and the money it touched."""
        return self._show("ledger_rules", lambda: tables.rules(self.books, self._gallery.min_cell))

    @property
    def pmpm(self) -> Result:
        """Cost per member per month in total and by category, by both rules for member-months."""
        return self._show("ledger_pmpm", lambda: tables.pmpm(self.books))

    @property
    def outside(self) -> Result:
        """Claims outside enrolment by month and category: in no PMPM, and not dropped in silence."""
        return self._show("ledger_outside", lambda: tables.outside(self.books, self._gallery.min_cell))

    @property
    def completion(self) -> Result:
        """Run-out: how complete each month of service is, and what it will come to.

        Raises
        ------
        DataError : the claims have no paid date.
        """
        return self._show("ledger_completion", lambda: tables.completion(self.books, self._gallery.min_cell))

    @property
    def standardised(self) -> Result:
        """Volume at standard prices beside cost, by year: what changed in use and what in price."""
        return self._show("ledger_standardised", lambda: tables.standardised(self.books))

    def by(self, *keys: str) -> Result:
        """Cost inside enrolment by month, year, category, plan, or several of them, with their total.

        Member-months and PMPM stand beside it for month, year and plan.
        """
        self._check(keys)
        return self._show("ledger_by_" + "_".join(keys), lambda: tables.by(self.books, keys, self._gallery.min_cell))

    def sums(self, *keys: str, months: str | None = None) -> pd.DataFrame:
        """Costs as they are, exact: inside (bool), the keys, claims, cost (Decimal).

        Parameters
        ----------
        keys : any of month ("2025-01"), year, category, plan; none for the total.
        months : the rule that says what is inside enrolment; the ledger's own where None.
        """
        self._check(keys, some=False)
        frame = tables.grouped(self.books, ("inside", *keys), self._rule(months))
        exact = frame["cents"].map(lambda cents: Decimal(int(cents)).scaleb(-2)).astype(object)
        return frame.assign(cost=exact)[["inside", *keys, "claims", "cost"]]

    def member_months(self, months: str | None = None) -> pd.DataFrame:
        """Member-months by calendar month, each person once: month, length, days (covered), member_months.

        Their sum is exact as the sum of days / length.
        """
        frame = cube.member_months(self.books, self._rule(months))
        frame["member_months"] = frame["days"] / frame["length"]
        return frame.assign(month=[tables.named_month(at) for at in frame["month"]])

    def costs_by_month(self, people: pd.DataFrame, months: int, before: int = 0) -> pd.DataFrame:
        """Cost of each person by month from index, year of service and category.

        See `clinops.build.ledger.months.costs_by_month`.
        """
        return by_month.costs_by_month(self.books, people, months, before)

    def at_standard_prices(self) -> Ledger:
        """The same ledger with every claim at the standard price of its service: what differs then is use."""
        return Ledger(at_standard_prices(self.books), self._gallery.min_cell)

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit that can be had of these records, in the order of a report."""
        held = self.books.raw
        found = [self.rules]
        if held.enrolment is None:
            found.append(self.by("category"))
        else:
            found += [self.pmpm, self.by("category"), self.by("month"), self.outside, self.standardised]
            found += [self.completion] if "paid_date" in held.has else []
        return tuple(found)

    def _show(self, name: str, make: Any) -> Result:
        shown: Result = self._gallery.show(name, make)
        return shown

    def _rule(self, months: str | None) -> str:
        if months is not None:
            choice("rule for member-months", months, MONTH_RULES)
        return months or self.books.rules.months

    def _check(self, keys: tuple[str, ...], some: bool = True) -> None:
        for key in keys:
            choice("key to sum costs by", key, KEYS)
        if len(set(keys)) < len(keys) or (some and not keys):
            raise DefinitionError(f"Name what to sum by, each once: {', '.join(KEYS)}.")

    def close(self) -> None:
        """Close the connection to the records; temporary tables go with it."""
        self.books.engine.close()

    def __repr__(self) -> str:
        return f"<Ledger {self.books.raw.name!r}: {self.books.rules.amount} amounts in {self.currency}>"

    def __str__(self) -> str:
        return "\n\n".join(str(exhibit) for exhibit in self.exhibits)

    def _repr_html_(self) -> str:
        return "\n".join(exhibit._repr_html_() for exhibit in self.exhibits)


def ledger(
    source: Any = None, *, claims: str | Path | None = None, enrolment: str | Path | None = None,
    rules: LedgerRules | None = None, columns: Mapping[str, str] | None = None,
    category_map: str | Path | None = None, min_cell: int = 11,
) -> Ledger:  # fmt: skip
    """Open the ledger of claims and enrolment: what care cost, per member and month, by stated rules.

    Parameters
    ----------
    source : OMOP records (a source, or its address), or a folder with claims.* and enrolment.* (or eligibility.*),
        each Parquet or CSV.
    claims, enrolment : the two files, in place of a folder; without enrolment there are totals only.
    rules : from `ledger_rules`; allowed amounts and prorated months where not given.
    columns : of flat files, role -> column where the names are not the usual ones (docs/ledger.md lists both).
    category_map : of flat files, a CSV with the header column,value,category.
    min_cell : smallest count that exhibits show.

    Returns
    -------
    Ledger

    Raises
    ------
    DefinitionError, DataError, SourceError : before anything is computed; see docs/ledger.md.
    """
    chosen = LedgerRules() if rules is None else rules
    if not isinstance(chosen, LedgerRules):
        raise DefinitionError(f"rules is a {type(chosen).__name__}; give {LedgerRules.made}.")
    if (source is None) == (claims is None):
        raise DefinitionError("Give either a source (OMOP records or a folder) or claims=..., and not both.")
    if claims is not None or is_flat(source):
        from clinops.sources.claims import open_claims

        records = open_claims(claims, enrolment, folder=source, columns=columns, category_map=category_map)
        return Ledger(keep(from_flat(records, chosen), chosen), min_cell)
    for name, given in (("columns", columns), ("category_map", category_map), ("enrolment", enrolment)):
        if given is not None:
            raise DefinitionError(f"{name} is for flat files; OMOP records have their own.")
    _refuse_neither(source)
    from clinops.sources import connect

    opened = connect(source) if isinstance(source, str | Path) else source
    return Ledger(keep(from_source(opened, chosen), chosen), min_cell)


def is_flat(source: Any) -> bool:
    """Whether a source is a folder that holds a table of claims and no OMOP persons."""
    if not isinstance(source, str | Path) or "://" in str(source):
        return False
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return False
    names = {item.name.lower().split(".")[0] for item in folder.iterdir()}
    return "claims" in names and "person" not in names


def _refuse_neither(source: Any) -> None:
    """Refuse a folder that holds neither OMOP tables nor claims."""
    if not isinstance(source, str | Path) or not Path(source).expanduser().is_dir():
        return
    held = sorted(item.name for item in Path(source).expanduser().iterdir())
    if not any(name.lower().split(".")[0] in ("person", "cost") for name in held):
        close = nearest("claims", [name.split(".")[0] for name in held])
        hint = f" Nearest to claims: {', '.join(close)}." if close else ""
        raise SourceError(
            f"{Path(source).name} holds neither OMOP tables nor a table of claims.{hint} It has: "
            f"{', '.join(held[:12]) or 'nothing'}. Give claims=... and enrolment=..., or name the files claims.* and "
            "enrolment.*."
        )
