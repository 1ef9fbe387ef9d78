"""What people use: visits, diagnoses, drugs and what each costs, before any programme acts."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from clinops.worlds.people import People
from clinops.worlds.settings import CLINICS, FIRST_DAY, LAST_DAY, NEVER, Knobs, day
from clinops.worlds.vocabulary import (
    ACUTE,
    CHRONIC,
    CONDITIONS,
    DIABETES,
    DIABETES_KINDS,
    DRUGS,
    EMERGENCY,
    INPATIENT,
    NEGATIVE_CONTROLS,
    PRIMARY,
    TELEHEALTH,
)

PERIODS = 24
EDGES = np.linspace(FIRST_DAY, LAST_DAY + 1, PERIODS + 1).astype(np.int64)
"""The need for care moves: a stationary AR(1) over 24 periods of about a quarter, so that today's heavy user
is on average a lighter user next year (regression to the mean)."""

YEARLY_RATE = (2.5, 0.30, 0.20, 0.05)
QUIET_RATE = 0.08
LOADING = (0.45, 0.50, 0.90, 1.00)
"""By kind of visit: events a year at need zero, and how strongly they follow the log of the need."""

PRICE = (310.0, 140.0, 2000.0, 17400.0)
PRICE_SD = (0.50, 0.35, 0.70, 0.82)
"""Geometric mean and log SD of the allowed amount in dollars, by kind of visit."""
PROCEDURE_SHARE, PROCEDURE_PRICE, PROCEDURE_SD = 0.10, 2200.0, 0.80
"""Primary care visits at which imaging or a small procedure is added."""

RECORDED = (0.40, 0.30, 0.30, 0.75)
"""Chance that a visit of each kind records a chronic condition that the person has."""
CONTROL_RATE = 0.035

STRIDE = 4096
"""More days than any window reaches: person * STRIDE + day orders events by person, then day."""


@dataclass(frozen=True)
class Visits:
    """Visits sorted by person, day and kind; one row each.

    `cents` is the allowed amount. `luck` decides whether the programme averts an acute visit (or, for a
    harmful one, whether an `extra` visit happens); it means nothing for others.
    """

    person: np.ndarray
    start: np.ndarray
    end: np.ndarray
    kind: np.ndarray
    cents: np.ndarray
    extra: np.ndarray
    luck: np.ndarray

    def __len__(self) -> int:
        return len(self.person)

    def where(self, rows: np.ndarray) -> Visits:
        """Return the visits that `rows` (mask or positions) picks."""
        return Visits(**{item.name: getattr(self, item.name)[rows] for item in fields(self)})


@dataclass(frozen=True)
class Diagnoses:
    """Diagnoses: the visit (position) that recorded each, and which condition (position in CONDITIONS)."""

    visit: np.ndarray
    condition: np.ndarray


@dataclass(frozen=True)
class Fills:
    """Dispensed drugs sorted by person, day and drug; `drug` is a position in DRUGS."""

    person: np.ndarray
    start: np.ndarray
    drug: np.ndarray
    cents: np.ndarray


def key(person: np.ndarray, date: np.ndarray) -> np.ndarray:
    """Return one number that orders by person, then day; room is left for windows before the first day."""
    return person * STRIDE + (date - FIRST_DAY + 1200)


def visits(knobs: Knobs, block: int, who: People, state: np.ndarray) -> Visits:
    """Draw every visit of a block as it would be without a programme, and the extra ones a harm could add.

    `state` is the moving part of the need, (n, PERIODS) as from `states`.
    """
    need = who.frailty + who.burden - 0.55
    if knobs.clinic_spread:
        need = need + clinic_needs(knobs)[who.clinic]
    parts = [_acute_or_not(knobs, block, who, need, state, kind, extra=False) for kind in range(4)]
    if knobs.thinning < 0:
        parts += [_acute_or_not(knobs, block, who, need, state, kind, extra=True) for kind in (EMERGENCY, INPATIENT)]
    if knobs.shock > 0:
        more = [_acute_or_not(knobs, block, who, need, state, k, extra=False, share=knobs.shock) for k in range(4)]
        parts += [part.where(part.start >= day(knobs.shock_date)) for part in more]
    joined = merged(parts)
    if knobs.shock < 0:
        lost = knobs.rng(block, "shock").random(len(joined)) < -knobs.shock
        joined = joined.where(~(lost & (joined.start >= day(knobs.shock_date))))
    return _without_overlapping_stays(joined)


def merged(parts: list[Visits]) -> Visits:
    """Join visits in their order, by person, day and kind; of two of one kind on a day the first part's stays."""
    joined = Visits(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Visits)})
    place = key(joined.person, joined.start) * 8 + joined.kind * 2 + joined.extra
    order = np.argsort(place, kind="stable")
    again = np.append(False, np.diff(place[order]) == 0)
    return joined.where(order[~again])


def clinic_needs(knobs: Knobs) -> np.ndarray:
    """Return what being a patient of each clinic adds to the log of the need for care; the same in every block."""
    return knobs.rng(0, "clinic needs").normal(0, knobs.clinic_spread, CLINICS)


def states(knobs: Knobs, block: int, n: int) -> np.ndarray:
    """Draw the moving part of everyone's log need, (n, PERIODS)."""
    rng = knobs.rng(block, "state")
    state = np.empty((n, PERIODS), dtype=np.float32)
    state[:, 0] = rng.normal(0, knobs.need_sd, n)
    fresh = knobs.need_sd * np.sqrt(1 - knobs.need_correlation**2)
    for period in range(1, PERIODS):
        state[:, period] = knobs.need_correlation * state[:, period - 1] + rng.normal(0, fresh, n)
    return state


def need_on(who: People, state: np.ndarray, person: np.ndarray, date: np.ndarray) -> np.ndarray:
    """Return the latent log need on a day, disease apart: frailty and the moving part, which no record holds."""
    return who.frailty[person] + state[person, np.searchsorted(EDGES, date, side="right") - 1]


def _acute_or_not(
    knobs: Knobs, block: int, who: People, need: np.ndarray, state: np.ndarray, kind: int, extra: bool,
    share: float | None = None,
) -> Visits:  # fmt: skip
    """Draw the visits of one kind: Poisson in each period, on random days, at most one a person a day.

    With `share` they are those that come on top, at so much of the rate, from a random stream of their own.
    """
    stream = f"{kind} {extra}" if share is None else f"{kind} {extra} on top"
    rng = knobs.rng(block, f"visits {stream}")
    widths = np.diff(EDGES)
    rate = YEARLY_RATE[kind] / 365.25 * np.exp(LOADING[kind] * (need[:, None] + state)) * widths
    if kind in (PRIMARY, TELEHEALTH):
        rate[who.quiet] *= QUIET_RATE
    if share is not None:
        rate *= share
    counts = rng.poisson(np.minimum(rate, 60.0))
    cell = np.repeat(np.arange(counts.size), counts.ravel())
    person, period = np.divmod(cell, PERIODS)
    date = EDGES[period] + np.floor(rng.random(len(cell)) * widths[period]).astype(np.int64)
    _, first = np.unique(key(person, date), return_index=True)
    person, date = person[first], date[first]
    span = who.span_on(person, date)
    person, date, span = person[span >= 0], date[span >= 0], span[span >= 0]
    stay = 1 + rng.geometric(0.28, len(person)) if kind == INPATIENT else np.zeros(len(person), dtype=np.int64)
    return Visits(
        person=person,
        start=date,
        end=np.minimum(date + stay, who.spans[person, span, 1]),
        kind=np.full(len(person), kind, dtype=np.int8),
        cents=_prices(rng, kind, len(person)),
        extra=np.full(len(person), extra),
        luck=knobs.rng(block, f"luck {stream}").random(len(person)),
    )


def _prices(rng: np.random.Generator, kind: int, n: int) -> np.ndarray:
    dollars = PRICE[kind] * np.exp(rng.normal(0, PRICE_SD[kind], n))
    if kind == PRIMARY:
        procedure = PROCEDURE_PRICE * np.exp(rng.normal(0, PROCEDURE_SD, n))
        dollars += np.where(rng.random(n) < PROCEDURE_SHARE, procedure, 0.0)
    return np.maximum(np.rint(dollars * 100), 100).astype(np.int64)


def _without_overlapping_stays(all_visits: Visits) -> Visits:
    """Drop a hospital stay that begins before the person's previous one has ended."""
    rows = np.flatnonzero(all_visits.kind == INPATIENT)
    person, start, end = all_visits.person[rows], all_visits.start[rows], all_visits.end[rows]
    clash = np.zeros(len(rows), dtype=bool)
    clash[1:] = (person[1:] == person[:-1]) & (start[1:] <= end[:-1])
    keep = np.ones(len(all_visits), dtype=bool)
    keep[rows[clash]] = False
    return all_visits.where(keep)


def diagnoses(knobs: Knobs, block: int, who: People, seen: Visits, stream: str = "diagnoses") -> Diagnoses:
    """Draw what each visit records: chronic conditions, the acute reason, the negative controls."""
    rng = knobs.rng(block, stream)
    recorded = np.array(RECORDED)[seen.kind]
    visit, condition = [], []
    for position in range(len(CHRONIC)):
        has = np.flatnonzero(who.onset[seen.person, position] <= seen.start)
        rows = has[rng.random(len(has)) < recorded[has]]
        kinds = np.full(len(rows), position)
        if position == DIABETES:
            kinds = _kinds_of_diabetes(rng, len(rows))
        visit.append(rows)
        condition.append(kinds)
    acute = np.flatnonzero(seen.kind >= EMERGENCY)
    visit.append(acute)
    condition.append(CONDITIONS.index(ACUTE[0]) + rng.integers(0, len(ACUTE), len(acute)))
    ordinary = np.flatnonzero(seen.kind <= TELEHEALTH)
    for control in NEGATIVE_CONTROLS:
        rows = ordinary[rng.random(len(ordinary)) < CONTROL_RATE]
        visit.append(rows)
        condition.append(np.full(len(rows), CONDITIONS.index(control)))
    rows, which = np.concatenate(visit), np.concatenate(condition)
    order = np.argsort(rows * 64 + which, kind="stable")
    return Diagnoses(rows[order], which[order])


def _kinds_of_diabetes(rng: np.random.Generator, n: int) -> np.ndarray:
    """Most records name the disease itself, some a complication that descends from it."""
    positions = np.array([CONDITIONS.index(kind) for kind in DIABETES_KINDS])
    return positions[rng.choice(3, n, p=[0.8, 0.1, 0.1])]


def fills(knobs: Knobs, block: int, who: People) -> Fills:
    """Draw the dispensed drugs: from a random start after onset, every 90 days, some not collected."""
    rng = knobs.rng(block, "drugs")
    parts = []
    for position, drug in enumerate(DRUGS):
        onset = who.onset[:, drug.when]
        takes = np.flatnonzero((rng.random(len(who)) < drug.share) & (onset < NEVER) & ~who.quiet)
        begin = onset[takes] + rng.integers(0, drug.days, len(takes))
        date = begin[:, None] + drug.days * np.arange((LAST_DAY - FIRST_DAY) // drug.days + 1)
        adherence = rng.beta(4.0, 1.6, len(takes))
        collected = rng.random(date.shape) < adherence[:, None]
        person = np.repeat(takes, date.shape[1])[collected.ravel()]
        date = date[collected]
        inside = who.span_on(person, date) >= 0
        person, date = person[inside], date[inside]
        cents = np.maximum(np.rint(drug.price * 100 * np.exp(rng.normal(0, 0.2, len(person)))), 100)
        parts.append((person, date, np.full(len(person), position), cents.astype(np.int64)))
    person, date, which, cents = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(key(person, date) * 16 + which, kind="stable")
    return Fills(person[order], date[order], which[order], cents[order])
