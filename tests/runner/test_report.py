"""Several runs at a time, and the index of what is there."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from clinops.runner.index import read_lines, render_index, write_index
from tests.runner.support import clinops, manifest, printed, tree, write_notebook

LIST = """
runs:
  - notebook: demo
    run_id: one
    title: "First <b>run</b> & $5 to $6"
    parameters: {n: 2, site: "NO", source: data}
  - {notebook: demo, run_id: two, parameters: {codes: [a, "b, c"]}}
  - notebook: demo
    run_id: three
    parameters:
  - {notebook: bad, run_id: four}
"""


@pytest.mark.notebook
def test_a_list_is_run_in_parallel_and_indexed(project: Path, capsys: Any) -> None:
    (project / "data").mkdir()
    parameters = "from pathlib import Path\nn: int = 1\nsite: str = 'x'\nsource: Path = 'data'\n"
    parameters += "codes: list[str] = []\nnone: str | None = None"
    cells = ("import os, time; time.sleep(1)", "print(n, site, source, codes, none, os.environ['CLINOPS_JOBS'])")
    write_notebook(project / "notebooks" / "demo.ipynb", *cells, parameters=parameters)
    write_notebook(project / "notebooks" / "bad.ipynb", "1 / 0")
    (project / "notebooks" / "report.yaml").write_text(LIST)
    code, out, err = clinops(capsys, "report", "--jobs", "2")
    reports = project / "reports"
    assert code == 1, "one run of the four fails"
    assert Path(out.strip()) == reports / "index.html"
    assert {path.name for path in reports.iterdir()} == {"one", "two", "three", "four.failed", "index.html"}
    assert "four: FAILED" in err and "ZeroDivisionError" in err and "3 of 4 runs done" in err
    assert printed(reports / "one").split()[:3] == ["2", "NO", "data"]
    assert "['a', 'b, c'] None" in printed(reports / "two")
    page = (reports / "index.html").read_text()
    assert "First &lt;b&gt;run&lt;/b&gt; &amp; $5 to $6" in page
    assert 'href="one/report.html"' in page and "ZeroDivisionError" in page
    assert manifest(reports / "one")["title"] == "First <b>run</b> & $5 to $6"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("runs: []", "must hold one list"),
        ("runs: [{notebook: demo}]\nother: 1", "must hold one list"),
        ("runs: [{run_id: x}]", "needs at least `notebook: NAME`"),
        ("runs: [{notebook: demo, titel: x}]", "Did you mean 'title'"),
        ("runs: [{notebook: demo, parameters: [1]}]", "lines of `name: value`"),
        ("runs: [{notebook: demo, parameters: {m: 1}}]", "run 1: There is no parameter 'm'"),
        ("runs: [{notebook: demo}, {notebook: dmo}]", "run 2: There is no notebook 'dmo'"),
        ("runs: [{notebook: demo, run_id: ../x}]", "cannot be a run id"),
        ("runs: [{notebook: demo, title: [a]}]", "must be a word or a sentence"),
        ("runs: [{notebook: demo, run_id: a}, {notebook: demo, run_id: a}]", "run id 'a' to two runs"),
    ],
)
def test_a_wrong_list_is_refused_before_the_first_run(project: Path, capsys: Any, text: str, message: str) -> None:
    write_notebook(project / "notebooks" / "demo.ipynb")
    (project / "notebooks" / "report.yaml").write_text(text)
    before = tree(project)
    code, _, err = clinops(capsys, "report")
    assert code == 2 and message in err
    assert tree(project) == before


def test_without_a_list_the_message_says_where_it_was_looked_for(project: Path, capsys: Any) -> None:
    write_notebook(project / "notebooks" / "demo.ipynb")
    code, _, err = clinops(capsys, "report")
    assert code == 2 and "notebooks/report.yaml" in err


# --- the index -----------------------------------------------------------------------------------


def bundle(folder: Path, record: Any, summary: Any = None, page: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(record if isinstance(record, str) else json.dumps(record))
    if summary is not None:
        (folder / "summary.json").write_text(summary if isinstance(summary, str) else json.dumps(summary))
    if page:
        (folder / "report.html").write_text("")


RECORD = {
    "title": "from the manifest", "status": "ok", "ended": "2026-03-01T09:05:00Z", "seconds": 61.4,
    "notebook": {"name": "evaluation"}, "disclosure": "internal, not cleared for release", "source": None,
}  # fmt: skip
SUMMARY = {
    "title": "Celecoxib v diclofenac <script>alert(1)</script>",
    "data": "Synthetic OMOP records, 2,694 persons",
    "synthetic": True,
    "verdicts": [{"label": "Haemorrhage", "text": "more with celecoxib", "status": "harm"}, "not a verdict"],
    "failed_checks": ["Negative control: acute bronchitis"],
}


class Page(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("href", "src")]


def test_the_index_shows_what_each_report_says(tmp_path: Path) -> None:
    bundle(tmp_path / "b", RECORD, SUMMARY)
    page = write_index(tmp_path).read_text()
    (line,) = read_lines(tmp_path)
    assert line.verdicts == (("bad", "Haemorrhage", "harm", "more with celecoxib"),)
    assert line.date == "1 March 2026, 09:05 UTC"
    for text in ("2,694 persons", "1 March 2026", "took 61 s", "more with celecoxib", "acute bronchitis"):
        assert text in page
    assert "ynthetic" in line.banner and "cleared for release" in line.banner
    read = Page(page)
    assert "script" not in read.tags and "&lt;script&gt;" in page
    assert read.addresses == ["b/report.html"] and not re.search(r"https?://", page)
    assert read.tags.count("h1") == 1 and '<html lang="en">' in page


def test_a_report_without_a_summary_or_with_a_damaged_record_is_still_listed(tmp_path: Path) -> None:
    bundle(tmp_path / "plain", RECORD)
    bundle(tmp_path / "cut", '{"title": "hal')
    bundle(tmp_path / "odd", "[1]", page=False)
    bundle(tmp_path / "broken-summary", RECORD, '{"title"')
    bundle(tmp_path / "x.failed", {**RECORD, "failure": {"message": "ValueError: <none>"}}, page=False)
    bundle(tmp_path / ".running-abc", RECORD)
    (tmp_path / "README.md").write_text("not a run")
    lines = {line.run_id: line for line in read_lines(tmp_path)}
    assert set(lines) == {"plain", "cut", "odd", "broken-summary", "x.failed"}
    assert lines["plain"].title == "from the manifest" and lines["plain"].failure == ""
    assert lines["plain"].banner == "internal, not cleared for release", "real or synthetic is not known"
    assert lines["cut"].failure == "manifest.json cannot be read" and lines["odd"].href is None
    assert lines["broken-summary"].failure == "summary.json cannot be read"
    page = render_index(list(lines.values()))
    assert "5 reports, 4 failed" in page and "ValueError: &lt;none&gt;" in page


def test_an_empty_index_says_what_to_do(tmp_path: Path) -> None:
    assert "make report" in write_index(tmp_path).read_text()
