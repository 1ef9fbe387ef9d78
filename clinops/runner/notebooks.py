"""Finding notebooks, and reading what a run needs of them without executing anything."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinops.errors import ParameterError, RunError, unknown
from clinops.runner.parameters import Parameter, declared

FOLDER = "notebooks"
TAG = "parameters"


@dataclass(frozen=True)
class Notebook:
    """A notebook file as it will be run.

    `workdir` is the folder its code runs in: the project folder (the one that holds `notebooks/`) for
    a notebook in `notebooks/`, else the folder where the command was given. `digest` is the SHA-256 of
    its cells' sources, which ignores outputs and metadata.
    """

    name: str
    path: Path
    workdir: Path
    content: dict[str, Any]
    parameters: dict[str, Parameter]
    digest: str

    @property
    def title(self) -> str:
        """The first heading of the notebook, or its name."""
        for cell in self.content["cells"]:
            if cell["cell_type"] == "markdown":
                for line in source_of(cell).splitlines():
                    if line.startswith("#"):
                        return line.lstrip("# ").strip()
        return self.name


def source_of(cell: dict[str, Any]) -> str:
    """The source of a cell, which the format allows as one string or as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: dict[str, Any]) -> list[str]:
    return list(cell.get("metadata", {}).get("tags", []))


# --- finding -------------------------------------------------------------------------------------


def folder_of_notebooks(start: Path) -> Path | None:
    """Return the `notebooks/` folder that commands given in `start` mean.

    Looked for in the current folder and upward; then beside the package (a checkout that is installed
    editable); then inside the installed package.
    """
    import clinops

    package = Path(clinops.__file__).resolve().parent
    places = [folder / FOLDER for folder in (start, *start.parents)]
    places += [package.parent / FOLDER, package / "_notebooks"]
    return next((place for place in places if any(place.glob("*.ipynb"))), None)


def names(folder: Path | None) -> dict[str, Path]:
    """Name to path of every notebook in a folder, sorted."""
    return {path.stem: path for path in sorted(folder.glob("*.ipynb"))} if folder else {}


def find(given: str, start: Path) -> Path:
    """Return the path of the notebook that a name or a path means.

    Raises
    ------
    ParameterError
        No such notebook; names the nearest.
    """
    if given.endswith(".ipynb") or "/" in given or "\\" in given:
        path = start / given
        if path.is_file() and path.suffix == ".ipynb":
            return path.resolve()
        beside = names(path.parent) if path.parent.is_dir() else {}
        raise ParameterError(unknown("notebook", given, [f"{name}.ipynb" for name in beside]))
    known = names(folder_of_notebooks(start))
    if given not in known:
        raise ParameterError(unknown("notebook", given, known, "Give one of these names, or a path to an .ipynb file."))
    return known[given].resolve()


def workdir_of(path: Path, start: Path) -> Path:
    """The folder a notebook runs in."""
    return path.parent.parent if path.parent.name == FOLDER else start.resolve()


# --- reading -------------------------------------------------------------------------------------


def load(given: str, start: Path) -> Notebook:
    """Find and read a notebook, and check that its parameters can be understood.

    Raises
    ------
    ParameterError
        There is no such notebook, or its parameters cell is missing, doubled or malformed.
    RunError
        The file is not a notebook that we can run.
    """
    path = find(given, start)
    content = _content(path)
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code" and TAG in tags_of(cell)]
    if len(cells) != 1:
        count = "no cell" if not cells else f"{len(cells)} cells"
        raise ParameterError(
            f"Notebook {path.stem!r} has {count} tagged {TAG!r}; it needs exactly one, which declares what a run "
            f'may set. In JupyterLab: select the cell, Property Inspector, Cell Tags, add "{TAG}".'
        )
    try:
        parameters = declared(source_of(cells[0]))
    except ParameterError as problem:
        raise ParameterError(f"Notebook {path.stem!r}: {problem}.") from problem
    return Notebook(path.stem, path, workdir_of(path, start), content, parameters, _digest(content))


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise RunError(f"{path.name} cannot be read as a notebook: {problem}") from problem
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, list) or content.get("nbformat") != 4:
        raise RunError(f"{path.name} is not a notebook of format 4; open it in JupyterLab and save it again.")
    if not all(isinstance(cell, dict) and "cell_type" in cell for cell in cells):
        raise RunError(f"{path.name} holds a cell without a type; it is damaged.")
    language = content.get("metadata", {}).get("kernelspec", {}).get("language", "python")
    if language != "python":
        raise RunError(f"{path.name} is a {language} notebook; only Python notebooks can be run.")
    return content


def _digest(content: dict[str, Any]) -> str:
    sources = [[cell["cell_type"], source_of(cell)] for cell in content["cells"]]
    return hashlib.sha256(json.dumps(sources, ensure_ascii=False).encode()).hexdigest()
