"""Figures of panels: marks where the numbers are, what is hollow and filled, lines that stop where nothing is."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import LineCollection

from clinops.render import figures
from clinops.results.result import Figure
from tests.render.figures_support import changed, texts, whole
from tests.render.panel_figures import NAN, START, effects, means, one_series, starts


def test_sites_stand_by_their_start_and_bars_change_there() -> None:
    figure = starts()
    turned = Figure(figure.kind, figure.data.iloc[::-1].reset_index(drop=True), figure.options)
    axes = figures.draw(turned).axes[0]
    before = [bar.get_width() for bar in axes.patches[::2]]
    after = [bar.get_width() for bar in axes.patches[1::2]]
    assert before == [4, 4, 6, 9, 12, 12] and after == [8, 8, 6, 3, 0, 0]
    shown = texts(turned)
    assert shown.index("Clinic 2") < shown.index("Clinic 3") < shown.index("Clinic 4") < shown.index("Clinic 6")
    assert shown.count("Never") == 2 and "2021 Q3" in shown


def test_many_sites_are_drawn_without_names() -> None:
    data = starts().data
    many = data.iloc[np.arange(200) % 6].assign(site=[f"Clinic {i}" for i in range(200)])
    figure = Figure("roll_out", many, starts().options)
    assert not any(text.startswith("Clinic") for text in texts(figure)) and "Never" not in texts(figure)
    assert len(figures.draw(figure).axes[0].patches) == 400


def test_means_are_hollow_before_the_start_and_filled_after() -> None:
    axes = figures.draw(means()).axes[0]
    lines, hollow, filled = axes.lines[0::3], axes.lines[1::3], axes.lines[2::3]
    assert [len(line.get_xdata()) for line in hollow] == [4, 6, 12]
    assert [len(line.get_xdata()) for line in filled] == [8, 6, 0]
    assert all(line.get_markerfacecolor() == "white" for line in hollow)
    assert lines[0].get_ydata().tolist() == means().data["value"].iloc[:12].tolist()
    gone = changed(means(), {(3, "value"): NAN, (3, "events"): NAN})
    hidden = Figure(gone.kind, gone.data, gone.options, hidden=((3, "value", "hidden"), (3, "events", "<11")))
    assert "Means that rest on too few are not drawn (<11 or hidden)." in whole(hidden)


def test_effects_stand_on_their_time_with_both_intervals() -> None:
    figure = effects()
    axes = figures.draw(figure).axes[0]
    points = {marker: line for line in axes.lines if (marker := line.get_marker()) in ("o", "s")}
    assert points["s"].get_xdata().tolist() == [-5, -4, -3, -2, -1] and points["o"].get_xdata().tolist() == list(
        range(7)
    )
    assert points["s"].get_markerfacecolor() == "white"
    bars = [one.get_segments() for one in axes.collections if isinstance(one, LineCollection)]
    data = figure.data[figure.data["since"] >= 0]
    ends = [[(x, low), (x, high)] for x, low, high in zip(data["since"], data["low"], data["high"], strict=True)]
    assert np.allclose(np.array(bars[3]), np.array(ends))
    low, high = axes.get_ylim()
    assert low < data["band_low"].min() and high > 0
    assert texts(figure).count("18") == 12 and "Thin: 95% band" in whole(figure)
    bare = Figure(figure.kind, figure.data.drop(columns=["band_low", "band_high", "sites"]), figure.options)
    assert "Thin:" not in whole(bare) and "Behind each estimate" not in whole(bare)


def test_the_fitted_line_breaks_where_periods_are_left_out() -> None:
    figure = one_series()
    left = figure.data[~((figure.data["kind"] != "observed") & figure.data["period"].isin(["2021-09", "2021-10"]))]
    axes = figures.draw(Figure(figure.kind, left, figure.options)).axes[0]
    solid = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "None"]
    assert [len(line.get_xdata()) for line in solid] == [20, 14] and solid[1].get_xdata()[0] == START + 2
    dashed = [line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata()) > 2]
    assert dashed[0].get_xdata().tolist() == list(range(START + 2, 36))
    assert axes.patches[0].get_x() == START - 0.5 and axes.patches[0].get_width() == 2
    assert "Dashed line: start of the programme, 2021-09. Grey: phase-in, left out." in whole(figure)
    plain = Figure(figure.kind, figure.data, {"ylabel": "Rate"})
    assert "Dashed line" not in whole(plain) and not figures.draw(plain).axes[0].patches


def test_money_and_shares_have_their_signs() -> None:
    assert any(text.startswith("$") for text in texts(means(currency="USD")))
    share = means(percent=True)
    data = share.data.assign(value=share.data["value"] / 1000)
    assert any(text.endswith("%") for text in texts(Figure(share.kind, data, share.options)))
