"""Columns of the propensity model and of the balance table, each made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.design import balance_design, model_design
from clinops.define.measures import Measure
from tests.analyse.support import VISIT, arms, dataset
from tests.support import assert_close

BEFORE = co.before(365)
VISITS = co.count(VISIT, BEFORE, name="Visits")
SPENT = co.cost("total", BEFORE, name="Spent")
SMOKES = co.any_of(co.events("condition"), BEFORE, name="Smokes")
BMI = co.value(co.events("measurement"), BEFORE, name="BMI")
NAN = np.nan


def scaled(values: object) -> np.ndarray:
    column = np.asarray(values, dtype=float)
    return np.asarray((column - column.mean()) / column.std())


@pytest.mark.parametrize("measure", [VISITS, SPENT])
def test_counts_and_costs_enter_as_logs(measure: Measure) -> None:
    data = dataset(arms(2, 3), {measure.id: [0.0, 1, 3, 7, 1000]})
    design = model_design(data, (measure,))
    assert [(t.label, t.transform) for t in design.terms] == [(measure.name, "log(1 + x)")]
    assert_close(design.matrix[:, 0], scaled(np.log([1, 2, 4, 8, 1001])), 1e-12)


def test_a_negative_net_cost_keeps_its_sign() -> None:
    design = model_design(dataset(arms(2, 1), {"spent": [-3.0, 0, 3]}), (SPENT,))
    assert_close(design.matrix[:, 0], scaled([-np.log(4), 0, np.log(4)]), 1e-12)


def test_other_numbers_enter_as_they_are() -> None:
    data = dataset(arms(2, 2), {"bmi": [20.0, 25, 30, 41], "smokes": [0.0, 1, 1, 1], "age": [40.0, 41, 42, 60]})
    design = model_design(data, (BMI, SMOKES, co.age_at_index()))
    assert_close(design.matrix, np.column_stack([scaled(data.baseline[c]) for c in ("bmi", "smokes", "age")]), 1e-12)
    assert {t.transform for t in design.terms} == {"as is"}


def test_a_missing_number_is_the_mean_with_an_indicator() -> None:
    design = model_design(dataset(arms(2, 2), {"bmi": [20.0, NAN, 30, NAN]}), (BMI,))
    assert [(t.label, t.transform) for t in design.terms] == [("BMI", "as is"), ("BMI: missing", "indicator")]
    assert_close(design.matrix[:, 0], scaled([20, 25, 30, 25]), 1e-12)
    assert_close(design.matrix[:, 1], scaled([0, 1, 0, 1]), 1e-12)


def test_the_mean_of_a_missing_count_is_that_of_its_logs() -> None:
    design = model_design(dataset(arms(2, 1), {"visits": [0.0, NAN, np.e**2 - 1]}), (VISITS,))
    assert_close(design.matrix[:, 0], scaled([0, 1, 2]), 1e-12)


def test_a_number_that_is_missing_for_all_leaves_no_column() -> None:
    assert model_design(dataset(arms(2, 1), {"bmi": [NAN, NAN, NAN]}), (BMI,)).terms == ()


def test_a_number_known_to_be_one_value_leaves_only_whether_it_is_missing() -> None:
    design = model_design(dataset(arms(2, 2), {"bmi": [25.0, NAN, 25, NAN]}), (BMI,))
    assert [t.label for t in design.terms] == ["BMI: missing"]


def test_levels_but_the_commonest() -> None:
    race = np.array(["white", "black", "white", None, "asian", "black", "white"], dtype=object)
    design = model_design(dataset(arms(3, 4), {"race": race}), (co.race(),))
    # white is the commonest; black before the two single ones, which stand by name
    assert [t.label for t in design.terms] == ["Race: black", "Race: asian", "Race: missing"]
    assert_close(design.matrix[:, 0], scaled(race == "black"), 1e-12)
    assert_close(design.matrix[:, 2], scaled([r is None for r in race]), 1e-12)


def test_constants_are_dropped_however_large() -> None:
    data = dataset(arms(2, 2), {"bmi": [25.0] * 4, "spent": [1e12 + 0.001, 1e12, 1e12, 1e12], "age": [1.0, 2, 3, 4]})
    assert [t.label for t in model_design(data, (BMI, SPENT, co.age_at_index())).terms] == ["Age"]


def test_index_dates_count_in_days_from_the_first() -> None:
    data = dataset(arms(2, 1), index=["2021-03-15", "2021-03-01", "2022-03-01"])
    design = model_design(data, (co.index_date(),))
    assert_close(design.matrix[:, 0], scaled([14, 0, 365]), 1e-12)
    balanced = balance_design(data, (co.index_date(),))
    assert balanced.matrix[:, 0].tolist() == [14, 0, 365]
    assert balanced.terms[0].label == "Index date, days after 2021-03-01"


def test_a_covariate_without_a_column_is_left_out() -> None:
    design = model_design(dataset(arms(1, 1), {"bmi": [20.0, 25]}), (SPENT, BMI))
    assert [t.measure for t in design.terms] == [BMI]


def test_no_covariates_are_no_columns() -> None:
    for make in (model_design, balance_design):
        assert make(dataset(arms(1, 2)), ()).matrix.shape == (3, 0)


def test_balance_is_judged_on_numbers_as_they_are_and_on_every_level() -> None:
    data = dataset(
        arms(2, 2), {"visits": [0.0, 1, 3, NAN], "sex": pd.Series(["female", "male", None, "female"], dtype=object)}
    )
    design = balance_design(data, (VISITS, co.sex()))
    assert [t.label for t in design.terms] == ["Visits", "Sex: female", "Sex: male", "Sex: missing"]
    assert_close(design.matrix[:, 0], [0, 1, 3, NAN], 1e-12)
    assert design.matrix[:, 1:].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    assert [t.is_share for t in design.terms] == [False, True, True, True]
    assert balance_design(dataset(arms(1, 1), {"smokes": [0.0, 1]}), (SMOKES,)).terms[0].is_share


def test_the_columns_do_not_depend_on_who_is_exposed() -> None:
    values = {"bmi": [20.0, NAN, 30, 41], "sex": np.array(["f", "m", "f", "m"], dtype=object)}
    one, other = (model_design(dataset(arm, values), (BMI, co.sex())) for arm in ([1, 1, 0, 0], [0, 1, 0, 1]))
    assert_close(one.matrix, other.matrix, 1e-15)
