"""In a fresh process PostgreSQL's dates compile as it knows them, whatever was printed first."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import datetime as dt
from clinops.sources.postgres import PostgresEngine
engine = PostgresEngine.__new__(PostgresEngine)
import ibis
str(engine.types().to_string(ibis.dtype("decimal(18, 2)")))
table = ibis.table({"day": "date"}, name="t")
print(engine.sql(table.filter(table.day >= dt.date(2020, 1, 1))))
"""


def test_a_date_after_a_type_was_printed() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert "MAKE_DATE(2020, 1, 1)" in done.stdout.upper() and "DATE_FROM_PARTS" not in done.stdout
