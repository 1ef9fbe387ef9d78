"""What a series would have been without its interruption, by the segmented regression that was fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import Floats
from clinops.stats.interrupted import SegmentedFit


@dataclass(frozen=True)
class Counterfactual:
    """With and without the interruption, at each time of a window; (m,) each, in the units of the outcome.

    Attributes
    ----------
    observed, fitted : as seen, and by the model with the interruption. counterfactual : by the model without.
    effect : fitted less counterfactual. ratio : fitted over counterfactual; less 1, the relative change.
    std_error : of the effect. low, high : limits, after the name of what they bound. total : the same over the window.
    note : "" or what a reader must know.
    """

    time: Floats
    observed: Floats
    fitted: Floats
    counterfactual: Floats
    counterfactual_low: Floats
    counterfactual_high: Floats
    effect: Floats
    std_error: Floats
    effect_low: Floats
    effect_high: Floats
    ratio: Floats
    ratio_low: Floats
    ratio_high: Floats
    total: CumulativeEffect
    note: str


@dataclass(frozen=True)
class CumulativeEffect:
    """Sums over a window; `ratio` is that of the sums. As in `Counterfactual`."""

    periods: int
    observed: float
    fitted: float
    counterfactual: float
    counterfactual_low: float
    counterfactual_high: float
    effect: float
    std_error: float
    effect_low: float
    effect_high: float
    ratio: float
    ratio_low: float
    ratio_high: float


class _Parts(NamedTuple):
    """What `Counterfactual` and `CumulativeEffect` have in common, in their order."""

    fitted: Floats
    counterfactual: Floats
    counterfactual_low: Floats
    counterfactual_high: Floats
    effect: Floats
    std_error: Floats
    effect_low: Floats
    effect_high: Floats
    ratio: Floats
    ratio_low: Floats
    ratio_high: Floats


def counterfactual(fit: SegmentedFit, window: tuple[float, float] | None = None) -> Counterfactual:
    """How would the series have gone on without the interruption, and how far is it from that?

    Parameters
    ----------
    fit : by `segmented_regression`. window : first and last time, both included; None for all after the first change.

    Raises
    ------
    DefinitionError : a window that ends before it starts. DataError : no period of the treated series in it.

    Notes
    -----
    Without: the same coefficients, the columns that the interruptions added set to 0; with a control series only those
    of the difference, so that the treated series would have changed as the control did. Intervals by the delta method
    with the covariance and the degrees of freedom of the fit: of the counterfactual on the scale of the link, of the
    effect as it is, of the ratio on the log scale. They are of the mean: the scatter of single periods is not in them.
    But for AR(1) errors, observed and fitted have the same sum over a whole segment, so its effect is also observed
    less counterfactual. Source: Zhang and others 2009; Lopez Bernal, Cummins and Gasparrini 2017.
    """
    rows = _window(fit, window)
    seen = fit.design.matrix[rows]
    bare = np.where(fit.design.effect, 0.0, seen)
    each = np.eye(len(rows))
    parts = _parts(fit, seen, bare, fit.offset[rows], each)
    whole = _parts(fit, seen, bare, fit.offset[rows], np.ones((1, len(rows))))
    total = CumulativeEffect(len(rows), float(fit.observed[rows].sum()), *(float(part[0]) for part in whole))
    note = "" if np.isfinite(parts[0]).all() else "Some coefficients could not be estimated: no counterfactual."
    return Counterfactual(fit.design.time[rows], fit.observed[rows], *parts, total, note)


def _window(fit: SegmentedFit, window: tuple[float, float] | None) -> NDArray[np.int64]:
    changed = (fit.design.matrix[:, fit.design.effect] != 0).any(axis=1)
    if window is None:
        return np.flatnonzero(changed & fit.design.treated)
    first, last = window
    if not first <= last:
        raise DefinitionError(f"The window goes from {first!r} to {last!r}; it must not end before it starts.")
    time = fit.design.time
    rows = np.flatnonzero((time >= first) & (time <= last) & fit.design.treated)
    if not len(rows):
        raise DataError(f"No period from {first:g} to {last:g}; the series goes from {time.min():g} to {time.max():g}.")
    return rows


def _parts(fit: SegmentedFit, seen: Floats, bare: Floats, shift: Floats, sums: Floats) -> _Parts:
    """Fitted, counterfactual, effect, ratio with limits, for weighted sums of rows (s, m)."""
    with_it, by_with = _means(fit, seen, shift, sums)
    without, by_without = _means(fit, bare, shift, sums)
    size = _reach(fit)
    effect, error = with_it - without, _errors(fit, by_with - by_without)
    if fit.log_link:
        spread = size * _errors(fit, by_without / without[:, None])
        low, high = without * np.exp(-spread), without * np.exp(spread)
    else:
        spread = size * _errors(fit, by_without)
        low, high = without - spread, without + spread
    sound = (with_it > 0) & (without > 0)
    top, bottom = np.where(sound, with_it, np.nan), np.where(sound, without, np.nan)
    far = size * _errors(fit, by_with / top[:, None] - by_without / bottom[:, None])
    ratio = top / bottom
    with np.errstate(over="ignore"):  # hardly an event: the upper limit is beyond every number
        ends = ratio * np.exp(-far), ratio * np.exp(far)
    return _Parts(
        with_it, without, low, high, effect, error, effect - size * error, effect + size * error, ratio, *ends
    )  # fmt: skip


def _means(fit: SegmentedFit, design: Floats, shift: Floats, sums: Floats) -> tuple[Floats, Floats]:
    """Sums of means, and their derivatives by the coefficients."""
    eta = design @ fit.coef + shift
    mean, slope = (np.exp(eta), np.exp(eta)) if fit.log_link else (eta, np.ones_like(eta))
    return sums @ mean, sums @ (design * slope[:, None])


def _errors(fit: SegmentedFit, gradient: Floats) -> Floats:
    variance = np.einsum("ij,jk,ik->i", gradient, fit.cov, gradient)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _reach(fit: SegmentedFit) -> float:
    from scipy.stats import t

    return float(t.isf((1 - fit.conf_level) / 2, fit.df)) if fit.df > 0 else inf
