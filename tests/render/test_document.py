"""The page: self-contained, safe, accessible, and nothing a cell showed is lost."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from clinops.render.document import Context, render
from clinops.results.result import Column, Figure, Result
from tests.render.test_table import read

CONTEXT = Context(
    "A title & more", synthetic=True, run_id="evaluation-1a2b", version="0.1.0",
    verdicts=({"label": "Balance", "text": "0.03", "status": "passed"},),
)  # fmt: skip


def cell(kind: str, source: str, outputs: tuple[Any, ...] = (), tags: tuple[str, ...] = ()) -> dict[str, Any]:
    more = {"outputs": list(outputs), "execution_count": 1} if kind == "code" else {}
    return {"cell_type": kind, "source": source, "metadata": {"tags": list(tags)}, **more}


def page(*cells: dict[str, Any], context: Context = CONTEXT) -> str:
    return render({"cells": list(cells), "nbformat": 4, "nbformat_minor": 5, "metadata": {}}, context)


def shown(data: dict[str, Any], kind: str = "execute_result") -> dict[str, Any]:
    return {"output_type": kind, "data": data, "metadata": {}}


def body(html: str) -> str:
    return html.split("<main", 1)[1].split("</main>")[0]


@pytest.mark.parametrize("kind", ["execute_result", "display_data"])
@pytest.mark.parametrize("mime", ["text/html", "text/plain", "text/markdown"])
def test_no_output_vanishes(kind: str, mime: str) -> None:
    assert "found me" in body(page(cell("code", "x", (shown({mime: "found me"}, kind),))))


def test_a_result_keeps_its_table_its_ids_and_its_figure() -> None:
    frame = pd.DataFrame({"covariate": ["Age"], "smd_before": [0.3], "smd_after": [0.0]})
    result = Result(
        "love", "Balance", frame, (Column("covariate", "Covariate"), Column("smd_after", "After", "smd")),
        figure=Figure("love", frame, {"threshold": 0.1}), alt="Dots left and right of a line",
    )  # fmt: skip
    html = page(*[cell("code", "love", (shown(result._repr_mimebundle_()),)) for _ in range(2)])
    found = read(html)
    images = [attrs for tag, attrs in found.tags if tag == "img"]
    assert [str(image["src"])[:26] for image in images] == ["data:image/svg+xml;base64,"] * 2
    assert {image["alt"] for image in images} == {"Dots left and right of a line"}
    ids = [attrs["id"] for _, attrs in found.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    named = [attrs["aria-labelledby"] for tag, attrs in found.tags if tag == "table"]
    assert set(named) <= set(ids)
    assert len(set(named)) == 2


HOSTILE = (
    '<script>alert(1)</script><img src="http://evil.example/x.png" alt="kept"><img src=x onerror="alert(1)">'
    '<a href="javascript:alert(1)">a</a><a href="data:text/html,x">b</a><iframe src="x">inside</iframe>'
    '<style>body{display:none}</style><form action="http://evil.example"><input></form><svg onload="x"></svg>'
    '<div style="background:url(http://evil.example)">text</div><img src="data:text/html;base64,AAAA">'
)


def test_hostile_output_is_harmless() -> None:
    html = page(cell("code", "x", (shown({"text/html": HOSTILE}),)), cell("markdown", HOSTILE))
    tags = read(body(html)).tags
    assert not {"script", "iframe", "form", "input", "style", "svg", "object"} & {tag for tag, _ in tags}
    for _, attrs in tags:
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        assert str(attrs.get("href") or "#").startswith("#")
        assert str(attrs.get("src") or "data:image/").startswith("data:image/")


def test_the_page_needs_no_network_and_says_so_to_the_browser() -> None:
    html = page(
        cell(
            "markdown",
            "See [the paper](https://doi.org/10.1000/x), <https://example.org> and ![p](http://e.org/p.png).",
        )
    )
    assert not re.search(r"https?://", html)
    assert "the paper (doi.org/10.1000/x)" in html
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in html
    assert "<script" not in html
    assert "mathjax" not in html.lower()


def test_dollar_signs_are_dollars() -> None:
    html = page(cell("markdown", "From $5 to $6 a month."), cell("code", "x", (shown({"text/plain": "$1 $2"}),)))
    assert "From $5 to $6 a month." in html
    assert "$1 $2" in html


def test_text_is_escaped_wherever_it_comes_from() -> None:
    context = Context("<b>T</b>", data="<i>d</i>", verdicts=({"label": "<u>l</u>", "text": "t", "status": "failed"},))
    stream = {"output_type": "stream", "name": "stdout", "text": "<b>out</b>"}
    html = page(cell("code", "'<b>code</b>'", (stream,)), cell("markdown", "<b>prose</b>"), context=context)
    assert not re.search(r"<[biu]>", html)
    assert "&lt;b&gt;out&lt;/b&gt;" in html
    assert "&lt;b&gt;code&lt;/b&gt;" in html


def test_the_running_head_cannot_leave_its_string() -> None:
    context = Context('"} </style><b>', run_id="r")
    assert "</style><b>" not in page(context=context)


def test_errors_are_shown_with_their_trace() -> None:
    error = {"output_type": "error", "ename": "ValueError", "evalue": "a < b", "traceback": ["\x1b[31mline 1\x1b[0m"]}
    html = page(cell("code", "x", (error,)))
    assert "This cell failed: ValueError" in html
    assert "a &lt; b" in html
    assert "line 1" in html
    assert "\x1b" not in html


def test_code_is_folded_away_in_an_appendix_and_hidden_cells_are_gone() -> None:
    html = page(
        cell("markdown", "## Cohort"), cell("code", "visible = 1"), cell("code", "secret = 1", tags=("hide",)),
        cell("code", "quiet = 1", (shown({"text/plain": "not this"}),), tags=("remove_output",)),
    )  # fmt: skip
    assert html.index('<details class="appendix">') < html.index("visible = 1")
    assert "under “Cohort”" in html
    assert "secret" not in html
    assert "quiet = 1" in html
    assert "not this" not in html


def test_headings_start_below_the_title_and_skip_no_level() -> None:
    html = page(cell("markdown", "# Own title\n\ntext\n\n#### Deep\n\n# Again\n\n## Deep"))
    levels = [tag for tag, _ in read(html).tags if re.fullmatch(r"h\d", tag)]
    assert levels == ["h1", "h2", "h2", "h2", "h2"]  # title, contents, Deep, Again, Deep
    assert "Own title" not in html
    assert 'href="#deep-2"' in html
    assert 'id="deep-2"' in html


def test_the_status_stands_on_the_page_and_on_every_printed_sheet() -> None:
    html = page()
    assert "Synthetic data: no clinical meaning" in html.split("</style>")[1].split("<header")[0]
    assert '@top-center { content: "Synthetic data: no clinical meaning' in html
    assert "not cleared for release" in html
    assert "size: A4" in html


def test_landmarks_language_and_skip_link() -> None:
    found = read(page(cell("markdown", "## One")))
    tags = dict(found.tags)
    assert tags["html"]["lang"] == "en-GB"
    assert {"main", "nav", "header", "footer"} <= set(tags)
    assert ("a", {"class": "skip", "href": "#content"}) in found.tags


def test_a_verdict_has_its_word_beside_its_shape() -> None:
    assert re.search(r"✓</span> Balance</span> Passed: 0\.03", page())


def test_the_same_notebook_twice_is_the_same_page() -> None:
    cells = (cell("markdown", "## One"), cell("code", "1", (shown({"text/plain": "1"}),)))
    assert page(*cells) == page(*cells)
