"""Matching a Dataset: from covariates by name to the sets of people who are compared with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.design import Design, raw_number
from clinops.define.adjustment import Adjustment
from clinops.define.base import slug
from clinops.errors import DataError

if TYPE_CHECKING:
    from clinops.stats.matching import MatchedSets
    from clinops.stats.propensity import PropensityFit
    from clinops.stats.subclasses import Subclasses

Ints = NDArray[np.int64]
APART = ("optimal", "mahalanobis", "full")
"""Ways of matching by a distance that do not look whose rows they pair; a person is nearest to themselves."""


@dataclass(frozen=True)
class Sets:
    """Who is compared with whom; n rows.

    Attributes
    ----------
    set_id : (n,), -1 in none. weights : (n,), 0 in none.
    share_unmatched : of the exposed, 0..1. n_unmatched_treated : of them.
    clusters : whether the sets are what the variance respects (matched people are alike), not so a few large groups.
    """

    set_id: Ints
    weights: Floats
    share_unmatched: float
    n_unmatched_treated: int
    clusters: bool = True


def matched_sets(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    """Match the exposed as an adjustment says.

    Parameters
    ----------
    fit : the propensity score. design : the columns it saw; Mahalanobis distances are taken in them.
    seed : of a random order.

    Raises
    ------
    DataError : a covariate by name that these records cannot give; pairs or full sets by a way that would match a
        person of several rows with themselves.
    """
    if how.how in APART and _persons(data) is not None:
        raise DataError(
            f"People stand in several rows, and {how.how} matching may pair one with themselves or take one twice. Use "
            "how='nearest', which keeps a person's rows apart, or weights, or let each person enter once."
        )
    return _WAYS[how.how](data, how, fit, design, seed)


def _nearest(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.matching import match

    return _of_pairs(match(
        _scale(how, fit), fit.treated, ratio=how.ratio, caliper=how.caliper, exact=_equal(data, how.exact),
        replace=how.replacement, order=how.order, seed=seed, person=_persons(data),
    ))  # fmt: skip


def _persons(data: Dataset) -> Ints | None:
    """(n,) whose rows these are, where somebody has several: a person then serves once, whatever the row."""
    return data.person if len(np.unique(data.person)) < len(data) else None


def _optimal(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.optimal import optimal_match

    return _of_pairs(optimal_match(
        _scale(how, fit), fit.treated, ratio=how.ratio, caliper=how.caliper, exact=_equal(data, how.exact)
    ))  # fmt: skip


def _full(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.full_matching import full_match

    return _of_pairs(full_match(
        _scale(how, fit), fit.treated, estimand=how.estimand, caliper=how.caliper, exact=_equal(data, how.exact)
    ))  # fmt: skip


def _mahalanobis(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.mahalanobis import match_mahalanobis

    _known(data, how.on, "on")
    names = {slug(name) for name in how.on}
    columns = [i for i, term in enumerate(design.terms) if not names or term.measure.id in names]
    scored = how.caliper is not None or how.order in ("largest", "smallest")
    return _of_pairs(match_mahalanobis(
        design.matrix[:, columns], fit.treated, ratio=how.ratio, score=_scale(how, fit) if scored else None,
        caliper=how.caliper, exact=_equal(data, how.exact), replace=how.replacement, order=how.order, seed=seed,
    ))  # fmt: skip


def _exact(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.subclasses import exact_match

    labels = _equal(data, how.on)
    assert labels is not None, "a definition of exact matching names its covariates"
    return _of_groups(exact_match(labels, fit.treated))


def _coarsened(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    """Cut numbers into bins; levels, things that were there or not, and missing values are matched as they are."""
    from clinops.stats.subclasses import coarsened_exact_match

    asked = (*how.on, *(cut.covariate for cut in how.cuts))
    _known(data, asked, "on")
    names = {slug(name) for name in asked}
    measures = {t.measure.id: t.measure for t in design.terms}
    chosen = [m for m in measures.values() if not names or m.id in names]
    own = {slug(cut.covariate): np.array(cut.at) for cut in how.cuts}
    usual = int(np.ceil(np.log2(max(len(data), 1)) + 1))  # Sturges
    columns, bins = [], []
    equal = [m.id for m in chosen if m.categorical or (m.measure == "any" and m.id not in own)]
    missing = []
    for measure in chosen:
        if measure.id in equal:
            continue
        value = raw_number(data, measure)
        known = np.isfinite(value)
        missing.append(~known)
        columns.append(np.where(known, value, value[known].mean() if known.any() else 0.0))
        bins.append(own.get(measure.id, usual))
    labels = [_codes(data, [*equal, *(slug(name) for name in how.exact)]), *(m.astype(np.int64) for m in missing)]
    matrix = np.column_stack(columns) if columns else np.zeros((len(data), 0))
    return _of_groups(coarsened_exact_match(matrix, fit.treated, bins=bins, exact=np.column_stack(labels)))


def _subclass(data: Dataset, how: Adjustment, fit: PropensityFit, design: Design, seed: int) -> Sets:
    from clinops.stats.subclasses import subclassify

    return _of_groups(subclassify(_scale(how, fit), fit.treated, how.strata), clusters=False)


_WAYS: dict[str, Callable[[Dataset, Adjustment, Any, Design, int], Sets]] = {
    "nearest": _nearest, "optimal": _optimal, "mahalanobis": _mahalanobis, "full": _full, "exact": _exact,
    "coarsened": _coarsened, "subclass": _subclass,
}  # fmt: skip
"""Every way of matching that `HOWS` names."""


def _scale(how: Adjustment, fit: PropensityFit) -> Floats:
    return fit.logit if how.caliper_on == "logit" else fit.score


def _of_pairs(found: MatchedSets) -> Sets:
    return Sets(found.set_id, found.weights, float(found.share_unmatched), found.n_unmatched_treated)


def _of_groups(found: Subclasses, clusters: bool = True) -> Sets:
    return Sets(found.subclass, found.weights, float(found.share_unmatched), found.n_unmatched_treated, clusters)


def _known(data: Dataset, names: tuple[str, ...], option: str) -> None:
    if absent := [name for name in names if slug(name) not in data.baseline.columns]:
        what = "exact on" if option == "exact" else "on"
        raise DataError(
            f"Matching is to be {what} {', '.join(map(repr, absent))}, which these records cannot give; leave it out "
            f"of {option}=."
        )


def _equal(data: Dataset, names: tuple[str, ...]) -> Ints | None:
    """(n,) codes of the combinations of some covariates' values, a missing one a value of its own; None for none."""
    _known(data, names, "exact")
    return _codes(data, [slug(name) for name in names]) if names else None


def _codes(data: Dataset, columns: list[str]) -> Ints:
    if not columns:
        return np.zeros(len(data), dtype=np.int64)
    return np.asarray(data.baseline.groupby(columns, dropna=False, sort=True).ngroup(), dtype=np.int64)
