"""The rows of an analysis as arrays: where frames end and numbers begin."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.define.measures import Measure
from clinops.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Dataset:
    """Baseline and, once read, outcomes of both arms; one row a person-entry, the same order in both.

    ``outcomes`` is None in the design stage, which therefore cannot depend on them.
    """

    baseline: pd.DataFrame
    outcomes: pd.DataFrame | None = None
    _made: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` gave for these rows, calling it the first time only.

        It is kept when outcomes are added or exchanged, so it may depend on the baseline alone.
        """
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def exposed(self) -> NDArray[np.bool_]:
        """(n,) True for the exposed."""
        return self.baseline["arm"].to_numpy() == 1

    @cached_property
    def person(self) -> NDArray[np.int64]:
        """(n,) person ids: a person who entered twice is one cluster."""
        return self.baseline["person_id"].to_numpy(dtype=np.int64)

    def __len__(self) -> int:
        return len(self.baseline)

    def column(self, measure: Measure) -> Floats:
        """(n,) the outcome's value on each row."""
        return self._outcomes[measure.id].to_numpy(dtype=float)

    def days(self, measure: Measure) -> Floats:
        """(n,) the person-days over which the outcome was watched; "time to" stops at the event."""
        return self._outcomes[f"{measure.id}__days"].to_numpy(dtype=float)

    @property
    def end_day(self) -> Floats:
        """(n,) the day from index on which follow-up ends."""
        return self._outcomes["end_day"].to_numpy(dtype=float)

    def has(self, measure: Measure) -> bool:
        """Whether the outcome could be made from this source."""
        return measure.id in self._outcomes.columns

    def where(self, keep: NDArray[np.bool_]) -> Dataset:
        """The rows that `keep` marks, outcomes along with them."""
        rest = None if self.outcomes is None else self.outcomes.loc[keep].reset_index(drop=True)
        return Dataset(self.baseline.loc[keep].reset_index(drop=True), rest)

    def with_outcomes(self, outcomes: pd.DataFrame) -> Dataset:
        """The same rows with other outcomes (another window)."""
        return replace(self, outcomes=outcomes)

    @property
    def _outcomes(self) -> pd.DataFrame:
        if self.outcomes is None:
            raise DataError("This analysis is at its design stage: outcomes have not been read.")
        return self.outcomes
