"""`clinops report`: the runs listed in notebooks/report.yaml, several at a time, and an index of them.

    runs:
      - notebook: evaluation
        run_id: gibleed                # optional; the folder under reports/
        title: Celecoxib v diclofenac  # optional; the notebook's heading otherwise
        parameters:                    # optional; read by their declared types
          source: data/gibleed

Each run is a process of its own (`python -m clinops run ...`), so none can disturb another. Reports of the
same id are replaced. The whole list is checked before the first one starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinops.errors import ParameterError, unknown
from clinops.runner.kinds import Text
from clinops.runner.notebooks import folder_of_notebooks
from clinops.runner.progress import progress, say
from clinops.runner.run import Plan, Request, prepare
from clinops.runner.yamlfile import read_mapping

LIST = "report.yaml"
_KEYS = ("notebook", "run_id", "title", "parameters")


@dataclass(frozen=True)
class Listed:
    """One checked entry of the list."""

    label: str
    plan: Plan


def report(listing: Path | None, out: str | None, jobs: int) -> bool:
    """Run every entry of a list and write the index; return whether all went well.

    Parameters
    ----------
    listing : the list; None for `notebooks/report.yaml` of the project.
    out : folder of the reports; None for `reports/` of the project.
    jobs : runs at a time; 0 for one per core.

    Raises
    ------
    ParameterError, RunError
        Something in the list is wrong; nothing was run.
    """
    from clinops.runner.index import write_index

    entries = read_list(listing or _default_list(), out)
    folder = entries[0].plan.out
    at_once = min(jobs or os.cpu_count() or 1, len(entries))
    share = max(1, (os.cpu_count() or 1) // at_once)
    started = time.monotonic()
    good = 0
    with ThreadPoolExecutor(at_once) as pool, progress("report", "run") as update:
        waiting = {pool.submit(_run, entry, share): entry for entry in entries}
        for done, future in enumerate(as_completed(waiting), start=1):
            passed, seconds, message = future.result()
            good += passed
            say(f"{waiting[future].label}: {'done' if passed else 'FAILED'} in {seconds:.1f} s{message}")
            update(done, len(entries))
    print(write_index(folder))
    say(f"{good} of {len(entries)} runs done in {time.monotonic() - started:.1f} s")
    return good == len(entries)


def _default_list() -> Path:
    folder = folder_of_notebooks(Path.cwd())
    if folder is None or not (folder / LIST).is_file():
        raise ParameterError(f"There is no notebooks/{LIST} in {Path.cwd()} or above it; give one with --list.")
    return folder / LIST


def read_list(listing: Path, out: str | None) -> list[Listed]:
    """Read and check a list of runs."""
    content = read_mapping(listing)
    runs = content.get("runs")
    if set(content) != {"runs"} or not isinstance(runs, list) or not runs:
        raise ParameterError(f"{listing} must hold one list, `runs:`, of entries with {', '.join(_KEYS)}.")
    start = listing.resolve().parent
    start = start.parent if start.name == "notebooks" else start
    entries = [_entry(run, number, listing, out, start) for number, run in enumerate(runs, start=1)]
    ids = [entry.plan.request.run_id for entry in entries if entry.plan.request.run_id]
    twice = sorted({run_id for run_id in ids if ids.count(run_id) > 1})
    if twice:
        raise ParameterError(f"{listing} gives the run id {twice[0]!r} to two runs.")
    return entries


def _entry(run: Any, number: int, listing: Path, out: str | None, start: Path) -> Listed:
    where = f"{listing}, run {number}"
    if not isinstance(run, dict) or not isinstance(run.get("notebook"), Text):
        raise ParameterError(f"{where}: an entry needs at least `notebook: NAME`.")
    for key in run:
        if key not in _KEYS:
            raise ParameterError(f"{where}: {unknown('key', key, _KEYS)}")
    words = {key: run[key].text for key in ("notebook", "run_id", "title") if _is_word(run.get(key), key, where)}
    parameters = run.get("parameters", {})
    if isinstance(parameters, Text) and parameters.null:
        parameters = {}
    if not isinstance(parameters, dict):
        raise ParameterError(f"{where}: `parameters` must hold lines of `name: value`.")
    folder = None if out is None else str(Path(out).absolute())
    request = Request(given=parameters, out=folder, replace=True, start=start, **words)
    try:
        plan = prepare(request)
    except ParameterError as problem:
        raise ParameterError(f"{where}: {problem}") from problem
    return Listed(words.get("run_id", words["notebook"]), plan)


def _is_word(value: Any, key: str, where: str) -> bool:
    if value is None or (isinstance(value, Text) and value.null):
        return False
    if not isinstance(value, Text):
        raise ParameterError(f"{where}: `{key}` must be a word or a sentence.")
    return True


def _run(entry: Listed, share: int) -> tuple[bool, float, str]:
    """Run one entry as a process of its own; return whether it went well, its seconds and its message."""
    plan, request = entry.plan, entry.plan.request
    started = time.monotonic()
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as values:
        json.dump(plan.values, values)
        values.flush()
        command = [sys.executable, "-m", "clinops", "run", str(plan.notebook.path), "--replace"]
        command += ["-f", values.name, "--out", str(plan.out), "--jobs", str(share)]
        command += [f"--run-id={request.run_id}"] if request.run_id else []
        command += [f"--title={request.title}"] if request.title else []
        done = subprocess.run(command, cwd=plan.notebook.workdir, capture_output=True, text=True, check=False)
    message = "" if done.returncode == 0 else "\n" + "\n".join(f"  {line}" for line in done.stderr.splitlines())
    return done.returncode == 0, time.monotonic() - started, message
