"""`bias_ladder`: what popular comparisons find in records in which nothing has an effect."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.ladder import exhibits
from clinops.analyse.ladder.climb import Climbed, climb
from clinops.analyse.ladder.rungs import rungs
from clinops.sources import connect

if TYPE_CHECKING:
    import pandas as pd

    from clinops.results.result import Check, Result

NUMBERS = {
    "bias_ladder": "Table 1", "bias_forest": "Figure 1", "bias_lint": "Table 2", "bias_anchors": "Table 3",
}  # fmt: skip


class BiasLadder(Readable, Analysis):
    """The ladder on one set of simulated records.

    Parameters
    ----------
    persons, seed : of the records; see `clinops.worlds.ladder`.
    min_cell : smallest count that exhibits show.
    """

    def __init__(self, persons: int, seed: int, min_cell: int = 11) -> None:
        self.persons = persons
        self.source = _records(self, persons, seed)
        self._gallery = Gallery(
            NUMBERS, synthetic=self.source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )

    @cached_property
    def climbed(self) -> tuple[Climbed, ...]:
        """What every rung found, in order."""
        return tuple(climb(rung, self.source) for rung in rungs())

    @property
    def ladder(self) -> Result:
        """Every rung with its estimate, what lint and the checks said, and its guard."""
        return self._show("bias_ladder", lambda: exhibits.ladder(self.climbed, self.persons))

    @property
    def forest(self) -> Result:
        """The rungs against no effect."""
        return self._show("bias_forest", lambda: exhibits.forest(self.climbed))

    @property
    def lint(self) -> Result:
        """What lint says of each design, in its own words."""
        return self._show("bias_lint", lambda: exhibits.lint_says(self.climbed))

    @property
    def anchors(self) -> Result:
        """Published pairs of a popular and a guarded comparison."""
        return self._show("bias_anchors", exhibits.anchors)

    @property
    def check(self) -> Check:
        """Whether the guarded comparisons find nothing."""
        return self._show("check_guards", lambda: exhibits.check(self.climbed))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every rung as a row of the long schema: ratios of mean admissions."""
        from clinops.results.schema import estimates

        notebook = os.environ.get("CLINOPS_NOTEBOOK", "")
        return estimates([{"notebook": notebook} | one.row for one in self.climbed])

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return (self.ladder, self.forest, self.check, self.lint, self.anchors)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        failed = () if self.check.passed else (self.check.title,)
        return Bundle(
            "The bias ladder", self.exhibits, self.source, estimates=self.estimates, failed=failed,
            min_cell=self._gallery.min_cell,
        )  # fmt: skip


def bias_ladder(persons: int = 40_000, seed: int = 1, *, min_cell: int = 11) -> BiasLadder:
    """Climb the bias ladder: popular comparisons, and their guards, where the true effect is zero.

    Simulated records of high users of hospital care, whose need swings, are written, read back and analysed as any
    records are: cohorts, comparators, matching, lint and checks are those of a study.

    Parameters
    ----------
    persons : 1,000 or more; 40,000 take about eight seconds and give intervals of 3 to 6 percent each way, 200,000 take
        twenty seconds and give 2 to 3 percent.
    seed : of the records.
    min_cell : smallest count that exhibits show.

    Raises
    ------
    ParameterError : an impossible size or seed.

    Examples
    --------
    >>> co.bias_ladder(persons=20_000).forest  # doctest: +SKIP
    """
    return BiasLadder(persons, seed, min_cell)


def _records(owner: object, persons: int, seed: int) -> Any:
    """Make the records in a folder of their own, which goes when `owner` does, and open them."""
    import pyarrow.parquet as pq

    from clinops.worlds.ladder import ladder

    made = ladder(persons, seed)
    place = Path(tempfile.mkdtemp())
    weakref.finalize(owner, shutil.rmtree, place, ignore_errors=True)
    folder = place / "bias_ladder"
    folder.mkdir()
    for name, table in made.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    return connect(folder)
