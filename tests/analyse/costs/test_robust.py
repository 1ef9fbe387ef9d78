"""How much rests on the dearest: truncation by hand, and what the costs say of the models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from clinops.analyse.costs import robust
from clinops.results.schema import estimates
from tests.analyse.costs.support import cost_rows, random_rows, seeds


@settings(max_examples=15, deadline=None, derandomize=True)
@given(seeds)
def test_uncut_it_is_the_difference_in_means_and_each_cut_is_by_hand(seed: int) -> None:
    rows = random_rows(seed)
    frame = estimates(robust.truncation_rows(rows)).set_index("level")
    assert frame.index.tolist() == ["all of it", *(f"cut at percentile {p}" for p in ("99.5", "99", "95"))]
    for level, share in zip(frame.index, (1.0, 0.995, 0.99, 0.95), strict=True):
        cut = np.minimum(rows.total, np.quantile(rows.total, share))
        assert frame.loc[level, "estimate"] == pytest.approx(cut[rows.exposed].mean() - cut[~rows.exposed].mean())


def test_where_nobody_is_dear_cutting_changes_nothing() -> None:
    cost = np.repeat([1.0, 0.0, 3.0], [40, 20, 40])
    rows = cost_rows(np.tile([1, 0], 50), np.random.default_rng(1).permutation(cost))
    frame = estimates(robust.truncation_rows(rows))
    assert frame["estimate"].nunique() == 1 and frame["std_error"].nunique() == 1


def test_the_dearest_without_weight_sets_no_threshold() -> None:
    rows = cost_rows([1, 1, 0, 0], [1.0, 1e6, 1, 2], weights=np.array([1.0, 0, 1, 1]))
    assert robust.truncation_rows(rows)[-1]["estimate"] == pytest.approx(1 - (1 + np.quantile([1, 1, 2], 0.95)) / 2)


def test_the_table_tells_both_ends() -> None:
    rows = cost_rows(np.repeat([1, 0], 50), np.concatenate([[10_000.0], np.full(49, 100.0), np.full(50, 100.0)]))
    table = robust.truncation_table(robust.truncation_rows(rows), rows)
    assert "the difference is 198 USD per person; with the dearest 5% cut to their threshold it is 0" in table.sentence


@pytest.mark.parametrize("arm", [1, 0])
def test_an_empty_arm_has_rows_with_notes(arm: int) -> None:
    rows = cost_rows([arm] * 3, [1.0, 2, 3])
    frame = estimates(robust.truncation_rows(rows))
    assert frame["estimate"].isna().all() and len(frame) == 4
    assert "not estimable" in robust.truncation_table(robust.truncation_rows(rows), rows).sentence


# --- tests of the models ------------------------------------------------------------------------


def test_park_finds_the_family_that_the_costs_were_drawn_from() -> None:
    """Gamma costs have a variance about mean squared, Poisson costs one about the mean."""
    rng = np.random.default_rng(1)
    trait = np.repeat([0.0, 1.0, 2.0], 400)
    arm = rng.random(1200) < 0.5
    mean = 100 * np.exp(trait)
    for cost, power, family in ((rng.gamma(2, mean / 2), 2, "gamma"), (rng.poisson(mean), 1, "poisson")):
        rows = replace(cost_rows(arm, cost), design=trait[:, None])
        frame = robust.model_tests(rows).frame.set_index("test")
        line = frame.loc["Modified Park"]
        assert line["low"] < power < line["high"] and line["words"].startswith(f"nearest family: {family}")


def test_the_link_test_accepts_a_log_link_and_rejects_it_where_it_is_wrong() -> None:
    rng = np.random.default_rng(2)
    trait = rng.uniform(0, 3, 1500)
    arm = rng.random(1500) < 0.5
    right = rng.gamma(2, np.exp(4 + trait) / 2)
    wrong = rng.gamma(20, (1 + 100 * trait) / 20)  # the mean rises in a straight line
    for cost, words in ((right, "nothing against the log link"), (wrong, "the log link is in doubt")):
        rows = replace(cost_rows(arm, cost), design=trait[:, None])
        frame = robust.model_tests(rows).frame.set_index("test")
        assert frame.loc["Pregibon link: Poisson quasi-likelihood, everybody", "words"] == words


@pytest.mark.parametrize(
    "rows",
    [
        cost_rows([1, 1, 0, 0], np.zeros(4)), cost_rows([1, 1, 0, 0], [-1.0, 2, 3, 4]), cost_rows([1] * 3, [1.0, 2, 3]),
        cost_rows([1, 0], [1.0, 2]),
    ],
    ids=["no costs", "a reversal", "one arm", "two persons"],
)  # fmt: skip
def test_where_nothing_can_be_tested_that_is_said(rows) -> None:
    assert robust.model_tests(rows).sentence.startswith("Not possible: negative costs, or too few above zero")


def test_one_family_is_enough_for_an_answer() -> None:
    made = robust.model_tests(random_rows(1, n=100))
    assert (
        len(made.frame) == 3
        and made.frame[["n_exposed", "n_comparator"]].sum(axis=1).tolist()
        == [int((random_rows(1, n=100).total > 0).sum())] * 3
    )
    assert made.sentence.startswith("Modified Park: nearest family")
