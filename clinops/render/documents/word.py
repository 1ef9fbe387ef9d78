"""A report as DOCX, for who comments in a word processor."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from collections.abc import Sequence
from typing import Any

from clinops.render.documents.blocks import WIDTH, Block, Grid, Paragraph, Picture

STYLES = {"title": "Title", "heading": "Heading 2", "caption": "Heading 3"}
SIZES = {"note": 8.0, "stamp": 9.0, "verdict": 13.0, "text": 10.0, "lead": 10.0}
BOLD = ("verdict", "stamp")
MOMENT = (1980, 1, 1, 0, 0, 0)
"""The date of every part of the file, so that the same report is the same bytes."""


def docx(blocks: Sequence[Block]) -> bytes:
    """Return the blocks as a DOCX file; text is text, so a dollar sign is a dollar sign."""
    from docx import Document
    from docx.shared import Inches

    document = Document()
    for section in document.sections:
        section.page_width, section.left_margin, section.right_margin = Inches(8.5), Inches(1), Inches(1)
    core = document.core_properties
    core.author, core.created, core.modified = "clinops", dt.datetime(*MOMENT[:3]), dt.datetime(*MOMENT[:3])
    core.title = next((b.text for b in blocks if isinstance(b, Paragraph) and b.role == "title"), "")
    for block in blocks:
        if isinstance(block, Paragraph):
            _paragraph(document, block)
        elif isinstance(block, Grid):
            _grid(document, block)
        else:
            _picture(document, block)
    held = io.BytesIO()
    document.save(held)
    return _dateless(held.getvalue())


def _paragraph(document: Any, block: Paragraph) -> None:
    from docx.shared import Pt

    if block.role in STYLES:
        document.add_paragraph(block.text, style=STYLES[block.role])
        return
    paragraph = document.add_paragraph()
    paragraph.paragraph_format.keep_with_next = block.role == "lead"
    run = paragraph.add_run(block.text)
    run.font.size, run.bold = Pt(SIZES[block.role]), block.role in BOLD


def _grid(document: Any, block: Grid) -> None:
    wide = len(block.right)
    lines = len(block.header) + len(block.body) + bool(block.spans)
    made = document.add_table(rows=lines, cols=wide)
    made.style = "Light List"
    at = 0
    if block.spans:
        column = 1
        for label, size in block.spans:
            cell = made.cell(0, column).merge(made.cell(0, column + size - 1))
            _write(cell, label, bold=True, right=False)
            column += size
        at = 1
    for row in block.header:
        for column, text in enumerate(row):
            _write(made.cell(at, column), text, bold=True, right=block.right[column])
        at += 1
    for row in block.body:
        if len(row) == 1 and wide > 1:
            _write(made.cell(at, 0).merge(made.cell(at, wide - 1)), row[0], bold=True, right=False)
        else:
            for column, text in enumerate(row):
                _write(made.cell(at, column), text, bold=False, right=block.right[column])
        at += 1
    for row in made.rows[: len(block.header) + bool(block.spans)]:
        _repeat(row)


def _write(cell: Any, text: str, *, bold: bool, right: bool) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    paragraph = cell.paragraphs[0]
    run = paragraph.add_run(text)
    run.font.size, run.bold = Pt(8), bold
    if right:
        paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT


def _repeat(row: Any) -> None:
    """Head rows stand again on the next page, and tell a screen reader that they head."""
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    mark = OxmlElement("w:tblHeader")
    mark.set(qn("w:val"), "true")
    row._tr.get_or_add_trPr().append(mark)


def _picture(document: Any, block: Picture) -> None:
    from docx.shared import Inches

    shape = document.add_picture(io.BytesIO(block.png), width=Inches(WIDTH))
    shape._inline.docPr.set("descr", block.alt)


def _dateless(raw: bytes) -> bytes:
    """The same file with one date on all its parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(zipfile.ZipInfo(item.filename, MOMENT), old.read(item.filename), zipfile.ZIP_DEFLATED)
    return out.getvalue()
