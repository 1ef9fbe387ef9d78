"""`Source`: records that are open for reading, and what was found in them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from clinops.errors import SourceError, unknown
from clinops.sources.describe import SMALLEST, shown
from clinops.sources.tables import TABLES

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.engine import Engine
    from clinops.sources.loader import Loader


class SetAside(NamedTuple):
    """Something of the records that is not used, or is used with care: what, how many, and why."""

    what: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    why: str


@dataclass(frozen=True, eq=False, repr=False)
class Source:
    """Records, open for reading; nothing in them is ever changed.

    Attributes
    ----------
    engine : the seam to the database (`clinops.sources.engine`).
    name : what the records are called, without path or password.
    model : "OMOP CDM 5.3" or "OMOP CDM 5.4".
    persons : number of persons.
    span : first and last date of observation.
    vocabulary : version of the standard vocabularies, "unknown" where the records do not say.
    capture : what the data captures: "enrolment", "ehr" or "registry"; `capture_reason` says how it was decided.
    synthetic : whether the records are simulated; unknown counts as real.
    snapshot : date on which the records were frozen, where they say.
    rows : number of rows of each table of the model that is there.
    missing : (table, consequence) for each table that is not there or empty.
    """

    engine: Engine
    loader: Loader
    name: str
    backend: str
    model: str
    persons: int
    span: tuple[dt.date, dt.date]
    vocabulary: str
    capture: str
    capture_reason: str
    synthetic: bool
    synthetic_reason: str
    snapshot: dt.date | None
    rows: dict[str, int]
    missing: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = field(default=())

    def has(self, table: str) -> bool:
        """Tell whether the records hold rows of a table of the model."""
        if table not in TABLES:
            raise SourceError(unknown("table of the OMOP CDM that clinops reads", table, TABLES))
        return self.rows.get(table, 0) > 0

    def table(self, name: str) -> ir.Table:
        """Return a table of the model, cleaned and typed, as an ibis expression to build on.

        Every column of the model that clinops reads is there, null where the records lack it. Exact copies of
        a row are left out; `observation_period` holds continuous episodes. A table that the records do not
        hold is empty.
        """
        if name not in TABLES:
            raise SourceError(unknown("table of the OMOP CDM that clinops reads", name, TABLES))
        return self.loader.table(name)

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What the loader found wanting in the records, each with its count and its reason."""
        return self.loader.set_aside()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the content of every table of the model, whatever the order of its rows."""
        return self.loader.fingerprint()

    @property
    def identity(self) -> dict[str, Any]:
        """What the manifest keeps of the source: no path, no password, no small count."""
        return self.identity_at(SMALLEST)

    def identity_at(self, min_cell: int) -> dict[str, Any]:
        """What the manifest keeps of the source, counts below another limit than the usual one hidden."""

        def safe(count: int) -> int | str:
            return shown(count, min_cell) if 0 < count < min_cell else count

        return {
            "name": self.name,
            "backend": self.backend,
            "model": self.model,
            "persons": self.persons,
            "first_date": self.span[0].isoformat(),
            "last_date": self.span[1].isoformat(),
            "vocabulary": self.vocabulary,
            "capture": self.capture,
            "synthetic": self.synthetic,
            "snapshot": self.snapshot.isoformat() if self.snapshot else None,
            "rows": {table: safe(count) for table, count in self.rows.items()},
            "set_aside": [item._asdict() | {"count": safe(item.count)} for item in self.set_aside],
            "fingerprint": self.fingerprint,
        }

    def close(self) -> None:
        """Close the connection; temporary tables go with it."""
        self.engine.close()

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Source {self.name!r}: {self.model}, {self.persons:,} persons>"

    def __str__(self) -> str:
        from clinops.sources.describe import to_text

        return to_text(self)

    def _repr_html_(self) -> str:
        from clinops.sources.describe import to_html

        return to_html(self)
