"""Sums that a reader knows to hold between the counts of a figure because of what its kind draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from clinops.results.result import Figure

Place = tuple[int, str]
#: Places whose counts add up to another place, or to a total that is printed nowhere but follows from the picture.
Sum = tuple[tuple[Place, ...], Place | float]


def figure_sums(figure: Figure) -> tuple[Sum, ...]:
    """Return the sums of a figure: flows into and out of states, events behind a centre line or an overall rate."""
    found = KINDS.get(figure.kind)
    return tuple(found(figure.data)) if found is not None else ()


def _text(frame: pd.DataFrame, column: str) -> list[str]:
    if column not in frame.columns:
        return [""] * len(frame)
    return ["" if value is None or value != value else " ".join(str(value).split()) for value in frame[column].tolist()]


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].to_numpy(dtype=float, na_value=np.nan)


def _total(frame: pd.DataFrame, rows: Sequence[int], column: str) -> Iterator[Sum]:
    """Yield the sum of some rows, known although no row has it."""
    values = _numbers(frame, column)
    known = [row for row in rows if np.isfinite(values[row])]
    if len(known) > 1:
        yield tuple((row, column) for row in known), float(values[known].sum())


def _flows(frame: pd.DataFrame) -> Iterator[Sum]:
    """States of a step add up to the arm; flows out of a state, and those into it, add up to the state."""
    arms, steps, states, into = (_text(frame, c) for c in ("arm", "step", "state", "to"))
    order = list(dict.fromkeys(step for step, to in zip(steps, into, strict=True) if not to))
    nodes = {(arms[i], steps[i], states[i]): i for i in range(len(frame)) if not into[i]}
    out: dict[int, list[Place]] = {}
    back: dict[int, list[Place]] = {}
    for i in range(len(frame)):
        if not into[i] or steps[i] not in order:
            continue
        after = order[order.index(steps[i]) + 1 :][:1]
        start = nodes.get((arms[i], steps[i], states[i]))
        end = nodes.get((arms[i], after[0], into[i])) if after else None
        if start is not None:
            out.setdefault(start, []).append((i, "n"))
        if end is not None:
            back.setdefault(end, []).append((i, "n"))
    for places in (out, back):
        yield from ((tuple(parts), (node, "n")) for node, parts in places.items())
    for arm, step in dict.fromkeys((arms[i], steps[i]) for i in nodes.values()):
        yield from _total(frame, [i for i in nodes.values() if (arms[i], steps[i]) == (arm, step)], "n")


def _periods(frame: pd.DataFrame) -> Iterator[Sum]:
    """A centre line and the persons give the events of all periods of a phase together."""
    if "events" in frame.columns:
        keys = list(zip(_text(frame, "arm"), _text(frame, "phase"), strict=True))
        for key in dict.fromkeys(keys):
            yield from _total(frame, [i for i, other in enumerate(keys) if other == key], "events")


def _units(frame: pd.DataFrame) -> Iterator[Sum]:
    """The overall rate and the volumes give the events of all units together."""
    if "events" in frame.columns:
        yield from _total(frame, [i for i, kind in enumerate(_text(frame, "kind")) if kind != "limit"], "events")


KINDS: dict[str, Callable[[pd.DataFrame], Iterator[Sum]]] = {
    "alluvial": _flows, "control_chart": _periods, "funnel_plot": _units, "interrupted": _periods,
    "panel_trend": _periods,
}  # fmt: skip
