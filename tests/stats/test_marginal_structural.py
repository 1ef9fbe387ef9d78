"""Marginal structural models: a table by hand, a truth that naive adjustment misses, the stacked sandwich, edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.glm import glm
from clinops.stats.marginal_structural import LongWeights, longitudinal_weights, marginal_structural_model
from clinops.stats.propensity import propensity
from clinops.stats.weighted_effects import weighted_effect
from clinops.stats.weighting import balancing_weights
from tests.support import assert_close

EFFECT = 1.5


def expit(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# a table by hand

# first treatment, covariate after it, second treatment: persons and their mean outcome
TABLE = {
    (0, 0, 0): (40, 10.0), (0, 0, 1): (10, 14.0), (0, 1, 0): (30, 20.0), (0, 1, 1): (20, 22.0),
    (1, 0, 0): (45, 12.0), (1, 0, 1): (15, 18.0), (1, 1, 0): (10, 24.0), (1, 1, 1): (30, 30.0),
}  # fmt: skip
# after 0 half have the covariate, after 1 two fifths, so by the g-formula: 10/2 + 20/2, 14/2 + 22/2, ...
BY_HAND = {(0, 0): 15.0, (0, 1): 18.0, (1, 0): 0.6 * 12 + 0.4 * 24, (1, 1): 0.6 * 18 + 0.4 * 30}
# weights 1 / P(first) / P(second | first, covariate): 2 / (40/50), 2 / (10/50), ...
WEIGHTS = {
    (0, 0, 0): 2 / 0.8, (0, 0, 1): 2 / 0.2, (0, 1, 0): 2 / 0.6, (0, 1, 1): 2 / 0.4, (1, 0, 0): 2 / 0.75,
    (1, 0, 1): 2 / 0.25, (1, 1, 0): 2 / 0.25, (1, 1, 1): 2 / 0.75,
}  # fmt: skip


@dataclass(frozen=True)
class Long:
    person: np.ndarray
    period: np.ndarray
    treated: np.ndarray
    history: np.ndarray
    numerator: np.ndarray


def table() -> tuple[Long, np.ndarray, np.ndarray, list[tuple[int, int, int]]]:
    """Two rows a person; outcomes, which rows are last, and every person's cell of the table."""
    cells = [cell for cell, (count, _) in TABLE.items() for _ in range(count)]
    first, middle, second = np.array(cells).T
    n = len(cells)
    treated, late = np.concatenate([first, second]), np.repeat([0, 1], n)
    before, covariate = late * np.tile(first, 2), late * np.tile(middle, 2)
    spread = np.concatenate([np.arange(count) - (count - 1) / 2 for count, _ in TABLE.values()])
    outcome = np.array([TABLE[cell][1] for cell in cells]) + spread
    history = np.column_stack([late, before, covariate, before * covariate])
    rows = Long(np.tile(np.arange(n), 2), late, treated, history, history[:, :2])
    return rows, np.tile(outcome, 2), late == 1, cells


@pytest.mark.parametrize("stable", [False, True])
def test_a_table_by_hand(stable: bool) -> None:
    rows, outcome, last, cells = table()
    made = longitudinal_weights(
        rows.person, rows.period, rows.treated, rows.history, numerator=rows.numerator if stable else None
    )
    first, second = np.array(cells)[:, 0], np.array(cells)[:, 2]
    if stable:  # times P(first) P(second | first): 30 of 100 after 0, 45 of 100 after 1
        share = np.where(first == 1, np.where(second == 1, 0.45, 0.55), np.where(second == 1, 0.3, 0.7)) / 2
        assert_close(made.weights[last], np.array([WEIGHTS[cell] for cell in cells]) * share, 1e-8)
        assert_close(made.mean, [1.0, 1.0], 1e-8)
    else:
        assert_close(made.weights[last], [WEIGHTS[cell] for cell in cells], 1e-8)
        assert_close(made.weights[~last], np.full(200, 2.0), 1e-8)
    both = np.tile(np.column_stack([np.ones(200), first, second, first * second]), (2, 1))
    fit = marginal_structural_model(outcome, both, made, rows=last)
    for (a, b), mean in BY_HAND.items():
        assert_close(fit.combination([1, a, b, a * b])[0], mean, 1e-8)
    adjusted = glm(np.column_stack([both[last], np.array(cells)[:, 1]]), outcome[last], "gaussian")
    assert abs(adjusted.coef[1] + adjusted.coef[2] + adjusted.coef[3] - (BY_HAND[1, 1] - BY_HAND[0, 0])) > 1


# a truth


@dataclass(frozen=True)
class World:
    rows: Long
    outcome: np.ndarray
    last: np.ndarray
    total: np.ndarray
    covariates: np.ndarray
    lost: np.ndarray


def world(persons: int, seed: int, periods: int = 3, loss: bool = False) -> World:
    """A severity nobody sees moves a covariate and the outcome; treatment lowers the covariate and follows it.

    Every period of treatment adds EFFECT to the outcome and nothing else does but severity and chance.
    """
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=persons)
    treated, covariate, lost = (np.zeros((persons, periods)) for _ in range(3))
    before, gone = np.zeros(persons), np.zeros(persons, bool)
    for t in range(periods):
        covariate[:, t] = np.where(gone, np.nan, severity - before + 0.7 * rng.normal(size=persons))
        treated[:, t] = rng.random(persons) < expit(-0.3 + 0.4 * np.nan_to_num(covariate[:, t]) + 0.5 * before)
        before = treated[:, t]
        lost[:, t] = loss & (rng.random(persons) < expit(-2.5 + 0.9 * np.nan_to_num(covariate[:, t])))
        gone |= lost[:, t] > 0
    outcome = EFFECT * treated.sum(axis=1) + 2 * severity + rng.normal(size=persons)
    earlier = np.column_stack([np.zeros(persons), treated[:, :-1]])
    there = ~np.isnan(covariate)
    person, period = (grid[there] for grid in np.indices((persons, periods)))
    dummies = (period[:, None] == np.arange(1, periods)).astype(float)
    numerator = np.column_stack([dummies, earlier[there]])
    rows = Long(person, period, treated[there], np.column_stack([numerator, covariate[there]]), numerator)
    total = np.cumsum(treated, axis=1)[there]
    last = period == periods - 1
    wide = np.nan_to_num(covariate)[person]
    return World(rows, outcome[person], last, total, wide, lost[there])


def weights_of(made: World, **options: Any) -> LongWeights:
    rows = made.rows
    return longitudinal_weights(
        rows.person, rows.period, rows.treated, rows.history, numerator=rows.numerator,
        censored=made.lost if made.lost.any() else None, **options,
    )  # fmt: skip


def structural(made: World, weights: LongWeights, **options: Any) -> Any:
    X = np.column_stack([np.ones(len(made.total)), made.total])
    return marginal_structural_model(made.outcome, X, weights, rows=made.last, **options)


@pytest.mark.parametrize("loss", [False, True])
def test_finds_the_effect_that_adjusting_and_not_adjusting_miss(loss: bool) -> None:
    made = world(12_000, 1, loss=loss)
    fit = structural(made, weights_of(made))
    assert abs(fit.coef[1] - EFFECT) < 3 * fit.std_error[1] < 0.3
    seen = made.last & (made.lost == 0)
    X = np.column_stack([np.ones(seen.sum()), made.total[seen]])
    crude = glm(X, made.outcome[seen], "gaussian")
    adjusted = glm(np.column_stack([X, made.covariates[seen]]), made.outcome[seen], "gaussian")
    assert crude.coef[1] - EFFECT > 8 * crude.std_error[1]
    assert abs(adjusted.coef[1] - EFFECT) > 8 * adjusted.std_error[1]


def test_weights_against_loss_bring_back_the_mean_of_everybody() -> None:
    made, everybody = world(12_000, 2, loss=True), world(12_000, 2)
    truth = np.mean((everybody.outcome - EFFECT * everybody.total)[everybody.last])
    seen, weights = made.last & (made.lost == 0), weights_of(made)
    left = (made.outcome - EFFECT * made.total)[seen]  # what treatment did not bring
    error = left.std() / np.sqrt(seen.sum())
    assert abs(left.mean() - truth) > 10 * error
    assert abs(np.average(left, weights=weights.weights[seen]) - truth) < 3 * error
    assert np.abs(weights.mean - 1).max() < 0.05 and (weights.weights[made.lost == 1] == 0).all()


@pytest.mark.slow
def test_intervals_cover_and_errors_are_right() -> None:
    covered, errors, known, found = 0, [], [], []
    for seed in range(300):
        made = world(800, 100 + seed)
        weights = weights_of(made)
        fit = structural(made, weights)
        known.append(structural(made, weights, nuisance="known").std_error[1])
        covered += fit.conf_low[1] <= EFFECT <= fit.conf_high[1]
        errors.append(fit.std_error[1])
        found.append(fit.coef[1])
    assert 272 <= covered <= 295  # 95 % of 300 is 285, Monte Carlo SD 3.8
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.12)
    assert np.mean(known) > np.mean(errors)


# against what exists


@pytest.mark.parametrize("loss", [False, True])
def test_errors_equal_the_stacked_sandwich(loss: bool) -> None:
    """All models at once, the bread differentiated by number."""
    made = world(150, 4, loss=loss)
    rows, lost, n = made.rows, made.lost, len(made.total)
    weights = weights_of(made)
    fit = structural(made, weights)
    X = np.column_stack([np.ones(n), made.total])
    designs = [np.column_stack([np.ones(n), each]) for each in (rows.history, rows.numerator)]
    events = [rows.treated, lost] if loss else [rows.treated]
    sizes = [design.shape[1] for _ in events for design in designs]
    order = np.lexsort((rows.period, rows.person))

    def psi(theta: np.ndarray) -> np.ndarray:
        parts, at, log = [], 0, np.zeros(n)
        for event in events:
            for design, sign in zip(designs, (-1, 1), strict=True):
                p = expit(design @ theta[at : at + design.shape[1]])
                at += design.shape[1]
                parts.append(design * (event - p)[:, None])
                log += sign * np.log(np.where(event == 1, p, 1 - p))
        running = np.empty(n)
        for one in np.unique(rows.person):
            mine = order[rows.person[order] == one]
            running[mine] = np.cumsum(log[mine])
        w = np.exp(running) * made.last * (lost == 0)
        parts.append(X * (w * (made.outcome - X @ theta[at:]))[:, None])
        stacked = np.column_stack(parts)
        return np.array([np.bincount(rows.person, column) for column in stacked.T]).T

    theta = np.concatenate([*(model.fit.coef for model in weights.models), fit.coef])
    assert np.abs(psi(theta).sum(axis=0)).max() < 1e-5 and len(theta) == sum(sizes) + 2
    bread = np.empty((len(theta), len(theta)))
    for j, value in enumerate(theta):
        step = np.zeros_like(theta)
        step[j] = 1e-5 * max(1.0, abs(value))
        bread[:, j] = (psi(theta + step) - psi(theta - step)).sum(axis=0) / (2 * step[j])
    inverse = np.linalg.inv(bread)
    meat = psi(theta).T @ psi(theta)
    groups = fit.n_persons
    factor = groups / (groups - 1) * (fit.n - 1) / (fit.n - 2)
    assert_close(fit.cov, factor * (inverse @ meat @ inverse.T)[-2:, -2:], 1e-5)


def test_known_weights_are_a_clustered_regression() -> None:
    made = world(300, 5)
    weights = weights_of(made)
    X = np.column_stack([np.ones(len(made.total)), made.rows.period, made.total])
    for outcome, family in ((made.outcome, "gaussian"), ((made.outcome > 2).astype(float), "binomial")):
        ours = marginal_structural_model(outcome, X, weights, family=family, nuisance="known")
        theirs = glm(X, outcome, family, weights=weights.weights, cluster=made.rows.person)
        assert_close(ours.coef, theirs.coef, 1e-9)
        assert_close(ours.cov, theirs.cov, 1e-9)
    assert ours.se_kind == "robust, weights taken as known, CR1 clustered (300 persons)"


def test_one_period_is_a_weighted_effect() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(400, 2))
    treated = rng.random(400) < expit(x[:, 0])
    y = x[:, 0] + treated + rng.normal(size=400)
    weights = longitudinal_weights(np.arange(400), np.zeros(400), treated, x, numerator=np.zeros((400, 0)))
    fit = marginal_structural_model(y, np.column_stack([np.ones(400), treated]), weights)
    score = propensity(x, treated)
    made = balancing_weights(score, estimand="ate", stabilise=True)
    theirs = weighted_effect(y, treated, made, propensity=score)
    assert_close(weights.weights, made.weights, 1e-9)
    assert_close(fit.coef[1], theirs.estimate, 1e-9)
    assert_close(fit.std_error[1], theirs.std_error * np.sqrt(400 / 399 * 399 / 398), 1e-7)


def test_the_order_of_rows_and_the_names_of_persons_do_not_matter() -> None:
    made, turn = world(80, 7), np.random.default_rng(1).permutation(240)
    rows = made.rows
    one = weights_of(made)
    names = np.array([f"p{900 - person}" for person in rows.person])
    other = longitudinal_weights(
        names[turn], rows.period[turn], rows.treated[turn], rows.history[turn], numerator=rows.numerator[turn]
    )
    assert_close(other.weights, one.weights[turn], 1e-9)


def test_a_start_that_is_never_undone_counts_once() -> None:
    """Three periods, a start with chance 1/2, 1/2 and then 1/3 among those who could still start (by hand)."""
    treated = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 1, 1],
                        [0, 1, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]])  # fmt: skip
    person, period = (grid.ravel() for grid in np.indices(treated.shape))
    could = np.column_stack([np.ones(12, int), 1 - treated[:, :-1]])
    dummies = (period[:, None] == [1, 2]).astype(float)
    made = longitudinal_weights(person, period, treated.ravel(), dummies, can_change=could.ravel())
    by_person = made.weights.reshape(12, 3)
    assert_close(by_person[0], [2, 2, 2], 1e-8)
    assert_close(by_person[6], [2, 4, 4], 1e-8)
    assert_close(by_person[9], [2, 4, 12], 1e-8)
    assert_close(by_person[11], [2, 4, 6], 1e-8)
    assert_close(made.largest, [2, 4, 12], 1e-8)


# truncation and edges


def test_truncation_pulls_in_counts_and_is_taken_as_known() -> None:
    made = world(300, 8)
    plain, cut = weights_of(made), weights_of(made, truncate=(0.05, 0.95))
    low, high = np.quantile(plain.weights, [0.05, 0.95])
    assert_close(cut.bounds, [low, high], 1e-12)
    assert_close(cut.weights, np.clip(plain.weights, low, high), 1e-12)
    assert cut.n_truncated == ((plain.weights < low) | (plain.weights > high)).sum() == 90
    assert (cut.ess > plain.ess).all()
    assert structural(made, cut).std_error[1] < structural(made, plain).std_error[1]


def test_an_outcome_is_needed_only_where_there_is_weight() -> None:
    made = world(200, 9, loss=True)
    weights = weights_of(made)
    X = np.column_stack([np.ones(len(made.total)), made.total])
    gap = np.where(weights.weights > 0, made.outcome, np.nan)
    assert_close(
        marginal_structural_model(gap, X, weights).coef, marginal_structural_model(made.outcome, X, weights).coef
    )
    with pytest.raises(DataError, match="1 rows with weight have no outcome"):
        gap[np.flatnonzero(weights.weights > 0)[0]] = np.nan
        marginal_structural_model(gap, X, weights)


def test_few_persons_and_an_aliased_column_are_said() -> None:
    made = world(15, 3, periods=2)
    X = np.column_stack([np.ones(30), made.total, made.total])
    fit = marginal_structural_model(made.outcome, X, weights_of(made), nuisance="known")
    assert "Only 15 persons" in fit.note and "linear combinations" in fit.note
    assert np.isnan(fit.coef[2]) and np.isnan(fit.std_error[2]) and np.isfinite(fit.std_error[1])
    assert np.isfinite(fit.combination([0, 1, 0])).all()


def test_errors() -> None:
    made = world(30, 1)
    rows, n = made.rows, len(made.total)
    X = np.ones((n, 1))
    with pytest.raises(DataError, match="repeat a person and a period"):
        longitudinal_weights(rows.person, np.zeros(n), rows.treated, rows.history)
    with pytest.raises(DataError, match="rows after the period"):
        longitudinal_weights(rows.person, rows.period, rows.treated, rows.history, censored=rows.period == 0)
    with pytest.raises(DataError, match="person and period"):
        longitudinal_weights(rows.person[:3], rows.period, rows.treated, rows.history)
    with pytest.raises(DataError, match="can change"):
        longitudinal_weights(rows.person, rows.period, rows.treated, rows.history, can_change=np.zeros(n))
    with pytest.raises(DataError, match="can_change and censored"):
        longitudinal_weights(rows.person, rows.period, rows.treated, rows.history, can_change=np.zeros(2))
    with pytest.raises(DefinitionError, match="quantiles"):
        weights_of(made, truncate=(0.9, 0.1))
    weights = weights_of(made)
    with pytest.raises(DefinitionError, match="nuisance models"):
        marginal_structural_model(made.outcome, X, weights, nuisance="guessed")
    with pytest.raises(DefinitionError, match="conf_level"):
        marginal_structural_model(made.outcome, X, weights, conf_level=95)
    with pytest.raises(DataError, match="y and rows"):
        marginal_structural_model(made.outcome[:3], X, weights)
    with pytest.raises(DataError, match="multiples"):
        marginal_structural_model(made.outcome, X, weights).combination([1, 1])
