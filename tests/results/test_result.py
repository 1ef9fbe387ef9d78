"""Result, Check and Column; case C027's labels survive a round trip through CSV."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from clinops.errors import DefinitionError
from clinops.results.csvfile import original
from clinops.results.result import Check, Column, Result, absent
from tests.support import case_file

FRAME = pd.DataFrame({"level": ["a", "b"], "n": [20, 30], "mean": [1.25, np.nan]})


def test_c027_labels_read_back_letter_by_letter() -> None:
    frame = pd.read_csv(case_file("C027", "table.csv"))
    text = str(Result("labels", "Labels", frame).to_csv())
    rows = list(csv.reader(io.StringIO(text)))
    assert [row[0] for row in rows[1:]] == frame["label"].tolist()
    assert [len(row) for row in rows] == [2] * 13


def test_a_spreadsheet_cannot_run_a_label_and_the_label_can_be_had_back() -> None:
    frame = pd.read_csv(case_file("C027", "table.csv"))
    text = str(Result("labels", "Labels", frame).to_csv(spreadsheet_safe=True))
    labels = [row[0] for row in csv.reader(io.StringIO(text))][1:]
    assert not any(label.startswith(("=", "+", "-", "@")) for label in labels)
    assert [original(label) for label in labels] == frame["label"].tolist()


def test_a_negative_number_is_not_taken_for_a_formula() -> None:
    assert "-1.5" in str(Result("r", "R", pd.DataFrame({"x": [-1.5]})).to_csv(spreadsheet_safe=True))


def test_csv_is_exact_and_has_unix_line_ends(tmp_path: Path) -> None:
    frame = pd.DataFrame({
        "x": [0.1 + 0.2, np.nan], "n": pd.array([3, None], "Int64"), "d": pd.to_datetime(["2020-01-31", None]),
    })  # fmt: skip
    path = Result("r", "R", frame).to_csv(tmp_path / "r.csv")
    assert Path(path).read_bytes() == b"x,n,d\n0.30000000000000004,3,2020-01-31\n,,\n"


def test_hidden_cells_are_hidden_in_csv_too() -> None:
    frame = pd.DataFrame({"level": ["a"], "n": pd.array([None], "Int64")})
    assert Result("r", "R", frame, hidden=((0, "n", "<11"),)).to_csv() == "level,n\na,<11\n"


def test_a_column_that_is_not_in_the_frame_is_named_with_the_nearest() -> None:
    with pytest.raises(DefinitionError, match="mean"):
        Result("r", "R", FRAME, (Column("maen", "Mean"),))


@pytest.mark.parametrize("wrong", [{"format": "percnt"}, {"low": "a"}])
def test_a_malformed_column_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(DefinitionError):
        Column("n", "N", **wrong)  # type: ignore[arg-type]


def test_interval_takes_the_usual_ends() -> None:
    assert Column("estimate", "Ratio", "interval").fields == ("estimate", "conf_low", "conf_high")


def test_with_refuses_what_a_result_has_not() -> None:
    with pytest.raises(DefinitionError, match="title"):
        Result("r", "R", FRAME).with_(titel="x")


def test_a_check_says_its_verdict_in_a_shape_and_a_word() -> None:
    said = [Check("c", "C", FRAME, passed=p).verdict for p in (True, False, None)]
    assert said == ["✓ Passed", "✗ Failed", "○ Not judged"]


def test_a_cell_shows_html_and_text() -> None:
    shown = Result("r", "A title", FRAME)._repr_mimebundle_()
    assert set(shown) == {"text/plain", "text/html"}
    assert "A title" in shown["text/plain"]
    assert "<table" in shown["text/html"]


def test_results_load_nothing_heavy() -> None:
    code = (
        "import sys, clinops.results.result, clinops.results.schema, clinops.results.front;"
        "print([m for m in ('pandas','matplotlib','jinja2','clinops.render') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_had_is_a_sentence_and_no_table() -> None:
    for why, said in (("not possible", "Not possible: No costs."), ("not shown", "Not shown: No costs.")):
        made = absent("costs", "Costs", "No costs.", why=why)
        assert made.is_absent and made.sentence == said and made.frame[why].tolist() == ["No costs."]
        assert said in made._repr_html_() and "<table" not in made._repr_html_()
        assert str(made).endswith(said)
    assert not Result("costs", "Costs", pd.DataFrame({"n": [1]})).is_absent
