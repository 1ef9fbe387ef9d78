"""reports/index.html: every report in a folder, with its title, date, data, verdicts and failed checks.

Reads `manifest.json` (by this runner) and `summary.json` (by the library, where the notebook wrote one: `title`,
`data`, `synthetic`, `cleared`, `verdicts` as {label, text, status}, `failed_checks` as texts; or a `banner`).
The page needs no other file and no network, and everything read from a file is escaped.
"""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAGE = "index.html"


@dataclass(frozen=True)
class Line:
    """One report as the index shows it."""

    run_id: str
    title: str
    href: str | None
    date: str
    seconds: str
    notebook: str
    data: str
    banner: str
    failure: str
    verdicts: tuple[tuple[str, str, str, str], ...]  # look, label, status, text
    failed_checks: tuple[str, ...]


def write_index(folder: Path) -> Path:
    """Write the index of a folder of reports in one step, and return its path."""
    page = folder / PAGE
    fresh = folder / f".{PAGE}-{os.getpid()}"
    fresh.write_text(render_index(read_lines(folder)), encoding="utf-8")
    fresh.replace(page)
    return page


def read_lines(folder: Path) -> list[Line]:
    """Read every run in a folder, failed ones last, else by title."""
    runs = [run for run in sorted(folder.iterdir()) if (run / "manifest.json").is_file() and run.name[0] != "."]
    return sorted((_line(run) for run in runs), key=lambda line: (bool(line.failure), line.title.lower(), line.run_id))


def _line(run: Path) -> Line:
    manifest, damaged = _object(run / "manifest.json")
    summary, unreadable = _object(run / "summary.json") if (run / "summary.json").exists() else ({}, "")
    page = next((name for name in ("report.html", "notebook.ipynb") if (run / name).is_file()), None)
    failure = manifest.get("failure")
    failed = str(failure.get("message", "failed")) if isinstance(failure, dict) else damaged or unreadable
    source = manifest.get("source")
    return Line(
        run_id=run.name,
        title=str(_first(summary.get("title"), manifest.get("title"), run.name)),
        href=f"{run.name}/{page}" if page else None,
        date=_date(manifest.get("ended")),
        seconds=f"{manifest['seconds']:.0f} s" if isinstance(manifest.get("seconds"), int | float) else "",
        notebook=str(_first(_get(manifest.get("notebook"), "name"), "")),
        data=str(_first(summary.get("data"), _get(source, "label"), _get(source, "name"), "")),
        banner=_banner(summary, manifest),
        failure=failed,
        verdicts=tuple(_verdict(one) for one in _list(summary.get("verdicts")) if isinstance(one, dict)),
        failed_checks=tuple(str(check) for check in _list(summary.get("failed_checks"))),
    )


def _object(path: Path) -> tuple[dict[str, Any], str]:
    """A JSON object, or an empty one and the reason; a damaged record must show, not hide the others."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, f"{path.name} cannot be read"
    return (content, "") if isinstance(content, dict) else ({}, f"{path.name} cannot be read")


def _first(*values: Any) -> Any:
    return next((value for value in values if value), "")


def _get(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _banner(summary: dict[str, Any], manifest: dict[str, Any]) -> str:
    """The status of a report in one line; where nothing says real or synthetic, neither is claimed."""
    from clinops.render.banner import of_page

    said = summary.get("banner")
    if not said and isinstance(synthetic := summary.get("synthetic"), bool):
        said = list(of_page(synthetic, cleared=bool(summary.get("cleared"))))
    said = said or manifest.get("disclosure") or ""
    return " · ".join(str(part) for part in said) if isinstance(said, list) else str(said)


def _date(value: Any) -> str:
    try:
        return f"{datetime.datetime.fromisoformat(str(value)):%d %B %Y, %H:%M} UTC".lstrip("0")
    except ValueError:
        return "unknown date"


def _verdict(verdict: dict[str, Any]) -> tuple[str, str, str, str]:
    label, status, text = (str(verdict.get(key) or "") for key in ("label", "status", "text"))
    from clinops.render.document import STATUSES

    return STATUSES.get(status.lower(), ("", "neutral"))[1], label, status, text


def render_index(lines: list[Line]) -> str:
    """Return the page for some reports."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("index.html.j2").render(lines=lines)
