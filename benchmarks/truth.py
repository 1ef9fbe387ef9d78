"""Run the truth tests, world by world, and write their tables: no timing.

    python -m benchmarks.truth FOLDER                      # run the worlds that FOLDER does not hold yet
    python -m benchmarks.truth FOLDER --only designs --worlds 200
    python -m benchmarks.truth FOLDER --write              # write its CSV files and its tables

FOLDER keeps one line a world, so a run that was stopped goes on where it was. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.truth import assumptions, designs, rollouts, summaries

PAGE = summaries.METHODS / "truth.md"


@dataclass(frozen=True)
class Study:
    """What is answered in each world, and in how many unless told otherwise."""

    answer: Callable[[int], Any]
    worlds: int


STUDIES = {
    "designs": Study(designs.one_world, 2_000), "assumptions": Study(assumptions.one_world, 600),
    "calipers": Study(designs.calipers, 1_000), "rollouts": Study(rollouts.one_world, 1_000),
}  # fmt: skip


def kept(file: Path) -> dict[int, Any]:
    """The worlds that a file holds, by seed; a line that was cut off does not count."""
    if not file.exists():
        return {}
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return {found["seed"]: found["answers"] for found in map(json.loads, lines)}


def run(folder: Path, study: str, worlds: int) -> None:
    """Answer the worlds of seeds 1 to `worlds` that the folder does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{study}.jsonl"
    done, start = set(kept(file)), time.perf_counter()
    with file.open("a", encoding="utf-8") as stream:
        for seed in (seed for seed in range(1, worlds + 1) if seed not in done):
            line = json.dumps({"seed": seed, "answers": STUDIES[study].answer(seed)})
            stream.write(f"\n{line}" if stream.tell() else line)
            stream.flush()
            if seed % 100 == 0:
                print(f"{study}: {seed} of {worlds}, {time.perf_counter() - start:.0f} s", flush=True)


def write(folder: Path) -> None:
    """Write the CSV files and put the tables into the page, from the worlds that the folder holds."""
    found: list[summaries.Design] = []
    for study in ("designs", "calipers", "rollouts"):
        if worlds := kept(folder / f"{study}.jsonl"):
            found += summaries.designs(worlds[seed] for seed in sorted(worlds))
    summaries.write(summaries.DESIGNS_CSV, found)
    found = summaries.read(summaries.DESIGNS_CSV, summaries.Design)  # as rounded there
    worlds = kept(folder / "assumptions.jsonl")
    judged = summaries.assumptions(worlds[seed] for seed in sorted(worlds))
    summaries.write(summaries.ASSUMPTIONS_CSV, judged)
    judged = summaries.read(summaries.ASSUMPTIONS_CSV, summaries.Assumption)
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("designs", design_table(found)), ("assumptions", assumption_table(judged))):
        begin, end = f"<!-- {name}: made by benchmarks/truth.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.split(end)[1]}"
    PAGE.write_text(text, encoding="utf-8")


def design_table(rows: list[summaries.Design]) -> str:
    """Return the designs as a table, a row for each with and without an effect."""
    head = (
        "| design | effect | worlds | truth | bias (Monte Carlo SE) | bias / SE | SD of error | mean SE "
        "| holds expected | holds own | excludes 0 |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {r.design} | {r.world} | {r.worlds:,} | {r.truth:,.0f} | {r.error:,.1f} ({r.mc_error:.1f}) "
        f"| {r.bias_over_se:.2f} | {r.spread:,.1f} | {r.se:,.1f} | {100 * r.covers_expected:.1f}% "
        f"| {100 * r.covers_own:.1f}% | {100 * r.excludes_zero:.1f}% |"
        for r in rows
    ]
    return "\n".join([head, *lines])


def assumption_table(rows: list[summaries.Assumption]) -> str:
    """Return the scenarios as a table: in how many worlds each check failed."""
    said = assumptions.SCENARIOS | assumptions.CHANGES
    head = (
        "| world | what fails | worlds | balance | overlap | follow-up | negative controls | placebo period "
        "| any check | bias / SE | holds truth |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    lines = []
    for r in rows:
        shares = (r.balance, r.overlap, r.follow_up, r.negative_controls, r.placebo_period, r.any_check)
        cells = " | ".join("" if math.isnan(share) else f"{100 * share:.1f}%" for share in shares)
        lines.append(
            f"| {r.scenario} | {said[r.scenario].says} | {r.worlds:,} | {cells} | {r.bias_over_se:+.2f} "
            f"| {100 * r.covers:.1f}% |"
        )
    return "\n".join([head, *lines])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description="Run the truth tests.")
    parser.add_argument("folder", type=Path, help="where the answers are kept, outside the project")
    parser.add_argument("--worlds", type=int, help="how many worlds (default: as the page says)")
    parser.add_argument("--only", choices=STUDIES, help="one of the studies instead of all")
    parser.add_argument("--write", action="store_true", help="write the tables from the worlds that are there")
    options = parser.parse_args()
    if options.write:
        write(options.folder)
        return
    for study in [options.only] if options.only else STUDIES:
        run(options.folder, study, options.worlds or STUDIES[study].worlds)


if __name__ == "__main__":
    main()
