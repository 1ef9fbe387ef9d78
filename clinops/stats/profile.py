"""Limits of a Cox coefficient by its profile likelihood: one of them also where the estimate is infinite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from clinops.errors import ParameterError
from clinops.stats.cox_likelihood import (
    LARGEST_PREDICTOR,
    NOTHING_LEFT,
    PartialLikelihood,
    State,
    partial_likelihood,
)
from clinops.stats.normal import z_value
from clinops.stats.risk_sets import Floats

if TYPE_CHECKING:
    from clinops.stats.cox import CoxFit

NAN = float("nan")
UNSETTLED = "the fit did not converge, so the supremum of its likelihood is not known"
MOST_STEPS = 200
TOLERATED = 1e-6
"""What a climb may leave to gain where the predictor becomes too large to go on."""


@dataclass(frozen=True)
class ProfileInterval:
    """Profile-likelihood limits of one coefficient, on the scale of the log hazard ratio.

    estimate : as in the fit, perhaps infinite. conf_low, conf_high : minus or plus infinity on the side on which the
    likelihood keeps rising; both NaN where there are no limits (the note says why). loglik : the supremum of the
    partial log likelihood. fall : by how much it is lower at a limit, chi2_1(level) / 2.
    """

    column: int
    estimate: float
    conf_low: float
    conf_high: float
    level: float
    loglik: float
    fall: float
    note: str


def profile_interval(fit: CoxFit, column: int, level: float = 0.95) -> ProfileInterval:
    """Which values of one coefficient are compatible with the data, the other coefficients free?

    Parameters
    ----------
    fit : with the model's own standard errors; weights, if any, are counts.
    column : the coefficient, from 0. level : of the two-sided interval.

    Raises
    ------
    ParameterError : no such column; a level not between 0 and 1; a robust fit or weights that are no counts, whose
        pseudo-likelihood has no chi-squared limit.

    Notes
    -----
    The limits are the values at which the partial log likelihood, maximised over the others, lies chi2_1(level) / 2
    below its supremum (Venzon and Moolgavkar 1988). Where the estimate is infinite one limit is finite; it is that of
    a two-sided interval, so that on its own it is passed with a chance of about (1 - level) / 2, more with few events
    (Heinze and Schemper 2001 discuss such limits). The supremum is then a limit:
    along the endless column each event competes with those at risk who have its own value only, so it is the maximum
    of the model stratified by that column. Where only a combination of columns is endless the likelihood is climbed
    until Newton's decrement, which for a tail c exp(-s) equals what is left to gain, is below 1e-10 (1e-6 where the
    predictor becomes too large to go on). Checked against R survival 3.5.3.
    """
    fall = z_value(level) ** 2 / 2
    _check(fit, column)
    why = _no_profile(fit, column)
    if why:
        return ProfileInterval(column, float(fit.coef[column]), NAN, NAN, level, NAN, fall, why)
    profile = _Profile(fit, column)
    if np.isnan(profile.top):
        return ProfileInterval(column, float(fit.coef[column]), NAN, NAN, level, NAN, fall, UNSETTLED)
    estimate, scale = float(fit.coef[column]), float(fit.columns.scale[column])
    ends = []
    for side in (-1.0, 1.0):
        open_ended = np.isinf(estimate) and np.sign(estimate) == side
        ends.append(estimate if open_ended else profile.crossing(profile.top - fall, side) / scale)
    low, high = (NAN, NAN) if np.isnan(ends).any() else ends
    note = _explain(estimate, low, level, column)
    return ProfileInterval(column, estimate, low, high, level, profile.top, fall, note)


class _Profile:
    """The likelihood as a function of one coefficient, on the scale of its centred and scaled column."""

    def __init__(self, fit: CoxFit, column: int) -> None:
        state, used = fit.state, fit.columns.used
        at, endless = int(used[:column].sum()), fit.columns.endless[used]
        alone = [int(c) for c in np.flatnonzero(endless) if _rises_alone(state.of, int(c), float(endless[c]))]
        self.top = _supremum(fit, alone)
        self.endless = bool(endless[at] != 0)
        self.own = state.of.x[:, at]
        settled = [c for c in alone if c != at]
        self.others = _at_the_end_of(state.of, settled, [*settled, at], fit.ties)
        # An endless climb ends far out, where there is no slope to come back by: such a search begins at 0.
        start = np.where((endless != 0) | self.endless, 0.0, state.beta)
        self.begin = float(start[at])
        self.reach = 1.0 if self.endless else 2 * float(fit.se_model[column] * fit.columns.scale[column])
        self.known: dict[float, Floats] = {self.begin: np.delete(start, [*settled, at])}

    def at(self, value: float) -> float:
        """Return the log likelihood with this coefficient fixed and the others at their best; NaN if not found."""
        fixed = self.others.with_columns(self.others.x, self.others.offset + value * self.own)
        near = min(self.known, key=lambda known: abs(known - value))
        found = _highest(fixed, self.known[near])
        if found is None:
            return NAN
        self.known[value] = found.beta
        return found.loglik

    def crossing(self, target: float, side: float) -> float:
        """Where the profile falls to `target` on one side of its highest point; NaN if it does not."""
        from scipy.optimize import brentq

        def above(value: float) -> float:
            return self.at(value) - target

        # The profile is concave, so it crosses once. An endless one is climbed from 0 if 0 lies below the target.
        downhill = not self.endless or above(self.begin) > 0
        ends = self._bracket(above, side if downhill else -side)
        try:
            return float(brentq(above, *ends, xtol=1e-11, rtol=1e-13)) if ends else NAN
        except ValueError:  # the profile could not be followed to one of the values asked for
            return NAN

    def _bracket(self, above: Callable[[float], float], side: float) -> tuple[float, float] | None:
        """Step to one side, ever further, until the sign of `above` changes: the last two values; None if it stays."""
        edge = LARGEST_PREDICTOR * (1 - 1e-9) / max(float(np.abs(self.own).max(initial=0.0)), 1e-300)
        step, last, was = self.reach, self.begin, above(self.begin)
        while abs(last) < edge:
            there = float(np.clip(self.begin + side * step, -edge, edge))
            now = above(there)
            if np.isnan(now * was):
                return None
            if now * was <= 0:
                return last, there
            last, was, step = there, now, 2 * step
        return None


def _rises_alone(likelihood: PartialLikelihood, column: int, sign: float) -> bool:
    """Does the likelihood keep rising in this column whatever the others: is no event's value below one at risk?"""
    value, events = sign * likelihood.x[:, column], likelihood.sets.moment_of >= 0
    highest = likelihood.sets.maximum(np.where(likelihood.rows.weight > 0, value, -np.inf))
    return bool((value[events] >= highest[likelihood.sets.moment_of[events]]).all())


def _at_the_end_of(
    likelihood: PartialLikelihood, endless: list[int], dropped: list[int], ties: str
) -> PartialLikelihood:
    """Return the limit of the likelihood along columns in which it rises alone, without some columns.

    There an event competes with those at risk who have its own values only, as if these were strata.
    """
    kept = np.delete(likelihood.x, dropped, axis=1)
    if not endless:
        return likelihood.with_columns(kept)
    labels = np.column_stack([likelihood.rows.stratum, likelihood.x[:, endless]])
    stratum = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return partial_likelihood(replace(likelihood.rows, stratum=stratum), kept, efron=ties == "efron")


def _supremum(fit: CoxFit, alone: list[int]) -> float:
    """Return the least upper bound of the log likelihood: its maximum, or the limit along endless columns."""
    if not alone:
        return fit.loglik if fit.converged else NAN
    start = np.where(fit.columns.endless[fit.columns.used] != 0, 0.0, fit.state.beta)
    found = _highest(_at_the_end_of(fit.state.of, alone, alone, fit.ties), np.delete(start, alone))
    return NAN if found is None else found.loglik


def _highest(likelihood: PartialLikelihood, start: Floats) -> State | None:
    """Climb to the highest point of a concave likelihood, or to where nothing is left to gain; None if neither.

    Newton's steps within a bound on the change of the predictor, since a search with a coefficient held fixed may
    begin where the likelihood is all but straight (`cox_likelihood.maximise` begins where it is curved).
    """
    state = likelihood.at(start)
    state = likelihood.at(np.zeros(len(start))) if state is None else state
    bound, left = 4.0, float("inf")
    for _ in range(MOST_STEPS if state is not None else 0):
        assert state is not None
        step, left = _newton(state)
        size = float(np.abs(likelihood.x @ step).max(initial=0.0))
        there = likelihood.at(state.beta + step * min(1.0, bound / max(size, 1e-300)))
        higher = there is not None and there.loglik >= state.loglik - 1e-13 * (1 + abs(state.loglik))
        state = there if higher else state
        if left < NOTHING_LEFT or bound < 1e-9:
            break
        bound = 2 * bound if higher else min(bound, size) / 4
    return state if left < TOLERATED else None


def _newton(state: State) -> tuple[Floats, float]:
    """Return Newton's step and what is left to gain by it; directions without slope but for rounding are left out."""
    curvature, axes = np.linalg.eigh(state.information())
    slope = axes.T @ state.gradient()
    slope[np.abs(slope) < 1e-14 * max(float(state.of.mass.sum()), 1.0)] = 0.0
    along = slope / np.maximum(curvature, 1e-18 * max(float(state.of.mass.sum()), 1.0))
    return np.asarray(axes @ along), float(slope @ along)


def _check(fit: CoxFit, column: int) -> None:
    p = len(fit.coef)
    if not 0 <= column < p:
        raise ParameterError(f"column is {column!r}; the model has {p} columns, counted from 0.")
    weight = fit.state.of.rows.weight
    if fit.se_kind != "model" or (weight != np.round(weight)).any():
        what = f"a {fit.se_kind} variance" if fit.se_kind != "model" else "weights that are no counts"
        raise ParameterError(
            f"The fit has {what}: its likelihood is a pseudo-likelihood, whose profile has no chi-squared limit. Use "
            "interval() with the robust error and, where the estimate is infinite, a robust log-rank test (logrank "
            "with the weights or cluster); or fit independent rows without weights, robust and cluster."
        )


def _no_profile(fit: CoxFit, column: int) -> str:
    if not fit.n_event:
        return "no events: nothing can be estimated"
    if fit.ties == "exact":
        return "profile limits are given for Efron's and Breslow's ties only"
    if not fit.columns.used[column]:
        return f"column {column}: not identified, so the profile is flat"
    return "" if fit.converged or np.isinf(fit.coef[column]) else UNSETTLED


def _explain(estimate: float, low: float, level: float, column: int) -> str:
    if np.isnan(low):
        return (
            f"column {column}: the profile does not fall far enough within what can be computed (it is flat, or all "
            "but), so there are no limits"
        )
    if np.isinf(estimate):
        side, end = ("upper", "minus") if estimate < 0 else ("lower", "plus")
        return (
            f"column {column}: the estimate is {end} infinity; only the {side} limit is finite, and it is that of a "
            f"two-sided {100 * level:g} % interval"
        )
    return ""
