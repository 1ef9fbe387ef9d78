"""The covariates of a proportional hazards model, as given and as the search for its maximum sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.risk_sets import Bools, Floats, Spells, blocks


def design_matrix(X: ArrayLike, rows: Spells) -> Floats:
    """Check covariates, given as (n,) or (n, p), and take the rows of the spells that were kept."""
    values = np.asarray(X, dtype=np.float64)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or len(values) != len(rows.kept):
        raise DataError(f"X has the shape {values.shape}; it must have {len(rows.kept)} rows, as exit has.")
    if not np.isfinite(values).all():
        missing = int((~np.isfinite(values).all(axis=1)).sum())
        raise DataError(
            f"X has {missing} rows with missing or infinite values; drop or complete them, and count "
            "them, before the analysis."
        )
    return np.asarray(values[rows.kept] if rows.set_aside else values, dtype=np.float64)


@dataclass(frozen=True)
class Columns:
    """How the p columns given became those of the likelihood: centred, scaled, some left out, some endless."""

    centre: Floats
    scale: Floats
    used: Bools
    endless: Floats
    settled: bool = True

    @property
    def finite(self) -> Bools:
        """Columns with an estimate that is a number; none if the search did not end."""
        return self.used & (self.endless == 0) & self.settled

    def scaled(self, x: Floats) -> Floats:
        return np.asarray((x - self.centre) / self.scale, dtype=np.float64)

    def raw(self, beta: Floats) -> Floats:
        """Coefficients of the used columns, as all p on the scale given; 0 for the columns left out."""
        out = np.zeros(len(self.scale))
        out[self.used] = beta
        return out / self.scale

    def estimates(self, beta: Floats) -> Floats:
        """Coefficients as reported: (p,); infinite where the likelihood has no maximum, NaN where left out."""
        coef = np.where(self.finite, self.raw(beta), np.nan)
        return np.where(self.endless != 0, np.copysign(np.inf, self.endless), coef)

    def to_raw(self, covariance: Floats) -> Floats:
        """Covariance of the finite columns, as (p, p) on the scale given; NaN elsewhere."""
        out = np.full((len(self.scale), len(self.scale)), np.nan)
        out[np.ix_(self.finite, self.finite)] = covariance
        return out / np.outer(self.scale, self.scale)

    def to_scaled(self, covariance: Floats) -> Floats:
        return covariance * np.outer(self.scale, self.scale)


def standardised(design: Floats, rows: Spells) -> tuple[Columns, Floats]:
    """Centre and scale by mean and standard deviation of the rows that have a weight.

    Returns
    -------
    How, and (n, p) the result, row by row in memory whatever the order of `design`.
    """
    n, p = design.shape
    plain = rows.plain
    live = np.ones(n) if plain else (rows.weight > 0).astype(np.float64)
    total = max(float(live.sum()), 1.0)
    centre, squares, out = np.einsum("ij,i->j", design, live) / total, np.zeros(p), np.empty((n, p))
    for some in blocks(n, p):
        np.subtract(design[some], centre, out=out[some])
        counted = out[some] if plain else out[some] * live[some, None]
        squares += np.einsum("ij,ij->j", counted, counted)
    spread = np.sqrt(squares / total)
    varies = spread > 1e-12 * np.maximum(np.abs(centre), 1e-300)
    columns = Columns(centre, np.where(varies, spread, 1.0), np.ones(p, dtype=bool), np.zeros(p))
    inverse = 1 / columns.scale
    for some in blocks(n, p):
        out[some] *= inverse
    return columns, out
