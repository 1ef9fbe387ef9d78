"""Disclosure control of the long frame of estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.results import cells as core

if TYPE_CHECKING:
    import pandas as pd

SIZES = ("n_exposed", "n_comparator")
EVENTS = ("events_exposed", "events_comparator")
DERIVED = ("value_exposed", "value_comparator", "estimate", "std_error", "conf_low", "conf_high", "p_value")
PERSON_DAYS = {"n_exposed": "person_days_exposed", "n_comparator": "person_days_comparator"}
PLACE = ("measure", "category", "period", "subgroup", "level")


def protect_estimates(frame: pd.DataFrame, min_cell: int = 11) -> pd.DataFrame:
    """Null the small counts of the estimates, and every number of their rows that could be solved for them.

    A row with a hidden count loses its values, estimate, error, interval and P: from a risk ratio, a
    standard error or a rate with known person-days the count follows. Levels of a subgroup that add up to
    the count of everybody lose a second level. Each such row says so in its note.
    """
    hidden: set[tuple[int, str]] = set()
    for column, size in ((SIZES[0], None), (SIZES[1], None), (EVENTS[0], SIZES[0]), (EVENTS[1], SIZES[1])):
        hidden |= _hidden(frame, column, size, min_cell)
    out = frame.copy()
    for row, column in sorted(hidden):
        out.loc[out.index[row], [column, *DERIVED]] = None
        if column in PERSON_DAYS:
            out.loc[out.index[row], PERSON_DAYS[column]] = float("nan")
    rows = sorted({row for row, _ in hidden})
    notes = out["note"].tolist()
    said = f"n < {min_cell} not shown"
    for row in rows:
        old = notes[row]
        notes[row] = f"{old}; {said}" if isinstance(old, str) and old else said
    out["note"] = _text(notes)
    return out.astype(frame.dtypes.to_dict())


def _text(values: list[Any]) -> Any:
    import pandas as pd

    return pd.array(values, dtype="string")


def _hidden(frame: pd.DataFrame, column: str, size: str | None, min_cell: int) -> set[tuple[int, str]]:
    """Choose the rows whose count in one column is hidden."""
    cells = core.Cells()
    at: dict[int, int] = {}
    known: dict[tuple[Any, ...], int] = {}
    records = frame[[*PLACE, "adjustment", column, *([size] if size else [])]].astype(object).to_dict("records")
    for row, record in enumerate(records):
        value = record[column]
        if not isinstance(value, int | float) or value != value:
            continue
        key = (*(_word(record[name]) for name in PLACE), float(value))
        if key not in known:  # the same count stands in many rows: they are hidden together
            known[key] = cells.add(float(value))
            _rest(cells, known[key], float(value), record.get(size) if size else None, min_cell)
        at[row] = known[key]
    _levels(cells, records, at)
    gone = core.hide(cells, min_cell)
    return {(row, column) for row, cell in at.items() if cell in gone}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _rest(cells: core.Cells, cell: int, value: float, size: Any, min_cell: int) -> None:
    """Those without an event are a count as well."""
    if isinstance(size, int | float) and core.small(size - value, min_cell):
        rest, whole = cells.add(size - value, printed=False), cells.add(size, cost=1e9)
        cells.add_sum([cell, rest], whole)


def _levels(cells: core.Cells, records: list[dict[Any, Any]], at: dict[int, int]) -> None:
    """Levels of a subgroup add up to the row of everybody; where they do not, nothing follows."""
    wholes: dict[tuple[str, ...], set[int]] = {}
    parts: dict[tuple[str, ...], dict[tuple[str, ...], set[int]]] = {}
    for row, cell in at.items():
        said = {name: _word(value) for name, value in records[row].items() if name in (*PLACE, "adjustment")}
        place = (said["measure"], said["category"], said["period"])
        if said["subgroup"]:
            of = parts.setdefault((*place, said["subgroup"], said["adjustment"]), {})
            of.setdefault((said["level"],), set()).add(cell)
        elif not said["level"]:
            wholes.setdefault(place, set()).add(cell)
    for key, levels in parts.items():
        if all(len(found) == 1 for found in levels.values()):
            for whole in sorted(wholes.get(key[:3], ())):
                cells.add_sum([min(found) for found in levels.values()], whole)
