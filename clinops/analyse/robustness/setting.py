"""What every sensitivity analysis starts from: a study, its primary outcome, the scales on which it is told."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from clinops.analyse.adjust import Adjusted, adjust
from clinops.analyse.dataset import Dataset, Floats
from clinops.analyse.effects import MAIN, RELATIVE, Row, effects
from clinops.build.outcomes import overlap
from clinops.define.measures import EVENT_KINDS, Measure
from clinops.define.protocol import Adjustment, Protocol
from clinops.errors import DataError, DefinitionError
from clinops.results.result import Column

PER_TIME = {
    "cost": "PMPM difference", "count": "rate difference", "time to": "rate difference",
    "days at home": "rate difference", "any": "risk difference", "value": "mean difference",
}  # fmt: skip
"""The absolute scale that can be compared where follow-up differs in length, by kind of measure."""

COUNTS = ("n_exposed", "n_comparator")
EVENTS = ("events_exposed", "events_comparator")
NUMBERS = ("value_exposed", "value_comparator", "estimate", "std_error", "conf_low", "conf_high", "p_value")
MONEY_SCALES = ("mean difference", "PMPM difference")


@dataclass(frozen=True, eq=False)
class Setting:
    """A study and the outcome whose answer is tried.

    Attributes
    ----------
    study : from ``protocol.on(source)``. outcome : over the days that are really watched.
    """

    study: Any
    outcome: Measure

    @property
    def protocol(self) -> Protocol:
        """The design."""
        design: Protocol = self.study.protocol
        return design

    @property
    def data(self) -> Dataset:
        """Baseline and outcomes as arrays."""
        found: Dataset = self.study.data
        return found

    @property
    def adjusted(self) -> Adjusted:
        """The main adjustment."""
        made: Adjusted = self.study.adjusted
        return made

    @property
    def weighted(self) -> Adjusted:
        """The main adjustment, or weights of its estimand where it models the outcome and so has none."""
        made: Adjusted = self.study.weighted
        return made

    @property
    def of(self) -> tuple[str, ...]:
        """The columns of counts that an effect on the outcome can be solved for."""
        return (*COUNTS, *EVENTS) if self.outcome.measure in EVENT_KINDS else COUNTS

    def few(self, measure: Measure) -> str:
        """Why nothing made of an outcome's events can be shown: an arm has too few of them; empty where it can."""
        if measure.measure not in EVENT_KINDS:
            return ""
        happened, used = np.nan_to_num(self.data.column(measure)) > 0, self.weighted.weights > 0
        arms = [int((happened & used & arm).sum()) for arm in (self.data.exposed, ~self.data.exposed)]
        least = self.protocol.min_cell
        few = any(0 < n < least for n in arms)
        return (
            f"fewer than {least} persons of an arm had {measure.name}, and the numbers give away how many."
            if few
            else ""
        )

    @property
    def names(self) -> tuple[str, str]:
        """Of the arms."""
        return self.protocol.exposed.name, self.protocol.comparator.name

    @property
    def main(self) -> str:
        """The absolute scale of the main analysis."""
        return MAIN[self.outcome.measure]

    @property
    def relative(self) -> str:
        """The relative scale."""
        return RELATIVE[self.outcome.measure]

    @property
    def rate(self) -> str:
        """The absolute scale per time."""
        return PER_TIME[self.outcome.measure]

    @cached_property
    def crude(self) -> Adjusted:
        """No adjustment."""
        return adjust(self.data, (), Adjustment("none"), cluster=self.protocol.cluster)

    def row(self, data: Dataset, measure: Measure, adjusted: Adjusted, scale: str, **said: Any) -> Row:
        """One effect as a row of the results schema."""
        months = member_months_of(data, measure) if measure.measure == "cost" else None
        made = effects(data, measure, adjusted, months=months, **said)
        return self.named(next(row for row in made if row["scale"] == scale))

    def again(self, data: Dataset, measure: Measure, adjustment: Adjustment, scale: str, **said: Any) -> Row:
        """One effect under an adjustment made anew on these rows; what cannot be made is a row that says why."""
        p = self.protocol
        try:
            made = adjust(data, p.covariates, adjustment, cluster=p.cluster, seed=p.seed)
        except DataError as problem:
            return self.named(said | {
                "measure": measure.name, "role": measure.role, "period": str(measure.window), "scale": scale,
                "method": adjustment.method, "adjustment": adjustment.label, "estimate": None, "note": str(problem),
                "n_exposed": int(data.exposed.sum()), "n_comparator": int((~data.exposed).sum()),
            })  # fmt: skip
        return self.row(data, measure, made, scale, **said)

    def named(self, row: Row) -> Row:
        """The row with the arms, the notebook, the currency in its unit, and nothing where it has no number."""
        said = dict.fromkeys(NUMBERS) | {
            "exposed": self.names[0], "comparator": self.names[1], "notebook": os.environ.get("CLINOPS_NOTEBOOK", ""),
        }  # fmt: skip
        unit = row.get("unit")
        return said | row | {"unit": unit.replace("currency", self.study.currency) if unit else unit}

    def within(self, measure: Measure, protocol: Protocol | None = None) -> Measure:
        """A measure over the days that are really watched."""
        window = overlap(measure.window, (protocol or self.protocol).follow_up.window)
        return dataclasses.replace(measure, window=window or measure.window)

    def effect_column(self, scale: str, unit: str) -> Column:
        """The column that prints an absolute effect with its interval."""
        money = scale in MONEY_SCALES and self.outcome.measure == "cost"
        per = unit.removeprefix(self.study.currency) if money else ""
        kind, shown = ("money", self.study.currency) if money else ("number1", unit)
        return Column(
            "estimate", f"Difference{per} (95% CI)", kind, shown, low="conf_low", high="conf_high", of=self.of
        )

    @property
    def person(self) -> tuple[float, str]:
        """By what a person's outcome is multiplied to be told, and the unit of its mean."""
        told = {
            "cost": (1.0, f"{self.study.currency} per person"), "days at home": (1.0, "days per person"),
            "count": (1000.0, "events per 1,000 persons"), "value": (1.0, "measurement"),
        }  # fmt: skip
        return told.get(self.outcome.measure, (1000.0, "per 1,000 persons"))

    def amount(self, unit: str) -> tuple[str, str]:
        """Format and unit of a column of outcome amounts: money by its currency, else numbers in the unit."""
        return ("money", self.study.currency) if self.outcome.measure == "cost" else ("number1", unit)

    def arm_columns(self) -> tuple[Column, Column]:
        """Persons of either arm."""
        return (
            Column("n_exposed", self.names[0], "count", "persons"),
            Column("n_comparator", self.names[1], "count", "persons"),
        )


def setting_of(study: Any) -> Setting:
    """Take the primary outcome of a study, else its first that the records give.

    Raises
    ------
    DefinitionError : the protocol has no outcome. DataError : the records can give none of them.
    """
    p = study.protocol
    if not p.outcomes:
        raise DefinitionError("The protocol has no outcome whose answer could be tried; give outcomes=(...).")
    chosen = [m for m in (p.primary, *p.outcomes) if m is not None and study.data.has(m)]
    if not chosen:
        raise DataError("The records give none of the protocol's outcomes, so there is no answer to try.")
    window = overlap(chosen[0].window, p.follow_up.window) or chosen[0].window
    return Setting(study, dataclasses.replace(chosen[0], window=window))


def member_months_of(data: Dataset, measure: Measure) -> Floats:
    """(n,) member-months of each row within a measure's window."""
    from clinops.analyse.months import member_months

    start = 1.0 if measure.window is None or measure.window.start is None else float(measure.window.start)
    index = data.baseline["index_date"].to_numpy(dtype="datetime64[D]")
    return member_months(index, np.full(len(data), start), start + data.days(measure) - 1)


def forest_data(frame: Any, label: str) -> Any:
    """Rows of the schema as marks of a forest."""
    data = frame.rename(columns={label: "label", "conf_low": "low", "conf_high": "high"})
    counts = [name for name in (*COUNTS, *EVENTS) if name in data]
    return data[["label", "estimate", "low", "high", *counts]].reset_index(drop=True)


def number(value: Any) -> float:
    """A cell as a number; missing in any spelling is NaN."""
    import pandas as pd

    return float("nan") if value is None or pd.isna(value) else float(value)
