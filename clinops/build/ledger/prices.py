"""Standard prices: one price for a service wherever and whenever it is used, so that use shows without price."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import ibis
import ibis.expr.types as ir

from clinops.define.ledger import LedgerRules

UNITS = "decimal(18, 4)"
PRICE = "decimal(18, 4)"


def key(claims: ir.Table) -> ir.StringValue:
    """What a price is the price of: the service code, else the category."""
    return ibis.coalesce(claims.code, claims.category)


def volume(claims: ir.Table) -> ir.Value:
    """Units of a claim, 1 where none is stated; a negative amount takes its units back."""
    stated = claims.units.cast(UNITS).fill_null(ibis.literal(Decimal(1)).cast(UNITS))
    return ibis.ifelse(claims.amount < 0, -stated.abs(), stated)


def standard(engine: Any, claims: ir.Table, rules: LedgerRules) -> dict[str, Fraction]:
    """The standard price, in cents a unit, of every service: the rules' own, else the mean over claims.

    Encounters paid by capitation have no price and are left out of the mean; a service whose units do not add up
    to more than 0 has none.
    """
    given = {one.name: Fraction(Decimal(repr(one.value))) * 100 for one in rules.prices}
    priced = claims.filter(~claims.capitated)
    table = priced.select(key=key(priced), volume=volume(priced), amount=priced.amount, category=priced.category)
    summed = table.group_by(["key", "category"]).agg(units=table.volume.sum(), amount=table.amount.sum())
    units: dict[str, Fraction] = {}
    money: dict[str, Fraction] = {}
    means: dict[str, Fraction] = {}
    for row in engine.rows(summed):
        name = row["key"]
        units[name] = units.get(name, Fraction(0)) + Fraction(row["units"] or 0)
        money[name] = money.get(name, Fraction(0)) + Fraction(row["amount"] or 0) * 100
        if row["category"] in given:
            means[name] = given[row["category"]]
    for name, count in units.items():
        if name not in means and count > 0:
            means[name] = money[name] / count
    return means | given


def priced(engine: Any, claims: ir.Table, rules: LedgerRules, everything: bool = False) -> ir.Table:
    """Give encounters that were paid by capitation the standard price of their service, rounded to the cent.

    With `everything` all claims get it, so that what is left of a difference is a difference in use; a service
    without a price keeps its amount.
    """
    import pyarrow as pa

    prices = sorted(standard(engine, claims, rules).items())
    values = [_rounded(cents / 100, "0.0001") for _, cents in prices]
    table = engine.upload(
        pa.table({
            "of": pa.array([name for name, _ in prices], pa.string()),
            "price": pa.array(values, pa.decimal128(18, 4)),
        }), "prices",
    )  # fmt: skip
    keyed = claims.mutate(key=key(claims), volume=volume(claims))
    joined = keyed.left_join(table, keyed.key == table.of)
    standard_amount = (joined.price * joined.volume).round(2).cast("decimal(18, 2)")
    known = joined.price.notnull()
    amount = ibis.ifelse(known if everything else known & joined.capitated, standard_amount, joined.amount)
    return joined.mutate(amount=amount).select(*claims.columns)


def _rounded(value: Fraction, to: str) -> Decimal:
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal(to), ROUND_HALF_UP)
