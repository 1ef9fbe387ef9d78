"""Claims and enrolment with the same columns whatever they come from; no rule has been applied yet."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir

from clinops.build import people
from clinops.define.ledger import LedgerRules
from clinops.errors import DataError
from clinops.sources import costs

CLAIMS = {
    "person_id": "int64", "date": "date", "paid_date": "date", "category": "string", "plan": "string",
    "currency": "string", "allowed": "decimal(18, 2)", "paid": "decimal(18, 2)", "charge": "decimal(18, 2)",
    "code": "string", "units": "float64", "capitated": "boolean",
}  # fmt: skip
"""Columns of `Raw.claims`; a person_id may be text."""

CURRENCIES = {44818668: "USD", 44818568: "EUR", 44818571: "GBP"}


class Note(NamedTuple):
    """What a rule did: its name, the rule in words, and the rows and the money it touched (None: not counted)."""

    rule: str
    words: str
    rows: int | None = None
    amount: Decimal | None = None


@dataclass(frozen=True, eq=False)
class Raw:
    """Records of claims and enrolment in one shape.

    Attributes
    ----------
    engine : where they are.
    claims : columns `CLAIMS`, null where the records do not say.
    enrolment : person_id, plan, start_date, end_date (both included), pharmacy (null: not known); ends at death.
        None where there is none: then there are totals and no member-months.
    has : the columns of the claims that the records hold.
    name, where : what they are called; the column of the currency, as messages name it.
    notes : what was done to bring them into this shape.
    synthetic : whether the records are simulated.
    deaths : person_id and death_date, once a person; None where the records tell of none.
    """

    engine: Any
    claims: ir.Table
    enrolment: ir.Table | None
    has: frozenset[str]
    name: str
    where: str = "currency"
    notes: tuple[Note, ...] = ()
    synthetic: bool = False
    deaths: ir.Table | None = None


def from_source(source: Any, rules: LedgerRules) -> Raw:
    """Claims and enrolment of OMOP records.

    Raises
    ------
    DataError : no cost table, or costs that would count more than once.
    """
    if not source.has("cost"):
        raise DataError("The records hold no costs (table cost), so there is no ledger.")
    table, note = enrolment(source, rules)
    found, level = _counted_once(source, costs.linked(source), rules)
    named = ibis.cases(
        *((found.currency_concept_id == concept, code) for concept, code in CURRENCIES.items()),
        else_=ibis.literal("concept ") + found.currency_concept_id.cast("string"),
    )
    plans = source.table("payer_plan_period").select(period="payer_plan_period_id", plan="plan_source_value")
    has = {"person_id", "date", "category", "currency", "allowed", "paid", "charge"}
    joined = found
    if source.has("payer_plan_period") and _any(source, found.payer_plan_period_id):
        joined = found.left_join(plans, found.payer_plan_period_id == plans.period)
        has.add("plan")
    if _any(source, found.paid_date):
        has.add("paid_date")
    claims = joined.select(
        person_id=joined.person_id,
        date=joined.date,
        paid_date=joined.paid_date,
        category=joined.category,
        plan=joined.plan if "plan" in has else ibis.null("string"),
        currency=ibis.ifelse(joined.currency_concept_id.isnull(), ibis.null("string"), named),
        allowed=joined.allowed,
        paid=joined.paid,
        charge=joined.charge,
        code=ibis.null("string"),
        units=ibis.null("float64"),
        capitated=ibis.null("boolean"),
    )
    notes = (*level, note, *_capture(source))
    return Raw(
        source.engine, claims, table, frozenset(has), source.name, "cost.currency_concept_id", notes,
        source.synthetic, people.deaths(source),
    )  # fmt: skip


def _counted_once(source: Any, found: ir.Table, rules: LedgerRules) -> tuple[ir.Table, tuple[Note, ...]]:
    """Leave one of two where a visit's cost is there as its own and again as the costs of the events within it.

    Raises
    ------
    DataError : there are such visits and the rules do not say which of the two counts.
    """
    told = found.filter(found.visit_id.notnull(), found[rules.amount].notnull())
    own, amount = told.domain == "visit", told[rules.amount]
    sums = told.group_by("visit_id").agg(
        whole=amount.sum(where=own), parts=amount.sum(where=~own), n=told.count(where=~own)
    )
    twice = sums.filter(sums.n > 0, sums.whole != 0)
    same = twice.whole == twice.parts
    row = source.engine.rows(twice.aggregate(n=twice.count(), same=same.sum().fill_null(0)))[0]
    count = int(row["same"] or 0)
    # Sums that agree in a few visits of many are chance: a visit and one test in it may cost the same.
    if not count or 2 * count < int(row["n"]):
        return found, ()
    if rules.level is None:
        raise DataError(
            f"{count:,} visits have a cost of their own that equals the costs of the events within them: the money is "
            "there twice. Say which counts: ledger_rules(level='header') takes the visit's, level='line' the events'."
        )
    chosen = twice.filter(same).select(doubled="visit_id")
    joined = found.left_join(chosen, found.visit_id == chosen.doubled)
    gone = joined.doubled.notnull() & ((joined.domain != "visit") if rules.level == "header" else
                                       (joined.domain == "visit"))  # fmt: skip
    which = "the visit's own" if rules.level == "header" else "those of the events within it"
    words = f"Where a visit's cost is there twice, as its own and as its events', {which} counts."
    return joined.filter(~gone).drop("doubled"), (Note("header or line", words, count),)


def _capture(source: Any) -> tuple[Note, ...]:
    if source.capture == "enrolment":
        return ()
    words = (
        f"These records are of capture {source.capture!r}: their periods are not a plan's enrolment, and care "
        "elsewhere is in no cost."
    )
    return (Note("enrolment", words),)


def _any(source: Any, column: ir.Value) -> bool:
    """Whether a column says anything at all."""
    table = column.name("held").as_table()
    return bool(source.engine.rows(table.aggregate(n=table.held.count()))[0]["n"])


def enrolment(source: Any, rules: LedgerRules) -> tuple[ir.Table, Note]:
    """Enrolment of OMOP records, ending at death: the table, and the rule in words."""
    plans = source.has("payer_plan_period")
    if rules.enrolment == "plan periods" and not plans:
        raise DataError("The records hold no plan periods (table payer_plan_period); take 'observation periods'.")
    kind = rules.enrolment or ("plan periods" if plans else "observation periods")
    if kind == "plan periods":
        table = source.table("payer_plan_period")
        plan = ibis.coalesce(table.plan_source_value, table.payer_source_value)
        pharmacy = plan.isin(rules.pharmacy_plans) if rules.pharmacy_plans else ibis.null("boolean")
        spans = table.select(
            person_id=table.person_id, plan=plan, start_date=table.payer_plan_period_start_date,
            end_date=table.payer_plan_period_end_date, pharmacy=pharmacy,
        )  # fmt: skip
    else:
        table = source.table("observation_period")
        spans = table.select(
            person_id=table.person_id, plan=ibis.null("string"), start_date=table.observation_period_start_date,
            end_date=table.observation_period_end_date, pharmacy=ibis.null("boolean"),
        )  # fmt: skip
    alive = until_death(spans, people.deaths(source))
    words = f"Enrolment is the {kind} of the records and ends at death, whichever is earlier."
    return alive, Note("enrolment", words)


def until_death(spans: ir.Table, deaths: ir.Table) -> ir.Table:
    """End every span on the day of death at the latest; spans that begin after it are gone."""
    died = deaths.select(died="person_id", death_date="death_date")
    joined = spans.left_join(died, spans.person_id == died.died)
    ended = joined.mutate(end_date=ibis.least(joined.end_date, ibis.coalesce(joined.death_date, joined.end_date)))
    return ended.filter(ended.end_date >= ended.start_date).drop("died", "death_date")
