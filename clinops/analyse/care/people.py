"""Who a measure of care is of, and when: everybody on record, or a cohort from its index dates on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from clinops.define.cohorts import CohortDefinition
from clinops.define.windows import Window, after
from clinops.errors import DefinitionError


@dataclass(frozen=True)
class People:
    """Everybody, or the persons of a cohort on the days of a window from their index date."""

    cohort: CohortDefinition | None = None
    window: Window | None = None

    @classmethod
    def of(cls, cohort: Any, window: Any) -> People:
        """Check what was given; the window is day 1 onwards where a cohort comes without one.

        Raises
        ------
        DefinitionError : a window without a cohort, or something else than these.
        """
        if cohort is None and window is None:
            return cls()
        if not isinstance(cohort, CohortDefinition):
            raise DefinitionError(
                "A window counts from the index dates of a cohort: cohort=co.cohort(...), window=co.days(1, 365)."
            )
        if window is not None and not isinstance(window, Window):
            raise DefinitionError(f"The window is {window!r}; give a window, such as co.days(1, 365).")
        return cls(cohort, window or after())

    def within(self, source: Any) -> Any:
        """The persons and days as a table of the source; None for everybody."""
        if self.cohort is None or self.window is None:
            return None
        from clinops.build.care.readmissions import after_index
        from clinops.build.cohorts import build

        return after_index(build(self.cohort, source), self.window)

    def __str__(self) -> str:
        return (
            "everybody on record" if self.cohort is None else f"{self.cohort.name}, {self.window} from the index date"
        )
