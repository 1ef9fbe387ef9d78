"""Direct and indirect standardisation and Mantel-Haenszel against R, one-stratum formulas, and a Simpson's paradox."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.rates import odds_ratio, poisson_rate, proportion, rate_ratio, risk_difference, risk_ratio
from clinops.stats.standardisation import (
    MEASURES,
    mantel_haenszel,
    standardised_contrast,
    standardised_rate,
    standardised_ratio,
    standardised_risk,
)
from tests.support import assert_close, case_file, oracle, oracle_csv

EXPECTED = oracle("epi/standardisation")["expected"]
# R's data set UCBAdmissions (University of California, Berkeley, 1973; Bickel, Hammel and O'Connell 1975), by
# department A to F: men admitted and rejected, women admitted and rejected.
BERKELEY = np.array(
    [
        [512, 313, 89, 19], [353, 207, 17, 8], [120, 205, 202, 391],
        [138, 279, 131, 244], [53, 138, 94, 299], [22, 351, 24, 317],
    ]
).T  # fmt: skip


def test_direct_standardisation_equals_r() -> None:
    data = oracle_csv("epi/standardisation")
    found = standardised_rate(data["events"], data["py"], data["std_pop"])
    ours = {
        "dsr": found.estimate, "dsr_var": found.std_error**2, "dsr_fay_feuer": [found.conf_low, found.conf_high],
        "crude_rate": poisson_rate(data["events"].sum(), data["py"].sum()).estimate,
    }  # fmt: skip
    assert_close(ours, {key: EXPECTED[key] for key in ours}, 1e-10)


def test_indirect_standardisation_equals_r() -> None:
    data = oracle_csv("epi/standardisation")
    found = standardised_ratio(data["events"], data["py"], data["ref_rate"])
    ours = {
        "expected": found.expected, "smr": found.ratio.estimate,
        "smr_exact": [found.ratio.conf_low, found.ratio.conf_high],
    }  # fmt: skip
    assert_close(ours, {key: EXPECTED[key] for key in ours}, 1e-10)
    total = standardised_ratio(data["events"].sum(), data["py"], data["ref_rate"])
    assert total == found


def test_mantel_haenszel_equals_r() -> None:
    men, women = BERKELEY[:2], BERKELEY[2:]
    found = mantel_haenszel(men[0], men.sum(axis=0), women[0], women.sum(axis=0))
    ours = {
        "or": found.effect.estimate, "chisq": found.statistic, "p": found.p_value,
        "ci": [found.effect.conf_low, found.effect.conf_high],
    }  # fmt: skip
    assert_close(ours, EXPECTED["mantel_haenszel_ucb"], 1e-10)


def test_case_c023_the_programme_takes_the_sicker_patients() -> None:
    data = pd.read_csv(case_file("C023", "readmissions.csv"))
    arms = {arm: part.sort_values("severity") for arm, part in data.groupby("arm")}
    programme, usual = arms["programme"], arms["usual"]
    four = (programme["readmitted"], programme["discharges"], usual["readmitted"], usual["discharges"])
    crude = tuple(column.sum() for column in four)
    assert proportion(*crude[:2]).estimate == pytest.approx(0.26, abs=1e-12)
    assert proportion(*crude[2:]).estimate == pytest.approx(0.166, abs=1e-12)
    assert risk_difference(*crude).estimate == pytest.approx(0.094, abs=1e-12)
    assert round(risk_ratio(*crude).estimate, 3) == 1.566
    everybody = four[1].to_numpy() + four[3].to_numpy()
    for standard, risk, risk_0, ratio in (
        (everybody, 0.20, 0.235, 40 / 47),
        (programme["discharges"], 0.26, 0.304, 0.26 / 0.304),
    ):
        assert standardised_risk(*four[:2], standard).estimate == pytest.approx(risk, abs=1e-12)
        assert standardised_risk(*four[2:], standard).estimate == pytest.approx(risk_0, abs=1e-12)
        found = standardised_contrast(*four, standard)
        assert found.estimate == pytest.approx(risk - risk_0, abs=1e-12)
        assert found.estimate < 0 < risk_difference(*crude).estimate, "the sign changes"
        assert standardised_contrast(*four, standard, scale="ratio").estimate == pytest.approx(ratio, rel=1e-12)
    assert mantel_haenszel(*four, measure="risk difference").effect.estimate == pytest.approx(-0.035, abs=1e-12)
    assert mantel_haenszel(*four, measure="risk ratio").effect.estimate == pytest.approx(40 / 47, rel=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_one_stratum_is_the_plain_estimate(measure: str) -> None:
    cells = (12, 80, 7, 95)
    plain = {
        "odds ratio": odds_ratio(*cells),
        "risk ratio": risk_ratio(*cells),
        "risk difference": risk_difference(*cells, method="wald"),
        "rate ratio": rate_ratio(*cells, method="log-normal"),
    }
    found = mantel_haenszel(*([value] for value in cells), measure=measure).effect
    if measure == "rate difference":
        assert found.estimate == pytest.approx(12 / 80 - 7 / 95)
        assert found.std_error == pytest.approx(math.sqrt(12 / 80**2 + 7 / 95**2))
    else:
        assert found.estimate == pytest.approx(plain[measure].estimate, rel=1e-12)
        assert found.std_error == pytest.approx(plain[measure].std_error, rel=1e-12)
    kind, scale = ("rate" if "rate" in measure else "risk"), measure.split()[1]
    if measure != "odds ratio":
        direct = standardised_contrast(*([value] for value in cells), [3], kind=kind, scale=scale)
        assert direct.estimate == pytest.approx(found.estimate, rel=1e-12)
        assert direct.std_error == pytest.approx(found.std_error, rel=1e-12)


def test_one_stratum_is_the_exact_rate_and_its_own_standard_leaves_a_rate_as_it_is() -> None:
    found, exact = standardised_rate([9], [70], [5]), poisson_rate(9, 70)
    assert_close([found.conf_low, found.conf_high], [exact.conf_low, exact.conf_high], 1e-10)
    crude = standardised_rate([3, 9], [50, 70], [50, 70])
    assert crude.estimate == pytest.approx(0.1) and crude.conf_high == pytest.approx(poisson_rate(12, 120).conf_high)


def test_intervals_of_other_kinds() -> None:
    data = oracle_csv("epi/standardisation")
    error, z = math.sqrt(EXPECTED["dsr_var"]), 1.959963984540054
    plain = standardised_rate(data["events"], data["py"], data["std_pop"], method="normal")
    log = standardised_rate(data["events"], data["py"], data["std_pop"], method="log-normal")
    rate = EXPECTED["dsr"]
    assert_close([plain.conf_low, plain.conf_high], [rate - z * error, rate + z * error], 1e-10)
    assert_close([log.conf_low, log.conf_high], [rate * math.exp(-z * error / rate), rate * math.exp(z * error / rate)])
    logit = standardised_risk([5], [20], [1])
    centre, reach = math.log(1 / 3), z / math.sqrt(20 * 0.25 * 0.75)
    assert_close([logit.conf_low, logit.conf_high], [1 / (1 + math.exp(-centre + s * reach)) for s in (1, -1)], 1e-12)
    assert standardised_risk([5], [20], [1], method="normal").conf_high == pytest.approx(0.25 + reach * 0.25 * 0.75)


# --- decided answers ---------------------------------------------------------------------------------------


def test_no_events() -> None:
    found = standardised_rate([0, 0], [10, 20], [1, 1])
    # one event more would weigh (1/2)/10; its exact limit is 3.688879 of them
    assert found.estimate == 0 == found.conf_low and found.conf_high == pytest.approx(3.688879454113936 * 0.05)
    assert found.note == "no events" and math.isnan(standardised_rate([0], [10], [1], method="log-normal").conf_high)
    risk = standardised_risk([0, 0], [10, 20], [1, 1])
    assert risk.estimate == 0 and math.isnan(risk.conf_low) and "no interval" in risk.note
    smr = standardised_ratio(0, [10.0], [0.2])
    assert smr.ratio.estimate == 0 and smr.ratio.conf_high == pytest.approx(3.688879454113936 / 2)
    for measure in MEASURES:
        nothing = mantel_haenszel([0, 0], [5, 5], [0, 0], [5, 5], measure=measure)
        assert math.isnan(nothing.statistic) and "no stratum varies" in nothing.note
        assert nothing.effect.estimate == 0 if "difference" in measure else math.isnan(nothing.effect.estimate)
    contrast = standardised_contrast([0], [5], [0], [5], [1])
    assert contrast.estimate == 0 and math.isnan(contrast.conf_low) and contrast.note


def test_no_events_in_one_group() -> None:
    for kind in ("risk", "rate"):
        ratio = standardised_contrast([0, 0], [9, 9], [1, 2], [9, 9], [1, 1], kind=kind, scale="ratio")
        assert ratio.estimate == 0 and math.isnan(ratio.conf_high) and "zero" in ratio.note
        swapped = standardised_contrast([1, 2], [9, 9], [0, 0], [9, 9], [1, 1], kind=kind, scale="ratio")
        assert swapped.estimate == math.inf
    found = mantel_haenszel([0, 0], [9, 9], [1, 2], [9, 9])
    assert found.effect.estimate == 0 and math.isnan(found.effect.conf_low) and 0 < found.p_value < 1


def test_a_stratum_without_people_is_not_made_up() -> None:
    found = standardised_rate([1, 0], [5, 0], [1, 1])
    assert math.isnan(found.estimate) and "strata [1]" in found.note
    assert standardised_rate([1, 0], [5, 0], [1, 0]).estimate == pytest.approx(0.2)
    assert math.isnan(standardised_risk([1, 0], [5, 0], [1, 1]).estimate)
    assert "strata [1]" in standardised_contrast([1, 1], [5, 5], [1, 0], [5, 0], [1, 1]).note


def test_strata_with_one_group_only_carry_no_weight() -> None:
    both = mantel_haenszel([3, 4], [9, 9], [1, 2], [9, 9])
    more = mantel_haenszel([3, 4, 5], [9, 9, 9], [1, 2, 0], [9, 9, 0])
    assert more == both and more.strata == 2
    none = mantel_haenszel([3], [9], [0], [0])
    assert math.isnan(none.effect.estimate) and none.note == "no stratum has both groups"


def test_nothing_expected() -> None:
    found = standardised_ratio(0, [10.0], [0.0])
    assert math.isnan(found.ratio.estimate) and found.ratio.note == "no events are expected"
    with pytest.raises(DataError, match="expects none"):
        standardised_ratio(2, [10.0], [0.0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: standardised_rate([1, 2], [1], [1, 1]), "one value for each of 2 strata"),
        (lambda: standardised_rate([1], [1], [0]), "adds up to 0"),
        (lambda: standardised_rate([-1], [1], [1]), "zero or more"),
        (lambda: standardised_rate([1], [0], [1]), "in no person-time"),
        (lambda: standardised_risk([3], [2], [1]), "3 events in 2 people"),
        (lambda: standardised_ratio([1], [1, 2], [0.1]), "both must have the same"),
        (lambda: mantel_haenszel([1, 1], [2, 2], [1], [2]), "both must have the same"),
        (lambda: standardised_rate([[1]], [1], [1]), "one dimension"),
    ],
)
def test_bad_input_is_refused(call: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        call()


def test_bad_options_are_refused() -> None:
    with pytest.raises(ParameterError, match="Did you mean 'fay-feuer'"):
        standardised_rate([1], [1], [1], method="fay")
    with pytest.raises(ParameterError, match="measure"):
        mantel_haenszel([1], [2], [1], [2], measure="hazard ratio")
    with pytest.raises(ParameterError, match="kind"):
        standardised_contrast([1], [2], [1], [2], [1], kind="odds")
    with pytest.raises(ParameterError, match="scale"):
        standardised_contrast([1], [2], [1], [2], [1], scale="log")
    with pytest.raises(ParameterError, match="level"):
        standardised_risk([1], [2], [1], level=95)


# --- laws ---------------------------------------------------------------------------------------------------

LAW = settings(deadline=None, max_examples=60, derandomize=True)
STRATUM = st.tuples(st.integers(0, 9), st.integers(1, 20), st.integers(0, 9), st.integers(1, 20), st.integers(1, 50))


@LAW
@given(st.lists(STRATUM, min_size=1, max_size=6), st.integers(0, 100), st.floats(0.1, 400))
def test_order_of_strata_size_of_standard_and_units_change_nothing(strata: list[Any], seed: int, unit: float) -> None:
    a, extra, b, extra_0, standard = np.array(strata, dtype=float).T
    n, m = a + extra, b + extra_0
    order = np.random.default_rng(seed).permutation(len(a))
    here, there = standardised_rate(a, n, standard), standardised_rate(a[order], n[order] * unit, standard[order] * 7)
    assert_close([there.estimate * unit, there.conf_high * unit], [here.estimate, here.conf_high], 1e-8)
    assert here.conf_low <= here.estimate <= here.conf_high
    for measure in MEASURES:
        one = mantel_haenszel(a, n, b, m, measure=measure)
        other = mantel_haenszel(a[order], n[order], b[order], m[order], measure=measure)
        assert_close([other.effect.estimate, other.statistic], [one.effect.estimate, one.statistic], 1e-8)
        swapped = mantel_haenszel(b, m, a, n, measure=measure)
        assert_close(swapped.statistic, one.statistic, 1e-8)
        if math.isfinite(one.effect.conf_low):
            high = -swapped.effect.conf_low if "difference" in measure else 1 / swapped.effect.conf_low
            assert one.effect.conf_high == pytest.approx(high, rel=1e-8, abs=1e-10)


@LAW
@given(st.lists(STRATUM, min_size=1, max_size=5), st.integers(2, 4))
def test_errors_shrink_with_the_root_of_the_counts(strata: list[Any], times: int) -> None:
    a, extra, b, extra_0, standard = np.array(strata, dtype=float).T
    n, m = a + extra, b + extra_0
    for kind in ("risk", "rate"):
        one = standardised_contrast(a, n, b, m, standard, kind=kind)
        more = standardised_contrast(times * a, times * n, times * b, times * m, standard, kind=kind)
        assert_close([more.estimate, more.std_error * math.sqrt(times)], [one.estimate, one.std_error], 1e-8)
    for measure in ("risk ratio", "risk difference", "rate ratio", "rate difference", "odds ratio"):
        found = [mantel_haenszel(k * a, k * n, k * b, k * m, measure=measure).effect for k in (1, times)]
        assert_close(found[1].std_error * math.sqrt(times), found[0].std_error, 1e-8)
