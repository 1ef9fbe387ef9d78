"""How strong would unmeasured confounding have to be? E-values (VanderWeele and Ding 2017)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clinops.errors import DataError, ParameterError
from clinops.stats.normal import z_value

NAN = float("nan")


@dataclass(frozen=True)
class EValue:
    """An E-value for an estimate and for the limit of its interval nearer the null.

    The confounder would need a risk ratio of at least this size with both the exposure and the outcome, beyond the
    measured covariates, to explain the estimate away. limit is 1 where the interval includes the null, NaN without
    an interval. rr, rr_low, rr_high : the estimate on the scale of risk ratios.
    """

    point: float
    limit: float
    rr: float
    rr_low: float
    rr_high: float
    note: str = ""


def evalue_rr(estimate: float, low: float = NAN, high: float = NAN) -> EValue:
    """E-value of a risk ratio (or rate ratio) with its interval.

    A ratio of 0 or infinity (no events in one group) has an infinite E-value, NaN gives NaN; both with a note.

    Raises
    ------
    DataError : a negative ratio, or limits that do not enclose the estimate.
    """
    _check(estimate, low, high)
    if math.isnan(estimate):
        return EValue(NAN, NAN, estimate, low, high, "no estimate")
    note = "" if 0 < estimate < math.inf else "no events in one group: the estimate alone has no finite E-value"
    return EValue(_evalue(estimate), _nearer(estimate, low, high), estimate, low, high, note)


def evalue_or(estimate: float, low: float = NAN, high: float = NAN, *, rare: bool) -> EValue:
    """E-value of an odds ratio.

    rare : is the outcome rare (under 15 % at the end of follow-up, in both groups)? Then it stands for a risk ratio;
        otherwise its square root does (VanderWeele 2017).

    Raises
    ------
    DataError : as `evalue_rr`.
    """
    _check(estimate, low, high)
    return evalue_rr(*((estimate, low, high) if rare else map(math.sqrt, (estimate, low, high))))


def evalue_hr(estimate: float, low: float = NAN, high: float = NAN, *, rare: bool) -> EValue:
    """E-value of a hazard ratio.

    rare : is the outcome rare (under 15 % at the end of follow-up)? Then it stands for a risk ratio; otherwise
        (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1/HR)) does.

    Raises
    ------
    DataError : as `evalue_rr`.
    """
    _check(estimate, low, high)
    return evalue_rr(*((estimate, low, high) if rare else map(_common_hazard, (estimate, low, high))))


def evalue_md(standardised: float, se: float = NAN) -> EValue:
    """E-value of a standardised mean difference, through RR = exp(0.91 d) and the limits exp(0.91 d +- 1.78 se).

    Raises
    ------
    DataError : a negative standard error.
    """
    if se < 0:
        raise DataError(f"se is {se!r}; a standard error is zero or more.")
    centre, reach = 0.91 * standardised, 1.78 * se
    return evalue_rr(math.exp(centre), math.exp(centre - reach), math.exp(centre + reach))


def evalue_ols(coefficient: float, se: float, sd: float, *, delta: float = 1.0) -> EValue:
    """E-value of a linear regression coefficient, for a contrast of `delta` in the exposure.

    sd : standard deviation of the outcome (residual, or marginal which is more cautious).

    Raises
    ------
    DataError : sd is not positive, or se negative.
    """
    if not sd > 0:
        raise DataError(f"sd is {sd!r}; the outcome must vary for a standardised difference.")
    return evalue_md(delta * coefficient / sd, abs(delta) * se / sd)


def evalue_rd(
    events: float, n: float, events_0: float, n_0: float, *, level: float = 0.95, grid: float = 1e-4
) -> EValue:
    """E-value of a risk difference from counts: `events` of `n`, against `events_0` of `n_0`.

    The limit is that of the least bias factor, in steps of `grid`, at which the interval of the corrected
    difference includes 0 (Ding and VanderWeele 2016, page 376; the search is that of the R package EValue). A
    harmful and a protective difference are treated alike: the group with the lower risk is the comparator.

    Raises
    ------
    DataError : events not between 0 and n, or nobody in a group. ParameterError : level or grid out of range.
    """
    for count, size in ((events, n), (events_0, n_0)):
        if not (0 <= count <= size and size > 0):
            raise DataError(f"{count!r} events of {size!r} people: events must lie between 0 and n, and n above 0.")
    if not (0 < level < 1 and 0 < grid <= 0.1):
        raise ParameterError(f"level {level!r} and grid {grid!r}: level lies between 0 and 1, grid at most 0.1.")
    if events / n < events_0 / n_0:
        events, n, events_0, n_0 = events_0, n_0, events, n
    p, p_0, exposed = events / n, events_0 / n_0, n / (n + n_0)
    if p_0 == 0:
        note = "no events" if p == 0 else "no events in one group: the estimate has no finite E-value"
        return EValue(1.0 if p == 0 else math.inf, NAN if p else 1.0, NAN if p == 0 else math.inf, NAN, NAN, note)
    gap = p_0 * (1 - exposed) - p * exposed
    factor = (math.sqrt(gap**2 + 4 * p * p_0 * exposed * (1 - exposed)) - gap) / (2 * p_0 * exposed)
    limit = _rd_limit(p, p_0, n, n_0, factor, z_value(level), grid)
    return EValue(_evalue(factor), _evalue(limit), factor, limit, NAN)


def bias_factor(rr_exposure: float, rr_outcome: float) -> float:
    """By how much can a confounder with these risk ratios (with exposure, with outcome) inflate a risk ratio?

    Raises
    ------
    DataError : a ratio below 1 (take its inverse).
    """
    if not (rr_exposure >= 1 and rr_outcome >= 1):
        raise DataError(f"risk ratios {rr_exposure!r} and {rr_outcome!r}: both must be 1 or more; take inverses.")
    return rr_exposure * rr_outcome / (rr_exposure + rr_outcome - 1)


def _rd_limit(p: float, p_0: float, n: float, n_0: float, factor: float, z: float, grid: float) -> float:
    """The least bias factor in the grid at which the corrected difference is no longer above 0; 1 if none is needed."""
    variance, variance_0 = p * (1 - p) / n, p_0 * (1 - p_0) / n_0
    exposed = n / (n + n_0)
    if p - p_0 <= z * math.sqrt(variance + variance_0):
        return 1.0
    tried = 1 + grid * np.arange(int((factor - 1) / grid + 1e-10) + 1)
    difference, mix = p - p_0 * tried, exposed + (1 - exposed) / tried
    share_variance = exposed * (1 - exposed) / (n + n_0)
    spread = (variance + variance_0 * tried**2) * mix**2 + difference**2 * (1 - 1 / tried) ** 2 * share_variance
    reached = np.flatnonzero(difference * mix - z * np.sqrt(spread) <= 0)
    return float(tried[reached[0]]) if len(reached) else factor


def _evalue(ratio: float) -> float:
    if math.isnan(ratio):
        return NAN
    ratio = 1 / ratio if 0 < ratio < 1 else ratio
    return math.inf if ratio in (0, math.inf) else ratio + math.sqrt(ratio * (ratio - 1))


def _nearer(estimate: float, low: float, high: float) -> float:
    """E-value of the limit nearer the null, 1 if the interval includes it."""
    limit = low if estimate >= 1 else high
    if math.isnan(limit):
        return NAN
    return 1.0 if (limit <= 1) == (estimate >= 1) else _evalue(limit)


def _common_hazard(ratio: float) -> float:
    if math.isnan(ratio) or ratio in (0, math.inf):
        return ratio
    return (1 - 0.5 ** math.sqrt(ratio)) / (1 - 0.5 ** math.sqrt(1 / ratio))


def _check(estimate: float, low: float, high: float) -> None:
    for name, value in (("estimate", estimate), ("low", low), ("high", high)):
        if value < 0:
            raise DataError(f"{name} is {value!r}; a ratio is zero or more. Was a log ratio given? Exponentiate it.")
    if low > estimate or high < estimate:
        raise DataError(f"the limits {low!r} and {high!r} do not enclose the estimate {estimate!r}.")
