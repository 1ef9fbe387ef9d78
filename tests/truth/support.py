"""Simulated worlds as studies of the embedded protocol, and many of them at once."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import clinops as co
from clinops.analyse.adjust import adjust
from clinops.analyse.effects import effects
from clinops.analyse.estimates import CRUDE
from clinops.analyse.truth import truth_column
from clinops.define.protocol import Protocol
from clinops.study import Study
from clinops.worlds import World, world

PROTOCOL = Path(__file__).parents[2] / "data" / "protocols" / "remote_care_programme.json"
SCALE = "mean difference"


def the_protocol() -> Protocol:
    """Return the protocol that `make report` runs on the simulated programme."""
    return co.protocol.read(PROTOCOL)


def study_of(folder: Path, protocol: Protocol | None = None, **knobs: Any) -> tuple[World, Study]:
    """Make a world in a folder and return it with the study of its records."""
    made = world(**knobs)
    for name, table in made.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="none")
    truth = folder / "truth.pq"
    pq.write_table(made.truth, truth)
    return made, Study(protocol or the_protocol(), co.connect(folder), truth=truth)


@dataclass(frozen=True)
class Answers:
    """One outcome in many worlds, arrays with one row a world.

    `truth` is the mean effect among the very persons offered in that world; `expected` the mean effect among
    the offered over all worlds, one number. `estimate`, `low`, `high`, `error` come from the default analysis,
    `crude` compares the arms as they are.
    """

    outcome: str
    truth: np.ndarray
    expected: float
    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    crude: np.ndarray

    def z_of(self, estimate: np.ndarray) -> float:
        """Mean error against each world's own truth, in its Monte Carlo standard errors."""
        off = estimate - self.truth
        return float(off.mean() / (off.std(ddof=1) / np.sqrt(len(off))))

    def covers(self, truth: np.ndarray | float) -> int:
        """In how many worlds the interval holds the truth."""
        return int(((self.low <= truth) & (truth <= self.high)).sum())

    def __str__(self) -> str:
        off, crude = self.estimate - self.truth, self.crude - self.truth
        also = "" if np.isnan(self.expected) else f", expected {self.covers(self.expected)}"
        parts = (
            f"{self.outcome:<16} truth {self.truth.mean():9.2f}",
            f"error {off.mean():8.2f} (z {self.z_of(self.estimate):5.2f})",
            f"SD {off.std(ddof=1):7.2f}, mean SE {self.error.mean():7.2f}",
            f"covers own truth {self.covers(self.truth)}" + also + f" of {len(off)}",
            f"crude error {crude.mean():8.2f} (z {self.z_of(self.crude):5.1f})",
        )
        return "  ".join(parts)


def answers(seeds: Sequence[int], **knobs: Any) -> dict[str, Answers]:
    """Analyse one world a seed by the default protocol; answers by outcome, costs and days at home."""
    workers = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    tasks = [knobs | {"seed": seed} for seed in seeds]
    if workers == 1 or len(tasks) < 20:
        found = [_answer(task) for task in tasks]
    else:
        with ProcessPoolExecutor(workers, get_context("spawn"), _one_core) as pool:
            found = list(pool.map(_answer, tasks))
    return {
        name: Answers(
            name,
            truth=np.array([one[name][0] for one in found]),
            expected=float(found[0][name][1]),
            **{
                field: np.array([one[name][2 + at] for one in found])
                for at, field in enumerate(("estimate", "low", "high", "error", "crude"))
            },
        )
        for name in found[0]
    }


def _one_core() -> None:
    """Every world gets one core of the engine: the worlds are what runs in parallel."""
    os.environ["CLINOPS_JOBS"] = "1"


def _answer(knobs: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """Truth, expected truth, estimate, interval, standard error and crude estimate of each outcome in one world."""
    with tempfile.TemporaryDirectory() as folder:
        made, study = study_of(Path(folder), **knobs)
        with study.source:
            return {
                measure.name: (*_truths(made, truth_column(measure) or ""), *_estimates(study, measure))
                for measure in study.protocol.outcomes
                if truth_column(measure)
            } | {"own estimand": (float(study.truth or np.nan),) * 7}


def _truths(made: World, column: str) -> tuple[float, float]:
    expected = made.settings["population_att"] or {}
    untouched = column in ("cost_outpatient", "cost_pharmacy")
    return float(made.att()[column]["difference"]), float(expected.get(column, 0.0 if untouched else np.nan))


def _estimates(study: Study, measure: Any) -> tuple[float, ...]:
    p = study.protocol
    as_they_are = adjust(study.data, p.covariates, CRUDE)
    main, crude = (
        next(row for row in effects(study.data, measure, how) if row["scale"] == SCALE)
        for how in (study.adjusted, as_they_are)
    )
    names = ("estimate", "conf_low", "conf_high", "std_error")
    return (*(float(main[name]) for name in names), float(crude["estimate"]))
