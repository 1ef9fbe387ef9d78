"""Flat claims: columns found by their roles, ids kept as they are, faults named."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest

from clinops.errors import DataError, SourceError
from clinops.sources.claims import open_claims

ELIGIBLE = "person_id,start_date,end_date\n1,2020-01-01,2020-12-31\n"


def opened(tmp_path, claims, enrolment=ELIGIBLE, **more):
    (tmp_path / "c.csv").write_text(claims)
    other = None
    if enrolment is not None:
        other = tmp_path / "e.csv"
        other.write_text(enrolment)
    return open_claims(tmp_path / "c.csv", other, **more)


def rows(records):
    return records.engine.rows(records.claims)


def test_columns_are_found_by_their_usual_names_in_any_case(tmp_path):
    records = opened(tmp_path, "Member_ID,From_Date,Amount_Paid,Place\n007,2020-02-29,1.5,21\n")
    (row,) = rows(records)
    assert (row["person_id"], str(row["date"]), str(row["paid"])) == ("007", "2020-02-29", "1.50")
    assert records.has == {"person_id", "date", "paid"}


def test_a_role_can_be_given(tmp_path):
    records = opened(tmp_path, "who,day,usd\n1,2020-02-29,1\n", enrolment="who,start_date,end_date\n1,2020-01-01,\n",
                     columns={"person_id": "who", "date": "DAY", "allowed": "usd"})  # fmt: skip
    assert records.has == {"person_id", "date", "allowed"}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"persn_id": "who"}, "no role of a column 'persn_id'. Did you mean 'person_id'"),
        ({"allowed": "amont"}, "no column in claims 'amont'. Did you mean 'amount'"),
    ],
)
def test_unknown_roles_and_columns_are_refused(tmp_path, columns, said):
    with pytest.raises(SourceError, match=said):
        opened(tmp_path, "person_id,date,amount\n1,2020-01-01,1\n", columns=columns)


def test_a_missing_role_names_what_was_looked_for(tmp_path):
    with pytest.raises(SourceError, match=r"claims have no column for date \(looked for: service_date, date"):
        opened(tmp_path, "person_id,day,paid\n1,2020-01-01,1\n")
    with pytest.raises(SourceError, match="enrolment have no column for end_date"):
        opened(tmp_path, "person_id,date,paid\n1,2020-01-01,1\n", "person_id,start_date,until\n1,2020-01-01,\n")


def test_ids_are_text_where_one_file_has_text(tmp_path):
    pd.DataFrame({"person_id": [2**53 + 1], "date": pd.to_datetime(["2020-01-01"]), "paid": [1.0]}).to_parquet(
        tmp_path / "claims.parquet"
    )
    (tmp_path / "eligibility.csv").write_text(f"person_id,start_date,end_date\n{2**53 + 1},2020-01-01,2020-12-31\n")
    records = open_claims(folder=tmp_path)
    assert rows(records)[0]["person_id"] == str(2**53 + 1)
    assert records.engine.rows(records.enrolment)[0]["person_id"] == str(2**53 + 1)


def test_whole_number_ids_stay_whole_numbers(tmp_path):
    pd.DataFrame({"person_id": [2**60], "date": pd.to_datetime(["2020-01-01"]), "paid": [1.0]}).to_parquet(
        tmp_path / "claims.parquet"
    )
    assert rows(open_claims(tmp_path / "claims.parquet"))[0]["person_id"] == 2**60


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ("person_id,date,paid\n1,2020-01-01,ten\n", "1 value of claims.paid are not amounts, such as 'ten'"),
        ("person_id,date,paid\n1,1/2/2020,1\n", "1 value of claims.date are not dates"),
        ("person_id,date,paid,capitated\n1,2020-01-01,1,maybe\n", "1 values of claims.capitated are neither yes nor"),
    ],
)
def test_values_that_are_not_what_they_should_be_are_refused(tmp_path, claims, said):
    with pytest.raises(DataError, match=said):
        opened(tmp_path, claims)


def test_packed_files_and_both_names_of_enrolment(tmp_path):
    with gzip.open(tmp_path / "claims.csv.gz", "wt") as file:
        file.write("person_id,date,paid\n1,2020-01-01,1\n")
    (tmp_path / "enrollment.csv").write_text(ELIGIBLE)
    assert open_claims(folder=tmp_path).enrolment is not None
    (tmp_path / "eligibility.csv").write_text(ELIGIBLE)
    with pytest.raises(SourceError, match="holds enrolment twice"):
        open_claims(folder=tmp_path)


def test_there_have_to_be_claims(tmp_path):
    with pytest.raises(SourceError, match="There are no claims"):
        open_claims()
    with pytest.raises(SourceError, match=r"nothing.csv is not there"):
        open_claims(tmp_path / "nothing.csv")
    (tmp_path / "claim.csv").write_text("a\n")
    with pytest.raises(SourceError, match=r"no table of claims 'claims'. Did you mean 'claim'"):
        open_claims(folder=tmp_path)


def test_a_map_gives_categories_and_the_first_row_that_fits_wins(tmp_path):
    (tmp_path / "map.csv").write_text(
        "column,value,category\nbill_type,111,inpatient\nplace,23,emergency\nplace,11,professional\n"
    )
    claims = "person_id,date,paid,place,bill_type,category\n1,2020-01-01,1,23,111,\n1,2020-01-01,1,23,,\n"
    claims += "1,2020-01-01,1,99,,pharmacy\n1,2020-01-01,1,99,,\n"
    records = opened(tmp_path, claims, category_map=tmp_path / "map.csv")
    assert [row["category"] for row in rows(records)] == ["inpatient", "emergency", "pharmacy", None]
    (tmp_path / "map.csv").write_text("column,value,category\nplaces,23,emergency\n")
    with pytest.raises(SourceError, match=r"no column in claims 'places'. Did you mean 'place'"):
        opened(tmp_path, claims, category_map=tmp_path / "map.csv")
    (tmp_path / "map.csv").write_text("place,category\n23,emergency\n")
    with pytest.raises(SourceError, match="needs the header column,value,category"):
        opened(tmp_path, claims, category_map=tmp_path / "map.csv")
