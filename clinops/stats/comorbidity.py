"""Comorbidity indices: diagnosis codes to groups of disease to one score a person.

The maps and weights are published tables held in `clinops.define.maps`; results always name both, because
packages differ in their defaults and the same records then give different scores.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinops.define import icd
from clinops.define.maps import ComorbidityMap, comorbidity_map, comorbidity_weights
from clinops.errors import DataError


@dataclass(frozen=True)
class Unscored:
    """A code that could not be looked up: as it was written, in which version, why, and in how many rows."""

    code: str
    version: int | None
    reason: str
    rows: int


@dataclass(frozen=True)
class CodeGroups:
    """Groups of each code: `member` has shape (n codes, g groups); `reason` is why it cannot count, or ""."""

    member: NDArray[np.bool_]
    names: tuple[str, ...]
    code: NDArray[np.object_]
    reason: NDArray[np.object_]


@dataclass(frozen=True)
class Comorbidity:
    """One row a person.

    `groups` has shape (n persons, g groups), after the hierarchy where it applies; `score` has shape (n,) in
    whole points; `unscored` lists the codes that were set aside, most frequent first; `sources` cites the map
    and the weights.
    """

    groups: NDArray[np.bool_]
    names: tuple[str, ...]
    labels: tuple[str, ...]
    score: NDArray[np.int64]
    unscored: tuple[Unscored, ...]
    index: str
    map: str
    weights: str
    hierarchy: bool
    sources: tuple[str, ...]

    @property
    def title(self) -> str:
        """Name of the score with its map and weights, as tables and methods paragraphs should print it."""
        order = "with" if self.hierarchy else "without"
        return f"{self.index.capitalize()} score ({self.map} map, {self.weights} weights, {order} hierarchy)"


def comorbidity(
    person: ArrayLike,
    code: ArrayLike,
    version: int | ArrayLike,
    *,
    n_persons: int,
    index: str = "charlson",
    map: str = "quan",
    weights: str | None = None,
    hierarchy: bool = True,
) -> Comorbidity:
    """Score the burden of disease of each person from diagnosis codes in any mix of ICD versions.

    Parameters
    ----------
    person : shape (n,), the row of the person, 0 to n_persons - 1.
    code : shape (n,), diagnosis codes as text in any spelling (points, blanks, case).
    version : 9 (ICD-9-CM) or 10 (ICD-10, ICD-10-CM), for all codes or one a code.
    n_persons : how many persons; those without a code score 0.
    index : "charlson" (17 groups) or "elixhauser" (31 groups).
    map : "quan", the code lists of Quan 2005.
    weights : for charlson "charlson" (1987, default) or "quan" (2011); for elixhauser "van_walraven" (2009,
        default) or "swiss" (Sharma 2021).
    hierarchy : whether the graver form of a disease replaces the milder one, so that it counts once.

    Returns
    -------
    Comorbidity. A group counts once for a person however many codes, rows or versions say it. Codes that are
    impossible, missing or less specific than the map needs are in `unscored` with their counts.

    Raises
    ------
    DataError : shapes differ, a person lies outside 0 to n_persons - 1, codes were read as numbers.
    DefinitionError : an unknown index, map or set of weights.

    Notes
    -----
    Sources are in the result. Reference implementation: R comorbidity 1.1.0, equal for every weight with and
    without the hierarchy.
    """
    points = comorbidity_weights(index, weights)
    codes, versions = _codes(code, version)
    rows = _persons(person, len(codes), n_persons)
    found = icd.distinct(codes, versions)
    looked_up = _look_up(found, index, map)
    table = comorbidity_map(index, 10, map)
    groups = _spread(looked_up.member, found.position, rows, n_persons)
    if hierarchy:
        groups = _replace_milder(groups, table.yields_to)
    return Comorbidity(
        groups=groups,
        names=table.names,
        labels=table.labels,
        score=groups.astype(np.int64) @ np.asarray(points.points, dtype=np.int64),
        unscored=_unscored(found, looked_up.reason),
        index=index,
        map=map,
        weights=points.weights,
        hierarchy=hierarchy,
        sources=(table.source, points.source),
    )


def code_groups(code: ArrayLike, version: int | ArrayLike, *, index: str = "charlson", map: str = "quan") -> CodeGroups:
    """Say which groups of an index each code makes, and why a code cannot count.

    Meant for the distinct codes of a source: a query can then join its rows with the codes that make a group,
    in whatever spelling the source has them.

    Parameters
    ----------
    code, version, index, map : as for `comorbidity`; the hierarchy, a matter of persons, is not applied.
    """
    found = icd.distinct(*_codes(code, version))
    each = _look_up(found, index, map)
    at = found.position
    return CodeGroups(each.member[at], each.names, each.code[at], each.reason[at])


def _codes(code: ArrayLike, version: int | ArrayLike) -> tuple[NDArray[np.object_], NDArray[np.int8]]:
    if version is None:
        raise DataError("The ICD version is needed (9 or 10): V45.1 is dialysis in one, a road accident in the other.")
    codes = icd.as_codes(code)
    return codes, icd.as_versions(version, len(codes))


def _persons(person: ArrayLike, n_codes: int, n_persons: int) -> NDArray[np.intp]:
    rows = np.asarray(person)
    if rows.shape != (n_codes,):
        raise DataError(f"There are {n_codes} codes but persons of shape {rows.shape}; give one a code.")
    if rows.size and rows.dtype.kind not in "iu":
        raise DataError(f"A person is a row number from 0 to n_persons - 1, not {rows.dtype}.")
    if rows.size and (rows.min() < 0 or rows.max() >= n_persons):
        raise DataError(
            f"Persons run from {rows.min()} to {rows.max()}, outside 0 to {n_persons - 1} (n_persons - 1). "
            "Number the persons by their row in the cohort first."
        )
    return rows.astype(np.intp)


def _look_up(found: icd.Distinct, index: str, map: str) -> CodeGroups:
    """Find the groups of each distinct code; only here is a code compared with the prefixes of the map."""
    tables = {version: comorbidity_map(index, version, map) for version in icd.VERSIONS}
    names = tables[icd.VERSIONS[0]].names
    member = np.zeros((len(found.pairs), len(names)), dtype=bool)
    normal = np.empty(len(found.pairs), dtype=object)
    reason = np.empty(len(found.pairs), dtype=object)
    for row, (code, version) in enumerate(found.pairs):
        one = icd.normalise_one(code, version)
        normal[row], reason[row] = one.code, one.reason
        if one.valid:
            made = tables[version].groups_of(one.code)
            member[row, list(made)] = True
            reason[row] = "" if made else _too_short(one.code, tables[version])
    return CodeGroups(member, names, normal, reason)


def _too_short(code: str, table: ComorbidityMap) -> str:
    finer = table.finer(code)
    if not finer:
        return ""
    listed = ", ".join(finer[:4]) + (", ..." if len(finer) > 4 else "")
    return f"less specific than the map needs, which lists {listed}"


def _spread(
    member: NDArray[np.bool_], position: NDArray[np.intp], rows: NDArray[np.intp], n_persons: int
) -> NDArray[np.bool_]:
    groups = np.zeros((n_persons, member.shape[1]), dtype=bool)
    makes_any: NDArray[np.bool_] = np.any(member, axis=1)
    useful = np.flatnonzero(makes_any[position])
    of, who = position[useful], rows[useful]
    for group in range(member.shape[1]):
        groups[who[member[of, group]], group] = True
    return groups


def _replace_milder(groups: NDArray[np.bool_], yields_to: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    kept = groups.copy()
    for milder, graver in yields_to:
        kept[groups[:, graver], milder] = False
    return kept


def _unscored(found: icd.Distinct, reason: NDArray[np.object_]) -> tuple[Unscored, ...]:
    total: Counter[tuple[str, int | None, str]] = Counter()
    for (code, version), why, rows in zip(found.pairs, reason.tolist(), found.rows.tolist(), strict=True):
        if why:
            written = "" if icd.is_missing(code) else str(code)
            total[written, version if version in icd.VERSIONS else None, why] += rows
    listed = (Unscored(*key, rows) for key, rows in total.items())
    return tuple(sorted(listed, key=lambda one: (-one.rows, one.code, one.version or 0)))
