"""What a protocol on a source shows before any outcome is read; the design stage and the study share it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinops.analyse.adjust import Adjusted, adjust, refuse_missing
from clinops.analyse.analysis import Analysis
from clinops.analyse.dataset import Dataset
from clinops.analyse.exhibits import balance, design
from clinops.define.findings import Findings
from clinops.define.protocol import Protocol
from clinops.results.result import Result

if TYPE_CHECKING:
    from clinops.build.cohorts import Cohort
    from clinops.build.rows import Baseline


class Designed(Analysis):
    """Cohorts, baseline, adjustment and the exhibits made of them; nothing here reads past the index date.

    A subclass makes `_gallery`, which numbers the exhibits.

    Raises
    ------
    DesignError : lint found errors that the protocol does not allow by name.
    DefinitionError : an adjustment needs a package that is not installed.
    """

    def __init__(self, protocol: Protocol, source: Any) -> None:
        self.protocol, self.source = protocol, source
        self.findings: Findings = protocol.lint(source)
        self.findings.raise_if_stopped()
        refuse_missing((protocol.adjust, *protocol.sensitivity.adjustments))

    # --- stages ---------------------------------------------------------------------------------

    @cached_property
    def exposed(self) -> Cohort:
        """The exposed cohort, with its attrition."""
        from clinops.build.cohorts import build

        return build(self.protocol.exposed, self.source)

    @cached_property
    def comparator(self) -> Cohort:
        """The comparator cohort, with its attrition."""
        from clinops.build.cohorts import build

        return build(self.protocol.comparator, self.source, self.exposed)

    @cached_property
    def baseline(self) -> Baseline:
        """One row a person-entry of either arm, with the covariates."""
        from clinops.build import rows

        return rows.baseline(self.protocol, self.exposed, self.comparator)

    @cached_property
    def design(self) -> Dataset:
        """The baseline as arrays; knows no outcome."""
        return Dataset(self.baseline.frame)

    @cached_property
    def adjusted(self) -> Adjusted:
        """The main adjustment: weights or matched sets, the score behind them, what the variance respects."""
        p = self.protocol
        return adjust(self.design, p.covariates, p.adjust, cluster=p.cluster, seed=p.seed)

    @cached_property
    def _balances(self) -> balance.Balances:
        return balance.balances(self.design, self.protocol, self.adjusted)

    @cached_property
    def currency(self) -> str:
        """The currency of the source's costs."""
        from clinops.analyse.money import currency

        return currency(self.source)

    # --- exhibits -------------------------------------------------------------------------------

    @property
    def attrition(self) -> Result:
        """Who remains after each rule."""
        return self._show("attrition", lambda: design.attrition(self.exposed, self.comparator))

    @property
    def flow(self) -> Result:
        """Flow diagram of both arms."""
        return self._show("flow", lambda: design.flow(self.exposed, self.comparator))

    @property
    def target_trial(self) -> Result:
        """The target trial and its emulation."""
        return self._show("target_trial", lambda: design.target_trial(self.protocol, self.source))

    @property
    def diagram(self) -> Result:
        """Study-design diagram: what is read when."""
        return self._show("study_diagram", lambda: design.study_diagram(self.protocol))

    @property
    def code_lists(self) -> Result:
        """Code lists with what they matched."""
        return self._show("code_lists", lambda: design.code_lists(self.protocol, self.source))

    @property
    def balance(self) -> Result:
        """Baseline before and after adjustment."""
        make = lambda: balance.baseline_table(self.design, self.protocol, self.adjusted, self._balances)  # noqa: E731
        return self._show("baseline", make)

    @property
    def love(self) -> Result:
        """Love plot."""
        return self._show("love", lambda: balance.love(self._balances, self.protocol))

    @property
    def overlap(self) -> Result:
        """Distribution of the propensity score by arm."""
        return self._show("overlap", lambda: balance.overlap(self.design, self.protocol, self.adjusted))
