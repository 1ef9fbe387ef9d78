"""Flat claims as a ledger reads them: lines or headers told apart, open enrolment closed, death its end."""

from __future__ import annotations

from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.build.ledger.raw import CLAIMS, Note, Raw
from clinops.define.ledger import LedgerRules
from clinops.errors import DataError, DefinitionError
from clinops.sources.claims import FlatRecords

OPEN = 2100
"""A last day in this year or later stands for "no end in sight"."""


PART = 2_500_000
"""Rows that are grouped by claim at once."""


def from_flat(records: FlatRecords, rules: LedgerRules) -> Raw:
    """Claims and enrolment of flat files.

    Raises
    ------
    DefinitionError : the amount is there as the line's own and as the claim's, and the rules do not say which.
    DataError : no such amount, or claims that repeat one amount on all their rows.
    """
    level, note = _level(records, rules)
    claims = _of_lines(records, rules) if level == "line" else _of_headers(records, rules)
    has = frozenset(name for name in (*records.has, rules.amount) if name in CLAIMS)
    notes = [note]
    enrolment = None
    if records.enrolment is not None:
        enrolment, more = _enrolment(records, records.enrolment)
        notes += more
    where = records.columns.get("currency", "currency")
    return Raw(
        records.engine, claims, enrolment, has, records.name, where, tuple(notes), deaths=_deaths(records.enrolment)
    )


def _deaths(table: ir.Table | None) -> ir.Table | None:
    """Whom the enrolment tells to have died, and when: the earliest day of several."""
    if table is None:
        return None
    known = table.filter(table.death_date.notnull(), table.person_id.notnull())
    return known.group_by("person_id").agg(death_date=known.death_date.min())


def _level(records: FlatRecords, rules: LedgerRules) -> tuple[str, Note]:
    """Whether amounts are of lines or of claims; refused where nobody can say."""
    own, header = rules.amount in records.has, f"header_{rules.amount}" in records.has
    if not own and not header:
        known = [n for n in ("allowed", "paid", "charge") if n in records.has or f"header_{n}" in records.has]
        hint = f" They tell {' and '.join(known)}: ledger_rules(amount={known[0]!r})." if known else ""
        if known == ["charge"]:
            hint = " They tell charges only, which need a ratio: ledger_rules(amount='charge', charge_ratio=...)."
        raise DataError(f"The claims have no {rules.amount} amount.{hint} Or say which column it is: columns={{...}}.")
    if own and header and rules.level is None:
        raise DefinitionError(
            f"The claims hold the {rules.amount} amount twice: of the line and of the claim (header_{rules.amount}). "
            "Say which one counts: ledger_rules(level='line') or ledger_rules(level='header')."
        )
    level = rules.level or ("header" if header else "line")
    if level == "header":
        words = "The amount is the claim's: it counts once a claim (and version), however many lines repeat it."
        return level, Note("header or line", words)
    if not own:
        raise DataError(f"The claims hold the {rules.amount} amount of the claim only; ledger_rules(level='header').")
    if rules.level is None and "claim_id" in records.has:
        _refuse_repeats(records, rules.amount)
    return level, Note("header or line", "The amount of a row is its own: every row of a claim counts.")


def _refuse_repeats(records: FlatRecords, amount: str) -> None:
    """Refuse claims all of whose rows, two or more, hold the same amount: nobody can tell a total from lines."""
    table = records.claims
    known = table.filter(table.claim_id.notnull(), table[amount].notnull(), table[amount] != 0)
    rows = int(records.engine.rows(table.aggregate(n=table.count()))[0]["n"])
    found, held = 0, 0
    # One part of the claims at a time: a group for each of ten million claims would fill a gigabyte.
    parts = max(1, rows // PART)
    for part in range(parts):
        some = known if parts == 1 else known.filter(known.claim_id.hash().abs() % parts == part)
        by_claim = some.group_by("claim_id").agg(n=some.count(), low=some[amount].min(), high=some[amount].max())
        repeated = by_claim.filter(by_claim.n > 1, by_claim.low == by_claim.high)
        row = records.engine.rows(repeated.aggregate(n=repeated.count(), rows=repeated.n.sum()))[0]
        found, held = found + int(row["n"]), held + int(row["rows"] or 0)
    if found:
        raise DataError(
            f"{found:,} claims ({held:,} rows) have the same {amount} amount on each of their rows. If "
            "it is the claim's total, repeated on every line, say ledger_rules(level='header'); if every line costs "
            "that much, say ledger_rules(level='line'); if rows are there twice, remove the copies."
        )


def _of_lines(records: FlatRecords, rules: LedgerRules) -> ir.Table:
    return records.claims.select(*CLAIMS)


def _of_headers(records: FlatRecords, rules: LedgerRules) -> ir.Table:
    """One row a claim, version and amount, dated and sorted by the claim's first line."""
    table = records.claims
    column = f"header_{rules.amount}" if f"header_{rules.amount}" in records.has else rules.amount
    if "claim_id" not in records.has:
        raise DataError("Amounts of claims need the claim's id, to count each once: columns={'claim_id': '...'}.")
    _refuse_unsure(records, table, column)
    order = [table.date, table.line_id, table.category]
    first = {
        name: table[name].first(order_by=order, include_null=True)
        for name in CLAIMS
        if name not in ("person_id", "currency", "allowed", "paid", "charge", "units")
    }
    keys = ["claim_id", "version", "person_id", "currency", column]
    single = table.group_by(keys).agg(**first, units=table.units.sum())
    amounts = {name: ibis.null(CLAIMS[name]) for name in ("allowed", "paid", "charge")} | {rules.amount: single[column]}
    return single.mutate(**amounts).select(*CLAIMS)


def _refuse_unsure(records: FlatRecords, table: ir.Table, column: str) -> None:
    """Refuse claims whose rows tell different totals (a reversal aside), and rows without a claim's id."""
    by_claim = table.group_by(["claim_id", "version"]).agg(
        more=table[column].nunique(where=table[column] > 0),
        less=table[column].nunique(where=table[column] < 0),
        persons=table.person_id.nunique(),
    )
    row = records.engine.rows(
        by_claim.aggregate(
            unsure=((by_claim.more > 1) | (by_claim.less > 1)).sum(),
            shared=(by_claim.persons > 1).sum(),
            nameless=by_claim.claim_id.isnull().sum(),
        )
    )[0]
    if row["nameless"]:
        raise DataError("Some rows have no claim_id, so their amount cannot be counted once a claim.")
    if row["shared"]:
        raise DataError(f"{int(row['shared']):,} claims belong to several persons; a claim's amount has one owner.")
    if row["unsure"]:
        raise DataError(
            f"{int(row['unsure']):,} claims tell several different totals on their rows. If these are versions of the "
            "claim, name the column: columns={'version': '...'}; if amounts are the lines' own, level='line'."
        )


def _enrolment(records: FlatRecords, table: ir.Table) -> tuple[ir.Table, list[Note]]:
    """Spans with a first and a last day, ending at death; what had to be done for that."""
    engine = records.engine
    last = _last_day(records) if "date" in records.has else None
    open_ended = table.end_date.isnull() | (table.end_date.year() >= OPEN)
    counted = engine.rows(
        table.aggregate(
            n=table.count(), open=open_ended.sum(), bare=(table.start_date.isnull() | table.person_id.isnull()).sum(),
            backward=(table.end_date < table.start_date).sum(), died=table.death_date.notnull().sum(),
        )
    )[0]  # fmt: skip
    closed = table.end_date if last is None else ibis.ifelse(open_ended, ibis.date(last), table.end_date)
    ended = ibis.least(closed, ibis.coalesce(table.death_date, closed))
    spans = table.select("person_id", "plan", "start_date", "pharmacy", end_date=ended)
    kept = spans.filter(spans.person_id.notnull(), spans.start_date.notnull(), spans.end_date >= spans.start_date)
    notes = [Note("enrolment", "A span of enrolment ends at death, whichever is earlier.", int(counted["died"] or 0))]
    if counted["open"]:
        words = f"Spans without an end (or one after {OPEN}) end with the month of the last claim, {last}."
        notes.append(Note("enrolment", words, int(counted["open"])))
    lost = int(counted["bare"] or 0) + int(counted["backward"] or 0)
    if lost:
        words = "Spans without a person or a start, or that end before they start, are left out."
        notes.append(Note("enrolment", words, lost))
    return kept, notes


def _last_day(records: FlatRecords) -> Any:
    """The last day of the month of the last service."""
    import datetime as dt

    table = records.claims
    last = records.engine.rows(table.aggregate(last=table.date.max()))[0]["last"]
    if last is None:
        return None
    year, month = divmod(last.year * 12 + last.month, 12)
    return dt.date(year, month + 1, 1) - dt.timedelta(days=1)
