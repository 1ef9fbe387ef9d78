"""Proportions and person-time rates against R, published values, and their own laws."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.rates import (
    PROPORTIONS,
    RATES,
    Estimate,
    odds_ratio,
    poisson_rate,
    proportion,
    rate_difference,
    rate_ratio,
    risk_difference,
    risk_ratio,
    two_by_two,
)
from tests.support import assert_close, oracle

REFERENCE = oracle("epi/proportions_rates")


def _limits(found: Estimate) -> list[float]:
    return [found.conf_low, found.conf_high]


@pytest.mark.parametrize("row", REFERENCE["expected"]["proportion"], ids=lambda row: f"{row['x']}/{row['n']}")
@pytest.mark.parametrize("method", PROPORTIONS)
def test_proportion_equals_r(row: dict[str, Any], method: str) -> None:
    found = proportion(row["x"], row["n"], method=method)
    assert_close(found.estimate, row["p"], 1e-10, "p")
    assert_close(_limits(found), row[method.replace("-", "_")], 1e-10, method)


@pytest.mark.parametrize(
    "row", REFERENCE["expected"]["difference"], ids=lambda r: f"{r['a']}/{r['m']}-{r['b']}/{r['n']}"
)
def test_two_proportions_equal_r(row: dict[str, Any]) -> None:
    cells = (row["a"], row["m"], row["b"], row["n"])
    assert_close(risk_difference(*cells).estimate, row["diff"], 1e-10, "difference")
    assert_close(_limits(risk_difference(*cells)), row["newcombe_wilson"], 1e-10, "newcombe")
    assert_close(_limits(risk_difference(*cells, method="wald")), row["wald"], 1e-10, "wald")
    for name, found in (("rr", risk_ratio(*cells)), ("or", odds_ratio(*cells))):
        if row[f"log_{name}"] is None:  # metafor gives NA for a zero cell; we say 0, infinity or NaN, and no interval
            assert not (0 < found.estimate < math.inf and found.std_error > 0) and "zero" in found.note
            assert all(math.isnan(limit) for limit in _limits(found))
        else:
            assert_close(math.log(found.estimate), row[f"log_{name}"], 1e-10, f"log_{name}")
            assert_close(found.std_error, row[f"se_log_{name}"], 1e-10, f"se_log_{name}")
    test = two_by_two(*cells)
    ours = {"chisq": test.chi2, "p_chisq": test.chi2_p, "fisher_p": test.fisher_p}
    assert_close(ours, {key: row[key] for key in ours}, 1e-10, "tests")


@pytest.mark.parametrize("row", REFERENCE["expected"]["difference"][:3], ids=lambda r: f"{r['a']}/{r['m']}")
def test_conditional_odds_ratio_equals_r(row: dict[str, Any]) -> None:
    """R finds its inverse with uniroot at the default tolerance, eps^0.25 = 1.22e-4, so it agrees to no more than that.

    Ours solves the same equation to 1e-14, as the second assertion shows: at the estimate the mean count, given the
    margins, is the observed count.
    """
    found = two_by_two(row["a"], row["m"], row["b"], row["n"]).odds_ratio
    assert abs(1 / found - 1 / row["fisher_or_cmle"]) <= 2.0 ** (-52 / 4)
    both = row["a"] + row["b"]
    cells = range(max(0, both - row["n"]), min(row["m"], both) + 1)
    mass = [math.comb(row["m"], x) * math.comb(row["n"], both - x) * found**x for x in cells]
    assert sum(x * m for x, m in zip(cells, mass, strict=True)) / sum(mass) == pytest.approx(row["a"], rel=1e-10)


def test_conditional_odds_ratio_at_its_edges() -> None:
    assert two_by_two(5, 56, 0, 29).odds_ratio == math.inf
    assert two_by_two(0, 29, 5, 56).odds_ratio == 0
    # R prints 0 for a table without events, where any odds ratio is as likely as any other
    assert math.isnan(two_by_two(0, 10, 0, 20).odds_ratio) and two_by_two(0, 10, 0, 20).fisher_p == 1


@pytest.mark.parametrize("row", REFERENCE["expected"]["rate"], ids=lambda row: f"{row['events']}/{row['person_time']}")
@pytest.mark.parametrize("method", RATES)
def test_rate_equals_r(row: dict[str, Any], method: str) -> None:
    found = poisson_rate(row["events"], row["person_time"], method=method)
    assert_close(found.estimate, row["rate"], 1e-10, "rate")
    assert_close(_limits(found), row[method.replace("-", "_")] or [None, None], 1e-10, method)


def test_rate_ratio_equals_r() -> None:
    row = REFERENCE["expected"]["rate_ratio"]
    (a, b), (s, t) = row["events"], row["person_time"]
    found = rate_ratio(a, s, b, t)
    assert_close(found.estimate, row["rate_ratio"], 1e-10, "ratio")
    assert_close(_limits(found), row["exact_ci"], 1e-10, "exact")
    assert_close(found.p_value, row["exact_p"], 1e-10, "p")
    assert_close(_limits(rate_ratio(a, s, b, t, method="log-normal")), row["wald_log_ci"], 1e-10, "log")


def test_published_values_of_newcombe() -> None:
    said = REFERENCE["meta"]["published"]
    for key, found in (
        ("newcombe_56_70_48_80", risk_difference(56, 70, 48, 80)),
        ("newcombe_9_10_3_10", risk_difference(9, 10, 3, 10)),
        ("wilson_81_263", proportion(81, 263)),
        ("wilson_15_148", proportion(15, 148)),
        ("wilson_1_29", proportion(1, 29)),
        ("clopper_pearson_81_263", proportion(81, 263, method="clopper-pearson")),
    ):
        assert [round(limit, 4) for limit in _limits(found)] == said[key], key


def test_rate_difference_by_hand() -> None:
    found = rate_difference(41, 28010, 15, 19017, method="wald")
    error = math.sqrt(41 / 28010**2 + 15 / 19017**2)
    assert found.std_error == pytest.approx(error, rel=1e-12)
    assert found.conf_high - found.estimate == pytest.approx(1.959963984540054 * error, rel=1e-12)
    # the two exact intervals are those of the reference; square and add
    exact = {row["events"]: row["exact"] for row in REFERENCE["expected"]["rate"]}
    one, other = 41 / 28010, 15 / 19017
    hybrid = rate_difference(41, 28010, 15, 19017)
    down = math.sqrt((one - exact[41][0]) ** 2 + (exact[15][1] - other) ** 2)
    up = math.sqrt((exact[41][1] - one) ** 2 + (other - exact[15][0]) ** 2)
    assert_close(_limits(hybrid), [one - other - down, one - other + up], 1e-10, "hybrid")


def test_nothing_happened_has_a_decided_answer() -> None:
    both = rate_ratio(0, 10, 0, 20)
    assert math.isnan(both.estimate) and both.note == "no events in either group"
    ours = rate_ratio(0, 10, 5, 20)
    assert ours.estimate == 0 == ours.conf_low and 0 < ours.conf_high < math.inf and ours.p_value < 1
    theirs = rate_ratio(5, 20, 0, 10)
    assert theirs.estimate == math.inf == theirs.conf_high and theirs.conf_low == pytest.approx(1 / ours.conf_high)
    assert "zero" in rate_ratio(0, 10, 5, 20, method="log-normal").note
    none = rate_difference(0, 10, 0, 20)
    assert none.estimate == 0 and none.conf_low < 0 < none.conf_high
    assert "does not exist" in poisson_rate(0, 10, method="log-normal").note
    assert risk_ratio(0, 10, 3, 10).estimate == 0 and risk_ratio(3, 10, 0, 10).estimate == math.inf


def test_nobody_is_nan_with_a_note() -> None:
    for found in (
        proportion(0, 0),
        risk_difference(0, 0, 1, 2),
        risk_ratio(0, 0, 1, 2),
        odds_ratio(1, 2, 0, 0),
        poisson_rate(0, 0),
        rate_ratio(0, 0, 1, 2),
        rate_difference(1, 2, 0, 0),
    ):
        assert math.isnan(found.estimate) and math.isnan(found.conf_low) and found.note
    assert two_by_two(0, 0, 1, 2).fisher_p == 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="between 0 and the number"):
        proportion(5, 4)
    with pytest.raises(DataError, match="between 0 and the number"):
        proportion(math.nan, 4)
    with pytest.raises(DataError, match="in no person-time"):
        poisson_rate(5, 0)
    with pytest.raises(DataError, match="zero or more"):
        poisson_rate(-1, 5)
    with pytest.raises(DataError, match="whole counts"):
        two_by_two(1.5, 3, 1, 2)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="Did you mean 'wilson-cc' or 'wilson'"):
        proportion(1, 4, method="Wilson score")
    with pytest.raises(ParameterError, match="level"):
        poisson_rate(1, 4, level=95)


def test_weighted_counts_have_rates_but_no_exact_p_value() -> None:
    found = rate_ratio(10.4, 100, 5.2, 100)
    assert found.estimate == pytest.approx(2) and found.conf_low < 2 < found.conf_high and math.isnan(found.p_value)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from(PROPORTIONS), st.sampled_from([0.8, 0.95, 0.99]))
def test_proportions_mirror(events: int, missed: int, method: str, level: float) -> None:
    n = events + missed
    here, there = proportion(events, n, method=method, level=level), proportion(missed, n, method=method, level=level)
    assert here.conf_low == pytest.approx(1 - there.conf_high, abs=1e-12)
    assert here.conf_low <= here.estimate + 1e-12 and here.estimate <= here.conf_high + 1e-12


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.5, 500), st.floats(0.5, 500), st.floats(0.1, 400))
def test_rates_scale_and_swap(a: int, b: int, s: float, t: float, unit: float) -> None:
    here, scaled = poisson_rate(a, s), poisson_rate(a, s * unit)
    assert here.conf_high == pytest.approx(scaled.conf_high * unit, rel=1e-9)
    if a + b:
        ratio, same, swapped = rate_ratio(a, s, b, t), rate_ratio(a, s * unit, b, t * unit), rate_ratio(b, t, a, s)
        assert ratio.conf_high == pytest.approx(same.conf_high, rel=1e-9)
        assert ratio.p_value == pytest.approx(swapped.p_value, rel=1e-6)
        if swapped.conf_low:
            assert ratio.conf_high == pytest.approx(1 / swapped.conf_low, rel=1e-6)
    here, swapped = rate_difference(a, s, b, t), rate_difference(b, t, a, s)
    assert here.conf_low == pytest.approx(-swapped.conf_high, abs=1e-9)
