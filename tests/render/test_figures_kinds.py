"""What each kind of figure draws: marks where the numbers are, counts under their ticks, words for what is odd."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from clinops.render import figures
from clinops.render.figures import sheet, values
from clinops.results.result import Figure
from tests.render import figures_support as cases
from tests.render.figures_support import NAN, Said, changed, said, texts, whole


def axes_of(figure: Figure, **options: Any) -> list[Axes]:
    return figures.draw(figure, **options).axes


def marks(axes: Axes) -> list[Line2D]:
    """Return the lines that are a single marker."""
    return [line for line in axes.lines if len(line.get_xdata()) == 1 and line.get_marker() not in ("", "None", None)]


def places(axes: Axes, marker: str) -> list[float]:
    return [float(line.get_xdata()[0]) for line in marks(axes) if line.get_marker() == marker]


def ticks_of(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


# -- Counts under the ticks --------------------------------------------------------------------------


def under(lines: list[Said], label: str, columns: list[float]) -> list[str]:
    """Return, for the row that starts with a label, the text centred under each place across."""
    height = max(line.y for line in lines if line.text == label)
    row = {line.x: line.text for line in lines if abs(line.y - height) < 2 and line.text != label}
    return [next(text for x, text in row.items() if abs(x - column) < 0.01) for column in columns]


def test_numbers_at_risk_stand_under_their_ticks() -> None:
    lines = said(cases.survival())
    ticks = [line for line in lines if line.text in ("0", "90", "180", "270", "365")]
    assert [t.text for t in ticks] == [f"{t:.0f}" for t in cases.TIMES]
    for arm, counts in cases.AT_RISK.items():
        assert under(lines, arm, [t.x for t in ticks]) == [f"{n:,}" for n in counts]


def test_persons_stand_under_their_months() -> None:
    lines = said(cases.cost_trend())
    names = ["\u22123", "\u22122", "\u22121", "1", "2", "3"]
    ticks = [next(line for line in lines if line.text == name) for name in names]
    for arm, counts in cases.MEMBERS.items():
        assert under(lines, arm, [t.x for t in ticks]) == [f"{n:,}" for n in counts]


def test_counts_that_would_meet_are_thinned_with_their_ticks() -> None:
    many = cases.survival()
    extra = [("Celecoxib", "at risk", float(t), 0.1, NAN, NAN, 1_800 - t) for t in range(5, 365, 5)]
    figure = Figure("survival", cases.rows(" ".join(many.data.columns), *many.data.to_numpy().tolist(), *extra),
                    many.options)  # fmt: skip
    ticks = ticks_of(axes_of(figure, width=3.4)[0])
    assert 2 <= len(ticks) < 40
    row = [t for t in texts(figure, width=3.4) if re.fullmatch(r"1,\d{3}", t)]
    assert len(row) == len(ticks)


# -- Survival ----------------------------------------------------------------------------------------


def curve(axes: Axes, i: int) -> tuple[list[float], list[float]]:
    line = axes.lines[i]
    assert line.get_drawstyle() == "steps-post"
    return list(map(float, line.get_xdata())), list(map(float, line.get_ydata()))


def test_curves_are_steps_through_the_data_up_to_the_last_landmark() -> None:
    axes = axes_of(cases.survival())[0]
    assert curve(axes, 0) == ([0, 31, 62, 88, 365], [0, 0.11, 0.18, 0.199, 0.199])
    assert axes.get_xlim() == (0, 365)
    assert axes.get_ylim()[0] == 0


def test_a_curve_stops_where_it_is_hidden() -> None:
    data = cases.survival().data
    gone = (data["arm"] == "Celecoxib") & (data["time"] > 60)
    data.loc[gone, ["risk", "low", "high", "n_risk"]] = NAN
    hidden = tuple((int(row), "n_risk", "<11") for row in np.flatnonzero(gone))
    figure = Figure("survival", data, cases.survival().options, hidden=hidden)
    assert curve(axes_of(figure)[0], 0) == ([0, 31], [0, 0.11])
    assert texts(figure).count("<11") == 4


def test_a_curve_does_not_go_on_behind_a_hidden_step() -> None:
    figure = changed(cases.survival(), {(2, "risk"): NAN})
    data = figure.data[~((figure.data["kind"] == "at risk") & (figure.data["arm"] == "Celecoxib"))]
    assert curve(axes_of(Figure("survival", data, figure.options))[0], 0) == ([0, 31], [0, 0.11])


def test_an_arm_without_events_is_a_flat_line_at_zero() -> None:
    figure = cases.survival()
    data = figure.data.assign(risk=0.0, low=0.0, high=0.0)
    axes = axes_of(Figure("survival", data, figure.options))[0]
    assert set(curve(axes, 0)[1]) == {0.0}
    assert axes.get_ylim()[1] > 0


def test_one_arm_alone_draws() -> None:
    data = cases.survival().data
    only = Figure("survival", data[data["arm"] == "Diclofenac"], cases.survival().options)
    assert "Celecoxib" not in whole(only)
    assert len(axes_of(only)[0].lines) == 1


def test_bands_and_adjustment_are_named() -> None:
    assert "Bands: 95% confidence intervals. Adjustment: ATT weighting." in whole(cases.survival())
    assert "Bands" not in whole(Figure("survival", cases.survival().data.assign(low=NAN, high=NAN)))


# -- Cost --------------------------------------------------------------------------------------------


def test_the_line_of_cost_is_broken_at_the_index_date() -> None:
    axes = axes_of(cases.cost_trend())[0]
    offered = axes.lines[:2]
    assert [list(map(float, line.get_ydata())) for line in offered] == [[600, 610, 620], [430, 440, 450]]
    assert max(offered[0].get_xdata()) < 0 < min(offered[1].get_xdata())
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines), "a line stands at the index date"
    assert "Cost per member-month, USD" in whole(cases.cost_trend())
    assert axes.get_ylim()[0] == 0


def test_a_band_that_reaches_far_does_not_flatten_the_lines() -> None:
    axes = axes_of(changed(cases.cost_trend(), {(4, "high"): 1e6}))[0]
    assert axes.get_ylim()[1] < 2_000


def test_negative_cost_stays_in_sight() -> None:
    axes = axes_of(changed(cases.cost_trend(), {(4, "pmpm"): -200.0, (4, "low"): -300.0}))[0]
    assert axes.get_ylim()[0] < -200
    assert any(label.get_text().startswith("\u2212$") for label in axes.get_yticklabels())


# -- Forest ------------------------------------------------------------------------------------------


def test_ratios_stand_on_a_log_axis_with_plain_ticks() -> None:
    axes = axes_of(cases.forest())[0]
    assert axes.get_xscale() == "log"
    assert [float(t) for t in ticks_of(axes)] == list(axes.get_xticks())
    assert "1" in ticks_of(axes)
    assert places(axes, "s") == [0.80, 1.26, 0.71]


@pytest.mark.parametrize(
    ("low", "high"), [(0.4, 2.3), (0.1, 10.0), (0.9, 1.1), (0.02, 600.0), (1.05, 1.7), (1e-4, 1e4)]
)
def test_log_ticks_are_round_numbers_in_range(low: float, high: float) -> None:
    sets = values.log_ticks(low, high)
    for ticks in sets:
        assert all(low <= tick <= high for tick in ticks)
        assert ticks == sorted(ticks)
        assert all(len(f"{tick:.10g}".replace(".", "").strip("0")) <= 3 for tick in ticks)
    if low <= 1 <= high:
        assert all(1.0 in ticks for ticks in sets)


def test_an_interval_that_reaches_far_is_cut_with_an_arrow_and_printed_whole() -> None:
    figure = changed(cases.forest(), {(1, "high"): 250.0, (2, "low"): 0.0})
    axes = axes_of(figure)[0]
    assert axes.get_xlim()[1] < 250
    assert places(axes, ">") == [axes.get_xlim()[1]]
    assert places(axes, "<") == [axes.get_xlim()[0]]
    assert "1.26 (0.76 to 250)" in whole(figure)
    assert "0.71 (0.00 to 0.79)" in whole(figure)


def test_every_row_has_its_numbers_or_says_why_not() -> None:
    shown = texts(cases.forest())
    assert "0.80 (0.68 to 0.94)" in shown
    assert "not estimable" in shown
    assert {"37/2,616", "44/5,330", "607/2,616", "1,427/5,330"} <= set(shown)
    assert "–/2,616" in shown, "a cost has persons but no events"
    assert "Death" in shown, "labels are in sentence case"
    assert {"\u2190 lower with Offered", "higher with Offered \u2192"} <= set(shown)


def test_an_estimate_without_an_interval_has_its_mark_alone() -> None:
    figure = changed(cases.forest(), {(0, "low"): NAN, (0, "high"): NAN})
    assert "0.80" in texts(figure)
    assert places(axes_of(figure)[0], "s") == [0.80, 1.26, 0.71]


@pytest.mark.parametrize("ratio", [0.0, 1e-186, 1e186, math.inf])
def test_an_absurd_ratio_stands_at_the_edge(ratio: float) -> None:
    axes = axes_of(changed(cases.forest(), {(1, "estimate"): ratio, (1, "low"): NAN, (1, "high"): NAN}))[0]
    low, high = axes.get_xlim()
    assert 1e-5 < low < high < 1e5
    assert places(axes, "<" if ratio < 1 else ">") == [low if ratio < 1 else high]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.0, 1.7, "(0.00 to 1.70)"), (0.6, math.inf, "(0.60 to \u221e)"), (0.0, 1e-9, "to <0.001)")],
)
def test_a_ratio_of_0_or_infinity_is_a_line_to_its_limit_with_an_arrow_and_no_mark(
    low: float, high: float, said: str
) -> None:
    ends = {(3, "low"): low, (3, "high"): high}
    for figure in (
        changed(cases.forest(), ends),
        Figure("forest", cases.rows("label estimate low high", ("Death", NAN, low, high)), {"scale": "log"}),
    ):
        axes = axes_of(figure)[0]
        left, right = axes.get_xlim()
        assert places(axes, "<") == ([left] if low == 0 else [])
        assert places(axes, ">") == ([right] if math.isinf(high) else [])
        assert 1e-5 < left < right < 1e5 and f"not estimable {said}" in whole(figure).replace("(0.00 to <", "to <")
        if high == 1.7:
            assert any(list(line.get_xdata()) == [left, 1.7] for line in axes.lines)
    assert places(axes, "s") == []


def test_no_effect_is_always_in_sight() -> None:
    figure = Figure("forest", cases.rows("label estimate low high", ("a", 900.0, 890.0, 910.0)), {"null": 0.0})
    low, high = axes_of(figure)[0].get_xlim()
    assert low <= 0 < high


def test_groups_head_their_rows() -> None:
    shown = texts(cases.ladder())
    assert [shown.count(group) for group in ("Naive", "Adjusted")] == [1, 1]
    assert shown.index("Naive") < shown.index("Crude") < shown.index("Adjusted") < shown.index("ATT weighting")


def test_the_header_has_the_level_of_the_axis_title() -> None:
    assert "Estimate (90% CI)" in whole(cases.forest(xlabel="Ratio (90% CI)"))


def test_a_narrow_forest_keeps_its_counts_under_the_labels() -> None:
    shown = whole(cases.forest(), width=3.4)
    assert "Offered v Not offered, events/persons" in shown
    assert "37/2,616 v 44/5,330" in shown


usual = st.floats(-1e6, 1e6) | st.sampled_from([NAN, math.inf, -math.inf, 0.0])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(usual, usual, usual), min_size=1, max_size=4), st.booleans())
def test_any_numbers_draw(cells: list[tuple[float, float, float]], log: bool) -> None:
    if log:
        cells = [tuple(abs(v) for v in row) for row in cells]  # type: ignore[misc]
    frame = cases.rows("label estimate low high", *(("row", *row) for row in cells))
    drawn = figures.draw(Figure("forest", frame, {"scale": "log" if log else "linear"}))
    low, high = drawn.axes[0].get_xlim()
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high


# -- Strip -------------------------------------------------------------------------------------------


def test_the_strip_shows_naive_adjusted_and_truth_with_marks_of_their_own() -> None:
    axes = axes_of(cases.strip())[0]
    assert (places(axes, "o"), places(axes, "s"), places(axes, "D")) == ([57.0], [-1_166.0], [-786.0])
    shown = texts(cases.strip())
    assert "\u2212$1,166 (\u2212$2,085 to \u2212$248)" in shown
    assert "\u2212$786" in shown
    assert {"no effect", "smallest worth having: \u2212$300"} <= set(shown)


@pytest.mark.parametrize(("better", "left"), [("lower", "better"), ("higher", "worse")])
def test_the_strip_says_which_side_is_better(better: str, left: str) -> None:
    figure = changed(cases.strip(), {}, better=better)
    shown = said(figure)
    sides = {line.text: line.x for line in shown if "better" in line.text or "worse" in line.text}
    assert min(sides, key=lambda side: sides[side]) == f"\u2190 {left}"


def test_the_strip_without_a_smallest_effect_says_nothing_of_it() -> None:
    assert "worth having" not in whole(changed(cases.strip(), {}, worthwhile=None))


# -- Balance -----------------------------------------------------------------------------------------


def test_love_draws_absolute_differences_before_and_after() -> None:
    axes = axes_of(cases.love())[0]
    assert places(axes, "s") == [0.341, 0.3, 0.067]
    assert places(axes, "o") == [0.016, 0.005, 0.004]
    assert any(list(line.get_xdata()) == [0.1, 0.1] for line in axes.lines)
    assert "Threshold 0.1" in texts(cases.love())


def test_love_names_what_does_not_fit_at_the_edge() -> None:
    figure = changed(
        cases.love(),
        {(0, "smd_before"): math.inf, (1, "smd_before"): NAN, (1, "smd_after"): NAN, (2, "smd_before"): 8.13},
    )
    axes = axes_of(figure)[0]
    assert places(axes, ">") == [axes.get_xlim()[1]] * 2
    assert places(axes, "x") == [axes.get_xlim()[1]] * 2
    assert axes.get_xlim()[1] < 1, "one absurd difference does not flatten the others"
    assert {"infinite before", "undefined before and after", "8.1 before"} <= set(texts(figure))


def test_love_grows_with_its_covariates() -> None:
    many = cases.rows("covariate smd_before smd_after", *((f"Covariate {i}", 0.2, 0.1) for i in range(60)))
    drawn = figures.draw(Figure("love", many))
    assert drawn.get_size_inches()[1] > 60 * 0.16
    assert {f"Covariate {i}" for i in range(60)} <= set(texts(Figure("love", many)))


def bars(axes: Axes) -> list[float]:
    return [float(p.get_height()) for p in axes.patches if isinstance(p, Rectangle)]


def test_overlap_mirrors_the_arms_before_and_after() -> None:
    before, after = axes_of(cases.overlap())
    assert bars(before) == [0.1, 0.3, 0.4, 0.2, -0.4, -0.3, -0.2, -0.1]
    assert bars(after) == [0.1, 0.3, 0.4, 0.2, -0.12, -0.29, -0.39, -0.2]
    assert before.get_ylim() == after.get_ylim()
    assert not any("\u2212" in label.get_text() for label in before.get_yticklabels()), "a share is never negative"
    assert "not drawn" not in whole(cases.overlap())


# -- Design ------------------------------------------------------------------------------------------


def test_the_design_says_its_windows_in_words() -> None:
    shown = texts(cases.design())
    assert {"days \u2212365 to 0", "up to day \u22121", "day 0", "days \u22121,095 to \u22121", "days 1 to 365"} <= set(
        shown
    )
    assert {"Eligibility", "Exposure", "Covariates", "Follow-up", "Day 0: any primary care visit"} <= set(shown)
    assert {"\u22121,095", "\u2212365", "0", "365"} <= set(shown)


def test_an_unbounded_window_runs_into_an_arrow() -> None:
    def arrows(figure: Figure) -> int:
        return len([a for a in figures.draw(figure).artists if type(a).__name__ == "FancyArrowPatch"])

    assert arrows(cases.design()) == 1
    assert arrows(changed(cases.design(), {(4, "end"): NAN})) == 2
    assert "from day 1 on" in texts(changed(cases.design(), {(4, "end"): NAN}))


def test_days_far_and_near_both_show() -> None:
    lines = {line.text: line.x for line in said(cases.design())}
    places = [lines[day] for day in ("\u22121,095", "\u2212365", "0", "365")]
    assert places == sorted(places)
    assert places[3] - places[2] > 0.3 * (places[2] - places[0]), "a year after index is not lost beside three before"


# -- Flow and funnel ---------------------------------------------------------------------------------


def test_the_flow_prints_persons_entries_and_exclusions() -> None:
    shown = texts(cases.flow())
    assert {"18,696 persons", "214,399 entries", "2,616 persons"} <= set(shown)
    assert {"Excluded: 2,016", "(109,829 entries)"} <= set(shown)
    assert shown.count("Offered") == shown.count("Not offered") == 1
    assert "2,616 entries" not in shown, "entries are not repeated where everybody has one"


def test_the_flow_of_an_empty_arm_ends_at_zero() -> None:
    figure = changed(cases.flow(), {(4, "persons"): 0, (4, "entries"): 0, (4, "excluded_persons"): 18_696})
    assert "0 persons" in texts(figure)
    assert "Excluded: 18,696" in texts(figure)


def test_one_person_is_a_person() -> None:
    assert "1 person" in texts(changed(cases.flow(), {(2, "persons"): 1, (2, "entries"): 1}))


def test_three_arms_stand_below_each_other_where_they_do_not_fit() -> None:
    data = cases.flow().data
    third = data[data["arm"] == "Offered"].assign(arm="Third")
    figure = Figure("flow", cases.rows(" ".join(data.columns), *data.to_numpy().tolist(), *third.to_numpy().tolist()))
    lines = {line.text: line for line in said(figure)}
    assert lines["Third"].y > lines["Offered"].y
    assert lines["Third"].x == pytest.approx(lines["Offered"].x)


def test_the_funnel_prints_counts_and_both_shares() -> None:
    shown = texts(cases.funnel())
    for expected in ("20,000", "8,100", "40.5%", "3,920", "48.4%", "19.6%", "64", "1.6%", "0.3%"):
        assert expected in shown, expected


def test_the_funnel_starts_anew_for_each_arm() -> None:
    frame = cases.rows("arm step persons", ("Offered", "Eligible", 200), ("Offered", "Activated", 150),
                       ("Not offered", "Eligible", 400), ("Not offered", "Activated", 0))  # fmt: skip
    shown = texts(Figure("funnel_steps", frame))
    assert shown.count("75.0%") == 2
    assert shown.count("100.0%") == 2
    assert {"Offered", "Not offered", "0", "0.0%"} <= set(shown)


def test_a_share_of_nobody_is_a_dash() -> None:
    shown = texts(Figure("funnel_steps", cases.rows("step persons", ("Eligible", 0), ("Activated", 0))))
    assert shown.count("–") == 4
    assert not any("%" in text for text in shown)


# -- Words -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_label", "shown"),
    [
        ("overlap weighting", "Overlap weighting"), ("eGFR below 60", "eGFR below 60"), ("pH", "pH"),
        ("Days -1095 to -1", "Days \u22121095 to \u22121"), ("Index date 2020-01-01 to 2022-12-31",) * 2,
        ("ICD-10 codes",) * 2, ("COVID-19",) * 2, ("change (-5%)", "Change (\u22125%)"), ("1:1 matching",) * 2,
    ],
)  # fmt: skip
def test_labels(given_label: str, shown: str) -> None:
    assert values.labels(cases.rows("label", (given_label,)), "label") == [shown]


@pytest.mark.parametrize(
    ("unit", "currency"),
    [("USD", "USD"), ("USD per person", "USD"), ("per 1,000 persons", ""), ("", ""), ("days", ""), ("CHF", "CHF")],
)
def test_currency_of_a_unit(unit: str, currency: str) -> None:
    assert values.currency_of(unit) == currency


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="latin-1", exclude_categories=["Cc", "Zs", "Cf"]) | st.just(" "), max_size=60),
       st.floats(0.3, 3.0))  # fmt: skip
def test_wrapping_loses_nothing_and_fits(text: str, width: float) -> None:
    for wrapped in (sheet.wrap(text, width), sheet.even(text, width)):
        assert "".join(wrapped.split()) == "".join(text.split())
        assert sheet.width_of(wrapped) <= width or all(len(line) == 1 for line in wrapped.split("\n"))


def test_even_lines_leave_no_word_alone() -> None:
    text = "No programme offer, any time up to day 0"
    room = sheet.width_of("No programme offer, any time up to day") * 1.04
    assert sheet.wrap(text, room).split("\n")[-1] == "0"
    assert len(sheet.even(text, room).split("\n")[-1]) > 8


def test_a_clipped_text_says_so() -> None:
    assert sheet.clip("a\nb\nc", 3) == "a\nb\nc"
    assert sheet.clip("one\ntwo,\nthree", 2) == "one\ntwo\u2026"
