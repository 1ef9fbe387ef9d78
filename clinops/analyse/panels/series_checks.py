"""Checks of an interrupted series that can fail: what is left in time, other dates, the control, who is there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.checks import design_check
from clinops.analyse.panels.rollout_checks import ALPHA, DESIGN
from clinops.analyse.panels.rollout_exhibits import p_text
from clinops.analyse.panels.series import Interrupted
from clinops.analyse.panels.series_exhibits import FEW_SAID, format_of
from clinops.errors import DataError
from clinops.results.result import Check, Column
from clinops.results.suppress import HIDDEN
from clinops.stats.counterfactuals import counterfactual
from clinops.stats.interrupted import FEW, SegmentedFit

Found = tuple[float, float, float]
NOTHING: Found = (np.nan, np.nan, np.nan)


def mean_change(fit: SegmentedFit) -> Found:
    """The mean change after, with its limits."""
    total = counterfactual(fit).total
    return total.effect / total.periods, total.effect_low / total.periods, total.effect_high / total.periods


def _table(found: Interrupted, rows: list[tuple[str, Found]], how: str | None = None) -> tuple[Any, Any]:
    import pandas as pd

    frame = pd.DataFrame([{"what": what, "value": v, "low": low, "high": high} for what, (v, low, high) in rows])
    columns = (
        Column("what", "What"),
        Column("value", "Change (95% CI)", how or format_of(found), found.currency if how is None else "", low="low",
               high="high", of=(), missing="–"),
    )  # fmt: skip
    return frame, columns


def _said(value: Found) -> str:
    return f"{words.number(value[0], 2)} ({words.number(value[1], 2)} to {words.number(value[2], 2)})"


def _holds_zero(value: Found) -> bool | None:
    return bool(value[1] <= 0 <= value[2]) if np.isfinite(value).all() else None


def left_in_time(found: Interrupted) -> Check:
    """Whether residuals still hang together in time."""
    import pandas as pd

    left = found.left
    r = np.zeros(0) if left is None else left.autocorrelation
    frame = pd.DataFrame({"lag": np.arange(1, len(r) + 1), "r": r})
    p = np.nan if left is None else left.ljung_box_p
    known = bool(np.isfinite(p))
    rho = f"; the AR(1) model takes up {found.main.rho:.2f}" if np.isfinite(found.main.rho) else ""
    said = f"Ljung-Box over {len(r)} lags: P {p_text(p)}{rho}." if known else "Not judged: too few periods."
    columns = (Column("lag", f"{found.plan.every.capitalize()}s apart", "number0"),
               Column("r", "Autocorrelation left", "number2", of=()))  # fmt: skip
    return Check(
        "check_left_in_time", "Are the residuals free of correlation in time?", frame, columns,
        () if left is None or not left.note else (left.note,), said, observed=p if known else None, threshold=ALPHA,
        passed=p >= ALPHA if known else None,
        why="What is left makes errors too small; a season or a bend that the model lacks shows here too.",
    )  # fmt: skip


def other_date(found: Interrupted) -> Check:
    """Whether a start in the middle of the time before shows a change."""
    middle = found.at // 2
    value = NOTHING
    if min(middle, found.at - middle) >= FEW // 2:
        try:
            value = mean_change(found.linear(found.target[: found.at], found.design(middle, found.at, 0)))
        except DataError:  # more columns than periods: there is no such test
            value = NOTHING
    name = found.plan.names[middle]
    judged = _holds_zero(value)
    frame, columns = _table(found, [(f"A start in {name}, in the time before the programme alone", value)])
    said = f"A made-up start in {name}: {_said(value)}." if judged is not None else (
        "Not judged: too few periods before the start."
    )  # fmt: skip
    return Check(
        "check_other_date", "Is there no change where there was no programme?", frame, columns, (), said,
        observed=value[0] if judged is not None else None, threshold="an interval that holds 0", passed=judged,
        why="A series that changes by itself, or whose trend is not straight, shows an effect at any date.",
    )  # fmt: skip


def control_check(found: Interrupted) -> Check:
    """Whether the control itself changed at the start."""
    value = NOTHING
    if found.control is not None:
        value = mean_change(found.linear(found.control.value, found.design()))
    alone = mean_change(found.linear(found.ours.value, found.design()))
    judged = _holds_zero(value)
    rows = [("The series without its control", alone)]
    rows += [(f"The control: {found.control.name}", value)] if found.control is not None else []
    frame, columns = _table(found, rows)
    said = f"The control changed by {_said(value)}." if judged is not None else "Not judged: there is no control."
    return Check(
        "check_control", "Did the control stay as it was?", frame, columns, (), said,
        observed=value[0] if judged is not None else None, threshold="an interval that holds 0", passed=judged,
        why="A control that changes at the same time says that something else happened, or that the programme reaches "
        "it. The main estimate takes off what the control did; without a control nothing does.",
    )  # fmt: skip


def phase_in(found: Interrupted) -> Check:
    """Whether leaving out more or fewer periods after the start changes the answer."""
    rows = []
    for left_out in sorted({0, found.plan.phase_in, *range(1, 4)}):
        if found.at + left_out <= len(found.plan.periods) - FEW // 2:
            fit = found.linear(found.target, found.design(phase_in=left_out))
            rows.append((f"{left_out} {found.plan.every}s left out", mean_change(fit)))
    main = mean_change(found.main)[0]
    values = [value[0] for _, value in rows]
    judged = len(values) > 1 and bool(np.isfinite([main, *values]).all())
    same = all(np.sign(v) == np.sign(main) for v in values)
    frame, columns = _table(found, rows or [("None", NOTHING)])
    said = (
        f"From {words.number(min(values), 2)} to {words.number(max(values), 2)} over {len(values)} ways to leave "
        "periods out."
        if judged
        else "Not judged: too few periods after the start."
    )
    return Check(
        "check_phase_in", "Does it matter how many periods count as phase-in?", frame, columns, (), said,
        observed=f"{words.number(min(values), 2)} to {words.number(max(values), 2)}" if judged else None,
        threshold="the same direction in all", passed=same if judged else None,
        why="A programme takes time to work; an answer that turns with the periods left out is none.",
    )  # fmt: skip


def who_is_there(found: Interrupted) -> Check:
    """Whether other people are counted after the start."""
    rows: list[tuple[str, Found]] = []
    for name, values in (("Mean age, years", found.ours.age), ("Share of women", found.ours.female),
                         ("Log number of persons", np.log(found.ours.persons))):  # fmt: skip
        if np.isfinite(values).all() and np.ptp(values) > 0:
            fit = found.linear(values, found.design())
            i = fit.term(f"level {found.at}")
            rows.append((name, (float(fit.coef[i]), float(fit.conf_low[i]), float(fit.conf_high[i]))))
    frame, columns = _table(found, rows or [("Nothing varies", NOTHING)], "number3")
    judged = [held for _, value in rows if (held := _holds_zero(value)) is not None]
    moved = [name for name, value in rows if _holds_zero(value) is False]
    said = (
        f"Changed at the start: {', '.join(moved).lower() or 'nothing'}." if judged else "Not judged: nothing varies."
    )
    return Check(
        "check_who_is_there", "Are the same kind of people counted after?", frame, columns,
        ("Change of level in the first period, by the main model.",), said, observed=len(moved) if judged else None,
        threshold=0, passed=not moved if judged else None,
        why="If other people are counted from the start on, the outcome changes without an effect on anybody.",
    )  # fmt: skip


def checks(found: Interrupted) -> tuple[Check, ...]:
    """Every check, in the order of the report."""
    changes = [other_date(found), control_check(found), phase_in(found)]
    if found.few:
        changes = [_unsaid(check, found.plan.min_cell) for check in changes]
    return (design_check(found.findings, DESIGN), left_in_time(found), *changes, who_is_there(found))


def _unsaid(check: Check, min_cell: int) -> Check:
    """A check of changes that rest on small counts: not judged, and without its numbers."""
    names = ("value", "low", "high")
    frame = check.frame.copy()
    frame[list(names)] = np.nan
    return replace(
        check,
        frame=frame, hidden=tuple((row, name, HIDDEN) for row in range(len(frame)) for name in names),
        sentence=f"Not judged: {FEW_SAID.format(min_cell)[0].lower()}{FEW_SAID[1:].format(min_cell)}", observed=None,
        passed=None,
    )  # fmt: skip
