"""`clinops run --document`: a report in formats that people mail and print, or a refusal before anything runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clinops.runner.cli import main
from tests.notebooks.conftest import ROOT

pytestmark = pytest.mark.notebook


def test_a_trial_as_word_and_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from docx import Document
    from pypdf import PdfReader

    monkeypatch.chdir(ROOT)
    given = ["-p", "bootstrap", "100", "--document", "docx", "--document", "pdf"]
    assert main(["run", "trial", *given, "--out", str(tmp_path), "--run-id", "t", "--jobs", "1"]) == 0
    report = tmp_path / "t"
    word = "\n".join(paragraph.text for paragraph in Document(str(report / "report.docx")).paragraphs)
    sheets = PdfReader(report / "report.pdf").pages
    portable = " ".join(" ".join(sheet.extract_text() for sheet in sheets).split())
    for text in (word, portable):
        assert "Too uncertain" in text and "Table 4. Intention to treat: effect of the offer" in text
    assert "$11 (−$84 to $106)" in portable  # printed: 10.8 (48.5); two dollars in one cell
    manifest = json.loads((report / "manifest.json").read_text(encoding="utf-8"))
    assert {"report.docx", "report.pdf"} <= set(manifest["files"])


def test_an_unknown_document_is_refused_before_anything_runs(tmp_path: Path, capsys: Any) -> None:
    code = main(["run", str(ROOT / "notebooks/trial.ipynb"), "--document", "docs", "--out", str(tmp_path / "out")])
    assert code == 2 and "Did you mean 'docx'" in capsys.readouterr().err and not (tmp_path / "out").exists()
