"""The truth of an estimand, averaged by hand from both potential outcomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset
from clinops.analyse.truth import true_effect, truth_column
from clinops.define.measures import Measure
from tests.analyse.support import COST, COUNT, HOME, arms, crude, dataset, protocol

X = (co.value(co.events("measurement"), co.before(365), name="x"),)
EFFECT = np.array([-10.0, -20, -30, 100, 200, 300, 400, 500])
DATA = dataset(arms(3, 5), {"x": [2.0, 1.2, 0.3, 1.1, 0.2, -1, -2, 2.5]})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Both potential outcomes, in another order than the analysed rows and with others among them."""
    known = pd.DataFrame({
        "person_id": [99, *range(8, 0, -1)], "index_date": np.array(["2021-03-15"] * 9, dtype="datetime64[us]"),
        "cost_total_0": 1000.0, "cost_total_1": [7e7, *(1000 + EFFECT[::-1])],
        "days_at_home_0": 300, "days_at_home_1": [0, *(300 - np.arange(8)[::-1])],
    })  # fmt: skip
    known["index_date"] = known["index_date"].dt.date
    known.to_parquet(tmp_path / "truth.pq")
    return tmp_path / "truth.pq"


def truth(file: Path, how: Adjusted, measure: Measure = COST, data: Dataset = DATA) -> float | None:
    return true_effect(file, data, protocol(outcomes=(measure,)), how)


def test_att_averages_the_exposed(file: Path) -> None:
    assert truth(file, adjust(DATA, X, co.weight("att"))) == pytest.approx(-20)
    assert truth(file, crude(DATA)) == pytest.approx(-20)


def test_ate_averages_everybody(file: Path) -> None:
    assert truth(file, adjust(DATA, X, co.weight("ate"))) == pytest.approx(EFFECT.mean())


def test_overlap_averages_by_score_times_one_minus_score(file: Path) -> None:
    how = adjust(DATA, X, co.weight("overlap"))
    assert how.propensity is not None
    tilt = how.propensity.score * (1 - how.propensity.score)
    assert truth(file, how) == pytest.approx((tilt * EFFECT).sum() / tilt.sum())


def test_matched_averages_the_matched_exposed(file: Path) -> None:
    found = adjust(DATA, X, co.match())
    weights = np.array([1.0, 0, 1, 1, 1, 0, 0, 0])
    how = replace(found, weights=weights)  # rows 0 and 2 found a match
    assert truth(file, how) == pytest.approx((-10 - 30) / 2)


def test_a_person_who_entered_twice_counts_twice(file: Path) -> None:
    data = dataset(arms(3, 1), person=[1, 1, 2, 4])
    assert truth(file, crude(data), data=data) == pytest.approx((-10 - 10 - 20) / 3)


def test_days_at_home_have_a_truth(file: Path) -> None:
    assert truth(file, crude(DATA), replace(HOME, role="primary")) == pytest.approx(-(0 + 1 + 2) / 3)


@pytest.mark.parametrize(
    "measure",
    [
        replace(COUNT, role="primary"), replace(COST, amount="paid"), replace(COST, window=co.days(1, 180)),
        replace(COST, category="professional"), replace(COST, role="secondary"),
    ],
)  # fmt: skip
def test_what_the_world_does_not_know_is_none(file: Path, measure: Measure) -> None:
    assert truth(file, crude(DATA), measure) is None


@pytest.mark.parametrize("more", [{"index": "2021-03-16"}, {"person": [1, 2, 100, 4, 5, 6, 7, 8]}])
def test_an_exposed_entry_that_the_world_does_not_hold(file: Path, more: dict[str, Any]) -> None:
    data = dataset(arms(3, 5), **more)
    assert truth(file, crude(data), data=data) is None


def test_a_comparator_that_the_world_does_not_hold_matters_to_everybody_only(file: Path) -> None:
    data = Dataset(DATA.baseline.assign(person_id=[1, 2, 3, 4, 5, 6, 7, 100]))
    assert truth(file, adjust(data, X, co.weight("att")), data=data) == pytest.approx(-20)
    assert truth(file, adjust(data, X, co.weight("ate")), data=data) is None
    assert truth(file, adjust(data, X, co.weight("overlap")), data=data) is None


def test_an_unknown_entry_without_weight_does_not_matter(file: Path) -> None:
    data = dataset(arms(3, 5), person=[1, 2, 100, 4, 5, 6, 7, 8])
    how = replace(crude(data), weights=np.array([1.0, 1, 0, 1, 1, 1, 1, 1]))
    assert truth(file, how, data=data) == pytest.approx(-15)


def test_names_in_the_world() -> None:
    assert truth_column(COST) == "cost_total"
    assert truth_column(co.cost("inpatient", co.days(1, 365))) == "cost_inpatient"
    assert truth_column(HOME) == "days_at_home"
    assert truth_column(COUNT) is None
