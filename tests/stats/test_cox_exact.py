"""The exact partial likelihood of ties: R's numbers, every choice written out, matched sets, refusals."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import ParameterError
from clinops.stats.cox import cox
from clinops.stats.cox_exact import ExactLikelihood, _symmetric
from tests.support import assert_close, oracle, oracle_csv


def test_fit_and_test_of_proportional_hazards_equal_r() -> None:
    expected, data = oracle("survival/cox_lung")["expected"]["exact"], oracle_csv("survival/cox_lung")
    fit = cox(data[["age", "sex", "ph_ecog"]], data["time"], data["event"], ties="exact")
    low, high = fit.interval()
    ours = {
        "n": fit.n, "nevent": fit.n_event, "method": fit.ties, "coef": fit.coef, "hr": np.exp(fit.coef), "se": fit.se,
        "lower95": np.exp(low), "upper95": np.exp(high), "z": fit.coef / fit.se, "p": fit.p_values,
        "loglik_null": fit.loglik_null, "loglik": fit.loglik, "lr_test": fit.lr_test, "score_test": fit.score_test,
        "aic": fit.aic, "vcov": fit.cov, "concordance": fit.concordance(),
    }  # fmt: skip
    # As for the other tie rules: R stops when the log likelihood settles to 1e-9 of itself.
    assert_close(ours, {key: expected[key] for key in ours}, 1e-7, "exact", atol=1e-9)
    assert fit.wald_test == pytest.approx(expected["wald_test"], abs=0.00501), "R rounds it to two decimals"
    test = fit.proportional_hazards()
    ours = {"chisq": test.statistic, "df": test.df, "p": test.p_value}
    assert_close(ours, {key: expected["zph_km"][key] for key in ours}, 1e-6, "zph")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_choice_written_out(n: int, events: int, q: int, seed: int) -> None:
    events, rng = min(events, n), np.random.default_rng(seed)
    risk, x = rng.exponential(size=n), rng.normal(size=(n, q))
    value, first, second = 0.0, np.zeros(q), np.zeros((q, q))
    for chosen in combinations(range(n), events):
        product, total = np.prod(risk[list(chosen)]), x[list(chosen)].sum(axis=0)
        value, first, second = value + product, first + product * total, second + product * np.outer(total, total)
    found = _symmetric(risk, x, events)
    assert found[0] == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found[1], first, rtol=1e-9, atol=1e-9 * value)
    np.testing.assert_allclose(found[2], second, rtol=1e-9, atol=1e-9 * value)
    assert found[3] == 0


def test_many_of_many_stay_within_the_range_of_doubles() -> None:
    """1,500 of 2,400 at one time, nobody alike: with all risks equal the sum is the binomial coefficient."""
    x, event = np.random.default_rng(5).normal(size=2400), np.arange(2400) < 1500
    fit = cox(x, np.where(event, 1.0, 2.0), event, ties="exact")
    coefficient = math.lgamma(2401) - math.lgamma(1501) - math.lgamma(901)
    assert fit.loglik_null == pytest.approx(-coefficient, rel=1e-12)
    assert fit.converged and np.isfinite(fit.se).all()


def test_late_entry_and_strata_by_hand() -> None:
    """At time 2 of stratum 0 two of {0, 1, 2} have their event; row 3 enters at 2 and is not yet at risk.

    With b = log 2 and x = 0, 1, 2, 0 risks are 1, 2, 4: the events' product is 1 * 2, all pairs are 2 + 4 + 8. At time
    5 row 3 dies among {2, 3}: 1 of 4 + 1. In stratum 1 one of two, risks 2 and 1.
    """
    x = np.array([0.0, 1, 2, 0, 1, 0])
    fit = cox(
        x, [2, 2, 6, 5, 3, 4], [1, 1, 0, 1, 1, 0], entry=[0, 0, 0, 2, 0, 0], strata=[0, 0, 0, 0, 1, 1], ties="exact"
    )
    of = fit.state.of
    assert isinstance(of, ExactLikelihood)
    centre, scale = fit.columns.centre, fit.columns.scale
    state = of.at(np.array([np.log(2)]) * scale)
    assert state is not None and np.allclose(of.x[:, 0] * scale + centre, x)
    assert state.loglik == pytest.approx(np.log(2 / 14) + np.log(1 / 5) + np.log(2 / 3), rel=1e-12)


def test_matched_sets_are_a_conditional_logistic_regression() -> None:
    """One case and one control a set: the closed form is the logit of the share of discordant pairs."""
    pairs = np.repeat([[1, 0], [0, 1], [1, 1], [0, 0]], [17, 6, 5, 9], axis=0)  # exposure of case and control
    sets = np.repeat(np.arange(len(pairs)), 2)
    case = np.tile([1, 0], len(pairs))
    fit = cox(pairs.ravel(), np.ones(len(sets)), case, strata=sets, ties="exact")
    assert fit.coef[0] == pytest.approx(np.log(17 / 6), rel=1e-9)
    assert fit.se[0] == pytest.approx(np.sqrt(1 / 17 + 1 / 6), rel=1e-9)


def test_without_ties_it_is_the_ordinary_likelihood_and_with_many_it_keeps_its_range() -> None:
    rng = np.random.default_rng(5)
    x, time = rng.normal(size=(80, 2)), rng.permutation(80) + 1.0
    event = rng.random(80) < 0.7
    assert_close(cox(x, time, event, ties="exact").coef, cox(x, time, event).coef, 1e-9)
    tied = cox(x[:, 0], np.repeat([1.0, 2.0], 40), np.tile([1, 0], 40), ties="exact")  # 20 of 80, then 20 of 40
    assert tied.converged and np.isfinite(tied.se).all() and not tied.note


def test_a_monotone_exact_likelihood() -> None:
    """Both of a tied pair are above everybody else, at different values: exact rises for ever, Efron's does not."""
    x, time, event = [3.0, 2.0, 1.0, 0.0], [1, 1, 2, 3], [1, 1, 0, 0]
    fit = cox(x, time, event, ties="exact")
    assert fit.coef[0] == np.inf and "plus infinity" in fit.note
    assert np.isfinite(cox(x, time, event).coef[0])
    limits = fit.profile_interval(0)
    assert np.isnan([limits.conf_low, limits.conf_high]).all() and "Efron" in limits.note


@pytest.mark.parametrize("options", [{"weights": [1, 2, 1]}, {"cluster": [0, 0, 1]}, {"robust": True}])
def test_weights_and_robust_errors_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match="no weights and no robust variance"):
        cox([0, 1, 2], [1, 2, 3], [1, 1, 0], ties="exact", **options)
