"""Run the proof of coverage of the cost estimators, cell by cell, and write its table and its figure.

    python -m benchmarks.cost_coverage FOLDER          # run what FOLDER does not hold yet
    python -m benchmarks.cost_coverage FOLDER --write  # then write docs/methods/cost_coverage.csv, table and figure

FOLDER keeps the answers of every data set, so a run that was stopped goes on where it was. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import csv
import io
import textwrap
import time
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clinops.render.style import LINES, MARKERS, RULE, SERIES, WIDTHS, rc_params
from tests.truth.costs import TAILS
from tests.truth.coverage import CSV, SIZES, Summary, cells, committed, run, summaries

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "methods" / "cost_coverage.md"
FIGURE = ROOT / "docs" / "images" / "cost-coverage.svg"
START, END = "<!-- table: made by benchmarks/cost_coverage.py -->", "<!-- end of table -->"
PANELS = (
    ("difference in means", "ratio of means", "difference in medians"),
    ("difference in means, a fifth exposed", "ratio of means, a fifth exposed"),
    ("weighted difference in the exposed", "OLS", "Poisson quasi-likelihood", "Tweedie"),
    ("two-part, difference", "two-part, ratio", "Bang-Tsiatis, partitioned"),
    ("percentile bootstrap", "BCa bootstrap", "weighted difference, one-step bootstrap"),
)


def answers(folder: Path) -> None:
    """Run every cell that is not kept yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for design, tail, n in cells():
        at = folder / f"{design}-{tail}-{n}.npz"
        if at.exists():
            continue
        start = time.perf_counter()
        made = run(design, tail, n)
        np.savez(at, **made)
        print(f"{design}, {tail}, {n:,}: {time.perf_counter() - start:.0f} s", flush=True)


def kept(folder: Path) -> list[Summary]:
    """Summaries of the cells that a folder holds."""
    found = []
    for design, tail, n in cells():
        at = folder / f"{design}-{tail}-{n}.npz"
        if at.exists():
            with np.load(at) as stored:
                found += summaries(design, tail, n, {name: stored[name] for name in stored.files})
    return found


def write(found: list[Summary]) -> None:
    """Write the table for machines, the table for readers and the figure."""
    with CSV.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Summary.__dataclass_fields__)
        writer.writerows(one.cells() for one in found)
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(START)
    tail = rest.partition(END)[2]
    PAGE.write_text(f"{head}{START}\n\n{markdown(committed())}\n\n{END}{tail}", encoding="utf-8")
    FIGURE.write_bytes(figure(committed()))


def markdown(found: list[Summary]) -> str:
    """One row a tail, estimator and size."""
    lines = [
        "| estimator | tail | n | coverage, % (Monte Carlo SE) | above / below the truth, % | bias / SD "
        "| mean SE / SD | warned, % | coverage where not warned, % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    order = list(dict.fromkeys(one.estimator for one in found))
    for one in sorted(found, key=lambda one: (TAILS.index(one.tail), order.index(one.estimator), one.n)):
        calm = "–" if np.isnan(one.covered_unwarned) else f"{100 * one.covered_unwarned:.1f}"
        lines.append(
            f"| {one.estimator} | {one.tail} | {one.n:,} | {_emphasised(one)} ({100 * one.mc_error:.1f})"
            f" | {100 * one.above:.1f} / {100 * one.below:.1f} | {one.bias_over_sd:.2f} | {one.error_over_sd:.2f}"
            f" | {100 * one.warned:.0f} | {calm} |"
        )
    return "\n".join(lines)


def _emphasised(one: Summary) -> str:
    text = f"{100 * one.coverage:.1f}"
    return f"**{text}**" if one.coverage < 0.93 else text


def figure(found: list[Summary]) -> bytes:
    """Coverage by size, a row of panels for each group of estimators and a column for each tail."""
    with matplotlib.rc_context(rc_params()):
        drawn = Figure(figsize=(WIDTHS["report"], 9.6), layout="constrained")
        grid = drawn.subplots(len(PANELS), len(TAILS), sharex=True, sharey=True)
        for row, names in zip(grid, PANELS, strict=True):
            for axes, tail in zip(row, TAILS, strict=True):
                _panel(axes, [[one for one in found if (one.estimator, one.tail) == (name, tail)] for name in names])
            row[0].set_ylabel("Coverage, %")
            row[-1].legend(_keys(len(names)), [_label(name) for name in names], loc="center left",
                           bbox_to_anchor=(1.02, 0.5))  # fmt: skip
        for axes, tail in zip(grid[0], TAILS, strict=True):
            axes.set_title(f"{tail.capitalize()} tail")
        for axes in grid[-1]:
            axes.set_xlabel("Persons, both arms")
        stream = io.BytesIO()
        drawn.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _panel(axes: Axes, lines: list[list[Summary]]) -> None:
    """Draw the lines of one panel; a marker is hollow where the report warns in most data sets."""
    axes.axhspan(93, 97, color=RULE, alpha=0.45, linewidth=0)
    axes.axhline(95, color=RULE, linewidth=0.8)
    for at, line in enumerate(lines):
        n, coverage = [one.n for one in line], [100 * one.coverage for one in line]
        axes.errorbar(n, coverage, yerr=[196 * one.mc_error for one in line], color=SERIES[at], linestyle=LINES[at],
                      elinewidth=0.8)  # fmt: skip
        for one in line:
            filled = "white" if one.warned > 0.5 else SERIES[at]
            axes.plot(one.n, 100 * one.coverage, MARKERS[at], color=SERIES[at], markerfacecolor=filled)
    axes.set_xscale("log")
    axes.set_xticks(SIZES, [f"{n:,}" for n in SIZES], rotation=60)
    axes.minorticks_off()
    axes.set_ylim(78, 100)


def _keys(count: int) -> list[Line2D]:
    return [Line2D([], [], color=SERIES[at], linestyle=LINES[at], marker=MARKERS[at]) for at in range(count)]


def _label(name: str) -> str:
    return textwrap.fill(name[0].upper() + name[1:], 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    answers(given.folder) if not given.write else write(kept(given.folder))
