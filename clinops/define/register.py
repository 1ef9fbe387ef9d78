"""The register: an append-only file that says when a plan was fixed, when outcomes were read, and what changed.

Each line is one entry as JSON and carries the SHA-256 of the line before it, so that a line which is changed or taken
out later breaks the chain. That shows tampering; it cannot prevent it: send the last line's digest to somebody else
(a registry, a colleague) where that matters.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops._version import __version__
from clinops.errors import DefinitionError, DesignError

if TYPE_CHECKING:
    from clinops.define.protocol import Protocol

LOCK, AMENDMENT, OUTCOMES = "lock", "amendment", "outcomes"
START = "0" * 64
"""What the first line carries in the place of a digest."""
PATIENCE = 10.0
"""Seconds that a writer waits for another one."""


@dataclass(frozen=True)
class Entry:
    """One line of a register.

    Attributes
    ----------
    kind : "lock" (the plan was fixed), "amendment" (it was changed, for a stated reason) or "outcomes" (a study
        with this plan read outcomes).
    at : date and time, UTC, ISO 8601.
    protocol : SHA-256 of the protocol.
    version : of clinops.
    source : fingerprint of the records whose outcomes were read; "" for a plan.
    reason : of an amendment; "" otherwise.
    changes : of an amendment, what differs from the plan before it: "follow_up.window.end: 365 -> 180".
    definition : the protocol itself as JSON values; empty where outcomes were read.
    previous : SHA-256 of the line before.
    """

    kind: str
    at: str
    protocol: str
    version: str
    source: str
    reason: str
    changes: tuple[str, ...]
    definition: dict[str, Any]
    previous: str

    @property
    def line(self) -> str:
        """The entry as it stands in the file, without its line end."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """SHA-256 of the line, which the next line carries."""
        return hashlib.sha256(self.line.encode()).hexdigest()

    def __str__(self) -> str:
        what = {LOCK: "plan locked", AMENDMENT: f"plan amended ({self.reason})", OUTCOMES: "outcomes read"}[self.kind]
        return f"{self.at}  {what}, protocol {self.protocol[:8]}"


@dataclass(frozen=True)
class Register:
    """The entries of a register, oldest first, with what a reader asks of them."""

    entries: tuple[Entry, ...]

    @property
    def plans(self) -> tuple[Entry, ...]:
        """The lock and the amendments."""
        return tuple(entry for entry in self.entries if entry.kind != OUTCOMES)

    @property
    def readings(self) -> tuple[Entry, ...]:
        """Each plan with which outcomes were read, the first time on each source."""
        return tuple(entry for entry in self.entries if entry.kind == OUTCOMES)

    @property
    def specifications(self) -> int:
        """How many different protocols have read outcomes."""
        return len({entry.protocol for entry in self.readings})

    @property
    def before_lock(self) -> tuple[Entry, ...]:
        """The readings that came before the plan was first locked; all of them where it never was."""
        cut = next((place for place, entry in enumerate(self.entries) if entry.kind == LOCK), len(self.entries))
        return tuple(entry for entry in self.entries[:cut] if entry.kind == OUTCOMES)

    @property
    def late_amendments(self) -> tuple[Entry, ...]:
        """The amendments made after outcomes had been read."""
        first = next((place for place, entry in enumerate(self.entries) if entry.kind == OUTCOMES), len(self.entries))
        return tuple(entry for entry in self.entries[first:] if entry.kind == AMENDMENT)

    def __str__(self) -> str:
        return "\n".join(str(entry) for entry in self.entries) or "The register is empty."


def read(path: str | Path) -> Register:
    """Read a register and hold it to its chain; a file that is not there is an empty register.

    Raises
    ------
    DefinitionError : the file is no register, or a line was changed, taken out or put in.
    """
    file = Path(path)
    if not file.exists():
        return Register(())
    if not file.is_file():
        raise DefinitionError(f"{file.name} is a folder; a register is a file, such as {file.name}/plan.jsonl.")
    entries: list[Entry] = []
    previous = START
    # Only "\n" ends an entry: a reason or a title may hold other characters that end lines of text.
    for number, line in enumerate(file.read_text(encoding="utf-8").removesuffix("\n").split("\n"), 1):
        entry = _parsed(line, file, number)
        if entry.previous != previous or entry.line != line:
            raise DefinitionError(
                f"Line {number} of the register {file.name} does not follow from the one before it: a line was "
                "changed, taken out or put in. Restore the file from where it is kept; lines are only ever added."
            )
        entries.append(entry)
        previous = entry.digest
    return Register(tuple(entries))


def _parsed(line: str, file: Path, number: int) -> Entry:
    try:
        values = json.loads(line)
        return Entry(**{**values, "changes": tuple(values["changes"])})
    except (ValueError, TypeError, KeyError):
        raise DefinitionError(
            f"Line {number} of {file.name} is not an entry of a register, which `protocol.lock(path)` begins and only "
            "adds to; give another file."
        ) from None


def lock(path: str | Path, protocol: Protocol, *, reason: str = "", at: dt.datetime | None = None) -> Entry:
    """Write into the register that this is the plan, and return the entry.

    Locked again unchanged, nothing is written and the entry that stands is returned. Another protocol than the one
    that stands is an amendment, which needs a reason.

    Raises
    ------
    DesignError : the protocol has lint errors that it does not allow by name.
    DefinitionError : an amendment without a reason of at least 10 characters, or a file that is no register.
    """
    findings = protocol.lint()
    if findings.errors:
        rules = ", ".join(sorted({finding.rule for finding in findings.errors}))
        raise DesignError(f"A plan with design errors cannot be locked ({rules}). Mend them, or allow each by name.")
    with _alone(Path(path)):
        standing = read(path).plans
        if not standing:
            return _append(path, LOCK, protocol, definition=protocol.to_dict(), at=at)
        if standing[-1].protocol == protocol.hash:
            return standing[-1]
        if len(reason.strip()) < 10:
            raise DefinitionError(
                f"Another plan (protocol {standing[-1].protocol[:8]}) was locked on {standing[-1].at}. To amend it, "
                "give reason='...', a sentence a reader can judge: the report prints it with what changed."
            )
        differs = changes(standing[-1].definition, protocol.to_dict())
        return _append(
            path, AMENDMENT, protocol, definition=protocol.to_dict(), reason=reason.strip(), differs=differs, at=at
        )


def note_outcomes(path: str | Path, protocol: Protocol, source: str, at: dt.datetime | None = None) -> Register:
    """Write into the register that outcomes are about to be read, and return it.

    The same protocol on the same records (`source` is their fingerprint) is written once: to run a report again is
    no new look.
    """
    with _alone(Path(path)):
        known = {(entry.protocol, entry.source) for entry in read(path).readings}
        if (protocol.hash, source) not in known:
            _append(path, OUTCOMES, protocol, source=source, at=at)
        return read(path)


def _append(
    path: str | Path, kind: str, protocol: Protocol, *, source: str = "", reason: str = "",
    differs: tuple[str, ...] = (), definition: dict[str, Any] | None = None, at: dt.datetime | None = None,
) -> Entry:  # fmt: skip
    file = Path(path)
    entries = read(file).entries
    when = (at or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    previous = entries[-1].digest if entries else START
    entry = Entry(kind, when, protocol.hash, __version__, source, reason, differs, definition or {}, previous)
    with file.open("a", encoding="utf-8", newline="\n") as target:
        target.write(entry.line + "\n")
    return entry


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold off other writers: reports run beside each other, and a chain must not fork."""
    if not file.parent.is_dir():
        raise DefinitionError(f"There is no folder {file.parent} for the register {file.name}; make it first.")
    busy = file.with_name(file.name + ".busy")
    until = time.monotonic() + PATIENCE
    while True:
        try:
            os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if time.monotonic() > until:
                raise DefinitionError(
                    f"The register {file.name} is held by another run for more than {PATIENCE:g} seconds. If none is "
                    f"at work, one was stopped half-way: remove {busy.name}."
                ) from None
            time.sleep(0.02)
        except OSError as problem:
            raise DefinitionError(
                f"The register {file.name} cannot be written in {file.parent} ({problem.strerror}); give a place where "
                "files can be made."
            ) from problem
    try:
        yield
    finally:
        busy.unlink()


def changes(old: Any, new: Any, where: str = "") -> tuple[str, ...]:
    """Say what differs between two definitions as JSON values, one line a place: "follow_up.window.end: 365 -> 180".

    Lists are compared member by member where they are equally long, else by what was taken out and put in.
    """
    if old == new:
        return ()
    if isinstance(old, dict) and isinstance(new, dict):
        names = [*old, *(name for name in new if name not in old)]
        return tuple(
            line
            for name in names
            for line in changes(old.get(name), new.get(name), f"{where}.{name}" if where else name)
        )
    if isinstance(old, list) and isinstance(new, list):
        if len(old) == len(new):
            pairs = enumerate(zip(old, new, strict=True), 1)
            return tuple(line for place, (a, b) in pairs for line in changes(a, b, f"{where}[{place}]"))
        gone = [f"{where}: without {_said(item)}" for item in old if item not in new]
        return (*gone, *(f"{where}: with {_said(item)}" for item in new if item not in old)) or (
            f"{where}: {len(old)} -> {len(new)} members",
        )
    return (f"{where}: {_said(old)} -> {_said(new)}",)


def _said(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, dict):
        return str(value.get("name") or value.get("label") or value.get("type") or json.dumps(value, sort_keys=True))
    return json.dumps(value, ensure_ascii=False)
