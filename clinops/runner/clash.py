"""Noticing another distribution that owns the import name `clinops`.

A package of that name exists on the public index; ours is distributed as `clinops-kit`. Where both are
installed, which one `import clinops` finds depends on the order of installation. Reading the file lists
here takes about 10 ms; `importlib.metadata.packages_distributions()` takes 400 ms for the same answer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from clinops.errors import ClinopsError

OURS = "clinops-kit"


class ClashError(ClinopsError):
    """Two distributions in the environment claim the import name."""


def owners(places: Iterable[str]) -> list[str]:
    """Return the names of the distributions in some folders that install a package `clinops`."""
    found = set()
    for place in places:
        folder = Path(place or ".")
        for info in folder.glob("*.dist-info") if folder.is_dir() else ():
            name = _normal(info.name.removesuffix(".dist-info").rpartition("-")[0])
            if name in (OURS, "clinops") or _installs_clinops(info / "RECORD"):
                found.add(name)
    return sorted(found)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installs_clinops(listing: Path) -> bool:
    return listing.is_file() and re.search(rb"^clinops/", listing.read_bytes(), re.MULTILINE) is not None


def refuse_clash(places: Iterable[str] | None = None) -> None:
    """Raise ClashError where another distribution owns the name as well."""
    others = [name for name in owners(sys.path if places is None else places) if name != OURS]
    if others:
        raise ClashError(
            f"Another distribution installed here also provides the package `clinops`: {', '.join(others)}. "
            f"This tool is {OURS}; with both, `import clinops` may find the wrong one. Use an environment of "
            f"its own for {OURS}, or: pip uninstall {others[0]}, then install {OURS} again."
        )
