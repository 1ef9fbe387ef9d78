"""The log-rank family with weights: against R, against its definition written out, by its laws, and under the null."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from clinops.errors import DataError, ParameterError
from clinops.stats.cox import cox
from clinops.stats.logrank import LogRank, logrank
from tests.support import assert_close, oracle, oracle_csv

REFERENCE = oracle("survival/logrank_weighted")["expected"]
DATA = oracle_csv("survival/logrank_weighted")


@pytest.mark.parametrize("wanted", REFERENCE["robust"], ids=lambda w: f"{w['group']}-{w['strata']}-{w['unit']}")
def test_robust_test_equals_the_robust_score_test_of_r(wanted: dict[str, Any]) -> None:
    test = logrank(
        DATA["t1"], DATA["e"], DATA[wanted["group"]], entry=DATA["t0"], weights=DATA["w"],
        strata=DATA["s"] if wanted["strata"] else None,
        cluster=None if wanted["unit"] == "row" else DATA[wanted["unit"]],
    )  # fmt: skip
    ours = {
        "rscore": test.statistic, "df": test.df, "p": test.p_value, "u": (test.observed - test.expected)[1:],
        "var": test.variance[1:, 1:] if test.df > 1 else test.variance[1:, 1],
    }  # fmt: skip
    assert_close(ours, {key: wanted[key] for key in ours}, 1e-8, "robust")
    assert test.se_kind == ("robust" if wanted["unit"] == "row" else "robust, clustered")


@pytest.mark.parametrize("wanted", REFERENCE["counts"], ids=lambda w: f"{w['group']}-{w['late']}-{w['rho']}")
def test_whole_weights_equal_r_on_the_repeated_rows(wanted: dict[str, Any]) -> None:
    data = DATA[DATA["id"] <= 45] if wanted["late"] else DATA
    test = logrank(
        data["t1"], data["e"], data[wanted["group"]], entry=data["t0"] if wanted["late"] else None,
        weights=data["iw"], strata=data["s"], rho=wanted["rho"],
    )  # fmt: skip
    ours = {"observed": test.observed, "expected": test.expected, "var": test.variance, "chisq": test.statistic}
    assert_close(ours, {key: wanted[key] for key in ours if key in wanted}, 1e-8, "counts")
    assert test.se_kind == "hypergeometric"
    assert test.n.tolist() == [int(((data[wanted["group"]] == g) & (data["iw"] > 0)).sum()) for g in test.groups]


# --- the definition, written out ----------------------------------------------------------------------------


def by_definition(
    rows: dict[str, Any], weights: np.ndarray, cluster: np.ndarray, rho: float, gamma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return score and robust variance by loops over strata, event times, groups and rows."""
    entry, leave, event, group, strata = (np.asarray(rows[k]) for k in ("entry", "exit", "event", "group", "strata"))
    names = np.unique(group)
    residual = np.zeros((len(leave), len(names)))
    for stratum in np.unique(strata):
        survival = 1.0
        for t in np.unique(leave[event & (strata == stratum) & (weights > 0)]):
            at_risk = (strata == stratum) & (entry < t) & (t <= leave)
            dies = at_risk & event & (leave == t)
            n, d = weights[at_risk].sum(), weights[dies].sum()
            family = survival**rho * (1 - survival) ** gamma
            for g, name in enumerate(names):
                share = weights[at_risk & (group == name)].sum() / n
                for i in np.flatnonzero(at_risk):
                    residual[i, g] += family * ((group[i] == name) - share) * (dies[i] - d / n)
            survival *= max(1 - d / n, 0.0)
    residual *= weights[:, None]
    each = np.array([residual[cluster == c].sum(axis=0) for c in np.unique(cluster)])
    return residual.sum(axis=0), each.T @ each


@st.composite
def _rows(draw: st.DrawFn) -> dict[str, Any]:
    n, rng = draw(st.integers(8, 30)), np.random.default_rng(draw(st.integers(0, 10_000)))
    entry = rng.integers(0, 5, n).astype(float)
    return {
        "entry": entry, "exit": entry + rng.integers(1, 9, n), "event": rng.random(n) < 0.6,
        "group": rng.integers(0, draw(st.integers(2, 4)), n), "strata": rng.integers(0, draw(st.integers(1, 2)), n),
    }  # fmt: skip


FAMILIES = st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])


def _tested(rows: dict[str, Any], **options: Any) -> LogRank:
    given_ = {key: values for key, values in rows.items() if key not in ("exit", "event", "group")}
    return logrank(rows["exit"], rows["event"], rows["group"], **given_ | options)


def _same(one: LogRank, other: LogRank, *, scale: float = 1.0) -> None:
    assert one.df == other.df
    assert_close(one.observed - one.expected, scale * (other.observed - other.expected), 1e-8, "score", atol=1e-9)
    assert_close(one.variance, scale**2 * other.variance, 1e-8, "variance", atol=1e-9)
    assert_close(one.statistic, other.statistic, 1e-6, "statistic", atol=1e-9)


def _weights(rows: dict[str, Any], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 3, len(rows["exit"]))


@settings(deadline=None, max_examples=40)
@given(_rows(), FAMILIES, st.integers(0, 99))
def test_equals_its_definition(rows: dict[str, Any], family: tuple[float, float], seed: int) -> None:
    weights = _weights(rows, seed) * (np.arange(len(rows["exit"])) % 7 > 0)  # some weigh nothing
    cluster = np.arange(len(weights)) // 2
    for units, option in ((np.arange(len(weights)), None), (cluster, cluster)):
        score, variance = by_definition(rows, weights, units, *family)
        test = _tested(rows, weights=weights, rho=family[0], gamma=family[1], cluster=option)
        assert_close(test.observed - test.expected, score, 1e-9, "score", atol=1e-10)
        assert_close(test.variance, variance, 1e-9, "variance", atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(_rows(), FAMILIES, st.integers(0, 99))
def test_order_of_rows_and_names_of_groups_do_not_matter(
    rows: dict[str, Any], family: tuple[float, float], seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(rows["exit"]))
    weights = _weights(rows)
    straight = _tested(rows, weights=weights, rho=family[0], gamma=family[1])
    moved = {key: values[order] for key, values in rows.items()}
    _same(_tested(moved, weights=weights[order], rho=family[0], gamma=family[1]), straight)
    renamed = _tested(rows | {"group": 9 - rows["group"]}, weights=weights, rho=family[0], gamma=family[1])
    assert_close(renamed.statistic, straight.statistic, 1e-6, "renamed", atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(_rows(), FAMILIES, st.floats(0.05, 0.95))
def test_splitting_a_row_changes_nothing(rows: dict[str, Any], family: tuple[float, float], share: float) -> None:
    cut = rows["entry"] + np.round(share * (rows["exit"] - rows["entry"]), 1)
    inside = (cut > rows["entry"]) & (cut < rows["exit"])
    person, weights = np.arange(len(cut)), _weights(rows)
    twice = {key: np.concatenate([values, values[inside]]) for key, values in rows.items()}
    twice["entry"][len(cut) :] = cut[inside]
    twice["exit"][: len(cut)] = np.where(inside, cut, rows["exit"])
    twice["event"][: len(cut)] = rows["event"] & ~inside
    options = {"rho": family[0], "gamma": family[1]}
    one = np.concatenate([person, person[inside]])
    _same(_tested(twice, weights=weights[one], cluster=one, **options),
          _tested(rows, weights=weights, cluster=person, **options))  # fmt: skip
    _same(_tested(twice, **options), _tested(rows, **options))


@settings(deadline=None, max_examples=40)
@given(_rows(), FAMILIES, st.integers(0, 99))
def test_whole_weights_are_repeated_rows(rows: dict[str, Any], family: tuple[float, float], seed: int) -> None:
    weights = np.random.default_rng(seed).integers(0, 4, len(rows["exit"]))
    assume(len(np.unique(rows["group"][weights > 0])) == len(np.unique(rows["group"])))
    repeated = {key: np.repeat(values, weights) for key, values in rows.items()}
    options = {"rho": family[0], "gamma": family[1]}
    _same(_tested(rows, weights=weights, **options), _tested(repeated, **options))
    # and with a robust variance where the copies stay one person
    one = np.repeat(np.arange(len(weights)), weights)
    _same(_tested(rows, weights=weights, robust=True, **options), _tested(repeated, cluster=one, **options))


@settings(deadline=None, max_examples=30)
@given(_rows(), st.sampled_from([1 / 365.25, 0.5, 1440.0]), st.sampled_from([1e-3, 0.37, 1e4]))
def test_units_of_time_and_of_weight_do_not_matter(rows: dict[str, Any], time: float, unit: float) -> None:
    weights = _weights(rows)
    here = _tested(rows, weights=weights)
    _same(_tested(rows | {"entry": rows["entry"] * time, "exit": rows["exit"] * time}, weights=weights), here)
    there = _tested(rows, weights=weights * unit)
    assert there.df == here.df
    assert_close(there.statistic, here.statistic, 1e-6, "scaled weights", atol=1e-9)
    _same(_tested(rows, weights=np.full(len(weights), unit), robust=True), _tested(rows, robust=True), scale=unit)


def test_a_group_of_tiny_weights_keeps_its_degree_of_freedom() -> None:
    weights = np.where(DATA["g3"] == 1, 1e-6, 1.0) * DATA["w"]
    test = logrank(DATA["t1"], DATA["e"], DATA["g3"], entry=DATA["t0"], weights=weights)
    # the same weighted Cox model, score test by hand from its residuals at 0, scaled so that nothing is lost
    dummies = np.column_stack([DATA["g3"] == 1, DATA["g3"] == 3]).astype(float)
    state = cox(dummies, DATA["t1"], DATA["e"], entry=DATA["t0"], weights=weights, ties="breslow").state.of
    null = state.at(np.zeros(2))
    assert null is not None
    own = null.score_residuals() * state.rows.weight[:, None]
    own /= np.sqrt((own**2).sum(axis=0))
    score = own.sum(axis=0)
    assert test.df == 2 and test.statistic == pytest.approx(score @ np.linalg.solve(own.T @ own, score), rel=1e-8)


# --- decided answers ----------------------------------------------------------------------------------------


def test_a_robust_test_by_hand() -> None:
    # weights 2 and 1 v 1, days 1, 2, 3, all events. Day 1: A (2) dies of A 3, B 1: residuals on A's score
    # 2 (1/4)(1 - 1/2) = 1/4 for it; 1 (1/4)(-1/2) = -1/8 for the other A; 1 (-3/4)(-1/2) = 3/8 for B.
    # Day 2: B (1) dies of A 1, B 1: (1/2)(-1/2) = -1/4 for A, (-1/2)(1/2) = -1/4 for B. Day 3: A alone, nothing.
    test = logrank([1, 3, 2], [1, 1, 1], ["A", "A", "B"], weights=[2, 1, 1], robust=True)
    own = np.array([1 / 4, -1 / 8 - 1 / 4, 3 / 8 - 1 / 4])
    assert test.observed.tolist() == [3, 1]
    assert (test.observed - test.expected)[0] == pytest.approx(own.sum())
    assert test.variance[0, 0] == pytest.approx(own @ own) and test.statistic == pytest.approx(
        own.sum() ** 2 / (own @ own), abs=1e-15
    )


def test_weights_that_are_no_counts_ask_for_the_robust_variance_themselves() -> None:
    time, event, arm = [1, 2, 3, 4], [1, 1, 1, 0], [0, 1, 0, 1]
    assert logrank(time, event, arm, weights=[1, 2, 1, 1]).se_kind == "hypergeometric"
    assert logrank(time, event, arm, weights=[1, 2.5, 1, 1]).se_kind == "robust"
    assert logrank(time, event, arm, weights=[1, 2, 1, 1], robust=True).se_kind == "robust"
    assert logrank(time, event, arm, cluster=[1, 1, 2, 3]).se_kind == "robust, clustered"
    with pytest.raises(ParameterError, match="no whole numbers"):
        logrank(time, event, arm, weights=[1, 2.5, 1, 1], robust=False)
    with pytest.raises(ParameterError, match="leave robust out"):
        logrank(time, event, arm, cluster=time, robust=False)
    with pytest.raises(DataError, match="negative"):
        logrank(time, event, arm, weights=[1, -2, 1, 1])


def test_no_comparison_with_weights_is_a_note() -> None:
    for test, why in (
        (logrank([1, 2], [1, 1], ["a", "a"], weights=[0.5, 0.3]), "one group only"),
        (logrank([1, 2], [0, 0], ["a", "b"], weights=[0.5, 0.3]), "no events"),
        (logrank([1, 2], [1, 0], ["a", "b"], weights=[0, 0.3]), "no events"),
        (logrank([], [], [], weights=[], robust=True), "no rows"),
        # thirds, so that rounding would show: group a is alone on day 1, group b on day 2
        (logrank([1, 1, 2, 2], [1, 1, 1, 1], list("aabb"), entry=[0, 0, 1, 1], weights=[1 / 3, 0.1, 0.7, 1 / 7]),
         "no event at a time when two groups"),
        (logrank([1, 2, 3], [1, 1, 0], [0, 1, 1], cluster=[5, 5, 5]), "1 rows or clusters for 1 degrees"),
    ):  # fmt: skip
        assert np.isnan(test.statistic) and np.isnan(test.p_value) and test.df == 0 and why in test.note


def test_pairs_whose_residuals_cancel_have_no_variance() -> None:
    # each pair has one of each group, the same weights, time and event: nothing distinguishes the groups
    time, weights = np.repeat([1.0, 2, 3, 4, 5], 2), np.repeat([0.3, 1.7, 0.9, 2.2, 1 / 3], 2)
    test = logrank(time, np.ones(10), np.tile([0, 1], 5), weights=weights, cluster=np.repeat(np.arange(5), 2))
    assert np.isnan(test.statistic) and test.df == 0 and test.note


def test_no_events_in_one_group_is_an_ordinary_robust_test() -> None:
    test = logrank([1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1], weights=[1, 2, 1, 1.5, 1, 1])
    assert test.df == 1 and 0 < test.p_value < 1 and test.observed.tolist() == [4, 0]


# --- under the null -----------------------------------------------------------------------------------------


def _confounded(seed: int, n: int) -> dict[str, Any]:
    """Hazard and treatment both depend on x, treatment does nothing; weights are 1 / the known chance of the arm."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    chance = 1 / (1 + np.exp(-0.6 * x))
    arm = rng.random(n) < chance
    time, censor = rng.exponential(np.exp(-0.7 * x)), rng.uniform(0.5, 3, n)
    return {
        "exit": np.minimum(time, censor), "event": time <= censor, "group": arm,
        "weights": 1 / np.where(arm, chance, 1 - chance),
    }  # fmt: skip


def _rejections(fits: int, n: int) -> tuple[int, int]:
    """How often the weighted and the crude test reject at 5 %."""
    weighted = crude = 0
    for seed in range(fits):
        rows = _confounded(seed, n)
        weighted += logrank(**rows).p_value < 0.05
        crude += logrank(rows["exit"], rows["event"], rows["group"]).p_value < 0.05
    return weighted, crude


def test_inverse_probability_weights_keep_the_level() -> None:
    """400 fits: within the range in which 99.9 % of such simulations fall if the level is 5 %."""
    weighted, crude = _rejections(400, 300)
    low, high = binom.interval(0.999, 400, 0.05)
    assert low <= weighted <= high < crude, (weighted, crude)


@pytest.mark.slow
def test_inverse_probability_weights_keep_the_level_over_many_fits() -> None:
    weighted, _ = _rejections(2000, 500)
    low, high = binom.interval(0.999, 2000, 0.05)
    assert low <= weighted <= high, weighted
