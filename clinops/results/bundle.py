"""The bundle: everything a run leaves behind, protected at this one exit and the same bytes every time."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.define.base import slug
from clinops.errors import DataError, RunError
from clinops.results.csvfile import text_of
from clinops.results.disclosure import protect
from clinops.results.front import FrontPage
from clinops.results.result import Result
from clinops.results.schema import estimates as typed
from clinops.results.schema import validate

if TYPE_CHECKING:
    import pandas as pd

#: Until disclosure control has been reviewed for release, no bundle may leave the organisation.
STAMP = "internal, not cleared for release"


def write(
    folder: str | Path,
    *,
    results: Sequence[Result | FrontPage],
    estimates: pd.DataFrame | None,
    protocol: Any,
    source_identity: Mapping[str, Any],
    summary: Mapping[str, Any],
    lint: Sequence[Mapping[str, Any]] = (),
    min_cell: int = 11,
    page: FrontPage | None = None,
    documents: Sequence[str] = (),
) -> Path:
    """Write results, tables, figures, protocol and summary of a run into a folder.

    Parameters
    ----------
    folder : where; made where it is not there. Give a temporary folder and move it when all is done.
    results : every exhibit, with distinct names; front pages give their results.
    estimates : the long frame (`clinops.results.schema`); None writes an empty one.
    protocol : a definition, or its JSON values.
    source_identity : what `Source.identity` says, without paths or passwords.
    summary : title, data, date_range, synthetic, verdicts (label, text, status) and what else is known.
    lint : findings of the protocol, as JSON values.
    min_cell : the smallest count shown.
    page : the first page, which documents open with.
    documents : "docx" and "pdf": the exhibits once more as report.docx and report.pdf.

    Returns
    -------
    The folder, holding results.parquet, results.csv, protocol.json, source.json, summary.json,
    tables/<name>.csv and .html, figures/<name>.svg and .png, and the documents that were asked for.

    Raises
    ------
    DataError
        Two exhibits of one name, estimates that are not the long schema, or an identity with a path.
    RunError
        The folder cannot be made or written.
    """
    target = Path(folder)
    frame = typed([]) if estimates is None else estimates
    validate(frame)
    *shown, frame = protect((*results, frame), min_cell)
    exhibits = _by_name(shown)
    _make(target, target / "tables", target / "figures")
    _parquet(frame, target / "results.parquet")
    _put(target / "results.csv", text_of(frame, spreadsheet_safe=True))
    for name, result in exhibits.items():
        _exhibit(target, name, result)
    first = None if page is None else protect(page, min_cell)
    _documents(target, str(summary.get("title", "")), first, tuple(exhibits.values()), documents)
    _put(target / "protocol.json", _json(_protocol(protocol, lint)))
    _put(target / "source.json", _json(_without_paths(source_identity)))
    _put(target / "summary.json", _json({"disclosure": STAMP, **summary}))
    return target


def _make(*folders: Path) -> None:
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"Cannot write to {folders[0]}: {problem.strerror}. Choose another folder.") from None


def _by_name(items: Sequence[Any]) -> dict[str, Result]:
    """Return the exhibits by file name; the same result on the front page and in the text counts once."""
    flat = [part for item in items for part in (item.results if isinstance(item, FrontPage) else (item,))]
    found: dict[str, Result] = {}
    for result in flat:
        name = slug(result.name)
        if name in found and found[name].to_csv() != result.to_csv():
            raise DataError(f"Two different exhibits are called {name!r}; one would overwrite the other.")
        found.setdefault(name, result)
    return found


def _exhibit(target: Path, name: str, result: Result) -> None:
    """Write one exhibit: its numbers, its table as a page, its figure in two formats."""
    # What shows results stands after results on the road, so it is looked up by name.
    exhibit = importlib.import_module("clinops.render.exhibit")
    _put(target / "tables" / f"{name}.csv", str(result.to_csv(spreadsheet_safe=True)))
    _put(target / "tables" / f"{name}.html", exhibit.table_page(result, STAMP))
    if result.figure is not None:
        figures = importlib.import_module("clinops.render.figures")
        drawn = figures.draw(result.figure, banner=result.banner)
        (target / "figures" / f"{name}.svg").write_bytes(figures.svg(drawn))
        (target / "figures" / f"{name}.png").write_bytes(figures.png(drawn))


def _documents(
    target: Path, title: str, page: FrontPage | None, exhibits: tuple[Result, ...], formats: Sequence[str]
) -> None:  # fmt: skip
    """Write the report in other formats, from the same exhibits."""
    if not formats:
        return
    documents = importlib.import_module("clinops.render.documents")
    made = importlib.import_module("clinops.render.documents.blocks").blocks(title, STAMP, page, exhibits)
    for name in documents.check(formats):
        (target / f"report.{name}").write_bytes(documents.write(name, made))


def _protocol(protocol: Any, lint: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if isinstance(protocol, Mapping):
        return {"hash": protocol.get("hash"), "protocol": dict(protocol), "lint": [dict(one) for one in lint]}
    said = None if protocol is None else protocol.to_dict()
    return {
        "hash": None if protocol is None else protocol.hash, "protocol": said,
        "lint": [dict(one) for one in lint],
    }  # fmt: skip


def _without_paths(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse an identity that names a place on this machine: the bundle travels."""
    for name, value in identity.items():
        if isinstance(value, str) and (Path(value).is_absolute() or "\\" in value):
            raise DataError(f"The source's identity has a path under {name!r}; give a name without folders.")
    return dict(identity)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n"


def _put(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
