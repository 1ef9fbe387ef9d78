"""Persons from a file: read as they are, refused with a message that says what to mend, matched to the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import clinops as co
from clinops.analyse.costs.people import people_rows, read
from clinops.errors import ClinopsError
from tests.analyse.costs.support import flat

PLAN = co.cost_plan(horizon_months=3)
BASE = {"person_id": range(1, 9), "arm": [1, 1, 1, 1, 0, 0, 0, 0], "index_date": "2021-01-15"}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return co.ledger(flat(tmp_path_factory.mktemp("flat") / "records"), rules=co.ledger_rules(currency="USD"))


def file(tmp_path: Path, frame: Any = None, name: str = "people.csv", **columns: Any) -> Path:
    """Write the eight persons, some columns replaced (None leaves one out)."""
    made = pd.DataFrame({key: value for key, value in (BASE | columns).items() if value is not None})
    path = tmp_path / name
    made.to_parquet(path) if name.endswith("parquet") else made.to_csv(path, index=False)
    return path


def rows(book: Any, path: Path, plan: Any = PLAN, covariates: tuple[str, ...] = (), names: Any = ("A", "B")) -> Any:
    return people_rows(book, plan, file=path, names=names, covariates=covariates)


# --- read as it is ------------------------------------------------------------------------------


def test_arms_weights_and_clusters_are_the_file_s(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(tmp_path, weight=[1, 2, 0, 1, 1, 1, 1, 0.5], cluster=list("ppqqrrss")))
    assert made.exposed.tolist() == [True] * 4 + [False] * 4
    assert made.weights.tolist() == [1, 2, 0, 1, 1, 1, 1, 0.5] and made.cluster.tolist() == list("ppqqrrss")
    assert (made.adjustment, made.cluster_name) == ("weights of the file", "cluster")
    assert made.known_weights and made.arm(True).sum() == 3
    plain = rows(book, file(tmp_path))
    assert plain.adjustment == "crude" and plain.weights.tolist() == [1.0] * 8 and plain.fee is None


@pytest.mark.parametrize("arm", [[1.0] * 4 + [0.0] * 4, [True] * 4 + [False] * 4])
def test_arms_may_be_numbers_or_truths(book: Any, tmp_path: Path, arm: list[Any]) -> None:
    assert rows(book, file(tmp_path, arm=arm)).exposed.tolist() == [True] * 4 + [False] * 4


def test_parquet_is_read_as_csv_is(book: Any, tmp_path: Path) -> None:
    one = rows(book, file(tmp_path))
    other = rows(book, file(tmp_path, name="people.parquet", index_date=pd.to_datetime(["2021-01-15"] * 8)))
    assert np.array_equal(one.cost, other.cost) and one.died.tolist() == other.died.tolist()


def test_a_death_of_the_records_counts_where_the_file_tells_of_none(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(tmp_path))
    assert made.died.tolist() == [False, False, True] + [False] * 5 and made.complete.all()
    earlier = rows(book, file(tmp_path, death_date=["2021-02-01", None, "2021-03-10", *[None] * 5]))
    assert earlier.died.tolist() == [True, False, True] + [False] * 5
    assert earlier.last_day[:3].tolist() == [17, 90, 54]
    assert earlier.total[0] == 30  # of the 430, what came before 1 February


def test_a_last_date_ends_follow_up(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(tmp_path, last_date=["2021-02-15", *["2021-12-31"] * 7]))
    assert made.total[0] == 30 and made.complete.tolist() == [False, *[True] * 7]
    assert made.time.tolist() == pytest.approx([1, 3, 2 + 5 / 31, *[3] * 5])


def test_the_same_person_may_enter_twice_and_is_one_cluster(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(
        tmp_path, person_id=[1, 1, 2, 5], arm=[1, 1, 1, 0],
        index_date=["2021-01-15", "2021-03-15", "2021-01-15", "2021-01-15"],
    ))  # fmt: skip
    assert made.cluster.tolist() == ["1", "1", "2", "5"]
    assert made.total[:2].tolist() == [430, 5400]  # from 15 March: 15 and 16 April


def test_covariates_become_columns(book: Any, tmp_path: Path) -> None:
    made = rows(
        book, file(tmp_path, age=[50, 60, None, 70, 50, 60, 80, 70], sex=[*"fmf", None, *"mfmf"], flat=1),
        covariates=("age", "sex", "flat"),
    )  # fmt: skip
    # age with a flag for missing, two levels of three of sex, nothing of what never varies
    assert made.design.shape == (8, 4)
    assert made.design.mean(axis=0) == pytest.approx([0] * 4, abs=1e-12)
    assert made.design.std(axis=0) == pytest.approx([1] * 4)
    assert made.design[2, 0] == pytest.approx(0)  # a missing age stands at the mean


def test_an_effect_is_taken_as_it_is(book: Any, tmp_path: Path) -> None:
    plan = co.cost_plan(horizon_months=3, effect="days")
    assert rows(book, file(tmp_path, days=range(8)), plan).effect.tolist() == list(range(8))


# --- the fee ------------------------------------------------------------------------------------


def test_a_fee_a_person_is_for_everybody_exposed(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(tmp_path), co.cost_plan(horizon_months=3, fee=12))
    assert made.fee.tolist() == [12] * 4 + [0] * 4
    assert (made.fee_each, made.fee_unit, made.fee_units.sum()) == (12, "exposed person", 4)


def test_a_fee_a_month_is_for_each_started_month_of_follow_up(book: Any, tmp_path: Path) -> None:
    """From 15 January: to 15 April three months, to 20 March three begun, to 15 February one."""
    path = file(tmp_path, last_date=["2021-02-15", *["2021-12-31"] * 7])
    made = rows(book, path, co.cost_plan(horizon_months=3, fee=10, fee_per="person-month"))
    assert made.fee.tolist() == [10, 30, 30, 30, 0, 0, 0, 0] and made.fee_unit == "started month"


def test_the_file_s_fee_is_each_person_s_own(book: Any, tmp_path: Path) -> None:
    made = rows(book, file(tmp_path, fee=[5, 0, 7, 8, 0, 0, 0, 0]))
    assert made.fee.tolist() == [5, 0, 7, 8, 0, 0, 0, 0]
    assert made.fee_each is None and made.fee_units is None


# --- refused ------------------------------------------------------------------------------------

ONES = [1] * 8
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("no column of people.csv 'arm'", {"arm": None}),
    ("no column of people.csv 'person_id'.*'persn_id'", {"person_id": None, "persn_id": range(8)}),
    ("no column of people.csv 'index_date'", {"index_date": None}),
    ("arm of people.csv holds 2; give 1 .exposed. or 0", {"arm": [1, 1, 1, 1, 0, 0, 0, 2]}),
    ("arm of people.csv holds yes, no; give", {"arm": ["yes"] * 4 + ["no"] * 4}),
    ("arm of people.csv holds missing values", {"arm": [1, 1, 1, 1, 0, 0, 0, None]}),
    ("Nobody in people.csv is in the comparator arm .arm = 0.", {"arm": ONES}),
    ("Nobody in people.csv is in the exposed arm .arm = 1.", {"arm": [0] * 8}),
    ("1 rows of people.csv have no readable index_date; write dates as YYYY-MM-DD",
     {"index_date": [*["2021-01-15"] * 7, "15.1.2021"]}),
    ("1 rows of people.csv have no readable index_date", {"index_date": [*["2021-01-15"] * 7, None]}),
    ("2 rows of people.csv have no readable death_date", {"death_date": ["soon", "never", *[None] * 6]}),
    ("1 rows of people.csv have a death_date before their index_date", {"death_date": ["2020-01-01", *[None] * 7]}),
    ("1 rows of people.csv have a last_date before their index_date", {"last_date": ["2020-01-01", *[None] * 7]}),
    ("1 rows of people.csv repeat a person on one index date", {"person_id": [1, 1, 3, 4, 5, 6, 7, 8]}),
    ("person_id of people.csv is missing in 1 rows", {"person_id": [1, 2, 3, None, 5, 6, 7, 8]}),
    ("cluster of people.csv is missing in 2 rows", {"cluster": ["a", None, "b", "c", "d", "e", None, "f"]}),
    ("weight is missing, negative or no number in 1 rows", {"weight": [-1, *ONES[1:]]}),
    ("weight is missing, negative or no number in 2 rows", {"weight": ["much", None, *ONES[2:]]}),
    ("fee is missing, negative or no number in 1 rows", {"fee": [None, *ONES[1:]]}),
    ("2 of 8 persons of people.csv are not enrolled on their index date", {"person_id": [1, 2, 3, 4, 5, 6, 77, 88]}),
    ("8 of 8 persons of people.csv are not enrolled", {"index_date": "2019-01-15"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "columns"), REFUSED, ids=[said for said, _ in REFUSED])
def test_a_file_that_cannot_be_analysed_is_refused(
    book: Any, tmp_path: Path, said: str, columns: dict[str, Any]
) -> None:
    with pytest.raises(ClinopsError, match=said):
        rows(book, file(tmp_path, **columns))


def test_what_is_named_and_not_there_is_refused_with_the_nearest(book: Any, tmp_path: Path) -> None:
    path = file(tmp_path, age=range(8), days=[1, 2, 3, None, 5, 6, 7, 8])
    with pytest.raises(ClinopsError, match=r"no column of people.csv 'agee'.*'age'"):
        rows(book, path, covariates=("agee",))
    with pytest.raises(ClinopsError, match=r"no column of people.csv 'dayz'.*'days'"):
        rows(book, path, co.cost_plan(horizon_months=3, effect="dayz"))
    with pytest.raises(ClinopsError, match="days is missing or no number for 1 persons"):
        rows(book, path, co.cost_plan(horizon_months=3, effect="days"))
    with pytest.raises(ClinopsError, match=r"There is no file peple.csv; give a CSV or Parquet file with person_id"):
        rows(book, tmp_path / "peple.csv")
    with pytest.raises(ClinopsError, match=r"fee stands in the file .* and in the plan"):
        rows(book, file(tmp_path, fee=ONES), co.cost_plan(horizon_months=3, fee=3))


@pytest.mark.parametrize("names", [("A",), ("A", "A"), ("A", "B", "C")])
def test_two_arms_have_two_names(book: Any, tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(ClinopsError, match="give two different names, the exposed first"):
        rows(book, file(tmp_path), names=names)


def test_ids_stay_text(tmp_path: Path) -> None:
    """007 is not 7, and 1E5 not 100000."""
    (tmp_path / "people.csv").write_text("person_id,arm,index_date\n007,1,2021-01-15\n1E5,0,2021-01-15\n")
    assert read(tmp_path / "people.csv", (), PLAN)["person_id"].tolist() == ["007", "1E5"]


def test_text_ids_meet_text_ids(tmp_path: Path) -> None:
    folder = flat(
        tmp_path / "records", claims="person_id,service_date,category,allowed\n007,2021-02-01,pharmacy,5\n",
        enrolment="person_id,start_date,end_date\n007,2020-01-01,2022-12-31\n7x,2020-01-01,2022-12-31\n",
    )  # fmt: skip
    book = co.ledger(folder, rules=co.ledger_rules(currency="USD"))
    (tmp_path / "people.csv").write_text("person_id,arm,index_date\n007,1,2021-01-15\n7x,0,2021-01-15\n")
    assert rows(book, tmp_path / "people.csv").total.tolist() == [5, 0]
