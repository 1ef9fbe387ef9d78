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
    """One column of a design: which covariate, which level (None for a number), how it was made."""

    measure: Measure
    level: str | None
    transform: str

    @property
    def label(self) -> str:
        """As a table prints it."""
        return self.measure.name if self.level is None else f"{self.measure.name}: {self.level}"


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
        made = _levels(data, measure) if measure.categorical else [(Term(measure, None, "as is"), _raw(data, measure))]
        for term, column in made:
            terms.append(term)
            columns.append(column)
    matrix = np.column_stack(columns) if columns else np.empty((len(data), 0))
    return Design(tuple(terms), matrix)


def _present(data: Dataset, covariates: tuple[Measure, ...]) -> list[Measure]:
    return [m for m in covariates if m.id in data.baseline.columns]


def _raw(data: Dataset, measure: Measure) -> Floats:
    return data.baseline[measure.id].to_numpy(dtype=float)


def _numbers(data: Dataset, measure: Measure) -> list[tuple[Term, Floats]]:
    raw = _raw(data, measure)
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
