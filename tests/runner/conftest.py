from __future__ import annotations

import importlib.util
import os
import sys
import types
from pathlib import Path

import pytest

STAND_IN = """
import sys, types
page = types.ModuleType("clinops.render.document")
page.render = lambda node, context: "<!doctype html><title>" + context["run_id"] + "</title>"
sys.modules["clinops.render.document"] = page
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder with notebooks/, which is the current folder."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def page(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the report page, here and in processes started here, while there is none."""
    if importlib.util.find_spec("clinops.render.document") is not None:
        return
    module = types.ModuleType("clinops.render.document")
    module.render = lambda node, context: f"<!doctype html><title>{context['run_id']}</title>"
    monkeypatch.setitem(sys.modules, "clinops.render.document", module)
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
