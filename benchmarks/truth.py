"""Run the truth tests, world by world, and write their table: no timing.

    python -m benchmarks.truth FOLDER --worlds 2000    # run the worlds that FOLDER does not hold yet
    python -m benchmarks.truth FOLDER --write          # write docs/methods/truth.csv and the tables of its page

FOLDER keeps one line a world, so a run that was stopped goes on where it was. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.truth import assumptions, designs

STUDIES: dict[str, Callable[[int], Any]] = {"designs": designs.one_world, "assumptions": assumptions.one_world}


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
            line = json.dumps({"seed": seed, "answers": STUDIES[study](seed)})
            stream.write(f"\n{line}" if stream.tell() else line)
            stream.flush()
            if seed % 100 == 0:
                print(f"{study}: {seed} of {worlds}, {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the answers are kept, outside the project")
    parser.add_argument("--worlds", type=int, default=2_000, help="how many worlds (default: 2000)")
    parser.add_argument("--only", choices=STUDIES, help="one of the studies instead of all")
    options = parser.parse_args()
    for study in [options.only] if options.only else STUDIES:
        run(options.folder, study, options.worlds)


if __name__ == "__main__":
    main()
