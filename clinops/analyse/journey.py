"""The care journey: which contact came first, what followed it, how soon and at what cost, in the two arms."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.journey_cells import (
    DEATH,
    ENDS,
    LEFT,
    NONE,
    OTHERS,
    START,
    Hidden,
    Joint,
    Key,
    is_hidden,
    journey_name,
)
from clinops.errors import DataError, DefinitionError
from clinops.results.result import Column, Figure, Result
from clinops.results.suppress import HIDDEN

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {
    "journey_flow": "Figure 1", "transitions": "Figure 2", "between": "Table 1", "variants": "Table 2",
}  # fmt: skip
ORDER = ("flow", "transitions", "between", "variants")
MOST_VARIANTS = 12
NOTHING: Hidden = {}


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
    DefinitionError : nobody is followed that far.
    DataError : the records hold no visits, or nobody is followed for a day.
    """
    from clinops.build.visit_days import cost_days, visit_days

    planned = study.protocol.follow_up.window.end
    if last_day < 1 or (planned is not None and last_day > planned):
        _refuse(last_day, planned or 1)
    end = study.data.end_day
    furthest = int(end.max(initial=0))
    if furthest < 1:
        raise DataError("Nobody is followed for a day after the index date, so there is no journey.")
    if last_day > furthest:
        _refuse(last_day, furthest)
    visits = visit_days(study.protocol, study.baseline, last_day)
    spent = cost_days(study.protocol, study.baseline, last_day)
    assert study.data.outcomes is not None
    death = study.data.outcomes["death_day"].to_numpy(dtype=float)
    names = (study.protocol.exposed.name, study.protocol.comparator.name)
    return _steps(visits, spent, end, death, study.data.exposed, names, last_day)


def _refuse(last_day: int, furthest: int) -> None:
    raise DefinitionError(
        f"The journey is to run to day {last_day}; follow-up reaches day {furthest}. Give a day from 1 to that."
    )


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


class Journey(Readable, Analysis):
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
        return self._show("journey_flow", lambda: flow(self.steps, self.shown_steps, self._hidden))

    @property
    def transitions(self) -> Result:
        """Which contact follows which."""
        return self._show("transitions", lambda: transitions(self.steps, self._hidden))

    @property
    def between(self) -> Result:
        """Days and cost from one contact to the next."""
        return self._show("between", lambda: between(self.steps, self._currency, self._hidden))

    @property
    def variants(self) -> Result:
        """The most frequent journeys."""
        return self._show("variants", lambda: variants(self.steps, self.shown_steps, self._hidden))

    @cached_property
    def _hidden(self) -> Hidden:
        return hidden_counts(self.steps, self.shown_steps, self.study.protocol.min_cell)

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
            gone = [is_hidden(self._hidden, arm, "step", source, target) for arm in (one, zero)]
            bare = [is_hidden(self._hidden, arm, "from", source) for arm in (one, zero)]
            note = "steps of one person are not independent: no interval"
            if any((*gone, *bare)):
                share, note = [np.nan, np.nan], f"{note}; not shown: a small count could be worked out from it"
            rows.append({
                "analysis": "transition", "notebook": notebook, "exposed": one, "comparator": zero, "measure": target,
                "level": f"after {source}", "method": "share of steps", "unit": "per 1,000 steps",
                "adjustment": "crude", "scale": "share difference", "period": f"days 1 to {self.steps.last_day}",
                "n_exposed": None if bare[0] else base[0],
                "n_comparator": None if bare[1] else base[1], "events_exposed": None if gone[0] else count[0],
                "events_comparator": None if gone[1] else count[1], "value_exposed": share[0],
                "value_comparator": share[1], "estimate": share[0] - share[1], "note": note,
            })  # fmt: skip
        return estimates(rows)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        return Bundle(
            f"Care journey: {self.study.protocol.title}", self.exhibits, self.study.source,
            protocol=self.study.protocol, findings=self.study.findings, estimates=self.estimates,
            min_cell=self.study.protocol.min_cell,
        )  # fmt: skip


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


def hidden_counts(steps: Steps, most: int, min_cell: int) -> Hidden:
    """Find the large counts that the exhibits together must not show; see `journey_cells`."""
    shown = [name for name, _ in _ranked(steps, most)[:MOST_VARIANTS]]
    found: dict[str, set[Key]] = {}
    for name, mine in steps.arms():
        row, state = steps.row[mine], steps.state[mine]
        paths = [[str(one) for one in path] for path in np.split(state, np.flatnonzero(np.diff(row)) + 1)]
        found[name] = Joint(paths, most, shown, min_cell).hidden() if len(row) else set()
    return found


def _without(counts: Any, gone: list[bool]) -> Any:
    """Whole numbers, missing where they are not shown."""
    return counts.astype("Int64").mask(np.array(gone, dtype=bool))


def _taken(frame: pd.DataFrame) -> tuple[tuple[int, str, str], ...]:
    """The counts of a frame that are missing since they are not shown."""
    counts = [str(name) for name in frame.columns if str(frame[name].dtype) == "Int64"]
    return tuple((int(row), name, HIDDEN) for name in counts for row in np.flatnonzero(frame[name].isna()))


def _states(steps: Steps) -> list[str]:
    from clinops.build.visit_days import KINDS

    found = set(steps.state)
    return [kind for kind in KINDS if kind in found]


def transitions(steps: Steps, hidden: Hidden = NOTHING) -> Result:
    """Which contact follows which: a transition matrix of each arm, with counts and denominators."""
    frame = matrix(steps)
    cells = list(zip(frame["arm"], frame["from"], frame["to"], strict=True))
    frame["n"] = _without(frame["n"], [is_hidden(hidden, arm, "step", a, b) for arm, a, b in cells])
    frame["n_from"] = _without(frame["n_from"], [is_hidden(hidden, arm, "from", a) for arm, a, _ in cells])
    columns = (
        Column("from", "After"), Column("to", "Comes"),
        Column("n", "Steps", "percent", "n/all that leave (%)", denominator="n_from"),
    )  # fmt: skip
    first = _largest(frame[frame["from"] == START])
    said = (
        f"After the index date {first['arm']} most often come to: {str(first['to']).lower()}, "
        f"{100 * first['n'] / first['n_from']:.0f}% of {first['n_from']:,}."
    )
    figure = Figure("transition_map", frame, {"unit": "steps", "adjustment": "crude"}, counts=("n", "n_from"),
                    hidden=_taken(frame))  # fmt: skip
    return Result(
        "transitions", f"Which contact follows which, to day {steps.last_day}", frame, columns,
        ("As it happened, not adjusted: the arms differ in more than the exposure. Of several contacts on one day the "
         "gravest counts.",), said, figure=figure, alt=said, group_by="arm", hidden=_taken(frame),
    )  # fmt: skip


def _largest(frame: pd.DataFrame) -> Any:
    """The row of the largest count of the first arm that has one."""
    known = frame[frame["n"].notna()]
    first = known[known["arm"] == known["arm"].iloc[0]]
    return first.sort_values("n", ascending=False, kind="stable").iloc[0]


def flow(steps: Steps, most: int, hidden: Hidden = NOTHING) -> Result:
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
    keys = [
        (arm, "link", int(step.split()[1]), a, b) if b else (arm, "node", int(step.split()[1]), a)
        for arm, step, a, b in zip(*(frame[name] for name in ("arm", "step", "state", "to")), strict=True)
    ]
    frame["n"] = _without(frame["n"], [is_hidden(hidden, *key) for key in keys])
    whole = {steps.names[0]: steps.persons(True), steps.names[1]: steps.persons(False)}
    frame["n_arm"] = frame["arm"].map(whole)
    table = frame[frame["to"] == ""].drop(columns="to").reset_index(drop=True)
    columns = (
        Column("step", "Step"),
        Column("state", "Contact"),
        Column("n", "Persons", "percent", "n/all (%)", denominator="n_arm"),
    )
    one = _largest(table[table["step"] == "Step 1"])
    said = f"{one['arm']} first come to {str(one['state']).lower()} most often: {one['n']:,} of {one['n_arm']:,}."
    figure = Figure("alluvial", frame, {"adjustment": "crude"}, counts=("n", "n_arm"), hidden=_taken(frame))
    # No number of steps in the title: disclosure control would take it for a hidden count.
    return Result("journey_flow", f"The first contacts, step by step, to day {steps.last_day}", table, columns,
                  ("Who has come to an end stays there. As it happened, not adjusted.",), said,
                  figure=figure, alt=said, group_by="arm", hidden=_taken(table))  # fmt: skip


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


def between(steps: Steps, currency: str, hidden: Hidden = NOTHING) -> Result:
    """Days and cost from one contact to the next, by arm."""
    import pandas as pd

    lines = []
    for state in (START, *_states(steps)):
        line: dict[str, Any] = {"from": state}
        for name, (arm, mine) in zip(("exposed", "comparator"), steps.arms(), strict=True):
            at = mine & (steps.before == state)
            seen = at & ~np.isin(steps.state, ENDS)
            days = steps.days[seen]
            line |= {
                f"n_{name}": None if is_hidden(hidden, arm, "from", state) else int(at.sum()),
                f"seen_{name}": None if is_hidden(hidden, arm, "seen", state) else int(seen.sum()),
                f"days_{name}": float(np.median(days)) if len(days) else np.nan,
                f"low_{name}": float(np.percentile(days, 25)) if len(days) else np.nan,
                f"high_{name}": float(np.percentile(days, 75)) if len(days) else np.nan,
                f"cost_{name}": float(steps.cost[at].mean()) if at.any() else np.nan,
            }  # fmt: skip
        lines.append(line)
    frame = pd.DataFrame(lines)
    frame = frame.astype({name: "Int64" for name in map(str, frame.columns) if name.startswith(("n_", "seen_"))})
    columns = [Column("from", "From")]
    for name, head in zip(("exposed", "comparator"), steps.names, strict=True):
        columns += [
            Column(f"n_{name}", "Steps", "count", "n", head),
            Column(f"seen_{name}", "To another contact", "percent", "n/all (%)", head, denominator=f"n_{name}"),
            Column(f"days_{name}", "Days to it, median (quartiles)", "median", "days", head, low=f"low_{name}",
                   high=f"high_{name}", of=f"seen_{name}"),
        ]  # fmt: skip
        if np.isfinite(steps.cost).any():
            columns.append(Column(f"cost_{name}", "Cost until the next", "money", currency, head, of=f"n_{name}"))
    said = f"To day {steps.last_day}; times are of those that were followed by another contact."
    return Result("between", "From one contact to the next", frame, tuple(columns),
                  ("Cost counts from the day of a contact up to the day before the next, or to the end of the journey.",
                   "As it happened, not adjusted."), said, hidden=_taken(frame))  # fmt: skip


def _ranked(steps: Steps, most: int) -> list[tuple[str, dict[str, int]]]:
    """Every journey with its persons by arm, the most frequent first."""
    counted: dict[str, dict[str, int]] = {}
    for name, mine in steps.arms():
        for line in _wide(steps, mine, most):
            path = journey_name([str(state) for state in line])
            counted.setdefault(path, dict.fromkeys(steps.names, 0))[name] += 1
    return sorted(counted.items(), key=lambda item: (-sum(item[1].values()), item[0]))


def variants(steps: Steps, most: int, hidden: Hidden = NOTHING) -> Result:
    """The most frequent journeys of so many steps, and how many take each."""
    import pandas as pd

    ordered = _ranked(steps, most)
    kept, rest = ordered[:MOST_VARIANTS], ordered[MOST_VARIANTS:]
    lines = [(path, n) for path, n in kept]
    if rest:
        lines.append((f"{len(rest):,} others", {name: sum(n[name] for _, n in rest) for name in steps.names}))
    frame = pd.DataFrame([
        {"variant": path, "n_exposed": n[steps.names[0]], "n_comparator": n[steps.names[1]],
         "all_exposed": steps.persons(True), "all_comparator": steps.persons(False)}
        for path, n in lines
    ])  # fmt: skip
    keys = [path for path, _ in kept] + [OTHERS] * bool(rest)
    for name, arm in zip(("n_exposed", "n_comparator"), steps.names, strict=True):
        frame[name] = _without(frame[name], [is_hidden(hidden, arm, "path", key) for key in keys])
    columns = (
        Column("variant", f"Journey, first {most} steps"),
        Column("n_exposed", steps.names[0], "percent", "n/all (%)", denominator="all_exposed"),
        Column("n_comparator", steps.names[1], "percent", "n/all (%)", denominator="all_comparator"),
    )
    said = f"{len(ordered):,} different journeys; the most frequent: {ordered[0][0]}."
    return Result("variants", "The most frequent journeys", frame, columns,
                  ("As it happened, not adjusted.",), said, hidden=_taken(frame))  # fmt: skip
