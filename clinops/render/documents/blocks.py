"""What a document is made of: paragraphs, tables and pictures in order, with no format in them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clinops.define.base import slug
from clinops.render import table
from clinops.render.exhibit import held
from clinops.results.front import VERDICTS, FrontPage
from clinops.results.result import Check, Result

WIDTH = 6.5
"""Inches between the margins of a page."""


@dataclass(frozen=True)
class Paragraph:
    """Text with a part to play: "title", "verdict", "heading", "caption", "lead" (what an exhibit
    says, above it), "text", "note" or "stamp"."""

    text: str
    role: str = "text"


@dataclass(frozen=True)
class Grid:
    """A printed table: rows of header cells, then rows of the body; `right` says which columns stand right.

    `spans` are (label, columns) over the columns after the first, empty where there are none; a row of the body with
    one cell heads those below it.
    """

    spans: tuple[tuple[str, int], ...]
    header: tuple[tuple[str, ...], ...]
    body: tuple[tuple[str, ...], ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Picture:
    """A drawing as PNG, with the words for who cannot see it and its height over its width."""

    png: bytes
    alt: str
    ratio: float


Block = Paragraph | Grid | Picture


def blocks(title: str, stamp: str, page: FrontPage | None, exhibits: Iterable[Result]) -> tuple[Block, ...]:
    """Return a report as blocks: the first page, then every exhibit once, in order.

    Parameters
    ----------
    title, stamp : of the report; the stamp stands on top ("internal, not cleared for release").
    page : the first page, or None.
    exhibits : already protected.
    """
    shown = {result.name: result for result in exhibits}
    made: list[Block] = [Paragraph(stamp, "stamp"), Paragraph(title, "title")]
    if page is not None:
        for result in page.results:
            shown.pop(result.name, None)
        made += _front(page)
    banner = next((result.banner for result in shown.values() if result.banner), "")
    if banner:
        made.insert(0, Paragraph(banner, "stamp"))
    for result in shown.values():
        made += _exhibit(result)
    return tuple(made)


def _front(page: FrontPage) -> list[Block]:
    made: list[Block] = [Paragraph(f"{VERDICTS[page.verdict]}: {page.conclusion}", "verdict")]
    made += [Paragraph(f"{label}: {text}") for label, text in page.facts]
    for part in (page.main, page.money, page.strip):
        made += _exhibit(part) if isinstance(part, Result) else [Paragraph(part)] if part else []
    lists: tuple[tuple[str, Sequence[str]], ...] = (
        ("Largest threats", page.threats),
        ("Checks that did not pass", [f"{check.verdict}: {check.title} {check.sentence}" for check in page.failed]),
        ("Allowed by name", [f"{rule}: {reason}" for rule, reason in page.allowed]),
    )
    for label, items in lists:
        made += [Paragraph(label, "heading"), *(Paragraph(item) for item in items)] if items else []
    return made


def _exhibit(result: Result) -> list[Block]:
    made: list[Block] = [Paragraph(result.caption, "caption")]
    if isinstance(result, Check):
        more = held(result)
        made.append(Paragraph(f"{result.verdict} ({more})" if more else result.verdict, "lead"))
        made += [Paragraph(result.why, "lead")] if result.why else []
    made += [Paragraph(result.sentence, "lead")] if result.sentence else []
    printed = table.layout(result)
    if result.figure is not None:  # its numbers stand in the drawing, and whole in a file of their own
        made += [_picture(result), Paragraph(f"Numbers behind this figure: tables/{slug(result.name)}.csv", "note")]
    elif not result.is_absent:
        made.append(_grid(printed))
    made += [Paragraph(f"{mark}) {text}", "note") for mark, text in printed.footnotes]
    made += [Paragraph(text, "note") for text in printed.notes]
    return made


def _picture(result: Result) -> Picture:
    # matplotlib is loaded when the first figure is drawn, and not before.
    figures = importlib.import_module("clinops.render.figures")
    drawn = figures.draw(result.figure, banner=result.banner or None, width=WIDTH)
    width, height = drawn.get_size_inches()
    return Picture(figures.png(drawn, dpi=200), result.alt or result.sentence or result.title, float(height / width))


def _grid(printed: table.Table) -> Grid:
    columns = (printed.head, *printed.columns)
    header = [tuple(column.label for column in columns)]
    if any(printed.units):
        header.append(printed.units)
    body: list[tuple[str, ...]] = []
    for group in printed.groups:
        if group.label:
            body.append((group.label,))
        body += [tuple(_said(cell) for cell in (row.head, *row.cells)) for row in group.rows]
    return Grid(printed.spanners, tuple(header), tuple(body), tuple(table.numeric(column) for column in columns))


def _said(cell: table.Cell) -> str:
    return f"{cell.text} {cell.mark}".rstrip()
