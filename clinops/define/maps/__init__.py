"""Published comorbidity maps and weights as data: which codes make a group, what a group weighs, who says so.

The tables beside this file are facts from the cited papers, one prefix a row, written as the papers print
them (with the point). A code belongs to a group when it starts with one of the group's prefixes.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

from clinops.define.icd import VERSIONS, normalise
from clinops.errors import DefinitionError, unknown

INDICES = ("charlson", "elixhauser")
MAPS = ("quan",)
WEIGHTS = {"charlson": ("charlson", "quan"), "elixhauser": ("van_walraven", "swiss")}
"""The weights of each index; the first is the default."""


@dataclass(frozen=True)
class ComorbidityMap:
    """Groups of an index and the code prefixes that make them.

    `names` and `labels` are in the published order; `prefixes` pairs each normalised prefix with the groups
    (positions in `names`) that it makes; `yields_to` lists (milder, graver) pairs of positions.
    """

    index: str
    map: str
    version: int
    names: tuple[str, ...]
    labels: tuple[str, ...]
    prefixes: tuple[tuple[str, tuple[int, ...]], ...]
    yields_to: tuple[tuple[int, int], ...]
    source: str

    @functools.cached_property
    def _known(self) -> dict[str, tuple[int, ...]]:
        return dict(self.prefixes)

    @functools.cached_property
    def _below(self) -> dict[str, tuple[str, ...]]:
        below: dict[str, tuple[str, ...]] = {}
        for prefix in self._known:
            for size in range(3, len(prefix)):
                below[prefix[:size]] = (*below.get(prefix[:size], ()), prefix)
        return below

    def groups_of(self, code: str) -> tuple[int, ...]:
        """Return the groups (positions in `names`) that a normalised code makes: none, one or several."""
        starts = (code[:size] for size in range(3, len(code) + 1))
        return tuple(sorted({group for start in starts for group in self._known.get(start, ())}))

    def finer(self, code: str) -> tuple[str, ...]:
        """Return the prefixes of the map that lie below a normalised code that is too short to decide."""
        return self._below.get(code, ())


@dataclass(frozen=True)
class ComorbidityWeights:
    """Points of each group, in the order of the map's `names`."""

    index: str
    weights: str
    points: tuple[int, ...]
    source: str


@functools.cache
def comorbidity_map(index: str, version: int, map: str = "quan") -> ComorbidityMap:
    """Return the groups of a comorbidity index and the prefixes of their codes in one ICD version.

    Raises
    ------
    DefinitionError : an unknown index, map or version.
    """
    _check(index, map)
    if version not in VERSIONS:
        raise DefinitionError(unknown("ICD version", version, [str(each) for each in VERSIONS]))
    groups = _rows(f"{index}_groups.csv")
    place = {row["group"]: position for position, row in enumerate(groups)}
    made: dict[str, list[int]] = {}
    for row in _rows(f"{index}_{map}_icd{version}.csv"):
        made.setdefault(normalise(row["code"], version).code, []).append(place[row["group"]])
    return ComorbidityMap(
        index=index,
        map=map,
        version=version,
        names=tuple(place),
        labels=tuple(row["label"] for row in groups),
        prefixes=tuple(sorted((prefix, tuple(sorted(of))) for prefix, of in made.items())),
        yields_to=tuple((place[row["group"]], place[row["yields_to"]]) for row in groups if row["yields_to"]),
        source=_source(index, f"map:{map}"),
    )


@functools.cache
def comorbidity_weights(index: str, weights: str | None = None) -> ComorbidityWeights:
    """Return the published points of an index's groups; without a name, the default of the index.

    Raises
    ------
    DefinitionError : an unknown index, or weights that were not published for it.
    """
    _check(index)
    name = weights or WEIGHTS[index][0]
    if name not in WEIGHTS[index]:
        elsewhere = [other for other, names in WEIGHTS.items() if name in names]
        then = f"The {name} weights belong to the {elsewhere[0]} index." if elsewhere else ""
        raise DefinitionError(unknown(f"set of weights for the {index} index:", name, WEIGHTS[index], then))
    points = tuple(int(row[name]) for row in _rows(f"{index}_groups.csv"))
    return ComorbidityWeights(index, name, points, _source(index, f"weights:{name}"))


def prefixes(index: str, version: int, map: str = "quan") -> tuple[str, ...]:
    """Return the distinct code prefixes that a map covers, without points and in order.

    A query that keeps only codes starting with one of these (after taking points and blanks out and putting
    the code in upper case) fetches all that can count. It also drops impossible codes unseen: count those on
    the distinct codes, through `normalise_all`, where they matter.
    """
    return tuple(prefix for prefix, _ in comorbidity_map(index, version, map).prefixes)


def _check(index: str, map: str = "quan") -> None:
    if index not in INDICES:
        raise DefinitionError(unknown("comorbidity index", index, INDICES))
    if map not in MAPS:
        raise DefinitionError(unknown("comorbidity map", map, MAPS))


def _source(index: str, name: str) -> str:
    found = [row["citation"] for row in _rows("sources.csv") if (row["index"], row["name"]) == (index, name)]
    return found[0]


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files(__package__) / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
