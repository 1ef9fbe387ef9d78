"""The check of the plan: what passes, what fails, and what cannot be judged."""

from __future__ import annotations

from pathlib import Path

import clinops as co
from clinops.analyse.plan import plan_check
from clinops.define.register import lock, note_outcomes
from tests.analyse.support import COST, protocol

OTHER = protocol(follow_up=co.follow_up(co.days(1, 180)))
ROWS = [
    {"measure": COST.name, "adjustment": how, "period": "days 1 to 365", "analysis": "main"} for how in ("crude", "ATT")
]


def test_without_a_register_it_is_not_judged() -> None:
    found = plan_check(None, protocol(), ROWS)
    assert found.passed is None and "not known" in found.sentence and "under 2 specifications" in found.sentence


def test_locked_first_and_kept_passes(tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    lock(file, protocol())
    found = plan_check(note_outcomes(file, protocol(), "records"), protocol(), ROWS)
    assert found.passed is True and found.observed == "locked before"
    assert "0 amendments" in found.sentence and "read with 1 protocol." in found.sentence
    assert found.frame["what"].tolist() == ["Plan locked", "Outcomes read"]


def test_an_amendment_before_outcomes_passes_and_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    lock(file, protocol())
    lock(file, OTHER, reason="half a year is what is paid for")
    found = plan_check(note_outcomes(file, OTHER, "records"), OTHER, [])
    assert found.passed is True and "1 amendment." in found.sentence
    row = found.frame.iloc[1]
    assert row["what"] == "Plan amended: half a year is what is paid for"
    assert "follow_up.window.end: 365 -> 180" in row["changed"]


def test_outcomes_read_before_the_lock_fail(tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    note_outcomes(file, OTHER, "records")
    note_outcomes(file, protocol(), "records")
    lock(file, protocol())
    found = plan_check(note_outcomes(file, protocol(), "records"), protocol(), ROWS)
    assert found.passed is False and "with 2 protocols before the lock" in found.sentence


def test_never_locked_another_plan_and_late_amendments_fail(tmp_path: Path) -> None:
    file = tmp_path / "plan.jsonl"
    assert plan_check(note_outcomes(file, protocol(), "records"), protocol(), []).passed is False
    other = tmp_path / "other.jsonl"
    lock(other, OTHER)
    found = plan_check(note_outcomes(other, protocol(), "records"), protocol(), [])
    assert found.passed is False and "is not the plan that stands" in found.sentence
    lock(other, protocol(), reason="we changed our mind afterwards")
    late = plan_check(note_outcomes(other, protocol(), "records"), protocol(), [])
    assert late.passed is False and "1 amendment came after outcomes had been read" in late.sentence
