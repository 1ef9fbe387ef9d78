"""One run of a notebook: check everything, execute, render, and put the folder in its place whole.

    plan = prepare(Request("evaluation", {"min_age": Text("65")}))   # nothing is written yet
    folder = perform(plan)                                           # reports/evaluation-1a2b3c4d

A run works in `DIR/.running-...`, and one rename turns that into `DIR/ID`, so a report is there whole or
not at all. A run that fails ends in `DIR/ID.failed`, marked so, and leaves an earlier good report alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinops.errors import RunError
from clinops.render.documents import check as check_documents
from clinops.runner import manifest as record
from clinops.runner.execute import Failure, Outcome, execute
from clinops.runner.kinds import Value
from clinops.runner.notebooks import Notebook, load
from clinops.runner.parameters import values_for
from clinops.runner.secret import scrub, scrub_tree

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class RunFailed(RunError):
    """A run started and did not end well; what it had is kept."""


@dataclass(frozen=True)
class Request:
    """What was asked for, as it was typed.

    `start` is the folder where the command was given; `out` defaults to `reports/` in the notebook's
    project folder. `given` maps names to `Text` as written.
    """

    notebook: str
    given: Mapping[str, Any] = field(default_factory=dict)
    out: str | None = None
    run_id: str | None = None
    title: str | None = None
    jobs: int = 0
    replace: bool = False
    timeout: float | None = None
    documents: tuple[str, ...] = ()
    start: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True)
class Plan:
    """A request that passed every check that can be made before a kernel starts."""

    notebook: Notebook
    values: dict[str, Value]
    out: Path
    request: Request

    @property
    def parameters(self) -> dict[str, Value]:
        """Every parameter with the value the run uses, defaults included."""
        return {name: self.values.get(name, p.default) for name, p in self.notebook.parameters.items()}

    @property
    def jobs(self) -> int:
        return self.request.jobs or os.cpu_count() or 1


# --- before --------------------------------------------------------------------------------------


def prepare(request: Request) -> Plan:
    """Check a request completely; write nothing.

    Raises
    ------
    ParameterError
        Unknown notebook or parameter, wrong type, impossible value, missing file; a document that cannot be written.
    RunError
        Bad run id, a report of that id exists, or the output folder cannot be written.
    """
    check_documents(request.documents)
    notebook = load(request.notebook, request.start)
    values = values_for(notebook.parameters, request.given, notebook.name, request.start, notebook.workdir)
    out = request.start / request.out if request.out else notebook.workdir / "reports"
    _check_out(out)
    if request.run_id is not None:
        _check_id(request.run_id)
        _check_free(out / request.run_id, request.replace)
    return Plan(notebook, values, out, request)


def _check_id(run_id: str) -> None:
    if not _SLUG.fullmatch(run_id) or run_id.endswith((".failed", ".")):
        raise RunError(
            f"{run_id!r} cannot be a run id: use letters, digits, '.', '_' and '-', starting with a letter or "
            "digit, at most 100, not ending in '.failed'."
        )


def _check_out(out: Path) -> None:
    """The nearest existing folder on the way to the output folder must be a folder that we may write."""
    place = out
    while not place.exists() and not place.is_symlink() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise RunError(f"Cannot write to {str(out)!r}: {str(place)!r} is a file, not a folder. Choose another --out.")
    if not os.access(place, os.W_OK | os.X_OK):
        raise RunError(f"Cannot write to {str(out)!r}: no permission in {str(place)!r}. Choose another --out.")


def _check_free(target: Path, replacing: bool) -> None:
    if not target.exists():
        return
    if not replacing:
        raise RunError(f"{str(target)!r} exists. Use --replace to replace it, or give another --run-id.")
    ours = target.is_dir() and ((target / "manifest.json").is_file() or not any(target.iterdir()))
    if not ours:
        raise RunError(f"{str(target)!r} is not a report (no manifest.json), so --replace leaves it alone.")


# --- the run -------------------------------------------------------------------------------------


def perform(plan: Plan, on_cell: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Run a plan and return the folder of its report.

    Raises
    ------
    RunFailed
        The notebook failed; says the cell, the error and where the remains are.
    RunError
        A report of the same id exists, which could only be known after the run.
    """
    made = _make_folder(plan.out)
    work = plan.out / f".running-{secrets.token_hex(6)}"
    try:
        try:
            work.mkdir()
        except OSError as problem:
            raise RunError(f"Cannot write to {str(plan.out)!r}: {problem.strerror}.") from problem
        return _perform(plan, work, on_cell)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # renamed away where all went well
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()


def _make_folder(out: Path) -> list[Path]:
    """Make a folder and its parents; return those that were not there, innermost first."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"Cannot make the output folder {str(out)!r}: {problem.strerror}.") from problem
    return missing


def _perform(plan: Plan, work: Path, on_cell: Callable[[int, int], None]) -> Path:
    started = record.now()
    variables = {
        "CLINOPS_RUN_DIR": str(work.absolute()),
        "CLINOPS_JOBS": str(plan.jobs),
        "CLINOPS_NOTEBOOK": plan.notebook.name,
        "CLINOPS_DOCUMENTS": ",".join(plan.request.documents),
    }
    outcome = execute(
        plan.notebook, plan.values, work, variables=variables, timeout=plan.request.timeout, on_cell=on_cell
    )
    outcome.node = scrub_tree(outcome.node)
    failure = outcome.failure or _incomplete(work, plan.request.documents)
    _retitle(work / "summary.json", plan.request.title)
    run_id, protocol_hash = _identify(plan, work)
    target = plan.out / run_id
    if failure is None:
        _check_free(target, plan.request.replace)
    manifest = _manifest(plan, run_id, protocol_hash, outcome, started, work)
    if failure is None:
        failure = _render(outcome.node, manifest, work)
    _finish(outcome.node, manifest, failure, work)
    if failure is not None:
        kept = _keep_failed(work, plan.out / f"{run_id}.failed")
        raise RunFailed(f"Notebook {plan.notebook.name!r} failed. {failure}\n  what it had is in {kept}")
    _place(work, target, plan.request.replace)
    shutil.rmtree(plan.out / f"{run_id}.failed", ignore_errors=True)  # superseded
    return target


def _incomplete(work: Path, asked: tuple[str, ...]) -> Failure | None:
    """A run that wrote its protocol has promised results; one that made no library call has not."""
    absent = [name for name in asked if (work / "results.parquet").exists() and not (work / f"report.{name}").exists()]
    if absent:
        return Failure("incomplete", f"Incomplete: report.{absent[0]} was asked for and not written")
    if (work / "protocol.json").exists() and not (work / "results.parquet").exists():
        return Failure("incomplete", "Incomplete: the notebook wrote a protocol but no results (results.parquet)")
    for name in ("protocol.json", "source.json", "summary.json"):
        try:
            record.read_json(work / name)
        except ValueError as problem:
            return Failure("incomplete", f"Incomplete: {name} cannot be read back: {problem}")
    return None


def _retitle(summary: Path, title: str | None) -> None:
    """A title that was asked for stands everywhere, above the one that the library gave."""
    if title and (said := _read(summary)):
        summary.write_text(json.dumps({**said, "title": title}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of the run, empty where a failure (reported by itself) left it missing or cut short."""
    try:
        return record.read_json(path)
    except ValueError:
        return {}


def _identify(plan: Plan, work: Path) -> tuple[str, str | None]:
    """The run's id, and the hash of its protocol where it wrote one."""
    protocol_hash = _read(work / "protocol.json").get("hash")
    if plan.request.run_id:
        return plan.request.run_id, protocol_hash
    content = json.dumps([plan.notebook.digest, plan.parameters], sort_keys=True)
    digest = str(protocol_hash or hashlib.sha256(content.encode()).hexdigest()).rpartition(":")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plan.notebook.name).strip(".-") or "run"
    return f"{name}-{re.sub('[^0-9A-Za-z]', '', digest)[:8]}", protocol_hash


def _manifest(
    plan: Plan, run_id: str, protocol_hash: str | None, outcome: Outcome, started: str, work: Path
) -> dict[str, Any]:
    source = work / "source.json"
    content = {
        "manifest_version": record.VERSION,
        "run_id": run_id,
        "title": _read(work / "summary.json").get("title") or plan.request.title or plan.notebook.title,
        "status": "failed" if outcome.failure else "ok",
        "disclosure": record.DISCLOSURE,
        "notebook": {"name": plan.notebook.name, "sha256": plan.notebook.digest},
        "parameters": _scrubbed(plan.parameters),
        "protocol_hash": protocol_hash,
        "source": _read(source) or None,
        "software": record.software(),
        "started": started,
        "ended": record.now(),
        "seconds": round(outcome.seconds, 2),
        "peak_memory_mb": outcome.peak_memory_mb,
        "cells": outcome.cells,
    }
    source.unlink(missing_ok=True)  # its content is in the manifest now
    return content


def _scrubbed(parameters: dict[str, Value]) -> dict[str, Any]:
    return {name: scrub(value) if isinstance(value, str) else value for name, value in parameters.items()}


def _render(node: Any, manifest: dict[str, Any], work: Path) -> Failure | None:
    """Write report.html; an error of the page is a failure of the run, with its trace kept."""
    from clinops.render.document import context_from, render

    summary = {"title": manifest["title"], **_read(work / "summary.json")}
    made = {"run_id": manifest["run_id"], "version": manifest["software"]["clinops"]}
    try:
        # The day, not the second: a second run on the same day gives the same page.
        page = render(node, context_from(summary, date=manifest["ended"][:10], **made))
    except Exception as problem:
        message = f"The report page could not be made: {type(problem).__name__}: {problem}"
        return Failure("report", scrub(message), detail=scrub(traceback.format_exc()))
    (work / "report.html").write_text(page, encoding="utf-8")
    return None


def _finish(node: Any, manifest: dict[str, Any], failure: Failure | None, work: Path) -> None:
    """Write the executed notebook and the manifest, which comes last because it holds the digests."""
    import nbformat

    if failure is not None:
        manifest["status"] = "failed"
        manifest["failure"] = {
            "kind": failure.kind, "message": failure.message, "cell": failure.cell,
            "line": failure.line, "source": failure.source,
        }  # fmt: skip
        node.metadata["clinops"] = {"status": "failed", "message": failure.message}
        (work / "error.txt").write_text(f"{failure}\n\n{failure.detail}", encoding="utf-8")
    (work / "notebook.ipynb").write_text(nbformat.writes(node) + "\n", encoding="utf-8")
    manifest["produced"] = {name: (work / name).exists() for name in record.PROMISED}
    manifest["files"] = record.digests(work)
    record.write_json(work / "manifest.json", manifest)


# --- putting the folder in its place -------------------------------------------------------------


def _place(work: Path, target: Path, replacing: bool) -> None:
    """Rename the finished folder to its name; an old report is moved aside first and removed last."""
    old = target.with_name(f".replaced-{secrets.token_hex(6)}")
    if replacing and target.exists():
        target.rename(old)
    try:
        work.rename(target)
    except OSError as problem:
        if old.exists():
            old.rename(target)
        raise RunError(f"Cannot put the report at {str(target)!r}: {problem.strerror}.") from problem
    shutil.rmtree(old, ignore_errors=True)


def _keep_failed(work: Path, target: Path) -> Path:
    """Move what a failed run had to ID.failed, in place of what an earlier failure left there."""
    if target.is_dir():
        shutil.rmtree(target)
    work.rename(target)
    return target
