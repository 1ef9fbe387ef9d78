"""Case C037: what is written is attacked as an outsider would, with the case's own script."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clinops.errors import DataError
from clinops.results.suppress import suppress_counts
from tests.support import case_file


def attack(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the case's attack on a published table."""
    script = case_file("C037", "attack.py")
    return subprocess.run([sys.executable, str(script), str(path)], capture_output=True, text=True, check=False)


def publish(path: Path, wide: pd.DataFrame, label: str) -> pd.DataFrame:
    """Suppress a wide table of counts and write it as the attack reads it; return the printed table."""
    long = wide.melt(id_vars=label, var_name="column", value_name="persons")
    safe = suppress_counts(long, "persons", [label, "column"])
    safe = safe.pivot(index=label, columns="column", values="persons_printed")
    safe = safe.loc[list(wide[label]), [c for c in wide.columns if c != label]].reset_index()
    safe.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    return safe


@pytest.mark.parametrize("name", ["counts_one_way.csv", "counts_two_way.csv"])
def test_the_attack_of_c037_finds_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    publish(path, pd.read_csv(case_file("C037", name)), "age_band")
    found = attack(path)
    assert found.returncode == 0, found.stdout


def test_the_attack_does_find_the_unprotected_table() -> None:
    assert attack(case_file("C037", "counts_two_way.csv")).returncode == 1


def test_one_way_hides_the_smallest_other_count(tmp_path: Path) -> None:
    wide = pd.read_csv(case_file("C037", "counts_one_way.csv"))
    shown = publish(tmp_path / "t.csv", wide, "age_band").set_index("age_band")["n"].to_dict()
    assert shown == {"18-44": "40", "45-64": "<11", "65-74": "hidden", "75+": "30", "Total": "102"}


def test_two_way_hides_a_square_and_keeps_the_zero_and_the_totals(tmp_path: Path) -> None:
    wide = pd.read_csv(case_file("C037", "counts_two_way.csv"))
    shown = publish(tmp_path / "t.csv", wide, "age_band").set_index("age_band")
    assert shown.loc["45-64", "programme"] == "<11"
    assert (shown == "hidden").to_numpy().sum() == 3
    assert shown.loc["75+", "usual"] == "0"
    assert not shown.loc["Total"].isin(["hidden", "<11"]).any()
    assert not shown["Total"].isin(["hidden", "<11"]).any()


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), min_size=2, max_size=3), min_size=2, max_size=4))
def test_no_table_with_totals_gives_a_small_count_away(tmp_path_factory: pytest.TempPathFactory, rows) -> None:  # type: ignore[no-untyped-def]
    width = min(map(len, rows))
    body = pd.DataFrame([row[:width] for row in rows], columns=[f"c{j}" for j in range(width)])
    body.insert(0, "level", [f"r{i}" for i in range(len(body))])
    body["Total"] = body.iloc[:, 1:].sum(axis=1)
    body.loc[len(body)] = ["Total", *body.iloc[:, 1:].sum().tolist()]
    path = tmp_path_factory.mktemp("tables") / "t.csv"
    publish(path, body, "level")
    found = attack(path)
    assert found.returncode == 0, found.stdout + path.read_text()


def test_without_totals_only_small_counts_go() -> None:
    frame = pd.DataFrame({"level": ["a", "b", "c"], "n": [3, 0, 50]})
    assert suppress_counts(frame, "n", ["level"], total=None)["n_printed"].tolist() == ["<11", "0", "50"]


def test_the_threshold_is_a_parameter() -> None:
    frame = pd.DataFrame({"level": ["a", "b"], "n": [5, 6]})
    assert suppress_counts(frame, "n", ["level"], min_cell=6)["n_printed"].tolist() == ["<6", "6"]


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame({"level": ["a"], "m": [5]}), "no column"),
        (pd.DataFrame({"level": ["a", "a"], "n": [5, 6]}), "stands twice"),
        (pd.DataFrame({"level": ["a", "b"], "n": [5, -6]}), "negative"),
    ],
)
def test_a_table_that_is_not_one_is_refused(frame: pd.DataFrame, said: str) -> None:
    with pytest.raises(DataError, match=said):
        suppress_counts(frame, "n", ["level"])
