"""Progress on standard error: a bar on a terminal, plain lines elsewhere (a log, a CI job)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def say(text: str) -> None:
    """Print to standard error; standard output is for results."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def progress(label: str, unit: str = "cell") -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with (done, total) as work goes on."""
    if sys.stderr.isatty():
        with _bar(label) as update:
            yield update
        return
    started = time.monotonic()
    spoken = started

    def line(done: int, total: int) -> None:
        nonlocal spoken
        now = time.monotonic()
        if now - spoken >= 10:  # a quiet log for a short run, a sign of life every 10 s for a long one
            spoken = now
            say(f"{label}: {unit} {done} of {total} done, {now - started:.0f} s")

    yield line


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
