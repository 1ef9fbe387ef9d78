"""Disclosure control: applied once, at the exit, to everything that leaves together.

Counts of 1 to 10 print "<11"; 0 is shown. What a hidden count could be solved from is hidden too: larger
counts of the same sums ("hidden"), numbers of the same row made from it (columns with ``of``), the same
count in another exhibit, sentences that say it. docs/results.md lists the rules and what they do not cover.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from clinops.errors import DataError
from clinops.results import cells as core
from clinops.results.figure_sums import figure_sums
from clinops.results.front import FrontPage
from clinops.results.redact import redact, redact_label, spellings
from clinops.results.result import COUNT_FORMATS, Check, Column, Figure, Result
from clinops.results.structure import SEQUENCES, Exhibit, Place, cells_of, count_cells, number_of
from clinops.results.suppress import HIDDEN, less_than

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T", Result, FrontPage)

#: Formats of numbers that are made from counts, where the column does not say what it is ``of``.
DERIVED = ("fraction", "ratio", "interval", "p", "smd", "percent", "n_percent")
DERIVED_NAME = re.compile(
    r"(^|_)(rate|risk|share|percent|proportion|weighted|ratio|difference|estimate|value|low|high|smd|p|error|hazard)"
    r"(_|$)"
)
SIZE_NAME = re.compile(r"(^|_)(n|persons?|patients|known|at_risk|n_risk)(_|$)")
ROUNDS = 10
#: Kinds of figures whose curves end before fewer than the smallest count are at risk.
CURVES = ("survival", "cumulative_incidence", "mean_count")


def protect(results: Any, min_cell: int = 11) -> Any:
    """Hide small counts, and whatever would give them away, in everything that leaves together.

    Parameters
    ----------
    results : a result, a check, a front page, the frame of estimates, or a sequence of them. A count
        hidden in one of them is hidden in all of them, so give the whole bundle at once.
    min_cell : the smallest count shown; 11 hides 1 to 10.

    Returns
    -------
    The same, protected: a tuple for a sequence. What was protected before comes back as it is.

    Raises
    ------
    DataError
        Something else was given, which nobody would know how to protect.
    """
    if isinstance(results, list | tuple):
        return _protect_all(results, min_cell)
    return _protect_all((results,), min_cell)[0]


def _protect_all(items: Sequence[Any], min_cell: int) -> tuple[Any, ...]:
    for item in items:
        if not isinstance(item, Result | FrontPage) and not hasattr(item, "columns"):
            raise DataError(f"A {type(item).__name__} cannot be protected; give results, or the estimates.")
    flat = [part for item in items for part in _parts(item) if not part.protected]
    echoes: set[tuple[str, float]] = set()
    for _ in range(ROUNDS):
        plans = {id(part): _plan(part, min_cell, echoes) for part in flat}
        more = {echo for plan in plans.values() for echo in plan.echoes} - echoes
        if not more:
            break
        echoes |= more
    return tuple(_applied(item, plans if flat else {}, min_cell) for item in items)


def _parts(item: Any) -> tuple[Result, ...]:
    if isinstance(item, Result):
        return (item,)
    return (*item.results, *item.failed) if isinstance(item, FrontPage) else ()


def _applied(item: Any, plans: dict[int, Plan], min_cell: int) -> Any:
    if isinstance(item, FrontPage):
        return _front(item, plans, min_cell)
    if isinstance(item, Result):
        return _apply(item, plans[id(item)], min_cell) if id(item) in plans else item
    from clinops.results.long import protect_estimates

    return protect_estimates(item, min_cell)


# -- What is hidden ----------------------------------------------------------------------------------


@dataclass
class Plan:
    """What disclosure control takes from one exhibit.

    Attributes
    ----------
    table, drawing : cells of the frame and of the figure's data -> what is printed instead.
    echoes : counts that are hidden although they are large, by name, to be hidden elsewhere too.
    values : hidden numbers, as they may be said in words.
    """

    table: dict[Place, str] = field(default_factory=dict)
    drawing: dict[Place, str] = field(default_factory=dict)
    echoes: set[tuple[str, float]] = field(default_factory=set)
    values: set[str] = field(default_factory=set)


def _plan(result: Result, min_cell: int, echoes: set[tuple[str, float]]) -> Plan:
    plan = Plan()
    exhibit = _exhibit(result)
    # What an exhibit's maker has hidden already stays hidden.
    hidden = _texts(result.hidden) | _hidden(exhibit, min_cell, echoes, plan)
    plan.table = hidden | _derived(result.frame, result.shown, hidden, exhibit, _cut(result, exhibit, min_cell))
    if result.figure is not None:
        drawn = _drawn(result.figure, result)
        shown = _figure_columns(result.figure)
        hidden = _texts(result.figure.hidden) | _hidden(drawn, min_cell, echoes | plan.echoes, plan)
        plan.drawing = hidden | _derived(
            result.figure.data, shown, hidden, drawn, _cut(result, drawn, min_cell), only_said=True
        )
    drawn_from = result.frame if result.figure is None else result.figure.data
    for frame, cells in ((result.frame, plan.table), (drawn_from, plan.drawing)):
        for row, column in cells:
            value = number_of(frame[column].iloc[row])
            plan.values |= set() if value is None else spellings(value)
    return plan


def _texts(hidden: Iterable[tuple[int, str, str]]) -> dict[Place, str]:
    return {(row, column): text for row, column, text in hidden}


def _exhibit(result: Result) -> Exhibit:
    """Read from a result's columns what it counts."""
    named: dict[str, Any] = {}
    denominators = {}
    for column in result.shown:
        if column.format_by:
            formats = result.frame[column.format_by].tolist()
            named[column.name] = [str(how) in COUNT_FORMATS for how in formats]
        elif column.format not in COUNT_FORMATS:
            named.setdefault(column.name, False)
        else:
            named[column.name] = True
        for part in (column.spread, column.low, column.high):  # no counts, whatever their names say
            if part is not None:
                named.setdefault(part, False)
        if column.denominator is not None:
            named[column.denominator] = True
            denominators[column.name] = column.denominator
        named |= dict.fromkeys(column.parents, True)
    return _made(result.frame, named, denominators, result.name, result.label_column, result.group_by)


def _drawn(figure: Figure, result: Result) -> Exhibit:
    named: dict[str, Any] = {column: True for column in figure.counts if column in figure.data.columns}
    made = _made(figure.data, named, {}, f"{result.name} {figure.kind}", None, None)
    return dataclasses.replace(made, sums=figure_sums(figure))


def _made(
    frame: pd.DataFrame, named: dict[str, Any], denominators: dict[str, str], name: str, label: str | None,
    group: str | None,
) -> Exhibit:  # fmt: skip
    text = [str(c) for c in frame.columns if frame[c].dtype == object or str(frame[c].dtype).startswith("str")]
    repeated = [c for c in text if frame[c].duplicated().any() and frame[c].nunique() < len(frame)]
    groups = [group, *repeated] if group else repeated
    free = [c for c in text if c != group]
    unique = next((c for c in free if not frame[c].duplicated().any()), None)
    for events in [str(c) for c in frame.columns if str(c).startswith("events")]:
        size = events.replace("events", "n", 1)
        if size in frame.columns and events not in denominators:
            denominators = {**denominators, events: size}
    return Exhibit(
        frame, count_cells(frame, named), denominators, label or unique or next(iter(free), None),
        tuple(dict.fromkeys(g for g in groups if g)), bool(SEQUENCES.search(name)),
    )  # fmt: skip


def _hidden(exhibit: Exhibit, min_cell: int, echoes: set[tuple[str, float]], plan: Plan) -> dict[Place, str]:
    """Choose the counts to hide, and note the large ones among them."""
    cells, at = cells_of(exhibit, min_cell)
    names = {place: exhibit.place_name(place[0]) for place in at}
    forced = {cell for place, cell in at.items() if (names[place], exhibit.counts[place]) in echoes}
    gone = core.hide(cells, min_cell, forced)
    found = {}
    for place, cell in at.items():
        if cell in gone:
            value = exhibit.counts[place]
            small = core.small(value, min_cell)
            found[place] = less_than(min_cell) if small else HIDDEN
            if not small:
                plan.echoes.add((names[place], value))
    return found


def _cut(result: Result, exhibit: Exhibit, min_cell: int) -> set[Place]:
    """Places of a survival curve where so few are at risk that nothing may rest on them; none at risk is few."""
    if result.figure is None or result.figure.kind not in CURVES:
        return set()
    return {place for place, value in exhibit.counts.items() if value < min_cell}


def _derived(
    frame: pd.DataFrame, columns: Iterable[Column], hidden: dict[Place, str], exhibit: Exhibit,
    cut: set[Place], *, only_said: bool = False,
) -> dict[Place, str]:  # fmt: skip
    """Hide, in the rows of hidden counts, the numbers that could be solved for them."""
    shown = list(columns)
    rows = sorted({row for row, _ in (*hidden, *cut)})
    taken: dict[Place, str] = {}
    named = {part for column in shown for part in column.fields}
    for row in rows:
        gone = {column for at, column in (*hidden, *cut) if at == row}
        few = any(SIZE_NAME.search(c) and hidden.get((row, c), HIDDEN) != HIDDEN for c in gone)
        for i, column in enumerate(shown):
            if (row, column.name) in exhibit.counts or (i == 0 and column.of is None):
                continue
            how = str(frame[column.format_by].iloc[row]) if column.format_by else column.format
            if _rests_on(column, how, gone, few, only_said):
                parts = [part for part in column.fields if part != column.denominator]
                taken |= {(row, part): HIDDEN for part in parts if part in frame.columns}
        if not only_said:
            taken |= {(row, c): HIDDEN for c in _unnamed(frame, row, named, exhibit)}
    return {place: text for place, text in taken.items() if place not in hidden}


def _rests_on(column: Column, how: str, gone: set[str], few: bool, only_said: bool) -> bool:
    if column.of is not None:
        return bool(set(column.parents) & gone)
    return not only_said and (how in DERIVED or (few and how not in ("text", "date", "verdict", "count")))


def _unnamed(frame: pd.DataFrame, row: int, named: set[str], exhibit: Exhibit) -> list[str]:
    """Columns of the frame that are not shown but would leave with it, and read as made from counts."""
    return [
        str(c)
        for c in frame.columns
        if str(c) not in named
        and (row, str(c)) not in exhibit.counts
        and frame[c].dtype.kind == "f"
        and DERIVED_NAME.search(str(c))
    ]


def _figure_columns(figure: Figure) -> list[Column]:
    return [
        Column(name, name, "number2", of=tuple(parents))
        for name, parents in figure.of.items()
        if name in figure.data.columns
    ]


# -- Taking it away ----------------------------------------------------------------------------------


def _apply(result: Result, plan: Plan, min_cell: int) -> Result:
    figure = result.figure
    if figure is not None:
        data = _emptied(figure.data, plan.drawing)
        gone = tuple((row, column, text) for (row, column), text in sorted(plan.drawing.items()))
        if figure.kind in CURVES:
            data, gone = _truncated(figure, data, min_cell, gone)
        # A figure prints one text for every count it lacks: "<11" only where that is true of all of them.
        counted = _count_columns(figure)
        words = {text for _, column, text in gone if column in counted}
        said = {"suppressed": HIDDEN if HIDDEN in words else less_than(min_cell)}
        figure = dataclasses.replace(figure, data=data, hidden=gone, options={**figure.options, **said})
    changes: dict[str, Any] = {
        "frame": _emptied(result.frame, plan.table),
        "hidden": tuple((row, column, text) for (row, column), text in sorted(plan.table.items())),
        "figure": figure,
        "protected": min_cell,
        "columns": tuple(_column(c, plan, min_cell) for c in result.columns),
        "notes": tuple(redact(note, plan.values, min_cell) for note in result.notes),
    }
    changes |= {part: redact(getattr(result, part), plan.values, min_cell) for part in ("title", "sentence", "alt")}
    if isinstance(result, Check):
        changes |= {part: _held(getattr(result, part), plan.values) for part in ("observed", "threshold")}
        changes["why"] = redact(result.why, plan.values, min_cell)
    if plan.table or plan.drawing:
        changes["notes"] = (*changes["notes"], _note(plan, min_cell))
    return dataclasses.replace(result, **changes)


def _count_columns(figure: Figure) -> set[str]:
    return {column for _, column in count_cells(figure.data, dict.fromkeys(figure.counts, True))}


def _column(column: Column, plan: Plan, min_cell: int) -> Column:
    label, spanner, note = (
        redact_label(part, plan.values, min_cell) for part in (column.label, column.spanner, column.note)
    )
    return dataclasses.replace(column, label=label, spanner=spanner, note=note)


def _held(value: Any, tokens: set[str]) -> Any:
    if isinstance(value, str):
        return HIDDEN if tokens & set(re.findall(r"\d[\d,]*(?:\.\d+)?", value)) else value
    return HIDDEN if isinstance(value, int | float) and spellings(float(value)) & tokens else value


def _note(plan: Plan, min_cell: int) -> str:
    texts = {*plan.table.values(), *plan.drawing.values()}
    said = [f"<{min_cell}: a count of 1 to {min_cell - 1}"] if less_than(min_cell) in texts else []
    if HIDDEN in texts:
        said.append(f"{HIDDEN}: not shown, because a count of 1 to {min_cell - 1} could be worked out from it")
    return "; ".join(said) + "."


def _emptied(frame: pd.DataFrame, cells: Iterable[Place]) -> pd.DataFrame:
    """Return a copy with the cells null; whole numbers stay whole."""
    import pandas as pd

    out = frame.copy()
    columns: dict[str, list[int]] = {}
    for row, column in cells:
        columns.setdefault(column, []).append(row)
    for column, rows in columns.items():
        kind = out[column].dtype.kind
        values = out[column].astype("Int64") if kind in "iu" else out[column].copy()
        mask = pd.Series(False, index=out.index)
        mask.iloc[rows] = True
        out[column] = values.mask(mask)
    return out


def _truncated(
    figure: Figure, data: pd.DataFrame, min_cell: int, gone: tuple[tuple[int, str, str], ...]
) -> tuple[pd.DataFrame, tuple[tuple[int, str, str], ...]]:
    """End each curve before fewer than the smallest count are at risk."""
    import numpy as np

    few = np.zeros(len(data), dtype=bool)
    for column in figure.counts:
        few |= figure.data[column].to_numpy(dtype=float) < min_cell
    if "kind" in data.columns:
        few &= (data["kind"] == "curve").to_numpy()
    place = np.cumsum(~few) - 1
    moved = tuple((int(place[row]), column, text) for row, column, text in gone if not few[row])
    return data[~few].reset_index(drop=True), moved


def _front(page: FrontPage, plans: dict[int, Plan], min_cell: int) -> FrontPage:
    tokens: set[str] = set()
    for part in _parts(page):
        if id(part) in plans:
            tokens |= plans[id(part)].values
    said = ("conclusion", "question", "who_v_whom", "time_zero", "period", "n", "capture", "detectable")
    changes: dict[str, Any] = {part: redact(getattr(page, part), tokens, min_cell) for part in said}
    changes["threats"] = tuple(redact(threat, tokens, min_cell) for threat in page.threats)
    changes["failed"] = tuple(_applied(check, plans, min_cell) for check in page.failed)
    for name, value in (("main", page.main), ("money", page.money), ("strip", page.strip)):
        if isinstance(value, Result):
            changes[name] = _applied(value, plans, min_cell)
        elif isinstance(value, str):
            changes[name] = redact(value, tokens, min_cell)
    return dataclasses.replace(page, **changes)
