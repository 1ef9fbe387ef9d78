"""Tables: escaped, labelled for a screen reader, and with every cell in its place. Case C027, HTML half."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from clinops.errors import DefinitionError
from clinops.render.exhibit import front_to_html, front_to_text, to_html, to_text
from clinops.render.table import layout
from clinops.render.table import to_html as table_html
from clinops.render.table import to_text as table_text
from clinops.results.front import FrontPage
from clinops.results.result import Check, Column, Result
from tests.support import case_file


class Reader(HTMLParser):
    """Reads back cells and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_c027_labels_read_back_letter_by_letter() -> None:
    frame = pd.read_csv(case_file("C027", "table.csv"))
    found = read(to_html(Result("labels", "Labels", frame)))
    assert [row[0] for row in found.rows[1:]] == frame["label"].tolist()
    assert [len(row) for row in found.rows] == [2] * 13
    assert not any(tag == "b" for tag, _ in found.tags)


FRAME = pd.DataFrame({
    "role": ["Primary", "Safety"], "measure": ["Cost $5 & $6", "<b>Falls</b>"], "n": [230, 45], "events": [45, 0],
    "cost": [1234.5, np.nan], "ratio": [1.347, np.nan], "low": [1.098, np.nan], "high": [1.652, np.nan],
    "smd": [0.123, np.inf], "p": [0.049, 0.0001], "when": pd.to_datetime(["2020-01-31", None]),
    "note": ["", "no events in either arm"],
})  # fmt: skip
COLUMNS = (
    Column("measure", "Outcome"),
    Column("events", "Events", "percent", "events/n (%)", "Offered", denominator="n"),
    Column("cost", "Cost", "money", "USD", "Offered"),
    Column("ratio", "Ratio", "ratio", "(95% CI)", "Effect", low="low", high="high", note="Weighted."),
    Column("smd", "SMD", "smd"), Column("p", "P", "p"), Column("when", "Date", "date"),
)  # fmt: skip


def result(**more: object) -> Result:
    return Result("main", "Main results", FRAME, COLUMNS, group_by="role").with_(**more)


def test_cells_are_formatted_as_their_column_says() -> None:
    first, second = (group.rows[0] for group in layout(result()).groups)
    assert [cell.text for cell in first.cells] == [
        "45/230 (19.6%)", "$1,234", "1.35 (1.10 to 1.65)", "0.12", ".049", "2020-01-31",
    ]  # fmt: skip
    assert [cell.text for cell in second.cells] == [
        "0/45 (0%)", "not estimable", "not estimable", "infinite", "<.001", "–",
    ]  # fmt: skip


def test_what_is_not_estimable_says_why() -> None:
    table = layout(result())
    why = {text: mark for mark, text in table.footnotes}
    assert table.groups[1].rows[0].cells[2].mark == why["no events in either arm"]


def test_headers_have_a_scope_and_the_table_a_name() -> None:
    found = read(to_html(result(number="Table 3")))
    scopes = [attrs.get("scope") for tag, attrs in found.tags if tag == "th"]
    assert scopes.count("colgroup") == 2
    assert scopes.count("rowgroup") == 2
    assert scopes.count("col") == 7
    assert scopes.count("row") == 2
    (table,) = [attrs for tag, attrs in found.tags if tag == "table"]
    assert table["aria-labelledby"] in [attrs.get("id") for tag, attrs in found.tags if tag == "figcaption"]


def test_a_table_on_its_own_has_a_caption() -> None:
    assert "<caption>Main results</caption>" in table_html(result())


def test_dollar_signs_and_markup_survive() -> None:
    html = to_html(result())
    assert "Cost $5 &amp; $6" in html
    assert "&lt;b&gt;Falls&lt;/b&gt;" in html
    assert "<b>" not in html


def test_a_hidden_cell_prints_what_stands_in_its_place() -> None:
    safe = result(hidden=((0, "events", "<11"), (0, "low", "hidden")))
    first = layout(safe).groups[0].rows[0]
    assert [(cell.text, cell.state) for cell in first.cells[:3:2]] == [("<11", "hidden"), ("hidden", "hidden")]


def test_one_column_may_hold_counts_and_means() -> None:
    frame = pd.DataFrame({
        "covariate": ["Age", "Female"], "how": ["mean", "percent"], "value": [50.04, 45], "sd": [10.1, np.nan],
        "known": [230, 230],
    })  # fmt: skip
    column = Column("value", "Offered", "mean", spread="sd", denominator="known", format_by="how")
    table = layout(Result("t", "T", frame, (Column("covariate", "Covariate"), column)))
    assert [row.cells[0].text for row in table.groups[0].rows] == ["50.0 (10.1)", "45/230 (19.6%)"]


def test_one_column_may_hold_means_medians_and_parts_each_with_its_decimals() -> None:
    frame = pd.DataFrame({
        "row": ["Age", "Creatinine", "Stay", "Female"], "how": ["mean", "mean", "median", "n_percent"],
        "value": [50.04, 0.912, 4, 45], "sd": [10.1, 0.204, np.nan, np.nan], "low": [np.nan, np.nan, 2, np.nan],
        "high": [np.nan, np.nan, 9, np.nan], "known": [230, 230, 230, 230], "digits": [1, 2, np.nan, np.nan],
    })  # fmt: skip
    column = Column("value", "Offered", "mean", spread="sd", low="low", high="high", denominator="known",
                    format_by="how", digits_by="digits")  # fmt: skip
    table = layout(Result("t", "T", frame, (Column("row", "Row"), column)))
    found = [row.cells[0].text for row in table.groups[0].rows]
    assert found == ["50.0 (10.1)", "0.91 (0.20)", "4.0 (2.0 to 9.0)", "45 (19.6%)"]
    with pytest.raises(DefinitionError, match="digits_of"):
        Result("t", "T", frame, (Column("value", "Value", digits_by="digits_of"),))


def test_the_same_result_twice_is_the_same_html() -> None:
    assert to_html(result()) == to_html(result())


def test_a_table_without_rows_or_columns_given() -> None:
    empty = Result("e", "Empty", FRAME.iloc[:0], COLUMNS)
    assert "No rows" in to_html(empty)
    assert "Outcome" in to_text(empty)
    assert "45" in to_text(Result("plain", "Plain", FRAME))


def test_text_lines_up_and_keeps_everything() -> None:
    lines = table_text(result()).splitlines()
    body = [line for line in lines if "Cost $5 & $6" in line or "<b>Falls</b>" in line]
    assert len(body) == 2
    assert "45/230 (19.6%)" in body[0]
    assert "a) Weighted." in lines


@pytest.mark.parametrize(("passed", "said"), [(True, "✓ Passed"), (False, "✗ Failed"), (None, "○ Not judged")])
def test_a_verdict_is_a_shape_and_a_word(passed: bool | None, said: str) -> None:
    check = Check("c", "Balance", FRAME[["n"]], observed=0.031, threshold=0.1, passed=passed, why="It matters.")
    shape, word = said.split(" ", 1)
    html = to_html(check)
    assert f">{shape}</span> <strong>{word}</strong>" in html
    assert "observed 0.031, threshold 0.10" in html
    assert said in to_text(check)


def test_the_front_page_holds_its_parts() -> None:
    page = FrontPage(
        "Title", "harm", "It did harm.", "Does <it> work?", n="1,800 and 830", main=result(), money="No costs.",
        threats=("One.", "Two.", "Three."), allowed=(("rule", "a reason"),),
        failed=(Check("c", "Controls moved?", FRAME[["n"]], passed=False),),
    )  # fmt: skip
    html, text = front_to_html(page), front_to_text(page)
    for said in ("It did harm.", "No costs.", "Three.", "a reason", "Controls moved?", "Main results", "1,800 and 830"):
        assert said in html
        assert said in text
    assert "Does &lt;it&gt; work?" in html
    assert "▼" in html
    assert "Harm" in html


def test_a_ratio_of_0_or_infinity_prints_its_limits_and_a_footnote_of_its_own() -> None:
    frame = pd.DataFrame({
        "what": ["a", "b", "c"], "ratio_estimate": [np.nan] * 3,
        "low": [0.0, 0.6, np.nan], "high": [1.7, np.inf, np.nan],
        "note": ["of the row"] * 3, "ratio_note": ["of the ratio", "", None],
    })  # fmt: skip
    columns = (Column("what", "What"), Column("ratio_estimate", "Ratio (95% CI)", "ratio", low="low", high="high"))
    table = layout(Result("ratios", "Ratios", frame, columns))
    cells = [row.cells[0] for row in table.groups[0].rows]
    assert [cell.text for cell in cells] == [
        "not estimable (0.00 to 1.70)", "not estimable (0.60 to \u221e)", "not estimable",
    ]  # fmt: skip
    assert [dict(table.footnotes)[cell.mark] for cell in cells] == ["of the ratio", "of the row", "of the row"]
