"""What every analysis shares: exhibits made once, shown in their order, leaving together as one bundle."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.exhibits.gallery import RUN_FOLDER, Gallery
from clinops.results.result import Result

if TYPE_CHECKING:
    from clinops.analyse.bundle import Bundle


class Analysis:
    """An analysis sets `_gallery` when it is made, names its `exhibits`, and says what it leaves behind (`bundle`)."""

    _gallery: Gallery

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit, in the order of the report."""
        raise NotImplementedError

    def bundle(self) -> Bundle:
        """What `write` writes."""
        raise NotImplementedError

    def write(self, folder: str | Path | None = None) -> Path | None:
        """Write results, tables and figures into a folder.

        Without a folder they go where the runner says (its temporary run folder); in a notebook opened by hand, where
        there is no runner, nothing is written and None is returned.
        """
        from clinops.analyse.bundle import write

        return write(self.bundle(), folder) if folder or os.environ.get(RUN_FOLDER) else None

    def _show(self, name: str, make: Callable[[], Result]) -> Any:
        """Return the exhibit as it may be shown; a caller knows which kind of result it is."""
        return self._gallery.show(name, make)


class Readable(Analysis):
    """An analysis that prints and renders as all of its exhibits."""

    def __str__(self) -> str:
        return "\n\n".join(str(exhibit) for exhibit in self.exhibits)

    def _repr_html_(self) -> str:
        return "\n".join(exhibit._repr_html_() for exhibit in self.exhibits)
