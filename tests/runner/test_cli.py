"""The command itself: help, speed, the list of notebooks, exit codes, a clash of names."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clinops.runner.clash import ClashError, owners, refuse_clash
from clinops.runner.secret import holds_secret, scrub
from tests.runner.support import clinops, write_notebook

COMMANDS = ("run", "report", "list", "check", "simulate", "lock")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(capsys: Any, command: str) -> None:
    code, out, _ = clinops(capsys, command, "--help")
    assert code == 0 and f"example:\n  clinops {command}" in out


def test_help_names_the_commands_and_the_exit_codes(capsys: Any) -> None:
    code, out, _ = clinops(capsys, "--help")
    assert code == 0 and all(f"    {command}" in out for command in COMMANDS) and "exit codes" in out


@pytest.mark.parametrize("arguments", [[], ["runn"], ["run"], ["run", "x", "--nope"], ["run", "x", "-p", "a"]])
def test_a_wrong_command_line_exits_2(capsys: Any, arguments: list[str]) -> None:
    code, out, err = clinops(capsys, *arguments)
    assert code == 2 and out == "" and "usage:" in err


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    heavy = "{'pandas', 'ibis', 'numpy', 'matplotlib', 'papermill', 'nbformat', 'rich', 'yaml', 'duckdb'}"
    code = f"import sys; from clinops.runner.cli import main; main(['--help']); print({heavy} & set(sys.modules))"
    seconds = []
    for _ in range(4):  # the best of four: the machine may be busy
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.monotonic() - started)
    assert done.stdout.splitlines()[-1] == "set()"
    assert min(seconds) < 0.4


def test_the_list_shows_typed_parameters(project: Path, capsys: Any) -> None:
    write_notebook(project / "notebooks" / "demo.ipynb", parameters="n: int | None = 1  # how many; >= 0")
    write_notebook(project / "notebooks" / "other.ipynb", parameters=None)
    code, out, _ = clinops(capsys, "list")
    assert code == 0
    assert "  n  int | None  = 1  how many (>= 0)" in out
    assert "other\n  cannot be run: Notebook 'other' has no cell tagged 'parameters'" in out
    code, out, _ = clinops(capsys, "list", "--json")
    entry = json.loads(out)[0]
    assert code == 0 and entry["parameters"] == [
        {"name": "n", "type": "int | None", "default": 1, "limits": ">= 0", "description": "how many"}
    ]


def test_check_passes_the_source_on_and_exits_by_the_verdict(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import types

    import pandas as pd

    asked = []
    for name in ("clinops.sources", "clinops.analyse.quality"):
        module = types.ModuleType(name)
        module.connect = lambda source: asked.append(source) or "connected"
        module.quality = lambda source: types.SimpleNamespace(frame=frames[0])
        monkeypatch.setitem(sys.modules, name, module)
    frames = [pd.DataFrame({"passed": [True, None]})]
    assert clinops(capsys, "check", "data/x")[0] == 0 and asked == ["data/x"]
    frames[0] = pd.DataFrame({"passed": [True, False]})
    assert clinops(capsys, "check", "data/x")[0] == 1
    frames[0] = pd.DataFrame({"count": [1]})
    assert clinops(capsys, "check", "data/x")[0] == 0


def test_simulate_writes_a_world_and_refuses_what_it_cannot_make(project: Path, capsys: Any) -> None:
    code, out, err = clinops(capsys, "simulate", "w", "--persons", "60", "--effect", "0", "--seed", "0")
    assert (code, out) == (0, f"{Path('w') / 'omop'}\n") and "60 persons" in err
    assert json.loads((project / "w" / "truth.json").read_text())["knobs"]["effect"] == 0
    code, out, err = clinops(capsys, "simulate", "w", "--persons", "60")
    assert code == 2 and out == "" and "not empty" in err
    code, _, err = clinops(capsys, "simulate", "v", "--effect", "9")
    assert code == 2 and "effect" in err and not (project / "v").exists()
    assert clinops(capsys, "simulate", "w", "--persons", "50", "--replace")[0] == 0
    waves = ("--waves", "2", "--holdout-clinics", "4", "--ramp", "30")
    assert clinops(capsys, "simulate", "r", "--persons", "60", *waves)[0] == 0
    assert (project / "r" / "truth_clinics.parquet").is_file() and not (
        project / "w" / "truth_clinics.parquet"
    ).exists()
    code, _, err = clinops(capsys, "simulate", "q", "--waves", "20", "--holdout-clinics", "10")
    assert code == 2 and "together at most 24" in err


# --- another distribution of our name ------------------------------------------------------------


def distribution(site: Path, name: str, *files: str) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in files))


def test_a_clash_of_the_import_name_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    distribution(tmp_path, "clinops_kit", "clinops/__init__.py")
    distribution(tmp_path, "harmless", "harmless/clinops/x.py", "notclinops/x.py")
    refuse_clash([str(tmp_path)])
    distribution(tmp_path, "Clin.Other", "other/x.py", "clinops/__init__.py")
    assert owners([str(tmp_path), str(tmp_path / "none"), ""]) == ["clin-other", "clinops-kit"]
    with pytest.raises(ClashError, match="pip uninstall clin-other"):
        refuse_clash([str(tmp_path)])
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = clinops(capsys, "list")
    assert code == 2 and "clin-other" in err and "clinops-kit" in err


def test_a_distribution_of_the_very_name_counts_even_without_files(tmp_path: Path) -> None:
    distribution(tmp_path, "clinops")
    with pytest.raises(ClashError):
        refuse_clash([str(tmp_path)])


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:hush@h/db", "postgresql://me:***@h/db"),
        ("postgresql://me@h/db", "postgresql://me@h/db"),
        ("host=h password=hush user=me", "host=h password=*** user=me"),
        ("postgresql://h/db?user=me&password=hush&x=1", "postgresql://h/db?user=me&password=***&x=1"),
        ("ratio 3:4 at me@example.org", "ratio 3:4 at me@example.org"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
    ],
)
def test_passwords_are_taken_out_and_nothing_else(text: str, expected: str) -> None:
    assert scrub(text) == expected
    assert holds_secret([text]) == (text != expected)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`clinops list | head -1`: the pipe is closed long before the list is written."""
    command = [sys.executable, "-m", "clinops", "list"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
        assert running.wait(timeout=60) == 0 and said == ""
