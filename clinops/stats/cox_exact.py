"""The exact partial likelihood of tied times: which d of those at risk have their event is drawn without replacement.

For times that are truly discrete, and for sets of which one or more are cases (conditional logistic regression). At a
moment with d events among R at risk the factor is the product of the events' risks over the sum, over all ways to
choose d of R, of the product of theirs: an elementary symmetric polynomial, found with its derivatives by adding one
row after the other, in R x d steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clinops.stats.cox_likelihood import LARGEST_PREDICTOR, PartialLikelihood, Slope, State
from clinops.stats.risk_sets import Floats, Ints

LARGE = 1e100
"""A total beyond this is taken down: its derivatives, a few orders larger, still fit a double."""


@dataclass(frozen=True)
class ExactLikelihood(PartialLikelihood):
    """Rows without weights and their risk sets; what is derived from turns (residuals, baseline) is Breslow's."""

    def at(self, beta: Floats) -> State | None:
        """Evaluate at `beta` (q,); None where the predictor is too large to compute with."""
        eta = self.offset + self.x @ beta
        if np.abs(eta).max(initial=0) > LARGEST_PREDICTOR:
            return None
        found = Slope(self.x.T @ self.own_weight, np.zeros((len(beta), len(beta))))
        value = float(self.own_weight @ eta)
        for moment, (at_risk, events) in enumerate(zip(self._at_risk, self.tied.tolist(), strict=True)):
            top = float(eta[at_risk].max())
            logarithm, first, second = _chosen(np.exp(eta[at_risk] - top), self.x[at_risk], events)
            if not np.isfinite(logarithm):
                return None
            value -= logarithm + self.tied[moment] * top
            found.gradient[:] -= first
            found.information[:] += second
        return State(self, beta, value, found)

    @cached_property
    def _at_risk(self) -> tuple[Ints, ...]:
        """Rows at risk at each moment."""
        first, last = self.sets.first, self.sets.last
        return tuple(np.flatnonzero((first <= k) & (k < last)) for k in range(self.sets.m))

    def rises_for_ever(self, direction: Floats) -> bool:
        """Is nobody at risk higher, along this direction, than the lowest of a moment's events, but other events?"""
        value = self.x @ direction
        slack = 1e-7 * np.abs(value).max(initial=0)
        for moment, at_risk in enumerate(self._at_risk):
            happens = self.sets.moment_of[at_risk] == moment
            others = value[at_risk][~happens].max(initial=-np.inf)
            if value[at_risk][happens].min() < others - slack:
                return False
        return bool(direction.any())


def _chosen(risk: Floats, x: Floats, events: int) -> tuple[float, Floats, Floats]:
    """Log of the sum over all choices of so many rows of the product of their risks, and its two derivatives.

    Risks are scaled so that their sum is the number of events, and totals are taken down whenever they grow large: by
    themselves they would leave the range of doubles at some thousand rows.
    """
    scale = events / float(risk.sum())
    total, first, second, shift = _symmetric(risk * scale, x, events)
    mean = first / total
    logarithm = float(np.log(total)) + shift - events * float(np.log(scale))
    return logarithm, mean, second / total - np.outer(mean, mean)


def _symmetric(risk: Floats, x: Floats, events: int) -> tuple[float, Floats, Floats, float]:
    """Elementary symmetric polynomial of degree `events`, its gradient (q,) and second derivatives (q, q).

    All three are to be multiplied by exp of the fourth.
    """
    if events == 1:
        return float(risk.sum()), risk @ x, x.T @ (risk[:, None] * x), 0.0
    q = x.shape[1]
    value, first, second = np.zeros(events + 1), np.zeros((events + 1, q)), np.zeros((events + 1, q, q))
    value[0], shift = 1.0, 0.0
    for r, row in zip(risk, x, strict=True):
        cross: Any = first[:-1, :, None] * row
        second[1:] += r * (second[:-1] + cross + cross.transpose(0, 2, 1) + value[:-1, None, None] * np.outer(row, row))
        first[1:] += r * (first[:-1] + value[:-1, None] * row)
        value[1:] += r * value[:-1]
        if (largest := float(value.max())) > LARGE:
            shift += float(np.log(largest))
            for part in (value, first, second):
                part /= largest
    return float(value[-1]), first[-1], second[-1], shift
