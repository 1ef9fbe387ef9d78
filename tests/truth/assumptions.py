"""Worlds in which an assumption of the default design fails, and what the checks of the report say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from clinops.analyse.adjust import adjust
from clinops.analyse.checks import follow_up_check, negative_control_check
from clinops.analyse.dataset import Dataset
from clinops.analyse.effects import effects
from clinops.analyse.estimates import CRUDE
from clinops.analyse.exhibits.balance import balance_check, balances, overlap_check
from clinops.define.protocol import Adjustment, Protocol
from clinops.results.schema import estimates
from clinops.stats.did import difference_in_differences
from clinops.worlds import ladder
from clinops.worlds.draw import Drawn, lives, run
from clinops.worlds.measured import difference, follow_up, observed
from clinops.worlds.settings import Knobs
from tests.truth.designs import PERSONS, answer, dataset, in_order, protocol

USE = ("primary care visits", "emergency visits before", "admissions before", "total cost before")


ATT = Adjustment("weight", "att")


@dataclass(frozen=True)
class Scenario:
    """A world and an analysis of it.

    Attributes
    ----------
    says : what fails, or that nothing does.
    knobs : of the world.
    adjustment : how the arms are made comparable.
    without : covariates that the protocol leaves out, by lower-case name.
    sound : whether every assumption holds.
    seen : whether a check is meant to see it; what no check can see is shown as such.
    """

    says: str
    knobs: Mapping[str, Any] = field(default_factory=dict)
    adjustment: Adjustment = ATT
    without: tuple[str, ...] = ()
    sound: bool = False
    seen: bool = True


SCENARIOS = {
    "sound": Scenario("every assumption holds", sound=True),
    "not adjusted": Scenario("the arms are compared as they are", adjustment=CRUDE),
    "detection": Scenario("the programme adds a contact a month, which records diagnoses", {"detection": 12.0}),
    "drop-out": Scenario("the offered leave the records, half of them within two years", {"dropout": 0.35}),
    "hidden need, strong": Scenario(
        "offers follow a need that no record holds (log-odds 1 a unit)", {"hidden": 1.0}, seen=False
    ),
    "hidden need, weak": Scenario(
        "offers follow a need that no record holds (log-odds 0.3 a unit)", {"hidden": 0.3}, seen=False
    ),
    "use left out": Scenario("the protocol does not adjust for earlier use and cost", without=USE, seen=False),
}


def one_world(seed: int, persons: int = PERSONS) -> dict[str, Any]:
    """Each scenario in one world: the estimate beside its truth, and the verdict of each check."""
    plain = Knobs.of(persons=persons, seed=seed)
    before = lives(plain, 0, persons)  # no scenario touches people or their use, only the programme and the records
    worlds = cache(lambda *knobs: run(Knobs.of(persons=persons, seed=seed, **dict(knobs)), 0, before))
    found = {name: _judged(one, worlds(*one.knobs.items())) for name, one in SCENARIOS.items()}
    return found | placebo(seed)


def _judged(scenario: Scenario, it: Drawn) -> dict[str, Any]:
    offered = it.ran.offered
    happened = follow_up(it)
    data = dataset(it, offered, observed(it) | happened)
    kept = tuple(m for m in protocol().covariates if m.name.lower() not in scenario.without)
    p = protocol().with_(covariates=kept, adjust=scenario.adjustment)
    adjusted = adjust(data, p.covariates, p.adjust)
    truth = float(difference(it)[in_order(offered)][data.exposed].mean())
    return {"answer": list(vars(answer(data, adjusted, truth)).values()), "checks": _verdicts(data, p, adjusted)}


def _verdicts(data: Dataset, p: Protocol, adjusted: Any) -> dict[str, bool]:
    rows = [
        row for measure in p.negative_controls for row in effects(data, measure, adjusted, analysis="negative control")
    ]
    assert data.outcomes is not None
    checks = {
        "balance": balance_check(balances(data, p, adjusted), p),
        "overlap": overlap_check(data, adjusted),
        "follow-up": follow_up_check(data, data.outcomes, p),
        "negative controls": negative_control_check(estimates(rows), p),
    }
    return {name: bool(check.passed) for name, check in checks.items()}


LADDER_PERSONS = 20_000
CHANGES = {
    "changes, peak before": Scenario("difference of changes of those enrolled at a peak, against a random day"),
    "changes, lottery": Scenario("difference of changes of those offered by lot at a peak", sound=True),
    "changes, chosen": Scenario("difference of changes of those who engage at a peak", seen=False),
}
"""Among the high users of the bias ladder, where the truth is zero. The placebo compares the changes between the two
half years before the index, when nothing had been offered yet."""


def placebo(seed: int, persons: int = LADDER_PERSONS) -> dict[str, Any]:
    """Each difference of changes in one world, and whether the placebo period passed."""
    tables = ladder.ladder(persons, seed).tables
    visits, dates = tables["visit_occurrence"], tables["observation"]
    stays = visits["visit_concept_id"].to_numpy() == ladder.ADMISSION
    person = visits["person_id"].to_numpy()[stays] - 1
    date = visits["visit_start_date"].cast("int32").to_numpy()[stays].astype(np.int64)
    who, index = ladder.qualifying(person, date)
    keys, concept = person * 2**20 + date, dates["observation_concept_id"].to_numpy()

    def marked(mark: int) -> tuple[np.ndarray, np.ndarray]:
        rows = concept == mark
        return dates["person_id"].to_numpy()[rows] - 1, dates["observation_date"].cast("int32").to_numpy()[rows]

    def halves(person: np.ndarray, day: np.ndarray) -> np.ndarray:
        at = person * 2**20 + day
        ends = [np.searchsorted(keys, at + k) for k in (-363, -181, 1, 183)]
        return np.diff(np.array(ends), axis=0)

    enrolled, (anybody, on) = np.isin(who, marked(ladder.ENROLLED)[0]), marked(ladder.REFERENCE)
    others = ~np.isin(anybody, who[enrolled])
    peaks, arms = halves(who, index), {"changes, lottery": ladder.OFFERED, "changes, chosen": ladder.ENGAGED}
    sides = {name: (peaks[:, (took := np.isin(who, marked(mark)[0]))], peaks[:, ~took]) for name, mark in arms.items()}
    sides["changes, peak before"] = peaks[:, enrolled], halves(anybody[others], on[others])
    return {name: _changes(*sides[name]) for name in CHANGES}


def _changes(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """The effect and the placebo of a difference of changes; (3 half years, persons) of either arm."""
    took = np.repeat([1, 0], [one.shape[1], other.shape[1]])
    uses, n = np.concatenate([one, other], axis=1), len(took)
    before, effect = (
        difference_in_differences(
            uses[k : k + 2].ravel(), np.tile(took, 2), np.repeat([0, 1], n), np.tile(np.arange(n), 2), se="CR1"
        )
        for k in (0, 1)
    )
    found = [effect.estimate, effect.std_error, effect.conf_low, effect.conf_high, 0.0]
    return {"answer": found, "checks": {"placebo period": bool(before.p_value >= 0.05)}}
