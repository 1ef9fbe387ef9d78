"""Sums of a ledger: claims by month, category and plan, inside and outside enrolment; exact to the cent."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build.ledger import prices
from clinops.build.ledger.books import Books, cents, inside
from clinops.build.ledger.spans import NO_PLAN, member_days, month_number

KEYS = ("month", "category")
COUNTS = ("claims", "cents", "reversals", "reversed_cents", "capitated")
COLUMNS = ("inside", *KEYS, *COUNTS)


def cube(books: Books, months: str, plans: bool = False) -> pd.DataFrame:
    """Sum all claims by month of service, category and whether they are inside enrolment.

    Parameters
    ----------
    months : the rule for member-months, which says what is inside.
    plans : also by plan: the claim's own, else the one that covers its day.

    Returns
    -------
    frame with inside (bool; without enrolment all are), month (months since year 0; <NA> for no date), category,
    plan (where asked for), claims, cents, reversals, reversed_cents and capitated: whole numbers.
    """
    key = ("cube", months, plans)
    if key not in books.cache:
        books.cache[key] = _cube(books, months, plans)
    return books.cache[key].copy()


def _cube(books: Books, months: str, plans: bool) -> pd.DataFrame:
    placed = _placed(books, months, plans)
    keys = ["inside", "month", "category", *(["plan"] if plans else [])]
    summed = placed.group_by(keys).agg(
        claims=placed.count(), amount=placed.amount.sum(), reversals=placed.count(where=placed.amount < 0),
        reversed_amount=placed.amount.sum(where=placed.amount < 0), capitated=placed.count(where=placed.capitated),
    )  # fmt: skip
    rows = books.engine.rows(summed)
    made = [
        {
            **{name: row[name] for name in keys},
            "claims": int(row["claims"]),
            "cents": cents(row["amount"]),
            "reversals": int(row["reversals"]),
            "reversed_cents": cents(row["reversed_amount"]),
            "capitated": int(row["capitated"]),
        }
        for row in rows
    ]
    frame = pd.DataFrame(made, columns=[*keys, *COUNTS])
    frame = frame.astype({"inside": bool, "month": "Int64", **dict.fromkeys(COUNTS, "int64")})
    order = [books.rules.categories.index(name) for name in frame["category"]]
    frame = frame.assign(order=order, outside=~frame["inside"])
    frame = frame.sort_values(["outside", "month", "order", *keys[3:]])
    return frame.drop(columns=["order", "outside"]).reset_index(drop=True)


def _placed(books: Books, months: str, plans: bool) -> ir.Table:
    """Claims with month, and whether they are inside: one row a claim, since covered spans are disjoint."""
    claims = books.claims
    columns: dict[str, Any] = {
        "month": month_number(claims.date), "category": claims.category, "amount": claims.amount,
        "capitated": claims.capitated,
    }  # fmt: skip
    if books.raw.enrolment is None:
        said = {"plan": claims.plan.fill_null(NO_PLAN)} if plans else {}
        return claims.select(inside=ibis.literal(True), **columns, **said)
    covered = books.covered(months, plans=plans)
    names = {"who": "person_id", "since": "start_date", "until": "end_date"} | ({"under": "plan"} if plans else {})
    spans = covered.select(**names)
    joined = claims.left_join(
        spans, [claims.person_id == spans.who, claims.date >= spans.since, claims.date <= spans.until]
    )
    columns = {name: joined[name] for name in ("category", "amount", "capitated")}
    if plans:
        columns["plan"] = ibis.coalesce(joined.plan, joined.under, ibis.literal(NO_PLAN))
    return joined.select(inside=joined.who.notnull(), month=month_number(joined.date), **columns)


def member_months(books: Books, months: str, pharmacy: bool = False, plans: bool = False) -> pd.DataFrame:
    """Covered days of every calendar month.

    Returns
    -------
    frame with month (months since year 0), length (days of the month), days (covered, summed over persons), spans
    (that cover a day of it), and plan where asked for; member-months are days / length, exact as fractions.
    """
    key = ("member_months", months, pharmacy, plans)
    if key not in books.cache:
        by = ("plan",) if plans else ()
        rows = member_days(books.engine, books.covered(months, pharmacy, plans), by)
        books.cache[key] = pd.DataFrame(rows, columns=[*by, "month", "length", "days", "spans"])
    return books.cache[key].copy()


def members(books: Books, plans: bool = False) -> dict[str, int]:
    """How many persons were enrolled at all: in "total", and by plan where asked for."""
    key = ("members", plans)
    if key not in books.cache:
        table = books.covered("any day", plans=plans)
        found = {"total": int(books.engine.rows(table.aggregate(n=table.person_id.nunique()))[0]["n"])}
        if plans:
            counted = table.group_by("plan").agg(n=table.person_id.nunique())
            found |= {row["plan"]: int(row["n"]) for row in books.engine.rows(counted)}
        books.cache[key] = found
    return dict(books.cache[key])


def with_benefit(books: Books, months: str, category: str = "pharmacy") -> tuple[int, int]:
    """Claims and cents of a category on days with the pharmacy benefit."""
    key = ("with benefit", months, category)
    if key not in books.cache:
        claims = books.claims.filter(books.claims.category == category)
        found = inside(claims, books.covered(months, pharmacy=True))
        row = books.engine.rows(found.aggregate(n=found.count(), amount=found.amount.sum()))[0]
        books.cache[key] = (int(row["n"]), cents(row["amount"]))
    return books.cache[key]


def benefit_known(books: Books) -> bool:
    """Whether the enrolment says who has a pharmacy benefit."""
    if "benefit known" not in books.cache:
        table = books.enrolment
        row = books.engine.rows(table.aggregate(n=table.pharmacy.count()))[0]
        books.cache["benefit known"] = int(row["n"]) > 0
    return bool(books.cache["benefit known"])


def triangle(books: Books, months: str) -> pd.DataFrame:
    """Cents inside enrolment by month of service and month of payment: the triangle of the run-out.

    Returns
    -------
    frame with month, paid_month (months since year 0) and cents; claims without a paid date are not in it.
    """
    joined = inside(books.claims.filter(books.claims.paid_date.notnull()), books.covered(months))
    placed = joined.select(
        month=month_number(joined.date), paid_month=month_number(joined.paid_date), amount=joined.amount
    )
    rows = books.engine.rows(placed.group_by(["month", "paid_month"]).agg(amount=placed.amount.sum()))
    frame = pd.DataFrame(
        [{"month": int(r["month"]), "paid_month": int(r["paid_month"]), "cents": cents(r["amount"])} for r in rows],
        columns=["month", "paid_month", "cents"],
    )
    return frame.sort_values(["month", "paid_month"], ignore_index=True)


def running_out(books: Books) -> tuple[int, int]:
    """Claims and cents with a service date after the last day that is taken as complete, or that counts."""
    if "running out" not in books.cache:
        late = books.uncut.filter(books.uncut.date > ibis.date(books.last_day or books.complete_to))
        row = books.engine.rows(late.aggregate(n=late.count(), amount=late.amount.sum()))[0]
        books.cache["running out"] = (int(row["n"]), cents(row["amount"]))
    return books.cache["running out"]


def enrolled(books: Books, months: str) -> ir.Table:
    """The claims inside enrolment by a rule; without enrolment all."""
    return books.claims if books.raw.enrolment is None else inside(books.claims, books.covered(months))


def volumes(books: Books, months: str) -> pd.DataFrame:
    """Volume and money inside enrolment by year of service, category and service.

    Returns
    -------
    frame with year, category, service (the code, else the category), claims, units (Fraction) and cents.
    """
    found = enrolled(books, months).filter(lambda claims: claims.date.notnull())
    table = found.select(
        year=found.date.year().cast("int64"), category=found.category, service=prices.key(found),
        volume=prices.volume(found), amount=found.amount,
    )  # fmt: skip
    summed = table.group_by(["year", "category", "service"]).agg(
        claims=table.count(), units=table.volume.sum(), amount=table.amount.sum()
    )
    rows = [
        {
            "year": row["year"], "category": row["category"], "service": row["service"], "claims": int(row["claims"]),
            "units": Fraction(row["units"] or 0), "cents": cents(row["amount"]),
        }
        for row in books.engine.rows(summed)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["year", "category", "service", "claims", "units", "cents"])
    return frame.sort_values(["year", "category", "service"], ignore_index=True)
