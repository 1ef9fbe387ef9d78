"""Adjustment: from covariates to weights, with what the variance needs to know of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.design import Design, model_design
from clinops.define.adjustment import BALANCING, FOLDS, Adjustment
from clinops.define.base import slug
from clinops.errors import DataError

if TYPE_CHECKING:
    from clinops.define.measures import Measure
    from clinops.stats.propensity import PropensityFit
    from clinops.stats.weighting import BalancingWeights

ESTIMANDS = {
    "att": "average effect in the exposed (ATT)",
    "ate": "average effect in everybody (ATE)",
    "overlap": "average effect in the overlap population",
    "atc": "average effect in the comparators (ATC)",
    "matching": "average effect in the evenly matchable population (ATM)",
}
CODES = {"overlap": "ato", "matching": "atm"}
"""Estimands that the estimators know by another name."""

USED_UP = 1 / 3
"""Share of the comparator's persons from which serving once is said to choose among them (docs/comparators.md)."""


@dataclass(frozen=True)
class Adjusted:
    """Weights that make the arms comparable; n rows.

    Attributes
    ----------
    adjustment : as asked for.
    weights : (n,) 0 for rows that were set aside.
    cluster : (n,) ids of the clusters that the variance respects, and `cluster_name` what they are.
    crossed : (n,) matched set, where persons (or care sites) stand in several sets and `cluster` holds those; else
        None. `clusters` is what a variance that can respect both takes.
    propensity, design : the fitted score (or the equations that the weights solve) and the columns it saw; None for a
        crude comparison.
    score : (n,) propensity score that overlap is judged on; None for a crude comparison.
    balancing : weights with their derivative in the score, for M-estimation; None unless weighted.
    sets : (n,) matched set, -1 for none; None without matching.
    estimand : in words, for whom the effect holds.
    share_unmatched : of the exposed entries; 0 without matching.
    notes : what a reader must know.
    seed : of what an estimator draws (folds).
    """

    adjustment: Adjustment
    weights: Floats
    cluster: NDArray[np.int64]
    cluster_name: str
    propensity: PropensityFit | None = None
    design: Design | None = None
    balancing: BalancingWeights | None = None
    sets: NDArray[np.int64] | None = None
    estimand: str = ""
    share_unmatched: float = 0.0
    notes: tuple[str, ...] = ()
    score: Floats | None = None
    seed: int = 0
    crossed: NDArray[np.int64] | None = None

    @property
    def clusters(self) -> NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The clusters, or the two kinds of them that cross: matched sets, and persons or care sites."""
        return self.cluster if self.crossed is None else (self.crossed, self.cluster)

    @property
    def label(self) -> str:
        """The method in a few words."""
        return self.adjustment.label

    @property
    def known_weights(self) -> bool:
        """Whether the variance takes the weights as given: crude, matched, penalised and boosted scores."""
        fit = self.propensity
        return self.adjustment.method != "weight" or fit is None or fit.bread is None


def refuse_missing(adjustments: Iterable[Adjustment]) -> None:
    """Refuse, before anything runs, an adjustment whose package is not installed.

    Raises
    ------
    DefinitionError : boosting without scikit-learn; says what to install.
    """
    if any(how.using == "boosted" for how in adjustments):
        from clinops.stats.learners import histogram_boosting

        histogram_boosting()


def adjust(
    data: Dataset, covariates: tuple[Measure, ...], adjustment: Adjustment, *, cluster: str = "person", seed: int = 0
) -> Adjusted:
    """Weight or match the arms on the covariates.

    Parameters
    ----------
    data : both arms; outcomes are not read.
    covariates : those of the protocol; ones that the source could not give are left out.
    adjustment : what to do.
    cluster : the unit of assignment, "person", "care site" or "clinician".
    seed : of a random order of matching, where one is used.

    Raises
    ------
    DataError : an arm is empty, no covariate varies, no weights make the means equal, or a doubly robust estimator has
        scores of 0 or 1.

    Notes
    -----
    Asked again for the same rows, it gives the same answer from memory: no outcome can change it.
    """
    key = ("adjust", covariates, adjustment, cluster, seed)
    return data.once(key, lambda: _adjust(data, covariates, adjustment, cluster, seed))


def _adjust(
    data: Dataset, covariates: tuple[Measure, ...], adjustment: Adjustment, cluster: str, seed: int
) -> Adjusted:  # fmt: skip
    for arm, count in (("exposed", int(data.exposed.sum())), ("comparator", int((~data.exposed).sum()))):
        if not count:
            raise DataError(f"Nobody is in the {arm} arm, so there is nothing to compare.")
    groups, name = _clusters(data, cluster)
    if adjustment.method == "none":
        return Adjusted(
            adjustment, np.ones(len(data)), groups, name, estimand="difference between the arms as they are"
        )
    covariates = _scored(covariates, adjustment)
    design = data.once(("design", covariates), lambda: model_design(data, covariates))
    if not design.terms:
        raise DataError(
            "No covariate varies in these records, so there is nothing to adjust for; use adjust=co.crude()."
        )
    fit = _score(data, covariates, design, adjustment, seed)
    notes = (fit.note,) if fit.note and _uses_score(adjustment) else ()
    if adjustment.method == "match":
        return replace(_matched(data, adjustment, fit, design, groups, name, notes, seed), score=fit.score)
    if adjustment.method == "standardise":
        weights, estimand = np.ones(len(data)), ESTIMANDS[adjustment.estimand]
        return Adjusted(adjustment, weights, groups, name, fit, design, estimand=estimand, notes=notes, score=fit.score)
    if adjustment.method == "doubly robust" and not _overlapping(fit):
        raise DataError(
            "Some scores are 0 or 1, so the arms do not overlap there and no doubly robust effect exists. Narrow the "
            "eligibility, give the score a penalty, or use co.weight('overlap')."
        )
    if adjustment.using in BALANCING:
        return _balanced(data, adjustment, fit, design, groups, name)
    return replace(_weighted(adjustment, fit, design, groups, name, notes), seed=seed)


def _overlapping(fit: PropensityFit) -> bool:
    """Whether every score lies between 0 and 1, so that its inverse weights exist."""
    return not fit.separated and bool(((fit.score > 0) & (fit.score < 1)).all())


def _uses_score(adjustment: Adjustment) -> bool:
    """Whether the comparison rests on the propensity score, and not only its picture of the overlap."""
    if adjustment.method == "match":
        by_score = adjustment.caliper is not None or adjustment.order in ("largest", "smallest")
        on_it = ("nearest", "optimal", "full", "subclass")
        return adjustment.how in on_it or (adjustment.how == "mahalanobis" and by_score)
    return adjustment.method != "standardise"


def _scored(covariates: tuple[Measure, ...], adjustment: Adjustment) -> tuple[Measure, ...]:
    """What the score is of: not a calendar period that pairs share anyway, whose levels may lack one of the arms."""
    exact = {slug(name) for name in adjustment.exact}
    return tuple(m for m in covariates if m.measure != "index period" or m.id not in exact)


def _score(
    data: Dataset, covariates: tuple[Measure, ...], design: Design, adjustment: Adjustment, seed: int
) -> PropensityFit:  # fmt: skip
    """The propensity score; adjustments that differ only in what they make of it share one fit."""
    penalty, strength = adjustment.penalty, adjustment.strength
    using = "logistic" if adjustment.using in BALANCING else adjustment.using
    key = ("score", covariates, using, penalty, strength, seed if using == "boosted" else None)
    fit: PropensityFit = data.once(key, lambda: SCORES[using](data, design, adjustment, seed))
    return fit


def _logistic(data: Dataset, design: Design, adjustment: Adjustment, seed: int) -> PropensityFit:
    from clinops.stats.propensity import propensity

    return propensity(design.matrix, data.exposed, penalty=adjustment.penalty, strength=adjustment.strength)


def _boosted(data: Dataset, design: Design, adjustment: Adjustment, seed: int) -> PropensityFit:
    """Scores out of fold, a person's entries in one fold."""
    from clinops.stats.boosted_score import boosted_propensity

    alone = len(np.unique(data.person)) == len(data)
    return boosted_propensity(
        design.matrix, data.exposed, seed=seed, folds=FOLDS, cluster=None if alone else data.person
    )


SCORES = {"logistic": _logistic, "boosted": _boosted}
"""What a propensity score can be made with."""


def _weighted(
    adjustment: Adjustment, fit: PropensityFit, design: Design, groups: NDArray, name: str, notes: tuple[str, ...]
) -> Adjusted:
    from clinops.stats.weighting import balancing_weights

    estimand = adjustment.estimand
    limits = None if adjustment.truncate is None else (0.0, adjustment.truncate)
    made = balancing_weights(
        fit, estimand=CODES.get(estimand, estimand), truncate=limits, stabilise=adjustment.stabilised
    )
    if adjustment.truncate is not None:
        notes = (*notes, f"Weights above the {100 * adjustment.truncate:g}th percentile were set to it.")
    return Adjusted(
        adjustment, made.weights, groups, name, fit, design, made, None, ESTIMANDS[estimand], 0.0, notes, fit.score
    )


def _balanced(
    data: Dataset, adjustment: Adjustment, fit: PropensityFit, design: Design, groups: NDArray, name: str
) -> Adjusted:
    """Weights that make the means equal, with the equations that they solve in the place of the score's."""
    from clinops.stats.calibrated_weights import calibrate

    found = calibrate(design.matrix, data.exposed, kind=adjustment.using, estimand=adjustment.estimand)
    if found.weights is None or found.fit is None:
        beyond = [design.terms[place].label for place in found.beyond]
        why = f"{', '.join(beyond)}: beyond their range" if beyond else "each covariate is in range, not all at once"
        raise DataError(
            f"No weights make the covariates' means equal ({why}). Narrow the eligibility, leave the covariate out, or "
            "use co.weight('overlap')."
        )
    score = found.fit.score if adjustment.using == "cbps" else fit.score
    notes = (found.note,) if found.note else ()
    return Adjusted(
        adjustment, found.weights.weights, groups, name, found.fit, design, found.weights, None,
        ESTIMANDS[adjustment.estimand], 0.0, notes, score,
    )  # fmt: skip


def _matched(
    data: Dataset, adjustment: Adjustment, fit: PropensityFit, design: Design, groups: NDArray, name: str,
    notes: tuple[str, ...], seed: int,
) -> Adjusted:  # fmt: skip
    from clinops.analyse.matched_sets import matched_sets

    pairs = matched_sets(data, adjustment, fit, design, seed)
    notes = (*notes, *_used_up(data, pairs.weights, adjustment.replacement))
    share = float(pairs.share_unmatched)
    estimand = ESTIMANDS[adjustment.estimand]
    if adjustment.estimand != "att" and (pairs.weights == 0).any():
        estimand += ", of those who could be matched"
    elif share > 0:
        estimand = "average effect in the matched treated (exposed who found a match)"
    if share > 0:
        notes = (*notes, f"n = {pairs.n_unmatched_treated} of {int(fit.treated.sum())} exposed entries found no match.")
    if not pairs.clusters:  # a few large groups: people in them are no more alike than the score makes them
        return Adjusted(
            adjustment, pairs.weights, groups, name, fit, design, None, pairs.set_id, estimand, share, notes
        )
    cluster, label, crossed = _set_clusters(pairs.set_id, groups, name, adjustment.replacement)
    return Adjusted(
        adjustment, pairs.weights, cluster, label, fit, design, None, pairs.set_id, estimand, share, notes,
        crossed=crossed,
    )  # fmt: skip


def _used_up(data: Dataset, weights: Floats, replacement: bool) -> tuple[str, ...]:
    """Say when so many of the persons who wait serve that who they are depends on how often they could have."""
    waiting = data.person[~data.exposed]
    there, used = len(np.unique(waiting)), len(np.unique(data.person[~data.exposed & (weights > 0)]))
    if replacement or there == len(waiting) or used < USED_UP * there:
        return ()
    return (
        f"{100 * used / there:.0f} % of the persons of the comparator serve, each once: those with many dates (often "
        "the sicker) weigh less than their dates would. Use replacement=True or weights, or see the balance.",
    )


def _repeated(ids: NDArray[np.int64]) -> bool:
    return len(np.unique(ids)) < len(ids)


def _clusters(data: Dataset, cluster: str) -> tuple[NDArray[np.int64], str]:
    if cluster == "person":
        return data.person, "person"
    column = {"care site": "care_site_id", "clinician": "clinician_id"}[cluster]
    if column not in data.baseline.columns or data.baseline[column].isna().all():
        raise DataError(f"The protocol clusters on the {cluster}, but no row has one; use cluster='person'.")
    units = data.baseline[column]
    # A row without one is its own cluster: it shares its assignment with nobody we know of.
    alone = -1 - np.arange(len(data), dtype=np.int64)
    return np.where(units.isna(), alone, units.fillna(0).astype("int64")).astype(np.int64), cluster


def _set_clusters(
    sets: NDArray[np.int64], groups: NDArray[np.int64], name: str, replacement: bool
) -> tuple[NDArray[np.int64], str, NDArray[np.int64] | None]:
    """Clusters of matched rows, their name, and the sets where these cross with persons or care sites.

    Whoever stands in one set alone is respected by the set. Rows that serve again and again belong to no one set, and
    sets that share them would join into few clusters: persons alone are the clusters then (matched people are alike, so
    leaving the sets out makes intervals too wide rather than too narrow).
    """
    inside = sets >= 0
    if not replacement and not _repeated(groups[inside]):
        return sets, "matched set", None
    own = np.full(len(sets), -1, dtype=np.int64)
    own[inside] = np.unique(groups[inside], return_inverse=True)[1]
    return own, name if replacement else f"matched set and {name}", None if replacement else sets
