"""Price years: which index brings money of different years to the prices of one, by purpose, and never beyond it."""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import ClassVar

from clinops.define.base import Definition, choice, whole
from clinops.define.fields import shown
from clinops.define.measures import COST_CATEGORIES
from clinops.errors import DefinitionError, unknown

Given = str | Path | Mapping[int, float]
"""An index as a user names it: of the shipped table, a CSV with the columns year and index, or year -> index."""

FEE = "programme fee"
CATEGORIES = (*COST_CATEGORIES, FEE)
PURPOSES: dict[str, tuple[str, str, dict[str, str]]] = {
    "pooling": ("spending of different years made comparable", "phce", {FEE: "gdp"}),
    "purchasing power": ("what the money would have bought", "gdp", {}),
    "out of pocket": (
        "what patients pay themselves", "cpi_medical",
        {FEE: "gdp"} | dict.fromkeys(("inpatient", "emergency", "outpatient"), "cpi_hospital"),
    ),
    "programme fee": ("the price of the programme", "gdp", {}),
}  # fmt: skip
"""What each purpose is for, the index it takes, and the categories that have one of their own.

After AHRQ (MEPS, "Using appropriate price indices") and Dunn, Grosse and Zuvekas 2018. The components of the
personal health care deflator are not in the shipped table: a category without an index of its own takes the total's.
"""


@dataclass(frozen=True)
class PriceSeries(Definition):
    """One price index by calendar year.

    Attributes
    ----------
    name, label : as code and as a report call it. years, values : ascending, one value a year.
    source : who publishes it, in which table, as of when.
    """

    kind: ClassVar[str] = "price series"
    made: ClassVar[str] = "the name of an index, a CSV with the columns year and index, or {2021: 107.2, 2022: 109.6}"
    name: str
    years: tuple[int, ...]
    values: tuple[float, ...]
    label: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.years or len(self.years) != len(self.values):
            raise DefinitionError(f"The price index {self.name!r} needs years and one value for each.")
        if list(self.years) != sorted(set(self.years)):
            raise DefinitionError(f"The years of the price index {self.name!r} must ascend, each once.")
        wrong = [year for year, value in zip(self.years, self.values, strict=True) if not value > 0]
        if wrong:
            raise DefinitionError(f"The price index {self.name!r} of {wrong[0]} is not above 0; an index is.")

    def value(self, year: int) -> float:
        """Return the index of a year; a year it does not have is an error, never an extrapolation."""
        whole("the year", year)
        if year not in self.years:
            raise DefinitionError(
                f"The price index {self.name!r} has no {year}; it has {spans(self.years)}. Nothing is extrapolated: "
                "choose another index, or give your own table of year -> index."
            )
        return self.values[self.years.index(year)]

    def __str__(self) -> str:
        return self.label or self.name


@dataclass(frozen=True)
class PriceComponent(Definition):
    """The index of one category of spending."""

    kind: ClassVar[str] = "price component"
    made: ClassVar[str] = "co.prices(2022, components={'pharmacy': {2021: 98.1, 2022: 100.0}})"
    category: str
    index: str | PriceSeries

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("cost category", self.category, CATEGORIES)
        _series(self.index)


@dataclass(frozen=True)
class PriceFactor:
    """One line of the table that is printed: money of `year` in `category` is multiplied by `factor`."""

    category: str
    index: str
    label: str
    year: int
    value: float
    factor: float


@dataclass(frozen=True)
class Prices(Definition):
    """Money of every year brought to the prices of one year.

    Attributes
    ----------
    year : whose prices are used. purpose : one of `PURPOSES`.
    index : for the total and every category without its own; None takes that of the purpose.
    components : categories with an index of their own, before those of the purpose.
    """

    kind: ClassVar[str] = "prices"
    made: ClassVar[str] = "co.prices(2022)"
    year: int
    purpose: str = "pooling"
    index: str | PriceSeries | None = None
    components: tuple[PriceComponent, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        choice("purpose of a price index", self.purpose, tuple(PURPOSES))
        given = [c.category for c in self.components]
        if len(set(given)) < len(given):
            raise DefinitionError(f"A category has two price indices; give one each. Given: {', '.join(given)}.")
        if "total" in given:
            raise DefinitionError("The total's price index is index=...; components are single categories.")
        for category in ("total", *self.own):
            self.series(category).value(self.year)

    @property
    def own(self) -> tuple[str, ...]:
        """The categories that have an index of their own, in the order of `CATEGORIES`."""
        named = {c.category for c in self.components}
        if self.index is None:
            named |= set(PURPOSES[self.purpose][2])
        return tuple(category for category in CATEGORIES if category in named)

    def series(self, category: str = "total") -> PriceSeries:
        """Return the index that a category takes: its own, else the total's."""
        choice("cost category", category, CATEGORIES)
        chosen = {c.category: c.index for c in self.components}
        if category in chosen:
            return _series(chosen[category])
        _, index, components = PURPOSES[self.purpose]
        return _series(components.get(category, index) if self.index is None else self.index)

    def factor(self, year: int, category: str = "total") -> float:
        """Return by what money of a year is multiplied: the index of the price year over that of the year.

        Raises
        ------
        DefinitionError : a year that the index does not have, or an unknown category.
        """
        series = self.series(category)
        return series.value(self.year) / series.value(year)

    def table(
        self, years: Iterable[int] | None = None, categories: Iterable[str] | None = None
    ) -> tuple[PriceFactor, ...]:
        """Return what a report prints: for each category with an index of its own, and the total, every year's factor.

        years : those of the data; None is every year of the index. categories : None is the total and `own`.
        """
        asked = None if years is None else tuple(years)
        rows = []
        for category in dict.fromkeys(categories if categories is not None else ("total", *self.own)):
            series = self.series(category)
            for year in series.years if asked is None else asked:
                factor = self.factor(year, category)
                rows.append(PriceFactor(category, series.name, str(series), year, series.value(year), factor))
        return tuple(rows)

    def __str__(self) -> str:
        total = self.series()
        said = f"Prices of {self.year} ({PURPOSES[self.purpose][0]}): {_cited(total)}"
        others: dict[PriceSeries, list[str]] = {}
        for category in self.own:
            if self.series(category) != total:
                others.setdefault(self.series(category), []).append(category)
        said += "".join(f"; {', '.join(names)}: {_cited(series)}" for series, names in others.items())
        return f"{said}. {'Other categories' if others else 'All categories'} take the index of the total."


def prices(
    year: int,
    purpose: str = "pooling",
    *,
    index: Given | PriceSeries | None = None,
    components: Mapping[str, Given | PriceSeries] | None = None,
) -> Prices:
    """Bring money of different years to the prices of one, by the index that the purpose asks for.

    Parameters
    ----------
    year : whose prices are used; the index must have it.
    purpose : "pooling" (total spending over years: the personal health care deflator), "purchasing power" (trends:
        GDP), "out of pocket" (the medical consumer price index), "programme fee" (GDP).
    index : another one: a name of the shipped table (`indices()`), a CSV file with the columns year and index, or
        a mapping of years to index numbers (any base).
    components : the same for single categories, such as {"pharmacy": "drugs.csv"}.

    Raises
    ------
    DefinitionError : an unknown purpose, index or category; a price year that an index does not have.
    """
    whole("the price year", year)
    chosen = None if index is None else _given(index, "own index")
    parts = tuple(
        PriceComponent(category, _given(found, f"own index of {category}"))
        for category, found in (components or {}).items()
    )
    return Prices(year, purpose, chosen, parts)


def indices() -> tuple[str, ...]:
    """Return the names of the shipped price indices (United States)."""
    return tuple(_shipped())


def discount_factor(years_from_index: float, rate: float = 0.03) -> float:
    """Return what money spent so many years after the index date is worth at the index date.

    Parameters
    ----------
    years_from_index : when it is spent. The first year, its last day included, is not discounted.
    rate : a year; 3 % (Second Panel on Cost-Effectiveness in Health and Medicine, 2016).

    Notes
    -----
    (1 + rate)^-(k - 1) in year k: amounts stand in the middle of their year and are brought to the middle of the
    first. A budget impact is not discounted (ISPOR, Sullivan 2014): do not call this for one.

    Raises
    ------
    DefinitionError : a time before the index date, or a rate that is negative or above 1 (such as 3 for 3 %).
    """
    if not (years_from_index >= 0 and math.isfinite(years_from_index)):
        raise DefinitionError(f"years_from_index is {years_from_index!r}; give years after the index date, 0 or more.")
    if not 0 <= rate <= 1:
        raise DefinitionError(f"rate is {rate!r}; give a share a year, such as 0.03 for 3 %.")
    return float((1 + rate) ** -max(math.ceil(years_from_index) - 1, 0))


def spans(years: Iterable[int]) -> str:
    """Say which years there are: "1996 to 2019 and 2021"."""
    runs: list[list[int]] = []
    for year in sorted(set(years)):
        if runs and year == runs[-1][1] + 1:
            runs[-1][1] = year
        else:
            runs.append([year, year])
    return " and ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def _cited(series: PriceSeries) -> str:
    return f"{series} ({series.source})" if series.source else str(series)


def _series(index: str | PriceSeries) -> PriceSeries:
    if isinstance(index, PriceSeries):
        return index
    if index not in _shipped():
        then = "Or give your own: a CSV file with the columns year and index, or a mapping of years to numbers."
        raise DefinitionError(unknown("price index", index, _shipped(), then))
    return _shipped()[index]


def _given(index: Given | PriceSeries, name: str) -> str | PriceSeries:
    """A user's index as a definition holds it: a shipped name stays a name, a table becomes a value."""
    if isinstance(index, PriceSeries):
        return index
    if isinstance(index, Mapping):
        years = sorted(index)
        return PriceSeries(name, tuple(years), tuple(index[year] for year in years))
    if isinstance(index, Path) or str(index).lower().endswith(".csv"):
        return _read(Path(index))
    if not isinstance(index, str):
        raise DefinitionError(f"The price index is {shown(index)}; give {PriceSeries.made}.")
    _series(index)
    return index


def _read(path: Path) -> PriceSeries:
    if not path.is_file():
        raise DefinitionError(f"There is no price table {path}. Give a CSV file with the columns year and index.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    if not rows or not {"year", "index"} <= set(rows[0]):
        has = ", ".join(rows[0]) if rows else "no rows"
        raise DefinitionError(f"The price table {path.name} has {has}; it needs the columns year and index.")
    found: dict[int, float] = {}
    for place, row in enumerate(rows, 1):
        try:
            year, value = int(row["year"]), float(row["index"])
        except (TypeError, ValueError):
            said = f"{row['year']!r}, {row['index']!r}"
            raise DefinitionError(f"Row {place} of the price table {path.name} is {said}; give numbers.") from None
        if year in found:
            raise DefinitionError(f"The price table {path.name} has {year} twice.")
        found[year] = value
    years = sorted(found)
    return PriceSeries(path.stem, tuple(years), tuple(found[year] for year in years), source=f"own table {path.name}")


@functools.cache
def _shipped() -> dict[str, PriceSeries]:
    values: dict[str, dict[int, float]] = {}
    for row in _rows("us_price_indices.csv"):
        values.setdefault(row["index"], {})[int(row["year"])] = float(row["value"])
    return {
        row["index"]: PriceSeries(
            row["index"], tuple(values[row["index"]]), tuple(values[row["index"]].values()), row["label"],
            f"{row['agency']}, {row['base']}, as of {row['as_of']}",
        )
        for row in _rows("sources.csv")
    }  # fmt: skip


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files("clinops.define").joinpath("price_tables", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
