"""Effects of one measure on every scale, against formulas written out by hand, and where there is no answer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import DAYS_A_YEAR
from clinops.analyse.effects import MAIN, RELATIVE, SCALES
from clinops.define.measures import Measure
from clinops.define.protocol import Adjustment
from clinops.errors import DataError
from tests.analyse.support import ANY, COST, COUNT, HOME, TIME, VALUE, arms, crude, dataset, nothing, rows

Z = 1.959963984540054
ARM = arms(4, 5)
OUTCOMES = [ANY, COUNT, TIME, COST, HOME, VALUE]


def known(*weights: float) -> Adjusted:
    """Weights taken as given, each row its own cluster, as matching leaves them."""
    made = np.array(weights, dtype=float)
    return Adjusted(co.match(), made, np.arange(len(made)), "person", estimand="average effect in the exposed (ATT)")


def cr1(n: int, clusters: int | None = None) -> float:
    """The small-sample factor G/(G-1) (n-1)/(n-2) of a variance clustered on G units."""
    groups = clusters or n
    return groups / (groups - 1) * (n - 1) / (n - 2)


def assert_interval(row: dict[str, Any], estimate: float, se: float, *, ratio: bool = False) -> None:
    """A Wald interval on the estimate's own scale, on the log scale for a ratio (whose error is stated there)."""
    assert row["std_error"] == pytest.approx(se, rel=1e-10)
    assert row["estimate"] == pytest.approx(estimate, rel=1e-10)
    low, high = (estimate * math.exp(z * se) if ratio else estimate + z * se for z in (-Z, Z))
    assert (row["conf_low"], row["conf_high"]) == pytest.approx((low, high), rel=1e-9)
    z = abs(math.log(estimate) if ratio else estimate) / se
    assert row["p_value"] == pytest.approx(math.erfc(z / math.sqrt(2)), rel=1e-9)


def test_risk_per_1000_with_its_variance() -> None:
    made = rows(dataset(ARM, outcomes={ANY: ([1, 1, 0, 0, 1, 0, 0, 0, 0], 365)}), ANY)
    p, q = 2 / 4, 1 / 5
    variance = p * (1 - p) / 4 + q * (1 - q) / 5
    row = made["risk difference"]
    assert (row["value_exposed"], row["value_comparator"], row["unit"]) == (
        500,
        pytest.approx(200),
        "per 1,000 persons",
    )
    assert_interval(row, 1000 * (p - q), 1000 * math.sqrt(variance * cr1(9)))
    log_variance = (1 - p) / (4 * p) + (1 - q) / (5 * q)
    assert_interval(made["risk ratio"], p / q, math.sqrt(log_variance * cr1(9)), ratio=True)
    assert (row["n_exposed"], row["n_comparator"], row["events_exposed"], row["events_comparator"]) == (4, 5, 2, 1)
    assert (row["person_days_exposed"], row["person_days_comparator"]) == (4 * 365, 5 * 365)


def test_rates_use_the_exact_person_time() -> None:
    counts, days = [3, 0, 1, 0, 1, 0, 0, 2, 0], [365, 100, 200, 365, 365, 365, 31, 365, 1]
    made = rows(dataset(ARM, outcomes={COUNT: (counts, days)}), COUNT)
    y, t = np.array(counts, float), np.array(days) / DAYS_A_YEAR
    rate = y[:4].sum() / t[:4].sum(), y[4:].sum() / t[4:].sum()
    # the variance of a ratio of sums: squared residuals over the squared person-time
    own = [((y[i] - r * t[i]) ** 2).sum() / t[i].sum() ** 2 for i, r in ((slice(4), rate[0]), (slice(4, 9), rate[1]))]
    row = made["rate difference"]
    assert row["value_exposed"] == pytest.approx(1000 * 4 / (1030 / 365.25))
    assert row["unit"] == "per 1,000 person-years"
    assert_interval(row, 1000 * (rate[0] - rate[1]), 1000 * math.sqrt(sum(own) * cr1(9)))
    log_error = math.sqrt((own[0] / rate[0] ** 2 + own[1] / rate[1] ** 2) * cr1(9))
    assert_interval(made["rate ratio"], rate[0] / rate[1], log_error, ratio=True)
    assert row["events_exposed"] == 4


def test_cost_per_person_and_per_member_month() -> None:
    cost, months = [100.0, 0, 50, 250, 10, 0, 0, 40, 30], [12.0, 12, 1.5, 12, 12, 12, 0.5, 12, 12]
    made = rows(dataset(ARM, outcomes={COST: (cost, 365)}), COST, months=np.array(months))
    y, t = np.array(cost), np.array(months)
    means = y[:4].mean(), y[4:].mean()
    spread = y[:4].var() / 4 + y[4:].var() / 5
    assert_interval(made["mean difference"], means[0] - means[1], math.sqrt(spread * cr1(9)))
    relative = y[:4].var() / 4 / means[0] ** 2 + y[4:].var() / 5 / means[1] ** 2
    assert_interval(made["mean ratio"], means[0] / means[1], math.sqrt(relative * cr1(9)), ratio=True)
    pmpm = 400 / 37.5, 80 / 48.5
    own = [((y[i] - r * t[i]) ** 2).sum() / t[i].sum() ** 2 for i, r in ((slice(4), pmpm[0]), (slice(4, 9), pmpm[1]))]
    assert_interval(made["PMPM difference"], pmpm[0] - pmpm[1], math.sqrt(sum(own) * cr1(9)))
    assert made["PMPM difference"]["unit"] == "currency per member-month"
    assert made["mean difference"]["category"] == "total"
    assert "events_exposed" not in made["mean difference"]


def test_member_months_default_to_person_days() -> None:
    made = rows(dataset(ARM, outcomes={COST: ([5.0] * 8 + [7], [365] * 9)}), COST)
    assert made["PMPM difference"]["value_exposed"] == pytest.approx(5 / (365 / (365.25 / 12)))


@pytest.mark.parametrize("measure", [HOME, VALUE])
def test_means(measure: Measure) -> None:
    values = [360.0, 350, 365, 300, 365, 365, 364, 200, 361]
    made = rows(dataset(ARM, outcomes={measure: (values, 365)}), measure)
    y = np.array(values)
    assert_interval(
        made["mean difference"],
        y[:4].mean() - y[4:].mean(),
        math.sqrt((y[:4].var() / 4 + y[4:].var() / 5) * cr1(9)),
    )


def test_days_at_home_of_the_time_observed() -> None:
    """The mean blames an arm for leaving the records early; the rate does not."""
    home, days = [360.0, 180, 365, 90, 365, 365, 360, 300, 361], [365, 182, 365, 90, 365, 365, 365, 365, 365]
    row = rows(dataset(ARM, outcomes={HOME: (home, days)}), HOME)["rate difference"]
    assert row["unit"] == "days per person-year"
    assert row["value_exposed"] == pytest.approx(995 / (1002 / 365.25))
    assert row["value_comparator"] == pytest.approx(1751 / (5 * 365 / 365.25))
    y, t = np.array(home), np.array(days) / DAYS_A_YEAR
    own = [((y[i] - y[i].sum() / t[i].sum() * t[i]) ** 2).sum() / t[i].sum() ** 2 for i in (slice(4), slice(4, 9))]
    assert_interval(row, 995 / (1002 / 365.25) - 1751 / (1825 / 365.25), math.sqrt(sum(own) * cr1(9)))


def test_weights_are_hajek_means_with_the_weighted_sandwich() -> None:
    weights = np.array([1.0, 1, 1, 1, 0.2, 3, 0.5, 1.3, 2])
    y = np.array([1.0, 1, 0, 0, 1, 0, 0, 1, 0])
    made = rows(dataset(ARM, outcomes={ANY: (y, 365)}), ANY, known(*weights))
    mean = np.average(y[:4]), np.average(y[4:], weights=weights[4:])
    variance = sum(
        ((w * (v - m)) ** 2).sum() / w.sum() ** 2
        for w, v, m in ((weights[:4], y[:4], mean[0]), (weights[4:], y[4:], mean[1]))
    )
    row = made["risk difference"]
    assert_interval(row, 1000 * (mean[0] - mean[1]), 1000 * math.sqrt(variance * cr1(9)))
    assert row["se_kind"] == "weights taken as known, CR1 clustered (9 clusters: person)"
    assert row["events_comparator"] == 2  # counts are of persons, without weights


def test_rows_without_weight_are_not_counted() -> None:
    y = [1, 0, 1, 1, 1, 0, 0, 0, 1]
    made = rows(dataset(ARM, outcomes={ANY: (y, 365)}), ANY, known(1, 1, 0, 0, 1, 1, 0, 1, 0))
    row = made["risk difference"]
    assert (row["n_exposed"], row["n_comparator"], row["events_exposed"], row["events_comparator"]) == (2, 3, 1, 1)
    assert row["person_days_exposed"] == 730
    assert row["estimate"] == pytest.approx(1000 * (1 / 2 - 1 / 3))


def test_a_person_who_entered_twice_is_one_cluster() -> None:
    # Every row twice under one person id: the error is that of half the rows, but for (n-1)/(n-2).
    y = [1, 1, 0, 0, 1, 0, 0, 0, 0]
    once = rows(dataset(ARM, outcomes={ANY: (y, 365)}), ANY)["risk difference"]
    twice = rows(dataset(ARM * 2, outcomes={ANY: (y * 2, 365)}, person=[*range(9)] * 2), ANY)["risk difference"]
    alone = rows(dataset(ARM * 2, outcomes={ANY: (y * 2, 365)}), ANY)["risk difference"]
    assert twice["estimate"] == pytest.approx(once["estimate"])
    assert twice["std_error"] == pytest.approx(once["std_error"] * math.sqrt(cr1(18, 9) / cr1(9)))
    assert alone["std_error"] == pytest.approx(once["std_error"] * math.sqrt(cr1(18) / cr1(9) / 2))
    assert twice["se_kind"] == "CR1 clustered (9 clusters: person)"


def test_a_person_in_both_arms_cancels_what_is_their_own() -> None:
    # Five persons in both arms, each with the same cost in both: the difference is 0 for certain of their own level.
    cost = [10.0, 20, 30, 40, 50]
    data = dataset(
        arms(5, 5), outcomes={COST: (cost + [c + 1 + c % 20 / 100 for c in cost], 365)}, person=[*range(5)] * 2
    )
    both = rows(data, COST)["mean difference"]
    difference = np.array([1 + c % 20 / 100 for c in cost])
    # the influence of a person is the difference of their two residuals over 5
    expected = math.sqrt(difference.var() / 5 * cr1(10, 5))
    assert_interval(both, -difference.mean(), expected)


def test_care_sites_as_clusters_reach_the_error() -> None:
    y = np.array([1.0, 1, 0, 0, 1, 0, 0, 0, 0])
    site: list[int | None] = [1, 1, 2, 2, 1, 3, 3, None, None]
    data = dataset(ARM, outcomes={ANY: (y, 365)}, site=site)
    row = rows(data, ANY, crude(data, "care site"))["risk difference"]
    residual = np.where(np.arange(9) < 4, (y - 0.5) / 4, -(y - 0.2) / 5)
    groups = [[0, 1, 4], [2, 3], [5, 6], [7], [8]]  # a row without a site is a cluster of its own
    variance = sum(residual[g].sum() ** 2 for g in groups)
    assert_interval(row, 300, 1000 * math.sqrt(variance * cr1(9, 5)))
    assert row["se_kind"] == "CR1 clustered (5 clusters: care site)"
    assert "Only 5 clusters" in row["note"]


def test_one_cluster_gives_no_error() -> None:
    data = dataset(ARM, outcomes={ANY: ([1, 1, 0, 0, 1, 0, 0, 0, 0], 365)}, site=[7] * 9)
    row = rows(data, ANY, crude(data, "care site"))["risk difference"]
    assert row["estimate"] == pytest.approx(300)
    assert nothing(row["std_error"])
    assert nothing(row["conf_low"])
    assert "1 cluster(s) give no standard error" in row["note"]


# --- where there is no answer -------------------------------------------------------------------


@pytest.mark.parametrize("measure", [ANY, COUNT])
def test_no_events_at_all(measure: Measure) -> None:
    made = rows(dataset(ARM, outcomes={measure: (np.zeros(9), 365)}), measure)
    difference, ratio = made[MAIN[measure.measure]], made[RELATIVE[measure.measure]]
    assert difference["estimate"] == 0
    assert nothing(difference["std_error"])
    assert "No events in the exposed arm" in difference["note"]
    assert "No events in the comparator arm" in difference["note"]
    assert nothing(ratio["estimate"])
    assert "A ratio needs a value above 0 in both arms" in ratio["note"]


@pytest.mark.parametrize("measure", [ANY, COUNT])
def test_no_events_in_one_arm(measure: Measure) -> None:
    made = rows(dataset(ARM, outcomes={measure: ([0, 0, 0, 0, 1, 0, 0, 0, 1], 365)}), measure)
    difference, ratio = made[MAIN[measure.measure]], made[RELATIVE[measure.measure]]
    assert difference["estimate"] == pytest.approx(-400 if measure is ANY else -400 * 365.25 / 365)
    assert difference["std_error"] > 0
    assert "its 0 is taken as certain" in difference["note"]
    assert nothing(ratio["estimate"])
    assert nothing(ratio["conf_low"])


def test_everybody_has_the_event() -> None:
    made = rows(dataset(ARM, outcomes={ANY: (np.ones(9), 365)}), ANY)
    for scale, no_effect in (("risk difference", 0), ("risk ratio", 1)):
        assert made[scale]["estimate"] == no_effect
        assert nothing(made[scale]["std_error"])
        assert "does not vary in the exposed arm" in made[scale]["note"]


def test_everybody_of_one_arm_has_the_event() -> None:
    row = rows(dataset(ARM, outcomes={ANY: ([1, 1, 1, 1, 1, 0, 0, 0, 0], 365)}), ANY)["risk difference"]
    assert_interval(row, 800, 1000 * math.sqrt(0.2 * 0.8 / 5 * cr1(9)))
    assert "does not vary in the exposed arm" in row["note"]


@pytest.mark.parametrize("measure", [COST, HOME, VALUE])
@pytest.mark.parametrize("level", [0.0, 12.5])
def test_zero_variance(measure: Measure, level: float) -> None:
    made = rows(dataset(ARM, outcomes={measure: (np.full(9, level), 365)}), measure)
    assert made["mean difference"]["estimate"] == 0
    assert nothing(made["mean difference"]["std_error"])
    assert made["mean difference"]["note"]
    assert nothing(made["mean ratio"]["estimate"]) == (level == 0)


def test_negative_net_costs_have_no_ratio() -> None:
    made = rows(dataset(ARM, outcomes={COST: ([-5.0, -1, 0, 0, 1, 2, 3, 4, 5], 365)}), COST)
    assert made["mean difference"]["estimate"] == pytest.approx(-4.5)
    assert nothing(made["mean ratio"]["estimate"])
    assert made["mean ratio"]["note"]


def test_nobody_watched_for_a_day_has_no_rate() -> None:
    made = rows(dataset(ARM, outcomes={COUNT: (np.zeros(9), [0, 0, 0, 0, 365, 365, 365, 365, 365])}), COUNT)
    row = made["rate difference"]
    assert nothing(row["estimate"])
    assert "no person-time" in row["note"]
    assert row["person_days_exposed"] == 0


def test_missing_values_are_left_out_counted_and_said() -> None:
    values = [7.0, np.nan, 8, 9, 6, 5, np.nan, np.nan, 7]
    row = rows(dataset(ARM, outcomes={VALUE: (values, 365)}), VALUE)["mean difference"]
    y = np.array([7.0, 8, 9, 6, 5, 7])
    assert_interval(row, 8 - 6, math.sqrt((y[:3].var() / 3 + y[3:].var() / 3) * cr1(6)))
    assert (row["n_exposed"], row["n_comparator"]) == (3, 3)
    assert row["person_days_comparator"] == 3 * 365
    assert "rows without a value were left out" in row["note"]


@pytest.mark.parametrize(
    "values",
    [[np.nan] * 9, [np.nan] * 4 + [1.0, 2, 3, 4, 5], [1.0, 2, 3, 4] + [np.nan] * 5],
    ids=["all", "exposed", "comparator"],
)
def test_an_arm_without_values(values: list[float]) -> None:
    made = rows(dataset(ARM, outcomes={VALUE: (values, 365)}), VALUE)
    for row in made.values():
        assert nothing(row["estimate"])
        assert "arm is empty" in row["note"]


@pytest.mark.parametrize("exposed", [1, 4])
def test_one_person_in_an_arm_has_no_error(exposed: int) -> None:
    n = exposed + 1
    row = rows(dataset(arms(exposed, 1), outcomes={COST: (np.arange(1.0, n + 1), 365)}), COST)["mean difference"]
    assert math.isfinite(row["estimate"])
    assert nothing(row["std_error"])
    assert "one person" in row["note"]


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_every_scale_has_a_row_that_the_schema_takes_whatever_the_values(data: st.DataObject) -> None:
    """Nothing crashes, warns or vanishes: there is a row for each scale, with an estimate or a note."""
    measure = data.draw(st.sampled_from(OUTCOMES))
    n = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    size = sum(n)
    numbers = {"any": st.integers(0, 1), "time to": st.integers(0, 1), "count": st.integers(0, 3)}.get(
        measure.measure, st.sampled_from([0.0, 1.0, 2.5, -3.0, float("nan")])
    )
    values = data.draw(st.lists(numbers, min_size=size, max_size=size))
    days = data.draw(st.lists(st.sampled_from([0, 1, 30, 365]), min_size=size, max_size=size))
    person = data.draw(st.lists(st.integers(1, 4), min_size=size, max_size=size))
    weights = data.draw(st.one_of(st.none(), st.lists(st.sampled_from([0.0, 0.4, 1.0]), min_size=size, max_size=size)))
    made = dataset(arms(*n), outcomes={measure: (values, days)}, person=person)
    how = None if weights is None else known(*weights)
    found = rows(made, measure, how)
    wanted = {scale.name for scale in SCALES[measure.measure]}
    wanted |= {"risk difference", "risk ratio", "hazard ratio"} if measure.measure == "time to" else set()
    assert set(found) == wanted
    for row in found.values():
        assert nothing(row["estimate"]) <= bool(row["note"])
        assert nothing(row.get("std_error")) <= bool(row["note"])
        assert nothing(row.get("std_error")) or row["std_error"] > 0


def test_the_main_and_relative_scales_are_among_those_estimated() -> None:
    for measure in OUTCOMES:
        names = {scale.name for scale in SCALES[measure.measure]}
        names |= {"risk difference", "risk ratio", "hazard ratio"} if measure.measure == "time to" else set()
        assert {MAIN[measure.measure], RELATIVE[measure.measure]} <= names


def test_the_row_says_what_it_is_an_estimate_of() -> None:
    row = rows(dataset(ARM, outcomes={ANY: ([1, 1, 0, 0, 1, 0, 0, 0, 0], 365)}), ANY, level="women")["risk difference"]
    assert {key: row[key] for key in ("measure", "role", "period", "method", "adjustment", "level", "analysis")} == {
        "measure": "Any emergency visit", "role": "secondary", "period": "days 1 to 365", "method": "none",
        "adjustment": "crude", "level": "women", "analysis": "main",
    }  # fmt: skip
    assert row["estimand"] == "difference between the arms as they are"
    assert row["conf_level"] == 0.95


def test_outcomes_that_were_not_read_are_not_guessed() -> None:
    data = dataset(ARM)
    with pytest.raises(DataError, match="design stage"):
        rows(data, ANY)


def test_a_missing_value_takes_weights_as_known() -> None:
    """Weights of a score fitted on everybody are not re-estimated on those with a value, so the row says so."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=60)
    arm = (rng.random(60) < 0.5).astype(int).tolist()
    y = x + rng.normal(size=60)
    y[3] = np.nan
    covariate = co.value(co.events("measurement"), co.before(365), name="x")
    data = dataset(arm, {"x": x}, {VALUE: (y, 365)})
    row = rows(data, VALUE, adjust(data, (covariate,), Adjustment("weight")))["mean difference"]
    assert row["se_kind"].startswith("weights taken as known")
    assert "rows without a value" in row["note"]
