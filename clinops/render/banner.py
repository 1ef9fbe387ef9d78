"""What stands on every page and figure: whether the records are real, and whether the page may leave."""

from __future__ import annotations

from clinops.render.style import INTERNAL_STAMP, SYNTHETIC_BANNER


def of_source(synthetic: bool) -> str:
    """Return the banner of a source: a warning where its records are synthetic, nothing where real."""
    return SYNTHETIC_BANNER if synthetic else ""


def of_page(synthetic: bool | None, *, cleared: bool = False) -> tuple[str, ...]:
    """Return the lines of the status banner of a page, the gravest first; None: nobody said what the records are."""
    said = {True: SYNTHETIC_BANNER, False: "Real records", None: "Real or synthetic records: not stated"}
    lines = [said[synthetic]]
    return (*lines, "Cleared for release" if cleared else INTERNAL_STAMP)
