"""One outcome of a study in depth: death competing with it, how often it came back, and the usual ratios."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.outcomes import estimates as made
from clinops.analyse.outcomes import exhibits, rate_exhibits
from clinops.analyse.outcomes import rates as by_cell
from clinops.analyse.outcomes.rate_exhibits import as_shown
from clinops.analyse.outcomes.rows import EventRows, event_rows
from clinops.errors import DefinitionError
from clinops.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {
    "happened": "Table 1", "cumulative_incidence": "Figure 1", "outcome_effects": "Table 2", "mean_count": "Figure 2",
    "repeat_effects": "Table 3", "rates": "Figure 3", "standardised_rates": "Table 4",
}  # fmt: skip
ORDER = ("happened", "incidence", "effects", "repeats", "repeat_effects", "rates", "standardised_rates")
LANDMARKS = 4


class Outcome(Readable, Analysis):
    """One outcome of a study.

    Parameters
    ----------
    study : the arms, their weights and follow-up.
    outcome : name of one that counts events.
    landmarks : days at which risks are compared; four round ones up to the end of the window where none are given.
    age_bands, rates_of, standard : of the rates by calendar year and age; see `outcome`.
    """

    def __init__(
        self, study: Any, outcome: str, landmarks: Sequence[float] = (), age_bands: Sequence[int] = (),
        rates_of: str = "all events", standard: str = "both arms",
    ) -> None:  # fmt: skip
        asked = by_cell.checked(age_bands, rates_of, standard)
        self.study = study
        self.rows: EventRows = event_rows(study, outcome)
        self._asked = asked
        self.landmarks = _landmarks(landmarks, self.rows.since, self.rows.horizon)
        self._gallery = Gallery(
            NUMBERS,
            synthetic=study.source.synthetic,
            min_cell=study.protocol.min_cell,
            everything=lambda: self.exhibits,
        )

    @property
    def happened(self) -> Result:
        """Persons, person-time and events by arm."""
        return self._show("happened", lambda: exhibits.happened(self.rows))

    @property
    def incidence(self) -> Result:
        """Cumulative incidence, with death as a competing event."""
        return self._show("cumulative_incidence", lambda: exhibits.incidence(self.rows, self.landmarks))

    @property
    def effects(self) -> Result:
        """Time lost, hazard ratios and tests."""
        return self._show("outcome_effects", lambda: exhibits.effects(self.rows))

    @property
    def repeats(self) -> Result:
        """How often it came back."""
        return self._show("mean_count", lambda: exhibits.repeats(self.rows, self.landmarks))

    @property
    def repeat_effects(self) -> Result:
        """Mean numbers and rates compared."""
        return self._show("repeat_effects", lambda: exhibits.repeat_effects(self.rows))

    @property
    def rates(self) -> Result:
        """Rates by calendar year and by age."""
        return self._show("rates", lambda: rate_exhibits.rates(self._cells, self.study.protocol.min_cell))

    @property
    def standardised_rates(self) -> Result:
        """Rates with the same calendar years and ages in both arms."""
        return self._show("standardised_rates", lambda: rate_exhibits.standardised_rates(self._cells))

    @cached_property
    def _cells(self) -> by_cell.Rates:
        return by_cell.split(self.rows, *self._asked)

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        rows = made.risk_rows(self.rows, self.landmarks) + made.time_rows(self.rows)
        rows += made.hazard_rows(self.rows) + made.test_rows(self.rows) + made.repeat_rows(self.rows)
        rows += as_shown(by_cell.rate_rows(self._cells), self.rates, self.standardised_rates)
        notebook = os.environ.get("CLINOPS_NOTEBOOK", "")
        return estimates([{"notebook": notebook} | row for row in rows])

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return tuple(getattr(self, name) for name in ORDER)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        return Bundle(
            f"{self.rows.event}: {self.study.protocol.title}", self.exhibits, self.study.source,
            protocol=self.study.protocol, findings=self.study.findings, estimates=self.estimates,
            min_cell=self.study.protocol.min_cell,
        )  # fmt: skip


def outcome(
    study: Any, name: str, landmarks: Sequence[float] = (), age_bands: Sequence[int] = (),
    rates_of: str = "all events", standard: str = "both arms",
) -> Outcome:  # fmt: skip
    """Look at one outcome of a study in depth.

    Parameters
    ----------
    study : from ``protocol.on(source)``.
    name : of an outcome of the protocol that counts events.
    landmarks : days from the index date at which risks are compared.
    age_bands : ages at which a new band of the rates begins, rising; 18, 45, 65, 75 and 85 where none are given. Only
        bands in which somebody is watched are shown.
    rates_of : "all events" of a person, or "first events" in the time up to them.
    standard : whose person-time by calendar year and age both arms' rates are standardised to: of "both arms", or of
        the "exposed".

    Raises
    ------
    DefinitionError : an adjustment without weights, no such outcome, landmarks outside the window, ages that do not
        rise, an unknown word.
    """
    made = Outcome(study, name, landmarks, age_bands, rates_of, standard)
    study.protocol.adjust.refuse_models("An outcome in depth")
    return made


def _landmarks(given: Sequence[float], since: float, horizon: float) -> tuple[float, ...]:
    if not given:
        step = max(1.0, np.floor(horizon / LANDMARKS))
        return (*(float(step * i) for i in range(1, LANDMARKS) if since < step * i < horizon), horizon)
    days = tuple(float(day) for day in given)
    if list(days) != sorted(set(days)) or not days[0] > since or days[-1] > horizon:
        raise DefinitionError(
            f"The landmarks are {', '.join(f'{day:g}' for day in days)}; give rising days from {since + 1:g} to "
            f"{horizon:g}."
        )
    return days
