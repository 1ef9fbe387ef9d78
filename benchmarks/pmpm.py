"""Cost per member per month over 10 million claims: the ledger against SQL written by hand for DuckDB.

Both read the same Parquet files and do the same: merge a person's spans over plans, count exact member-months (by the
prorated and by the any-day rule), find the claims inside enrolment, and sum them by month and category.
"""

# ruff: noqa: S608 - the SQL here is built from constants and from the folder that this module makes
from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

import clinops as co
from benchmarks.timing import heading, versus

CLAIMS, MEMBERS, MONTHS = 10_000_000, 1_000_000, 36
FIRST = "DATE '2021-01-01'"
CATEGORIES = "['inpatient', 'emergency', 'outpatient', 'professional', 'pharmacy', 'post-acute', 'other']"
RULES = ("prorated", "any day")


def write(folder: Path, claims: int = CLAIMS, members: int = MEMBERS) -> None:
    """Write claims.parquet and enrolment.parquet; a fifth of the members change plan, half of these with overlap."""
    days = MONTHS * 365 // 12
    with duckdb.connect() as connection:
        connection.execute(f"""
            COPY (SELECT i AS claim_id, (hash(i * 7) % {members})::BIGINT AS person_id,
                         {FIRST} + (hash(i * 11) % {days})::INTEGER AS service_date,
                         {CATEGORIES}[1 + (hash(i * 13) % 7)::INTEGER] AS category,
                         CAST(((hash(i * 17) % 500000)::BIGINT - 20000) * 0.01 AS DECIMAL(18, 2)) AS allowed
                  FROM range({claims}) t(i))
            TO '{folder}/claims.parquet' (FORMAT parquet)""")
        connection.execute(f"""
            COPY (WITH one AS (SELECT i AS person_id, (hash(i * 3) % {days // 2})::INTEGER AS a,
                                  {days // 2} + (hash(i * 5) % {days // 2})::INTEGER AS b FROM range({members}) t(i))
                  SELECT person_id, 'A' AS plan, {FIRST} + a AS start_date,
                         {FIRST} + CASE WHEN person_id % 5 = 0 THEN (a + b) // 2 ELSE b END AS end_date FROM one
                  UNION ALL
                  SELECT person_id, 'B', {FIRST} + (a + b) // 2 + CASE WHEN person_id % 2 = 0 THEN -20 ELSE 5 END,
                         {FIRST} + b FROM one WHERE person_id % 5 = 0 AND b - a > 60)
            TO '{folder}/enrolment.parquet' (FORMAT parquet)""")


BY_HAND = """
WITH spans AS (SELECT person_id, {low} AS s, {high} AS e FROM '{folder}/enrolment.parquet'),
reach AS (SELECT *, max(e) OVER (PARTITION BY person_id ORDER BY s, e ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                 AS r FROM spans),
piece AS (SELECT *, sum(CASE WHEN r IS NULL OR s > r + 1 THEN 1 ELSE 0 END) OVER (PARTITION BY person_id ORDER BY s, e
                 ROWS UNBOUNDED PRECEDING) AS k FROM reach),
merged AS MATERIALIZED (SELECT person_id, min(s) AS s, max(e) AS e FROM piece GROUP BY person_id, k),
changes AS (
    SELECT date_trunc('month', s)::DATE AS m, count(*) AS n, -sum(day(s) - 1) AS d FROM merged GROUP BY 1
    UNION ALL
    SELECT date_trunc('month', e)::DATE, 0, -sum(day(last_day(e)) - day(e)) FROM merged GROUP BY 1
    UNION ALL
    SELECT (date_trunc('month', e) + INTERVAL 1 MONTH)::DATE, -count(*), 0 FROM merged GROUP BY 1),
months AS (
    SELECT m, sum(sum(n)) OVER (ORDER BY m) * day(last_day(m)) + sum(d) AS days, day(last_day(m)) AS length
    FROM changes GROUP BY m),
cost AS (
    SELECT date_trunc('month', service_date)::DATE AS m, category, count(*) AS n, sum(allowed) AS cost
    FROM '{folder}/claims.parquet' c JOIN merged USING (person_id) WHERE service_date BETWEEN s AND e GROUP BY ALL)
SELECT months.m, days, length, category, n, cost, cost / (days / length) FROM months LEFT JOIN cost USING (m)
ORDER BY ALL
"""


def by_hand(folder: Path) -> dict[str, tuple[Decimal, int]]:
    """Total cost inside enrolment and covered days by each rule, by SQL written for it."""
    found = {}
    for rule in RULES:
        whole = rule == "any day"
        low = "date_trunc('month', start_date)::DATE" if whole else "start_date"
        high = "last_day(end_date)" if whole else "end_date"
        # A session of its own, as the ledger has one.
        with duckdb.connect() as connection:
            rows = connection.execute(BY_HAND.format(folder=folder, low=low, high=high)).fetchall()
        days = {row[0]: int(row[1]) for row in rows}
        found[rule] = (sum((row[5] for row in rows if row[5] is not None), Decimal(0)), sum(days.values()))
    return found


def ours(folder: Path, level: str | None = "line") -> dict[str, tuple[Decimal, int]]:
    """The same through the public call: opened, checked, summed, and PMPM by both rules as an exhibit."""
    book = co.ledger(folder, rules=co.ledger_rules(level=level))
    assert len(book.pmpm.frame)
    found = {}
    for rule in RULES:
        sums = book.sums("month", "category", months=rule)
        inside = sums[sums["inside"]]
        found[rule] = (sum(inside["cost"], Decimal(0)), int(book.member_months(rule)["days"].sum()))
    return found


def checked(folder: Path) -> dict[str, tuple[Decimal, int]]:
    """The same where nobody says that amounts are of lines, so that all claims are searched for repeated ones."""
    return ours(folder, None)


def peak(way: str, folder: Path) -> int:
    """Peak memory in MB of one way in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.pmpm", way, str(folder)], capture_output=True, text=True)
    return int(re.findall(r"peak (\d+)", done.stdout)[0])


def _alone(way: str, folder: Path) -> None:
    {"ours": ours, "checked": checked, "by_hand": by_hand}[way](folder)
    # Not ru_maxrss, which begins with what the parent held when it started this process.
    status = Path("/proc/self/status").read_text()
    held = int(re.findall(r"VmHWM:\s+(\d+)", status)[0])
    print(f"peak {held // 1024}")


def main() -> None:
    """Write the files, check that both ways agree, time them in turn, and measure their memory."""
    heading("duckdb", "ibis-framework")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write(folder)
        first: Any = ours(folder)
        assert first == by_hand(folder), "the two ways differ"
        for what, way in (("PMPM by both rules, amounts said to be of lines", ours),
                          ("PMPM by both rules, repeated amounts searched for", checked)):  # fmt: skip
            versus(what, CLAIMS, partial(way, folder), partial(by_hand, folder), "DuckDB, SQL by hand", rounds=3)
        held = ", ".join(f"{way} {peak(way, folder)}" for way in ("ours", "checked", "by_hand"))
        print(f"peak memory, MB: {held}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _alone(sys.argv[1], Path(sys.argv[2]))
    else:
        main()
