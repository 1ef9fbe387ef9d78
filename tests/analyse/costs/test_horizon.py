"""Cost to a fixed horizon: the plain mean where nobody leaves, the published estimator where some do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import horizon
from clinops.analyse.costs.rows import CostRows
from clinops.results.schema import estimates
from clinops.stats.weighted_effects import contrast
from clinops.stats.weighting import balancing_weights
from tests.analyse.costs.support import censored, cost_rows, random_costs, random_rows, scored, seeds
from tests.support import oracle, oracle_csv

SMALL = "costs/censored_small"


def small(factor: float = 2.0) -> CostRows:
    """The oracle's six persons as the exposed, and the same six at a multiple of their costs as the comparator."""
    persons, costs = oracle_csv(f"{SMALL}_subjects"), oracle_csv(f"{SMALL}_costs")
    table = np.zeros((6, 4))
    np.add.at(table, (costs["id"].to_numpy() - 1, np.floor(costs["start"].to_numpy()).astype(int)), costs["cost"])
    arm = np.repeat([1, 0], 6)
    return cost_rows(
        arm, np.concatenate([table, factor * table]), months=np.tile(persons["time"], 2),
        died=np.tile(persons["death"], 2),
    )  # fmt: skip


def total(rows: CostRows) -> tuple[float, float]:
    """The difference in cost over the horizon and its standard error."""
    effect = contrast(horizon.category_values(rows), "difference", cluster=rows.cluster)[-1]
    return effect.estimate, effect.std_error


# --- nobody leaves ------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seeds)
def test_without_censoring_it_is_the_weighted_mean_with_the_same_influence(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(seed, weights=rng.uniform(0, 2, 60) * (rng.random(60) < 0.9))
    plain = rows.values(np.column_stack([rows.by_category, rows.total]))
    found = horizon.category_values(rows)
    assert found.value == pytest.approx(plain.value, rel=1e-10)
    assert found.influence == pytest.approx(plain.influence, rel=1e-8, abs=1e-10)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_an_estimated_score_enters_as_it_does_for_means(seed: int) -> None:
    rows = scored(random_rows(seed), seed)
    plain = rows.values(rows.total)
    found = horizon.category_values(rows)
    assert found.value[:, -1] == pytest.approx(plain.value[:, 0], rel=1e-10)
    assert found.influence[:, :, -1] == pytest.approx(plain.influence[:, :, 0], rel=1e-7, abs=1e-9)
    assert found.se_kind == plain.se_kind == "M-estimation"


def test_the_effect_is_the_difference_in_means_with_its_clustered_error() -> None:
    """By hand: exposed 100 and 300, comparator 50, 150 and 250; CR1 factor n/(n-1) (n-1)/(n-2) = 5/3."""
    rows = cost_rows([1, 1, 0, 0, 0], [100, 300, 50, 150, 250])
    estimate, error = total(rows)
    assert estimate == pytest.approx(200 - 150)
    squares = 2 * (100 / 2) ** 2 + 2 * (100 / 3) ** 2
    assert error == pytest.approx(np.sqrt(5 / 3 * squares))


# --- some leave ---------------------------------------------------------------------------------


def test_six_persons_of_whom_two_leave_cost_what_the_oracle_says() -> None:
    wanted = oracle(SMALL)["expected"]["estimates"]
    found = horizon.cumulative_values(small())
    by_month = np.cumsum(wanted["bt_partitioned_by_interval"])
    assert found.value[0] == pytest.approx(by_month, rel=1e-12)
    assert found.value[1] == pytest.approx(2 * by_month, rel=1e-12)
    assert found.value[0, -1] == pytest.approx(wanted["bang_tsiatis_partitioned"], rel=1e-12)
    assert horizon.category_values(small()).value[0] == pytest.approx([wanted["bang_tsiatis_partitioned"]] * 2)


def test_the_dead_are_not_the_censored() -> None:
    """Persons 3 and 4 as if they had left instead: their short costs would then be carried on by others."""
    rows = small()
    gone = replace(rows, died=np.zeros(12, bool), complete=rows.months >= 4)
    assert horizon.cumulative_values(gone).value[0, -1] > horizon.cumulative_values(rows).value[0, -1] + 10


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seeds)
def test_categories_and_months_add_up(seed: int) -> None:
    rows = censored(random_rows(seed, months=4, categories=3), seed)
    by_category, by_month = horizon.category_values(rows), horizon.cumulative_values(rows)
    for made in (by_category.value, by_category.influence):
        assert made[..., :-1].sum(axis=-1) == pytest.approx(made[..., -1], rel=1e-9, abs=1e-9)
    assert by_category.value[:, -1] == pytest.approx(by_month.value[:, -1], rel=1e-9)
    assert by_category.influence[:, :, -1] == pytest.approx(by_month.influence[:, :, -1], rel=1e-9, abs=1e-9)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rows = censored(random_rows(seed), seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    each = ("exposed", "cost", "covered", "died", "complete", "last_day", "weights", "cluster", "design")
    moved = replace(rows, **{name: getattr(rows, name)[order] for name in each})
    assert total(moved) == pytest.approx(total(rows), rel=1e-9)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_everybody_twice_at_half_the_weight_changes_nothing_but_the_counting_factor(seed: int) -> None:
    """The copies are one cluster, so only (n - 1)/(n - 2) of CR1 knows of them."""
    rows = censored(random_rows(seed), seed)
    each = ("exposed", "cost", "covered", "died", "complete", "last_day", "weights", "cluster", "design")
    double = replace(rows, **{name: np.concatenate([getattr(rows, name)] * 2) for name in each})
    double = replace(double, weights=double.weights / 2)
    n = len(rows)
    factor = np.sqrt((2 * n - 1) / (2 * n - 2) / ((n - 1) / (n - 2)))
    estimate, error = total(rows)
    assert total(double) == pytest.approx((estimate, error * factor), rel=1e-9)


# --- edges --------------------------------------------------------------------------------------


def test_who_dies_on_the_index_date_costs_nothing_and_counts() -> None:
    rows = cost_rows([1, 1, 0, 0], [[0, 0], [100, 60], [40, 0], [40, 80]], died=[1, 0, 0, 0], months=[0, 2, 2, 2])
    found = horizon.category_values(rows)
    assert found.value[:, -1] == pytest.approx([80, 80])
    assert rows.time.tolist() == pytest.approx([1e-6, 2, 2, 2])
    assert horizon.cumulative_values(rows).value[0] == pytest.approx([50, 80])


def test_who_leaves_on_the_index_date_says_nothing() -> None:
    rows = cost_rows([1, 1, 0, 0], [[0, 0], [100, 60], [40, 0], [40, 80]], months=[0, 2, 2, 2])
    assert horizon.category_values(rows).value[:, -1] == pytest.approx([160, 80])


@pytest.mark.parametrize("arm", [1, 0])
def test_nobody_in_an_arm_is_an_answer(arm: int) -> None:
    rows = cost_rows([arm] * 4, [[1.0, 2], [3, 4], [5, 6], [7, 8]])
    made = estimates(horizon.horizon_rows(rows) + horizon.month_rows(rows))
    assert made["estimate"].isna().all() and made["note"].str.contains("arm is empty").all()
    assert "not estimable" in horizon.cumulative(rows).sentence


def test_where_everybody_leaves_early_the_reason_is_said() -> None:
    rows = cost_rows([1, 1, 0, 0], [[10, 0], [20, 0], [30, 1], [40, 2]], months=[0.5, 0.8, 2, 2])
    made = estimates(horizon.horizon_rows(rows))
    assert made["estimate"].isna().all()
    assert made["note"].str.contains("Programme: Nobody is followed beyond 0.8").all()
    assert made["value_comparator"].iloc[-2:].tolist() == pytest.approx([36.5, 36.5])


def test_where_nobody_cost_anything_the_difference_is_nothing_without_an_error() -> None:
    made = horizon.horizon_rows(cost_rows([1, 1, 0, 0], np.zeros((4, 2, 2))))
    gap = [row for row in made if row["scale"] == "mean difference"]
    assert [row["estimate"] for row in gap] == [0, 0, 0]
    assert all(np.isnan(row["std_error"]) and row["note"] for row in gap)
    ratio = [row for row in made if row["scale"] == "mean ratio"]
    assert all(np.isnan(row["estimate"]) and "above 0" in row["note"] for row in ratio)
    estimates(made)


def test_reversals_leave_a_negative_cost_as_it_is() -> None:
    rows = cost_rows([1, 1, 0, 0], [[-100, 40], [20, 0], [30, 10], [0, 0]])
    assert horizon.category_values(rows).value[:, -1] == pytest.approx([-20, 20])
    made = [row for row in horizon.horizon_rows(rows) if row["scale"] == "mean ratio"]
    assert all(np.isnan(row["estimate"]) for row in made)


# --- discounting and crude ----------------------------------------------------------------------


def test_only_the_second_year_is_discounted() -> None:
    rows = cost_rows([1, 0], np.ones((2, 24)))
    worth = horizon.discounted(rows, 0.03).by_month[0]
    assert worth[:12].tolist() == [1.0] * 12
    assert worth[12:] == pytest.approx([1 / 1.03] * 12)
    assert horizon.discounted(rows, 0.0) is rows
    year = cost_rows([1, 0], np.ones((2, 12)))
    assert horizon.discounted(year, 0.03) is year


def test_the_third_year_is_discounted_twice() -> None:
    worth = horizon.discounted(cost_rows([1, 0], np.ones((2, 36))), 0.05).by_month[0]
    assert worth[[23, 24, 35]] == pytest.approx([1.05**-1, 1.05**-2, 1.05**-2])


def test_crude_forgets_the_weights_and_the_score() -> None:
    rows = scored(random_rows(3))
    plain = horizon.crude(rows)
    assert plain.weights.tolist() == [1.0] * 60 and plain.propensity is None and plain.adjustment == "crude"
    means = [rows.total[rows.exposed == arm].mean() for arm in (True, False)]
    assert horizon.category_values(plain).value[:, -1] == pytest.approx(means)


# --- exhibits and rows --------------------------------------------------------------------------


def test_rows_pass_the_schema_and_the_last_month_is_the_horizon() -> None:
    rows = censored(random_rows(5, n=80), 5)
    made = estimates(horizon.horizon_rows(rows) + horizon.month_rows(rows))
    whole = made[(made["analysis"] == horizon.ANALYSIS) & (made["scale"] == "mean difference")]
    parts, last = whole[whole["category"] != "total"]["estimate"].sum(), whole[whole["category"] == "total"].iloc[0]
    assert parts == pytest.approx(last["estimate"], rel=1e-9) and last["role"] == "primary"
    final = made[made["analysis"] == "cumulative cost"].iloc[-1]
    for name in ("estimate", "std_error", "conf_low", "conf_high"):
        assert final[name] == pytest.approx(last[name], rel=1e-9)
    assert final["period"] == "months 1 to 3"
    assert last["se_kind"].endswith("clusters: person)")


def test_deaths_have_a_row_of_their_own() -> None:
    """Two of three died, and one of three; a cost row does not rest on them."""
    rows = cost_rows([1, 1, 1, 0, 0, 0], np.ones((6, 1)), died=[1, 1, 0, 0, 0, 1])
    row = estimates(horizon.death_rows(rows)).iloc[0]
    assert (row["events_exposed"], row["events_comparator"]) == (2, 1)
    assert [row["value_exposed"], row["value_comparator"], row["estimate"]] == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert estimates(horizon.horizon_rows(rows))["events_exposed"].isna().all()


def test_the_primary_exhibit_has_the_deaths_and_the_observed_beside_the_cost() -> None:
    rows = cost_rows(
        [1, 1, 1, 0, 0, 0], [[1, 1], [1, 0], [0, 0], [1, 1], [1, 0.5], [1, 0]], died=[0, 1, 1, 0, 0, 1],
        months=[2, 1, 0, 2, 1.5, 1],
    )  # fmt: skip
    frame = horizon.cumulative(rows).frame.set_index(["arm", "month"])
    one, other = frame.loc["Programme"], frame.loc["Usual care"]
    assert one["deaths"].tolist() == [0, 2, 2] and one["n_observed"].tolist() == [3, 1, 1]
    # who dies at the end of month 1 is no longer alive then; who left at 1.5 is seen until month 1
    assert other["deaths"].tolist() == [0, 1, 1] and other["n_observed"].tolist() == [3, 2, 1]
    assert one["cost"].tolist() == pytest.approx([0, 2 / 3, 1])
    gap = frame.loc["Programme", "gap_estimate"] - (one["cost"] - other["cost"])
    assert gap.abs().max() < 1e-12 and other["gap_estimate"].isna().all()
    assert "2 of 3 died among Programme; 1 of 3 died among Usual care" in horizon.cumulative(rows).sentence


def test_the_bands_respect_the_clusters() -> None:
    cost = random_costs(np.random.default_rng(1), 40, 2, 1)
    arm = np.repeat([1, 0], 20)
    twice = cost_rows(np.repeat(arm, 2), np.repeat(cost, 2, axis=0), cluster=np.repeat(np.arange(40), 2))
    one, other = (horizon.cumulative(rows).frame for rows in (cost_rows(arm, cost), twice))
    assert (other["high"] - other["cost"]).to_numpy() == pytest.approx((one["high"] - one["cost"]).to_numpy())


def test_the_table_by_category_adds_up_and_names_its_method() -> None:
    rows = censored(random_rows(7, categories=3), 7)
    table = horizon.category_table(horizon.horizon_rows(rows), rows)
    frame = table.frame.set_index("category")
    assert frame.index.tolist() == ["inpatient", "emergency", "outpatient", "total"]
    for name in ("value_exposed", "value_comparator", "difference"):
        assert frame[name].iloc[:-1].sum() == pytest.approx(frame[name].iloc[-1], rel=1e-9)
    assert frame["ratio"].to_numpy() == pytest.approx((frame["value_exposed"] / frame["value_comparator"]).to_numpy())
    assert horizon.METHOD in table.notes[0]


@pytest.mark.parametrize("estimand", ["att", "ate", "ato"])
def test_what_a_score_s_coefficients_do_to_a_censored_mean_is_its_numerical_derivative(estimand: str) -> None:
    """The influence of the score is bread times the derivative of each mean; here the derivative by differences."""
    rows = scored(censored(random_rows(11, n=120), 11), 11, estimand)
    fit, made = rows.propensity, rows.balancing
    plain = horizon.category_values(replace(rows, balancing=None, propensity=None))
    carried = horizon.category_values(rows).influence - plain.influence
    logit = np.log(fit.score / (1 - fit.score))

    def mean(shift: np.ndarray) -> np.ndarray:
        score = 1 / (1 + np.exp(-(logit + fit.design @ shift)))
        again = balancing_weights(score, rows.exposed, estimand=estimand)
        return horizon.category_values(replace(rows, weights=again.weights, balancing=None, propensity=None)).value

    step = 1e-5
    slopes = np.stack([
        (mean(step * one) - mean(-step * one)) / (2 * step) for one in np.eye(fit.design.shape[1])
    ])  # fmt: skip
    wanted = np.einsum("np,paq->anq", np.stack([fit.influence(one) for one in np.eye(len(slopes))], axis=1), slopes)
    assert made is not None and carried == pytest.approx(wanted, rel=1e-4, abs=1e-6 * np.abs(wanted).max())


def test_estimators_for_persons_who_leave_early_are_the_oracle_s() -> None:
    """Six persons, and the same at twice their costs: each method's mean, and its negative as the difference."""
    wanted = oracle(SMALL)["expected"]["estimates"]
    frame = estimates(horizon.censored_rows(small())).query("scale == 'mean difference'")
    known = {"lin": "lin1997_interval", "simple": "bang_tsiatis_simple", "lin deaths only": "lin1997_deaths_only"}
    for method, name in horizon.CENSORED.items():
        row = frame.set_index("method").loc[name]
        mean = wanted[known.get(method, "bang_tsiatis_partitioned")]
        assert [row["value_exposed"], row["value_comparator"]] == pytest.approx([mean, 2 * mean], rel=1e-12)
        assert row["estimate"] == pytest.approx(-mean, rel=1e-12)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seeds)
def test_where_nobody_leaves_they_are_all_the_difference_in_means(seed: int) -> None:
    rows = scored(random_rows(seed), seed)
    plain = contrast(rows.values(rows.total), "difference", cluster=rows.cluster)[0]
    frame = estimates(horizon.censored_rows(rows)).query("scale == 'mean difference'")
    assert len(frame) == len(horizon.CENSORED)
    assert frame["estimate"].tolist() == pytest.approx([plain.estimate] * len(frame), rel=1e-9)
    assert frame["std_error"].tolist() == pytest.approx([plain.std_error] * len(frame), rel=1e-6)


@pytest.mark.parametrize("arm", [1, 0])
def test_an_empty_arm_has_rows_of_every_estimator(arm: int) -> None:
    frame = estimates(horizon.censored_rows(cost_rows([arm] * 4, [[1.0, 2], [3, 4], [5, 6], [7, 8]])))
    assert len(frame) == 2 * len(horizon.CENSORED) and frame["note"].notna().all()
