"""Time two ways of computing one thing, in turn, on the same machine, in one run."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

ROUNDS = 5
TURN = 0.2
"""Seconds that a turn lasts where one run is shorter."""


@dataclass(frozen=True)
class Clocked:
    """What a peer in another process found, and the seconds that it took there."""

    seconds: float
    value: Any


def versus(
    what: str, n: int, ours: Callable[[], Any], peer: Callable[[], Any], name: str, rounds: int = ROUNDS
) -> float:
    """Print the median seconds of both over alternating rounds (after one that is not counted) and their ratio.

    `n` is printed as the size; a ratio above 1 says how many times longer the peer took. Within a round each is run as
    often as fits a fifth of a second (once at least) and averaged: after the other one's turn the first run finds cold
    caches, which would say more of the turn than of the work. A single round has none before it that is not counted:
    the caller has run both once, to check that they agree. Returns our seconds.
    """
    took: tuple[list[float], list[float]] = ([], [])
    for at in range(rounds + (rounds > 1)):
        for spent, run in zip(took, (ours, peer), strict=True):
            seconds = [_seconds(run)]
            while sum(seconds) + seconds[0] < TURN:
                seconds.append(_seconds(run))
            if at or rounds == 1:
                spent.append(sum(seconds) / len(seconds))
    mine, theirs = (median(spent) for spent in took)
    print(f"| {what} | {n:,} | {mine:.4f} | {theirs:.4f} | {theirs / mine:.1f} | {name} |", flush=True)
    return mine


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    found = run()
    spent = time.perf_counter() - start
    return found.seconds if isinstance(found, Clocked) else spent


def exponent(what: str, seconds: dict[int, float]) -> None:
    """Print the power of n with which the time grew between the smallest and the largest size."""
    import math

    small, large = min(seconds), max(seconds)
    if small == large:
        return
    power = math.log(seconds[large] / seconds[small]) / math.log(large / small)
    print(f"| {what}: time grows as n to the power | {small:,} to {large:,} | {power:.2f} | | | |", flush=True)


def heading(*packages: str, more: str = "") -> None:
    """Print the machine, the versions and the head of the table."""
    versions = ", ".join([f"{package} {version(package)}" for package in packages] + ([more] if more else []))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; {versions}")
    print("| what | n | clinops, s | peer, s | peer / clinops | peer |")
    print("|---|---|---|---|---|---|")
