"""A roll-out whose order was drawn by lot, as the stepped-wedge trial that it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.panels.lines import ALL, MOST_PERIODS, Line, sizes
from clinops.analyse.panels.rolled import LEVEL, Floats, Rolled
from clinops.analyse.panels.rollout_exhibits import ALIKE, p_text
from clinops.define.panel import PERSON
from clinops.results.result import Column, Result, absent
from clinops.results.suppress import HIDDEN
from clinops.stats.mixed import mixed_model
from clinops.stats.roll_out import roll_out_test
from clinops.stats.stepped_wedge import stepped_wedge, wedge_rows
from clinops.stats.wedge_power import wedge_power

if TYPE_CHECKING:
    from clinops.stats.roll_out import RollOutTest
    from clinops.stats.stepped_wedge import SteppedWedge

NAME, TITLE = "rollout_wedge", "As a stepped-wedge trial"
CONSTANT, SINCE, SUITS, SEES = (
    "One effect for all times", "Effect by time since the start", "Does one effect suit?", "What the design sees",
)  # fmt: skip
MODEL = "Fixed effects of sites and periods"
DRAWS = 1999
ALPHA = 0.05
FEW = 6
"""Sites below which errors by theory hardly hold."""
CHOSEN = (
    "the plan says that the order of the starts was chosen. A stepped-wedge trial is one whose order was drawn by lot: "
    "only then could any site have started when any other did. Where it was, say so in the plan: order='random'."
)


@dataclass(frozen=True, eq=False)
class Wedge:
    """What a stepped-wedge trial gives, of G sites in T periods.

    Attributes
    ----------
    constant, by_time : one effect for all times, and one for each time since the start. orders : its permutation test.
    icc : share of the variance of a site's value in a period that lies between sites, beside periods and programme.
    detectable : the effect that a design with such variances finds with power 0.8; NaN where nothing is left to chance.
    sites : (times,) sites seen at each time since the start. steps : periods in which sites start.
    never, aside : sites that never start, and those left out because they started before the first period.
    """

    constant: SteppedWedge
    by_time: SteppedWedge
    orders: RollOutTest
    icc: float
    detectable: float
    sites: Floats
    steps: int
    never: int
    aside: int

    @property
    def grows(self) -> bool | None:
        """Whether the effect changes with time since the start; None where that is not known."""
        return self.constant.trend_p < ALPHA if np.isfinite(self.constant.trend_p) else None


def impossible(rolled: Rolled) -> str:
    """Why there is no stepped-wedge trial in these records; "" if there is one."""
    rows, _ = _rows(rolled)
    first, clusters = rows["first_treated"], len(np.unique(rows["unit"]))
    if clusters < 3:
        return f"{clusters} {rolled.plan.unit}(s) cannot tell a programme from sites and calendar periods; 3 can."
    if len(np.unique(first)) < 2:
        return "every site starts in the same period, so the programme cannot be told from calendar time."
    if np.ptp(rows["y"]) == 0:
        return f"the outcome is {rows['y'][0]:g} at every site in every period."
    return ""


def fit(rolled: Rolled) -> Wedge:
    """Fit what a stepped-wedge trial gives; `impossible` says when it cannot be."""
    rows, aside = _rows(rolled)
    given = {"y": rows["y"], "cluster": rows["unit"], "period": rows["time"], "first_treated": rows["first_treated"]}
    checked = wedge_rows(**given)
    orders = roll_out_test(**given, seed=rolled.plan.seed, draws=DRAWS, conf_level=LEVEL)
    by_time = stepped_wedge(**given, effect="by time since", conf_level=LEVEL)
    icc, detectable = _variances(checked)
    return Wedge(
        stepped_wedge(**given, conf_level=LEVEL), by_time, orders, icc, detectable,
        np.array([float((checked.since == time).sum()) for time in by_time.exposure_time]),
        len(np.unique(checked.first[np.isfinite(checked.first)])), int(np.isinf(checked.first).sum()), aside,
    )  # fmt: skip


def _rows(rolled: Rolled) -> tuple[dict[str, Any], int]:
    """Rows without sites that are under the programme from the first period on: no lot of these periods put them so."""
    rows = rolled.rows()
    drawn = rows["first_treated"] > 0
    return {name: value[drawn] for name, value in rows.items()}, len(np.unique(rows["unit"][~drawn]))


def _variances(rows: Any) -> tuple[float, float]:
    """Return the intra-cluster correlation of cells, and the effect that such a design finds with power 0.8."""
    periods = (rows.period[:, None] == np.arange(1, rows.n_periods)).astype(float)
    model = mixed_model(np.column_stack([np.ones(len(rows.y)), periods, rows.on]), rows.y, rows.cluster)
    spread = float(np.hypot(model.sd_intercept, model.sigma))
    if not (np.isfinite(model.icc) and 0 <= model.icc < 1 and spread > 0):
        return float(model.icc), np.nan
    design = np.full((rows.n_clusters, rows.n_periods), np.nan)
    design[rows.cluster, rows.period] = rows.on
    # A cell is one observation here: its variance is known from the cells, that of persons within it is not.
    found = wedge_power(design, 0.0, per_cell=1, sd=spread, icc=float(model.icc), alpha=ALPHA)
    return float(model.icc), found.detectable


def wedge(rolled: Rolled, min_cell: int) -> Result:
    """The exhibit; a sentence in its place where the order was chosen or the records cannot give it."""
    import pandas as pd

    if rolled.plan.order != "random":
        return absent(NAME, TITLE, CHOSEN, why="not shown")
    if why := impossible(rolled):
        return absent(NAME, TITLE, why)
    found, judged = rolled.wedge, not _few(rolled, np.nan, min_cell)
    rows = [*_constant_rows(rolled, found), *_since_rows(rolled, found, judged), *_seen_rows(rolled, found)]
    frame = pd.DataFrame(rows, columns=["part", "label", "estimate", "low", "high", "p", "unit", "format", "since"])
    hidden = []
    for i, (part, since) in enumerate(zip(frame["part"], frame["since"], strict=True)):
        if part != SEES and _few(rolled, since, min_cell):
            hidden += [(i, column, HIDDEN) for column in ("estimate", "low", "high", "p")]
            frame.loc[i, ["estimate", "low", "high", "p"]] = np.nan
    columns = (
        Column("label", ""),
        Column("estimate", "Value", "number2", unit=rolled.currency, format_by="format", of=()),
        *(Column(end, label, "number2", unit=rolled.currency, spanner="95% CI", format_by="format", of=(), missing="–")
          for end, label in (("low", "From"), ("high", "To"))),
        Column("p", "P", "p", of=(), missing="–"), Column("unit", "Unit"),
    )  # fmt: skip
    said = sentence(rolled, found) if judged else "The effect rests on counts too small to be shown."
    return Result(
        NAME, TITLE, frame.drop(columns="since"), columns, tuple(_notes(rolled, found)), said, group_by="part",
        hidden=tuple(hidden), label_column="label",
    )  # fmt: skip


Row = tuple[str, str, float, float, float, float, str, str, float]


def _constant_rows(rolled: Rolled, found: Wedge) -> list[Row]:
    one, orders = found.constant, found.orders
    unit, how = _unit(rolled), _format(rolled)
    kind = f"all {orders.n_orders:,}" if orders.exact else f"{orders.n_orders:,} drawn at random"
    return [
        (CONSTANT, f"{MODEL}; CR2, t with {one.df[0]:.1f} degrees of freedom", float(one.estimate[0]),
         float(one.conf_low[0]), float(one.conf_high[0]), float(one.p_value[0]), unit, how, np.nan),
        (CONSTANT, f"The same, by orders that could have been drawn ({kind})", orders.estimate, orders.conf_low,
         orders.conf_high, orders.p_value, unit, how, np.nan),
    ]  # fmt: skip


def _since_rows(rolled: Rolled, found: Wedge, judged: bool) -> list[Row]:
    by, unit, how, every = found.by_time, _unit(rolled), _format(rolled), rolled.plan.every
    rows: list[Row] = [
        (SINCE, f"{int(time)} {every}{'' if time == 1 else 's'} ({found.sites[i]:.0f} sites)", float(by.estimate[i]),
         float(by.conf_low[i]), float(by.conf_high[i]), float(by.p_value[i]), unit, how, float(time))
        for i, time in enumerate(by.exposure_time[:MOST_PERIODS])
    ]  # fmt: skip
    rows.append((SINCE, f"Mean of all {len(by.exposure_time)} times, each alike", by.average, by.average_conf_low,
                 by.average_conf_high, by.average_p_value, unit, how, np.nan))  # fmt: skip
    flag = {True: "✗ one effect does not suit", False: "✓ nothing speaks against it", None: "○ not judged"}[
        found.grows if judged else None
    ]  # fmt: skip
    one = found.constant
    rows.append((SUITS, f"Change of the effect with each further {every}: {flag}", one.trend,
                 one.trend_conf_low, one.trend_conf_high, one.trend_p, f"{unit}, a {every}", how, np.nan))  # fmt: skip
    return rows


def _seen_rows(rolled: Rolled, found: Wedge) -> list[Row]:
    none = (np.nan, np.nan, np.nan)
    size = [
        ("Sites", float(found.constant.n_clusters), "sites"), ("Sites that never start", float(found.never), "sites"),
        ("Calendar periods", float(found.constant.n_periods), f"{rolled.plan.every}s"),
        ("Calendar periods with a start", float(found.steps), f"{rolled.plan.every}s"),
    ]  # fmt: skip
    return [
        *((SEES, label, value, *none, unit, "number0", np.nan) for label, value, unit in size),
        (SEES, "Intra-cluster correlation of a site's values in different periods", found.icc, *none,
         "share of variance", "number3", np.nan),
        (SEES, "Smallest effect seen with 80% power", found.detectable, *none, _unit(rolled), _format(rolled), np.nan),
    ]  # fmt: skip


def _few(rolled: Rolled, since: float, min_cell: int) -> bool:
    """Whether so few persons or events lie under the programme, at one time since the start or at all, as to hide."""
    cells = rolled.treated
    if np.isfinite(since):
        cells = cells[cells["period"] - cells["first"] == since]
    behind = sizes(rolled, cells)
    return any(0 < behind.get(name, 0) < min_cell for name in ("n_exposed", "events_exposed"))


def _notes(rolled: Rolled, found: Wedge) -> list[str]:
    plan, later = rolled.plan, len(found.by_time.exposure_time) - MOST_PERIODS
    never = f" The {found.never} sites that never start count as drawn to start after the end." if found.never else ""
    notes = [
        f"Values: {plan.rate}. Every model has a level of each site and of each calendar {plan.every}, so that no "
        f"trend over time counts as the effect. {ALIKE}",
        f"Orders: the starts exchanged between sites.{never} The interval holds the effects that this test keeps; it "
        "assumes one effect for all times, and the lot as it was drawn.",
        "Where effects grow or fade, one effect for all times is no average of them and may have the wrong sign (Kenny "
        "and others 2022): read the effect by time since the start.",
        "Correlation and power: of sites' values by period, not of persons; a random intercept of the site beside "
        f"period and programme (Hussey and Hughes 2007), test at 5 %, t (df {found.constant.n_clusters - 2}). It says "
        "what this design can see, whatever it saw.",
    ]  # fmt: skip
    if (found.sites < FEW).any():
        notes.append(f"Of times since the start that fewer than {FEW} sites have, intervals by theory are unsure.")
    if later > 0:
        notes.append(f"{later} later times since the start are in the results.")
    if found.aside:
        notes.append(f"{found.aside} site(s) under the programme from the first period on are left out.")
    return [*notes, *filter(None, dict.fromkeys([found.by_time.note, found.orders.note]))]


def sentence(rolled: Rolled, found: Wedge) -> str:
    """The effect in words: the mean by time since the start where one effect does not suit."""
    one, by, orders = found.constant, found.by_time, found.orders
    times, unit = (100.0, "percentage points") if rolled.plan.per == PERSON else (1.0, _unit(rolled))
    if not np.isfinite(one.estimate[0]):
        return "The effect could not be estimated."
    every = [float(one.estimate[0]), float(one.conf_low[0]), float(one.conf_high[0]),
             by.average, by.average_conf_low, by.average_conf_high]  # fmt: skip
    shown = [words.number(value * times, 2 if abs(every[0]) * times < 100 else 0) for value in every]
    said = (
        f"{one.n_clusters} sites, {one.n_periods} {rolled.plan.every}s: {shown[0]} {unit} (95% CI {shown[1]} to "
        f"{shown[2]}); P over orders that could have been drawn {p_text(orders.p_value)}."
    )
    if not found.grows:
        return said
    way = "grows" if one.trend * (by.average if np.isfinite(by.average) else every[0]) > 0 else "does not stay the same"
    mean = (
        f"the mean by time since the start is {shown[3]} ({shown[4]} to {shown[5]})"
        if np.isfinite(by.average)
        else "the effect by time since the start says more"
    )
    return f"{said} But the effect {way} with time (P {p_text(one.trend_p)}), so one number does not suit: {mean}."


def wedge_lines(rolled: Rolled) -> tuple[Line, ...]:
    """The estimates for the results; none where the exhibit has none."""
    if rolled.plan.order != "random" or impossible(rolled):
        return ()
    found, errors = rolled.wedge, f"{rolled.wedge.constant.se_kind}, clustered by {rolled.plan.unit}"
    one, by, orders = found.constant, found.by_time, found.orders
    lines = [
        Line(TITLE, ALL, f"{MODEL}, one effect", float(one.estimate[0]), float(one.std_error[0]),
             float(one.conf_low[0]), float(one.conf_high[0]), float(one.p_value[0]), errors, one.note),
        Line(TITLE, ALL, f"{MODEL}, one effect, by permutation of the order", orders.estimate, np.nan, orders.conf_low,
             orders.conf_high, orders.p_value, f"permutation, {orders.n_orders} orders", orders.note),
        Line(TITLE, ALL, f"{MODEL}, mean by time since the start", by.average, by.average_std_error,
             by.average_conf_low, by.average_conf_high, by.average_p_value, errors, by.note),
    ]  # fmt: skip
    lines += [
        Line(TITLE, f"{int(time):+d}", f"{MODEL}, by time since the start", float(by.estimate[i]),
             float(by.std_error[i]), float(by.conf_low[i]), float(by.conf_high[i]), float(by.p_value[i]), errors, "",
             f"{int(time):+d}")
        for i, time in enumerate(by.exposure_time)
    ]  # fmt: skip
    return tuple(lines)


def _unit(rolled: Rolled) -> str:
    """The unit of an effect, briefly; the notes and the title of an axis say of what."""
    if rolled.plan.per == PERSON:
        return "share of persons"
    return f"{rolled.currency} per {rolled.plan.per}".strip()


def _format(rolled: Rolled) -> str:
    return "money" if rolled.currency else "fraction" if rolled.plan.per == PERSON else "number2"
