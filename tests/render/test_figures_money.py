"""What the figures of money draw: sums, shares and probabilities worked out by hand."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Rectangle

from clinops.errors import DataError
from clinops.render import figures, style
from clinops.render.figures import values
from clinops.results.result import Figure
from tests.render import figures_support as cases
from tests.render.figures_support import NAN, changed, rows, texts, whole

MINUS = "\u2212"


def axes_of(figure: Figure, **options: Any) -> Axes:
    return figures.draw(figure, **options).axes[0]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]


def coloured(axes: Axes, n: int) -> list[Line2D]:
    """Return the lines in the colour of the n-th arm, as they were drawn."""
    return [line for line in axes.lines if line.get_color() == style.SERIES[n]]


# -- Cumulative cost ---------------------------------------------------------------------------------


def test_cumulative_cost_starts_from_nothing_and_ends_at_the_horizon() -> None:
    figure = cases.cumulative()
    late = Figure(figure.kind, figure.data[figure.data["month"] > 0], figure.options)
    axes = axes_of(late)
    line = points(coloured(axes, 0)[0])
    assert line[:2] == [(0.0, 0.0), (1.0, 580.0)]
    assert line[-1] == (12.0, 6_960.0)
    assert axes.get_xlim() == (0, 12)
    assert axes.get_ylim()[0] <= 0


def test_each_curve_of_cumulative_cost_is_named_with_its_cost_at_the_end() -> None:
    assert "Offered $6,960" in whole(cases.cumulative())
    assert "Not offered $7,680" in whole(cases.cumulative())


def test_cumulative_cost_stops_where_it_is_hidden_and_says_when() -> None:
    gone = {(row, name): NAN for row in (9, 11, 12) for name in ("cost", "low", "high", "n_observed", "deaths")}
    figure = changed(cases.cumulative(), gone)
    hidden = tuple((row, name, "<11") for row, name in gone)
    cut = Figure(figure.kind, figure.data, figure.options, hidden=hidden)
    assert points(coloured(axes_of(cut), 0)[0])[-1] == (8.0, 4_640.0), "nothing is drawn behind a hidden month"
    assert "$4,640 by month 8" in whole(cut)


def test_deaths_print_with_their_share_of_those_at_the_start() -> None:
    said = texts(cases.cumulative())
    assert "144 (5.5%)" in said, "144 of 2,616"
    assert "144 (2.7%)" in said, "144 of 5,330"
    assert "0 (0.0%)" in said


def test_deaths_print_with_the_share_that_was_estimated() -> None:
    figure = cases.cumulative()
    said = texts(Figure(figure.kind, figure.data.assign(death_risk=figure.data["month"] / 100), figure.options))
    assert "144 (12.0%)" in said


def test_a_hidden_count_of_deaths_has_no_share() -> None:
    figure = changed(cases.cumulative(), {(12, "deaths"): NAN})
    said = texts(Figure(figure.kind, figure.data, figure.options, hidden=((12, "deaths", "<11"),)))
    assert "<11" in said
    assert not [text for text in said if text.startswith("<11 (")]


def test_where_the_start_is_hidden_deaths_have_no_share() -> None:
    figure = changed(cases.cumulative(), {(0, "n_observed"): NAN})
    said = texts(Figure(figure.kind, figure.data, figure.options, hidden=((0, "n_observed", "<11"),)))
    assert "144" in said
    assert "144 (5.5%)" not in said


def test_cost_alone_draws_without_counts() -> None:
    figure = cases.cumulative()
    shown = whole(Figure(figure.kind, figure.data[["arm", "month", "cost"]], {}))
    assert "Still observed" not in shown
    assert "Deaths" not in shown
    assert "Bands" not in shown


def test_perspective_and_price_year_stand_below() -> None:
    assert "Payer; 2024 USD." in whole(cases.cumulative())


# -- By calendar month -------------------------------------------------------------------------------


def test_incomplete_months_are_hollow_and_marked() -> None:
    axes = axes_of(cases.calendar())
    dotted, hollow, solid = coloured(axes, 0)
    assert [y for _, y in points(hollow) if not math.isnan(y)] == pytest.approx([630 * 0.8, 600 * 0.6, 610 * 0.4])
    assert hollow.get_markerfacecolor() == "white"
    assert len([y for _, y in points(solid) if not math.isnan(y)]) == 11
    assert len([y for _, y in points(dotted) if not math.isnan(y)]) == 4, "joined to the last complete month"
    marks = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]]
    assert [mark.get_xdata()[0] for mark in marks] == [12 * 2022 + 11 - 0.5], "before December 2022"
    shown = whole(cases.calendar())
    assert "claims incomplete from here" in shown
    assert "(paid up to 2023-03-31)" in shown


def test_complete_months_have_no_mark() -> None:
    figure = cases.calendar()
    for data in (figure.data.assign(complete=True), figure.data.drop(columns="complete")):
        assert "incomplete" not in whole(Figure(figure.kind, data, {}))


def test_an_incomplete_month_in_the_middle_is_hollow_without_a_line() -> None:
    figure = cases.calendar()
    data = figure.data.assign(complete=[i % 14 != 4 for i in range(28)])
    shown = whole(Figure(figure.kind, data, {}))
    assert "claims incomplete from here" not in shown
    assert "Hollow, dotted: months whose claims are incomplete." in shown


def test_the_line_is_broken_at_a_month_that_is_not_there() -> None:
    figure = cases.calendar()
    data = figure.data[figure.data["month"] != "2022-05"].drop(columns="complete")
    (line,) = coloured(axes_of(Figure(figure.kind, data, {})), 0)
    assert [x % 12 + 1 for x, y in points(line) if math.isnan(y)] == [5]


@pytest.mark.parametrize("how", [lambda t: t, lambda t: f"{t}-01", lambda t: dt.date.fromisoformat(f"{t}-01"),
                                 lambda t: pd.Timestamp(f"{t}-15"), lambda t: pd.Period(t, "M")])  # fmt: skip
def test_a_month_may_be_a_text_or_a_date(how: Any) -> None:
    figure = cases.calendar()
    data = figure.data.assign(month=[how(month) for month in figure.data["month"]])
    assert figures.svg(figures.draw(Figure(figure.kind, data, {}))) == figures.svg(
        figures.draw(Figure(figure.kind, figure.data, {}))
    )


@pytest.mark.parametrize("month", ["2022", "March 2022", "2022-13", "2022-00", 3, None])
def test_what_is_no_month_is_refused(month: Any) -> None:
    figure = cases.calendar()
    data = figure.data.assign(month=figure.data["month"].astype(object))
    data.at[0, "month"] = month
    with pytest.raises(DataError, match='such as "2022-03"'):
        figures.draw(Figure(figure.kind, data, {}))


def test_a_month_twice_in_an_arm_is_refused() -> None:
    with pytest.raises(DataError, match="Offered has the month 2022-02 in more than one row"):
        figures.draw(changed(cases.calendar(), {(0, "month"): "2022-02"}))


def test_one_line_needs_no_arm() -> None:
    figure = cases.calendar()
    alone = Figure(figure.kind, figure.data[:14].drop(columns="arm"), {"currency": "USD"})
    assert "without a name" not in whole(alone)
    assert len(coloured(axes_of(alone), 0)) == 3


# -- Waterfall ---------------------------------------------------------------------------------------


def bars(figure: Figure) -> list[tuple[float, float]]:
    """Return where each bar starts and ends."""
    found = [patch for patch in axes_of(figure).patches if isinstance(patch, Rectangle)]
    return [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in found]


def test_each_part_starts_where_the_one_before_ended() -> None:
    assert bars(cases.waterfall()) == [(0, -412), (-412, -286), (-286, -346), (0, -346), (-346, -166), (0, -166)]


def test_connecting_lines_stand_at_the_sum_so_far() -> None:
    lines = [line for line in axes_of(cases.waterfall()).lines if line.get_linewidth() == 0.7]
    assert [line.get_xdata()[0] for line in lines] == [-412, -286, -346, -346, -166]


def test_amounts_say_their_direction_in_words() -> None:
    said = texts(cases.waterfall())
    at = said.index(f"{MINUS}$412 ({MINUS}$720 to {MINUS}$104)")
    assert said[at + 1] == "saving"
    assert said[said.index("$126 ($71 to $181)") + 1] == "added cost"
    assert said[said.index(f"{MINUS}$60 ({MINUS}$131 to $21)") + 1] == "direction uncertain"
    assert "$180" in said, "a fee without an interval stands alone"


def test_savings_and_added_cost_differ_by_more_than_colour() -> None:
    patches = [patch for patch in axes_of(cases.waterfall()).patches if isinstance(patch, Rectangle)]
    saving, costing, _, total, fee, _ = (patch.get_hatch() for patch in patches)
    assert len({saving, costing, fee}) == 3
    assert total == costing is None, "a total is bold, has an interval, and starts at zero"


def test_the_words_for_less_and_more_can_be_a_hospital_s() -> None:
    shown = whole(Figure("waterfall", cases.waterfall().data, {"saving": "lost revenue", "costing": "added revenue"}))
    assert "lost revenue" in shown
    assert "saving" not in shown


def test_a_total_that_is_not_the_sum_is_said_not_to_be() -> None:
    assert "add up" not in whole(cases.waterfall())
    off = changed(cases.waterfall(), {(3, "value"): -300.0})
    shown = whole(off)
    assert f"Before the fee: the rows before it add up to {MINUS}$346." in shown
    assert f"Net: the rows before it add up to {MINUS}$120." in shown, "the chain goes on from the sum that is printed"
    assert "add up" not in whole(changed(cases.waterfall(), {(3, "value"): -346.004})), "cents may be rounded"


def test_the_place_of_a_bar_after_a_hidden_amount_is_not_given_away() -> None:
    figure = changed(cases.waterfall(), {(1, name): NAN for name in ("value", "low", "high")})
    hidden = Figure(figure.kind, figure.data, figure.options, hidden=((1, "value", "<11"),))
    assert bars(hidden) == [(0, -412), (0, -346), (-346, -166), (0, -166)]
    assert texts(hidden).count("not shown") == 1
    assert "the bars after it have no place" in whole(hidden)


def test_an_unknown_kind_of_row_is_refused() -> None:
    with pytest.raises(DataError, match="subtotal"):
        figures.draw(changed(cases.waterfall(), {(3, "kind"): "subtotel"}))


def test_huge_amounts_are_drawn_in_millions() -> None:
    data = cases.waterfall().data.assign(
        **{name: cases.waterfall().data[name] * 1e6 for name in ("value", "low", "high")}
    )
    shown = whole(Figure("waterfall", data, {"currency": "USD", "xlabel": "Difference"}))
    assert "Difference, USD millions" in shown
    assert f"{MINUS}$412 ({MINUS}$720 to {MINUS}$104)" in shown


def test_an_interval_that_reaches_absurdly_far_is_cut_and_printed_whole() -> None:
    far = changed(cases.waterfall(), {(5, "low"): -90_000.0})
    assert axes_of(far).get_xlim()[0] > -2_000
    assert f"({MINUS}$90,000 to $178)" in whole(far)


def test_zero_everywhere_draws() -> None:
    data = cases.waterfall().data.assign(value=0.0, low=0.0, high=0.0)
    shown = whole(Figure("waterfall", data, {"currency": "USD"}))
    assert "$0.00" in shown
    assert "direction" not in shown


@given(st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 2)), min_size=1, max_size=8), st.floats(0, 1e5))
@settings(deadline=None, derandomize=True, max_examples=15)
def test_bars_of_any_parts_end_at_their_total(parts: list[float], fee: float) -> None:
    total = math.fsum(parts)
    cells = [(f"Part {i}", value, "part") for i, value in enumerate(parts)]
    cells += [("Gross", total, "subtotal"), ("Fee", fee, "fee"), ("Net", total + fee, "total")]
    figure = Figure("waterfall", rows("label value kind", *cells), {})
    ends = bars(figure)
    assert ends[len(parts) - 1][1] == pytest.approx(total, abs=0.01)
    assert ends[-2][1] == pytest.approx(ends[-1][1], abs=0.01)
    assert "add up" not in whole(figure)


# -- Budget ------------------------------------------------------------------------------------------


def test_a_fee_goes_against_the_saving() -> None:
    assert bars(cases.budget())[:3] == [(0, 1.2e6), (0, -2.0e6), (0, -0.8e6)]
    shown = whole(cases.budget())
    assert "Year 1 Gross saving" in shown
    assert f"{MINUS}$2,000,000" in shown
    assert f"{MINUS}$800,000 ({MINUS}$1,500,000 to $100,000)" in shown


def test_a_net_that_is_not_gross_less_fee_is_said_not_to_be() -> None:
    assert "gross saving less fee" not in whole(cases.budget())
    assert "Year 2: gross saving less fee is $700,000." in whole(changed(cases.budget(), {(1, "net"): 600_000.0}))


def test_calendar_years_stay_as_they_are() -> None:
    figure = changed(cases.budget(), {(0, "year"): "2025", (1, "year"): 2026.0, (2, "year"): "Steady state"})
    shown = whole(figure)
    for year in ("2025", "2026", "Steady state"):
        assert year in shown
    assert "Year 2" not in shown


# -- Concentration -----------------------------------------------------------------------------------


def test_the_top_shares_are_read_off_the_curve() -> None:
    frame = rows("share_persons share_cost", (0.02, 0.3), (0.1, 0.7), (1.0, 1.0))
    said = texts(Figure("concentration", frame, {}))
    assert said[said.index("10%", said.index("Share of cost of the top")) + 1 :][:3] == ["15.0%", "45.0%", "70.0%"]
    line = coloured(axes_of(Figure("concentration", frame, {})), 0)[0]
    assert points(line)[0] == (0.0, 0.0)


def test_a_top_share_beside_a_hidden_one_is_not_shown() -> None:
    figure = changed(cases.concentration(), {(1, "share_cost"): NAN})
    said = texts(Figure(figure.kind, figure.data, {}, hidden=((1, "share_cost", "<11"),)))
    assert said.count("not shown") == 1
    assert "60.0%" in said


def test_a_share_beyond_the_curve_is_not_known() -> None:
    frame = rows("share_persons share_cost", (0.01, 0.2), (0.05, 0.5))
    said = texts(Figure("concentration", frame, {}))
    assert said[-2] == "\u2013", "nobody said what the top 10% cost"


def test_cost_that_is_netted_below_zero_lifts_the_curve_above_all() -> None:
    frame = rows("share_persons share_cost", (0.5, 1.1), (1.0, 1.0))
    assert axes_of(Figure("concentration", frame, {})).get_ylim()[1] > 1.1


def test_percentages_are_refused_as_shares() -> None:
    with pytest.raises(DataError, match="'share_persons' holds shares from 0 to 1, not 50"):
        figures.draw(Figure("concentration", rows("share_persons share_cost", (50, 0.9), (100, 1.0)), {}))


# -- The plane ---------------------------------------------------------------------------------------

FOUR = ((1.0, 100.0), (1.0, -100.0), (-1.0, 100.0), (-1.0, -100.0))


def plane(draws: Any, *, estimate: bool = True, **options: Any) -> Figure:
    frame = pd.DataFrame(list(draws), columns=["effect", "cost"]).assign(kind="draw")
    if estimate:
        frame.loc[len(frame)] = [0.5, -50.0, "estimate"]
    return Figure("ce_plane", frame, {"currency": "USD", **options})


def quadrants(figure: Figure) -> dict[str, str]:
    """Return the share that stands before the name of each quadrant."""
    said = texts(figure)
    return {text: said[i - 1] for i, text in enumerate(said) if text.endswith("costly") and " " in text}


def test_each_quadrant_has_its_share_of_the_draws() -> None:
    shares = quadrants(plane([*FOUR, (2.0, -10.0)]))
    assert shares == {
        "Less effective, more costly": "20.0%", "More effective, more costly": "20.0%",
        "Less effective, less costly": "20.0%", "More effective, less costly": "40.0%",
    }  # fmt: skip


def test_a_draw_without_a_difference_is_not_more_of_anything() -> None:
    assert quadrants(plane([(0.0, 0.0)] * 4))["Less effective, less costly"] == "100.0%"


def test_the_share_that_is_worth_it_is_that_with_a_positive_net_benefit() -> None:
    # Net benefit at $200: 100, 300, -300, -100; at $50: -50, 150, -150, 50; a draw at no benefit is not worth it.
    shown = whole(plane(FOUR, thresholds=(200, 50, 100), effect_unit="QALY"))
    assert "$200 per QALY: 50.0% of draws cost-effective" in shown
    assert "$50 per QALY: 50.0% of draws cost-effective" in shown
    assert "$100 per QALY: 25.0% of draws cost-effective" in shown


def test_at_most_a_thousand_draws_are_drawn_and_shares_are_of_all() -> None:
    figure = cases.plane()
    cloud = next(line for line in axes_of(figure).lines if len(line.get_xdata()) > 100)
    assert len(cloud.get_xdata()) == 1_000
    assert "1,000 of 1,500 draws are drawn; shares and ellipse are of all." in whole(figure)
    draws = figure.data[figure.data["kind"] == "draw"]
    dominant = ((draws["effect"] > 0) & (draws["cost"] <= 0)).mean()
    assert quadrants(figure)["More effective, less costly"] == f"{100 * dominant:.1f}%"


def test_the_ellipse_holds_95_per_cent_of_a_normal_cloud() -> None:
    made = np.random.default_rng(3).multivariate_normal([1.0, 10.0], [[1.0, 24.0], [24.0, 900.0]], 4_000)
    (ellipse,) = [patch for patch in axes_of(plane(made)).patches if isinstance(patch, Ellipse)]
    inside = np.mean([ellipse.contains_point(ellipse.axes.transData.transform(draw)) for draw in made])
    # The binomial standard error of 4,000 draws is 0.0034.
    assert inside == pytest.approx(0.95, abs=3 * 0.0034)


@pytest.mark.parametrize("draws", [[(1.0, 1.0)] * 5, [(0.0, float(k)) for k in range(9)],
                                   [(float(k), 3.0 * k) for k in range(9)], FOUR[:2]])  # fmt: skip
def test_draws_on_one_line_have_no_ellipse(draws: Any) -> None:
    assert not [patch for patch in axes_of(plane(draws)).patches if isinstance(patch, Ellipse)]
    assert "ellipse" not in whole(plane(draws))


def test_draws_that_failed_or_lie_far_off_are_counted() -> None:
    made = np.random.default_rng(5).normal([0.01, -300.0], [0.01, 400.0], (400, 2))
    made[0] = (NAN, 3.0)
    made[1] = (0.01, 9e7)
    shown = whole(plane(made))
    assert "1 of 400 draws could not be estimated." in shown
    assert "Far outside the picture: 1." in shown
    assert "ellipse reaches far beyond the picture and is left out" in shown
    assert axes_of(plane(made)).get_ylim()[1] < 10_000


def test_every_quadrant_is_in_sight_wherever_the_draws_are() -> None:
    for x, y in FOUR:
        axes = axes_of(plane([(x * 5, y * 3), (x * 6, y * 2), (x * 5.5, y * 2.2)], estimate=False), width=3.4)
        left, right = axes.get_xlim()
        bottom, top = axes.get_ylim()
        assert 0.2 < -left / (right - left) < 0.8
        assert 0.15 < -bottom / (top - bottom) < 0.85


def test_an_estimate_alone_or_draws_alone_draw() -> None:
    assert "%" not in whole(plane([]))
    assert "Estimate" not in whole(plane(FOUR, estimate=False))


def test_an_unknown_kind_of_point_is_refused() -> None:
    with pytest.raises(DataError, match="estimate"):
        figures.draw(changed(plane(FOUR), {(0, "kind"): "estimat"}))


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-1e5, 1e5)), min_size=1, max_size=40))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_any_draws_fall_into_four_quadrants(draws: list[tuple[float, float]]) -> None:
    shares = quadrants(plane(draws))
    assert len(shares) == 4
    assert math.fsum(float(share.rstrip("%")) for share in shares.values()) == pytest.approx(100, abs=0.21)


# -- Acceptability -----------------------------------------------------------------------------------


def test_the_probability_at_a_threshold_is_read_off_the_curve() -> None:
    frame = rows("threshold probability", (0.0, 0.2), (100_000.0, 0.6), (200_000.0, 0.9))
    said = texts(Figure("acceptability", frame, {"currency": "USD", "thresholds": (50_000, 200_000, 250_000)}))
    assert said[said.index("Probability at") + 1 :] == ["$50,000", "$200,000", "$250,000", "40.0%", "90.0%", "\u2013"]


def test_arms_of_the_acceptability_curve_are_named() -> None:
    shown = whole(cases.acceptability())
    assert "Offered with telephone support" in shown
    assert "Willingness to pay per QALY, USD" in shown
    axes = axes_of(cases.acceptability())
    assert points(coloured(axes, 0)[0])[0] == (0.0, 0.6)
    assert axes.get_ylim()[0] == 0


def test_a_probability_beyond_one_is_refused() -> None:
    with pytest.raises(DataError, match="'probability' holds shares from 0 to 1, not 60"):
        figures.draw(changed(cases.acceptability(), {(0, "probability"): 60.0}))


# -- Scales ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("largest", "unit", "expected"), [
    (9_999_999, "USD", (1.0, "USD")), (10_000_000, "USD", (1e6, "USD millions")), (-2e7, "", (1e6, "millions")),
    (5e10, "CHF a year", (1e9, "CHF billions a year")), (NAN, "EUR", (1.0, "EUR")),
])  # fmt: skip
def test_long_amounts_are_scaled(largest: float, unit: str, expected: tuple[float, str]) -> None:
    assert values.scaled(np.array([1.0, largest]), unit) == expected
