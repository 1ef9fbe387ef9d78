"""A source in words: what it is, what it holds, what it lacks, what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clinops.sources.source import Source

CAPTURES = {
    "enrolment": "enrolment: a plan pays for the care of enrolled persons, so no record means no care paid for",
    "ehr": "EHR contacts: what one provider sees, so no record may mean care elsewhere",
    "registry": "registry: what the registry collects, and no more",
}


def facts(source: Source) -> list[tuple[str, str]]:
    """Return what the records are as pairs of a label and a text."""
    first, last = source.span
    kind = "synthetic: no clinical meaning" if source.synthetic else "real, as far as the records say"
    return [
        ("Records", f"{source.name} ({source.backend})"),
        ("Model", source.model),
        ("Persons", f"{source.persons:,}"),
        ("Observed", f"{first.isoformat()} to {last.isoformat()}"),
        ("Vocabulary", source.vocabulary),
        ("Captures", f"{CAPTURES[source.capture]} ({source.capture_reason})"),
        ("Kind", f"{kind} ({source.synthetic_reason})"),
        ("Snapshot", source.snapshot.isoformat() if source.snapshot else "not stated"),
    ]


SMALLEST = 11
"""Counts from 1 to one less are not shown unless somebody asks for another limit: what is rendered may travel."""


def shown(count: int, min_cell: int = SMALLEST) -> str:
    """Return a count as it may be shown."""
    return f"<{min_cell}" if 0 < count < min_cell else f"{count:,}"


@dataclass(frozen=True)
class Described:
    """A source as a notebook shows it, with small counts hidden."""

    source: Source
    min_cell: int = SMALLEST

    def __str__(self) -> str:
        return to_text(self.source, self.min_cell)

    def _repr_html_(self) -> str:
        return to_html(self.source, self.min_cell)


def to_text(source: Source, min_cell: int = SMALLEST) -> str:
    """Render a source as plain text."""
    lines = [f"{label + ':':<12}{text}" for label, text in facts(source)]
    lines += ["", "Tables:"] + [f"  {name:<24}{shown(count, min_cell):>14}" for name, count in source.rows.items()]
    lines += _section("Not there, and what follows:", [f"{table}: {why}" for table, why in source.missing])
    lines += _section(
        "Set aside or to be noted:",
        [f"{item.what}: {shown(item.count, min_cell)}. {item.why}" for item in source.set_aside],
    )
    lines += _section("Notes:", source.notes)
    return "\n".join(lines)


def _section(title: str, items: Sequence[str]) -> list[str]:
    return ["", title, *(f"  {item}" for item in items)] if items else []


def to_html(source: Source, min_cell: int = SMALLEST) -> str:
    """Render a source as HTML; every text of the records is escaped."""
    parts = [_table([(escape(label), escape(text)) for label, text in facts(source)])]
    parts.append(
        _table(
            [(escape(name), escape(shown(count, min_cell))) for name, count in source.rows.items()], ("Table", "Rows")
        )
    )
    if source.missing:
        rows = [(escape(table), escape(why)) for table, why in source.missing]
        parts.append(_table(rows, ("Not there", "What follows")))
    if source.set_aside:
        aside = [
            (escape(item.what), escape(shown(item.count, min_cell)), escape(item.why)) for item in source.set_aside
        ]
        parts.append(_table(aside, ("Set aside or to be noted", "Count", "Why")))
    if source.notes:
        parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in source.notes) + "</ul>")
    return '<div class="clinops-source">' + "".join(parts) + "</div>"


def _table(rows: Sequence[tuple[str, ...]], head: tuple[str, ...] = ()) -> str:
    top = "<thead><tr>" + "".join(f'<th scope="col">{cell}</th>' for cell in head) + "</tr></thead>" if head else ""
    body = "".join(
        "<tr>" + f'<th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table>{top}<tbody>{body}</tbody></table>"
