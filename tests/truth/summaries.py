"""What many worlds say of a design: bias against its standard error, coverage, type-I error, which checks failed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tests.truth.assumptions import CHANGES, SCENARIOS

METHODS = Path(__file__).parents[2] / "docs" / "methods"
DESIGNS_CSV, ASSUMPTIONS_CSV = METHODS / "truth_designs.csv", METHODS / "truth_assumptions.csv"
CRUDE = "as they are"


@dataclass(frozen=True)
class Design:
    """A design in many worlds.

    Attributes
    ----------
    design, world : which, and "none" (no effect) or "planted".
    worlds : how many.
    truth : mean of the worlds' own truths, which is also the expected effect in the population of the estimand.
    error, mc_error : mean of estimate less own truth, and its Monte Carlo standard error.
    spread : SD of that error. se : mean standard error.
    covers_own, covers_expected : shares of 95 % intervals that hold the own and the expected truth.
    excludes_zero : share of intervals without zero: the type-I error where there is no effect, else the power.
    """

    design: str
    world: str
    worlds: int
    truth: float
    error: float
    mc_error: float
    spread: float
    se: float
    covers_own: float
    covers_expected: float
    excludes_zero: float

    @property
    def bias_over_se(self) -> float:
        """The bias in standard errors of one estimate."""
        return abs(self.error) / self.se


@dataclass(frozen=True)
class Assumption:
    """A scenario in many worlds: the share in which each check failed and in which any did, and the bias."""

    scenario: str
    worlds: int
    sound: bool
    seen: bool
    balance: float
    overlap: float
    follow_up: float
    negative_controls: float
    placebo_period: float
    any_check: float
    bias_over_se: float
    covers: float


def designs(worlds: Iterable[Mapping[str, Any]]) -> list[Design]:
    """Summarise the answers of `designs.one_world` (or `rollouts.one_world`) over worlds."""
    held = list(worlds)
    rows = []
    for name in held[0]:
        for which in held[0][name]:
            estimate, se, low, high, truth = np.array([one[name][which] for one in held]).T
            off, expected = estimate - truth, truth.mean()
            rows.append(Design(
                name, which, len(held), float(expected), float(off.mean()),
                float(off.std(ddof=1) / np.sqrt(len(off))), float(off.std(ddof=1)), float(se.mean()),
                float(((low <= truth) & (truth <= high)).mean()),
                float(((low <= expected) & (expected <= high)).mean()), float(((low > 0) | (high < 0)).mean()),
            ))  # fmt: skip
    return rows


def assumptions(worlds: Iterable[Mapping[str, Any]]) -> list[Assumption]:
    """Summarise the answers of `assumptions.one_world` over worlds."""
    held = list(worlds)
    rows = []
    for name, scenario in (SCENARIOS | CHANGES).items():
        estimate, se, low, high, truth = np.array([one[name]["answer"] for one in held]).T
        verdicts = [one[name]["checks"] for one in held]

        def failed(check: str, verdicts: Sequence[Mapping[str, bool]] = verdicts) -> float:
            return float(np.mean([not one[check] for one in verdicts])) if check in verdicts[0] else float("nan")

        rows.append(Assumption(
            name, len(held), scenario.sound, scenario.seen, failed("balance"), failed("overlap"), failed("follow-up"),
            failed("negative controls"), failed("placebo period"),
            float(np.mean([not all(one.values()) for one in verdicts])),
            float((estimate - truth).mean() / se.mean()), float(((low <= truth) & (truth <= high)).mean()),
        ))  # fmt: skip
    return rows


Row = TypeVar("Row", Design, Assumption)


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, shares to four decimals and money to two."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow([item.name for item in fields(rows[0])])
        for row in rows:
            table.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in vars(row).values()])


def read(file: Path, kind: type[Row]) -> list[Row]:
    """Read what `write` wrote."""
    makes: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": lambda text: text == "True"}
    with file.open(encoding="utf-8", newline="") as stream:
        return [
            kind(**{item.name: makes[str(item.type)](row[item.name]) for item in fields(kind)})
            for row in csv.DictReader(stream)
        ]
