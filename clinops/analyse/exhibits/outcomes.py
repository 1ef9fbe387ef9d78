"""Exhibits of outcomes before any model: events by person-time, and money as it is distributed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.dataset import DAYS_A_YEAR, Dataset, Floats
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Result

if TYPE_CHECKING:
    import pandas as pd

ARMS = (("exposed", True), ("comparator", False))
FEWEST_ABOVE = 11
"""A percentile is shown only where so many persons lie above it: fewer would be somebody's own value."""


def crude_events(data: Dataset, protocol: Protocol) -> Result:
    """Persons, events, person-years and the crude rate of each outcome that counts events."""
    import pandas as pd

    from clinops.stats.rates import poisson_rate

    measures = [m for m in protocol.outcomes if m.measure in ("any", "count", "time to") and data.has(m)]
    rows = []
    for measure in measures:
        row: dict[str, Any] = {"measure": measure.name, "period": str(measure.window)}
        for name, arm in ARMS:
            inside = data.exposed == arm
            events, years = data.column(measure)[inside].sum(), data.days(measure)[inside].sum() / DAYS_A_YEAR
            rate = poisson_rate(int(events), float(years) / 1000)
            row |= {
                f"n_{name}": int(inside.sum()), f"events_{name}": int(events), f"years_{name}": float(years),
                f"rate_{name}": rate.estimate, f"low_{name}": rate.conf_low, f"high_{name}": rate.conf_high,
            }  # fmt: skip
        rows.append(row)
    frame = pd.DataFrame(rows, columns=["measure", "period", *[f"{c}_{a}" for a, _ in ARMS for c in _EVENT_COLUMNS]])
    columns = [Column("measure", "Outcome"), Column("period", "Period")]
    for name, _ in ARMS:
        head = _name(protocol, name)
        columns += [
            Column(f"n_{name}", "Persons", "count", "n", head),
            Column(f"events_{name}", "Events", "count", "n", head),
            Column(f"years_{name}", "Person-years", "number1", "years", head, of=f"events_{name}"),
            Column(f"rate_{name}", "Rate (95% CI)", "number1", "per 1,000 person-years", head, of=f"events_{name}",
                   low=f"low_{name}", high=f"high_{name}"),
        ]  # fmt: skip
    return Result(
        "crude_events", "Outcomes as they happened, before adjustment", frame, tuple(columns),
        notes=("Exact Poisson intervals. Person-time runs to the event for a time to the first event, else to the end "
               "of follow-up. These are not effects: the arms differ in more than the exposure.",),
        sentence=_events_sentence(frame, protocol),
    )  # fmt: skip


_EVENT_COLUMNS = ("n", "events", "years", "rate", "low", "high")
_COST_COLUMNS = ("n", "mean", "sd", "median", "zero", "p95", "p99", "pmpm")


def crude_costs(data: Dataset, protocol: Protocol, months: Floats, currency: str) -> Result:
    """Mean, median, share with none and upper tail of each cost, per person over the window."""
    import pandas as pd

    measures = [m for m in protocol.outcomes if m.measure == "cost" and data.has(m)]
    rows = [_cost_row(data, m, months, name, arm, protocol) for m in measures for name, arm in ARMS]
    frame = pd.DataFrame(rows, columns=["measure", "arm", *_COST_COLUMNS])
    columns = (
        Column("arm", "Arm"),
        Column("n", "Persons", "count", "n"),
        Column("mean", "Mean", "money", currency),
        Column("sd", "SD", "money", currency),
        Column("median", "Median", "money", currency),
        Column("zero", "With none", "percent", "n (%)", denominator="n"),
        Column("p95", "95th percentile", "money", currency),
        Column("p99", "99th percentile", "money", currency),
        Column("pmpm", "Per member-month", "money", currency),
    )
    return Result(
        "crude_costs", "Cost per person over the follow-up, before adjustment", frame, columns,
        notes=(f"A percentile is shown where at least {FEWEST_ABOVE} persons lie above it; maxima are not shown, since "
               "a maximum is one person's cost. Member-months are prorated by days covered.",),
        sentence=_costs_sentence(frame, currency), group_by="measure",
    )  # fmt: skip


def _cost_row(
    data: Dataset, measure: Measure, months: Floats, name: str, arm: bool, protocol: Protocol
) -> dict[str, Any]:
    inside = data.exposed == arm
    cost, covered = data.column(measure)[inside], float(months[inside].sum())
    n = len(cost)
    return {
        "measure": measure.name, "arm": _name(protocol, name), "n": n, "mean": _or_nan(np.mean, cost),
        "sd": float(np.std(cost, ddof=1)) if n > 1 else np.nan, "median": percentile(cost, 50),
        "zero": int((cost == 0).sum()), "p95": percentile(cost, 95), "p99": percentile(cost, 99),
        "pmpm": float(cost.sum()) / covered if covered > 0 else np.nan,
    }  # fmt: skip


def _or_nan(function: Any, values: Floats) -> float:
    return float(function(values)) if len(values) else np.nan


def percentile(values: Floats, q: float) -> float:
    """Return a percentile, or NaN where fewer than `FEWEST_ABOVE` values reach it."""
    if not len(values):
        return np.nan
    found = float(np.percentile(values, q))
    return found if int((values >= found).sum()) >= FEWEST_ABOVE else np.nan


def _name(protocol: Protocol, arm: str) -> str:
    return protocol.exposed.name if arm == "exposed" else protocol.comparator.name


def _events_sentence(frame: pd.DataFrame, protocol: Protocol) -> str:
    if frame.empty:
        return "No outcome of this protocol counts events."
    row = frame.iloc[0]
    return (
        f"{row['measure']}: {row['rate_exposed']:.1f} per 1,000 person-years among {protocol.exposed.name}, "
        f"{row['rate_comparator']:.1f} among {protocol.comparator.name}, before adjustment."
    )


def _costs_sentence(frame: pd.DataFrame, currency: str) -> str:
    if frame.empty:
        return "No cost could be measured."
    one, other = frame.iloc[0], frame.iloc[1]
    return (
        f"{one['measure']}: mean {one['mean']:,.0f} {currency} among {one['arm']}, {other['mean']:,.0f} among "
        f"{other['arm']}, before adjustment; the median is far below the mean in both, as costs are."
        if one["median"] < one["mean"] / 1.5
        else f"{one['measure']}: mean {one['mean']:,.0f} {currency} among {one['arm']}, {other['mean']:,.0f} among "
        f"{other['arm']}, before adjustment."
    )
