"""Readmissions as exhibits: the case C004 as a reader sees it, what is said with it, and what is kept back."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest

import clinops as co
from clinops.analyse.care import readmission_tables
from clinops.define.care import FLAGS, HOSPITAL_WIDE, PLAIN, SETS, ReadmissionRules, readmission_rules
from clinops.errors import DefinitionError
from clinops.results.disclosure import protect
from clinops.stats.rates import proportion
from clinops.worlds import write
from tests.conftest import tiny
from tests.repo.files import ROOT
from tests.spec.test_readmissions import always, case_c004, observed, planned_tables, stay


def test_case_c004_as_a_cell_of_a_notebook(source_of):
    found = co.readmissions(source_of(case_c004()), days=30, same_day="new stay", min_cell=1)
    row = found.rate.frame.iloc[-2]  # the last is deaths
    assert (row["events"], row["of"], row["persons"]) == (5, 13, 7)  # P5 died in hospital, P7 is not followed
    assert row["value"] == pytest.approx(38.46, abs=0.005)
    assert found.rate.sentence == "38.5% of index discharges were followed by a readmission within 30 days."
    assert found.stays.frame["left"].tolist() == [17, 17, 17, 15, 15, 15, 13, 5]
    printed = str(found.rules)
    for said in ("0 to 30", "up to 1 day", "new stay", "died in hospital", "not observed for the days after"):
        assert said in printed  # the rules that were used are printed


def test_the_interval_takes_persons_as_units(source_of):
    found = co.readmissions(source_of(case_c004()), days=30, min_cell=1)
    row = found.rate.frame.iloc[-2]  # the last is deaths
    # By hand: index discharges and readmissions of P1, P2, P3, P4, P6, P8 and P9 (P5 and P7 have no index).
    index = np.array([2, 2, 2, 2, 1, 3, 1])
    back = np.array([1, 0, 1, 1, 0, 2, 0])
    assert (index.sum(), back.sum()) == (13, 5)
    p = 5 / 13
    error = math.sqrt(7 / 6 * ((back - p * index) ** 2).sum()) / 13
    size = p * (1 - p) / error**2
    wilson = proportion(p * size, size)
    assert (row["low"], row["high"]) == pytest.approx((100 * wilson.conf_low, 100 * wilson.conf_high))


def test_rates_of_everybody_stand_first_and_say_why(source_of):
    tables = tiny(
        observation_period=[observed(p, "2020-01-01", "2020-12-31") for p in range(1, 5)],
        visit_occurrence=[stay(1, "2020-02-01", "2020-02-05", id=1), stay(1, "2020-02-10", "2020-02-12", id=2)],
    )
    found = co.readmissions(source_of(tables), min_cell=1)
    frame = found.rate.frame
    assert frame["among"].tolist() == [readmission_tables.EVERYBODY] * 4 + [readmission_tables.ADMITTED] * 2
    assert frame["value"].tolist() == pytest.approx(
        [500, 2 / (4 * 366 / 365.25) * 1000, 250, 1000 / (4 * 366 / 365.25), 50, 0]
    )
    assert any("decided after exposure" in note for note in found.rate.notes)
    assert any("no rules for planned ones" in note for note in found.rate.notes)


def test_unplanned_readmissions_have_rows_of_their_own(source_of):
    found = co.readmissions(source_of(planned_tables()), always_planned=always, min_cell=1)
    assert found.rate.frame["measure"].tolist()[-3:] == [
        "Readmissions within 30 days", "Unplanned readmissions within 30 days", "Deaths within 30 days of discharge",
    ]  # fmt: skip
    assert found.rate.frame["events"].tolist()[-3:] == [6, 4, 0]
    assert found.rate.sentence.startswith("50.0%")
    assert found.stays.frame["left"].tolist()[-1] == 4
    assert "always: transplant, maintenance" in str(found.rules)


def test_flags_are_all_listed_with_their_source(source_of):
    found = co.readmissions(source_of(case_c004()), min_cell=1)
    frame = found.flags.frame.set_index("flag")["episodes"]
    assert len(frame) == len(FLAGS) + 2
    assert (frame["Died in hospital"], frame["Index discharges"], frame["Total"]) == (1, 13, 15)
    assert frame.iloc[2] == 1  # not followed
    assert math.isnan(frame["Admitted for psychiatric care"])
    assert "Not known here: no code list was given." in found.flags.frame["source"].tolist()
    assert set(readmission_tables.SOURCES) == set(FLAGS)


def test_small_counts_are_hidden_with_what_gives_them_away(source_of):
    people = range(1, 61)
    tables = tiny(
        observation_period=[observed(p, "2019-01-01", "2020-12-31" if p > 20 else "2020-01-20") for p in people],
        visit_occurrence=[stay(p, "2020-01-05", "2020-01-10") for p in people],
        death=[{"person": p, "start": "2020-01-10"} for p in (21, 22, 23)],
    )
    found = co.readmissions(source_of(tables))
    shown = found.flags
    cells = {(row, column): text for row, column, text in shown.hidden}
    assert cells == {(0, "episodes"): "<11", (2, "episodes"): "hidden"}  # 37 + 20 + 3 = 60
    both = protect((readmission_tables.rate(found.found), readmission_tables.flags(found.found)))
    assert {(r, c): t for r, c, t in both[1].hidden} == cells
    few = co.readmissions(source_of(case_c004()))
    assert "38" not in few.rate.sentence and math.isnan(few.rate.frame["value"].iloc[-2])


def test_nobody_admitted_gives_rows_without_an_estimate(source_of):
    found = co.readmissions(
        source_of(tiny(visit_occurrence=[{**stay(1, "2020-01-01", "2020-01-01"), "concept": 9202}]))
    )
    assert found.rate.sentence == "No discharge is an index, so there is no readmission rate."
    assert math.isnan(found.rate.frame["value"].iloc[-2])
    assert any("nobody in the denominator" in note for note in found.rate.notes)


def test_rules_come_as_one_value_or_one_by_one(source_of):
    source = source_of(case_c004())
    rules = readmission_rules(7, same_day="one stay")
    assert co.readmissions(source, rules=rules).frame.equals(co.readmissions(source, 7, same_day="one stay").frame)
    with pytest.raises(DefinitionError, match="not both"):
        co.readmissions(source, 7, rules=rules)
    with pytest.raises(DefinitionError, match="Did you mean 'same_day'"):
        co.readmissions(source, sameday="one stay")


def test_everything_renders_and_leaves_as_a_bundle(source_of, tmp_path):
    found = co.readmissions(source_of(case_c004()))
    assert found._repr_html_().count("<table") >= 4
    folder = found.write(tmp_path / "out")
    assert (folder / "tables" / "readmission_rate.csv").exists()


PAGE = (ROOT / "docs" / "care_measures.md").read_text(encoding="utf-8")


def test_the_page_names_every_rule_and_flag():
    named = (*(field.name for field in dataclasses.fields(ReadmissionRules)), *FLAGS, *SETS)
    assert [name for name in named if f"`{name}`" not in PAGE.replace('"', "")] == []
    rows = [line.split("|") for line in PAGE.split("### Flags")[1].splitlines() if line.startswith("|")]
    for name in FLAGS:
        (row,) = [cells for cells in rows if f"`{name}`" in cells[1]]
        assert (row[3].strip() == "yes", bool(row[4].strip())) == (name in PLAIN, name in HOSPITAL_WIDE)


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    write(tmp_path / "data" / "demo", persons=1000, seed=7)  # a clean clone has no data/demo
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "care_measures.md", "exec"), names)
    names["source"].close()
