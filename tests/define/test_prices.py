"""Price years: the shipped table against second sources, factors by hand, and what is refused."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Mapping
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clinops as co
from clinops.define.base import Definition
from clinops.define.prices import (
    CATEGORIES,
    FEE,
    PURPOSES,
    PriceComponent,
    Prices,
    PriceSeries,
    discount_factor,
    indices,
    spans,
)
from clinops.errors import DefinitionError

PAGE = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")

# What other public sources say of the same series, as quoted there (docs/prices.md names them); `against` is the
# year to which both are brought where the bases differ, and the tolerance is the difference that the page states.
SECOND: list[tuple[str, int | None, float, dict[int, float]]] = [
    ("phce", None, 0, {
        2010: 90.7, 2016: 98.7, 2018: 101.5, 2019: 103.0, 2020: 105.0, 2021: 107.2, 2023: 112.6, 2024: 116.0}),
    ("pce_health", 2019, 6e-4, {2016: 105.449, 2017: 107.250, 2018: 109.127, 2019: 110.675}),
    ("gdp", 2012, 5.2e-3, {
        1997: 74.399, 2000: 78.025, 2005: 87.504, 2009: 95.024, 2012: 100.0, 2015: 104.691, 2018: 110.339}),
    ("pce", 2017, 3e-3, {
        2009: 94.062, 2010: 95.747, 2011: 98.170, 2012: 100, 2013: 101.354, 2014: 102.887, 2015: 103.116,
        2016: 104.146, 2017: 106.051, 2018: 108.318, 2019: 109.922, 2021: 115.530}),
    ("cpi", None, 3e-6, {
        2015: 237.017, 2016: 240.007, 2017: 245.120, 2018: 251.107, 2019: 255.657, 2020: 258.811, 2021: 270.970,
        2022: 292.655, 2023: 304.702, 2024: 313.689}),
    ("cpi", 2000, 3e-6, {
        1996: 91.0859, 2000: 100, 2001: 102.8262, 2005: 113.4098, 2008: 125.0305, 2012: 133.3298, 2014: 137.4774,
        2025: 186.9588}),
    ("cpi_medical", None, 2e-5, {
        1997: 234.583, 2010: 388.436, 2015: 446.752, 2016: 463.675, 2018: 484.700, 2019: 498.413, 2020: 518.876,
        2021: 525.276, 2023: 549.084, 2024: 563.841}),
    ("cpi_medical", 2000, 2e-4, {1996: 87.5423, 1999: 96.0914, 2000: 100, 2002: 109.5430, 2004: 118.9422}),
]  # fmt: skip


def shipped(name: str) -> PriceSeries:
    return co.prices(2022, index=name).series()


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "against", "tolerance", "values"), SECOND)
def test_the_shipped_values_are_those_of_a_second_source(
    name: str, against: int | None, tolerance: float, values: Mapping[int, float]
) -> None:
    series = shipped(name)
    scale = 1.0 if against is None else series.value(against) / values[against]
    for year, value in values.items():
        assert series.value(year) == pytest.approx(value * scale, rel=tolerance, abs=1e-12), year


def test_the_hospital_index_is_the_mean_of_published_months() -> None:
    """CUSR0000SEMD, 1982-84 = 100, months of 2000 and 2020 as downloaded from FRED."""
    first = (307.8, 309.2, 310.6, 312.7, 314.2, 316.5, 318.8, 320.9, 322.8, 324, 325, 325.3)
    last = "910.413 914.38 916.649 919.94 919.075 920.358 921.834 922.205 926.748 925.515 927.819 928.006"
    ratio = sum(map(float, last.split())) / sum(first)
    assert shipped("cpi_hospital").value(2020) / shipped("cpi_hospital").value(2000) == pytest.approx(ratio, rel=2e-6)


def test_every_index_has_a_source_a_base_and_no_gap() -> None:
    folder = resources.files("clinops.define").joinpath("price_tables")
    rows = list(csv.DictReader(folder.joinpath("sources.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(row["index"] for row in rows) == indices()
    for row in rows:
        assert all(row[field] for field in row if field != "note"), row["index"]
        series = shipped(row["index"])
        assert list(series.years) == list(range(series.years[0], series.years[-1] + 1))
        assert f"| `{row['index']}` |" in PAGE and f"{series.years[0]}-{series.years[-1]}" in PAGE
        base = re.search(r"\d{4} = 100", row["base"])
        if base and not row["base"].startswith("1982"):
            assert series.value(int(base.group()[:4])) == 100
    assert {purpose for purpose in PURPOSES if f'| `"{purpose}"` |' in PAGE} == set(PURPOSES)


def test_prices_of_care_rise_year_on_year_and_by_less_than_a_tenth() -> None:
    """A typing error in the table would stand out: deflators of these years move by less than 10 % a year."""
    for name in indices():
        values = shipped(name).values
        assert all(-0.01 < after / before - 1 < 0.1 for before, after in pairwise(values)), name


# --- factors -------------------------------------------------------------------------------------


def test_factors_by_hand() -> None:
    pooled = co.prices(2022)
    assert pooled.factor(2017) == pytest.approx(1.096)  # 109.6 / 100
    assert pooled.factor(2019) == pytest.approx(109.6 / 103.0)
    assert pooled.factor(2022) == 1
    assert pooled.factor(2017, FEE) == pytest.approx(1.18023)  # GDP, 118.023 / 100
    assert co.prices(2017, "purchasing power").factor(2012) == pytest.approx(100 / 93.185)
    paid = co.prices(2021, "out of pocket")
    assert paid.factor(2020) == pytest.approx(525.276 / 518.876, rel=1e-5)
    assert paid.factor(2020, "inpatient") == pytest.approx(299.3869 / 290.2711)
    assert co.prices(2022, index="pce_health").factor(2020, FEE) == pytest.approx(110.24 / 105.442)


def test_own_tables_as_a_mapping_and_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("# our accountant, 2024\nyear,index\n2022,110\n2021,100\n", encoding="utf-8")
    from_file, given = co.prices(2022, index=file), co.prices(2022, index={2021: 50, 2022: 55.0})
    assert from_file.factor(2021) == given.factor(2021) == pytest.approx(1.1)
    assert "own table mine.csv" in str(from_file)
    assert co.prices(2022, index=str(file)) == from_file
    parts = co.prices(2022, components={"pharmacy": {2021: 1.0, 2022: 2.0}, "inpatient": "cpi_hospital"})
    assert parts.factor(2021, "pharmacy") == 2 and parts.own == ("inpatient", "pharmacy", FEE)
    assert parts.factor(2021, "professional") == parts.factor(2021) == pytest.approx(109.6 / 107.2)
    over = co.prices(2022, index="gdp", components={"pharmacy": "pce"})
    assert over.series("inpatient").name == over.series(FEE).name == "gdp" and over.series("pharmacy").name == "pce"


def test_the_table_has_a_line_for_every_category_with_an_index_of_its_own() -> None:
    rows = co.prices(2022).table(years=(2019, 2020))
    assert [(row.category, row.index, row.year) for row in rows] == [
        ("total", "phce", 2019), ("total", "phce", 2020), (FEE, "gdp", 2019), (FEE, "gdp", 2020),
    ]  # fmt: skip
    assert rows[0].value == 103.0 and rows[0].factor == pytest.approx(109.6 / 103.0)
    assert "Personal health care" in rows[0].label
    whole = co.prices(2022).table(categories=("professional",))
    assert [row.year for row in whole] == list(range(2000, 2025)) and {row.index for row in whole} == {"phce"}


def test_the_sentence_says_the_index_its_publisher_and_what_each_category_takes() -> None:
    said = str(co.prices(2022))
    assert said.startswith("Prices of 2022 (spending of different years made comparable): Personal health care")
    assert "CMS" in said and "as of 2026" in said and "programme fee: Gross domestic product" in said
    assert said.endswith("Other categories take the index of the total.")
    assert str(co.prices(2022, "programme fee")).endswith("All categories take the index of the total.")


@given(st.sampled_from(sorted(PURPOSES)), st.sampled_from(CATEGORIES), st.integers(2000, 2024), st.integers(2000, 2024))
@settings(deadline=None, derandomize=True)
def test_there_and_back_is_one_and_a_trip_through_json_changes_nothing(
    purpose: str, category: str, one: int, other: int
) -> None:
    there, back = co.prices(one, purpose), co.prices(other, purpose)
    assert there.factor(other, category) * back.factor(one, category) == pytest.approx(1)
    assert Definition.from_json(there.to_json()) == there and Prices.from_json(there.to_json()).hash == there.hash


def test_an_own_table_travels_with_the_definition() -> None:
    mine = co.prices(2022, index={2021: 1, 2022: 1.5}, components={"pharmacy": "cpi"})
    again = Prices.from_json(mine.to_json())
    assert (
        again == mine and again.factor(2021) == 1.5 and again.factor(2021, "pharmacy") == mine.factor(2021, "pharmacy")
    )


# --- discounting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("years", "rate", "wanted"),
    [
        (0, 0.03, 1), (0.5, 0.03, 1), (1, 0.03, 1), (1.01, 0.03, 1 / 1.03), (2, 0.03, 1 / 1.03),
        (2.5, 0.03, 1 / 1.03**2), (10, 0.05, 1.05**-9), (7, 0, 1),
    ],
)  # fmt: skip
def test_discounting_begins_after_the_first_year(years: float, rate: float, wanted: float) -> None:
    assert discount_factor(years, rate) == pytest.approx(wanted, rel=1e-14)


def test_the_default_rate_is_three_per_cent() -> None:
    assert discount_factor(2) == pytest.approx(1 / 1.03)


# --- refused -------------------------------------------------------------------------------------

REFUSED: list[tuple[str, Callable[[], object]]] = [
    ("'phce' has no 1995; it has 2000 to 2024. Nothing is extrapolated", lambda: co.prices(2022).factor(1995)),
    ("'phce' has no 2031; it has 2000 to 2024", lambda: co.prices(2031)),
    ("'own index of pharmacy' has no 2022; it has 2020", lambda: co.prices(2022, components={"pharmacy": {2020: 1.0}})),
    ("'own index' has no 2020; it has 2018 to 2019 and 2022", lambda: co.prices(
        2022, index={2018: 1.0, 2019: 1.0, 2022: 1.0}).factor(2020)),
    ("no purpose of a price index 'pool'. Did you mean 'pooling'", lambda: co.prices(2022, "pool")),
    ("no price index 'cpi_med'. Did you mean 'cpi_medical'.*columns year and index", lambda: co.prices(
        2022, index="cpi_med")),
    ("no cost category 'farmacy'. Did you mean 'pharmacy'", lambda: co.prices(2022).factor(2020, "farmacy")),
    ("no cost category 'drugs'", lambda: co.prices(2022, components={"drugs": "cpi"})),
    ("components are single categories", lambda: co.prices(2022, components={"total": "cpi"})),
    ("the price year is '2022'; give a whole number", lambda: co.prices("2022")),  # type: ignore[arg-type]
    ("the year is 2020.5; give a whole number", lambda: co.prices(2022).factor(2020.5)),  # type: ignore[arg-type]
    ("The price index is 7; give the name of an index", lambda: co.prices(2022, index=7)),  # type: ignore[arg-type]
    ("no price table .*nowhere.csv", lambda: co.prices(2022, index="nowhere.csv")),
    ("of 2022 is not above 0", lambda: co.prices(2022, index={2022: 0})),
    ("needs years and one value for each", lambda: co.prices(2022, index={})),
    ("years of the price index 'x' must ascend", lambda: PriceSeries("x", (2022, 2021), (1.0, 1.0))),
    ("two price indices", lambda: Prices(2022, components=(PriceComponent("pharmacy", "cpi"),) * 2)),
    ("years_from_index is -1", lambda: discount_factor(-1)),
    ("years_from_index is nan", lambda: discount_factor(math.nan)),
    ("rate is 3; give a share a year, such as 0.03", lambda: discount_factor(2, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("said", "make"), REFUSED, ids=[said for said, _ in REFUSED])
def test_a_wrong_value_is_refused_and_the_message_says_what_to_give(said: str, make: Callable[[], object]) -> None:
    with pytest.raises(DefinitionError, match=said):
        make()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("year,value\n2022,1\n", "has year, value; it needs the columns year and index"),
        ("", "has no rows; it needs"),
        ("year,index\n2022,many\n", "Row 1 of the price table own.csv is '2022', 'many'; give numbers"),
        ("year,index\n2022,1\n2022,2\n", "has 2022 twice"),
    ],
)
def test_a_file_that_is_no_price_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError, match=said):
        co.prices(2022, index=file)


def test_years_are_said_in_runs() -> None:
    assert spans([2001, 1999, 2000, 2005, 2007, 2008]) == "1999 to 2001 and 2005 and 2007 to 2008"


def test_the_examples_of_the_page_run() -> None:
    names: dict[str, object] = {"co": co}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "prices.md", "exec"), names)
    assert isinstance(names["prices"], Prices)
