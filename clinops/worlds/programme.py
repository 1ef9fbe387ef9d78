"""Who is offered the programme, what it does, and both of each person's potential years."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clinops.worlds import rollout
from clinops.worlds.people import People
from clinops.worlds.settings import (
    AGE_FROM,
    AGE_TO,
    DIAGNOSIS_BACK,
    HORIZON,
    INDEX_FROM,
    INDEX_TO,
    LEAST_ADMISSIONS,
    LOOK_BACK,
    NEVER,
    OFFER_INTERCEPT,
    OFFER_SLOPES,
    TRAILING,
    Knobs,
)
from clinops.worlds.use import Diagnoses, Fills, Visits, key, need_on
from clinops.worlds.vocabulary import (
    CONDITIONS,
    DIABETES_KINDS,
    EMERGENCY,
    HEART_FAILURE,
    HYPERTENSION,
    INPATIENT,
    PRIMARY,
)


@dataclass(frozen=True)
class Eligible:
    """The eligible persons, by person: index day, end of the enrolment span it lies in, covariates.

    `covariates` holds one array a name of OFFER_SLOPES. `need` is the latent log need on the index day.
    """

    person: np.ndarray
    index: np.ndarray
    span_end: np.ndarray
    covariates: dict[str, np.ndarray]
    need: np.ndarray

    def __len__(self) -> int:
        return len(self.person)


@dataclass(frozen=True)
class Programme:
    """What happened to each eligible person; arrays as in `Eligible`, days NEVER where nothing happened.

    `if_offered` is the activation day had the offer been made at the index, for everybody; `activation` is
    the one that happened, after an offer at the index or later. `death_if_offered` and `death_real` differ
    from the death without a programme only if the world averts deaths. `acts_until` is the last day on which
    the programme does anything.
    """

    propensity: np.ndarray
    offered: np.ndarray
    offer: np.ndarray
    if_offered: np.ndarray
    activation: np.ndarray
    engagement: np.ndarray
    death_without: np.ndarray
    death_if_offered: np.ndarray
    death_real: np.ndarray
    acts_until: np.ndarray


def eligible(
    knobs: Knobs, who: People, state: np.ndarray, seen: Visits, noted: Diagnoses, taken: Fills
) -> Eligible:  # fmt: skip
    """Find each person's first visit at which every criterion holds, and the covariates there."""
    alive = (seen.start <= who.death[seen.person]) & ~seen.extra
    in_time = (seen.start >= INDEX_FROM) & (seen.start <= INDEX_TO)
    rows = np.flatnonzero(alive & in_time & (seen.kind == (INPATIENT if knobs.qualifying else PRIMARY)))
    person, date = seen.person[rows], seen.start[rows]
    age = who.age_on(person, date)
    span = who.span_on(person, date)
    observed = who.spans[person, span, 0] <= date - LOOK_BACK
    if knobs.qualifying:
        admitted = alive & (seen.kind == INPATIENT)
        keys = key(seen.person[admitted], seen.start[admitted])
        chosen = count_between(keys, person, date - TRAILING, date) >= LEAST_ADMISSIONS
    else:
        diabetes = [CONDITIONS.index(kind) for kind in DIABETES_KINDS]
        chosen = _recorded(seen, noted, alive, diabetes, person, date)
    rows = np.flatnonzero((age >= AGE_FROM) & (age <= AGE_TO) & observed & chosen)
    _, first = np.unique(person[rows], return_index=True)
    rows = rows[first]
    person, date = person[rows], date[rows]
    covariates = _covariates(who, seen, noted, taken, alive, person, date) | {"age_years": age[rows].astype(float)}
    return Eligible(person, date, who.spans[person, span[rows], 1], covariates, need_on(who, state, person, date))


def _recorded(
    seen: Visits, noted: Diagnoses, alive: np.ndarray, which: list[int], person: np.ndarray, date: np.ndarray
) -> np.ndarray:
    """Say whether one of the conditions was recorded in days -1095 to -1."""
    rows = noted.visit[np.isin(noted.condition, which) & alive[noted.visit]]
    keys = np.sort(key(seen.person[rows], seen.start[rows]))
    return count_between(keys, person, date - DIAGNOSIS_BACK, date - 1) > 0


def count_between(keys: np.ndarray, person: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Count the sorted keys of each person from one day to another, both included."""
    upto = np.searchsorted(keys, key(person, last), side="right")
    return upto - np.searchsorted(keys, key(person, first), side="left")


def sum_between(
    keys: np.ndarray, amounts: np.ndarray, person: np.ndarray, first: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Sum whole amounts over sorted keys as `count_between` counts them."""
    total = np.concatenate([[0], np.cumsum(amounts)])
    upto = np.searchsorted(keys, key(person, last), side="right")
    return total[upto] - total[np.searchsorted(keys, key(person, first), side="left")]


def _covariates(
    who: People,
    seen: Visits,
    noted: Diagnoses,
    taken: Fills,
    alive: np.ndarray,
    person: np.ndarray,
    date: np.ndarray,
) -> dict[str, np.ndarray]:
    keys = key(seen.person, seen.start)

    def uses(kind: int) -> np.ndarray:
        return count_between(keys[alive & (seen.kind == kind)], person, date - LOOK_BACK, date - 1)

    cents = sum_between(keys[alive], seen.cents[alive], person, date - LOOK_BACK, date - 1)
    cents += sum_between(key(taken.person, taken.start), taken.cents, person, date - LOOK_BACK, date - 1)
    return {
        "female": who.female[person].astype(float),
        "index_date_days": (date - INDEX_FROM).astype(float),
        "log1p_primary_care_visits": np.log1p(uses(PRIMARY)),
        "log1p_emergency_visits": np.log1p(uses(EMERGENCY)),
        "log1p_admissions": np.log1p(uses(INPATIENT)),
        "log1p_allowed_cost": np.log1p(cents / 100),
        "hypertension": _recorded(seen, noted, alive, [HYPERTENSION], person, date).astype(float),
        "heart_failure": _recorded(seen, noted, alive, [HEART_FAILURE], person, date).astype(float),
    }


def programme(knobs: Knobs, block: int, who: People, seen: Visits, of: Eligible) -> Programme:
    """Draw offers from what the records show, then activation and engagement from the latent need as well."""
    rng = knobs.rng(block, "programme")
    n = len(of)
    score = knobs.hidden * of.need + knobs.confounding * sum(
        slope * of.covariates[name] for name, slope in OFFER_SLOPES.items()
    )
    propensity = 1 / (1 + np.exp(-(np.zeros(n) + OFFER_INTERCEPT + score)))
    if knobs.lottery:
        propensity = np.full(n, knobs.lottery)
    offered = rng.random(n) < propensity
    death = who.death[of.person]
    last = np.minimum(of.span_end, death)

    lean = np.log(max(knobs.uptake, 1e-9)) - np.log(max(1 - knobs.uptake, 1e-9))
    takes_up = rng.random(n) < 1 / (
        1 + np.exp(-(lean - 0.30 * who.frailty[of.person] - knobs.healthy_engagers * of.need))
    )
    delay = rng.integers(1, 15, n)
    averts = rng.random(n) < knobs.death_effect
    if knobs.waves:
        propensity, offer = rollout.offers(knobs, who, of, last)
        offered = propensity == 1
    else:
        later = _later_offers(knobs, block, seen, of, offered, last)
        offer = np.where(offered, of.index, later)

    if_offered = _if_by(of.index + delay, last, takes_up)
    activation = _if_by(offer + delay, last, takes_up & (offer < NEVER))
    engages = rng.random(n) < knobs.engagement * np.exp(-0.2 * np.maximum(who.frailty[of.person], 0))
    engagement = _if_by(activation + rng.integers(7, 61, n), last, engages & (activation < NEVER))

    def death_after(began: np.ndarray, until: np.ndarray) -> np.ndarray:
        return np.where(averts & (began < death) & (death <= until), NEVER, death)

    until = np.full(n, NEVER) if knobs.waves else of.index + HORIZON
    return Programme(
        propensity, offered, offer, if_offered, activation, engagement,
        death, death_after(if_offered, of.index + HORIZON), death_after(activation, until), until,
    )  # fmt: skip


def _if_by(date: np.ndarray, last: np.ndarray, happens: np.ndarray) -> np.ndarray:
    return np.where(happens & (date <= last), date, NEVER)


def _later_offers(
    knobs: Knobs, block: int, seen: Visits, of: Eligible, offered: np.ndarray, last: np.ndarray
) -> np.ndarray:
    """Day of a late offer, on the first primary care visit 30 days or more after the index; NEVER if none."""
    rng = knobs.rng(block, "later offers")
    chosen = (rng.random(len(of)) < knobs.later_offers) & ~offered
    rows = np.flatnonzero((seen.kind == PRIMARY) & ~seen.extra)
    keys = key(seen.person[rows], seen.start[rows])
    at = np.searchsorted(keys, key(of.person, of.index + 30))
    at = np.minimum(at, len(rows) - 1)
    visit = seen.start[rows[at]]
    fits = chosen & (seen.person[rows[at]] == of.person) & (visit >= of.index + 30) & (visit <= last)
    return np.where(fits, visit, NEVER)


def happens(knobs: Knobs, who: People, seen: Visits, of: Eligible, began: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Say which visits happen if the programme acts on each person from `began` (excluded) to `until`.

    Common random numbers: a visit's `luck` is the same in every world, so a visit that one world averts is
    the very visit that the other has. A harmful programme averts nothing and lets `extra` visits happen.
    """
    active_from, active_to = np.full(len(who), NEVER), np.full(len(who), NEVER)
    active_from[of.person], active_to[of.person] = began, until
    treated = (seen.start > active_from[seen.person]) & (seen.start <= active_to[seen.person])
    strength = abs(knobs.thinning)
    if knobs.ramp:
        strength = strength * np.minimum((seen.start - active_from[seen.person]) / knobs.ramp, 1.0)
    hit = treated & (seen.kind >= EMERGENCY) & (seen.luck < strength)
    if knobs.use_effect:
        averted = treated & (seen.kind < EMERGENCY) & (seen.luck < knobs.use_effect)
        return np.where(seen.extra, hit, ~(hit | averted) | ((knobs.thinning < 0) & ~averted))
    return np.where(seen.extra, hit, ~hit | (knobs.thinning < 0))


def charged(knobs: Knobs, seen: Visits, of: Eligible, began: np.ndarray, until: np.ndarray, n: int) -> Visits:
    """Return the visits at what they cost if the programme acts from `began` (excluded) to `until`; n persons."""
    if not knobs.cost_effect:
        return seen
    active_from, active_to = np.full(n, NEVER), np.full(n, NEVER)
    active_from[of.person], active_to[of.person] = began, until
    treated = (seen.start > active_from[seen.person]) & (seen.start <= active_to[seen.person])
    cheaper = np.rint(seen.cents * (1 - knobs.cost_effect)).astype(np.int64)
    return replace(seen, cents=np.where(treated, cheaper, seen.cents))
