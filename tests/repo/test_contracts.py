"""What the tools say of the code: imports go one way, the style is one, the types of the public API hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.files import ROOT

TOOLS = {
    "imports": ["lint-imports"],
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
}


@pytest.mark.parametrize("what", TOOLS)
def test_the_tools_are_content(what: str) -> None:
    name, *options = TOOLS[what]
    tool = Path(sys.executable).parent / name
    ran = subprocess.run([str(tool), *options], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, f"{name} {' '.join(options)}\n{ran.stdout[-6000:]}{ran.stderr[-2000:]}"
