"""Many outcomes: Holm and Benjamini-Hochberg against R, step-down by hand, the bootstrap against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats import multiplicity
from clinops.stats.linear import linear
from clinops.stats.multiplicity import benjamini_hochberg, holm, step_down_min_p, westfall_young


def test_holm_and_benjamini_hochberg_are_those_of_r(reference: Any) -> None:
    expected, meta, _ = reference("epi/experiment")
    r = expected["multiple_testing"]
    assert_allclose(holm(r["p"]), r["holm"], rtol=meta["tolerance_rel"])
    assert_allclose(benjamini_hochberg(r["p"]), r["bh"], rtol=meta["tolerance_rel"])


ps = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(ps, st.randoms(use_true_random=False))
def test_adjusted_values_are_ordered_no_smaller_and_do_not_depend_on_order(values: list[float], random: Any) -> None:
    p = np.array(values)
    order = list(range(len(p)))
    random.shuffle(order)
    for adjust in (holm, benjamini_hochberg):
        found = adjust(p)
        assert (found >= p - 1e-15).all() and (found <= 1).all()
        assert (np.diff(found[np.argsort(p, kind="stable")]) >= -1e-15).all()
        assert_allclose(adjust(p[order]), found[order])
    assert (holm(p) >= benjamini_hochberg(p) - 1e-12).all()


def test_missing_p_values_stay_missing_and_do_not_count() -> None:
    p = [0.01, np.nan, 0.04]
    assert_allclose(holm(p), [0.02, np.nan, 0.04])
    assert_allclose(benjamini_hochberg(p), [0.02, np.nan, 0.04])
    assert_allclose(step_down_min_p(p, [[0.5, 0.5, 0.5], [0.001, 0.9, 0.03]]), [0.5, np.nan, 0.5])
    assert len(holm([])) == 0


def test_step_down_by_hand() -> None:
    """Ordered .02, .1, .5. Replicates' least P of (all, the last two, the last): row 1 .01, .3, .3; row 2 .15, .15, .6;
    row 3 .05, .05, .9; row 4 .4, .4, .4. Shares at most .02: 1/4; at most .1: 1/4; at most .5: 2/4."""
    drawn = [[0.4, 0.01, 0.3], [0.2, 0.7, 0.6], [0.05, 0.8, 0.9], [0.9, 0.5, 0.4]]
    drawn[1][0] = 0.15
    assert_allclose(step_down_min_p([0.1, 0.02, 0.5], drawn), [0.25, 0.25, 0.5])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 6))
def test_step_down_lies_between_one_and_all_for_any_dependence(seed: int, q: int) -> None:
    rng = np.random.default_rng(seed)
    drawn, p = rng.random((50, q)), rng.random(q)
    found = step_down_min_p(p, drawn)
    alone = (drawn <= p).mean(axis=0)
    assert (found >= alone - 1e-12).all() and (found <= 1).all()
    assert (found <= (drawn.min(axis=1)[:, None] <= p).mean(axis=0).max() + 1e-12).all()


def made(seed: int, n: int = 120, q: int = 3) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    Y = rng.gamma(0.5, 2, (n, q)) + rng.normal(size=(n, 1))
    Y[rng.random((n, q)) < 0.15] = np.nan
    return {
        "Y": Y, "exposure": rng.integers(0, 2, n).astype(float), "weights": rng.random((n, q)),
        "strata": rng.integers(0, 6, n), "covariates": rng.normal(size=(n, 2)), "cluster": rng.integers(0, 30, n),
    }  # fmt: skip


@pytest.mark.parametrize("parts", [(), ("covariates",), ("cluster",), ("covariates", "cluster")])
def test_a_replicate_is_the_regression_of_the_rows_that_were_drawn(parts: tuple[str, ...]) -> None:
    """The vectorised bootstrap against `linear` on repeated rows; a cluster drawn twice is two clusters."""
    data = made(3)
    n = len(data["exposure"])
    group = data["cluster"] if "cluster" in parts else None
    X = data["covariates"] if "covariates" in parts else np.zeros((n, 0))
    design = np.column_stack([data["exposure"], X])
    y = data["Y"][:, 0]
    w = np.where(np.isfinite(y), data["weights"][:, 0], 0.0)
    one = multiplicity._problem(y, design, w, data["strata"], group)
    rng = np.random.default_rng(0)
    units = np.arange(n) if group is None else group
    drawn = rng.poisson(1.0, (units.max() + 1, 8))[units].astype(float)
    fast = (multiplicity._tested_cells if one.two_arms else multiplicity._tested)(one, drawn)
    whole = linear(design[w > 0], y[w > 0], weights=w[w > 0], strata=data["strata"][w > 0])
    for b in range(8):
        times = np.where(w > 0, drawn[:, b], 0).astype(int)
        rows = np.repeat(np.arange(n), times)
        copy = np.concatenate([np.arange(t) for t in times]) if len(rows) else rows
        clusters = None if group is None else group[rows] * 100 + copy
        fit = linear(design[rows], y[rows], weights=w[rows], strata=data["strata"][rows], cluster=clusters)
        from scipy.stats import t as student

        slow = 2 * student.sf(abs((fit.coef[0] - whole.coef[0]) / fit.std_error[0]), fit.df)
        assert fast[b] == pytest.approx(slow, rel=1e-7)


def test_the_two_roads_agree_where_both_apply() -> None:
    data = made(4)
    y = data["Y"][:, 1]
    w = np.where(np.isfinite(y), data["weights"][:, 1], 0.0)
    one = multiplicity._problem(y, data["exposure"][:, None], w, data["strata"], None)
    counts = np.random.default_rng(1).poisson(1.0, (len(y), 40)).astype(float)
    assert_allclose(multiplicity._tested_cells(one, counts), multiplicity._tested(one, counts), rtol=1e-8)


def test_one_outcome_is_tested_alone_and_seeds_repeat() -> None:
    data = made(5, n=600, q=1)
    once, again = (westfall_young(data["Y"], data["exposure"], seed=7, replicates=4000) for _ in range(2))
    assert once.adjusted[0] == again.adjusted[0]
    assert once.adjusted[0] == pytest.approx(once.p_value[0], abs=0.03)


def test_outcomes_that_are_one_count_as_one_and_independent_ones_as_many() -> None:
    rng = np.random.default_rng(11)
    x = np.repeat([0.0, 1.0], 300)
    y = rng.normal(size=600) + 0.17 * x
    same = westfall_young(np.column_stack([y] * 6), x, seed=1, replicates=3000)
    assert_allclose(same.adjusted, same.adjusted[0])
    assert same.adjusted[0] == pytest.approx(same.p_value[0], abs=0.02)
    many = westfall_young(np.column_stack([y, rng.normal(size=(600, 5))]), x, seed=1, replicates=3000)
    sidak = 1 - (1 - many.p_value[0]) ** 6
    assert many.adjusted[0] == pytest.approx(sidak, abs=0.03)


def test_draws_within_arms_keep_their_sizes() -> None:
    arm = np.repeat([0, 1], [10, 30])
    unit, of_arm = multiplicity._units(40, None, arm)
    counts = multiplicity._drawn(np.random.default_rng(0), of_arm, 50)[unit]
    assert (counts[:10].sum(axis=0) == 10).all() and (counts[10:].sum(axis=0) == 30).all()
    with pytest.raises(DataError, match="more than one arm"):
        multiplicity._units(4, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))


def test_degenerate_outcomes_have_a_decided_answer() -> None:
    data = made(6)
    Y = np.column_stack([data["Y"][:, 0], np.ones(120), np.full(120, np.nan)])
    found = westfall_young(Y, data["exposure"], seed=1, replicates=200)
    assert np.isfinite(found.adjusted[0]) and np.isnan(found.adjusted[1:]).all()
    alone = westfall_young(Y[:, :1], data["exposure"], seed=1, replicates=200)
    assert found.adjusted[0] == alone.adjusted[0]


def test_wrong_input_is_refused() -> None:
    with pytest.raises(DefinitionError, match="replicates"):
        westfall_young(np.ones((4, 1)), [0, 1, 0, 1], seed=1, replicates=0)
    with pytest.raises(DataError, match="shape"):
        westfall_young(np.ones((4, 1)), [0, 1], seed=1)
    with pytest.raises(DataError, match="between 0 and 1"):
        holm([1.2])
    with pytest.raises(DataError, match="shape"):
        holm([[0.5]])
    with pytest.raises(DataError, match="replicate_p"):
        step_down_min_p([0.5], [[0.5, 0.5]])
