"""Documents for people who do not read HTML: the exhibits of a report as DOCX and PDF.

Both are made of the same blocks (`blocks`), and the blocks of the same printed tables and drawings as the HTML, so
no number is formatted twice and nothing is taken out of a page. `docs/report.md` says how to ask for them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from clinops.errors import ParameterError, unknown

if TYPE_CHECKING:
    from clinops.render.documents.blocks import Block

LIBRARIES = {"docx": "docx", "pdf": "reportlab"}
"""By format: the library that writes it, which comes with the extra "documents"."""


def check(formats: Sequence[str]) -> tuple[str, ...]:
    """Return the formats, once each, or say which is unknown or cannot be written here.

    Raises
    ------
    ParameterError : an unknown format, or one whose library is not installed.
    """
    for name in formats:
        if name not in LIBRARIES:
            raise ParameterError(unknown("document format", name, LIBRARIES))
        if importlib.util.find_spec(LIBRARIES[name]) is None:
            raise ParameterError(
                f"report.{name} needs a library that is not installed: pip install 'clinops-kit[documents]'."
            )
    return tuple(dict.fromkeys(formats))


def write(name: str, blocks: Sequence[Block]) -> bytes:
    """Return a document in one of the formats; the same blocks give the same bytes."""
    (asked,) = check((name,))
    made: Callable[[Sequence[Block]], bytes]
    if asked == "docx":
        from clinops.render.documents.word import docx as made
    else:
        from clinops.render.documents.portable import pdf as made
    return made(blocks)
