"""E-values against the R package EValue and the published example."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.sensitivity import (
    EValue,
    bias_factor,
    evalue_hr,
    evalue_md,
    evalue_ols,
    evalue_or,
    evalue_rd,
    evalue_rr,
)
from tests.support import assert_close, oracle

EXPECTED = oracle("epi/evalue")["expected"]
PACKAGE = EXPECTED["package"]


@pytest.mark.parametrize("name", ["rr_3.9", "rr_0.80", "rr_null"])
def test_risk_ratio_equals_reference(name: str) -> None:
    row = EXPECTED[name]
    found = evalue_rr(row["est"], row["lower"], row["upper"])
    assert_close([found.point, found.limit], [row["evalue"], row["evalue_ci"]], 1e-10, name)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("rr_3.9", evalue_rr(3.9, 1.8, 8.7)),
        ("or_common_2", evalue_or(2, 1.2, 3.4, rare=False)),
        ("or_rare_2", evalue_or(2, 1.2, 3.4, rare=True)),
        ("hr_common_1.5", evalue_hr(1.5, 1.1, 2.05, rare=False)),
        ("smd_0.5_se_0.1", evalue_md(0.5, 0.1)),
        ("ols", evalue_ols(-2, 0.5, 8)),
    ],
)
def test_every_scale_equals_the_package(name: str, found: EValue) -> None:
    assert_close([found.rr, found.rr_low, found.rr_high], PACKAGE[name]["rr_scale"], 1e-10, name)
    near = [value for value in PACKAGE[name]["evalue"] if value is not None]
    assert_close([found.point, found.limit], near, 1e-10, name)


def test_risk_difference_equals_the_package() -> None:
    found = evalue_rd(100, 1000, 60, 1000)
    wanted = PACKAGE["rd"]
    assert_close([found.point, found.limit], [wanted["est_evalue"], wanted["lower_evalue"]], 1e-10, "rd")
    turned = evalue_rd(60, 1000, 100, 1000)
    assert (turned.point, turned.limit) == (found.point, found.limit)
    finer = evalue_rd(100, 1000, 60, 1000, grid=1e-6)
    assert 0 <= found.limit - finer.limit < 5e-4, "the package's grid rounds the factor up by less than a step"


def test_published_example() -> None:
    found = evalue_rr(3.9, 1.8, 8.7)  # breastfeeding and infant death by respiratory infection
    assert (round(found.point, 2), round(found.limit, 1)) == (7.26, 3.0)


def test_bias_factor() -> None:
    row = EXPECTED["bias_factor"]
    assert bias_factor(row["rr_au"], row["rr_uy"]) == pytest.approx(row["bf"], rel=1e-12)
    with pytest.raises(DataError, match="take inverses"):
        bias_factor(0.5, 2)


@pytest.mark.parametrize(("estimate", "low", "high"), [(1.1, 0.9, 1.3), (0.9, 0.7, 1.1), (1.0, 0.9, 1.1), (2, 1, 4)])
def test_interval_across_the_null_needs_no_confounding(estimate: float, low: float, high: float) -> None:
    assert evalue_rr(estimate, low, high).limit == 1


def test_no_confounding_is_needed_for_no_effect() -> None:
    assert evalue_rr(1.0).point == 1 and math.isnan(evalue_rr(1.0).limit)
    assert evalue_md(0.0, 0.1).limit == 1
    same = evalue_rd(10, 100, 10, 100)
    assert same.point == pytest.approx(1) and same.limit == 1


def test_degenerate_estimates_are_answered() -> None:
    for ratio in (0.0, math.inf):
        found = evalue_hr(ratio, rare=False)
        assert found.point == math.inf and math.isnan(found.limit) and "no events" in found.note
    nothing = evalue_or(math.nan, rare=False)
    assert math.isnan(nothing.point) and nothing.note == "no estimate"
    assert evalue_rd(5, 100, 0, 100).point == math.inf
    assert evalue_rd(0, 100, 0, 100).limit == 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="Was a log ratio given"):
        evalue_hr(-0.3, rare=True)
    with pytest.raises(DataError, match="do not enclose"):
        evalue_rr(2, 2.1, 3)
    with pytest.raises(DataError, match="must vary"):
        evalue_ols(1, 1, 0)
    with pytest.raises(DataError, match="se is -1"):
        evalue_md(0.1, -1)
    with pytest.raises(DataError, match="between 0 and n"):
        evalue_rd(5, 4, 1, 10)
    with pytest.raises(ParameterError, match="grid"):
        evalue_rd(5, 10, 1, 10, grid=0)


@settings(deadline=None, max_examples=50)
@given(st.floats(1.01, 20), st.floats(1.001, 3))
def test_inverse_ratio_has_the_same_e_value_and_explains_itself(ratio: float, spread: float) -> None:
    up, down = (
        evalue_rr(ratio, ratio / spread, ratio * spread),
        evalue_rr(1 / ratio, 1 / ratio / spread, spread / ratio),
    )
    assert up.point == pytest.approx(down.point, rel=1e-9)
    assert up.limit == pytest.approx(down.limit, rel=1e-6)
    assert bias_factor(up.point, up.point) == pytest.approx(ratio, rel=1e-9), "what defines it"
