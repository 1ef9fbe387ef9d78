"""Two-way fixed effects: against R's `lm` with `sandwich`, their weights by hand, and what the note says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.linear import linear
from clinops.stats.two_way import TwoWayFit, two_way_event_study, two_way_fixed_effects
from tests import support
from tests.stats.panel_data import Arrays, counties, made, rows, taken

TOLERANCE = 1e-6  # as the reference states
KEYS = {
    "none": "se_cluster_no_adjust",
    "clusters": "se_cluster_G",
    "all": "se_cluster_stata_areg_like",
    "nested": "se_cluster_reghdfe_like",
}


def wages() -> tuple[Arrays, dict[str, Any]]:
    return counties(support.oracle_csv("its_did/mpdta")), support.oracle("its_did/did_mpdta")["expected"]


@pytest.mark.parametrize("factor", KEYS)
def test_coefficient_and_clustered_errors_are_those_of_r(factor: str) -> None:
    data, expected = wages()
    fit = two_way_fixed_effects(**rows(data), factor=factor)
    support.assert_close(fit.coef, [expected["twfe"]["coef"]], TOLERANCE)
    support.assert_close(fit.std_error, [expected["twfe"][KEYS[factor]]], TOLERANCE)
    assert (fit.n, fit.n_clusters) == (expected["twfe"]["N"], expected["twfe"]["G"])


def test_the_error_without_clusters_comes_from_the_regression() -> None:
    data, expected = wages()
    under = (data["time"] >= data["first_treated"])[:, None]
    X = np.hstack([under, data["time"][:, None] == np.arange(2004, 2008)]).astype(float)
    fit = linear(X, data["y"], strata=data["unit"], se="model")
    support.assert_close(fit.std_error[0], expected["twfe"]["se_iid"], TOLERANCE)


def test_the_event_study_is_that_of_r() -> None:
    data, expected = wages()
    said = expected["twfe_event_study"]
    fit = two_way_event_study(**rows(data), factor="clusters")
    assert fit.event_time.tolist() == said["event_time"]
    support.assert_close(fit.coef, said["coef"], TOLERANCE)
    support.assert_close(fit.std_error, said["se_cluster_G"], TOLERANCE)


@pytest.mark.parametrize("estimator", [two_way_fixed_effects, two_way_event_study])
def test_staggered_adoption_is_said_and_a_single_date_is_not(estimator: Any) -> None:
    staggered, single = estimator(**rows(made(1))), estimator(**rows(made(1, {3.0: 9, np.inf: 9})))
    assert (staggered.staggered, single.staggered, single.note) == (True, False, "")
    assert "starts at 3 different times" in staggered.note
    assert "units already treated" in staggered.note


def test_with_one_date_it_is_the_difference_of_four_means() -> None:
    data = made(2, {4.0: 9, np.inf: 12})
    y, treated = data["y"].reshape(-1, 6), data["first_treated"][::6] == 4
    change = y[:, 3:].mean(axis=1) - y[:, :3].mean(axis=1)
    fit = two_way_fixed_effects(**rows(data))
    assert_allclose(fit.coef, change[treated].mean() - change[~treated].mean(), rtol=1e-10)
    assert_allclose(fit.negative_weight, 0, atol=1e-12)


def test_weights_on_effects_may_be_negative() -> None:
    """Without noise the coefficient is the sum of effects by weights of a regression with every column written out."""
    data = made(3, {2.0: 8, 5.0: 8, np.inf: 2}, grows=1.0, noise=0.0) | {"x": np.zeros((108, 1))}
    data["y"] = data["effect"] + data["unit"] + np.sqrt(data["time"])
    under = (data["time"] >= data["first_treated"]).astype(float)
    columns = np.hstack([data["unit"][:, None] == np.arange(18), data["time"][:, None] == np.arange(2, 7)]).astype(
        float
    )
    left = under - columns @ np.linalg.lstsq(columns, under, rcond=None)[0]
    weight = left[under == 1] / left[under == 1].sum()
    fit = two_way_fixed_effects(**rows(data))
    assert_allclose(fit.coef[0], weight @ data["effect"][under == 1], rtol=1e-9)
    assert_allclose(fit.negative_weight, -weight[weight < 0].sum(), rtol=1e-9)
    assert fit.negative_weight > 0.05


@pytest.mark.parametrize("estimator", [two_way_fixed_effects, two_way_event_study])
def test_order_labels_and_common_shifts_change_nothing(estimator: Any) -> None:
    data, rng = made(5), np.random.default_rng(5)
    shifts = rng.normal(size=7)[data["time"].astype(int)] + 50 + rng.normal(size=62)[data["unit"]]
    changed = data | {"y": data["y"] + shifts, "unit": rng.permutation(62)[data["unit"]].astype(str)}
    before, after = estimator(**rows(data)), estimator(**rows(taken(changed, rng.permutation(372))))
    assert_allclose(after.coef, before.coef, rtol=1e-8)
    assert_allclose(after.std_error, before.std_error, rtol=1e-8)


def no_estimate(fit: TwoWayFit) -> bool:
    return bool(np.isnan([fit.coef[0], fit.std_error[0], fit.p_value[0], fit.negative_weight]).all())


@pytest.mark.parametrize("sizes", [{np.inf: 9}, {3.0: 9}, {1.0: 4, np.inf: 5}], ids=["none", "all", "always"])
def test_treatment_that_does_not_vary_within_periods_has_no_estimate(sizes: dict[float, int]) -> None:
    fit = two_way_fixed_effects(**rows(made(1, sizes)))
    assert no_estimate(fit)
    assert "Not estimable: treatment does not vary" in fit.note


def test_one_period_has_no_estimate() -> None:
    data = made(1)
    assert no_estimate(two_way_fixed_effects(**rows(taken(data, data["time"] == 4))))


def test_one_cluster_has_no_error() -> None:
    data = made(1)
    fit = two_way_fixed_effects(**rows(data), cluster=np.zeros(372))
    assert np.isfinite(fit.coef[0])
    assert np.isnan(fit.std_error[0])
    assert "One cluster tells nothing of the error." in fit.note


def test_a_constant_outcome_has_no_effect() -> None:
    fit = two_way_fixed_effects(**rows(made(1) | {"y": np.full(372, 3.0)}))
    assert abs(fit.coef[0]) < 1e-12 and "do not vary" in fit.note
    assert np.isnan([fit.std_error[0], fit.p_value[0], fit.cov[0, 0]]).all()


def test_missing_outcomes_are_refused_or_dropped() -> None:
    data = made(1)
    data["y"][3] = np.nan
    with pytest.raises(DataError, match="1 of 62 units lack an outcome"):
        two_way_fixed_effects(**rows(data))
    fit = two_way_fixed_effects(**rows(data), unbalanced="drop")
    assert (fit.n_units, fit.n) == (61, 366)
    assert "were set aside" in fit.note


def test_wrong_input_is_refused() -> None:
    data = rows(made(1))
    with pytest.raises(DefinitionError, match="no small-sample factor 'areg'"):
        two_way_fixed_effects(**data, factor="areg")
    with pytest.raises(DefinitionError, match="reference is -9; it must be an event time of the panel: -5, -4"):
        two_way_event_study(**data, reference=-9)
    with pytest.raises(DataError, match="a trend in event time cannot be told from calendar time"):
        two_way_event_study(**rows(made(1, {3.0: 5, 4.0: 5})))
