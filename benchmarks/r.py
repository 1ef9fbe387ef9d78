"""R as a peer: one process that keeps the data, times its own fits and answers with numbers (`peer.R`)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np

from benchmarks.timing import Clocked


class R:
    """A running `Rscript` with survival; `with R(folder) as r: r.load(columns); r.run("cox")`.

    Parameters
    ----------
    folder : where columns are handed over.
    script : what R runs, beside this file; `matchit.R` takes columns of people (`load_people`) and matches them.
    """

    def __init__(self, folder: str | Path, script: str = "peer.R") -> None:
        self.folder, self.script = Path(folder), script

    def __enter__(self) -> R:
        script = str(Path(__file__).with_name(self.script))
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()

    def load(self, columns: Mapping[str, np.ndarray]) -> None:
        """Hand over time, event, cause, entry (n,) and x (n, q)."""
        self._hand_over(columns)
        n, q = columns["x"].shape
        self._ask(f"load {self.folder} {n} {q}")

    def load_people(self, columns: Mapping[str, np.ndarray]) -> None:
        """Hand over logit and treated (n,)."""
        self._hand_over(columns)
        self._ask(f"load {self.folder} {len(columns['treated'])}")

    def _hand_over(self, columns: Mapping[str, np.ndarray]) -> None:
        for name, values in columns.items():
            np.asarray(values, dtype=np.float64).ravel(order="F").tofile(self.folder / name)

    def run(self, what: str) -> Clocked:
        """Fit; the seconds are R's own."""
        took, *values = self._ask(what)
        return Clocked(took, np.array(values))

    def _ask(self, line: str) -> list[float]:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"R gave no answer to {line!r}; its message stands above.")
        return [float(word) for word in answer.split()]


def there(package: str = "survival") -> bool:
    """Whether R with the package can be run."""
    if shutil.which("Rscript") is None:
        return False
    return subprocess.run(["Rscript", "-e", f"library({package})"], capture_output=True, check=False).returncode == 0


def versions(package: str = "survival") -> str:
    """Of R and of the package."""
    ask = f'cat("R", as.character(getRversion()), "{package}", as.character(packageVersion("{package}")))'
    return subprocess.run(["Rscript", "-e", ask], capture_output=True, text=True, check=True).stdout
