"""Covariates as numbers: the columns that the propensity model sees and those that balance is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clinops.analyse.dataset import Dataset, Floats
from clinops.define.measures import Measure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Term:
    """One column of a design: which covariate, which level (None for a number), how it was made, in what unit."""

    measure: Measure
    level: str | None
    transform: str
    unit: str = ""

    @property
    def label(self) -> str:
        """As a table prints it."""
        if self.level is not None:
            return f"{self.measure.name}: {self.level}"
        return f"{self.measure.name}, {self.unit}" if self.unit else self.measure.name

    @property
    def is_share(self) -> bool:
        """Whether the column's mean is a share of persons: a level, or something that was there or not."""
        return self.level is not None or self.measure.measure == "any"


@dataclass(frozen=True)
class Design:
    """Columns with what they stand for; matrix (n, p)."""

    terms: tuple[Term, ...]
    matrix: Floats


def model_design(data: Dataset, covariates: tuple[Measure, ...]) -> Design:
    """Return the columns of the propensity model.

    Counts and costs enter as log(1 + x), since their right tails would otherwise rule the fit; a
    negative net cost keeps its sign. A categorical covariate enters as one column a level but the
    commonest. A missing number is set to the mean, with a column that says it was missing. Every
    column is centred and scaled, which changes no fitted score. Columns without variation are left
    out.
    """
    terms: list[Term] = []
    columns: list[Floats] = []
    for measure in _present(data, covariates):
        made = _levels(data, measure)[1:] if measure.categorical else _numbers(data, measure)
        for term, column in made:
            spread = column.std()
            if spread > 1e-12 * max(1.0, float(np.abs(column).max(initial=0.0))):
                terms.append(term)
                columns.append((column - column.mean()) / spread)
    matrix = np.column_stack(columns) if columns else np.empty((len(data), 0))
    return Design(tuple(terms), matrix)


def balance_design(data: Dataset, covariates: tuple[Measure, ...]) -> Design:
    """Return the columns that balance is judged on: numbers as they are, one column for every level."""
    terms: list[Term] = []
    columns: list[Floats] = []
    for measure in _present(data, covariates):
        made = _levels(data, measure) if measure.categorical else [_number(data, measure)]
        for term, column in made:
            terms.append(term)
            columns.append(column)
    matrix = np.column_stack(columns) if columns else np.empty((len(data), 0))
    return Design(tuple(terms), matrix)


def _present(data: Dataset, covariates: tuple[Measure, ...]) -> list[Measure]:
    return [m for m in covariates if m.id in data.baseline.columns]


def raw_number(data: Dataset, measure: Measure) -> Floats:
    """The values of a number; a date counts in days from the first index date."""
    values = data.baseline[measure.id]
    if values.dtype.kind == "M":
        return (values - values.min()).dt.days.to_numpy(dtype=float)
    return values.to_numpy(dtype=float)


def _number(data: Dataset, measure: Measure) -> tuple[Term, Floats]:
    return Term(measure, None, "as is", _unit(data, measure)), raw_number(data, measure)


def _unit(data: Dataset, measure: Measure) -> str:
    values = data.baseline[measure.id]
    return f"days after {values.min():%Y-%m-%d}" if getattr(values.dtype, "kind", "") == "M" and len(values) else ""


def _numbers(data: Dataset, measure: Measure) -> list[tuple[Term, Floats]]:
    raw = raw_number(data, measure)
    missing = np.isnan(raw)
    skewed = measure.measure in ("count", "cost")
    value = np.sign(raw) * np.log1p(np.abs(raw)) if skewed else raw
    centre = float(value[~missing].mean()) if (~missing).any() else 0.0
    transform = "log(1 + x)" if skewed else "as is"
    made = [(Term(measure, None, transform), np.where(missing, centre, value))]
    if missing.any():
        made.append((Term(measure, "missing", "indicator"), missing.astype(float)))
    return made


def _levels(data: Dataset, measure: Measure) -> list[tuple[Term, Floats]]:
    """One indicator a level, the commonest first (ties by name); missing is a level."""
    values = data.baseline[measure.id].astype("object").where(data.baseline[measure.id].notna(), "missing").astype(str)
    counts: pd.Series = values.value_counts()
    ordered = sorted(counts.index, key=lambda level: (-int(counts[level]), level))
    return [(Term(measure, level, "indicator"), (values == level).to_numpy(dtype=float)) for level in ordered]
