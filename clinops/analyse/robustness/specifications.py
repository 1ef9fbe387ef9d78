"""The specification curve: every defensible way to ask the question, all answers sorted, the choices marked below."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import Row
from clinops.analyse.robustness.record import ended
from clinops.analyse.robustness.setting import Setting, number
from clinops.define.measures import Measure
from clinops.define.protocol import Adjustment, Protocol
from clinops.define.windows import Window
from clinops.results.result import Column, Figure, Result

ANALYSIS = "specification curve"
LAST_CONTACT = 180
CUT = 0.99
GROUPS = ("Adjustment", "Window", "Outcome", "Observation ends")


def adjustments(protocol: Protocol) -> tuple[Adjustment, ...]:
    """Ways to make the arms comparable that a reader would accept: the protocol's, its sensitivity grid, the usual "
    "ones."""
    if protocol.assignment == "random":
        return (protocol.adjust,)
    usual = (
        Adjustment("weight", "att"), Adjustment("weight", "overlap"), Adjustment("weight", "att", truncate=0.99),
        Adjustment("weight", "att", penalty="l2"), Adjustment("match", "att", caliper=0.05),
    )  # fmt: skip
    asked = (protocol.adjust, *protocol.sensitivity.adjustments, *usual)
    return tuple({one.label: one for one in reversed(asked) if one.method != "none"}.values())[::-1]


def windows(setting: Setting) -> tuple[Window, ...]:
    """The outcome's window, and where there is a scale per time those of the sensitivity grid, or its first half."""
    main = setting.outcome.window
    assert main is not None
    if setting.rate in ("risk difference", "mean difference"):
        return (main,)  # a risk or a mean over half the time is another quantity
    more = setting.protocol.sensitivity.windows
    if not more and main.start is not None and main.end is not None and main.end - main.start >= 2:
        more = (Window(main.start, main.start + (main.end - main.start) // 2),)
    return tuple(dict.fromkeys((main, *more)))


def outcomes(setting: Setting) -> tuple[tuple[str, Measure, float | None], ...]:
    """The outcome in the words of the figure, as defined and with other defensible definitions: (name, measure, "
    "cut)."""
    measure = setting.outcome
    if measure.measure != "cost":
        return ((measure.name, measure, None),)
    found: list[tuple[str, Measure, float | None]] = [(f"{measure.name}, {measure.amount}", measure, None)]
    other = "paid" if measure.amount == "allowed" else "allowed"
    again = dataclasses.replace(
        measure, name=f"{measure.name} {other}", amount=other, role="secondary", worthwhile=None
    )
    found.append((f"{measure.name}, {other}", again, None))
    found.append((f"{measure.name}, dearest {1 - CUT:.0%} cut", measure, CUT))
    return tuple(found)


def specification_rows(setting: Setting) -> list[Row]:
    """Every combination of adjustment, window, outcome and end of observation; what cannot be made is a row too."""
    p, made = setting.protocol, []
    base = {p.adjust.label, str(setting.outcome.window), outcomes(setting)[0][0], "as recorded"}
    for window, ends, data, label, measure in _datasets(setting):
        for adjustment in adjustments(p):
            row = setting.again(data, measure, adjustment, setting.rate, analysis=ANALYSIS)
            choices = dict(zip(GROUPS, (adjustment.label, str(window), label, ends), strict=True))
            made.append(row | {"choices": choices, "main": set(choices.values()) == base})
    return made


def _datasets(setting: Setting) -> Iterator[tuple[Window, str, Dataset, str, Measure]]:
    """Outcomes of every window, end of observation and definition, each window and end read once."""
    from clinops.build import rows

    study, wanted = setting.study, outcomes(setting)
    for window in windows(setting):
        for ends, days in (("as recorded", None), (f"last contact and {LAST_CONTACT} days", LAST_CONTACT)):
            measures = {m.id: dataclasses.replace(m, window=window) for _, m, _ in wanted}
            p = ended(setting.protocol.over(_longest(setting, window)), days or setting.protocol.follow_up.last_contact)
            asked = p.with_(outcomes=tuple(measures.values()), negative_controls=(), subgroups=())
            found = rows.outcomes(asked, study.baseline).frame
            for label, measure, cut in wanted:
                if measure.id in found:
                    data = study.design.with_outcomes(_cut(found, measure.id, cut))
                    yield window, ends, data, label, measures[measure.id]


def _longest(setting: Setting, window: Window) -> Window:
    """The follow-up over which a window is read: it begins where the protocol's does."""
    start = setting.protocol.follow_up.window.start
    return Window(start, window.end)


def _cut(frame: Any, column: str, quantile: float | None) -> Any:
    if quantile is None:
        return frame
    return frame.assign(**{column: np.minimum(frame[column], frame[column].quantile(quantile))})


def specification_curve(setting: Setting, made: list[Row]) -> Result:
    """All specifications sorted by their estimate, with the choices behind each."""
    import pandas as pd

    lines = [{**{c: row.get(c) for c in ("estimate", "conf_low", "conf_high", "p_value", *setting.of, "note")},
              **row["choices"], "main": row["main"]} for row in made]  # fmt: skip
    frame = pd.DataFrame(lines)
    frame["estimate"] = pd.to_numeric(frame["estimate"])
    frame = frame.sort_values(["estimate", *GROUPS], kind="stable").reset_index(drop=True)
    frame.insert(0, "rank", np.where(frame["estimate"].notna(), np.arange(1, len(frame) + 1), np.nan))
    unit = next((str(row["unit"]) for row in made if row.get("unit")), "")
    said = _sentence(setting, frame, unit)
    columns = (
        Column("rank", "Rank", "number0", of=()), *(Column(group, group) for group in GROUPS), *setting.arm_columns(),
        setting.effect_column(setting.rate, unit), Column("p_value", "P", "p", of=setting.of, missing="–"),
    )  # fmt: skip
    notes = (
        f"{len(frame)} specifications: every combination of the choices above, none left out. They share their data, "
        "so they are not independent and no joint test is made.",
        "On a scale per time where there is one, since windows and ends of observation differ. Overlap weighting "
        "answers for the overlap population, matching for the matched.",
        *dict.fromkeys(f"Not estimable: {note}" for note in frame.loc[frame["estimate"].isna(), "note"].dropna()),
    )  # fmt: skip
    title = f"Every defensible specification: {setting.outcome.name}"
    return Result("specification_curve", title, frame, columns, notes, said,
                  figure=_figure(setting, frame, unit), alt=said)  # fmt: skip


def _figure(setting: Setting, frame: Any, unit: str) -> Figure:
    drawn = frame[frame["estimate"].notna()]
    data = drawn.rename(columns={"conf_low": "low", "conf_high": "high"})[
        ["estimate", "low", "high", "main", *setting.of, *GROUPS]
    ].reset_index(drop=True)
    options = {"ylabel": f"Difference, {unit}", "groups": list(GROUPS), "null": 0.0, "exposed": setting.names[0]}
    return Figure("specification_curve", data, options, counts=setting.of,
                  of=dict.fromkeys(("estimate", "low", "high"), setting.of))  # fmt: skip


def _sentence(setting: Setting, frame: Any, unit: str) -> str:
    known = frame[frame["estimate"].notna()]
    if few := setting.few(setting.outcome):
        return f"{len(frame)} specifications: {few}"
    if known.empty:
        return f"{len(frame)} specifications, none of which can be estimated."
    estimate = known["estimate"].to_numpy(dtype=float)
    below, above = known["conf_high"].astype(float) < 0, known["conf_low"].astype(float) > 0
    main = known[known["main"]]
    place = (
        f" The main analysis ({words.number(number(main['estimate'].iloc[0]))}) stands at place "
        f"{int(main['rank'].iloc[0])} of {len(known)}."
        if len(main)
        else ""
    )
    return (
        f"{len(frame)} specifications of {setting.outcome.name}: median {words.number(float(np.median(estimate)))} "
        f"{unit}, from {words.number(estimate.min())} to {words.number(estimate.max())}; {int((estimate < 0).sum())} "
        f"lie below no effect ({int(below.sum())} with their whole interval), {int((estimate > 0).sum())} above it "
        f"({int(above.sum())} with their whole interval).{place}"
    )
