"""What a roll-out and an interrupted series have in common as analyses: their checks, and how they leave."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.checks import summary
from clinops.analyse.exhibits.gallery import Gallery
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    import pandas as pd

    from clinops.define.findings import Findings
    from clinops.define.panel import PeriodPlan


class ByPeriod(Readable, Analysis):
    """A plan by calendar period on a source; nothing of the outcome is read before the design has passed its rules.

    A subclass names its exhibits in `order` and numbers them in `numbers`; the checks follow `check_list`.
    """

    order: ClassVar[tuple[str, ...]]
    numbers: ClassVar[Mapping[str, str]]
    checks_name: ClassVar[str]

    def __init__(self, plan: PeriodPlan, source: Any) -> None:
        self.plan, self.source = plan, source
        self._gallery = Gallery(
            self.numbers, synthetic=source.synthetic, min_cell=plan.min_cell, everything=lambda: self.exhibits
        )

    @property
    @abstractmethod
    def findings(self) -> Findings:
        """What lint found in the design."""

    @property
    @abstractmethod
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""

    @property
    @abstractmethod
    def _checks(self) -> tuple[Check, ...]:
        """The checks as made, not yet protected."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check, each with its own table."""
        return tuple(self._show(check.name, partial(_same, check)) for check in self._checks)

    @property
    def check_list(self) -> Result:
        """All checks in one table."""
        return self._show(self.checks_name, lambda: summary(self._checks).with_(name=self.checks_name))

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        shown = [getattr(self, name) for name in self.order]
        at = self.order.index("check_list") + 1
        return (*shown[:at], *self.checks, *shown[at:])

    def bundle(self) -> Bundle:
        """What `write` writes."""
        failed = tuple(check.title for check in self._checks if check.passed is False)
        return Bundle(
            self.plan.title, self.exhibits, self.source, protocol=self.plan, findings=self.findings,
            estimates=self.estimates, failed=failed, min_cell=self.plan.min_cell,
        )  # fmt: skip


def _same(check: Check) -> Check:
    return check
