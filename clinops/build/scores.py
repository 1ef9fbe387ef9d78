"""Comorbidity scores: which condition records carry ICD codes, and the score of every entry."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinops.build import codes, events
from clinops.build.entries import Entries
from clinops.build.memo import once
from clinops.define import icd
from clinops.define.measures import Measure
from clinops.sources import omop
from clinops.stats.comorbidity import Comorbidity, Unscored, code_groups, comorbidity

LEAST_SHARE = 0.5
"""A score is computed only where at least this share of the condition records carries an ICD code: on fewer,
the absence of a code would say more of the coding than of the person."""

VERSION_RULE = (
    "The ICD version is that of the source concept's vocabulary; without one, the version in which alone the "
    "source value is a possible code; where both are possible, the version of most other codes of the source."
)


@dataclass(frozen=True)
class Coded:
    """ICD codes among a source's condition records: by (source value, source concept) the version, and counts."""

    version: dict[tuple[str, int], int]
    records: dict[tuple[str, int], int]
    share: float


def impossible(source: Any) -> str:
    """Say why no comorbidity score can be had from the source; "" where it can."""
    if not source.has("condition_occurrence"):
        return "The records hold no conditions (table condition_occurrence)."
    found = coded(source)
    if found.share >= LEAST_SHARE:
        return ""
    have = "No condition record carries" if not found.version else f"Only {found.share:.1%} of condition records carry"
    return f"{have} an ICD code, on which the score is defined; at least {LEAST_SHARE:.0%} must."


def coded(source: Any) -> Coded:
    """Find which source values of conditions are ICD codes, and of which version; see `VERSION_RULE`."""
    return once(source, ("icd",), lambda: _coded(source))


def _coded(source: Any) -> Coded:
    written = codes.written_in(source, "condition")
    versions = {(w.written, w.concept): _versions(w) for w in written}
    records = {(w.written, w.concept): w.records for w in written}
    votes = dict.fromkeys(icd.VERSIONS, 0)
    for key, possible in versions.items():
        if len(possible) == 1:
            votes[possible[0]] += records[key]
    usual = max(votes, key=lambda version: (votes[version], version))
    version = {key: v[0] if len(v) == 1 else usual for key, v in versions.items() if v}
    conditions = omop.events(source, "condition")
    total = source.engine.rows(conditions.agg(n=conditions.count()))[0]["n"]
    found = sum(records[key] for key in version)
    return Coded(version, records, found / total if total else 0.0)


def _versions(written: codes.Written) -> tuple[int, ...]:
    """The versions that a source value may belong to: none, one, or both."""
    if written.vocabulary:
        known = icd.VOCABULARY_VERSIONS.get(written.vocabulary.upper())
        return () if known is None else (known,)
    return tuple(version for version in icd.VERSIONS if icd.normalise(written.written, version).valid)


def score(entries: Entries, measure: Measure) -> Comorbidity:
    """Score every entry from the ICD codes of its conditions within the measure's window.

    Only the distinct codes that make a group of the index are fetched. `unscored` counts, over all condition
    records of the source, the codes that could not be looked up.

    Returns
    -------
    Comorbidity with one row an entry.
    """
    found = coded(entries.source)
    pairs = list(found.version)
    groups = code_groups([code for code, _ in pairs], [found.version[p] for p in pairs], index=measure.measure)
    member: NDArray[np.bool_] = groups.member
    makes = [pairs[at] for at in np.flatnonzero(member.any(axis=1))]
    rows = _fetch(entries, measure, sorted({code for code, _ in makes}))
    keys = list(zip(rows["code"].tolist(), rows["concept"].tolist(), strict=True))
    version = np.array([found.version.get(key, 0) for key in keys], dtype=np.int64)
    kept = version > 0
    result = comorbidity(
        rows["row"][kept].astype(np.int64), rows["code"][kept].astype(object), version[kept],
        n_persons=entries.count, index=measure.measure, weights=measure.weights,
    )  # fmt: skip
    unscored = [
        Unscored(code, found.version[code, concept], str(why), found.records[code, concept])
        for (code, concept), why in zip(pairs, groups.reason.tolist(), strict=True)
        if why
    ]
    return dataclasses.replace(result, unscored=tuple(sorted(unscored, key=lambda u: (-u.rows, u.code))))


def _fetch(entries: Entries, measure: Measure, wanted: list[str]) -> dict[str, NDArray[Any]]:
    """Distinct (row, code, concept) of the wanted codes within the measure's window."""
    assert measure.window is not None
    conditions = omop.events(entries.source, "condition")
    held = conditions.filter(conditions.source_value.isin(wanted) if wanted else False)
    dated = held.select(
        "person_id", date=held.start_date, code=held.source_value, concept=held.source_concept_id.fill_null(0)
    )
    joined = entries.keys.inner_join(dated, "person_id")
    placed = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    inside = placed.filter(*events.within(placed.day, measure.window))
    return entries.collect(inside.select("row", "code", "concept").distinct())
