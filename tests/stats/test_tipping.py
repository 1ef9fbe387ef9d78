"""Tipping points: published corrections, the correction undone, and missing outcomes written out person by person."""

from __future__ import annotations

import math

import numpy as np
import pytest

from clinops.errors import DataError, ParameterError
from clinops.stats.tipping import (
    confounder_difference,
    confounder_ratio,
    delta_adjusted,
    tipping_delta,
    tipping_points,
)

CUTS = (105 / (105 + 527), 85 / (85 + 93))
"""Risks of HIV by circumcision (Tyndall and others 1996), the worked example of Lash, Fox and Fink 2009, ch. 5."""


def test_published_corrections_come_out() -> None:
    ratio, difference = CUTS[0] / CUTS[1], CUTS[0] - CUTS[1]
    assert ratio == pytest.approx(0.3479, abs=5e-5)
    assert ratio / confounder_ratio(0.8, 0.05, 0.63)[0] == pytest.approx(0.4851, abs=5e-5)
    assert difference == pytest.approx(-0.3114, abs=5e-5)
    assert difference - confounder_difference(0.8, 0.05, -0.37)[0] == pytest.approx(-0.0339, abs=5e-5)


def test_the_difference_is_that_of_a_population_written_out() -> None:
    """Means by confounder and arm: no effect, 5 more with the confounder."""
    exposed, comparator = np.repeat([0, 1], [40, 60]), np.repeat([0, 1], [70, 30])
    observed = (10 + 5 * exposed).mean() - (10 + 5 * comparator).mean()
    assert confounder_difference(0.6, 0.3, 5)[0] == pytest.approx(observed, rel=1e-12)
    ratio = (10 * 2.5**exposed).mean() / (10 * 2.5**comparator).mean()
    assert confounder_ratio(0.6, 0.3, 2.5)[0] == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize(("estimate", "low", "high"), [(1.6, 1.2, 2.1), (0.7, 0.55, 0.9), (1.01, 1.001, 1.02)])
def test_at_the_tipping_point_a_ratio_is_explained(estimate: float, low: float, high: float) -> None:
    p1, p0 = np.meshgrid(np.linspace(0, 1, 11), np.linspace(0, 1, 11))
    found = tipping_points(
        estimate, low, high, prevalence_exposed=p1.ravel(), prevalence_comparator=p0.ravel(), scale="ratio"
    )
    for target, association in ((estimate, found.estimate), (low if estimate > 1 else high, found.limit)):
        can = np.isfinite(association)
        factor = confounder_ratio(found.prevalence_exposed[can], found.prevalence_comparator[can], association[can])
        assert factor == pytest.approx(target, rel=1e-9)
        # Without a limit on its strength a confounder multiplies by p1/p0 at most and by (1-p1)/(1-p0) as 0 nears.
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.array([p1 / p0, (1 - p1) / (1 - p0)]).reshape(2, -1)
        reach = (ends.min(axis=0) < target - 1e-9) & (target + 1e-9 < ends.max(axis=0))
        assert (can | ~reach).all() and can.sum() > 30


def test_at_the_tipping_point_a_difference_is_explained() -> None:
    found = tipping_points(
        -792.0, -1392.0, -192.0, prevalence_exposed=[0.1, 0.3, 0.2], prevalence_comparator=[0.3, 0.1, 0.2]
    )
    assert found.estimate[:2] == pytest.approx([3960.0, -3960.0]) and math.isnan(found.estimate[2])
    assert found.limit[:2] == pytest.approx([960.0, -960.0]) and found.null == 0


def test_a_limit_beyond_no_effect_needs_no_confounder_and_no_interval_has_none() -> None:
    pair = {"prevalence_exposed": 0.5, "prevalence_comparator": 0.2}
    assert tipping_points(-5.0, -12.0, 2.0, **pair).limit[0] == 0
    assert tipping_points(1.3, 0.9, 1.9, **pair, scale="ratio").limit[0] == 1
    assert math.isnan(tipping_points(-5.0, **pair).limit[0])
    assert tipping_points(0.0, -1.0, 1.0, **pair).estimate[0] == 0


def test_what_cannot_be_is_refused() -> None:
    pair = {"prevalence_exposed": 0.5, "prevalence_comparator": 0.2}
    with pytest.raises(DataError, match="share, not a percentage"):
        tipping_points(1.0, prevalence_exposed=50, prevalence_comparator=0.2)
    with pytest.raises(DataError, match="do not enclose"):
        tipping_points(1.0, 2.0, 3.0, **pair)
    with pytest.raises(DataError, match="Exponentiate"):
        tipping_points(-0.2, -0.4, 0.1, **pair, scale="ratio")
    with pytest.raises(DataError, match="Exponentiate"):
        confounder_ratio(0.5, 0.2, -1.0)
    with pytest.raises(ParameterError, match="'difference' or 'ratio'"):
        tipping_points(1.0, **pair, scale="log")
    with pytest.raises(DataError, match="from 0 to below 1"):
        delta_adjusted(1.0, 1.0, missing_exposed=1.0, missing_comparator=0, n_exposed=5, n_comparator=5,
                       delta_exposed=0)  # fmt: skip


# --- missing outcomes -------------------------------------------------------------------------------------


def test_delta_is_what_filling_in_person_by_person_gives() -> None:
    rng = np.random.default_rng(5)
    one, zero = rng.gamma(2, 500, 400), rng.gamma(2, 550, 600)
    gone_one, gone_zero = rng.random(400) < 0.2, rng.random(600) < 0.1
    seen = one[~gone_one].mean() - zero[~gone_zero].mean()
    for d1, d0 in ((0.0, 0.0), (300.0, 0.0), (-200.0, 150.0)):
        filled = (
            np.where(gone_one, one[~gone_one].mean() + d1, one).mean()
            - np.where(gone_zero, zero[~gone_zero].mean() + d0, zero).mean()
        )
        found = delta_adjusted(
            seen, 30.0, missing_exposed=gone_one.mean(), missing_comparator=gone_zero.mean(), n_exposed=400,
            n_comparator=600, delta_exposed=d1, delta_comparator=d0,
        )  # fmt: skip
        assert found.estimate[0] == pytest.approx(filled, rel=1e-12)
    same = delta_adjusted(seen, 30.0, missing_exposed=0.2, missing_comparator=0.1, n_exposed=400, n_comparator=600,
                          delta_exposed=0.0)  # fmt: skip
    assert (same.estimate[0], same.std_error[0]) == (seen, 30.0)


def test_the_error_of_delta_is_the_spread_over_samples() -> None:
    """Who is missing differs from sample to sample: with a large delta that is most of the doubt."""
    rng = np.random.default_rng(6)
    n, delta, found = 500, 8.0, []
    for _ in range(4000):
        y, gone = rng.normal(0, 1, n), rng.random(n) < 0.3
        found.append(y[~gone].mean() + gone.mean() * delta)
    error = delta_adjusted(0.0, 1 / math.sqrt(0.7 * n), missing_exposed=0.3, missing_comparator=0.0, n_exposed=n,
                           n_comparator=n, delta_exposed=delta).std_error[0]  # fmt: skip
    assert error == pytest.approx(np.std(found), rel=0.04)


def test_the_tipping_delta_takes_the_effect_and_its_limit_to_nothing() -> None:
    whole, limit = tipping_delta(-792.0, 306.0, missing_exposed=0.08, n_exposed=2600)
    shares = {"missing_exposed": 0.08, "missing_comparator": 0.0, "n_exposed": 2600, "n_comparator": 5000}
    assert delta_adjusted(-792.0, 306.0, **shares, delta_exposed=whole).estimate[0] == pytest.approx(0, abs=1e-9)
    at = delta_adjusted(-792.0, 306.0, **shares, delta_exposed=limit)
    assert at.conf_high[0] == pytest.approx(0, abs=1e-6) and 0 < limit < whole
    before = delta_adjusted(-792.0, 306.0, **shares, delta_exposed=limit - 1)
    assert before.conf_high[0] < 0


def test_nobody_missing_or_no_effect_has_a_decided_answer() -> None:
    assert all(map(math.isnan, tipping_delta(-5.0, 1.0, missing_exposed=0.0)))
    assert tipping_delta(-5.0, 4.0, missing_exposed=0.1)[1] == 0
    assert tipping_delta(5.0, missing_exposed=0.1)[0] == -50 and math.isnan(tipping_delta(5.0, missing_exposed=0.1)[1])
    with pytest.raises(DataError):
        tipping_delta(5.0, missing_exposed=1.2)
