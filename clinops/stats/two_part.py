"""Two-part models of cost: whether there is any, and how much if there is; effects on the mean over everybody."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError, unknown
from clinops.stats.cost_models import amounts, predictions
from clinops.stats.glm import GlmFit, glm
from clinops.stats.glm_families import Floats
from clinops.stats.propensity import PropensityFit
from clinops.stats.standardise import (
    Population,
    Prediction,
    Term,
    coefficient_covariance,
    coefficient_influence,
    design_pair,
    population,
    standardised,
)
from clinops.stats.weighted_effects import ArmValues, Effect, contrast
from clinops.stats.weighting import BalancingWeights

LINKS = {"logit": "binomial", "probit": "probit"}
SECOND_PARTS = {"gamma": "gamma", "poisson": "quasipoisson"}
_SPENDERS = "not an effect on cost (people with any cost, who differ between the arms)"


@dataclass(frozen=True)
class TwoPart:
    """A fitted two-part model.

    Attributes
    ----------
    everybody : mean cost over everybody in each arm: the quantity to report.
    any_cost : share of people with any cost in each arm.
    spenders : mean cost of those with any cost, each arm's model averaged over all with a cost. It compares
        different people, so `spenders_contrast` never calls it an effect.
    first, second : the two fits (second on rows with a cost); None where a part does not exist.
    n_positive : people with a cost in the exposed arm and in the comparator's. method : "two-part (logit, gamma)".
    """

    everybody: ArmValues
    any_cost: ArmValues
    spenders: ArmValues
    first: GlmFit | None
    second: GlmFit | None
    n_positive: tuple[int, int]
    method: str

    def effect(
        self, scale: str = "difference", *, cluster: ArrayLike | None = None, conf_level: float = 0.95
    ) -> Effect:
        """Effect on the mean cost over everybody: "difference" or "ratio"."""
        return contrast(self.everybody, scale, cluster=cluster, conf_level=conf_level)[0]

    def any_cost_effect(
        self, scale: str = "difference", *, cluster: ArrayLike | None = None, conf_level: float = 0.95
    ) -> Effect:
        """Effect on the share with any cost: "difference", "ratio" or "odds ratio" (of shares over everybody)."""
        return contrast(self.any_cost, scale, cluster=cluster, conf_level=conf_level)[0]

    def spenders_contrast(
        self, scale: str = "ratio", *, cluster: ArrayLike | None = None, conf_level: float = 0.95
    ) -> Effect:
        """Mean cost among those with any cost, described and not an effect: who has a cost differs by arm."""
        return contrast(self.spenders, scale, cluster=cluster, conf_level=conf_level)[0]


def two_part(
    y: ArrayLike,
    treated: ArrayLike,
    design_exposed: ArrayLike,
    design_comparator: ArrayLike,
    *,
    link: str = "logit",
    second: str = "gamma",
    weights: BalancingWeights | ArrayLike | None = None,
    propensity: PropensityFit | None = None,
    average_over: str = "everybody",
    estimand: str | None = None,
    covariates: str = "sampled",
    se: str = "robust",
) -> TwoPart:
    """By how much does exposure change the mean cost over everybody, when many people have none?

    Parameters
    ----------
    y : (n,) cost, >= 0. treated : (n,) 0/1.
    design_exposed, design_comparator : (n, k) columns of both parts as if exposed and as if not, intercept included
        (see `arm_designs`).
    link : of the first part, "logit" or "probit". second : "gamma" or "poisson" (quasi-likelihood), log link.
    weights, propensity, average_over, estimand, covariates : as in `glm_effect`.
    se : "robust" (influence of each row on both parts at once; weights, clusters), or, as R's delta method with the
        two parts taken as independent, "HC0" (sandwich of each part) or "model" (expected information).

    Returns
    -------
    TwoPart: `.effect("difference", cluster=...)`, `.any_cost_effect(...)`, `.spenders_contrast(...)`.

    Raises
    ------
    DefinitionError : unknown names. DataError : shapes, missing or negative costs.

    Notes
    -----
    value_a = sum w P(any | x_a) E(cost | any, x_a) / sum w. Everybody has a cost: the first part falls away.
    Nobody with a cost in an arm: NaN and a note (compare plain means). One person with a cost in an arm, or no more
    people with a cost than coefficients: no standard error. Source: Duan et al. 1983; Mullahy 1998; Belotti et al.
    2015 (Stata's twopm). Checked against R on the RAND Health Insurance Experiment at 1e-6.
    """
    if link not in LINKS:
        raise DefinitionError(unknown("link of the first part", link, LINKS))
    if second not in SECOND_PARTS:
        raise DefinitionError(unknown("second part", second, SECOND_PARTS))
    people = population(
        treated, weights, propensity=propensity, average_over=average_over, estimand=estimand, covariates=covariates,
        se=se,
    )  # fmt: skip
    ones, zeros, seen = design_pair(design_exposed, design_comparator, people.treated)
    cost = amounts(y, people, "a two-part model")
    some = cost > 0
    counted = some & (people.weights > 0)
    positive = int((counted & people.treated).sum()), int((counted & ~people.treated).sum())
    everyone = bool(some[people.weights > 0].all())
    first = None if everyone else glm(seen, some.astype(float), LINKS[link], weights=people.weights, se="model")
    family = SECOND_PARTS[second]
    later = None
    if min(positive) > 0:
        later = glm(seen[some], cost[some], family, weights=people.weights[some], se="model")
    parts = _Parts(people, ones, zeros, cost, some, first, LINKS[link], later, family)
    note = _note(positive, everyone, parts)
    thin = [count < 2 or (later is not None and later.df_residual < 1) for count in positive]
    return TwoPart(
        everybody=_unknown_errors(_everybody(parts, note), thin),
        any_cost=_any_cost(parts),
        spenders=_unknown_errors(_spenders(parts, note), thin),
        first=first,
        second=later,
        n_positive=positive,
        method=f"two-part ({link}, {second})",
    )


@dataclass(frozen=True)
class _Parts:
    people: Population
    ones: Floats
    zeros: Floats
    cost: Floats
    some: NDArray[np.bool_]
    first: GlmFit | None
    first_family: str
    second: GlmFit | None
    second_family: str


def _shares(parts: _Parts) -> Prediction:
    if parts.first is None:
        sure = np.ones((2, len(parts.cost)))
        return Prediction(sure, (Term(parts.ones, parts.zeros, 0 * sure),))
    return predictions(parts.first.coef, parts.ones, parts.zeros, parts.first_family)


def _means(parts: _Parts) -> Prediction:
    if parts.second is None:
        unknown_mean = np.full((2, len(parts.cost)), np.nan)
        return Prediction(unknown_mean, (Term(parts.ones, parts.zeros, unknown_mean),))
    return predictions(parts.second.coef, parts.ones, parts.zeros, parts.second_family)


def _first_influence(parts: _Parts) -> Floats:
    return np.zeros_like(parts.ones) if parts.first is None else coefficient_influence(parts.first, parts.people)


def _second_influence(parts: _Parts) -> Floats:
    if parts.second is None:
        return np.full_like(parts.ones, np.nan)
    return coefficient_influence(parts.second, parts.people, parts.some)


def _everybody(parts: _Parts, note: str) -> ArmValues:
    influence = np.concatenate([_first_influence(parts), _second_influence(parts)], axis=1)
    return standardised(
        _shares(parts).times(_means(parts)),
        influence,
        parts.people,
        covariance=_covariance(parts),
        outcome=parts.cost,
        note=note,
    )


def _any_cost(parts: _Parts) -> ArmValues:
    first = parts.first
    covariance = (
        None if first is None or parts.people.se == "robust" else coefficient_covariance(first, parts.people.se)
    )
    note = "Everybody has a cost." if first is None else first.note
    return standardised(
        _shares(parts),
        _first_influence(parts),
        parts.people,
        covariance=covariance,
        outcome=parts.some.astype(float),
        note=note,
    )


def _spenders(parts: _Parts, note: str) -> ArmValues:
    """Second part alone, averaged over the people with a cost and labelled as no effect."""
    se = parts.people.se
    covariance = None if parts.second is None or se == "robust" else coefficient_covariance(parts.second, se)
    told = replace(parts.people, share=parts.people.share * parts.some, estimand=_SPENDERS)
    text = "Compares the people with a cost in each arm: not the effect on cost, which is over everybody."
    found = standardised(
        _means(parts), _second_influence(parts), told, covariance=covariance,
        outcome=np.where(parts.some, parts.cost, np.nan), note=f"{text} {note}".strip(),
    )  # fmt: skip
    counted = found.counted & parts.some
    varies = [
        [bool((rows & counted).any() and np.ptp(parts.cost[rows & counted]) > 0)]
        for rows in (parts.people.treated, ~parts.people.treated)
    ]
    return replace(found, counted=counted, varies=np.array(varies))


def _covariance(parts: _Parts) -> Floats | None:
    """Block-diagonal: the parts are taken as independent, as R's delta method does."""
    if parts.people.se == "robust":
        return None
    k = parts.ones.shape[1]
    whole = np.zeros((2 * k, 2 * k))
    if parts.first is not None:
        whole[:k, :k] = coefficient_covariance(parts.first, parts.people.se)
    whole[k:, k:] = np.nan if parts.second is None else coefficient_covariance(parts.second, parts.people.se)
    return whole


def _unknown_errors(arms: ArmValues, thin: list[bool]) -> ArmValues:
    """Without the errors of an arm in which too few people have a cost: nothing says how costs vary there."""
    if not any(thin):
        return arms
    influence = arms.influence.copy()
    influence[thin] = np.nan
    return replace(arms, influence=influence, covariance=None if arms.covariance is None else arms.covariance * np.nan)


def _note(positive: tuple[int, int], everyone: bool, parts: _Parts) -> str:
    notes = []
    for arm, count in zip(("exposed", "comparator"), positive, strict=True):
        if count == 0:
            notes.append(
                f"Nobody in the {arm} arm has a cost, so the second part says nothing about it; compare plain means."
            )
        elif count == 1:
            notes.append(f"One person in the {arm} arm has a cost: no standard error.")
    if parts.second is not None and parts.second.df_residual < 1:
        notes.append("No more people with a cost than coefficients of the second part: no standard error.")
    if everyone:
        notes.append("Everybody has a cost: the model is its second part alone.")
    notes += [fit.note for fit in (parts.first, parts.second) if fit is not None]
    return " ".join(dict.fromkeys(filter(None, notes)))
