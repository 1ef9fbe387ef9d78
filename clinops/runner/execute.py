"""Executing a notebook, and saying truthfully how it ended.

papermill runs the cells. Its own record is not believed: it saves a notebook whose kernel was killed
as completed, cells that never ran included. Here a run is good when nothing was raised *and* every code
cell carries an execution count and no error.
"""

from __future__ import annotations

import copy
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clinops.runner.kernel import Kernel, private_kernel
from clinops.runner.kinds import Value
from clinops.runner.notebooks import TAG, Notebook, source_of, tags_of
from clinops.runner.secret import scrub

INJECTED = "injected-parameters"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Failure:
    """Why a run is not a success.

    `kind` is one of error (a cell raised), killed (the kernel died), timeout, interrupted, incomplete
    (cells did not run, or a promised file is missing) and report (the page could not be made). `cell`
    counts the cells of the notebook as it is in its file, from 1; `line` is a line of that cell.
    """

    kind: str
    message: str
    cell: int | None = None
    line: int | None = None
    source: str = ""
    detail: str = ""

    def __str__(self) -> str:
        where = f"cell {self.cell}" if self.cell else ""
        if self.line:
            where += f", line {self.line}"
        if self.source:
            where += f": {self.source}"
        return f"{self.message}" + (f"\n  in {where}" if where else "")


@dataclass
class Outcome:
    """How an execution ended: the executed notebook, the seconds each cell took, and any failure."""

    node: Any
    failure: Failure | None
    seconds: float
    cells: list[dict[str, Any]] = field(default_factory=list)
    peak_memory_mb: float | None = None


class Interrupted(BaseException):
    """The run was asked to end (SIGTERM)."""


def execute(
    notebook: Notebook,
    values: Mapping[str, Value],
    folder: Path,
    *,
    variables: Mapping[str, str],
    timeout: float | None = None,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Run a notebook's cells in a private kernel and return what happened.

    Parameters
    ----------
    notebook : what to run.
    values : parameter values, set in a cell of their own after the declared defaults.
    folder : where the executed notebook is written (`notebook.ipynb`).
    variables : environment variables for the kernel.
    timeout : seconds for the whole notebook; None for no limit.
    on_cell : called with (cells done, cells in all) as the run goes on.
    """
    node = prepared(notebook, values)
    started = time.monotonic()
    watch = _Watch(timeout, len(node.cells), on_cell)
    output = folder / "notebook.ipynb"
    problem: BaseException | None = None
    with private_kernel(dict(variables)) as kernel, _terminable(), watch.over(kernel):
        try:
            _papermill(node, output, notebook.workdir, kernel, watch)
        except (Exception, KeyboardInterrupt, Interrupted) as caught:
            problem = caught  # becomes the run's recorded failure; nothing goes on after it
    seconds = time.monotonic() - started
    executed = _written(output, node)
    failure = _failure(executed, problem, watch)
    cells = _timings(executed)
    _strip(executed)
    return Outcome(executed, failure, seconds, cells, _peak_memory_mb())


# --- before --------------------------------------------------------------------------------------


def prepared(notebook: Notebook, values: Mapping[str, Value]) -> Any:
    """Return a copy of the notebook with the values in a cell of their own, and stable cell ids.

    Values are written as Python literals (`repr` of plain values), names come from the declarations:
    nothing that was typed becomes code.
    """
    import nbformat

    content = copy.deepcopy(notebook.content)
    for number, cell in enumerate(content["cells"], start=1):
        cell.setdefault("id", f"cell-{number}")  # formats before 4.5 have none, and random ones change each run
        cell.setdefault("metadata", {})
        cell["source"] = source_of(cell)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    content["nbformat_minor"] = max(5, content.get("nbformat_minor", 5))
    content["cells"] = [cell for cell in content["cells"] if INJECTED not in tags_of(cell)]
    if values:
        place = next(i for i, cell in enumerate(content["cells"]) if TAG in tags_of(cell))
        content["cells"].insert(place + 1, _injection(values))
    content.setdefault("metadata", {}).pop("papermill", None)
    return nbformat.from_dict(content)


def _injection(values: Mapping[str, Value]) -> dict[str, Any]:
    source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    metadata = {"tags": [INJECTED]}
    return {
        "cell_type": "code", "id": INJECTED, "metadata": metadata,
        "source": source, "outputs": [], "execution_count": None,
    }  # fmt: skip


# --- during --------------------------------------------------------------------------------------


class _Watch:
    """Follows a run: which cell is being executed, and whether its time is up."""

    def __init__(self, timeout: float | None, total: int, on_cell: Callable[[int, int], None]) -> None:
        self.timeout, self.total, self.on_cell = timeout, total, on_cell
        self.current: str | None = None
        self.expired = False

    def cell_started(self, cell: Any, cell_index: int) -> None:
        self.current = cell.get("id")
        self.on_cell(cell_index, self.total)

    @contextmanager
    def over(self, kernel: Kernel) -> Iterator[None]:
        """Kill the kernel when the time for the whole run is over (a limit per cell would not bound it)."""
        if self.timeout is None:
            yield
            return

        def expire() -> None:
            self.expired = True
            kernel.kill()

        timer = threading.Timer(self.timeout, expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the run in an orderly way; only the main thread may set that up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _papermill(node: Any, output: Path, workdir: Path, kernel: Kernel, watch: _Watch) -> None:
    import papermill

    papermill.execute_notebook(
        node,
        str(output),
        cwd=str(workdir),
        kernel_name="python3",
        progress_bar=False,
        start_timeout=120,
        kernel_manager_class=kernel.manager_class,
        coalesce_streams=True,  # else the pieces in which output arrives differ between two runs
        on_cell_start=watch.cell_started,
    )


# --- after ---------------------------------------------------------------------------------------


def _written(output: Path, node: Any) -> Any:
    """The notebook as papermill left it, or as it was where the run died before the first save."""
    import nbformat

    executed = nbformat.read(str(output), as_version=4) if output.exists() else node
    executed.cells = [cell for cell in executed.cells if "papermill-error-cell-tag" not in tags_of(cell)]
    return executed


def numbered(node: Any) -> Iterator[tuple[int, Any]]:
    """The cells with the numbers they have in the notebook's own file; an added cell shares its neighbour's."""
    number = 0
    for cell in node.cells:
        number += INJECTED not in tags_of(cell)
        yield number, cell


def _failure(node: Any, problem: BaseException | None, watch: _Watch) -> Failure | None:
    number, cell = next(((n, c) for n, c in numbered(node) if c.get("id") == watch.current), (None, None))
    detail = "".join(traceback.format_exception(problem)) if problem else ""
    if watch.expired:
        message = f"TimeoutError: the notebook did not finish within {watch.timeout:g} seconds"
        return Failure("timeout", message, number, detail=detail)
    if isinstance(problem, KeyboardInterrupt | Interrupted):
        return Failure("interrupted", "Interrupted: the run was asked to end", number, detail=detail)
    raised = _raised(node)
    if raised:
        return raised
    if problem is not None and _kernel_died(problem):
        message = (
            "DeadKernelError: the kernel died. If nobody ended it, it most likely ran out of memory: "
            "try fewer persons or a larger machine"
        )
        return Failure("killed", message, number, source=_first_line(cell), detail=detail)
    if problem is not None:
        return Failure("error", scrub(f"{type(problem).__name__}: {problem}"), number, detail=scrub(detail))
    return _incomplete(node)


def _kernel_died(problem: BaseException) -> bool:
    from nbclient.exceptions import DeadKernelError

    return isinstance(problem, DeadKernelError) or "Kernel died" in str(problem)


def _raised(node: Any) -> Failure | None:
    """The first error that a cell shows."""
    for number, cell in numbered(node):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = _ANSI.sub("", "\n".join(output.traceback))
                line = _line_of(text, cell.execution_count)
                lines = source_of(cell).splitlines()
                source = lines[line - 1].strip() if line and line <= len(lines) else _first_line(cell)
                message = scrub(_ANSI.sub("", f"{output.ename}: {output.evalue}")).strip()
                return Failure("error", message, number, line, scrub(source), scrub(text))
    return None


def _line_of(text: str, count: int | None) -> int | None:
    """The line of the cell that the traceback of its own execution names first."""
    match = re.search(rf"In ?\[{count}\],? line (\d+)", text) or re.search(r"^-+> (\d+) ", text, re.MULTILINE)
    return int(match[1]) if match else None


def _first_line(cell: Any) -> str:
    lines = [line.strip() for line in source_of(cell or {}).splitlines() if line.strip()]
    return scrub(lines[0]) if lines else ""


def _incomplete(node: Any) -> Failure | None:
    for number, cell in numbered(node):
        if cell.cell_type == "code" and source_of(cell).strip() and cell.get("execution_count") is None:
            message = "Incomplete: the notebook ended, but this cell did not run"
            return Failure("incomplete", message, number, source=_first_line(cell))
    return None


def _timings(node: Any) -> list[dict[str, Any]]:
    """Seconds of each code cell that ran."""
    found = []
    for number, cell in numbered(node):
        seconds = cell.metadata.get("papermill", {}).get("duration")
        if cell.cell_type == "code" and seconds is not None and cell.get("execution_count") is not None:
            found.append({"cell": number, "id": cell.get("id"), "seconds": round(seconds, 3)})
    return found


def _strip(node: Any) -> None:
    """Take out what differs between two runs of the same notebook: timestamps and durations."""
    node.metadata.pop("papermill", None)
    for cell in node.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)


def _peak_memory_mb() -> float | None:
    """Peak resident memory of the largest process that we started and that has ended: the kernel."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
