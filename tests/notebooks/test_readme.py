"""The cell in the README does what it says, on the records it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebooks.conftest import ROOT

pytestmark = [pytest.mark.notebook, pytest.mark.xdist_group("notebooks")]


def test_the_cell_of_the_readme_runs(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert cell
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(world)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(cell.group(1), "README.md", "exec"), names)
    study = names["study"]
    assert study.attrition.frame["persons"].min() > 0  # type: ignore[attr-defined]
    effects = study.effects.frame.set_index("role")  # type: ignore[attr-defined]
    assert effects.loc["primary", "difference_estimate"].notna().all()  # deaths may be too few to show
    assert not study.findings.errors  # type: ignore[attr-defined]
