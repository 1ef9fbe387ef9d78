"""Two dollar signs are money wherever they stand: matplotlib and MathJax would take what is between for mathematics."""

from __future__ import annotations

import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from clinops.render import exhibit, figures, table
from clinops.render.document import Context, render
from clinops.results.front import FrontPage
from clinops.results.result import Column, Figure, Result
from tests.render.figures_support import EVERY, cumulative, forest, texts, waterfall, whole

ROOT = Path(__file__).parent.parent.parent
MONEY = "from $1,200 to $3,400"
MATHS = r"$x_1$ & $\alpha$ <b>"


# -- Figures -----------------------------------------------------------------------------------------

PLACES = {
    "a label": Figure("waterfall", waterfall().data.assign(label=MONEY)),
    "the title of an axis": Figure("forest", forest().data, {"xlabel": MONEY}),
    "the head of a figure": Figure("survival", EVERY["survival"]().data, {"ylabel": MONEY}),
    "a note": Figure("cumulative_cost", cumulative().data, {"basis": MONEY}),
    "the name of a curve": Figure("cumulative_cost", cumulative().data.assign(arm=MONEY)),
}
every_place = pytest.mark.parametrize("place", sorted(PLACES))


def money_in(text: str) -> bool:
    """Tell whether the amounts stand in a text that may be wrapped anywhere between words, in either case."""
    return MONEY in " ".join(text.split()).replace("From $", "from $")


@every_place
def test_two_dollar_signs_survive_in_svg(place: str) -> None:
    assert money_in(whole(PLACES[place]))
    comments = re.findall(r"<!-- (.*?) -->", figures.svg(figures.draw(PLACES[place])).decode())
    assert money_in(" ".join(comments)), "text drawn as paths keeps its words in comments"


@every_place
def test_two_dollar_signs_survive_in_pdf(place: str) -> None:
    assert money_in(" ".join(pdf_texts(figures.pdf(figures.draw(PLACES[place])))))


@pytest.mark.parametrize("kind", sorted(EVERY))
def test_a_banner_with_two_dollar_signs_survives_in_svg_and_pdf(kind: str) -> None:
    banner = f"Amounts {MONEY}; {MATHS}"
    assert banner in whole(EVERY[kind](), banner=banner)
    drawn = figures.pdf(figures.draw(EVERY[kind](), banner=banner))
    assert banner in " ".join(pdf_texts(drawn)).replace("  ", " ")


def test_amounts_of_a_figure_are_the_same_in_svg_and_pdf() -> None:
    wanted = [text for text in texts(waterfall()) if "$" in text]
    assert len([text for text in wanted if text.count("$") > 1]) >= 3
    found = pdf_texts(figures.pdf(figures.draw(waterfall())))
    # A minus is not of the first 256 characters: PDF draws it from another font, so the text before it ends.
    joined = "".join(found).replace(" ", "")
    assert [text for text in wanted if text.replace("\u2212", "").replace(" ", "") not in joined] == []


def pdf_texts(pdf: bytes) -> list[str]:
    """Return the texts a PDF draws, in order: of each showing operator, what a reader would select."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            content = zlib.decompress(stream)
        except zlib.error:
            continue
        if b"BT" not in content or b"CIDInit" in content:
            continue
        for block in re.findall(rb"BT\n(.*?)ET", content, re.DOTALL):
            pieces = re.findall(rb"\(((?:[^()\\]|\\.)*)\)", block, re.DOTALL)
            found.append("".join(_plain(piece) for piece in pieces))
    return found


def _plain(piece: bytes) -> str:
    """Return the Latin text of a PDF string, whose characters take one byte or two."""
    raw = re.sub(rb"\\([0-7]{3}|.)", _unescaped, piece, flags=re.DOTALL)
    return raw.replace(b"\x00", b"").decode("latin-1")


def _unescaped(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    if len(code) == 3:
        return bytes([int(code, 8)])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}.get(code, code)


# -- Tables and prose --------------------------------------------------------------------------------


class Reader(HTMLParser):
    """What a browser shows, and what of it MathJax would look through."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.exposed: list[str] = []
        self._open: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs).get("class") or ""
        # MathJax 3 and 4 leave out mathjax_ignore, MathJax 2 tex2jax_ignore; all leave out code and style.
        safe = {"mathjax_ignore", "tex2jax_ignore"} <= set(names.split()) or tag in ("style", "pre", "code", "script")
        if tag not in ("img", "br", "meta", "link", "input", "hr", "col"):
            self._open.append((tag, safe))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.shown.append(data)
        if not any(safe for _, safe in self._open):
            self.exposed.append(data)


def read(html: str) -> tuple[str, str]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return tuple(" ".join(" ".join(part).split()) for part in (reader.shown, reader.exposed))  # type: ignore[return-value]


def result(**more: Any) -> Result:
    frame = pd.DataFrame({
        "what": [f"Cost {MONEY}", "Other"], "part": [f"Group {MONEY}"] * 2, "cost": [1_200.0, 3_400.0],
        "low": [1_000.0, 3_000.0], "high": [1_400.0, 3_800.0], "note": ["", ""],
    })  # fmt: skip
    columns = (
        Column("what", f"Item {MONEY}"),
        Column("cost", f"Mean {MONEY}", "money", unit="USD", low="low", high="high", spanner=f"Over {MONEY}",
               note=f"Footnote {MONEY}"),
    )  # fmt: skip
    given: dict[str, Any] = {
        "columns": columns, "group_by": "part", "notes": (f"Note {MONEY}; {MATHS}",),
        "sentence": f"Sentence {MONEY}.", "banner": f"Banner {MONEY}",
    }  # fmt: skip
    return Result("dollars", f"Title {MONEY}", frame, **{**given, **more})


SAID = ("Cost", "Group", "Item", "Mean", "Over", "Footnote", "Note", "Sentence", "Title", "Banner")


def test_a_table_says_money_in_every_place() -> None:
    shown, _ = read(table.to_html(result()))
    for word in ("Cost", "Group", "Item", "Mean", "Over", "Footnote", "Note"):
        assert f"{word} {MONEY}" in shown
    assert "$1,200 ($1,000 to $1,400)" in shown
    assert MATHS in shown


def test_an_exhibit_says_money_and_mathjax_keeps_out() -> None:
    shown, exposed = read(exhibit.to_html(result()))
    for word in SAID:
        assert f"{word} {MONEY}" in shown
    assert "$" not in exposed, "a notebook's MathJax would set what stands between two dollar signs"


def test_an_exhibit_with_a_figure_says_money_and_mathjax_keeps_out() -> None:
    html = exhibit.to_html(result(figure=PLACES["a note"], alt=f"Alt {MONEY}"))
    shown, exposed = read(html)
    assert f"Title {MONEY}" in shown
    assert f'alt="Alt {MONEY}"' in html
    assert "$" not in exposed


def test_plain_text_says_money() -> None:
    said = " ".join(exhibit.to_text(result()).split())
    for word in ("Cost", "Group", "Note", "Sentence", "Title"):
        assert f"{word} {MONEY}" in said


def test_the_first_page_says_money_and_mathjax_keeps_out() -> None:
    page = FrontPage(
        title=f"Title {MONEY}", verdict="benefit", conclusion=f"Saved {MONEY}.", question=f"Price {MONEY}?",
        money=f"Net {MONEY}", threats=(f"Threat {MONEY}",),
    )  # fmt: skip
    shown, exposed = read(exhibit.front_to_html(page))
    for said in (f"Saved {MONEY}.", f"Price {MONEY}?", f"Net {MONEY}", f"Threat {MONEY}"):
        assert said in shown
    assert "$" not in exposed


def test_a_report_says_money_in_prose_and_exhibits_and_loads_nothing_that_would_set_it() -> None:
    prose = f"# Report\n\n## Part {MONEY}\n\nProse {MONEY}, and $$4 to $$5.\n\n- Item {MONEY}"
    cells = [
        nbformat.v4.new_markdown_cell(prose),
        nbformat.v4.new_code_cell(
            "x", outputs=[
                nbformat.v4.new_output("display_data", {"text/html": exhibit.to_html(result())}),
                nbformat.v4.new_output("display_data", {"text/markdown": f"Shown {MONEY}"}),
                nbformat.v4.new_output("stream", name="stdout", text=f"Printed {MONEY}"),
            ],
        ),
    ]  # fmt: skip
    html = render(nbformat.v4.new_notebook(cells=cells), Context(f"Report {MONEY}"))
    shown, _ = read(html)
    for word in ("Part", "Prose", "Item", "Shown", "Printed", "Report", *SAID[:-1]):
        assert f"{word} {MONEY}" in shown, word
    assert "and $$4 to $$5." in shown
    assert "<script" not in html
    assert "katex" not in html.lower()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_the_prose_of_the_notebooks_holds_no_pair_of_dollar_signs(path: Path) -> None:
    """JupyterLab sets what is between them as mathematics; in prose the currency's code is the way to say it."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    paragraphs = [part for text in prose for part in re.sub(r"`[^`]*`", "", text).split("\n\n")]
    assert [part for part in paragraphs if part.replace(r"\\$", "").count("$") > 1] == []
