"""The design stage: who is in the arms, how alike they are, what could be seen; and no way to read an outcome."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinops.analyse import checks, words
from clinops.analyse.bundle import Bundle
from clinops.analyse.dataset import Floats
from clinops.analyse.designed import Designed
from clinops.analyse.exhibits import balance, design, positivity
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.measures import RISKS, Measure
from clinops.define.protocol import Adjustment, Protocol, Sensitivity
from clinops.define.windows import Window
from clinops.results.result import Check, Column, Result

if TYPE_CHECKING:
    from clinops.define.register import Entry

NUMBERS = {
    "attrition": "Table 1", "target_trial": "Table 2", "baseline": "Table 3", "power": "Table 4",
    "check_design": "Table 5a", "check_balance": "Table 5b", "check_overlap": "Table 5c", "check_equipoise": "Table 5d",
    "check_positivity": "Table 5e", "code_lists": "Table 6",
    "limits": "Table 7", "study_diagram": "Figure 1", "flow": "Figure 2", "love": "Figure 3", "overlap": "Figure 4",
}  # fmt: skip
ORDER = ("attrition", "target_trial", "diagram", "flow", "balance", "love", "overlap", "power")
ASSUMED = (0.01, 0.05, 0.10)
"""Risks taken for what has no past, such as death."""


class DesignStage(Designed):
    """A protocol on a source, as far as it can be judged before any outcome is read.

    Nothing here reads what happened after the index date, so nothing here can depend on it: change the design until
    the arms are alike, then fix it with `lock`. An error of lint stops it, as it stops a study.

    Parameters
    ----------
    protocol, source : as for a study.

    Raises
    ------
    DesignError : lint found errors that the protocol does not allow by name.
    """

    def __init__(self, protocol: Protocol, source: Any) -> None:
        super().__init__(protocol, source)
        self._gallery = Gallery(
            NUMBERS, synthetic=source.synthetic, min_cell=protocol.min_cell, everything=lambda: self.exhibits
        )

    def lock(self, register: str | Path, *, reason: str = "") -> Entry:
        """Fix this protocol in a register; see `Protocol.lock`."""
        return self.protocol.lock(register, reason=reason)

    @property
    def power(self) -> Result:
        """The smallest difference each outcome could show, reckoned from the time before the index date."""
        return self._show("power", self._power)

    @property
    def checks(self) -> tuple[Check, ...]:
        """What can be judged before outcomes are read: the design, balance, overlap, equipoise, positivity."""
        made = {
            "check_design": lambda: checks.design_check(self.findings),
            "check_balance": lambda: balance.balance_check(self._balances, self.protocol),
            "check_overlap": lambda: balance.overlap_check(self.design, self.adjusted),
            "check_equipoise": lambda: positivity.equipoise_check(self.design, self.protocol, self.adjusted),
            "check_positivity": lambda: positivity.positivity_check(self.design, self.protocol, self.adjusted),
        }
        return tuple(self._show(name, make) for name, make in made.items())

    @property
    def limits(self) -> Result:
        """What was not possible and what was set aside."""
        return self._show("limits", self._limits)

    def _limits(self) -> Result:
        lost = tuple((m.name, why) for m, why in self.baseline.missing_covariates)
        aside = tuple((w, int(n), why) for w, n, why in (*self.source.set_aside, *self.baseline.set_aside))
        return design.limits((*lost, *self.source.missing), aside)

    # --- power ----------------------------------------------------------------------------------

    def _power(self) -> Result:
        """One row an outcome (and an assumed risk, where it has no past)."""
        import pandas as pd

        p, sizes = self.protocol, balance.effective_sizes(self.design, self.adjusted)
        earlier = {m: _earlier(m) for m in p.outcomes}
        frame = self._past(tuple(m for m in earlier.values() if m is not None))
        rows: list[dict[str, Any]] = []
        for outcome, past in earlier.items():
            found = None if past is None or past.id not in frame.columns else frame[past.id].to_numpy(dtype=float)
            if past is not None and found is not None and not self._small(outcome, found):
                rows.append(_from_past(outcome, past, found, sizes))
            elif outcome.measure in RISKS:
                rows += [_from_risk(outcome, risk, sizes, "assumed") for risk in ASSUMED]
            else:
                rows.append({"outcome": outcome.name, "basis": "not possible: nothing like it before the index date"})
        names = ("outcome", "unit", "basis", "spread", "detectable", "worthwhile", "digits")
        shown = pd.DataFrame(rows, columns=list(names))
        shown["unit"] = shown["unit"].str.replace("currency", self.currency)
        columns = (
            Column("outcome", "Outcome"), Column("unit", "Unit"), Column("basis", "Taken from"),
            Column("spread", "SD, or risk", "number1", digits_by="digits"),
            Column("detectable", "Smallest difference seen", "number1", "power 80%, two-sided 5%", digits_by="digits"),
            Column("worthwhile", "Smallest worth having", "number1", digits_by="digits", missing="not stated"),
        )  # fmt: skip
        return Result(
            "power", "What this design could show", shown, columns,
            notes=(
                f"After adjustment {p.exposed.name} count as {sizes['exposed']:,.0f} and {p.comparator.name} as "
                f"{sizes['comparator']:,.0f} persons (Kish's effective size).",
                "The same measure on the same persons over as many days before the index date stands for the outcome, "
                "which is not read. What has no past, or happened to too few to be shown, is shown at assumed risks.",
            ),
            sentence=_power_sentence(shown, p.primary),
        )  # fmt: skip

    def _small(self, outcome: Measure, values: Floats) -> bool:
        """Whether a risk taken from the past would give away a count that is not shown."""
        return outcome.measure in RISKS and 0 < int(np.nansum(values)) < self.protocol.min_cell

    def _past(self, measures: tuple[Measure, ...]) -> Any:
        """The outcomes' measures over the time before the index date, one row an entry."""
        from clinops.build.rows import baseline

        bare = self.protocol.with_(
            covariates=measures, outcomes=(), negative_controls=(), subgroups=(), adjust=Adjustment("none"),
            sensitivity=Sensitivity(),
        )  # fmt: skip
        return baseline(bare, self.exposed, self.comparator).frame

    # --- out ------------------------------------------------------------------------------------

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return (*(getattr(self, name) for name in ORDER), *self.checks, self.code_lists, self.limits)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        failed = tuple(check.title for check in self.checks if check.passed is False)
        said = f"{len(failed)} of {len(self.checks)} checks failed" if failed else "Every check of the design passed"
        return Bundle(
            f"{self.protocol.title}: the design, before outcomes", self.exhibits, self.source, protocol=self.protocol,
            findings=self.findings, failed=failed, min_cell=self.protocol.min_cell,
            verdicts=({"label": "Design", "text": said, "status": "failed" if failed else "passed"},),
        )  # fmt: skip


def design_stage(protocol: Protocol, source: Any) -> DesignStage:
    """Judge a design on a source before any outcome is read: attrition, balance, overlap, power."""
    return DesignStage(protocol, source)


def _earlier(outcome: Measure) -> Measure | None:
    """The outcome's measure over as many days before the index date; None for what happens once, like death."""
    length = outcome.window.length if outcome.window is not None else None
    once = outcome.events is not None and outcome.events.domain == "death"
    if once or length is None:
        return None
    kind = "any" if outcome.measure == "time to" else outcome.measure
    return replace(
        outcome, name=f"{outcome.name}, before", measure=kind, window=Window(-length, -1), role="covariate",
        better=None, worthwhile=None,
    )  # fmt: skip


def _from_past(outcome: Measure, past: Measure, values: Floats, sizes: dict[str, float]) -> dict[str, Any]:
    from clinops.stats.power import detectable_difference_means

    known = values[np.isfinite(values)]
    if outcome.measure in RISKS:
        return _from_risk(outcome, float(known.mean()) if len(known) else np.nan, sizes, str(past.window))
    spread = float(known.std(ddof=1)) if len(known) > 1 else np.nan
    found = detectable_difference_means(spread, sizes["exposed"], sizes["comparator"])
    units = {"cost": "currency per person", "days at home": "days per person", "value": outcome.unit or "measurement"}
    return {
        "outcome": outcome.name, "unit": units.get(outcome.measure, "events per person"), "basis": str(past.window),
        "spread": spread, "detectable": found, "worthwhile": outcome.worthwhile,
        "digits": 0 if outcome.measure == "cost" else 3,
    }  # fmt: skip


def _from_risk(outcome: Measure, risk: float, sizes: dict[str, float], basis: str) -> dict[str, Any]:
    from clinops.stats.power import detectable_difference_proportions

    fall, rise = np.nan, np.nan
    if np.isfinite(risk):
        fall, rise = detectable_difference_proportions(risk, sizes["exposed"], sizes["comparator"])
    seen = rise if outcome.better == "higher" or np.isnan(fall) else -fall
    return {
        "outcome": outcome.name, "unit": "per 1,000 persons", "basis": basis, "spread": 1000 * risk,
        "detectable": 1000 * seen, "digits": 1,
        "worthwhile": None if outcome.worthwhile is None else 1000 * outcome.worthwhile,
    }  # fmt: skip


def _power_sentence(frame: Any, primary: Measure | None) -> str:
    if primary is None:
        return "The protocol names no primary outcome."
    rows = [row for row in frame.to_dict("records") if row["outcome"] == primary.name]
    found = rows[len(rows) // 2]
    if not np.isfinite(float(found["detectable"] if found["detectable"] is not None else np.nan)):
        return f"No difference in {primary.name} could be seen."
    worth = found["worthwhile"]
    stated = worth is not None and np.isfinite(worth)
    size = f"the smallest worth having is {words.number(worth)}" if stated else "none is named as worth having"
    seen = f"{words.number(found['detectable'])} {found['unit']}"
    return f"{primary.name}: a difference of {seen} could be seen (power 80%); {size}."
