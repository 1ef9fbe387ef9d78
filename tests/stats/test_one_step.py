"""The one-step bootstrap: exact where it can be, its covariance by derivation, clusters and strata as they are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError
from clinops.stats import one_step
from clinops.stats.one_step import one_step_draws


def mean_influence(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(axis=0)) / len(x)


def test_of_a_mean_every_replicate_is_the_mean_of_a_resample() -> None:
    """A mean is linear in the counts, so one step is the whole way: three persons have ten possible resamples."""
    x = np.array([[1.0], [2.0], [6.0]])
    draws = one_step_draws([3.0], mean_influence(x), replicates=400, seed=1)
    possible = {round(float(np.mean(pick)), 9) for pick in itertools.product(x[:, 0], repeat=3)}
    assert set(draws[:, 0].round(9).tolist()) == possible


def test_the_covariance_is_that_of_the_influence_times_one_less_than_the_units() -> None:
    """Multinomial counts: n/n (1 - 1/n) on the diagonal, -1/n off it; with influence adding to 0 that is sum i i'."""
    rng = np.random.default_rng(2)
    x = rng.lognormal(size=(40, 2))
    influence = mean_influence(x)
    draws = one_step_draws(x.mean(axis=0), influence, replicates=20_000, seed=3)
    wanted = influence.T @ influence
    # Monte Carlo error of a variance: root(2/b) of it, a little more with the kurtosis of a resampled mean
    assert np.cov(draws, rowvar=False) == pytest.approx(wanted, rel=0.05)
    assert (np.abs(draws.mean(axis=0) - x.mean(axis=0)) < 4 * np.sqrt(np.diag(wanted) / 20_000)).all()


def test_strata_are_resampled_each_on_its_own() -> None:
    """A stratum of one unit never varies; its influence is not in the replicates."""
    influence = np.array([[5.0], [1.0], [-1.0]])
    draws = one_step_draws([0.0], influence, strata=["a", "b", "b"], replicates=200, seed=1)
    assert set(draws[:, 0].tolist()) == {-2.0, 0.0, 2.0}
    loose = one_step_draws([0.0], influence, replicates=200, seed=1)
    assert len(set(loose[:, 0].tolist())) > 3


def test_clusters_are_drawn_whole() -> None:
    influence = np.array([[1.0], [2.0], [-1.0], [-2.0]])
    draws = one_step_draws([10.0], influence, cluster=[7, 7, 9, 9], replicates=200, seed=1)
    assert set(draws[:, 0].tolist()) == {4.0, 10.0, 16.0}  # both clusters once, or one of them twice
    same = one_step_draws([10.0], influence[[0, 2, 1, 3]], cluster=[7, 9, 7, 9], replicates=200, seed=1)
    assert np.array_equal(draws, same)


def test_estimates_vary_together() -> None:
    influence = np.column_stack([np.arange(5.0) - 2, 2 * (np.arange(5.0) - 2)])
    draws = one_step_draws([0.0, 1.0], influence, replicates=100, seed=4)
    assert draws[:, 1] - 1 == pytest.approx(2 * draws[:, 0])


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_no_influence_is_no_variation(seed: int, n: int) -> None:
    draws = one_step_draws([3.0], np.zeros((n, 1)), replicates=10, seed=seed)
    assert draws.tolist() == [[3.0]] * 10


def test_the_replicates_do_not_depend_on_how_many_are_held_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    influence = np.random.default_rng(1).normal(size=(30, 2))
    whole = one_step_draws([0.0, 0.0], influence, replicates=50, seed=5)
    monkeypatch.setattr(one_step, "CHUNK", 90)
    assert np.allclose(one_step_draws([0.0, 0.0], influence, replicates=50, seed=5), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"influence": np.zeros((3, 2))}, r"influence has shape \(3, 2\); it must be \(rows, 1\)"),
        ({"influence": np.zeros(3)}, r"influence has shape \(3,\)"),
        ({"influence": np.zeros((0, 1))}, "no rows to resample"),
        ({"cluster": [1, 2]}, r"cluster has shape \(2,\); it must be one label a row, \(3,\)"),
        ({"strata": [1, 2]}, r"strata has shape \(2,\)"),
        ({"cluster": [1, 1, 2], "strata": [1, 2, 2]}, "A cluster lies in more than one stratum"),
    ],
)
def test_what_cannot_be_resampled_is_refused(given: dict, said: str) -> None:
    with pytest.raises(DataError, match=said):
        one_step_draws([0.0], **({"influence": np.zeros((3, 1)), "seed": 1} | given))
