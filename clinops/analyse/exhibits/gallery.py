"""The gallery: exhibits made once, numbered, stamped and protected on their way out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from clinops.results.result import Result

SYNTHETIC = "Synthetic data: no clinical meaning"
RUN_FOLDER = "CLINOPS_RUN_DIR"
"""Set by the runner: its temporary folder, which becomes the report's folder when the run is whole."""


class Gallery:
    """Keeps every exhibit that was asked for, as it may be shown.

    By hand each exhibit is protected when it is asked for. In a report all leave together, and a count hidden
    in one could be read in another: there the first one asked for makes them all, and they are protected as one.

    Parameters
    ----------
    numbers : exhibit -> its number ("Table 3"); an exhibit without one is not numbered.
    synthetic : whether every exhibit carries the banner of synthetic records.
    min_cell : counts from 1 to one less than this are hidden, with what could be solved from them.
    everything : asks this gallery for every exhibit of the report.
    """

    def __init__(
        self, numbers: Mapping[str, str], *, synthetic: bool, min_cell: int, everything: Callable[[], object]
    ) -> None:
        self.numbers, self.min_cell = numbers, min_cell
        self.banner = SYNTHETIC if synthetic else ""
        self._everything = everything
        self._made: dict[str, Result] = {}
        self._kept: dict[str, Result] = {}
        self._gathering = False

    def show(self, name: str, make: Callable[[], Result]) -> Any:
        """Return the exhibit, made by `make` the first time it is asked for."""
        if self._gathering:
            return self._numbered(name, make)
        if not self._kept and os.environ.get(RUN_FOLDER):
            self._gather()
        if name not in self._kept:
            from clinops.results.disclosure import protect

            self._kept[name] = protect(self._numbered(name, make), self.min_cell)
        return self._kept[name]

    def _numbered(self, name: str, make: Callable[[], Result]) -> Result:
        if name not in self._made:
            self._made[name] = make().with_(number=self.numbers.get(name), banner=self.banner)
        return self._made[name]

    def _gather(self) -> None:
        from clinops.results.disclosure import protect

        self._gathering = True
        try:
            self._everything()
        finally:
            self._gathering = False
        self._kept = dict(zip(self._made, protect(tuple(self._made.values()), self.min_cell), strict=True))
