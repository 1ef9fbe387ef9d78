"""What a look at the differences before treatment could have seen, and what surviving it does to the effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clinops.errors import DataError, DefinitionError
from clinops.stats.event_study import EventStudy
from clinops.stats.glm import Floats

_POINTS = 14  # 2 to this power; the chance is then right to about 1e-5 for a dozen periods


@dataclass(frozen=True)
class LeadPower:
    """A linear difference in trends, and how often a look at the leads finds it.

    Attributes
    ----------
    slope : difference in trends per period. power : chance that at least one lead is significant under it.
    false_alarm : the same without any difference.
    event_time : (k,) of the study. bias : (k,) slope times the distance from the reference.
    bias_if_passed : (k,) expected bias where no lead was significant, often larger.
    likelihood_ratio : of the leads as observed under the slope, against no difference.
    conf_level : of the look, one lead at a time.
    """

    slope: float
    power: float
    false_alarm: float
    event_time: Floats
    bias: Floats
    bias_if_passed: Floats
    likelihood_ratio: float
    conf_level: float


def lead_power(study: EventStudy, *, power: float = 0.5, slope: float | None = None) -> LeadPower:
    """Say which linear difference in trends the leads of an event study would show with this power.

    Answers: how large a violation of parallel trends would usually have gone unseen, and how wrong the effects would
    then be?

    Parameters
    ----------
    study : with leads against one reference period ("group-time", "two-way", "stacked").
    power : of the look, above its false alarms and below 1. slope : given, its power is computed instead.

    Raises
    ------
    DataError : no lead with an error, a study without a reference period, or more leads than its clusters can tell
    apart. DefinitionError : an impossible power.

    Notes
    -----
    The look rejects where any lead's interval excludes 0, as readers of the figure do. Estimates are normal with the
    study's covariance; the chance is an integral over a box (Genz 1992, at fixed points). Source: Roth 2022; R
    `pretrends` 0.1.0, which it equals to 1e-3 (its own numbers vary by 5e-4).
    """
    from scipy.optimize import brentq

    leads = study.before[np.isfinite(study.std_error[study.before])]
    if np.isnan(study.reference) or not leads.size:
        raise DataError("The study has no leads against a reference period, so a trend before it cannot be looked for.")
    distance = study.event_time - study.reference
    half = (study.conf_high - study.estimate)[leads]
    cov = study.cov[np.ix_(leads, leads)]
    refuse_singular(cov, study)

    def missed(trend: float) -> tuple[float, Floats]:
        return box_mean(trend * distance[leads], cov, half)

    false_alarm = 1 - missed(0.0)[0]
    if slope is None:
        if not false_alarm < power < 1:
            raise DefinitionError(f"power is {power!r}; it must lie between {false_alarm:.3f} (false alarms) and 1.")
        high = float((half / np.abs(distance[leads])).max())
        while 1 - missed(high)[0] < power:
            high *= 2
        slope = float(brentq(lambda one: 1 - missed(one)[0] - power, 0.0, high, xtol=1e-12, rtol=1e-10))
    chance, mean = missed(slope)
    bias = slope * distance
    pull = np.linalg.solve(cov, mean - bias[leads]) if chance > 0 else np.full(len(leads), np.nan)
    return LeadPower(
        slope, 1 - chance, false_alarm, study.event_time, bias, bias + study.cov[:, leads] @ pull,
        _ratio(study.estimate[leads], bias[leads], cov), study.conf_level,
    )  # fmt: skip


def refuse_singular(cov: Floats, study: EventStudy) -> None:
    """Refuse leads whose covariance has no inverse: clusters less one are fewer, or two leads are the same."""
    if np.linalg.matrix_rank(cov, hermitian=True) < len(cov):
        raise DataError(
            f"The covariance of {len(cov)} leads from {study.n_clusters} clusters has no inverse; look at fewer leads"
            " (fewer than there are clusters), or at longer periods."
        )


def box_mean(mean: Floats, cov: Floats, half: Floats) -> tuple[float, Floats]:
    """Return the chance that normal variables lie within -half and half, and their mean there."""
    from scipy.special import ndtr, ndtri
    from scipy.stats import qmc

    root, k = np.linalg.cholesky(cov), len(mean)
    points = qmc.Sobol(k, scramble=False).random_base2(_POINTS) + 0.5 / 2**_POINTS
    z, weight = np.zeros((len(points), k)), np.ones(len(points))
    for j in range(k):
        shift = mean[j] + z[:, :j] @ root[j, :j]
        low, high = (ndtr((side * half[j] - shift) / root[j, j]) for side in (-1, 1))
        weight *= high - low
        inside = np.clip(low + points[:, j] * (high - low), 1e-300, 1 - 1e-16)
        z[:, j] = ndtri(inside)
    chance = float(weight.mean())
    with np.errstate(invalid="ignore"):
        return chance, mean + root @ (weight @ z / weight.sum())


def _ratio(seen: Floats, bias: Floats, cov: Floats) -> float:
    with_trend, without = ((seen - at) @ np.linalg.solve(cov, seen - at) for at in (bias, np.zeros_like(bias)))
    return float(np.exp((without - with_trend) / 2))
