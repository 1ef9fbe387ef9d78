"""Random follow-up with events that come again, for the laws that estimators of recurrent events obey."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from clinops.stats.recurrent_rows import counting_process


@dataclass(frozen=True)
class Rows:
    """Rows of persons, with a covariate, an arm and a weight that are constant over a person."""

    person: np.ndarray
    entry: np.ndarray
    exit: np.ndarray
    event: np.ndarray
    death: np.ndarray
    order: np.ndarray
    x: np.ndarray
    weight: np.ndarray

    def take(self, rows: np.ndarray) -> Rows:
        return Rows(**{name: values[rows] for name, values in vars(self).items()})

    def split(self, cut: float) -> Rows:
        """Cut every row that holds `cut` inside it in two; the event and the death stay with the second half."""
        inside = (self.entry < cut) & (cut < self.exit)
        rest = replace(self, entry=np.where(inside, cut, self.entry))
        before = self.take(inside)
        none = np.zeros(len(before.exit), dtype=bool)
        before = replace(before, exit=np.full(len(before.exit), cut), event=none, death=none)
        return Rows(**{name: np.concatenate([values, getattr(rest, name)]) for name, values in vars(before).items()})

    def repeated(self) -> tuple[Rows, np.ndarray]:
        """Each person as often as their (whole) weight says, under new names; and whose copy each row is."""
        times = self.weight.astype(int)
        copy = np.concatenate([np.arange(t) for t in times]) if times.sum() else np.zeros(0, dtype=int)
        copies = self.take(np.repeat(np.arange(len(times)), times))
        return replace(copies, person=copies.person * 100 + copy, weight=np.ones(len(copy))), copies.person


@st.composite
def follow_up(draw: st.DrawFn, most: int = 12) -> Rows:
    """Draw two or more persons, whole-day times with ties, late entry, deaths; at least one event."""
    n = draw(st.integers(3, most))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    start = rng.integers(0, 4, n) * rng.integers(0, 2)
    stop = start + rng.integers(2, 15, n)
    who = rng.integers(0, n, 3 * n)
    when = rng.integers(1, 18, 3 * n)
    made = counting_process(
        np.arange(n), stop, who, when, start=start, death=rng.integers(0, 2, n), ties="merge"
    )  # fmt: skip
    x, weight = rng.normal(size=n), rng.integers(1, 4, n).astype(float)
    event = made.event.copy()
    event[0] = True
    return Rows(
        made.person, made.entry, made.exit, event, made.death, made.order, x[made.index], weight[made.index]
    )  # fmt: skip
