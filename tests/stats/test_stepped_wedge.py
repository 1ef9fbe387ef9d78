"""Stepped wedges: against R, every allowed order refitted, closed forms of the variance, and size with few clusters."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.gee import gee
from clinops.stats.linear import linear
from clinops.stats.mixed import mixed_model
from clinops.stats.roll_out import roll_out_test
from clinops.stats.stepped_wedge import WEDGE_MODELS, stepped_wedge
from clinops.stats.wedge_power import wedge_design, wedge_power

Arrays = dict[str, Any]


def world(
    seed: int, clusters: int, *, noise: float = 0.15, effect: float = 0.0, grows: float = 0.0, most: int = 25
) -> Arrays:
    """One cluster a step, cells of unequal size, a trend, levels by cluster (0.3) and cluster-period (noise)."""
    rng = np.random.default_rng([clusters, seed])
    periods, size = clusters + 1, rng.integers(5, most, clusters)
    cluster = np.repeat(np.arange(clusters), size * periods)
    period = np.concatenate([np.repeat(np.arange(periods), n) for n in size])
    first = rng.permutation(np.arange(1, periods))[cluster]
    y = 0.3 * rng.normal(size=clusters)[cluster] + noise * rng.normal(size=(clusters, periods))[cluster, period]
    y = y + 0.05 * period + rng.normal(size=len(period)) + (effect + grows * (period - first)) * (period >= first)
    return {"y": y, "cluster": cluster, "period": period, "first_treated": first}


@pytest.fixture
def reference_wedge(reference: Any) -> tuple[dict[str, Any], Arrays]:
    expected, _, frames = reference("its_did/panel_models")
    frame = frames["stepped_wedge.csv"]
    named = {"y": "y", "cluster": "cluster", "period": "period", "first_treated": "first"}
    return expected, {name: frame[column].to_numpy() for name, column in named.items()}


# --- R -----------------------------------------------------------------------------------------------------


def test_fixed_effects_are_those_of_clubsandwich(reference_wedge: Any) -> None:
    expected, data = reference_wedge
    fit, r = stepped_wedge(**data), expected["wedge_fixed"]
    assert_allclose([fit.average, fit.average_std_error], [r["coef"], r["se_cr2"]], rtol=1e-9)
    assert_allclose([fit.df[0], fit.average_p_value], [r["df"], r["p"]], rtol=1e-8)
    assert (fit.n_clusters, fit.n_periods, fit.se_kind) == (6, 7, "CR2, Satterthwaite")


def test_hussey_and_hughes_is_that_of_lmertest(reference_wedge: Any) -> None:
    expected, data = reference_wedge
    fit, r = stepped_wedge(**data, model="random"), expected["wedge_hussey_hughes"]
    assert_allclose([fit.estimate[0], fit.std_error[0]], [r["coef"], r["se"]], rtol=1e-6)
    assert_allclose([fit.df[0], fit.p_value[0]], [r["df"], r["p"]], rtol=1e-4)


def test_marginal_models_are_those_of_geepack(reference_wedge: Any) -> None:
    expected, data = reference_wedge
    fit, r = stepped_wedge(**data, model="exchangeable"), expected["wedge_gee_exchangeable"]
    assert_allclose(fit.estimate, r["coef"], rtol=1e-9)
    X = np.column_stack([
        np.ones(len(data["y"])), data["period"][:, None] == np.arange(2, 8), data["period"] >= data["first_treated"],
    ]).astype(float)  # fmt: skip
    plain = gee(X, data["y"], data["cluster"], se="robust", interval="normal")
    assert_allclose([plain.std_error[-1], *plain.alpha], [r["se_robust"], r["alpha"]], rtol=1e-9)
    assert_allclose(fit.cov[0, 0], gee(X, data["y"], data["cluster"]).cov[-1, -1], rtol=1e-9)
    assert fit.df.tolist() == [4.0]


# --- what the models are -----------------------------------------------------------------------------------


def test_effects_by_time_since_are_the_columns_written_out() -> None:
    data = world(3, 7, grows=0.2)
    fit = stepped_wedge(**data, effect="by time since")
    since = data["period"] - data["first_treated"]
    columns = [data["period"][:, None] == np.arange(1, 8), since[:, None] == np.arange(7)]
    plain = linear(np.column_stack(columns).astype(float), data["y"], strata=data["cluster"])
    assert fit.exposure_time.tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert_allclose(fit.estimate, plain.coef[-7:], rtol=1e-8)
    assert_allclose(fit.average, plain.coef[-7:].mean(), rtol=1e-8)
    assert_allclose(fit.average_std_error**2, np.full(7, 1 / 7) @ fit.cov @ np.full(7, 1 / 7), rtol=1e-6)


@pytest.mark.parametrize("model", WEDGE_MODELS)
def test_an_average_is_the_mean_of_its_effects(model: str) -> None:
    fit = stepped_wedge(**world(4, 6), model=model, effect="by time since")
    assert_allclose(fit.average, fit.estimate.mean(), rtol=1e-6)
    assert_allclose(fit.average_std_error, np.sqrt(fit.cov.mean()), rtol=1e-5)


def test_cell_means_with_their_sizes_are_the_rows() -> None:
    data = world(5, 6, effect=0.4)
    code = data["cluster"] * 7 + data["period"]
    size = np.bincount(code)
    cells = {
        "y": np.bincount(code, weights=data["y"]) / size, "cluster": np.repeat(np.arange(6), 7),
        "period": np.tile(np.arange(7), 6), "weights": size,
        "first_treated": np.array([data["first_treated"][code == one][0] for one in range(42)]),
    }  # fmt: skip
    rows, means = stepped_wedge(**data), stepped_wedge(**cells)
    assert_allclose([means.average, means.average_std_error], [rows.average, rows.average_std_error], rtol=1e-8)
    assert_allclose(means.df, rows.df, rtol=1e-8)
    one, two = (roll_out_test(**given, seed=1) for given in (data, cells))
    assert one.p_value == two.p_value
    assert_allclose(one.conf_low, two.conf_low, rtol=1e-6)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_other_outcomes_are_marginal_models_with_cluster_columns(family: str) -> None:
    data = world(6, 6, effect=0.8)
    data["y"] = (data["y"] > 0.3).astype(float) if family == "binomial" else np.floor(np.exp(data["y"] / 2))
    fit = stepped_wedge(**data, family=family)
    periods, clusters = data["period"][:, None] == np.arange(1, 7), data["cluster"][:, None] == np.arange(1, 6)
    on = data["period"] >= data["first_treated"]
    X = np.column_stack([np.ones(len(on)), periods, clusters, on]).astype(float)
    own = gee(X, data["y"], data["cluster"], family, correlation="independence")
    assert_allclose([fit.estimate[0], fit.std_error[0] ** 2], [own.coef[-1], own.cov[-1, -1]], rtol=1e-9)
    assert (fit.df[0], fit.se_kind) == (4.0, "Kauermann-Carroll, t(G - 2)")


def test_a_random_intercept_is_the_mixed_model_with_periods() -> None:
    data = world(7, 6)
    fit = stepped_wedge(**data, model="random")
    X = np.column_stack([
        np.ones(len(data["y"])), data["period"][:, None] == np.arange(1, 7), data["period"] >= data["first_treated"],
    ]).astype(float)  # fmt: skip
    own = mixed_model(X, data["y"], data["cluster"])
    assert_allclose([fit.estimate[0], fit.df[0]], [own.coef[-1], own.df[-1]], rtol=1e-9)


# --- effects that grow -------------------------------------------------------------------------------------


def test_a_constant_effect_on_growing_effects_is_flagged_and_wrong() -> None:
    """Effects 0, 0.5, 1, ... a period: the one effect is below their mean, and the note says so."""
    data = world(8, 8, grows=0.5, most=60)
    flat, full = stepped_wedge(**data), stepped_wedge(**data, effect="by time since")
    assert "The effect changes with time since roll-out" in flat.note
    assert flat.trend_p < 0.05
    assert_allclose(full.estimate, 0.5 * full.exposure_time, atol=4 * full.std_error.max())
    assert full.average == pytest.approx(0.5 * np.arange(8).mean(), abs=3 * full.average_std_error)
    assert flat.average < full.average - 0.5
    assert full.note == ""


def test_steady_effects_are_rarely_flagged() -> None:
    flagged = [stepped_wedge(**world(seed, 6, effect=1.0, most=8)).trend_p < 0.05 for seed in range(60)]
    assert np.mean(flagged) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 60)


# --- permutation -------------------------------------------------------------------------------------------


def effect_of(data: Arrays, starts: Any, outcome: Any) -> float:
    on = (data["period"] >= np.asarray(starts)[data["cluster"]]).astype(float)
    periods = data["period"][:, None] == np.arange(1, data["period"].max() + 1)
    return float(linear(np.column_stack([periods, on]).astype(float), outcome, strata=data["cluster"]).coef[-1])


def test_p_and_limits_are_those_of_every_order_refitted() -> None:
    data = world(2, 5, effect=0.5)
    found = roll_out_test(**data, seed=1, conf_level=0.9)
    observed = [int(data["first_treated"][data["cluster"] == g][0]) for g in range(5)]
    on = data["period"] >= data["first_treated"]

    def refitted(r: float) -> float:
        outcome = data["y"] - r * on
        seen = abs(effect_of(data, observed, outcome))
        return float(np.mean([abs(effect_of(data, s, outcome)) >= seen * (1 - 1e-9) for s in permutations(observed)]))

    assert (found.n_orders, found.exact) == (120, True)
    assert found.p_value == refitted(0.0)
    assert_allclose(found.estimate, effect_of(data, observed, data["y"]), rtol=1e-9)
    for limit, outward in ((found.conf_low, -1e-6), (found.conf_high, 1e-6)):
        assert refitted(limit - outward) > 0.1 >= refitted(limit + outward)


def test_strata_and_lists_of_orders() -> None:
    data = world(2, 6, effect=0.5)
    stratum = (data["cluster"] >= 3).astype(int)
    within = roll_out_test(**data, seed=1, strata=stratum)
    assert within.n_orders == 36
    observed = np.array([data["first_treated"][data["cluster"] == g][0] for g in range(6)])
    orders = [np.concatenate([a, b]) for a in permutations(observed[:3]) for b in permutations(observed[3:])]
    listed = roll_out_test(**data, seed=1, allowed=np.array(orders))
    assert (listed.p_value, listed.n_orders) == (within.p_value, 36)
    assert_allclose(listed.conf_low, within.conf_low, rtol=1e-9)


def test_clusters_that_start_together_are_exchanged_once() -> None:
    data = world(2, 6)
    data["first_treated"] = np.array([1, 1, 3, 3, 5, 5])[data["cluster"]]
    found = roll_out_test(**data, seed=1)
    assert (found.n_orders, found.exact) == (90, True)
    drawn = roll_out_test(**data, seed=1, draws=89)
    assert (drawn.n_orders, drawn.exact) == (89, False)


def test_drawn_orders_are_near_all_orders() -> None:
    data = world(9, 7, effect=0.15)
    every, some = roll_out_test(**data, seed=1), roll_out_test(**data, seed=1, draws=4000)
    assert (every.n_orders, some.exact) == (5040, False)
    p = every.p_value
    assert abs(some.p_value - p) <= 4 * np.sqrt(p * (1 - p) / 4000) + 1 / 4000


def test_three_orders_reject_nothing() -> None:
    data = world(2, 3, effect=5.0)
    found = roll_out_test(**data, seed=1)
    assert found.p_value >= 1 / 6
    assert (found.conf_low, found.conf_high) == (-np.inf, np.inf)
    assert "6 orders are too few" in found.note


def test_size_of_the_permutation_test_with_five_clusters() -> None:
    """Exact: of 120 equally likely orders at most 5 % can be this extreme."""
    rejected = [roll_out_test(**world(seed, 5, most=10), seed=1).p_value <= 0.05 for seed in range(150)]
    assert np.mean(rejected) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize(
    ("clusters", "seed", "estimate", "error"),
    [(5, 361, 0.2592647125, 0.1407925063), (6, 14, 0.1176986452, 0.1121100407)],
)
def test_a_search_that_steps_far_still_ends_at_the_optimum(
    clusters: int, seed: int, estimate: float, error: float
) -> None:
    """Two worlds in which a first step sent the spread between clusters beyond all digits. lme4 1.1.31, REML:

    lmer(y ~ factor(period) + on + (1 | cluster)).
    """
    found = stepped_wedge(**world(seed, clusters), model="random")
    assert_allclose([found.estimate[0], found.std_error[0]], [estimate, error], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [5, 6, 8])
def test_size_of_every_model_with_few_clusters(clusters: int) -> None:
    """Shares in docs/methods/stepped_wedge.md; the random intercept knows no cluster-period and rejects too often."""
    found = [
        [stepped_wedge(**world(seed, clusters), model=model).p_value[0] <= 0.05 for model in WEDGE_MODELS]
        for seed in range(500)
    ]
    share = dict(zip(WEDGE_MODELS, np.mean(found, axis=0), strict=True))
    most = 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)
    assert max(share[name] for name in ("fixed", "exchangeable", "nested exchangeable")) <= most
    assert share["random"] > share["fixed"]


# --- power -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("icc", "clusters"), [(0.0, (1, 1, 1)), (0.05, (2, 3, 1, 2)), (0.4, (5, 5))])
def test_the_variance_is_hussey_and_hughes_closed_form(icc: float, clusters: tuple[int, ...]) -> None:
    X = wedge_design(clusters, before=1, after=1)
    number, periods = X.shape
    s2, t2 = 4.0 * (1 - icc) / 30, 4.0 * icc
    U, W, V = X.sum(), (X.sum(axis=0) ** 2).sum(), (X.sum(axis=1) ** 2).sum()
    top = number * s2 * (s2 + periods * t2)
    below = (number * U - W) * s2 + (U**2 + number * periods * U - periods * W - number * V) * t2
    found = wedge_power(X, 0.3, per_cell=30, sd=2.0, icc=icc)
    assert_allclose(found.std_error**2, top / below, rtol=1e-9)


@pytest.mark.parametrize(("steps", "icc"), [(3, 0.05), (5, 0.01), (4, 0.2)])
def test_the_design_effect_is_that_of_woertman(steps: int, icc: float) -> None:
    """One measurement before, one after each step, n a cell (2013): relative to as many persons as are in a period."""
    n, k = 20, steps
    published = (1 + icc * (k * n + n - 1)) / (1 + icc * (k * n / 2 + n - 1)) * 3 * (1 - icc) / (2 * (k - 1 / k))
    found = wedge_power(wedge_design((2,) * steps), 0.3, per_cell=n, sd=1.0, icc=icc)
    assert_allclose(found.design_effect / (steps + 1), published, rtol=1e-9)


def test_parallel_clusters_have_the_usual_design_effect() -> None:
    """Half of the clusters under the programme in the one period: 1 + (n - 1) icc."""
    found = wedge_power(np.array([[0.0], [0], [0], [1], [1], [1]]), 0.3, per_cell=25, sd=1.5, icc=0.04)
    assert_allclose(found.design_effect, 1 + 24 * 0.04, rtol=1e-9)


def test_power_is_that_of_simulated_cell_means() -> None:
    D = wedge_design((2, 2, 2, 2))
    found = wedge_power(D, 0.35, per_cell=15, sd=1.0, icc=0.06, autocorrelation=0.8, small_sample=False)
    rng = np.random.default_rng(3)
    V = 0.06 * 0.8 + np.eye(5) * (0.06 * 0.2 + 0.94 / 15)
    X = np.vstack([np.column_stack([np.eye(5), line]) for line in D])
    inverse = np.kron(np.eye(8), np.linalg.inv(V))
    cov = np.linalg.inv(X.T @ inverse @ X)
    y = rng.multivariate_normal(np.zeros(5), V, (20_000, 8)).reshape(20_000, -1) + 0.35 * D.ravel()
    z = (y @ inverse @ X @ cov)[:, -1] / np.sqrt(cov[-1, -1])
    assert_allclose(found.power, (np.abs(z) > 1.959964).mean(), atol=4 * 0.5 / np.sqrt(20_000))
    at = wedge_power(D, found.detectable, per_cell=15, sd=1.0, icc=0.06, autocorrelation=0.8, small_sample=False)
    assert_allclose(at.power, 0.8, atol=1e-6)
    strict = wedge_power(D, 0.35, per_cell=15, sd=1.0, icc=0.06, autocorrelation=0.8)
    assert (strict.df, strict.power < found.power) == (6.0, True)


def test_periods_that_nobody_sees_are_left_out() -> None:
    D = wedge_design((2, 2, 2))
    with_gap = np.column_stack([D[:, :2], np.full(6, np.nan), D[:, 2:]])
    one, two = (wedge_power(given, 0.3, per_cell=9, sd=1.0, icc=0.1) for given in (D, with_gap))
    assert_allclose([one.power, one.n], [two.power, two.n], rtol=1e-12)


# --- edges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", WEDGE_MODELS)
def test_all_starting_at_once_cannot_be_told_from_calendar_time(model: str) -> None:
    data = world(1, 5) | {"first_treated": np.full(len(world(1, 5)["y"]), 3)}
    fit = stepped_wedge(**data, model=model)
    assert np.isnan([fit.average, fit.average_p_value, fit.trend_p]).all()
    assert "cannot be told from calendar time" in fit.note
    assert "Not estimable" in roll_out_test(**data, seed=1).note


def test_a_cluster_without_events_has_no_finite_level() -> None:
    data = world(6, 5, effect=0.8)
    data["y"] = ((data["y"] > 0.3) & (data["cluster"] != 2)).astype(float)
    fit = stepped_wedge(**data, family="binomial")
    assert np.isnan([fit.average_std_error, fit.average_p_value]).all()
    assert "separate the outcome" in fit.note
    assert np.isfinite(stepped_wedge(**data, family="binomial", model="exchangeable").average_std_error)


@pytest.mark.parametrize("model", ["fixed", "random", "exchangeable"])
def test_an_outcome_without_residuals_has_no_error(model: str) -> None:
    cluster, period = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    start = 1 + cluster // 2
    found = stepped_wedge(period + 2.0 * (period >= start), cluster, period, start, model=model)
    assert_allclose(found.estimate, 2.0)
    assert np.isnan([found.std_error[0], found.conf_low[0], found.trend_p]).all()
    assert "Residuals do not vary: no error." in found.note


def test_clusters_that_never_start_are_comparisons() -> None:
    data = world(1, 5)
    never = np.where(data["cluster"] == 2, np.inf, data["first_treated"])
    late = np.where(data["cluster"] == 2, 99.0, data["first_treated"])
    one, two = (stepped_wedge(**(data | {"first_treated": first})) for first in (never, late))
    assert np.isfinite(one.average)
    assert one.average == two.average


def test_order_labels_and_periods_apart_change_nothing() -> None:
    data = world(2, 6)
    order = np.random.default_rng(0).permutation(len(data["y"]))
    moved = {name: values[order] for name, values in data.items()}
    years = np.array([2001, 2003, 2004, 2008, 2010, 2011, 2020])
    moved |= {
        "cluster": np.array(list("fedcba"))[moved["cluster"]], "period": years[moved["period"]],
        "first_treated": years[moved["first_treated"]],
    }  # fmt: skip
    for model in WEDGE_MODELS:
        one, two = (stepped_wedge(**given, model=model, effect="by time since") for given in (data, moved))
        assert_allclose(two.estimate, one.estimate, rtol=1e-5)
        assert_allclose(two.std_error, one.std_error, rtol=1e-5)
    assert roll_out_test(**data, seed=1).p_value == roll_out_test(**moved, seed=1).p_value


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"model": "mixed"}, DefinitionError, "model of a stepped wedge"),
        ({"effect": "delayed"}, DefinitionError, "effect of a stepped wedge"),
        ({"family": "gamma"}, DefinitionError, "family"),
        ({"model": "random", "family": "binomial"}, DefinitionError, "for normal outcomes without weights"),
        ({"cluster": np.zeros(3)}, DataError, "cluster has shape"),
        ({"first_treated": "rows"}, DataError, "first_treated changes within 5 of 5"),
        ({"y": "nan"}, DataError, "rows hold missing"),
        ({"cluster": "two"}, DataError, "give 3 or more"),
        ({"weights": "negative"}, DataError, "must not be negative"),
        ({"covariates": np.zeros(3)}, DataError, "covariates have shape"),
    ],
)
def test_wrong_input_is_refused(change: Arrays, error: type[Exception], says: str) -> None:
    data = world(1, 5)
    n = len(data["y"])
    made = {
        "rows": np.arange(n), "nan": np.full(n, np.nan), "two": data["cluster"] % 2, "negative": np.full(n, -1.0),
    }  # fmt: skip
    if isinstance(change.get("cluster"), str):
        data["first_treated"] = np.full(n, 2)
    change = {name: made.get(value, value) if isinstance(value, str) else value for name, value in change.items()}
    with pytest.raises(error, match=says):
        stepped_wedge(**(data | change))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"draws": 5}, DefinitionError, "at least 19"),
        ({"strata": np.zeros(9), "allowed": np.zeros((1, 5))}, DefinitionError, "not both"),
        ({"strata": np.zeros(9)}, DataError, "strata have shape"),
        ({"allowed": np.ones((2, 4))}, DataError, "clusters by id"),
        ({"allowed": np.ones((2, 5))}, DataError, "not among the allowed"),
    ],
)
def test_wrong_orders_are_refused(change: Arrays, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        roll_out_test(**world(1, 5), seed=1, **change)
    data = world(1, 5)
    with pytest.raises(DataError, match="strata change within a cluster"):
        roll_out_test(**data, seed=1, strata=np.arange(len(data["y"])) % 2)


def test_designs_that_tell_nothing_are_refused() -> None:
    with pytest.raises(DefinitionError, match="cannot be told from calendar time"):
        wedge_power(np.tile([0.0, 1.0], (5, 1)), 0.3, per_cell=9, sd=1.0, icc=0.1)
    with pytest.raises(DefinitionError, match="icc lies in"):
        wedge_power(wedge_design((1, 1, 1)), 0.3, per_cell=9, sd=1.0, icc=1.0)
    with pytest.raises(DefinitionError, match="of 0, 1 or NaN"):
        wedge_power(np.ones((5, 2)) * 2, 0.3, per_cell=9, sd=1.0, icc=0.1)
    with pytest.raises(DefinitionError, match="at least one cluster a step"):
        wedge_design((1, 0))
