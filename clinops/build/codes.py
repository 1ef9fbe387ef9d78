"""Code lists on a source: which of its codes a list means, how often each occurs, which records match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build.memo import once
from clinops.define.codes import Codes
from clinops.define.events import Events
from clinops.errors import DataError, nearest
from clinops.sources import omop

COLUMNS = (
    "list", "domain", "concept_id", "source_code", "vocabulary", "description", "records", "persons", "note",
)  # fmt: skip

NO_HIERARCHY = "The source has no concept_ancestor rows: only the listed concepts themselves count."


@dataclass(frozen=True)
class Matched:
    """What a code list means on a source.

    Attributes
    ----------
    concepts : standard concepts of the list that occur in the domain's table.
    excluded : concepts whose records never count.
    written : source values that match, as the source writes them.
    foreign : source concepts of another vocabulary that share a spelling with a source code of the list.
    """

    concepts: tuple[int, ...]
    excluded: tuple[int, ...]
    written: tuple[str, ...]
    foreign: tuple[int, ...]

    def narrow(self, records: ir.Table) -> ir.Table:
        """Keep the records that match; they have concept_id, source_value and source_concept_id."""
        ways = [records.concept_id.isin(self.concepts)] if self.concepts else []
        if self.written:
            by_code = records.source_value.isin(self.written)
            ways.append(by_code & ~_known(records.source_concept_id).isin(self.foreign) if self.foreign else by_code)
        kept = records.filter(reduce(or_, ways, ibis.literal(False)))
        return kept.filter(~_known(kept.concept_id).isin(self.excluded)) if self.excluded else kept


def match(events: Events, source: Any) -> Matched:
    """Find what the code list of some events means on a source.

    Concepts count with what is below them in concept_ancestor (where the list says so and the source has the
    table), less the excluded ones with what is below those. Source codes are compared without dots, blanks
    and case; ``E11*`` matches every code that begins with E11. A list's vocabulary rules out source values
    whose source concept belongs to another one; a source value without a known source concept passes.
    Where the list matches nothing both are empty; `unmatched` says so in words.
    """
    return once(source, ("codes", events), lambda: _find(events, source))


def unmatched(events: Events, source: Any) -> str:
    """Say that the code list of some events matches nothing, and what it may have meant; "" where it matches.

    An entry or a required event of such a list is an error. A covariate, an outcome or an exclusion is left out
    with this text in the report: a zero in every row could not be told from a list that is wrong.
    """
    if events.codes is None:
        return ""
    found = match(events, source)
    return "" if found.concepts or found.written else _nothing(events, source)


def matches(named: Iterable[Events], source: Any) -> pd.DataFrame:
    """Count what each code list matches, for the exhibit on code lists.

    Returns
    -------
    One row a code that occurs or that the list names (0 records where it does not occur), most frequent
    first, after a row with neither concept_id nor source_code that counts the list as a whole (a person
    with several of its codes once). Columns: `COLUMNS`.
    """
    rows: list[dict[str, Any]] = []
    for events in dict.fromkeys(named):
        if events.codes is not None:
            rows += _rows(events, source)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({"concept_id": "Int64", "records": "int64", "persons": "int64"})


def _rows(events: Events, source: Any) -> list[dict[str, Any]]:
    codes, found = _codes(events), match(events, source)
    counts, written = _concept_counts(events.domain, source), _written(events, source)
    listed = [*found.concepts, *(c for c in codes.concept_ids if c not in found.concepts)]
    names = concept_names(source, listed)
    rows: list[tuple[int | None, str | None, str, str, int, int]] = []
    for concept in listed:
        records, persons = counts.get(concept, (0, 0))
        name, vocabulary = names.get(concept, ("", ""))
        rows.append((concept, None, vocabulary, name, records, persons))
    for value in found.written:
        hits = [c for c in written if c.written == value and c.concept not in found.foreign]
        records, persons = sum(c.records for c in hits), sum(c.persons for c in hits)
        vocabulary = next((c.vocabulary for c in hits if c.vocabulary), codes.vocabulary or "")
        rows.append((None, value, vocabulary, "", records, persons))
    rows.sort(key=lambda row: (-row[4], row[0] or 0, row[1] or ""))
    flat = codes.descendants and codes.concept_ids and not source.has("concept_ancestor")
    note = unmatched(events, source) or (NO_HIERARCHY if flat else "")
    whole = (None, None, "", "all codes of the list", *_counted(events, source))
    return [dict(zip(COLUMNS, (codes.name, events.domain, *row, note), strict=True)) for row in (whole, *rows)]


def _counted(events: Events, source: Any) -> tuple[int, int]:
    records = match(events, source).narrow(omop.events(source, events.domain))
    row = source.engine.rows(records.agg(records=records.count(), persons=records.person_id.nunique()))[0]
    return int(row["records"]), int(row["persons"])


def _codes(events: Events) -> Codes:
    if events.codes is None:
        raise DataError(f"{events.label!r} names no codes.")
    return events.codes


def _find(events: Events, source: Any) -> Matched:
    codes = _codes(events)
    below = _below(codes, source)
    excluded = set(codes.exclude).union(*(below.get(c, set()) for c in codes.exclude))
    wanted = set(codes.concept_ids).union(*(below.get(c, set()) for c in codes.concept_ids)) - excluded
    present = _concept_counts(events.domain, source)
    written = [c for c in _written(events, source) if _spelt(codes, c.written)]
    ours = [c for c in written if not _foreign(codes, c)]
    values = {c.written for c in ours}
    return Matched(
        concepts=tuple(sorted(wanted & present.keys())),
        excluded=tuple(sorted(excluded & present.keys())),
        written=tuple(sorted(values)),
        foreign=tuple(sorted({c.concept for c in written if _foreign(codes, c) and c.written in values})),
    )


def _below(codes: Codes, source: Any) -> dict[int, set[int]]:
    """Every concept below each one that the list names."""
    named = (*codes.concept_ids, *codes.exclude)
    if not named or not codes.descendants or not source.has("concept_ancestor"):
        return {}
    ancestors = source.table("concept_ancestor")
    pairs = ancestors.filter(ancestors.ancestor_concept_id.isin(named))
    below: dict[int, set[int]] = {}
    for row in source.engine.rows(pairs.select("ancestor_concept_id", "descendant_concept_id").distinct()):
        below.setdefault(row["ancestor_concept_id"], set()).add(row["descendant_concept_id"])
    return below


def _concept_counts(domain: str, source: Any) -> dict[int, tuple[int, int]]:
    """Records and persons of every concept of a domain: one scan serves every list."""

    def count() -> dict[int, tuple[int, int]]:
        records = omop.events(source, domain)
        coded = records.filter(records.concept_id.notnull())
        by_concept = coded.group_by("concept_id").agg(records=coded.count(), persons=coded.person_id.nunique())
        return {row["concept_id"]: (row["records"], row["persons"]) for row in source.engine.rows(by_concept)}

    return once(source, ("concept counts", domain), count)


@dataclass(frozen=True)
class Written:
    """A source value with its source concept (0 where unknown) and that concept's vocabulary ("" likewise)."""

    written: str
    concept: int
    vocabulary: str
    records: int
    persons: int


def written_in(source: Any, domain: str) -> list[Written]:
    """Every source value of a domain with its source concept, and how often it occurs."""

    def count() -> list[Written]:
        records = omop.events(source, domain)
        coded = records.filter(records.source_value.notnull())
        keyed = coded.mutate(source_concept_id=_known(coded.source_concept_id))
        counted = keyed.group_by(["source_value", "source_concept_id"]).agg(
            records=keyed.count(), persons=keyed.person_id.nunique()
        )
        rows = source.engine.rows(counted.order_by(["source_value", "source_concept_id"]))
        names = concept_names(source, {row["source_concept_id"] for row in rows} - {0})
        return [
            Written(
                row["source_value"], row["source_concept_id"],
                names.get(row["source_concept_id"], ("", ""))[1], row["records"], row["persons"],
            )
            for row in rows
        ]  # fmt: skip

    return once(source, ("code counts", domain), count)


def _written(events: Events, source: Any) -> list[Written]:
    """What the list's source codes are compared with; nothing where it has none, to save the scan."""
    return written_in(source, events.domain) if _codes(events).source_codes else []


def _spelt(codes: Codes, written: str) -> bool:
    spelling = _plain(written)
    return any(
        spelling.startswith(_plain(code[:-1])) if code.endswith("*") else spelling == _plain(code)
        for code in map(str.strip, codes.source_codes)
    )


def _plain(code: str) -> str:
    return "".join(code.split()).replace(".", "").upper()


def _foreign(codes: Codes, found: Written) -> bool:
    wanted = (codes.vocabulary or "").upper()
    return bool(wanted and found.vocabulary) and found.vocabulary.upper() != wanted


def _known(concept: ir.IntegerValue) -> ir.IntegerValue:
    return concept.fill_null(0)


def concept_names(source: Any, concept_ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Return (name, vocabulary) of each concept that the source's vocabulary tables know."""
    if not source.has("concept"):
        return {}

    def read() -> dict[int, tuple[str, str]]:
        concept = source.table("concept")
        rows = source.engine.rows(concept.select("concept_id", "concept_name", "vocabulary_id"))
        return {row["concept_id"]: (row["concept_name"] or "", row["vocabulary_id"] or "") for row in rows}

    wanted = sorted(set(concept_ids))
    if source.rows.get("concept", 0) <= 50_000:
        known = once(source, ("concept names",), read)
        return {c: known[c] for c in wanted if c in known}
    concept = source.table("concept")
    chosen = concept.filter(concept.concept_id.isin(wanted)) if wanted else concept.limit(0)
    rows = source.engine.rows(chosen.select("concept_id", "concept_name", "vocabulary_id"))
    return {row["concept_id"]: (row["concept_name"] or "", row["vocabulary_id"] or "") for row in rows}


def _nothing(events: Events, source: Any) -> str:
    codes = _codes(events)
    given = [str(c) for c in codes.concept_ids] + list(codes.source_codes)
    listed = ", ".join(given[:8]) + (f" and {len(given) - 8} more" if len(given) > 8 else "")
    counts = _concept_counts(events.domain, source)
    commonest = sorted(counts, key=lambda c: -counts[c][0])[:2000]
    names = {name: c for c, (name, _) in concept_names(source, commonest).items() if name}
    close = [f"{name} ({names[name]})" for name in nearest(codes.name, names)]
    table = omop.domain(events.domain).table
    hint = f" Names like it in that table: {'; '.join(close)}." if close else ""
    reason = "" if counts else f" The table {table} is empty or not there."
    return (
        f"The code list {codes.name!r} ({listed}) matches no {events.domain} in these records.{reason}{hint} "
        "Check the codes, or whether the domain is the right one."
    )
