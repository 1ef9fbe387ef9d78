"""Multiple imputation: Rubin's rules against mice, and imputed data whose analyses cover the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.imputations import Column, impute, pool
from tests.support import assert_close, oracle

RUBIN = oracle("epi/robustness")["expected"]["rubin"]


@pytest.mark.parametrize("name", RUBIN)
def test_rubins_rules_are_those_of_mice(name: str) -> None:
    case = RUBIN[name]
    df = math.inf if case["df_complete"] is None else case["df_complete"]
    found = pool(case["q"], case["u"], df_complete=df)
    ours = [found.estimate, found.within, found.between, found.std_error**2, found.df, found.increase,
            found.share_missing_information]  # fmt: skip
    keys = ("estimate", "within", "between", "total", "df", "increase", "missing_information")
    assert_close(ours, [case[key] for key in keys])


def test_nothing_missing_pools_to_the_complete_analysis() -> None:
    found = pool([2.0] * 5, [0.25] * 5)
    assert (found.estimate, found.std_error) == (2.0, 0.5) and found.increase == 0
    assert (found.conf_low, found.conf_high) == pytest.approx((1.02002, 2.97998), rel=1e-4)
    assert pool([2.0] * 5, [0.25] * 5, df_complete=10).df == pytest.approx(10 * 11 / 13, rel=1e-3)
    assert pool([1.0, 1.0], [0.0, 0.0]).std_error == 0 and math.isnan(pool([1.0, 1.0], [0.0, 0.0]).p_value)
    with pytest.raises(DataError, match="two data sets"):
        pool([1.0], [1.0])
    with pytest.raises(DataError, match="cannot be pooled"):
        pool([1.0, math.nan], [1.0, 1.0])


def test_the_level_of_a_column_does_not_matter() -> None:
    rng = np.random.default_rng(4)
    x, z = rng.normal(size=(2, 400))
    hole = rng.random(400) < 0.3
    low, high = (
        next(impute([Column(np.where(hole, np.nan, x + z + level)), Column(z)], m=1, seed=1))[0] - level
        for level in (0.0, 1e5)
    )
    assert np.isclose(high, low, atol=1e-6).mean() > 0.98  # rounding may choose between donors as near


def test_observed_values_stay_and_imputed_ones_are_somebodys() -> None:
    rng = np.random.default_rng(1)
    x, level = rng.poisson(3, 300).astype(float), rng.integers(0, 3, 300).astype(float)
    holes = rng.random((2, 300)) < 0.2
    given = [Column(np.where(holes[0], np.nan, x)), Column(np.where(holes[1], np.nan, level), 3),
             Column(rng.normal(size=300))]  # fmt: skip
    first = list(impute(given, m=3, seed=4))
    again = list(impute(given, m=3, seed=4))
    assert len(first) == 3 and all(
        (a[0] == b[0]).all() and (a[1] == b[1]).all() for a, b in zip(first, again, strict=True)
    )
    for number, (filled, codes, whole) in enumerate(first):
        assert (filled[~holes[0]] == x[~holes[0]]).all() and set(filled) <= set(x[~holes[0]])
        assert (codes[~holes[1]] == level[~holes[1]]).all() and set(codes) <= {0.0, 1.0, 2.0}
        assert (whole == given[2].values).all()
        assert number == 0 or (filled != first[0][0]).any()


def _regressed(columns: tuple[np.ndarray, ...]) -> tuple[float, float]:
    """Slope of y on x with z held, and its variance."""
    x, z, y = columns[:3]
    X = np.column_stack([np.ones(len(x)), x, z])
    inverse = np.linalg.inv(X.T @ X)
    coefficient = inverse @ X.T @ y
    residual = y - X @ coefficient
    return coefficient[1], inverse[1, 1] * (residual @ residual) / (len(y) - 3)


def test_pooled_intervals_cover_where_complete_cases_do_not() -> None:
    """x is missing more often where y is high: complete cases are biased, imputation from y is not."""
    rng = np.random.default_rng(21)
    covered, alone, widths = [], [], []
    for seed in range(120):
        n = 250
        z = rng.normal(size=n)
        x = 0.5 * z + rng.normal(size=n)
        y = 1.0 * x + 0.5 * z + rng.normal(size=n)
        hole = rng.random(n) < 1 / (1 + np.exp(1.2 - 1.2 * y))
        sets = impute([Column(np.where(hole, np.nan, x)), Column(z), Column(y)], m=8, seed=seed)
        q, u = np.array([_regressed(columns) for columns in sets]).T
        found = pool(q, u, df_complete=n - 3)
        covered.append(found.conf_low <= 1 <= found.conf_high)
        kept = _regressed((x[~hole], z[~hole], y[~hole]))
        alone.append(abs(kept[0] - 1) <= 1.96 * math.sqrt(kept[1]))
        widths.append(found.share_missing_information)
    # binomial error of 95 % in 120 is 2 %
    assert np.mean(covered) >= 0.90 and np.mean(alone) < 0.85 and 0.1 < np.mean(widths) < 0.7


def test_a_categorical_column_keeps_its_shares_within_what_predicts_it() -> None:
    """Levels follow a group and are missing in one group only: the observed shares overall are not the true ones."""
    rng = np.random.default_rng(2)
    n = 6000
    group = rng.integers(0, 2, n).astype(float)
    shares = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]])
    level = np.array([rng.choice(3, p=shares[int(g)]) for g in group]).astype(float)
    hole = (group == 1) & (rng.random(n) < 0.6)
    found = np.mean(
        [[(codes[group == 1] == k).mean() for k in range(3)]
         for codes, *_ in impute([Column(np.where(hole, np.nan, level), 3), Column(group)], m=5, seed=3)], axis=0
    )  # fmt: skip
    assert found == pytest.approx(shares[1], abs=0.03)


def test_a_column_without_variation_does_no_harm_and_one_without_values_is_refused() -> None:
    x = np.array([1.0, 2.0, 3.0, np.nan, 5.0])
    (filled, constant), = impute([Column(x), Column(np.ones(5))], m=1, seed=1)  # fmt: skip
    assert filled[3] in (1.0, 2.0, 3.0, 5.0) and (constant == 1).all()
    with pytest.raises(DataError, match="no observed value"):
        impute([Column(np.full(3, np.nan)), Column(np.arange(3.0))], m=1, seed=1)
    with pytest.raises(DataError, match="must have the same"):
        impute([Column(np.ones(3)), Column(np.ones(4))], m=1, seed=1)
    with pytest.raises(DataError, match="codes 0 to 1"):
        Column(np.array([0.0, 2.0]), 2)
    with pytest.raises(ParameterError, match="donors"):
        impute([Column(x)], m=1, seed=1, donors=0)
