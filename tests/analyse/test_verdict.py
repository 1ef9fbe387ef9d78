"""The verdict in a word, the smallest effect that could be seen, and the three threats."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t

import clinops as co
from clinops.analyse.verdict import (
    BENEFIT,
    DECISIVE,
    HARM,
    NEITHER,
    UNCERTAIN,
    UNREADABLE,
    Verdict,
    detectable,
    threats,
    verdict,
    worthwhile_in,
)
from clinops.define.measures import Measure
from clinops.results.result import Check
from tests.analyse.support import ANY, COST, COUNT, HOME, TIME, VALUE, arms, dataset, estimate_row, frame, protocol

LOWER = replace(COST, worthwhile=100)
HIGHER = replace(HOME, worthwhile=5)
NO_SIDE = replace(COUNT, better=None)


def judged(
    measure: Measure, estimate: float | None, low: float | None = None, high: float | None = None, **more: Any
) -> Verdict:
    made = frame([estimate_row(measure, "mean difference", estimate, low, high, **more)]).iloc[0]
    return verdict(made, measure, ())


def check(passed: bool | None, name: str = "check_balance", sentence: str = "It was seen.") -> Check:
    return Check(name, "Is it so?", pd.DataFrame(), sentence=sentence, passed=passed, why="It matters.")


@pytest.mark.parametrize(
    ("measure", "interval", "label"),
    [
        (LOWER, (-200, -300, -100.5), BENEFIT),
        (LOWER, (-200, -300, -1), BENEFIT),
        (LOWER, (200, 1, 300), HARM),
        (LOWER, (-20, -200, 160), UNCERTAIN),
        (LOWER, (-20, -99, 99), NEITHER),
        (LOWER, (-20, -99, -1), NEITHER),  # apart from 0, and yet too small to be worth having
        (LOWER, (-20, -100, 60), UNCERTAIN),  # reaches what is worthwhile
        (LOWER, (-20, -40, 0), NEITHER),
        (COST, (-20, -40, 0), UNCERTAIN),  # touches 0, and nothing says what is worthwhile
        (COST, (-20, -40, -1), BENEFIT),
        (COST, (20, 1, 40), HARM),
        (HIGHER, (20, 6, 40), BENEFIT),
        (HIGHER, (-20, -40, -6), HARM),
        (HIGHER, (2, -4, 4.9), NEITHER),
        (HIGHER, (2, -4, 5.1), UNCERTAIN),
        (NO_SIDE, (20, 6, 40), UNCERTAIN),
        (NO_SIDE, (-20, -40, -6), UNCERTAIN),
        (NO_SIDE, (0, -40, 6), UNCERTAIN),
    ],
)
def test_the_word(measure: Measure, interval: tuple[float, float, float], label: str) -> None:
    assert judged(measure, *interval).label == label


def test_the_sentence_has_the_numbers_the_unit_and_the_side() -> None:
    said = judged(LOWER, -200, -300, -50, unit="USD per person").sentence
    assert said == (
        f"{COST.name}: difference −200 USD per person (95% CI −300 to −50); the whole interval is on the better side, "
        "but it reaches below the smallest worthwhile one (100)."
    )
    assert "worse side" in judged(COST, 200, 150, 300).sentence
    assert "but it reaches" not in judged(LOWER, -200, -300, -150).sentence
    assert judged(NO_SIDE, 5, 1, 9).sentence.endswith("does not say which direction is better.")
    assert judged(COST, 0, -1, 1).sentence.endswith("both a benefit and a harm are compatible with the data.")


def test_a_worthwhile_risk_is_weighed_per_1000() -> None:
    """A risk is estimated per 1,000 persons and stated between 0 and 1."""
    measure = replace(ANY, worthwhile=0.02)
    assert judged(measure, -5, -19, 4, unit="per 1,000 persons").label == NEITHER
    assert judged(measure, -5, -21, 4, unit="per 1,000 persons").label == UNCERTAIN
    assert "the smallest worthwhile difference, 20" in judged(measure, -5, -19, 4, unit="per 1,000 persons").sentence


@pytest.mark.parametrize(
    ("days", "expected"), [(365, 100 * 365.25 / 365), (180, 100 * 365.25 / 180), (None, None)]
)  # fmt: skip
def test_a_worthwhile_count_over_the_window_is_weighed_as_a_rate(days: int | None, expected: float | None) -> None:
    """0.1 events a person over 180 days is as many as 0.203 a person-year."""
    measure = replace(COUNT, window=co.days(1, days), worthwhile=0.1)
    assert worthwhile_in(measure, "per 1,000 person-years") == (expected and pytest.approx(expected))
    near = -5, -150, 120
    label = NEITHER if days == 180 else UNCERTAIN
    assert judged(measure, *near, unit="per 1,000 person-years").label == label


@pytest.mark.parametrize("name", DECISIVE)
def test_a_failed_check_makes_any_estimate_unreadable(name: str) -> None:
    row = frame([estimate_row(COST, "mean difference", -200, -300, -100)]).iloc[0]
    found = verdict(row, COST, (check(True), check(False, name, "The arms differ."), check(None, "check_overlap")))
    assert found.label == UNREADABLE
    assert found.sentence == "1 check(s) failed, so the estimate cannot be read: The arms differ."


def test_checks_that_passed_were_not_judged_or_do_not_decide_leave_the_word() -> None:
    row = frame([estimate_row(COST, "mean difference", -200, -300, -100)]).iloc[0]
    assert verdict(row, COST, (check(True), check(None), check(False, "check_design"))).label == BENEFIT


def test_nothing_to_judge() -> None:
    assert verdict(None, COST, ()).label == UNREADABLE
    found = verdict(None, None, ())
    assert found.label == UNREADABLE
    assert "no primary outcome" in found.sentence
    missing = judged(COST, None, note="the comparator arm is empty")
    assert missing.label == UNREADABLE
    assert missing.sentence == f"The effect on {COST.name} cannot be estimated: the comparator arm is empty."


def test_an_estimate_without_an_interval_is_no_verdict() -> None:
    found = judged(COST, -200, None, None, note="The exposed arm holds one person: no standard error.")
    assert found.label == UNREADABLE
    assert "one person" in found.sentence


# --- what could have been seen ------------------------------------------------------------------

SIZES = {"exposed": 80.0, "comparator": 120.5}
DATA = dataset(
    arms(3, 10),
    outcomes={
        COST: ([9e9] * 3 + [0.0, 0, 10, 20, 30, 40, 50, 60, 70, 720], 365),
        ANY: ([1] * 3 + [1, 1, 1] + [0] * 7, 365),
        TIME: ([1] * 3 + [1, 1, 1] + [0] * 7, 365),
        COUNT: ([9] * 3 + [1, 1, 1, 2, 0, 0, 0, 0, 0, 5], [365] * 3 + [365] * 5 + [73] * 5),
        HOME: ([0.0] * 3 + [360.0] * 5 + [365] * 5, 365),
        VALUE: ([0.0] * 3 + [7.0, 8, 9, np.nan, 6, 5, 7, 8, np.nan, 7], 365),
    },
)


def assert_detects_means(found: float, sd: float) -> None:
    """The t test of two means with these sizes has a power of 80% at the difference found."""
    n1, n0 = SIZES.values()
    df, noncentral = n1 + n0 - 2, found / (sd * math.sqrt(1 / n1 + 1 / n0))
    assert nct.sf(t.isf(0.025, df), df, noncentral) == pytest.approx(0.8, abs=1e-6)


def test_the_smallest_difference_of_means() -> None:
    for measure, unit in ((COST, "currency per person"), (HOME, "per person"), (VALUE, "per person")):
        found = detectable(DATA, measure, SIZES)
        assert found is not None
        comparator = DATA.column(measure)[3:]
        assert_detects_means(found[0], float(np.std(comparator[~np.isnan(comparator)], ddof=1)))
        assert found[1] == unit


def test_the_smallest_difference_of_rates_is_that_of_counts_over_the_mean_years() -> None:
    found = detectable(DATA, COUNT, SIZES)
    assert found is not None
    years = (5 * 365 + 5 * 73) / 10 / 365.25
    assert_detects_means(found[0] * years / 1000, float(np.std([1, 1, 1, 2, 0, 0, 0, 0, 0, 5], ddof=1)))
    assert found[1] == "per 1,000 person-years"


def power_of_risks(one: float, zero: float) -> float:
    """Of the two-sided test with the pooled variance under no difference (Fleiss 1981)."""
    n1, n0 = SIZES.values()
    mean = (n1 * one + n0 * zero) / (n1 + n0)
    null, own = mean * (1 - mean) * (1 / n1 + 1 / n0), one * (1 - one) / n1 + zero * (1 - zero) / n0
    return NormalDist().cdf((abs(one - zero) - 1.959963984540054 * math.sqrt(null)) / math.sqrt(own))


@pytest.mark.parametrize("measure", [ANY, TIME])
@pytest.mark.parametrize(("better", "sign"), [("lower", -1), (None, -1), ("higher", 1)])
def test_the_smallest_difference_of_risks_is_in_the_better_direction(measure: Measure, better: str, sign: int) -> None:
    found = detectable(DATA, replace(measure, better=better), SIZES)
    assert found is not None
    assert power_of_risks(0.3 + sign * found[0] / 1000, 0.3) == pytest.approx(0.8, abs=1e-9)
    assert found[1] == "per 1,000 persons"


@pytest.mark.parametrize(("better", "events", "sign"), [("lower", [1] + [0] * 99, 1), ("higher", [0] + [1] * 99, -1)])
def test_where_the_better_direction_is_out_of_reach_the_other_is_said(
    better: str, events: list[int], sign: int
) -> None:
    risk = sum(events) / 100
    data = dataset(arms(1, 100), outcomes={ANY: ([0, *events], 365)})
    found = detectable(data, replace(ANY, better=better), SIZES)
    assert found is not None
    assert power_of_risks(risk + sign * found[0] / 1000, risk) == pytest.approx(0.8, abs=1e-9)


def test_nothing_could_be_seen_or_reckoned() -> None:
    assert detectable(DATA, None, SIZES) is None
    assert detectable(DATA, replace(COST, name="Paid"), SIZES) is None
    lonely = dataset(arms(2, 1), outcomes={COST: ([1.0, 2, 3], 365), COUNT: ([1, 2, 3], 0)})
    found = detectable(lonely, COST, SIZES)
    assert found is not None and math.isnan(found[0])  # one comparator has no spread
    assert detectable(lonely, COUNT, SIZES) is None  # nobody was watched for a day
    unknown = dataset(arms(1, 2), outcomes={VALUE: ([1.0, np.nan, np.nan], 365)})
    assert detectable(unknown, VALUE, SIZES) is None
    few = detectable(DATA, COST, {"exposed": 1.0, "comparator": 50.0})
    assert few is not None and math.isnan(few[0])


# --- threats ------------------------------------------------------------------------------------


@dataclass
class Source:
    capture: str = "enrolment"


def said(**changes: Any) -> tuple[str, ...]:
    given: dict[str, Any] = {
        "protocol": protocol(), "source": Source(), "checks": (check(True),), "e_value": 1.5, "share_unmatched": 0.0,
        "complete": 1.0, "not_possible": (),
    }  # fmt: skip
    return threats(**(given | changes))


def test_three_threats_the_gravest_first() -> None:
    found = said(checks=(check(False),), source=Source("ehr"), share_unmatched=0.4, complete=0.5)
    assert len(found) == 3
    assert found[0] == "Is it so? No: It was seen. It matters."
    assert found[1].startswith("The source sees only care given inside it")
    assert found[2].startswith(("The exposure was chosen", "40% of the exposed found no match"))


def test_a_chosen_exposure_has_its_e_value_and_a_random_one_no_such_threat() -> None:
    assert "risk ratios of 1.50 with both" in said()[0]
    assert "risk ratios" not in said(e_value=None)[0]
    assert not any("chosen" in one for one in said(protocol=protocol(assignment="random", adjust=co.crude())))


def test_an_offer_defended_as_if_random_is_told_with_its_reason_and_as_an_argument() -> None:
    reason = "Letters went out in the order of a number that the insurer drew."
    found = said(protocol=protocol(assignment="as if random", assignment_reason=reason))[0]
    assert found.startswith(f"The offer is defended as if random ({reason[:-1]}). That is an argument and not a fact")
    assert "chosen, not drawn" not in found and "risk ratios of 1.50 with both" in found
    assert "(no reason is given)" in said(protocol=protocol(assignment="as if random"))[0]


def test_losses_and_what_was_not_measured() -> None:
    found = said(complete=0.72, not_possible=[("HbA1c", "no table")])
    assert "Only 72% were observed" in found[1]
    assert "not measurable here: HbA1c." in found[2]
