"""What every analysis shares: exhibits made once, shown in their order, leaving together as one bundle."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.exhibits.gallery import RUN_FOLDER, Gallery
from clinops.results.result import Result

if TYPE_CHECKING:
    from clinops.analyse.bundle import Bundle


class Exhibited(ABC):
    """Sets `_gallery` when it is made, and names its `exhibits`."""

    _gallery: Gallery

    @property
    @abstractmethod
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit, in the order of the report."""

    def _show(self, name: str, make: Callable[[], Result]) -> Any:
        """Return the exhibit as it may be shown; a caller knows which kind of result it is."""
        return self._gallery.show(name, make)


class Analysis(Exhibited):
    """An analysis of a source of records, which says what it leaves behind (`bundle`)."""

    @abstractmethod
    def bundle(self) -> Bundle:
        """What `write` writes."""

    def write(self, folder: str | Path | None = None) -> Path | None:
        """Write results, tables and figures into a folder.

        Without a folder they go where the runner says (its temporary run folder); in a notebook opened by hand, where
        there is no runner, nothing is written and None is returned.
        """
        from clinops.analyse.bundle import write

        return write(self.bundle(), folder) if folder or os.environ.get(RUN_FOLDER) else None


class Readable(Exhibited):
    """Prints and renders as all of its exhibits."""

    def __str__(self) -> str:
        return "\n\n".join(str(exhibit) for exhibit in self.exhibits)

    def _repr_html_(self) -> str:
        return "\n".join(exhibit._repr_html_() for exhibit in self.exhibits)
