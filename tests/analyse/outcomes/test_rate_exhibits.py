"""Rates as exhibits: what they print and draw, and that no hidden stratum can be worked out from all of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from clinops.analyse.outcomes import exhibits
from clinops.analyse.outcomes.rate_exhibits import as_shown, rates, standardised_rates
from clinops.analyse.outcomes.rates import AGES, Rates, rate_rows, split
from clinops.results.disclosure import protect
from clinops.results.long import protect_estimates
from clinops.results.result import Result
from clinops.results.schema import estimates
from tests.analyse.outcomes.support import One, rows, some
from tests.analyse.outcomes.test_rates import BY_HAND, FIRST, SECOND, THIRD, spread
from tests.render.figures_support import whole

ARMS = ("exposed", "comparator")


def test_the_table_prints_counts_rates_and_ratios_by_stratum() -> None:
    of = split(rows([FIRST, SECOND], [THIRD], **BY_HAND), AGES, False, "both arms")
    found = rates(of, 1)
    by = found.frame.set_index(["split", "level"])
    assert by.index.tolist() == [
        ("Everybody", "All"), ("Calendar year", "2019"), ("Calendar year", "2020"), ("Age", "45 to 64"),
        ("Age", "65 to 74"), ("Age", "75 to 84"), ("Age", "not known"),
    ]  # fmt: skip
    year = by.loc[("Calendar year", "2020")]
    assert (year["persons_exposed"], year["events_exposed"]) == (2, 3)
    assert year["years_exposed"] == pytest.approx(138 / 365.25)
    assert year["rate_exposed"] == pytest.approx(1000 * 3 / (138 / 365.25))
    assert year["ratio"] == pytest.approx(3 / 138 * 99)
    assert np.isnan(by.loc[("Age", "65 to 74"), "ratio"])
    assert any("Age is not known without a year of birth" in note for note in found.notes)
    lost = (
        "There is no ratio where nobody was followed in the arm Usual care: Age 45 to 64, Age 65 to 74, Age not known."
    )
    assert lost in found.notes
    assert "Calendar year 2019: 365,250" not in found.alt
    assert "Age 65 to 74: 8,027 among Programme and nobody followed among Usual care." in found.alt
    assert not re.search(r"\b(nan|inf|None)\b", str(found) + found._repr_html_())


def test_the_figure_is_drawn_from_the_strata_of_the_table() -> None:
    found = rates(spread(1), 1)
    figure: Any = found.figure
    kept = [column for column in found.frame if column in figure.data]
    pd.testing.assert_frame_equal(figure.data, found.frame.iloc[1:][kept].reset_index(drop=True))
    assert figure.options["ylabel"] == "Visits per 1,000 person-years"
    # The alternative text gives the numbers of every stratum.
    row = figure.data.iloc[1]
    said = f"{row['split']} {row['level']}: {row['rate_exposed']:,.0f} (95% CI {row['low_exposed']:,.0f} to "
    assert said in found.alt
    assert "Lines: 95% confidence intervals. Adjustment: crude." in whole(figure)


@pytest.mark.parametrize(("weights", "first"), [(False, False), (True, False), (False, True)])
def test_notes_say_how_intervals_are_made_and_what_is_weighted(weights: bool, first: bool) -> None:
    notes = " ".join(rates(spread(2, weights, first=first), 1).notes)
    assert ("Rates and ratios are weighted as the study is" in notes) == weights
    assert ("Intervals are exact (Poisson): the event comes once a person." in notes) == first
    assert ("Intervals take persons as the unit" in notes) != first
    assert ("up to the first event" in notes) == first


def test_standardised_rates_say_to_whose_years_and_ages() -> None:
    of = spread(4)
    found = standardised_rates(of)
    assert found.frame["what"].tolist() == [
        "Rates as they are", "Standardised by calendar year and age to the person-time of both arms",
        "Mantel-Haenszel rate ratio over calendar year and age",
    ]  # fmt: skip
    long = estimates(rate_rows(of))
    for method, line in (("rate of all events", 0), ("standardised", 1), ("Mantel", 2)):
        row = long[long["method"].str.startswith(method) & (long["scale"] == "rate ratio") & long["subgroup"].isna()]
        shown = found.frame.iloc[line]
        assert (shown["ratio"], shown["ratio_low"]) == (row["estimate"].iloc[0], row["conf_low"].iloc[0])
    assert re.search(r"Programme v Usual care: standardised rate ratio \d\.\d\d \(95% CI", found.sentence)
    other = standardised_rates(spread(4, standard="exposed", weights=True)).frame["what"]
    assert other[0] == "Rates weighted (crude)" and other[1].endswith("to the person-time of Programme")


def test_what_cannot_be_said_is_told_below_the_table() -> None:
    of = split(rows([One(0)] * 3, [One(100, events=(5,))] * 3), AGES, False, "both arms")
    for one in (rates(of, 11), standardised_rates(of), *protect((rates(of, 11), standardised_rates(of)))):
        assert one._repr_html_() and not re.search(r"\b(nan|inf|None)\b", str(one))
    assert "nobody was followed in the arm Programme" in " ".join(standardised_rates(of).notes)
    assert "no standardised rate ratio can be estimated" in standardised_rates(of).sentence
    nobody = rates(split(rows([One(0)], [One(0)]), AGES, False, "both arms"), 11)
    assert nobody.figure is not None and "Nothing to draw: there is no stratum." in whole(nobody.figure)


# --- small counts ------------------------------------------------------------------------------------------


def sparse(seed: int, first: bool, years: int = 700, ages: int = 20_000) -> Rates:
    """Few enough persons for strata with few events, or of few persons."""
    draw = np.random.default_rng(seed)
    one, zero = int(draw.integers(30, 160)), int(draw.integers(30, 260))
    given = {
        "index_date": np.datetime64("2019-10-01") + draw.integers(0, max(years, 1), one + zero),
        "born": np.datetime64("1932-01-01") + draw.integers(0, max(ages, 1), one + zero),
    }  # fmt: skip
    people = some(one + zero, seed, 365, float(draw.uniform(0.1, 0.7)))
    return split(rows(people[:one], people[one:], 365, **given), AGES, first, "both arms")


def shown(of: Rates) -> tuple[Result, Result, pd.DataFrame]:
    """The two exhibits and the long table as they leave."""
    _, strata, together = protect((exhibits.happened(of.rows), rates(of, 11), standardised_rates(of)), 11)
    return strata, together, protect_estimates(estimates(as_shown(rate_rows(of), strata, together)), 11)


IN_LONG = {"persons": "n", "n": "n", "events": "events", "rate": "value", "years": "person_days"}


def known(strata: Result, long: pd.DataFrame, what: str, arm: str) -> dict[tuple[str, str], float]:
    """What the table, the figure or the long table says of a column, by split and level."""
    figure: Any = strata.figure
    parts = [strata.frame, figure.data, long[long["subgroup"].notna()].rename(columns={"subgroup": "split"})]
    names = [f"{what}_{arm}", f"{what}_{arm}", f"{IN_LONG[what]}_{arm}"]
    found = {}
    for part, name in zip(parts, names, strict=True):
        if name in part:
            rows_ = part[["split", "level", name]].dropna().itertuples(index=False)
            found |= {(one, level): float(value) for one, level, value in rows_}
    return found


def bounds(total: float, hidden: list[bool], rest: float) -> list[tuple[float, float]]:
    """What each hidden count may be: those announced as small 1 to 10, all adding up to what is left of the total."""
    limits: list[tuple[float, float | None]] = [(1, 10) if small else (0, None) for small in hidden]
    found = []
    for i in range(len(hidden)):
        ends = []
        for sign in (1, -1):
            solved = linprog(
                sign * np.eye(len(hidden))[i], A_eq=[[1] * len(hidden)], b_eq=[total - rest], bounds=limits
            )
            assert solved.status in (0, 3)
            ends.append(sign * solved.fun if solved.status == 0 else np.inf)
        found.append((ends[0], ends[1]))
    return found


@pytest.mark.parametrize("first", [False, True], ids=["all", "first"])
@pytest.mark.parametrize("seed", range(3))
def test_no_hidden_stratum_can_be_worked_out(seed: int, first: bool) -> None:
    of = sparse(seed, first)
    open_, (strata, _, long) = rates(of, 11).frame, shown(of)
    size = "n" if first else "persons"
    some_hidden = False
    for arm in ARMS:
        events, persons, rate, years = (known(strata, long, what, arm) for what in ("events", size, "rate", "years"))
        assert not any(0 < value < 11 for value in (*events.values(), *persons.values()))
        total = float(open_[f"events_{arm}"].iloc[0])
        text = {(strata.frame["split"].iloc[r], strata.frame["level"].iloc[r]): t
                for r, c, t in strata.hidden if c == f"events_{arm}"}  # fmt: skip
        for name in ("Calendar year", "Age"):
            levels = open_.loc[open_["split"] == name, "level"].tolist()
            hidden = [level for level in levels if (name, level) not in events]
            some_hidden |= bool(hidden)
            # Whoever knows a rate knows the events, give or take the person-years.
            assert [level for level in hidden if (name, level) in rate] == []
            rest = sum(events[name, level] for level in levels if level not in hidden)
            small = [text[name, level] == "<11" for level in hidden]
            for low, high in bounds(total, small, rest):
                assert np.floor(high + 1e-6) - np.ceil(low - 1e-6) >= 1, "one count is all that it can be"
            lost = [level for level in levels if (name, level) not in years]
            assert len(lost) != 1 or len(levels) == 1, "its person-years are those of all less the others"
    assert some_hidden


def test_the_figure_and_the_long_table_hide_what_the_table_hides() -> None:
    for seed in (5,):
        of = sparse(seed, False)
        strata, _, long = shown(of)
        drawn: Any = strata.figure
        table = strata.frame.iloc[1:].reset_index(drop=True)
        for arm in ARMS:
            for column in (f"events_{arm}", f"rate_{arm}", f"low_{arm}", f"persons_{arm}"):
                assert (drawn.data[column].isna() >= table[column].isna()).all(), column
            by = long[long["subgroup"].notna()].set_index(["subgroup", "level"])
            for row in table[table[f"events_{arm}"].isna()].itertuples():
                said = by.loc[(row.split, row.level)]
                assert pd.isna(said[f"events_{arm}"]) and pd.isna(said[f"value_{arm}"]) and pd.isna(said["estimate"])
            assert long["note"].notna().any()


def test_standardised_rates_are_hidden_where_the_strata_are_the_cells() -> None:
    """With one calendar year a standardised rate is an equation in the rates of the ages: it solves two hidden ones."""
    people = [One(90, events=(day,)) for day in (*range(1, 6), *range(10, 30))] + [One(90)] * 60
    born = np.repeat(np.array(["1980-01-01", "1950-01-01"], dtype="datetime64[D]"), [5, 80])
    of = split(
        rows(people, people, 90, index_date=np.full(170, np.datetime64("2019-10-01")), born=np.tile(born, 2)), AGES,
        False, "both arms",
    )  # fmt: skip
    strata, together, long = shown(of)
    assert strata.frame.set_index("level").loc[["18 to 44", "65 to 74"], "events_exposed"].isna().all()
    assert together.frame["rate_exposed"].isna().tolist() == [False, True, True]
    assert together.frame["ratio"].isna().tolist() == [False, True, True]
    rows_ = long[long["method"].str.startswith(("standardised", "Mantel"))]
    assert rows_[["value_exposed", "estimate", "conf_low"]].isna().all().all()
    assert long.loc[long["method"].str.startswith("rate of") & long["subgroup"].isna(), "estimate"].notna().all()


def test_nothing_is_hidden_where_every_count_may_be_shown() -> None:
    of = sparse(1, False)
    strata, together = protect((rates(of, 1), standardised_rates(of)), 1)
    assert strata.hidden == together.hidden == ()
    given = rate_rows(of)
    found = as_shown(given, strata, together)
    assert all(one is other for one, other in zip(found, given, strict=True))
