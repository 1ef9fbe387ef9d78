"""A cost analysis: two arms, a ledger and the terms, with every stage made once and every exhibit protected."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis
from clinops.analyse.bundle import Bundle
from clinops.analyse.checks import summary
from clinops.analyse.costs import (
    checks,
    decide,
    describe,
    front,
    horizon,
    ledger_tables,
    models,
    robust,
    split,
    terms,
    value,
)
from clinops.analyse.costs.rows import CostRows, study_rows
from clinops.analyse.costs.stake import Stake, stake
from clinops.analyse.exhibits.gallery import Gallery
from clinops.define.cost_plan import CostPlan
from clinops.define.protocol import Protocol
from clinops.define.protocol import protocol as read_protocol
from clinops.errors import DefinitionError
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from clinops.results.front import FrontPage

NUMBERS = {
    "cost_terms": "Table 1", "cost_detectable": "Table 2", "ledger_rules": "Table 3", "ledger_outside": "Table 4a",
    "ledger_pmpm": "Table 4b", "ledger_completion": "Table 4c",
    "cost_distribution": "Table 5", "cost_pmpm": "Table 6", "cost_effects": "Table 7", "price_and_use": "Table 8",
    "cost_model_tests": "Table 9", "cost_truncation": "Table 10", "cost_money": "Table 11",
    "cost_perspectives": "Table 12", "cost_value": "Table 13", "checks": "Table 14",
    "cost_check_plausible": "Table 14a", "cost_check_tails": "Table 14b", "cost_check_observed": "Table 14c",
    "cost_check_run_out": "Table 14d", "cost_check_prices": "Table 14e",
    "ledger_calendar": "Figure 1", "cost_concentration": "Figure 2", "cost_trend": "Figure 3",
    "cumulative_cost": "Figure 4", "cost_models": "Figure 5", "cost_waterfall": "Figure 6", "cost_budget": "Figure 7",
    "cost_plane": "Figure 8", "cost_acceptability": "Figure 9",
}  # fmt: skip

ORDER = (
    "terms", "detectable", "rules", "outside", "ledger_pmpm", "completion", "calendar", "distribution",
    "concentration", "pmpm", "trend",
    "cumulative", "effects", "price_and_use", "models", "model_tests", "truncation", "money", "waterfall",
    "perspectives", "budget", "value", "plane", "acceptability", "check_list",
)  # fmt: skip


class CostOfCare(Analysis):
    """What a programme did to the cost of care, on stated terms.

    Parameters
    ----------
    read : makes the rows of both arms from a ledger and a plan.
    ledger : claims and enrolment.
    plan : the terms.
    source : the records, for what identifies them.
    study : the study whose persons these are; None where a file names them.
    min_cell : counts from 1 to one less are not shown.
    """

    def __init__(
        self, read: Callable[[Any, CostPlan], CostRows], ledger: Any, plan: CostPlan, source: Any, study: Any = None,
        min_cell: int = 11,
    ) -> None:  # fmt: skip
        self._read, self.ledger, self.plan, self.source, self.study = read, ledger, plan, source, study
        self.rows = read(ledger, plan)
        self.min_cell = min_cell
        self._gallery = Gallery(
            NUMBERS, synthetic=bool(source.synthetic), min_cell=min_cell, everything=self._everything
        )

    # --- before any result ----------------------------------------------------------------------

    @property
    def terms(self) -> Result:
        """Whose money, at which prices, over what horizon."""
        return self._show("cost_terms", lambda: terms.terms(self.rows, self.plan, self.ledger.amount))

    @property
    def detectable(self) -> Result:
        """The smallest saving that these persons could have shown."""
        return self._show("cost_detectable", lambda: terms.detectable(self.rows))

    @property
    def rules(self) -> Result:
        """The ledger's rules, each with what it touched."""
        return self._show("ledger_rules", lambda: ledger_tables.rules(self.ledger.books, self.min_cell))

    @property
    def outside(self) -> Result:
        """Claims outside enrolment."""
        return self._show("ledger_outside", lambda: ledger_tables.outside(self.ledger.books, self.min_cell))

    @property
    def ledger_pmpm(self) -> Result:
        """Cost per member-month of everybody in the ledger, by both rules for member-months."""
        return self._show("ledger_pmpm", lambda: ledger_tables.pmpm(self.ledger.books))

    @property
    def completion(self) -> Result:
        """How complete the claims of each month of service are."""
        return self._show("ledger_completion", self._completion)

    def _completion(self) -> Result:
        if "paid_date" in self.ledger.books.raw.has:
            return ledger_tables.completion(self.ledger.books)
        reason = "The claims have no paid date, so nothing says how fast they come in."
        return value.nothing("ledger_completion", "Run-out: how complete the claims are", reason)

    @property
    def calendar(self) -> Result:
        """Cost per member-month by calendar month, with what is not complete yet."""
        return self._show("ledger_calendar", lambda: describe.calendar(self.ledger.books, self.min_cell))

    # --- what was spent -------------------------------------------------------------------------

    @property
    def distribution(self) -> Result:
        """Cost per person as it is spread."""
        return self._show("cost_distribution", lambda: describe.distribution(self.rows))

    @property
    def concentration(self) -> Result:
        """Which share of the cost falls on which share of the persons."""
        return self._show("cost_concentration", lambda: describe.concentration(self.rows))

    @property
    def pmpm(self) -> Result:
        """Cost per member-month by category."""
        return self._show("cost_pmpm", lambda: describe.member_months(self.rows))

    @property
    def trend(self) -> Result:
        """Cost per member-month by month from index."""
        return self._show("cost_trend", lambda: describe.trend(self.rows))

    # --- what the programme changed -------------------------------------------------------------

    @cached_property
    def estimate_rows(self) -> list[dict[str, Any]]:
        """Every estimate as a row of the results schema, not yet protected."""
        rows = horizon.horizon_rows(self.rows) + horizon.month_rows(self.rows) + horizon.death_rows(self.rows)
        rows += describe.pmpm_rows(self.rows)
        rows += horizon.horizon_rows(horizon.crude(self.rows)) if self.rows.adjustment != "crude" else []
        rows += split.split_rows(self.rows, self.standard)
        rows += models.model_rows(self.rows) + horizon.censored_rows(self.rows)
        rows += models.bootstrap_rows(self.rows, self.plan.replicates, self.plan.seed)
        rows += models.quantile_rows(self.rows) + robust.truncation_rows(self.rows)
        rows += decide.decision_rows(self.stake) + value.value_rows(self.stake, self.plan.effect, self.effect_unit)
        notebook = os.environ.get("CLINOPS_NOTEBOOK", "")
        return [{"notebook": notebook} | row for row in rows]

    @cached_property
    def standard(self) -> CostRows:
        """The same persons' care at standard prices, in both arms and all years."""
        return self._read(self.ledger.at_standard_prices(), replace(self.plan, prices=None))

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema."""
        from clinops.results.schema import estimates

        return estimates(self.estimate_rows)

    @property
    def cumulative(self) -> Result:
        """The primary exhibit: cumulative cost per person to the horizon, deaths beside it."""
        return self._show("cumulative_cost", lambda: horizon.cumulative(self.rows))

    @property
    def effects(self) -> Result:
        """The effect by category, adding up to the total."""
        return self._show("cost_effects", lambda: horizon.category_table(self._main_rows, self.rows))

    @property
    def _main_rows(self) -> list[dict[str, Any]]:
        return [row for row in self.estimate_rows if row["adjustment"] == self.rows.adjustment]

    @property
    def price_and_use(self) -> Result:
        """The difference split into prices paid and care used."""
        return self._show("price_and_use", lambda: split.split_table(self.rows, self.standard))

    @property
    def models(self) -> Result:
        """The same persons under other models of cost."""
        return self._show("cost_models", lambda: models.models_table(self._main_rows, self.rows))

    @property
    def model_tests(self) -> Result:
        """What the costs say of the models."""
        return self._show("cost_model_tests", lambda: robust.model_tests(self.rows))

    @property
    def truncation(self) -> Result:
        """How much of the answer rests on the dearest persons."""
        return self._show("cost_truncation", lambda: robust.truncation_table(self._main_rows, self.rows))

    # --- from effect to decision ----------------------------------------------------------------

    @cached_property
    def stake(self) -> Stake:
        """Savings, fee and effect with how they vary together."""
        return stake(self.rows, self.plan)

    @property
    def money(self) -> Result:
        """Gross, fee, net, break-even fee and return."""
        return self._show("cost_money", lambda: decide.money_table(self.stake))

    @property
    def waterfall(self) -> Result:
        """The difference by category, then the fee, then the net."""
        return self._show("cost_waterfall", lambda: decide.waterfall(self.stake))

    @property
    def perspectives(self) -> Result:
        """Whose money a saving is, and what of it is cash."""
        return self._show("cost_perspectives", lambda: decide.perspectives(self.stake))

    @property
    def budget(self) -> Result:
        """Budget impact by year."""
        return self._show("cost_budget", lambda: decide.budget(self.stake))

    @property
    def effect_unit(self) -> str:
        """The unit of the effect in the singular."""
        return front.effect_unit(self.plan.effect, self.study)

    @property
    def value(self) -> Result:
        """Cost against effect: the ratio and the net benefit."""
        return self._show("cost_value", lambda: value.value_table(self.stake, self.plan.effect, self.effect_unit))

    @property
    def plane(self) -> Result:
        """The cost-effectiveness plane."""
        return self._show("cost_plane", lambda: value.plane(self.stake, self.plan.effect, self.effect_unit))

    @property
    def acceptability(self) -> Result:
        """The acceptability curve."""
        make = lambda: value.acceptability(self.stake, self.plan.effect, self.effect_unit)  # noqa: E731
        return self._show("cost_acceptability", make)

    # --- checks and the answer ------------------------------------------------------------------

    @property
    def checks(self) -> tuple[Check, ...]:
        """Everything that could show the answer to be wrong."""
        made = {
            "cost_check_plausible": lambda: checks.plausibility(self.stake),
            "cost_check_tails": lambda: checks.tails(self.rows),
            "cost_check_observed": lambda: checks.observation(self.rows),
            "cost_check_run_out": lambda: checks.run_out(self.rows, self.ledger.complete_to),
            "cost_check_prices": lambda: checks.prices(self.rows, self.rows.years, self.plan.prices is not None),
        }
        return tuple(self._show(name, make) for name, make in made.items())

    @property
    def check_list(self) -> Result:
        """Every check with its verdict."""
        return self._show("checks", lambda: summary(self.checks))

    @property
    def main(self) -> Result:
        """Cost of care, fee, net, deaths and cost per member-month, for the first page."""
        return self._show("cost_main", lambda: front.main_table(self.rows, self.stake))

    @property
    def strip(self) -> Result:
        """Naive beside adjusted, for the first page."""
        return self._show("cost_strip", lambda: front.strip(self.rows, self.truth))

    @cached_property
    def truth(self) -> float | None:
        """The true difference in cost, on simulated records whose truth is of the same year; else None."""
        same = self.plan.horizon_months == 12 and self.plan.prices is None and self.ledger.amount == "allowed"
        primary = None if self.study is None else self.study.protocol.primary
        if not same or primary is None or primary.measure != "cost" or primary.category != "total":
            return None
        return self.study.truth

    @cached_property
    def front_page(self) -> FrontPage:
        """The whole analysis as a structured abstract."""
        return front.front_page(self)

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return (*self.front_page.results, *(getattr(self, name) for name in ORDER), *self.checks)

    def _everything(self) -> None:
        """Ask for every exhibit; the front page made of them before they were protected is not kept."""
        _ = self.exhibits
        self.__dict__.pop("front_page", None)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        page = self.front_page
        study = self.study
        return Bundle(
            page.title, self.exhibits, self.source, protocol=None if study is None else study.protocol,
            findings=None if study is None else study.findings, estimates=self.estimates,
            verdicts=({"label": "Verdict", "text": page.conclusion, "status": page.verdict},),
            failed=tuple(check.title for check in page.failed), min_cell=self._gallery.min_cell, page=page,
        )  # fmt: skip

    def _show(self, name: str, make: Any) -> Any:
        return self._gallery.show(name, lambda: with_basis(make(), self.rows.basis))


def with_basis(made: Any, basis: str) -> Any:
    """The exhibit with perspective, amount, currency and price year under it, where it tells of money."""
    told = (made.sentence, *made.notes, *(str(one) for one in getattr(made.figure, "options", {}).values()))
    money = any(column.format == "money" for column in made.columns)
    if not money or made.name.startswith("ledger_") or any(basis in text for text in told):
        return made
    return made.with_(notes=(*made.notes, f"{basis}."))


def cost_of_care(
    records: Any,
    plan: CostPlan | None = None,
    *,
    protocol: Protocol | str | Path | None = None,
    people: str | Path | None = None,
    names: Sequence[str] = ("Exposed", "Comparator"),
    covariates: Sequence[str] = (),
    rules: Any = None,
    truth: str | Path | None = None,
    min_cell: int | None = None,
    register: str | Path | None = None,
) -> CostOfCare:
    """Analyse what a programme did to the cost of care.

    Parameters
    ----------
    records : a source from `connect` or its address (OMOP), or a folder of flat claims with enrolment.
    plan : the terms, from `cost_plan`.
    protocol : who is compared with whom, on OMOP records: a protocol or its file.
    people : in its place a file with one row a person: person_id, arm (1 exposed, 0 comparator), index_date, and
        optionally last_date, death_date (the records' own deaths count too), weight, cluster, fee and the columns named
        in `covariates` and in the plan's effect.
    names : of the arms of such a file.
    rules : of the ledger, from `ledger_rules`.
    truth : on simulated records, the file with both potential outcomes.
    min_cell : counts from 1 to one less are not shown; the protocol's where None.
    register : the file in which the protocol was locked; that outcomes are read is written there.

    Raises
    ------
    DefinitionError : neither or both of protocol and people, an adjustment without weights, or terms that these
        records cannot meet.
    """
    from clinops.analyse.costs.identity import identity
    from clinops.analyse.costs.ledger import is_flat, ledger
    from clinops.analyse.costs.people import people_rows

    chosen = plan or CostPlan()
    if (protocol is None) == (people is None):
        raise DefinitionError(
            "Say who is compared with whom: protocol= (records in OMOP), or people= (a file with person_id, arm and "
            "index_date), one of the two."
        )
    if people is not None and register is not None:
        raise DefinitionError("A register is of a protocol: give protocol= with it, or leave register= out.")
    source = records if isinstance(records, str | Path) and is_flat(records) else opened(records)
    if protocol is not None and isinstance(source, str | Path):
        raise DefinitionError(
            "A protocol needs records in OMOP; flat claims need people=, a file that says who is who."
        )
    design = read_protocol.read(protocol) if isinstance(protocol, str | Path) else protocol
    if design is not None:
        design.adjust.refuse_models("A cost analysis")
    book = ledger(source, rules=rules)
    chosen.check_categories(book.books.rules.categories)
    if design is None:
        assert people is not None
        read = partial(people_rows, file=Path(people), names=tuple(names), covariates=tuple(covariates))
        where = identity(book.books) if isinstance(source, str | Path) else source
        return CostOfCare(read, book, chosen, where, min_cell=min_cell or 11)
    study = design.on(source, truth=truth, register=register)
    return CostOfCare(partial(study_rows, study), book, chosen, source, study, min_cell or design.min_cell)


def opened(records: Any) -> Any:
    """A source, connected where an address was given."""
    from clinops.sources import connect

    return connect(records) if isinstance(records, str | Path) else records
