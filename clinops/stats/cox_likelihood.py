"""The Cox partial likelihood at given coefficients: value, gradient, information, residuals, hazards.

Everything is a sum over risk sets, so one evaluation costs O(rows x columns^2). Notation: a *turn* is one factor of
the partial likelihood, with its own denominator. With Breslow's rule a time with d events is one turn of their whole
weight; with Efron's it is d turns of their mean weight, and in turn k a share k/d of the tied rows is already gone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinops.stats.compiled import worth_it
from clinops.stats.risk_sets import Floats, Ints, RiskSets, Spells, every, risk_sets

LARGEST_PREDICTOR = 600.0
"""exp(600) times any number of rows still fits a double; a step that leads beyond is halved."""
MOST_CACHED = 1 << 18
"""Numbers in a table of moments, 2 MB, that random access still finds fast."""


@dataclass(frozen=True)
class PartialLikelihood:
    """Rows, risk sets and turns. x : (n, q) covariates, centred and scaled. offset : (n,) fixed part of the predictor.

    tied : (m,) rows with an event at each moment. efron : a turn for each of them, or (Breslow) one for all.
    """

    rows: Spells
    sets: RiskSets
    x: Floats
    offset: Floats
    tied: Ints
    efron: bool

    @cached_property
    def turn_moment(self) -> Ints:
        """Moment of each turn: (turns,)."""
        return np.repeat(np.arange(self.sets.m), self.tied) if self.efron else np.arange(self.sets.m)

    @cached_property
    def share(self) -> Floats:
        """Share of the tied rows that is gone before each turn: (turns,)."""
        if not self.efron:
            return np.zeros(self.sets.m)
        turn = np.arange(len(self.turn_moment)) - np.repeat(np.cumsum(self.tied) - self.tied, self.tied)
        return np.asarray(turn / self.tied[self.turn_moment])

    @cached_property
    def mass(self) -> Floats:
        """Weight of the events of each turn: (turns,)."""
        if not self.efron:
            return self._weight_of_events
        return np.asarray((self._weight_of_events / self.tied)[self.turn_moment])

    @cached_property
    def _weight_of_events(self) -> Floats:
        return self.tied.astype(np.float64) if self.rows.plain else self.sets.events(self.rows.weight)

    def with_columns(self, x: Floats, offset: Floats | None = None) -> PartialLikelihood:
        """The same risk sets with other covariates, and a fixed part of the predictor."""
        return replace(self, x=x, offset=self.offset if offset is None else offset)

    def at(self, beta: Floats) -> State | None:
        """Evaluate at `beta` (q,); None where the predictor is too large to compute with."""
        if type(self.sets) is RiskSets and worth_it(self.rows.n):
            known, state = self._in_one_pass(beta)
            if known:
                return state
        turns = self.turns_at(beta)
        if turns is None:
            return None
        value = float(self.own_weight @ turns.eta - self.mass @ np.log(turns.denominator))
        return State(self, beta, value, turns=turns)

    def _in_one_pass(self, beta: Floats) -> tuple[bool, State | None]:
        """Whether the compiled pass knows the answer to the digit, and the answer."""
        from clinops.stats.cox_pass import DIGITS_LOST, OK, slope

        x, offset, weight, own, *rest = self._packed
        # einsum and not BLAS: threads gain nothing on a tall thin matrix, wait for each other on a busy machine, and
        # change the last digit with their number
        eta = np.einsum("ij,j->i", x, beta)
        if len(offset):
            eta += offset
        if np.abs(eta).max(initial=0) > LARGEST_PREDICTOR:
            return True, None
        risk = np.exp(eta)
        if len(weight):
            risk *= weight
        left = np.empty(len(self.mass))
        found = Slope(own.copy(), np.zeros((len(beta), len(beta))))
        status = slope(x, risk, *rest, left, found.gradient, found.information)
        if status != OK:
            return status != DIGITS_LOST, None
        value = float(own @ beta) - float(np.sum(self.mass * np.log(left)))
        if len(offset):
            value += float(np.sum(self.own_weight * self.offset))  # of the rows as they came
        return True, State(self, beta, value, found)

    @cached_property
    def _packed(self) -> tuple[Any, ...]:
        """Arrays of the compiled pass; rows in order of time where a table of the moments would not fit the cache.

        With late entry those at risk at no moment are left out: they are in no sum.
        """
        sets, rows, none = self.sets, self.rows, np.zeros(0)
        late = bool(sets.first.any())
        in_order = sets.m * (self.x.shape[1] + 1) > MOST_CACHED
        order = np.argsort(sets.last) if in_order else None
        if late and (idle := sets.first >= sets.last).any():
            order = np.flatnonzero(~idle) if order is None else order[~idle[order]]
        shared = self.efron and bool((self.tied > 1).any())
        tied_at = np.where(np.append(self.tied > 1, False)[sets.moment_of], sets.moment_of, sets.m) if shared else none

        def packed(values: NDArray[Any], kind: type) -> NDArray[Any]:
            return np.ascontiguousarray(values if order is None or not len(values) else values.take(order, 0), kind)

        per_row = (self.x, self.offset if self.offset.any() else none, none if rows.plain else rows.weight)
        places = (sets.first if late else none, sets.last, tied_at)
        return (
            *(packed(values, np.float64) for values in per_row), np.einsum("ij,i->j", self.x, self.own_weight),
            *(packed(values, np.int32) for values in places),
            sets.stratum, self.tied, self._weight_of_events, self.efron, in_order,
        )  # fmt: skip

    def turns_at(self, beta: Floats) -> Turns | None:
        """Every turn at `beta` (q,); None where the predictor is too large to compute with."""
        eta = self.offset + self.x @ beta
        if np.abs(eta).max(initial=0) > LARGEST_PREDICTOR:
            return None
        risk = self.rows.weight * np.exp(eta)
        denominator = self._left(risk)
        if (denominator <= 0).any():
            return None
        mean = self._left(risk[:, None] * self.x) / denominator[:, None]
        return Turns(eta, risk, denominator, self.mass / denominator, mean)

    @cached_property
    def own_weight(self) -> Floats:
        """Weight of each row that ends in an event, 0 for the others: (n,)."""
        return np.where(self.sets.moment_of >= 0, self.rows.weight, 0.0)

    def _left(self, values: Floats) -> Floats:
        """Sum over those at risk in each turn, less the share of the tied rows that is gone."""
        total = self.sets.at_risk(values)[self.turn_moment]
        if not self.share.any():
            return total
        share = self.share if values.ndim == 1 else self.share[:, None]
        return total - share * self.sets.events(values)[self.turn_moment]

    def rises_for_ever(self, direction: Floats) -> bool:
        """Does every event have the highest value, along this direction, of all those at risk with it?"""
        value = self.x @ direction
        events = self.sets.moment_of >= 0
        highest = self.sets.maximum(np.where(self.rows.weight > 0, value, -np.inf))
        slack = 1e-7 * np.abs(value).max(initial=0)
        return bool(direction.any() and (value[events] >= highest[self.sets.moment_of[events]] - slack).all())

    def by_moment(self, values: Floats) -> Floats:
        """Sum over the turns of each moment: (m,) or (m, q)."""
        if values.ndim == 1:
            return np.bincount(self.turn_moment, weights=values, minlength=self.sets.m).astype(np.float64)
        columns = [self.by_moment(values[:, column]) for column in range(values.shape[1])]
        return np.stack(columns, axis=1) if columns else np.zeros((self.sets.m, 0))

    def exposure(self, increments: Floats) -> Floats:
        """Sum over the turns a row was at risk in, a tied row only as far as it is still there: (n,) or (n, q)."""
        share = self.share if increments.ndim == 1 else self.share[:, None]
        gone = self.by_moment(share * increments)
        total = self.sets.along(self.by_moment(increments))
        events = self.sets.moment_of >= 0
        total[events] -= gone[self.sets.moment_of[events]]
        return total


@dataclass(frozen=True)
class Turns:
    """Every turn at one value of the coefficients.

    eta, risk : (n,) predictor, and weight x exp(eta). denominator, hazard : (turns,) those left in each turn, and
    the increment of the cumulative hazard. mean : (turns, q) covariates of those left, weighted by risk.
    """

    eta: Floats
    risk: Floats
    denominator: Floats
    hazard: Floats
    mean: Floats


@dataclass(frozen=True)
class Slope:
    """First derivatives (q,), and minus the second (q, q)."""

    gradient: Floats
    information: Floats


class State:
    """The likelihood at one value of the coefficients; its turns are worked out when something asks for them."""

    def __init__(
        self, of: PartialLikelihood, beta: Floats, loglik: float, slope: Slope | None = None, turns: Turns | None = None
    ) -> None:
        self.of, self.beta, self.loglik = of, beta, loglik
        self._slope, self._turns = slope, turns

    @cached_property
    def turns(self) -> Turns:
        """Predictors, hazards and means; only a compiled pass has left them out so far."""
        found = self._turns or self.of.turns_at(self.beta)
        assert found is not None, "the likelihood was evaluated here"
        return found

    def by_turns(self) -> State:
        """The same, its derivatives those of its turns: where the likelihood is exact, Breslow's."""
        return State(self.of, self.beta, self.loglik, turns=self.turns)

    @property
    def eta(self) -> Floats:
        return self.turns.eta

    @property
    def risk(self) -> Floats:
        return self.turns.risk

    @property
    def denominator(self) -> Floats:
        return self.turns.denominator

    @property
    def hazard(self) -> Floats:
        return self.turns.hazard

    @property
    def mean(self) -> Floats:
        return self.turns.mean

    @cached_property
    def expected(self) -> Floats:
        """Return the cumulative hazard each row was exposed to, before its own multiplier: (n,)."""
        return self.of.exposure(self.hazard)

    def gradient(self, turn_weight: Floats | None = None) -> Floats:
        """First derivatives (q,); with `turn_weight` (turns,), those for the covariates times that function of time."""
        if turn_weight is None and self._slope is not None:
            return self._slope.gradient
        own = self.of.own_weight.copy()
        if turn_weight is not None:
            at_moment = np.zeros(self.of.sets.m)
            at_moment[self.of.turn_moment] = turn_weight
            events = own > 0
            own[events] *= at_moment[self.of.sets.moment_of[events]]
        return np.asarray(self.of.x.T @ (own - self.risk * self._exposed(turn_weight)))

    def information(self, turn_weight: Floats | None = None) -> Floats:
        """Return minus the second derivatives (q, q), each turn multiplied by `turn_weight` (turns,) if given."""
        if turn_weight is None and self._slope is not None:
            return self._slope.information
        exposed, mass = self._exposed(turn_weight), self.of.mass
        mass = mass if turn_weight is None else turn_weight * mass
        second = self.of.x.T @ ((self.risk * exposed)[:, None] * self.of.x)
        return np.asarray(second - self.mean.T @ (mass[:, None] * self.mean))

    def _exposed(self, turn_weight: Floats | None) -> Floats:
        return self.expected if turn_weight is None else self.of.exposure(turn_weight * self.hazard)

    def score_residuals(self) -> Floats:
        """Return each row's part of the gradient, without its weight: (n, q)."""
        lik = self.of
        events = lik.sets.moment_of >= 0
        centre = lik.by_moment(self.mean) / np.maximum(lik.by_moment(np.ones(len(self.hazard))), 1)[:, None]
        out = -np.exp(self.eta)[:, None] * (
            lik.x * self.expected[:, None] - lik.exposure(self.hazard[:, None] * self.mean)
        )
        out[events] += lik.x[events] - centre[lik.sets.moment_of[events]]
        return out


def partial_likelihood(rows: Spells, x: Floats, *, efron: bool) -> PartialLikelihood:
    """Index the risk sets of checked rows; an event of weight zero is none."""
    if not rows.plain:
        rows = replace(rows, event=rows.event & (rows.weight > 0))
    sets = risk_sets(rows)
    tied = np.bincount(sets.moment_of + 1, minlength=sets.m + 1)[1:]
    return PartialLikelihood(rows, sets, x, every(0.0, rows.n), tied, efron)


@dataclass(frozen=True)
class Maximum:
    """Where Newton ended. endless : (q,) -1 or 1 where the likelihood keeps rising, 0 elsewhere."""

    state: State
    endless: Floats
    iterations: int
    converged: bool


MAX_ITERATIONS = 60
MAX_HALVINGS = 30
# Newton's decrement g'V g is twice what the log likelihood still has to gain. At the first value the step is judged:
# a step that is still long belongs to a coefficient without a maximum. Otherwise go on to the second.
NOTHING_LEFT = 1e-10
POLISHED = 1e-18
# In standard deviations of the covariate; with nothing left to gain it means a standard error beyond 1000.
LONG_STEP = 0.01


def maximise(likelihood: PartialLikelihood, beta: Floats, null: State | None = None) -> Maximum:
    """Climb by Newton steps, halved while they lead downhill; recognise a likelihood without a maximum.

    null : the likelihood at zero, where that is known already.
    """
    state = null if null is not None and not beta.any() else likelihood.at(beta)
    if state is None:
        state = likelihood.at(np.zeros(len(beta)))
    assert state is not None, "at zero the predictor is the offset, which is bounded"
    step, polish = np.zeros(len(beta)), 0
    for iteration in range(1, MAX_ITERATIONS + 1):
        gradient = state.gradient()
        fresh = _solve(state.information(), gradient)
        if fresh is None:  # singular: it was not at zero, so some direction has gone flat
            return _ended(state, step, iteration)
        step = fresh
        decrement = float(gradient @ step)
        if decrement < NOTHING_LEFT:
            if np.abs(step).max(initial=0) > LONG_STEP:
                return _ended(state, step, iteration)
            if decrement < POLISHED or polish == 3:
                return Maximum(state, np.zeros(len(beta)), iteration, True)
            polish += 1
        better = _climb(state, step)
        if better is None:
            return _ended(state, step, iteration)
        state = better
    return _ended(state, step, MAX_ITERATIONS)


def _climb(state: State, step: Floats) -> State | None:
    """The first of step, step/2, step/4 ... that does not lead downhill (beyond rounding); None if all do."""
    slack = 1e-13 * (1 + abs(state.loglik))
    for halving in range(MAX_HALVINGS):
        there = state.of.at(state.beta + step / 2**halving)
        if there is not None and there.loglik >= state.loglik - slack:
            return there
    return None


def _ended(state: State, step: Floats, iterations: int) -> Maximum:
    """Judge an end that is not an ordinary maximum: endless if the likelihood rises for ever in some direction.

    The last step and the coefficients both tend to that direction, apart from parts that have settled.
    """
    for part in (0.05, 1e-3, 0.0):
        for vector in (step, state.beta):
            direction = np.where(np.abs(vector) > part * np.abs(vector).max(initial=0), vector, 0.0)
            if state.of.rises_for_ever(direction):
                nothing_left = float(state.gradient() @ step) < 1e-6
                return Maximum(state, np.sign(direction), iterations, nothing_left)
    return Maximum(state, np.zeros(len(step)), iterations, False)


def _solve(matrix: Floats, vector: Floats) -> Floats | None:
    """Solve for a positive definite matrix; None if it is not one in double precision."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    if not len(vector):
        return vector
    diagonal = np.diag(lower) ** 2
    if (diagonal < 1e-13 * np.maximum(np.diag(matrix), 1e-300)).any():
        return None
    return np.asarray(np.linalg.solve(lower.T, np.linalg.solve(lower, vector)))


def identified(information: Floats, scale: float) -> np.ndarray:
    """Which columns add information to those before them: (q,) True or False; `scale` is the weight of events."""
    used = np.zeros(len(information), dtype=bool)
    for column in range(len(information)):
        own = information[column, column]
        if own <= 1e-10 * max(scale, 1e-300):
            continue
        across = information[used, column]
        explained = across @ np.linalg.solve(information[np.ix_(used, used)], across) if used.any() else 0.0
        used[column] = own - explained > 1e-9 * own
    return used
