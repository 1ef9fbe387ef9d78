"""The study: a protocol bound to a source, with each stage computed once and only when asked for."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops._version import __version__
from clinops.analyse import checks, front, plan, verdict
from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.bundle import Bundle
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.designed import Designed
from clinops.analyse.effects import MAIN
from clinops.analyse.exhibits import balance, curves, design, outcomes, positivity
from clinops.analyse.exhibits import effects as shown
from clinops.analyse.exhibits.effects import pick
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.measures import Measure
from clinops.define.protocol import Protocol
from clinops.define.windows import Window
from clinops.errors import DefinitionError, unknown
from clinops.results.result import Check, Result, absent

if TYPE_CHECKING:
    import pandas as pd
    from lifelines import KaplanMeierFitter

    from clinops.build.rows import Outcomes
    from clinops.define.register import Register
    from clinops.results.front import FrontPage

TREND_MONTHS = 12
NOTEBOOK = "CLINOPS_NOTEBOOK"
"""Set by the runner: the name of the notebook at work, which every row of the results carries."""


class Study(Designed):
    """A protocol on a source. The design is linted when the study is made; an error stops it there.

    Stages come in order (cohorts, baseline, adjustment, outcomes, estimates) and are kept; every exhibit
    is a `Result` or a `Check` that renders in a notebook and has its numbers in ``.frame``. Design-stage
    exhibits never read outcomes. Counts below the protocol's smallest cell are hidden in all of them.

    Parameters
    ----------
    protocol : the design.
    source : from `connect`.
    truth : on simulated records, the file with both potential outcomes (``clinops simulate`` writes it
        beside the records); exhibits then print the truth beside the estimate.
    register : the file in which `Protocol.lock` wrote the plan; that outcomes are read is written there too, and a
        check says whether the plan was fixed before.

    Raises
    ------
    DesignError : lint found errors that the protocol does not allow by name.
    """

    def __init__(
        self, protocol: Protocol, source: Any, truth: str | Path | None = None, register: str | Path | None = None
    ) -> None:
        super().__init__(protocol, source)
        self.register_file = None if register is None else Path(register)
        self.truth_file = None if truth is None else Path(truth)
        self._gallery = Gallery(
            NUMBERS, synthetic=source.synthetic, min_cell=protocol.min_cell, everything=self._everything
        )

    # --- stages ---------------------------------------------------------------------------------

    @cached_property
    def weighted(self) -> Adjusted:
        """What weights the curves: the main adjustment, or weights of its estimand where that models the outcome."""
        p = self.protocol
        return adjust(self.design, p.covariates, p.adjust.as_weights, cluster=p.cluster, seed=p.seed)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What happened to every entry during follow-up; that they are read is first written into the register."""
        from clinops.build import rows

        _ = self.register
        return rows.outcomes(self.protocol, self.baseline)

    @cached_property
    def register(self) -> Register | None:
        """The register, in which it stands that this protocol reads outcomes; None where none is kept."""
        from clinops.define.register import note_outcomes

        if self.register_file is None:
            return None
        return note_outcomes(self.register_file, self.protocol, self.source.fingerprint)

    @cached_property
    def data(self) -> Dataset:
        """Baseline and outcomes as arrays."""
        return self.design.with_outcomes(self.outcomes.frame)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every estimate as a row of the long schema, not yet protected."""
        from clinops.analyse import estimates as made

        p = self.protocol
        rows = made.main_rows(self.data, p, self.adjusted, self._months)
        ladder = made.ladder_rows(self.data, p, self.adjusted, self._months)
        rows += ladder
        rows += made.subgroup_rows(self.data, p, self._months)
        rows += made.sensitivity_rows(self.data, p, self._months, self._reread, ladder)
        names = {"exposed": p.exposed.name, "comparator": p.comparator.name, "notebook": os.environ.get(NOTEBOOK, "")}
        return [names | row | {"unit": self._priced(row.get("unit"))} for row in rows]

    def _priced(self, unit: str | None) -> str | None:
        """A unit with the currency of the source in the place of the word."""
        return unit.replace("currency", self.currency) if unit else unit

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        return estimates(self.rows)

    def _months(self, data: Dataset, measure: Measure) -> Floats:
        """Member-months of each row within a measure's window."""
        from clinops.analyse.months import member_months

        start = 1.0 if measure.window is None or measure.window.start is None else float(measure.window.start)
        index = data.baseline["index_date"].to_numpy(dtype="datetime64[D]")
        return member_months(index, np.full(len(data), start), start + data.days(measure) - 1)

    def _reread(self, window: Window) -> Dataset:
        """The same entries with outcomes over another follow-up window."""
        from clinops.build import rows

        return self.design.with_outcomes(rows.outcomes(self.protocol.over(window), self.baseline).frame)

    @property
    def records(self) -> Any:
        """The records themselves: what they are, hold, lack, and what was set aside."""
        from clinops.sources.describe import Described

        return Described(self.source, self.protocol.min_cell)

    # --- exhibits of what happened --------------------------------------------------------------

    @property
    def events(self) -> Result:
        """Crude events, person-years and rates."""
        return self._show("crude_events", lambda: outcomes.crude_events(self.data, self.protocol))

    @property
    def costs(self) -> Result:
        """Crude cost per person: means, medians, upper tail."""
        return self._show("crude_costs", self._costs)

    def _costs(self) -> Result:
        first = next((m for m in self.protocol.outcomes if m.measure == "cost" and self.data.has(m)), None)
        months = self._months(self.data, first) if first else np.ones(len(self.data))
        return outcomes.crude_costs(self.data, self.protocol, months, self.currency)

    @property
    def effects(self) -> Result:
        """Effects on every outcome, adjusted and crude."""
        make = lambda: shown.effects_table(self.estimates, self.protocol)  # noqa: E731
        return self._show("effects", make)

    @property
    def forest(self) -> Result:
        """Relative effects on one axis."""
        return self._show("forest", lambda: shown.forest(self.estimates, self.protocol))

    @property
    def ladder(self) -> Result:
        """The primary outcome from naive to adjusted."""
        return self._show("ladder", lambda: shown.ladder(self.estimates, self.protocol, self.currency))

    @property
    def subgroups(self) -> Result:
        """The primary outcome in subgroups."""
        return self._show("subgroups", self._subgroups)

    def _subgroups(self) -> Result:
        from clinops.analyse.estimates import interactions

        rows = [row for row in self.rows if row["analysis"] == "subgroup"]
        return shown.subgroups(self.estimates, self.protocol, interactions(rows), self.currency)

    @property
    def sensitivity(self) -> Result:
        """The primary outcome under other windows, calipers and estimators."""
        return self._show("sensitivity", lambda: shown.sensitivity(self.estimates, self.protocol, self.currency))

    @property
    def survival(self) -> Result:
        """Cumulative risk by arm of the first outcome that is a time to an event."""
        return self._show("survival", self._survival)

    def _survival(self) -> Result:
        timed = [m for m in self.protocol.outcomes if m.measure == "time to" and self.data.has(m)]
        chosen = next((m for m in timed if m.role == "primary"), timed[0] if timed else None)
        if chosen is None:
            return absent(
                "survival", "Cumulative risk", "The protocol has no time to an event that these records give."
            )
        return curves.survival(self.data, self.protocol, chosen, self.weighted)

    def kaplan_meier(self, outcome: str) -> dict[str, KaplanMeierFitter]:
        """Unadjusted survival of one outcome as fitted lifelines models, by arm.

        Unlike the exhibits these hold numbers as they are, small ones included: look, but do not publish.

        Raises
        ------
        DefinitionError : no outcome of that name that is a time to an event.
        """
        from clinops.analyse.survival import fitters

        timed = {m.name: m for m in self.protocol.outcomes if m.measure == "time to" and self.data.has(m)}
        if outcome not in timed:
            raise DefinitionError(unknown("outcome that is a time to an event", outcome, timed))
        names = {"exposed": self.protocol.exposed.name, "comparator": self.protocol.comparator.name}
        return fitters(self.data, timed[outcome], names)

    @property
    def cost_trend(self) -> Result:
        """Cost per member-month by month from index."""
        return self._show("cost_trend", self._trend)

    def _trend(self) -> Result:
        from clinops.analyse.months import months_covered
        from clinops.build import costs, rows

        if reason := costs.impossible(self.source):
            return absent("cost_trend", "Cost per member-month by month from index", reason)
        frame = self.outcomes.frame
        months = rows.person_months(self.protocol, self.baseline, "total", TREND_MONTHS, TREND_MONTHS)
        index = self.baseline.frame["index_date"].to_numpy(dtype="datetime64[D]")
        first, last = (frame[c].to_numpy(dtype=float) for c in ("observed_from_day", "end_day"))
        at, covered = months_covered(index, first, last, TREND_MONTHS, TREND_MONTHS)
        return curves.cost_trend(self.data, self.protocol, self.weighted, months, covered, at, self.currency)

    # --- checks and the answer ------------------------------------------------------------------

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that could show the answer to be wrong."""
        made = {
            "check_design": lambda: checks.design_check(self.findings),
            "check_balance": lambda: balance.balance_check(self._balances, self.protocol),
            "check_overlap": lambda: balance.overlap_check(self.design, self.adjusted),
            "check_follow_up": lambda: checks.follow_up_check(self.data, self.outcomes.frame, self.protocol),
            "check_negative_controls": lambda: checks.negative_control_check(self.estimates, self.protocol),
            "e_values": lambda: checks.e_values(self.data, self.estimates, self.protocol),
            "check_equipoise": lambda: positivity.equipoise_check(self.design, self.protocol, self.adjusted),
            "check_positivity": lambda: positivity.positivity_check(self.design, self.protocol, self.adjusted),
            "check_plan": lambda: plan.plan_check(self.register, self.protocol, self.rows),
        }
        return tuple(self._show(name, make) for name, make in made.items())  # type: ignore[misc]

    @property
    def check_list(self) -> Result:
        """Every check with what was observed, its threshold and its verdict, in one table."""
        return self._show("checks", lambda: checks.summary(self.checks))

    @cached_property
    def verdict(self) -> verdict.Verdict:
        """The answer in a word and a sentence."""
        return verdict.verdict(self._primary_row, self.protocol.primary, self.checks)

    @property
    def _primary_row(self) -> pd.Series | None:
        primary = self.protocol.primary
        if primary is None:
            return None
        return pick(self.estimates, primary, MAIN[primary.measure], self.protocol.adjust.label)

    @cached_property
    def truth(self) -> float | None:
        """The true effect on the primary outcome for this study's estimand, on simulated records; else None."""
        from clinops.analyse.truth import true_effect

        return (
            None if self.truth_file is None else true_effect(self.truth_file, self.data, self.protocol, self.adjusted)
        )

    @cached_property
    def front_page(self) -> FrontPage:
        """The whole evaluation as a structured abstract."""
        from clinops.results.front import FrontPage

        p = self.protocol
        sizes = balance.effective_sizes(self.design, self.adjusted)
        found = verdict.detectable(self.data, p.primary, sizes)
        judged = self.checks
        strip = front.strip(self.estimates, p, self.truth)
        return FrontPage(
            title=p.title, verdict=self.verdict.label, conclusion=self.verdict.sentence,
            detectable=front.detectable_sentence(found, p.primary, self.currency),
            main=self._show("main", lambda: front.main_table(self.estimates, p)),
            money=self.money, strip=None if strip is None else self._show("strip", lambda: strip),
            threats=self.threats, failed=tuple(c for c in judged if c.passed is False),
            allowed=tuple((f.rule, f.allowed or "") for f in self.findings.allowed),
            **front.facts(p, self.source, self.design),
        )  # fmt: skip

    @property
    def money(self) -> Result | str:
        """Gross, fee and net per exposed person; a sentence where there is no money in the records."""
        from clinops.analyse.money import fee_per_exposed, money_table

        activated = self.activation
        # Nobody's activation is more likely a gap in the records than a programme that cost nothing.
        known = activated is None or bool(np.isfinite(activated).any())
        fee = fee_per_exposed(self.data, self.protocol, self.adjusted, activated) if known else None
        made = money_table(self.estimates, self.protocol, fee, self.currency)
        return made if isinstance(made, str) else self._show("money", lambda: made)

    @cached_property
    def activation(self) -> np.ndarray | None:
        """(n,) day of activation, NaN for none; None where the protocol names no activation."""
        from clinops.build import rows

        if self.protocol.programme is None or self.protocol.programme.activation is None:
            return None
        return rows.programme_dates(self.protocol, self.baseline)["activation_day"].to_numpy(dtype=float)

    @property
    def funnel(self) -> Result:
        """How far the exposed went: offered, activated, engaged. A description, not an effect."""
        return self._show("funnel", lambda: design.funnel(self.protocol, self.baseline))

    @property
    def threats(self) -> tuple[str, ...]:
        """The three largest threats to the answer."""
        evalue = next(c for c in self.checks if c.name == "e_values").observed
        reasons = self.outcomes.frame["end_reason"]
        whole = float(reasons.isin(["window", "death"]).mean())
        strength = float(evalue) if isinstance(evalue, int | float) else None
        return verdict.threats(
            self.protocol, self.source, self.checks, strength, self.adjusted.share_unmatched, whole, self._not_measured
        )

    @property
    def not_possible(self) -> tuple[tuple[str, str], ...]:
        """What these records cannot show, and why."""
        return (*self._not_measured, *self.source.missing)

    @property
    def _not_measured(self) -> tuple[tuple[str, str], ...]:
        """Measures of the protocol that these records cannot give, and why."""
        return tuple((m.name, why) for m, why in (*self.baseline.missing_covariates, *self.outcomes.not_possible))

    @property
    def limits(self) -> Result:
        """What was not possible and what was set aside, as a table."""
        return self._show("limits", lambda: design.limits(self.not_possible, self.set_aside))

    @property
    def set_aside(self) -> tuple[tuple[str, int, str], ...]:
        """What of the records was not used, with its count and its reason."""
        return tuple(
            (what, int(count), why)
            for what, count, why in (*self.source.set_aside, *self.baseline.set_aside, *self.outcomes.set_aside)
        )

    @property
    def methods(self) -> Prose:
        """The methods in prose, made from the protocol and the run."""
        from clinops.analyse.methods import methods

        return Prose(methods(self.protocol, self.source, self.adjusted, __version__, self.baseline.age_rule))

    # --- out ------------------------------------------------------------------------------------

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        page = self.front_page.results
        return (*page, *(getattr(self, name) for name in ORDER), *self.checks)

    def _everything(self) -> None:
        """Ask for every exhibit; what was made of them before they were protected is not kept."""
        _ = self.exhibits
        for made in ("front_page", "verdict"):
            self.__dict__.pop(made, None)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        page = self.front_page
        return Bundle(
            self.protocol.title, self.exhibits, self.source, protocol=self.protocol, findings=self.findings,
            estimates=self.estimates,
            verdicts=({"label": "Verdict", "text": page.conclusion, "status": page.verdict},),
            failed=tuple(c.title for c in page.failed), min_cell=self.protocol.min_cell, page=page,
        )  # fmt: skip


class Prose(str):
    """Markdown that renders as prose in a notebook."""

    def _repr_markdown_(self) -> str:
        return str(self)


ORDER = (
    "attrition", "target_trial", "diagram", "flow", "balance", "love", "overlap", "funnel", "events", "costs",
    "cost_trend", "effects", "survival", "forest", "ladder", "subgroups", "sensitivity", "check_list", "code_lists",
    "limits",
)  # fmt: skip
"""The exhibits in the order of a report."""

NUMBERS = {
    "attrition": "Table 1", "target_trial": "Table 2", "baseline": "Table 3", "funnel": "Table 4",
    "crude_events": "Table 5a", "crude_costs": "Table 5b", "effects": "Table 6", "ladder": "Table 7",
    "subgroups": "Table 8", "sensitivity": "Table 9", "checks": "Table 10",
    "check_design": "Table 10a", "check_balance": "Table 10b",
    "check_overlap": "Table 10c", "check_follow_up": "Table 10d", "check_negative_controls": "Table 10e",
    "e_values": "Table 10f", "check_equipoise": "Table 10g", "check_positivity": "Table 10h", "check_plan": "Table 10i",
    "code_lists": "Table 11", "limits": "Table 12",
    "study_diagram": "Figure 1", "flow": "Figure 2", "love": "Figure 3", "overlap": "Figure 4",
    "cost_trend": "Figure 5", "survival": "Figure 6", "forest": "Figure 7",
}  # fmt: skip
"""The number of each exhibit, the same in every report."""
