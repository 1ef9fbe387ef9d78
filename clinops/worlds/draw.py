"""A block of a world in memory: what could have happened to its persons, and what did."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clinops.worlds import people, programme, records, rollout, use
from clinops.worlds import truth as potential
from clinops.worlds.people import People
from clinops.worlds.programme import Eligible, Programme
from clinops.worlds.settings import NEVER, Knobs
from clinops.worlds.use import Diagnoses, Fills, Visits


@dataclass(frozen=True)
class Drawn:
    """A block as arrays: who lives in it, what happened, what the records saw of it, and the truth.

    Persons, spans and dates are as the records show them. `kept`, `noted` and `taken` are the visits, diagnoses and
    fills that happened and were seen, `death` (one a person) the day that really came, `arrived` whether the cost of
    each visit and of each fill is on file. `truth` holds columns of one row an eligible person, as if nobody had left
    early, money in cents; `clinics` the sums by clinic and month of a roll-out (empty without one).
    """

    who: People
    of: Eligible
    ran: Programme
    kept: Visits
    noted: Diagnoses
    taken: Fills
    death: np.ndarray
    arrived: tuple[np.ndarray, np.ndarray]
    truth: dict[str, np.ndarray]
    clinics: dict[str, np.ndarray]


@dataclass(frozen=True)
class Lives:
    """A block before any programme: people, all they would use and be diagnosed with, and who is eligible when."""

    who: People
    seen: Visits
    noted: Diagnoses
    taken: Fills
    of: Eligible


def draw(knobs: Knobs, block: int, n: int) -> Drawn:
    """Draw people and their use, run the programme, keep what really happened and what the records saw of it."""
    return run(knobs, block, lives(knobs, block, n))


def lives(knobs: Knobs, block: int, n: int) -> Lives:
    """Draw people and their use as they would be without a programme."""
    who = people.people(knobs, block, n)
    state = use.states(knobs, block, n)
    seen = use.visits(knobs, block, who, state)
    noted = use.diagnoses(knobs, block, who, seen)
    taken = use.fills(knobs, block, who)
    return Lives(who, seen, noted, taken, programme.eligible(knobs, who, state, seen, noted, taken))


def run(knobs: Knobs, block: int, before: Lives) -> Drawn:
    """Run the programme among these lives; the knobs of people and use must be those that the lives were drawn with."""
    who, seen, noted, taken, of = before.who, before.seen, before.noted, before.taken, before.of
    ran = programme.programme(knobs, block, who, seen, of)
    known = potential.truth(knobs, who, seen, taken, of, ran)
    death = who.death.copy()
    death[of.person] = ran.death_real
    kept, noted = _happened(knobs, who, seen, noted, of, ran, death)
    clinics: dict[str, np.ndarray] = {}
    if knobs.waves:
        known |= {"clinic": who.clinic[of.person] + 1, "offer_date": ran.offer, "activation_date": ran.activation}
        plain = programme.happens(knobs, who, seen, of, np.full(len(of), NEVER), ran.acts_until)
        clinics = rollout.by_clinic(who, of, seen.where(plain), kept, taken, (ran.death_without, ran.death_real))
    closes = records.closings(knobs, block, who, of, ran)
    who, of, ran, death = records.closed(who, of, ran, death, closes)
    kept, noted = records.with_contacts(knobs, block, who, kept, noted, of, ran)
    kept, noted = _kept(kept, noted, kept.start <= closes[kept.person])
    filled = (taken.start <= death[taken.person]) & (taken.start <= closes[taken.person])
    taken = Fills(taken.person[filled], taken.start[filled], taken.drug[filled], taken.cents[filled])
    kept = replace(kept, end=np.minimum(kept.end, closes[kept.person]))
    arrived = records.on_file(knobs, block, kept, taken)
    return Drawn(who, of, ran, kept, noted, taken, death, arrived, known, clinics)


def _happened(
    knobs: Knobs, who: People, seen: Visits, noted: Diagnoses, of: Eligible, ran: Programme, death: np.ndarray
) -> tuple[Visits, Diagnoses]:
    """The visits of the world's actual course, at what they cost, and their diagnoses."""
    there = programme.happens(knobs, who, seen, of, ran.activation, ran.acts_until)
    kept, noted = _kept(seen, noted, there & (seen.start <= death[seen.person]))
    return programme.charged(knobs, kept, of, ran.activation, ran.acts_until, len(who)), noted


def _kept(seen: Visits, noted: Diagnoses, there: np.ndarray) -> tuple[Visits, Diagnoses]:
    """Keep the visits that happened and their diagnoses, which then refer to the new positions."""
    position = np.cumsum(there) - 1
    rows = there[noted.visit]
    return seen.where(there), Diagnoses(position[noted.visit[rows]], noted.condition[rows])
