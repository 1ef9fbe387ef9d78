"""Simultaneous bands against closed forms and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import chi2, multivariate_normal, norm, t

from clinops.errors import DataError, ParameterError
from clinops.stats.event_study import event_study
from clinops.stats.simultaneous import simultaneous_band
from tests.stats.panel_data import made, rows

DRAWS = 200_000
RATES = (8.2, 6.1, 15.7, 11.1)
"""Per cent of 2,000 panels (docs/methods/panels.md): three leads by the normal and by t, nine leads likewise."""


def test_one_estimate_has_the_usual_interval() -> None:
    band = simultaneous_band([1.0], [[4.0]], draws=DRAWS)
    assert band.critical == pytest.approx(norm.isf(0.025), abs=0.01)
    assert band.p_value == pytest.approx(2 * norm.sf(0.5), abs=0.005) and band.n == 1
    assert (band.low[0], band.high[0]) == pytest.approx((1 - 2 * band.critical, 1 + 2 * band.critical))


def maximum_modulus(m: int, df: int) -> float:
    """The 95 % point of the studentised maximum modulus, by quadrature over the chi-squared scale."""

    def inside(c: float) -> float:
        def at(u: float) -> float:
            return float((2 * norm.cdf(c * np.sqrt(u / df)) - 1) ** m * chi2.pdf(u, df))

        return float(quad(at, 0, 150)[0])

    return float(brentq(lambda c: inside(c) - 0.95, 1.9, 5.0))


def test_few_degrees_of_freedom_widen_it_as_t_does() -> None:
    band = simultaneous_band([1.0], [[4.0]], df=5, draws=DRAWS)
    assert band.critical == pytest.approx(t.isf(0.025, 5), abs=0.03)
    assert band.p_value == pytest.approx(2 * t.sf(0.5, 5), abs=0.005)
    several = simultaneous_band(np.zeros(6), np.eye(6), df=20, draws=DRAWS)
    assert several.critical == pytest.approx(maximum_modulus(6, 20), abs=0.02)


@pytest.mark.parametrize("m", [2, 5, 12])
def test_independent_estimates_have_sidaks_critical_value(m: int) -> None:
    band = simultaneous_band(np.zeros(m), np.diag(np.arange(1.0, m + 1)), draws=DRAWS)
    assert band.critical == pytest.approx(norm.ppf((1 + 0.95 ** (1 / m)) / 2), abs=0.015)


def test_estimates_that_move_together_need_no_wider_band() -> None:
    error = np.array([1.0, 3.0, 0.5])
    band = simultaneous_band([0.0, 9.0, 0.0], np.outer(error, error), draws=DRAWS)
    assert band.critical == pytest.approx(norm.isf(0.025), abs=0.015)
    assert band.statistic == pytest.approx(3.0) and band.p_value == pytest.approx(2 * norm.sf(3), abs=5e-4)


def test_correlated_estimates_by_numerical_integration() -> None:
    correlation = np.array([[1, 0.7, 0.2], [0.7, 1, 0.5], [0.2, 0.5, 1]])
    normal = multivariate_normal(cov=correlation, seed=1)

    def inside(c: float) -> float:
        return float(normal.cdf(np.full(3, c), lower_limit=np.full(3, -c)))

    exact = brentq(lambda c: inside(c) - 0.9, 1.5, 3.0, xtol=1e-4)
    scale = np.diag([2.0, 0.1, 7.0])
    band = simultaneous_band(np.zeros(3), scale @ correlation @ scale, conf_level=0.9, draws=DRAWS)
    assert band.critical == pytest.approx(exact, abs=0.015)


def test_base_periods_and_unknown_errors_have_no_part() -> None:
    cov = np.diag([1.0, 0.0, np.nan, 1.0])
    band = simultaneous_band([0.5, 0.0, 9.0, 0.1], cov)
    alone = simultaneous_band([0.5, 0.1], np.eye(2))
    assert band.n == 2 and np.isnan(band.low[1:3]).all() and band.critical == alone.critical
    assert simultaneous_band([0.0], [[0.0]]).note == "No estimate has an error: no band."
    assert np.isnan(simultaneous_band([], np.zeros((0, 0))).p_value)


def test_an_estimate_without_an_error_takes_nobody_along() -> None:
    """As an event study has it: the row and the column of what cannot be estimated are unknown."""
    cov = np.diag([1.0, 4.0, 9.0])
    cov[1, :] = cov[:, 1] = np.nan
    band = simultaneous_band([0.5, 0.1, 3.0], cov)
    alone = simultaneous_band([0.5, 3.0], np.diag([1.0, 9.0]))
    assert band.n == 2 and band.critical == alone.critical and np.isnan(band.low[1])
    assert (band.low[0], band.high[2]) == (alone.low[0], alone.high[1])


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        simultaneous_band([1.0, 2.0], [[1.0]])
    with pytest.raises(ParameterError, match="df is"):
        simultaneous_band([1.0], [[1.0]], df=0)
    with pytest.raises(ParameterError, match="draws"):
        simultaneous_band([1.0], [[1.0]], draws=10)


@pytest.mark.slow
def test_few_clusters_miss_zero_as_often_as_the_methods_page_says() -> None:
    """400 panels without an effect, other ones than those behind the page: within 3.5 Monte Carlo errors of its rates.

    24 units over 12 periods, four starting in each of 5, 7, 9 and 11 and eight never.
    """
    missed = np.zeros(4)
    for seed in range(400):
        data = made(seed, {5.0: 4, 7.0: 4, 9.0: 4, 11.0: 4, np.inf: 8}, periods=12)
        study = event_study(**(rows(data) | {"y": data["y"] - data["effect"]}))
        for at, (farthest, df) in enumerate(((4, np.inf), (4, 23), (10, np.inf), (10, 23))):
            lead = np.flatnonzero((study.event_time < -1) & (study.event_time >= -farthest))
            assert len(lead) == farthest - 1
            band = simultaneous_band(study.estimate[lead], study.cov[np.ix_(lead, lead)], df=df, draws=4000)
            missed[at] += band.p_value < 0.05
    said = np.array(RATES) / 100
    assert (np.abs(missed / 400 - said) < 3.5 * np.sqrt(said * (1 - said) * (1 / 400 + 1 / 2000))).all()
