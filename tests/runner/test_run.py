"""Runs through the production path: what is refused, what is written, and what a failure leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clinops.runner.run import Request, perform, prepare
from tests.runner.support import clinops, manifest, printed, tree, write_notebook
from tests.support import CASES

C035 = CASES / "C035-runner-unknown-parameter"
LIBRARY = """
import json, os, pathlib
run = pathlib.Path(os.environ["CLINOPS_RUN_DIR"])
"""
PROTOCOL = LIBRARY + '(run / "protocol.json").write_text(json.dumps({"hash": "0123456789abcdef"}))\n'
RESULTS = '(run / "results.parquet").write_bytes(b"stand-in"); (run / "results.csv").write_text("a")\n'


# --- case C035: the four outcomes ----------------------------------------------------------------


def test_c035_a_mistyped_parameter_stops_the_run(project: Path, capsys: Any) -> None:
    code, out, err = clinops(capsys, "run", C035 / "good.ipynb", "-f", C035 / "params_typo.yaml", "--out", "reports")
    assert code == 2 and out == ""
    assert "'min_agee'" in err and "'min_age'" in err
    assert tree(project / "reports") == set()


@pytest.mark.notebook
def test_c035_annotated_and_plain_parameters_are_both_known(project: Path, capsys: Any) -> None:
    code, out, _ = clinops(capsys, "run", C035 / "good.ipynb", "-f", C035 / "params_ok.yaml", "--out", "reports")
    assert code == 0
    folder = Path(out.strip()).parent
    assert printed(folder) == "RESULT 2021 65 10 x=y=z\n"
    assert tree(folder) == {"report.html", "notebook.ipynb", "manifest.json"}
    produced = manifest(folder)["produced"]
    assert produced["report.html"] and not produced["results.parquet"]


def test_c035_a_notebook_without_the_tag_is_refused(project: Path, capsys: Any) -> None:
    arguments = ("run", C035 / "untagged.ipynb", "-f", C035 / "params_min_age.yaml", "--out", "reports")
    code, _, err = clinops(capsys, *arguments)
    assert code == 2 and "no cell tagged 'parameters'" in err
    assert tree(project / "reports") == set()


@pytest.mark.notebook
def test_c035_a_failure_is_one_and_leaves_the_good_report_alone(project: Path, capsys: Any) -> None:
    good = project / "reports" / "same"
    good.mkdir(parents=True)
    (good / "manifest.json").write_text("{}")
    arguments = ("run", C035 / "failing.ipynb", "--out", "reports", "--run-id", "same", "--replace")
    code, out, err = clinops(capsys, *arguments)
    assert code == 1 and out == ""
    assert "ValueError: no rows left after exclusions" in err
    assert 'cell 3, line 1: raise ValueError("no rows left after exclusions")' in err
    assert (good / "manifest.json").read_text() == "{}" and tree(good) == {"manifest.json"}
    failed = project / "reports" / "same.failed"
    record = manifest(failed)
    assert record["status"] == "failed"
    assert record["failure"]["kind"] == "error" and record["failure"]["cell"] == 3
    assert json.loads((failed / "notebook.ipynb").read_text())["metadata"]["clinops"]["status"] == "failed"
    assert not (failed / "report.html").exists()
    assert printed(failed) == "before\n"


# --- a good run ----------------------------------------------------------------------------------


@pytest.mark.notebook
def test_a_good_run_is_whole_named_by_its_protocol_and_repeatable(project: Path, capsys: Any) -> None:
    more = '(run / "source.json").write_text(json.dumps({"fingerprint": "abc"}))\n(run / "tables").mkdir()\nprint("hi")'
    write_notebook(project / "notebooks" / "demo.ipynb", PROTOCOL + RESULTS + more)
    code, out, _ = clinops(capsys, "run", "demo", "-p", "n", "3")
    folder = project / "reports" / "demo-01234567"
    assert code == 0 and Path(out.strip()) == folder / "report.html"
    assert {path.name for path in (project / "reports").iterdir()} == {"demo-01234567"}
    record = manifest(folder)
    assert record["status"] == "ok" and record["parameters"] == {"n": 3}
    assert record["protocol_hash"] == "0123456789abcdef" and record["source"] == {"fingerprint": "abc"}
    assert record["disclosure"] == "internal, not cleared for release"
    assert set(record["files"]) == {"notebook.ipynb", "protocol.json", "report.html", "results.csv", "results.parquet"}
    assert record["produced"]["tables"] and not record["produced"]["figures"]
    assert [cell["cell"] for cell in record["cells"]] == [1, 1, 2]
    assert record["peak_memory_mb"] > 10 and record["software"]["packages"]["papermill"]
    text = (folder / "manifest.json").read_text()
    assert os.uname().nodename not in text and str(project) not in text
    before = (folder / "notebook.ipynb").read_bytes()
    assert b"papermill" not in before and b"start_time" not in before

    code, _, err = clinops(capsys, "run", "demo", "-p", "n", "3")  # the id is known only after the run
    assert code == 2 and "--replace" in err
    assert {path.name for path in (project / "reports").iterdir()} == {"demo-01234567"}

    code, _, _ = clinops(capsys, "run", "demo", "-p", "n", "3", "--replace")
    assert code == 0 and (folder / "notebook.ipynb").read_bytes() == before
    assert {path.name for path in (project / "reports").iterdir()} == {"demo-01234567"}


@pytest.mark.notebook
def test_the_kernel_is_private_repeatable_and_in_the_project_folder(project: Path, capsys: Any) -> None:
    cell = (
        "import os, json, sys\nfrom ipykernel.kernelapp import IPKernelApp\n"
        "names = ('PYTHONHASHSEED', 'OMP_NUM_THREADS', 'CLINOPS_JOBS', 'CLINOPS_NOTEBOOK', 'MPLBACKEND')\n"
        "print(json.dumps({**{k: os.environ[k] for k in names}, 'cwd': os.getcwd(), 'python': sys.executable,\n"
        "    'transport': IPKernelApp.instance().transport, 'ip': IPKernelApp.instance().ip}))"
    )
    write_notebook(project / "notebooks" / "look.ipynb", cell)
    (project / "elsewhere").mkdir()
    os.chdir(project / "elsewhere")  # a sub-folder: the notebook is found upward and runs in the project
    code, out, _ = clinops(capsys, "run", "look", "--jobs", "3", "--run-id", "x")
    assert code == 0 and Path(out.strip()) == project / "reports" / "x" / "report.html"
    seen = json.loads(printed(project / "reports" / "x"))
    assert seen["cwd"] == str(project) and seen["python"] == sys.executable
    assert (seen["PYTHONHASHSEED"], seen["OMP_NUM_THREADS"], seen["CLINOPS_JOBS"]) == ("0", "1", "3")
    assert seen["CLINOPS_NOTEBOOK"] == "look" and "matplotlib_inline" in seen["MPLBACKEND"]
    if sys.platform != "win32":
        assert seen["transport"] == "ipc"
        assert not Path(seen["ip"]).parent.exists(), "the socket's folder is removed"


@pytest.mark.notebook
def test_values_stay_values_whatever_they_contain(project: Path, capsys: Any) -> None:
    nasty = 'a\'b"c\nline 2\\n $HOME $x$ {n} "; import os; os.abort() #é\u2028'
    write_notebook(project / "notebooks" / "text.ipynb", "print(ascii(text))", parameters='text: str = ""')
    code, _, _ = clinops(capsys, "run", "text", "-p", "text", nasty, "--run-id", "x")
    assert code == 0
    assert printed(project / "reports" / "x").strip() == ascii(nasty)
    assert manifest(project / "reports" / "x")["parameters"] == {"text": nasty}


@pytest.mark.notebook
def test_a_raw_papermill_runs_the_same_notebook(project: Path) -> None:
    import papermill

    parameters = (
        "from datetime import date\nfrom pathlib import Path\nfrom typing import Literal\n\n"
        "n: int = 1  # how many; >= 0\ncap: int | None = None\nday: date = '2020-01-01'  # first; >= 2015-01-01\n"
        "estimand: Literal['att', 'ate'] = 'att'\nsource: Path = '.'\ncodes: list[str] = ['E11']  # codes; of ICD"
    )
    path = write_notebook(project / "notebooks" / "demo.ipynb", "print(n, cap, day, codes)", parameters=parameters)
    output = project / "raw" / "notebook.ipynb"
    output.parent.mkdir()
    papermill.execute_notebook(path, output, {"n": 5, "codes": ["I10"]}, progress_bar=False, log_output=False)
    assert printed(output.parent) == "5 None 2020-01-01 ['I10']\n"


@pytest.mark.notebook
def test_what_the_library_wrote_must_be_readable(project: Path, capsys: Any) -> None:
    write_notebook(project / "notebooks" / "demo.ipynb", LIBRARY + '(run / "summary.json").write_text(\'{"a": NaN}\')')
    code, _, err = clinops(capsys, "run", "demo", "--run-id", "x")
    assert code == 1 and "summary.json cannot be read back" in err and "NaN" in err
    assert manifest(project / "reports" / "x.failed")["failure"]["kind"] == "incomplete"


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.notebook
@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", "the kernel died"),
        ("import sys; sys.exit(0)", "error", "SystemExit: 0"),
        ("def f():\n    return 1 / 0\n\nf()", "error", "ZeroDivisionError"),
        ("raise ValueError('postgresql://me:hush@host/db is down')", "error", "postgresql://me:***@host/db is down"),
    ],
    ids=["killed", "exit", "nested", "password"],
)
def test_a_failure_is_recorded_whatever_papermill_says(
    project: Path, capsys: Any, cell: str, kind: str, message: str
) -> None:
    write_notebook(project / "notebooks" / "bad.ipynb", "print('before')", cell, "print('after')")
    code, out, err = clinops(capsys, "run", "bad", "-p", "n", "2", "--run-id", "x")
    assert code == 1 and out == "" and message in err and "cell 3" in err
    assert {path.name for path in (project / "reports").iterdir()} == {"x.failed"}
    failed = project / "reports" / "x.failed"
    record = manifest(failed)
    assert (record["status"], record["failure"]["kind"], record["failure"]["cell"]) == ("failed", kind, 3)
    assert printed(failed).startswith("before\n") and "after" not in printed(failed)
    assert not any("hush" in path.read_text() for path in failed.iterdir())
    if "1 / 0" in cell:
        assert record["failure"]["line"] == 4 and "ZeroDivisionError" in (failed / "error.txt").read_text()


@pytest.mark.notebook
def test_the_time_limit_is_for_the_whole_notebook(project: Path, capsys: Any) -> None:
    cells = ["import time; time.sleep(1.5)"] * 8
    write_notebook(project / "notebooks" / "slow.ipynb", *cells)
    started = time.monotonic()
    code, _, err = clinops(capsys, "run", "slow", "--timeout", "5", "--run-id", "x")
    assert code == 1 and "did not finish within 5 seconds" in err
    assert time.monotonic() - started < 11
    record = manifest(project / "reports" / "x.failed")
    assert record["failure"]["kind"] == "timeout" and 1 < record["failure"]["cell"] < 9


@pytest.mark.notebook
def test_promised_results_must_be_there(project: Path, capsys: Any) -> None:
    write_notebook(project / "notebooks" / "half.ipynb", PROTOCOL)
    code, _, err = clinops(capsys, "run", "half")
    assert code == 1 and "no results" in err
    record = manifest(project / "reports" / "half-01234567.failed")
    assert record["failure"]["kind"] == "incomplete"
    write_notebook(project / "notebooks" / "half.ipynb", PROTOCOL + RESULTS)
    code, _, _ = clinops(capsys, "run", "half")
    assert code == 0, "and a good run takes the place of the failed one of its id"
    assert {path.name for path in (project / "reports").iterdir()} == {"half-01234567"}


@pytest.mark.notebook
def test_a_page_that_cannot_be_made_is_a_failure(project: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import clinops.render.document as document

    def render(node: object, context: object) -> str:
        raise KeyError("no such exhibit")

    monkeypatch.setattr(document, "render", render)
    write_notebook(project / "notebooks" / "demo.ipynb", "1")
    code, _, err = clinops(capsys, "run", "demo", "--run-id", "x")
    assert code == 1 and "The report page could not be made: KeyError" in err
    assert "Traceback" in (project / "reports" / "x.failed" / "error.txt").read_text()


@pytest.mark.notebook
def test_being_asked_to_end_is_a_recorded_failure(project: Path) -> None:
    write_notebook(project / "notebooks" / "slow.ipynb", "open('started', 'w').close(); import time; time.sleep(60)")
    command = [sys.executable, "-m", "clinops", "run", "slow", "--run-id", "x"]
    with subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 40
        while not (project / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert process.returncode == 1 and "Interrupted" in err
    assert manifest(project / "reports" / "x.failed")["failure"]["kind"] == "interrupted"
    assert {path.name for path in (project / "reports").iterdir()} == {"x.failed"}


# --- refusals before anything is written ---------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evalution"], "Did you mean 'evaluation'"),
        (["notebooks/evalution.ipynb"], "Did you mean 'evaluation.ipynb'"),
        (["evaluation", "-p", "nn", "3"], "no parameter 'nn'"),
        (["evaluation", "-p", "n", "x"], "whole number"),
        (["evaluation", "-p", "n", "-1"], "must be >= 0"),
        (["evaluation", "-p", "n", "1", "-p", "n", "2"], "given twice"),
        (["evaluation", "-p", "source", "nowhere"], "no 'nowhere'"),
        (["evaluation", "-f", "nowhere.yaml"], "no parameters file"),
        (["evaluation", "--run-id", "../x"], "cannot be a run id"),
        (["evaluation", "--run-id", "a/b"], "cannot be a run id"),
        (["evaluation", "--run-id", ".."], "cannot be a run id"),
        (["evaluation", "--run-id", ""], "cannot be a run id"),
        (["evaluation", "--run-id", "x.failed"], "cannot be a run id"),
        (["evaluation", "--run-id", "taken"], "exists. Use --replace"),
        (["evaluation", "--run-id", "mine", "--replace"], "is not a report"),
        (["evaluation", "--out", "file.txt"], "is a file, not a folder"),
        (["evaluation", "--out", "file.txt/deeper"], "is a file, not a folder"),
        (["evaluation", "--jobs", "0"], "--jobs"),
        (["evaluation", "--timeout", "-1"], "--timeout"),
        (["evaluation", "--timeout", "inf"], "--timeout"),
        (["broken"], "cannot be read as a notebook"),
        (["twice"], "2 cells tagged"),
        (["foreign"], "is a R notebook"),
        (["secret"], "looks like a secret"),
    ],
)
def test_a_wrong_request_is_refused_and_writes_nothing(
    project: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    parameters = "n: int = 1  # how many; >= 0\nsource: Path = '.'"
    path = write_notebook(project / "notebooks" / "evaluation.ipynb", parameters=parameters)
    content = json.loads(path.read_text())
    content["cells"] *= 2
    (project / "notebooks" / "twice.ipynb").write_text(json.dumps(content))
    (project / "notebooks" / "broken.ipynb").write_text('{"cells": [')
    content["metadata"]["kernelspec"]["language"] = "R"
    (project / "notebooks" / "foreign.ipynb").write_text(json.dumps(content))
    write_notebook(project / "notebooks" / "secret.ipynb", parameters="token: str = ''")
    (project / "file.txt").write_text("in the way")
    (project / "reports" / "taken").mkdir(parents=True)
    (project / "reports" / "taken" / "manifest.json").write_text("{}")
    (project / "reports" / "mine").mkdir()
    (project / "reports" / "mine" / "thesis.docx").write_text("a year of work")
    monkeypatch.setattr("clinops.runner.execute._papermill", lambda *_: pytest.fail("a kernel was started"))
    before = tree(project)
    code, out, err = clinops(capsys, "run", *arguments)
    assert code == 2 and out == "" and message in err
    assert tree(project) == before


def test_nothing_is_left_where_the_folder_cannot_be_put_in_place(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may take the name between our check and our rename."""
    write_notebook(project / "notebooks" / "demo.ipynb")
    from clinops.errors import RunError
    from clinops.runner.execute import Outcome, prepared

    plan = prepare(Request("demo", run_id="x", start=project))

    def execute(notebook: Any, values: Any, folder: Path, **_: Any) -> Outcome:
        (project / "reports" / "x").mkdir()
        (project / "reports" / "x" / "theirs").write_text("theirs")
        monkeypatch.setattr("clinops.runner.run._check_free", lambda *_: None)  # checked just before that
        return Outcome(prepared(notebook, values), None, 0.0)

    monkeypatch.setattr("clinops.runner.run.execute", execute)
    with pytest.raises(RunError, match="Cannot put the report"):
        perform(plan)
    assert tree(project / "reports") == {"x", "x/theirs"}


def test_an_output_folder_made_for_nothing_is_removed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notebook(project / "notebooks" / "demo.ipynb")
    plan = prepare(Request("demo", out="new/deep", start=project))
    monkeypatch.setattr("clinops.runner.run._perform", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        perform(plan)
    assert not (project / "new").exists()
