"""Each notebook run once through the command line, as a user would; the tests read what it left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clinops.runner.cli import main
from clinops.worlds import write

ROOT = Path(__file__).parent.parent.parent
GIBLEED = ROOT / "data" / "gibleed"
PROTOCOLS = ROOT / "data" / "protocols"

Run = Callable[..., Path]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run a notebook by its name with parameters; return the folder of its report."""

    def run(notebook: str, run_id: str, **parameters: object) -> Path:
        out = tmp_path_factory.mktemp("reports")
        given = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
        path = str(ROOT / "notebooks" / f"{notebook}.ipynb")
        assert main(["run", path, *given, "--out", str(out), "--run-id", run_id, "--jobs", "1"]) == 0
        return out / run_id

    return run


@pytest.fixture(scope="session")
def gibleed_report(run: Run) -> Path:
    return run("evaluation", "gibleed")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated programme with its truth."""
    folder = tmp_path_factory.mktemp("world") / "demo"
    write(folder, persons=4000, seed=7)
    return folder


@pytest.fixture(scope="session")
def programme_report(run: Run, world: Path) -> Path:
    return run(
        "evaluation", "programme", source=world / "omop", truth=world / "truth.parquet",
        protocol=PROTOCOLS / "remote_care_programme.json",
    )  # fmt: skip
