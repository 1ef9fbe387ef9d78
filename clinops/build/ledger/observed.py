"""From which day to which day around the index date a person is enrolled without a gap, and when he died."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from clinops.build.ledger.books import Books
from clinops.build.ledger.months import upload

if TYPE_CHECKING:
    import pandas as pd


def observed(books: Books, people: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Find the episode of enrolment that holds each index date.

    Parameters
    ----------
    people : row, person_id and index_date.

    Returns
    -------
    First and last day (n,) from the index date, 0 or earlier and 0 or later; NaN for a person who is not enrolled on
    the index date. Plans that touch or overlap are one episode; a day without cover ends it.

    Raises
    ------
    DataError : there is no enrolment.
    """
    entries = upload(books, people.assign(last_day=0))
    spans = books.covered("prorated").select(who="person_id", since="start_date", until="end_date")
    joined = entries.inner_join(
        spans,
        [entries.person_id == spans.who, entries.index_date >= spans.since, entries.index_date <= spans.until],
    )
    chosen = joined.select(
        "row",
        first=joined.since.delta(joined.index_date, unit="day"),
        last=joined.until.delta(joined.index_date, unit="day"),
    )
    found = books.engine.collect(chosen).to_pandas().set_index("row").reindex(people["row"])
    return found["first"].to_numpy(dtype=float), found["last"].to_numpy(dtype=float)


def deaths(books: Books, people: pd.DataFrame) -> np.ndarray:
    """Look up the day of death of each person in the records.

    Returns
    -------
    (n,) day from the index date; NaN for who is not known to have died.
    """
    if books.raw.deaths is None:
        return np.full(len(people), np.nan)
    entries = upload(books, people.assign(last_day=0))
    died = books.raw.deaths.select(who="person_id", died="death_date")
    joined = entries.inner_join(died, entries.person_id == died.who)
    chosen = joined.select("row", day=joined.died.delta(joined.index_date, unit="day"))
    found = books.engine.collect(chosen).to_pandas().set_index("row").reindex(people["row"])
    return found["day"].to_numpy(dtype=float)
