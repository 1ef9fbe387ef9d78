"""Cost and effect together: the ratio where it means something, net benefit, and how sure one can be.

A difference is exposed less comparator: of cost, positive is dearer; of effect, positive is better (turn an outcome
of which less is better round first). Draws are paired bootstrap replicates of the two differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DataError
from clinops.stats.glm import Floats
from clinops.stats.normal import z_value

QUADRANTS = ("NE", "SE", "SW", "NW", "origin")
"""Dearer and better, cheaper and better, cheaper and worse, dearer and worse, no difference in either."""
VERDICTS = {
    "NE": "costs more and does more",
    "SE": "dominates",
    "SW": "costs less and does less",
    "NW": "is dominated",
    "origin": "no difference",
}
NAN = math.nan


@dataclass(frozen=True)
class Icer:
    """An incremental cost-effectiveness ratio, or the word that stands in its place.

    Attributes
    ----------
    ratio : cost of one more unit of effect in the quadrant NE, money saved for each unit given up in SW; NaN in the
        others: a negative ratio is no number to print. quadrant, verdict : of `QUADRANTS`, `VERDICTS`.
    """

    ratio: float
    quadrant: str
    verdict: str
    note: str


def icer(delta_cost: float, delta_effect: float) -> Icer:
    """What does one more unit of effect cost?

    On an axis the better of two equals dominates: as effective and cheaper, or as dear and more effective (SE), the
    reverse is dominated (NW). A missing difference gives NaN and a note.
    """
    if math.isnan(delta_cost) or math.isnan(delta_effect):
        return Icer(NAN, "", "unknown", "a difference is missing")
    quadrant = str(_quadrants(np.array([delta_cost]), np.array([delta_effect]))[0])
    if quadrant in ("NE", "SW"):
        note = "" if quadrant == "NE" else "the ratio is money saved for each unit of effect given up"
        return Icer(delta_cost / delta_effect, quadrant, VERDICTS[quadrant], note)
    return Icer(NAN, quadrant, VERDICTS[quadrant], "a ratio has no meaning here")


@dataclass(frozen=True)
class IcerInterval:
    """Confidence limits of a cost-effectiveness ratio.

    Attributes
    ----------
    low, high : NaN where the limit is no ratio; low_is, high_is then say "dominates" or "is dominated".
    kind : "interval", or "undefined" where the effect may be nil. method : "Fieller" or "percentile". note.
    """

    low: float
    high: float
    low_is: str
    high_is: str
    kind: str
    method: str
    note: str


def fieller_interval(
    delta_cost: float,
    delta_effect: float,
    cost_error: float,
    effect_error: float,
    covariance: float,
    *,
    level: float = 0.95,
) -> IcerInterval:
    """Within which limits does the ratio lie, by Fieller's theorem?

    Parameters
    ----------
    cost_error, effect_error, covariance : of the two differences (their standard errors and covariance).

    Notes
    -----
    The roots r of (C - r E)^2 = z^2 (v_C - 2 r c + r^2 v_E) (Fieller 1954; Chaudhary and Stearns 1996; Willan and
    O'Brien 1996). They bound an interval only where the effect differs from nil, E^2 > z^2 v_E; elsewhere the answer
    is undefined: use the net benefit. A limit below 0 is dominance (with E > 0) or being dominated (E < 0).

    Raises
    ------
    DataError : a negative error, or a covariance beyond the product of the errors.
    """
    _check_errors(cost_error, effect_error, covariance)
    z2 = z_value(level) ** 2
    spread = delta_effect**2 - z2 * effect_error**2
    if any(map(math.isnan, (delta_cost, delta_effect, cost_error, effect_error, covariance))):
        return _undefined("Fieller", "a difference or its error is missing")
    if not spread > 0:
        return _undefined("Fieller", "the effect may be nil: the ratio has no limits; see the net benefit")
    centre = delta_cost * delta_effect - z2 * covariance
    root = math.sqrt(max(centre**2 - spread * (delta_cost**2 - z2 * cost_error**2), 0.0))
    return _limits((centre - root) / spread, (centre + root) / spread, delta_effect > 0, "Fieller")


def percentile_interval(draws_cost: ArrayLike, draws_effect: ArrayLike, *, level: float = 0.95) -> IcerInterval:
    """Within which limits does the ratio lie, by the percentiles of its bootstrap replicates?

    Defined only where the effect has one sign in every replicate: elsewhere ratios of different quadrants stand in
    one row that has no order (Briggs, Wonderling and Mooney 1997), and the answer is undefined.
    """
    cost, effect = _draws(draws_cost, draws_effect)
    other = np.mean(effect <= 0) if np.median(effect) > 0 else np.mean(effect >= 0)
    if other > 0:
        return _undefined("percentile", f"the effect has no one sign in {other:.1%} of replicates; see the net benefit")
    half = (1 - level) / 2
    low, high = np.quantile(cost / effect, [half, 1 - half])
    return _limits(float(low), float(high), bool(effect[0] > 0), "percentile")


@dataclass(frozen=True)
class NetBenefit:
    """Net monetary benefit at each threshold, all (t,): threshold x effect less cost, and how likely it is above 0."""

    threshold: Floats
    estimate: Floats
    std_error: Floats
    conf_low: Floats
    conf_high: Floats
    probability: Floats


def net_benefit(
    delta_cost: float,
    delta_effect: float,
    thresholds: ArrayLike,
    *,
    cost_error: float,
    effect_error: float,
    covariance: float = 0.0,
    level: float = 0.95,
) -> NetBenefit:
    """Is the effect worth its cost to somebody who pays so much for a unit of it?

    Parameters
    ----------
    thresholds : (t,) or one, money a unit of effect. The rest as `fieller_interval`.

    Notes
    -----
    lambda E - C with variance lambda^2 v_E + v_C - 2 lambda c; probability is that of a normal variate above 0
    (Stinnett and Mullahy 1998). At lambda = 0 it is the saving. Without errors the probability is 1, 0, or 1/2.

    Raises
    ------
    DataError : a negative threshold; as `fieller_interval`.
    """
    _check_errors(cost_error, effect_error, covariance)
    worth = _thresholds(thresholds)
    estimate = worth * delta_effect - delta_cost
    variance = worth**2 * effect_error**2 + cost_error**2 - 2 * worth * covariance
    error = np.sqrt(np.maximum(variance, 0.0))
    reach = z_value(level) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, estimate / error, np.sign(estimate) * math.inf)
    z = np.where((error == 0) & (estimate == 0), 0.0, z)
    from scipy.special import ndtr

    return NetBenefit(worth, estimate, error, estimate - reach, estimate + reach, np.asarray(ndtr(z)))


def net_benefit_from_draws(
    delta_cost: float,
    delta_effect: float,
    draws_cost: ArrayLike,
    draws_effect: ArrayLike,
    thresholds: ArrayLike,
    *,
    level: float = 0.95,
) -> NetBenefit:
    """The same from paired replicates: percentile limits, and the share of replicates above 0 (`acceptability`)."""
    cost, effect = _draws(draws_cost, draws_effect)
    worth = _thresholds(thresholds)
    found = np.multiply.outer(worth, effect) - cost
    half = (1 - level) / 2
    low, high = np.quantile(found, [half, 1 - half], axis=1)
    estimate = worth * delta_effect - delta_cost
    return NetBenefit(worth, estimate, found.std(axis=1, ddof=1), low, high, acceptability(cost, effect, worth))


def acceptability(draws_cost: ArrayLike, draws_effect: ArrayLike, thresholds: ArrayLike) -> Floats:
    """How likely is the programme to be worth its cost at each threshold: the acceptability curve, (t,)?

    The share of replicates with a net benefit above 0, one of exactly 0 counting half, so that the two arms' curves
    add up to 1 (van Hout 1994; Fenwick, Claxton and Sculpher 2001).

    Raises
    ------
    DataError : replicates of unequal number, missing, or fewer than 2; a negative threshold.
    """
    cost, effect = _draws(draws_cost, draws_effect)
    found = np.multiply.outer(_thresholds(thresholds), effect) - cost
    return np.asarray(((found > 0) + 0.5 * (found == 0)).mean(axis=1))


def quadrant_shares(draws_cost: ArrayLike, draws_effect: ArrayLike) -> dict[str, float]:
    """In which quadrant of the cost-effectiveness plane do the replicates lie? Shares by `QUADRANTS`, adding up to 1.

    Replicates on an axis count as `icer` decides.
    """
    cost, effect = _draws(draws_cost, draws_effect)
    found = _quadrants(cost, effect)
    return {name: float(np.mean(found == name)) for name in QUADRANTS}


def _quadrants(cost: Floats, effect: Floats) -> NDArray[np.str_]:
    """The quadrant of each pair; on an axis the better of two equals dominates."""
    better, worse = effect > 0, effect < 0
    dearer, cheaper = cost > 0, cost < 0
    masks = [
        better & dearer,
        (better & ~dearer) | (cheaper & ~worse),
        worse & cheaper,
        (worse & ~cheaper) | (dearer & ~better),
    ]
    return np.select(masks, ["NE", "SE", "SW", "NW"], "origin")


def _limits(low: float, high: float, better: bool, method: str) -> IcerInterval:
    """Turn negative limits into the word they mean."""
    word = VERDICTS["SE"] if better else VERDICTS["NW"]
    shown = tuple((NAN, word) if limit < 0 else (limit, "") for limit in (low, high))
    note = "" if better else "less effect: the ratio is money saved for each unit given up"
    return IcerInterval(shown[0][0], shown[1][0], shown[0][1], shown[1][1], "interval", method, note)


def _undefined(method: str, note: str) -> IcerInterval:
    return IcerInterval(NAN, NAN, "", "", "undefined", method, note)


def _check_errors(cost_error: float, effect_error: float, covariance: float) -> None:
    if min(cost_error, effect_error) < 0:
        raise DataError(f"The errors are {cost_error!r} and {effect_error!r}; a standard error is 0 or more.")
    rounding = 1e-12 * (cost_error**2 + effect_error**2)  # a constant effect may covary by a last digit
    if abs(covariance) > cost_error * effect_error * (1 + 1e-9) + rounding:
        raise DataError(f"The covariance {covariance!r} is beyond the product of the errors; was a correlation given?")


def _thresholds(given: ArrayLike) -> Floats:
    values = np.atleast_1d(np.asarray(given, float))
    if values.ndim != 1 or not np.all(values >= 0):
        raise DataError(f"The thresholds are {values.tolist()}; give amounts of 0 or more a unit of effect.")
    return values


def _draws(draws_cost: ArrayLike, draws_effect: ArrayLike) -> tuple[Floats, Floats]:
    cost, effect = np.asarray(draws_cost, float), np.asarray(draws_effect, float)
    if cost.ndim != 1 or cost.shape != effect.shape or len(cost) < 2:
        raise DataError(f"The replicates have shapes {cost.shape} and {effect.shape}; give pairs, at least 2.")
    if np.isnan(cost).any() or np.isnan(effect).any():
        raise DataError("A replicate is missing; leave out pairs without an answer and say how many.")
    return cost, effect
