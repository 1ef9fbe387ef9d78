"""The fast bootstrap of the two-part model: a loop over `two_part` on the same samples, one step, and hard samples."""

from __future__ import annotations

import numpy as np
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.bootstrap import Bootstrap, bootstrap
from clinops.stats.standardise import arm_designs
from clinops.stats.two_part import two_part
from clinops.stats.two_part_bootstrap import two_part_bootstrap
from tests.stats.test_two_part import simulated
from tests.support import assert_close


def loop(
    cost: np.ndarray,
    arm: np.ndarray,
    designs: tuple[np.ndarray, np.ndarray],
    case: np.ndarray | None = None,
    second: str = "gamma",
    average_over: str = "everybody",
    **how: object,
) -> Bootstrap:
    def estimator(weights: np.ndarray) -> np.ndarray:
        both = weights if case is None else weights * case
        one, zero = two_part(
            cost, arm, *designs, weights=both, second=second, average_over=average_over
        ).everybody.value[:, 0]
        return np.array([one, zero, one - zero, one / zero if one > 0 and zero > 0 else np.nan])

    return bootstrap(estimator, len(cost), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("second", ["gamma", "poisson"])
@pytest.mark.parametrize("interact", [False, True])
def test_exact_is_the_loop_on_the_same_samples(second: str, interact: bool) -> None:
    cost, arm, x = simulated(300)
    designs = arm_designs(arm, x, interact=interact)
    ours = two_part_bootstrap(cost, arm, *designs, seed=4, replicates=30, second=second)
    theirs = loop(cost, arm, designs, seed=4, replicates=30, second=second)
    assert_close(ours.replicates, theirs.replicates, 1e-7)
    assert_close(ours.estimate, theirs.estimate, 1e-9)
    assert_close(ours.std_error, theirs.std_error, 1e-7)
    assert ours.se_kind == "bootstrap (30, percentile, exact)" and not ours.n_failed.any()


def test_weights_clusters_strata_and_the_exposed() -> None:
    cost, arm, x = simulated(300)
    order = np.argsort(arm, kind="stable")
    cost, arm, x = cost[order], arm[order], x[order]
    designs, case = arm_designs(arm, x), np.random.default_rng(0).uniform(0.3, 3, 300)
    cluster = np.concatenate([np.arange((arm == 0).sum()) // 2, 1000 + np.arange((arm == 1).sum()) // 2])
    how = {"seed": 9, "replicates": 20, "cluster": cluster, "strata": arm, "average_over": "exposed"}
    ours = two_part_bootstrap(cost, arm, *designs, weights=case, **how)
    theirs = loop(cost, arm, designs, case, **how)
    assert_close(ours.replicates, theirs.replicates, 1e-7)
    assert "clustered" in ours.se_kind


def test_one_step_and_exact_agree_with_each_other_and_with_the_delta_method() -> None:
    cost, arm, x = simulated(3000, seed=2)
    designs = arm_designs(arm, x)
    exact, quick = (two_part_bootstrap(cost, arm, *designs, seed=1, how=how) for how in ("exact", "one-step"))
    # the same samples, so no Monte Carlo error between them: what is left is of second order
    assert_close(quick.std_error, exact.std_error, 0.01)
    assert np.corrcoef(quick.replicates[:, 2], exact.replicates[:, 2])[0, 1] > 0.999
    assert_close(quick.conf_low[2:], exact.conf_low[2:], 0.02)
    # Monte Carlo error of an SE from 1000 samples is 2.2 %; 4 of those
    assert exact.std_error[2] == pytest.approx(two_part(cost, arm, *designs).effect().std_error, rel=0.09)
    assert quick.se_kind == "bootstrap (1000, percentile, one-step)"


def test_bca_is_near_the_jackknifes() -> None:
    cost, arm, x = simulated(120)
    designs = arm_designs(arm, x)
    ours = two_part_bootstrap(cost, arm, *designs, seed=3, replicates=250, method="bca")
    theirs = loop(cost, arm, designs, seed=3, replicates=250, method="bca")
    plain = two_part_bootstrap(cost, arm, *designs, seed=3, replicates=250)
    assert_close(ours.std_error, theirs.std_error, 1e-7)
    # the acceleration comes from influences and not from 120 refits: close, and both away from the percentiles
    width = ours.conf_high[2] - ours.conf_low[2]
    assert abs(ours.conf_high[2] - theirs.conf_high[2]) < 0.05 * width
    assert abs(ours.conf_high[0] - theirs.conf_high[0]) < abs(ours.conf_high[0] - plain.conf_high[0])


def test_samples_that_newton_cannot_fit_are_refitted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    arm, rare = np.arange(60) % 2, (np.arange(60) < 2).astype(float)
    cost = np.where(rng.random(60) < 0.7, rng.gamma(1.0, 100.0, 60), 0.0)
    cost[:2] = [30.0, 0.0]
    designs = arm_designs(arm, rare)  # the rare level is absent, or always with a cost, in many samples
    ours = two_part_bootstrap(cost, arm, *designs, seed=6, replicates=40)
    assert_close(ours.replicates, loop(cost, arm, designs, seed=6, replicates=40).replicates, 1e-6)


def test_samples_without_a_cost_in_an_arm_have_no_answer() -> None:
    rng = np.random.default_rng(0)
    arm = np.arange(60) % 2
    cost = np.where((arm == 0) | (np.arange(60) < 6), rng.gamma(1.0, 100.0, 60), 0.0)
    found = two_part_bootstrap(cost, arm, *arm_designs(arm), seed=6, replicates=100)
    assert 0 < found.n_failed[2] < 10 and "gave no answer" in found.note
    nobody = two_part_bootstrap(np.where(arm == 1, 0.0, cost), arm, *arm_designs(arm), seed=6, replicates=20)
    assert np.isnan(nobody.std_error).all() and (nobody.n_failed == 20).all() and "no interval" in nobody.note


def test_everybody_with_a_cost() -> None:
    cost, arm, x = simulated(200)
    ours = two_part_bootstrap(cost + 1, arm, *arm_designs(arm, x), seed=2, replicates=25)
    assert_close(ours.replicates, loop(cost + 1, arm, arm_designs(arm, x), seed=2, replicates=25).replicates, 1e-7)


def test_aliased_columns_change_nothing() -> None:
    cost, arm, x = simulated(200)
    plain = two_part_bootstrap(cost, arm, *arm_designs(arm, x), seed=2, replicates=10)
    wide = two_part_bootstrap(cost, arm, *arm_designs(arm, np.column_stack([x, 2 * x])), seed=2, replicates=10)
    assert_close(wide.replicates, plain.replicates, 1e-8)


def test_wrong_input_is_named() -> None:
    cost, arm, x = simulated(50)
    designs = arm_designs(arm, x)
    with pytest.raises(DefinitionError, match="Did you mean 'one-step'"):
        two_part_bootstrap(cost, arm, *designs, seed=1, how="one step")
    with pytest.raises(DefinitionError, match="bootstrap method"):
        two_part_bootstrap(cost, arm, *designs, seed=1, method="normal")
    with pytest.raises(DefinitionError, match="replicates"):
        two_part_bootstrap(cost, arm, *designs, seed=1, replicates=1)
    with pytest.raises(DefinitionError, match="second part"):
        two_part_bootstrap(cost, arm, *designs, seed=1, second="tweedie")
    with pytest.raises(DataError, match="negative"):
        two_part_bootstrap(cost - 1, arm, *designs, seed=1)
