"""Was the plan fixed before outcomes were read? What the register says, as a check."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from clinops.define.protocol import Protocol
from clinops.define.register import AMENDMENT, LOCK, Entry, Register
from clinops.results.result import Check, Column

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Was the plan fixed before outcomes were read?"
WHY = (
    "A plan that is chosen after looking tends to be the one with the most pleasing answer, and no interval allows "
    "for that."
)


def plan_check(register: Register | None, protocol: Protocol, rows: Iterable[Mapping[str, Any]]) -> Check:
    """What the register holds, and whether this protocol is the plan that was locked before any outcome was read.

    Passed where a plan was locked before the first reading, no amendment came after it, and this protocol is the
    plan that stands. Not judged where no register is kept: what was read before is then not known.
    """
    import pandas as pd

    here = _estimates_here(protocol, rows)
    if register is None:
        frame = pd.DataFrame(columns=["at", "what", "protocol", "changed"])
        said = f"No register was kept, so it is not known what had been read before this plan was made. {here}"
        return Check("check_plan", TITLE, frame, _columns(), sentence=said, threshold="locked before", why=WHY)
    faults = _faults(register, protocol)
    looks = register.specifications
    read_with = f"Outcomes have been read with {looks} protocol{'s' if looks != 1 else ''}."
    fixed = next((f"Locked on {entry.at}." for entry in register.plans), "Never locked.")
    amended = [entry for entry in register.plans if entry.kind == AMENDMENT]
    said = f"{fixed} {len(amended)} amendment{'s' if len(amended) != 1 else ''}. {read_with} {here}"
    return Check(
        "check_plan", TITLE, _frame(register), _columns(),
        notes=("The register shows what was done with it. It cannot show a look at the records by other means.",),
        sentence=" ".join([said, *faults]), observed="; ".join(faults) or "locked before", threshold="locked before",
        passed=not faults, why=WHY,
    )  # fmt: skip


def _faults(register: Register, protocol: Protocol) -> list[str]:
    """What speaks against the plan, one sentence each; none for a plan that was fixed first and kept."""
    found = []
    early = len({entry.protocol for entry in register.before_lock})
    if not register.plans:
        found.append("No plan was locked.")
    elif early:
        found.append(f"Outcomes had been read with {early} protocol{'s' if early != 1 else ''} before the lock.")
    if late := len(register.late_amendments):
        found.append(f"{late} amendment{'s' if late != 1 else ''} came after outcomes had been read.")
    if register.plans and register.plans[-1].protocol != protocol.hash:
        found.append(f"This protocol ({protocol.hash[:8]}) is not the plan that stands.")
    return found


def _estimates_here(protocol: Protocol, rows: Iterable[Mapping[str, Any]]) -> str:
    """How many specifications of the primary outcome this report itself shows."""
    primary = protocol.primary
    if primary is None:
        return "The protocol names no primary outcome."
    shown = {
        (row.get("adjustment"), row.get("period"))
        for row in rows
        if row.get("measure") == primary.name and row.get("analysis") in ("main", "ladder", "sensitivity")
    }
    return f"This report shows the primary outcome under {len(shown)} specifications, and says which is the main one."


def _frame(register: Register) -> pd.DataFrame:
    import pandas as pd

    lines = [
        {"at": entry.at, "what": _what(entry), "protocol": entry.protocol[:8], "changed": "; ".join(entry.changes)}
        for entry in register.entries
    ]
    return pd.DataFrame(lines, columns=["at", "what", "protocol", "changed"])


def _what(entry: Entry) -> str:
    if entry.kind == LOCK:
        return "Plan locked"
    return f"Plan amended: {entry.reason}" if entry.kind == AMENDMENT else "Outcomes read"


def _columns() -> tuple[Column, ...]:
    return (
        Column("at", "When", unit="UTC"), Column("what", "What"), Column("protocol", "Protocol"),
        Column("changed", "What changed", missing=""),
    )  # fmt: skip
