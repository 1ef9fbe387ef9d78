"""How rows of uptake print: units, formats, counts, and the notes that say why a number is missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from clinops.analyse import words
from clinops.results.result import Column, Result, absent

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
N = ("n_exposed", "n_comparator")
EVENTS = ("events_exposed", "events_comparator")


def framed(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a frame with whole counts, and with how each row's numbers print."""
    import pandas as pd

    frame = pd.DataFrame([{k: v for k, v in row.items() if k != "fit"} for row in rows])
    for name in (*N, *EVENTS):
        values = frame[name].tolist() if name in frame else [None] * len(frame)
        frame[name] = pd.array([None if v is None or v != v else int(v) for v in values], dtype="Int64")
    for name in ("value_exposed", "value_comparator", "estimate", "conf_low", "conf_high"):
        frame[name] = pd.to_numeric(frame[name]) if name in frame else math.nan
    frame["format"] = [_format(row) for _, row in frame.iterrows()]
    return frame


def _format(row: Any) -> str:
    sizes = [abs(v) for v in (row["estimate"], row["value_exposed"], row["value_comparator"]) if math.isfinite(v)]
    largest = max(sizes, default=0.0)
    return "number0" if largest >= 1000 else "number1" if largest >= 10 else "number2"


def paired(rows: Sequence[Row]) -> pd.DataFrame:
    """One row an outcome: its difference, with the ratio of the same values beside it."""
    import pandas as pd

    first = [row for row in rows if not str(row["scale"]).endswith("ratio")]
    ratios = {row["measure"]: row for row in rows if str(row["scale"]).endswith("ratio")}
    frame = framed(first)
    for name, column in (("ratio", "estimate"), ("ratio_low", "conf_low"), ("ratio_high", "conf_high")):
        found = [ratios.get(row["measure"], {}).get(column) for row in first]
        frame[name] = pd.Series([math.nan if v is None else float(v) for v in found], dtype=float)
    return frame


def ratio_column(frame: pd.DataFrame) -> Column:
    """The ratio of `paired` with its interval."""
    rests = (*N, *EVENTS) if frame["events_exposed"].notna().any() else N
    return Column("ratio", "Ratio (95% CI)", "ratio", low="ratio_low", high="ratio_high", of=rests)


def columns_of(frame: pd.DataFrame, names: tuple[str, str], head: str, *, p: bool = True) -> tuple[Column, ...]:
    """Persons, events and values of both sides, and what lies between them with its interval."""
    known = frame["events_exposed"].notna().any()
    made = [Column("unit", "Unit")]
    for arm, name in zip(("exposed", "comparator"), names, strict=True):
        rests = (f"n_{arm}", *((f"events_{arm}",) if known else ()))
        made.append(Column(f"n_{arm}", "Persons", "count", "n", name))
        if known:
            made.append(Column(f"events_{arm}", "Events", "count", "n", name))
        made.append(Column(f"value_{arm}", "Value", "number1", "", name, of=rests, format_by="format", missing="–"))
    rests = (*N, *(EVENTS if known else ()))
    made.append(Column("estimate", f"{head} (95% CI)", "number1", low="conf_low", high="conf_high", of=rests,
                       format_by="format"))  # fmt: skip
    return (*made, Column("p_value", "P", "p", of=rests)) if p and "p_value" in frame else tuple(made)


def notes_of(rows: Iterable[Row], skip: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Why numbers are missing or uncertain, each reason once with the outcomes that it is about."""
    told: dict[str, list[str]] = {}
    for row in rows:
        note = row.get("note")
        if isinstance(note, str) and note and note not in skip:
            told.setdefault(note, []).append(str(row["measure"]))
    return tuple(f"{', '.join(dict.fromkeys(heads))}: {note.rstrip('.')}." for note, heads in told.items())


def said(row: Row) -> str:
    """An estimate in words, or why there is none."""
    estimate = row.get("estimate")
    if estimate is None or not math.isfinite(estimate):
        return f"not estimable ({row.get('note') or 'no reason given'})"
    ends = [float(row[end]) if row.get(end) is not None else math.nan for end in ("conf_low", "conf_high")]
    if not all(math.isfinite(end) for end in ends):
        return f"{words.number(estimate)} {row['unit']} (no interval)"
    return words.interval(float(estimate), ends[0], ends[1], str(row["unit"]))


def nothing(name: str, title: str, reason: str) -> Result:
    """An exhibit that was not asked for, or that these records cannot give: said in its place, not left out."""
    return absent(name, title, reason, why="not shown")
