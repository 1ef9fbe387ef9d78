"""Proportions, risks and person-time rates of one or two groups, with intervals that hold when counts are small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.normal import chi2_tail, two_sided, z_value

NAN = float("nan")
# R counts a table as no more probable than the observed one up to this factor, so that ties survive rounding.
AS_PROBABLE = 1 + 1e-7


@dataclass(frozen=True)
class Estimate:
    """One number with its interval. std_error is on the scale named by `se_scale`; p_value is two-sided.

    Where the data do not determine a value it is NaN and `note` says why.
    """

    estimate: float
    conf_low: float
    conf_high: float
    level: float
    method: str
    std_error: float = NAN
    se_scale: str = ""
    p_value: float = NAN
    note: str = ""


@dataclass(frozen=True)
class TwoByTwo:
    """Tests that two risks are equal. odds_ratio is the conditional maximum likelihood estimate of Fisher's test."""

    chi2: float
    chi2_p: float
    fisher_p: float
    odds_ratio: float
    note: str = ""


# --- one proportion ----------------------------------------------------------------------------------------

PROPORTIONS = ("wilson", "wilson-cc", "clopper-pearson", "wald", "agresti-coull", "jeffreys")


def proportion(events: float, n: float, *, method: str = "wilson", level: float = 0.95) -> Estimate:
    """What share had the event?

    Parameters
    ----------
    events, n : how many had it, of how many.
    method : "wilson" (score; the default), "wilson-cc" (with continuity correction), "clopper-pearson" (exact,
        never below its level), "jeffreys", "agresti-coull" (may leave 0 to 1), "wald" (for contrast: its interval
        has no width at 0 and n).

    Raises
    ------
    DataError : events not between 0 and n. ParameterError : unknown method, bad level.

    Notes
    -----
    Wilson 1927; Clopper and Pearson 1934; Brown, Cai and DasGupta 2001. Checked against R's `prop.test` and
    `binom.test`. Nobody (n = 0) gives NaN.
    """
    _check(method, PROPORTIONS, level)
    _check_risk(events, n)
    if n == 0:
        return Estimate(NAN, NAN, NAN, level, method, note="nobody in the group")
    share = events / n
    error = math.sqrt(share * (1 - share) / n)
    low, high = _proportion_limits(events, n, method, level)
    return Estimate(share, low, high, level, method, error, "proportion")


def _proportion_limits(events: float, n: float, method: str, level: float) -> tuple[float, float]:
    z, share = z_value(level), events / n
    if method == "wilson":
        return _wilson(events, n, z, 0.0)
    if method == "wilson-cc":
        return _wilson(events, n, z, min(0.5, abs(events - n / 2)))
    if method in ("clopper-pearson", "jeffreys"):
        extra = 0.5 if method == "jeffreys" else None
        return _beta_limits(events, n, level, extra)
    if method == "agresti-coull":
        n, events = n + z**2, events + z**2 / 2
        share = events / n
    reach = z * math.sqrt(share * (1 - share) / n)
    return share - reach, share + reach


def _wilson(events: float, n: float, z: float, correction: float) -> tuple[float, float]:
    half = z**2 / (2 * n)

    def limit(side: float) -> float:
        share = (events + side * correction) / n
        if (side < 0 and share <= 0) or (side > 0 and share >= 1):
            return 0.0 if side < 0 else 1.0
        reach = z * math.sqrt(share * (1 - share) / n + half / (2 * n))
        return (share + half + side * reach) / (1 + 2 * half)

    return limit(-1.0), limit(1.0)


def _beta_limits(events: float, n: float, level: float, prior: float | None) -> tuple[float, float]:
    """Quantiles of the beta distribution: Clopper-Pearson without a prior, Jeffreys with prior 1/2."""
    from scipy.special import betaincinv

    tail, missed = (1 - level) / 2, n - events
    lower = (events, missed + 1) if prior is None else (events + prior, missed + prior)
    upper = (events + 1, missed) if prior is None else (events + prior, missed + prior)
    return (
        0.0 if events == 0 else float(betaincinv(*lower, tail)),
        1.0 if missed == 0 else float(betaincinv(*upper, 1 - tail)),
    )


# --- two proportions ---------------------------------------------------------------------------------------


def risk_difference(
    events: float, n: float, events_0: float, n_0: float, *, method: str = "newcombe", level: float = 0.95
) -> Estimate:
    """By how much does the risk differ between a group and its comparator (`events_0` of `n_0`)?

    method : "newcombe" (hybrid score, Newcombe 1998 method 10; sound at 0 and n) or "wald".

    Raises
    ------
    DataError : events not between 0 and n. ParameterError : unknown method, bad level.
    """
    _check(method, ("newcombe", "wald"), level)
    one, other = proportion(events, n, level=level), proportion(events_0, n_0, level=level)
    difference = one.estimate - other.estimate
    error = math.hypot(one.std_error, other.std_error)
    if method == "newcombe":
        low, high = _hybrid(one, other)
    else:
        low, high = difference - z_value(level) * error, difference + z_value(level) * error
    note = "" if n and n_0 else "nobody in a group"
    return Estimate(difference, low, high, level, method, error, "difference", note=note)


def risk_ratio(events: float, n: float, events_0: float, n_0: float, *, level: float = 0.95) -> Estimate:
    """By what factor does the risk differ from the comparator's (`events_0` of `n_0`)? Log-normal interval (Katz).

    Without events in one group the estimate is 0 or infinite, in both NaN; it then has no interval of this kind
    (the risk difference has one). Nothing is added to the counts.

    Raises
    ------
    DataError : events not between 0 and n. ParameterError : bad level.
    """
    _check("log", ("log",), level)
    _check_risk(events, n)
    _check_risk(events_0, n_0)
    parts = (events, events_0)
    error = math.sqrt(sum(1 / e for e in parts) - 1 / n - 1 / n_0) if all(parts) else NAN
    return _log_normal(_quotient(events * n_0, events_0 * n), error, level, "risks", bool(n and n_0))


def odds_ratio(events: float, n: float, events_0: float, n_0: float, *, level: float = 0.95) -> Estimate:
    """By what factor do the odds differ from the comparator's? Log-normal interval (Woolf).

    As `risk_ratio`: a zero cell gives 0, infinity or NaN without an interval, and a note.

    Raises
    ------
    DataError : events not between 0 and n. ParameterError : bad level.
    """
    _check("log", ("log",), level)
    _check_risk(events, n)
    _check_risk(events_0, n_0)
    cells = (events, n - events, events_0, n_0 - events_0)
    error = math.sqrt(sum(1 / cell for cell in cells)) if all(cells) else NAN
    odds = _quotient(events * (n_0 - events_0), (n - events) * events_0)
    return _log_normal(odds, error, level, "odds", bool(n and n_0))


def two_by_two(events: int, n: int, events_0: int, n_0: int) -> TwoByTwo:
    """Do two risks differ? Pearson's chi-squared without correction, and Fisher's exact test.

    If nobody or everybody has the event there is nothing to compare: chi-squared NaN, Fisher P 1, odds ratio NaN.

    Raises
    ------
    DataError : counts that are not whole or not between 0 and n.
    """
    for count, size in ((events, n), (events_0, n_0)):
        _check_risk(count, size)
        if count != round(count) or size != round(size):
            raise DataError(f"{count!r} of {size!r} are not whole counts, which Fisher's test needs.")
    both, everyone = events + events_0, n + n_0
    if both in (0, everyone) or not (n and n_0):
        return TwoByTwo(NAN, NAN, 1.0, NAN, "no variation: nobody, or everybody, has the event")
    apart = float(events * (n_0 - events_0) - (n - events) * events_0)
    chi2 = everyone * apart**2 / n / n_0 / both / (everyone - both)
    support, log_mass = _tables(int(n), int(n_0), int(both))
    mass = np.exp(log_mass - log_mass.max())
    mass /= mass.sum()
    observed = mass[support == events][0]
    p = min(float(mass[mass <= observed * AS_PROBABLE].sum()), 1.0)
    return TwoByTwo(chi2, chi2_tail(chi2, 1), p, _conditional_odds(support, log_mass, events))


def _tables(n: int, n_0: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    """Every count of the first cell that the margins allow, and the log probability of each (up to a constant)."""
    from scipy.special import gammaln

    x = np.arange(max(0, both - n_0), min(n, both) + 1)
    return x, -(gammaln(x + 1) + gammaln(n - x + 1) + gammaln(both - x + 1) + gammaln(n_0 - both + x + 1))


def _conditional_odds(support: np.ndarray, log_mass: np.ndarray, events: int) -> float:
    """The odds ratio at which the mean count, given the margins, is the observed count."""
    from scipy.optimize import brentq

    if events in (support[0], support[-1]):
        return 0.0 if events == support[0] else math.inf

    def excess(log_odds: float) -> float:
        log = log_mass + support * log_odds
        mass = np.exp(log - log.max())
        return float(mass @ (support - events) / mass.sum())

    return math.exp(brentq(excess, -100, 100, xtol=1e-14, rtol=1e-14))


# --- person-time -------------------------------------------------------------------------------------------

RATES = ("exact", "byar", "log-normal")


def poisson_rate(events: float, person_time: float, *, method: str = "exact", level: float = 0.95) -> Estimate:
    """How many events per unit of person-time?

    Parameters
    ----------
    events : number of events; person_time : their denominator, and the unit of the result's.
    method : "exact" (Poisson, Garwood 1936; the default), "byar" (its approximation) or "log-normal" (none at 0).

    Raises
    ------
    DataError : a negative number, or events without person-time. ParameterError : unknown method, bad level.

    Notes
    -----
    Checked against R's `poisson.test`. No events: rate 0 with an upper limit. No person-time: NaN.
    """
    _check(method, RATES, level)
    _check_rate(events, person_time)
    if person_time == 0:
        return Estimate(NAN, NAN, NAN, level, method, note="no person-time")
    low, high = _count_limits(events, method, level)
    note = "no events: this interval does not exist" if math.isnan(high) else ""
    error = math.sqrt(events) / person_time
    return Estimate(
        events / person_time, low / person_time, high / person_time, level, method, error, "rate", note=note
    )


def _count_limits(events: float, method: str, level: float) -> tuple[float, float]:
    from scipy.special import gammaincinv

    z, tail, more = z_value(level), (1 - level) / 2, events + 1
    if method == "exact":
        low = float(gammaincinv(events, tail)) if events else 0.0
        return low, float(gammaincinv(more, 1 - tail))
    if method == "log-normal":
        factor = math.exp(z / math.sqrt(events)) if events else NAN
        return events / factor, events * factor
    low = events * (1 - 1 / (9 * events) - z / (3 * math.sqrt(events))) ** 3 if events else 0.0
    return max(low, 0.0), more * (1 - 1 / (9 * more) + z / (3 * math.sqrt(more))) ** 3


def rate_ratio(
    events: float,
    person_time: float,
    events_0: float,
    person_time_0: float,
    *,
    method: str = "exact",
    level: float = 0.95,
) -> Estimate:
    """By what factor does a rate differ from the comparator's (`events_0` in `person_time_0`)?

    method : "exact" (conditional on the total; its P value is that of the binomial test) or "log-normal".
    No events in one group: ratio 0 or infinite, the exact interval still has its finite limit. In both: NaN.

    Raises
    ------
    DataError : a negative number, or events without person-time. ParameterError : unknown method, bad level.
    """
    _check(method, ("exact", "log-normal"), level)
    _check_rate(events, person_time)
    _check_rate(events_0, person_time_0)
    if not (person_time and person_time_0):
        return Estimate(NAN, NAN, NAN, level, method, note="no person-time in a group")
    ratio = _quotient(events * person_time_0, events_0 * person_time)
    error = math.sqrt(1 / events + 1 / events_0) if events and events_0 else NAN
    if method == "log-normal":
        return _log_normal(ratio, error, level, "rates", True)
    total = events + events_0
    if not total:
        return Estimate(NAN, NAN, NAN, level, method, note="no events in either group")
    low, high = (
        _quotient(share * person_time_0, (1 - share) * person_time)
        for share in _beta_limits(events, total, level, None)
    )
    p = _binomial_p(events, total, person_time / (person_time + person_time_0))
    return Estimate(ratio, low, high, level, method, error, "log", p)


def rate_difference(
    events: float,
    person_time: float,
    events_0: float,
    person_time_0: float,
    *,
    method: str = "hybrid",
    level: float = 0.95,
) -> Estimate:
    """By how much does a rate differ from the comparator's (`events_0` in `person_time_0`)?

    method : "hybrid" (from the two exact Poisson intervals, Zou and Donner 2008; sound without events) or "wald".

    Raises
    ------
    DataError : a negative number, or events without person-time. ParameterError : unknown method, bad level.
    """
    _check(method, ("hybrid", "wald"), level)
    one, other = poisson_rate(events, person_time, level=level), poisson_rate(events_0, person_time_0, level=level)
    difference, error = one.estimate - other.estimate, math.hypot(one.std_error, other.std_error)
    if method == "hybrid":
        low, high = _hybrid(one, other)
    else:
        low, high = difference - z_value(level) * error, difference + z_value(level) * error
    note = "" if person_time and person_time_0 else "no person-time in a group"
    return Estimate(difference, low, high, level, method, error, "difference", note=note)


def _binomial_p(events: float, total: float, share: float) -> float:
    """Two-sided exact P value; NaN for counts that are not whole, such as weighted ones."""
    if events != round(events) or total != round(total):
        return NAN
    from scipy.stats import binomtest

    return float(binomtest(round(events), round(total), share).pvalue)


# --- shared ------------------------------------------------------------------------------------------------


def _hybrid(one: Estimate, other: Estimate) -> tuple[float, float]:
    """Limits of a difference from the limits of its two parts (square and add)."""
    difference = one.estimate - other.estimate
    down = math.hypot(one.estimate - one.conf_low, other.conf_high - other.estimate)
    up = math.hypot(one.conf_high - one.estimate, other.estimate - other.conf_low)
    return difference - down, difference + up


def _log_normal(ratio: float, error: float, level: float, what: str, somebody: bool) -> Estimate:
    factor = math.exp(z_value(level) * error)
    note = "" if not math.isnan(error) else f"a count is zero: the ratio of {what} has no such interval"
    p = two_sided(math.log(ratio) / error) if error > 0 else NAN
    return Estimate(
        ratio, ratio / factor, ratio * factor, level, "log-normal", error, "log", p,
        note if somebody else "nobody in a group",
    )  # fmt: skip


def _quotient(top: float, bottom: float) -> float:
    """Return top / bottom, infinite over zero, NaN for 0 / 0."""
    if bottom:
        return top / bottom
    return math.inf if top else NAN


def _check(method: str, allowed: tuple[str, ...], level: float) -> None:
    if method not in allowed:
        raise ParameterError(unknown("method", method, allowed))
    z_value(level)


def _check_risk(events: float, n: float) -> None:
    if not 0 <= events <= n < math.inf:
        raise DataError(f"{events!r} events of {n!r} people: events must lie between 0 and the number of people.")


def _check_rate(events: float, person_time: float) -> None:
    if not (0 <= events < math.inf and 0 <= person_time < math.inf):
        raise DataError(f"{events!r} events in {person_time!r} person-time: both must be zero or more.")
    if events and not person_time:
        raise DataError(f"{events!r} events in no person-time: count the time in which they could occur.")
