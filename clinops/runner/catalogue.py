"""`clinops list`: the notebooks and their typed parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinops.errors import ClinopsError
from clinops.runner.notebooks import folder_of_notebooks, load, names


def catalogue(start: Path) -> list[dict[str, Any]]:
    """Return every notebook with its title and parameters; one that cannot be run says why."""
    return [_entry(name, path, start) for name, path in names(folder_of_notebooks(start)).items()]


def _entry(name: str, path: Path, start: Path) -> dict[str, Any]:
    try:
        notebook = load(str(path), start)
    except ClinopsError as problem:
        return {"name": name, "title": name, "problem": str(problem), "parameters": []}
    parameters = [
        {
            "name": parameter.name,
            "type": str(parameter.kind),
            "default": parameter.default,
            "limits": parameter.limits,
            "description": parameter.description,
        }
        for parameter in notebook.parameters.values()
    ]
    return {"name": name, "title": notebook.title, "parameters": parameters}


def as_text(entries: list[dict[str, Any]]) -> str:
    """The catalogue as an aligned text table."""
    blocks = []
    for entry in entries:
        head = entry["name"] + ("" if entry["title"] == entry["name"] else f": {entry['title']}")
        if "problem" in entry:
            blocks.append(f"{head}\n  cannot be run: {entry['problem']}")
            continue
        rows = [_row(parameter) for parameter in entry["parameters"]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
        lines = ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        blocks.append("\n".join([head, *(lines or ["  (no parameters)"])]))
    return "\n\n".join(blocks)


def _row(parameter: dict[str, Any]) -> tuple[str, str, str, str]:
    limits = f" ({parameter['limits']})" if parameter["limits"] else ""
    return parameter["name"], parameter["type"], f"= {parameter['default']!r}", parameter["description"] + limits
