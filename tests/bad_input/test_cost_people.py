"""A cost analysis of OMOP records by a file of persons: ids that are none, deaths of the records, spoilt files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import clinops as co
from clinops.errors import ClinopsError, DataError
from clinops.worlds import write
from tests.conftest import tiny

ROOT = Path(__file__).parents[2]

MONEY = [
    {"person": p, "event": p, "domain": "Visit", "allowed": 100 * p, "id": p} for p in range(1, 5)
]  # fmt: skip
RECORDS = tiny(
    person=[{"person_id": p} for p in range(1, 5)],
    visit_occurrence=[{"person": p, "concept": 9201, "start": "2021-02-01", "end": "2021-02-03", "id": p}
                      for p in range(1, 5)],
    cost=[{key: value for key, value in row.items() if key != "person"} for row in MONEY],
    death=[{"person": 2, "start": "2021-02-20"}],
)  # fmt: skip
PLAN = co.cost_plan(horizon_months=3)


def people(tmp_path, text):
    (tmp_path / "people.csv").write_text("person_id,arm,index_date\n" + text)
    return tmp_path / "people.csv"


def test_records_and_a_file_of_persons(any_source, tmp_path):
    """Person 2 dies on day 36; the file does not say so, the records do."""
    file = people(tmp_path, "".join(f"{p},{p % 2},2021-01-15\n" for p in range(1, 5)))
    found = co.cost_of_care(any_source(RECORDS, capture="enrolment"), PLAN, people=file)
    assert found.rows.total.tolist() == [100, 200, 300, 400] and found.rows.categories == ("inpatient",)
    assert found.rows.died.tolist() == [False, True, False, False] and found.rows.complete.all()
    assert found.effects.frame["n_exposed"].isna().all()  # two persons an arm


def test_plan_periods_that_end_before_observation_does(tmp_path):
    """Of a simulated programme one person loses his plan 100 days in: no claim and no month of his counts after it."""
    write(tmp_path / "world", persons=800, seed=3)
    records, truth = tmp_path / "world" / "omop", pd.read_parquet(tmp_path / "world" / "truth.parquet")
    who = int(truth["person_id"].iloc[0])
    index = pd.Timestamp(truth["index_date"].iloc[0])
    plans = pd.read_parquet(records / "payer_plan_period.parquet")
    end = pd.to_datetime(plans["payer_plan_period_end_date"])
    start = pd.to_datetime(plans["payer_plan_period_start_date"])
    his = plans["person_id"] == who
    last = index + pd.Timedelta(days=100)
    plans.loc[his & (end > last), "payer_plan_period_end_date"] = last.date()
    plans = plans[~(his & (start > last))]
    plans.to_parquet(records / "payer_plan_period.parquet")
    protocol = co.protocol.read(ROOT / "data" / "protocols" / "remote_care_programme.json").vary(adjust=co.crude())
    rows = co.cost_of_care(records, co.cost_plan(), protocol=protocol).rows
    at = rows.cluster.tolist().index(who)
    assert rows.last_day[at] == 100 and not rows.complete[at] and rows.months[at] < 4
    whole = co.cost_of_care(
        records, co.cost_plan(), protocol=protocol, rules=co.ledger_rules(enrolment="observation periods")
    ).rows
    assert whole.last_day[at] > 100 and whole.total[at] >= rows.total[at]
    plans[plans["person_id"] != who].to_parquet(records / "payer_plan_period.parquet")
    with pytest.raises(DataError, match=r"1 of .* persons are not enrolled on their index date by the ledger"):
        co.cost_of_care(records, co.cost_plan(), protocol=protocol)


@pytest.mark.parametrize("who", ["A1", "1.5", "12345678901234567890123", "9300000000000000000"])
def test_an_id_that_cannot_be_one_of_the_records(source_of, tmp_path, who):
    file = people(tmp_path, f"1,1,2021-01-15\n{who},0,2021-01-15\n")
    with pytest.raises(ClinopsError, match=r"1 person_id of the people, such as .*whole numbers"):
        co.cost_of_care(source_of(RECORDS, capture="enrolment"), PLAN, people=file)


def test_ids_above_what_a_float_holds_stay_apart(source_of, tmp_path):
    """2^53 and 2^53 + 1 are the same float."""
    big = 2**53
    records = tiny(
        person=[{"person_id": p} for p in (big, big + 1)],
        visit_occurrence=[{"person": p, "concept": 9201, "start": "2021-02-01", "id": i}
                          for i, p in enumerate((big, big + 1), 1)],
        cost=[{"event": i, "domain": "Visit", "allowed": 100 * i, "id": i} for i in (1, 2)],
    )  # fmt: skip
    file = people(tmp_path, f"{big},1,2021-01-15\n{big + 1},0,2021-01-15\n")
    assert co.cost_of_care(source_of(records, capture="enrolment"), PLAN, people=file).rows.total.tolist() == [100, 200]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Nobody in people.csv is in the exposed arm"),
        ("1,1,2021-01-15\n", "Nobody in people.csv is in the comparator arm"),
        ("1,1,2021-01-15\n2,0,2031-01-15\n", "1 of 2 persons of people.csv are not enrolled on their index date"),
        ("1,1,2021-01-15\n2,0,2021-03-15\n", "1 of 2 persons of people.csv are not enrolled on their index date"),
    ],
    ids=["no rows", "one arm", "after the records", "after death"],
)
def test_a_file_that_fits_no_records(source_of, tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        co.cost_of_care(source_of(RECORDS, capture="enrolment"), PLAN, people=people(tmp_path, text))


def test_a_file_that_is_no_table(source_of, tmp_path):
    for name, content in (("people.parquet", b"not parquet"), ("people.csv", b""), ("people.csv", b"\xff\xfe\x00b,c")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name} cannot be read as a table"):
            co.cost_of_care(source_of(RECORDS, capture="enrolment"), PLAN, people=tmp_path / name)
