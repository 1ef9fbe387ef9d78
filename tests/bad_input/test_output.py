"""Output folders that cannot be written: said before anything runs, and nothing is left behind."""

from __future__ import annotations

import json
import os

import pytest

from clinops.errors import ClinopsError, RunError
from clinops.runner.cli import main
from clinops.runner.run import Request, prepare
from tests.bad_input.support import records

CELL = {"id": "a", "cell_type": "code", "execution_count": None, "outputs": [], "source": "n: int = 1  # a number"}
NOTEBOOK = {
    "cells": [CELL | {"metadata": {"tags": ["parameters"]}}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip
ROOT = os.geteuid() == 0


@pytest.fixture
def notebook(tmp_path):
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    path = folder / "one.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    return path


def closed(tmp_path):
    folder = tmp_path / "closed"
    folder.mkdir()
    folder.chmod(0o500)
    return folder


def test_a_file_in_the_place_of_the_folder(tmp_path, notebook):
    (tmp_path / "taken").write_text("x")
    for out in ("taken", "taken/reports"):
        with pytest.raises(RunError) as raised:
            prepare(Request(str(notebook), out=out, start=tmp_path))
        message = str(raised.value)
        assert f"Cannot write to '{tmp_path / out}'" in message
        assert f"'{tmp_path / 'taken'}' is a file, not a folder. Choose another --out." in message
    assert (tmp_path / "taken").read_text() == "x"


def test_a_folder_without_permission(tmp_path, notebook, monkeypatch):
    folder = closed(tmp_path)
    if ROOT:  # whom no permission stops; the question is asked all the same
        monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    with pytest.raises(RunError, match=r"no permission in '.*closed'\. Choose another --out\."):
        prepare(Request(str(notebook), out="closed/reports", start=tmp_path))
    assert list(folder.iterdir()) == []


def test_the_command_line_says_so_and_exits_with_2(tmp_path, notebook, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("x")
    assert main(["run", str(notebook), "--out", "taken"]) == 2
    assert "is a file, not a folder. Choose another --out." in " ".join(capsys.readouterr().err.split())
    assert main(["simulate", "taken/world", "--persons", "10"]) == 2
    assert "Cannot write to" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["project", "taken"]


def test_a_study_written_by_hand_into_a_place_that_cannot_be(study_of, tmp_path):
    (tmp_path / "taken").write_text("x")
    study = study_of(records())
    with pytest.raises(ClinopsError, match=r"Cannot write to .*taken.*Choose another folder"):
        study.write(tmp_path / "taken" / "out")
    assert (tmp_path / "taken").read_text() == "x"
