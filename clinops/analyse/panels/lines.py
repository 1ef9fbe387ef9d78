"""The estimates of a roll-out as lines of a table and rows of the results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse.panels.rolled import LEVEL, Rolled
from clinops.stats.linear import inference

if TYPE_CHECKING:
    from clinops.stats.group_time_averages import EffectAverages

MAIN, COHORT, CALENDAR, OTHER = "Main", "By start", "By calendar period", "By other methods"
GROUP_TIME = "Group-time effects (Callaway and Sant'Anna)"
IMPUTED, TWO_WAY, TWO_BY_TWO = "Imputation (Borusyak, Jaravel and Spiess)", "Two-way fixed effects", "Two by two"
STACKED = "Stacked regression"
EVENT_STUDY = "Event study"
ALL = "All sites and periods under the programme"
MOST_PERIODS = 16
"""Up to how many calendar periods stand in the table; all are in the results."""


@dataclass(frozen=True)
class Line:
    """One estimate: in which part of the table, of what, by which method."""

    part: str
    label: str
    method: str
    estimate: float
    std_error: float
    low: float
    high: float
    p_value: float
    error: str
    note: str = ""
    period: str = ""


def main_line(rolled: Rolled) -> Line:
    """The primary estimate, over all sites and periods under the programme."""
    named = {
        "group-time": lambda: _overall(rolled.averages("simple"), MAIN, GROUP_TIME, rolled),
        "imputation": lambda: _overall(rolled.imputed, MAIN, IMPUTED, rolled),
        "stacked": lambda: replace(stacked_line(rolled), part=MAIN),
        "two-way": lambda: replace(two_way_line(rolled), part=MAIN),
    }  # fmt: skip
    main = named[rolled.plan.primary]()
    return main if rolled.plan.primary == "stacked" else replace(main, label=ALL)


def permuted_line(rolled: Rolled) -> Line:
    """The average that the permutation is of, whatever the primary method is."""
    return replace(_overall(rolled.averages("simple"), MAIN, GROUP_TIME, rolled), label=ALL)


def lines(rolled: Rolled) -> tuple[Line, ...]:
    """Every estimate, in the order of the table."""
    found = [main_line(rolled)]
    by = rolled.averages("group")
    found += [_one(by, i, COHORT, f"Sites that start in {rolled.plan.names[int(g)]}", rolled)
              for i, g in enumerate(by.label)]  # fmt: skip
    found.append(replace(_overall(by, COHORT, GROUP_TIME, rolled), label="All starts alike, by their number of sites"))
    calendar = rolled.averages("calendar")
    found += [_one(calendar, i, CALENDAR, rolled.plan.names[int(t)], rolled) for i, t in enumerate(calendar.label)]
    return (*found, *other_lines(rolled))


def other_lines(rolled: Rolled) -> list[Line]:
    """The same effect by the methods that are not the primary one."""
    primary = rolled.plan.primary
    found = []
    if primary != "group-time":
        found.append(_overall(rolled.averages("simple"), OTHER, GROUP_TIME, rolled))
    if primary != "imputation":
        found.append(_overall(rolled.imputed, OTHER, IMPUTED, rolled))
    if primary != "stacked":
        found.append(stacked_line(rolled))
    if rolled.two_by_two is not None:
        found.append(_two_by_two(rolled))
    if primary != "two-way":
        found.append(two_way_line(rolled))
    return found


def stacked_line(rolled: Rolled) -> Line:
    """The mean effect of the stacked regression, over the window that every start has."""
    study, mean = rolled.stacked
    after = len(study.after)
    return Line(
        OTHER, f"{STACKED}, first {after} {rolled.plan.every}s of every start", STACKED, mean.estimate, mean.std_error,
        mean.conf_low, mean.conf_high, mean.p_value, f"clustered by {rolled.plan.unit}, t",
        f"{study.note} {mean.note}".strip(),
    )  # fmt: skip


def two_way_line(rolled: Rolled) -> Line:
    """Two-way fixed effects, with the share of its weights below zero."""
    fit = rolled.two_way
    label = TWO_WAY
    note = fit.note
    if fit.staggered:
        label += f"; weights below zero: {fit.negative_weight:.0%}" if np.isfinite(fit.negative_weight) else ""
        note = (
            "Not an average of effects where starts differ: sites already under the programme serve as comparisons, "
            "and effects that grow come out too small."
        )
    return Line(
        OTHER, label, TWO_WAY, float(fit.coef[0]), float(fit.std_error[0]), float(fit.conf_low[0]),
        float(fit.conf_high[0]), float(fit.p_value[0]), fit.se_kind, note,
    )  # fmt: skip


def event_lines(rolled: Rolled) -> tuple[Line, ...]:
    """The event study, for the results: what its table shows, by periods since the start, against the last before."""
    found, every = rolled.study, rolled.plan.every
    return tuple(
        Line(
            EVENT_STUDY, f"{int(e):+d} {every}s since the start", GROUP_TIME, float(found.estimate[i]),
            float(found.std_error[i]), float(found.conf_low[i]), float(found.conf_high[i]),
            _p(float(found.estimate[i]), float(found.std_error[i])), _error(rolled), "", f"{int(e):+d}",
        )
        for i, e in enumerate(found.event_time)
        if not since_few(rolled, int(e))
    )  # fmt: skip


def _two_by_two(rolled: Rolled) -> Line:
    found = rolled.two_by_two
    assert found is not None
    return Line(
        OTHER, "Means before and after in both arms (two by two)", TWO_BY_TWO, found.estimate, found.std_error,
        found.conf_low, found.conf_high, found.p_value, found.se_kind, found.note,
    )  # fmt: skip


def _error(rolled: Rolled) -> str:
    return f"clustered by {rolled.plan.unit} ({rolled.effects.n_clusters} clusters), influence function"


def _overall(found: EffectAverages, part: str, method: str, rolled: Rolled) -> Line:
    p = _p(found.overall, found.overall_std_error)
    return Line(
        part, method, method, found.overall, found.overall_std_error, found.overall_conf_low, found.overall_conf_high,
        p, _error(rolled), found.note,
    )  # fmt: skip


def _one(found: EffectAverages, i: int, part: str, label: str, rolled: Rolled) -> Line:
    estimate, error = float(found.estimate[i]), float(found.std_error[i])
    note = "" if np.isfinite(error) else "One site on a side, or values that do not vary, tell nothing of the error."
    return Line(
        part, label, GROUP_TIME, estimate, error, float(found.conf_low[i]), float(found.conf_high[i]),
        _p(estimate, error), _error(rolled), note, label if part == CALENDAR else "",
    )  # fmt: skip


def _p(estimate: float, error: float) -> float:
    return float(inference(np.array([estimate]), np.array([error**2]), np.inf, "normal", LEVEL)[3][0])


def since_sizes(rolled: Rolled, since: int) -> dict[str, Any]:
    """Persons, events and person-days at one time since the start, of sites that are seen before it."""
    cells = rolled.cells[(rolled.cells["period"] - rolled.cells["first"] == since) & (rolled.cells["first"] > 0)]
    # A site is there once, so persons add up, whatever the calendar period is.
    return sizes(rolled, cells) | {"n_exposed": int(cells["persons"].sum())}


def since_few(rolled: Rolled, since: int) -> bool:
    """Whether a time since the start, or the last one before it, has so few persons or events that nothing is shown.

    The last period before the start is what all others are held against: a difference from a small count tells it.
    """
    counts = [since_sizes(rolled, one).get(name, 0) for one in (since, -1) for name in ("n_exposed", "events_exposed")]
    return any(0 < count < rolled.plan.min_cell for count in counts)


def estimate_rows(rolled: Rolled) -> list[dict[str, Any]]:
    """Every estimate as a row of the long schema."""
    from clinops.analyse.panels.wedge import TITLE, wedge_lines  # which builds on the lines

    plan, treated = rolled.plan, rolled.treated
    names = {f"Sites that start in {name}": name for name in rolled.cohorts}
    found = []
    for line in (*lines(rolled), *event_lines(rolled), *wedge_lines(rolled)):
        cohort = names.get(line.label, "")
        cells = treated[treated["cohort"] == cohort] if cohort else treated
        if line.part == CALENDAR:
            cells = treated[treated["period"] == plan.names.index(line.period)]
        if line.part == TITLE and line.period:
            cells = treated[treated["period"] - treated["first"] == int(line.period)]
        row: dict[str, Any] = {
            "analysis": "rollout", "exposed": "Under the programme", "comparator": plan.comparison.capitalize(),
            "measure": plan.outcome.name, "role": "primary" if line.part == MAIN else "secondary",
            "category": "" if line.part in (MAIN, COHORT) else line.part,
            "period": line.period or f"{plan.names[0]} to {plan.names[-1]}", "estimand": "ATT, sites alike",
            "method": line.method, "adjustment": "crude", "unit": rolled.plan.rate, "scale": "mean difference",
            "estimate": line.estimate, "std_error": line.std_error, "se_kind": line.error, "conf_low": line.low,
            "conf_high": line.high, "conf_level": LEVEL, "p_value": line.p_value,
            "note": line.note or ("" if np.isfinite(line.estimate) else "Not estimable."),
        }  # fmt: skip
        if cohort:
            row |= {"subgroup": "start", "level": cohort}
        # Every row has its counts, so that whatever rests on small ones is hidden wherever it leaves.
        row |= since_sizes(rolled, int(line.period)) if line.part == EVENT_STUDY else sizes(rolled, cells)
        found.append({name: value for name, value in row.items() if value != ""})
    return found


def sizes(rolled: Rolled, cells: Any) -> dict[str, Any]:
    """Persons (the mean of the periods), events and person-days behind some cells."""
    by = cells.groupby("period")["persons"].sum()
    row: dict[str, Any] = {
        "n_exposed": round(float(by.mean())) if len(by) else 0, "person_days_exposed": float(cells["days"].sum()),
    }  # fmt: skip
    return row if rolled.plan.outcome.measure == "cost" else row | {"events_exposed": int(cells["total"].sum())}
