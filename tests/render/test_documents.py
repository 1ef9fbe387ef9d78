"""Reports as DOCX and PDF: the same printed cells as the HTML, dollars and signs as they are, the same bytes twice."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

from clinops.errors import ParameterError
from clinops.render import documents
from clinops.render.documents.blocks import Grid, Paragraph, Picture, blocks
from clinops.results.disclosure import protect
from clinops.results.front import FrontPage
from clinops.results.result import Check, Column, Figure, Result

TITLE = "From $1,200 to $3,400 <b>& more</b>"


def table() -> Result:
    frame = pd.DataFrame({
        "group": ["Care", "Care", "Fee"], "line": ["Paid $5 of $10", "Any", "x < y & z"],
        "cost": [-1234.0, 5678.0, float("nan")], "n": [250, 7, 90],
    })  # fmt: skip
    columns = (
        Column("line", "Line"), Column("cost", "Cost", "money", "USD", "Offered", of="n", missing="not known"),
        Column("n", "Persons", "count", "n", "Offered"),
    )  # fmt: skip
    return Result("money", TITLE, frame, columns, ("A note with $1 and $2.",), "It cost $1,200 and then $3,400.",
                  number="Table 1", group_by="group")  # fmt: skip


def figure() -> Result:
    frame = pd.DataFrame({"label": ["A $1 to $2"], "estimate": [1.0], "low": [0.5], "high": [2.0]})
    return Result(
        "drawn", "Drawn", frame, sentence="One of $1, one of $2.", figure=Figure("forest", frame), alt="Alt $1 $2"
    )


def check() -> Check:
    frame = pd.DataFrame({"what": ["x"]})
    return Check(
        "check", "Is it so?", frame, sentence="It is.", observed=0.2, threshold=0.1, passed=False, why="It matters."
    )


def page() -> FrontPage:
    return FrontPage(
        TITLE, "harm", "Costs $1,200 more, not $3,400.", "Q?", threats=("One $1 and one $2.",), failed=(check(),)
    )


def made(form: str) -> bytes:
    shown = protect((table(), figure(), check()), 11)
    return documents.write(form, blocks(TITLE, "internal", page(), shown))


def words(form: str) -> str:
    if form == "docx":
        from docx import Document

        read = Document(io.BytesIO(made("docx")))
        cells = [cell.text for one in read.tables for row in one.rows for cell in row.cells]
        return "\n".join([*(paragraph.text for paragraph in read.paragraphs), *cells])
    from pypdf import PdfReader

    text = "\n".join(sheet.extract_text() for sheet in PdfReader(io.BytesIO(made("pdf"))).pages)
    return " ".join(text.split())


@pytest.mark.parametrize("form", ["docx", "pdf"])
@pytest.mark.parametrize(
    "said",
    [TITLE, "It cost $1,200 and then $3,400.", "Paid $5 of $10", "x < y & z", "A note with $1 and $2.", "−$1,234",
     "not known", "Costs $1,200 more, not $3,400.", "One $1 and one $2.", "▼ Harm", "✗ Failed", "internal", "Offered"],
)  # fmt: skip
def test_what_is_said_stands_as_it_is(form: str, said: str) -> None:
    assert said in words(form)


@pytest.mark.parametrize("form", ["docx", "pdf"])
def test_small_counts_and_what_rests_on_them_stay_hidden(form: str) -> None:
    text = words(form)
    assert "<11" in text and "5,678" not in text


@pytest.mark.parametrize("form", ["docx", "pdf"])
def test_the_same_report_is_the_same_bytes(form: str) -> None:
    assert made(form) == made(form)


def test_a_picture_has_words_and_its_numbers_are_named() -> None:
    parts = blocks(TITLE, "internal", None, (figure(),))
    picture = next(part for part in parts if isinstance(part, Picture))
    assert picture.alt == "Alt $1 $2" and picture.png.startswith(b"\x89PNG")
    assert Paragraph("Numbers behind this figure: tables/drawn.csv", "note") in parts
    xml = zipfile.ZipFile(io.BytesIO(documents.write("docx", parts))).read("word/document.xml").decode()
    assert 'descr="Alt $1 $2"' in xml


def test_heads_of_a_table_repeat_on_every_page() -> None:
    from pypdf import PdfReader

    frame = pd.DataFrame({"line": [f"Line {i}" for i in range(200)], "value": range(200)})
    long = Result("long", "Long", frame, (Column("line", "Name of line"), Column("value", "Number", "number0")))
    raw = documents.write("pdf", blocks("Long", "internal", None, (long,)))
    sheets = [sheet.extract_text() for sheet in PdfReader(io.BytesIO(raw)).pages]
    assert len(sheets) > 2 and all("Name of line" in sheet for sheet in sheets)
    xml = zipfile.ZipFile(io.BytesIO(documents.write("docx", blocks("Long", "", None, (long,))))).read(
        "word/document.xml"
    )
    assert b"w:tblHeader" in xml


def test_a_wide_table_stays_on_the_page() -> None:
    from clinops.render.documents import portable

    wide = Grid((), (tuple(f"Heading number {i}" for i in range(14)),), (("1,234,567",) * 14,), (True,) * 14)
    size, widths = portable._fitted(wide)
    assert sum(widths) <= 6.5 * 72 + 1e-6 and size in portable.LETTERS


def test_the_first_page_comes_first_and_its_results_once() -> None:
    front = FrontPage(TITLE, "benefit", "Yes.", "Q?", main=table())
    parts = blocks(TITLE, "internal", front, (table(), check()))
    captions = [part.text for part in parts if isinstance(part, Paragraph) and part.role == "caption"]
    assert captions == [f"Table 1. {TITLE}", "Is it so?"]


def test_the_banner_of_synthetic_records_stands_on_top() -> None:
    shown = table().with_(banner="Synthetic data: no clinical meaning")
    assert blocks("T", "internal", None, (shown,))[0] == Paragraph("Synthetic data: no clinical meaning", "stamp")


def test_an_unknown_format_is_refused_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'docx'"):
        documents.check(("docs",))


def test_a_missing_library_is_said_before_work_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(documents.LIBRARIES, "pdf", "no_such_library")
    with pytest.raises(ParameterError, match=r"clinops-kit\[documents\]"):
        documents.check(("pdf",))
