"""Data quality as exhibits: what is wrong or thin in the records, and what an analysis has to live with."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.exhibits.design import set_aside_table
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.quality_checks import checked
from clinops.results.result import VERDICTS, Check, Column, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.sources.source import Source

NUMBERS = {"quality_summary": "Table 1", "quality_checks": "Table 2", "set_aside": "Table 3"}


class Quality(Readable, Analysis):
    """The quality of the records an analysis would read; nothing is mended.

    Parameters
    ----------
    source : from `connect`.
    min_cell : smallest count that is shown in the exhibits; ``frame`` holds the numbers as they are.
    """

    def __init__(self, source: Source, min_cell: int = 11) -> None:
        self.source = source
        self._gallery = Gallery(
            NUMBERS, synthetic=source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row a check, with its count, denominator, limit and verdict; see `quality_checks.checked`."""
        return checked(self.source)

    @property
    def records(self) -> Any:
        """The records themselves: what they are, hold, lack, and what was set aside."""
        from clinops.sources.describe import Described

        return Described(self.source, self._gallery.min_cell)

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that failed, in words."""
        frame = self.frame
        bad = frame[frame["passed"].map(lambda one: one is False or one == 0)]
        return tuple(f"{row['check']} ({row['table']})" for _, row in bad.iterrows())

    @property
    def summary(self) -> Check:
        """Checks by table: how many passed, failed, or were only counted."""
        shown: Check = self._gallery.show("quality_summary", self._summary)
        return shown

    def _summary(self) -> Check:
        import pandas as pd

        frame = self.frame
        rows = []
        for table, part in frame.groupby("table", sort=False):
            judged = [VERDICTS[None if one is None else bool(one)] for one in part["passed"]]
            rows.append({
                "table": table, "rows": self.source.rows.get(str(table), self.source.persons),
                **{name: judged.count(word) for name, word in zip(_KINDS, VERDICTS.values(), strict=True)},
            })  # fmt: skip
        made = pd.DataFrame(rows, columns=["table", "rows", *_KINDS])
        columns = (
            Column("table", "Table"), Column("rows", "Rows", "number0", "n"),
            Column("passed", "Passed", "number0", "checks"), Column("failed", "Failed", "number0", "checks"),
            Column("counted", "Counted, not judged", "number0", "checks"),
        )  # fmt: skip
        failed = len(self.failed)
        said = f"{failed} of {len(frame)} checks failed" + (f": {'; '.join(self.failed)}." if failed else ".")
        return Check(
            "quality_summary", "Can these records be trusted with the question?", made, columns, sentence=said,
            observed=failed, threshold=0, passed=failed == 0,
            why="A fault of the records reaches every estimate, whatever the design.",
        )  # fmt: skip

    @property
    def table(self) -> Result:
        """Every check with its count, denominator, limit, verdict and reason."""
        shown: Result = self._gallery.show("quality_checks", self._table)
        return shown

    def _table(self) -> Result:
        frame = self.frame.drop(columns="share")
        columns = (
            Column("check", "Check"),
            Column("count", "Rows concerned", "percent", "n/all (%)", denominator="denominator"),
            Column("limit", "Passes up to", "fraction", of=(), missing="–"),
            Column("passed", "Verdict", "verdict", of=(), missing=VERDICTS[None]), Column("why", "Why it matters"),
        )  # fmt: skip
        said = f"{len(frame)} checks of {frame['table'].nunique()} tables; a failed one says what to live with."
        return Result("quality_checks", "Every check", frame, columns, sentence=said, group_by="table")

    @property
    def set_aside(self) -> Result:
        """Rows that no analysis uses, each with its count and its reason."""
        shown: Result = self._gallery.show(
            "set_aside", lambda: set_aside_table(tuple((w, int(n), why) for w, n, why in self.source.set_aside))
        )
        return shown

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of the report."""
        return (self.summary, self.table, self.set_aside)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        found = self.summary
        status = "passed" if found.passed else "failed"
        said = f"{len(self.failed)} of {len(self.frame)} checks failed."
        verdicts = ({"label": "Data quality", "text": said, "status": status},)
        title = f"Data quality: {self.source.name}"
        return Bundle(
            title, self.exhibits, self.source, verdicts=verdicts, failed=self.failed, min_cell=self._gallery.min_cell
        )

    def __str__(self) -> str:
        return f"{self.source}\n\n{super().__str__()}"


_KINDS = ("passed", "failed", "counted")


def quality(source: Any, min_cell: int = 11) -> Quality:
    """Check the records an analysis would read: what is missing, contradicts itself, or is set aside."""
    return Quality(source, min_cell)
