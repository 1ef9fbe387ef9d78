"""A simulated ledger with everything that goes wrong in one, and what it comes to by other means."""

from __future__ import annotations

import calendar
import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

CATEGORIES = ("inpatient", "emergency", "outpatient", "professional", "pharmacy", "post-acute", "programme fee", None)
FIRST = np.datetime64("2021-01-01")


def enrolment(rng: np.random.Generator, persons: int) -> pd.DataFrame:
    """Spans that overlap, nest, touch and leave holes, in several plans; a tenth of the persons die."""
    rows = []
    for person in range(persons):
        death = FIRST + rng.integers(0, 900) if rng.random() < 0.1 else None
        for _ in range(rng.integers(1, 6)):
            start = FIRST + rng.integers(0, 700)
            rows.append((f"P{person:05d}", f"plan {rng.integers(1, 4)}", start, start + rng.integers(0, 300), death,
                         rng.random() < 0.6))  # fmt: skip
    names = ["person_id", "plan", "start_date", "end_date", "death_date", "pharmacy_benefit"]
    return pd.DataFrame(rows, columns=names)


def claims(rng: np.random.Generator, persons: int, count: int) -> pd.DataFrame:
    """Lines of claims with reversals, zeros, claims of strangers and of days outside enrolment."""
    n = rng.integers(1, 4, count)
    claim = np.repeat(np.arange(count), n)
    who = np.repeat(rng.integers(0, persons + 5, count), n)
    day = np.repeat(FIRST + rng.integers(-30, 1100, count), n)
    frame = pd.DataFrame({
        "claim_id": [f"C{one:06d}" for one in claim],
        "line_id": np.arange(len(claim)),
        "person_id": [f"P{one:05d}" for one in who],
        "service_date": day,
        "paid_date": day + np.repeat(rng.integers(0, 120, count), n),
        "category": rng.choice(np.array(CATEGORIES, dtype=object), len(claim)),
        "plan": np.repeat(rng.choice(["plan 1", "plan 2", "plan 3"], count), n),
        "paid_cents": rng.integers(0, 400_000, len(claim)) * (rng.random(len(claim)) > 0.05),
    })  # fmt: skip
    back = frame.sample(frac=0.1, random_state=int(rng.integers(2**31)))
    frame = pd.concat([frame, back.assign(paid_cents=-back["paid_cents"])], ignore_index=True)
    frame["paid"] = [f"{Decimal(int(cents)).scaleb(-2)}" for cents in frame["paid_cents"]]
    frame["header_paid"] = "1.00"
    return frame.drop(columns="paid_cents")


def write(folder: Path, seed: int, persons: int = 200, count: int = 1500) -> Path:
    """Write claims.csv and enrolment.csv and return their folder."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    enrolment(rng, persons).to_csv(folder / "enrolment.csv", index=False)
    claims(rng, persons, count).drop(columns="header_paid").to_csv(folder / "claims.csv", index=False)
    return folder


def sql_sums(folder: Path, months: str, keys: tuple[str, ...]) -> dict[tuple, tuple[int, Decimal]]:
    """Claims and money inside and outside enrolment by keys, by SQL that joins nothing and merges nothing."""
    expressions = {
        "month": "strftime(service_date, '%Y-%m')",
        "year": "strftime(service_date, '%Y')",
        "category": "coalesce(category, 'other')",
        "plan": "plan",
    }
    low, high = ("start_date", "least(end_date, coalesce(death_date, end_date))")
    if months == "any day":
        low, high = f"date_trunc('month', {low})::DATE", f"last_day({high})"
    grouped = ", ".join(f"{expressions[key]} AS {key}" for key in keys)
    query = f"""
        SELECT EXISTS (SELECT 1 FROM e WHERE e.person_id = c.person_id AND c.service_date BETWEEN {low} AND {high}
                       AND least(end_date, coalesce(death_date, end_date)) >= start_date) AS inside,
               {grouped + "," if grouped else ""} count(*), sum(CAST(paid AS DECIMAL(18, 2)))
        FROM c GROUP BY ALL
    """
    with duckdb.connect() as connection:
        types = "{'paid': 'VARCHAR', 'person_id': 'VARCHAR'}"
        connection.execute(f"CREATE VIEW c AS FROM read_csv('{folder}/claims.csv', types={types})")
        connection.execute(f"CREATE VIEW e AS FROM read_csv('{folder}/enrolment.csv', types={{'death_date': 'DATE'}})")
        rows = connection.execute(query).fetchall()
    return {row[:-2]: (row[-2], row[-1]) for row in rows}


def count_months(spans: pd.DataFrame, months: str) -> dict[str, Fraction]:
    """Member-months by calendar month, from a set of covered days of every person."""
    covered: dict[str, set[dt.date]] = {}
    for person, first, last, death in spans[["person_id", "start_date", "end_date", "death_date"]].itertuples(False):
        day, end = pd.Timestamp(first).date(), pd.Timestamp(last).date()
        end = end if pd.isna(death) else min(end, pd.Timestamp(death).date())
        days = covered.setdefault(str(person), set())
        while day <= end:
            days.add(day)
            day += dt.timedelta(days=1)
    found: dict[str, Fraction] = {}
    for days in covered.values():
        for name in {day.strftime("%Y-%m") for day in days}:
            length = calendar.monthrange(int(name[:4]), int(name[5:]))[1]
            held = sum(day.strftime("%Y-%m") == name for day in days)
            found[name] = found.get(name, Fraction(0)) + (1 if months == "any day" else Fraction(held, length))
    return found


def exact_months(frame: pd.DataFrame) -> dict[str, Fraction]:
    """What a ledger says, as fractions; months without a covered day left out."""
    triples = zip(frame["month"], frame["days"], frame["length"], strict=True)
    return {str(month): Fraction(int(days), int(length)) for month, days, length in triples if days}
