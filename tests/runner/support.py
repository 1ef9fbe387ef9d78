"""Making small notebooks and reading what their runs left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clinops.runner.cli import main


def write_notebook(path: Path, *cells: str, parameters: str | None = "n: int = 1") -> Path:
    """Write a notebook of code cells, the first of them the parameters; None for no such cell."""
    sources = [(parameters, ["parameters"])] if parameters is not None else []
    sources += [(cell, []) for cell in cells]
    content = {
        "cells": [
            {
                "cell_type": "code", "id": f"c{i}", "metadata": {"tags": tags} if tags else {},
                "source": source, "outputs": [], "execution_count": None,
            }
            for i, (source, tags) in enumerate(sources)
        ],
        "metadata": {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def clinops(capsys: Any, *arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit code, standard output and standard error."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def printed(folder: Path) -> str:
    """Everything that the cells of an executed notebook printed."""
    content = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))
    outputs = [output for cell in content["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", "")) for output in outputs)


def tree(folder: Path) -> set[str]:
    """Every file and folder under a folder, by relative path."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else set()
