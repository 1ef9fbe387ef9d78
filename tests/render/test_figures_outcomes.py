"""Figures of outcomes: events added up over time, with numbers at risk and differences at landmarks."""

from __future__ import annotations

import pytest
from matplotlib.axes import Axes

from clinops.errors import DataError
from clinops.render import figures
from clinops.results.disclosure import protect
from clinops.results.result import Column, Figure, Result
from tests.render import outcome_figures as cases
from tests.render.figures_support import changed, said, texts, whole
from tests.render.outcome_figures import NAN


def axes_of(figure: Figure, **options: float) -> list[Axes]:
    return figures.draw(figure, **options).axes


def line(axes: Axes, i: int) -> tuple[list[float], list[float]]:
    found = axes.lines[i]
    assert found.get_drawstyle() == "steps-post"
    return [float(x) for x in found.get_xdata()], [float(y) for y in found.get_ydata()]


def small(*rows: tuple[str, str, float, float, float]) -> Figure:
    """Return a figure of one arm from rows of cause, kind, time, risk and number at risk."""
    frame = cases.frame_of("cause kind time risk n_risk", *rows).assign(arm="A", low=NAN, high=NAN)
    of = dict.fromkeys(("risk", "low", "high"), ("n_risk",))
    return Figure("cumulative_incidence", frame, {"horizon": 10}, ("n_risk",), of)


def safe(figure: Figure) -> Figure:
    data = figure.data[figure.data["kind"] == "at risk"].reset_index(drop=True)
    columns = (Column("time", "Day", "number0"), Column("n_risk", "At risk", "count"))
    out = protect(Result("incidence", "Incidence", data, columns, figure=figure, group_by="arm"), 11)
    assert out.figure is not None
    return out.figure


# -- Cumulative incidence ----------------------------------------------------------------------------


def test_each_cause_has_a_panel_with_both_arms() -> None:
    panels = axes_of(cases.incidence())
    assert [len(axes.lines) for axes in panels] == [2, 2]
    for axes, cause in zip(panels, ("readmission", "death"), strict=True):
        for i, arm in enumerate(cases.AT_RISK):
            x, y = line(axes, i)
            assert (x[0], y[0], x[-1]) == (0, 0, 365)
            assert y[-1] == pytest.approx(cases.RISKS[arm, cause][-1])
    shown = texts(cases.incidence())
    assert {"Cumulative incidence: Readmission", "Cumulative incidence: Death"} <= set(shown)
    assert "The scales of the panels differ." in whole(cases.incidence())


def test_numbers_at_risk_stand_once_under_the_last_panel() -> None:
    lines = said(cases.incidence())
    ticks = {text.text: text.x for text in lines if text.text in ("0", "90", "180", "270", "365")}
    for counts in cases.AT_RISK.values():
        for day, n in zip(cases.LANDMARKS, counts, strict=True):
            found = [text for text in lines if text.text == f"{n:,}"]
            assert len(found) == 1
            assert found[0].x == pytest.approx(ticks[f"{day:.0f}"], abs=0.01)


def test_numbers_at_risk_given_for_every_cause_are_printed_once() -> None:
    one = cases.incidence().data
    table = one[one["kind"] == "at risk"]
    frame = cases.pd.concat([one, table.assign(cause="death")], ignore_index=True)
    assert texts(Figure("cumulative_incidence", frame, cases.incidence().options)).count("2,410") == 1


def test_differences_stand_below_in_percentage_points() -> None:
    shown = whole(cases.incidence())
    assert "Risk difference, Offered v Not offered, percentage points (95% CI)" in shown
    # 14.3% - 18.8%, give or take 1.2 points; 2.1% - 2.3% at day 180
    assert "Day 180 Day 365 Readmission \u22123.0 (\u22124.2 to \u22121.8) \u22124.5 (\u22125.7 to \u22123.3)" in shown
    assert "\u22120.2 (\u22121.4 to 1.0)" in shown


def test_a_difference_that_is_hidden_or_not_known_says_so() -> None:
    figure = cases.incidence()
    row = int(figure.data.index[figure.data["kind"] == "difference"][0])
    gone = {(row, "risk"): NAN, (row, "low"): NAN, (row, "high"): NAN}
    assert "not estimable" in texts(changed(figure, gone))
    few = safe(changed(figure, {(row, "n_risk"): 7}))
    assert "not shown" in texts(few)
    assert "\u22123.0 (\u22124.2 to \u22121.8)" not in texts(few)


def test_stacked_causes_add_up() -> None:
    panels = axes_of(cases.incidence(stacked=True))
    assert len(panels) == 2
    assert panels[0].get_ylim() == panels[1].get_ylim(), "the arms of a stack share one scale"
    for axes, arm in zip(panels, cases.AT_RISK, strict=True):
        tops = [max(float(p.vertices[:, 1].max()) for p in area.get_paths()) for area in axes.collections]
        first, second = (cases.RISKS[arm, cause][-1] for cause in ("readmission", "death"))
        assert tops == pytest.approx([first, first + second])
    assert len({area.get_hatch() for area in panels[0].collections}) == 2, "not by colour alone"
    assert "Bands" not in whole(cases.incidence(stacked=True))


def test_layers_with_steps_at_different_times_are_stacked_where_both_are_known() -> None:
    figure = small(
        ("x", "curve", 0, 0.0, 90),
        ("x", "curve", 4, 0.2, 80),
        ("y", "curve", 0, 0.0, 90),
        ("y", "curve", 2, 0.1, 85),
        ("y", "curve", 6, 0.3, 70),
        ("", "at risk", 8, NAN, 60),
    )
    upper = axes_of(Figure(figure.kind, figure.data, {"horizon": 10, "stacked": True}))[0].collections[1]
    corners = {(float(x), round(float(y), 9)) for x, y in upper.get_paths()[0].vertices}
    assert {(2.0, 0.1), (4.0, 0.3), (6.0, 0.5), (8.0, 0.5)} <= corners


def test_a_curve_goes_on_to_the_last_landmark_with_somebody_at_risk() -> None:
    figure = small(
        ("x", "curve", 0, 0.0, 90), ("x", "curve", 3, 0.2, 50), ("", "at risk", 7, NAN, 30), ("", "at risk", 10, NAN, 0)
    )
    assert line(axes_of(figure)[0], 0) == ([0, 3, 7], [0, 0.2, 0.2])


def test_a_curve_ends_before_fewer_than_eleven_are_at_risk() -> None:
    figure = small(
        ("x", "curve", 0, 0.0, 90),
        ("x", "curve", 3, 0.2, 50),
        ("x", "curve", 8, 0.4, 7),
        ("", "at risk", 5, NAN, 30),
        ("", "at risk", 10, NAN, 4),
    )
    out = safe(figure)
    assert line(axes_of(out)[0], 0) == ([0, 3, 5], [0, 0.2, 0.2])
    assert "<11" in texts(out)
    assert "40%" not in texts(out)


def test_a_curve_does_not_go_on_behind_a_value_that_is_not_known() -> None:
    figure = small(
        ("x", "curve", 0, 0.0, 90), ("x", "curve", 3, NAN, 50), ("x", "curve", 8, 0.4, 40), ("", "at risk", 9, NAN, 30)
    )
    assert line(axes_of(figure)[0], 0) == ([0], [0])


def test_without_causes_there_is_one_panel_without_a_name() -> None:
    figure = cases.incidence()
    data = figure.data[figure.data["cause"] != "death"].drop(columns="cause")
    alone = Figure("cumulative_incidence", data, figure.options)
    assert len(axes_of(alone)) == 1
    assert "Cumulative incidence" in texts(alone)
    assert "scales" not in whole(alone)


def test_a_cause_that_an_arm_does_not_have_is_not_drawn_for_it() -> None:
    figure = cases.incidence()
    data = figure.data[~((figure.data["cause"] == "death") & (figure.data["arm"] == "Offered"))]
    panels = axes_of(Figure(figure.kind, data, figure.options))
    assert [len(axes.lines) for axes in panels] == [2, 1]


def test_an_unknown_kind_of_row_is_refused() -> None:
    with pytest.raises(DataError, match="kind of a row of curves"):
        figures.draw(changed(cases.incidence(), {(0, "kind"): "curv"}))


# -- Mean count --------------------------------------------------------------------------------------


def test_mean_counts_are_not_bounded_by_one() -> None:
    figure = cases.counts_of_events()
    scaled = Figure(figure.kind, figure.data.assign(**{c: 5 * figure.data[c] for c in ("mean", "low", "high")}),
                    figure.options)  # fmt: skip
    axes = axes_of(scaled)[0]
    assert axes.get_ylim()[1] > 4
    assert max(line(axes, 1)[1]) == pytest.approx(5 * 0.83)


def test_the_difference_in_means_is_named_by_its_contrast() -> None:
    shown = whole(cases.counts_of_events())
    assert "Difference in mean count, events per person (95% CI)" in shown
    assert "Day 365 Offered v Not offered \u22120.22 (\u22120.29 to \u22120.15)" in shown
    assert "90% CI" in whole(cases.counts_of_events(interval="90% confidence intervals"))


# -- Rates -------------------------------------------------------------------------------------------


def test_each_way_of_splitting_has_a_panel_with_the_points_of_both_arms() -> None:
    figure = cases.rates()
    panels = axes_of(figure)
    assert len(panels) == 2 and panels[0].get_ylim() == panels[1].get_ylim(), "the panels share one scale"
    for axes, split in zip(panels, cases.STRATA, strict=True):
        part = figure.data[figure.data["split"] == split]
        assert [list(map(float, points.get_ydata())) for points in axes.lines] == [
            part["rate_exposed"].tolist(), part["rate_comparator"].tolist(),
        ]  # fmt: skip
        assert len({points.get_marker() for points in axes.lines}) == 2, "not by colour alone"
        spans = [[tuple(segment[:, 1]) for segment in lines.get_segments()] for lines in axes.collections]
        assert spans[1] == list(zip(part["low_comparator"], part["high_comparator"], strict=True))
    shown = whole(figure)
    assert "Offered Not offered Admissions per 1,000 person-years" in shown
    assert "Calendar year Events Offered 118 142 95 Not offered 260 301 240" in shown
    assert "Lines: 95% confidence intervals. Adjustment: ATT weighting." in shown


def test_an_interval_that_leaves_the_picture_is_said_to() -> None:
    figure = changed(cases.rates(), {(2, "high_exposed"): 9_000.0})
    assert "One that leaves the picture is in the table." in whole(figure)
    assert axes_of(figure)[0].get_ylim()[1] < 1_000
    assert "leaves the picture" not in whole(cases.rates())


def test_a_rate_that_is_hidden_or_not_known_is_not_drawn() -> None:
    figure = changed(cases.rates(), {(1, "rate_exposed"): NAN, (1, "low_exposed"): NAN, (1, "high_exposed"): NAN})
    axes = axes_of(figure)[0]
    assert len(axes.collections[0].get_segments()) == 2 and len(axes.collections[1].get_segments()) == 3
    every = {(row, f"rate_{arm}"): NAN for row in range(6) for arm in ("exposed", "comparator")}
    gone = tuple((row, "events_exposed", "<11") for row in range(6))
    data = changed(cases.rates(), every).data
    assert "every rate rests on too few persons to show (<11)" in whole(Figure("rates", data, hidden=gone))


def test_many_years_are_named_as_far_as_they_fit() -> None:
    one = cases.rates().data.iloc[[0]]
    many = cases.pd.concat([one.assign(level=str(year)) for year in range(1990, 2024)], ignore_index=True)
    shown = texts(Figure("rates", many, {}), width=3.4)
    assert "1990" in shown and "1991" not in shown and "Exposed" in shown
