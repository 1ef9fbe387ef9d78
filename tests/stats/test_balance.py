"""Standardised differences by every convention: against cobalt, the case of a level absent in one arm, edges."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from clinops.errors import DataError, DefinitionError
from clinops.stats.balance import balance, ecdf_differences, smd_levels
from clinops.stats.weighting import balancing_weights
from tests.stats.causal_data import lalonde
from tests.support import assert_close, case_file, oracle

COBALT = oracle("causal/smd_lalonde")["expected"]
DATA = lalonde()


@pytest.mark.parametrize("denominator", ["pooled", "treated", "all"])
def test_equals_cobalt_before_adjustment(denominator: str) -> None:
    expected = COBALT[f"cobalt_{denominator}"]
    ours = balance(DATA.X, DATA.treated, denominator=denominator)
    assert_close(ours.smd, expected["smd"], 1e-8)
    assert_close(ours.variance_ratio, expected["var_ratio"], 1e-8)
    assert_close(ecdf_differences(DATA.X, DATA.treated).maximum, expected["ks"], 1e-8)


def test_raw_binary_differences_equal_cobalt() -> None:
    ours = balance(DATA.X, DATA.treated, raw_binary=True)
    assert_close(ours.smd, COBALT["cobalt_raw_binary_default"]["diff"], 1e-8)


def test_equals_cobalt_after_weighting() -> None:
    weights = balancing_weights(DATA.score, DATA.treated, estimand="ate").weights
    ours, expected = balance(DATA.X, DATA.treated, weights), COBALT["cobalt_weighted_ATE"]
    assert_close(ours.smd, expected["smd"], 1e-8)
    assert_close(ours.variance_ratio, expected["var_ratio"], 1e-8)
    assert_close(ecdf_differences(DATA.X, DATA.treated, weights).maximum, expected["ks"], 1e-8)
    assert_close(
        [ours.ess_comparator, ours.ess_treated], [expected["ess"]["Control"][1], expected["ess"]["Treated"][1]]
    )


def test_a_weighted_divisor_is_pooled_after_weighting() -> None:
    made = balancing_weights(DATA.score, DATA.treated, estimand="ate").weights
    ours = balance(DATA.X, DATA.treated, made, denominator="weighted")
    spread = np.sqrt((ours.sd_treated**2 + ours.sd_comparator**2) / 2)
    assert_close(ours.smd, (ours.mean_treated - ours.mean_comparator) / spread, 1e-12)
    plain = balance(DATA.X, DATA.treated, denominator="weighted")
    assert_close(plain.smd, balance(DATA.X, DATA.treated).smd, 1e-12)


def test_single_formulas_equal_the_reference() -> None:
    assert_close(smd_levels(DATA.race, DATA.treated), COBALT["yang_dalton_race"], 1e-8)
    married = balance(DATA.married[:, None], DATA.treated).smd[0]
    assert_close(married, COBALT["cohen_binary_formula_married"], 1e-8)


def test_case_c024_level_absent_in_one_arm() -> None:
    smoking = pd.read_csv(case_file("C024", "smoking.csv"))
    programme = (smoking["arm"] == "programme").to_numpy()
    levels = smoking["smoking"].to_numpy()
    assert smd_levels(levels, programme) == pytest.approx(0.725163, abs=5e-7)
    dummies = np.column_stack([levels == level for level in ("never", "former", "current")]).astype(float)
    shares = balance(dummies, programme)
    assert_close(shares.mean_comparator, [0.30, 0.50, 0.20])
    assert_close(shares.mean_treated, [0.45, 0.55, 0.0])


def test_two_levels_are_the_binary_smd() -> None:
    levels = np.where(DATA.married == 1, "yes", "no")
    assert_close(smd_levels(levels, DATA.treated), abs(balance(DATA.married[:, None], DATA.treated).smd[0]), 1e-10)


def test_levels_may_be_weighted() -> None:
    fit_weights = balancing_weights(DATA.score, DATA.treated, estimand="ato").weights
    assert smd_levels(DATA.race, DATA.treated, fit_weights) < 0.05
    alone = smd_levels(DATA.race, DATA.treated, DATA.treated.astype(float))
    assert np.isnan(alone)


def test_levels_without_variance() -> None:
    assert smd_levels(["a", "a", "b", "b"], [0, 0, 1, 1]) == np.inf
    assert smd_levels(["a", "a", "a"], [0, 0, 1]) == 0.0
    assert np.isnan(smd_levels(["a", "b"], [1, 1]))


def test_infinite_and_undefined_are_returned_and_fail() -> None:
    X = np.column_stack([[1, 1, 0, 0], [0, 0, 1, 1], [3, 3, 3, 3], [1, 0, 1, 0], [0.1, 0.1, 0.3, 0.3]])
    ours = balance(X, [1, 1, 0, 0])
    assert ours.smd.tolist()[:2] == [np.inf, -np.inf]
    assert np.isnan(ours.smd[2]) and ours.smd[3] == 0 and ours.smd[4] == -np.inf
    assert ours.within(0.1).tolist() == [False, False, False, True, False]


def test_missing_values_are_counted_and_left_out() -> None:
    X = np.array([[1.0], [3.0], [np.nan], [2.0], [4.0], [np.nan], [np.nan]])
    treated = np.array([1, 1, 1, 0, 0, 0, 0])
    ours = balance(X, treated)
    assert (ours.missing_treated[0], ours.missing_comparator[0]) == (1, 2)
    whole = balance(X[[0, 1, 3, 4]], treated[[0, 1, 3, 4]])
    assert_close(ours.smd, whole.smd)
    assert_close(ecdf_differences(X, treated).maximum, ecdf_differences(X[[0, 1, 3, 4]], treated[[0, 1, 3, 4]]).maximum)
    nothing = balance(np.full((4, 1), np.nan), [1, 1, 0, 0])
    assert np.isnan(nothing.smd[0]) and not nothing.within()[0]


def test_an_empty_arm_is_undefined_not_an_error() -> None:
    ours = balance([[1.0], [2.0]], [1, 1])
    assert np.isnan(ours.smd[0]) and ours.ess_comparator == 0
    assert np.isnan(ecdf_differences([[1.0], [2.0]], [1, 1]).mean[0])


def test_one_person_in_an_arm_has_no_variance() -> None:
    ours = balance([[1.0], [2.0], [4.0]], [1, 0, 0])
    assert np.isnan(ours.sd_treated[0]) and np.isnan(ours.smd[0])
    assert_close(balance([[1.0], [2.0], [4.0]], [1, 0, 0], denominator="all").smd, [-2 / np.sqrt(7 / 3)])


def test_denominator_none_is_the_raw_difference() -> None:
    assert_close(balance([[1.0], [2.0], [4.0]], [1, 0, 0], denominator="none").smd, [-2.0])


def test_ecdf_of_a_shifted_arm() -> None:
    ours = ecdf_differences([[1.0], [2.0], [3.0], [4.0]], [1, 1, 0, 0])
    assert_close([ours.maximum[0], ours.mean[0]], [1.0, (0.5 + 1 + 0.5 + 0) / 4])
    assert_close(ecdf_differences(np.ones((4, 1)), [1, 1, 0, 0]).maximum, [0.0])


def test_large_data_take_moments() -> None:
    import time

    rng = np.random.default_rng(1)
    X, treated = rng.normal(size=(300_000, 20)), rng.integers(0, 2, 300_000)
    start = time.perf_counter()
    balance(X, treated, rng.random(300_000))
    assert time.perf_counter() - start < 20


def test_errors() -> None:
    with pytest.raises(DefinitionError, match="Did you mean 'pooled'"):
        balance([[1.0]], [1], denominator="pool")
    with pytest.raises(DataError, match="weights"):
        balance([[1.0], [2.0]], [1, 0], [-1, 1])
    with pytest.raises(DataError, match="shape"):
        balance([1.0, 2.0], [1, 0])
