"""Each check in its three answers: passed, failed and not judged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.checks import design_check, e_values, follow_up_check, negative_control_check, summary
from clinops.analyse.effects import RELATIVE, effects
from clinops.analyse.estimates import main_rows
from clinops.define.findings import Finding, Findings
from clinops.define.measures import Measure
from clinops.results.result import Check
from tests.analyse.support import (
    ANY,
    COST,
    COUNT,
    DEATH,
    HOME,
    TIME,
    VISIT,
    YEAR,
    arms,
    crude,
    dataset,
    estimate_row,
    frame,
    nothing,
    protocol,
)

FLAW = Finding("late_covariate", "error", "A covariate is late.", "It is an effect.", "Move it.")
HINT = Finding("no_primary", "warning", "No primary outcome.", "Fishing.", "Name one.")


# --- design -------------------------------------------------------------------------------------


def test_a_sound_design_passes() -> None:
    found = design_check(Findings())
    assert (found.passed, found.observed) == (True, 0)
    assert found.sentence == "No design error; 0 warning(s)."


def test_a_warning_does_not_fail_the_design() -> None:
    found = design_check(Findings((HINT,)))
    assert found.passed is True
    assert "1 warning(s)" in found.sentence
    assert found.frame["rule"].tolist() == ["no_primary"]


def test_an_allowed_error_fails_the_design_by_name() -> None:
    found = design_check(Findings((replace(FLAW, allowed="Nothing else is recorded."),)))
    assert (found.passed, found.observed) == (False, 1)
    assert found.sentence == "1 design error(s) were allowed by name: late_covariate."


def test_an_error_fails_the_design() -> None:
    assert design_check(Findings((FLAW, HINT))).passed is False


# --- follow-up ----------------------------------------------------------------------------------


def watched(days: list[int], n: tuple[int, int], **changes: Any) -> Check:
    reasons = ["window" if d == 365 else "end of observation" for d in days]
    data = dataset(arms(*n), outcomes={}, observed_days=days, end_reason=reasons)
    assert data.outcomes is not None
    return follow_up_check(data, data.outcomes, protocol(**changes))


def test_arms_watched_alike() -> None:
    found = watched([365, 365, 365, 329], (2, 2))
    assert found.passed is True
    assert found.observed == pytest.approx(1 - (365 + 329) / 730)
    assert found.sentence == "The arms were observed for 100.0% and 95.1% of the window."
    assert found.frame["n"].tolist() == [2, 2]
    assert found.frame["end_window"].tolist() == [2, 1]
    assert found.frame["end_end of observation"].tolist() == [0, 1]


@pytest.mark.parametrize("days", [[365, 365, 365, 100], [10, 20, 365, 365]])
def test_an_arm_that_is_lost_sooner(days: list[int]) -> None:
    assert watched(days, (2, 2)).passed is False


def test_the_share_is_of_the_longest_where_the_window_has_no_end() -> None:
    endless = co.follow_up(co.days(1, None))
    found = watched([1000, 500, 500, 500], (2, 2), follow_up=endless)
    assert found.frame["share"].tolist() == [0.75, 0.5]
    assert found.passed is False


@pytest.mark.parametrize(("days", "n"), [([365, 365], (2, 0)), ([365, 365], (0, 2))])
def test_follow_up_with_an_empty_arm_is_not_judged(days: list[int], n: tuple[int, int]) -> None:
    found = watched(days, n)
    assert found.passed is None
    assert found.sentence.startswith("Not judged: an arm is empty")


def test_follow_up_of_nobody_is_not_judged() -> None:
    found = watched([0, 0, 0, 0], (2, 2), follow_up=co.follow_up(co.days(1, None)))
    assert found.passed is None
    assert watched([0, 0, 0, 0], (2, 2)).passed is True  # both were watched for no share of 365 days


# --- negative controls --------------------------------------------------------------------------

CONTROLS = tuple(
    co.any_of(co.events("condition", co.codes(name, code)), YEAR, name=name)
    for name, code in (("Injury", 1), ("Ear wax", 2), ("Cataract", 3))
)
HELD = protocol(negative_controls=CONTROLS)


def control_row(measure: Measure, p_value: float | None, scale: str = "risk ratio", **more: Any) -> dict[str, Any]:
    estimate = None if p_value is None else 1.1
    given = {"analysis": "negative control", "events_exposed": 20, "events_comparator": 30, "p_value": p_value}
    low, high = (None, None) if p_value is None else (0.9, 1.3)
    return estimate_row(measure, scale, estimate, low, high) | given | more


def controlled(*p_values: float | None) -> Check:
    made = [control_row(m, p) for m, p in zip(CONTROLS, p_values, strict=False)]
    return negative_control_check(frame(made), HELD)


@pytest.mark.parametrize(
    ("p_values", "passed", "threshold"),
    [
        ((0.5, 0.3, 0.017), True, 0.05 / 3), ((0.5, 0.3, 0.016), False, 0.05 / 3), ((0.04, 0.9), True, 0.025),
        ((0.02, 0.9), False, 0.025), ((0.051,), True, 0.05), ((0.049,), False, 0.05), ((0.02, None, 0.9), False, 0.025),
    ],
)  # fmt: skip
def test_controls_against_five_percent_over_their_number(
    p_values: tuple[float | None, ...], passed: bool, threshold: float
) -> None:
    found = controlled(*p_values)
    assert found.passed is passed
    assert found.threshold == pytest.approx(threshold)
    assert found.observed == min(p for p in p_values if p is not None)
    assert ("A single negative control says little." in found.notes) == (len(p_values) == 1)


@pytest.mark.parametrize("p_values", [(), (None,), (None, None, None)])
def test_controls_that_could_not_be_estimated_are_not_judged(p_values: tuple[None, ...]) -> None:
    found = controlled(*p_values)
    assert (found.passed, found.observed) == (None, None)
    assert found.sentence == "None of 3 negative controls could be judged."
    assert len(found.frame) == len(p_values)


def test_a_protocol_without_controls_is_not_judged() -> None:
    found = negative_control_check(frame([]), protocol())
    assert found.passed is None
    assert found.sentence == "The protocol names no negative control."


def test_a_control_without_events_in_one_arm_is_judged_by_its_difference() -> None:
    """50 of 100 against 0 of 100 has no ratio, and is no sign of sameness."""
    control = CONTROLS[0]
    data = dataset(arms(100, 100), outcomes={control: ([1, 0] * 50 + [0] * 100, 365)})
    how = protocol(negative_controls=(control,), adjust=co.crude())
    made = effects(data, how.negative_controls[0], crude(data), analysis="negative control")
    found = negative_control_check(frame(made), how)
    assert found.passed is False
    assert math.isnan(found.frame["adjusted"].iloc[0])
    assert found.frame["events_comparator"].tolist() == [0]


def test_only_negative_controls_are_judged() -> None:
    """An outcome's own effect is no sign of bias, whatever its name."""
    rows = [control_row(CONTROLS[0], 0.6), control_row(CONTROLS[0], 1e-9, analysis="main")]
    assert negative_control_check(frame(rows), HELD).passed is True


def test_the_crude_estimate_stands_beside_the_adjusted() -> None:
    rows = [
        control_row(CONTROLS[0], 0.6),
        control_row(CONTROLS[0], 0.001, adjustment="crude", estimate=1.9, conf_high=3),
    ]
    found = negative_control_check(frame(rows), HELD)
    assert found.frame.loc[0, ["crude", "adjusted"]].tolist() == [1.9, 1.1]
    assert found.passed is True


# --- E-values -----------------------------------------------------------------------------------


def rr(value: float) -> float:
    """VanderWeele and Ding 2017."""
    value = max(value, 1 / value)
    return value + math.sqrt(value * (value - 1))


def e_of(measure: Measure, *made: dict[str, Any], data: Any = None) -> dict[str, Any]:
    how = protocol(outcomes=(measure,))
    found = e_values(data or dataset(arms(1, 1), outcomes={measure: ([0, 0], 365)}), frame(made), how)
    assert found.passed is None
    row: dict[str, Any] = found.frame.iloc[0].to_dict()
    return row | {"sentence": found.sentence, "observed": found.observed}


@pytest.mark.parametrize(
    ("measure", "interval", "point", "limit"),
    [
        (ANY, (0.8, 0.71, 0.91), rr(0.8), rr(0.91)), (ANY, (2.0, 1.2, 3.0), rr(2), rr(1.2)),
        (ANY, (1.2, 0.9, 1.6), rr(1.2), 1), (COUNT, (0.5, 0.3, 0.7), rr(0.5), rr(0.7)), (ANY, (1.0, 0.9, 1.1), 1, 1),
    ],
)  # fmt: skip
def test_e_value_of_a_ratio(measure: Measure, interval: tuple[float, float, float], point: float, limit: float) -> None:
    row = e_of(measure, estimate_row(measure, RELATIVE[measure.measure], *interval))
    assert (row["e_value"], row["e_limit"]) == pytest.approx((point, limit))
    assert row["observed"] == pytest.approx(point)
    assert f"risk ratios of {point:.2f} with both exposure and outcome" in row["sentence"]


@pytest.mark.parametrize(("events", "rare"), [(29, True), (30, False)])
def test_e_value_of_a_hazard_ratio_depends_on_how_rare_the_event_is(events: int, rare: bool) -> None:
    more = {"events_exposed": events - 10, "events_comparator": 10}  # of 200 persons
    row = e_of(TIME, estimate_row(TIME, "hazard ratio", 0.6, 0.5, 0.9, **more))
    common = [(1 - 0.5 ** math.sqrt(x)) / (1 - 0.5 ** math.sqrt(1 / x)) for x in (0.6, 0.9)]
    point, limit = (0.6, 0.9) if rare else common
    assert (row["e_value"], row["e_limit"]) == pytest.approx((rr(point), rr(limit)))


def test_e_value_of_a_cost_is_by_standard_deviations() -> None:
    values = [0.0, 100, 200, 300, 400]
    data = dataset(arms(2, 3), outcomes={COST: (values, 365)})
    sd = np.std(values, ddof=1)
    made = (
        estimate_row(COST, "mean difference", -80, -150, -10, std_error=60),
        estimate_row(COST, "mean ratio", 0.7, 0.5, 0.95),
    )
    row = e_of(COST, *made, data=data)
    assert (row["scale"], row["estimate"], row["low"], row["high"]) == ("mean ratio", 0.7, 0.5, 0.95)
    assert row["e_value"] == pytest.approx(rr(math.exp(-0.91 * 80 / sd)))
    assert row["e_limit"] == pytest.approx(1)  # exp(0.91 d + 1.78 se) is above 1
    wide = e_of(COST, made[0] | {"std_error": 5}, made[1], data=data)
    assert wide["e_limit"] == pytest.approx(rr(math.exp(-0.91 * 80 / sd + 1.78 * 5 / sd)))


def test_a_cost_without_a_ratio_still_has_an_e_value() -> None:
    data = dataset(arms(2, 3), outcomes={COST: ([-5.0, 0, 5, 10, 20], 365)})
    row = e_of(COST, estimate_row(COST, "mean difference", -8, -15, -1, std_error=3), data=data)
    assert row["e_value"] > 1
    assert math.isnan(row["estimate"])


@pytest.mark.parametrize("values", [[7.0] * 4, [math.nan] * 4, [math.nan, math.nan, 3, math.nan]])
def test_an_outcome_without_spread_keeps_its_row(values: list[float]) -> None:
    data = dataset(arms(2, 2), outcomes={COST: (values, 365)})
    row = e_of(COST, estimate_row(COST, "mean difference", 0, 0, 0), data=data)
    assert math.isnan(row["e_value"])
    assert row["observed"] is None
    assert row["sentence"].startswith("No E-value")


@pytest.mark.parametrize("measure", [ANY, COUNT, TIME, COST, HOME])
def test_an_effect_that_could_not_be_estimated_keeps_its_row(measure: Measure) -> None:
    made = [estimate_row(measure, scale, None) for scale in {RELATIVE[measure.measure], "mean difference"}]
    for rows in (made, []):
        row = e_of(measure, *rows)
        assert math.isnan(row["e_value"])
        assert row["observed"] is None


def test_an_estimate_without_an_interval() -> None:
    row = e_of(ANY, estimate_row(ANY, "risk ratio", 2.0))
    assert row["e_value"] == pytest.approx(rr(2))
    assert math.isnan(row["e_limit"])
    assert row["sentence"].endswith("to explain the estimate; it has no interval.")


def test_the_primary_outcome_speaks_wherever_it_stands() -> None:
    how = protocol(outcomes=(replace(ANY, role="safety"), replace(COUNT, role="primary")))
    rows = [estimate_row(ANY, "risk ratio", 3.0, 2, 4), estimate_row(COUNT, "rate ratio", 0.5, 0.3, 0.7)]
    data = dataset(arms(1, 1), outcomes={ANY: ([0, 0], 365), COUNT: ([0, 0], 365)})
    found = e_values(data, frame(rows), how)
    assert found.frame["measure"].tolist() == [ANY.name, COUNT.name]
    assert found.observed == pytest.approx(rr(0.5))
    assert found.sentence.startswith(COUNT.name)
    nobody = e_values(data, frame(rows), protocol(outcomes=(ANY, COUNT)))
    assert nobody.observed == pytest.approx(rr(3))  # without a primary outcome, the first


def test_an_outcome_that_the_records_cannot_give_has_no_row() -> None:
    found = e_values(dataset(arms(1, 1), outcomes={}), frame([]), protocol())
    assert found.frame.empty
    assert found.observed is None


@pytest.mark.parametrize("measure", [ANY, COUNT, TIME, COST, HOME])
@pytest.mark.parametrize("level", ["none", "one arm", "all"])
def test_e_values_of_degenerate_outcomes_neither_warn_nor_crash(measure: Measure, level: str) -> None:
    values = {"none": [0.0] * 8, "one arm": [0.0] * 4 + [1.0, 0, 1, 0], "all": [1.0] * 8}[level]
    primary = replace(measure, role="primary")
    data = dataset(arms(4, 4), outcomes={primary: (values, 365)})
    how = protocol(outcomes=(primary,), adjust=co.crude())
    rows = main_rows(data, how, crude(data), lambda d, m: np.full(len(d), 12.0))
    found = e_values(data, frame(rows), how)
    assert len(found.frame) == 1
    assert nothing(found.observed) or float(str(found.observed)) >= 1


# --- summary ------------------------------------------------------------------------------------


def test_the_summary_has_every_check_and_counts_the_failed() -> None:
    made = [
        Check(name, f"{name}?", pd.DataFrame(), sentence=f"{name} was seen.", passed=passed, why="It matters.")
        for name, passed in (("one", True), ("two", False), ("three", None), ("four", False))
    ]
    for given in (made, iter(made)):
        found = summary(given)
        assert found.sentence == "2 of 4 checks failed."
        assert found.frame["verdict"].tolist() == ["✓ Passed", "✗ Failed", "○ Not judged", "✗ Failed"]
        assert found.frame["check"].tolist() == ["one?", "two?", "three?", "four?"]


def test_a_control_may_be_a_time_to_event_or_a_cost() -> None:
    wax = co.time_to(DEATH, YEAR, name="Ear wax")
    spent = co.cost("pharmacy", YEAR)
    visits = co.count(VISIT, YEAR, name="Visits")
    how = protocol(negative_controls=(wax, spent, visits), adjust=co.crude())
    rng = np.random.default_rng(2)
    event = (rng.random(40) < 0.5).astype(float)
    values = {
        wax: (event, np.where(event == 1, rng.integers(1, 365, 40), 365)), spent: (rng.exponential(50, 40), 365),
        visits: (rng.poisson(2, 40), 365),
    }  # fmt: skip
    data = dataset(arms(20, 20), outcomes=values)
    how = protocol(negative_controls=(wax, spent, visits), adjust=co.crude(), outcomes=())
    rows = main_rows(data, how, crude(data), lambda d, m: np.full(len(d), 12.0))
    found = negative_control_check(frame(rows), how)
    assert found.frame["measure"].tolist() == [wax.name, spent.name, visits.name]
    assert found.frame["p_value"].between(0, 1).all()
    assert found.threshold == pytest.approx(0.05 / 3)
