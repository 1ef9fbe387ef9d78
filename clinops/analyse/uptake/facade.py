"""`co.uptake`: offer, activation and engagement as three dates, and what each lets one say."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinops.analyse.analysis import Analysis, Readable
from clinops.analyse.bundle import Bundle
from clinops.analyse.exhibits.gallery import Gallery
from clinops.analyse.uptake import adherence, described, exhibits, landmarks, look, offers, strategy_exhibits
from clinops.analyse.uptake.adherence import CLONES, PER_PROTOCOL, Compared
from clinops.analyse.uptake.people import People, people
from clinops.define.protocol import Protocol
from clinops.define.register import note_outcomes
from clinops.define.uptake import AS_RANDOM, UptakePlan
from clinops.errors import ParameterError
from clinops.results.result import Check, Result

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
NUMBERS = {
    "reach": "Figure 1", "timing": "Figure 2", "equity": "Table 1", "check_order": "Table 2",
    "intention_to_treat": "Table 3", "treated": "Table 4", "dropped": "Table 5", "assumptions": "Table 6",
    "compliance": "Table 7", "complier": "Table 8", "check_first_stage": "Table 9", "landmark": "Table 10",
    "landmark_status": "Table 11", "per_protocol": "Table 12", "strategies": "Figure 3", "clone_censor": "Table 13",
    "weights": "Table 14", "check_weights": "Table 15", "not_causal": "Table 16",
}  # fmt: skip
AGE_BANDS = (45, 65, 75)
MODELLED = {"intention to treat", "treated", "as treated"}
"""Effects that a model of the outcome can give; the others weight persons."""
NOT_RANDOM = (
    "The offer was neither random nor defended as if random, so it is no instrument. For the effect in the treated see "
    "table 4."
)
NOT_ASKED = "The plan does not ask for it."


class Uptake(Readable, Analysis):
    """A programme that is offered, and taken up by some; every exhibit is made when asked for.

    Parameters
    ----------
    study : the arms by the offer. plan : what is asked for. outcomes, replicates, age_bands : see `uptake`.
    """

    def __init__(
        self, study: Any, plan: UptakePlan, outcomes: Sequence[str], replicates: int, age_bands: Sequence[int]
    ) -> None:
        self.study, self.plan = study, plan
        self._names, self._replicates, self._bands = tuple(outcomes), replicates, tuple(age_bands)
        self._gallery = Gallery(
            NUMBERS,
            synthetic=study.source.synthetic,
            min_cell=study.protocol.min_cell,
            everything=lambda: self.exhibits,
        )

    # --- numbers --------------------------------------------------------------------------------

    @cached_property
    def people(self) -> People:
        """Both arms with the three dates."""
        return people(self.study, self.plan)

    @property
    def _asked(self) -> tuple[str, ...]:
        return self.plan.asked(self.study.protocol.assignment)

    @property
    def _random(self) -> bool:
        return self.study.protocol.assignment in AS_RANDOM

    @cached_property
    def _itt(self) -> list[Row]:
        return offers.offer_rows(self.people, "intention to treat")

    @cached_property
    def _treated(self) -> list[Row]:
        return offers.offer_rows(self.people, "treated")

    @cached_property
    def _types(self) -> Any:
        return offers.types(self.people)

    @cached_property
    def _complier(self) -> list[Row]:
        return offers.complier_rows(self.people) if self._random and "complier" in self._asked else []

    @cached_property
    def _landmark(self) -> tuple[list[Row], list[Row]]:
        rows: list[Row] = []
        aside: list[Row] = []
        for measure in self.people.chosen(self._names) if "landmark" in self._asked else ():
            made, left = landmarks.landmark_rows(self.people, measure)
            rows, aside = rows + made, aside + left
        return rows, aside

    @cached_property
    def _compared(self) -> dict[str, list[Compared]]:
        wanted = [each for each in (PER_PROTOCOL, CLONES) if each in self._asked]
        measures = self.people.chosen(self._names) if wanted else ()
        return {
            each: [adherence.compare(self.people, m, each, self._replicates) for m in measures]
            for each in wanted
        }  # fmt: skip

    def _strategy_rows(self, analysis: str) -> list[Row]:
        return [row for one in self._compared.get(analysis, []) for row in adherence.compared_rows(self.people, one)]

    @cached_property
    def _weights(self) -> list[Row]:
        """Of each analysis the weights of its first outcome; the others' differ only by who is still followed."""
        return [row for found in self._compared.values() if found for row in adherence.weight_rows(found[0])]

    @cached_property
    def _chosen(self) -> list[Row]:
        return described.chosen_rows(self.people)

    @cached_property
    def estimates(self) -> pd.DataFrame:
        """Every estimate in the one long schema, unrounded and before disclosure control."""
        from clinops.results.schema import estimates

        rows = self._itt if "intention to treat" in self._asked else []
        rows = [*rows, *(self._treated if "treated" in self._asked else [])]
        if self._complier:
            rows += [*offers.type_rows(self._types, self.people.names), *self._complier]
            rows += offers.set_rows(self._complier)
        rows += [*self._landmark[0], *self._strategy_rows(PER_PROTOCOL), *self._strategy_rows(CLONES), *self._chosen]
        names = {"exposed": self.people.names[0], "comparator": self.people.names[1],
                 "notebook": os.environ.get("CLINOPS_NOTEBOOK", "")}  # fmt: skip
        return estimates([{k: v for k, v in (names | row).items() if k != "fit"} for row in rows])

    # --- the three dates --------------------------------------------------------------------------

    @property
    def reach(self) -> Result:
        """How far each arm went: eligible, offered, activated, engaged."""
        return self._show("reach", lambda: exhibits.reach(self.people))

    @property
    def timing(self) -> Result:
        """Days from offer to activation to engagement."""
        return self._show("timing", lambda: exhibits.timing(self.people))

    @property
    def equity(self) -> Result:
        """The funnel by sex, age and race."""
        return self._show("equity", lambda: exhibits.equity(self.people, self._bands))

    @property
    def check_order(self) -> Check:
        """Whether the dates come in order."""
        return self._show("check_order", lambda: exhibits.order_check(self.people))

    # --- by the offer -----------------------------------------------------------------------------

    @property
    def intention_to_treat(self) -> Result:
        """The effect of the offer, where it was random or as if random."""
        title = "First: the effect of the offer (intention to treat)"
        if "intention to treat" not in self._asked:
            why = (
                NOT_ASKED
                if self._random
                else "The offer was not random; the effect in the treated stands in its place."
            )
            return self._show("intention_to_treat", lambda: look.nothing("intention_to_treat", title, why))
        return self._show("intention_to_treat", lambda: exhibits.by_offer(
            self.people, self._itt, "intention_to_treat", title, exhibits.ITT_NOTES))  # fmt: skip

    @property
    def treated(self) -> Result:
        """The effect in the treated, where the offer was not random."""
        title = "The effect in the treated"
        if "treated" not in self._asked:
            return self._show("treated", lambda: look.nothing("treated", title, NOT_ASKED))
        return self._show("treated", lambda: exhibits.by_offer(
            self.people, self._treated, "treated", title, exhibits.TREATED_NOTES))  # fmt: skip

    @property
    def dropped(self) -> Result:
        """Whom the effect in the treated leaves out."""
        if "treated" not in self._asked:
            title = "Whom the effect in the treated leaves out"
            return self._show("dropped", lambda: look.nothing("dropped", title, NOT_ASKED))
        return self._show("dropped", lambda: exhibits.dropped(self.people, offers.dropped(self.people)))

    @property
    def assumptions(self) -> Result:
        """What the effect in compliers assumes."""
        return self._by_instrument("assumptions", "What the effect in compliers assumes",
                                   lambda: exhibits.assumptions(self.people, self._types))  # fmt: skip

    @property
    def compliance(self) -> Result:
        """Compliers, always-takers, never-takers."""
        return self._by_instrument("compliance", "Who activates because of the offer",
                                   lambda: exhibits.compliance(self.people, self._types))  # fmt: skip

    @property
    def complier(self) -> Result:
        """The effect of activating in compliers."""
        return self._by_instrument("complier", "Second: the effect of activating, in compliers",
                                   lambda: exhibits.complier(self.people, self._complier))  # fmt: skip

    @property
    def check_first_stage(self) -> Result:
        """Whether the offer moves activation."""
        return self._by_instrument("check_first_stage", "Does the offer move activation?",
                                   lambda: exhibits.first_stage_check(self._complier, self._types))  # fmt: skip

    def _by_instrument(self, name: str, title: str, make: Any) -> Any:
        if self._complier:
            return self._show(name, make)
        why = NOT_ASKED if self._random else NOT_RANDOM
        return self._show(name, lambda: look.nothing(name, title, why))

    # --- by what was done -------------------------------------------------------------------------

    @property
    def landmark(self) -> Result:
        """Those still followed at the landmark, by whether they had activated."""
        rows, aside = self._landmark
        if not rows:
            return self._show("landmark", lambda: look.nothing("landmark", "Landmark", NOT_ASKED))
        return self._show("landmark", lambda: strategy_exhibits.landmark(self.people, rows, aside))

    @property
    def landmark_status(self) -> Result:
        """Who is still followed at the landmark."""
        _, aside = self._landmark
        if not aside:
            title = "Who is still followed at the landmark"
            return self._show("landmark_status", lambda: look.nothing("landmark_status", title, NOT_ASKED))
        return self._show("landmark_status", lambda: strategy_exhibits.set_aside(self.people, aside))

    @property
    def per_protocol(self) -> Result:
        """Had everybody kept to the arm of the offer."""
        return self._strategy(PER_PROTOCOL, "per_protocol", "Per protocol, with weights for those who deviate")

    @property
    def strategies(self) -> Result:
        """Risk by day under both strategies."""
        found = self._compared.get(CLONES, [])
        if not found:
            title = "Risk by day under both strategies"
            return self._show("strategies", lambda: look.nothing("strategies", title, NOT_ASKED))
        return self._show(
            "strategies",
            lambda: strategy_exhibits.curves(found, "weights for those who deviate", self.study.protocol.min_cell),
        )

    @property
    def clone_censor(self) -> Result:
        """Activate within the grace period against do not activate."""
        return self._strategy(CLONES, "clone_censor", "Clone, censor, weight: activate in time, or do not activate")

    def _strategy(self, analysis: str, name: str, title: str) -> Any:
        found = self._compared.get(analysis, [])
        if not found:
            return self._show(name, lambda: look.nothing(name, title, NOT_ASKED))
        rows = self._strategy_rows(analysis)
        return self._show(name, lambda: strategy_exhibits.effects(self.people, rows, found, name, title))

    @property
    def weights(self) -> Result:
        """What the censoring weights are like."""
        if not self._weights:
            return self._show("weights", lambda: look.nothing("weights", "The censoring weights", NOT_ASKED))
        return self._show("weights", lambda: strategy_exhibits.weights(self._weights))

    @property
    def check_weights(self) -> Result:
        """Whether the censoring weights leave enough people."""
        if not self._weights:
            return self._show(
                "check_weights", lambda: look.nothing("check_weights", "The censoring weights", NOT_ASKED)
            )
        return self._show("check_weights", lambda: strategy_exhibits.weights_check(self._weights))

    @property
    def not_causal(self) -> Result:
        """The engaged beside the others: a description."""
        return self._show("not_causal", lambda: exhibits.not_causal(self.people, self._chosen))

    # --- out ------------------------------------------------------------------------------------

    @property
    def checks(self) -> tuple[Check, ...]:
        """Checks that could have failed."""
        every = (self.check_order, self.check_first_stage, self.check_weights)
        return tuple(one for one in every if isinstance(one, Check))

    @property
    def exhibits(self) -> tuple[Result, ...]:
        """Every exhibit of the report, in its order."""
        return tuple(getattr(self, name) for name in NUMBERS)

    def bundle(self) -> Bundle:
        """What `write` writes."""
        return Bundle(
            f"Uptake: {self.study.protocol.title}", self.exhibits, self.study.source, protocol=self.study.protocol,
            findings=self.study.findings, estimates=self.estimates,
            failed=tuple(check.title for check in self.checks if check.passed is False),
            min_cell=self.study.protocol.min_cell,
        )  # fmt: skip


def uptake(
    protocol: Protocol, source: Any, plan: UptakePlan | None = None, *, outcomes: Sequence[str] = (),
    replicates: int = 200, age_bands: Sequence[int] = AGE_BANDS, register: str | Path | None = None,
) -> Uptake:  # fmt: skip
    """Look at a programme that is offered to some and taken up by some of those.

    Parameters
    ----------
    protocol : arms defined by the offer, with ``programme=co.programme(offer, activation=..., engagement=...)``.
    source : from `connect`.
    plan : from `uptake_plan`; else the protocol's own, else the default one.
    outcomes : names of those followed under the strategies and from the landmark; none: the primary one and the first
        time to an event. By the offer every outcome is shown.
    replicates : of the bootstrap by the protocol's unit of assignment (the person); every model is fitted again in
        each.
    age_bands : ages at which a new group of the equity table begins.
    register : the file in which the plan was locked; that outcomes are read is written there, under `protocol` as it is
        given here.

    Raises
    ------
    DesignError : lint found errors that the protocol does not allow. DefinitionError : no activation in the programme,
    no such outcome, an adjustment that models the outcome where effects other than by the offer are asked for.
    DataError : nobody activates. ParameterError : too few replicates, ages that do not rise.

    Examples
    --------
    >>> found = co.uptake(protocol, records, co.uptake_plan(grace=30))  # doctest: +SKIP
    """
    if isinstance(replicates, bool) or not isinstance(replicates, int) or not 2 <= replicates <= 10_000:
        raise ParameterError(f"replicates is {replicates!r}; give a whole number from 2 to 10,000.")
    if list(age_bands) != sorted(set(age_bands)):
        raise ParameterError(f"age_bands are {', '.join(map(str, age_bands))}; give ages that rise.")
    chosen = plan or protocol.uptake or UptakePlan()
    if set(chosen.asked(protocol.assignment)) - MODELLED:
        protocol.adjust.refuse_models("Uptake (compliers, strategies, the landmark)")
    study = protocol.with_(uptake=chosen).on(source)
    if register is not None:
        note_outcomes(register, protocol, source.fingerprint)
    found = Uptake(study, chosen, tuple(outcomes), replicates, tuple(age_bands))
    found.people.chosen(outcomes)
    return found
