"""Slow proofs over many simulated trials: false findings, coverage, and what a weak offer does to each interval."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.stats.instrument import two_stage_least_squares
from clinops.stats.linear import linear
from clinops.stats.multiplicity import westfall_young

pytestmark = pytest.mark.slow


def within(count: int, of: int, share: float) -> bool:
    """Whether a count is within three binomial standard errors of its share."""
    return abs(count - of * share) <= 3 * np.sqrt(of * share * (1 - share))


def test_a_family_without_effects_has_a_false_finding_in_five_of_a_hundred() -> None:
    """Six skewed outcomes that share a cause: unadjusted P values find something far more often."""
    rng, adjusted, plain, trials = np.random.default_rng(20), 0, 0, 600
    for trial in range(trials):
        shared = rng.gamma(1, 1, (240, 1))
        Y = shared + rng.gamma(0.7, 1.5, (240, 6))
        arm = rng.permutation(np.repeat([0.0, 1.0], 120))
        found = westfall_young(Y, arm, strata=rng.integers(0, 4, 240), seed=trial, replicates=400)
        adjusted += bool((found.adjusted < 0.05).any())
        plain += bool((found.p_value < 0.05).any())
    assert within(adjusted, trials, 0.05)
    assert plain > 2 * adjusted


def test_the_interval_of_the_effect_covers_with_heavy_tails_strata_and_weights() -> None:
    rng, covered, trials = np.random.default_rng(21), 0, 2000
    for _ in range(trials):
        n = 600
        strata, w = rng.integers(0, 10, n), rng.random(n) + 0.2
        arm = rng.integers(0, 2, n).astype(float)
        y = 50 * strata + 20 * arm + 300 * rng.gamma(0.4, 1, n)
        fit = linear(arm[:, None], y, weights=w, strata=strata)
        covered += bool(fit.conf_low[0] <= 20 <= fit.conf_high[0])
    assert within(covered, trials, 0.95)


@pytest.mark.parametrize("strength", [0.02, 0.6])
def test_the_anderson_rubin_set_covers_however_weak_the_offer(strength: float) -> None:
    rng, set_covers, trials = np.random.default_rng(22), 0, 1500
    for _ in range(trials):
        n = 300
        z, lazy = rng.integers(0, 2, n).astype(float), rng.normal(size=n)
        d = ((0.6 * lazy + 0.8 * rng.normal(size=n) + strength * 2 * z) > 0.8).astype(float)
        y = 2 * d + 2 * lazy + rng.normal(size=n)
        found = two_stage_least_squares(y, d, z)
        inside = found.ar_low <= 2 <= found.ar_high
        set_covers += {"interval": inside, "outside": not (found.ar_low < 2 < found.ar_high), "whole line": True}[
            found.ar_kind
        ]
    assert within(set_covers, trials, 0.95)
