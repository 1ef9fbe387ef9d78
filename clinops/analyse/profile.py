"""A look at one cohort: who is in it, how they got there, what their codes matched. No outcome is read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.analysis import Analysis
from clinops.analyse.bundle import Bundle
from clinops.analyse.dataset import Dataset
from clinops.analyse.design import balance_design
from clinops.analyse.exhibits import design
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.base import choice
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    from clinops.build.cohorts import Cohort
    from clinops.build.rows import Baseline

NUMBERS = {
    "attrition": "Table 1", "flow": "Figure 1", "profile": "Table 2", "calendar": "Table 3",
    "code_lists": "Table 4", "limits": "Table 5",
}  # fmt: skip


class Profile(Analysis):
    """One arm of a protocol on a source, described.

    Parameters
    ----------
    protocol, source : as for a study; the protocol's covariates are what is described.
    arm : "exposed" or "comparator".
    min_cell : smallest count that is shown.
    """

    def __init__(self, protocol: Protocol, source: Any, arm: str = "exposed", min_cell: int = 11) -> None:
        choice("arm", arm, ("exposed", "comparator"))
        self.protocol, self.source, self.arm = protocol, source, arm
        self.definition = protocol.exposed if arm == "exposed" else protocol.comparator
        self._gallery = Gallery(
            NUMBERS, synthetic=source.synthetic, min_cell=min_cell, everything=lambda: self.exhibits
        )

    @property
    def records(self) -> Any:
        """The records themselves: what they are, hold, lack, and what was set aside."""
        from clinops.sources.describe import Described

        return Described(self.source, self._gallery.min_cell)

    @cached_property
    def cohort(self) -> Cohort:
        """The cohort with its attrition."""
        from clinops.build.cohorts import build

        return build(self.definition, self.source)

    @cached_property
    def baseline(self) -> Baseline:
        """One row an entry, with the covariates."""
        from clinops.build.rows import baseline

        return baseline(self.protocol, self.cohort, self.cohort)

    @cached_property
    def data(self) -> Dataset:
        """The cohort's rows as arrays."""
        both = Dataset(self.baseline.frame)
        return both.where(both.exposed)

    @property
    def attrition(self) -> Result:
        """Who is left after each rule."""
        return self._gallery.show("attrition", lambda: design.attrition(self.cohort))

    @property
    def flow(self) -> Result:
        """The same as a flow diagram."""
        return self._gallery.show("flow", lambda: design.flow(self.cohort))

    @property
    def table(self) -> Result:
        """Every covariate on the index date, with what is missing."""
        return self._gallery.show("profile", self._table)

    def _table(self) -> Result:
        import pandas as pd

        found = balance_design(self.data, self.protocol.covariates)
        rows = [
            _row(term.label, term.is_share, column) for term, column in zip(found.terms, found.matrix.T, strict=True)
        ]
        frame = pd.DataFrame(rows)
        columns = (
            Column("covariate", "Covariate"),
            Column("value", f"{self.definition.name} (n = {len(self.data):,})", "mean", "n (%) or mean (SD)",
                   spread="sd", denominator="known", format_by="format"),
            Column("median", "Median", "number1", missing="–"),
            Column("low", "5th percentile", "number1", missing="–"),
            Column("high", "95th percentile", "number1", missing="–"),
            Column("missing", "Missing", "count", "n"),
        )  # fmt: skip
        lost = "; ".join(f"{m.name}: {why}" for m, why in self.baseline.missing_covariates)
        notes = (f"Not computable here: {lost}",) if lost else ()
        said = f"{len(self.data):,} entries of {self.definition.name}, {len(rows)} characteristics."
        return Result("profile", "Characteristics on the index date", frame, columns, notes, said)

    @property
    def calendar(self) -> Result:
        """Entries by calendar year of the index date."""
        return self._gallery.show("calendar", self._calendar)

    def _calendar(self) -> Result:
        import pandas as pd

        years = self.data.baseline["index_date"].dt.year.value_counts().sort_index()
        frame = pd.DataFrame({"year": years.index.astype(str), "n": years.to_numpy(), "all": len(self.data)})
        columns = (Column("year", "Year"), Column("n", "Entries", "percent", "n/all (%)", denominator="all"))
        return Result("calendar", "Entries by calendar year", frame, columns,
                      sentence=f"Index dates fall in {len(frame)} calendar years.")  # fmt: skip

    @property
    def code_lists(self) -> Result:
        """What each code list of the protocol matched."""
        return self._gallery.show("code_lists", lambda: design.code_lists(self.protocol, self.source))

    @property
    def limits(self) -> Result:
        """What was not possible and what was set aside."""
        return self._gallery.show("limits", self._limits)

    def _limits(self) -> Result:
        lost = tuple((m.name, why) for m, why in self.baseline.missing_covariates)
        aside = tuple((w, int(n), why) for w, n, why in (*self.source.set_aside, *self.baseline.set_aside))
        return design.limits((*lost, *self.source.missing), aside)

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of the report."""
        return (self.attrition, self.flow, self.table, self.calendar, self.code_lists, self.limits)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        title = f"Who is in {self.definition.name}?"
        return Bundle(title, self.exhibits, self.source, protocol=self.protocol, min_cell=self._gallery.min_cell)


def profile(protocol: Protocol, source: Any, arm: str = "exposed", min_cell: int = 11) -> Profile:
    """Describe one arm of a protocol on a source, without reading any outcome."""
    return Profile(protocol, source, arm, min_cell)


def _row(label: str, level: bool, column: np.ndarray) -> dict[str, Any]:
    known = column[~np.isnan(column)]
    n = len(known)
    row: dict[str, Any] = {"covariate": label, "format": "percent" if level else "mean", "known": n,
                           "missing": len(column) - n}  # fmt: skip
    if level:
        return row | {"value": int(known.sum()), "sd": np.nan, "median": np.nan, "low": np.nan, "high": np.nan}
    spread = float(known.std(ddof=1)) if n > 1 else np.nan
    low, middle, high = np.percentile(known, [5, 50, 95]) if n else (np.nan,) * 3
    return row | {"value": float(known.mean()) if n else np.nan, "sd": spread, "median": float(middle),
                  "low": float(low), "high": float(high)}  # fmt: skip
