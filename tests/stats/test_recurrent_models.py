"""Regression for events that come again, against R, and by its own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.cox import CoxFit, cox
from clinops.stats.normal import two_sided
from clinops.stats.rates import poisson_rate
from clinops.stats.recurrent_models import (
    MarginalFit,
    RateRegression,
    andersen_gill,
    prentice_williams_peterson,
    rate_regression,
    wei_lin_weissfeld,
)
from clinops.stats.recurrent_rows import marginal_rows
from tests.stats.recurrent_data import Rows, follow_up
from tests.support import assert_close, oracle, oracle_csv

BLADDER, CGD = oracle("recurrent/bladder")["expected"], oracle("recurrent/cgd")["expected"]
COLUMNS = ["rx", "number", "size"]


def _ag(**options: Any) -> CoxFit:
    data = oracle_csv("recurrent/bladder2")
    return andersen_gill(data[COLUMNS], data["stop"], data["event"], data["id"], entry=data["start"], **options)


def _pwp(**options: Any) -> CoxFit:
    data = oracle_csv("recurrent/bladder2")
    return prentice_williams_peterson(
        data[COLUMNS], data["stop"], data["event"], data["id"], data["enum"], entry=data["start"], **options
    )


def _wlw(**options: Any) -> MarginalFit:
    data = oracle_csv("recurrent/bladder_wlw")
    return wei_lin_weissfeld(data[COLUMNS], data["stop"], data["event"], data["id"], data["enum"], **options)


def _wlw_common() -> CoxFit:
    data = oracle_csv("recurrent/bladder_wlw")
    return cox(data[COLUMNS], data["stop"], data["event"], strata=data["enum"], cluster=data["id"])


def _cgd(columns: list[str]) -> CoxFit:
    data = oracle_csv("recurrent/cgd")
    data["sexfemale"] = (data["sex"] == "female").astype(float)
    return andersen_gill(data[columns], data["tstop"], data["status"], data["id"], entry=data["tstart"])


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        (lambda: _ag(), BLADDER["andersen_gill"]),
        (lambda: _ag(ties="breslow"), BLADDER["andersen_gill_breslow"]),
        (lambda: _pwp(), BLADDER["pwp_total_time"]),
        (lambda: _pwp(clock="gap"), BLADDER["pwp_gap_time"]),
        (_wlw_common, BLADDER["wlw_common"]),
        (lambda: _cgd(["treat"]), CGD["andersen_gill"]),
        (lambda: _cgd(["treat", "age", "sexfemale"]), CGD["andersen_gill_adj"]),
    ],
)
def test_model_equals_r(fit: Any, wanted: dict[str, Any]) -> None:
    found = fit()
    ours = {
        "coef": found.coef, "se_model": found.se_model, "se_robust": found.se_robust, "loglik": found.loglik,
        "n": found.n, "nevent": found.n_event,
    }  # fmt: skip
    if isinstance(wanted["coef"], float):
        wanted = {key: [value] if key in ("coef", "se_model", "se_robust", "p_robust") else value
                  for key, value in wanted.items()}  # fmt: skip
    assert_close(ours, {key: wanted[key] for key in ours}, 1e-7)
    _p_values_agree(found.coef / found.se_robust, wanted)


def _p_values_agree(z: np.ndarray, wanted: dict[str, Any]) -> None:
    """A P value multiplies the relative error of z by about z squared, and R stops short of the optimum.

    So z is compared with R's, and R's P values with the tail of R's own z.
    """
    theirs = np.array(wanted["coef"]) / np.array(wanted["se_robust"])
    assert_close(z, theirs, 1e-7)
    assert_close([two_sided(value) for value in theirs], wanted["p_robust"], 1e-7)


@pytest.mark.parametrize(("name", "ties"), [("wlw", "efron"), ("wlw_breslow", "breslow")])
def test_marginal_model_equals_r(name: str, ties: str) -> None:
    """R's terms are the first event's coefficients and the differences of the others' from them, column by column."""
    wanted, found = BLADDER[name], _wlw(ties=ties)
    turn = np.zeros((12, 12))
    turn[:3, :3] = np.eye(3)
    for column in range(3):
        for later in range(1, 4):
            row = 3 + 3 * column + later - 1
            turn[row, 3 * later + column], turn[row, column] = 1, -1
    coef = turn @ found.coef.reshape(-1)
    robust = np.sqrt(np.diag(turn @ found.cov @ turn.T))
    model = np.sqrt(np.diag(turn @ found.fit.cov @ turn.T))
    ours = {
        "coef": coef, "se_robust": robust, "se_model": model, "loglik": found.fit.loglik, "n": found.fit.n,
        "nevent": found.fit.n_event,
    }  # fmt: skip
    assert_close(ours, {key: wanted[key] for key in ours}, 1e-7)
    _p_values_agree(coef / robust, wanted)


def test_marginal_model_has_the_published_coefficients() -> None:
    found = _wlw(ties="breslow")  # Wei, Lin and Weissfeld 1989
    assert np.round(found.coef[:, 0], 3).tolist() == [-0.518, -0.619, -0.700, -0.651]
    assert found.order.tolist() == [1, 2, 3, 4]
    # the average has the least variance among weighted means, and lies within their range
    block = found.cov[::3, ::3]
    for shares in ([0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0]):
        assert found.average_std_error[0] <= np.sqrt(np.array(shares) @ block @ shares)
    assert found.coef[:, 0].min() < found.average[0] < found.coef[:, 0].max()
    assert found.wald_test[0] == pytest.approx(found.coef[:, 0] @ np.linalg.inv(block) @ found.coef[:, 0])


# --- rate ratios --------------------------------------------------------------------------------------------


def _rates(model: str, se: str | None = None, **options: Any) -> RateRegression:
    data = oracle_csv("recurrent/cgd_counts")
    design = np.column_stack([np.ones(len(data)), data["treat"]])
    return rate_regression(design, data["status"], data["py"], model=model, se=se, **options)


@pytest.mark.parametrize(
    ("key", "model", "se"),
    [
        ("poisson", "poisson", "model"),
        ("poisson_hc0", "poisson", "HC0"),
        ("poisson_hc3", "poisson", "HC3"),
        ("quasipoisson", "quasipoisson", None),
        ("negbin", "negative binomial", "model"),
    ],
)
def test_rate_ratios_equal_r(key: str, model: str, se: str | None) -> None:
    found, wanted = _rates(model, se), CGD[key]
    ours = {
        "term": ["(Intercept)", "treat"], "coef": found.coef, "rate_ratio": found.rate_ratio, "se": found.std_error,
        "loglik": found.log_likelihood, "dispersion": found.dispersion, "theta": found.theta,
        "se_theta": found.theta_std_error, "alpha": 1 / found.theta,
    }  # fmt: skip
    assert_close(ours, wanted, 1e-7)
    z = 1.959963984540054
    assert_close(found.conf_low, np.exp(np.array(found.coef) - z * np.array(wanted["se"])), 1e-7)
    if model == "poisson":
        assert found.fit is not None
        assert_close(found.fit.deviance, CGD["deviance"], 1e-7)
        assert_close(found.dispersion * found.fit.df_residual, CGD["pearson_chi2"], 1e-7)


def test_rates_of_the_arms_equal_r() -> None:
    data, wanted = oracle_csv("recurrent/cgd_counts"), CGD["rates"]
    sums = data.groupby("treat")[["status", "py"]].sum()
    for arm, (events, time, rate) in enumerate(zip(wanted["status"], wanted["py"], wanted["rate"], strict=True)):
        assert_close(poisson_rate(sums["status"][arm], sums["py"][arm]).estimate, rate, 1e-7)
        assert_close([sums["status"][arm], sums["py"][arm]], [events, time], 1e-7)
    found = _rates("poisson")
    assert (found.events, found.n) == (sum(wanted["status"]), len(data))
    assert found.person_time == pytest.approx(sum(wanted["py"]))
    assert found.rate_ratio[0] == pytest.approx(wanted["rate"][0], rel=1e-9)


def test_clustered_rates_of_cut_persons_are_those_of_whole_ones() -> None:
    data = oracle_csv("recurrent/cgd_counts")
    design, who = np.column_stack([np.ones(len(data)), data["treat"]]), np.arange(len(data))
    half = np.tile(design, (2, 1)), np.append(data["status"], 0 * data["status"]), np.tile(data["py"] / 2, 2)
    whole = rate_regression(design, data["status"], data["py"], model="poisson", cluster=who)
    cut = rate_regression(*half, model="poisson", cluster=np.tile(who, 2))
    assert_close(cut.coef, whole.coef, 1e-9)
    n = len(data)  # CR1 counts rows: (n - 1) / (n - k)
    factor = ((2 * n - 1) / (2 * n - 2)) / ((n - 1) / (n - 2))
    assert_close(cut.std_error, whole.std_error * np.sqrt(factor), 1e-9)


@pytest.mark.parametrize("model", ["poisson", "negative binomial"])
def test_whole_weights_of_rates_are_copies(model: str) -> None:
    data = oracle_csv("recurrent/cgd_counts")
    design, weight = np.column_stack([np.ones(len(data)), data["treat"]]), 1 + np.arange(len(data)) % 3
    again = np.repeat(np.arange(len(data)), weight)
    one = rate_regression(design, data["status"], data["py"], model=model, se="model", weights=weight)
    other = rate_regression(design[again], data["status"][again], data["py"][again], model=model, se="model")
    assert_close([*one.coef, *one.std_error], [*other.coef, *other.std_error], 1e-7)
    unit = rate_regression(design, data["status"], data["py"] * 365.25, model=model, se="model", weights=weight)
    assert unit.rate_ratio[1] == pytest.approx(one.rate_ratio[1], rel=1e-8)
    assert unit.rate_ratio[0] * 365.25 == pytest.approx(one.rate_ratio[0], rel=1e-8)


# --- decided answers ---------------------------------------------------------------------------------------


def test_no_events_in_an_arm() -> None:
    for model in ("poisson", "quasipoisson", "negative binomial"):
        found = rate_regression(
            [[1, 0], [1, 0], [1, 0], [1, 1], [1, 1]], [3, 0, 9, 0, 0], [1, 1, 1, 2, 1], model=model, se="model"
        )
        assert found.rate_ratio[1] == 0 and np.isnan(found.conf_low[1]) and np.isnan(found.p_value[1]) and found.note
        assert found.rate_ratio[0] == pytest.approx(4, rel=1e-6)


def test_no_events_at_all() -> None:
    found = rate_regression([[1.0], [1.0]], [0, 0], [2, 3])
    assert np.isnan(found.coef).all() and "no events" in found.note and found.person_time == 5 and found.n == 2
    fit = andersen_gill([0, 1, 0], [3, 4, 5], [0, 0, 0], [1, 2, 3])
    assert "no events" in fit.note
    marginal = wei_lin_weissfeld([0, 1, 0, 1], [3, 4, 3, 4], [0, 0, 0, 0], [1, 2, 1, 2], [1, 1, 2, 2])
    assert np.isnan(marginal.average).all() and "no events" in marginal.note


def test_an_order_that_only_one_arm_reaches_has_an_infinite_coefficient_and_no_average() -> None:
    exit, event, arm = [2, 3, 4, 5, 4, 6, 6, 7], [1, 1, 1, 0, 1, 0, 0, 0], [0, 0, 1, 1] * 2
    found = wei_lin_weissfeld(arm, exit, event, [1, 2, 3, 4] * 2, [1] * 4 + [2] * 4)
    assert found.coef[1, 0] == -np.inf and np.isnan(found.average[0]) and "column 1" in found.note


def test_rows_without_person_time_are_set_aside() -> None:
    found = rate_regression([[1.0], [1.0], [1.0]], [1, 0, 3], [2, 0, 2], model="poisson")
    assert (found.set_aside, found.n) == (1, 2) and found.rate_ratio[0] == pytest.approx(1)
    with pytest.raises(DataError, match="no person-time"):
        rate_regression([[1.0], [1.0]], [1, 2], [2, 0])


def test_one_person() -> None:
    found = rate_regression([[1.0]], [3], [2], model="poisson", se="model")
    assert found.rate_ratio[0] == pytest.approx(1.5) and found.std_error[0] == pytest.approx(3**-0.5)
    assert np.isnan(found.dispersion)
    assert np.isnan(andersen_gill([1, 1], [2, 4], [1, 1], [1, 1], entry=[0, 2]).coef).all()


def test_late_events_may_share_a_baseline() -> None:
    data = oracle_csv("recurrent/bladder2")
    pooled = _pwp(pool_from=2)
    by_hand = cox(
        data[COLUMNS], data["stop"], data["event"], entry=data["start"], strata=np.minimum(data["enum"], 2),
        cluster=data["id"],
    )  # fmt: skip
    assert_close(pooled.coef, by_hand.coef, 1e-12)
    one = _pwp(pool_from=1)
    assert_close([*one.coef, *one.se_robust], [*_ag().coef, *_ag().se_robust], 1e-10)


def test_strata_are_crossed_with_the_order() -> None:
    data = oracle_csv("recurrent/bladder2")
    group = np.where(data["number"] > 1, "many", "one")
    found = prentice_williams_peterson(
        data[["rx"]], data["stop"], data["event"], data["id"], data["enum"], entry=data["start"], strata=group
    )
    labels = [f"{g}{e}" for g, e in zip(group, data["enum"], strict=True)]
    by_hand = cox(data[["rx"]], data["stop"], data["event"], entry=data["start"], strata=labels, cluster=data["id"])
    assert_close([*found.coef, *found.se_robust], [*by_hand.coef, *by_hand.se_robust], 1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DataError, match="must not overlap"):
        andersen_gill([1, 1], [5, 6], [1, 0], [1, 1], entry=[0, 4])
    with pytest.raises(DataError, match="two rows for one order"):
        wei_lin_weissfeld([1, 1], [5, 6], [1, 0], [1, 1], [1, 1])
    with pytest.raises(DataError, match="whole numbers from 1"):
        prentice_williams_peterson([1, 0], [5, 6], [1, 0], [1, 2], [0, 1])
    with pytest.raises(DataError, match="strata has the shape"):
        prentice_williams_peterson([1, 0], [5, 6], [1, 0], [1, 2], [1, 1], strata=[1])
    with pytest.raises(ParameterError, match="clock"):
        prentice_williams_peterson([1, 0], [5, 6], [1, 0], [1, 2], [1, 1], clock="calendar")
    with pytest.raises(ParameterError, match="model"):
        rate_regression([[1.0]], [1], [1], model="gamma")
    with pytest.raises(ParameterError, match="level"):
        rate_regression([[1.0]], [1], [1], level=95)
    with pytest.raises(DataError, match="must be finite and not negative"):
        rate_regression([[1.0]], [1], [-1])
    for arguments in (
        {"X": [[1.0]], "events": [1], "person_time": [1, 2]},
        {"X": [[1.0], [1]], "events": [1], "person_time": [1]},
        {"X": [1.0], "events": [1], "person_time": [1]},
        {"X": [[1.0]], "events": [1], "person_time": [1], "weights": [1, 2]},
        {"X": [[1.0]], "events": [1], "person_time": [1], "cluster": [1, 2]},
    ):
        with pytest.raises(DataError, match="has the shape"):
            rate_regression(**arguments)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="person has the shape"):
        wei_lin_weissfeld([1, 1], [5, 6], [1, 0], [1], [1, 1])
    with pytest.raises(DataError, match="1 persons have rows in more than one cluster"):
        andersen_gill([1, 1], [5, 6], [1, 0], [1, 1], entry=[0, 5], cluster=[1, 2])


# --- laws ---------------------------------------------------------------------------------------------------

LAW = settings(deadline=None, max_examples=40, derandomize=True)


def _fit(rows: Rows, model: str = "ag", unit: float = 1.0, **options: Any) -> CoxFit:
    options = {"weights": rows.weight, "ties": "breslow", "entry": rows.entry * unit, **options}
    if model == "ag":
        return andersen_gill(rows.x, rows.exit * unit, rows.event, rows.person, **options)
    return prentice_williams_peterson(
        rows.x, rows.exit * unit, rows.event, rows.person, rows.order, clock=model, **options
    )


def _same(one: CoxFit, other: CoxFit) -> None:
    if one.converged and np.isfinite(one.coef).all() and np.abs(one.coef).max() < 20:
        np.testing.assert_allclose(one.coef, other.coef, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(one.se_robust, other.se_robust, rtol=1e-5, atol=1e-8)
    else:
        np.testing.assert_array_equal(np.isfinite(one.coef), np.isfinite(other.coef))


MODELS = st.sampled_from(["ag", "total", "gap"])


@LAW
@given(follow_up(), MODELS, st.integers(0, 100), st.sampled_from([3.0, 5.5, 8.0]))
def test_order_cuts_and_units_change_nothing(rows: Rows, model: str, seed: int, cut: float) -> None:
    fit = _fit(rows, model)
    _same(fit, _fit(rows.take(np.random.default_rng(seed).permutation(len(rows.exit))), model))
    _same(fit, _fit(rows, model, unit=7))
    if model != "gap":  # a cut starts the clock of gaps again
        _same(fit, _fit(rows.split(cut), model))


@LAW
@given(follow_up(), MODELS)
def test_whole_weights_are_copies_in_the_cluster_of_their_person(rows: Rows, model: str) -> None:
    copies, whose = rows.repeated()
    _same(_fit(rows, model), _fit(copies, model, cluster=whose))


@LAW
@given(st.integers(0, 10_000))
def test_marginal_model_laws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, orders = 40, 2
    stop, who = rng.integers(5, 20, n).astype(float), rng.integers(0, n, 2 * n)
    rows = marginal_rows(np.arange(n), stop, who, rng.integers(1, 20, 2 * n), orders, ties="merge")
    x, weight = rng.normal(size=n)[rows.index], rng.integers(1, 4, n)[rows.index]

    def fit(at: np.ndarray, unit: float = 1.0, **options: Any) -> MarginalFit:
        person = options.pop("person", rows.person[at])
        return wei_lin_weissfeld(
            x[at], rows.exit[at] * unit, rows.event[at], person, rows.order[at], ties="breslow", **options
        )

    everything = np.arange(len(rows.exit))
    again = np.repeat(everything, weight)
    copy = np.concatenate([np.arange(times) for times in weight])
    found = fit(everything, weights=weight)
    shuffled = rng.permutation(everything)
    for other in (
        fit(shuffled, weights=weight[shuffled]),
        fit(everything, unit=7, weights=weight),
        fit(again, person=rows.person[again] * 10 + copy, cluster=rows.person[again]),
    ):
        assert_close([*other.coef.flat, *other.std_error.flat], [*found.coef.flat, *found.std_error.flat], 1e-6)
        assert_close([*other.average, *other.average_std_error], [*found.average, *found.average_std_error], 1e-6)
