"""Control charts of counts over time: centre line, limits, and the signals that say a process has changed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from clinops.errors import DataError, ParameterError
from clinops.stats.risk_sets import Bools, Floats

NAN = float("nan")
FEW = 20
"""Periods below which limits are provisional (Montgomery: 20 to 25 to set them)."""


@dataclass(frozen=True)
class ControlChart:
    """A chart of events per unit of exposure.

    Attributes
    ----------
    value, low, high : (k,) of each period; NaN without exposure, and `low` where it would not be above 0.
    centre : of the baseline periods; NaN where they have no exposure. periods : how many those are.
    note : what to know of it.
    """

    value: Floats
    centre: float
    low: Floats
    high: Floats
    periods: int
    note: str = ""


@dataclass(frozen=True)
class Signals:
    """Which periods are signals. beyond : (k,) outside a limit. run : (k,) in a long run on one side of the centre."""

    beyond: Bools
    run: Bools


def u_chart(
    events: ArrayLike, exposure: ArrayLike, baseline: ArrayLike | None = None, sigmas: float = 3
) -> ControlChart:
    """What would the rate of each period be, within limits, if only chance moved it? A u-chart.

    Parameters
    ----------
    events, exposure : (k,) of each period, in order; exposure such as person-years, exact for each.
    baseline : (k,) true for the periods that give the centre line; all where not given.
    sigmas : Poisson standard errors from the centre to a limit.

    Raises
    ------
    DataError : shapes, negative or missing numbers, events without exposure. ParameterError : sigmas not above 0.

    Notes
    -----
    Centre: u = all events / all exposure of the baseline. Limits: u +- sigmas sqrt(u / exposure), its own for each
    period (Shewhart; Montgomery, Introduction to Statistical Quality Control, chapter 7). They take events as
    independent: with very many, or with few persons who have most of them, they are too narrow.
    """
    count, size = np.asarray(events, dtype=float), np.asarray(exposure, dtype=float)
    if count.ndim != 1 or count.shape != size.shape:
        raise DataError(f"events have shape {count.shape} and exposure {size.shape}; both must be one number a period.")
    if not (np.isfinite(count) & np.isfinite(size)).all() or (count < 0).any() or (size < 0).any():
        raise DataError("events and exposure must be known and not negative.")
    if ((count > 0) & (size == 0)).any():
        raise DataError("A period has events in no exposure.")
    if not sigmas > 0:
        raise ParameterError(f"sigmas is {sigmas!r}; it must be above 0.")
    base = np.ones(len(size), bool) if baseline is None else np.asarray(baseline, dtype=bool)
    if base.shape != size.shape:
        raise DataError(f"baseline has shape {base.shape}; it must be one truth value a period, {size.shape}.")
    some, used = size > 0, base & (size > 0)
    whole = float(size[used].sum())
    centre = float(count[used].sum()) / whole if whole else NAN
    time = np.where(some, size, np.nan)
    reach = sigmas * np.sqrt(centre / time)
    low = centre - reach
    return ControlChart(
        count / time, centre, np.where(low > 0, low, NAN), centre + reach, int(used.sum()), _note(int(used.sum()))
    )


def _note(periods: int) -> str:
    if not periods:
        return "no period of the baseline has exposure, so there is no centre line"
    return f"the centre line rests on {periods} periods; with fewer than {FEW} limits are provisional" * (periods < FEW)


def chart_signals(value: ArrayLike, centre: float, low: ArrayLike, high: ArrayLike, run: int = 8) -> Signals:
    """Which periods say that more than chance was at work?

    Parameters
    ----------
    value, low, high : (k,) of each period in order; NaN is not known (a value) or not there (a limit).
    centre : the centre line. run : so many in a row on one side are a signal, all of them.

    Raises
    ------
    ParameterError : run below 2.

    Notes
    -----
    A point outside a limit (Shewhart), and eight in a row on one side of the centre (Western Electric 1956). A point on
    the line neither makes nor breaks a run (Provost and Murray); one that is not known ends it.
    """
    if run < 2:
        raise ParameterError(f"run is {run!r}; give 2 periods or more.")
    seen, bottom, top = (np.asarray(one, dtype=float) for one in (value, low, high))
    beyond = (seen > top) | (seen < bottom)
    marked = np.zeros(len(seen), dtype=bool)
    members: list[int] = []
    side = 0.0
    for i, here in enumerate(np.sign(seen - centre)):
        if here == 0:
            continue
        if here != side:
            members, side = [], here
        if np.isfinite(here):
            members.append(i)
        if len(members) >= run:
            marked[members] = True
    return Signals(beyond, marked)


def chance_of_run(periods: int, run: int = 8) -> float:
    """How likely is it that a chart has such a row on one side of its centre by chance alone?

    Periods are taken as independent, each above or below with probability 1/2.

    Raises
    ------
    ParameterError : run below 2, or a negative number of periods.
    """
    if run < 2 or periods < 0:
        raise ParameterError(f"run is {run!r} and periods {periods!r}; give a run of 2 or more, and periods from 0.")
    if periods < run:
        return 0.0
    # The chance of each length of the row so far, no row having been long enough: a row goes on or starts anew.
    rows = np.zeros(run)
    rows[1] = 1.0
    for _ in range(periods - 1):
        rows = np.concatenate([[0.0, rows.sum() / 2], rows[1:-1] / 2])
    return float(1 - rows.sum())
