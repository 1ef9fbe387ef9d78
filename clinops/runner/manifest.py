"""The record of a run: what ran, on what, with what, how it ended, and the digest of every file."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from clinops._version import __version__

VERSION = 1
DISCLOSURE = "internal, not cleared for release"
DISTRIBUTION = "clinops-kit"
PROMISED = ("report.html", "notebook.ipynb", "results.parquet", "results.csv", "protocol.json", "tables", "figures")


def software() -> dict[str, Any]:
    """What the numbers were computed with: versions and the state of the code; no host or user name."""
    return {
        "clinops": __version__,
        "python": platform.python_version(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "packages": packages(),
        **code_state(),
    }


def packages() -> dict[str, str]:
    """Installed versions of the packages that clinops depends on directly, sorted."""
    try:
        required = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = {}
    for requirement in required:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        if name and not re.search(r"extra == .(dev|lab)", requirement):  # tools, which no number depends on
            try:
                found[name[0]] = importlib.metadata.version(name[0])
            except importlib.metadata.PackageNotFoundError:
                continue  # an optional one that is not installed
    return dict(sorted(found.items()))


def code_state() -> dict[str, Any]:
    """Commit of the code and whether files differ from it; both None where it is not a git checkout."""
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "_version.py") is None:
        return {"commit": None, "dirty": None}
    changes = _git(package.parent, "status", "--porcelain", "--", "clinops", "notebooks")
    return {"commit": _git(package, "rev-parse", "HEAD"), "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or not a checkout: the record then says that the commit is unknown
    return done.stdout.strip()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder but the manifest itself, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object from a file, empty where there is no such file.

    Raises
    ------
    ValueError
        The file is there but does not hold a JSON object.
    """
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} does not hold a JSON object")
    return content


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}, which is not JSON")


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
