"""Costs: linked to the event they paid for, dated by it, and sorted into categories by one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.errors import DataError
from clinops.sources import omop
from clinops.sources.source import SetAside

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.loader import Loader
    from clinops.sources.source import Source

DOMAINS = ("visit", "drug", "procedure", "condition", "measurement", "observation", "device")
"""Values of cost_domain_id, in any case, that are linked."""

COLUMNS = ("cost_id", "person_id", "date", "category", "allowed", "paid", "domain", "visit_concept_id")

RULE = (
    "A cost is dated by the start of the event it paid for. Costs of drug records are pharmacy. Every other cost "
    "takes the category of its visit: inpatient, emergency, post-acute, professional (office visits) or outpatient "
    "(all other outpatient visits, telehealth too); a visit that is emergency and inpatient is inpatient. A cost "
    "without a visit of a known kind is in the total only. Allowed is the allowed amount, else the total paid; "
    "paid is what the payer paid, else the total paid."
)
"""The rule in words, for the methods paragraph."""


def costs(source: Source) -> ir.Table:
    """Return one row a cost, with the columns `COLUMNS`; money is DECIMAL(18, 2).

    Built once a source. What cannot be linked or has no amount is counted in `source.set_aside`.

    Raises
    ------
    DataError
        Rows in two currencies, or event ids that stand on several rows, so that costs would double.
    """

    def checked() -> ir.Table:
        currency(source)
        _refuse_doubles(source.loader)
        return _linked(source.loader)

    return source.loader.once("checked costs", checked)


def currency(source: Source) -> int | None:
    """Return the one currency concept of the costs; None where no row says.

    Raises
    ------
    DataError
        Rows in more than one currency: adding them would mean nothing.
    """
    table = source.loader.table("cost")
    stated_in = table.currency_concept_id.nullif(0)
    counted = table.group_by(concept=stated_in).agg(n=table.count()).order_by("concept")
    rows = {row["concept"]: row["n"] for row in source.engine.rows(counted)}
    stated = [concept for concept in rows if concept]
    if len(stated) > 1:
        listed = ", ".join(f"concept {concept} {rows[concept]:,} rows" for concept in stated)
        raise DataError(
            f"cost.currency_concept_id names {len(stated)} currencies ({listed}; {rows.get(None, 0):,} rows with "
            "none). Amounts in different currencies are not added. Convert them to one, or leave the others out, "
            "in the export."
        )
    return stated[0] if stated else None


def observe(loader: Loader) -> list[SetAside]:
    """Count costs whose currency or amount is not stated, or that no event or visit explains."""
    table = loader.table("cost")
    bare = table.filter(table.currency_concept_id.isnull() | (table.currency_concept_id == 0))
    linked = _linked(loader)
    amounts = linked.filter(linked.allowed.isnull())
    filled = table.filter(table.amount_allowed.isnull() & table.total_paid.notnull())
    loose = linked.filter(linked.category == "other")
    return [
        SetAside("cost: rows without a currency", loader.count(bare), "Taken to be in the currency of the others."),
        SetAside(
            "cost: rows whose event is not there",
            loader.count(table) - loader.count(linked),
            "No person and no date can be given to them, so they are in no total.",
        ),
        SetAside("cost: rows without an amount", loader.count(amounts), "They add nothing to any total."),
        SetAside("cost: rows with the total paid as allowed", loader.count(filled), "No allowed amount was recorded."),
        SetAside(
            "cost: rows without a visit of a known kind", loader.count(loose), "They are in the total, in no category."
        ),
    ]


def _linked(loader: Loader) -> ir.Table:
    """Join each cost to its event, domain by domain, once a source."""
    import ibis

    cost = loader.table("cost")
    plain = cost.select(
        cost_id=cost.cost_id,
        event=cost.cost_event_id,
        domain=cost.cost_domain_id.lower(),
        allowed=ibis.coalesce(cost.amount_allowed, cost.total_paid),
        paid=ibis.coalesce(cost.paid_by_payer, cost.total_paid),
    )

    def join() -> ir.Table:
        held = {row["domain"] for row in loader.engine.rows(plain.select("domain").distinct())}
        parts = [_of_domain(plain, name, loader) for name in DOMAINS if name in held] or [
            _of_domain(plain, DOMAINS[0], loader)
        ]
        return loader.engine.materialise(ibis.union(*parts) if len(parts) > 1 else parts[0], "costs")

    return loader.once("costs", join)


def _refuse_doubles(loader: Loader) -> None:
    """Refuse costs of an event id that stands on several rows: each would count more than once."""
    cost = loader.table("cost")
    for name in DOMAINS:
        where = omop.domain(name)
        ids = loader.table(where.table)[where.id].name("event")
        table = ids.as_table()
        counted = loader.engine.rows(table.aggregate(n=table.event.count(), ids=table.event.nunique()))[0]
        if counted["n"] == counted["ids"]:
            continue
        several = table.group_by("event").agg(n=table.count())
        several = several.filter(several.n > 1)
        paid = cost.filter(cost.cost_domain_id.lower() == name)
        doubled = loader.count(paid.inner_join(several, paid.cost_event_id == several.event))
        if doubled:
            raise DataError(
                f"{doubled:,} costs would be counted more than once: {where.id} stands on several rows of "
                f"{where.table}. Make the ids unique in the export."
            )


def _of_domain(cost: ir.Table, name: str, loader: Loader) -> ir.Table:
    where = omop.domain(name)
    table = loader.table(where.table)
    visits = loader.table("visit_occurrence").select(visit="visit_occurrence_id", visit_concept_id="visit_concept_id")
    chosen = cost.filter(cost.domain == name)
    if name == "visit":
        events = table.select(
            event_id=table[where.id], person_id=table.person_id, date=table[where.start],
            visit_concept_id=table.visit_concept_id,
        )  # fmt: skip
    else:
        plain = table.select(
            event_id=table[where.id], person_id=table.person_id, date=table[where.start],
            visit_id=table.visit_occurrence_id,
        )  # fmt: skip
        events = plain.left_join(visits, plain.visit_id == visits.visit).select(
            "event_id", "person_id", "date", "visit_concept_id"
        )
    joined = chosen.inner_join(events, chosen.event == events.event_id)
    return joined.select(
        cost_id=joined.cost_id, person_id=joined.person_id, date=joined.date,
        category=_category(joined.visit_concept_id, name), allowed=joined.allowed, paid=joined.paid,
        domain=joined.domain, visit_concept_id=joined.visit_concept_id,
    )  # fmt: skip


def _category(visit: Any, domain: str) -> Any:
    import ibis

    if domain == "drug":
        return ibis.literal("pharmacy")
    return ibis.cases(
        (visit.isin(omop.INPATIENT), "inpatient"),
        (visit.isin(omop.EMERGENCY), "emergency"),
        (visit.isin(omop.POST_ACUTE), "post-acute"),
        (visit.isin(omop.OFFICE), "professional"),
        (visit.isin(omop.OUTPATIENT), "outpatient"),
        (visit.isin(omop.PHARMACY), "pharmacy"),
        else_="other",
    )
