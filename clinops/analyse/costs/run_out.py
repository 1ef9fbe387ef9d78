"""Run-out: how much of a month's cost has been paid by now, from how earlier months grew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChainLadder:
    """What a run-out triangle comes to; m months of service, k lags.

    Attributes
    ----------
    factors : (k - 1,) by how much cumulative payments grow from one lag to the next; NaN where nothing tells.
    paid : (m,) paid to date.
    completion : (m,) share of the ultimate cost that is paid by now; 1 at the last lag.
    ultimate : (m,) paid / completion.
    """

    factors: Floats
    paid: Floats
    completion: Floats
    ultimate: Floats


def chain_ladder(triangle: Floats) -> ChainLadder:
    """Complete a run-out triangle: what will be paid for each month of service in the end?

    The factor from lag j to j + 1 is the sum of cumulative payments at j + 1 over that at j, of the months for
    which both are known. It assumes that payments run out in every month alike, and that nothing comes after the
    last lag of the triangle.

    Parameters
    ----------
    triangle : (m, k) cumulative payments by lag; NaN where the lag has not been reached. Each row is known up to
        some lag and not beyond; row 0 is the oldest.

    Returns
    -------
    `ChainLadder`; NaN where a factor cannot be had (no month tells it, or the sum at the earlier lag is 0).

    References
    ----------
    Mack T. Distribution-free calculation of the standard error of chain ladder reserve estimates. ASTIN Bulletin
    1993;23:213-25; its table of Taylor and Ashe's claims is in the tests.
    """
    known = np.isfinite(triangle)
    m, k = triangle.shape
    factors = np.full(max(k - 1, 0), np.nan)
    for lag in range(k - 1):
        both = known[:, lag] & known[:, lag + 1]
        below = triangle[both, lag].sum()
        if both.any() and below != 0:
            factors[lag] = triangle[both, lag + 1].sum() / below
    reached = known.sum(axis=1) - 1
    paid = np.where(reached >= 0, triangle[np.arange(m), np.maximum(reached, 0)], np.nan)
    growth = np.array([np.prod(factors[max(at, 0) :]) for at in reached])
    growth = np.where(reached >= 0, growth, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        completion = np.where(growth != 0, 1.0 / growth, np.nan)
    return ChainLadder(factors, paid, completion, paid * growth)
