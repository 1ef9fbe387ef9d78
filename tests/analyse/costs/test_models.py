"""Models of cost: equal where theory says so, a reason where a model does not apply, one table of them all."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import horizon, models
from clinops.results.schema import estimates
from tests.analyse.costs.support import cost_rows, random_rows, scored, seeds

MEANS = ("Weighted OLS", "GLM, Poisson quasi-likelihood", "GLM, Tweedie", "GLM, gamma", "Two-part: logit, gamma",
         "Two-part: probit, gamma")  # fmt: skip
QUANTILES = tuple(f"Quantile {q:g}" for q in models.QUANTILES)
BOOTSTRAPS = ("Difference in means, percentile bootstrap", "Difference in means, BCa bootstrap")


def every_row(rows) -> list[dict[str, object]]:
    """All rows of the exhibit."""
    made = models.model_rows(rows) + horizon.censored_rows(rows)
    return made + models.bootstrap_rows(rows, 100, 1) + models.quantile_rows(rows)


def made(rows, scale: str = "mean difference") -> pd.DataFrame:
    frame = estimates(models.model_rows(rows))
    return frame[frame["scale"] == scale].set_index("method")


def above_zero(seed: int, **given: object):
    rows = random_rows(seed, **given)
    return replace(rows, cost=rows.cost + 1.0)


# --- equal where they must be -------------------------------------------------------------------


@settings(max_examples=8, deadline=None, derandomize=True)
@given(seeds)
def test_without_covariates_every_model_of_the_mean_is_the_difference_in_means(seed: int) -> None:
    """Two parameters for two means: the score equations make each fitted mean the arm's own, whatever the family."""
    rows = random_rows(seed, weights=np.random.default_rng(seed).uniform(0.5, 2, 60))
    for costs in (rows, replace(rows, cost=rows.cost + 1.0)):
        found = made(costs)
        plain = found.loc["Difference in means", "estimate"]
        means = [np.average(costs.total[arm], weights=costs.weights[arm]) for arm in (rows.exposed, ~rows.exposed)]
        assert plain == pytest.approx(means[0] - means[1])
        known = [name for name in MEANS if np.isfinite(found.loc[name, "estimate"])]
        assert found.loc[known, "estimate"].tolist() == pytest.approx([plain] * len(known), rel=1e-6, abs=1e-6)
        ratio = made(costs, "mean ratio")["estimate"]
        assert ratio[known].tolist() == pytest.approx([means[0] / means[1]] * len(known), rel=1e-6)
    assert len(known) == len(MEANS)


def test_smearing_in_each_arm_s_own_retransforms_to_the_mean_where_logs_are_alike() -> None:
    """Comparator twice the exposed, person by person: log-OLS with one smearing factor gives back both means."""
    cost = np.random.default_rng(1).lognormal(5, 1, 30)
    found = made(cost_rows(np.repeat([1, 0], 30), np.concatenate([cost, 2 * cost])))
    assert found.loc["Log-linear with smearing", "estimate"] == pytest.approx(-cost.mean())


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = scored(above_zero(3), 3)
    order = np.random.default_rng(1).permutation(60)
    crude = replace(rows, balancing=None, propensity=None)
    each = ("exposed", "cost", "covered", "weights", "cluster", "design", "died", "complete", "last_day")
    moved = replace(crude, **{name: getattr(crude, name)[order] for name in each})
    assert made(moved)["estimate"].tolist() == pytest.approx(made(crude)["estimate"].tolist(), rel=1e-6)


def test_covariates_move_the_regressions_and_leave_the_means() -> None:
    rows = above_zero(5)
    with_one = replace(rows, design=(rows.total + 50 * rows.exposed)[:, None] / rows.total.std())
    assert made(with_one).loc["Difference in means", "estimate"] == made(rows).loc["Difference in means", "estimate"]
    assert made(with_one).loc["Weighted OLS", "estimate"] == pytest.approx(-50, abs=1e-6)  # the covariate explains all


# --- where a model does not apply ---------------------------------------------------------------


def test_zeros_are_not_for_gamma_and_logs() -> None:
    found = made(random_rows(1))
    for name in ("GLM, gamma", "Log-linear with smearing"):
        assert np.isnan(found.loc[name, "estimate"]) and "cost nothing" in found.loc[name, "note"]
    assert found.drop(index=["GLM, gamma", "Log-linear with smearing"])["estimate"].notna().all()


def test_reversals_are_for_means_alone() -> None:
    rows = above_zero(1)
    cost = rows.cost.copy()
    cost[0] = -500.0
    found = made(replace(rows, cost=cost))
    stands = ["Difference in means", "Weighted OLS"]
    assert found.loc[stands, "estimate"].notna().all()
    assert found.drop(index=stands)["note"].str.contains("negative cost after reversals").all()


def test_a_person_without_weight_forbids_nothing() -> None:
    rows = above_zero(1)
    cost = rows.cost.copy()
    cost[0], weights = -500.0, np.ones(60)
    weights[0] = 0.0
    found = made(replace(rows, cost=cost, weights=weights))
    assert found.loc["Weighted OLS", "estimate"] == pytest.approx(found.loc["Difference in means", "estimate"])


@pytest.mark.parametrize(
    "rows",
    [
        cost_rows([1, 1, 0, 0], np.zeros((4, 2, 2))), cost_rows([1] * 4, [1.0, 2, 3, 4]),
        cost_rows([0] * 4, [1.0, 2, 3, 4]), cost_rows([1, 0], [3.0, 4]), cost_rows([1, 1, 0, 0], [5.0, 5, 5, 5]),
        cost_rows([1, 1, 0, 0], [0.0, 0, 5, 6]),
    ],
    ids=["no costs", "no comparator", "no exposed", "one each", "all alike", "none in one arm"],
)  # fmt: skip
def test_every_model_has_a_row_whatever_the_costs(rows) -> None:
    frame = estimates(every_row(rows))
    both = {True, False} == set(rows.exposed.tolist())
    methods = {"Difference in means", *MEANS, "Log-linear with smearing", *horizon.CENSORED.values(), *QUANTILES}
    methods |= set(BOOTSTRAPS) if both else set()
    assert set(frame["method"]) == methods
    table = models.models_table(frame.to_dict("records"), rows)
    assert len(table.frame) == len(methods) and table.sentence
    means = frame[frame["scale"] == "mean difference"].set_index("method")["estimate"]
    if both:
        known = means.drop(index="Log-linear with smearing").dropna()
        gap = rows.total[rows.exposed].mean() - rows.total[~rows.exposed].mean()
        assert known.tolist() == pytest.approx([gap] * len(known), abs=1e-6)


# --- quantiles and the table --------------------------------------------------------------------


def test_quantiles_by_hand() -> None:
    """Ten persons an arm: the fifth and the ninth of the sorted costs."""
    cost = np.arange(1.0, 11)
    frame = estimates(models.quantile_rows(cost_rows(np.repeat([1, 0], 10), np.concatenate([10 * cost, cost]))))
    found = frame.set_index("method")
    assert found.loc["Quantile 0.5", ["value_exposed", "value_comparator", "estimate"]].tolist() == [50, 5, 45]
    assert found.loc["Quantile 0.9", "estimate"] == 90 - 9
    assert found.loc["Quantile 0.95", "estimate"] == 100 - 10


def test_the_table_puts_ratio_and_difference_of_a_model_beside_each_other() -> None:
    rows = above_zero(2)
    table = models.models_table(every_row(rows), rows)
    frame = table.frame.set_index("method")
    means = frame.loc[[*MEANS, "Difference in means"]]
    wanted = means["value_exposed"] / means["value_comparator"]
    assert means["ratio"].tolist() == pytest.approx(wanted.tolist())
    assert frame.loc[[f"Quantile {q:g}" for q in models.QUANTILES], "ratio"].isna().all()
    assert len(table.figure.data) == len(table.frame) == 11 + len(horizon.CENSORED) + len(BOOTSTRAPS)
    low, high = means["estimate"].min(), means["estimate"].max()
    assert f"{abs(low):,.0f}" in table.sentence and f"{abs(high):,.0f}" in table.sentence


def test_an_estimated_score_reaches_every_model() -> None:
    found = made(scored(above_zero(4), 4))
    assert found["se_kind"].str.contains("M-estimation").all()


def test_clusters_are_named_in_the_kind_of_error() -> None:
    rows = random_rows(1, cluster=np.repeat(np.arange(30), 2), cluster_name="clinic")
    found = made(rows)
    assert found.loc["Difference in means", "se_kind"].endswith("(30 clusters: clinic)")


def test_counts_are_those_with_weight_and_their_time() -> None:
    rows = cost_rows([1, 1, 0, 0], np.ones((4, 2)), weights=np.array([1.0, 0, 1, 1]), died=[0, 0, 1, 0],
                     months=[2, 2, 2, 1])  # fmt: skip
    said = models.person_counts(rows)
    assert (said["n_exposed"], said["n_comparator"]) == (1, 2)
    assert "events_comparator" not in said  # deaths have rows of their own
    assert said["person_days_comparator"] == pytest.approx(3 * 365.25 / 12)
    assert said["period"] == "months 1 to 2"


# --- bootstrap intervals and persons who leave early ----------------------------------------------


def test_bootstrap_intervals_stand_around_the_difference_in_means() -> None:
    """The bootstrap's error is that of the difference, within 15 % (Monte Carlo error of 1,000 replicates: 2 %)."""
    rows = above_zero(2)
    found = estimates(models.bootstrap_rows(rows, 1000, 7)).set_index("method")
    gap = rows.total[rows.exposed].mean() - rows.total[~rows.exposed].mean()
    error = np.sqrt(sum(rows.total[rows.exposed == arm].var() / (rows.exposed == arm).sum() for arm in (True, False)))
    assert set(found.index) == set(BOOTSTRAPS)
    assert found["estimate"].tolist() == pytest.approx([gap, gap])
    assert found["std_error"].tolist() == pytest.approx([error, error], rel=0.15)
    assert (found["conf_low"] < gap).all() and (found["conf_high"] > gap).all()


def test_without_anybody_leaving_the_censored_estimators_are_the_difference_in_means() -> None:
    rows = above_zero(2)
    found = estimates(horizon.censored_rows(rows)).query("scale == 'mean difference'")
    gap = rows.total[rows.exposed].mean() - rows.total[~rows.exposed].mean()
    assert found["method"].tolist() == list(horizon.CENSORED.values())
    assert found["estimate"].tolist() == pytest.approx([gap] * 3)


def test_with_light_tails_they_are_the_normal_ones() -> None:
    """400 persons an arm with light tails: both kinds of interval are the normal one within 10 % of its width."""
    rng = np.random.default_rng(1)
    rows = cost_rows(np.repeat([1, 0], 400), rng.gamma(4, 25, 800))
    plain = made(rows).loc["Difference in means"]
    frame = estimates(models.bootstrap_rows(rows, 2000, seed=1))
    assert frame["method"].tolist() == [f"Difference in means, {kind} bootstrap" for kind in ("percentile", "BCa")]
    width = plain["conf_high"] - plain["conf_low"]
    for row in frame.to_dict("records"):
        assert row["estimate"] == pytest.approx(plain["estimate"])
        assert row["value_exposed"] == pytest.approx(plain["value_exposed"])
        assert abs(row["conf_low"] - plain["conf_low"]) < 0.1 * width
        assert abs(row["conf_high"] - plain["conf_high"]) < 0.1 * width
    again = models.bootstrap_rows(rows, 2000, seed=1)
    assert [row["conf_low"] for row in again] == frame["conf_low"].tolist()


@pytest.mark.parametrize(
    "rows",
    [
        cost_rows([1, 1, 0, 0], np.zeros(4)), cost_rows([1, 0], [3.0, 4]), cost_rows([1] * 3, [1.0, 2, 3]),
        cost_rows([0] * 3, [1.0, 2, 3]), cost_rows([1, 1, 0, 0], [1.0, 2, 3, 4], cluster=np.array([1, 2, 1, 2])),
    ],
    ids=["no costs", "one each", "no comparator", "no exposed", "clusters in both arms"],
)  # fmt: skip
def test_bootstrap_rows_pass_the_schema_whatever_the_costs(rows) -> None:
    frame = estimates(models.bootstrap_rows(rows, 200, seed=1))
    assert len(frame) in (0, 2)
    if len(frame):
        gap = rows.total[rows.exposed].mean() - rows.total[~rows.exposed].mean()
        assert frame["estimate"].tolist() == pytest.approx([gap] * 2)


def test_arms_are_drawn_apart_where_clusters_allow_it() -> None:
    assert models.within_arms(cost_rows([1, 1, 0, 0], np.zeros(4)))
    assert models.within_arms(cost_rows([1, 1, 0, 0], np.zeros(4), cluster=np.array([1, 1, 2, 2])))
    assert not models.within_arms(cost_rows([1, 1, 0, 0], np.zeros(4), cluster=np.array([1, 2, 1, 3])))
