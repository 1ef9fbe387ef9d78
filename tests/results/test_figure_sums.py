"""Sums that a kind of figure implies: no hidden count of one can be worked out from what its picture shows."""

from __future__ import annotations

import pandas as pd

from clinops.results.disclosure import protect
from clinops.results.figure_sums import figure_sums
from clinops.results.result import Column, Figure, Result


def gone(figure: Figure) -> dict[tuple[int, str], str]:
    out = protect(Result("made_up", "Made up", pd.DataFrame({"what": ["a"]}), figure=figure), 11)
    assert out.figure is not None
    return {(row, column): text for row, column, text in out.figure.hidden}


def test_the_row_of_a_matrix_does_not_give_a_hidden_cell_away() -> None:
    n = (310, 8, 0, 96, 64, 210, 380, 20)
    frame = pd.DataFrame({
        "from": ["Home"] * 4 + ["Ward"] * 4, "to": ["Home", "Ward", "Hospice", "Dead"] * 2, "n": n,
        "n_from": [414] * 4 + [674] * 4,
    })  # fmt: skip
    found = gone(Figure("transition_map", frame, counts=("n", "n_from")))
    assert found == {(1, "n"): "<11", (3, "n"): "hidden"}, "414 - 310 - 0 - 96 is 8"


def test_a_table_whose_groups_add_up_to_a_column_is_held_to_it_too() -> None:
    frame = pd.DataFrame({
        "site": ["A"] * 3 + ["B"] * 3, "outcome": ["well", "ill", "dead"] * 2, "persons": [50, 30, 5, 70, 40, 30],
        "site_persons": [85, 85, 85, 140, 140, 140],
    })  # fmt: skip
    columns = (
        Column("outcome", "Outcome"), Column("persons", "Persons", "count"), Column("site_persons", "Of", "count"),
    )  # fmt: skip
    out = protect(Result("sites", "Sites", frame, columns, group_by="site"), 11)
    assert {(row, column): text for row, column, text in out.hidden} == {
        (2, "persons"): "<11", (1, "persons"): "hidden",
    }  # fmt: skip


def test_the_centre_line_does_not_give_a_hidden_period_away() -> None:
    events = [40, 31, 7, 52, 44, 36]
    frame = pd.DataFrame({
        "period": [f"2022-0{i}" for i in range(1, 7)], "phase": ["before"] * 3 + ["after"] * 3, "events": events,
        "n": [400] * 6, "value": [e / 400 for e in events], "centre": [78 / 1200] * 3 + [132 / 1200] * 3,
    })  # fmt: skip
    figure = Figure("control_chart", frame, {"chart": "p"}, ("events", "n"), {"value": ("events",)})
    assert {place for place in gone(figure) if place[1] == "events"} == {(2, "events"), (1, "events")}
    assert [total for _, total in figure_sums(figure)] == [78, 132]


def test_the_target_does_not_give_a_hidden_unit_away() -> None:
    frame = pd.DataFrame({"label": list("abcd"), "n": [90, 150, 300, 800], "events": [9, 22, 51, 131]})
    figure = Figure("funnel_plot", frame.assign(value=frame["events"] / frame["n"]), counts=("n", "events"))
    assert {place for place in gone(figure) if place[1] == "events"} == {(0, "events"), (1, "events")}
    alone = Figure("funnel_plot", frame.head(1), counts=("n", "events"))
    assert figure_sums(alone) == ()


def test_units_of_nearly_one_volume_are_no_steps_of_each_other() -> None:
    frame = pd.DataFrame({"label": list("abc"), "n": [305, 300, 100], "events": [60, 64, 20]})
    figure = Figure("funnel_plot", frame.assign(value=frame["events"] / frame["n"]), counts=("n", "events"))
    assert gone(figure) == {}  # 305 is not "300 and a step of 5"


def test_kinds_without_sums_have_none_and_unknown_counts_are_no_part_of_one() -> None:
    assert figure_sums(Figure("love", pd.DataFrame({"a": [1]}))) == ()
    frame = pd.DataFrame({"label": list("abc"), "events": [9.0, float("nan"), 51.0], "kind": ["unit", "unit", "limit"]})
    assert figure_sums(Figure("funnel_plot", frame)) == ()
