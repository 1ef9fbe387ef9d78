"""The bootstrap: its own laws, clusters, strata, replicates without an answer."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.bootstrap import bootstrap, bootstrap_means, bootstrap_totals
from clinops.stats.weighted_effects import weighted_effect
from tests.support import assert_close

RNG = np.random.default_rng(7)
X = RNG.exponential(size=200)


def mean(weights: np.ndarray) -> float:
    return float(weights @ X[: len(weights)] / weights.sum())


def test_standard_error_of_a_mean_is_the_textbook_one() -> None:
    found = bootstrap(mean, 200, seed=1, replicates=4000)
    assert_close(found.estimate, [X.mean()])
    # Monte Carlo error of an SE from 4000 replicates is about 1.1 %; 4 of those
    assert_close(found.std_error, [X.std() / np.sqrt(200)], 0.045)
    assert_close([found.conf_low[0], found.conf_high[0]], np.quantile(found.replicates[:, 0], [0.025, 0.975]), 1e-12)
    assert found.se_kind == "bootstrap (4000, percentile)"


def test_the_seed_decides() -> None:
    one, same, other = (bootstrap(mean, 200, seed=seed, replicates=20).replicates for seed in (3, 3, 4))
    assert (one == same).all() and (one != other).any()


def test_whole_clusters_are_drawn() -> None:
    cluster = np.repeat(np.arange(40), 5)
    seen: list[np.ndarray] = []

    def spy(weights: np.ndarray) -> float:
        seen.append(weights)
        return mean(weights)

    found = bootstrap(spy, 200, seed=1, replicates=50, cluster=cluster)
    for weights in seen:
        assert (weights.reshape(40, 5) == weights.reshape(40, 5)[:, :1]).all() and weights.sum() == 200
    assert "clustered" in found.se_kind


def test_strata_keep_their_sizes_and_clusters_their_stratum() -> None:
    strata = np.repeat(["b", "a", "c"], [50, 90, 60])
    cluster = np.arange(200) // 10

    def shares(weights: np.ndarray) -> np.ndarray:
        return np.array([weights[strata == name].sum() for name in ("a", "b", "c")])

    found = bootstrap(shares, 200, seed=1, replicates=30, strata=strata, cluster=cluster)
    assert (found.replicates == [90, 50, 60]).all()
    with pytest.raises(DataError, match="1 clusters lie in more than one stratum"):
        bootstrap(mean, 200, seed=1, strata=strata, cluster=(np.arange(200) + 5) // 30 * 0 + (np.arange(200) > 20))


def test_clusters_of_copies_widen_the_error() -> None:
    copies = np.repeat(X[:40], 5)

    def average(weights: np.ndarray) -> float:
        return float(weights @ copies / weights.sum())

    naive = bootstrap(average, 200, seed=1, replicates=800).std_error[0]
    honest = bootstrap(average, 200, seed=1, replicates=800, cluster=np.repeat(np.arange(40), 5)).std_error[0]
    assert honest / naive == pytest.approx(np.sqrt(5), rel=0.12)


def test_bca_equals_scipy() -> None:
    from scipy.stats import bootstrap as theirs

    small = X[:40]

    def skewed(weights: np.ndarray) -> float:
        centre = weights @ small / weights.sum()
        return float(weights @ (small - centre) ** 2 / weights.sum())

    ours = bootstrap(skewed, 40, seed=1, replicates=5000, method="bca")
    reference = theirs((small,), lambda x, axis: x.var(axis=axis), n_resamples=5000, method="BCa", rng=2)
    interval = reference.confidence_interval
    assert_close([ours.conf_low[0], ours.conf_high[0]], [interval.low, interval.high], 0.06)
    plain = bootstrap(skewed, 40, seed=1, replicates=5000)
    assert ours.conf_high[0] > plain.conf_high[0] * 1.05


def test_replicates_without_an_answer_are_counted() -> None:
    def fragile(weights: np.ndarray) -> np.ndarray:
        return np.array(
            [mean(weights), np.nan if weights[0] == 0 else 1.0, np.nan if weights[0] > 3 else mean(weights)]
        )

    found = bootstrap(fragile, 200, seed=1, replicates=400)
    assert found.n_failed[0] == 0 and found.n_failed[1] > 100 and 0 < found.n_failed[2] < 40
    assert np.isnan([found.std_error[1], found.conf_low[1]]).all()
    assert np.isfinite([found.std_error[2], found.conf_low[2]]).all()
    assert "no interval" in found.note


def test_a_constant_estimate() -> None:
    found = bootstrap(lambda weights: 2.0, 30, seed=1, replicates=20)
    assert (found.std_error[0], found.conf_low[0], found.conf_high[0]) == (0, 2, 2)
    assert np.isnan(bootstrap(lambda weights: 2.0, 30, seed=1, replicates=20, method="bca").conf_low[0])


def test_few_units_are_said() -> None:
    assert "Only 5 units" in bootstrap(mean, 5, seed=1, replicates=10).note


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'percentile'"):
        bootstrap(mean, 5, seed=1, method="percentiles")
    with pytest.raises(DefinitionError, match="replicates"):
        bootstrap(mean, 5, seed=1, replicates=1)
    with pytest.raises(DataError, match="cluster"):
        bootstrap(mean, 5, seed=1, cluster=[1, 2])
    with pytest.raises(DataError, match="no rows"):
        bootstrap(mean, 0, seed=1)


# --- all samples at once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("grouped", [False, True])
def test_totals_give_the_loops_replicates(method: str, grouped: bool) -> None:
    Y = np.column_stack([X, X**2])
    strata = np.repeat([0, 1], [120, 80]) if grouped else None
    cluster = np.arange(200) // 4 if grouped else None

    def estimator(weights: np.ndarray) -> np.ndarray:
        one, two = weights @ Y / weights.sum()
        return np.array([one, two / one])

    def statistic(totals: np.ndarray) -> np.ndarray:
        return np.column_stack([totals[:, 0] / totals[:, 2], totals[:, 1] / totals[:, 0]])

    how = {"seed": 5, "replicates": 60, "strata": strata, "cluster": cluster, "method": method}
    slow = bootstrap(estimator, 200, **how)
    quick = bootstrap_totals(statistic, np.column_stack([Y, np.ones(200)]), **how)
    assert_close(quick.replicates, slow.replicates, 1e-10)
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert_close(getattr(quick, name), getattr(slow, name), 1e-9)
    assert (quick.se_kind, quick.note) == (slow.se_kind, slow.note)


@pytest.mark.parametrize("scale", ["difference", "ratio"])
def test_means_of_arms_are_resampled_together(scale: str) -> None:
    arm, weight, time = np.arange(200) % 2, RNG.uniform(0.5, 2, 200), RNG.uniform(0.5, 1, 200)
    Y = np.column_stack([X, (X > 1).astype(float)])

    def estimator(times: np.ndarray) -> np.ndarray:
        w = weight * times
        one, zero = ((w * rows) @ Y / ((w * rows) @ time) for rows in (arm, 1 - arm))
        return one - zero if scale == "difference" else one / zero

    slow = bootstrap(estimator, 200, seed=8, replicates=50, strata=arm)
    quick = bootstrap_means(Y, arm, weight, denominator=time, seed=8, replicates=50, strata=arm, scale=scale)
    assert_close(quick.replicates, slow.replicates, 1e-10)


def test_error_of_a_difference_is_near_the_influences() -> None:
    arm = np.arange(200) % 2
    found = bootstrap_means(X, arm, seed=1, replicates=4000)
    expected = weighted_effect(X, arm)
    assert_close(found.estimate, [expected.estimate], 1e-12)
    # Monte Carlo error of an SE from 4000 replicates is about 1.1 %; 4 of those
    assert_close(found.std_error, [expected.std_error], 0.045)


def test_samples_without_an_arm_fail_and_are_counted() -> None:
    found = bootstrap_means(X[:30], (np.arange(30) < 2).astype(float), seed=1, replicates=200)
    assert 0 < found.n_failed[0] < 60
    # no value to sum in an arm at all: every sample without an answer
    none = bootstrap_means(X[:30], np.zeros(30), seed=1, replicates=20)
    assert none.n_failed[0] == 20 and np.isnan(none.conf_low[0])


def test_wrong_totals_are_named() -> None:
    with pytest.raises(DataError, match="all finite"):
        bootstrap_totals(lambda totals: totals[:, 0], [1.0, np.nan], seed=1)
    with pytest.raises(DefinitionError, match="scale"):
        bootstrap_means(X, np.arange(200) % 2, seed=1, scale="odds ratio")
    with pytest.raises(DataError, match="treated"):
        bootstrap_means(X, np.arange(200), seed=1)
