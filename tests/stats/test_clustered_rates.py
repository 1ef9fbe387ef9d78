"""Standardised and pooled rates by person: point estimates of `standardisation`, errors of clustered regressions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from clinops.errors import DataError, ParameterError
from clinops.stats.clustered import ratio_of_sums
from clinops.stats.clustered_rates import ClusteredRates, clustered_rates
from clinops.stats.standardisation import mantel_haenszel, standardised_contrast, standardised_rate

NAMES = ("exposed", "comparator", "difference", "ratio", "mantel_haenszel")


def some(seed: int, cells: int = 4, persons: int = 120) -> dict[str, Any]:
    """Persons who pass through cells, several events each, rates of their own; both arms in every cell."""
    draw = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(persons), 3)
    time = draw.uniform(0.1, 1.5, len(cluster))
    rate = np.repeat(draw.gamma(1.0, 1.0, persons), 3)
    return {
        "events": draw.poisson(rate * time).astype(float), "person_time": time,
        "cell": draw.integers(0, cells, len(cluster)), "exposed": cluster < 50, "cluster": cluster,
        "standard": draw.uniform(1, 3, cells),
    }  # fmt: skip


def sums(of: dict[str, Any], exposed: bool) -> tuple[np.ndarray, np.ndarray]:
    keep = of["exposed"] == exposed
    size = len(of["standard"])
    return tuple(np.bincount(of["cell"][keep], of[name][keep], size) for name in ("events", "person_time"))  # type: ignore[return-value]


def weighted(of: dict[str, Any], weight: np.ndarray) -> dict[str, Any]:
    return of | {name: of[name] * weight[of["cluster"]] for name in ("events", "person_time")}


def test_estimates_are_those_of_standardisation_from_the_sums() -> None:
    of = some(1)
    found, one, zero = clustered_rates(**of), sums(of, True), sums(of, False)
    for name, arm in (("exposed", one), ("comparator", zero)):
        assert getattr(found, name).estimate == pytest.approx(standardised_rate(*arm, of["standard"]).estimate)
    for scale in ("difference", "ratio"):
        same = standardised_contrast(*one, *zero, of["standard"], kind="rate", scale=scale)
        assert getattr(found, scale).estimate == pytest.approx(same.estimate, rel=1e-12)
    same = mantel_haenszel(*one, *zero, measure="rate ratio").effect
    assert found.mantel_haenszel.estimate == pytest.approx(same.estimate, rel=1e-12)


def test_one_cell_is_a_ratio_of_sums_and_a_clustered_poisson_regression() -> None:
    of = some(2, cells=1)
    found = clustered_rates(**of)
    keep = of["exposed"]
    person = [np.bincount(of["cluster"][keep], of[name][keep]) for name in ("events", "person_time")]
    same = ratio_of_sums(*person)
    for part in ("estimate", "std_error", "conf_low", "conf_high"):
        assert getattr(found.exposed, part) == pytest.approx(getattr(same, part), rel=1e-12)
    x = np.column_stack([np.ones(len(keep)), keep])
    fit = sm.GLM(of["events"], x, family=sm.families.Poisson(), offset=np.log(of["person_time"])).fit(
        cov_type="cluster", cov_kwds={"groups": of["cluster"], "use_correction": False}
    )
    error = fit.bse[1] * math.sqrt(120 / 119)  # statsmodels' correction has (n - 1) / (n - p) besides
    for one in (found.ratio, found.mantel_haenszel):
        assert one.estimate == pytest.approx(math.exp(fit.params[1]), rel=1e-8)
        assert one.std_error == pytest.approx(error, rel=1e-6)
        assert one.p_value == pytest.approx(math.erfc(abs(fit.params[1]) / error / math.sqrt(2)), rel=1e-4)
        assert one.conf_low == pytest.approx(math.exp(fit.params[1] - 1.959963985 * error), rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_those_of_the_derivatives_in_the_persons_weights(name: str) -> None:
    """Each person's influence is how the quantity moves with their weight: taken numerically, without the formulas."""
    of, step = some(3), 1e-5
    log = name in ("ratio", "mantel_haenszel")

    def value(weight: np.ndarray) -> float:
        estimate = getattr(clustered_rates(**weighted(of, weight)), name).estimate
        return float(np.log(estimate)) if log else float(estimate)

    influence = []
    for person in range(120):
        moved = np.ones(120)
        moved[person] = 1 + step
        up = value(moved)
        moved[person] = 1 - step
        influence.append((up - value(moved)) / (2 * step))
    persons = {"exposed": 50, "comparator": 70}.get(name, 120)
    error = math.sqrt(persons / (persons - 1) * np.square(influence).sum())
    assert getattr(clustered_rates(**of), name).std_error == pytest.approx(error, rel=1e-6)


def test_rows_of_a_person_may_be_split_and_units_are_a_scale() -> None:
    of = some(4)
    whole = clustered_rates(**of)
    twice = {name: np.tile(of[name], 2) for name in of if name != "standard"}
    for name in ("events", "person_time"):
        twice[name] = twice[name] / 2
    assert_same(clustered_rates(**twice, standard=of["standard"]), whole)
    assert_same(clustered_rates(**of | {"standard": 7 * of["standard"]}), whole)
    days = clustered_rates(**of | {"person_time": 365.25 * of["person_time"]})
    assert days.exposed.conf_high * 365.25 == pytest.approx(whole.exposed.conf_high)
    assert days.ratio.std_error == pytest.approx(whole.ratio.std_error)
    # Other rows as one person each know nothing of what a person's events share: a smaller error here.
    apart = clustered_rates(**of | {"cluster": np.arange(len(of["cell"]))})
    assert apart.ratio.estimate == pytest.approx(whole.ratio.estimate)
    assert apart.ratio.std_error < 0.95 * whole.ratio.std_error


def assert_same(one: ClusteredRates, other: ClusteredRates) -> None:
    for name in NAMES:
        for part in ("estimate", "std_error", "conf_low"):
            assert getattr(getattr(one, name), part) == pytest.approx(getattr(getattr(other, name), part), rel=1e-12)


def test_intervals_hold_the_truth_where_persons_differ_and_poisson_ones_do_not() -> None:
    """400 samples of persons with rates of their own, in two cells each: the ratio is 0.8 in every cell."""
    draw = np.random.default_rng(1)
    base, persons, samples = np.array([0.3, 0.6, 1.0, 1.6]), 300, 400
    row, held = np.repeat(np.arange(persons), 2), {"ratio": 0, "mantel_haenszel": 0, "poisson": 0}
    for _ in range(samples):
        first = draw.integers(0, 3, persons)
        cell, exposed = np.column_stack([first, first + 1]).ravel(), row < 120
        time = draw.uniform(0.2, 1, len(row))
        rate = base[cell] * np.where(exposed, 0.8, 1.0) * draw.gamma(1, 1, persons)[row]
        of = {
            "events": draw.poisson(rate * time).astype(float), "person_time": time, "cell": cell, "exposed": exposed,
            "cluster": row, "standard": np.ones(4),
        }  # fmt: skip
        found = clustered_rates(**of)
        both = {name: getattr(found, name) for name in ("ratio", "mantel_haenszel")} | {
            "poisson": standardised_contrast(*sums(of, True), *sums(of, False), np.ones(4), kind="rate", scale="ratio")
        }
        for name, one in both.items():
            held[name] += one.conf_low <= 0.8 <= one.conf_high
    # 0.95 give or take 3.3 errors of a share of 400.
    assert all(0.914 <= held[name] / samples <= 0.986 for name in ("ratio", "mantel_haenszel"))
    assert held["poisson"] / samples < 0.9


def test_a_cluster_in_both_groups_cancels_what_it_shares() -> None:
    # Each cluster gives both groups the same events in the same time: the ratio is 1 for certain.
    events = np.array([1.0, 3, 0, 2])
    found = clustered_rates(
        np.tile(events, 2), np.ones(8), np.zeros(8, int), np.repeat([True, False], 4), np.tile(np.arange(4), 2), [1]
    )
    assert found.ratio.estimate == 1 and np.isnan(found.ratio.std_error)
    assert found.ratio.note == "no spread between persons: no interval"
    assert found.exposed.std_error > 0


def test_what_cannot_be_said_is_noted() -> None:
    of: dict[str, Any] = {
        "events": [1.0, 2, 1, 0], "person_time": [1.0] * 4, "cell": [0, 0, 0, 1], "exposed": [1, 0, 0, 1],
        "cluster": [1, 2, 3, 4],
    }  # fmt: skip
    lacking = clustered_rates(**of, standard=[1, 1])
    assert lacking.ratio.note == "no one of a group in cells [1] of the standard: leave them out of it"
    assert np.isnan(lacking.exposed.estimate) and lacking.mantel_haenszel.estimate == pytest.approx(1 / 1.5)
    inside = clustered_rates(**of, standard=[1, 0])
    assert inside.exposed.estimate == 1 and inside.exposed.note == "no spread between persons: no interval"
    assert inside.ratio.std_error > 0  # two comparators differ
    none = clustered_rates(**of | {"events": [0, 2, 1, 0]}, standard=[1, 0])
    assert none.exposed.estimate == 0 and none.exposed.note == "no events"
    assert none.ratio.estimate == 0 and none.ratio.note == "no events in a group: no ratio"
    assert none.difference.estimate == -1.5 and none.difference.std_error > 0
    nothing = clustered_rates(**of | {"events": [0] * 4}, standard=[1, 0])
    assert nothing.ratio.note == nothing.difference.note == "no events" and np.isnan(nothing.ratio.estimate)
    apart = clustered_rates(**of | {"cell": [0, 1, 1, 0]}, standard=[1, 0])
    assert apart.mantel_haenszel.note == "no cell has both groups"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"events": [1.0]}, "shapes"),
        ({"events": [1.0, -1]}, "zero or more"),
        ({"person_time": [1.0, np.nan]}, "zero or more"),
        ({"person_time": [0.0, 1]}, "no person-time"),
        ({"cell": [0, 2]}, "from 0 to 1"),
        ({"exposed": [0, 2]}, "True and False"),
        ({"standard": [0, 0]}, "not all of them 0"),
    ],
)
def test_wrong_input_is_refused(given: dict[str, Any], says: str) -> None:
    of: dict[str, Any] = {
        "events": [1.0, 1], "person_time": [1.0, 1], "cell": [0, 1], "exposed": [0, 1], "cluster": [0, 1],
        "standard": [1, 1],
    }  # fmt: skip
    with pytest.raises(DataError, match=says):
        clustered_rates(**of | given)
    with pytest.raises(ParameterError, match="level"):
        clustered_rates(**of, level=95)
