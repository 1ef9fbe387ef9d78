"""What the exhibits of a journey give away about each other: large counts to hide so that small ones stay hidden.

The exhibits are views of the same steps. A flow's states are the transitions from the index date, steps into a
contact are as many as steps out of it, and who has come to an end stays there, so that two steps of the flow give
by difference who came to it between them. Each exhibit alone would be safe, and together they would not be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from clinops.results import cells as core

START, DEATH, LEFT, NONE = "Index", "Death", "Follow-up ended", "No further contact"
ENDS = (DEATH, LEFT, NONE)
OTHERS = "others"

Key = tuple[str | int, ...]
Hidden = Mapping[str, Collection[Key]]
"""By arm, the counts that are not shown although they are large."""
#: What readers would miss most: the size of an arm, then how often a state is left.
DEAREST, DEAR = 1e12, 1e9
TINY = 1e-9


def canonical(key: Key) -> Key:
    """The one key of counts that are the same by their nature: who is at an end stays, a first step is a state."""
    kind, *of = key
    if kind == "link" and of[1] == of[2] and of[1] in ENDS:
        return ("node", *of[:2])
    if kind == "step" and of[0] == START:
        return ("node", 1, of[1])
    return ("all",) if key == ("from", START) else key


def is_hidden(hidden: Hidden, arm: str, *key: str | int) -> bool:
    """Tell whether a count of an arm is not shown."""
    return canonical(key) in hidden.get(arm, ())


def journey_name(line: Sequence[str]) -> str:
    """A journey in words, cut at its end."""
    cut = next((i + 1 for i, state in enumerate(line) if state in ENDS), len(line))
    return " → ".join(line[:cut])


class Joint:
    """The counts of one arm's exhibits as one system.

    Parameters
    ----------
    paths : the states of each person, step by step, every one closed by an end.
    most : steps of the flow. shown : journeys with a row of their own. min_cell : the smallest count that may be shown.
    """

    def __init__(
        self, paths: Sequence[Sequence[str]], most: int, shown: Iterable[str], min_cell: int
    ) -> None:  # fmt: skip
        self.min_cell = min_cell
        self.cells = core.Cells()
        self.at: dict[Key, int] = {("all",): self.cells.add(len(paths), cost=DEAREST)}
        self._flow([[*path, *[path[-1]] * most][:most] for path in paths], most, set(shown))
        self._transitions(paths)

    def hidden(self) -> set[Key]:
        """Return the large counts to hide.

        What follows by addition alone is found first, in one decomposition; the attack by linear programmes, which
        also knows that small counts are small, then has the last word. (`cells.hide` uses that attack alone, one
        count at a time, which here takes a hundred times longer.)
        """
        values = self.cells.values
        kept = {i for i, n in enumerate(values) if core.small(n, self.min_cell) or not self.cells.printed[i]}
        gone = set(kept)
        while leaking := self._leaks(gone):
            more = self._cheapest(leaking, gone)
            if more is None:  # nothing is left to hide: what leaks is known from zeros alone
                break
            gone.add(more)
        else:
            for cell in sorted(gone - kept, key=lambda c: (-self.cells.costs[c], c)):
                if not self._leaks(gone - {cell}):
                    gone.remove(cell)
        return {key for key, cell in self.at.items() if cell in gone and values[cell] >= self.min_cell}

    def _leaks(self, gone: set[int]) -> list[int]:
        if not gone:
            return []
        return self._solved(gone) or core.leaks(self.cells, gone, self.min_cell)

    def _solved(self, gone: set[int]) -> list[int]:
        """Hidden counts that are sums and differences of shown ones: those that no null vector of the sums moves."""
        inside = sorted(gone)
        position = {cell: j for j, cell in enumerate(inside)}
        system = np.zeros((len(self.cells.sums), len(inside)))
        for i, terms in enumerate(self.cells.sums):
            for cell, sign in terms:
                if cell in position:
                    system[i, position[cell]] += sign
        _, size, rows = np.linalg.svd(system, full_matrices=True)
        free = rows[int((size > TINY).sum()) :]
        fixed = np.abs(free).max(axis=0, initial=0.0) < TINY
        return [cell for cell, known in zip(inside, fixed, strict=True) if known and self._secret(cell)]

    def _secret(self, cell: int) -> bool:
        return self.cells.printed[cell] or core.small(self.cells.values[cell], self.min_cell)

    def _cheapest(self, leaking: Sequence[int], gone: set[int]) -> int | None:
        """The cheapest shown count of a sum in which a leaking one stands alone, else farther off; never an arm."""
        touched = [[c for c, _ in terms] for terms in self.cells.sums if any(c in leaking for c, _ in terms)]
        alone = [part for part in touched if sum(c in gone for c in part) == 1]
        for pool in (alone, touched, [range(len(self.cells.values))]):
            free = {c for part in pool for c in part if c not in gone and self.cells.values[c] > 0}
            free -= {self.at["all",]}
            if free:
                return min(free, key=lambda c: (self.cells.costs[c], c))
        return None

    def _cell(self, key: Key, count: int, cost: float | None = None) -> int:
        """Return the cell of a count, made the first time."""
        key = canonical(key)
        if key not in self.at:
            self.at[key] = self.cells.add(count, cost=cost)
        return self.at[key]

    def _sum(self, parts: Iterable[int], whole: int) -> None:
        self.cells.add_sum(parts, whole)

    def _flow(self, wide: Sequence[Sequence[str]], most: int, shown: set[str]) -> None:
        before: Counter[tuple[str, str]] = Counter()
        for k in range(1, most + 1):
            nodes = Counter(line[k - 1] for line in wide)
            at = {state: self._cell(("node", k, state), n) for state, n in nodes.items()}
            self._sum(at.values(), self.at["all",])
            for state in nodes:
                links = {pair: self._cell(("link", k - 1, *pair), n) for pair, n in before.items() if pair[1] == state}
                if links:
                    self._sum(links.values(), at[state])
            before = Counter((line[k - 1], line[k]) for line in wide) if k < most else Counter()
            for state in nodes:
                links = {pair: self._cell(("link", k, *pair), n) for pair, n in before.items() if pair[0] == state}
                if links:
                    self._sum(links.values(), at[state])
        self._variants(wide, most, shown)

    def _variants(self, wide: Sequence[Sequence[str]], most: int, shown: set[str]) -> None:
        """Journeys of a row of their own, within the flow that they are part of; the rest of it is printed nowhere."""
        lines = Counter(tuple(line) for line in wide)
        rows = {line: n for line, n in lines.items() if journey_name(line) in shown}
        at = {line: self._cell(("path", journey_name(line)), n) for line, n in rows.items()}
        for k in range(1, max(most, 2)):
            parts: dict[tuple[str, ...], list[int]] = {}
            for line, cell in at.items():
                parts.setdefault(line[k - 1 : k + 1], []).append(cell)
            for pair, cells in parts.items():
                whole = self.at.get(("link", k, *pair), self.at.get(("node", k, pair[0])))
                if whole is not None:
                    rest = self.cells.values[whole] - sum(self.cells.values[cell] for cell in cells)
                    if rest < self.min_cell:
                        spare = [self.cells.add(rest, printed=False)] if rest else []
                        self._sum([*cells, *spare], whole)
        others = len(wide) - sum(rows.values())
        if others:
            self._sum([*at.values(), self._cell(("path", OTHERS), others)], self.at["all",])

    def _transitions(self, paths: Sequence[Sequence[str]]) -> None:
        pairs = Counter(pair for path in paths for pair in zip((START, *path), path, strict=False))
        at = {pair: self._cell(("step", *pair), n) for pair, n in pairs.items()}
        left = Counter(path[i] for path in paths for i in range(len(path) - 1))
        for state in (START, *left):
            whole = self.at["all",] if state == START else self._cell(("from", state), left[state], DEAR + left[state])
            out = {pair: cell for pair, cell in at.items() if pair[0] == state}
            self._sum(out.values(), whole)
            rest = [cell for pair, cell in out.items() if pair[1] in ENDS]
            seen = sum(n for pair, n in pairs.items() if pair[0] == state and pair[1] not in ENDS)
            if seen:
                self._sum([self._cell(("seen", state), seen), *rest], whole)
            if state != START:
                self._sum([cell for pair, cell in at.items() if pair[1] == state], whole)
        self._sum([cell for pair, cell in at.items() if pair[1] in ENDS], self.at["all",])
