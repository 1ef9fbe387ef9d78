"""What each of a list of persons cost in every month from index, by category."""

from __future__ import annotations

import re

import ibis
import ibis.expr.types as ir
import pandas as pd

from clinops.build.ledger.books import Books, inside
from clinops.build.person_months import month_from
from clinops.errors import DataError, unknown

COLUMNS = ("row", "month", "year", "category", "cost")
NEEDED = ("row", "person_id", "index_date", "last_day")


def costs_by_month(books: Books, people: pd.DataFrame, months: int, before: int = 0) -> pd.DataFrame:
    """Sum claims by anniversary month from index, calendar year of service and category.

    Month 1 is day 1 to the first monthly anniversary of the index date, month -1 ends on day -1; day 0 is in none.
    A claim counts if the person was enrolled on its day, from day `first_day` (where the people have one) to
    `last_day`.

    Parameters
    ----------
    people : row, person_id, index_date and last_day (day from index, 0 or later); optionally first_day (0 or
        earlier). A person may have several rows.
    months, before : how many months after and before index.

    Returns
    -------
    frame with row, month (-before .. -1, 1 .. months), year, category and cost (sums exact to the cent), sorted;
    months without a claim have no row.
    """
    entries = upload(books, people)
    claims = books.claims
    joined = entries.inner_join(claims, "person_id")
    dated = joined.mutate(day=joined.date.delta(joined.index_date, unit="day"))
    reach = dated.filter(
        dated.day >= -31 * before - 1, dated.day <= 31 * months + 1, dated.day != 0, dated.day <= dated.last_day,
        dated.day >= dated.first_day,
    )  # fmt: skip
    seen = reach if books.raw.enrolment is None else inside(reach, books.covered("prorated"))
    placed = seen.mutate(month=month_from(seen.date, seen.index_date), year=seen.date.year().cast("int64"))
    kept = placed.filter(placed.month.between(-before, months), placed.amount.notnull())
    summed = kept.group_by(["row", "month", "year", "category"]).agg(cost=kept.amount.sum())
    chosen = summed.select(*COLUMNS[:-1], cost=summed.cost.cast("float64")).order_by(list(COLUMNS[:-1]))
    frame = books.engine.collect(chosen).to_pandas()
    return frame.astype({"row": "int64", "month": "int64", "year": "int64", "cost": "float64"})[list(COLUMNS)]


def upload(books: Books, people: pd.DataFrame) -> ir.Table:
    """Copy the people beside the claims, their ids in the type that the claims have.

    Raises
    ------
    DataError : a column is missing, or an id that cannot be one of the records.
    """
    import pyarrow as pa

    for name in NEEDED:
        if name not in people.columns:
            raise DataError(
                unknown("column of the people", name, map(str, people.columns), "Give " + ", ".join(NEEDED))
            )
    kind = books.claims.person_id.type()
    person = _whole(people["person_id"]) if kind.is_integer() else people["person_id"].astype("string")
    first = people["first_day"] if "first_day" in people.columns else pd.Series(-(2**30), index=people.index)
    dates = pd.to_datetime(people["index_date"]).to_numpy(dtype="datetime64[D]")
    table = pa.table({
        "row": pa.array(people["row"].to_numpy(dtype="int64")),
        "person_id": pa.array(person, ibis.Schema({"p": kind}).to_pyarrow().field(0).type, from_pandas=True),
        "index_date": pa.array(dates, pa.date32()),
        "first_day": pa.array(first.fillna(-(2**30)).to_numpy(dtype="int64")),
        "last_day": pa.array(people["last_day"].to_numpy(dtype="int64")),
    })  # fmt: skip
    return books.engine.upload(table, "ledger_people")


def _whole(ids: pd.Series) -> pd.Series:
    """Ids as whole numbers, which never pass through a float.

    Raises
    ------
    DataError : one that is none.
    """
    if ids.dtype.kind in "iu":
        return ids.astype("int64")
    text = ids.astype("string").fillna("").str.strip()
    odd = [one for one in text if not re.fullmatch(r"[+-]?\d{1,19}", one) or abs(int(one)) >= 2**63]
    if odd:
        raise DataError(
            f"{len(odd):,} person_id of the people, such as {odd[0]!r}, are in no record: the records number their "
            "persons in whole numbers."
        )
    return text.map(int).astype("int64")
