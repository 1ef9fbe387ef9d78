"""Two arms, two periods: against R, CR2 against its definition in full matrices, and what must change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from clinops.errors import DataError, DefinitionError
from clinops.stats.did import bias_reduced, difference_in_differences
from clinops.stats.glm import glm
from clinops.stats.linear import linear

TOLERANCE = 1e-9  # as the reference states


@pytest.fixture
def patients(reference: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    expected, meta, frames = reference("its_did/did_2x2")
    assert meta["tolerance_rel"] == TOLERANCE
    frame = frames["did_2x2.csv"]
    named = {"y": "y", "treated": "treated", "post": "post", "cluster": "id"}
    return expected, {name: frame[column].to_numpy() for name, column in named.items()}


@pytest.mark.parametrize(("kind", "key"), [("CR0", "se_cluster_cr0"), ("CR1", "se_cluster_cr1"), ("CR2", "cr2")])
def test_estimate_and_cluster_errors_are_those_of_r(patients: Any, kind: str, key: str) -> None:
    expected, data = patients
    fit = difference_in_differences(**data, se=kind)
    assert_allclose(fit.estimate, expected["coef"], rtol=TOLERANCE)
    assert_allclose(fit.std_error, expected["cr2"]["se"] if kind == "CR2" else expected[key], rtol=TOLERANCE)
    assert_allclose(fit.mean.T.ravel(), expected["means"]["y"], rtol=TOLERANCE)
    assert (fit.n, fit.n_clusters, fit.note) == (480, 80, "")
    assert fit.rows.tolist() == [[120, 120], [120, 120]]


def test_degrees_of_freedom_and_p_are_those_of_clubsandwich(patients: Any) -> None:
    expected, data = patients
    fit = difference_in_differences(**data)
    assert_allclose([fit.df, fit.p_value], [expected["cr2"]["satterthwaite_df"], expected["cr2"]["p"]], rtol=TOLERANCE)


def test_the_errors_without_clusters_come_from_the_regressions(patients: Any) -> None:
    expected, data = patients
    X = np.column_stack([data["treated"], data["post"], data["treated"] * data["post"]]).astype(float)
    for kind, key in (("model", "se_iid"), ("HC1", "se_hc1")):
        assert_allclose(linear(X, data["y"], se=kind).std_error[2], expected[key], rtol=TOLERANCE)
    with_ones = np.column_stack([np.ones(len(X)), X])
    hc3 = glm(with_ones, data["y"], "gaussian", se="HC3").std_error[3]
    assert_allclose(hc3, expected["se_hc3"], rtol=TOLERANCE)


def test_participants_of_a_real_trial_against_others_of_their_arm() -> None:
    """Spending before and after in the Illinois study's treated arm: -9.7 (66.0) by pandas, with unequal variances.

    Mean changes of 1,305 and 845 people, each arm's variance of changes over its number: CR2 is exactly that.
    """
    file = Path(__file__).parents[2] / "data" / "illinois-wellness" / "claims.csv"
    frame = pd.read_csv(file, usecols=["treat", "hra_c_yr1", "spend_0715_0716", "spend_0816_0717"])
    frame = frame[frame["treat"] == 1].dropna()
    before, after, part = (frame[c].to_numpy() for c in ("spend_0715_0716", "spend_0816_0717", "hra_c_yr1"))
    n, change = len(frame), after - before
    fit = difference_in_differences(
        np.concatenate([before, after]), np.tile(part, 2), np.repeat([0, 1], n), np.tile(np.arange(n), 2)
    )
    assert (round(fit.estimate, 1), round(fit.std_error, 1)) == (-9.7, 66.0)
    assert fit.rows[:, 0].tolist() == [n - 1305, 1305]
    by_hand = sum(change[part == arm].var(ddof=1) / (part == arm).sum() for arm in (0, 1))
    assert_allclose(fit.std_error, np.sqrt(by_hand), rtol=1e-9)


def in_full(X: Any, residual: Any, code: Any) -> tuple[Any, Any]:
    """CR2 and its degrees of freedom as defined, with n by n matrices."""
    M = np.linalg.inv(X.T @ X)
    rest = np.eye(len(X)) - X @ M @ X.T
    meat, arms = np.zeros((X.shape[1],) * 2), []
    for one in np.unique(code):
        mine = code == one
        values, vectors = np.linalg.eigh(rest[np.ix_(mine, mine)])
        safe = np.where(values > 1e-9, values, 1.0)
        A = (vectors * np.where(values > 1e-9, safe**-0.5, 0.0)) @ vectors.T
        score = X[mine].T @ A @ residual[mine]
        meat += np.outer(score, score)
        arms.append(rest[:, mine] @ A @ X[mine] @ M)
    P = np.einsum("gnc,hnc->cgh", np.stack(arms), np.stack(arms))
    return M @ meat @ M, np.trace(P, axis1=1, axis2=2) ** 2 / (P**2).sum(axis=(1, 2))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alone", [False, True], ids=["", "one cluster determines a coefficient"])
def test_bias_reduced_errors_are_their_definition(seed: int, alone: bool) -> None:
    rng = np.random.default_rng(seed)
    code = np.sort(rng.integers(0, 9, 70))
    X = np.column_stack([np.ones(70), rng.normal(size=70), code < 3, (code == 4) if alone else rng.random(70)])
    y = X @ [1.0, 2.0, 3.0, 4.0] + rng.normal(size=9)[code] + rng.normal(size=70)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    cov, df = bias_reduced(X, residual, code)
    expected_cov, expected_df = in_full(X, residual, code)
    assert_allclose(cov, expected_cov, rtol=1e-8, atol=1e-12)
    counted = slice(0, 3) if alone else slice(0, 4)
    assert_allclose(df[counted], expected_df[counted], rtol=1e-8)


def test_clusters_of_one_row_are_hc2_of_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(4)
    treated, post = rng.integers(0, 2, (2, 90))
    y = rng.gamma(1.0, size=90) * (1 + treated * post)
    X = np.column_stack([np.ones(90), treated, post, treated * post])
    fit = difference_in_differences(y, treated, post, np.arange(90))
    assert_allclose(fit.std_error, sm.OLS(y, X).fit(cov_type="HC2").bse[3], rtol=1e-10)


@pytest.mark.parametrize("se", ["CR0", "CR1", "CR2"])
def test_order_labels_and_common_shifts_change_nothing(patients: Any, se: str) -> None:
    _, data = patients
    rng = np.random.default_rng(0)
    before = difference_in_differences(**data, se=se)
    order = rng.permutation(480)
    new = rng.permutation(1000)[data["cluster"]].astype(str)
    shifted = data["y"] + 100 + 7 * data["post"]
    after = difference_in_differences(shifted[order], data["treated"][order], data["post"][order], new[order], se=se)
    for name in ("estimate", "std_error", "conf_low", "p_value", "df"):
        assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-9)


def test_a_constant_outcome_has_no_effect_and_no_test(patients: Any) -> None:
    _, data = patients
    fit = difference_in_differences(**(data | {"y": np.full(480, 3.0)}))
    assert fit.estimate == 0 and "do not vary" in fit.note
    assert np.isnan([fit.std_error, fit.conf_low, fit.p_value]).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"treated": np.zeros(8)}, "no rows of the treated before, the treated after"),
        ({"treated": np.ones(8)}, "no rows of the comparison arm before, the comparison arm after"),
        ({"post": np.zeros(8)}, "no rows of the comparison arm after, the treated after"),
    ],
    ids=["no treated", "no comparison", "one period"],
)
def test_without_one_of_the_four_means_there_is_no_estimate(change: dict[str, Any], says: str) -> None:
    fit = difference_in_differences(**(small() | change))
    assert says in fit.note
    assert np.isnan([fit.estimate, fit.std_error, fit.conf_low, fit.p_value]).all()


@pytest.mark.parametrize(
    ("cluster", "alone"),
    [
        ([0, 0, 1, 1, 2, 2, 2, 2], "the treated before, the treated after"),
        ([0, 1, 0, 1, 2, 2, 3, 3], "the comparison arm before, the comparison arm after"),
        ([0, 0, 1, 1, 2, 2, 3, 2], "the treated after"),
    ],
    ids=["an arm", "one before and another after", "one seen after"],
)
@pytest.mark.parametrize("se", ["CR0", "CR1", "CR2"])
def test_one_cluster_behind_a_mean_gives_an_estimate_without_an_error(cluster: Any, alone: str, se: str) -> None:
    fit = difference_in_differences(**(small() | {"cluster": cluster}), se=se)
    assert fit.estimate == pytest.approx(4 - 2.5)  # worked by hand from the eight outcomes
    assert np.isnan([fit.std_error, fit.conf_high, fit.p_value]).all()
    assert f"One cluster alone is {alone}, and tells nothing" in fit.note


def small() -> dict[str, Any]:
    return {
        "y": np.array([1.0, 3, 2, 5, 4, 8, 6, 10]), "treated": np.repeat([0, 1], 4), "post": np.tile([0, 1], 4),
        "cluster": np.repeat([0, 1, 2, 3], 2),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"se": "CR3"}, DefinitionError, "no kind of cluster error 'CR3'"),
        ({"conf_level": 95}, DefinitionError, "between 0 and 1"),
        ({"y": np.array([1, np.nan, 2, 5, 4, 8, 6, 10])}, DataError, "1 rows with weight hold missing"),
        ({"treated": np.arange(8)}, DataError, "6 of 8 values of treated are neither 0 nor 1"),
        ({"post": np.zeros(7)}, DataError, "post has shape"),
        ({"cluster": np.zeros(7)}, DataError, "cluster has shape"),
    ],
)
def test_wrong_input_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        difference_in_differences(**(small() | change))
