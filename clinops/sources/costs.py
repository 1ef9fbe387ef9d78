"""Costs: linked to the event they paid for, dated by it, and sorted into categories by one rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clinops.errors import DataError, SourceError
from clinops.sources import omop
from clinops.sources.source import SetAside

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from clinops.sources.loader import Loader
    from clinops.sources.source import Source

DOMAINS = ("visit", "drug", "procedure", "condition", "measurement", "observation", "device")
"""Values of cost_domain_id, in any case, that are linked."""

COLUMNS = (
    "cost_id", "person_id", "date", "category", "allowed", "paid", "domain", "visit_concept_id", "charge",
    "currency_concept_id", "paid_date", "payer_plan_period_id", "visit_id",
)  # fmt: skip

KINDS = {
    "allowed": ((31979,), ("amount_allowed",)),
    "paid_by_payer": ((), ("paid_by_payer",)),
    "total_paid": ((31980,), ("total_paid",)),
    "charge": ((31973,), ("total_charge",)),
}
"""Of the long shape: the concepts (cost_concept_id) and source values that say which amount a row holds."""

FIELDS = {
    1147070: "visit", 1147082: "procedure", 1147094: "drug", 1147115: "device", 1147127: "condition",
    1147138: "measurement", 1147165: "observation",
}  # fmt: skip
"""Of the long shape: the domain that the concept of a column (cost_event_field_concept_id) stands for."""

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
        return linked(source)

    return source.loader.once("checked costs", checked)


def linked(source: Source) -> ir.Table:
    """Return what `costs` does, whatever the currencies: who adds amounts looks at `currency_concept_id` himself.

    Raises
    ------
    DataError
        Event ids that stand on several rows, so that costs would double.
    """

    def checked() -> ir.Table:
        _refuse_doubles(source.loader)
        return _linked(source.loader)

    return source.loader.once("linked costs", checked)


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
    table = plain(loader)
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


def is_long(loader: Loader) -> bool:
    """Tell whether the cost table has one row an amount (column cost), not one column an amount."""
    raw = loader.engine.raw.get("cost")
    if raw is None or not {"cost", "cost_concept_id"} <= set(raw.columns):
        return False
    table = loader.table("cost")
    return loader.count(table.filter(table.cost.notnull())) > 0


def plain(loader: Loader) -> ir.Table:
    """Return one row a cost in the shape of CDM 5.3, whatever the shape of the records.

    In the long shape (5.4 and later, one row an amount) the amounts of one event, day and currency are one cost,
    each kind of amount summed, so that reversals are netted.
    """
    import ibis

    def made() -> ir.Table:
        cost = loader.table("cost")
        if not is_long(loader):
            _refuse_without_domain(loader)
            return cost.mutate(
                event=cost.cost_event_id, domain=cost.cost_domain_id.lower(), effective_date=ibis.null("date"),
                person_id=ibis.null("int64"), visit_occurrence_id=ibis.null("int64"), charge=cost.total_charge,
            )  # fmt: skip
        return loader.engine.materialise(_pivoted(cost), "cost_wide")

    return loader.once("plain costs", made)


def _refuse_without_domain(loader: Loader) -> None:
    raw = loader.engine.raw.get("cost")
    if raw is not None and "cost_domain_id" not in raw.columns:
        raise SourceError(
            "The table cost has no column 'cost_domain_id', so nobody can say which event a cost paid for. It has: "
            f"{', '.join(raw.columns)}. Add it in the export, or give the long shape (columns cost, cost_concept_id)."
        )


def _pivoted(cost: ir.Table) -> ir.Table:
    import ibis

    said = cost.cost_event_field_concept_id
    stated = ibis.cases(*((said == concept, domain) for concept, domain in FIELDS.items()), else_="visit")
    keyed = cost.mutate(
        domain=ibis.coalesce(cost.cost_domain_id.lower(), stated),
        event=ibis.coalesce(cost.cost_event_id, cost.visit_occurrence_id),
        said=cost.cost_source_value.lower(),
    )
    sums = {name: keyed.cost.sum(where=_is_kind(keyed, name)).cast("decimal(18, 2)") for name in KINDS}
    keys = (
        "event", "domain", "person_id", "visit_occurrence_id", "effective_date", "paid_date", "currency_concept_id",
        "payer_plan_period_id",
    )  # fmt: skip
    grouped = keyed.group_by(keys).agg(cost_id=keyed.cost_id.min(), **sums)
    return grouped.rename(amount_allowed="allowed")


def _is_kind(rows: ir.Table, name: str) -> ir.BooleanValue:
    """Whether a row of the long shape holds this amount; a source value of the wide shape's names tells it surest."""
    concepts, words = KINDS[name]
    named = [word for _, others in KINDS.values() for word in others]
    by_word = rows.said.isin(words).fill_null(False)
    if not concepts:
        return by_word
    return by_word | (rows.cost_concept_id.isin(concepts) & ~rows.said.isin(named).fill_null(False))


def _linked(loader: Loader) -> ir.Table:
    """Join each cost to its event, domain by domain, once a source."""
    import ibis

    cost = plain(loader)
    chosen = cost.select(
        "cost_id",
        "event",
        "domain",
        "charge",
        "currency_concept_id",
        "paid_date",
        "payer_plan_period_id",
        own_person=cost.person_id,
        own_date=cost.effective_date,
        own_visit=cost.visit_occurrence_id,
        allowed=ibis.coalesce(cost.amount_allowed, cost.total_paid),
        paid=ibis.coalesce(cost.paid_by_payer, cost.total_paid),
    )

    def join() -> ir.Table:
        held = {row["domain"] for row in loader.engine.rows(chosen.select("domain").distinct())}
        parts = [_of_domain(chosen, name, loader) for name in DOMAINS if name in held] or [
            _of_domain(chosen, DOMAINS[0], loader)
        ]
        return loader.engine.materialise(ibis.union(*parts) if len(parts) > 1 else parts[0], "costs")

    return loader.once("costs", join)


def _refuse_doubles(loader: Loader) -> None:
    """Refuse costs of an event id that stands on several rows: each would count more than once."""
    cost = plain(loader)
    for name in DOMAINS:
        where = omop.domain(name)
        ids = loader.table(where.table)[where.id].name("event")
        table = ids.as_table()
        counted = loader.engine.rows(table.aggregate(n=table.event.count(), ids=table.event.nunique()))[0]
        if counted["n"] == counted["ids"]:
            continue
        several = table.group_by("event").agg(n=table.count())
        several = several.filter(several.n > 1)
        paid = cost.filter(cost.domain == name).select(of="event")
        doubled = loader.count(paid.inner_join(several, paid.of == several.event))
        if doubled:
            raise DataError(
                f"{doubled:,} costs would be counted more than once: {where.id} stands on several rows of "
                f"{where.table}. Make the ids unique in the export."
            )


def _of_domain(cost: ir.Table, name: str, loader: Loader) -> ir.Table:
    """Costs of one domain with the person, the day and the visit of their event; the cost's own come first."""
    import ibis

    where = omop.domain(name)
    table = loader.table(where.table)
    of_visit = name == "visit"
    events = table.select(
        event_id=table[where.id],
        event_person=table.person_id,
        event_date=table[where.start],
        event_visit=table[where.id] if of_visit else table.visit_occurrence_id,
        visit_concept_id=table.visit_concept_id if of_visit else ibis.null("int64"),
    )
    chosen = cost.filter(cost.domain == name)
    found = chosen.left_join(events, chosen.event == events.event_id)
    placed = found.mutate(
        who=ibis.coalesce(found.own_person, found.event_person),
        day=ibis.coalesce(found.own_date, found.event_date),
        at=ibis.coalesce(found.own_visit, found.event_visit),
    )
    joined = placed.filter(placed.who.notnull() & (placed.own_date.notnull() | placed.event_id.notnull()))
    if not of_visit:
        visits = _visits(loader)
        joined = joined.drop("visit_concept_id").left_join(visits, joined["at"] == visits.visit)
    return joined.select(
        cost_id=joined.cost_id, person_id=joined.who, date=joined.day,
        category=_category(joined.visit_concept_id, name), allowed=joined.allowed, paid=joined.paid,
        domain=joined.domain, visit_concept_id=joined.visit_concept_id, charge=joined.charge,
        currency_concept_id=joined.currency_concept_id.nullif(0), paid_date=joined.paid_date,
        payer_plan_period_id=joined.payer_plan_period_id, visit_id=joined["at"],
    )  # fmt: skip


def _visits(loader: Loader) -> ir.Table:
    """The kind of every visit, one row an id, so that no join doubles a cost."""
    table = loader.table("visit_occurrence")
    known = table.filter(table.visit_occurrence_id.notnull())
    named = known.select(visit="visit_occurrence_id", visit_concept_id="visit_concept_id")
    counted = loader.engine.rows(known.aggregate(n=known.count(), ids=known.visit_occurrence_id.nunique()))[0]
    if counted["n"] == counted["ids"]:
        return named
    return named.group_by("visit").agg(visit_concept_id=named.visit_concept_id.min())


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
