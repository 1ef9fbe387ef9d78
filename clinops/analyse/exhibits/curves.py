"""Exhibits over time: the cumulative risk of the first event, and cost per member-month from index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import words
from clinops.analyse.adjust import Adjusted
from clinops.analyse.dataset import Dataset
from clinops.analyse.survival import curves, follow_up_end
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from clinops.stats.weighted_effects import ArmValues

STEPS = (1, 5, 10, 15, 30, 90, 180, 365, 730, 1825, 3650)
"""Days between the times at which the numbers at risk are printed: the first that gives at most seven."""

MOST_STEPS = 400
"""Curves with more steps than the page has room for are thinned to this many."""


def survival(data: Dataset, protocol: Protocol, measure: Measure, adjusted: Adjusted) -> Result:
    """Cumulative risk of the first event in both arms, with persons still at risk."""
    import pandas as pd

    fitted = curves(data, measure, adjusted)
    horizon = int(follow_up_end(measure, fitted))
    marks = landmarks(horizon)
    parts = []
    for name, arm in (("exposed", True), ("comparator", False)):
        rows = (data.exposed == arm) & (adjusted.weights > 0) & (data.days(measure) > 0)
        days = np.sort(data.days(measure)[rows])
        label = protocol.exposed.name if arm else protocol.comparator.name
        parts += [_curve(fitted[name], days, label), _at_risk(fitted[name], days, marks, label)]
    frame = pd.concat(parts, ignore_index=True)
    table = frame[frame["kind"] == "at risk"].drop(columns="kind").reset_index(drop=True)
    label = measure.events.label if measure.events else measure.name
    options = {
        "xlabel": "Days from index", "ylabel": f"Cumulative risk: {label}",
        "horizon": horizon, "adjustment": adjusted.label,
    }  # fmt: skip
    drawn = dict.fromkeys(("risk", "low", "high"), ("n_risk",))
    columns = (
        Column("time", "Day", "number0"),
        Column("n_risk", "At risk", "count", "persons"),
        Column("risk", "Cumulative risk (95% CI)", "fraction", low="low", high="high", of="n_risk"),
    )
    return Result(
        f"survival_{measure.id}", f"{measure.name}: cumulative risk by arm", table, columns,
        sentence=_risk_sentence(table, protocol, horizon), alt=_risk_sentence(table, protocol, horizon),
        figure=Figure("survival", frame, options, counts=("n_risk",), of=drawn), group_by="arm",
        notes=(f"1 - Kaplan-Meier, {adjusted.label}; numbers at risk are persons, not weights. Log-log intervals.",),
    )  # fmt: skip


def landmarks(horizon: float) -> np.ndarray:
    """Round days from 0 on, the horizon always among them; one too near it is left out."""
    step = next((s for s in STEPS if horizon / s <= 7), 0) or int(10 ** np.ceil(np.log10(horizon / 7)))
    days = [day for day in range(0, int(np.ceil(horizon)), step) if horizon - day >= step / 2]
    return np.array([*days, horizon])


def thinned(steps: np.ndarray, most: int = MOST_STEPS) -> np.ndarray:
    """Return the places of a curve's steps, spread over at most so many as the page has room for."""
    if len(steps) <= most:
        return steps
    return np.asarray(steps[np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))])


def _curve(curve: Any, days: np.ndarray, label: str) -> pd.DataFrame:
    import pandas as pd

    steps = thinned(np.flatnonzero(curve.n_event > 0))
    time = np.concatenate([[0.0], curve.time[steps]])
    survived = np.concatenate([[1.0], curve.survival[steps]])
    return pd.DataFrame({
        "arm": label, "kind": "curve", "time": time, "risk": 1 - survived,
        "low": 1 - np.concatenate([[1.0], curve.conf_high[steps]]),
        "high": 1 - np.concatenate([[1.0], curve.conf_low[steps]]), "n_risk": _still(days, time),
    })  # fmt: skip


def _at_risk(curve: Any, days: np.ndarray, landmarks: np.ndarray, label: str) -> pd.DataFrame:
    import pandas as pd

    at = curve.at(landmarks.astype(float))
    return pd.DataFrame({
        "arm": label, "kind": "at risk", "time": landmarks.astype(float), "risk": 1 - at.survival,
        "low": 1 - at.conf_high, "high": 1 - at.conf_low, "n_risk": _still(days, landmarks.astype(float)),
    })  # fmt: skip


def _still(days: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Persons at risk at each time: those whose follow-up reaches it."""
    return len(days) - np.searchsorted(days, time, side="left")


def _risk_sentence(table: pd.DataFrame, protocol: Protocol, horizon: int) -> str:
    last = table[table["time"] == horizon].set_index("arm")["risk"]
    exposed, comparator = (last.get(a.name, np.nan) for a in (protocol.exposed, protocol.comparator))
    return (
        f"By day {horizon} the cumulative risk is {100 * exposed:.1f}% among {protocol.exposed.name} "
        f"and {100 * comparator:.1f}% among {protocol.comparator.name}."
    )


def cost_trend(
    data: Dataset, protocol: Protocol, adjusted: Adjusted, months: pd.DataFrame, covered: np.ndarray, at: np.ndarray,
    currency: str,
) -> Result:  # fmt: skip
    """Cost per member-month by month from index, before and after it, in both arms.

    Parameters
    ----------
    months : (row, month, cost), one row for each person-month with cost.
    covered : (n, k) share of each month that the person was observed.
    at : (k,) the months, ..., -2, -1, 1, 2, ...
    """
    from clinops.stats.weighted_effects import weighted_values

    cost = np.zeros(covered.shape)
    place = {int(month): i for i, month in enumerate(at)}
    inside = months["month"].isin(list(place))
    cost[months.loc[inside, "row"].to_numpy(), months.loc[inside, "month"].map(place).to_numpy()] = months.loc[
        inside, "cost"
    ].to_numpy(dtype=float)
    weights = adjusted.weights if adjusted.known_weights else adjusted.balancing
    fit = None if adjusted.known_weights else adjusted.propensity
    arms = weighted_values(cost, data.exposed, weights, propensity=fit, denominator=covered)
    used = tuple(arm & (adjusted.weights > 0) for arm in (data.exposed, ~data.exposed))
    names = (protocol.exposed.name, protocol.comparator.name)
    return pmpm_by_month(arms, used, covered, at, names, currency, adjusted.label)


def pmpm_by_month(
    arms: ArmValues, used: Sequence[np.ndarray], covered: np.ndarray, at: np.ndarray, names: tuple[str, str],
    currency: str, adjustment: str,
) -> Result:  # fmt: skip
    """Draw cost per member-month by month from index.

    Parameters
    ----------
    arms : values of the k months in both arms, with influence.
    used : the rows (n,) of the exposed and of the comparator.
    covered : (n, k) share of each month that the person was observed.
    at : (k,) the months, ..., -2, -1, 1, 2, ...
    """
    import pandas as pd

    parts = []
    for i, (rows, label) in enumerate(zip(used, names, strict=True)):
        error = np.sqrt(np.square(arms.influence[i]).sum(axis=0))
        parts.append(pd.DataFrame({
            "arm": label, "month": at, "pmpm": arms.value[i], "low": arms.value[i] - 1.96 * error,
            "high": arms.value[i] + 1.96 * error, "persons": (covered[rows] > 0).sum(axis=0),
            "member_months": covered[rows].sum(axis=0),
        }))  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    columns = (
        Column("month", "Month from index", "number0"),
        Column("pmpm", "Per member-month (95% CI)", "money", currency, low="low", high="high", of="persons"),
        Column("member_months", "Member-months", "number1", of="persons"),
        Column("persons", "Persons", "count", "n"),
    )
    sentence = _trend_sentence(frame, names, currency)
    figure = Figure(
        "cost_trend", frame, {"currency": currency, "adjustment": adjustment}, counts=("persons",),
        of=dict.fromkeys(("pmpm", "low", "high", "member_months"), ("persons",)),
    )  # fmt: skip
    return Result("cost_trend", "Cost per member-month by month from index", frame, columns, sentence=sentence,
                  figure=figure, alt=sentence, group_by="arm",
                  notes=("Months run from anniversary to anniversary of the index date, which belongs to neither side; "
                         "each is prorated by the days observed.",))  # fmt: skip


def _trend_sentence(frame: pd.DataFrame, names: tuple[str, str], currency: str) -> str:
    def mean(arm: str, later: bool) -> float:
        rows = frame[(frame["arm"] == arm) & ((frame["month"] > 0) == later)]
        total = rows["member_months"].sum()
        return float((rows["pmpm"] * rows["member_months"]).sum() / total) if total > 0 else float("nan")

    said = [(name, words.number(mean(name, False), 0), words.number(mean(name, True), 0)) for name in names]
    parts = [f"{name} {before} before and {after} after" for name, before, after in said]
    return f"Mean {currency} per member-month: " + "; ".join(parts) + " the index date."
