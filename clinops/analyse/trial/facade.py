"""`co.trial`: one file with one row a person, analysed as the randomised trial it came from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Exhibited
from clinops.analyse.bundle import documents_asked
from clinops.analyse.exhibits.gallery import RUN_FOLDER, Gallery
from clinops.analyse.trial import arms, comparisons, estimates, exhibits, front, observational, robustness, subgroups
from clinops.analyse.trial.estimates import Row
from clinops.analyse.trial.read import TrialData, opened, read
from clinops.define.trial import TrialPlan, matching, trial_plan
from clinops.results.front import FrontPage
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {
    "flow": "Figure 1", "known": "Table 1", "baseline": "Table 2", "check_baseline": "Table 3", "effects": "Table 4",
    "forest": "Figure 2", "detectable": "Table 5", "complier": "Table 6", "check_first_stage": "Table 7",
    "observational": "Figure 3", "multiplicity": "Table 8", "indices": "Table 9", "subgroups": "Figure 4",
    "truncation": "Table 10",
}  # fmt: skip


class Trial(Exhibited):
    """A programme that was offered to some, with one row a person; every exhibit is made when asked for.

    Parameters
    ----------
    data : from `read`.
    """

    def __init__(self, data: TrialData) -> None:
        self.data, self.plan = data, data.plan
        self._gallery = Gallery(
            NUMBERS, synthetic=False, min_cell=data.plan.min_cell, everything=lambda: self._everything()
        )

    # -- numbers -------------------------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> dict[str, list[Row]]:
        """Every estimate, by what it is; made once."""
        data = self.data
        itt, complier = estimates.itt_rows(data), estimates.complier_rows(data)
        return {
            "itt": itt,
            "complier": complier,
            "known": arms.known_rows(data),
            "baseline": arms.baseline_rows(data),
            "joint": arms.joint_rows(data),
            "observational": observational.observational_rows(data),
            "multiplicity": estimates.multiplicity_rows(data),
            "index": estimates.index_rows(data),
            "subgroup": subgroups.subgroup_rows(data),
            "take_up": subgroups.take_up_rows(data),
            "detectable": robustness.detectable_rows(data, itt, complier),
            "truncation": robustness.truncation_rows(data),
        }

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate as a row of the long schema, unrounded and before disclosure control."""
        from clinops.results.schema import estimates as typed

        r = self._rows
        rows = [
            *r["itt"], *estimates.mean_rows(r["itt"]), *r["complier"], *estimates.first_stage_rows(r["complier"]),
            *r["observational"], *estimates.adjusted_rows(r["multiplicity"], r["itt"]), *r["index"], *r["subgroup"],
            *subgroups.interaction_rows(r["subgroup"]), *r["take_up"], *r["baseline"], *r["joint"], *r["known"],
            *r["detectable"], *r["truncation"],
        ]  # fmt: skip
        notebook = os.environ.get("CLINOPS_NOTEBOOK")
        extra = {"notebook": notebook} if notebook else {}
        return typed([{**row, **extra} for row in estimates.long(rows)])

    # -- exhibits ------------------------------------------------------------------------------------------

    def _show(self, name: str, make: Any) -> Any:
        return self._gallery.show(name, make)

    @property
    def flow(self) -> Result:
        """Who is in each arm, and for whom the first outcome is known."""
        made = lambda: exhibits.flow(self.data, arms.flow_rows(self.data), self._rows["take_up"])  # noqa: E731
        return self._show("flow", made)

    @property
    def known(self) -> Check:
        """For how many of each arm every outcome is known."""
        return self._show("known", lambda: exhibits.known(self.plan, self._rows["known"]))

    @property
    def baseline(self) -> Result:
        """What was measured before the offer, by arm."""
        return self._show("baseline", lambda: exhibits.baseline(self.plan, self._rows["baseline"], self._rows["joint"]))

    @property
    def check_baseline(self) -> Check:
        """Whether the baseline variables together tell who was offered."""
        return self._show("check_baseline", lambda: exhibits.baseline_check(self._rows["joint"]))

    @property
    def effects(self) -> Result:
        """The effect of the offer on each outcome (intention to treat)."""
        return self._show("effects", lambda: exhibits.effects(self.plan, self._rows["itt"], self._rows["multiplicity"]))

    @property
    def forest(self) -> Result:
        """The same as a picture, in standard deviations."""
        return self._show("forest", lambda: exhibits.forest(self.plan, self._rows["itt"], self._rows["itt"]))

    @property
    def complier(self) -> Result:
        """The effect of taking part, by two-stage least squares."""
        return self._show("complier", lambda: exhibits.complier(self.plan, self._rows["complier"], self._rows["itt"]))

    @property
    def check_first_stage(self) -> Check:
        """Whether the offer moves the take-up enough to be an instrument."""
        return self._show("check_first_stage", lambda: exhibits.first_stage_check(self._rows["complier"]))

    @property
    def observational(self) -> Result:
        """What participants against non-participants would have said, beside the randomised answer."""
        r = self._rows
        return self._show(
            "observational",
            lambda: comparisons.observational(self.plan, r["observational"], r["complier"], r["itt"]),
        )

    @property
    def multiplicity(self) -> Result:
        """P values that account for the number of outcomes."""
        return self._show(
            "multiplicity", lambda: exhibits.multiplicity(self.plan, self._rows["multiplicity"], self._rows["itt"])
        )

    @property
    def indices(self) -> Result:
        """One effect for each family of outcomes."""
        return self._show("indices", lambda: exhibits.indices(self.plan, self._rows["index"]))

    @property
    def subgroups(self) -> Result:
        """Effects and take-up by subgroup, each tested once."""
        r = self._rows
        return self._show("subgroups", lambda: comparisons.subgroups(self.plan, r["subgroup"], r["take_up"], r["itt"]))

    @property
    def detectable(self) -> Result:
        """The smallest effects this trial would have found."""
        return self._show(
            "detectable", lambda: comparisons.detectable(self.plan, self._rows["detectable"], self._rows["itt"])
        )

    @property
    def truncation(self) -> Result:
        """The effects with large values cut."""
        return self._show(
            "truncation", lambda: comparisons.truncation(self.plan, self._rows["truncation"], self._rows["itt"])
        )

    @property
    def checks(self) -> tuple[Check, ...]:
        """Checks that could have failed."""
        checks = [self.known, self.check_baseline]
        return (*checks, self.check_first_stage) if self._rows["complier"] else tuple(checks)

    @property
    def front_page(self) -> FrontPage:
        """The whole trial as a structured abstract."""
        r, strip = self._rows, None
        if self.plan.assignment == "random" and r["complier"]:
            made = front.strip(self.plan, r["observational"], r["complier"])
            strip = None if made is None else self._show("strip", lambda: made)
        main = self._show("main", lambda: front.main_table(self.plan, r["itt"]))
        return front.page(
            self.data, r["itt"], r["detectable"][0], r["take_up"], r["multiplicity"], self.checks, main, strip
        )

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit in the order of the report."""
        return (*self.front_page.results, *(getattr(self, name) for name in NUMBERS))

    def _everything(self) -> object:
        return self.exhibits

    def write(self, folder: str | Path | None = None) -> Path | None:
        """Write results, tables, figures and the plan into a folder; see `Study.write`."""
        from clinops.results import bundle

        target = folder or os.environ.get(RUN_FOLDER)
        if not target:
            return None
        page, plan = self.front_page, self.plan
        summary = {
            "title": plan.title, "data": self.data.name, "date_range": plan.period or "not stated", "synthetic": False,
            "cleared": False, "verdicts": [{"label": "Verdict", "text": page.conclusion, "status": page.verdict}],
            "failed_checks": [check.title for check in page.failed],
        }  # fmt: skip
        identity = {
            "name": self.data.name, "fingerprint": self.data.fingerprint, "persons": self.data.persons_in_file,
            "model": "one row a person",
        }  # fmt: skip
        return bundle.write(
            target, results=self.exhibits, estimates=self.estimates, protocol=plan, source_identity=identity,
            summary=summary, min_cell=plan.min_cell, page=page, documents=documents_asked(),
        )  # fmt: skip

    def __str__(self) -> str:
        return "\n\n".join(str(exhibit) for exhibit in (self.front_page, *self.exhibits))

    def _repr_html_(self) -> str:
        return self.front_page._repr_html_()


def trial(
    file: str | Path,
    *,
    offer: str,
    outcomes: Sequence[str],
    take_up: str | None = None,
    weights: Sequence[str] = (),
    strata: Sequence[str] = (),
    covariates: Sequence[str] = (),
    subgroups: Sequence[str] = (),
    clusters: str | None = None,
    **more: Any,
) -> Trial:
    """Analyse an offered programme from a file with one row a person (CSV or Parquet).

    Parameters
    ----------
    file : one row a person. offer : column of the (random) offer, 1 or 0.
    take_up : column of what was taken up, 1 or 0; empty for those not offered, who could not, counts as 0.
    outcomes : columns; the first is primary.
    weights : columns, one for each outcome, or one for all; "" is none.
    strata : columns of the randomisation; their cells have an effect of their own.
    covariates : columns measured before the offer that the effects are adjusted for.
    subgroups : columns whose levels have an effect each, tested once; many-valued numbers are split at the median.
    clusters : column of the clusters that were randomised (or sampled); errors are then CR1.
        Names of covariates, subgroups, baseline and compare_on may be patterns (spend_*), which stand for the columns
        of the file that they fit (none, if need be); a plain name must be there. Baseline and compare_on are the
        covariates where they name nothing.
    **more : baseline, baseline_labels, baseline_weights, baseline_groups; families, indices, labels, units,
        multipliers, better (lists beside outcomes); compare_on, truncate_at; within_column and within_value (only
        rows with this value); assignment ("random" or "observed"), strata_as ("cells" or "additive"),
        one_armed_strata ("refuse" or "keep"), missing_covariates ("set aside" or "indicator"), interval ("t" or
        "normal"), complier_se ("HC0" or "HC1"), bootstrap, seed, worthwhile, title, offered, not_offered, period,
        min_cell. `TrialPlan` and the notebook say what each is.

    Raises
    ------
    DefinitionError, DataError, SourceError : before anything is estimated; a wrong name with the nearest right one.

    Examples
    --------
    >>> trial = co.trial("people.csv", offer="treat", take_up="joined", outcomes=["spend"])  # doctest: +SKIP
    """
    import dataclasses

    from clinops.errors import DefinitionError, unknown

    known = {field.name for field in dataclasses.fields(TrialPlan)}
    for name in more:
        if name not in known:
            raise DefinitionError(unknown("argument of co.trial", name, known))
    table = opened(file)
    taken = (offer, take_up or "", *outcomes)
    lists: dict[str, Any] = {"covariates": covariates, "subgroups": subgroups}
    lists |= {name: more.pop(name, ()) for name in ("baseline", "compare_on")}
    columns = [str(name) for name in table.frame.columns]
    lists = {name: matching(names, columns, taken) for name, names in lists.items()}
    if not lists["baseline"]:  # what effects are adjusted for was measured before the offer
        lists["baseline"] = tuple(n for n in lists["covariates"] if _is_number(table.frame, n))
        more = {name: value for name, value in more.items() if not name.startswith("baseline_")}
    lists["compare_on"] = lists["compare_on"] or lists["covariates"]
    plan = trial_plan(
        tuple(outcomes), offer=offer, take_up=take_up or None, weights=tuple(weights), strata=tuple(strata),
        clusters=clusters or None, **lists, **more,
    )  # fmt: skip
    return Trial(read(table, plan))


def _is_number(frame: pd.DataFrame, name: str) -> bool:
    return name in frame.columns and frame[name].dtype.kind in "biuf"
