"""Use of care by calendar month as a control chart: was there a change, or only chance?"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.care import hidden
from clinops.analyse.care.readmission_tables import DAYS_PER_YEAR
from clinops.errors import DataError
from clinops.results.result import Column, Figure, Result
from clinops.results.suppress import HIDDEN
from clinops.stats.process_control import chance_of_run, chart_signals, u_chart

if TYPE_CHECKING:
    import pandas as pd

RUN = 8
BEYOND, IN_A_ROW = "Outside the limits", f"{RUN} or more in a row on one side"
PART = " (part)"
EARLY, LATE = "Baseline", "After the baseline"
RULES = (
    "Signals: a month outside three Poisson standard errors of the centre line, and {run} or more in a row on one side "
    "of it. A month that is not shown is in no row and ends one. By chance alone {chance:.0%} of charts of {months} "
    "months have such a row."
)
NOT_STEADY = (
    "The limits take events as independent and the rate as one. Seasons, and persons with many events, move it more "
    "than that: a signal says to look for a reason, not which."
)


@dataclass(frozen=True)
class Kind:
    """What is counted: the exhibit's name, the column of days, and its words."""

    name: str
    column: str
    many: str


ADMISSIONS = Kind("care_admissions_by_month", "admissions", "Admissions")
EMERGENCY = Kind("care_emergency_by_month", "emergency", "Emergency visits")


@dataclass(frozen=True)
class Span:
    """The period that counts, and up to where its months give the centre line; None for all of them."""

    first: dt.date
    last: dt.date
    baseline_to: dt.date | None = None


def by_month(days: pd.DataFrame, span: Span) -> pd.DataFrame:
    """Add days up to calendar months.

    Parameters
    ----------
    days : of `clinops.build.care.by_day`.

    Returns
    -------
    frame, one row a month from the first with anybody to the last: period ("2024-03"; "(part)" behind it where the
    period that counts has only a part of it), persons (mean observed a day), years (person-years, exact), admissions,
    emergency, baseline (true for months that give the centre line).

    Raises
    ------
    DataError : no month of the records ends by the end of the baseline.
    """
    import pandas as pd

    calendar = pd.DatetimeIndex(days.index).to_period("M")
    months = days.groupby(calendar).sum()
    named = pd.PeriodIndex(months.index)
    begins, ends = named.start_time.date, named.end_time.date
    part = np.array([b < span.first or e > span.last for b, e in zip(begins, ends, strict=True)], dtype=bool)
    last = span.baseline_to or dt.date.max
    early = np.array([span.baseline_to is None or e <= last for e in ends], dtype=bool)
    if len(months) and not early.any():
        raise DataError(
            f"No month from {named[0]} on ends by {last}, the end of the baseline, so there is no centre line. "
            "Give a later day."
        )
    length = np.array([e.day for e in ends], dtype=float)
    covered = np.array([
        (min(e, span.last) - max(b, span.first)).days + 1 for b, e in zip(begins, ends, strict=True)
    ], dtype=float)  # fmt: skip
    names = [f"{month}{PART}" if some else str(month) for month, some in zip(named, part, strict=True)]
    return months.reset_index(drop=True).assign(
        period=names, years=months["persons"].to_numpy(dtype=float) / DAYS_PER_YEAR, baseline=early,
        persons=np.rint(months["persons"].to_numpy(dtype=float) / np.where(part, covered, length)).astype(int),
    )  # fmt: skip


def chart(kind: Kind, months: pd.DataFrame, span: Span, min_cell: int) -> Result:
    """A control chart of one kind of event per 1,000 person-years, with its table.

    The centre line is of the baseline months, or of all. Where the number of events in the baseline would give a small
    count away, it is of all months, and where that would, there is no chart: `hidden` decides.
    """
    events = months[kind.column].to_numpy(dtype=int)
    gone, known, baseline_known = hidden.by_month(events.tolist(), months["baseline"].tolist(), min_cell)
    base = months["baseline"].to_numpy(dtype=bool)
    fallback = not baseline_known and known and not base.all()
    if fallback:
        base = np.ones(len(months), dtype=bool)
    frame, note, centre = _charted(kind, months, gone, base, known)
    told = "no centre line can be shown" if not np.isfinite(centre) else (
        f"The centre line, {centre:,.1f}, is of the {int(base.sum())} months "
        f"{frame['period'].iloc[0]} to {frame['period'][base].iloc[-1]}"
    )  # fmt: skip
    notes = [
        f"u-chart of {kind.many.lower()} per 1,000 person-years, person-time exact for each month. {told}.",
        RULES.format(run=RUN, chance=chance_of_run(len(months), RUN), months=len(months)),
        NOT_STEADY,
        *(["Months marked as part are within the period for some of their days, and their limits are wider."]
          if any(str(period).endswith(PART) for period in frame["period"]) else []),
        *(["The baseline asked for is not used: its number of events would give a small count away."]
          if fallback else []),
        *([f"{note[0].upper()}{note[1:]}."] if note else []),
    ]  # fmt: skip
    columns = (
        Column("period", "Month"), Column(kind.column, kind.many, "count", "n"),
        Column("persons", "Persons observed", "count", "mean a day"),
        Column("years", "Person-years", "number1", of="persons"),
        Column("value", "Rate", "number1", "per 1,000 person-years", of=(kind.column, "persons"), missing="–"),
        Column("centre", "Centre", "number1", of=(), missing="–"),
        Column("low", "Lower", "number1", spanner="Limits", of="persons", missing="–"),
        Column("high", "Upper", "number1", spanner="Limits", of="persons", missing="–"),
        Column("rule", "Signal", of=(kind.column, "persons")),
    )  # fmt: skip
    # Where every month is hidden, even "<11" would tell some of them, by the sum of all.
    texts = [HIDDEN if gone.all() else hidden.printed(n, min_cell) for n in events]
    taken = tuple((int(row), kind.column, texts[row]) for row in np.flatnonzero(gone))
    said = _said(kind, frame)
    title = f"{kind.many} by calendar month"
    return Result(kind.name, title, frame, columns, tuple(notes), said, figure=_figure(kind, frame, taken),
                  alt=f"Control chart of {kind.many.lower()} per 1,000 person-years by month. {said}",
                  hidden=taken)  # fmt: skip


def _charted(kind: Kind, months: pd.DataFrame, gone: Any, base: Any, known: bool) -> tuple[pd.DataFrame, str, float]:
    """The rows of a chart, with signals made of the months that are shown."""
    events = months[kind.column].to_numpy(dtype=float)
    made = u_chart(events, months["years"].to_numpy(dtype=float) / 1000, base)
    centre = made.centre if known else np.nan
    low, high = (np.where(known, limit, np.nan) for limit in (made.low, made.high))
    value = np.where(gone, np.nan, made.value)
    found = chart_signals(value, centre, low, high, RUN)
    rule = np.where(found.beyond, BEYOND, np.where(found.run, IN_A_ROW, "")).astype(object)
    frame = months[["period", kind.column, "persons", "years"]].assign(
        value=value, centre=centre, low=low, high=high, rule=rule
    )
    if not base.all():
        frame["phase"] = np.where(base, EARLY, LATE).astype(object)
    frame[kind.column] = frame[kind.column].astype("Int64").mask(gone)
    return frame, made.note, float(centre)


def _said(kind: Kind, frame: pd.DataFrame) -> str:
    """What the chart says, in a sentence."""
    if not np.isfinite(frame["value"].to_numpy(dtype=float)).any():
        return f"No month's {kind.many.lower()} can be shown." if len(frame) else "Nobody is observed."
    counts = frame[kind.column]
    if not counts.isna().any() and not counts.sum():
        return f"There are no {kind.many.lower()}."
    unseen = int(counts.isna().sum())
    also = f" {unseen} of {len(frame)} months are not shown, and not judged." if unseen else ""
    outside, row = ((frame["rule"] == rule).sum() for rule in (BEYOND, IN_A_ROW))
    if not outside and not row:
        return f"{kind.many}: no month{' that is shown' if unseen else ''} is a signal of more than chance.{also}"
    words = [f"{n} of {len(frame)} months {what}" for n, what in (
        (outside, "outside the limits"), (row, "in a long row on one side of the centre line"),
    ) if n]  # fmt: skip
    return f"{kind.many}: {'; '.join(words)}.{also}"


def _figure(kind: Kind, frame: pd.DataFrame, taken: tuple[Any, ...]) -> Figure | None:
    counts = frame[kind.column]
    if frame.empty or (not counts.isna().any() and not counts.sum()):
        return None
    data = frame.rename(columns={kind.column: "events", "persons": "n"}).drop(columns="years")
    options = {
        "chart": "u", "ylabel": f"{kind.many} per 1,000 person-years", "xlabel": "Calendar month",
        "events": kind.many, "persons": "Persons observed, mean a day", "adjustment": "crude",
        "limits": "limits at three Poisson standard errors",
    }  # fmt: skip
    gone = tuple((row, "events", text) for row, _, text in taken)
    gone += tuple((row, "value", HIDDEN) for row, _, _ in taken)
    rests = {"value": ("events", "n"), "rule": ("events", "n"), "low": ("n",), "high": ("n",)}
    return Figure("control_chart", data, options, ("events", "n"), rests, hidden=gone)
