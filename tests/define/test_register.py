"""The register: what is written when, what an amendment needs, and that a changed line is found."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import clinops as co
from clinops.define.register import START, changes, lock, note_outcomes
from clinops.errors import DefinitionError, DesignError
from tests.analyse.support import protocol

NOON = dt.datetime(2026, 3, 2, 12, 0, tzinfo=dt.UTC)
SHORTER = co.follow_up(co.days(1, 180))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "plan.jsonl"


def kinds(file: Path) -> list[str]:
    return [entry.kind for entry in co.register(file).entries]


def test_a_lock_is_dated_hashed_and_holds_the_whole_plan(file: Path) -> None:
    entry = lock(file, protocol(), at=NOON)
    assert (entry.kind, entry.at, entry.protocol) == ("lock", "2026-03-02T12:00:00Z", protocol().hash)
    assert type(protocol()).from_dict(entry.definition) == protocol()
    written = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(written[0])["previous"] == START and co.register(file).entries == (entry,)
    assert "plan locked" in str(entry) and protocol().hash[:8] in str(co.register(file))


def test_the_same_plan_is_locked_once(file: Path) -> None:
    first = lock(file, protocol(), at=NOON)
    assert lock(file, protocol()) == first and kinds(file) == ["lock"]


def test_a_reason_with_any_kind_of_line_break_is_one_line(file: Path) -> None:
    lock(file, protocol(question="Does it work?\u2028And for whom?"))
    reason = "the committee\u2028asked\x85for it\nat once\x1e"
    lock(file, protocol(follow_up=SHORTER), reason=reason)
    assert [entry.reason for entry in co.register(file).entries] == ["", reason.strip()]
    file.write_bytes(file.read_bytes() + b"\n")
    with pytest.raises(DefinitionError, match="Line 3"):
        co.register(file)


def test_each_line_carries_the_digest_of_the_one_before(file: Path) -> None:
    lock(file, protocol())
    note_outcomes(file, protocol(), "records")
    lines = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1])["previous"] == hashlib.sha256(lines[0].encode()).hexdigest()


def test_an_amendment_needs_a_reason_and_says_what_changed(file: Path) -> None:
    lock(file, protocol(), at=NOON)
    amended = protocol(follow_up=SHORTER)
    with pytest.raises(DefinitionError, match=r"2026-03-02T12:00:00Z.*reason="):
        amended.lock(file)
    assert kinds(file) == ["lock"]
    entry = amended.lock(file, reason="  the committee asked for half a year  ")
    assert entry.reason == "the committee asked for half a year"
    assert "follow_up.window.end: 365 -> 180" in entry.changes


def test_readings_are_noted_once_for_each_protocol_and_source(file: Path) -> None:
    for records in ("one", "one", "two"):
        note_outcomes(file, protocol(), records)
    note_outcomes(file, protocol(follow_up=SHORTER), "one")
    found = co.register(file)
    assert len(found.readings) == 3 and found.specifications == 2


def test_what_came_before_the_lock_and_after_the_first_reading(file: Path) -> None:
    note_outcomes(file, protocol(), "records")
    lock(file, protocol())
    found = co.register(file)
    assert len(found.before_lock) == 1 and found.late_amendments == ()
    lock(file, protocol(follow_up=SHORTER), reason="half a year suffices")
    assert len(co.register(file).late_amendments) == 1


def test_a_plan_with_design_errors_is_not_locked(file: Path) -> None:
    bad = protocol(covariates=(co.count(co.events("visit"), co.days(1, 30), name="Later visits"),))
    with pytest.raises(DesignError, match="covariate-after-time-zero"):
        bad.lock(file)
    assert not file.exists()


@pytest.mark.parametrize("harm", ["change", "drop", "swap", "blank"])
def test_a_register_that_was_tampered_with_is_refused(file: Path, harm: str) -> None:
    lock(file, protocol())
    note_outcomes(file, protocol(), "one")
    note_outcomes(file, protocol(), "two")
    lines = file.read_text(encoding="utf-8").splitlines()
    made = {
        "change": [lines[0].replace('"lock"', '"amendment"'), *lines[1:]], "drop": [lines[0], lines[2]],
        "swap": [lines[1], lines[0], lines[2]], "blank": [lines[0], " ".join([lines[1], ""]), lines[2]],
    }[harm]  # fmt: skip
    file.write_text("\n".join(made) + "\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match="does not follow"):
        co.register(file)
    with pytest.raises(DefinitionError, match="does not follow"):
        note_outcomes(file, protocol(), "three")


@pytest.mark.parametrize("text", ["hello\n", "[]\n", '{"kind": "lock"}\n', '{"changes": []}\n'])
def test_another_file_is_refused(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(DefinitionError, match="not an entry of a register"):
        co.register(file)
    assert file.read_text(encoding="utf-8") == text


def test_a_missing_file_is_an_empty_register_and_a_missing_folder_an_error(tmp_path: Path) -> None:
    assert co.register(tmp_path / "none.jsonl").entries == () and "empty" in str(co.register(tmp_path / "none.jsonl"))
    with pytest.raises(DefinitionError, match="There is no folder"):
        lock(tmp_path / "no" / "plan.jsonl", protocol())


def test_a_place_that_cannot_be_written_and_a_folder_are_said(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DefinitionError, match="is a folder"):
        co.register(tmp_path)

    def refused(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("clinops.define.register.os.open", refused)
    with pytest.raises(DefinitionError, match=r"cannot be written in .*Permission denied"):
        lock(file, protocol())
    assert not file.exists()


def test_a_writer_waits_for_another_and_says_when_it_gives_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinops.define.register.PATIENCE", 0.05)
    file.with_name("plan.jsonl.busy").touch()
    with pytest.raises(DefinitionError, match=r"remove plan\.jsonl\.busy"):
        lock(file, protocol())
    assert not file.exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"a": 1}, {"a": 1}, ()),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b: 1 -> 2",)),
        ({"a": 1}, {"b": 2}, ("a: 1 -> default", "b: default -> 2")),
        ({"a": [1, 2]}, {"a": [1, 3]}, ("a[2]: 2 -> 3",)),
        ({"a": [{"name": "x"}]}, {"a": [{"name": "x"}, {"name": "y"}]}, ("a: with y",)),
        ({"a": [1, 2]}, {"a": [2]}, ("a: without 1",)),
        ({"a": [1, 1]}, {"a": [1]}, ("a: 2 -> 1 members",)),
    ],
)
def test_changes_name_the_place(old: Any, new: Any, said: tuple[str, ...]) -> None:
    assert changes(old, new) == said
