"""What holds for every kind of figure: it draws, repeats byte for byte, reads well, and hides what is hidden."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from matplotlib.text import Text

from clinops.errors import DefinitionError
from clinops.render import figures, style
from clinops.results.disclosure import protect
from clinops.results.result import Figure, Result
from tests.render import figures_support as cases
from tests.render.figures_support import BANNER, EVERY, changed, texts, whole

ROOT = Path(__file__).parent.parent.parent
LONG = "Persons with type 2 diabetes and a co-payment of more than $5 but < $10 (R&D site) before the index date"
every_kind = pytest.mark.parametrize("kind", sorted(figures.KINDS))
LABELS = {
    "flow": "rule", "design_diagram": "label", "love": "covariate", "forest": "label", "strip": "label",
    "survival": "arm", "cost_trend": "arm", "funnel_steps": "step", "cumulative_cost": "arm", "waterfall": "label",
    "budget": "year", "cost_calendar": "arm", "concentration": "arm", "acceptability": "arm",
    "cumulative_incidence": "arm", "mean_count": "arm", "transition_map": "from", "calendar_heat": "arm",
    "rates": "level", "control_chart": "rule", "funnel_plot": "label", "alluvial": "state", "swimmer": "what",
    "roll_out": "site", "panel_trend": "arm", "interrupted": "arm",
    "specification_curve": "Adjustment",
}  # fmt: skip


def test_every_kind_has_a_case() -> None:
    assert set(EVERY) == set(figures.KINDS)


@every_kind
def test_draws_with_its_banner(kind: str) -> None:
    drawn = figures.draw(EVERY[kind](), banner=BANNER)
    assert drawn.get_size_inches()[0] == style.WIDTHS["report"]
    assert BANNER in whole(EVERY[kind](), banner=BANNER)
    assert BANNER not in whole(EVERY[kind]())


@every_kind
def test_svg_and_png_repeat_byte_for_byte(kind: str) -> None:
    first, second = (figures.draw(EVERY[kind](), banner=BANNER) for _ in range(2))
    assert figures.svg(first) == figures.svg(second)
    assert figures.png(first, dpi=60) == figures.png(second, dpi=60)
    assert figures.pdf(first) == figures.pdf(second)
    assert figures.svg(first) == figures.svg(first), "saving must not change the figure"


SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from clinops.render import figures
from tests.render.figures_support import BANNER, EVERY
for kind in sorted(EVERY):
    drawn = figures.draw(EVERY[kind](), banner=BANNER)
    print(kind, hashlib.sha256(figures.svg(drawn) + figures.pdf(drawn)).hexdigest())
"""


def test_another_process_draws_the_same_bytes() -> None:
    env = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(ROOT)], env=env, capture_output=True, text=True, check=True, cwd=ROOT
    )
    made = {k: figures.draw(EVERY[k](), banner=BANNER) for k in EVERY}
    here = {k: hashlib.sha256(figures.svg(drawn) + figures.pdf(drawn)).hexdigest() for k, drawn in made.items()}
    assert dict(line.split() for line in done.stdout.splitlines()) == here


@every_kind
def test_svg_carries_no_date_and_nothing_of_the_machine(kind: str) -> None:
    drawn = figures.svg(figures.draw(EVERY[kind]())).decode()
    assert "date>" not in drawn
    assert "<dc:title>clinops</dc:title>" in drawn
    assert matplotlib.__version__ not in drawn
    png = figures.png(figures.draw(EVERY[kind]()), dpi=40)
    assert b"clinops" in png
    assert b"tIME" not in png


@every_kind
def test_pdf_carries_no_date_and_nothing_of_the_machine(kind: str) -> None:
    drawn = figures.pdf(figures.draw(EVERY[kind]()))
    assert drawn.startswith(b"%PDF-")
    assert b"/Creator (clinops)" in drawn
    assert b"CreationDate" not in drawn
    assert b"ModDate" not in drawn
    assert matplotlib.__version__.encode() not in drawn
    assert b"/Subtype /Type3" not in drawn, "fonts are embedded as outlines whose text can be selected"


@every_kind
@pytest.mark.parametrize("width", [style.WIDTHS["single"], style.WIDTHS["report"]])
@pytest.mark.parametrize("long", [False, True], ids=["usual", "long"])
def test_nothing_is_clipped_and_no_texts_meet(kind: str, width: float, long: bool) -> None:
    figure = EVERY[kind]()
    if long and kind in LABELS:
        column = LABELS[kind]
        figure = changed(figure, {(row, column): f"{LONG} {name}" for row, name in enumerate(figure.data[column])})
    drawn = figures.draw(figure, banner=BANNER, width=width)
    drawn.draw_without_rendering()
    page = drawn.bbox
    boxes = []
    for text in drawn.findobj(Text):
        if not text.get_visible() or not text.get_text().strip():
            continue
        assert text.get_fontsize() >= 7, text.get_text()
        box = text.get_window_extent()
        assert box.x0 >= page.x0 - 1, f"{text.get_text()!r} is cut on the left"
        assert box.x1 <= page.x1 + 1, f"{text.get_text()!r} is cut on the right"
        assert page.y0 - 1 <= box.y0 < box.y1 <= page.y1 + 1, f"{text.get_text()!r} is cut above or below"
        boxes.append((text.get_text(), box))
    assert boxes
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        # Descenders of one line may reach 0.03 inches into the box of the next.
        assert across < 1 or down < 3, f"{one!r} and {other!r} meet"


@pytest.mark.parametrize("kind", sorted(LABELS))
def test_labels_are_text_and_never_mathematics_or_markup(kind: str) -> None:
    label = "Cost <$5 & >$2 \\alpha $x_1$ {a}"
    figure = EVERY[kind]()
    names = figure.data[LABELS[kind]]
    figure = changed(figure, {(row, LABELS[kind]): label for row in range(len(names)) if names[row] == names[0]})
    assert label in whole(figure)
    assert f"Synthetic & <internal> {label}" in whole(figure, banner=f"Synthetic & <internal> {label}")


@every_kind
def test_every_kind_is_described_with_its_columns(kind: str) -> None:
    guide = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8")
    assert f"## {kind}\n" in guide
    section = guide.split(f"## {kind}\n")[1].split("\n## ")[0]
    assert [name for name in EVERY[kind]().data.columns if f"`{name}`" not in section] == []
    assert [name for name in EVERY[kind]().options if f"`{name}`" not in section] == []


def test_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(DefinitionError, match="survival") as caught:
        figures.draw(Figure("survivel", pd.DataFrame({"a": [1]})))
    assert "survivel" in str(caught.value)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"'love' needs the column\(s\) smd_after; its frame has covariate"):
        figures.draw(Figure("love", cases.love().data.drop(columns="smd_after")))


@pytest.mark.parametrize("width", [0.0, 2.9, 21.0, float("nan")])
def test_an_impossible_width_is_refused(width: float) -> None:
    with pytest.raises(DefinitionError, match="inches wide: give 3 to 20"):
        figures.draw(cases.love(), width=width)


@every_kind
def test_no_rows_say_so(kind: str) -> None:
    figure = EVERY[kind]()
    shown = whole(Figure(kind, figure.data.iloc[:0], figure.options), banner=BANNER)
    assert shown == f"{BANNER} Nothing to draw: {figures.KINDS[kind].empty}"


@every_kind
def test_one_row_draws(kind: str) -> None:
    figure = EVERY[kind]()
    one = Figure(kind, figure.data.iloc[[0]], figure.options)
    assert "Nothing to draw" not in whole(one)


ALL_MISSING = {
    "flow": "– Excluded: –", "design_diagram": "any day", "love": "undefined before and after",
    "overlap": "Bins whose share is not known are not drawn", "forest": "not estimable", "strip": "not estimable",
    "survival": "Nothing to draw: no risk is known.", "cost_trend": "Nothing to draw: no cost is known.",
    "funnel_steps": "–", "cumulative_cost": "Nothing to draw: no cost is known.",
    "waterfall": "Nothing to draw: no amount is known.", "budget": "Nothing to draw: no amount is known.",
    "ce_plane": "Nothing to draw: no draw and no estimate is known.",
    "cost_calendar": "Nothing to draw: no cost is known.",
    "concentration": "Nothing to draw: no share of cost is known.",
    "acceptability": "Nothing to draw: no probability is known.",
    "cumulative_incidence": "Nothing to draw: no risk is known.",
    "mean_count": "Nothing to draw: no mean count is known.", "rates": "Nothing to draw: no rate is known.",
    "transition_map": "Nothing to draw: no count is known.", "calendar_heat": "Nothing to draw: no count is known.",
    "control_chart": "Nothing to draw: no value is known.", "funnel_plot": "Nothing to draw: no unit's value is known.",
    "alluvial": "Nothing to draw: no state's count is known.", "swimmer": "Nothing to draw: no time is known.",
    "roll_out": "Never", "panel_trend": "Nothing to draw: no value is known.",
    "event_study": "Nothing to draw: no estimate is known.", "interrupted": "Nothing to draw: no value is known.",
    "specification_curve": "Nothing to draw: no estimate is known.",
    "tipping": "Nothing to draw: no association of a confounder explains the effect",
}  # fmt: skip


@every_kind
def test_numbers_that_are_all_missing_are_said_to_be(kind: str) -> None:
    shown = whole(cases.emptied(EVERY[kind]()))
    assert ALL_MISSING[kind].split(" Excl")[0] in shown
    assert "<11" not in shown, "a number that is not known is not a number that is hidden"
    assert "nan" not in shown.lower()


@every_kind
def test_a_frame_with_another_index_draws_the_same(kind: str) -> None:
    figure = EVERY[kind]()
    other = Figure(kind, figure.data.set_axis([7] * len(figure.data)), figure.options)
    assert figures.svg(figures.draw(other)) == figures.svg(figures.draw(figure))


def test_the_reader_s_settings_change_nothing_and_are_left_alone() -> None:
    usual = figures.svg(figures.draw(cases.forest()))
    with matplotlib.rc_context({"font.size": 23.0, "svg.hashsalt": None, "axes.grid": True, "text.parse_math": True}):
        assert figures.svg(figures.draw(cases.forest())) == usual
        assert matplotlib.rcParams["font.size"] == 23.0
        assert matplotlib.rcParams["axes.grid"]


def test_the_frame_is_not_changed() -> None:
    for make in EVERY.values():
        figure = make()
        before = figure.data.copy()
        figures.draw(figure)
        pd.testing.assert_frame_equal(figure.data, before)


def test_svg_text_is_paths_unless_asked_for() -> None:
    drawn = figures.draw(cases.love())
    assert b"<text" not in figures.svg(drawn)
    assert b"<!-- Charlson index -->" in figures.svg(drawn)
    assert b"<text" in figures.svg(drawn, editable=True)


# -- Disclosure --------------------------------------------------------------------------------------


def protected(figure: Figure) -> Figure:
    """Return the figure as it leaves, the smallest count shown being 11."""
    out = protect(Result("made_up", "Made up", pd.DataFrame({"what": ["a"]}), figure=figure), 11)
    assert out.figure is not None
    return out.figure


def numbers_in(figure: Figure) -> list[str]:
    """Return every number that stands in a text of the figure, thousands joined."""
    found = re.findall(r"\d[\d,]*(?:\.\d+)?", whole(figure))
    comments = re.findall(r"<!-- (.*?) -->", figures.svg(figures.draw(figure)).decode())
    return [n.replace(",", "") for n in (*found, *comments)]


HIDDEN = {
    "flow": (4, "excluded_persons", 9),
    "forest": (1, "events_exposed", 9),
    "survival": (8, "n_risk", 9),
    "cost_trend": (4, "persons", 9),
    "funnel_steps": (3, "persons", 9),
    "cumulative_cost": (2, "deaths", 9),
    "cost_calendar": (3, "persons", 9),
    "cumulative_incidence": (56, "n_risk", 9),
    "mean_count": (78, "n_risk", 9),
    "rates": (4, "events_comparator", 9),
    "transition_map": (9, "n", 9),
    "calendar_heat": (4, "n", 9),
    "control_chart": (6, "events", 9),
    "alluvial": (14, "n", 9),
    "interrupted": (0, "n", 9),
}


@pytest.mark.parametrize("kind", sorted(HIDDEN))
def test_a_small_count_prints_less_than_eleven_and_never_itself(kind: str) -> None:
    row, column, count = HIDDEN[kind]
    figure = changed(EVERY[kind](), {(row, column): count})
    assert str(count) in numbers_in(figure), "the test must be able to see the count where nothing is protected"
    safe = protected(figure)
    assert any(at == row and name == column for at, name, _ in safe.hidden)
    assert "<11" in whole(safe)
    assert str(count) not in numbers_in(safe)


@pytest.mark.parametrize("kind", sorted(HIDDEN))
def test_zero_is_shown(kind: str) -> None:
    row, column, _ = HIDDEN[kind]
    assert "<11" not in whole(protected(changed(EVERY[kind](), {(row, column): 0})))


def test_each_hidden_count_prints_its_own_text() -> None:
    figure = cases.funnel()
    data = figure.data.astype({"persons": float})
    data.loc[[1, 3], "persons"] = float("nan")
    hidden = Figure("funnel_steps", data, figure.options, hidden=((1, "persons", "hidden"), (3, "persons", "<6")))
    cells = texts(hidden)
    assert "hidden" in cells
    assert "<6" in cells
    assert "<11" not in cells


def test_a_hidden_estimate_is_not_called_inestimable() -> None:
    figure = changed(cases.forest(), {(2, "estimate"): cases.NAN, (2, "low"): cases.NAN, (2, "high"): cases.NAN})
    hidden = Figure(figure.kind, figure.data, figure.options, hidden=((2, "estimate", "hidden"),))
    cells = texts(hidden)
    assert cells.count("not shown") == 1
    assert cells.count("not estimable") == 1


def test_bins_without_enough_persons_are_said_to_be_missing() -> None:
    figure = cases.overlap()
    of = {f"{part}_{arm}": (f"n_{arm}",) for arm in ("exposed", "comparator") for part in ("share", "weighted")}
    figure = Figure("overlap", changed(figure, {(3, "n_exposed"): 4.0}).data, figure.options, figure.counts, of)
    assert "Bins with too few persons in an arm to show (<11" in whole(protected(figure))


def test_a_figure_hidden_whole_says_why() -> None:
    data = cases.survival().data
    gone = tuple((row, "n_risk", "<11") for row in range(len(data)))
    data = data.assign(risk=cases.NAN, low=cases.NAN, high=cases.NAN, n_risk=cases.NAN)
    assert "rests on too few persons to show (<11)" in whole(Figure("survival", data, hidden=gone))
