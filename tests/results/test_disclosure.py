"""Nothing small is shown or can be worked out, in anything that leaves together."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from clinops.errors import DataError
from clinops.results.disclosure import protect
from clinops.results.front import FrontPage
from clinops.results.result import Check, Column, Figure, Result
from clinops.results.schema import estimates
from tests.support import case_file


def printed(result: Result, column: str) -> list[str]:
    """What a reader sees in a column: the number, or what stands in its place."""
    gone = {row: text for row, name, text in result.hidden if name == column}
    return [gone.get(i, str(value)) for i, value in enumerate(result.frame[column].tolist())]


def events(rows: list[tuple[str, int, int]], **more: object) -> Result:
    frame = pd.DataFrame(rows, columns=["measure", "events", "n"])
    frame["risk"] = frame["events"] / frame["n"]
    columns = (
        Column("measure", "Outcome"), Column("events", "Events", "percent", denominator="n"),
        Column("risk", "Risk", "fraction", of="events"),
    )  # fmt: skip
    return Result("events", "Events", frame, columns).with_(**more)


def test_small_counts_go_with_what_is_made_of_them_and_zero_stays() -> None:
    safe = protect(events([("a", 7, 100), ("b", 0, 100), ("c", 50, 100)]))
    assert printed(safe, "events") == ["<11", "0", "50"]
    assert safe.frame["risk"].isna().tolist() == [True, False, False]
    assert "7" not in str(safe.to_csv())
    assert "7/100" not in str(safe)


def test_what_its_maker_has_hidden_prints_as_hidden_with_what_is_made_of_it() -> None:
    made = events([("a", 40, 100), ("b", 50, 100)])
    frame = made.frame.astype({"events": "Int64"})
    frame.loc[0, "events"] = pd.NA
    safe = protect(made.with_(frame=frame, hidden=((0, "events", "hidden"),)))
    assert printed(safe, "events") == ["hidden", "50"]
    assert safe.frame["risk"].isna().tolist() == [True, False]
    assert "hidden: not shown" in safe.notes[-1] and "40" not in str(safe)


def test_a_spread_or_an_end_of_an_interval_is_no_count_whatever_it_is_called() -> None:
    frame = pd.DataFrame({"measure": ["Stay"], "stay": [4.0], "low_patients": [2.0], "high_patients": [9.0]})
    columns = (
        Column("measure", "Outcome"),
        Column("stay", "Median", "median", low="low_patients", high="high_patients"),
    )
    assert protect(Result("stay", "Stay", frame, columns)).hidden == ()


def test_a_count_that_prints_with_its_percentage_alone_is_hidden_as_well() -> None:
    made = events([("a", 7, 100), ("b", 93, 100)])
    columns = (Column("measure", "Outcome"), Column("events", "Events", "n_percent", denominator="n"))
    assert printed(protect(made.with_(columns=columns)), "events") == ["<11", "hidden"]


@pytest.mark.parametrize(("count", "shown"), [(1, "<11"), (10, "<11"), (11, "11")])
def test_the_limits_of_small(count: int, shown: str) -> None:
    assert printed(protect(events([("a", count, 1000)])), "events") == [shown]


def test_the_rest_of_a_whole_is_a_count_too() -> None:
    """225 of 230 says that 5 had none."""
    assert printed(protect(events([("a", 225, 230)])), "events") == ["hidden"]


def test_levels_that_add_up_to_their_whole_lose_a_second_level() -> None:
    frame = pd.DataFrame({
        "covariate": ["Age", *["Race"] * 3], "level": ["", "A", "B", "C"], "format": ["mean", *["percent"] * 3],
        "value": [50.0, 400, 300, 5], "known": [705] * 4, "smd": [0.1, 0.1, 0.2, 0.3],
    })  # fmt: skip
    columns = (
        Column("covariate", "Covariate"), Column("level", "Level"),
        Column("value", "Offered", "mean", denominator="known", format_by="format"), Column("smd", "SMD", "smd"),
    )  # fmt: skip
    safe = protect(Result("baseline", "Baseline", frame, columns))
    assert printed(safe, "value") == ["50.0", "400.0", "hidden", "<11"]
    assert safe.frame["smd"].isna().tolist() == [False, False, True, True]
    assert safe.frame["known"].tolist() == [705] * 4


def test_two_levels_of_which_one_is_small_are_both_hidden() -> None:
    frame = pd.DataFrame({"level": ["F", "M"], "n": [700, 5], "of": [705, 705]})
    columns = (Column("level", "Sex"), Column("n", "n", "percent", denominator="of"))
    assert printed(protect(Result("sex", "Sex", frame, columns)), "n") == ["hidden", "<11"]


def test_arms_and_their_total_across_columns() -> None:
    """C037 as an exhibit: rows and columns add up, and nobody declared it."""
    safe = protect(Result("ages", "Ages", pd.read_csv(case_file("C037", "counts_two_way.csv"))))
    assert printed(safe, "programme")[1] == "<11"
    assert printed(safe, "usual")[1] == "hidden"
    assert printed(safe, "usual")[3] == "0"
    assert sum(text == "hidden" for _, _, text in safe.hidden) == 3


def attrition(persons: list[int], excluded: list[int] | None = None) -> Result:
    frame = pd.DataFrame({"rule": [f"rule {i}" for i in range(len(persons))], "persons": persons})
    if excluded is not None:
        frame["excluded_persons"] = excluded
    return Result("attrition", "Attrition", frame)


def test_attrition_hides_what_was_excluded_and_a_neighbour_but_not_the_arm() -> None:
    safe = protect(attrition([1844, 1830, 1805, 1800], [0, 14, 25, 5]))
    assert printed(safe, "excluded_persons") == ["0", "14", "hidden", "<11"]
    assert printed(safe, "persons") == ["1844", "1830", "hidden", "1800"]


def test_attrition_without_a_column_for_the_excluded_gives_differences_away() -> None:
    safe = protect(attrition([1844, 1830, 1805, 1800]))
    assert printed(safe, "persons") == ["1844", "1830", "hidden", "1800"]


def test_attrition_of_one_step_keeps_the_arm() -> None:
    assert printed(protect(attrition([850, 847], [0, 3])), "persons") == ["hidden", "847"]


def test_counts_shown_twice_are_hidden_twice() -> None:
    frame = pd.DataFrame({
        "rule": list("abcd"), "entries": [60, 50, 45, 40], "persons": [60, 50, 45, 40], "excluded": [0, 10, 5, 5],
    })  # fmt: skip
    safe = protect(Result("attrition", "Attrition", frame))
    assert printed(safe, "entries") == printed(safe, "persons")


def test_the_same_count_is_hidden_in_another_exhibit() -> None:
    other = Result("other", "Other", pd.DataFrame({"level": ["C", "D"], "persons": [31, 90]}))
    table = pd.DataFrame({"level": ["A", "B", "C", "Total"], "persons": [7, 60, 31, 98]})
    _, safe = protect([Result("levels", "Levels", table), other])
    assert printed(safe, "persons") == ["hidden", "90"]


def test_words_do_not_say_what_the_table_hides() -> None:
    said = "There were 7 deaths among 100. Follow-up was a year."
    safe = protect(events([("a", 7, 100)], sentence=said, alt=said, notes=("7.0% died.",), title="Deaths (n = 7)"))
    for text in (safe.sentence, safe.alt, *safe.notes, safe.title, str(safe), safe._repr_html_()):
        assert not re.search(r"\b7(\.0)?\b", text.split("<table")[0].split("<style>")[-1].split("</style>")[-1])
    assert safe.sentence.startswith("Follow-up was a year.")


def test_labels_with_the_size_of_an_arm() -> None:
    frame = pd.DataFrame({"level": ["a"], "mean": [1.5], "n": [8]})
    columns = (Column("level", "L"), Column("mean", "Offered (n = 8)", "mean"), Column("n", "n", "count"))
    safe = protect(Result("r", "R", frame, columns))
    assert safe.columns[1].label == "Offered (n = <11)"
    assert safe.frame["mean"].isna().all(), "the mean of eight persons is not shown either"


def test_a_check_does_not_say_it_either() -> None:
    check = Check("c", "C", pd.DataFrame({"what": ["x"], "persons": [4]}), observed=4, threshold=0, passed=False)
    safe = protect(check)
    assert safe.observed == "hidden"
    assert safe.passed is False


def survival() -> Result:
    data = pd.DataFrame({
        "arm": ["Offered"] * 6, "kind": ["curve"] * 4 + ["at risk"] * 2, "time": [0.0, 10, 20, 30, 0, 30],
        "risk": [0.0, 0.1, 0.2, 0.5, 0.0, 0.5], "n_risk": [40, 30, 11, 4, 40, 4],
    })  # fmt: skip
    table = data[data["kind"] == "at risk"].drop(columns="kind").reset_index(drop=True)
    figure = Figure("survival", data, counts=("n_risk",), of={"risk": ("n_risk",)})
    columns = (
        Column("time", "Day", "number0"), Column("n_risk", "At risk", "count"),
        Column("risk", "Risk", "fraction", of="n_risk"),
    )  # fmt: skip
    return Result("survival", "Survival", table, columns, figure=figure, group_by="arm")


def test_a_survival_curve_ends_before_fewer_than_eleven_are_at_risk() -> None:
    safe = protect(survival())
    assert safe.figure is not None
    curve = safe.figure.data[safe.figure.data["kind"] == "curve"]
    assert curve["time"].tolist() == [0.0, 10.0, 20.0]
    assert printed(safe, "n_risk") == ["40", "<11"]
    assert safe.frame["risk"].isna().tolist() == [False, True]
    assert safe.frame["time"].tolist() == [0.0, 30.0]
    assert safe.figure.options["suppressed"] == "<11"


def test_figures_lose_the_same_numbers() -> None:
    table = events([("a", 7, 100), ("b", 40, 100)])
    data = table.frame.rename(columns={"measure": "label", "risk": "estimate"})
    figure = Figure("forest", data, counts=("events", "n"), of={"estimate": ("events",)})
    safe = protect(table.with_(figure=figure))
    assert safe.figure is not None
    assert safe.figure.data["estimate"].isna().tolist() == [True, False]
    assert safe.figure.data["events"].isna().tolist() == [True, False]


def test_twice_is_as_good_as_once_and_the_original_is_untouched() -> None:
    result = events([("a", 7, 100)])
    safe = protect(result)
    assert protect(safe) is safe
    assert result.frame["events"].tolist() == [7]


def test_a_front_page_is_protected_whole() -> None:
    page = FrontPage("T", "too uncertain", "Only 7 died.", "Q?", n="7 deaths", main=events([("a", 7, 100)]))
    safe = protect(page)
    assert not re.search(r"\b7\b", str(safe))


def test_what_nobody_knows_how_to_protect_is_refused() -> None:
    with pytest.raises(DataError, match="cannot be protected"):
        protect(["text"])


def row(**more: object) -> dict[str, object]:
    return {
        "analysis": "main", "measure": "Death", "estimate": 1.2, "std_error": 0.1, "conf_low": 1.0,
        "conf_high": 1.4, "p_value": 0.04, "n_exposed": 100, "n_comparator": 200, "events_exposed": 30,
        "events_comparator": 40, "value_exposed": 0.3, "value_comparator": 0.2, **more,
    }  # fmt: skip


def test_estimates_lose_small_counts_and_what_solves_for_them() -> None:
    frame = estimates([row(), row(measure="Fall", events_exposed=4), row(measure="Burn", events_exposed=0)])
    safe = protect(frame)
    assert safe["events_exposed"].isna().tolist() == [False, True, False]
    solved = ["estimate", "std_error", "conf_low", "conf_high", "p_value", "value_exposed", "value_comparator"]
    assert safe.loc[1, solved].isna().all()
    assert safe.loc[1, "note"] == "n < 11 not shown"
    assert safe.loc[1, "events_comparator"] == 40
    assert safe.dtypes.equals(frame.dtypes)
    pd.testing.assert_frame_equal(protect(safe), safe)


def test_estimates_of_a_small_arm_lose_its_person_days() -> None:
    safe = protect(estimates([row(n_exposed=8, events_exposed=0, person_days_exposed=2920.0)]))
    assert safe[["n_exposed", "person_days_exposed"]].isna().all(axis=None)


def test_a_level_cannot_be_had_by_subtraction() -> None:
    levels = [("F", 12), ("M", 13), ("X", 5)]
    frame = estimates([row(), *[row(subgroup="Sex", level=name, events_exposed=n) for name, n in levels]])
    safe = protect(frame)
    assert safe["events_exposed"].isna().tolist() == [False, True, False, True]


def test_missing_counts_are_no_counts() -> None:
    safe = protect(estimates([row(events_exposed=None, n_exposed=np.nan)]))
    assert safe["estimate"].notna().all()
