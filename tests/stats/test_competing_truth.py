"""Competing risks against a known truth: intervals hold it and tests err as often as they say, over many seeds.

Ranges are those in which 99 % of such simulations fall by chance alone.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from clinops.stats.competing_risks import aalen_johansen, compare_incidence, compare_time_lost
from clinops.stats.fine_gray import fine_gray
from clinops.stats.gray import gray_test

RATES = (0.3, 0.5)


def _persons(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, causes and groups: two constant rates, censoring uniform on 1 to 4 and independent, no effect."""
    rng = np.random.default_rng(seed)
    event, censor = rng.exponential(1 / sum(RATES), n), rng.uniform(1, 4, n)
    cause = np.where(event <= censor, 1 + (rng.uniform(size=n) < RATES[1] / sum(RATES)), 0)
    return np.minimum(event, censor), cause, rng.integers(0, 3, n)


def _within(hits: int, of: int, probability: float) -> bool:
    low, high = binom.interval(0.99, of, probability)
    return bool(low <= hits <= high)


def test_intervals_of_incidence_and_time_lost_hold_the_truth() -> None:
    share = RATES[0] / sum(RATES)
    truth = share * (1 - np.exp(-sum(RATES) * 1.5))
    lost = share * (1.5 - (1 - np.exp(-sum(RATES) * 1.5)) / sum(RATES))
    held = np.zeros(4, dtype=int)
    for seed in range(400):
        time, cause, _ = _persons(seed, 150)
        curves = [aalen_johansen(time, cause, variance=kind) for kind in ("greenwood", "aalen")]
        points = [curve.at([1.5]) for curve in curves]
        means = [curve.time_lost(1, 1.5) for curve in curves]
        held += [point.conf_low[0, 0] <= truth <= point.conf_high[0, 0] for point in points] + [
            mean.conf_low <= lost <= mean.conf_high for mean in means
        ]
    assert [bool(_within(count, 400, 0.95)) for count in held] == [True] * 4, held


def test_robust_intervals_of_clustered_weighted_rows_hold_the_truth() -> None:
    """Sampling in proportion to 1 / weight and weighting back; every person drawn stands twice, as one cluster."""
    truth = RATES[0] / sum(RATES) * (1 - np.exp(-sum(RATES) * 1.5))
    held = naive = 0
    for seed in range(400):
        time, cause, _ = _persons(10_000 + seed, 300)
        chance = np.where(cause == 1, 0.8, 0.4)
        drawn = np.random.default_rng(seed).uniform(size=300) < chance
        twice = np.repeat(np.flatnonzero(drawn), 2)
        weights = 1 / chance[twice]
        curve = aalen_johansen(time[twice], cause[twice], weights=weights, cluster=twice).at([1.5])
        held += int(curve.conf_low[0, 0] <= truth <= curve.conf_high[0, 0])
        wrong = aalen_johansen(time[twice], cause[twice], weights=weights).at([1.5])
        naive += int(wrong.conf_low[0, 0] <= truth <= wrong.conf_high[0, 0])
    assert _within(held, 400, 0.95), held
    assert naive < 360, "copies taken as persons: too narrow"


def test_tests_without_an_effect_err_in_5_per_cent() -> None:
    errors = np.zeros(4, dtype=int)
    for seed in range(500):
        time, cause, group = _persons(20_000 + seed, 120)
        first, second = (aalen_johansen(time[group == g], cause[group == g], causes=(1, 2)) for g in (0, 1))
        p = [
            gray_test(time, cause, group, 1).p_value,
            gray_test(time, cause, group, 2, strata=np.arange(120) % 2, rho=1).p_value,
            compare_incidence(first, second, 2, 1.0).p_value,
            compare_time_lost(first, second, 2, 1.0).p_value,
        ]
        errors += np.array(p) < 0.05
    assert [_within(int(count), 500, 0.05) for count in errors] == [True] * 4, errors


def test_fine_gray_finds_its_coefficients() -> None:
    """The model of Fine and Gray 1999, section 5: F_1(t) = 1 - (1 - p (1 - exp(-t)))^exp(x b)."""
    b, p, n, runs = np.array([0.5, -0.5]), 0.4, 300, 300
    coef, held = np.zeros((runs, 2)), np.zeros(2, dtype=int)
    for seed in range(runs):
        rng = np.random.default_rng(30_000 + seed)
        x = np.column_stack([rng.binomial(1, 0.5, n), rng.normal(size=n)]).astype(float)
        ever = 1 - (1 - p) ** np.exp(x @ b)
        u = rng.uniform(size=n)
        first = u < ever
        left = (1 - np.where(first, u, 0)) ** np.exp(-x @ b)
        time = np.where(first, -np.log(1 - (1 - left) / p), rng.exponential(np.exp(-x @ (-b))))
        censor = rng.uniform(0.5, 3, n)
        cause = np.where(time <= censor, np.where(first, 1, 2), 0)
        fit = fine_gray(x, np.minimum(time, censor), cause, 1)
        coef[seed] = fit.coef
        low, high = fit.interval()
        held += (low <= b) & (b <= high)
    off = (coef.mean(axis=0) - b) / (coef.std(axis=0, ddof=1) / np.sqrt(runs))
    assert (np.abs(off) < 2.576).all(), off
    assert [_within(int(count), runs, 0.95) for count in held] == [True, True], held
