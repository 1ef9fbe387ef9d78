"""Which amount of a claim counts, and in which currency."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

import ibis
import ibis.expr.types as ir

from clinops.build.ledger.raw import Note, Raw
from clinops.define.ledger import LedgerRules, Named
from clinops.errors import DataError

UNITS = "currency units"
"""What amounts are in where nobody says a currency."""
MONEY = "decimal(18, 2)"


class Fact(NamedTuple):
    """Claims of one currency and category in numbers; amounts as recorded, the category as spelled and as known."""

    currency: str | None
    said: str | None
    category: str | None
    rows: int
    amount: Decimal
    bare: int
    negative: int
    negative_amount: Decimal
    zero: int
    undated: int
    nobody: int
    first: dt.date | None
    last: dt.date | None
    paid_last: dt.date | None


def facts(raw: Raw, rules: LedgerRules) -> list[Fact]:
    """Count the claims once, by currency and category, before any rule touches them."""
    claims = raw.claims
    table = claims.mutate(money=claims[rules.amount], zeros=_capitated(claims, rules.amount, raw.has))
    zero = ibis.literal(0).cast(MONEY)
    counted = table.group_by(["currency", "category"]).agg(
        rows=table.count(), amount=table.money.sum().fill_null(zero), bare=table.money.isnull().sum(),
        negative=table.count(where=table.money < 0),
        negative_amount=table.money.sum(where=table.money < 0).fill_null(zero), zero=table.count(where=table.zeros),
        undated=table.date.isnull().sum(), nobody=table.person_id.isnull().sum(), first=table.date.min(),
        last=table.date.max(), paid_last=table.paid_date.max(),
    )  # fmt: skip
    rows = raw.engine.rows(counted.order_by(["currency", "category"]))
    return [
        Fact(
            row["currency"],
            row["category"],
            known(row["category"], rules.categories),
            *(_plain(row[name]) for name in Fact._fields[3:]),
        )
        for row in rows
    ]


def _plain(value: Any) -> Any:
    """Integers of the database as ints, whatever width its sums have."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value


SPELLINGS = {"postacute": "post-acute", "program-fee": "programme fee", "programme-fee": "programme fee"}


def known(said: str | None, categories: Iterable[str]) -> str | None:
    """A category as the rules spell it, whatever the case and whether a blank, _ or - joins its words."""
    plain = (said or "").strip().lower()
    joined = plain.replace("_", "-").replace(" ", "-")
    spelled = {name.replace("_", "-").replace(" ", "-"): name for name in categories}
    return spelled.get(joined) or SPELLINGS.get(joined) or plain or None


def category(claims: ir.Table, facts: list[Fact]) -> ir.StringValue:
    """The category of every claim as the rules spell it; without one it is "other"."""
    # Few spellings differ, often none: a column that is left as it is costs nothing over ten million rows.
    respelled = {fact.said: fact.category for fact in facts if fact.said is not None and fact.said != fact.category}
    said = claims.category.fill_null("other")
    if not respelled:
        return said
    return ibis.cases(*((said == old, new or "other") for old, new in respelled.items()), else_=said)


def _capitated(claims: ir.Table, amount: str, has: Iterable[str]) -> ir.BooleanValue:
    """Whether an encounter was paid by capitation: as recorded, else one that was paid with nothing."""
    if "capitated" in has:
        return claims.capitated.fill_null(False)
    return (claims[amount] == 0).fill_null(False)


def settle(facts: list[Fact], rules: LedgerRules, raw: Raw) -> tuple[str, list[Note]]:
    """Return the currency of the totals and what was assumed for it.

    Raises
    ------
    DataError : several currencies, or rows without one, that no rule settles; the counts by currency are named.
    """
    counts: dict[str | None, int] = {}
    amounts: dict[str | None, Decimal] = {}
    for fact in facts:
        counts[fact.currency] = counts.get(fact.currency, 0) + fact.rows
        amounts[fact.currency] = amounts.get(fact.currency, Decimal(0)) + fact.amount
    stated = [name for name in counts if name is not None]
    empty = counts.get(None, 0)
    if "currency" not in raw.has:
        unit = rules.currency or UNITS
        return unit, [Note("currency", f"The records state no currency; amounts are taken to be {unit}.", empty)]
    target = rules.currency or (stated[0] if len(stated) == 1 else None)
    rates = {one.name: one.value for one in rules.rates}
    others = [name for name in stated if name != target and name not in rates]
    mixed = target is None or (others and rules.other_currencies == "refuse")
    if mixed or (empty and rules.empty_currency == "refuse"):
        raise DataError(_refusal(raw.where, counts))
    assert target is not None
    notes = [Note("currency", f"Amounts are in {target}.", counts.get(target, 0), amounts.get(target))]
    for name in stated:
        if name in rates and name != target:
            words = f"1 {name} = {rates[name]:g} {target}: converted row by row, rounded to the cent."
            notes.append(Note("currency", words, counts[name], amounts[name]))
    for name in others:
        notes.append(Note("currency", f"Rows in {name} are left out of everything.", counts[name], amounts[name]))
    if empty:
        words = (
            f"Rows without a currency are assumed to be {target}."
            if rules.empty_currency == "assume"
            else "Rows without a currency are left out of everything."
        )
        notes.append(Note("currency", words, empty, amounts[None]))
    return target, notes


def _refusal(where: str, counts: dict[str | None, int]) -> str:
    def rows(n: int) -> str:
        return f"{n:,} row{'s' * (n != 1)}"

    stated = {name: n for name, n in counts.items() if name is not None}
    listed = ", ".join(f"{name} {rows(n)}" for name, n in sorted(stated.items(), key=lambda x: (-x[1], x[0])))
    empty = counts.get(None, 0)
    return (
        f"The column {where} names {len(stated)} distinct currenc{'y' if len(stated) == 1 else 'ies'} "
        f"({listed or 'none'}) and is empty in {rows(empty)}. Amounts in different currencies are not added, and an "
        "empty one is not guessed. Say what to do: ledger_rules(currency='USD', empty_currency='assume' or "
        "'leave out', other_currencies='leave out', rates={'EUR': 1.10})."
    )


def apply(raw: Raw, rules: LedgerRules, facts: list[Fact], unit: str) -> tuple[ir.Table, list[Note]]:
    """Return the claims with the one amount that counts, and what the rules about amounts touched."""
    claims = raw.claims
    kept = _in_currency(claims, rules, raw, unit)
    said = category(kept, facts)
    amount = _converted(kept[rules.amount], kept, rules)
    if rules.amount == "charge":
        amount = _times(amount, said, rules)
    chosen = kept.select(
        "person_id", "date", "paid_date", "plan", "code", "units", category=said, amount=amount,
        capitated=_capitated(kept, rules.amount, raw.has),
    )  # fmt: skip
    return chosen, _notes(raw, rules, facts, unit)


def _in_currency(claims: ir.Table, rules: LedgerRules, raw: Raw, unit: str) -> ir.Table:
    if "currency" not in raw.has:
        return claims
    known = claims.currency.isin([unit, *(one.name for one in rules.rates)])
    if rules.empty_currency == "assume":
        return claims.filter(known | claims.currency.isnull())
    return claims.filter(known)


def _converted(amount: ir.Value, claims: ir.Table, rules: LedgerRules) -> ir.Value:
    if not rules.rates:
        return amount
    return _scaled(amount, claims.currency, rules.rates)


def _scaled(amount: ir.Value, by: ir.StringValue, factors: Iterable[Named]) -> ir.Value:
    """Amounts times an exact factor for each name, rounded to the cent; as they are for other names."""
    branches = [(by == one.name, _product(amount, one.value)) for one in factors]
    return ibis.cases(*branches, else_=amount)


def _product(amount: ir.Value, factor: float) -> ir.Value:
    exact = ibis.literal(Decimal(repr(factor)), type="decimal(18, 8)")
    return (amount.cast("decimal(18, 2)") * exact).round(2).cast(MONEY)


def _times(amount: ir.Value, said: ir.StringValue, rules: LedgerRules) -> ir.Value:
    """Charges times the cost-to-charge ratio of their category; without a ratio there is no amount."""
    named = [one for one in rules.charge_ratio if one.name != "all"]
    rest = next((one.value for one in rules.charge_ratio if one.name == "all"), None)
    branches = [(said == one.name, _product(amount, one.value)) for one in named]
    other = ibis.null(MONEY) if rest is None else _product(amount, rest)
    return ibis.cases(*branches, else_=other) if branches else other


def _notes(raw: Raw, rules: LedgerRules, facts: list[Fact], unit: str) -> list[Note]:
    def total(name: str) -> Any:
        values = [getattr(fact, name) for fact in facts]
        return sum(values, Decimal(0)) if name.endswith("amount") else sum(values)

    words = {
        "allowed": "The allowed amount counts: what payer and patient owe together.",
        "paid": "The paid amount counts, as asked for: what the payer paid, without the patient's share.",
        "charge": f"Charges times the cost-to-charge ratio count ({_ratios(rules)}), rounded to the cent.",
    }
    notes = [Note("amount", words[rules.amount], total("rows") - total("bare"), total("amount"))]
    unpriced = [f for f in facts if rules.amount == "charge" and rules.ratio(f.category or "other") is None]
    if unpriced:
        listed = ", ".join(sorted({f.category or "other" for f in unpriced}))
        raise DataError(
            f"Charges of {listed} have no cost-to-charge ratio. Give one for each category, or 'all' for the rest."
        )
    if total("bare"):
        notes.append(Note("amount", "Claims without that amount add nothing.", total("bare")))
    notes.append(Note("reversals", "Negative amounts are netted, never clipped.", total("negative"),
                      total("negative_amount")))  # fmt: skip
    how = "marked as capitated" if "capitated" in raw.has else "with an amount of 0"
    priced = "priced at the standard price of their service" if rules.price_capitated else "left at their amount"
    notes.append(Note("capitation", f"Encounters {how} are flagged and {priced}.", total("zero")))
    if "category" in raw.has:
        loose = sum(fact.rows for fact in facts if fact.category is None)
        notes.append(Note("categories", "Every claim is in one category; without a stated one it is 'other'.", loose))
    else:
        notes.append(Note("categories", "The claims have no category: all are 'other'.", total("rows")))
    lost = total("undated"), total("nobody")
    if any(lost) and raw.enrolment is not None:
        words_lost = "Claims without a person or a service date are outside enrolment."
        notes.append(Note("outside enrolment", words_lost, max(lost)))
    return notes


def _ratios(rules: LedgerRules) -> str:
    return ", ".join(f"{one.name} {one.value:g}" for one in rules.charge_ratio)
