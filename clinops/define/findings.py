"""What lint found: each finding says what, why it biases and in which direction, and the remedy."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clinops.errors import DesignError

if TYPE_CHECKING:
    import pandas as pd

    from clinops.define.protocol import Allowance


@dataclass(frozen=True)
class Finding:
    """One flaw of a design.

    Attributes
    ----------
    rule : the name by which `allow` accepts it.
    severity : "error" (stops the run) or "warning".
    what : what was found, with the names used in the protocol.
    why : the bias and its direction.
    remedy : what to write instead.
    allowed : the written reason, where the protocol accepts the finding.
    """

    rule: str
    severity: str
    what: str
    why: str
    remedy: str
    allowed: str | None = None

    def __str__(self) -> str:
        accepted = f"\n  Allowed: {self.allowed}" if self.allowed else ""
        return f"{self.severity} [{self.rule}] {self.what}\n  Why: {self.why}\n  Instead: {self.remedy}{accepted}"


@dataclass(frozen=True)
class Findings:
    """Everything lint found, errors first; empty for a sound design."""

    findings: tuple[Finding, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def named(self, rule: str) -> tuple[Finding, ...]:
        """The findings of one rule."""
        return tuple(f for f in self.findings if f.rule == rule)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop a run, allowed ones left out."""
        return tuple(f for f in self.findings if f.severity == "error" and f.allowed is None)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that a reader should know, which do not stop a run."""
        return tuple(f for f in self.findings if f.severity == "warning")

    @property
    def allowed(self) -> tuple[Finding, ...]:
        """Errors that the protocol accepts by name, with the written reason."""
        return tuple(f for f in self.findings if f.allowed is not None)

    def with_allowances(self, allowances: tuple[Allowance, ...]) -> Findings:
        """Mark the errors that the protocol accepts by name."""
        reasons = {a.rule: a.reason for a in allowances}
        marked = [
            Finding(
                f.rule,
                f.severity,
                f.what,
                f.why,
                f.remedy,
                reasons.get(f.rule) if f.severity == "error" else None,
            )
            for f in self.findings
        ]
        return Findings(tuple(marked))

    def raise_if_stopped(self) -> None:
        """Raise `DesignError` with every error that nobody allowed."""
        if self.errors:
            listed = "\n\n".join(str(f) for f in self.errors)
            raise DesignError(
                f"The design has {len(self.errors)} error(s); nothing was run.\n\n{listed}\n\n"
                "To run it all the same, accept each by name: allow=(co.allow('rule', 'the reason'),)."
            )

    @property
    def frame(self) -> pd.DataFrame:
        """One row a finding."""
        import pandas as pd

        columns = ["severity", "rule", "what", "why", "remedy", "allowed"]
        return pd.DataFrame([{c: getattr(f, c) for c in columns} for f in self.findings], columns=columns)

    def __str__(self) -> str:
        return "\n\n".join(str(f) for f in self.findings) or "The design passes every rule."

    def _repr_html_(self) -> str:
        if not self.findings:
            return "<p>The design passes every rule.</p>"
        rows = "".join(_row(f) for f in self.findings)
        head = "".join(f'<th scope="col">{c}</th>' for c in ("Finding", "What", "Why it biases", "Remedy"))
        return f'<table class="findings"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(finding: Finding) -> str:
    mark = "allowed error" if finding.allowed else finding.severity
    remedy = finding.remedy + (f" (Allowed here: {finding.allowed})" if finding.allowed else "")
    cells = (f"{mark}: {finding.rule}", finding.what, finding.why, remedy)
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
