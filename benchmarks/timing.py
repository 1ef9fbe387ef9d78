"""Time two ways of computing one thing, in turn, on the same machine, in one run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from typing import Any

ROUNDS = 5


def versus(
    what: str, n: int, ours: Callable[[], Any], peer: Callable[[], Any], name: str, rounds: int = ROUNDS
) -> None:
    """Print the median seconds of both over alternating rounds (after one that is not counted) and their ratio.

    `n` is printed as the size; a ratio above 1 says how many times longer the peer took.
    """
    took: tuple[list[float], list[float]] = ([], [])
    for at in range(rounds + 1):
        for spent, run in zip(took, (ours, peer), strict=True):
            start = time.perf_counter()
            run()
            if at:
                spent.append(time.perf_counter() - start)
    mine, theirs = (median(spent) for spent in took)
    print(f"| {what} | {n:,} | {mine:.4f} | {theirs:.4f} | {theirs / mine:.1f} | {name} |", flush=True)


def heading(*packages: str) -> None:
    """Print the machine, the versions and the head of the table."""
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; {versions}")
    print("| what | n | clinops, s | peer, s | peer / clinops | peer |")
    print("|---|---|---|---|---|---|")
