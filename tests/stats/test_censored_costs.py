"""Costs with early ends of follow-up: by hand, against R, derivatives by weight, simulation, and the edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, DefinitionError
from clinops.stats.censored_costs import METHODS, censored_cost, censored_cost_effect, censored_cost_values
from clinops.stats.propensity import propensity
from clinops.stats.weighted_effects import contrast, weighted_effect
from clinops.stats.weighting import balancing_weights
from tests.support import assert_close, oracle, oracle_csv

KEYS = {
    "simple": "bang_tsiatis_simple",
    "partitioned": "bang_tsiatis_partitioned",
    "lin": "lin1997_interval",
    "lin deaths only": "lin1997_deaths_only",
}


def by_interval(costs: pd.DataFrame, subjects: pd.DataFrame, cuts: np.ndarray) -> np.ndarray:
    """Spread each cost evenly over [start, stop), as the generator of the reference does, and sum by interval."""
    place = {name: row for row, name in enumerate(subjects["id"])}
    end, found = subjects["time"].to_numpy(float), np.zeros((len(subjects), len(cuts) - 1))
    for line in costs.itertuples(index=False):
        row = place[line.id]
        low = np.clip(line.start, np.minimum(cuts[:-1], end[row]), np.minimum(cuts[1:], end[row]))
        high = np.clip(line.stop, np.minimum(cuts[:-1], end[row]), np.minimum(cuts[1:], end[row]))
        found[row] += line.cost * (high - low) / (line.stop - line.start)
    return found


def reference_rows(name: str, horizon: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    subjects, cuts = oracle_csv(f"costs/{name}_subjects"), np.arange(horizon + 1.0)
    return subjects, by_interval(oracle_csv(f"costs/{name}_costs"), subjects, cuts), cuts


def people(n: int, seed: int, k: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Simulate follow-up in whole days with many ties, deaths, censorings, and costs that rise before death."""
    rng = np.random.default_rng(seed)
    death, censoring = rng.integers(1, 60, n), rng.integers(5, 70, n)
    time, died = np.minimum(death, censoring).astype(float), (death <= censoring).astype(int)
    cuts = np.linspace(0, 40, k + 1)
    cost = rng.gamma(1.0, 100.0, (n, k)) * (cuts[:-1] < time[:, None])
    ends = np.clip(np.searchsorted(cuts, time, side="left") - 1, 0, k - 1)
    cost[np.arange(n), ends] += np.where((died == 1) & (time <= 40), 500.0, 0.0)
    return time, died, cost, cuts


@pytest.mark.parametrize("method", METHODS)
def test_equals_the_hand_worked_example(method: str) -> None:
    subjects, cost, cuts = reference_rows("censored_small", 4)
    reference = oracle("costs/censored_small")
    expected, tolerance = reference["expected"]["estimates"], reference["meta"]["tolerance_rel"]
    found = censored_cost(subjects["time"], subjects["death"], cost, cuts, method=method)
    assert_close(found.value, expected[KEYS[method]], tolerance)
    if method == "partitioned":
        assert_close(found.by_interval, expected["bt_partitioned_by_interval"], tolerance)
    if method == "lin":
        S, mean = expected["lin1997_S_at_start"], expected["lin1997_mean_cost_interval"]
        assert_close(found.by_interval, np.multiply(S, mean), tolerance)
        assert_close(found.at_risk, expected["lin1997_n_at_start"], tolerance)
    assert (found.n, found.n_died, found.n_censored, found.horizon) == (6, 2, 2, 4.0)


def test_simple_by_hand() -> None:
    subjects, cost, cuts = reference_rows("censored_small", 4)
    hand = oracle("costs/censored_small")["expected"]["hand"]["bang_tsiatis_simple"]
    one = censored_cost(subjects["time"], subjects["death"], cost.sum(axis=1), cuts[[0, -1]], method="simple")
    assert_close(one.value, hand, 1e-12)


@pytest.mark.parametrize("part", ["all", "arm0", "arm1"])
@pytest.mark.parametrize("method", METHODS)
def test_equals_r_on_400_people(part: str, method: str) -> None:
    subjects, cost, cuts = reference_rows("censored_400", 10)
    reference = oracle("costs/censored_400")
    rows = np.ones(400, bool) if part == "all" else (subjects["arm"] == int(part[3])).to_numpy()
    given_ = subjects["time"].to_numpy()[rows], subjects["death"].to_numpy()[rows], cost[rows], cuts
    expected, tolerance = reference["expected"][part], reference["meta"]["tolerance_rel"]
    assert_close(censored_cost(*given_, method=method).value, expected[KEYS[method]], tolerance)
    if method == "simple":
        published = censored_cost(*given_, method=method, se="bang-tsiatis")
        assert_close(published.std_error, expected["bt_simple_se"], tolerance)
        assert published.se_kind == "Bang-Tsiatis 2000"
        # the two variances estimate the same thing: within 2 % here
        assert censored_cost(*given_, method=method).std_error == pytest.approx(published.std_error, rel=0.02)


def test_difference_between_arms_equals_r() -> None:
    subjects, cost, cuts = reference_rows("censored_400", 10)
    reference = oracle("costs/censored_400")
    found = censored_cost_effect(subjects["time"], subjects["death"], cost, cuts, subjects["arm"])
    assert_close(found.estimate, reference["expected"]["difference_bt_partitioned"], 1e-8)
    arms = [censored_cost(subjects["time"][k], subjects["death"][k], cost[k], cuts)
            for k in ((subjects["arm"] == 1).to_numpy(), (subjects["arm"] == 0).to_numpy())]  # fmt: skip
    assert_close(found.std_error, np.hypot(arms[0].std_error, arms[1].std_error), 1e-12)
    published = censored_cost_effect(
        subjects["time"], subjects["death"], cost, cuts, subjects["arm"], method="simple", se="bang-tsiatis"
    )
    errors = [reference["expected"][arm]["bt_simple_se"] for arm in ("arm0", "arm1")]
    assert_close(published.std_error, np.hypot(*errors), 1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_influence_is_the_derivative_by_weight(method: str) -> None:
    time, died, cost, cuts = people(60, 3)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.5, 2, 60)
    found = censored_cost(time, died, cost, cuts, method=method, weights=weights)
    assert abs(found.influence.sum()) < 1e-8 * abs(found.value)
    for row in range(0, 60, 7):
        values = []
        for step in (1e-5, -1e-5):
            moved = weights.copy()
            moved[row] *= 1 + step
            values.append(censored_cost(time, died, cost, cuts, method=method, weights=moved).value)
        assert_close((values[0] - values[1]) / 2e-5, found.influence[row], 1e-5, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_errors_agree_with_resampling(method: str) -> None:
    time, died, cost, cuts = people(400, 8)
    rng = np.random.default_rng(2)
    draws = []
    for _ in range(600):
        rows = rng.integers(0, 400, 400)
        draws.append(censored_cost(time[rows], died[rows], cost[rows], cuts, method=method).value)
    # Monte Carlo error of a standard error from 600 draws is 2.9 %; 4 of those
    found = censored_cost(time, died, cost, cuts, method=method)
    assert np.std(draws, ddof=1) == pytest.approx(found.std_error, rel=0.12)


def test_unbiased_and_errors_right_over_simulated_data() -> None:
    """Constant cost of 10 a day, 500 at death, deaths exponential with mean 30, horizon 40, censoring uniform."""
    rng = np.random.default_rng(11)
    cuts, n = np.linspace(0, 40, 9), 300
    alive = np.exp(-40 / 30)
    truth = 10 * 30 * (1 - alive) + 500 * (1 - alive)
    found: dict[str, list[tuple[float, float]]] = {method: [] for method in ("partitioned", "simple")}
    for _ in range(400):
        death, censoring = rng.exponential(30, n), rng.uniform(10, 80, n)
        time, died = np.minimum(death, censoring), death <= censoring
        cost = 10 * np.clip(time[:, None] - cuts[:-1], 0, np.diff(cuts))
        ends = np.clip(np.searchsorted(cuts, time, side="left") - 1, 0, 7)
        cost[np.arange(n), ends] += np.where(died & (time <= 40), 500.0, 0.0)
        for method, each in found.items():
            fit = censored_cost(time, died, cost, cuts, method=method)
            each.append((fit.value, fit.std_error))
    for each in found.values():
        value, error = np.array(each).T
        assert abs(value.mean() - truth) < 3 * value.std() / 20
        assert error.mean() == pytest.approx(value.std(), rel=0.15)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_without_censoring_it_is_the_plain_mean(seed: int, k: int, weighted: bool) -> None:
    time, _, cost, cuts = people(40, seed, k)
    rng = np.random.default_rng(seed)
    died = time < 40
    weights = rng.uniform(0.2, 3, 40) if weighted else np.ones(40)
    total = cost.sum(axis=1)
    mean = np.average(total, weights=weights)
    error = np.sqrt(np.sum((weights * (total - mean)) ** 2)) / weights.sum()
    for method in METHODS:
        found = censored_cost(time, died, cost, cuts, method=method, weights=weights)
        assert_close(found.value, mean, 1e-10)
        assert_close(found.std_error, error, 1e-8)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_whole_weights_are_repeated_people(seed: int) -> None:
    time, died, cost, cuts = people(50, seed)
    times = np.random.default_rng(seed).integers(0, 3, 50)
    times[[np.argmax(time)]] = 1
    again = np.repeat(np.arange(50), times)
    for method in METHODS:
        weighted = censored_cost(time, died, cost, cuts, method=method, weights=times)
        repeated = censored_cost(time[again], died[again], cost[again], cuts, method=method)
        assert_close(weighted.value, repeated.value, 1e-10)
        own = np.bincount(again, weights=repeated.influence, minlength=50)
        assert_close(weighted.influence, own, 1e-9, atol=1e-9)


def test_weights_clusters_and_the_score_reach_the_error() -> None:
    time, died, cost, cuts = people(200, 5)
    x = np.random.default_rng(9).normal(size=200)
    arm = (np.random.default_rng(10).random(200) < 1 / (1 + np.exp(-x))).astype(int)

    def fitted(case: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        score = propensity(x[:, None], arm, weights=case)
        weights = balancing_weights(score, estimand="ate")
        arms = censored_cost_values(time, died, cost, cuts, arm, weights=weights, propensity=score, estimand="ate")
        return arms.value[:, 0], arms.influence[:, :, 0]

    influence = fitted(np.ones(200))[1]
    for row in (0, 50, 120):
        steps = [np.ones(200) + step * (np.arange(200) == row) for step in (1e-5, -1e-5)]
        assert_close((fitted(steps[0])[0] - fitted(steps[1])[0]) / 2e-5, influence[:, row], 1e-5, atol=1e-5)
    pairs = np.arange(200) // 2
    found = censored_cost_effect(time, died, cost, cuts, arm, cluster=pairs)
    arms = censored_cost_values(time, died, cost, cuts, arm)
    sums = np.bincount(pairs, weights=arms.influence[0, :, 0] - arms.influence[1, :, 0])
    assert_close(found.std_error, np.sqrt(100 / 99 * 199 / 198 * np.sum(sums**2)), 1e-10)


def test_cumulative_cost_ends_in_the_total() -> None:
    time, died, cost, cuts = people(200, 5)
    arm = np.arange(200) % 2
    running = contrast(censored_cost_values(time, died, cost, cuts, arm, of="cumulative"))
    total = censored_cost_effect(time, died, cost, cuts, arm)
    assert len(running) == 4
    assert_close([running[-1].estimate, running[-1].std_error], [total.estimate, total.std_error], 1e-12)
    short = censored_cost_effect(time, died, cost[:, :2], cuts[:3], arm)
    assert_close([running[1].estimate, running[1].std_error], [short.estimate, short.std_error], 1e-10)
    each = contrast(censored_cost_values(time, died, cost, cuts, arm, of="intervals"))
    assert_close(sum(effect.estimate for effect in each), total.estimate, 1e-12)


def test_partial_histories_narrow_the_error() -> None:
    time, died, cost, cuts = people(400, 8)
    errors = [censored_cost(time, died, cost, cuts, method=method).std_error for method in ("partitioned", "simple")]
    assert errors[0] < errors[1]
    one = [censored_cost(time, died, cost.sum(axis=1), [0, 40], method=m).value for m in ("partitioned", "simple")]
    assert_close(one[0], one[1], 1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_nobody_followed_to_the_horizon(method: str) -> None:
    time, died = np.array([5.0, 8, 12, 13]), np.array([1, 1, 0, 0])
    cost, cuts = np.array([[10.0, 0, 0], [10, 0, 0], [10, 5, 0], [10, 5, 0]]), [0.0, 10, 20, 30]
    found = censored_cost(time, died, cost, cuts, method=method)
    assert np.isnan([found.value, found.std_error]).all()
    assert "Nobody is followed beyond 13" in found.note
    if method in ("partitioned", "lin"):
        assert_close(found.by_interval[0], 10.0, 1e-12)
        assert np.isnan(found.by_interval[1:]).all()
    effect = censored_cost_effect(
        np.tile(time, 2), np.tile(died, 2), np.tile(cost, (2, 1)), cuts, np.repeat([0, 1], 4), method=method
    )
    assert np.isnan(effect.estimate) and "Exposed: Nobody is followed" in effect.note


@pytest.mark.parametrize("method", METHODS)
def test_everybody_dead_before_the_horizon_is_known(method: str) -> None:
    time, died = np.array([5.0, 8, 12, 13]), np.array([1, 0, 1, 1])
    cost, cuts = np.array([[10.0, 0, 0], [10, 0, 0], [10, 5, 0], [10, 7, 0]]), [0.0, 10, 20, 30]
    found = censored_cost(time, died, cost, cuts, method=method)
    assert np.isfinite([found.value, found.std_error]).all()
    assert ("inside an interval" in found.note) == (method == "lin") and "followed" not in found.note


def test_all_censored_at_once_and_one_person() -> None:
    none = censored_cost([3.0, 3.0], [0, 0], [[1.0], [2.0]], [0, 10])
    assert np.isnan(none.value) and "Nobody is followed beyond 3" in none.note
    one = censored_cost([12.0], [0], [[4.0]], [0, 10])
    assert one.value == 4.0 and np.isnan(one.std_error)
    empty = censored_cost_effect([12.0, 12.0], [0, 0], [[4.0], [6.0]], [0, 10], [1, 1])
    assert np.isnan(empty.estimate) and empty.value_exposed == 5.0 and "nobody with weight" in empty.note


def test_no_costs_at_all() -> None:
    time, died, cost, cuts = people(50, 1)
    found = censored_cost_effect(time, died, 0 * cost, cuts, np.arange(50) % 2)
    assert found.estimate == 0 and np.isnan(found.std_error) and "taken as certain" in found.note


def test_censored_on_a_cut_is_complete_for_the_interval() -> None:
    # censored at 10, the end of the first interval: its 7 count there with weight 1
    found = censored_cost([10.0, 20, 20], [0, 0, 0], [[7.0, 0], [1, 2], [1, 4]], [0, 10, 20])
    assert_close(found.by_interval, [3.0, (2 + 4) * 1.5 / 3], 1e-12)


def test_a_death_at_the_time_of_a_censoring_comes_first() -> None:
    # both end at 5; the death is known with certainty, so K(5-) = 1 for it and 1/2 afterwards for the survivor
    found = censored_cost([5.0, 5, 9, 9], [1, 0, 0, 0], [[8.0], [1], [2], [4]], [0, 9], method="simple")
    assert_close(found.value, (8 + (2 + 4) / (1 - 1 / 3)) / 4, 1e-12)


def test_twenty_thousand_people_and_twelve_intervals_take_under_a_second() -> None:
    from time import perf_counter

    rng = np.random.default_rng(0)
    time, cuts = rng.uniform(1, 600, 20_000), np.linspace(0, 365, 13)
    cost = rng.gamma(1.0, 100.0, (20_000, 12)) * (cuts[:-1] < time[:, None])
    start = perf_counter()
    censored_cost(time, rng.random(20_000) < 0.3, cost, cuts)
    assert perf_counter() - start < 1


def test_plain_mean_difference_without_censoring() -> None:
    time, _, cost, cuts = people(80, 2)
    arm, total = np.arange(80) % 2, cost.sum(axis=1)
    ours = censored_cost_effect(time, np.ones(80), cost, cuts, arm, scale="ratio")
    plain = weighted_effect(total, arm, scale="ratio")
    assert_close([ours.estimate, ours.std_error], [plain.estimate, plain.std_error], 1e-8)


def test_wrong_input_is_named() -> None:
    time, died, cost, cuts = people(20, 1)
    with pytest.raises(DefinitionError, match="Did you mean 'partitioned'"):
        censored_cost(time, died, cost, cuts, method="partition")
    with pytest.raises(DefinitionError, match="kind of standard error"):
        censored_cost(time, died, cost, cuts, se="HC0")
    with pytest.raises(DefinitionError, match="without weights"):
        censored_cost(time, died, cost, cuts, se="bang-tsiatis")
    with pytest.raises(DefinitionError, match="by interval"):
        censored_cost_values(time, died, cost, cuts, np.arange(20) % 2, method="simple", of="intervals")
    with pytest.raises(DefinitionError, match="piece"):
        censored_cost_values(time, died, cost, cuts, np.arange(20) % 2, of="sum")
    with pytest.raises(DataError, match="died must be"):
        censored_cost(time, died + 1, cost, cuts)
    with pytest.raises(DataError, match="rise from 0"):
        censored_cost(time, died, cost, cuts[::-1])
    with pytest.raises(DataError, match="no follow-up"):
        censored_cost(np.where(np.arange(20) == 0, 0.0, time), died, cost, cuts)
    with pytest.raises(DataError, match="after their follow-up ends"):
        censored_cost(np.minimum(time, 9), died, cost + 1, cuts)
    with pytest.raises(DataError, match="finite"):
        censored_cost(time, died, np.where(cost > 300, np.nan, cost), cuts)
    with pytest.raises(DataError, match="shape"):
        censored_cost(time, died, cost[:, :2], cuts)
    with pytest.raises(DataError, match="weights"):
        censored_cost(time, died, cost, cuts, weights=-np.ones(20))
