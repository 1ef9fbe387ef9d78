"""The care journey: which contact came first, what followed it, how soon and at what cost, in the two arms."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.exhibits.gallery import Gallery
from clinops.errors import DefinitionError
from clinops.results.result import Column, Figure, Result

if TYPE_CHECKING:
    import pandas as pd

START, DEATH, LEFT, NONE = "Index", "Death", "Left the records", "No further contact"
ENDS = (DEATH, LEFT, NONE)
NUMBERS = {
    "journey_flow": "Figure 1", "transitions": "Figure 2", "between": "Table 1", "variants": "Table 2",
}  # fmt: skip
ORDER = ("flow", "transitions", "between", "variants")
MOST_VARIANTS = 12


@dataclass(frozen=True)
class Steps:
    """Steps of all persons, m rows in order of person and day; the last of each is an end.

    Attributes
    ----------
    row : (m,) which entry. order : (m,) 1 for its first step. before, state : (m,) where it came from, what it is.
    days : (m,) since the step before (the index date for the first). cost : (m,) from the step before up to this one,
        the day of the step before included; NaN where the records tell no costs.
    exposed : (n,) of the entries. names : of the arms. last_day : to which journeys are followed.
    """

    row: NDArray[np.int64]
    order: NDArray[np.int64]
    before: NDArray[np.object_]
    state: NDArray[np.object_]
    days: NDArray[np.float64]
    cost: NDArray[np.float64]
    exposed: NDArray[np.bool_]
    names: tuple[str, str]
    last_day: int

    def arms(self) -> tuple[tuple[str, NDArray[np.bool_]], ...]:
        """Each arm's name, with (m,) its steps."""
        mine = self.exposed[self.row]
        return (self.names[0], mine), (self.names[1], ~mine)

    def persons(self, exposed: bool) -> int:
        """Entries of an arm that were followed for a day."""
        return int(np.unique(self.row[self.exposed[self.row] == exposed]).size)


def steps_of(study: Any, last_day: int) -> Steps:
    """Read the journeys of a study's entries.

    Raises
    ------
    DefinitionError : the protocol follows nobody so far. DataError : the records hold no visits.
    """
    from clinops.build.visit_days import cost_days, visit_days

    end = study.data.end_day
    if not 1 <= last_day <= max(int(end.max(initial=0)), 1):
        raise DefinitionError(
            f"The journey is to run to day {last_day}; the protocol follows to day {int(end.max(initial=0))}. "
            "Give a day from 1 to that."
        )
    visits = visit_days(study.protocol, study.baseline, last_day)
    spent = cost_days(study.protocol, study.baseline, last_day)
    assert study.data.outcomes is not None
    death = study.data.outcomes["death_day"].to_numpy(dtype=float)
    names = (study.protocol.exposed.name, study.protocol.comparator.name)
    return _steps(visits, spent, end, death, study.data.exposed, names, last_day)


def _steps(
    visits: pd.DataFrame, spent: pd.DataFrame | None, end: Any, death: Any, exposed: Any, names: tuple[str, str],
    last_day: int,
) -> Steps:  # fmt: skip
    followed = np.flatnonzero(end >= 1)
    stop = np.minimum(end, last_day)
    died = np.isfinite(death) & (death <= stop)
    last = np.where(died, DEATH, np.where(end < last_day, LEFT, NONE)).astype(object)
    row = np.concatenate([visits["row"].to_numpy(dtype=np.int64), followed])
    day = np.concatenate([visits["day"].to_numpy(dtype=float), stop[followed]])
    state = np.concatenate([visits["kind"].to_numpy(dtype=object), last[followed]])
    closing = np.concatenate([np.zeros(len(visits)), np.ones(len(followed))])
    at = np.lexsort([closing, day, row])
    row, day, state = row[at], day[at], state[at]
    first = np.r_[True, row[1:] != row[:-1]] if len(row) else np.zeros(0, bool)
    before = np.where(first, START, np.r_[[START], state[:-1]] if len(state) else state)
    since = np.where(first, 0.0, np.r_[[0.0], day[:-1]] if len(day) else day)
    starts = np.flatnonzero(first)
    order = np.arange(len(row)) - np.repeat(starts, np.diff(np.r_[starts, len(row)])) + 1
    cost = np.full(len(row), np.nan) if spent is None else _between(spent, row, since, day, state)
    return Steps(row, order, before, state, day - since, cost, np.asarray(exposed, bool), names, last_day)


def _between(spent: pd.DataFrame, row: Any, since: Any, day: Any, state: Any) -> Any:
    """Cost from the step before, its own day included, up to the day before this step; to the end at an end."""
    who, when, amount = (spent[name].to_numpy() for name in ("row", "day", "cost"))
    reach = float(max(day.max(initial=0.0), when.max(initial=0.0)) + 2)
    key = who * reach + when
    sums = np.concatenate([[0.0], np.cumsum(amount)])
    upto = np.where(np.isin(state, ENDS), day + 1, day)

    def before(limit: Any) -> Any:
        return sums[np.searchsorted(key, row * reach + limit, side="left")]

    return before(upto) - before(np.maximum(since, 0.0))


class Journey:
    """The care journeys of a study's persons, side by side. A description: nothing is adjusted.

    Parameters
    ----------
    study : the arms and their follow-up.
    last_day : journeys are followed from day 1 to this day.
    steps : of the flow diagram.
    """

    def __init__(self, study: Any, last_day: int = 180, steps: int = 3) -> None:
        if not 1 <= steps <= 6:
            raise DefinitionError(f"The flow is to have {steps} steps; give 1 to 6.")
        self.study, self.shown_steps = study, steps
        self.steps = steps_of(study, last_day)
        self._gallery = Gallery(
            NUMBERS, synthetic=study.source.synthetic, min_cell=study.protocol.min_cell,
            everything=lambda: self.exhibits,
        )  # fmt: skip

    @property
    def flow(self) -> Result:
        """From step to step, as a flow."""
        return self._show("journey_flow", lambda: flow(self.steps, self.shown_steps))

    @property
    def transitions(self) -> Result:
        """Which contact follows which."""
        return self._show("transitions", lambda: transitions(self.steps))

    @property
    def between(self) -> Result:
        """Days and cost from one contact to the next."""
        return self._show("between", lambda: between(self.steps, self._currency))

    @property
    def variants(self) -> Result:
        """The most frequent journeys."""
        return self._show("variants", lambda: variants(self.steps, self.shown_steps))

    @cached_property
    def _currency(self) -> str:
        return str(self.study.currency)

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return tuple(getattr(self, name) for name in ORDER)

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Transitions of both arms as rows of the long schema: shares of those who leave a state."""
        from clinops.results.schema import estimates

        frame = matrix(self.steps)
        notebook, (one, zero) = os.environ.get("CLINOPS_NOTEBOOK", ""), self.steps.names
        n = {(r["arm"], r["from"], r["to"]): int(r["n"]) for r in frame.to_dict("records")}
        left = {(r["arm"], r["from"]): int(r["n_from"]) for r in frame.to_dict("records")}
        rows = []
        for source, target in dict.fromkeys(zip(frame["from"], frame["to"], strict=True)):
            count = [n.get((arm, source, target), 0) for arm in (one, zero)]
            base = [left.get((arm, source), 0) for arm in (one, zero)]
            share = [1000 * c / b if b else np.nan for c, b in zip(count, base, strict=True)]
            rows.append({
                "analysis": "transition", "notebook": notebook, "exposed": one, "comparator": zero, "measure": target,
                "level": f"after {source}", "method": "share of steps", "unit": "per 1,000 steps",
                "adjustment": "crude", "scale": "share difference", "period": f"days 1 to {self.steps.last_day}",
                "n_exposed": base[0], "n_comparator": base[1], "events_exposed": count[0],
                "events_comparator": count[1], "value_exposed": share[0], "value_comparator": share[1],
                "estimate": share[0] - share[1], "note": "steps of one person are not independent: no interval",
            })  # fmt: skip
        return estimates(rows)

    def write(self, folder: str | Path | None = None) -> Path | None:
        """Write results, tables and figures into a folder; see `Study.write`."""
        from clinops.analyse.bundle import Bundle, write

        made = Bundle(
            f"Care journey: {self.study.protocol.title}", self.exhibits, self.study.source,
            protocol=self.study.protocol, findings=self.study.findings, estimates=self.estimates,
            min_cell=self.study.protocol.min_cell,
        )  # fmt: skip
        return write(made, folder)

    def _show(self, name: str, make: Any) -> Result:
        shown: Result = self._gallery.show(name, make)
        return shown

    def __str__(self) -> str:
        return "\n\n".join(str(one) for one in self.exhibits)

    def _repr_html_(self) -> str:
        return "\n".join(one._repr_html_() for one in self.exhibits)


def journey(study: Any, last_day: int = 180, steps: int = 3) -> Journey:
    """Follow the contacts of a study's persons from the index date on, in both arms.

    Parameters
    ----------
    study : from ``protocol.on(source)``. last_day : to which journeys are followed. steps : of the flow diagram.

    Raises
    ------
    DefinitionError : days or steps that cannot be. DataError : the records hold no visits.
    """
    return Journey(study, last_day, steps)


def matrix(steps: Steps) -> pd.DataFrame:
    """Transitions by arm: from, to, n, and n_from, all steps that leave the state."""
    import pandas as pd

    parts = []
    for name, mine in steps.arms():
        pairs = pd.DataFrame({"from": steps.before[mine], "to": steps.state[mine]})
        counted = pairs.groupby(["from", "to"], sort=False).size().rename("n").reset_index()
        parts.append(counted.assign(arm=name, n_from=counted.groupby("from")["n"].transform("sum")))
    frame = pd.concat(parts, ignore_index=True)
    states = _states(steps)
    place = {state: i for i, state in enumerate((START, *states, *ENDS))}
    keyed = frame.assign(a=frame["from"].map(place), b=frame["to"].map(place), c=(frame["arm"] != steps.names[0]))
    ordered = keyed.sort_values(["c", "a", "b"], ignore_index=True)
    return ordered[["arm", "from", "to", "n", "n_from"]]


def _states(steps: Steps) -> list[str]:
    from clinops.build.visit_days import KINDS

    found = set(steps.state)
    return [kind for kind in KINDS if kind in found]


def transitions(steps: Steps) -> Result:
    """Which contact follows which: a transition matrix of each arm, with counts and denominators."""
    frame = matrix(steps)
    columns = (
        Column("from", "After"), Column("to", "Comes"),
        Column("n", "Steps", "percent", "n/all that leave (%)", denominator="n_from"),
    )  # fmt: skip
    first = frame[(frame["from"] == START)].sort_values("n", ascending=False).iloc[0]
    said = (
        f"After the index date {first['arm']} most often come to: {str(first['to']).lower()}, "
        f"{100 * first['n'] / first['n_from']:.0f}% of {first['n_from']:,}."
    )
    figure = Figure("transition_map", frame, {"unit": "steps", "adjustment": "crude"}, counts=("n", "n_from"))
    return Result(
        "transitions", f"Which contact follows which, to day {steps.last_day}", frame, columns,
        ("As it happened, not adjusted: the arms differ in more than the exposure. Of several contacts on one day the "
         "gravest counts.",), said, figure=figure, alt=said, group_by="arm",
    )  # fmt: skip


def flow(steps: Steps, most: int) -> Result:
    """The first contacts of every person, step by step."""
    import pandas as pd

    nodes, links = [], []
    for name, mine in steps.arms():
        wide = _wide(steps, mine, most)
        for k in range(most):
            at = wide[:, k]
            here = Counter(str(state) for state in at if state)
            nodes += [{"arm": name, "step": f"Step {k + 1}", "state": s, "to": "", "n": n} for s, n in here.items()]
            if k + 1 < most:
                pairs = Counter((str(a), str(b)) for a, b in wide[:, k : k + 2] if a and b)
                links += [{"arm": name, "step": f"Step {k + 1}", "state": a, "to": b, "n": n}
                          for (a, b), n in pairs.items()]  # fmt: skip
    frame = pd.DataFrame([*nodes, *links], columns=["arm", "step", "state", "to", "n"])
    order = {state: i for i, state in enumerate((*_states(steps), *ENDS))}
    frame = frame.assign(a=frame["state"].map(order), b=frame["to"].map(order).fillna(-1))
    frame = frame.sort_values(["arm", "step", "a", "b"], key=lambda c: c.map({steps.names[0]: 0, steps.names[1]: 1})
                              if c.name == "arm" else c, ignore_index=True).drop(columns=["a", "b"])  # fmt: skip
    table = frame[frame["to"] == ""].drop(columns="to").reset_index(drop=True)
    table["all"] = table["arm"].map({steps.names[0]: steps.persons(True), steps.names[1]: steps.persons(False)})
    columns = (
        Column("step", "Step"),
        Column("state", "Contact"),
        Column("n", "Persons", "percent", "n/all (%)", denominator="all"),
    )
    first = table[(table["arm"] == steps.names[0]) & (table["step"] == "Step 1")]
    one = first.sort_values("n", ascending=False).iloc[0]
    said = f"{steps.names[0]} first come to {str(one['state']).lower()} most often: {one['n']:,} of {one['all']:,}."
    figure = Figure("alluvial", frame, {}, counts=("n",))
    return Result("journey_flow", f"The first {most} contacts, to day {steps.last_day}", table, columns,
                  ("Who has come to an end stays there. As it happened, not adjusted.",), said, figure=figure, alt=said,
                  group_by="arm")  # fmt: skip


def _wide(steps: Steps, mine: Any, most: int) -> NDArray[np.object_]:
    """(persons, steps): the state at each step; who has come to an end stays in it."""
    row, order, state = steps.row[mine], steps.order[mine], steps.state[mine]
    persons, at = np.unique(row, return_inverse=True)
    wide = np.full((len(persons), most), "", dtype=object)
    inside = order <= most
    wide[at[inside], order[inside] - 1] = state[inside]
    for k in range(1, most):
        wide[:, k] = np.where((wide[:, k] == "") & np.isin(wide[:, k - 1], ENDS), wide[:, k - 1], wide[:, k])
    return wide


def between(steps: Steps, currency: str) -> Result:
    """Days and cost from one contact to the next, by arm."""
    import pandas as pd

    lines = []
    for state in (START, *_states(steps)):
        line: dict[str, Any] = {"from": state}
        for name, (_, mine) in zip(("exposed", "comparator"), steps.arms(), strict=True):
            at = mine & (steps.before == state)
            seen = at & ~np.isin(steps.state, (LEFT, NONE))
            days = steps.days[seen]
            line |= {
                f"n_{name}": int(at.sum()), f"seen_{name}": int(seen.sum()),
                f"days_{name}": float(np.median(days)) if len(days) else np.nan,
                f"low_{name}": float(np.percentile(days, 25)) if len(days) else np.nan,
                f"high_{name}": float(np.percentile(days, 75)) if len(days) else np.nan,
                f"cost_{name}": float(steps.cost[at].mean()) if at.any() else np.nan,
            }  # fmt: skip
        lines.append(line)
    frame = pd.DataFrame(lines)
    columns = [Column("from", "From")]
    for name, head in zip(("exposed", "comparator"), steps.names, strict=True):
        columns += [
            Column(f"n_{name}", "Steps", "count", "n", head),
            Column(f"seen_{name}", "To another contact or death", "percent", "n/all (%)", head,
                   denominator=f"n_{name}"),
            Column(f"days_{name}", "Days to it, median (quartiles)", "median", "days", head, low=f"low_{name}",
                   high=f"high_{name}", of=f"seen_{name}"),
        ]  # fmt: skip
        if np.isfinite(steps.cost).any():
            columns.append(Column(f"cost_{name}", "Cost until the next", "money", currency, head, of=f"n_{name}"))
    said = f"To day {steps.last_day}; times are of contacts that were followed by another one or by death."
    return Result("between", "From one contact to the next", frame, tuple(columns),
                  ("Cost counts from the day of a contact up to the day before the next, or to the end of the journey.",
                   "As it happened, not adjusted."), said)  # fmt: skip


def variants(steps: Steps, most: int) -> Result:
    """The most frequent journeys of so many steps, and how many take each."""
    import pandas as pd

    counted: dict[str, dict[str, int]] = {}
    for name, mine in steps.arms():
        for line in _wide(steps, mine, most):
            path = [str(state) for state in line if state]
            cut = next((i + 1 for i, state in enumerate(path) if state in ENDS), len(path))
            counted.setdefault(" → ".join(path[:cut]), dict.fromkeys(steps.names, 0))[name] += 1
    ordered = sorted(counted.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    kept, rest = ordered[:MOST_VARIANTS], ordered[MOST_VARIANTS:]
    lines = [(path, n) for path, n in kept]
    if rest:
        lines.append((f"{len(rest):,} others", {name: sum(n[name] for _, n in rest) for name in steps.names}))
    frame = pd.DataFrame([
        {"variant": path, "n_exposed": n[steps.names[0]], "n_comparator": n[steps.names[1]],
         "all_exposed": steps.persons(True), "all_comparator": steps.persons(False)}
        for path, n in lines
    ])  # fmt: skip
    columns = (
        Column("variant", f"Journey, first {most} steps"),
        Column("n_exposed", steps.names[0], "percent", "n/all (%)", denominator="all_exposed"),
        Column("n_comparator", steps.names[1], "percent", "n/all (%)", denominator="all_comparator"),
    )
    said = (
        f"{len(ordered):,} different journeys; the most frequent: {ordered[0][0]}."
        if ordered
        else "Nobody was followed."
    )
    return Result("variants", "The most frequent journeys", frame, columns,
                  ("As it happened, not adjusted.",), said)  # fmt: skip
