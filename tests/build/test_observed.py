"""Episodes of enrolment around an index date, against a walk over the days; deaths as the records tell them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.build.ledger.observed import deaths, observed
from clinops.errors import DataError
from tests.build.ledgers import write

CLAIM = "person_id,service_date,category,allowed\nP1,2021-03-01,pharmacy,5\n"


def books(folder: Path, enrolment: str | None, claims: str = CLAIM):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "claims.csv").write_text(claims)
    if enrolment is not None:
        (folder / "enrolment.csv").write_text(enrolment)
    return co.ledger(folder, rules=co.ledger_rules(currency="USD")).books


def people(*who: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(who, columns=["person_id", "index_date"])
    return frame.assign(row=range(len(frame)), index_date=pd.to_datetime(frame["index_date"]))


def test_plans_that_touch_or_overlap_are_one_episode_and_a_day_without_cover_ends_it(tmp_path: Path) -> None:
    text = """person_id,plan,start_date,end_date
P1,A,2021-01-01,2021-01-31
P1,B,2021-02-01,2021-03-31
P1,A,2021-03-15,2021-06-30
P1,A,2021-07-02,2021-12-31
"""
    found = observed(books(tmp_path, text), people(
        ("P1", "2021-01-01"), ("P1", "2021-03-01"), ("P1", "2021-06-30"), ("P1", "2021-07-01"), ("P1", "2021-07-02"),
    ))  # fmt: skip
    assert np.array_equal(found[0], [0, -59, -180, np.nan, 0], equal_nan=True)
    assert np.array_equal(found[1], [180, 121, 0, np.nan, 182], equal_nan=True)


def test_who_is_not_there_has_no_episode_and_the_order_is_that_of_the_people(tmp_path: Path) -> None:
    text = "person_id,start_date,end_date\nP1,2021-01-01,2021-01-31\nP2,2021-01-11,2021-01-31\n"
    first, last = observed(
        books(tmp_path, text), people(("P2", "2021-01-21"), ("?", "2021-01-21"), ("P1", "2021-01-21"))
    )
    assert np.array_equal(first, [-10, np.nan, -20], equal_nan=True)
    assert np.array_equal(last, [10, np.nan, 10], equal_nan=True)


def test_without_enrolment_nobody_can_say(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no enrolment"):
        observed(books(tmp_path, None), people(("P1", "2021-01-01")))


def test_it_is_what_a_walk_over_the_days_finds(tmp_path: Path) -> None:
    """A simulated ledger: spans that overlap, nest and touch, deaths within them."""
    folder = write(tmp_path / "ledger", seed=5, persons=60, count=50)
    held = co.ledger(folder, rules=co.ledger_rules(amount="paid", currency="USD")).books
    spans = pd.read_csv(folder / "enrolment.csv", parse_dates=["start_date", "end_date", "death_date"])
    covered: dict[str, set[dt.date]] = {}
    for span in spans.itertuples():
        end = span.end_date if pd.isna(span.death_date) else min(span.end_date, span.death_date)
        covered.setdefault(span.person_id, set()).update(pd.date_range(span.start_date, end).date)
    rng = np.random.default_rng(1)
    asked = people(*(
        (who, str(dt.date(2021, 1, 1) + dt.timedelta(int(rng.integers(0, 900))))) for who in sorted(covered) * 3
    ))  # fmt: skip
    first, last = observed(held, asked)
    day = dt.timedelta(1)
    for i, (who, index) in enumerate(zip(asked["person_id"], asked["index_date"].dt.date, strict=True)):
        if index not in covered[who]:
            assert np.isnan(first[i]) and np.isnan(last[i])
            continue
        since, until = index, index
        while since - day in covered[who]:
            since -= day
        while until + day in covered[who]:
            until += day
        assert (first[i], last[i]) == ((since - index).days, (until - index).days)


# --- deaths -------------------------------------------------------------------------------------


def test_the_first_day_of_death_of_several_counts(tmp_path: Path) -> None:
    text = """person_id,start_date,end_date,death_date
P1,2021-01-01,2021-01-31,2021-06-30
P1,2021-02-01,2021-12-31,2021-06-20
P2,2021-01-01,2021-12-31,
"""
    found = deaths(books(tmp_path, text), people(("P2", "2021-06-10"), ("P1", "2021-06-10"), ("P1", "2021-06-25")))
    assert np.array_equal(found, [np.nan, 10, -5], equal_nan=True)


def test_where_no_column_tells_of_death_nobody_is_known_to_have_died(tmp_path: Path) -> None:
    text = "person_id,start_date,end_date\nP1,2021-01-01,2021-12-31\n"
    assert np.isnan(deaths(books(tmp_path / "a", text), people(("P1", "2021-06-10")))).all()
    assert np.isnan(deaths(books(tmp_path / "b", None), people(("P1", "2021-06-10")))).all()
