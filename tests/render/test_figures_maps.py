"""Figures of shades and of watched processes: transition map, calendar, control chart, funnel plot."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from clinops.errors import DataError, ParameterError
from clinops.render import figures
from clinops.render.figures import heat
from clinops.render.figures.values import alike
from clinops.results.disclosure import protect
from clinops.results.result import Figure, Result
from tests.render import outcome_figures as cases
from tests.render.figures_support import changed, texts, whole
from tests.render.outcome_figures import NAN


def fields(figure: Figure, **options: Any) -> list[Rectangle]:
    """Return the fields of a map: what has a white edge or is hatched, without the samples of the key."""
    patches = figures.draw(figure, **options).findobj(Rectangle)
    return [p for p in patches if p.get_hatch() or (to_hex(p.get_edgecolor()) == "#ffffff" and p.get_linewidth() > 0)]


def safe(figure: Figure) -> Figure:
    out = protect(Result("made_up", "Made up", pd.DataFrame({"what": ["a"]}), figure=figure), 11)
    assert out.figure is not None
    return out.figure


def lightness(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_shades_darken_from_least_to_most() -> None:
    depths = [lightness(heat.shade(i / 20)) for i in range(21)]
    assert depths == sorted(depths, reverse=True)
    assert len(set(depths)) == 21
    assert heat.shade(-1) == heat.shade(0)
    assert heat.shade(2) == heat.shade(1)


# -- Transitions -------------------------------------------------------------------------------------


def test_every_pair_of_states_has_its_count_and_its_share_of_the_row() -> None:
    shown = texts(cases.transitions())
    for matrix in cases.MOVES.values():
        for row in matrix:
            assert f"n = {sum(row):,}" in shown
            for n in row:
                assert f"{n:,}" in shown
                assert f"{100 * n / sum(row):.1f}%" in shown
    assert len(fields(cases.transitions())) == 2 * 16


def test_without_shares_they_are_worked_out_of_the_row() -> None:
    given, own = cases.transitions(), cases.transitions().data.drop(columns=["share", "n_from"])
    assert {"4.6%", "53.4%", "13.8%"} <= set(texts(Figure("transition_map", own, given.options)))
    gone = changed(Figure("transition_map", own), {(0, "n"): NAN})
    assert "15.7%" not in texts(gone), "a row with a count that is not known has no total"
    assert "9.8%" in texts(gone)


def test_a_pair_without_a_row_has_no_field() -> None:
    figure = cases.transitions()
    data = figure.data[figure.data["n"] > 0]
    assert len(fields(Figure(figure.kind, data, figure.options))) == len(data)


def test_hidden_transitions_are_hatched_and_never_solved() -> None:
    out = safe(changed(cases.transitions(), {(13, "n"): 8, (13, "n_from"): 414, (12, "n"): 310}))
    hatched = [p for p in fields(out) if p.get_hatch()]
    assert len(hatched) == len({row for row, column, _ in out.hidden if column == "n"}) + 1, "and one in the key"
    shown = texts(out)
    assert "<11" in shown
    assert "8" not in shown
    assert "1.9%" not in shown
    assert "Too few to show (<11" in whole(out)


def test_a_count_that_is_not_known_has_a_dash_or_what_it_is_said_to_be() -> None:
    figure = changed(cases.transitions(), {(1, "n"): NAN, (1, "share"): NAN})
    assert "\u2013" in texts(figure)
    assert "Too few" not in whole(figure)
    gone = changed(figure, {}, missing="hidden")
    assert "hidden" in texts(gone)
    assert "Too few to show (hidden)" in texts(gone)


def many(n: int) -> Figure:
    states = [f"State of care {i + 1}" for i in range(n)]
    cells = [(a, b, 1_000 + i * n + j) for i, a in enumerate(states) for j, b in enumerate(states)]
    return Figure("transition_map", cases.frame_of("from to n", *cells))


def test_fields_too_small_for_both_numbers_show_the_share_or_none() -> None:
    assert "In the fields: count and share of the row." in whole(many(6))
    assert "In the fields: share of the row." in whole(many(7), width=3.4)
    assert "Counts stand in the table of this figure." in whole(many(18), width=3.4)
    assert {"1", "2", "18"} <= set(texts(many(18), width=3.4)), "states are numbered where names do not fit"


def test_shares_above_one_are_refused() -> None:
    with pytest.raises(DataError, match="Divide percentages by 100"):
        figures.draw(changed(cases.transitions(), {(0, "share"): 4.6}))


# -- Calendar ----------------------------------------------------------------------------------------


def test_days_stand_in_the_row_of_their_weekday_and_the_column_of_their_week() -> None:
    days = [dt.date(2024, 2, 26) + dt.timedelta(days=i) for i in range(14)]  # a Monday; over a leap day
    frame = cases.frame_of("date n", *((day.isoformat(), 20 + i) for i, day in enumerate(days)))
    found = fields(Figure("calendar_heat", frame))
    assert len(found) == 14
    xs = sorted({round(p.get_x(), 6) for p in found})
    ys = sorted({round(p.get_y(), 6) for p in found})
    assert (len(xs), len(ys)) == (2, 7)
    places = [(xs.index(round(p.get_x(), 6)), ys.index(round(p.get_y(), 6))) for p in found]
    assert places == [(week, day) for week in (0, 1) for day in range(7)]


def test_dates_of_any_type_are_read() -> None:
    text = cases.by_day().data.head(30)
    kinds = (pd.to_datetime(text["date"]), pd.to_datetime(text["date"]).dt.date, text["date"] + " 00:00:00")
    drawn = {figures.svg(figures.draw(Figure("calendar_heat", text.assign(date=dates)))) for dates in kinds}
    assert drawn == {figures.svg(figures.draw(Figure("calendar_heat", text)))}


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        (("2022-13", "2022-01"), "not '2022-13'"),
        (("2022-02-30", "2022-02-01"), "not '2022-02-30'"),
        (("soon", "2022-01"), "not 'soon'"),
        (("2022-01", "2022-01-02"), "not both in one figure"),
        (("2022-01", "2022-01"), "in more than one row"),
    ],
)
def test_impossible_calendars_are_refused(dates: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        figures.draw(Figure("calendar_heat", cases.frame_of("date n", *((d, 20) for d in dates))))


def test_months_go_down_on_a_narrow_sheet_and_their_counts_stay() -> None:
    for width in (3.4, 7.2):
        shown = texts(cases.by_month(), width=width)
        assert {"217", "140", "471"} <= set(shown)
        assert shown.count("Jan") == 2
    wide, narrow = (figures.draw(cases.by_month(), width=w).get_size_inches()[1] for w in (7.2, 3.4))
    assert narrow > wide


def test_hidden_days_are_hatched_and_said() -> None:
    out = safe(changed(cases.by_day(), {(3, "n"): 4}))
    assert len([p for p in fields(out) if p.get_hatch()]) >= 2
    assert "Too few to show (<11" in whole(out)
    assert not {"3", "4", "5"} & set(texts(out)), "the ends of the key are of what is shown"


def test_ticks_have_the_same_decimals() -> None:
    assert alike(["0%", "2.5%", "5%", "10%"]) == ["0%", "2.5%", "5.0%", "10.0%"]
    assert alike(["$0", "$0.25", "$1,000"]) == ["$0", "$0.25", "$1,000.00"]
    assert alike(["\u22121", "0", "1"]) == ["\u22121", "0", "1"]
    assert alike(["0.05", "0.1"]) == ["0.05", "0.10"]
    assert alike([]) == []


# -- Control chart -----------------------------------------------------------------------------------


def test_points_lines_and_broken_rules_are_where_the_numbers_are() -> None:
    figure = cases.chart()
    axes = figures.draw(figure).axes[0]
    values = figure.data["value"].tolist()
    assert any(list(line.get_ydata()) == values for line in axes.lines)
    for rule, marker in (("beyond the limits", "D"), ("eight on one side", "s")):
        at = figure.data.index[figure.data["rule"] == rule].tolist()
        marked = next(line for line in axes.lines if line.get_marker() == marker)
        assert [float(x) for x in marked.get_xdata()] == at
    assert {"Beyond the limits", "Eight on one side", "Before", "After the programme"} <= set(texts(figure))
    assert any(list(line.get_xdata()) == [11.5, 11.5] for line in axes.lines), "a line stands where the phase changes"


def test_centre_and_limits_start_anew_with_a_phase() -> None:
    axes = figures.draw(cases.chart()).axes[0]
    centres = [line for line in axes.lines if len(set(map(float, line.get_ydata()))) == 1 and len(line.get_xdata()) > 2]
    assert [(float(c.get_xdata()[0]), float(c.get_xdata()[-1])) for c in centres] == [(-0.5, 11.5), (11.5, 23.5)]
    assert {"Mean", "14.1%"} <= set(texts(cases.chart()))


def test_moving_ranges_stand_below_and_are_marked_beyond_their_limit() -> None:
    figure = cases.xmr()
    drawn = figures.draw(figure)
    assert len(drawn.axes) == 4
    shown = whole(figure)
    assert "Moving range: Offered" in shown
    assert "$612" not in shown or "$" in shown
    assert "XmR chart; limits at 2.66 mean moving ranges." in shown
    assert "Moving range above its limit" not in shown
    assert "Moving range above its limit" in whole(changed(figure, {(4, "moving_range"): 400.0}))


def test_a_hidden_period_has_no_point_and_says_so() -> None:
    out = safe(changed(cases.chart(), {(6, "events"): 7}))
    assert "have no point" in whole(out)
    line = next(line for line in figures.draw(out).axes[0].lines if len(line.get_ydata()) == 24)
    assert line.get_ydata()[6] != line.get_ydata()[6]


def test_limits_that_are_not_there_are_not_drawn_and_an_unknown_chart_is_refused() -> None:
    figure = cases.chart()
    none = Figure(figure.kind, figure.data.assign(low=NAN), figure.options)
    assert "Lower limit" not in texts(none)
    assert "Upper limit" in texts(none)
    with pytest.raises(ParameterError, match="XmR"):
        figures.draw(cases.chart(chart="xmr"))


def test_the_limits_of_a_period_with_next_to_nothing_do_not_flatten_the_others() -> None:
    cells = [(f"2022-0{i}", 60.0 + i, 60.0, 40.0, 80.0) for i in range(1, 7)] + [("2022-07", 62.0, 60.0, NAN, 700.0)]
    frame = cases.frame_of("period value centre low high", *cells)
    figure = Figure("control_chart", frame, {"chart": "u"})
    low, high = figures.draw(figure).axes[0].get_ylim()
    assert low < 40 and 80 < high < 100
    assert "700" in whole(figure)  # its end is written all the same


# -- Funnel plot -------------------------------------------------------------------------------------


def test_units_beyond_the_limits_have_marks_of_their_own_and_names() -> None:
    figure = cases.funnel_of_units()
    units = figure.data[figure.data["kind"] == "unit"]
    far = units[(units["value"] > units["high_998"]) | (units["value"] < units["low_998"])]
    axes = figures.draw(figure).axes[0]
    marked = next(line for line in axes.lines if line.get_marker() == "D")
    assert [float(x) for x in marked.get_xdata()] == far["n"].tolist()
    assert set(far["label"]) <= set(texts(figure))
    assert "Site 05" not in texts(figure)
    assert f"Beyond 99.8% ({len(far)})" in texts(figure)


def test_the_limits_of_units_that_are_near_each_other_are_in_the_picture() -> None:
    cells = [("A", 2000, 28, 0.014, 0.009, 0.020, 0.007, 0.023), ("B", 1900, 26, 0.0137, 0.009, 0.021, 0.006, 0.024)]
    frame = cases.frame_of("label n events value low_95 high_95 low_998 high_998", *cells)
    (axes,) = figures.draw(Figure("funnel_plot", frame, {"target": 0.0139})).axes
    low, high = axes.get_ylim()
    assert low <= 0.007 and high >= 0.023


def test_no_more_than_six_units_are_named() -> None:
    figure = cases.funnel_of_units()
    data = figure.data.assign(value=figure.data["value"] + 0.3)
    out = Figure(figure.kind, data, figure.options)
    assert len([t for t in texts(out) if t.startswith("Site ")]) == 6
    assert "34 more beyond the 99.8% limits are named in the table." in whole(out)


def test_units_without_limits_of_their_own_or_with_hidden_values() -> None:
    figure = cases.funnel_of_units()
    alone = figure.data[figure.data["kind"] == "unit"].drop(columns="kind").reset_index(drop=True)
    assert "Beyond 99.8%" in whole(Figure(figure.kind, alone, figure.options))
    few = safe(changed(figure, {(1, "events"): 6}))
    hidden = len({row for row, column, _ in few.hidden if column == "value"})
    assert f"Units with too few events to show (<11): {hidden}." in whole(few) or "or hidden" in whole(few)
    with pytest.raises(DataError, match="kind of a row of a funnel plot"):
        figures.draw(changed(figure, {(0, "kind"): "units"}))
    with pytest.raises(ParameterError, match="percent"):
        figures.draw(cases.funnel_of_units(scale="percents"))
