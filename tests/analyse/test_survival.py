"""Time to the first event through the Dataset: R's curves and ratios, brute force, and where there is no answer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import effects
from clinops.analyse.exhibits.effects import effects_table, forest
from clinops.analyse.survival import curves
from clinops.define.measures import Measure
from clinops.results.disclosure import protect
from clinops.results.long import protect_estimates
from clinops.results.schema import estimates
from tests.analyse.support import DEATH, TIME, arms, crude, dataset, nothing, protocol, rows
from tests.render.figures_support import whole
from tests.support import assert_close, oracle, oracle_csv

Z = 1.959963984540054


def death_within(days: int | None) -> Measure:
    return co.time_to(DEATH, co.days(1, days), name="Death", role="secondary", better="lower")


def weighted(weights: np.ndarray, cluster: np.ndarray | None = None, name: str = "person") -> Adjusted:
    group = np.arange(len(weights)) if cluster is None else cluster
    return Adjusted(co.weight("ate"), weights, group, name, estimand="average effect in everybody (ATE)")


def lung(**more: Any) -> Dataset:
    """R's lung data by sex, women as the exposed."""
    frame = oracle_csv("survival/km_lung_sex")
    return dataset((frame["sex"] == 2).astype(int).tolist(), {}, {TIME: (frame["event"], frame["time"])}, **more)


# --- curves and risks ---------------------------------------------------------------------------


@pytest.mark.parametrize("horizon", [180, 365, 730])
def test_risks_equal_r(horizon: int) -> None:
    found = rows(lung(), replace(TIME, window=co.days(1, horizon)))
    at = oracle("survival/km_lung_sex")["expected"]["at"]
    risk, error = {}, {}
    for name, stratum in (("exposed", "sex=2"), ("comparator", "sex=1")):
        place = next(i for i, s in enumerate(at["strata"]) if s == stratum and at["time"][i] == horizon)
        risk[name], error[name] = 1 - at["surv"][place], at["std_err_surv"][place]
        assert_close(found["risk difference"][f"value_{name}"], 1000 * risk[name], 1e-8)
    row = found["risk difference"]
    assert_close(row["estimate"], 1000 * (risk["exposed"] - risk["comparator"]), 1e-8)
    assert_close(row["std_error"], 1000 * math.hypot(*error.values()), 1e-8)
    assert row["se_kind"] == "Greenwood"
    ratio = found["risk ratio"]
    se = math.hypot(error["exposed"] / risk["exposed"], error["comparator"] / risk["comparator"])
    assert_close(ratio["estimate"], risk["exposed"] / risk["comparator"], 1e-8)
    assert_close(ratio["std_error"], se, 1e-8)
    assert_close([ratio["conf_low"], ratio["conf_high"]], [ratio["estimate"] * math.exp(z * se) for z in (-Z, Z)], 1e-8)


def test_one_curve_equals_r_at_every_time() -> None:
    """km_lung: everybody in one arm, the other arm a single censored person of whom nothing is asked."""
    frame = oracle_csv("survival/km_lung")
    data = dataset(
        arms(len(frame), 1), {}, {TIME: ([*frame["event"], 0], [*frame["time"], 5])}
    )  # fmt: skip
    curve = curves(data, TIME, crude(data))["exposed"]
    expected = oracle("survival/km_lung")["expected"]["km"]
    for ours, theirs in (("time", "time"), ("n_risk", "n_risk"), ("survival", "surv"), ("std_error", "std_err_surv")):
        assert_close(getattr(curve, ours), expected[theirs], 1e-8, theirs)
    assert_close(curve.conf_low, expected["lower"], 1e-8)


def test_weighted_risks_equal_r() -> None:
    frame = oracle_csv("survival/km_lung_weighted")
    data = dataset((frame["sex"] == 2).astype(int).tolist(), {}, {TIME: (frame["event"], frame["time"])})
    found = rows(data, TIME, weighted(frame["w"].to_numpy()))
    expected = oracle("survival/km_lung_weighted")["expected"]["km_robust"]
    strata, time = np.array(expected["strata"]), np.array(expected["time"])
    risk, error = {}, {}
    for name, stratum in (("exposed", "sex=2"), ("comparator", "sex=1")):
        last = np.flatnonzero((strata == stratum) & (time <= 365))[-1]
        risk[name], error[name] = 1 - expected["surv"][last], expected["std_err_surv"][last]
    row = found["risk difference"]
    assert_close(row["estimate"], 1000 * (risk["exposed"] - risk["comparator"]), 1e-8)
    assert_close(row["std_error"], 1000 * math.hypot(*error.values()), 1e-8)
    assert row["se_kind"] == "robust, weights taken as known, clustered by person"


def nhefs() -> tuple[Dataset, np.ndarray]:
    """What If's data: stopping smoking, months to death within 120, and the stabilised weights of its chapter 12."""
    frame = oracle_csv("causal/nhefs_complete")
    fitted = oracle("causal/nhefs")["expected"]["ps"]
    months = np.where(frame["death"] == 0, 120.0, (frame["yrdth"] - 83) * 12 + frame["modth"])
    months = np.where(np.isnan(months), 120.0, months)
    columns = [
        np.ones(len(frame)), frame["sex"] == 1, frame["race"] == 1, frame["age"], frame["age"] ** 2,
        *[frame["education"] == level for level in (2, 3, 4, 5)], frame["smokeintensity"], frame["smokeintensity"] ** 2,
        frame["smokeyrs"], frame["smokeyrs"] ** 2, *[frame["exercise"] == level for level in (1, 2)],
        *[frame["active"] == level for level in (1, 2)], frame["wt71"], frame["wt71"] ** 2,
    ]  # fmt: skip
    score = 1 / (1 + np.exp(-np.column_stack([np.asarray(c, float) for c in columns]) @ np.array(fitted["coef"])))
    quit = frame["qsmk"].to_numpy() == 1
    weights = np.where(quit, quit.mean() / score, (1 - quit.mean()) / (1 - score))
    data = dataset(quit.astype(int).tolist(), {}, {death_within(120): (frame["death"], months)})
    return data, weights


def test_hazard_ratios_of_what_if_equal_r() -> None:
    data, weights = nhefs()
    expected, measure = oracle("causal/nhefs")["expected"], death_within(120)
    assert_close(rows(data, measure)["hazard ratio"]["estimate"], expected["death_hr_crude"], 1e-7)
    row, theirs = rows(data, measure, weighted(weights))["hazard ratio"], expected["death_hr_ipw"]
    assert_close(row["estimate"], theirs["hr"], 1e-7)
    assert_close(row["std_error"], theirs["se_robust"], 1e-7)
    assert_close([row["conf_low"], row["conf_high"]], [theirs["lower"], theirs["upper"]], 1e-7)
    assert row["se_kind"] == "robust, weights taken as known, clustered by person"


def test_weighted_risks_of_what_if_equal_r() -> None:
    data, weights = nhefs()
    row = rows(data, death_within(120), weighted(weights))["risk difference"]
    survival = dict(
        zip(
            ("q0_60", "q0_120", "q1_60", "q1_120"),
            oracle("causal/nhefs")["expected"]["death_ipw_km"]["surv"],
            strict=True,
        )
    )
    assert_close(row["value_exposed"], 1000 * (1 - survival["q1_120"]), 1e-7)
    assert_close(row["value_comparator"], 1000 * (1 - survival["q0_120"]), 1e-7)


# --- the hazard ratio against brute force -------------------------------------------------------


def efron_score(beta: float, x: np.ndarray, time: np.ndarray, event: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Score and information of Efron's partial likelihood with one column, event by event, as R weights it."""
    score = information = 0.0
    risk = w * np.exp(beta * x)
    for t in np.unique(time[event == 1]):
        at, tied = time >= t, (time == t) & (event == 1)
        d = int(tied.sum())
        for turn in range(d):
            all_0 = risk[at].sum() - turn / d * risk[tied].sum()
            all_1 = (risk * x)[at].sum() - turn / d * (risk * x)[tied].sum()
            all_2 = (risk * x * x)[at].sum() - turn / d * (risk * x * x)[tied].sum()
            share, mean = w[tied].sum() / d, all_1 / all_0
            score -= share * mean
            information += share * (all_2 / all_0 - mean**2)
        score += (w * x)[tied].sum()
    return score, information


def efron_fit(x: np.ndarray, time: np.ndarray, event: np.ndarray, w: np.ndarray) -> float:
    return float(brentq(lambda b: efron_score(b, x, time, event, w)[0], -3, 3, xtol=1e-13))


def jackknife(x: np.ndarray, time: np.ndarray, event: np.ndarray, beta: float) -> np.ndarray:
    """(n,) change of the coefficient by each row's weight: what the robust variance squares and sums."""
    step, found = 1e-4, []
    information = efron_score(beta, x, time, event, np.ones(len(x)))[1]
    for row in range(len(x)):
        up, down = np.ones(len(x)), np.ones(len(x))
        up[row], down[row] = 1 + step, 1 - step
        slope = (efron_score(beta, x, time, event, up)[0] - efron_score(beta, x, time, event, down)[0]) / (2 * step)
        found.append(slope / information)
    return np.array(found)


def test_hazard_ratio_of_lung_by_sex_equals_brute_force() -> None:
    """cox_lung's people: Efron, then robust, then clustered on the institution."""
    frame = oracle_csv("survival/cox_lung")
    women = (frame["sex"] == 2).to_numpy().astype(float)
    time, event = frame["time"].to_numpy(float), frame["event"].to_numpy(float)
    beta = efron_fit(women, time, event, np.ones(len(frame)))
    data = dataset(women.astype(int).tolist(), {}, {TIME: (event, time)})
    plain = rows(data, TIME)["hazard ratio"]
    assert plain["se_kind"] == "model"
    assert_close(plain["estimate"], math.exp(beta), 1e-9)
    information = efron_score(beta, women, time, event, np.ones(len(frame)))[1]
    assert_close(plain["std_error"], information**-0.5, 1e-9)
    assert_close(
        [plain["conf_low"], plain["conf_high"]], [math.exp(beta + z * information**-0.5) for z in (-Z, Z)], 1e-9
    )
    own = jackknife(women, time, event, beta)
    robust = rows(data, TIME, weighted(np.ones(len(frame))))["hazard ratio"]
    assert_close(robust["estimate"], math.exp(beta), 1e-9)
    assert_close(robust["std_error"], np.sqrt((own**2).sum()), 1e-6)
    at = np.unique(frame["inst"], return_inverse=True)[1]
    clustered = rows(data, TIME, weighted(np.ones(len(frame)), at, "care site"))["hazard ratio"]
    assert_close(clustered["std_error"], np.sqrt((np.bincount(at, weights=own) ** 2).sum()), 1e-6)
    assert clustered["se_kind"] == "robust, weights taken as known, clustered by care site"


def test_a_crude_hazard_ratio_of_repeated_persons_is_robust() -> None:
    """Everybody twice: the ratio with the errors of one copy, not of two."""
    once, person = lung(), np.arange(228)
    data = Dataset(*(pd.concat([f, f], ignore_index=True) for f in (once.baseline, once.outcomes) if f is not None))
    assert (data.person[:228] == data.person[228:]).all()
    twice = rows(data, TIME)
    assert twice["hazard ratio"]["se_kind"] == "robust, clustered by person"
    assert twice["risk difference"]["se_kind"] == "robust, clustered by person"
    single = rows(once, TIME, weighted(np.ones(228), person))
    # the curve is the same curve, so its error must be that of 228 independent persons
    for scale in ("risk difference", "risk ratio"):
        assert_close(twice[scale]["estimate"], single[scale]["estimate"], 1e-9)
        assert_close(twice[scale]["std_error"], single[scale]["std_error"], 1e-9)
    # ties are broken otherwise with two copies, so the ratio's error agrees only roughly
    assert twice["hazard ratio"]["std_error"] == pytest.approx(single["hazard ratio"]["std_error"], rel=0.01)


def test_clusters_that_stand_in_both_arms_reach_the_error_of_a_risk() -> None:
    """Without censoring 1 - KM is a share, so its clustered error is that of a difference of two shares."""
    event = np.array([1.0, 1, 0, 0, 1, 1, 0, 0, 0, 1])
    days = np.where(event == 1, [10, 20, 365, 365, 30, 15, 365, 365, 365, 40], 365)
    sets = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    data = dataset(arms(5, 5), {}, {TIME: (event, days)}, person=sets.tolist())
    row = rows(data, TIME)["risk difference"]
    residual = np.where(np.arange(10) < 5, (event - 0.6) / 5, -(event - 0.4) / 5)
    error = math.sqrt((np.bincount(sets, weights=residual) ** 2).sum())
    assert_close(row["estimate"], 1000 * (3 / 5 - 2 / 5), 1e-9)
    assert_close(row["std_error"], 1000 * error, 1e-9)
    ratio = rows(data, TIME)["risk ratio"]
    relative = np.where(np.arange(10) < 5, (event - 0.6) / 5 / 0.6, -(event - 0.4) / 5 / 0.4)
    assert_close(ratio["std_error"], math.sqrt((np.bincount(sets, weights=relative) ** 2).sum()), 1e-9)


def test_a_matched_analysis_is_clustered_on_its_sets() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=80)
    arm = [1] * 20 + [0] * 60
    data = dataset(arm, {"age": x}, {TIME: (rng.random(80) < 0.4, rng.integers(1, 366, 80))})
    how = adjust(data, (co.age_at_index(),), co.match())
    found = rows(data, TIME, how)
    for scale in ("risk difference", "hazard ratio"):
        assert found[scale]["se_kind"] == "robust, weights taken as known, clustered by matched set"
    assert found["hazard ratio"]["n_comparator"] == int((how.weights[20:] > 0).sum())


# --- the window -------------------------------------------------------------------------------


def test_days_are_counted_from_the_start_of_the_window() -> None:
    """Days 31 to 365 are 335 days of follow-up: the risk is read at the 335th."""
    late = co.time_to(DEATH, co.days(31, 365), name="Death", role="secondary")
    data = dataset(arms(2, 2), {}, {late: ([1, 0, 1, 0], [300, 335, 340 - 30, 335])})
    row = rows(data, late)["risk difference"]
    assert (row["value_exposed"], row["value_comparator"]) == (500, 500)


def test_events_after_the_window_do_not_count() -> None:
    data = dataset(arms(2, 2), {}, {TIME: ([1, 0, 1, 0], [300, 400, 380, 400])})
    row = rows(data, TIME)["risk difference"]
    assert (row["value_exposed"], row["value_comparator"]) == (500, 0)


def test_an_event_on_the_last_day_counts_before_censoring() -> None:
    data = dataset(arms(2, 2), {}, {TIME: ([1, 0, 0, 0], [365, 365, 365, 365])})
    assert rows(data, TIME)["risk difference"]["value_exposed"] == 500


def test_a_window_without_end_is_read_where_both_arms_are_still_followed() -> None:
    endless = death_within(None)
    data = dataset(arms(2, 2), {}, {endless: ([1, 0, 1, 0], [50, 100, 200, 500])})
    row = rows(data, endless)["risk difference"]
    assert (row["value_exposed"], row["value_comparator"]) == (500, 0)


def test_a_row_without_a_day_is_set_aside() -> None:
    event, days = [1, 0, 0, 1, 0, 0], [10, 365, 0, 20, 365, 0]
    found = rows(dataset(arms(3, 3), {}, {TIME: (event, days)}), TIME)
    assert found["risk difference"]["value_exposed"] == 500
    assert found["hazard ratio"]["estimate"] > 0


# --- where there is no answer -------------------------------------------------------------------


def test_no_events_in_one_arm() -> None:
    found = rows(dataset(arms(3, 3), {}, {TIME: ([0, 0, 0, 1, 1, 0], [365, 365, 365, 10, 20, 365])}), TIME)
    ratio = found["hazard ratio"]
    assert nothing(ratio["estimate"])  # and no 3e-08
    assert ratio["note"] == (
        "Not estimable: no event in the exposed arm; the limit is of the profile likelihood, P of the score test."
    )
    # By hand: the comparators die on days 10 and 20 beside three exposed, L = 1 / ((3 + 3r) (2 + 3r)), at most 1/6.
    limit = brentq(lambda r: (3 + 3 * r) * (2 + 3 * r) - 6 * math.exp(Z**2 / 2), 0, 10, xtol=1e-14)
    assert ratio["conf_low"] == 0 and ratio["conf_high"] == pytest.approx(limit, rel=1e-8)
    # The log-rank test: expected among the exposed 3/6 + 3/5, variance 1/4 + 6/25, none observed.
    assert ratio["p_value"] == pytest.approx(math.erfc(math.sqrt(1.1**2 / 0.49 / 2)))
    assert (ratio["events_exposed"], ratio["events_comparator"]) == (0, 2)
    assert nothing(found["risk ratio"]["estimate"])
    row = found["risk difference"]
    assert row["estimate"] == pytest.approx(-2000 / 3)
    assert row["std_error"] == pytest.approx(1000 * math.sqrt(2 / 3 * 1 / 3 / 3))  # of the comparator alone
    assert "No events in the exposed arm; its 0 is taken as certain" in row["note"]


def test_no_events_at_all() -> None:
    found = rows(dataset(arms(3, 3), {}, {TIME: (np.zeros(6), 365)}), TIME)
    assert found["hazard ratio"]["note"] == "Not estimable: no event in the exposed nor in the comparator arm."
    row = found["risk difference"]
    assert row["estimate"] == 0
    assert nothing(row["std_error"])
    assert "conf_low" not in row
    assert "No events in the comparator arm" in row["note"]


def test_everybody_has_the_event() -> None:
    found = rows(dataset(arms(3, 3), {}, {TIME: (np.ones(6), [10, 20, 30, 15, 25, 35])}), TIME)
    row = found["risk difference"]
    assert (row["value_exposed"], row["value_comparator"], row["estimate"]) == (1000, 1000, 0)
    assert nothing(row["std_error"])
    assert "Everybody in the exposed arm has the event" in row["note"]
    assert found["risk ratio"]["estimate"] == 1
    assert found["hazard ratio"]["estimate"] > 0


@pytest.mark.parametrize("how", ["crude", "weighted"])
def test_everybody_of_one_arm_has_the_event(how: str) -> None:
    data = dataset(arms(3, 3), {}, {TIME: ([1, 1, 1, 1, 0, 0], [10, 20, 30, 15, 365, 365])})
    row = rows(data, TIME, weighted(np.full(6, 0.5)) if how == "weighted" else None)["risk difference"]
    assert row["estimate"] == pytest.approx(1000 - 1000 / 3)
    assert nothing(row["std_error"])
    assert "Everybody in the exposed arm" in row["note"]


def test_all_censored_before_the_window_ends() -> None:
    found = rows(dataset(arms(3, 3), {}, {TIME: ([1, 0, 0, 1, 0, 0], [10, 90, 100, 10, 365, 365])}), TIME)
    for scale in ("risk difference", "risk ratio"):
        assert nothing(found[scale]["estimate"])
        assert found[scale]["note"] == (
            "Not estimable: nobody in the exposed arm is followed to the end of the window."
        )
        assert found[scale]["value_comparator"] == pytest.approx(1000 / 3)
    assert found["hazard ratio"]["estimate"] > 0  # which speaks of the days that were watched


def test_nobody_has_a_day_of_follow_up() -> None:
    found = rows(dataset(arms(2, 2), {}, {TIME: (np.zeros(4), 0)}), TIME)
    assert all(nothing(row["estimate"]) and row["note"] for row in found.values())
    assert "exposed nor in the comparator" in found["risk difference"]["note"]


def test_events_that_never_meet_the_other_arm_at_risk() -> None:
    # the exposed's events all fall before the comparator's, and by then no exposed is left
    found = rows(dataset(arms(2, 2), {}, {TIME: ([1, 1, 1, 1], [1, 2, 3, 4])}), TIME)
    row = found["hazard ratio"]
    assert nothing(row["estimate"])
    assert "nothing bounds it" in row["note"]
    # By hand: days 1 and 2, L = r^2 / ((2r + 2) (r + 2)), which tends to 1/2 as r grows; later deaths compare nobody.
    limit = brentq(lambda r: math.log(2 * r * r / ((2 * r + 2) * (r + 2))) + Z**2 / 2, 1e-3, 1e3, xtol=1e-14)
    assert row["conf_low"] == pytest.approx(limit, rel=1e-8) and row["conf_high"] == math.inf


@pytest.mark.parametrize("how", ["weights", "clusters"])
def test_no_events_in_one_arm_of_a_weighted_comparison_has_no_limit(how: str) -> None:
    site = [1, 2, 3, 1, 2, 3] if how == "clusters" else None
    data = dataset(arms(3, 3), {}, {TIME: ([0, 0, 0, 1, 1, 0], [365, 365, 365, 10, 20, 365])}, site=site)
    adjusted = weighted(np.array([1.5, 1, 1, 1, 1, 1])) if how == "weights" else crude(data, "care site")
    row = rows(data, TIME, adjusted)["hazard ratio"]
    assert nothing(row["estimate"]) and "conf_high" not in row and "p_value" not in row
    assert row["note"] == (
        "Not estimable: no event in the exposed arm; weights or clusters leave no likelihood to take a limit from."
    )


def test_the_exhibits_of_an_empty_arm_show_counts_a_limit_and_a_test() -> None:
    data = dataset(arms(40, 40), {}, {TIME: (np.repeat([0, 1, 0], [40, 20, 20]), np.r_[[365] * 40, 1:21, [365] * 20])})
    made = protocol(outcomes=(TIME,), adjust=co.crude())
    frame = estimates([{"analysis": "main"} | row for row in effects(data, TIME, crude(data))])
    # 20 comparators die one by one beside 40 exposed: L = 1 / prod (40 - i + 40 r), at most 20! / 40!
    fall = Z**2 / 2

    def above(r: float) -> float:
        return fall - sum(math.log1p(40 * r / (40 - i)) for i in range(20))

    limit = f"{brentq(above, 0, 1, xtol=1e-14):.3f}"
    table, drawn = effects_table(frame, made), forest(frame, made)
    text = str(table)
    assert f"not estimable (0.00 to {limit})" in text and "<.001" in text
    assert "no event in the exposed arm; the limit is of the profile likelihood" in text
    assert table.frame[["events_exposed", "events_comparator"]].to_numpy().tolist() == [[0, 20]]
    assert f"not estimable (0.00 to {limit})" in str(drawn)
    figure = drawn.figure
    assert figure is not None and f"not estimable (0.00 to {limit})" in whole(figure)
    # Of fewer events than may be shown, nothing that rests on them leaves.
    few = dataset(arms(40, 40), {}, {TIME: (np.repeat([0, 1, 0], [40, 5, 35]), np.r_[[365] * 40, 1:6, [365] * 35])})
    frame = estimates([{"analysis": "main"} | row for row in effects(few, TIME, crude(few))])
    for shown in protect(effects_table(frame, made), 11), protect(forest(frame, made), 11):
        said = str(shown) + shown._repr_html_() + str(shown.to_csv())
        assert "not estimable (" not in said and "profile" in str(shown) + said
    assert protect(effects_table(frame, made), 11).frame[["ratio_low", "ratio_high", "ratio_p"]].isna().all(axis=None)
    gone = protect_estimates(frame).set_index("scale").loc["hazard ratio"]
    assert gone[["conf_low", "conf_high", "p_value"]].isna().all()


def test_an_estimable_ratio_leaves_the_table_without_a_column_for_p() -> None:
    frame = estimates([{"analysis": "main"} | row for row in effects(lung(), TIME, crude(lung()))])
    assert "ratio_p" not in effects_table(frame, protocol(outcomes=(TIME,), adjust=co.crude())).frame


def test_one_cluster_gives_no_error() -> None:
    data = dataset(arms(3, 3), {}, {TIME: ([1, 0, 0, 1, 1, 0], [10, 365, 365, 10, 20, 365])}, site=[5] * 6)
    found = rows(data, TIME, crude(data, "care site"))
    for scale in ("risk difference", "risk ratio", "hazard ratio"):
        assert not nothing(found[scale]["estimate"])
        assert nothing(found[scale]["std_error"])
        assert "no standard error" in found[scale]["note"]


def test_fitted_lifelines_models_are_our_curves() -> None:
    """The familiar face says what the exhibits say: both are the product-limit estimate."""
    from clinops.analyse.survival import fitters

    data = dataset(
        [1, 1, 1, 1, 0, 0, 0, 0],
        outcomes={TIME: ([1, 0, 1, 1, 0, 1, 1, 0], [5, 8, 8, 30, 2, 2, 9, 40])},
    )
    ours = curves(data, TIME, adjust(data, (), co.crude()))
    for name, model in fitters(data, TIME, {"exposed": "Offered", "comparator": "Not offered"}).items():
        at = np.array([1.0, 2.0, 5.0, 8.0, 9.0, 30.0])
        assert model.survival_function_at_times(at).to_numpy() == pytest.approx(ours[name].at(at).survival, abs=1e-12)
