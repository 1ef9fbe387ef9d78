"""Events: a domain of the records, narrowed by a code list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinops.define.base import Definition, choice
from clinops.define.codes import Codes
from clinops.errors import DefinitionError

DOMAINS = (
    "condition",
    "drug",
    "procedure",
    "visit",
    "measurement",
    "observation",
    "device",
    "death",
    "enrolment",
)
"""What a record can be about; `clinops.sources.omop` maps each to its table and columns."""

UNCODED = ("death", "enrolment")


@dataclass(frozen=True)
class Events(Definition):
    """Dated records of one domain, all of them or those of a code list."""

    kind: ClassVar[str] = "events"
    made: ClassVar[str] = "events, such as co.events('visit', co.codes(...))"
    domain: str
    codes: Codes | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("domain", self.domain, DOMAINS)
        if self.codes is not None and self.domain in UNCODED:
            raise DefinitionError(f"Events of domain {self.domain!r} take no codes; leave them out.")

    @property
    def label(self) -> str:
        """The code list's name, or the domain."""
        return self.codes.name if self.codes else ("any " * (self.domain not in UNCODED) + self.domain)

    def __str__(self) -> str:
        return self.label


def events(domain: str, codes: Codes | None = None) -> Events:
    """Dated records of a domain ("condition", "drug", "visit", ...), narrowed to a code list."""
    return Events(domain, codes)
