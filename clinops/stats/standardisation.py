"""Rates and risks made comparable across strata: direct and indirect standardisation, Mantel-Haenszel.

All from counts by stratum (age bands, severity, site). For standardisation by a model see `standardise`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError, unknown
from clinops.stats.normal import chi2_tail, two_sided, z_value
from clinops.stats.rates import Estimate, poisson_rate
from clinops.stats.risk_sets import Bools, Floats, ratio

NAN = float("nan")
RATE_METHODS = ("fay-feuer", "log-normal", "normal")
RISK_METHODS = ("logit", "normal")
SCALES = ("difference", "ratio")


@dataclass(frozen=True)
class StandardisedRatio:
    """Observed over expected events (an SMR), with the expected number from the reference's rates."""

    ratio: Estimate
    observed: float
    expected: float


@dataclass(frozen=True)
class MantelHaenszel:
    """A common effect across strata and the test that there is none.

    statistic : chi-squared on one degree of freedom, without correction; NaN where no stratum can tell.
    """

    effect: Estimate
    statistic: float
    p_value: float
    strata: int
    note: str


def standardised_rate(
    events: ArrayLike,
    person_time: ArrayLike,
    standard: ArrayLike,
    *,
    method: str = "fay-feuer",
    level: float = 0.95,
) -> Estimate:
    """What would the rate be with the strata of a standard population? Direct standardisation.

    Parameters
    ----------
    events, person_time : (k,) of each stratum. standard : (k,) sizes of the strata in the standard, in any unit.
    method : "fay-feuer" (gamma interval, sound with few events; the default), "log-normal" or "normal".

    Raises
    ------
    DataError : shapes, negative numbers, events without person-time, a standard that adds up to 0.
    ParameterError : unknown method, bad level.

    Notes
    -----
    sum of w_i events_i / time_i, w the shares of the standard; variance sum of w_i^2 events_i / time_i^2 (Poisson).
    Fay and Feuer 1997. A stratum of the standard without person-time: NaN and a note. No events: 0 with Fay and
    Feuer's upper limit. Checked by R's arithmetic.
    """
    _check(method, RATE_METHODS, level)
    count, time, share = _strata(events, person_time, standard)
    if (lack := _lack(time, share)) is not None:
        return Estimate(NAN, NAN, NAN, level, method, note=lack)
    rate, variance = _rate_and_variance(count, time, share)
    error, z = math.sqrt(variance), z_value(level)
    if method == "fay-feuer":
        low, high = _gamma_limits(rate, variance, float(ratio(share, time, time > 0).max(initial=0.0)), level)
    elif method == "log-normal":
        factor = math.exp(z * error / rate) if rate else NAN
        low, high = rate / factor, rate * factor
    else:
        low, high = rate - z * error, rate + z * error
    note = "no events" if not rate else ""
    return Estimate(rate, low, high, level, method, error, "rate", note=note)


def standardised_risk(
    events: ArrayLike, people: ArrayLike, standard: ArrayLike, *, method: str = "logit", level: float = 0.95
) -> Estimate:
    """What share would have the event with the strata of a standard population? Direct standardisation of risks.

    Parameters
    ----------
    events, people : (k,) of each stratum. standard : (k,) sizes of the strata in the standard, in any unit.
    method : "logit" (stays within 0 and 1; the default) or "normal".

    Raises
    ------
    DataError : shapes, negative numbers, more events than people, a standard that adds up to 0.
    ParameterError : unknown method, bad level.

    Notes
    -----
    sum of w_i p_i; variance sum of w_i^2 p_i (1 - p_i) / n_i (binomial). A stratum of the standard without people:
    NaN and a note. A stratum in which nobody or everybody has the event adds no variance; if all are so there is no
    interval, and a note says so.
    """
    _check(method, RISK_METHODS, level)
    count, size, share = _strata(events, people, standard, risks=True)
    if (lack := _lack(size, share)) is not None:
        return Estimate(NAN, NAN, NAN, level, method, note=lack)
    risk, variance = _risk_and_variance(count, size, share)
    error, z = math.sqrt(variance), z_value(level)
    if not variance > 0:
        note = "nobody or everybody has the event in each stratum: no interval"
        return Estimate(risk, NAN, NAN, level, method, NAN, "proportion", note=note)
    if method == "normal":
        return Estimate(risk, risk - z * error, risk + z * error, level, method, error, "proportion")
    odds, reach = risk / (1 - risk), z * error / (risk * (1 - risk))
    low, high = (1 / (1 + math.exp(-side * reach) / odds) for side in (-1.0, 1.0))
    return Estimate(risk, low, high, level, method, error, "proportion")


def standardised_contrast(
    events: ArrayLike,
    denominator: ArrayLike,
    events_0: ArrayLike,
    denominator_0: ArrayLike,
    standard: ArrayLike,
    *,
    kind: str = "risk",
    scale: str = "difference",
    level: float = 0.95,
) -> Estimate:
    """By how much do two groups differ once both have the strata of one standard population?

    Parameters
    ----------
    events, denominator, events_0, denominator_0 : (k,) of each stratum, of the group and of its comparator; people
        (kind "risk") or person-time (kind "rate"). standard : (k,) strata of the target population: name it.
    kind : "risk" or "rate". scale : "difference" (normal interval) or "ratio" (log-normal).

    Raises
    ------
    DataError, ParameterError : as `standardised_rate`, `standardised_risk`; unknown kind or scale.

    Notes
    -----
    Independent groups: variances add. A ratio with a 0 has no interval, and a note says so.
    """
    _check(kind, ("risk", "rate"), level, "kind")
    _check(scale, SCALES, level, "scale")
    values, variances = [], []
    for top, bottom in ((events, denominator), (events_0, denominator_0)):
        count, size, share = _strata(top, bottom, standard, risks=kind == "risk")
        if (lack := _lack(size, share)) is not None:
            return Estimate(NAN, NAN, NAN, level, "direct", note=lack)
        value, variance = (_risk_and_variance if kind == "risk" else _rate_and_variance)(count, size, share)
        values.append(value)
        variances.append(variance)
    if scale == "difference":
        return _difference(values[0] - values[1], math.sqrt(sum(variances)), level, "direct")
    both = values[0] > 0 and values[1] > 0
    error = math.sqrt(sum(v / m**2 for v, m in zip(variances, values, strict=True))) if both else NAN
    return _log_ratio(_over(values[0], values[1]), error, level, "direct")


def standardised_ratio(
    events: float | ArrayLike,
    person_time: ArrayLike,
    reference_rate: ArrayLike,
    *,
    method: str = "exact",
    level: float = 0.95,
) -> StandardisedRatio:
    """How many events were there for each one expected at the reference's rates? Indirect standardisation (SMR).

    Parameters
    ----------
    events : total, or (k,) of each stratum (only the sum counts). person_time, reference_rate : (k,).
    method : "exact" (Poisson), "byar" or "log-normal", as `rates.poisson_rate`; the expected number is taken as known.

    Raises
    ------
    DataError : shapes, negative numbers, events where none are expected. ParameterError : unknown method, bad level.

    Notes
    -----
    Ratios of two groups to one reference are not comparable with each other unless their strata are alike. Nothing
    expected: NaN and a note. Checked against R's `poisson.test`.
    """
    time, rate = _column("person_time", person_time, None), _column("reference_rate", reference_rate, None)
    if time.shape != rate.shape:
        raise DataError(f"person_time has {len(time)} strata and reference_rate {len(rate)}; both must have the same.")
    observed, expected = float(np.sum(_column("events", np.atleast_1d(events), None))), float(time @ rate)
    if not expected and observed:
        raise DataError(f"{observed:g} events where the reference expects none: its rates do not fit these strata.")
    found = poisson_rate(observed, expected, method=method, level=level)
    if not expected:
        found = Estimate(NAN, NAN, NAN, level, method, note="no events are expected")
    return StandardisedRatio(found, observed, expected)


# --- Mantel-Haenszel ---------------------------------------------------------------------------------------

MEASURES = ("odds ratio", "risk ratio", "risk difference", "rate ratio", "rate difference")


def mantel_haenszel(
    events: ArrayLike,
    denominator: ArrayLike,
    events_0: ArrayLike,
    denominator_0: ArrayLike,
    *,
    measure: str = "odds ratio",
    level: float = 0.95,
) -> MantelHaenszel:
    """What one effect, common to all strata, do two groups differ by?

    Parameters
    ----------
    events, denominator, events_0, denominator_0 : (k,) of each stratum, of the group and of its comparator; people,
        or person-time for the rates.
    measure : "odds ratio", "risk ratio", "risk difference", "rate ratio" or "rate difference".

    Raises
    ------
    DataError : shapes, negative numbers, more events than people, events without person-time.
    ParameterError : unknown measure, bad level.

    Notes
    -----
    Mantel and Haenszel 1959; variances: Robins, Breslow and Greenland 1986 (odds), Greenland and Robins 1985 (the
    others). Odds ratio and test equal R's `mantelhaen.test(correct = FALSE)`. Strata with one group only carry no
    weight. A ratio of 0 or infinity has no interval.
    """
    _check(measure, MEASURES, level, "measure")
    rates = measure.startswith("rate")
    a, n, _ = _strata(events, denominator, np.ones(np.shape(events)), risks=not rates)
    b, m, _ = _strata(events_0, denominator_0, np.ones(np.shape(events_0)), risks=not rates)
    if a.shape != b.shape:
        raise DataError(f"events has {len(a)} strata and events_0 {len(b)}; both must have the same.")
    both = (n > 0) & (m > 0)
    if not both.any():
        none = Estimate(NAN, NAN, NAN, level, "mantel-haenszel", note="no stratum has both groups")
        return MantelHaenszel(none, NAN, NAN, 0, none.note)
    a, n, b, m = (column[both] for column in (a, n, b, m))
    effect = {
        "odds ratio": _mh_odds,
        "risk ratio": _mh_risk_ratio,
        "risk difference": _mh_risk_difference,
        "rate ratio": _mh_rate_ratio,
        "rate difference": _mh_rate_difference,
    }[measure](a, n, b, m, level)
    total, events_all = n + m, a + b
    if rates:
        spread = events_all * n * m / total**2
    else:
        spread = ratio(n * m * events_all * (total - events_all), total**2 * (total - 1), total > 1)
    variance = float(spread.sum())
    statistic = float((a - events_all * n / total).sum()) ** 2 / variance if variance > 0 else NAN
    note = effect.note if variance > 0 else "no stratum varies: nobody, or everybody, has the event"
    return MantelHaenszel(effect, statistic, chi2_tail(statistic, 1), int(both.sum()), note)


def _mh_odds(a: Floats, n: Floats, b: Floats, m: Floats, level: float) -> Estimate:
    total = n + m
    r, s = a * (m - b) / total, (n - a) * b / total
    p, q = (a + m - b) / total, (n - a + b) / total
    R, S = float(r.sum()), float(s.sum())
    error = NAN
    if R and S:
        variance = (p @ r) / (2 * R**2) + (p @ s + q @ r) / (2 * R * S) + (q @ s) / (2 * S**2)
        error = math.sqrt(variance)
    return _log_ratio(_over(R, S), error, level, "mantel-haenszel")


def _mh_risk_ratio(a: Floats, n: Floats, b: Floats, m: Floats, level: float) -> Estimate:
    total = n + m
    R, S = float((a * m / total).sum()), float((b * n / total).sum())
    top = float(((n * m * (a + b) - a * b * total) / total**2).sum())
    error = math.sqrt(top / (R * S)) if R and S else NAN
    return _log_ratio(_over(R, S), error, level, "mantel-haenszel")


def _mh_risk_difference(a: Floats, n: Floats, b: Floats, m: Floats, level: float) -> Estimate:
    weight = n * m / (n + m)
    value = float(weight @ (a / n - b / m) / weight.sum())
    variance = float(weight**2 @ (a * (n - a) / n**3 + b * (m - b) / m**3)) / float(weight.sum()) ** 2
    return _difference(value, math.sqrt(variance), level, "mantel-haenszel")


def _mh_rate_ratio(a: Floats, n: Floats, b: Floats, m: Floats, level: float) -> Estimate:
    total = n + m
    R, S = float((a * m / total).sum()), float((b * n / total).sum())
    top = float(((a + b) * n * m / total**2).sum())
    error = math.sqrt(top / (R * S)) if R and S else NAN
    return _log_ratio(_over(R, S), error, level, "mantel-haenszel")


def _mh_rate_difference(a: Floats, n: Floats, b: Floats, m: Floats, level: float) -> Estimate:
    weight = n * m / (n + m)
    value = float(weight @ (a / n - b / m) / weight.sum())
    variance = float(weight**2 @ (a / n**2 + b / m**2)) / float(weight.sum()) ** 2
    return _difference(value, math.sqrt(variance), level, "mantel-haenszel")


# --- shared ------------------------------------------------------------------------------------------------


def _strata(
    events: ArrayLike, denominator: ArrayLike, standard: ArrayLike, *, risks: bool = False
) -> tuple[Floats, Floats, Floats]:
    """Check the columns of the strata; return events, denominators and the shares of the standard: (k,) each."""
    count = _column("events", events, None)
    size = _column("the denominator", denominator, len(count))
    weight = _column("standard", standard, len(count))
    if not weight.sum() > 0:
        raise DataError("standard adds up to 0; give the size of each stratum in the standard population.")
    if risks and (count > size).any():
        at = int(np.flatnonzero(count > size)[0])
        raise DataError(f"stratum {at} has {count[at]:g} events in {size[at]:g} people.")
    if (count[size == 0] > 0).any():
        at = int(np.flatnonzero((size == 0) & (count > 0))[0])
        raise DataError(f"stratum {at} has {count[at]:g} events in no person-time.")
    return count, size, weight / weight.sum()


def _column(name: str, values: ArrayLike, length: int | None) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or (length is not None and len(found) != length):
        wanted = "one dimension" if length is None else f"one value for each of {length} strata"
        raise DataError(f"{name} has the shape {found.shape}; it must have {wanted}.")
    if not np.isfinite(found).all() or (found < 0).any():
        raise DataError(f"{name} must hold finite numbers, zero or more.")
    return found


def _lack(size: Floats, share: Floats) -> str | None:
    """Say which strata of the standard nobody stands for."""
    missing: Bools = (size == 0) & (share > 0)
    if not missing.any():
        return None
    return f"no one in strata {np.flatnonzero(missing).tolist()} of the standard: merge strata, or leave them out of it"


def _rate_and_variance(count: Floats, time: Floats, share: Floats) -> tuple[float, float]:
    rate = ratio(count, time, time > 0)
    return float(share @ rate), float(share**2 @ ratio(rate, time, time > 0))


def _risk_and_variance(count: Floats, size: Floats, share: Floats) -> tuple[float, float]:
    risk = ratio(count, size, size > 0)
    return float(share @ risk), float(share**2 @ ratio(risk * (1 - risk), size, size > 0))


def _gamma_limits(rate: float, variance: float, largest: float, level: float) -> tuple[float, float]:
    """Limits of Fay and Feuer; `largest` is the greatest weight of one event."""
    from scipy.special import gammaincinv

    tail = (1 - level) / 2
    low = float(gammaincinv(rate**2 / variance, tail)) * variance / rate if variance > 0 else 0.0
    more, spread = rate + largest, variance + largest**2
    return low, float(gammaincinv(more**2 / spread, 1 - tail)) * spread / more


def _difference(value: float, error: float, level: float, method: str) -> Estimate:
    z = z_value(level)
    if not error > 0:
        note = "nobody or everybody has the event in each stratum: no interval"
        return Estimate(value, NAN, NAN, level, method, NAN, "difference", note=note)
    p = two_sided(value / error)
    return Estimate(value, value - z * error, value + z * error, level, method, error, "difference", p)


def _log_ratio(value: float, error: float, level: float, method: str) -> Estimate:
    if not error > 0:
        note = "a count is zero, or nothing varies: the ratio has no interval of this kind"
        return Estimate(value, NAN, NAN, level, method, NAN, "log", note=note)
    factor = math.exp(z_value(level) * error)
    return Estimate(
        value, value / factor, value * factor, level, method, error, "log", two_sided(math.log(value) / error)
    )


def _over(top: float, bottom: float) -> float:
    if bottom:
        return top / bottom
    return math.inf if top else NAN


def _check(chosen: str, allowed: tuple[str, ...], level: float, what: str = "method") -> None:
    if chosen not in allowed:
        raise ParameterError(unknown(what, chosen, allowed))
    z_value(level)
