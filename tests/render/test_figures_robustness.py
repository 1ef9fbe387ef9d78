"""The specification curve stands in order with its choices below; tipping points lie on their line."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from clinops.render import figures
from clinops.results.disclosure import protect
from clinops.results.result import Column, Figure, Result
from tests.render.figures_support import changed, texts, whole
from tests.render.robustness_figures import ADJUSTMENTS, WINDOWS, curve, tipping


def test_estimates_rise_and_every_choice_has_its_mark_under_them() -> None:
    drawn = figures.draw(curve()).axes
    (points, main) = (line for line in drawn[0].lines if line.get_marker() in ("o", "D"))
    heights = points.get_ydata()
    assert list(heights) == sorted([-66.7, -792.0, -310.5, -55.0, 12.0, -120.0])
    assert list(main.get_ydata()) == [-792.0] and list(main.get_xdata()) == [1]
    # By hand: each row of choices marks the ranks of its two or three specifications.
    ranks = {-792.0: 1, -310.5: 2, -120.0: 3, -66.7: 4, -55.0: 5, 12.0: 6}
    rows = {name: [] for name in (*ADJUSTMENTS, *WINDOWS)}
    frame = curve().data
    for _, row in frame.iterrows():
        for name in (row["Adjustment"], row["Window"]):
            rows[name].append(ranks[row["estimate"]])
    below = [line for axes in drawn[1:] for line in axes.lines if len(line.get_xdata()) > 1]
    assert sorted(sorted(map(int, line.get_xdata())) for line in below) == sorted(sorted(v) for v in rows.values())


def test_it_says_how_many_there_are_and_what_was_main() -> None:
    said = whole(curve())
    assert "One of 6 specifications" in said and "The main analysis" in said
    assert all(name in said for name in ("ATT weighting", "Days 1 to 365", "Adjustment", "Window"))
    assert "The main analysis" not in whole(
        Figure("specification_curve", curve().data.assign(main=False), curve().options)
    )


def test_an_estimate_that_is_not_known_is_no_specification_of_the_picture() -> None:
    figure = changed(curve(), {(0, "estimate"): math.nan, (0, "low"): math.nan, (0, "high"): math.nan})
    assert "One of 5 specifications" in whole(figure)
    nothing = Figure("specification_curve", curve().data.assign(estimate=np.nan), curve().options)
    assert "Nothing to draw" in whole(nothing)


def test_a_hidden_estimate_is_not_drawn() -> None:
    small = curve()
    data = small.data.assign(n_exposed=[5, *[2_600] * 5])
    columns = (Column("Window", "Window"), Column("n_exposed", "Offered", "count"))
    kept = protect(Result("curve", "Curve", data, columns, figure=Figure(small.kind, data, small.options, small.counts,
                                                                        small.of)), 11)  # fmt: skip
    assert kept.figure is not None and "One of 5 specifications" in whole(kept.figure)


def test_the_axis_of_a_ratio_is_logarithmic_and_that_of_money_says_so() -> None:
    assert "\u2212$2,000" in texts(tipping())
    gap = np.linspace(0.02, 0.8, 40)
    frame = pd.DataFrame({"gap": gap, "estimate": 1 + 0.5 / gap, "limit": np.full(40, 1.0)})
    (axes,) = figures.draw(Figure("tipping", frame, {"null": 1.0, "unit": "ratio"})).axes
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] == pytest.approx(0.95)
    said = whole(Figure("tipping", frame, {"null": 1.0}))
    assert "The estimate is no effect" in said and "The interval holds no effect" not in said  # it holds it already


def test_the_lines_are_the_tipping_points() -> None:
    (axes,) = figures.draw(tipping()).axes
    whole_line, limit = (line for line in axes.lines if len(line.get_xdata()) == 80)
    at = int(np.argmin(np.abs(np.asarray(whole_line.get_xdata()) - 0.2)))
    x = float(whole_line.get_xdata()[at])
    assert whole_line.get_ydata()[at] == pytest.approx(-792 / x) and limit.get_ydata()[at] == pytest.approx(-192 / x)
    assert [tick.get_text() for tick in axes.get_xticklabels()][:2] == ["0%", "10%"]


def test_where_nothing_is_to_be_explained_the_figure_says_so() -> None:
    none = Figure("tipping", tipping().data.assign(estimate=0.0, limit=0.0), tipping().options)
    assert "none is needed" in whole(none)
    positive = Figure("tipping", tipping().data.assign(estimate=lambda f: -f["estimate"], limit=0.0), tipping().options)
    assert "$2,000" in texts(positive) and "\u2212$2,000" not in texts(positive)
