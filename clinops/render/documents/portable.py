"""A report as PDF, for who files or prints it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from clinops.render.documents.blocks import WIDTH, Block, Grid, Paragraph, Picture

INCH = 72.0
SIZES = {"title": 18, "verdict": 13, "heading": 12, "caption": 10.5, "text": 9.5, "lead": 9.5, "note": 7.5, "stamp": 8}
BOLD = ("title", "verdict", "heading", "caption", "stamp")
LETTERS = (7.5, 7.0, 6.5, 6.0, 5.5, 5.0)
"""Sizes of letters in a table, the first that fits."""
PAD = 2.5
ABOVE = ("caption", "heading", "lead")
ROOM = 1.6
"""Inches that must be left on a page for a table to start on it."""
TALLEST = 8.5
"""Inches that a picture may be high."""


def pdf(blocks: Sequence[Block]) -> bytes:
    """Return the blocks as a PDF file with text that can be searched; the same blocks give the same bytes."""
    from reportlab.lib.pagesizes import letter
    from reportlab.platypus import SimpleDocTemplate

    held = io.BytesIO()
    title = next((b.text for b in blocks if isinstance(b, Paragraph) and b.role == "title"), "")
    side = (letter[0] - WIDTH * INCH) / 2
    document = SimpleDocTemplate(
        held, pagesize=letter, leftMargin=side, rightMargin=side, topMargin=0.8 * INCH, bottomMargin=0.8 * INCH,
        title=title, author="clinops", creator="clinops", invariant=1,
    )  # fmt: skip
    document.build(_flow(blocks), onFirstPage=_foot, onLaterPages=_foot)
    return held.getvalue()


def _flow(blocks: Sequence[Block]) -> list[Any]:
    """The blocks as flowing parts: what heads a picture stays with it, what heads a table never ends a page."""
    from reportlab.platypus import CondPageBreak, KeepTogether

    made: list[Any] = []
    above: list[Any] = []
    for block in blocks:
        if isinstance(block, Paragraph) and block.role in ABOVE:
            above.append(_paragraph(block))
        elif isinstance(block, Picture):
            made.append(KeepTogether([*above, _picture(block)]))
            above = []
        else:
            part = _paragraph(block) if isinstance(block, Paragraph) else _grid(block)
            made += [CondPageBreak(ROOM * INCH), *above, part] if above else [part]
            above = []
    return [*made, *above]


@cache
def _fonts() -> tuple[str, str]:
    """DejaVu Sans, which comes with matplotlib and has every sign that a table prints; regular and bold."""
    import matplotlib
    from reportlab.pdfbase.pdfmetrics import registerFont
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in ("DejaVuSans", "DejaVuSans-Bold"):
        registerFont(TTFont(name, str(folder / f"{name}.ttf")))
    return "DejaVuSans", "DejaVuSans-Bold"


def _style(role: str, size: float | None = None, *, bold: bool = False, right: bool = False) -> Any:
    from reportlab.lib.styles import ParagraphStyle

    regular, strong = _fonts()
    points = SIZES[role] if size is None else size
    space = {"caption": 12, "heading": 10, "title": 4, "verdict": 6}.get(role, 2)
    return ParagraphStyle(
        f"{role}-{points}-{bold}-{right}", fontName=strong if bold or role in BOLD else regular, fontSize=points,
        leading=points * 1.3, spaceBefore=space, spaceAfter=3, alignment=2 if right else 0,
    )  # fmt: skip


def _paragraph(block: Paragraph) -> Any:
    from reportlab.platypus import Paragraph as Flowable

    return Flowable(escape(block.text), _style(block.role))


def _grid(block: Grid) -> Any:
    from reportlab.lib import colors
    from reportlab.platypus import Paragraph as Flowable
    from reportlab.platypus import Table

    wide = len(block.right)
    size, widths = _fitted(block)

    def cell(text: str, column: int, bold: bool = False) -> Any:
        return Flowable(escape(text), _style("text", size, bold=bold, right=block.right[column]))

    lines: list[list[Any]] = []
    marks: list[tuple[Any, ...]] = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), PAD), ("RIGHTPADDING", (0, 0), (-1, -1), PAD),
        ("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ("LINEABOVE", (0, 0), (-1, 0), 0.8, colors.black), ("LINEBELOW", (0, -1), (-1, -1), 0.8, colors.black),
    ]  # fmt: skip
    if block.spans:
        line: list[Any] = [""] * wide
        column = 1
        for label, columns in block.spans:
            line[column] = Flowable(escape(label), _style("text", size, bold=True))
            marks.append(("SPAN", (column, 0), (column + columns - 1, 0)))
            column += columns
        lines.append(line)
    lines += [[cell(text, column, True) for column, text in enumerate(row)] for row in block.header]
    head = len(lines)
    marks.append(("LINEBELOW", (0, head - 1), (-1, head - 1), 0.5, colors.black))
    for row in block.body:
        at = len(lines)
        if len(row) == 1 and wide > 1:
            lines.append([Flowable(escape(row[0]), _style("text", size, bold=True)), *[""] * (wide - 1)])
            marks.append(("SPAN", (0, at), (-1, at)))
        else:
            lines.append([cell(text, column) for column, text in enumerate(row)])
    return Table(lines, colWidths=widths, repeatRows=head, style=marks, spaceAfter=4, hAlign="LEFT")


def _fitted(block: Grid) -> tuple[float, list[float]]:
    """The largest letters in which no word of the table is broken, and the widths of its columns in points."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    rows = [*block.header, *(row for row in block.body if len(row) == len(block.right))]
    texts = list(zip(*rows, strict=True))
    bold = _fonts()[1]

    def reach(parts: list[str], size: float) -> float:
        return max((stringWidth(part, bold, size) for part in parts), default=0.0) + 2 * PAD

    for size in LETTERS:
        least = [reach([word for text in column for word in text.split()], size) for column in texts]
        most = [reach(list(column), size) for column in texts]
        room = WIDTH * INCH - sum(least)
        if room >= 0:
            break
    else:
        return size, [WIDTH * INCH * one / sum(least) for one in least]
    wish = [high - low for low, high in zip(least, most, strict=True)]
    part = min(1.0, room / sum(wish)) if sum(wish) > 0 else 0.0
    return size, [low + part * more for low, more in zip(least, wish, strict=True)]


def _picture(block: Picture) -> Any:
    from reportlab.platypus import Image

    width = min(WIDTH, TALLEST / block.ratio)
    return Image(io.BytesIO(block.png), width=width * INCH, height=width * block.ratio * INCH)


def _foot(canvas: Any, document: Any) -> None:
    canvas.saveState()
    canvas.setFont(_fonts()[0], 7)
    canvas.drawRightString(document.pagesize[0] - document.rightMargin, 0.5 * INCH, f"Page {document.page}")
    canvas.restoreState()
