"""Figures of journeys: flows between states, and the lanes of simulated persons."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.patches import PathPatch, Rectangle

from clinops.errors import DataError, DefinitionError
from clinops.render import figures
from clinops.render.figures.journey import BAR, WHOLE
from clinops.results.disclosure import protect
from clinops.results.result import Figure, Result
from tests.render import outcome_figures as cases
from tests.render.figures_support import changed, texts, whole
from tests.render.outcome_figures import NAN


def safe(figure: Figure) -> Figure:
    out = protect(Result("journey", "Journey", pd.DataFrame({"what": ["a"]}), figure=figure), 11)
    assert out.figure is not None
    return out.figure


def bars(figure: Figure, **options: float) -> list[Rectangle]:
    """Return the bars of the states."""
    found = figures.draw(figure, **options).findobj(Rectangle)
    return [p for p in found if p.get_width() == pytest.approx(BAR)]


def ribbons(figure: Figure) -> list[PathPatch]:
    return figures.draw(figure).findobj(PathPatch)


def journey(*rows: tuple[str, str, str, float], **options: float) -> Figure:
    frame = cases.frame_of("step state to n", *rows).assign(n_arm=rows[0][3])
    return Figure("alluvial", frame, options, ("n", "n_arm"))


TINY = (("1", "A", "", 100), ("1", "A", "B", 70), ("1", "A", "C", 30), ("2", "B", "", 70), ("2", "C", "", 30))


# -- Alluvial ----------------------------------------------------------------------------------------


def test_bars_are_as_high_as_their_share_of_the_arm() -> None:
    assert [p.get_height() for p in bars(journey(*TINY))] == pytest.approx([WHOLE, 0.7 * WHOLE, 0.3 * WHOLE])
    assert {"A", "100 (100.0%)", "B", "70 (70.0%)", "C", "30 (30.0%)"} <= set(texts(journey(*TINY)))


def test_ribbons_are_as_thick_as_their_flow_at_both_ends_and_fill_their_state() -> None:
    first, second = ribbons(journey(*TINY))
    ends = []
    for ribbon, n in ((first, 70), (second, 30)):
        ys = ribbon.get_path().vertices[:, 1]
        assert ys[7] - ys[0] == pytest.approx(n / 100 * WHOLE)
        assert ys[4] - ys[3] == pytest.approx(n / 100 * WHOLE)
        ends.append((ys[0], ys[7]))
    assert ends[0][1] == pytest.approx(ends[1][0]), "the flows out of a state follow one another"


def test_every_state_has_its_count_and_share_in_both_arms() -> None:
    figure = cases.journeys(least=0.0)
    shown = whole(figure)
    for row in figure.data[figure.data["to"] == ""].itertuples():
        assert f"{row.n:,} ({100 * row.n / row.n_arm:.1f}%)" in shown
    assert {"Offered (n = 26,160)", "Not offered (n = 53,300)", *cases.STEPS} <= set(texts(figure))


def test_small_states_are_merged_and_named() -> None:
    figure = cases.journeys()
    shown = texts(figure)
    assert "Hospice" not in shown
    assert "Other, each below 2% at every step: Hospice, Other hospital." in whole(figure)
    data = figure.data
    small = data[(data["to"] == "") & data["state"].isin(["Hospice", "Other hospital"])]
    merged = small.groupby(["arm", "step"], sort=False)["n"].sum()
    for n in merged:
        assert any(text.startswith(f"{n:,} (") for text in shown)


def test_a_single_small_state_is_not_merged_with_itself() -> None:
    rows = (("1", "A", "", 1_000), ("2", "B", "", 990), ("2", "C", "", 10))
    assert "C" in texts(journey(*rows))


def test_hidden_states_and_flows_cannot_be_worked_out() -> None:
    rows = (("1", "A", "", 108), ("1", "A", "B", 60), ("1", "A", "C", 8), ("1", "A", "D", 40),
            ("2", "B", "", 60), ("2", "C", "", 8), ("2", "D", "", 40))  # fmt: skip
    out = safe(journey(*rows))
    gone = {row: text for row, column, text in out.hidden if column == "n"}
    assert (gone[2], gone[5]) == ("<11", "<11")
    assert gone[3] == gone[6] == "hidden", "with C alone hidden, it would be 108 - 60 - 40"
    assert set(gone) == {2, 3, 5, 6}
    shown = texts(out)
    assert {"<11", "hidden"} <= set(shown)
    assert not {"8 (7.4%)", "40 (37.0%)"} & set(shown)
    assert len(ribbons(out)) == 1
    assert sum(bool(p.get_hatch()) for p in bars(out)) == 2


def test_a_flow_is_hidden_with_what_flows_into_its_state() -> None:
    rows = (("1", "A", "", 100), ("1", "B", "", 80), ("1", "A", "C", 93), ("1", "A", "D", 7), ("1", "B", "C", 30),
            ("1", "B", "D", 50), ("2", "C", "", 123), ("2", "D", "", 57))  # fmt: skip
    figure = journey(*rows)
    out = safe(Figure("alluvial", figure.data.assign(n_arm=180), {}, ("n", "n_arm")))
    gone = {row for row, column, _ in out.hidden if column == "n"}
    assert 3 in gone
    assert gone & {2, 0}, "100 - 93 gives 7 away"
    assert gone & {5, 7}, "57 - 50 gives 7 away"


def test_counts_hidden_before_they_came_here_print_what_they_are_said_to() -> None:
    rows = (*TINY[:3], ("2", "B", "", 70), ("2", "C", "", NAN))
    assert "\u2013" in texts(journey(*rows))
    assert "A state or flow whose count is not known has no width of its own." in whole(journey(*rows))
    said = whole(journey(*rows, missing="hidden"))
    assert "C hidden" in said
    assert "States and flows of too few persons to show (hidden)" in said


def test_names_that_do_not_fit_beside_the_bars_go_by_number() -> None:
    shown = texts(cases.journeys(), width=3.4)
    assert {"2 Rehabilitation", "6 Other"} <= set(shown)
    assert "Rehabilitation" in texts(cases.journeys())


def test_arms_stand_side_by_side_where_their_labels_fit() -> None:
    beside, below = (figures.draw(cases.journeys(k)).get_size_inches()[1] for k in (3, 4))
    assert beside < 0.65 * below


def test_flows_to_a_state_that_is_not_there_are_not_drawn() -> None:
    assert len(ribbons(journey(*TINY[:-1]))) == 1
    assert len(ribbons(journey(*TINY[:3]))) == 0


def test_more_persons_at_a_step_than_in_the_arm_are_refused() -> None:
    twice = (*TINY, ("2", "D", "", 12))
    with pytest.raises(DataError, match="the step '2' add up to 112, more than the 100 persons"):
        figures.draw(journey(*twice))
    with pytest.raises(DataError, match="counts persons: 'n' is -3"):
        figures.draw(journey(*TINY, ("2", "D", "", -3)))


# -- Swimmer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [None, False, "yes", 1])
def test_lanes_are_drawn_for_simulated_records_only(said: object) -> None:
    with pytest.raises(DefinitionError, match="for simulated records only") as caught:
        figures.draw(cases.lanes(synthetic=said))
    assert "alluvial" in str(caught.value)


def test_what_names_a_person_is_never_printed() -> None:
    drawn = figures.svg(figures.draw(cases.lanes()), editable=True).decode()
    assert "MRN" not in drawn
    assert {"1", "9", "10", "18"} <= set(texts(cases.lanes()))
    assert "Simulated persons; a lane each, numbered in the order drawn." in whole(cases.lanes())


def test_spans_and_events_stand_at_their_times() -> None:
    frame = cases.frame_of(
        "lane kind start end what",
        ("a", "span", 0.0, 30.0, "hospital"), ("a", "event", 12.0, NAN, "fall"), ("a", "ongoing", 30.0, NAN, ""),
        ("b", "span", 5.0, 20.0, "hospital"), ("b", "event", 20.0, NAN, "death"),
    )  # fmt: skip
    axes = figures.draw(Figure("swimmer", frame, {"synthetic": True})).axes[0]
    assert [(p.get_x(), p.get_width()) for p in axes.patches] == [(0, 30), (5, 15)]
    marked = [(float(m.get_xdata()[0]), float(m.get_ydata()[0]), m.get_marker()) for m in axes.lines]
    assert marked == [(12, 0, "D"), (30, 0, ">"), (20, 1, "o")]
    with pytest.raises(DataError, match="kind of a row of a swimmer plot"):
        figures.draw(changed(Figure("swimmer", frame, {"synthetic": True}), {(0, "kind"): "bar"}))


def test_no_more_than_sixty_lanes_are_drawn() -> None:
    frame = cases.frame_of("lane kind start end what", *((i, "span", 0.0, 9.0 + i, "home") for i in range(75)))
    figure = Figure("swimmer", frame, {"synthetic": True})
    assert len(figures.draw(figure).axes[0].patches) == 60
    assert "The first 60 of 75 persons." in whole(figure)
