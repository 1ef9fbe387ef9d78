"""Two-stage least squares: the Wald ratio, statsmodels' two regressions, the Anderson-Rubin set by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.instrument import anderson_rubin, two_stage_least_squares
from clinops.stats.linear import linear


def made(seed: int, n: int = 400, strength: float = 0.5) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    strata, z = rng.integers(0, 5, n), rng.integers(0, 2, n).astype(float)
    lazy = rng.normal(size=n)
    d = ((strength * z + 0.2 * lazy + rng.normal(0, 0.3, n)) > 0.3).astype(float)
    x = rng.normal(size=(n, 2))
    y = 2 * d + strata + lazy + x @ [1.0, 0.5] + rng.normal(size=n)
    return {"y": y, "d": d, "z": z, "x": x, "strata": strata, "w": rng.random(n) + 0.2}


def fit_of(data: dict[str, Any], **more: Any) -> Any:
    return two_stage_least_squares(
        data["y"], data["d"], data["z"], covariates=data["x"], weights=data["w"], strata=data["strata"], **more
    )


def test_without_covariates_it_is_the_wald_ratio() -> None:
    data = made(0)
    y, d, z = data["y"], data["d"], data["z"] == 1
    found = two_stage_least_squares(y, d, data["z"])
    assert found.estimate == pytest.approx((y[z].mean() - y[~z].mean()) / (d[z].mean() - d[~z].mean()), rel=1e-10)
    assert found.first_stage == pytest.approx(d[z].mean() - d[~z].mean(), rel=1e-10)
    assert found.reduced_form == pytest.approx(y[z].mean() - y[~z].mean(), rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_with_everything_it_is_the_textbook_formula_with_indicator_columns(seed: int) -> None:
    """b = (Z'WX)^-1 Z'Wy and its sandwich, strata as columns: another road to the same numbers."""
    data = made(seed)
    dummies = (data["strata"][:, None] == np.arange(5)).astype(float)
    X = np.column_stack([data["d"], data["x"], dummies])
    Z = np.column_stack([data["z"], data["x"], dummies])
    w, y, n, k = data["w"], data["y"], len(data["y"]), X.shape[1]
    inverse = np.linalg.inv((Z * w[:, None]).T @ X)
    beta = inverse @ (Z * w[:, None]).T @ y
    scores = Z * (w * (y - X @ beta))[:, None]
    cov = inverse @ (scores.T @ scores) @ inverse.T
    plain, corrected = fit_of(data, se="HC0"), fit_of(data)
    assert plain.estimate == pytest.approx(beta[0], rel=1e-9)
    assert plain.std_error == pytest.approx(np.sqrt(cov[0, 0]), rel=1e-9)
    assert corrected.std_error == pytest.approx(np.sqrt(cov[0, 0] * n / (n - k)), rel=1e-9)
    groups = np.arange(n) % 50
    sums = np.array([scores[groups == g].sum(axis=0) for g in range(50)])
    clustered = inverse @ (sums.T @ sums) @ inverse.T * 50 / 49 * (n - 1) / (n - k)
    assert fit_of(data, cluster=groups).std_error == pytest.approx(np.sqrt(clustered[0, 0]), rel=1e-9)


def test_an_offer_that_everybody_takes_is_its_own_effect() -> None:
    data = made(1)
    found = two_stage_least_squares(data["y"], data["z"], data["z"], weights=data["w"], strata=data["strata"])
    plain = linear(data["z"][:, None], data["y"], weights=data["w"], strata=data["strata"])
    assert_allclose([found.estimate, found.std_error, found.p_value],
                    [plain.coef[0], plain.std_error[0], plain.p_value[0]], rtol=1e-9)  # fmt: skip


def test_the_first_stage_f_is_the_square_of_its_robust_t() -> None:
    data = made(2)
    stage = linear(np.column_stack([data["z"], data["x"]]), data["d"], weights=data["w"], strata=data["strata"])
    assert fit_of(data).first_stage_f == pytest.approx((stage.coef[0] / stage.std_error[0]) ** 2, rel=1e-9)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.sampled_from([0.0, 0.05, 0.15, 0.5]))
def test_the_anderson_rubin_set_is_what_its_test_does_not_reject(seed: int, strength: float) -> None:
    """Invert the test at a grid of effects: regress y - b d on z, and see whether z matters."""
    data = made(seed, n=200, strength=strength)
    if np.ptp(data["d"]) == 0:
        return
    found = two_stage_least_squares(data["y"], data["d"], data["z"])
    for b in np.linspace(-40, 40, 81):
        plain = linear(data["z"][:, None], data["y"] - b * data["d"])
        accepted = plain.p_value[0] >= 0.05
        inside = {
            "interval": found.ar_low <= b <= found.ar_high, "outside": not found.ar_low < b < found.ar_high,
            "whole line": True,
        }[found.ar_kind]  # fmt: skip
        assert accepted == inside or abs(plain.p_value[0] - 0.05) < 1e-6


def test_a_strong_first_stage_bounds_the_set_and_a_weak_one_does_not() -> None:
    strong = anderson_rubin(1.0, 0.5, np.diag([0.01, 0.0001]), 1000)
    assert strong[2] == "interval" and strong[0] < 2 < strong[1]
    assert anderson_rubin(0.1, 0.001, np.diag([0.01, 0.01]), 1000) == (-np.inf, np.inf, "whole line")
    low, high, kind = anderson_rubin(1.0, 0.001, np.diag([0.01, 0.01]), 1000)
    assert kind == "outside" and low < high
    assert anderson_rubin(1.0, 0.5, np.full((2, 2), np.nan), 10)[2] == "none"


def test_an_offer_that_moves_nothing_has_no_effect_of_taking_part() -> None:
    y, z = np.arange(6.0), np.array([0.0, 1, 0, 1, 0, 1])
    nobody = two_stage_least_squares(y, np.zeros(6), z)
    assert np.isnan(nobody.estimate) and "does not change" in nobody.note and nobody.ar_kind == "whole line"
    moved = two_stage_least_squares(10 * z + y / 100, np.zeros(6), z)
    assert moved.ar_kind == "none"  # an offer that changes the outcome of people who never took part
    alike = two_stage_least_squares(y, np.ones(6), np.ones(6))
    assert np.isnan(alike.estimate) and "does not vary" in alike.note
    weak = fit_of(made(0, strength=0.0))
    assert weak.first_stage_f < 10 and "weak" in weak.note.lower()


def test_wrong_input_is_refused() -> None:
    with pytest.raises(DataError, match="exposure has 2 rows"):
        two_stage_least_squares([1.0, 2, 3], [0.0, 1], [0.0, 1, 0])
    with pytest.raises(DataError, match="missing"):
        two_stage_least_squares([1.0, 2, np.nan], [0.0, 1, 1], [0.0, 1, 0])
    with pytest.raises(DefinitionError, match="HC1"):
        two_stage_least_squares([1.0, 2, 3], [0.0, 1, 1], [0.0, 1, 0], se="HC")
