"""Groups of like people without a distance between two: exact and coarsened exact matching, subclassification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError, DefinitionError, unknown
from clinops.stats.glm import Floats, Ints
from clinops.stats.matching import exact_codes, unmatched_note
from clinops.stats.propensity import as_covariates, as_treated

Bins = int | str | Sequence[int | ArrayLike]


@dataclass(frozen=True)
class Subclasses:
    """Who is in a group with people of both arms; n rows, s groups.

    Attributes
    ----------
    subclass : (n,), 0, 1, ... in order of the first row (of the score, for `subclassify`); -1 in no group. The
        cluster for the variance.
    weights : (n,), 0 in no group; treated 1, the comparators of a group share its number of treated, scaled so that
        comparators' weights average 1 (as MatchIt, for the effect in the treated).
    treated_in, comparators_in : (s,) people of each arm in each group.
    cuts : the cut points of each column that was cut; a value on a cut belongs above it.
    n_treated, n_matched_treated, n_unmatched_treated, n_matched_comparators, n_unmatched_comparators : people.
    share_unmatched : unmatched of the treated, 0..1. When it is not 0 the effect is that in the matched treated.
    note : "" or what a reader must know.
    """

    subclass: Ints
    weights: Floats
    treated_in: Ints
    comparators_in: Ints
    cuts: tuple[Floats, ...]
    n_treated: int
    n_matched_treated: int
    n_unmatched_treated: int
    n_matched_comparators: int
    n_unmatched_comparators: int
    share_unmatched: float
    note: str


def exact_match(labels: ArrayLike, treated: ArrayLike) -> Subclasses:
    """Group people whose labels are all equal, and keep the groups with both arms.

    Parameters
    ----------
    labels : (n,) or (n, q) values of any kind; the caller makes a missing value a level of its own or leaves it out.
    treated : (n,) 0/1.

    Raises
    ------
    DataError : shapes, missing numbers.

    Notes
    -----
    Source: Stuart 2010. Groups and weights equal to MatchIt 4.7.1, method = "exact".
    """
    arm = as_treated(treated)
    given = np.asarray(labels)
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise DataError(f"{int(np.isnan(given).sum())} labels are missing; make them a level or set the rows aside.")
    return _grouped(_by_first_row(exact_codes(given, len(arm))), arm, ())


def coarsened_exact_match(
    X: ArrayLike, treated: ArrayLike, *, bins: Bins = "sturges", exact: ArrayLike | None = None
) -> Subclasses:
    """Cut each of k covariates into bins and match exactly on the bins.

    Parameters
    ----------
    X : (n, k) numbers. treated : (n,) 0/1.
    bins : "sturges" (ceiling(log2 n + 1) bins of equal width from the least to the largest value), a number of bins of
        equal width for all columns, or for each column a number or its own inner cut points.
    exact : (n,) or (n, q) labels that must be equal besides.

    Raises
    ------
    DefinitionError : bins that are no rule, below 1, or not one for each column. DataError : shapes, missing values.

    Notes
    -----
    A value on a cut belongs above it; the largest value is in the last bin. Cut points with a meaning are better than
    equal widths. Source: Iacus, King and Porro 2012; bins as MatchIt 4.7.1, method = "cem", groups and weights equal.
    """
    arm = as_treated(treated)
    matrix = as_covariates(X, len(arm))
    cuts = tuple(_cuts(column, rule) for column, rule in zip(matrix.T, _rules(bins, matrix), strict=True))
    binned = [np.searchsorted(cut, column, side="right") for cut, column in zip(cuts, matrix.T, strict=True)]
    code = np.column_stack([exact_codes(exact, len(arm)), *binned])
    return _grouped(_by_first_row(exact_codes(code, len(arm))), arm, cuts)


def subclassify(distance: ArrayLike, treated: ArrayLike, number: int = 5) -> Subclasses:
    """Cut one number, such as the propensity score, at quantiles of the treated.

    Parameters
    ----------
    distance : (n,) any number on which near means alike. treated : (n,) 0/1.
    number : groups; fewer when quantiles are equal or a group lacks an arm (its people are set aside and counted).

    Raises
    ------
    DefinitionError : number below 1. DataError : shapes, missing distances.

    Notes
    -----
    Quantiles are R's type 7; a value on a cut belongs above it, values beyond the treated's range to the outer groups.
    Source: Rosenbaum and Rubin 1984. Groups and weights equal to MatchIt 4.7.1, method = "subclass", which fills a
    group that lacks an arm from its neighbours; here it is not filled.
    """
    value, arm = np.asarray(distance, dtype=float), as_treated(treated)
    if value.shape != arm.shape:
        raise DataError(f"distance has shape {value.shape} and treated {arm.shape}; they must be equal.")
    if not np.isfinite(value).all():
        missing = int((~np.isfinite(value)).sum())
        raise DataError(f"{missing} of {len(value)} distances are missing or infinite; set those rows aside.")
    if number < 1 or int(number) != number:
        raise DefinitionError(f"number is {number!r}; it must be a whole number of groups, at least 1.")
    inner = np.quantile(value[arm], np.arange(1, number) / number) if arm.any() else np.zeros(0)
    cut = np.unique(inner)
    return _grouped(np.searchsorted(cut, value, side="right").astype(np.int64), arm, (cut,))


def _rules(bins: Bins, matrix: Floats) -> list[int | Floats]:
    """Return for each column a number of bins or its cut points."""
    k = matrix.shape[1]
    if isinstance(bins, str):
        if bins.lower() != "sturges":
            raise DefinitionError(unknown("rule for bins", bins, ("sturges",)))
        return [int(np.ceil(np.log2(max(len(matrix), 1)) + 1))] * k
    each = [bins] * k if isinstance(bins, int) else list(bins)
    if len(each) != k:
        raise DefinitionError(f"bins has {len(each)} rules for {k} columns; give one for each.")
    return [_rule(rule) for rule in each]


def _rule(rule: int | ArrayLike) -> int | Floats:
    given = np.asarray(rule, dtype=float)
    if given.ndim == 0:
        if given < 1 or given != int(given):
            raise DefinitionError(f"bins holds {rule!r}; a number of bins is whole and at least 1.")
        return int(given)
    if given.ndim != 1 or not (np.diff(given) > 0).all():
        raise DefinitionError(f"bins holds the cut points {rule!r}; they must rise.")
    return given


def _cuts(column: Floats, rule: int | Floats) -> Floats:
    if not isinstance(rule, int):
        return rule
    if not len(column):
        return np.zeros(0)
    return np.unique(np.linspace(column.min(), column.max(), rule + 1)[1:-1])  # of a constant all are one


def _by_first_row(code: Ints) -> Ints:
    """Number groups in the order in which they first appear."""
    _, first, group = np.unique(code, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[group].astype(np.int64)


def _grouped(code: Ints, arm: NDArray[np.bool_], cuts: tuple[Floats, ...]) -> Subclasses:
    """Keep the groups with both arms, numbered anew in their order."""
    size = int(code.max(initial=-1)) + 1
    one, zero = np.bincount(code[arm], minlength=size), np.bincount(code[~arm], minlength=size)
    both = (one > 0) & (zero > 0)
    kept = both[code]
    weights = np.where(kept, np.where(arm, 1.0, one[code] / np.maximum(zero[code], 1)), 0.0)
    n_one, n_zero = int((kept & arm).sum()), int((kept & ~arm).sum())
    if n_one:
        weights[~arm] *= n_zero / n_one
    n_treated, n_pool = int(arm.sum()), int((~arm).sum())
    number = np.append(np.cumsum(both) - 1, -1)
    return Subclasses(
        subclass=np.where(kept, number[code], -1).astype(np.int64),
        weights=weights,
        treated_in=one[both].astype(np.int64),
        comparators_in=zero[both].astype(np.int64),
        cuts=cuts,
        n_treated=n_treated,
        n_matched_treated=n_one,
        n_unmatched_treated=n_treated - n_one,
        n_matched_comparators=n_zero,
        n_unmatched_comparators=n_pool - n_zero,
        share_unmatched=(n_treated - n_one) / n_treated if n_treated else np.nan,
        note=unmatched_note(n_treated, n_treated - n_one, n_pool),
    )
