"""The smallest effect the data could have shown, and how many people or events an effect takes."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.errors import DefinitionError

_NORMAL = NormalDist()


def detectable_difference_means(
    sd: float, n_exposed: float, n_comparator: float, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the smallest difference of two means that a two-sided t test would find with this power.

    Parameters
    ----------
    sd : common standard deviation, in the outcome's unit; the answer has the same unit.
    n_exposed, n_comparator : people, or effective sample sizes after weighting (need not be whole).

    Notes
    -----
    Solves the noncentral t (upper tail only), as R's `power.t.test(strict = FALSE)`, for unequal arms too.
    NaN when an arm has fewer than 2 people or the SD is missing; 0 when the SD is 0.
    """
    _check_rates(power, alpha)
    if not min(n_exposed, n_comparator) >= 2 or not sd >= 0:
        return float("nan")
    from scipy.optimize import brentq

    scale = sd * np.sqrt(1 / n_exposed + 1 / n_comparator)
    df = n_exposed + n_comparator - 2
    wanted = brentq(lambda ncp: _t_power(ncp, df, alpha) - power, 0.0, 500.0, xtol=1e-13, rtol=1e-14)
    return float(wanted * scale)


def power_means(difference: float, sd: float, n_exposed: float, n_comparator: float, *, alpha: float = 0.05) -> float:
    """Return the power of a two-sided t test (upper tail) for a true difference of two means."""
    _check_rates(0.5, alpha)
    if not min(n_exposed, n_comparator) >= 2 or not sd > 0:
        return float("nan")
    ncp = abs(difference) / (sd * np.sqrt(1 / n_exposed + 1 / n_comparator))
    return _t_power(ncp, n_exposed + n_comparator - 2, alpha)


def sample_size_means(difference: float, sd: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return people needed in each arm (not rounded) for a difference of means; inf for a difference of 0."""
    _check_rates(power, alpha)
    if difference == 0:
        return float("inf")
    if not sd > 0:
        return float("nan")
    from scipy.optimize import brentq

    return float(brentq(lambda n: power_means(difference, sd, n, n, alpha=alpha) - power, 2.0, 1e10, rtol=1e-13))


def detectable_difference_proportions(
    risk_comparator: float, n_exposed: float, n_comparator: float, *, power: float = 0.8, alpha: float = 0.05
) -> tuple[float, float]:
    """Return the smallest fall and the smallest rise of a risk that would be found with this power.

    Parameters
    ----------
    risk_comparator : 0..1. n_exposed, n_comparator : people or effective sample sizes.

    Returns
    -------
    (fall, rise) as differences of risks, fall <= 0 <= rise; NaN where even a fall to 0 (a rise to 1) would
    be missed.

    Notes
    -----
    Normal approximation with the pooled variance under no difference (as R's `power.prop.test`; Fleiss 1981).
    """
    _check_rates(power, alpha)
    if not 0 <= risk_comparator <= 1 or not min(n_exposed, n_comparator) > 0:
        return float("nan"), float("nan")
    from scipy.optimize import brentq

    def short(risk: float) -> float:
        return _prop_power(risk, risk_comparator, n_exposed, n_comparator, alpha) - power

    found = []
    for edge in (0.0, 1.0):
        if edge == risk_comparator or short(edge) < 0:
            found.append(float("nan"))
        else:
            inside = risk_comparator + 1e-12 * (edge - risk_comparator)
            found.append(float(brentq(short, inside, edge, xtol=1e-15)) - risk_comparator)
    return found[0], found[1]


def sample_size_proportions(
    risk_exposed: float,
    risk_comparator: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    pooled: bool = True,
) -> float:
    """Return people needed in each arm (not rounded) to tell two risks apart; inf when they are equal."""
    _check_rates(power, alpha)
    gap = risk_exposed - risk_comparator
    if gap == 0:
        return float("inf")
    own = risk_exposed * (1 - risk_exposed) + risk_comparator * (1 - risk_comparator)
    mean = (risk_exposed + risk_comparator) / 2
    null = 2 * mean * (1 - mean) if pooled else own
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    return float(((z_alpha * np.sqrt(null) + z_power * np.sqrt(own)) / gap) ** 2)


def events_for_hazard_ratio(
    hazard_ratio: float, *, share_exposed: float = 0.5, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the events needed to find a hazard ratio (Schoenfeld 1983); inf for a ratio of 1."""
    _check_rates(power, alpha)
    log = np.log(hazard_ratio)
    if log == 0:
        return float("inf")
    return float(_z_total(power, alpha) ** 2 / (share_exposed * (1 - share_exposed) * log**2))


def events_for_hazard_ratio_freedman(hazard_ratio: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the events needed to find a hazard ratio in equal arms (Freedman 1982); inf for a ratio of 1.

    Z^2 ((HR + 1) / (HR - 1))^2: a little more than Schoenfeld's, the more so the further the ratio is from 1.

    Raises
    ------
    DefinitionError : a ratio that is not above 0, or an impossible power or alpha.
    """
    _check_rates(power, alpha)
    _check_positive("hazard ratio", hazard_ratio)
    if hazard_ratio == 1:
        return float("inf")
    return float((_z_total(power, alpha) * (hazard_ratio + 1) / (hazard_ratio - 1)) ** 2)


def sample_size_rate_ratio(
    rate_comparator: float,
    rate_ratio: float,
    *,
    dispersion: float = 0.0,
    time: float = 1.0,
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    """Return people needed in each arm (not rounded) to find a rate ratio; inf for a ratio of 1.

    Parameters
    ----------
    rate_comparator : events a unit of time. time : followed, a person, in that unit.
    dispersion : of the negative binomial, variance mu + dispersion mu^2 (1 / R's theta); 0 is Poisson.

    Notes
    -----
    Z^2 (1 / (t mu_0) + 1 / (t mu_0 RR) + 2 dispersion) / log(RR)^2, with the variance at the true rates (Zhu and
    Lakkis 2014).

    Raises
    ------
    DefinitionError : a rate, ratio or time that is not above 0, a negative dispersion, an impossible power or alpha.
    """
    _check_rates(power, alpha)
    for name, value in (("rate", rate_comparator), ("rate ratio", rate_ratio), ("time", time)):
        _check_positive(name, value)
    if not dispersion >= 0:
        raise DefinitionError(f"The dispersion is {dispersion!r}; give 0 (Poisson) or more: it is 1 / R's theta.")
    if rate_ratio == 1:
        return float("inf")
    variance = (1 + 1 / rate_ratio) / (time * rate_comparator) + 2 * dispersion
    return float(_z_total(power, alpha) ** 2 * variance / np.log(rate_ratio) ** 2)


def ancova_factor(correlation: float) -> float:
    """Return by what the sample size is multiplied when a baseline value is adjusted for: 1 - correlation^2.

    correlation : of outcome and baseline within an arm (Borm, Fransen and Lemmens 2007).

    Raises
    ------
    DefinitionError : a correlation outside -1..1.
    """
    if not -1 <= correlation <= 1:
        raise DefinitionError(f"The correlation is {correlation!r}; it lies between -1 and 1.")
    return float(1 - correlation**2)


def obrien_fleming_spending(information: ArrayLike, *, alpha: float = 0.05) -> NDArray[np.float64]:
    """Return the two-sided alpha spent by each look, O'Brien-Fleming like (Lan and DeMets 1983).

    information : (k,), share of the final information at each look, 0..1. 2 (1 - Phi(z / sqrt(t))) with z the
    two-sided critical value; nothing is spent at 0, alpha at 1.

    Raises
    ------
    DefinitionError : a share outside 0..1, or an impossible alpha.
    """
    _check_rates(0.5, alpha)
    shares = np.atleast_1d(np.asarray(information, float))
    if not np.all((shares >= 0) & (shares <= 1)):
        raise DefinitionError(f"The information is {shares.tolist()}; give shares of the final information, 0 to 1.")
    from scipy.special import ndtr

    with np.errstate(divide="ignore"):
        return np.asarray(2 * ndtr(-_NORMAL.inv_cdf(1 - alpha / 2) / np.sqrt(shares)))


def detectable_hazard_ratio(
    events: float, *, share_exposed: float = 0.5, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Return the smallest hazard ratio above 1 that this many events would show; its inverse is the fall.

    NaN without events or when everybody is in one arm.
    """
    _check_rates(power, alpha)
    if not events > 0 or not 0 < share_exposed < 1:
        return float("nan")
    return float(np.exp(_z_total(power, alpha) / np.sqrt(events * share_exposed * (1 - share_exposed))))


def design_effect(cluster_size: float, icc: float, *, cv: float = 0.0) -> float:
    """Return how many times more people clusters need: 1 + ((1 + cv^2) m - 1) icc (Eldridge 2006).

    cluster_size : mean people in a cluster. cv : coefficient of variation of the sizes.
    """
    return float(1 + ((1 + cv**2) * cluster_size - 1) * icc)


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise DefinitionError(f"The {name} is {value!r}; it must be above 0.")


def _z_total(power: float, alpha: float) -> float:
    return _NORMAL.inv_cdf(1 - alpha / 2) + _NORMAL.inv_cdf(power)


def _t_power(ncp: float, df: float, alpha: float) -> float:
    from scipy.stats import nct, t

    critical = float(t.isf(alpha / 2, df))
    # far out scipy's noncentral t loses digits; the normal is then the same to many more
    if df > 1e5:
        return _NORMAL.cdf(ncp - critical)
    return float(nct.sf(critical, df, ncp)) if ncp > 0 else alpha / 2


def _prop_power(one: float, zero: float, n1: float, n0: float, alpha: float) -> float:
    mean = (n1 * one + n0 * zero) / (n1 + n0)
    null = np.sqrt(mean * (1 - mean) * (1 / n1 + 1 / n0))
    own = np.sqrt(one * (1 - one) / n1 + zero * (1 - zero) / n0)
    reach = abs(one - zero) - _NORMAL.inv_cdf(1 - alpha / 2) * null
    if own > 0:
        return _NORMAL.cdf(reach / own)
    return 1.0 if reach > 0 else 0.0


def _check_rates(power: float, alpha: float) -> None:
    if not 0 < alpha < 1 or not alpha / 2 < power < 1:
        raise DefinitionError(
            f"power is {power!r} and alpha {alpha!r}; both lie between 0 and 1, and power above alpha / 2."
        )
