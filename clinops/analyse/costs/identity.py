"""What identifies flat claims in a report: their name, size, span and content, and no path."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clinops.errors import DataError

if TYPE_CHECKING:
    import datetime as dt

    from clinops.build.ledger.books import Books


@dataclass(frozen=True)
class FlatIdentity:
    """As much of a source as a report needs, for claims that came as files.

    Attributes
    ----------
    name : what the files are called. synthetic : whether they say that they are simulated.
    persons : with a claim. rows : claims. span : first and last day of service.
    fingerprint : SHA-256 of what the claims add up to by month and category.
    """

    name: str
    synthetic: bool
    persons: int
    rows: int
    span: tuple[dt.date, dt.date]
    fingerprint: str

    def identity_at(self, min_cell: int) -> dict[str, Any]:
        """What the manifest keeps, small counts hidden."""
        counts = {"persons": self.persons, "claims": self.rows}
        shown = {name: f"<{min_cell}" if 0 < n < min_cell else n for name, n in counts.items()}
        return {
            "name": self.name, "backend": "files", "model": "flat claims", **shown,
            "first_date": self.span[0].isoformat(), "last_date": self.span[1].isoformat(),
            "synthetic": self.synthetic, "fingerprint": self.fingerprint,
        }  # fmt: skip


def identity(books: Books) -> FlatIdentity:
    """Read off the books what identifies them.

    Raises
    ------
    DataError : no claim is dated.
    """
    claims = books.claims
    row = books.engine.rows(
        claims.aggregate(
            n=claims.count(), persons=claims.person_id.nunique(), first=claims.date.min(), last=claims.date.max()
        )
    )[0]
    if row["first"] is None:
        raise DataError(f"No claim of {books.raw.name} has a date, so there is nothing to place in time.")
    dated = claims.select("category", "amount", year=claims.date.year(), month=claims.date.month())
    sums = dated.group_by(["year", "month", "category"]).agg(n=dated.count(), amount=dated.amount.sum())
    ordered = sums.order_by(["year", "month", "category"])
    content = json.dumps([[str(value) for value in line.values()] for line in books.engine.rows(ordered)])
    print_ = hashlib.sha256(content.encode()).hexdigest()
    return FlatIdentity(
        books.raw.name, books.raw.synthetic, int(row["persons"]), int(row["n"]), (row["first"], row["last"]), print_
    )
