"""Effects by cohort and period: against R's `did`, influences against derivatives, edge cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.group_time import GroupTimeEffects, group_time_effects, pre_trend_test
from clinops.stats.group_time_averages import AVERAGES, average_effects
from clinops.stats.group_time_cells import METHODS, change_effect
from tests import support
from tests.stats.panel_data import Arrays, counties, made, rows, taken

TOLERANCE = 1e-6  # as the reference states
RUNS: dict[str, dict[str, Any]] = {
    "nevertreated_noX_dr": {},
    "notyettreated_noX_dr": {"comparison": "not yet"},
    "nevertreated_lpop_dr": {"covariates": True},
    "nevertreated_lpop_ipw": {"covariates": True, "method": "ipw"},
    "nevertreated_lpop_reg": {"covariates": True, "method": "reg"},
    "nevertreated_noX_universal_base": {"base": "universal"},
}
AVERAGED = [name for name in RUNS if "universal" not in name]
# R's `glm` stops at a change of the deviance of 1e-8, and `vcov` takes the information one step before: the errors of
# did's weighting are off their own formulas by 2.4e-6. `did_converged.R` is those formulas at the optimum.
LOOSE = "nevertreated_lpop_ipw"


def fitted(name: str) -> GroupTimeEffects:
    data = counties(support.oracle_csv("its_did/mpdta"))
    options = RUNS[name] | ({"covariates": data["x"]} if "covariates" in RUNS[name] else {})
    return group_time_effects(**rows(data), **options)


def expected(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What did 2.1.2 says, and its formulas at the optimum."""
    said = support.oracle("its_did/did_mpdta")
    assert said["meta"]["tolerance_rel"] == TOLERANCE
    exact = support.oracle("its_did/did_converged")["expected"]["converged"]
    return said["expected"][name], exact.get(name, {})


@pytest.mark.parametrize("name", RUNS)
def test_every_cell_is_that_of_did(name: str) -> None:
    said, exact = expected(name)
    effects = fitted(name)
    assert effects.note == ""
    assert (effects.group.tolist(), effects.time.tolist()) == (said["group"], said["time"])
    support.assert_close(effects.estimate, said["att"], TOLERANCE, "att")
    if name != LOOSE:
        support.assert_close(effects.std_error, said["se"], TOLERANCE, "se")
    if exact:
        support.assert_close(effects.std_error, exact["se"], 1e-9, "se at the optimum")


@pytest.mark.parametrize("kind", AVERAGES)
@pytest.mark.parametrize("name", AVERAGED)
def test_every_average_is_that_of_did(name: str, kind: str) -> None:
    said, exact = expected(name)
    averages = average_effects(fitted(name), kind)
    if kind == "simple":
        said = {"overall_att": said["simple"]["att"], "overall_se": said["simple"]["se"]}
        said |= {"egt": [], "att": [], "se": []}
        exact = {"simple": [], "simple_overall": exact["simple"]}
    else:
        said = said["group_agg" if kind == "group" else kind]
    assert averages.label.tolist() == said["egt"]
    support.assert_close([*averages.estimate, averages.overall], [*said["att"], said["overall_att"]], TOLERANCE, "att")
    if name != LOOSE:
        support.assert_close(averages.std_error, said["se"], TOLERANCE, "se")
    if name != LOOSE and kind != "group":  # the overall group average of did is the subject of the next test
        support.assert_close(averages.overall_std_error, said["overall_se"], TOLERANCE, "overall se")
    support.assert_close(averages.std_error, exact[kind], 1e-9, "se at the optimum")
    support.assert_close(averages.overall_std_error, exact[f"{kind}_overall"], 1e-9, "overall se at the optimum")


@pytest.mark.parametrize("name", AVERAGED)
def test_where_we_differ_from_did_its_own_formulas_say_why(name: str) -> None:
    """The script's formulas are did's to rounding: the errors of `did_mpdta` come out of it, oddity included.

    did 2.1.2 counts, in the error of the overall group average, the members of the first cells' cohort for all.
    """
    said, _ = expected(name)
    as_did = support.oracle("its_did/did_converged")["expected"]["as_did"][name]
    support.assert_close(as_did["se"], said["se"], 1e-12)
    support.assert_close(as_did["simple"], said["simple"]["se"], 1e-12)
    for kind, key in (("dynamic", "dynamic"), ("group", "group_agg"), ("calendar", "calendar")):
        support.assert_close(as_did[kind], said[key]["se"], 1e-12)
        overall = as_did["group_overall_as_did" if kind == "group" else f"{kind}_overall"]
        support.assert_close(overall, said[key]["overall_se"], 1e-12)


@pytest.mark.parametrize("name", AVERAGED)
def test_the_test_of_trends_is_that_of_did(name: str) -> None:
    said, exact = expected(name)
    effects = fitted(name)
    test = pre_trend_test(effects)
    wald = test.statistic * test.df_numerator
    support.assert_close(wald, exact["W"], 1e-9)
    if name != LOOSE:
        support.assert_close(wald, said["pre_test_W"][0], TOLERANCE)
    assert round(test.p_value, 5) == said["pre_test_p"][0]  # did rounds to five decimals
    assert (test.df_numerator, effects.n_clusters, test.note) == (5, said.get("n"), "")


def test_the_published_simple_average() -> None:
    averages = average_effects(fitted("nevertreated_lpop_dr"))
    published = support.oracle("its_did/did_mpdta")["meta"]["published"]["simple_att"]
    assert round(averages.overall, 4) == published


def test_a_universal_base_tells_the_same_of_the_trends() -> None:
    """The periods before treatment are sums of steps, so the joint test is the same whatever the base."""
    varying, universal = (
        pre_trend_test(fitted("nevertreated_noX_dr")),
        pre_trend_test(fitted("nevertreated_noX_universal_base")),
    )
    assert_allclose(universal.statistic, varying.statistic, rtol=1e-9)


# --- influences against derivatives --------------------------------------------------------------------------


def copies(data: Arrays, unit: int, more: int, times: int = 30) -> Arrays:
    """Every unit `times` times, one of them more or less often, under new labels."""
    parts = []
    for label, one in enumerate(np.unique(data["unit"])):
        mine = taken(data, data["unit"] == one)
        for copy in range(times + (more if one == unit else 0)):
            parts.append(mine | {"unit": np.full(len(mine["y"]), label * 1000 + copy)})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("method", METHODS)
def test_influences_are_derivatives(method: str) -> None:
    """A unit's influence is the slope of every number in its weight: here by one copy more and one less of many."""
    data = made(3, {3.0: 5, 4.0: 4, np.inf: 8}, periods=4)
    times, unit = 30, 6

    def numbers(d: Arrays) -> tuple[Any, Any]:
        effects = group_time_effects(**rows(d), covariates=d["x"], method=method, comparison="not yet")
        parts = [effects, *(average_effects(effects, kind) for kind in AVERAGES)]
        return np.concatenate([part.estimate for part in parts]), np.hstack([part.influence for part in parts])

    _, influence = numbers(data)
    n = len(influence) * times
    (plus, _), (minus, _) = numbers(copies(data, unit, 1, times)), numbers(copies(data, unit, -1, times))
    slope = (plus - minus) / (1 / (n + 1) + 1 / (n - 1))
    assert_allclose(slope, influence[unit], atol=1e-4 * np.abs(influence).max())


def test_the_overall_errors_are_those_of_derivatives() -> None:
    """The overall averages with their estimated shares: the sum of squared slopes, over every unit."""
    data = made(3, {3.0: 5, 4.0: 4, np.inf: 8}, periods=4)
    averages = {kind: average_effects(group_time_effects(**rows(data)), kind) for kind in AVERAGES}
    n, times = 17, 30
    slopes = []
    for unit in range(n):
        ends = [group_time_effects(**rows(copies(data, unit, more, times)), method="reg") for more in (1, -1)]
        step = 1 / (n * times + 1) + 1 / (n * times - 1)
        slopes.append([np.subtract(*[average_effects(e, kind).overall for e in ends]) / step for kind in AVERAGES])
    by_hand = np.sqrt((np.array(slopes) ** 2).sum(axis=0)) / n
    assert_allclose([averages[kind].overall_std_error for kind in AVERAGES], by_hand, rtol=1e-4)


@pytest.mark.parametrize(("wrong", "right"), [("reg", "ipw"), ("ipw", "reg")])
def test_doubly_robust_needs_one_of_two_models(wrong: str, right: str) -> None:
    """Effect 1 of 20,000 units; the curve that a straight line misses is in the change, or in the chance of treatment.

    Within 4 stated errors (once in 16,000 times not), and the method with the wrong model at least 10 away.
    """
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 2, size=20_000)
    index = x if wrong == "reg" else 2 * x**2 - x - 2
    treated = rng.random(len(x)) < 1 / (1 + np.exp(-index))
    change = treated + x + (2 * x**2 if wrong == "reg" else 2 * x) + rng.normal(size=len(x))
    z = {}
    for method in METHODS:
        effect, influence, why = change_effect(change, treated, x[:, None], method)
        assert why == ""
        z[method] = (effect - 1) / (np.sqrt((influence**2).sum()) / len(x))
    assert max(abs(z["dr"]), abs(z[right])) < 4
    assert abs(z[wrong]) > 10


# --- what changes nothing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("comparison", ["never", "not yet"])
def test_order_labels_and_common_shifts_change_nothing(method: str, comparison: str) -> None:
    data, rng = made(5), np.random.default_rng(5)
    before = group_time_effects(**rows(data), covariates=data["x"], method=method, comparison=comparison)
    shifts = rng.normal(size=7)[data["time"].astype(int)] + 50 + rng.normal(size=62)[data["unit"]]
    changed = data | {"y": data["y"] + shifts, "unit": rng.permutation(62)[data["unit"]].astype(str)}
    changed = taken(changed, rng.permutation(len(data["y"])))
    after = group_time_effects(**rows(changed), covariates=1000 * changed["x"], method=method, comparison=comparison)
    assert_allclose(after.estimate, before.estimate, rtol=1e-8, atol=1e-10)
    assert_allclose(after.std_error, before.std_error, rtol=1e-7)


def test_without_covariates_the_methods_agree_with_four_means() -> None:
    data = made(6)
    fits = [group_time_effects(**rows(data), method=method) for method in METHODS]
    for other in fits[1:]:
        assert_allclose(other.estimate, fits[0].estimate, rtol=1e-9, atol=1e-12)
        assert_allclose(other.std_error, fits[0].std_error, rtol=1e-9)
    y = data["y"].reshape(-1, 6)
    first = data["first_treated"][::6]
    change = y[:, 4] - y[:, 1]  # cohort 3 in period 5, against period 2
    mine, others = change[first == 3], change[np.isinf(first)]
    at = np.flatnonzero((fits[0].group == 3) & (fits[0].time == 5))[0]
    assert_allclose(fits[0].estimate[at], mine.mean() - others.mean(), rtol=1e-9)
    by_hand = np.sqrt(mine.var() / len(mine) + others.var() / len(others))
    assert_allclose(fits[0].std_error[at], by_hand, rtol=1e-9)


def test_repeated_units_as_clusters_have_the_error_of_one() -> None:
    data = made(7)
    twice = {name: np.concatenate([values, values]) for name, values in data.items()}
    twice["unit"] = np.concatenate([data["unit"], data["unit"] + 1000])
    before = group_time_effects(**rows(data))
    after = group_time_effects(**rows(twice), cluster=np.concatenate([data["unit"], data["unit"]]))
    assert_allclose(after.std_error, before.std_error, rtol=1e-9)
    assert after.n_clusters == 62
    for kind in AVERAGES:
        assert_allclose(
            average_effects(after, kind).overall_std_error, average_effects(before, kind).overall_std_error, rtol=1e-9
        )


# --- edge cases ----------------------------------------------------------------------------------------------


def test_everybody_treated_in_the_end_leaves_the_last_cohort_without_a_comparison() -> None:
    data = made(8, {3.0: 9, 4.0: 8, 6.0: 7})
    with pytest.raises(DataError, match="none is never treated; use comparison='not yet'"):
        group_time_effects(**rows(data))
    effects = group_time_effects(**rows(data), comparison="not yet")
    lost = (effects.time >= 6) | ((effects.group == 6) & (effects.time >= 4))  # from 4 on all others are treated
    assert np.isnan(effects.estimate).tolist() == lost.tolist()
    assert np.isnan(effects.std_error[lost]).all()
    assert "Not estimable (no comparison unit is left): 3 in 6, 4 in 6, 6 in 4, 6 in 5, 6 in 6." in effects.note
    averages = average_effects(effects, "group")
    assert averages.label.tolist() == [3, 4]
    assert averages.note == "3 of 8 treated cells could not be estimated and are left out."
    assert "2 of 7 cells before treatment could not be estimated" in average_effects(effects, "dynamic").note


def test_the_last_cohort_follows_from_the_others_and_leaves_the_test_of_trends() -> None:
    """Three cohorts and nobody else: each is compared with those not yet treated, here with the influences by hand."""
    data = made(8, {3.0: 9, 4.0: 8, 6.0: 7})
    test = pre_trend_test(group_time_effects(**rows(data), comparison="not yet"))
    change, cohort = np.diff(data["y"].reshape(-1, 6)[:, :3], axis=1), np.repeat([3, 4, 6], [9, 8, 7])
    estimates, pulls = [], []
    for mine, others, step in ((3, (4, 6), 0), (4, (3, 6), 0), (4, (6,), 1)):
        sides = cohort == mine, np.isin(cohort, others)
        means = [change[side, step].mean() for side in sides]
        parts = [side * (change[:, step] - mean) / side.sum() for side, mean in zip(sides, means, strict=True)]
        estimates.append(means[0] - means[1])
        pulls.append(parts[0] - parts[1])
    by_hand = estimates @ np.linalg.solve(np.array(pulls) @ np.array(pulls).T, estimates)
    assert_allclose(test.statistic * 3, by_hand, rtol=1e-9)
    assert test.df_numerator == 3
    assert "the last cohort follows from the others" in test.note


def test_fewer_clusters_than_comparisons_have_no_joint_test() -> None:
    data = made(1)
    test = pre_trend_test(group_time_effects(**rows(data), cluster=data["unit"] % 5))
    assert np.isnan([test.statistic, test.p_value]).all()
    assert "no joint test" in test.note


def test_a_single_cohort_without_others_has_no_estimate() -> None:
    effects = group_time_effects(**rows(made(8, {3.0: 9})), comparison="not yet")
    assert np.isnan(effects.estimate).all()
    for kind in AVERAGES:
        averages = average_effects(effects, kind)
        assert np.isnan([averages.overall, averages.overall_std_error]).all()
        assert averages.label.size == 0
    test = pre_trend_test(effects)
    assert np.isnan(test.p_value)
    assert "1 comparison(s) before treatment could not be estimated" in test.note


def test_always_and_later_treated_are_said() -> None:
    data = made(9, {1.0: 4, 3.0: 9, 8.0: 5, np.inf: 10})
    effects = group_time_effects(**rows(data))
    assert "4 units are treated from the first period on and were set aside." in effects.note
    assert "5 units start after the last period and count as never treated." in effects.note
    assert effects.n_comparison.tolist() == [15] * 5
    assert len(effects.first) == 24


def test_a_cohort_of_one_has_an_estimate_without_an_error() -> None:
    data = made(10, {3.0: 1, 4.0: 9, np.inf: 10})
    effects = group_time_effects(**rows(data))
    alone = effects.group == 3
    assert np.isfinite(effects.estimate).all()
    assert np.isnan(effects.std_error).tolist() == alone.tolist()
    assert "Cohort(s) 3: one cluster on a side tells nothing of the error" in effects.note
    groups = average_effects(effects, "group")
    assert np.isnan(groups.std_error).tolist() == [True, False]
    assert np.isfinite(groups.overall_std_error)
    assert "too small by its part" in groups.note


def test_a_constant_outcome_has_no_effects_and_no_test() -> None:
    data = made(11)
    effects = group_time_effects(**rows(data | {"y": np.full(len(data["y"]), 2.0)}))
    assert_allclose(effects.estimate, 0, atol=1e-12)
    assert np.isnan(effects.std_error).all() and "values do not vary there" in effects.note


def test_units_that_change_alike_give_no_error_and_say_so() -> None:
    """Two of each side with equal values: the effect is 0.7 by construction, and nothing is seen of its error."""
    first = np.repeat([2.0, 2.0, np.inf, np.inf], 5)
    time, unit = np.tile(np.arange(5.0), 4), np.repeat(np.arange(4), 5)
    y = np.where(np.isinf(first), 1.0, 3.0) + 0.1 * time + 0.7 * (time >= first)
    effects = group_time_effects(y, unit, time, first)
    assert_allclose(effects.estimate, [0, 0.7, 0.7, 0.7], atol=1e-12)
    assert np.isnan(effects.std_error).all() and not effects.lone.any()
    assert "Cohort(s) 2: no error in 4 cell(s)" in effects.note
    for kind in ("simple", "dynamic", "group", "calendar"):
        found = average_effects(effects, kind)
        assert found.overall == pytest.approx(0.7) and "do not vary" in found.note
        assert np.isnan([found.overall_std_error, found.overall_conf_low, *found.std_error, *found.conf_high]).all()
    # One cell that varies is enough for an error of the average.
    y[2] += 0.3
    assert average_effects(group_time_effects(y, unit, time, first)).overall_std_error > 0


def test_a_missing_outcome_is_refused_or_its_unit_set_aside() -> None:
    data = made(12)
    y = data["y"].copy()
    y[[7, 8, 50]] = np.nan
    with pytest.raises(DataError, match=r"2 of 62 units lack an outcome .* keep the 60 complete units"):
        group_time_effects(**rows(data | {"y": y}))
    dropped = group_time_effects(**rows(data | {"y": y}), unbalanced="drop")
    whole = taken(data, ~np.isin(data["unit"], data["unit"][[7, 8, 50]]))
    assert_allclose(dropped.estimate, group_time_effects(**rows(whole)).estimate, rtol=1e-12)
    assert "2 of 62 units lack an outcome in some of the 6 periods and were set aside." in dropped.note
    absent = taken(data, np.arange(len(y)) != 7)
    with pytest.raises(DataError, match="1 of 62 units lack an outcome"):
        group_time_effects(**rows(absent))


@pytest.mark.parametrize("method", ["dr", "ipw"])
def test_a_covariate_that_tells_the_treated_apart_is_said(method: str) -> None:
    data = made(13, {3.0: 9, np.inf: 10})
    x = np.isfinite(data["first_treated"]).astype(float)[:, None] + 0.01 * data["x"]
    effects = group_time_effects(**rows(data), covariates=x, method=method)
    assert np.isnan(effects.estimate).all()
    assert "no overlap" in effects.note


@pytest.mark.parametrize("method", METHODS)
def test_collinear_covariates_are_said(method: str) -> None:
    data = made(13)
    effects = group_time_effects(**rows(data), covariates=np.hstack([data["x"], 2 * data["x"]]), method=method)
    assert np.isnan(effects.estimate).all()
    assert "covariates" in effects.note


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"method": "drr"}, DefinitionError, "no method 'drr'. Did you mean 'dr'"),
        ({"comparison": "all"}, DefinitionError, "no comparison 'all'"),
        ({"base": "fixed"}, DefinitionError, "no base period 'fixed'"),
        ({"unbalanced": "keep"}, DefinitionError, "no way with an unbalanced panel 'keep'"),
        ({"first_treated": np.full(372, np.inf)}, DataError, "None of the 62 units becomes treated"),
        ({"first_treated": np.full(372, np.nan)}, DataError, "np.inf for never"),
        ({"first_treated": np.arange(372.0)}, DataError, "first_treated changes over time in 62 of 62 units"),
        ({"time": np.ones(372)}, DataError, "310 rows repeat a unit and period"),
        ({"time": np.full(372, np.nan)}, DataError, "372 rows have no finite time"),
        ({"y": np.full(372, np.inf)}, DataError, "372 outcomes are infinite"),
        ({"y": np.full(372, np.nan)}, DataError, "take fewer periods"),
        ({"y": np.zeros(3)}, DataError, "unit has shape"),
        ({"covariates": np.zeros(372)}, DataError, "covariates have shape"),
        ({"covariates": np.full((372, 1), np.nan)}, DataError, "covariates hold missing"),
        ({"covariates": np.arange(372.0)[:, None]}, DataError, "covariates changes over time in 62"),
        ({"cluster": np.arange(372)}, DataError, "cluster changes over time"),
        ({"cluster": np.arange(3)}, DataError, "cluster has shape"),
        ({"conf_level": 95}, DefinitionError, "between 0 and 1"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        group_time_effects(**(rows(made(1)) | change))


def test_one_period_and_no_rows_are_refused() -> None:
    data = made(1)
    with pytest.raises(DataError, match="one period"):
        group_time_effects(**rows(taken(data, data["time"] == 4)))
    with pytest.raises(DataError, match="no rows"):
        group_time_effects([], [], [], [])


def test_an_unknown_average_is_refused() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'dynamic'"):
        average_effects(group_time_effects(**rows(made(1))), "dinamic")
