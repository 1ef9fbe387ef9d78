"""Smallest detectable effects and sample sizes, against base R and against each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clinops.errors import DefinitionError
from clinops.stats.power import (
    ancova_factor,
    design_effect,
    detectable_difference_means,
    detectable_difference_proportions,
    detectable_hazard_ratio,
    events_for_hazard_ratio,
    events_for_hazard_ratio_freedman,
    obrien_fleming_spending,
    power_means,
    sample_size_means,
    sample_size_proportions,
    sample_size_rate_ratio,
)
from tests.support import assert_close, oracle

R = oracle("epi/sample_size")["expected"]
TOLERANCE = oracle("epi/sample_size")["meta"]["tolerance_rel"]


def test_means_equal_r() -> None:
    assert_close(sample_size_means(1, 1, power=0.9), R["t_delta1_power90"]["n_per_arm"], TOLERANCE)
    assert_close(power_means(1, 1, 20, 20), R["t_n20_power"]["power"], TOLERANCE)
    assert_close(sample_size_means(250, 2000), R["t_cost_250_sd2000"]["n_per_arm"], TOLERANCE)
    assert_close(detectable_difference_means(2000, 1000, 1000), R["mde_t_n1000_sd2000"], TOLERANCE)


def test_proportions_equal_r() -> None:
    assert_close(sample_size_proportions(0.5, 0.75, power=0.9), R["prop_50_75_power90"]["n_per_arm"], TOLERANCE)
    assert_close(sample_size_proportions(0.15, 0.12), R["prop_15_12_power80"]["n_per_arm"], TOLERANCE)
    assert_close(sample_size_proportions(0.15, 0.12, pooled=False), R["prop_unpooled_15_12"], TOLERANCE)


def test_detectable_proportions_turn_r_round() -> None:
    n = R["prop_15_12_power80"]["n_per_arm"]
    assert_close(detectable_difference_proportions(0.15, n, n)[0], -0.03, TOLERANCE)
    assert_close(detectable_difference_proportions(0.12, n, n)[1], 0.03, TOLERANCE)


def test_events_and_design_effect_equal_r() -> None:
    schoenfeld = R["schoenfeld_events"]
    assert_close(events_for_hazard_ratio(0.7), schoenfeld["hr_0.7"], TOLERANCE)
    assert_close(events_for_hazard_ratio(0.8, power=0.9), schoenfeld["hr_0.8_power90"], TOLERANCE)
    assert_close(events_for_hazard_ratio(2, share_exposed=0.25), schoenfeld["hr_2_alloc_1_3"], TOLERANCE)
    assert_close(1 / detectable_hazard_ratio(schoenfeld["hr_0.7"]), 0.7, TOLERANCE)
    assert_close(design_effect(20, 0.05), R["design_effect"]["m20_icc05"], TOLERANCE)
    assert_close(design_effect(20, 0.05, cv=0.6), R["design_effect"]["m20_icc05_cv06"], TOLERANCE)


def test_rates_baseline_and_looks_equal_r() -> None:
    assert_close(events_for_hazard_ratio_freedman(0.7), R["freedman_events"]["hr_0.7"], TOLERANCE)
    wanted = R["negbin_rate_n_per_arm"]["mu0_0.8_rr_0.75_theta_1_t_1"]
    assert_close(sample_size_rate_ratio(0.8, 0.75, dispersion=1), wanted, TOLERANCE)
    assert_close(ancova_factor(0.6), R["ancova_n_factor"]["rho_0.6"], TOLERANCE)
    looks = R["obrien_fleming_ld"]
    assert_close(obrien_fleming_spending(looks["info"]), looks["alpha_spent_two_sided_05"], TOLERANCE)


def test_every_reference_value_of_sample_size_is_used() -> None:
    """A key that is added to the oracle and not tested fails here."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert [key for key in R if f'"{key}"' not in text] == []


def test_rates_and_events_behave_at_the_edges() -> None:
    assert sample_size_rate_ratio(0.8, 1) == events_for_hazard_ratio_freedman(1) == np.inf
    # twice the time is half the Poisson part; the ratio turned round swaps the arms
    poisson = sample_size_rate_ratio(0.8, 0.75)
    assert_close(sample_size_rate_ratio(0.8, 0.75, time=2), poisson / 2, 1e-12)
    assert_close(sample_size_rate_ratio(0.6, 1 / 0.75), poisson, 1e-12)
    assert_close(events_for_hazard_ratio_freedman(1 / 0.7), events_for_hazard_ratio_freedman(0.7), 1e-12)
    assert ancova_factor(0) == 1 and ancova_factor(-1) == 0
    assert obrien_fleming_spending([0.0]).tolist() == [0.0]
    assert_close(obrien_fleming_spending(1.0, alpha=0.01), [0.01], 1e-12)


@pytest.mark.parametrize(
    ("said", "make"),
    [
        ("hazard ratio is 0", lambda: events_for_hazard_ratio_freedman(0)),
        ("rate ratio is -1", lambda: sample_size_rate_ratio(0.8, -1)),
        ("time is 0", lambda: sample_size_rate_ratio(0.8, 0.5, time=0)),
        ("dispersion is -1", lambda: sample_size_rate_ratio(0.8, 0.5, dispersion=-1)),
        ("correlation is 1.2", lambda: ancova_factor(1.2)),
        ("information is .1.5", lambda: obrien_fleming_spending([1.5])),
    ],
)
def test_impossible_designs_are_refused(said: str, make: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


def test_unequal_arms_have_the_power_asked_for() -> None:
    difference = detectable_difference_means(3.0, 40.5, 200)
    assert_close(power_means(difference, 3.0, 40.5, 200), 0.8, 1e-9)


def test_large_samples_approach_the_normal() -> None:
    assert_close(detectable_difference_means(1, 60_000, 60_000) / np.sqrt(2 / 60_000), 1.959963985 + 0.841621234, 1e-4)
    below, above = (detectable_difference_means(1, n, n) * np.sqrt(n) for n in (49_999, 50_003))
    assert_close(below, above, 1e-5)  # no jump where the normal takes over


def test_a_rare_event_may_fall_unseen() -> None:
    fall, rise = detectable_difference_proportions(0.01, 50, 50)
    assert np.isnan(fall) and rise > 0
    assert np.isnan(detectable_difference_proportions(0.0, 50, 50)[0])
    assert np.isnan(detectable_difference_proportions(1.0, 50, 50)[1])


def test_degenerate_inputs() -> None:
    assert np.isnan(detectable_difference_means(1, 1, 100))
    assert np.isnan(detectable_difference_means(float("nan"), 100, 100))
    assert detectable_difference_means(0, 100, 100) == 0
    assert np.isnan(power_means(1, 0, 10, 10))
    assert sample_size_means(0, 1) == sample_size_proportions(0.1, 0.1) == events_for_hazard_ratio(1) == np.inf
    assert np.isnan(sample_size_means(1, 0))
    assert np.isnan(detectable_hazard_ratio(0)) and np.isnan(detectable_hazard_ratio(10, share_exposed=1))
    assert all(np.isnan(detectable_difference_proportions(0.5, 0, 10)))


def test_errors() -> None:
    for wrong in ({"power": 1.0}, {"alpha": 0.0}, {"power": 0.01, "alpha": 0.05}):
        with pytest.raises(DefinitionError, match="power is"):
            detectable_difference_means(1, 10, 10, **wrong)
