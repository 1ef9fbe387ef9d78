"""The cells in the README do what they say, on the records they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.notebooks.conftest import ROOT

pytestmark = pytest.mark.notebook


def test_the_cells_of_the_readme_run(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(cells) == 2
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo").symlink_to(world)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "README.md", "exec"), names)
    study = names["study"]
    assert study.attrition.frame["persons"].min() > 0  # type: ignore[attr-defined]
    effects = study.effects.frame.set_index("role")  # type: ignore[attr-defined]
    assert effects.loc["primary", "difference_estimate"].notna().all()  # deaths may be too few to show
    money = names["costs"].money.frame  # type: ignore[attr-defined]
    assert money["line"].tolist() == ["Gross saving on care", "Programme fee"]  # this protocol states no fee
    assert not study.findings.errors  # type: ignore[attr-defined]
