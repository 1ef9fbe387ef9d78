"""Fine-Gray and cause-specific models against R, against each other, and by their own laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError, ParameterError
from clinops.stats.competing_risks import aalen_johansen
from clinops.stats.cox import CoxFit, cox
from clinops.stats.fine_gray import cause_specific_cox, fine_gray, fine_gray_rows
from clinops.stats.survival import kaplan_meier
from tests.support import assert_close, oracle, oracle_csv

CAUSES = {"pcm": 1, "death": 2}
TIES = st.sampled_from(["efron", "breslow"])
CENSORING = st.sampled_from(["crr", "finegray"])


def _mgus2() -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    data = oracle_csv("competing_risks/mgus2_cr")
    x = np.column_stack([data["age"], data["sex"] == "M"]).astype(float)
    return oracle("competing_risks/mgus2_cr")["expected"], x, data["etime"].to_numpy(), data["event"].to_numpy()


@pytest.mark.parametrize("name", CAUSES)
def test_model_equals_crr(name: str) -> None:
    expected, x, time, cause = _mgus2()
    wanted = expected[f"fine_gray_{name}"]
    fit = fine_gray(x, time, cause, CAUSES[name])
    found = {
        "coef": fit.coef, "se": fit.se, "shr": np.exp(fit.coef), "loglik": fit.loglik,
        "loglik_null": fit.loglik_null, "converged": fit.converged, "vcov": fit.cov,
    }  # fmt: skip
    assert_close(found, {key: wanted[key] for key in found}, 1e-7, name)
    assert fit.se_kind == "Fine-Gray" and not fit.note
    assert fit.n_event == (cause == CAUSES[name]).sum() and fit.n_competing == (cause == 3 - CAUSES[name]).sum()


def test_three_columns_equal_crr() -> None:
    data = oracle_csv("competing_risks/bmt_cr")
    wanted = oracle("competing_risks/bmt_cr")["expected"]["fine_gray_relapse"]
    x = np.column_stack([data["group"] == 2, data["group"] == 3, data["age"]])
    fit = fine_gray(x, data["ftime"], data["fstatus"], 1)
    assert_close(
        {"coef": fit.coef, "se": fit.se, "loglik": fit.loglik}, {k: wanted[k] for k in ("coef", "se", "loglik")}, 1e-7
    )


def _by_rows(x: np.ndarray, made: Any, **options: Any) -> CoxFit:
    return cox(x[made.row], made.exit, made.event, entry=made.entry, weights=made.weight, **options)


def test_expanded_rows_equal_finegray_with_coxph() -> None:
    """coxph takes each row as independent, since no id was given: its robust errors are those over rows."""
    expected, x, time, cause = _mgus2()
    wanted = expected["fine_gray_pcm_survival_pkg"]
    made = fine_gray_rows(time, cause, 1)
    fit = _by_rows(x, made, robust=True)
    assert_close({"coef": fit.coef, "se": fit.se_robust}, {key: wanted[key] for key in ("coef", "se")}, 1e-7)
    direct = fine_gray(x, time, cause, 1, ties="efron", censoring="finegray")
    assert_close(direct.coef, wanted["coef"], 1e-7, "without the rows")


@pytest.mark.parametrize("name", CAUSES)
def test_cause_specific_model_equals_coxph(name: str) -> None:
    expected, x, time, cause = _mgus2()
    wanted = expected[f"cause_specific_{name}"]
    fit = cause_specific_cox(x, time, cause, CAUSES[name])
    assert_close({"coef": fit.coef, "se": fit.se}, {key: wanted[key] for key in ("coef", "se")}, 1e-7, name)


def test_predicted_incidence_at_the_mean_is_near_the_curve_and_rises() -> None:
    _, x, time, cause = _mgus2()
    fit = fine_gray(x, time, cause, 2)
    predicted = fit.predict(x, [0, 60, 120, 240])
    assert (predicted[0] == 0).all() and (np.diff(predicted, axis=0) > 0).all()
    observed = aalen_johansen(time, cause).at([60, 120, 240]).incidence[:, 1]
    np.testing.assert_allclose(predicted[1:].mean(axis=1), observed, atol=0.01)
    alone = fine_gray(np.zeros((len(time), 0)), time, cause, 2, censoring="finegray")
    hazard = -np.log1p(-alone.predict(np.zeros((1, 0)), [60])[0, 0])
    curve = aalen_johansen(time, cause)
    steps = np.diff(np.concatenate([[0], curve.incidence[:, 1]]))
    left = 1 - np.concatenate([[0], curve.incidence[:-1, 1]])
    assert hazard == pytest.approx((steps / left)[curve.time <= 60].sum(), rel=1e-9), "1 - F is a product-limit"


# --- decided answers ----------------------------------------------------------------------------------------


def test_no_events_of_the_cause() -> None:
    for cause in ([2, 0, 2, 0], [0, 0, 0, 0]):
        fit = fine_gray([0, 1, 0, 1], [1, 2, 3, 4], cause, 1)
        assert np.isnan(fit.coef[0]) and np.isnan(fit.se[0]) and np.isnan(fit.wald_p) and fit.df == 0
        assert fit.note == "no events of cause 1: nothing can be estimated"
        assert np.isnan(fit.predict([[1.0]], [2])).all()


def test_no_rows() -> None:
    fit = fine_gray(np.zeros((0, 2)), [], [], 1)
    assert fit.n == 0 and np.isnan(fit.coef).all() and "no events" in fit.note
    assert len(fine_gray_rows([], [], 1).row) == 0


def test_no_events_in_one_arm_is_an_infinite_coefficient() -> None:
    x = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    fit = fine_gray(x, [1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 1, 0, 2, 0, 2, 0], 1)
    assert fit.coef[0] == -np.inf and np.isnan(fit.se[0]) and "minus infinity" in fit.note and fit.converged
    assert np.isnan(fit.interval()[0][0]) and np.isnan(fit.p_values[0])


def test_someone_with_a_competing_event_stays_and_keeps_the_estimate_finite() -> None:
    """Among those still free of every cause the events have the largest x; the ones who stay have larger ones."""
    x, time, cause = [5.0, 3.0, 2.0, 1.0, 0.0], [1, 2, 3, 4, 5], [2, 1, 1, 1, 0]
    assert cause_specific_cox(x, time, cause, 1).coef[0] == np.inf
    assert np.isfinite(fine_gray(x, time, cause, 1).coef[0])


def test_columns_that_say_nothing_are_left_out() -> None:
    _, x, time, cause = _mgus2()
    plain = fine_gray(x, time, cause, 1)
    more = fine_gray(np.column_stack([x, np.ones(len(x)), 2 * x[:, 0]]), time, cause, 1)
    assert_close(more.coef[:2], plain.coef, 1e-9)
    assert_close(more.se[:2], plain.se, 1e-9)
    assert np.isnan(more.coef[2:]).all() and "column 2: not identified" in more.note and more.df == 2


def test_a_gap_in_observation_is_refused() -> None:
    with pytest.raises(DataError, match="nobody is at risk just before 5"):
        fine_gray_rows([2, 3, 8, 9], [2, 1, 1, 0], 1, entry=[0, 0, 5, 5])


def test_bad_input_is_refused() -> None:
    x, time, cause = [0, 1, 1], [1, 2, 3], [1, 2, 0]
    for call, says in (
        (lambda: fine_gray(x, time, cause, 1, ties="exact"), "tie rule"),
        (lambda: fine_gray(x, time, cause, 1, censoring="fine-gray"), "Did you mean 'finegray'"),
        (lambda: fine_gray_rows(time, cause, 1, censoring="km"), "rule of censoring"),
    ):
        with pytest.raises(ParameterError, match=says):
            call()
    with pytest.raises(DataError, match="must have 3 rows"):
        fine_gray([0, 1], time, cause, 1)
    with pytest.raises(DataError, match="1 rows with missing"):
        fine_gray([0, np.nan, 1], time, cause, 1)
    with pytest.raises(DataError, match="newdata has 2 columns"):
        fine_gray(x, time, cause, 1).predict([[1, 2]], [1])


# --- laws ---------------------------------------------------------------------------------------------------


@st.composite
def _follow_up(draw: st.DrawFn, *, late: bool = False) -> dict[str, Any]:
    """Return 12 to 30 persons; everybody's risk sets overlap, so that late entry leaves no gap."""
    n = draw(st.integers(12, 30))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    entry = rng.integers(0, 4, n) if late else np.zeros(n)
    return {
        "X": rng.normal(size=(n, 2)).round(1),
        "exit": (np.maximum(entry, 3) + rng.integers(1, 9, n)).astype(float),
        "cause": np.concatenate([[1, 1, 2, 1], rng.integers(0, 3, n - 4)]),
        "entry": entry.astype(float),
    }


@settings(deadline=None, max_examples=40)
@given(_follow_up(late=True), st.booleans(), TIES, CENSORING)
def test_one_pass_equals_cox_on_the_expanded_rows(rows: dict[str, Any], late: bool, ties: str, censoring: str) -> None:
    weights = 1 + np.arange(len(rows["exit"])) % 3 / 2
    entry = rows["entry"] if late else None
    options: dict[str, Any] = {"entry": entry, "weights": weights, "censoring": censoring}
    fit = fine_gray(rows["X"], rows["exit"], rows["cause"], 1, ties=ties, known_weights=True, **options)
    made = fine_gray_rows(rows["exit"], rows["cause"], 1, **options)
    expected = _by_rows(rows["X"], made, ties=ties, cluster=made.row)
    if not np.isfinite(expected.coef).all():
        assert_close(np.sign(fit.coef), np.sign(expected.coef))
        return
    assert_close(fit.coef, expected.coef, 1e-7, "coef", atol=1e-9)
    assert_close(fit.se, expected.se_robust, 1e-7, "se")
    assert_close(fit.loglik, expected.loglik, 1e-9, "loglik")


@settings(deadline=None, max_examples=40)
@given(_follow_up(late=True), st.booleans())
def test_the_expanded_rows_make_the_aalen_johansen_curve(rows: dict[str, Any], late: bool) -> None:
    """Geskus 2011: the weighted product-limit curve of the subdistribution is the cumulative incidence."""
    entry = rows["entry"] if late else None
    made = fine_gray_rows(rows["exit"], rows["cause"], 1, entry=entry)
    limit = kaplan_meier(made.exit, made.event, entry=made.entry, weights=made.weight, robust=False)
    curve = aalen_johansen(rows["exit"], rows["cause"], entry=entry)
    grid = np.arange(0, 13)
    assert_close(1 - limit.at(grid).survival, curve.at(grid).incidence[:, 0], 1e-10, "curve", atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.integers(0, 9), st.sampled_from([1 / 365.25, 30.0]), CENSORING)
def test_order_and_units_do_not_matter(rows: dict[str, Any], seed: int, by: float, censoring: str) -> None:
    order = np.random.default_rng(seed).permutation(len(rows["exit"]))
    x, time, cause = rows["X"], rows["exit"], rows["cause"]
    here = fine_gray(x, time, cause, 1, censoring=censoring)
    there = fine_gray(x[order], time[order] * by, cause[order], 1, censoring=censoring)
    if np.isfinite(here.coef).all():
        assert_close({"coef": there.coef, "se": there.se}, {"coef": here.coef, "se": here.se}, 1e-6, atol=1e-9)
        assert_close(there.predict(x[:2], [5 * by]), here.predict(x[:2], [5]), 1e-6)


@settings(deadline=None, max_examples=30)
@given(_follow_up(), st.integers(0, 9), CENSORING)
def test_whole_number_weights_are_copies_of_one_person(rows: dict[str, Any], seed: int, censoring: str) -> None:
    n = len(rows["exit"])
    weights = np.random.default_rng(seed).integers(1, 4, n)
    person = np.repeat(np.arange(n), weights)
    x, time, cause = rows["X"], rows["exit"], rows["cause"]
    weighted = fine_gray(x, time, cause, 1, weights=weights, censoring=censoring)
    copies = fine_gray(x[person], time[person], cause[person], 1, cluster=person, censoring=censoring)
    if np.isfinite(weighted.coef).all():
        assert_close(
            {"coef": weighted.coef, "se": weighted.se}, {"coef": copies.coef, "se": copies.se}, 1e-7, atol=1e-9
        )


@settings(deadline=None, max_examples=30)
@given(_follow_up(), TIES)
def test_without_competing_events_it_is_the_cox_model(rows: dict[str, Any], ties: str) -> None:
    event = (rows["cause"] > 0).astype(int)
    fit = fine_gray(rows["X"], rows["exit"], event, 1, ties=ties)
    plain = cox(rows["X"], rows["exit"], event, ties=ties, robust=True)
    if np.isfinite(plain.coef).all():
        found = {"coef": fit.coef, "se": fit.se, "loglik": fit.loglik}
        assert_close(found, {"coef": plain.coef, "se": plain.se_robust, "loglik": plain.loglik}, 1e-8, atol=1e-10)


@pytest.mark.parametrize("censoring", ["crr", "finegray"])
def test_influence_of_the_censoring_weights_by_brute_force(censoring: str) -> None:
    """A row's influence is the derivative of the estimate in its weight, which also moves the censoring curve.

    Theirs divides by all at risk of being censored where the derivative divides by those not censored, so they agree
    up to about 1 / n.
    """
    rng = np.random.default_rng(4)
    n = 400
    x = rng.binomial(1, 0.5, n).astype(float)
    cause = np.where(rng.uniform(size=n) < 0.2 + 0.6 * x, 2, 1)
    time = rng.exponential(np.where(cause == 2, 0.3, 2.0))
    censored = rng.exponential(1.0, n)
    cause = np.where(censored < time, 0, cause)
    time = np.minimum(time, censored)

    def coef(w: np.ndarray) -> float:
        return float(fine_gray(x, time, cause, 1, weights=w, censoring=censoring).coef[0])

    step = 1e-4
    influence = np.zeros(n)
    for row in range(n):
        change = np.zeros(n)
        change[row] = step
        influence[row] = (coef(1 + change) - coef(1 - change)) / (2 * step)
    full = fine_gray(x, time, cause, 1, censoring=censoring).influence[:, 0]
    part = fine_gray(x, time, cause, 1, censoring=censoring, known_weights=True).influence[:, 0]
    full_miss, part_miss = (np.linalg.norm(found - influence) for found in (full, part))
    assert full_miss < part_miss / 10 and full_miss < 0.01 * np.linalg.norm(influence)
