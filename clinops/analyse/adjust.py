"""Adjustment: from covariates to weights, with what the variance needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.design import Design, model_design
from clinops.define.base import slug
from clinops.define.protocol import Adjustment
from clinops.errors import DataError

if TYPE_CHECKING:
    from clinops.define.measures import Measure
    from clinops.stats.propensity import PropensityFit
    from clinops.stats.weighting import BalancingWeights

ESTIMANDS = {
    "att": "average effect in the exposed (ATT)",
    "ate": "average effect in everybody (ATE)",
    "overlap": "average effect in the overlap population",
}

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
    propensity, design : the fitted score and the columns it saw; None for a crude comparison.
    balancing : weights with their derivative in the score, for M-estimation; None unless weighted.
    sets : (n,) matched set, -1 for none; None without matching.
    estimand : in words, for whom the effect holds.
    share_unmatched : of the exposed entries; 0 without matching.
    notes : what a reader must know.
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
        """Whether the variance takes the weights as given: crude, matched and penalised scores."""
        fit = self.propensity
        return self.adjustment.method != "weight" or fit is None or fit.bread is None


def adjust(
    data: Dataset, covariates: tuple[Measure, ...], adjustment: Adjustment, *, cluster: str = "person", seed: int = 0
) -> Adjusted:
    """Weight or match the arms on the covariates.

    Parameters
    ----------
    data : both arms; outcomes are not read.
    covariates : those of the protocol; ones that the source could not give are left out.
    adjustment : what to do.
    cluster : the unit of assignment, "person" or "care site".
    seed : of a random order of matching, where one is used.

    Raises
    ------
    DataError : an arm is empty, or no covariate varies.

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
    fit = _score(data, covariates, design, adjustment)
    notes = (fit.note,) if fit.note else ()
    if adjustment.method == "match":
        return _matched(data, adjustment, fit, design, groups, name, notes, seed)
    return _weighted(adjustment, fit, design, groups, name, notes)


def _scored(covariates: tuple[Measure, ...], adjustment: Adjustment) -> tuple[Measure, ...]:
    """What the score is of: not a calendar period that pairs share anyway, whose levels may lack one of the arms."""
    exact = {slug(name) for name in adjustment.exact}
    return tuple(m for m in covariates if m.measure != "index period" or m.id not in exact)


def _score(data: Dataset, covariates: tuple[Measure, ...], design: Design, adjustment: Adjustment) -> PropensityFit:
    """The propensity score; adjustments that differ only in what they make of it share one fit."""
    from clinops.stats.propensity import propensity

    penalty, strength = adjustment.penalty, adjustment.strength
    fit: PropensityFit = data.once(
        ("score", covariates, penalty, strength),
        lambda: propensity(design.matrix, data.exposed, penalty=penalty, strength=strength),
    )
    return fit


def _weighted(
    adjustment: Adjustment, fit: PropensityFit, design: Design, groups: NDArray, name: str, notes: tuple[str, ...]
) -> Adjusted:
    from clinops.stats.weighting import balancing_weights

    names = {"att": "att", "ate": "ate", "overlap": "ato"}
    limits = None if adjustment.truncate is None else (0.0, adjustment.truncate)
    made = balancing_weights(fit, estimand=names[adjustment.estimand], truncate=limits)
    if adjustment.truncate is not None:
        notes = (*notes, f"Weights above the {100 * adjustment.truncate:g}th percentile were set to it.")
    return Adjusted(
        adjustment, made.weights, groups, name, fit, design, made, None, ESTIMANDS[adjustment.estimand], 0.0, notes
    )


def _matched(
    data: Dataset, adjustment: Adjustment, fit: PropensityFit, design: Design, groups: NDArray, name: str,
    notes: tuple[str, ...], seed: int,
) -> Adjusted:  # fmt: skip
    from clinops.stats.matching import match

    exact = None
    if adjustment.exact:
        names = [slug(covariate) for covariate in adjustment.exact]
        if absent := [name for name in adjustment.exact if slug(name) not in data.baseline.columns]:
            raise DataError(
                f"Matching is to be exact on {', '.join(map(repr, absent))}, which these records cannot give; "
                "leave it out of exact=."
            )
        exact = data.baseline.groupby(names, dropna=False, sort=True).ngroup().to_numpy()
    pairs = match(
        fit.logit, fit.treated, ratio=adjustment.ratio, caliper=adjustment.caliper, exact=exact,
        replace=adjustment.replacement, seed=seed, person=data.person if _repeated(data.person) else None,
    )  # fmt: skip
    notes = (*notes, *_used_up(data, pairs.weights, adjustment.replacement))
    share = float(pairs.share_unmatched)
    estimand = "average effect in the matched treated (exposed who found a match)" if share > 0 else ESTIMANDS["att"]
    if share > 0:
        notes = (*notes, f"n = {pairs.n_unmatched_treated} of {int(fit.treated.sum())} exposed entries found no match.")
    cluster, label, crossed = _set_clusters(pairs.set_id, groups, name, adjustment.replacement)
    return Adjusted(
        adjustment, pairs.weights, cluster, label, fit, design, None, pairs.set_id, estimand, share, notes, crossed
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
    sites = data.baseline["care_site_id"]
    if sites.isna().all():
        raise DataError("The protocol clusters on the care site, but no row has one; use cluster='person'.")
    # A row without a site is its own cluster: it shares its assignment with nobody we know of.
    alone = -1 - np.arange(len(data), dtype=np.int64)
    return np.where(sites.isna(), alone, sites.fillna(0).astype("int64")).astype(np.int64), "care site"


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
