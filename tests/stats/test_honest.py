"""Bounds when trends are not parallel: closed forms, linear programmes, R's HonestDiD, and coverage at the bound."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.stats import norm

from clinops.errors import DataError, DefinitionError
from clinops.stats.event_study import EventStudy, event_study
from clinops.stats.honest import honest_bounds
from clinops.stats.honest_tests import (
    folded_quantile,
    least_favourable,
    relative_interval,
    shortest_interval,
    truncated_quantile,
)
from tests.stats.panel_data import made, rows


def a_study(beta: Any, cov: Any, leads: int) -> EventStudy:
    error = np.sqrt(np.diag(cov))
    times = np.array([e for e in range(-leads - 1, len(beta) - leads) if e != -1], dtype=float)
    return EventStudy(
        "two-way", times, np.asarray(beta), error, beta - 1.96 * error, beta + 1.96 * error, np.asarray(cov),
        np.full(len(beta), 9), -1.0, 99, 99, np.inf, 0.95, "",
    )  # fmt: skip


@pytest.fixture
def published(reference: Any) -> tuple[EventStudy, dict[str, Any]]:
    expected, _, _ = reference("its_did/honest_did")
    return a_study(np.array(expected["betahat"]), np.array(expected["sigma"]), expected["leads"]), expected


TARGETS = {"e0": [1.0, 0, 0, 0], "avg": [0.25] * 4}


# --- R's HonestDiD -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_identified_sets_are_those_of_honestdid(published: Any, target: str) -> None:
    study, expected = published
    r = expected[f"rm_{target}_c_lf"]
    found = honest_bounds(study, bounds=r["mbar"], weights=TARGETS[target])
    assert_allclose(found.set_low, r["set_lb"], atol=1e-7)
    assert_allclose(found.set_high, r["set_ub"], atol=1e-7)
    plain = expected[f"original_{target}"]
    assert_allclose([found.plain_low, found.plain_high], [plain["lb"], plain["ub"]], rtol=1e-10)


@pytest.mark.parametrize("target", TARGETS)
def test_relative_magnitudes_are_those_of_honestdid(published: Any, target: str) -> None:
    """Within a step of its grid and 1e-3 for the simulated first stage."""
    study, expected = published
    r = expected[f"rm_{target}_c_lf"]
    found = honest_bounds(study, bounds=r["mbar"], weights=TARGETS[target])
    error = (found.plain_high - found.plain_low) / 2 / norm.ppf(0.975)
    step = 40 * error / 999 if target == "e0" else 80 * error / 9999
    assert_allclose(found.conf_low, r["lb"], rtol=0, atol=step + 5e-4)
    assert_allclose(found.conf_high, r["ub"], rtol=0, atol=step + 5e-4)


@pytest.mark.parametrize("target", TARGETS)
def test_smoothness_is_that_of_honestdid(published: Any, target: str) -> None:
    study, expected = published
    r = expected[f"sd_{target}"]
    found = honest_bounds(study, restriction="smoothness", bounds=expected["m"], weights=TARGETS[target])
    assert_allclose(found.conf_low, r["lb"], rtol=0, atol=1e-3)
    assert_allclose(found.conf_high, r["ub"], rtol=0, atol=1e-3)
    half, theirs = (found.conf_high - found.conf_low) / 2, (np.array(r["ub"]) - np.array(r["lb"])) / 2
    assert_allclose(half, theirs, rtol=2e-3)  # two errors of a quantile from a million draws
    assert np.isnan(found.set_low).all()
    assert "bend more than the smallest bound" in found.note


# --- closed forms ------------------------------------------------------------------------------------------


def random_study(seed: int, leads: int = 3, lags: int = 2, spread: float = 0.3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(leads + lags, leads + lags + 3)) * spread
    return rng.normal(size=leads + lags), root @ root.T / (leads + lags)


@pytest.mark.parametrize("seed", range(3))
def test_no_violation_is_the_plain_interval(seed: int) -> None:
    beta, cov = random_study(seed)
    found = honest_bounds(a_study(beta, cov, 3), bounds=[0.0], weights=[0.3, 0.7])
    assert_allclose([found.conf_low[0], found.conf_high[0]], [found.plain_low, found.plain_high], atol=1e-9)
    assert found.set_low[0] == found.set_high[0] == found.estimate
    error = np.sqrt(np.array([0, 0, 0, 0.3, 0.7]) @ cov @ [0, 0, 0, 0.3, 0.7])
    assert_allclose(found.plain_high - found.estimate, norm.ppf(0.975) * error, rtol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_a_bound_of_zero_on_the_slope_is_a_line_by_generalised_least_squares(seed: int) -> None:
    """Effects free, a line through the reference: the line is fitted to the leads, and effects follow from it."""
    beta, cov = random_study(seed)
    found = honest_bounds(a_study(beta, cov, 3), restriction="smoothness", bounds=[0.0], weights=[0.5, 0.5])
    X = np.column_stack([[-3.0, -2, -1, 1, 2], np.eye(5)[:, 3:]])
    inverse = np.linalg.inv(cov)
    V = np.linalg.inv(X.T @ inverse @ X)
    b, pick = V @ X.T @ inverse @ beta, np.array([0, 0.5, 0.5])
    half = norm.ppf(0.975) * np.sqrt(pick @ V @ pick)
    assert_allclose([found.conf_low[0], found.conf_high[0]], [pick @ b - half, pick @ b + half], rtol=1e-8)


def programme(beta: Any, leads: int, share: Any, rows_of: Any) -> tuple[float, float]:
    """The set of effects by linear programmes over trends that agree with the leads."""
    A, b = rows_of
    k = len(beta)
    equal = np.eye(k)[:leads]
    pick = np.concatenate([np.zeros(leads), share])
    ends = []
    for sign in (1, -1):
        solved = linprog(sign * pick, A_ub=A, b_ub=b, A_eq=equal, b_eq=beta[:leads], bounds=(None, None))
        ends.append(pick @ beta - sign * solved.fun)
    return min(ends), max(ends)


def changes_of(leads: int, lags: int) -> Any:
    """(periods, leads + lags): from each period to the next, the reference being 0."""
    path = np.insert(np.eye(leads + lags), leads, 0.0, axis=0)
    return np.diff(path, axis=0)


def test_sets_are_those_of_linear_programmes() -> None:
    share = np.array([-0.5, 1.0, 0.5])
    beta = np.array([0.4, 0.1, 0.3, 1.0, 1.4, 2.0])
    D = changes_of(3, 3)
    relative = honest_bounds(a_study(beta, np.eye(6) * 0.01, 3), bounds=[0.7], weights=share)
    largest = np.abs(D[:3, :3] @ beta[:3]).max()
    rule = np.vstack([D[3:], -D[3:]]), np.full(6, 0.7 * largest)
    assert_allclose([relative.set_low[0], relative.set_high[0]], programme(beta, 3, share, rule), rtol=1e-7)
    smooth = honest_bounds(a_study(beta, np.eye(6) * 0.01, 3), restriction="smoothness", bounds=[0.6], weights=share)
    bends = np.diff(D, axis=0)
    rule = np.vstack([bends, -bends]), np.full(2 * len(bends), 0.6)
    assert_allclose([smooth.set_low[0], smooth.set_high[0]], programme(beta, 3, share, rule), rtol=1e-7)


def test_the_worst_bias_of_the_shortest_interval_is_that_of_a_linear_programme() -> None:
    """With next to no sampling error the half length is the worst bias of the estimator of least bias."""
    beta, cov = random_study(5)
    share = np.array([0.5, 0.5])
    low, high = shortest_interval(beta, cov * 1e-10, 3, share, 0.2, 0.95)
    bends = np.diff(changes_of(3, 2), axis=0)
    best = np.inf
    # Least bias: only the last lead, by the slope it gives (any other weights let more bends in).
    weights = np.concatenate([[0, 0, 1.5], share])
    solved = linprog(-weights, A_ub=np.vstack([bends, -bends]), b_ub=np.full(2 * len(bends), 0.2), bounds=(None, None))
    best = min(best, -solved.fun)
    assert_allclose((high - low) / 2, best, rtol=1e-3)


@pytest.mark.parametrize("bound", [0.05, 0.3, 2.0])
def test_no_other_weights_give_a_shorter_interval(bound: float) -> None:
    beta, cov = random_study(2, leads=4, lags=3)
    share = np.array([0.2, 0.3, 0.5])
    low, high = shortest_interval(beta, cov, 4, share, bound, 0.95)
    back, ahead = np.arange(4, 0, -1.0), np.arange(1, 4.0)
    rng = np.random.default_rng(1)
    v = rng.normal(size=(4000, 4)) * np.logspace(-3, 0.5, 4000)[:, None]
    # Around the line through each single lead, and around generalised least squares.
    start = -np.linalg.solve(cov[:4, :4], cov[:4, 4:] @ share)
    v = np.vstack([start + v, v])
    v += back * ((share @ ahead - v @ back) / (back @ back))[:, None]
    full = np.column_stack([v, np.tile(share, (len(v), 1))])
    spread = np.sqrt(np.einsum("ij,jk,ik->i", full, cov, full))
    bends = np.abs(v @ np.maximum(back - np.arange(1, 4)[:, None], 0).T).sum(axis=1)
    ours = np.abs(np.maximum(ahead[:, None] - np.arange(3), 0).T @ share).sum()
    bias = bound * (bends + ours)
    lower = np.maximum(bias + norm.ppf(0.95) * spread, norm.ppf(0.975) * spread)  # no half length is below it
    hopeful = np.flatnonzero(lower < (high - low) / 2)
    halves = [spread[i] * folded_quantile(bias[i] / spread[i], 0.95)[0] for i in hopeful]
    assert min(halves, default=np.inf) >= (high - low) / 2 * (1 - 1e-9)


def test_quantiles_are_those_of_scipy() -> None:
    from scipy.stats import ncx2, truncnorm

    for shift in (0.3, 1.0, 4.0, 9.0):
        top, rise = folded_quantile(shift, 0.95)
        assert_allclose(top, np.sqrt(ncx2.ppf(0.95, 1, shift**2)), rtol=1e-8)
        around = [folded_quantile(shift + h, 0.95)[0] for h in (1e-5, -1e-5)]
        assert_allclose(rise, (around[0] - around[1]) / 2e-5, rtol=1e-4)
    low = np.array([-3.0, 0.0, 2.0, 2.5])
    assert_allclose(truncated_quantile(0.9, low, 2.8), truncnorm.ppf(0.9, low, 2.8), rtol=1e-8)
    assert_allclose(least_favourable(-1.0, 0.995), norm.ppf(0.9975), rtol=1e-10)
    assert_allclose(norm.cdf(least_favourable(0.0, 0.995)) ** 2, 0.995, rtol=1e-6)
    assert_allclose(least_favourable(1.0, 0.995), norm.ppf(0.995), rtol=1e-4)


# --- coverage ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("studies", [60, pytest.param(2000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_intervals_cover_where_trends_differ_by_just_the_bound(sign: float, studies: int) -> None:
    """The trend after the start is the worst that the bound allows."""
    rng = np.random.default_rng(8)
    _, cov = random_study(9)
    share = np.array([0.5, 0.5])
    path = np.array([0.0, 0.2, -0.3])  # changes: 0.2, -0.5, 0.3 up to the reference; the largest is 0.5
    relative = np.concatenate([path, sign * 0.5 * np.array([1.0, 2.0])])
    smooth = np.concatenate([[-3.0, -2, -1], [1.0, 2.0]]) * 0.4 + sign * 0.25 * np.array([0, 0, 0, 1.0, 3.0])
    covered = np.zeros(2)
    for _ in range(studies):
        noise = rng.multivariate_normal(np.zeros(5), cov)
        for k, (trend, find, bound) in enumerate(
            ((relative, relative_interval, 1.0), (smooth, shortest_interval, 0.25))
        ):
            low, high = find(trend + noise, cov, 3, share, bound, 0.95)
            covered[k] += low <= 0 <= high
    assert (covered / studies >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / studies)).all()


# --- breakdown, edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("restriction", ["relative magnitudes", "smoothness"])
def test_at_the_breakdown_the_interval_reaches_zero(published: Any, restriction: str) -> None:
    study, _ = published
    found = honest_bounds(study, restriction=restriction, weights=TARGETS["e0"])
    at = honest_bounds(study, restriction=restriction, bounds=[found.breakdown], weights=TARGETS["e0"])
    assert_allclose(at.conf_low, 0, atol=1e-6)
    weak = a_study(study.estimate * 0.01, study.cov, 4)
    assert honest_bounds(weak, restriction=restriction).breakdown == 0.0


def test_a_study_of_a_panel_in_one_call() -> None:
    study = event_study(**rows(made(grows=0.5)))
    found = honest_bounds(study, bounds=[0.0, 1.0])
    assert (found.leads, found.lags, found.note) == (4, 4, "")
    assert found.conf_high[1] - found.conf_low[1] > found.conf_high[0] - found.conf_low[0]


def test_event_times_beyond_a_gap_are_not_used() -> None:
    study = event_study(**rows(made(sizes={3.0: 15, 4.0: 12, 6.0: 10})))
    found = honest_bounds(study, bounds=[1.0])
    assert (found.leads, found.lags) == (2, 3)
    assert "3 event time(s) beyond a gap, or without an error" in found.note


def test_few_clusters_are_said() -> None:
    study = event_study(**rows(made(sizes={4.0: 6, np.inf: 8})))
    assert "Only 14 clusters" in honest_bounds(study, bounds=[1.0]).note


def test_more_leads_than_clusters_can_tell_apart() -> None:
    """Smoothness weighs the leads by the inverse of their covariance, relative magnitudes do not."""
    study = event_study(**rows(made(sizes={6.0: 2, np.inf: 3})), method="two-way")
    with pytest.raises(DataError, match="leads from 5 clusters has no inverse"):
        honest_bounds(study, restriction="smoothness")
    assert np.isfinite(honest_bounds(study, bounds=[1.0]).conf_low).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"restriction": "smooth"}, "Did you mean 'smoothness'"),
        ({"bounds": [-1.0]}, "finite numbers >= 0"),
        ({"bounds": [np.inf]}, "finite numbers >= 0"),
        ({"weights": [1.0, 2.0]}, "weights have shape"),
        ({"weights": [1.0, -1.0, 0, 0]}, "do not add up to 0"),
    ],
)
def test_wrong_input_is_refused(published: Any, change: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        honest_bounds(published[0], **change)


def test_studies_without_leads_are_refused() -> None:
    with pytest.raises(DataError, match="no reference period"):
        honest_bounds(event_study(**rows(made()), method="imputation", leads=2))
    with pytest.raises(DataError, match="need a lead"):
        honest_bounds(event_study(**rows(made(sizes={2.0: 9, np.inf: 9}))))
