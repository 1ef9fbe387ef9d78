"""The smallest effect the data could have shown, and how many people or events an effect takes."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

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
