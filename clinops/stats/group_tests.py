"""Tests of whether groups differ: Welch's, Kruskal and Wallis's, Pearson's and Fisher's.

Each takes what has been summed already, or one column; none takes weights, with which P needs a survey design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError
from clinops.stats.glm import Floats
from clinops.stats.normal import chi2_tail

NAN = float("nan")
FEW = 5
"""Expected count below which the chi-squared distribution is no longer relied on (Cochran 1954)."""


@dataclass(frozen=True)
class GroupTest:
    """One test of a difference between groups.

    Attributes
    ----------
    method : which test. statistic, df : its value and degrees of freedom (two of an F), empty for Fisher's.
    p_value : two-sided; NaN where nothing can be tested. note : "" or what a reader must know.
    """

    method: str
    statistic: float
    df: tuple[float, ...]
    p_value: float
    note: str = ""


def welch_test(n: ArrayLike, mean: ArrayLike, variance: ArrayLike) -> GroupTest:
    """Do the means of k groups differ, whatever their variances?

    Parameters
    ----------
    n, mean, variance : (k,) size, mean and variance (n - 1 below) of each group.

    Returns
    -------
    Welch's t for two groups (df of Satterthwaite), Welch's F for more. NaN with a note where a group has fewer than two
    values, no group varies, or, with more than two groups, one of them does not vary.

    Raises
    ------
    DataError : shapes that differ, fewer than two groups.

    Notes
    -----
    Welch 1947, 1951. Equal to R's `t.test` and `oneway.test`.
    """
    size, m, v = (np.asarray(each, dtype=float) for each in (n, mean, variance))
    if size.ndim != 1 or not size.shape == m.shape == v.shape or len(size) < 2:
        shapes = f"{size.shape}, {m.shape}, {v.shape}"
        raise DataError(f"n, mean and variance have shapes {shapes}; each must be (k,), k > 1.")
    method = "Welch's t" if len(size) == 2 else "Welch's F"
    if (size < 2).any():
        return _untested(method, "A group has fewer than two values: not tested.")
    if (v == 0).all():
        return _untested(method, "No group varies: not tested.")
    if len(size) == 2:
        return _welch_t(method, size, m, v)
    if (v == 0).any():
        return _untested(method, "A group does not vary: not tested.")
    return _welch_f(method, size, m, v)


def _welch_t(method: str, n: Floats, mean: Floats, variance: Floats) -> GroupTest:
    from scipy.special import stdtr

    part = variance / n
    t = float((mean[0] - mean[1]) / np.sqrt(part.sum()))
    df = float(part.sum() ** 2 / (part**2 / (n - 1)).sum())
    return GroupTest(method, t, (df,), 2 * float(stdtr(df, -abs(t))))


def _welch_f(method: str, n: Floats, mean: Floats, variance: Floats) -> GroupTest:
    from scipy.special import fdtrc

    k, w = len(n), n / variance
    share = w / w.sum()
    spread = float(((1 - share) ** 2 / (n - 1)).sum()) / (k**2 - 1)
    top = float(w @ (mean - share @ mean) ** 2) / (k - 1)
    f, df = top / (1 + 2 * (k - 2) * spread), 1 / (3 * spread)
    return GroupTest(method, f, (float(k - 1), df), float(fdtrc(k - 1, df, f)))


def kruskal_wallis(parts: Sequence[ArrayLike]) -> GroupTest:
    """Do k groups differ in the ranks of a number?

    Parameters
    ----------
    parts : one (n_g,) array a group; NaN is missing and left out.

    Returns
    -------
    H with the correction for ties and its chi-squared P. With two groups it is the Mann-Whitney test's normal
    approximation without correction for continuity. NaN with a note where a group has no value or nothing varies.

    Raises
    ------
    DataError : fewer than two groups, infinite values.

    Notes
    -----
    Kruskal and Wallis 1952. Equal to R's `kruskal.test`.
    """
    given = [np.asarray(part, dtype=float) for part in parts]
    if len(given) < 2 or any(part.ndim != 1 for part in given):
        raise DataError(f"Ranks are compared between two groups or more, one (n,) array each; got {len(given)}.")
    runs = [np.sort(part) for part in given]
    runs = [run[: len(run) - int(np.isnan(run).sum())] for run in runs]
    size = np.array([len(run) for run in runs])
    if (size == 0).any():
        return _untested("Kruskal-Wallis", "A group has no value: not tested.")
    if any(np.isinf(run[[0, -1]]).any() for run in runs):
        raise DataError("some values are infinite; set them missing, or give their number.")
    line = np.concatenate(runs)
    order = np.argsort(line, kind="stable")  # of runs that are in order already this is one merge
    ranked = line[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]) + 1, len(ranked)).astype(float)
    tied = np.diff(ends, prepend=0.0)
    if len(tied) == 1:
        return _untested("Kruskal-Wallis", "All values are equal: not tested.")
    total, k = float(len(ranked)), len(runs)
    # a run that ends at rank e and holds t values has the mean rank e - (t - 1) / 2, here less that of everybody
    middle = ends - (tied - 1) / 2 - (total + 1) / 2
    middle = middle if len(tied) == len(ranked) else np.repeat(middle, tied.astype(np.int64))
    place = np.empty_like(middle)
    place[order] = middle
    sums = np.array([part.sum() for part in np.split(place, np.cumsum(size)[:-1])])
    h = 12 / (total * (total + 1)) * float((sums**2 / size).sum())
    h /= 1 - float((tied**3 - tied).sum()) / (total**3 - total)
    return GroupTest("Kruskal-Wallis", h, (float(k - 1),), chi2_tail(h, k - 1))


def table_test(counts: ArrayLike) -> GroupTest:
    """Do k groups differ in how their members spread over levels?

    Parameters
    ----------
    counts : (levels, k) numbers of persons; those without a value left out.

    Returns
    -------
    Pearson's chi-squared without correction for continuity. For two levels and two groups with an expected count below
    5 Fisher's exact test; for a larger table with one the chi-squared all the same, with a note. NaN with a note where
    a group is empty or only one level has anybody.

    Raises
    ------
    DataError : counts that are not whole, or negative.

    Notes
    -----
    A level that nobody has is left out. Pearson 1900; Fisher 1935; Cochran 1954 for the 5. Equal to R's
    `chisq.test(correct = FALSE)` and `fisher.test`.
    """
    table = np.asarray(counts, dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or (table < 0).any() or (table != np.round(table)).any():
        raise DataError(f"counts must be (levels, k) whole numbers, k > 1, none negative; got shape {table.shape}.")
    table = table[table.sum(axis=1) > 0]
    size, method = table.sum(axis=0), "Chi-squared"
    if (size == 0).any():
        return _untested(method, "A group has no value: not tested.")
    if len(table) < 2:
        return _untested(method, "There is only one level: not tested.")
    expected = table.sum(axis=1, keepdims=True) * (size / size.sum())
    sparse = bool((expected < FEW).any())
    if sparse and table.shape == (2, 2):
        return _fisher(table)
    statistic = float(((table - expected) ** 2 / expected).sum())
    df = (len(table) - 1) * (table.shape[1] - 1)
    note = f"An expected count is below {FEW}: P is approximate." if sparse else ""
    return GroupTest(method, statistic, (float(df),), chi2_tail(statistic, df), note)


def _fisher(table: Floats) -> GroupTest:
    from clinops.stats.rates import two_by_two

    (a, b), (c, d) = table.astype(int).tolist()
    return GroupTest("Fisher's exact", NAN, (), two_by_two(a, a + c, b, b + d).fisher_p)


def _untested(method: str, why: str) -> GroupTest:
    return GroupTest(method, NAN, (), NAN, why)
