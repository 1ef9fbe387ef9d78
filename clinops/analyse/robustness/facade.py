"""`co.robustness`: one study's answer under everything that could have made it, each exhibit made once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.effects import Row
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.robustness import confounding, missing, placebo, pre_post, record, specifications
from clinops.analyse.robustness.setting import Setting, setting_of
from clinops.define.base import whole
from clinops.define.fields import several
from clinops.define.protocol import Protocol
from clinops.define.protocol import protocol as read_protocol
from clinops.errors import DefinitionError
from clinops.results.result import Check, Column, Result, absent

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {
    "robustness": "Table 1", "specification_curve": "Figure 1", "tipping_point": "Figure 2", "e_values": "Table 2",
    "negative_control_outcomes": "Figure 3", "calibration": "Table 3", "placebo_period": "Table 4",
    "placebo_date": "Table 5", "capture": "Table 6", "end_of_observation": "Figure 4", "misclassification": "Table 7",
    "missing_covariates": "Table 8", "missing_outcomes": "Table 9", "unmatched": "Table 10",
    "change_before_after": "Table 11", "before_after": "Figure 5",
}  # fmt: skip
ORDER = (
    "curve", "tipping", "e_values", "negative_controls", "calibration", "placebo_period", "placebo_date", "capture",
    "end_of_observation", "misclassification", "missing_covariates", "missing_outcomes", "unmatched", "change",
    "before_after",
)  # fmt: skip
BESIDE = ("choices", "main", "share_exposed", "share_comparator")
"""What rows carry beside the columns of the results schema, for their own exhibit."""


class Robustness(Readable, Analysis):
    """The primary outcome of a study under other choices, and what could explain its answer away.

    Parameters
    ----------
    study : from ``protocol.on(source)``.
    Others : see `robustness`.
    """

    def __init__(
        self, study: Any, outcome: str = "", sensitivity: Sequence[float] = (0.8, 0.95),
        specificity: Sequence[float] = (0.98, 1.0), draws: int = 10_000, imputations: int = 10,
        last_contact: Sequence[int] = (90, 180, 365), placebo_shift: int | None = None,
    ) -> None:  # fmt: skip
        self._asked = _Asked(outcome, sensitivity, specificity, draws, imputations, last_contact, placebo_shift)
        self.study = study
        self._setting: Setting = setting_of(study)
        record.chosen_event(self._setting, outcome)
        self._gallery = Gallery(
            NUMBERS, synthetic=study.source.synthetic, min_cell=study.protocol.min_cell,
            everything=lambda: self.exhibits,
        )  # fmt: skip

    # --- rows, each made once ---------------------------------------------------------------------

    @cached_property
    def _main(self) -> list[Row]:
        return confounding.main_rows(self._setting)

    @cached_property
    def _controls(self) -> list[Row]:
        return confounding.control_rows(self._setting)

    @cached_property
    def _curve(self) -> list[Row]:
        return specifications.specification_rows(self._setting)

    @cached_property
    def _ends(self) -> list[Row]:
        return record.end_rows(self._setting, self._asked.last_contact)

    @cached_property
    def _covariates(self) -> list[Row]:
        return missing.covariate_rows(self._setting, self._asked.imputations)

    @cached_property
    def _bounds(self) -> tuple[Result, list[Row]]:
        return missing.outcome_bounds(self._setting)

    @cached_property
    def _placebos(self) -> tuple[placebo.Placebo, placebo.Placebo]:
        return placebo.period(self._setting), placebo.date(self._setting, self._asked.placebo_shift)

    @cached_property
    def _change(self) -> pre_post.Change | str:
        return pre_post.change_of(self._setting)

    # --- exhibits ---------------------------------------------------------------------------------

    @property
    def curve(self) -> Result:
        """Every specification, sorted."""
        return self._show("specification_curve", lambda: specifications.specification_curve(self._setting, self._curve))

    @property
    def tipping(self) -> Result:
        """What an unmeasured confounder would have to be."""
        return self._show("tipping_point", lambda: confounding.tipping(self._setting, self._told))

    @property
    def _told(self) -> Row:
        """The main effect on the scale on which it is told: an absolute one, a ratio for a hazard."""
        scale = self._setting.relative if self._setting.outcome.measure == "time to" else self._setting.main
        return next(row for row in self._main if row["scale"] == scale)

    @property
    def e_values(self) -> Check:
        """E-value: a statement, never a verdict."""
        return self._show("e_values", lambda: confounding.e_values(self._setting, self._main))

    @property
    def negative_controls(self) -> Check:
        """Outcomes that the exposure cannot change."""
        return self._show(
            "negative_control_outcomes", lambda: confounding.negative_controls(self._setting, self._controls)
        )

    @property
    def calibration(self) -> Result:
        """Ratios calibrated by the negative controls, from twenty on."""
        make = lambda: confounding.calibration(  # noqa: E731
            self._setting, self._controls, confounding.outcome_ratios(self._setting)
        )
        return self._show("calibration", make)

    @property
    def placebo_period(self) -> Result:
        """The outcome before the covariates begin."""
        return self._show("placebo_period", lambda: placebo.placebo_check(self._setting, self._placebos[0]))

    @property
    def placebo_date(self) -> Result:
        """The analysis on a date on which nothing began."""
        return self._show("placebo_date", lambda: placebo.placebo_check(self._setting, self._placebos[1]))

    @property
    def capture(self) -> Check:
        """Contacts per observed month by arm."""
        return self._show("capture", lambda: record.capture(self._setting))

    @property
    def end_of_observation(self) -> Result:
        """The outcome under other ends of observation."""
        return self._show("end_of_observation", lambda: record.end_of_observation(self._setting, self._ends))

    @property
    def misclassification(self) -> Result:
        """A risk if the outcome is recorded with error."""
        a = self._asked
        return self._show(
            "misclassification",
            lambda: record.misclassification(self._setting, a.outcome, a.sensitivity, a.specificity, a.draws),
        )

    @property
    def missing_covariates(self) -> Result:
        """Missing covariates as a level of their own, filled in, and left out."""
        return self._show("missing_covariates", lambda: missing.missing_covariates(self._setting, self._covariates))

    @property
    def missing_outcomes(self) -> Result:
        """Bounds and shifts for those who left."""
        return self._show("missing_outcomes", lambda: self._bounds[0])

    @property
    def unmatched(self) -> Result:
        """Bounds for the exposed without a match."""
        title = "What of the exposed without a match?"
        nobody = "every exposed entry is in the analysis (no matching, or all found a match)."
        return self._show("unmatched", lambda: missing.unmatched(self._setting) or absent("unmatched", title, nobody))

    @property
    def change(self) -> Result:
        """The exposed alone, before and after, beside their regression to the mean."""
        return self._show("change_before_after", lambda: pre_post.change_table(self._setting, self._change))

    @property
    def before_after(self) -> Result:
        """The same as a picture."""
        make = lambda: pre_post.change_figure(  # noqa: E731
            self._setting, pre_post.change_table(self._setting, self._change)
        )
        return self._show("before_after", make)

    @property
    def summary(self) -> Result:
        """Every question with its finding and its verdict."""
        return self._show("robustness", self._summary)

    def _summary(self) -> Result:
        import pandas as pd

        made = [getattr(self, name) for name in ORDER if name != "before_after"]
        lines = [
            {"question": one.title, "finding": one.sentence, "verdict": one.verdict if isinstance(one, Check) else "–",
             "where": NUMBERS[one.name]}
            for one in made
        ]  # fmt: skip
        columns = (Column("question", "Question"), Column("verdict", "Verdict"), Column("finding", "Finding"),
                   Column("where", "Where"))  # fmt: skip
        checks = [one for one in made if isinstance(one, Check)]
        failed = [one for one in checks if one.passed is False]
        passed = sum(one.passed is True for one in checks)
        said = f"{self._setting.outcome.name}: {passed} of {len(checks)} checks passed, {len(failed)} failed"
        said += f" ({'; '.join(NUMBERS[one.name] for one in failed)})." if failed else "."
        note = "Only checks have a verdict. The other exhibits say how far the answer moves; a reader judges."
        return Result("robustness", f"How much does the answer rest on? {self._setting.outcome.name}",
                      pd.DataFrame(lines), columns, (note,), said)  # fmt: skip

    # --- out --------------------------------------------------------------------------------------

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        rows = [*self._main, *self._controls, *(_flat(row) for row in self._curve), *self._ends, *self._covariates]
        rows += [row for one in self._placebos for row in (one.row, one.crude) if row is not None]
        rows += [*self._bounds[1], *pre_post.change_rows(self._setting, self._change)]
        return estimates([{k: v for k, v in row.items() if k not in BESIDE} for row in rows])

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return (self.summary, *(getattr(self, name) for name in ORDER))

    def bundle(self) -> Bundle:
        """What `write` writes."""
        shown = self.exhibits
        p = self.study.protocol
        return Bundle(
            f"Robustness: {p.title}", shown, self.study.source, protocol=p, findings=self.study.findings,
            estimates=self.estimates, min_cell=p.min_cell,
            failed=tuple(c.title for c in shown if isinstance(c, Check) and c.passed is False),
        )  # fmt: skip


class _Asked:
    """What a user asked for, checked before anything is read."""

    def __init__(
        self, outcome: str, sensitivity: Sequence[float], specificity: Sequence[float], draws: int, imputations: int,
        last_contact: Sequence[int], placebo_shift: int | None,
    ) -> None:  # fmt: skip
        self.outcome, self.draws, self.imputations = outcome, draws, imputations
        self.sensitivity, self.specificity = _range("sensitivity", sensitivity), _range("specificity", specificity)
        if not self.sensitivity[0] + self.specificity[0] > 1:
            raise DefinitionError(
                f"sensitivity from {self.sensitivity[0]:g} and specificity from {self.specificity[0]:g} add up to 1 "
                "or less: such a record says nothing of the outcome. Raise one of them."
            )
        whole("draws", draws, 100, 1_000_000)
        whole("imputations", imputations, 2, 200)
        self.last_contact = several(last_contact, "last_contact")
        for days in self.last_contact:
            whole("last_contact, days after the last visit,", days, 0, 3650)
        self.placebo_shift = placebo_shift
        if placebo_shift is not None:
            whole("placebo_shift", placebo_shift, 1, 36_500)


def _range(name: str, given: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(end) for end in given)
    except (TypeError, ValueError):
        raise DefinitionError(
            f"{name} is {given!r}; give the least and the most it can be, such as (0.8, 0.95)."
        ) from None
    if not 0 < low <= high <= 1:
        raise DefinitionError(f"{name} is {low:g} to {high:g}; give two shares from above 0 to 1, the least first.")
    return low, high


def _flat(row: Row) -> Row:
    """A specification as a row of the schema: its choices as words."""
    return row | {"level": "; ".join(row["choices"].values())}


def robustness(
    protocol: Protocol | str | Path, source: Any, *, outcome: str = "", sensitivity: Sequence[float] = (0.8, 0.95),
    specificity: Sequence[float] = (0.98, 1.0), draws: int = 10_000, imputations: int = 10,
    last_contact: Sequence[int] = (90, 180, 365), placebo_shift: int | None = None,
    register: str | Path | None = None,
) -> Robustness:  # fmt: skip
    """Try the primary outcome of a protocol on a source under everything that could have made its answer.

    Parameters
    ----------
    protocol : or its file. source : from `connect`.
    outcome : whose recording is doubted, by name, of those that count events; the primary one, else the first that is
        no death, where not given.
    sensitivity, specificity : from the least to the most that the record of that outcome may have.
    draws : of the probabilistic bias analysis. imputations : of missing covariates.
    last_contact : days after the last visit at which observation could have ended.
    placebo_shift : days by which index dates are moved back for the placebo date; where not given, the length of the
        outcome's window and a day (and then it is not judged).
    register : the file in which the plan was locked; that outcomes are read is written there.

    Raises
    ------
    DefinitionError : ranges that cannot be, an unknown outcome, no outcome. DesignError : the protocol's lint errors.
    DataError : the records give none of its outcomes.
    """
    _Asked(outcome, sensitivity, specificity, draws, imputations, last_contact, placebo_shift)
    plan = protocol if isinstance(protocol, Protocol) else read_protocol.read(protocol)
    study = plan.on(source, register=register)
    return Robustness(study, outcome, sensitivity, specificity, draws, imputations, last_contact, placebo_shift)
