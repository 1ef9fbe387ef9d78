"""Estimates of one outcome against answers by hand, closed forms and lifelines; edges that have a decided answer."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from clinops.analyse.outcomes import estimates as made
from clinops.analyse.outcomes.rows import EventRows
from tests.analyse.outcomes.support import One, every_row, only, rows, some

Z = 1.959963984540054
DEAD = "Death before it"

#: Day 10: 1 of 5. Day 20: a death, 4 at risk. Day 30: 1 of 3. Day 40: one leaves. Nothing more up to day 100.
FIVE = [
    One(100, events=(10, 10, 50)), One(20, dies=True), One(100), One(30, dies=True, events=(30,)), One(40),
]  # fmt: skip
OTHERS = [One(100, events=(20,)), One(100), One(50, dies=True), One(100)]

#: Nobody is lost before the end, so that shares and means of the sample are the answer.
WATCHED = [
    *[One(100, events=(5 + i, 50 + i)) for i in range(6)], *[One(60 + i, dies=True) for i in range(4)],
    *[One(100)] * 10,
]  # fmt: skip
WATCHED_0 = [
    *[One(100, events=(11 + 3 * i,)) for i in range(9)], One(100, events=(40, 41, 42, 80)),
    *[One(35 + i, dies=True) for i in range(5)], *[One(100)] * 10,
]  # fmt: skip


def test_risks_by_hand() -> None:
    frame = every_row(rows(FIVE, OTHERS), 25, 100)
    row = only(frame, "Aalen", "risk difference", period="to day 25")
    # By day 25: 1/5. By day 100: 1/5, and of the 3/5 that are left 1/3.
    assert row["value_exposed"] == pytest.approx(200) and row["value_comparator"] == pytest.approx(250)
    row = only(frame, "Aalen", "risk difference", period="to day 100")
    assert row["value_exposed"] == pytest.approx(400) and row["estimate"] == pytest.approx(150)
    assert only(frame, "Aalen", "risk ratio", period="to day 100")["estimate"] == pytest.approx(0.4 / 0.25)
    died = only(frame, "Aalen", "risk difference", DEAD, "to day 100")
    # The dead of day 30 had the event first, on the same day.
    assert (died["value_exposed"], died["value_comparator"]) == (pytest.approx(200), pytest.approx(250))
    wrong = only(frame, "1 - Kaplan", "risk difference", period="to day 100")
    # With the dead as censored: 1 - 4/5 x 2/3.
    assert wrong["value_exposed"] == pytest.approx(1000 * (1 - 4 / 5 * 2 / 3)) and "as if the dead" in wrong["note"]
    assert np.isnan(wrong["conf_low"])


def test_counts_and_person_time_are_those_until_the_landmark() -> None:
    frame = every_row(rows(FIVE, OTHERS), 25, 100)
    early = only(frame, "Aalen", "risk difference", period="to day 25")
    assert (early["n_exposed"], early["events_exposed"]) == (5, 1)
    assert early["person_days_exposed"] == 10 + 20 + 25 + 25 + 25
    assert only(frame, "Aalen", "risk difference", DEAD, "to day 25")["events_exposed"] == 1
    late = only(frame, "Aalen", "risk difference", period="to day 100")
    assert (late["events_exposed"], late["person_days_exposed"]) == (2, 10 + 20 + 100 + 30 + 40)
    every = only(frame, "mean cumulative", "mean difference")  # all events, over all of follow-up
    assert (every["events_exposed"], every["person_days_exposed"]) == (4, 100 + 20 + 100 + 30 + 40)


def test_time_lost_is_the_area_under_the_risk() -> None:
    frame = every_row(rows(FIVE, OTHERS))
    row = only(frame, "restricted", "mean difference")
    assert row["value_exposed"] == pytest.approx(0.2 * 20 + 0.4 * 70)
    assert row["value_comparator"] == pytest.approx(0.25 * 80)
    assert only(frame, "restricted", "mean difference", DEAD)["value_exposed"] == pytest.approx(0.2 * 80)


def test_without_loss_risks_and_their_errors_are_those_of_proportions() -> None:
    frame = every_row(rows(WATCHED, WATCHED_0))
    for name, one, zero in (("Visits", 6, 10), (DEAD, 4, 5)):
        p, q, n, m = one / 20, zero / 25, 20, 25
        row = only(frame, "Aalen", "risk difference", name)
        error = 1000 * np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
        assert row["estimate"] == pytest.approx(1000 * (p - q)) and row["std_error"] == pytest.approx(error)
        assert row["conf_low"] == pytest.approx(row["estimate"] - Z * error)
        row = only(frame, "Aalen", "risk ratio", name)
        log = np.sqrt((1 - p) / (n * p) + (1 - q) / (m * q))
        assert (row["estimate"], row["std_error"]) == (pytest.approx(p / q), pytest.approx(log))
        assert row["conf_high"] == pytest.approx(p / q * np.exp(Z * log))


def test_without_loss_mean_numbers_are_means_and_rates_are_events_over_time() -> None:
    of = rows(WATCHED, WATCHED_0)
    frame = every_row(of)
    count = [of.count[of.arm(arm)] for arm in (True, False)]
    row = only(frame, "mean cumulative", "mean difference")
    assert (row["value_exposed"], row["value_comparator"]) == (pytest.approx(12 / 20), pytest.approx(13 / 25))
    # The influence of a person is their own count less the mean: no small-sample factor.
    error = np.sqrt(sum(one.var() / len(one) for one in count))
    assert row["std_error"] == pytest.approx(error) and row["estimate"] == pytest.approx(12 / 20 - 13 / 25)
    assert only(frame, "mean cumulative", "mean ratio")["estimate"] == pytest.approx((12 / 20) / (13 / 25))
    days = [of.end[of.arm(arm)].sum() for arm in (True, False)]
    quasi = only(frame, "rate ratio, quasi", "rate ratio")
    assert quasi["estimate"] == pytest.approx(12 / days[0] / (13 / days[1]), rel=1e-8)


def test_two_on_one_day_are_one_in_the_mean_and_two_in_the_rate() -> None:
    frame = every_row(rows([One(100, events=(10, 10))] + [One(100)] * 4, [One(100, events=(3,))] + [One(100)] * 4))
    assert only(frame, "mean cumulative", "mean ratio")["estimate"] == pytest.approx(1)
    assert only(frame, "rate ratio, quasi", "rate ratio")["estimate"] == pytest.approx(2)


def test_one_person_with_many_counts_once_in_the_risk() -> None:
    many = One(100, events=tuple(range(1, 41)))
    frame = every_row(rows([many, *[One(100)] * 9], [One(100, events=(50,)), *[One(100)] * 9]))
    assert only(frame, "Aalen", "risk ratio")["estimate"] == pytest.approx(1)
    row = only(frame, "mean cumulative", "mean difference")
    assert (row["value_exposed"], row["value_comparator"]) == (pytest.approx(4), pytest.approx(0.1))
    assert row["p_value"] > 0.2  # one person's forty say little: independent events would say much


# --- against lifelines ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> EventRows:
    return rows(some(70, 4), some(90, 5, rate=1.2))


def test_hazard_ratios_are_those_of_lifelines(drawn: EventRows) -> None:
    from lifelines import CoxPHFitter

    frame = every_row(drawn)
    for cause, name in ((1, "Visits"), (2, DEAD)):
        table = pd.DataFrame({"x": drawn.exposed * 1.0, "t": drawn.exit, "e": drawn.cause == cause})
        fit = CoxPHFitter().fit(table, "t", "e")
        row = only(frame, "cause-specific", "hazard ratio", name)
        assert row["estimate"] == pytest.approx(float(np.exp(fit.params_["x"])), rel=1e-5)
        assert row["std_error"] == pytest.approx(float(fit.standard_errors_["x"]), rel=1e-5)
        assert row["p_value"] == pytest.approx(float(fit.summary.loc["x", "p"]), rel=1e-4)


def test_without_loss_fine_and_gray_is_a_cox_model_in_which_the_dead_stay() -> None:
    from lifelines import CoxPHFitter

    of = rows(WATCHED, WATCHED_0)
    stay = np.where(of.cause == 2, 101.0, of.exit)
    fit = CoxPHFitter().fit(pd.DataFrame({"x": of.exposed * 1.0, "t": stay, "e": of.cause == 1}), "t", "e")
    row = only(every_row(of), "subdistribution", "hazard ratio")
    assert len(set(of.exit[of.cause == 1])) == (of.cause == 1).sum()  # no ties, whose rules differ
    assert row["estimate"] == pytest.approx(float(np.exp(fit.params_["x"])), rel=1e-5)


def test_log_rank_tests_and_the_wrong_curve_are_those_of_lifelines(drawn: EventRows) -> None:
    from lifelines import KaplanMeierFitter
    from lifelines.statistics import logrank_test

    frame = every_row(drawn)
    one, zero = drawn.arm(True), drawn.arm(False)
    for cause, name in ((1, "Visits"), (2, DEAD)):
        found = logrank_test(
            drawn.exit[one], drawn.exit[zero], drawn.cause[one] == cause, drawn.cause[zero] == cause
        )  # fmt: skip
        row = only(frame, "Log-rank", "chi-squared", name)
        assert row["estimate"] == pytest.approx(found.test_statistic)
        assert row["p_value"] == pytest.approx(found.p_value)
    row = only(frame, "1 - Kaplan", "risk difference")
    for arm, name in ((one, "exposed"), (zero, "comparator")):
        curve = KaplanMeierFitter().fit(drawn.exit[arm], drawn.cause[arm] == 1)
        assert row[f"value_{name}"] == pytest.approx(1000 * (1 - float(curve.predict(100))))


# --- weights and clusters -------------------------------------------------------------------------


def repeated(of: EventRows, times: np.ndarray) -> EventRows:
    """Each row as often as `times` says, as persons of their own."""
    keep = np.repeat(np.arange(len(of)), times)
    events = [np.flatnonzero(of.event_row == old) for old in keep]
    each = ("exposed", "exit", "cause", "end", "died", "index_date", "born")
    plain = {name: getattr(of, name)[keep] for name in each}
    return replace(
        of, **plain, weights=np.ones(len(keep)), cluster=np.arange(len(keep)),
        event_row=np.repeat(np.arange(len(keep)), [len(found) for found in events]),
        event_day=of.event_day[np.concatenate(events)],
    )  # fmt: skip


def test_whole_weights_give_what_so_many_persons_give(drawn: EventRows) -> None:
    times = np.random.default_rng(2).integers(1, 4, len(drawn))
    weighted = every_row(replace(drawn, weights=times * 1.0, adjustment="weight att"))
    weighted = weighted[~weighted["method"].str.startswith("Weighted")].reset_index(drop=True)
    many = every_row(repeated(drawn, times))
    # Other tests take no weights, a dispersion is of persons, and Efron's rule sees ties among the copies.
    same = ~weighted["method"].str.contains("test|negative|Cox")
    for column in ("value_exposed", "value_comparator", "estimate"):
        np.testing.assert_allclose(weighted.loc[same, column], many.loc[same, column], rtol=1e-6)
    kinds = weighted.loc[same, "se_kind"].dropna()
    assert kinds.str.contains("clusters: person, weights taken as known").all()


def test_tests_are_without_weights_and_say_so(drawn: EventRows) -> None:
    plain = every_row(drawn)
    weighted = every_row(replace(drawn, weights=np.where(drawn.exposed, 1.0, 0.5), adjustment="weight att"))
    for method in ("Log-rank", "Gray"):
        one, other = (only(frame, method, "chi-squared") for frame in (plain, weighted))
        assert one["estimate"] == other["estimate"] and other["adjustment"] == "crude"


def test_matched_sets_are_clusters_across_the_arms() -> None:
    # Ten pairs, watched to the end: the error of a difference is that of the differences within pairs.
    one = [One(100, events=(10 + i,) * (i < 5)) for i in range(10)]
    zero = [One(100, events=tuple(range(20, 20 + k))) for k in (1, 2, 1, 0, 0, 3, 0, 0, 1, 0)]
    alone = [One(100, events=(3,))]
    pairs = np.array([*range(10), *range(10), -1])
    of = rows(one, [*zero, *alone], cluster=pairs, weights=np.r_[np.ones(20), 0.0], cluster_name="matched set",
              adjustment="match 1:1")  # fmt: skip
    assert not of.plain
    frame = every_row(of)
    y = of.count.astype(float)
    for method, scale, value, per in (
        ("Aalen", "risk difference", np.minimum(y, 1), 1000), ("mean cumulative", "mean difference", y, 1),
    ):  # fmt: skip
        row, gap = only(frame, method, scale), value[:10] - value[10:20]
        assert row["estimate"] == pytest.approx(per * gap.mean())
        assert row["std_error"] == pytest.approx(per * gap.std() / np.sqrt(10))
        assert row["se_kind"] == "robust, clusters: matched set, weights taken as known"
        assert (row["n_exposed"], row["n_comparator"]) == (10, 10)  # the one without a match is in no arm
    assert only(frame, "Log-rank", "chi-squared")["adjustment"] == "match 1:1, without weights"


# --- a window that does not begin on day 1 -----------------------------------------------------------


def test_a_later_window_changes_person_time_and_no_ratio() -> None:
    late = [replace_days(one, 30) for one in some(40, 8)], [replace_days(one, 30) for one in some(50, 9)]
    plain, moved = every_row(rows(some(40, 8), some(50, 9)), 50, 100), every_row(rows(*late, 130, since=30.0), 80, 130)
    for column in ("value_exposed", "estimate", "conf_low", "p_value", "person_days_exposed", "events_exposed"):
        np.testing.assert_allclose(
            moved[column].to_numpy(dtype=float), plain[column].to_numpy(dtype=float), rtol=1e-9, atol=1e-12
        )
    assert moved["period"].tolist() == ["to day 80" if p == "to day 50" else "to day 130" for p in plain["period"]]


def replace_days(one: One, by: int) -> One:
    return One(one.end + by, one.dies, tuple(day + by for day in one.events))


def test_an_event_on_the_index_day_is_counted_where_the_window_holds_it() -> None:
    of = rows([One(100, events=(0,)), *[One(100)] * 3], [One(100, events=(9,)), *[One(100)] * 3], since=-1.0)
    row = only(every_row(of), "Aalen", "risk difference")
    assert (row["n_exposed"], row["events_exposed"], row["value_exposed"]) == (4, 1, pytest.approx(250))


# --- edges ---------------------------------------------------------------------------------------------


def test_no_events_in_an_arm() -> None:
    frame = every_row(rows([One(100)] * 12, WATCHED_0))
    gap = only(frame, "Aalen", "risk difference")
    assert gap["estimate"] == pytest.approx(-400) and "its 0 is taken as certain" in gap["note"]
    for method, scale in (
        ("Aalen", "risk ratio"), ("restricted", "mean ratio"), ("mean cumulative", "mean ratio"),
        ("cause-specific", "hazard ratio"), ("subdistribution", "hazard ratio"),
        ("rate ratio, quasi", "rate ratio"), ("rate ratio, negative", "rate ratio"),
    ):  # fmt: skip
        row = only(frame, method, scale)
        assert np.isnan(row["estimate"]) and row["note"], method
        assert np.isnan(row["conf_low"]) or method == "cause-specific"
    cox, test = only(frame, "cause-specific", "hazard ratio"), only(frame, "Log-rank", "chi-squared")
    assert "the limit is of the profile likelihood, P of the score test" in cox["note"]
    # The comparators' visits one by one: r at which prod over them of (those at risk of either arm) has risen by 1.92.
    of = rows([One(100)] * 12, WATCHED_0)
    zero = ~of.exposed
    days = np.sort(of.exit[zero & (of.cause == 1)])
    assert len(np.unique(days)) == len(days)
    left = np.array([(of.exit[zero] >= day).sum() for day in days])
    limit = brentq(lambda r: np.log1p(12 * r / left).sum() - Z**2 / 2, 0, 100, xtol=1e-13)
    assert cox["conf_low"] == 0 and cox["conf_high"] == pytest.approx(limit, rel=1e-7)
    assert cox["p_value"] == pytest.approx(test["p_value"], rel=0.05)  # the same test but for ties
    assert only(frame, "Gray", "chi-squared")["p_value"] < 0.05


def test_no_events_in_an_arm_of_a_weighted_comparison() -> None:
    of = rows([One(100)] * 12, WATCHED_0)
    frame = every_row(replace(of, weights=np.where(of.exposed, 1.0, 0.7), adjustment="weight att"))
    cox = only(frame, "cause-specific", "hazard ratio")
    assert np.isnan([cox["estimate"], cox["conf_high"], cox["p_value"]]).all()
    assert "no likelihood to take a limit from; see the weighted log-rank test" in cox["note"]
    test = only(frame, "Weighted log-rank", "chi-squared")
    # By hand: each of the comparators' visits, 12 exposed beside n0 comparators of weight 0.7, expects
    # 0.7 x 12 / (12 + 0.7 n0) among the exposed, who have none; the error is of the persons' own parts of it.
    zero = ~of.exposed
    days = np.sort(of.exit[zero & (of.cause == 1)])
    share = np.array([12 / (12 + 0.7 * (of.exit[zero] >= day).sum()) for day in days])
    rate = 0.7 * share / 12
    parts = [-np.sum(rate * (1 - share))] * 12
    for day, had in zip(of.exit[zero], of.cause[zero] == 1, strict=True):
        own = share[days == day].sum() if had else 0.0
        parts.append(0.7 * (-own + np.sum((rate * share)[days <= day])))
    assert test["estimate"] == pytest.approx(np.sum(parts) ** 2 / np.sum(np.square(parts)))
    assert test["adjustment"] == "weight att" and "clusters: person" in test["se_kind"]
    assert frame["method"].str.startswith("Weighted").sum() == 2, "one of each cause"
    assert not every_row(of)["method"].str.startswith("Weighted").any()


def test_no_events_at_all() -> None:
    frame = every_row(rows([One(100)] * 5, [*[One(100)] * 5, One(30, dies=True)]))
    own = frame[frame["measure"] == "Visits"]
    differences = own["scale"].str.endswith("difference")
    assert (own.loc[differences, "estimate"] == 0).all()
    assert own.loc[~differences, "estimate"].isna().all() and own["note"].notna().all()


def test_nobody_dies() -> None:
    living = [[One(one.end, False, one.events) for one in some(30, seed)] for seed in (1, 2)]
    frame = every_row(rows(*living))
    right, wrong = only(frame, "Aalen", "risk difference"), only(frame, "1 - Kaplan", "risk difference")
    assert wrong["estimate"] == pytest.approx(right["estimate"])  # with nothing to compete, both are the same
    cox, fine = only(frame, "cause-specific", "hazard ratio"), only(frame, "subdistribution", "hazard ratio")
    assert fine["estimate"] == pytest.approx(cox["estimate"], rel=0.05)  # but for the rule of ties
    died = frame[frame["measure"] == DEAD]
    assert (died.loc[died["scale"] == "risk difference", "estimate"] == 0).all()
    assert died.loc[died["scale"] == "hazard ratio", "estimate"].isna().all()


def test_everybody_dies_first() -> None:
    frame = every_row(rows([One(day, dies=True) for day in (5, 10, 20)], [One(day, dies=True) for day in (4, 8, 30)]))
    row = only(frame, "Aalen", "risk difference")
    assert (row["value_exposed"], row["value_comparator"], row["estimate"]) == (0, 0, 0)
    died = only(frame, "Aalen", "risk difference", DEAD)
    assert (died["value_exposed"], died["estimate"]) == (pytest.approx(1000), pytest.approx(0))
    assert "no standard error" in died["note"] and np.isnan(died["std_error"])
    # Nobody is left to whom anything could happen, so the horizon is known: 100 less the mean day of death.
    lost = only(frame, "restricted", "mean difference", DEAD)
    assert lost["value_exposed"] == pytest.approx(100 - 35 / 3)
    assert only(frame, "mean cumulative", "mean difference")["estimate"] == 0


def test_death_as_the_outcome() -> None:
    of = rows(some(40, 1), some(40, 2))
    itself = replace(
        of, death="", event="Death", cause=np.where(of.died, 1, 0), exit=of.end, event_row=np.flatnonzero(of.died),
        event_day=of.end[of.died],
    )  # fmt: skip
    frame = every_row(itself)
    assert set(frame["measure"]) == {"Death"}
    methods = set(frame["method"])
    assert methods == {
        "Aalen-Johansen", "restricted mean time lost", "cause-specific hazard ratio (Cox)",
        "Log-rank test (cause-specific hazard)", "rate of first events",
        "standardised by calendar year and age to the person-time of both arms",
        "Mantel-Haenszel over calendar year and age",
    }  # fmt: skip
    from lifelines import KaplanMeierFitter

    row = only(frame, "Aalen", "risk difference", "Death")
    curve = KaplanMeierFitter().fit(itself.exit[itself.arm(True)], itself.cause[itself.arm(True)] == 1)
    assert row["value_exposed"] == pytest.approx(1000 * (1 - float(curve.predict(100))))


def test_a_horizon_past_all_follow_up() -> None:
    of = rows([One(50, events=(5,)), One(50)], [One(100, events=(7,)), One(100)])
    frame = every_row(of, 40, 100)
    known = only(frame, "Aalen", "risk difference", period="to day 40")
    assert known["estimate"] == pytest.approx(0)
    for method, scale in (
        ("Aalen", "risk difference"), ("1 - Kaplan", "risk difference"), ("mean cumulative", "mean ratio"),
    ):  # fmt: skip
        row = only(frame, method, scale, period="to day 100")
        assert np.isnan(row["value_exposed"]) and not np.isnan(row["value_comparator"]), method
        assert np.isnan(row["estimate"])
    row = only(frame, "restricted", "mean difference")
    assert np.isnan(row["estimate"]) and row["note"] == "nobody is followed to day 100 in the arm Programme"
    assert not frame["note"].dropna().str.contains("50").any()  # how far follow-up went may be one person's


def test_an_arm_that_nobody_was_followed_in() -> None:
    frame = every_row(rows([One(0), One(0)], WATCHED_0))
    assert frame["estimate"].isna().all()
    told = frame.loc[~frame["method"].str.startswith("1 - "), "note"]
    assert set(told) == {"nobody was followed in the arm Programme"}
    assert set(frame["n_exposed"]) == {0}


@pytest.mark.parametrize("n", [1, 2])
def test_very_few_persons_give_rows_and_no_crash(n: int) -> None:
    frame = every_row(rows([One(100, events=(3, 9))] * n, [One(40, dies=True)] * n))
    assert (frame["estimate"].notna() | frame["note"].notna()).all()


# --- properties ------------------------------------------------------------------------------------------

PERSON = st.builds(
    lambda end, dies, events: One(end, dies and end < 100, tuple(sorted(min(day, end) for day in events))),
    st.integers(1, 100), st.booleans(), st.lists(st.integers(1, 100), max_size=3),
)  # fmt: skip
ARM = st.lists(PERSON, min_size=1, max_size=12)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ARM, ARM, st.randoms(use_true_random=False))
def test_any_arms_give_estimates_or_notes_whatever_the_order(exposed: Any, comparator: Any, draw: Any) -> None:
    frame = every_row(rows(exposed, comparator), 30, 100)  # the schema refuses a gap without a note
    assert not np.isinf(frame["estimate"]).any()
    inside = frame["method"].eq("Aalen-Johansen")
    assert frame.loc[inside, "value_exposed"].dropna().between(0, 1000.0000001).all()
    shuffled = rows(draw.sample(exposed, len(exposed)), draw.sample(comparator, len(comparator)))
    again = every_row(shuffled, 30, 100)
    for column in ("value_exposed", "value_comparator", "estimate", "std_error"):
        np.testing.assert_allclose(again[column], frame[column], rtol=1e-6, atol=1e-9)
    assert again["note"].fillna("").tolist() == frame["note"].fillna("").tolist()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(ARM, ARM)
def test_arms_exchanged_turn_every_difference_round(exposed: Any, comparator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = (made.risk_rows(rows(*arms), (60.0,)) for arms in ((exposed, comparator), (comparator, exposed)))
    for a, b in zip(one, other, strict=True):
        if a["scale"] == "risk difference":
            np.testing.assert_allclose(a["estimate"], -b["estimate"], atol=1e-9)
            assert a["value_exposed"] == b["value_comparator"] or np.isnan(a["value_exposed"])
