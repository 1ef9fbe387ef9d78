"""Costs have the shape of real spending: the Illinois trial's first year, to stated bands.

Illinois Workplace Wellness Study, public claims, window 0816_0717, n = 3,239 (CC0, doi:10.5281/zenodo.4064860):
zero for 9.85 %, median over mean 0.335, top 1 % of persons 19.1 % of the spend. The bands allow for 15,000
persons' sampling error of the last (about 0.02).
"""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

from clinops.worlds import world
from tests.worlds.conftest import CHARGED


@pytest.fixture(scope="module")
def year() -> np.ndarray:
    """Allowed cost in 2021 of everyone enrolled on each of its days."""
    with duckdb.connect() as connection:
        world().register(connection)
        return connection.sql(f"""
            select coalesce(sum(amount_allowed), 0)::double as dollars from observation_period o
            left join ({CHARGED}) c on c.person_id = o.person_id and year(c.d) = 2021
            where observation_period_start_date <= date '2021-01-01'
            and observation_period_end_date >= date '2021-12-31' group by o.person_id""").fetchnumpy()["dollars"]


def test_about_a_tenth_of_person_years_cost_nothing(year):
    assert len(year) > 10_000
    assert 0.08 <= np.mean(year == 0) <= 0.12


def test_the_median_is_about_a_third_of_the_mean(year):
    assert 0.29 <= np.median(year) / year.mean() <= 0.37


def test_the_top_hundredth_spends_about_a_fifth(year):
    top = np.sort(year)[-round(0.01 * len(year)) :]
    assert 0.15 <= top.sum() / year.sum() <= 0.23
