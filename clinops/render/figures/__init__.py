"""Figures: one drawing function a kind, one house style, vector and raster output that repeats byte for byte.

`draw` turns the instructions of a result (`clinops.results.result.Figure`) into a matplotlib figure, `svg`, `png` and
`pdf` into bytes. Each kind, with the columns and options it takes, is described in `docs/figures.md`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import matplotlib

from clinops.errors import DefinitionError, unknown
from clinops.render import style
from clinops.render.figures import (
    balance,
    bars,
    decision,
    flow,
    heat,
    incidence,
    intervals,
    journey,
    money,
    monitoring,
    panels,
    rates,
    robustness,
    timeline,
    trends,
)
from clinops.render.figures.sheet import Sheet
from clinops.render.figures.values import marked

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawing

    from clinops.results.result import Figure

NARROWEST, WIDEST = 3.0, 20.0


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes
    ----------
    draw : draws on a sheet.
    needs : columns the frame must have.
    empty : why there is nothing to draw when the frame has no rows.
    """

    draw: Callable[[Sheet, pd.DataFrame, Mapping[str, Any]], None]
    needs: tuple[str, ...]
    empty: str


_INTERVAL = ("label", "estimate", "low", "high")
KINDS: dict[str, Kind] = {
    "flow": Kind(flow.flow, ("arm", "rule", "persons"), "there is no arm with a step."),
    "design_diagram": Kind(timeline.design_diagram, ("label", "start", "end", "role"), "the design has no window."),
    "love": Kind(balance.love, ("covariate", "smd_before", "smd_after"), "there is no covariate to compare."),
    "overlap": Kind(
        balance.overlap,
        ("low", "high", "share_exposed", "share_comparator", "weighted_exposed", "weighted_comparator"),
        "there is no propensity score.",
    ),
    "forest": Kind(intervals.forest, _INTERVAL, "there is no estimate."),
    "strip": Kind(intervals.strip, _INTERVAL, "there is no estimate."),
    "survival": Kind(trends.survival, ("arm", "kind", "time", "risk", "n_risk"), "nobody was followed."),
    "cumulative_incidence": Kind(
        incidence.cumulative_incidence, ("arm", "kind", "time", "risk", "n_risk"), "nobody was followed."
    ),
    "mean_count": Kind(incidence.mean_count, ("arm", "kind", "time", "mean", "n_risk"), "nobody was followed."),
    "rates": Kind(rates.rates, ("split", "level", "rate_exposed", "rate_comparator"), "there is no stratum."),
    "cost_trend": Kind(trends.cost_trend, ("arm", "month", "pmpm"), "there is no month with cost."),
    "cumulative_cost": Kind(money.cumulative_cost, ("arm", "month", "cost"), "there is no month with cost."),
    "cost_calendar": Kind(money.cost_calendar, ("month", "pmpm"), "there is no month with cost."),
    "concentration": Kind(money.concentration, ("share_persons", "share_cost"), "there is no person with cost."),
    "acceptability": Kind(decision.acceptability, ("threshold", "probability"), "there is no threshold."),
    "waterfall": Kind(bars.waterfall, ("label", "value", "kind"), "there is no part of a difference."),
    "ce_plane": Kind(decision.ce_plane, ("effect", "cost", "kind"), "there is no draw and no estimate."),
    "budget": Kind(bars.budget, ("year", "gross", "fee", "net"), "there is no year."),
    "transition_map": Kind(heat.transition_map, ("from", "to", "n"), "there is no transition."),
    "calendar_heat": Kind(heat.calendar_heat, ("date", "n"), "there is no date."),
    "control_chart": Kind(
        monitoring.control_chart, ("period", "value", "centre", "low", "high"), "there is no period."
    ),
    "funnel_plot": Kind(
        monitoring.funnel_plot, ("label", "n", "value", "low_95", "high_95", "low_998", "high_998"), "there is no unit."
    ),
    "alluvial": Kind(journey.alluvial, ("step", "state", "to", "n"), "there is no state."),
    "swimmer": Kind(journey.swimmer, ("lane", "kind", "start", "end", "what"), "there is no person."),
    "roll_out": Kind(panels.roll_out, ("site", "start"), "there is no site."),
    "panel_trend": Kind(panels.panel_trend, ("arm", "period", "value"), "there is no period."),
    "event_study": Kind(panels.event_study, ("since", "estimate", "low", "high"), "there is no estimate."),
    "interrupted": Kind(panels.interrupted, ("arm", "kind", "period", "value"), "there is no period."),
    "funnel_steps": Kind(flow.funnel_steps, ("step", "persons"), "there is no step."),
    "specification_curve": Kind(
        robustness.specification_curve, ("estimate", "low", "high"), "there is no specification."
    ),
    "tipping": Kind(robustness.tipping, ("gap", "estimate", "limit"), "there is no effect to explain."),
}


def draw(figure: Figure, *, banner: str | None = "", width: float | None = None) -> Drawing:
    """Draw a figure.

    Parameters
    ----------
    figure : its kind, its frame (one row a mark) and its options.
    banner : printed small at the top, such as "Synthetic data: no clinical meaning".
    width : inches, see `clinops.render.style.WIDTHS`; the width of a report's page where None. The height
        follows from the content.

    Returns
    -------
    A matplotlib figure with a canvas of its own, unknown to pyplot. Save it with `svg` or `png`.

    Raises
    ------
    DefinitionError
        A kind that does not exist, a column the kind needs and the frame lacks, or an impossible width.
    """
    if figure.kind not in KINDS:
        raise DefinitionError(unknown("kind of figure", figure.kind, KINDS))
    kind = KINDS[figure.kind]
    absent = [name for name in kind.needs if name not in figure.data.columns]
    if absent:
        raise DefinitionError(
            f"A figure of kind {figure.kind!r} needs the column(s) {', '.join(absent)}; "
            f"its frame has {', '.join(map(str, figure.data.columns)) or 'none'}. Add or rename the column(s)."
        )
    inches = style.WIDTHS["report"] if width is None else float(width)
    if not NARROWEST <= inches <= WIDEST:
        raise DefinitionError(
            f"A figure cannot be {inches:g} inches wide: give {NARROWEST:g} to {WIDEST:g}, "
            f"such as {style.WIDTHS['single']:g} (one column) or {style.WIDTHS['double']:g} (two)."
        )
    with _house_style():
        sheet = Sheet(inches, " ".join((banner or "").split()))
        if figure.data.empty:
            sheet.nothing(kind.empty)
        else:
            kind.draw(sheet, marked(figure.data.reset_index(drop=True), figure.hidden), figure.options)
        return sheet.finish()


def svg(fig: Drawing, *, editable: bool = False) -> bytes:
    """Return a figure as SVG, the same bytes every time.

    Parameters
    ----------
    fig : from `draw`.
    editable : keep text as text, as some journals ask; it then looks as the reader's fonts have it. By default
        it is drawn as paths, the same on every machine, with the words in comments.
    """
    out = io.BytesIO()
    with _house_style():
        matplotlib.rcParams["svg.fonttype"] = "none" if editable else "path"
        fig.savefig(out, format="svg", metadata={"Date": None, "Creator": "clinops"})
    return out.getvalue()


def png(fig: Drawing, dpi: float = style.DPI) -> bytes:
    """Return a figure as PNG, the same bytes every time on one machine."""
    out = io.BytesIO()
    with _house_style():
        fig.savefig(out, format="png", dpi=dpi, metadata={"Software": "clinops"})
    return out.getvalue()


def pdf(fig: Drawing) -> bytes:
    """Return a figure as PDF, the same bytes every time: vector, its text kept as text, no date in it."""
    out = io.BytesIO()
    with _house_style():
        fig.savefig(out, format="pdf", metadata={"Creator": "clinops", "Producer": None, "CreationDate": None})
    return out.getvalue()


@contextmanager
def _house_style() -> Iterator[None]:
    """Set the style over matplotlib's own defaults, whatever the reader's settings; all as before afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, style.rc_params()))
        yield


__all__ = ["KINDS", "Kind", "draw", "pdf", "png", "svg"]
