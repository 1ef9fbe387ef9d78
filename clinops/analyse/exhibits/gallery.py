"""The gallery: exhibits made once, numbered, stamped and protected on their way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clinops.results.result import Result

SYNTHETIC = "Synthetic data: no clinical meaning"


class Gallery:
    """Keeps every exhibit that was asked for, as it may be shown.

    Parameters
    ----------
    numbers : exhibit -> its number ("Table 3"); an exhibit without one is not numbered.
    synthetic : whether every exhibit carries the banner of synthetic records.
    min_cell : counts from 1 to one less than this are hidden, with what could be solved from them.
    """

    def __init__(self, numbers: Mapping[str, str], *, synthetic: bool, min_cell: int) -> None:
        self.numbers, self.min_cell = numbers, min_cell
        self.banner = SYNTHETIC if synthetic else ""
        self._kept: dict[str, Result] = {}

    def show(self, name: str, make: Callable[[], Result]) -> Any:
        """Return the exhibit, made by `make` the first time it is asked for."""
        if name not in self._kept:
            from clinops.results.disclosure import protect

            made = make().with_(number=self.numbers.get(name), banner=self.banner)
            self._kept[name] = protect(made, self.min_cell)
        return self._kept[name]
