"""The compiled pass of the Cox model is its twin in numpy, and R's `coxph`; without numba nothing is missing."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.stats import compiled, cox_likelihood
from clinops.stats.cox import cox
from clinops.stats.cox_likelihood import PartialLikelihood, partial_likelihood
from clinops.stats.risk_sets import spells
from tests.stats.test_cox import FITS
from tests.support import assert_close, oracle

ROWS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 12), st.booleans(), st.integers(0, 2), st.integers(0, 3)),
    min_size=2, max_size=40,
)  # fmt: skip


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows: the compiled pass."""
    monkeypatch.setattr(cox_likelihood, "worth_it", lambda rows: True)


def both(likelihood: PartialLikelihood, beta: np.ndarray) -> None:
    """The two roads to value, gradient and information end at the same place."""
    known, state = likelihood._in_one_pass(beta)
    turns = likelihood.turns_at(beta)
    assert known and state is not None and turns is not None
    plain = cox_likelihood.State(
        likelihood, beta, float(likelihood.own_weight @ turns.eta - likelihood.mass @ np.log(turns.denominator)),
        turns=turns,
    )  # fmt: skip
    assert state.loglik == pytest.approx(plain.loglik, rel=1e-12, abs=1e-12)
    size = 1 + np.abs(likelihood.x).sum()
    np.testing.assert_allclose(state.gradient(), plain.gradient(), rtol=1e-10, atol=1e-13 * size)
    np.testing.assert_allclose(state.information(), plain.information(), rtol=1e-10, atol=1e-13 * size)


@settings(deadline=None, max_examples=80)
@given(ROWS, st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_compiled_pass_is_the_numpy_one(rows, efron, late, stratified, weighted, seed):
    """Ties, late entry (also rows at risk at no moment), strata, weights of zero, an offset, one column or three."""
    entry, length, event, stratum, weight = (np.array(column) for column in zip(*rows, strict=True))
    entry = entry if late else np.zeros(len(entry))
    rng = np.random.default_rng(seed)
    made = spells(
        entry + length, event, entry=entry, strata=stratum if stratified else None,
        weights=weight if weighted else None,
    )  # fmt: skip
    x = rng.normal(size=(made.n, int(rng.integers(1, 4))))
    likelihood = partial_likelihood(made, x, efron=efron).with_columns(x, rng.normal(size=made.n))
    for beta in (np.zeros(x.shape[1]), rng.normal(size=x.shape[1])):
        both(likelihood, beta)


@pytest.mark.parametrize("late", [False, True])
def test_rows_in_order_of_time_and_rows_as_they_come(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """A table of moments too large for the cache is not made: the rows are sorted instead."""
    rng = np.random.default_rng(3)
    x, stop = rng.normal(size=(3_000, 4)), rng.exponential(100, 3_000)
    entry = stop * rng.uniform(0, 0.9, 3_000) if late else None
    made = spells(stop, rng.random(3_000) < 0.6, entry=entry)
    states = []
    for room in (0, 1 << 30):
        monkeypatch.setattr(cox_likelihood, "MOST_CACHED", room)
        likelihood = partial_likelihood(made, x, efron=True)
        assert likelihood._packed[-1] == (room == 0)
        both(likelihood, np.array([0.3, -0.2, 0.1, 0.0]))
        states.append(likelihood._in_one_pass(np.full(4, 0.1))[1])
    np.testing.assert_allclose(states[0].information(), states[1].information(), rtol=1e-12)


@pytest.mark.parametrize(("file", "name"), FITS)
def test_compiled_fits_equal_r(file: str, name: str, always: None) -> None:
    expected, fit = oracle(f"survival/{file}")["expected"][name], FITS[file, name]()
    ours = {
        "coef": fit.coef, "se": fit.se, "loglik_null": fit.loglik_null, "loglik": fit.loglik,
        "lr_test": fit.lr_test, "score_test": fit.score_test,
        "vcov": fit.cov if fit.se_kind == "model" else fit.cov_robust,
    }  # fmt: skip
    assert_close(ours, {key: expected[key] for key in ours}, 1e-7, f"{file}.{name}", atol=1e-9)


def test_an_arm_without_events_is_found_by_the_compiled_pass(always: None) -> None:
    fit = cox([0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 5, 6], [1, 1, 1, 0, 0, 0])
    assert fit.coef[0] == -np.inf and fit.converged and "minus infinity" in fit.note


def test_a_total_that_would_lose_its_digits_is_left_to_numpy(always: None) -> None:
    """At the first event only two rows of weight 1 are at risk; a row of risk e^40 (2e17) enters after it.

    Seen from the end, those two are a difference of running totals of 2e17, in which a 1 has no digit left. The log
    likelihood is worked out here by hand: at time 1 of the two at risk one dies; at time 5 the row of risk e^40 dies
    among itself and the other.
    """
    made = spells([1.0, 5.0, 9.0, 1.5], [1, 1, 0, 0], entry=[0.0, 2.0, 2.0, 0.0])
    likelihood = partial_likelihood(made, np.array([[0.0], [1.0], [0.0], [0.0]]), efron=True)
    assert likelihood._in_one_pass(np.array([40.0]))[0] is False
    state = likelihood.at(np.array([40.0]))
    assert state is not None
    assert state.loglik == pytest.approx(-np.log(2) - np.log1p(np.exp(-40.0)), rel=1e-14)


def test_a_predictor_too_large_to_compute_with(always: None) -> None:
    likelihood = partial_likelihood(spells([1, 2, 3], [1, 1, 0]), np.array([[1.0], [2.0], [3.0]]), efron=True)
    assert likelihood.at(np.array([300.0])) is None


def test_small_data_and_the_switch_leave_numba_out() -> None:
    """In a fresh process: a small fit loads no numba, a large one does, and with the switch off never."""
    code = (
        "import sys, numpy as np; from clinops.stats.cox import cox\n"
        "rng = np.random.default_rng(1)\n"
        "def fit(n): return cox(rng.normal(size=n), np.ceil(rng.exponential(90, n)), rng.random(n) < 0.5)\n"
        "fit(500); print('numba' in sys.modules); fit(6000); print('numba' in sys.modules)"
    )
    for switch, expected in (("1", ["False", "True"]), ("0", ["False", "False"])):
        environment = {**os.environ, compiled.SWITCH: switch}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected


def test_without_a_folder_to_write_loops_are_compiled_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    real = numba.njit

    def njit(**options: bool):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    assert compiled.jit(lambda a: a + 1)(2) == 3
