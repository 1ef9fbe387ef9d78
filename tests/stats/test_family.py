"""The standardised average effect: one outcome is a plain effect, and the stacked regression is really stacked."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError
from clinops.stats.family import standardised_average_effect
from clinops.stats.linear import linear


def made(seed: int = 0, n: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, strata = rng.integers(0, 2, n).astype(float), rng.integers(0, 4, n)
    Y = np.column_stack([10 * rng.gamma(1, 1, n) + x, rng.normal(size=n) - 0.2 * x, rng.normal(size=n) + strata])
    Y[rng.random((n, 3)) < 0.1] = np.nan
    return Y, x, strata, rng.random((n, 3)) + 0.1, rng.normal(size=(n, 2))


def test_it_is_the_stacked_regression_with_everything_interacted() -> None:
    """Build the stacked design with a column for each outcome's offer, covariates and strata, and delta by hand."""
    Y, x, strata, w, z = made()
    q = Y.shape[1]
    blocks, outcome, weights, person = [], [], [], []
    for j in range(q):
        known = np.isfinite(Y[:, j])
        own = np.column_stack([x, z, strata[:, None] == np.arange(4)])[known].astype(float)
        wide = np.zeros((known.sum(), q * own.shape[1]))
        wide[:, j * own.shape[1] : (j + 1) * own.shape[1]] = own
        blocks.append(wide)
        outcome.append(Y[known, j])
        weights.append(w[known, j])
        person.append(np.flatnonzero(known))
    X, y, ww, ids = (np.concatenate(parts) for parts in (blocks, outcome, weights, person))
    bread = np.linalg.inv((X * ww[:, None]).T @ X)
    beta = bread @ (X * ww[:, None]).T @ y
    scores = X * (ww * (y - X @ beta))[:, None]
    sums = np.array([scores[ids == i].sum(axis=0) for i in np.unique(ids)])
    N, K, G = len(y), X.shape[1], len(sums)
    cov = bread @ (sums.T @ sums) @ bread * G / (G - 1) * (N - 1) / (N - K)
    spread = np.array([Y[np.isfinite(Y[:, j]) & (x == 0), j].std(ddof=1) for j in range(q)])
    places = np.arange(q) * (X.shape[1] // q)
    turn = 1 / spread / q
    found = standardised_average_effect(Y, x, weights=w, covariates=z, strata=strata)
    assert found.estimate == pytest.approx(float(beta[places] @ turn), rel=1e-9)
    assert found.std_error == pytest.approx(float(np.sqrt(turn @ cov[np.ix_(places, places)] @ turn)), rel=1e-9)
    assert (found.n_rows, found.n_units) == (N, G)


def test_one_outcome_is_its_effect_in_standard_deviations() -> None:
    Y, x, *_ = made(1)
    known = np.isfinite(Y[:, 0])
    plain = linear(x[known, None], Y[known, 0])
    found = standardised_average_effect(Y[:, :1], x)
    spread = Y[known & (x == 0), 0].std(ddof=1)
    assert found.estimate == pytest.approx(plain.coef[0] / spread, rel=1e-10)
    # CR1 of singletons has n/(n-1) (n-1)/(n-K), which is HC1's n/(n-K)
    assert found.std_error == pytest.approx(plain.std_error[0] / spread, rel=1e-9)


def test_signs_turn_outcomes_and_units_do_not_matter() -> None:
    Y, x, *_ = made(2)
    plain = standardised_average_effect(Y, x)
    turned = standardised_average_effect(Y * [1, -100, 1], x, signs=[1, -1, 1])
    assert turned.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert turned.std_error == pytest.approx(plain.std_error, rel=1e-9)


def test_degenerate_families_have_a_decided_answer() -> None:
    Y, x, *_ = made(3)
    flat = standardised_average_effect(np.column_stack([Y[:, 0], np.ones(len(x))]), x)
    assert np.isnan(flat.estimate) and "no variation" in flat.note
    empty = standardised_average_effect(np.column_stack([Y[:, 0], np.full(len(x), np.nan)]), x)
    assert np.isnan(empty.estimate) and empty.note
    with pytest.raises(DataError, match="shape"):
        standardised_average_effect(Y[:, 0], x)
