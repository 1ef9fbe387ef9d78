"""Columns summarised by group: sizes, means, spreads and counts, each from one walk over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.glm import Floats, Ints

BLOCK = 8192
"""Rows at a time: they stay in the processor's cache, and are too few for BLAS to wait for its other threads."""


@dataclass(frozen=True)
class Groups:
    """Rows put in order of their group once, so that each column afterwards is cut by slices.

    Attributes
    ----------
    code : (n,) the group of each row, 0 to k - 1. size : (k,) rows of each.
    order : (n,) the rows, group by group, or None where they stand so already.
    """

    code: Ints
    size: Ints
    order: Ints | None

    def split(self, x: Floats) -> list[Floats]:
        """Return the (n,) column cut into one array a group."""
        return np.split(x if self.order is None else x[self.order], np.cumsum(self.size)[:-1])


def groups(code: ArrayLike, k: int) -> Groups:
    """Put rows in order of their group.

    Parameters
    ----------
    code : (n,) whole numbers 0 to k - 1; a row without a group is the caller's to set aside. k : groups, which may
        be empty.

    Raises
    ------
    DataError : a code outside 0 to k - 1, or not one a row.
    """
    given = np.asarray(code)
    if given.ndim != 1 or given.dtype.kind not in "iu" or (len(given) and not 0 <= given.min() <= given.max() < k):
        raise DataError(f"group codes must be (n,) whole numbers from 0 to {k - 1}; set other rows aside first.")
    # a stable sort of a narrow type is a radix sort: one pass
    narrow: NDArray[Any] = given.astype(np.int16 if k <= np.iinfo(np.int16).max else np.int64)
    sorted_already = bool(np.all(narrow[1:] >= narrow[:-1]))
    order = None if sorted_already else np.argsort(narrow, kind="stable")
    return Groups(given.astype(np.int64), np.bincount(given, minlength=k).astype(np.int64), order)


@dataclass(frozen=True)
class GroupMoments:
    """Size, mean and spread of a column in each of k groups.

    Attributes
    ----------
    n : (k,) rows with a value. missing : (k,) rows without. weight, squares : (k,) sums of the weights and of their
    squares over the rows with a value; n and n without weights. mean : (k,), NaN where nobody has a value.
    deviance : (k,) weighted sum of squared deviations from the mean.
    """

    n: Ints
    missing: Ints
    weight: Floats
    squares: Floats
    mean: Floats
    deviance: Floats

    @property
    def variance(self) -> Floats:
        """(k,) deviance over sum w - sum w^2 / sum w, which is n - 1 without weights; NaN for fewer than two rows."""
        safe = np.where(self.weight > 0, self.weight, 1.0)
        below = self.weight - self.squares / safe
        sound = (self.n > 1) & (below > 1e-12 * safe)
        return np.where(sound, self.deviance / np.where(sound, below, 1.0), np.nan)

    def together(self) -> GroupMoments:
        """Return the moments of all groups as one."""
        weight = self.weight.sum()
        known = self.weight > 0
        mean = float(self.weight[known] @ self.mean[known]) / weight if weight > 0 else np.nan
        between = float(self.weight[known] @ (self.mean[known] - mean) ** 2)
        one = (self.n.sum(), self.missing.sum(), weight, self.squares.sum(), mean, self.deviance.sum() + between)
        return GroupMoments(*(np.atleast_1d(value) for value in one))


def group_moments(parts: Sequence[ArrayLike], weights: Sequence[ArrayLike] | None = None) -> GroupMoments:
    """What are the size, mean and spread of a column in each group?

    Parameters
    ----------
    parts : the column cut by `Groups.split`, one (n_g,) array a group; NaN is missing. weights : cut alike, each >= 0.

    Raises
    ------
    DataError : infinite values.

    Notes
    -----
    Deviations are taken from the mean of a block of rows, not from 0: no digits are lost to a large mean, and a
    constant has a spread of exactly 0. Chan, Golub and LeVeque 1983 for putting blocks, and groups, together.
    """
    made = [
        _moments(np.asarray(part, dtype=float), None if weights is None else np.asarray(weights[at], dtype=float))
        for at, part in enumerate(parts)
    ]
    found = np.array(made).reshape(-1, 6)
    whole = found[:, :2].astype(np.int64)
    return GroupMoments(whole[:, 0], whole[:, 1], *(found[:, at].copy() for at in range(2, 6)))


def _moments(x: Floats, w: Floats | None) -> tuple[float, ...]:
    """Walk over blocks that stay in the cache, and put each to those before it."""
    total: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for start in range(0, len(x), BLOCK):
        stop = start + BLOCK
        block = _block(x[start:stop], None if w is None else w[start:stop])
        total = block if start == 0 else _joined(total, block)
    return total if total[2] > 0 else (*total[:4], np.nan, 0.0)


def _block(x: Floats, w: Floats | None) -> tuple[float, ...]:
    rows = len(x)
    if not np.isfinite(x.sum()):  # one walk for the common case: a sum is finite only where every value is
        known = ~np.isnan(x)
        x, w = x[known], None if w is None else w[known]
        if np.isinf(x).any():
            raise DataError("some values are infinite; set them missing, or give their number.")
    n = len(x)
    weight, squares = (float(n), float(n)) if w is None else (float(w.sum()), float(w @ w))
    if not weight > 0:
        return n, rows - n, weight, squares, 0.0, 0.0
    apart = x - x[0]  # a constant is then exactly 0 from it
    shift = float(apart.mean() if w is None else w @ apart / weight)
    apart -= shift
    deviance = float(apart @ apart if w is None else w @ (apart * apart))
    return n, rows - n, weight, squares, float(x[0]) + shift, deviance


def _joined(one: tuple[float, ...], two: tuple[float, ...]) -> tuple[float, ...]:
    """Put two blocks together (Chan, Golub and LeVeque 1983)."""
    n, missing, weight, squares = (a + b for a, b in zip(one[:4], two[:4], strict=True))
    if not one[2] > 0 or not two[2] > 0:
        return n, missing, weight, squares, *(one if one[2] > 0 else two)[4:]
    gap = two[4] - one[4]
    mean = one[4] + gap * two[2] / weight
    return n, missing, weight, squares, mean, one[5] + two[5] + gap * gap * one[2] * two[2] / weight


def group_counts(level: ArrayLike, split: Groups, levels: int, weights: ArrayLike | None = None) -> Floats:
    """How many rows of each group are at each level?

    Parameters
    ----------
    level : (n,) whole numbers 0 to levels - 1, and -1 where missing. weights : (n,), to add up instead of counting.

    Returns
    -------
    (levels + 1, k) counts, or sums of the weights; the last row is of those without a value.
    """
    code, k = np.asarray(level), len(split.size)
    if code.shape != split.code.shape or (len(code) and not -1 <= code.min() <= code.max() < levels):
        raise DataError(f"levels must be ({len(split.code)},) whole numbers from -1 to {levels - 1}.")
    place = (code + 1) * np.int64(k) + split.code
    w = None if weights is None else np.asarray(weights, dtype=float)
    table = np.bincount(place, weights=w, minlength=(levels + 1) * k).reshape(levels + 1, k)
    return np.roll(table, -1, axis=0).astype(float)
